// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Which files are removed: by probes at the entry and the return of a kernel function. */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

/*
 * A kprobe can be put on nearly every function of the kernel. Its arguments are in registers;
 * the macro BPF_KPROBE gives them names and types, which the kernel does not check.
 *
 * Why this function: every removal of a name goes through it, and it has had the same arguments
 * for many years. (do_unlinkat(), which is used in many examples, is gone in Linux 7.)
 */
SEC("kprobe/security_inode_unlink")
int BPF_KPROBE(unlink_entry, struct inode *dir, struct dentry *dentry)
{
	const unsigned char *name = BPF_CORE_READ(dentry, d_name.name);
	char file[64] = "?";

	/* Kernel memory: again the program has to copy it, and may not follow the pointer. */
	bpf_probe_read_kernel_str(file, sizeof(file), name);
	bpf_printk("unlink %s", file);
	return 0;
}

/* At the return the arguments are gone, but the result is there: 0, or minus the errno. */
SEC("kretprobe/security_inode_unlink")
int BPF_KRETPROBE(unlink_return, int ret)
{
	bpf_printk("allowed: %d", ret);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
