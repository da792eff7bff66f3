/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "../stream_oracle.h"

#define OPTIONS(...) ((fb_stream_options){.name = "in", __VA_ARGS__})

static fb_field S_order_fields[] = {
    {{"id", 2}, FB_FIELD_STRING},    {{"amount", 6}, FB_FIELD_DOUBLE}, {{"n", 1}, FB_FIELD_INT},
    {{"at", 2}, FB_FIELD_TIMESTAMP}, {{"ok", 2}, FB_FIELD_BOOL},       {{"tags", 4}, FB_FIELD_LIST},
    {{"u", 1}, FB_FIELD_UINT},       {{"took", 4}, FB_FIELD_DURATION},
};

/* `order` is declared, all else open. */
static fb_outcome S_read(fb_source source, fb_stream_options options) {
  return fb_oracle_stream(source, options, S_order_fields, 8);
}

static fb_outcome S_read_text(fb_slice text, size_t step, fb_stream_options options) {
  fb_dripping d = {.rest = text, .step = step};
  return S_read((fb_source){fb_drip, &d}, options);
}

static void S_expect(const char *text, fb_stream_options options, fb_status status,
                     const char *expected) {
  static const size_t steps[] = {0, 1, 2, 3, 7, 64};
  for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
    fb_outcome o = S_read_text(fb_slice_of(text), steps[i], options);
    assert_string_equal(o.text.ptr ? o.text.ptr : "", expected);
    assert_int_equal(o.status, status);
    fb_buf_release(&o.text);
  }
}

/* ── NDJSON ── */

static void test_ndjson_reads_records(void **state) {
  (void)state;
  S_expect(
      "{\"type\":\"a\",\"x\":1,\"t\":\"one\"}\n"
      "\n  \r\n"
      "{\"type\":\"a\",\"x\":2,\"t\":\"two\"}\r\n"
      "{\"type\":\"a\",\"x\":-3,\"t\":\"\"}\n"
      "{\"x\":1.5,\"type\":\"b\",\"deep\":{\"l\":[1,{\"m\":null}]}}\n"
      "{\"type\":\"a\",\"x\":4,\"t\":\"caf\\u00e9 \xc3\xa9\"}\n"
      "{ \"type\" : \"a\" , \"x\" : 12345678901 , \"t\" : \"longer than sixteen bytes\" }\n"
      "{\"type\":\"c\"}\n{\"type\":\"c\"}\n{}\n"
      "{\"type\":\"a\",\"x\":0,\"t\":\"no line end\"}",
      OPTIONS(.type = FB_SLICE("plain")), FB_DONE,
      "a {\"t\":\"one\",\"x\":1}\na {\"t\":\"two\",\"x\":2}\na {\"t\":\"\",\"x\":-3}\n"
      "b {\"deep\":{\"l\":[1,{\"m\":null}]},\"x\":1.5}\n"
      "a {\"t\":\"caf\xc3\xa9 \xc3\xa9\",\"x\":4}\n"
      "a {\"t\":\"longer than sixteen bytes\",\"x\":12345678901}\nc {}\nc {}\nplain {}\n"
      "a {\"t\":\"no line end\",\"x\":0}\n");
}

static void test_ndjson_skips_bad_records(void **state) {
  (void)state;
  S_expect(
      "{\"type\":\"a\",\"x\":1}\n"
      "{\"type\":\"a\",\"x\":01}\n"
      "{\"type\":\"a\",\"x\":2}\n"
      "{\"type\":\"a\",\"x\":3,\"x\":4}\n"
      "{\"type\":\"a\",\"x\":5} {}\n"
      "[1]\n"
      "{\"type\":7}\n"
      "{\"x\":6}\n"
      "{\"type\":\"a\",\"x\":\"\xff\"}\n"
      "{\"type\":\"a\",\"x\":\"tab\there\"}\n"
      "{\"type\":\"a\",\"x\":{\"y\":1,\"y\":2}}\n"
      "{\"type\":\"a\",\"x\":7",
      OPTIONS(.max_depth = 0), FB_DONE,
      "a {\"x\":1}\na {\"x\":2}\n"
      "FB2002 2:17\n"
      "FB2004 4:19\n"
      "FB2001 5:20\n"
      "FB2202 6:1 a fact is an object\n"
      "FB2202 7:9 the type of a fact is a text that is not empty\n"
      "FB2202 8:1 the record has no key `type` to tell its fact type\n"
      "FB2003 9:18\n"
      "FB2003 10:21\n"
      "FB2004 11:24\n"
      "FB2001 12:18\n");
}

static void test_declared_types_are_checked(void **state) {
  (void)state;
  S_expect(
      "{\"type\":\"order\",\"id\":\"o1\",\"amount\":10,\"n\":1,\"ok\":true,\"u\":5}\n"
      "{\"type\":\"order\",\"id\":\"o2\",\"amount\":10.25,\"n\":2,\"ok\":false,\"u\":6}\n"
      "{\"type\":\"order\",\"id\":\"o3\",\"amount\":1e3,\"n\":3,\"ok\":false,\"u\":"
      "18446744073709551615}\n"
      "{\"type\":\"order\",\"id\":\"o4\",\"amount\":9007199254740993,\"n\":3,\"ok\":false,\"u\":7}"
      "\n"
      "{\"type\":\"order\",\"id\":\"o5\",\"amount\":1.5,\"n\":4.0,\"ok\":false,\"u\":7}\n"
      "{\"type\":\"order\",\"id\":\"o6\",\"amount\":1.5,\"n\":4,\"ok\":false,\"u\":-7}\n"
      "{\"type\":\"order\",\"at\":\"2026-11-20T10:00:00Z\",\"took\":\"1.5s\",\"tags\":[\"a\"]}\n"
      "{\"type\":\"order\",\"at\":\"2026-11-20T11:00:00Z\",\"took\":\"2s\",\"tags\":[]}\n"
      "{\"type\":\"order\",\"at\":\"noon\",\"took\":\"2s\",\"tags\":[]}\n"
      "{\"type\":\"order\",\"at\":null,\"took\":\"2s\",\"tags\":[]}\n"
      "{\"type\":\"order\",\"amuont\":1}\n",
      OPTIONS(.max_depth = 0), FB_DONE,
      "order {\"amount\":10.0,\"id\":\"o1\",\"n\":1,\"ok\":true,\"u\":5}\n"
      "order {\"amount\":10.25,\"id\":\"o2\",\"n\":2,\"ok\":false,\"u\":6}\n"
      "order {\"amount\":1000.0,\"id\":\"o3\",\"n\":3,\"ok\":false,\"u\":18446744073709551615}\n"
      "order {\"at\":\"2026-11-20T10:00:00Z\",\"tags\":[\"a\"],\"took\":\"1.5s\"}\n"
      "order {\"at\":\"2026-11-20T11:00:00Z\",\"tags\":[],\"took\":\"2s\"}\n"
      "order {\"tags\":[],\"took\":\"2s\"}\n"
      "FB2303 4:36 field `amount` of `order` takes double, not the number 9007199254740993\n"
      "FB2303 5:44 field `n` of `order` takes int, not the number 4\n"
      "FB2303 6:61 field `u` of `order` takes uint, not the number -7\n"
      "FB2303 9:22 field `at` of `order` takes timestamp, not the text \"noon\"\n"
      "FB2302 11:17 fact type `order` has no field `amuont`\n");
}

/* ── JSON array ── */

static void test_array_reads_records(void **state) {
  (void)state;
  const char *expected = "a {\"x\":1}\na {\"x\":2}\na {\"x\":[{\"y\":\"]}\\\"\"}]}\na {\"x\":4}\n";
  S_expect(
      "[{\"type\":\"a\",\"x\":1},{\"type\":\"a\",\"x\":2},{\"type\":\"a\",\"x\":[{\"y\":\"]}\\\"\"}"
      "]},{\"type\":\"a\",\"x\":4}]",
      OPTIONS(.max_depth = 0), FB_DONE, expected);
  S_expect(
      "\n[\n  {\n    \"type\": \"a\",\n    \"x\": 1\n  },\n  {\n    \"type\": \"a\",\n    \"x\": "
      "2\n  },\n"
      "  {\"type\":\"a\",\"x\":[{\"y\":\"]}\\\"\"}]}\n,\n{\n    \"type\": \"a\",\n    \"x\": 4\n  "
      "}\n]\n\n",
      OPTIONS(.max_depth = 0), FB_DONE, expected);
  S_expect("{\n\"type\":\"a\",\"x\":1}", OPTIONS(.max_depth = 0), FB_DONE, "a {\"x\":1}\n");
  S_expect("[]", OPTIONS(.max_depth = 0), FB_DONE, "");
}

static void test_array_ends_at_broken_syntax(void **state) {
  (void)state;
  S_expect(
      "[{\"type\":\"a\",\"x\":1},\n{\"type\":\"a\",\"x\":1,\"x\":2},\n{\"type\":\"a\",\"x\":3} "
      "{\"type\":\"a\"}]",
      OPTIONS(.max_depth = 0), FB_E_JSON_SYNTAX,
      "a {\"x\":1}\na {\"x\":3}\nFB2004 2:19\nFB2001 3:20\n");
  S_expect("[{\"type\":\"a\",\"x\":1},]", OPTIONS(.max_depth = 0), FB_E_JSON_SYNTAX,
           "a {\"x\":1}\nFB2001 1:21\n");
  S_expect("[{\"type\":\"a\",\"x\":1}", OPTIONS(.max_depth = 0), FB_E_JSON_SYNTAX,
           "a {\"x\":1}\nFB2001 1:20\n");
  S_expect("[{\"type\":\"a\",\"x\":1},{\"type\":", OPTIONS(.max_depth = 0), FB_E_JSON_SYNTAX,
           "a {\"x\":1}\nFB2001 1:29\n");
  S_expect("[{\"type\":\"a\"}] x", OPTIONS(.max_depth = 0), FB_E_JSON_SYNTAX,
           "a {}\nFB2001 1:16\n");
  S_expect("[{\"type\":\"a\"},7]", OPTIONS(.max_depth = 0), FB_E_STREAM_RECORD,
           "a {}\nFB2202 1:15 a fact is an object\n");
  S_expect("[", OPTIONS(.max_depth = 0), FB_E_JSON_SYNTAX, "FB2001 1:2\n");
}

/* ── CSV ── */

static void test_csv_reads_cells(void **state) {
  (void)state;
  S_expect(
      "\xef\xbb\xbfname,x,y\r\n"
      "plain,1,1.5\r\n"
      "\"quo\"\"ted, with\ntwo lines\",-7,true\n"
      "\"\",,\"\"\n"
      "\n"
      "007,9223372036854775808,99999999999999999999\n"
      "12,1e400,false",
      OPTIONS(.format = FB_STREAM_CSV, .type = FB_SLICE("row")), FB_DONE,
      "row {\"name\":\"plain\",\"x\":1,\"y\":1.5}\n"
      "row {\"name\":\"quo\\\"ted, with\\ntwo lines\",\"x\":-7,\"y\":true}\n"
      "row {\"name\":\"\",\"y\":\"\"}\n"
      "row {\"name\":\"007\",\"x\":9223372036854775808,\"y\":\"99999999999999999999\"}\n"
      "row {\"name\":12,\"x\":\"1e400\",\"y\":false}\n");
}

static void test_csv_follows_declared_types(void **state) {
  (void)state;
  S_expect(
      "id,amount,at,tags,type,n\n"
      "17,5,2026-11-20T10:00:00Z,\"[1,2]\",order,\n"
      "18,x,,,order,1\n"
      "19,1.5,,,order,1.5\n"
      "20,3,,,other,1.5\n"
      "21,3,,,,\n",
      OPTIONS(.max_depth = 0), FB_DONE,
      "order {\"amount\":5.0,\"at\":\"2026-11-20T10:00:00Z\",\"id\":\"17\",\"tags\":[1,2]}\n"
      "other {\"amount\":3,\"id\":20,\"n\":1.5}\n"
      "FB2303 3:4 field `amount` of `order` takes double, not the text \"x\"\n"
      "FB2303 4:16 field `n` of `order` takes int, not the number 1.5\n"
      "FB2202 6:8 the record does not tell its fact type\n");
}

static void test_csv_skips_bad_lines(void **state) {
  (void)state;
  S_expect("a,b\n1\n2,3\n4,5,6\n7,x\"y\n8,9\n\"10\"z,11\n12,\"13\n14,15\n",
           OPTIONS(.type = FB_SLICE("r")), FB_DONE,
           "r {\"a\":2,\"b\":3}\nr {\"a\":8,\"b\":9}\nr {\"a\":14,\"b\":15}\n"
           "FB2201 2:1 1 cell where the header has 2\n"
           "FB2201 4:5 3 cells where the header has 2\n"
           "FB2201 5:4 a quote within a cell that does not begin with one\n"
           "FB2201 7:5 text after the closing quote of a cell\n"
           "FB2201 8:4 the quote is never closed\n");
  S_expect("a,a\n1,2\n", OPTIONS(.type = FB_SLICE("r")), FB_E_CSV_SYNTAX,
           "FB2201 1:3 two columns have the same name\n");
  S_expect("id,nope\n1,2\n", OPTIONS(.type = FB_SLICE("order")), FB_E_FACT_FIELD,
           "FB2302 1:4 fact type `order` has no field `nope`\n");
  S_expect("id\n1\n", OPTIONS(.max_depth = 0), FB_E_STREAM_RECORD,
           "FB2202 1:1 the header has no column `type` to tell the fact type\n");
  S_expect("a,b\n1,\xff\n2,3\n", OPTIONS(.type = FB_SLICE("r")), FB_DONE,
           "r {\"a\":2,\"b\":3}\nFB2204 2:3 the text is not valid UTF-8\n");
}

/* ── Limits ── */

static void test_empty_input(void **state) {
  (void)state;
  for (int format = FB_STREAM_AUTO; format <= FB_STREAM_CSV; format++) {
    if (format == FB_STREAM_JSON) continue;
    S_expect("", OPTIONS(.format = format), FB_DONE, "");
    S_expect("\n\n", OPTIONS(.format = format), FB_DONE, "");
  }
  S_expect("", OPTIONS(.format = FB_STREAM_JSON), FB_E_JSON_SYNTAX, "FB2001 1:1\n");
}

static void test_encodings(void **state) {
  (void)state;
  S_expect("\xef\xbb\xbf{\"type\":\"a\"}\n{\"type\":\"b\"}\n", OPTIONS(.max_depth = 0), FB_DONE,
           "b {}\nFB2001 1:1\n");
  S_expect("\xff\xfe{", OPTIONS(.max_depth = 0), FB_E_STREAM_ENCODING,
           "FB2204 1:1 the input is UTF-16\n");
  static const char nul[] =
      "{\"type\":\"a\",\"x\":\"\0\"}\n{\"type\":\"b\"\0}\n{\"type\":\"c\"}\n\0\n";
  for (size_t step = 0; step < 3; step++) {
    fb_outcome o =
        S_read_text((fb_slice){nul, sizeof nul - 1}, step, OPTIONS(.format = FB_STREAM_NDJSON));
    assert_string_equal(o.text.ptr,
                        "c {}\nFB2003 1:18\n"
                        "FB2001 2:12\n"
                        "FB2001 4:1\n");
    fb_buf_release(&o.text);
  }
}

static void test_long_records_are_passed_over(void **state) {
  (void)state;
  fb_buf in;
  fb_buf_init(&in, NULL, 0);
  fb_buf_text(&in, "{\"type\":\"a\",\"x\":1}\n{\"type\":\"a\",\"x\":\"");
  for (int i = 0; i < 1000000; i++) fb_buf_char(&in, 'x');
  fb_buf_text(&in, "\"}\n{\"type\":\"a\",\"x\":2}\n");
  static const size_t steps[] = {0, 1000};
  for (int i = 0; i < 2; i++) {
    fb_outcome o = S_read_text(fb_buf_slice(&in), steps[i], OPTIONS(.max_record = 1000));
    assert_string_equal(
        o.text.ptr, "a {\"x\":1}\na {\"x\":2}\nFB2203 2:1 the record is longer than 1000 bytes\n");
    assert_int_equal(o.status, FB_DONE);
    fb_buf_release(&o.text);
    o = S_read_text(fb_buf_slice(&in), steps[i],
                    OPTIONS(.max_record = 1000, .format = FB_STREAM_CSV, .type = FB_SLICE("r")));
    fb_buf_release(&o.text);
  }
  /* The same as an array, and within the limit. */
  fb_buf_clear(&in);
  fb_buf_text(&in, "[{\"type\":\"a\",\"x\":\"");
  for (int i = 0; i < 1000000; i++) fb_buf_char(&in, 'x');
  fb_buf_text(&in, "\"}]");
  fb_outcome o = S_read_text(fb_buf_slice(&in), 1000, OPTIONS(.max_record = 1000));
  assert_string_equal(o.text.ptr, "FB2203 1:2 the record is longer than 1000 bytes\n");
  fb_buf_release(&o.text);
  o = S_read_text(fb_buf_slice(&in), 1000, OPTIONS(.max_depth = 0));
  assert_int_equal(o.records, 1);
  fb_buf_release(&o.text);
  fb_buf_release(&in);
}

static void test_deep_records_are_refused(void **state) {
  (void)state;
  fb_buf in;
  fb_buf_init(&in, NULL, 0);
  fb_buf_text(&in, "{\"type\":\"a\",\"x\":");
  for (int i = 0; i < 1000000; i++) fb_buf_char(&in, '[');
  for (int i = 0; i < 1000000; i++) fb_buf_char(&in, ']');
  fb_buf_text(&in, "}\n{\"type\":\"a\",\"x\":[[]]}\n");
  fb_outcome o = S_read_text(fb_buf_slice(&in), 0, OPTIONS(.max_depth = 0));
  assert_non_null(strstr(o.text.ptr, "a {\"x\":[[]]}\nFB2005 1:"));
  fb_buf_release(&o.text);
  fb_buf_release(&in);
}

static void test_too_many_errors_end_the_stream(void **state) {
  (void)state;
  S_expect("{\"type\":\"a\"}\nx\ny\n{\"type\":\"a\"}\n",
           OPTIONS(.format = FB_STREAM_NDJSON, .max_errors = 2), FB_E_JSON_SYNTAX,
           "a {}\nFB2001 2:1\nFB2001 3:1\n");
}

static void test_a_failing_source_is_reported(void **state) {
  (void)state;
  fb_dripping d = {.rest = FB_SLICE("{\"type\":\"a\"}\n{\"type"), .step = 4, .fail_errno = EIO};
  fb_outcome o = S_read((fb_source){fb_drip, &d}, OPTIONS(.max_depth = 0));
  assert_int_equal(o.status, FB_E_IO);
  assert_string_equal(o.text.ptr, "a {}\nFB1003 0:0 cannot read: Input/output error\n");
  fb_buf_release(&o.text);
}

/* ── Against fb_json_read ── */

static void S_random_scalar(fb_random *random, fb_buf *out) {
  static const char *const texts[] = {"",
                                      "gold",
                                      "a\\nb",
                                      "\xc3\xa9t\xc3\xa9",
                                      "exactly sixteen!",
                                      "fifteen bytes..",
                                      "more than sixteen bytes",
                                      "\\u20ac"};
  switch (fb_random_below(random, 12)) {
    case 0: fb_buf_printf(out, "%d", (int)fb_random_below(random, 20)); break;
    case 1:
      fb_buf_printf(out, "%lld", (long long)fb_random_u64(random) >> fb_random_below(random, 64));
      break;
    case 2:
      fb_buf_printf(out, "%.*f", 1 + (int)fb_random_below(random, 9),
                    fb_random_unit(random) * 1000 - 500);
      break;
    case 3: fb_buf_printf(out, "%.17e", fb_random_unit(random) * 1e10); break;
    case 4: fb_buf_text(out, fb_random_below(random, 2) ? "true" : "false"); break;
    case 5: fb_buf_text(out, fb_random_below(random, 9) ? "null" : "nul"); break;
    case 6: fb_buf_text(out, "[1,{\"a\":[]}]"); break;
    case 7: fb_buf_printf(out, "%llu", (unsigned long long)fb_random_u64(random)); break;
    default: fb_buf_printf(out, "\"%s\"", texts[fb_random_below(random, 8)]);
  }
}

/* Lines that mostly repeat a few layouts: what shapes are for. Sometimes a byte is broken. */
static void S_random_lines(uint64_t seed, fb_buf *out) {
  fb_random random;
  fb_random_seed(&random, seed);
  int layouts = 1 + (int)fb_random_below(&random, 4);
  for (int line = 0; line < 300; line++) {
    fb_random layout;
    uint64_t which = fb_random_below(&random, (uint64_t)layouts);
    fb_random_seed(&layout, seed * 100 + which);
    size_t from = out->len;
    fb_buf_text(out, "{");
    int fields = (int)fb_random_below(&layout, 6),
        type_at = (int)fb_random_below(&layout, (uint64_t)fields + 1);
    for (int i = 0; i <= fields; i++) {
      if (i) fb_buf_text(out, fb_random_below(&layout, 2) ? "," : " , ");
      if (i == type_at) {
        fb_buf_printf(out, "\"type\":\"t%d\"", (int)which % 2);
        continue;
      }
      fb_buf_printf(out, "\"f%d\":%s", i, fb_random_below(&layout, 2) ? " " : "");
      fb_random kind;
      fb_random_seed(&kind, fb_random_u64(&layout));
      if (fb_random_below(&random, 20) == 0)
        S_random_scalar(&random, out);
      else if (fb_random_below(&kind, 3) == 0)
        fb_buf_printf(out, "%d", (int)fb_random_below(&random, 100000));
      else if (fb_random_below(&kind, 2) == 0)
        fb_buf_printf(out, "%.2f", fb_random_unit(&random) * 100);
      else
        fb_buf_printf(out, "\"v%d\"", (int)fb_random_below(&random, 30));
    }
    fb_buf_text(out, "}");
    if (fb_random_below(&random, 30) == 0)
      out->ptr[from + fb_random_below(&random, out->len - from)] =
          "\"{}[],:\\x0 -.e"[fb_random_below(&random, 14)];
    fb_buf_text(out, fb_random_below(&random, 9) ? "\n" : "\r\n");
  }
}

static void test_ndjson_agrees_with_the_json_reader(void **state) {
  (void)state;
  static const size_t steps[] = {0, 1, 7, 100, 4096};
  static const uint32_t batch_rows[] = {0, 7, 100000};
  for (uint64_t seed = 1; seed <= 60; seed++) {
    fb_buf in, expected;
    fb_buf_init(&in, NULL, 0);
    fb_buf_init(&expected, NULL, 0);
    S_random_lines(seed, &in);
    size_t bad = fb_oracle_lines(fb_buf_slice(&in), &expected);
    fb_outcome o = S_read_text(fb_buf_slice(&in), steps[seed % 5],
                               OPTIONS(.format = FB_STREAM_NDJSON, .max_errors = 1000,
                                       .batch_rows = batch_rows[seed % 3]));
    size_t len = expected.len;
    if (o.text.len < len || (len && memcmp(o.text.ptr, expected.ptr, len))) {
      size_t i = 0;
      while (i < o.text.len && i < len && o.text.ptr[i] == expected.ptr[i]) i++;
      fail_msg("seed %d differs at %zu: %.60s / %.60s", (int)seed, i, o.text.ptr + i,
               expected.ptr + i);
    }
    size_t lines = 0;
    for (size_t i = len; i < o.text.len; i++) lines += o.text.ptr[i] == '\n';
    assert_int_equal(lines, bad < 100 ? bad : 100);
    fb_buf_release(&o.text);
    fb_buf_release(&in);
    fb_buf_release(&expected);
  }
}

/* Ways that were seen in different records do not add up to a record that is wrong. */
static void test_shapes_do_not_mix_into_wrong_records(void **state) {
  (void)state;
  S_expect(
      "{\"type\":\"a\",\"x\":1,\"y\":2}\n"
      "{\"x\":3,\"type\":\"a\",\"y\":4}\n"
      "{\"y\":5,\"x\":6,\"type\":\"a\"}\n"
      "{\"x\":7,\"y\":8}\n"                                /* no type */
      "{\"type\":\"a\",\"x\":9,\"type\":\"a\",\"y\":10}\n" /* two */
      "{\"type\":\"a\",\"x\":11,\"y\":12,\"x\":13}\n"      /* x twice */
      "{\"y\":14,\"x\":15,\"y\":16}\n"
      "{\"type\":\"a\",\"x\":17,\"y\":18}\n{\"type\":\"a\"}\n{\"type\":\"a\",\"x\":19{\"type\":"
      "\"a\"}\n",
      OPTIONS(.format = FB_STREAM_NDJSON), FB_DONE,
      "a {\"x\":1,\"y\":2}\na {\"x\":3,\"y\":4}\na {\"x\":6,\"y\":5}\na {\"x\":17,\"y\":18}\na {}\n"
      "FB2202 4:1 the record has no key `type` to tell its fact type\n"
      "FB2004 5:19\nFB2004 6:27\nFB2202 7:1 the record has no key `type` to tell its fact "
      "type\nFB2001 10:19\n");
  S_expect(
      "{\"x\":1,\"type\":\"b\"}\n{\"x\":2,\"type\":\"a\"}\n{\"x\":3}\n{\"x\":4,\"type\":\"b\"}\n{"
      "\"x\":5}\n",
      OPTIONS(.type = FB_SLICE("a")), FB_DONE,
      "b {\"x\":1}\na {\"x\":2}\na {\"x\":3}\nb {\"x\":4}\na {\"x\":5}\n");
}

/* Several chunks in one batch, keys that come late and go again. */
static void test_batches_of_several_chunks(void **state) {
  (void)state;
  fb_buf in, expected;
  fb_buf_init(&in, NULL, 0);
  fb_buf_init(&expected, NULL, 0);
  for (int i = 0; i < 20000; i++) {
    bool late = i > 5000 && i % 3, other = i % 5000 > 4900;
    fb_buf_printf(&in, "{\"type\":\"%s\",\"x\":%d%s}\n", other ? "b" : "a", i,
                  late ? ",\"y\":true" : "");
    fb_buf_printf(&expected, "%s {\"x\":%d%s}\n", other ? "b" : "a", i, late ? ",\"y\":true" : "");
  }
  for (uint32_t rows = 1; rows < 100000; rows = rows * 7 + 1) {
    fb_outcome o = S_read_text(fb_buf_slice(&in), 0, OPTIONS(.batch_rows = rows));
    assert_true(fb_slice_equal(fb_buf_slice(&o.text), fb_buf_slice(&expected)));
    fb_buf_release(&o.text);
  }
  fb_buf_release(&in);
  fb_buf_release(&expected);
}

/* ── Memory ── */

static bool S_torture(const fb_allocator *allocator, fb_slice text, fb_stream_format format) {
  fb_symbols *symbols = NULL;
  fb_schema *schema = NULL;
  fb_stream *stream = NULL;
  fb_batch batch;
  fb_memory_source memory = {text};
  fb_stream_options options = OPTIONS(.format = format, .type = FB_SLICE("r"));
  bool through =
      !fb_symbols_new(allocator, 1, &symbols) && !fb_schema_new(allocator, symbols, &schema) &&
      !fb_stream_open(fb_source_memory(&memory), schema, &options, allocator, &stream, NULL);
  fb_status status = FB_OK;
  while (through && (status = fb_stream_next(stream, &batch, NULL)) == FB_OK) {
  }
  through = through && status == FB_DONE && fb_stream_records(stream) == 4;
  fb_stream_free(stream);
  fb_schema_free(schema);
  fb_symbols_free(symbols);
  return through;
}

static bool S_torture_ndjson(const fb_allocator *allocator) {
  return S_torture(
      allocator,
      FB_SLICE(
          "{\"x\":1,\"y\":\"a\\nb\",\"z\":[1]}\n{\"x\":2,\"y\":\"\xc3\xa9\",\"z\":{\"k\":\"v\"}}\n"
          "{\"x\":\"t\",\"y\":\"longer than sixteen bytes\"}\n{\"type\":\"s\"}\n"),
      FB_STREAM_NDJSON);
}

static bool S_torture_csv(const fb_allocator *allocator) {
  return S_torture(allocator, FB_SLICE("a,b\n1,x\n\"q\"\"r\",y\n,\n2.5,true\n"), FB_STREAM_CSV);
}

static void test_every_allocation_may_fail(void **state) {
  (void)state;
  fb_test_each_failure(S_torture_ndjson);
  fb_test_each_failure(S_torture_csv);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_ndjson_reads_records),
      cmocka_unit_test(test_ndjson_skips_bad_records),
      cmocka_unit_test(test_declared_types_are_checked),
      cmocka_unit_test(test_array_reads_records),
      cmocka_unit_test(test_array_ends_at_broken_syntax),
      cmocka_unit_test(test_csv_reads_cells),
      cmocka_unit_test(test_csv_follows_declared_types),
      cmocka_unit_test(test_csv_skips_bad_lines),
      cmocka_unit_test(test_empty_input),
      cmocka_unit_test(test_encodings),
      cmocka_unit_test(test_long_records_are_passed_over),
      cmocka_unit_test(test_deep_records_are_refused),
      cmocka_unit_test(test_too_many_errors_end_the_stream),
      cmocka_unit_test(test_a_failing_source_is_reported),
      cmocka_unit_test(test_ndjson_agrees_with_the_json_reader),
      cmocka_unit_test(test_shapes_do_not_mix_into_wrong_records),
      cmocka_unit_test(test_batches_of_several_chunks),
      cmocka_unit_test(test_every_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
