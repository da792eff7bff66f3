/* SPDX-License-Identifier: Apache-2.0
 *
 * Many facts at a time against one by one: on random rulebooks whose conditions are met in every way that the sieve and
 * the kernels have, over facts with missing fields and fields of several kinds, both give the same decisions, errors
 * and numbers in the same order, with every kernel, and whether decisions come as maps or as records.
 */
#include "test.h"

#include "data/kernel.h"
#include "rules/session.h"

enum { ROUNDS = 60, FACTS_MAX = 9000 };

typedef struct S_world {
  fb_random random;
  fb_buf book;
  fb_ruleset *rules;
  uint32_t facts;
  uint64_t seed;
} S_world;

/* ── Rulebooks ── */

static uint32_t S_below(fb_random *random, uint32_t n) {
  return (uint32_t)fb_random_below(random, n);
}

/* About one field, so that no two conjuncts of a rule exclude each other. Of an open type constants may be of another kind than the
 * field has. */
static void S_conjunct(fb_random *random, uint32_t about, bool open, fb_buf *out) {
  static const char *const ops[] = {"==", "!=", "<", "<=", ">", ">="};
  const char *op = ops[S_below(random, 6)], *equal = ops[S_below(random, 2)];
  bool odd = open && S_below(random, 4) == 0;
  switch (about) {
    case 0:
      if (odd)
        fb_buf_printf(out, "f.x %s %s", equal, S_below(random, 2) ? "'s1'" : "3.0");
      else
        fb_buf_printf(out, "f.x %s %d",
                      S_below(random, 2) ? op : "==", (int)S_below(random, 40) - 5);
      break;
    case 1:
      if (odd)
        fb_buf_printf(out, "f.s %s %s", equal, S_below(random, 2) ? "5" : "true");
      else
        fb_buf_printf(out, "f.s %s 's%u'", S_below(random, 3) ? "==" : op, S_below(random, 12));
      break;
    case 2: fb_buf_printf(out, "f.y %s %u", op, S_below(random, 8) * 1000003u); break;
    case 3:
      if (odd)
        fb_buf_printf(out, "f.d %s %u", op, S_below(random, 20));
      else
        fb_buf_printf(out, "f.d %s %d.%c", op, (int)S_below(random, 20) - 5,
                      S_below(random, 2) ? '5' : '0');
      break;
    case 4:
      fb_buf_text(out, S_below(random, 2)   ? "f.b"
                       : S_below(random, 2) ? "!f.b"
                       : odd                ? "f.b != 1"
                                            : "f.b == true");
      break;
    case 5:
      fb_buf_text(out, S_below(random, 2) ? "has(f.y)" : odd ? "!has(f.z)" : "!has(f.s)");
      break;
    case 6: fb_buf_printf(out, "f.x + f.y %s %u", op, S_below(random, 40)); break;
    default: fb_buf_printf(out, "10 / f.x > %u", S_below(random, 5)); break;
  }
}

static void S_with(fb_random *random, fb_buf *out) {
  static const char *const values[] = {"\"${{ f.id }}\"",
                                       "\"${{ f.s }}\"",
                                       "7",
                                       "text",
                                       "\"${{ 10 / f.x }}\"",
                                       "\"<${{ f.s }}>\"",
                                       "\"${{ f.x }}\"",
                                       "[1, \"${{ f.id }}\"]"};
  fb_buf_text(out, "{id: \"${{ f.id }}\"");
  uint32_t more = S_below(random, 3);
  for (uint32_t i = 0; i < more; i++)
    fb_buf_printf(out, ", v%u: %s", i, values[S_below(random, 8)]);
  fb_buf_text(out, "}");
}

static void S_rule(fb_random *random, uint32_t number, bool open, fb_buf *out) {
  fb_buf_printf(out, "  - name: r%u\n    salience: %u\n    when:\n      - %c as f", number,
                S_below(random, 2), S_below(random, 4) ? 'a' : 'b');
  uint32_t conjuncts = S_below(random, 4), about = S_below(random, 8);
  for (uint32_t i = 0; i < conjuncts; i++) {
    fb_buf_text(out, i ? " && (" : ": \"(");
    S_conjunct(random, (about + 3 * i) % 8, open, out);
    fb_buf_text(out, i + 1 == conjuncts ? ")\"" : ")");
  }
  fb_buf_text(out, "\n    then:\n");
  uint32_t actions = 1 + S_below(random, 8) / 7;
  for (uint32_t i = 0; i < actions; i++) {
    fb_buf_text(out, "      - emit: d\n        with: ");
    S_with(random, out);
    fb_buf_text(out, "\n");
  }
  if (S_below(random, 10) == 0) fb_buf_text(out, "      - log: \"rule ${{ f.id }}\"\n");
}

static void S_make_book(S_world *w) {
  static const uint32_t sizes[] = {1, 3, 12, 40, 150};
  fb_random *random = &w->random;
  uint32_t rules = sizes[S_below(random, 5)];
  bool open = S_below(random, 2);
  if (!open)
    fb_buf_text(&w->book,
                "facts:\n  a: {x: int, y: int, s: string, b: bool, d: double, id: int}\n"
                "  b: {x: int, y: int, s: string, b: bool, d: double, id: int}\n");
  fb_buf_text(&w->book, "rules:\n");
  for (uint32_t r = 0; r < rules; r++) S_rule(random, r, open, &w->book);
}

/* ── Facts ── */

static fb_value S_text(fb_facts *facts, uint32_t number) {
  char text[24];
  int len = snprintf(text, sizeof text, "s%u", number);
  fb_symbol symbol;
  fb_symbols *symbols = fb_schema_symbols(fb_facts_schema(facts));
  assert_int_equal(fb_symbol_intern(symbols, (fb_slice){text, (size_t)len}, &symbol), FB_OK);
  return fb_symbol_value(symbols, symbol);
}

static fb_value S_value(fb_random *random, fb_facts *facts, char field) {
  switch (field) {
    case 'x': return fb_int((int64_t)S_below(random, 40) - 5);
    case 'y': return fb_int((int64_t)S_below(random, 10) * 1000003);
    case 's': return S_text(facts, S_below(random, 14));
    case 'b': return fb_bool(S_below(random, 2));
    default: return fb_double((double)((int)S_below(random, 60) - 10) / 2);
  }
}

/* How tidy a table is: columns without gaps, with gaps, of several kinds. */
static void S_fill(fb_random *random, fb_facts *facts, uint32_t rows) {
  static const char fields[] = "xysbd";
  fb_fact_type *type = fb_facts_type(facts);
  fb_schema *schema = fb_facts_schema(facts);
  uint32_t mess = S_below(random, 3), row, field;
  for (uint32_t i = 0; i < rows; i++) {
    assert_int_equal(fb_facts_add(facts, &row), FB_OK);
    assert_int_equal(fb_fact_type_learn(schema, type, FB_SLICE("id"), &field), FB_OK);
    assert_int_equal(fb_facts_set(facts, row, field, fb_int(i), NULL), FB_OK);
    for (const char *f = fields; *f; f++) {
      if (mess && S_below(random, 12) == 0) continue;
      char kind =
          mess == 2 && type->open && S_below(random, 500) == 0 ? fields[S_below(random, 5)] : *f;
      assert_int_equal(fb_fact_type_learn(schema, type, (fb_slice){f, 1}, &field), FB_OK);
      fb_value value = mess == 2 && type->open && S_below(random, 300) == 0
                           ? fb_null()
                           : S_value(random, facts, kind);
      assert_int_equal(fb_facts_set(facts, row, field, value, NULL), FB_OK);
    }
  }
}

/* ── Runs ── */

static void S_line(fb_buf *log, fb_slice rule, uint64_t firing, const fb_value *values,
                   uint32_t count) {
  fb_buf_printf(log, "%.*s %llu", (int)rule.len, rule.ptr, (unsigned long long)firing);
  for (uint32_t i = 0; i < count; i++) {
    fb_buf_char(log, ' ');
    fb_json_write(log, values[i], FB_JSON_COMPACT);
  }
  fb_buf_char(log, '\n');
}

static fb_status S_decision(void *context, fb_session *session, const fb_decision *decision) {
  fb_value values[8];
  (void)session;
  for (uint32_t i = 0; i < decision->fields->len; i++) {
    values[i] = decision->fields->entries[i].value;
    assert_ptr_equal(fb_map_get(decision->fields, decision->fields->entries[i].key),
                     &decision->fields->entries[i].value);
  }
  S_line(context, decision->rule, decision->firing, values, decision->fields->len);
  return FB_OK;
}

static fb_status S_records(void *context, fb_session *session, const fb_decision_record *records,
                           size_t count) {
  for (size_t i = 0; i < count; i++) {
    fb_emit_info info = fb_ruleset_emit(fb_session_ruleset(session), records[i].emit);
    assert_int_equal(info.rule_number, records[i].rule_number);
    assert_true(fb_slice_equal(info.type, FB_SLICE("d")) && info.field_count >= 1);
    assert_true(fb_slice_equal(info.fields[0], FB_SLICE("id")));
    S_line(context, info.rule, records[i].firing, records[i].values, info.field_count);
    if (session->options.stateless) continue;
    fb_value fact = fb_session_fact(session, records[i].fact);
    assert_int_equal(fb_fact_get(fact, FB_SLICE("id")).as.i, records[i].values[0].as.i);
  }
  return FB_OK;
}

static void S_log(void *context, fb_session *session, const fb_decision *line) {
  (void)session;
  fb_buf_text(context, "log ");
  fb_json_write(context, fb_map_value(line->fields), FB_JSON_COMPACT);
  fb_buf_char(context, '\n');
}

static void S_error(void *context, fb_session *session, const fb_error *err) {
  (void)session;
  fb_buf_printf(context, "! %s\n", err->text);
}

/* SINGLE: rows one by one. MANY: as many as there are. VALUES: one by one, without a table. */
typedef struct S_mode {
  bool stateless;
  enum { SINGLE, MANY, VALUES } how;
  bool records;
  const fb_kernels *kernels;
} S_mode;

static fb_fact_id S_assert_values(fb_session *session, fb_facts *facts, uint32_t row) {
  fb_value values[8];
  fb_fact_id id;
  const fb_fact_type *type = fb_facts_type(facts);
  assert_true(type->field_count <= 8);
  for (uint32_t f = 0; f < type->field_count; f++) values[f] = fb_facts_get(facts, row, f);
  assert_int_equal(fb_session_assert_values(session, type, values, type->field_count, &id, NULL),
                   FB_OK);
  return id;
}

/* A field of a fact that may be gone by now. */
static void S_modify(fb_session *session, const S_mode *mode, fb_facts *facts, fb_fact_id id,
                     fb_random *random) {
  static const char fields[] = "xysbd";
  char field = fields[S_below(random, 5)];
  uint32_t number = (uint32_t)fb_fact_type_field(fb_facts_type(facts), (fb_slice){&field, 1});
  fb_value value = S_below(random, 6) ? S_value(random, facts, field) : fb_absent();
  fb_status status;
  if (number == UINT32_MAX) return;
  if (mode->how == SINGLE) {
    fb_entry entry = {fb_string((fb_slice){&field, 1}), value};
    fb_map map = {.len = 1, .cap = 1, .entries = &entry};
    status = fb_session_modify(session, id, &map, NULL);
  } else {
    status = fb_session_modify_values(session, id, &number, &value, 1, NULL);
  }
  assert_true(status == FB_OK || status == FB_E_RULE_FACT);
}

/* What waits, and all else, is the same as well. */
static void S_save(fb_session *session, const S_mode *mode, fb_buf *log) {
  fb_buf bytes;
  if (mode->stateless) return;
  fb_buf_init(&bytes, NULL, 0);
  assert_int_equal(fb_session_save(session, &bytes, NULL), FB_OK);
  fb_buf_printf(log, "saved %zu %llx\n", bytes.len,
                (unsigned long long)fb_hash_bytes(bytes.ptr, bytes.len, 0));
  fb_buf_release(&bytes);
}

static void S_assert(fb_session *session, const S_mode *mode, fb_facts *facts, fb_fact_id *ids,
                     fb_random *random) {
  uint32_t rows = fb_facts_count(facts);
  for (uint32_t row = 0, part; row < rows; row += part) {
    part = 1 + S_below(random, rows - row);
    uint32_t step = mode->how == MANY ? part : 1, done;
    for (uint32_t i = row; i < row + part; i += step) {
      if (mode->how == VALUES) {
        ids[i] = S_assert_values(session, facts, i);
        continue;
      }
      assert_int_equal(fb_session_assert_rows(session, facts, i, step, ids + i, &done, NULL),
                       FB_OK);
      assert_int_equal(done, step);
    }
    /* Places and rows that are free make the next ones come in one by one for a while. */
    for (uint32_t i = S_below(random, 3); i && !mode->stateless; i--)
      fb_session_retract(session, ids[S_below(random, row + part)], NULL);
    for (uint32_t i = S_below(random, 20); i && !mode->stateless; i--)
      S_modify(session, mode, facts, ids[S_below(random, row + part)], random);
    if (S_below(random, 3) == 0) S_save(session, mode, session->options.output.context);
    if (S_below(random, 2)) assert_int_equal(fb_session_fire(session, NULL, NULL), FB_OK);
  }
}

static void S_run(S_world *w, const S_mode *mode, fb_buf *log) {
  fb_session_options options = {.stateless = mode->stateless,
                                .max_errors = UINT64_MAX,
                                .profile = w->seed % 4 == 0,
                                .output = {.log = S_log, .error = S_error, .context = log}};
  if (mode->records)
    options.output.decisions = S_records;
  else
    options.output.decision = S_decision;
  fb_session *session;
  fb_random random;
  fb_random_seed(&random, w->seed * 7 + 1);
  assert_int_equal(fb_session_new(w->rules, &options, NULL, &session), FB_OK);
  session->kernels = mode->kernels;
  for (int t = 0; t < 3; t++) {
    fb_fact_type *type;
    fb_facts *facts;
    fb_slice name = fb_slice_of(t == 1 ? "b" : "a");
    assert_int_equal(fb_schema_open(fb_session_schema(session), name, &type), FB_OK);
    assert_int_equal(fb_facts_new(NULL, fb_session_schema(session), type, &facts), FB_OK);
    uint32_t rows = t == 2 ? w->facts / 3 : w->facts;
    fb_fact_id *ids = calloc(rows + 1, sizeof *ids);
    S_fill(&random, facts, rows);
    S_assert(session, mode, facts, ids, &random);
    free(ids);
    fb_facts_free(facts);
  }
  assert_int_equal(fb_session_fire(session, NULL, NULL), FB_OK);
  fb_session_stats stats = fb_session_statistics(session);
  fb_buf_printf(
      log,
      "%llu facts, %llu asserted, %llu activations, %llu firings, %llu decisions, %llu errors\n",
      (unsigned long long)stats.facts, (unsigned long long)stats.asserted,
      (unsigned long long)stats.activations, (unsigned long long)stats.firings,
      (unsigned long long)stats.decisions, (unsigned long long)stats.errors);
  for (size_t r = 0; r < fb_ruleset_count(w->rules); r++) {
    fb_condition_stats cost;
    fb_rule_stats rule = fb_session_rule_statistics(session, r);
    bool known = fb_session_condition_statistics(session, r, 0, &cost);
    fb_buf_printf(log, "%zu: %llu activations, %llu firings, %llu of %llu passed\n", r,
                  (unsigned long long)rule.activations, (unsigned long long)rule.firings,
                  (unsigned long long)(known ? cost.passed : 0),
                  (unsigned long long)(known ? cost.tested : 0));
  }
  fb_session_free(session);
}

static void S_same(S_world *w, const fb_buf *a, const fb_buf *b, const char *what) {
  size_t at = 0, line = 0;
  if (fb_slice_equal(fb_buf_slice(a), fb_buf_slice(b))) return;
  while (at < a->len && at < b->len && a->ptr[at] == b->ptr[at]) {
    if (a->ptr[at] == '\n') line = at + 1;
    at++;
  }
  fail_msg("seed %llu, %s differs at byte %zu:\n%.*s\n— and —\n%.*s\n%.*s",
           (unsigned long long)w->seed, what, at, (int)(a->len - line < 120 ? a->len - line : 120),
           a->ptr + line, (int)(b->len - line < 120 ? b->len - line : 120), b->ptr + line,
           (int)w->book.len, w->book.ptr);
}

static bool S_load(S_world *w) {
  fb_errors errors;
  fb_errors_init(&errors, NULL, 0);
  w->rules = NULL;
  fb_status status =
      fb_ruleset_read(fb_buf_slice(&w->book), "test.yaml", NULL, &w->rules, &errors, NULL);
  if (status != FB_OK && status != FB_E_RULE_NEVER)
    fail_msg("%s\n%.*s", errors.items[0].text, (int)w->book.len, w->book.ptr);
  fb_errors_release(&errors);
  return status == FB_OK;
}

static uint32_t S_round(uint64_t seed) {
  static const uint32_t sizes[] = {5, 60, 700, FACTS_MAX};
  S_world w = {.seed = seed};
  uint32_t compared = 0;
  fb_random_seed(&w.random, seed);
  fb_buf_init(&w.book, NULL, 0);
  w.facts = sizes[S_below(&w.random, seed % 10 ? 3 : 4)];
  S_make_book(&w);
  if (S_load(&w)) {
    for (int stateless = 0; stateless < 2; stateless++) {
      fb_buf single, many;
      fb_buf_init(&single, NULL, 0);
      fb_buf_init(&many, NULL, 0);
      S_run(&w, &(S_mode){stateless, SINGLE, false, fb_kernels_best()}, &single);
      S_run(&w, &(S_mode){stateless, VALUES, false, fb_kernels_best()}, &many);
      S_same(&w, &single, &many, "values");
      const fb_kernels *kernels;
      for (size_t k = 0; (kernels = fb_kernels_at(k)); k++) {
        fb_buf_clear(&many);
        S_run(&w, &(S_mode){stateless, MANY, k % 2 == 0, kernels}, &many);
        S_same(&w, &single, &many, kernels->name);
        compared++;
      }
      fb_buf_release(&single);
      fb_buf_release(&many);
    }
    fb_ruleset_free(w.rules);
  }
  fb_buf_release(&w.book);
  return compared;
}

static void test_many_are_as_one_by_one(void **state) {
  (void)state;
  const char *rounds = getenv("FB_TEST_ROUNDS");
  uint64_t count = rounds ? strtoull(rounds, NULL, 10) : ROUNDS, compared = 0;
  for (uint64_t seed = 1; seed <= count; seed++) compared += S_round(seed);
  assert_true(compared > count); /* not all rulebooks may have been refused */
}

static void test_values_that_do_not_fit(void **state) {
  (void)state;
  fb_errors errors;
  fb_ruleset *rules;
  fb_session *session, *other;
  fb_fact_id id;
  fb_error err;
  fb_errors_init(&errors, NULL, 0);
  assert_int_equal(
      fb_ruleset_read(FB_SLICE("facts:\n  a: {x: int, d: double}\nrules:\n"
                               "  - {name: r, when: [{a as f: 'f.x > 2'}], then: [{emit: d}]}\n"),
                      "t.yaml", NULL, &rules, &errors, NULL),
      FB_OK);
  assert_int_equal(fb_session_new(rules, NULL, NULL, &session), FB_OK);
  assert_int_equal(fb_session_new(rules, NULL, NULL, &other), FB_OK);
  const fb_fact_type *type = fb_schema_find(fb_session_schema(session), FB_SLICE("a")),
                     *foreign = fb_schema_find(fb_session_schema(other), FB_SLICE("a"));
  fb_value good[] = {fb_int(3), fb_int(4)}, bad[] = {fb_int(3), fb_bool(true)};
  const uint32_t fields[] = {1, 7};
  assert_int_equal(fb_session_assert_values(session, type, good, 2, &id, NULL), FB_OK);
  assert_true(fb_fact_get(fb_session_fact(session, id), FB_SLICE("d")).as.d == 4);
  assert_int_equal(fb_session_assert_values(session, type, bad, 2, NULL, &err), FB_E_FACT_VALUE);
  assert_int_equal(fb_session_assert_values(session, type, good, 3, NULL, &err), FB_E_FACT_FIELD);
  assert_int_equal(fb_session_assert_values(session, foreign, good, 2, NULL, &err), FB_E_FACT_TYPE);
  assert_int_equal(fb_session_modify_values(session, id, fields, bad + 1, 1, &err),
                   FB_E_FACT_VALUE);
  assert_int_equal(fb_session_modify_values(session, id, fields, good, 2, &err), FB_E_FACT_FIELD);
  assert_int_equal(fb_session_modify_values(session, id + 1, fields, good, 1, &err),
                   FB_E_RULE_FACT);
  assert_int_equal(fb_session_modify_values(session, id, fields, good, 1, &err), FB_OK);
  assert_true(fb_fact_get(fb_session_fact(session, id), FB_SLICE("d")).as.d == 3);
  assert_int_equal(fb_session_count(session, FB_SLICE("")), 1);
  fb_session_free(session);
  fb_session_free(other);
  fb_ruleset_free(rules);
  fb_errors_release(&errors);
}

/* ── Limits, and lack of memory ── */

static const char S_small[] =
    "facts:\n  a: {x: int, s: string}\nrules:\n"
    "  - {name: r1, when: [{a as f: 'f.x > 2'}], then: [{emit: d, with: {id: \"${{ f.x }}\"}}]}\n"
    "  - {name: r2, salience: 1, when: [{a as f: 'f.s == \"s1\"'}], then: [{emit: d, with: {id: "
    "1}}]}\n";

static fb_ruleset *S_small_rules(const fb_allocator *allocator) {
  fb_ruleset *rules;
  return fb_ruleset_read(FB_SLICE(S_small), "t.yaml", allocator, &rules, NULL, NULL) == FB_OK
             ? rules
             : NULL;
}

static fb_facts *S_small_facts(fb_session *session, uint32_t rows) {
  fb_facts *facts;
  fb_schema *schema = fb_session_schema(session);
  assert_int_equal(fb_facts_new(NULL, schema, fb_schema_find(schema, FB_SLICE("a")), &facts),
                   FB_OK);
  for (uint32_t i = 0, row; i < rows; i++) {
    assert_int_equal(fb_facts_add(facts, &row), FB_OK);
    assert_int_equal(fb_facts_set(facts, row, 0, fb_int(i % 5), NULL), FB_OK);
    assert_int_equal(fb_facts_set(facts, row, 1, S_text(facts, i % 3), NULL), FB_OK);
  }
  return facts;
}

static void test_a_limit_holds_the_facts_before_it(void **state) {
  (void)state;
  fb_ruleset *rules = S_small_rules(NULL);
  fb_session_options options = {.max_facts = 5000};
  fb_session *session;
  uint32_t done;
  fb_error err;
  uint64_t firings;
  assert_int_equal(fb_session_new(rules, &options, NULL, &session), FB_OK);
  fb_facts *facts = S_small_facts(session, 6000);
  assert_int_equal(fb_session_assert_rows(session, facts, 0, 6000, NULL, &done, &err),
                   FB_E_RULE_LIMIT);
  assert_int_equal(done, 5000);
  assert_int_equal(fb_session_count(session, FB_SLICE("a")), 5000);
  assert_int_equal(fb_session_fire(session, &firings, NULL), FB_OK);
  assert_int_equal(firings, 5000 / 5 * 2 + 1667);
  fb_facts_free(facts);
  fb_session_free(session);
  fb_ruleset_free(rules);
}

static fb_status S_refuse(void *context, fb_session *session, const fb_decision_record *records,
                          size_t count) {
  size_t *left = context;
  (void)session;
  (void)records;
  if (*left < count) return FB_E_IO;
  *left -= count;
  return FB_OK;
}

static void test_what_receives_records_may_fail(void **state) {
  (void)state;
  fb_ruleset *rules = S_small_rules(NULL);
  size_t left = 1000;
  fb_session_options options = {.output = {.decisions = S_refuse, .context = &left}};
  fb_session *session;
  fb_error err;
  assert_int_equal(fb_session_new(rules, &options, NULL, &session), FB_OK);
  fb_facts *facts = S_small_facts(session, 6000);
  assert_int_equal(fb_session_assert_rows(session, facts, 0, 6000, NULL, NULL, &err), FB_OK);
  assert_int_equal(fb_session_fire(session, NULL, &err), FB_E_IO);
  left = SIZE_MAX;
  assert_int_equal(fb_session_fire(session, NULL, &err), FB_OK); /* what was left */
  assert_int_equal(fb_session_statistics(session).firings, 6000 / 5 * 2 + 2000);
  fb_facts_free(facts);
  fb_session_free(session);
  fb_ruleset_free(rules);
}

static bool S_torture_run(const fb_allocator *allocator) {
  fb_ruleset *rules = S_small_rules(NULL);
  fb_session *session;
  uint64_t firings = 0;
  fb_status status = fb_session_new(rules, NULL, allocator, &session);
  if (status == FB_OK) {
    fb_symbol symbol;
    fb_symbols *symbols = fb_schema_symbols(fb_session_schema(session));
    for (int i = 0; i < 3 && status == FB_OK; i++) {
      char text[4] = {'s', (char)('0' + i)};
      status = fb_symbol_intern(symbols, (fb_slice){text, 2}, &symbol);
    }
    if (status == FB_OK) {
      uint32_t done;
      fb_facts *facts = S_small_facts(session, 200);
      status = fb_session_assert_rows(session, facts, 0, 200, NULL, &done, NULL);
      assert_int_equal(fb_session_count(session, FB_SLICE("a")), done);
      if (status == FB_OK) status = fb_session_fire(session, &firings, NULL);
      fb_facts_free(facts);
    }
    fb_session_free(session);
  }
  fb_ruleset_free(rules);
  if (status == FB_OK) assert_int_equal(firings, 200 / 5 * 2 + 67);
  return status == FB_OK;
}

static void test_every_allocation_may_fail(void **state) {
  (void)state;
  fb_test_each_failure(S_torture_run);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_many_are_as_one_by_one),
      cmocka_unit_test(test_values_that_do_not_fit),
      cmocka_unit_test(test_a_limit_holds_the_facts_before_it),
      cmocka_unit_test(test_what_receives_records_may_fail),
      cmocka_unit_test(test_every_allocation_may_fail),
  };
  return cmocka_run_group_tests_name("flat", tests, NULL, NULL);
}
