//! Rows: what is shown of each event, message and line of an iterator.

use std::collections::HashMap;

use anyhow::Result;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::elf::schema::{Alternative, EventDecoder};
use crate::elf::value::Decoder;
use crate::escape::push_text;
use crate::json::{Bytes, EventName};
use crate::out::Column;
use crate::run::printk::Message;
use crate::session::Session;

/// Bytes of an event without a schema that are shown.
const HEX_BYTES: usize = 4096;

/// How events are to be read: by map, and by program what iterators write.
pub type Schemas = HashMap<String, EventDecoder>;

/// Makes rows.
pub struct Rows {
    columns: Vec<Column>,
    schemas: Schemas,
    has_cpu: bool,
    has_program: bool,
    text: String,
}

/// Where an event came from, and when.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// `CLOCK_BOOTTIME` in nanoseconds
    pub time_ns: u64,
    /// A map, or `printk`, or `iter`
    pub map: &'a str,
    /// Where it is known
    pub cpu: Option<u32>,
    /// Where it is known
    pub program: Option<&'a str>,
}

/// What all rows of JSON begin with.
#[derive(Serialize)]
struct Record<'a, T> {
    timestamp: String,
    event: EventName,
    bpf: Bpf<'a>,
    #[serde(flatten)]
    content: T,
}

#[derive(Serialize)]
struct Bpf<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    map: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<u32>,
}

#[derive(Serialize)]
struct Data {
    data: Value,
}

impl Rows {
    /// `sources`: the names of all that rows may come from; `has_cpu`: whether some tell on
    /// which CPU they were sent.
    pub fn new(schemas: Schemas, sources: &[&str], has_cpu: bool) -> Self {
        let width = |names: &mut dyn Iterator<Item = &str>| {
            names.map(str::len).max().unwrap_or(0).clamp(3, 32)
        };
        let kinds = schemas.values().flat_map(|decoder| &decoder.alternatives);
        let senders: Vec<_> = kinds.filter_map(sender).collect();
        let mut columns = vec![
            Column::left("TIME", 15),
            Column::left("MAP", width(&mut sources.iter().copied())),
        ];
        if has_cpu {
            columns.push(Column::right("CPU", 3));
        }
        let has_program = !senders.is_empty();
        if has_program {
            columns.push(Column::left("PROGRAM", width(&mut senders.into_iter()).max(7)));
        }
        columns.push(Column::left("EVENT", 0));
        Self { columns, schemas, has_cpu, has_program, text: String::new() }
    }

    /// The heading of the text.
    pub fn heading(&self, session: &mut Session) {
        session.out.heading(&self.columns);
    }

    /// An event of a map.
    pub fn event(&mut self, origin: Origin<'_>, data: &[u8], session: &mut Session) -> Result<()> {
        let kind = self.schemas.get(origin.map).and_then(|decoder| decoder.pick(data));
        let program = kind.and_then(sender);
        let decoder = kind.and_then(|kind| kind.decoder.as_ref());
        if session.out.json {
            let data = match decoder {
                Some(decoder) => decoder.json(data),
                None => json!({ "hex": hex(data), "bytes": data.len() }),
            };
            let record = Record {
                timestamp: session.clock.rfc3339(origin.time_ns),
                event: EventName { name: "bpf.event" },
                bpf: Bpf { map: Some(origin.map), program, cpu: origin.cpu },
                content: Data { data },
            };
            session.out.object(&record)?;
            return session.shown();
        }
        self.text.clear();
        match decoder {
            Some(decoder) => decoder.text(data, &mut self.text),
            None => {
                self.text.push_str(&format!("{} bytes: {}", data.len(), hex(data)));
            }
        }
        let owned = program.map(str::to_owned);
        self.line(Origin { program: owned.as_deref(), ..origin }, session)
    }

    /// A message of `bpf_printk()`.
    pub fn message(&mut self, message: &Message, session: &mut Session) -> Result<()> {
        let Message { time_ns, comm, tid, cpu, text } = message;
        if session.out.json {
            #[derive(Serialize)]
            struct Id {
                id: u32,
            }
            #[derive(Serialize)]
            struct Thread<'a> {
                thread: Id,
                #[serde(skip_serializing_if = "Option::is_none")]
                process: Option<Bytes<'a>>,
                #[serde(flatten)]
                message: Bytes<'a>,
            }
            // The kernel forgot the name.
            let comm = Some(comm.as_slice()).filter(|comm| *comm != b"<...>");
            session.out.object(&Record {
                timestamp: session.clock.rfc3339(*time_ns),
                event: EventName { name: "bpf.printk" },
                bpf: Bpf { map: None, program: None, cpu: Some(*cpu) },
                content: Thread {
                    thread: Id { id: *tid },
                    process: comm
                        .map(|comm| Bytes { keys: ("comm", "comm_base64"), value: Some(comm) }),
                    message: Bytes {
                        keys: ("message", "message_base64"),
                        value: Some(text.as_slice()),
                    },
                },
            })?;
            return session.shown();
        }
        self.text.clear();
        push_text(&mut self.text, comm);
        self.text.push_str(&format!("-{tid}: "));
        push_text(&mut self.text, text);
        let origin = Origin { time_ns: *time_ns, map: "printk", cpu: Some(*cpu), program: None };
        self.line(origin, session)
    }

    /// A line that an iterator wrote.
    pub fn written(
        &mut self,
        origin: Origin<'_>,
        line: &[u8],
        session: &mut Session,
    ) -> Result<()> {
        if session.out.json {
            session.out.object(&Record {
                timestamp: session.clock.rfc3339(origin.time_ns),
                event: EventName { name: "bpf.iterator" },
                bpf: Bpf { map: None, program: origin.program, cpu: None },
                content: Bytes { keys: ("line", "line_base64"), value: Some(line) },
            })?;
            return session.shown();
        }
        // As it is, but for what a terminal would act upon.
        self.text.clear();
        push_text(&mut self.text, line);
        self.text.push('\n');
        session.out.raw(&self.text)?;
        session.shown()
    }

    /// What an iterator wrote in one piece, by its type.
    pub fn element(&mut self, program: &str, data: &[u8], session: &mut Session) -> Result<()> {
        let kind = self.schemas.get(program).and_then(|decoder| decoder.pick(data));
        let Some(decoder) = kind.and_then(|kind| kind.decoder.as_ref()) else { return Ok(()) };
        if session.out.json {
            session.out.object(&Record {
                timestamp: session.clock.rfc3339(crate::time::boot_now_ns()),
                event: EventName { name: "bpf.iterator" },
                bpf: Bpf { map: None, program: Some(program), cpu: None },
                content: Data { data: decoder.json(data) },
            })?;
            return session.shown();
        }
        self.text.clear();
        decoder.text(data, &mut self.text);
        self.text.push('\n');
        session.out.raw(&self.text)?;
        session.shown()
    }

    /// Bytes of each piece that an iterator writes, if it writes no text.
    pub fn element_bytes(&self, program: &str) -> Option<usize> {
        let [only] = self.schemas.get(program)?.alternatives.as_slice() else { return None };
        usize::try_from(only.decoder.as_ref()?.bytes()).ok().filter(|&bytes| bytes > 0)
    }

    /// The kinds of records of a map, or of what an iterator writes.
    pub fn kinds(&self, name: &str) -> &[Alternative] {
        self.schemas.get(name).map_or(&[], |decoder| &decoder.alternatives)
    }

    /// For `trace.start`: by map, what its events are and where that is known from.
    pub fn described(&self, names: &[&str]) -> Value {
        let mut maps = Map::new();
        for &name in names {
            let kinds = self.kinds(name).iter().map(|kind| {
                json!({
                    "type": kind.type_name,
                    "bytes": kind.decoder.as_ref().map(Decoder::bytes),
                    "provenance": kind.provenance.word(),
                    "how": kind.provenance.to_string(),
                    "programs": kind.senders,
                })
            });
            maps.insert(name.to_owned(), kinds.collect());
        }
        Value::Object(maps)
    }

    /// Measures the clocks of all decoders anew.
    pub fn update_clocks(&mut self) {
        for decoder in self.schemas.values_mut() {
            decoder.update_clocks();
        }
    }

    /// A line of the table, with what has been put into `self.text`.
    fn line(&mut self, origin: Origin<'_>, session: &mut Session) -> Result<()> {
        let time = session.clock.local_time_us(origin.time_ns);
        let mut line = session.out.line(&self.columns);
        line.text(&time).name(origin.map.as_bytes());
        if self.has_cpu {
            match origin.cpu {
                Some(cpu) => line.number(cpu),
                None => line.text("-"),
            };
        }
        if self.has_program {
            line.name(origin.program.unwrap_or_default().as_bytes());
        }
        line.text(&self.text);
        session.shown()
    }
}

/// The program that sends a kind of record, if there is only one.
fn sender(kind: &Alternative) -> Option<&str> {
    match kind.senders.as_slice() {
        [only] => Some(only),
        _ => None,
    }
}

/// Bytes in hexadecimal.
pub fn hex(data: &[u8]) -> String {
    let mut out = String::new();
    for byte in data.iter().take(HEX_BYTES) {
        out.push_str(&format!("{byte:02x}"));
    }
    if data.len() > HEX_BYTES {
        out.push('…');
    }
    out
}
