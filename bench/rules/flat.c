/* SPDX-License-Identifier: Apache-2.0
 * Facts handed in as records, decisions counted; beside CLIPS, in turns, in one process. Prints a JSON line a workload. */
#include "flat.h"

#include <flyball/rules.h>

#include <stdio.h>
#include <stdlib.h>

static fb_status S_count(void *context, fb_session *session, const fb_decision_record *records,
                         size_t count) {
  (void)session;
  (void)records;
  *(uint64_t *)context += count;
  return FB_OK;
}

static void S_must(fb_status status) {
  if (status == FB_OK) return;
  fprintf(stderr, "failed: FB%04d\n", (int)status);
  exit(1);
}

static fb_facts *S_table(fb_session *session, const char *type) {
  fb_facts *facts;
  fb_schema *schema = fb_session_schema(session);
  S_must(fb_facts_new(NULL, schema, fb_schema_find(schema, fb_slice_of(type)), &facts));
  return facts;
}

static void S_fill(fb_session *session, const bench_data *data, fb_facts *orders,
                   fb_facts *customers) {
  fb_symbols *symbols = fb_schema_symbols(fb_session_schema(session));
  fb_value statuses[4], tiers[2];
  fb_symbol symbol;
  uint32_t row;
  for (int i = 0; i < 4; i++) {
    S_must(fb_symbol_intern(symbols, fb_slice_of(bench_statuses[i]), &symbol));
    statuses[i] = fb_symbol_value(symbols, symbol);
  }
  for (int i = 0; i < 2; i++) {
    S_must(fb_symbol_intern(symbols, i ? FB_SLICE("gold") : FB_SLICE("basic"), &symbol));
    tiers[i] = fb_symbol_value(symbols, symbol);
  }
  for (size_t i = 0; i < data->count; i++) {
    const bench_order *o = &data->orders[i];
    S_must(fb_facts_add(orders, &row));
    fb_facts_set(orders, row, 0, fb_int(o->id), NULL);
    fb_facts_set(orders, row, 1, fb_int(o->customer), NULL);
    fb_facts_set(orders, row, 2, fb_int(o->amount), NULL);
    fb_facts_set(orders, row, 3, statuses[o->status], NULL);
    fb_facts_set(orders, row, 4, fb_int(o->region), NULL);
  }
  for (size_t i = 0; i < data->customer_count; i++) {
    S_must(fb_facts_add(customers, &row));
    fb_facts_set(customers, row, 0, fb_int((int64_t)i), NULL);
    fb_facts_set(customers, row, 1, tiers[data->gold[i]], NULL);
  }
}

static bench_result S_flyball(const bench_data *data, const char *workload, uint64_t *ret_memory) {
  fb_buf book;
  fb_ruleset *rules;
  fb_session *session;
  fb_errors errors;
  uint64_t decisions = 0;
  fb_buf_init(&book, NULL, 0);
  fb_errors_init(&errors, NULL, 0);
  bench_rulebook(workload, false, &book);
  S_must(fb_ruleset_read(fb_buf_slice(&book), "bench.yaml", NULL, &rules, &errors, NULL));
  fb_session_options options = {.output = {.decisions = S_count, .context = &decisions}};
  S_must(fb_session_new(rules, &options, NULL, &session));
  fb_facts *orders = S_table(session, "order"), *customers = S_table(session, "customer");
  fb_fact_id *ids = calloc(data->count, sizeof *ids);
  S_fill(session, data, orders, customers);
  bench_result result = {0};
  double start = bench_processor_seconds();
  if (!strcmp(workload, "join"))
    S_must(fb_session_assert_rows(session, customers, 0, (uint32_t)data->customer_count, NULL, NULL,
                                  NULL));
  S_must(fb_session_assert_rows(session, orders, 0, (uint32_t)data->count, ids, NULL, NULL));
  S_must(fb_session_fire(session, NULL, NULL));
  result.seconds = bench_processor_seconds() - start;
  result.firings = decisions;
  *ret_memory = fb_session_statistics(session).memory;
  start = bench_processor_seconds();
  for (size_t i = 0; i < data->count; i += 10) {
    fb_entry entry = {fb_string(FB_SLICE("amount")), fb_int((data->orders[i].amount + 37) % 1000)};
    fb_map map = {.len = 1, .cap = 1, .entries = &entry};
    S_must(fb_session_modify(session, ids[i], &map, NULL));
  }
  S_must(fb_session_fire(session, NULL, NULL));
  result.update_seconds = bench_processor_seconds() - start;
  result.update_firings = decisions - result.firings;
  free(ids);
  fb_facts_free(orders);
  fb_facts_free(customers);
  fb_session_free(session);
  fb_ruleset_free(rules);
  fb_errors_release(&errors);
  fb_buf_release(&book);
  return result;
}

/* ── Side by side ── */

static int S_by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static double S_median(double *items, int count) {
  qsort(items, (size_t)count, sizeof *items, S_by_value);
  return items[count / 2];
}

static void S_print(const char *workload, size_t facts, double ours, double peer, double ratio,
                    double reach, uint64_t firings, bool same, double memory) {
  printf("{\"bench\":\"rules.flat\",\"workload\":\"%s\",\"ours\":%.0f,", workload,
         (double)facts / ours);
  if (peer > 0)
    printf("\"peer\":%.0f,", (double)facts / peer);
  else
    printf("\"peer\":null,");
  printf("\"peer_name\":\"CLIPS 6.30 (as packaged)\",\"unit\":\"facts/s\",");
  if (peer > 0)
    printf("\"ratio\":%.2f,\"reach\":%.0f,\"verdict\":\"%s\",", ratio, reach,
           !same            ? "not measured"
           : ratio >= reach ? "met"
                            : "missed");
  else
    printf("\"ratio\":null,\"reach\":%.0f,\"verdict\":\"not measured\",", reach);
  printf("\"facts\":%zu,\"firings\":%llu,\"same_work\":%s,\"bytes_per_fact\":%.0f}\n", facts,
         (unsigned long long)firings, same ? "true" : "false", memory);
  fflush(stdout);
}

static void S_run(const bench_data *data, const char *workload, double reach, int rounds) {
  double ours[9], peer[9], ratio[9], updates[9], peer_updates[9], update_ratio[9];
  bench_result a = {0}, b = {0};
  uint64_t memory = 0;
  bool join = !strcmp(workload, "join"), same = true;
  size_t facts = data->count + (join ? data->customer_count : 0);
  for (int i = 0; i < rounds; i++) {
    a = S_flyball(data, workload, &memory);
#ifdef HAVE_CLIPS
    b = bench_clips(data, workload);
#endif
    ours[i] = a.seconds;
    peer[i] = b.seconds;
    ratio[i] = b.seconds / a.seconds;
    updates[i] = a.update_seconds;
    peer_updates[i] = b.update_seconds;
    update_ratio[i] = b.update_seconds / a.update_seconds;
    same = same && a.firings == bench_expected(data, workload, 0, data->count) &&
           (b.seconds == 0 || b.firings == a.firings);
  }
  S_print(workload, facts, S_median(ours, rounds), S_median(peer, rounds), S_median(ratio, rounds),
          reach, a.firings, same, (double)memory / (double)facts);
  if (strcmp(workload, "r10")) return;
  S_print("r10 update 10%", data->count / 10, S_median(updates, rounds),
          S_median(peer_updates, rounds), S_median(update_ratio, rounds), 10, a.update_firings,
          b.seconds == 0 || a.update_firings == b.update_firings, 0);
}

int main(int argc, char **argv) {
  size_t count = argc > 1 ? (size_t)strtoul(argv[1], NULL, 10) : 1000000;
  int rounds = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 3;
  static const struct {
    const char *name;
    double reach;
  } workloads[] = {{"b1", 25}, {"r10", 25}, {"r100", 25}, {"r10000", 25}, {"join", 15}};
  if (rounds < 1 || rounds > 9 || count < 10) return 2;
  bench_data data = bench_make(count);
  for (size_t i = 0; i < sizeof workloads / sizeof *workloads; i++)
    if (argc < 4 || !strcmp(argv[3], workloads[i].name))
      S_run(&data, workloads[i].name, workloads[i].reach, rounds);
  bench_free(&data);
  return 0;
}
