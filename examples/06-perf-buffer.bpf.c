// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Data instead of text, by a perf buffer: which programs end, with which status. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

/* The record for each end: bpfrun finds out its type by itself. */
struct exit_event {
	__u32 pid;
	__u32 exit_code;
	char comm[16];
};

/* One buffer for each CPU. The values are file descriptors, which the reader puts in. */
struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} exits SEC(".maps");

/*
 * tp_btf: a tracepoint again, with the types that the kernel's own code passes to it. This one
 * runs once for each thread that ends.
 */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(handle_exit, struct task_struct *task)
{
	struct exit_event event = {};

	if (task->pid != task->tgid)
		return 0; /* not the process's first thread */
	event.pid = task->tgid;
	event.exit_code = task->exit_code >> 8;
	bpf_get_current_comm(event.comm, sizeof(event.comm));

	/* Copied into the buffer of this CPU. If that is full, the kernel counts the loss. */
	bpf_perf_event_output(ctx, &exits, BPF_F_CURRENT_CPU, &event, sizeof(event));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
