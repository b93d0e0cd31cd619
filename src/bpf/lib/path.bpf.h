/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_PATH_BPF_H
#define SNOOP_PATH_BPF_H

/*
 * The full path of an open file, by walking dentries and mounts up to the root of
 * the mount namespace; bpf_d_path() is not allowed in tracing programs. Lockless:
 * during a concurrent rename it may mix old and new names.
 */

#define PATH_CAP 4096 /* bytes kept, as PATH_MAX; the leading part of longer ones is cut */
#define PATH_NAME_MAX 255 /* NAME_MAX: one component */
#define PATH_CLIMBS 16 /* the leading part of a path is cut beyond these, */
#define PATH_CLIMB 8 /* of so many steps each: the verifier follows only one climb */

/* Room behind the path for a tool's own strings; at least one component. */
#ifndef PATH_TAIL
#define PATH_TAIL (PATH_NAME_MAX + 1)
#endif

/* A path is written from its end towards the front: bytes[start..PATH_CAP]. */
struct path_buf {
	__u8 bytes[PATH_CAP + PATH_TAIL];
	__u32 start; /* offset of the first byte */
	__u32 flags; /* enum path_flag */
	__u64 dentry; /* walk state: in memory, so that the verifier can merge paths */
	__u64 mount;
	__u64 mount_root; /* its dentry */
};

enum path_flag {
	PATH_CUT = 1 << 0, /* leading components are missing */
	PATH_DELETED = 1 << 1, /* unlinked: the file has no name any more */
	PATH_NO_MOUNT = 1 << 2, /* memfd, pipe, ...: a name without a place in the tree */
};

/* Prepends "/name"; false when there is no room. */
static __always_inline bool path_prepend(struct path_buf *path, struct dentry *dentry)
{
	struct qstr name;
	__u32 len, start;

	BPF_CORE_READ_INTO(&name, dentry, d_name);
	len = name.len;
	if (len > PATH_NAME_MAX)
		len = PATH_NAME_MAX;
	start = path->start - len - 1;
	barrier_var(start); /* or the compiler adds to the unchecked value below */
	if (start >= PATH_CAP) /* also when it went below zero */
		return false;
	path->bytes[start] = '/';
	bpf_probe_read_kernel(&path->bytes[start + 1], len, name.name);
	path->start = start;
	return true;
}

/* Begins a walk from a place in the tree. False: there is nothing to climb. */
static __always_inline bool path_begin(struct path_buf *path, struct dentry *dentry,
				       struct vfsmount *vfsmnt)
{
	struct mount *mount = (void *)vfsmnt - bpf_core_field_offset(struct mount, mnt);
	bool is_root = BPF_CORE_READ(dentry, d_parent) == dentry;

	path->start = PATH_CAP;
	path->flags = 0;
	path->dentry = (__u64)dentry;
	path->mount = (__u64)mount;
	path->mount_root = (__u64)BPF_CORE_READ(vfsmnt, mnt_root);
	if (is_root && path->mount_root != (__u64)dentry)
		path->flags |= PATH_NO_MOUNT;
	else if (!is_root && !BPF_CORE_READ(dentry, d_hash.pprev))
		path->flags |= PATH_DELETED; /* as the kernel's d_unlinked() */

	if (path->flags & PATH_NO_MOUNT) {
		path_prepend(path, dentry);
		if (path->start < PATH_CAP)
			path->start++; /* a bare name, without the slash */
	}
	return !(path->flags & PATH_NO_MOUNT);
}

/* Up to PATH_CLIMB steps towards the root. 1: there are more. */
static __always_inline int path_climb(struct path_buf *path)
{
	for (int i = 0; i < PATH_CLIMB; i++) {
		struct dentry *here = (void *)path->dentry;
		struct mount *at = (void *)path->mount;
		struct dentry *parent;

		if ((__u64)here == path->mount_root) {
			struct mount *above = BPF_CORE_READ(at, mnt_parent);

			if (above == at) { /* the root of the mount namespace */
				if (path->start == PATH_CAP) {
					path->start = PATH_CAP - 1;
					path->bytes[PATH_CAP - 1] = '/';
				}
				return 0;
			}
			path->dentry = (__u64)BPF_CORE_READ(at, mnt_mountpoint);
			path->mount = (__u64)above;
			path->mount_root = (__u64)BPF_CORE_READ(above, mnt.mnt_root);
			continue;
		}
		parent = BPF_CORE_READ(here, d_parent);
		if (parent == here)
			return 0; /* detached tree */
		if (!path_prepend(path, here)) {
			path->flags |= PATH_CUT;
			return 0;
		}
		path->dentry = (__u64)parent;
	}
	return 1;
}

/*
 * Climbs to the root after path_begin(). `climb` is the tool's own path_climb() for the path in a
 * slot of its scratch. It is not inline and not static, so that the verifier looks at it on its
 * own, once, and not for each climb, nor for each way to come here.
 */
static __always_inline void path_end(struct path_buf *path, int (*climb)(__u32), __u32 slot)
{
	for (int i = 0; i < PATH_CLIMBS; i++) {
		if (!climb(slot))
			return;
	}
	path->flags |= PATH_CUT;
}

#define FMODE_NOACCOUNT (1 << 29)

/*
 * The place of a mapping's file as the program has opened it. File systems that lie on others
 * (overlayfs, fuse) map a file of the lower one, which since 6.7 has both paths. The bit in
 * f_mode that marks such a file has moved in 6.14, where the old one came to mean something
 * else. All of them are exempt from a limit, as are few other files, behind which there is
 * hardly a path: one of which both parts belong to the same file system.
 */
static __always_inline struct path *file_user_path(struct file *file)
{
	struct path *own = (void *)file + bpf_core_field_offset(struct file, f_path), *user;
	struct super_block *sb;

	if (!bpf_core_field_exists(struct backing_file, user_path) ||
	    !(BPF_CORE_READ(file, f_mode) & FMODE_NOACCOUNT))
		return own;
	user = (void *)file + bpf_core_field_offset(struct backing_file, user_path);
	sb = BPF_CORE_READ(user, dentry, d_sb);
	return sb && sb == BPF_CORE_READ(user, mnt, mnt_sb) ? user : own;
}

#endif /* SNOOP_PATH_BPF_H */
