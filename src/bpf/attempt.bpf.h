/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_ATTEMPT_BPF_H
#define SNOOP_ATTEMPT_BPF_H

/* State of an attempt to connect, until it has ended, and until its caller knows. */

#include "asked.bpf.h"

#define ECONNRESET 104
#define ETIMEDOUT 110
#define ECONNREFUSED 111

/* An attempt without an answer yet; or an ended one whose place is kept. */
struct connect_attempt {
	struct task_id id; /* time_ns: its begin */
	struct connect_peer peer;
	enum connect_flag flags;
	__u64 inode; /* of the socket, whose memory may be another's by now */
	__u32 txhash; /* sk_txhash at the begin: the socket then draws another one */
	__u16 untold; /* 1: as in `untold`; 0: nobody waits, or the entry is there */
	__u16 pending; /* 0: it has ended */
};

/*
 * By socket. Preallocated, because allocation inside tracing programs was unsafe before
 * 6.1.
 *
 * Inserting an element into a hash and deleting it costs more than all other work for
 * an attempt, and the next socket mostly gets the memory, hence the key, of one closed
 * before. So an element stays when its attempt has ended, unless there are many. Only
 * attempt_leave() deletes elements, at the end of an attempt of the same socket: until
 * then, nobody else may write to the element.
 */
#define MAX_ATTEMPTS 32768
#define MAX_KEPT 2048
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_ATTEMPTS);
	__type(key, __u64);
	__type(value, struct connect_attempt);
} attempts SEC(".maps");

__u64 attempts_count; /* elements of `attempts` */

/*
 * Pending attempts of each user, so that none takes the places of all others: a user may
 * have so many times the places that are left, which leaves a quarter of them to others.
 * Users whose ids hash alike share a count.
 */
#define SHARE 3
#define USER_BITS 12
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1 << USER_BITS);
	__type(key, __u32);
	__type(value, __s64);
} attempts_by_user SEC(".maps");

static __always_inline __s64 *user_count(__u32 uid)
{
	__u32 index = uid * 2654435761U >> (32 - USER_BITS);

	return bpf_map_lookup_elem(&attempts_by_user, &index);
}

static __always_inline void user_add(__u32 uid, __s64 number)
{
	__s64 *count = user_count(uid);

	if (count)
		__sync_fetch_and_add(count, number);
}

/* Skipped programs may have left a count below zero. */
static __always_inline bool user_may_have_more(__u32 uid)
{
	__s64 *count = user_count(uid);
	__s64 left = MAX_ATTEMPTS - (__s64)attempts_count;

	return !count || *count <= 0 || *count < SHARE * left;
}

/*
 * Attempts whose outcome no return from connect() has given the caller yet: that return
 * is not a new attempt. The inode number of the socket is kept too, because its address
 * may be reused by then. This map is for attempts without a place in `attempts` (any
 * more). Many callers never ask, so the oldest entries go.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, __u64);
} untold SEC(".maps");

/* The attempt has ended: its place is free for the socket's next attempt, or for any. */
static __always_inline void attempt_leave(struct connect_attempt *attempt, __u64 key)
{
	user_add(attempt->id.uid, -1);
	if (attempts_count <= MAX_KEPT) {
		attempt->pending = 0;
		return;
	}
	if (connect_config.sees_errors && attempt->untold)
		bpf_map_update_elem(&untold, &key, &attempt->inode, BPF_ANY);
	if (!bpf_map_delete_elem(&attempts, &key))
		__sync_fetch_and_add(&attempts_count, -1);
}

/*
 * A pending attempt whose end was missed: its socket is gone, and another one has its
 * memory now, or it begins anew.
 */
static __always_inline void attempt_missed(struct connect_attempt *attempt)
{
	if (!(attempt->flags & CONNECT_ASIDE))
		event_lost();
	user_add(attempt->id.uid, -1);
	attempt->pending = 0;
}

/* Ends the last attempt of a socket that begins anew, if its end was missed: its place, or NULL. */
static __always_inline struct connect_attempt *attempt_end_last(__u64 key)
{
	struct connect_attempt *attempt = bpf_map_lookup_elem(&attempts, &key);

	if (attempt && attempt->pending)
		attempt_missed(attempt);
	return attempt;
}

static const struct connect_attempt no_attempt = {};

/*
 * Makes a place for a socket's attempt; false: there is no more room, or none for this user. Not
 * inlined, so that the stack of its caller does not tell the verifier afterwards that it has run.
 */
static __noinline bool attempt_insert(__u64 key, __u32 uid)
{
	if (!user_may_have_more(uid) ||
	    bpf_map_update_elem(&attempts, &key, &no_attempt, BPF_NOEXIST))
		return false;
	__sync_fetch_and_add(&attempts_count, 1);
	return true;
}

/* The place for a socket's new attempt; NULL if there is none. */
static __always_inline struct connect_attempt *attempt_place(__u64 key, __u32 uid)
{
	struct connect_attempt *attempt = attempt_end_last(key);

	if (!attempt && attempt_insert(key, uid))
		attempt = bpf_map_lookup_elem(&attempts, &key);
	return attempt;
}

/* 0: there is no socket. */
static __always_inline __u64 socket_inode(struct socket *socket)
{
	struct socket_alloc *alloc = (void *)socket; /* its first member */

	return BPF_CORE_READ(alloc, vfs_inode.i_ino);
}

/*
 * Whether `sk` still is the socket with that inode number: another one may have its memory.
 * One that was accepted has no inode yet, and was never SYN_SENT. A subflow of a connection
 * that is closed has none any more.
 */
static __always_inline bool is_same_socket(struct sock *sk, const bool typed, __u64 inode,
					   int state)
{
	struct socket *socket = SOCKET_READ(typed, sk, sk_socket);

	return socket ? socket_inode(socket) == inode : state == TCP_SYN_SENT;
}

/*
 * The caller does not know the outcome of an attempt yet. `sk` is the socket of the
 * connect() call; `attempt` is NULL if `sk` is not the key of its place, or if it has
 * no place.
 */
static __always_inline void caller_is_untold(struct connect_attempt *attempt, struct sock *sk)
{
	__u64 key = (__u64)sk, inode;

	if (attempt) {
		attempt->untold = 1;
		return;
	}
	inode = socket_inode(BPF_CORE_READ(sk, sk_socket));
	bpf_map_update_elem(&untold, &key, &inode, BPF_ANY);
}

/* Errors of attempts that had begun: hardly anything refuses a call with these. */
static __always_inline bool is_outcome(long ret)
{
	return ret == -ECONNREFUSED || ret == -ETIMEDOUT || ret == -ECONNRESET;
}

/*
 * A call of connect() returns: is its attempt known already, from the socket? Another thread
 * may have dissolved the socket meanwhile, and have been told.
 */
static __always_inline bool caller_is_told(struct socket *socket, struct sock *sk, long ret)
{
	__u64 key = (__u64)sk;
	__u64 inode = socket_inode(socket);
	struct connect_attempt *attempt = bpf_map_lookup_elem(&attempts, &key);
	__u64 *other;

	if (attempt && attempt->inode == inode && (attempt->untold || is_outcome(ret))) {
		if (!attempt->pending)
			attempt->untold = 0;
		return true;
	}
	other = bpf_map_lookup_elem(&untold, &key);
	if (other && *other == inode) {
		bpf_map_delete_elem(&untold, &key);
		return true;
	}
	return false;
}

#endif /* SNOOP_ATTEMPT_BPF_H */
