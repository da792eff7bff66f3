/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_split.h: a file of NDJSON decided upon in pieces by several threads, each with a stateless session of its own. What goes
 * out is what one would have written.
 */
#ifndef FB_CLI_EVAL_SPLIT_H
#define FB_CLI_EVAL_SPLIT_H

#include "cli/cli.h"
#include "cli/progress.h"

#include <flyball/rules.h>

typedef struct fb_split_slot fb_split_slot;

typedef struct fb_split {
  fb_cli *cli;
  fb_team *team;
  fb_progress *progress;
  /* A decision's line but for its number and its end; a line of `log`, without its end. They run in the threads. */
  void (*decision)(fb_buf *out, bool json, const fb_decision *decision);
  void (*log)(fb_buf *out, bool json, const fb_decision *line);
  fb_stream_options stream;
  uint64_t records, bytes, firings; /* so far, of this and of all before */
  uint32_t record_errors;           /* of this file */
  uint64_t rule_errors;
  bool failed;  /* a condition or an action */
  bool refused; /* a record */
  fb_split_slot *slots;
  uint32_t slot_count;
} fb_split;

/* The fields above `records` are set. */
fb_status fb_split_init(fb_split *split, const fb_ruleset *rules, uint32_t threads,
                        const fb_session_options *session);
void fb_split_release(fb_split *split);
/* Is it a regular file, and NDJSON? */
bool fb_split_takes(int fd, fb_stream_format format);
/* Returns an fb_exit. */
int fb_split_file(fb_split *split, int fd, const char *name);
void fb_split_add_statistics(const fb_split *split, fb_session_stats *stats);
void fb_split_add_rule_statistics(const fb_split *split, size_t rule, fb_rule_stats *stats);

#endif
