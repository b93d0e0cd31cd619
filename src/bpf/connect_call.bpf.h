/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_CONNECT_CALL_BPF_H
#define SNOOP_CONNECT_CALL_BPF_H

/*
 * Calls that this machine refuses before a SYN: they change no state of the socket, and
 * show only in the return value.
 */

#include "attempt.bpf.h"
#include "seccomp.bpf.h"

#define EPERM 1
#define EINTR 4
#define EBADF 9
#define EFAULT 14
#define EINVAL 22
#define EPIPE 32
#define ENOTSOCK 88
#define EAFNOSUPPORT 97
#define ENETUNREACH 101
#define ECONNABORTED 103
#define EISCONN 106
#define EHOSTUNREACH 113
#define EALREADY 114
#define EINPROGRESS 115
#define ERESTARTSYS 512

/*
 * There was no attempt (an address that could not be read, no socket), or it goes on, or another
 * thread, which called connect() for the same socket, has been told how it ended (EPIPE).
 */
static __always_inline bool tells_nothing(long ret)
{
	return ret == -EINPROGRESS || ret == -EALREADY || ret == -EISCONN || ret == -EINTR ||
	       ret == -ERESTARTSYS || ret == -EFAULT || ret == -EPIPE || ret == -EBADF ||
	       ret == -ENOTSOCK;
}

/* Does this return from connect() report an outcome that no change of state has shown? */
static __always_inline bool call_is_news(struct socket *socket, const bool typed, long ret)
{
	struct sock *sk;
	__u16 protocol;

	if (tells_nothing(ret))
		return false;
	sk = SOCKET_READ(typed, socket, sk);
	if (!sk)
		return false;
	protocol = SOCKET_READ(typed, sk, sk_protocol);
	if (protocol != IPPROTO_TCP && protocol != IPPROTO_MPTCP)
		return false;
	/* ECONNABORTED: somebody else has taken the error of an attempt. */
	if (caller_is_told(socket, sk, ret) || ret >= 0 || ret == -ECONNABORTED ||
	    !filter_allows_current(typed_task()))
		return false;
	/* A call inside a call: the one for the whole connection is seen too. */
	return protocol == IPPROTO_MPTCP || !socket_mptcp((void *)sk, false);
}

static __always_inline int call_failed(void *ctx, struct sock *sk, struct connect_peer *peer,
				       long ret, __u32 flags)
{
	struct connect_event event = {};

	peer->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	if (!peer_allowed(peer))
		return 0;
	task_id_fill(&event.id, (void *)bpf_get_current_task(), bpf_ktime_get_boot_ns());
	event.peer = peer->end;
	event.asked = peer->asked;
	event.netns = peer->netns;
	event.outcome = CONNECT_FAILED;
	event.error = -ret;
	event.flags = CONNECT_NO_SYN | flags;
	if (BPF_CORE_READ(sk, sk_protocol) == IPPROTO_MPTCP)
		event.flags |= CONNECT_MPTCP;
	if (current_flags() & PF_KTHREAD)
		event.flags |= CONNECT_KERNEL;
	event.local.port = BPF_CORE_READ(sk, __sk_common.skc_num);
	if (event.local.port) /* bound by the owner */
		socket_local(sk, false, &event.local);
	if (event.peer.interface)
		interface_name(sk, event.peer.interface, event.interface_name);
	if (!outcome_shown(&event))
		return 0;
	if (snoop_config.context)
		context_send_current(ctx, event.id.time_ns, event.id.tid);
	event_send(ctx, &event, sizeof(event), event.id.time_ns);
	return 0;
}

/* Backend fexit: costs nobody else. The address is in kernel memory. */

/*
 * The kernel's address is the one that a hook has chosen; the application's own memory
 * says what was asked for. EPERM: a hook refused, and nothing was chosen.
 */
static __always_inline void ask_caller(struct sock *sk, long ret, struct connect_target *target,
				       struct connect_peer *peer)
{
	struct connect_end *asked = &peer->asked;
	struct connect_call call;

	if (!is_hooked(sk, false) || (current_flags() & PF_KTHREAD) || !current_call(&call) ||
	    current_socket(call.fd) != sk || !read_target(&call, target) ||
	    !target_to_end(target, call.len, asked) || same_end(asked, &peer->end)) {
		__builtin_memset(asked, 0, sizeof(*asked));
		return;
	}
	if (ret == -EPERM) {
		peer->end = *asked;
		__builtin_memset(asked, 0, sizeof(*asked));
	}
}

static __always_inline int kernel_call_done(void *ctx, struct socket *socket, const void *address,
					    int len, long ret, const bool asks)
{
	struct connect_target target = {};
	struct connect_peer peer = {};
	struct sock *sk;

	if (!call_is_news(socket, true, ret))
		return 0;
	bpf_probe_read_kernel(&target, sizeof(target), address);
	if (!target_to_end(&target, len, &peer.end))
		return 0;
	sk = BPF_CORE_READ(socket, sk);
	if (asks)
		ask_caller(sk, ret, &target, &peer);
	return call_failed(ctx, sk, &peer, ret, 0);
}

SEC("fexit/inet_stream_connect")
int BPF_PROG(fexit_connect, struct socket *socket, struct sockaddr *address, int len, int flags,
	     int ret)
{
	return kernel_call_done(ctx, socket, address, len, ret, true);
}

/* Without the caller's registers and memory. */
SEC("fexit/inet_stream_connect")
int BPF_PROG(plain_connect, struct socket *socket, struct sockaddr *address, int len, int flags,
	     int ret)
{
	return kernel_call_done(ctx, socket, address, len, ret, false);
}

/* sendto() with MSG_FASTOPEN comes only this way. */
SEC("fexit/__inet_stream_connect")
int BPF_PROG(fexit_fastopen, struct socket *socket, struct sockaddr *address, int len, int flags,
	     int is_sendmsg, int ret)
{
	return is_sendmsg ? kernel_call_done(ctx, socket, address, len, ret, false) : 0;
}

/* Since 6.1 the call for a multipath connection is inet_stream_connect() too. */
SEC("fexit/mptcp_stream_connect")
int BPF_PROG(fexit_mptcp, struct socket *socket, struct sockaddr *address, int len, int flags,
	     int ret)
{
	return kernel_call_done(ctx, socket, address, len, ret, true);
}

/* A call that a security module refuses does not reach inet_stream_connect(), nor a hook. */
SEC("fexit/security_socket_connect")
int BPF_PROG(fexit_security, struct socket *socket, struct sockaddr *address, int len, int ret)
{
	return ret ? kernel_call_done(ctx, socket, address, len, ret, false) : 0;
}

/* Backends at the exit of the system call: these cost every system call. */

/* What the last refused call of a socket tried. */
struct connect_tried {
	__u64 inode; /* of the socket, whose address may be used again */
	struct connect_end end;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct connect_tried);
} tried SEC(".maps");

/* What TCP notes in the socket for the routing table, and leaves there. False: nothing. */
static __always_inline bool socket_note(struct sock *sk, struct connect_end *end)
{
	struct inet_sock *inet = (void *)sk;
	__u32 v4 = BPF_CORE_READ(inet, cork.fl.u.ip4.daddr);
	__u16 port = bpf_ntohs(BPF_CORE_READ(inet, cork.fl.u.ip4.uli.ports.dport));
	const __u32 *words = (const void *)end->address.bytes;

	if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET) {
		set_v4(&end->address, v4);
		end->family = AF_INET;
		end->port = port;
		return v4 != 0;
	}
	/* The port of IPv6 is on the stack only. */
	READ_V6(false, sk, __sk_common.skc_v6_daddr, &end->address);
	if (is_any(end))
		return false;
	settle_v6(end, BPF_CORE_READ(sk, __sk_common.skc_bound_dev_if));
	if (end->family == AF_INET && words[0] == v4)
		end->port = port;
	return true;
}

/*
 * The destination that this call tried, as the socket has it; false: unknown. A call that
 * ends before TCP notes its destination leaves the one of an earlier call there. Errors of
 * the routing table come later than that, others may come from anywhere.
 */
static __always_inline bool socket_tried(struct socket *socket, struct sock *sk, long ret,
					 struct connect_end *end)
{
	struct connect_attempt *attempt;
	struct connect_tried now = {}, *last;
	__u64 key = (__u64)sk;

	if (!socket_note(sk, &now.end))
		return false;
	forget(&now.end, sizeof(now.end));
	*end = now.end;
	now.inode = socket_inode(socket);
	last = bpf_map_lookup_elem(&tried, &key);
	if (ret != -ENETUNREACH && ret != -EHOSTUNREACH) {
		if (last && last->inode == now.inode && same_end(&last->end, end))
			return false;
		attempt = bpf_map_lookup_elem(&attempts, &key);
		if (attempt && same_end(&attempt->peer.end, end))
			return false;
	}
	bpf_map_update_elem(&tried, &key, &now, BPF_ANY);
	return true;
}

#define SOCKADDR_MAX 128 /* sizeof(struct sockaddr_storage) */
#define SOCKADDR_IN_LEN 16
#define SOCKADDR_IN6_LEN 24 /* the least that the kernel takes */

/*
 * An address that is none for this socket: there was no attempt. By what no other thread can
 * change, which is its length and what the kernel says of its family; `target`, from memory,
 * can only show an address of the other family.
 */
static __always_inline bool names_nothing(struct sock *sk, const struct connect_call *call,
					  const struct connect_target *target, long ret)
{
	bool is_v4 = BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET;

	if (ret == -EINVAL)
		return call->len > SOCKADDR_MAX ||
		       call->len < (is_v4 ? SOCKADDR_IN_LEN : SOCKADDR_IN6_LEN);
	return ret == -EAFNOSUPPORT && target->family != (is_v4 ? AF_INET6 : AF_INET);
}

/*
 * The destination of a refused call, by the application's memory (`peer->asked`; its
 * family is 0 if it could not be read) and by the socket. False: nobody knows.
 */
static __always_inline bool settle_peer(struct socket *socket, struct sock *sk, long ret,
					struct connect_peer *peer, __u32 *flags)
{
	struct connect_end *end = &peer->end, *asked = &peer->asked;
	__u16 port;

	if (!socket_tried(socket, sk, ret, end)) {
		*end = *asked;
		asked->family = 0;
		*flags |= CONNECT_UNSURE;
		return end->family != 0;
	}
	if (!asked->family)
		return true;
	port = end->port;
	if (!port) /* the same address: the same port */
		end->port = asked->port;
	if (same_end(end, asked)) {
		asked->family = 0;
		return true;
	}
	end->port = port;
	/* Without a hook, the memory was written to during the call, or it had another socket. */
	if (!is_any(asked) && !is_hooked(sk, false)) {
		asked->family = 0;
		*flags |= CONNECT_UNSURE;
	}
	return true;
}

/*
 * The descriptor has no socket. If it had one during the call then another thread has closed
 * it or put something else there.
 */
static __always_inline bool descriptor_has_changed(long ret)
{
	return ret < 0 && !tells_nothing(ret) && filter_allows_current(typed_task());
}

static __always_inline int syscall_done(void *ctx, const struct connect_call *call, long ret)
{
	struct file *file = task_file((void *)bpf_get_current_task(), call->fd);
	struct socket *socket = file ? file_socket(file) : NULL;
	struct connect_target target = {};
	struct connect_peer peer = {};
	struct sock *sk;
	__u32 flags = 0;

	if (!socket) {
		if (descriptor_has_changed(ret))
			event_lost();
		return 0;
	}
	if (!call_is_news(socket, false, ret))
		return 0;
	sk = BPF_CORE_READ(socket, sk);
	if (read_target(call, &target)) {
		if (names_nothing(sk, call, &target, ret))
			return 0;
		if (!target_to_end(&target, call->len, &peer.asked))
			peer.asked.family = 0; /* something else stands there now */
	}
	forget(&peer.asked, sizeof(peer.asked));
	if (!settle_peer(socket, sk, ret, &peer, &flags)) {
		event_lost();
		return 0;
	}
	if (!peer.asked.family)
		__builtin_memset(&peer.asked, 0, sizeof(peer.asked));
	return call_failed(ctx, sk, &peer, ret, flags);
}

/* Backend tracepoint. */
SEC("tp/syscalls/sys_exit_connect")
int tp_connect(struct trace_event_raw_sys_exit *ctx)
{
	struct pt_regs *regs = (void *)bpf_task_pt_regs(bpf_get_current_task_btf());
	struct connect_call call;

	native_connect(regs, NR_CONNECT, &call);
	return syscall_done(ctx, &call, seccomp_result(regs, EVENT_RESULT(ctx->ret, regs)));
}

/* Any system call: from the saved registers alone. */
static __always_inline int any_call_done(void *ctx, struct pt_regs *regs, long ret)
{
	__u64 nr = SYSCALL_NR_CORE(regs);
	struct connect_call call;
	bool connects = caller_is_compat(typed_task(), regs) ? compat_connect(regs, nr, &call)
							     : native_connect(regs, nr, &call);

	return connects ? syscall_done(ctx, &call, ret) : 0;
}

/* Backend raw_tp: needs neither tracefs nor 5.15, and sees 32-bit programs. */
SEC("raw_tp/sys_exit")
int raw_sys_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct pt_regs *regs = (void *)ctx->args[0];
	long ret = ctx->args[1];

	return any_call_done(ctx, regs, seccomp_result(regs, EVENT_RESULT(ret, regs)));
}

static __always_inline int call_refused(void *ctx, struct pt_regs *regs, long ret, __u32 slot)
{
	(void)slot; /* the record is on the stack */
	return any_call_done(ctx, regs, ret);
}

SECCOMP_PROGRAMS(seccomp, call_refused, 0, 0)

#endif /* SNOOP_CONNECT_CALL_BPF_H */
