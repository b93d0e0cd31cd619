//! A compiled BPF object, read completely at once.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use object::Endianness;

use super::btf::Btf;
use super::btf_ext::BtfExt;
use super::code::{self, Function, OUTSIDE};
use super::cursor::Cursor;
use super::global::{self, Extern, Global, Section};
use super::hook::Hook;
use super::map::{self, Map};
use super::sections::{File, Symbol};

/// The contents of a file.
#[derive(Clone, Debug, Default)]
pub struct Object {
    /// Its byte order
    pub endian: Endianness,
    /// `SEC("license")`
    pub licence: Option<String>,
    /// `SEC("version")`: required by kernels before 5.0; `0xMMmmpp`
    pub kernel_version: Option<u32>,
    /// Data sections by their index in the file; others are empty
    pub sections: Vec<Section>,
    /// The programs, in the order of the functions
    pub programs: Vec<Program>,
    /// All functions, programs among them, in the order of their places
    pub functions: Vec<Function>,
    /// Maps in the order of their places
    pub maps: Vec<Map>,
    /// Variables in the order of their places
    pub globals: Vec<Global>,
    /// Symbols and options expected of the kernel
    pub externs: Vec<Extern>,
    /// Its types
    pub btf: Option<Btf>,
    /// Whether it has DWARF, too
    pub has_dwarf: bool,
    /// Parts that could not be read: one line each
    pub damage: Vec<String>,
}

/// A program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The name of its function
    pub name: String,
    /// The name of its section, which says where it belongs
    pub section: String,
    /// The parsed section name
    pub hook: Hook,
    /// Index in [`Object::functions`]
    pub function: usize,
}

impl Object {
    /// Reads a file's content. An error says in one line why the file is not a BPF object.
    pub fn parse(data: &[u8]) -> Result<Self> {
        let file = File::parse(data)?;
        let mut damage = Vec::new();
        let btf = file.section(b".BTF").and_then(|(_, section)| {
            let read = Btf::parse(section.data).context("damaged BTF");
            read.map_err(|error| damage.push(format!("{error:#}"))).ok()
        });
        let types = btf.as_ref().map(|btf| &btf.types);
        let maps = map::read(&file, types)?;
        let globals = global::read(&file, types)?;
        let externs = global::externs(&file, types)?;
        let mut functions = code::functions(&file)?;
        code::resolve(&file, &mut functions, &maps, &extern_numbers(&file, &externs))?;
        if let (Some(btf), Some((_, section))) = (&btf, file.section(b".BTF.ext")) {
            match BtfExt::parse(section.data, btf).context("damaged BTF.ext") {
                Ok(ext) => code::describe(&mut functions, &ext),
                Err(error) => damage.push(format!("{error:#}")),
            }
        }
        let programs = functions.iter().enumerate().filter(|(_, function)| is_program(function));
        let programs = programs
            .map(|(index, function)| Program {
                name: function.name.clone(),
                section: function.section_name.clone(),
                hook: Hook::new(&function.section_name),
                function: index,
            })
            .collect();
        Ok(Self {
            endian: file.endian,
            licence: licence(&file)?,
            kernel_version: file
                .section(b"version")
                .and_then(|(_, section)| Cursor::new(section.data, file.endian).u32()),
            sections: global::sections(&file)?,
            programs,
            functions,
            maps,
            globals,
            externs,
            btf,
            has_dwarf: file.section(b".debug_info").is_some(),
            damage,
        })
    }

    /// Functions that are not programs, but called by programs.
    pub fn called(&self) -> impl Iterator<Item = &Function> {
        let is_program =
            |index| self.programs.binary_search_by_key(&index, |program| program.function).is_ok();
        let functions = self.functions.iter().enumerate();
        functions.filter(move |(index, _)| !is_program(*index)).map(|(_, function)| function)
    }

    /// The function that a program begins in.
    pub fn function(&self, program: &Program) -> Option<&Function> {
        self.functions.get(program.function)
    }

    /// The initial value of a variable; `None` if it is all zeroes in a section like `.bss`,
    /// which has no content.
    pub fn initial_value(&self, global: &Global) -> Option<&[u8]> {
        let data = &self.sections.get(global.section)?.data;
        let start = usize::try_from(global.offset).ok()?;
        data.get(start..)?.get(..usize::try_from(global.size).ok()?)
    }

    /// The variable at a place in a data section, and the offset in that variable.
    pub fn global_at(&self, section: usize, offset: u64) -> Option<(&Global, u64)> {
        let after = self.globals.partition_point(|g| (g.section, g.offset) <= (section, offset));
        let global = self.globals.get(after.checked_sub(1)?)?;
        let within = offset.checked_sub(global.offset)?;
        (global.section == section && within < global.size).then_some((global, within))
    }

    /// A place in code that is not the beginning of a function, in words.
    pub fn place(&self, section: usize, offset: u64) -> String {
        let first = self.functions.partition_point(|function| function.section < section);
        let function = self.functions.get(first).filter(|function| function.section == section);
        let name = match (function, self.sections.get(section)) {
            (Some(function), _) => function.section_name.clone(),
            (None, Some(data)) if !data.name.is_empty() => data.name.clone(),
            (None, _) => format!("section {section}"),
        };
        match offset {
            OUTSIDE => format!("{name}, outside of it"),
            offset => format!("{name}+{offset:#x}"),
        }
    }

    /// The bytes of a C string in a data section, without its NUL.
    pub fn string_at(&self, section: usize, offset: u64) -> Option<&[u8]> {
        let data = &self.sections.get(section)?.data;
        let rest = data.get(usize::try_from(offset).ok()?..)?;
        let end = rest.iter().position(|&byte| byte == 0)?;
        rest.get(..end)
    }
}

/// Programs have a section with a meaning; they call the functions in `.text`. A static function
/// cannot be a program.
fn is_program(function: &Function) -> bool {
    function.global && !function.section_name.starts_with(".text")
}

fn licence(file: &File<'_>) -> Result<Option<String>> {
    let Some((_, section)) = file.section(b"license") else { return Ok(None) };
    let text = section.data.split(|&byte| byte == 0).next().unwrap_or_default();
    file.name(text).map(Some)
}

/// For each symbol its index in the list of externs, or `usize::MAX`.
fn extern_numbers(file: &File<'_>, externs: &[Extern]) -> Vec<usize> {
    let numbers: HashMap<_, _> =
        externs.iter().enumerate().map(|(i, e)| (e.name.as_bytes(), i)).collect();
    // Only those that were read as such: many others may share one long name.
    let number = |symbol: &Symbol<'_>| {
        let known = Some(symbol).filter(|symbol| global::is_extern(symbol));
        known.and_then(|symbol| numbers.get(symbol.name)).copied().unwrap_or(usize::MAX)
    };
    file.symbols.iter().map(number).collect()
}
