//! Objects byte by byte: what no compiler writes.

/// A section: name, type, flags, content, link, info.
pub(crate) struct Section {
    pub(crate) name: Vec<u8>,
    pub(crate) kind: u32,
    pub(crate) flags: u64,
    pub(crate) data: Vec<u8>,
    pub(crate) link: u32,
    pub(crate) info: u32,
}

impl Section {
    pub(crate) fn new(name: &str, flags: u64, data: Vec<u8>) -> Self {
        Self { name: name.into(), kind: 1, flags, data, link: 0, info: 0 }
    }

    pub(crate) fn code(name: &str, insns: &[[u8; 8]]) -> Self {
        Self::new(name, 6, insns.concat())
    }
}

/// A symbol: name, section, value, size, `st_info`.
pub(crate) struct Symbol {
    pub(crate) name: Vec<u8>,
    pub(crate) section: u16,
    pub(crate) value: u64,
    pub(crate) size: u64,
    pub(crate) info: u8,
}

pub(crate) const FUNCTION: u8 = 0x12;
pub(crate) const VARIABLE: u8 = 0x11;

/// An ELF file. Its sections are numbered from 1; the symbols' own follow the given ones. `shared`:
/// all names that are equal share one string.
pub(crate) fn elf(mut sections: Vec<Section>, symbols: &[Symbol]) -> Vec<u8> {
    let mut names = Strings::default();
    let mut table = vec![0; 24];
    for symbol in symbols {
        table.extend(names.add(&symbol.name).to_le_bytes());
        table.extend([symbol.info, 0]);
        table.extend(symbol.section.to_le_bytes());
        table.extend(symbol.value.to_le_bytes());
        table.extend(symbol.size.to_le_bytes());
    }
    let number = u32::try_from(sections.len()).unwrap() + 1;
    for section in &mut sections {
        if section.kind == 9 {
            section.link = number;
        }
    }
    let new = |name: &str, kind, data, link| Section {
        kind,
        link,
        info: u32::from(kind == 2),
        ..Section::new(name, 0, data)
    };
    sections.push(new(".symtab", 2, table, number + 1));
    sections.push(new(".strtab", 3, names.bytes, 0));
    let mut names = Strings::default();
    let last = names.add(b".shstrtab");
    let mut offsets: Vec<_> = sections.iter().map(|section| names.add(&section.name)).collect();
    offsets.push(last);
    sections.push(new(".shstrtab", 3, names.bytes, 0));

    let (mut body, mut heads) = (vec![0; 64], vec![0; 64]);
    for (section, name) in sections.iter().zip(&offsets) {
        body.resize(body.len().next_multiple_of(8), 0);
        let entry: u64 = match section.kind {
            2 => 24,
            9 => 16,
            _ => 0,
        };
        heads.extend(name.to_le_bytes());
        heads.extend(section.kind.to_le_bytes());
        heads.extend(section.flags.to_le_bytes());
        heads.extend(0_u64.to_le_bytes());
        heads.extend((body.len() as u64).to_le_bytes());
        heads.extend((section.data.len() as u64).to_le_bytes());
        heads.extend(section.link.to_le_bytes());
        heads.extend(section.info.to_le_bytes());
        heads.extend(8_u64.to_le_bytes());
        heads.extend(entry.to_le_bytes());
        body.extend(&section.data);
    }
    body.resize(body.len().next_multiple_of(8), 0);
    let table = body.len() as u64;
    let count = u16::try_from(heads.len() / 64).unwrap();
    body.extend(heads);
    let mut header = b"\x7fELF\x02\x01\x01".to_vec();
    header.resize(16, 0);
    header.extend([1, 0, 247, 0, 1, 0, 0, 0]);
    header.resize(40, 0);
    header.extend(table.to_le_bytes());
    header.extend([0, 0, 0, 0, 64, 0, 0, 0, 0, 0, 64, 0]);
    header.extend(count.to_le_bytes());
    header.extend((count - 1).to_le_bytes());
    body[..64].copy_from_slice(&header);
    body
}

/// A table of strings, each once.
pub(crate) struct Strings {
    pub(crate) bytes: Vec<u8>,
    known: std::collections::HashMap<Vec<u8>, u32>,
}

impl Default for Strings {
    fn default() -> Self {
        Self { bytes: vec![0], known: [(Vec::new(), 0)].into() }
    }
}

impl Strings {
    pub(crate) fn add(&mut self, text: &[u8]) -> u32 {
        let next = u32::try_from(self.bytes.len()).unwrap();
        let place = *self.known.entry(text.to_vec()).or_insert(next);
        if place == next {
            self.bytes.extend(text);
            self.bytes.push(0);
        }
        place
    }
}

/// BTF, type by type.
#[derive(Default)]
pub(crate) struct Btf {
    pub(crate) types: Vec<u8>,
    pub(crate) strings: Strings,
    pub(crate) count: u32,
}

impl Btf {
    /// Appends a type; returns its number.
    pub(crate) fn add(&mut self, name: &[u8], kind: u32, size: u32, parts: &[u32]) -> u32 {
        let width = match kind {
            4 | 5 | 15 | 19 => 3,
            6 | 13 => 2,
            _ => 0,
        };
        let count = parts.len().checked_div(width).unwrap_or(0);
        let name = self.strings.add(name);
        let words = [name, kind << 24 | u32::try_from(count).unwrap(), size];
        self.types.extend(words.iter().chain(parts).flat_map(|word| word.to_le_bytes()));
        self.count += 1;
        self.count
    }

    pub(crate) fn section(&self) -> Section {
        let sizes = [self.types.len(), self.strings.bytes.len()].map(|n| u32::try_from(n).unwrap());
        let mut data = vec![0x9f, 0xeb, 1, 0];
        let words = [24, 0, sizes[0], sizes[0], sizes[1]];
        data.extend(words.iter().flat_map(|word: &u32| word.to_le_bytes()));
        data.extend(self.types.iter().chain(&self.strings.bytes));
        Section::new(".BTF", 0, data)
    }
}

/// An instruction.
pub(crate) fn insn(opcode: u8, registers: u8, off: i16, imm: i32) -> [u8; 8] {
    let [a, b] = off.to_le_bytes();
    let [c, d, e, f] = imm.to_le_bytes();
    [opcode, registers, a, b, c, d, e, f]
}

/// An object with one program, with these sections, and the symbols of the first of them.
pub(crate) fn object(code: &[[u8; 8]], more: Vec<Section>, symbols: Vec<Symbol>) -> Vec<u8> {
    let mut sections = vec![
        Section::code("tp_btf/sched_switch", code),
        Section::new("license", 3, b"GPL\0".to_vec()),
    ];
    sections.extend(more);
    let size = (code.len() * 8) as u64;
    let program = Symbol { name: b"prog".to_vec(), section: 1, value: 0, size, info: FUNCTION };
    let symbols: Vec<_> = std::iter::once(program).chain(symbols).collect();
    elf(sections, &symbols)
}

pub(crate) const RETURN: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 0, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
