/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_KILLER_BPF_H
#define SNOOP_KILLER_BPF_H

/* The sender of a fatal signal, kept from the sending to the end of the process. */

#include "bootstrap.h"

#define SIGNAL_GROUP_EXIT 0x00000004

struct process_key {
	__u64 start_ns;
	__u32 pid;
	__u32 signal; /* in `killers`; else 0 */
};

/* Senders of signals that will be fatal; entries go with the process. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4 * 1024);
	__type(key, struct process_key);
	__type(value, struct process_killer);
} killers SEC(".maps");

static __always_inline void killer_fill(struct process_exit_event *event, struct process_key *key)
{
	struct process_killer *killer;

	__builtin_memset(&event->killer, 0, sizeof(event->killer));
	key->signal = event->status & 0x7f;
	if (!key->signal)
		return;
	killer = bpf_map_lookup_elem(&killers, key);
	if (!killer)
		return;
	event->killer = *killer;
	event->process.flags |= PROCESS_KILLER;
	if (!killer->pid)
		event->process.flags |= PROCESS_KILLER_KERNEL;
	bpf_map_delete_elem(&killers, key);
}

#define SIG(number) (1ULL << ((number)-1))
#define SIGCHLD 17
#define SIGCONT 18
#define SIGSTOP 19
#define SIGTSTP 20
#define SIGTTIN 21
#define SIGTTOU 22
#define SIGURG 23
#define SIGWINCH 28
#define NEVER_FATAL                                                                                \
	(SIG(SIGCHLD) | SIG(SIGCONT) | SIG(SIGSTOP) | SIG(SIGTSTP) | SIG(SIGTTIN) | SIG(SIGTTOU) | \
	 SIG(SIGURG) | SIG(SIGWINCH))

/* si_code of signals from a process, which is then the current one. */
#define SI_USER 0
#define SI_QUEUE (-1)
#define SI_TKILL (-6)

/*
 * In the place of a pointer to the information. Without any the kernel tells the target
 * that the current process has sent it: true of a parent's death (PR_SET_PDEATHSIG), not
 * of SIGPIPE, SIGXFSZ and the like, which go to the current process itself. System calls
 * always have information.
 */
#define SEND_SIG_NOINFO 0
#define SEND_SIG_PRIV 1
#define SI_KERNEL 0x80

#define SIGNAL_DELIVERED 0
#define SIGNAL_LOSE_INFO 4

/*
 * A signal that will end its process, because nothing handles it. Runs when the kernel
 * has done its work: a signal that ends the process at once has already set the group's
 * status. A later signal has another number, or is refused.
 */
static __always_inline int signal_sent(int number, struct kernel_siginfo *info,
				       struct task_struct *target, int result)
{
	struct process_killer killer = {};
	struct process_key key = {};
	struct signal_struct *signal;
	__u64 handler;

	if (number < 1 || number > 64 || (SIG(number) & NEVER_FATAL))
		return 0;
	if (result != SIGNAL_DELIVERED && result != SIGNAL_LOSE_INFO)
		return 0;
	handler = (__u64)BPF_CORE_READ(target, sighand, action[(number - 1) & 63].sa.sa_handler);
	if (handler) /* SIG_DFL is 0 */
		return 0;
	signal = BPF_CORE_READ(target, signal);
	if ((BPF_CORE_READ(signal, flags) & SIGNAL_GROUP_EXIT) &&
	    (BPF_CORE_READ(signal, group_exit_code) & 0x7f) != number)
		return 0;

	killer.signal = number;
	key.pid = BPF_CORE_READ(target, tgid);
	if ((__u64)info == SEND_SIG_NOINFO)
		killer.code = bpf_get_current_pid_tgid() >> 32 == key.pid ? SI_KERNEL : SI_USER;
	else if ((__u64)info == SEND_SIG_PRIV)
		killer.code = SI_KERNEL;
	else
		killer.code = BPF_CORE_READ(info, si_code);
	if (killer.code == SI_USER || killer.code == SI_QUEUE || killer.code == SI_TKILL) {
		struct task_struct *sender = (void *)bpf_get_current_task();

		killer.pid = BPF_CORE_READ(sender, tgid);
		killer.start_ns = BPF_CORE_READ(sender, group_leader, start_boottime);
		killer.uid = BPF_CORE_READ(sender, cred, uid.val);
		BPF_CORE_READ_INTO(&killer.comm, sender, group_leader, comm);
	} else if (killer.code > 0 && killer.code != SI_KERNEL) {
		killer.address = (__u64)BPF_CORE_READ(info, _sifields._sigfault._addr);
	}
	key.start_ns = BPF_CORE_READ(target, group_leader, start_boottime);
	key.signal = number;
	bpf_map_update_elem(&killers, &key, &killer, BPF_ANY);
	return 0;
}

#endif /* SNOOP_KILLER_BPF_H */
