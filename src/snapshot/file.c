/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file: mapped, its table checked, its sections unpacked where they are compressed. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>
#include "file.h"

/* Unpacked, a file may have so many times its length, and this more. */
#define UNPACKED_TIMES 256
#define UNPACKED_MORE (16u << 20)
#define PIECE (16u << 20) /* between two looks at ph_interrupted */

struct ph_err *sn_damaged(const struct sn_file *f, const char *what)
{
	return ph_err_new(PH_ERR_USAGE, "%s is damaged: %s", f->name, what);
}

bool ph_snapshot_magic(const void *bytes, size_t n)
{
	return n >= 8 && !memcmp(bytes, SNAPSHOT_MAGIC, 8);
}

static struct ph_err *map_file(const char *path, struct sn_file *f)
{
	struct stat st;
	int fd ph_cleanup_close = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		return ph_err_errno(PH_ERR_USAGE, errno, "cannot read %s", f->name);
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size < sizeof(struct sn_head) + sizeof(struct sn_tail))
		return sn_damaged(f, "it is too short");
	void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return ph_err_errno(PH_ERR_USAGE, errno, "cannot read %s", f->name);
	f->map = map;
	f->size = (uint64_t)st.st_size;
	return NULL;
}

static uint64_t table_checksum(const void *table, size_t n, struct sn_tail tail)
{
	XXH3_state_t *state = XXH3_createState();
	uint64_t sum = 0;
	tail.checksum = 0;
	if (state) {
		XXH3_64bits_reset(state);
		XXH3_64bits_update(state, table, n);
		XXH3_64bits_update(state, &tail, sizeof tail);
		sum = XXH3_64bits_digest(state);
	}
	XXH3_freeState(state);
	return sum;
}

/* The table, and where it begins. */
static struct ph_err *read_table(struct sn_file *f, struct sn_row rows[SN_SECTIONS], uint64_t *ret_at)
{
	struct sn_head head;
	struct sn_tail tail;
	memcpy(&head, f->map, sizeof head);
	memcpy(&tail, f->map + f->size - sizeof tail, sizeof tail);
	if (!ph_snapshot_magic(head.magic, 8))
		return ph_err_new(PH_ERR_USAGE, "%s is not a snapshot", f->name);
	if (head.version != SNAPSHOT_VERSION)
		return ph_err_new(PH_ERR_USAGE, "%s is a snapshot of version %u; this pyheap reads version %u", f->name,
				  head.version, SNAPSHOT_VERSION);
	if (memcmp(tail.magic, SNAPSHOT_END, 8))
		return sn_damaged(f, "its end is missing");
	uint64_t n = tail.nsections * sizeof *rows;
	if ((tail.nsections != SN_SECTIONS && tail.nsections != SN_ALWAYS) || tail.version != SNAPSHOT_VERSION ||
	    f->size < sizeof head + n + sizeof tail)
		return sn_damaged(f, "its table of sections is not one");
	*ret_at = f->size - sizeof tail - n;
	memset(rows, 0, SN_SECTIONS * sizeof *rows);
	memcpy(rows, f->map + *ret_at, n);
	if (table_checksum(rows, n, tail) != tail.checksum)
		return sn_damaged(f, "the checksum of its table is wrong");
	if (tail.nobjects >= PH_GRAPH_MAX || tail.nedges > UINT64_MAX / 8)
		return sn_damaged(f, "it has too many objects");
	f->nobjects = tail.nobjects;
	f->nedges = tail.nedges;
	f->nsections = tail.nsections;
	return NULL;
}

/* Whether a section's frames fill its bytes, neither more nor less; false also after Ctrl-C. */
static bool decompress(ZSTD_DStream *zstd, ZSTD_inBuffer in, ZSTD_outBuffer out)
{
	const size_t all = out.size;
	size_t left = 0, had;
	do {
		had = in.pos + out.pos;
		out.size = all - out.pos < PIECE ? all : out.pos + PIECE;
		left = ZSTD_decompressStream(zstd, &out, &in);
		if (ZSTD_isError(left) || ph_interrupted)
			return false;
	} while ((left || in.pos < in.size) && in.pos + out.pos > had);
	return !left && in.pos == in.size && out.pos == all;
}

static struct ph_err *unpack(struct sn_file *f, const struct sn_row *row, struct sn_bytes *ret)
{
	void *bytes = ph_big_alloc(row->bytes);
	ZSTD_DStream *zstd = ZSTD_createDStream();
	ret->at = bytes;
	ret->bytes = row->bytes;
	ret->owned = bytes != NULL;
	bool ok = bytes && zstd && decompress(zstd, (ZSTD_inBuffer){ f->map + row->offset, row->stored, 0 },
					      (ZSTD_outBuffer){ bytes, row->bytes, 0 });
	bool memory = bytes && zstd;
	ZSTD_freeDStream(zstd);
	if (ok)
		return NULL;
	return !memory || ph_interrupted ? ph_err_stopped() : sn_damaged(f, "a section cannot be unpacked");
}

/* A section may have to be read from a disk that is slow. */
static struct ph_err *check_sum(const struct sn_file *f, const struct sn_row *row)
{
	XXH3_state_t *state = XXH3_createState();
	if (!state)
		return ph_err_nomem();
	XXH3_64bits_reset(state);
	for (uint64_t at = 0; at < row->stored && !ph_interrupted; at += PIECE) {
		uint64_t n = row->stored - at < PIECE ? row->stored - at : PIECE;
		XXH3_64bits_update(state, f->map + row->offset + at, n);
		ph_progress_add(n);
	}
	bool right = XXH3_64bits_digest(state) == row->checksum;
	XXH3_freeState(state);
	if (ph_interrupted)
		return ph_err_interrupted();
	return right ? NULL : sn_damaged(f, "a checksum is wrong");
}

static struct ph_err *read_section(struct sn_file *f, const struct sn_row *row, uint64_t end, unsigned element,
				   uint64_t *room, struct sn_bytes *ret)
{
	if (row->offset % 8 || row->offset > end || row->stored > end - row->offset || row->zstd > 1 ||
	    (!row->zstd && row->bytes != row->stored) || row->bytes % element)
		return sn_damaged(f, "a section is not where it should be");
	if (row->bytes > *room)
		return sn_damaged(f, "a section is larger than it can be");
	*room -= row->bytes;
	struct ph_err *err = check_sum(f, row);
	if (err)
		return err;
	ret->n = row->bytes / element;
	if (row->zstd)
		return unpack(f, row, ret);
	ret->at = f->map + row->offset;
	ret->bytes = row->bytes;
	return NULL;
}

struct ph_err *sn_file_open(const char *path, const char *name, struct sn_file *ret)
{
	static const unsigned elements[SN_SECTIONS] = {
#define X(id, size, part) size,
		SNAPSHOT_SECTIONS(X)
#undef X
	};
	struct sn_row rows[SN_SECTIONS];
	uint64_t end = 0;
	*ret = (struct sn_file){ .name = name };
	struct ph_err *err = map_file(path, ret);
	if (!err)
		err = read_table(ret, rows, &end);
	uint64_t room = ret->size * UNPACKED_TIMES + UNPACKED_MORE;
	ph_progress_begin(PH_PROGRESS_BYTES, ret->size);
	for (uint32_t i = 0; !err && i < ret->nsections; i++)
		err = read_section(ret, &rows[i], end, elements[i], &room, &ret->sections[i]);
	if (err)
		sn_file_close(ret);
	return err;
}

void sn_file_close(struct sn_file *f)
{
	for (int i = 0; i < SN_SECTIONS; i++)
		if (f->sections[i].owned)
			ph_big_free((void *)f->sections[i].at, f->sections[i].bytes);
	if (f->map)
		munmap((void *)f->map, f->size);
	*f = (struct sn_file){ 0 };
}
