/* SPDX-License-Identifier: Apache-2.0
 * JSON: numbers against the C library, events, the corpus against jansson, the writer, bad days. */
#include "test.h"
#include "data/json_scan.h"
#include "../json_oracle.h"

#include <math.h>

static fb_status S_number(const char *text, fb_value *ret_value) {
  fb_scan_fault fault = {0};
  const char *end = text + strlen(text);
  const char *next = fb_scan_number(text, end, ret_value, &fault);
  if (!next) return FB_E_JSON_NUMBER;
  assert_ptr_equal(next, end);
  return FB_OK;
}

static void S_check_double(const char *text) {
  fb_value value;
  double expected = strtod(text, NULL);
  if (isinf(expected)) {
    assert_int_equal(S_number(text, &value), FB_E_JSON_NUMBER);
    return;
  }
  assert_int_equal(S_number(text, &value), FB_OK);
  assert_int_equal(value.kind, FB_DOUBLE);
  if (memcmp(&value.as.d, &expected, sizeof expected) != 0)
    fail_msg("%s: %.17g, not %.17g", text, value.as.d, expected);
}

static void test_doubles_are_rounded_as_the_c_library_does(void **state) {
  static const char *const hard[] = {"0.0",
                                     "-0.0",
                                     "0e0",
                                     "-0e-999",
                                     "1e-400",
                                     "4.9e-324",
                                     "2.4703282292062327e-324",
                                     "2.4703282292062328e-324",
                                     "2.2250738585072011e-308",
                                     "1.7976931348623157e308",
                                     "1.7976931348623158e308",
                                     "1.7976931348623159e308",
                                     "1e309",
                                     "9007199254740993.0",
                                     "9007199254740992.5",
                                     "9007199254740993e0",
                                     "0.1",
                                     "0.3",
                                     "1e22",
                                     "1e23",
                                     "8.5e22",
                                     "123456789012345678901234567890.0",
                                     "0.000000000000000000000000000000000000001",
                                     "1.5e300",
                                     "9223372036854775807.0",
                                     "18446744073709551615.0",
                                     "1e27",
                                     "1e28",
                                     "1e-27",
                                     "1e-28",
                                     "5708990770823839524233143877797980545530986496.0",
                                     "0.500000000000000166533453693773481063544750213623046875",
                                     "3.518437208883201171875e13",
                                     "1.00000000000000011102230246251565404236316680908203125",
                                     "1.00000000000000011102230246251565404236316680908203124",
                                     "1.00000000000000011102230246251565404236316680908203126",
                                     "6.02214076e23",
                                     "1e-999999999999999999999"};
  for (size_t i = 0; i < sizeof hard / sizeof *hard; i++) S_check_double(hard[i]);
  fb_random random;
  fb_random_seed(&random, 1);
  char text[64];
  for (int i = 0; i < 200000; i++) {
    uint64_t bits = fb_random_u64(&random);
    double d;
    memcpy(&d, &bits, sizeof d);
    if (!isfinite(d)) continue;
    snprintf(text, sizeof text, "%.*e", (int)fb_random_below(&random, 21), d);
    S_check_double(text);
    d = (double)fb_random_u64(&random) / (double)(fb_random_below(&random, 1000000000) + 1);
    snprintf(text, sizeof text, "%.*f", (int)fb_random_below(&random, 20) + 1,
             d / (double)(fb_random_u64(&random) >> fb_random_below(&random, 63)));
    S_check_double(text);
    snprintf(text, sizeof text, "%llue%d",
             (unsigned long long)fb_random_u64(&random) >> fb_random_below(&random, 63),
             (int)fb_random_below(&random, 60) - 30);
    S_check_double(text);
  }
}

static void test_very_long_numbers(void **state) {
  enum { LENGTH = 5000 };
  static char text[LENGTH + 64];
  memset(text, '0', LENGTH);
  text[1] = '.';
  strcpy(text + LENGTH, "15e5000");
  S_check_double(text);
  memset(text, '1', LENGTH);
  strcpy(text + LENGTH, ".5e-4990");
  S_check_double(text);
  /* A tie that only the very last digit breaks. */
  snprintf(text, sizeof text, "9007199254740993.");
  size_t at = strlen(text);
  memset(text + at, '0', LENGTH - at);
  strcpy(text + LENGTH, "0");
  S_check_double(text);
  strcpy(text + LENGTH, "1");
  S_check_double(text);
}

static void test_integers_are_exact_or_refused(void **state) {
  fb_value value;
  assert_int_equal(S_number("9223372036854775807", &value), FB_OK);
  assert_true(value.kind == FB_INT && value.as.i == INT64_MAX);
  assert_int_equal(S_number("-9223372036854775808", &value), FB_OK);
  assert_true(value.kind == FB_INT && value.as.i == INT64_MIN);
  assert_int_equal(S_number("9223372036854775808", &value), FB_OK);
  assert_true(value.kind == FB_UINT && value.as.u == UINT64_C(1) << 63);
  assert_int_equal(S_number("18446744073709551615", &value), FB_OK);
  assert_true(value.kind == FB_UINT && value.as.u == UINT64_MAX);
  assert_int_equal(S_number("123456789012345678", &value), FB_OK);
  assert_true(value.kind == FB_INT && value.as.i == 123456789012345678);
  assert_int_equal(S_number("-0", &value), FB_OK);
  assert_true(value.kind == FB_INT && value.as.i == 0);
  assert_int_equal(S_number("18446744073709551616", &value), FB_E_JSON_NUMBER);
  assert_int_equal(S_number("-9223372036854775809", &value), FB_E_JSON_NUMBER);
  assert_int_equal(S_number("99999999999999999999999", &value), FB_E_JSON_NUMBER);
}

static void test_plain_scan_stops_where_it_must(void **state) {
  static const char stops[] = {'"', '\\', '\0', '\n', '\x1f'};
  char text[80];
  for (size_t at = 0; at < 64; at++)
    for (size_t i = 0; i < sizeof stops; i++)
      for (size_t from = 0; from <= at; from += 7) {
        memset(text, 'a' + (int)(at % 7), sizeof text);
        text[at] = stops[i];
        unsigned high = 0;
        assert_ptr_equal(fb_scan_plain(text + from, text + 64, &high), text + at);
        assert_int_equal(high, 0);
        if (at == from) continue;
        text[at - 1] = '\x7f';
        assert_ptr_equal(fb_scan_plain(text + from, text + 64, &high), text + at);
        text[at - 1] = '\x80';
        text[at + 1] = '\x80';
        assert_ptr_equal(fb_scan_plain(text + from, text + 64, &high), text + at);
        assert_true(high);
      }
}

static void test_events_tell_kinds_and_places(void **state) {
  static const char text[] = " {\"a\": [1, -2.5e1, \"x\\ny\"], \"b\":{}, \"c\" : true}\n";
  static const struct {
    uint8_t kind;
    size_t offset, length;
  } expected[] = {{FB_JSON_BEGIN_MAP, 1, 1}, {FB_JSON_KEY, 2, 3},     {FB_JSON_BEGIN_LIST, 7, 1},
                  {FB_JSON_SCALAR, 8, 1},    {FB_JSON_SCALAR, 11, 6}, {FB_JSON_SCALAR, 19, 6},
                  {FB_JSON_END_LIST, 25, 1}, {FB_JSON_KEY, 28, 3},    {FB_JSON_BEGIN_MAP, 32, 1},
                  {FB_JSON_END_MAP, 33, 1},  {FB_JSON_KEY, 36, 3},    {FB_JSON_SCALAR, 42, 4},
                  {FB_JSON_END_MAP, 46, 1}};
  fb_arena arena;
  fb_arena_init(&arena, NULL, 0);
  fb_json_events events;
  fb_json_event event;
  fb_error err;
  fb_json_events_init(&events, FB_SLICE(text), "t", 0, &arena);
  for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
    assert_int_equal(fb_json_events_next(&events, &event, &err), FB_OK);
    assert_int_equal(event.kind, expected[i].kind);
    assert_int_equal(event.offset, expected[i].offset);
    assert_int_equal(event.length, expected[i].length);
    if (i == 5)
      assert_true(!event.borrowed && fb_slice_equal(fb_value_text(event.value), FB_SLICE("x\ny")));
    if (i == 1)
      assert_true(event.borrowed && fb_slice_equal(fb_value_text(event.value), FB_SLICE("a")));
  }
  assert_int_equal(fb_json_events_next(&events, &event, &err), FB_DONE);
  fb_arena_release(&arena);
}

/* ── The corpus, with jansson as the oracle ──────────────────────────────────────────────────── */

/* %hh → byte; in place. Returns the length. */
static size_t S_unescape(char *text, size_t len) {
  size_t out = 0;
  for (size_t i = 0; i < len; i++) {
    unsigned byte;
    if (text[i] == '%' && sscanf(text + i + 1, "%2x", &byte) == 1) {
      text[out++] = (char)byte;
      i += 2;
    } else {
      text[out++] = text[i];
    }
  }
  return out;
}

/* A copy in a block of exactly its size, so that sanitizers see every read beyond it. */
static fb_slice S_exact(const char *text, size_t len) {
  char *copy = malloc(len ? len : 1);
  memcpy(copy, text, len);
  return (fb_slice){copy, len};
}

static fb_status S_read(fb_slice text, fb_arena *arena, fb_value *ret_value, fb_error *err) {
  return fb_json_read(text, "t.json", NULL, arena, ret_value, err);
}

static void S_check_written(fb_value value, unsigned style, fb_slice expected) {
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  fb_json_write(&out, value, style);
  assert_false(out.failed);
  if (!fb_slice_equal(fb_buf_slice(&out), expected))
    fail_msg("wrote %s, not %.*s", out.ptr, (int)expected.len, expected.ptr);
  fb_buf_release(&out);
}

/* What is written in any style reads back as the same value. */
static void S_check_round_trips(fb_value value) {
  for (unsigned style = 0; style < 8; style++) {
    fb_arena arena;
    fb_buf out;
    fb_value again;
    fb_error err = {0};
    fb_arena_init(&arena, NULL, 0);
    fb_buf_init(&out, NULL, 0);
    fb_json_write(&out, value, style);
    assert_false(out.failed);
    if (S_read(fb_buf_slice(&out), &arena, &again, &err)) fail_msg("%s: %s", out.ptr, err.text);
    if (!fb_value_equal(value, again)) fail_msg("%s: not the same value", out.ptr);
    fb_buf_release(&out);
    fb_arena_release(&arena);
  }
}

static void S_accept(char *line, size_t len) {
  char *tab = memchr(line, '\t', len);
  size_t text_len = S_unescape(line, tab ? (size_t)(tab - line) : len);
  fb_slice text = S_exact(line, text_len), expected = text;
  if (tab) expected = (fb_slice){tab + 1, S_unescape(tab + 1, len - (size_t)(tab + 1 - line))};
  fb_arena arena;
  fb_value value;
  fb_error err = {0};
  fb_arena_init(&arena, NULL, 0);
  if (S_read(text, &arena, &value, &err)) fail_msg("%.*s: %s", (int)text.len, text.ptr, err.text);
  S_check_written(value, FB_JSON_CANONICAL, expected);
  S_check_round_trips(value);
  assert_int_equal(fb_json_check(text, NULL, 0, NULL), FB_OK);
  json_error_t why;
  json_t *theirs = fb_oracle_read(text, &why);
  if (!theirs) fail_msg("jansson refuses %.*s: %s", (int)text.len, text.ptr, why.text);
  if (!fb_oracle_equal(theirs, value))
    fail_msg("jansson reads %.*s otherwise", (int)text.len, text.ptr);
  json_decref(theirs);
  fb_arena_release(&arena);
  free((void *)(uintptr_t)text.ptr);
}

static void S_reject(char *line, size_t len) {
  unsigned code, at_line, at_column;
  int from;
  if (sscanf(line, "%u %u:%u%n", &code, &at_line, &at_column, &from) != 3)
    fail_msg("malformed line: %s", line);
  from++;
  fb_slice text = S_exact(line + from, S_unescape(line + from, len - (size_t)from));
  fb_arena arena;
  fb_value value = fb_absent();
  fb_error err = {0};
  fb_arena_init(&arena, NULL, 0);
  if (S_read(text, &arena, &value, &err) == FB_OK)
    fail_msg("accepted: %.*s", (int)text.len, text.ptr);
  assert_int_equal(value.kind, FB_ABSENT);
  if (err.code != (fb_status)code || err.line != at_line || err.column != at_column)
    fail_msg("%.*s: %d %u:%u, not %u %u:%u", (int)text.len, text.ptr, err.code, err.line,
             err.column, code, at_line, at_column);
  if (code != FB_E_JSON_DUPLICATE) assert_int_equal(fb_json_check(text, NULL, 0, NULL), code);
  json_error_t why;
  json_t *theirs = fb_oracle_read(text, &why);
  if (theirs && !fb_oracle_may_admit(text, err.code))
    fail_msg("jansson admits %.*s", (int)text.len, text.ptr);
  json_decref(theirs);
  fb_arena_release(&arena);
  free((void *)(uintptr_t)text.ptr);
}

static size_t S_each_case(const char *name, void (*check)(char *line, size_t len)) {
  char path[1024], *line = NULL;
  size_t cap = 0, count = 0;
  snprintf(path, sizeof path, "%s/json/%s", FB_TEST_CASES, name);
  FILE *file = fopen(path, "r");
  if (!file) fail_msg("%s cannot be read", path);
  for (ssize_t len; (len = getline(&line, &cap, file)) > 0;) {
    if (line[len - 1] == '\n') line[--len] = 0;
    if (len == 0 || (line[0] == '#')) continue;
    check(line, (size_t)len);
    count++;
  }
  free(line);
  fclose(file);
  return count;
}

static void test_corpus_accepted(void **state) {
  assert_true(S_each_case("accept.txt", S_accept) >= 180);
}

static void test_corpus_rejected(void **state) {
  assert_true(S_each_case("reject.txt", S_reject) >= 400);
}

/* Every prefix of a text, and every text with one byte changed: the two readers agree. */
static void test_damaged_texts_as_jansson_sees_them(void **state) {
  static const char whole[] =
      "{\"a\":[1,-2.5e-3,true,null],\"b\\u00e9\\n\":{\"\xc3\xa9\":\"\\ud83d\\ude00\",\"\":[[],{}]} "
      ",\"c\": 0.10}";
  static const char bytes[] = "\"\\{}[]:,0-+.eEtu \n\t/'\x01\x7f\x80\xc3\xed\xff"; /* its NUL too */
  size_t len = sizeof whole - 1;
  for (size_t at = 0; at <= len; at++)
    for (size_t i = 0; i <= sizeof bytes; i++) {
      char text[sizeof whole];
      memcpy(text, whole, sizeof whole);
      if (i < sizeof bytes && at < len) text[at] = bytes[i];
      fb_slice slice = S_exact(text, i == sizeof bytes ? at : len);
      fb_arena arena;
      fb_value value;
      fb_arena_init(&arena, NULL, 0);
      fb_status status = S_read(slice, &arena, &value, NULL);
      json_error_t why;
      json_t *theirs = fb_oracle_read(slice, &why);
      if ((status == FB_OK) != (theirs != NULL) && !(theirs && fb_oracle_may_admit(slice, status)))
        fail_msg("%d, but jansson: %s: %.*s", status, theirs ? "fine" : why.text, (int)slice.len,
                 slice.ptr);
      if (theirs && status == FB_OK && !fb_oracle_equal(theirs, value))
        fail_msg("other values: %.*s", (int)slice.len, slice.ptr);
      json_decref(theirs);
      fb_arena_release(&arena);
      free((void *)(uintptr_t)slice.ptr);
    }
}

static void test_what_jansson_cannot_read(void **state) {
  static const char *const texts[] = {"9223372036854775808", "18446744073709551615",
                                      "{\"\\u0000\":1}", "{\"a\\u0000b\":1,\"a\":2}"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    fb_arena arena;
    fb_value value;
    json_error_t why;
    fb_arena_init(&arena, NULL, 0);
    assert_int_equal(S_read(fb_slice_of(texts[i]), &arena, &value, NULL), FB_OK);
    assert_null(fb_oracle_read(fb_slice_of(texts[i]), &why));
    S_check_round_trips(value);
    fb_arena_release(&arena);
  }
}

/* ── Errors and options ──────────────────────────────────────────────────────────────────────── */

static void test_hints_name_the_cause(void **state) {
  static const struct {
    const char *text, *hint;
  } cases[] = {{"[1,]", "remove the comma before `]`"},
               {"{\"a\":1,}", "remove the comma before `}`"},
               {"{'a':1}", "strings are written in double quotes"},
               {"['a']", "strings are written in double quotes"},
               {"{a:1}", "keys are written in double quotes"},
               {"{1:1}", "keys are text"},
               {"// x\n1", "no comments"},
               {"[1] # x", "no comments"},
               {"[NaN]", "neither NaN nor infinity"},
               {"-Infinity", "neither NaN nor infinity"},
               {"True", "small letters"},
               {"None", "written null"},
               {"\xef\xbb\xbf{}", "byte order mark"},
               {"+1", "without `+`"},
               {"[.5]", "before the point"},
               {"[007]", "remove the zeros"},
               {"[1,,2]", "remove the comma"},
               {"{\"a\":1 \"b\":2}", "a comma is missing"},
               {"{}\n{}", "NDJSON"},
               {"{\"a\"=1}", "joined by `:`"},
               {"[1", "not closed"},
               {"\"\\ud800\"", "two escapes"},
               {"\"\\x41\"", "escapes are"},
               {"\"a\nb\"", "as an escape"},
               {"\"\xe9\"", "UTF-8"},
               {"[abc]", "in double quotes"},
               {"99999999999999999999", "as text"},
               {"{\"a\":1,\n\"a\":2}", "line 1, column 2"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fb_arena arena;
    fb_value value;
    fb_error err = {0};
    fb_arena_init(&arena, NULL, 0);
    assert_int_not_equal(S_read(fb_slice_of(cases[i].text), &arena, &value, &err), FB_OK);
    if (!strstr(err.hint, cases[i].hint))
      fail_msg("%s: %s (hint: %s)", cases[i].text, err.text, err.hint);
    assert_string_equal(err.file, "t.json");
    fb_arena_release(&arena);
  }
}

static void test_options(void **state) {
  fb_arena arena;
  fb_value value;
  fb_arena_init(&arena, NULL, 0);
  fb_json_options options = {.keep_duplicates = true};
  assert_int_equal(
      fb_json_read(FB_SLICE("{\"a\":1,\"b\":2,\"a\":3}"), NULL, &options, &arena, &value, NULL),
      FB_OK);
  assert_int_equal(value.as.map->len, 2);
  assert_int_equal(fb_map_get_text(value.as.map, FB_SLICE("a"))->as.i, 3);
  options = (fb_json_options){.max_depth = 2};
  assert_int_equal(fb_json_read(FB_SLICE("[[1],{}]"), NULL, &options, &arena, &value, NULL), FB_OK);
  assert_int_equal(fb_json_read(FB_SLICE("[[[]]]"), NULL, &options, &arena, &value, NULL),
                   FB_E_JSON_DEPTH);
  options = (fb_json_options){.max_length = 3};
  assert_int_equal(fb_json_read(FB_SLICE("123"), NULL, &options, &arena, &value, NULL), FB_OK);
  assert_int_equal(fb_json_read(FB_SLICE("1234"), NULL, &options, &arena, &value, NULL),
                   FB_E_LIMIT);
  fb_arena_release(&arena);
}

static bool S_torture(const fb_allocator *allocator) {
  static const char text[] =
      "{\"a\":[1,2,3,[4,[5,{\"b\":\"x\\ny\"}]]],\"c\":\"plain\",\"d\":{\"1\":1,\"2\":2,\"3\":3,"
      "\"4\":4,\"5\":5,"
      "\"6\":6,\"7\":7,\"8\":8,\"9\":9,\"10\":10,\"11\":11},\"e\":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,"
      "0,0]}";
  fb_arena arena;
  fb_buf out;
  fb_value value = fb_absent();
  fb_error err;
  fb_arena_init(&arena, allocator, 64);
  fb_buf_init(&out, allocator, 0);
  fb_status status = fb_json_read(FB_SLICE(text), "t", NULL, &arena, &value, &err);
  assert_true(status == FB_OK || (status == FB_E_NOMEM && value.kind == FB_ABSENT));
  if (status == FB_OK) fb_json_write(&out, value, FB_JSON_CANONICAL | FB_JSON_PRETTY);
  bool through = status == FB_OK && !out.failed;
  fb_buf_release(&out);
  fb_arena_release(&arena);
  return through;
}

static void test_every_allocation_may_fail(void **state) {
  fb_test_each_failure(S_torture);
}

/* ── Writing ─────────────────────────────────────────────────────────────────────────────────── */

static void test_doubles_are_shortest(void **state) {
  static const struct {
    double d;
    const char *text;
  } cases[] = {{0, "0.0"},
               {-0.0, "-0.0"},
               {1, "1.0"},
               {-1.5, "-1.5"},
               {0.1, "0.1"},
               {0.1 + 0.2, "0.30000000000000004"},
               {1e21, "1e21"},
               {1e20, "100000000000000000000.0"},
               {123456789012345678.0, "123456789012345680.0"},
               {1e-7, "0.0000001"},
               {1e-8, "1e-8"},
               {1.25e-9, "1.25e-9"},
               {5e-324, "5e-324"},
               {1.7976931348623157e308, "1.7976931348623157e308"},
               {2.2250738585072014e-308, "2.2250738585072014e-308"},
               {9007199254740993.0, "9007199254740992.0"},
               {1.0 / 3, "0.3333333333333333"},
               {2.0 / 3, "0.6666666666666666"},
               {1e23, "1e23"},
               {9.5e-300, "9.5e-300"},
               {4.35, "4.35"},
               {999999999999999, "999999999999999.0"},
               {1e15, "1000000000000000.0"},
               {0x1p-1074, "5e-324"},
               {0x1p60, "1152921504606847000.0"},
               {NAN, "NaN"},
               {INFINITY, "Infinity"},
               {-INFINITY, "-Infinity"}};
  char text[32];
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    size_t len = fb_double_format(cases[i].d, text);
    assert_string_equal(text, cases[i].text);
    assert_int_equal(len, strlen(text));
  }
}

/* The digits of a number without sign, point, exponent and zeros at either end. */
static size_t S_count_digits(const char *text) {
  size_t count = 0, zeros = 0;
  for (; *text && *text != 'e'; text++) {
    if (*text < '0' || *text > '9' || (count == 0 && *text == '0')) continue;
    zeros = *text == '0' ? zeros + 1 : 0;
    count++;
  }
  return count - zeros;
}

static void test_random_doubles_read_back_and_none_is_shorter(void **state) {
  fb_random random;
  fb_random_seed(&random, 2);
  for (int i = 0; i < 100000; i++) {
    uint64_t bits = fb_random_u64(&random);
    double d, again;
    memcpy(&d, &bits, sizeof d);
    if (i % 3 == 1) d = (double)(int64_t)(bits >> 40) / 1000.0;
    if (i % 3 == 2) d = fb_random_unit(&random);
    if (!isfinite(d)) continue;
    char text[32], other[40];
    size_t len = fb_double_format(d, text);
    assert_true(len < sizeof text && (strpbrk(text, ".e")));
    again = strtod(text, NULL);
    if (memcmp(&d, &again, sizeof d) != 0) fail_msg("%s is not %.17g", text, d);
    int digits = (int)S_count_digits(text);
    if (digits > 1) {
      snprintf(other, sizeof other, "%.*e", digits - 2, d);
      if (strtod(other, NULL) == d) fail_msg("%s is shorter than %s", other, text);
    }
    if (digits == 17) { /* of those of 17 digits, the nearest */
      snprintf(other, sizeof other, "%.16e", d);
      fb_value value;
      assert_int_equal(S_number(other, &value), FB_OK);
      assert_int_equal(S_count_digits(other), 17);
    }
  }
}

static void test_kinds_without_json(void **state) {
  fb_value two = fb_int(2);
  S_check_written(fb_bytes(FB_SLICE("")), 0, FB_SLICE("\"\""));
  S_check_written(fb_bytes(FB_SLICE("f")), 0, FB_SLICE("\"Zg==\""));
  S_check_written(fb_bytes(FB_SLICE("fo")), 0, FB_SLICE("\"Zm8=\""));
  S_check_written(fb_bytes(FB_SLICE("foo\xff\xfe\xfd")), 0, FB_SLICE("\"Zm9v//79\""));
  S_check_written(fb_timestamp(0, 500000000), 0, FB_SLICE("\"1970-01-01T00:00:00.500Z\""));
  S_check_written(fb_duration(1, 500000000), 0, FB_SLICE("\"1.5s\""));
  S_check_written(fb_duration(-1, 500000000), 0, FB_SLICE("\"-0.5s\""));
  S_check_written(fb_duration(-2, 0), 0, FB_SLICE("\"-2s\""));
  S_check_written(fb_duration(0, 1), 0, FB_SLICE("\"0.000000001s\""));
  S_check_written(fb_type_value(FB_SLICE("int")), 0, FB_SLICE("\"int\""));
  S_check_written(fb_optional(&two), 0, FB_SLICE("2"));
  S_check_written(fb_optional(NULL), 0, FB_SLICE("null"));
  S_check_written(fb_double(NAN), 0, FB_SLICE("\"NaN\""));
  S_check_written(fb_double(-INFINITY), 0, FB_SLICE("\"-Infinity\""));
  S_check_written(fb_uint(UINT64_MAX), 0, FB_SLICE("18446744073709551615"));
  S_check_written(fb_int(INT64_MIN), 0, FB_SLICE("-9223372036854775808"));
}

static void test_styles_of_maps(void **state) {
  fb_arena arena;
  fb_arena_init(&arena, NULL, 0);
  fb_map *map = fb_map_new(&arena, 0);
  fb_list *list = fb_list_new(&arena, 0);
  fb_map_put(map, &arena, fb_string(FB_SLICE("z")), fb_list_value(list), NULL);
  fb_map_put(map, &arena, fb_int(7), fb_string(FB_SLICE("</script>&\xe2\x80\xa8")), NULL);
  fb_map_put(map, &arena, fb_bool(true), fb_null(), NULL);
  fb_map_put(map, &arena, fb_list_value(list), fb_int(1), NULL);
  fb_value value = fb_map_value(map);
  S_check_written(value, FB_JSON_COMPACT,
                  FB_SLICE("{\"z\":[],\"7\":\"</script>&\xe2\x80\xa8\",\"true\":null,\"[]\":1}"));
  S_check_written(value, FB_JSON_CANONICAL,
                  FB_SLICE("{\"7\":\"</script>&\xe2\x80\xa8\",\"true\":null,\"z\":[],\"[]\":1}"));
  S_check_written(
      value, FB_JSON_HTML_SAFE,
      FB_SLICE("{\"z\":[],\"7\":\"\\u003c/script\\u003e\\u0026\\u2028\",\"true\":null,\"[]\":1}"));
  fb_list_push(list, &arena, fb_int(1));
  fb_list_push(list, &arena, fb_map_value(fb_map_new(&arena, 0)));
  S_check_written(fb_list_value(list), FB_JSON_PRETTY, FB_SLICE("[\n  1,\n  {}\n]"));
  fb_map *outer = fb_map_new(&arena, 0);
  fb_map_put(outer, &arena, fb_string(FB_SLICE("a")), fb_list_value(list), NULL);
  S_check_written(fb_map_value(outer), FB_JSON_PRETTY,
                  FB_SLICE("{\n  \"a\": [\n    1,\n    {}\n  ]\n}"));
  fb_arena_release(&arena);
}

static void test_text_that_is_not_utf8_is_mended(void **state) {
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  fb_json_write_text(&out, FB_SLICE("a\xff\"\xc3"), 0);
  fb_json_write_text(&out, FB_SLICE("\xe2\x80<"), FB_JSON_HTML_SAFE);
  assert_string_equal(out.ptr,
                      "\"a\xef\xbf\xbd\\\"\xef\xbf\xbd\"\"\xef\xbf\xbd\xef\xbf\xbd\\u003c\"");
  fb_buf_release(&out);
}

static void test_values_too_deep_to_write(void **state) {
  fb_arena arena;
  fb_buf out;
  fb_value value = fb_int(1);
  fb_arena_init(&arena, NULL, 0);
  for (int i = 0; i < 100000; i++) {
    fb_list *list = fb_list_new(&arena, 1);
    fb_list_push(list, &arena, value);
    value = fb_list_value(list);
  }
  fb_buf_init(&out, NULL, 0);
  fb_json_write(&out, value, 0);
  assert_true(out.failed);
  fb_buf_release(&out);
  fb_arena_release(&arena);
}

/* ── Bad days ────────────────────────────────────────────────────────────────────────────────── */

static fb_status S_read_within(const char *text, size_t len, size_t limit, fb_error *ret_err) {
  fb_arena arena;
  fb_value value;
  fb_arena_init(&arena, NULL, 0);
  arena.limit = limit;
  fb_status status = fb_json_read((fb_slice){text, len}, "bad", NULL, &arena, &value, ret_err);
  fb_arena_release(&arena);
  return status;
}

static void test_bad_days(void **state) {
  enum { SIZE = 4 << 20 };
  char *text = malloc(SIZE);
  fb_error err;
  memset(text, '[', SIZE);
  assert_int_equal(S_read_within(text, SIZE, 1 << 20, &err), FB_E_JSON_DEPTH);
  assert_int_equal(err.column, 257);
  for (size_t i = 0; i + 5 <= SIZE; i += 5) memcpy(text + i, "{\"a\":", 5);
  assert_int_equal(S_read_within(text, SIZE, 1 << 20, &err), FB_E_JSON_DEPTH);
  memset(text, 0, SIZE);
  assert_int_equal(S_read_within(text, SIZE, 1 << 20, &err), FB_E_JSON_SYNTAX);
  memset(text, 'a', SIZE); /* a string that never ends, and one that does not fit */
  text[0] = '"';
  assert_int_equal(S_read_within(text, SIZE, 1 << 20, &err), FB_E_JSON_STRING);
  text[SIZE - 1] = '"';
  assert_int_equal(S_read_within(text, SIZE, 1 << 20, &err), FB_E_NOMEM);
  text[SIZE - 2] = (char)0xc3;
  assert_int_equal(S_read_within(text, SIZE, 1 << 20, &err), FB_E_JSON_STRING);
  assert_int_equal(err.column, SIZE - 1);
  memset(text, ' ', SIZE);
  assert_int_equal(S_read_within(text, SIZE, 1 << 20, &err), FB_E_JSON_SYNTAX);
  for (size_t i = 1; i + 2 <= SIZE; i += 2) memcpy(text + i, "0,", 2);
  text[0] = '[';
  assert_int_equal(S_read_within(text, SIZE, 1 << 20, &err), FB_E_NOMEM);
  memset(text, '1', SIZE);
  assert_int_equal(S_read_within(text, SIZE, 1 << 20, &err), FB_E_JSON_NUMBER);
  memset(text + 1, '\\', SIZE - 1);
  text[0] = '"';
  assert_int_equal(S_read_within(text, SIZE, 1 << 20, &err), FB_E_JSON_STRING);
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_doubles_are_rounded_as_the_c_library_does),
      cmocka_unit_test(test_very_long_numbers),
      cmocka_unit_test(test_integers_are_exact_or_refused),
      cmocka_unit_test(test_plain_scan_stops_where_it_must),
      cmocka_unit_test(test_events_tell_kinds_and_places),
      cmocka_unit_test(test_corpus_accepted),
      cmocka_unit_test(test_corpus_rejected),
      cmocka_unit_test(test_damaged_texts_as_jansson_sees_them),
      cmocka_unit_test(test_what_jansson_cannot_read),
      cmocka_unit_test(test_hints_name_the_cause),
      cmocka_unit_test(test_options),
      cmocka_unit_test(test_every_allocation_may_fail),
      cmocka_unit_test(test_doubles_are_shortest),
      cmocka_unit_test(test_random_doubles_read_back_and_none_is_shorter),
      cmocka_unit_test(test_kinds_without_json),
      cmocka_unit_test(test_styles_of_maps),
      cmocka_unit_test(test_text_that_is_not_utf8_is_mended),
      cmocka_unit_test(test_values_too_deep_to_write),
      cmocka_unit_test(test_bad_days),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
