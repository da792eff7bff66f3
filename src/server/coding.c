/* SPDX-License-Identifier: Apache-2.0 */
#include "server/coding.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <strings.h>
#include <zlib.h>
#include <zstd.h>

enum {
  WINDOW_LOG = 23 /* 8 MiB: what zstd may ask for to read a stream */,
  PIECE = 32 << 10,
  GZIP_BITS = 15 + 16,
  LEVEL_GZIP = 5,
  LEVEL_ZSTD = 3
};

/* ── The libraries ── */

#define S_GZIP(X)  \
  X(inflateInit2_) \
  X(inflate)       \
  X(inflateReset)  \
  X(inflateEnd)    \
  X(deflateInit2_) \
  X(deflate)       \
  X(deflateEnd)

#define S_ZSTD(X)           \
  X(ZSTD_createDCtx)        \
  X(ZSTD_freeDCtx)          \
  X(ZSTD_DCtx_setParameter) \
  X(ZSTD_decompressStream)  \
  X(ZSTD_createCCtx)        \
  X(ZSTD_freeCCtx)          \
  X(ZSTD_CCtx_setParameter) \
  X(ZSTD_compressStream2)   \
  X(ZSTD_isError)

static struct {
#define S_POINTER(name) __typeof__(&name) name;
  S_GZIP(S_POINTER)
  S_ZSTD(S_POINTER)
#undef S_POINTER
  bool gzip, zstd;
} S_lib;

static pthread_once_t S_once = PTHREAD_ONCE_INIT;

/* A pointer to a function out of one to an object: POSIX says that they are alike, C does not. */
static bool S_find(void *library, const char *name, void *ret_function) {
  void *symbol = library ? dlsym(library, name) : NULL;
  memcpy(ret_function, &symbol, sizeof symbol);
  return symbol != NULL;
}

static void S_load(void) {
  void *gzip = dlopen("libz.so.1", RTLD_NOW | RTLD_LOCAL);
  void *zstd = dlopen("libzstd.so.1", RTLD_NOW | RTLD_LOCAL);
  S_lib.gzip = S_lib.zstd = true;
#define S_TAKE(name) S_lib.gzip = S_find(gzip, #name, &S_lib.name) && S_lib.gzip;
  S_GZIP(S_TAKE)
#undef S_TAKE
#define S_TAKE(name) S_lib.zstd = S_find(zstd, #name, &S_lib.name) && S_lib.zstd;
  S_ZSTD(S_TAKE)
#undef S_TAKE
}

static bool S_has(fb_coding coding) {
  pthread_once(&S_once, S_load);
  return coding == FB_CODING_GZIP ? S_lib.gzip : S_lib.zstd;
}

/* ── Names ── */

static bool S_is(const char *text, size_t length, const char *name) {
  return length == strlen(name) && !strncasecmp(text, name, length);
}

static fb_coding S_named(const char *text, size_t length) {
  fb_coding coding = S_is(text, length, "gzip") || S_is(text, length, "x-gzip") ? FB_CODING_GZIP
                     : S_is(text, length, "zstd")                               ? FB_CODING_ZSTD
                     : S_is(text, length, "identity")                           ? FB_CODING_NONE
                                                                                : FB_CODING_UNKNOWN;
  bool known = coding == FB_CODING_GZIP || coding == FB_CODING_ZSTD;
  return known && !S_has(coding) ? FB_CODING_UNKNOWN : coding;
}

fb_coding fb_coding_of(const char *header) {
  if (!header) return FB_CODING_NONE;
  header += strspn(header, " \t");
  size_t length = strcspn(header, " \t");
  if (header[length + strspn(header + length, " \t")]) return FB_CODING_UNKNOWN; /* several */
  return length ? S_named(header, length) : FB_CODING_NONE;
}

/* "q=0", "q=0.0": not at all. */
static bool S_refused(const char *rest, size_t length) {
  for (size_t i = 0; i + 2 < length; i++)
    if ((rest[i] == 'q' || rest[i] == 'Q') && rest[i + 1] == '=')
      return strtod(rest + i + 2, NULL) <= 0;
  return false;
}

fb_coding fb_coding_choose(const char *header) {
  fb_coding best = FB_CODING_NONE;
  while (header && *header) {
    header += strspn(header, ", \t");
    size_t item = strcspn(header, ","), length = strcspn(header, ",; \t");
    fb_coding coding = length ? S_named(header, length) : FB_CODING_NONE;
    if (coding != FB_CODING_UNKNOWN && coding > best && !S_refused(header + length, item - length))
      best = coding;
    header += item;
  }
  return best;
}

const char *fb_coding_name(fb_coding coding) {
  return coding == FB_CODING_GZIP ? "gzip" : coding == FB_CODING_ZSTD ? "zstd" : NULL;
}

/* ── Coders ── */

struct fb_coder {
  fb_coding coding;
  bool compresses, ended, begun;
  z_stream gzip;
  ZSTD_DCtx *reader;
  ZSTD_CCtx *writer;
  uint64_t in, out;
};

static bool S_open_gzip(fb_coder *coder) {
  int done =
      coder->compresses
          ? S_lib.deflateInit2_(&coder->gzip, LEVEL_GZIP, Z_DEFLATED, GZIP_BITS, 8,
                                Z_DEFAULT_STRATEGY, ZLIB_VERSION, (int)sizeof coder->gzip)
          : S_lib.inflateInit2_(&coder->gzip, GZIP_BITS, ZLIB_VERSION, (int)sizeof coder->gzip);
  return done == Z_OK;
}

static bool S_open_zstd(fb_coder *coder) {
  if (coder->compresses) {
    coder->writer = S_lib.ZSTD_createCCtx();
    return coder->writer && !S_lib.ZSTD_isError(S_lib.ZSTD_CCtx_setParameter(
                                coder->writer, ZSTD_c_compressionLevel, LEVEL_ZSTD));
  }
  coder->reader = S_lib.ZSTD_createDCtx();
  return coder->reader && !S_lib.ZSTD_isError(S_lib.ZSTD_DCtx_setParameter(
                              coder->reader, ZSTD_d_windowLogMax, WINDOW_LOG));
}

fb_coder *fb_coder_new(fb_coding coding, bool compresses) {
  fb_coder *coder = calloc(1, sizeof *coder);
  if (!coder) return NULL;
  coder->coding = coding;
  coder->compresses = compresses;
  if (S_has(coding) && (coding == FB_CODING_GZIP ? S_open_gzip(coder) : S_open_zstd(coder)))
    return coder;
  fb_coder_free(coder);
  return NULL;
}

void fb_coder_free(fb_coder *coder) {
  if (!coder) return;
  if (coder->coding == FB_CODING_GZIP && coder->gzip.state) {
    if (coder->compresses)
      S_lib.deflateEnd(&coder->gzip);
    else
      S_lib.inflateEnd(&coder->gzip);
  }
  if (coder->reader) S_lib.ZSTD_freeDCtx(coder->reader);
  if (coder->writer) S_lib.ZSTD_freeCCtx(coder->writer);
  free(coder);
}

/* One step: from *in into `out`. Sets `ended` at the end of a member or frame. False: it is broken. */
static bool S_inflate(fb_coder *coder, fb_slice *in, char *out, size_t *size) {
  z_stream *gzip = &coder->gzip;
  if (coder->ended && S_lib.inflateReset(gzip) != Z_OK) return false; /* another member */
  gzip->next_in = (Bytef *)(uintptr_t)in->ptr;
  gzip->avail_in = (uInt)in->len;
  gzip->next_out = (Bytef *)out;
  gzip->avail_out = (uInt)*size;
  int done = S_lib.inflate(gzip, Z_NO_FLUSH);
  coder->ended = done == Z_STREAM_END;
  *in = (fb_slice){(const char *)gzip->next_in, gzip->avail_in};
  *size -= gzip->avail_out;
  return done == Z_OK || done == Z_STREAM_END || (done == Z_BUF_ERROR && !in->len);
}

static bool S_unzstd(fb_coder *coder, fb_slice *in, void *out, size_t *size) {
  ZSTD_inBuffer from = {in->ptr, in->len, 0};
  ZSTD_outBuffer to = {out, *size, 0};
  size_t left = S_lib.ZSTD_decompressStream(coder->reader, &to, &from);
  coder->ended = left == 0;
  *in = (fb_slice){in->ptr + from.pos, in->len - from.pos};
  *size = to.pos;
  return !S_lib.ZSTD_isError(left);
}

fb_status fb_coder_expand(fb_coder *coder, const char *bytes, size_t size,
                          fb_status (*put)(void *user, const char *bytes, size_t size),
                          void *user) {
  char out[PIECE];
  fb_slice in = {bytes, size};
  coder->in += size;
  for (bool full = false; in.len || full;) {
    size_t came = sizeof out;
    bool good = coder->coding == FB_CODING_GZIP ? S_inflate(coder, &in, out, &came)
                                                : S_unzstd(coder, &in, out, &came);
    if (!good) return FB_E_SERVER_REQUEST;
    coder->out += came;
    if (coder->out > FB_CODER_FREE && coder->out / FB_CODER_RATIO > coder->in) return FB_E_LIMIT;
    fb_status status = came ? put(user, out, came) : FB_OK;
    if (status != FB_OK) return status;
    full = came == sizeof out && !coder->ended;
    if (!came && in.len == 0) break;
  }
  return FB_OK;
}

bool fb_coder_ended(const fb_coder *coder) {
  return coder->ended || !coder->in;
}

static size_t S_deflate(fb_coder *coder, fb_slice *in, bool last, char *out, size_t max,
                        bool *ret_done) {
  z_stream *gzip = &coder->gzip;
  gzip->next_in = (Bytef *)(uintptr_t)in->ptr;
  gzip->avail_in = (uInt)in->len;
  gzip->next_out = (Bytef *)out;
  gzip->avail_out = (uInt)max;
  int done = S_lib.deflate(gzip, last ? Z_FINISH : Z_NO_FLUSH);
  if (done != Z_OK && done != Z_STREAM_END && done != Z_BUF_ERROR) return SIZE_MAX;
  *in = (fb_slice){(const char *)gzip->next_in, gzip->avail_in};
  *ret_done = done == Z_STREAM_END;
  return max - gzip->avail_out;
}

size_t fb_coder_shrink(fb_coder *coder, fb_slice *in, bool last, char *out, size_t max,
                       bool *ret_done) {
  if (coder->coding == FB_CODING_GZIP) return S_deflate(coder, in, last, out, max, ret_done);
  ZSTD_inBuffer from = {in->ptr, in->len, 0};
  ZSTD_outBuffer to = {out, max, 0};
  size_t left =
      S_lib.ZSTD_compressStream2(coder->writer, &to, &from, last ? ZSTD_e_end : ZSTD_e_continue);
  if (S_lib.ZSTD_isError(left)) return SIZE_MAX;
  *in = (fb_slice){in->ptr + from.pos, in->len - from.pos};
  *ret_done = last && left == 0;
  return to.pos;
}
