/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_SUBFLOW_BPF_H
#define SNOOP_SUBFLOW_BPF_H

/*
 * Multipath TCP. Who connects opens the first subflow of a connection. The kernel's path
 * manager opens the others: in a worker, an interrupt, or a call of whoever changes its
 * rules. These belong to who opened the connection.
 */

#include "socket.bpf.h"

struct subflow_owner {
	__u64 key; /* of the connection */
	struct task_id id; /* as it was when it connected */
};

/*
 * Owners of connections that passed the filters. The kernel draws the key of a connection
 * at random, and each of its subflows has it from the beginning. An entry has the place of
 * the key's last bits: a later connection with the same ones takes it.
 */
#define MAX_OWNERS 4096
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_OWNERS);
	__type(key, __u32);
	__type(value, struct subflow_owner);
} subflow_owners SEC(".maps");

/* Whether the path manager opens it; false: the first one of its connection. */
static __always_inline bool subflow_is_further(struct mptcp_subflow_context *subflow)
{
	return BPF_CORE_READ_BITFIELD_PROBED(subflow, request_join);
}

static __always_inline struct subflow_owner *owner_by_key(__u64 key)
{
	__u32 place = key % MAX_OWNERS;
	struct subflow_owner *owner = bpf_map_lookup_elem(&subflow_owners, &place);

	return owner && owner->key == key ? owner : NULL;
}

/* The key of its connection, if the owner of that is known; else 0. */
static __always_inline __u64 subflow_owner(struct mptcp_subflow_context *subflow)
{
	__u64 key = BPF_CORE_READ(subflow, local_key);

	return owner_by_key(key) ? key : 0;
}

static __always_inline void owner_enter(const struct subflow_owner *owner)
{
	__u32 place = owner->key % MAX_OWNERS;

	bpf_map_update_elem(&subflow_owners, &place, owner, BPF_ANY);
}

/* The current task opens the first subflow. */
static __always_inline void owner_is_current(struct mptcp_subflow_context *subflow)
{
	struct subflow_owner owner = {};

	owner.key = BPF_CORE_READ(subflow, local_key);
	task_id_fill(&owner.id, (void *)bpf_get_current_task(), 0);
	owner_enter(&owner);
}

/* `sk`, a connection from before tracing, is open in `task`. The first such task counts. */
static __always_inline void owner_is(struct task_struct *task, struct sock *sk)
{
	struct mptcp_sock *mptcp = (void *)sk;
	struct subflow_owner owner = {};

	if (!bpf_core_field_exists(mptcp->local_key))
		return;
	owner.key = BPF_CORE_READ(mptcp, local_key);
	if (!owner.key || owner_by_key(owner.key))
		return;
	task_id_fill(&owner.id, task, 0);
	owner.id.cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
	owner_enter(&owner);
}

#endif /* SNOOP_SUBFLOW_BPF_H */
