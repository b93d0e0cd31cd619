// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// getppid CALLS [filtered]
//
// What a system call costs that nobody traces, in a thread with a seccomp filter if asked for.
// Prints nanoseconds per call: the best of 20 batches, since whatever else runs on this machine can
// only make a batch slower, and the mean.
#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BATCHES 20

/* The cheapest one: it allows everything. */
static int add_filter(void)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = { 1, &allow };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(int argc, char **argv)
{
	long calls = argc > 1 ? atol(argv[1]) / BATCHES : 0;
	double best = 0, sum = 0;

	if (calls < 1 || (argc > 2 && add_filter()))
		return 2;
	for (int batch = 0; batch < BATCHES; batch++) {
		struct timespec from, to;

		clock_gettime(CLOCK_MONOTONIC, &from);
		for (long i = 0; i < calls; i++)
			syscall(SYS_getppid);
		clock_gettime(CLOCK_MONOTONIC, &to);

		double ns = (to.tv_sec - from.tv_sec) * 1e9 + (to.tv_nsec - from.tv_nsec);

		sum += ns / calls;
		if (!batch || ns / calls < best)
			best = ns / calls;
	}
	printf("%.3f %.3f\n", best, sum / BATCHES);
	return 0;
}
