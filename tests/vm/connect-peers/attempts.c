// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// attempts probe | attempts COUNT FEW
//
// Attempts to connect of every kind, in known numbers; the one with number i of kind K goes
// to 127.K.(i / 256).(i % 256). Each is checked: rows are held against what happened here.
// The probe is a few attempts of kind 9, to find out whether a tracer is at work.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLOSED_PORT 1
#define OPEN_PORT 4000
#define SILENT_PORT 4001 // its queue is full, so SYNs are dropped

#define SECOND_MS 1000

// rows.py knows them too.
enum kind {
	REFUSED = 1,
	ACCEPTED = 2,
	MAPPED = 3, // IPv4 through an IPv6 socket
	ABORTED = 4,
	NON_BLOCKING = 5,
	TIMED_OUT = 6,
	PROBE = 9,
	FILLER = 10,
};

static void check(bool as_wanted, const char *what)
{
	if (as_wanted)
		return;
	fprintf(stderr, "attempts: not as wanted: %s (%m)\n", what);
	exit(1);
}

static int listen_at(int port, int backlog)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	check(!bind(fd, (struct sockaddr *)&any, sizeof(any)) && !listen(fd, backlog), "listen");
	return fd;
}

// Returns the socket; *error is what connect() said.
static int attempt(enum kind kind, int i, int port, int flags, int *error)
{
	unsigned int address = 127u << 24 | kind << 16 | i;
	struct sockaddr_in v4 = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(address),
	};
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	bool mapped = kind == MAPPED;
	int fd = socket(mapped ? AF_INET6 : AF_INET, SOCK_STREAM | flags, 0);
	int syns_again = 1; // times out within 3 s
	int result;

	check(fd >= 0, "socket");
	setsockopt(fd, IPPROTO_TCP, TCP_SYNCNT, &syns_again, sizeof(syns_again));
	v6.sin6_addr.s6_addr[10] = v6.sin6_addr.s6_addr[11] = 0xff;
	memcpy(&v6.sin6_addr.s6_addr[12], &v4.sin_addr, 4);
	result = mapped ? connect(fd, (struct sockaddr *)&v6, sizeof(v6))
			: connect(fd, (struct sockaddr *)&v4, sizeof(v4));
	*error = result ? errno : 0;
	return fd;
}

static int outcome(int fd, int timeout_ms)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };
	socklen_t len = sizeof(int);
	int error;

	if (poll(&poll_fd, 1, timeout_ms) != 1)
		return EINPROGRESS;
	check(!getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len), "SO_ERROR");
	return error;
}

static void accept_one(int listener)
{
	int fd = accept(listener, NULL, NULL);

	check(fd >= 0, "accept");
	close(fd);
}

static void refused(enum kind kind, int count)
{
	for (int i = 0; i < count; i++) {
		int error, fd = attempt(kind, i, CLOSED_PORT, 0, &error);

		check(error == ECONNREFUSED, "refused");
		close(fd);
	}
}

static void accepted(enum kind kind, int count, int listener)
{
	int flags = kind == NON_BLOCKING ? SOCK_NONBLOCK : 0;

	for (int i = 0; i < count; i++) {
		int error, fd = attempt(kind, i, OPEN_PORT, flags, &error);

		check(!error || (flags && error == EINPROGRESS), "accepted");
		check(!outcome(fd, 10 * SECOND_MS), "accepted");
		accept_one(listener);
		close(fd);
	}
}

// From here on nobody answers at this port.
static void fill_queue(void)
{
	int error, fd, i = 0;

	do {
		fd = attempt(FILLER, i++, SILENT_PORT, SOCK_NONBLOCK, &error);
		check(i < 10, "a full queue");
	} while (outcome(fd, SECOND_MS) != EINPROGRESS);
}

static void unanswered(int count, int few)
{
	int error, fds[few];

	for (int i = 0; i < few; i++) {
		fds[i] = attempt(TIMED_OUT, i, SILENT_PORT, SOCK_NONBLOCK, &error);
		check(error == EINPROGRESS, "no answer");
	}
	for (int i = 0; i < count; i++) {
		int fd = attempt(ABORTED, i, SILENT_PORT, SOCK_NONBLOCK, &error);

		check(error == EINPROGRESS && outcome(fd, 0) == EINPROGRESS, "no answer yet");
		close(fd);
	}
	for (int i = 0; i < few; i++) {
		check(outcome(fds[i], 60 * SECOND_MS) == ETIMEDOUT, "timed out");
		close(fds[i]);
	}
}

int main(int argc, char **argv)
{
	int count, few, listener;

	if (argc == 2 && !strcmp(argv[1], "probe")) {
		refused(PROBE, 50);
		return 0;
	}
	count = argc == 3 ? atoi(argv[1]) : 0;
	few = argc == 3 ? atoi(argv[2]) : 0;
	if (count < 1 || count > 65536 || few < 1 || few > 200)
		return 2;
	listener = listen_at(OPEN_PORT, 16);
	listen_at(SILENT_PORT, 0);
	refused(REFUSED, count);
	accepted(ACCEPTED, count, listener);
	accepted(MAPPED, count, listener);
	accepted(NON_BLOCKING, count, listener);
	fill_queue();
	unanswered(count, few);
	return 0;
}
