// Several kinds of records in one buffer, and addresses in unions.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

enum kind {
	OPEN = 1,
	CLOSE = 2,
};

struct header {
	enum kind kind;
	__u32 pid;
};

struct open_event {
	struct header header;
	char path[16];
};

struct close_event {
	struct header header;
	__u64 fd;
	__s64 ret;
};

struct connect_event {
	union {
		__u32 saddr_v4;
		__u8 saddr_v6[16];
	};
	union {
		__u32 daddr_v4;
		__u8 daddr_v6[16];
	};
	__be16 dport;
	__u16 family;
	__u32 pid;
};

// Nothing tells these two apart.
struct left {
	__u32 pid;
	__u32 left;
};

struct right {
	__u32 right;
	__u32 pid;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} by_kind SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} by_size SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} tied SEC(".maps");

SEC("tp/syscalls/sys_enter_openat")
int opens(void *ctx)
{
	struct open_event *e = bpf_ringbuf_reserve(&by_kind, sizeof(*e), 0);

	if (!e)
		return 0;
	e->header.kind = OPEN;
	e->header.pid = bpf_get_current_pid_tgid() >> 32;
	bpf_probe_read_kernel_str(e->path, sizeof(e->path), ctx);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tp/syscalls/sys_enter_close")
int closes(void *ctx)
{
	struct close_event *e = bpf_ringbuf_reserve(&by_kind, sizeof(*e), 0);

	if (!e)
		return 0;
	e->header.kind = CLOSE;
	e->header.pid = bpf_get_current_pid_tgid() >> 32;
	e->fd = bpf_get_prandom_u32();
	e->ret = 0;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tp/sock/inet_sock_set_state")
int connects(struct trace_event_raw_inet_sock_set_state *ctx)
{
	struct connect_event event = {};

	event.family = ctx->family;
	event.dport = ctx->dport;
	event.pid = bpf_get_current_pid_tgid() >> 32;
	__builtin_memcpy(event.saddr_v6, ctx->saddr_v6, 16);
	__builtin_memcpy(event.daddr_v6, ctx->daddr_v6, 16);
	bpf_perf_event_output(ctx, &by_size, BPF_F_CURRENT_CPU, &event, sizeof(event));
	return 0;
}

SEC("tp/sched/sched_process_exit")
int exits(void *ctx)
{
	struct header header = { CLOSE, bpf_get_current_pid_tgid() >> 32 };

	bpf_perf_event_output(ctx, &by_size, BPF_F_CURRENT_CPU, &header, sizeof(header));
	return 0;
}

static __always_inline void *room(void)
{
	return bpf_ringbuf_reserve(&tied, 8, 0);
}

SEC("tp/sched/sched_process_fork")
int ties(void *ctx)
{
	__u32 random = bpf_get_prandom_u32();
	void *record = room();
	struct right *r = record;
	struct left *l = record;

	if (!record)
		return 0;
	if (random & 1)
		r->right = random, r->pid = random >> 1;
	else
		l->left = random, l->pid = random >> 2;
	bpf_ringbuf_submit(record, 0);
	return 0;
}
