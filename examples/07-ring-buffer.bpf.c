// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Data by a ring buffer, one for all CPUs: how long programs ran. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

struct life_event {
	__u64 duration_ns;
	__u32 pid;
	__u32 ppid;
	char comm[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} lives SEC(".maps");

/* A constant that can be given another value before loading: bpfrun --set min_ns=1000000 */
const volatile __u64 min_ns = 0;

/* Number of all lives, shown or not: bpfrun --maps shows it */
__u64 ended;

SEC("tp_btf/sched_process_exit")
int BPF_PROG(handle_exit, struct task_struct *task)
{
	struct life_event *event;
	__u64 duration_ns;

	if (task->pid != task->tgid)
		return 0;
	__sync_fetch_and_add(&ended, 1);
	duration_ns = bpf_ktime_get_boot_ns() - task->start_boottime;
	if (duration_ns < min_ns)
		return 0;

	/* Filled in place: nothing is copied. Without room the event is lost, silently. */
	event = bpf_ringbuf_reserve(&lives, sizeof(*event), 0);
	if (!event)
		return 0;
	event->duration_ns = duration_ns;
	event->pid = task->tgid;
	event->ppid = task->real_parent->tgid;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	bpf_ringbuf_submit(event, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
