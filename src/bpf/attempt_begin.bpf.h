/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_ATTEMPT_BEGIN_BPF_H
#define SNOOP_ATTEMPT_BEGIN_BPF_H

/* A socket becomes SYN_SENT, in the context of the caller: an attempt begins. */

#include "attempt.bpf.h"
#include "subflow.bpf.h"

struct connect_counters connect_counters;

/* An attempt that found no place: as in `attempts`. */
struct connect_refused {
	__u64 key;
	__u32 txhash;
	__u32 unused;
};

/* The last one on this CPU: stand-ins need not try. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct connect_refused);
} refused SEC(".maps");

/*
 * A connection that is restored, from a checkpoint of its process (TCP_REPAIR): the socket
 * takes all the states of one that connects, and sends nothing.
 */
static __always_inline bool in_repair(struct tcp_sock *tp, const bool typed)
{
	return typed ? BPF_CORE_READ_BITFIELD(tp, repair)
		     : BPF_CORE_READ_BITFIELD_PROBED(tp, repair);
}

/* A socket that begins an attempt. */
struct connect_begin {
	struct sock *sk;
	struct sock *mptcp; /* its MPTCP connection, or NULL */
	__u64 owner; /* key of a connection that another task has opened, or 0 */
	__u64 inode;
	__u32 txhash;
	__u32 flags;
};

/* Who opened the connection; NULL: the current task, or nobody knows any more. */
static __always_inline const struct subflow_owner *begin_owner(const struct connect_begin *begin)
{
	return begin->owner ? owner_by_key(begin->owner) : NULL;
}

/* Who connects. `is_rare`: few calls come by, and the verifier's time is worth more. */
static __always_inline void begin_id(const struct connect_begin *begin, struct task_id *id,
				     const bool is_rare)
{
	__u64 now = bpf_ktime_get_boot_ns();
	const struct subflow_owner *owner;

	if (!is_rare && !begin->owner) {
		task_id_fill_current(typed_task(), id, now, bpf_get_current_cgroup_id());
		return;
	}
	owner = begin_owner(begin);
	if (!owner) {
		task_id_fill(id, (void *)bpf_get_current_task(), now);
		return;
	}
	*id = owner->id;
	id->time_ns = now;
	id->lost = snoop_counters.lost;
}

static __always_inline __u32 begin_uid(const struct connect_begin *begin)
{
	const struct subflow_owner *owner = begin_owner(begin);

	return owner ? owner->id.uid : (__u32)bpf_get_current_uid_gid();
}

/*
 * Shows at once an attempt that cannot be followed to its end. Its record is written in the buffer,
 * since it is too large for the stack.
 */
static __always_inline void attempt_unplaced(void *ctx, const struct connect_begin *begin,
					     const bool typed, const struct connect_peer *peer)
{
	/* In a perf buffer's scratch, a preempted task would share the record with others. */
	bool shared = snoop_config.perf && connect_config.preemptible;
	struct connect_event *event = shared ? NULL : event_reserve(0, sizeof(*event));

	__sync_fetch_and_add(&connect_counters.full, 1);
	if (!event) {
		event_lost();
		return;
	}
	__builtin_memset(event, 0, sizeof(*event));
	begin_id(begin, &event->id, true);
	event->outcome = CONNECT_UNKNOWN;
	event->peer = peer->end;
	event->asked = peer->asked;
	event->netns = peer->netns;
	event->flags = begin->flags;
	socket_local(begin->sk, typed, &event->local);
	if (outcome_shown(event)) {
		event_submit(ctx, event, sizeof(*event), event->id.time_ns);
	} else {
		event_drop(event);
		event_lost(); /* its end might have been shown */
	}
}

/*
 * Whether a program before this stand-in has begun the attempt already. What is pending
 * since an earlier attempt is not it: the socket has drawn another hash since.
 */
static __always_inline bool has_begun(__u64 key, const struct connect_begin *begin)
{
	const struct connect_attempt *attempt = bpf_map_lookup_elem(&attempts, &key);
	const struct connect_refused *last;
	__u32 zero = 0;

	if (attempt && attempt->pending && attempt->inode == begin->inode &&
	    attempt->txhash == begin->txhash)
		return true;
	last = bpf_map_lookup_elem(&refused, &zero);
	return last && last->key == (__u64)begin->sk && last->txhash == begin->txhash;
}

static __always_inline void attempt_refused(const struct connect_begin *begin)
{
	struct connect_refused *last;
	__u32 zero = 0;

	last = bpf_map_lookup_elem(&refused, &zero);
	if (last) {
		last->key = (__u64)begin->sk;
		last->txhash = begin->txhash;
	}
}

/*
 * Whether the filters let the attempt's owner through. That of a further subflow passed them
 * when it opened the connection; if nobody knows it, no filter can be asked.
 */
static __always_inline bool begin_allowed(struct connect_begin *begin, struct tcp_sock *tp,
					  const bool typed)
{
	struct mptcp_subflow_context *subflow = socket_subflow(tp, typed);

	if (subflow) {
		begin->flags = CONNECT_MPTCP;
		if (subflow_is_further(subflow)) {
			begin->flags |= CONNECT_KERNEL;
			begin->owner = subflow_owner(subflow);
			return begin->owner || !snoop_config.filters;
		}
		begin->mptcp = BPF_CORE_READ(subflow, conn);
	}
	if (!filter_allows_current(typed_task()))
		return false;
	if (subflow)
		owner_is_current(subflow);
	if (current_flags() & PF_KTHREAD)
		begin->flags |= CONNECT_KERNEL;
	return true;
}

/* The filters leave this one out. Its end must not be taken for that of the last attempt. */
static __always_inline int attempt_left_out(__u64 key)
{
	attempt_end_last(key);
	return 0;
}

static __always_inline int attempt_begin(void *ctx, struct sock *sk, const bool typed,
					 const bool stand_in, const bool asks)
{
	struct connect_begin begin = { .sk = sk };
	struct connect_attempt *attempt;
	struct connect_peer peer;
	__u64 key = (__u64)sk;
	struct tcp_sock *tp;
	bool allowed;
	__u32 uid;

	if (SOCKET_READ(typed, sk, sk_protocol) != IPPROTO_TCP)
		return 0;
	tp = tcp_socket(sk, typed);
	if (!tp)
		return 0;
	sk = (void *)tp;
	begin.inode = socket_inode(SOCKET_READ(typed, sk, sk_socket));
	begin.txhash = SOCKET_READ(typed, sk, sk_txhash);
	if (stand_in && has_begun(key, &begin))
		return 0;
	if (in_repair(tp, typed) || !begin_allowed(&begin, tp, typed))
		return attempt_left_out(key);
	forget(&begin.mptcp, sizeof(begin.mptcp));
	forget(&begin.owner, sizeof(begin.owner));
	forget(&begin.flags, sizeof(begin.flags));
	socket_peer(sk, typed, &peer);
	forget(&peer, sizeof(peer));
	if (asks)
		peer_asked(sk, begin.mptcp, typed, &peer);
	forget(&peer, sizeof(peer));
	allowed = peer_allowed(&peer);
	if (!allowed && !connect_config.siblings)
		return attempt_left_out(key);
	uid = begin_uid(&begin);
	forget(&begin.owner, sizeof(begin.owner));
	attempt = attempt_place(key, uid);
	/* Nobody waits in connect() for a further subflow. */
	if (connect_config.sees_errors && (begin.mptcp || !(begin.flags & CONNECT_MPTCP)))
		caller_is_untold(begin.mptcp ? NULL : attempt, begin.mptcp ?: sk);
	if (!attempt) {
		if (allowed)
			attempt_unplaced(ctx, &begin, typed, &peer);
		attempt_refused(&begin);
		return 0;
	}
	begin_id(&begin, &attempt->id, false);
	/* Now, in the context of the caller; user space keeps it until the end. */
	if (snoop_config.context && allowed && !begin.owner)
		context_send_current(ctx, attempt->id.time_ns, attempt->id.tid);
	user_add(attempt->id.uid, 1);
	if (begin.flags & CONNECT_MPTCP)
		attempt->untold = 0; /* it is the connection's caller who may be */
	attempt->peer = peer;
	attempt->inode = begin.inode;
	attempt->txhash = begin.txhash;
	attempt->flags = begin.flags;
	if (!allowed)
		attempt->flags |= CONNECT_ASIDE;
	attempt->pending = 1;
	return 0;
}

#endif /* SNOOP_ATTEMPT_BEGIN_BPF_H */
