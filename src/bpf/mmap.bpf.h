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

EVENT(mmap_event);

/* libbpf before 1.2 has no sixth argument. */
#if !defined(PT_REGS_PARM6_SYSCALL) && defined(__TARGET_ARCH_x86)
#define PT_REGS_PARM6_SYSCALL(x) (__PT_REGS_CAST(x)->r9)
#define PT_REGS_PARM6_CORE_SYSCALL(x) BPF_CORE_READ(__PT_REGS_CAST(x), r9)
#endif

#define PROT_WRITE 0x2
#define PROT_EXEC 0x4
#define MAP_TYPE 0x0f
#define MAP_PRIVATE 0x02
#define MAP_ANONYMOUS 0x20
#define VM_WRITE 0x2
#define VM_EXEC 0x4
#define VM_SHARED 0x8
#define S_IFMT 0170000
#define S_IFCHR 0020000
#define DEV_ZERO (1 << 20 | 5) /* MKDEV() */

const volatile struct mmap_config mmap_config = {};

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
 * Filters by the length in the row: for mremap() the new one. brk() has no length, so
 * none matches.
 */
static __always_inline bool mmap_len_passes(enum mmap_kind kind, __u64 len)
{
	return kind != MMAP_BREAK && len >= mmap_config.min_len && len <= mmap_config.max_len;
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

/* "memfd:": the name of a file that memfd_create() made. */
static __always_inline bool mmap_is_memfd(const struct path_buf *path)
{
	__u32 start = path->start;

	if (!(path->flags & PATH_NO_MOUNT))
		return false;
	barrier_var(start);
	if (start >= PATH_CAP)
		return false;
	return path->bytes[start] == 'm' && path->bytes[start + 1] == 'e' &&
	       path->bytes[start + 2] == 'm' && path->bytes[start + 3] == 'f' &&
	       path->bytes[start + 4] == 'd' && path->bytes[start + 5] == ':';
}

/* /dev/zero has no contents of its own: a write to one mapping shows in no other. */
static __always_inline bool mmap_is_zero(struct inode *inode)
{
	return BPF_CORE_READ(inode, i_rdev) == DEV_ZERO &&
	       (BPF_CORE_READ(inode, i_mode) & S_IFMT) == S_IFCHR;
}

static __always_inline bool mmap_has_prefix(const struct path_buf *path)
{
	if (!path || PATH_CAP - path->start < mmap_config.prefix_len)
		return false;
	/* The beginning is unknown, except for the slash. */
	if ((path->flags & PATH_CUT) && mmap_config.prefix_len > 1)
		return false;
	for (__u32 i = 0; i < MMAP_PREFIX_MAX; i++) {
		__u32 at = path->start + i;

		if (i >= mmap_config.prefix_len)
			break;
		barrier_var(at);
		if (at >= PATH_CAP || path->bytes[at] != mmap_config.prefix[i])
			return false;
	}
	return true;
}

/* --wx: bits of enum mmap_note, 0 for a harmless call. */
static __always_inline __u32 mmap_wx(const struct mmap_call *call, const struct mmap_found *found,
				     bool file, bool memfd)
{
	bool failed = mmap_failed(call);
	__u64 prot = call->prot;
	__u32 notes = 0;
	bool shared;

	if (call->kind != MMAP_MAP && call->kind != MMAP_PROTECT)
		return 0;
	if (found->known)
		prot |= found->flags & (VM_WRITE | VM_EXEC); /* the same bits */
	if ((prot & PROT_WRITE) && (prot & PROT_EXEC))
		notes |= MMAP_WX_BOTH;
	if (failed)
		return notes;
	if (call->kind == MMAP_PROTECT && (call->prot & PROT_EXEC) &&
	    (!found->known || !found->file || found->anon_vma))
		notes |= MMAP_WX_MADE_EXEC;
	if (memfd && (prot & PROT_EXEC))
		notes |= MMAP_WX_MEMFD;
	if (call->kind == MMAP_MAP)
		shared = (call->flags & MAP_TYPE) != MAP_PRIVATE;
	else
		shared = found->known && (found->flags & VM_SHARED);
	if (file && ((prot & PROT_EXEC) || ((prot & PROT_WRITE) && shared)))
		notes |= MMAP_WX_HALF;
	return notes;
}

static __always_inline void mmap_fill(struct mmap_event *event, const struct mmap_call *call,
				      __u64 now, __u32 notes)
{
	task_id_fill_current(&event->id, now);
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

static __always_inline void mmap_send_short(void *ctx, const struct mmap_call *call)
{
	struct mmap_event *event = event_reserve(call->slot, sizeof(*event));
	__u64 now = bpf_ktime_get_boot_ns();

	if (!event) {
		event_lost();
		return;
	}
	mmap_fill(event, call, now, 0);
	event_submit(ctx, event, sizeof(*event), now);
}

/*
 * Copies the scratch slot into a record with room for `path_cap` bytes of path and, if
 * `stacks`, for both stacks; both are constants.
 */
static __always_inline void mmap_send_extra(void *ctx, struct mmap_scratch *scratch, __u32 slot,
					    const __u32 path_cap, const bool stacks)
{
	const __u32 stack_cap = sizeof(scratch->kernel_stack);
	struct mmap_event *event = &scratch->event;
	__u32 used = sizeof(*event) + sizeof(struct mmap_extra);
	__u32 path_len = event->path_len;
	__u32 start = scratch->path.start;
	__u8 *record;

	record = event_reserve(slot, sizeof(*event) + sizeof(struct mmap_extra) + path_cap +
					     (stacks ? 2 * stack_cap : 0));
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
	if (stacks) {
		__u32 kernel = scratch->extra.kernel_frames * 8;
		__u32 user = scratch->extra.user_frames * 8;
		__u8 *at = record + used + path_len;

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
	event_submit(ctx, record, used + path_len, event->id.time_ns);
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

	if (!filter_allows_current())
		return 0;
	now = bpf_ktime_get_boot_ns();
	bpf_map_update_elem(&mmap_entered, &tid, &now, BPF_ANY);
	return 0;
}

/*
 * The record with all parts that a short one lacks. Not inlined, since otherwise each
 * program would have a copy, a hundred times its own size.
 */
static __noinline int mmap_send_long(void *ctx, const struct mmap_facts *facts)
{
	const struct mmap_found *found = &facts->found;
	const struct mmap_call *call = &facts->call;
	struct file *file = facts->file;
	__u64 now = bpf_ktime_get_boot_ns();
	__u32 slot = call->slot, notes = MMAP_EXTRA, wx;
	struct mmap_scratch *scratch;
	struct mmap_extra *extra;
	struct mmap_event *event;
	struct inode *inode = NULL;

	scratch = bpf_map_lookup_elem(&mmap_scratch, &slot);
	if (!scratch)
		return 0;
	extra = &scratch->extra;
	event = &scratch->event;
	__builtin_memset(extra, 0, sizeof(*extra));
	if (call->entered) {
		extra->duration_ns = now - call->entered;
		notes |= MMAP_DURATION;
	}
	scratch->path.start = PATH_CAP;
	scratch->path.flags = 0;
	if (file) {
		notes |= MMAP_FILE;
		inode = BPF_CORE_READ(file, f_inode);
		extra->inode = BPF_CORE_READ(inode, i_ino);
		extra->generation = BPF_CORE_READ(inode, i_generation);
		extra->dev = BPF_CORE_READ(inode, i_sb, s_dev);
		path_walk(&scratch->path, file);
		if (scratch->path.flags & PATH_CUT)
			notes |= MMAP_PATH_CUT;
		if (scratch->path.flags & PATH_DELETED)
			notes |= MMAP_PATH_DELETED;
		if (scratch->path.flags & PATH_NO_MOUNT)
			notes |= MMAP_PATH_NO_MOUNT;
	}
	if ((mmap_config.modes & MMAP_MODE_PATH) && !mmap_has_prefix(&scratch->path))
		return 0;
	if (found->known && !(mmap_config.modes & MMAP_MODE_FILE_ONLY)) {
		notes |= MMAP_VMA;
		extra->vma_start = found->start;
		extra->vma_end = found->end;
		extra->vma_flags = found->flags;
		if (!found->file)
			notes |= MMAP_VMA_ANON;
		if (found->anon_vma)
			notes |= MMAP_VMA_WRITTEN;
	}
	if (mmap_config.modes & MMAP_MODE_WX) {
		wx = mmap_wx(call, found, file && !mmap_is_zero(inode),
			     mmap_is_memfd(&scratch->path));
		if (!wx)
			return 0;
		notes |= wx;
	}
	mmap_fill(event, call, now, notes);
	event->path_len = PATH_CAP - scratch->path.start;
	if (mmap_config.modes & MMAP_MODE_STACKS) {
		mmap_stacks(ctx, scratch);
		mmap_send_extra(ctx, scratch, slot, PATH_CAP, true);
	} else if (event->path_len <= 72) {
		mmap_send_extra(ctx, scratch, slot, 72, false);
	} else if (event->path_len <= 512) {
		mmap_send_extra(ctx, scratch, slot, 512, false);
	} else {
		mmap_send_extra(ctx, scratch, slot, PATH_CAP, false);
	}
	return 0;
}

/*
 * Before the registers are read: whether calls of the current task are shown. If so,
 * sets kind and slot of `call`, and clears the rest.
 */
static __always_inline bool mmap_begin(struct mmap_call *call, enum mmap_kind kind, __u32 slot)
{
	if (!filter_allows_current())
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
static __always_inline int mmap_done(void *ctx, const struct mmap_call *call,
				     const struct mmap_found *found)
{
	bool is_long = mmap_config.modes != 0;
	struct file *file = NULL;

	if (!mmap_passes(call))
		return 0;
	if (call->kind == MMAP_MAP && !(call->flags & MAP_ANONYMOUS))
		file = current_file(call->fd);
	else if (call->kind == MMAP_PROTECT && found && found->known)
		file = found->file;
	if (mmap_config.modes & MMAP_MODE_SUMMARY) {
		struct mmap_call copy = *call;

		mmap_summarize(&copy, file);
	} else if (is_long || file || (found && found->known)) {
		struct mmap_facts facts = { .call = *call, .file = file };

		if (found)
			facts.found = *found;
		mmap_send_long(ctx, &facts);
	} else {
		mmap_send_short(ctx, call);
	}
	return 0;
}

#endif /* SNOOP_MMAP_BPF_H */
