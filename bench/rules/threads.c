/* SPDX-License-Identifier: Apache-2.0
 * Threads: orders joined with customers along a key, with chaining and a `not`, as one session, as one part, and as two parts worked by
 * two threads. Facts are handed in as records; all decisions are counted. Prints two JSON lines:
 *
 *   threads-wall   wall time of one part by that of two; "not measured" unless the two threads did run at once (`parallel`:
 *                  processor time for each unit of wall time)
 *   threads-work   processor time of one session by that of the longest chain of work in two parts: of each round of tasks the
 *                  longest, and all that is done between them. It needs no second core, and tells what one would give
 */
#include <flyball/rules.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { CUSTOMERS = 50000, ORDERS_OF_EACH = 6, MAX_ROUNDS = 15 };

static const char S_book[] =
    "facts:\n"
    "  order: {id: int, customer: int, amount: int}\n"
    "  customer: {id: int, tier: string}\n"
    "  review: {order: int, customer: int}\n"
    "rules:\n"
    "- name: big order from a bronze customer\n"
    "  when:\n"
    "  - {order as o: 'o.amount > 50'}\n"
    "  - {customer as c: 'c.id == o.customer && c.tier == \"bronze\"'}\n"
    "  - {not review as r: 'r.customer == o.customer && r.order == o.id'}\n"
    "  then:\n"
    "  - {assert: review, with: {order: '${{ o.id }}', customer: '${{ o.customer }}'}}\n"
    "  - {emit: hold, with: {order: '${{ o.id }}', amount: '${{ o.amount }}'}}\n"
    "- name: two reviews\n"
    "  when:\n"
    "  - review as r\n"
    "  - {review as s: 's.customer == r.customer && s.order < r.order'}\n"
    "  then:\n"
    "  - {emit: suspicious, with: {customer: '${{ r.customer }}', a: '${{ r.order }}', b: '${{ "
    "s.order }}'}}\n";

static void S_die(const char *what) {
  fprintf(stderr, "%s failed\n", what);
  exit(1);
}

static double S_seconds(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int S_compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static double S_median(double *numbers, int count) {
  qsort(numbers, (size_t)count, sizeof *numbers, S_compare);
  return numbers[count / 2];
}

static fb_status S_decision(void *context, fb_session *session, const fb_decision *decision) {
  (void)session;
  (void)decision;
  ++*(uint64_t *)context;
  return FB_OK;
}

/* ── Facts ── */

typedef struct S_tables {
  fb_facts *orders, *customers;
} S_tables;

static void S_set(fb_facts *facts, uint32_t row, uint32_t field, fb_value value) {
  if (fb_facts_set(facts, row, field, value, NULL) != FB_OK) S_die("fb_facts_set");
}

static S_tables S_make(fb_schema *schema) {
  S_tables tables;
  uint32_t row;
  fb_random random;
  fb_random_seed(&random, 1);
  if (fb_facts_new(NULL, schema, fb_schema_find(schema, FB_SLICE("order")), &tables.orders) ||
      fb_facts_new(NULL, schema, fb_schema_find(schema, FB_SLICE("customer")), &tables.customers))
    S_die("fb_facts_new");
  for (int64_t i = 0; i < CUSTOMERS; i++) {
    if (fb_facts_add(tables.customers, &row) != FB_OK) S_die("fb_facts_add");
    S_set(tables.customers, row, 0, fb_int(i));
    S_set(tables.customers, row, 1, fb_string(i % 3 ? FB_SLICE("gold") : FB_SLICE("bronze")));
  }
  for (int64_t i = 0; i < CUSTOMERS * ORDERS_OF_EACH; i++) {
    if (fb_facts_add(tables.orders, &row) != FB_OK) S_die("fb_facts_add");
    S_set(tables.orders, row, 0, fb_int(i));
    S_set(tables.orders, row, 1, fb_int((int64_t)fb_random_below(&random, CUSTOMERS)));
    S_set(tables.orders, row, 2, fb_int((int64_t)fb_random_below(&random, 100)));
  }
  return tables;
}

/* ── Runs ── */

typedef struct S_run {
  double wall, processor;
  double spared; /* processor time of tasks that were not the longest of their round */
  uint64_t decisions, firings;
} S_run;

static S_run S_session(const fb_ruleset *rules) {
  S_run run = {0};
  fb_session *session;
  fb_session_options options = {.output = {.decision = S_decision, .context = &run.decisions}};
  if (fb_session_new(rules, &options, NULL, &session) != FB_OK) S_die("fb_session_new");
  S_tables tables = S_make(fb_session_schema(session));
  double wall = S_seconds(CLOCK_MONOTONIC), processor = S_seconds(CLOCK_PROCESS_CPUTIME_ID);
  if (fb_session_assert_rows(session, tables.customers, 0, CUSTOMERS, NULL, NULL, NULL) ||
      fb_session_assert_rows(session, tables.orders, 0, CUSTOMERS * ORDERS_OF_EACH, NULL, NULL,
                             NULL) ||
      fb_session_fire(session, &run.firings, NULL))
    S_die("the session");
  run.wall = S_seconds(CLOCK_MONOTONIC) - wall;
  run.processor = S_seconds(CLOCK_PROCESS_CPUTIME_ID) - processor;
  fb_facts_free(tables.customers);
  fb_facts_free(tables.orders);
  fb_session_free(session);
  return run;
}

/* One task after the other, and how much of it two threads would have spared. */
static void S_one_by_one(void *context, fb_task *task, void *argument, uint32_t count) {
  double all = 0, longest = 0;
  for (uint32_t i = 0; i < count; i++) {
    double start = S_seconds(CLOCK_PROCESS_CPUTIME_ID);
    task(argument, i);
    double took = S_seconds(CLOCK_PROCESS_CPUTIME_ID) - start;
    all += took;
    if (took > longest) longest = took;
  }
  ((S_run *)context)->spared += all - longest;
}

static S_run S_parts(const fb_ruleset *rules, uint32_t parts, fb_team *team) {
  S_run run = {0};
  fb_partition *group;
  fb_error err;
  fb_partition_options options = {
      .session = {.output = {.decision = S_decision, .context = &run.decisions}},
      .parts = parts,
      .run = team ? fb_team_run : S_one_by_one,
      .run_context = team ? (void *)team : &run};
  if (fb_partition_new(rules, &options, NULL, &group, &err) != FB_OK) S_die(err.text);
  S_tables tables = S_make(fb_partition_schema(group));
  double wall = S_seconds(CLOCK_MONOTONIC), processor = S_seconds(CLOCK_PROCESS_CPUTIME_ID);
  if (fb_partition_assert_rows(group, tables.customers, 0, CUSTOMERS, NULL, NULL) ||
      fb_partition_assert_rows(group, tables.orders, 0, CUSTOMERS * ORDERS_OF_EACH, NULL, NULL) ||
      fb_partition_fire(group, &run.firings, NULL))
    S_die("the partition");
  run.wall = S_seconds(CLOCK_MONOTONIC) - wall;
  run.processor = S_seconds(CLOCK_PROCESS_CPUTIME_ID) - processor;
  fb_facts_free(tables.customers);
  fb_facts_free(tables.orders);
  fb_partition_free(group);
  return run;
}

static void S_print(const char *workload, bool measured, double ours, double before,
                    const S_run *run, double parallel, bool same) {
  double ratio = before / ours;
  printf(
      "{\"bench\":\"rules.threads\",\"workload\":\"%s\",\"ours\":%.6f,\"peer\":%.6f,\"peer_name\":"
      "\"one thread\",\"unit\":\"s\",\"ratio\":%.2f,\"reach\":1.8,\"verdict\":\"%s\","
      "\"parallel\":%.2f,\"firings\":%llu,\"same_work\":%s}\n",
      workload, ours, before, ratio,
      !measured || !same ? "not measured"
      : ratio >= 1.8     ? "met"
                         : "missed",
      parallel, (unsigned long long)run->firings, same ? "true" : "false");
}

int main(int argc, char **argv) {
  int rounds = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 5;
  if (rounds < 1 || rounds > MAX_ROUNDS) rounds = 5;
  fb_errors errors;
  fb_ruleset *rules = NULL;
  fb_team *team;
  fb_errors_init(&errors, NULL, 0);
  if (fb_ruleset_read(FB_SLICE(S_book), "threads.yaml", NULL, &rules, &errors, NULL) != FB_OK)
    S_die(errors.items[0].text);
  if (fb_team_new(2, NULL, &team) != FB_OK) S_die("fb_team_new");
  double session[MAX_ROUNDS], chain[MAX_ROUNDS], one[MAX_ROUNDS], two[MAX_ROUNDS],
      parallel[MAX_ROUNDS];
  S_run a = {0}, b = {0}, c = {0}, d = {0};
  bool same = true;
  for (int i = 0; i < rounds; i++) {
    a = S_session(rules);
    b = S_parts(rules, 2, NULL);
    c = S_parts(rules, 1, NULL);
    d = S_parts(rules, 2, team);
    session[i] = a.processor;
    chain[i] = b.processor - b.spared;
    one[i] = c.wall;
    two[i] = d.wall;
    parallel[i] = d.processor / d.wall;
    same = same && a.firings == b.firings && a.firings == c.firings && a.firings == d.firings &&
           a.decisions == b.decisions && a.decisions == c.decisions && a.decisions == d.decisions;
  }
  double together = S_median(parallel, rounds);
  S_print("threads-wall", together > 1.2, S_median(two, rounds), S_median(one, rounds), &d,
          together, same);
  S_print("threads-work", true, S_median(chain, rounds), S_median(session, rounds), &b, 1, same);
  fb_team_free(team);
  fb_ruleset_free(rules);
  fb_errors_release(&errors);
  return same ? 0 : 1;
}
