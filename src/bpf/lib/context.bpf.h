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
EVENT(context_link);

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

static __always_inline void context_fill_head(struct context_head *head, __u64 time_ns, __u32 tid,
					      enum context_kind kind)
{
	head->time_ns = time_ns;
	head->mark = CONTEXT_MARK;
	head->tid = tid;
	head->kind = kind;
}

static __always_inline void context_fill_login(struct context_login *login,
					       struct task_struct *task)
{
	struct task_struct *leader;
	struct pid *session;

	login->login_uid = CONTEXT_NO_ID;
	login->audit_session = CONTEXT_NO_ID;
	/* Not in kernels without audit. */
	if (bpf_core_field_exists(task->loginuid))
		login->login_uid = BPF_CORE_READ(task, loginuid.val);
	if (bpf_core_field_exists(task->sessionid))
		login->audit_session = BPF_CORE_READ(task, sessionid);
	session = BPF_CORE_READ(task, signal, pids[PIDTYPE_SID]);
	login->session_leader = pid_in_initial_namespace(session);
	leader = session_leader(session);
	login->session_leader_start_ns = leader ? BPF_CORE_READ(leader, start_boottime) : 0;
	login->group_leader =
		pid_in_initial_namespace(BPF_CORE_READ(task, signal, pids[PIDTYPE_PGID]));
	login->gid = BPF_CORE_READ(task, cred, gid.val);
	login->egid = BPF_CORE_READ(task, cred, egid.val);
	__builtin_memset(login->tty, 0, sizeof(login->tty));
	BPF_CORE_READ_STR_INTO(&login->tty, task, signal, tty, name);
}

/*
 * Functions of their own, since the stacks of their callers may be full: they have 32 bytes, of
 * which old kernels count each function that may be called, and fill their records in place. False:
 * no room.
 */
static __noinline bool context_send_login(struct task_struct *task, __u64 time_ns, __u32 tid)
{
	struct context_login *login = event_reserve_in_ring(sizeof(*login));

	if (!login)
		return false;
	context_fill_head(&login->head, time_ns, tid, CONTEXT_IS_LOGIN);
	context_fill_login(login, task);
	bpf_ringbuf_submit(login, event_wakeup_flags(time_ns, true));
	return true;
}

/*
 * The same for the perf buffer, which takes a record that is complete: on the stack, since what
 * interrupts this program may send a context, too.
 */
static __noinline bool context_output_login(void *ctx, struct task_struct *task, __u64 time_ns,
					    __u32 tid)
{
	struct context_login login;

	context_fill_head(&login.head, time_ns, tid, CONTEXT_IS_LOGIN);
	context_fill_login(&login, task);
	return event_try_send(ctx, &login, sizeof(login), time_ns);
}

/* The parent of a process, by its first thread. The thread that forked need not be that one. */
static __always_inline struct task_struct *context_parent(struct task_struct *leader,
							  const bool typed)
{
	if (typed)
		return leader->real_parent->group_leader;
	return BPF_CORE_READ(leader, real_parent, group_leader);
}

/* Its id; 0: it is the idle task, which is no ancestor. */
static __always_inline __u32 context_pid(struct task_struct *leader, const bool typed)
{
	return typed ? leader->tgid : BPF_CORE_READ(leader, tgid);
}

/* Typed reads take a third of the time. */
static __always_inline void context_fill_link(struct context_link *link, struct task_struct *leader,
					      const bool typed)
{
	if (typed) {
		link->start_ns = leader->start_boottime;
		link->pid = leader->tgid;
		link->exec_id = leader->self_exec_id;
		*(__u64 *)&link->comm[0] = *(__u64 *)&leader->comm[0];
		*(__u64 *)&link->comm[8] = *(__u64 *)&leader->comm[8];
		return;
	}
	BPF_CORE_READ_INTO(&link->start_ns, leader, start_boottime);
	BPF_CORE_READ_INTO(&link->pid, leader, tgid);
	link->exec_id = BPF_CORE_READ(leader, self_exec_id); /* of 64 bits */
	BPF_CORE_READ_INTO(&link->comm, leader, comm);
}

/*
 * Fills one with the process of `*leader`, and goes on to its parent, the next one. Its value is
 * link->flags.
 */
static __always_inline enum context_flag context_climb(struct context_link *link,
						       struct task_struct **leader, __u32 number,
						       const bool typed)
{
	enum context_flag flags = CONTEXT_GOES_ON;

	context_fill_link(link, *leader, typed);
	*leader = context_parent(*leader, typed);
	if (!context_pid(*leader, typed))
		flags = CONTEXT_LAST;
	else if (number >= snoop_config.ancestors)
		flags = CONTEXT_LAST | CONTEXT_MORE;
	link->number = number;
	link->flags = flags;
	return flags;
}

static __always_inline bool context_send_chain(struct task_struct *leader, __u64 time_ns, __u32 tid,
					       const bool typed)
{
#pragma clang loop unroll(disable)
	for (__u32 number = 0; number <= MAX_ANCESTORS; number++) {
		struct context_link *link = event_reserve_in_ring(sizeof(*link));
		enum context_flag flags;

		if (!link)
			return false;
		context_fill_head(&link->head, time_ns, tid, CONTEXT_IS_LINK);
		flags = context_climb(link, &leader, number, typed);
		bpf_ringbuf_submit(link, event_wakeup_flags(time_ns, true));
		if (flags)
			break;
	}
	return true;
}

static __noinline bool context_send_ancestors(struct task_struct *task, __u64 time_ns, __u32 tid)
{
	return context_send_chain(BPF_CORE_READ(task, group_leader), time_ns, tid, false);
}

static __always_inline bool context_has_chain(void)
{
	return !snoop_config.perf && (snoop_config.context & CONTEXT_ANCESTORS);
}

/*
 * Two functions for the chain of the current task, with and without its type. They are not static:
 * so the verifier follows their loops once, and not again for each state in which a program calls
 * them, which takes more steps than 5.10 allows. But it looks at them where nobody calls them, too.
 */
__noinline int context_send_typed(__u64 time_ns, __u32 tid)
{
	if (!context_has_chain() || !task_is_typed())
		return true;
	return context_send_chain(bpf_get_current_task_btf()->group_leader, time_ns, tid, true);
}

__noinline int context_send_untyped(__u64 time_ns, __u32 tid)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	if (!context_has_chain() || task_is_typed())
		return true;
	return context_send_chain(BPF_CORE_READ(task, group_leader), time_ns, tid, false);
}

/* For the perf buffer. */
static __noinline bool context_output_ancestors(void *ctx, struct task_struct *task, __u64 time_ns,
						__u32 tid)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	struct context_link link;

	context_fill_head(&link.head, time_ns, tid, CONTEXT_IS_LINK);
#pragma clang loop unroll(disable)
	for (__u32 number = 0; number <= MAX_ANCESTORS; number++) {
		enum context_flag flags = context_climb(&link, &leader, number, false);

		if (!event_try_send(ctx, &link, sizeof(link), time_ns))
			return false;
		if (flags)
			break;
	}
	return true;
}

static __always_inline void context_lost(void)
{
	__sync_fetch_and_add(&snoop_counters.context_lost, 1);
}

static __always_inline bool context_try_output(void *ctx, struct task_struct *task, __u64 time_ns,
					       __u32 tid)
{
	if ((snoop_config.context & CONTEXT_LOGIN) &&
	    !context_output_login(ctx, task, time_ns, tid))
		return false;
	return !(snoop_config.context & CONTEXT_ANCESTORS) ||
	       context_output_ancestors(ctx, task, time_ns, tid);
}

/*
 * For an event of `task` with this time and thread id in its task_id. Before its record is
 * reserved: records come in the order of their places.
 */
static __always_inline void context_send(void *ctx, struct task_struct *task, __u64 time_ns,
					 __u32 tid)
{
	bool sent = true;

	if (!snoop_config.context)
		return;
	if (snoop_config.perf) {
		sent = context_try_output(ctx, task, time_ns, tid);
	} else {
		if (snoop_config.context & CONTEXT_LOGIN)
			sent = context_send_login(task, time_ns, tid);
		if (sent && (snoop_config.context & CONTEXT_ANCESTORS))
			sent = context_send_ancestors(task, time_ns, tid);
	}
	if (!sent)
		context_lost();
}

/* The same for an event of the current task. */
static __always_inline void context_send_current(void *ctx, __u64 time_ns, __u32 tid)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	bool sent = true;

	if (snoop_config.perf) {
		context_send(ctx, task, time_ns, tid);
		return;
	}
	if (snoop_config.context & CONTEXT_LOGIN)
		sent = context_send_login(task, time_ns, tid);
	if (sent && (snoop_config.context & CONTEXT_ANCESTORS))
		sent = task_is_typed() ? context_send_typed(time_ns, tid)
				       : context_send_untyped(time_ns, tid);
	if (!sent)
		context_lost();
}

#endif /* SNOOP_CONTEXT_BPF_H */
