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

/* What actions may read besides the facts. */
typedef struct S_bound {
  int aggregates, elements;
  bool by; /* the first aggregate has a key that is named */
} S_bound;

static void S_aggregate(S_world *w, const int *types, int count, S_bound *bound) {
  static const char *const folds[] = {"count()",    "sum(q.x)",  "max(q.x)",
                                      "first(q.x)", "last(q.x)", "collect(q.id)"};
  int type = S_type(w), number = bound->aggregates++;
  bool by = S_below(w, 2), window = S_below(w, 4) == 0;
  fb_buf_printf(&w->book, "      - %s as n%d", folds[S_below(w, 6)], number);
  if (by) fb_buf_printf(&w->book, " by q.%s as b%d", S_below(w, 8) ? S_key(type) : "x", number);
  fb_buf_printf(&w->book, " of %s as q%s: \"true", S_types[type], window ? " last 2" : "");
  if (S_below(w, 3) == 0) fb_buf_text(&w->book, " && q.x < 3");
  int to = count ? (int)S_below(w, (uint32_t)count) : 0;
  if (count && (!by || S_below(w, 2)))
    fb_buf_printf(&w->book, " && q.%s == v%d.%s", S_key(type), to, S_key(types[to]));
  fb_buf_text(&w->book, "\"\n");
  if (!number) bound->by = by;
}

static void S_more_conditions(S_world *w, const int *types, int count, S_bound *bound) {
  *bound = (S_bound){0};
  while (S_below(w, 3) == 0 && bound->aggregates < 2) S_aggregate(w, types, count, bound);
  if (count && S_below(w, 4) == 0)
    fb_buf_printf(&w->book, "      - item as e%d in v%u.l: e%d > 0\n", bound->elements++,
                  S_below(w, (uint32_t)count), 0);
}

static void S_conditions(S_world *w, int *types, int *ret_count, S_bound *bound) {
  int count = 1 + (int)S_below(w, 3), guards = (int)S_below(w, 2);
  if (S_below(w, 25) == 0) count = 0;
  for (int v = 0; v < count; v++) {
    types[v] = S_type(w);
    fb_buf_text(&w->book, "      - ");
    S_condition(w, v, types[v], types, v);
    fb_buf_text(&w->book, "\n");
  }
  S_more_conditions(w, types, count, bound);
  if (!count && !bound->aggregates) guards = 1;
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

static void S_actions(S_world *w, const int *types, int count, const S_bound *bound) {
  uint32_t dice = S_below(w, 8);
  int v = count ? (int)S_below(w, (uint32_t)count) : 0;
  fb_buf_text(&w->book, "    then:\n      - emit: found\n        with: {");
  for (int i = 0; i < count; i++) fb_buf_printf(&w->book, "v%d: \"${{ v%d.id }}\", ", i, i);
  for (int i = 0; i < bound->aggregates; i++)
    fb_buf_printf(&w->book, "n%d: \"${{ n%d }}\", ", i, i);
  if (bound->elements) fb_buf_text(&w->book, "e: \"${{ e0 }}\", ");
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
  } else if (bound->by && S_below(w, 2))
    fb_buf_printf(&w->book, "      - assert: %s\n        with: {id: 1, x: 1, k: \"${{ b0 }}\"}\n%s",
                  S_below(w, 2) ? "note" : "a", S_below(w, 2) ? "        logical: true\n" : "");
  else if (S_below(w, 12) == 0)
    fb_buf_text(&w->book, "      - halt\n");
}

static void S_make_book(S_world *w) {
  if (S_below(w, 4) == 0) fb_buf_text(&w->book, "partition: {a: k, b: owner, c: k}\n");
  fb_buf_text(&w->book, "rules:\n");
  for (uint32_t r = 0, rules = 1 + S_below(w, 5); r < rules; r++) {
    int types[4] = {0}, count;
    S_bound bound;
    fb_buf_printf(&w->book, "  - name: r%u\n    salience: %u\n%s    when:\n", r, S_below(w, 3),
                  S_below(w, 4) ? "" : "    no_loop: true\n");
    S_conditions(w, types, &count, &bound);
    S_actions(w, types, count, &bound);
  }
}

/* ── Facts ── */

/* A change of a fact from outside, named by its type and its field `id`. */
typedef struct S_op {
  int type, id, value; /* value -1: it is retracted */
} S_op;

enum { OPS = 12, BATCHES = 3, MAX_FIRINGS = 40 };

static void S_make_facts(S_world *w, fb_buf *out, S_op *ops) {
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
    if (S_below(w, 3) == 0) fb_buf_printf(out, ",\"l\":[%u,2,0,1]", S_below(w, 3));
    if (S_below(w, 2)) fb_buf_printf(out, ",\"s\":\"%s\"", S_below(w, 2) ? "p" : "q");
    fb_buf_text(out, "}\n");
    ops[S_below(w, OPS)] = (S_op){type, id % 1000, (int)S_below(w, 5) - 1};
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

typedef struct S_held {
  const S_subject *subject;
  fb_buf *log;
  fb_fact_id id;
  int count;
} S_held;

static fb_status S_hold(void *context, fb_session *session, fb_fact_id id, fb_value fact) {
  S_held *held = context;
  (void)session;
  fb_json_write(held->log, fb_fact_get(fact, FB_SLICE("x")), FB_JSON_COMPACT);
  fb_value again = held->subject->group ? fb_partition_fact(held->subject->group, id) : fact;
  assert_true(
      fb_value_equal(fb_fact_get(again, FB_SLICE("id")), fb_fact_get(fact, FB_SLICE("id"))));
  held->id = id;
  held->count++;
  return FB_OK;
}

static fb_status S_query(const S_subject *subject, fb_slice type, fb_slice condition,
                         S_held *held) {
  return subject->group ? fb_partition_query(subject->group, type, condition, S_hold, held, NULL)
                        : fb_session_query(subject->session, type, condition, S_hold, held, NULL);
}

static fb_status S_apply(const S_subject *subject, fb_fact_id id, int value) {
  fb_entry entry = {fb_string(FB_SLICE("x")), fb_int(value)};
  const fb_map fields = {.len = 1, .cap = 1, .entries = &entry};
  if (subject->group)
    return value < 0 ? fb_partition_retract(subject->group, id, NULL)
                     : fb_partition_modify(subject->group, id, &fields, NULL);
  return value < 0 ? fb_session_retract(subject->session, id, NULL)
                   : fb_session_modify(subject->session, id, &fields, NULL);
}

/* FB_E_RULE_PARTITION: the change cannot be made of parts. */
static fb_status S_change(const S_subject *subject, const S_op *op, fb_buf *log) {
  char condition[40];
  S_held held = {.subject = subject, .log = log};
  int len = snprintf(condition, sizeof condition, "fact.id == %d", op->id);
  assert_int_equal(
      S_query(subject, fb_slice_of(S_types[op->type]), (fb_slice){condition, (size_t)len}, &held),
      FB_OK);
  if (held.count != 1) return FB_OK;
  fb_status status = S_apply(subject, held.id, op->value);
  if (op->value < 0 && status == FB_OK)
    assert_int_equal(S_apply(subject, held.id, -1), FB_E_RULE_FACT);
  return status;
}

static fb_status S_change_all(const S_subject *subject, const S_op *ops, fb_buf *log) {
  fb_status status = FB_OK;
  for (int i = 0; i < OPS && status == FB_OK; i++) status = S_change(subject, &ops[i], log);
  fb_buf_char(log, '\n');
  return status;
}

static void S_run(const S_subject *subject, const fb_buf *facts, const S_op (*ops)[OPS],
                  uint32_t batches, fb_buf *log) {
  for (uint32_t b = 0; b < batches; b++) {
    size_t before = log->len;
    fb_status status = S_feed(subject, fb_buf_slice(&facts[b]));
    if (status == FB_OK) status = S_change_all(subject, ops[b], log);
    if (status == FB_E_RULE_PARTITION) { /* logical facts, and facts after a fire */
      log->len = before;
      return;
    }
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
  return many->len <= one->len && (!many->len || !memcmp(one->ptr, many->ptr, many->len));
}

static bool S_round(uint64_t seed, bool show, fb_team *team, uint32_t *accepted, uint32_t *fired,
                    uint32_t *grouped) {
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
  S_op ops[BATCHES][OPS] = {0};
  for (int b = 0; b < BATCHES; b++) {
    fb_buf_init(&facts[b], NULL, 0);
    S_make_facts(&w, &facts[b], ops[b]);
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
    S_run(&subject, facts, ops, BATCHES, &many);
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
      S_run(&subject, facts, ops, BATCHES, &one);
      fb_session_free(subject.session);
    }
    same = S_agree(&one, &many);
    if (parts > 1) {
      ++*accepted, *fired += many.len > 200;
      *grouped += strstr(w.book.ptr, ") as n0") || strstr(w.book.ptr, "item as");
    }
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
  uint32_t accepted = 0, fired = 0, grouped = 0;
  if (seed) {
    assert_true(S_round(strtoull(seed, NULL, 10), true, team, &accepted, &fired, &grouped));
    return;
  }
  if (rounds) count = strtoull(rounds, NULL, 10);
  for (uint64_t i = 1; i <= count; i++)
    if (!S_round(i, false, team, &accepted, &fired, &grouped))
      fail_msg("one session and its parts differ: FB_PARTITION_SEED=%llu", (unsigned long long)i);
  print_message("# %u runs in several parts, %u with firings, %u with aggregates or elements\n",
                accepted, fired, grouped);
  assert_true(fired > count / 3 && grouped > count / 4);
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

static fb_ruleset *S_grouped;

/* Whatever fails is told, and leaks nothing. */
static bool S_torture(const fb_allocator *allocator) {
  static const char facts[] =
      "{\"type\":\"a\",\"id\":1,\"k\":\"p\",\"l\":[1,2]}\n{\"type\":\"a\",\"id\":2,\"k\":\"q\"}\n"
      "{\"type\":\"a\",\"id\":3,\"k\":\"p\",\"x\":4}\n{\"type\":\"config\",\"id\":4,\"x\":1}\n";
  static const S_op ops[] = {{0, 1, 3}, {0, 2, -1}, {CONFIG, 4, 2}};
  fb_buf log;
  fb_buf_init(&log, NULL, 0);
  fb_partition_options options = {.parts = 2, .session = {.output = S_output(&log)}};
  S_subject subject = {0};
  if (fb_partition_new(S_grouped, &options, allocator, &subject.group, NULL) != FB_OK) return false;
  fb_memory_source memory = {FB_SLICE(facts)};
  fb_stream_options stream_options = {.format = FB_STREAM_NDJSON};
  fb_stream *stream;
  fb_batch batch;
  fb_status status = fb_stream_open(fb_source_memory(&memory), fb_partition_schema(subject.group),
                                    &stream_options, NULL, &stream, NULL);
  bool open = status == FB_OK;
  if (open) status = fb_stream_next(stream, &batch, NULL);
  for (size_t i = 0; status == FB_OK && i < batch.run_count; i++)
    status = fb_partition_assert_rows(subject.group, batch.runs[i].facts, batch.runs[i].first,
                                      batch.runs[i].count, NULL, NULL);
  if (open) fb_stream_free(stream);
  if (status == FB_OK) status = fb_partition_fire(subject.group, NULL, NULL);
  for (int i = 0; i < 3 && status == FB_OK; i++) {
    S_held held = {.subject = &subject, .log = &log};
    char condition[40];
    int len = snprintf(condition, sizeof condition, "fact.id == %d", ops[i].id);
    status = S_query(&subject, fb_slice_of(S_types[ops[i].type]),
                     (fb_slice){condition, (size_t)len}, &held);
    if (status == FB_OK) status = S_apply(&subject, held.id, ops[i].value);
  }
  if (status == FB_OK) status = fb_partition_fire(subject.group, NULL, NULL);
  /* A condition for which there is no memory is reported, and does not hold. */
  fb_session_stats stats = fb_partition_statistics(subject.group);
  bool good = status == FB_OK && stats.errors == 0;
  if (good) assert_int_equal(stats.decisions, 4);
  fb_partition_free(subject.group);
  fb_buf_release(&log);
  return good;
}

static void test_every_allocation_fails(void **state) {
  (void)state;
  static const char book[] =
      "rules:\n"
      "  - {name: n, when: [{count() as n by q.k as k of a as q: true}, config as c],\n"
      "     then: [{assert: note, with: {k: \"${{ k }}\"}}, {emit: n, with: {n: \"${{ n }}\", c: "
      "\"${{ c.x }}\"}}]}\n"
      "  - {name: e, when: [a as v, {e as e in v.l: e > 0}], then: [{emit: e, with: {e: \"${{ e "
      "}}\"}}]}\n"
      "  - {name: s, when: [{sum(q.x) as n by q.k as k of a as q: true}, {note as t: t.k == k}], "
      "then: [{log: \"${{ n }}\"}]}\n";
  assert_int_equal(fb_ruleset_read(FB_SLICE(book), "book.yaml", NULL, &S_grouped, NULL, NULL),
                   FB_OK);
  fb_test_each_failure(S_torture);
  fb_ruleset_free(S_grouped);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_parts_are_as_one_session),
      cmocka_unit_test(test_threads_are_as_one_session),
      cmocka_unit_test(test_every_allocation_fails),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
