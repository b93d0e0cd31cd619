//! The shapes, each with as much of it as fits into a number of bytes.

use super::build::{Btf, RETURN, Section, Symbol, VARIABLE, elf, insn, object};
use super::dwarf;

/// The size of one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Of the file, about
    pub(crate) bytes: usize,
    /// How many others each part contains
    pub(crate) fan: usize,
    /// Bytes of long names
    pub(crate) name: usize,
    /// Which byte
    pub(crate) byte: u8,
}

impl Size {
    fn name(self) -> Vec<u8> {
        vec![self.byte; self.name]
    }

    /// How many parts of so many bytes fit, at least one.
    pub(crate) fn times(self, bytes: usize) -> usize {
        (self.bytes / bytes).max(1)
    }
}

type Shape = (&'static str, fn(Size) -> Vec<u8>);

pub(crate) const SHAPES: [Shape; 25] = [
    ("prototypes in prototypes", prototypes),
    ("variables of one such type", variables),
    ("members of one name", members),
    ("values of one name", values),
    ("structs in structs", structs),
    ("arrays of typedefs of arrays", chains),
    ("many types", types),
    ("strings that overlap", overlapping),
    ("views of one variable", views),
    ("keys after keys", keys),
    ("lines of one text", lines),
    ("lines of many sections", ext_sections),
    ("references to one map", references),
    ("calls of one place", calls),
    ("calls in calls", call_graph),
    ("states of memory", states),
    ("events with many writes", events),
    ("events that lines name", named_events),
    ("symbols of one name", symbols),
    ("sections of one name", sections),
    ("maps of one definition", maps),
    ("contents of a map", contents),
    ("variables in debug information", dwarf::variables),
    ("entries of one byte", dwarf::entries),
    ("units of one abbreviation", dwarf::units),
];

fn with_btf(btf: &Btf) -> Vec<u8> {
    object(&RETURN, vec![btf.section()], Vec::new())
}

const INT: [u32; 1] = [1 << 24 | 32];

/// `void (*)(…)` with parameters of its own type: types 1 and 2.
fn endless(btf: &mut Btf, fan: usize) {
    btf.add(b"", 2, 2, &[]);
    btf.add(b"", 13, 0, &[0, 1].repeat(fan));
}

fn prototypes(size: Size) -> Vec<u8> {
    let mut btf = Btf::default();
    endless(&mut btf, size.fan);
    btf.add(b"prog", 12, 2, &[]);
    for number in 0..size.times(64) {
        let name = format!("t{number}");
        btf.add(name.as_bytes(), 8, 1, &[]);
    }
    with_btf(&btf)
}

/// Global variables of type 1.
fn of_type_1(mut btf: Btf, size: Size, each: u32, bytes: usize) -> Vec<u8> {
    let (mut symbols, mut placed) = (Vec::new(), Vec::new());
    for number in 0..u32::try_from(size.times(bytes)).unwrap().min(0xffff) {
        let name = format!("g{number}").into_bytes();
        let ty = btf.add(&name, 14, 1, &[]);
        btf.types.extend(1_u32.to_le_bytes());
        placed.extend([ty, number * each, each]);
        let (value, size) = ((number * each).into(), each.into());
        symbols.push(Symbol { name, section: 3, value, size, info: VARIABLE });
    }
    let bytes = each * u32::try_from(symbols.len()).unwrap();
    btf.add(b".data", 15, bytes, &placed);
    let data = Section::new(".data", 3, vec![1; bytes as usize]);
    object(&RETURN, vec![data, btf.section()], symbols)
}

fn variables(size: Size) -> Vec<u8> {
    let mut btf = Btf::default();
    endless(&mut btf, size.fan);
    of_type_1(btf, size, 8, 80)
}

fn members(size: Size) -> Vec<u8> {
    let mut btf = Btf::default();
    let name = btf.strings.add(&size.name());
    for _ in 0..size.times(12 * 0xffff) {
        let count = size.times(12).min(0xffff);
        btf.add(b"s", 4, 8, &[name, 0, 0].repeat(count));
    }
    with_btf(&btf)
}

fn values(size: Size) -> Vec<u8> {
    let mut btf = Btf::default();
    let name = btf.strings.add(&size.name());
    for _ in 0..size.times(8 * 0xffff) {
        btf.add(b"e", 6, 4, &[name, 1].repeat(size.times(8).min(0xffff)));
    }
    with_btf(&btf)
}

/// Each has members of the next one, without names.
fn structs(size: Size) -> Vec<u8> {
    let mut btf = Btf::default();
    for next in 2..=u32::try_from(size.times(12 + 12 * size.fan)).unwrap() {
        btf.add(b"", 4, 8, &[0, next, 0].repeat(size.fan));
    }
    of_type_1(btf, Size { bytes: 1000, ..size }, 8, 80)
}

fn chains(size: Size) -> Vec<u8> {
    let mut btf = Btf::default();
    let mut last = 0;
    for number in 0..2000 {
        last = match number % 60 {
            0 => {
                let array = btf.add(b"", 3, 0, &[]);
                btf.types.extend([last, 1, 1].iter().flat_map(|word: &u32| word.to_le_bytes()));
                array
            }
            _ => btf.add(b"t", 8, last, &[]),
        };
    }
    let name = btf.strings.add(b"m");
    for _ in 0..size.times(12 * 0xffff) {
        btf.add(b"s", 4, 8, &[name, last, 0].repeat(size.times(12).min(0xffff)));
    }
    with_btf(&btf)
}

fn types(size: Size) -> Vec<u8> {
    let mut btf = Btf::default();
    for number in 0..size.times(20) {
        btf.add(format!("{number:x}").as_bytes(), 8, 0, &[]);
    }
    with_btf(&btf)
}

fn overlapping(size: Size) -> Vec<u8> {
    let mut btf = Btf::default();
    let first = btf.strings.add(&vec![size.byte; size.times(16)]);
    for number in 0..u32::try_from(size.times(16)).unwrap() {
        btf.add(b"", 8, 0, &[]);
        let at = btf.types.len() - 12;
        btf.types[at..at + 4].copy_from_slice(&(first + number).to_le_bytes());
    }
    with_btf(&btf)
}

/// A union of many members, and variables of that type.
fn views(size: Size) -> Vec<u8> {
    let mut btf = Btf::default();
    let name = btf.strings.add(&size.name());
    let count = size.times(24).min(0xffff);
    btf.add(b"u", 5, 8, &[name, 2, 0].repeat(count));
    btf.add(b"int", 1, 4, &[]);
    btf.types.extend(INT[0].to_le_bytes());
    of_type_1(btf, size, 8, 160)
}

/// Members `x`, and such as their further keys would be.
fn keys(size: Size) -> Vec<u8> {
    let mut btf = Btf::default();
    let mut parts = Vec::new();
    for number in 0..1000 {
        parts.extend([btf.strings.add(format!("x_text{}", "_".repeat(number)).as_bytes()), 2, 0]);
    }
    let name = btf.strings.add(b"x");
    parts.extend([name, 2, 0].repeat(size.times(24).min(0xffff - 1000)));
    btf.add(b"s", 4, 8, &parts);
    btf.add(b"int", 1, 4, &[]);
    btf.types.extend(INT[0].to_le_bytes());
    of_type_1(btf, Size { bytes: 2000, ..size }, 8, 80)
}

pub(crate) fn ext(tables: [&[u32]; 3]) -> Section {
    let mut data = vec![0x9f, 0xeb, 1, 0];
    let bytes = tables.map(|table| u32::try_from(table.len() * 4).unwrap());
    let places = [bytes[0], bytes[0] + bytes[1]];
    let header = [32, 0, bytes[0], places[0], bytes[1], places[1], bytes[2]];
    let words = header.iter().chain(tables.into_iter().flatten());
    data.extend(words.flat_map(|word: &u32| word.to_le_bytes()));
    Section::new(".BTF.ext", 0, data)
}

/// Lines and relocations, each for its own instruction, all with the longest text.
fn lines(size: Size) -> Vec<u8> {
    let mut btf = Btf::default();
    let name = btf.strings.add(&size.name());
    let section = btf.strings.add(b"tp_btf/sched_switch");
    let access = btf.strings.add("0:".repeat(size.name / 2).as_bytes());
    btf.add(&size.name(), 4, 8, &[name, 1, 0]);
    let count = u32::try_from(size.times(40)).unwrap();
    let (mut lines, mut cores) = (vec![16, section, count], vec![16, section, count]);
    for number in 0..count {
        lines.extend([number * 8, name, name, (number + 1) << 10]);
        cores.extend([number * 8, 1, access, 0]);
    }
    let mut code = vec![RETURN[0]; count as usize];
    code.push(RETURN[1]);
    object(&code, vec![btf.section(), ext([&[], &lines, &cores])], Vec::new())
}

fn ext_sections(size: Size) -> Vec<u8> {
    let mut btf = Btf::default();
    let first = btf.strings.add(&size.name());
    let count = u32::try_from(size.times(24)).unwrap();
    let mut lines = vec![16];
    for number in 0..count {
        lines.extend([
            first + number % u32::try_from(size.name).unwrap(),
            1,
            0,
            first,
            first,
            1 << 10,
        ]);
    }
    object(&RETURN, vec![btf.section(), ext([&[], &lines, &[]])], Vec::new())
}

/// Loads of one map's address, whose name is long; the rest of the program comes after each.
fn loads(name: Vec<u8>, count: usize, rest: &[[u8; 8]]) -> Vec<u8> {
    let (mut code, mut relocations) = (Vec::new(), Vec::new());
    for _ in 0..count {
        relocations.extend(((code.len() * 8) as u64).to_le_bytes());
        relocations.extend((2_u64 << 32 | 1).to_le_bytes());
        code.extend([insn(0x18, 1, 0, 0), insn(0, 0, 0, 0)]);
        code.extend(rest);
    }
    code.extend(RETURN);
    let map = [27_u32, 0, 0, 4096].iter().flat_map(|word| word.to_le_bytes()).collect();
    let relocations = Section { kind: 9, info: 1, ..Section::new(".rel", 0, relocations) };
    let symbol = Symbol { name, section: 3, value: 0, size: 16, info: VARIABLE };
    object(&code, vec![Section::new("maps", 3, map), relocations], vec![symbol])
}

fn references(size: Size) -> Vec<u8> {
    loads(size.name(), size.times(32), &[])
}

/// Calls into the middle of a function.
fn calls(size: Size) -> Vec<u8> {
    let mut code = vec![insn(0x85, 0x10, 0, 1); size.times(8)];
    code.extend(RETURN);
    object(&code, Vec::new(), Vec::new())
}

/// Functions that call the next one again and again.
fn call_graph(size: Size) -> Vec<u8> {
    let (mut code, mut symbols) = (Vec::new(), Vec::new());
    let length = size.fan + 1;
    let count = size.times(8 * length + 32);
    for number in 0..count {
        let (value, bytes) = ((number * length * 8) as u64, (length * 8) as u64);
        let name = format!("f{number}").into_bytes();
        symbols.push(Symbol { name, section: 1, value, size: bytes, info: 0x12 });
        for call in 0..size.fan {
            let to = if number + 1 == count { 0 } else { length - call - 1 };
            code.push(insn(0x85, 0x10, 0, i32::try_from(to).unwrap()));
        }
        code.push(RETURN[1]);
    }
    let sections = vec![
        Section::code("tp_btf/sched_switch", &code),
        Section::new("license", 3, b"GPL\0".to_vec()),
    ];
    elf(sections, &symbols)
}

/// Stores to many places, then branches with a store each.
fn states(size: Size) -> Vec<u8> {
    let mut code: Vec<_> = (1..=2048).map(|at| insn(0x7a, 10, -8 * at, 1)).collect();
    for number in 0..size.times(16) {
        let number = i16::try_from(number % 2048).unwrap();
        code.push(insn(0x7a, 10, -8 * (number + 1), i32::from(number)));
        code.push(insn(0x15, 0, 0, 0));
    }
    code.extend(RETURN);
    object(&code, Vec::new(), Vec::new())
}

/// Many events.
fn events(size: Size) -> Vec<u8> {
    let send = [
        insn(0xbf, 0xa2, 0, 0),
        insn(0x07, 2, 0, -8 * 2048),
        insn(0xb7, 3, 0, 8 * 2048),
        insn(0xb7, 4, 0, 0),
        insn(0x85, 0, 0, 130),
    ];
    // Each event has a few writes more than the one before.
    let stores = (1..).map(|at| insn(0x7a, 10, -8 * (at % 2048) - 8, 1)).take(size.fan % 16);
    let mut rest: Vec<_> = stores.collect();
    rest.extend(send);
    loads(b"rb".to_vec(), size.times((rest.len() + 4) * 8), &rest)
}

/// Events, of each of which a struct is made, since source lines name its members as no other's.
pub(crate) fn named_events(size: Size) -> Vec<u8> {
    let mut btf = Btf::default();
    let section = btf.strings.add(b"tp_btf/sched_switch");
    let (mut code, mut relocations, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    let fan = i16::try_from(size.fan).unwrap();
    let more = "=(".repeat(size.name / 64);
    for event in 0..size.times(size.fan * (48 + more.len()) + 72) {
        for field in 0..fan {
            let text = btf.strings.add(format!("e->m{event:x}_{field} = 1;{more}").as_bytes());
            let at = u32::try_from(code.len()).unwrap();
            lines.extend([at * 8, section, text, (at + 1) << 10]);
            code.push(insn(0x7a, 10, -8 * (field + 1), 1));
        }
        relocations.extend(((code.len() * 8) as u64).to_le_bytes());
        relocations.extend((2_u64 << 32 | 1).to_le_bytes());
        code.extend([insn(0x18, 1, 0, 0), insn(0, 0, 0, 0), insn(0xbf, 0xa2, 0, 0)]);
        code.extend([insn(0x07, 2, 0, -8 * i32::from(fan)), insn(0xb7, 3, 0, 8 * i32::from(fan))]);
        code.extend([insn(0xb7, 4, 0, 0), insn(0x85, 0, 0, 130)]);
    }
    code.extend(RETURN);
    let count = u32::try_from(lines.len() / 4).unwrap();
    let lines = [&[16, section, count], &lines[..]].concat();
    let map = [27_u32, 0, 0, 4096].iter().flat_map(|word| word.to_le_bytes()).collect();
    let relocations = Section { kind: 9, info: 1, ..Section::new(".rel", 0, relocations) };
    let symbol = Symbol { name: b"rb".to_vec(), section: 3, value: 0, size: 16, info: VARIABLE };
    let maps = Section::new("maps", 3, map);
    object(&code, vec![maps, relocations, btf.section(), ext([&[], &lines, &[]])], vec![symbol])
}

fn symbols(size: Size) -> Vec<u8> {
    let new = |info, section| Symbol { name: size.name(), section, value: 0, size: 0, info };
    let symbols = (0..size.times(48)).flat_map(|_| [new(0x11, 1), new(0x10, 0)]).collect();
    object(&RETURN, Vec::new(), symbols)
}

fn sections(size: Size) -> Vec<u8> {
    let name = String::from_utf8_lossy(&size.name()).into_owned();
    let count = size.times(80).min(0xfe00);
    object(&RETURN, (0..count).map(|_| Section::code(&name, &RETURN)).collect(), Vec::new())
}

fn maps(size: Size) -> Vec<u8> {
    let mut btf = Btf::default();
    let name = btf.strings.add(b"max_entries");
    btf.add(b"", 4, 8, &[name, 0, 0].repeat(size.fan.min(64)));
    let (mut symbols, mut placed) = (Vec::new(), Vec::new());
    for number in 0..u32::try_from(size.times(64)).unwrap() {
        let name = format!("m{number}").into_bytes();
        placed.push((btf.add(&name, 14, 1, &[]), number));
        btf.types.extend(1_u32.to_le_bytes());
        let value = number.into();
        symbols.push(Symbol { name, section: 3, value, size: 1, info: VARIABLE });
    }
    for some in placed.chunks(0xffff) {
        let parts: Vec<_> = some.iter().flat_map(|&(ty, at)| [ty, at, 1]).collect();
        btf.add(b".maps", 15, 1, &parts);
    }
    let data = vec![0; symbols.len()];
    object(&RETURN, vec![Section::new(".maps", 3, data), btf.section()], symbols)
}

/// A map of maps that holds one map, whose name is long, many times.
fn contents(size: Size) -> Vec<u8> {
    let count = size.times(24);
    let mut data: Vec<u8> = [12_u32, 4, 4, 4].iter().flat_map(|word| word.to_le_bytes()).collect();
    data.resize(16 + count * 8, 0);
    let mut relocations = Vec::new();
    for number in 0..count {
        relocations.extend((16 + number as u64 * 8).to_le_bytes());
        relocations.extend((2_u64 << 32 | 2).to_le_bytes());
    }
    let bytes = data.len() as u64;
    let relocations = Section { kind: 9, info: 3, ..Section::new(".rel", 0, relocations) };
    let symbol = Symbol { name: size.name(), section: 3, value: 0, size: bytes, info: VARIABLE };
    object(&RETURN, vec![Section::new("maps", 3, data), relocations], vec![symbol])
}
