//! The user's types: `--type MAP=STRUCT` and `--type-from FILE`.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::clang::compile;
use super::described::{self, Described};
use crate::elf::dwarf::Dwarf;
use crate::elf::file;
use crate::elf::object::Object;
use crate::elf::types::{TypeId, Types};

/// The user's types of events.
#[derive(Debug, Default)]
pub struct UserSchemas {
    /// Map and struct
    wanted: Vec<(String, String)>,
    /// Types and the file that they come from
    sources: Vec<(Types, String)>,
    /// Corrected types, for this object
    described: Vec<Described>,
}

/// A map's type, found.
pub(super) struct Named<'a> {
    pub map: String,
    pub types: &'a Types,
    pub ty: TypeId,
    pub how: String,
}

impl UserSchemas {
    /// `wanted`: each `MAP=STRUCT`, or `PROGRAM=STRUCT` for an iterator. `files`: C headers, which
    /// clang compiles, or compiled objects.
    pub fn new(wanted: &[String], files: &[impl AsRef<Path>]) -> Result<Self> {
        let mut user = Self::default();
        for text in wanted {
            let Some((map, name)) = text.split_once('=').filter(|(map, _)| !map.is_empty()) else {
                bail!("--type {text}: give MAP=STRUCT");
            };
            user.wanted.push((map.trim().to_owned(), name.trim().to_owned()));
        }
        for path in files {
            let path = path.as_ref();
            let name = path.display();
            let types = read_types(path).with_context(|| format!("--type-from {name}"))?;
            user.sources.push((types, name.to_string()));
        }
        Ok(user)
    }

    /// Adds the types of a file that `inspect --schema --json` has written and a person corrected.
    pub fn with_schema(mut self, files: &[impl AsRef<Path>]) -> Result<Self> {
        for path in files {
            let path = path.as_ref();
            let read = described::read(path);
            self.described.push(read.with_context(|| format!("--schema {}", path.display()))?);
        }
        Ok(self)
    }

    /// Adds the types in the text of such a file, which is called `name` in messages.
    pub fn with_schema_text(mut self, text: &[u8], name: &str) -> Result<Self> {
        let read = described::parse(text, name.to_owned());
        self.described.push(read.with_context(|| format!("--schema {name}"))?);
        Ok(self)
    }

    /// The corrected types of each file.
    pub(super) fn described(&self) -> &[Described] {
        &self.described
    }

    /// The types of each file, with its name.
    pub(super) fn headers(&self) -> impl Iterator<Item = (&Types, &str)> {
        self.sources.iter().map(|(types, name)| (types, name.as_str()))
    }

    /// Looks up the wanted structs in the given files, in debug information, in BTF.
    pub(super) fn resolve<'a>(
        &'a self,
        object: &'a Object,
        dwarf: Option<&'a Dwarf>,
    ) -> Result<Vec<Named<'a>>> {
        let mut named = Vec::new();
        for (map, name) in &self.wanted {
            let is_map = object
                .maps
                .iter()
                .any(|known| (known.takes_events() || known.is_unknown()) && known.name == *map);
            if !is_map && !object.programs.iter().any(|program| program.name == *map) {
                let maps = object.maps.iter().filter(|map| map.takes_events());
                let maps: Vec<_> = maps.map(|map| map.name.as_str()).collect();
                bail!(
                    "--type {map}={name}: no such map takes events; there are: {}",
                    maps.join(" ")
                );
            }
            let sources =
                self.headers().map(|(types, file)| (types, format!("--type, from {file}")));
            let dwarf = dwarf.map(|dwarf| (&dwarf.types, "--type".to_owned()));
            let btf = object.btf.as_ref().map(|btf| (&btf.types, "--type".to_owned()));
            let found = sources.chain(dwarf).chain(btf).find_map(|(types, how)| {
                let ty = types.by_c_name(name)?;
                Some(Named { map: map.clone(), types, ty, how })
            });
            named.push(found.with_context(|| {
                format!(
                    "--type {map}={name}: no such type in the object; \
                     --type-from HEADER takes one from C"
                )
            })?);
        }
        Ok(named)
    }
}

/// Refuses a `MAP=STRUCT` of `--type` if no such map can have types. The reader of schemas checks
/// the rest.
pub fn can_have_types<'a>(
    object: &Object,
    mut wanted: impl Iterator<Item = &'a str>,
) -> Result<(), String> {
    let is_iterator = |name: &str| object.programs.iter().any(|program| program.name == name);
    if object.maps.iter().any(|map| map.takes_events() || map.is_unknown()) {
        return Ok(());
    }
    match wanted.find(|wanted| !is_iterator(wanted.split('=').next().unwrap_or(wanted))) {
        Some(wanted) => Err(format!("--type {wanted}: none of its maps takes events")),
        None => Ok(()),
    }
}

/// The types of a compiled object, or of a header.
fn read_types(path: &Path) -> Result<Types> {
    let data = file::read(path)?;
    if data.starts_with(b"\x7fELF") {
        return types_of(&data);
    }
    let plain = compile(path, "")?;
    match plain {
        Ok(object) => types_of(&object),
        // Headers for BPF rely on vmlinux.h.
        Err(_) => types_of(&compile(path, PRELUDE)?.map_err(|error| anyhow::anyhow!(error))?),
    }
}

fn types_of(data: &[u8]) -> Result<Types> {
    if let Some(dwarf) = Dwarf::parse(data)? {
        return Ok(dwarf.types);
    }
    let btf = Object::parse(data)?.btf;
    Ok(btf.context("there are no types in it")?.types)
}

/// The types of vmlinux.h that events use.
const PRELUDE: &str = "
typedef unsigned char __u8, u8, uint8_t; typedef signed char __s8, s8, int8_t;
typedef unsigned short __u16, u16, uint16_t; typedef short __s16, s16, int16_t;
typedef unsigned int __u32, u32, uint32_t; typedef int __s32, s32, int32_t;
typedef unsigned long long __u64, u64; typedef long long __s64, s64;
typedef unsigned long uint64_t, size_t; typedef long int64_t, ssize_t;
typedef u16 __be16, __le16, __sum16; typedef u32 __be32, __le32, __wsum; typedef u64 __be64, __le64;
typedef int pid_t; typedef u32 uid_t, gid_t, dev_t; typedef unsigned short umode_t;
typedef s64 ktime_t, loff_t; typedef _Bool bool;
enum { false = 0, true = 1 };
struct in6_addr { union { u8 u6_addr8[16]; __be16 u6_addr16[8]; __be32 u6_addr32[4]; } in6_u; };
#define TASK_COMM_LEN 16
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_header_is_told_with_its_own_line() {
        let name = format!("snoop-{}-wrong.h", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, "struct right { u32 a; };\nstruct x {").unwrap();
        let error = read_types(&path).unwrap_err().to_string();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(error, format!("clang: {}:2:11: error: expected '}}'", path.display()));
    }
}
