/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_TOLD_BPF_H
#define SNOOP_TOLD_BPF_H

/*
 * A filter selects processes, not events: a process with a row is shown to its end, even
 * if it takes another name, user, parent or cgroup, or executes something else. So it is
 * remembered here, if a filter asks for anything that can change.
 */

#include "bootstrap.h"

#define FILTERS_BY_CGROUP (FILTER_BY_CGROUP | FILTER_NOT_CGROUP)
#define FILTERS_THAT_CHANGE                                                                        \
	(FILTER_BY_PPID | FILTER_BY_UID | FILTER_NOT_UID | FILTER_BY_COMM | FILTER_NOT_COMM |      \
	 FILTERS_BY_CGROUP | FILTER_BY_ANCESTOR)

/*
 * Living processes that passed the filters, by id. User space sets the size if there is
 * such a filter. Preallocated: see filter_tree. An entry of a process whose end was
 * missed stays until the id is used again.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct process_told);
} filter_told SEC(".maps");

/* The same cgroups as in filter_cgroups, by id: only the current task can be asked there. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u8);
} filter_cgroup_ids SEC(".maps");

static __always_inline bool told_is_asked(void)
{
	return snoop_config.filters & FILTERS_THAT_CHANGE;
}

static __always_inline enum told_state told_state(__u32 pid, __u64 start_ns)
{
	struct process_told *told = bpf_map_lookup_elem(&filter_told, &pid);

	if (!told || start_ns - told->start_ns > told->within_ns)
		return TOLD_NOT; /* none, or of a process that had the id before */
	return told->state;
}

static __always_inline void told_remember(__u32 pid, __u64 start_ns, enum told_state state)
{
	struct process_told told = { .start_ns = start_ns, .state = state };

	if (bpf_map_update_elem(&filter_told, &pid, &told, BPF_ANY))
		__sync_fetch_and_add(&process_counters.told_full, 1);
}

static __always_inline void told_forget(__u32 pid)
{
	bpf_map_delete_elem(&filter_told, &pid);
}

#define CGROUP_LEVELS 64 /* from a cgroup up to the root */

/* Whether a new process's cgroup passes: with CLONE_INTO_CGROUP it is not its maker's. */
static __always_inline bool born_in_cgroup(struct task_struct *child)
{
	struct cgroup *cgroup = BPF_CORE_READ(child, cgroups, dfl_cgrp);
	__u8 flags = 0;

	for (__u32 level = 0; cgroup && level < CGROUP_LEVELS; level++) {
		__u64 id = BPF_CORE_READ(cgroup, kn, id);
		void *above;

		flags |= filter_flags(&filter_cgroup_ids, &id);
		above = BPF_CORE_READ(cgroup, self.parent);
		if (!above)
			break;
		cgroup = above - bpf_core_field_offset(struct cgroup, self);
	}
	return filter_passes(flags, FILTER_BY_CGROUP);
}

/* A birth. `is_row`: it is shown or drawn. */
static __always_inline bool birth_is_told(struct task_struct *child, bool is_row)
{
	if (!filter_allows_itself(child) || !filter_allows_parent(child))
		return false;
	if ((snoop_config.filters & FILTERS_BY_CGROUP) && !born_in_cgroup(child))
		return false;
	if (told_is_asked())
		told_remember(BPF_CORE_READ(child, tgid), BPF_CORE_READ(child, start_boottime),
			      is_row ? TOLD_BY_ROW : TOLD_MATCHES);
	return true;
}

/*
 * An execution, after which the process is another program: one without a row so far is
 * judged anew, but for its parent, which may have ended since it was born.
 */
static __always_inline bool exec_is_told(struct task_struct *task, bool is_row)
{
	enum told_state state;
	__u64 start_ns;
	__u32 pid;

	if (!told_is_asked())
		return filter_allows(task);
	pid = BPF_CORE_READ(task, tgid);
	start_ns = BPF_CORE_READ(task, group_leader, start_boottime);
	state = told_state(pid, start_ns);
	if (state == TOLD_BY_ROW)
		return true;
	if (filter_allows_itself(task) && filter_allows_cgroup() &&
	    (state == TOLD_MATCHES || filter_allows_parent(task))) {
		told_remember(pid, start_ns, is_row ? TOLD_BY_ROW : TOLD_MATCHES);
		return true;
	}
	if (state)
		told_forget(pid);
	return false;
}

/* The end of a process, or of a thread of it. */
static __always_inline bool exit_is_told(struct task_struct *leader, __u32 pid, __u64 start_ns)
{
	return (told_is_asked() && told_state(pid, start_ns)) || filter_allows(leader);
}

#endif /* SNOOP_TOLD_BPF_H */
