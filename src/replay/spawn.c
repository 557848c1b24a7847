/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Starting the child: a fork has our memory already; what it shall not have, its own
 * code takes away (child/child.c). Between the fork and the jump nothing is called that
 * could take a lock. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#if __has_include(<sys/rseq.h>)
#include <sys/rseq.h>
#endif
#include "child/arch.h"
#include "replay_priv.h"

#define PATIENCE_MS 10000 /* without any item done; the child's own watchdog is faster */
#define BATCH_MS 60000    /* all in all: a child can pretend to go on */
#define LOOK_MS 100
#define REAP_MS 2000

extern const uint8_t ph_replay_image[], ph_replay_image_end[]; /* image.c */

static struct ph_err *refused(const char *what, int errnum)
{
	return errnum ? ph_err_errno(PH_ERR_REFUSED, errnum, "%s", what)
		      : ph_err_new(PH_ERR_REFUSED, "%s", what);
}

#ifdef REPLAY_POSSIBLE

/* ---- in the child ------------------------------------------------------------------- */

__attribute__((noreturn)) static void give_up(struct control *control)
{
	control->error = (uint32_t)errno;
	_exit(2);
}

static bool map_at(uint64_t at, uint64_t n, int rights)
{
	return mmap((void *)at, n, rights, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != MAP_FAILED;
}

/* glibc has told the kernel of places in the thread's storage, which is about to go:
 * the kernel kills a process whose rseq area it cannot write to. */
static void forget_thread(void)
{
#ifdef RSEQ_SIG
	uint8_t *area = (uint8_t *)__builtin_thread_pointer() + __rseq_offset;
	if (__rseq_size) /* only the length that it was registered with is taken: 32 or, since glibc 2.40, more */
		for (unsigned n = 16; n <= 512 && syscall(SYS_rseq, area, n, 1 /* UNREGISTER */, RSEQ_SIG); n += 4)
			;
#endif
	syscall(SYS_set_robust_list, NULL, 24);
	syscall(SYS_set_tid_address, NULL);
}

/* Our pages go where the child's code finds them, out of the way of the target's. */
static bool stage_regions(const struct placing *p)
{
	for (size_t i = 0; i < p->regions.n; i++) {
		const struct region *r = &p->regions.items[i];
		uint64_t n = r->end - r->start;
		if (mremap((void *)r->start, n, n, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)r->staged) == MAP_FAILED)
			return false;
	}
	return true;
}

static bool map_child(const struct child_head *head)
{
	static const uint64_t stacks[] = { STACK_OWN, STACK_CALL, STACK_SIGNAL };
	uint64_t at = CHILD_STACK + STACK_GUARD;
	if (!map_at(CHILD_BASE, head->size, PROT_READ | PROT_WRITE))
		return false;
	memcpy((void *)CHILD_BASE, ph_replay_image, head->loaded);
	if (mprotect((void *)CHILD_BASE, head->text_size, PROT_READ | PROT_EXEC) < 0)
		return false;
	for (int i = 0; i < 3; at += stacks[i++] + STACK_GUARD)
		if (!map_at(at, stacks[i], PROT_READ | PROT_WRITE))
			return false;
	return mmap((void *)CHILD_SPARE, SPARE_SIZE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0) != MAP_FAILED;
}

__attribute__((noreturn)) static void become_child(struct ph_replay *r, const struct child_head *head)
{
	static const int ours[] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE };
	struct control *control = r->control;
	for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
		signal(ours[i], SIG_DFL);
	forget_thread();
	if (dup2(r->from, 0) < 0 || dup2(r->to, 1) < 0 || !stage_regions(&r->placing) || !map_child(head) ||
	    mremap(control, sizeof *control, sizeof *control, MREMAP_MAYMOVE | MREMAP_FIXED,
		   (void *)CHILD_CONTROL) == MAP_FAILED)
		give_up(control);
	arch_enter(CHILD_STACK + STACK_GUARD + STACK_OWN, CHILD_BASE + head->entry);
}

/* ---- in pyheap ----------------------------------------------------------------------- */

/* Above the standard descriptors, so that dup2() in the child does not close one of them. */
static bool pipe_high(int ends[2])
{
	int low[2];
	if (pipe2(low, O_CLOEXEC) < 0)
		return false;
	for (int i = 0; i < 2; i++) {
		ends[i] = fcntl(low[i], F_DUPFD_CLOEXEC, 10);
		close(low[i]);
	}
	if (ends[0] >= 0 && ends[1] >= 0)
		return true;
	for (int i = 0; i < 2; i++)
		if (ends[i] >= 0)
			close(ends[i]);
	return false;
}

static void prepare_control(struct ph_replay *r)
{
	struct control *c = r->control;
	memcpy(c->out, r->placing.places.items, r->placing.places.n * sizeof *r->placing.places.items);
	c->nplaces = r->placing.places.n;
	c->staged_end = r->placing.staged_end;
	c->thread = r->options.thread;
	c->release = r->options.release;
	c->can_set_thread = getauxval(AT_HWCAP2) & ARCH_CAN_SET_THREAD;
	c->step = STEP_START;
	c->error = 0;
	c->next = 0;
	c->nitems = 0;
}

static struct ph_err *not_sealed(const struct ph_replay *r)
{
	static const char *const after[] = {
		[STEP_START] = "the memory of the child could not be prepared",
		[STEP_UNMAP] = "its memory could not be placed",
		[STEP_PLACE] = "the thread's storage could not be set",
		[STEP_THREAD] = "its signals could not be set up",
		[STEP_SIGNALS] = "its watchdog could not be started",
		[STEP_WATCHDOG] = "its limits could not be set",
		[STEP_LIMITS] = "its privileges could not be dropped",
		[STEP_PRIVILEGES] = "its files could not be closed",
		[STEP_DESCRIPTORS] = "it could not be sealed (seccomp)",
	};
	uint32_t step = r->control->step, error = r->control->error;
	return refused(step < STEP_SEALED ? after[step] : "the child has died", error < 4096 ? (int)error : 0);
}

struct ph_err *ph_replay_spawn(struct ph_replay *r)
{
	struct child_head head;
	int down[2], up[2];
	memcpy(&head, ph_replay_image, sizeof head);
	prepare_control(r);
	if (!pipe_high(down))
		return refused("no pipe for the child", errno);
	if (!pipe_high(up)) {
		close(down[0]);
		close(down[1]);
		return refused("no pipe for the child", errno);
	}
	r->from = down[0];
	r->to = up[1];
	r->child = fork();
	if (!r->child)
		become_child(r, &head);
	int why = errno;
	close(down[0]);
	close(up[1]);
	r->to = down[1];
	r->from = up[0];
	fcntl(r->to, F_SETFL, O_NONBLOCK);
	if (r->child < 0) {
		r->child = 0;
		ph_replay_kill(r);
		return refused("no process for the child", why);
	}
	if (ph_replay_wait(r))
		return NULL;
	return ph_interrupted ? ph_err_interrupted() : not_sealed(r);
}

bool ph_replay_wait(struct ph_replay *r)
{
	uint32_t last = r->control->next;
	char byte;
	int waited = 0;
	for (int all = 0; waited < PATIENCE_MS && all < BATCH_MS && !ph_interrupted;
	     waited += LOOK_MS, all += LOOK_MS) {
		struct pollfd p = { .fd = r->from, .events = POLLIN };
		int n = poll(&p, 1, LOOK_MS);
		if (n > 0) {
			if (read(r->from, &byte, 1) == 1)
				return true;
			break;
		}
		uint32_t now = *(volatile uint32_t *)&r->control->next;
		if (now != last)
			waited = 0;
		last = now;
	}
	ph_replay_kill(r);
	return false;
}

#else

struct ph_err *ph_replay_spawn(struct ph_replay *r)
{
	(void)r;
	return refused("objects' own code is run on x86-64 only", 0);
}

bool ph_replay_wait(struct ph_replay *r)
{
	(void)r;
	return false;
}

#endif

/* Without its pipes a child ends by itself, unless it is hostile and we may not kill it
 * (it has kept our user ID then: child.c): nobody waits for that. */
static void reap(pid_t child)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	bool killed = !kill(child, SIGKILL);
	for (int i = 0; i < REAP_MS; i++) {
		pid_t pid = waitpid(child, NULL, killed ? 0 : WNOHANG);
		if (pid == child || (pid < 0 && errno != EINTR))
			return;
		if (!pid)
			nanosleep(&pause, NULL);
	}
}

void ph_replay_kill(struct ph_replay *r)
{
	if (r->to >= 0)
		close(r->to);
	if (r->from >= 0)
		close(r->from);
	r->to = r->from = -1;
	if (r->child > 0)
		reap(r->child);
	r->child = 0;
	r->ready = false;
}
