/* SPDX-License-Identifier: Apache-2.0
 * Rules that work by joins (join_rules.c). Beside CLIPS, in turns, in one process, with the same rules in both languages. Prints a JSON
 * line a workload. */
#include "join.h"

#include <flyball/rules.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double S_processor_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ── Flyball ── */

static void S_must(fb_status status, const fb_error *err) {
  if (status == FB_OK) return;
  fprintf(stderr, "failed: FB%04d %s\n", (int)status, err ? err->text : "");
  exit(1);
}

static void S_assert(fb_session *session, const bench_fact *fact) {
  fb_error err;
  fb_entry entries[BENCH_FIELDS];
  fb_map map = {.cap = BENCH_FIELDS, .entries = entries};
  for (int i = 0; i < BENCH_FIELDS && fact->names[i]; i++)
    entries[map.len++] =
        (fb_entry){fb_string(fb_slice_of(fact->names[i])),
                   !i && fact->text ? fb_string(fb_slice_of(fact->text)) : fb_int(fact->values[i])};
  S_must(fb_session_assert(session, fb_slice_of(fact->type), &map, NULL, &err), &err);
}

static bench_join_result S_flyball(const bench_join *join, const bench_facts *facts) {
  fb_ruleset *rules;
  fb_session *session;
  fb_errors errors;
  fb_error err;
  fb_errors_init(&errors, NULL, 0);
  fb_status status =
      fb_ruleset_read(fb_slice_of(join->rules), "bench.yaml", NULL, &rules, &errors, NULL);
  S_must(status, errors.items);
  S_must(fb_session_new(rules, NULL, NULL, &session), NULL);
  bench_join_result result = {0};
  double start = S_processor_seconds();
  for (size_t i = 0; i < facts->count; i++) S_assert(session, &facts->items[i]);
  S_must(fb_session_fire(session, &result.firings, &err), &err);
  result.seconds = S_processor_seconds() - start;
  fb_session_free(session);
  fb_ruleset_free(rules);
  fb_errors_release(&errors);
  return result;
}

/* ── Side by side ── */

static int S_by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static double S_median(double *items, int count) {
  qsort(items, (size_t)count, sizeof *items, S_by_value);
  return items[count / 2];
}

static void S_run(const bench_join *join, int rounds, bool alone) {
  bench_facts facts = {0};
  uint64_t expected = join->make(&facts, join->size);
  double ours[9], peers[9], ratios[9];
  bool same = true, measured = false;
  for (int i = 0; i < rounds; i++) {
    bench_join_result a = S_flyball(join, &facts), b = {0};
#ifdef HAVE_CLIPS
    if (!alone) b = bench_clips_join(join, &facts);
    measured = !alone;
#endif
    ours[i] = a.seconds;
    peers[i] = b.seconds;
    ratios[i] = b.seconds / a.seconds;
    same = same && a.firings == expected && (!measured || b.firings == expected);
  }
  double ratio = S_median(ratios, rounds);
  printf("{\"bench\":\"rules.join\",\"workload\":\"%s %d\",\"ours\":%.6f,", join->name, join->size,
         S_median(ours, rounds));
  if (measured)
    printf("\"peer\":%.6f,", S_median(peers, rounds));
  else
    printf("\"peer\":null,");
  printf("\"peer_name\":\"CLIPS 6.30 (as packaged)\",\"unit\":\"s\",");
  if (measured)
    printf("\"ratio\":%.2f,", ratio);
  else
    printf("\"ratio\":null,");
  printf("\"reach\":%.0f,\"verdict\":\"%s\",\"firings\":%llu,\"same_work\":%s}\n", join->reach,
         !measured || !same     ? "not measured"
         : ratio >= join->reach ? "met"
                                : "missed",
         (unsigned long long)expected, same ? "true" : "false");
  fflush(stdout);
  free(facts.items);
}

/* bench-rules-join [ROUNDS [WORKLOAD [alone]]] */
int main(int argc, char **argv) {
  int rounds = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 3;
  if (rounds < 1 || rounds > 9) return 2;
  for (size_t i = 0; i < bench_join_count; i++)
    if (argc < 3 || !strcmp(argv[2], bench_joins[i].name)) S_run(&bench_joins[i], rounds, argc > 3);
  return 0;
}
