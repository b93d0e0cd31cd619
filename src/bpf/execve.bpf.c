// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * execsnoop: program executions.
 *
 * A success is told by sched_process_exec: the new image is complete, its
 * arguments lie in its own memory where the kernel has just written them, so reading
 * cannot fault, and nobody can change them any more. A failure is told at the exit of
 * the system call, whose saved registers still hold the pointers; by then the
 * kernel itself has mostly read what they point to, so the pages are there. (Since 6.8
 * it looks for the file first: see src/exec/late.rs.)
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "execve.h"
#include "filter.bpf.h"

#define FILENAME_CAP 4096 /* PATH_MAX with its NUL */
#define INTERP_CAP 256 /* BINPRM_BUF_SIZE */
#define PATH_TAIL (FILENAME_CAP + INTERP_CAP) /* both follow the path in path_buf */
#include "path.bpf.h"

#define AT_FDCWD (-100)
#define AT_EXECVE_CHECK 0x10000
#define SIGSEGV 11
#define TS_COMPAT 0x0002 /* thread_info.status on x86: inside a 32-bit system call */

#define STRINGS_CAP (PATH_CAP + PATH_TAIL)
#define PERF_ARGS_CAP (PERF_RECORD_MAX - sizeof(struct exec_event) - STRINGS_CAP)

#define FAILED_ARGS_CAP 8192 /* of a failed call: bytes up to the last argument, */
#define FAILED_ARG_MAX 8192 /* bytes of that one, */
#define FAILED_ARGC_MAX 128 /* and how many there may be */

/*
 * The fixed part and the strings of one execution, put together before the record
 * is reserved, so that its size is known.
 */
struct exec_scratch {
	struct exec_event event; /* here also to bring the types into BTF */
	struct exec_cold cold; /* the next one, for copying */
	struct path_buf strings; /* path, then filename, interpreter, cold strings */
	__u8 args[FAILED_ARGS_CAP + FAILED_ARG_MAX];
};

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
	SLOTS,
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, struct exec_scratch);
} exec_scratch SEC(".maps");

/* ---- sending ---- */

/* Where the arguments are read from when the record has its place. */
struct args_source {
	const void *address;
	bool user; /* in user space; else in the scratch slot */
};

static __always_inline __u32 exec_strings_len(const struct exec_event *event)
{
	return event->path_len + event->filename_len + event->interp_len + event->cold_len;
}

/*
 * One record with room for `strings_cap` and `args_cap` bytes, both constants; what
 * the arguments have beyond that is cut. False: no room in the buffer.
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
	if (strings_len > strings_cap) /* impossible: for the verifier */
		strings_len = strings_cap;
	if (args_len > args_cap)
		args_len = args_cap;

	data = (void *)(record + 1);
	__builtin_memcpy(record, event, sizeof(*event));
	bpf_probe_read_kernel(data, strings_len, &scratch->strings.bytes[scratch->strings.start]);
	if (args->user)
		err = bpf_probe_read_user(data + strings_len, args_len, args->address);
	else
		err = bpf_probe_read_kernel(data + strings_len, args_len, args->address);
	if (err) {
		record->flags |= EXEC_ARGS_FAULT;
		args_len = 0;
	}
	record->args_len = args_len;
	event_submit(ctx, record, sizeof(*event) + strings_len + args_len, event->id.time_ns);
	return true;
}

/*
 * Sends in the smallest size class that holds everything. When the buffer has no
 * room for that one, smaller ones with fewer arguments: a cut event, which says how
 * much is missing, is better than a lost one.
 */
static __always_inline void exec_emit(void *ctx, __u32 slot, struct exec_scratch *scratch,
				      const struct args_source *args)
{
	struct exec_event *event = &scratch->event;
	__u32 strings = exec_strings_len(event);

	if (snoop_config.perf) {
		if (!exec_send(ctx, slot, scratch, args, STRINGS_CAP, PERF_ARGS_CAP))
			event_lost();
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
	event_lost();
}

/* ---- strings that success and failure have in common ---- */

static __always_inline void exec_path(struct exec_scratch *scratch, struct file *file)
{
	struct exec_event *event = &scratch->event;

	path_walk(&scratch->strings, file);
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
		n = FILENAME_CAP; /* PATH_MAX with its NUL: the kernel takes no longer one */
	return n - 1;
}

static __always_inline void exec_fill(struct exec_event *event, struct task_struct *task,
				      enum exec_kind kind)
{
	task_id_fill(&event->id, task, bpf_ktime_get_boot_ns());
	event->kind = kind;
	event->arg_start = 0;
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

/* ---- success ---- */

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

	if (!filter_allows(task))
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

	exec_path(scratch, BPF_CORE_READ(task, mm, exe_file));
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

SEC("tp_btf/sched_process_exec")
int BPF_PROG(exec_done_btf, struct task_struct *task, pid_t old_tid, struct linux_binprm *bprm)
{
	return exec_done(ctx, task, old_tid, bprm);
}

SEC("raw_tp/sched_process_exec")
int exec_done_raw(struct bpf_raw_tracepoint_args *ctx)
{
	return exec_done(ctx, (void *)ctx->args[0], ctx->args[1], (void *)ctx->args[2]);
}

/* ---- failure ---- */

/* What the caller passed: the system call's arguments. */
struct exec_call {
	__s32 dirfd;
	__u32 flags;
	const void *filename;
	const void *argv;
	bool compat; /* pointers in argv are 4 bytes wide */
};

/* Notes where a string is that cannot be read without faulting its page in. */
static __always_inline void exec_cold_string(struct exec_scratch *scratch, __u64 address,
					     __u32 index)
{
	struct exec_event *event = &scratch->event;
	struct exec_cold *cold = &scratch->cold;
	__u32 at = event->filename_len, used = event->cold_len;

	barrier_var(at);
	barrier_var(used);
	if (at >= FILENAME_CAP || used >= EXEC_COLD_MAX * sizeof(*cold)) {
		event->flags |= EXEC_ARGS_FAULT;
		return;
	}
	cold->address = address;
	cold->index = index;
	cold->pad = 0;
	bpf_probe_read_kernel(&scratch->strings.bytes[PATH_CAP + at + used], sizeof(*cold), cold);
	event->cold_len = used + sizeof(*cold);
}

/*
 * Copies argv into scratch->args, as far as there is room, and counts the rest. What goes
 * from one round to the next is kept in memory, so that the verifier, which follows
 * every round, need not tell the ways through them apart.
 */
static __always_inline void exec_failed_args(struct exec_scratch *scratch,
					     const struct exec_call *call)
{
	struct exec_event *event = &scratch->event;
	__u32 width = call->compat ? 4 : 8;

	for (__u32 i = 0; i < FAILED_ARGC_MAX; i++) {
		__u32 used = event->args_len;
		__u64 arg = 0;
		long n;

		if (bpf_probe_read_user(&arg, width, call->argv + i * width)) {
			if (call->argv) /* a NULL argv is an empty one */
				event->flags |= EXEC_ARGS_FAULT;
			return;
		}
		if (!arg)
			return;
		event->argc = i + 1;
		barrier_var(used);
		if (used >= FAILED_ARGS_CAP || (event->flags & EXEC_ARGS_CUT)) {
			event->flags |= EXEC_ARGS_CUT;
			continue;
		}
		n = bpf_probe_read_user_str(&scratch->args[used], FAILED_ARG_MAX, (void *)arg);
		if (n <= 0) {
			if (n < 0)
				exec_cold_string(scratch, arg, i);
			scratch->args[used] = '\0';
			n = 1;
		} else if (n >= FAILED_ARG_MAX) {
			event->flags |= EXEC_ARGS_CUT;
			n = FAILED_ARG_MAX - 1; /* no NUL: user space sees the cut */
		}
		event->args_len = used + n;
		event->args_total = used + n;
	}
	event->flags |= EXEC_ARGC_MORE;
}

/*
 * Inode of the task's mount namespace, if its root is the top of that namespace; 0 if
 * not (chroot). The top may be mounted on others that nobody sees, such as the rootfs.
 */
static __always_inline __u32 task_mnt_ns(struct task_struct *task)
{
	struct dentry *dentry = BPF_CORE_READ(task, fs, root.dentry);
	struct vfsmount *vfsmnt = BPF_CORE_READ(task, fs, root.mnt);
	struct mount *mount = (void *)vfsmnt - bpf_core_field_offset(struct mount, mnt);

	for (int i = 0; i < 4; i++) {
		struct mount *below = BPF_CORE_READ(mount, mnt_parent);

		if (dentry != BPF_CORE_READ(mount, mnt.mnt_root))
			return 0;
		if (below == mount)
			return BPF_CORE_READ(task, nsproxy, mnt_ns, ns.inum);
		dentry = BPF_CORE_READ(mount, mnt_mountpoint);
		mount = below;
	}
	return 0;
}

static __always_inline int exec_failed(void *ctx, __u32 slot, const struct exec_call *call,
				       long ret)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct exec_scratch *scratch;
	struct args_source args = { .user = false };
	struct exec_event *event;
	long n;

	/* 0 is no proof of an execution, and AT_EXECVE_CHECK only asks whether it might be. */
	if (ret >= 0 || (call->flags & AT_EXECVE_CHECK) || !filter_allows(task))
		return 0;
	scratch = bpf_map_lookup_elem(&exec_scratch, &slot);
	if (!scratch)
		return 0;
	event = &scratch->event;
	exec_fill(event, task, EXEC_FAILED);
	event->ret = ret;
	event->dirfd = call->dirfd;
	event->arg_start = BPF_CORE_READ(task, mm, arg_start);
	event->mnt_ns = task_mnt_ns(task);
	if (call->compat)
		event->flags |= EXEC_COMPAT;
	scratch->strings.start = PATH_CAP;

	if (BPF_CORE_READ(task, pending.signal.sig[0]) & (1UL << (SIGSEGV - 1))) {
		/*
		 * Past the point of no return: the old memory, and with it filename
		 * and arguments, are gone, and the kernel has sent the signal that ends
		 * the process on its way back. The new image tells what it was.
		 */
		event->flags |= EXEC_FATAL | EXEC_FILENAME_FAULT | EXEC_ARGS_FAULT;
		exec_path(scratch, BPF_CORE_READ(task, mm, exe_file));
	} else {
		n = bpf_probe_read_user_str(&scratch->strings.bytes[PATH_CAP], FILENAME_CAP,
					    call->filename);
		event->filename_len = exec_filename_len(event, n);
		if (event->filename_len == FILENAME_CAP - 1)
			event->flags |= EXEC_FILENAME_CUT; /* ENAMETOOLONG */
		exec_failed_args(scratch, call);
	}
	args.address = scratch->args;
	exec_emit(ctx, slot, scratch, &args);
	return 0;
}

/* The arguments of execve(): saved registers, also for 32-bit callers on x86. */
static __always_inline struct exec_call call_execve(struct pt_regs *regs)
{
	return (struct exec_call){
		.dirfd = AT_FDCWD,
		.filename = (void *)PT_REGS_PARM1_CORE_SYSCALL(regs),
		.argv = (void *)PT_REGS_PARM2_CORE_SYSCALL(regs),
	};
}

static __always_inline struct exec_call call_execveat(struct pt_regs *regs)
{
	return (struct exec_call){
		.dirfd = PT_REGS_PARM1_CORE_SYSCALL(regs),
		.filename = (void *)PT_REGS_PARM2_CORE_SYSCALL(regs),
		.argv = (void *)PT_REGS_PARM3_CORE_SYSCALL(regs),
		.flags = PT_REGS_PARM5_CORE_SYSCALL(regs),
	};
}

#ifdef __TARGET_ARCH_x86
/* i386 passes bx, cx, dx, si, di. */
static __always_inline struct exec_call call_compat_execve(struct pt_regs *regs)
{
	return (struct exec_call){
		.dirfd = AT_FDCWD,
		.filename = (void *)(__u64)(__u32)BPF_CORE_READ(regs, bx),
		.argv = (void *)(__u64)(__u32)BPF_CORE_READ(regs, cx),
		.compat = true,
	};
}

static __always_inline struct exec_call call_compat_execveat(struct pt_regs *regs)
{
	return (struct exec_call){
		.dirfd = BPF_CORE_READ(regs, bx),
		.filename = (void *)(__u64)(__u32)BPF_CORE_READ(regs, cx),
		.argv = (void *)(__u64)(__u32)BPF_CORE_READ(regs, dx),
		.flags = BPF_CORE_READ(regs, di),
		.compat = true,
	};
}
#endif

/* Backend fexit: costs other system calls nothing, sees 32-bit callers. */

/*
 * ctx holds the function's only argument and its result. The argument is read without
 * its type: BTF of 5.10 knows it for some of the system calls as a forward declaration,
 * which the verifier refuses to follow.
 */
static __always_inline struct pt_regs *fexit_regs(__u64 *ctx)
{
	struct pt_regs *regs = NULL;

	bpf_probe_read_kernel(&regs, sizeof(regs), ctx);
	return regs;
}

SEC("fexit/__x64_sys_execve")
int fexit_execve(__u64 *ctx)
{
	struct exec_call call = call_execve(fexit_regs(ctx));

	return exec_failed(ctx, SLOT_EXECVE, &call, ctx[1]);
}

SEC("fexit/__x64_sys_execveat")
int fexit_execveat(__u64 *ctx)
{
	struct exec_call call = call_execveat(fexit_regs(ctx));

	return exec_failed(ctx, SLOT_EXECVEAT, &call, ctx[1]);
}

#ifdef __TARGET_ARCH_x86
SEC("fexit/__ia32_compat_sys_execve")
int fexit_compat_execve(__u64 *ctx)
{
	struct exec_call call = call_compat_execve(fexit_regs(ctx));

	return exec_failed(ctx, SLOT_COMPAT_EXECVE, &call, ctx[1]);
}

SEC("fexit/__ia32_compat_sys_execveat")
int fexit_compat_execveat(__u64 *ctx)
{
	struct exec_call call = call_compat_execveat(fexit_regs(ctx));

	return exec_failed(ctx, SLOT_COMPAT_EXECVEAT, &call, ctx[1]);
}
#endif

/* Backend tracepoint: makes every system call of the machine a little slower. */

SEC("tp/syscalls/sys_exit_execve")
int tp_execve(struct trace_event_raw_sys_exit *ctx)
{
	struct exec_call call = call_execve((void *)bpf_task_pt_regs(bpf_get_current_task_btf()));

	return exec_failed(ctx, SLOT_EXECVE, &call, ctx->ret);
}

SEC("tp/syscalls/sys_exit_execveat")
int tp_execveat(struct trace_event_raw_sys_exit *ctx)
{
	struct exec_call call = call_execveat((void *)bpf_task_pt_regs(bpf_get_current_task_btf()));

	return exec_failed(ctx, SLOT_EXECVEAT, &call, ctx->ret);
}

/* Backend raw_tp: slower still for others, but needs neither tracefs nor 5.15. */

#ifdef __TARGET_ARCH_x86
#define NR_EXECVE 59
#define NR_EXECVEAT 322
#define NR_IA32_EXECVE 11
#define NR_IA32_EXECVEAT 358

SEC("raw_tp/sys_exit")
int raw_sys_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct pt_regs *regs = (void *)ctx->args[0];
	long ret = ctx->args[1];
	struct task_struct *task = (void *)bpf_get_current_task();
	struct exec_call call;
	long nr;

	if (ret >= 0)
		return 0;
	nr = BPF_CORE_READ(regs, orig_ax);
	if (BPF_CORE_READ(task, thread_info.status) & TS_COMPAT) {
		if (nr == NR_IA32_EXECVE)
			call = call_compat_execve(regs);
		else if (nr == NR_IA32_EXECVEAT)
			call = call_compat_execveat(regs);
		else
			return 0;
	} else if (nr == NR_EXECVE) {
		call = call_execve(regs);
	} else if (nr == NR_EXECVEAT) {
		call = call_execveat(regs);
	} else {
		return 0;
	}
	return exec_failed(ctx, SLOT_EXECVE, &call, ret);
}
#endif

char LICENSE[] SEC("license") = "Dual BSD/GPL";
