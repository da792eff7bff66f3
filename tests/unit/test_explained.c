/* SPDX-License-Identifier: Apache-2.0
 * The log of firings is bounded, and an explanation says where it ends. */
#include "test.h"

#include <flyball/rules.h>

static const char S_book[] =
    "rules:\n"
    "  - name: count\n"
    "    when: [counter as c: c.n < c.end]\n"
    "    then: [{modify: c, with: {n: \"${{ c.n + 1 }}\"}}, {emit: step, with: {n: \"${{ c.n "
    "}}\"}}]\n";

typedef struct S_seen {
  fb_arena arena;
  int64_t chain, forgotten; /* of the last decision; -1: not told */
} S_seen;

static fb_status S_decision(void *context, fb_session *session, const fb_decision *decision) {
  S_seen *seen = context;
  fb_value why;
  fb_arena_reset(&seen->arena);
  fb_status status = fb_session_why(session, decision, &seen->arena, &why);
  if (status != FB_OK) return status;
  const fb_value *chain = fb_map_get_text(why.as.map, FB_SLICE("chain"));
  const fb_value *forgotten = fb_map_get_text(why.as.map, FB_SLICE("forgotten"));
  seen->chain = chain->as.list->len;
  seen->forgotten = forgotten ? forgotten->as.i : -1;
  return FB_OK;
}

static void S_count(fb_session *session, int64_t end) {
  fb_arena arena;
  fb_arena_init(&arena, NULL, 0);
  fb_map *fields = fb_map_new(&arena, 2);
  assert_true(fb_map_put(fields, &arena, fb_string(FB_SLICE("n")), fb_int(0), NULL));
  assert_true(fb_map_put(fields, &arena, fb_string(FB_SLICE("end")), fb_int(end), NULL));
  assert_int_equal(fb_session_assert(session, FB_SLICE("counter"), fields, NULL, NULL), FB_OK);
  assert_int_equal(fb_session_fire(session, NULL, NULL), FB_OK);
  fb_arena_release(&arena);
}

static void S_test_bounded(void **state) {
  fb_ruleset *set;
  fb_session *session, *again;
  fb_errors errors;
  fb_buf snapshot;
  S_seen seen = {0};
  (void)state;
  fb_arena_init(&seen.arena, NULL, 0);
  fb_errors_init(&errors, NULL, 0);
  fb_buf_init(&snapshot, NULL, 0);
  assert_int_equal(fb_ruleset_read(fb_slice_of(S_book), "book.yaml", NULL, &set, &errors, NULL),
                   FB_OK);
  fb_session_options options = {
      .explain = true, .max_explained = 100, .output = {.decision = S_decision, .context = &seen}};
  assert_int_equal(fb_session_new(set, &options, NULL, &session), FB_OK);
  S_count(session, 50);
  assert_int_equal(seen.chain, 49); /* all of it */
  assert_int_equal(seen.forgotten, -1);
  S_count(session, 5000);
  assert_in_range(seen.chain, 99, 199);
  assert_int_equal(seen.forgotten, 5050 - 1 - seen.chain);
  assert_int_equal(fb_session_save(session, &snapshot, NULL), FB_OK);
  assert_int_equal(
      fb_session_restore(set, &options, NULL, fb_buf_slice(&snapshot), false, &again, NULL), FB_OK);
  S_count(session, 10);
  int64_t chain = seen.chain, forgotten = seen.forgotten;
  S_count(again, 10);
  assert_int_equal(seen.chain, chain); /* it goes on just as the one that was saved */
  assert_int_equal(seen.forgotten, forgotten);
  fb_session_free(session);
  fb_session_free(again);
  fb_ruleset_free(set);
  fb_buf_release(&snapshot);
  fb_errors_release(&errors);
  fb_arena_release(&seen.arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(S_test_bounded)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
