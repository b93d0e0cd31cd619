// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The floor below a tracer's cost: for each tool and backend the same hooks, with programs that do
 * nothing (NAME_empty), or that send a record of the tool's size with nothing in it but the time
 * (NAME_record). For mmapsnoop there are four more, which ask the kernel what only it knows: who
 * calls (NAME_who), with which arguments (NAME_what), and then send a record (NAME_whose), or send
 * it through a perf buffer (NAME_sample). bpfrun attaches them, and reads the perf buffer; floor.py
 * empties the ring buffer.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bootstrap.h"
#include "execve.h"
#include "mmap.h"
#include "tcpconnect.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 * 1024 * 1024);
} floor_records SEC(".maps");

/* For bpfrun to look at. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} floor_nothing SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
} floor_samples SEC(".maps");

static __always_inline int send(const __u32 size)
{
	__u64 *record = bpf_ringbuf_reserve(&floor_records, size, 0);

	if (!record)
		return 0;
	*record = bpf_ktime_get_boot_ns();
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	return 0;
}

static struct mmap_event floor_sample;

static __always_inline int send_sample(void *ctx)
{
	*(__u64 *)&floor_sample = bpf_ktime_get_boot_ns();
	bpf_perf_event_output(ctx, &floor_samples, BPF_F_CURRENT_CPU, &floor_sample,
			      sizeof(floor_sample));
	return 0;
}

/* Some hooks want nothing but 0 as a result; what was asked for is not to be left out for that. */
static __always_inline int looked_at(bool found)
{
	barrier_var(found);
	return 0;
}

/* `record`: what the program does with an event, as an expression of `ctx`. */
#define FLOOR(name, section, record)                                                               \
	SEC(section)                                                                               \
	int name##_empty(void *ctx)                                                                \
	{                                                                                          \
		(void)ctx;                                                                         \
		return 0;                                                                          \
	}                                                                                          \
                                                                                                   \
	SEC(section)                                                                               \
	int name##_record(__u64 *ctx)                                                              \
	{                                                                                          \
		(void)ctx;                                                                         \
		return record;                                                                     \
	}

/* A program's arguments are about so long, and its path. */
#define STRINGS 64
#define NR_MMAP 9
#define SYN_SENT 2

FLOOR(execsnoop_tp_btf, "tp_btf/sched_process_exec", send(sizeof(struct exec_event) + STRINGS))

/* Two programs: an attempt may begin while the first one runs on the same CPU. */
FLOOR(tcpconnect_tp_btf, "tp_btf/inet_sock_set_state",
      ctx[1] == SYN_SENT ? send(sizeof(struct connect_event)) : 0)
FLOOR(tcpconnect_tp_btf_2, "tp_btf/inet_sock_set_state", 0)

FLOOR(mmapsnoop_fexit, "fexit/__x64_sys_mmap", send(sizeof(struct mmap_event)))
FLOOR(mmapsnoop_tracepoint, "tp/syscalls/sys_exit_mmap", send(sizeof(struct mmap_event)))
FLOOR(mmapsnoop_tp_btf, "tp_btf/sys_exit",
      ((struct pt_regs *)ctx[0])->orig_ax == NR_MMAP ? send(sizeof(struct mmap_event)) : 0)

#define SAVED(task) ((struct pt_regs *)bpf_task_pt_regs(task))

/* `is_call`, `what`: whether it is mmap(), and something of its arguments; of `ctx` and `task`. */
#define FLOOR_ASKED(name, section, is_call, what)                                                  \
	SEC(section)                                                                               \
	int name##_who(__u64 *ctx)                                                                 \
	{                                                                                          \
		(void)ctx;                                                                         \
		return looked_at((is_call) && !bpf_get_current_task_btf()->tgid);                  \
	}                                                                                          \
                                                                                                   \
	static __always_inline bool name##_is_asked(__u64 *ctx)                                    \
	{                                                                                          \
		struct task_struct *task;                                                          \
                                                                                                   \
		(void)ctx;                                                                         \
		if (!(is_call))                                                                    \
			return false;                                                              \
		task = bpf_get_current_task_btf();                                                 \
		return task->tgid && what;                                                         \
	}                                                                                          \
                                                                                                   \
	SEC(section)                                                                               \
	int name##_what(__u64 *ctx)                                                                \
	{                                                                                          \
		return looked_at(name##_is_asked(ctx));                                            \
	}                                                                                          \
                                                                                                   \
	SEC(section)                                                                               \
	int name##_whose(__u64 *ctx)                                                               \
	{                                                                                          \
		return name##_is_asked(ctx) ? send(sizeof(struct mmap_event)) : 0;                 \
	}                                                                                          \
                                                                                                   \
	SEC(section)                                                                               \
	int name##_sample(__u64 *ctx)                                                              \
	{                                                                                          \
		return name##_is_asked(ctx) ? send_sample(ctx) : 0;                                \
	}

FLOOR_ASKED(mmapsnoop_fexit, "fexit/__x64_sys_mmap", true, SAVED(task)->sp)
FLOOR_ASKED(mmapsnoop_tracepoint, "tp/syscalls/sys_exit_mmap", true, SAVED(task)->sp)
FLOOR_ASKED(mmapsnoop_tp_btf, "tp_btf/sys_exit", ((struct pt_regs *)ctx[0])->orig_ax == NR_MMAP,
	    ((struct pt_regs *)ctx[0])->sp)

/* Rows are for executions and ends. */
FLOOR(procsnoop_tp_btf_fork, "tp_btf/sched_process_fork", 0)
FLOOR(procsnoop_tp_btf_exec, "tp_btf/sched_process_exec", send(sizeof(struct exec_event) + STRINGS))
FLOOR(procsnoop_tp_btf_exit, "tp_btf/sched_process_exit", send(sizeof(struct process_exit_event)))
FLOOR(procsnoop_tp_btf_signal, "tp_btf/signal_generate", 0)

char LICENSE[] SEC("license") = "Dual BSD/GPL";
