// Events whose way to the buffer is long: maps of maps, functions, helpers that call back,
// dynptrs, iterators.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct event {
	__u32 pid;
	__u32 cpu;
	char comm[16];
};

struct step {
	__u32 index;
	__u32 random;
	__u64 time;
};

struct task {
	__u32 pid;
	__u32 tgid;
	char comm[16];
};

struct ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring0 SEC(".maps"), ring1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct ring);
} rings SEC(".maps") = {
	.values = { &ring0, &ring1 },
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} filled SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} stepped SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} dynamic SEC(".maps");

SEC("tp/sched/sched_process_exec")
int nested(void *ctx)
{
	__u32 cpu = bpf_get_smp_processor_id();
	void *ring = bpf_map_lookup_elem(&rings, &cpu);
	struct event *e;

	if (!ring)
		return 0;
	e = bpf_ringbuf_reserve(ring, sizeof(*e), 0);
	if (!e)
		return 0;
	e->pid = bpf_get_current_pid_tgid() >> 32;
	e->cpu = cpu;
	bpf_get_current_comm(e->comm, sizeof(e->comm));
	bpf_ringbuf_submit(e, 0);
	return 0;
}

// Its parameter brings the type into BTF.
static __noinline void fill(struct event *to)
{
	to->pid = bpf_get_current_pid_tgid() >> 32;
	to->cpu = bpf_get_smp_processor_id();
	bpf_get_current_comm(to->comm, sizeof(to->comm));
}

SEC("tp/sched/sched_process_exit")
int by_function(void *ctx)
{
	struct event *e = bpf_ringbuf_reserve(&filled, sizeof(*e), 0);

	if (!e)
		return 0;
	fill(e);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

static long one_step(__u32 index, void *unused)
{
	struct step step = { .index = index };

	step.random = bpf_get_prandom_u32();
	step.time = bpf_ktime_get_ns();
	bpf_ringbuf_output(&stepped, &step, sizeof(step), 0);
	return 0;
}

SEC("tp/sched/sched_process_fork")
int in_loop(void *ctx)
{
	bpf_loop(3, one_step, NULL, 0);
	return 0;
}

SEC("tp/sched/sched_process_wait")
int by_dynptr(void *ctx)
{
	struct bpf_dynptr room;
	struct step step = {};

	step.index = bpf_get_prandom_u32();
	step.time = bpf_ktime_get_ns();
	bpf_ringbuf_reserve_dynptr(&dynamic, sizeof(step), 0, &room);
	bpf_dynptr_write(&room, 0, &step, sizeof(step), 0);
	bpf_ringbuf_submit_dynptr(&room, 0);
	return 0;
}

SEC("iter/task")
int tasks(struct bpf_iter__task *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;
	struct task entry = {};

	if (!task)
		return 0;
	entry.pid = task->pid;
	entry.tgid = task->tgid;
	bpf_probe_read_kernel_str(entry.comm, sizeof(entry.comm), task->comm);
	bpf_seq_write(seq, &entry, sizeof(entry));
	return 0;
}
