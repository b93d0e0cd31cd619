/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_SOCKET_BPF_H
#define SNOOP_SOCKET_BPF_H

/* Reading from sockets, and the filters on sockets. */

#include "filter.bpf.h"
#include "tcpconnect.h"

#define AF_UNSPEC 0
#define AF_INET 2
#define AF_INET6 10
#define IPPROTO_MPTCP 262
#define S_IFMT 0170000
#define S_IFSOCK 0140000

const volatile struct connect_config connect_config;

/* A bit for each destination port. */
const volatile __u64 connect_ports[65536 / 64];

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1); /* user space sets the number of networks */
	__type(key, struct network_key);
	__type(value, __u8);
} filter_networks SEC(".maps");

struct filter_map filter_netns SEC(".maps");

/* The destination of an attempt. */
struct connect_peer {
	struct connect_address address;
	__u16 port;
	__u16 family;
	__u32 netns;
};

/* IPv4 in an IPv6 address: the kernel then speaks IPv4. */
static __always_inline bool is_v4_mapped(const struct connect_address *address)
{
	const __u32 *words = (const void *)address->bytes;

	return !words[0] && !words[1] && words[2] == bpf_htonl(0xffff);
}

static __always_inline void set_v4(struct connect_address *address, __u32 v4)
{
	__u32 *words = (void *)address->bytes;

	words[0] = v4;
	words[1] = 0;
	words[2] = 0;
	words[3] = 0;
}

/* The real family; a mapped address becomes an IPv4 address. */
static __always_inline __u16 unmap_v4(struct connect_address *address, __u16 family)
{
	const __u32 *words = (const void *)address->bytes;

	if (family != AF_INET6 || !is_v4_mapped(address))
		return family;
	set_v4(address, words[3]);
	return AF_INET;
}

/*
 * A member of a socket: read directly where the verifier knows the pointer's type, which
 * costs a tenth of a call of bpf_probe_read_kernel(). `typed` is a constant.
 */
#define SOCKET_READ(typed, sk, member)                                                             \
	({                                                                                         \
		typeof((sk)->member) value;                                                        \
                                                                                                   \
		if (typed)                                                                         \
			value = (sk)->member;                                                      \
		else                                                                               \
			value = BPF_CORE_READ(sk, member);                                         \
		value;                                                                             \
	})

static __always_inline void socket_peer(struct sock *sk, const bool typed,
					struct connect_peer *peer)
{
	__u32 *words = (void *)peer->address.bytes;

	peer->family = SOCKET_READ(typed, sk, __sk_common.skc_family);
	peer->port = bpf_ntohs(SOCKET_READ(typed, sk, __sk_common.skc_dport));
	if (typed)
		peer->netns = sk->__sk_common.skc_net.net->ns.inum;
	else
		peer->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	if (peer->family == AF_INET) {
		set_v4(&peer->address, SOCKET_READ(typed, sk, __sk_common.skc_daddr));
		return;
	}
	for (int i = 0; i < 4; i++)
		words[i] = SOCKET_READ(typed, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr32[i]);
	peer->family = unmap_v4(&peer->address, AF_INET6);
}

/* The local address; `family` is the real one. */
static __always_inline void socket_local(struct sock *sk, const bool typed, __u16 family,
					 struct connect_address *local)
{
	__u32 *words = (void *)local->bytes;

	/* An IPv6 socket with IPv4 also has the IPv4 address in the IPv4 member. */
	if (family == AF_INET) {
		set_v4(local, SOCKET_READ(typed, sk, __sk_common.skc_rcv_saddr));
		return;
	}
	for (int i = 0; i < 4; i++)
		words[i] = SOCKET_READ(typed, sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[i]);
}

static __always_inline bool peer_allowed(const struct connect_peer *peer)
{
	if (connect_config.family && peer->family != connect_config.family)
		return false;
	if (connect_config.by_port) {
		__u32 word = peer->port / 64;

		barrier_var(word); /* 5.10 does not know how large a swapped port can be */
		if (!(connect_ports[word & 1023] & (1ULL << (peer->port % 64))))
			return false;
	}
	if (connect_config.by_netns && !filter_has(&filter_netns, peer->netns))
		return false;
	if (connect_config.by_network) {
		struct network_key key = {
			.prefix_bits = 32 + 128,
			.family = peer->family,
			.address = peer->address,
		};

		if (!bpf_map_lookup_elem(&filter_networks, &key))
			return false;
	}
	return true;
}

static __always_inline bool outcome_shown(const struct connect_event *event)
{
	return (connect_config.outcomes & (1U << event->outcome)) &&
	       event->duration_ns >= connect_config.min_latency_ns;
}

/* The socket behind `file`, or NULL. */
static __always_inline struct socket *file_socket(struct file *file)
{
	if ((BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return NULL;
	return BPF_CORE_READ(file, private_data);
}

/* The MPTCP connection of a subflow, or NULL. */
static __always_inline struct sock *socket_mptcp(struct tcp_sock *tp, const bool typed)
{
	struct mptcp_subflow_context *subflow;
	bool is_subflow;

	if (!bpf_core_field_exists(tp->is_mptcp))
		return NULL;
	if (typed)
		is_subflow = BPF_CORE_READ_BITFIELD(tp, is_mptcp);
	else
		is_subflow = BPF_CORE_READ_BITFIELD_PROBED(tp, is_mptcp);
	if (!is_subflow)
		return NULL;
	subflow = BPF_CORE_READ(tp, inet_conn.icsk_ulp_data);
	return BPF_CORE_READ(subflow, conn);
}

#endif /* SNOOP_SOCKET_BPF_H */
