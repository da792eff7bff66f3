/* SPDX-License-Identifier: Apache-2.0
 *
 * Regular expressions: RE2's language matched by PCRE2. Patterns are kept compiled in a bounded cache
 * that belongs to an evaluation context. No match can run away: its work is metered and paid from the
 * step budget, and what cannot be paid ends with "regex too costly".
 */
#ifndef FB_CEL_REGEX_H
#define FB_CEL_REGEX_H

#include "cel/library.h"

typedef struct fb_regex fb_regex;

enum { FB_REGEX_GROUPS = 10 }; /* the whole match and \1 to \9: more groups are not told */

/* The compiled pattern, from context->regexes (made when it is not there yet). Good until the next call with
 * this context. NULL: *ret_failure. */
fb_regex *fb_regex_get(fb_cel_context *context, fb_slice pattern, fb_value *ret_failure);
/* Number of capture groups. */
uint32_t fb_regex_groups(const fb_regex *regex);
/* Looks for the first match at or after byte `start`. 1: found, its begins and ends are in `ends` (two a
 * group, SIZE_MAX if the group took no part); 0: none; -1: *ret_failure. The subject's UTF-8 is
 * checked when start is 0 only. */
int fb_regex_match(fb_cel_context *context, fb_regex *regex, fb_slice subject, size_t start,
                   size_t ends[2 * FB_REGEX_GROUPS], fb_value *ret_failure);

/* Of context->regexes. Accepts NULL. */
void fb_regex_cache_free(struct fb_regex_cache *cache);

typedef struct fb_regex_syntax {
  const char *error; /* what is wrong … */
  size_t at;         /* … and at which byte; else its end */
  bool folds;        /* somewhere the case is ignored */
  uint32_t ranges;   /* of characters that end beyond ASCII */
} fb_regex_syntax;

/* Translates RE2 syntax to PCRE2's. False: ret_syntax->error tells why not. */
bool fb_regex_translate(fb_slice pattern, fb_buf *out, fb_regex_syntax *ret_syntax);

#endif
