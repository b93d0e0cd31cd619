/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_INODE_BPF_H
#define SNOOP_INODE_BPF_H

/*
 * Which file it is: device and inode, as stat() has them.
 *
 * btrfs numbers the inodes of each subvolume from the same number on, and stat() tells
 * subvolumes apart by a device of their own, which the super block does not have. The types
 * come from the kernel's BTF or from that of the module.
 */

#define BTRFS_SUPER_MAGIC 0x9123683E

struct btrfs_root___here {
	__u32 anon_dev;
} __attribute__((preserve_access_index));

struct btrfs_inode___here {
	struct btrfs_root___here *root;
	struct inode vfs_inode;
} __attribute__((preserve_access_index));

static __always_inline bool inode_is_btrfs(struct inode *inode)
{
	return BPF_CORE_READ(inode, i_sb, s_magic) == BTRFS_SUPER_MAGIC;
}

/* `btrfs`: a constant, whether this kernel may have a file system of that kind. */
static __always_inline __u32 inode_device(struct inode *inode, const bool btrfs)
{
	if (btrfs && bpf_core_field_exists(struct btrfs_root___here, anon_dev) &&
	    inode_is_btrfs(inode)) {
		struct btrfs_inode___here *outer;
		__u32 device;

		outer = (void *)inode - bpf_core_field_offset(struct btrfs_inode___here, vfs_inode);
		device = BPF_CORE_READ(outer, root, anon_dev);
		if (device)
			return device;
	}
	return BPF_CORE_READ(inode, i_sb, s_dev);
}

/*
 * What tells files of btrfs apart where its types are unknown: the inode's own address,
 * as long as it is in memory. 0 where device and inode do that.
 */
static __always_inline __u64 inode_object(struct inode *inode, const bool btrfs)
{
	if (!btrfs || bpf_core_field_exists(struct btrfs_root___here, anon_dev))
		return 0;
	return inode_is_btrfs(inode) ? (__u64)inode : 0;
}

#endif /* SNOOP_INODE_BPF_H */
