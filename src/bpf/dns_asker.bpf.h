/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_DNS_ASKER_BPF_H
#define SNOOP_DNS_ASKER_BPF_H

/*
 * Questions to DNS servers that leave this machine, and which process asks: loaded only to
 * name destinations. An answer to none of them names nothing.
 */

#include "asked.bpf.h"

#define DNS_PORT 53

/* The oldest entries go: an answer comes soon after its question, or never. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct dns_question);
	__type(value, struct dns_asker);
} dns_askers SEC(".maps");

/* A value is too large for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct dns_asker);
} dns_scratch SEC(".maps");

/* The beginning of a transport header, and behind UDP's the first member of a message. */
struct question_header {
	__be16 from;
	__be16 to;
	__be32 seq; /* TCP */
	__be16 id; /* UDP */
};

#define UDP_HEADER 8
#define DNS_HEADER 12

/* The addresses of the packet, which a translation may have changed. */
static __always_inline void question_ends(void *ip, struct dns_question *question)
{
	__u8 version = 0;
	__u32 pair[2];

	bpf_probe_read_kernel(&version, sizeof(version), ip);
	if (version >> 4 == 4) {
		bpf_probe_read_kernel(pair, sizeof(pair), ip + 12);
		set_v4(&question->client, pair[0]);
		set_v4(&question->server, pair[1]);
		return;
	}
	bpf_probe_read_kernel(&question->client, sizeof(question->client), ip + 8);
	bpf_probe_read_kernel(&question->server, sizeof(question->server), ip + 24);
}

/* Whether the socket's packet is a question; by TCP it is the SYN that tells who asks. */
static __always_inline bool is_question(struct sk_buff *skb, struct sock *sk, const bool typed,
					struct dns_question *question, struct dns_asker *asker)
{
	__u8 state = SOCKET_READ(typed, sk, __sk_common.skc_state);
	void *head = SOCKET_READ(typed, skb, head), *transport;
	struct question_header header = {};

	/* Other states: a connection that sends data, or no whole socket. */
	if (state != TCP_SYN_SENT && ((state != TCP_ESTABLISHED && state != TCP_CLOSE) ||
				      SOCKET_READ(typed, sk, sk_protocol) != IPPROTO_UDP))
		return false;
	transport = head + SOCKET_READ(typed, skb, transport_header);
	if (bpf_probe_read_kernel(&header, sizeof(header), transport) ||
	    header.to != bpf_htons(DNS_PORT))
		return false;
	question->port = header.from;
	if (state == TCP_SYN_SENT) {
		question->protocol = IPPROTO_TCP;
		asker->first_seq = bpf_ntohl(header.seq);
	} else {
		question->protocol = IPPROTO_UDP;
		question->id = header.id;
		bpf_probe_read_kernel(asker->name, sizeof(asker->name),
				      transport + UDP_HEADER + DNS_HEADER);
	}
	question_ends(head + SOCKET_READ(typed, skb, network_header), question);
	return true;
}

/*
 * A packet goes to a device. The current task asks only if its system call is about the
 * packet's socket: an interrupt may send, too.
 */
static __always_inline int packet_sent(struct sk_buff *skb, const bool typed)
{
	struct sock *sk = SOCKET_READ(typed, skb, sk);
	struct dns_question question = {};
	struct dns_asker *asker;
	__u32 zero = 0;

	if (!sk)
		return 0;
	asker = bpf_map_lookup_elem(&dns_scratch, &zero);
	if (!asker || !is_question(skb, sk, typed, &question, asker))
		return 0;
	question.netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	asker->start_ns = 0;
	asker->pid = 0;
	if (!(current_flags() & PF_KTHREAD) && current_socket(current_descriptor()) == sk) {
		asker->start_ns = current_start_ns();
		asker->pid = bpf_get_current_pid_tgid() >> 32;
	}
	bpf_map_update_elem(&dns_askers, &question, asker, BPF_ANY);
	return 0;
}

SEC("tp_btf/net_dev_queue")
int BPF_PROG(asker_btf, struct sk_buff *skb)
{
	return packet_sent(skb, true);
}

SEC("raw_tp/net_dev_queue")
int asker_raw(struct bpf_raw_tracepoint_args *ctx)
{
	return packet_sent((void *)ctx->args[0], false);
}

#endif /* SNOOP_DNS_ASKER_BPF_H */
