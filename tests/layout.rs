//! C and Rust agree on the events, without privileges: the sizes and offsets that the C
//! compiler wrote into the objects' BTF are those of the generated Rust types.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::mem::offset_of;

use libbpf_rs::btf::types::{MemberAttr, Struct};
use libbpf_rs::{Btf, HasSize as _};

use snoop_tools::skel::{exec_cold, exec_event, snoop_config, snoop_counters, task_id};

/// The BTF of a compiled object.
fn btf(name: &str) -> Btf<'static> {
    Btf::from_path(format!("{}/{name}.bpf.o", env!("OUT_DIR"))).unwrap()
}

fn check(btf: &Btf<'_>, name: &str, size: usize, offsets: &[(&str, usize)]) {
    let c = btf.type_by_name::<Struct<'_>>(name).unwrap_or_else(|| panic!("no struct {name}"));
    assert_eq!(c.size(), size, "size of struct {name}");
    let members: Vec<(String, usize)> = c
        .iter()
        .map(|member| {
            let bits = match member.attr {
                MemberAttr::Normal { offset } => offset,
                MemberAttr::BitField { .. } => panic!("a bit field"),
            };
            (member.name.unwrap().to_str().unwrap().to_owned(), bits as usize / 8)
        })
        .collect();
    let offsets: Vec<_> = offsets.iter().map(|&(name, at)| (name.to_owned(), at)).collect();
    assert_eq!(members, offsets, "members of struct {name}");
}

/// All members of a type with their offsets; a missing one makes `check` fail.
macro_rules! members {
    ($type:ty: $($member:ident)*) => {
        (size_of::<$type>(), &[$((stringify!($member), offset_of!($type, $member))),*])
    };
}

#[test]
fn execve() {
    let btf = btf("execve");
    let (size, offsets) =
        members!(task_id: time_ns lost start_ns cgroup pid tid ppid uid euid vpid comm);
    check(&btf, "task_id", size, offsets);
    let (size, offsets) = members!(exec_event: id arg_start kind ret flags argc args_total args_len
        caller_tid dirfd mnt_ns path_len filename_len interp_len cold_len pad);
    check(&btf, "exec_event", size, offsets);
    let (size, offsets) = members!(exec_cold: address index pad);
    check(&btf, "exec_cold", size, offsets);
    let (size, offsets) =
        members!(snoop_config: filters perf wakeup_bytes pidns_inum self_pid cgroups);
    check(&btf, "snoop_config", size, offsets);
    let (size, offsets) = members!(snoop_counters: lost tree_full);
    check(&btf, "snoop_counters", size, offsets);
}

#[test]
fn the_time_and_the_losses_lead_every_event() {
    // channel/perf.rs and tool.rs read them without knowing the event.
    assert_eq!(offset_of!(exec_event, id), 0);
    assert_eq!(offset_of!(task_id, time_ns), 0);
}
