/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_CONNECT_CALL_BPF_H
#define SNOOP_CONNECT_CALL_BPF_H

/*
 * Calls that this machine refuses before a SYN: they change no state of the socket, and
 * show only in the return value.
 */

#include "attempt.bpf.h"
#include "seccomp.bpf.h"

#define EINTR 4
#define EISCONN 106
#define EALREADY 114
#define EINPROGRESS 115
#define ERESTARTSYS 512

/* The caller's address: struct sockaddr_in or sockaddr_in6. */
struct connect_target {
	__u16 family;
	__u16 port; /* network order */
	__u32 v4; /* or the flow label */
	struct connect_address v6;
};

static __always_inline bool target_to_peer(const struct connect_target *target, __u32 len,
					   struct connect_peer *peer)
{
	peer->port = bpf_ntohs(target->port);
	peer->family = target->family;
	if (target->family == AF_INET && len >= 16) {
		set_v4(&peer->address, target->v4);
		return true;
	}
	if (target->family == AF_INET6 && len >= 24) {
		peer->address = target->v6;
		peer->family = unmap_v4(&peer->address, AF_INET6);
		return true;
	}
	return false;
}

/* Does this return from connect() report an outcome that no change of state has shown? */
static __always_inline bool call_is_news(struct socket *socket, const bool typed, long ret)
{
	struct sock *sk;
	__u16 protocol;

	if (ret == -EINPROGRESS || ret == -EALREADY || ret == -EISCONN || ret == -EINTR ||
	    ret == -ERESTARTSYS)
		return false;
	sk = SOCKET_READ(typed, socket, sk);
	if (!sk)
		return false;
	protocol = SOCKET_READ(typed, sk, sk_protocol);
	if (protocol != IPPROTO_TCP && protocol != IPPROTO_MPTCP)
		return false;
	if (caller_is_told(socket, sk) || ret >= 0 || !filter_allows_current())
		return false;
	/* A call inside a call: the one for the whole connection is seen too. */
	return protocol == IPPROTO_MPTCP || !socket_mptcp((void *)sk, false);
}

static __always_inline int call_failed(void *ctx, struct socket *socket,
				       const struct connect_target *target, __u32 len, long ret)
{
	struct sock *sk = BPF_CORE_READ(socket, sk);
	struct connect_event event = {};
	struct connect_peer peer = {};

	if (!target_to_peer(target, len, &peer))
		return 0;
	peer.netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	if (!peer_allowed(&peer))
		return 0;
	task_id_fill_current(&event.id, bpf_ktime_get_boot_ns());
	event.peer = peer.address;
	event.peer_port = peer.port;
	event.family = peer.family;
	event.netns = peer.netns;
	event.outcome = CONNECT_FAILED;
	event.error = -ret;
	event.flags = CONNECT_NO_SYN;
	if (BPF_CORE_READ(sk, sk_protocol) == IPPROTO_MPTCP)
		event.flags |= CONNECT_MPTCP;
	if (current_flags() & PF_KTHREAD)
		event.flags |= CONNECT_KERNEL;
	event.local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	if (event.local_port) /* bound by the owner */
		socket_local(sk, false, event.family, &event.local);
	if (outcome_shown(&event))
		event_send(ctx, &event, sizeof(event), event.id.time_ns);
	return 0;
}

/* Backend fexit: costs nobody else. The address is in kernel memory. */

static __always_inline int kernel_call_done(void *ctx, struct socket *socket, const void *address,
					    int len, long ret)
{
	struct connect_target target;

	if (!call_is_news(socket, true, ret))
		return 0;
	bpf_probe_read_kernel(&target, sizeof(target), address);
	return call_failed(ctx, socket, &target, len, ret);
}

SEC("fexit/inet_stream_connect")
int BPF_PROG(fexit_connect, struct socket *socket, struct sockaddr *address, int len, int flags,
	     int ret)
{
	return kernel_call_done(ctx, socket, address, len, ret);
}

/* sendto() with MSG_FASTOPEN comes only this way. */
SEC("fexit/__inet_stream_connect")
int BPF_PROG(fexit_fastopen, struct socket *socket, struct sockaddr *address, int len, int flags,
	     int is_sendmsg, int ret)
{
	return is_sendmsg ? kernel_call_done(ctx, socket, address, len, ret) : 0;
}

/* Since 6.1 the call for a multipath connection is inet_stream_connect() too. */
SEC("fexit/mptcp_stream_connect")
int BPF_PROG(fexit_mptcp, struct socket *socket, struct sockaddr *address, int len, int flags,
	     int ret)
{
	return kernel_call_done(ctx, socket, address, len, ret);
}

/* A call that a security module refuses does not reach inet_stream_connect(). */
SEC("fexit/security_socket_connect")
int BPF_PROG(fexit_security, struct socket *socket, struct sockaddr *address, int len, int ret)
{
	return ret ? kernel_call_done(ctx, socket, address, len, ret) : 0;
}

/* Backends at the exit of the system call: these cost every system call. */

static __always_inline int syscall_done(void *ctx, __u32 fd, const void *address, __u32 len,
					long ret)
{
	struct connect_target target = {};
	struct file *file = current_file(fd);
	struct socket *socket = file ? file_socket(file) : NULL;

	if (!socket || !call_is_news(socket, false, ret))
		return 0;
	/* A struct sockaddr_in at the end of a page has nothing behind it. */
	if (bpf_probe_read_user(&target, sizeof(target), address) &&
	    bpf_probe_read_user(&target, 8, address))
		return 0;
	return call_failed(ctx, socket, &target, len, ret);
}

/* Backend tracepoint. */
SEC("tp/syscalls/sys_exit_connect")
int tp_connect(struct trace_event_raw_sys_exit *ctx)
{
	struct pt_regs *regs = (void *)bpf_task_pt_regs(bpf_get_current_task_btf());

	return syscall_done(ctx, PT_REGS_PARM1_CORE_SYSCALL(regs),
			    (void *)PT_REGS_PARM2_CORE_SYSCALL(regs),
			    PT_REGS_PARM3_CORE_SYSCALL(regs), seccomp_result(ctx->ret));
}

/* Any system call: from the saved registers alone. */
#ifdef __TARGET_ARCH_x86
#define NR_CONNECT 42
#define NR_IA32_SOCKETCALL 102
#define NR_IA32_CONNECT 362
#define SOCKETCALL_CONNECT 3

static __always_inline int any_call_done(void *ctx, struct pt_regs *regs, long ret)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	long nr = BPF_CORE_READ(regs, orig_ax);
	__u32 arguments[3];

	if (BPF_CORE_READ(task, thread_info.status) & TS_COMPAT) {
		if (nr == NR_IA32_CONNECT)
			return syscall_done(ctx, BPF_CORE_READ(regs, bx),
					    (void *)(__u64)(__u32)BPF_CORE_READ(regs, cx),
					    BPF_CORE_READ(regs, dx), ret);
		if (nr != NR_IA32_SOCKETCALL ||
		    (__u32)BPF_CORE_READ(regs, bx) != SOCKETCALL_CONNECT)
			return 0;
		if (bpf_probe_read_user(arguments, sizeof(arguments),
					(void *)(__u64)(__u32)BPF_CORE_READ(regs, cx)))
			return 0;
		return syscall_done(ctx, arguments[0], (void *)(__u64)arguments[1], arguments[2],
				    ret);
	}
	if (nr != NR_CONNECT)
		return 0;
	return syscall_done(ctx, PT_REGS_PARM1_CORE_SYSCALL(regs),
			    (void *)PT_REGS_PARM2_CORE_SYSCALL(regs),
			    PT_REGS_PARM3_CORE_SYSCALL(regs), ret);
}

/* Backend raw_tp: needs neither tracefs nor 5.15, and sees 32-bit programs. */
SEC("raw_tp/sys_exit")
int raw_sys_exit(struct bpf_raw_tracepoint_args *ctx)
{
	return any_call_done(ctx, (void *)ctx->args[0], seccomp_result(ctx->args[1]));
}

static __always_inline int call_refused(void *ctx, struct pt_regs *regs, long ret, __u32 slot)
{
	(void)slot; /* the record is on the stack */
	return any_call_done(ctx, regs, ret);
}

SECCOMP_PROGRAMS(call_refused, 0, 0)
#endif

#endif /* SNOOP_CONNECT_CALL_BPF_H */
