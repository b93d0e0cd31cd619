/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_TRACER_BPF_H
#define SNOOP_TRACER_BPF_H

/* All that a tracer with one kind of event includes: see CONTRIBUTING.md. */

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "filter.bpf.h"

/*
 * Programs on a tracepoint of the kernel, for both ways to its arguments: `function##_btf` with
 * their types, where the kernel takes that, and `function##_raw`. Each calls function(ctx, args).
 */
#define TRACEPOINT(event, function)                                                                \
	SEC("tp_btf/" #event)                                                                      \
	int function##_btf(__u64 *ctx)                                                             \
	{                                                                                          \
		return function(ctx, ctx);                                                         \
	}                                                                                          \
	SEC("raw_tp/" #event)                                                                      \
	int function##_raw(struct bpf_raw_tracepoint_args *ctx)                                    \
	{                                                                                          \
		return function(ctx, ctx->args);                                                   \
	}

static __always_inline int trace_event(void *ctx, struct task_id *id, void *event, const __u32 size)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	if (!filter_allows(task))
		return 0;
	task_id_fill(id, task, bpf_ktime_get_boot_ns());
	context_send_current(ctx, id->time_ns, id->tid);
	event_send(ctx, event, size, id->time_ns);
	return 0;
}

/*
 * Sends an event of the current task, if the common filters allow it, with its context; fills its
 * first member, `id`. Its value is what a program returns.
 */
#define TRACE(ctx, event) trace_event(ctx, &(event)->id, event, sizeof(*(event)))

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#endif /* SNOOP_TRACER_BPF_H */
