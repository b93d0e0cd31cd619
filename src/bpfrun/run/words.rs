//! Collects the messages of libbpf, through libbpf's own interface: libbpf-rs's expects UTF-8,
//! which the names in a damaged object need not be.

use std::ffi::{c_char, c_int};
use std::sync::{Mutex, PoisonError};

/// The most bytes of a message to look at: a long one is the verifier's log.
const LOG: usize = 16 << 20;

/// The most bytes to keep of a message: its end, with the verifier's reason.
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

/// Collects libbpf's messages from now on, instead of printing them.
pub fn collect() {
    // SAFETY: the callback lives for ever.
    unsafe { libbpf_sys::libbpf_set_print(Some(keep)) };
}

/// The messages since the last call.
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
