/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "data/facts_internal.h"

#include <flyball/data.h>

typedef struct world {
  fb_symbols *symbols;
  fb_schema *schema;
} world;

static world S_world(void) {
  world w = {0};
  assert_int_equal(fb_symbols_new(NULL, 1, &w.symbols), FB_OK);
  assert_int_equal(fb_schema_new(NULL, w.symbols, &w.schema), FB_OK);
  return w;
}

static void S_end(world *w) {
  fb_schema_free(w->schema);
  fb_symbols_free(w->symbols);
}

static fb_facts *S_open(world *w, const char *name) {
  fb_fact_type *type;
  fb_facts *facts;
  assert_int_equal(fb_schema_open(w->schema, fb_slice_of(name), &type), FB_OK);
  assert_int_equal(fb_facts_new(NULL, w->schema, type, &facts), FB_OK);
  return facts;
}

static uint32_t S_field(fb_facts *facts, const char *name) {
  uint32_t field;
  assert_int_equal(
      fb_fact_type_learn(fb_facts_schema(facts), fb_facts_type(facts), fb_slice_of(name), &field),
      FB_OK);
  return field;
}

static fb_value S_text(const char *text) {
  return fb_string(fb_slice_of(text));
}

static void test_symbols_are_dense_and_found_again(void **state) {
  (void)state;
  fb_symbols *symbols;
  assert_int_equal(fb_symbols_new(NULL, 7, &symbols), FB_OK);
  fb_symbol symbol;
  assert_int_equal(fb_symbol_intern(symbols, FB_SLICE(""), &symbol), FB_OK);
  assert_int_equal(symbol, 0);
  char text[64];
  for (int round = 0; round < 2; round++)
    for (int i = 0; i < 20000; i++) { /* 1 to 40 bytes: short and long ones */
      int len = snprintf(text, sizeof text, "%0*d", i % 40 + 5, i);
      assert_int_equal(fb_symbol_intern(symbols, (fb_slice){text, (size_t)len}, &symbol), FB_OK);
      assert_int_equal(symbol, i + 1);
      fb_value value = fb_symbol_value(symbols, symbol);
      assert_int_equal(fb_symbol_of(value), symbol);
      assert_true(value.symbol == 1 &&
                  fb_slice_equal(fb_value_text(value), (fb_slice){text, (size_t)len}));
    }
  assert_int_equal(fb_symbols_count(symbols), 20001);
  assert_false(fb_symbol_find(symbols, FB_SLICE("absent"), &symbol));
  assert_true(fb_symbols_memory(symbols) > 20000 * 20);
  fb_symbols_free(symbols);
}

/* Texts that differ only in zero bytes at their end, or only behind the 16th byte. */
static void test_symbols_tell_near_texts_apart(void **state) {
  (void)state;
  fb_symbols *symbols;
  assert_int_equal(fb_symbols_new(NULL, 7, &symbols), FB_OK);
  static const char zeros[24] = {0};
  fb_symbol symbol;
  for (size_t len = 1; len <= sizeof zeros; len++) {
    assert_int_equal(fb_symbol_intern(symbols, (fb_slice){zeros, len}, &symbol), FB_OK);
    assert_int_equal(symbol, len);
  }
  fb_symbol other;
  assert_int_equal(fb_symbol_intern(symbols, FB_SLICE("0123456789abcdefX"), &symbol), FB_OK);
  assert_int_equal(fb_symbol_intern(symbols, FB_SLICE("0123456789abcdefY"), &other), FB_OK);
  assert_int_not_equal(symbol, other);
  fb_symbols_free(symbols);
}

static void test_declared_types(void **state) {
  (void)state;
  world w = S_world();
  fb_field fields[] = {{FB_SLICE("id"), FB_FIELD_STRING}, {FB_SLICE("amount"), FB_FIELD_DOUBLE}};
  fb_fact_type *type;
  fb_error err;
  assert_int_equal(fb_schema_declare(w.schema, FB_SLICE("order"), fields, 2, &type, &err), FB_OK);
  assert_int_equal(fb_fact_type_field(type, FB_SLICE("amount")), 1);
  assert_int_equal(fb_fact_type_field(type, FB_SLICE("")), -1);
  assert_int_equal(fb_schema_declare(w.schema, FB_SLICE("order"), fields, 2, &type, &err),
                   FB_E_FACT_TYPE);
  fb_field twice[] = {fields[0], fields[0]};
  assert_int_equal(fb_schema_declare(w.schema, FB_SLICE("pair"), twice, 2, &type, &err),
                   FB_E_FACT_TYPE);
  assert_null(fb_schema_find(w.schema, FB_SLICE("pair")));
  assert_int_equal(fb_schema_count(w.schema), 1);
  uint32_t field;
  assert_int_equal(fb_fact_type_learn(w.schema, fb_schema_type(w.schema, 0), FB_SLICE("x"), &field),
                   FB_E_FACT_FIELD);
  for (int i = FB_FIELD_ANY; i <= FB_FIELD_MAP; i++) {
    fb_field_type parsed;
    assert_true(fb_field_type_parse(fb_slice_of(fb_field_type_name(i)), &parsed));
    assert_int_equal(parsed, i);
  }
  S_end(&w);
}

static void test_declared_fields_convert_only_what_loses_nothing(void **state) {
  (void)state;
  world w = S_world();
  static const char *const names[] = {"any",    "bool",  "int",       "uint",    "double",
                                      "string", "bytes", "timestamp", "duration"};
  fb_field fields[9];
  for (int i = 0; i < 9; i++) fields[i] = (fb_field){fb_slice_of(names[i]), (fb_field_type)i};
  fb_fact_type *type;
  fb_facts *facts;
  fb_error err;
  assert_int_equal(fb_schema_declare(w.schema, FB_SLICE("t"), fields, 9, &type, &err), FB_OK);
  assert_int_equal(fb_facts_new(NULL, w.schema, type, &facts), FB_OK);
  uint32_t row;
  assert_int_equal(fb_facts_add(facts, &row), FB_OK);
  const struct {
    fb_field_type field;
    fb_value in, out; /* out FB_ERROR: refused */
  } cases[] = {
      {FB_FIELD_BOOL, fb_bool(true), fb_bool(true)},
      {FB_FIELD_BOOL, fb_int(1), {.kind = FB_ERROR}},
      {FB_FIELD_INT, fb_uint(5), fb_int(5)},
      {FB_FIELD_INT, fb_uint((uint64_t)INT64_MAX + 1), {.kind = FB_ERROR}},
      {FB_FIELD_INT, fb_double(1), {.kind = FB_ERROR}},
      {FB_FIELD_UINT, fb_int(5), fb_uint(5)},
      {FB_FIELD_UINT, fb_int(-5), {.kind = FB_ERROR}},
      {FB_FIELD_DOUBLE, fb_int(5), fb_double(5)},
      {FB_FIELD_DOUBLE, fb_int((INT64_C(1) << 53) + 1), {.kind = FB_ERROR}},
      {FB_FIELD_DOUBLE, fb_int(INT64_MAX), {.kind = FB_ERROR}},
      {FB_FIELD_STRING, fb_int(5), {.kind = FB_ERROR}},
      {FB_FIELD_BYTES, fb_bytes(FB_SLICE("\0x")), fb_bytes(FB_SLICE("\0x"))},
      {FB_FIELD_BYTES, fb_string(FB_SLICE("x")), {.kind = FB_ERROR}},
      {FB_FIELD_TIMESTAMP, fb_string(FB_SLICE("1970-01-01T00:00:01.5Z")),
       fb_timestamp(1, 500000000)},
      {FB_FIELD_TIMESTAMP, fb_string(FB_SLICE("yesterday")), {.kind = FB_ERROR}},
      {FB_FIELD_DURATION, fb_string(FB_SLICE("-500ms")), fb_duration(-1, 500000000)},
      {FB_FIELD_INT, fb_null(), {.kind = FB_ABSENT}},
      {FB_FIELD_ANY, fb_null(), fb_null()},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fb_status status = fb_facts_set(facts, row, cases[i].field, cases[i].in, &err);
    if (cases[i].out.kind == FB_ERROR) {
      assert_int_equal(status, FB_E_FACT_VALUE);
      continue;
    }
    assert_int_equal(status, FB_OK);
    fb_value got = fb_facts_get(facts, row, cases[i].field);
    assert_int_equal(got.kind, cases[i].out.kind);
    assert_true(fb_value_equal(got, cases[i].out));
  }
  assert_int_equal(fb_facts_set(facts, row, FB_FIELD_TIMESTAMP, S_text("soon"), &err),
                   FB_E_FACT_VALUE);
  assert_string_equal(err.text, "field `timestamp` of `t` takes timestamp, not the text \"soon\"");
  fb_facts_free(facts);
  S_end(&w);
}

static void test_columns_promote_when_kinds_mix(void **state) {
  (void)state;
  world w = S_world();
  fb_facts *facts = S_open(&w, "t");
  uint32_t x = S_field(facts, "x"), row;
  for (int i = 0; i < 100; i++) {
    assert_int_equal(fb_facts_add(facts, &row), FB_OK);
    assert_int_equal(fb_facts_set(facts, row, x, fb_int(i), NULL), FB_OK);
  }
  assert_int_equal(fb_facts_chunk(facts, 0)->columns[x].kind, FB_INT);
  assert_int_equal(fb_facts_set(facts, 50, x, S_text("fifty"), NULL), FB_OK);
  assert_int_equal(fb_facts_chunk(facts, 0)->columns[x].kind, FB_COLUMN_VALUES);
  for (uint32_t i = 0; i < 100; i++)
    assert_true(fb_value_equal(fb_facts_get(facts, i, x), i == 50 ? S_text("fifty") : fb_int(i)));
  assert_int_equal(fb_facts_get(facts, 50, x).symbol, 1);
  assert_int_equal(fb_facts_get(facts, 100, x).kind, FB_ABSENT);
  assert_int_equal(fb_facts_get(facts, 0, x + 1).kind, FB_ABSENT);
  fb_facts_free(facts);
  S_end(&w);
}

static fb_value S_random_value(fb_random *random, int variety) {
  static const char *const texts[] = {"", "a", "bronze",
                                      "a text that is longer than sixteen bytes"};
  switch (fb_random_below(random, (uint64_t)variety)) {
    case 0: return fb_int((int64_t)fb_random_below(random, 100));
    case 1: return fb_absent();
    case 2: return fb_double((double)fb_random_below(random, 100) / 4);
    case 3: return S_text(texts[fb_random_below(random, 4)]);
    case 4: return fb_bool(fb_random_below(random, 2));
    case 5: return fb_uint(UINT64_MAX);
    case 6: return fb_null();
    default: return fb_timestamp(5, 6);
  }
}

static void S_check_bits(const fb_facts *facts) {
  for (size_t c = 0; c < fb_facts_chunks(facts); c++) {
    const fb_chunk *chunk = fb_facts_chunk(facts, c);
    for (uint32_t f = 0; f < chunk->column_count; f++)
      for (uint32_t at = 0; at < FB_CHUNK_ROWS; at++) {
        bool bit = fb_column_bits(&chunk->columns[f], at / 64) >> (at % 64) & 1;
        assert_int_equal(bit, fb_column_has(&chunk->columns[f], at));
        assert_true(at < chunk->count || !bit);
      }
  }
}

/* Random adds, sets, removals, drops and clears, against a plain array. */
static void test_columns_agree_with_a_plain_array(void **state) {
  (void)state;
  enum { FIELDS = 5, ROWS = 10000 };
  static fb_value model[ROWS][FIELDS];
  for (uint64_t seed = 1; seed <= 6; seed++) {
    world w = S_world();
    fb_facts *facts = S_open(&w, "t");
    for (int i = 0; i < FIELDS; i++) S_field(facts, (char[]){(char)('a' + i), 0});
    fb_random random;
    fb_random_seed(&random, seed);
    uint32_t count = 0, row;
    int variety = seed % 2 ? 2 : 8;
    for (int step = 0; step < 60000; step++) {
      uint64_t dice = fb_random_below(&random, 100);
      if (dice < 30 && count < ROWS) {
        assert_int_equal(fb_facts_add(facts, &row), FB_OK);
        assert_int_equal(row, count);
        for (int f = 0; f < FIELDS; f++) model[count][f] = fb_absent();
        count++;
      } else if (dice < 34 && count) {
        fb_facts_drop_last(facts);
        count--;
      } else if (dice == 34 && fb_random_below(&random, 200) == 0) {
        fb_facts_clear(facts);
        count = 0;
      } else if (count) {
        row = dice < 90 ? count - 1 : (uint32_t)fb_random_below(&random, count);
        uint32_t f = (uint32_t)fb_random_below(&random, FIELDS);
        model[row][f] = S_random_value(&random, variety);
        assert_int_equal(fb_facts_set(facts, row, f, model[row][f], NULL), FB_OK);
      }
    }
    assert_int_equal(fb_facts_count(facts), count);
    for (row = 0; row < count; row++)
      for (uint32_t f = 0; f < FIELDS; f++) {
        fb_value got = fb_facts_get(facts, row, f);
        assert_int_equal(got.kind, model[row][f].kind);
        assert_true(fb_value_equal(got, model[row][f]));
      }
    S_check_bits(facts);
    fb_facts_free(facts);
    S_end(&w);
  }
}

static void test_a_refused_map_leaves_nothing(void **state) {
  (void)state;
  world w = S_world();
  fb_field fields[] = {{FB_SLICE("id"), FB_FIELD_STRING}, {FB_SLICE("amount"), FB_FIELD_DOUBLE}};
  fb_fact_type *type;
  fb_facts *facts;
  fb_error err;
  assert_int_equal(fb_schema_declare(w.schema, FB_SLICE("order"), fields, 2, &type, &err), FB_OK);
  assert_int_equal(fb_facts_new(NULL, w.schema, type, &facts), FB_OK);
  fb_arena arena;
  fb_arena_init(&arena, NULL, 0);
  fb_map *map = fb_map_new(&arena, 2);
  uint32_t row;
  fb_map_put(map, &arena, S_text("id"), S_text("o1"), NULL);
  fb_map_put(map, &arena, S_text("amuont"), fb_double(1), NULL);
  assert_int_equal(fb_facts_add_map(facts, map, &row, &err), FB_E_FACT_FIELD);
  assert_string_equal(err.hint, "did you mean `amount`?");
  assert_int_equal(fb_facts_count(facts), 0);
  map = fb_map_new(&arena, 2);
  fb_map_put(map, &arena, S_text("amount"), fb_int(3), NULL);
  assert_int_equal(fb_facts_add_map(facts, map, &row, &err), FB_OK);
  assert_int_equal(fb_facts_get(facts, row, 0).kind, FB_ABSENT);
  fb_map *back;
  assert_int_equal(fb_fact_map(facts, row, &arena, &back), FB_OK);
  assert_true(back->len == 1 && fb_map_get_text(back, FB_SLICE("amount"))->as.d == 3);
  assert_true(fb_fact_get(fb_fact_value(facts, row), FB_SLICE("amount")).as.d == 3);
  assert_int_equal(fb_fact_get(fb_fact_value(facts, row), FB_SLICE("nothing")).kind, FB_ABSENT);
  fb_arena_release(&arena);
  fb_facts_free(facts);
  S_end(&w);
}

/* Compounds are copied: the first table's clearing does not touch the second's. */
static void test_rows_are_copied_whole(void **state) {
  (void)state;
  world w = S_world();
  fb_facts *from = S_open(&w, "t"), *to = S_open(&w, "t"), *other = S_open(&w, "u");
  fb_arena arena;
  fb_arena_init(&arena, NULL, 0);
  fb_list *list = fb_list_new(&arena, 1);
  fb_list_push(list, &arena, S_text("in a list"));
  fb_map *map = fb_map_new(&arena, 2);
  fb_map_put(map, &arena, S_text("n"), fb_int(1), NULL);
  fb_map_put(map, &arena, S_text("l"), fb_list_value(list), NULL);
  uint32_t row;
  for (int i = 0; i < 5000; i++) assert_int_equal(fb_facts_add_map(from, map, &row, NULL), FB_OK);
  for (uint32_t i = 0; i < 5000; i++) assert_int_equal(fb_facts_add_row(to, from, i, &row), FB_OK);
  assert_int_equal(fb_facts_add_row(other, from, 0, &row), FB_E_INTERNAL);
  size_t full = fb_facts_memory(from);
  fb_facts_clear(from);
  assert_true(fb_facts_memory(from) < full);
  assert_int_equal(fb_facts_count(from), 0);
  assert_int_equal(fb_facts_chunks(from), 0);
  fb_arena_release(&arena);
  fb_value copy = fb_facts_get(to, 4999, S_field(to, "l"));
  assert_true(fb_slice_equal(fb_value_text(copy.as.list->items[0]), FB_SLICE("in a list")));
  assert_int_equal(fb_facts_chunks(to), 2);
  fb_facts_free(from);
  fb_facts_free(to);
  fb_facts_free(other);
  S_end(&w);
}

static void S_same_rows(const fb_facts *a, uint32_t at, const fb_facts *b, uint32_t from,
                        uint32_t rows) {
  for (uint32_t i = 0; i < rows; i++)
    for (uint32_t f = 0; f < fb_facts_type(a)->field_count; f++) {
      fb_value x = fb_facts_get(a, at + i, f), y = fb_facts_get(b, from + i, f);
      assert_int_equal(x.kind, y.kind);
      if (x.kind != FB_ABSENT) assert_int_equal(fb_value_order(x, y), 0);
    }
}

/* Parts of tables with gaps, and fields of several kinds, onto the end of others. */
static void test_many_rows_are_copied_as_one_by_one(void **state) {
  (void)state;
  fb_random random;
  fb_random_seed(&random, 5);
  for (int round = 0; round < 40; round++) {
    world w = S_world();
    fb_facts *from = S_open(&w, "t"), *to = S_open(&w, "t");
    uint32_t rows = 1 + (uint32_t)fb_random_below(&random, 9000), row, at = 0;
    uint32_t fields[3] = {S_field(from, "a"), S_field(from, "b"), S_field(from, "c")};
    for (uint32_t i = 0; i < rows; i++) {
      assert_int_equal(fb_facts_add(from, &row), FB_OK);
      for (int f = 0; f < 3; f++) {
        if (round % 3 && fb_random_below(&random, 1000) == 0) continue;
        fb_value value = f == 0 ? fb_int(i) : f == 1 ? S_text(i % 7 ? "x" : "y") : fb_bool(i % 2);
        if (round % 5 == 4 && fb_random_below(&random, 1000) == 0) value = fb_double(0.5);
        assert_int_equal(fb_facts_set(from, row, fields[f], value, NULL), FB_OK);
      }
    }
    for (int part = 0; part < 4; part++) {
      uint32_t first = (uint32_t)fb_random_below(&random, rows),
               count = (uint32_t)fb_random_below(&random, rows - first + 1);
      assert_int_equal(fb_facts_add_rows(to, from, first, count), FB_OK);
      assert_int_equal(fb_facts_count(to), at + count);
      S_same_rows(to, at, from, first, count);
      at += count;
    }
    assert_int_equal(fb_facts_add_rows(to, from, rows, 1), FB_E_INTERNAL);
    fb_facts_drop_to(to, at / 2);
    assert_int_equal(fb_facts_add_rows(to, from, 0, rows), FB_OK);
    S_same_rows(to, at / 2, from, 0, rows);
    fb_facts_free(from);
    fb_facts_free(to);
    S_end(&w);
  }
}

/* Input cannot make a type grow without end. */
static void test_open_types_are_bounded(void **state) {
  (void)state;
  world w = S_world();
  fb_fact_type *type;
  assert_int_equal(fb_schema_open(w.schema, FB_SLICE("t"), &type), FB_OK);
  fb_status status = FB_OK;
  uint32_t learned = 0, field;
  for (char name[16]; !status && learned < 100000; learned++) {
    snprintf(name, sizeof name, "f%u", learned);
    status = fb_fact_type_learn(w.schema, type, fb_slice_of(name), &field);
  }
  assert_int_equal(status, FB_E_LIMIT);
  assert_int_equal(learned, 4097);
  S_end(&w);
}

static bool S_torture_run(const fb_allocator *allocator) {
  fb_symbols *symbols = NULL;
  fb_schema *schema = NULL;
  fb_facts *facts = NULL, *copy = NULL;
  fb_fact_type *type;
  fb_arena arena;
  fb_arena_init(&arena, NULL, 0);
  fb_map *map = fb_map_new(&arena, 1), *odd = fb_map_new(&arena, 1);
  fb_map_put(map, &arena, S_text("text"), S_text("some text"), NULL);
  fb_map_put(map, &arena, S_text("map"), fb_map_value(odd), NULL);
  fb_map_put(odd, &arena, S_text("text"), fb_int(1), NULL);
  uint32_t row;
  bool through = !fb_symbols_new(allocator, 1, &symbols) &&
                 !fb_schema_new(allocator, symbols, &schema) &&
                 !fb_schema_open(schema, FB_SLICE("t"), &type) &&
                 !fb_facts_new(allocator, schema, type, &facts) &&
                 !fb_facts_new(allocator, schema, type, &copy);
  uint32_t rows = 0;
  for (int i = 0; through && i < 40; i++) {
    through = !fb_facts_add_map(facts, i % 7 ? map : odd, &row, NULL);
    if (through) rows++;
  }
  if (facts) assert_int_equal(fb_facts_count(facts), rows);
  through = through && !fb_facts_set(facts, 20, 0, fb_absent(), NULL) &&
            !fb_facts_add_row(copy, facts, 3, &row) && !fb_facts_add_rows(copy, facts, 5, 30);
  if (copy && !through) assert_true(fb_facts_count(copy) <= 1);
  fb_facts_free(facts);
  fb_facts_free(copy);
  fb_schema_free(schema);
  fb_symbols_free(symbols);
  fb_arena_release(&arena);
  return through;
}

/* Overwrites a few rows' lists and bytes over and over; what is held stays small, and the rows as they are. */
static bool S_compact_run(const fb_allocator *allocator) {
  enum { ROWS = 5, ROUNDS = 400, SIZE = 40 };
  fb_symbols *symbols = NULL;
  fb_schema *schema = NULL;
  fb_fact_type *type;
  fb_facts *facts = NULL;
  fb_value items[SIZE];
  uint32_t row, numbers[2];
  fb_list list = {.len = SIZE, .cap = SIZE, .items = items};
  bool through = fb_symbols_new(allocator, 1, &symbols) == FB_OK &&
                 fb_schema_new(allocator, symbols, &schema) == FB_OK &&
                 fb_schema_open(schema, FB_SLICE("t"), &type) == FB_OK &&
                 fb_fact_type_learn(schema, type, FB_SLICE("l"), &numbers[0]) == FB_OK &&
                 fb_fact_type_learn(schema, type, FB_SLICE("b"), &numbers[1]) == FB_OK &&
                 fb_facts_new(allocator, schema, type, &facts) == FB_OK;
  int64_t last[ROWS] = {0};
  for (int i = 0; i < ROWS && through; i++) through = fb_facts_add(facts, &row) == FB_OK;
  for (int64_t round = 1; round <= ROUNDS && through; round++) {
    for (int i = 0; i < SIZE; i++)
      items[i] = i % 2 ? fb_int(round) : fb_string(FB_SLICE("a text in a list"));
    row = (uint32_t)(round % ROWS);
    through = fb_facts_set(facts, row, 0, fb_list_value(&list), NULL) == FB_OK &&
              fb_facts_set(facts, row, 1, fb_bytes(FB_SLICE("bytes")), NULL) == FB_OK;
    if (!through) break;
    last[row] = round;
    fb_status status = fb_facts_compact(facts);
    assert_true(status == FB_OK || status == FB_E_NOMEM);
    through = status == FB_OK;
    for (uint32_t r = 0; r < ROWS; r++) {
      if (!last[r]) continue;
      fb_value value = fb_facts_get(facts, r, 0);
      assert_int_equal(value.as.list->len, SIZE);
      assert_int_equal(value.as.list->items[SIZE - 1].as.i, last[r]);
      assert_true(
          fb_slice_equal(fb_value_text(value.as.list->items[0]), FB_SLICE("a text in a list")));
      assert_true(fb_slice_equal(fb_value_text(fb_facts_get(facts, r, 1)), FB_SLICE("bytes")));
    }
  }
  if (through) assert_true(fb_facts_memory(facts) < 200000);
  fb_facts_free(facts);
  fb_schema_free(schema);
  fb_symbols_free(symbols);
  return through;
}

static void test_overwritten_lists_are_given_back(void **state) {
  (void)state;
  fb_test_each_failure(S_compact_run);
}

static void test_every_allocation_may_fail(void **state) {
  (void)state;
  fb_test_each_failure(S_torture_run);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_symbols_are_dense_and_found_again),
      cmocka_unit_test(test_symbols_tell_near_texts_apart),
      cmocka_unit_test(test_declared_types),
      cmocka_unit_test(test_declared_fields_convert_only_what_loses_nothing),
      cmocka_unit_test(test_columns_promote_when_kinds_mix),
      cmocka_unit_test(test_columns_agree_with_a_plain_array),
      cmocka_unit_test(test_a_refused_map_leaves_nothing),
      cmocka_unit_test(test_rows_are_copied_whole),
      cmocka_unit_test(test_many_rows_are_copied_as_one_by_one),
      cmocka_unit_test(test_open_types_are_bounded),
      cmocka_unit_test(test_overwritten_lists_are_given_back),
      cmocka_unit_test(test_every_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
