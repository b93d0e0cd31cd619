/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_MMAP_CALL_BPF_H
#define SNOOP_MMAP_CALL_BPF_H

/* A call and its facts, for records (mmap.bpf.h) and sums (mmap_summary.bpf.h). */

#include "mmap.h"
#include "path.bpf.h"

#define MAX_ERRNO 4095

const volatile struct mmap_config mmap_config = {};

/* A call that has returned. */
struct mmap_call {
	__u64 addr;
	__u64 len;
	__s64 ret;
	__u64 prot;
	__u64 flags;
	__u64 offset;
	__u64 entered; /* time of entry, 0 if unknown */
	__s32 fd;
	enum mmap_kind kind;
	__u32 slot; /* of the program that has seen it */
	__u32 compat;
};

/* A copy of the result of find_vma(), since the mapping may go when its lock is released. */
struct mmap_found {
	__u64 start;
	__u64 end; /* 0: not known */
	__u64 flags;
	__u64 file;
};

/* A call with all its facts, for functions that are called, not inlined. Plain integers. */
struct mmap_facts {
	struct mmap_call call;
	struct mmap_found found;
	__u64 file;
	__u32 wx; /* --wx: bits of enum mmap_note */
	__u8 pad[4];
};

/* Scratch for a record with strings or stacks. */
struct mmap_scratch {
	struct mmap_event event;
	struct mmap_extra extra;
	__u64 kernel_stack[MMAP_FRAMES];
	__u64 user_stack[MMAP_FRAMES];
	struct path_buf path;
	struct mmap_walk walk;
	struct mmap_facts facts; /* with a mapping, for the stack is too small */
	struct mmap_process_sum process_sum;
	struct mmap_file_sum file_sum;
};

/*
 * One slot for each program, since a task inside one program may be preempted by a task
 * that enters another one. Most programs use the slot of their kind.
 */
#define MMAP_SLOT_OLD_MMAP 0
#define MMAP_SLOT_PKEY (MMAP_ATTACH + 1)
#define MMAP_SLOT_32(kind) (MMAP_SLOT_PKEY + (kind))
#define MMAP_SLOT_REFUSED (MMAP_SLOT_32(MMAP_ADVISE) + 1)
#define MMAP_SLOT_KILLED (MMAP_SLOT_REFUSED + 1)
#define MMAP_SLOTS (MMAP_SLOT_KILLED + 1)
#define PERF_SLOTS MMAP_SLOTS
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MMAP_SLOTS);
	__type(key, __u32);
	__type(value, struct mmap_scratch);
} mmap_scratch SEC(".maps");

__noinline int mmap_path_begin(__u32 slot, __u64 dentry, __u64 vfsmount)
{
	struct mmap_scratch *scratch = bpf_map_lookup_elem(&mmap_scratch, &slot);

	return scratch ? path_begin(&scratch->path, (void *)dentry, (void *)vfsmount) : 0;
}

__noinline int mmap_path_climb(__u32 slot)
{
	struct mmap_scratch *scratch = bpf_map_lookup_elem(&mmap_scratch, &slot);

	return scratch ? path_climb(&scratch->path) : 0;
}

/* The path of a place in the tree, into the scratch of a slot. */
static __always_inline void mmap_walk_path(struct mmap_scratch *scratch, __u32 slot,
					   struct dentry *dentry, struct vfsmount *vfsmount)
{
	if (mmap_path_begin(slot, (__u64)dentry, (__u64)vfsmount))
		path_end(&scratch->path, mmap_path_climb, slot);
}

static __always_inline bool mmap_failed(const struct mmap_call *call)
{
	if (call->kind == MMAP_BREAK) /* brk(0) only asks */
		return call->addr && (__u64)call->ret != call->addr;
	return call->ret < 0 && call->ret >= -MAX_ERRNO;
}

#endif /* SNOOP_MMAP_CALL_BPF_H */
