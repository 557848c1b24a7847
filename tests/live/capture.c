/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opens and captures a process and prints figures, for tests: capture [OPTIONS] PID
 *   --pause-none --low-memory --ignore-limits --stop-timeout S
 *   --repeat N       captures N times
 *   --hold S         prints "holding" and sleeps S seconds before it closes, also after
 *                    a failure
 *   --read ADDR:LEN  prints the bytes there in hex, or "missing"
 *   --sum            reads all writable memory once and prints a checksum
 *   --verify         compares all bytes with /proc/PID/mem (of a target that stands still)
 *   --modules        lists them
 * Exit status: the error's code, as pyheap's own. */
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include <pyheap/target.h>

struct wanted {
	struct ph_target_options opt;
	int repeat;
	double hold;
	const char *reads[64];
	size_t nreads;
	bool sum, verify, modules;
};

static void on_signal(int number)
{
	ph_interrupted = number;
}

static int fail(struct ph_err *err)
{
	int code = ph_err_code(err);
	fprintf(stderr, "capture: %s\n", ph_err_message(err));
	if (*ph_err_hint_text(err))
		fprintf(stderr, "hint: %s\n", ph_err_hint_text(err));
	ph_err_free(err);
	return code;
}

static void print_bytes(const struct ph_target *t, const char *what)
{
	char *end;
	ph_addr addr = strtoull(what, &end, 0);
	uint64_t n = *end == ':' ? strtoull(end + 1, NULL, 0) : 8;
	const uint8_t *p = ph_mem_at(t->mem, addr, n);
	printf("bytes=");
	for (uint64_t i = 0; p && i < n; i++)
		printf("%02x", p[i]);
	printf("%s\n", p ? "" : "missing");
}

static void print_sum(const struct ph_target *t)
{
	uint64_t sum = 0, bytes = 0;
	for (size_t i = 0; i < t->mem->nsegs; i++) {
		const struct ph_segment *s = &t->mem->segs[i];
		for (ph_addr a = s->start; s->writable && a + 8 <= s->end; a += 4096) {
			const void *p = ph_mem_at(t->mem, a, 8);
			sum = sum * 31 + (p ? ph_load_u64(p) : 1);
		}
		bytes += s->writable ? s->end - s->start : 0;
	}
	printf("writable_bytes=%" PRIu64 " sum=%016" PRIx64 "\n", bytes, sum);
}

/* Bytes that differ, and bytes of the copy that are not there. */
static void print_verified(const struct ph_target *t)
{
	char path[64];
	uint8_t now[4096];
	uint64_t differ = 0, bytes = 0, gone = 0;
	snprintf(path, sizeof path, "/proc/%d/mem", (int)t->pid);
	int fd ph_cleanup_close = open(path, O_RDONLY);
	for (size_t i = 0; i < t->mem->nsegs; i++) {
		const struct ph_segment *s = &t->mem->segs[i];
		for (ph_addr a = s->start; a < s->end; a += sizeof now) {
			size_t n = s->end - a < sizeof now ? s->end - a : sizeof now;
			const void *p = ph_mem_at(t->mem, a, n);
			if (!p || pread(fd, now, n, (off_t)a) != (ssize_t)n)
				gone += n;
			else if (memcmp(p, now, n))
				differ += n;
			bytes += n;
		}
	}
	printf("verified=%" PRIu64 " differ=%" PRIu64 " gone=%" PRIu64 "\n", bytes, differ, gone);
}

static void print_modules(const struct ph_target *t)
{
	for (size_t i = 0; i < t->nmodules; i++)
		printf("module=%s open=%s elf=%d\n", t->modules[i].path,
		       t->modules[i].open_path ? t->modules[i].open_path : "-", t->modules[i].elf != NULL);
}

static void print_target(const struct ph_target *t, const struct ph_notes *notes, const struct wanted *w)
{
	printf("pid=%d exe=%s pause_ms=%.3f copied=%" PRIu64 " rss=%" PRIu64 " threads=%zu modules=%zu segments=%zu\n",
	       (int)t->pid, t->exe, t->pause_ms, t->copied_bytes, t->rss_bytes, t->nthreads, t->nmodules,
	       t->mem->nsegs);
	for (size_t i = 0; i < t->nthreads; i++)
		printf("thread=%d sp=0x%" PRIx64 " tls=0x%" PRIx64 " name=%s\n", (int)t->threads[i].tid,
		       t->threads[i].sp, t->threads[i].tls, t->threads[i].name);
	for (int i = 0; i < PH_NOTE_KINDS; i++)
		if (notes->kind[i].count)
			printf("note=%s count=%" PRIu64 " example=0x%" PRIx64 "\n", ph_note_name(i),
			       notes->kind[i].count, notes->kind[i].example);
	for (size_t i = 0; i < w->nreads; i++)
		print_bytes(t, w->reads[i]);
	if (w->sum)
		print_sum(t);
	if (w->verify)
		print_verified(t);
	if (w->modules)
		print_modules(t);
	printf("pause_so_far_ms=%.3f\n", ph_target_pause_ms(t));
	fflush(stdout);
}

static bool parse(int argc, char **argv, struct wanted *w)
{
	static const struct option options[] = {
		{ "pause-none", 0, NULL, 'p' },    { "low-memory", 0, NULL, 'l' },
		{ "ignore-limits", 0, NULL, 'i' }, { "stop-timeout", 1, NULL, 't' },
		{ "repeat", 1, NULL, 'n' },	   { "hold", 1, NULL, 'h' },
		{ "read", 1, NULL, 'r' },	   { "sum", 0, NULL, 's' },
		{ "modules", 0, NULL, 'm' },	   { "verify", 0, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	int c;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'p': w->opt.no_pause = true; break;
		case 'l': w->opt.low_memory = true; break;
		case 'i': w->opt.ignore_limits = true; break;
		case 't': w->opt.stop_timeout_s = atof(optarg); break;
		case 'n': w->repeat = atoi(optarg); break;
		case 'h': w->hold = atof(optarg); break;
		case 'r':
			if (w->nreads < sizeof w->reads / sizeof *w->reads)
				w->reads[w->nreads++] = optarg;
			break;
		case 's': w->sum = true; break;
		case 'v': w->verify = true; break;
		case 'm': w->modules = true; break;
		default: return false;
		}
	}
	return optind + 1 == argc;
}

static void hold(double seconds)
{
	if (seconds <= 0)
		return;
	puts("holding");
	fflush(stdout);
	nanosleep(&(struct timespec){ (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) }, NULL);
}

int main(int argc, char **argv)
{
	struct wanted w = { .repeat = 1 };
	struct ph_notes notes = { 0 };
	struct ph_target *t;
	struct sigaction sa = { .sa_handler = on_signal };
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	if (!parse(argc, argv, &w)) {
		fprintf(stderr, "usage: capture [OPTIONS] PID\n");
		return 2;
	}
	struct ph_err *err = ph_target_open(argv[optind], &w.opt, &notes, &t);
	if (err)
		return fail(err);
	for (int i = 0; !err && i < w.repeat; i++) {
		memset(&notes, 0, sizeof notes);
		err = ph_target_capture(t, &notes);
		if (!err)
			print_target(t, &notes, &w);
	}
	int code = err ? fail(err) : 0;
	hold(w.hold);
	ph_target_close(t);
	return code;
}
