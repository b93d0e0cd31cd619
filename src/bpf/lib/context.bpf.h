/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_CONTEXT_BPF_H
#define SNOOP_CONTEXT_BPF_H

/*
 * Sends what is asked for besides an event: context_send(), right before the event is reserved or
 * sent. Without --login and --ancestors the verifier removes it.
 */

#include "context.h"
#include "task.bpf.h"

EVENT(context_login);
EVENT(context_ancestors);

/* The process that leads the session `session`, or NULL if it has ended. */
static __always_inline struct task_struct *session_leader(struct pid *session)
{
	void *first = BPF_CORE_READ(session, tasks[PIDTYPE_TGID].first);

	if (!first)
		return NULL;
	return first - bpf_core_field_offset(struct task_struct, pid_links[PIDTYPE_TGID]);
}

static __always_inline __u32 pid_in_initial_namespace(struct pid *pid)
{
	struct upid *number = pid_number(pid, 0);

	return BPF_CORE_READ(number, nr);
}

/* A function of its own, since the stack of its caller may be full. False: no room. */
static __noinline bool context_send_login(void *ctx, struct task_struct *task, __u64 time_ns,
					  __u32 tid)
{
	struct context_login login = {};
	struct task_struct *leader;
	struct pid *session;

	login.head.time_ns = time_ns;
	login.head.mark = CONTEXT_MARK;
	login.head.tid = tid;
	login.head.kind = CONTEXT_IS_LOGIN;
	login.login_uid = CONTEXT_NO_ID;
	login.audit_session = CONTEXT_NO_ID;
	/* Not in kernels without audit. */
	if (bpf_core_field_exists(task->loginuid))
		login.login_uid = BPF_CORE_READ(task, loginuid.val);
	if (bpf_core_field_exists(task->sessionid))
		login.audit_session = BPF_CORE_READ(task, sessionid);
	session = BPF_CORE_READ(task, signal, pids[PIDTYPE_SID]);
	login.session_leader = pid_in_initial_namespace(session);
	leader = session_leader(session);
	if (leader)
		login.session_leader_start_ns = BPF_CORE_READ(leader, start_boottime);
	login.group_leader =
		pid_in_initial_namespace(BPF_CORE_READ(task, signal, pids[PIDTYPE_PGID]));
	login.gid = BPF_CORE_READ(task, cred, gid.val);
	login.egid = BPF_CORE_READ(task, cred, egid.val);
	BPF_CORE_READ_STR_INTO(&login.tty, task, signal, tty, name);
	return event_try_send(ctx, &login, sizeof(login), time_ns);
}

/* Notes the parent of `*leader`, which takes its place. False: there is none. */
static __always_inline bool context_climb(struct context_ancestor *ancestor,
					  struct task_struct **leader)
{
	/* The thread that forked, which need not be the first one. */
	struct task_struct *parent = BPF_CORE_READ(*leader, real_parent, group_leader);
	__u32 pid = BPF_CORE_READ(parent, tgid);

	if (!pid)
		return false; /* the idle task */
	ancestor->start_ns = BPF_CORE_READ(parent, start_boottime);
	ancestor->pid = pid;
	ancestor->exec_id = BPF_CORE_READ(parent, self_exec_id);
	BPF_CORE_READ_INTO(&ancestor->comm, parent, comm);
	*leader = parent;
	return true;
}

/* The same where `*leader` has a type: a third of the cost. */
static __always_inline bool context_climb_typed(struct context_ancestor *ancestor,
						struct task_struct **leader)
{
	struct task_struct *parent = (*leader)->real_parent->group_leader;
	__u32 pid = parent->tgid;

	if (!pid)
		return false;
	ancestor->start_ns = parent->start_boottime;
	ancestor->pid = pid;
	ancestor->exec_id = parent->self_exec_id;
	*(__u64 *)&ancestor->comm[0] = *(__u64 *)&parent->comm[0];
	*(__u64 *)&ancestor->comm[8] = *(__u64 *)&parent->comm[8];
	*leader = parent;
	return true;
}

/* How far the chain has been told. */
struct context_walk {
	struct context_ancestors part;
	struct task_struct *leader;
};

enum context_step {
	CONTEXT_NEXT, /* there is more to tell */
	CONTEXT_TOLD,
	CONTEXT_NO_ROOM,
};

static __always_inline enum context_step context_step(void *ctx, struct context_walk *walk,
						      const bool typed)
{
	struct context_ancestors *part = &walk->part;
	struct task_struct *leader = walk->leader;

	part->count = 0;
#pragma unroll
	for (__u32 i = 0; i < CONTEXT_ANCESTORS_EACH; i++) {
		struct context_ancestor *next = &part->ancestors[i];

		if (!(typed ? context_climb_typed(next, &leader) : context_climb(next, &leader))) {
			part->flags = CONTEXT_LAST;
			break;
		}
		if (part->first + i >= snoop_config.ancestors) {
			part->flags = CONTEXT_LAST | CONTEXT_MORE;
			break;
		}
		part->count = i + 1;
	}
	if (!event_try_send(ctx, part, sizeof(*part), part->head.time_ns))
		return CONTEXT_NO_ROOM;
	walk->leader = leader;
	return part->flags ? CONTEXT_TOLD : CONTEXT_NEXT;
}

static __always_inline bool context_send_chain(void *ctx, struct context_walk *walk, __u64 time_ns,
					       __u32 tid, const bool typed)
{
	enum context_step step = CONTEXT_NEXT;

	walk->part.head.time_ns = time_ns;
	walk->part.head.mark = CONTEXT_MARK;
	walk->part.head.tid = tid;
	walk->part.head.kind = CONTEXT_IS_ANCESTORS;
	/*
	 * Once more than there are ancestors, to say that these are all. The number goes through a
	 * barrier: otherwise clang counts by what is in the record, which 5.10 takes for endless.
	 * And the body is not a function: 5.10 counts 32 bytes of stack for each that may be
	 * called.
	 */
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i <= MAX_ANCESTORS / CONTEXT_ANCESTORS_EACH; i++) {
		barrier_var(i);
		walk->part.first = i * CONTEXT_ANCESTORS_EACH;
		step = context_step(ctx, walk, typed);
		if (step != CONTEXT_NEXT)
			break;
	}
	return step != CONTEXT_NO_ROOM;
}

static __noinline bool context_send_ancestors(void *ctx, struct task_struct *task, __u64 time_ns,
					      __u32 tid)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	struct context_walk walk = { .leader = leader };

	walk.part.exec_id = BPF_CORE_READ(leader, self_exec_id);
	return context_send_chain(ctx, &walk, time_ns, tid, false);
}

/* Of the current task, typed. */
static __noinline bool context_send_own_ancestors(void *ctx, __u64 time_ns, __u32 tid)
{
	struct context_walk walk = {};
	struct task_struct *leader = bpf_get_current_task_btf()->group_leader;

	walk.part.exec_id = leader->self_exec_id;
	walk.leader = leader;
	return context_send_chain(ctx, &walk, time_ns, tid, true);
}

static __always_inline void context_lost(void)
{
	__sync_fetch_and_add(&snoop_counters.context_lost, 1);
}

/*
 * For an event of `task` with this time and thread id in its task_id. Before its record is
 * reserved: records come in the order of their places.
 */
static __always_inline void context_send(void *ctx, struct task_struct *task, __u64 time_ns,
					 __u32 tid)
{
	bool sent = true;

	if (snoop_config.context & CONTEXT_LOGIN)
		sent = context_send_login(ctx, task, time_ns, tid);
	if (sent && (snoop_config.context & CONTEXT_ANCESTORS))
		sent = context_send_ancestors(ctx, task, time_ns, tid);
	if (!sent)
		context_lost();
}

/* The same for an event of the current task. */
static __always_inline void context_send_current(void *ctx, __u64 time_ns, __u32 tid)
{
	bool sent = true;

	if (snoop_config.context & CONTEXT_LOGIN)
		sent = context_send_login(ctx, (void *)bpf_get_current_task(), time_ns, tid);
	if (sent && (snoop_config.context & CONTEXT_ANCESTORS)) {
		if (task_is_typed())
			sent = context_send_own_ancestors(ctx, time_ns, tid);
		else
			sent = context_send_ancestors(ctx, (void *)bpf_get_current_task(), time_ns,
						      tid);
	}
	if (!sent)
		context_lost();
}

#endif /* SNOOP_CONTEXT_BPF_H */
