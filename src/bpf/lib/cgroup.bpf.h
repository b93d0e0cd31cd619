/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_CGROUP_BPF_H
#define SNOOP_CGROUP_BPF_H

/*
 * New cgroups, for the names of containers that live for moments only: what they are called is
 * looked up before they run anything. Loaded only if names are asked for.
 */

#include "events.bpf.h"
#include "verifier.bpf.h"

/* Scratch: programs are skipped, not run within themselves on one CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cgroup_born);
} cgroup_scratch SEC(".maps");

/* The member that is needed of this type. */
struct cgroup_root___of_version {
	int hierarchy_id;
} __attribute__((preserve_access_index));

/* A record that is lost is no event: the name may still be found later. */
static __always_inline int cgroup_seen(void *ctx, struct cgroup *cgroup, const char *path)
{
	struct cgroup_root___of_version *root = (void *)BPF_CORE_READ(cgroup, root);
	struct cgroup_born *born;
	__u32 zero = 0;
	long len;

	if (BPF_CORE_READ(root, hierarchy_id))
		return 0; /* of version 1: ids of events are those of the other hierarchy */
	born = bpf_map_lookup_elem(&cgroup_scratch, &zero);
	if (!born)
		return 0;
	born->id.time_ns = bpf_ktime_get_boot_ns();
	born->id.lost = snoop_counters.lost;
	born->id.cgroup = BPF_CORE_READ(cgroup, kn, id);
	born->id.tid = CGROUP_BORN;
	len = bpf_probe_read_kernel_str(born->path, sizeof(born->path), path);
	if (len <= 0)
		return 0;
	event_try_send(ctx, born, sizeof(born->id) + AT_MOST(len, sizeof(born->path)),
		       born->id.time_ns);
	return 0;
}

SEC("raw_tp/cgroup_mkdir")
int cgroup_born_raw(struct bpf_raw_tracepoint_args *ctx)
{
	return cgroup_seen(ctx, (void *)ctx->args[0], (void *)ctx->args[1]);
}

SEC("tp_btf/cgroup_mkdir")
int cgroup_born_btf(__u64 *ctx)
{
	return cgroup_seen(ctx, (void *)ctx[0], (void *)ctx[1]);
}

#endif /* SNOOP_CGROUP_BPF_H */
