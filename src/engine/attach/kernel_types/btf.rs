//! BTF as bytes: finding types by name, and writing some of them down again. The format is the
//! kernel's interface: Documentation/bpf/btf.rst.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::host::flavour::without_flavour;

const MAGIC: u16 = 0xeb9f;
const VERSION: u8 = 1;
const HEADER: usize = 24;

/// Bytes of what all types begin with: the name, the kind and number of members, and the size or
/// another type.
const TYPE: usize = 12;

const INT: u32 = 1;
const PTR: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const FWD: u32 = 7;
const TYPEDEF: u32 = 8;
const VOLATILE: u32 = 9;
const CONST: u32 = 10;
const RESTRICT: u32 = 11;
const FUNC: u32 = 12;
const FUNC_PROTO: u32 = 13;
const VAR: u32 = 14;
const DATASEC: u32 = 15;
const FLOAT: u32 = 16;
const DECL_TAG: u32 = 17;
const TYPE_TAG: u32 = 18;
const ENUM64: u32 = 19;

/// What a number in the tail of a type is.
#[derive(Clone, Copy)]
enum Word {
    Name,
    Type,
    Number,
}

/// The tail of a kind: one group of numbers, or one for each member.
fn tail(kind: u32) -> Option<(bool, &'static [Word])> {
    use Word::{Name, Number, Type};
    Some(match kind {
        INT | VAR | DECL_TAG => (false, &[Number]),
        ARRAY => (false, &[Type, Type, Number]),
        STRUCT | UNION => (true, &[Name, Type, Number]),
        ENUM => (true, &[Name, Number]),
        ENUM64 => (true, &[Name, Number, Number]),
        FUNC_PROTO => (true, &[Name, Type]),
        DATASEC => (true, &[Type, Number, Number]),
        PTR | FWD | TYPEDEF | VOLATILE | CONST | RESTRICT | FUNC | FLOAT | TYPE_TAG => (false, &[]),
        _ => return None, // a newer kernel's
    })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*word))
}

/// The types of the kernel or of a module.
pub(super) struct Types<'a> {
    /// The kernel's, which come before those of a module
    base: Option<&'a Types<'a>>,
    /// Tells the files apart
    file: usize,
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type begins
    places: Vec<u32>,
}

/// One of them.
struct Type {
    name: u32,
    info: u32,
    /// Or a type
    size: u32,
    /// Where its tail begins
    tail: usize,
}

impl Type {
    fn kind(&self) -> u32 {
        self.info >> 24 & 0x1f
    }

    /// The numbers in its tail.
    fn words(&self) -> Option<impl Iterator<Item = Word> + use<>> {
        let (is_each, words) = tail(self.kind())?;
        let times = if is_each { self.info & 0xffff } else { 1 };
        Some((0..times).flat_map(move |_| words.iter().copied()))
    }

    fn tail_bytes(&self) -> Option<usize> {
        let (is_each, words) = tail(self.kind())?;
        let times = if is_each { self.info & 0xffff } else { 1 };
        Some(words.len() * 4 * times as usize)
    }

    /// Whether `size` is another type.
    fn is_reference(&self) -> bool {
        matches!(self.kind(), PTR | TYPEDEF | VOLATILE | CONST | RESTRICT | TYPE_TAG)
    }

    /// Whether a relocation can begin there.
    fn is_root(&self) -> bool {
        matches!(self.kind(), INT | STRUCT | UNION | ENUM | FWD | TYPEDEF | FLOAT | ENUM64)
    }
}

impl<'a> Types<'a> {
    /// A whole file, with a number of its own. `None`: it is not what this code knows.
    pub(super) fn parse(
        number: usize,
        file: &'a [u8],
        base: Option<&'a Types<'a>>,
    ) -> Option<Self> {
        let header = file.first_chunk::<HEADER>()?;
        let header_bytes = u32_at(header, 4)? as usize;
        let magic = u16::from_ne_bytes(*header.first_chunk()?);
        if magic != MAGIC || header.get(2) != Some(&VERSION) || header_bytes < HEADER {
            return None;
        }
        let part = |at| {
            let from = header_bytes.checked_add(u32_at(header, at)? as usize)?;
            file.get(from..from.checked_add(u32_at(header, at + 4)? as usize)?)
        };
        let (types, strings) = (part(8)?, part(16)?);
        let mut types = Self { base, file: number, types, strings, places: Vec::new() };
        let mut at = 0;
        while at < types.types.len() {
            types.places.push(u32::try_from(at).ok()?);
            let ty = types.at(at)?;
            at = ty.tail + ty.tail_bytes()?;
        }
        (at == types.types.len()).then_some(types)
    }

    fn at(&self, at: usize) -> Option<Type> {
        Some(Type {
            name: u32_at(self.types, at)?,
            info: u32_at(self.types, at + 4)?,
            size: u32_at(self.types, at + 8)?,
            tail: at + TYPE,
        })
    }

    /// The number of its first type; 0 is `void`.
    fn first(&self) -> u32 {
        self.base.map_or(1, |base| base.first() + base.places.len() as u32)
    }

    /// The types that `id` counts: these or the base's. With the type.
    fn find(&self, id: u32) -> Option<(&Self, Type)> {
        match id.checked_sub(self.first()) {
            Some(index) => Some((self, self.at(*self.places.get(index as usize)? as usize)?)),
            None => self.base?.find(id),
        }
    }

    /// Whether a type is declared, and not defined.
    pub(super) fn is_declaration(&self, id: u32) -> bool {
        self.find(id).is_some_and(|(_, ty)| ty.kind() == FWD)
    }

    /// The bytes of the string at this place of the file, and of its base before it.
    fn name(&self, offset: u32) -> Option<&'a [u8]> {
        let before = self.base.map_or(0, |base| base.strings.len());
        match (offset as usize).checked_sub(before) {
            Some(at) => self.strings.get(at..)?.split(|&byte| byte == 0).next(),
            None => self.base?.name(offset),
        }
    }

    /// The function of this name.
    pub(super) fn function(&self, name: &[u8]) -> Option<u32> {
        let is_it = |place: u32| {
            let ty = self.at(place as usize).filter(|ty| ty.kind() == FUNC)?;
            let rest = self.strings.get(ty.name as usize..)?.strip_prefix(name)?;
            (rest.first() == Some(&0)).then_some(())
        };
        let found = (self.first()..).zip(&self.places).find(|&(_, place)| is_it(*place).is_some());
        found.map(|(id, _)| id)
    }

    /// The types of these names, whatever their flavour: `NAME` and `NAME___FLAVOUR`.
    pub(super) fn with_names(&self, names: &BTreeSet<&[u8]>) -> Vec<(u32, &'a [u8])> {
        let longest = names.iter().map(|name| name.len()).max().unwrap_or(0);
        let found = |(index, place): (u32, &u32)| {
            let ty = self.at(*place as usize).filter(Type::is_root)?;
            let name = self.name(ty.name)?;
            // Few names are that long, and have flavours to look for.
            let name = if name.len() > longest || name.contains(&b'_') {
                without_flavour(name)
            } else {
                name
            };
            names.contains(name).then_some((self.first() + index, name))
        };
        (0..).zip(&self.places).filter_map(found).collect()
    }
}

/// A BTF file that is being written.
#[derive(Default)]
pub(super) struct Reduced {
    types: Vec<u8>,
    strings: Vec<u8>,
    names: HashMap<Vec<u8>, u32>,
    /// New numbers, by the file that the type is from, and by its number there
    ids: HashMap<(usize, u32), u32>,
    /// Types that have a number and are not written yet, in the order of the numbers
    waiting: VecDeque<u32>,
}

impl Reduced {
    /// Adds a type with all that is in it. `None`: the types are not what this code knows.
    pub(super) fn add(&mut self, types: &Types<'_>, id: u32) -> Option<()> {
        self.id(types, id)?;
        while let Some(id) = self.waiting.pop_front() {
            self.write(types, id)?;
        }
        Some(())
    }

    /// The new number of a type, which it gets if it has none.
    fn id(&mut self, types: &Types<'_>, id: u32) -> Option<u32> {
        if id == 0 {
            return Some(0); // void
        }
        let (owner, _) = types.find(id)?;
        let next = u32::try_from(self.ids.len()).ok()? + 1;
        let new = *self.ids.entry((owner.file, id)).or_insert(next);
        if new == next {
            self.waiting.push_back(id);
        }
        Some(new)
    }

    fn write(&mut self, types: &Types<'_>, id: u32) -> Option<()> {
        let (owner, ty) = types.find(id)?;
        let size = match ty.kind() {
            PTR => 0,
            _ if ty.is_reference() => self.id(types, ty.size)?,
            _ => ty.size,
        };
        let name = self.name(types.name(ty.name)?)?;
        [name, ty.info, size].iter().for_each(|word| self.push(*word));
        for (index, word) in ty.words()?.enumerate() {
            let number = u32_at(owner.types, ty.tail + 4 * index)?;
            let number = match word {
                Word::Name => self.name(types.name(number)?)?,
                Word::Type => self.id(types, number)?,
                Word::Number => number,
            };
            self.push(number);
        }
        Some(())
    }

    fn push(&mut self, word: u32) {
        self.types.extend_from_slice(&word.to_ne_bytes());
    }

    /// The place of a string.
    fn name(&mut self, name: &[u8]) -> Option<u32> {
        if name.is_empty() {
            return Some(0);
        }
        if let Some(place) = self.names.get(name) {
            return Some(*place);
        }
        let place = u32::try_from(self.strings.len()).ok()? + 1; // behind the empty one
        self.strings.extend_from_slice(name);
        self.strings.push(0);
        self.names.insert(name.to_owned(), place);
        Some(place)
    }

    /// The whole file.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        let strings = self.strings.len() + 1;
        let mut bytes = Vec::with_capacity(HEADER + self.types.len() + strings);
        bytes.extend(MAGIC.to_ne_bytes());
        bytes.extend([VERSION, 0]);
        for word in [HEADER, 0, self.types.len(), self.types.len(), strings] {
            bytes.extend((word as u32).to_ne_bytes());
        }
        bytes.extend(self.types);
        bytes.push(0);
        bytes.extend(self.strings);
        bytes
    }
}

#[cfg(test)]
impl Types<'_> {
    /// A type in words, with all that is in it.
    pub(super) fn describe(&self, id: u32) -> String {
        const KINDS: [&str; 20] = [
            "VOID",
            "INT",
            "PTR",
            "ARRAY",
            "STRUCT",
            "UNION",
            "ENUM",
            "FWD",
            "TYPEDEF",
            "VOLATILE",
            "CONST",
            "RESTRICT",
            "FUNC",
            "FUNC_PROTO",
            "VAR",
            "DATASEC",
            "FLOAT",
            "DECL_TAG",
            "TYPE_TAG",
            "ENUM64",
        ];
        let Some((owner, ty)) = self.find(id) else { return "void".to_owned() };
        let kind = KINDS[ty.kind() as usize];
        if ty.kind() == PTR {
            return kind.to_owned();
        }
        let name = |place| String::from_utf8_lossy(self.name(place).unwrap()).into_owned();
        let size = if ty.is_reference() { self.describe(ty.size) } else { ty.size.to_string() };
        let mut text = format!("{kind} {} {size} {{", name(ty.name));
        for (index, word) in ty.words().unwrap().enumerate() {
            let number = u32_at(owner.types, ty.tail + 4 * index).unwrap();
            text += &match word {
                Word::Name => format!("{}: ", name(number)),
                Word::Type => self.describe(number) + " at ",
                Word::Number if ty.kind() == INT => format!("{number:x} "),
                Word::Number => format!("{number}; "),
            };
        }
        text + "}"
    }
}
