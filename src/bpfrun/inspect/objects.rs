//! The list of the objects in a program.

use anyhow::Result;
use serde_json::{Value, json};

use crate::bpfrun::choose::{self, Objects};
use crate::elf::embedded::Embedded;
use crate::engine::session::say;
use crate::output::json::SCHEMA;
use crate::output::table::{Column, Output};

use super::Args;
use super::parts::present;
use super::words::safe;

const OBJECTS: [Column; 6] = [
    Column::right("OBJECT", 6),
    Column::left("NAME", 16),
    Column::right("OFFSET", 9),
    Column::right("BYTES", 9),
    Column::right("PROGRAMS", 8),
    Column::left("SYMBOL", 0),
];

/// Shows them, and how to choose one. Returns the exit status.
pub(super) fn write(args: &Args, objects: &Objects, out: &mut Output) -> Result<u8> {
    let Objects { all, cut } = objects;
    let broken = |object: &&Embedded| object.programs.is_err();
    let damage = all.iter().filter(broken).map(|object| {
        let why = object.programs.as_ref().err().map_or("", |why| why);
        format!("{}: {why}", choose::title(object))
    });
    let damage: Vec<_> = damage.chain(cut.clone()).collect();
    if args.json {
        let list: Vec<_> = all.iter().map(choose::described).collect();
        out.object(&present(json!({
            "schema": SCHEMA,
            "tool": "bpfrun",
            "version": env!("CARGO_PKG_VERSION"),
            "file": { "path": args.file.to_string_lossy() },
            "objects": Value::Array(list),
            "damage": damage,
        })))?;
    } else {
        table(all, out)?;
    }
    out.flush()?;
    if !args.json && !args.objects {
        say("bpfrun", "shows one of them with --object N or --object NAME");
    }
    damage.iter().for_each(|line| say("bpfrun", &safe(line)));
    Ok(u8::from(!damage.is_empty()))
}

fn table(all: &[Embedded], out: &mut Output) -> Result<()> {
    let [number, name, offset, bytes, programs, symbol] = OBJECTS;
    let title = |object: &Embedded| object.name().unwrap_or("-").to_owned();
    let name = name.fit(all.iter().map(title));
    let columns = [number, name, offset, bytes, programs, symbol];
    out.heading(&columns);
    for object in all {
        let mut line = out.line(&columns);
        line.number(object.number as u64);
        line.name(title(object).as_bytes());
        line.number(object.place.offset).number(object.place.size);
        match &object.programs {
            Ok(programs) => line.number(*programs as u64),
            Err(_) => line.text("damaged"),
        };
        line.name(object.symbol.as_deref().unwrap_or("-").as_bytes());
        drop(line);
        out.flush_if_full()?;
    }
    Ok(())
}
