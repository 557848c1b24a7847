/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "sleeper.h"

static pid_t alive; /* 0: none is */

struct ph_reader sleeper_start(void)
{
	int ready[2];
	char c, path[64];
	struct ph_reader r = { 0 };
	ck_assert_int_eq(pipe(ready), 0);
	r.pid = alive = fork();
	if (!r.pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (write(ready[1], "x", 1) == 1)
			for (;;)
				pause();
		_exit(1);
	}
	ck_assert_int_eq(read(ready[0], &c, 1), 1);
	close(ready[0]);
	close(ready[1]);
	snprintf(path, sizeof path, "/proc/%d/mem", (int)r.pid);
	r.mem_fd = open(path, O_RDONLY);
	ck_assert_int_ge(r.mem_fd, 0);
	return r;
}

void sleeper_kill(void)
{
	if (!alive)
		return;
	kill(alive, SIGKILL);
	waitpid(alive, NULL, 0);
	alive = 0;
}

void sleeper_end(struct ph_reader *r)
{
	sleeper_kill();
	if (r->pid)
		close(r->mem_fd);
	*r = (struct ph_reader){ 0 };
}
