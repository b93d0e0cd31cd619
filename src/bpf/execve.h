/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_EXECVE_H
#define SNOOP_EXECVE_H

#include "common.h"

enum exec_kind {
	EXEC_DONE = 1, /* a program was executed */
	EXEC_FAILED = 2, /* execve() or execveat() returned an error */
};

enum exec_flag {
	EXEC_PATH_CUT = 1 << 0, /* leading part of the path is missing */
	EXEC_PATH_DELETED = 1 << 1, /* the executable has no name any more */
	EXEC_PATH_NO_MOUNT = 1 << 2, /* memfd and the like: a name, not a path */
	EXEC_FILENAME_CUT = 1 << 3, /* longer than the record's room */
	EXEC_FILENAME_FAULT = 1 << 4, /* pointer unreadable: bad, or gone with the old image */
	EXEC_ARGS_FAULT = 1 << 5, /* arguments were unreadable, and their place is unknown */
	EXEC_ARGC_MORE = 1 << 6, /* failed: more arguments than were counted */
	EXEC_ARGS_CUT = 1 << 7, /* failed: no room for all; args_total is a lower bound */
	EXEC_SECURE = 1 << 8, /* gained privileges (setuid, setgid, file capabilities) */
	EXEC_KERNEL = 1 << 9, /* started by a kernel thread (modprobe, core_pattern, ...) */
	EXEC_COMPAT = 1 << 10, /* failed: called through the 32-bit interface */
	EXEC_FATAL = 1 << 11, /* failed past the point of no return: dies of SIGSEGV */
	EXEC_ARGS_LATE = 1 << 12, /* set by user space, which read the arguments a moment later */
	EXEC_ENV = 1 << 13, /* the environment is in the record, as far as there was room */
	EXEC_ENV_FAULT = 1 << 14, /* the environment was unreadable */
	EXEC_CWD_CUT = 1 << 15, /* leading part of the working directory is missing */
	EXEC_CWD_DELETED = 1 << 16, /* the working directory has no name any more */
	EXEC_ENV_PART = 1 << 17, /* set by user space: a recording has only some of the variables */
};

/* A string of a failed call whose page was not in memory; in the record it is empty. */
struct exec_cold {
	__u64 address; /* in the caller's memory */
	__u32 index; /* which argument, or EXEC_COLD_FILENAME */
	__u32 pad;
};
#define EXEC_COLD_MAX 8
#define EXEC_COLD_FILENAME 0xffffffff

/*
 * One execution. Behind it, without padding: path (path_len), filename
 * (filename_len), interpreter (interp_len), cold strings (cold_len: struct exec_cold,
 * unaligned), working directory (cwd_len), arguments (args_len; each with its NUL, the
 * last one possibly cut), environment (env_len, likewise). A ring buffer record may be
 * longer than that.
 */
struct exec_event {
	struct task_id id;
	__u64 arg_start; /* failed: address of the caller's own arguments, identifies its memory */
	enum exec_kind kind;
	__s32 ret; /* 0, or -errno */
	enum exec_flag flags;
	__u32 argc; /* number of arguments, in the record or not */
	__u32 args_total; /* bytes of all arguments with their NULs */
	__u32 args_len; /* bytes of them in this record */
	__u32 caller_tid; /* the thread that called exec: not pid if not the leader */
	__s32 dirfd; /* failed execveat(): its directory; else AT_FDCWD */
	__u32 mnt_ns; /* failed: inode of the caller's mount namespace; 0: it is chrooted */
	__u16 path_len; /* the executable's resolved path, no NUL */
	__u16 filename_len; /* as the caller named it, no NUL */
	__u16 interp_len; /* interpreter of a script, no NUL; 0: none */
	__u16 cold_len; /* bytes */
	__u16 cwd_len; /* the working directory, no NUL; 0: not asked for */
	__u16 redacted; /* set by user space: parts of strings that it has replaced */
	__u32 env_total; /* bytes of all variables with their NULs */
	__u32 env_len; /* bytes of them in this record */
	__u64 image_start; /* failed, with cold strings: address of the caller's program */
	__u64 image_inode; /* of its file, whose path is in the place of the executable's */
};

/* Set before loading: what is read only if somebody asks for it. */
struct exec_config {
	__u32 cwd; /* the working directory */
	__u32 env; /* the environment */
};

#endif /* SNOOP_EXECVE_H */
