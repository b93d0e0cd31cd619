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

static __always_inline bool task_is_compat(void)
{
#ifdef __TARGET_ARCH_x86
	if (task_is_typed())
		return bpf_get_current_task_btf()->thread_info.status & TS_COMPAT;
	return BPF_CORE_READ((struct task_struct *)bpf_get_current_task(), thread_info.status) &
	       TS_COMPAT;
#else
	return false;
#endif
}

#ifdef __TARGET_ARCH_x86
static __always_inline void args_ia32(const struct pt_regs *regs, __u64 *arg)
{
	arg[0] = (__u32)regs->bx;
	arg[1] = (__u32)regs->cx;
	arg[2] = (__u32)regs->dx;
	arg[3] = (__u32)regs->si;
	arg[4] = (__u32)regs->di;
	arg[5] = (__u32)regs->bp;
}

/* mmap() of i386 takes one argument, the address of six. */
static __always_inline void ia32_args_in_memory(__u64 *arg)
{
	__u32 in_memory[6] = {};

	bpf_probe_read_user(in_memory, sizeof(in_memory), (void *)arg[0]);
	for (int i = 0; i < 6; i++)
		arg[i] = in_memory[i];
}

#define PAGES_OF_MMAP2 12 /* mmap2() of i386 counts the offset in units of 4096 bytes */
#endif

/* ---- backend fexit: other system calls pay nothing, 32-bit callers are seen ---- */

#ifdef __TARGET_ARCH_x86
/*
 * On the system calls themselves: their common function, ksys_mmap_pgoff(), is inlined
 * in some kernels, and does not see calls that are refused before it.
 *
 * The saved registers are their only argument, and the task's (5.15). In older kernels
 * they are copied, without their type: BTF of 5.10 has only a forward declaration for
 * some system calls, which the verifier refuses to follow.
 */
static __always_inline const struct pt_regs *fexit_regs(__u64 *ctx, struct pt_regs *copy)
{
	struct pt_regs *regs;

	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs))
		return (void *)bpf_task_pt_regs(bpf_get_current_task_btf());
	bpf_probe_read_kernel(&regs, sizeof(regs), ctx);
	bpf_probe_read_kernel(copy, sizeof(*copy), regs);
	return copy;
}

static __always_inline bool fexit_64(struct mmap_call *call, __u64 *ctx)
{
	struct pt_regs copy;

	call->ret = ctx[1];
	return mmap_take_regs(call, fexit_regs(ctx, &copy));
}

/* The fourth argument is the key of pkey_mprotect(), and means nothing for mprotect(). */
static __always_inline bool fexit_mprotect_64(struct mmap_call *call, __u64 *ctx)
{
	bool taken = fexit_64(call, ctx);

	call->fd = -1;
	return taken;
}

static __always_inline bool fexit_32(struct mmap_call *call, __u64 *ctx)
{
	struct pt_regs copy;
	__u64 arg[6];

	args_ia32(fexit_regs(ctx, &copy), arg);
	mmap_take(call, arg);
	call->ret = ctx[1];
	call->compat = true;
	return true;
}

static __always_inline bool fexit_mprotect_32(struct mmap_call *call, __u64 *ctx)
{
	fexit_32(call, ctx);
	call->fd = -1;
	return true;
}

static __always_inline bool fexit_mmap2(struct mmap_call *call, __u64 *ctx)
{
	fexit_32(call, ctx);
	call->offset <<= PAGES_OF_MMAP2;
	return true;
}

static __always_inline bool fexit_in_memory(struct mmap_call *call, __u64 *ctx)
{
	struct pt_regs copy;
	__u64 arg[6];

	args_ia32(fexit_regs(ctx, &copy), arg);
	ia32_args_in_memory(arg);
	mmap_take(call, arg);
	call->ret = ctx[1];
	call->compat = true;
	return true;
}

#define FEXIT_SLOT(name, hook, kind, slot, take, done)                                             \
	SEC("fexit/" hook)                                                                         \
	int name(__u64 *ctx)                                                                       \
	{                                                                                          \
		struct mmap_call call;                                                             \
                                                                                                   \
		return mmap_begin(&call, kind, slot) && take(&call, ctx) ? done(ctx, &call) : 0;   \
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

#define HOOK_MMAP "__x64_sys_mmap"
#define HOOK_MMAP2 "__ia32_sys_mmap_pgoff"
#define HOOK_OLD_MMAP "__ia32_compat_sys_ia32_mmap"

FEXIT_WAYS(fexit_mmap, HOOK_MMAP, MMAP_MAP, MMAP_MAP, fexit_64)
FEXIT_WAYS(fexit_mprotect, "__x64_sys_mprotect", MMAP_PROTECT, MMAP_PROTECT, fexit_mprotect_64)
FEXIT_WAYS(fexit_pkey, "__x64_sys_pkey_mprotect", MMAP_PROTECT, MMAP_SLOT_PKEY, fexit_64)
FEXIT_LOOKED_UP(fexit_mremap, "__x64_sys_mremap", MMAP_REMAP, MMAP_REMAP, fexit_64)
FEXIT(fexit_brk, "__x64_sys_brk", MMAP_BREAK, fexit_64)
FEXIT_WX(fexit_brk, "__x64_sys_brk", MMAP_BREAK, MMAP_BREAK, fexit_64)
FEXIT_WX(fexit_shmat, "__x64_sys_shmat", MMAP_ATTACH, MMAP_ATTACH, fexit_64)
FEXIT(fexit_munmap, "__x64_sys_munmap", MMAP_UNMAP, fexit_64)
FEXIT(fexit_madvise, "__x64_sys_madvise", MMAP_ADVISE, fexit_64)

FEXIT_WAYS(fexit32_mmap, HOOK_MMAP2, MMAP_MAP, MMAP_SLOT_32(MMAP_MAP), fexit_mmap2)
FEXIT_WAYS(fexit32_old_mmap, HOOK_OLD_MMAP, MMAP_MAP, MMAP_SLOT_OLD_MMAP, fexit_in_memory)
FEXIT_WAYS(fexit32_mprotect, "__ia32_sys_mprotect", MMAP_PROTECT, MMAP_SLOT_32(MMAP_PROTECT),
	   fexit_mprotect_32)
FEXIT32(fexit32_brk, "__ia32_sys_brk", MMAP_BREAK, fexit_32)
FEXIT_WX(fexit32_brk, "__ia32_sys_brk", MMAP_BREAK, MMAP_SLOT_32(MMAP_BREAK), fexit_32)
FEXIT32(fexit32_munmap, "__ia32_sys_munmap", MMAP_UNMAP, fexit_32)
FEXIT32(fexit32_mremap, "__ia32_sys_mremap", MMAP_REMAP, fexit_32)
FEXIT32(fexit32_madvise, "__ia32_sys_madvise", MMAP_ADVISE, fexit_32)

#define FENTRY(name, hook)                                                                         \
	SEC("fentry/" hook)                                                                        \
	int name(__u64 *ctx)                                                                       \
	{                                                                                          \
		(void)ctx;                                                                         \
		return mmap_enter();                                                               \
	}

FENTRY(fentry_mmap, HOOK_MMAP)
FENTRY(fentry32_mmap, HOOK_MMAP2)
FENTRY(fentry32_old_mmap, HOOK_OLD_MMAP)
#endif

/* ---- backend tracepoint: every system call of the machine pays a little ---- */

/*
 * The result comes from the registers too: if a kernel's tracepoints have another
 * common header than its BTF (5.14 of RHEL 9), ctx->ret would be another field.
 */
static __always_inline bool tp_take(struct mmap_call *call)
{
	struct pt_regs *regs = (void *)bpf_task_pt_regs(bpf_get_current_task_btf());

	if (!mmap_take_regs(call, regs))
		return false;
	call->ret = seccomp_result(PT_REGS_RC(regs));
	return true;
}

static __always_inline bool tp_take_mprotect(struct mmap_call *call)
{
	bool taken = tp_take(call);

	call->fd = -1;
	return taken;
}

#define TP_SLOT(name, event, kind, slot, take, done)                                               \
	SEC("tp/syscalls/sys_exit_" event)                                                         \
	int name(void *ctx)                                                                        \
	{                                                                                          \
		struct mmap_call call;                                                             \
                                                                                                   \
		return mmap_begin(&call, kind, slot) && take(&call) ? done(ctx, &call) : 0;        \
	}

#define TP(name, event, kind, take) TP_SLOT(name, event, kind, kind, take, mmap_plain)

#define TP_WX(name, event, kind, slot, take)                                                       \
	TP_SLOT(name##_wx, event, kind, slot, take, mmap_wx)                                       \
	TP_SLOT(name##_wx_vma, event, kind, slot, take, mmap_wx_with_vma)                          \
	TP_SLOT(name##_wx_list, event, kind, slot, take, mmap_wx_with_list)

#define TP_LOOKED_UP(name, event, kind, slot, take)                                                \
	TP_SLOT(name, event, kind, slot, take, mmap_plain)                                         \
	TP_SLOT(name##_vma, event, kind, slot, take, mmap_with_vma)                                \
	TP_SLOT(name##_list, event, kind, slot, take, mmap_with_list)

#define TP_WAYS(name, event, kind, slot, take)                                                     \
	TP_LOOKED_UP(name, event, kind, slot, take)                                                \
	TP_WX(name, event, kind, slot, take)

TP_WAYS(tp_mmap, "mmap", MMAP_MAP, MMAP_MAP, tp_take)
TP_WAYS(tp_mprotect, "mprotect", MMAP_PROTECT, MMAP_PROTECT, tp_take_mprotect)
TP_WAYS(tp_pkey, "pkey_mprotect", MMAP_PROTECT, MMAP_SLOT_PKEY, tp_take)
TP_LOOKED_UP(tp_mremap, "mremap", MMAP_REMAP, MMAP_REMAP, tp_take)
TP(tp_brk, "brk", MMAP_BREAK, tp_take)
TP_WX(tp_brk, "brk", MMAP_BREAK, MMAP_BREAK, tp_take)
TP_WX(tp_shmat, "shmat", MMAP_ATTACH, MMAP_ATTACH, tp_take)
TP(tp_munmap, "munmap", MMAP_UNMAP, tp_take)
TP(tp_madvise, "madvise", MMAP_ADVISE, tp_take)

SEC("tp/syscalls/sys_enter_mmap")
int tp_enter_mmap(__u64 *ctx)
{
	(void)ctx;
	return mmap_enter();
}

/* ---- backend tp_btf: others pay more, but it needs neither tracefs nor 5.15 ---- */

#ifdef __TARGET_ARCH_x86
#define NR_MMAP 9
#define NR_MPROTECT 10
#define NR_MUNMAP 11
#define NR_BRK 12
#define NR_MREMAP 25
#define NR_MADVISE 28
#define NR_SHMAT 30
#define NR_PKEY_MPROTECT 329

#define NR_IA32_BRK 45
#define NR_IA32_MMAP 90 /* its arguments lie in memory */
#define NR_IA32_MUNMAP 91
#define NR_IA32_MPROTECT 125
#define NR_IA32_MREMAP 163
#define NR_IA32_MMAP2 192 /* its offset counts 4096 bytes */
#define NR_IA32_MADVISE 219
#define NR_IA32_PKEY_MPROTECT 380

static __always_inline enum mmap_kind mmap_kind_of(__u64 nr)
{
	switch (nr) {
	case NR_MMAP:
		return MMAP_MAP;
	case NR_MUNMAP:
		return MMAP_UNMAP;
	case NR_MPROTECT:
	case NR_PKEY_MPROTECT:
		return MMAP_PROTECT;
	case NR_MREMAP:
		return MMAP_REMAP;
	case NR_BRK:
		return MMAP_BREAK;
	case NR_MADVISE:
		return MMAP_ADVISE;
	case NR_SHMAT:
		return MMAP_ATTACH;
	}
	return 0;
}

static __always_inline enum mmap_kind mmap_kind_of_ia32(__u64 nr)
{
	switch (nr) {
	case NR_IA32_MMAP:
	case NR_IA32_MMAP2:
		return MMAP_MAP;
	case NR_IA32_MUNMAP:
		return MMAP_UNMAP;
	case NR_IA32_MPROTECT:
	case NR_IA32_PKEY_MPROTECT:
		return MMAP_PROTECT;
	case NR_IA32_MREMAP:
		return MMAP_REMAP;
	case NR_IA32_BRK:
		return MMAP_BREAK;
	case NR_IA32_MADVISE:
		return MMAP_ADVISE;
	}
	return 0;
}

/* Whether this system call is shown; if so, fills `call`. */
static __always_inline bool mmap_call_raw(struct pt_regs *regs, struct mmap_call *call)
{
	__u64 nr = regs->orig_ax;
	enum mmap_kind kind = mmap_kind_of(nr), kind32 = mmap_kind_of_ia32(nr);

	if ((!kind || !mmap_shows(kind)) && (!kind32 || !mmap_shows(kind32)))
		return false;
	/* The same number is another system call for a 32-bit program: 9 is link(). */
	if (!task_is_compat()) {
		if (!kind || !mmap_shows(kind) || !mmap_begin(call, kind, kind) ||
		    !mmap_take_regs(call, regs))
			return false;
		if (nr == NR_MPROTECT)
			call->fd = -1;
	} else {
		__u64 arg[6];

		if (!kind32 || !mmap_shows(kind32) || !mmap_begin(call, kind32, kind32))
			return false;
		args_ia32(regs, arg);
		if (nr == NR_IA32_MMAP)
			ia32_args_in_memory(arg);
		else if (nr == NR_IA32_MMAP2)
			arg[5] <<= PAGES_OF_MMAP2;
		mmap_take(call, arg);
		call->compat = true;
		if (nr == NR_IA32_MPROTECT)
			call->fd = -1;
	}
	call->ret = seccomp_result(regs->ax);
	return true;
}

#define BTF_SYS_EXIT(name, done)                                                                   \
	SEC("tp_btf/sys_exit")                                                                     \
	int name(__u64 *ctx)                                                                       \
	{                                                                                          \
		struct mmap_call call;                                                             \
                                                                                                   \
		return mmap_call_raw((void *)ctx[0], &call) ? done(ctx, &call) : 0;                \
	}

BTF_SYS_EXIT(btf_sys_exit, mmap_plain)
BTF_SYS_EXIT(btf_sys_exit_vma, mmap_with_vma)
BTF_SYS_EXIT(btf_sys_exit_list, mmap_with_list)
BTF_SYS_EXIT(btf_sys_exit_wx, mmap_wx)
BTF_SYS_EXIT(btf_sys_exit_wx_vma, mmap_wx_with_vma)
BTF_SYS_EXIT(btf_sys_exit_wx_list, mmap_wx_with_list)

SEC("tp_btf/sys_enter")
int btf_sys_enter(__u64 *ctx)
{
	__u64 nr = ctx[1];

	if (nr != NR_MMAP && nr != NR_IA32_MMAP && nr != NR_IA32_MMAP2)
		return 0;
	return mmap_enter();
}

/* ---- with backend fexit: calls that a seccomp filter refuses ---- */

static __always_inline bool mmap_take_refused(struct mmap_call *call, struct pt_regs *regs,
					      long ret, __u32 slot)
{
	if (!mmap_call_raw(regs, call))
		return false;
	call->ret = ret;
	call->slot = slot;
	return true;
}

static __always_inline int mmap_refused(void *ctx, struct pt_regs *regs, long ret, __u32 slot)
{
	struct mmap_call call;

	return mmap_take_refused(&call, regs, ret, slot) ? mmap_plain(ctx, &call) : 0;
}

static __always_inline int mmap_wx_refused(void *ctx, struct pt_regs *regs, long ret, __u32 slot)
{
	struct mmap_call call;

	return mmap_take_refused(&call, regs, ret, slot) ? mmap_wx(ctx, &call) : 0;
}

SECCOMP_PROGRAMS(seccomp, mmap_refused, MMAP_SLOT_REFUSED, MMAP_SLOT_KILLED)
SECCOMP_PROGRAMS(seccomp_wx, mmap_wx_refused, MMAP_SLOT_REFUSED, MMAP_SLOT_KILLED)
#endif

char LICENSE[] SEC("license") = "Dual BSD/GPL";
