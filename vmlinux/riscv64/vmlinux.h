/* What our BPF programs use of the types of linux-binary-7.2.13+deb14-riscv64 7.2.13-1.
   Made by cargo xtask vmlinux, see vmlinux/README.md: not to be edited. */
#ifndef __VMLINUX_H__
#define __VMLINUX_H__

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)
#endif

typedef short unsigned int __u16;

typedef __u16 __be16;

typedef unsigned int __u32;

typedef __u32 __be32;

struct llist_node;

struct llist_node {
	struct llist_node *next;
};

typedef struct {
	int counter;
} atomic_t;

typedef __u16 u16;

struct __call_single_node {
	struct llist_node llist;
	union {
		unsigned int u_flags;
		atomic_t a_flags;
	};
	u16 src;
	u16 dst;
};

typedef void (*smp_call_func_t)(void *);

struct __call_single_data {
	struct __call_single_node node;
	smp_call_func_t func;
	void *info;
};

struct audit_names;

struct __filename_head {
	const char *name;
	struct audit_names *aname;
};

typedef __u32 u32;

typedef u32 __kernel_dev_t;

typedef unsigned int __kernel_gid32_t;

typedef long long int __kernel_loff_t;

typedef int __kernel_pid_t;

typedef long unsigned int __kernel_ulong_t;

typedef __kernel_ulong_t __kernel_size_t;

typedef unsigned int __kernel_uid32_t;

typedef short int __s16;

typedef int __s32;

typedef long long int __s64;

typedef signed char __s8;

union __sifields {
	struct {
		void *_addr;
	} _sigfault;
};

typedef void __signalfn_t(int);

typedef __signalfn_t *__sighandler_t;

struct bpf_sock;

struct __sk_buff {
	__u32 len;
	__u32 pkt_type;
	__u32 mark;
	__u32 protocol;
	__u32 ifindex;
	__u32 hash;
	__u32 data;
	__u32 data_end;
	__u32 family;
	__u32 local_port;
	union {
		struct bpf_sock *sk;
	};
};

typedef __u16 __sum16;

typedef long long unsigned int __u64;

typedef unsigned char __u8;

typedef __u32 __wsum;

struct inode;

struct spinlock;

typedef struct spinlock spinlock_t;

struct qspinlock;

typedef struct qspinlock arch_spinlock_t;

typedef __u8 u8;

struct qspinlock {
	union {
		atomic_t val;
		struct {
			u8 locked;
			u8 pending;
		};
		struct {
			u16 locked_pending;
			u16 tail;
		};
	};
};

struct raw_spinlock {
	arch_spinlock_t raw_lock;
};

struct spinlock {
	union {
		struct raw_spinlock rlock;
	};
};

typedef unsigned int gfp_t;

struct xarray {
	spinlock_t xa_lock;
	gfp_t xa_flags;
	void *xa_head;
};

typedef __s64 s64;

typedef struct {
	s64 counter;
} atomic64_t;

typedef atomic64_t atomic_long_t;

struct optimistic_spin_queue {
	atomic_t tail;
};

typedef struct raw_spinlock raw_spinlock_t;

struct rwsem_waiter;

struct rw_semaphore {
	atomic_long_t count;
	atomic_long_t owner;
	struct optimistic_spin_queue osq;
	raw_spinlock_t wait_lock;
	struct rwsem_waiter *first_waiter;
};

struct rb_node;

struct rb_root {
	struct rb_node *rb_node;
};

struct rb_root_cached {
	struct rb_root rb_root;
	struct rb_node *rb_leftmost;
};

struct address_space_operations;

typedef u32 errseq_t;

struct address_space {
	struct inode *host;
	struct xarray i_pages;
	struct rw_semaphore invalidate_lock;
	gfp_t gfp_mask;
	atomic_t i_mmap_writable;
	struct rb_root_cached i_mmap;
	long unsigned int nrpages;
	long unsigned int writeback_index;
	const struct address_space_operations *a_ops;
	long unsigned int flags;
	errseq_t wb_err;
	spinlock_t i_private_lock;
	struct rw_semaphore i_mmap_rwsem;
};

struct address_space_operations {
};

struct anon_vma;

struct anon_vma {
	struct anon_vma *root;
	struct anon_vma *parent;
	struct rb_root_cached rb_root;
};

struct arch_uprobe {
};

struct assoc_array_ptr;

struct assoc_array {
	struct assoc_array_ptr *root;
};

struct list_head;

struct list_head {
	struct list_head *next;
	struct list_head *prev;
};

struct filename;

typedef __kernel_dev_t dev_t;

typedef short unsigned int umode_t;

typedef __kernel_uid32_t uid_t;

typedef struct {
	uid_t val;
} kuid_t;

typedef __kernel_gid32_t gid_t;

typedef struct {
	gid_t val;
} kgid_t;

struct audit_names {
	struct list_head list;
	struct filename *name;
	dev_t dev;
	umode_t mode;
	kuid_t uid;
	kgid_t gid;
	unsigned char type;
};

typedef unsigned int fmode_t;

struct vfsmount;

struct dentry;

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	fmode_t f_mode;
	struct address_space *f_mapping;
	void *private_data;
	struct inode *f_inode;
	union {
		const struct path f_path;
	};
};

struct backing_file {
	struct file file;
	union {
		struct path user_path;
	};
};

struct balance_callback;

struct balance_callback {
	struct balance_callback *next;
	void (*func)(void);
};

struct bdi_writeback {
	long unsigned int state;
};

typedef __u64 u64;

typedef u64 blkcnt_t;

typedef _Bool bool;

enum bpf_attach_type {
	BPF_CGROUP_INET4_CONNECT = 10,
	BPF_CGROUP_INET6_CONNECT = 11,
};

union bpf_attr {
	struct {
		__u32 map_type;
		__u32 key_size;
		__u32 value_size;
		__u32 max_entries;
		__u32 map_flags;
		char map_name[16];
	};
	struct {
		__u64 key;
		union {
			__u64 value;
		};
		__u64 flags;
	};
	struct {
		__u32 prog_type;
		__u32 insn_cnt;
		__u64 insns;
		__u64 license;
		char prog_name[16];
		__u32 expected_attach_type;
		__u32 attach_btf_id;
	};
	struct {
		__u64 pathname;
	};
	struct {
		__u32 attach_type;
	};
	struct {
		__u64 info;
	} info;
	struct {
		__u32 attach_type;
		__u32 flags;
	} link_create;
};

enum bpf_link_type {
	BPF_LINK_TYPE_UNSPEC = 0,
};

struct bpf_prog;

struct bpf_link {
	u32 id;
	enum bpf_link_type type;
	struct bpf_prog *prog;
	u32 flags;
	enum bpf_attach_type attach_type;
};

struct cgroup;

struct bpf_cgroup_link {
	struct bpf_link link;
	struct cgroup *cgroup;
};

struct bpf_storage_buffer;

struct bpf_cgroup_storage_map;

struct bpf_cgroup_storage_key {
	__u32 attach_type;
};

struct rb_node {
	long unsigned int __rb_parent_color;
	struct rb_node *rb_right;
	struct rb_node *rb_left;
};

struct bpf_cgroup_storage {
	union {
		struct bpf_storage_buffer *buf;
	};
	struct bpf_cgroup_storage_map *map;
	struct bpf_cgroup_storage_key key;
	struct rb_node node;
};

enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PROG_ARRAY = 3,
	BPF_MAP_TYPE_PERF_EVENT_ARRAY = 4,
	BPF_MAP_TYPE_PERCPU_HASH = 5,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_STACK_TRACE = 7,
	BPF_MAP_TYPE_CGROUP_ARRAY = 8,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_LPM_TRIE = 11,
	BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
	BPF_MAP_TYPE_QUEUE = 22,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_USER_RINGBUF = 31,
};

struct btf_record;

struct bpf_map_owner;

struct bpf_map {
	enum bpf_map_type map_type;
	u32 key_size;
	u32 value_size;
	u32 max_entries;
	u32 map_flags;
	u32 id;
	struct btf_record *record;
	char name[16];
	struct bpf_map_owner *owner;
	u64 cookie;
};

struct bpf_cgroup_storage_map {
	struct bpf_map map;
	struct rb_root root;
	struct list_head list;
};

enum bpf_cmd {
	BPF_MAP_CREATE = 0,
	BPF_PROG_LOAD = 5,
	BPF_LINK_CREATE = 28,
};

enum bpf_core_relo_kind {
	BPF_CORE_FIELD_BYTE_OFFSET = 0,
	BPF_CORE_FIELD_BYTE_SIZE = 1,
	BPF_CORE_FIELD_EXISTS = 2,
	BPF_CORE_FIELD_SIGNED = 3,
	BPF_CORE_FIELD_LSHIFT_U64 = 4,
	BPF_CORE_FIELD_RSHIFT_U64 = 5,
	BPF_CORE_TYPE_ID_LOCAL = 6,
	BPF_CORE_TYPE_ID_TARGET = 7,
	BPF_CORE_TYPE_EXISTS = 8,
	BPF_CORE_TYPE_SIZE = 9,
	BPF_CORE_ENUMVAL_EXISTS = 10,
	BPF_CORE_ENUMVAL_VALUE = 11,
	BPF_CORE_TYPE_MATCHES = 12,
};

struct bpf_dynptr {
	__u64 __opaque[2];
};

enum bpf_func_id {
	BPF_FUNC_unspec = 0,
	BPF_FUNC_map_lookup_elem = 1,
	BPF_FUNC_map_update_elem = 2,
	BPF_FUNC_map_delete_elem = 3,
	BPF_FUNC_probe_read = 4,
	BPF_FUNC_ktime_get_ns = 5,
	BPF_FUNC_trace_printk = 6,
	BPF_FUNC_get_prandom_u32 = 7,
	BPF_FUNC_get_smp_processor_id = 8,
	BPF_FUNC_skb_store_bytes = 9,
	BPF_FUNC_l3_csum_replace = 10,
	BPF_FUNC_l4_csum_replace = 11,
	BPF_FUNC_tail_call = 12,
	BPF_FUNC_clone_redirect = 13,
	BPF_FUNC_get_current_pid_tgid = 14,
	BPF_FUNC_get_current_uid_gid = 15,
	BPF_FUNC_get_current_comm = 16,
	BPF_FUNC_get_cgroup_classid = 17,
	BPF_FUNC_skb_vlan_push = 18,
	BPF_FUNC_skb_vlan_pop = 19,
	BPF_FUNC_skb_get_tunnel_key = 20,
	BPF_FUNC_skb_set_tunnel_key = 21,
	BPF_FUNC_perf_event_read = 22,
	BPF_FUNC_redirect = 23,
	BPF_FUNC_get_route_realm = 24,
	BPF_FUNC_perf_event_output = 25,
	BPF_FUNC_skb_load_bytes = 26,
	BPF_FUNC_get_stackid = 27,
	BPF_FUNC_csum_diff = 28,
	BPF_FUNC_skb_get_tunnel_opt = 29,
	BPF_FUNC_skb_set_tunnel_opt = 30,
	BPF_FUNC_skb_change_proto = 31,
	BPF_FUNC_skb_change_type = 32,
	BPF_FUNC_skb_under_cgroup = 33,
	BPF_FUNC_get_hash_recalc = 34,
	BPF_FUNC_get_current_task = 35,
	BPF_FUNC_probe_write_user = 36,
	BPF_FUNC_current_task_under_cgroup = 37,
	BPF_FUNC_skb_change_tail = 38,
	BPF_FUNC_skb_pull_data = 39,
	BPF_FUNC_csum_update = 40,
	BPF_FUNC_set_hash_invalid = 41,
	BPF_FUNC_get_numa_node_id = 42,
	BPF_FUNC_skb_change_head = 43,
	BPF_FUNC_xdp_adjust_head = 44,
	BPF_FUNC_probe_read_str = 45,
	BPF_FUNC_get_socket_cookie = 46,
	BPF_FUNC_get_socket_uid = 47,
	BPF_FUNC_set_hash = 48,
	BPF_FUNC_setsockopt = 49,
	BPF_FUNC_skb_adjust_room = 50,
	BPF_FUNC_redirect_map = 51,
	BPF_FUNC_sk_redirect_map = 52,
	BPF_FUNC_sock_map_update = 53,
	BPF_FUNC_xdp_adjust_meta = 54,
	BPF_FUNC_perf_event_read_value = 55,
	BPF_FUNC_perf_prog_read_value = 56,
	BPF_FUNC_getsockopt = 57,
	BPF_FUNC_override_return = 58,
	BPF_FUNC_sock_ops_cb_flags_set = 59,
	BPF_FUNC_msg_redirect_map = 60,
	BPF_FUNC_msg_apply_bytes = 61,
	BPF_FUNC_msg_cork_bytes = 62,
	BPF_FUNC_msg_pull_data = 63,
	BPF_FUNC_bind = 64,
	BPF_FUNC_xdp_adjust_tail = 65,
	BPF_FUNC_skb_get_xfrm_state = 66,
	BPF_FUNC_get_stack = 67,
	BPF_FUNC_skb_load_bytes_relative = 68,
	BPF_FUNC_fib_lookup = 69,
	BPF_FUNC_sock_hash_update = 70,
	BPF_FUNC_msg_redirect_hash = 71,
	BPF_FUNC_sk_redirect_hash = 72,
	BPF_FUNC_lwt_push_encap = 73,
	BPF_FUNC_lwt_seg6_store_bytes = 74,
	BPF_FUNC_lwt_seg6_adjust_srh = 75,
	BPF_FUNC_lwt_seg6_action = 76,
	BPF_FUNC_rc_repeat = 77,
	BPF_FUNC_rc_keydown = 78,
	BPF_FUNC_skb_cgroup_id = 79,
	BPF_FUNC_get_current_cgroup_id = 80,
	BPF_FUNC_get_local_storage = 81,
	BPF_FUNC_sk_select_reuseport = 82,
	BPF_FUNC_skb_ancestor_cgroup_id = 83,
	BPF_FUNC_sk_lookup_tcp = 84,
	BPF_FUNC_sk_lookup_udp = 85,
	BPF_FUNC_sk_release = 86,
	BPF_FUNC_map_push_elem = 87,
	BPF_FUNC_map_pop_elem = 88,
	BPF_FUNC_map_peek_elem = 89,
	BPF_FUNC_msg_push_data = 90,
	BPF_FUNC_msg_pop_data = 91,
	BPF_FUNC_rc_pointer_rel = 92,
	BPF_FUNC_spin_lock = 93,
	BPF_FUNC_spin_unlock = 94,
	BPF_FUNC_sk_fullsock = 95,
	BPF_FUNC_tcp_sock = 96,
	BPF_FUNC_skb_ecn_set_ce = 97,
	BPF_FUNC_get_listener_sock = 98,
	BPF_FUNC_skc_lookup_tcp = 99,
	BPF_FUNC_tcp_check_syncookie = 100,
	BPF_FUNC_sysctl_get_name = 101,
	BPF_FUNC_sysctl_get_current_value = 102,
	BPF_FUNC_sysctl_get_new_value = 103,
	BPF_FUNC_sysctl_set_new_value = 104,
	BPF_FUNC_strtol = 105,
	BPF_FUNC_strtoul = 106,
	BPF_FUNC_sk_storage_get = 107,
	BPF_FUNC_sk_storage_delete = 108,
	BPF_FUNC_send_signal = 109,
	BPF_FUNC_tcp_gen_syncookie = 110,
	BPF_FUNC_skb_output = 111,
	BPF_FUNC_probe_read_user = 112,
	BPF_FUNC_probe_read_kernel = 113,
	BPF_FUNC_probe_read_user_str = 114,
	BPF_FUNC_probe_read_kernel_str = 115,
	BPF_FUNC_tcp_send_ack = 116,
	BPF_FUNC_send_signal_thread = 117,
	BPF_FUNC_jiffies64 = 118,
	BPF_FUNC_read_branch_records = 119,
	BPF_FUNC_get_ns_current_pid_tgid = 120,
	BPF_FUNC_xdp_output = 121,
	BPF_FUNC_get_netns_cookie = 122,
	BPF_FUNC_get_current_ancestor_cgroup_id = 123,
	BPF_FUNC_sk_assign = 124,
	BPF_FUNC_ktime_get_boot_ns = 125,
	BPF_FUNC_seq_printf = 126,
	BPF_FUNC_seq_write = 127,
	BPF_FUNC_sk_cgroup_id = 128,
	BPF_FUNC_sk_ancestor_cgroup_id = 129,
	BPF_FUNC_ringbuf_output = 130,
	BPF_FUNC_ringbuf_reserve = 131,
	BPF_FUNC_ringbuf_submit = 132,
	BPF_FUNC_ringbuf_discard = 133,
	BPF_FUNC_ringbuf_query = 134,
	BPF_FUNC_csum_level = 135,
	BPF_FUNC_skc_to_tcp6_sock = 136,
	BPF_FUNC_skc_to_tcp_sock = 137,
	BPF_FUNC_skc_to_tcp_timewait_sock = 138,
	BPF_FUNC_skc_to_tcp_request_sock = 139,
	BPF_FUNC_skc_to_udp6_sock = 140,
	BPF_FUNC_get_task_stack = 141,
	BPF_FUNC_load_hdr_opt = 142,
	BPF_FUNC_store_hdr_opt = 143,
	BPF_FUNC_reserve_hdr_opt = 144,
	BPF_FUNC_inode_storage_get = 145,
	BPF_FUNC_inode_storage_delete = 146,
	BPF_FUNC_d_path = 147,
	BPF_FUNC_copy_from_user = 148,
	BPF_FUNC_snprintf_btf = 149,
	BPF_FUNC_seq_printf_btf = 150,
	BPF_FUNC_skb_cgroup_classid = 151,
	BPF_FUNC_redirect_neigh = 152,
	BPF_FUNC_per_cpu_ptr = 153,
	BPF_FUNC_this_cpu_ptr = 154,
	BPF_FUNC_redirect_peer = 155,
	BPF_FUNC_task_storage_get = 156,
	BPF_FUNC_task_storage_delete = 157,
	BPF_FUNC_get_current_task_btf = 158,
	BPF_FUNC_bprm_opts_set = 159,
	BPF_FUNC_ktime_get_coarse_ns = 160,
	BPF_FUNC_ima_inode_hash = 161,
	BPF_FUNC_sock_from_file = 162,
	BPF_FUNC_check_mtu = 163,
	BPF_FUNC_for_each_map_elem = 164,
	BPF_FUNC_snprintf = 165,
	BPF_FUNC_sys_bpf = 166,
	BPF_FUNC_btf_find_by_name_kind = 167,
	BPF_FUNC_sys_close = 168,
	BPF_FUNC_timer_init = 169,
	BPF_FUNC_timer_set_callback = 170,
	BPF_FUNC_timer_start = 171,
	BPF_FUNC_timer_cancel = 172,
	BPF_FUNC_get_func_ip = 173,
	BPF_FUNC_get_attach_cookie = 174,
	BPF_FUNC_task_pt_regs = 175,
	BPF_FUNC_get_branch_snapshot = 176,
	BPF_FUNC_trace_vprintk = 177,
	BPF_FUNC_skc_to_unix_sock = 178,
	BPF_FUNC_kallsyms_lookup_name = 179,
	BPF_FUNC_find_vma = 180,
	BPF_FUNC_loop = 181,
	BPF_FUNC_strncmp = 182,
	BPF_FUNC_get_func_arg = 183,
	BPF_FUNC_get_func_ret = 184,
	BPF_FUNC_get_func_arg_cnt = 185,
	BPF_FUNC_get_retval = 186,
	BPF_FUNC_set_retval = 187,
	BPF_FUNC_xdp_get_buff_len = 188,
	BPF_FUNC_xdp_load_bytes = 189,
	BPF_FUNC_xdp_store_bytes = 190,
	BPF_FUNC_copy_from_user_task = 191,
	BPF_FUNC_skb_set_tstamp = 192,
	BPF_FUNC_ima_file_hash = 193,
	BPF_FUNC_kptr_xchg = 194,
	BPF_FUNC_map_lookup_percpu_elem = 195,
	BPF_FUNC_skc_to_mptcp_sock = 196,
	BPF_FUNC_dynptr_from_mem = 197,
	BPF_FUNC_ringbuf_reserve_dynptr = 198,
	BPF_FUNC_ringbuf_submit_dynptr = 199,
	BPF_FUNC_ringbuf_discard_dynptr = 200,
	BPF_FUNC_dynptr_read = 201,
	BPF_FUNC_dynptr_write = 202,
	BPF_FUNC_dynptr_data = 203,
	BPF_FUNC_tcp_raw_gen_syncookie_ipv4 = 204,
	BPF_FUNC_tcp_raw_gen_syncookie_ipv6 = 205,
	BPF_FUNC_tcp_raw_check_syncookie_ipv4 = 206,
	BPF_FUNC_tcp_raw_check_syncookie_ipv6 = 207,
	BPF_FUNC_ktime_get_tai_ns = 208,
	BPF_FUNC_user_ringbuf_drain = 209,
	BPF_FUNC_cgrp_storage_get = 210,
	BPF_FUNC_cgrp_storage_delete = 211,
	__BPF_FUNC_MAX_ID = 212,
};

struct bpf_iter_meta;

struct bpf_iter__bpf_map_elem {
	union {
		struct bpf_iter_meta *meta;
	};
	union {
		struct bpf_map *map;
	};
	union {
		void *key;
	};
	union {
		void *value;
	};
};

struct task_struct;

struct bpf_iter__task {
	union {
		struct bpf_iter_meta *meta;
	};
	union {
		struct task_struct *task;
	};
};

struct bpf_iter__task_file {
	union {
		struct bpf_iter_meta *meta;
	};
	union {
		struct task_struct *task;
	};
	u32 fd;
	union {
		struct file *file;
	};
};

struct vm_area_struct;

struct bpf_iter__task_vma {
	union {
		struct bpf_iter_meta *meta;
	};
	union {
		struct task_struct *task;
	};
	union {
		struct vm_area_struct *vma;
	};
};

struct seq_file;

struct bpf_iter_meta {
	union {
		struct seq_file *seq;
	};
	u64 seq_num;
};

enum bpf_prog_type {
	BPF_PROG_TYPE_UNSPEC = 0,
};

struct bpf_map_owner {
	enum bpf_prog_type type;
	enum bpf_attach_type expected_attach_type;
};

struct sock_filter {
	__u16 code;
	__u8 jt;
	__u8 jf;
	__u32 k;
};

struct bpf_prog {
	enum bpf_prog_type type;
	enum bpf_attach_type expected_attach_type;
	u32 len;
	union {
		u8 tag[8];
	};
	union {
		struct {
			struct sock_filter insns[0];
		};
	};
};

struct bpf_prog_array_item {
	struct bpf_prog *prog;
	union {
		struct bpf_cgroup_storage *cgroup_storage[2];
		u64 bpf_cookie;
	};
};

struct bpf_prog_array {
	struct bpf_prog_array_item items[0];
};

struct hlist_node;

struct hlist_node {
	struct hlist_node *next;
	struct hlist_node **pprev;
};

struct bpf_prog_list {
	struct hlist_node node;
	struct bpf_prog *prog;
	struct bpf_cgroup_link *link;
	u32 flags;
};

struct bpf_raw_tracepoint_args {
	__u64 args[0];
};

struct bpf_sock {
	__u32 family;
	__u32 type;
	__u32 protocol;
	__u32 mark;
	__u32 state;
};

struct bpf_sock_addr {
	__u32 family;
	__u32 type;
	__u32 protocol;
	union {
		struct bpf_sock *sk;
	};
};

struct bpf_storage_buffer {
	char data[0];
};

struct bpf_timer {
	__u64 __opaque[2];
};

struct btf_record {
};

typedef struct __call_single_data call_single_data_t;

struct callback_head;

struct callback_head {
	struct callback_head *next;
	void (*func)(void);
};

struct module;

struct cdev {
	struct module *owner;
	struct list_head list;
	dev_t dev;
	unsigned int count;
};

struct load_weight {
	long unsigned int weight;
	u32 inv_weight;
};

struct sched_entity;

struct sched_avg {
	u64 last_update_time;
	u64 load_sum;
	u64 runnable_sum;
	u32 util_sum;
	u32 period_contrib;
	long unsigned int load_avg;
	long unsigned int runnable_avg;
	long unsigned int util_avg;
	unsigned int util_est;
};

struct rq;

struct task_group;

struct cfs_rq {
	struct load_weight load;
	unsigned int nr_queued;
	unsigned int h_nr_queued;
	unsigned int h_nr_runnable;
	unsigned int h_nr_idle;
	s64 sum_w_vruntime;
	u64 sum_weight;
	u64 zero_vruntime;
	unsigned int sum_shift;
	struct rb_root_cached tasks_timeline;
	struct sched_entity *curr;
	struct sched_entity *next;
	struct sched_avg avg;
	struct {
		raw_spinlock_t lock;
		int nr;
		long unsigned int load_avg;
		long unsigned int util_avg;
		long unsigned int runnable_avg;
	} removed;
	u64 last_update_tg_load_avg;
	long unsigned int tg_load_avg_contrib;
	long int propagate;
	long int prop_runnable_sum;
	long unsigned int h_load;
	u64 last_h_load_update;
	struct sched_entity *h_load_next;
	struct rq *rq;
	int on_list;
	struct list_head leaf_cfs_rq_list;
	struct task_group *tg;
	int idle;
	int runtime_enabled;
	s64 runtime_remaining;
	u64 throttled_pelt_idle;
	u64 throttled_clock;
	u64 throttled_clock_pelt;
	u64 throttled_clock_pelt_time;
	u64 throttled_clock_self;
	u64 throttled_clock_self_time;
	bool throttled : 1;
	bool pelt_clock_throttled : 1;
	int throttle_count;
	struct list_head throttled_list;
	struct list_head throttled_csd_list;
	struct list_head throttled_limbo_list;
};

struct cgroup_subsys_state;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	int id;
	unsigned int flags;
	struct cgroup_subsys_state *parent;
};

struct kernfs_node;

struct cgroup_root;

struct prev_cputime {
	u64 utime;
	u64 stime;
};

struct cgroup_bpf {
	struct bpf_prog_array *effective[38];
	u8 flags[38];
};

struct cgroup {
	struct cgroup_subsys_state self;
	long unsigned int flags;
	int level;
	struct kernfs_node *kn;
	struct cgroup_root *root;
	struct prev_cputime prev_cputime;
	struct cgroup_bpf bpf;
	union {
		struct {
			struct cgroup *ancestors[0];
		};
	};
};

enum cgroup_bpf_attach_type {
	CGROUP_INET4_CONNECT = 7,
	CGROUP_INET6_CONNECT = 8,
};

struct cgroup_root {
	int hierarchy_id;
	struct list_head root_list;
	unsigned int flags;
	char name[64];
	struct cgroup cgrp;
};

struct class {
	const char *name;
	void (*namespace)(void);
};

typedef struct {
	unsigned char op;
	unsigned char bits;
	short unsigned int val;
} code;

struct context {
	u32 user;
	u32 type;
	u32 len;
};

struct device;

struct device_private;

struct device_type;

struct device {
	struct device *parent;
	struct device_private *p;
	const struct device_type *type;
	u32 id;
	const struct class *class;
	long unsigned int flags[1];
};

struct cpu {
	struct device dev;
};

struct cpu_stop_done {
	int ret;
};

typedef int (*cpu_stop_fn_t)(void *);

struct cpu_stop_work {
	struct list_head list;
	cpu_stop_fn_t fn;
	long unsigned int caller;
	void *arg;
	struct cpu_stop_done *done;
};

struct cpuidle_state {
	char name[16];
	unsigned int flags;
};

struct cpumask {
	long unsigned int bits[4];
};

typedef struct cpumask cpumask_var_t[1];

struct user_struct;

struct user_namespace;

struct cred {
	atomic_long_t usage;
	kuid_t uid;
	kgid_t gid;
	kuid_t euid;
	kgid_t egid;
	struct user_struct *user;
	struct user_namespace *user_ns;
};

struct css_set {
	struct cgroup *dfl_cgrp;
	struct list_head tasks;
};

struct hlist_bl_node;

struct hlist_bl_node {
	struct hlist_bl_node *next;
	struct hlist_bl_node **pprev;
};

struct qstr {
	union {
		struct {
			u32 hash;
			u32 len;
		};
		u64 hash_len;
	};
	const unsigned char *name;
};

struct super_block;

struct dentry {
	struct hlist_bl_node d_hash;
	struct dentry *d_parent;
	union {
		const struct qstr d_name;
	};
	struct inode *d_inode;
	struct super_block *d_sb;
};

struct device_private {
	struct device *device;
};

struct device_type {
	const char *name;
};

struct sched_dl_entity;

struct dl_rq {
	struct rb_root_cached root;
	unsigned int dl_nr_running;
	struct {
		u64 curr;
		u64 next;
	} earliest_dl;
	bool overloaded;
	struct sched_dl_entity *curr;
	struct rb_root_cached pushable_dl_tasks_root;
	u64 running_bw;
	u64 this_bw;
	u64 extra_bw;
	u64 max_bw;
	u64 bw_ratio;
};

struct rq_flags;

typedef struct task_struct *(*dl_server_pick_f)(struct sched_dl_entity *, struct rq_flags *);

struct prog_entry;

struct event_filter {
	struct prog_entry *prog;
};

enum event_type_t {
	EVENT_FLEXIBLE = 1,
};

enum fbq_type {
	all = 2,
};

struct fd {
	long unsigned int word;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct file_lock_context {
};

struct file_operations {
	struct module *owner;
	void (*mmap)(void);
};

struct filename {
	struct __filename_head;
	const const char iname[168];
};

struct files_struct {
	atomic_t count;
	struct fdtable *fdt;
};

struct filter_list {
	struct list_head list;
	struct event_filter *filter;
};

union flowi_uli {
	struct {
		__be16 dport;
		__be16 sport;
	} ports;
};

struct flowi4 {
	__be32 saddr;
	__be32 daddr;
	union flowi_uli uli;
};

struct flowi {
	union {
		struct flowi4 ip4;
	} u;
};

struct seqlock;

typedef struct seqlock seqlock_t;

struct seqlock {
};

struct fs_struct {
	seqlock_t seq;
	struct path root;
	struct path pwd;
};

struct hlist_head {
	struct hlist_node *first;
};

struct fsnotify_mark_connector {
	unsigned char type;
	short unsigned int flags;
	struct hlist_head list;
};

struct hash;

struct hash {
	umode_t mode;
	struct hash *next;
	char name[4098];
};

struct rb_node_linked;

struct rb_node_linked {
	struct rb_node node;
	struct rb_node_linked *prev;
	struct rb_node_linked *next;
};

typedef s64 ktime_t;

struct timerqueue_linked_node {
	struct rb_node_linked node;
	ktime_t expires;
};

struct hrtimer_clock_base;

struct hrtimer {
	struct timerqueue_linked_node node;
	struct hrtimer_clock_base *base;
	bool is_queued;
	bool is_rel;
	bool is_soft;
	bool is_hard;
	bool is_lazy;
	ktime_t _softexpires;
	void (*function)(void);
};

struct seqcount_raw_spinlock;

typedef struct seqcount_raw_spinlock seqcount_raw_spinlock_t;

struct seqcount_raw_spinlock {
};

struct hrtimer_clock_base {
	const unsigned int index;
	seqcount_raw_spinlock_t seq;
	ktime_t offset;
};

struct in6_addr {
	union {
		__be32 u6_addr32[4];
	} in6_u;
};

struct net;

typedef struct {
	struct net *net;
} possible_net_t;

struct sock_common {
	union {
		struct {
			__be32 skc_daddr;
			__be32 skc_rcv_saddr;
		};
	};
	union {
		struct {
			__be16 skc_dport;
			__u16 skc_num;
		};
	};
	short unsigned int skc_family;
	volatile unsigned char skc_state;
	int skc_bound_dev_if;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
};

struct socket;

struct sock_cgroup_data {
	struct cgroup *cgroup;
};

struct sock {
	struct sock_common __sk_common;
	int sk_err;
	struct socket *sk_socket;
	u16 sk_protocol;
	u32 sk_txhash;
	u8 sk_shutdown;
	struct sock_cgroup_data sk_cgrp_data;
};

struct inet_cork_full {
	struct flowi fl;
};

struct inet_sock {
	struct sock sk;
	__be16 inet_sport;
	struct inet_cork_full cork;
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	void *icsk_ulp_data;
	__u8 icsk_retransmits;
};

struct posix_acl;

struct inode_operations;

typedef __kernel_loff_t loff_t;

typedef __s64 time64_t;

enum rw_hint {
	WRITE_LIFE_NOT_SET = 0,
} __attribute__((mode(byte)));

enum inode_state_flags_enum {
	I_NEW = 1,
};

struct inode_state_flags {
	enum inode_state_flags_enum __state;
};

struct pipe_inode_info;

struct inode {
	umode_t i_mode;
	short unsigned int i_opflags;
	unsigned int i_flags;
	struct posix_acl *i_acl;
	struct posix_acl *i_default_acl;
	kuid_t i_uid;
	kgid_t i_gid;
	const struct inode_operations *i_op;
	struct super_block *i_sb;
	struct address_space *i_mapping;
	void *i_security;
	u64 i_ino;
	union {
		const unsigned int i_nlink;
		unsigned int __i_nlink;
	};
	dev_t i_rdev;
	loff_t i_size;
	time64_t i_atime_sec;
	time64_t i_mtime_sec;
	time64_t i_ctime_sec;
	u32 i_atime_nsec;
	u32 i_mtime_nsec;
	u32 i_ctime_nsec;
	u32 i_generation;
	spinlock_t i_lock;
	short unsigned int i_bytes;
	u8 i_blkbits;
	enum rw_hint i_write_hint;
	blkcnt_t i_blocks;
	struct inode_state_flags i_state;
	struct rw_semaphore i_rwsem;
	long unsigned int dirtied_when;
	long unsigned int dirtied_time_when;
	struct hlist_node i_hash;
	struct list_head i_io_list;
	struct bdi_writeback *i_wb;
	int i_wb_frn_winner;
	u16 i_wb_frn_avg_time;
	u16 i_wb_frn_history;
	struct list_head i_lru;
	struct list_head i_sb_list;
	struct list_head i_wb_list;
	union {
		struct hlist_head i_dentry;
		struct callback_head i_rcu;
	};
	atomic64_t i_version;
	atomic64_t i_sequence;
	atomic_t i_count;
	atomic_t i_dio_count;
	atomic_t i_writecount;
	atomic_t i_readcount;
	union {
		const struct file_operations *i_fop;
		void (*free_inode)(void);
	};
	struct file_lock_context *i_flctx;
	struct address_space i_data;
	union {
		struct list_head i_devices;
		int i_linklen;
	};
	union {
		struct pipe_inode_info *i_pipe;
		struct cdev *i_cdev;
		char *i_link;
		unsigned int i_dir_seq;
	};
	__u32 i_fsnotify_mask;
	struct fsnotify_mark_connector *i_fsnotify_marks;
	void *i_private;
};

struct inode_operations {
	void (*lookup)(void);
	void (*link)(void);
	void (*unlink)(void);
};

struct iovec {
};

struct rcuwait {
	struct task_struct *task;
};

struct irq_work {
	struct __call_single_node node;
	void (*func)(void);
	struct rcuwait irqwait;
};

typedef __s32 s32;

struct jump_entry {
	s32 code;
	s32 target;
	long int key;
};

typedef struct {
	long unsigned int sig[1];
} sigset_t;

struct sigaction {
	__sighandler_t sa_handler;
	long unsigned int sa_flags;
	sigset_t sa_mask;
};

struct k_sigaction {
	struct sigaction sa;
};

struct kernel_siginfo {
	struct {
		int si_code;
		union __sifields _sifields;
	};
};

struct kernfs_elem_attr {
	loff_t size;
};

struct kernfs_root;

struct kernfs_elem_dir {
	struct kernfs_root *root;
};

struct ns_common;

struct kernfs_node {
	atomic_t count;
	const char *name;
	struct rb_node rb;
	const struct ns_common *ns;
	unsigned int hash;
	short unsigned int flags;
	umode_t mode;
	union {
		struct kernfs_elem_dir dir;
		struct kernfs_elem_attr attr;
	};
	u64 id;
};

struct kernfs_root {
	struct kernfs_node *kn;
	unsigned int flags;
};

struct refcount_struct;

typedef struct refcount_struct refcount_t;

struct refcount_struct {
};

struct key_user;

struct key_type;

struct key {
	refcount_t usage;
	struct key_user *user;
	kuid_t uid;
	kgid_t gid;
	short int state;
	long unsigned int flags;
	union {
		struct {
			long unsigned int hash;
			struct key_type *type;
		};
	};
	union {
		struct {
			struct assoc_array keys;
		};
	};
};

struct key_type {
	const char *name;
	unsigned int flags;
	void (*describe)(void);
	struct list_head link;
};

struct key_user {
	struct rb_node node;
	refcount_t usage;
	kuid_t uid;
};

typedef u32 kprobe_opcode_t;

struct kprobe {
	struct list_head list;
	kprobe_opcode_t *addr;
	unsigned int offset;
	u32 flags;
};

struct kretprobe_instance;

struct pt_regs;

typedef int (*kretprobe_handler_t)(struct kretprobe_instance *, struct pt_regs *);

struct kretprobe {
	kretprobe_handler_t handler;
};

struct kthread_worker {
	unsigned int flags;
	struct task_struct *task;
};

struct line {
	unsigned int level;
};

struct mm_struct;

struct linux_binprm {
	struct vm_area_struct *vma;
	struct mm_struct *mm;
	struct user_namespace *user_ns;
	long unsigned int p;
	unsigned int secureexec : 1;
	struct file *file;
	struct cred *cred;
	int argc;
	const char *filename;
	const char *interp;
	long unsigned int exec;
	char buf[256];
};

typedef struct {
	atomic_long_t a;
} local_t;

typedef struct {
	local_t a;
} local64_t;

typedef struct {
	atomic_long_t id;
	long unsigned int flags;
} mm_context_t;

typedef struct {
} mm_flags_t;

struct mm_struct {
	struct {
		struct rw_semaphore mmap_lock;
		long unsigned int start_code;
		long unsigned int brk;
		long unsigned int arg_start;
		long unsigned int arg_end;
		long unsigned int env_start;
		long unsigned int env_end;
		mm_context_t context;
		mm_flags_t flags;
		struct task_struct *owner;
		struct file *exe_file;
	};
};

struct ns_tree {
};

struct ns_common {
	unsigned int inum;
	union {
		struct ns_tree;
	};
};

struct mount;

struct mnt_namespace {
	struct ns_common ns;
	struct mount *root;
	struct user_namespace *user_ns;
	u64 event;
};

struct mod_arch_specific {
};

enum module_state {
	MODULE_STATE_LIVE = 0,
};

struct module {
	enum module_state state;
	struct list_head list;
	char name[56];
	const char *version;
	const char *srcversion;
	void (*init)(void);
	struct mod_arch_specific arch;
	char *args;
	void *percpu;
	struct list_head source_list;
	struct list_head target_list;
};

struct vfsmount {
	struct dentry *mnt_root;
	struct super_block *mnt_sb;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
	struct list_head mnt_list;
	struct mnt_namespace *mnt_ns;
};

struct mptcp_sched_ops {
	char name[16];
	struct module *owner;
	struct list_head list;
	void (*init)(void);
};

struct mptcp_sock {
	struct inet_connection_sock sk;
	u64 local_key;
	long unsigned int flags;
	u8 cork : 1;
	struct list_head conn_list;
	struct sock *first;
	struct mptcp_sched_ops *sched;
};

struct mptcp_subflow_context {
	struct list_head node;
	union {
		struct {
			u64 local_key;
			u64 idsn;
			u32 request_join : 1;
		};
	};
	struct sock *tcp_sock;
	struct sock *conn;
};

enum mq_rq_state {
	MQ_RQ_IDLE = 0,
};

struct netns_packet {
};

struct netns_bpf {
};

struct netns_xdp {
	struct hlist_head list;
};

struct net {
	u32 ifindex;
	struct list_head list;
	struct user_namespace *user_ns;
	struct ns_common ns;
	struct hlist_head *dev_index_head;
	struct netns_packet packet;
	struct netns_bpf bpf;
	struct netns_xdp xdp;
};

struct net_device {
	long unsigned int state;
	unsigned int flags;
	int ifindex;
	char name[16];
	struct list_head dev_list;
	short unsigned int type;
	struct hlist_node index_hlist;
	struct device dev;
};

struct node {
	struct device dev;
};

struct time_namespace;

struct nsproxy {
	refcount_t count;
	struct mnt_namespace *mnt_ns;
	struct time_namespace *time_ns;
};

struct perf_buffer {
	local_t head;
	local_t events;
	local_t wakeup;
	local_t lost;
	struct list_head event_list;
	refcount_t mmap_count;
};

struct perf_cgroup_info;

struct perf_cgroup {
	struct perf_cgroup_info *info;
};

struct perf_time_ctx {
	u64 time;
	u64 offset;
};

struct perf_cgroup_info {
	struct perf_time_ctx time;
};

struct perf_event;

enum perf_event_state {
	PERF_EVENT_STATE_DEAD = -5,
};

struct perf_event_attr {
	__u32 type;
	__u32 size;
	__u64 mmap : 1;
	__u64 comm : 1;
	__u64 task : 1;
	__u64 cgroup : 1;
};

struct perf_event_context;

struct pid_namespace;

struct perf_event {
	struct perf_event *group_leader;
	enum perf_event_state state;
	local64_t count;
	struct perf_event_attr attr;
	struct perf_event_context *ctx;
	struct list_head child_list;
	struct perf_event *parent;
	int cpu;
	struct task_struct *owner;
	refcount_t mmap_count;
	struct perf_buffer *rb;
	struct pid_namespace *ns;
	u64 id;
	struct bpf_prog *prog;
	struct event_filter *filter;
	struct perf_cgroup *cgrp;
	struct list_head sb_list;
};

struct perf_event_context {
	struct list_head event_list;
	struct task_struct *task;
	struct perf_time_ctx time;
	u64 generation;
};

enum perf_event_type {
	PERF_RECORD_MAX = 23,
};

struct pidfs_attr;

struct upid {
	int nr;
	struct pid_namespace *ns;
};

struct pid {
	refcount_t count;
	unsigned int level;
	struct {
		struct pidfs_attr *attr;
	};
	struct hlist_head tasks[4];
	struct upid numbers[0];
};

struct pid_namespace {
	unsigned int level;
	struct pid_namespace *parent;
	struct user_namespace *user_ns;
	struct ns_common ns;
};

typedef __kernel_pid_t pid_t;

enum pid_type {
	PIDTYPE_TGID = 1,
	PIDTYPE_PGID = 2,
	PIDTYPE_SID = 3,
};

struct pidfs_anon_attr {
	struct {
		__s32 exit_code;
	};
};

struct pidfs_attr {
	union {
		struct pidfs_anon_attr;
	};
};

typedef unsigned int pipe_index_t;

union pipe_index {
	struct {
		pipe_index_t head;
		pipe_index_t tail;
	};
};

struct pipe_inode_info {
	union pipe_index;
	unsigned int files;
	struct user_struct *user;
};

struct plist_head {
	struct list_head node_list;
};

union pn {
};

struct port {
	struct list_head list;
	struct device *dev;
	char *name;
	u32 id;
};

struct posix_acl {
};

struct prog_entry {
	int target;
};

struct proto {
	void (*connect)(void);
	void (*init)(void);
	void (*hash)(void);
	struct module *owner;
	char name[32];
	struct list_head node;
};

struct pt_regs {
	long unsigned int epc;
	long unsigned int ra;
	long unsigned int sp;
	long unsigned int gp;
	long unsigned int tp;
	long unsigned int t0;
	long unsigned int t1;
	long unsigned int t2;
	long unsigned int s0;
	long unsigned int s1;
	union {
		struct {
			long unsigned int a0;
			long unsigned int a1;
			long unsigned int a2;
			long unsigned int a3;
			long unsigned int a4;
			long unsigned int a5;
			long unsigned int a6;
			long unsigned int a7;
		};
		struct {
			long unsigned int a0;
			long unsigned int a1;
			long unsigned int a2;
			long unsigned int a3;
			long unsigned int a4;
			long unsigned int a5;
			long unsigned int a6;
			long unsigned int a7;
		} a_regs;
	};
	long unsigned int s2;
	long unsigned int s3;
	long unsigned int s4;
	long unsigned int s5;
	long unsigned int s6;
	long unsigned int s7;
	long unsigned int s8;
	long unsigned int s9;
	long unsigned int s10;
	long unsigned int s11;
	long unsigned int t3;
	long unsigned int t4;
	long unsigned int t5;
	long unsigned int t6;
	long unsigned int status;
	long unsigned int badaddr;
	long unsigned int cause;
	long unsigned int orig_a0;
};

struct rb_list {
	struct rb_root root;
	struct list_head head;
};

struct request {
	int tag;
	enum mq_rq_state state;
	union {
		struct hlist_node hash;
	};
	union {
		struct rb_node rb_node;
	};
};

struct rhash_head;

struct rhash_head {
	struct rhash_head *next;
};

struct root_domain {
	cpumask_var_t span;
};

struct uclamp_bucket {
	long unsigned int value : 11;
	long unsigned int tasks : 53;
};

struct uclamp_rq {
	unsigned int value;
	struct uclamp_bucket bucket[5];
};

struct rt_prio_array {
	long unsigned int bitmap[2];
	struct list_head queue[100];
};

struct rt_rq {
	struct rt_prio_array active;
	unsigned int rt_nr_running;
	unsigned int rr_nr_running;
	struct {
		int curr;
		int next;
	} highest_prio;
	bool overloaded;
	struct plist_head pushable_tasks;
	int rt_queued;
	struct task_group *tg;
};

struct scx_sched;

struct scx_dsq_pcpu;

struct scx_dispatch_q {
	raw_spinlock_t lock;
	struct task_struct *first_task;
	struct list_head list;
	struct rb_root priq;
	u32 nr;
	u32 seq;
	u64 id;
	struct rhash_head hash_node;
	struct llist_node free_node;
	struct scx_sched *sched;
	struct scx_dsq_pcpu *pcpu;
	struct callback_head rcu;
};

struct scx_rq {
	struct scx_dispatch_q local_dsq;
	struct list_head runnable_list;
	struct list_head ddsp_deferred_locals;
	u64 extra_enq_flags;
	u32 nr_running;
	u32 cpuperf_target;
	bool in_select_cpu;
	bool cpu_released;
	u32 flags;
	u32 nr_immed;
	u64 clock;
	cpumask_var_t cpus_to_kick;
	cpumask_var_t cpus_to_kick_if_idle;
	cpumask_var_t cpus_to_preempt;
	cpumask_var_t cpus_to_wait;
	cpumask_var_t cpus_to_sync;
	bool kick_sync_pending;
	long unsigned int kick_sync;
	struct task_struct *sub_dispatch_prev;
	raw_spinlock_t deferred_reenq_lock;
	u64 deferred_reenq_locals_seq;
	struct list_head deferred_reenq_locals;
	struct list_head deferred_reenq_users;
	struct balance_callback deferred_bal_cb;
	struct balance_callback kick_sync_bal_cb;
	struct irq_work deferred_irq_work;
	struct irq_work kick_cpus_irq_work;
};

struct sched_dl_entity {
	struct rb_node rb_node;
	u64 dl_runtime;
	u64 dl_deadline;
	u64 dl_period;
	u64 dl_bw;
	u64 dl_density;
	s64 runtime;
	u64 deadline;
	unsigned int flags;
	unsigned int dl_throttled : 1;
	unsigned int dl_yielded : 1;
	unsigned int dl_non_contending : 1;
	unsigned int dl_overrun : 1;
	unsigned int dl_server : 1;
	unsigned int dl_server_active : 1;
	unsigned int dl_defer : 1;
	unsigned int dl_defer_armed : 1;
	unsigned int dl_defer_running : 1;
	unsigned int dl_defer_idle : 1;
	unsigned int dl_bw_attached : 1;
	struct hrtimer dl_timer;
	struct hrtimer inactive_timer;
	struct rq *rq;
	dl_server_pick_f server_pick_task;
	struct sched_dl_entity *pi_se;
};

struct sched_class;

struct sched_domain;

struct timespec64 {
	time64_t tv_sec;
	long int tv_nsec;
};

struct sched_info {
	long unsigned int pcount;
	long long unsigned int run_delay;
	long long unsigned int max_run_delay;
	long long unsigned int min_run_delay;
	long long unsigned int last_arrival;
	long long unsigned int last_queued;
	struct timespec64 max_run_delay_ts;
};

struct rq {
	unsigned int nr_running;
	unsigned int nr_numa_running;
	unsigned int nr_preferred_running;
	unsigned int ttwu_pending;
	long unsigned int cpu_capacity;
	union {
		struct task_struct *donor;
		struct task_struct *curr;
	};
	struct task_struct *idle;
	u64 nr_switches;
	raw_spinlock_t __lock;
	unsigned int nohz_tick_stopped;
	atomic_t nohz_flags;
	unsigned int has_blocked_load;
	long unsigned int last_blocked_load_update_tick;
	call_single_data_t nohz_csd;
	struct uclamp_rq uclamp[2];
	unsigned int uclamp_flags;
	struct cfs_rq cfs;
	struct rt_rq rt;
	struct dl_rq dl;
	struct scx_rq scx;
	struct sched_dl_entity ext_server;
	raw_spinlock_t cpu_epoch_lock;
	u64 cpu_runtime;
	long unsigned int cpu_epoch;
	long unsigned int cpu_epoch_next;
	struct sched_dl_entity fair_server;
	struct list_head leaf_cfs_rq_list;
	struct list_head *tmp_alone_branch;
	unsigned int numa_migrate_on;
	unsigned int nr_pref_llc_running;
	unsigned int nr_llc_running;
	long unsigned int nr_uninterruptible;
	struct sched_dl_entity *dl_server;
	struct task_struct *stop;
	const struct sched_class *next_class;
	long unsigned int next_balance;
	struct mm_struct *prev_mm;
	u64 clock_task;
	u64 clock_pelt;
	u64 clock;
	long unsigned int lost_idle_time;
	unsigned int clock_update_flags;
	u64 clock_pelt_idle;
	u64 clock_idle;
	u64 last_seen_need_resched_ns;
	int ticks_without_resched;
	int membarrier_state;
	struct root_domain *rd;
	struct sched_domain *sd;
	struct balance_callback *balance_callback;
	unsigned char nohz_idle_balance;
	unsigned char idle_balance;
	long unsigned int misfit_task_load;
	int active_balance;
	int push_cpu;
	struct cpu_stop_work active_balance_work;
	int cpu;
	int online;
	struct list_head cfs_tasks;
	struct sched_avg avg_rt;
	struct sched_avg avg_dl;
	u64 idle_stamp;
	u64 avg_idle;
	u64 max_idle_balance_cost;
	struct rcuwait hotplug_wait;
	long unsigned int calc_load_update;
	long int calc_load_active;
	call_single_data_t hrtick_csd;
	struct hrtimer hrtick_timer;
	ktime_t hrtick_time;
	ktime_t hrtick_delay;
	unsigned int hrtick_sched;
	struct sched_info rq_sched_info;
	long long unsigned int rq_cpu_time;
	unsigned int yld_count;
	unsigned int sched_count;
	unsigned int sched_goidle;
	unsigned int ttwu_count;
	unsigned int ttwu_local;
	struct cpuidle_state *idle_state;
	unsigned int nr_pinned;
	unsigned int push_busy;
	struct cpu_stop_work push_work;
	cpumask_var_t scratch_mask;
	call_single_data_t cfsb_csd;
	struct list_head cfsb_csd_list;
	atomic_t nr_iowait;
};

struct rq_list {
	struct request *head;
	struct request *tail;
};

enum rwsem_waiter_type {
	RWSEM_WAITING_FOR_WRITE = 0,
};

struct rwsem_waiter {
	struct list_head list;
	struct task_struct *task;
	enum rwsem_waiter_type type;
};

typedef __s16 s16;

typedef __s8 s8;

struct sched_class {
};

struct sched_domain_shared;

struct sched_domain {
	struct sched_domain *parent;
	struct sched_domain *child;
	int flags;
	int level;
	char *name;
	struct sched_domain_shared *shared;
};

struct sched_domain_shared {
};

struct sched_entity {
	u64 exec_start;
	u64 sum_exec_runtime;
	int depth;
	struct sched_entity *parent;
};

struct scx_dsq_pcpu {
};

struct scx_sched {
	s32 level;
	struct list_head all;
	struct cgroup *cgrp;
	struct kthread_worker *helper;
	struct scx_sched *ancestors[0];
};

struct seccomp_filter;

struct seccomp {
	int mode;
	struct seccomp_filter *filter;
};

struct seccomp_filter {
	struct bpf_prog *prog;
};

typedef __kernel_size_t size_t;

struct seq_operations;

struct seq_file {
	char *buf;
	size_t size;
	size_t from;
	size_t count;
	loff_t index;
	const struct seq_operations *op;
	const struct file *file;
};

struct seq_operations {
	void (*start)(void);
	void (*stop)(void);
	void (*next)(void);
};

struct sighand_struct {
	refcount_t count;
	struct k_sigaction action[64];
};

struct tty_struct;

struct task_io_accounting {
	u64 read_bytes;
	u64 write_bytes;
};

struct signal_struct {
	atomic_t live;
	int nr_threads;
	int group_exit_code;
	unsigned int flags;
	struct pid *pids[4];
	int leader;
	struct tty_struct *tty;
	u64 utime;
	u64 stime;
	struct prev_cputime prev_cputime;
	long unsigned int nvcsw;
	long unsigned int nivcsw;
	long unsigned int min_flt;
	long unsigned int maj_flt;
	long unsigned int inblock;
	long unsigned int oublock;
	long unsigned int maxrss;
	struct task_io_accounting ioac;
	long long unsigned int sum_sched_runtime;
	struct mm_struct *oom_mm;
};

struct sigpending {
	struct list_head list;
	sigset_t signal;
};

struct sk_buff;

typedef unsigned int sk_buff_data_t;

struct sk_buff {
	union {
		struct {
			struct sk_buff *next;
			union {
				struct net_device *dev;
			};
		};
		struct list_head list;
	};
	struct sock *sk;
	unsigned int len;
	union {
		struct {
			__u8 pkt_type : 3;
			__u32 hash;
			union {
				__u32 mark;
			};
			__be16 protocol;
			__u16 transport_header;
			__u16 network_header;
		};
	};
	sk_buff_data_t tail;
	sk_buff_data_t end;
	unsigned char *head;
	unsigned char *data;
};

struct sk_buff_list {
	struct sk_buff *next;
};

struct sockaddr {
};

typedef enum {
	SS_UNCONNECTED = 1,
	SS_DISCONNECTING = 4,
} socket_state;

struct socket {
	socket_state state;
	short int type;
	long unsigned int flags;
	struct file *file;
	struct sock *sk;
};

struct socket_alloc {
	struct socket socket;
	struct inode vfs_inode;
};

enum state {
	Start = 0,
};

struct static_key_mod;

struct static_key {
	union {
		long unsigned int type;
		struct jump_entry *entries;
		struct static_key_mod *next;
	};
};

struct static_key_false {
	struct static_key key;
};

struct static_key_mod {
	struct static_key_mod *next;
	struct jump_entry *entries;
};

struct super_block {
	struct list_head s_list;
	dev_t s_dev;
	long unsigned int s_magic;
};

struct task_group {
	struct list_head list;
	struct task_group *parent;
	struct list_head siblings;
};

struct thread_info {
	long unsigned int flags;
	int cpu;
	long unsigned int a0;
	long unsigned int a1;
	long unsigned int a2;
};

struct task_struct {
	struct thread_info thread_info;
	void *stack;
	refcount_t usage;
	unsigned int flags;
	u8 on_cpu;
	struct sched_entity se;
	unsigned int policy;
	struct list_head tasks;
	struct mm_struct *mm;
	int exit_code;
	int exit_signal;
	unsigned int personality;
	unsigned int sched_reset_on_fork : 1;
	pid_t pid;
	pid_t tgid;
	struct task_struct *real_parent;
	struct task_struct *parent;
	struct task_struct *group_leader;
	struct pid *thread_pid;
	struct hlist_node pid_links[4];
	u64 utime;
	u64 stime;
	struct prev_cputime prev_cputime;
	long unsigned int nvcsw;
	long unsigned int nivcsw;
	u64 start_time;
	u64 start_boottime;
	long unsigned int min_flt;
	long unsigned int maj_flt;
	const struct cred *cred;
	char comm[16];
	struct fs_struct *fs;
	struct files_struct *files;
	struct nsproxy *nsproxy;
	struct signal_struct *signal;
	struct sighand_struct *sighand;
	struct sigpending pending;
	kuid_t loginuid;
	unsigned int sessionid;
	struct seccomp seccomp;
	u64 self_exec_id;
	struct task_io_accounting ioac;
	struct css_set *cgroups;
	struct list_head perf_event_list;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	u8 repair : 1;
	u32 lost;
	u32 srtt_us;
	u32 retrans_stamp;
	u32 total_retrans;
	bool is_mptcp;
};

struct timens_offsets {
};

struct time_namespace {
	struct user_namespace *user_ns;
	struct ns_common ns;
	struct timens_offsets offsets;
};

struct timer_list {
	struct hlist_node entry;
	void (*function)(void);
	u32 flags;
};

struct trace_event {
	struct hlist_node node;
	int type;
};

struct trace_event_raw_inet_sock_set_state {
	__u16 sport;
	__u16 dport;
	__u16 family;
	__u16 protocol;
	__u8 saddr[4];
	__u8 daddr[4];
	__u8 saddr_v6[16];
	__u8 daddr_v6[16];
};

struct trace_event_raw_sched_process_exec {
	u32 __data_loc_filename;
	pid_t pid;
};

struct trace_event_raw_sched_process_exit {
	char comm[16];
	pid_t pid;
	bool group_dead;
};

struct trace_event_raw_sys_enter {
	long int id;
	long unsigned int args[6];
};

struct trace_event_raw_sys_exit {
	long int id;
	long int ret;
};

struct tracepoint {
	const char *name;
	struct static_key_false key;
};

struct tracer;

struct tracer_flags;

struct tracer {
	const char *name;
	void (*init)(void);
	void (*start)(void);
	void (*stop)(void);
	struct tracer *next;
	struct tracer_flags *flags;
};

struct tracer_flags {
	u32 val;
};

struct tty_buffer;

struct tty_buffer {
	union {
		struct tty_buffer *next;
	};
	unsigned int used;
	unsigned int size;
	bool flags;
	u8 data[0];
};

struct tty_bufhead {
	struct tty_buffer *head;
	struct tty_buffer *tail;
};

struct tty_port {
	struct tty_bufhead buf;
	struct tty_struct *tty;
	int count;
	long unsigned int flags;
};

struct tty_struct {
	int index;
	struct device *dev;
	struct tty_port *port;
	char name[64];
	long unsigned int flags;
	int count;
	struct tty_struct *link;
};

struct uprobe {
	struct rb_node rb_node;
	struct list_head pending_list;
	struct inode *inode;
	loff_t offset;
	long unsigned int flags;
	struct arch_uprobe arch;
};

struct user_msghdr {
	void *msg_name;
	int msg_namelen;
	struct iovec *msg_iov;
	__kernel_size_t msg_iovlen;
	void *msg_control;
	__kernel_size_t msg_controllen;
	unsigned int msg_flags;
};

struct user_namespace {
	struct user_namespace *parent;
	int level;
	kuid_t owner;
	struct ns_common ns;
	long unsigned int flags;
};

struct user_regs_struct {
	long unsigned int pc;
	long unsigned int ra;
	long unsigned int sp;
	long unsigned int tp;
	long unsigned int s0;
	long unsigned int a0;
	long unsigned int a1;
	long unsigned int a2;
	long unsigned int a3;
	long unsigned int a4;
	long unsigned int a5;
	long unsigned int a6;
	long unsigned int a7;
	long unsigned int s8;
};

struct user_struct {
	kuid_t uid;
};

typedef long unsigned int vm_flags_t;

typedef struct {
} vma_flags_t;

struct vm_area_struct {
	union {
		struct {
			long unsigned int vm_start;
			long unsigned int vm_end;
		};
	};
	union {
		const vm_flags_t vm_flags;
		vma_flags_t flags;
	};
	struct anon_vma *anon_vma;
	struct file *vm_file;
	struct {
		struct rb_node rb;
	} shared;
};

struct vma_list {
	struct vm_area_struct *vma;
	struct list_head head;
	refcount_t mmap_count;
};

enum xdp_action {
	XDP_PASS = 2,
};

struct xdp_md {
	__u32 data;
	__u32 data_end;
};

enum {
	false = 0,
	true = 1,
};

enum {
	READ_IMPLIES_EXEC = 4194304,
};

enum {
	TASK_COMM_LEN = 16,
};

enum {
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT = 2,
	TCP_SYN_RECV = 3,
	TCP_CLOSE = 7,
};

enum {
	IPPROTO_TCP = 6,
	IPPROTO_UDP = 17,
	IPPROTO_MPTCP = 262,
};

enum {
	BPF_F_CURRENT_CPU = 4294967295,
};

enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
};

enum {
	BPF_F_NO_PREALLOC = 1,
	BPF_F_NO_COMMON_LRU = 2,
	BPF_F_NUMA_NODE = 4,
	BPF_F_RDONLY = 8,
	BPF_F_WRONLY = 16,
	BPF_F_STACK_BUILD_ID = 32,
	BPF_F_ZERO_SEED = 64,
	BPF_F_RDONLY_PROG = 128,
	BPF_F_WRONLY_PROG = 256,
	BPF_F_CLONE = 512,
	BPF_F_MMAPABLE = 1024,
	BPF_F_PRESERVE_ELEMS = 2048,
	BPF_F_INNER_MAP = 4096,
	BPF_F_LINK = 8192,
	BPF_F_PATH_FD = 16384,
	BPF_F_VTYPE_BTF_OBJ_FD = 32768,
	BPF_F_TOKEN_FD = 65536,
	BPF_F_SEGV_ON_FAULT = 131072,
	BPF_F_NO_USER_CONV = 262144,
	BPF_F_RB_OVERWRITE = 524288,
};

enum {
	BPF_RB_NO_WAKEUP = 1,
	BPF_RB_FORCE_WAKEUP = 2,
};

enum {
	BPF_RB_AVAIL_DATA = 0,
};

enum {
	BPF_F_USER_STACK = 256,
};

enum {
	LENGTH = 25,
};

enum {
	none = 0,
};

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute pop
#endif

#endif /* __VMLINUX_H__ */
