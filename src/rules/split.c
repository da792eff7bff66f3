/* SPDX-License-Identifier: Apache-2.0
 * May facts be decided upon apart from each other? */
#include "rules/plan.h"

static bool S_is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static size_t S_skip(fb_slice text, size_t at, bool words) {
  while (at < text.len && (words ? S_is_word(text.ptr[at]) : text.ptr[at] == ' ')) at++;
  return at;
}

/* Is the name at [from, to) read by field: `x.f`, but not `x.f(…)`? */
static bool S_by_field(fb_slice text, size_t to) {
  size_t at = S_skip(text, to, false);
  if (at == text.len || text.ptr[at] != '.') return false;
  at = S_skip(text, S_skip(text, S_skip(text, at + 1, false), true), false);
  return at == text.len || text.ptr[at] != '(';
}

/* May the text read the variable otherwise than by field? What only looks so will do. */
static bool S_reads_whole(fb_slice text, fb_slice variable) {
  for (size_t at = 0; at < text.len;) {
    size_t end = S_skip(text, at, true);
    if (end == at) {
      at++;
      continue;
    }
    fb_slice word = {text.ptr + at, end - at};
    bool inner = at && text.ptr[at - 1] == '.';
    if (!inner && fb_slice_equal(word, variable) && !S_by_field(text, end)) return true;
    at = end;
  }
  return false;
}

/* Recursion is bounded by the depth of documents. */
static bool S_node_reads_whole(const fb_node *node, fb_slice variable) {
  if (node->kind == FB_STRING) return S_reads_whole(fb_node_text(node), variable);
  for (uint32_t i = 0; node->kind == FB_LIST && i < node->count; i++)
    if (S_node_reads_whole(&node->as.items[i], variable)) return true;
  for (uint32_t i = 0; node->kind == FB_MAP && i < node->count; i++)
    if (S_node_reads_whole(&node->as.pairs[i].value, variable)) return true;
  return false;
}

static bool S_reads(const fb_rule *rule, const fb_rule_condition *c) {
  if (c->watch_all) return true;
  for (uint32_t a = 0; c->variable.len && a < rule->action_count; a++) {
    const fb_rule_action *action = &rule->actions[a];
    if (action->message && S_node_reads_whole(action->node, c->variable)) return true;
    for (uint32_t f = 0; f < action->field_count; f++)
      if (S_node_reads_whole(action->fields[f].node, c->variable)) return true;
  }
  return false;
}

bool fb_ruleset_splits(const fb_ruleset *set) {
  if (!fb_ruleset_stateless(set, NULL) || fb_ruleset_acts_outside(set)) return false;
  for (uint32_t r = 0; r < set->rule_count; r++) {
    const fb_rule *rule = &set->rules[r];
    for (uint32_t i = 0; rule->info.enabled && i < rule->condition_count; i++) {
      const fb_rule_condition *c = &rule->conditions[i];
      if (fb_schema_type(set->schema, c->type)->open && S_reads(rule, c)) return false;
    }
  }
  return true;
}
