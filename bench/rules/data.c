/* SPDX-License-Identifier: Apache-2.0
 * The data and the rulebooks of the flat workloads, and what they must come to. */
#include "flat.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

const char *const bench_statuses[4] = {"active", "pending", "inactive", "archived"};

double bench_processor_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

size_t bench_rules(const char *workload, bench_rule **ret_rules) {
  size_t count = !strcmp(workload, "b1")     ? 1
                 : !strcmp(workload, "join") ? 0
                                             : (size_t)strtoul(workload + 1, NULL, 10);
  bench_rule *rules = calloc(count + 1, sizeof *rules);
  for (size_t i = 0; i < count; i++) {
    int k = (int)i, low = (k * 13) % 990;
    if (count == 1)
      rules[i] = (bench_rule){0, -1, -1, -1};
    else if (count == 10)
      rules[i] = (bench_rule){k % 4, -1, 900 - (k / 4) * 10, -1};
    else if (count == 100)
      rules[i] = (bench_rule){k % 4, (k * 7) % 50, 500, -1};
    else
      rules[i] = (bench_rule){k % 4, (k * 7) % 50, low, low + 10};
  }
  *ret_rules = rules;
  return count;
}

/* ── The data: a linear congruential generator, always the same ── */

static uint64_t S_next(uint64_t *state) {
  *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return *state >> 33;
}

bench_data bench_make(size_t count) {
  uint64_t state = 42;
  bench_data data = {.count = count, .customer_count = count / 10 ? count / 10 : 1};
  data.orders = calloc(count, sizeof *data.orders);
  data.gold = calloc(data.customer_count, sizeof *data.gold);
  for (size_t i = 0; i < count; i++) {
    bench_order *o = &data.orders[i];
    o->id = (int32_t)i;
    o->customer = (int32_t)(S_next(&state) % data.customer_count);
    o->amount = (int32_t)(S_next(&state) % 1000);
    o->status = (uint8_t)(S_next(&state) % 4);
    o->region = (int32_t)(S_next(&state) % 50);
  }
  for (size_t i = 0; i < data.customer_count; i++) data.gold[i] = S_next(&state) % 10 == 0;
  return data;
}

void bench_free(bench_data *data) {
  free(data->orders);
  free(data->gold);
}

/* ── What must fire, counted without any engine ── */

static uint32_t *S_cells(const char *workload) {
  bench_rule *rules;
  size_t count = bench_rules(workload, &rules);
  uint32_t *cell = calloc(4 * 50 * 1000, sizeof *cell);
  for (size_t r = 0; r < count; r++)
    for (int g = 0; g < 50; g++)
      for (int a = 0; a < 1000; a++)
        cell[(rules[r].status * 50 + g) * 1000 + a] +=
            (rules[r].region < 0 || rules[r].region == g) &&
            (rules[r].low < 0 || a >= rules[r].low) && (rules[r].high < 0 || a < rules[r].high);
  free(rules);
  return cell;
}

uint64_t bench_expected(const bench_data *data, const char *workload, size_t from, size_t count) {
  bool join = !strcmp(workload, "join");
  uint32_t *cell = S_cells(workload);
  uint64_t hits = 0;
  for (size_t i = from; i < from + count; i++) {
    const bench_order *o = &data->orders[i];
    hits += join ? o->status == 0 && o->amount >= 900 && data->gold[o->customer]
                 : cell[(o->status * 50 + o->region) * 1000 + o->amount];
  }
  free(cell);
  return hits;
}

uint64_t bench_fires(const bench_order *o, const char *workload) {
  bench_rule *rules;
  size_t count = bench_rules(workload, &rules);
  uint64_t hits = 0;
  for (size_t r = 0; r < count; r++)
    hits += rules[r].status == o->status && (rules[r].region < 0 || rules[r].region == o->region) &&
            (rules[r].low < 0 || o->amount >= rules[r].low) &&
            (rules[r].high < 0 || o->amount < rules[r].high);
  free(rules);
  return hits;
}

/* ── Rulebooks ── */

/* The types, and for a join its rule. */
static void S_begin(const char *workload, bool json, fb_buf *out) {
  if (json) {
    fb_buf_text(out,
                "{\"facts\":{\"order\":{\"id\":\"int\",\"customer\":\"int\",\"amount\":\"int\","
                "\"status\":\"string\",\"region\":\"int\"},\"customer\":{\"id\":\"int\",\"tier\":"
                "\"string\"}},"
                "\"rules\":[");
    return;
  }
  fb_buf_text(
      out,
      "facts:\n  order: {id: int, customer: int, amount: int, status: string, region: int}\n"
      "  customer: {id: int, tier: string}\nrules:\n");
  if (strcmp(workload, "join")) return;
  fb_buf_text(out,
              "- {name: j, when: [{order as o: 'o.status == \"active\" && o.amount >= 900'}, "
              "{customer as c: 'c.id == o.customer && c.tier == \"gold\"'}], then: [{emit: j}]}\n");
}

void bench_rulebook(const char *workload, bool json, fb_buf *out) {
  bench_rule *rules;
  size_t count = bench_rules(workload, &rules);
  S_begin(workload, json, out);
  for (size_t i = 0; i < count; i++) {
    fb_buf_printf(out,
                  json ? "%s{\"name\":\"r%zu\",\"when\":[{\"order as o\":\"o.status == '%s'"
                       : "%s- {name: r%zu, when: [{order as o: 'o.status == \"%s\"",
                  json && i ? ",\n" : "", i, bench_statuses[rules[i].status]);
    if (rules[i].region >= 0) fb_buf_printf(out, " && o.region == %d", rules[i].region);
    if (rules[i].low >= 0) fb_buf_printf(out, " && o.amount >= %d", rules[i].low);
    if (rules[i].high >= 0) fb_buf_printf(out, " && o.amount < %d", rules[i].high);
    fb_buf_text(out, json ? "\"}],\"then\":[{\"emit\":\"r\"}]}" : "'}], then: [{emit: r}]}\n");
  }
  if (json) fb_buf_text(out, "]}\n");
  free(rules);
}
