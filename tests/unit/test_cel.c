/* SPDX-License-Identifier: Apache-2.0
 * Expressions: the case files of tests/cases/cel, and what a line of text cannot say: facts, templates, budgets,
 * limits, and every allocation failing once.
 *
 * A case file has one case a line: `EXPR => EXPR`, both sides evaluated and compared with their kinds; or
 * `EXPR => FBnnnn@COLUMN … : TEXT`, the errors that must come out, in order, and a part of the first one's text.
 * `let NAME = EXPR` declares a dyn variable for the lines after it, `let NAME: TYPE = EXPR` one of a type;
 * `let NAME` one without a value. `container NAME` sets the namespace, `unchecked EXPR => …` switches the checker
 * off. Empty lines and those that begin with # are passed over; \n and \t in a line stand for themselves only in
 * literals, as in the language. */
#include "cel/ast.h"
#include "test.h"

#include <math.h>

enum { MAX_VARS = 64 };

typedef struct S_world {
  const fb_allocator *allocator;
  fb_cel_env *env;
  fb_arena arena; /* of values of variables */
  fb_value slots[MAX_VARS];
} S_world;

static void S_open(S_world *w, const fb_allocator *allocator) {
  *w = (S_world){.allocator = allocator};
  fb_arena_init(&w->arena, allocator, 0);
  assert_int_equal(fb_cel_env_new(allocator, &w->env), FB_OK);
}

static void S_close(S_world *w) {
  fb_cel_env_free(w->env);
  fb_arena_release(&w->arena);
}

static fb_slice S_trim(fb_slice text) {
  while (text.len && (text.ptr[0] == ' ' || text.ptr[0] == '\t')) text.ptr++, text.len--;
  while (text.len && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\r')) text.len--;
  return text;
}

/* Compiles and evaluates; errors of both kinds go into `errors`. */
static fb_status S_run(S_world *w, fb_slice expr, bool unchecked, fb_value *ret_value,
                       fb_errors *errors) {
  fb_cel_options options = {.no_check = unchecked};
  fb_cel_program *program;
  fb_status status = fb_cel_compile(w->env, expr, &options, &program, errors);
  if (status) return status;
  fb_cel_context context;
  fb_error err;
  fb_value value;
  fb_cel_context_init(&context, &w->arena);
  context.zone = fb_zone_system;
  status = fb_cel_eval(program, w->slots, &context, &value, &err);
  if (status)
    fb_errors_add(errors, &err);
  else
    assert_int_equal(fb_value_copy(&w->arena, value, ret_value), FB_OK);
  fb_cel_context_release(&context);
  fb_cel_program_free(program);
  return status;
}

static bool S_same(fb_value a, fb_value b) {
  if (a.kind != b.kind) return false;
  if (a.kind == FB_DOUBLE && isnan(a.as.d) && isnan(b.as.d)) return true;
  if (a.kind == FB_OPTIONAL && a.as.optional && b.as.optional)
    return S_same(*a.as.optional, *b.as.optional);
  if (a.kind == FB_LIST && a.as.list->len == b.as.list->len) {
    for (uint32_t i = 0; i < a.as.list->len; i++)
      if (!S_same(a.as.list->items[i], b.as.list->items[i])) return false;
    return true;
  }
  if (a.kind != FB_MAP || a.as.map->len != b.as.map->len) return fb_value_equal(a, b);
  for (uint32_t i = 0; i < a.as.map->len; i++) {
    const fb_value *other = fb_map_get(b.as.map, a.as.map->entries[i].key);
    if (!other || !S_same(a.as.map->entries[i].value, *other)) return false;
  }
  return true;
}

static void S_complain(const char *file, size_t line, fb_slice text, const fb_errors *errors,
                       const fb_value *got) {
  fb_buf buf;
  fb_buf_init(&buf, NULL, 0);
  fb_buf_printf(&buf, "%s:%zu: %.*s\n", file, line, (int)text.len, text.ptr);
  if (got) {
    fb_buf_printf(&buf, "  got %s ", fb_kind_name(got->kind));
    fb_json_write(&buf, *got, FB_JSON_COMPACT);
    fb_buf_char(&buf, '\n');
  }
  for (size_t i = 0; i < errors->count; i++)
    fb_buf_printf(&buf, "  got FB%04d@%u: %s (%s)\n", (int)errors->items[i].code,
                  errors->items[i].column, errors->items[i].text, errors->items[i].hint);
  print_error("%s", buf.ptr);
  fb_buf_release(&buf);
}

/* "FB3001@5 FB3002@9 : text" */
static bool S_errors_fit(const fb_errors *errors, fb_slice want) {
  char text[1024];
  snprintf(text, sizeof text, "%.*s", (int)want.len, want.ptr);
  char *part = strstr(text, " : ");
  if (part) *part = 0, part += 3;
  size_t n = 0;
  for (char *save, *token = strtok_r(text, " ", &save); token;
       token = strtok_r(NULL, " ", &save), n++) {
    unsigned code, column = 0;
    if (sscanf(token, "FB%u@%u", &code, &column) < 1 || n >= errors->count) return false;
    if ((unsigned)errors->items[n].code != code || (column && errors->items[n].column != column))
      return false;
  }
  return n == errors->count &&
         (!part || strstr(errors->items[0].text, part) || strstr(errors->items[0].hint, part));
}

static bool S_case(S_world *w, const char *file, size_t number, fb_slice line) {
  fb_errors errors, none;
  fb_errors_init(&errors, NULL, 0);
  fb_errors_init(&none, NULL, 0);
  bool unchecked = fb_slice_starts(line, FB_SLICE("unchecked "));
  fb_slice rest = unchecked ? (fb_slice){line.ptr + 10, line.len - 10} : line;
  const char *arrow = memmem(rest.ptr, rest.len, " => ", 4);
  if (!arrow) return false;
  fb_slice expr = {rest.ptr, (size_t)(arrow - rest.ptr)},
           want = S_trim((fb_slice){arrow + 4, rest.len - expr.len - 4});
  fb_value got = fb_null(), expected = fb_null();
  fb_status status = S_run(w, expr, unchecked, &got, &errors);
  bool good;
  if (fb_slice_starts(want, FB_SLICE("FB3")))
    good = status && S_errors_fit(&errors, want);
  else
    good = !status && !S_run(w, want, true, &expected, &none) && S_same(got, expected);
  if (!good) S_complain(file, number, line, &errors, status ? NULL : &got);
  fb_errors_release(&errors);
  fb_errors_release(&none);
  return good;
}

static const fb_cel_type *S_type(S_world *w, fb_slice name) {
  static const struct {
    const char *name;
    fb_cel_kind kind;
  } names[] = {{"bool", FB_CEL_BOOL},
               {"int", FB_CEL_INT},
               {"uint", FB_CEL_UINT},
               {"double", FB_CEL_DOUBLE},
               {"string", FB_CEL_STRING},
               {"bytes", FB_CEL_BYTES},
               {"timestamp", FB_CEL_TIMESTAMP},
               {"duration", FB_CEL_DURATION},
               {"list", FB_CEL_LIST},
               {"map", FB_CEL_MAP},
               {"null", FB_CEL_NULL}};
  if (fb_slice_equal(name, FB_SLICE("list(int)")))
    return fb_cel_env_list(w->env, fb_cel_simple(FB_CEL_INT));
  if (fb_slice_equal(name, FB_SLICE("map(string, int)")))
    return fb_cel_env_map(w->env, fb_cel_simple(FB_CEL_STRING), fb_cel_simple(FB_CEL_INT));
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (fb_slice_equal(name, fb_slice_of(names[i].name))) return fb_cel_simple(names[i].kind);
  return fb_cel_simple(FB_CEL_DYN);
}

static bool S_let(S_world *w, fb_slice line) {
  const char *equals = memmem(line.ptr, line.len, " = ", 3);
  fb_slice head = {line.ptr, equals ? (size_t)(equals - line.ptr) : line.len};
  const char *colon = memchr(head.ptr, ':', head.len);
  fb_slice name = S_trim((fb_slice){head.ptr, colon ? (size_t)(colon - head.ptr) : head.len});
  fb_slice type = colon ? S_trim((fb_slice){colon + 1, head.len - (size_t)(colon + 1 - head.ptr)})
                        : FB_SLICE("dyn");
  fb_value value = fb_absent();
  if (equals && S_run(w, (fb_slice){equals + 3, line.len - head.len - 3}, true, &value, NULL))
    return false;
  uint32_t slot;
  if (fb_cel_env_slots(w->env) == MAX_VARS || fb_cel_env_add(w->env, name, S_type(w, type), &slot))
    return false;
  w->slots[slot] = value;
  return true;
}

static bool S_line(S_world *w, const char *file, size_t number, fb_slice line) {
  line = S_trim(line);
  if (!line.len || line.ptr[0] == '#') return true;
  if (fb_slice_starts(line, FB_SLICE("let ")))
    return S_let(w, (fb_slice){line.ptr + 4, line.len - 4});
  if (fb_slice_starts(line, FB_SLICE("container")))
    return !fb_cel_env_container(w->env, S_trim((fb_slice){line.ptr + 9, line.len - 9}));
  return S_case(w, file, number, line);
}

static void S_file(const char *name) {
  char path[1024];
  snprintf(path, sizeof path, "%s/cel/%s.txt", FB_TEST_CASES, name);
  FILE *file = fopen(path, "rb");
  if (!file) fail_msg("%s cannot be read", path);
  S_world w;
  S_open(&w, NULL);
  char *line = NULL;
  size_t cap = 0, number = 0, bad = 0;
  for (ssize_t len; (len = getline(&line, &cap, file)) >= 0;) {
    number++;
    if (len && line[len - 1] == '\n') len--;
    bad += !S_line(&w, name, number, (fb_slice){line, (size_t)len});
  }
  free(line);
  fclose(file);
  S_close(&w);
  if (bad) fail_msg("%zu cases of %s.txt failed", bad, name);
}

#define S_CASES(name)                           \
  static void test_cases_##name(void **state) { \
    (void)state;                                \
    S_file(#name);                              \
  }
S_CASES(literals)
S_CASES(operators)
S_CASES(logic)
S_CASES(names)
S_CASES(collections)
S_CASES(macros)
S_CASES(optionals)
S_CASES(types)
S_CASES(syntax_errors)
S_CASES(runtime_errors)
S_CASES(lib_convert)
S_CASES(lib_format)
S_CASES(lib_lists)
S_CASES(lib_math)
S_CASES(lib_regex)
S_CASES(lib_strings)
S_CASES(lib_time)

/* ── Facts ───────────────────────────────────────────────────────────────────────────────────── */

typedef struct S_shop {
  fb_symbols *symbols;
  fb_schema *schema;
  fb_fact_type *order, *thing;
  fb_facts *orders, *things;
} S_shop;

static void S_open_shop(S_shop *s, const fb_allocator *allocator) {
  const fb_field fields[] = {
      {FB_SLICE("id"), FB_FIELD_STRING}, {FB_SLICE("amount"), FB_FIELD_DOUBLE},
      {FB_SLICE("count"), FB_FIELD_INT}, {FB_SLICE("at"), FB_FIELD_TIMESTAMP},
      {FB_SLICE("tags"), FB_FIELD_LIST}, {FB_SLICE("note"), FB_FIELD_STRING}};
  uint32_t row, field;
  fb_error err;
  assert_int_equal(fb_symbols_new(allocator, 1, &s->symbols), FB_OK);
  assert_int_equal(fb_schema_new(allocator, s->symbols, &s->schema), FB_OK);
  assert_int_equal(fb_schema_declare(s->schema, FB_SLICE("order"), fields, 6, &s->order, &err),
                   FB_OK);
  assert_int_equal(fb_schema_open(s->schema, FB_SLICE("thing"), &s->thing), FB_OK);
  assert_int_equal(fb_facts_new(allocator, s->schema, s->order, &s->orders), FB_OK);
  assert_int_equal(fb_facts_new(allocator, s->schema, s->thing, &s->things), FB_OK);
  assert_int_equal(fb_facts_add(s->orders, &row), FB_OK);
  fb_facts_set(s->orders, row, 0, fb_string(FB_SLICE("a1")), &err);
  fb_facts_set(s->orders, row, 1, fb_double(12000), &err);
  fb_facts_set(s->orders, row, 2, fb_int(3), &err);
  fb_facts_set(s->orders, row, 3, fb_timestamp(0, 0), &err);
  assert_int_equal(fb_facts_add(s->things, &row), FB_OK);
  assert_int_equal(fb_fact_type_learn(s->schema, s->thing, FB_SLICE("colour"), &field), FB_OK);
  fb_facts_set(s->things, row, field, fb_string(FB_SLICE("red")), &err);
}

static void S_close_shop(S_shop *s) {
  fb_facts_free(s->orders);
  fb_facts_free(s->things);
  fb_schema_free(s->schema);
  fb_symbols_free(s->symbols);
}

static void S_stock(S_world *w, S_shop *s) {
  uint32_t slot;
  assert_int_equal(fb_cel_env_add(w->env, FB_SLICE("o"), fb_cel_env_fact(w->env, s->order), &slot),
                   FB_OK);
  w->slots[slot] = fb_fact_value(s->orders, 0);
  assert_int_equal(fb_cel_env_add(w->env, FB_SLICE("t"), fb_cel_env_fact(w->env, s->thing), &slot),
                   FB_OK);
  w->slots[slot] = fb_fact_value(s->things, 0);
  assert_int_equal(fb_cel_env_add(w->env, FB_SLICE("x"), fb_cel_simple(FB_CEL_INT), &slot), FB_OK);
  w->slots[slot] = fb_int(5);
}

static void test_facts(void **state) {
  (void)state;
  static const char *const cases[] = {
      "o.amount > 10000.0 && o.id == 'a1' => true",
      "o.amount == 12000.0 => true",
      "o.count + x => 8",
      "o.count >= x => false",
      "o.count != 3 || o.id != 'a1' => false",
      "o.at < timestamp('2000-01-01T00:00:00Z') => true",
      "has(o.note) => false",
      "has(o.id) => true",
      "o.?note.orValue('none') => 'none'",
      "o['id'] => 'a1'",
      "'id' in o && !('note' in o) => true",
      "o == o => true",
      "o.exists(k, k == 'amount') => true",
      "o.transformMap(k, v, k == 'id', v) => {'id': 'a1'}",
      "o.note == 'x' => FB3102@1 : no such key: 'note'",
      "o.note == 'x' || o.count == 3 => true",
      "o.note == 'x' && o.count == 4 => false",
      "o.amont > 1.0 => FB3002@3 : did you mean `amount`?",
      "o.amount > 1 => true",
      "o.amount == 1 => FB3003@1 : 1, 1u or 1.0",
      "t.colour == 'red' => true",
      "t.size == 3 => FB3102@1 : no such key",
      "has(t.size) => false",
      "type(o.tags) == list => FB3102@6",
      "[o].map(f, f.count) => [3]",
  };
  S_world w;
  S_shop shop;
  S_open(&w, NULL);
  S_open_shop(&shop, NULL);
  S_stock(&w, &shop);
  size_t bad = 0;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    bad += !S_line(&w, "facts", i, fb_slice_of(cases[i]));
  assert_int_equal(bad, 0);
  S_close_shop(&shop);
  S_close(&w);
}

/* A map may stand where a fact is expected: fields are then found by name. */
static void test_map_in_place_of_a_fact(void **state) {
  (void)state;
  S_world w;
  S_shop shop;
  S_open(&w, NULL);
  S_open_shop(&shop, NULL);
  S_stock(&w, &shop);
  assert_int_equal(S_run(&w, FB_SLICE("{'amount': 5.0, 'count': 1}"), false, &w.slots[0], NULL),
                   FB_OK);
  assert_true(S_line(&w, "map", 0, FB_SLICE("o.amount > 4.0 && o.count == 1 => true")));
  assert_true(S_line(&w, "map", 1, FB_SLICE("o.id == 'x' => FB3102@1")));
  S_close_shop(&shop);
  S_close(&w);
}

/* ── What the rule planner uses ──────────────────────────────────────────────────────────────── */

static void test_conjuncts_are_compiled_alone(void **state) {
  (void)state;
  S_world w;
  S_open(&w, NULL);
  uint32_t slot;
  fb_cel_env_add(w.env, FB_SLICE("a"), fb_cel_simple(FB_CEL_INT), &slot);
  fb_cel_env_add(w.env, FB_SLICE("b"), fb_cel_simple(FB_CEL_INT), &slot);
  w.slots[0] = fb_int(7);
  w.slots[1] = fb_int(2);
  fb_cel_expr *expr;
  assert_int_equal(
      fb_cel_parse(w.env, FB_SLICE("a > 5 && [b].exists(x, x == 2)"), NULL, &expr, NULL), FB_OK);
  assert_int_equal(expr->root->kind, FB_AST_AND);
  fb_cel_program *left, *right;
  assert_int_equal(fb_cel_generate(w.env, expr, expr->root->args[0], &left, NULL), FB_OK);
  assert_int_equal(fb_cel_generate(w.env, expr, expr->root->args[1], &right, NULL), FB_OK);
  fb_cel_expr_free(expr);
  uint64_t reads_left = 0, reads_right = 0;
  fb_cel_program_reads(left, &reads_left, 1);
  fb_cel_program_reads(right, &reads_right, 1);
  assert_int_equal(reads_left, 1);
  assert_int_equal(reads_right, 2);
  fb_cel_context context;
  fb_cel_context_init(&context, &w.arena);
  fb_value value;
  assert_int_equal(fb_cel_eval(left, w.slots, &context, &value, NULL), FB_OK);
  assert_true(value.kind == FB_BOOL && value.as.b);
  assert_int_equal(fb_cel_eval(right, w.slots, &context, &value, NULL), FB_OK);
  assert_true(value.kind == FB_BOOL && value.as.b);
  assert_int_equal(fb_cel_program_type(right)->kind, FB_CEL_BOOL);
  fb_buf dump;
  fb_buf_init(&dump, NULL, 0);
  fb_cel_program_dump(right, &dump);
  assert_non_null(strstr(dump.ptr, "EXISTS"));
  fb_buf_release(&dump);
  fb_cel_context_release(&context);
  fb_cel_program_free(left);
  fb_cel_program_free(right);
  S_close(&w);
}

static void test_environment_forgets(void **state) {
  (void)state;
  S_world w;
  S_open(&w, NULL);
  uint32_t slot;
  fb_cel_env_add(w.env, FB_SLICE("a"), fb_cel_simple(FB_CEL_INT), &slot);
  fb_cel_env_add(w.env, FB_SLICE("a"), fb_cel_simple(FB_CEL_STRING), &slot);
  fb_cel_env_add(w.env, FB_SLICE("b.c"), fb_cel_simple(FB_CEL_STRING), &slot);
  assert_int_equal(slot, 2);
  w.slots[0] = fb_int(1);
  w.slots[1] = fb_string(FB_SLICE("one"));
  w.slots[2] = fb_string(FB_SLICE("two"));
  assert_true(S_line(&w, "env", 0, FB_SLICE("a + b.c => 'onetwo'")));
  fb_cel_env_truncate(w.env, 1);
  assert_int_equal(fb_cel_env_slots(w.env), 1);
  assert_true(S_line(&w, "env", 1, FB_SLICE("a + 1 => 2")));
  assert_true(S_line(&w, "env", 2, FB_SLICE("b.c => FB3002@1")));
  S_close(&w);
}

static void test_wanted_type(void **state) {
  (void)state;
  S_world w;
  S_open(&w, NULL);
  fb_errors errors;
  fb_errors_init(&errors, NULL, 0);
  fb_cel_options options = {.want = fb_cel_simple(FB_CEL_BOOL), .name = "here"};
  fb_cel_program *program;
  assert_int_equal(fb_cel_compile(w.env, FB_SLICE("1 + 2"), &options, &program, &errors),
                   FB_E_CEL_TYPE);
  assert_string_equal(errors.items[0].text, "this is int, but bool is wanted here");
  assert_string_equal(errors.items[0].file, "here");
  assert_int_equal(fb_cel_compile(w.env, FB_SLICE("dyn(1)"), &options, &program, &errors), FB_OK);
  fb_cel_program_free(program);
  fb_errors_release(&errors);
  S_close(&w);
}

/* ── Limits ──────────────────────────────────────────────────────────────────────────────────── */

static fb_status S_with_steps(S_world *w, const char *text, uint64_t steps, uint64_t max_size,
                              fb_error *err) {
  fb_cel_program *program;
  fb_cel_context context;
  fb_value value;
  assert_int_equal(fb_cel_compile(w->env, fb_slice_of(text), NULL, &program, NULL), FB_OK);
  fb_cel_context_init(&context, &w->arena);
  context.steps = steps;
  context.max_size = max_size;
  fb_status status = fb_cel_eval(program, w->slots, &context, &value, err);
  fb_cel_context_release(&context);
  fb_cel_program_free(program);
  return status;
}

static void test_budget(void **state) {
  (void)state;
  static const char nested[] =
      "[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c, a "
      "+ b + c > 0)))";
  static const char doubling[] =
      "cel.bind(a, [1,2], cel.bind(b, [a,a], cel.bind(c, [b,b], cel.bind(d, [c,c], cel.bind(e, "
      "[d,d], cel.bind(f, [e,e], f == f))))))";
  S_world w;
  fb_error err;
  S_open(&w, NULL);
  assert_int_equal(S_with_steps(&w, nested, 100000, 1000, &err), FB_OK);
  assert_int_equal(S_with_steps(&w, nested, 1000, 1000, &err), FB_E_CEL_BUDGET);
  assert_int_equal(err.line, 1);
  assert_int_equal(
      S_with_steps(&w, "[1, 2, 3].all(x, [1, 2, 3].all(y, x > y)) || true", 8, 1000, &err),
      FB_E_CEL_BUDGET);
  assert_int_equal(S_with_steps(&w, doubling, 10000, 1000, &err), FB_OK);
  assert_int_equal(S_with_steps(&w, doubling, 80, 1000, &err), FB_E_CEL_BUDGET);
  assert_int_equal(S_with_steps(&w, "[1,2,3].map(x, x) + [4,5,6].map(x, x)", 1000, 5, &err),
                   FB_E_CEL_SIZE);
  assert_int_equal(S_with_steps(&w, "'abc' + 'def'", 1000, 5, &err), FB_E_CEL_SIZE);
  assert_int_equal(S_with_steps(&w, "1", 0, 5, &err), FB_E_CEL_BUDGET);
  S_close(&w);
}

static fb_status S_compile_repeated(S_world *w, const char *open, const char *middle,
                                    const char *close, size_t count) {
  fb_buf text;
  fb_buf_init(&text, NULL, 0);
  for (size_t i = 0; i < count; i++) fb_buf_text(&text, open);
  fb_buf_text(&text, middle);
  for (size_t i = 0; i < count; i++) fb_buf_text(&text, close);
  fb_errors errors;
  fb_errors_init(&errors, NULL, 0);
  fb_cel_program *program = NULL;
  fb_status status = fb_cel_compile(w->env, fb_buf_slice(&text), NULL, &program, &errors);
  assert_true(status == FB_OK ? errors.count == 0 : errors.count >= 1);
  fb_cel_program_free(program);
  fb_errors_release(&errors);
  fb_buf_release(&text);
  return status;
}

static void test_limits_of_the_source(void **state) {
  (void)state;
  S_world w;
  S_open(&w, NULL);
  assert_int_equal(S_compile_repeated(&w, "(", "1", ")", 200), FB_OK);
  assert_int_equal(S_compile_repeated(&w, "(", "1", ")", 300), FB_E_CEL_TOO_LARGE);
  assert_int_equal(S_compile_repeated(&w, "[", "1", "]", 30000), FB_E_CEL_TOO_LARGE);
  assert_int_equal(S_compile_repeated(&w, "!", "true", "", 60000), FB_E_CEL_TOO_LARGE);
  assert_int_equal(S_compile_repeated(&w, "{1:", "1", "}", 15000), FB_E_CEL_TOO_LARGE);
  assert_int_equal(S_compile_repeated(&w, "true ? 1 : ", "1", "", 5000), FB_E_CEL_TOO_LARGE);
  assert_int_equal(S_compile_repeated(&w, "1 + ", "1", "", 500), FB_OK);
  assert_int_equal(S_compile_repeated(&w, "1 + ", "1", "", 16000), FB_E_CEL_TOO_LARGE);
  assert_int_equal(S_compile_repeated(&w, "", "dyn(1)", ".a", 5000), FB_E_CEL_TOO_LARGE);
  assert_int_equal(S_compile_repeated(&w, "true && ", "true", "", 8000), FB_OK);
  assert_int_equal(S_compile_repeated(&w, "1 == 1 || ", "true", "", 6000), FB_OK);
  assert_int_equal(S_compile_repeated(&w, "1 + ", "1", "", 20000),
                   FB_E_CEL_TOO_LARGE); /* longer than 64 KiB */
  assert_int_equal(S_compile_repeated(&w, "[dyn(1), ", "1", "]", 100), FB_OK);
  S_close(&w);
}

/* Types that double with every level must not take for ever. */
static void test_large_types(void **state) {
  (void)state;
  S_world w;
  S_open(&w, NULL);
  fb_buf text;
  fb_buf_init(&text, NULL, 0);
  fb_buf_text(&text, "cel.bind(m0, {}, ");
  for (int i = 1; i < 60; i++)
    fb_buf_printf(&text, "cel.bind(m%d, {}, m%d[m%d] == m%d || ", i, i, i - 1, i - 1);
  fb_buf_text(&text, "true");
  fb_buf_repeat(&text, ')', 60);
  fb_cel_program *program = NULL;
  fb_cel_compile(w.env, fb_buf_slice(&text), NULL, &program, NULL); /* either way, but soon */
  fb_cel_program_free(program);
  fb_buf_release(&text);
  S_close(&w);
}

/* ── Templates ───────────────────────────────────────────────────────────────────────────────── */

static void S_stock_template(S_world *w) {
  uint32_t slot;
  fb_cel_env_add(w->env, FB_SLICE("name"), fb_cel_simple(FB_CEL_STRING), &slot);
  w->slots[slot] = fb_string(FB_SLICE("Ada"));
  fb_cel_env_add(w->env, FB_SLICE("n"), fb_cel_simple(FB_CEL_INT), &slot);
  w->slots[slot] = fb_int(3);
}

static void S_template(S_world *w, const char *text, const char *want) {
  fb_template *template_;
  fb_cel_context context;
  fb_value value, expected;
  fb_error err;
  fb_errors errors;
  fb_errors_init(&errors, NULL, 0);
  if (fb_template_compile(w->env, fb_slice_of(text), NULL, &template_, &errors))
    fail_msg("%s: %s", text, errors.items[0].text);
  fb_cel_context_init(&context, &w->arena);
  if (fb_template_eval(template_, w->slots, &context, &value, &err))
    fail_msg("%s: %s", text, err.text);
  assert_int_equal(S_run(w, fb_slice_of(want), false, &expected, NULL), FB_OK);
  if (!S_same(value, expected)) fail_msg("%s: not %s", text, want);
  assert_int_equal(fb_template_is_constant(template_),
                   strstr(text, "${{") == NULL || strstr(text, "$${{") != NULL);
  fb_cel_context_release(&context);
  fb_template_free(template_);
  fb_errors_release(&errors);
}

static void test_templates(void **state) {
  (void)state;
  S_world w;
  S_open(&w, NULL);
  S_stock_template(&w);
  S_template(&w, "plain", "'plain'");
  S_template(&w, "", "''");
  S_template(&w, "${{ n + 1 }}", "4");
  S_template(&w, "${{n}}", "3");
  S_template(&w, "hello ${{ name }}!", "'hello Ada!'");
  S_template(&w, " ${{ n }}", "' 3'");
  S_template(&w, "${{ n }}${{ n }}", "'33'");
  S_template(&w, "${{ '}}' }}", "'}}'");
  S_template(&w, "${{ {'a': {'b': n}} }}", "{'a': {'b': 3}}");
  S_template(&w, "${{ {'a': {'b': n}}}}", "{'a': {'b': 3}}");
  S_template(&w, "x=${{ {'a': [n, null]} }}", "'x={\"a\":[3,null]}'");
  S_template(&w, "[${{ null }}] ${{ 1.5 }} ${{ true }} ${{ duration('90s') }}",
             "'[] 1.5 true 90s'");
  S_template(&w, "literal $${{ n }}", "'literal ${{ n }}'");
  S_template(&w, "costs $5 {{ }} $ {", "'costs $5 {{ }} $ {'");
  S_template(&w, "${{ \"}}\" + name // }} comment\n }}", "'}}Ada'");
  S_close(&w);
}

static void S_template_error(S_world *w, const char *text, const fb_cel_type *want, fb_status code,
                             uint32_t column) {
  fb_template *template_;
  fb_errors errors;
  fb_errors_init(&errors, NULL, 0);
  fb_cel_options options = {.want = want};
  assert_int_equal(fb_template_compile(w->env, fb_slice_of(text), &options, &template_, &errors),
                   code);
  assert_int_equal(errors.count, 1);
  assert_int_equal(errors.items[0].column, column);
  fb_errors_release(&errors);
}

static void test_template_errors(void **state) {
  (void)state;
  S_world w;
  S_open(&w, NULL);
  S_stock_template(&w);
  S_template_error(&w, "a ${{ n", NULL, FB_E_CEL_TEMPLATE, 3);
  S_template_error(&w, "a ${{ nn }}", NULL, FB_E_CEL_UNDECLARED, 7);
  S_template_error(&w, "a ${{ }}", NULL, FB_E_CEL_SYNTAX, 7);
  S_template_error(&w, "a ${{ 'x }}", NULL, FB_E_CEL_SYNTAX, 7);
  S_template_error(&w, "${{ name }}", fb_cel_simple(FB_CEL_INT), FB_E_CEL_TYPE, 5);
  S_template_error(&w, "n ${{ n }}", fb_cel_simple(FB_CEL_INT), FB_E_CEL_TYPE, 1);
  fb_template *template_;
  fb_cel_context context;
  fb_value value;
  fb_error err;
  assert_int_equal(
      fb_template_compile(w.env, FB_SLICE("line\nof ${{ 1 / (n - 3) }}"), NULL, &template_, NULL),
      FB_OK);
  fb_cel_context_init(&context, &w.arena);
  assert_int_equal(fb_template_eval(template_, w.slots, &context, &value, &err), FB_E_CEL_DIVIDE);
  assert_int_equal(err.line, 2);
  assert_int_equal(err.column, 8);
  uint64_t reads = 0;
  fb_template_reads(template_, &reads, 1);
  assert_int_equal(reads, 2);
  assert_int_equal(fb_template_type(template_)->kind, FB_CEL_STRING);
  fb_cel_context_release(&context);
  fb_template_free(template_);
  S_close(&w);
}

static const char S_doc_text[] =
    "with:\n"
    "  title: \"for ${{ name }}\"\n"
    "  numbers: [1, \"${{ n * 2 }}\", {deep: \"${{ [n] }}\"}]\n"
    "  fixed: [a, 2, {b: c}]\n"
    "  bad: \"${{ 7 / (n - 3) }}\"\n";

static void test_template_of_a_document(void **state) {
  (void)state;
  S_world w;
  S_open(&w, NULL);
  S_stock_template(&w);
  fb_doc *doc;
  fb_errors errors;
  fb_errors_init(&errors, NULL, 0);
  assert_int_equal(fb_doc_read_yaml(FB_SLICE(S_doc_text), "book.yaml", NULL, &doc, &errors), FB_OK);
  const fb_node *with = fb_node_get(fb_doc_root(doc), "with");
  fb_template *good, *bad, *fixed;
  assert_int_equal(
      fb_template_compile_node(w.env, doc, fb_node_get(with, "numbers"), &good, &errors), FB_OK);
  assert_int_equal(fb_template_compile_node(w.env, doc, with, &bad, &errors), FB_OK);
  assert_int_equal(
      fb_template_compile_node(w.env, doc, fb_node_get(with, "fixed"), &fixed, &errors), FB_OK);
  fb_doc_free(doc); /* templates do not need it any more */
  fb_cel_context context;
  fb_value value, expected;
  fb_error err;
  fb_cel_context_init(&context, &w.arena);
  assert_int_equal(fb_template_eval(good, w.slots, &context, &value, &err), FB_OK);
  assert_int_equal(S_run(&w, FB_SLICE("[1, 6, {'deep': [3]}]"), false, &expected, NULL), FB_OK);
  assert_true(S_same(value, expected));
  assert_true(fb_template_is_constant(fixed));
  assert_int_equal(fb_template_eval(bad, w.slots, &context, &value, &err), FB_E_CEL_DIVIDE);
  assert_string_equal(err.file, "book.yaml");
  assert_int_equal(err.line, 5);
  assert_int_equal(err.column, 13);
  fb_cel_context_release(&context);
  fb_template_free(good);
  fb_template_free(bad);
  fb_template_free(fixed);
  fb_errors_release(&errors);
  S_close(&w);
}

/* Of a very long line only the part around the expression is kept; positions are those in the whole. */
static void test_errors_in_long_lines(void **state) {
  (void)state;
  S_world w;
  S_open(&w, NULL);
  S_stock_template(&w);
  fb_buf text;
  fb_buf_init(&text, NULL, 0);
  fb_buf_text(&text, "{\"a\": \"");
  for (int i = 0; i < 5000; i++) fb_buf_text(&text, "\u00e9x");
  size_t inside = text.len;
  fb_buf_text(&text, " ${{ 1 / (n - 3) }}\", \"b\": \"${{ n }} ${{ 7 / (n - 3) }}\"}");
  fb_doc *doc;
  fb_template *plain, *first, *second;
  fb_cel_context context;
  fb_value value;
  fb_error err;
  assert_int_equal(fb_doc_read_json(fb_buf_slice(&text), "long.json", NULL, &doc, NULL), FB_OK);
  const fb_node *root = fb_doc_root(doc);
  assert_int_equal(fb_template_compile_node(w.env, doc, fb_node_get(root, "a"), &first, NULL),
                   FB_OK);
  assert_int_equal(fb_template_compile_node(w.env, doc, fb_node_get(root, "b"), &second, NULL),
                   FB_OK);
  assert_int_equal(
      fb_template_compile(w.env, (fb_slice){text.ptr + 7, inside - 7 + 19}, NULL, &plain, NULL),
      FB_OK);
  fb_doc_free(doc);
  fb_cel_context_init(&context, &w.arena);
  assert_int_equal(fb_template_eval(plain, w.slots, &context, &value, &err), FB_E_CEL_DIVIDE);
  assert_int_equal(err.line, 1);
  assert_int_equal(err.column, 10006);
  assert_int_equal(fb_template_eval(first, w.slots, &context, &value, &err), FB_E_CEL_DIVIDE);
  assert_int_equal(err.column, 10013);
  assert_int_equal(fb_template_eval(second, w.slots, &context, &value, &err), FB_E_CEL_DIVIDE);
  assert_int_equal(err.line, 1);
  assert_int_equal(err.column, 10013 + 36);
  assert_non_null(strstr(err.excerpt, "7 / (n - 3)"));
  fb_cel_context_release(&context);
  fb_template_free(plain);
  fb_template_free(first);
  fb_template_free(second);
  fb_buf_release(&text);
  S_close(&w);
}

static void test_errors_are_moved_to_the_document(void **state) {
  (void)state;
  S_world w;
  S_open(&w, NULL);
  fb_doc *doc;
  fb_errors errors;
  fb_errors_init(&errors, NULL, 0);
  assert_int_equal(
      fb_doc_read_yaml(FB_SLICE("rules:\n  - when: a.b > 3\n"), "r.yaml", NULL, &doc, &errors),
      FB_OK);
  const fb_node *when = fb_node_get(&fb_node_get(fb_doc_root(doc), "rules")->as.items[0], "when");
  fb_cel_options options = {.doc = doc, .node = when};
  fb_cel_program *program;
  assert_int_equal(fb_cel_compile(w.env, fb_node_text(when), &options, &program, &errors),
                   FB_E_CEL_UNDECLARED);
  assert_int_equal(errors.items[0].line, 2);
  assert_int_equal(errors.items[0].column, 11);
  assert_string_equal(errors.items[0].file, "r.yaml");
  fb_doc_free(doc);
  fb_errors_release(&errors);
  S_close(&w);
}

/* ── Every allocation may fail ───────────────────────────────────────────────────────────────── */

static bool S_torture_expression(const fb_allocator *allocator, const char *text) {
  fb_cel_env *env = NULL;
  fb_cel_program *program = NULL;
  fb_arena arena;
  fb_errors errors;
  fb_cel_context context;
  fb_value value, slots[3] = {fb_int(3), fb_absent(), fb_absent()};
  bool through = false;
  fb_arena_init(&arena, allocator, 256);
  fb_errors_init(&errors, allocator, 0);
  fb_cel_context_init(&context, &arena);
  if (!fb_cel_env_new(allocator, &env) &&
      !fb_cel_env_add(env, FB_SLICE("x"), fb_cel_simple(FB_CEL_INT), NULL) &&
      !fb_cel_env_container(env, FB_SLICE("a.b")) &&
      !fb_cel_compile(env, fb_slice_of(text), NULL, &program, &errors)) {
    fb_status status = fb_cel_eval(program, slots, &context, &value, NULL);
    through = status != FB_E_NOMEM;
  }
  fb_cel_program_free(program);
  fb_cel_env_free(env);
  fb_cel_context_release(&context);
  fb_errors_release(&errors);
  fb_arena_release(&arena);
  return through;
}

static bool S_torture_loops(const fb_allocator *allocator) {
  return S_torture_expression(allocator,
                              "[1, 2, x].map(e, e > 1, string(e)).exists(s, s == '3') && {'a': "
                              "[x], ?'b': optional.of(x)}.transformMap(k, v, "
                              "k).size() > 0 && [x, 1].sortBy(e, -e)[0] == 3 && "
                              "optional.of(x).optMap(y, y + 1).value() == 4");
}

static bool S_torture_text(const fb_allocator *allocator) {
  return S_torture_expression(
      allocator,
      "('a' + string(x) + \"\\u00e9\").startsWith('a') ? [1, 2] + [x, 4] : dyn({'k': x}).k");
}

static bool S_torture_mistakes(const fb_allocator *allocator) {
  fb_cel_env *env = NULL;
  fb_cel_program *program = NULL;
  fb_errors errors;
  fb_errors_init(&errors, allocator, 0);
  bool through = !fb_cel_env_new(allocator, &env) &&
                 !fb_cel_env_add(env, FB_SLICE("amount"), NULL, NULL) &&
                 fb_cel_compile(env, FB_SLICE("amout + [1, 'a'].mapp(x) + foo(1 + 'a') + 1.0 == 1"),
                                NULL, &program, &errors) != FB_E_NOMEM &&
                 errors.count == 6;
  fb_cel_program_free(program);
  fb_cel_env_free(env);
  fb_errors_release(&errors);
  return through;
}

static bool S_torture_template(const fb_allocator *allocator) {
  fb_cel_env *env = NULL;
  fb_doc *doc = NULL;
  fb_template *template_ = NULL;
  fb_arena arena;
  fb_cel_context context;
  fb_value value, slots[2] = {fb_string(FB_SLICE("Ada")), fb_int(4)};
  bool through = false;
  if (fb_doc_read_yaml(FB_SLICE(S_doc_text), "book.yaml", NULL, &doc, NULL)) return true;
  fb_arena_init(&arena, allocator, 256);
  fb_cel_context_init(&context, &arena);
  if (!fb_cel_env_new(allocator, &env) && !fb_cel_env_add(env, FB_SLICE("name"), NULL, NULL) &&
      !fb_cel_env_add(env, FB_SLICE("n"), NULL, NULL) &&
      !fb_template_compile_node(env, doc, fb_doc_root(doc), &template_, NULL))
    through = !fb_template_eval(template_, slots, &context, &value, NULL);
  fb_template_free(template_);
  fb_cel_env_free(env);
  fb_cel_context_release(&context);
  fb_arena_release(&arena);
  fb_doc_free(doc);
  return through;
}

static void test_every_allocation_may_fail(void **state) {
  (void)state;
  fb_test_each_failure(S_torture_loops);
  fb_test_each_failure(S_torture_text);
  fb_test_each_failure(S_torture_mistakes);
  fb_test_each_failure(S_torture_template);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_cases_literals),
      cmocka_unit_test(test_cases_operators),
      cmocka_unit_test(test_cases_logic),
      cmocka_unit_test(test_cases_names),
      cmocka_unit_test(test_cases_collections),
      cmocka_unit_test(test_cases_macros),
      cmocka_unit_test(test_cases_optionals),
      cmocka_unit_test(test_cases_types),
      cmocka_unit_test(test_cases_syntax_errors),
      cmocka_unit_test(test_cases_runtime_errors),
      cmocka_unit_test(test_cases_lib_convert),
      cmocka_unit_test(test_cases_lib_format),
      cmocka_unit_test(test_cases_lib_lists),
      cmocka_unit_test(test_cases_lib_math),
      cmocka_unit_test(test_cases_lib_regex),
      cmocka_unit_test(test_cases_lib_strings),
      cmocka_unit_test(test_cases_lib_time),
      cmocka_unit_test(test_facts),
      cmocka_unit_test(test_map_in_place_of_a_fact),
      cmocka_unit_test(test_conjuncts_are_compiled_alone),
      cmocka_unit_test(test_environment_forgets),
      cmocka_unit_test(test_wanted_type),
      cmocka_unit_test(test_budget),
      cmocka_unit_test(test_limits_of_the_source),
      cmocka_unit_test(test_large_types),
      cmocka_unit_test(test_templates),
      cmocka_unit_test(test_template_errors),
      cmocka_unit_test(test_template_of_a_document),
      cmocka_unit_test(test_errors_in_long_lines),
      cmocka_unit_test(test_errors_are_moved_to_the_document),
      cmocka_unit_test(test_every_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
