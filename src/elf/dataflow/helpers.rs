//! The kernel's helper functions, as far as they matter for events. The numbers of `enum
//! bpf_func_id` never change.

/// The effect of a helper. Arguments are counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Helper {
    /// Gives a value of the map in argument 1
    Lookup,
    /// Sends `data` of `size` bytes to the map in `map`
    Output {
        map: u8,
        data: u8,
        size: u8,
    },
    /// Gives room for a record: map, size
    Reserve,
    /// Sends the record in argument 1
    Submit,
    /// Puts room for a record into the dynptr in argument 4: map, size
    ReserveDynptr,
    /// Sends the dynptr in argument 1
    SubmitDynptr,
    /// Copies into a dynptr: dynptr, offset, data, size
    WriteDynptr,
    /// Gives the bytes of a dynptr: dynptr, offset, size
    DynptrData,
    /// Writes data of an iterator: data 2, size 3
    SeqWrite,
    /// Fills `to` with `size` bytes
    Fill {
        to: u8,
        size: u8,
        text: bool,
    },
    MonotonicClock,
    BootClock,
    /// Gives a number with a meaning, or two in one
    Gives,
    /// Calls the function in argument `function`; its argument number `own` is ours number
    /// `context`
    CallBack {
        function: u8,
        context: u8,
        own: u8,
        map: bool,
    },
    Other,
}

/// The argument, counted from 1, with the address that a filling helper reads from.
pub(super) fn source_argument(number: i32) -> Option<u8> {
    // probe_read, probe_read_str, and both for user and kernel
    matches!(number, 4 | 45 | 112..=115).then_some(3)
}

pub(super) fn helper(number: i32) -> Helper {
    use Helper as H;
    let text = |to, size| H::Fill { to, size, text: true };
    let fill = |to, size| H::Fill { to, size, text: false };
    match number {
        // map_lookup_elem, sk_, inode_, task_ and cgrp_storage_get, map_lookup_percpu_elem
        1 | 107 | 145 | 156 | 195 | 210 => H::Lookup,
        5 | 160 => H::MonotonicClock, // ktime_get_ns, ktime_get_coarse_ns
        125 => H::BootClock,
        // get_smp_processor_id, get_current_pid_tgid, get_current_uid_gid, get_stackid,
        // get_current_cgroup_id, get_func_ip, get_attach_cookie
        8 | 14 | 15 | 27 | 80 | 173 | 174 => H::Gives,
        // perf_event_output, skb_output, xdp_output
        25 | 111 | 121 => H::Output { map: 2, data: 4, size: 5 },
        130 => H::Output { map: 1, data: 2, size: 3 }, // ringbuf_output
        131 => H::Reserve,
        132 => H::Submit,
        198 => H::ReserveDynptr,
        199 => H::SubmitDynptr,
        202 => H::WriteDynptr,
        203 => H::DynptrData,
        127 => H::SeqWrite,
        16 => text(1, 2),                  // get_current_comm
        45 | 114 | 115 => text(1, 2),      // probe_read_str, _user_str, _kernel_str
        147 => text(2, 3),                 // d_path
        165 => text(1, 2),                 // snprintf
        4 | 112 | 113 | 148 => fill(1, 2), // probe_read, _user, _kernel, copy_from_user
        67 => fill(2, 3),                  // get_stack
        141 => fill(2, 3),                 // get_task_stack
        26 => fill(3, 4),                  // skb_load_bytes
        181 => H::CallBack { function: 2, context: 3, own: 2, map: false }, // loop
        209 => H::CallBack { function: 2, context: 3, own: 2, map: false }, // user_ringbuf_drain
        180 => H::CallBack { function: 3, context: 4, own: 3, map: false }, // find_vma
        164 => H::CallBack { function: 2, context: 3, own: 4, map: true }, // for_each_map_elem
        _ => H::Other,
    }
}
