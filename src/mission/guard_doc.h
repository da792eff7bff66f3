/* SPDX-License-Identifier: Apache-2.0
 *
 * Policies of the guard wing as they stand in documents: `retry`, `breakers`, `limits`.
 */
#ifndef FB_MISSION_GUARD_DOC_H
#define FB_MISSION_GUARD_DOC_H

#include <flyball/data.h>
#include <flyball/guard.h>

/* Why an attempt failed: what `on` can name. */
typedef enum fb_failure {
  FB_FAILURE_OTHER, /* a value that does not fit, no memory */
  FB_FAILURE_EXIT,  /* code: the exit code */
  FB_FAILURE_SIGNAL,
  FB_FAILURE_SPAWN,
  FB_FAILURE_PARSE,
  FB_FAILURE_TIMEOUT,
  FB_FAILURE_NETWORK,
  FB_FAILURE_STATUS, /* code: the HTTP status */
  FB_FAILURE_BREAKER,
  FB_FAILURE_LIMIT,
  FB_FAILURE_COUNT
} fb_failure;

static inline int64_t fb_failure_code(fb_failure failure, int code) {
  return (int64_t)failure << 32 | (uint32_t)code;
}

typedef struct fb_code_range {
  int first, last;
} fb_code_range;

/* `policy.retryable` reads the others; its context is the fb_retry_doc, so it stays where it is. */
typedef struct fb_retry_doc {
  fb_retry_policy policy;
  uint32_t kinds; /* bits of fb_failure */
  fb_code_range *ranges;
  uint32_t range_count;
  const fb_node *budget; /* its name; NULL: none */
} fb_retry_doc;

typedef struct fb_limit_doc {
  uint32_t tokens, burst; /* tokens 0: no rate */
  int64_t per;
  fb_bulkhead_config bulkhead; /* limit 0: none */
  int64_t queue_time;          /* 0: no bound */
} fb_limit_doc;

/* What is read, where problems go, what holds the lists. */
typedef struct fb_guard_reader {
  const fb_doc *doc;
  fb_errors *errors;
  fb_arena *arena;
  bool out_of_memory;
} fb_guard_reader;

/* A number (attempts) or a map. `http`: what is tried again if `on` does not say. */
void fb_guard_read_retry(fb_guard_reader *reader, const fb_node *node, bool http,
                         fb_retry_doc *ret_retry);
void fb_guard_read_breaker(fb_guard_reader *reader, const fb_node *node,
                           fb_breaker_config *ret_config);
/* {retries, ratio}: so many at first, and so much of one for each call that goes well. */
void fb_guard_read_budget(fb_guard_reader *reader, const fb_node *node, uint32_t *ret_retries,
                          double *ret_ratio);
void fb_guard_read_limit(fb_guard_reader *reader, const fb_node *node, fb_limit_doc *ret_limit);
/* Codes and ranges of codes, one or a list: HTTP statuses. */
void fb_guard_read_codes(fb_guard_reader *reader, const fb_node *node, fb_code_range **ret_ranges,
                         uint32_t *ret_count);
/* "50%" → 0.5; -1: something else. */
double fb_guard_percent(fb_slice text);
/* ns above zero; 0 after a report, or when node is NULL. */
int64_t fb_guard_read_duration(fb_guard_reader *reader, const fb_node *node);

#endif
