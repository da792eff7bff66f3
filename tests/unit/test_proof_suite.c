/* SPDX-License-Identifier: Apache-2.0
 * Suites: reading, judging, and that the reports say the same as the rows. */
#include "test.h"

#include <flyball/proof.h>

static const char S_suite[] =
    "name: Ours & <theirs>\n"
    "about: |\n  One.\n\n  Two.\n"
    "setup: make\n"
    "rules: rules.yaml\n"
    "parts:\n"
    "  - name: times\n"
    "    shell: ./measure | tee x\n"
    "    timeout: 90s\n"
    "    rows:\n"
    "      - {name: fast enough, series: b/w/wall, max: 3ms, published: '2 ms', note: 'a|b'}\n"
    "      - {name: not fast enough, series: b/w/wall, max: 500us}\n"
    "      - {name: within, series: b/w/wall, max: 1.0105ms}\n"
    "      - {name: rate, series: b/w/wall, min: 900/s}\n"
    "      - {name: rate of ten, series: b/w/wall, min: 9000/s, per: 10}\n"
    "      - {name: one of ten, series: b/w/wall, max: 0.2ms, per: 10}\n"
    "      - {name: shown, series: b/w/*}\n"
    "      - {name: bytes, series: b/w/wall, max: 3MB}\n"
    "      - {name: elsewhere, series: x/y/z, min: 1}\n"
    "  - name: what is not there\n"
    "    rows: [{name: cache, absent: there is none, min: 5/s}]\n";

static const double S_wall[] = {1.0, 1.01, 1.02, 1.0, 1.01, 1.03, 1.01, 1.02};

static fb_status S_results(fb_results *results) {
  fb_bench_result wall = {FB_SLICE("b"),     FB_SLICE("w"),     FB_SLICE("wall"), FB_SLICE("ms"),
                          FB_LESS_IS_BETTER, FB_METRIC_LATENCY, S_wall,           8};
  return fb_results_add(results, &wall, NULL);
}

static fb_status S_read(const fb_allocator *allocator, const char *text, fb_suite *ret,
                        fb_errors *errors) {
  return fb_suite_read(fb_slice_of(text), "suite.yaml", allocator, ret, errors);
}

static fb_status S_judge(fb_suite *suite, const fb_results *results) {
  fb_random random;
  fb_random_seed(&random, 1);
  suite->parts[0].results = results;
  suite->parts[0].command = suite->parts[0].text;
  return fb_suite_judge(suite, &random, NULL);
}

static fb_status S_all(const fb_allocator *allocator, fb_claim claims[10], fb_buf *html,
                       fb_buf *markdown, fb_buf *json) {
  fb_suite suite = {0};
  fb_results results;
  fb_environment environment = {
      .cpu = "A <b>", .load = 0.5, .warnings = {"busy"}, .warning_count = 1};
  fb_result_run run = {.at = INT64_C(1800000000000000000), .commit = FB_SLICE("c0ffee")};
  fb_suite_about about = {&environment, &run, 1500000000, "flyball report suite.yaml"};
  fb_results_init(&results, allocator);
  fb_status status = S_results(&results);
  if (status == FB_OK) status = S_read(allocator, S_suite, &suite, NULL);
  if (status == FB_OK) status = S_judge(&suite, &results);
  if (status == FB_OK)
    status = fb_suite_alert_add(&suite, FB_SLICE("alert"), FB_SLICE("slow"), FB_SLICE("{\"a\":1}"),
                                NULL);
  if (status == FB_OK) {
    for (size_t i = 0; i < 9; i++) claims[i] = fb_claim_of(&suite.parts[0].judged[i]);
    claims[9] = fb_claim_of(&suite.parts[1].judged[0]);
    fb_suite_write_html(&suite, &about, html);
    fb_suite_write_markdown(&suite, &about, markdown);
    fb_suite_write_json(&suite, &about, json);
    if (html->failed || markdown->failed || json->failed) status = FB_E_NOMEM;
  }
  fb_suite_release(&suite);
  fb_results_release(&results);
  return status;
}

static const fb_claim S_wanted[10] = {
    FB_CLAIM_MET,          FB_CLAIM_MISSED,      FB_CLAIM_UNCLEAR, FB_CLAIM_MET,
    FB_CLAIM_MET,          FB_CLAIM_MET,         FB_CLAIM_SHOWN,   FB_CLAIM_NOT_MEASURED,
    FB_CLAIM_NOT_MEASURED, FB_CLAIM_NOT_MEASURED};

static void S_contains(const fb_buf *text, const char *what) {
  if (!strstr(text->ptr, what)) fail_msg("`%s` is not in the report:\n%s", what, text->ptr);
}

static void S_judges(void **state) {
  (void)state;
  fb_claim claims[10];
  fb_buf html, markdown, json;
  fb_buf_init(&html, NULL, 0);
  fb_buf_init(&markdown, NULL, 0);
  fb_buf_init(&json, NULL, 0);
  assert_int_equal(S_all(NULL, claims, &html, &markdown, &json), FB_OK);
  for (int i = 0; i < 10; i++)
    if (claims[i] != S_wanted[i]) fail_msg("row %d is %s", i, fb_claim_name(claims[i]));
  S_contains(&html, "<title>Ours &amp; &lt;theirs&gt;</title>");
  S_contains(&html, "<p>Two.");
  S_contains(&html, "<b>4</b>met");
  S_contains(&html, "./measure | tee x");
  S_contains(&html, "A &lt;b&gt;");
  S_contains(&html, "there is none");
  S_contains(&html, "prefers-color-scheme:dark");
  assert_null(strstr(html.ptr, "<theirs>"));
  assert_null(strstr(html.ptr, "http-equiv"));
  S_contains(&markdown, "**4 met**, **1 missed**, **1 unclear**, **3 not measured**");
  S_contains(&markdown, "| ≥ 900/s | 990.1/s |");
  S_contains(&markdown, "| ≥ 9000/s | 9901/s |");
  S_contains(&markdown, "- **alert** slow: `{\"a\":1}`");
  S_contains(&json, "\"met\":4,\"missed\":1,\"unclear\":1,\"not_measured\":3,\"shown\":1");
  S_contains(&json, "\"name\":\"one of ten\"");
  fb_buf_release(&html);
  fb_buf_release(&markdown);
  fb_buf_release(&json);
}

static void S_reads(void **state) {
  (void)state;
  fb_suite suite;
  assert_int_equal(S_read(NULL, S_suite, &suite, NULL), FB_OK);
  assert_int_equal(suite.part_count, 2);
  assert_int_equal(suite.parts[0].source, FB_SUITE_SHELL);
  assert_int_equal(suite.parts[0].timeout, INT64_C(90000000000));
  assert_int_equal(suite.parts[1].source, FB_SUITE_NONE);
  assert_string_equal(suite.rules, "rules.yaml");
  fb_suite_release(&suite);
}

/* A source that failed: nothing of what it printed counts. */
static void S_trouble(void **state) {
  (void)state;
  fb_suite suite;
  fb_results results;
  fb_results_init(&results, NULL);
  assert_int_equal(S_results(&results), FB_OK);
  assert_int_equal(S_read(NULL, S_suite, &suite, NULL), FB_OK);
  suite.parts[0].trouble = "it ended with exit code 3";
  assert_int_equal(S_judge(&suite, &results), FB_OK);
  for (size_t i = 0; i < suite.parts[0].judged_count; i++) {
    assert_int_equal(fb_claim_of(&suite.parts[0].judged[i]), FB_CLAIM_NOT_MEASURED);
    assert_string_equal(suite.parts[0].judged[i].reason, "it ended with exit code 3");
  }
  fb_suite_release(&suite);
  fb_results_release(&results);
}

static void S_mistakes(void **state) {
  (void)state;
  static const struct {
    const char *text, *said;
  } cases[] = {
      {"name: x\nparts: []\n", "there are no parts"},
      {"name: x\nparts: [{name: a, rows: []}]\n", "there are no rows"},
      {"name: x\nparts: [{name: a, rows: [{name: b, series: c}]}]\n", "nothing measures this row"},
      {"name: x\nparts: [{name: a, shell: b, rows: [{name: b}]}]\n", "this row has no series"},
      {"name: x\nparts: [{name: a, shell: b, bench: c, rows: [{name: b, series: d}]}]\n",
       "a part has one of `run`, `shell`, `bench` and `results`"},
      {"name: x\nparts: [{name: a, run: [], rows: [{name: b, series: d}]}]\n",
       "a command is empty"},
      {"name: x\nparts: [{name: a, run: [1], rows: [{name: b, series: d}]}]\n",
       "a word of a command is text"},
      {"name: x\nparts: [{name: a, shell: b, timeout: soon, rows: [{name: b, series: d}]}]\n",
       "this is no duration"},
      {"name: x\nparts: [{name: a, shell: b, rows: [{name: b, series: d, per: 0}]}]\n",
       "`per` is above 0"},
      {"name: x\nparts: [{name: a, shell: b, rows: [{name: b, series: d, max: quick}]}]\n",
       "this is no quantity"},
      {"name: x\nparts: [{name: a, shell: \"b\\0c\", rows: [{name: b, series: d}]}]\n",
       "a text with a NUL in it"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fb_suite suite;
    fb_errors errors;
    fb_errors_init(&errors, NULL, 0);
    assert_int_equal(S_read(NULL, cases[i].text, &suite, &errors), FB_E_PROOF_SUITE);
    assert_string_equal(errors.items[0].text, cases[i].said);
    assert_true(errors.items[0].line > 0);
    fb_errors_release(&errors);
  }
}

static bool S_torture_one(const fb_allocator *allocator) {
  fb_claim claims[10];
  fb_buf html, markdown, json;
  fb_buf_init(&html, allocator, 0);
  fb_buf_init(&markdown, allocator, 0);
  fb_buf_init(&json, allocator, 0);
  fb_status status = S_all(allocator, claims, &html, &markdown, &json);
  fb_buf_release(&html);
  fb_buf_release(&markdown);
  fb_buf_release(&json);
  return status == FB_OK;
}

static void S_torture(void **state) {
  (void)state;
  fb_test_each_failure(S_torture_one);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(S_reads), cmocka_unit_test(S_judges),
                                     cmocka_unit_test(S_trouble), cmocka_unit_test(S_mistakes),
                                     cmocka_unit_test(S_torture)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
