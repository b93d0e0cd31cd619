// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A program that says hello at each call of execve(). */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

/*
 * The section's name says where the program belongs: the tracepoint sys_enter_execve of the
 * category syscalls. bpfrun attaches it there.
 */
SEC("tracepoint/syscalls/sys_enter_execve")
int hello(void *ctx)
{
	/* The upper half is the process's id, the lower half the thread's. */
	__u32 pid = bpf_get_current_pid_tgid() >> 32;

	bpf_printk("Hello, World! I am process %d", pid);
	return 0;
}

/* Many functions of the kernel are only for programs with a GPL-compatible licence. */
char LICENSE[] SEC("license") = "Dual BSD/GPL";
