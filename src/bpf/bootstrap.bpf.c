// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * procsnoop: lives of processes, from fork through exec to the end, with the status of
 * wait().
 *
 * A process ends with the last of its threads, whichever that is: see process_ended().
 * The status is the thread group's. The usage is complete only when the parent has
 * waited for the process, which still uses time on its way out, above all to give back
 * its memory; so the final account comes in a second record, at sched_process_free.
 *
 * Executions and births are sent even if they are not shown, because a later end needs
 * the command line; such records do not count as lost.
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bootstrap.h"

const volatile struct process_config process_config SEC(".rodata.process");
struct process_counters process_counters SEC(".data.process");
/* In a section of its own: user space writes it while the counters change. */
struct process_command process_command SEC(".data.command");

/* Slots for perf buffers: one for each program, behind SLOT_DONE of executions. */
enum process_slot {
	SLOT_FORK = 1,
	SLOT_EXIT, /* and its stand-ins */
	SLOT_EXIT_2,
	SLOT_EXIT_3,
	SLOT_REAPED,
	PROCESS_SLOTS,
};
#define EXEC_SLOTS (SLOT_DONE + 1)
#define PERF_SLOTS PROCESS_SLOTS

static __always_inline void exec_lost(void);
#define EXEC_LOST() exec_lost()
static __always_inline bool exec_is_told(struct task_struct *task, bool is_row);
#define EXEC_ALLOWED(task) exec_is_told(task, process_config.execs || process_config.drawn)
#define EXEC_HAS_ROW process_config.execs
#define TREE_FORGOTTEN_BY_TOOL
#include "exec.bpf.h"
#include "killer.bpf.h"
#include "told.bpf.h"
#include "usage.bpf.h"

_Static_assert((int)SLOT_FORK == EXEC_SLOTS, "no two programs have the same slot");

#define PF_FORKNOEXEC 0x00000040
#define EEXIST 17

EVENT(process_event);
EVENT(process_birth_event);
EVENT(process_exit_event);
EVENT(process_reaped_event);
EVENT(process_ids);

enum end_state {
	END_SEEN = 1,
	END_TOLD = 2, /* the end passed the filters */
};

/*
 * Ended processes that have not been freed yet. Later programs look them up: other
 * threads that end at the same time, stand-ins of the first program, the final account.
 * LRU, because a zombie may stay for ever; an entry that goes too early costs only the
 * final account, since all other lookups come within microseconds.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16 * 1024);
	__type(key, struct process_key);
	__type(value, __u8);
} ended SEC(".maps");

static __always_inline void helper_lost(void)
{
	__sync_fetch_and_add(&process_counters.context_lost, 1);
}

static __always_inline void exec_lost(void)
{
	if (process_config.execs)
		event_lost();
	else
		helper_lost();
}

static __always_inline void process_lost(enum process_flag flags)
{
	if (flags & PROCESS_SHOWN)
		event_lost();
	else
		helper_lost();
}

/* The time of an event, for which the context is sent if it has a row. `tid`: in its task_id. */
static __always_inline __u64 process_time(void *ctx, struct task_struct *task, __u32 tid,
					  enum process_flag flags)
{
	__u64 now = bpf_ktime_get_boot_ns();

	if (flags & PROCESS_SHOWN)
		context_send(ctx, task, now, tid);
	return now;
}

static __always_inline void process_fill(struct process_event *event, struct task_struct *leader,
					 enum process_kind kind, enum process_flag flags, __u64 now)
{
	task_id_fill(&event->id, leader, now);
	event->kind = kind;
	event->flags = flags;
	event->exec_id = BPF_CORE_READ(leader, self_exec_id);
}

static __always_inline enum process_flag process_flags(struct task_struct *task)
{
	__u32 task_flags = BPF_CORE_READ(task, flags);
	enum process_flag flags = 0;

	if (task_flags & PF_FORKNOEXEC)
		flags |= PROCESS_NO_EXEC;
	if (task_flags & PF_KTHREAD)
		flags |= PROCESS_KERNEL;
	return flags;
}

/* ---- birth ---- */

static __always_inline int process_born(void *ctx, struct task_struct *maker,
					struct task_struct *child)
{
	enum process_flag flags = process_flags(child);
	struct process_birth_event *event;
	__u64 now;

	if (BPF_CORE_READ(child, pid) != BPF_CORE_READ(child, tgid))
		return 0; /* a thread */
	if ((flags & PROCESS_KERNEL) && !process_config.kernel_threads)
		return 0;
	if (!birth_is_told(child, process_config.forks || process_config.drawn))
		return 0;
	if (process_config.forks)
		flags |= PROCESS_SHOWN;
	now = process_time(ctx, child, BPF_CORE_READ(child, pid), flags);
	event = event_reserve(SLOT_FORK, sizeof(*event));
	if (!event) {
		process_lost(flags);
		return 0;
	}
	process_fill(&event->process, child, PROCESS_FORK, flags, now);
	/* Not always the maker's cgroup: CLONE_INTO_CGROUP. */
	event->process.id.cgroup = BPF_CORE_READ(child, cgroups, dfl_cgrp, kn, id);
	event->maker_start_ns = BPF_CORE_READ(maker, group_leader, start_boottime);
	event->maker_pid = BPF_CORE_READ(maker, tgid);
	event->pad = 0;
	if (!event_try_submit(ctx, event, sizeof(*event), event->process.id.time_ns))
		process_lost(flags);
	return 0;
}

/* ---- end ---- */

/* Since 6.16 the tracepoint names the last thread. */
static __always_inline bool tells_group_dead(void)
{
	return bpf_core_field_exists(((struct trace_event_raw_sched_process_exit *)0)->group_dead);
}

/*
 * True exactly once for each process, at its end.
 *
 * Before 6.16 only signal->live shows the end, when it has come down to 0. Threads that
 * end at once may all see that: the first one to enter itself in `ended` reports the
 * end.
 *
 * Before 6.0 the status may be the group leader's exit_code, which do_exit() sets after
 * decrementing signal->live but before exit_mm(). If the leader still has an mm, it has
 * not reached this tracepoint yet: leave the report to it.
 */
static __always_inline bool process_ended(struct task_struct *task, struct task_struct *leader,
					  bool group_dead, const struct process_key *key)
{
	__u8 state = END_SEEN;
	int err;

	if (tells_group_dead()) {
		if (!group_dead)
			return false;
	} else {
		if (BPF_CORE_READ(task, signal, live.counter))
			return false;
		if (leader != task && !(BPF_CORE_READ(task, signal, flags) & SIGNAL_GROUP_EXIT) &&
		    BPF_CORE_READ(leader, mm))
			return false;
	}
	/* An int: before 6.4 the upper half of the helper's result is not the sign. */
	err = bpf_map_update_elem(&ended, key, &state, BPF_NOEXIST);
	return err != -EEXIST;
}

static __always_inline __s32 process_status(struct task_struct *leader)
{
	struct signal_struct *signal = BPF_CORE_READ(leader, signal);

	if (BPF_CORE_READ(signal, flags) & SIGNAL_GROUP_EXIT)
		return BPF_CORE_READ(signal, group_exit_code) & 0xffff;
	return BPF_CORE_READ(leader, exit_code) & 0xffff;
}

/* Whether this end passes --failed, --signal, --exit-code and -d. */
static __always_inline bool exit_asked_for(__s32 status, __u64 duration_ns)
{
	__u32 signal = status & 0x7f, code = (status >> 8) & 0xff;

	if (duration_ns < process_config.min_duration_ns)
		return false;
	if (signal)
		return process_config.signals >> ((signal - 1) & 63) & 1;
	switch (code >> 6) {
	case 0:
		return process_config.codes[0] >> (code & 63) & 1;
	case 1:
		return process_config.codes[1] >> (code & 63) & 1;
	case 2:
		return process_config.codes[2] >> (code & 63) & 1;
	default:
		return process_config.codes[3] >> (code & 63) & 1;
	}
}

/*
 * The beginning of a process's life, for people: its birth, but for COMMAND its
 * release, since before that it only waited for us. The kernel's time of birth stays
 * its identity.
 */
static __always_inline __u64 process_began(struct task_struct *leader, __u64 start_ns)
{
	__u32 command = process_command.pid;

	if (command && start_ns < process_command.released_ns &&
	    task_pid_for_filter(leader) == command)
		return process_command.released_ns;
	return start_ns;
}

static __always_inline bool end_is_told(const struct process_key *key)
{
	__u8 *state = bpf_map_lookup_elem(&ended, key);

	return state && *state == END_TOLD;
}

/*
 * Whether the end of a single thread passes the filters: with its process, whose end may
 * be reported already, or by a name of its own, by which it may be left out, too.
 */
static __always_inline bool thread_is_told(struct task_struct *task, const struct process_key *key,
					   bool with_process, enum process_flag flags)
{
	if ((snoop_config.filters & FILTER_NOT_COMM) && (filter_comm_flags(task) & FILTER_NOT))
		return false;
	if (with_process || end_is_told(key))
		return true;
	if ((flags & PROCESS_KERNEL) && !process_config.kernel_threads)
		return false;
	return (snoop_config.filters & FILTER_BY_COMM) && filter_allows(task);
}

/* The end of a single thread, as it happens. `is_told`: the process passes the filters. */
static __always_inline void thread_exit(void *ctx, struct task_struct *task,
					const struct process_key *key, bool is_told,
					enum process_flag flags)
{
	__s32 status = BPF_CORE_READ(task, exit_code) & 0xffff;
	__u64 begin_ns = process_began(task, BPF_CORE_READ(task, start_boottime));
	struct process_exit_event *event;
	__u64 now;

	if (!exit_asked_for(status, bpf_ktime_get_boot_ns() - begin_ns))
		return;
	if (is_told && told_is_asked() && !end_is_told(key))
		told_remember(key->pid, key->start_ns, TOLD_BY_ROW);
	flags |= PROCESS_SHOWN;
	now = process_time(ctx, task, BPF_CORE_READ(task, pid), flags);
	event = event_reserve(SLOT_EXIT, sizeof(*event));
	if (!event) {
		event_lost();
		return;
	}
	process_fill(&event->process, task, PROCESS_THREAD_EXIT, flags, now);
	__builtin_memset(&event->usage, 0, sizeof(event->usage));
	__builtin_memset(&event->killer, 0, sizeof(event->killer));
	event->begin_ns = begin_ns;
	event->status = status;
	event->threads = BPF_CORE_READ(task, signal, nr_threads);
	event_submit(ctx, event, sizeof(*event), now);
}

static __always_inline void process_end(void *ctx, __u32 slot, struct task_struct *task,
					struct task_struct *leader, struct process_key *key,
					enum process_flag flags)
{
	struct process_exit_event *event;
	__s32 status = process_status(leader);
	__u64 begin_ns = process_began(leader, key->start_ns);
	__u32 tid = BPF_CORE_READ(task, pid);
	__u64 now;

	if (exit_asked_for(status, bpf_ktime_get_boot_ns() - begin_ns))
		flags |= PROCESS_SHOWN;
	now = process_time(ctx, leader, tid, flags);
	if (BPF_CORE_READ(task, signal, oom_mm))
		flags |= PROCESS_OOM;
	event = event_reserve(slot, sizeof(*event));
	if (!event) {
		process_lost(flags);
		return;
	}
	process_fill(&event->process, leader, PROCESS_EXIT, flags, now);
	event->process.id.tid = tid;
	BPF_CORE_READ_INTO(&event->process.id.thread_comm, task, comm);
	event->begin_ns = begin_ns;
	event->status = status;
	event->threads = BPF_CORE_READ(task, signal, nr_threads);
	usage_fill(&event->usage, task);
	usage_add(&event->usage, task);
	if (leader != task)
		usage_add(&event->usage, leader);
	killer_fill(event, key);
	if (!event_try_submit(ctx, event, sizeof(*event), now))
		process_lost(flags);
}

/* The process has ended: its id may soon be used again. */
static __always_inline void process_forget(struct task_struct *leader, __u32 pid)
{
	if (snoop_config.filters & FILTER_BY_TREE)
		tree_forget(leader);
	if (told_is_asked())
		told_forget(pid);
}

/*
 * A thread ends. Where tracepoints are preemptible (7.0), the kernel skips a program
 * while another task is preempted inside it on this CPU. Then a stand-in, which runs
 * next, reports the end of the process; there are several, since stand-ins may be
 * preempted too. `number`: from 1. Threads that are not shown return at once, so that
 * preemption is rare.
 */
static __always_inline int process_exit(void *ctx, struct task_struct *task, bool group_dead,
					const __u32 number)
{
	const bool stand_in = number > 1;
	struct process_key key = {};
	struct task_struct *leader;
	enum process_flag flags;
	bool is_end, is_thread, is_told;

	if (tells_group_dead() && !group_dead && (stand_in || !process_config.threads))
		return 0;
	leader = BPF_CORE_READ(task, group_leader);
	key.start_ns = BPF_CORE_READ(leader, start_boottime);
	key.pid = BPF_CORE_READ(task, tgid);
	is_end = process_ended(task, leader, group_dead, &key);
	is_thread = process_config.threads && !stand_in &&
		    (task != leader || BPF_CORE_READ(task, signal, nr_threads) > 1);
	if (!is_end && !is_thread)
		return 0;

	flags = process_flags(leader);
	is_told = (!(flags & PROCESS_KERNEL) || process_config.kernel_threads) &&
		  exit_is_told(leader, key.pid, key.start_ns);
	if (is_thread && thread_is_told(task, &key, is_told, flags))
		thread_exit(ctx, task, &key, is_told, flags);
	if (!is_end)
		return 0;
	if (is_told) {
		__u8 told = END_TOLD;

		bpf_map_update_elem(&ended, &key, &told, BPF_ANY);
		process_end(ctx, SLOT_EXIT + number - 1, task, leader, &key, flags);
	}
	process_forget(leader, key.pid);
	return 0;
}

/* ---- the final account ---- */

/*
 * A process's first thread is freed last, and only after the parent has waited for it
 * (or never will). The group's account then has the usage of all threads.
 */
static __always_inline int process_reaped(void *ctx, struct task_struct *task)
{
	struct process_key key = {};
	struct process_reaped_event *event;
	bool is_told;
	__u64 now;

	if (BPF_CORE_READ(task, exit_signal) < 0)
		return 0; /* no first thread, at the end */
	key.start_ns = BPF_CORE_READ(task, start_boottime);
	key.pid = BPF_CORE_READ(task, tgid);
	is_told = end_is_told(&key);
	bpf_map_delete_elem(&ended, &key);
	if (!is_told)
		return 0;
	event = event_reserve(SLOT_REAPED, sizeof(*event));
	if (!event) {
		helper_lost();
		return 0;
	}
	now = bpf_ktime_get_boot_ns();
	__builtin_memset(&event->process, 0, sizeof(event->process));
	event->process.id.time_ns = now;
	event->process.id.lost = snoop_counters.lost;
	event->process.id.start_ns = key.start_ns;
	event->process.id.pid = key.pid;
	event->process.kind = PROCESS_REAPED;
	usage_fill(&event->usage, task);
	if (!event_try_submit(ctx, event, sizeof(*event), now))
		helper_lost();
	return 0;
}

/* ---- processes that are older than the tool ---- */

/*
 * In a PID namespace /proc has other ids than events: user space reads here which is
 * which.
 */
SEC("iter/task")
int older(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct process_ids ids = {};

	if (!task || BPF_CORE_READ(task, pid) != BPF_CORE_READ(task, tgid))
		return 0;
	ids.pid = BPF_CORE_READ(task, tgid);
	ids.pid_here = task_pid_for_filter(task);
	bpf_seq_write(ctx->meta->seq, &ids, sizeof(ids));
	return 0;
}

/* ---- hooks: backend tp_btf, and raw_tp where that is refused ---- */

SEC("tp_btf/sched_process_fork")
int born_btf(__u64 *ctx)
{
	return process_born(ctx, (void *)ctx[0], (void *)ctx[1]);
}

SEC("raw_tp/sched_process_fork")
int born_raw(struct bpf_raw_tracepoint_args *ctx)
{
	return process_born(ctx, (void *)ctx->args[0], (void *)ctx->args[1]);
}

SEC("tp_btf/sched_process_exec")
int exec_btf(__u64 *ctx)
{
	return exec_done(ctx, (void *)ctx[0], ctx[1], (void *)ctx[2]);
}

SEC("raw_tp/sched_process_exec")
int exec_raw(struct bpf_raw_tracepoint_args *ctx)
{
	return exec_done(ctx, (void *)ctx->args[0], ctx->args[1], (void *)ctx->args[2]);
}

/* Older kernels lack this argument: there the verifier must not see it. */
#define GROUP_DEAD(args) (tells_group_dead() ? (__u8)(args)[1] : 0)

SEC("tp_btf/sched_process_exit")
int exit_btf(__u64 *ctx)
{
	return process_exit(ctx, (void *)ctx[0], GROUP_DEAD(ctx), 1);
}

SEC("raw_tp/sched_process_exit")
int exit_raw(struct bpf_raw_tracepoint_args *ctx)
{
	return process_exit(ctx, (void *)ctx->args[0], GROUP_DEAD(ctx->args), 1);
}

#define EXIT_STAND_IN(number)                                                                      \
	SEC("tp_btf/sched_process_exit")                                                           \
	int exit_btf_##number(__u64 *ctx)                                                          \
	{                                                                                          \
		return process_exit(ctx, (void *)ctx[0], GROUP_DEAD(ctx), number);                 \
	}                                                                                          \
                                                                                                   \
	SEC("raw_tp/sched_process_exit")                                                           \
	int exit_raw_##number(struct bpf_raw_tracepoint_args *ctx)                                 \
	{                                                                                          \
		return process_exit(ctx, (void *)ctx->args[0], GROUP_DEAD(ctx->args), number);     \
	}

EXIT_STAND_IN(2)
EXIT_STAND_IN(3)

SEC("tp_btf/sched_process_free")
int reaped_btf(__u64 *ctx)
{
	return process_reaped(ctx, (void *)ctx[0]);
}

SEC("raw_tp/sched_process_free")
int reaped_raw(struct bpf_raw_tracepoint_args *ctx)
{
	return process_reaped(ctx, (void *)ctx->args[0]);
}

SEC("tp_btf/signal_generate")
int signal_btf(__u64 *ctx)
{
	struct kernel_siginfo *info = NULL;

	/* Without its type: the verifier takes a typed pointer for one that is never NULL. */
	bpf_probe_read_kernel(&info, sizeof(info), &ctx[1]);
	return signal_sent(ctx[0], info, (void *)ctx[2], ctx[4]);
}

SEC("raw_tp/signal_generate")
int signal_raw(struct bpf_raw_tracepoint_args *ctx)
{
	return signal_sent(ctx->args[0], (void *)ctx->args[1], (void *)ctx->args[2], ctx->args[4]);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
