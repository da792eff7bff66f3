/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FB_PROOF_WORDS_H
#define FB_PROOF_WORDS_H

#include <flyball/proof.h>

typedef struct fb_words {
  const char *const *items; /* NULL at the end; in the arena */
  size_t count;
  bool needs_shell; /* it has pipes, variables, patterns, … outside quotes */
} fb_words;

/* FB_E_BENCH_COMMAND: empty, or a quote is not closed. */
fb_status fb_words_split(const char *text, fb_arena *arena, fb_words *ret, fb_error *err);

#endif
