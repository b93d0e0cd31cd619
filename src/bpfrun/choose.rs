//! The object that a command line means: a file, stdin, or one of the objects in a program.

use std::path::Path;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::bpfrun::list::list;
use crate::elf::embedded::{self, Embedded, Place, Places};
use crate::elf::file::{Content, MAX_BYTES};
use crate::elf::object::Object;
use crate::output::escape::push_text;

/// The bytes of an object, and where they are from.
#[derive(Clone, Debug)]
pub struct Chosen {
    pub data: Vec<u8>,
    /// `None`: the file is the object
    pub within: Option<Embedded>,
    /// What of the file was not searched for objects
    pub cut: Option<String>,
}

/// The objects of a file.
#[derive(Debug)]
pub enum Choice {
    /// The one that is meant
    One(Chosen),
    /// Several, and none was named
    Several(Objects),
    /// `--object` names none of them: why, in one line
    Wrong(String),
}

/// All objects in a program.
#[derive(Debug)]
pub struct Objects {
    pub all: Vec<Embedded>,
    /// What of the file was not searched for objects
    pub cut: Option<String>,
}

/// Opens a file, or stdin as `-`, and finds the object that `wanted` names by its number or name.
/// Without it there must be just one. `listed`: also one is to be listed.
pub fn open(path: &Path, wanted: Option<&str>, listed: bool) -> Result<Choice> {
    let content = Content::open(path)?;
    let begin = content.at(0, 64)?;
    if content.is_empty() || embedded::is_object(&begin) {
        if listed {
            let whole = Place { offset: 0, size: content.len().min(MAX_BYTES) };
            let all = embedded::describe(&content, &[whole])?;
            return Ok(Choice::Several(Objects { all, cut: None }));
        }
        let data = content.all()?;
        return Ok(match wanted {
            None | Some("1") => Choice::One(Chosen { data, within: None, cut: None }),
            Some(wanted) => {
                Choice::Wrong(format!("no object {}: the file is one itself", shown(wanted)))
            }
        });
    }
    let Places { all: places, cut } = embedded::find(&content)?;
    if places.is_empty() {
        let what = Object::parse(&begin).err().map(|error| error.to_string());
        let what = what.filter(|what| what.ends_with("not for BPF") || !what.contains("truncated"));
        let mut what = what.unwrap_or_else(|| "a damaged or truncated ELF file".to_owned());
        what.push_str(", and no BPF object is in it");
        if let Some(cut) = cut {
            what.push_str(&format!(" ({cut})"));
        }
        bail!(what);
    }
    let all = embedded::describe(&content, &places)?;
    let found = match (wanted, &*all) {
        (None, [only]) if !listed => only,
        (None, _) => return Ok(Choice::Several(Objects { all, cut })),
        (Some(wanted), all) => match named(all, wanted) {
            Ok(found) => found,
            Err(why) => return Ok(Choice::Wrong(why)),
        },
    };
    let data = content.at(found.place.offset, found.place.size)?;
    Ok(Choice::One(Chosen { data, within: Some(found.clone()), cut }))
}

/// The object with this number or name.
fn named<'a>(all: &'a [Embedded], wanted: &str) -> Result<&'a Embedded, String> {
    if let Some(found) = all.iter().find(|object| object.number.to_string() == wanted) {
        return Ok(found);
    }
    let called: Vec<_> = all.iter().filter(|object| object.is_called(wanted)).collect();
    match called.as_slice() {
        [one] => Ok(one),
        [] => Err(format!("no object {}: there are {}", shown(wanted), names(all))),
        several => {
            let numbers = several.iter().map(|object| object.number.to_string());
            let numbers = list(numbers, " and ");
            Err(format!("{} is the name of the objects {numbers}: give a number", shown(wanted)))
        }
    }
}

/// The objects in one line: `1 (execsnoop), 2`.
pub fn names(all: &[Embedded]) -> String {
    let name = |object: &Embedded| match object.name() {
        Some(name) => format!("{} ({})", object.number, shown(name)),
        None => object.number.to_string(),
    };
    list(all.iter().map(name), ", ")
}

/// What an object in a file is called there: its name, or `object N`.
pub fn title(object: &Embedded) -> String {
    match object.name() {
        Some(name) => shown(name),
        None => format!("object {}", object.number),
    }
}

/// The object as JSON has it.
pub fn described(object: &Embedded) -> Value {
    json!({
        "number": object.number,
        "name": object.name(),
        "source": object.source,
        "symbol": object.symbol,
        "offset_bytes": object.place.offset,
        "size_bytes": object.place.size,
        "programs": object.programs.as_ref().ok(),
        "damage": object.programs.as_ref().err(),
    })
}

/// A name from people or files, on one line and escaped for a terminal.
fn shown(text: &str) -> String {
    let mut out = String::new();
    push_text(&mut out, text.as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(number: usize, source: Option<&str>) -> Embedded {
        Embedded {
            number,
            place: Place { offset: 64, size: 128 },
            source: source.map(str::to_owned),
            symbol: None,
            programs: Ok(1),
        }
    }

    #[test]
    fn objects_are_named_by_number_or_name() {
        let all = [object(1, Some("a.bpf.c")), object(2, None), object(3, Some("a.bpf.c"))];
        let number = |wanted: &str| named(&all, wanted).map(|object| object.number);
        assert_eq!((number("2"), number("3")), (Ok(2), Ok(3)));
        assert_eq!(number("a"), Err("a is the name of the objects 1 and 3: give a number".into()));
        assert_eq!(number("4"), Err("no object 4: there are 1 (a), 2, 3 (a)".into()));
        assert_eq!(number("\x1b").unwrap_err().chars().next(), Some('n'));
        assert_eq!(named(&all[..2], "a.bpf.c").map(|object| object.number), Ok(1));
        assert_eq!((title(&all[0]), title(&all[1])), ("a".into(), "object 2".into()));
    }
}
