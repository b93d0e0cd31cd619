/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_USAGE_BPF_H
#define SNOOP_USAGE_BPF_H

/* The usage of a process, from the kernel's own account. */

#include "bootstrap.h"

/* Where CPU time is counted by ticks. Where it is measured, as on s390x, these are missing. */
struct prev_cputime___ticks {
	__u64 utime;
	__u64 stime;
} __attribute__((preserve_access_index));

struct signal_struct___ticks {
	struct prev_cputime___ticks prev_cputime;
} __attribute__((preserve_access_index));

/* Then getrusage() returns these times as they are; else what the scheduler measures, divided. */
static __always_inline bool times_are_exact(void)
{
	return !bpf_core_field_exists(((struct signal_struct___ticks *)0)->prev_cputime.utime);
}

/* One thread's own account, which the group's account takes over at its release. */
static __always_inline void usage_add(struct process_usage *usage, struct task_struct *task)
{
	__u64 user = BPF_CORE_READ(task, utime), system = BPF_CORE_READ(task, stime);

	usage->user_ns += user;
	usage->system_ns += system;
	usage->runtime_ns +=
		times_are_exact() ? user + system : BPF_CORE_READ(task, se.sum_exec_runtime);
	usage->minor_faults += BPF_CORE_READ(task, min_flt);
	usage->major_faults += BPF_CORE_READ(task, maj_flt);
	usage->voluntary_switches += BPF_CORE_READ(task, nvcsw);
	usage->involuntary_switches += BPF_CORE_READ(task, nivcsw);
	if (bpf_core_field_exists(task->ioac.read_bytes)) {
		usage->read_blocks += BPF_CORE_READ(task, ioac.read_bytes) >> 9;
		usage->written_blocks += BPF_CORE_READ(task, ioac.write_bytes) >> 9;
	}
}

/* The group's account: the threads that have been released. */
static __always_inline void usage_fill(struct process_usage *usage, struct task_struct *task)
{
	struct signal_struct *signal = BPF_CORE_READ(task, signal);

	usage->user_ns = BPF_CORE_READ(signal, utime);
	usage->system_ns = BPF_CORE_READ(signal, stime);
	if (times_are_exact())
		usage->runtime_ns = usage->user_ns + usage->system_ns;
	else
		usage->runtime_ns = BPF_CORE_READ(signal, sum_sched_runtime);
	usage->shown_user_ns = 0;
	usage->shown_system_ns = 0;
	if (!times_are_exact()) {
		struct signal_struct___ticks *ticks = (void *)signal;

		usage->shown_user_ns = BPF_CORE_READ(ticks, prev_cputime.utime);
		usage->shown_system_ns = BPF_CORE_READ(ticks, prev_cputime.stime);
	}
	usage->max_rss_kib = BPF_CORE_READ(signal, maxrss) * process_config.page_kib;
	usage->minor_faults = BPF_CORE_READ(signal, min_flt);
	usage->major_faults = BPF_CORE_READ(signal, maj_flt);
	usage->voluntary_switches = BPF_CORE_READ(signal, nvcsw);
	usage->involuntary_switches = BPF_CORE_READ(signal, nivcsw);
	usage->read_blocks = BPF_CORE_READ(signal, inblock);
	usage->written_blocks = BPF_CORE_READ(signal, oublock);
}

#endif /* SNOOP_USAGE_BPF_H */
