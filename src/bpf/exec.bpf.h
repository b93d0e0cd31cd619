/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_EXEC_BPF_H
#define SNOOP_EXEC_BPF_H

/*
 * The record of an execution: built in a scratch slot, sent in the smallest size class
 * that holds it. And the program for a successful execution, exec_done().
 */

#include "execve.h"

/*
 * One slot for each program, since a preempted program may be followed by another
 * on the same CPU (never by itself: the kernel refuses recursion and counts it).
 */
enum exec_slot {
	SLOT_DONE,
	SLOT_EXECVE,
	SLOT_EXECVEAT,
	SLOT_COMPAT_EXECVE,
	SLOT_COMPAT_EXECVEAT,
	SLOT_REFUSED,
	SLOT_KILLED,
	SLOTS,
};

/* A tool without the programs for failures defines both before it includes this file. */
#ifndef EXEC_SLOTS
#define EXEC_SLOTS SLOTS
#define PERF_SLOTS SLOTS
#endif

#include "filter.bpf.h"

EVENT(exec_event);

#define FILENAME_CAP 4096 /* PATH_MAX with its NUL */
#define INTERP_CAP 256 /* BINPRM_BUF_SIZE */
#define PATH_TAIL (FILENAME_CAP + INTERP_CAP) /* both follow the path in path_buf */
#include "path.bpf.h"

#define AT_FDCWD (-100)

/*
 * What to do with a record that finds no room; a tool that need not show executions
 * redefines it.
 */
#ifndef EXEC_LOST
#define EXEC_LOST() event_lost()
#endif

/* Whether an execution is to be traced; a tool that remembers processes redefines it. */
#ifndef EXEC_ALLOWED
#define EXEC_ALLOWED(task) filter_allows(task)
#endif

/* Whether an execution has a row, so that its context is of use. */
#ifndef EXEC_HAS_ROW
#define EXEC_HAS_ROW true
#endif

#define STRINGS_CAP (PATH_CAP + PATH_TAIL)
#define PERF_ARGS_CAP (PERF_RECORD_MAX - sizeof(struct exec_event) - STRINGS_CAP)

#define FAILED_ARGS_CAP 8192 /* of a failed call: bytes before the last argument, */
#define FAILED_ARG_MAX 8192 /* bytes of the last argument, */
#define FAILED_ARGC_MAX 128 /* and their number */

/*
 * The fixed part and the strings of one execution, built before the record is reserved,
 * so that its size is known.
 */
struct exec_scratch {
	struct exec_event event;
	struct exec_cold cold; /* scratch for one entry */
	struct path_buf strings; /* path, then filename, interpreter, cold strings */
	__u8 args[FAILED_ARGS_CAP + FAILED_ARG_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, EXEC_SLOTS);
	__type(key, __u32);
	__type(value, struct exec_scratch);
} exec_scratch SEC(".maps");

/* ---- sending ---- */

/* The source of the arguments, once the record is reserved. */
struct args_source {
	const void *address;
	bool user; /* in user space; else in the scratch slot */
};

static __always_inline __u32 exec_strings_len(const struct exec_event *event)
{
	return event->path_len + event->filename_len + event->interp_len + event->cold_len;
}

/*
 * Sends one record with room for `strings_cap` and `args_cap` bytes, both constants;
 * longer arguments are cut. False: no room in the buffer.
 */
static __always_inline bool exec_send(void *ctx, __u32 slot, struct exec_scratch *scratch,
				      const struct args_source *args, const __u32 strings_cap,
				      const __u32 args_cap)
{
	struct exec_event *event = &scratch->event;
	__u32 strings_len = exec_strings_len(event);
	__u32 args_len = event->args_len;
	struct exec_event *record;
	__u8 *data;
	long err;

	record = event_reserve(slot, sizeof(*event) + strings_cap + args_cap);
	if (!record)
		return false;
	strings_len = AT_MOST(strings_len, strings_cap); /* for the verifier */

	data = (void *)(record + 1);
	__builtin_memcpy(record, event, sizeof(*event));
	bpf_probe_read_kernel(data, strings_len, &scratch->strings.bytes[scratch->strings.start]);
	args_len = AT_MOST(args_len, args_cap);
	if (args->user)
		err = bpf_probe_read_user(data + strings_len, args_len, args->address);
	else
		err = bpf_probe_read_kernel(data + strings_len, args_len, args->address);
	if (err) {
		record->flags |= EXEC_ARGS_FAULT;
		args_len = 0;
	}
	record->args_len = args_len;
	if (!event_try_submit(ctx, record, sizeof(*event) + strings_len + args_len,
			      event->id.time_ns))
		EXEC_LOST();
	return true;
}

/*
 * Sends in the smallest size class that holds everything. If the buffer has no room for
 * that, sends a smaller record with fewer arguments: a cut event, which says how much
 * is missing, is better than a lost one.
 */
static __always_inline void exec_emit(void *ctx, __u32 slot, struct exec_scratch *scratch,
				      const struct args_source *args)
{
	struct exec_event *event = &scratch->event;
	__u32 strings = exec_strings_len(event);

	if (snoop_config.context && EXEC_HAS_ROW)
		context_send_current(ctx, event->id.time_ns, event->id.tid);
	if (snoop_config.perf) {
		if (!exec_send(ctx, slot, scratch, args, STRINGS_CAP, PERF_ARGS_CAP))
			EXEC_LOST();
		return;
	}
#define TRY(strings_cap, args_cap)                                                                 \
	if (exec_send(ctx, slot, scratch, args, strings_cap, args_cap))                            \
	return
	if (event->args_len > 256 * 1024)
		TRY(STRINGS_CAP, 2 * 1024 * 1024);
	if (event->args_len > 32 * 1024)
		TRY(STRINGS_CAP, 256 * 1024);
	if (event->args_len > 4096)
		TRY(STRINGS_CAP, 32 * 1024);
	if (event->args_len > 1024 || strings > 512)
		TRY(STRINGS_CAP, 4096);
	if (strings <= 512 && (event->args_len > 128 || strings > 160))
		TRY(512, 1024);
	if (strings <= 160)
		TRY(160, 128);
#undef TRY
	EXEC_LOST();
}

/* ---- strings of both success and failure ---- */

__noinline int exec_climb(__u32 slot)
{
	struct exec_scratch *scratch = bpf_map_lookup_elem(&exec_scratch, &slot);

	return scratch ? path_climb(&scratch->strings) : 0;
}

static __always_inline void exec_path(struct exec_scratch *scratch, __u32 slot, struct file *file)
{
	struct exec_event *event = &scratch->event;

	if (path_begin(&scratch->strings, BPF_CORE_READ(file, f_path.dentry),
		       BPF_CORE_READ(file, f_path.mnt)))
		path_end(&scratch->strings, exec_climb, slot);
	event->path_len = PATH_CAP - scratch->strings.start;
	if (scratch->strings.flags & PATH_CUT)
		event->flags |= EXEC_PATH_CUT;
	if (scratch->strings.flags & PATH_DELETED)
		event->flags |= EXEC_PATH_DELETED;
	if (scratch->strings.flags & PATH_NO_MOUNT)
		event->flags |= EXEC_PATH_NO_MOUNT;
}

/*
 * After a bpf_probe_read_*_str(): the length without NUL, noting faults. For an empty
 * string old kernels (5.10) return 0, new ones 1.
 */
static __always_inline __u16 exec_filename_len(struct exec_event *event, long n)
{
	if (n < 0)
		event->flags |= EXEC_FILENAME_FAULT;
	if (n <= 0)
		return 0;
	if (n >= FILENAME_CAP)
		n = FILENAME_CAP; /* PATH_MAX with its NUL: the kernel accepts no longer name */
	return n - 1;
}

static __always_inline void exec_fill(struct exec_event *event, struct task_struct *task,
				      enum exec_kind kind)
{
	task_id_fill(&event->id, task, bpf_ktime_get_boot_ns());
	event->kind = kind;
	event->arg_start = 0;
	event->image_start = 0;
	event->image_inode = 0;
	event->mnt_ns = 0;
	event->ret = 0;
	event->flags = 0;
	event->argc = 0;
	event->args_total = 0;
	event->args_len = 0;
	event->caller_tid = event->id.tid;
	event->dirfd = AT_FDCWD;
	event->path_len = 0;
	event->filename_len = 0;
	event->interp_len = 0;
	event->cold_len = 0;
	__builtin_memset(event->pad, 0, sizeof(event->pad));
	if (BPF_CORE_READ(task, real_parent, flags) & PF_KTHREAD)
		event->flags |= EXEC_KERNEL;
}

/* ---- success: for a program on sched_process_exec ---- */

static __always_inline int exec_done(void *ctx, struct task_struct *task, __u32 old_tid,
				     struct linux_binprm *bprm)
{
	__u32 slot = SLOT_DONE;
	struct args_source args = { .user = true };
	struct exec_scratch *scratch;
	struct exec_event *event;
	const char *filename, *interp;
	__u64 total;
	long n;

	if (!EXEC_ALLOWED(task))
		return 0;
	scratch = bpf_map_lookup_elem(&exec_scratch, &slot);
	if (!scratch)
		return 0;
	event = &scratch->event;
	exec_fill(event, task, EXEC_DONE);
	event->caller_tid = old_tid;
	event->argc = BPF_CORE_READ(bprm, argc);
	if (BPF_CORE_READ_BITFIELD_PROBED(bprm, secureexec))
		event->flags |= EXEC_SECURE;

	exec_path(scratch, slot, BPF_CORE_READ(task, mm, exe_file));
	filename = BPF_CORE_READ(bprm, filename);
	interp = BPF_CORE_READ(bprm, interp);
	n = bpf_probe_read_kernel_str(&scratch->strings.bytes[PATH_CAP], FILENAME_CAP, filename);
	event->filename_len = exec_filename_len(event, n);
	if (interp != filename) {
		__u32 at = event->filename_len;

		barrier_var(at); /* or clang bounds n instead, and 5.10 loses track */
		if (at < FILENAME_CAP) {
			n = bpf_probe_read_kernel_str(&scratch->strings.bytes[PATH_CAP + at],
						      INTERP_CAP, interp);
			if (n > 0 && n <= INTERP_CAP)
				event->interp_len = n - 1;
		}
	}

	args.address = (void *)BPF_CORE_READ(task, mm, arg_start);
	total = BPF_CORE_READ(task, mm, arg_end) - (__u64)args.address;
	event->args_total = total;
	event->args_len = total;
	exec_emit(ctx, slot, scratch, &args);
	return 0;
}

#endif /* SNOOP_EXEC_BPF_H */
