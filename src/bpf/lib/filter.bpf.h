/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_FILTER_BPF_H
#define SNOOP_FILTER_BPF_H

/*
 * The filters that every tool has, applied before any work is done for an event. "And"
 * joins kinds, "or" joins the values of one kind. What a --not-... flag names is left
 * out, whatever the others say.
 */

#include "cgroup.bpf.h"
#include "context.bpf.h"
#include "task.bpf.h"

struct comm_key {
	__u8 comm[TASK_COMM_LEN];
};

/* Values of the maps: the flags that name the key. User space has the same numbers. */
#define FILTER_ONLY 1 /* --pid and the like */
#define FILTER_NOT 2 /* --not-pid and the like */

struct filter_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); /* user space sets the number of values */
	__type(key, __u32);
	__type(value, __u8);
};
struct filter_map filter_pids SEC(".maps");
struct filter_map filter_ppids SEC(".maps");
struct filter_map filter_uids SEC(".maps");
struct filter_map filter_ancestor_pids SEC(".maps");

struct comm_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct comm_key);
	__type(value, __u8);
};
struct comm_map filter_comms SEC(".maps");
struct comm_map filter_ancestor_comms SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} filter_cgroups SEC(".maps");

/*
 * Living processes of the traced trees, by id in the tracer's PID namespace. User space
 * sets the size if there is a tree to follow. Preallocated, because allocation inside
 * tracing programs was unsafe before 6.1.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u8);
} filter_tree SEC(".maps");

static __always_inline bool filter_has(void *map, __u32 key)
{
	return bpf_map_lookup_elem(map, &key) != NULL;
}

/* Which flags name this key. */
static __always_inline __u8 filter_flags(void *map, const void *key)
{
	__u8 *flags = bpf_map_lookup_elem(map, key);

	return flags ? *flags : 0;
}

/* `only`: the bit of the filter that asks for keys. */
static __always_inline bool filter_passes(__u8 flags, enum snoop_filter only)
{
	if (flags & FILTER_NOT)
		return false;
	return !(snoop_config.filters & only) || (flags & FILTER_ONLY);
}

/* A comparison with a constant is much cheaper than a map lookup. */
static __always_inline bool filter_has_pid(__u32 pid)
{
	if (snoop_config.only_pid)
		return pid == snoop_config.only_pid;
	return filter_flags(&filter_pids, &pid) & FILTER_ONLY;
}

/* For --not-pid: whoever has the id after the end of that process is another one. */
static __always_inline bool filter_leaves_out(struct task_struct *task, __u32 pid)
{
	if (snoop_config.not_pid) {
		if (pid != snoop_config.not_pid)
			return false;
	} else if (!(filter_flags(&filter_pids, &pid) & FILTER_NOT)) {
		return false;
	}
	return BPF_CORE_READ(task, group_leader, start_boottime) < snoop_config.began_ns;
}

static __always_inline bool filter_has_name(void *map, struct task_struct *task)
{
	struct comm_key key = {};

	BPF_CORE_READ_STR_INTO(&key.comm, task, comm);
	return bpf_map_lookup_elem(map, &key) != NULL;
}

static __always_inline __u8 filter_comm_flags(struct task_struct *task)
{
	struct comm_key key = {};

	BPF_CORE_READ_STR_INTO(&key.comm, task, comm);
	return filter_flags(&filter_comms, &key);
}

/* By the name of the thread, or of the process, which is that of its first thread. */
static __always_inline bool filter_allows_comm(struct task_struct *task)
{
	__u8 flags = filter_comm_flags(task);
	struct task_struct *leader;

	if ((flags & FILTER_ONLY) && !(snoop_config.filters & FILTER_NOT_COMM))
		return true;
	leader = BPF_CORE_READ(task, group_leader);
	if (leader != task)
		flags |= filter_comm_flags(leader);
	return filter_passes(flags, FILTER_BY_COMM);
}

static __always_inline bool filter_allows_uid(struct task_struct *task)
{
	__u32 uid = BPF_CORE_READ(task, cred, uid.val);

	return filter_passes(filter_flags(&filter_uids, &uid), FILTER_BY_UID);
}

/* The tracer, its keeper or a helper, which reads for us what others choose. */
static __always_inline bool is_tracer(struct task_struct *task, __u32 pid)
{
	struct task_struct *parent;

	if (pid == snoop_config.self_pid)
		return true;
	if (!snoop_config.keeper_pid)
		return false;
	parent = BPF_CORE_READ(task, real_parent);
	return pid == snoop_config.keeper_pid ||
	       task_pid_for_filter(parent) == snoop_config.keeper_pid;
}

/* The filters on what a process is, whatever its parent and cgroup; for any task. */
static __always_inline bool filter_allows_itself(struct task_struct *task)
{
	__u32 pid = task_pid_for_filter(task);

	if (is_tracer(task, pid))
		return false;
	if ((snoop_config.filters & FILTER_BY_PID) && !filter_has_pid(pid))
		return false;
	if ((snoop_config.filters & FILTER_NOT_PID) && filter_leaves_out(task, pid))
		return false;
	if ((snoop_config.filters & FILTER_BY_TREE) && !filter_has(&filter_tree, pid))
		return false;
	if ((snoop_config.filters & (FILTER_BY_UID | FILTER_NOT_UID)) && !filter_allows_uid(task))
		return false;
	return !(snoop_config.filters & (FILTER_BY_COMM | FILTER_NOT_COMM)) ||
	       filter_allows_comm(task);
}

#define FILTER_BY_ANCESTOR (FILTER_BY_ANCESTOR_PID | FILTER_BY_ANCESTOR_COMM)

static __always_inline bool filter_has_as_ancestor(struct task_struct *leader)
{
	/* A map that is not used is another one, which has each key of zeros. */
	if ((snoop_config.filters & FILTER_BY_ANCESTOR_PID) &&
	    filter_has(&filter_ancestor_pids, task_pid_for_filter(leader)))
		return true;
	return (snoop_config.filters & FILTER_BY_ANCESTOR_COMM) &&
	       filter_has_name(&filter_ancestor_comms, leader);
}

/*
 * Whether one of the processes above `task`, up to MAX_ANCESTORS of them, is asked for. It has 32
 * bytes of stack, since those of its callers may be full.
 */
static __noinline bool filter_has_ancestor(struct task_struct *task)
{
	struct task_struct *leader = read_pointer(&task->group_leader);

	for (__u32 i = 0; i < MAX_ANCESTORS; i++) {
		leader = read_pointer(&leader->real_parent);
		leader = read_pointer(&leader->group_leader);
		if (!read_u32(&leader->tgid))
			break;
		if (filter_has_as_ancestor(leader))
			return true;
	}
	return false;
}

/* The filters on the processes above. */
static __always_inline bool filter_allows_parent(struct task_struct *task)
{
	struct task_struct *parent;

	if ((snoop_config.filters & FILTER_BY_ANCESTOR) && !filter_has_ancestor(task))
		return false;
	if (!(snoop_config.filters & FILTER_BY_PPID))
		return true;
	parent = BPF_CORE_READ(task, real_parent);
	return filter_has(&filter_ppids, task_pid_for_filter(parent));
}

/* Whether the current task is in one of these cgroups, or below it. */
static __always_inline bool filter_in_cgroup(__u32 first, __u32 end)
{
	for (__u32 i = 0; i < MAX_CGROUP_FILTERS; i++) {
		if (first + i >= end)
			return false;
		if (bpf_current_task_under_cgroup(&filter_cgroups, first + i) == 1)
			return true;
	}
	return false;
}

/* For the current task. */
static __always_inline bool filter_allows_cgroup(void)
{
	__u32 only = snoop_config.cgroups;

	if ((snoop_config.filters & FILTER_BY_CGROUP) && !filter_in_cgroup(0, only))
		return false;
	return !(snoop_config.filters & FILTER_NOT_CGROUP) ||
	       !filter_in_cgroup(only, only + snoop_config.not_cgroups);
}

/* True: `task`, which is the current one, is to be traced. */
static __always_inline bool filter_allows(struct task_struct *task)
{
	return filter_allows_itself(task) && filter_allows_parent(task) && filter_allows_cgroup();
}

/* The same for millions of events a second, mostly without filters. `task`: typed_task(). */
static __always_inline bool filter_allows_current(struct task_struct *task)
{
	__u32 pid = current_pid(task);

	if (snoop_config.pidns_inum || snoop_config.keeper_pid ||
	    (snoop_config.filters & ~(FILTER_BY_PID | FILTER_NOT_PID)))
		return filter_allows((void *)bpf_get_current_task());
	if (pid == snoop_config.self_pid)
		return false;
	if ((snoop_config.filters & FILTER_NOT_PID) &&
	    filter_leaves_out((void *)bpf_get_current_task(), pid))
		return false;
	return !(snoop_config.filters & FILTER_BY_PID) || filter_has_pid(pid);
}

/* A child belongs to its parent's tree. */
static __always_inline int tree_grow(struct task_struct *parent, struct task_struct *child)
{
	__u32 parent_pid = task_pid_for_filter(parent);
	__u32 child_pid = task_pid_for_filter(child);
	__u8 yes = 1;

	if (child_pid == parent_pid || !filter_has(&filter_tree, parent_pid))
		return 0; /* a new thread, or not in a tree */
	if (bpf_map_update_elem(&filter_tree, &child_pid, &yes, BPF_ANY))
		__sync_fetch_and_add(&snoop_counters.tree_full, 1);
	return 0;
}

/* --tree and -- COMMAND; loaded only for them, one or the other. */
SEC("raw_tp/sched_process_fork")
int tree_fork(struct bpf_raw_tracepoint_args *ctx)
{
	return tree_grow((void *)ctx->args[0], (void *)ctx->args[1]);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(tree_fork_btf, struct task_struct *parent, struct task_struct *child)
{
	return tree_grow(parent, child);
}

/* The process has ended: its id may soon be reused. */
static __always_inline void tree_forget(struct task_struct *task)
{
	__u32 pid = task_pid_for_filter(task);

	bpf_map_delete_elem(&filter_tree, &pid);
}

/*
 * The last thread of a process ends: forget the process. signal->live is already
 * decremented; if two threads end at once both may see 0, which is harmless here. A
 * tool that shows ends of processes calls tree_forget() itself, after its own last
 * lookup in the tree.
 */
#ifndef TREE_FORGOTTEN_BY_TOOL
static __always_inline int tree_shrink(struct task_struct *task)
{
	if (!BPF_CORE_READ(task, signal, live.counter))
		tree_forget(task);
	return 0;
}

SEC("raw_tp/sched_process_exit")
int tree_exit(struct bpf_raw_tracepoint_args *ctx)
{
	return tree_shrink((void *)ctx->args[0]);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(tree_exit_btf, struct task_struct *task)
{
	return tree_shrink(task);
}
#endif

#endif /* SNOOP_FILTER_BPF_H */
