// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Numbers that one program puts into a map, and another one sends. */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

struct begun {
	__u64 v;
	__u32 w;
	__u16 x;
	__u16 y;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, struct begun);
} begun SEC(".maps");

struct ended {
	__u64 v;
	__u64 took;
	__u32 w;
	__u16 x;
	__u16 y;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} sent SEC(".maps");

SEC("kprobe/begins")
int BPF_KPROBE(begins, struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct begun begin = {};

	begin.v = bpf_ktime_get_boot_ns();
	begin.w = BPF_CORE_READ(sk, __sk_common.skc_daddr);
	begin.x = BPF_CORE_READ(sk, __sk_common.skc_dport);
	begin.y = BPF_CORE_READ(sk, __sk_common.skc_dport);
	bpf_map_update_elem(&begun, &key, &begin, BPF_ANY);
	return 0;
}

/* One of them is something else there, too. */
SEC("kprobe/changes")
int BPF_KPROBE(changes, struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct begun *begin = bpf_map_lookup_elem(&begun, &key);

	if (begin)
		begin->y = BPF_CORE_READ(sk, __sk_common.skc_num);
	return 0;
}

SEC("kprobe/ends")
int BPF_KPROBE(ends, struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct begun *begin = bpf_map_lookup_elem(&begun, &key);
	struct ended *end;

	if (!begin)
		return 0;
	end = bpf_ringbuf_reserve(&sent, sizeof(*end), 0);
	if (!end)
		return 0;
	end->v = begin->v;
	end->took = (bpf_ktime_get_boot_ns() - begin->v) / 1000;
	end->w = begin->w;
	end->x = begin->x;
	end->y = begin->y;
	bpf_ringbuf_submit(end, 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
