/* SPDX-License-Identifier: Apache-2.0
 * Results: reading them, keeping them, judging them by budgets. */
#include "test.h"

#include <flyball/proof.h>

#include <math.h>

static fb_status S_read(fb_results *results, const char *text, fb_errors *errors) {
  return fb_results_read(results, fb_slice_of(text), "r.json", errors);
}

static const char *S_all_forms =
    "{\"type\":\"flyball.result.v1\",\"bench\":\"b\",\"workload\":\"w\",\"metric\":\"p95\","
    "\"unit\":\"ms\","
    "\"samples\":[1,2,3],\"commit\":\"abcd1234\",\"branch\":\"main\",\"fingerprint\":\"f1\"}\n"
    "\n"
    "{\"bench\":\"guard\",\"workload\":\"closed\",\"ours\":12.5,\"unit\":\"ns\",\"peer\":null}\n"
    "{\"bench\":\"guard\",\"workload\":\"open\",\"ours\":null,\"unit\":\"ns\",\"verdict\":\"not "
    "measured\"}\n"
    "{\"results\":[{\"command\":\"sleep 1\",\"mean\":1.0,\"times\":[1.01,1.02]}]}\n"
    "{\"context\":{},\"benchmarks\":[{\"name\":\"BM_x\",\"run_name\":\"BM_x\",\"run_type\":"
    "\"iteration\","
    "\"real_time\":5,\"cpu_time\":4,\"time_unit\":\"ns\"},{\"name\":\"BM_x\",\"run_name\":\"BM_x\","
    "\"run_type\":"
    "\"iteration\",\"real_time\":6,\"cpu_time\":4.5,\"time_unit\":\"ns\"},{\"name\":\"BM_x_mean\","
    "\"run_type\":"
    "\"aggregate\",\"real_time\":5.5,\"cpu_time\":4.25,\"time_unit\":\"ns\"}]}\n"
    "[{\"type\":\"flyball.result.v1\",\"workload\":\"w2\",\"metric\":\"throughput\",\"unit\":\"/"
    "s\",\"value\":9}]\n";

static void S_forms(void **state) {
  (void)state;
  fb_results results;
  fb_results_init(&results, NULL);
  assert_int_equal(S_read(&results, S_all_forms, NULL), FB_OK);
  assert_int_equal(results.count, 6);
  assert_int_equal(results.not_measured, 1);
  assert_string_equal(results.run.commit.ptr, "abcd1234");
  assert_string_equal(results.run.branch.ptr, "main");
  assert_string_equal(results.run.fingerprint.ptr, "f1");
  assert_int_equal(results.items[0].count, 3);
  assert_int_equal(results.items[0].kind, FB_METRIC_LATENCY);
  assert_string_equal(results.items[1].metric.ptr, "ours");
  assert_int_equal(results.items[2].count, 2); /* hyperfine */
  assert_string_equal(results.items[3].workload.ptr, "BM_x");
  assert_int_equal(results.items[3].count, 2); /* the aggregate is none */
  assert_true(results.items[3].samples[1] == 6);
  assert_int_equal(results.items[5].direction, FB_MORE_IS_BETTER);
  assert_int_equal(results.items[5].kind, FB_METRIC_THROUGHPUT);
  fb_results_release(&results);
}

/* A document over many lines, as hyperfine writes it. */
static void S_pretty(void **state) {
  (void)state;
  fb_results results;
  fb_results_init(&results, NULL);
  assert_int_equal(
      S_read(&results, "{\n \"results\": [\n {\"command\": \"x\", \"times\": [1]}\n ]\n}\n", NULL),
      FB_OK);
  assert_int_equal(results.count, 1);
  fb_results_release(&results);
}

static void S_expect_error(const char *text, fb_status code, uint32_t line, const char *words) {
  fb_results results;
  fb_errors errors;
  fb_results_init(&results, NULL);
  fb_errors_init(&errors, NULL, 0);
  assert_int_equal(S_read(&results, text, &errors), code);
  assert_int_equal(errors.items[0].line, line);
  if (!strstr(errors.items[0].text, words))
    fail_msg("'%s' does not say '%s'", errors.items[0].text, words);
  assert_string_equal(errors.items[0].file, "r.json");
  fb_errors_release(&errors);
  fb_results_release(&results);
}

static void S_bad_records(void **state) {
  (void)state;
  S_expect_error(
      "{\"type\":\"flyball.result.v1\",\"workload\":\"w\",\"metric\":\"m\",\"samples\":[1]}\n{"
      "\"a\":1}\n",
      FB_E_PROOF_RESULT, 2, "no result");
  S_expect_error("{\"type\":\"flyball.result.v1\",\"metric\":\"m\",\"samples\":[1]}",
                 FB_E_PROOF_RESULT, 1, "workload");
  S_expect_error(
      "{\"type\":\"flyball.result.v1\",\"workload\":\"w\",\"metric\":\"m\",\"samples\":[]}",
      FB_E_PROOF_RESULT, 1, "a list of numbers");
  S_expect_error(
      "{\"type\":\"flyball.result.v1\",\"workload\":\"w\",\"metric\":\"m\",\"samples\":[1,\"2\"]}",
      FB_E_PROOF_RESULT, 1, "sample 2");
  S_expect_error(
      "{\"type\":\"flyball.result.v1\",\"workload\":\"w\",\"metric\":\"m\",\"better\":\"up\","
      "\"value\":1}",
      FB_E_PROOF_RESULT, 1, "better");
  S_expect_error("{\"type\":\"other\"}", FB_E_PROOF_RESULT, 1, "other");
  S_expect_error("[1]", FB_E_PROOF_RESULT, 1, "item 1");
  S_expect_error("{\"bench\":\"b\",\"workload\":\"w\",\"ours\":1}\n\n{\"bench\":", FB_E_JSON_SYNTAX,
                 3, "");
  S_expect_error(
      "{\"bench\":\"b\",\"workload\":\"w\",\"ours\":1,\"unit\":\"s\"}\n"
      "{\"bench\":\"b\",\"workload\":\"w\",\"ours\":1,\"unit\":\"ms\"}",
      FB_E_PROOF_RESULT, 2, "comes in ms here");
}

static void S_globs(void **state) {
  (void)state;
  static const struct {
    const char *pattern, *text;
    bool fits;
  } cases[] = {{"*", "a/b/c", true}, {"a/*/c", "a/b/c", true}, {"a/*/d", "a/b/c", false},
               {"", "", true},       {"", "a", false},         {"?", "a", true},
               {"?", "", false},     {"*b*b*c", "abbc", true}, {"*ab", "aab", true},
               {"a**", "a", true},   {"a?c", "abc", true},     {"*/wall", "x/wall2", false}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    if (fb_glob_match(fb_slice_of(cases[i].pattern), fb_slice_of(cases[i].text)) != cases[i].fits)
      fail_msg("%s %s", cases[i].pattern, cases[i].text);
}

static void S_quantities(void **state) {
  (void)state;
  static const struct {
    double value;
    const char *unit, *text;
  } cases[] = {{0.00123, "s", "1.23 ms"},   {1500, "us", "1.50 ms"},
               {12, "ns", "12 ns"},         {0, "s", "0 ns"},
               {2500000, "B", "2.50 MB"},   {512, "B", "512 B"},
               {1234567, "/s", "1.23 M/s"}, {42, "", "42"},
               {0.25, "", "0.25"},          {99.5, "%", "99.5%"}};
  double value;
  fb_slice unit;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[40];
    fb_quantity_format(cases[i].value, fb_slice_of(cases[i].unit), text);
    assert_string_equal(text, cases[i].text);
  }
  assert_true(fb_quantity_parse(FB_SLICE("5%"), &value, &unit) && value == 0.05 && !unit.len);
  assert_true(fb_quantity_parse(FB_SLICE("1.5e3 ms"), &value, &unit) && value == 1500 &&
              unit.len == 2);
  assert_false(fb_quantity_parse(FB_SLICE("inf"), &value, &unit));
  assert_false(fb_quantity_parse(FB_SLICE("ms"), &value, &unit));
  assert_false(fb_quantity_parse(FB_SLICE(""), &value, &unit));
  assert_true(fabs(fb_unit_factor(FB_SLICE("ms"), FB_SLICE("us")) - 1000) < 1e-9);
  assert_true(fb_unit_factor(FB_SLICE("ms"), FB_SLICE("B")) == 0);
}

/* ── History ── */

static fb_history *S_open(void) {
  fb_history *history;
  assert_int_equal(fb_history_open(":memory:", false, NULL, &history, NULL), FB_OK);
  return history;
}

static fb_status S_add(fb_history *history, const char *commit, const char *branch, int64_t at,
                       double level, size_t samples) {
  fb_results results;
  static double values[3000];
  int64_t run;
  fb_error err;
  fb_results_init(&results, NULL);
  for (size_t i = 0; i < samples; i++) values[i] = level + (double)(i * 5 % samples);
  fb_bench_result result = {.bench = FB_SLICE("b"),
                            .workload = FB_SLICE("w"),
                            .metric = FB_SLICE("wall"),
                            .unit = FB_SLICE("s"),
                            .samples = values,
                            .count = samples};
  assert_int_equal(fb_results_add(&results, &result, NULL), FB_OK);
  result.metric = FB_SLICE("throughput");
  result.unit = FB_SLICE("/s");
  result.direction = FB_MORE_IS_BETTER;
  result.kind = FB_METRIC_THROUGHPUT;
  assert_int_equal(fb_results_add(&results, &result, NULL), FB_OK);
  results.run = (fb_result_run){.at = at,
                                .commit = fb_slice_of(commit),
                                .branch = fb_slice_of(branch),
                                .fingerprint = FB_SLICE("f")};
  fb_status status = fb_history_add(history, &results, &run, &err);
  fb_results_release(&results);
  return status;
}

static void S_history(void **state) {
  (void)state;
  fb_history *history = S_open();
  fb_arena arena;
  fb_history_run *runs;
  fb_history_series *series;
  size_t count;
  fb_arena_init(&arena, NULL, 0);
  assert_int_equal(S_add(history, "aaaa1111", "main", 30, 10, 7), FB_OK);
  assert_int_equal(S_add(history, "aaaa2222", "topic", 20, 20, 7), FB_OK);
  assert_int_equal(S_add(history, "bbbb3333", "main", 40, 30, 7), FB_OK);
  assert_int_equal(S_add(history, "bbbb3333", "main", 40, 30, 7), FB_E_PROOF_HISTORY); /* twice */
  assert_int_equal(fb_history_runs(history, NULL, &arena, &runs, &count, NULL), FB_OK);
  assert_int_equal(count, 3);
  assert_string_equal(runs[0].run.commit.ptr, "aaaa2222"); /* oldest first */
  assert_int_equal(runs[2].results, 2);
  fb_history_filter filter = {.branch = FB_SLICE("main"), .series = FB_SLICE("*/wall")};
  assert_int_equal(fb_history_series_of(history, &filter, &arena, &series, &count, NULL), FB_OK);
  assert_int_equal(count, 1);
  assert_int_equal(series[0].count, 2);
  assert_true(series[0].points[0].median == 13 && series[0].points[1].median == 33);
  assert_int_equal(series[0].points[1].kept, 7);
  assert_true(series[0].points[1].samples[1] == 35); /* as measured: 5 * 1 % 7 */
  filter.last = 1;
  assert_int_equal(fb_history_series_of(history, &filter, &arena, &series, &count, NULL), FB_OK);
  assert_true(count == 1 && series[0].count == 1 && series[0].points[0].median == 33);
  filter = (fb_history_filter){.fingerprint = FB_SLICE("other")};
  assert_int_equal(fb_history_series_of(history, &filter, &arena, &series, &count, NULL), FB_OK);
  assert_int_equal(count, 0);
  fb_arena_release(&arena);
  fb_history_close(history);
}

static fb_status S_named(fb_history *history, const char *name, double *ret_median) {
  fb_results results;
  fb_results_init(&results, NULL);
  fb_status status = fb_history_results(history, fb_slice_of(name), &results, NULL);
  fb_summary summary;
  if (status == FB_OK) {
    assert_int_equal(results.count, 2);
    assert_int_equal(
        fb_summarize(results.items[0].samples, results.items[0].count, NULL, &summary, NULL),
        FB_OK);
    *ret_median = summary.median;
  }
  fb_results_release(&results);
  return status;
}

static void S_names(void **state) {
  (void)state;
  fb_history *history = S_open();
  double median = 0;
  assert_int_equal(S_add(history, "aaaa1111", "main", 30, 10, 7), FB_OK);
  assert_int_equal(S_add(history, "aaaa2222", "main", 20, 20, 7), FB_OK);
  assert_int_equal(S_add(history, "aaaa2222", "main", 10, 40, 7), FB_OK);
  assert_int_equal(S_named(history, "main", &median), FB_OK);
  assert_true(median == 13);
  assert_int_equal(S_named(history, "aaaa2", &median), FB_OK);
  assert_true(median == 23); /* the newest of the commit */
  assert_int_equal(S_named(history, "#3", &median), FB_OK);
  assert_true(median == 43);
  assert_int_equal(S_named(history, "aaaa", &median), FB_E_PROOF_HISTORY); /* two commits */
  assert_int_equal(S_named(history, "aaa", &median), FB_E_PROOF_HISTORY);  /* too short */
  assert_int_equal(S_named(history, "#9", &median), FB_E_PROOF_HISTORY);
  assert_int_equal(S_named(history, "", &median), FB_E_PROOF_HISTORY);
  uint64_t removed;
  assert_int_equal(fb_history_prune(history, 15, 0, &removed, NULL), FB_OK);
  assert_int_equal(removed, 1);
  assert_int_equal(S_named(history, "#3", &median), FB_E_PROOF_HISTORY);
  assert_int_equal(fb_history_prune(history, 0, 1, &removed, NULL), FB_OK);
  assert_int_equal(removed, 1);
  assert_int_equal(S_named(history, "aaaa", &median), FB_OK);
  fb_history_close(history);
}

static void S_many_samples(void **state) {
  (void)state;
  fb_history *history = S_open();
  fb_arena arena;
  fb_history_series *series;
  size_t count;
  fb_summary summary;
  fb_arena_init(&arena, NULL, 0);
  assert_int_equal(S_add(history, "aaaa1111", "main", 1, 0, 2999), FB_OK);
  assert_int_equal(fb_history_series_of(history, NULL, &arena, &series, &count, NULL), FB_OK);
  const fb_history_point *point = &series[1].points[0];
  assert_int_equal(point->count, 2999);
  assert_int_equal(point->kept, FB_HISTORY_SAMPLES);
  assert_int_equal(fb_summarize(point->samples, point->kept, NULL, &summary, NULL), FB_OK);
  assert_true(fabs(summary.median - point->median) < 3 && summary.min == 0 && summary.max == 2998);
  fb_arena_release(&arena);
  fb_history_close(history);
}

/* ── Budgets ── */

static void S_bad_budget(const char *text, uint32_t line, const char *words) {
  fb_errors errors;
  fb_budgets budgets;
  bool said = false;
  fb_errors_init(&errors, NULL, 0);
  assert_int_not_equal(fb_budgets_read(fb_slice_of(text), "b.yaml", NULL, &budgets, &errors),
                       FB_OK);
  for (size_t i = 0; i < errors.count; i++)
    said = said || (errors.items[i].line == line &&
                    (strstr(errors.items[i].text, words) || strstr(errors.items[i].hint, words)));
  if (!said)
    fail_msg("nobody says '%s' about line %u; first: %s (line %u)", words, line,
             errors.items[0].text, errors.items[0].line);
  fb_errors_release(&errors);
}

static void S_bad_budgets(void **state) {
  (void)state;
  S_bad_budget("budgets: []\n", 1, "no budgets");
  S_bad_budget("budget: []\n", 1, "did you mean `budgets`");
  S_bad_budget("budgets:\n  - series: a\n", 2, "no bound");
  S_bad_budget("budgets:\n  - series: a\n    worse: 5ms\n", 3, "no share");
  S_bad_budget("budgets:\n  - series: a\n    max: fast\n", 3, "no quantity");
  S_bad_budget("budgets:\n  - worse: 5%\n    severty: minor\n", 3, "severity");
  S_bad_budget("budgets:\n  - series: a\n    worse: 5%\n    severity: huge\n", 4,
               "no such severity");
  S_bad_budget("baseline: {runs: 0}\nbudgets:\n  - {series: a, worse: 1%}\n", 1, "from 1");
  S_bad_budget("confidence: 20%\nbudgets:\n  - {series: a, worse: 1%}\n", 1, "share");
}

static const char *S_budget_text =
    "baseline: {branch: main, runs: 5}\nconfidence: 90%\nbudgets:\n"
    "  - {series: '*/wall', max: 1500ms, worse: 5%, severity: critical}\n"
    "  - {series: '*/count', worse: 0.01, exact: true}\n"
    "  - {series: nothing, max: 1}\n"
    "  - {series: '*/size', max: 3ms, warn: true}\n"
    "  - {series: '*/wall', min: 0.9s}\n";

static fb_status S_judge(const fb_allocator *allocator, double factor,
                         fb_gate_verdict verdicts[5]) {
  static const double wall[] = {1, 1.01, 1.02, 1.01, 1, 1.02, 1.01}, count[] = {1000};
  double wall_now[7], count_now = 1000 * factor;
  fb_budgets budgets;
  fb_results results;
  fb_gate_row *rows;
  size_t row_count;
  fb_random random;
  fb_arena arena;
  fb_random_seed(&random, 1);
  fb_status status =
      fb_budgets_read(fb_slice_of(S_budget_text), "b.yaml", allocator, &budgets, NULL);
  if (status != FB_OK) return status;
  fb_results_init(&results, allocator);
  fb_arena_init(&arena, allocator, 0);
  for (int i = 0; i < 7; i++) wall_now[i] = wall[6 - i] * factor;
  fb_bench_result items[] = {{FB_SLICE("b"), FB_SLICE("w"), FB_SLICE("wall"), FB_SLICE("s"),
                              FB_LESS_IS_BETTER, FB_METRIC_LATENCY, wall_now, 7},
                             {FB_SLICE("b"), FB_SLICE("w"), FB_SLICE("count"), FB_SLICE(""),
                              FB_LESS_IS_BETTER, FB_METRIC_CPU, &count_now, 1},
                             {FB_SLICE("b"), FB_SLICE("w"), FB_SLICE("size"), FB_SLICE("B"),
                              FB_LESS_IS_BETTER, FB_METRIC_MEMORY, wall_now, 7}};
  fb_history_point points[2] = {{.median = 1.01, .samples = wall, .count = 7, .kept = 7},
                                {.median = 1000, .samples = count, .count = 1, .kept = 1}};
  fb_history_series past[2] = {{items[0], &points[0], 1}, {items[1], &points[1], 1}};
  for (int i = 0; i < 3 && status == FB_OK; i++) status = fb_results_add(&results, &items[i], NULL);
  if (status == FB_OK)
    status = fb_gate_judge(&budgets, &results, past, 2, &random, &arena, &rows, &row_count, NULL);
  if (status == FB_OK) {
    assert_int_equal(row_count, 5);
    for (int i = 0; i < 5; i++) verdicts[i] = rows[i].verdict;
  }
  fb_arena_release(&arena);
  fb_results_release(&results);
  fb_budgets_release(&budgets);
  return status;
}

static void S_gate(void **state) {
  (void)state;
  static const struct {
    double factor;
    fb_gate_verdict wanted[5];
  } cases[] = {
      {1, {FB_GATE_PASS, FB_GATE_PASS, FB_GATE_NOT_MEASURED, FB_GATE_NOT_MEASURED, FB_GATE_PASS}},
      {1.1, {FB_GATE_FAIL, FB_GATE_FAIL, FB_GATE_NOT_MEASURED, FB_GATE_NOT_MEASURED, FB_GATE_PASS}},
      {1.005,
       {FB_GATE_PASS, FB_GATE_PASS, FB_GATE_NOT_MEASURED, FB_GATE_NOT_MEASURED, FB_GATE_PASS}},
      {0.8, {FB_GATE_PASS, FB_GATE_PASS, FB_GATE_NOT_MEASURED, FB_GATE_NOT_MEASURED, FB_GATE_FAIL}},
      {1.05,
       {FB_GATE_UNCLEAR, FB_GATE_FAIL, FB_GATE_NOT_MEASURED, FB_GATE_NOT_MEASURED, FB_GATE_PASS}}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fb_gate_verdict verdicts[5];
    assert_int_equal(S_judge(NULL, cases[i].factor, verdicts), FB_OK);
    for (int k = 0; k < 5; k++)
      if (verdicts[k] != cases[i].wanted[k])
        fail_msg("factor %g, row %d: %s", cases[i].factor, k, fb_gate_verdict_name(verdicts[k]));
  }
}

static bool S_torture_gate(const fb_allocator *allocator) {
  fb_gate_verdict verdicts[5];
  return S_judge(allocator, 1.1, verdicts) == FB_OK;
}

static bool S_torture_history(const fb_allocator *allocator) {
  fb_results results, back;
  fb_history *history = NULL;
  fb_arena arena;
  fb_history_series *series;
  fb_history_run *runs;
  size_t count;
  int64_t run;
  fb_results_init(&results, allocator);
  fb_results_init(&back, allocator);
  fb_arena_init(&arena, allocator, 0);
  fb_status status = S_read(&results, S_all_forms, NULL);
  if (status == FB_OK) status = fb_history_open(":memory:", false, allocator, &history, NULL);
  if (status == FB_OK) status = fb_history_add(history, &results, &run, NULL);
  if (status == FB_OK) status = fb_history_runs(history, NULL, &arena, &runs, &count, NULL);
  if (status == FB_OK) status = fb_history_series_of(history, NULL, &arena, &series, &count, NULL);
  if (status == FB_OK) status = fb_history_results(history, FB_SLICE("main"), &back, NULL);
  if (status == FB_OK) assert_int_equal(back.count, results.count);
  fb_history_close(history);
  fb_arena_release(&arena);
  fb_results_release(&back);
  fb_results_release(&results);
  return status == FB_OK;
}

static void S_torture(void **state) {
  (void)state;
  fb_test_each_failure(S_torture_gate);
  fb_test_each_failure(S_torture_history);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(S_forms), cmocka_unit_test(S_pretty),       cmocka_unit_test(S_bad_records),
      cmocka_unit_test(S_globs), cmocka_unit_test(S_quantities),   cmocka_unit_test(S_history),
      cmocka_unit_test(S_names), cmocka_unit_test(S_many_samples), cmocka_unit_test(S_bad_budgets),
      cmocka_unit_test(S_gate),  cmocka_unit_test(S_torture),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
