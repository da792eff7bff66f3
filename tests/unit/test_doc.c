/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <flyball/data.h>

#include <math.h>

/* Reads a document that must be good. */
static fb_doc *S_yaml(const char *text) {
  fb_doc *doc = NULL;
  fb_errors errors;
  fb_errors_init(&errors, NULL, 0);
  fb_status status = fb_doc_read_yaml(fb_slice_of(text), "t.yaml", NULL, &doc, &errors);
  if (status)
    fail_msg("%s: %s at %u:%u", text, errors.items[0].text, errors.items[0].line,
             errors.items[0].column);
  assert_int_equal(fb_errors_total(&errors), 0);
  fb_errors_release(&errors);
  return doc;
}

static fb_doc *S_json(const char *text) {
  fb_doc *doc = NULL;
  fb_errors errors;
  fb_errors_init(&errors, NULL, 0);
  fb_status status = fb_doc_read_json(fb_slice_of(text), "t.json", NULL, &doc, &errors);
  if (status) fail_msg("%s: %s", text, errors.items[0].text);
  fb_errors_release(&errors);
  return doc;
}

/* One line an error: "line:column+length text | hint". */
static char *S_list_errors(const fb_errors *errors) {
  static char out[8192];
  size_t at = 0;
  out[0] = 0;
  for (size_t i = 0; i < errors->count && at < sizeof out; i++) {
    const fb_error *err = &errors->items[i];
    at +=
        (size_t)snprintf(out + at, sizeof out - at, "%s%u:%u+%u %s%s%s", i ? "\n" : "", err->line,
                         err->column, err->length, err->text, err->hint[0] ? " | " : "", err->hint);
  }
  return out;
}

static void S_bad(fb_slice text, fb_status code, const char *expected) {
  fb_doc *doc = NULL;
  fb_errors errors;
  fb_errors_init(&errors, NULL, 0);
  fb_status status = fb_doc_read_yaml(text, "t.yaml", NULL, &doc, &errors);
  assert_null(doc);
  assert_string_equal(S_list_errors(&errors), expected);
  assert_int_equal(status, code);
  fb_errors_release(&errors);
}

static void S_scalar(const char *text, fb_value expected) {
  fb_doc *doc = S_yaml(text);
  fb_value found = fb_doc_root(doc)->as.scalar;
  if (found.kind != expected.kind || !fb_value_equal(found, expected))
    if (!(found.kind == FB_DOUBLE && expected.kind == FB_DOUBLE && isnan(found.as.d) &&
          isnan(expected.as.d)))
      fail_msg("%s: %s", text, fb_kind_name(found.kind));
  assert_int_equal(fb_doc_root(doc)->kind, expected.kind);
  fb_doc_free(doc);
}

static void S_stays_text(const char *text) {
  S_scalar(text, fb_string(fb_slice_of(text)));
}

static void test_core_schema(void **state) {
  static const char *const nulls[] = {"~", "null", "Null", "NULL", "", "# only a comment", "---"};
  for (size_t i = 0; i < 7; i++) S_scalar(nulls[i], fb_null());
  S_scalar("true", fb_bool(true));
  S_scalar("True", fb_bool(true));
  S_scalar("TRUE", fb_bool(true));
  S_scalar("false", fb_bool(false));
  S_scalar("False", fb_bool(false));
  S_scalar("FALSE", fb_bool(false));
  S_scalar("0", fb_int(0));
  S_scalar("-0", fb_int(0));
  S_scalar("+12", fb_int(12));
  S_scalar("007", fb_int(7));
  S_scalar("0o14", fb_int(12));
  S_scalar("0x1F", fb_int(31));
  S_scalar("0xdeadBEEF", fb_int(0xdeadbeef));
  S_scalar("0xffffffffffffffff", fb_uint(UINT64_MAX));
  S_scalar("9223372036854775807", fb_int(INT64_MAX));
  S_scalar("-9223372036854775808", fb_int(INT64_MIN));
  S_scalar("9223372036854775808", fb_uint(UINT64_C(9223372036854775808)));
  S_scalar("18446744073709551615", fb_uint(UINT64_MAX));
  S_scalar("1.5", fb_double(1.5));
  S_scalar("-1.5", fb_double(-1.5));
  S_scalar("+.5", fb_double(.5));
  S_scalar("-.5", fb_double(-.5));
  S_scalar("1.", fb_double(1));
  S_scalar("1.e3", fb_double(1000));
  S_scalar("00.5", fb_double(.5));
  S_scalar("-007.25e+01", fb_double(-72.5));
  S_scalar("1e3", fb_double(1000));
  S_scalar("12E-1", fb_double(1.2));
  S_scalar(".inf", fb_double((double)INFINITY));
  S_scalar("-.INF", fb_double(-(double)INFINITY));
  S_scalar("+.Inf", fb_double((double)INFINITY));
  S_scalar(".nan", fb_double((double)NAN));
  S_scalar(".NaN", fb_double((double)NAN));
  static const char *const texts[] = {
      "no",   "yes", "on",  "off",   "y",   "n",    "nULL",  "tRUE",  "1_000",
      "0b1",  "0o8", "0o",  "0x",    "0xg", "-0x1", "+0o7",  "1e",    "1e+",
      "e3",   ".",   "-",   "+",     "-.",  ".e3",  "1.2.3", "12:30", "2024-01-01",
      ".Nan", "inf", "nan", "-.nan", "1 2", "0X1F", "0O7",   "1,5",   "١"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    if (*texts[i] && strcmp(texts[i], "-") != 0) S_stays_text(texts[i]);
  S_scalar("'1'", fb_string(FB_SLICE("1")));
  S_scalar("\"true\"", fb_string(FB_SLICE("true")));
  S_scalar("|\n  null\n", fb_string(FB_SLICE("null\n")));
}

static void test_blocks(void **state) {
  S_scalar(">-\n  a\n  b\n\n   c\n\n  d\n\n\n   e\n    f",
           fb_string(FB_SLICE("a b\n\n c\n\nd\n\n\n e\n  f")));
  S_scalar(">\n\n  a\n\n\n  b\n", fb_string(FB_SLICE("\na\n\nb\n")));
  S_scalar(">+\n  a\n \n\n", fb_string(FB_SLICE("a\n\n\n")));
  S_scalar("|+\n  a\n   b\n \n", fb_string(FB_SLICE("a\n b\n\n")));
  S_scalar("|2\n    a\n\n  b\n", fb_string(FB_SLICE("  a\n\nb\n")));
  S_scalar("|\n  a", fb_string(FB_SLICE("a")));
  S_scalar("|+\n", fb_string(FB_SLICE("")));
  S_scalar(">\n", fb_string(FB_SLICE("")));
}

static void test_single_quotes(void **state) {
  S_scalar("''", fb_string(FB_SLICE("")));
  S_scalar("''''", fb_string(FB_SLICE("'")));
  S_scalar("'it''s \"x\\n\"'", fb_string(FB_SLICE("it's \"x\\n\"")));
  S_scalar("'a\n  '", fb_string(FB_SLICE("a ")));
  S_scalar("'\na'", fb_string(FB_SLICE(" a")));
  S_scalar("'  a \t\n \n\t\n  b  '", fb_string(FB_SLICE("  a\n\nb  ")));
  S_scalar("'a\r\n\r\n  b\r\n c'", fb_string(FB_SLICE("a\nb c")));
}

static void test_tags(void **state) {
  S_scalar("!!str 5", fb_string(FB_SLICE("5")));
  S_scalar("! 5", fb_string(FB_SLICE("5")));
  S_scalar("!!str", fb_string(FB_SLICE("")));
  S_scalar("!!int '12'", fb_int(12));
  S_scalar("!!float 1", fb_double(1));
  S_scalar("!!float '1.5'", fb_double(1.5));
  S_scalar("!!bool 'true'", fb_bool(true));
  S_scalar("!!null ''", fb_null());
  S_scalar("!<tag:yaml.org,2002:str> 5", fb_string(FB_SLICE("5")));
  S_bad(FB_SLICE("a: !!int 1.5"), FB_E_DOC_TAG, "1:10+3 this is not what `!!int` says it is");
  S_bad(FB_SLICE("a: !!bool yes"), FB_E_DOC_TAG, "1:11+3 this is not what `!!bool` says it is");
  S_bad(FB_SLICE("a: !!seq {}"), FB_E_DOC_TAG, "1:4+5 the tag `!!seq` cannot stand before a map");
  S_bad(FB_SLICE("a: !!binary aGk="), FB_E_DOC_TAG,
        "1:4+8 unknown tag `!!binary` | known are !!str !!int !!float !!bool !!null !!seq !!map; "
        "quote text that "
        "begins with `!`");
}

static void test_positions(void **state) {
  fb_doc *doc = S_yaml(
      "\xef\xbb\xbf# head\nä: {k: v, 'q q': \"d\\n\"}\nlist:\n  - 1\n  - [x, y]\n  -\n"
      "lit: |\n\n   text\nempty:\n\"é\": é z\n");
  const fb_node *root = fb_doc_root(doc);
  assert_int_equal(root->kind, FB_MAP);
  assert_int_equal(root->count, 5);
  assert_int_equal(root->line, 2);
  assert_int_equal(root->column, 1);
  const fb_pair *flow = &root->as.pairs[0];
  assert_int_equal(flow->value.column, 4); /* code points, not bytes */
  const fb_node *quoted = &flow->value.as.pairs[1].value;
  assert_int_equal(quoted->style, FB_NODE_DOUBLE_QUOTED);
  assert_int_equal(quoted->column, 18);
  assert_int_equal(quoted->length, 5);
  assert_int_equal(flow->value.as.pairs[1].key.column, 11);
  assert_int_equal(flow->value.length, strlen("{k: v, 'q q': \"d\\n\"}"));
  const fb_node *list = fb_node_get(root, "list");
  assert_int_equal(list->line, 4);
  assert_int_equal(list->column, 3);
  assert_int_equal(list->as.items[0].column, 5);
  assert_int_equal(list->as.items[1].length, 6);
  assert_int_equal(list->as.items[2].kind, FB_NULL);
  assert_int_equal(list->as.items[2].line, 6);
  assert_int_equal(list->as.items[2].column, 4);
  const fb_node *literal = fb_node_get(root, "lit");
  assert_int_equal(literal->line, 9);
  assert_int_equal(literal->column, 4);
  assert_int_equal(fb_node_get(root, "empty")->line, 10);
  assert_int_equal(fb_node_get(root, "empty")->column, 7);
  assert_int_equal(fb_node_get(root, "é")->column, 6);
  assert_null(fb_node_get(root, "e"));
  assert_null(fb_node_get(list, "e"));
  fb_doc_free(doc);

  doc = S_json("{\"a\": [1,\n -2.5, true, null, \"\\u00e9\"]}");
  const fb_node *items = fb_node_get(fb_doc_root(doc), "a");
  assert_int_equal(items->count, 5);
  assert_int_equal(items->as.items[1].line, 2);
  assert_int_equal(items->as.items[1].column, 2);
  assert_int_equal(items->as.items[1].length, 4);
  assert_true(fb_slice_equal(fb_node_text(&items->as.items[4]), FB_SLICE("é")));
  fb_doc_free(doc);
}

static void test_aliases(void **state) {
  fb_doc *doc = S_yaml("a: &x {k: [1]}\nb: *x\nc: &s text\n*s : 1\nd: [*x, *s]\n");
  const fb_node *root = fb_doc_root(doc);
  assert_int_equal(fb_node_get(fb_node_get(root, "b"), "k")->count, 1);
  assert_int_equal(fb_node_get(root, "text")->as.scalar.as.i, 1);
  assert_int_equal(fb_node_get(root, "d")->as.items[0].kind, FB_MAP);
  fb_doc_free(doc);
  S_bad(FB_SLICE("a: &host 1\nb: *hots"), FB_E_DOC_ALIAS,
        "2:4+5 the alias `*hots` has no anchor | did you mean `*host`?");
  S_bad(FB_SLICE("a: &x [*x]"), FB_E_DOC_ALIAS, "1:8+2 the alias `*x` contains itself");
  S_bad(FB_SLICE("a: &a [1,1,1,1,1,1,1,1,1,1]\n"
                 "b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
                 "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n"
                 "f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\n"),
        FB_E_LIMIT,
        "6:7+1 the document has more than 4194304 nodes | aliases count with everything they stand "
        "for; split the "
        "document, or raise the limit");
}

static void test_mistakes(void **state) {
  S_bad(FB_SLICE("a: 1\nb: 2\na: 3\n~: 4\n<<: 5\n? [x]\n: 6\nn: 99999999999999999999\nf: 1e999"),
        FB_E_DOC_KEY,
        "4:1+1 a key must be text, found null | quote it if it is meant as text\n"
        "5:1+2 YAML 1.2 has no merge keys | write the keys out, or quote \"<<\" if it is meant as "
        "text\n"
        "6:3+3 a key must be text, found a list | in braces, quote text that begins with `{` or "
        "`[`: \"${{ … }}\"\n"
        "8:4+20 the integer does not fit in 64 bits | quote it if it is not a number to calculate "
        "with\n"
        "9:4+5 the number is too large for a double | quote it if it is not a number to calculate "
        "with\n"
        "3:1+1 the key `a` is repeated | it is first at line 1, column 1");
  S_bad(FB_SLICE("1: a\n'1': b\n"), FB_E_DOC_DUPLICATE,
        "2:1+3 the key `1` is repeated | it is first at line 1, column 1");
  fb_doc *doc = S_yaml("200: ok\non: x\ntrue: y\n'<<': z");
  assert_non_null(fb_node_get(fb_doc_root(doc), "200"));
  assert_non_null(fb_node_get(fb_doc_root(doc), "on"));
  assert_non_null(fb_node_get(fb_doc_root(doc), "true"));
  assert_non_null(fb_node_get(fb_doc_root(doc), "<<"));
  fb_doc_free(doc);
}

static void test_syntax(void **state) {
  S_bad(FB_SLICE("a:\n\tb: 1"), FB_E_YAML_SYNTAX,
        "2:1+1 a tab is used as indentation | indent with blanks");
  S_bad(FB_SLICE("a: [1,\n 2"), FB_E_YAML_SYNTAX,
        "1:4+1 this `[` is never closed | a `]` is missing");
  S_bad(FB_SLICE("a: \"abc\nd: 1"), FB_E_YAML_SYNTAX,
        "1:4+1 this quote is not closed, or a line of the text is not indented | in single quotes "
        "write a quote twice, in double quotes with a backslash "
        "before it");
  S_bad(FB_SLICE("a: b: c"), FB_E_YAML_SYNTAX,
        "1:5+1 a second `: ` on one line | quote the whole text if the colon belongs to it");
  S_bad(FB_SLICE("a: 1\n---\nb: 2"), FB_E_DOC_MANY,
        "2:1+3 a second document begins here | split the file: one document in each");
  S_bad(FB_SLICE("a: \xff"), FB_E_DOC_ENCODING,
        "1:4+1 byte 0xFF is not valid UTF-8 here | save the file as UTF-8");
  S_bad(FB_SLICE("a: x\0y"), FB_E_DOC_ENCODING,
        "1:5+1 control character U+0000 | in double quotes it can be written as \"\\xNN\"");
  S_bad(FB_SLICE("\xff\xfe"
                 "a"),
        FB_E_DOC_ENCODING, "1:1+1 the document seems to be UTF-16 | save it as UTF-8");
  S_bad(FB_SLICE("a: 1\rb: 2"), FB_E_DOC_ENCODING,
        "1:5+1 a carriage return without a line feed | end lines with LF or CR LF");
  S_bad(FB_SLICE("%YAML 1.1\n---\na: 1"), FB_E_YAML_SYNTAX,
        "1:1+9 only YAML 1.2 is read, not 1.1 | remove the line: the document is read as YAML 1.2");
  fb_doc *doc = S_yaml("%YAML 1.2\n---\na: 1\r\nb: x\r\n...\n");
  assert_true(fb_slice_equal(fb_node_text(fb_node_get(fb_doc_root(doc), "b")), FB_SLICE("x")));
  fb_doc_free(doc);
}

static void S_deep(size_t levels, const char *unit, const char *expected) {
  fb_buf buf;
  fb_buf_init(&buf, NULL, 0);
  for (size_t i = 0; i < levels; i++) fb_buf_text(&buf, unit);
  S_bad(fb_buf_slice(&buf), FB_E_LIMIT, expected);
  fb_buf_release(&buf);
}

static void test_limits(void **state) {
  const char *many =
      "1:1+1 more than 524288 brackets, commas, colons and quotes in one piece | so large a "
      "document should be "
      "JSON, or a list or map at the left margin";
  S_deep(1000000, "[", many);
  S_deep(1000000, "a: [", many);
  S_deep(1000000, "[\n", many);
  S_deep(1000000, "- [\"a\" 'b'\n ", many);
  S_deep(100000, "[", "1:129+1 the document is nested more than 128 levels deep");
  S_deep(100000, "{a: ", "1:513+1 the document is nested more than 128 levels deep");
  S_deep(1000000, "- ", "1:257+1 the document is nested more than 128 levels deep");
  fb_doc_options options = {.max_length = 3, .max_depth = 5000, .max_nodes = 4};
  fb_errors errors;
  fb_errors_init(&errors, NULL, 0);
  fb_doc *doc = NULL;
  assert_int_equal(fb_doc_read_yaml(FB_SLICE("abcd"), "t", &options, &doc, &errors), FB_E_LIMIT);
  assert_string_equal(errors.items[0].text, "the document has 4 bytes; at most 3 are read");
  assert_string_equal(errors.items[0].file, "t");
  options.max_length = 0;
  assert_int_equal(fb_doc_read_yaml(FB_SLICE("[1,2,3]"), "t", &options, &doc, &errors), FB_OK);
  fb_doc_free(doc);
  assert_int_equal(fb_doc_read_json(FB_SLICE("[1,2,3,4]"), "t", &options, &doc, &errors),
                   FB_E_LIMIT);
  assert_int_equal(errors.items[1].column, 8);
  fb_errors_release(&errors);
}

/* ── Places inside scalars ───────────────────────────────────────────────────────────────────── */

/* Every `@` of the value must be found where the document has it, in order. */
static void S_find_marks(const char *text) {
  fb_doc *doc = S_yaml(text);
  const fb_node *node = fb_node_get(fb_doc_root(doc), "k");
  assert_non_null(node);
  fb_slice value = fb_node_text(node);
  size_t expected = 0, marks = 0;
  for (size_t i = 0; i < value.len; i++) {
    if (value.ptr[i] != '@') continue;
    expected = (size_t)(strchr(text + expected, '@') - text);
    size_t found = fb_node_source_offset(doc, node, i);
    if (found != expected)
      fail_msg("%s: mark %zu of `%.*s` at %zu, not %zu", text, marks, (int)value.len, value.ptr,
               found, expected);
    expected++;
    marks++;
  }
  assert_true(marks > 0);
  fb_doc_free(doc);
}

static void test_source_offset(void **state) {
  S_find_marks("k: a @ b @");
  S_find_marks("k: a @\n  b\n\n\n  @ c @\n  \t@\n");
  S_find_marks("k: '@''@ '' é@\n   x@\n\n @'");
  S_find_marks("k: \"@\\n@ \\\"@ \\u00e9@ \\x41@ \\U0001F600@ \\_@ \\L@\"");
  S_find_marks("k: \"a@  \n   b@ \\\n   c@\\\n  \\ @\n\n\n @\"");
  S_find_marks("k: |\n  a @ b\n   @\n\n  @ c\n");
  S_find_marks("k: |2-\n\n\n     a @ b\n   @\n\n  @ c\n\n\n");
  S_find_marks("k: >\n  a @ b\n  @ c\n\n  d @\n    more @\n   @\n\n\n  @ end\n");
  S_find_marks("k: >-\n\n  @ b\r\n  @\r\n\r\n  @");
  S_find_marks("x:\n  y: 1\nk:\n    \"a\n     @\"");
  fb_doc *doc = S_json("{\"k\": \"a\\ud83d\\ude00@\\u0041@\"}");
  const fb_node *node = fb_node_get(fb_doc_root(doc), "k");
  assert_int_equal(fb_node_source_offset(doc, node, 5), 20);
  assert_int_equal(fb_node_source_offset(doc, node, 7), 27);
  assert_int_equal(fb_node_source_offset(doc, node, 1000), 28);
  fb_doc_free(doc);
}

static void test_relocate(void **state) {
  fb_doc *doc = S_yaml("if: >\n  steps.a.ok &&\n  step.b\n");
  const fb_node *node = fb_node_get(fb_doc_root(doc), "if");
  fb_error err;
  fb_fail(&err, FB_E_INTERNAL, "undeclared `step`");
  fb_error_hint(&err, "did you mean `steps`?");
  fb_doc_relocate(doc, node, 14, 4, &err);
  assert_int_equal(err.line, 3);
  assert_int_equal(err.column, 3);
  assert_int_equal(err.length, 4);
  assert_string_equal(err.file, "t.yaml");
  assert_string_equal(err.text, "undeclared `step`");
  assert_string_equal(err.hint, "did you mean `steps`?");
  assert_string_equal(err.excerpt, "  step.b");
  fb_doc_free(doc);
}

/* ── Keys ────────────────────────────────────────────────────────────────────────────────────── */

static const fb_key_spec S_specs[] = {
    {"name", FB_KIND_BIT(FB_STRING), true},
    {"salience", FB_KIND_BIT(FB_INT), false},
    {"when", FB_KIND_BIT(FB_LIST), true},
    {"then", FB_KIND_BIT(FB_LIST) | FB_KIND_BIT(FB_MAP) | FB_KIND_BIT(FB_STRING), true},
    {"rate", FB_KIND_BIT(FB_INT) | FB_KIND_BIT(FB_UINT) | FB_KIND_BIT(FB_DOUBLE), false},
};
enum { SPECS = sizeof S_specs / sizeof *S_specs };

static bool S_keys(const char *text, const char *expected, const fb_node *nodes[SPECS]) {
  fb_doc_options options = {.keep_going = true};
  fb_errors errors;
  fb_errors_init(&errors, NULL, 0);
  fb_doc *doc = NULL;
  assert_int_equal(fb_doc_read_yaml(fb_slice_of(text), "t.yaml", &options, &doc, &errors), FB_OK);
  assert_int_equal(fb_doc_status(doc), errors.count ? errors.items[0].code : FB_OK);
  bool ok = fb_doc_keys(doc, fb_doc_root(doc), "a rule", S_specs, SPECS, nodes, &errors);
  assert_string_equal(S_list_errors(&errors), expected);
  fb_errors_release(&errors);
  fb_doc_free(doc);
  return ok;
}

static void test_keys(void **state) {
  const fb_node *nodes[SPECS];
  assert_true(S_keys("name: x\nwhen: []\nthen: y\nrate: 1.5", "", nodes));
  assert_non_null(nodes[3]);
  assert_null(nodes[1]);
  assert_false(
      S_keys("name: x\nsaliance: 1\nwhen: text\nthan: []\nwibble: 1\nrate: off",
             "2:1+8 unknown key `saliance` in a rule | did you mean `salience`?\n"
             "3:7+4 `when`: expected a list, found text\n"
             "4:1+4 unknown key `than` in a rule | did you mean `then`?\n"
             "5:1+6 unknown key `wibble` in a rule | known keys: name, salience, when, then, rate\n"
             "6:7+3 `rate`: expected a number, found text",
             nodes));
  assert_null(nodes[2]);
  assert_false(S_keys("salience: true\nname: 1",
                      "1:11+4 `salience`: expected an integer, found true\n"
                      "2:7+1 `name`: expected text, found an integer\n"
                      "1:1+8 a rule lacks `when`\n1:1+8 a rule lacks `then`",
                      nodes));
  assert_false(S_keys("- 1", "1:1+1 a rule: expected a map, found a list", nodes));
  assert_false(
      S_keys("name: 'x'\nname: y\nwhen: *z\nthen: {}",
             "3:7+2 the alias `*z` has no anchor | an anchor `&name` must come before its alias\n"
             "2:1+4 the key `name` is repeated | it is first at line 1, column 1",
             nodes));
}

static void test_fail_place(void **state) {
  fb_doc *doc = S_yaml("a:\n  - b: 1\n    c: 2\n");
  fb_errors errors;
  fb_errors_init(&errors, NULL, 0);
  const fb_node *a = fb_node_get(fb_doc_root(doc), "a");
  assert_int_equal(fb_doc_fail(doc, a, &errors, FB_E_DOC_WRONG_KIND, "do %d", "no %s %d", "x", 7),
                   FB_E_DOC_WRONG_KIND);
  fb_doc_fail(doc, &a->as.items[0], &errors, FB_E_DOC_WRONG_KIND, NULL, "map");
  assert_string_equal(S_list_errors(&errors), "2:3+1 no x 7 | do %d\n2:5+1 map");
  assert_int_equal(fb_doc_fail(doc, a, NULL, FB_E_DOC_WRONG_KIND, NULL, "quiet"),
                   FB_E_DOC_WRONG_KIND);
  fb_errors_release(&errors);
  fb_doc_free(doc);
}

static void test_value(void **state) {
  fb_doc *doc = S_yaml("{a: [1, x, ~], b: {c: 1.5}}");
  fb_arena arena;
  fb_arena_init(&arena, NULL, 0);
  fb_value value;
  assert_int_equal(fb_node_value(fb_doc_root(doc), &arena, &value), FB_OK);
  const fb_value *a = fb_map_get_text(value.as.map, FB_SLICE("a"));
  assert_int_equal(a->as.list->len, 3);
  assert_int_equal(a->as.list->items[2].kind, FB_NULL);
  fb_arena_release(&arena);
  assert_string_equal(fb_node_describe(fb_doc_root(doc)), "a map");
  fb_doc_free(doc);
}

/* ── Torture ─────────────────────────────────────────────────────────────────────────────────── */

static bool S_read_with(const fb_allocator *allocator, bool json, const char *text) {
  fb_doc_options options = {.allocator = allocator};
  fb_errors errors;
  fb_errors_init(&errors, allocator, 0);
  fb_doc *doc = NULL;
  fb_status status = json ? fb_doc_read_json(fb_slice_of(text), "t", &options, &doc, &errors)
                          : fb_doc_read_yaml(fb_slice_of(text), "t", &options, &doc, &errors);
  assert_true((status == FB_OK) == (doc != NULL));
  assert_true(status == FB_OK || status == FB_E_NOMEM);
  fb_arena arena;
  fb_arena_init(&arena, allocator, 0);
  fb_value value;
  if (!status) status = fb_node_value(fb_doc_root(doc), &arena, &value);
  fb_arena_release(&arena);
  fb_doc_free(doc);
  fb_errors_release(&errors);
  return status == FB_OK;
}

static bool S_torture_yaml(const fb_allocator *allocator) {
  return S_read_with(
      allocator, false,
      "a: &x [1, 2, \"q\\n\", 'it''s']\nb: *x\nc: >\n  folded\n  text\nd: {k: v, l: w}\n"
      "m1: 1\nm2: 1\nm3: 1\nm4: 1\nm5: 1\nm6: 1\nm7: 1\nm8: 1\n"
      "f: 1.000000000000000000000000000000000000000000000000000000000000000000000000000000001\n");
}

static bool S_torture_json(const fb_allocator *allocator) {
  return S_read_with(
      allocator, true,
      "{\"a\": [1, \"\\n\", [[{}]]], \"b\": {\"1\":1,\"2\":1,\"3\":1,\"4\":1,\"5\":1,"
      "\"6\":1,\"7\":1,\"8\":1,\"9\":1,\"10\":\"\\u00e9\"}}");
}

static void test_torture(void **state) {
  fb_test_each_failure(S_torture_yaml);
  fb_test_each_failure(S_torture_json);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_core_schema),   cmocka_unit_test(test_blocks),
      cmocka_unit_test(test_single_quotes), cmocka_unit_test(test_tags),
      cmocka_unit_test(test_positions),     cmocka_unit_test(test_aliases),
      cmocka_unit_test(test_mistakes),      cmocka_unit_test(test_syntax),
      cmocka_unit_test(test_limits),        cmocka_unit_test(test_source_offset),
      cmocka_unit_test(test_relocate),      cmocka_unit_test(test_keys),
      cmocka_unit_test(test_fail_place),    cmocka_unit_test(test_value),
      cmocka_unit_test(test_torture),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
