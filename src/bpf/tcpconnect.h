/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_TCPCONNECT_H
#define SNOOP_TCPCONNECT_H

#include "common.h"

/* How an attempt ended. */
enum connect_outcome {
	CONNECT_ESTABLISHED = 0,
	CONNECT_FAILED = 1, /* `error` has the reason, if known */
	CONNECT_ABORTED = 2, /* the caller closed the socket, gave up or died */
	CONNECT_PENDING = 3, /* no answer yet when tracing ended */
	CONNECT_UNKNOWN = 4, /* not followed: too many were pending when it began */
};

/* Bits of connect_event.flags. */
enum connect_flag {
	CONNECT_NO_SYN = 1 << 0, /* refused by this machine: nothing was sent, no latency */
	CONNECT_MPTCP = 1 << 1, /* a subflow of Multipath TCP */
	CONNECT_KERNEL = 1 << 2, /* by a thread of the kernel, such as an NFS client */
	CONNECT_EARLIER = 1 << 3, /* began before tracing: the age is exact to 4 ms at best */
	CONNECT_UNSEEN = 1 << 4, /* pending, and the socket is unreadable: `local`, `retransmits` */
	CONNECT_EXITED = 1 << 5, /* aborted: a process that ended closed the socket */
	CONNECT_ASIDE = 1 << 6, /* filtered out: only its siblings need to know */
	CONNECT_UNSURE = 1 << 7, /* `peer` is from the caller's memory, or differs from it */
};

struct connect_address {
	__u8 bytes[16]; /* network order; IPv4 in the first 4 */
};

/* One end of a connection. */
struct connect_end {
	struct connect_address address;
	__u32 interface; /* index, for link-local addresses: they mean nothing without it */
	__u16 port; /* 0: unknown, or not chosen yet */
	__u16 family; /* AF_INET also for IPv4 through an IPv6 socket; 0: no such end */
};

#define INTERFACE_NAME_LEN 16

/* One attempt. id.time_ns is when it ended; the rest of id is the caller's. */
struct connect_event {
	struct task_id id;
	__u64 duration_ns; /* from beginning to end */
	struct connect_end local; /* address all zero: unknown, or not chosen yet */
	struct connect_end peer; /* where the socket connects to */
	struct connect_end asked; /* what the application asked for, if that is another end */
	enum connect_outcome outcome;
	enum connect_flag flags;
	__u32 error; /* errno */
	__u32 netns; /* inode number of the network namespace */
	__u32 rtt_us; /* smoothed round-trip time; 0: none measured */
	__u32 retransmits; /* SYNs sent again */
	__u8 interface_name[INTERFACE_NAME_LEN]; /* of peer.interface, if it still exists */
};

/* State of a pending attempt's socket, on request of user space. */
struct connect_look {
	struct connect_end local; /* address all zero: not chosen yet */
	__u32 retransmits;
	__u32 connecting; /* 0: it is not connecting any more */
	__u8 interface_name[INTERFACE_NAME_LEN];
};

#define DNS_BEGINNING_LEN 16

/*
 * A question to a DNS server that left this machine, as its answer names it. With a part of the
 * name, since ports and ids are soon used again.
 */
struct dns_question {
	__u32 netns; /* inode number */
	__u32 protocol; /* IPPROTO_UDP or IPPROTO_TCP */
	__u16 port; /* of the client, network order */
	__u16 id; /* UDP: of the message, network order */
	struct connect_address client; /* as in the packet, which may have been translated */
	struct connect_address server;
	__u8 beginning[DNS_BEGINNING_LEN]; /* UDP: of the name up to a zero, each byte with bit 0x20
					      set */
};

#define DNS_NAME_LEN 256 /* a name has at most 255 bytes */

/* What was asked, and who did. */
struct dns_asker {
	__u64 start_ns; /* as in task_id */
	__u32 pid; /* 0: unknown */
	__u32 first_seq; /* TCP: of the SYN */
	__u8 name[DNS_NAME_LEN]; /* UDP: as in the message, and what is behind it */
};

/* Set before loading; the verifier removes code that is off. */
struct connect_config {
	__u64 min_latency_ns;
	__u32 outcomes; /* bits 1 << enum connect_outcome that are shown */
	__u32 family; /* only this one; 0: both */
	__u32 by_port; /* 1: only ports that are set in connect_ports */
	__u32 by_network; /* 1: only destinations in the networks of filter_networks */
	__u32 by_netns; /* 1: only network namespaces in filter_netns */
	__u32 preemptible; /* 1: tracepoints are, and a begin can be missed */
	__u32 sees_errors; /* 1: a program for calls that fail without a SYN is loaded */
	__u32 siblings; /* 1: connections that the filters leave out are sent with CONNECT_ASIDE */
};

/* Key of filter_networks: family first, so that ::/0 matches no IPv4 address. */
struct network_key {
	__u32 prefix_bits; /* 32 for the family, and those of the network */
	__u32 family;
	struct connect_address address;
};

struct connect_counters {
	__u64 full; /* attempts not followed to their end, because too many were pending */
};

#endif /* SNOOP_TCPCONNECT_H */
