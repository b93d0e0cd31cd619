// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A list of all processes, like that of ps: an iterator over the kernel's own objects. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

/* Runs not for an event, but once for each thread, when somebody reads the iterator. */
SEC("iter/task")
int list(struct bpf_iter__task *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;

	if (!task)
		return 0; /* the last call, after all threads */
	if (ctx->meta->seq_num == 0)
		BPF_SEQ_PRINTF(seq, "%8s %8s %s\n", "PID", "PPID", "COMM");
	if (task->pid == task->tgid)
		BPF_SEQ_PRINTF(seq, "%8d %8d %s\n", task->pid, task->real_parent->tgid, task->comm);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
