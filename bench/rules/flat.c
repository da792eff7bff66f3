/* SPDX-License-Identifier: Apache-2.0
 * Facts handed in as records, decisions counted; beside CLIPS, in turns, in one process. Prints a JSON line a workload. */
#include "flat.h"

#include <flyball/rules.h>

#include <stdio.h>
#include <stdlib.h>

enum { PEER_FACTS = 10000 };

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
    const uint32_t amount = 2;
    fb_value value = fb_int((data->orders[i].amount + 37) % 1000);
    S_must(fb_session_modify_values(session, ids[i], &amount, &value, 1, NULL));
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

typedef struct S_figures {
  const char *workload;
  double ours, peer, reach; /* facts a second */
  double anchor;            /* the same of a CLIPS with larger tables, elsewhere; 0: none */
  uint64_t firings;
  size_t facts;
  bool same;
  double memory; /* bytes a fact */
} S_figures;

static void S_print(const S_figures *f) {
  double ratio = f->peer > 0 ? f->ours / f->peer : 0;
  printf("{\"bench\":\"rules.flat\",\"workload\":\"%s\",\"ours\":%.0f,", f->workload, f->ours);
  if (f->peer > 0)
    printf("\"peer\":%.0f,\"ratio\":%.2f,", f->peer, ratio);
  else
    printf("\"peer\":null,\"ratio\":null,");
  printf(
      "\"peer_name\":\"CLIPS 6.30, %d "
      "facts\",\"unit\":\"facts/s\",\"reach\":%.0f,\"verdict\":\"%s\",",
      PEER_FACTS, f->reach,
      !f->same || f->peer <= 0 ? "not measured"
      : ratio >= f->reach      ? "met"
                               : "missed");
  if (f->anchor > 0)
    printf("\"anchor\":%.0f,\"anchor_ratio\":%.2f,", f->anchor, f->ours / f->anchor);
  printf("\"facts\":%zu,\"firings\":%llu,\"same_work\":%s,\"bytes_per_fact\":%.0f}\n", f->facts,
         (unsigned long long)f->firings, f->same ? "true" : "false", f->memory);
  fflush(stdout);
}

/* CLIPS gets few facts: with more, the package's table of integers slows it down, which would flatter us. */
static void S_run(const bench_data *data, const bench_data *few, const char *workload, double reach,
                  double anchor, int rounds) {
  double ours[9], peer[9] = {0}, updates[9], peer_updates[9] = {0};
  bench_result a = {0};
  uint64_t memory = 0;
  bool join = !strcmp(workload, "join"), same = true;
  size_t facts = data->count + (join ? data->customer_count : 0);
  for (int i = 0; i < rounds; i++) {
    a = S_flyball(data, workload, &memory);
    ours[i] = (double)facts / a.seconds;
    updates[i] = (double)(data->count / 10) / a.update_seconds;
    same = same && a.firings == bench_expected(data, workload, 0, data->count);
#ifdef HAVE_CLIPS
    bench_result b = bench_clips(few, workload);
    peer[i] = (double)(few->count + (join ? few->customer_count : 0)) / b.seconds;
    peer_updates[i] = (double)(few->count / 10) / b.update_seconds;
    same = same && b.firings == bench_expected(few, workload, 0, few->count);
#endif
  }
  S_print(&(S_figures){workload, S_median(ours, rounds), S_median(peer, rounds), reach, anchor,
                       a.firings, facts, same, (double)memory / (double)facts});
  if (strcmp(workload, "r10")) return;
  S_print(&(S_figures){"r10 update 10%", S_median(updates, rounds), S_median(peer_updates, rounds),
                       10, 450000, a.update_firings, data->count / 10, same, 0});
}

int main(int argc, char **argv) {
  size_t count = argc > 1 ? (size_t)strtoul(argv[1], NULL, 10) : 1000000;
  int rounds = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 3;
  static const struct {
    const char *name;
    double reach, anchor;
  } workloads[] = {{"b1", 25, 646000},
                   {"r10", 25, 634000},
                   {"r100", 25, 623000},
                   {"r10000", 25, 142000},
                   {"join", 15, 775000}};
  if (rounds < 1 || rounds > 9 || count < 10) return 2;
  bench_data data = bench_make(count), few = bench_make(PEER_FACTS);
  for (size_t i = 0; i < sizeof workloads / sizeof *workloads; i++)
    if (argc < 4 || !strcmp(argv[3], workloads[i].name))
      S_run(&data, &few, workloads[i].name, workloads[i].reach, workloads[i].anchor, rounds);
  bench_free(&data);
  bench_free(&few);
  return 0;
}
