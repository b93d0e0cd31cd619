//! How far libbpf came with an object that it could not load. libbpf loads all or nothing, takes
//! everything down again, and returns a number. So we watch it: whenever libbpf prints a message,
//! the object shows which programs are in the kernel already. The first one that is not there is
//! the refused one.

use std::ptr::{NonNull, null_mut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use libbpf_rs::{AsRawLibbpf as _, OpenObject, PrintLevel, set_print};
use libbpf_sys::{bpf_object, bpf_program};

/// Observations so far.
struct Watched {
    /// The object, while it is being loaded
    object: Option<Pointer>,
    /// The programs that are in the kernel
    accepted: Vec<String>,
    /// The first one that is not
    refused: Option<String>,
    /// What libbpf said
    words: String,
}

static WATCHED: Mutex<Watched> =
    Mutex::new(Watched { object: None, accepted: vec![], refused: None, words: String::new() });

struct Pointer(NonNull<bpf_object>);

// SAFETY: only used by the thread that loads the object, in which libbpf speaks.
unsafe impl Send for Pointer {}

fn watched() -> MutexGuard<'static, Watched> {
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps the messages of libbpf from now on, instead of printing them.
pub(super) fn listen() {
    set_print(Some((PrintLevel::Info, see)));
}

/// The messages of libbpf since the last call.
pub(super) fn take_words() -> String {
    std::mem::take(&mut watched().words)
}

/// Watches this object, which is being loaded, until [`end`].
pub(super) fn begin(object: &OpenObject) {
    let mut watched = watched();
    watched.object = Some(Pointer(object.as_libbpf_object()));
    (watched.accepted, watched.refused) = (Vec::new(), None);
}

/// How far libbpf came: the programs that the kernel has accepted, and the one at which libbpf
/// stopped; `None` if it stopped before all programs.
pub(super) fn end() -> (Vec<String>, Option<String>) {
    let mut watched = watched();
    watched.object = None;
    (std::mem::take(&mut watched.accepted), watched.refused.take())
}

/// libbpf calls this for each message.
#[allow(clippy::needless_pass_by_value)] // libbpf-rs wants it so
fn see(_: PrintLevel, text: String) {
    let mut watched = watched();
    watched.words.push_str(&text);
    let Some(Pointer(object)) = watched.object else { return };
    if !has_maps(object) {
        return; // not created yet, or taken down again
    }
    let wanted: Vec<_> = programs(object).filter(|&program| is_wanted(program)).collect();
    let loaded = wanted.iter().take_while(|&&program| is_loaded(program)).count();
    if loaded >= watched.accepted.len() {
        watched.accepted = wanted.iter().take(loaded).map(|&program| name(program)).collect();
        watched.refused = wanted.get(loaded).map(|&program| name(program));
    }
}

/// Whether all maps have been created.
fn has_maps(object: NonNull<bpf_object>) -> bool {
    let mut map = null_mut();
    loop {
        // SAFETY: the object lives while it is being loaded; a null pointer asks for the first.
        map = unsafe { libbpf_sys::bpf_object__next_map(object.as_ptr(), map) };
        if map.is_null() {
            return true;
        }
        // SAFETY: a map of this object.
        let is_created = unsafe { libbpf_sys::bpf_map__fd(map) } >= 0;
        // SAFETY: likewise.
        let is_wanted = unsafe { libbpf_sys::bpf_map__autocreate(map) };
        if is_wanted && !is_created {
            return false;
        }
    }
}

fn programs(object: NonNull<bpf_object>) -> impl Iterator<Item = *mut bpf_program> {
    let next = move |program| {
        // SAFETY: as for maps.
        let next = unsafe { libbpf_sys::bpf_object__next_program(object.as_ptr(), program) };
        (!next.is_null()).then_some(next)
    };
    std::iter::successors(next(null_mut()), move |&program| next(program))
}

fn is_wanted(program: *mut bpf_program) -> bool {
    // SAFETY: a program of the object that is being loaded.
    unsafe { libbpf_sys::bpf_program__autoload(program) }
}

fn is_loaded(program: *mut bpf_program) -> bool {
    // SAFETY: likewise.
    unsafe { libbpf_sys::bpf_program__fd(program) >= 0 }
}

fn name(program: *mut bpf_program) -> String {
    // SAFETY: likewise.
    let name = unsafe { libbpf_sys::bpf_program__name(program) };
    // SAFETY: a string that lives as long as the program.
    unsafe { std::ffi::CStr::from_ptr(name) }.to_string_lossy().into_owned()
}
