/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_VERIFIER_BPF_H
#define SNOOP_VERIFIER_BPF_H

/*
 * What the code tells the kernel's verifier, which follows each way through a program.
 *
 * What it trusts costs it time. In Linux 6.12 and 6.18 it compares the names of all types of the
 * kernel, three or four times, for each pointer that is read through a trusted one: the argument of
 * a tp_btf program, and the current task. That takes a millisecond each, on each way through the
 * program. It trusts neither what a helper such as bpf_skc_to_tcp_sock() returns, nor what was read
 * through that. So programs for millions of events read from the current task directly, as few
 * times as possible; where few events come by, bpf_probe_read_kernel() is cheaper in all.
 */

/*
 * The smaller one of a number and a constant. In C, clang may check a copy of the number and use
 * another one, which kernels such as 6.1 then refuse as unbounded.
 */
#define AT_MOST(number, constant)                                                                  \
	({                                                                                         \
		__u64 least = (number);                                                            \
		asm volatile("if %[least] <= %[most] goto +1\n\t%[least] = %[most]"                \
			     : [least] "+r"(least)                                                 \
			     : [most] "i"(constant));                                              \
		least;                                                                             \
	})

/*
 * Makes the verifier forget the values in these bytes of the stack. Ways that differ in nothing
 * else are one from here on; otherwise it follows each of them to the end of the program, so that
 * a few conditions one after the other take it longer than all the rest of a start. There must be
 * no pointers among the bytes that the program follows later.
 */
static __always_inline void forget(void *bytes, const __u32 size)
{
	bpf_probe_read_kernel(bytes, size, bytes);
}

#endif /* SNOOP_VERIFIER_BPF_H */
