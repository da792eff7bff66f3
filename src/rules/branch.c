/* SPDX-License-Identifier: Apache-2.0
 *
 * Branches and groups. A choice of branches of `any` makes a list of conditions; those of an `any` within a `not`, `exists` or
 * `forall` are not chosen but unfolded: not(a or b) is not(a) and not(b), exists(a or b) is not(not(a) and not(b)), and
 * forall(a; b) is not(a and not(b)). Recursion is bounded by FB_RULE_GROUP_DEPTH.
 */
#include "rules/aggregate.h"

#include <stdio.h>

/* The value of a condition with that key; NULL when the item is something else. */
static const fb_node *S_value(const fb_node *item, const char *key) {
  if (item->kind != FB_MAP || item->count != 1 ||
      !fb_slice_equal(fb_node_text(&item->as.pairs[0].key), fb_slice_of(key)))
    return NULL;
  return &item->as.pairs[0].value;
}

/* The text of a condition that is neither a test nor made of others; "" of those. */
static fb_slice S_head(const fb_node *item) {
  const fb_node *key = item->kind == FB_MAP && item->count == 1 ? &item->as.pairs[0].key : item;
  return key->kind == FB_STRING ? fb_node_text(key) : (fb_slice){"", 0};
}

static const fb_node *S_any(const fb_node *item) {
  return S_value(item, "any");
}

/* ── In how many ways branches may be chosen: at most MAX + 1 ── */

static uint32_t S_ways(const fb_node *item, int depth);

/* Of the items of a list from number `from` on. */
static uint32_t S_ways_from(const fb_node *list, uint32_t from, int depth) {
  uint32_t ways = 1;
  for (uint32_t i = from; i < list->count && ways <= FB_RULE_MAX_VARIANTS; i++)
    ways *= S_ways(&list->as.items[i], depth + 1);
  return ways > FB_RULE_MAX_VARIANTS ? FB_RULE_MAX_VARIANTS + 1 : ways;
}

static uint32_t S_ways(const fb_node *item, int depth) {
  const fb_node *any = S_any(item);
  if (depth > FB_RULE_GROUP_DEPTH) return 1;
  if (!any && item->kind != FB_LIST) return fb_aggregate_may_be_empty(S_head(item)) ? 2 : 1;
  if ((any ? any : item)->kind != FB_LIST) return 1;
  if (!any) return S_ways_from(item, 0, depth);
  uint32_t ways = 0;
  for (uint32_t i = 0; i < any->count && ways <= FB_RULE_MAX_VARIANTS; i++)
    ways += S_ways(&any->as.items[i], depth + 1);
  if (!ways) return 1;
  return ways > FB_RULE_MAX_VARIANTS ? FB_RULE_MAX_VARIANTS + 1 : ways;
}

uint32_t fb_rule_variants(const fb_node *when) {
  uint32_t ways = S_ways(when, 0);
  return ways > FB_RULE_MAX_VARIANTS ? 1 : ways;
}

bool fb_rule_binds(const fb_node *when, fb_slice variable) {
  const fb_node *stack[FB_RULE_GROUP_DEPTH * 2 + 2];
  uint32_t at[FB_RULE_GROUP_DEPTH * 2 + 2] = {0}, depth = 0;
  stack[0] = when;
  for (;;) {
    const fb_node *list = stack[depth];
    if (at[depth] == list->count) {
      if (!depth--) return false;
      continue;
    }
    const fb_node *item = &list->as.items[at[depth]++], *any = S_any(item);
    const fb_node *inner = any ? any : item;
    if (inner->kind == FB_LIST) {
      if (depth + 1 < sizeof at / sizeof *at) {
        stack[++depth] = inner;
        at[depth] = 0;
      }
      continue;
    }
    fb_rule_item head = {0};
    if (fb_rule_split_head(S_head(item), &head) && fb_slice_equal(head.variable, variable))
      return true;
    if (fb_aggregate_binds(S_head(item), variable)) return true;
  }
}

/* ── Lists of conditions ── */

typedef struct S_maker {
  fb_rule_loader *loader;
  uint32_t count; /* items made; MAX + 1: it has been said that they are too many */
} S_maker;

static bool S_flatten(S_maker *maker, const fb_node *item, uint32_t choice, int depth, bool nested,
                      fb_rule_items *out);

static bool S_fail(S_maker *maker, const fb_node *node, const char *hint, const char *what) {
  fb_doc_fail(maker->loader->doc, node, maker->loader->errors, FB_E_RULE_CONDITION, hint, "%s",
              what);
  return false;
}

static bool S_fail_branch(S_maker *maker, const fb_node *node, const char *what) {
  return S_fail(maker, node,
                "as in `any: [[order as o, customer as c], [invoice as o]]`: a list of branches",
                what);
}

static fb_rule_item *S_new(S_maker *maker, const fb_node *node) {
  fb_rule_loader *loader = maker->loader;
  if (maker->count > FB_RULE_MAX_CONDITIONS) return NULL;
  if (maker->count == FB_RULE_MAX_CONDITIONS) {
    fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_CONDITION, "",
                "a rule has at most %d conditions", FB_RULE_MAX_CONDITIONS);
    maker->count++;
    return NULL;
  }
  maker->count++;
  fb_rule_item *item = fb_arena_zero(&loader->set->arena, sizeof *item);
  if (!item) loader->nomem = true;
  return item;
}

static void S_append(fb_rule_items *items, fb_rule_item *item) {
  if (items->last)
    items->last->next = item;
  else
    items->first = item;
  items->last = item;
  items->count++;
}

static bool S_flatten_from(S_maker *maker, const fb_node *list, uint32_t from, uint32_t choice,
                           int depth, bool nested, fb_rule_items *out) {
  bool good = true; /* what is wrong in one does not hide the others */
  for (uint32_t i = from; i < list->count && maker->count <= FB_RULE_MAX_CONDITIONS; i++) {
    uint32_t ways = S_ways(&list->as.items[i], depth + 1);
    good &= S_flatten(maker, &list->as.items[i], choice % ways, depth + 1, nested, out);
    choice /= ways;
  }
  return good;
}

/* ── Groups ── */

static fb_rule_item *S_group(S_maker *maker, const fb_node *key, uint8_t kind) {
  fb_rule_item *group = S_new(maker, key);
  if (group) {
    group->key = key;
    group->kind = kind;
    group->grouped = true;
  }
  return group;
}

/* A `not` for each way to choose branches of the list's items from `from` on. */
static bool S_nots(S_maker *maker, const fb_node *key, const fb_node *list, uint32_t from,
                   int depth, fb_rule_items *out) {
  bool good = true;
  uint32_t ways = S_ways_from(list, from, depth);
  if (ways > FB_RULE_MAX_VARIANTS) {
    fb_doc_fail(maker->loader->doc, key, maker->loader->errors, FB_E_RULE_CONDITION,
                "split the rule", "the branches of `any` in it make more than %d groups",
                FB_RULE_MAX_VARIANTS);
    return false;
  }
  for (uint32_t way = 0; way < ways && good; way++) {
    fb_rule_item *group = S_group(maker, key, FB_WHEN_NOT);
    if (!group) return false;
    good = S_flatten_from(maker, list, from, way, depth, true, &group->items);
    S_append(out, group);
  }
  return good;
}

static bool S_exists(S_maker *maker, const fb_node *key, const fb_node *list, int depth,
                     fb_rule_items *out) {
  bool many = S_ways_from(list, 0, depth) > 1;
  fb_rule_item *group = S_group(maker, key, many ? FB_WHEN_NOT : FB_WHEN_EXISTS);
  if (!group) return false;
  S_append(out, group);
  return many ? S_nots(maker, key, list, 0, depth, &group->items)
              : S_flatten_from(maker, list, 0, 0, depth, true, &group->items);
}

static bool S_forall(S_maker *maker, const fb_node *key, const fb_node *list, int depth,
                     fb_rule_items *out) {
  fb_rule_item *group = S_group(maker, key, FB_WHEN_NOT);
  if (S_ways(&list->as.items[0], depth + 1) > 1)
    return S_fail(maker, &list->as.items[0], "let another rule assert what it is for",
                  "`forall` begins with one pattern, not with branches or an aggregate that may be "
                  "of no facts");
  if (!group || !S_flatten(maker, &list->as.items[0], 0, depth + 1, true, &group->items))
    return false;
  const fb_rule_item *first = group->items.first;
  if (group->items.count != 1 || first->grouped || first->test)
    return S_fail(maker, &list->as.items[0],
                  "as in `forall: [order as o, payment as p: p.order == o.id]`",
                  "`forall` begins with a pattern: for each of its facts the others hold");
  S_append(out, group);
  return S_nots(maker, key, list, 1, depth, &group->items);
}

/* At the top a `not` or `exists` of one pattern is a condition; in a group it is a group. */
static void S_unwrap(fb_rule_items *out, fb_rule_item *before) {
  for (fb_rule_item *at = before ? before->next : out->first; at; at = at->next) {
    fb_rule_item *one = at->items.first;
    if (at->items.count != 1 || one->grouped || one->test || one->head) continue;
    at->key = one->key;
    at->value = one->value;
    at->type = one->type;
    at->variable = one->variable;
    at->grouped = false;
    at->items = (fb_rule_items){0};
  }
}

static bool S_flatten_group(S_maker *maker, const fb_node *item, const char *word, int depth,
                            bool nested, fb_rule_items *out) {
  const fb_node *key = &item->as.pairs[0].key, *list = &item->as.pairs[0].value;
  fb_rule_item *before = out->last;
  bool forall = *word == 'f', good;
  char hint[120], what[80];
  if (list->kind != FB_LIST || list->count < (forall ? 2u : 1u)) {
    snprintf(hint, sizeof hint,
             forall ? "as in `forall: [order as o, payment as p: p.order == o.id]`"
                    : "as in `%s: [order as o, payment as p: p.order == o.id]`",
             word);
    snprintf(what, sizeof what, "`%s:` takes a list of conditions, %s", word,
             forall ? "two at least" : "one at least");
    return S_fail(maker, list, hint, what);
  }
  if (forall)
    good = S_forall(maker, key, list, depth, out);
  else if (*word == 'n')
    good = S_nots(maker, key, list, 0, depth, out);
  else
    good = S_exists(maker, key, list, depth, out);
  if (good && !nested) S_unwrap(out, before);
  return good;
}

/* ── One condition ── */

static bool S_leaf(S_maker *maker, const fb_node *node, uint32_t choice, bool nested,
                   fb_rule_items *out) {
  fb_rule_item *item = S_new(maker, node), *group;
  if (!item || !fb_rule_parse_item(maker->loader, node, item)) return false;
  if (item->kind == FB_WHEN_ELEMENT && nested)
    return S_fail(maker, node, "ask the list itself, as in `o.items.exists(i, i.price > 100.0)`",
                  "elements of a list cannot stand within `not`, `exists` or `forall`");
  if (item->head && choice) {
    item->empty = true;
    item->kind = FB_WHEN_NOT;
  }
  if (nested && !item->test && item->kind != FB_WHEN_FACT) {
    if (!(group = S_group(maker, item->key, item->kind))) return false;
    item->kind = FB_WHEN_FACT;
    group->empty = item->empty;
    S_append(&group->items, item);
    item = group;
  }
  S_append(out, item);
  return true;
}

/* Puts the conditions of the chosen branches out. */
static bool S_flatten(S_maker *maker, const fb_node *item, uint32_t choice, int depth, bool nested,
                      fb_rule_items *out) {
  static const char *const words[] = {"not", "exists", "forall"};
  const fb_node *any = S_any(item);
  if (depth > FB_RULE_GROUP_DEPTH) return S_fail_branch(maker, item, "groups are nested too deep");
  if (any) {
    if (any->kind != FB_LIST || any->count == 0)
      return S_fail_branch(maker, any, "`any` has no branches");
    for (uint32_t i = 0; i < any->count; i++) {
      uint32_t ways = S_ways(&any->as.items[i], depth + 1);
      if (choice < ways) return S_flatten(maker, &any->as.items[i], choice, depth + 1, nested, out);
      choice -= ways;
    }
    return true;
  }
  if (item->kind == FB_LIST) {
    if (item->count) return S_flatten_from(maker, item, 0, choice, depth, nested, out);
    return S_fail_branch(maker, item, "this group has no conditions");
  }
  for (int i = 0; i < 3; i++)
    if (S_value(item, words[i])) return S_flatten_group(maker, item, words[i], depth, nested, out);
  return S_leaf(maker, item, choice, nested, out);
}

bool fb_rule_choose_branches(fb_rule_loader *loader, const fb_node *when, uint32_t variant,
                             fb_rule_items *out) {
  S_maker maker = {.loader = loader};
  if (S_ways(when, 0) > FB_RULE_MAX_VARIANTS) {
    fb_doc_fail(loader->doc, when, loader->errors, FB_E_RULE_CONDITION, "split the rule",
                "the branches of `any`, and counts of nothing, make more than %d rules",
                FB_RULE_MAX_VARIANTS);
    return false;
  }
  S_flatten_from(&maker, when, 0, variant, 0, false, out);
  loader->item_count = maker.count;
  return maker.count <= FB_RULE_MAX_CONDITIONS;
}
