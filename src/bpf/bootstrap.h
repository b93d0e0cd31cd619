/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_BOOTSTRAP_H
#define SNOOP_BOOTSTRAP_H

#include "execve.h"

/*
 * Kinds of records besides executions, at the same place as enum exec_kind and with
 * other values.
 */
enum process_kind {
	PROCESS_FORK = 16, /* a process was born: struct process_birth_event */
	PROCESS_EXIT = 17, /* its last thread ends: struct process_exit_event */
	PROCESS_REAPED = 18, /* its final account: struct process_reaped_event */
	PROCESS_THREAD_EXIT = 19, /* a thread ends, others stay: struct process_exit_event */
};

enum process_flag {
	PROCESS_SHOWN = 1 << 0, /* to be shown; else a helper record for other rows */
	PROCESS_NO_EXEC = 1 << 1, /* still runs the program of its parent */
	PROCESS_KERNEL = 1 << 2, /* a kernel thread */
	PROCESS_OOM = 1 << 3, /* chosen by the kernel when memory ran out */
	PROCESS_KILLER = 1 << 4, /* the source of the signal is known */
	PROCESS_KILLER_KERNEL = 1 << 5, /* the kernel sent the signal, not a process */
};

/* All other records begin with this. */
struct process_event {
	struct task_id id;
	__u64 exec_id; /* inherited at birth, one more with each execution */
	enum process_kind kind;
	enum process_flag flags;
};
_Static_assert(__builtin_offsetof(struct process_event, kind) ==
		       __builtin_offsetof(struct exec_event, kind),
	       "records are told apart by their kind");
_Static_assert((int)PROCESS_FORK > (int)EXEC_FAILED, "no kind has two meanings");

/* A process is born. */
struct process_birth_event {
	struct process_event process;
	__u64 maker_start_ns; /* CLOCK_BOOTTIME of the birth of */
	__u32 maker_pid; /* the process that forked: with CLONE_PARENT not the parent */
	__u32 pad;
};

/* The usage of a process itself, all threads, without its children. */
struct process_usage {
	__u64 user_ns; /* by the kernel's ticks: see src/tools/procsnoop/usage.rs */
	__u64 system_ns;
	__u64 runtime_ns; /* both, by the scheduler's exact count */
	__u64 shown_user_ns; /* last value of getrusage(), which never decreases */
	__u64 shown_system_ns;
	__u64 max_rss_kib;
	__u64 minor_faults;
	__u64 major_faults;
	__u64 voluntary_switches;
	__u64 involuntary_switches;
	__u64 read_blocks; /* of 512 bytes */
	__u64 written_blocks;
};

/* The source of a fatal signal. */
struct process_killer {
	__u64 address; /* si_addr of a fault */
	__u64 start_ns; /* CLOCK_BOOTTIME of the sender's birth: with pid, its identity */
	__u32 pid; /* the sender's thread group id, initial PID namespace */
	__u32 uid; /* its real user id */
	__s32 code; /* si_code */
	__u32 signal;
	__u8 comm[TASK_COMM_LEN];
};

/* The end of a process, or of a thread. */
struct process_exit_event {
	struct process_event process; /* tid and thread_comm: of the thread that ends last */
	struct process_usage usage; /* up to now; not for threads */
	struct process_killer killer; /* with PROCESS_KILLER; not for threads */
	__u64 begin_ns; /* CLOCK_BOOTTIME of its beginning: see process_began() */
	__s32 status; /* as wait() reports it */
	__u32 threads; /* of the process, including this one */
};

/* The parent has waited: the usage is final. Of `id`, only pid and birth are set. */
struct process_reaped_event {
	struct process_event process;
	struct process_usage usage;
};

/* Whether a living process is shown to its end. */
enum told_state {
	TOLD_NOT = 0,
	TOLD_MATCHES = 1, /* it passed the filters when it began its program, without a row */
	TOLD_BY_ROW = 2, /* it has a row, or is drawn */
};

/* A living process that passed the filters. */
struct process_told {
	__u64 start_ns; /* CLOCK_BOOTTIME of its birth, */
	__u32 within_ns; /* which /proc rounds down by up to so much */
	enum told_state state;
};

/* A process that is older than the tool, in the initial PID namespace and in the tracer's. */
struct process_ids {
	__u32 pid;
	__u32 pid_here;
};

/* Set before loading. */
struct process_config {
	__u64 min_duration_ns; /* of exits */
	__u64 signals; /* exits shown, by fatal signal: bit N-1 for signal N */
	__u64 codes[4]; /* exits shown, by exit code */
	__u32 execs; /* show executions */
	__u32 forks; /* show births */
	__u32 threads; /* show the ends of threads */
	__u32 kernel_threads; /* show kernel threads too */
	__u32 reaped; /* send the final account */
	__u32 drawn; /* all records are for a picture, too */
	__u32 page_kib; /* of a page of memory */
	__u32 pad;
};

/* COMMAND, which waits until tracing has begun: set just before its release. */
struct process_command {
	__u64 released_ns; /* CLOCK_BOOTTIME */
	__u32 pid; /* in the tracer's PID namespace; 0: none, or it still waits */
	__u32 pad;
};

/* Counted by the programs. */
struct process_counters {
	__u64 context_lost; /* helper records that found no room */
	__u64 told_full; /* processes that filter_told had no room for */
};

#endif /* SNOOP_BOOTSTRAP_H */
