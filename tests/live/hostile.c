/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An extension module whose objects attack whoever runs their tp_traverse or __sizeof__
 * after arm(): pyheap's sealed child (src/replay), and nobody else, because the program
 * that arms them has its collector off. test_replay.py says what must come of it.
 * CPython's stable ABI is declared here, so that no headers of it are needed. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "replay/child/protocol.h"

/* ---- as much of CPython as is needed ------------------------------------------------- */

typedef struct object {
	ssize_t refs;
	struct object *type;
} PyObject;
typedef int visitproc(PyObject *, void *);
struct slot { int id; void *function; };
struct spec { const char *name; int size, item; unsigned flags; struct slot *slots; };
struct method { const char *name; void *function; int flags; const char *doc; };
struct module {
	PyObject base;
	void *init;
	ssize_t index;
	PyObject *copy;
	const char *name, *doc;
	ssize_t size;
	struct method *methods;
	void *slots, *traverse, *clear, *free;
};
enum { TP_METHODS = 64, TP_TRAVERSE = 71, FLAGS_GC = 1 << 18 | 1 << 14, VARARGS = 1, NOARGS = 4 };
extern PyObject *PyModule_Create2(struct module *, int);
extern PyObject *PyType_FromSpec(struct spec *);
extern PyObject *PyType_GenericAlloc(PyObject *, ssize_t);
extern PyObject *PyLong_FromLongLong(long long);
extern PyObject *PyExc_RuntimeError;
extern void PyErr_SetString(PyObject *, const char *);
extern int PyArg_ParseTuple(PyObject *, const char *, ...);
extern PyObject *Py_BuildValue(const char *, ...);

/* Not in .bss: of that the copy has only the pages that were touched. */
#define KEPT __attribute__((section(".data")))

struct thing {
	PyObject base;
	PyObject *held;
	uint64_t attack, arg;
};
KEPT static volatile int armed;
KEPT static volatile uint64_t fired; /* stays 0 in the target */
KEPT static char evidence[4096];     /* a file that must never be there */
KEPT static int port;                /* where nobody may connect */
KEPT static pid_t target;            /* whom this is a copy of */
KEPT static char maps[1 << 20];      /* our /proc/self/maps, from before */
KEPT static size_t maps_size;

typedef int attack(struct thing *, visitproc *, void *);

/* ---- the helper's own code, used against it -------------------------------------------- */

#define HEAD ((const struct child_head *)CHILD_BASE)
#define CONTROL ((struct control *)CHILD_CONTROL)
#define SIGNAL_STACK (CHILD_STACK + 3 * STACK_GUARD + STACK_OWN + STACK_CALL)
#define STATE (CHILD_BASE + HEAD->text_size) /* its variables */
#define STATE_SIZE 512u
#define RT_SIGRETURN 15

static uint64_t text_find(const char *bytes, size_t n, uint64_t from)
{
	for (uint64_t at = from; at + n <= CHILD_BASE + HEAD->text_size; at++)
		if (!memcmp((void *)at, bytes, n))
			return at;
	return 0;
}

static uint64_t syscall_after(uint64_t at)
{
	return text_find("\x0f\x05", 2, at);
}

static uint64_t restorer(void)
{
	return text_find("\xb8\x0f\0\0\0\x0f\x05", 7, CHILD_BASE);
}

KEPT static uint64_t *back; /* where calls that failed come back to: {sp, ip} */

/* mov %rsp, arch_back(%rip) */
static int find_back(void)
{
	uint64_t at = text_find("\x48\x89\x25", 3, CHILD_BASE);
	int32_t offset;
	if (!at)
		return 0;
	memcpy(&offset, (void *)(at + 3), 4);
	back = (uint64_t *)(at + 7 + (int64_t)offset);
	return 1;
}

/* Goes to `where` with rax, rdi, rsi, rdx, r10, r8, r9 and without a stack; comes back
 * when the helper catches the signal that follows, through `back`. */
void attempt_at(uint64_t where, const uint64_t regs[7]);
__asm__(".text\n"
	".type attempt_at, @function\n"
	"attempt_at:\n"
	"	push %rbp\n	push %rbx\n	push %r12\n	push %r13\n	push %r14\n	push %r15\n"
	"	mov back(%rip), %rax\n"
	"	mov %rsp, (%rax)\n"
	"	lea 1f(%rip), %rcx\n"
	"	mov %rcx, 8(%rax)\n"
	"	mov %rdi, %rbx\n"
	"	mov %rsi, %rcx\n"
	"	mov (%rcx), %rax\n"
	"	mov 8(%rcx), %rdi\n"
	"	mov 16(%rcx), %rsi\n"
	"	mov 24(%rcx), %rdx\n"
	"	mov 32(%rcx), %r10\n"
	"	mov 40(%rcx), %r8\n"
	"	mov 48(%rcx), %r9\n"
	"	mov $16, %esp\n"
	"	jmp *%rbx\n"
	"1:	cld\n"
	"	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n	pop %rbx\n	pop %rbp\n"
	"	ret\n"
	".type own_syscall, @function\n"
	"own_syscall:\n	syscall\n	ud2\n"
	".type own_int80, @function\n"
	"own_int80:\n	int $0x80\n	ud2\n");
extern const char own_syscall[], own_int80[];

/* The helper believes that a call of its is running, and never that it runs for long. */
static void pretend_running(void)
{
	uint32_t *state = (uint32_t *)STATE;
	for (uint32_t i = 0; i < STATE_SIZE / 4; i++)
		if (state + i < (uint32_t *)back || state + i >= (uint32_t *)(back + 2))
			state[i] = 0x01010101 + (i << 8);
}

enum outcome { BLOCKED, PASSED, UNKNOWN };

/* What the last signal says: its frame still lies on the signal stack. */
static enum outcome outcome_of(uint64_t where, uint32_t number)
{
	uint64_t restore = restorer(), at = SIGNAL_STACK + STACK_SIGNAL - 320;
	KEPT static uint64_t known;
	if (known)
		at = known;
	for (; !known && at > SIGNAL_STACK; at -= 8)
		if (*(uint64_t *)at == restore) {
			known = at;
			break;
		}
	if (!known)
		return PASSED;
	const siginfo_t *info = (const siginfo_t *)(at + 8 + 304);
	if (info->si_signo == SIGPROF)
		return UNKNOWN;
	return info->si_signo == SIGSYS && (uint32_t)info->si_syscall == number &&
	       (uint64_t)info->si_call_addr == where + 2 ? BLOCKED : PASSED;
}

static enum outcome attempt(uint64_t where, uint64_t number, uint64_t a, uint64_t b, uint64_t c)
{
	const uint64_t regs[7] = { number, a, b, c };
	enum outcome outcome = UNKNOWN;
	for (int i = 0; i < 4 && outcome == UNKNOWN; i++) {
		pretend_running();
		attempt_at(where, regs);
		outcome = outcome_of(where, (uint32_t)number);
	}
	return outcome;
}

KEPT static char saved[STATE_SIZE];
static int seize(void)
{
	if (!find_back() || !restorer())
		return 0;
	memcpy(saved, (void *)STATE, sizeof saved);
	return 1;
}
static void give_back(void)
{
	memcpy((void *)STATE, saved, sizeof saved);
}

/* The only address that read() and write() may have: found by writing "done" with it. */
static uint64_t pipe_byte(void)
{
	uint64_t site = syscall_after(CHILD_BASE);
	for (uint64_t at = STATE; at < STATE + 4096; at++)
		if (attempt(site, SYS_write, 1, at, 1) == PASSED)
			return at;
	return 0;
}

__attribute__((noreturn)) static void spin(void)
{
	for (;;)
		__asm__ volatile("");
}

/* A signal frame of ours: runs `ip` with signals blocked. */
#define ALL (~0ull)
#define WATCHDOG (1ull << (SIGPROF - 1))
__attribute__((noreturn)) static void masked(void (*ip)(void), uint64_t signals)
{
	KEPT static uint64_t frame[80];
	memset(frame, 0, sizeof frame);
	frame[2] = signals == ALL ? 0 : SIGNAL_STACK;
	frame[3] = signals == ALL ? SS_DISABLE : 0;
	frame[4] = STACK_SIGNAL;
	uint64_t *gregs = frame + 5;
	gregs[15] = ((uint64_t)__builtin_frame_address(0) & -64ull) - 4096 - 8;
	gregs[16] = (uint64_t)ip;
	gregs[17] = 0x202;
	gregs[18] = 0x33 | 0x2bull << 48;
	frame[5 + 32] = signals;
	__asm__ volatile("mov %0, %%rsp\n	jmp *%1" : : "r"(frame), "r"(restorer()) : "memory");
	__builtin_unreachable();
}

/* ---- time ------------------------------------------------------------------------------ */

static int loop(struct thing *t, visitproc *visit, void *arg)
{
	(void)t, (void)visit, (void)arg;
	spin();
}

static int loop_masked(struct thing *t, visitproc *visit, void *arg)
{
	(void)t, (void)visit, (void)arg;
	masked(spin, ALL);
}

static void spin_busily(void)
{
	for (uint32_t i = 0;; i++)
		*(volatile uint32_t *)&CONTROL->next = i >> 20;
}

/* as if it went on: by hand only, a minute */
static int loop_next(struct thing *t, visitproc *visit, void *arg)
{
	(void)t, (void)visit, (void)arg;
	masked(spin_busily, ALL);
}

static int wait_for_byte(struct thing *t, visitproc *visit, void *arg)
{
	(void)t, (void)visit, (void)arg;
	if (seize())
		attempt(syscall_after(CHILD_BASE), SYS_read, 0, pipe_byte(), 1);
	spin();
}

/* Comes back from the watchdog every time. */
static int loop_state(struct thing *t, visitproc *visit, void *arg)
{
	(void)t, (void)visit, (void)arg;
	static const uint64_t none[7];
	while (seize()) {
		pretend_running();
		attempt_at((uint64_t)spin, none);
	}
	return 0;
}

/* One item a batch, and never reads: work without end for pyheap, then its pipe is full. */
static void trickle_on(void)
{
	volatile struct control *c = CONTROL;
	c->results[0].n = 0;
	c->results[0].status = PH_REPLAY_DONE;
	c->next = 1; /* pyheap sets it to 0 for every batch */
	uint64_t byte = seize() ? pipe_byte() : 0, site = syscall_after(CHILD_BASE);
	for (;;) {
		if (c->next)
			continue;
		for (volatile int i = 0; i < 200000; i++)
			; /* until pyheap waits */
		c->next = 1;
		c->results[0].status = PH_REPLAY_DONE;
		attempt(site, SYS_write, 1, byte, 1);
	}
}

static int trickle(struct thing *t, visitproc *visit, void *arg)
{
	(void)t, (void)visit, (void)arg;
	masked(trickle_on, WATCHDOG);
}

/* Every call ends, a moment before the watchdog would end it. */
static int slow(struct thing *t, visitproc *visit, void *arg)
{
	for (volatile uint64_t i = 0; i < t->arg; i++)
		;
	return visit(t->held, arg);
}

/* ---- system calls, by libc and by hand --------------------------------------------------- */

static int fork_(struct thing *t, visitproc *visit, void *arg)
{
	(void)arg;
	long pid = t->arg == 0 ? fork() : t->arg == 1 ? vfork() : syscall(SYS_clone, SIGCHLD | CLONE_PARENT_SETTID, 0, 0, 0, 0);
	if (pid == 0)
		_exit(0);
	return visit(t->held, arg);
}

static int file(struct thing *t, visitproc *visit, void *arg)
{
	int fd = t->arg ? (int)syscall(SYS_creat, evidence, 0666) : open(evidence, O_CREAT | O_RDWR, 0666);
	(void)!write(fd, "escaped", 7);
	return visit(t->held, arg);
}

static int connect_(struct thing *t, visitproc *visit, void *arg)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	connect(fd, (struct sockaddr *)&to, sizeof to);
	return visit(t->held, arg);
}

static int kill_(struct thing *t, visitproc *visit, void *arg)
{
	if (t->arg == 0)
		kill(getppid(), SIGKILL);
	else if (t->arg == 1)
		kill(-1, 0);
	else
		syscall(SYS_tgkill, target, target, SIGKILL);
	return visit(t->held, arg);
}

static int ptrace_(struct thing *t, visitproc *visit, void *arg)
{
	ptrace(t->arg ? PTRACE_TRACEME : PTRACE_ATTACH, target, 0, 0);
	return visit(t->held, arg);
}

/* new code: a page of it, our own data made executable, jumps to the stack and the heap */
static int new_code(struct thing *t, visitproc *visit, void *arg)
{
	KEPT static unsigned char code[4096] __attribute__((aligned(4096)));
	void *at = code;
	code[0] = 0xc3;
	if (t->arg == 0)
		at = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	else if (t->arg == 1)
		mprotect(code, 4096, PROT_READ | PROT_EXEC);
	else if (t->arg == 2)
		at = (void *)(CONTROL->out + OUT_MAX - 1);
	else if (t->arg == 3)
		mprotect((void *)CHILD_BASE, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
	if (t->arg == 2)
		CONTROL->out[OUT_MAX - 1] = 0xc3;
	((void (*)(void))at)();
	return visit(t->held, arg);
}

static int exec_(struct thing *t, visitproc *visit, void *arg)
{
	execl("/bin/sh", "sh", "-c", "echo escaped >\"$0\"", evidence, (char *)NULL);
	return visit(t->held, arg);
}

/* gettimeofday() of the page that no munmap() takes away */
static int vsyscall(struct thing *t, visitproc *visit, void *arg)
{
	long now[2] = { 0, 0 };
	((int (*)(void *, void *))0xffffffffff600000)(now, NULL);
	return now[0] ? visit(t->base.type, arg), visit(t->base.type, arg), visit(t->base.type, arg) : visit(t->held, arg);
}

/* These the helper plays itself, for allocators; and no filter of seccomp sees uretprobe()
 * and uprobe(), which kernels that have them answer with a signal. */
static int is_special(uint64_t number)
{
	return number == SYS_mmap || number == SYS_munmap || number == SYS_madvise || number == 335 || number == 336;
}

/* Every number, from every place: visits what it holds once more for each that passed. */
static int numbers(struct thing *t, visitproc *visit, void *arg)
{
	static const uint64_t bits[] = { 0, 0x40000000 /* x32 */ };
	uint64_t passed = 0;
	if (!seize())
		return visit(t->base.type, arg); /* too few visits: the test says so */
	for (uint64_t site = syscall_after(CHILD_BASE);; site = syscall_after(site + 1)) {
		uint64_t where = site ? site : (uint64_t)own_syscall;
		for (int b = 0; b < 2; b++)
			for (uint64_t n = 0; n < 600; n++)
				if (!b && is_special(n))
					continue;
				else if (!site || b || (n != SYS_read && n != SYS_write && n != RT_SIGRETURN && n != SYS_exit_group))
					passed += attempt(where, n | bits[b], 0, 0, 0) != BLOCKED;
		if (!site)
			break;
	}
	for (uint64_t n = 0; n < 600; n++)
		passed += !is_special(n) && attempt((uint64_t)own_int80, n, 0, 0, 0) != BLOCKED;
	give_back();
	for (uint64_t i = 0; i < passed + 1; i++)
		visit(t->held, arg);
	return visit(t->base.type, arg);
}

/* What the helper gives for mmap() is memory of its own, not to be executed, and nothing is
 * taken away or made executable. */
static int played(struct thing *t, visitproc *visit, void *arg)
{
	long at = syscall(SYS_mmap, 0, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at > 0) {
		syscall(SYS_munmap, t, 64);
		syscall(SYS_munmap, CHILD_CONTROL, sizeof(struct control));
		syscall(SYS_madvise, CHILD_CONTROL, sizeof(struct control), MADV_REMOVE);
		*(volatile char *)at = (char)0xc3;
		visit(t->held, arg);
		visit(t->base.type, arg);
		if (t->arg)
			((void (*)(void))at)();
	}
	for (int i = 0; i < 100; i++) /* more than there is */
		syscall(SYS_mmap, 0, SPARE_SIZE / 10, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return 0;
}

/* read() and write() with other arguments than the helper's */
static int arguments(struct thing *t, visitproc *visit, void *arg)
{
	uint64_t passed = 0, high = 1ull << 32, site = syscall_after(CHILD_BASE);
	if (!seize())
		return visit(t->base.type, arg);
	for (uint64_t n = SYS_read; n <= SYS_write; n++) {
		uint64_t fd = n == SYS_write;
		for (uint64_t at = STATE; at < STATE + 256; at++) {
			passed += attempt(site, n, fd, at, 2) != BLOCKED;
			passed += attempt(site, n, fd, at, 0) != BLOCKED;
			passed += attempt(site, n, fd, at, 1 | high) != BLOCKED;
			passed += attempt(site, n, fd, at | high << 16, 1) != BLOCKED;
			passed += attempt(site, n, fd, at ^ high, 1) != BLOCKED;
			passed += attempt(site, n, !fd, at, 1) != BLOCKED;
			passed += attempt(site, n, 2, at, 1) != BLOCKED;
			passed += attempt(site, n, ~0ull, at, 1) != BLOCKED;
			passed += attempt((uint64_t)own_syscall, n, fd, at, 1) != BLOCKED;
			passed += attempt(site, n | high >> 2, fd, at, 1) != BLOCKED;
		}
	}
	give_back();
	for (uint64_t i = 0; i < passed + 1; i++)
		visit(t->held, arg);
	return visit(t->base.type, arg);
}

/* Once, as anybody would: arg = which of the helper's system calls, from 1. */
static int jump(struct thing *t, visitproc *visit, void *arg)
{
	uint64_t site = CHILD_BASE;
	for (uint64_t i = 0; i < t->arg; i++)
		site = syscall_after(site + 1) ? syscall_after(site + 1) : site;
	register long number __asm__("rax") = SYS_socket;
	__asm__ volatile("call *%1"
			 : "+a"(number)
			 : "r"(site), "D"(AF_INET), "S"(SOCK_STREAM), "d"(0)
			 : "rcx", "r11", "memory");
	return visit(t->held, arg);
}

/* ---- another mode of the processor ---------------------------------------------------------- */

static int sysenter(struct thing *t, visitproc *visit, void *arg)
{
	__asm__ volatile("mov $20, %%eax\n	sysenter" : : : "rax", "rcx", "rdx", "memory");
	return visit(t->held, arg);
}

/* 32-bit code at an address below 4 GiB: a system call of the old kind when there is one
 * in the program's text (it is not position-independent on Debian), or anything. */
static int far(struct thing *t, visitproc *visit, void *arg)
{
	unsigned long start, end;
	char rights[8];
	uint32_t to = 0x1000;
	if (sscanf(maps, "%lx-%lx %7s", &start, &end, rights) == 3 && end < 1ull << 32) {
		const char *line = strchr(maps, '\n');
		if (line && sscanf(line + 1, "%lx-%lx %7s", &start, &end, rights) == 3 && rights[2] == 'x') {
			const char *p = memmem((void *)start, end - start, "\xcd\x80", 2);
			to = (uint32_t)(p ? (uint64_t)p : start);
		}
	}
	__asm__ volatile("mov $20, %%eax\n	pushq $0x23\n	push %0\n	lretq" : : "r"((uint64_t)to) : "rax", "memory");
	return visit(t->held, arg);
}

/* ---- words --------------------------------------------------------------------------------- */

static int recurse(struct thing *t, visitproc *visit, void *arg)
{
	volatile char room[256];
	room[0] = (char)recurse(t, visit, arg);
	return room[0];
}

static int visit_often(struct thing *t, visitproc *visit, void *arg)
{
	for (uint64_t i = 0; i < 1000000000; i++) /* deaf to what visit() says */
		visit(t->held, arg);
	return 0;
}

static int visit_garbage(struct thing *t, visitproc *visit, void *arg)
{
	static const uint64_t words[] = { 1, 8, 0xffff, 0xffff800000000000, 0xffffffffffffffff, 0x8000000000000000,
					  0xffffffffff600000, 0x7ffffffffff8, 0xdeadbeefdeadbeef, CHILD_BASE, CHILD_CONTROL };
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		visit((PyObject *)words[i], arg);
	for (int i = 1; i < 8; i++)
		visit((PyObject *)((char *)t + i), arg);
	visit((PyObject *)((uint64_t)t->held | 1ull << 63), arg);
	visit((PyObject *)((uint64_t)t->held | 1ull << 62), arg);
	visit((PyObject *)((uint64_t)t->held | 1ull << 48), arg);
	return 0;
}

/* ---- the block that is shared with pyheap ------------------------------------------------------ */

/* arg: 0 to 3 end the call in order, + 4 ends the process, + 8 says "done" at once */
static int corrupt(struct thing *t, visitproc *visit, void *arg)
{
	volatile struct control *c = CONTROL;
	unsigned how = t->arg & 3;
	uint64_t byte = 0;
	if (t->arg & 8 && seize()) {
		byte = pipe_byte();
		give_back();
	}
	c->nitems = how ? ~0u : 0;
	c->next = how == 1 ? ~0u : how == 2 ? BATCH - 1 : 0;
	c->step = c->error = ~0u;
	c->nplaces = c->staged_end = c->thread = c->release = ~0ull;
	for (uint32_t i = 0; i < BATCH; i++) {
		c->items[i].function = c->items[i].object = 0x4141414141414141;
		c->items[i].kind = how;
		c->results[i].status = how == 0 ? ~0u : how == 1 ? PH_REPLAY_DONE : how == 2 ? i % 7 : PH_REPLAY_FULL;
		c->results[i].n = how == 1 ? ~0u : how == 2 ? OUT_MAX - 1 : OUT_MAX + 1;
	}
	for (uint64_t i = 0; i < OUT_MAX; i += how == 2 ? 1 : 509)
		c->out[i] = i * 0x9e3779b97f4a7c15u;
	if (t->arg & 4) {
		uint64_t site = syscall_after(CHILD_BASE);
		__asm__ volatile("jmp *%1" : : "a"(SYS_exit_group), "r"(site), "D"(0L) : "memory");
	}
	if (byte) /* and goes on changing them while pyheap reads */
		for (uint32_t i = 0;; i++) {
			c->results[i % BATCH].n = i & 1 ? ~0u : 1;
			c->results[i % BATCH].status = i & 2 ? PH_REPLAY_DONE : PH_REPLAY_FULL;
			c->next = i;
		}
	return visit(t->held, arg);
}

/* many bytes that say "done" */
static int desync(struct thing *t, visitproc *visit, void *arg)
{
	uint64_t site = syscall_after(CHILD_BASE), byte = seize() ? pipe_byte() : 0;
	for (int i = 0; i < 50; i++)
		attempt(site, SYS_write, 1, byte, 1);
	give_back();
	return visit(t->held, arg);
}

static int leave_early(struct thing *t, visitproc *visit, void *arg)
{
	uint64_t site = syscall_after(CHILD_BASE);
	__asm__ volatile("call *%1" : : "a"(SYS_exit_group), "r"(site), "D"(0L) : "rcx", "r11", "memory");
	return visit(t->held, arg);
}

/* Garbage in all that can be written, over and over: the helper's own data and stacks first. */
static int everything(struct thing *t, visitproc *visit, void *arg)
{
	KEPT static char copy[sizeof maps];
	(void)visit, (void)arg;
	memset((void *)CHILD_CONTROL, 0xff, offsetof(struct control, out) + (1 << 20));
	uint64_t value = t->arg ? (uint64_t)t : 0x4242424242424242;
	memcpy(copy, maps, maps_size);
	for (char *line = copy; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		unsigned long start, end;
		char rights[8];
		if (sscanf(line, "%lx-%lx %7s", &start, &end, rights) != 3 || rights[1] != 'w')
			continue;
		if (start <= (unsigned long)&copy && (unsigned long)&copy < end)
			continue; /* what we need to go on */
		for (unsigned long at = start; at < end; at += 8) {
			if (at >= (unsigned long)maps && at < (unsigned long)maps + sizeof maps)
				continue;
			*(volatile uint64_t *)at = value;
		}
	}
	for (uint64_t at = CHILD_STACK; at < CHILD_CONTROL; at += 8)
		*(volatile uint64_t *)at = value; /* ends at the first gap */
	return 0;
}

/* The helper's data and stack, then a fault: it goes back to where we say. */
static int state(struct thing *t, visitproc *visit, void *arg)
{
	memset((void *)STATE, (int)t->arg, 4096);
	memset((void *)(CHILD_STACK + STACK_GUARD), (int)t->arg, STACK_OWN);
	__asm__ volatile("ud2");
	return visit(t->held, arg);
}

/* ---- traps, and what stays behind a call -------------------------------------------------------- */

enum { FLAG_TF = 0x100, FLAG_DF = 0x400, FLAG_NT = 0x4000, FLAG_AC = 0x40000, FLAG_ID = 0x200000 };
static inline void flags_set(uint64_t bits)
{
	__asm__ volatile("pushfq\n	or %0, (%%rsp)\n	popfq" : : "r"(bits) : "memory", "cc");
}

static int trap(struct thing *t, visitproc *visit, void *arg)
{
	switch (t->arg) {
	case 0:
		__asm__ volatile("int3");
		break;
	case 1:
		__asm__ volatile("ud2");
		break;
	case 2:
		__asm__ volatile("xor %%ecx, %%ecx\n	div %%ecx" : : : "rax", "rcx", "rdx");
		break;
	case 3:
		flags_set(FLAG_TF);
		break;
	case 4:
		flags_set(FLAG_AC);
		*(volatile uint64_t *)((char *)&t->arg + 1) += 0;
		break;
	case 5:
		__asm__ volatile("hlt");
		break;
	case 6:
		*(volatile int *)0 = 0;
		break;
	case 7:
		*(volatile int *)0x8000000000000000 = 0;
		break;
	case 8:
		((void (*)(void))0x8000000000000000)();
		break;
	case 9:
		__asm__ volatile("int $3\n	int $4\n	int $0x2d");
		break;
	case 10:
		__asm__ volatile("mov %0, %%rsp\n	int3" : : "r"(0x123456789abcull));
		break;
	case 11: /* in the signals' stack */
		__asm__ volatile("mov %0, %%rsp\n	push %%rax\n	int3" : : "r"(SIGNAL_STACK + 64));
		break;
	case 12:
		__asm__ volatile("mov %0, %%ss" : : "r"(0));
		break;
	}
	return visit(t->held, arg);
}

KEPT static jmp_buf stale;
KEPT static int jumping;
static int longjmp_(struct thing *t, visitproc *visit, void *arg)
{
	if (!jumping) {
		jumping = 1;
		if (t->arg == 0) {
			if (!setjmp(stale))
				return 0;
			spin();
		}
		memset(stale, 0x41, sizeof stale);
	}
	longjmp(stale, 1);
	return visit(t->held, arg);
}

/* Returns in order, and leaves the processor in a state that others do not expect. */
static int leave_state(struct thing *t, visitproc *visit, void *arg)
{
	static const uint32_t unmasked = 0x0000;
	static const uint16_t x87 = 0x0f40;
	int ret = visit(t->held, arg) | visit(t->base.type, arg);
	switch (t->arg & 15) {
	case 0:
		flags_set(FLAG_DF);
		break;
	case 1:
		flags_set(FLAG_AC);
		break;
	case 2:
		flags_set(FLAG_NT | FLAG_ID);
		break;
	case 3:
		__asm__ volatile("ldmxcsr %0" : : "m"(unmasked));
		break;
	case 4: /* an exception that the next x87 instruction raises */
		__asm__ volatile("fninit\n	fldcw %0\n	fldz\n	fld1\n	fdiv %%st(1), %%st" : : "m"(x87));
		break;
	case 5:
		__asm__ volatile("fldz\n	fldz\n	fldz\n	fldz\n	fldz\n	fldz\n	fldz\n	fldz");
		break;
	case 6: /* base 0 */
		__asm__ volatile("mov %0, %%fs\n	mov %0, %%gs" : : "r"(0));
		break;
	case 7: /* where the kernel lets programs do that */
		__asm__ volatile("wrfsbase %0" : : "r"(0x1000ull));
		break;
	case 8:
		__asm__ volatile("mov %0, %%ds\n	mov %0, %%es" : : "r"(0));
		break;
	case 9:
		__asm__ volatile("rdtsc" : : : "rax", "rdx");
		break;
	}
	if (t->arg & 16)
		__asm__ volatile("ud2");
	return ret;
}

/* ---- the table ------------------------------------------------------------------------------- */

static int nothing(struct thing *t, visitproc *visit, void *arg)
{
	return visit(t->held, arg) || visit(t->base.type, arg);
}

/* No attack: needs the processor in the state that compiled code may expect. */
static int picky(struct thing *t, visitproc *visit, void *arg)
{
	volatile double third = 1;
	volatile long double wide = 1;
	char text[40];
	third /= 3;
	wide /= 3;
	*(volatile uint64_t *)((char *)&t->arg + 1) += 0;
	errno = 0;
	memset(text, 'x', sizeof text);
	__asm__ volatile("rep stosb" : : "D"(text + 8), "a"(0), "c"(8) : "memory");
	if (text[7] != 'x' || text[8] || text[15] || third == 0 || wide == 0)
		return 0;
	return visit(t->held, arg) || visit(t->base.type, arg);
}

static const struct {
	const char *name;
	attack *run;
} attacks[] = {
	{ "honest", nothing }, { "picky", picky }, { "loop", loop }, { "loop_masked", loop_masked }, { "loop_next", loop_next },
	{ "loop_state", loop_state }, { "wait_for_byte", wait_for_byte }, { "trickle", trickle }, { "slow", slow },
	{ "fork", fork_ }, { "file", file }, { "connect", connect_ }, { "kill", kill_ }, { "ptrace", ptrace_ },
	{ "new_code", new_code }, { "exec", exec_ }, { "vsyscall", vsyscall }, { "numbers", numbers }, { "played", played },
	{ "arguments", arguments }, { "jump", jump }, { "sysenter", sysenter }, { "far", far }, { "recurse", recurse },
	{ "visit_often", visit_often }, { "visit_garbage", visit_garbage }, { "corrupt", corrupt },
	{ "desync", desync }, { "leave_early", leave_early }, { "everything", everything }, { "state", state },
	{ "trap", trap }, { "longjmp", longjmp_ }, { "leave_state", leave_state },
	{ "size", NULL }, /* attacks in __sizeof__ */
};
#define NATTACKS (sizeof attacks / sizeof *attacks)

static int traverse(PyObject *self, visitproc *visit, void *arg)
{
	struct thing *t = (struct thing *)self;
	if (!armed || t->attack >= NATTACKS || !attacks[t->attack].run)
		return nothing(t, visit, arg);
	fired++;
	return attacks[t->attack].run(t, visit, arg);
}

static PyObject *size_of(PyObject *self, PyObject *none)
{
	struct thing *t = (struct thing *)self;
	(void)none;
	if (!armed)
		return PyLong_FromLongLong(sizeof *t);
	fired++;
	switch (t->arg) {
	case 0:
		return PyLong_FromLongLong(48); /* a lie that nobody can tell from the truth */
	case 1:
		spin();
	case 2:
		getppid();
		break;
	case 3:
		return PyLong_FromLongLong(1ll << 62);
	case 4:
		return PyLong_FromLongLong(-1000);
	case 5:
		return NULL;
	case 6:
		PyErr_SetString(PyExc_RuntimeError, "no");
		return NULL;
	case 7:
		return (PyObject *)0x10;
	case 8:
		return self; /* no int */
	case 9:
		return PyLong_FromLongLong((1ll << 44) - 4096); /* the most that is believed: sums of them must not wrap */
	}
	return PyLong_FromLongLong(sizeof *t);
}

/* ---- the module -------------------------------------------------------------------------------- */

/* make(attack, name, arg, held, n): n things of a new type */
static PyObject *make(PyObject *self, PyObject *args)
{
	static struct method size_method[] = { { "__sizeof__", size_of, NOARGS, NULL }, { 0 } };
	const char *name, *type_name;
	unsigned long long arg, n;
	PyObject *held, *list = Py_BuildValue("[]");
	(void)self;
	if (!PyArg_ParseTuple(args, "ssKOK", &name, &type_name, &arg, &held, &n))
		return NULL;
	uint64_t which = 0;
	while (which < NATTACKS && strcmp(attacks[which].name, name))
		which++;
	if (which == NATTACKS) {
		PyErr_SetString(PyExc_RuntimeError, "no such attack");
		return NULL;
	}
	struct slot slots[] = { { TP_TRAVERSE, traverse },
				{ attacks[which].run ? 0 : TP_METHODS, attacks[which].run ? NULL : size_method }, { 0, NULL } };
	struct spec spec = { strdup(type_name), sizeof(struct thing), 0, FLAGS_GC, slots };
	PyObject *type = PyType_FromSpec(&spec);
	extern int PyList_Append(PyObject *, PyObject *);
	for (uint64_t i = 0; type && i < n; i++) {
		struct thing *t = (struct thing *)PyType_GenericAlloc(type, 0);
		if (!t)
			return NULL;
		held->refs++;
		t->held = held;
		t->attack = which;
		t->arg = arg;
		PyList_Append(list, &t->base);
		t->base.refs--; /* the list's */
	}
	return type ? list : NULL;
}

static PyObject *arm(PyObject *self, PyObject *args)
{
	const char *path;
	(void)self;
	if (!PyArg_ParseTuple(args, "si", &path, &port))
		return NULL;
	if (!realpath(".", evidence) || strlen(evidence) + strlen(path) + 2 > sizeof evidence)
		return NULL;
	strcat(strcat(evidence, "/"), path);
	int fd = open("/proc/self/maps", O_RDONLY);
	for (ssize_t n; (n = read(fd, maps + maps_size, sizeof maps - 1 - maps_size)) > 0;)
		maps_size += (size_t)n;
	close(fd);
	target = getpid();
	armed = 1;
	return Py_BuildValue("");
}

/* (armed, fired): (1, 0) for as long as nobody has run anything of this here */
static PyObject *look(PyObject *self, PyObject *none)
{
	(void)self, (void)none;
	return Py_BuildValue("iK", armed, (unsigned long long)fired);
}

static struct method methods[] = { { "make", make, VARARGS, NULL }, { "arm", arm, VARARGS, NULL },
				   { "look", look, NOARGS, NULL }, { 0 } };
static struct module module = { .base = { .refs = 1 }, .name = "hostile", .size = -1, .methods = methods };

PyObject *PyInit_hostile(void)
{
	return PyModule_Create2(&module, 1013);
}
