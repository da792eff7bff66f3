/* SPDX-License-Identifier: Apache-2.0
 * All of `when`: every pattern gets its condition, its slot, and its expression. */
#include "rules/aggregate.h"

#include <stdio.h>

/* ── Errors that know the rule ── */

/* The word at the place that the error points to. */
static fb_slice S_pointed(const fb_error *err) {
  size_t start = err->excerpt_column ? err->excerpt_column - 1 : 0;
  if (start >= strlen(err->excerpt)) return (fb_slice){"", 0};
  size_t end = start;
  while (end < strlen(err->excerpt) &&
         fb_rule_is_variable((fb_slice){err->excerpt + start, end + 1 - start}))
    end++;
  return (fb_slice){err->excerpt + start, end - start};
}

/* A variable that the rule has, but not here. */
static void S_tell_where(const fb_rule_loader *loader, fb_slice word, fb_error *err) {
  const fb_rule *rule = loader->rule;
  for (uint32_t i = 0; i < rule->condition_count; i++) {
    const fb_rule_condition *c = &rule->conditions[i];
    bool value = fb_aggregate_names(c, word);
    if (!value && !fb_slice_equal(c->variable, word)) continue;
    if (c->kind == FB_WHEN_MEMBER)
      snprintf(err->text, sizeof err->text, "`%.*s` is known only within its own group",
               (int)word.len, word.ptr);
    else if (!value && !fb_when_binds(c->kind))
      snprintf(err->text, sizeof err->text, "`%.*s` is known only within its own condition",
               (int)word.len, word.ptr);
    else
      snprintf(err->text, sizeof err->text, "`%.*s` is used above the condition that binds it",
               (int)word.len, word.ptr);
    err->code = FB_E_RULE_VARIABLE;
    snprintf(err->hint, sizeof err->hint,
             "a condition reads the variables of the positive ones above it");
    return;
  }
}

void fb_rule_report(fb_rule_loader *loader, fb_errors *found) {
  for (size_t i = 0; i < found->count; i++) {
    fb_error *err = &found->items[i];
    fb_slice word = err->code == FB_E_CEL_UNDECLARED ? S_pointed(err) : (fb_slice){"", 0};
    if (word.len) S_tell_where(loader, word, err);
    if (err->code == FB_E_CEL_TYPE && strstr(err->text, "null_type"))
      snprintf(err->hint, sizeof err->hint,
               "a declared field is never null: null in a fact is no value; ask `!has(x.field)`");
    fb_errors_add(loader->errors, err);
  }
  loader->errors->dropped += found->dropped;
}

/* ── Expressions ── */

static bool S_is_expression(fb_rule_loader *loader, const fb_node *node,
                            const fb_rule_condition *own, const fb_rule_group *group) {
  if (node->kind == FB_STRING) return true;
  if (node->kind == FB_BOOL && (group || (own && own->kind == FB_WHEN_NOT))) return true;
  if (node->kind == FB_BOOL)
    fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_NEVER,
                "switch a rule off with `enabled: false`",
                "this is false whatever the facts are: the rule can never fire");
  else
    fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_CONDITION,
                "as in `order as o: o.amount > 10.0`", "an expression is text, not %s",
                fb_node_describe(node));
  return false;
}

static void S_load_expression(fb_rule_loader *loader, const fb_rule_item *item,
                              fb_rule_group *group) {
  const fb_node *node = item->value;
  fb_rule_condition *own = item->condition;
  if (!node || (node->kind == FB_BOOL && node->as.scalar.as.b) ||
      !S_is_expression(loader, node, own, group))
    return;
  if (node->kind == FB_STRING && fb_rule_take_simple(loader, own, node)) return;
  fb_errors found;
  fb_errors_init(&found, loader->set->allocator, 0);
  fb_cel_options options = {.name = fb_doc_name(loader->doc),
                            .want = fb_cel_simple(FB_CEL_BOOL),
                            .doc = loader->doc,
                            .node = node};
  fb_cel_expr *expr;
  fb_slice source = node->kind == FB_BOOL ? FB_SLICE("false") : fb_node_text(node);
  fb_status status = fb_cel_parse(loader->env, source, &options, &expr, &found);
  if (status == FB_OK) {
    fb_rule_take(loader, own, group, expr, expr->root, node);
    fb_cel_expr_free(expr);
  } else if (status == FB_E_NOMEM) {
    loader->nomem = true;
  }
  fb_rule_report(loader, &found);
  fb_errors_release(&found);
}

/* ── Places: every pattern gets its condition and its slot ── */

static bool S_is_within(const fb_rule_group *group, const fb_rule_group *outer) {
  while (group && group != outer) group = group->parent;
  return group != NULL;
}

/* Variables of a `not`, an `exists` or a group are their own; any other name stands once in a rule. */
static bool S_is_new(fb_rule_loader *loader, const fb_node *node, fb_slice variable,
                     const fb_rule_group *group) {
  const fb_rule *rule = loader->rule;
  for (uint32_t i = 0; i < rule->condition_count && variable.len; i++) {
    const fb_rule_condition *c = &rule->conditions[i];
    if (c->kind == FB_WHEN_MEMBER && !S_is_within(group, c->group)) continue;
    bool binds = c->kind == FB_WHEN_MEMBER || fb_when_binds(c->kind);
    bool same = binds && fb_slice_equal(c->variable, variable);
    if (!same && !fb_aggregate_names(c, variable)) continue;
    fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_VARIABLE,
                "give each condition a name of its own",
                "the variable `%.*s` is bound already, on line %u", (int)variable.len, variable.ptr,
                (unsigned)c->node->line);
    return false;
  }
  return true;
}

static fb_rule_condition *S_add_aggregate(fb_rule_loader *loader, fb_rule_item *item,
                                          fb_rule_group *group) {
  fb_rule *rule = loader->rule;
  const fb_aggregate_head *head = item->head;
  bool fresh = S_is_new(loader, item->key, head->variable, group);
  for (uint32_t i = 0; i < head->fold_count; i++)
    fresh &= S_is_new(loader, item->key, head->folds[i].variable, group);
  for (uint32_t i = 0; i < head->by_count; i++)
    fresh &= S_is_new(loader, item->key, head->by[i].variable, group);
  fresh &= S_is_new(loader, item->key, head->window.variable, group);
  if (fb_aggregate_repeats(head)) {
    fresh = false;
    fb_doc_fail(loader->doc, item->key, loader->errors, FB_E_RULE_VARIABLE,
                "give each value a name of its own", "a name stands twice in this condition");
  }
  fb_rule_condition *c = item->condition = &rule->conditions[rule->condition_count++];
  c->kind = group ? FB_WHEN_MEMBER : item->kind;
  c->slot_count = 1;
  c->node = item->key;
  c->group = group;
  c->aggregate = fresh ? fb_aggregate_of(loader, item) : NULL;
  c->type = c->aggregate ? c->aggregate->type : FB_RULE_NONE;
  return c;
}

static fb_rule_condition *S_add_condition(fb_rule_loader *loader, fb_rule_item *item,
                                          fb_rule_group *group) {
  fb_rule *rule = loader->rule;
  if (item->head) return S_add_aggregate(loader, item, group);
  bool named = S_is_new(loader, item->key, item->variable, group) && item->variable.len;
  fb_rule_condition *c = item->condition = &rule->conditions[rule->condition_count++];
  c->kind = group ? FB_WHEN_MEMBER : item->kind;
  c->slot_count = 1;
  c->node = item->key;
  c->group = group;
  fb_fact_type *type =
      c->kind == FB_WHEN_ELEMENT ? NULL : fb_rule_type_named(loader, item->key, item->type, false);
  c->type = type ? type->id : FB_RULE_NONE;
  if (named) {
    c->variable.ptr = fb_arena_text(&loader->set->arena, item->variable);
    c->variable.len = c->variable.ptr ? item->variable.len : 0;
    loader->nomem |= !c->variable.ptr;
  }
  return c;
}

static bool S_place_positive(fb_rule_loader *loader, fb_rule_item *item) {
  fb_rule *rule = loader->rule;
  uint32_t number = rule->condition_count;
  fb_rule_condition *c = S_add_condition(loader, item, NULL);
  if (rule->positive_count == FB_RULE_MAX_POSITIVE) {
    fb_doc_fail(loader->doc, c->node, loader->errors, FB_E_RULE_CONDITION, "split the rule in two",
                "a rule joins at most %d facts", FB_RULE_MAX_POSITIVE);
    return false;
  }
  c->slot = rule->positive_count;
  rule->positives[rule->positive_count++] = number;
  return true;
}

/* `offset`: of the first free slot after those of the positives, which are not all known yet. Recursion is bounded by
 * FB_RULE_GROUP_DEPTH. */
static bool S_place_group(fb_rule_loader *loader, fb_rule_item *item, fb_rule_group *parent,
                          uint32_t offset) {
  fb_ruleset *set = loader->set;
  fb_rule_group *group = item->group = fb_arena_zero(&set->arena, sizeof *group);
  if (group)
    group->members = fb_arena_zero(&set->arena, (item->items.count + 1) * sizeof *group->members);
  if (!group || !group->members) return loader->nomem = true, false;
  group->kind = item->kind;
  group->node = item->key;
  group->parent = parent;
  fb_rule_group **end = parent ? &parent->groups : &loader->rule->groups;
  while (*end) end = &(*end)->next;
  *end = group;
  for (fb_rule_item *at = item->items.first; at; at = at->next) {
    if (at->grouped || at->test) continue;
    if (offset == FB_RULE_MAX_GROUPED) {
      fb_doc_fail(loader->doc, at->key, loader->errors, FB_E_RULE_CONDITION,
                  "let another rule assert what a part of it says",
                  "a group, with those around it, joins at most %d facts", FB_RULE_MAX_GROUPED);
      return false;
    }
    group->members[group->member_count++] = loader->rule->condition_count;
    S_add_condition(loader, at, group)->slot = offset++;
  }
  /* Their members come after all of this one's, which are bound first. */
  group->inner = offset;
  for (fb_rule_item *at = item->items.first; at; at = at->next)
    if (at->grouped && !S_place_group(loader, at, group, offset)) return false;
  return true;
}

/* Tells for each item which names stand for constants: those of what is empty before it, in its group and around that. Recursion is
 * bounded by FB_RULE_GROUP_DEPTH. */
static void S_note_constants(const fb_rule_items *items, uint32_t now, uint32_t *last) {
  for (fb_rule_item *at = items->first; at; at = at->next) {
    at->constants = now;
    if (at->grouped) S_note_constants(&at->items, now, last);
    if (at->empty) now = ++*last;
  }
}

static bool S_place_items(fb_rule_loader *loader, fb_rule_items *items) {
  fb_rule *rule = loader->rule;
  for (fb_rule_item *at = items->first; at; at = at->next) {
    if (at->test) continue;
    if (at->grouped) {
      if (!S_place_group(loader, at, NULL, 0)) return false;
    } else if (fb_when_binds(at->kind)) {
      if (!S_place_positive(loader, at)) return false;
      continue;
    } else {
      S_add_condition(loader, at, NULL);
    }
    rule->guarded = true;
  }
  for (uint32_t i = 0; i < rule->condition_count; i++)
    if (!fb_when_binds(rule->conditions[i].kind)) rule->conditions[i].slot += rule->positive_count;
  return true;
}

/* ── Expressions in the order of the book: each sees the variables above it and no others ── */

void fb_rule_bind(fb_rule_loader *loader, fb_rule_condition *condition) {
  fb_ruleset *set = loader->set;
  uint32_t slot = fb_cel_env_slots(loader->env), at;
  char anonymous[24];
  bool named = condition && condition->variable.len;
  if (!named) snprintf(anonymous, sizeof anonymous, "@%u", (unsigned)slot);
  const fb_cel_type *type = fb_cel_simple(FB_CEL_DYN);
  if (condition && condition->type != FB_RULE_NONE)
    type = fb_cel_env_fact(loader->env, fb_schema_type(set->schema, condition->type));
  if (!type || fb_cel_env_add(loader->env, named ? condition->variable : fb_slice_of(anonymous),
                              type, &at) != FB_OK)
    loader->nomem = true;
  else if (at < FB_RULE_MAX_SLOTS)
    loader->scope[at] = condition;
}

/* Slots of what is not bound yet. */
static void S_pad(fb_rule_loader *loader, uint32_t slots) {
  while (fb_cel_env_slots(loader->env) < slots && !loader->nomem) fb_rule_bind(loader, NULL);
}

/* A pattern, which binds its slot, or a test. */
static void S_load_pattern(fb_rule_loader *loader, const fb_rule_item *item, fb_rule_group *group) {
  if (item->head) {
    fb_aggregate_load(loader, item);
    return;
  }
  if (item->kind == FB_WHEN_ELEMENT) fb_rule_load_range(loader, item);
  if (item->condition) fb_rule_bind(loader, item->condition);
  S_load_expression(loader, item, group);
}

/* Recursion is bounded by FB_RULE_GROUP_DEPTH. */
static void S_load_group(fb_rule_loader *loader, const fb_rule_item *item) {
  uint32_t before = fb_cel_env_slots(loader->env), names = fb_cel_env_names(loader->env);
  bool constants = loader->constants;
  for (const fb_rule_item *at = item->items.first; at && !loader->nomem; at = at->next) {
    uint32_t bound = fb_cel_env_slots(loader->env);
    if (at->grouped) {
      S_pad(loader, loader->rule->positive_count + item->group->inner);
      S_load_group(loader, at);
      fb_cel_env_truncate(loader->env, bound);
      if (at->empty) fb_aggregate_bind_empty(loader, at);
      continue;
    }
    if (at->condition || at->test) S_load_pattern(loader, at, item->group);
  }
  fb_cel_env_truncate(loader->env, before);
  fb_cel_env_forget(loader->env, names);
  loader->constants = constants;
}

static void S_load_items(fb_rule_loader *loader, const fb_rule_items *items) {
  fb_rule *rule = loader->rule;
  for (fb_rule_item *at = items->first; at && !loader->nomem; at = at->next) {
    uint32_t bound = fb_cel_env_slots(loader->env);
    if (at->condition && fb_when_binds(at->condition->kind)) {
      S_load_pattern(loader, at, NULL);
      continue;
    }
    /* Slots of a `not` come after those of all positives. */
    if (!at->test) S_pad(loader, rule->positive_count);
    if (at->grouped) {
      S_load_group(loader, at);
    } else if (at->condition || at->test) {
      S_load_pattern(loader, at, NULL);
    }
    fb_cel_env_truncate(loader->env, bound);
    if (at->empty) fb_aggregate_bind_empty(loader, at);
  }
  for (uint32_t i = 0; i < rule->condition_count; i++)
    fb_rule_check_condition(loader, &rule->conditions[i]);
}

void fb_rule_load_conditions(fb_rule_loader *loader, const fb_node *when, uint32_t variant) {
  fb_ruleset *set = loader->set;
  fb_rule *rule = loader->rule;
  fb_rule_items items = {0};
  if (!fb_rule_choose_branches(loader, when, variant, &items) || loader->nomem) return;
  rule->conditions =
      fb_arena_zero(&set->arena, (loader->item_count + 1) * sizeof *rule->conditions);
  rule->positives =
      fb_arena_zero(&set->arena, (FB_RULE_MAX_POSITIVE + 1) * sizeof *rule->positives);
  loader->empties = 0;
  S_note_constants(&items, 0, &loader->empties);
  if (!rule->conditions || !rule->positives)
    loader->nomem = true;
  else if (S_place_items(loader, &items))
    S_load_items(loader, &items);
}
