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
};

/* Bits of connect_event.flags. */
enum connect_flag {
	CONNECT_NO_SYN = 1 << 0, /* refused by this machine: nothing was sent, no latency */
	CONNECT_MPTCP = 1 << 1, /* a subflow of Multipath TCP */
	CONNECT_KERNEL = 1 << 2, /* by a thread of the kernel, such as an NFS client */
	CONNECT_EARLIER = 1 << 3, /* began before tracing: the age is exact to 4 ms at best */
	CONNECT_UNSEEN = 1 << 4, /* pending, and the socket is unreadable: `local`, `retransmits` */
};

/* One end of a connection. */
struct connect_address {
	__u8 bytes[16]; /* network order; IPv4 in the first 4 */
};

/* One attempt. id.time_ns is when it ended; the rest of id is the caller's. */
struct connect_event {
	struct task_id id;
	__u64 duration_ns; /* from beginning to end */
	struct connect_address local; /* all zero: unknown, or not chosen yet */
	struct connect_address peer;
	enum connect_outcome outcome;
	enum connect_flag flags;
	__u32 error; /* errno */
	__u32 netns; /* inode number of the network namespace */
	__u32 rtt_us; /* smoothed round-trip time; 0: none measured */
	__u32 retransmits; /* SYNs sent again */
	__u16 local_port; /* 0: unknown, or not chosen yet */
	__u16 peer_port;
	__u16 family; /* AF_INET also for IPv4 through an IPv6 socket */
	__u16 pad;
};

/* State of a pending attempt's socket, on request of user space. */
struct connect_look {
	struct connect_address local; /* all zero: not chosen yet */
	__u32 retransmits;
	__u16 local_port;
	__u16 connecting; /* 1: it has no answer yet */
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
	__u32 pad;
};

/* Key of filter_networks: family first, so that ::/0 matches no IPv4 address. */
struct network_key {
	__u32 prefix_bits; /* 32 for the family, and those of the network */
	__u32 family;
	struct connect_address address;
};

struct connect_counters {
	__u64 full; /* attempts not followed, because too many were pending */
};

#endif /* SNOOP_TCPCONNECT_H */
