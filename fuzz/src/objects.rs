//! Compiled objects.

use std::sync::LazyLock;

use clap::Parser;
use snoop_tools::bpfrun::inspect as library;
use snoop_tools::bpfrun::run::set;
use snoop_tools::elf::btf::Btf;
use snoop_tools::elf::dwarf::Dwarf;
use snoop_tools::elf::embedded::{self, Place};
use snoop_tools::elf::file::Content;
use snoop_tools::elf::object::Object;
use snoop_tools::elf::relocate::{self, Outcome};
use snoop_tools::elf::schema::{EventDecoder, UserSchemas, schemas as find};
use snoop_tools::elf::value::Clocks;

use crate::seeds;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    inspect: library::Args,
}

static FLAGS: LazyLock<library::Args> = LazyLock::new(|| {
    let words = ["inspect", "--json", "--disasm", "--types", "--schema", "x.bpf.o"];
    Flags::parse_from(words).inspect
});

/// All that can be shown.
pub(crate) fn inspect(data: &[u8]) {
    if let Err(error) = library::describe(&FLAGS, data) {
        let text = format!("{error:#}");
        assert!(!text.contains('\n') && !text.is_empty(), "{text}");
    }
}

/// The types of the events, and a record, which is the end of the data.
pub(crate) fn schemas(data: &[u8]) {
    let Ok(object) = Object::parse(data) else { return };
    let dwarf = Dwarf::parse(data).unwrap_or_default();
    let user = UserSchemas::default();
    let Ok(found) = find(&object, dwarf.as_ref(), &user) else { return };
    let record = &data[data.len() - data.len().min(200)..];
    for schema in found.all.iter().take(16) {
        let decoder = EventDecoder::new([schema], object.endian, &Clocks::default());
        let Some(kind) = decoder.pick(record) else { continue };
        let Some(decoder) = &kind.decoder else { continue };
        let mut text = String::new();
        decoder.text(record, &mut text);
        assert!(!text.contains(|c: char| c.is_control()), "{text:?}");
        let _ = decoder.json(record);
    }
}

/// `--schema FILE`: the data is the file, for an object that sends records of a kilobyte.
pub(crate) fn described(data: &[u8]) {
    static OBJECT: LazyLock<Object> = LazyLock::new(|| Object::parse(&seeds::sender()).unwrap());
    let one_line = |error: &dyn std::fmt::Display| {
        let text = format!("{error:#}");
        assert!(!text.contains(|c: char| c.is_control()) && !text.is_empty(), "{text:?}");
    };
    let user = match UserSchemas::default().with_schema_text(data, "x.json") {
        Ok(user) => user,
        Err(error) => return one_line(&error),
    };
    let found = match find(&OBJECT, None, &user) {
        Ok(found) => found,
        Err(error) => return one_line(&error),
    };
    for schema in found.all.iter().take(16) {
        let Some(decoder) = schema.decoder(OBJECT.endian, &Clocks::default()) else { continue };
        for record in [&[][..], &[0xff; 24], &[2; 16384]] {
            let mut text = String::new();
            decoder.text(record, &mut text);
            assert!(!text.contains(|c: char| c.is_control()), "{text:?}");
            let _ = (decoder.json(record), decoder.stacks(record), decoder.process(record));
            let _ = (decoder.comm(record), decoder.plain_numbers());
        }
        // What was read can be written, and read again.
        if let Some(fields) = schema.fields() {
            let event = serde_json::json!({ "map": schema.map, "fields": fields });
            let again = serde_json::json!({ "events": [event] }).to_string();
            UserSchemas::default().with_schema_text(again.as_bytes(), "x.json").unwrap();
        }
    }
}

/// `--set`: the object's first variables, with a value out of the data.
pub(crate) fn values(data: &[u8]) {
    let Ok(object) = Object::parse(data) else { return };
    let text = String::from_utf8_lossy(&data[data.len() - data.len().min(40)..]);
    let (path, value) = text.split_once('=').unwrap_or(("", &text));
    for global in object.globals.iter().take(4) {
        let _ = set::patch(&object, &global.name, value);
        let _ = set::patch(&object, &format!("{}{path}", global.name), value);
    }
}

/// Objects in programs: each lies in the data, behind the one before it, and is found in itself.
pub(crate) fn embedded(data: &[u8]) {
    let content = Content::Memory(data.to_vec());
    let places = embedded::find(&content).unwrap().all;
    let described = embedded::describe(&content, &places).unwrap();
    assert_eq!(described.iter().map(|object| object.place).collect::<Vec<_>>(), places);
    let mut end = 0;
    for Place { offset, size } in places {
        assert!(offset >= end && size > 0);
        end = offset + size;
        assert!(end <= content.len());
        let alone = Content::Memory(content.at(offset, size).unwrap());
        assert_eq!(embedded::find(&alone).unwrap().all, [Place { offset: 0, size }]);
    }
}

/// What becomes of an object on a kernel: the data is the object's size, the object, and the
/// kernel's types.
pub(crate) fn relocations(data: &[u8]) {
    let Some((size, rest)) = data.split_first_chunk() else { return };
    let size = u32::from_le_bytes(*size) as usize;
    let (object, kernel) = rest.split_at(size.min(rest.len()));
    let (Ok(object), Ok(kernel)) = (Object::parse(object), Btf::parse(kernel)) else { return };
    let judgement = relocate::judge(&object, &kernel);
    for judged in &judgement.all {
        let has_number = matches!(judged.outcome, Outcome::Works | Outcome::Absent);
        assert_eq!(judged.number.is_some(), has_number, "{judged:?}");
        assert_eq!(judged.why.is_none(), judged.outcome == Outcome::Works, "{judged:?}");
    }
    assert_eq!(relocate::judge(&object, &kernel), judgement, "it does not depend on the order");
}
