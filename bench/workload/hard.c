// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// hard flip|thread|cold PROGRAM TAG COUNT
//
// Executes PROGRAM COUNT times with the arguments TAG-i WORD in ways that are hard to trace:
//   flip    another thread changes WORD while the call is under way
//   thread  a thread that is not the first one of its process calls exec
//   cold    the arguments lie in pages of a file that nobody has touched yet
// Which WORD was executed, PROGRAM says itself.
#define _GNU_SOURCE
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096

static char *environment[] = { "PATH=/usr/bin", NULL };

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void finish(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || status)
		die("the child failed");
}

// flip: the pointer is changed, not the bytes, so that either word is a whole one.

static char *flip_args[4];
static atomic_bool flip_done;

static void *flipper(void *unused)
{
	char *volatile *word = &flip_args[2];

	while (!atomic_load_explicit(&flip_done, memory_order_relaxed)) {
		*word = "left";
		*word = "right";
	}
	return unused;
}

static void flip(char *program, const char *tag, long count)
{
	pthread_t thread;
	char first[128];

	flip_args[0] = program;
	flip_args[1] = first;
	flip_args[2] = "left";
	if (pthread_create(&thread, NULL, flipper, NULL))
		die("pthread_create");
	for (long i = 0; i < count; i++) {
		pid_t pid;

		snprintf(first, sizeof(first), "%s-%ld", tag, i);
		// The child of a vfork shares memory, and so this thread's changes, until its exec.
		if (posix_spawn(&pid, program, NULL, NULL, flip_args, environment))
			die("posix_spawn");
		finish(pid);
	}
	flip_done = true;
	pthread_join(thread, NULL);
}

static void *exec_now(void *args)
{
	char **argv = args;

	execve(argv[0], argv, environment);
	die("execve");
	return NULL;
}

static void thread(char *program, const char *tag, long count)
{
	for (long i = 0; i < count; i++) {
		char first[128];
		char *args[] = { program, first, "left", NULL };
		pid_t pid;

		snprintf(first, sizeof(first), "%s-%ld", tag, i);
		pid = fork();
		if (pid < 0)
			die("fork");
		if (!pid) {
			pthread_t worker;

			if (pthread_create(&worker, NULL, exec_now, args))
				die("pthread_create");
			pause(); // ended by the exec
		}
		finish(pid);
	}
}

static void cold(char *program, const char *tag, long count)
{
	FILE *file = tmpfile();
	char *page;

	if (!file)
		die("tmpfile");
	for (long i = 0; i < count; i++) {
		pid_t pid;

		// One page for each string, as if they came from a program's file.
		if (ftruncate(fileno(file), 0) || ftruncate(fileno(file), 3 * PAGE))
			die("ftruncate");
		rewind(file);
		fprintf(file, "%s", program);
		fseek(file, PAGE, SEEK_SET);
		fprintf(file, "%s-%ld", tag, i);
		fseek(file, 2 * PAGE, SEEK_SET);
		fprintf(file, "left");
		fflush(file);
		page = mmap(NULL, 3 * PAGE, PROT_READ, MAP_PRIVATE, fileno(file), 0);
		if (page == MAP_FAILED)
			die("mmap");
		// Otherwise a fault brings the neighbours in as well.
		madvise(page, 3 * PAGE, MADV_RANDOM);

		char *args[] = { page, page + PAGE, page + 2 * PAGE, NULL };

		// The name of the program stays warm: only arguments are tested.
		if (posix_spawn(&pid, program, NULL, NULL, args, environment))
			die("posix_spawn");
		finish(pid);
		munmap(page, 3 * PAGE);
	}
	fclose(file);
}

int main(int argc, char **argv)
{
	long count = argc == 5 ? atol(argv[4]) : 0;

	if (count < 1)
		return 2;
	if (!strcmp(argv[1], "flip"))
		flip(argv[2], argv[3], count);
	else if (!strcmp(argv[1], "thread"))
		thread(argv[2], argv[3], count);
	else if (!strcmp(argv[1], "cold"))
		cold(argv[2], argv[3], count);
	else
		return 2;
	return 0;
}
