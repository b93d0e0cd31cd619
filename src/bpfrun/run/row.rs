//! Rows for events, messages and lines of iterators.

use std::collections::HashSet;

use anyhow::Result;
use object::Endianness;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::bpfrun::run::printk::Message;
use crate::bpfrun::run::schemas::{Schemas, Sizes};
use crate::bpfrun::run::stacks::Stacks;
use crate::elf::schema::{Alternative, Origin as Sender, Site};
use crate::elf::value::Decoder;
use crate::engine::session::Session;
use crate::output::escape::push_text;
use crate::output::json::{Bytes, EventName};
use crate::output::table::{Column, count};

/// The most bytes to show of an event without a schema.
const HEX_BYTES: usize = 4096;

/// Makes rows.
pub struct Rows {
    columns: Vec<Column>,
    schemas: Schemas,
    sizes: Sizes,
    /// Iterators that write no text, as observed
    binary: HashSet<String>,
    /// The programs that run
    running: HashSet<String>,
    has_cpu: bool,
    has_program: bool,
    text: String,
    /// Names stacks, if there are any
    pub stacks: Option<Stacks>,
}

/// The origin of an event, and its time.
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

/// The first members of all rows of JSON.
#[derive(Serialize)]
struct Record<'a, T> {
    timestamp: String,
    event: EventName,
    bpf: Bpf<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<Cpu>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Code<'a>>,
    #[serde(flatten)]
    content: T,
}

#[derive(Serialize)]
struct Bpf<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    map: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<&'a str>,
}

/// Where the program ran.
#[derive(Serialize)]
struct Cpu {
    logical_number: u32,
}

/// The source line that sent an event.
#[derive(Serialize)]
struct Code<'a> {
    file: SourceFile<'a>,
    line: SourceLine,
}

#[derive(Serialize)]
struct SourceFile<'a> {
    path: &'a str,
}

#[derive(Serialize)]
struct SourceLine {
    number: u32,
}

impl Cpu {
    fn new(logical_number: u32) -> Self {
        Self { logical_number }
    }
}

impl<'a> Code<'a> {
    fn new(site: &'a Site) -> Self {
        Self { file: SourceFile { path: &site.file }, line: SourceLine { number: site.line } }
    }
}

#[derive(Serialize)]
struct Data {
    data: Value,
    #[serde(flatten)]
    stacks: Map<String, Value>,
}

impl Rows {
    /// `sizes`: of records without a schema; `running`: the programs that run; `sources`: all names
    /// that may be in the MAP column; `has_cpu`: whether some sources name the CPU.
    pub fn new(
        schemas: Schemas,
        sizes: Sizes,
        running: HashSet<String>,
        sources: &[&str],
        has_cpu: bool,
    ) -> Self {
        let shown = schemas.iter().filter(|(name, _)| sources.contains(&name.as_str()));
        let kinds = shown.flat_map(|(_, decoder)| &decoder.alternatives);
        let senders: Vec<_> = kinds.flat_map(|kind| labels(kind, &running)).collect();
        let mut columns = vec![Column::left("TIME", 15), Column::left("MAP", 3).fit(sources)];
        if has_cpu {
            columns.push(Column::right("CPU", 3));
        }
        let has_program = !senders.is_empty();
        if has_program {
            columns.push(Column::left("PROGRAM", 7).fit(&senders));
        }
        columns.push(Column::left("EVENT", 0));
        let text = String::new();
        Self {
            columns,
            schemas,
            sizes,
            binary: HashSet::new(),
            running,
            has_cpu,
            has_program,
            text,
            stacks: None,
        }
    }

    /// The heading of the text.
    pub fn heading(&self, session: &mut Session) {
        session.out.heading(&self.columns);
    }

    /// An event of a map.
    pub fn event(&mut self, origin: Origin<'_>, data: &[u8], session: &mut Session) -> Result<()> {
        let schema = self.schemas.get(origin.map);
        let kind = schema.and_then(|decoder| Some((decoder.pick(data)?, decoder.endian)));
        let sent = kind.map(|(kind, endian)| Sent::new(kind, data, endian, &self.running));
        let Sent { program, site } = sent.unwrap_or_default();
        let kind = kind.map(|(kind, _)| kind);
        let decoder = kind.and_then(|kind| kind.decoder.as_ref());
        // Perf buffers have the time of sending, ring buffers only what a program puts into a record.
        let made = decoder.filter(|_| origin.cpu.is_none()).and_then(|known| known.time_ns(data));
        let origin = Origin { time_ns: made.unwrap_or(origin.time_ns), ..origin };
        let data = match (decoder, origin.cpu) {
            // Only perf buffers give the CPU.
            (None, Some(_)) => self.without_padding(origin.map, data),
            _ => data,
        };
        let named = self.stacks.as_ref().zip(decoder).and_then(|(stacks, decoder)| {
            stacks.of_event(decoder, data, origin.time_ns, session.errands.as_mut())
        });
        if let Some(stacks) = self.stacks.as_mut().filter(|stacks| stacks.folded.is_some()) {
            let comm = decoder.and_then(|decoder| decoder.comm(data)).unwrap_or_default();
            named.iter().for_each(|named| stacks.fold(&comm, named, 1));
            return session.shown();
        }
        if session.out.json {
            let data = match decoder {
                Some(decoder) => decoder.json(data),
                None => bytes_json(data),
            };
            let mut stacks = Map::new();
            named.iter().for_each(|named| named.insert(&mut stacks));
            let record = Record {
                timestamp: session.clock.rfc3339(origin.time_ns),
                event: EventName { name: "bpf.event" },
                bpf: Bpf { map: Some(origin.map), program },
                cpu: origin.cpu.map(Cpu::new),
                code: site.map(Code::new),
                content: Data { data, stacks },
            };
            session.out.object(&record)?;
            return session.shown();
        }
        self.text.clear();
        match decoder {
            Some(decoder) => decoder.text(data, &mut self.text),
            None => push_bytes(&mut self.text, data),
        }
        let line = site.filter(|_| kind.is_some_and(has_lines));
        let owned = program.map(|program| label(program, line));
        self.line(Origin { program: owned.as_deref(), ..origin }, session)?;
        match named {
            Some(named) => session.out.raw(named.text()),
            None => Ok(()),
        }
    }

    /// Whether any events have stacks.
    pub fn have_stacks(&self) -> bool {
        let mut kinds = self.schemas.values().flat_map(|decoder| &decoder.alternatives);
        kinds.any(|kind| kind.decoder.as_ref().is_some_and(Decoder::has_stacks))
    }

    /// A message of `bpf_printk()`.
    pub fn message(&mut self, message: &Message, session: &mut Session) -> Result<()> {
        let Message { time_ns, comm, tid, cpu, text } = message;
        // The kernel may have forgotten the name.
        let comm = Some(comm.as_slice()).filter(|comm| *comm != b"<...>");
        if session.out.json {
            #[derive(Serialize)]
            struct Id<'a> {
                id: u32,
                #[serde(flatten)]
                name: Bytes<'a>,
            }
            #[derive(Serialize)]
            struct Thread<'a> {
                thread: Id<'a>,
                #[serde(flatten)]
                message: Bytes<'a>,
            }
            session.out.object(&Record {
                timestamp: session.clock.rfc3339(*time_ns),
                event: EventName { name: "bpf.printk" },
                bpf: Bpf { map: None, program: None },
                cpu: Some(Cpu::new(*cpu)),
                code: None,
                content: Thread {
                    thread: Id {
                        id: *tid,
                        name: Bytes { keys: ("name", "name_base64"), value: comm },
                    },
                    message: Bytes {
                        keys: ("message", "message_base64"),
                        value: Some(text.as_slice()),
                    },
                },
            })?;
            return session.shown();
        }
        self.text.clear();
        push_message(&mut self.text, comm, *tid, text);
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
                bpf: Bpf { map: None, program: origin.program },
                cpu: None,
                code: None,
                content: Bytes { keys: ("line", "line_base64"), value: Some(line) },
            })?;
            return session.shown();
        }
        // As it is, except for characters with an effect on a terminal.
        self.text.clear();
        push_text(&mut self.text, line);
        self.text.push('\n');
        session.out.raw(&self.text)?;
        session.shown()
    }

    /// One piece of an iterator's output, by type or as bytes.
    pub fn element(&mut self, program: &str, data: &[u8], session: &mut Session) -> Result<()> {
        let kind = self.schemas.get(program).and_then(|decoder| decoder.pick(data));
        let decoder = kind.and_then(|kind| kind.decoder.as_ref());
        if session.out.json {
            session.out.object(&Record {
                timestamp: session.clock.rfc3339(crate::output::time::boot_now_ns()),
                event: EventName { name: "bpf.iterator" },
                bpf: Bpf { map: None, program: Some(program) },
                cpu: None,
                code: None,
                content: Data {
                    data: decoder.map_or_else(|| bytes_json(data), |decoder| decoder.json(data)),
                    stacks: Map::new(),
                },
            })?;
            return session.shown();
        }
        self.text.clear();
        match decoder {
            Some(decoder) => decoder.text(data, &mut self.text),
            None => push_bytes(&mut self.text, data),
        }
        self.text.push('\n');
        session.out.raw(&self.text)?;
        session.shown()
    }

    /// The size of each piece that an iterator writes, if it writes no text, from its type or its
    /// program. `written`: its output.
    pub fn element_bytes(&mut self, program: &str, written: &[u8]) -> Option<usize> {
        let [only] = self.schemas.get(program)?.alternatives.as_slice() else { return None };
        let bytes = match &only.decoder {
            Some(decoder) => decoder.bytes(),
            None => {
                // Text has no zero byte, and hardly any struct has none.
                let seen = self.binary.contains(program);
                if !seen && !written.contains(&0) {
                    return None;
                }
                if !seen {
                    self.binary.insert(program.to_owned());
                }
                let mut sizes = self.sizes.get(program)?.iter();
                let (only, None) = (*sizes.next()?, sizes.next()) else { return None };
                only
            }
        };
        usize::try_from(bytes).ok().filter(|&bytes| bytes > 0)
    }

    /// A record of a perf buffer without the kernel's padding, if the size is known.
    fn without_padding<'a>(&self, map: &str, data: &'a [u8]) -> &'a [u8] {
        let sizes = self.sizes.get(map).into_iter().flatten();
        let mut fitting = sizes.filter(|&&size| padded(size) == Some(data.len() as u64));
        match (fitting.next(), fitting.next()) {
            (Some(&size), None) => {
                usize::try_from(size).ok().and_then(|size| data.get(..size)).unwrap_or(data)
            }
            _ => data,
        }
    }

    /// The kinds of records of a map or an iterator, except kinds of which no sender runs.
    pub fn kinds(&self, name: &str) -> impl Iterator<Item = &Alternative> {
        let decoder = self.schemas.get(name).into_iter();
        decoder.flat_map(|decoder| &decoder.alternatives).filter(|kind| {
            kind.senders.is_empty() || kind.senders.iter().any(|name| self.running.contains(name))
        })
    }

    /// For `trace.start`: by map, the types of events and where they come from.
    pub fn described(&self, names: &[&str]) -> Value {
        let mut maps = Map::new();
        for &name in names {
            let kinds = self.kinds(name).map(|kind| {
                let senders = kind.senders.iter().filter(|name| self.running.contains(*name));
                json!({
                    "type": kind.type_name,
                    "bytes": kind.decoder.as_ref().map(Decoder::bytes),
                    "provenance": kind.provenance.word(),
                    "how": kind.provenance.to_string(),
                    "programs": senders.collect::<Vec<_>>(),
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

    /// A line of the table, with the contents of `self.text`.
    fn line(&mut self, origin: Origin<'_>, session: &mut Session) -> Result<()> {
        let time = session.local_time_us(origin.time_ns);
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

/// Who sent a record, as far as its size and its numbers tell.
#[derive(Clone, Copy, Default)]
struct Sent<'a> {
    program: Option<&'a str>,
    site: Option<&'a Site>,
}

impl<'a> Sent<'a> {
    fn new(
        kind: &'a Alternative,
        data: &[u8],
        endian: Endianness,
        running: &HashSet<String>,
    ) -> Self {
        let can = |origin: &&'a Sender| {
            running.contains(&origin.program) && origin.can_have_sent(data, endian)
        };
        let mut all = kind.origins.iter().filter(can).map(|o| (&*o.program, o.site.as_ref()));
        let Some((program, site)) = all.next() else {
            return Self { program: sender(kind, running), site: None };
        };
        let (mut one_program, mut one_site) = (true, true);
        for (other, place) in all {
            one_program &= other == program;
            one_site &= place == site;
        }
        Self {
            program: one_program.then_some(program),
            site: site.filter(|_| one_program && one_site),
        }
    }
}

/// Whether a program sends this kind of record from several lines, so that the line tells more.
fn has_lines(kind: &Alternative) -> bool {
    let mut origins = kind.origins.iter();
    let first = origins.next();
    first.is_some_and(|first| {
        origins.any(|other| other.program == first.program && other.site != first.site)
    })
}

/// `PROGRAM:LINE`
fn label(program: &str, site: Option<&Site>) -> String {
    match site {
        Some(site) => format!("{program}:{}", site.line),
        None => program.to_owned(),
    }
}

/// All that can be in the column for programs.
fn labels(kind: &Alternative, running: &HashSet<String>) -> Vec<String> {
    let lines = has_lines(kind);
    let runs = kind.origins.iter().filter(|origin| running.contains(&origin.program));
    let told = runs.map(|origin| label(&origin.program, origin.site.as_ref().filter(|_| lines)));
    sender(kind, running).map(str::to_owned).into_iter().chain(told).collect()
}

/// The program that sends a kind of record, if only one such program runs.
fn sender<'a>(kind: &'a Alternative, running: &HashSet<String>) -> Option<&'a str> {
    let mut senders = kind.senders.iter().filter(|name| running.contains(*name));
    let (only, None) = (senders.next()?, senders.next()) else { return None };
    Some(only)
}

/// `NAME-ID: TEXT`
fn push_message(out: &mut String, comm: Option<&[u8]>, tid: u32, text: &[u8]) {
    if let Some(comm) = comm {
        push_text(out, comm);
        out.push('-');
    }
    out.push_str(&format!("{tid}: "));
    push_text(out, text);
}

/// The padded size of a record in a perf buffer: with four bytes for the size in front, the whole
/// is a multiple of eight (`perf_prepare_sample()`).
fn padded(size: u64) -> Option<u64> {
    Some(size.checked_add(4)?.checked_next_multiple_of(8)? - 4)
}

fn bytes_json(data: &[u8]) -> Value {
    json!({ "hex": hex(data), "bytes": data.len() })
}

fn push_bytes(out: &mut String, data: &[u8]) {
    out.push_str(&format!("{}: {}", count(data.len() as u64, "byte"), hex(data)));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_without_a_name_have_the_number() {
        let message = |comm: Option<&[u8]>| {
            let mut out = String::new();
            push_message(&mut out, comm, 12, b"hi");
            out
        };
        assert_eq!(message(Some(b"bash")), "bash-12: hi");
        assert_eq!(message(None), "12: hi");
    }

    #[test]
    fn padding_is_left_out_where_the_size_is_known() {
        let sizes =
            |sizes: &[u64]| Sizes::from([("perf".to_owned(), sizes.iter().copied().collect())]);
        let left = |known: &[u64], bytes: usize| {
            let rows = Rows::new(Schemas::new(), sizes(known), HashSet::new(), &["perf"], true);
            rows.without_padding("perf", &vec![0; bytes]).len()
        };
        for (sent, padded) in [(288, 292), (312, 316), (16, 20), (12, 12), (17, 20), (1, 4)] {
            assert_eq!(left(&[sent], padded), sent as usize);
        }
        assert_eq!(left(&[16, 288], 292), 288);
        assert_eq!(left(&[16, 17], 20), 20); // it could be both
        assert_eq!(left(&[], 20), 20);
        assert_eq!(left(&[100], 20), 20);
    }
}
