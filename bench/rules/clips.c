/* SPDX-License-Identifier: Apache-2.0
 * The same on CLIPS 6.30 as packaged, through its C interface, with duplicates allowed (no search for an equal fact) and symbols
 * made beforehand. Its hash tables have a fixed size, so that it slows down with the number of facts; a build with larger
 * ones does better, and a ratio to the package says nothing of that. */
#include "flat.h"

#include <clips/clips.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void S_build(void *env, const char *text) {
  if (EnvBuild(env, text)) return;
  fprintf(stderr, "CLIPS refused: %s\n", text);
  exit(1);
}

static void S_rulebook(void *env, const char *workload) {
  char text[400];
  bench_rule *rules;
  size_t count = bench_rules(workload, &rules);
  S_build(env, "(defglobal ?*n* = 0)");
  S_build(
      env,
      "(deftemplate order (slot id) (slot customer) (slot amount) (slot status) (slot region))");
  S_build(env, "(deftemplate customer (slot id) (slot tier))");
  if (!count)
    S_build(env,
            "(defrule j (order (status active) (amount ?a&:(>= ?a 900)) (customer ?c)) (customer "
            "(id ?c) (tier gold)) "
            "=> (bind ?*n* (+ ?*n* 1)))");
  for (size_t i = 0; i < count; i++) {
    int at = snprintf(text, sizeof text, "(defrule r%zu (order (status %s)", i,
                      bench_statuses[rules[i].status]);
    if (rules[i].region >= 0)
      at += snprintf(text + at, sizeof text - (size_t)at, " (region %d)", rules[i].region);
    if (rules[i].low >= 0)
      at += snprintf(text + at, sizeof text - (size_t)at, " (amount ?a&:(>= ?a %d)", rules[i].low);
    if (rules[i].high >= 0)
      at += snprintf(text + at, sizeof text - (size_t)at, "&:(< ?a %d)", rules[i].high);
    snprintf(text + at, sizeof text - (size_t)at, "%s) => (bind ?*n* (+ ?*n* 1)))",
             rules[i].low >= 0 ? ")" : "");
    S_build(env, text);
  }
  free(rules);
}

static void S_int(void *env, void *fact, const char *slot, long long value) {
  DATA_OBJECT data;
  SetType(data, INTEGER);
  SetValue(data, EnvAddLong(env, value));
  EnvPutFactSlot(env, fact, slot, &data);
}

static void S_symbol(void *env, void *fact, const char *slot, void *symbol) {
  DATA_OBJECT data;
  SetType(data, SYMBOL);
  SetValue(data, symbol);
  EnvPutFactSlot(env, fact, slot, &data);
}

static void *S_order(void *env, void *template_, void *const *statuses, const bench_order *o,
                     int amount) {
  void *fact = EnvCreateFact(env, template_);
  S_int(env, fact, "id", o->id);
  S_int(env, fact, "customer", o->customer);
  S_int(env, fact, "amount", amount);
  S_symbol(env, fact, "status", statuses[o->status]);
  S_int(env, fact, "region", o->region);
  return EnvAssert(env, fact);
}

static void S_customers(void *env, const bench_data *data) {
  void *template_ = EnvFindDeftemplate(env, "customer");
  void *tiers[2] = {EnvAddSymbol(env, "basic"), EnvAddSymbol(env, "gold")};
  for (size_t i = 0; i < data->customer_count; i++) {
    void *fact = EnvCreateFact(env, template_);
    S_int(env, fact, "id", (long long)i);
    S_symbol(env, fact, "tier", tiers[data->gold[i]]);
    EnvAssert(env, fact);
  }
}

bench_result bench_clips(const bench_data *data, const char *workload) {
  bench_result result = {0};
  void *env = CreateEnvironment(), *statuses[4];
  S_rulebook(env, workload);
  EnvReset(env);
  EnvSetFactDuplication(env, TRUE);
  for (int i = 0; i < 4; i++) {
    statuses[i] = EnvAddSymbol(env, bench_statuses[i]);
    IncrementSymbolCount(statuses[i]);
  }
  void *template_ = EnvFindDeftemplate(env, "order");
  void **facts = calloc(data->count, sizeof *facts);
  double start = bench_processor_seconds();
  if (!strcmp(workload, "join")) S_customers(env, data);
  for (size_t i = 0; i < data->count; i++)
    facts[i] = S_order(env, template_, statuses, &data->orders[i], data->orders[i].amount);
  result.firings = (uint64_t)EnvRun(env, -1);
  result.seconds = bench_processor_seconds() - start;
  start = bench_processor_seconds();
  for (size_t i = 0; i < data->count; i += 10) {
    EnvRetract(env, facts[i]);
    S_order(env, template_, statuses, &data->orders[i], (data->orders[i].amount + 37) % 1000);
  }
  result.update_firings = (uint64_t)EnvRun(env, -1);
  result.update_seconds = bench_processor_seconds() - start;
  free(facts);
  DestroyEnvironment(env);
  return result;
}
