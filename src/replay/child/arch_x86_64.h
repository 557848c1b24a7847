/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All that depends on the machine: entering the child, system calls, contexts of signals,
 * calling with a way back. Another machine is another file like this. */
#ifndef REPLAY_ARCH_X86_64_H
#define REPLAY_ARCH_X86_64_H

#include <stdint.h>

#define ARCH_CAN_SET_THREAD 2 /* bit of AT_HWCAP2: FSGSBASE */

/* On another stack, never to return. */
__attribute__((noreturn)) static inline void arch_enter(uint64_t stack, uint64_t entry)
{
	__asm__ volatile("mov %0, %%rsp\n"
			 "xor %%ebp, %%ebp\n"
			 "call *%1\n"
			 "hlt"
			 :
			 : "r"(stack), "r"(entry));
	__builtin_unreachable();
}

#ifdef REPLAY_IN_CHILD
#include <asm/unistd.h>
#include <linux/audit.h>

#define ARCH_AUDIT AUDIT_ARCH_X86_64

static inline long sys6(long n, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;
	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

#define ARCH_SET_FS 0x1002
#define ARCH_SHSTK_DISABLE 0x5002
static inline long arch_set_thread(uint64_t base)
{
	sys6(__NR_arch_prctl, ARCH_SHSTK_DISABLE, 1, 0, 0, 0, 0); /* returns are not to calls here */
	return base ? sys6(__NR_arch_prctl, ARCH_SET_FS, (long)base, 0, 0, 0, 0) : 0;
}
/* How code expects to find the processor. The thread, unless 0, is set without a system
 * call, where the processor and the kernel let us (ARCH_CAN_SET_THREAD). */
static inline void arch_reset(uint64_t thread)
{
	static const uint32_t mxcsr = 0x1f80;
	__asm__ volatile("lea -128(%%rsp), %%rsp\n" /* the compiler may use what lies below */
			 "push $0x202\n	popf\n"
			 "lea 128(%%rsp), %%rsp\n"
			 "fninit\n	ldmxcsr %0"
			 :
			 : "m"(mxcsr)
			 : "cc", "memory");
	if (thread)
		__asm__ volatile("wrfsbase %0" : : "r"(thread));
}

/* struct sigaction of the kernel, and its ucontext as far as it is needed. */
struct arch_sigaction {
	void (*handler)(int, void *, void *);
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};
#define ARCH_SA_FLAGS (0x4 /* SIGINFO */ | 0x08000000 /* ONSTACK */ | 0x04000000 /* RESTORER */)

/* cs, gs, fs, ss */
#define ARCH_SEGMENTS (0x33ull | 0x2bull << 48)

enum {
	GREG_SEGMENTS = 18,
	GREG_R10 = 2, GREG_RDI = 8, GREG_RSI = 9, GREG_RDX = 12, GREG_RAX = 13, GREG_RSP = 15, GREG_RIP = 16, GREG_EFL = 17,
};
struct arch_ucontext {
	uint64_t flags, link, ss_sp, ss_flags, ss_size;
	uint64_t gregs[23];
};

/* Of a system call that was trapped. */
static inline uint64_t arch_call_number(const struct arch_ucontext *uc)
{
	return uc->gregs[GREG_RAX];
}
static inline uint64_t arch_argument(const struct arch_ucontext *uc, int i)
{
	static const uint8_t registers[] = { GREG_RDI, GREG_RSI, GREG_RDX, GREG_R10 };
	return uc->gregs[registers[i]];
}
static inline void arch_set_result(struct arch_ucontext *uc, uint64_t value)
{
	uc->gregs[GREG_RAX] = value;
}

#pragma GCC visibility push(hidden)

/* Where a call that failed comes back to. */
struct arch_way_back {
	uint64_t sp, ip;
} arch_back;

/* Calls f(a, b, c) on the stack that ends at `stack` and returns its result, or 0 when a
 * signal handler has sent it back with arch_go_back(). */
uint64_t arch_call(uint64_t f, uint64_t a, uint64_t b, uint64_t c, uint64_t stack);
void arch_restore(void); /* rt_sigreturn */

#pragma GCC visibility pop

__asm__(".text\n"
	".type arch_call, @function\n"
	"arch_call:\n"
	"	push %rbp\n	push %rbx\n	push %r12\n	push %r13\n	push %r14\n	push %r15\n"
	"	mov %rsp, arch_back(%rip)\n"
	"	lea 1f(%rip), %rax\n"
	"	mov %rax, arch_back + 8(%rip)\n"
	"	mov %r8, %rsp\n"
	"	mov %rdi, %rax\n"
	"	mov %rsi, %rdi\n"
	"	mov %rdx, %rsi\n"
	"	mov %rcx, %rdx\n"
	"	call *%rax\n"
	"	mov arch_back(%rip), %rsp\n"
	"1:	cld\n"
	"	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n	pop %rbx\n	pop %rbp\n"
	"	ret\n"
	".type arch_restore, @function\n"
	"arch_restore:\n"
	"	mov $15, %eax\n"
	"	syscall\n"
	"	hlt\n");

/* Makes the interrupted arch_call() return 0. */
static inline void arch_go_back(struct arch_ucontext *uc)
{
	uc->gregs[GREG_RSP] = arch_back.sp;
	uc->gregs[GREG_RIP] = arch_back.ip;
	uc->gregs[GREG_EFL] = 0x202;
	uc->gregs[GREG_SEGMENTS] = ARCH_SEGMENTS;
	uc->gregs[GREG_RAX] = 0;
}

#endif /* REPLAY_IN_CHILD */
#endif
