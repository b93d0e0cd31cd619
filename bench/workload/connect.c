// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// connect NET COUNT [PAUSE_US]
//
// Makes COUNT attempts to connect that are refused: socket(), connect(), close(). The one
// with number i goes to the address NET.(i / 256).(i % 256), NET being 127.1 or the like,
// so that a row tells of which attempt it is. Prints nanoseconds per attempt, all three
// calls: the mean and the median, over all but the first tenth, which warms up.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CLOSED_PORT 1

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
	struct sockaddr_in peer = { .sin_family = AF_INET, .sin_port = htons(CLOSED_PORT) };
	long count = argc > 2 ? atol(argv[2]) : 0, pause_us = argc > 3 ? atol(argv[3]) : 0;
	long warm_up = count / 10, timed = 0, sum = 0, *times;
	unsigned int first, second;

	// More have no address of their own.
	if (count < 1 || count > 65536 || sscanf(argv[1], "%u.%u", &first, &second) != 2)
		return 2;
	times = calloc(count, sizeof(*times));
	if (!times)
		return 1;
	// perf has to have heard of a program before its first call.
	usleep(20000);
	for (long i = 0; i < count; i++) {
		int socket_fd, result, error;
		long start;

		peer.sin_addr.s_addr = htonl(first << 24 | second << 16 | i);
		start = now_ns();
		socket_fd = socket(AF_INET, SOCK_STREAM, 0);
		result = connect(socket_fd, (struct sockaddr *)&peer, sizeof(peer));
		error = errno;
		close(socket_fd);
		if (i >= warm_up) {
			times[timed] = now_ns() - start;
			sum += times[timed++];
		}
		// The rows are held against this: another outcome would make them wrong.
		if (result != -1 || error != ECONNREFUSED) {
			fprintf(stderr, "connect: %s, but port %d should refuse\n",
				result ? "another error" : "connected", CLOSED_PORT);
			return 1;
		}
		if (pause_us)
			usleep(pause_us);
	}
	qsort(times, timed, sizeof(*times), compare);
	printf("%ld %ld\n", sum / timed, times[timed / 2]);
	return 0;
}
