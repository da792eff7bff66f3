/* SPDX-License-Identifier: Apache-2.0
 *
 * progress.h: one line on the terminal, rewritten in place, about input that is being read. Shown only where stderr is a
 * terminal that can rewrite a line, stdout is not one (data would run into it), and --json is not given.
 */
#ifndef FB_CLI_PROGRESS_H
#define FB_CLI_PROGRESS_H

#include "cli/cli.h"

typedef struct fb_progress {
  bool on;
  bool shown;          /* the line stands there now */
  uint64_t total;      /* bytes to come in all; 0: not known */
  int64_t start, next; /* mono nanoseconds */
} fb_progress;

/* `total`: see fb_progress_total. */
void fb_progress_begin(fb_progress *progress, const fb_cli *cli, uint64_t total);
/* To be called often: it looks at the clock, and writes five times a second. */
void fb_progress_show(fb_progress *progress, uint64_t bytes, uint64_t records);
/* Takes the line away: before anything else is written to stderr, and at the end. */
void fb_progress_hide(fb_progress *progress);
/* Bytes of the operands (none: of stdin) together; 0 unless all are regular files. */
uint64_t fb_progress_total(const fb_cli *cli);

#endif
