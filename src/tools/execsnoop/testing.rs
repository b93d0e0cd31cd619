//! Records for tests and benchmarks, as the BPF programs make them.

use crate::skel::{exec_event, exec_flag, exec_kind};

/// An execution of `filename` with `args`.
pub fn record(filename: &str, args: &[&[u8]]) -> Vec<u8> {
    let mut block = Vec::new();
    for arg in args {
        block.extend_from_slice(arg);
        block.push(0);
    }
    let event = exec_event {
        kind: exec_kind::EXEC_DONE,
        flags: exec_flag(0),
        argc: args.len() as u32,
        args_total: block.len() as u32,
        dirfd: libc::AT_FDCWD,
        ..exec_event::default()
    };
    with(event, "/bin/x", filename, &block)
}

/// A failed attempt.
pub fn failure(pid: u32, errno: i32, filename: &str, args: &[&[u8]]) -> Vec<u8> {
    let mut record = record(filename, args);
    edit(&mut record, |event| {
        event.kind = exec_kind::EXEC_FAILED;
        event.ret = -errno;
        event.id.pid = pid;
        event.caller_tid = pid;
    });
    record
}

/// Any bytes as the fixed part, and any behind it; lengths that often fit.
pub fn any_record(fixed: &[u8], rest: &[u8], lengths: [u8; 5]) -> Vec<u8> {
    let mut record = vec![0; size_of::<exec_event>()];
    record.iter_mut().zip(fixed).for_each(|(to, from)| *to = *from);
    record.extend_from_slice(rest);
    edit(&mut record, |event| {
        event.kind = exec_kind(event.kind.0 % 4);
        let [path, filename, interp, cold, args] = lengths;
        event.path_len = path.into();
        event.filename_len = filename.into();
        event.interp_len = interp.into();
        event.cold_len = cold.into();
        event.cwd_len /= 2048;
        event.env_len /= 1 << 27;
        event.args_len = args.into();
    });
    record
}

/// The same execution in this directory and with these variables.
pub fn in_place(record: &[u8], cwd: &[u8], env: &[u8]) -> Vec<u8> {
    let Some(exec) = super::Exec::decode(record) else { return record.to_vec() };
    let mut event = exec.event;
    event.flags = exec_flag(event.flags.0 | exec_flag::EXEC_ENV.0);
    event.cwd_len = cwd.len() as u16;
    event.env_len = env.len() as u32;
    event.env_total = env.len() as u32;
    event.path_len = exec.path.len() as u16;
    event.cold_len = 0;
    // SAFETY: plain integers without padding.
    let fixed = unsafe { plain::as_bytes(&event) };
    [fixed, exec.path, exec.filename, exec.interpreter, cwd, exec.args, env].concat()
}

/// Puts a record together.
pub fn with(mut event: exec_event, path: &str, filename: &str, args: &[u8]) -> Vec<u8> {
    event.path_len = path.len() as u16;
    event.filename_len = filename.len() as u16;
    event.args_len = args.len() as u32;
    // SAFETY: plain integers without padding.
    let mut record = unsafe { plain::as_bytes(&event) }.to_vec();
    record.extend_from_slice(path.as_bytes());
    record.extend_from_slice(filename.as_bytes());
    record.extend_from_slice(args);
    record
}

/// Changes the fixed part of a record.
pub fn edit(record: &mut [u8], change: impl FnOnce(&mut exec_event)) {
    let mut event = exec_event::default();
    if plain::copy_from_bytes(&mut event, record).is_ok() {
        change(&mut event);
        // SAFETY: plain integers without padding.
        let bytes = unsafe { plain::as_bytes(&event) };
        record.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    }
}
