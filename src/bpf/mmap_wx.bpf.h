/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_MMAP_WX_BPF_H
#define SNOOP_MMAP_WX_BPF_H

/*
 * --wx: what a call has left in the mappings of its range. Each of them is judged by its
 * resulting flags: a personality adds to what was asked for, a call that fails may have
 * changed the mappings before the obstacle, and the first mapping says nothing of the next.
 */

#include "inode.bpf.h"
#include "mmap_call.bpf.h"
#include "seccomp.bpf.h"

#define PROT_READ 0x1
#define PROT_WRITE 0x2
#define PROT_EXEC 0x4
#define VM_WRITE 0x2
#define VM_EXEC 0x4
#define VM_PROT 0x7 /* the same bits as PROT_* */
#define VM_MAYSHARE 0x80
#define MAP_TYPE 0x0f
#define MAP_PRIVATE 0x02
#define MAP_ANONYMOUS 0x20
#define SHM_RDONLY 010000
#define SHM_EXEC 0100000
#define READ_IMPLIES_EXEC 0x0400000
#define S_IFMT 0170000
#define S_IFCHR 0020000
#define DEV_ZERO (1 << 20 | 5) /* MKDEV() */
#define TMPFS_MAGIC 0x01021994
#define HUGETLBFS_MAGIC 0x958458f6
#define ENOENT 2
#define EINVAL 22

#define MMAP_WALK_MAX 32 /* mappings in one range: what is beyond them is counted */

/* Calls that made shared memory writable, of which not all mappings were looked at. */
__u64 mmap_unfollowed SEC(".data.unfollowed");

/* What the pages of a mapping belong to. */
enum mmap_backed_by {
	MMAP_BY_MEMORY, /* nothing else */
	MMAP_BY_SHARED, /* a file of the kernel's own: shared memory, which no program can open */
	MMAP_BY_MEMFD,
	MMAP_BY_NAMELESS, /* a file in memory without a name any more */
	MMAP_BY_FILE,
};

/* Which mapping of a range is shown. 0: none yet. */
enum mmap_rank {
	MMAP_RANK_ANY = 1,
	MMAP_RANK_UNTOUCHED,
	MMAP_RANK_FILE,
	MMAP_RANK_WRITTEN,
	MMAP_RANK_SHARED,
	MMAP_RANK_CHANGED,
	MMAP_RANK_MEMFD,
};

/* /dev/zero has no contents of its own: a private mapping of it is memory. */
static __always_inline bool mmap_is_zero(struct inode *inode)
{
	return BPF_CORE_READ(inode, i_rdev) == DEV_ZERO &&
	       (BPF_CORE_READ(inode, i_mode) & S_IFMT) == S_IFCHR;
}

/* Neither in the tree nor on a mount that could be: the kernel made it for a mapping or memfd. */
static __always_inline bool mmap_is_internal(struct file *file, struct dentry *dentry)
{
	return BPF_CORE_READ(dentry, d_parent) == dentry &&
	       BPF_CORE_READ(file, f_path.mnt, mnt_root) != dentry;
}

static __always_inline enum mmap_backed_by mmap_backed_by(struct file *file)
{
	struct dentry *dentry;
	struct inode *inode;
	__u8 name[6] = {};
	__u64 magic;

	if (!file)
		return MMAP_BY_MEMORY;
	inode = BPF_CORE_READ(file, f_inode);
	if (mmap_is_zero(inode))
		return MMAP_BY_MEMORY;
	magic = BPF_CORE_READ(inode, i_sb, s_magic);
	if (magic != TMPFS_MAGIC && magic != HUGETLBFS_MAGIC)
		return MMAP_BY_FILE;
	dentry = BPF_CORE_READ(file, f_path.dentry);
	if (!mmap_is_internal(file, dentry))
		return BPF_CORE_READ(inode, i_nlink) ? MMAP_BY_FILE : MMAP_BY_NAMELESS;
	/* Only memfd_create() makes such names: programs choose what is behind the colon. */
	bpf_probe_read_kernel(name, sizeof(name), BPF_CORE_READ(dentry, d_name.name));
	if (name[0] == 'm' && name[1] == 'e' && name[2] == 'm' && name[3] == 'f' &&
	    name[4] == 'd' && name[5] == ':')
		return MMAP_BY_MEMFD;
	return MMAP_BY_SHARED;
}

/* A part of the range is not looked at. */
static __always_inline void mmap_not_all_seen(struct mmap_walk *walk)
{
	if (walk->prot & PROT_EXEC)
		walk->notes |= MMAP_WX_UNKNOWN;
	else
		__sync_fetch_and_add(&mmap_unfollowed, 1);
}

/* Remembers in which ways a mapping uses the owner of its pages. Returns its place. */
static __always_inline __u32 mmap_add_owner(struct mmap_walk *walk, struct file *file, __u32 ways,
					    const bool btrfs)
{
	struct inode *host = BPF_CORE_READ(file, f_mapping, host);
	struct mmap_owner owner = {
		.inode = BPF_CORE_READ(host, i_ino),
		.object = inode_object(host, btrfs),
		.dev = inode_device(host, btrfs),
		.generation = BPF_CORE_READ(host, i_generation),
		.ways = ways,
	};
	__u32 count = walk->owners, last = (count - 1) & (MMAP_OWNERS - 1);
	struct mmap_owner *before = &walk->owner[last];

	/* Most often the segments of one file. */
	if (count && before->inode == owner.inode && before->object == owner.object &&
	    before->dev == owner.dev && before->generation == owner.generation) {
		before->ways |= ways;
		return last;
	}
	if (count >= MMAP_OWNERS) {
		mmap_not_all_seen(walk);
		return MMAP_OWNERS;
	}
	walk->owner[count & (MMAP_OWNERS - 1)] = owner;
	walk->owners = count + 1;
	return count;
}

/* What is to be said of a mapping that this call made executable. */
static __always_inline __u32 mmap_made_executable(enum mmap_backed_by by, bool is_shared,
						  bool is_written)
{
	if (by == MMAP_BY_MEMORY || (by == MMAP_BY_SHARED && !is_shared))
		return is_written ? MMAP_WX_WRITTEN : MMAP_WX_UNTOUCHED;
	if (by == MMAP_BY_SHARED)
		return MMAP_WX_SHARED;
	return is_written ? MMAP_WX_CHANGED : 0;
}

static __always_inline __u32 mmap_rank(__u32 notes, bool has_owner)
{
	if (notes & (MMAP_WX_MEMFD | MMAP_WX_NAMELESS))
		return MMAP_RANK_MEMFD;
	if (notes & MMAP_WX_CHANGED)
		return MMAP_RANK_CHANGED;
	if (notes & MMAP_WX_SHARED)
		return MMAP_RANK_SHARED;
	if (notes & MMAP_WX_WRITTEN)
		return MMAP_RANK_WRITTEN;
	if (has_owner)
		return MMAP_RANK_FILE;
	return notes ? MMAP_RANK_UNTOUCHED : MMAP_RANK_ANY;
}

/* Judges walk->seen, of whose flags only VM_PROT and VM_MAYSHARE count. */
static __always_inline void mmap_judge(struct mmap_walk *walk, const bool btrfs)
{
	struct file *file = (void *)walk->seen.file;
	__u64 flags = walk->seen.flags;
	bool is_executable = flags & VM_EXEC, is_shared = flags & VM_MAYSHARE;
	__u32 notes = 0, ways = 0, rank, place = MMAP_OWNERS;
	enum mmap_backed_by by;

	/* A call that failed has not come further than to the first one that is not as it asked. */
	if (walk->failed && (flags & VM_PROT) != walk->prot) {
		walk->end = 0;
		return;
	}
	walk->at = walk->seen.stop;
	by = is_executable || ((flags & VM_WRITE) && is_shared) ? mmap_backed_by(file)
								: MMAP_BY_MEMORY;
	if (is_executable) {
		if (flags & VM_WRITE)
			notes |= MMAP_WX_BOTH;
		if (walk->kind == MMAP_PROTECT || walk->kind == MMAP_ATTACH)
			notes |= mmap_made_executable(by, is_shared, walk->seen.anon_vma);
		if (by == MMAP_BY_MEMFD)
			notes |= MMAP_WX_MEMFD;
		if (by == MMAP_BY_NAMELESS)
			notes |= MMAP_WX_NAMELESS;
		ways |= MMAP_WAY_EXECUTABLE;
	}
	if ((flags & VM_WRITE) && is_shared)
		ways |= MMAP_WAY_WRITABLE;
	if (ways && file && by != MMAP_BY_MEMORY && (is_shared || by != MMAP_BY_SHARED)) {
		if (by == MMAP_BY_SHARED)
			ways |= MMAP_WAY_MEMORY;
		place = mmap_add_owner(walk, file, ways, btrfs);
	}
	walk->notes |= notes;
	rank = mmap_rank(notes, place < MMAP_OWNERS);
	if (rank > walk->rank) {
		walk->rank = rank;
		walk->shown = walk->seen;
		walk->shown_owner = place;
	}
}

/* What the caller's personality adds to these protections. */
static __always_inline __u64 mmap_implied(__u64 prot)
{
	struct task_struct *task;
	__u32 personality;

	if (!(prot & PROT_READ) || (prot & PROT_EXEC))
		return 0;
	if (task_is_typed()) {
		personality = bpf_get_current_task_btf()->personality;
	} else {
		task = (void *)bpf_get_current_task();
		personality = BPF_CORE_READ(task, personality);
	}
	return personality & READ_IMPLIES_EXEC ? PROT_EXEC : 0;
}

/* The protections that a call asks for, and whether of shared memory. */
static __always_inline __u64 mmap_asked(const struct mmap_call *call, bool *is_shared)
{
	__u64 prot = call->prot & VM_PROT;

	*is_shared = true; /* mprotect() does not know it */
	if (call->kind == MMAP_MAP)
		*is_shared = (call->flags & MAP_TYPE) != MAP_PRIVATE;
	if (call->kind == MMAP_BREAK)
		prot = PROT_READ | PROT_WRITE;
	return prot | mmap_implied(prot);
}

/*
 * Begins the walk; false if the call cannot have made anything that is of interest, whatever
 * mappings are there.
 */
static __always_inline bool mmap_walk_begin(struct mmap_walk *walk, const struct mmap_call *call)
{
	bool failed = mmap_failed(call), is_shared;
	__u64 asked = mmap_asked(call, &is_shared), at = call->ret, len = 1;

	if (call->kind == MMAP_BREAK) {
		/* A question for the break changes nothing. */
		if (failed || !call->addr || !(asked & PROT_EXEC))
			return false;
		at--;
	} else if (call->kind == MMAP_PROTECT) {
		at = UNTAGGED(call->addr);
		len = (call->len + mmap_config.page_size - 1) & -(__u64)mmap_config.page_size;
	} else if (call->kind != MMAP_MAP && call->kind != MMAP_ATTACH) {
		return false;
	}
	if (!(asked & PROT_EXEC) && !((asked & PROT_WRITE) && is_shared))
		return false;
	walk->at = at;
	walk->end = at + len;
	walk->prot = asked;
	walk->rank = 0;
	walk->notes = 0;
	walk->kind = call->kind;
	walk->failed = failed;
	walk->owners = 0;
	__builtin_memset(&walk->shown, 0, sizeof(walk->shown));
	walk->shown_owner = MMAP_OWNERS;
	if ((call->prot & PROT_WRITE) && (call->prot & PROT_EXEC))
		walk->notes |= MMAP_WX_BOTH; /* failed or not */
	/* Nothing is changed before the arguments are found to be right, or by a call that is
	 * refused. */
	if (failed && (call->kind != MMAP_PROTECT || call->ret == -EINVAL ||
		       call->slot == MMAP_SLOT_REFUSED || call->slot == MMAP_SLOT_KILLED ||
		       call->ret == -ERRNO_SIGSYS))
		walk->end = 0;
	return true;
}

/*
 * After the walk, if it has not come to its end, since another thread changes mappings just now
 * or this kernel lets nobody look. True: walk->seen is to be judged, which is as requested.
 * `file`: of the descriptor.
 */
static __always_inline bool mmap_walk_end(struct mmap_walk *walk, const struct mmap_call *call,
					  struct file *file)
{
	__u64 flags = walk->prot;

	if (walk->at >= walk->end)
		return false;
	if (walk->kind == MMAP_PROTECT) {
		mmap_not_all_seen(walk);
		return false;
	}
	if (walk->kind == MMAP_MAP) {
		__builtin_memset(&walk->seen, 0, sizeof(walk->seen));
		if ((call->flags & MAP_TYPE) != MAP_PRIVATE)
			flags |= VM_MAYSHARE;
		walk->seen.flags = flags;
		walk->seen.file = (__u64)file;
		return true;
	}
	if ((flags & PROT_WRITE) && (flags & PROT_EXEC))
		walk->notes |= MMAP_WX_BOTH;
	if (walk->kind == MMAP_ATTACH && (flags & PROT_EXEC))
		walk->notes |= MMAP_WX_SHARED;
	return false;
}

#endif /* SNOOP_MMAP_WX_BPF_H */
