/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The process: signals, limits, descriptors, and the only exit(). */
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>
#include "cmd/cmd.h"

/* Lists of millions grow without being copied and are given back when they are freed. Unless
 * it is set, this limit grows with them. */
#define MMAP_FROM (1 << 20)

static void on_signal(int number)
{
	ph_interrupted = number;
}

/* The first signal ends the run in order, a second one at once. One that was
 * ignored when we began (nohup) stays so. */
static void handle_signals(void)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction act = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND }, old;
	sigemptyset(&act.sa_mask);
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			sigaction(numbers[i], &act, NULL);
	signal(SIGPIPE, SIG_IGN); /* write() says so */
	signal(SIGCHLD, SIG_DFL); /* a child's ID is its own until we have waited for it */
}

/* So that no file that is opened becomes a standard stream. What is written to
 * a closed stdout must fail, hence read-only. */
static void fill_standard_streams(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY);
}

int main(int argc, char **argv)
{
	/* our memory holds the target's: it must not end up in a core of ours */
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
	mallopt(M_MMAP_THRESHOLD, MMAP_FROM);
	fill_standard_streams();
	handle_signals();
	exit(ph_main(argc, argv));
}
