// Objects that say what their events are.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct event {
	__u32 pid;
	char comm[16];
};

struct other {
	__u32 pid;
	__u32 kind;
	__u64 size;
};

struct tagged {
	__u64 at;
	__u64 until;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
	__type(value, struct event);
} typed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} pointed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} named SEC(".maps");

const struct other *unused __attribute__((unused));
const void *gadget_tracer_it___named___tagged __attribute__((unused));
const struct tagged *gadget_tracer_type __attribute__((unused));

SEC("tp/sched/sched_process_exec")
int send(void *ctx)
{
	struct event *event = bpf_ringbuf_reserve(&typed, sizeof(*event), 0);
	struct other *other = bpf_ringbuf_reserve(&pointed, sizeof(*other), 0);
	struct tagged *tagged = bpf_ringbuf_reserve(&named, sizeof(*tagged), 0);

	if (event) {
		event->pid = 1;
		bpf_ringbuf_submit(event, 0);
	}
	if (other) {
		other->kind = bpf_get_smp_processor_id();
		other->size = 2;
		bpf_ringbuf_submit(other, 0);
	}
	if (tagged) {
		tagged->at = bpf_ktime_get_ns();
		bpf_ringbuf_submit(tagged, 0);
	}
	return 0;
}
