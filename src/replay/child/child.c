/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sealed child: the target's memory at the target's own addresses, and nothing
 * else of the world. It calls functions of the target's and writes down what they
 * visit. No libc, no relocations; runs at CHILD_BASE. docs/replay.md says what is
 * contained and what is not. */
#include <errno.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include "protocol.h"
#define REPLAY_IN_CHILD
#include "arch.h"

#define PAGE 4096ull
#define TICK_US 50000      /* of processor time */
#define TICKS 10           /* one call may take */
#define NOBODY 65534
#define SIGINFO_ARCH 7     /* words: si_arch of a SIGSYS */
#define SIGINFO_ADDR 2     /* double words: si_addr of a SIGSEGV or SIGBUS */

#pragma GCC visibility push(hidden)
extern const char child_text_end[]; /* child.lds */
void child_main(void);
#pragma GCC visibility pop

static struct control *const control = (struct control *)CHILD_CONTROL;

/* The call in progress. */
static struct {
	volatile bool running;
	volatile uint32_t status;  /* of the call, when it did not return */
	volatile uint64_t fault;   /* the address it could not use */
	uint32_t calls, last_call; /* the one that runs, and ran at the last tick */
	uint32_t ticks;
	uint64_t used;             /* values of this batch written so far */
	uint64_t base;             /* and before this item */
	uint64_t spare_used;       /* bytes */
	uint64_t thread;           /* to be set anew; 0 = it cannot */
	bool full;
} call;
static char pipe_byte;

/* ---- ending ---------------------------------------------------------------------- */

__attribute__((noreturn)) static void leave(int status)
{
	for (;;)
		sys6(__NR_exit_group, status, 0, 0, 0, 0, 0);
}

static void step(enum child_step done)
{
	control->step = done;
}

/* A step of the seal: what fails ends it all. */
static long must(long ret)
{
	if (ret < 0 && ret > -4096) {
		control->error = (uint32_t)-ret;
		leave(2);
	}
	return ret;
}

/* ---- memory ---------------------------------------------------------------------- */

static void unmap(uint64_t from, uint64_t to)
{
	long ret = from < to ? sys6(__NR_munmap, (long)from, (long)(to - from), 0, 0, 0, 0) : 0;
	uint64_t half = from + ((to - from) / 2 & -PAGE);
	if (ret != -EPERM || to - from <= PAGE) {
		must(ret == -EPERM ? 0 : ret);
		return;
	}
	unmap(from, half); /* 36 deep at most */
	unmap(half, to);
}

/* All but ourselves: vdso and vvar, too, unless the kernel has sealed them (since Linux
 * 6.16 it can): then all but the pages that it does not let go. */
static void unmap_all(void)
{
	unmap(0x10000, CHILD_BASE);
	unmap(control->staged_end, USER_END);
	sys6(__NR_munmap, 0x1000, 0xf000, 0, 0, 0, 0); /* may lie below vm.mmap_min_addr */
}

static int rights_of(const struct place *p)
{
	return (p->rights & PLACE_READ ? PROT_READ : 0) | (p->rights & PLACE_WRITE ? PROT_WRITE : 0) |
	       (p->rights & PLACE_EXECUTE ? PROT_EXEC : 0);
}

static void copy(uint64_t to, uint64_t from, uint64_t n)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}

static void clear(uint64_t to, uint64_t n)
{
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(0) : "memory");
}

/* Never replaces what is there: the addresses are reserved first. */
static bool place(const struct place *p)
{
	uint64_t start = p->to & -PAGE, end = (p->to + p->len + PAGE - 1) & -PAGE, n = end - start;
	bool move = p->kind == PLACE_MOVE;
	if (p->to + p->len < p->to || end > USER_END || (start < CHILD_END && end > CHILD_BASE))
		return false;
	long got = sys6(__NR_mmap, (long)start, (long)n, move ? PROT_NONE : PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	if (got != (long)start)
		return false;
	if (p->kind == PLACE_COPY) {
		copy(p->to, p->from, p->len);
	} else if (move && sys6(__NR_mremap, (long)p->from, (long)n, (long)n, MREMAP_MAYMOVE | MREMAP_FIXED, (long)start,
			0) != (long)start) {
		sys6(__NR_munmap, (long)start, (long)n, 0, 0, 0, 0);
		return false;
	}
	if (sys6(__NR_mprotect, (long)start, (long)n, rights_of(p), 0, 0, 0) == 0)
		return true;
	sys6(__NR_munmap, (long)start, (long)n, 0, 0, 0, 0);
	return false;
}

static void place_all(void)
{
	const struct place *places = (const struct place *)control->out;
	for (uint64_t i = 0; i < control->nplaces; i++)
		control->places_failed += !place(&places[i]);
	unmap(CHILD_STAGE, control->staged_end); /* what nobody wanted */
}

/* ---- signals --------------------------------------------------------------------- */

static void fail(struct arch_ucontext *uc, uint32_t status)
{
	if (!call.running)
		leave(3);
	call.running = false;
	call.status = status;
	arch_go_back(uc);
}

/* An allocator that has run out asks for pages: it gets some of ours, never the kernel's.
 * What it gives back, it may. */
static bool play_kernel(const void *info, struct arch_ucontext *uc)
{
	uint64_t n = (arch_argument(uc, 1) + PAGE - 1) & -PAGE, number = arch_call_number(uc);
	if (!call.running || ((const uint32_t *)info)[SIGINFO_ARCH] != ARCH_AUDIT)
		return false;
	if (number == __NR_munmap) {
		arch_set_result(uc, 0);
		return true;
	}
	if (number != __NR_mmap || arch_argument(uc, 0) || !(arch_argument(uc, 3) & MAP_ANONYMOUS) || !n ||
	    n > SPARE_SIZE - call.spare_used)
		return false;
	arch_set_result(uc, CHILD_SPARE + call.spare_used);
	call.spare_used += n;
	return true;
}

static void handler(int number, void *info, void *context)
{
	if (number == SIGSYS && play_kernel(info, context))
		return;
	if (number != SIGPROF) {
		if (call.running && (number == SIGSEGV || number == SIGBUS))
			call.fault = ((const uint64_t *)info)[SIGINFO_ADDR];
		fail(context, PH_REPLAY_FAULT);
		return;
	}
	if (!call.running)
		return;
	if (call.last_call != call.calls)
		call.ticks = 0;
	call.last_call = call.calls;
	if (++call.ticks >= TICKS)
		fail(context, PH_REPLAY_TIMEOUT);
}

static void catch_signals(void)
{
	static const int numbers[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGPROF };
	struct { uint64_t sp; int32_t flags, pad; uint64_t size; } stack = {
		.sp = CHILD_STACK + 3 * STACK_GUARD + STACK_OWN + STACK_CALL,
		.size = STACK_SIGNAL,
	};
	must(sys6(__NR_sigaltstack, (long)&stack, 0, 0, 0, 0, 0));
	struct arch_sigaction action = { handler, ARCH_SA_FLAGS, arch_restore, ~0ull };
	for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++)
		must(sys6(__NR_rt_sigaction, numbers[i], (long)&action, 0, 8, 0, 0));
	uint64_t none = 0;
	must(sys6(__NR_rt_sigprocmask, SIG_SETMASK, (long)&none, 0, 8, 0, 0));
}

static void start_watchdog(void)
{
	struct { int64_t interval_s, interval_us, value_s, value_us; } timer = { 0, TICK_US, 0, TICK_US };
	must(sys6(__NR_setitimer, ITIMER_PROF, (long)&timer, 0, 0, 0, 0));
}

/* ---- privileges --------------------------------------------------------------------- */

static void limit(int what, uint64_t value)
{
	struct { uint64_t now, max; } limit = { value, value };
	must(sys6(__NR_prlimit64, 0, what, (long)&limit, 0, 0, 0));
}

static void set_limits(void)
{
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_FSIZE, 0);
	limit(RLIMIT_NPROC, 0);
	limit(RLIMIT_MEMLOCK, 0);
}

/* Root becomes nobody, if it could still kill us then. Where it could not, or where that
 * user does not exist (in a user namespace with a single one), it stays who it is, without
 * its capabilities. */
static void drop_privileges(void)
{
	struct { uint32_t version; int32_t pid; } head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct { uint32_t effective, permitted, inheritable; } has[2] = { { 0 } }, none[2] = { { 0 } };
	must(sys6(__NR_capget, (long)&head, (long)has, 0, 0, 0, 0));
	if (sys6(__NR_geteuid, 0, 0, 0, 0, 0, 0) == 0 && has[0].effective >> CAP_KILL & 1) {
		sys6(__NR_setgroups, 0, 0, 0, 0, 0, 0);
		if (sys6(__NR_setresgid, NOBODY, NOBODY, NOBODY, 0, 0, 0) == 0)
			sys6(__NR_setresuid, NOBODY, NOBODY, NOBODY, 0, 0, 0);
	}
	must(sys6(__NR_capset, (long)&head, (long)none, 0, 0, 0, 0));
	must(sys6(__NR_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0, 0));
	must(sys6(__NR_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0, 0));
	must(sys6(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0));
}

/* 0 and 1 are the two ends of pipes; nothing else stays open. */
static void close_descriptors(void)
{
	long ret = sys6(__NR_close_range, 2, ~0u, 0, 0, 0, 0);
	if (ret == 0)
		return;
	for (int fd = 2; fd < 65536; fd++) /* before Linux 5.9 */
		sys6(__NR_close, fd, 0, 0, 0, 0, 0);
}

#define LOAD(member) { BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, member) }
#define LOAD_HIGH(member) { BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, member) + 4 }
#define EQUALS(value, then, otherwise) { BPF_JMP | BPF_JEQ | BPF_K, then, otherwise, (uint32_t)(value) }
#define ABOVE(value, then, otherwise) { BPF_JMP | BPF_JGT | BPF_K, then, otherwise, (uint32_t)(value) }

/* Four calls, only from our own code, only with the arguments that we use. */
static void seal(void)
{
	uint64_t byte = (uint64_t)&pipe_byte;
	enum { TRAP = 22, ALLOW = 23 }; /* places of the last two */
	struct sock_filter code[] = {
		[0] = LOAD(arch), EQUALS(ARCH_AUDIT, 0, TRAP - 2),
		[2] = LOAD_HIGH(instruction_pointer), EQUALS(CHILD_BASE >> 32, 0, TRAP - 4),
		[4] = LOAD(instruction_pointer),
		ABOVE((uint64_t)child_text_end & 0xffffffff, TRAP - 6, 0),
		[6] = LOAD(nr), EQUALS(__NR_rt_sigreturn, ALLOW - 8, 0),
		[8] = EQUALS(__NR_exit_group, ALLOW - 9, 0),
		[9] = EQUALS(__NR_read, 2, 0),
		[10] = EQUALS(__NR_write, 0, TRAP - 11),
		[11] = { BPF_LDX | BPF_IMM, 0, 0, 1 }, /* write: descriptor 1 */
		[12] = LOAD(args[0]), /* read: X is 0 */
		[13] = { BPF_JMP | BPF_JEQ | BPF_X, 0, TRAP - 14, 0 },
		[14] = LOAD(args[1]), EQUALS(byte, 0, TRAP - 16),
		[16] = LOAD_HIGH(args[1]), EQUALS(byte >> 32, 0, TRAP - 18),
		[18] = LOAD_HIGH(args[2]), EQUALS(0, 0, TRAP - 20),
		[20] = LOAD(args[2]), EQUALS(1, ALLOW - 22, 0),
		[TRAP] = { BPF_RET | BPF_K, 0, 0, SECCOMP_RET_TRAP },
		[ALLOW] = { BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW },
	};
	struct sock_fprog program = { sizeof code / sizeof *code, code };
	must(sys6(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, (long)&program, 0, 0, 0));
}

/* ---- working ------------------------------------------------------------------------ */

static uint64_t guarded(uint64_t f, uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t stack = CHILD_STACK + 2 * STACK_GUARD + STACK_OWN + STACK_CALL;
	call.calls++;
	call.running = true;
	uint64_t ret = arch_call(f, a, b, c, stack);
	call.running = false;
	return ret;
}

/* int (*visitproc)(PyObject *, void *) */
static int visit(uint64_t object, void *ctx)
{
	(void)ctx;
	if (call.used >= OUT_MAX) {
		call.full = true;
		return -1;
	}
	control->out[call.used++] = object;
	return 0;
}

static void value(uint64_t v)
{
	if (call.used < OUT_MAX)
		control->out[call.used++] = v;
	else
		call.full = true;
}

static void store(const struct ph_replay_item *item)
{
	/* through guarded(): a missing page fails the item, not the child */
	guarded((uint64_t)copy, item->object, (uint64_t)&item->aux, item->function <= 8 ? item->function : 0);
}

static void traverse(const struct ph_replay_item *item)
{
	if (item->aux && !(uint32_t)guarded(item->aux, item->object, 0, 0))
		return;
	if (call.status == PH_REPLAY_DONE)
		guarded(item->function, item->object, (uint64_t)visit, 0);
}

/* The int it returns is given back: the copy's allocator cannot get new memory. */
static void method(const struct ph_replay_item *item)
{
	uint64_t number = guarded(item->function, item->object, 0, 0), ret = 0;
	if (call.status == PH_REPLAY_DONE && !number)
		call.status = PH_REPLAY_FAULT;
	if (call.status == PH_REPLAY_DONE)
		ret = guarded(item->aux, number, 0, 0);
	if (call.status == PH_REPLAY_DONE && control->release)
		guarded(control->release, number, 0, 0);
	if (call.status == PH_REPLAY_DONE)
		value(ret);
}

static void work(const struct ph_replay_item *item)
{
	switch (item->kind) {
	case PH_REPLAY_TRAVERSE:
		traverse(item);
		break;
	case PH_REPLAY_CALL:
		value(guarded(item->function, item->object, 0, 0));
		break;
	case PH_REPLAY_METHOD:
		method(item);
		break;
	case PH_REPLAY_STORE:
		store(item);
		break;
	case PH_REPLAY_CLEAR:
		guarded((uint64_t)clear, item->object, item->function, 0);
		break;
	default:
		call.status = PH_REPLAY_FAULT;
	}
}

static void batch(void)
{
	uint32_t n = control->nitems <= BATCH ? control->nitems : BATCH;
	uint32_t tag = ~0u;
	call.used = 0;
	for (uint32_t i = 0; i < n; i++) {
		struct ph_replay_item item = control->items[i]; /* ours: what it calls may write everywhere */
		control->next = i;
		call.base = call.used;
		call.full = false;
		call.ticks = 0;
		if (item.tag != tag || call.status != PH_REPLAY_DONE)
			arch_reset(call.thread); /* as one has left the processor is not for the next */
		tag = item.tag;
		call.status = PH_REPLAY_DONE;
		call.fault = 0;
		work(&item);
		uint32_t status = call.full ? PH_REPLAY_FULL : call.status;
		if (status != PH_REPLAY_DONE)
			call.used = call.base;
		control->results[i] = (struct item_result){ status, (uint32_t)(call.used - call.base), call.fault };
		if (status == PH_REPLAY_FULL || status == PH_REPLAY_TIMEOUT ||
		    (status != PH_REPLAY_DONE && item.kind != PH_REPLAY_TRAVERSE))
			break; /* pyheap asks again for what it wants of the rest */
	}
}

static void serve(void)
{
	for (;;) {
		if (sys6(__NR_write, 1, (long)&pipe_byte, 1, 0, 0, 0) != 1)
			leave(0);
		if (sys6(__NR_read, 0, (long)&pipe_byte, 1, 0, 0, 0) != 1)
			leave(0);
		batch();
	}
}

/* Entered on its own stack, with pipes at 0 and 1. */
__attribute__((noreturn)) void child_main(void)
{
	step(STEP_START);
	call.thread = control->can_set_thread ? control->thread : 0;
	unmap_all();
	step(STEP_UNMAP);
	place_all();
	step(STEP_PLACE);
	must(arch_set_thread(control->thread));
	step(STEP_THREAD);
	catch_signals();
	step(STEP_SIGNALS);
	start_watchdog();
	step(STEP_WATCHDOG);
	set_limits();
	step(STEP_LIMITS);
	drop_privileges();
	step(STEP_PRIVILEGES);
	close_descriptors();
	step(STEP_DESCRIPTORS);
	seal();
	step(STEP_SEALED);
	serve();
	leave(0);
}
