// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The same as 03-unlink-kprobe.bpf.c by fentry and fexit. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

/*
 * Here the kernel knows the types of the arguments, from its BTF, and checks the program against
 * them. So the program may follow pointers as in C, without copying; a bad pointer reads as 0.
 */
SEC("fentry/security_inode_unlink")
int BPF_PROG(unlink_entry, struct inode *dir, struct dentry *dentry)
{
	char file[64] = "?";

	bpf_probe_read_kernel_str(file, sizeof(file), dentry->d_name.name);
	bpf_printk("unlink %s, inode %lu", file, dentry->d_inode->i_ino);
	return 0;
}

/* At the return one program has both the arguments and the result. */
SEC("fexit/security_inode_unlink")
int BPF_PROG(unlink_return, struct inode *dir, struct dentry *dentry, int ret)
{
	bpf_printk("inode %lu, allowed: %d", dentry->d_inode->i_ino, ret);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
