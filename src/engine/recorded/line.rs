//! One line: an object of JSON, and its members by their keys.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::output::otlp;
use crate::skel::task_id;

/// A value, or in words what is wrong with the line.
pub type Reading<T> = Result<T, String>;

/// The most values in a line; each takes a few dozen bytes of memory.
const MOST_VALUES: usize = 1 << 20;

/// An object of JSON.
#[derive(Clone, Debug)]
pub struct Line {
    members: Map<String, Value>,
    /// Wall clock minus boot clock where it was written, in nanoseconds; 0 if it is not known
    offset_ns: i128,
}

impl Line {
    /// Reads a line.
    pub fn parse(bytes: &[u8], offset_ns: i128) -> Reading<Self> {
        if bytes.starts_with(otlp::BEGINNING) {
            return Err("a line of --json=otlp, which --from does not read".to_owned());
        }
        if has_too_many_values(bytes) {
            return Err(format!("more than {MOST_VALUES} values"));
        }
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(members)) => Ok(Self { members, offset_ns }),
            Ok(_) => Err("not an object of JSON".to_owned()),
            Err(_) => Err("not JSON".to_owned()),
        }
    }

    /// `event.name`
    pub fn event(&self) -> Reading<&str> {
        needed(self.text("event.name")?, "event.name")
    }

    /// `timestamp`, in nanoseconds since 1970.
    pub fn wall_ns(&self) -> Reading<i128> {
        let text = needed(self.text("timestamp")?, "timestamp")?;
        let time = text.parse::<Timestamp>().map_err(|_| "timestamp is not a time".to_owned())?;
        Ok(time.as_nanosecond())
    }

    /// `timestamp` on the boot clock, as far as it is known.
    pub fn time_ns(&self) -> Reading<u64> {
        let ns = self.wall_ns()? - self.offset_ns;
        u64::try_from(ns).map_err(|_| "timestamp is before the clock began".to_owned())
    }

    /// The process, its thread, and the time, as events have them.
    pub fn id(&self) -> Reading<task_id> {
        let pid = needed(self.number("process.pid")?, "process.pid")?;
        let comm = needed(self.comm("process.comm")?, "process.comm")?;
        Ok(task_id {
            time_ns: self.time_ns()?,
            lost: 0,
            start_ns: self.number("process.start_boot_ns")?.unwrap_or(0),
            parent_start_ns: self.number("process.parent_start_boot_ns")?.unwrap_or(0),
            cgroup: 0,
            pid,
            tid: self.number("thread.id")?.unwrap_or(pid),
            ppid: needed(self.number("process.parent_pid")?, "process.parent_pid")?,
            uid: needed(self.number("process.real_user.id")?, "process.real_user.id")?,
            euid: needed(self.number("process.user.id")?, "process.user.id")?,
            vpid: self.number("process.vpid")?.unwrap_or(pid),
            comm,
            thread_comm: self.comm("thread.name")?.unwrap_or_default(),
        })
    }

    /// The path of the cgroup, if it is known.
    pub fn cgroup(&self) -> Reading<Option<Vec<u8>>> {
        self.bytes("process.linux.cgroup")
    }

    /// Whether there is such a member, whatever it is.
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// A member, nested on the dots of its key.
    fn get(&self, key: &str) -> Option<&Value> {
        let mut parts = key.split('.');
        let first = self.members.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    }

    /// The member with `_base64` behind its key.
    fn exact(&self, key: &str) -> Option<&Value> {
        self.get(&format!("{key}_base64"))
    }

    /// A whole number, not below 0.
    pub fn number<N: TryFrom<u64>>(&self, key: &str) -> Reading<Option<N>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let number = value.as_u64().and_then(|number| N::try_from(number).ok());
        number.map(Some).ok_or_else(|| format!("{key} is not such a number"))
    }

    /// A whole number.
    pub fn signed<N: TryFrom<i64>>(&self, key: &str) -> Reading<Option<N>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let number = value.as_i64().and_then(|number| N::try_from(number).ok());
        number.map(Some).ok_or_else(|| format!("{key} is not such a number"))
    }

    /// A number as `"0x…"`.
    pub fn hex(&self, key: &str) -> Reading<Option<u64>> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        let digits = text.strip_prefix("0x").filter(|digits| !digits.starts_with('+'));
        let number = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        number.map(Some).ok_or_else(|| format!("{key} is not an address"))
    }

    /// The tool's own words.
    pub fn text(&self, key: &str) -> Reading<Option<&str>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| format!("{key} is not a string"))
    }

    /// `true`, or nothing.
    pub fn flag(&self, key: &str) -> Reading<bool> {
        match self.get(key) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(format!("{key} is neither true nor false")),
        }
    }

    /// Bytes, exact even if they are not UTF-8.
    pub fn bytes(&self, key: &str) -> Reading<Option<Vec<u8>>> {
        match self.exact(key) {
            None => Ok(self.text(key)?.map(|text| text.as_bytes().to_vec())),
            Some(exact) => decoded(exact, key).map(Some),
        }
    }

    /// The name of a process or thread.
    pub fn comm(&self, key: &str) -> Reading<Option<[u8; 16]>> {
        let Some(bytes) = self.bytes(key)? else { return Ok(None) };
        let mut comm = [0; 16];
        match comm.get_mut(..bytes.len()).filter(|start| start.len() < 16) {
            Some(start) => start.copy_from_slice(&bytes),
            None => return Err(format!("{key} has more than 15 bytes")),
        }
        Ok(Some(comm))
    }

    /// A list of the tool's own words.
    pub fn texts(&self, key: &str) -> Reading<Option<Vec<&str>>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let wrong = || format!("{key} is not a list of strings");
        let items = value.as_array().ok_or_else(wrong)?.iter();
        items.map(|item| item.as_str().ok_or_else(wrong)).collect::<Reading<_>>().map(Some)
    }

    /// A list of bytes.
    pub fn list(&self, key: &str) -> Reading<Option<Vec<Vec<u8>>>> {
        let Some(exact) = self.exact(key) else {
            let texts = self.texts(key)?;
            return Ok(texts.map(|all| all.iter().map(|text| text.as_bytes().to_vec()).collect()));
        };
        let items = exact.as_array().ok_or_else(|| format!("{key}_base64 is not a list"))?;
        items.iter().map(|item| decoded(item, key)).collect::<Reading<_>>().map(Some)
    }

    /// Strings by their names, in their order; none if there is no such member.
    pub fn pairs(&self, key: &str) -> Reading<Vec<(String, String)>> {
        let pairs = self.strings(key)?.unwrap_or_default();
        Ok(pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// The members of an object of strings, in their order.
    pub fn strings(&self, key: &str) -> Reading<Option<Vec<(&str, &str)>>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let wrong = || format!("{key} is not an object of strings");
        let members = value.as_object().ok_or_else(wrong)?.iter();
        let pairs =
            members.map(|(name, value)| Ok((name.as_str(), value.as_str().ok_or_else(wrong)?)));
        pairs.collect::<Reading<_>>().map(Some)
    }

    /// A list of objects.
    pub fn objects(&self, key: &str) -> Reading<Vec<Self>> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        let wrong = || format!("{key} is not a list of objects");
        let object = |item: &Value| {
            let members = item.as_object().ok_or_else(wrong)?.clone();
            Ok(Self { members, offset_ns: self.offset_ns })
        };
        value.as_array().ok_or_else(wrong)?.iter().map(object).collect()
    }
}

/// The value of a member that each such line has.
pub(super) fn needed<T>(value: Option<T>, key: &str) -> Reading<T> {
    value.ok_or_else(|| format!("no {key}"))
}

fn decoded(value: &Value, key: &str) -> Reading<Vec<u8>> {
    let bytes = value.as_str().and_then(|text| BASE64.decode(text).ok());
    bytes.ok_or_else(|| format!("{key}_base64 is not base64"))
}

/// Whether the line could take far more memory than it has bytes.
fn has_too_many_values(bytes: &[u8]) -> bool {
    let (mut values, mut in_string, mut is_escaped) = (0, false, false);
    for &byte in bytes {
        if in_string {
            in_string = is_escaped || byte != b'"';
            is_escaped = !is_escaped && byte == b'\\';
        } else {
            in_string = byte == b'"';
            values += usize::from(matches!(byte, b',' | b'[' | b'{'));
        }
    }
    values > MOST_VALUES
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::line;
    use super::*;

    #[test]
    fn members_have_kinds() {
        let line = line(
            r#"{"a":{"n":7,"s":"x","h":"0x1f","i":-1,"f":true,"l":["p","q"],"b":"\ufffd",
               "b_base64":"/w==","m":["\ufffd"],"m_base64":["/w=="]},"o":[{"x":1}]}"#,
        );
        assert_eq!(line.number::<u8>("a.n"), Ok(Some(7)));
        assert_eq!(line.number::<u8>("a.none"), Ok(None));
        assert_eq!(line.number::<u8>("a.n.deeper"), Ok(None));
        assert_eq!(line.signed::<i32>("a.i"), Ok(Some(-1)));
        assert!(line.number::<u8>("a.i").is_err() && line.number::<u8>("a.s").is_err());
        assert_eq!(line.hex("a.h"), Ok(Some(31)));
        assert_eq!((line.flag("a.f"), line.flag("a.none")), (Ok(true), Ok(false)));
        assert_eq!(line.texts("a.l"), Ok(Some(vec!["p", "q"])));
        assert_eq!(line.bytes("a.b"), Ok(Some(b"\xff".to_vec())));
        assert_eq!(line.bytes("a.s"), Ok(Some(b"x".to_vec())));
        assert_eq!(line.list("a.m"), Ok(Some(vec![b"\xff".to_vec()])));
        assert_eq!(line.comm("a.b").unwrap().unwrap()[..2], [0xff, 0]);
        assert_eq!(line.objects("o").unwrap()[0].number::<u8>("x"), Ok(Some(1)));
    }

    #[test]
    fn lines_of_nobody() {
        assert_eq!(Line::parse(b"[1]", 0).unwrap_err(), "not an object of JSON");
        assert_eq!(Line::parse(b"{\"a\":", 0).unwrap_err(), "not JSON");
        let many = format!("[{}]", ",".repeat(MOST_VALUES));
        assert!(Line::parse(many.as_bytes(), 0).unwrap_err().contains("values"));
        let text = format!("{{\"a\":\"{}\"}}", r#",\""#.repeat(MOST_VALUES));
        assert!(Line::parse(text.as_bytes(), 0).is_ok(), "commas in a string are no values");
        let deep = "{\"a\":".repeat(100_000);
        assert_eq!(Line::parse(deep.as_bytes(), 0).unwrap_err(), "not JSON");
    }

    #[test]
    fn times_are_those_of_the_clock_of_events() {
        let text = r#"{"timestamp":"1970-01-01T00:00:05.000000007Z"}"#;
        let at = |offset| Line::parse(text.as_bytes(), offset).unwrap().time_ns();
        assert_eq!(at(0), Ok(5_000_000_007));
        assert_eq!(at(5_000_000_000), Ok(7));
        assert!(at(6_000_000_000).is_err());
        assert!(line(r#"{"timestamp":"yesterday"}"#).wall_ns().is_err());
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(text in r#"\{("(timestamp|process|a)":(\{|\[|"[^"]{0,5}"|-?[0-9.e]{1,30}|\}|,){0,4}){0,9}\}"#) {
            if let Ok(line) = Line::parse(text.as_bytes(), 0) {
                let _ = (line.id(), line.event(), line.cgroup(), line.list("a"), line.objects("a"));
            }
        }
    }
}
