/* SPDX-License-Identifier: Apache-2.0
 *
 * What stands around a step's calls: document → plan.
 */
#include "mission/plan.h"

#include <stdio.h>

static fb_guard_reader S_reader(fb_mission_loader *loader) {
  return (fb_guard_reader){
      .doc = loader->doc, .errors = loader->errors, .arena = &loader->mission->arena};
}

void fb_load_breakers(fb_mission_loader *loader, const fb_node *node) {
  fb_mission *mission = loader->mission;
  if (!node || node->count == 0) return;
  fb_guard_reader reader = S_reader(loader);
  mission->breakers = fb_arena_zero(&mission->arena, node->count * sizeof *mission->breakers);
  if (!mission->breakers) {
    loader->out_of_memory = true;
    return;
  }
  for (uint32_t i = 0; i < node->count; i++) {
    fb_named_breaker *breaker = &mission->breakers[mission->breaker_count++];
    breaker->name = fb_node_text(&node->as.pairs[i].key);
    fb_guard_read_breaker(&reader, &node->as.pairs[i].value, &breaker->config);
  }
}

void fb_load_budgets(fb_mission_loader *loader, const fb_node *node) {
  fb_mission *mission = loader->mission;
  if (!node || node->count == 0) return;
  fb_guard_reader reader = S_reader(loader);
  mission->budgets = fb_arena_zero(&mission->arena, node->count * sizeof *mission->budgets);
  if (!mission->budgets) {
    loader->out_of_memory = true;
    return;
  }
  for (uint32_t i = 0; i < node->count; i++) {
    fb_named_budget *budget = &mission->budgets[mission->budget_count++];
    budget->name = fb_node_text(&node->as.pairs[i].key);
    fb_guard_read_budget(&reader, &node->as.pairs[i].value, &budget->tokens, &budget->ratio);
  }
}

bool fb_load_is_named_limit(const fb_pair *pair) {
  static const char *const own[] = {"parallel", "timeout", "fail_fast", "output"};
  if (pair->value.kind != FB_MAP || pair->key.kind != FB_STRING) return false;
  for (size_t i = 0; i < sizeof own / sizeof *own; i++)
    if (fb_slice_equal(fb_node_text(&pair->key), fb_slice_of(own[i]))) return false;
  return true;
}

void fb_load_named_limits(fb_mission_loader *loader, const fb_node *node) {
  fb_mission *mission = loader->mission;
  fb_guard_reader reader = S_reader(loader);
  mission->named_limits =
      fb_arena_zero(&mission->arena, (node->count + 1) * sizeof *mission->named_limits);
  if (!mission->named_limits) {
    loader->out_of_memory = true;
    return;
  }
  for (uint32_t i = 0; i < node->count; i++) {
    if (!fb_load_is_named_limit(&node->as.pairs[i])) continue;
    fb_named_limit *limit = &mission->named_limits[mission->named_limit_count++];
    limit->name = fb_node_text(&node->as.pairs[i].key);
    fb_guard_read_limit(&reader, &node->as.pairs[i].value, &limit->limit);
  }
}

/* ── A step ──────────────────────────────────────────────────────────────────────────────────── */

/* Number + 1 of the thing with that name; 0 after a report. The names are `stride` bytes apart. */
static uint32_t S_find(fb_mission_loader *loader, const fb_node *node, const char *what,
                       const void *first, size_t stride, uint32_t count, const char *hint) {
  enum { MOST = 64 };
  const char *names[MOST];
  uint32_t known = 0;
  for (uint32_t i = 0; i < count; i++) {
    const fb_slice *name = (const fb_slice *)((const char *)first + i * stride);
    if (fb_slice_equal(*name, fb_node_text(node))) return i + 1;
    const char *text = known < MOST ? fb_arena_text(&loader->mission->arena, *name) : NULL;
    if (text) names[known++] = text;
  }
  char text[160];
  const char *near = fb_nearest(fb_node_text(node), names, known);
  if (near) snprintf(text, sizeof text, "did you mean `%s`?", near);
  fb_doc_fail(loader->doc, node, loader->errors, FB_E_MISSION_VALUE, near ? text : hint,
              "there is no %s `%.*s`", what, (int)fb_node_text(node).len, fb_node_text(node).ptr);
  return 0;
}

static fb_retry_doc *S_retry(fb_mission_loader *loader, const fb_node *node, const fb_step *step) {
  fb_guard_reader reader = S_reader(loader);
  fb_retry_doc *retry = fb_arena_zero(&loader->mission->arena, sizeof *retry);
  if (!retry) {
    loader->out_of_memory = true;
    return NULL;
  }
  fb_guard_read_retry(&reader, node, step->tool && strcmp(step->tool->key, "http") == 0, retry);
  if (reader.out_of_memory) loader->out_of_memory = true;
  return retry;
}

enum { U_CONDITION, U_INTERVAL, U_TIMEOUT, U_COUNT };

static fb_cel_program *S_until_condition(fb_mission_loader *loader, const fb_node *node) {
  const fb_cel_type *dyn = fb_cel_simple(FB_CEL_DYN);
  uint32_t before = fb_cel_env_slots(loader->env), slot;
  if (fb_loader_pad(loader, fb_slot_result(loader->mission)) ||
      fb_cel_env_add(loader->env, FB_SLICE("result"), dyn, &slot)) {
    loader->out_of_memory = true;
    return NULL;
  }
  fb_cel_program *program = fb_loader_condition(loader, node);
  fb_cel_env_truncate(loader->env, before);
  return program;
}

static fb_until *S_until(fb_mission_loader *loader, const fb_node *node) {
  static const fb_key_spec specs[U_COUNT] = {
      [U_CONDITION] = {"condition", FB_KIND_BIT(FB_STRING), true},
      [U_INTERVAL] = {"interval", 0, false},
      [U_TIMEOUT] = {"timeout", 0, false}};
  const fb_node *nodes[U_COUNT] = {0};
  fb_until *until = fb_arena_zero(&loader->mission->arena, sizeof *until);
  if (!until) {
    loader->out_of_memory = true;
    return NULL;
  }
  until->node = node;
  until->interval = FB_SECOND;
  if (node->kind == FB_STRING)
    nodes[U_CONDITION] = node;
  else
    fb_doc_keys(loader->doc, node, "until", specs, U_COUNT, nodes, loader->errors);
  if (nodes[U_INTERVAL]) until->interval = fb_load_duration(loader, nodes[U_INTERVAL]);
  until->timeout = fb_load_duration(loader, nodes[U_TIMEOUT]);
  if (nodes[U_CONDITION]) {
    until->node = nodes[U_CONDITION];
    until->condition = S_until_condition(loader, nodes[U_CONDITION]);
  }
  return until;
}

void fb_load_guard(fb_mission_loader *loader, const fb_node *const nodes[FB_GUARD_KEYS],
                   fb_step *step) {
  const fb_mission *mission = loader->mission;
  bool any = false;
  for (int i = 0; i < FB_GUARD_KEYS; i++) any = any || nodes[i];
  if (!any) return;
  fb_step_guard *guard = fb_arena_zero(&loader->mission->arena, sizeof *guard);
  if (!guard) {
    loader->out_of_memory = true;
    return;
  }
  step->guard = guard;
  if (nodes[FB_GUARD_RETRY] && nodes[FB_GUARD_UNTIL])
    fb_load_fail(loader, nodes[FB_GUARD_RETRY], FB_E_MISSION_SYNTAX,
                 "until: {condition: result.ok, interval: 1s, timeout: 1m}",
                 "`until` repeats the step already: leave out `retry`");
  if (nodes[FB_GUARD_RETRY]) guard->retry = S_retry(loader, nodes[FB_GUARD_RETRY], step);
  if (guard->retry && guard->retry->budget)
    guard->budget =
        S_find(loader, guard->retry->budget, "budget", mission->budgets, sizeof *mission->budgets,
               mission->budget_count, "budgets: {NAME: {retries: 10, ratio: 10%}}");
  if (nodes[FB_GUARD_BREAKER])
    guard->breaker =
        S_find(loader, nodes[FB_GUARD_BREAKER], "breaker", mission->breakers,
               sizeof *mission->breakers, mission->breaker_count, "breakers: {NAME: {…}}");
  if (nodes[FB_GUARD_LIMIT])
    guard->limit = S_find(loader, nodes[FB_GUARD_LIMIT], "limit", mission->named_limits,
                          sizeof *mission->named_limits, mission->named_limit_count,
                          "limits: {NAME: {rate: 10/s, concurrency: 2}}");
  if (nodes[FB_GUARD_UNTIL]) {
    guard->until = S_until(loader, nodes[FB_GUARD_UNTIL]);
    step->referenced = true; /* the condition looks at its result */
  }
}
