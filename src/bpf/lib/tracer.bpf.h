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

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#endif /* SNOOP_TRACER_BPF_H */
