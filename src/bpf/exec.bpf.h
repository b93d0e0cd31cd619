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

const volatile struct exec_config exec_config SEC(".rodata.exec");

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

#define STRINGS_CAP (PATH_CAP + PATH_TAIL)
#define PERF_ARGS_CAP (PERF_RECORD_MAX - sizeof(struct exec_event) - STRINGS_CAP)

#define CWD_SMALL 160 /* bytes of a working directory in the smaller records */

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

/* The working directory. Not created unless it is asked for. */
struct exec_cwd {
	__u8 bytes[PATH_CAP];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, EXEC_SLOTS);
	__type(key, __u32);
	__type(value, struct exec_cwd);
} exec_cwd SEC(".maps");

/* ---- sending ---- */

/* The source of the arguments and of the environment behind them, once the record is reserved. */
struct args_source {
	const void *address;
	bool user; /* in user space; else in the scratch slot, and without an environment */
};

static __always_inline __u32 exec_strings_len(const struct exec_event *event)
{
	return event->path_len + event->filename_len + event->interp_len + event->cold_len;
}

/* Copies the working directory of a slot, at most `cap` bytes, a constant; returns how many. */
static __always_inline __u32 exec_send_cwd(__u8 *data, __u32 slot, const struct exec_event *event,
					   const __u32 cap)
{
	struct exec_cwd *cwd = bpf_map_lookup_elem(&exec_cwd, &slot);
	__u32 len = event->cwd_len;

	if (!cwd)
		return 0;
	len = AT_MOST(len, cap);
	bpf_probe_read_kernel(data, len, cwd->bytes);
	return len;
}

/*
 * Copies the arguments and, behind them, the environment: that is how the kernel lays them out. Of
 * both together at most `cap` bytes, a constant, so that the environment is what is cut first.
 * Returns how many.
 */
static __always_inline __u32 exec_send_args(__u8 *data, struct exec_event *record,
					    const struct args_source *args, const __u32 cap)
{
	__u32 args_len = record->args_len;
	__u64 len = args_len + record->env_len;
	long err;

	len = AT_MOST(len, cap);
	if (args->user)
		err = bpf_probe_read_user(data, len, args->address);
	else
		err = bpf_probe_read_kernel(data, len, args->address);
	if (err && exec_config.env && record->env_len) {
		record->flags |= EXEC_ENV_FAULT;
		record->env_len = 0;
		len = AT_MOST(args_len, cap);
		err = bpf_probe_read_user(data, len, args->address);
	}
	if (err) {
		record->flags |= EXEC_ARGS_FAULT;
		len = 0;
	}
	record->args_len = len < args_len ? len : args_len;
	record->env_len = len - record->args_len;
	return len;
}

/*
 * Sends one record with room for `strings_cap`, `cwd_cap` and `args_cap` bytes, all constants;
 * longer arguments are cut, and so is the environment. False: no room in the buffer.
 */
static __always_inline bool exec_send(void *ctx, __u32 slot, struct exec_scratch *scratch,
				      const struct args_source *args, const __u32 strings_cap,
				      const __u32 cwd_cap, const __u32 args_cap)
{
	struct exec_event *event = &scratch->event;
	__u32 len = exec_strings_len(event);
	struct exec_event *record;
	__u8 *data;

	if (exec_config.cwd)
		record = event_reserve(slot, sizeof(*event) + strings_cap + cwd_cap + args_cap);
	else
		record = event_reserve(slot, sizeof(*event) + strings_cap + args_cap);
	if (!record)
		return false;
	len = AT_MOST(len, strings_cap); /* for the verifier */

	data = (void *)(record + 1);
	__builtin_memcpy(record, event, sizeof(*event));
	bpf_probe_read_kernel(data, len, &scratch->strings.bytes[scratch->strings.start]);
	data += len;
	if (exec_config.cwd) {
		__u32 cwd_len = exec_send_cwd(data, slot, event, cwd_cap);

		data += cwd_len;
		len += cwd_len;
	}
	len += exec_send_args(data, record, args, args_cap);
	if (!event_try_submit(ctx, record, sizeof(*event) + len, event->id.time_ns))
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
	__u32 args_len = event->args_len + event->env_len;
	/* So that the working directory is in any record: it is never cut here. */
	const bool is_small = event->cwd_len <= CWD_SMALL;

	if (snoop_config.perf) {
		bool sent = exec_config.cwd ? exec_send(ctx, slot, scratch, args, STRINGS_CAP,
							PATH_CAP, PERF_ARGS_CAP - PATH_CAP)
					    : exec_send(ctx, slot, scratch, args, STRINGS_CAP, 0,
							PERF_ARGS_CAP);
		if (!sent)
			EXEC_LOST();
		return;
	}
#define TRY(strings_cap, cwd_cap, args_cap)                                                        \
	if (exec_send(ctx, slot, scratch, args, strings_cap, cwd_cap, args_cap))                   \
	return
	if (args_len > 256 * 1024)
		TRY(STRINGS_CAP, PATH_CAP, 2 * 1024 * 1024);
	if (args_len > 32 * 1024)
		TRY(STRINGS_CAP, PATH_CAP, 256 * 1024);
	if (args_len > 4096)
		TRY(STRINGS_CAP, PATH_CAP, 32 * 1024);
	/* Most environments: without room for the longest paths. */
	if (exec_config.env && strings <= 512 && is_small && args_len > 1024)
		TRY(512, CWD_SMALL, 4096);
	if (args_len > 1024 || strings > 512 || !is_small)
		TRY(STRINGS_CAP, PATH_CAP, 4096);
	if (strings <= 512 && is_small && (args_len > 128 || strings > 160))
		TRY(512, CWD_SMALL, 1024);
	if (strings <= 160 && is_small)
		TRY(160, CWD_SMALL, 128);
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
 * The working directory of a task. Call it before exec_path(), whose buffer it uses.
 */
static __always_inline void exec_walk_cwd(struct exec_scratch *scratch, __u32 slot,
					  struct task_struct *task)
{
	struct exec_event *event = &scratch->event;
	struct exec_cwd *cwd;
	__u32 len;

	if (!exec_config.cwd)
		return;
	cwd = bpf_map_lookup_elem(&exec_cwd, &slot);
	if (!cwd)
		return;
	if (path_begin(&scratch->strings, BPF_CORE_READ(task, fs, pwd.dentry),
		       BPF_CORE_READ(task, fs, pwd.mnt)))
		path_end(&scratch->strings, exec_climb, slot);
	len = PATH_CAP - scratch->strings.start;
	len = AT_MOST(len, PATH_CAP);
	bpf_probe_read_kernel(cwd->bytes, len, &scratch->strings.bytes[scratch->strings.start]);
	event->cwd_len = len;
	if (scratch->strings.flags & PATH_CUT)
		event->flags |= EXEC_CWD_CUT;
	if (scratch->strings.flags & PATH_DELETED)
		event->flags |= EXEC_CWD_DELETED;
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
	event->cwd_len = 0;
	event->redacted = 0;
	event->env_total = 0;
	event->env_len = 0;
	if (BPF_CORE_READ(task, real_parent, flags) & PF_KTHREAD)
		event->flags |= EXEC_KERNEL;
}

/* ---- success: for a program on sched_process_exec ---- */

/* Notes the size of the environment, which every loader of programs puts behind the arguments. */
static __always_inline void exec_env(struct exec_event *event, struct task_struct *task)
{
	__u64 start = BPF_CORE_READ(task, mm, env_start);

	event->flags |= EXEC_ENV;
	if (start != BPF_CORE_READ(task, mm, arg_end)) {
		event->flags |= EXEC_ENV_FAULT;
		return;
	}
	event->env_total = BPF_CORE_READ(task, mm, env_end) - start;
	event->env_len = event->env_total;
}

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

	exec_walk_cwd(scratch, slot, task);
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
	if (exec_config.env)
		exec_env(event, task);
	exec_emit(ctx, slot, scratch, &args);
	return 0;
}

#endif /* SNOOP_EXEC_BPF_H */
