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
	CONTEXT_IS_LINK = 2, /* struct context_link */
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

enum context_flag {
	CONTEXT_GOES_ON = 0, /* another record follows */
	CONTEXT_LAST = 1 << 0, /* it does not */
	CONTEXT_MORE = 1 << 1, /* there are more ancestors than are sent */
};

/*
 * One of the chain: the process itself, its parent, the parent of that, and so on. In a record of
 * its own, since there is little stack where several would be gathered.
 */
struct context_link {
	struct context_head head;
	__u64 start_ns; /* CLOCK_BOOTTIME of its birth: with pid, its identity */
	__u32 pid; /* initial PID namespace */
	__u32 exec_id; /* inherited at birth, one more with each execution */
	__u8 comm[TASK_COMM_LEN];
	__u32 number; /* in the chain: 0, the process itself */
	enum context_flag flags;
};

#endif /* SNOOP_CONTEXT_H */
