/* SPDX-License-Identifier: Apache-2.0
 * Comparisons that are read without a tree against the long way, which a tab at the end makes the loader go: both
 * make the same tests, or refuse the same texts with the same words. */
#include "test.h"

#include "rules/plan.h"

enum { ROUNDS = 4000 };

static const char *S_pick(fb_random *random, const char *const *some, size_t count) {
  return some[fb_random_below(random, count)];
}
#define S_PICK(...)                                  \
  S_pick(random, (const char *const[]){__VA_ARGS__}, \
         sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

/* Mostly of the simple form; the rest tells what is not. Quotes are those that YAML's single quotes let through. */
static void S_conjunct(fb_random *random, fb_buf *out) {
  const char *blank = S_PICK("", " ", "  ");
  fb_buf_text(out, S_PICK("o.", "o.", "o.", "o.", "o.", "o.", "p.", "o .", "!o."));
  const char *field = S_PICK("x", "x", "d", "s", "b", "u", "gone", "in", "package");
  fb_buf_printf(out, "%s%s%s%s", field, blank, S_PICK("==", "!=", "<", "<=", ">", ">=", "="),
                blank);
  switch (*field == 's' ? 2 : *field == 'd' ? 1 : *field == 'b' ? 3 : fb_random_below(random, 8)) {
    case 1:
      fb_buf_text(out,
                  S_PICK("1.5", "-2.25", "0.1", "3", "1e3", "5.", ".5", "123456789.125", "1.2.3"));
      break;
    case 2:
      fb_buf_text(out, S_PICK("\"a\"", "\"gold ring\"", "\"\"", "\"\\n\"", "r\"a\"", "\"ä\"",
                              "\"\"\"a\"\"\"", "\"a", "\"a\" + \"b\"", "5"));
      break;
    case 3: fb_buf_text(out, S_PICK("true", "false", "truex", "null", "1")); break;
    default:
      fb_buf_text(out, S_PICK("5", "-7", "0", "123456789012345", "9223372036854775807",
                              "9223372036854775808", "0x10", "5u", "007", "5 + 1", "(5)", "- 3",
                              "x", "1.5"));
  }
  fb_buf_text(out, S_PICK("", "", " ", " // why"));
}

static fb_status S_load(fb_slice text, const char *tail, fb_ruleset **ret, fb_errors *errors) {
  fb_buf book;
  fb_buf_init(&book, NULL, 0);
  fb_buf_printf(
      &book,
      "facts:\n  order: {x: int, d: double, s: string, b: bool, u: uint, in: int, package: int}\n"
      "rules:\n  - name: r\n    when:\n      - order as o: '%.*s%s'\n"
      "    then:\n      - emit: d\n",
      (int)text.len, text.ptr, tail);
  *ret = NULL;
  fb_status status = fb_ruleset_read(fb_buf_slice(&book), "t.yaml", NULL, ret, errors, NULL);
  fb_buf_release(&book);
  return status;
}

static void S_same(fb_slice text, const fb_ruleset *a, const fb_ruleset *b) {
  const fb_rule_condition *ca = &a->rules[0].conditions[0], *cb = &b->rules[0].conditions[0];
  bool same = ca->test_count == cb->test_count &&
              a->rules[0].complexity == b->rules[0].complexity && ca->watch_all == cb->watch_all &&
              ca->watched_words == cb->watched_words;
  for (uint32_t w = 0; same && w < ca->watched_words; w++) same = ca->watched[w] == cb->watched[w];
  for (uint32_t i = 0; same && i < ca->test_count; i++) {
    const fb_rule_test *x = &ca->tests[i], *y = &cb->tests[i];
    same = x->op == y->op && x->slot == y->slot && x->rule == y->rule &&
           x->place.offset == y->place.offset && x->place.length == y->place.length;
    if (!same || x->op == FB_RULE_PROGRAM) continue;
    same = x->field == y->field && x->constant.kind == y->constant.kind &&
           (x->op > FB_RULE_GE ||
            (fb_value_order(x->constant, y->constant) == 0 && fb_rule_key_equal(x->key, y->key) &&
             x->constant.symbol == y->constant.symbol));
  }
  if (!same) fail_msg("`%.*s` makes other tests", (int)text.len, text.ptr);
}

static void test_both_ways_make_the_same_tests(void **state) {
  (void)state;
  fb_random random;
  uint32_t good = 0;
  fb_random_seed(&random, 11);
  for (int i = 0; i < ROUNDS; i++) {
    fb_buf text;
    fb_ruleset *a, *b;
    fb_errors ea, eb;
    fb_buf_init(&text, NULL, 0);
    fb_errors_init(&ea, NULL, 0);
    fb_errors_init(&eb, NULL, 0);
    for (uint32_t count = 1 + (uint32_t)fb_random_below(&random, 3); count--;) {
      S_conjunct(&random, &text);
      if (count) fb_buf_text(&text, fb_random_below(&random, 9) ? " && " : " || ");
    }
    fb_status sa = S_load(fb_buf_slice(&text), "", &a, &ea),
              sb = S_load(fb_buf_slice(&text), "\t", &b, &eb);
    if (sa != sb || ea.count != eb.count ||
        (ea.count && strcmp(ea.items[0].text, eb.items[0].text) != 0))
      fail_msg("`%.*s`: %d and %d", (int)text.len, text.ptr, (int)sa, (int)sb);
    if (sa == FB_OK) {
      S_same(fb_buf_slice(&text), a, b);
      good++;
    }
    fb_ruleset_free(a);
    fb_ruleset_free(b);
    fb_errors_release(&ea);
    fb_errors_release(&eb);
    fb_buf_release(&text);
  }
  assert_true(good > ROUNDS / 20);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_both_ways_make_the_same_tests)};
  return cmocka_run_group_tests_name("rule_simple", tests, NULL, NULL);
}
