/* SPDX-License-Identifier: Apache-2.0
 * Aggregates in a session: groups, and what the folds keep of them. See aggregate.h. */
#ifndef FB_RULES_GROUP_H
#define FB_RULES_GROUP_H

#include "rules/aggregate.h"
#include "rules/exact.h"
#include "rules/multiset.h"
#include "rules/session.h"

/* Sums of numbers or of durations. */
typedef struct fb_sum {
  __int128 whole;   /* of integers; of durations, in nanoseconds */
  fb_exact decimal; /* of doubles */
  fb_exact squares; /* of STDDEV: of all numbers */
  uint64_t ints, uints, doubles, durations;
} fb_sum;

/* What a fold keeps of a group's values. */
typedef struct fb_fold_state {
  uint64_t count;                               /* values that count */
  uint64_t others;                              /* values that the fold can do nothing with */
  uint64_t distinct;                            /* of DISTINCT */
  uint64_t texts, bools, timestamps, durations; /* of ordered values; what is left are numbers */
  uint32_t set; /* root of those that are in order: values, buckets or serials */
  fb_sum *sum;  /* of SUM, AVG, STDDEV; NULL: nothing yet */
} fb_fold_state;

typedef struct fb_group {
  uint64_t members;
  uint32_t hash;
  uint32_t place; /* of the result; 0: there is none yet */
  uint32_t next;  /* of its bucket, or of the free ones */
  uint32_t dirty; /* index in the list of dirty ones, plus one; 0: it is not */
  uint32_t line;  /* of windows that end: members by time; of LAST: by serial, all that there are */
  bool scheduled; /* of windows that end: it stands in the aggregate's line, at … */
  int64_t deadline; /* … a time before which its first window does not end */
  int64_t
      scanned; /* SESSION: up to here the first window is known to go; INT64_MIN: nothing is known */
} fb_group;

typedef struct fb_aggregate_memory {
  fb_group *groups; /* 0 is not used */
  fb_value *keys;   /* by group, then key */
  fb_fold_state *folds;
  size_t group_cap;
  uint32_t count, free, live;
  uint32_t *buckets;
  uint32_t bucket_count;
  uint32_t *group_of; /* by row of the source's type; 0: none */
  size_t row_cap;
  uint32_t *dirty; /* groups; room for all */
  uint32_t dirty_count;
  uint32_t line; /* SLIDING: rows by their times; of windows that end: groups by their deadlines */
  uint32_t left_row;  /* SESSION: the row that left last, … */
  uint64_t left_tick; /* … at this tick */
  uint32_t standing;  /* of windows that end: results by their serials */
} fb_aggregate_memory;

struct fb_aggregates {
  fb_aggregate_memory *items; /* by number */
  fb_multisets sets;
  uint32_t expiry;   /* places by when their facts expire */
  bool told;         /* the rules have seen the results that stand */
  bool dirty;        /* some group is */
  bool broken;       /* memory ran out where nothing could be taken back */
  const bool *known; /* by number: quiet while facts are carried over; NULL: none */
  bool quiet;        /* errors of expressions were reported when the facts came */
};

/* fold.c */
/* Of numbers that are equal one: an integer where it is one. */
fb_value fb_fold_plain(fb_value value);
/* Is it a value that the fold counts? False: it is left out, as a missing one is. */
bool fb_fold_admits(const fb_rule_fold *fold, fb_value value);
/* False: no memory, and nothing has changed. */
bool fb_fold_add(fb_session *session, const fb_rule_fold *fold, fb_fold_state *state,
                 fb_value value, uint32_t row, uint64_t serial);
void fb_fold_remove(fb_session *session, const fb_rule_fold *fold, fb_fold_state *state,
                    fb_value value, uint64_t serial);
void fb_fold_release(fb_session *session, fb_fold_state *state);
/* FB_ABSENT: there is none; if that is an error, *err tells it, else its code is FB_OK. In the scratch arena. */
fb_value fb_fold_value(fb_session *session, const fb_rule_aggregate *aggregate,
                       const fb_rule_fold *fold, const fb_fold_state *state, fb_error *err);

/* aggregate.c */
static inline fb_group *fb_group_at(const fb_session *session, uint32_t number, uint32_t at) {
  return &session->aggregates->items[number].groups[at];
}
const fb_value *fb_group_keys(const fb_session *session, uint32_t number, uint32_t at);
/* How groups of two sessions stand by their keys, which are good until the next fact comes, whatever became of the groups. */
int fb_group_order(const fb_session *a, uint32_t at, const fb_session *b, uint32_t other,
                   uint32_t number);
/* Lets its result follow. */
void fb_group_mark(fb_session *session, uint32_t number, uint32_t at);
/* Adds a row to the folds of a group, or takes it away. False: no memory, and nothing has changed. */
bool fb_group_add(fb_session *session, uint32_t number, uint32_t at, uint32_t row);
void fb_group_take(fb_session *session, uint32_t number, uint32_t at, uint32_t row);
/* What its folds tell, in the scratch arena; and lets them begin anew. */
fb_status fb_group_tell(fb_session *session, uint32_t number, uint32_t at, fb_value *values);
void fb_group_forget(fb_session *session, uint32_t number, uint32_t at);
/* Finds the group of a row that a window with a time takes, and takes it in. False: no memory. */
bool fb_group_enter(fb_session *session, uint32_t number, uint32_t row, int64_t time);
/* Results as facts. `start` FB_ABSENT: of no window. */
fb_status fb_result_assert(fb_session *session, uint32_t number, const fb_value *keys,
                           const fb_value *values, fb_value start, uint32_t *ret_place);
fb_status fb_result_retract(fb_session *session, uint32_t place);

/* window.c */
/* Does the window take the row in? *ret_time is set if it asks for times. */
bool fb_window_admits(fb_session *session, const fb_rule_aggregate *aggregate, uint32_t row,
                      int64_t *ret_time);
/* A row comes into a group or leaves it. False: no memory, and nothing has changed. */
bool fb_window_enter(fb_session *session, uint32_t number, uint32_t at, uint32_t row, int64_t time);
void fb_window_leave(fb_session *session, uint32_t number, uint32_t at, uint32_t row);
/* For snapshots: a result that stands. */
fb_status fb_window_adopt(fb_session *session, uint32_t number, uint32_t place);

/* What an input is for the row; FB_ABSENT: it has no value, or failed, which is reported. */
fb_value fb_aggregate_input(fb_session *session, const fb_rule_aggregate *aggregate,
                            const fb_rule_input *input, uint32_t row);
#endif
