// Unions in records, with and without something that tells which member is meant.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct opened {
	__u32 flags;
	__u32 mode;
};

struct closed {
	__u64 fd;
};

struct by_number {
	__u32 kind;
	__u32 pid;
	union {
		struct opened opened;
		struct closed closed;
	};
};

enum what {
	WHAT_NONE,
	WHAT_OPENED,
	WHAT_CLOSED,
};

struct by_enum {
	enum what what;
	__u32 pid;
	union {
		struct opened opened;
		struct closed closed;
	} of;
};

struct untold {
	__u32 kind;
	__u32 pid;
	union {
		struct opened opened;
		struct closed closed;
	};
};

#define RING(name, struct_type)                                                                    \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_RINGBUF);                                                \
		__uint(max_entries, 4096);                                                         \
		__type(value, struct_type);                                                        \
	} name SEC(".maps")
RING(numbers, struct by_number);
RING(enums, struct by_enum);
RING(untolds, struct untold);

SEC("tp/syscalls/sys_enter_openat")
int opens(void *ctx)
{
	struct by_number *e = bpf_ringbuf_reserve(&numbers, sizeof(*e), 0);

	if (!e)
		return 0;
	e->kind = 7;
	e->pid = bpf_get_current_pid_tgid() >> 32;
	e->opened.flags = bpf_get_prandom_u32();
	e->opened.mode = bpf_get_prandom_u32();
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tp/syscalls/sys_enter_close")
int closes(void *ctx)
{
	struct by_number *e = bpf_ringbuf_reserve(&numbers, sizeof(*e), 0);

	if (!e)
		return 0;
	e->kind = 9;
	e->pid = bpf_get_current_pid_tgid() >> 32;
	e->closed.fd = bpf_get_current_cgroup_id();
	bpf_ringbuf_submit(e, 0);
	return 0;
}

// Which member is filled is decided while it runs: only the names tell.
SEC("tp/syscalls/sys_enter_dup")
int either(void *ctx)
{
	struct by_enum *e = bpf_ringbuf_reserve(&enums, sizeof(*e), 0);
	__u32 random = bpf_get_prandom_u32();

	if (!e)
		return 0;
	e->pid = bpf_get_current_pid_tgid() >> 32;
	if (random & 1) {
		e->what = WHAT_OPENED;
		e->of.opened.flags = random;
		e->of.opened.mode = 1;
	} else {
		e->what = WHAT_CLOSED;
		e->of.closed.fd = random;
	}
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tp/syscalls/sys_enter_dup2")
int unsaid(void *ctx)
{
	struct untold *e = bpf_ringbuf_reserve(&untolds, sizeof(*e), 0);
	__u32 random = bpf_get_prandom_u32();

	if (!e)
		return 0;
	e->pid = bpf_get_current_pid_tgid() >> 32;
	e->kind = random & 1;
	if (random & 1) {
		e->opened.flags = random;
		e->opened.mode = 1;
	} else {
		e->closed.fd = random;
	}
	bpf_ringbuf_submit(e, 0);
	return 0;
}
