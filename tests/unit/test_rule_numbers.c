/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers in rules are compared as the numbers they are, wherever it is done: tests and sieve, joins and their hash keys,
 * residual programs. The oracle is arithmetic on sign, whole part and fraction.
 */
#include "test.h"

#include <flyball/rules.h>

#include <math.h>

static const char *const S_operators[] = {"==", "!=", "<", "<=", ">", ">="};

/* A number, exactly: whole + half / 2, where |whole| < 2^65; NaN has none. */
typedef struct S_number {
  fb_value value;
  char text[40];
  __int128 twice;
  bool nan;
} S_number;

static S_number S_integer(fb_value value) {
  S_number n = {.value = value};
  bool is_int = value.kind == FB_INT;
  n.twice = 2 * (is_int ? (__int128)value.as.i : (__int128)value.as.u);
  snprintf(n.text, sizeof n.text, is_int ? "%lld" : "%lluu",
           is_int ? (long long)value.as.i : (long long)value.as.u);
  return n;
}

static S_number S_real(double d) {
  S_number n = {.value = fb_double(d), .nan = d != d};
  snprintf(n.text, sizeof n.text, "%.1f", d);
  if (!n.nan)
    n.twice = (__int128)(2 * d); /* exact: all here are below 2^66 and have one binary place */
  return n;
}

static size_t S_numbers(S_number *out) {
  static const int64_t ints[] = {INT64_MIN,
                                 INT64_MIN + 1,
                                 -(INT64_C(1) << 53) - 1,
                                 -1,
                                 0,
                                 1,
                                 (INT64_C(1) << 53) - 1,
                                 INT64_C(1) << 53,
                                 (INT64_C(1) << 53) + 1,
                                 (INT64_C(1) << 53) + 2,
                                 INT64_MAX - 1,
                                 INT64_MAX};
  static const uint64_t uints[] = {0,
                                   1,
                                   (UINT64_C(1) << 53) + 1,
                                   INT64_MAX,
                                   UINT64_C(1) << 63,
                                   (UINT64_C(1) << 63) + 1,
                                   UINT64_MAX - 1,
                                   UINT64_MAX};
  static const double reals[] = {-0x1p64, -0x1p63, -0x1p53,    -1.0,   -0.5,   -0.0,   0.5, 1.0,
                                 1.5,     0x1p53,  0x1p53 + 2, 0x1p62, 0x1p63, 0x1p64, NAN};
  size_t count = 0;
  for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) out[count++] = S_integer(fb_int(ints[i]));
  for (size_t i = 0; i < sizeof uints / sizeof *uints; i++)
    out[count++] = S_integer(fb_uint(uints[i]));
  for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) out[count++] = S_real(reals[i]);
  return count;
}

static bool S_holds(const S_number *a, int op, const S_number *b) {
  if (a->nan || b->nan) return op == 1;
  switch (op) {
    case 0: return a->twice == b->twice;
    case 1: return a->twice != b->twice;
    case 2: return a->twice < b->twice;
    case 3: return a->twice <= b->twice;
    case 4: return a->twice > b->twice;
    default: return a->twice >= b->twice;
  }
}

typedef struct S_fired {
  bool of[2000];
  uint64_t count;
} S_fired;

static void S_on_fired(void *context, fb_session *session, uint32_t rule, uint64_t firing) {
  S_fired *fired = context;
  (void)session;
  (void)firing;
  fired->of[rule] = true;
  fired->count++;
}

static fb_ruleset *S_read(fb_buf *book) {
  fb_ruleset *rules = NULL;
  fb_errors errors;
  fb_errors_init(&errors, NULL, 0);
  if (fb_ruleset_read(fb_buf_slice(book), "numbers.yaml", NULL, &rules, &errors, NULL) != FB_OK)
    fail_msg("%s", errors.items[0].text);
  fb_errors_release(&errors);
  return rules;
}

static fb_session *S_session(const fb_ruleset *rules, S_fired *fired, bool stateless) {
  fb_session *session;
  fb_session_options options = {.stateless = stateless,
                                .output = {.fired = S_on_fired, .context = fired}};
  assert_int_equal(fb_session_new(rules, &options, NULL, &session), FB_OK);
  return session;
}

static fb_fact_id S_assert(fb_session *session, const char *type, fb_value value) {
  fb_entry entry = {fb_string(FB_SLICE("v")), value};
  fb_map map = {.len = 1, .cap = 1, .entries = &entry};
  fb_fact_id id;
  assert_int_equal(fb_session_assert(session, fb_slice_of(type), &map, &id, NULL), FB_OK);
  return id;
}

/* Every number against every constant: by the sieve (all rules at once) or by programs. */
static void S_against_constants(const char *form, bool stateless) {
  S_number numbers[64];
  size_t count = S_numbers(numbers);
  fb_buf book;
  fb_buf_init(&book, NULL, 0);
  fb_buf_text(&book, "rules:\n");
  for (size_t c = 0; c < count; c++)
    for (int op = 0; op < 6 && !numbers[c].nan; op++) {
      fb_buf_printf(&book, "  - {name: r%zu-%d, when: [x as x: \"", c, op);
      fb_buf_printf(&book, form, S_operators[op], numbers[c].text);
      fb_buf_printf(&book, "\"], then: [{log: x}]}\n");
    }
  fb_ruleset *rules = S_read(&book);
  for (size_t n = 0; n < count; n++) {
    S_fired fired = {0};
    fb_session *session = S_session(rules, &fired, stateless);
    S_assert(session, "x", numbers[n].value);
    assert_int_equal(fb_session_fire(session, NULL, NULL), FB_OK);
    uint32_t rule = 0;
    for (size_t c = 0; c < count; c++)
      for (int op = 0; op < 6 && !numbers[c].nan; op++, rule++)
        if (fired.of[rule] != S_holds(&numbers[n], op, &numbers[c]))
          fail_msg("%s %s %s (%s): %d", numbers[n].text, S_operators[op], numbers[c].text, form,
                   fired.of[rule]);
    fb_session_free(session);
  }
  fb_ruleset_free(rules);
  fb_buf_release(&book);
}

static void test_constants(void **state) {
  (void)state;
  S_against_constants("x.v %s %s", false);
  S_against_constants("x.v %s %s", true);
  S_against_constants("x.v %s %s || x.w", false);
  S_against_constants("[x.v].exists(e, e %s %s)", false);
}

/* Each pair by a join: of fields (hashed where it is ==), of an expression (hashed key), of a program. */
static void test_joins(void **state) {
  (void)state;
  static const char *const forms[] = {"y.v %s x.v", "x.v %s y.v", "y.v %s [x.v][0]",
                                      "y.v %s x.v || x.w"};
  S_number numbers[64];
  size_t count = S_numbers(numbers);
  fb_buf book;
  fb_buf_init(&book, NULL, 0);
  fb_buf_text(&book, "rules:\n");
  for (int form = 0; form < 4; form++)
    for (int op = 0; op < 6; op++) {
      fb_buf_printf(&book, "  - {name: r%d-%d, when: [x as x, y as y: \"", form, op);
      fb_buf_printf(&book, forms[form], S_operators[op]);
      fb_buf_text(&book, "\"], then: [{log: x}]}\n");
    }
  fb_ruleset *rules = S_read(&book);
  S_fired fired = {0};
  fb_session *session = S_session(rules, &fired, false);
  for (size_t a = 0; a < count; a++)
    for (size_t b = 0; b < count; b++) {
      fired = (S_fired){0};
      fb_fact_id x = S_assert(session, "x", numbers[a].value),
                 y = S_assert(session, "y", numbers[b].value);
      assert_int_equal(fb_session_fire(session, NULL, NULL), FB_OK);
      for (int form = 0; form < 4; form++)
        for (int op = 0; op < 6; op++) {
          bool want = form == 1 ? S_holds(&numbers[a], op, &numbers[b])
                                : S_holds(&numbers[b], op, &numbers[a]);
          if (fired.of[form * 6 + op] != want)
            fail_msg("%s: x %s, y %s, %s: %d", forms[form], numbers[a].text, numbers[b].text,
                     S_operators[op], fired.of[form * 6 + op]);
        }
      assert_int_equal(fb_session_retract(session, x, NULL), FB_OK);
      assert_int_equal(fb_session_retract(session, y, NULL), FB_OK);
    }
  fb_session_free(session);
  fb_ruleset_free(rules);
  fb_buf_release(&book);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_constants),
                                     cmocka_unit_test(test_joins)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
