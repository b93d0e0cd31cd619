// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * mmapsnoop: memory mappings.
 *
 * One program sees arguments and result when the call returns, from the function's
 * arguments or from the saved registers. So there is no map of calls in flight, which
 * could fill up or miss calls that were under way when tracing began.
 *
 * The names of programs say how they finish a call: see mmap_finish.bpf.h.
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "mmap_finish.bpf.h"
#include "seccomp.bpf.h"

/* ---- from arguments to a call ---- */

/* The six arguments in the order of the system call, whichever it is. */
static __always_inline void mmap_take(struct mmap_call *call, const __u64 *arg)
{
	call->addr = arg[0];
	if (call->kind != MMAP_BREAK)
		call->len = arg[1];
	switch (call->kind) {
	case MMAP_MAP:
		call->prot = arg[2];
		call->flags = arg[3];
		call->fd = arg[4];
		call->offset = arg[5];
		break;
	case MMAP_PROTECT:
		call->prot = arg[2];
		call->fd = arg[3];
		break;
	case MMAP_REMAP:
		call->offset = arg[2];
		call->flags = arg[3];
		call->prot = arg[4];
		break;
	case MMAP_ADVISE:
		call->prot = arg[2];
		break;
	case MMAP_ATTACH:
		call->fd = arg[0];
		call->addr = arg[1];
		call->len = 0; /* that of the segment */
		call->flags = arg[2];
		call->prot = PROT_READ | (arg[2] & SHM_RDONLY ? 0 : PROT_WRITE) |
			     (arg[2] & SHM_EXEC ? PROT_EXEC : 0);
		break;
	case MMAP_BREAK:
	case MMAP_UNMAP:
		break;
	}
}

/*
 * The arguments from the saved registers of a program of the kernel's own kind. False:
 * a call of this length is not shown. The length is read first, since it often decides,
 * and where the verifier does not trust the address, each load needs a check of its
 * own.
 */
static __always_inline bool mmap_take_regs(struct mmap_call *call, const struct pt_regs *regs)
{
	__u64 arg[6];

	if (MMAP_IN_MEMORY && call->kind == MMAP_MAP) {
		__builtin_memset(arg, 0, sizeof(arg));
		if (bpf_probe_read_user(arg, sizeof(arg), (void *)PT_REGS_PARM1_SYSCALL(regs)))
			arg[4] = -1; /* EFAULT: no descriptor either */
		mmap_take(call, arg);
		return !(mmap_config.filters & MMAP_BY_LEN) || mmap_len_passes(call->kind, arg[1]);
	}
	arg[1] = PT_REGS_PARM2_SYSCALL(regs);
	if (mmap_config.filters & MMAP_BY_LEN) {
		__u64 len = arg[1];

		/*
		 * Otherwise clang makes one load from a variable address, which the
		 * verifier refuses.
		 */
		barrier_var(len);
		if (call->kind == MMAP_REMAP)
			len = PT_REGS_PARM3_SYSCALL(regs);
		if (!mmap_len_passes(call->kind, len))
			return false;
	}
	arg[0] = PT_REGS_PARM1_SYSCALL(regs);
	arg[2] = PT_REGS_PARM3_SYSCALL(regs);
	arg[3] = PT_REGS_PARM4_SYSCALL(regs);
	arg[4] = PT_REGS_PARM5_SYSCALL(regs);
	arg[5] = PT_REGS_PARM6_SYSCALL(regs);
	mmap_take(call, arg);
	return true;
}

#if HAS_COMPAT
static __always_inline void args_compat(const struct pt_regs *regs, __u64 *arg)
{
	arg[0] = COMPAT_ARG(regs, 1);
	arg[1] = COMPAT_ARG(regs, 2);
	arg[2] = COMPAT_ARG(regs, 3);
	arg[3] = COMPAT_ARG(regs, 4);
	arg[4] = COMPAT_ARG(regs, 5);
	arg[5] = COMPAT_ARG(regs, 6);
}

#ifdef COMPAT_NR_OLD_MMAP
/* mmap() of i386 takes one argument, the address of six. */
static __always_inline void compat_args_in_memory(__u64 *arg)
{
	__u32 in_memory[6] = {};

	bpf_probe_read_user(in_memory, sizeof(in_memory), (void *)arg[0]);
	for (int i = 0; i < 6; i++)
		arg[i] = in_memory[i];
}
#endif

#define PAGES_OF_MMAP2 12 /* mmap2() counts the offset in 4096 bytes, whatever a page is */
#endif

/* ---- backend fexit: other system calls pay nothing, 32-bit callers are seen ---- */

/*
 * On the system calls themselves: their common function, ksys_mmap_pgoff(), is inlined
 * in some kernels, and does not see calls that are refused before it.
 *
 * The saved registers are their only argument, and the task's (5.15). In older kernels
 * they are copied, without their type: BTF of 5.10 has only a forward declaration for
 * some system calls, which the verifier refuses to follow.
 */
static __always_inline const struct pt_regs *fexit_regs(struct task_struct *task, __u64 *ctx,
							struct pt_regs *copy)
{
	struct pt_regs *regs;

	if (!HAS_OLD_TRAMPOLINES ||
	    bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs))
		return (void *)bpf_task_pt_regs(task);
	bpf_probe_read_kernel(&regs, sizeof(regs), ctx);
	bpf_probe_read_kernel(copy, sizeof(*copy), regs);
	return copy;
}

static __always_inline bool fexit_64(struct task_struct *task, struct mmap_call *call, __u64 *ctx)
{
	const struct pt_regs *regs;
	struct pt_regs copy;

	regs = fexit_regs(task, ctx, &copy);
	call->ret = ctx[1];
	if (!HAS_COMPAT_ENTRIES)
		call->compat = caller_is_compat(task, regs);
	return mmap_take_regs(call, regs);
}

/* The fourth argument is the key of pkey_mprotect(), and means nothing for mprotect(). */
static __always_inline bool fexit_mprotect_64(struct task_struct *task, struct mmap_call *call,
					      __u64 *ctx)
{
	bool taken = fexit_64(task, call, ctx);

	call->fd = -1;
	return taken;
}

#if HAS_COMPAT
static __always_inline bool fexit_32(struct task_struct *task, struct mmap_call *call, __u64 *ctx)
{
	struct pt_regs copy;
	__u64 arg[6];

	args_compat(fexit_regs(task, ctx, &copy), arg);
	mmap_take(call, arg);
	call->ret = ctx[1];
	call->compat = true;
	return true;
}

#if HAS_COMPAT_ENTRIES
static __always_inline bool fexit_mprotect_32(struct task_struct *task, struct mmap_call *call,
					      __u64 *ctx)
{
	fexit_32(task, call, ctx);
	call->fd = -1;
	return true;
}
#endif

static __always_inline bool fexit_mmap2(struct task_struct *task, struct mmap_call *call,
					__u64 *ctx)
{
	fexit_32(task, call, ctx);
	call->offset <<= PAGES_OF_MMAP2;
	return true;
}

#ifdef COMPAT_NR_OLD_MMAP
static __always_inline bool fexit_in_memory(struct task_struct *task, struct mmap_call *call,
					    __u64 *ctx)
{
	struct pt_regs copy;
	__u64 arg[6];

	(void)task; /* asked for again: it would be one value too many on the stack */
	args_compat(fexit_regs(typed_task(), ctx, &copy), arg);
	compat_args_in_memory(arg);
	mmap_take(call, arg);
	call->ret = ctx[1];
	call->compat = true;
	return true;
}
#endif
#endif

#define FEXIT_SLOT(name, hook, kind, slot, take, done)                                             \
	SEC("fexit/" hook)                                                                         \
	int name(__u64 *ctx)                                                                       \
	{                                                                                          \
		struct task_struct *task = typed_task();                                           \
		struct mmap_call call;                                                             \
                                                                                                   \
		return mmap_begin(task, &call, kind, slot) && take(task, &call, ctx)               \
			       ? done(ctx, task, &call)                                            \
			       : 0;                                                                \
	}

#define FEXIT(name, hook, kind, take) FEXIT_SLOT(name, hook, kind, kind, take, mmap_plain)
#define FEXIT32(name, hook, kind, take)                                                            \
	FEXIT_SLOT(name, hook, kind, MMAP_SLOT_32(kind), take, mmap_plain)

/*
 * For calls whose mapping may be looked up: a program for each way to do it, FEXIT_WX()
 * those of --wx.
 */
#define FEXIT_WX(name, hook, kind, slot, take)                                                     \
	FEXIT_SLOT(name##_wx, hook, kind, slot, take, mmap_wx)                                     \
	FEXIT_SLOT(name##_wx_vma, hook, kind, slot, take, mmap_wx_with_vma)                        \
	FEXIT_SLOT(name##_wx_list, hook, kind, slot, take, mmap_wx_with_list)

#define FEXIT_LOOKED_UP(name, hook, kind, slot, take)                                              \
	FEXIT_SLOT(name, hook, kind, slot, take, mmap_plain)                                       \
	FEXIT_SLOT(name##_vma, hook, kind, slot, take, mmap_with_vma)                              \
	FEXIT_SLOT(name##_list, hook, kind, slot, take, mmap_with_list)

#define FEXIT_WAYS(name, hook, kind, slot, take)                                                   \
	FEXIT_LOOKED_UP(name, hook, kind, slot, take)                                              \
	FEXIT_WX(name, hook, kind, slot, take)

FEXIT_WAYS(fexit_mmap, SYSCALL(MMAP_EVENT), MMAP_MAP, MMAP_MAP, fexit_64)
FEXIT_WAYS(fexit_mprotect, SYSCALL("mprotect"), MMAP_PROTECT, MMAP_PROTECT, fexit_mprotect_64)
FEXIT_WAYS(fexit_pkey, SYSCALL("pkey_mprotect"), MMAP_PROTECT, MMAP_SLOT_PKEY, fexit_64)
FEXIT_LOOKED_UP(fexit_mremap, SYSCALL("mremap"), MMAP_REMAP, MMAP_REMAP, fexit_64)
FEXIT(fexit_brk, SYSCALL("brk"), MMAP_BREAK, fexit_64)
FEXIT_WX(fexit_brk, SYSCALL("brk"), MMAP_BREAK, MMAP_BREAK, fexit_64)
FEXIT_WX(fexit_shmat, SYSCALL("shmat"), MMAP_ATTACH, MMAP_ATTACH, fexit_64)
FEXIT(fexit_munmap, SYSCALL("munmap"), MMAP_UNMAP, fexit_64)
FEXIT(fexit_madvise, SYSCALL("madvise"), MMAP_ADVISE, fexit_64)

#if HAS_COMPAT
FEXIT_WAYS(fexit32_mmap, COMPAT_SYSCALL_MMAP2, MMAP_MAP, MMAP_SLOT_32(MMAP_MAP), fexit_mmap2)
#endif
#if HAS_COMPAT_ENTRIES
FEXIT_WAYS(fexit32_old_mmap, COMPAT_SYSCALL_OLD_MMAP, MMAP_MAP, MMAP_SLOT_OLD_MMAP, fexit_in_memory)
FEXIT_WAYS(fexit32_mprotect, COMPAT_SYSCALL("mprotect"), MMAP_PROTECT, MMAP_SLOT_32(MMAP_PROTECT),
	   fexit_mprotect_32)
FEXIT32(fexit32_brk, COMPAT_SYSCALL("brk"), MMAP_BREAK, fexit_32)
FEXIT_WX(fexit32_brk, COMPAT_SYSCALL("brk"), MMAP_BREAK, MMAP_SLOT_32(MMAP_BREAK), fexit_32)
FEXIT32(fexit32_munmap, COMPAT_SYSCALL("munmap"), MMAP_UNMAP, fexit_32)
FEXIT32(fexit32_mremap, COMPAT_SYSCALL("mremap"), MMAP_REMAP, fexit_32)
FEXIT32(fexit32_madvise, COMPAT_SYSCALL("madvise"), MMAP_ADVISE, fexit_32)
#endif

#define FENTRY(name, hook)                                                                         \
	SEC("fentry/" hook)                                                                        \
	int name(__u64 *ctx)                                                                       \
	{                                                                                          \
		(void)ctx;                                                                         \
		return mmap_enter();                                                               \
	}

FENTRY(fentry_mmap, SYSCALL(MMAP_EVENT))
#if HAS_COMPAT
FENTRY(fentry32_mmap, COMPAT_SYSCALL_MMAP2)
#endif
#if HAS_COMPAT_ENTRIES
FENTRY(fentry32_old_mmap, COMPAT_SYSCALL_OLD_MMAP)
#endif

/* ---- backend tracepoint: every system call of the machine pays a little ---- */

/*
 * The result comes from the registers too: if a kernel's tracepoints have another
 * common header than its BTF (5.14 of RHEL 9), ctx->ret would be another field.
 */
static __always_inline bool tp_take(struct task_struct *task, struct mmap_call *call)
{
	struct pt_regs *regs = (void *)bpf_task_pt_regs(task);

	if (!mmap_take_regs(call, regs))
		return false;
	call->ret = seccomp_result(regs, SYSCALL_RESULT(regs));
	return true;
}

static __always_inline bool tp_take_mprotect(struct task_struct *task, struct mmap_call *call)
{
	bool taken = tp_take(task, call);

	call->fd = -1;
	return taken;
}

#define TP_SLOT(name, event, kind, slot, take, done)                                               \
	SEC("tp/syscalls/sys_exit_" event)                                                         \
	int name(void *ctx)                                                                        \
	{                                                                                          \
		struct task_struct *task = bpf_get_current_task_btf();                             \
		struct mmap_call call;                                                             \
                                                                                                   \
		return mmap_begin(task, &call, kind, slot) && take(task, &call)                    \
			       ? done(ctx, task, &call)                                            \
			       : 0;                                                                \
	}

#define TP(name, event, kind, take) TP_SLOT(name, event, kind, kind, take, mmap_plain)

/* For calls whose mapping may be looked up: a program for each way to do it. */
#define TP_LOOKED_UP(name, event, kind, slot, take)                                                \
	TP_SLOT(name, event, kind, slot, take, mmap_plain)                                         \
	TP_SLOT(name##_vma, event, kind, slot, take, mmap_with_vma)                                \
	TP_SLOT(name##_list, event, kind, slot, take, mmap_with_list)

TP_LOOKED_UP(tp_mmap, MMAP_EVENT, MMAP_MAP, MMAP_MAP, tp_take)
TP_LOOKED_UP(tp_mprotect, "mprotect", MMAP_PROTECT, MMAP_PROTECT, tp_take_mprotect)
TP_LOOKED_UP(tp_pkey, "pkey_mprotect", MMAP_PROTECT, MMAP_SLOT_PKEY, tp_take)
TP_LOOKED_UP(tp_mremap, "mremap", MMAP_REMAP, MMAP_REMAP, tp_take)
TP(tp_brk, "brk", MMAP_BREAK, tp_take)
TP(tp_munmap, "munmap", MMAP_UNMAP, tp_take)
TP(tp_madvise, "madvise", MMAP_ADVISE, tp_take)

SEC("tp/syscalls/sys_enter_" MMAP_EVENT)
int tp_enter_mmap(__u64 *ctx)
{
	(void)ctx;
	return mmap_enter();
}

/* ---- backend tp_btf: others pay more, but it needs neither tracefs nor 5.15 ---- */

#define MMAP_NUMBERS 512 /* more than there are system calls */

/* A system call by its number, for programs of the kernel's own kind and for 32-bit ones. */
struct mmap_number {
	__u8 kind; /* enum mmap_kind; 0: another call */
	__u8 kind32;
};

/* One look for each system call of the machine: most are others. */
static const struct mmap_number mmap_numbers[MMAP_NUMBERS] = {
	[NR_MMAP].kind = MMAP_MAP,
	[NR_MUNMAP].kind = MMAP_UNMAP,
	[NR_MPROTECT].kind = MMAP_PROTECT,
	[NR_PKEY_MPROTECT].kind = MMAP_PROTECT,
	[NR_MREMAP].kind = MMAP_REMAP,
	[NR_BRK].kind = MMAP_BREAK,
	[NR_MADVISE].kind = MMAP_ADVISE,
	[NR_SHMAT].kind = MMAP_ATTACH,
#if HAS_COMPAT
#ifdef COMPAT_NR_OLD_MMAP
	[COMPAT_NR_OLD_MMAP].kind32 = MMAP_MAP,
#endif
	[COMPAT_NR_MMAP2].kind32 = MMAP_MAP,
	[COMPAT_NR_MUNMAP].kind32 = MMAP_UNMAP,
	[COMPAT_NR_MPROTECT].kind32 = MMAP_PROTECT,
	[COMPAT_NR_PKEY_MPROTECT].kind32 = MMAP_PROTECT,
	[COMPAT_NR_MREMAP].kind32 = MMAP_REMAP,
	[COMPAT_NR_BRK].kind32 = MMAP_BREAK,
	[COMPAT_NR_MADVISE].kind32 = MMAP_ADVISE,
#endif
};

/* The last number stands for all that are greater: it is another call, too. */
static __always_inline const struct mmap_number *mmap_look_up(__u64 nr)
{
	return &mmap_numbers[AT_MOST(nr, MMAP_NUMBERS - 1)];
}

static __always_inline void mmap_take_compat(struct mmap_call *call, const struct pt_regs *regs,
					     __u64 nr)
{
#if HAS_COMPAT
	__u64 arg[6];

	args_compat(regs, arg);
#ifdef COMPAT_NR_OLD_MMAP
	if (nr == COMPAT_NR_OLD_MMAP)
		compat_args_in_memory(arg);
	else
#endif
		if (nr == COMPAT_NR_MMAP2)
		arg[5] <<= PAGES_OF_MMAP2;
	mmap_take(call, arg);
	call->compat = true;
	if (nr == COMPAT_NR_MPROTECT)
		call->fd = -1;
#endif
}

/* Whether programs of either kind have a call of this number that may be shown. */
static __always_inline bool mmap_may_show(struct pt_regs *regs)
{
	const struct mmap_number *number = mmap_look_up(SYSCALL_NR(regs));

	return number->kind | number->kind32;
}

/* Whether this system call, of such a number, is shown; if so, fills `call`. */
static __always_inline bool mmap_call_raw(struct task_struct *task, struct pt_regs *regs,
					  struct mmap_call *call)
{
	__u64 nr = SYSCALL_NR(regs);
	const struct mmap_number *number = mmap_look_up(nr);
	enum mmap_kind kind = number->kind, kind32 = number->kind32;

	/* The same number is another system call for a 32-bit program: 9 is link() on x86. */
	if (!caller_is_compat(task, regs)) {
		if (!kind || !mmap_shows(kind) || !mmap_begin(task, call, kind, kind) ||
		    !mmap_take_regs(call, regs))
			return false;
		if (nr == NR_MPROTECT)
			call->fd = -1;
	} else {
		if (!kind32 || !mmap_shows(kind32) || !mmap_begin(task, call, kind32, kind32))
			return false;
		mmap_take_compat(call, regs, nr);
	}
	call->ret = seccomp_result(regs, SYSCALL_RESULT(regs));
	return true;
}

#define BTF_SYS_EXIT(name, done)                                                                   \
	SEC("tp_btf/sys_exit")                                                                     \
	int name(__u64 *ctx)                                                                       \
	{                                                                                          \
		struct pt_regs *regs = (void *)ctx[0];                                             \
		struct task_struct *task;                                                          \
		struct mmap_call call;                                                             \
                                                                                                   \
		if (!mmap_may_show(regs))                                                          \
			return 0;                                                                  \
		task = typed_task();                                                               \
		return mmap_call_raw(task, regs, &call) ? done(ctx, task, &call) : 0;              \
	}

BTF_SYS_EXIT(btf_sys_exit, mmap_plain)
BTF_SYS_EXIT(btf_sys_exit_vma, mmap_with_vma)
BTF_SYS_EXIT(btf_sys_exit_list, mmap_with_list)
BTF_SYS_EXIT(btf_sys_exit_wx, mmap_wx)
BTF_SYS_EXIT(btf_sys_exit_wx_vma, mmap_wx_with_vma)
BTF_SYS_EXIT(btf_sys_exit_wx_list, mmap_wx_with_list)

/*
 * --wx at classic tracepoints: one program for the calls of all, to which user space attaches it.
 * It is long, and so is loaded once.
 */
#define TP_ANY(name, done)                                                                         \
	SEC("tp/syscalls/sys_exit_" MMAP_EVENT)                                                    \
	int name(void *ctx)                                                                        \
	{                                                                                          \
		struct task_struct *task = bpf_get_current_task_btf();                             \
		struct pt_regs *regs = (void *)bpf_task_pt_regs(task);                             \
		struct mmap_call call;                                                             \
                                                                                                   \
		return mmap_call_raw(task, regs, &call) ? done(ctx, task, &call) : 0;              \
	}

TP_ANY(tp_wx, mmap_wx)
TP_ANY(tp_wx_vma, mmap_wx_with_vma)
TP_ANY(tp_wx_list, mmap_wx_with_list)

SEC("tp_btf/sys_enter")
int btf_sys_enter(__u64 *ctx)
{
	const struct mmap_number *number = mmap_look_up(ctx[1]);

	if (number->kind != MMAP_MAP && number->kind32 != MMAP_MAP)
		return 0;
	return mmap_enter();
}

/* ---- with backend fexit: calls that a seccomp filter refuses ---- */

static __always_inline bool mmap_take_refused(struct task_struct *task, struct mmap_call *call,
					      struct pt_regs *regs, long ret, __u32 slot)
{
	if (!mmap_may_show(regs) || !mmap_call_raw(task, regs, call))
		return false;
	call->ret = ret;
	call->slot = slot;
	return true;
}

static __always_inline int mmap_refused(void *ctx, struct pt_regs *regs, long ret, __u32 slot)
{
	struct task_struct *task = typed_task();
	struct mmap_call call;

	return mmap_take_refused(task, &call, regs, ret, slot) ? mmap_plain(ctx, task, &call) : 0;
}

static __always_inline int mmap_wx_refused(void *ctx, struct pt_regs *regs, long ret, __u32 slot)
{
	struct task_struct *task = typed_task();
	struct mmap_call call;

	return mmap_take_refused(task, &call, regs, ret, slot) ? mmap_wx(ctx, task, &call) : 0;
}

SECCOMP_PROGRAMS(seccomp, mmap_refused, MMAP_SLOT_REFUSED, MMAP_SLOT_KILLED)
SECCOMP_PROGRAMS(seccomp_wx, mmap_wx_refused, MMAP_SLOT_REFUSED, MMAP_SLOT_KILLED)

char LICENSE[] SEC("license") = "Dual BSD/GPL";
