/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_TASK_BPF_H
#define SNOOP_TASK_BPF_H

#include "arch.bpf.h"
#include "events.bpf.h"
#include "verifier.bpf.h"

#define PF_KTHREAD 0x00200000

/* Whether this signal waits for the thread itself, as one that the kernel makes it get does. */
static __always_inline bool signal_is_pending(struct task_struct *task, int number)
{
	return BPF_CORE_READ(task, pending.signal.sig[0]) & (1UL << (number - 1));
}

/* struct upid number `level` of `pid`: the array's declared length differs by kernel. */
static __always_inline struct upid *pid_number(struct pid *pid, __u32 level)
{
	return (void *)pid + bpf_core_field_offset(struct pid, numbers) +
	       level * bpf_core_type_size(struct upid);
}

/* The process's id in its innermost PID namespace: its own getpid(). */
static __always_inline __u32 task_vpid(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, group_leader, thread_pid);
	struct upid *innermost = pid_number(pid, BPF_CORE_READ(pid, level));

	return BPF_CORE_READ(innermost, nr);
}

/*
 * What BPF_CORE_READ() does for one member, which takes less stack for several: one variable at a
 * time.
 */
static __always_inline void *read_pointer(const void *at)
{
	void *value;

	bpf_probe_read_kernel(&value, sizeof(value), at);
	return value;
}

static __always_inline __u32 read_u32(const void *at)
{
	__u32 value;

	bpf_probe_read_kernel(&value, sizeof(value), at);
	return value;
}

#define MAX_PID_NS_LEVEL 32

/*
 * The process's id in the tracer's own PID namespace, which is the meaning of --pid. 0:
 * not visible there.
 */
static __always_inline __u32 task_pid_for_filter(struct task_struct *task)
{
	struct pid_namespace *space;
	struct upid *number;
	struct pid *pid;
	__u32 depth;

	if (!snoop_config.pidns_inum)
		return read_u32(&task->tgid);
	task = read_pointer(&task->group_leader);
	pid = read_pointer(&task->thread_pid);
	depth = read_u32(&pid->level);
	for (__u32 level = 0; level <= MAX_PID_NS_LEVEL; level++) {
		if (level > depth)
			break;
		number = pid_number(pid, level);
		space = read_pointer(&number->ns);
		if (read_u32(&space->ns.inum) == snoop_config.pidns_inum)
			return read_u32(&number->nr);
	}
	return 0;
}

static __always_inline void task_id_fill(struct task_id *id, struct task_struct *task, __u64 now)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	struct task_struct *parent = BPF_CORE_READ(task, real_parent, group_leader);

	id->time_ns = now;
	id->lost = snoop_counters.lost;
	id->start_ns = BPF_CORE_READ(leader, start_boottime);
	id->parent_start_ns = BPF_CORE_READ(parent, start_boottime);
	id->cgroup = bpf_get_current_cgroup_id();
	id->pid = BPF_CORE_READ(task, tgid);
	id->tid = BPF_CORE_READ(task, pid);
	id->ppid = BPF_CORE_READ(parent, tgid);
	id->uid = BPF_CORE_READ(task, cred, uid.val);
	id->euid = BPF_CORE_READ(task, cred, euid.val);
	id->vpid = task_vpid(task);
	BPF_CORE_READ_INTO(&id->comm, leader, comm);
	if (leader == task)
		__builtin_memcpy(id->thread_comm, id->comm, TASK_COMM_LEN);
	else
		BPF_CORE_READ_INTO(&id->thread_comm, task, comm);
}

/* Whether the current task has a type here, so that its members are plain loads. */
static __always_inline bool task_is_typed(void)
{
	return bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf);
}

/*
 * The current task, for plain loads; NULL where it has no type. Where the kernel guards returns of
 * its functions this call costs more than all the loads: programs for millions of events a second
 * make it once.
 */
static __always_inline struct task_struct *typed_task(void)
{
	return task_is_typed() ? bpf_get_current_task_btf() : NULL;
}

/* The registers with which the current task entered the kernel: typed since 5.15. */
static __always_inline struct pt_regs *current_regs(void)
{
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs))
		return (void *)bpf_task_pt_regs(bpf_get_current_task_btf());
	return untyped_regs();
}

/* PF_KTHREAD and the like, of the current task. */
static __always_inline __u32 current_flags(void)
{
	struct task_struct *task;

	if (task_is_typed())
		return bpf_get_current_task_btf()->flags;
	task = (void *)bpf_get_current_task();
	return BPF_CORE_READ(task, flags);
}

/* The id of the current process, in the initial PID namespace. `task`: typed_task(). */
static __always_inline __u32 current_pid(struct task_struct *task)
{
	if (task_is_typed())
		return task->tgid;
	return bpf_get_current_pid_tgid() >> 32;
}

/* CLOCK_BOOTTIME of the current process's birth: with the id, its identity. */
static __always_inline __u64 current_start_ns(void)
{
	struct task_struct *task;

	if (task_is_typed())
		return bpf_get_current_task_btf()->group_leader->start_boottime;
	task = (void *)bpf_get_current_task();
	return BPF_CORE_READ(task, group_leader, start_boottime);
}

/* The name of the current process: that of its first thread. */
static __always_inline void current_comm(__u8 comm[TASK_COMM_LEN])
{
	struct task_struct *task;

	if (task_is_typed()) {
		task = bpf_get_current_task_btf()->group_leader;
		*(__u64 *)&comm[0] = *(__u64 *)&task->comm[0];
		*(__u64 *)&comm[8] = *(__u64 *)&task->comm[8];
		return;
	}
	task = (void *)bpf_get_current_task();
	task = BPF_CORE_READ(task, group_leader);
	bpf_probe_read_kernel(comm, TASK_COMM_LEN, &task->comm);
}

static __always_inline struct file *file_in(struct file **files, __u32 count, __s32 fd)
{
	struct file *file = NULL;

	if (fd < 0 || (__u32)fd >= count)
		return NULL;
	bpf_probe_read_kernel(&file, sizeof(file), files + fd);
	return file;
}

/* The open file behind a descriptor of a process, or NULL. */
static __always_inline struct file *task_file(struct task_struct *task, __s32 fd)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);

	return file_in(BPF_CORE_READ(table, fd), BPF_CORE_READ(table, max_fds), fd);
}

/* The same of the current process, several times as fast. `task`: typed_task(). */
static __always_inline struct file *current_file(struct task_struct *task, __s32 fd)
{
	struct fdtable *table;

	if (!task_is_typed())
		return task_file((void *)bpf_get_current_task(), fd);
	table = task->files->fdt;
	return file_in(table->fd, table->max_fds, fd);
}

/*
 * What bpf_get_current_cgroup_id() looks up, without the call. It takes the verifier three reads
 * through trusted pointers: see verifier.bpf.h. `task`: typed_task().
 */
static __always_inline __u64 current_cgroup_id(struct task_struct *task)
{
	if (!task_is_typed() || !bpf_core_field_exists(task->cgroups))
		return bpf_get_current_cgroup_id();
	return task->cgroups->dfl_cgrp->kn->id;
}

/*
 * task_id_fill() for a task with a type, several times as fast: each bpf_probe_read_kernel() is a
 * call, a typed member is one load.
 */
static __always_inline void task_id_fill_typed(struct task_struct *task, struct task_id *id,
					       __u64 now, __u64 cgroup)
{
	struct task_struct *leader, *parent;
	const struct cred *cred;
	__u64 comm, rest;
	struct pid *pid;

	id->time_ns = now;
	id->lost = snoop_counters.lost;
	leader = task->group_leader; /* once: each load is checked */
	id->start_ns = leader->start_boottime;
	id->cgroup = cgroup;
	id->pid = task->tgid;
	id->tid = task->pid;
	parent = task->real_parent;
	id->ppid = parent->tgid;
	id->parent_start_ns = parent->group_leader->start_boottime;
	cred = task->cred;
	id->uid = cred->uid.val;
	id->euid = cred->euid.val;
	pid = leader->thread_pid;
	id->vpid = pid->level ? task_vpid(task) : id->pid;
	comm = *(__u64 *)&leader->comm[0];
	rest = *(__u64 *)&leader->comm[8];
	*(__u64 *)&id->comm[0] = comm;
	*(__u64 *)&id->comm[8] = rest;
	if (leader != task) {
		comm = *(__u64 *)&task->comm[0];
		rest = *(__u64 *)&task->comm[8];
	}
	*(__u64 *)&id->thread_comm[0] = comm;
	*(__u64 *)&id->thread_comm[8] = rest;
}

/*
 * The fastest way for the current task. `task`: typed_task(); `cgroup`: by current_cgroup_id() or
 * bpf_get_current_cgroup_id().
 */
static __always_inline void task_id_fill_current(struct task_struct *task, struct task_id *id,
						 __u64 now, __u64 cgroup)
{
	if (task_is_typed())
		task_id_fill_typed(task, id, now, cgroup);
	else
		task_id_fill(id, (void *)bpf_get_current_task(), now);
}

#endif /* SNOOP_TASK_BPF_H */
