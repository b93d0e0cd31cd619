/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_MMAP_BPF_H
#define SNOOP_MMAP_BPF_H

/*
 * From a call, whichever program has seen it, to its record: mmap_done(). Millions a
 * second may come through here. So code for rare options is separate, for the verifier
 * to remove, and a call without a file is built right in the ring buffer.
 */

#include "mmap_call.bpf.h" /* first: defines the number of slots */
#include "filter.bpf.h"
#include "mmap_summary.bpf.h"
#include "mmap_wx.bpf.h"

EVENT(mmap_event);

/* A macro, for constants do not go through functions. */
#define MMAP_BTRFS (mmap_config.modes & MMAP_MODE_BTRFS)

/* --latency: when threads entered mmap(). LRU: a thread that dies inside leaves its entry. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1); /* user space sets the size if it is needed */
	__type(key, __u32);
	__type(value, __u64);
} mmap_entered SEC(".maps");

static __always_inline bool mmap_shows(enum mmap_kind kind)
{
	return mmap_config.kinds & (1 << kind);
}

/*
 * Filters by the length in the row: for mremap() the new one. brk() and shmat() have no
 * length, so none matches.
 */
static __always_inline bool mmap_len_passes(enum mmap_kind kind, __u64 len)
{
	return kind != MMAP_BREAK && kind != MMAP_ATTACH && len >= mmap_config.min_len &&
	       len <= mmap_config.max_len;
}

/* Other calls have no protections or flags in these arguments. */
static __always_inline bool mmap_args_pass(const struct mmap_call *call)
{
	bool maps = call->kind == MMAP_MAP;
	__u64 prot = maps || call->kind == MMAP_PROTECT ? call->prot : 0;
	__u64 flags = maps ? call->flags : 0;

	if ((prot & mmap_config.prot) != mmap_config.prot)
		return false;
	if ((flags & mmap_config.flags_mask) != mmap_config.flags)
		return false;
	if (mmap_config.backing == MMAP_ONLY_ANON && !(flags & MAP_ANONYMOUS))
		return false;
	if (mmap_config.backing == MMAP_ONLY_FILE && (!maps || (flags & MAP_ANONYMOUS)))
		return false;
	return true;
}

/* The cheap filters: by the arguments and the result alone. */
static __always_inline bool mmap_passes(const struct mmap_call *call)
{
	if (!mmap_config.filters)
		return true;
	if ((mmap_config.filters & MMAP_BY_LEN) &&
	    !mmap_len_passes(call->kind, call->kind == MMAP_REMAP ? call->offset : call->len))
		return false;
	if ((mmap_config.filters & MMAP_BY_FAILURE) && !mmap_failed(call))
		return false;
	return !(mmap_config.filters & MMAP_BY_ARGS) || mmap_args_pass(call);
}

/*
 * The result of a function that is called, not inlined. If clang saw that it is always the same,
 * it would leave something else in its place, which the verifier refuses if it is an address.
 */
static __always_inline int mmap_nothing(void)
{
	int nothing = 0;

	barrier_var(nothing);
	return nothing;
}

static __always_inline bool mmap_begins_with(const struct path_buf *path,
					     const volatile struct mmap_prefix *prefix)
{
	if (!prefix->len || PATH_CAP - path->start < prefix->len)
		return false;
	/* The beginning is unknown, except for the slash. */
	if ((path->flags & PATH_CUT) && prefix->len > 1)
		return false;
	for (__u32 i = 0; i < MMAP_PREFIX_MAX; i++) {
		__u32 at = path->start + i;

		if (i >= prefix->len)
			break;
		barrier_var(at);
		if (at >= PATH_CAP || path->bytes[at] != prefix->bytes[i])
			return false;
	}
	return true;
}

static __always_inline bool mmap_has_prefix(const struct path_buf *path)
{
	for (int i = 0; i < MMAP_PREFIXES; i++)
		if (mmap_begins_with(path, &mmap_config.prefixes[i]))
			return true;
	return false;
}

/* All but the id. */
static __always_inline void mmap_fill(struct mmap_event *event, const struct mmap_call *call,
				      __u32 notes)
{
	event->addr = call->addr;
	event->len = call->len;
	event->ret = call->ret;
	event->prot = call->prot;
	event->flags = call->flags;
	event->offset = call->offset;
	event->fd = call->fd;
	event->kind = call->kind;
	event->notes = notes | (call->compat ? MMAP_COMPAT : 0);
	event->path_len = 0;
	event->pad[0] = 0;
	event->pad[1] = 0;
}

static __always_inline void mmap_send_short(void *ctx, struct task_struct *task,
					    const struct mmap_call *call)
{
	struct mmap_event *event;
	__u64 now = 0;

	if (snoop_config.context) {
		now = bpf_ktime_get_boot_ns();
		context_send_current(ctx, now, (__u32)bpf_get_current_pid_tgid());
	}
	event = event_reserve(call->slot, sizeof(*event));
	if (!event) {
		event_lost();
		return;
	}
	if (!snoop_config.context)
		now = bpf_ktime_get_boot_ns();
	task_id_fill_current(task, &event->id, now, current_cgroup_id(task));
	mmap_fill(event, call, 0);
	event_submit_often(ctx, event, sizeof(*event), now);
}

/*
 * Copies the scratch slot into a record with room for `path_cap` bytes of path and, if
 * `stacks`, for both stacks, and if `owners`, for those; all three are constants.
 */
static __always_inline void mmap_send_extra(void *ctx, struct mmap_scratch *scratch, __u32 slot,
					    const __u32 path_cap, const bool stacks,
					    const bool owners)
{
	const __u32 stack_cap = sizeof(scratch->kernel_stack);
	struct mmap_event *event = &scratch->event;
	__u32 used = sizeof(*event) + sizeof(struct mmap_extra);
	__u32 path_len = event->path_len;
	__u32 start = scratch->path.start;
	__u8 *record;

	record = event_reserve(slot, sizeof(*event) + sizeof(struct mmap_extra) + path_cap +
					     (stacks ? 2 * stack_cap : 0) +
					     (owners ? sizeof(scratch->walk.owner) : 0));
	if (!record) {
		event_lost();
		return;
	}
	/* Not memcpy(), which would copy byte by byte, since it does not know the alignment. */
	*(struct mmap_event *)record = *event;
	*(struct mmap_extra *)(record + sizeof(*event)) = scratch->extra;
	barrier_var(path_len);
	if (path_len > path_cap) /* impossible: for the verifier */
		path_len = path_cap;
	barrier_var(start);
	if (path_len && start < PATH_CAP)
		bpf_probe_read_kernel(record + used, path_len, &scratch->path.bytes[start]);
	used += path_len;
	if (stacks) {
		__u32 kernel = scratch->extra.kernel_frames * 8;
		__u32 user = scratch->extra.user_frames * 8;
		__u8 *at = record + used;

		barrier_var(kernel);
		if (kernel > stack_cap)
			kernel = stack_cap;
		bpf_probe_read_kernel(at, kernel, scratch->kernel_stack);
		barrier_var(user);
		if (user > stack_cap)
			user = stack_cap;
		bpf_probe_read_kernel(at + kernel, user, scratch->user_stack);
		used += kernel + user;
	}
	if (owners) {
		__u32 len = scratch->extra.owners * sizeof(struct mmap_owner);

		barrier_var(len);
		if (len > sizeof(scratch->walk.owner))
			len = sizeof(scratch->walk.owner);
		bpf_probe_read_kernel(record + used, len, scratch->walk.owner);
		used += len;
	}
	event_submit(ctx, record, used, event->id.time_ns);
}

static __always_inline void mmap_stacks(void *ctx, struct mmap_scratch *scratch)
{
	long n;

	n = bpf_get_stack(ctx, scratch->kernel_stack, sizeof(scratch->kernel_stack), 0);
	scratch->extra.kernel_frames = n > 0 ? (__u32)n / 8 : 0;
	n = bpf_get_stack(ctx, scratch->user_stack, sizeof(scratch->user_stack), BPF_F_USER_STACK);
	scratch->extra.user_frames = n > 0 ? (__u32)n / 8 : 0;
}

/* Time at which the call that has just returned began, 0 if that was not seen. */
static __always_inline __u64 mmap_take_entry(void)
{
	__u32 tid = bpf_get_current_pid_tgid();
	__u64 *entry = bpf_map_lookup_elem(&mmap_entered, &tid);
	__u64 entered = 0;

	if (entry) {
		entered = *entry;
		bpf_map_delete_elem(&mmap_entered, &tid);
	}
	return entered;
}

static __always_inline int mmap_enter(void)
{
	__u32 tid = bpf_get_current_pid_tgid();
	__u64 now;

	if (!filter_allows_current(typed_task()))
		return 0;
	now = bpf_ktime_get_boot_ns();
	bpf_map_update_elem(&mmap_entered, &tid, &now, BPF_ANY);
	return 0;
}

/*
 * Path, device and inode of a file, with the bits of enum mmap_note about them. The file of a
 * mapping, unlike that of a descriptor, may be one that its file system has opened elsewhere.
 */
static __always_inline __u32 mmap_describe_file(struct mmap_scratch *scratch, __u32 slot,
						struct file *file, bool is_mapped)
{
	struct path *path = (void *)file + bpf_core_field_offset(struct file, f_path);
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	__u32 notes = MMAP_FILE;

	if (is_mapped) {
		path = file_user_path(file);
		inode = BPF_CORE_READ(path, dentry, d_inode);
	}
	mmap_walk_path(scratch, slot, BPF_CORE_READ(path, dentry), BPF_CORE_READ(path, mnt));
	scratch->extra.inode = BPF_CORE_READ(inode, i_ino);
	scratch->extra.dev = inode_device(inode, MMAP_BTRFS);
	if (scratch->path.flags & PATH_CUT)
		notes |= MMAP_PATH_CUT;
	if (scratch->path.flags & PATH_DELETED)
		notes |= MMAP_PATH_DELETED;
	if (scratch->path.flags & PATH_NO_MOUNT)
		notes |= MMAP_PATH_NO_MOUNT;
	return notes;
}

/* --wx: what the walk has found besides the notes. */
static __always_inline void mmap_describe_walk(struct mmap_extra *extra,
					       const struct mmap_walk *walk)
{
	__u64 unseen = walk->at < walk->end ? (walk->end - walk->at) >> 10 : 0;

	if (walk->kind == MMAP_PROTECT)
		extra->unseen_kib = unseen > 0xffffffff ? 0xffffffff : unseen;
	extra->owners = walk->owners;
	extra->shown_owner = walk->shown_owner;
}

/*
 * The record with all parts that a short one lacks. Not inlined, since otherwise each
 * program would have a copy, a hundred times its own size.
 */
static __noinline int mmap_send_long(void *ctx, const struct mmap_facts *facts)
{
	const struct mmap_found *found = &facts->found;
	const struct mmap_call *call = &facts->call;
	struct file *file = (void *)facts->file;
	__u32 slot = call->slot, notes = MMAP_EXTRA | facts->wx;
	struct mmap_scratch *scratch;
	struct mmap_extra *extra;
	struct mmap_event *event;
	__u64 now;

	scratch = bpf_map_lookup_elem(&mmap_scratch, &slot);
	if (!scratch)
		return 0;
	extra = &scratch->extra;
	event = &scratch->event;
	__builtin_memset(extra, 0, sizeof(*extra));
	/* First, while nothing else is on the stack: callers and this have what 5.10 allows, to the
	 * byte. With --wx few calls come here: see verifier.bpf.h. */
	now = bpf_ktime_get_boot_ns();
	if ((mmap_config.modes & MMAP_MODE_WX) || !task_is_typed())
		task_id_fill(&event->id, (void *)bpf_get_current_task(), now);
	else
		task_id_fill_typed(bpf_get_current_task_btf(), &event->id, now,
				   bpf_get_current_cgroup_id());
	if (call->entered) {
		extra->duration_ns = event->id.time_ns - call->entered;
		notes |= MMAP_DURATION;
	}
	scratch->path.start = PATH_CAP;
	scratch->path.flags = 0;
	if (file)
		notes |= mmap_describe_file(scratch, slot, file, call->kind != MMAP_MAP);
	if ((mmap_config.modes & MMAP_MODE_PATH) && !mmap_has_prefix(&scratch->path))
		return 0;
	if (snoop_config.context)
		context_send_current(ctx, event->id.time_ns, (__u32)bpf_get_current_pid_tgid());
	if (found->end && !(mmap_config.modes & MMAP_MODE_FILE_ONLY)) {
		notes |= MMAP_VMA;
		extra->vma_start = found->start;
		extra->vma_end = found->end;
		extra->vma_flags = found->flags;
	}
	if (mmap_config.modes & MMAP_MODE_WX)
		mmap_describe_walk(extra, &scratch->walk);
	mmap_fill(event, call, notes);
	event->path_len = PATH_CAP - scratch->path.start;
	if (mmap_config.modes & MMAP_MODE_STACKS) {
		mmap_stacks(ctx, scratch);
		mmap_send_extra(ctx, scratch, slot, PATH_CAP, true, true);
	} else if (mmap_config.modes & MMAP_MODE_WX) {
		if (event->path_len <= 256)
			mmap_send_extra(ctx, scratch, slot, 256, false, true);
		else
			mmap_send_extra(ctx, scratch, slot, PATH_CAP, false, true);
	} else if (event->path_len <= 72) {
		mmap_send_extra(ctx, scratch, slot, 72, false, false);
	} else if (event->path_len <= 512) {
		mmap_send_extra(ctx, scratch, slot, 512, false, false);
	} else {
		mmap_send_extra(ctx, scratch, slot, PATH_CAP, false, false);
	}
	return mmap_nothing();
}

/*
 * Before the registers are read: whether calls of the current task, typed_task(), are shown. If so,
 * sets kind and slot of `call`, and clears the rest.
 */
static __always_inline bool mmap_begin(struct task_struct *task, struct mmap_call *call,
				       enum mmap_kind kind, __u32 slot)
{
	if (!filter_allows_current(task))
		return false;
	__builtin_memset(call, 0, sizeof(*call));
	call->kind = kind;
	call->slot = slot;
	call->fd = -1;
	/* Also if a filter will hold the call back. */
	if ((mmap_config.modes & MMAP_MODE_LATENCY) && kind == MMAP_MAP)
		call->entered = mmap_take_entry();
	return true;
}

/*
 * Finishes a call from mmap_begin(). `found`: the resulting mapping, if it was looked
 * up, or NULL.
 *
 * Called functions get copies. With a pointer to `call` itself, all of it would have to
 * be in memory for the short path, too.
 */
static __always_inline int mmap_done(void *ctx, struct task_struct *task,
				     const struct mmap_call *call, const struct mmap_found *found)
{
	bool is_long = mmap_config.modes & ~MMAP_MODE_BTRFS;
	struct file *file = NULL;

	if (!mmap_passes(call))
		return 0;
	if (call->kind == MMAP_MAP && !(call->flags & MAP_ANONYMOUS))
		file = current_file(task, call->fd);
	else if (call->kind == MMAP_PROTECT && found && found->end)
		file = (void *)found->file;
	if (mmap_config.modes & MMAP_MODE_SUMMARY) {
		struct mmap_call copy = *call;

		mmap_summarize(&copy, file, MMAP_BTRFS);
	} else if (found && (is_long || file || found->end)) {
		__u32 slot = call->slot;
		struct mmap_scratch *scratch = bpf_map_lookup_elem(&mmap_scratch, &slot);

		if (!scratch)
			return 0;
		scratch->facts.call = *call;
		scratch->facts.found = *found;
		scratch->facts.file = (__u64)file;
		scratch->facts.wx = 0;
		mmap_send_long(ctx, &scratch->facts);
	} else if (is_long || file) {
		struct mmap_facts facts = { .call = *call, .file = (__u64)file };

		mmap_send_long(ctx, &facts);
	} else {
		mmap_send_short(ctx, task, call);
	}
	return 0;
}

/* --wx: where the walk over the mappings is kept; NULL for a call that is not of interest. */
static __always_inline struct mmap_scratch *mmap_wx_begin(const struct mmap_call *call)
{
	struct mmap_scratch *scratch;
	__u32 slot = call->slot;

	if (!mmap_passes(call))
		return NULL;
	scratch = bpf_map_lookup_elem(&mmap_scratch, &slot);
	return scratch && mmap_walk_begin(&scratch->walk, call) ? scratch : NULL;
}

/* --wx: judges walk->seen. Not static, so that the verifier looks at it once for all mappings. */
__noinline int mmap_judge_seen(__u32 slot)
{
	struct mmap_scratch *scratch = bpf_map_lookup_elem(&mmap_scratch, &slot);

	if (scratch)
		mmap_judge(&scratch->walk, MMAP_BTRFS);
	return 0;
}

/* --wx: sends the call if the walk has found something. */
static __always_inline void mmap_wx_done(void *ctx, const struct mmap_call *call,
					 struct mmap_scratch *scratch)
{
	struct mmap_facts *facts = &scratch->facts;
	struct mmap_walk *walk = &scratch->walk;
	struct file *file = NULL;

	if (call->kind == MMAP_MAP && !(call->flags & MAP_ANONYMOUS))
		file = task_file((void *)bpf_get_current_task(), call->fd);
	if (mmap_walk_end(walk, call, file))
		mmap_judge_seen(call->slot);
	if (!walk->notes && !walk->owners)
		return;
	facts->call = *call;
	facts->found.start = walk->shown.start;
	facts->found.end = walk->shown.stop;
	facts->found.flags = walk->shown.flags;
	/* mmap() shows the file that it names. */
	facts->file = call->kind == MMAP_MAP ? (__u64)file : walk->shown.file;
	facts->wx = walk->notes;
	mmap_send_long(ctx, facts);
}

#endif /* SNOOP_MMAP_BPF_H */
