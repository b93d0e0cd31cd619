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
	struct connect_end end; /* the socket's */
	struct connect_end asked; /* the application's, if that is another one */
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

/* Link-local: each link has such addresses of its own. */
static __always_inline bool is_link_local(const struct connect_end *end)
{
	const __u32 *words = (const void *)end->address.bytes;

	return end->family == AF_INET6 &&
	       (words[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

/* An end with an IPv6 address: a mapped one becomes an IPv4 address. */
static __always_inline void settle_v6(struct connect_end *end, __u32 interface)
{
	const __u32 *words = (const void *)end->address.bytes;

	end->family = AF_INET6;
	end->interface = 0;
	if (is_v4_mapped(&end->address)) {
		set_v4(&end->address, words[3]);
		end->family = AF_INET;
	} else if (is_link_local(end)) {
		end->interface = interface;
	}
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

/*
 * A TCP socket, through a pointer that the verifier knows and does not trust; NULL: another kind.
 * What trust costs: verifier.bpf.h.
 */
static __always_inline struct tcp_sock *tcp_socket(struct sock *sk, const bool typed)
{
	return typed ? bpf_skc_to_tcp_sock(sk) : (void *)sk;
}

#define READ_V6(typed, sk, member, address)                                                        \
	({                                                                                         \
		__u32 *words = (void *)(address)->bytes;                                           \
                                                                                                   \
		for (int i = 0; i < 4; i++)                                                        \
			words[i] = SOCKET_READ(typed, sk, member.in6_u.u6_addr32[i]);              \
	})

static __always_inline void socket_peer(struct sock *sk, const bool typed,
					struct connect_peer *peer)
{
	struct connect_end *end = &peer->end;

	__builtin_memset(peer, 0, sizeof(*peer));
	end->family = SOCKET_READ(typed, sk, __sk_common.skc_family);
	end->port = bpf_ntohs(SOCKET_READ(typed, sk, __sk_common.skc_dport));
	if (typed)
		peer->netns = sk->__sk_common.skc_net.net->ns.inum;
	else
		peer->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	if (end->family == AF_INET) {
		set_v4(&end->address, SOCKET_READ(typed, sk, __sk_common.skc_daddr));
		return;
	}
	READ_V6(typed, sk, __sk_common.skc_v6_daddr, &end->address);
	settle_v6(end, SOCKET_READ(typed, sk, __sk_common.skc_bound_dev_if));
}

/*
 * The local address, whose family need not be the peer's: an IPv6 socket that is bound to
 * an IPv6 address has a placeholder for IPv4, which nobody ever sees.
 */
static __always_inline void socket_local(struct sock *sk, const bool typed,
					 struct connect_end *local)
{
	local->family = SOCKET_READ(typed, sk, __sk_common.skc_family);
	if (local->family == AF_INET) {
		set_v4(&local->address, SOCKET_READ(typed, sk, __sk_common.skc_rcv_saddr));
		return;
	}
	READ_V6(typed, sk, __sk_common.skc_v6_rcv_saddr, &local->address);
	settle_v6(local, SOCKET_READ(typed, sk, __sk_common.skc_bound_dev_if));
}

#define INTERFACE_HASHES 256 /* NETDEV_HASHENTRIES */
#define INTERFACES_PER_HASH 16 /* looked at: enough for thousands of interfaces */

/* The name of an interface of the socket's network namespace; left alone if there is none. */
static __always_inline void interface_name(struct sock *sk, __u32 index, __u8 *name)
{
	struct hlist_head *hashes = BPF_CORE_READ(sk, __sk_common.skc_net.net, dev_index_head);
	struct hlist_node *node = NULL;

	bpf_probe_read_kernel(&node, sizeof(node), &hashes[index & (INTERFACE_HASHES - 1)]);
	for (int i = 0; i < INTERFACES_PER_HASH && node; i++) {
		struct net_device *device =
			(void *)node - bpf_core_field_offset(struct net_device, index_hlist);

		if ((__u32)BPF_CORE_READ(device, ifindex) == index) {
			bpf_probe_read_kernel_str(name, INTERFACE_NAME_LEN, &device->name);
			return;
		}
		node = BPF_CORE_READ(node, next);
	}
}

static __always_inline bool end_allowed(const struct connect_end *end)
{
	if (connect_config.family && end->family != connect_config.family)
		return false;
	if (connect_config.by_port) {
		__u32 word = end->port / 64;

		barrier_var(word); /* 5.10 does not know how large a swapped port can be */
		if (!(connect_ports[word & 1023] & (1ULL << (end->port % 64))))
			return false;
	}
	if (connect_config.by_network) {
		struct network_key key = {
			.prefix_bits = 32 + 128,
			.family = end->family,
			.address = end->address,
		};

		if (!bpf_map_lookup_elem(&filter_networks, &key))
			return false;
	}
	return true;
}

/* Either what the application asked for or what it got passes the filters. */
static __always_inline bool peer_allowed(const struct connect_peer *peer)
{
	if (connect_config.by_netns && !filter_has(&filter_netns, peer->netns))
		return false;
	return end_allowed(&peer->end) || (peer->asked.family && end_allowed(&peer->asked));
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

/* What makes a socket a subflow of an MPTCP connection, or NULL. */
static __always_inline struct mptcp_subflow_context *socket_subflow(struct tcp_sock *tp,
								    const bool typed)
{
	bool is_subflow;

	if (!bpf_core_field_exists(tp->is_mptcp))
		return NULL;
	if (typed)
		is_subflow = BPF_CORE_READ_BITFIELD(tp, is_mptcp);
	else
		is_subflow = BPF_CORE_READ_BITFIELD_PROBED(tp, is_mptcp);
	return is_subflow ? BPF_CORE_READ(tp, inet_conn.icsk_ulp_data) : NULL;
}

/* The MPTCP connection of a subflow, or NULL. */
static __always_inline struct sock *socket_mptcp(struct tcp_sock *tp, const bool typed)
{
	struct mptcp_subflow_context *subflow = socket_subflow(tp, typed);

	return subflow ? BPF_CORE_READ(subflow, conn) : NULL;
}

#endif /* SNOOP_SOCKET_BPF_H */
