/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_CONTEXT_H
#define SNOOP_CONTEXT_H

#include "common.h"

/*
 * What --login and --ancestors ask for: records of their own, which one program sends just before
 * its event, into the same buffer. So events are as large with them as without.
 *
 * User space joins them by thread and time, since a program may be preempted in between. The mark
 * tells them from events.
 */

#define CONTEXT_MARK 0xffffffffffffffffULL

enum context_kind {
	CONTEXT_IS_LOGIN = 1, /* struct context_login */
	CONTEXT_IS_ANCESTORS = 2, /* struct context_ancestors */
};

/* All such records begin with this. */
struct context_head {
	__u64 time_ns; /* of the event */
	__u64 mark; /* CONTEXT_MARK, where an event has the number of lost ones */
	__u32 tid; /* of the event */
	enum context_kind kind;
};

#define CONTEXT_NO_ID 0xffffffff /* not set: the process descends from no login */
#define CONTEXT_TTY_LEN 32

/* Who is behind a process. All ids are those of the initial namespaces. */
struct context_login {
	struct context_head head;
	__u64 session_leader_start_ns; /* CLOCK_BOOTTIME of its birth; 0: it has ended */
	__u32 login_uid; /* the user who logged in, whatever sudo and su made of it since */
	__u32 audit_session;
	__u32 session_leader; /* process id; 0: none, as of threads of the kernel */
	__u32 group_leader; /* of the process group */
	__u32 gid; /* real */
	__u32 egid; /* effective */
	__u8 tty[CONTEXT_TTY_LEN]; /* name of the controlling terminal; empty: none */
};

/* The parent, or its parent, and so on. */
struct context_ancestor {
	__u64 start_ns; /* CLOCK_BOOTTIME of its birth: with pid, its identity */
	__u32 pid; /* initial PID namespace */
	__u32 exec_id; /* inherited at birth, one more with each execution */
	__u8 comm[TASK_COMM_LEN];
};

enum context_flag {
	CONTEXT_GOES_ON = 0, /* another record follows */
	CONTEXT_LAST = 1 << 0, /* it does not */
	CONTEXT_MORE = 1 << 1, /* there are more ancestors than are sent */
};

#define CONTEXT_ANCESTORS_EACH 2 /* in one record: the stack is small */

/* A part of the chain. */
struct context_ancestors {
	struct context_head head;
	__u32 first; /* number of the first one in this record, from 0, the parent */
	__u32 count; /* in this record */
	enum context_flag flags;
	__u32 exec_id; /* of the process itself */
	struct context_ancestor ancestors[CONTEXT_ANCESTORS_EACH];
};

#endif /* SNOOP_CONTEXT_H */
