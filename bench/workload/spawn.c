// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// spawn PROGRAM TAG COUNT [PAUSE_US]
//
// Executes PROGRAM COUNT times, one after another, with arguments as a build has them; the
// first one is TAG-i. Prints nanoseconds per execution, from spawning to having waited:
// the mean and the median, over all but the first tenth, which warms up.
#define _GNU_SOURCE
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	long x = *(const long *)a, y = *(const long *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	if (argc < 4)
		return 2;
	long count = atol(argv[3]), pause_us = argc > 4 ? atol(argv[4]) : 0;
	long warm_up = count / 10, timed = 0, *times = calloc(count, sizeof(*times)), sum = 0;
	char tag[128];
	char *args[] = { argv[1], tag, "-c", "--edition=2024", "-o", "out.o", NULL };
	char *environment[] = { "PATH=/usr/bin", NULL };

	if (count < 1 || !times)
		return 2;
	// perf now and then shows a new program by its caller's name, so that is the same one;
	// and it has to have heard of it before the first.
	prctl(PR_SET_NAME, strrchr(argv[1], '/') ? strrchr(argv[1], '/') + 1 : argv[1]);
	usleep(20000);
	for (long i = 0; i < count; i++) {
		pid_t pid;
		int status;

		snprintf(tag, sizeof(tag), "%s-%ld", argv[2], i);
		long start = now_ns();
		// glibc makes this CLONE_VFORK | CLONE_VM: no page tables are copied.
		if (posix_spawn(&pid, argv[1], NULL, NULL, args, environment))
			return 1;
		if (waitpid(pid, &status, 0) != pid || status)
			return 1;
		if (i >= warm_up) {
			times[timed] = now_ns() - start;
			sum += times[timed++];
		}
		if (pause_us)
			usleep(pause_us);
	}
	qsort(times, timed, sizeof(*times), compare);
	printf("%ld %ld\n", sum / timed, times[timed / 2]);
	return 0;
}
