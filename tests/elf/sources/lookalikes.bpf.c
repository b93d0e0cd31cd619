// Events beside which there is something of the same size, or in the same line, that is not
// what is sent.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

enum outcome {
	OUTCOME_FAILED = -3,
	OUTCOME_DONE = 1,
};

// Kept in a map; events that are as large are not in BTF.
struct started {
	__u64 ts;
	__u32 tgid;
	__u32 cpu;
	char comm[16];
};

struct ended {
	__u64 delta;
	__u32 pid;
	__u32 uid;
	char task[16];
};

// Kept in a map, and sent as well.
struct total {
	__u64 calls;
	__u64 errors;
	__u64 since;
};

struct file_key {
	__u64 cookie;
	__u64 cgroup;
};

struct hop {
	__u32 id;
	char tag[4];
};

struct hops_event {
	__u32 pid;
	struct hop hops[3];
	__u64 total;
	char name[64];
	char comm[16];
};

struct opened {
	__u32 type;
	__u32 cpu;
	__u64 inode;
};

struct closed {
	__u32 type;
	__u32 cpu;
	__u32 uid;
	__s32 ret;
};

struct perf {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} initialised SEC(".maps"), context_bytes SEC(".maps"), context_heap SEC(".maps"),
	context_numbers SEC(".maps"),
	context_registers SEC(".maps"), numbers SEC(".maps"), walked SEC(".maps");

struct ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} filled SEC(".maps"), totals SEC(".maps"), text SEC(".maps"), merged SEC(".maps"),
	unnamed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct started);
} starts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, enum outcome);
	__type(value, struct total);
} sums SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__uint(key_size, sizeof(struct file_key));
	__uint(value_size, sizeof(__u64));
} keys SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, 4096);
} heap SEC(".maps");

SEC("tp/syscalls/sys_enter_kill")
int initialises(void *ctx)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct started start = { .ts = bpf_ktime_get_ns() };
	struct ended e = {
		.delta = bpf_ktime_get_ns(),
		.pid = bpf_get_current_pid_tgid() >> 32,
		.uid = bpf_get_current_uid_gid(),
	};

	bpf_map_update_elem(&starts, &tid, &start, 0);
	bpf_perf_event_output(ctx, &initialised, BPF_F_CURRENT_CPU, &e, sizeof(e));
	return 0;
}

SEC("tp/syscalls/sys_enter_tkill")
int fills(void *ctx)
{
	struct ended e = {};

	bpf_probe_read_kernel(&e.delta, sizeof(e.delta), ctx);
	bpf_probe_read_kernel(&e.pid, sizeof(e.pid), ctx);
	bpf_get_current_comm(e.task, sizeof(e.task));
	bpf_ringbuf_output(&filled, &e, sizeof(e), 0);
	return 0;
}

SEC("tp/syscalls/sys_enter_tgkill")
int sums_up(void *ctx)
{
	enum outcome outcome = OUTCOME_DONE;
	struct total sum = { .since = bpf_ktime_get_ns() };
	struct total *e = bpf_ringbuf_reserve(&totals, sizeof(*e), 0);

	if (!e)
		return 0;
	e->calls = bpf_get_current_pid_tgid();
	e->errors = bpf_get_prandom_u32();
	e->since = 0;
	bpf_map_update_elem(&sums, &outcome, &sum, 0);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tp/syscalls/sys_enter_open")
int sends_bytes(struct trace_event_raw_sys_enter *ctx)
{
	char buf[128] = {};

	bpf_get_current_comm(buf + 24, 16);
	bpf_perf_event_output(ctx, &context_bytes, BPF_F_CURRENT_CPU, buf, sizeof(buf));
	return 0;
}

SEC("tp/syscalls/sys_enter_openat")
int sends_heap(struct trace_event_raw_sys_enter *ctx)
{
	__u32 zero = 0;
	char *buf = bpf_map_lookup_elem(&heap, &zero);
	long n;

	if (!buf)
		return 0;
	n = bpf_probe_read_user_str(buf, 2000, (void *)ctx->args[0]);
	bpf_perf_event_output(ctx, &context_heap, BPF_F_CURRENT_CPU, buf, n & 2047);
	return 0;
}

SEC("tp/syscalls/sys_enter_openat2")
int sends_numbers(struct trace_event_raw_sys_enter *ctx)
{
	__u64 all[12] = {};

	all[3] = ctx->args[0];
	all[7] = ctx->args[1];
	bpf_perf_event_output(ctx, &context_numbers, BPF_F_CURRENT_CPU, all, sizeof(all));
	return 0;
}

// What libbpf's macros make: another function has the context, too.
static __always_inline int registers(struct pt_regs *ctx)
{
	char line[256] = {};

	bpf_get_current_comm(line, 16);
	bpf_perf_event_output(ctx, &context_registers, BPF_F_CURRENT_CPU, line, sizeof(line));
	return 0;
}

SEC("kprobe/do_unlinkat")
int sends_registers(struct pt_regs *ctx)
{
	return registers(ctx);
}

SEC("tp/syscalls/sys_enter_read")
int sends_pair(void *ctx)
{
	struct file_key key = {};
	__u64 pair[2], one = 1;

	key.cookie = bpf_get_current_pid_tgid();
	key.cgroup = bpf_get_current_cgroup_id();
	bpf_map_update_elem(&keys, &key, &one, 0);
	pair[0] = bpf_get_current_uid_gid();
	pair[1] = 4242;
	bpf_perf_event_output(ctx, &numbers, BPF_F_CURRENT_CPU, pair, sizeof(pair));
	return 0;
}

SEC("tp/syscalls/sys_enter_write")
int sends_text(void *ctx)
{
	struct file_key key = {};
	__u64 one = 1;
	char name[16];

	key.cookie = bpf_get_current_pid_tgid();
	key.cgroup = bpf_get_current_cgroup_id();
	bpf_map_update_elem(&keys, &key, &one, 0);
	bpf_get_current_comm(name, sizeof(name));
	bpf_ringbuf_output(&text, name, sizeof(name), 0);
	return 0;
}

// No line that sends or fills it names the struct.
static __always_inline long send(void *data, __u64 size)
{
	return bpf_ringbuf_output(&unnamed, data, size, 0);
}

SEC("tp/syscalls/sys_enter_pread64")
int sends_unnamed(void *ctx)
{
	struct file_key key = {};
	__u64 one = 1;
	void *current = (void *)bpf_get_current_task();

	key.cookie = bpf_get_current_pid_tgid();
	bpf_map_update_elem(&keys, &key, &one, 0);
	send(current, 16);
	return 0;
}

SEC("tp/syscalls/sys_enter_stat")
int walks(struct trace_event_raw_sys_enter *ctx)
{
	struct hops_event spare = {};
	struct hops_event e = {};

	spare.pid = ctx->args[0];
	bpf_map_delete_elem(&keys, &spare);
	e.pid = bpf_get_current_pid_tgid() >> 32;
#pragma clang loop unroll(disable)
	for (int i = 0; i < 3; i++) {
		e.hops[i].id = i;
		e.hops[i].tag[0] = 'a' + i;
	}
	e.total = 42;
	bpf_get_current_comm(e.comm, sizeof(e.comm));
	bpf_perf_event_output(ctx, &walked, BPF_F_CURRENT_CPU, &e, sizeof(e));
	return 0;
}

// The first two members are written together here, and apart below.
SEC("tp/syscalls/sys_enter_dup")
int merges(void *ctx)
{
	struct opened *e = bpf_ringbuf_reserve(&merged, sizeof(*e), 0);

	if (!e)
		return 0;
	e->type = 1;
	e->cpu = 5;
	e->inode = 77;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tp/syscalls/sys_enter_close")
int does_not_merge(void *ctx)
{
	struct closed *e = bpf_ringbuf_reserve(&merged, sizeof(*e), 0);

	if (!e)
		return 0;
	e->type = 2;
	e->cpu = bpf_get_smp_processor_id();
	e->uid = bpf_get_current_uid_gid();
	e->ret = -1;
	bpf_ringbuf_submit(e, 0);
	return 0;
}
