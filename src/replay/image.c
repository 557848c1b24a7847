/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The child's code, inside pyheap: no file is needed to start it. */
#ifdef PYHEAP_CHILD /* not on machines that child/arch.h does not know */
__asm__(".section .rodata\n"
	".balign 16\n"
	".global ph_replay_image, ph_replay_image_end\n"
	"ph_replay_image:\n"
	"	.incbin \"" PYHEAP_CHILD "\"\n"
	"ph_replay_image_end:\n"
	".previous\n");
#endif
