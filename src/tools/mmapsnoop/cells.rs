//! The cells of a row of the table, one by one.

use std::io::Write as _;

use super::{Call, flags};
use crate::host::context::Context as Told;
use crate::output::digits::{Short, push_hex, push_number};
use crate::output::escape::{is_plain_cell, push_cell};
use crate::output::row::{ancestors_text, login_text};
use crate::output::table::{FAILURE, Line, NOTE};
use crate::skel::{mmap_kind, mmap_note};

/// A row's values that are not in its record.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// Local time, if there is a column for it
    pub time: &'a str,
    /// Since tracing began
    pub since_ns: u64,
    /// Path of the cgroup, if there is a column for it
    pub cgroup: Option<&'a [u8]>,
    /// Name of the container, likewise
    pub container: Option<&'a str>,
    /// What `--login` and `--ancestors` tell
    pub told: Option<&'a Told>,
    /// Why `--wx` shows it
    pub wx: &'a [String],
    /// Whether there are colours
    pub color: bool,
}

/// A cell for values that a call does not have.
pub(super) const NONE: Short = Short::new("-");

/// The descriptor of most calls.
const NO_FILE: Short = Short::new("-1");

/// ADDR
pub(super) fn address<'a, 'b>(line: &'b mut Line<'a>, call: &Call<'_>) -> &'b mut Line<'a> {
    match call.address() {
        Some(address) => line.ascii(|out| push_hex(out, address)),
        None => line.short(NONE),
    }
}

/// LEN, in bytes or in short
#[inline]
pub(super) fn length<'a, 'b>(
    line: &'b mut Line<'a>,
    call: &Call<'_>,
    bytes: bool,
) -> &'b mut Line<'a> {
    match call.length() {
        Some(len) if bytes => line.number(len),
        Some(len) => line.short(flags::size(len)),
        None => line.short(NONE),
    }
}

/// PROT
#[inline]
pub(super) fn prot<'a, 'b>(line: &'b mut Line<'a>, call: &Call<'_>) -> &'b mut Line<'a> {
    let event = &call.event;
    match event.kind {
        mmap_kind::MMAP_MAP | mmap_kind::MMAP_PROTECT | mmap_kind::MMAP_ATTACH => {
            match flags::short_prot(event.prot) {
                Some(short) => line.short(short),
                None => line.ascii(|out| flags::push_prot(out, event.prot)),
            }
        }
        _ => line.short(NONE),
    }
}

/// FLAGS
#[inline]
pub(super) fn flags_of<'a, 'b>(line: &'b mut Line<'a>, call: &Call<'_>) -> &'b mut Line<'a> {
    let event = &call.event;
    match event.kind {
        mmap_kind::MMAP_MAP => line.ascii(|out| flags::push_map(out, event.flags)),
        mmap_kind::MMAP_PROTECT => line.ascii(|out| push_key(out, event.fd)),
        mmap_kind::MMAP_ATTACH => line.ascii(|out| flags::push_shm(out, event.flags)),
        mmap_kind::MMAP_REMAP => line.ascii(|out| flags::push_remap(out, event.flags)),
        mmap_kind::MMAP_ADVISE => line.ascii(|out| flags::advice(event.prot).push(out)),
        _ => line.short(NONE),
    }
}

/// LOGIN
pub(super) fn login<'a, 'b>(line: &'b mut Line<'a>, context: &Context<'_>) -> &'b mut Line<'a> {
    match context.told.and_then(|told| told.login.as_ref()) {
        Some(login) => line.text(&login_text(login)),
        None => line.short(NONE),
    }
}

/// ANCESTORS
pub(super) fn ancestors<'a, 'b>(line: &'b mut Line<'a>, context: &Context<'_>) -> &'b mut Line<'a> {
    match context.told.and_then(|told| told.ancestors.as_ref()) {
        Some(ancestors) => line.styled(&ancestors_text(ancestors), NOTE),
        None => line.short(NONE),
    }
}

/// FD
pub(super) fn descriptor<'a, 'b>(line: &'b mut Line<'a>, call: &Call<'_>) -> &'b mut Line<'a> {
    let event = &call.event;
    match event.kind {
        mmap_kind::MMAP_MAP if event.fd == -1 => line.short(NO_FILE),
        mmap_kind::MMAP_MAP | mmap_kind::MMAP_ATTACH => line.number(event.fd),
        _ => line.short(NONE),
    }
}

/// OFFSET
pub(super) fn offset<'a, 'b>(line: &'b mut Line<'a>, call: &Call<'_>) -> &'b mut Line<'a> {
    match call.event.kind {
        mmap_kind::MMAP_MAP => line.number(call.event.offset),
        _ => line.short(NONE),
    }
}

/// Which system call it is; pkey_mprotect() is an mprotect() with a key.
pub fn name(call: &Call<'_>) -> &'static str {
    match call.event.kind {
        mmap_kind::MMAP_UNMAP => "munmap",
        mmap_kind::MMAP_PROTECT => "mprotect",
        mmap_kind::MMAP_REMAP => "mremap",
        mmap_kind::MMAP_BREAK => "brk",
        mmap_kind::MMAP_ADVISE => "madvise",
        mmap_kind::MMAP_ATTACH => "shmat",
        _ => "mmap",
    }
}

fn push_key(out: &mut Vec<u8>, key: i32) {
    if key == -1 {
        out.push(b'-');
    } else {
        out.extend_from_slice(b"PKEY=");
        push_number(out, key);
    }
}

/// Microseconds with one digit behind the point.
pub(super) fn push_micros(out: &mut Vec<u8>, duration_ns: Option<u64>) {
    let Some(ns) = duration_ns else { return out.push(b'-') };
    push_number(out, ns / 1000);
    out.extend_from_slice(&[b'.', b'0' + (ns / 100 % 10) as u8]);
}

/// As in `/proc/PID/maps`.
pub(super) fn push_vma(out: &mut Vec<u8>, call: &Call<'_>) {
    let Some(vma) = call.vma() else { return out.push(b'-') };
    let _ = write!(out, "{:x}-{:x} ", vma.start, vma.end); // a Vec takes everything
    out.pop();
    out.push(b',');
    out.extend_from_slice(&vma.mode());
}

/// A name of any bytes, in the last column, whose width does not matter.
fn push_name(out: &mut Vec<u8>, bytes: &[u8]) {
    if is_plain_cell(bytes) {
        return out.extend_from_slice(bytes);
    }
    let mut text = String::new();
    push_cell(&mut text, bytes);
    out.extend_from_slice(text.as_bytes());
}

/// The error, if any, the path, if any, and notes behind a `#`.
pub(super) fn push_result(out: &mut Vec<u8>, call: &Call<'_>, context: &Context<'_>) {
    let error = call.errno_name().or_else(|| call.is_refused().then_some("refused".into()));
    if let Some(error) = &error {
        if context.color {
            let _ = write!(out, "{FAILURE}{error}{FAILURE:#}");
        } else {
            out.extend_from_slice(error.as_bytes());
        }
    }
    if !call.path.is_empty() {
        if error.is_some() {
            out.push(b' ');
        }
        push_name(out, call.path);
    } else if error.is_none() {
        out.push(b'-');
    }
    push_notes(out, call, context);
}

fn push_notes(out: &mut Vec<u8>, call: &Call<'_>, context: &Context<'_>) {
    let hint = call.hint();
    let remapped = call.event.kind == mmap_kind::MMAP_REMAP;
    let refused = call.is_refused();
    let quiet = call.event.notes.0 & SAID == 0 && context.wx.is_empty();
    if quiet && hint.is_none() && !remapped && !refused {
        return;
    }
    let mut first = true;
    let mut say = |out: &mut Vec<u8>, words: &[u8]| {
        if !first {
            out.extend_from_slice(b", ");
        } else if context.color {
            let _ = write!(out, "{NOTE}  # ");
        } else {
            out.extend_from_slice(b"  # ");
        }
        first = false;
        out.extend_from_slice(words);
    };
    for reason in context.wx {
        say(out, reason.as_bytes());
    }
    if remapped {
        say(out, b"was ");
        push_hex(out, call.event.addr);
        out.push(b' ');
        flags::push_size(out, call.event.len);
    }
    if let Some(hint) = hint {
        say(out, b"asked for ");
        push_hex(out, hint);
    }
    if refused {
        say(out, b"asked for ");
        push_hex(out, call.event.addr);
    }
    for (note, words) in [
        (mmap_note::MMAP_PATH_CUT, &b"beginning of its path cut"[..]),
        (mmap_note::MMAP_PATH_DELETED, b"deleted"),
        (mmap_note::MMAP_COMPAT, b"32-bit"),
    ] {
        if call.is(note) {
            say(out, words);
        }
    }
    for difference in call.differences() {
        say(out, difference.as_bytes());
    }
    if !first && context.color {
        let _ = write!(out, "{NOTE:#}");
    }
}

/// Flags of a record that may give notes behind the row.
const SAID: u32 = mmap_note::MMAP_PATH_CUT.0
    | mmap_note::MMAP_PATH_DELETED.0
    | mmap_note::MMAP_COMPAT.0
    | mmap_note::MMAP_VMA.0;
