//! What each helper and kfunc does to the system. What is not here acts, for all that we know: a new
//! helper of `enum bpf_func_id` has to be given its place, or a test fails.

/// What we say of one that is in no list.
pub(super) const UNKNOWN: &str = "is unknown to bpfrun, so may do anything";

/// Helpers that act, without `bpf_`, by what they do.
const ACTING: &[(&str, &[&str])] = &[
    ("sends a signal", &["send_signal", "send_signal_thread"]),
    ("writes into the memory of a process", &["probe_write_user"]),
    ("replaces the result of a function", &["override_return"]),
    ("sets the result of a system call or operation", &["set_retval"]),
    ("makes system calls", &["sys_bpf", "sys_close"]),
    ("changes a program that is executed", &["bprm_opts_set"]),
    ("changes a value of sysctl", &["sysctl_set_new_value"]),
    (
        "changes a packet",
        &[
            "skb_store_bytes",
            "l3_csum_replace",
            "l4_csum_replace",
            "skb_vlan_push",
            "skb_vlan_pop",
            "skb_set_tunnel_key",
            "skb_set_tunnel_opt",
            "skb_change_proto",
            "skb_change_type",
            "skb_change_tail",
            "skb_change_head",
            "skb_adjust_room",
            "skb_pull_data",
            "skb_ecn_set_ce",
            "skb_set_tstamp",
            "csum_update",
            "csum_level",
            "set_hash",
            "set_hash_invalid",
            "xdp_adjust_head",
            "xdp_adjust_meta",
            "xdp_adjust_tail",
            "xdp_store_bytes",
            "lwt_push_encap",
            "lwt_seg6_store_bytes",
            "lwt_seg6_adjust_srh",
            "lwt_seg6_action",
            "store_hdr_opt",
            "reserve_hdr_opt",
        ],
    ),
    (
        "sends packets elsewhere",
        &[
            "clone_redirect",
            "redirect",
            "redirect_map",
            "redirect_neigh",
            "redirect_peer",
            "sk_redirect_map",
            "sk_redirect_hash",
            "msg_redirect_map",
            "msg_redirect_hash",
        ],
    ),
    ("sends a packet", &["tcp_send_ack"]),
    (
        "changes what a socket sends",
        &["msg_apply_bytes", "msg_cork_bytes", "msg_pull_data", "msg_push_data", "msg_pop_data"],
    ),
    (
        "changes a socket",
        &["setsockopt", "bind", "sock_ops_cb_flags_set", "sock_map_update", "sock_hash_update"],
    ),
    ("chooses the socket of a packet", &["sk_assign", "sk_select_reuseport"]),
    ("makes up input of a remote control", &["rc_repeat", "rc_keydown", "rc_pointer_rel"]),
];

/// Helpers that look, compute, wait, or keep notes in maps and storage that only BPF programs and
/// their users see.
const LOOKING: &[&str] = &[
    "map_lookup_elem",
    "map_update_elem",
    "map_delete_elem",
    "probe_read",
    "ktime_get_ns",
    "trace_printk",
    "get_prandom_u32",
    "get_smp_processor_id",
    "tail_call",
    "get_current_pid_tgid",
    "get_current_uid_gid",
    "get_current_comm",
    "get_cgroup_classid",
    "skb_get_tunnel_key",
    "perf_event_read",
    "get_route_realm",
    "perf_event_output",
    "skb_load_bytes",
    "get_stackid",
    "csum_diff",
    "skb_get_tunnel_opt",
    "skb_under_cgroup",
    "get_hash_recalc",
    "get_current_task",
    "current_task_under_cgroup",
    "get_numa_node_id",
    "probe_read_str",
    "get_socket_cookie",
    "get_socket_uid",
    "perf_event_read_value",
    "perf_prog_read_value",
    "getsockopt",
    "skb_get_xfrm_state",
    "get_stack",
    "skb_load_bytes_relative",
    "fib_lookup",
    "skb_cgroup_id",
    "get_current_cgroup_id",
    "get_local_storage",
    "skb_ancestor_cgroup_id",
    "sk_lookup_tcp",
    "sk_lookup_udp",
    "sk_release",
    "map_push_elem",
    "map_pop_elem",
    "map_peek_elem",
    "spin_lock",
    "spin_unlock",
    "sk_fullsock",
    "tcp_sock",
    "get_listener_sock",
    "skc_lookup_tcp",
    "tcp_check_syncookie",
    "sysctl_get_name",
    "sysctl_get_current_value",
    "sysctl_get_new_value",
    "strtol",
    "strtoul",
    "sk_storage_get",
    "sk_storage_delete",
    "tcp_gen_syncookie",
    "skb_output",
    "probe_read_user",
    "probe_read_kernel",
    "probe_read_user_str",
    "probe_read_kernel_str",
    "jiffies64",
    "read_branch_records",
    "get_ns_current_pid_tgid",
    "xdp_output",
    "get_netns_cookie",
    "get_current_ancestor_cgroup_id",
    "ktime_get_boot_ns",
    "seq_printf",
    "seq_write",
    "sk_cgroup_id",
    "sk_ancestor_cgroup_id",
    "ringbuf_output",
    "ringbuf_reserve",
    "ringbuf_submit",
    "ringbuf_discard",
    "ringbuf_query",
    "skc_to_tcp6_sock",
    "skc_to_tcp_sock",
    "skc_to_tcp_timewait_sock",
    "skc_to_tcp_request_sock",
    "skc_to_udp6_sock",
    "get_task_stack",
    "load_hdr_opt",
    "inode_storage_get",
    "inode_storage_delete",
    "d_path",
    "copy_from_user",
    "snprintf_btf",
    "seq_printf_btf",
    "skb_cgroup_classid",
    "per_cpu_ptr",
    "this_cpu_ptr",
    "task_storage_get",
    "task_storage_delete",
    "get_current_task_btf",
    "ktime_get_coarse_ns",
    "ima_inode_hash",
    "sock_from_file",
    "check_mtu",
    "for_each_map_elem",
    "snprintf",
    "btf_find_by_name_kind",
    "timer_init",
    "timer_set_callback",
    "timer_start",
    "timer_cancel",
    "get_func_ip",
    "get_attach_cookie",
    "task_pt_regs",
    "get_branch_snapshot",
    "trace_vprintk",
    "skc_to_unix_sock",
    "kallsyms_lookup_name",
    "find_vma",
    "loop",
    "strncmp",
    "get_func_arg",
    "get_func_ret",
    "get_func_arg_cnt",
    "get_retval",
    "xdp_get_buff_len",
    "xdp_load_bytes",
    "copy_from_user_task",
    "ima_file_hash",
    "kptr_xchg",
    "map_lookup_percpu_elem",
    "skc_to_mptcp_sock",
    "dynptr_from_mem",
    "ringbuf_reserve_dynptr",
    "ringbuf_submit_dynptr",
    "ringbuf_discard_dynptr",
    "dynptr_read",
    "dynptr_write",
    "dynptr_data",
    "tcp_raw_gen_syncookie_ipv4",
    "tcp_raw_gen_syncookie_ipv6",
    "tcp_raw_check_syncookie_ipv4",
    "tcp_raw_check_syncookie_ipv6",
    "ktime_get_tai_ns",
    "user_ringbuf_drain",
    "cgrp_storage_get",
    "cgrp_storage_delete",
];

/// The same of kfuncs, in order.
const LOOKING_KFUNCS: &[&str] = &[
    "bpf_arena_alloc_pages",
    "bpf_arena_free_pages",
    "bpf_cast_to_kern_ctx",
    "bpf_cgroup_acquire",
    "bpf_cgroup_ancestor",
    "bpf_cgroup_from_id",
    "bpf_cgroup_release",
    "bpf_copy_from_user_dynptr",
    "bpf_copy_from_user_str",
    "bpf_copy_from_user_str_dynptr",
    "bpf_copy_from_user_task_dynptr",
    "bpf_copy_from_user_task_str",
    "bpf_copy_from_user_task_str_dynptr",
    "bpf_dynptr_adjust",
    "bpf_dynptr_clone",
    "bpf_dynptr_copy",
    "bpf_dynptr_is_null",
    "bpf_dynptr_is_rdonly",
    "bpf_dynptr_memset",
    "bpf_dynptr_size",
    "bpf_dynptr_slice",
    "bpf_dynptr_slice_rdwr",
    "bpf_get_dentry_xattr",
    "bpf_get_file_xattr",
    "bpf_get_fsverity_digest",
    "bpf_get_kmem_cache",
    "bpf_get_task_exe_file",
    "bpf_list_back",
    "bpf_list_front",
    "bpf_list_pop_back",
    "bpf_list_pop_front",
    "bpf_list_push_back_impl",
    "bpf_list_push_front_impl",
    "bpf_local_irq_restore",
    "bpf_local_irq_save",
    "bpf_map_sum_elem_count",
    "bpf_obj_drop_impl",
    "bpf_obj_new_impl",
    "bpf_path_d_path",
    "bpf_percpu_obj_drop_impl",
    "bpf_percpu_obj_new_impl",
    "bpf_preempt_disable",
    "bpf_preempt_enable",
    "bpf_probe_read_kernel_dynptr",
    "bpf_probe_read_kernel_str_dynptr",
    "bpf_probe_read_user_dynptr",
    "bpf_probe_read_user_str_dynptr",
    "bpf_put_file",
    "bpf_rbtree_add_impl",
    "bpf_rbtree_first",
    "bpf_rbtree_left",
    "bpf_rbtree_remove",
    "bpf_rbtree_right",
    "bpf_rbtree_root",
    "bpf_rcu_read_lock",
    "bpf_rcu_read_unlock",
    "bpf_rdonly_cast",
    "bpf_refcount_acquire_impl",
    "bpf_res_spin_lock",
    "bpf_res_spin_lock_irqsave",
    "bpf_res_spin_unlock",
    "bpf_res_spin_unlock_irqrestore",
    "bpf_session_cookie",
    "bpf_session_is_return",
    "bpf_strchr",
    "bpf_strchrnul",
    "bpf_strcmp",
    "bpf_strcspn",
    "bpf_stream_vprintk",
    "bpf_strlen",
    "bpf_strnchr",
    "bpf_strnlen",
    "bpf_strnstr",
    "bpf_strrchr",
    "bpf_strspn",
    "bpf_strstr",
    "bpf_task_acquire",
    "bpf_task_from_pid",
    "bpf_task_from_vpid",
    "bpf_task_get_cgroup1",
    "bpf_task_release",
    "bpf_task_under_cgroup",
    "bpf_throw",
    "bpf_wq_init",
    "bpf_wq_set_callback_impl",
    "bpf_wq_start",
    "cgroup_rstat_flush",
    "cgroup_rstat_updated",
];

/// Families of kfuncs that do nothing else.
const LOOKING_FAMILIES: &[&str] = &["bpf_cpumask_", "bpf_iter_"];

/// What a helper does. `None`: nothing to the system. `name`: without `bpf_`; `None` is a number
/// that has none yet.
pub(super) fn of_helper(name: Option<&str>) -> Option<&'static str> {
    let Some(name) = name else { return Some(UNKNOWN) };
    let acting = ACTING.iter().find(|(_, helpers)| helpers.contains(&name));
    match acting {
        Some((what, _)) => Some(what),
        None if LOOKING.contains(&name) => None,
        None => Some(UNKNOWN),
    }
}

/// The same for a kfunc.
pub(super) fn of_kfunc(name: &str) -> Option<&'static str> {
    // Of several versions of a type or function the part behind ___ chooses one.
    let name = name.split("___").next().unwrap_or(name);
    let looks = LOOKING_KFUNCS.binary_search(&name).is_ok()
        || LOOKING_FAMILIES.iter().any(|family| name.starts_with(family));
    (!looks).then(|| match name {
        _ if name.starts_with("scx_") => "schedules tasks",
        "bpf_send_signal_task" => "sends a signal",
        _ if name.contains("skb") || name.contains("xdp") => "may change a packet",
        _ => UNKNOWN,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::super::names;
    use super::*;

    /// A new helper fails this test: does it act on the system?
    #[test]
    fn each_helper_of_the_kernel_has_one_place() {
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        let acting = ACTING.iter().flat_map(|(_, helpers)| *helpers);
        for name in acting.chain(LOOKING) {
            *places.entry(name).or_default() += 1;
        }
        let known: Vec<_> = names::helpers().filter(|name| *name != "unspec").collect();
        assert!(known.len() > 200);
        for name in &known {
            assert_eq!(places.get(name), Some(&1), "{name}");
        }
        for name in places.keys() {
            assert!(known.contains(name), "no helper is called {name}");
        }
    }

    #[test]
    fn what_is_unknown_acts() {
        assert_eq!(of_helper(None), Some(UNKNOWN));
        assert_eq!(of_helper(Some("new_in_8_0")), Some(UNKNOWN));
        assert_eq!(of_helper(Some("send_signal")), Some("sends a signal"));
        assert_eq!(of_helper(Some("d_path")), None);
        assert_eq!(of_kfunc("bpf_new_in_8_0"), Some(UNKNOWN));
        assert_eq!(of_kfunc("bpf_dynptr_from_skb"), Some("may change a packet"));
        assert_eq!(of_kfunc("bpf_iter_task_new"), None);
        assert_eq!(of_kfunc("bpf_task_from_pid___new"), None);
        assert!(LOOKING_KFUNCS.is_sorted());
    }
}
