//! What libbpf says, collected. By way of libbpf's own interface: libbpf-rs's takes words for
//! UTF-8, which the names in a damaged object need not be.

use std::ffi::{c_char, c_int};
use std::sync::{Mutex, PoisonError};

/// Bytes of a message that are looked at: a long one is the verifier's log.
const LOG: usize = 16 << 20;

/// Of these, so many are kept. The verifier's reason is at the end.
const ENOUGH: usize = 1 << 20;

static WORDS: Mutex<Vec<u8>> = Mutex::new(Vec::new());

unsafe extern "C" {
    fn vsnprintf(
        buffer: *mut c_char,
        size: usize,
        format: *const c_char,
        arguments: *mut libbpf_sys::__va_list_tag,
    ) -> c_int;
}

/// From now on libbpf's words are collected, and nothing of them is printed.
pub fn collect() {
    // SAFETY: the callback lives for ever.
    unsafe { libbpf_sys::libbpf_set_print(Some(keep)) };
}

/// What was said since the last time.
pub fn take() -> String {
    let words = std::mem::take(&mut *WORDS.lock().unwrap_or_else(PoisonError::into_inner));
    String::from_utf8_lossy(&words).into_owned()
}

/// libbpf calls this for each message. It must not panic.
unsafe extern "C" fn keep(
    level: libbpf_sys::libbpf_print_level,
    format: *const c_char,
    arguments: *mut libbpf_sys::__va_list_tag,
) -> c_int {
    if level > libbpf_sys::LIBBPF_INFO {
        return 0;
    }
    let mut text = vec![0u8; LOG];
    // SAFETY: writes at most `len` bytes; libbpf's arguments are those of its format.
    let len = unsafe { vsnprintf(text.as_mut_ptr().cast(), text.len(), format, arguments) };
    let len = usize::try_from(len).unwrap_or(0).min(text.len() - 1);
    let said = text.get(len.saturating_sub(ENOUGH)..len).unwrap_or_default();
    let mut words = WORDS.lock().unwrap_or_else(PoisonError::into_inner);
    if words.len() < 4 * ENOUGH {
        words.extend_from_slice(said);
    }
    0
}
