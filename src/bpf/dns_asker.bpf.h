/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_DNS_ASKER_BPF_H
#define SNOOP_DNS_ASKER_BPF_H

/* Which process asks a DNS server: loaded only to name destinations. */

#include "asked.bpf.h"

#define DNS_PORT 53

/* The oldest entries go: an answer comes soon after its question, or never. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct dns_question);
	__type(value, struct dns_asker);
} dns_askers SEC(".maps");

/* The header of UDP, and the first member of a DNS message. */
struct udp_question {
	__be16 from;
	__be16 to;
	__be16 len;
	__sum16 check;
	__be16 id;
};

/* Whether the socket's packet is a question; by TCP it is the SYN that tells who asks. */
static __always_inline bool is_question(struct sk_buff *skb, struct sock *sk, const bool typed,
					struct dns_question *question)
{
	__u8 state = SOCKET_READ(typed, sk, __sk_common.skc_state);
	struct udp_question udp = {};

	/* Other states: a connection that sends data, or no whole socket. */
	if (state == TCP_SYN_SENT) {
		question->protocol = IPPROTO_TCP;
		question->port = bpf_htons(SOCKET_READ(typed, sk, __sk_common.skc_num));
		return SOCKET_READ(typed, sk, __sk_common.skc_dport) == bpf_htons(DNS_PORT);
	}
	if ((state != TCP_ESTABLISHED && state != TCP_CLOSE) ||
	    SOCKET_READ(typed, sk, sk_protocol) != IPPROTO_UDP ||
	    bpf_probe_read_kernel(&udp, sizeof(udp),
				  SOCKET_READ(typed, skb, head) +
					  SOCKET_READ(typed, skb, transport_header)))
		return false;
	question->protocol = IPPROTO_UDP;
	question->port = udp.from;
	question->id = udp.id;
	return udp.to == bpf_htons(DNS_PORT);
}

/*
 * A packet goes to a device. The current task asks only if its system call is about the
 * packet's socket: an interrupt may send, too.
 */
static __always_inline int packet_sent(struct sk_buff *skb, const bool typed)
{
	struct sock *sk = SOCKET_READ(typed, skb, sk);
	struct dns_question question = {};
	struct dns_asker asker = {};

	if (!sk || !is_question(skb, sk, typed, &question) || (current_flags() & PF_KTHREAD) ||
	    current_socket(current_descriptor()) != sk)
		return 0;
	question.netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	asker.start_ns = current_start_ns();
	asker.pid = bpf_get_current_pid_tgid() >> 32;
	bpf_map_update_elem(&dns_askers, &question, &asker, BPF_ANY);
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
