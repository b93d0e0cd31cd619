//! What is looked up about an execution after its event: strings that were not in memory, and the
//! interpreter that made it fail. The process chose the memory and the files, so a helper reads them.

use super::interpreter::{self, Fault, Interpreter};
use super::{Exec, late};
use crate::engine::errand::{Errands, Serve};

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The record with the strings that it lacked
    pub record: Option<Vec<u8>>,
    /// The interpreter that made the execution fail
    pub interpreter: Option<Interpreter>,
    /// No answer came in time: neither is known
    pub is_missing: bool,
}

/// Looks up what there may be to find about `exec`, the contents of `record`.
pub fn look_up(errands: &mut Errands, record: &[u8], exec: &Exec<'_>) -> Found {
    if !late::is_incomplete(exec) && !interpreter::is_suspect(exec) {
        return Found::default();
    }
    match errands.ask(record).and_then(|answer| Found::decode(&answer)) {
        Some(found) => found,
        None => Found { is_missing: true, ..Found::default() },
    }
}

/// The helper's side: from a record to what [`Found::decode`] takes.
pub fn errand() -> Serve {
    Box::new(|record| {
        let Some(exec) = Exec::decode(record) else { return Vec::new() };
        let completed = late::complete(&exec);
        let whole = completed.as_deref().and_then(Exec::decode);
        let interpreter = interpreter::culprit(whole.as_ref().unwrap_or(&exec));
        Found { record: completed, interpreter, is_missing: false }.encode()
    })
}

/// In an encoded answer: there is no such part.
const NONE: u8 = u8::MAX;

impl Found {
    /// The number of the fault, the length of the interpreter's path (4 bytes), the path, the record.
    fn encode(&self) -> Vec<u8> {
        let bad = self.interpreter.as_ref();
        let fault = bad.and_then(|bad| Fault::ALL.iter().position(|fault| *fault == bad.fault));
        let path = bad.map(|bad| bad.path.as_slice()).unwrap_or_default();
        let mut bytes = vec![fault.map_or(NONE, |at| at as u8)];
        bytes.extend_from_slice(&(path.len() as u32).to_ne_bytes());
        bytes.extend_from_slice(path);
        bytes.extend_from_slice(self.record.as_deref().unwrap_or_default());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (&fault, rest) = bytes.split_first()?;
        let (len, rest) = rest.split_first_chunk()?;
        let (path, record) = rest.split_at_checked(u32::from_ne_bytes(*len) as usize)?;
        let fault = Fault::ALL.get(usize::from(fault));
        Some(Self {
            record: Some(record.to_vec()).filter(|record| !record.is_empty()),
            interpreter: fault.map(|&fault| Interpreter { path: path.to_vec(), fault }),
            is_missing: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{failure, record};
    use super::*;

    #[test]
    fn answers_arrive_as_they_were() {
        let mut all = vec![Found::default()];
        for fault in Fault::ALL {
            let interpreter = Some(Interpreter { path: b"/bin/\xff".to_vec(), fault });
            all.push(Found { interpreter, ..Found::default() });
        }
        all.push(Found { record: Some(vec![1, 2, 3]), ..all[1].clone() });
        for found in all {
            assert_eq!(Found::decode(&found.encode()), Some(found));
        }
        for garbage in [&b""[..], b"\xff", b"\xff\x09\0\0\0"] {
            assert_eq!(Found::decode(garbage), None);
        }
    }

    #[test]
    fn only_what_may_be_found_is_asked_for() {
        let mut errands = Errands::start(|| Box::new(|_| Vec::new())).unwrap();
        let mut asks = |record: &[u8]| {
            look_up(&mut errands, record, &Exec::decode(record).unwrap()).is_missing
        };
        assert!(!asks(&record("/bin/x", &[b"x"])));
        assert!(!asks(&failure(1, libc::E2BIG, "/bin/x", &[b"x"])));
        assert!(asks(&failure(1, libc::ENOENT, "/bin/x", &[b"x"])), "and the answer is no answer");
    }

    #[test]
    fn what_a_helper_finds() {
        let script = std::env::temp_dir().join(format!("snoop-errand-{}", std::process::id()));
        std::fs::write(&script, "#!/no/such\n").unwrap();
        let mut record = failure(std::process::id(), libc::ENOENT, script.to_str().unwrap(), &[]);
        super::super::testing::edit(&mut record, |event| event.dirfd = libc::AT_FDCWD);
        let found = Found::decode(&errand()(&record)).unwrap();
        let expected = Interpreter { path: b"/no/such".to_vec(), fault: Fault::Missing };
        assert_eq!((found.interpreter, found.record), (Some(expected), None));
        std::fs::remove_file(script).unwrap();
    }
}
