/* SPDX-License-Identifier: Apache-2.0
 *
 * Stateless sessions against sessions that hold their facts: on random rulebooks, the log of a stateless one is that of a
 * session which is fired after each fact, and has the same lines as that of one which is fired at the end.
 */
#include "test.h"

#include <flyball/rules.h>

enum { ROUNDS = 400, FACTS = 60 };

static fb_status S_decision(void *context, fb_session *session, const fb_decision *decision) {
  fb_buf *log = context;
  (void)session;
  fb_buf_printf(log, "%.*s ", (int)decision->rule.len, decision->rule.ptr);
  fb_json_write(log, fb_map_value(decision->fields), FB_JSON_COMPACT);
  fb_buf_char(log, '\n');
  return FB_OK;
}

static void S_error(void *context, fb_session *session, const fb_error *err) {
  (void)session;
  fb_buf_printf(context, "! %s\n", err->text);
}

static fb_ruleset *S_load(fb_slice text, bool *ret_never) {
  fb_ruleset *rules = NULL;
  fb_errors errors;
  fb_errors_init(&errors, NULL, 0);
  fb_status status = fb_ruleset_read(text, "test.yaml", NULL, &rules, &errors, NULL);
  if (ret_never) *ret_never = status == FB_E_RULE_NEVER;
  if (status != FB_OK && !(ret_never && *ret_never))
    fail_msg("%s\n%.*s", errors.items[0].text, (int)text.len, text.ptr);
  fb_errors_release(&errors);
  return rules;
}

static void S_conjunct(fb_random *random, fb_buf *out) {
  static const char *const tests[] = {
      "f.x > %u",        "f.x == %u",      "f.y <= %u",     "has(f.y) || f.x < %u",
      "f.s == 's%u'",    "f.s != 's%u'",   "f.b || %u < 0", "f.x + f.y < %u",
      "f.s.size() > %u", "f.x in [1, %u]", "f.x / %u == 1", "!(f.s < 's%u')"};
  fb_buf_printf(out, tests[fb_random_below(random, 12)], (unsigned)fb_random_below(random, 5));
}

static void S_make_book(fb_random *random, fb_buf *out) {
  uint32_t rules = 1 + (uint32_t)fb_random_below(random, 12);
  if (fb_random_below(random, 2))
    fb_buf_text(out,
                "facts:\n  a: {x: int, y: int, s: string, b: bool, id: int}\n"
                "  b: {x: int, y: int, s: string, b: bool, id: int}\n");
  fb_buf_text(out, "rules:\n");
  for (uint32_t r = 0; r < rules; r++) {
    uint32_t conjuncts = (uint32_t)fb_random_below(random, 3);
    fb_buf_printf(out, "  - name: r%u\n    salience: %d\n    when:\n      - %c as f", r,
                  (int)fb_random_below(random, 3), fb_random_below(random, 3) ? 'a' : 'b');
    for (uint32_t i = 0; i < conjuncts; i++) {
      fb_buf_text(out, i ? " && (" : ": \"(");
      S_conjunct(random, out);
      fb_buf_text(out, i + 1 == conjuncts ? ")\"" : ")");
    }
    if (fb_random_below(random, 4) == 0) {
      fb_buf_text(out, "\n      - test: \"");
      S_conjunct(random, out);
      fb_buf_char(out, '"');
    }
    fb_buf_text(out, "\n    then:\n      - emit: d\n        with: {id: \"${{ f.id }}\", v: \"");
    fb_buf_text(out, fb_random_below(random, 3) ? "x" : "${{ 10 / f.x }}");
    fb_buf_text(out, "\"}\n");
  }
}

static void S_make_facts(fb_random *random, fb_buf *out) {
  for (int i = 0; i < FACTS; i++) {
    fb_buf_printf(out, "{\"type\":\"%c\",\"id\":%d", (int)('a' + fb_random_below(random, 3)), i);
    if (fb_random_below(random, 8))
      fb_buf_printf(out, ",\"x\":%u", (unsigned)fb_random_below(random, 5));
    if (fb_random_below(random, 8))
      fb_buf_printf(out, ",\"y\":%u", (unsigned)fb_random_below(random, 5));
    if (fb_random_below(random, 8))
      fb_buf_printf(out, ",\"s\":\"s%u\"", (unsigned)fb_random_below(random, 7));
    if (fb_random_below(random, 8))
      fb_buf_printf(out, ",\"b\":%s", fb_random_below(random, 2) ? "true" : "false");
    fb_buf_text(out, "}\n");
  }
}

typedef enum S_mode { STATELESS, EACH, END } S_mode;

static void S_run(const fb_ruleset *rules, fb_slice facts, S_mode mode, uint32_t batch_rows,
                  fb_buf *log) {
  fb_session_options options = {
      .stateless = mode == STATELESS,
      .max_errors = 100000,
      .output = {.decision = S_decision, .error = S_error, .context = log}};
  fb_session *session;
  fb_stream *stream;
  fb_batch batch;
  fb_memory_source memory = {facts};
  fb_stream_options stream_options = {.format = FB_STREAM_NDJSON, .batch_rows = batch_rows};
  assert_int_equal(fb_session_new(rules, &options, NULL, &session), FB_OK);
  assert_int_equal(fb_stream_open(fb_source_memory(&memory), fb_session_schema(session),
                                  &stream_options, NULL, &stream, NULL),
                   FB_OK);
  while (fb_stream_next(stream, &batch, NULL) == FB_OK)
    for (size_t i = 0; i < batch.run_count; i++) {
      const fb_run *run = &batch.runs[i];
      for (uint32_t row = run->first, step = mode == EACH ? 1 : run->count;
           row < run->first + run->count; row += step) {
        assert_int_equal(fb_session_assert_rows(session, run->facts, row, step, NULL, NULL, NULL),
                         FB_OK);
        if (mode == EACH) assert_int_equal(fb_session_fire(session, NULL, NULL), FB_OK);
      }
    }
  assert_int_equal(fb_session_fire(session, NULL, NULL), FB_OK);
  assert_int_equal(fb_session_count(session, FB_SLICE("")), mode == STATELESS ? 0 : FACTS);
  assert_int_equal(fb_session_statistics(session).asserted, FACTS);
  fb_stream_free(stream);
  fb_session_free(session);
}

static int S_compare_lines(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static size_t S_lines(fb_buf *log, char **lines, size_t max) {
  size_t count = 0;
  fb_buf_char(log, 0);
  for (char *save, *line = strtok_r(log->ptr, "\n", &save); line && count < max;
       line = strtok_r(NULL, "\n", &save))
    lines[count++] = line;
  qsort(lines, count, sizeof *lines, S_compare_lines);
  return count;
}

static void S_round(uint64_t seed) {
  fb_random random;
  fb_buf book, facts, logs[3];
  bool never;
  fb_random_seed(&random, seed);
  fb_buf_init(&book, NULL, 0);
  fb_buf_init(&facts, NULL, 0);
  for (int i = 0; i < 3; i++) fb_buf_init(&logs[i], NULL, 0);
  S_make_book(&random, &book);
  S_make_facts(&random, &facts);
  fb_ruleset *rules = S_load(fb_buf_slice(&book), &never);
  if (rules) {
    static char *lines[2][20000];
    assert_true(fb_ruleset_stateless(rules, NULL));
    S_run(rules, fb_buf_slice(&facts), STATELESS, 1 + seed % 20, &logs[0]);
    S_run(rules, fb_buf_slice(&facts), EACH, 7, &logs[1]);
    S_run(rules, fb_buf_slice(&facts), END, 0, &logs[2]);
    if (!fb_slice_equal(fb_buf_slice(&logs[0]), fb_buf_slice(&logs[1])))
      fail_msg("seed %llu\n%s\n%s\n--\n%s", (unsigned long long)seed, book.ptr, logs[0].ptr,
               logs[1].ptr);
    size_t count = S_lines(&logs[0], lines[0], 20000);
    assert_int_equal(count, S_lines(&logs[2], lines[1], 20000));
    for (size_t i = 0; i < count; i++) assert_string_equal(lines[0][i], lines[1][i]);
  }
  fb_ruleset_free(rules);
  fb_buf_release(&book);
  fb_buf_release(&facts);
  for (int i = 0; i < 3; i++) fb_buf_release(&logs[i]);
}

static void test_like_a_session(void **state) {
  (void)state;
  const char *rounds = getenv("FB_ORACLE_ROUNDS");
  for (uint64_t i = 1, count = rounds ? strtoull(rounds, NULL, 10) : ROUNDS; i <= count; i++)
    S_round(i);
}

static const char S_book[] =
    "rules:\n"
    "  - name: start\n    when: []\n    then: [{emit: start}]\n"
    "  - name: long\n    when: [t as f: f.s.size() > 3 && f.s != 'none']\n"
    "    then: [{emit: long, with: {s: \"${{ f.s }}\"}}]\n"
    "  - name: listed\n    when: [t as f: \"'x' in f.l\"]\n    then: [{log: \"${{ f.s }}\"}]\n";

/* Texts that never come again must not pile up. */
static void test_memory_is_bounded(void **state) {
  (void)state;
  enum { BATCH = 1000, BATCHES = 600 };
  fb_ruleset *rules = S_load(FB_SLICE(S_book), NULL);
  fb_session_options options = {.stateless = true};
  fb_session *session;
  assert_int_equal(fb_session_new(rules, &options, NULL, &session), FB_OK);
  uint64_t most = 0;
  for (int b = 0; b < BATCHES; b++) {
    for (int i = 0; i < BATCH; i++) {
      char text[100];
      snprintf(text, sizeof text, "unique text number %d of some length, so that it takes room",
               b * BATCH + i);
      fb_value item = fb_string(FB_SLICE("x"));
      fb_list list = {.len = 1, .cap = 1, .items = &item};
      fb_entry entries[] = {{fb_string(FB_SLICE("s")), fb_string(fb_slice_of(text))},
                            {fb_string(FB_SLICE("l")), fb_list_value(&list)}};
      fb_map map = {.len = 2, .cap = 2, .entries = entries};
      fb_fact_id id = 7;
      assert_int_equal(fb_session_assert(session, FB_SLICE("t"), &map, &id, NULL), FB_OK);
      assert_int_equal(id, 0);
    }
    fb_session_forget_texts(session);
    uint64_t memory = fb_session_statistics(session).memory;
    if (memory > most) most = memory;
  }
  assert_true(most < 24 << 20);
  fb_session_stats stats = fb_session_statistics(session);
  assert_int_equal(stats.decisions, BATCH * BATCHES);
  assert_int_equal(stats.firings, 2 * BATCH * BATCHES);
  fb_session_free(session);
  fb_ruleset_free(rules);
}

static void test_who_needs_a_session(void **state) {
  (void)state;
  static const struct {
    const char *when, *then, *error;
  } cases[] = {
      {"[a as x, b as y]", "[{emit: d}]",
       "rule `r` joins facts: it needs a session that holds them"},
      {"[not a]", "[{emit: d}]",
       "rule `r` has a `not`, an `exists` or a `forall`: it needs a session that holds them"},
      {"[a as x]", "[{emit: d}, {retract: x}]",
       "rule `r` changes facts: it needs a session that holds them"},
      {"[a as x]", "[{halt: true}]",
       "rule `r` halts the session: it needs a session that holds them"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[400];
    snprintf(text, sizeof text,
             "rules:\n  - name: fine\n    when: [a as x]\n    then: [{log: hi}]\n  - name: r\n    "
             "when: %s\n    then: %s\n",
             cases[i].when, cases[i].then);
    fb_ruleset *rules = S_load(fb_slice_of(text), NULL);
    fb_session_options options = {.stateless = true};
    fb_session *session = NULL;
    fb_error reason;
    assert_false(fb_ruleset_stateless(rules, &reason));
    assert_int_equal(reason.code, FB_E_RULE_STATEFUL);
    assert_string_equal(reason.text, cases[i].error);
    assert_int_equal(reason.line, 5);
    assert_int_equal(fb_session_new(rules, &options, NULL, &session), FB_E_RULE_STATEFUL);
    fb_ruleset_free(rules);
  }
}

static void test_limits(void **state) {
  (void)state;
  fb_ruleset *rules = S_load(FB_SLICE(S_book), NULL);
  fb_session_options options = {.stateless = true, .max_firings = 3};
  fb_session *session;
  fb_error err;
  fb_entry entry = {fb_string(FB_SLICE("s")), fb_string(FB_SLICE("long enough"))};
  fb_map map = {.len = 1, .cap = 1, .entries = &entry};
  assert_int_equal(fb_session_new(rules, &options, NULL, &session), FB_OK);
  assert_int_equal(fb_session_fire(session, NULL, NULL), FB_OK);
  for (int i = 0; i < 2; i++)
    assert_int_equal(fb_session_assert(session, FB_SLICE("t"), &map, NULL, NULL), FB_OK);
  assert_int_equal(fb_session_assert(session, FB_SLICE("t"), &map, NULL, &err), FB_E_RULE_LIMIT);
  assert_string_equal(err.text, "3 firings, the limit; rule `long` was to fire next");
  assert_int_equal(fb_session_modify(session, 1, &map, NULL), FB_E_RULE_FACT);
  assert_int_equal(fb_session_retract(session, 1, NULL), FB_E_RULE_FACT);
  fb_session_free(session);
  fb_ruleset_free(rules);
}

static fb_ruleset *S_torture_rules;

static fb_status S_why(void *context, fb_session *session, const fb_decision *decision) {
  fb_value why;
  return fb_session_why(session, decision, context, &why);
}

static bool S_torture(const fb_allocator *allocator) {
  fb_session *session;
  fb_arena arena;
  fb_arena_init(&arena, allocator, 0);
  fb_session_options options = {
      .stateless = true, .explain = true, .output = {.decision = S_why, .context = &arena}};
  if (fb_session_new(S_torture_rules, &options, allocator, &session) != FB_OK) return false;
  bool good = fb_session_fire(session, NULL, NULL) == FB_OK;
  for (int i = 0; i < 3; i++) {
    fb_entry entries[] = {
        {fb_string(FB_SLICE("s")), fb_string(i ? FB_SLICE("none") : FB_SLICE("a long text"))},
        {fb_string(FB_SLICE("n")), fb_int(i)}};
    fb_map map = {.len = 2, .cap = 2, .entries = entries};
    good = fb_session_assert(session, FB_SLICE("t"), &map, NULL, NULL) == FB_OK && good;
  }
  good = good && fb_session_statistics(session).decisions == 2 &&
         fb_session_statistics(session).errors == 0;
  fb_session_free(session);
  fb_arena_release(&arena);
  return good;
}

static void test_every_allocation_fails(void **state) {
  (void)state;
  S_torture_rules = S_load(FB_SLICE(S_book), NULL);
  fb_test_each_failure(S_torture);
  fb_ruleset_free(S_torture_rules);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_like_a_session),         cmocka_unit_test(test_memory_is_bounded),
      cmocka_unit_test(test_who_needs_a_session),    cmocka_unit_test(test_limits),
      cmocka_unit_test(test_every_allocation_fails),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
