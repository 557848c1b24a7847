/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files that are packed with gzip, zstd, lz4 or xz, told by their magic. Their contents
 * may be anything: what can be unpacked up to a fault is handed out. */
#include <errno.h>
#include <lz4frame.h>
#include <lzma.h>
#include <pyheap/base.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#define IN_BYTES 65536u
#define OUT_BYTES (1u << 20)
#define STEP_BYTES 131072u      /* asked for at once: what a step has made before it fails is lost */
#define XZ_MEMORY (2ull << 30)  /* a dictionary larger than what xz -9 makes is not believed */
#define ZSTD_WINDOW_LOG 31      /* zstd --ultra --long=31 */

enum step { STEP_ON, STEP_END, STEP_BROKEN, STEP_NOMEM }; /* END: the stream may end here */

/* What a step takes from, and puts to; both move on. */
struct span {
	uint8_t *p;
	size_t n;
};

struct format {
	const char *name, *magic;
	size_t magic_n;
	void *(*start)(void);
	enum step (*step)(void *state, struct span *in, struct span *out, bool last);
	void (*end)(void *state);
};

struct unpacker {
	const struct format *format;
	void *state;
	int fd;
	uint64_t at;       /* in the file */
	bool last;         /* the file has no more */
	bool may_end;
	enum ph_unpack_fault fault;
	struct span in;
	uint8_t buf[IN_BYTES];
};

static void advance(struct span *s, size_t n)
{
	s->p += n;
	s->n -= n;
}

/* ---- gzip: members one after the other ------------------------------------------------ */

struct gzip {
	z_stream z;
	bool between; /* members */
};

static void *gzip_start(void)
{
	struct gzip *s = calloc(1, sizeof *s);
	if (s && inflateInit2(&s->z, 16 + MAX_WBITS) == Z_OK)
		return s;
	free(s);
	return NULL;
}

static enum step gzip_step(void *state, struct span *in, struct span *out, bool last)
{
	struct gzip *s = state;
	if (s->between && in->n) {
		if (*in->p != 0x1f) { /* padding of tapes and the like, which gzip passes over, too */
			advance(in, in->n);
			return STEP_END;
		}
		s->between = false;
		inflateReset(&s->z);
	}
	s->z.next_in = in->p;
	s->z.avail_in = (unsigned)in->n;
	s->z.next_out = out->p;
	s->z.avail_out = (unsigned)out->n;
	int status = inflate(&s->z, Z_NO_FLUSH);
	advance(in, in->n - s->z.avail_in);
	advance(out, out->n - s->z.avail_out);
	s->between = status == Z_STREAM_END;
	if (status == Z_STREAM_END)
		return STEP_END;
	return status == Z_OK || status == Z_BUF_ERROR ? STEP_ON : status == Z_MEM_ERROR ? STEP_NOMEM : STEP_BROKEN;
}

static void gzip_end(void *state)
{
	struct gzip *s = state;
	inflateEnd(&s->z);
	free(s);
}

/* ---- zstd, and lz4's frame format ----------------------------------------------------------- */

/* Both say how much they want next, to the end of a block: given more, they would hide a good
 * block behind the fault of the next one or of a checksum. */
struct blocks {
	void *context;
	size_t want;
};
#define FIRST_WANT 5

static struct blocks *blocks_new(void *context)
{
	struct blocks *s = context ? malloc(sizeof *s) : NULL;
	if (s)
		*s = (struct blocks){ context, FIRST_WANT };
	return s;
}

static size_t blocks_take(const struct blocks *s, const struct span *in)
{
	return in->n < s->want ? in->n : s->want;
}

static enum step blocks_done(struct blocks *s, size_t left)
{
	s->want = left ? left : FIRST_WANT;
	return left ? STEP_ON : STEP_END;
}

static void *zstd_start(void)
{
	ZSTD_DCtx *d = ZSTD_createDCtx();
	struct blocks *s = blocks_new(d);
	if (s)
		ZSTD_DCtx_setParameter(d, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG);
	else
		ZSTD_freeDCtx(d);
	return s;
}

static enum step zstd_step(void *state, struct span *in, struct span *out, bool last)
{
	struct blocks *s = state;
	ZSTD_inBuffer from = { in->p, blocks_take(s, in), 0 };
	ZSTD_outBuffer to = { out->p, out->n, 0 };
	size_t left = ZSTD_decompressStream(s->context, &to, &from);
	if (ZSTD_isError(left)) /* to.pos says nothing then */
		return ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation ? STEP_NOMEM : STEP_BROKEN;
	advance(in, from.pos);
	advance(out, to.pos);
	return blocks_done(s, left);
}

static void zstd_end(void *state)
{
	struct blocks *s = state;
	ZSTD_freeDCtx(s->context);
	free(s);
}

static void *lz4_start(void)
{
	LZ4F_dctx *d = NULL;
	struct blocks *s = LZ4F_isError(LZ4F_createDecompressionContext(&d, LZ4F_VERSION)) ? NULL : blocks_new(d);
	if (!s)
		LZ4F_freeDecompressionContext(d);
	return s;
}

static enum step lz4_step(void *state, struct span *in, struct span *out, bool last)
{
	struct blocks *s = state;
	size_t took = blocks_take(s, in), made = out->n;
	size_t left = LZ4F_decompress(s->context, out->p, &made, in->p, &took, NULL);
	if (LZ4F_isError(left))
		return strstr(LZ4F_getErrorName(left), "allocation") ? STEP_NOMEM : STEP_BROKEN;
	advance(in, took);
	advance(out, made);
	return blocks_done(s, left);
}

static void lz4_end(void *state)
{
	struct blocks *s = state;
	LZ4F_freeDecompressionContext(s->context);
	free(s);
}

/* ---- xz ----------------------------------------------------------------------------------- */

static void *xz_start(void)
{
	lzma_stream *s = calloc(1, sizeof *s);
	if (s && lzma_stream_decoder(s, XZ_MEMORY, LZMA_CONCATENATED) == LZMA_OK)
		return s;
	free(s);
	return NULL;
}

static enum step xz_step(void *state, struct span *in, struct span *out, bool last)
{
	lzma_stream *s = state;
	s->next_in = in->p;
	s->avail_in = in->n;
	s->next_out = out->p;
	s->avail_out = out->n;
	lzma_ret status = lzma_code(s, last ? LZMA_FINISH : LZMA_RUN);
	advance(in, in->n - s->avail_in);
	advance(out, out->n - s->avail_out);
	if (status == LZMA_STREAM_END)
		return STEP_END;
	return status == LZMA_OK || status == LZMA_BUF_ERROR ? STEP_ON
	       : status == LZMA_MEM_ERROR			     ? STEP_NOMEM
								     : STEP_BROKEN;
}

static void xz_end(void *state)
{
	lzma_end(state);
	free(state);
}

/* ---- any of them --------------------------------------------------------------------------- */

static const struct format formats[] = {
	{ "gzip", "\x1f\x8b\x08", 3, gzip_start, gzip_step, gzip_end },
	{ "zstd", "\x28\xb5\x2f\xfd", 4, zstd_start, zstd_step, zstd_end },
	{ "zstd", "\x50\x2a\x4d\x18", 4, zstd_start, zstd_step, zstd_end }, /* pzstd's first frame */
	{ "lz4", "\x04\x22\x4d\x18", 4, lz4_start, lz4_step, lz4_end },
	{ "xz", "\xfd" "7zXZ\0", 6, xz_start, xz_step, xz_end },
};

static const struct format *find(const void *head, size_t n)
{
	for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
		if (n >= formats[i].magic_n && !memcmp(head, formats[i].magic, formats[i].magic_n))
			return &formats[i];
	return NULL;
}

const char *ph_packed(const void *head, size_t n)
{
	const struct format *f = find(head, n);
	return f ? f->name : NULL;
}

/* Reads on when all that was read is used up. */
static struct ph_err *refill(struct unpacker *u)
{
	while (!u->in.n && !u->last) {
		ssize_t n = pread(u->fd, u->buf, sizeof u->buf, (off_t)u->at);
		if (ph_interrupted)
			return ph_err_interrupted();
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ph_err_errno(PH_ERR_USAGE, errno, "cannot read the packed file");
		u->last = n == 0;
		u->in = (struct span){ u->buf, (size_t)n };
		u->at += (uint64_t)n;
	}
	return NULL;
}

/* One step; *ret_done: nothing comes after it. */
static struct ph_err *step(struct unpacker *u, struct span *out, bool *ret_done)
{
	size_t room = out->n < STEP_BYTES ? out->n : STEP_BYTES;
	struct span to = { out->p, room };
	struct ph_err *err = refill(u);
	*ret_done = u->last && u->may_end && !u->in.n;
	if (err || *ret_done)
		return err;
	size_t had = u->in.n;
	enum step status = u->format->step(u->state, &u->in, &to, u->last);
	if (status == STEP_NOMEM)
		return ph_err_nomem();
	advance(out, room - to.n);
	u->may_end = status == STEP_END;
	if (status == STEP_BROKEN)
		u->fault = PH_UNPACK_DAMAGED;
	else if (status == STEP_ON && had == u->in.n && room == to.n) /* it wants more */
		u->fault = u->last ? PH_UNPACK_CUT : PH_UNPACK_DAMAGED;
	*ret_done = u->fault;
	return ph_interrupted ? ph_err_interrupted() : NULL;
}

/* Fills buf as far as the stream goes; less than n only at its end. */
static struct ph_err *fill(struct unpacker *u, uint8_t *buf, size_t n, size_t *ret)
{
	struct span out = { buf, n };
	struct ph_err *err = NULL;
	bool done = u->fault;
	while (!err && !done && out.n)
		err = step(u, &out, &done);
	*ret = n - out.n;
	return err;
}

static struct ph_err *begin(int fd, struct unpacker **ret)
{
	struct unpacker *u = calloc(1, sizeof *u);
	*ret = u;
	if (!u)
		return ph_err_nomem();
	u->fd = fd;
	struct ph_err *err = refill(u);
	if (err || !(u->format = find(u->in.p, u->in.n)))
		return err;
	u->state = u->format->start();
	return u->state ? NULL : ph_err_nomem();
}

static void finish(struct unpacker *u)
{
	if (u && u->state)
		u->format->end(u->state);
	free(u);
}

struct ph_err *ph_unpack_head(int fd, void *buf, size_t n, size_t *ret)
{
	struct unpacker *u;
	*ret = 0;
	struct ph_err *err = begin(fd, &u);
	if (!err && u->format)
		err = fill(u, buf, n, ret);
	finish(u);
	return err;
}

struct ph_err *ph_unpack(int fd, struct ph_spool *out, enum ph_unpack_fault *ret)
{
	struct unpacker *u = NULL;
	struct stat st;
	size_t n = OUT_BYTES;
	uint8_t *buf ph_cleanup_free = malloc(OUT_BYTES);
	struct ph_err *err = buf ? begin(fd, &u) : ph_err_nomem();
	*ret = PH_UNPACK_DAMAGED;
	ph_progress_begin(PH_PROGRESS_BYTES, fstat(fd, &st) || st.st_size < 0 ? 0 : (uint64_t)st.st_size);
	for (uint64_t at = 0; !err && u->format && n == OUT_BYTES; at = u->at) {
		err = fill(u, buf, OUT_BYTES, &n);
		ph_progress_count(u->at - at, n);
		if (!err)
			err = ph_spool_write(out, buf, n);
	}
	if (!err && u->format)
		*ret = u->fault;
	finish(u);
	return err ? err : ph_spool_finish(out);
}
