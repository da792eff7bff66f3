/* SPDX-License-Identifier: Apache-2.0
 *
 * A long life: facts come, change, expire and go, windows close, rules fire, rulebooks are swapped, sessions are saved, restored and moved to a rulebook that is read anew, for
 * SOAK_SECONDS, or for a fixed number of steps. The number of facts stays the same, and so must memory: what is held after
 * the first quarter may not be exceeded by more than 1 %, nor the process's resident set where there is time to tell.
 *
 * FB_SOAK_SEED=n: another history (1).
 */
#include "test.h"

#include <flyball/rules.h>

#include <time.h>
#include <unistd.h>

enum {
  ORDERS = 300,
  CUSTOMERS = 30,
  STEPS = 60000, /* when there is no time given */
  FIRE_EVERY = 20,
  SAMPLE_EVERY = 500,
  RESTORE_EVERY = 3000,
  RELOAD_EVERY = 7000,
  SWAP_EVERY = 1100,
  COMPACT_EVERY = 1000,
  RSS_SECONDS = 60 /* from which on the resident set is looked at */
};

/* An order's `key` is a text that no other has: such texts are given back by compacting. The clock goes a second a step. */
static const char S_head[] =
    "facts:\n"
    "  order: {id: int, customer: int, amount: int, state: string, tags: list, note: map, raw: "
    "bytes, key: string, at: timestamp}\n"
    "  customer: {id: int, tier: string}\n"
    "  ping: {customer: int, key: string, at: timestamp}\n"
    "expires: {ping: 400s}\n"
    "rules:\n";

/* In every other rulebook. */
static const char S_changing[] =
    "  - name: turnover\n"
    "    when:\n"
    "      - customer as c: c.tier == 'gold'\n"
    "      - sum(o.amount) as total, percentile(o.amount, 50) as half of order as o last 20: "
    "o.customer == c.id\n"
    "      - not:\n"
    "          - count() as n of ping as p within 90s: p.customer == c.id\n"
    "          - test: n > 4\n"
    "    then:\n"
    "      - assert: turnover\n"
    "        logical: true\n"
    "        with: {customer: \"${{ c.id }}\", total: \"${{ total }}\", half: \"${{ half }}\"}\n"
    "  - name: element\n"
    "    when:\n"
    "      - order as o: o.state == 'done'\n"
    "      - tag as t in o.tags: t == 'late'\n"
    "    then:\n"
    "      - emit: late\n"
    "        with: {id: \"${{ o.id }}\", t: \"${{ t }}\"}\n";

static const char S_book[] =
    "  - name: pings\n"
    "    when:\n"
    "      - count() as n, collect(p.key) as keys by p.customer as c of ping as p session 20s as "
    "start\n"
    "    then:\n"
    "      - emit: pings\n"
    "        with: {c: \"${{ c }}\", n: \"${{ n }}\"}\n"
    "  - name: each minute\n"
    "    when:\n"
    "      - count() as n, distinct(p.customer) as who of ping as p tumbling 60s\n"
    "    then:\n"
    "      - emit: minute\n"
    "        with: {n: \"${{ n }}\", who: \"${{ who }}\"}\n"
    "  - name: gold\n"
    "    salience: 5\n"
    "    when:\n"
    "      - order as o: o.state == 'new' && o.amount > 50\n"
    "      - customer as c: c.id == o.customer && c.tier == 'gold'\n"
    "    then:\n"
    "      - modify: o\n"
    "        with: {state: open, tags: \"${{ ['gold', c.tier] }}\"}\n"
    "      - emit: gold\n"
    "        with: {id: \"${{ o.id }}\", tags: \"${{ o.tags }}\"}\n"
    "  - name: tagged\n"
    "    when:\n"
    "      - order as o: o.state == 'new' && 'gold' in o.tags\n"
    "    then:\n"
    "      - modify: o\n"
    "        with: {state: done, note: \"${{ {'why': 'tagged', 'amount': o.amount} }}\"}\n"
    "  - name: orphan\n"
    "    when:\n"
    "      - order as o: o.state == 'open'\n"
    "      - not customer as c: c.id == o.customer\n"
    "    then:\n"
    "      - modify: o\n"
    "        with: {state: done, raw: \"${{ b'0123456789' }}\"}\n"
    "  - name: busy\n"
    "    when:\n"
    "      - customer as c\n"
    "      - exists order as o: o.customer == c.id && o.state == 'open'\n"
    "    then:\n"
    "      - assert: busy\n"
    "        logical: true\n"
    "        with: {customer: \"${{ c.id }}\", tier: \"${{ c.tier }}\"}\n"
    "  - name: calm\n"
    "    when:\n"
    "      - customer as c\n"
    "      - forall: [order as o: o.customer == c.id, test: o.amount < 40]\n"
    "    then:\n"
    "      - assert: calm\n"
    "        logical: true\n"
    "        with: {customer: \"${{ c.id }}\"}\n"
    "  - name: pair\n"
    "    no_loop: true\n"
    "    when:\n"
    "      - busy as b\n"
    "      - order as o: o.customer == b.customer && o.state == 'open'\n"
    "      - order as p: p.customer == o.customer && p.amount == o.amount && p.id != o.id\n"
    "    then:\n"
    "      - modify: p\n"
    "        with: {state: done}\n";

typedef struct S_soak {
  fb_random random;
  fb_test_memory memory;
  size_t held, peak; /* bytes of the allocator; peak: of this window */
  fb_allocator allocator;
  fb_ruleset *rules;
  fb_session *session;
  fb_session_options options;
  fb_fact_id orders[ORDERS], customers[CUSTOMERS];
  uint32_t order_count, customer_count;
  int64_t next;
  uint64_t decisions;
  bool reborn;   /* now and then */
  bool changed;  /* the rulebook has those that change */
  int64_t clock; /* seconds */
} S_soak;

static void *S_resize(void *context, void *ptr, size_t old_size, size_t size) {
  S_soak *soak = context;
  void *moved = fb_test_resize(&soak->memory, ptr, old_size, size);
  if (!moved && size) return NULL;
  soak->held += size - (ptr ? old_size : 0);
  if (soak->held > soak->peak) soak->peak = soak->held;
  return moved;
}

static uint32_t S_below(S_soak *soak, uint32_t bound) {
  return (uint32_t)fb_random_below(&soak->random, bound);
}

static fb_status S_decision(void *context, fb_session *session, const fb_decision *decision) {
  (void)session;
  ((S_soak *)context)->decisions += decision->fields->len == 2;
  return FB_OK;
}

static void S_fail(void *context, fb_session *session, const fb_error *err) {
  (void)context;
  (void)session;
  fail_msg("%s", err->text);
}

static void S_good(fb_status status, const fb_error *err) {
  if (status != FB_OK) fail_msg("%s", err->text);
}

static fb_ruleset *S_read(S_soak *soak) {
  fb_errors errors;
  fb_ruleset *rules = NULL;
  fb_buf book;
  fb_errors_init(&errors, NULL, 0);
  fb_buf_init(&book, NULL, 0);
  fb_buf_text(&book, S_head);
  if (soak->changed) fb_buf_text(&book, S_changing);
  fb_buf_text(&book, S_book);
  if (fb_ruleset_read(fb_buf_slice(&book), "soak.yaml", &soak->allocator, &rules, &errors, NULL))
    fail_msg("line %u: %s", errors.items[0].line, errors.items[0].text);
  fb_buf_release(&book);
  fb_errors_release(&errors);
  return rules;
}

/* ── Facts ── */

static fb_value S_state(S_soak *soak) {
  static const char *const states[] = {"new", "open", "done"};
  return fb_string(fb_slice_of(states[S_below(soak, 3)]));
}

/* Lists of several lengths, some with gold. */
static fb_value S_tags(S_soak *soak, fb_list *list, fb_value *items) {
  static const char *const tags[] = {"gold", "late", "a tag with a longer text", "x"};
  *list = (fb_list){.cap = 6, .items = items, .len = S_below(soak, 7)};
  for (uint32_t i = 0; i < list->len; i++)
    items[i] = fb_string(fb_slice_of(tags[S_below(soak, 4)]));
  return fb_list_value(list);
}

static fb_value S_key(S_soak *soak, char text[40]) {
  int len = snprintf(text, 40, "the only text of %lld", (long long)soak->next++);
  return fb_string((fb_slice){text, (size_t)len});
}

/* Most come in time; it expires later. */
static void S_assert_ping(S_soak *soak) {
  char key[40];
  fb_entry entries[] = {
      {fb_string(FB_SLICE("customer")), fb_int(S_below(soak, CUSTOMERS))},
      {fb_string(FB_SLICE("key")), S_key(soak, key)},
      {fb_string(FB_SLICE("at")), fb_timestamp(soak->clock + 10 - S_below(soak, 40), 0)}};
  fb_map map = {.len = 3, .cap = 3, .entries = entries};
  fb_error err;
  S_good(fb_session_assert(soak->session, FB_SLICE("ping"), &map, NULL, &err), &err);
}

static void S_assert_order(S_soak *soak) {
  fb_value items[6];
  fb_list list;
  char key[40];
  fb_entry entries[] = {{fb_string(FB_SLICE("id")), fb_int(soak->next++)},
                        {fb_string(FB_SLICE("customer")), fb_int(S_below(soak, CUSTOMERS + 3))},
                        {fb_string(FB_SLICE("amount")), fb_int(S_below(soak, 100))},
                        {fb_string(FB_SLICE("state")), S_state(soak)},
                        {fb_string(FB_SLICE("tags")), S_tags(soak, &list, items)},
                        {fb_string(FB_SLICE("key")), S_key(soak, key)}};
  fb_map map = {.len = 6, .cap = 6, .entries = entries};
  fb_error err;
  S_good(fb_session_assert(soak->session, FB_SLICE("order"), &map,
                           &soak->orders[soak->order_count++], &err),
         &err);
}

static void S_assert_customer(S_soak *soak) {
  fb_entry entries[] = {{fb_string(FB_SLICE("id")), fb_int(S_below(soak, CUSTOMERS))},
                        {fb_string(FB_SLICE("tier")),
                         fb_string(S_below(soak, 3) ? FB_SLICE("gold") : FB_SLICE("tin"))}};
  fb_map map = {.len = 2, .cap = 2, .entries = entries};
  fb_error err;
  S_good(fb_session_assert(soak->session, FB_SLICE("customer"), &map,
                           &soak->customers[soak->customer_count++], &err),
         &err);
}

static void S_retract(S_soak *soak, fb_fact_id *ids, uint32_t *count) {
  fb_error err;
  uint32_t at = S_below(soak, *count);
  S_good(fb_session_retract(soak->session, ids[at], &err), &err);
  ids[at] = ids[--*count];
}

static void S_modify(S_soak *soak) {
  fb_value items[6];
  fb_list list;
  fb_error err;
  fb_entry entries[] = {{fb_string(FB_SLICE("state")), S_state(soak)},
                        {fb_string(FB_SLICE("tags")), S_tags(soak, &list, items)}};
  fb_map map = {.len = 1 + S_below(soak, 2), .cap = 2, .entries = entries};
  S_good(
      fb_session_modify(soak->session, soak->orders[S_below(soak, soak->order_count)], &map, &err),
      &err);
}

/* ── Rebirth ── */

static fb_status S_collect(void *context, fb_session *session, fb_fact_id id, fb_value fact) {
  S_soak *soak = context;
  (void)session;
  if (fb_slice_equal(fb_facts_type(fact.as.facts)->name, FB_SLICE("order")))
    soak->orders[soak->order_count++] = id;
  else
    soak->customers[soak->customer_count++] = id;
  return FB_OK;
}

/* Facts by place, so that the next steps do not depend on how they came to be. */
static void S_collect_ids(S_soak *soak) {
  soak->order_count = soak->customer_count = 0;
  fb_session_query(soak->session, FB_SLICE("order"), FB_SLICE(""), S_collect, soak, NULL);
  fb_session_query(soak->session, FB_SLICE("customer"), FB_SLICE(""), S_collect, soak, NULL);
}

static void S_restore(S_soak *soak, bool reload) {
  fb_buf bytes;
  fb_error err;
  fb_session *again;
  fb_ruleset *rules = reload ? S_read(soak) : soak->rules;
  fb_buf_init(&bytes, &soak->allocator, 0);
  S_good(fb_session_save(soak->session, &bytes, &err), &err);
  S_good(fb_session_restore(rules, &soak->options, &soak->allocator, fb_buf_slice(&bytes), reload,
                            &again, &err),
         &err);
  fb_buf_release(&bytes);
  fb_session_free(soak->session);
  soak->session = again;
  if (reload) {
    fb_ruleset_free(soak->rules);
    soak->rules = rules;
    S_collect_ids(soak);
  }
}

/* What goes on goes on; rules of which there is nothing in the other rulebook come and go. */
static void S_swap(S_soak *soak) {
  fb_error err;
  soak->changed = !soak->changed;
  fb_ruleset *rules = S_read(soak);
  S_good(fb_session_swap(soak->session, rules, &err), &err);
  fb_ruleset_free(soak->rules);
  soak->rules = rules;
}

static void S_step(S_soak *soak, uint64_t step) {
  fb_error err;
  S_good(fb_session_advance(soak->session, fb_timestamp(++soak->clock, 0), &err), &err);
  S_assert_ping(soak);
  switch (S_below(soak, 8)) {
    case 0:
      S_retract(soak, soak->customers, &soak->customer_count);
      S_assert_customer(soak);
      break;
    case 1:
    case 2:
    case 3:
      S_retract(soak, soak->orders, &soak->order_count);
      S_assert_order(soak);
      break;
    default: S_modify(soak);
  }
  if (step % FIRE_EVERY == 0) S_good(fb_session_fire(soak->session, NULL, &err), &err);
  if (step % SWAP_EVERY == 0) S_swap(soak);
  if (step % COMPACT_EVERY == 0) S_good(fb_session_compact(soak->session, &err), &err);
  if (!soak->reborn) return;
  if (step % RESTORE_EVERY == 0) S_restore(soak, false);
  if (step % RELOAD_EVERY == 0) S_restore(soak, true);
}

/* ── Measuring ── */

static size_t S_resident(void) {
  unsigned long size = 0, resident = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (!file) return 0;
  if (fscanf(file, "%lu %lu", &size, &resident) != 2) resident = 0;
  fclose(file);
  return (size_t)resident * (size_t)sysconf(_SC_PAGESIZE);
}

static double S_now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

typedef struct S_marks {
  size_t held, memory, resident; /* the most of a window */
} S_marks;

static void S_sample(S_soak *soak, S_marks *marks) {
  size_t memory = fb_session_statistics(soak->session).memory, resident = S_resident();
  if (soak->held > marks->held) marks->held = soak->held;
  if (memory > marks->memory) marks->memory = memory;
  if (resident > marks->resident) marks->resident = resident;
}

static void S_compare(const char *what, size_t before, size_t after) {
  print_message("# %s: %zu after the warm-up, %zu at the end (%+.2f %%)\n", what, before, after,
                100.0 * ((double)after / (double)before - 1));
  if (after > before + before / 100) fail_msg("%s has grown by more than 1 %%", what);
}

static void S_live(bool reborn, double part) {
  const char *time = getenv("SOAK_SECONDS"), *seed = getenv("FB_SOAK_SEED");
  double seconds = time ? strtod(time, NULL) * part : 0, start = S_now(), done = 0;
  S_soak *soak = calloc(1, sizeof *soak);
  soak->allocator = (fb_allocator){S_resize, soak};
  soak->reborn = reborn;
  fb_random_seed(&soak->random, seed ? strtoull(seed, NULL, 10) : 1);
  soak->options =
      (fb_session_options){.output = {.decision = S_decision, .error = S_fail, .context = soak}};
  soak->rules = S_read(soak);
  assert_int_equal(fb_session_new(soak->rules, &soak->options, &soak->allocator, &soak->session),
                   FB_OK);
  while (soak->customer_count < CUSTOMERS) S_assert_customer(soak);
  while (soak->order_count < ORDERS) S_assert_order(soak);
  S_marks warm = {0}, end = {0}, *marks = NULL;
  uint64_t step = 1;
  for (; done < 1; step++) {
    S_step(soak, step);
    if (step % SAMPLE_EVERY) continue;
    done = seconds > 0 ? (S_now() - start) / seconds : (double)step / STEPS;
    /* The second quarter against the last. */
    marks = done < 0.25 ? NULL : done < 0.5 ? &warm : done < 0.75 ? NULL : &end;
    if (marks) S_sample(soak, marks);
  }
  print_message("# %llu steps, %llu decisions, %.0f s\n", (unsigned long long)step,
                (unsigned long long)soak->decisions, S_now() - start);
  assert_true(soak->decisions > 100);
  S_compare("memory of the session", warm.memory, end.memory);
  S_compare("memory of all", warm.held, end.held);
  if (seconds >= RSS_SECONDS) S_compare("resident set", warm.resident, end.resident);
  fb_session_free(soak->session);
  fb_ruleset_free(soak->rules);
  assert_int_equal(soak->memory.live, 0);
  free(soak);
}

static void test_memory_of_a_held_session_stays_flat(void **state) {
  (void)state;
  S_live(false, 0.5);
}

static void test_memory_of_sessions_moved_and_restored_stays_flat(void **state) {
  (void)state;
  S_live(true, 0.5);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_memory_of_a_held_session_stays_flat),
      cmocka_unit_test(test_memory_of_sessions_moved_and_restored_stays_flat)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
