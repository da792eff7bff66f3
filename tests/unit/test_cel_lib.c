/* SPDX-License-Identifier: Apache-2.0
 * The function library, called straight through its table: no parser, no VM. */
#include "test.h"

#include "cel/lib.h"
#include "cel/regex.h"

#include <locale.h>
#include <math.h>
#include <time.h>

static fb_arena S_arena;
static fb_cel_context S_context;
static fb_zones *S_zones;

static void S_new_context(fb_cel_context *context, fb_arena *arena) {
  *context = (fb_cel_context){.arena = arena, .steps = 10000000, .max_size = 64 << 20};
}

static int S_setup(void **state) {
  fb_arena_init(&S_arena, NULL, 0);
  S_new_context(&S_context, &S_arena);
  if (!S_zones && fb_zones_new(NULL, NULL, &S_zones)) return -1;
  S_context.zone = fb_zone_system;
  S_context.zone_context = S_zones;
  return 0;
}

static int S_teardown(void **state) {
  fb_regex_cache_free(S_context.regexes);
  fb_arena_release(&S_arena);
  return 0;
}

static fb_value S_call(const char *name, const char *signature, const fb_value *args,
                       uint32_t count) {
  size_t libraries;
  const fb_cel_library *library = fb_cel_libraries(&libraries);
  for (size_t i = 0; i < library->count; i++)
    if (!strcmp(library->overloads[i].name, name) &&
        !strcmp(library->overloads[i].signature, signature))
      return library->overloads[i].function(&S_context, args, count);
  fail_msg("no function %s %s", name, signature);
  return fb_null();
}

#define ARGS(...) (fb_value[]){__VA_ARGS__}, sizeof((fb_value[]){__VA_ARGS__}) / sizeof(fb_value)
#define CALL(name, signature, ...) S_call(name, signature, ARGS(__VA_ARGS__))
#define GIVES(json, name, signature, ...) S_gives(json, name, CALL(name, signature, __VA_ARGS__))
#define FAILS(code, name, signature, ...) S_fails(code, name, CALL(name, signature, __VA_ARGS__))

static void S_gives(const char *json, const char *name, fb_value value) {
  if (value.kind == FB_ERROR) fail_msg("%s: %s, not %s", name, value.as.error->text, json);
  fb_buf buf;
  fb_buf_init(&buf, NULL, 0);
  fb_json_write(&buf, value, FB_JSON_COMPACT);
  if (strcmp(buf.ptr, json) != 0) {
    char text[400];
    snprintf(text, sizeof text, "%s gives %s, not %s", name, buf.ptr, json);
    fb_buf_release(&buf);
    fail_msg("%s", text);
  }
  fb_buf_release(&buf);
}

static void S_fails(fb_status code, const char *name, fb_value value) {
  if (value.kind != FB_ERROR) fail_msg("%s does not fail", name);
  if (value.as.error->code != code)
    fail_msg("%s: FB%d, not FB%d: %s", name, (int)value.as.error->code, (int)code,
             value.as.error->text);
}

static fb_value T(const char *text) {
  return fb_string(fb_slice_of(text));
}
static fb_value B(const char *text) {
  return fb_bytes(fb_slice_of(text));
}
static fb_value I(int64_t i) {
  return fb_int(i);
}
static fb_value U(uint64_t u) {
  return fb_uint(u);
}
static fb_value D(double d) {
  return fb_double(d);
}
/* A value from JSON text. */
static fb_value J(const char *json) {
  fb_value value;
  fb_error err;
  if (fb_json_read(fb_slice_of(json), "", NULL, &S_arena, &value, &err))
    fail_msg("%s: %s", json, err.text);
  return value;
}
static fb_value S_time(const char *text) {
  return CALL("timestamp", "(string) -> timestamp", T(text));
}
static fb_value S_span(const char *text) {
  return CALL("duration", "(string) -> duration", T(text));
}
static fb_value S_repeat(char c, size_t count) {
  char *text = fb_arena_alloc(&S_arena, count + 1);
  memset(text, c, count);
  return fb_string((fb_slice){text, count});
}

static void S_sizes(void **state) {
  GIVES("5", "size", "(string) -> int", T("πέντε"));
  GIVES("3", "size", "bytes.() -> int", B("abc"));
  GIVES("2", "size", "(list(T)) -> int", J("[1,2]"));
  GIVES("1", "size", "map(K, V).() -> int", J("{\"a\":1}"));
  GIVES("true", "contains", "string.(string) -> bool", T(""), T(""));
  GIVES("false", "contains", "string.(string) -> bool", T("abc"), T("cb"));
  GIVES("true", "startsWith", "string.(string) -> bool", T("🐱😀"), T("🐱"));
  GIVES("true", "endsWith", "string.(string) -> bool", T("forté"), T("té"));
  GIVES("false", "endsWith", "string.(string) -> bool", T("b"), T("ab"));
}

static void S_conversions(void **state) {
  GIVES("-9223372036854775808", "int", "(string) -> int", T("-9223372036854775808"));
  GIVES("7", "int", "(string) -> int", T("+7"));
  static const char *const bad_ints[] = {
      "",   "-",   "9223372036854775808", "-9223372036854775809", "1.0", " 1",
      "1 ", "0x1", "99999999999999999999"};
  for (size_t i = 0; i < sizeof bad_ints / sizeof *bad_ints; i++)
    FAILS(FB_E_CEL_VALUE, "int", "(string) -> int", T(bad_ints[i]));
  FAILS(FB_E_CEL_VALUE, "int", "(uint) -> int", U(1ull << 63));
  FAILS(FB_E_CEL_VALUE, "int", "(double) -> int", D(-0x1p63));
  FAILS(FB_E_CEL_VALUE, "int", "(double) -> int", D(NAN));
  GIVES("-1", "int", "(double) -> int", D(-1.9));
  FAILS(FB_E_CEL_VALUE, "uint", "(int) -> uint", I(-1));
  FAILS(FB_E_CEL_VALUE, "uint", "(double) -> uint", D(0x1p64));
  FAILS(FB_E_CEL_VALUE, "uint", "(string) -> uint", T("+1"));
  GIVES("18446744073709551615", "uint", "(string) -> uint", T("18446744073709551615"));
  GIVES("true", "bool", "(string) -> bool", T("t"));
  GIVES("false", "bool", "(string) -> bool", T("False"));
  FAILS(FB_E_CEL_VALUE, "bool", "(string) -> bool", T("TrUe"));
  GIVES("-84320000000.0", "double", "(string) -> double", T("-84.32e9"));
  GIVES("0.5", "double", "(string) -> double", T(".5"));
  GIVES("\"Infinity\"", "double", "(string) -> double", T("+inf"));
  GIVES("\"NaN\"", "double", "(string) -> double", T("NaN"));
  static const char *const bad_doubles[] = {"",   ".",   "e5",   "1e",     "1e+",   "0x10",  " 1",
                                            "1 ", "1_0", "-nan", "nan(1)", "1e999", "infin", "1d"};
  for (size_t i = 0; i < sizeof bad_doubles / sizeof *bad_doubles; i++)
    FAILS(FB_E_CEL_VALUE, "double", "(string) -> double", T(bad_doubles[i]));
  FAILS(FB_E_CEL_VALUE, "double", "(string) -> double", fb_string(FB_SLICE("1\0002")));
  FAILS(FB_E_CEL_VALUE, "string", "(bytes) -> string", fb_bytes(FB_SLICE("\0\xff")));
  GIVES("\"true\"", "string", "(bool) -> string", fb_bool(true));
  GIVES("\"18446744073709551615\"", "string", "(uint) -> string", U(UINT64_MAX));
}

static void S_double_texts(void **state) {
  static const struct {
    double d;
    const char *g, *f;
  } rows[] = {{0, "0", "0"},
              {-0.0, "-0", "-0"},
              {1, "1", "1"},
              {123.456, "123.456", "123.456"},
              {-4.5e-3, "-0.0045", "-0.0045"},
              {1e-4, "0.0001", "0.0001"},
              {1e-5, "1e-05", "0.00001"},
              {100000, "100000", "100000"},
              {123456, "123456", "123456"},
              {1e6, "1e+06", "1000000"},
              {1234567, "1.234567e+06", "1234567"},
              {1e21, "1e+21", "1000000000000000000000"},
              {0.1, "0.1", "0.1"},
              {1e-7, "1e-07", "0.0000001"},
              {5e-324, "5e-324", NULL},
              {1.7976931348623157e308, "1.7976931348623157e+308", NULL},
              {INFINITY, "+Inf", "+Inf"},
              {-INFINITY, "-Inf", "-Inf"}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    char text[FB_LIB_DOUBLE_MAX];
    assert_int_equal(fb_lib_double_text(rows[i].d, 'g', text), strlen(rows[i].g));
    assert_memory_equal(text, rows[i].g, strlen(rows[i].g));
    size_t len = fb_lib_double_text(rows[i].d, 'f', text);
    if (rows[i].f) {
      assert_int_equal(len, strlen(rows[i].f));
      assert_memory_equal(text, rows[i].f, len);
    }
    assert_true(len < sizeof text);
  }
}

static void S_times(void **state) {
  GIVES("\"2009-02-13T23:31:30.5Z\"", "string", "(timestamp) -> string",
        S_time("2009-02-13T23:31:30.500Z"));
  GIVES("1234567890", "int", "(timestamp) -> int", S_time("2009-02-13T23:31:30Z"));
  FAILS(FB_E_CEL_VALUE, "timestamp", "(string) -> timestamp", T("10000-01-01T00:00:00Z"));
  FAILS(FB_E_CEL_RANGE, "timestamp", "(int) -> timestamp", I(-62135596801));
  FAILS(FB_E_CEL_RANGE, "timestamp", "(int) -> timestamp", I(253402300800));
  GIVES("\"1000000s\"", "string", "(duration) -> string", S_span("1000000s"));
  GIVES("\"-0.5s\"", "string", "(duration) -> string", S_span("-500ms"));
  GIVES("\"-1.000000001s\"", "string", "(duration) -> string", S_span("-1.000000001s"));
  FAILS(FB_E_CEL_RANGE, "duration", "(string) -> duration", T("320000000000s"));
  FAILS(FB_E_CEL_RANGE, "duration", "(string) -> duration", T("-320000000000s"));
  FAILS(FB_E_CEL_VALUE, "duration", "(string) -> duration", T("1x"));
  GIVES("-1", "getSeconds", "duration.() -> int", S_span("-1.5s"));
  GIVES("-500", "getMilliseconds", "duration.() -> int", S_span("-1.5s"));
  GIVES("62", "getMinutes", "duration.() -> int", S_span("3730s"));
  GIVES("2", "getHours", "duration.() -> int", S_span("10000s"));
  fb_value t = S_time("2009-02-13T23:31:30.123456789Z");
  GIVES("2009", "getFullYear", "timestamp.() -> int", t);
  GIVES("1", "getMonth", "timestamp.() -> int", t);
  GIVES("13", "getDate", "timestamp.() -> int", t);
  GIVES("12", "getDayOfMonth", "timestamp.() -> int", t);
  GIVES("5", "getDayOfWeek", "timestamp.() -> int", t);
  GIVES("43", "getDayOfYear", "timestamp.() -> int", t);
  GIVES("23", "getHours", "timestamp.() -> int", t);
  GIVES("31", "getMinutes", "timestamp.() -> int", t);
  GIVES("30", "getSeconds", "timestamp.() -> int", t);
  GIVES("123", "getMilliseconds", "timestamp.() -> int", t);
  GIVES("1", "getHours", "timestamp.(string) -> int", t, T("02:00"));
  GIVES("13", "getDayOfMonth", "timestamp.(string) -> int", t, T("+11:00"));
  GIVES("12", "getDayOfMonth", "timestamp.(string) -> int", t, T("-02:30"));
  GIVES("14", "getDate", "timestamp.(string) -> int", t, T("Australia/Sydney"));
  GIVES("16", "getMinutes", "timestamp.(string) -> int", t, T("Asia/Kathmandu"));
  GIVES("17", "getHours", "timestamp.(string) -> int", t, T("US/Central"));
  GIVES("1", "getFullYear", "timestamp.() -> int", S_time("0001-01-01T00:00:00Z"));
  static const char *const bad[] = {
      "Mars/Olympus", "../etc/passwd", "/etc/passwd", "Europe/../Europe/Berlin",
      "Europe",       "Europe/",       "+25:00",      "+2:00",
      "+02:60",       "utc "};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    FAILS(FB_E_CEL_VALUE, "getHours", "timestamp.(string) -> int", t, T(bad[i]));
}

/* Against the C library, hour by hour in odd places, and far beyond the table. */
static void S_zones_agree(void **state) {
  static const char *const names[] = {"Europe/Berlin",  "America/New_York",  "Australia/Lord_Howe",
                                      "Asia/Kathmandu", "America/Sao_Paulo", "Africa/Casablanca",
                                      "Europe/Dublin",  "Asia/Gaza",         "Antarctica/Troll",
                                      "Etc/GMT+5",      "America/Nuuk"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    setenv("TZ", names[i], 1);
    tzset();
    for (int64_t t = -2000000000; t < 6000000000; t += 86400 * 3 + 3607) {
      struct tm parts;
      time_t seconds = (time_t)t;
      int32_t offset = 0;
      localtime_r(&seconds, &parts);
      assert_true(fb_zone_system(S_zones, fb_slice_of(names[i]), t, &offset));
      if (offset != parts.tm_gmtoff)
        fail_msg("%s at %lld: %d, not %ld", names[i], (long long)t, offset, parts.tm_gmtoff);
    }
    int32_t once;
    assert_true(fb_zone_system(NULL, fb_slice_of(names[i]), 0, &once));
  }
  unsetenv("TZ");
  tzset();
}

/* A zone file cut off anywhere is refused; one with a changed byte does no harm. */
static void S_broken_zones(void **state) {
  char directory[] = "/tmp/fb-zones-XXXXXX", path[64];
  static unsigned char bytes[8192];
  FILE *file = fopen("/usr/share/zoneinfo/Europe/Berlin", "rb");
  if (!file) return; /* no tzdata here */
  size_t size = fread(bytes, 1, sizeof bytes, file);
  fclose(file);
  assert_non_null(mkdtemp(directory));
  snprintf(path, sizeof path, "%s/Zone", directory);
  for (size_t i = 0; i < size; i += i < 100 || i + 60 > size ? 1 : 7) {
    for (int cut = 0; cut < 2; cut++) {
      int32_t offset;
      fb_zones *zones;
      unsigned char before = bytes[i];
      if (!cut) bytes[i] ^= 0xFF;
      file = fopen(path, "wb");
      assert_non_null(file);
      fwrite(bytes, 1, cut ? i : size, file);
      fclose(file);
      bytes[i] = before;
      assert_int_equal(fb_zones_new(NULL, directory, &zones), FB_OK);
      bool found = fb_zone_system(zones, FB_SLICE("Zone"), 2000000000, &offset);
      if (cut) assert_false(found);
      fb_zones_free(zones);
    }
  }
  remove(path);
  remove(directory);
}

static void S_positions(void **state) {
  GIVES("\"α\"", "charAt", "string.(int) -> string", T("©αT"), I(1));
  GIVES("\"\"", "charAt", "string.(int) -> string", T("ab"), I(2));
  FAILS(FB_E_CEL_INDEX, "charAt", "string.(int) -> string", T("ab"), I(3));
  FAILS(FB_E_CEL_INDEX, "charAt", "string.(int) -> string", T("ab"), I(-1));
  GIVES("4", "indexOf", "string.(string, int) -> int", T("ta©o©αT"), T("©"), I(3));
  GIVES("-1", "indexOf", "string.(string) -> int", T("tacocat"), T("none"));
  GIVES("2", "indexOf", "string.(string, int) -> int", T("tacocat"), T(""), I(2));
  GIVES("-1", "indexOf", "string.(string, int) -> int", T("hello"), T("ello"), I(20));
  FAILS(FB_E_CEL_INDEX, "indexOf", "string.(string, int) -> int", T("hello"), T("ello"), I(-1));
  GIVES("6", "lastIndexOf", "string.(string, int) -> int", T("bananananana"), T("nana"), I(7));
  GIVES("2", "lastIndexOf", "string.(string, int) -> int", T("ta©o©αT"), T("©"), I(3));
  GIVES("4", "lastIndexOf", "string.(string) -> int", T("ta©o©αT"), T("©"));
  GIVES("12", "lastIndexOf", "string.(string) -> int", T("hello mellow"), T(""));
  GIVES("-1", "lastIndexOf", "string.(string) -> int", T(""), T("@@"));
  GIVES("0", "lastIndexOf", "string.(string) -> int", T("abc"), T("abc"));
  GIVES("\"©o©α\"", "substring", "string.(int, int) -> string", T("ta©o©αT"), I(2), I(6));
  GIVES("\"\"", "substring", "string.(int, int) -> string", T("abc"), I(3), I(3));
  GIVES("\"cat\"", "substring", "string.(int) -> string", T("tacocat"), I(4));
  FAILS(FB_E_CEL_INDEX, "substring", "string.(int) -> string", T("tacocat"), I(40));
  FAILS(FB_E_CEL_INDEX, "substring", "string.(int, int) -> string", T("tacocat"), I(1), I(50));
  FAILS(FB_E_CEL_INDEX, "substring", "string.(int, int) -> string", T("tacocat"), I(4), I(3));
}

static void S_changes(void **state) {
  GIVES("\"tacocÆt\"", "lowerAscii", "string.() -> string", T("TacoCÆt"));
  GIVES("\"TACOCαT [\"", "upperAscii", "string.() -> string", T("tacoCαt ["));
  GIVES("\"tαCo©aT\"", "reverse", "string.() -> string", T("Ta©oCαt"));
  GIVES("\"text\"", "trim", "string.() -> string", T(" \t\u00a0\u200atext\u2028\u3000\n"));
  GIVES("\"\"", "trim", "string.() -> string", T(" \n "));
  GIVES("\"a\u200bb\u200b\"", "trim", "string.() -> string", T("a\u200bb\u200b "));
  GIVES("\"wello hello\"", "replace", "string.(string, string, int) -> string", T("hello hello"),
        T("he"), T("we"), I(1));
  GIVES("\"hello\"", "replace", "string.(string, string, int) -> string", T("hello"), T("he"),
        T("we"), I(0));
}

static void S_replaces(void **state) {
  GIVES("\"2 days 2 hours\"", "replace", "string.(string, string) -> string",
        T("{0} days {0} hours"), T("{0}"), T("2"));
  GIVES("\"_a_é_b_\"", "replace", "string.(string, string) -> string", T("aéb"), T(""), T("_"));
  GIVES("\"_a_éb\"", "replace", "string.(string, string, int) -> string", T("aéb"), T(""), T("_"),
        I(2));
  GIVES("[\"a\",\"\",\"b\"]", "split", "string.(string) -> list(string)", T("a,,b"), T(","));
  GIVES("[\"o\",\"o\"]", "split", "string.(string, int) -> list(string)", T("o©o"), T("©"), I(-1));
  GIVES("[]", "split", "string.(string, int) -> list(string)", T("a b"), T(" "), I(0));
  GIVES("[\"a b c\"]", "split", "string.(string, int) -> list(string)", T("a b c"), T(" "), I(1));
  GIVES("[\"a\",\"b c\"]", "split", "string.(string, int) -> list(string)", T("a b c"), T(" "),
        I(2));
  GIVES("[\"a\",\"é\",\"b\"]", "split", "string.(string) -> list(string)", T("aéb"), T(""));
  GIVES("[\"a\",\"éb\"]", "split", "string.(string, int) -> list(string)", T("aéb"), T(""), I(2));
  GIVES("[]", "split", "string.(string) -> list(string)", T(""), T(""));
  GIVES("[\"\"]", "split", "string.(string) -> list(string)", T(""), T(","));
  GIVES("\"x-y\"", "join", "list(string).(string) -> string", J("[\"x\",\"y\"]"), T("-"));
  GIVES("\"\"", "join", "list(string).() -> string", J("[]"));
  FAILS(FB_E_CEL_NO_OVERLOAD, "join", "list(string).() -> string", J("[1]"));
  GIVES("\"\\\"bell\\\\a \\\\\\\\ \\\\\\\"é\\\"\"", "strings.quote", "(string) -> string",
        T("bell\a \\ \"é"));
}

static fb_value S_list1(fb_value item) {
  fb_list *list = fb_list_new(&S_arena, 1);
  fb_list_push(list, &S_arena, item);
  return fb_list_value(list);
}

#define FORMAT(json, format, value) \
  GIVES(json, "format", "string.(list(dyn)) -> string", T(format), S_list1(value))
#define FORMAT_FAILS(code, format, value) \
  FAILS(code, "format", "string.(list(dyn)) -> string", T(format), S_list1(value))

static void S_formats(void **state) {
  FORMAT("\"%escaped x%\"", "%%escaped %s%%", T("x"));
  FORMAT("\"1.234\"", "%.3f", D(1.2345));
  FORMAT("\"2\"", "%.0f", D(2.5));
  FORMAT("\"2.000000\"", "%f", I(2));
  FORMAT("\"3.000000e+00\"", "%e", U(3));
  FORMAT("\"-101\"", "%b", I(-5));
  FORMAT("\"1\"", "%b", fb_bool(true));
  FORMAT("\"177777\"", "%o", U(65535));
  FORMAT("\"-8000000000000000\"", "%x", I(INT64_MIN));
  FORMAT("\"6279\"", "%X", B("by"));
  FORMAT("\"6B\"", "%X", T("k"));
  FORMAT("\"NaN\"", "%d", D(NAN));
  FORMAT("\"-Infinity\"", "%f", D(-INFINITY));
  FORMAT("\"1000000\"", "%s", D(1e6));
  FORMAT("\"null\"", "%s", fb_null());
  FORMAT("\"int\"", "%s", fb_type_value(FB_SLICE("int")));
  FORMAT("\"6347s\"", "%s", S_span("1h45m47s"));
  FORMAT("\"[abc, 3.14, null, [9, 8], {}]\"", "%s", J("[\"abc\",3.14,null,[9,8],{}]"));
  FORMAT("\"{a: 1, b: [2], c: 3}\"", "%s", J("{\"c\":3,\"a\":1,\"b\":[2]}"));
  FORMAT_FAILS(FB_E_CEL_VALUE, "%d", fb_null());
  FORMAT_FAILS(FB_E_CEL_VALUE, "%f", T("NaN"));
  FORMAT_FAILS(FB_E_CEL_VALUE, "%b", T("abc"));
  FORMAT_FAILS(FB_E_CEL_VALUE, "%o", D(1));
  FORMAT_FAILS(FB_E_CEL_VALUE, "%x", fb_null());
  FORMAT_FAILS(FB_E_CEL_VALUE, "%e", fb_null());
  FORMAT_FAILS(FB_E_CEL_VALUE, "%a", I(1));
  FORMAT_FAILS(FB_E_CEL_VALUE, "%", I(1));
  FORMAT_FAILS(FB_E_CEL_VALUE, "%.f", D(1));
  FORMAT_FAILS(FB_E_CEL_VALUE, "%.3", D(1));
  FORMAT_FAILS(FB_E_CEL_VALUE, "%.1000000f", D(1));
  FORMAT_FAILS(FB_E_CEL_INDEX, "%d %d", I(1));
  fb_value longest = CALL("format", "string.(list(dyn)) -> string", T("%.1000f"),
                          S_list1(D(-1.7976931348623157e308)));
  assert_int_equal(longest.len, 1 + 309 + 1 + 1000);
}

static void S_numbers(void **state) {
  GIVES("10", "math.greatest", "(int...) -> int", I(1), I(10), I(3));
  GIVES("18446744073709551615", "math.greatest", "(dyn...) -> dyn", D(5.4), I(10), U(UINT64_MAX));
  GIVES("-5.0", "math.least", "(list(T)) -> T", J("[5.4,10,-5.0]"));
  GIVES("1", "math.least", "(dyn...) -> dyn", I(1), D(1.0), U(1));
  FAILS(FB_E_CEL_VALUE, "math.least", "(list(T)) -> T", J("[]"));
  FAILS(FB_E_CEL_NO_OVERLOAD, "math.greatest", "(dyn...) -> dyn", T("a"));
  GIVES("2305843009213693824", "math.bitShiftRight", "(int, int) -> int", I(-1024), I(3));
  GIVES("0", "math.bitShiftLeft", "(int, int) -> int", I(-1), I(64));
  GIVES("-9223372036854775808", "math.bitShiftLeft", "(int, int) -> int", I(1), I(63));
  FAILS(FB_E_CEL_VALUE, "math.bitShiftLeft", "(uint, int) -> uint", U(1), I(-1));
  GIVES("-7", "math.bitAnd", "(int, int) -> int", I(-3), I(-5));
  GIVES("18446744073709551615", "math.bitNot", "(uint) -> uint", U(0));
  GIVES("-2.0", "math.round", "(double) -> double", D(-1.5));
  FAILS(FB_E_CEL_OVERFLOW, "math.abs", "(int) -> int", I(INT64_MIN));
  GIVES("-1", "math.sign", "(int) -> int", I(-42));
  GIVES("\"NaN\"", "math.sign", "(double) -> double", D(NAN));
  GIVES("9.0", "math.sqrt", "(int) -> double", I(81));
  GIVES("\"NaN\"", "math.sqrt", "(double) -> double", D(-15));
  GIVES("false", "math.isFinite", "(double) -> bool", D(NAN));
}

static void S_lists(void **state) {
  GIVES("[2,3]", "slice", "list(T).(int, int) -> list(T)", J("[1,2,3,4]"), I(1), I(3));
  FAILS(FB_E_CEL_INDEX, "slice", "list(T).(int, int) -> list(T)", J("[1]"), I(0), I(2));
  FAILS(FB_E_CEL_INDEX, "slice", "list(T).(int, int) -> list(T)", J("[1]"), I(-1), I(0));
  FAILS(FB_E_CEL_INDEX, "slice", "list(T).(int, int) -> list(T)", J("[1]"), I(1), I(0));
  GIVES("[1,2,[3,4]]", "flatten", "list(dyn).() -> list(dyn)", J("[1,[2,[3,4]],[]]"));
  GIVES("[1,2,3,[4]]", "flatten", "list(dyn).(int) -> list(dyn)", J("[1,[2,[3,[4]]]]"), I(2));
  FAILS(FB_E_CEL_VALUE, "flatten", "list(dyn).(int) -> list(dyn)", J("[]"), I(-1));
  GIVES("[1,\"b\",2,null]", "distinct", "list(T).() -> list(T)",
        J("[1,\"b\",1.0,2,\"b\",2,null,null]"));
  GIVES("[0,1,2]", "lists.range", "(int) -> list(int)", I(3));
  FAILS(FB_E_CEL_VALUE, "lists.range", "(int) -> list(int)", I(-1));
  FAILS(FB_E_CEL_SIZE, "lists.range", "(int) -> list(int)", I(1000000000));
  GIVES("[3,2,1]", "reverse", "list(T).() -> list(T)", J("[1,2,3]"));
  GIVES("[1,2,3,5,8]", "sort", "list(T).() -> list(T)", J("[5,3,8,1,2]"));
  GIVES("[\"a\",\"b\"]", "sort", "list(T).() -> list(T)", J("[\"b\",\"a\"]"));
  GIVES("[]", "sort", "list(T).() -> list(T)", J("[]"));
  FAILS(FB_E_CEL_VALUE, "sort", "list(T).() -> list(T)", J("[1,\"b\"]"));
  FAILS(FB_E_CEL_VALUE, "sort", "list(T).() -> list(T)", J("[[1]]"));
  GIVES("[\"bar\",\"foo\",\"baz\"]", "@sortByAssociatedKeys", "list(T).(list(K)) -> list(T)",
        J("[\"foo\",\"bar\",\"baz\"]"), J("[0,-10,1000]"));
  GIVES("[\"a\",\"b\",\"c\"]", "@sortByAssociatedKeys", "list(T).(list(K)) -> list(T)",
        J("[\"a\",\"b\",\"c\"]"), J("[1,1,1]"));
  GIVES("1", "first", "list(T).() -> optional(T)", J("[1,2]"));
  GIVES("null", "last", "list(T).() -> optional(T)", J("[]"));
  GIVES("true", "sets.contains", "(list(T), list(T)) -> bool", J("[1,2,3,4]"), J("[2.0,3]"));
  GIVES("false", "sets.contains", "(list(T), list(T)) -> bool", J("[]"), J("[1]"));
  GIVES("true", "sets.contains", "(list(T), list(T)) -> bool", J("[]"), J("[]"));
  GIVES("true", "sets.equivalent", "(list(T), list(T)) -> bool", J("[1]"), J("[1,1.0]"));
  GIVES("false", "sets.equivalent", "(list(T), list(T)) -> bool", J("[1,2]"), J("[1]"));
  GIVES("false", "sets.intersects", "(list(T), list(T)) -> bool", J("[1]"), J("[]"));
  GIVES("true", "sets.intersects", "(list(T), list(T)) -> bool", J("[[1],[2,3]]"),
        J("[[1,2],[2,3.0]]"));
}

static void S_encodings(void **state) {
  static const char *const pairs[][2] = {{"", ""},
                                         {"f", "Zg=="},
                                         {"fo", "Zm8="},
                                         {"foo", "Zm9v"},
                                         {"foob", "Zm9vYg=="},
                                         {"fooba", "Zm9vYmE="},
                                         {"foobar", "Zm9vYmFy"}};
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
    fb_value encoded = CALL("base64.encode", "(bytes) -> string", B(pairs[i][0]));
    assert_true(fb_value_equal(encoded, T(pairs[i][1])));
    assert_true(
        fb_value_equal(CALL("base64.decode", "(string) -> bytes", encoded), B(pairs[i][0])));
  }
  GIVES("\"aGVsbG8=\"", "base64.decode", "(string) -> bytes", T("aGVsbG8"));
  static const char *const bad[] = {"a",    "a=",    "a===",     "====", "Zg==x",
                                    "Z g=", "Zm9v=", "Zm8=Zm8=", "=",    "=="};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    FAILS(FB_E_CEL_VALUE, "base64.decode", "(string) -> bytes", T(bad[i]));
  GIVES("\"{\\\"a\\\":[1,2.5,null]}\"", "json.encode", "(dyn) -> string",
        J("{\"a\":[1,2.5,null]}"));
  GIVES("{\"a\":[1]}", "json.decode", "(string) -> dyn", T(" {\"a\":[1]} "));
  assert_int_equal(CALL("json.decode", "(string) -> dyn", T("[1,")).kind, FB_ERROR);
  GIVES("\"&lt;a b=&#34;&#39;&amp;&#34;&gt;\"", "html.escape", "(string) -> string",
        T("<a b=\"'&\">"));
  GIVES("\"[\\\"\\\\u003c/script\\\\u003e\\\"]\"", "html.json", "(dyn) -> string",
        J("[\"</script>\"]"));
  GIVES("\"plain\"", "html.escape", "(string) -> string", T("plain"));
}

static void S_optionals(void **state) {
  fb_value none = CALL("optional.ofNonZeroValue", "(T) -> optional(T)", T(""));
  fb_value one = CALL("optional.of", "(T) -> optional(T)", I(1));
  GIVES("false", "hasValue", "optional(T).() -> bool", none);
  GIVES("true", "hasValue", "optional(T).() -> bool", one);
  GIVES("1", "value", "optional(T).() -> T", one);
  FAILS(FB_E_CEL_VALUE, "value", "optional(T).() -> T", none);
  GIVES("1", "or", "optional(T).(optional(T)) -> optional(T)", none, one);
  GIVES("7", "orValue", "optional(T).(T) -> T", none, I(7));
  fb_list *list = fb_list_new(&S_arena, 2);
  assert_true(fb_list_push(list, &S_arena, none) && fb_list_push(list, &S_arena, one));
  GIVES("[1]", "unwrapOpt", "list(optional(T)).() -> list(T)", fb_list_value(list));
}

#define MATCHES(yes, text, pattern) \
  GIVES(yes, "matches", "string.(string) -> bool", T(text), T(pattern))

static void S_regexes(void **state) {
  MATCHES("true", "hubba", "ubb");
  MATCHES("true", "", "");
  MATCHES("true", "🐱😀😀", "(a|😀){2}");
  MATCHES("false", "a\n", "a$"); /* as RE2: the end, not before a last newline */
  MATCHES("true", "a\nb", "(?m)^b$");
  MATCHES("false", "\v", "\\s");
  MATCHES("true", "\v", "\\v");
  MATCHES("true", "\v", "[\\S]");
  MATCHES("false", "é", "^\\w$");
  MATCHES("true", "É", "(?i)^é$");
  MATCHES("true", "a.b", "^\\Qa.b\\E$");
  MATCHES("true", "x]", "[]]");
  MATCHES("true", "[", "[[]");
  MATCHES("true", "S", "\\123");
  MATCHES("true", "a{,2}", "^a{,2}$");
  MATCHES("true", "αβγ", "^\\p{Greek}+$");
  MATCHES("true", "2024-01-02", "^(?P<year>\\d{4})-\\d\\d-\\d\\d$");
  static const char *const bad[] = {
      "(",     "a**",   "(?=a)",   "(?!a)",  "(?<=a)b", "(?<!a)b", "(a)\\1", "a++", "a*+",
      "(?>a)", "(?R)",  "(*FAIL)", "(?P=a)", "(?P>a)",  "\\k<a>",  "\\Z",    "\\G", "\\K",
      "\\C",   "\\R",   "\\X",     "\\h",    "[a",      "a{1001}", "a{2,1}", "*a",  "(?i",
      "x\\",   "(?#c)", "(?C1)",   "\\8",    "[z-a]",   "(?x)a",   "^*"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    fb_value value = CALL("matches", "string.(string) -> bool", T("aaa"), T(bad[i]));
    if (value.kind != FB_ERROR && strcmp(bad[i], "^*") != 0) fail_msg("%s is taken", bad[i]);
  }
  const char *replace = "(string, string, string) -> string",
             *some = "(string, string, string, int) -> string";
  GIVES("\"hi world hi\"", "regex.replace", replace, T("hello world hello"), T("hello"), T("hi"));
  GIVES("\"bxnxna\"", "regex.replace", some, T("banana"), T("a"), T("x"), I(2));
  GIVES("\"bxnxnx\"", "regex.replace", some, T("banana"), T("a"), T("x"), I(-12));
  GIVES("\"ba fo\"", "regex.replace", replace, T("foo bar"), T("(fo)o (ba)r"), T("\\2 \\1"));
  GIVES("\"-a-é-b-\"", "regex.replace", replace, T("aéb"), T("x*"), T("-"));
  GIVES("\"-b-c-\"", "regex.replace", replace, T("aabac"), T("a*"), T("-"))
  /* no empty match right after a match */;
}

static void S_regex_ext(void **state) {
  const char *replace = "(string, string, string) -> string";
  FAILS(FB_E_CEL_VALUE, "regex.replace", replace, T("test"), T("(.)"), T("\\2"));
  FAILS(FB_E_CEL_VALUE, "regex.replace", replace, T("test"), T("(.)"), T("\\x"));
  FAILS(FB_E_CEL_VALUE, "regex.replace", replace, T("test"), T("(.)"), T("\\"));
  GIVES("\" world\"", "regex.extract", "(string, string) -> optional(string)", T("hello world"),
        T("hello(.*)"));
  GIVES("null", "regex.extract", "(string, string) -> optional(string)", T("HELLO"), T("hello"));
  FAILS(FB_E_CEL_VALUE, "regex.extract", "(string, string) -> optional(string)", T("a@b"),
        T("(.*)@([^.]*)"));
  GIVES("[\"id:123\",\"id:456\"]", "regex.extractAll", "(string, string) -> list(string)",
        T("id:123, id:456"), T("id:\\d+"));
  GIVES("[\"A\",\"B\"]", "regex.extractAll", "(string, string) -> list(string)",
        T("item-A, item-B"), T("item-(\\w+)"));
  GIVES("[]", "regex.extractAll", "(string, string) -> list(string)", T("abc"), T("x"));
}

/* Texts and patterns that would take for ever: each must end, soon, and pay. */
static void S_no_hang(void **state) {
  static const char *const patterns[] = {
      "(a+)+$",      "(a|aa)+$", "(a*)*b",      "(.*)(.*)(.*)(.*)(.*)x",
      "a[^b]*(b|c)", "(a|a?)+$", "(x+x+)+y|a+b"};
  static const size_t sizes[] = {30, 128, 129, 4096, 100000, 1000000};
  for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
      S_context.steps = 100000; /* pays for less than a tenth of a second */
      clock_t start = clock();
      fb_value text = S_repeat('a', sizes[k]);
      ((char *)(uintptr_t)text.as.text)[sizes[k] - 1] = '!';
      fb_value result = fb_null();
      for (int again = 0; again < 6 && S_context.steps > 0;
           again++) /* interpreted first, then as machine code */
        result = CALL("matches", "string.(string) -> bool", text, T(patterns[i]));
      double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
      if (seconds > 5) fail_msg("%s on %zu bytes took %.1f s", patterns[i], sizes[k], seconds);
      if (result.kind == FB_ERROR)
        assert_int_equal(result.as.error->code, FB_E_CEL_BUDGET);
      else
        assert_int_equal(result.kind, FB_BOOL);
      if (getenv("FB_TEST_SHOW"))
        fprintf(stderr, "%-24s %8zu: %.3f s, %llu steps, %s\n", patterns[i], sizes[k], seconds,
                (unsigned long long)(100000 - S_context.steps),
                result.kind == FB_ERROR ? "too costly" : "done");
    }
}

/* A pattern that takes seconds to compile: each range is folded character by character. */
static void S_costly_pattern(void **state) {
  char pattern[4096] = "";
  for (int i = 0; i < 150; i++) strcat(pattern, "(?i:[\\x{0}-\\x{10FFFF}])");
  FAILS(FB_E_CEL_BUDGET, "matches", "string.(string) -> bool", T("a"), T(pattern));
  S_context.steps = 10000000;
  MATCHES("true", "É", "(?i)^[à-ÿ]$");
}

/* What blows up is refused before it is made. */
static void S_bounded(void **state) {
  S_context.max_size = 1 << 20;
  fb_value big = S_repeat('a', 1 << 19), thousand = S_repeat('b', 1000);
  FAILS(FB_E_CEL_SIZE, "replace", "string.(string, string) -> string", big, T("a"), thousand);
  FAILS(FB_E_CEL_SIZE, "regex.replace", "(string, string, string) -> string", S_repeat('a', 4000),
        T("a"), thousand);
  FAILS(FB_E_CEL_SIZE, "base64.encode", "(bytes) -> string",
        fb_bytes(fb_value_text(S_repeat('a', 1 << 20))));
  fb_list *list = fb_list_new(&S_arena, 3);
  for (int i = 0; i < 3; i++) fb_list_push(list, &S_arena, big);
  FAILS(FB_E_CEL_SIZE, "join", "list(string).() -> string", fb_list_value(list));
  FAILS(FB_E_CEL_SIZE, "format", "string.(list(dyn)) -> string", T("%s%s%s"), fb_list_value(list));
  FAILS(FB_E_CEL_SIZE, "json.encode", "(dyn) -> string", fb_list_value(list));
  FAILS(FB_E_CEL_SIZE, "html.escape", "(string) -> string", S_repeat('<', 1 << 19));
  /* A list that shares itself: 2^60 elements when written out. */
  fb_value deep = J("[1]");
  for (int i = 0; i < 60; i++) {
    fb_list *twice = fb_list_new(&S_arena, 2);
    fb_list_push(twice, &S_arena, deep);
    fb_list_push(twice, &S_arena, deep);
    deep = fb_list_value(twice);
  }
  FAILS(FB_E_CEL_BUDGET, "json.encode", "(dyn) -> string", deep);
  S_context.steps = 10000000;
  FAILS(FB_E_CEL_BUDGET, "distinct", "list(T).() -> list(T)", deep);
  S_context.steps = 10000000;
  FAILS(FB_E_CEL_BUDGET, "flatten", "list(dyn).(int) -> list(dyn)", deep, I(100));
  S_context.steps = 10000000;
  FORMAT_FAILS(FB_E_CEL_BUDGET, "%s", deep);
  S_context.steps = 10;
  FAILS(FB_E_CEL_BUDGET, "lists.range", "(int) -> list(int)", I(1000));
  FAILS(FB_E_CEL_BUDGET, "sort", "list(T).() -> list(T)", J("[3,2,1,4,5,6,7,8,9,10,11,12]"));
  FAILS(FB_E_CEL_BUDGET, "matches", "string.(string) -> bool", T("a"), T("a"));
}

/* More patterns than the cache holds, again and again. */
static void S_cache(void **state) {
  for (int round = 0; round < 6; round++)
    for (int i = 0; i < 150; i++) {
      char pattern[32], text[32];
      snprintf(pattern, sizeof pattern, "^x%d+$", i % (round & 1 ? 150 : 5));
      snprintf(text, sizeof text, "x%d", i % (round & 1 ? 150 : 5));
      S_context.steps = 10000000;
      MATCHES("true", text, pattern);
    }
}

/* Decimal points do not follow the locale. */
static void S_locale(void **state) {
  if (!setlocale(LC_ALL, "de_DE.UTF-8")) return; /* not installed here */
  GIVES("1.5", "double", "(string) -> double", T("1.5"));
  FORMAT("\"1.50\"", "%.2f", D(1.5));
  setlocale(LC_ALL, "C");
}

/* Every function with arguments of its own kinds, whichever allocation fails. */
static fb_value S_sample(const char *type, size_t len) {
  static const fb_value numbers[] = {{.kind = FB_INT, .as.i = 2}, {.kind = FB_INT, .as.i = 1}};
  static const fb_list ints = {2, 2, (fb_value *)(uintptr_t)numbers};
  static const fb_value texts_[] = {{.kind = FB_STRING, .len = 1, .as.text = "b"},
                                    {.kind = FB_STRING, .len = 1, .as.text = "a"}};
  static const fb_list texts = {2, 2, (fb_value *)(uintptr_t)texts_};
  static const fb_value boxes_[] = {{.kind = FB_OPTIONAL, .as.optional = numbers}};
  static const fb_list boxes = {1, 1, (fb_value *)(uintptr_t)boxes_};
  static const fb_map empty;
  if (!strncmp(type, "string", 6)) return T("a%s(b)");
  if (!strncmp(type, "bytes", 5)) return B("abcd");
  if (!strncmp(type, "int", 3)) return I(1);
  if (!strncmp(type, "uint", 4)) return U(1);
  if (!strncmp(type, "double", 6)) return D(1.5);
  if (!strncmp(type, "bool", 4)) return fb_bool(true);
  if (!strncmp(type, "timestamp", 9)) return fb_timestamp(1, 5);
  if (!strncmp(type, "duration", 8)) return fb_duration(1, 5);
  if (!strncmp(type, "list(string)", 12)) return fb_list_value(&texts);
  if (!strncmp(type, "list(optional", 13)) return fb_list_value(&boxes);
  if (!strncmp(type, "list", 4)) return fb_list_value(&ints);
  if (!strncmp(type, "map", 3)) return fb_map_value(&empty);
  if (!strncmp(type, "optional", 8)) return fb_optional(numbers);
  return fb_list_value(&ints);
}

/* Splits a signature's arguments at the commas outside brackets. */
static uint32_t S_samples(const char *signature, fb_value args[8]) {
  uint32_t count = 0;
  const char *at = signature;
  if (*at != '(') {
    args[count++] = S_sample(at, 0);
    at = strstr(at, ".(") + 1;
  }
  int depth = 0;
  bool fresh = true;
  for (at++; *at && !(*at == ')' && depth == 0); at++) {
    if (fresh && *at != ' ') {
      args[count++] = S_sample(at, 0);
      fresh = false;
    }
    depth += (*at == '(') - (*at == ')');
    if (*at == ',' && depth == 0) fresh = true;
  }
  return count;
}

static const fb_cel_overload *S_tortured;

static bool S_torture_one(const fb_allocator *allocator) {
  fb_arena arena;
  fb_cel_context context;
  fb_arena_init(&arena, allocator, 64);
  S_new_context(&context, &arena);
  fb_value args[8];
  uint32_t count = S_samples(S_tortured->signature, args);
  fb_value result = S_tortured->function(&context, args, count);
  bool through = result.kind != FB_ERROR || result.as.error->code != FB_E_NOMEM;
  fb_regex_cache_free(context.regexes);
  fb_arena_release(&arena);
  return through;
}

static void S_torture(void **state) {
  size_t count;
  const fb_cel_library *library = fb_cel_libraries(&count);
  for (size_t i = 0; i < library->count; i++) {
    S_tortured = &library->overloads[i];
    fb_test_each_failure(S_torture_one);
  }
}

static bool S_torture_zones_once(const fb_allocator *allocator) {
  fb_zones *zones;
  if (fb_zones_new(allocator, NULL, &zones)) return false;
  int32_t offset;
  bool through = fb_zone_system(zones, FB_SLICE("Europe/Berlin"), 0, &offset);
  fb_zones_free(zones);
  return through;
}

static void S_torture_zones(void **state) {
  fb_test_each_failure(S_torture_zones_once);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, S_setup, S_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(S_sizes),       TEST(S_conversions),    TEST(S_double_texts), TEST(S_times),
      TEST(S_zones_agree), TEST(S_broken_zones),   TEST(S_positions),    TEST(S_changes),
      TEST(S_replaces),    TEST(S_formats),        TEST(S_numbers),      TEST(S_lists),
      TEST(S_encodings),   TEST(S_optionals),      TEST(S_regexes),      TEST(S_regex_ext),
      TEST(S_no_hang),     TEST(S_costly_pattern), TEST(S_bounded),      TEST(S_cache),
      TEST(S_locale),      TEST(S_torture),        TEST(S_torture_zones)};
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  fb_zones_free(S_zones);
  return failed;
}
