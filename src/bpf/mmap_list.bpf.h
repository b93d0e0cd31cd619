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

/* The mapping at this address, or NULL. */
static __always_inline struct vm_area_struct *list_find(struct mm_struct *mm, __u64 at)
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
			return vma;
	}
	return NULL;
}

/* Not found if another thread changes mappings of this process just now. */
static __always_inline void list_copy(__u64 at, struct mmap_found *found)
{
	struct mm_struct *mm = list_memory();
	struct vm_area_struct *vma = list_find(mm, at);

	if (!vma || list_is_locked(mm))
		return;
	found->start = BPF_CORE_READ(vma, vm_start);
	found->end = BPF_CORE_READ(vma, vm_end);
	found->flags = BPF_CORE_READ(vma, vm_flags);
	found->file = (__u64)BPF_CORE_READ(vma, vm_file);
}

/* Judges the mappings of a range. */
static __always_inline void list_walk(struct mmap_walk *walk, __u32 slot)
{
	struct mm_struct *mm = list_memory();
	struct vm_area_struct *vma = list_find(mm, walk->at);

	for (int i = 0; i < MMAP_WALK_MAX && walk->at < walk->end; i++) {
		struct mmap_seen *seen = &walk->seen;

		if (list_is_locked(mm))
			return;
		seen->start = BPF_CORE_READ(vma, vm_start);
		/* A hole, at which the call has ended; otherwise another thread has made it. */
		if (!vma || seen->start > walk->at) {
			if (walk->failed)
				walk->end = 0;
			return;
		}
		seen->stop = BPF_CORE_READ(vma, vm_end);
		seen->flags = BPF_CORE_READ(vma, vm_flags);
		seen->file = (__u64)BPF_CORE_READ(vma, vm_file);
		seen->anon_vma = (__u64)BPF_CORE_READ(vma, anon_vma);
		mmap_judge_seen(slot);
		vma = BPF_CORE_READ((struct vm_area_struct___list *)vma, vm_next);
	}
}

#endif /* SNOOP_MMAP_LIST_BPF_H */
