/* SPDX-License-Identifier: Apache-2.0
 *
 * A session's whole life with every allocation failing once, and every page of its facts' store. What a failed call leaves is
 * either a session as if it had not been called, which then does what it would have done, or one that says that it is lost
 * until it is reset; after that it is as new. Nothing leaks.
 */
#include "pages.h"

#include <flyball/rules.h>

static const char S_book[] =
    "facts:\n"
    "  order: {id: int, customer: int, amount: int, state: string, tags: list}\n"
    "  customer: {id: int, tier: string}\n"
    "rules:\n"
    "  - name: pair\n"
    "    when:\n"
    "      - order as o: o.state == 'new'\n"
    "      - customer as c: c.id == o.customer\n"
    "    then:\n"
    "      - modify: o\n"
    "        with: {state: open, tags: \"${{ ['seen', c.tier] }}\"}\n"
    "      - emit: pair\n"
    "        with: {id: \"${{ o.id }}\", tier: \"${{ c.tier }}\"}\n"
    "  - name: busy\n"
    "    when:\n"
    "      - customer as c\n"
    "      - exists order as o: o.customer == c.id && o.state == 'open'\n"
    "    then:\n"
    "      - assert: busy\n"
    "        logical: true\n"
    "        with: {customer: \"${{ c.id }}\"}\n"
    "  - name: alone\n"
    "    when:\n"
    "      - customer as c\n"
    "      - not: [order as o: o.customer == c.id, test: o.amount > 1]\n"
    "    then:\n"
    "      - emit: alone\n"
    "        with: {id: \"${{ c.id }}\"}\n"
    "  - name: told\n"
    "    when:\n"
    "      - busy as b\n"
    "    then:\n"
    "      - emit: told\n"
    "        with: {customer: \"${{ b.customer }}\"}\n"
    "  - name: rated\n"
    "    when:\n"
    "      - order as o\n"
    "      - rate as r: r.low <= o.amount && o.amount < r.high\n"
    "      - exists rate as q: o.id in q.orders\n"
    "    then:\n"
    "      - emit: rated\n"
    "        with: {id: \"${{ o.id }}\", low: \"${{ r.low }}\"}\n";

typedef struct S_life {
  const fb_ruleset *rules;
  fb_session_options options;
  const fb_allocator *allocator;
  fb_session *session;
  fb_fact_id ids[6];
  int rates; /* asserted so far */
  fb_buf log;
  bool failed; /* some call did */
} S_life;

static fb_status S_decision(void *context, fb_session *session, const fb_decision *decision) {
  S_life *life = context;
  (void)session;
  fb_buf_add(&life->log, decision->type.ptr, decision->type.len);
  fb_json_write(&life->log, fb_map_value(decision->fields), FB_JSON_COMPACT);
  return FB_OK;
}

static fb_ruleset *S_load(void) {
  fb_ruleset *rules = NULL;
  fb_errors errors;
  fb_errors_init(&errors, NULL, 0);
  if (fb_ruleset_read(FB_SLICE(S_book), "torture.yaml", NULL, &rules, &errors, NULL) != FB_OK)
    fail_msg("line %u: %s", errors.items[0].line, errors.items[0].text);
  fb_errors_release(&errors);
  return rules;
}

/* ── What happens in a life, one call a step ── */

static fb_status S_order(S_life *life, uint32_t at, int64_t customer, int64_t amount) {
  fb_value tags[] = {fb_string(FB_SLICE("a tag")), fb_int(at)};
  fb_list list = {.len = 2, .cap = 2, .items = tags};
  fb_entry entries[] = {{fb_string(FB_SLICE("id")), fb_int(at)},
                        {fb_string(FB_SLICE("customer")), fb_int(customer)},
                        {fb_string(FB_SLICE("amount")), fb_int(amount)},
                        {fb_string(FB_SLICE("state")), fb_string(FB_SLICE("new"))},
                        {fb_string(FB_SLICE("tags")), fb_list_value(&list)}};
  fb_map map = {.len = 5, .cap = 5, .entries = entries};
  return fb_session_assert(life->session, FB_SLICE("order"), &map, &life->ids[at], NULL);
}

static fb_status S_customer(S_life *life, uint32_t at, int64_t id, const char *tier) {
  fb_entry entries[] = {{fb_string(FB_SLICE("id")), fb_int(id)},
                        {fb_string(FB_SLICE("tier")), fb_string(fb_slice_of(tier))}};
  fb_map map = {.len = 2, .cap = 2, .entries = entries};
  return fb_session_assert(life->session, FB_SLICE("customer"), &map, &life->ids[at], NULL);
}

/* More than are gone through without a sorted index. */
static fb_status S_rates(S_life *life) {
  fb_status status = FB_OK;
  for (; life->rates < 12 && status == FB_OK; life->rates += status == FB_OK) {
    fb_value orders[] = {fb_int(life->rates), fb_int(0)};
    fb_list list = {.len = 2, .cap = 2, .items = orders};
    fb_entry entries[] = {{fb_string(FB_SLICE("low")), fb_int(life->rates)},
                          {fb_string(FB_SLICE("high")), fb_int(life->rates + 2)},
                          {fb_string(FB_SLICE("orders")), fb_list_value(&list)}};
    fb_map map = {.len = 3, .cap = 3, .entries = entries};
    status = fb_session_assert(life->session, FB_SLICE("rate"), &map, NULL, NULL);
  }
  return status;
}

static fb_status S_modify(S_life *life, uint32_t at, const char *state) {
  fb_entry entries[] = {{fb_string(FB_SLICE("state")), fb_string(fb_slice_of(state))}};
  fb_map map = {.len = 1, .cap = 1, .entries = entries};
  return fb_session_modify(life->session, life->ids[at], &map, NULL);
}

static fb_status S_restore(S_life *life) {
  fb_buf bytes;
  fb_session *again = NULL;
  fb_buf_init(&bytes, life->allocator, 0);
  fb_status status = fb_session_save(life->session, &bytes, NULL);
  if (status == FB_OK)
    status = fb_session_restore(life->rules, &life->options, life->allocator, fb_buf_slice(&bytes),
                                false, &again, NULL);
  fb_buf_release(&bytes);
  if (status != FB_OK) return status;
  fb_session_free(life->session);
  life->session = again;
  return FB_OK;
}

static fb_status S_count_fact(void *context, fb_session *session, fb_fact_id id, fb_value fact) {
  (void)session;
  (void)fact;
  *(uint64_t *)context += id;
  return FB_OK;
}

static fb_status S_query(S_life *life) {
  uint64_t sum = 0;
  return fb_session_query(life->session, FB_SLICE("order"), FB_SLICE("fact.amount > 1"),
                          S_count_fact, &sum, NULL);
}

enum { STEPS = 14, FIRES = 1 << 4 | 1 << 7 | 1 << 9 | 1 << 13 };

static fb_status S_step(S_life *life, int step) {
  fb_status status;
  switch (step) {
    case 0: status = S_rates(life); return status == FB_OK ? S_order(life, 0, 1, 5) : status;
    case 1: return S_customer(life, 1, 1, "gold");
    case 2: return S_order(life, 2, 2, 1);
    case 3: return S_customer(life, 3, 2, "a tier with a longer name");
    case 5: return S_modify(life, 0, "a state that is new to the session");
    case 6: return S_restore(life);
    case 8: return S_modify(life, 2, "new");
    case 10: return fb_session_retract(life->session, life->ids[1], NULL);
    case 11: return S_query(life);
    case 12: return S_order(life, 4, 2, 7);
    default: return fb_session_fire(life->session, NULL, NULL);
  }
}

/* ── Living on ── */

/* The whole life again, in a session that was reset. */
static void S_begin_again(S_life *life, fb_slice want) {
  fb_status status;
  do status = fb_session_reset(life->session);
  while (status == FB_E_NOMEM);
  assert_int_equal(status, FB_OK);
  fb_buf_clear(&life->log);
  life->rates = 0;
  for (int step = 0; step < STEPS; step++) assert_int_equal(S_step(life, step), FB_OK);
  assert_true(fb_slice_equal(fb_buf_slice(&life->log), want));
}

/* Returns true if no call failed. `want`: what comes out in a life without failures; empty: not known yet. */
static bool S_live(S_life *life, fb_slice want) {
  fb_status status = fb_session_new(life->rules, &life->options, life->allocator, &life->session);
  if (status != FB_OK) {
    assert_true(status == FB_E_NOMEM);
    return false;
  }
  bool fired = false;
  for (int step = 0; step < STEPS; step++) {
    status = S_step(life, step);
    if (status == FB_OK) continue;
    if (status != FB_E_NOMEM && status != FB_E_IO) fail_msg("step %d gave %d", step, status);
    life->failed = true;
    fired |= FIRES >> step & 1;
    status = S_step(life, step); /* memory is there again */
    if (status == FB_E_RULE_SESSION) {
      S_begin_again(life, want);
      return false;
    }
    assert_int_equal(status, FB_OK);
  }
  /* Of a firing that failed the decisions may be out already. */
  if (want.len && !fired) assert_true(fb_slice_equal(fb_buf_slice(&life->log), want));
  return !life->failed;
}

static fb_buf S_want;
static fb_ruleset *S_rules;

static bool S_tortured(const fb_allocator *allocator, const fb_page_store *store) {
  S_life life = {.rules = S_rules, .allocator = allocator};
  fb_buf_init(&life.log, NULL, 0);
  life.options = (fb_session_options){
      .output = {.decision = S_decision, .context = &life}, .store = store, .max_firings = 100};
  bool through = S_live(&life, fb_buf_slice(&S_want));
  if (!S_want.len && through) fb_buf_add(&S_want, life.log.ptr, life.log.len);
  fb_session_free(life.session);
  fb_buf_release(&life.log);
  return through;
}

static bool S_plain(const fb_allocator *allocator) {
  return S_tortured(allocator, NULL);
}

static bool S_paged(const fb_allocator *allocator) {
  fb_test_pages pages = {0};
  fb_page_store store = fb_test_pages_store(&pages);
  bool through = S_tortured(allocator, &store);
  fb_test_pages_release(&pages);
  return through;
}

static void test_every_allocation_may_fail(void **state) {
  (void)state;
  fb_test_each_failure(S_plain);
}

static void test_every_allocation_may_fail_with_paged_facts(void **state) {
  (void)state;
  fb_test_each_failure(S_paged);
}

/* A store that fails once is not asked again before the session is reset. */
static void test_every_page_may_fail(void **state) {
  (void)state;
  for (uint64_t fail_from = 1;; fail_from++) {
    fb_test_pages pages = {.fail_from = fail_from, .once = true};
    fb_page_store store = fb_test_pages_store(&pages);
    bool through = S_tortured(fb_allocator_system(), &store);
    bool all = pages.written < fail_from;
    fb_test_pages_release(&pages);
    assert_true(fail_from < 10000);
    if (!all) continue;
    assert_true(through && fail_from > 20);
    return;
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_allocation_may_fail),
      cmocka_unit_test(test_every_allocation_may_fail_with_paged_facts),
      cmocka_unit_test(test_every_page_may_fail),
  };
  fb_buf_init(&S_want, NULL, 0);
  S_rules = S_load();
  S_plain(fb_allocator_system());
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  fb_ruleset_free(S_rules);
  fb_buf_release(&S_want);
  return failed;
}
