/* SPDX-License-Identifier: Apache-2.0
 *
 * Bodies that are compressed: gzip (zlib) and zstd. Both libraries are loaded when the first such body comes or is asked for; where one
 * is not installed its coding is as unknown as any other.
 */
#ifndef FB_SERVER_CODING_H
#define FB_SERVER_CODING_H

#include <flyball/data.h>

typedef enum fb_coding {
  FB_CODING_NONE,
  FB_CODING_GZIP,
  FB_CODING_ZSTD,
  FB_CODING_UNKNOWN
} fb_coding;

/* Of a Content-Encoding; NULL: none. */
fb_coding fb_coding_of(const char *header);
/* The one to answer with: what Accept-Encoding admits, zstd before gzip. */
fb_coding fb_coding_choose(const char *header);
/* "gzip", "zstd", to send; NULL: none. */
const char *fb_coding_name(fb_coding coding);

/* Compresses or decompresses a stream, in pieces. */
typedef struct fb_coder fb_coder;
/* NULL: no memory. */
fb_coder *fb_coder_new(fb_coding coding, bool compresses);
void fb_coder_free(fb_coder *coder);

enum { FB_CODER_RATIO = 1000, FB_CODER_FREE = 1 << 20 };

/* Decompresses: gives what comes of it to `put`, whose failure ends it. FB_E_SERVER_REQUEST: it is not compressed so, or goes on after its
 * end; FB_E_LIMIT: it has become more than FB_CODER_RATIO times as long as it is, and more than FB_CODER_FREE. */
fb_status fb_coder_expand(fb_coder *coder, const char *bytes, size_t size,
                          fb_status (*put)(void *user, const char *bytes, size_t size), void *user);
/* Whether what was compressed is there to its end. */
bool fb_coder_ended(const fb_coder *coder);
/* Compresses from *in (moved on) into at most `max` bytes. `last`: nothing follows what is in *in. *ret_done: all is out. Returns how many
 * bytes came out; SIZE_MAX: it failed. */
size_t fb_coder_shrink(fb_coder *coder, fb_slice *in, bool last, char *out, size_t max,
                       bool *ret_done);

#endif
