// Events that are copied: from the stack, from a map's value, from a variable.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct opened {
	__u64 ts;
	pid_t pid;
	uid_t uid;
	int ret;
	int flags;
	char comm[16];
};

// As large, and on the stack of the same program.
struct calls_key {
	__u64 one;
	__u64 two;
	__u64 three;
	__u64 four;
	__u64 five;
};

struct big {
	__u32 pid;
	__u32 len;
	char comm[16];
	char path[4000];
};

struct total {
	__u64 calls;
	__u32 last_pid;
	__u32 last_cpu;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} perf SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} stack SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
} values SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} globals SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} numbers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct big);
} heap SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct calls_key);
	__type(value, __u64);
} keys SEC(".maps");

struct total total;

SEC("tp/syscalls/sys_exit_openat")
int to_perf(struct trace_event_raw_sys_exit *ctx)
{
	struct opened event = {};

	event.ts = bpf_ktime_get_boot_ns();
	event.pid = bpf_get_current_pid_tgid() >> 32;
	event.uid = bpf_get_current_uid_gid();
	event.ret = ctx->ret;
	bpf_get_current_comm(&event.comm, sizeof(event.comm));
	bpf_perf_event_output(ctx, &perf, BPF_F_CURRENT_CPU, &event, sizeof(event));
	return 0;
}

SEC("tp/syscalls/sys_exit_open")
int from_stack(struct trace_event_raw_sys_exit *ctx)
{
	struct calls_key key = {};
	struct opened opened = {};

	key.one = ctx->ret;
	bpf_map_delete_elem(&keys, &key);
	opened.pid = bpf_get_current_pid_tgid() >> 32;
	opened.ret = ctx->ret;
	bpf_ringbuf_output(&stack, &opened, sizeof(opened), 0);
	return 0;
}

SEC("tp/syscalls/sys_enter_openat")
int from_value(struct trace_event_raw_sys_enter *ctx)
{
	__u32 zero = 0;
	struct big *big = bpf_map_lookup_elem(&heap, &zero);
	long len;

	if (!big)
		return 0;
	big->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(&big->comm, sizeof(big->comm));
	len = bpf_probe_read_user_str(&big->path, sizeof(big->path), (void *)ctx->args[1]);
	if (len < 0 || len > sizeof(big->path))
		return 0;
	big->len = len;
	bpf_ringbuf_output(&values, big, offsetof(struct big, path) + len, 0);
	return 0;
}

SEC("tp/syscalls/sys_enter_close")
int from_variable(void *ctx)
{
	total.calls++;
	total.last_pid = bpf_get_current_pid_tgid() >> 32;
	bpf_ringbuf_output(&globals, &total, sizeof(total), 0);
	return 0;
}

SEC("tp/syscalls/sys_enter_dup")
int number(void *ctx)
{
	__u64 *id = bpf_ringbuf_reserve(&numbers, sizeof(*id), 0);

	if (!id)
		return 0;
	*id = bpf_get_current_pid_tgid();
	bpf_ringbuf_submit(id, 0);
	return 0;
}
