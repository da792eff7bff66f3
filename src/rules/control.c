/* SPDX-License-Identifier: Apache-2.0
 * Which firing comes first, as the rulebook says it: strategy, salience, groups, and when a rule is in effect. */
#include "rules/plan.h"

#include <stdio.h>

/* ── Strategy ── */

static const char *const S_strategies[] = {"",    "depth",      "breadth",    "lex",
                                           "mea", "complexity", "simplicity", "random"};
enum { STRATEGIES = sizeof S_strategies / sizeof *S_strategies };

const char *fb_strategy_name(fb_strategy strategy) {
  return (unsigned)strategy < STRATEGIES ? S_strategies[strategy] : "";
}

bool fb_strategy_parse(fb_slice name, fb_strategy *ret_strategy) {
  for (int i = FB_STRATEGY_DEPTH; i < STRATEGIES; i++)
    if (fb_slice_equal(name, fb_slice_of(S_strategies[i]))) {
      *ret_strategy = (fb_strategy)i;
      return true;
    }
  return false;
}

static void S_unknown_strategy(fb_rule_loader *loader, const fb_node *node) {
  char hint[160] = "strategies are depth, breadth, lex, mea, complexity, simplicity, random";
  const char *near = fb_nearest(fb_node_text(node), S_strategies + 1, STRATEGIES - 1);
  if (near) snprintf(hint, sizeof hint, "did you mean `%s`?", near);
  fb_doc_fail(
      loader->doc, node, loader->errors, FB_E_RULE_SYNTAX, hint, "there is no strategy `%.*s`",
      (int)(fb_node_text(node).len > 60 ? 60 : fb_node_text(node).len), fb_node_text(node).ptr);
}

/* `lex`, or `{random: 7}`. */
void fb_rule_load_strategy(fb_rule_loader *loader, const fb_node *node) {
  fb_ruleset *set = loader->set;
  set->strategy = FB_STRATEGY_DEPTH;
  if (!node) return;
  if (node->kind == FB_STRING) {
    if (!fb_strategy_parse(fb_node_text(node), &set->strategy)) S_unknown_strategy(loader, node);
    return;
  }
  static const fb_key_spec specs[] = {{"random", FB_KIND_BIT(FB_INT), true}};
  const fb_node *seed;
  fb_doc_keys(loader->doc, node, "a strategy with a seed", specs, 1, &seed, loader->errors);
  set->strategy = FB_STRATEGY_RANDOM;
  if (seed) set->seed = (uint64_t)seed->as.scalar.as.i;
}

/* ── Salience ── */

static void S_computed_salience(fb_rule_loader *loader, const fb_node *node) {
  fb_rule *rule = loader->rule;
  fb_template *salience = fb_rule_template(loader, node);
  if (!salience) return;
  const fb_cel_type *type = fb_template_type(salience);
  if (type && type->kind != FB_CEL_INT && type->kind != FB_CEL_UINT && type->kind != FB_CEL_DYN) {
    fb_buf text;
    fb_buf_init(&text, loader->set->allocator, 200);
    fb_cel_type_write(type, &text);
    fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_VALUE,
                "as in `salience: \"${{ o.priority }}\"`", "salience is an integer, not %.*s",
                (int)text.len, text.ptr ? text.ptr : "");
    fb_buf_release(&text);
    return;
  }
  rule->salience = salience;
  rule->salience_node = node;
  rule->info.salience_computed = true;
}

void fb_rule_load_salience(fb_rule_loader *loader, const fb_node *node) {
  if (!node) return;
  if (node->kind == FB_STRING) {
    S_computed_salience(loader, node);
    return;
  }
  int64_t salience = node->as.scalar.as.i;
  if (salience >= -FB_RULE_MAX_SALIENCE && salience <= FB_RULE_MAX_SALIENCE)
    loader->rule->info.salience = (int32_t)salience;
  else
    fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_SYNTAX, "",
                "salience is between -%d and %d", FB_RULE_MAX_SALIENCE, FB_RULE_MAX_SALIENCE);
}

/* ── Groups ── */

uint32_t fb_rule_group_named(const fb_ruleset *set, fb_slice name) {
  for (uint32_t i = 0; i < set->group_count; i++)
    if (fb_slice_equal(set->groups[i], name)) return i;
  return FB_RULE_NONE;
}

static void S_add_group(fb_rule_loader *loader, fb_slice name) {
  fb_ruleset *set = loader->set;
  if (!name.len || fb_rule_group_named(set, name) != FB_RULE_NONE) return;
  if (!fb_rule_push(set, (void **)&set->groups, &set->group_cap, set->group_count,
                    sizeof *set->groups)) {
    loader->nomem = true;
    return;
  }
  set->groups[set->group_count++] = fb_rule_keep(loader, name);
}

void fb_rule_find_groups(fb_rule_loader *loader, const fb_node *rules) {
  S_add_group(loader, FB_SLICE("main"));
  for (uint32_t i = 0; i < rules->count && !loader->nomem; i++) {
    const fb_node *rule = &rules->as.items[i];
    const fb_node *group = rule->kind == FB_MAP ? fb_node_get(rule, "group") : NULL;
    if (fb_node_is(group, FB_STRING)) S_add_group(loader, fb_node_text(group));
  }
}

void fb_rule_load_group(fb_rule_loader *loader, const fb_node *node) {
  fb_rule *rule = loader->rule;
  if (node && !fb_node_text(node).len)
    fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_SYNTAX,
                "leave `group` out: the rule is in `main` then", "a group's name is empty");
  uint32_t group = node ? fb_rule_group_named(loader->set, fb_node_text(node)) : 0;
  rule->group = group == FB_RULE_NONE ? 0 : group;
  if (loader->set->group_count) rule->info.group = loader->set->groups[rule->group];
}

uint32_t fb_rule_focus(fb_rule_loader *loader, const fb_node *node) {
  const fb_ruleset *set = loader->set;
  if (node->kind != FB_STRING) {
    fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_ACTION, "as in `focus: payment`",
                "`focus` takes the name of a group, not %s", fb_node_describe(node));
    return FB_RULE_NONE;
  }
  uint32_t group = fb_rule_group_named(set, fb_node_text(node));
  if (group != FB_RULE_NONE) return group;
  char hint[160] = "a rule is put into a group by `group: …`";
  const char *near = NULL;
  for (uint32_t i = 0; i < set->group_count && !near; i++)
    near = fb_nearest(fb_node_text(node), &set->groups[i].ptr, 1);
  if (near) snprintf(hint, sizeof hint, "did you mean `%s`?", near);
  fb_slice name = fb_node_text(node);
  fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_GROUP, hint,
              "no rule is in a group `%.*s`", (int)(name.len > 60 ? 60 : name.len), name.ptr);
  return FB_RULE_NONE;
}

/* ── Effect ── */

static fb_value S_time(fb_rule_loader *loader, const fb_node *node) {
  int64_t seconds;
  uint32_t nanos;
  if (!node) return fb_absent();
  if (fb_time_parse(fb_node_text(node), &seconds, &nanos)) return fb_timestamp(seconds, nanos);
  fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_VALUE,
              "as in 2026-01-31T00:00:00Z (RFC 3339)", "this is no time");
  return fb_absent();
}

void fb_rule_load_effective(fb_rule_loader *loader, const fb_node *node) {
  static const fb_key_spec specs[] = {{"from", FB_KIND_BIT(FB_STRING), false},
                                      {"until", FB_KIND_BIT(FB_STRING), false}};
  fb_rule *rule = loader->rule;
  const fb_node *keys[2];
  rule->from = rule->until = fb_absent();
  if (!node) return;
  fb_doc_keys(loader->doc, node, "`effective`", specs, 2, keys, loader->errors);
  rule->from = S_time(loader, keys[0]);
  rule->until = S_time(loader, keys[1]);
  rule->timed = true;
  if (rule->from.kind == FB_TIMESTAMP && rule->until.kind == FB_TIMESTAMP &&
      fb_value_order(rule->from, rule->until) >= 0)
    fb_doc_fail(loader->doc, keys[1], loader->errors, FB_E_RULE_NEVER, "",
                "the rule is never in effect: `until` is not after `from`");
}
