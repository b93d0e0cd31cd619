// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * tcpconnect: attempts to connect by TCP, and how they ended.
 *
 * A socket that begins to connect becomes SYN_SENT in the context of the caller,
 * whichever way the call came: connect(), sendto() with Fast Open, io_uring, the kernel
 * itself. The end is the next change of state, mostly in another context: an interrupt
 * that brings the answer. In between the attempt waits in a map.
 *
 * Calls that this machine refuses before a SYN is sent change no state:
 * connect_call.bpf.h.
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "attempt_begin.bpf.h"
#include "connect_call.bpf.h"
#include "dns_asker.bpf.h"

#define EADDRNOTAVAIL 99
#define PF_EXITING 0x00000004
#define SHUTDOWN_MASK 3

EVENT(connect_event);

/* ---- end of an attempt ---- */

/* The reason for giving up inside connect(). Ports are chosen before the socket gets its hash. */
static __always_inline void given_up_inside(struct connect_event *event, struct sock *sk,
					    const struct connect_attempt *attempt)
{
	event->outcome = CONNECT_FAILED;
	if (BPF_CORE_READ(sk, sk_txhash) != attempt->txhash)
		return; /* the reason is unknown */
	event->error = EADDRNOTAVAIL;
	event->flags |= CONNECT_NO_SYN;
	event->id.time_ns = attempt->id.time_ns; /* at once, and the context was sent then */
	event->duration_ns = 0;
	if (!BPF_CORE_READ(sk, __sk_common.skc_num))
		event->local.port = 0; /* the value is from an earlier attempt */
}

/*
 * A connecting socket is closed without an error: by the kernel or by its owner? The
 * kernel does so inside connect() if it cannot go on; only then has the call not yet
 * marked the socket as connecting. shutdown() marks it first, and leaves an error later;
 * the owner of an MPTCP connection does not get that error. The mark stays if 5.10 refuses
 * to shut down a socket that a thread waits for; close() then sets both bits first.
 */
static __always_inline void closed_without_error(struct connect_event *event, struct sock *sk,
						 const struct connect_attempt *attempt)
{
	struct sock *owner = sk;
	socket_state state;

	if (attempt->flags & CONNECT_MPTCP)
		owner = socket_mptcp((void *)sk, false) ?: sk;
	state = BPF_CORE_READ(owner, sk_socket, state);
	if (state == SS_UNCONNECTED) {
		given_up_inside(event, sk, attempt);
	} else if (state == SS_DISCONNECTING && !(attempt->flags & CONNECT_MPTCP) &&
		   BPF_CORE_READ_BITFIELD_PROBED(sk, sk_shutdown) != SHUTDOWN_MASK) {
		event->outcome = CONNECT_FAILED;
		event->error = ECONNRESET;
	} else {
		event->outcome = CONNECT_ABORTED;
		if (current_flags() & PF_EXITING)
			event->flags |= CONNECT_EXITED;
	}
}

/*
 * All members of an event except the outcome. `sk` may have been freed meanwhile: reads
 * do not fault.
 */
static __always_inline void attempt_to_event(struct connect_event *event, struct sock *sk,
					     struct tcp_sock *tp, const bool typed,
					     const struct connect_attempt *attempt, __u64 now)
{
	__builtin_memcpy(&event->id, &attempt->id, sizeof(event->id));
	event->id.time_ns = now;
	event->id.lost = snoop_counters.lost;
	if (now > attempt->id.time_ns)
		event->duration_ns = now - attempt->id.time_ns;
	event->peer = attempt->peer.end;
	event->asked = attempt->peer.asked;
	event->netns = attempt->peer.netns;
	event->flags = attempt->flags;
	if (event->peer.interface)
		interface_name(sk, event->peer.interface, event->interface_name);
	socket_local(sk, typed, &event->local);
	event->local.port = bpf_ntohs(SOCKET_READ(typed, tp, inet_conn.icsk_inet.inet_sport));
	event->retransmits = SOCKET_READ(typed, tp, total_retrans);
}

/* How the attempt ended. */
static __always_inline void attempt_outcome(struct connect_event *event, struct sock *sk,
					    struct tcp_sock *tp, const bool typed,
					    const struct connect_attempt *attempt, int new_state)
{
	__u32 timeouts;

	if (new_state == TCP_ESTABLISHED) {
		event->outcome = CONNECT_ESTABLISHED;
		event->rtt_us = SOCKET_READ(typed, tp, srtt_us) >> 3;
		return;
	}
	/* A SYN that could not even leave this machine does not count as sent. */
	timeouts = SOCKET_READ(typed, tp, inet_conn.icsk_retransmits);
	if (timeouts > event->retransmits)
		event->retransmits = timeouts;
	event->error = SOCKET_READ(typed, sk, sk_err);
	if (event->error)
		event->outcome = CONNECT_FAILED;
	else
		closed_without_error(event, sk, attempt);
}

/* Whether this is the end of that attempt; the destination stays until the state has changed. */
static __always_inline bool is_attempt_of(const struct connect_attempt *attempt, struct sock *sk,
					  const bool typed, int old_state)
{
	const __u32 *words = (const void *)attempt->peer.end.address.bytes;

	if (!is_same_socket(sk, typed, attempt->inode, old_state) ||
	    SOCKET_READ(typed, sk, __sk_common.skc_dport) != bpf_htons(attempt->peer.end.port))
		return false;
	if (attempt->peer.end.family == AF_INET)
		return SOCKET_READ(typed, sk, __sk_common.skc_daddr) == words[0];
	return SOCKET_READ(typed, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr32[3]) == words[3];
}

static __always_inline int attempt_end(void *ctx, struct sock *sk, const bool typed, int old_state,
				       int new_state)
{
	struct connect_attempt *attempt;
	__u64 key = (__u64)sk;
	struct tcp_sock *tp;
	__u64 now;

	attempt = bpf_map_lookup_elem(&attempts, &key);
	if (!attempt || !attempt->pending)
		return 0;
	tp = tcp_socket(sk, typed);
	if (!tp)
		return 0;
	sk = (void *)tp;
	if (!is_attempt_of(attempt, sk, typed, old_state)) {
		attempt_missed(attempt);
		return 0;
	}
	now = bpf_ktime_get_boot_ns();

	struct connect_event event = {};

	attempt_to_event(&event, sk, tp, typed, attempt, now);
	attempt_outcome(&event, sk, tp, typed, attempt, new_state);
	attempt_leave(attempt, key);
	if (!(event.flags & CONNECT_ASIDE) && outcome_shown(&event)) {
		event_send(ctx, &event, sizeof(event), now);
	} else if (connect_config.siblings && event.outcome == CONNECT_ESTABLISHED) {
		event.flags |= CONNECT_ASIDE;
		event_try_send(ctx, &event, sizeof(event), now); /* it is no event: never lost */
	}
	return 0;
}

/*
 * Two programs on one tracepoint do the same: the second one handles the events that
 * the first one missed. The kernel skips a program that already runs on this CPU, and
 * an interrupt may bring an end just then: during the first program the second one sees
 * it, during the second the first. (Callers begin, which interrupts do not.)
 *
 * Where tracepoints are preemptible (7.0) a task may be preempted inside a program, and
 * the kernel skips that program for all other tasks on the CPU until the task runs
 * again. Then beginnings are missed too, so there are more stand-ins, each of which may
 * be preempted in turn. (Switching preemption off inside the program only moves it to
 * the program's end.)
 */
static __always_inline int state_changed(void *ctx, struct sock *sk, const bool typed,
					 int old_state, int new_state, const bool stand_in,
					 const bool asks)
{
	if (new_state == TCP_SYN_SENT) {
		if (stand_in && !connect_config.preemptible)
			return 0;
		return attempt_begin(ctx, sk, typed, stand_in, asks);
	}
	/* SYN_RECV: both sides called at once, or the socket called itself. */
	if (old_state != TCP_SYN_SENT && old_state != TCP_SYN_RECV)
		return 0;
	return new_state == TCP_SYN_RECV ? 0 : attempt_end(ctx, sk, typed, old_state, new_state);
}

#define STATE_PROGRAMS(name, suffix, stand_in, asks)                                               \
	SEC("tp_btf/inet_sock_set_state")                                                          \
	int BPF_PROG(name##_btf##suffix, struct sock *sk, int old_state, int new_state)            \
	{                                                                                          \
		return state_changed(ctx, sk, true, old_state, new_state, stand_in, asks);         \
	}                                                                                          \
                                                                                                   \
	SEC("raw_tp/inet_sock_set_state")                                                          \
	int name##_raw##suffix(struct bpf_raw_tracepoint_args *ctx)                                \
	{                                                                                          \
		return state_changed(ctx, (void *)ctx->args[0], false, ctx->args[1], ctx->args[2], \
				     stand_in, asks);                                              \
	}

STATE_PROGRAMS(state, , false, true)
STATE_PROGRAMS(state, _2, true, true)
STATE_PROGRAMS(state, _3, true, true)
STATE_PROGRAMS(state, _4, true, true)
STATE_PROGRAMS(state, _5, true, true)

/* The same without the caller's registers and memory, for kernels that refuse to show these. */
STATE_PROGRAMS(plain, , false, false)
STATE_PROGRAMS(plain, _2, true, false)
STATE_PROGRAMS(plain, _3, true, false)
STATE_PROGRAMS(plain, _4, true, false)
STATE_PROGRAMS(plain, _5, true, false)

/* ---- attempts that are pending when tracing ends ---- */

/* The answer to the last question; user space asks one at a time. */
struct connect_look connect_look SEC(".data.look");

static __always_inline bool is_connecting(struct sock *sk, __u64 inode, __u16 port)
{
	__u8 state = BPF_CORE_READ(sk, __sk_common.skc_state);

	return (state == TCP_SYN_SENT || state == TCP_SYN_RECV) &&
	       is_same_socket(sk, false, inode, state) &&
	       bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport)) == port;
}

/* `sk`, an address in `attempts`, may have been freed meanwhile: reads do not fault. */
static __always_inline int look_at(struct sock *sk, __u64 inode, __u16 port, __u32 interface)
{
	struct tcp_sock *tp = (void *)sk;

	__builtin_memset(&connect_look, 0, sizeof(connect_look));
	if (!is_connecting(sk, inode, port)) {
		/*
		 * The attempt ended after detaching, or its end was skipped: the
		 * outcome is unknown.
		 */
		event_lost();
		return 0;
	}
	connect_look.connecting = 1;
	socket_local(sk, false, &connect_look.local);
	if (interface)
		interface_name(sk, interface, connect_look.interface_name);
	connect_look.local.port = bpf_ntohs(BPF_CORE_READ(tp, inet_conn.icsk_inet.inet_sport));
	connect_look.retransmits = BPF_CORE_READ(tp, total_retrans);
	return 0;
}

/*
 * Attached to nothing: user space runs it for each attempt. Two kinds of programs can
 * be run this way; the kernel may refuse either.
 */
SEC("raw_tp")
int look(struct bpf_raw_tracepoint_args *ctx)
{
	return look_at((void *)ctx->args[0], ctx->args[1], ctx->args[2], ctx->args[3]);
}

SEC("syscall")
int look_syscall(__u64 *ctx)
{
	return look_at((void *)ctx[0], ctx[1], ctx[2], ctx[3]);
}

/* ---- attempts that were pending when tracing began ---- */

/*
 * The age of the first SYN: TCP notes the millisecond. 0 where TCP counts microseconds
 * (a route's feature since 6.7).
 */
static __always_inline __u64 connecting_for_ns(struct sock *sk)
{
	struct tcp_sock *tp = (void *)sk;
	__u32 now_ms = bpf_ktime_get_ns() / 1000000;
	__u32 age_ms = now_ms - BPF_CORE_READ(tp, retrans_stamp);

	return age_ms < 1000 * 3600 ? age_ms * 1000000ULL : 0;
}

/* Whether a TCP socket is connecting and passes the filters on sockets; fills in `attempt`. */
static __always_inline bool earlier_attempt(struct socket *socket, struct sock *sk,
					    struct connect_attempt *attempt)
{
	if (BPF_CORE_READ(sk, __sk_common.skc_state) != TCP_SYN_SENT)
		return false;
	socket_peer(sk, false, &attempt->peer);
	attempt->txhash = BPF_CORE_READ(sk, sk_txhash);
	attempt->flags = CONNECT_EARLIER;
	attempt->inode = socket_inode(socket);
	attempt->untold = 1;
	attempt->pending = 1;
	return peer_allowed(&attempt->peer);
}

/* Enters the socket as an attempt, which waits for its end. */
static __always_inline int earlier_begin(struct sock *sk, const struct connect_attempt *attempt)
{
	struct connect_attempt *place;
	__u64 key = (__u64)sk;

	if (bpf_map_update_elem(&attempts, &key, attempt, BPF_NOEXIST))
		return 0;
	__sync_fetch_and_add(&attempts_count, 1);
	user_add(attempt->id.uid, 1);
	/* If the attempt ended meanwhile, nobody would notice. */
	if (BPF_CORE_READ(sk, __sk_common.skc_state) != TCP_SYN_SENT) {
		place = bpf_map_lookup_elem(&attempts, &key);
		if (place && place->pending) {
			place->pending = 0;
			user_add(attempt->id.uid, -1);
		}
	}
	return 0;
}

/*
 * Each open file of each process: connecting sockets among them begin an attempt here, and
 * MPTCP connections have an owner from here on.
 */
SEC("iter/task_file")
int earlier(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct connect_attempt attempt = {};
	struct file *file = ctx->file;
	struct socket *socket;
	struct sock *sk;
	__u16 protocol;

	/* The cgroup filter works only for the current task. */
	if (!task || !file || (snoop_config.filters & (FILTER_BY_CGROUP | FILTER_NOT_CGROUP)))
		return 0;
	socket = file_socket(file);
	sk = socket ? BPF_CORE_READ(socket, sk) : NULL;
	if (!sk)
		return 0;
	protocol = BPF_CORE_READ(sk, sk_protocol);
	if (protocol == IPPROTO_MPTCP && filter_allows(task))
		owner_is(task, sk);
	if (protocol != IPPROTO_TCP || !earlier_attempt(socket, sk, &attempt) ||
	    !filter_allows(task))
		return 0;
	task_id_fill(&attempt.id, task, bpf_ktime_get_boot_ns() - connecting_for_ns(sk));
	attempt.id.cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
	return earlier_begin(sk, &attempt);
}

/* The owner of the socket for adopt(), as far as /proc knows it. */
struct task_id adopted_by SEC(".data.adopt");

/*
 * If the kernel refuses the iterator, user space finds such sockets in /proc, borrows
 * each by pidfd_getfd(), and runs this program for it: `fd` is the tool's own
 * descriptor.
 */
static __always_inline int adopt_fd(__s32 fd)
{
	struct connect_attempt attempt = {};
	struct file *file = task_file((void *)bpf_get_current_task(), fd);
	struct socket *socket = file ? file_socket(file) : NULL;
	struct sock *sk = socket ? BPF_CORE_READ(socket, sk) : NULL;

	if (!sk || BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP ||
	    !earlier_attempt(socket, sk, &attempt))
		return 0;
	attempt.id = adopted_by;
	attempt.id.lost = snoop_counters.lost;
	attempt.id.time_ns = bpf_ktime_get_boot_ns() - connecting_for_ns(sk);
	return earlier_begin(sk, &attempt);
}

SEC("raw_tp")
int adopt(struct bpf_raw_tracepoint_args *ctx)
{
	return adopt_fd(ctx->args[0]);
}

SEC("syscall")
int adopt_syscall(__u64 *ctx)
{
	return adopt_fd(ctx[0]);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
