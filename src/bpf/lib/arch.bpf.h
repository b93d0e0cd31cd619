/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_ARCH_BPF_H
#define SNOOP_ARCH_BPF_H

/*
 * What differs between architectures; no other file asks which one it is compiled for. Each of
 * the blocks below says:
 *
 * - SYSCALL(name): the function behind a system call, whose only argument are the saved registers
 * - SYSCALL_NR_REG, SIXTH_REG: the saved registers with its number and its sixth argument
 * - NR_*: numbers of system calls
 * - HAS_OLD_TRAMPOLINES: fentry and fexit came before 5.15, when saved registers had no type
 * - MMAP_EVENT: mmap(), as its function and its tracepoints are called
 * - MMAP_IN_MEMORY: its only argument is the address of six
 * - UNTAGGED(): an address without what the kernel ignores of it
 * - ROLLED_BACK(): whether this may be the result after a seccomp filter has answered with SIGSYS,
 *   which is what was in its register at the entry
 * - MAY_BE_ROLLED_BACK(): the same for the number of a call, without its registers
 * - caller_is_compat(): whether a 32-bit program makes the current system call, by its registers or
 *   `task`, which is typed_task()
 * - HAS_COMPAT: calls of such programs are shown. Then there are:
 * - COMPAT_REG*, COMPAT_NR_*: the registers with their arguments, and their numbers of system calls
 * - COMPAT_SYSCALL_*: functions behind their system calls that are not SYSCALL()
 * - HAS_COMPAT_ENTRIES: all of their system calls have functions of their own
 *
 * Programs on functions that an architecture lacks are not compiled there. User space leaves them
 * out by their names (src/engine/attach.rs).
 */

#if defined(__TARGET_ARCH_x86)
#define SYSCALL(name) "__x64_sys_" name
#define SYSCALL_NR_REG orig_ax
#define SIXTH_REG r9
#define SOME_REGS dx /* si, di, orig_ax */
#define HAS_OLD_TRAMPOLINES 1
#define KERNEL_STACK_SIZE 16384 /* without KASAN */

#define NR_MMAP 9
#define NR_MPROTECT 10
#define NR_MUNMAP 11
#define NR_BRK 12
#define NR_MREMAP 25
#define NR_MADVISE 28
#define NR_SHMAT 30
#define NR_CONNECT 42
#define NR_SENDTO 44
#define NR_SENDMSG 46
#define NR_EXECVE 59
#define NR_EXECVEAT 322
#define NR_PKEY_MPROTECT 329

#define HAS_COMPAT 1
#define HAS_COMPAT_ENTRIES 1
#define COMPAT_SYSCALL(name) "__ia32_sys_" name
#define COMPAT_SYSCALL_EXECVE "__ia32_compat_sys_execve"
#define COMPAT_SYSCALL_EXECVEAT "__ia32_compat_sys_execveat"
#define COMPAT_SYSCALL_MMAP2 "__ia32_sys_mmap_pgoff"
#define COMPAT_SYSCALL_OLD_MMAP "__ia32_compat_sys_ia32_mmap" /* its arguments lie in memory */
#define COMPAT_REG1 bx
#define COMPAT_REG2 cx
#define COMPAT_REG3 dx
#define COMPAT_REG4 si
#define COMPAT_REG5 di
#define COMPAT_REG6 bp
#define COMPAT_NR_EXECVE 11
#define COMPAT_NR_BRK 45
#define COMPAT_NR_OLD_MMAP 90
#define COMPAT_NR_MUNMAP 91
#define COMPAT_NR_SOCKETCALL 102
#define COMPAT_NR_MPROTECT 125
#define COMPAT_NR_MREMAP 163
#define COMPAT_NR_MMAP2 192
#define COMPAT_NR_MADVISE 219
#define COMPAT_NR_EXECVEAT 358
#define COMPAT_NR_CONNECT 362
#define COMPAT_NR_PKEY_MPROTECT 380

#define TS_COMPAT 0x0002 /* thread_info.status */

static __always_inline bool caller_is_compat(struct task_struct *task, const struct pt_regs *regs)
{
	(void)regs;
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf))
		return task->thread_info.status & TS_COMPAT;
	task = (void *)bpf_get_current_task();
	return BPF_CORE_READ(task, thread_info.status) & TS_COMPAT;
}

/* The register of the result is that of the number, which is small. */
#define ROLLED_BACK(ret, regs) ((ret) > 0 && (ret) < 4095)
#define MAY_BE_ROLLED_BACK(ret, nr) ((ret) == (nr))

#elif defined(__TARGET_ARCH_arm64)
#define SYSCALL(name) "__arm64_sys_" name
#define SYSCALL_NR_REG syscallno
#define SIXTH_REG regs[5]
#define KERNEL_STACK_SIZE 16384 /* with pages of up to 16 KiB */

/* Only what is not the same for 64-bit programs has an entry of its own. */
#define HAS_COMPAT 1
#define COMPAT_SYSCALL_EXECVE "__arm64_compat_sys_execve"
#define COMPAT_SYSCALL_EXECVEAT "__arm64_compat_sys_execveat"
#define COMPAT_SYSCALL_MMAP2 "__arm64_compat_sys_aarch32_mmap2"
#define COMPAT_REG1 orig_x0 /* regs[0] has the result */
#define COMPAT_REG2 regs[1]
#define COMPAT_REG3 regs[2]
#define COMPAT_REG4 regs[3]
#define COMPAT_REG5 regs[4]
#define COMPAT_REG6 regs[5]
#define COMPAT_NR_EXECVE 11
#define COMPAT_NR_BRK 45
#define COMPAT_NR_MUNMAP 91
#define COMPAT_NR_MPROTECT 125
#define COMPAT_NR_MREMAP 163
#define COMPAT_NR_MMAP2 192
#define COMPAT_NR_MADVISE 220
#define COMPAT_NR_CONNECT 283
#define COMPAT_NR_EXECVEAT 387
#define COMPAT_NR_PKEY_MPROTECT 394

#define PSR_MODE32_BIT 0x10 /* the architecture's own: entered from AArch32 */

static __always_inline bool caller_is_compat(struct task_struct *task, const struct pt_regs *regs)
{
	(void)task;
	return BPF_CORE_READ(regs, pstate) & PSR_MODE32_BIT;
}

/* The result of a 32-bit program has an empty upper half, an error too. */
static __always_inline long syscall_result(const struct pt_regs *regs)
{
	__u64 result = PT_REGS_RC(regs);

	if (result > (__u32)-4096 && result <= (__u32)-1 && caller_is_compat(NULL, regs))
		return (__s32)result;
	return result;
}
#define SYSCALL_RESULT(regs) syscall_result(regs)

/* The kernel ignores the uppermost byte of an address from a program, but bpf_find_vma() does not.
 */
#define UNTAGGED(address) ((__u64)((__s64)((address) << 8) >> 8))

#elif defined(__TARGET_ARCH_riscv)
#define SYSCALL(name) "__riscv_sys_" name
#define SYSCALL_NR_REG a7
#define SIXTH_REG a5

#elif defined(__TARGET_ARCH_s390)
#define SYSCALL(name) "__s390x_sys_" name
#define SYSCALL_NR_REG int_code
#define SIXTH_REG gprs[7]
#define SYSCALL_NR_MASK 0xffff /* above it: the length of the instruction */
#define MMAP_EVENT "old_mmap"
#define MMAP_IN_MEMORY 1

#define NR_EXECVE 11
#define NR_BRK 45
#define NR_MMAP 90
#define NR_MUNMAP 91
#define NR_SOCKETCALL 102
#define NR_MPROTECT 125
#define NR_MREMAP 163
#define NR_MADVISE 219
#define NR_EXECVEAT 354
#define NR_CONNECT 362
#define NR_SENDTO 369
#define NR_SENDMSG 370
#define NR_PKEY_MPROTECT 384
#define NR_SHMAT 397

/* 31-bit programs, which kernels ran until 6.19, are told from others, to leave them out. */
#define HAS_FOREIGN_CALLERS
#define PSW_MASK_EA 0x0000000100000000ULL /* addresses of 64 bits */

static __always_inline bool caller_is_compat(struct task_struct *task, const struct pt_regs *regs)
{
	(void)task;
	return !(BPF_CORE_READ(regs, psw.mask) & PSW_MASK_EA);
}

#elif defined(__TARGET_ARCH_powerpc)
#define SYSCALL(name) "sys_" name
#define SYSCALL_NR_REG gpr[0]
#define SIXTH_REG gpr[8]

#define NR_EXECVE 11
#define NR_BRK 45
#define NR_MMAP 90
#define NR_MUNMAP 91
#define NR_SOCKETCALL 102
#define NR_MPROTECT 125
#define NR_MREMAP 163
#define NR_MADVISE 205
#define NR_CONNECT 328
#define NR_SENDTO 335
#define NR_SENDMSG 341
#define NR_EXECVEAT 362
#define NR_PKEY_MPROTECT 386
#define NR_SHMAT 397

/*
 * An error is a positive number, and a bit of another register says so; after the instruction scv
 * (since POWER9) it is negative, as elsewhere.
 */
#define TRAP_SCV 0x3000
#define CCR_SO 0x10000000

static __always_inline long syscall_result(const struct pt_regs *regs)
{
	long result = BPF_CORE_READ(regs, gpr[3]);

	if (BPF_CORE_READ(regs, trap) != TRAP_SCV && (BPF_CORE_READ(regs, ccr) & CCR_SO))
		return -result;
	return result;
}
#define SYSCALL_RESULT(regs) syscall_result(regs)
/* A tracepoint of a system call has the number in the register. */
#define EVENT_RESULT(ret, regs) ((void)(ret), syscall_result(regs))
/* The first argument, which was in the register at the entry, or ENOSYS in its place: Linux 7.2. */
#define ENOSYS 38
#define ROLLED_BACK(ret, regs)                                                                     \
	((ret) == -ENOSYS || (__u64)(ret) == PT_REGS_PARM1_CORE_SYSCALL(regs))
#define MAY_BE_ROLLED_BACK(ret, nr) 1

#else
#error "src/bpf/lib/arch.bpf.h does not know this architecture"
#endif

/* The numbers of architectures that are younger than 2011: asm-generic/unistd.h. */
#ifndef NR_MMAP
#define NR_SHMAT 196
#define NR_CONNECT 203
#define NR_SENDTO 206
#define NR_SENDMSG 211
#define NR_BRK 214
#define NR_MUNMAP 215
#define NR_MREMAP 216
#define NR_EXECVE 221
#define NR_MMAP 222
#define NR_MPROTECT 226
#define NR_MADVISE 233
#define NR_EXECVEAT 281
#define NR_PKEY_MPROTECT 288
#endif

/* libbpf before 1.2 has no sixth argument. */
#ifndef PT_REGS_PARM6_SYSCALL
#define PT_REGS_PARM6_SYSCALL(x) (__PT_REGS_CAST(x)->SIXTH_REG)
#define PT_REGS_PARM6_CORE_SYSCALL(x) BPF_CORE_READ(__PT_REGS_CAST(x), SIXTH_REG)
#endif

/* What most of them have in common. */

#ifndef HAS_OLD_TRAMPOLINES
#define HAS_OLD_TRAMPOLINES 0
#endif
#ifndef HAS_COMPAT_ENTRIES
#define HAS_COMPAT_ENTRIES 0
#endif
#ifndef SYSCALL_NR_MASK
#define SYSCALL_NR_MASK ~0ULL
#endif
#ifndef MMAP_EVENT
#define MMAP_EVENT "mmap"
#define MMAP_IN_MEMORY 0
#endif
#ifndef UNTAGGED
#define UNTAGGED(address) (address)
#endif
#ifndef ROLLED_BACK
/* The register of the result is that of the first argument, which may be any number. */
#define ROLLED_BACK(ret, regs) ((__u64)(ret) == PT_REGS_PARM1_CORE_SYSCALL(regs))
#define MAY_BE_ROLLED_BACK(ret, nr) 1
#endif

/* The result of a system call by the saved registers, for plain loads. */
#ifndef SYSCALL_RESULT
#define SYSCALL_RESULT(regs) PT_REGS_RC(regs)
#endif

/* The result by a tracepoint of the system call. */
#ifndef EVENT_RESULT
#define EVENT_RESULT(ret, regs) (ret)
#endif

/* The number of the system call: for plain loads, and for any registers. */
#define SYSCALL_NR(regs) ((__u64)(regs)->SYSCALL_NR_REG & SYSCALL_NR_MASK)
#define SYSCALL_NR_CORE(regs) ((__u64)BPF_CORE_READ(regs, SYSCALL_NR_REG) & SYSCALL_NR_MASK)

#ifdef HAS_COMPAT
/* The arguments of a 32-bit program, from 1: for plain loads, and for any registers. */
#define COMPAT_ARG(regs, n) ((__u32)(regs)->COMPAT_REG##n)
#define COMPAT_ARG_CORE(regs, n) ((__u32)BPF_CORE_READ(regs, COMPAT_REG##n))
#else
#define HAS_COMPAT 0
#define COMPAT_ARG(regs, n) 0
#define COMPAT_ARG_CORE(regs, n) 0
#ifndef HAS_FOREIGN_CALLERS
static __always_inline bool caller_is_compat(struct task_struct *task, const struct pt_regs *regs)
{
	(void)task;
	(void)regs;
	return false;
}
#endif
#endif

/* What tells whether a system call connects, and its first arguments. */
struct some_regs {
	__u64 arg3;
	__u64 arg2;
	__u64 arg1;
	__u64 nr;
};

static __always_inline void read_some_regs(struct pt_regs *regs, struct some_regs *some)
{
#ifdef SOME_REGS
	/* They lie in this order. */
	bpf_probe_read_kernel(some, sizeof(*some),
			      (void *)regs + bpf_core_field_offset(struct pt_regs, SOME_REGS));
#else
	some->nr = SYSCALL_NR_CORE(regs);
	some->arg1 = PT_REGS_PARM1_CORE_SYSCALL(regs);
	some->arg2 = PT_REGS_PARM2_CORE_SYSCALL(regs);
	some->arg3 = PT_REGS_PARM3_CORE_SYSCALL(regs);
#endif
}

/* Before 5.15 the registers have to be found: at the end of the kernel's stack. */
static __always_inline struct pt_regs *untyped_regs(void)
{
#ifdef KERNEL_STACK_SIZE
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, stack) + KERNEL_STACK_SIZE - bpf_core_type_size(struct pt_regs);
#else
	return NULL;
#endif
}

#endif /* SNOOP_ARCH_BPF_H */
