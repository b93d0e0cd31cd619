/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_COMMON_H
#define SNOOP_COMMON_H

/*
 * Types that user space and every BPF program share. Rust gets these types from the
 * generated skeletons, so this file is their only definition. Rules for members:
 * fixed-width integers, enums, arrays and structs of those, explicit padding. A gap
 * fails the build. A struct with a bool, bitfield, union or pointer has no bytes that
 * Rust may read: build/skeletons.rs.
 */

#define TASK_COMM_LEN 16

/* The process and the time: the first member of every event. */
struct task_id {
	__u64 time_ns; /* CLOCK_BOOTTIME when it happened */
	__u64 lost; /* events lost by all programs up to now: a rise marks a gap */
	__u64 start_ns; /* CLOCK_BOOTTIME of the process's birth: with pid, its identity */
	__u64 parent_start_ns; /* likewise, of the parent, with ppid */
	__u64 cgroup; /* id in the cgroup v2 hierarchy */
	__u32 pid; /* thread group id, initial PID namespace */
	__u32 tid; /* thread id, initial PID namespace */
	__u32 ppid; /* real parent's thread group id, initial PID namespace */
	__u32 uid; /* real user id, initial user namespace */
	__u32 euid; /* effective user id */
	__u32 vpid; /* pid as the process itself sees it (innermost PID namespace) */
	__u8 comm[TASK_COMM_LEN]; /* the process's name, which is its first thread's */
	__u8 thread_comm[TASK_COMM_LEN]; /* the thread's; both NUL-terminated, any bytes */
};

#define CGROUP_PATH_MAX 1024

/*
 * Not an event: a new cgroup, of version 2. Sent only if names of containers are asked for, and up
 * to the end of the path.
 */
struct cgroup_born {
	struct task_id id; /* of nobody: pid is 0, and tid CGROUP_BORN */
	__u8 path[CGROUP_PATH_MAX]; /* NUL-terminated; cut if it is longer */
};
#define CGROUP_BORN 0xffffffff

/* Which filters are on: bits of snoop_config.filters. Unset bits cost nothing. */
enum snoop_filter {
	FILTER_BY_PID = 1 << 0,
	FILTER_BY_PPID = 1 << 1,
	FILTER_BY_UID = 1 << 2,
	FILTER_BY_COMM = 1 << 3,
	FILTER_BY_CGROUP = 1 << 4,
	FILTER_BY_TREE = 1 << 5,
	FILTER_NOT_PID = 1 << 6, /* --not-pid and the like: leave out what they name */
	FILTER_NOT_UID = 1 << 7,
	FILTER_NOT_COMM = 1 << 8,
	FILTER_NOT_CGROUP = 1 << 9,
	FILTER_BY_ANCESTOR_PID = 1 << 10,
	FILTER_BY_ANCESTOR_COMM = 1 << 11,
};

#define MAX_CGROUP_FILTERS 64

/* What is sent besides each event, in records of its own: see context.h. */
enum snoop_context {
	CONTEXT_NONE = 0,
	CONTEXT_LOGIN = 1 << 0,
	CONTEXT_ANCESTORS = 1 << 1,
};

#define MAX_ANCESTORS 64 /* that are sent, and that --ancestor looks at */

/* Set before loading and constant afterwards: the verifier removes code that is off. */
struct snoop_config {
	enum snoop_filter filters;
	__u32 perf; /* 1: events go to a perf buffer, 0: to a ring buffer */
	__u32 wakeup_bytes; /* ring buffer: wake the reader at this many unread bytes */
	__u32 pidns_inum; /* the tracer's PID namespace if not the initial one, else 0 */
	__u32 self_pid; /* the tracer itself: never shown */
	__u32 cgroups; /* entries used in the cgroup filter */
	__u32 not_cgroups; /* entries behind them, of --not-cgroup */
	__u32 keeper_pid; /* parent of the tracer's helpers: never shown, nor are they; 0: none */
	__u32 only_pid; /* FILTER_BY_PID: the process, if it is only one, else 0 */
	__u32 rings; /* of `event_rings`; 0: there is one buffer, `events` */
	__u32 ring_scale; /* a CPU's number times this, divided by 65536, is that of its ring */
	__u32 not_pid; /* FILTER_NOT_PID: the process, if it is only one, else 0 */
	enum snoop_context context;
	__u32 ancestors; /* the most that are sent, up to MAX_ANCESTORS */
	__u64 began_ns; /* CLOCK_BOOTTIME: ids of --not-pid are those of older processes */
};

/* Counted by the programs, read by user space. */
struct snoop_counters {
	__u64 lost; /* events that found no room in the buffer */
	__u64 tree_full; /* descendants that --tree could not remember */
	__u64 context_lost; /* events whose context found no room */
};

#endif /* SNOOP_COMMON_H */
