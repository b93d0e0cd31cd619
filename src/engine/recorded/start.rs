//! The records of a run that are no events: where it begins, what it lost, how it ended.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::line::{Line, Reading, needed};
use crate::output::json::{SCHEMA, write};
use crate::output::redact;

/// `trace.start`
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// The line itself, as this version would have written it: what follows has its schema
    pub raw: Vec<u8>,
    /// The tool that wrote it, and its version
    pub tool: String,
    pub version: String,
    /// The kernel and the machine
    pub kernel: String,
    pub host: String,
    /// Time of the beginning, nanoseconds since 1970
    pub wall_ns: i128,
    /// The same on the boot clock, if it is known
    pub boot_ns: Option<u64>,
    /// What the run did not show, as the tool said it
    pub not_shown: Vec<String>,
    /// COMMAND
    pub command: Vec<Vec<u8>>,
    /// The boot of the machine, if it is known
    pub boot_id: Option<String>,
    /// Which part of its run the file has, if its run has several
    pub part: Option<Part>,
    /// Long names of the given flags; `None`: an older version did not write them
    flags: Option<Vec<String>>,
}

/// A part of a run: `trace`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Counted from 1
    pub sequence: u32,
    /// When the run began, on its boot clock
    pub began_boot_ns: u64,
}

impl Start {
    /// Reads the first line of a file.
    pub fn read(raw: &[u8], line: &Line) -> Reading<Self> {
        if line.event()? != "trace.start" {
            return Err("it does not begin with trace.start".to_owned());
        }
        let text = |key| line.text(key).map(|text| text.unwrap_or_default().to_owned());
        let schema: u32 = needed(line.number("schema")?, "schema")?;
        if schema > SCHEMA {
            return Err(format!("it has schema {schema}: a newer version wrote it"));
        }
        let lack = |lack: &Line| {
            let part = |key| Ok::<_, String>(lack.text(key)?.unwrap_or_default());
            Ok(format!("not shown: {}: {}", part("what")?, part("reason")?))
        };
        let flags = line.texts("flags")?;
        let command = line.list("command")?.unwrap_or_default();
        let words: Vec<_> = command.iter().map(Vec::as_slice).collect();
        let shown: Vec<_> =
            redact::policy().words(&words).into_iter().map(Cow::into_owned).collect();
        let is_same = shown == command && schema == SCHEMA;
        let raw = if is_same { raw.to_vec() } else { rewritten(raw, &shown)? };
        Ok(Self {
            raw,
            tool: needed(line.text("tool")?, "tool")?.to_owned(),
            version: text("version")?,
            kernel: text("kernel")?,
            host: text("host.name")?,
            wall_ns: line.wall_ns()?,
            boot_ns: line.number("boot_ns")?,
            not_shown: line.objects("not_shown")?.iter().map(lack).collect::<Reading<_>>()?,
            command: shown,
            boot_id: line.text("host.boot.id")?.map(str::to_owned),
            part: match (line.number("trace.sequence")?, line.number("trace.began_boot_ns")?) {
                (Some(sequence), Some(began_boot_ns)) => Some(Part { sequence, began_boot_ns }),
                _ => None,
            },
            flags: flags.map(|flags| flags.into_iter().map(str::to_owned).collect()),
        })
    }

    /// Wall clock minus boot clock, in nanoseconds. Without a boot clock, times are those of the
    /// wall clock.
    pub fn offset_ns(&self) -> i128 {
        self.boot_ns.map_or(0, |boot| self.wall_ns - i128::from(boot))
    }

    /// Whether this is the next part of the same run.
    pub fn follows(&self, last: &Self) -> bool {
        let is_next = |(own, last): (Part, Part)| own.sequence == last.sequence.saturating_add(1);
        self.is_of_run(last) && self.part.zip(last.part).is_some_and(is_next)
    }

    /// Whether both are parts of the same run.
    pub fn is_of_run(&self, other: &Self) -> bool {
        let began = |start: &Self| start.part.map(|part| part.began_boot_ns);
        began(self).is_some() && began(self) == began(other) && self.boot_id == other.boot_id
    }

    /// The beginning of the run on the clock of events.
    pub fn began_ns(&self) -> u64 {
        if let (Some(part), Some(_)) = (self.part, self.boot_ns) {
            return part.began_boot_ns;
        }
        u64::try_from(self.wall_ns - self.offset_ns()).unwrap_or(0)
    }

    /// Whether this flag was given; `None`: nobody knows.
    pub fn had(&self, flag: &str) -> Option<bool> {
        let flags = self.flags.as_ref()?;
        Some(flags.iter().any(|given| given == flag))
    }

    /// Whether none of these flags was given.
    pub fn had_none(&self, flags: &[&str]) -> bool {
        flags.iter().all(|flag| self.had(flag) == Some(false))
    }
}

/// The first line with this schema, and another COMMAND.
fn rewritten(raw: &[u8], command: &[Vec<u8>]) -> Reading<Vec<u8>> {
    let mut line: serde_json::Value = serde_json::from_slice(raw).map_err(|_| "not JSON")?;
    let members = line.as_object_mut().ok_or("not an object of JSON")?;
    members.insert("schema".to_owned(), SCHEMA.into());
    if let Some(texts) = members.get_mut("command") {
        *texts = command.iter().map(|word| String::from_utf8_lossy(word)).collect();
    }
    if let Some(exact) = members.get_mut("command_base64") {
        *exact = command.iter().map(|word| BASE64.encode(word)).collect();
    }
    let mut text = Vec::new();
    write(&mut text, &line).map_err(|error| error.to_string())?;
    Ok(text)
}

/// `events.lost`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// How many events
    pub count: u64,
    /// On the clock of events
    pub time_ns: u64,
}

impl Gap {
    /// Reads such a line.
    pub fn read(line: &Line) -> Reading<Self> {
        Ok(Self { count: needed(line.number("count")?, "count")?, time_ns: line.time_ns()? })
    }
}

/// `trace.end`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// On the clock of events
    pub time_ns: u64,
    /// Lost events
    pub lost: u64,
    /// Events that `--filter` left out
    pub filtered: u64,
    /// Runs of programs that the kernel skipped
    pub unseen: u64,
    /// Rows that limits dropped
    pub dropped: u64,
    /// The status of COMMAND, if it had ended
    pub exit_status: Option<u8>,
    /// When COMMAND began, on the boot clock
    pub command_began_ns: Option<u64>,
    /// What the tool said at the end
    pub notes: Vec<String>,
}

impl Ending {
    /// Reads such a line.
    pub fn read(line: &Line) -> Reading<Self> {
        let notes = line.texts("notes")?.unwrap_or_default();
        Ok(Self {
            time_ns: line.time_ns()?,
            lost: needed(line.number("lost")?, "lost")?,
            filtered: line.number("filtered")?.unwrap_or(0),
            unseen: line.number("unseen")?.unwrap_or(0),
            dropped: dropped(line)?,
            exit_status: line.number("exit_status")?,
            command_began_ns: line.number("command_began_boot_ns")?,
            notes: notes.into_iter().map(str::to_owned).collect(),
        })
    }
}

/// Rows that limits dropped, by any reason.
fn dropped(line: &Line) -> Reading<u64> {
    let reasons = ["rate_limit", "sample", "max_cpu", "recorded"];
    reasons.iter().try_fold(0u64, |all, reason| {
        let count: Option<u64> = line.number(&format!("dropped.{reason}"))?;
        Ok(all.saturating_add(count.unwrap_or(0)))
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::line;
    use super::*;

    fn start(text: &str) -> Reading<Start> {
        Start::read(text.as_bytes(), &line(text))
    }

    #[test]
    fn beginnings_of_any_age() {
        let old = r#"{"timestamp":"1970-01-01T00:00:09Z","event":{"name":"trace.start"},"schema":1,
            "tool":"x","version":"0.1.0","not_shown":[{"what":"a","reason":"b"}]}"#;
        let old = start(old).unwrap();
        assert_eq!((old.had("failed"), old.had_none(&["failed"])), (None, false));
        assert_eq!((old.offset_ns(), old.began_ns()), (0, 9_000_000_000));
        assert_eq!(old.not_shown, ["not shown: a: b"]);
        let new = r#"{"timestamp":"1970-01-01T00:00:09Z","event":{"name":"trace.start"},"schema":1,
            "tool":"x","boot_ns":5,"flags":["failed"],"command":["a","b c"]}"#;
        let new = start(new).unwrap();
        assert_eq!((new.had("failed"), new.had("all")), (Some(true), Some(false)));
        assert_eq!((new.began_ns(), new.offset_ns()), (5, 8_999_999_995));
        assert_eq!(new.command, [b"a".to_vec(), b"b c".to_vec()]);
    }

    #[test]
    fn what_is_written_again_has_our_schema() {
        let of = |schema: u32, rest: &str| {
            format!(
                r#"{{"timestamp":"1970-01-01T00:00:09Z","event":{{"name":"trace.start"}},"schema":{schema},"tool":"x"{rest}}}"#
            )
        };
        for rest in ["", r#","command":["a","b"],"x":1"#] {
            let expected = of(SCHEMA, rest);
            for schema in 1..=SCHEMA {
                let raw = start(&of(schema, rest)).unwrap().raw;
                assert_eq!(String::from_utf8(raw).unwrap(), expected);
            }
        }
    }

    #[test]
    fn parts_of_a_run() {
        let part = |sequence: u32, began: u64, boot: &str| {
            start(&format!(
                r#"{{"timestamp":"1970-01-01T00:00:09Z","event":{{"name":"trace.start"}},"schema":1,
                "tool":"x","boot_ns":70,"host":{{"name":"h","boot":{{"id":"{boot}"}}}},
                "trace":{{"sequence":{sequence},"began_boot_ns":{began}}}}}"#
            ))
            .unwrap()
        };
        let first = part(1, 5, "b");
        assert_eq!(first.began_ns(), 5);
        assert!(part(2, 5, "b").follows(&first));
        assert!(!part(3, 5, "b").follows(&first) && part(3, 5, "b").is_of_run(&first));
        assert!(!part(2, 6, "b").is_of_run(&first) && !part(2, 5, "c").is_of_run(&first));
        let text = r#"{"timestamp":"1970-01-01T00:00:09Z","lost":2,
            "dropped":{"rate_limit":3,"max_cpu":4,"loudest":[{"comm":"x","count":3}]}}"#;
        assert_eq!(Ending::read(&line(text)).unwrap().dropped, 7);
    }

    #[test]
    fn beginnings_of_others() {
        let said = |text: &str| start(text).unwrap_err();
        assert!(said(r#"{"event":{"name":"process.exec"}}"#).contains("trace.start"));
        let newer = r#"{"timestamp":"1970-01-01T00:00:09Z","event":{"name":"trace.start"},"schema":99,"tool":"x"}"#;
        assert!(said(newer).contains("newer"));
    }

    #[test]
    fn ends() {
        let text = r#"{"timestamp":"1970-01-01T00:00:09Z","events":3,"lost":2,"exit_status":7,"notes":["n"]}"#;
        let ending = Ending::read(&line(text)).unwrap();
        assert_eq!((ending.lost, ending.exit_status, ending.notes.len()), (2, Some(7), 1));
        assert!(Ending::read(&line(r#"{"timestamp":"1970-01-01T00:00:09Z"}"#)).is_err());
        let gap = Gap::read(&line(r#"{"timestamp":"1970-01-01T00:00:00Z","count":4}"#));
        assert_eq!(gap, Ok(Gap { count: 4, time_ns: 0 }));
    }
}
