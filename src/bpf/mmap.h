/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_MMAP_H
#define SNOOP_MMAP_H

#include "common.h"

enum mmap_kind {
	MMAP_MAP = 1, /* mmap(), and mmap2() of 32-bit programs */
	MMAP_UNMAP = 2, /* munmap() */
	MMAP_PROTECT = 3, /* mprotect(), pkey_mprotect() */
	MMAP_REMAP = 4, /* mremap() */
	MMAP_BREAK = 5, /* brk() */
	MMAP_ADVISE = 6, /* madvise() */
	MMAP_ATTACH = 7, /* shmat(), with --wx */
};

enum mmap_note {
	MMAP_PLAIN = 0, /* nothing of the following */
	MMAP_COMPAT = 1 << 0, /* called through the 32-bit interface */
	MMAP_EXTRA = 1 << 1, /* struct mmap_extra follows */
	MMAP_FILE = 1 << 2, /* device and inode are known */
	MMAP_PATH_CUT = 1 << 3, /* leading part of the path is missing */
	MMAP_PATH_DELETED = 1 << 4, /* the file has no name any more */
	MMAP_PATH_NO_MOUNT = 1 << 5, /* memfd and the like: a name, not a path */
	MMAP_VMA = 1 << 6, /* the resulting mapping is known */
	MMAP_DURATION = 1 << 7, /* the duration is known */
	/* --wx: what the call left in the mappings of its range. */
	MMAP_WX_BOTH = 1 << 8, /* one is writable and executable, or was to be */
	/* mprotect() and shmat() made executable: */
	MMAP_WX_WRITTEN = 1 << 9, /* memory that it, or a merged neighbour, has written */
	MMAP_WX_CHANGED = 1 << 10, /* pages of a file that this process has changed */
	MMAP_WX_SHARED = 1 << 11, /* memory that processes share, without a name to open */
	MMAP_WX_UNTOUCHED = 1 << 12, /* memory that nobody has written */
	MMAP_WX_UNKNOWN = 1 << 13, /* something that could not be looked at */
	/* Executable, whatever made it so: */
	MMAP_WX_MEMFD = 1 << 14,
	MMAP_WX_NAMELESS = 1 << 15, /* a file in memory that has no name any more, or never had */
};

/*
 * One call. With MMAP_EXTRA, struct mmap_extra follows, and then without padding: path
 * (path_len), kernel stack and user stack (8 bytes for each frame), owners. A ring buffer
 * record may be longer than that. Most calls map no file, so the fixed part is short.
 */
struct mmap_event {
	struct task_id id;
	__u64 addr; /* as requested; remap: the old one */
	__u64 len; /* bytes; remap: the old length; attach: 0 */
	__s64 ret; /* address or 0, else -errno; break: where it is now */
	__u64 prot; /* advise: the advice; remap: the requested new address */
	__u64 flags; /* of mmap(), mremap() or shmat() */
	__u64 offset; /* bytes into the file; remap: the new length */
	__s32 fd; /* protect: the protection key, -1 for none; attach: the segment */
	enum mmap_kind kind;
	enum mmap_note notes;
	__u16 path_len;
	__u8 pad[2];
};

struct mmap_extra {
	__u64 inode;
	__u64 vma_start; /* the resulting mapping, */
	__u64 vma_end; /* which may be larger: merged with a neighbour */
	__u64 vma_flags; /* VM_READ and so on, as the kernel has them */
	__u64 duration_ns; /* from entry to exit */
	__u32 dev; /* as the kernel has it: major << 20 | minor */
	__u32 unseen_kib; /* --wx: this much of the range was not looked at */
	__u16 kernel_frames;
	__u16 user_frames;
	__u16 owners;
	__u16 shown_owner; /* that of the file in the record; none if not below `owners` */
};

/* How a file, or memory without a name, is mapped: bits of mmap_owner.ways. */
enum mmap_way {
	MMAP_NO_WAY = 0,
	MMAP_WAY_WRITABLE = 1 << 0, /* and shared: writes reach the owner */
	MMAP_WAY_EXECUTABLE = 1 << 1,
	MMAP_WAY_MEMORY = 1 << 2, /* no program can open it */
};

/*
 * --wx: the inode that a mapping's pages belong to. With overlayfs it is not the one that
 * stat() sees, but the same for every path to the file.
 */
struct mmap_owner {
	__u64 inode;
	__u64 object; /* address in the kernel, where the rest does not identify it; else 0 */
	__u32 dev;
	__u32 generation; /* distinguishes files that had the same inode one after another */
	enum mmap_way ways;
	__u8 pad[4];
};

#define MMAP_OWNERS 4 /* for each call; a power of two */

/* A mapping. */
struct mmap_seen {
	__u64 start;
	__u64 stop; /* 0: not found, the rest is as requested */
	__u64 flags; /* VM_* */
	__u64 file;
	__u64 anon_vma; /* not 0: it has private pages that were written */
};

/* --wx: the walk over the mappings in the range of a call. */
struct mmap_walk {
	__u64 at; /* the next address to look at */
	__u64 end;
	__u64 prot; /* as requested: what a failed mprotect() has got to */
	__u64 mapping; /* its address in the kernel, where mmap_list.bpf.h looks it up */
	struct mmap_seen seen; /* the mapping to judge */
	struct mmap_seen shown; /* the one to show: that with the highest rank */
	__u32 rank; /* 0: none yet */
	enum mmap_note notes;
	__u32 kind;
	__u32 failed;
	__u32 owners;
	__u32 shown_owner;
	struct mmap_owner owner[MMAP_OWNERS];
};

/* Which calls: values of mmap_config.backing. */
enum mmap_backing {
	MMAP_ANY = 0,
	MMAP_ONLY_ANON = 1,
	MMAP_ONLY_FILE = 2,
};

/* Which filters are on, besides those of all tools: bits of mmap_config.filters. */
enum mmap_filter {
	MMAP_ANY_CALL = 0,
	MMAP_BY_LEN = 1 << 0, /* min_len and max_len */
	MMAP_BY_ARGS = 1 << 1, /* prot, flags and backing */
	MMAP_BY_FAILURE = 1 << 2, /* failed calls only */
};

/* Modes besides showing each call: bits of mmap_config.modes. */
enum mmap_mode {
	MMAP_NO_MODE = 0,
	MMAP_MODE_WX = 1 << 0, /* only calls that make memory writable and executable */
	MMAP_MODE_PATH = 1 << 1, /* only files whose path begins with a prefix */
	MMAP_MODE_LATENCY = 1 << 2, /* an entry program notes the time */
	MMAP_MODE_STACKS = 1 << 3, /* send the caller's stacks */
	MMAP_MODE_SUMMARY = 1 << 4, /* count in maps, send nothing */
	MMAP_MODE_FILE_ONLY = 1 << 5, /* mappings are looked up for their files alone */
	MMAP_MODE_BTRFS = 1 << 6, /* this kernel has btrfs: see inode.bpf.h */
};

#define MMAP_PREFIX_MAX 256
#define MMAP_PREFIXES 3 /* as given, and with its symbolic links followed */
#define MMAP_FRAMES 127 /* PERF_MAX_STACK_DEPTH: the kernel's limit */

/* Unused if it is empty. */
struct mmap_prefix {
	__u32 len;
	__u8 bytes[MMAP_PREFIX_MAX];
};

/*
 * Set before loading and constant afterwards. The verifier removes dead branches but
 * keeps the loads that guard them. `filters` and `modes` are bit sets so that a single
 * load rules out all of them.
 */
struct mmap_config {
	__u64 min_len; /* bytes */
	__u64 max_len;
	__u64 prot; /* all of these */
	__u64 flags; /* these, */
	__u64 flags_mask; /* of these */
	__u32 kinds; /* which calls are shown: bit 1 << enum mmap_kind */
	enum mmap_backing backing;
	enum mmap_filter filters;
	enum mmap_mode modes;
	struct mmap_prefix prefixes[MMAP_PREFIXES];
	__u32 page_size; /* bytes */
};

/*
 * --summary: the counts. Keys have an epoch, 0 or 1, which user space switches: while
 * it reads and clears the counts of one, the programs count in the other.
 */
struct mmap_sum {
	__u64 calls; /* failed ones too */
	__u64 failed;
	__u64 bytes; /* mapped */
};

struct mmap_process_key {
	__u64 start_ns; /* CLOCK_BOOTTIME of its birth */
	__u32 pid;
	__u32 epoch;
};

struct mmap_process_sum {
	struct mmap_sum sum;
	__u8 comm[TASK_COMM_LEN]; /* at its first call */
};

struct mmap_file_key {
	__u64 inode;
	__u64 object; /* as in struct mmap_owner */
	__u32 dev;
	__u32 epoch;
};

#define MMAP_SUM_PATH 256

struct mmap_file_sum {
	struct mmap_sum sum;
	enum mmap_note notes; /* of the path */
	__u32 path_len;
	__u8 path[MMAP_SUM_PATH]; /* its end */
};

/*
 * Counts by size: one class for 0 bytes and one for each power of two; and calls that
 * found no room elsewhere.
 */
#define MMAP_SIZES 65
struct mmap_totals {
	struct mmap_sum sizes[MMAP_SIZES];
	struct mmap_sum other_processes;
	struct mmap_sum other_files;
	struct mmap_sum files; /* all calls with a file */
};

#endif /* SNOOP_MMAP_H */
