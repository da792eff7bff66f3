/* SPDX-License-Identifier: Apache-2.0
 *
 * What a policy of retries and a breaker would do to a service that has outages: a simulation in virtual time.
 */
#ifndef FB_CLI_GUARD_SIM_H
#define FB_CLI_GUARD_SIM_H

#include "mission/guard_doc.h"

typedef struct fb_sim_outage {
  int64_t from, to;
  double fail;     /* share of the calls that fail */
  int64_t latency; /* of calls in it */
  int code;        /* an HTTP status; what `on` looks at */
  int64_t after;   /* Retry-After; 0: none */
} fb_sim_outage;

typedef struct fb_sim_policy {
  fb_retry_doc *retry;              /* NULL: one attempt */
  const fb_breaker_config *breaker; /* nullable */
  int64_t every, length;            /* a call each `every`, for `length` */
  int64_t latency, timeout;         /* of the service; of an attempt (0: none) */
  const fb_sim_outage *outages;
  size_t outage_count;
  uint64_t seed;
  uint32_t rows;
} fb_sim_policy;

/* What happened in a stretch of time. */
typedef struct fb_sim_row {
  int64_t from;
  uint64_t calls, ok, failed; /* by when the call was made, by when it ended */
  uint64_t attempts;          /* that reached the service */
  uint64_t refused;           /* by the breaker */
  fb_breaker_state state;     /* at its end; 0: no breaker */
} fb_sim_row;

typedef struct fb_sim_result {
  fb_sim_row *rows, total;
  uint32_t row_count;
  uint64_t opened; /* times that the breaker opened */
  int64_t median,
      high; /* of how long calls took that went well; the high one is the 99th percentile */
  int64_t
      recovered; /* from the end of the last outage to the first call that went well; -1: none did */
} fb_sim_result;

/* rows and samples live in the arena. */
fb_status fb_sim_run(const fb_sim_policy *policy, fb_arena *arena, fb_sim_result *ret_result,
                     fb_error *err);

#endif
