//! libbpf's perf buffer, with attributes of our own: libbpf-rs has only one that wakes its reader at
//! each record, which costs the traced program ten times what the record does.

use std::cell::{RefCell, RefMut};
use std::ffi::c_void;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr::NonNull;

use libbpf_rs::MapCore;
use libbpf_sys::{perf_buffer, perf_event_attr, perf_event_header};
use nix::errno::Errno;

use crate::host::memory::page_size;
use crate::host::perf_event;

/// Takes the records of a buffer.
pub(crate) trait Sink: 'static {
    /// A record of `linux/perf_event.h`: the CPU whose buffer it lay in, its type
    /// (`PERF_RECORD_…`), and its bytes behind the header. Must not panic.
    fn take(&mut self, cpu: u32, kind: u32, bytes: &[u8]);
}

/// A perf buffer for each CPU, opened for reading.
pub(crate) struct PerfBuffer<S: Sink> {
    buffer: NonNull<perf_buffer>,
    /// libbpf holds its address: it must not move.
    sink: Box<RefCell<S>>,
}

/// Attributes for the output of BPF programs, with these parts (`PERF_SAMPLE_…`).
pub(crate) fn attributes(parts: u32) -> perf_event_attr {
    let config = u64::from(libbpf_sys::PERF_COUNT_SW_BPF_OUTPUT);
    let mut attr = perf_event::attributes(libbpf_sys::PERF_TYPE_SOFTWARE, config);
    attr.sample_type = u64::from(parts);
    attr.__bindgen_anon_1.sample_period = 1;
    attr
}

impl<S: Sink> PerfBuffer<S> {
    /// Opens the buffers of a loaded map, of `bytes` for each CPU. They wake the reader when a
    /// quarter is full, so it has to look by itself too.
    ///
    /// # Errors
    ///
    /// The errno of open or mmap.
    pub(crate) fn open(
        map: &impl MapCore,
        bytes: u64,
        mut attr: perf_event_attr,
        sink: S,
    ) -> Result<Self, Errno> {
        let pages = usize::try_from(bytes / page_size()).map_err(|_| Errno::EOVERFLOW)?;
        attr.set_watermark(1);
        attr.__bindgen_anon_2.wakeup_watermark = u32::try_from(bytes / 4).unwrap_or(u32::MAX);
        let sink = Box::new(RefCell::new(sink));
        let context: *const RefCell<S> = &raw const *sink;
        // SAFETY: libbpf reads `attr` until it returns, and hands `sink`, which lives longer than
        // the buffer, to the callback.
        let buffer = unsafe {
            libbpf_sys::perf_buffer__new_raw(
                map.as_fd().as_raw_fd(),
                pages as libbpf_sys::size_t,
                &raw mut attr,
                Some(on_record::<S>),
                context.cast_mut().cast(),
                std::ptr::null(),
            )
        };
        let buffer = NonNull::new(buffer).ok_or_else(Errno::last)?;
        Ok(Self { buffer, sink })
    }

    /// Becomes readable at a wakeup.
    pub(crate) fn poll_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the buffer is open.
        let fd = unsafe { libbpf_sys::perf_buffer__epoll_fd(self.buffer.as_ptr()) };
        // SAFETY: the descriptor lives as long as the buffer that is borrowed here.
        unsafe { BorrowedFd::borrow_raw(fd) }
    }

    /// Hands all records to the sink.
    pub(crate) fn consume(&mut self) -> Result<(), Errno> {
        // SAFETY: the buffer is open; the callback borrows the sink only while this runs.
        let result = unsafe { libbpf_sys::perf_buffer__consume(self.buffer.as_ptr()) };
        Errno::result(result).map(drop)
    }

    /// What the records were handed to.
    pub(crate) fn sink(&self) -> RefMut<'_, S> {
        self.sink.borrow_mut()
    }

    /// The descriptors of the buffers.
    pub(crate) fn fds(&self) -> impl Iterator<Item = i32> {
        // SAFETY: the buffer is open.
        let buffers = unsafe { libbpf_sys::perf_buffer__buffer_cnt(self.buffer.as_ptr()) };
        // SAFETY: as above.
        let fd = |index| unsafe { libbpf_sys::perf_buffer__buffer_fd(self.buffer.as_ptr(), index) };
        (0..buffers).map(fd)
    }
}

impl<S: Sink> Drop for PerfBuffer<S> {
    fn drop(&mut self) {
        // SAFETY: our own buffer, which nobody uses any more.
        unsafe { libbpf_sys::perf_buffer__free(self.buffer.as_ptr()) };
    }
}

/// libbpf calls this for each record of the buffer.
unsafe extern "C" fn on_record<S: Sink>(
    sink: *mut c_void,
    cpu: i32,
    event: *mut perf_event_header,
) -> libbpf_sys::bpf_perf_event_ret {
    // SAFETY: the pointer from `PerfBuffer::open`.
    let sink = unsafe { &*sink.cast::<RefCell<S>>() };
    // SAFETY: libbpf hands over a whole record, which begins with its header.
    let header = unsafe { *event };
    // SAFETY: as above; `size` counts the header too.
    let bytes = unsafe { std::slice::from_raw_parts(event.cast::<u8>(), header.size.into()) };
    if let Ok(mut sink) = sink.try_borrow_mut() {
        let bytes = bytes.get(size_of_val(&header)..).unwrap_or_default();
        sink.take(cpu.unsigned_abs(), header.type_, bytes);
    }
    libbpf_sys::LIBBPF_PERF_EVENT_CONT
}
