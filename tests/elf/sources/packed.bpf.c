// Packed structs, whose members the compiler stores byte by byte.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

char LICENSE[] SEC("license") = "GPL";

struct source {
	__u32 used;
	__u8 data[20];
} __attribute__((packed));

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64[3]);
} sources SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} records SEC(".maps"), copied SEC(".maps"), bytewise SEC(".maps");

struct record {
	__u8 kind;
	__u64 entered;
	__u32 process;
	__u16 port;
	char name[16];
	__u64 span;
	__u8 last;
} __attribute__((packed));

SEC("tp/sched/sched_switch")
int reserved(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct record *record = bpf_ringbuf_reserve(&records, sizeof(*record), 0);

	if (!record)
		return 0;
	record->kind = 3;
	record->entered = bpf_ktime_get_ns();
	record->process = bpf_get_current_pid_tgid() >> 32;
	record->port = bpf_get_prandom_u32();
	bpf_get_current_comm(record->name, sizeof(record->name));
	record->span = BPF_CORE_READ(task, start_boottime);
	record->last = 1;
	bpf_ringbuf_submit(record, 0);
	return 0;
}

SEC("tp/sched/sched_process_exit")
int output(void *ctx)
{
	struct record record = { .kind = 4 };

	record.entered = bpf_ktime_get_ns();
	record.process = bpf_get_current_pid_tgid() >> 32;
	bpf_ringbuf_output(&copied, &record, sizeof(record), 0);
	return 0;
}

struct with_bytes {
	__u8 kind;
	__u64 time;
	__u8 data[20];
} __attribute__((packed));

SEC("tp/sched/sched_process_fork")
int copies(void *ctx)
{
	__u32 zero = 0;
	struct source *source = bpf_map_lookup_elem(&sources, &zero);
	struct with_bytes *record;

	if (!source)
		return 0;
	record = bpf_ringbuf_reserve(&bytewise, sizeof(*record), 0);
	if (!record)
		return 0;
	record->kind = 5;
	record->time = bpf_ktime_get_ns();
	__builtin_memcpy(record->data, source->data, sizeof(record->data));
	bpf_ringbuf_submit(record, 0);
	return 0;
}
