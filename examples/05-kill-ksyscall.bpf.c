// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Who sends signals to whom: a probe at a system call. */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

/*
 * The kernel's function for a system call has another name on each architecture, such as
 * __x64_sys_kill, and its arguments are hidden in a struct of saved registers. The section
 * ksyscall/kill and the macro BPF_KSYSCALL take care of both.
 */
SEC("ksyscall/kill")
int BPF_KSYSCALL(kill_entry, pid_t pid, int sig)
{
	bpf_printk("kill(%d, %d)", pid, sig);
	return 0;
}

SEC("kretsyscall/kill")
int BPF_KRETPROBE(kill_return, int ret)
{
	bpf_printk("kill() = %d", ret);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
