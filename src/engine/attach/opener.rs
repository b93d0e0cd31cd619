//! The object, opened for one backend after the other.

use std::mem::MaybeUninit;
use std::ptr::null;

use libbpf_rs::OpenObject;
use libbpf_sys::bpf_object_open_opts;
use nix::errno::Errno;

use super::Builder;
use super::kernel_types::KernelTypes;
use crate::engine::refusal::Refused;

/// Opens the object, which takes milliseconds.
pub(super) struct Opener<'a, B: Builder> {
    types: Option<&'a KernelTypes>,
    /// Opened for a backend that was refused before it was loaded
    unused: Option<B::Output>,
}

impl<'a, B: Builder> Opener<'a, B> {
    pub(super) fn new(types: Option<&'a KernelTypes>) -> Self {
        Opener { types, unused: None }
    }

    pub(super) fn open(&mut self) -> Result<B::Output, Refused> {
        if let Some(unused) = self.unused.take() {
            return Ok(unused);
        }
        // A few bytes that stay until the end; the object itself is freed with the skeleton.
        let storage: &'static mut MaybeUninit<OpenObject> =
            Box::leak(Box::new(MaybeUninit::uninit()));
        let path = self.types.map(KernelTypes::path);
        let options = bpf_object_open_opts {
            sz: size_of::<bpf_object_open_opts>() as libbpf_sys::size_t,
            btf_custom_path: path.as_ref().map_or(null(), |path| path.as_ptr()),
            ..bpf_object_open_opts::default()
        };
        let open = B::default().open_opts(options, storage);
        open.map_err(|_| Refused::Object { errno: Errno::last() })
    }

    /// Keeps for the next backend what was opened and not loaded.
    pub(super) fn give_back(&mut self, unused: B::Output) {
        self.unused = Some(unused);
    }
}
