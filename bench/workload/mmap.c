// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// mmap HOW CALLS [MICROSECONDS]
//
// What mmap() costs: HOW is "fail" (length 0, EINVAL, the cheapest call there is), "anon" (4096
// bytes, unmapped again), "wx" (likewise, writable and executable) or "file" (likewise, of this
// program's own file). Prints nanoseconds per call: the best of 20 batches, and the mean. With
// MICROSECONDS, each thousand calls take that long at least: less than 100,000 without any sleep,
// more with a sleep after each call.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BATCHES 20
#define SLEEP_NS 100000

static int file = -1, prot = PROT_READ;

static double now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return at.tv_sec * 1e9 + at.tv_nsec;
}

static void fail(void)
{
	syscall(SYS_mmap, 0, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void map(void)
{
	int flags = file < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_PRIVATE;
	long at = syscall(SYS_mmap, 0, 4096, prot, flags, file, 0);

	if (at == -1)
		abort();
	syscall(SYS_munmap, at, 4096);
}

/* `pace`: nanoseconds per call. Short pauses would not be exact with a sleep. */
static void wait_for_turn(double from, long i, double pace)
{
	if (pace >= SLEEP_NS)
		usleep(pace / 1000);
	else if (i % 1000 == 0)
		while (now() - from < i * pace)
			;
}

int main(int argc, char **argv)
{
	long calls = argc > 2 ? atol(argv[2]) / BATCHES : 0;
	double best = 0, sum = 0, pace = argc > 3 ? atof(argv[3]) : 0;
	void (*call)(void) = map;

	if (calls < 1)
		return 2;
	if (!strcmp(argv[1], "fail"))
		call = fail;
	else if (!strcmp(argv[1], "wx"))
		prot = PROT_READ | PROT_WRITE | PROT_EXEC;
	else if (!strcmp(argv[1], "file") && (file = open("/proc/self/exe", O_RDONLY)) < 0)
		return 1;
	for (int batch = 0; batch < BATCHES; batch++) {
		double from = now(), per_call;

		for (long i = 0; i < calls; i++) {
			call();
			if (pace)
				wait_for_turn(from, i, pace);
		}
		per_call = (now() - from) / calls;
		sum += per_call;
		if (!batch || per_call < best)
			best = per_call;
	}
	printf("%.3f %.3f\n", best, sum / BATCHES);
	return 0;
}
