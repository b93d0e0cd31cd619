/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_MMAP_FINISH_BPF_H
#define SNOOP_MMAP_FINISH_BPF_H

/*
 * The ways to finish a call, one for each program of a hook.
 *
 * Programs with _vma also look up the resulting mapping: bpf_find_vma() came with 5.17,
 * and older kernels refuse programs that merely contain a callback. Programs with _list look
 * it up by themselves: mmap_list.bpf.h. Programs with _wx are for --wx: five times as long, which
 * the verifier would have to read at each start of the others, too.
 */

#include "mmap_list.bpf.h"

/* ---- the resulting mapping ---- */

static long mmap_copy_vma(struct task_struct *task, struct vm_area_struct *vma, void *data)
{
	struct mmap_found *found = data;

	(void)task;
	found->start = vma->vm_start;
	found->end = vma->vm_end;
	found->flags = vma->vm_flags;
	found->file = (__u64)vma->vm_file;
	return 0;
}

/* A callback may only be given the stack, of which there is little: see mmap_walk_vmas(). */
struct mmap_see_data {
	struct mmap_seen *seen;
};

static long mmap_see_vma(struct task_struct *task, struct vm_area_struct *vma, void *data)
{
	struct mmap_seen *seen = ((struct mmap_see_data *)data)->seen;

	(void)task;
	seen->start = vma->vm_start;
	seen->stop = vma->vm_end;
	seen->flags = vma->vm_flags;
	seen->file = (__u64)vma->vm_file;
	seen->anon_vma = (__u64)vma->anon_vma;
	return 0;
}

/* The address to look up; 0: none, for the call has made no mapping or no filter asks for it. */
static __always_inline __u64 mmap_place(const struct mmap_call *call)
{
	/* For mmap() the descriptor identifies the file. */
	if ((mmap_config.modes & MMAP_MODE_FILE_ONLY) && call->kind != MMAP_PROTECT)
		return 0;
	if (mmap_failed(call) || !call->len)
		return 0;
	return call->kind == MMAP_PROTECT ? UNTAGGED(call->addr) : (__u64)call->ret;
}

static __always_inline int mmap_plain(void *ctx, struct task_struct *task,
				      const struct mmap_call *call)
{
	return mmap_done(ctx, task, call, NULL);
}

static __always_inline int mmap_with_vma(void *ctx, struct task_struct *task,
					 const struct mmap_call *call)
{
	struct mmap_found found = {};
	__u64 at = mmap_passes(call) ? mmap_place(call) : 0;

	/* Not found if another thread changes mappings of this process just now. */
	if (at)
		bpf_find_vma(task, at, mmap_copy_vma, &found, 0);
	return mmap_done(ctx, task, call, &found);
}

static __always_inline int mmap_with_list(void *ctx, struct task_struct *task,
					  const struct mmap_call *call)
{
	struct mmap_found found = {};
	__u64 at = mmap_passes(call) ? mmap_place(call) : 0;

	if (at)
		list_copy(at, &found);
	return mmap_done(ctx, task, call, &found);
}

/* ---- the resulting mappings, for --wx; not inlined, for loops and callbacks are long ---- */

static __noinline int mmap_finish_wx(void *ctx, const struct mmap_call *call)
{
	struct mmap_scratch *scratch = mmap_wx_begin(call);

	if (scratch)
		mmap_wx_done(ctx, call, scratch);
	return mmap_nothing();
}

static __always_inline void mmap_walk_vmas(struct mmap_walk *walk, __u32 slot)
{
	for (int i = 0; i < MMAP_WALK_MAX && walk->at < walk->end; i++) {
		struct mmap_see_data data = { .seen = &walk->seen };
		long err =
			bpf_find_vma(bpf_get_current_task_btf(), walk->at, mmap_see_vma, &data, 0);

		/* A hole, at which the call has ended; otherwise another thread has made it. */
		if (err == -ENOENT && walk->failed)
			walk->end = 0;
		if (err)
			break;
		mmap_judge_seen(slot);
	}
}

static __noinline int mmap_finish_wx_vma(void *ctx, const struct mmap_call *call)
{
	struct mmap_scratch *scratch = mmap_wx_begin(call);

	if (scratch) {
		mmap_walk_vmas(&scratch->walk, call->slot);
		mmap_wx_done(ctx, call, scratch);
	}
	return mmap_nothing();
}

static __noinline int mmap_finish_wx_list(void *ctx, const struct mmap_call *call)
{
	struct mmap_scratch *scratch = mmap_wx_begin(call);

	if (scratch) {
		list_walk(&scratch->walk, call->slot);
		mmap_wx_done(ctx, call, scratch);
	}
	return mmap_nothing();
}

static __always_inline int mmap_wx(void *ctx, struct task_struct *task, struct mmap_call *call)
{
	(void)task;
	forget(call, sizeof(*call));
	return mmap_finish_wx(ctx, call);
}

static __always_inline int mmap_wx_with_vma(void *ctx, struct task_struct *task,
					    struct mmap_call *call)
{
	(void)task;
	forget(call, sizeof(*call));
	return mmap_finish_wx_vma(ctx, call);
}

static __always_inline int mmap_wx_with_list(void *ctx, struct task_struct *task,
					     struct mmap_call *call)
{
	(void)task;
	forget(call, sizeof(*call));
	return mmap_finish_wx_list(ctx, call);
}

#endif /* SNOOP_MMAP_FINISH_BPF_H */
