// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Not only watching: nobody removes a file that is called "precious". */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define EPERM 1

static const char precious[] = "precious";

/*
 * The kernel asks its security modules before it does something; a program of this kind is one
 * of them. It gets the arguments of the hook, and then the verdict of the modules before it.
 */
SEC("lsm/inode_unlink")
int BPF_PROG(keep_precious, struct inode *dir, struct dentry *dentry, int ret)
{
	char name[sizeof(precious) + 1] = {};
	int i;

	if (ret)
		return ret; /* another module has forbidden it already */

	bpf_probe_read_kernel_str(name, sizeof(name), dentry->d_name.name);
	for (i = 0; i < sizeof(precious); i++)
		if (name[i] != precious[i])
			return 0; /* allowed, as far as we are concerned */

	bpf_printk("%d may not remove %s", (__u32)(bpf_get_current_pid_tgid() >> 32), name);
	return -EPERM;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
