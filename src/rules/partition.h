/* SPDX-License-Identifier: Apache-2.0
 *
 * Parts: several sessions over one ruleset, each with a share of the facts, that together are one session.
 *
 *   keyed    facts of the type are shared out by the value of a field, along which all rules join them
 *   copied   every part has all facts of the type; rules only read them
 *   free     a fact is in any part: no rule joins it with one that is not copied
 *   common   a rule all of whose facts are copied: it fires in the first part
 */
#ifndef FB_RULES_PARTITION_H
#define FB_RULES_PARTITION_H

#include "rules/session.h"

typedef enum fb_part_role { FB_PART_KEYED, FB_PART_FREE, FB_PART_COPIED } fb_part_role;

typedef struct fb_part_type {
  uint8_t role;
  uint32_t field; /* of KEYED */
} fb_part_type;

typedef struct fb_part_plan {
  fb_part_type *types; /* by id; a type that is not among them is free */
  uint32_t type_count;
  bool *common; /* by number of the rule */
  bool copies;  /* some type is copied */
} fb_part_plan;

/* Finds a plan, in the arena. FB_E_RULE_PARTITION: there is none, *err tells the rule that is in the way. */
fb_status fb_part_plan_find(const fb_ruleset *set, fb_arena *arena, fb_part_plan *ret_plan,
                            fb_error *err);

/* ── While they run ── */

/* A part has a ring of banks, each for so many firings at first, and at most. With a few small ones the parts that are asked to go on
 * have about as much to do as each other. */
enum { FB_PART_BANKS = 8, FB_PART_FIRST_STEP = 16, FB_PART_STEP = 512 };

typedef enum fb_note_kind { FB_NOTE_DECISION, FB_NOTE_LOG, FB_NOTE_ERROR } fb_note_kind;

/* What a firing hands out. */
typedef struct fb_note {
  uint8_t kind;
  uint32_t line, book;
  fb_slice type, rule;
  const fb_map *fields;  /* a copy; NULL: it was rendered */
  size_t text, text_len; /* in the bank's text */
  const fb_error *error;
} fb_note;

/* A firing, with all that tells its turn among those of other parts. Ticks are the part's own. */
typedef struct fb_noted {
  uint32_t rule;
  uint32_t ticks;      /* changes that it made … */
  uint64_t first_tick; /* … from this one on */
  uint64_t tick;       /* of the activation */
  int64_t facts;       /* it makes so many more … */
  uint64_t peak;       /* … and so many at most meanwhile */
  size_t notes;        /* end of its notes */
  size_t serials;      /* of its facts, one a slot; only where types are copied */
} fb_noted;

/* Firings that wait to be merged. */
typedef struct fb_bank {
  fb_noted *firings;
  size_t count, cap, at;
  fb_note *notes;
  size_t note_count, note_cap, note_at;
  uint64_t *serials;
  size_t serial_count, serial_cap;
  fb_buf text;
  fb_arena arena;
} fb_bank;

/* The part's ticks from `own` on, as many as `count`, are those of the whole from `whole` on. Others are the same. */
typedef struct fb_span {
  uint64_t own, whole, count;
} fb_span;

typedef struct fb_early_error {
  uint64_t tick;
  fb_error error;
} fb_early_error;

/* A result that followed facts from outside; its change was the part's `first_followed` and as many more as come before it. */
typedef struct fb_followed {
  uint32_t aggregate, group;
} fb_followed;

typedef struct fb_part {
  fb_partition *group;
  uint32_t number;
  fb_session *session;
  fb_bank banks[FB_PART_BANKS];
  uint32_t reading; /* bank */
  fb_bank *writing; /* NULL: facts are asserted */
  bool done;        /* the agenda is empty */
  bool noting;      /* the firing is noted down */
  bool noted;       /* one of this bank was, and changes may belong to it yet */
  fb_status status;
  fb_error err;
  uint64_t head_tick; /* of the whole, of the next firing; 0: not told yet */
  fb_span *spans;
  size_t span_count, span_cap;
  fb_symbol *symbols; /* the session's, by those of the front; 0: not told yet */
  size_t symbol_cap;
  fb_early_error *early; /* of the rows that are asserted */
  size_t early_count, early_cap;
  fb_followed *followed; /* in the order of the part's ticks */
  size_t followed_count, followed_cap, followed_at;
  uint64_t first_followed;
  bool follows;    /* results are to be noted: no rule fires */
  uint64_t before; /* facts when the firing began */
  uint64_t rows;   /* taken of those that are asserted */
} fb_part;

struct fb_partition {
  const fb_allocator *allocator;
  const fb_ruleset *set;
  fb_partition_options options;
  fb_arena arena;
  fb_part_plan plan;
  fb_session *front; /* without facts; rows come over its schema */
  fb_part *parts;
  uint64_t tick, firing;
  uint64_t step; /* firings that a part may note down now */
  uint64_t facts, facts_peak, decisions, errors, asserted;
  /* Facts asserted, modified and retracted once more for each other part. */
  uint64_t repeated, modified_again, retracted_again;
  fb_slice rendered;
  bool fired; /* the parts' ticks are their own since */
  bool lost;
};

/* partition.c */
uint64_t fb_part_whole_tick(const fb_part *part, uint64_t tick);
/* FB_E_RULE_SESSION: the parts are at odds. */
fb_status fb_part_ready(const fb_partition *group, fb_error *err);
bool fb_part_has_supports(const fb_partition *group);
/* Hands out the errors of a change from outside, in the order of ticks. */
void fb_part_tell_early(fb_partition *group);

/* partition_feed.c: gives the part all that the front knows of types and their fields, of this one at least. */
fb_status fb_part_learn(fb_part *part, uint32_t number);
/* Asserts its share of the rows in a part. */
void fb_part_feed(fb_part *part, const fb_facts *facts, uint32_t first, uint32_t count);

#endif
