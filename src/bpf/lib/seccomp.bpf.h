/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_SECCOMP_BPF_H
#define SNOOP_SECCOMP_BPF_H

/*
 * System calls that a seccomp filter refuses. They never reach their function, so
 * programs on that function do not see them: SECCOMP_PROGRAMS() does. Programs at the
 * exit of system calls see them, but the result may be no result: seccomp_result().
 */

#include "task.bpf.h"

#define SIGSYS 31
#define PF_SIGNALED 0x400 /* a signal ends the task */

/* In place of an errno: the filter answered with the signal SIGSYS. src/host/errno.rs knows it. */
#define ERRNO_SIGSYS 4095

/*
 * The result `ret` of the current system call. With the signal SIGSYS the kernel puts
 * what was in the register of the result at the entry back there.
 */
static __always_inline long seccomp_result(struct pt_regs *regs, long ret)
{
	if (ROLLED_BACK(ret, regs) && signal_is_pending((void *)bpf_get_current_task(), SIGSYS))
		return -ERRNO_SIGSYS;
	return ret;
}

#if HAS_OLD_TRAMPOLINES
/* Copies, one for each program: the stack has no room for them. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct pt_regs);
} seccomp_regs SEC(".maps");
#endif

/*
 * The registers of the current system call, for plain loads: a typed address, or, before
 * 5.15, a copy. NULL: they are not where they should be.
 */
static __always_inline struct pt_regs *loadable_regs(__u32 slot)
{
#if HAS_OLD_TRAMPOLINES
	struct pt_regs *regs = current_regs(), *copy;

	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs))
		return regs;
	copy = bpf_map_lookup_elem(&seccomp_regs, &slot);
	if (!copy || bpf_probe_read_kernel(copy, sizeof(*copy), regs) || (copy->cs & 3) != 3)
		return NULL;
	return copy;
#else
	(void)slot;
	return current_regs();
#endif
}

/*
 * Programs, called prefix_refused and so on, that see a refused call, and hand it to
 * handler(ctx, regs, ret, slot):
 * - the filter's function returns -1: an errno, SIGSYS, or another program's answer
 *   (it has no argument since 6.16, so the place of its result differs: a helper knows
 *   it, since 5.17);
 * - the thread ends inside that function: for several threads, and before 5.16, the
 *   kernel kills so.
 */
#define SECCOMP_PROGRAMS(prefix, handler, refused_slot, killed_slot)                               \
	static __always_inline int prefix##_answered(void *ctx, int verdict)                       \
	{                                                                                          \
		struct pt_regs *regs;                                                              \
                                                                                                   \
		if (!verdict)                                                                      \
			return 0;                                                                  \
		regs = loadable_regs(0);                                                           \
		return regs ? handler(ctx, regs, seccomp_result(regs, SYSCALL_RESULT(regs)),       \
				      refused_slot)                                                \
			    : 0;                                                                   \
	}                                                                                          \
                                                                                                   \
	SEC("fexit/__secure_computing")                                                            \
	int prefix##_refused(__u64 *ctx)                                                           \
	{                                                                                          \
		__u64 verdict = 0;                                                                 \
                                                                                                   \
		bpf_get_func_ret(ctx, &verdict);                                                   \
		return prefix##_answered(ctx, verdict);                                            \
	}                                                                                          \
                                                                                                   \
	SEC("fexit/__secure_computing")                                                            \
	int prefix##_refused_behind_argument(__u64 *ctx)                                           \
	{                                                                                          \
		return prefix##_answered(ctx, ctx[1]);                                             \
	}                                                                                          \
                                                                                                   \
	SEC("fentry/do_exit")                                                                      \
	int prefix##_killed(__u64 *ctx)                                                            \
	{                                                                                          \
		struct pt_regs *regs;                                                              \
                                                                                                   \
		if ((ctx[0] & 0x7f) != SIGSYS || (current_flags() & PF_SIGNALED))                  \
			return 0;                                                                  \
		regs = loadable_regs(1);                                                           \
		return regs ? handler(ctx, regs, -ERRNO_SIGSYS, killed_slot) : 0;                  \
	}

#endif /* SNOOP_SECCOMP_BPF_H */
