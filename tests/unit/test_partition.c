/* SPDX-License-Identifier: Apache-2.0
 *
 * Partitions against one session: random rulebooks, most of which join along a key, with random facts in several batches, fires
 * in between. Whatever the planner accepts must give the same log, byte for byte, with any number of parts and threads.
 *
 * FB_PARTITION_ROUNDS=n, FB_PARTITION_SEED=n: as in test_rule_oracle.c.
 */
#include "test.h"

#include <flyball/rules.h>

typedef struct S_world {
  fb_random random;
  fb_buf book;
} S_world;

static uint32_t S_below(S_world *w, uint32_t bound) {
  return (uint32_t)fb_random_below(&w->random, bound);
}

/* ── Rulebooks ── */

enum { TYPES = 5, CONFIG = 3 }; /* config: rules seldom change it */
static const char *const S_types[TYPES] = {"a", "b", "c", "config", "note"};

static int S_type(S_world *w) {
  return S_below(w, 6) ? (int)S_below(w, 3) : 3 + (int)S_below(w, 2);
}

static const char *S_key(int type) {
  return type == 1 ? "owner" : "k";
}

/* Tests of variable `v`, and its join to one that is bound. */
static void S_expression(S_world *w, int v, int type, const int *types, int bound) {
  bool any = false;
  fb_buf_text(&w->book, ": \"");
  if (bound && type != CONFIG && S_below(w, 12)) {
    int to = (int)S_below(w, (uint32_t)bound);
    fb_buf_printf(&w->book, "v%d.%s == v%d.%s", v, S_key(type), to,
                  types[to] == CONFIG && S_below(w, 4) ? "x" : S_key(types[to]));
    any = true;
  }
  if (bound && S_below(w, 4) == 0) {
    fb_buf_printf(&w->book, "%sv%d.x %s v%u.x", any ? " && " : "", v, S_below(w, 2) ? "==" : "<",
                  S_below(w, (uint32_t)bound));
    any = true;
  }
  if (!any || S_below(w, 3) == 0)
    fb_buf_printf(&w->book, "%sv%d.%s", any ? " && " : "", v,
                  S_below(w, 2)   ? "x < 2"
                  : S_below(w, 3) ? "s == 'p'"
                                  : "x != 1");
  fb_buf_text(&w->book, "\"");
}

static void S_condition(S_world *w, int v, int type, const int *types, int bound) {
  fb_buf_printf(&w->book, "%s as v%d", S_types[type], v);
  S_expression(w, v, type, types, bound);
}

static void S_conditions(S_world *w, int *types, int *ret_count) {
  int count = 1 + (int)S_below(w, 3), guards = (int)S_below(w, 2);
  if (S_below(w, 25) == 0) count = 0;
  for (int v = 0; v < count; v++) {
    types[v] = S_type(w);
    fb_buf_text(&w->book, "      - ");
    S_condition(w, v, types[v], types, v);
    fb_buf_text(&w->book, "\n");
  }
  if (!count) guards = 1;
  for (int g = 0; g < guards; g++) {
    int type = count ? S_type(w) : CONFIG;
    if (S_below(w, 3)) {
      fb_buf_printf(&w->book, "      - %s ", S_below(w, 2) ? "not" : "exists");
      S_condition(w, 20 + g, type, types, count);
    } else {
      fb_buf_printf(&w->book, "      - %s: [", S_below(w, 2) ? "not" : "exists");
      S_condition(w, 20 + g, type, types, count);
      fb_buf_text(&w->book, ", ");
      S_condition(w, 30 + g, type, types, count);
      fb_buf_text(&w->book, "]");
    }
    fb_buf_text(&w->book, "\n");
  }
  *ret_count = count;
}

static void S_actions(S_world *w, const int *types, int count) {
  uint32_t dice = S_below(w, 8);
  int v = count ? (int)S_below(w, (uint32_t)count) : 0;
  fb_buf_text(&w->book, "    then:\n      - emit: found\n        with: {");
  for (int i = 0; i < count; i++) fb_buf_printf(&w->book, "v%d: \"${{ v%d.id }}\", ", i, i);
  fb_buf_text(&w->book, "n: 1}\n");
  if (count && dice < 2 && types[v] != CONFIG)
    fb_buf_printf(&w->book,
                  "      - modify: v%d\n        with: {%s: \"${{ (v%d.x + 1) %% 4 }}\"}\n", v,
                  S_below(w, 20) ? "x" : S_key(types[v]), v);
  else if (count && dice == 2 && (types[v] != CONFIG || S_below(w, 8) == 0))
    fb_buf_printf(&w->book, "      - retract: v%d\n", v);
  else if (count && dice < 6) {
    int type = S_below(w, 3) ? 4 : (int)S_below(w, 3);
    fb_buf_printf(&w->book,
                  "      - assert: %s\n        with: {id: \"${{ v%d.id }}\", x: %u, %s: \"${{ "
                  "v%d.%s }}\"}\n%s",
                  S_types[type], v, S_below(w, 3), S_key(type), v,
                  S_below(w, 15) ? S_key(types[v]) : "x",
                  S_below(w, 2) ? "        logical: true\n" : "");
  } else if (S_below(w, 12) == 0)
    fb_buf_text(&w->book, "      - halt\n");
}

static void S_make_book(S_world *w) {
  if (S_below(w, 4) == 0) fb_buf_text(&w->book, "partition: {a: k, b: owner, c: k}\n");
  fb_buf_text(&w->book, "rules:\n");
  for (uint32_t r = 0, rules = 1 + S_below(w, 5); r < rules; r++) {
    int types[4] = {0}, count;
    fb_buf_printf(&w->book, "  - name: r%u\n    salience: %u\n%s    when:\n", r, S_below(w, 3),
                  S_below(w, 4) ? "" : "    no_loop: true\n");
    S_conditions(w, types, &count);
    S_actions(w, types, count);
  }
}

/* ── Facts ── */

static void S_make_facts(S_world *w, fb_buf *out) {
  static int id;
  for (uint32_t i = 0, count = S_below(w, 40); i < count; i++) {
    int type = S_below(w, 8) ? (int)S_below(w, 3) : CONFIG;
    fb_buf_printf(out, "{\"type\":\"%s\",\"id\":%d", S_types[type], ++id % 1000);
    if (S_below(w, 15)) {
      uint32_t key = S_below(w, 6);
      if (S_below(w, 4))
        fb_buf_printf(out, ",\"%s\":%u%s", S_key(type), key, S_below(w, 3) ? "" : ".0");
      else
        fb_buf_printf(out, ",\"%s\":\"t%u\"", S_key(type), key);
    }
    if (S_below(w, 10)) fb_buf_printf(out, ",\"x\":%u", S_below(w, 4));
    if (S_below(w, 2)) fb_buf_printf(out, ",\"s\":\"%s\"", S_below(w, 2) ? "p" : "q");
    fb_buf_text(out, "}\n");
  }
}

/* ── Running ── */

static fb_status S_decision(void *context, fb_session *session, const fb_decision *decision) {
  fb_buf *log = context;
  (void)session;
  fb_buf_printf(log, "%llu line %u %.*s ", (unsigned long long)decision->firing, decision->line,
                (int)decision->rule.len, decision->rule.ptr);
  fb_json_write(log, fb_map_value(decision->fields), FB_JSON_COMPACT);
  fb_buf_char(log, '\n');
  return FB_OK;
}

static void S_fired(void *context, fb_session *session, uint32_t rule, uint64_t firing) {
  (void)session;
  fb_buf_printf(context, "%u %llu\n", rule, (unsigned long long)firing);
}

static fb_session_output S_output(fb_buf *log) {
  return (fb_session_output){.decision = S_decision, .fired = S_fired, .context = log};
}

static void S_log_stats(fb_buf *log, const fb_session_stats *s) {
  fb_buf_printf(log,
                "facts %llu asserted %llu modified %llu retracted %llu firings %llu decisions %llu "
                "agenda %llu\n",
                (unsigned long long)s->facts, (unsigned long long)s->asserted,
                (unsigned long long)s->modified, (unsigned long long)s->retracted,
                (unsigned long long)s->firings, (unsigned long long)s->decisions,
                (unsigned long long)s->agenda);
}

enum { BATCHES = 3, MAX_FIRINGS = 40 };

/* Of a session, or of a partition. */
typedef struct S_subject {
  fb_session *session;
  fb_partition *group;
} S_subject;

static fb_status S_feed(const S_subject *subject, fb_slice facts) {
  fb_memory_source memory = {facts};
  fb_stream_options options = {.format = FB_STREAM_NDJSON, .batch_rows = 7};
  fb_stream *stream;
  fb_batch batch;
  fb_status status;
  fb_schema *schema =
      subject->group ? fb_partition_schema(subject->group) : fb_session_schema(subject->session);
  assert_int_equal(fb_stream_open(fb_source_memory(&memory), schema, &options, NULL, &stream, NULL),
                   FB_OK);
  for (status = FB_OK; status == FB_OK && (status = fb_stream_next(stream, &batch, NULL)) == FB_OK;)
    for (size_t i = 0; i < batch.run_count && status == FB_OK; i++) {
      const fb_run *run = &batch.runs[i];
      status = subject->group ? fb_partition_assert_rows(subject->group, run->facts, run->first,
                                                         run->count, NULL, NULL)
                              : fb_session_assert_rows(subject->session, run->facts, run->first,
                                                       run->count, NULL, NULL, NULL);
    }
  fb_stream_free(stream);
  return status == FB_DONE ? FB_OK : status;
}

static void S_run(const S_subject *subject, const fb_buf *facts, uint32_t batches, fb_buf *log) {
  for (uint32_t b = 0; b < batches; b++) {
    fb_status status = S_feed(subject, fb_buf_slice(&facts[b]));
    if (status == FB_E_RULE_PARTITION) return; /* logical facts, and facts after a fire */
    assert_int_equal(status, FB_OK);
    uint64_t firings = 0;
    status = subject->group ? fb_partition_fire(subject->group, &firings, NULL)
                            : fb_session_fire(subject->session, &firings, NULL);
    fb_buf_printf(log, "%d after %llu\n", status, (unsigned long long)firings);
    if (status != FB_OK) return; /* a partition ends with a limit */
    fb_session_stats stats = subject->group ? fb_partition_statistics(subject->group)
                                            : fb_session_statistics(subject->session);
    S_log_stats(log, &stats);
  }
}

/* The first batches' log, as many as the partition took. */
static bool S_agree(const fb_buf *one, const fb_buf *many) {
  return many->len <= one->len && !memcmp(one->ptr, many->ptr, many->len) && many->len;
}

static bool S_round(uint64_t seed, bool show, fb_team *team, uint32_t *accepted, uint32_t *fired) {
  S_world w = {0};
  fb_random_seed(&w.random, seed);
  fb_buf_init(&w.book, NULL, 0);
  S_make_book(&w);
  fb_errors errors;
  fb_errors_init(&errors, NULL, 0);
  fb_ruleset *rules = NULL;
  fb_status status =
      fb_ruleset_read(fb_buf_slice(&w.book), "random.yaml", NULL, &rules, &errors, NULL);
  if (status != FB_OK && status != FB_E_RULE_NEVER)
    fail_msg("%s\n%s", errors.items[0].text, w.book.ptr);
  fb_errors_release(&errors);
  bool same = true;
  fb_buf facts[BATCHES];
  for (int b = 0; b < BATCHES; b++) {
    fb_buf_init(&facts[b], NULL, 0);
    S_make_facts(&w, &facts[b]);
  }
  fb_buf one, many;
  fb_buf_init(&one, NULL, 0);
  fb_buf_init(&many, NULL, 0);
  for (uint32_t parts = 1; status == FB_OK && parts <= 5 && same; parts += parts == 1 ? 1 : 3) {
    fb_partition_options options = {
        .parts = parts, .session = {.max_firings = MAX_FIRINGS, .output = S_output(&many)}};
    if (team && parts > 1) {
      options.run = fb_team_run;
      options.run_context = team;
    }
    S_subject subject = {0};
    fb_error err;
    status = fb_partition_new(rules, &options, NULL, &subject.group, &err);
    if (status != FB_OK) {
      assert_int_equal(status, FB_E_RULE_PARTITION);
      if (show) print_message("%s line %u: %s\n", w.book.ptr, err.line, err.text);
      break;
    }
    fb_buf_clear(&many);
    S_run(&subject, facts, BATCHES, &many);
    if (show) {
      fb_buf plan;
      fb_buf_init(&plan, NULL, 0);
      fb_partition_dump(subject.group, &plan);
      print_message("%s", plan.ptr);
      fb_buf_release(&plan);
    }
    fb_partition_free(subject.group);
    if (!one.len) {
      fb_session_options session_options = {.max_firings = MAX_FIRINGS, .output = S_output(&one)};
      assert_int_equal(fb_session_new(rules, &session_options, NULL, &subject.session), FB_OK);
      subject.group = NULL;
      S_run(&subject, facts, BATCHES, &one);
      fb_session_free(subject.session);
    }
    same = S_agree(&one, &many);
    if (parts > 1) ++*accepted, *fired += one.len > 200;
    if (!same || show)
      fprintf(stderr, "seed %llu, %u parts:\n%s\n-- one\n%s\n-- many\n%s\n",
              (unsigned long long)seed, parts, w.book.ptr, one.ptr, many.ptr);
  }
  for (int b = 0; b < BATCHES; b++) fb_buf_release(&facts[b]);
  fb_buf_release(&one);
  fb_buf_release(&many);
  fb_buf_release(&w.book);
  fb_ruleset_free(rules);
  return same;
}

static void S_rounds(fb_team *team, uint64_t count) {
  const char *rounds = getenv("FB_PARTITION_ROUNDS"), *seed = getenv("FB_PARTITION_SEED");
  uint32_t accepted = 0, fired = 0;
  if (seed) {
    assert_true(S_round(strtoull(seed, NULL, 10), true, team, &accepted, &fired));
    return;
  }
  if (rounds) count = strtoull(rounds, NULL, 10);
  for (uint64_t i = 1; i <= count; i++)
    if (!S_round(i, false, team, &accepted, &fired))
      fail_msg("one session and its parts differ: FB_PARTITION_SEED=%llu", (unsigned long long)i);
  print_message("# %u runs in several parts, %u with firings\n", accepted, fired);
  assert_true(fired > count / 10);
}

static void test_parts_are_as_one_session(void **state) {
  (void)state;
  S_rounds(NULL, 600);
}

static void test_threads_are_as_one_session(void **state) {
  (void)state;
  fb_team *team;
  assert_int_equal(fb_team_new(4, NULL, &team), FB_OK);
  S_rounds(team, 150);
  fb_team_free(team);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_parts_are_as_one_session),
      cmocka_unit_test(test_threads_are_as_one_session),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
