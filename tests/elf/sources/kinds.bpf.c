// One of each: sections, maps, variables, calls.
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

struct event {
	__u32 pid;
	char comm[16];
	__u64 at_ns;
};

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} first SEC(".maps"), second SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 3);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps") = {
	.values = { [0] = &first, [2] = &second },
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct event);
} started SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
	__type(value, struct event);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(int));
	__uint(value_size, sizeof(int));
} perf SEC(".maps");

const volatile __u64 least_ns = 1000;
const volatile bool verbose;
struct event last = { .pid = 7, .comm = "init" };
static __u32 calls;
__u64 table[4];

extern int LINUX_KERNEL_VERSION __kconfig;
extern const int bpf_prog_active __ksym __weak;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;

__attribute__((noinline)) int in_text(int x)
{
	return x + calls++;
}

static long each(__u32 index, void *context)
{
	table[index & 3] += (long)context;
	return 0;
}

SEC("tp/sched/sched_process_exec")
int handle_exec(struct trace_event_raw_sched_process_exec *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct event *event;

	if (bpf_ktime_get_ns() < least_ns)
		return 0;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event)
		return 0;
	event->pid = BPF_CORE_READ(task, real_parent, tgid);
	event->at_ns = bpf_ktime_get_ns();
	bpf_get_current_comm(&event->comm, sizeof(event->comm));
	if (verbose)
		bpf_printk("exec of %d", event->pid);
	last.pid = event->pid;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

SEC("kprobe/do_unlinkat")
int BPF_KPROBE(handle_unlink, int dfd)
{
	struct event event = { .pid = dfd };
	__u32 key = 0;
	void *map = bpf_map_lookup_elem(&outer, &key);

	bpf_perf_event_output(ctx, &perf, BPF_F_CURRENT_CPU, &event, sizeof(event));
	bpf_map_update_elem(&started, &key, &event, BPF_ANY);
	return in_text(map != 0);
}

SEC("?fentry.s/do_mkdirat")
int BPF_PROG(handle_mkdir, int dfd)
{
	bpf_rcu_read_lock();
	bpf_loop(4, each, (void *)1, 0);
	bpf_rcu_read_unlock();
	return &bpf_prog_active && LINUX_KERNEL_VERSION > 0;
}

SEC("uprobe//usr/bin/env:main")
int handle_main(struct pt_regs *ctx)
{
	__sync_fetch_and_add(&table[1], 2);
	return 0;
}

SEC("xdp.frags")
int drop_none(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("cgroup/connect4")
int let_connect(struct bpf_sock_addr *ctx)
{
	return 1;
}

SEC("something else")
int no_kind(void *ctx)
{
	return 0;
}
