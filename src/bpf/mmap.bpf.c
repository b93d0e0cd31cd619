// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * mmapsnoop: memory mappings.
 *
 * One program sees arguments and result of a call when it returns, from the function's
 * arguments or from the saved registers. So there is no map of calls in flight, which
 * could fill up or miss calls that were under way when tracing began.
 *
 * Programs with _vma also look up the mapping that came out: bpf_find_vma() came with
 * 5.17, and older kernels refuse programs that only mention a callback.
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "mmap.bpf.h"

/* ---- the mapping that came out ---- */

static long mmap_copy_vma(struct task_struct *task, struct vm_area_struct *vma, void *data)
{
	struct mmap_found *found = data;

	(void)task;
	found->start = vma->vm_start;
	found->end = vma->vm_end;
	found->flags = vma->vm_flags;
	found->file = vma->vm_file;
	found->anon_vma = (__u64)vma->anon_vma;
	found->known = true;
	return 0;
}

/* Not found if someone else changes mappings of this process just now. */
static __always_inline void mmap_find(const struct mmap_call *call, struct mmap_found *found)
{
	__u64 at = call->kind == MMAP_PROTECT ? call->addr : (__u64)call->ret;

	if (!mmap_failed(call) && call->len)
		bpf_find_vma(bpf_get_current_task_btf(), at, mmap_copy_vma, found, 0);
}

static __always_inline int mmap_plain(void *ctx, const struct mmap_call *call)
{
	struct mmap_found found = {};

	return mmap_done(ctx, call, &found);
}

static __always_inline int mmap_with_vma(void *ctx, const struct mmap_call *call)
{
	struct mmap_found found = {};

	if (mmap_passes(call))
		mmap_find(call, &found);
	return mmap_done(ctx, call, &found);
}

/* ---- from arguments to a call ---- */

/* The six arguments in the order of the system call, whatever it is. */
static __always_inline struct mmap_call mmap_call_of(enum mmap_kind kind, const __u64 *arg,
						     __s64 ret)
{
	struct mmap_call call = { .kind = kind, .addr = arg[0], .len = arg[1], .ret = ret };

	call.fd = -1;
	switch (kind) {
	case MMAP_MAP:
		call.prot = arg[2];
		call.flags = arg[3];
		call.fd = arg[4];
		call.offset = arg[5];
		break;
	case MMAP_PROTECT:
		call.prot = arg[2];
		call.fd = arg[3];
		break;
	case MMAP_REMAP:
		call.offset = arg[2];
		call.flags = arg[3];
		call.prot = arg[4];
		break;
	case MMAP_BREAK:
		call.len = 0;
		break;
	case MMAP_ADVISE:
		call.prot = arg[2];
		break;
	case MMAP_UNMAP:
		break;
	}
	return call;
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
static __always_inline void args_64(const struct pt_regs *regs, __u64 *arg)
{
	arg[0] = regs->di;
	arg[1] = regs->si;
	arg[2] = regs->dx;
	arg[3] = regs->r10;
	arg[4] = regs->r8;
	arg[5] = regs->r9;
}

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
 * On the system calls themselves, since what they have in common, ksys_mmap_pgoff(), is a
 * part of them in some kernels, and does not see what is refused before.
 *
 * The saved registers are their only argument, and the task's (5.15). In older kernels they
 * are copied, without their type: BTF of 5.10 knows it for some system calls as a forward
 * declaration, which the verifier refuses to follow.
 */
static __always_inline void fexit_args(__u64 *ctx, __u64 *arg, const bool ia32)
{
	void (*args)(const struct pt_regs *, __u64 *) = ia32 ? args_ia32 : args_64;
	struct pt_regs *regs, copy;

	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs)) {
		args((void *)bpf_task_pt_regs(bpf_get_current_task_btf()), arg);
		return;
	}
	bpf_probe_read_kernel(&regs, sizeof(regs), ctx);
	bpf_probe_read_kernel(&copy, sizeof(copy), regs);
	args(&copy, arg);
}

static __always_inline struct mmap_call mmap_call_64(enum mmap_kind kind, __u64 *ctx)
{
	__u64 arg[6];

	fexit_args(ctx, arg, false);
	return mmap_call_of(kind, arg, ctx[1]);
}

/* Of mprotect() the fourth argument means nothing, of pkey_mprotect() it is the key. */
static __always_inline struct mmap_call mmap_call_mprotect_64(enum mmap_kind kind, __u64 *ctx)
{
	struct mmap_call call = mmap_call_64(kind, ctx);

	call.fd = -1;
	return call;
}

static __always_inline struct mmap_call mmap_call_32(enum mmap_kind kind, __u64 *ctx)
{
	struct mmap_call call;
	__u64 arg[6];

	fexit_args(ctx, arg, true);
	call = mmap_call_of(kind, arg, ctx[1]);
	call.compat = true;
	return call;
}

static __always_inline struct mmap_call mmap_call_mprotect_32(enum mmap_kind kind, __u64 *ctx)
{
	struct mmap_call call = mmap_call_32(kind, ctx);

	call.fd = -1;
	return call;
}

static __always_inline struct mmap_call mmap_call_mmap2(enum mmap_kind kind, __u64 *ctx)
{
	struct mmap_call call = mmap_call_32(kind, ctx);

	call.offset <<= PAGES_OF_MMAP2;
	return call;
}

static __always_inline struct mmap_call mmap_call_in_memory(enum mmap_kind kind, __u64 *ctx)
{
	struct mmap_call call;
	__u64 arg[6];

	fexit_args(ctx, arg, true);
	ia32_args_in_memory(arg);
	call = mmap_call_of(kind, arg, ctx[1]);
	call.compat = true;
	return call;
}

#define FEXIT(name, hook, kind, call_of, done)                                                     \
	SEC("fexit/" hook)                                                                         \
	int name(__u64 *ctx)                                                                       \
	{                                                                                          \
		struct mmap_call call;                                                             \
                                                                                                   \
		if (!filter_allows_current())                                                      \
			return 0;                                                                  \
		call = call_of(kind, ctx);                                                         \
		return done(ctx, &call);                                                           \
	}

#define HOOK_MMAP "__x64_sys_mmap"
#define HOOK_MMAP2 "__ia32_sys_mmap_pgoff"
#define HOOK_OLD_MMAP "__ia32_compat_sys_ia32_mmap"

FEXIT(fexit_mmap, HOOK_MMAP, MMAP_MAP, mmap_call_64, mmap_plain)
FEXIT(fexit_mmap_vma, HOOK_MMAP, MMAP_MAP, mmap_call_64, mmap_with_vma)
FEXIT(fexit_munmap, "__x64_sys_munmap", MMAP_UNMAP, mmap_call_64, mmap_plain)
FEXIT(fexit_mprotect, "__x64_sys_mprotect", MMAP_PROTECT, mmap_call_mprotect_64, mmap_plain)
FEXIT(fexit_mprotect_vma, "__x64_sys_mprotect", MMAP_PROTECT, mmap_call_mprotect_64, mmap_with_vma)
FEXIT(fexit_pkey, "__x64_sys_pkey_mprotect", MMAP_PROTECT, mmap_call_64, mmap_plain)
FEXIT(fexit_pkey_vma, "__x64_sys_pkey_mprotect", MMAP_PROTECT, mmap_call_64, mmap_with_vma)
FEXIT(fexit_mremap, "__x64_sys_mremap", MMAP_REMAP, mmap_call_64, mmap_plain)
FEXIT(fexit_mremap_vma, "__x64_sys_mremap", MMAP_REMAP, mmap_call_64, mmap_with_vma)
FEXIT(fexit_brk, "__x64_sys_brk", MMAP_BREAK, mmap_call_64, mmap_plain)
FEXIT(fexit_madvise, "__x64_sys_madvise", MMAP_ADVISE, mmap_call_64, mmap_plain)

FEXIT(fexit32_mmap, HOOK_MMAP2, MMAP_MAP, mmap_call_mmap2, mmap_plain)
FEXIT(fexit32_mmap_vma, HOOK_MMAP2, MMAP_MAP, mmap_call_mmap2, mmap_with_vma)
FEXIT(fexit32_old_mmap, HOOK_OLD_MMAP, MMAP_MAP, mmap_call_in_memory, mmap_plain)
FEXIT(fexit32_old_mmap_vma, HOOK_OLD_MMAP, MMAP_MAP, mmap_call_in_memory, mmap_with_vma)
FEXIT(fexit32_munmap, "__ia32_sys_munmap", MMAP_UNMAP, mmap_call_32, mmap_plain)
FEXIT(fexit32_mprotect, "__ia32_sys_mprotect", MMAP_PROTECT, mmap_call_mprotect_32, mmap_plain)
FEXIT(fexit32_mprotect_vma, "__ia32_sys_mprotect", MMAP_PROTECT, mmap_call_mprotect_32,
      mmap_with_vma)
FEXIT(fexit32_mremap, "__ia32_sys_mremap", MMAP_REMAP, mmap_call_32, mmap_plain)
FEXIT(fexit32_brk, "__ia32_sys_brk", MMAP_BREAK, mmap_call_32, mmap_plain)
FEXIT(fexit32_madvise, "__ia32_sys_madvise", MMAP_ADVISE, mmap_call_32, mmap_plain)

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
 * The result is taken from the registers too: where a kernel's tracepoints have another
 * common header than its BTF says (5.14 of RHEL 9), ctx->ret would be something else.
 */
static __always_inline struct mmap_call mmap_call_current(enum mmap_kind kind)
{
	struct pt_regs *regs = (void *)bpf_task_pt_regs(bpf_get_current_task_btf());
	__u64 arg[6] = {
		PT_REGS_PARM1_SYSCALL(regs), PT_REGS_PARM2_SYSCALL(regs),
		PT_REGS_PARM3_SYSCALL(regs), PT_REGS_PARM4_SYSCALL(regs),
		PT_REGS_PARM5_SYSCALL(regs), PT_REGS_PARM6_SYSCALL(regs),
	};

	return mmap_call_of(kind, arg, PT_REGS_RC(regs));
}

static __always_inline struct mmap_call mmap_call_mprotect(enum mmap_kind kind)
{
	struct mmap_call call = mmap_call_current(kind);

	call.fd = -1;
	return call;
}

#define TP(name, event, kind, call_of, done)                                                       \
	SEC("tp/syscalls/sys_exit_" event)                                                         \
	int name(void *ctx)                                                                        \
	{                                                                                          \
		struct mmap_call call;                                                             \
                                                                                                   \
		if (!filter_allows_current())                                                      \
			return 0;                                                                  \
		call = call_of(kind);                                                              \
		return done(ctx, &call);                                                           \
	}

TP(tp_mmap, "mmap", MMAP_MAP, mmap_call_current, mmap_plain)
TP(tp_mmap_vma, "mmap", MMAP_MAP, mmap_call_current, mmap_with_vma)
TP(tp_munmap, "munmap", MMAP_UNMAP, mmap_call_current, mmap_plain)
TP(tp_mprotect, "mprotect", MMAP_PROTECT, mmap_call_mprotect, mmap_plain)
TP(tp_mprotect_vma, "mprotect", MMAP_PROTECT, mmap_call_mprotect, mmap_with_vma)
TP(tp_pkey, "pkey_mprotect", MMAP_PROTECT, mmap_call_current, mmap_plain)
TP(tp_pkey_vma, "pkey_mprotect", MMAP_PROTECT, mmap_call_current, mmap_with_vma)
TP(tp_mremap, "mremap", MMAP_REMAP, mmap_call_current, mmap_plain)
TP(tp_mremap_vma, "mremap", MMAP_REMAP, mmap_call_current, mmap_with_vma)
TP(tp_brk, "brk", MMAP_BREAK, mmap_call_current, mmap_plain)
TP(tp_madvise, "madvise", MMAP_ADVISE, mmap_call_current, mmap_plain)

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

/* Whether this system call is one to be shown; if so, `call` is filled. */
static __always_inline bool mmap_call_raw(struct pt_regs *regs, struct mmap_call *call)
{
	__u64 nr = regs->orig_ax;
	enum mmap_kind kind = mmap_kind_of(nr), kind32 = mmap_kind_of_ia32(nr);

	if ((!kind || !mmap_shows(kind)) && (!kind32 || !mmap_shows(kind32)))
		return false;
	/* The same number is another system call to a 32-bit program: 9 is link(). */
	if (!task_is_compat()) {
		__u64 arg[6];

		if (!kind || !mmap_shows(kind) || !filter_allows_current())
			return false;
		args_64(regs, arg);
		*call = mmap_call_of(kind, arg, regs->ax);
		if (nr == NR_MPROTECT)
			call->fd = -1;
		return true;
	}
	if (!kind32 || !mmap_shows(kind32))
		return false;
	__u64 arg[6];

	args_ia32(regs, arg);
	if (nr == NR_IA32_MMAP)
		ia32_args_in_memory(arg);
	else if (nr == NR_IA32_MMAP2)
		arg[5] <<= PAGES_OF_MMAP2;
	if (!filter_allows_current())
		return false;
	*call = mmap_call_of(kind32, arg, regs->ax);
	call->compat = true;
	if (nr == NR_IA32_MPROTECT)
		call->fd = -1;
	return true;
}

SEC("tp_btf/sys_exit")
int btf_sys_exit(__u64 *ctx)
{
	struct mmap_call call = {};

	return mmap_call_raw((void *)ctx[0], &call) ? mmap_plain(ctx, &call) : 0;
}

SEC("tp_btf/sys_exit")
int btf_sys_exit_vma(__u64 *ctx)
{
	struct mmap_call call = {};

	return mmap_call_raw((void *)ctx[0], &call) ? mmap_with_vma(ctx, &call) : 0;
}

SEC("tp_btf/sys_enter")
int btf_sys_enter(__u64 *ctx)
{
	__u64 nr = ctx[1];

	if (nr != NR_MMAP && nr != NR_IA32_MMAP && nr != NR_IA32_MMAP2)
		return 0;
	return mmap_enter();
}
#endif

char LICENSE[] SEC("license") = "Dual BSD/GPL";
