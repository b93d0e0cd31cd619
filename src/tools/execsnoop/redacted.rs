//! An execution without its secrets.

use super::Exec;
use crate::output::redact::Policy;
use crate::skel::exec_event;

/// The record of `exec` without secrets; `None`: there are none in it.
pub fn record(exec: &Exec<'_>, policy: &Policy) -> Option<Vec<u8>> {
    if !policy.is_on() {
        return None;
    }
    // One of them is empty.
    let path = if exec.path.is_empty() { exec.image } else { exec.path };
    let texts = [path, exec.filename, exec.interpreter, exec.cwd].map(|text| policy.text(text));
    let (args, env) = (policy.args(exec.args), policy.variables(exec.env));
    let counts = texts.iter().chain([&args, &env]).map(|redacted| redacted.count);
    let count = counts.fold(0u32, u32::saturating_add);
    if count == 0 {
        return None;
    }
    let [path, filename, interpreter, cwd] = texts.map(|text| short(text.bytes.into_owned()));
    let old = exec.event;
    let event = exec_event {
        path_len: path.len() as u16,
        filename_len: filename.len() as u16,
        interp_len: interpreter.len() as u16,
        cwd_len: cwd.len() as u16,
        // What is missing stays the same.
        args_total: grown(old.args_total, old.args_len, args.bytes.len()),
        args_len: args.bytes.len() as u32,
        env_total: grown(old.env_total, old.env_len, env.bytes.len()),
        env_len: env.bytes.len() as u32,
        redacted: old.redacted.saturating_add(u16::try_from(count).unwrap_or(u16::MAX)),
        ..old
    };
    // SAFETY: plain integers without padding.
    let fixed = unsafe { plain::as_bytes(&event) };
    let parts: [&[u8]; 8] =
        [fixed, &path, &filename, &interpreter, exec.cold, &cwd, &args.bytes, &env.bytes];
    Some(parts.concat())
}

/// Marks may make a path longer than its length can say.
fn short(mut text: Vec<u8>) -> Vec<u8> {
    text.truncate(usize::from(u16::MAX));
    text
}

fn grown(total: u32, len: u32, new_len: usize) -> u32 {
    total.saturating_sub(len).saturating_add(new_len as u32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{any_record, edit, failure, in_place, record as execution};
    use super::*;

    #[test]
    fn all_strings_but_no_lengths_change() {
        let policy = Policy::new(&[regex::bytes::Regex::new("hunter2").unwrap()]);
        let plain = execution("/bin/hunter2", &[b"mysql", b"-ps3", b"cut"]);
        let mut plain = in_place(&plain, b"/home/hunter2", b"A=1\0B_TOKEN=s4\0");
        edit(&mut plain, |event| {
            event.argc = 5;
            event.args_total += 7;
            event.env_total += 9;
        });
        let cut = |record: &[u8]| {
            let exec = Exec::decode(record).unwrap();
            (exec.cut(usize::MAX), exec.env_cut())
        };
        let redacted = record(&Exec::decode(&plain).unwrap(), &policy).unwrap();
        let exec = Exec::decode(&redacted).unwrap();
        assert_eq!(exec.filename, b"/bin/REDACTED");
        assert_eq!(exec.cwd, b"/home/REDACTED");
        assert_eq!(exec.args, b"mysql\0-pREDACTED\0cut\0");
        assert_eq!(exec.env, b"A=1\0B_TOKEN=REDACTED\0");
        assert_eq!((exec.event.redacted, exec.path), (4, &b"/bin/x"[..]));
        assert_eq!(cut(&redacted), cut(&plain));
        assert_eq!(record(&exec, &policy), None, "once is enough");
        assert_eq!(record(&Exec::decode(&plain).unwrap(), &Policy::default()), None);
    }

    #[test]
    fn failures_too() {
        let plain = failure(7, libc::ENOENT, "/x", &[b"x", b"--token=s3"]);
        let redacted = record(&Exec::decode(&plain).unwrap(), &Policy::new(&[])).unwrap();
        assert_eq!(Exec::decode(&redacted).unwrap().args, b"x\0--token=REDACTED\0");
    }

    proptest! {
        #[test]
        fn no_record_makes_it_panic(fixed: Vec<u8>, rest: Vec<u8>, lengths: [u8; 5]) {
            let any = any_record(&fixed, &rest, lengths.map(|n| n / 8));
            let Some(exec) = Exec::decode(&any) else { return Ok(()) };
            let policy = Policy::new(&[regex::bytes::Regex::new("a|\0").unwrap()]);
            if let Some(record) = record(&exec, &policy) {
                prop_assert!(Exec::decode(&record).is_some());
            }
        }
    }
}
