/* SPDX-License-Identifier: Apache-2.0
 *
 * Aggregates, windows and elements, each beside a loop that is written by hand for just this: the floor of what has to be done. Both
 * count the same, which is compared. A JSON line a workload: bench-rules-aggregate FACTS ROUNDS.
 */
#include <flyball/rules.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS_MAX = 15, GROUPS = 1000, BATCH = 4096, SPAN = 60, PER_SECOND = 100 };

typedef struct S_told {
  uint64_t decisions;
  double sum;
} S_told;

static double S_now(void) {
  struct timespec at;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at);
  return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static void S_must(fb_status status, const char *what) {
  if (status == FB_OK) return;
  fprintf(stderr, "%s: FB%04d\n", what, (int)status);
  exit(1);
}

static fb_status S_decision(void *context, fb_session *session, const fb_decision *decision) {
  S_told *told = context;
  (void)session;
  fb_value value = decision->fields->entries[0].value;
  told->decisions++;
  told->sum += value.kind == FB_INT ? (double)value.as.i : value.as.d;
  return FB_OK;
}

static int S_by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

/* ── Facts: key, amount, time ── */

static int64_t S_key(uint64_t i) {
  return (int64_t)(i * 2654435761u % GROUPS);
}
static int64_t S_amount(uint64_t i) {
  return (int64_t)(i * 40503u % 1000);
}

static fb_facts *S_make_facts(fb_session *session, uint64_t count, bool lists) {
  fb_fact_type *type;
  fb_facts *facts;
  static const char *const names[] = {"k", "x", "at"};
  uint32_t fields[3], row, list_field;
  fb_schema *schema = fb_session_schema(session);
  S_must(fb_schema_open(schema, FB_SLICE("p"), &type), "type");
  for (int f = 0; f < 3; f++)
    S_must(fb_fact_type_learn(schema, type, fb_slice_of(names[f]), &fields[f]), "field");
  S_must(fb_fact_type_learn(schema, type, FB_SLICE("l"), &list_field), "field");
  S_must(fb_facts_new(NULL, schema, type, &facts), "table");
  for (uint64_t i = 0; i < count; i++) {
    S_must(fb_facts_add(facts, &row), "row");
    S_must(fb_facts_set(facts, row, fields[0], fb_int(S_key(i)), NULL), "cell");
    S_must(fb_facts_set(facts, row, fields[1], fb_int(S_amount(i)), NULL), "cell");
    S_must(fb_facts_set(facts, row, fields[2], fb_int((int64_t)(i / PER_SECOND)), NULL), "cell");
    fb_value items[4] = {fb_int(S_key(i)), fb_int(S_amount(i)), fb_int(3), fb_int(4)};
    fb_list list = {.len = 4, .cap = 4, .items = items};
    if (lists) S_must(fb_facts_set(facts, row, list_field, fb_list_value(&list), NULL), "cell");
  }
  return facts;
}

/* ── Workloads ── */

typedef struct S_workload {
  const char *name, *rule; /* rule: what stands in `when`, and `then` */
  bool windows, lists;
  double (*by_hand)(uint64_t count,
                    S_told *told); /* returns something, so that nothing is left out */
} S_workload;

static double S_sums_by_hand(uint64_t count, S_told *told) {
  static int64_t counts[GROUPS], sums[GROUPS];
  memset(counts, 0, sizeof counts);
  memset(sums, 0, sizeof sums);
  for (uint64_t i = 0; i < count; i++) {
    counts[S_key(i)]++;
    sums[S_key(i)] += S_amount(i);
  }
  for (int g = 0; g < GROUPS; g++) {
    if (!counts[g]) continue;
    told->decisions++;
    told->sum += (double)sums[g];
  }
  return told->sum;
}

/* What falls out of the window is taken away; each second a group whose sum has changed is told. */
static double S_window_by_hand(uint64_t count, S_told *told) {
  static int64_t sums[GROUPS], members[GROUPS];
  static int64_t before[GROUPS]; /* -1: there was no such group */
  static bool changed[GROUPS];
  memset(sums, 0, sizeof sums);
  memset(members, 0, sizeof members);
  memset(before, 0xff, sizeof before);
  uint64_t first = 0;
  for (uint64_t second = 0; second * PER_SECOND < count; second++) {
    memset(changed, 0, sizeof changed);
    for (; first / PER_SECOND + SPAN <= second; first++) {
      sums[S_key(first)] -= S_amount(first);
      members[S_key(first)]--;
      changed[S_key(first)] = true;
    }
    for (uint64_t i = second * PER_SECOND; i < (second + 1) * PER_SECOND && i < count; i++) {
      sums[S_key(i)] += S_amount(i);
      members[S_key(i)]++;
      changed[S_key(i)] = true;
    }
    for (int g = 0; g < GROUPS; g++) {
      int64_t was = before[g];
      if (!changed[g]) continue;
      before[g] = members[g] ? sums[g] : -1;
      if (was == before[g] || sums[g] <= 4000) continue;
      told->decisions++;
      told->sum += (double)sums[g];
    }
  }
  return told->sum;
}

static double S_elements_by_hand(uint64_t count, S_told *told) {
  for (uint64_t i = 0; i < count; i++) {
    int64_t items[4] = {S_key(i), S_amount(i), 3, 4};
    for (int e = 0; e < 4; e++) {
      if (items[e] <= 900) continue;
      told->decisions++;
      told->sum += (double)items[e];
    }
  }
  return told->sum;
}

static const S_workload S_workloads[] = {
    {"groups",
     "      - count() as n, sum(p.x) as total by p.k as k of p as p\n"
     "    then: [{emit: r, with: {total: \"${{ total }}\", n: \"${{ n }}\"}}]\n",
     false, false, S_sums_by_hand},
    {"sliding",
     "      - sum(p.x) as total by p.k as k of p as p within 60s\n"
     "      - test: total > 4000\n"
     "    then: [{emit: r, with: {total: \"${{ total }}\"}}]\n",
     true, false, S_window_by_hand},
    {"elements",
     "      - p as p\n"
     "      - e as e in p.l: e > 900\n"
     "    then: [{emit: r, with: {e: \"${{ e }}\"}}]\n",
     false, true, S_elements_by_hand},
};

/* Clock, facts of a second, firing: as a driver with a stream does. */
static void S_feed(fb_session *session, const fb_facts *facts, uint32_t count, bool windows) {
  uint32_t step = windows ? PER_SECOND : BATCH;
  fb_error err;
  for (uint32_t at = 0; at < count; at += step) {
    uint32_t rows = count - at < step ? count - at : step;
    if (windows)
      S_must(fb_session_advance(session, fb_timestamp(at / PER_SECOND, 0), &err), err.text);
    S_must(fb_session_assert_rows(session, facts, at, rows, NULL, NULL, &err), err.text);
    if (windows) S_must(fb_session_fire(session, NULL, &err), err.text);
  }
  S_must(fb_session_fire(session, NULL, &err), err.text);
}

static double S_run(const fb_ruleset *rules, const S_workload *workload, uint64_t count,
                    S_told *told, uint64_t *memory) {
  fb_session_options options = {.max_firings = UINT64_MAX,
                                .output = {.decision = S_decision, .context = told}};
  fb_session *session;
  S_must(fb_session_new(rules, &options, NULL, &session), "session");
  fb_facts *facts = S_make_facts(session, count, workload->lists);
  double start = S_now();
  S_feed(session, facts, (uint32_t)count, workload->windows);
  double seconds = S_now() - start;
  *memory = fb_session_statistics(session).memory;
  fb_facts_free(facts);
  fb_session_free(session);
  return seconds;
}

static void S_measure(const S_workload *workload, uint64_t count, int rounds) {
  char book[1000];
  fb_ruleset *rules;
  fb_errors errors;
  fb_errors_init(&errors, NULL, 0);
  int len = snprintf(book, sizeof book, "%srules:\n  - name: r\n    when:\n%s",
                     workload->windows ? "expires: {p: 61s}\n" : "", workload->rule);
  fb_status status =
      fb_ruleset_read((fb_slice){book, (size_t)len}, "bench.yaml", NULL, &rules, &errors, NULL);
  S_must(status, errors.count ? errors.items[0].text : "rulebook");
  fb_errors_release(&errors);
  double ours[ROUNDS_MAX], hand[ROUNDS_MAX], ratios[ROUNDS_MAX];
  S_told told = {0}, floor = {0};
  uint64_t memory = 0;
  for (int i = 0; i < rounds; i++) {
    told = floor = (S_told){0};
    ours[i] = S_run(rules, workload, count, &told, &memory);
    double start = S_now();
    volatile double kept = workload->by_hand(count, &floor);
    (void)kept;
    hand[i] = S_now() - start;
    ratios[i] = ours[i] / hand[i];
  }
  qsort(ours, (size_t)rounds, sizeof *ours, S_by_value);
  qsort(hand, (size_t)rounds, sizeof *hand, S_by_value);
  qsort(ratios, (size_t)rounds, sizeof *ratios, S_by_value);
  bool same = told.decisions == floor.decisions && told.sum == floor.sum;
  printf(
      "{\"bench\":\"rules.aggregate\",\"workload\":\"%s\",\"facts\":%llu,\"seconds\":%.6g,"
      "\"facts_per_second\":%.6g,\"by_hand\":%.6g,\"ratio\":%.3g,\"decisions\":%llu,\"memory\":%"
      "llu,\"same_work\":%s}\n",
      workload->name, (unsigned long long)count, ours[rounds / 2], (double)count / ours[rounds / 2],
      hand[rounds / 2], ratios[rounds / 2], (unsigned long long)told.decisions,
      (unsigned long long)memory, same ? "true" : "false");
  fflush(stdout);
  fb_ruleset_free(rules);
}

int main(int argc, char **argv) {
  uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
  long rounds = argc > 2 ? strtol(argv[2], NULL, 10) : 3;
  if (!count || count > 100000000 || rounds < 1 || rounds > ROUNDS_MAX) {
    fprintf(stderr, "usage: bench-rules-aggregate FACTS ROUNDS (1 to %d)\n", ROUNDS_MAX);
    return 2;
  }
  for (size_t i = 0; i < sizeof S_workloads / sizeof *S_workloads; i++)
    S_measure(&S_workloads[i], count, (int)rounds);
  return 0;
}
