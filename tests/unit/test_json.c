/* SPDX-License-Identifier: Apache-2.0
 * JSON: numbers against the C library, strings, events. */
#include "test.h"
#include "data/json_scan.h"

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
  if (memcmp(&value.as.d, &expected, sizeof expected) != 0) fail_msg("%s: %.17g, not %.17g", text, value.as.d, expected);
}

static void test_doubles_are_rounded_as_the_c_library_does(void **state) {
  static const char *const hard[] = {
      "0.0", "-0.0", "0e0", "-0e-999", "1e-400", "4.9e-324", "2.4703282292062327e-324", "2.4703282292062328e-324",
      "2.2250738585072011e-308", "1.7976931348623157e308", "1.7976931348623158e308", "1.7976931348623159e308", "1e309",
      "9007199254740993.0", "9007199254740992.5", "9007199254740993e0", "0.1", "0.3", "1e22", "1e23", "8.5e22",
      "123456789012345678901234567890.0", "0.000000000000000000000000000000000000001", "1.5e300",
      "9223372036854775807.0", "18446744073709551615.0", "1e27", "1e28", "1e-27", "1e-28",
      "5708990770823839524233143877797980545530986496.0", "0.500000000000000166533453693773481063544750213623046875",
      "3.518437208883201171875e13", "1.00000000000000011102230246251565404236316680908203125",
      "1.00000000000000011102230246251565404236316680908203124",
      "1.00000000000000011102230246251565404236316680908203126", "6.02214076e23", "1e-999999999999999999999"};
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
    snprintf(text, sizeof text, "%.*f", (int)fb_random_below(&random, 20) + 1, d / (double)(fb_random_u64(&random) >> fb_random_below(&random, 63)));
    S_check_double(text);
    snprintf(text, sizeof text, "%llue%d", (unsigned long long)fb_random_u64(&random) >> fb_random_below(&random, 63),
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
  static const struct { uint8_t kind; size_t offset, length; } expected[] = {
      {FB_JSON_BEGIN_MAP, 1, 1}, {FB_JSON_KEY, 2, 3}, {FB_JSON_BEGIN_LIST, 7, 1}, {FB_JSON_SCALAR, 8, 1},
      {FB_JSON_SCALAR, 11, 6}, {FB_JSON_SCALAR, 19, 6}, {FB_JSON_END_LIST, 25, 1}, {FB_JSON_KEY, 28, 3},
      {FB_JSON_BEGIN_MAP, 32, 1}, {FB_JSON_END_MAP, 33, 1}, {FB_JSON_KEY, 36, 3}, {FB_JSON_SCALAR, 42, 4},
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
    if (i == 5) assert_true(!event.borrowed && fb_slice_equal(fb_value_text(event.value), FB_SLICE("x\ny")));
    if (i == 1) assert_true(event.borrowed && fb_slice_equal(fb_value_text(event.value), FB_SLICE("a")));
  }
  assert_int_equal(fb_json_events_next(&events, &event, &err), FB_DONE);
  fb_arena_release(&arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_doubles_are_rounded_as_the_c_library_does),
      cmocka_unit_test(test_very_long_numbers),
      cmocka_unit_test(test_integers_are_exact_or_refused),
      cmocka_unit_test(test_plain_scan_stops_where_it_must),
      cmocka_unit_test(test_events_tell_kinds_and_places),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
