/* SPDX-License-Identifier: GPL-2.0-or-later */
/* base: errors, notes, growable arrays, scope guards, little-endian loads. */
#ifndef PYHEAP_BASE_H
#define PYHEAP_BASE_H

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* An address in the target, never one of ours. */
typedef uint64_t ph_addr;

/* ---- errors ---------------------------------------------------------- */

/* The values are the exit statuses. */
enum ph_code {
	PH_ERR_USAGE = 2,      /* usage, input/output, the process went away */
	PH_ERR_NOT_PYTHON = 3, /* not a CPython process or core */
	PH_ERR_PERMISSION = 4, /* the message says which rule */
	PH_ERR_LAYOUT = 5,     /* layout unknown */
	PH_ERR_INCOMPLETE = 6, /* only under --strict */
	PH_ERR_REFUSED = 7,    /* would not fit in memory, or a foreign architecture */
};

/* What went wrong; NULL means success. Owned by the caller that receives it. */
struct ph_err;

/* A new error; never NULL (a static out-of-memory error if need be). */
struct ph_err *ph_err_new(enum ph_code code, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* The same with ": strerror(errnum)" behind it. */
struct ph_err *ph_err_errno(enum ph_code code, int errnum, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The static error "out of memory" (code 2); need not be freed, may be. */
struct ph_err *ph_err_nomem(void);
/* Sets what to try next; returns err. Only the first hint is kept. */
struct ph_err *ph_err_hint(struct ph_err *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
enum ph_code ph_err_code(const struct ph_err *err);
const char *ph_err_message(const struct ph_err *err); /* borrowed from err */
const char *ph_err_hint_text(const struct ph_err *err); /* borrowed; "" if none */
void ph_err_free(struct ph_err *err);

/* ---- notes: faults inside the heap are data, not errors ---------------- */

enum ph_note_kind {
#define PH_NOTE(id, name, incomplete, text) PH_NOTE_##id,
#include <pyheap/notes.def>
#undef PH_NOTE
	PH_NOTE_KINDS
};

/* Counts by kind with an example; zero-initialised is empty. */
struct ph_notes {
	struct {
		uint64_t count;
		ph_addr example; /* the lowest; 0 where there is none */
	} kind[PH_NOTE_KINDS];
};

/* From any thread, and the result does not depend on which was first. */
void ph_note(struct ph_notes *notes, enum ph_note_kind kind, ph_addr example);
const char *ph_note_name(enum ph_note_kind kind); /* "missing-pages": JSON's `kind` */
const char *ph_note_text(enum ph_note_kind kind); /* one clause for people */
bool ph_note_incomplete(enum ph_note_kind kind);     /* something is missing from the answer */

/* ---- growable arrays --------------------------------------------------- */

/* struct PH_VEC(uint32_t) v = {0}; PH_VEC_PUSH(&v, 1) is false when memory is
 * out; v.items[0..v.n); free with ph_vec_free(&v). */
#define PH_VEC(T) \
	{ \
		T *items; \
		size_t n, cap; \
	}
#define PH_VEC_RESERVE(v, more) \
	((v)->cap - (v)->n >= (more) || \
	 ph_vec_grow_((void **)&(v)->items, (v)->n, &(v)->cap, (more), sizeof *(v)->items))
#define PH_VEC_PUSH(v, ...) \
	(PH_VEC_RESERVE(v, 1) && ((v)->items[(v)->n++] = (__VA_ARGS__), true))
#define ph_vec_free(v) \
	do { \
		free((v)->items); \
		(v)->items = NULL; \
		(v)->n = (v)->cap = 0; \
	} while (0)
bool ph_vec_grow_(void **items, size_t n, size_t *cap, size_t more, size_t size);

/* ---- ranges ------------------------------------------------------------- */

/* Of n ranges (with members start and end, ascending and apart) the index of the first one
 * that ends behind addr, n when there is none; and the one that addr is in, or NULL. */
#define PH_RANGE_BEHIND(ranges, n, addr) \
	({ \
		size_t lo_ = 0, hi_ = (n); \
		while (lo_ < hi_) { \
			size_t mid_ = lo_ + (hi_ - lo_) / 2; \
			if ((ranges)[mid_].end <= (addr)) \
				lo_ = mid_ + 1; \
			else \
				hi_ = mid_; \
		} \
		lo_; \
	})
#define PH_RANGE_AT(ranges, n, addr) \
	({ \
		size_t at_ = PH_RANGE_BEHIND(ranges, n, addr); \
		at_ < (n) && (ranges)[at_].start <= (addr) ? &(ranges)[at_] : NULL; \
	})

/* ---- findings: what `doctor` has to say --------------------------------------- */

enum ph_health { PH_HEALTH_OK, PH_HEALTH_INFO, PH_HEALTH_WARNING, PH_HEALTH_PROBLEM };
/* What mends it: a command that can be run as it stands, or words. */
struct ph_advice {
	char *text;
	bool command, as_root;
};
struct ph_finding {
	enum ph_health health;
	const char *area; /* "permission", "memory"; static */
	char *text;
	struct PH_VEC(struct ph_advice) advice;
};
struct ph_findings {
	struct PH_VEC(struct ph_finding) v;
	bool nomem; /* some are missing */
};
void ph_find(struct ph_findings *f, enum ph_health health, const char *area, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Advice for the last finding. */
void ph_advise(struct ph_findings *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void ph_advise_command(struct ph_findings *f, bool as_root, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void ph_findings_deinit(struct ph_findings *f);

/* ---- maps ------------------------------------------------------------------ */

/* Two numbers to one; zero-initialised is empty. */
struct ph_map {
	struct ph_map_entry {
		uint64_t a, b;
		uint32_t value; /* 0 = free */
	} *entries;
	uint64_t size, used;
};
/* The value of a pair, 0 when it is new: then to be set at once, to another. Valid until
 * the next call; NULL = out of memory. */
uint32_t *ph_map_at(struct ph_map *m, uint64_t a, uint64_t b);
void ph_map_free(struct ph_map *m);
/* For tables of our own; anybody can make two texts of the same one. */
uint64_t ph_hash_bytes(const void *bytes, size_t n);

/* ---- scope guards ------------------------------------------------------- */

/* char *s ph_cleanup_free = ...; is freed on every way out of the scope. */
#define ph_cleanup_free __attribute__((cleanup(ph_cleanup_free_)))
static inline void ph_cleanup_free_(void *p)
{
	free(*(void **)p);
}
/* int fd ph_cleanup_close = ...; */
#define ph_cleanup_close __attribute__((cleanup(ph_cleanup_close_)))
void ph_cleanup_close_(int *fd);

/* ---- little-endian, unaligned-safe loads -------------------------------- */

static inline uint64_t ph_load_u64(const void *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof v);
	return v;
}
static inline uint32_t ph_load_u32(const void *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof v);
	return v;
}
static inline uint16_t ph_load_u16(const void *p)
{
	uint16_t v;
	memcpy(&v, p, sizeof v);
	return v;
}
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "pyheap itself runs on little-endian machines"
#endif

/* ---- big arrays ----------------------------------------------------------- */

/* Zeroed memory for large arrays, in huge pages where the kernel has them;
 * NULL when memory is out. Free with ph_big_free() and the same size. */
void *ph_big_alloc(size_t bytes);
void ph_big_free(void *p, size_t bytes);
/* A part of such memory that is not needed any more: whole pages of it are given back. */
void ph_big_drop(void *p, size_t bytes);

/* ---- threads ---------------------------------------------------------------- */

/* What one thread writes to all the time stands apart from what others do. */
#define PH_OWN_LINES __attribute__((aligned(128)))
#define PH_WORKERS_MAX 4 /* more are kept waiting by memory, and each needs memory of its own */
/* How many threads have a processor, 1 … PH_WORKERS_MAX. */
unsigned ph_workers(void);
/* Calls fn(ctx, 0) … fn(ctx, n − 1), n ≤ PH_WORKERS_MAX, each on a thread of its own, and
 * waits for all of them. */
void ph_parallel(unsigned n, void (*fn)(void *ctx, unsigned index), void *ctx);
/* One more thread, with a small stack, that takes no signals; false: none could be had. */
bool ph_thread_start(pthread_t *ret, void *(*fn)(void *ctx), void *ctx);

/* ---- interrupts ------------------------------------------------------------ */

/* Set to the signal's number by main's handlers of SIGINT, SIGTERM, SIGHUP;
 * long loops look at it and end early with ph_err_interrupted(). */
extern volatile int ph_interrupted;
/* An error that ends in exit status 128 + N. */
struct ph_err *ph_err_interrupted(void);
/* For what says only that it went no further: that error, else out of memory. */
struct ph_err *ph_err_stopped(void);
/* For a pass over all objects, with the number of the one it has come to. */
static inline bool ph_interrupted_at(uint64_t i)
{
	return !(i & 0xffff) && ph_interrupted;
}

/* ---- progress ---------------------------------------------------------------- */

enum ph_progress_unit {
	PH_PROGRESS_NONE,    /* of what the rate would be has no name */
	PH_PROGRESS_OBJECTS,
	PH_PROGRESS_BYTES,
};
/* How far the work is. Loops tell it from any thread, but once for thousands of objects only:
 * where they look at ph_interrupted. Whoever shows it reads it while they run. */
struct ph_progress {
	enum ph_progress_unit unit;
	uint64_t start_ns;
	uint64_t done, total; /* for the share; total 0: nobody knows */
	uint64_t count;       /* units done, for the rate */
};
extern struct ph_progress ph_progress_; /* atomic; use the functions */
/* Something else begins, of which so much is to be done. */
void ph_progress_begin(enum ph_progress_unit unit, uint64_t total);
/* What was counted is done; of what comes now nothing is known. */
static inline void ph_progress_end(void)
{
	ph_progress_begin(PH_PROGRESS_NONE, 0);
}
static inline void ph_progress_count(uint64_t done, uint64_t count)
{
	__atomic_fetch_add(&ph_progress_.done, done, __ATOMIC_RELAXED);
	__atomic_fetch_add(&ph_progress_.count, count, __ATOMIC_RELAXED);
}
/* Where what is to be done is counted in units itself. */
static inline void ph_progress_add(uint64_t done)
{
	ph_progress_count(done, done);
}
struct ph_progress ph_progress_now(void);

/* ---- temporary and packed files ------------------------------------------------ */

/* An unlinked file in TMPDIR (else /var/tmp) that is written from front to back, with
 * holes for pages of zeroes. Whoever opens it closes fd, also after an error. */
struct ph_spool {
	int fd;        /* -1: not opened */
	uint64_t size; /* so far */
	bool holes;
};
struct ph_err *ph_spool_open(struct ph_spool *ret);
struct ph_err *ph_spool_write(struct ph_spool *s, const void *bytes, size_t n);
/* After the last write. */
struct ph_err *ph_spool_finish(struct ph_spool *s);

/* "gzip", "zstd", "lz4" or "xz" by a file's first bytes; NULL when it is none of them. */
const char *ph_packed(const void *head, size_t n);
enum ph_unpack_fault {
	PH_UNPACK_WHOLE,
	PH_UNPACK_CUT,     /* the stream ends too early */
	PH_UNPACK_DAMAGED, /* it is broken, or a checksum is wrong */
};
/* Unpacks the file (from its beginning, wherever it stands) to its end or its first
 * fault, which is no error. */
struct ph_err *ph_unpack(int fd, struct ph_spool *out, enum ph_unpack_fault *ret);
/* Only the first n bytes, fewer where there are no more. */
struct ph_err *ph_unpack_head(int fd, void *buf, size_t n, size_t *ret);

/* ---- small helpers ---------------------------------------------------------- */

/* asprintf that returns the string, or NULL when memory is out; owned by the caller. */
char *ph_asprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The whole of a small file (such as those in /proc), NUL-terminated, owned by
 * the caller; NULL with errno set. Reads at most `max` bytes. */
char *ph_read_file(const char *path, size_t max, size_t *ret_len);
/* "64", "64K", "1.5M", "2GiB" → bytes; false when it is not a size. */
bool ph_parse_size(const char *text, uint64_t *ret);
/* Monotonic time in nanoseconds. */
uint64_t ph_now_ns(void);

#endif
