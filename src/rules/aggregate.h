/* SPDX-License-Identifier: Apache-2.0
 *
 * Aggregates. `sum(o.amount) as total by o.customer as c of order as o: …` stands for a pattern over facts that the session
 * keeps itself, one for each group:
 *
 *   source      the pattern whose facts are aggregated: an alpha like any other
 *   key         what facts of a group have in common: a side of an equality with other conditions, or an expression of `by`
 *   fold        a function over the facts of a group
 *   result      the fact of a group: a field a key, a field a fold, and the start of a window that ends. Its type has a name that no rulebook and no
 *               stream can write
 *
 * The names that folds and keys are given stand for fields of the result, so that all that comes after is as with any fact.
 * A count of nothing is 0: where that may be asked for, the rule has a variant in which there is no such result.
 *
 * A change of a fact changes the folds of its group and marks it; results follow when rules are about to fire, each by a
 * change of its own (fb_aggregate_flush).
 */
#ifndef FB_RULES_AGGREGATE_H
#define FB_RULES_AGGREGATE_H

#include "rules/condition.h"

enum {
  FB_AGGREGATE_PARTS = 16, /* folds, or expressions of `by` */
  FB_AGGREGATE_EQUALITIES = 8,
  FB_AGGREGATE_KEYS = FB_AGGREGATE_EQUALITIES + FB_AGGREGATE_PARTS
};

typedef enum fb_fold_kind {
  FB_FOLD_COUNT,
  FB_FOLD_SUM,
  FB_FOLD_AVG,
  FB_FOLD_MIN,
  FB_FOLD_MAX,
  FB_FOLD_DISTINCT,
  FB_FOLD_FIRST,
  FB_FOLD_LAST,
  FB_FOLD_STDDEV,
  FB_FOLD_PERCENTILE,
  FB_FOLD_SKETCH,
  FB_FOLD_COLLECT,
  FB_FOLD_KINDS
} fb_fold_kind;

/* ── As it is written ── */

/* An expression is a part of the head's text; to 0: none. */
typedef struct fb_aggregate_part {
  uint8_t fold;
  fb_slice variable;
  uint32_t from, to;
  double rank; /* of PERCENTILE and SKETCH */
} fb_aggregate_part;

typedef enum fb_window_kind {
  FB_WINDOW_NONE,
  FB_WINDOW_SLIDING,
  FB_WINDOW_LAST,
  FB_WINDOW_TUMBLING,
  FB_WINDOW_SESSION
} fb_window_kind;

/* Which facts are taken: all, or those that a window holds (window.c). */
typedef struct fb_rule_window {
  uint8_t kind;
  int64_t span;      /* nanoseconds: how long it is, or, of SESSION, the gap that ends it */
  uint64_t keep;     /* of LAST: how many facts */
  uint32_t field;    /* of the facts' times; not of LAST */
  fb_slice name;     /* of that field, as it is written; "": `at` */
  fb_slice variable; /* for the start of a window that ends; "": none */
} fb_rule_window;

typedef struct fb_aggregate_head {
  fb_aggregate_part folds[FB_AGGREGATE_PARTS], by[FB_AGGREGATE_PARTS];
  uint32_t fold_count, by_count;
  fb_slice type, variable;
  fb_rule_window window;
} fb_aggregate_head;

/* aggregate_head.c. FB_DONE: it is no aggregate. FB_E_RULE_AGGREGATE: *why tells what is wrong with it. */
fb_status fb_aggregate_parse(fb_slice text, fb_aggregate_head *head, char why[200]);
/* May the condition hold for no facts at all? False, too, for what is no aggregate. */
bool fb_aggregate_may_be_empty(fb_slice text);
/* Does the head, if it is that of an aggregate, give the name to a value? */
bool fb_aggregate_binds(fb_slice text, fb_slice name);
/* Does a name stand in it twice? */
bool fb_aggregate_repeats(const fb_aggregate_head *head);
const char *fb_fold_name(uint8_t fold);

/* ── In the plan ── */

/* An expression over one fact. */
typedef struct fb_rule_input {
  bool given;
  uint32_t field; /* NONE: told by the program */
  fb_cel_program *program;
  fb_rule_place place;
} fb_rule_input;

typedef struct fb_rule_fold {
  uint8_t kind;
  double rank;
  fb_slice name;
  const fb_cel_type *type;
  fb_rule_input input;
} fb_rule_fold;

struct fb_rule_aggregate {
  uint32_t number, rule;
  const fb_node *node;
  const fb_aggregate_head *head;
  fb_slice text;            /* two of the same text are one */
  uint32_t type;            /* of results */
  fb_rule_condition source; /* with tests, an alpha, and what it watches */
  bool constants;           /* what its names stand for depends on the rule */
  bool loaded;
  fb_rule_input keys[FB_AGGREGATE_KEYS]; /* those of equalities, then those of `by` */
  fb_slice key_names[FB_AGGREGATE_KEYS]; /* "" of an equality */
  const fb_cel_type *key_types[FB_AGGREGATE_KEYS];
  uint32_t key_count;
  fb_rule_fold folds[FB_AGGREGATE_PARTS];
  uint32_t fold_count;
  fb_rule_window window;
};

/* Do results come when a window ends, once and for all? */
static inline bool fb_window_ends(const fb_rule_window *window) {
  return window->kind == FB_WINDOW_TUMBLING || window->kind == FB_WINDOW_SESSION;
}

/* fold.c: what the fold tells of no values; FB_ABSENT: nothing. */
fb_value fb_fold_of_none(const fb_rule_fold *fold);

/* ── Loading: aggregate_plan.c ── */

/* That of the item's text, made if it is new; NULL when it cannot be. */
fb_rule_aggregate *fb_aggregate_of(fb_rule_loader *loader, const fb_rule_item *item);
/* Expressions, keys and names. The environment has the slots before the item's condition, and has its own afterwards. */
void fb_aggregate_load(fb_rule_loader *loader, const fb_rule_item *item);
/* Declares the values that a variant has in which there are no facts. */
void fb_aggregate_bind_empty(fb_rule_loader *loader, const fb_rule_item *item);
/* Does the condition give this name to a value? */
bool fb_aggregate_names(const fb_rule_condition *condition, fb_slice name);
/* window_plan.c: the field of the type that has its times; "" is `at`. Reports; false: there is none. */
bool fb_rule_time_field(fb_rule_loader *loader, const fb_node *node, fb_fact_type *type,
                        fb_slice name, uint32_t *ret_field);
/* `expires`: a map of types to times. */
void fb_rule_load_expires(fb_rule_loader *loader, const fb_node *map);
/* expression.c: makes an input of a part of an expression over one fact. */
void fb_rule_take_input(fb_rule_loader *loader, const fb_cel_expr *expr, const fb_ast *ast,
                        const fb_node *node, fb_rule_input *out);
/* expression.c: the condition watches the field, so that a change of it makes a new match; `test`: it must be there. */
void fb_rule_demand(fb_rule_loader *loader, fb_rule_condition *condition, uint32_t field,
                    bool test);
#endif
