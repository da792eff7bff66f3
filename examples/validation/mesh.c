/* SPDX-License-Identifier: Apache-2.0
 * Code Mesh's rows, where Flyball has the wing: pools, allocations, metrics and their scrape, alerts, messages. */
#include "harness.h"

#include <flyball/metrics.h>
#include <flyball/proof.h>
#include <flyball/rules.h>

/* ── Pools: how many gets are served, and how many calls of the allocator are saved ── */

enum { BURST = 100, BURSTS = 200 };

static uint64_t S_buffers(size_t size, bool pooled, fb_pool_stats *ret) {
  fb_count_allocator count;
  fb_pool pool;
  void *held[BURST];
  fb_count_allocator_init(&count, NULL);
  fb_pool_init(&pool, &count.allocator, size);
  for (int b = 0; b < BURSTS; b++) {
    int many = 1 + b % BURST; /* bursts of 1 to 100 */
    for (int i = 0; i < many; i++) {
      held[i] = pooled ? fb_pool_get(&pool) : fb_alloc(&count.allocator, size);
      if (!held[i]) abort();
      memset(held[i], 1, 64);
    }
    for (int i = 0; i < many; i++)
      if (pooled)
        fb_pool_put(&pool, held[i]);
      else
        fb_free(&count.allocator, held[i], size);
  }
  *ret = fb_pool_statistics(&pool);
  fb_pool_release(&pool);
  return count.calls;
}

static void S_pools(void) {
  for (size_t kib = 8; kib <= 64; kib *= 2) {
    char name[40];
    fb_pool_stats stats, none;
    double with = (double)S_buffers(kib << 10, true, &stats);
    double without = (double)S_buffers(kib << 10, false, &none);
    double served = 100.0 * (double)stats.reused / (double)stats.gets, fewer = without / with;
    snprintf(name, sizeof name, "pool %zu KiB", kib);
    print_samples("mesh", name, "served_rate", "%", &served, 1);
    print_samples("mesh", name, "fewer_allocations_rate", "", &fewer, 1);
  }
}

static bool S_strings(void *context, long i) {
  fb_arena *arena = context;
  fb_arena_reset(arena);
  for (int k = 0; k < 1000; k++)
    if (!fb_arena_printf(arena, "session-%ld: message %d", i, k)) return false;
  return true;
}

/* 1,000 messages to JSON and back. */
static bool S_messages(void *context, long i) {
  fb_arena *arena = context;
  fb_value back;
  fb_buf text;
  (void)i;
  fb_arena_reset(arena);
  fb_list *list = fb_list_new(arena, 1000);
  for (int k = 0; k < 1000 && list; k++) {
    fb_map *map = fb_map_new(arena, 3);
    const char *content = fb_arena_printf(arena, "message number %d of the session", k);
    if (!map || !content ||
        !fb_map_put(map, arena, fb_string(FB_SLICE("role")), fb_string(FB_SLICE("user")), NULL) ||
        !fb_map_put(map, arena, fb_string(FB_SLICE("content")), fb_string(fb_slice_of(content)),
                    NULL) ||
        !fb_list_push(list, arena, fb_map_value(map)))
      return false;
  }
  fb_buf_init(&text, NULL, 0);
  fb_json_write(&text, fb_list_value(list), FB_JSON_COMPACT);
  bool good = fb_json_read(fb_buf_slice(&text), "messages", NULL, arena, &back, NULL) == FB_OK &&
              back.kind == FB_LIST && back.as.list->len == 1000;
  fb_buf_release(&text);
  return good;
}

/* ── Metrics ── */

static bool S_record(void *context, long i) {
  fb_histogram_record(context, (double)(i & 1023) * 1e-4);
  return true;
}

typedef struct S_scrape {
  fb_metrics *metrics;
  fb_buf out;
} S_scrape;

static bool S_scrape_once(void *context, long i) {
  S_scrape *scrape = context;
  (void)i;
  fb_buf_clear(&scrape->out);
  return fb_metrics_write(scrape->metrics, FB_METRICS_PROMETHEUS, 0, &scrape->out, NULL) == FB_OK &&
         scrape->out.len > 100000;
}

static void S_metrics(void) {
  static work w;
  static const char *const labels[] = {"tool"};
  fb_metric_def series = {.kind = FB_METRIC_COUNTER,
                          .name = "tool_calls",
                          .labels = labels,
                          .label_count = 1,
                          .max_series = 20000};
  fb_metric_def took = {.kind = FB_METRIC_HISTOGRAM, .name = "tool_seconds", .unit = "seconds"};
  S_scrape scrape = {0};
  fb_metric *metric;
  fb_histogram *histogram;
  if (fb_metrics_new(NULL, &scrape.metrics, NULL) ||
      fb_metrics_define(scrape.metrics, &took, &metric, NULL) ||
      fb_metric_histogram(metric, NULL, &histogram, NULL))
    abort();
  work_run(&w, "mesh", "record a timing", 100000, S_record, NULL, NULL, histogram);
  if (fb_metrics_define(scrape.metrics, &series, &metric, NULL)) abort();
  for (int i = 0; i < 10000; i++) {
    char name[16];
    fb_counter *counter;
    snprintf(name, sizeof name, "t%d", i);
    fb_slice value = fb_slice_of(name);
    if (fb_metric_counter(metric, &value, &counter, NULL)) abort();
    fb_counter_add(counter, (uint64_t)i);
  }
  fb_buf_init(&scrape.out, NULL, 0);
  work_run(&w, "mesh", "scrape 10,000 series", 40, S_scrape_once, NULL, NULL, &scrape);
  fb_buf_release(&scrape.out);
  fb_metrics_free(scrape.metrics);
}

/* ── Alerts: a rule over metric facts; a known breach is put in among samples at rest ── */

static const char S_rules[] =
    "rules:\n"
    "  - name: slow\n"
    "    when:\n"
    "      - sample as s: s.metric == \"tool_duration\" && s.value > 100.0\n"
    "      - not alert as a: a.metric == s.metric\n"
    "    then:\n"
    "      - assert: alert\n"
    "        with: {metric: \"${{ s.metric }}\"}\n"
    "      - emit: alert\n"
    "        with: {metric: \"${{ s.metric }}\", value: \"${{ s.value }}\"}\n";

static fb_status S_decision(void *context, fb_session *session, const fb_decision *decision) {
  (void)session, (void)decision;
  ++*(long *)context;
  return FB_OK;
}

static void S_sample(fb_session *session, double value) {
  fb_entry entries[] = {{fb_string(FB_SLICE("metric")), fb_string(FB_SLICE("tool_duration"))},
                        {fb_string(FB_SLICE("value")), fb_double(value)}};
  fb_map map = {.len = 2, .cap = 2, .entries = entries};
  if (fb_session_assert(session, FB_SLICE("sample"), &map, NULL, NULL) ||
      fb_session_fire(session, NULL, NULL))
    abort();
}

static void S_alerts(void) {
  double fire[REPEATS], wrong = 0;
  fb_ruleset *rules;
  if (fb_ruleset_read(fb_slice_of(S_rules), "alerts.yaml", NULL, &rules, NULL, NULL)) abort();
  for (int r = 0; r < REPEATS; r++) {
    long fired = 0;
    fb_session *session;
    fb_session_options options = {.output = {.decision = S_decision, .context = &fired}};
    if (fb_session_new(rules, &options, NULL, &session)) abort();
    for (int i = 0; i < 2000; i++) S_sample(session, i % 100);
    wrong += (double)fired;
    double start = now_ns();
    S_sample(session, 150);
    fire[r] = now_ns() - start;
    if (fired != 1) fprintf(stderr, "mesh/alert: %ld alerts for one breach\n", fired);
    fb_session_free(session);
  }
  print_samples("mesh", "alert", "fire_time", "ns", fire, REPEATS);
  print_samples("mesh", "alert", "false_alarms", "", &wrong, 1);
  fb_ruleset_free(rules);
}

void mesh_all(void) {
  static work w;
  fb_arena arena;
  fb_arena_init(&arena, NULL, 0);
  S_pools();
  work_run(&w, "mesh", "1,000 strings", 100, S_strings, NULL, NULL, &arena);
  work_run(&w, "mesh", "1,000 messages", 50, S_messages, NULL, NULL, &arena);
  fb_arena_release(&arena);
  S_metrics();
  S_alerts();
}
