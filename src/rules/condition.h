/* SPDX-License-Identifier: Apache-2.0
 * Conditions while they are loaded: what head.c, branch.c, expression.c and condition.c share. */
#ifndef FB_RULES_CONDITION_H
#define FB_RULES_CONDITION_H

#include "rules/plan.h"

#define FB_RULE_FORMS                                                                                    \
  "a condition is `type as x: expression`, `not type as x: …`, `exists type as x: …`, `test: …`, " \
  "or a list in `not:`, `exists:`, `forall:` or `any:`"

enum { FB_RULE_GROUP_DEPTH = 8, FB_RULE_MAX_CONDITIONS = 1000 };

typedef struct fb_rule_item fb_rule_item;

typedef struct fb_rule_items {
  fb_rule_item *first, *last;
  uint32_t count;
} fb_rule_items;

/* One condition as it is written, branches chosen. Lives in the ruleset's arena. */
struct fb_rule_item {
  fb_rule_item *next;
  const fb_node *key, *value; /* value NULL: no expression */
  fb_slice type, variable;
  uint8_t kind; /* of a pattern or a group: FB_WHEN_… */
  bool test;
  uint32_t range;                       /* ELEMENT: offset of its list's expression in the key */
  const struct fb_aggregate_head *head; /* of an aggregate; else NULL */
  bool empty;                           /* an aggregate of no facts: a NOT of its result */
  uint32_t
      constants; /* which names stand for constants here: told by what is empty above; 0: none */
  bool grouped;  /* a NOT or EXISTS of `items` */
  fb_rule_items items; /* in which patterns are positive */
  fb_rule_condition *condition;
  fb_rule_group *group;
};

/* The item itself, or the aggregate that is alone in a group since it is of no facts. */
static inline const fb_rule_item *fb_rule_empty_item(const fb_rule_item *item) {
  return item->grouped ? item->items.first : item;
}

/* head.c */
bool fb_rule_is_variable(fb_slice text);
/* Of the form [not | exists] type [as variable], or word as variable in expression. */
bool fb_rule_split_head(fb_slice text, fb_rule_item *item);
/* A pattern or a test; reports what is neither. */
bool fb_rule_parse_item(fb_rule_loader *loader, const fb_node *node, fb_rule_item *item);

/* condition.c */
/* Adds what the errors of an expression say, with what the rule knows of the names in them. */
void fb_rule_report(fb_rule_loader *loader, fb_errors *found);
/* Binds the next slot of the environment; NULL: nothing is there yet. */
void fb_rule_bind(fb_rule_loader *loader, fb_rule_condition *condition);

/* element.c: the expression of a list whose elements the condition binds. */
void fb_rule_load_range(fb_rule_loader *loader, const fb_rule_item *item);

/* branch.c: the conditions of one choice of branches. False: there are none that could be loaded. */
bool fb_rule_choose_branches(fb_rule_loader *loader, const fb_node *when, uint32_t variant,
                             fb_rule_items *out);

/* simple.c: the same of comparisons with literals; false: it is not of that kind, and nothing was done. */
bool fb_rule_take_simple(fb_rule_loader *loader, fb_rule_condition *own, const fb_node *node);
void fb_rule_watch_field(fb_rule_loader *loader, fb_rule_condition *condition, uint32_t field);
/* expression.c: takes the conjuncts of an expression of `own` (a pattern; NULL: of a test) within `group` (NULL: none)
 * apart, into tests and joins. */
void fb_rule_take(fb_rule_loader *loader, fb_rule_condition *own, fb_rule_group *group,
                  const fb_cel_expr *expr, const fb_ast *ast, const fb_node *node);
#endif
