//! Compiled objects.

use std::sync::LazyLock;

use clap::Parser;
use snoop_tools::bpfrun::inspect as library;
use snoop_tools::bpfrun::run::set;
use snoop_tools::elf::dwarf::Dwarf;
use snoop_tools::elf::object::Object;
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
