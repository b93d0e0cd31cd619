/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_MMAP_SUMMARY_BPF_H
#define SNOOP_MMAP_SUMMARY_BPF_H

/*
 * --summary: calls and bytes by process, by file and by size, counted in the kernel, so
 * that a call costs less than a record. Calls that find no room in a map count as
 * "other".
 */

#include "inode.bpf.h"
#include "mmap_call.bpf.h"
#include "task.bpf.h"

__u32 mmap_epoch SEC(".data.epoch");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); /* user space sets the size if it is needed */
	__type(key, struct mmap_process_key);
	__type(value, struct mmap_process_sum);
} mmap_processes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct mmap_file_key);
	__type(value, struct mmap_file_sum);
} mmap_files SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2); /* epochs */
	__type(key, __u32);
	__type(value, struct mmap_totals);
} mmap_totals SEC(".maps");

static __always_inline void mmap_count(struct mmap_sum *sum, __u64 bytes, bool failed)
{
	__sync_fetch_and_add(&sum->calls, 1);
	if (failed)
		__sync_fetch_and_add(&sum->failed, 1);
	else
		__sync_fetch_and_add(&sum->bytes, bytes);
}

/* 0 for 0, else the place of the highest bit, from 1. */
static __always_inline __u32 mmap_size_class(__u64 len)
{
	__u32 class = len != 0;

#define HALVE(bits)                                                                                \
	if (len >> bits) {                                                                         \
		class += bits;                                                                     \
		len >>= bits;                                                                      \
	}
	HALVE(32)
	HALVE(16)
	HALVE(8)
	HALVE(4)
	HALVE(2)
	HALVE(1)
#undef HALVE
	return class;
}

/* The end of the path, as far as there is room. */
static __always_inline void mmap_sum_path(struct mmap_scratch *scratch, __u32 slot,
					  struct file *file)
{
	struct mmap_file_sum *value = &scratch->file_sum;
	__u32 len, start;

	mmap_walk_path(scratch, slot, BPF_CORE_READ(file, f_path.dentry),
		       BPF_CORE_READ(file, f_path.mnt));
	value->notes = 0;
	if (scratch->path.flags & PATH_CUT)
		value->notes |= MMAP_PATH_CUT;
	if (scratch->path.flags & PATH_DELETED)
		value->notes |= MMAP_PATH_DELETED;
	if (scratch->path.flags & PATH_NO_MOUNT)
		value->notes |= MMAP_PATH_NO_MOUNT;
	len = PATH_CAP - scratch->path.start;
	if (len > MMAP_SUM_PATH) {
		value->notes |= MMAP_PATH_CUT;
		len = MMAP_SUM_PATH;
	}
	value->path_len = len;
	start = PATH_CAP - len;
	barrier_var(len);
	if (len > MMAP_SUM_PATH) /* for the verifier */
		return;
	barrier_var(start);
	if (start < PATH_CAP)
		bpf_probe_read_kernel(value->path, len, &scratch->path.bytes[start]);
}

static __always_inline void mmap_sum_file(const struct mmap_call *call, struct file *file,
					  struct mmap_totals *totals, __u32 epoch, const bool btrfs)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	struct mmap_file_key key = {
		.inode = BPF_CORE_READ(inode, i_ino),
		.object = inode_object(inode, btrfs),
		.dev = inode_device(inode, btrfs),
		.epoch = epoch,
	};
	bool failed = mmap_failed(call);
	struct mmap_scratch *scratch;
	struct mmap_file_sum *value;
	__u32 slot = call->slot;

	mmap_count(&totals->files, call->len, failed);
	value = bpf_map_lookup_elem(&mmap_files, &key);
	if (!value) {
		scratch = bpf_map_lookup_elem(&mmap_scratch, &slot);
		if (scratch) {
			__builtin_memset(&scratch->file_sum.sum, 0, sizeof(struct mmap_sum));
			mmap_sum_path(scratch, slot, file);
			/* Another CPU may be first. */
			bpf_map_update_elem(&mmap_files, &key, &scratch->file_sum, BPF_NOEXIST);
		}
		value = bpf_map_lookup_elem(&mmap_files, &key);
	}
	mmap_count(value ? &value->sum : &totals->other_files, call->len, failed);
}

static __always_inline void mmap_sum_process(const struct mmap_call *call,
					     struct mmap_totals *totals, __u32 epoch)
{
	struct mmap_process_key key = {
		.start_ns = current_start_ns(),
		.pid = bpf_get_current_pid_tgid() >> 32,
		.epoch = epoch,
	};
	bool failed = mmap_failed(call);
	struct mmap_process_sum *value;

	value = bpf_map_lookup_elem(&mmap_processes, &key);
	if (!value) {
		struct mmap_process_sum new = {};

		current_comm(new.comm);
		bpf_map_update_elem(&mmap_processes, &key, &new, BPF_NOEXIST);
		value = bpf_map_lookup_elem(&mmap_processes, &key);
	}
	mmap_count(value ? &value->sum : &totals->other_processes, call->len, failed);
}

static __noinline int mmap_summarize(const struct mmap_call *call, struct file *file,
				     const bool btrfs)
{
	__u32 epoch = *(volatile __u32 *)&mmap_epoch & 1;
	__u32 class = mmap_size_class(call->len);
	struct mmap_totals *totals;

	totals = bpf_map_lookup_elem(&mmap_totals, &epoch);
	if (!totals)
		return 0;
	barrier_var(class);
	if (class < MMAP_SIZES)
		mmap_count(&totals->sizes[class], call->len, mmap_failed(call));
	mmap_sum_process(call, totals, epoch);
	if (file)
		mmap_sum_file(call, file, totals, epoch, btrfs);
	return 0;
}

#endif /* SNOOP_MMAP_SUMMARY_BPF_H */
