/* SPDX-License-Identifier: Apache-2.0
 * Metrics of the wings: what a scrape shows is what the wings say of themselves. */
#include "test.h"

#include <flyball/loop.h>

#include <stdlib.h>
#include <unistd.h>

static fb_metrics *S_registry(void) {
  fb_metrics *metrics;
  assert_int_equal(fb_metrics_new(NULL, &metrics, NULL), FB_OK);
  return metrics;
}

static char *S_scrape(fb_metrics *metrics, fb_buf *out) {
  fb_buf_clear(out);
  assert_int_equal(fb_metrics_write(metrics, FB_METRICS_PROMETHEUS, 0, out, NULL), FB_OK);
  return out->ptr;
}

/* The value of a series as it is written; fails when there is none. */
static double S_value(const char *text, const char *series) {
  size_t len = strlen(series);
  for (const char *at = text; (at = strstr(at, series)); at += len)
    if ((at == text || at[-1] == '\n') && at[len] == ' ') return strtod(at + len, NULL);
  fail_msg("no `%s` in\n%s", series, text);
  return 0;
}

/* ── Rules ── */

static const char S_book[] =
    "rules:\n"
    "  - name: big\n"
    "    when:\n"
    "      - order as o: o.n > 5\n"
    "    then:\n"
    "      - emit: big\n"
    "        with: {n: \"${{ o.n }}\"}\n";

static void S_order(fb_session *session, int64_t n) {
  fb_entry entry = {fb_string(FB_SLICE("n")), fb_int(n)};
  fb_map map = {.len = 1, .cap = 1, .entries = &entry};
  assert_int_equal(fb_session_assert(session, FB_SLICE("order"), &map, NULL, NULL), FB_OK);
}

static void S_rules(void **state) {
  (void)state;
  fb_metrics *metrics = S_registry();
  fb_rules_metrics *view;
  fb_ruleset *rules;
  fb_session *sessions[2];
  fb_rules_seen seen[2] = {0};
  fb_buf out;
  double firings = 0, asserted = 0, facts = 0;
  fb_buf_init(&out, NULL, 0);
  assert_int_equal(fb_rules_metrics_new(metrics, FB_SLICE("shop"), NULL, &view, NULL), FB_OK);
  assert_int_equal(fb_ruleset_read(fb_slice_of(S_book), "book.yaml", NULL, &rules, NULL, NULL),
                   FB_OK);
  for (int s = 0; s < 2; s++) {
    assert_int_equal(fb_session_new(rules, NULL, NULL, &sessions[s]), FB_OK);
    for (int round = 0; round < 3; round++) {
      for (int n = 0; n < 10; n++) S_order(sessions[s], n);
      assert_int_equal(fb_session_fire(sessions[s], NULL, NULL), FB_OK);
      fb_rules_metrics_note(view, sessions[s], &seen[s]);
    }
    fb_session_stats stats = fb_session_statistics(sessions[s]);
    firings += (double)stats.firings;
    asserted += (double)stats.asserted;
    facts += (double)stats.facts;
  }
  const char *text = S_scrape(metrics, &out);
  assert_true(firings == 24);
  assert_true(S_value(text, "flyball_rules_firings_total{ruleset=\"shop\"}") == firings);
  assert_true(S_value(text, "flyball_rules_decisions_total{ruleset=\"shop\"}") == firings);
  assert_true(S_value(text, "flyball_rules_facts_asserted_total{ruleset=\"shop\"}") == asserted);
  assert_true(S_value(text, "flyball_rules_facts{ruleset=\"shop\"}") == facts);
  for (int s = 0; s < 2; s++) fb_rules_metrics_gone(view, &seen[s]);
  text = S_scrape(metrics, &out);
  assert_true(S_value(text, "flyball_rules_facts{ruleset=\"shop\"}") == 0);
  assert_true(S_value(text, "flyball_rules_memory_bytes{ruleset=\"shop\"}") == 0);
  assert_true(S_value(text, "flyball_rules_firings_total{ruleset=\"shop\"}") == firings);
  fb_rules_metrics_note(NULL, sessions[0], &seen[0]);
  for (int s = 0; s < 2; s++) fb_session_free(sessions[s]);
  fb_ruleset_free(rules);
  fb_rules_metrics_free(view);
  fb_metrics_free(metrics);
  fb_buf_release(&out);
}

/* ── Missions ── */

static const char S_mission[] =
    "name: m\n"
    "steps:\n"
    "  - {id: a, run: ['true']}\n"
    "  - {id: b, run: ['true'], needs: [a]}\n"
    "  - {id: c, run: ['false'], on_error: continue}\n"
    "  - {id: d, run: ['true'], if: 'false'}\n";

typedef struct S_watching {
  fb_mission_metrics *view;
  fb_mission_run *run;
} S_watching;

static void S_event(void *context, const fb_mission_event *event) {
  const S_watching *watching = context;
  fb_mission_metrics_event(watching->view, watching->run, event);
}

static void S_missions(void **state) {
  (void)state;
  char dir[] = "/tmp/flyball-test-watch-XXXXXX";
  fb_metrics *metrics = S_registry();
  S_watching watching = {0};
  fb_doc *doc;
  fb_mission *mission;
  fb_world *world;
  fb_buf out;
  assert_non_null(mkdtemp(dir));
  fb_buf_init(&out, NULL, 0);
  assert_int_equal(fb_mission_metrics_new(metrics, FB_SLICE("nightly"), NULL, &watching.view, NULL),
                   FB_OK);
  assert_int_equal(fb_doc_read_yaml(fb_slice_of(S_mission), "m.yaml", NULL, &doc, NULL), FB_OK);
  assert_int_equal(fb_mission_load(doc, NULL, NULL, &mission, NULL), FB_OK);
  fb_uv_options uv = {.run_dir = dir};
  assert_int_equal(fb_world_uv_new(NULL, &uv, &world, NULL), FB_OK);
  fb_mission_run_options options = {
      .env = (const char *const *)environ, .on_event = S_event, .context = &watching};
  assert_int_equal(fb_mission_run_new(mission, world, &options, NULL, &watching.run, NULL), FB_OK);
  assert_int_equal(fb_mission_run_wait(watching.run), FB_MISSION_OK);
  const char *text = S_scrape(metrics, &out);
  assert_true(S_value(text, "flyball_mission_runs_total{mission=\"nightly\",status=\"ok\"}") == 1);
  assert_true(S_value(text, "flyball_mission_runs_total{mission=\"nightly\",status=\"failed\"}") ==
              0);
  assert_true(S_value(text, "flyball_mission_steps_total{mission=\"nightly\",status=\"ok\"}") == 2);
  assert_true(S_value(text, "flyball_mission_steps_total{mission=\"nightly\",status=\"failed\"}") ==
              1);
  assert_true(
      S_value(text, "flyball_mission_steps_total{mission=\"nightly\",status=\"skipped\"}") == 1);
  assert_true(S_value(text, "flyball_mission_step_seconds_count{mission=\"nightly\"}") == 3);
  assert_true(S_value(text, "flyball_mission_run_seconds_count{mission=\"nightly\"}") == 1);
  fb_mission_run_free(watching.run);
  fb_mission_free(mission);
  fb_world_uv_free(world);
  fb_doc_free(doc);
  fb_mission_metrics_free(watching.view);
  fb_metrics_free(metrics);
  fb_buf_release(&out);
  rmdir(dir);
}

/* ── Guard ── */

static void S_guard(void **state) {
  (void)state;
  fb_metrics *metrics = S_registry();
  fb_guard_metrics *view;
  fb_breaker *breaker;
  fb_bulkhead *bulkhead;
  fb_hedge *hedge;
  fb_hedge_call call;
  fb_buf out;
  fb_breaker_config config = {.consecutive = 3, .wait = INT64_C(60000000000)};
  fb_bulkhead_config room = {.limit = 4};
  fb_hedge_config fast = {.delay = 1};
  fb_buf_init(&out, NULL, 0);
  assert_int_equal(fb_guard_metrics_new(metrics, NULL, NULL, &view, NULL), FB_OK);
  assert_int_equal(fb_breaker_new(&config, NULL, &breaker, NULL), FB_OK);
  assert_int_equal(fb_bulkhead_new(&room, NULL, &bulkhead, NULL), FB_OK);
  assert_int_equal(fb_hedge_new(&fast, NULL, &hedge, NULL), FB_OK);
  assert_int_equal(fb_guard_metrics_breaker(view, FB_SLICE("db"), breaker, NULL), FB_OK);
  assert_int_equal(fb_guard_metrics_bulkhead(view, FB_SLICE("db"), bulkhead, NULL), FB_OK);
  assert_int_equal(fb_guard_metrics_hedge(view, FB_SLICE("db"), hedge, NULL), FB_OK);
  const char *text = S_scrape(metrics, &out);
  assert_true(S_value(text, "flyball_breaker_state{name=\"db\"}") == FB_BREAKER_CLOSED);
  const fb_clock *clock = fb_clock_system();
  int64_t now = clock->mono(clock->context);
  for (int i = 0; i < 3; i++)
    fb_breaker_record(breaker, fb_breaker_admit(breaker, now), FB_RESULT_FAILED, 1, now);
  assert_true(fb_bulkhead_try(bulkhead));
  fb_hedge_begin(&call, hedge, now);
  assert_true(fb_hedge_send(&call, now + 10));
  text = S_scrape(metrics, &out);
  assert_true(S_value(text, "flyball_breaker_state{name=\"db\"}") == FB_BREAKER_OPEN);
  assert_true(S_value(text, "flyball_breaker_left_seconds{name=\"db\"}") > 50);
  assert_true(S_value(text, "flyball_bulkhead_in{name=\"db\"}") == 1);
  assert_true(S_value(text, "flyball_hedge_calls_total{name=\"db\"}") == 1);
  assert_true(S_value(text, "flyball_hedge_copies_total{name=\"db\"}") == 1);
  fb_hedge_end(&call, 1, FB_RESULT_OK, 10);
  fb_guard_metrics_forget(view, hedge); /* looks once more */
  fb_hedge_free(hedge);
  text = S_scrape(metrics, &out);
  assert_true(S_value(text, "flyball_hedge_won_total{name=\"db\"}") == 1);
  fb_guard_metrics_free(view);
  fb_bulkhead_leave(bulkhead, 1, FB_RESULT_OK, now);
  fb_bulkhead_free(bulkhead);
  fb_breaker_free(breaker);
  fb_metrics_free(metrics);
  fb_buf_release(&out);
}

/* ── Net and store ── */

static void S_net(void **state) {
  (void)state;
  fb_metrics *metrics = S_registry();
  fb_http_metrics *view;
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  assert_int_equal(fb_http_metrics_new(metrics, FB_SLICE("api"), NULL, &view, NULL), FB_OK);
  const fb_http_answer answers[] = {
      {.code = 200, .body = FB_SLICE("hello"), .total = 1000000, .reused = true},
      {.code = 404, .total = 2000000},
      {.code = 999, .total = 1},
      {.status = FB_E_NET, .code = 0, .total = 3000000}};
  for (size_t i = 0; i < 4; i++) fb_http_metrics_answer(view, &answers[i]);
  const char *text = S_scrape(metrics, &out);
  assert_true(S_value(text, "flyball_http_client_answers_total{client=\"api\",code=\"2xx\"}") == 1);
  assert_true(S_value(text, "flyball_http_client_answers_total{client=\"api\",code=\"4xx\"}") == 1);
  assert_true(S_value(text, "flyball_http_client_answers_total{client=\"api\",code=\"none\"}") ==
              2);
  assert_true(S_value(text, "flyball_http_client_received_bytes_total{client=\"api\"}") == 5);
  assert_true(S_value(text, "flyball_http_client_reused_total{client=\"api\"}") == 1);
  fb_http_metrics_free(view);
  fb_metrics_free(metrics);
  fb_buf_release(&out);
}

static fb_status S_count_event(void *user, const fb_event *event) {
  (void)event;
  ++*(int *)user;
  return FB_OK;
}

static void S_store(void **state) {
  (void)state;
  fb_metrics *metrics = S_registry();
  fb_journal *under, *journal;
  fb_buf out;
  int events = 0;
  fb_buf_init(&out, NULL, 0);
  assert_int_equal(fb_journal_memory_new(NULL, &under), FB_OK);
  assert_int_equal(fb_journal_metrics_new(metrics, under, NULL, NULL, &journal, NULL), FB_OK);
  for (int i = 0; i < 3; i++) {
    fb_event event = {.kind = FB_EVENT_NOTE, .item = FB_NO_ITEM};
    assert_int_equal(journal->append(journal->context, &event, NULL), FB_OK);
    assert_int_equal(event.seq, i + 1);
  }
  assert_true(journal->seal(journal->context));
  assert_int_equal(journal->commit(journal->context, NULL), FB_OK);
  fb_event last = {.kind = FB_EVENT_NOTE, .item = FB_NO_ITEM};
  assert_int_equal(journal->append(journal->context, &last, NULL), FB_OK);
  assert_true(journal->seal(journal->context));
  fb_journal_memory_fail(under, FB_E_IO);
  assert_int_equal(journal->commit(journal->context, NULL), FB_E_IO);
  assert_int_equal(journal->read(journal->context, S_count_event, &events, NULL), FB_OK);
  assert_int_equal(events, 3);
  const char *text = S_scrape(metrics, &out);
  assert_true(S_value(text, "flyball_journal_events_total") == 4);
  assert_true(S_value(text, "flyball_journal_commits_total") == 1);
  assert_true(S_value(text, "flyball_journal_failures_total") == 1);
  assert_true(S_value(text, "flyball_journal_commit_seconds_count") == 2);
  fb_journal_metrics_free(journal);
  fb_journal_memory_free(under);
  fb_metrics_free(metrics);
  fb_buf_release(&out);
}

/* Each view as long as there is memory. */
static bool S_torture_one(const fb_allocator *allocator) {
  fb_metrics_options options = {.allocator = allocator};
  fb_metrics *metrics;
  fb_rules_metrics *rules = NULL;
  fb_mission_metrics *mission = NULL;
  fb_guard_metrics *guard = NULL;
  fb_http_metrics *http = NULL;
  fb_journal *journal = NULL, under = {0};
  fb_bulkhead_config room = {.limit = 4};
  fb_bulkhead *bulkhead;
  fb_slice name = FB_SLICE("x");
  if (fb_metrics_new(&options, &metrics, NULL) != FB_OK) return false;
  assert_int_equal(fb_bulkhead_new(&room, NULL, &bulkhead, NULL), FB_OK);
  fb_status status = fb_rules_metrics_new(metrics, name, allocator, &rules, NULL);
  if (status == FB_OK) status = fb_mission_metrics_new(metrics, name, allocator, &mission, NULL);
  if (status == FB_OK) status = fb_guard_metrics_new(metrics, NULL, allocator, &guard, NULL);
  if (status == FB_OK) status = fb_guard_metrics_bulkhead(guard, name, bulkhead, NULL);
  if (status == FB_OK) status = fb_http_metrics_new(metrics, name, allocator, &http, NULL);
  if (status == FB_OK)
    status = fb_journal_metrics_new(metrics, &under, NULL, allocator, &journal, NULL);
  fb_rules_metrics_free(rules);
  fb_mission_metrics_free(mission);
  fb_guard_metrics_free(guard);
  fb_http_metrics_free(http);
  fb_journal_metrics_free(journal);
  fb_bulkhead_free(bulkhead);
  fb_metrics_free(metrics);
  return status == FB_OK;
}

static void S_torture(void **state) {
  (void)state;
  fb_test_each_failure(S_torture_one);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(S_rules), cmocka_unit_test(S_missions),
                                     cmocka_unit_test(S_guard), cmocka_unit_test(S_net),
                                     cmocka_unit_test(S_store), cmocka_unit_test(S_torture)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
