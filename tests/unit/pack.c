/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <check.h>
#include <lz4frame.h>
#include <lzma.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>
#include "pack.h"

#define ROOM (1 << 16) /* more than what cannot be packed grows by */

const char *const pack_names[PACK_FORMATS] = { "gzip", "zstd", "lz4", "xz" };

static size_t pack_gzip(const void *bytes, size_t n, uint8_t *out, size_t room)
{
	z_stream z = { .next_in = (void *)bytes, .avail_in = (unsigned)n, .next_out = out, .avail_out = (unsigned)room };
	ck_assert_int_eq(deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
	ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return room - z.avail_out;
}

static size_t pack_zstd(const void *bytes, size_t n, uint8_t *out, size_t room)
{
	ZSTD_CCtx *c = ZSTD_createCCtx();
	ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
	size_t done = ZSTD_compress2(c, out, room, bytes, n);
	ck_assert(!ZSTD_isError(done));
	ZSTD_freeCCtx(c);
	return done;
}

static size_t pack_lz4(const void *bytes, size_t n, uint8_t *out, size_t room)
{
	LZ4F_preferences_t how = { .frameInfo = { .contentChecksumFlag = LZ4F_contentChecksumEnabled } };
	size_t done = LZ4F_compressFrame(out, room, bytes, n, &how);
	ck_assert(!LZ4F_isError(done));
	return done;
}

static size_t pack_xz(const void *bytes, size_t n, uint8_t *out, size_t room)
{
	size_t done = 0;
	ck_assert_int_eq(lzma_easy_buffer_encode(0, LZMA_CHECK_CRC64, NULL, bytes, n, out, &done, room), LZMA_OK);
	return done;
}

uint8_t *pack_bytes(unsigned format, const void *bytes, size_t n, size_t *ret_n)
{
	static size_t (*const packers[PACK_FORMATS])(const void *, size_t, uint8_t *, size_t) = { pack_gzip, pack_zstd,
												    pack_lz4, pack_xz };
	uint8_t *out = malloc(n + ROOM);
	ck_assert_ptr_nonnull(out);
	*ret_n = packers[format](bytes, n, out, n + ROOM);
	return out;
}
