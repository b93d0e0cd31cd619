/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_MMAP_LIST_BPF_H
#define SNOOP_MMAP_LIST_BPF_H

/*
 * Looks up mappings where bpf_find_vma() is missing (before 5.17): in the tree and the list
 * that kernels had before 6.1. Later ones refuse programs that name these members.
 */

#include "mmap.bpf.h"

struct vm_area_struct___list {
	struct vm_area_struct *vm_next;
	struct rb_node vm_rb;
} __attribute__((preserve_access_index));

struct mm_struct___list {
	struct rb_root mm_rb;
} __attribute__((preserve_access_index));

#define LIST_DEPTH 40 /* of a balanced tree of 65,530 mappings and many more */
#define RWSEM_WRITER_LOCKED 1

static __always_inline struct mm_struct *list_memory(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, mm);
}

/*
 * Whether another thread changes mappings: nobody may look meanwhile. Without taking the lock,
 * so one that begins and ends between two looks goes unnoticed.
 */
static __always_inline bool list_is_locked(struct mm_struct *mm)
{
	return BPF_CORE_READ(mm, mmap_lock.count.counter) & RWSEM_WRITER_LOCKED;
}

/*
 * The functions below are not static, so that the verifier looks at each of them once, and not
 * at each place in the loops around them: at a start of --wx it would take a second.
 */

/* Address of the mapping at this address, or 0. */
__noinline __u64 list_find(__u64 mm, __u64 at)
{
	struct rb_node *node = BPF_CORE_READ((struct mm_struct___list *)mm, mm_rb.rb_node);

	for (int i = 0; i < LIST_DEPTH && node; i++) {
		struct vm_area_struct *vma =
			(void *)node - bpf_core_field_offset(struct vm_area_struct___list, vm_rb);

		if (BPF_CORE_READ(vma, vm_end) <= at)
			node = BPF_CORE_READ(node, rb_right);
		else if (BPF_CORE_READ(vma, vm_start) > at)
			node = BPF_CORE_READ(node, rb_left);
		else
			return (__u64)vma;
	}
	return 0;
}

/* Not found if another thread changes mappings of this process just now. */
static __always_inline void list_copy(__u64 at, struct mmap_found *found)
{
	struct mm_struct *mm = list_memory();
	struct vm_area_struct *vma = (void *)list_find((__u64)mm, at);

	if (!vma || list_is_locked(mm))
		return;
	found->start = BPF_CORE_READ(vma, vm_start);
	found->end = BPF_CORE_READ(vma, vm_end);
	found->flags = BPF_CORE_READ(vma, vm_flags);
	found->file = (__u64)BPF_CORE_READ(vma, vm_file);
}

/* Judges walk->mapping, and goes to the next one. False: the walk ends here. */
__noinline int list_judge(__u32 slot, __u64 memory)
{
	struct mmap_scratch *scratch = bpf_map_lookup_elem(&mmap_scratch, &slot);
	struct vm_area_struct *vma;
	struct mmap_walk *walk;

	if (!scratch || list_is_locked((void *)memory))
		return false;
	walk = &scratch->walk;
	vma = (void *)walk->mapping;
	walk->seen.start = BPF_CORE_READ(vma, vm_start);
	/* A hole, at which the call has ended; otherwise another thread has made it. */
	if (!vma || walk->seen.start > walk->at) {
		if (walk->failed)
			walk->end = 0;
		return false;
	}
	walk->seen.stop = BPF_CORE_READ(vma, vm_end);
	walk->seen.flags = BPF_CORE_READ(vma, vm_flags);
	walk->seen.file = (__u64)BPF_CORE_READ(vma, vm_file);
	walk->seen.anon_vma = (__u64)BPF_CORE_READ(vma, anon_vma);
	mmap_judge(walk, MMAP_BTRFS);
	walk->mapping = (__u64)BPF_CORE_READ((struct vm_area_struct___list *)vma, vm_next);
	return true;
}

/* Judges the mappings of a range. */
static __always_inline void list_walk(struct mmap_walk *walk, __u32 slot)
{
	__u64 memory = (__u64)list_memory();

	walk->mapping = list_find(memory, walk->at);
	for (int i = 0; i < MMAP_WALK_MAX && walk->at < walk->end; i++) {
		if (!list_judge(slot, memory))
			break;
	}
}

#endif /* SNOOP_MMAP_LIST_BPF_H */
