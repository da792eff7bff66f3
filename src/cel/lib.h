/* SPDX-License-Identifier: Apache-2.0
 *
 * What the library's files share: their functions, results of bounded size, the price of a value, texts
 * of numbers and times. Helpers that may fail return NULL or false and leave the FB_ERROR value in
 * *ret_failure.
 */
#ifndef FB_CEL_LIB_H
#define FB_CEL_LIB_H

#include "cel/library.h"

/* Every function of library.def. Most need only some of the parameters. */
#define FB_LIB_FUNCTION(name) \
  fb_value name(fb_cel_context *context, const fb_value *args, uint32_t count)
#define FB_CEL_OVERLOAD(name, signature, function) FB_LIB_FUNCTION(function);
#include "cel/library.def"
#undef FB_CEL_OVERLOAD

fb_value fb_lib_nomem(fb_cel_context *context);
/* A text of exactly `size` bytes in the arena, NUL after it, paid for. */
char *fb_lib_text(fb_cel_context *context, uint64_t size, fb_value *ret_failure);
/* An empty list with room for `size` items, paid for. */
fb_list *fb_lib_list(fb_cel_context *context, uint64_t size, fb_value *ret_failure);
/* A copy of the bytes in the arena as a string. */
fb_value fb_lib_string(fb_cel_context *context, const char *bytes, size_t len);
/* A growing text whose bound is max_size; fb_lib_finish makes it a string and always releases it. */
void fb_lib_begin(fb_cel_context *context, fb_buf *buf);
fb_value fb_lib_finish(fb_cel_context *context, fb_buf *buf);

/* Pays for reading `len` bytes. */
static inline bool fb_lib_spend_bytes(fb_cel_context *context, uint64_t len) {
  return fb_cel_spend(context, 1 + len / 16);
}
/* Pays for reading the whole value, shared parts as often as they are reached: a small value that
 * unfolds to a huge one stops here, before it is compared, hashed or written. */
bool fb_lib_spend_value(fb_cel_context *context, fb_value value);

/* Decimal texts of doubles as Go writes them, shortest that read back: 'g' has an exponent below 1e-4
 * and from 1e6 on, 'f' never has one. Returns the length. */
enum { FB_LIB_DOUBLE_MAX = 352 };
size_t fb_lib_double_text(double d, char style, char out[FB_LIB_DOUBLE_MAX]);
/* "1.5s": seconds with as many decimals as needed. */
size_t fb_lib_duration_text(fb_value duration, char out[FB_TIME_TEXT_MAX]);
/* RFC 3339 in UTC, the fraction without trailing zeros. */
size_t fb_lib_timestamp_text(fb_value timestamp, char out[FB_TIME_TEXT_MAX]);

#endif
