// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * execsnoop: program executions.
 *
 * A success is seen at sched_process_exec: the new image is complete, the arguments lie
 * in its own memory, where the kernel has just written them, so reading cannot fault,
 * and nobody can change them any more. A failure is seen at the exit of the system
 * call, whose saved registers still hold the pointers; by then the kernel itself has
 * mostly read the strings, so the pages are there. (Since 6.8 it looks for the file
 * first: see src/tools/execsnoop/late.rs.)
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "exec.bpf.h"
#include "seccomp.bpf.h"

#define AT_EXECVE_CHECK 0x10000
#define SIGKILL 9
#define SIGSEGV 11

/* ERESTARTSYS to ERESTART_RESTARTBLOCK: the kernel's own, which no program sees. */
#define FIRST_RESTART 512
#define LAST_RESTART 516

/* ---- success ---- */

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

/* The caller's arguments of the system call. */
struct exec_call {
	__s32 dirfd;
	__u32 flags;
	const void *filename;
	const void *argv;
	bool compat; /* pointers in argv are 4 bytes wide */
};

/* Notes the place of a string that cannot be read without faulting its page in. */
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
 * Copies the next argument, to which the pointer at `place` leads, into the scratch of a slot, or
 * counts it if there is no room. 1: there may be more. Not inline and not static, so that the
 * verifier looks at it once, and not for each argument.
 */
__noinline int exec_failed_arg(__u32 slot, __u64 place, bool compat)
{
	struct exec_scratch *scratch = bpf_map_lookup_elem(&exec_scratch, &slot);
	struct exec_event *event;
	__u64 arg = 0;
	__u32 used;
	long n;

	if (!scratch)
		return 0;
	event = &scratch->event;
	if (bpf_probe_read_user(&arg, compat ? 4 : 8, (void *)place)) {
		if (place) /* a NULL argv is an empty one */
			event->flags |= EXEC_ARGS_FAULT;
		return 0;
	}
	if (!arg)
		return 0;
	event->argc++;
	used = event->args_len;
	barrier_var(used);
	if (used >= FAILED_ARGS_CAP || (event->flags & EXEC_ARGS_CUT)) {
		event->flags |= EXEC_ARGS_CUT;
		return 1;
	}
	n = bpf_probe_read_user_str(&scratch->args[used], FAILED_ARG_MAX, (void *)arg);
	if (n <= 0) {
		if (n < 0)
			exec_cold_string(scratch, arg, event->argc - 1);
		scratch->args[used] = '\0';
		n = 1;
	} else if (n >= FAILED_ARG_MAX) {
		event->flags |= EXEC_ARGS_CUT;
		n = FAILED_ARG_MAX - 1; /* no NUL: user space sees the cut */
	}
	event->args_len = used + n;
	event->args_total = used + n;
	return 1;
}

/* Copies filename and argv into the scratch of a slot, argv as far as there is room. */
__noinline int exec_failed_strings(__u32 slot, __u64 filename, __u64 argv, bool compat)
{
	struct exec_scratch *scratch = bpf_map_lookup_elem(&exec_scratch, &slot);
	struct exec_event *event;
	long n;

	if (!scratch)
		return 0;
	event = &scratch->event;
	n = bpf_probe_read_user_str(&scratch->strings.bytes[PATH_CAP], FILENAME_CAP,
				    (void *)filename);
	event->filename_len = exec_filename_len(event, n);
	if (event->filename_len == FILENAME_CAP - 1)
		event->flags |= EXEC_FILENAME_CUT; /* ENAMETOOLONG */
	if (n < 0)
		exec_cold_string(scratch, filename, EXEC_COLD_FILENAME);
	for (__u32 i = 0; i < FAILED_ARGC_MAX; i++) {
		if (!exec_failed_arg(slot, argv + i * (compat ? 4 : 8), compat))
			return 0;
	}
	event->flags |= EXEC_ARGC_MORE;
	return 0;
}

/*
 * Inode of the task's mount namespace, if its root is the top of that namespace; 0 if
 * not (chroot). The top may be mounted on other, invisible mounts, such as the rootfs.
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

/*
 * The file of the caller's program. After the point of no return that is the new image. Before it,
 * constant strings that are not in memory are in there; without a path that leads to it, nothing.
 */
static __always_inline void exec_image(struct exec_scratch *scratch, __u32 slot,
				       struct task_struct *task)
{
	struct file *file = BPF_CORE_READ(task, mm, exe_file);
	struct exec_event *event = &scratch->event;

	exec_path(scratch, slot, file);
	if (event->flags & EXEC_FATAL)
		return;
	if (scratch->strings.flags) {
		event->flags &= ~(EXEC_PATH_CUT | EXEC_PATH_DELETED | EXEC_PATH_NO_MOUNT);
		event->path_len = 0;
		scratch->strings.start = PATH_CAP;
		return;
	}
	event->image_start = BPF_CORE_READ(task, mm, start_code);
	event->image_inode = BPF_CORE_READ(file, f_inode, i_ino);
}

/*
 * Whether a call that returns `ret` has failed. 0 does not prove an execution:
 * AT_EXECVE_CHECK only asks whether one would succeed. Nor is it a failure if the call
 * returns to nobody: after a signal the kernel may make it once more (a restart), and a
 * thread that loses a race to exec dies on its way back.
 */
static __always_inline bool exec_has_failed(struct task_struct *task, const struct exec_call *call,
					    long ret)
{
	bool restarts = ret <= -FIRST_RESTART && ret >= -LAST_RESTART;

	return ret < 0 && !restarts && !(call->flags & AT_EXECVE_CHECK) &&
	       !signal_is_pending(task, SIGKILL);
}

static __always_inline int exec_failed(void *ctx, __u32 slot, const struct exec_call *call,
				       long ret)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct exec_scratch *scratch;
	struct args_source args = { .user = false };
	struct exec_event *event;

	if (!exec_has_failed(task, call, ret) || !filter_allows(task))
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
	exec_walk_cwd(scratch, slot, task);
	scratch->strings.start = PATH_CAP;

	if (signal_is_pending(task, SIGSEGV)) {
		/*
		 * Past the point of no return: the old memory, with filename and
		 * arguments, is gone, and the kernel has sent the signal that ends the
		 * process on its way back. The path comes from the new image.
		 */
		event->flags |= EXEC_FATAL | EXEC_FILENAME_FAULT | EXEC_ARGS_FAULT;
	} else {
		exec_failed_strings(slot, (__u64)call->filename, (__u64)call->argv, call->compat);
	}
	if (event->cold_len || (event->flags & EXEC_FATAL))
		exec_image(scratch, slot, task);
	args.address = scratch->args;
	exec_emit(ctx, slot, scratch, &args);
	return 0;
}

/* The arguments of execve(), from saved registers. */
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

#if HAS_COMPAT
static __always_inline struct exec_call call_compat_execve(struct pt_regs *regs)
{
	return (struct exec_call){
		.dirfd = AT_FDCWD,
		.filename = (void *)(__u64)COMPAT_ARG_CORE(regs, 1),
		.argv = (void *)(__u64)COMPAT_ARG_CORE(regs, 2),
		.compat = true,
	};
}

static __always_inline struct exec_call call_compat_execveat(struct pt_regs *regs)
{
	return (struct exec_call){
		.dirfd = COMPAT_ARG_CORE(regs, 1),
		.filename = (void *)(__u64)COMPAT_ARG_CORE(regs, 2),
		.argv = (void *)(__u64)COMPAT_ARG_CORE(regs, 3),
		.flags = COMPAT_ARG_CORE(regs, 5),
		.compat = true,
	};
}
#endif

/* Backend fexit: costs other system calls nothing, sees 32-bit callers. */

/*
 * ctx holds the function's only argument and its result. The argument is read without
 * its type: BTF of 5.10 has only a forward declaration for some of the system calls,
 * which the verifier refuses to follow.
 */
static __always_inline struct pt_regs *fexit_regs(__u64 *ctx)
{
	struct pt_regs *regs = NULL;

	bpf_probe_read_kernel(&regs, sizeof(regs), ctx);
	return regs;
}

SEC("fexit/" SYSCALL("execve"))
int fexit_execve(__u64 *ctx)
{
	struct exec_call call = call_execve(fexit_regs(ctx));

	return exec_failed(ctx, SLOT_EXECVE, &call, ctx[1]);
}

SEC("fexit/" SYSCALL("execveat"))
int fexit_execveat(__u64 *ctx)
{
	struct exec_call call = call_execveat(fexit_regs(ctx));

	return exec_failed(ctx, SLOT_EXECVEAT, &call, ctx[1]);
}

#if HAS_COMPAT
SEC("fexit/" COMPAT_SYSCALL_EXECVE)
int fexit_compat_execve(__u64 *ctx)
{
	struct exec_call call = call_compat_execve(fexit_regs(ctx));

	return exec_failed(ctx, SLOT_COMPAT_EXECVE, &call, ctx[1]);
}

SEC("fexit/" COMPAT_SYSCALL_EXECVEAT)
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
	struct pt_regs *regs = (void *)bpf_task_pt_regs(bpf_get_current_task_btf());
	struct exec_call call = call_execve(regs);

	return exec_failed(ctx, SLOT_EXECVE, &call,
			   seccomp_result(regs, EVENT_RESULT(ctx->ret, regs)));
}

SEC("tp/syscalls/sys_exit_execveat")
int tp_execveat(struct trace_event_raw_sys_exit *ctx)
{
	struct pt_regs *regs = (void *)bpf_task_pt_regs(bpf_get_current_task_btf());
	struct exec_call call = call_execveat(regs);

	return exec_failed(ctx, SLOT_EXECVEAT, &call,
			   seccomp_result(regs, EVENT_RESULT(ctx->ret, regs)));
}

/* Any system call: from the saved registers alone. */

static __always_inline int any_call_failed(void *ctx, struct pt_regs *regs, long ret, __u32 slot)
{
	__u64 nr = SYSCALL_NR_CORE(regs);
	struct exec_call call;

	if (caller_is_compat(typed_task(), regs)) {
#if HAS_COMPAT
		if (nr == COMPAT_NR_EXECVE)
			call = call_compat_execve(regs);
		else if (nr == COMPAT_NR_EXECVEAT)
			call = call_compat_execveat(regs);
		else
#endif
			return 0;
	} else if (nr == NR_EXECVE) {
		call = call_execve(regs);
	} else if (nr == NR_EXECVEAT) {
		call = call_execveat(regs);
	} else {
		return 0;
	}
	return exec_failed(ctx, slot, &call, ret);
}

/* Whether a call that has not failed may be an execution that a filter has answered with SIGSYS. */
static __always_inline bool may_be_refused(long ret)
{
	return MAY_BE_ROLLED_BACK(ret, NR_EXECVE) || MAY_BE_ROLLED_BACK(ret, NR_EXECVEAT)
#if HAS_COMPAT
	       || MAY_BE_ROLLED_BACK(ret, COMPAT_NR_EXECVE) ||
	       MAY_BE_ROLLED_BACK(ret, COMPAT_NR_EXECVEAT)
#endif
		;
}

/* Backend raw_tp: slower still for others, but needs neither tracefs nor 5.15. */
SEC("raw_tp/sys_exit")
int raw_sys_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct pt_regs *regs = (void *)ctx->args[0];
	long ret = ctx->args[1];

	if (ret >= 0 && !may_be_refused(ret))
		return 0; /* most calls end here */
	return any_call_failed(ctx, regs, seccomp_result(regs, EVENT_RESULT(ret, regs)),
			       SLOT_EXECVE);
}

SECCOMP_PROGRAMS(seccomp, any_call_failed, SLOT_REFUSED, SLOT_KILLED)

char LICENSE[] SEC("license") = "Dual BSD/GPL";
