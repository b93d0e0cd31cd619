// Events beside which something else is annotated, kept or copied that is as large or a part of
// them, and events that are written in unusual ways.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

// Only fills the place of a value.
struct dummy {
	int dummy;
};

struct ended {
	__u64 at;
	__u32 pid;
	__u32 code;
	char comm[16];
};

// As large as struct found, and brought into BTF by a pointer.
struct offsets {
	__u64 first;
	__u64 second;
};
const struct offsets *offsets_unused __attribute__((unused));

struct found {
	__u64 cgroup;
	__u32 pid;
	__u32 cpu;
};

struct parent {
	__u64 high;
	__u64 low;
	__u64 id;
};

struct span {
	struct parent parent;
	__u64 id;
	__u64 at;
	__u64 took;
};

struct __attribute__((packed)) small {
	__u16 code;
	__u8 flag;
};

struct packet {
	__u32 from;
	__u32 to;
	__u32 protocol;
	__u32 kind;
};

struct unpadded {
	__u64 at;
	__u32 pid;
};

struct called {
	__u32 pid;
	char comm[16];
};

// Either of two kinds of the same size, in one place.
union scratch {
	struct found found;
	struct offsets offsets;
};

// Cleared by one line, and filled byte by byte, as far as it goes.
struct head {
	__u32 size;
	__u8 bytes[24];
	__u32 pid;
};

struct bytes {
	char text[64];
	__u64 len;
};

struct timed {
	struct bpf_timer timer;
};

struct ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} spans SEC(".maps"), smalls SEC(".maps"), packets SEC(".maps"), unpaddeds SEC(".maps"),
	drained SEC(".maps"), ticks SEC(".maps"), shared SEC(".maps"), unions SEC(".maps"),
	texts SEC(".maps"), heads SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(max_entries, 0);
	__type(key, int);
	__type(value, struct dummy);
} dummies SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} founds SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 4096);
} commands SEC(".maps");

#define KEPT(name, struct_type)                                                                    \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_HASH);                                                   \
		__uint(max_entries, 64);                                                           \
		__type(key, __u32);                                                                \
		__type(value, struct_type);                                                        \
	} name SEC(".maps")
KEPT(ends, struct ended);
KEPT(kept, struct found);
KEPT(parents, struct parent);
KEPT(either, union scratch);
KEPT(buffers, struct bytes);
KEPT(timers, struct timed);

SEC("tp_btf/sched_process_exit")
int sends_ended(void *ctx)
{
	__u32 key = 0;
	struct ended *e = bpf_map_lookup_elem(&ends, &key);

	if (!e)
		return 0;
	e->at = bpf_ktime_get_ns();
	e->pid = bpf_get_current_pid_tgid() >> 32;
	e->code = 0;
	bpf_get_current_comm(e->comm, sizeof(e->comm));
	bpf_perf_event_output(ctx, &dummies, BPF_F_CURRENT_CPU, e, sizeof(*e));
	return 0;
}

SEC("raw_tp/sched_switch")
int sends_found(void *ctx)
{
	__u32 key = 1;
	struct found *f = bpf_map_lookup_elem(&kept, &key);

	if (f)
		bpf_perf_event_output(ctx, &founds, BPF_F_CURRENT_CPU, f, sizeof(*f));
	return 0;
}

SEC("tp_btf/sched_switch")
int sends_span(void *ctx)
{
	__u32 key = 1;
	struct parent *p = bpf_map_lookup_elem(&parents, &key);
	struct span *s;

	if (!p)
		return 0;
	s = bpf_ringbuf_reserve(&spans, sizeof(*s), 0);
	if (!s)
		return 0;
	s->parent = *p;
	s->id = 3;
	s->at = bpf_ktime_get_ns();
	s->took = 0;
	bpf_ringbuf_submit(s, 0);
	return 0;
}

SEC("tp/syscalls/sys_enter_dup")
int sends_small(void *ctx)
{
	struct small *e = bpf_ringbuf_reserve(&smalls, sizeof(*e), 0);

	if (!e)
		return 0;
	e->code = 7;
	e->flag = 1;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("socket")
int sends_packet(struct __sk_buff *skb)
{
	struct packet *e = bpf_ringbuf_reserve(&packets, sizeof(*e), 0);

	if (!e)
		return 0;
	bpf_skb_load_bytes(skb, 23, &e->protocol, 1);
	bpf_skb_load_bytes(skb, 26, &e->from, 4);
	e->kind = skb->pkt_type;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tp/syscalls/sys_enter_close")
int sends_unpadded(void *ctx)
{
	struct unpadded e = {};

	e.at = bpf_ktime_get_ns();
	e.pid = bpf_get_current_pid_tgid() >> 32;
	bpf_ringbuf_output(&unpaddeds, &e, offsetof(struct unpadded, pid) + sizeof(e.pid), 0);
	return 0;
}

static long each_command(struct bpf_dynptr *command, void *context)
{
	struct called *e = bpf_ringbuf_reserve(&drained, sizeof(*e), 0);

	if (!e)
		return 0;
	e->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(e->comm, sizeof(e->comm));
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tp/syscalls/sys_enter_kill")
int drains(void *ctx)
{
	bpf_user_ringbuf_drain(&commands, each_command, NULL, 0);
	return 0;
}

static int tick(void *map, __u32 *key, struct timed *value)
{
	struct called *e = bpf_ringbuf_reserve(&ticks, sizeof(*e), 0);

	if (!e)
		return 0;
	e->pid = *key;
	bpf_get_current_comm(e->comm, sizeof(e->comm));
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tp/syscalls/sys_enter_alarm")
int starts_timer(void *ctx)
{
	__u32 key = 0;
	struct timed *t = bpf_map_lookup_elem(&timers, &key);

	if (t)
		bpf_timer_set_callback(&t->timer, tick);
	return 0;
}

// One sender says which struct it is, the other one fills it without a name.
SEC("tp/syscalls/sys_enter_getpid")
int sends_kept(void *ctx)
{
	__u32 key = 2;
	struct found *f = bpf_map_lookup_elem(&kept, &key);

	if (f)
		bpf_ringbuf_output(&shared, f, sizeof(*f), 0);
	return 0;
}

SEC("tp/syscalls/sys_enter_gettid")
int sends_words(void *ctx)
{
	__u64 *words = bpf_ringbuf_reserve(&shared, 16, 0);

	if (!words)
		return 0;
	words[0] = bpf_get_current_cgroup_id();
	((__u32 *)words)[2] = bpf_get_current_pid_tgid();
	((__u32 *)words)[3] = bpf_get_smp_processor_id();
	bpf_ringbuf_submit(words, 0);
	return 0;
}

SEC("tp/syscalls/sys_enter_getuid")
int sends_either(void *ctx)
{
	__u32 key = 3;
	union scratch *s = bpf_map_lookup_elem(&either, &key);

	if (s)
		bpf_ringbuf_output(&unions, s, sizeof(s->offsets), 0);
	return 0;
}

// A part of the bytes alone.
SEC("tp/syscalls/sys_enter_getgid")
int sends_text(void *ctx)
{
	__u32 key = 4;
	struct bytes *b = bpf_map_lookup_elem(&buffers, &key);

	if (!b)
		return 0;
	bpf_get_current_comm(b->text, 16);
	bpf_ringbuf_output(&texts, b->text, 32, 0);
	return 0;
}

SEC("xdp")
int sends_head(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct head *e;
	__u32 size;

	if (data + 1 > end)
		return 2;
	size = (*data & 7) * 4;
	e = bpf_ringbuf_reserve(&heads, sizeof(*e), 0);
	if (!e)
		return 2;
	e->size = size;
	__builtin_memset(e->bytes, 0, sizeof(e->bytes));
	for (int i = 0; i < (int)sizeof(e->bytes); i++) {
		if (i >= size)
			break;
		if (data + i + 1 > end) {
			bpf_ringbuf_discard(e, 0);
			return 2;
		}
		e->bytes[i] = data[i];
	}
	e->pid = bpf_get_smp_processor_id();
	bpf_ringbuf_submit(e, 0);
	return 2;
}
