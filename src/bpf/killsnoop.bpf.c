// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* killsnoop: signals that are sent, and calls of kill() and the like that fail. */
#include "tracer.bpf.h"

#define SI_KERNEL 0x80

struct kill_event {
	struct task_id id; /* the sender */
	__u64 target_start_ns; /* birth of the target; 0 for a failed call */
	__s32 target_pid; /* of a failed call as given: a group is 0 or less */
	__u32 signal;
	__s32 code; /* si_code; positive ones are the kernel's */
	__s32 result; /* TRACE_SIGNAL_DELIVERED and so on, or a negative errno */
	__u8 target_comm[TASK_COMM_LEN]; /* empty for a failed call */
};
EVENT(kill_event);

/* What is shown; Rust sets these before loading. */
const volatile __u64 signals = 0; /* bit 0 is signal 1 */
const volatile __s32 target_pid = 0; /* 0: any */
const volatile __u32 only_failed = 0;
const volatile __u32 with_kernel = 0;

static __always_inline int see(void *ctx, struct kill_event *event)
{
	__u32 bit = event->signal - 1;

	if (bit > 63 || !(signals >> bit & 1) || (target_pid && target_pid != event->target_pid) ||
	    (only_failed && !event->result) || (!with_kernel && event->code > 0))
		return 0;
	return TRACE(ctx, event);
}

static __always_inline int sent(void *ctx, const __u64 *args)
{
	struct kernel_siginfo *info = NULL;
	struct task_struct *target = (void *)args[2];
	struct kill_event event = { .signal = args[0], .result = args[4] };

	event.target_pid = BPF_CORE_READ(target, tgid);
	event.target_start_ns = BPF_CORE_READ(target, group_leader, start_boottime);
	/* Without its type: the verifier takes a typed pointer for one that is never NULL. */
	bpf_probe_read_kernel(&info, sizeof(info), &args[1]);
	/* Instead of an address 1 stands for the kernel, 0 for a process: another one. */
	if ((__u64)info > 1)
		event.code = BPF_CORE_READ(info, si_code);
	else if (info || event.target_pid == (__s32)(bpf_get_current_pid_tgid() >> 32))
		event.code = SI_KERNEL;
	BPF_CORE_READ_INTO(&event.target_comm, target, group_leader, comm);
	return see(ctx, &event);
}
TRACEPOINT(signal_generate, sent)

#define FAILED(call, pid_argument, signal_argument)                                                \
	SEC("tp/syscalls/sys_exit_" #call)                                                         \
	int failed_##call(struct trace_event_raw_sys_exit *ctx)                                    \
	{                                                                                          \
		struct pt_regs *regs = (void *)bpf_task_pt_regs(bpf_get_current_task_btf());       \
		struct kill_event event = { .result = EVENT_RESULT(ctx->ret, regs) };              \
                                                                                                   \
		if (event.result >= 0)                                                             \
			return 0;                                                                  \
		event.target_pid = PT_REGS_PARM##pid_argument##_CORE_SYSCALL(regs);                \
		event.signal = PT_REGS_PARM##signal_argument##_CORE_SYSCALL(regs);                 \
		return see(ctx, &event);                                                           \
	}
FAILED(kill, 1, 2)
FAILED(tkill, 1, 2)
FAILED(tgkill, 1, 3)
