/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_ASKED_BPF_H
#define SNOOP_ASKED_BPF_H

/*
 * What the application asked for, by its own system call. Mostly the socket connects just
 * there. A BPF program of the cgroup may send it elsewhere, though, as service meshes and
 * load balancers do; it writes over the kernel's copy of the address, so that only the
 * application still has the original.
 */

#include "socket.bpf.h"

/* The caller's address: struct sockaddr_in or sockaddr_in6. */
struct connect_target {
	__u16 family;
	__u16 port; /* network order */
	__u32 v4; /* or the flow label */
	struct connect_address v6;
	__u32 scope; /* of IPv6: the interface's index */
};

static __always_inline bool target_to_end(const struct connect_target *target, __u32 len,
					  struct connect_end *end)
{
	end->port = bpf_ntohs(target->port);
	end->family = target->family;
	if (target->family == AF_INET && len >= 16) {
		set_v4(&end->address, target->v4);
		return true;
	}
	if (target->family == AF_INET6 && len >= 24) {
		end->address = target->v6;
		settle_v6(end, len >= sizeof(*target) ? target->scope : 0);
		return true;
	}
	return false;
}

/* The arguments of a system call that connects. */
struct connect_call {
	const void *address;
	__u32 len;
	__s32 fd;
};

static __always_inline bool read_target(const struct connect_call *call,
					struct connect_target *target)
{
	/* A struct sockaddr_in at the end of a page has nothing behind it. */
	return !bpf_probe_read_user(target, sizeof(*target), call->address) ||
	       !bpf_probe_read_user(target, 24, call->address) ||
	       !bpf_probe_read_user(target, 8, call->address);
}

#define SOCKETCALL_CONNECT 3

/* connect() of a 32-bit program; `nr` is the call's number there. */
static __always_inline bool compat_connect(struct pt_regs *regs, __u32 nr,
					   struct connect_call *call)
{
#if HAS_COMPAT
	if (nr == COMPAT_NR_CONNECT) {
		call->fd = COMPAT_ARG_CORE(regs, 1);
		call->address = (void *)(__u64)COMPAT_ARG_CORE(regs, 2);
		call->len = COMPAT_ARG_CORE(regs, 3);
		return true;
	}
#endif
#ifdef COMPAT_NR_SOCKETCALL
	__u32 arguments[3];

	if (nr != COMPAT_NR_SOCKETCALL || COMPAT_ARG_CORE(regs, 1) != SOCKETCALL_CONNECT ||
	    bpf_probe_read_user(arguments, sizeof(arguments),
				(void *)(__u64)COMPAT_ARG_CORE(regs, 2)))
		return false;
	call->fd = arguments[0];
	call->address = (void *)(__u64)arguments[1];
	call->len = arguments[2];
	return true;
#else
	return false;
#endif
}

/* socketcall() of a program of the kernel's own kind. */
static __always_inline bool socketcall_connect(struct pt_regs *regs, __u64 nr,
					       struct connect_call *call)
{
#ifdef NR_SOCKETCALL
	__u64 arguments[3];

	if (nr != NR_SOCKETCALL || (__u32)PT_REGS_PARM1_CORE_SYSCALL(regs) != SOCKETCALL_CONNECT ||
	    bpf_probe_read_user(arguments, sizeof(arguments),
				(void *)PT_REGS_PARM2_CORE_SYSCALL(regs)))
		return false;
	call->fd = arguments[0];
	call->address = (void *)arguments[1];
	call->len = arguments[2];
	return true;
#else
	return false;
#endif
}

/* connect() of a program of the kernel's own kind. */
static __always_inline bool native_connect(struct pt_regs *regs, __u64 nr,
					   struct connect_call *call)
{
	if (nr != NR_CONNECT)
		return socketcall_connect(regs, nr, call);
	call->fd = PT_REGS_PARM1_CORE_SYSCALL(regs);
	call->address = (void *)PT_REGS_PARM2_CORE_SYSCALL(regs);
	call->len = PT_REGS_PARM3_CORE_SYSCALL(regs);
	return true;
}

/* With Fast Open the first data come with the address. */
static __always_inline bool fast_open(struct pt_regs *regs, const struct some_regs *some,
				      struct connect_call *call)
{
	struct user_msghdr message;

	call->fd = some->arg1;
	if (some->nr == NR_SENDTO) {
		call->address = (void *)PT_REGS_PARM5_CORE_SYSCALL(regs);
		call->len = PT_REGS_PARM6_CORE_SYSCALL(regs);
		return true;
	}
	if (bpf_probe_read_user(&message, sizeof(message), (void *)some->arg2))
		return false;
	call->address = message.msg_name;
	call->len = message.msg_namelen;
	return true;
}

/*
 * The system call in which the current task begins to connect; false for any other, such
 * as io_uring's, which has the address in the kernel alone. The numbers of both kinds of
 * programs are told apart by what they are: none of these is another call that connects.
 */
static __always_inline bool current_call(struct connect_call *call)
{
	struct pt_regs *regs = current_regs();
	struct some_regs some = {};

	read_some_regs(regs, &some);
	if (some.nr == NR_CONNECT) {
		call->fd = some.arg1;
		call->address = (void *)some.arg2;
		call->len = some.arg3;
		return true;
	}
	if (some.nr == NR_SENDTO || some.nr == NR_SENDMSG)
		return fast_open(regs, &some, call);
	return compat_connect(regs, some.nr, call) || socketcall_connect(regs, some.nr, call);
}

/* The descriptor that the current system call is about, if it is about one. */
static __always_inline __s32 current_descriptor(void)
{
	struct pt_regs *regs = current_regs();

	if (HAS_COMPAT && caller_is_compat(typed_task(), regs))
		return COMPAT_ARG_CORE(regs, 1);
	return PT_REGS_PARM1_CORE_SYSCALL(regs);
}

/* The socket behind a descriptor of the current process, or NULL. */
static __always_inline struct sock *current_socket(__s32 fd)
{
	struct file *file = task_file((void *)bpf_get_current_task(), fd);
	struct socket *socket = file ? file_socket(file) : NULL;

	return socket ? BPF_CORE_READ(socket, sk) : NULL;
}

/* Before 5.15 the socket had its cgroup in a word that may hold something else. */
struct sock_cgroup_data___before_5_15 {
	__u64 val;
} __attribute__((preserve_access_index));

static __always_inline struct cgroup *socket_cgroup(struct sock *sk, const bool typed)
{
	struct sock_cgroup_data___before_5_15 *data;
	struct task_struct *task;
	__u64 value;

	if (bpf_core_field_exists(sk->sk_cgrp_data.cgroup))
		return SOCKET_READ(typed, sk, sk_cgrp_data.cgroup);
	data = (void *)sk + bpf_core_field_offset(struct sock, sk_cgrp_data);
	value = BPF_CORE_READ(data, val);
	if (value && !(value & 3))
		return (void *)value;
	/* The root of the hierarchy. */
	task = (void *)bpf_get_current_task();
	return (void *)BPF_CORE_READ(task, cgroups, dfl_cgrp, root) +
	       bpf_core_field_offset(struct cgroup_root, cgrp);
}

#define HOOK_INDEX(name)                                                                           \
	(bpf_core_enum_value_exists(enum cgroup_bpf_attach_type, CGROUP_##name)                    \
		 ? bpf_core_enum_value(enum cgroup_bpf_attach_type, CGROUP_##name)                 \
		 : BPF_CGROUP_##name)

/* The first of a cgroup's programs of one kind, its own or inherited ones, or NULL. */
static __always_inline struct bpf_prog *first_hook(struct cgroup *cgroup, const bool typed,
						   __u64 index)
{
	void *at = (void *)cgroup + bpf_core_field_offset(struct cgroup, bpf) +
		   bpf_core_field_offset(struct cgroup_bpf, effective) + index * sizeof(void *);
	struct bpf_prog_array *programs = NULL;
	struct bpf_prog *first = NULL;

	if (typed) /* the index is a constant: the verifier knows the member's type */
		programs = *(struct bpf_prog_array **)at;
	else
		bpf_probe_read_kernel(&programs, sizeof(programs), at);
	bpf_probe_read_kernel(&first, sizeof(first),
			      (void *)programs +
				      bpf_core_field_offset(struct bpf_prog_array, items) +
				      bpf_core_field_offset(struct bpf_prog_array_item, prog));
	return first;
}

/* Whether a BPF program of the socket's cgroup may change the destination of a connect(). */
static __always_inline bool is_hooked(struct sock *sk, const bool typed)
{
	struct cgroup *cgroup = socket_cgroup(sk, typed);
	const bool is_typed = typed && bpf_core_field_exists(sk->sk_cgrp_data.cgroup);

	if (SOCKET_READ(typed, sk, __sk_common.skc_family) == AF_INET)
		return first_hook(cgroup, is_typed, HOOK_INDEX(INET4_CONNECT)) != NULL;
	return first_hook(cgroup, is_typed, HOOK_INDEX(INET6_CONNECT)) != NULL;
}

static __always_inline bool is_any(const struct connect_end *end)
{
	const __u32 *words = (const void *)end->address.bytes;

	return !(words[0] | words[1] | words[2] | words[3]);
}

static __always_inline bool same_end(const struct connect_end *a, const struct connect_end *b)
{
	const __u64 *one = (const void *)a->address.bytes, *two = (const void *)b->address.bytes;

	return a->family == b->family && a->port == b->port && one[0] == two[0] && one[1] == two[1];
}

/* Connecting to no address in particular means this machine; the kernel fills it in. */
static __always_inline bool may_be_filled_in(struct sock *sk, const bool typed,
					     const struct connect_end *end)
{
	const __u32 *words = (const void *)end->address.bytes;

	if (end->family == AF_INET)
		return words[0] == bpf_htonl(0x7f000001) ||
		       words[0] == SOCKET_READ(typed, sk, __sk_common.skc_rcv_saddr);
	return !(words[0] | words[1] | words[2]) && words[3] == bpf_htonl(1);
}

/*
 * Fills in peer->asked, if that is another end than the socket's. Without a hook only an
 * address that the kernel fills in can be another one: if the application's memory says
 * anything else then it was written to since the call began.
 */
static __always_inline void peer_asked(struct sock *sk, struct sock *mptcp, const bool typed,
				       struct connect_peer *peer)
{
	bool hooked = is_hooked(sk, typed);
	struct connect_target target = {};
	struct connect_call call;
	struct sock *called;

	if ((!hooked && !may_be_filled_in(sk, typed, &peer->end)) ||
	    (current_flags() & PF_KTHREAD) || !current_call(&call))
		return;
	forget(&call, sizeof(call));
	if (!read_target(&call, &target))
		return;
	peer->asked.family = 0;
	if (!target_to_end(&target, call.len, &peer->asked) || (!hooked && !is_any(&peer->asked)) ||
	    same_end(&peer->asked, &peer->end))
		goto none;
	called = current_socket(call.fd);
	if (called == sk || (called && called == mptcp))
		return;
none:
	__builtin_memset(&peer->asked, 0, sizeof(peer->asked));
}

#endif /* SNOOP_ASKED_BPF_H */
