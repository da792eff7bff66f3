/* SPDX-License-Identifier: Apache-2.0
 * Runs the case files of tests/cases/rules; the format is told in tests/cases/rules/README.md. */
#include "test.h"

#include <flyball/rules.h>

#include <glob.h>

typedef enum S_section {
  RULES,
  FACTS,
  OPTIONS,
  ERRORS,
  WARNINGS,
  DECISIONS,
  FIRES,
  LEFT,
  REPORT,
  LOG,
  WHY,
  PLAN,
  SECTION_COUNT
} S_section;

static const char *const S_names[SECTION_COUNT] = {"rules",    "facts",     "options", "errors",
                                                   "warnings", "decisions", "fires",   "left",
                                                   "report",   "log",       "why",     "plan"};

typedef struct S_case {
  const char *file;
  fb_slice name;
  fb_slice sections[SECTION_COUNT]; /* ptr NULL: not given */
  fb_buf actual[SECTION_COUNT];
  fb_arena arena;
  fb_fact_id ids[1000];
  size_t id_count;
  uint32_t line;
} S_case;

static size_t S_ran, S_failed;

/* ── Output of a session ── */

static void S_object(fb_buf *out, fb_slice type, const fb_map *fields) {
  fb_buf_text(out, "{\"type\":");
  fb_json_write_text(out, type, 0);
  for (uint32_t i = 0; i < fields->len; i++) {
    fb_buf_char(out, ',');
    fb_json_write(out, fields->entries[i].key, 0);
    fb_buf_char(out, ':');
    fb_json_write(out, fields->entries[i].value, 0);
  }
  fb_buf_text(out, "}\n");
}

static fb_status S_decision(void *context, fb_session *session, const fb_decision *decision) {
  S_case *c = context;
  S_object(&c->actual[DECISIONS], decision->type, decision->fields);
  if (c->sections[WHY].ptr) {
    fb_value why;
    assert_int_equal(fb_session_why(session, decision, &c->arena, &why), FB_OK);
    fb_json_write(&c->actual[WHY], why, 0);
    fb_buf_char(&c->actual[WHY], '\n');
  }
  return FB_OK;
}

static fb_status S_mission(void *context, fb_session *session, const fb_decision *mission) {
  S_case *c = context;
  (void)session;
  fb_buf_text(&c->actual[DECISIONS], "{\"run\":");
  fb_json_write_text(&c->actual[DECISIONS], mission->type, 0);
  fb_buf_text(&c->actual[DECISIONS], ",\"inputs\":");
  fb_json_write(&c->actual[DECISIONS], fb_map_value(mission->fields), 0);
  fb_buf_text(&c->actual[DECISIONS], "}\n");
  return FB_OK;
}

/* amount, rate? → {tax, total} */
static fb_status S_tax(void *context, const fb_map *args, fb_arena *arena, fb_value *ret,
                       fb_error *err) {
  (void)context;
  const fb_value *rate = fb_map_get_text(args, FB_SLICE("rate"));
  double amount = fb_map_get_text(args, FB_SLICE("amount"))->as.d;
  double tax = amount * (rate ? rate->as.d : 0.5);
  if (amount < 0) {
    fb_fail(err, FB_E_RULE_VALUE, "an amount is not negative");
    fb_error_hint(err, "credit notes are not taxed");
    return FB_E_RULE_VALUE;
  }
  fb_map *map = fb_map_new(arena, 2);
  if (!map || !fb_map_put(map, arena, fb_string(FB_SLICE("tax")), fb_double(tax), NULL) ||
      !fb_map_put(map, arena, fb_string(FB_SLICE("total")), fb_double(amount + tax), NULL))
    return FB_E_NOMEM;
  *ret = fb_map_value(map);
  return FB_OK;
}

/* Its arguments, or a failure that says nothing. */
static fb_status S_echo(void *context, const fb_map *args, fb_arena *arena, fb_value *ret,
                        fb_error *err) {
  (void)context;
  (void)arena;
  (void)err;
  *ret = fb_map_value(args);
  return args->len ? FB_OK : FB_E_RULE_VALUE;
}

static const fb_parameter S_tax_parameters[] = {{"amount", FB_FIELD_DOUBLE, false},
                                                {"rate", FB_FIELD_DOUBLE, true}};
static const fb_parameter S_typed_parameters[] = {
    {"i", FB_FIELD_INT, true},    {"u", FB_FIELD_UINT, true},      {"s", FB_FIELD_STRING, true},
    {"b", FB_FIELD_BOOL, true},   {"t", FB_FIELD_TIMESTAMP, true}, {"l", FB_FIELD_LIST, true},
    {"d", FB_FIELD_DOUBLE, true}, {"a", FB_FIELD_ANY, true}};
static const fb_calculator S_calculators[] = {{"tax", S_tax_parameters, 2, S_tax, NULL},
                                              {"typed", S_typed_parameters, 8, S_echo, NULL},
                                              {"echo", NULL, 0, S_echo, NULL}};
enum { CALCULATORS = sizeof S_calculators / sizeof *S_calculators };

static void S_log(void *context, fb_session *session, const fb_decision *line) {
  S_case *c = context;
  (void)session;
  fb_json_write(&c->actual[LOG], fb_map_value(line->fields), 0);
  fb_buf_char(&c->actual[LOG], '\n');
}

static void S_error(void *context, fb_session *session, const fb_error *err) {
  S_case *c = context;
  (void)session;
  fb_buf_printf(&c->actual[REPORT], "%u:%u: %s\n", err->line, err->column, err->text);
}

static void S_fired(void *context, fb_session *session, uint32_t rule, uint64_t firing) {
  S_case *c = context;
  (void)firing;
  fb_slice name = fb_ruleset_rule(fb_session_ruleset(session), rule).name;
  fb_buf_printf(&c->actual[FIRES], "%.*s\n", (int)name.len, name.ptr);
}

static fb_status S_left(void *context, fb_session *session, fb_fact_id id, fb_value fact) {
  S_case *c = context;
  fb_map *fields;
  (void)session;
  (void)id;
  assert_int_equal(fb_fact_map(fact.as.facts, fact.len, &c->arena, &fields), FB_OK);
  S_object(&c->actual[LEFT], fb_facts_type(fact.as.facts)->name, fields);
  return FB_OK;
}

/* ── Running ── */

static uint64_t S_option(const S_case *c, const char *name) {
  fb_slice text = c->sections[OPTIONS];
  char *copy = strndup(text.ptr ? text.ptr : "", text.len), *at = strstr(copy, name);
  uint64_t value = at ? strtoull(at + strlen(name) + 1, NULL, 10) : 0;
  free(copy);
  return value;
}

static fb_value S_json(S_case *c, fb_slice text) {
  fb_value value;
  fb_error err;
  if (fb_json_read(text, "facts", NULL, &c->arena, &value, &err) != FB_OK)
    fail_msg("%s: %s", c->file, err.text);
  return value;
}

static void S_note(S_case *c, fb_status status, const fb_error *err) {
  if (status == FB_OK) return;
  if (err->line)
    fb_buf_printf(&c->actual[REPORT], "%u:%u: %s\n", err->line, err->column, err->text);
  else
    fb_buf_printf(&c->actual[REPORT], "%s\n", err->text);
}

static void S_assert(S_case *c, fb_session *session, fb_slice line) {
  fb_value all = S_json(c, line);
  fb_map *fields = fb_map_new(&c->arena, all.as.map->len + 1);
  fb_slice type = {"", 0};
  for (uint32_t i = 0; i < all.as.map->len; i++) {
    fb_entry entry = all.as.map->entries[i];
    if (fb_slice_equal(fb_value_text(entry.key), FB_SLICE("type")))
      type = fb_value_text(entry.value);
    else
      fb_map_put(fields, &c->arena, entry.key, entry.value, NULL);
  }
  fb_error err;
  fb_fact_id id = 0;
  S_note(c, fb_session_assert(session, type, fields, &id, &err), &err);
  c->ids[++c->id_count] = id;
}

static void S_do(S_case *c, fb_session *session, fb_slice line) {
  fb_error err = {0};
  char *rest;
  if (line.ptr[0] == '{') {
    S_assert(c, session, line);
  } else if (fb_slice_starts(line, FB_SLICE("modify "))) {
    fb_fact_id id = c->ids[strtoul(line.ptr + 7, &rest, 10)];
    fb_value map = S_json(c, (fb_slice){rest, (size_t)(line.ptr + line.len - rest)});
    S_note(c, fb_session_modify(session, id, map.as.map, &err), &err);
  } else if (fb_slice_starts(line, FB_SLICE("retract "))) {
    S_note(c, fb_session_retract(session, c->ids[strtoul(line.ptr + 8, &rest, 10)], &err), &err);
  } else if (fb_slice_equal(line, FB_SLICE("reset"))) {
    assert_int_equal(fb_session_reset(session), FB_OK);
  } else if (fb_slice_equal(line, FB_SLICE("fire"))) {
    S_note(c, fb_session_fire(session, NULL, &err), &err);
    fb_buf_text(&c->actual[FIRES], "--\n");
  } else if (fb_slice_starts(line, FB_SLICE("focus "))) {
    S_note(c, fb_session_focus(session, (fb_slice){line.ptr + 6, line.len - 6}, &err), &err);
  } else if (fb_slice_starts(line, FB_SLICE("now "))) {
    int64_t seconds = 0;
    uint32_t nanos = 0;
    bool time = fb_time_parse((fb_slice){line.ptr + 4, line.len - 4}, &seconds, &nanos);
    fb_value now = time ? fb_timestamp(seconds, nanos) : fb_null();
    S_note(c, fb_session_advance(session, now, &err), &err);
  } else if (line.ptr[0] != '#') {
    fail_msg("%s: cannot do `%.*s`", c->file, (int)line.len, line.ptr);
  }
}

static fb_slice S_next_line(fb_slice *text) {
  const char *end = memchr(text->ptr, '\n', text->len);
  size_t len = end ? (size_t)(end - text->ptr) : text->len;
  fb_slice line = {text->ptr, len};
  text->ptr += len + (end != NULL);
  text->len -= len + (end != NULL);
  return line;
}

static void S_run_session(S_case *c, const fb_ruleset *rules) {
  fb_session_options options = {.max_firings = S_option(c, "max_firings"),
                                .max_facts = S_option(c, "max_facts"),
                                .max_activations = S_option(c, "max_activations"),
                                .max_candidates = S_option(c, "max_candidates"),
                                .explain = c->sections[WHY].ptr != NULL,
                                .calculators = S_calculators,
                                .calculator_count = CALCULATORS,
                                .output = {S_decision, S_log, S_error, S_fired, c}};
  options.output.run = S_mission;
  fb_session *session;
  assert_int_equal(fb_session_new(rules, &options, NULL, &session), FB_OK);
  fb_slice rest = c->sections[FACTS];
  while (rest.len) {
    fb_slice line = S_next_line(&rest);
    if (line.len) S_do(c, session, line);
  }
  fb_error err;
  S_note(c, fb_session_fire(session, NULL, &err), &err);
  fb_session_query(session, FB_SLICE(""), FB_SLICE(""), S_left, c, NULL);
  fb_session_free(session);
}

static void S_render(fb_errors *errors, fb_buf *out) {
  fb_errors_sort(errors);
  fb_errors_render(errors, false, out);
}

static bool S_compare(const S_case *c, S_section section) {
  fb_slice want = c->sections[section], have = fb_buf_slice(&c->actual[section]);
  bool needed = section == ERRORS || section == REPORT;
  if (section <= OPTIONS || (!want.ptr && !needed)) return true;
  while (want.len && want.ptr[want.len - 1] == '\n') want.len--;
  while (have.len && have.ptr[have.len - 1] == '\n') have.len--;
  if (fb_slice_equal(want, have)) return true;
  fprintf(stderr, "%s:%u: %.*s: %s differ\n--- expected\n%.*s\n--- %s\n%.*s\n", c->file, c->line,
          (int)c->name.len, c->name.ptr, S_names[section], (int)want.len, want.ptr ? want.ptr : "",
          S_names[section], (int)have.len, have.ptr);
  return false;
}

static void S_run_case(S_case *c) {
  fb_errors errors, warnings;
  fb_ruleset *rules = NULL;
  fb_errors_init(&errors, NULL, 0);
  fb_errors_init(&warnings, NULL, 0);
  for (int i = 0; i < SECTION_COUNT; i++) fb_buf_init(&c->actual[i], NULL, 0);
  fb_arena_init(&c->arena, NULL, 0);
  fb_status status =
      fb_ruleset_read(c->sections[RULES], "rules.yaml", NULL, &rules, &errors, &warnings);
  if (status == FB_OK) status = fb_ruleset_check_calls(rules, S_calculators, CALCULATORS, &errors);
  if (status == FB_OK) {
    fb_ruleset_dump(rules, &c->actual[PLAN]);
    S_run_session(c, rules);
  }
  assert_true((status == FB_OK) == (fb_errors_total(&errors) == 0));
  S_render(&errors, &c->actual[ERRORS]);
  S_render(&warnings, &c->actual[WARNINGS]);
  bool good = true;
  for (S_section i = 0; i < SECTION_COUNT; i++) good = S_compare(c, i) && good;
  S_ran++;
  S_failed += !good;
  for (int i = 0; i < SECTION_COUNT; i++) fb_buf_release(&c->actual[i]);
  fb_arena_release(&c->arena);
  fb_ruleset_free(rules);
  fb_errors_release(&errors);
  fb_errors_release(&warnings);
}

/* ── Files ── */

static void S_run_text(const char *file, fb_slice text) {
  S_case *c = NULL;
  int section = -1;
  uint32_t number = 0;
  while (text.len) {
    const char *start = text.ptr;
    fb_slice line = S_next_line(&text);
    number++;
    if (fb_slice_starts(line, FB_SLICE("=== "))) {
      if (c) S_run_case(c);
      free(c);
      c = calloc(1, sizeof *c);
      *c = (S_case){.file = file, .name = {line.ptr + 4, line.len - 4}, .line = number};
      section = -1;
    } else if (fb_slice_starts(line, FB_SLICE("--- "))) {
      for (section = 0; section < SECTION_COUNT; section++)
        if (fb_slice_equal((fb_slice){line.ptr + 4, line.len - 4}, fb_slice_of(S_names[section])))
          break;
      if (!c || section == SECTION_COUNT)
        fail_msg("%s:%u: what is `%.*s`?", file, number, (int)line.len, line.ptr);
      c->sections[section] = (fb_slice){text.ptr, 0};
    } else if (c && section >= 0) {
      c->sections[section].len += (size_t)(text.ptr - start);
    }
  }
  if (c) S_run_case(c);
  free(c);
}

static void test_cases(void **state) {
  (void)state;
  glob_t found;
  const char *only = getenv("FB_CASE");
  assert_int_equal(glob(FB_TEST_CASES "/rules/*.case", 0, NULL, &found), 0);
  for (size_t i = 0; i < found.gl_pathc; i++) {
    if (only && !strstr(found.gl_pathv[i], only)) continue;
    FILE *file = fopen(found.gl_pathv[i], "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file);
    rewind(file);
    char *text = malloc(size + 1);
    assert_int_equal(fread(text, 1, size, file), size);
    text[size] = 0;
    fclose(file);
    S_run_text(strrchr(found.gl_pathv[i], '/') + 1, (fb_slice){text, size});
    free(text);
  }
  globfree(&found);
  print_message("# %zu cases\n", S_ran);
  assert_int_equal(S_failed, 0);
  assert_true(only || S_ran > 50);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
