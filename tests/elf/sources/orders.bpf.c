// Addresses and ports in both byte orders, and numbers whose source the instructions tell.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

struct ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} swapped SEC(".maps"), kept SEC(".maps"), mixed SEC(".maps"), guessed SEC(".maps"),
	named SEC(".maps"), exchanged SEC(".maps");

struct ends {
	__u32 saddr;
	__u32 daddr;
	__u16 sport;
	__u16 dport;
	__u32 wide_port;
	__be32 typed_addr;
	__u8 bytes_addr[4];
	__u64 cookie;
};

struct kept_value {
	__u64 entered;
	__u32 depth;
	__u32 uses;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct kept_value);
} values SEC(".maps");

// As numbers of the machine.
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(swaps, struct sock *sk)
{
	struct ends *e = bpf_ringbuf_reserve(&swapped, sizeof(*e), 0);
	__u16 port = BPF_CORE_READ(sk, __sk_common.skc_dport);

	if (!e)
		return 0;
	e->saddr = bpf_ntohl(sk->__sk_common.skc_rcv_saddr);
	e->daddr = bpf_ntohl(BPF_CORE_READ(sk, __sk_common.skc_daddr));
	e->sport = sk->__sk_common.skc_num;
	e->dport = (port >> 8) | (port << 8);
	e->wide_port = bpf_ntohs(sk->__sk_common.skc_dport);
	e->typed_addr = bpf_ntohl(sk->__sk_common.skc_daddr);
	*(__u32 *)e->bytes_addr = bpf_ntohl(sk->__sk_common.skc_daddr);
	e->cookie = 0;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

// As they are in packets; also the local port, which the kernel has as a number.
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(keeps, struct sock *sk)
{
	struct ends *e = bpf_ringbuf_reserve(&kept, sizeof(*e), 0);

	if (!e)
		return 0;
	BPF_CORE_READ_INTO(&e->saddr, sk, __sk_common.skc_rcv_saddr);
	e->daddr = BPF_CORE_READ(sk, __sk_common.skc_daddr);
	e->sport = bpf_htons(BPF_CORE_READ(sk, __sk_common.skc_num));
	e->dport = sk->__sk_common.skc_dport;
	e->wide_port = sk->__sk_common.skc_dport;
	e->typed_addr = sk->__sk_common.skc_daddr;
	*(__u32 *)e->bytes_addr = sk->__sk_common.skc_daddr;
	e->cookie = 0;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

// Nobody can tell the order of this one.
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(mixes, struct sock *sk, int old)
{
	struct ends *e = bpf_ringbuf_reserve(&mixed, sizeof(*e), 0);

	if (!e)
		return 0;
	__builtin_memset(e, 0, sizeof(*e));
	if (old)
		e->daddr = sk->__sk_common.skc_daddr;
	else
		e->daddr = bpf_ntohl(sk->__sk_common.skc_daddr);
	e->cookie = bpf_get_prandom_u32();
	bpf_ringbuf_submit(e, 0);
	return 0;
}

// Of a packet, which no type describes.
SEC("socket")
int guesses(struct __sk_buff *skb)
{
	struct ends *e = bpf_ringbuf_reserve(&guessed, sizeof(*e), 0);
	__u32 address = 0;
	__u16 port = 0;

	if (!e)
		return 0;
	__builtin_memset(e, 0, sizeof(*e));
	bpf_skb_load_bytes(skb, 26, &address, sizeof(address));
	bpf_skb_load_bytes(skb, 34, &port, sizeof(port));
	e->saddr = bpf_ntohl(address);
	e->daddr = address;
	e->sport = bpf_ntohs(port);
	e->dport = bpf_htons(skb->local_port);
	e->cookie = bpf_get_prandom_u32();
	bpf_ringbuf_submit(e, 0);
	return 0;
}

// Names that only CO-RE, a map and helpers have: the lines name nothing.
SEC("tp_btf/sched_process_exit")
int BPF_PROG(names, struct task_struct *task)
{
	__u64 *words = bpf_ringbuf_reserve(&named, 72, 0);
	__u32 key = 1;
	struct kept_value *value = bpf_map_lookup_elem(&values, &key);

	if (!words)
		return 0;
	if (!value) {
		bpf_ringbuf_discard(words, 0);
		return 0;
	}
	((__u32 *)words)[0] = task->tgid;
	((__u32 *)words)[1] = BPF_CORE_READ(task, real_parent, pid);
	words[1] = value->entered;
	((__u32 *)words)[4] = value->depth;
	((__u32 *)words)[5] = bpf_get_current_pid_tgid() >> 32;
	((__u32 *)words)[6] = bpf_get_current_pid_tgid();
	((__u32 *)words)[7] = bpf_get_current_uid_gid();
	words[4] = bpf_ktime_get_boot_ns();
	words[5] = bpf_ktime_get_ns() - value->entered;
	words[6] = bpf_get_current_cgroup_id();
	bpf_get_current_comm(words + 7, 16);
	bpf_ringbuf_submit(words, 0);
	return 0;
}

// The lower half of a result comes behind the upper one: clang may store both at once.
SEC("raw_tp/sched_switch")
int exchanges(void *ctx)
{
	__u64 *words = bpf_ringbuf_reserve(&exchanged, 24, 0);
	__u64 both, ids;

	if (!words)
		return 0;
	both = bpf_get_current_pid_tgid();
	ids = bpf_get_current_uid_gid();
	words[0] = both >> 32 | both << 32;
	words[1] = ids;
	words[2] = ids >> 32 | ids << 32;
	bpf_ringbuf_submit(words, 0);
	return 0;
}
