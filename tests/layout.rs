//! C and Rust agree on the events, without privileges: the sizes and offsets that the C
//! compiler wrote into the objects' BTF are those of the generated Rust types.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::mem::offset_of;

use libbpf_rs::btf::types::{MemberAttr, Struct};
use libbpf_rs::{Btf, HasSize as _};

use snoop_tools::skel::{
    bootstrap, connect_config, connect_counters, connect_event, exec_cold, exec_event, exec_kind,
    mmap_config, mmap_event, mmap_extra, mmap_file_key, mmap_file_sum, mmap_process_key,
    mmap_process_sum, mmap_totals, network_key, process_command, process_config, process_counters,
    process_event, process_exit_event, process_killer, process_kind, process_reaped_event,
    process_usage, snoop_config, snoop_counters, task_id,
};
use snoop_tools::tools::mmapsnoop::stacks::FRAMES;

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
        members!(snoop_config: filters perf wakeup_bytes pidns_inum self_pid cgroups only_pid);
    check(&btf, "snoop_config", size, offsets);
    let (size, offsets) = members!(snoop_counters: lost tree_full);
    check(&btf, "snoop_counters", size, offsets);
}

#[test]
fn tcpconnect() {
    let btf = btf("tcpconnect");
    // Each object has its own copy of what all events begin with.
    let (size, offsets) =
        members!(task_id: time_ns lost start_ns cgroup pid tid ppid uid euid vpid comm);
    check(&btf, "task_id", size, offsets);
    let (size, offsets) = members!(connect_event: id duration_ns local peer outcome flags error
        netns rtt_us retransmits local_port peer_port family pad);
    check(&btf, "connect_event", size, offsets);
    let (size, offsets) = members!(connect_config: min_latency_ns outcomes family by_port
        by_network by_netns preemptible sees_errors pad);
    check(&btf, "connect_config", size, offsets);
    let (size, offsets) = members!(connect_counters: full);
    check(&btf, "connect_counters", size, offsets);
    let (size, offsets) = members!(network_key: prefix_bits family address);
    check(&btf, "network_key", size, offsets);
}

#[test]
fn bootstrap() {
    let btf = btf("bootstrap");
    let (size, offsets) = members!(process_event: id parent_start_ns kind flags exec_id);
    check(&btf, "process_event", size, offsets);
    let (size, offsets) = members!(process_usage: user_ns system_ns runtime_ns shown_user_ns
        shown_system_ns max_rss_kib minor_faults major_faults voluntary_switches
        involuntary_switches read_blocks written_blocks);
    check(&btf, "process_usage", size, offsets);
    let (size, offsets) = members!(process_killer: address pid uid code signal comm);
    check(&btf, "process_killer", size, offsets);
    let (size, offsets) = members!(process_exit_event: process usage killer begin_ns status
        threads);
    check(&btf, "process_exit_event", size, offsets);
    let (size, offsets) = members!(process_reaped_event: process usage);
    check(&btf, "process_reaped_event", size, offsets);
    let (size, offsets) = members!(process_config: min_duration_ns signals codes execs forks
        threads kernel_threads reaped pad);
    check(&btf, "process_config", size, offsets);
    let (size, offsets) = members!(process_command: released_ns pid pad);
    check(&btf, "process_command", size, offsets);
    let (size, offsets) = members!(process_counters: context_lost);
    check(&btf, "process_counters", size, offsets);
    // What it has of common.h and execve.h is decoded with execve's types.
    let (size, offsets) =
        members!(task_id: time_ns lost start_ns cgroup pid tid ppid uid euid vpid comm);
    check(&btf, "task_id", size, offsets);
    assert_eq!(size_of::<bootstrap::types::exec_event>(), size_of::<exec_event>());
}

#[test]
fn records_of_processes_are_told_apart_by_their_kind() {
    assert_eq!(offset_of!(process_event, kind), offset_of!(exec_event, kind));
    assert_eq!(offset_of!(process_exit_event, process), 0);
    assert_eq!(offset_of!(process_reaped_event, process), 0);
    let kinds = [
        exec_kind::EXEC_DONE.0,
        exec_kind::EXEC_FAILED.0,
        process_kind::PROCESS_FORK.0,
        process_kind::PROCESS_EXIT.0,
        process_kind::PROCESS_REAPED.0,
        process_kind::PROCESS_THREAD_EXIT.0,
    ];
    let different: std::collections::HashSet<_> = kinds.iter().collect();
    assert_eq!(different.len(), kinds.len());
}

#[test]
fn mmap() {
    let btf = btf("mmap");
    // Each object has its own copy of these.
    let (size, offsets) =
        members!(task_id: time_ns lost start_ns cgroup pid tid ppid uid euid vpid comm);
    check(&btf, "task_id", size, offsets);
    let (size, offsets) =
        members!(mmap_event: id addr len ret prot flags offset fd kind notes path_len pad);
    check(&btf, "mmap_event", size, offsets);
    let (size, offsets) = members!(mmap_extra: inode vma_start vma_end vma_flags duration_ns dev
        generation kernel_frames user_frames pad);
    check(&btf, "mmap_extra", size, offsets);
    let (size, offsets) = members!(mmap_config: min_len max_len prot flags flags_mask kinds
        backing filters modes prefix_len prefix pad);
    check(&btf, "mmap_config", size, offsets);
    let scratch = btf.type_by_name::<Struct<'_>>("mmap_scratch").unwrap();
    let offset = |wanted: &str| {
        let found = scratch.iter().find(|member| member.name.unwrap() == wanted);
        match found.unwrap().attr {
            MemberAttr::Normal { offset } => offset as usize / 8,
            MemberAttr::BitField { .. } => panic!("a bit field"),
        }
    };
    assert_eq!(offset("user_stack") - offset("kernel_stack"), 8 * FRAMES);
    let (size, offsets) = members!(mmap_process_key: start_ns pid epoch);
    check(&btf, "mmap_process_key", size, offsets);
    let (size, offsets) = members!(mmap_process_sum: sum comm);
    check(&btf, "mmap_process_sum", size, offsets);
    let (size, offsets) = members!(mmap_file_key: inode dev epoch);
    check(&btf, "mmap_file_key", size, offsets);
    let (size, offsets) = members!(mmap_file_sum: sum notes path_len path);
    check(&btf, "mmap_file_sum", size, offsets);
    let (size, offsets) = members!(mmap_totals: sizes other_processes other_files files);
    check(&btf, "mmap_totals", size, offsets);
}

#[test]
fn the_time_and_the_losses_lead_every_event() {
    // channel/perf.rs and tool.rs read them without knowing the event.
    assert_eq!(offset_of!(exec_event, id), 0);
    assert_eq!(offset_of!(connect_event, id), 0);
    assert_eq!(offset_of!(process_event, id), 0);
    assert_eq!(offset_of!(mmap_event, id), 0);
    assert_eq!(offset_of!(task_id, time_ns), 0);
}
