/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writing: one section after the other, each in pieces, then the table. */
#include <xxhash.h>
#include <zstd.h>
#include "write.h"

#define PIECE 65536 /* bytes */

static struct ph_err *put(struct writer *w, const void *bytes, size_t n)
{
	if (ph_interrupted)
		return ph_err_interrupted();
	if (n && !w->opt->put(w->opt->put_ctx, bytes, n))
		return ph_err_new(PH_ERR_USAGE, "the snapshot could not be written");
	w->offset += n;
	return NULL;
}

/* ---- sections -------------------------------------------------------------------------- */

static struct ph_err *put_stored(struct writer *w, const void *bytes, size_t n)
{
	XXH3_64bits_update(w->hash, bytes, n);
	w->rows[w->section].stored += n;
	return put(w, bytes, n);
}

static struct ph_err *compress(struct writer *w, const void *bytes, size_t n, ZSTD_EndDirective how)
{
	ZSTD_inBuffer in = { bytes, n, 0 };
	size_t left = 1;
	while (left || in.pos < in.size) {
		ZSTD_outBuffer out = { w->packed, w->packed_size, 0 };
		left = ZSTD_compressStream2(w->zstd, &out, &in, how);
		if (ZSTD_isError(left))
			return ph_err_new(PH_ERR_USAGE, "zstd: %s", ZSTD_getErrorName(left));
		struct ph_err *err = put_stored(w, w->packed, out.pos);
		if (err)
			return err;
		if (how == ZSTD_e_continue && in.pos == in.size)
			break;
	}
	return NULL;
}

static struct ph_err *flush(struct writer *w)
{
	size_t n = w->piece.n;
	w->piece.n = 0;
	ph_progress_add(n);
	return w->zstd ? compress(w, w->piece.items, n, ZSTD_e_continue) : put_stored(w, w->piece.items, n);
}

struct ph_err *sn_add(struct writer *w, const void *bytes, size_t n)
{
	struct ph_err *err = NULL;
	w->rows[w->section].bytes += n;
	for (const char *p = bytes; !err && n;) {
		size_t some = PIECE - w->piece.n < n ? PIECE - w->piece.n : n;
		memcpy(w->piece.items + w->piece.n, p, some);
		w->piece.n += some;
		p += some;
		n -= some;
		if (w->piece.n == PIECE)
			err = flush(w);
	}
	return err;
}

void sn_begin(struct writer *w, enum sn_section section)
{
	w->section = section;
	w->rows[section] = (struct sn_row){ .offset = w->offset, .zstd = w->zstd != NULL };
	XXH3_64bits_reset(w->hash);
}

struct ph_err *sn_end(struct writer *w)
{
	static const char zeroes[8];
	struct ph_err *err = flush(w);
	if (!err && w->zstd)
		err = compress(w, NULL, 0, ZSTD_e_end);
	w->rows[w->section].checksum = XXH3_64bits_digest(w->hash);
	return err ? err : put(w, zeroes, -w->offset & 7);
}

struct ph_err *sn_put(struct writer *w, enum sn_section section, const void *bytes, size_t n)
{
	sn_begin(w, section);
	struct ph_err *err = sn_add(w, bytes, n);
	return err ? err : sn_end(w);
}

/* ---- strings ----------------------------------------------------------------------------- */

/* Two strings of one hash are two strings all the same. */
bool sn_string(struct writer *w, const char *text, uint32_t *ret)
{
	size_t n = strlen(text);
	uint32_t *at = n ? ph_map_at(&w->by_text, XXH3_64bits(text, n), n) : NULL;
	*ret = 0;
	if (!n)
		return true;
	if (at && *at && !strcmp(w->strings.items + *at, text)) {
		*ret = *at;
		return true;
	}
	if (!at || w->strings.n > UINT32_MAX - n - 1 || !PH_VEC_RESERVE(&w->strings, n + 1))
		return false;
	*ret = (uint32_t)w->strings.n;
	memcpy(w->strings.items + w->strings.n, text, n + 1);
	w->strings.n += n + 1;
	if (!*at)
		*at = *ret;
	return true;
}

/* ---- objects ------------------------------------------------------------------------------- */

struct blocks PH_VEC(struct sn_block);

static struct ph_err *add_addresses(struct writer *w, struct blocks *blocks)
{
	const struct ph_graph *g = w->g;
	struct ph_err *err = NULL;
	sn_begin(w, SN_ADDRESSES);
	for (uint32_t i = 1; !err && i < g->n; i++) {
		const struct sn_block *b = blocks->n ? &blocks->items[blocks->n - 1] : NULL;
		if (!b || i - b->first >= SN_BLOCK || (g->address[i] - b->address) / 8 > UINT32_MAX) {
			if (!PH_VEC_PUSH(blocks, (struct sn_block){ g->address[i], i, 0 }))
				return ph_err_nomem();
			b = &blocks->items[blocks->n - 1];
		}
		uint32_t delta = (uint32_t)((g->address[i] - b->address) / 8);
		err = sn_add(w, &delta, sizeof delta);
	}
	return err ? err : sn_end(w);
}

/* Type and sizes together: there are few. */
static struct ph_err *add_shapes(struct writer *w)
{
	const struct ph_graph *g = w->g;
	struct PH_VEC(struct sn_shape) shapes = { 0 };
	struct ph_map map = { 0 };
	struct ph_err *err = NULL;
	sn_begin(w, SN_SHAPES);
	for (uint32_t i = 1; !err && i < g->n; i++) {
		struct sn_shape s = { ph_graph_shallow(g, i), ph_graph_uncounted(g, i), g->type[i], 0 };
		/* sizes beyond these bits share a slot, and are told apart below */
		uint32_t *at = ph_map_at(&map, (uint64_t)s.type << 32 | (uint32_t)s.uncounted, s.shallow);
		if (at && (!*at || shapes.items[*at - 1].uncounted != s.uncounted)) {
			at = PH_VEC_PUSH(&shapes, s) ? at : NULL;
			if (at)
				*at = (uint32_t)shapes.n;
		}
		uint32_t number = at ? *at - 1 : 0;
		err = at ? sn_add(w, &number, sizeof number) : ph_err_nomem();
	}
	if (!err)
		err = sn_end(w);
	if (!err)
		err = sn_put(w, SN_SHAPE_TABLE, shapes.items, shapes.n * sizeof *shapes.items);
	ph_map_free(&map);
	ph_vec_free(&shapes);
	return err;
}

static struct ph_err *add_objects(struct writer *w)
{
	const struct ph_graph *g = w->g;
	struct blocks blocks = { 0 };
	struct ph_err *err = add_addresses(w, &blocks);
	if (!err)
		err = sn_put(w, SN_BLOCKS, blocks.items, blocks.n * sizeof *blocks.items);
	ph_vec_free(&blocks);
	if (!err)
		err = add_shapes(w);
	if (!err)
		err = sn_put(w, SN_COUNTS, g->refcount + 1, (g->n - 1ull) * sizeof *g->refcount);
	if (!err)
		err = sn_put(w, SN_FLAGS, g->flags + 1, g->n - 1ull);
	sn_begin(w, SN_DEGREES);
	for (uint32_t i = 1; !err && i < g->n; i++) {
		uint32_t degree = (uint32_t)(g->edge_start[i + 1] - g->edge_start[i]);
		err = sn_add(w, &degree, sizeof degree);
	}
	if (!err)
		err = sn_end(w);
	return err ? err : sn_put(w, SN_EDGES, g->edges, g->nedges * sizeof *g->edges);
}

/* ---- what has names --------------------------------------------------------------------------- */

static struct ph_err *add_types(struct writer *w)
{
	struct ph_err *err = NULL;
	sn_begin(w, SN_TYPES);
	for (uint32_t i = 0; !err && i < w->g->ntypes; i++) {
		const struct ph_graph_type *t = &w->g->types[i];
		struct sn_type row = { .address = t->address, .node = t->node, .cls = t->cls, .form = t->form,
				       .bits = (uint8_t)((t->weakrefable ? SN_TYPE_WEAKREFABLE : 0) |
							 (t->heap ? SN_TYPE_HEAP : 0) | (t->whole ? SN_TYPE_WHOLE : 0) |
							 (t->collected ? SN_TYPE_COLLECTED : 0) |
							 (t->let_go ? SN_TYPE_LET_GO : 0)) };
		err = sn_string(w, t->name, &row.name) ? sn_add(w, &row, sizeof row) : ph_err_nomem();
	}
	return err ? err : sn_end(w);
}

static struct ph_err *add_roots(struct writer *w)
{
	const struct ph_graph *g = w->g;
	struct ph_err *err = NULL;
	sn_begin(w, SN_ROOTS);
	for (uint32_t i = 0; !err && i < g->nroots; i++) {
		const struct ph_graph_root *r = &g->roots[i];
		struct sn_root row = { .node = r->node, .frame = r->frame, .kind = r->kind, .borrowed = r->borrowed };
		err = sn_string(w, r->name, &row.name) ? sn_add(w, &row, sizeof row) : ph_err_nomem();
	}
	if (!err)
		err = sn_end(w);
	sn_begin(w, SN_FRAMES);
	for (uint32_t i = 0; !err && i < g->nframes; i++) {
		const struct ph_graph_frame *f = &g->frames[i];
		struct sn_frame row = { .line = f->line, .code = f->code, .object = f->object };
		err = sn_string(w, f->function, &row.function) && sn_string(w, f->file, &row.file)
			      ? sn_add(w, &row, sizeof row) : ph_err_nomem();
	}
	if (!err)
		err = sn_end(w);
	sn_begin(w, SN_THREADS);
	for (uint32_t i = 0; !err && i < g->nthreads; i++) {
		const struct ph_graph_thread *t = &g->threads[i];
		struct sn_thread row = { t->id, t->native_id, t->interp, t->frames, t->nframes, t->holds_gil, 0, 0 };
		const char *name = t->name && !w->opt->hide ? t->name : "";
		err = sn_string(w, name, &row.name) ? sn_add(w, &row, sizeof row) : ph_err_nomem();
	}
	return err ? err : sn_end(w);
}

static struct ph_err *add_others(struct writer *w)
{
	const struct ph_snapshot_options *o = w->opt;
	const struct ph_graph *g = w->g;
	struct ph_err *err = sn_put(w, SN_META, o->meta, strlen(o->meta) + 1);
	sn_begin(w, SN_WEAK);
	for (uint32_t i = 0; !err && i < g->nweak; i++)
		err = sn_add(w, &(struct sn_pair){ g->weak[i].to, g->weak[i].from }, sizeof(struct sn_pair));
	if (!err)
		err = sn_end(w);
	sn_begin(w, SN_HOLDERS);
	for (size_t i = 0; !err && i < o->nholders; i++) {
		struct sn_pair row = { o->holders[i].node, 0 };
		err = sn_string(w, o->holders[i].name, &row.b) ? sn_add(w, &row, sizeof row) : ph_err_nomem();
	}
	return err ? err : sn_end(w);
}

/* Whose each object is. */
static struct ph_err *add_interps(struct writer *w)
{
	const struct ph_graph *g = w->g;
	struct ph_err *err = NULL;
	sn_begin(w, SN_INTERPRETERS);
	for (uint32_t i = 0; !err && i < g->ninterps; i++)
		err = sn_add(w, &(struct sn_interp){ g->interps[i].id }, sizeof(struct sn_interp));
	if (!err)
		err = sn_end(w);
	return err ? err : sn_put(w, SN_OWNERS, g->interp_ + 1, (g->n - 1ull) * sizeof *g->interp_);
}

/* ---- all together ------------------------------------------------------------------------------- */

static struct ph_err *add_table(struct writer *w)
{
	uint64_t n = w->nsections * sizeof *w->rows;
	struct sn_tail tail = { .nobjects = w->g->n - 1, .nedges = w->g->nedges, .nsections = w->nsections,
				.version = SNAPSHOT_VERSION, .magic = SNAPSHOT_END };
	XXH3_64bits_reset(w->hash);
	XXH3_64bits_update(w->hash, w->rows, n);
	XXH3_64bits_update(w->hash, &tail, sizeof tail);
	tail.checksum = XXH3_64bits_digest(w->hash);
	struct ph_err *err = put(w, w->rows, n);
	return err ? err : put(w, &tail, sizeof tail);
}

static void sum_up(const struct writer *w, struct ph_snapshot_stats *ret)
{
	static const uint8_t parts[SN_SECTIONS] = {
#define X(name, size, part) SN_PART_##part,
		SNAPSHOT_SECTIONS(X)
#undef X
	};
	*ret = (struct ph_snapshot_stats){ .bytes = w->offset };
	for (int i = 0; i < SN_SECTIONS; i++) {
		ret->objects += parts[i] == SN_PART_OBJECTS ? w->rows[i].bytes : 0;
		ret->edges += parts[i] == SN_PART_EDGES ? w->rows[i].bytes : 0;
		ret->labels += parts[i] == SN_PART_LABELS ? w->rows[i].bytes : 0;
	}
}

/* Of each object its address, shape, count, flags, degree and labels; the rest is little. */
#define OBJECT_BYTES 21u

static struct ph_err *write_all(struct writer *w)
{
	ph_progress_begin(PH_PROGRESS_BYTES, OBJECT_BYTES * (w->g->n - 1ull) + w->g->nedges * sizeof *w->g->edges);
	const struct sn_head head = { .magic = SNAPSHOT_MAGIC, .version = SNAPSHOT_VERSION };
	struct ph_err *err = put(w, &head, sizeof head);
	if (!err)
		err = add_objects(w);
	if (!err)
		err = add_types(w);
	if (!err)
		err = add_roots(w);
	if (!err)
		err = add_others(w);
	if (!err && w->nsections > SN_ALWAYS)
		err = add_interps(w);
	if (!err)
		err = sn_add_labels(w);
	/* last, as all of these have strings */
	if (!err)
		err = sn_put(w, SN_STRINGS, w->strings.items, w->strings.n);
	return err ? err : add_table(w);
}

struct ph_err *ph_snapshot_write(const struct ph_graph *g, const struct ph_snapshot_options *options,
				 struct ph_snapshot_stats *ret)
{
	struct writer w = { .g = g, .opt = options, .hash = XXH3_createState(), .packed_size = ZSTD_CStreamOutSize(),
			    .nsections = g->interps ? SN_SECTIONS : SN_ALWAYS };
	if (options->compress) {
		w.zstd = ZSTD_createCCtx();
		w.packed = malloc(w.packed_size);
	}
	bool ok = w.hash && PH_VEC_RESERVE(&w.piece, PIECE) && PH_VEC_PUSH(&w.strings, '\0') &&
		  (!options->compress || (w.zstd && w.packed));
	struct ph_err *err = ok ? write_all(&w) : ph_err_nomem();
	if (!err)
		sum_up(&w, ret);
	XXH3_freeState(w.hash);
	ZSTD_freeCCtx(w.zstd);
	free(w.packed);
	ph_vec_free(&w.piece);
	ph_vec_free(&w.strings);
	ph_map_free(&w.by_text);
	return err;
}
