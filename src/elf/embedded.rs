//! BPF objects inside other files: in programs that carry their own (skeletons, `go:embed`,
//! `include_bytes!`, `.incbin`), in libraries, in anything else.
//!
//! An object is found by its ELF header, wherever it begins, and ends where the last of its
//! sections or its table of sections does. The search takes each byte for the possible begin of
//! one; what turns out to be none costs at most [`TRIED`] bytes of reading altogether.

mod host;

use anyhow::Result;
use object::elf::{ELFCLASS64, ELFMAG, EM_BPF, ET_REL, FileHeader64, SHT_NOBITS};
use object::read::elf::{FileHeader as _, SectionHeader as _};
use object::{Endianness, pod};

use super::budget::Budget;
use super::file::{Content, MAX_BYTES};
use super::object::Object;
use super::sections::File;

/// The most objects of one file.
pub const MAX_OBJECTS: usize = 1024;

/// The most bytes of headers and sections to be read at places that only look like an object.
const TRIED: usize = 128 << 20;

/// The most lines to look at for the name of a source.
const MAX_LINES: usize = 4096;

/// The bytes that are searched at once.
const STEP: u64 = 1 << 20;

/// `sizeof` a header, and an entry of the table of sections.
const HEADER: u64 = size_of::<FileHeader64<Endianness>>() as u64;
const ENTRY: u64 = size_of::<object::elf::SectionHeader64<Endianness>>() as u64;

/// The place of an object in a file, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub offset: u64,
    pub size: u64,
}

/// All objects of a file that is none itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// In the order of their places; none overlaps another
    pub all: Vec<Place>,
    /// Why the rest of the file was not searched
    pub cut: Option<String>,
}

/// An object in a file, as far as it can be told without looking at its programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// From 1 up
    pub number: usize,
    pub place: Place,
    /// The file name of the source of its first program, from its source lines
    pub source: Option<String>,
    /// The variable of the file that holds it, if the file has a table of symbols
    pub symbol: Option<String>,
    /// How many programs it has, or why that is not known
    pub programs: Result<usize, String>,
}

impl Embedded {
    /// The name for people: of the source without its ending, else of the variable.
    pub fn name(&self) -> Option<&str> {
        let source = self.source.as_deref().map(stem);
        source.or(self.symbol.as_deref())
    }

    /// Whether people mean this object by such a name.
    pub fn is_called(&self, name: &str) -> bool {
        self.name() == Some(name)
            || self.source.as_deref() == Some(name)
            || self.symbol.as_deref() == Some(name)
    }
}

/// `opensnoop.bpf.c` is called `opensnoop`.
fn stem(source: &str) -> &str {
    let stem = [".bpf.c", ".c", ".rs"].iter().find_map(|ending| source.strip_suffix(ending));
    stem.filter(|stem| !stem.is_empty()).unwrap_or(source)
}

/// Whether a file begins as an object does, whole or damaged: nothing is searched in it.
pub fn is_object(begin: &[u8]) -> bool {
    let machine =
        pod::from_bytes::<FileHeader64<Endianness>>(begin).ok().and_then(|(header, _)| {
            let endian = header.endian().ok()?;
            Some(header.e_machine(endian))
        });
    // Old clangs left the machine out.
    begin.starts_with(&ELFMAG) && machine.is_none_or(|machine| machine == EM_BPF || machine == 0)
}

/// Finds all objects.
pub fn find(content: &Content) -> Result<Places> {
    let mut found = Places::default();
    let tried = Budget::new(TRIED);
    let mut at = 0;
    while at + HEADER <= content.len() && found.cut.is_none() {
        // The last bytes come again with the next part, which has the rest of a header.
        let part = content.at(at, STEP + HEADER)?;
        if part.len() < HEADER as usize {
            break; // the file has become shorter
        }
        at = search(content, at, &part, &tried, &mut found)?;
    }
    if let Some(cut) = &mut found.cut {
        cut.push_str(&format!(": only the first {at} bytes are searched"));
    }
    Ok(found)
}

/// Finds the objects that begin in a part of the file. Returns where to search on.
fn search(
    content: &Content,
    start: u64,
    part: &[u8],
    tried: &Budget,
    found: &mut Places,
) -> Result<u64> {
    let mut within = 0;
    while let Some(next) = next_magic(part, within) {
        let Some(begin) = part.get(next..).and_then(|rest| rest.get(..HEADER as usize)) else {
            return Ok(start + next as u64); // the rest of the header is in the next part
        };
        let at = start + next as u64;
        within = next + 1;
        let Some(place) = place(content, at, begin, tried)? else {
            if tried.is_cut() {
                found.cut = Some("too much that looks like an object and is not one".to_owned());
                return Ok(at);
            }
            continue;
        };
        if found.all.len() >= MAX_OBJECTS {
            found.cut = Some(format!("more than {MAX_OBJECTS} objects"));
            return Ok(at);
        }
        found.all.push(place);
        within = next.saturating_add(place.size as usize);
        if within >= part.len() {
            return Ok(at + place.size);
        }
    }
    // What is left may be the first bytes of a header.
    Ok(start + (part.len() + 1 - ELFMAG.len()).max(within) as u64)
}

/// The first place from `at` on where an ELF file may begin.
fn next_magic(part: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let rest = part.get(at..)?;
        at += rest.iter().position(|&byte| byte == ELFMAG[0])?;
        if part.get(at..)?.starts_with(&ELFMAG) {
            return Some(at);
        }
        at += 1;
    }
}

/// The extent of the object that begins here, if one does.
fn place(content: &Content, offset: u64, begin: &[u8], tried: &Budget) -> Result<Option<Place>> {
    let Some(table) = table(begin) else { return Ok(None) };
    let left = (content.len() - offset).min(MAX_BYTES);
    let Table { at, bytes, endian } = table;
    let Some(end) = at.checked_add(bytes).filter(|&end| end <= left) else { return Ok(None) };
    if !tried.take(bytes as usize) {
        return Ok(None);
    }
    let headers = content.at(offset + at, bytes)?;
    let headers = pod::slice_from_all_bytes::<object::elf::SectionHeader64<Endianness>>(&headers);
    let mut size = end;
    for header in headers.unwrap_or_default() {
        if header.sh_type(endian) == SHT_NOBITS {
            continue;
        }
        let end = header.sh_offset(endian).checked_add(header.sh_size(endian));
        match end.filter(|&end| end <= left) {
            Some(end) => size = size.max(end),
            None => return Ok(None),
        }
    }
    // Now it looks like one. It is one if its sections and symbols make sense.
    if !tried.take(size as usize) {
        return Ok(None);
    }
    let data = content.at(offset, size)?;
    if File::parse(&data).is_err() {
        return Ok(None);
    }
    tried.put_back(bytes as usize + size as usize);
    Ok(Some(Place { offset, size }))
}

/// Where the table of sections is, in bytes from the header.
struct Table {
    at: u64,
    bytes: u64,
    endian: Endianness,
}

/// The table of sections of an object for BPF, by its header.
fn table(begin: &[u8]) -> Option<Table> {
    if begin.get(4) != Some(&ELFCLASS64) {
        return None;
    }
    let (header, _) = pod::from_bytes::<FileHeader64<Endianness>>(begin).ok()?;
    let endian = header.endian().ok()?;
    let entries = u64::from(header.e_shnum(endian));
    let fits = header.e_type(endian) == ET_REL
        && header.e_machine(endian) == EM_BPF
        && u64::from(header.e_shentsize(endian)) == ENTRY
        && header.e_shoff(endian) >= HEADER
        && entries > 0;
    fits.then(|| Table { at: header.e_shoff(endian), bytes: entries * ENTRY, endian })
}

/// What can be said about the objects of a file.
pub fn describe(content: &Content, places: &[Place]) -> Result<Vec<Embedded>> {
    let symbols = host::symbols(content, places).unwrap_or_default();
    let mut all = Vec::new();
    for (index, &place) in places.iter().enumerate() {
        let data = content.at(place.offset, place.size)?;
        let object = Object::parse(&data);
        all.push(Embedded {
            number: index + 1,
            place,
            source: object.as_ref().ok().and_then(source),
            symbol: symbols.get(index).cloned().flatten(),
            programs: object.map(|object| object.programs.len()).map_err(|e| format!("{e:#}")),
        });
    }
    Ok(all)
}

/// The file name of the source of the first program: lines of headers may come before its own.
fn source(object: &Object) -> Option<String> {
    let btf = object.btf.as_ref()?;
    let functions = object.programs.iter().filter_map(|program| object.function(program));
    let files = functions.flat_map(|function| &function.lines).map(|(_, line)| line.file);
    // Most lines share a few places of names.
    let mut last = None;
    let new = |file: &u32| last.replace(*file) != Some(*file);
    let names = files.filter(new).take(MAX_LINES).map(|file| {
        let path = btf.string(file);
        path.rsplit('/').next().unwrap_or_default().to_owned()
    });
    let mut names = names.filter(|name| !name.is_empty()).peekable();
    let first = names.peek().cloned();
    names.find(|name| !name.ends_with(".h")).or(first)
}

#[cfg(test)]
mod tests {
    use object::elf;

    use super::*;

    /// A small object: a header, a table of symbols, two of strings, and the table of sections.
    fn object(machine: u16, big: bool) -> Vec<u8> {
        let short = |n: u16| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let word = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let long = |n: u64| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let strings = b"\0.strtab\0.symtab\0\0";
        let table_at = 64 + 24 + strings.len() as u64;
        let mut data = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        if big {
            data[5] = 2;
        }
        data.extend([short(ET_REL), short(machine)].concat());
        data.extend([word(1), [0; 4], [0; 4], [0; 4], [0; 4]].concat());
        data.extend(long(table_at));
        data.extend(word(0));
        data.extend([64, 0, 0, 64, 3, 1].map(short).concat());
        data.extend([0; 24]);
        data.extend(strings);
        let section = |name: u32, kind: u32, offset: u64, size: u64, link: u32, entry: u64| {
            let head = [word(name), word(kind)].concat();
            let middle = [long(0), long(0), long(offset), long(size)].concat();
            let tail = [word(link), word(1)].concat();
            [head, middle, tail, [long(1), long(entry)].concat()].concat()
        };
        data.extend(section(0, 0, 0, 0, 0, 0));
        data.extend(section(1, elf::SHT_STRTAB, 88, strings.len() as u64, 0, 0));
        data.extend(section(9, elf::SHT_SYMTAB, 64, 24, 1, 24));
        data
    }

    fn find_in(data: &[u8]) -> Places {
        find(&Content::Memory(data.to_vec())).unwrap()
    }

    #[test]
    fn objects_are_found_wherever_they_begin() {
        let (one, other) = (object(EM_BPF, false), object(EM_BPF, true));
        let foreign = object(elf::EM_X86_64, false);
        let mut data = vec![0x7f; 1003];
        let mut expected = Vec::new();
        for (object, is_bpf) in [(&one, true), (&foreign, false), (&other, true), (&one, true)] {
            if is_bpf {
                expected.push(Place { offset: data.len() as u64, size: object.len() as u64 });
            }
            data.extend(object);
            data.extend(b"\x7fELF\x7f\x7fEL");
        }
        // One whose header is on both sides of a step of the search.
        for before in [STEP as usize, STEP as usize + HEADER as usize - 2] {
            let start = data.len().next_multiple_of(STEP as usize) + before - 3;
            data.resize(start, 0);
            expected.push(Place { offset: data.len() as u64, size: one.len() as u64 });
            data.extend(&one);
        }
        let found = find_in(&data);
        assert_eq!(found, Places { all: expected, cut: None });
    }

    #[test]
    fn what_only_looks_like_an_object_is_none() {
        let good = object(EM_BPF, false);
        assert_eq!(find_in(&good).all.len(), 1);
        for (at, byte) in [(4, 1), (5, 3), (16, 2), (18, 246), (40, 1), (47, 255), (58, 32)] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert_eq!(find_in(&bad), Places::default(), "{at}");
        }
        for length in 0..good.len() {
            assert_eq!(find_in(&good[..length]), Places::default(), "{length}");
        }
        // A section beyond the end, and one whose end is beyond all numbers.
        for (at, byte) in [(good.len() - 64 + 26, 1), (good.len() - 64 + 39, 255)] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert_eq!(find_in(&bad), Places::default(), "{at}");
        }
    }

    #[test]
    fn a_header_in_an_object_does_not_count() {
        // Behind its last section, the outer object's content would be an object again.
        let inner = object(EM_BPF, false);
        let mut outer = object(EM_BPF, false);
        let table = outer.split_off(outer.len() - 3 * 64);
        let at = outer.len() as u64 + inner.len() as u64;
        outer.extend(&inner);
        outer.extend(table);
        outer[40..48].copy_from_slice(&at.to_le_bytes());
        let size = outer.len() as u64;
        assert_eq!(find_in(&outer).all, [Place { offset: 0, size }]);
    }

    #[test]
    fn thousands_of_false_headers_cost_no_more_than_their_limit() {
        // Each claims all that follows as its table of sections.
        let mut data = Vec::new();
        while data.len() < 4 << 20 {
            let mut header = object(EM_BPF, false)[..64].to_vec();
            header[60..62].copy_from_slice(&0x8000_u16.to_le_bytes());
            header[40..48].copy_from_slice(&64_u64.to_le_bytes());
            data.extend(header);
        }
        let found = find_in(&data);
        assert_eq!(found.all, []);
        assert!(found.cut.unwrap().starts_with("too much that looks like an object"));
        let many = object(EM_BPF, false).repeat(MAX_OBJECTS + 1);
        let found = find_in(&many);
        assert_eq!(found.all.len(), MAX_OBJECTS);
        assert!(found.cut.unwrap().starts_with("more than 1024 objects: only the first "));
    }

    #[test]
    fn names_of_objects() {
        let place = Place { offset: 0, size: 0 };
        let mut object = Embedded { number: 1, place, source: None, symbol: None, programs: Ok(0) };
        assert_eq!(object.name(), None);
        object.symbol = Some("bytes".to_owned());
        assert_eq!(object.name(), Some("bytes"));
        object.source = Some("exec.bpf.c".to_owned());
        assert_eq!(object.name(), Some("exec"));
        assert!(["exec", "exec.bpf.c", "bytes"].iter().all(|name| object.is_called(name)));
        assert!(!object.is_called("exe"));
        assert_eq!((stem("x.c"), stem(".c"), stem("x")), ("x", ".c", "x"));
    }

    #[test]
    fn objects_themselves_are_not_searched() {
        assert!(is_object(&object(EM_BPF, true)) && is_object(&object(0, false)));
        assert!(is_object(b"\x7fELF") && !is_object(b"\x7fELV") && !is_object(b""));
        assert!(!is_object(&object(elf::EM_X86_64, false)));
    }
}
