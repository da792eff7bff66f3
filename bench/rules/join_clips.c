/* SPDX-License-Identifier: Apache-2.0
 * The same rules on CLIPS 6.30 as packaged. Equal facts are two facts here too. */
#include "join.h"

#include <clips/clips.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double S_processor_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void S_put(void *env, void *fact, const char *slot, int type, void *value) {
  DATA_OBJECT data;
  SetType(data, type);
  SetValue(data, value);
  EnvPutFactSlot(env, fact, slot, &data);
}

static void S_assert(void *env, const bench_fact *fact) {
  void *made = EnvCreateFact(env, EnvFindDeftemplate(env, fact->type));
  for (int i = 0; i < BENCH_FIELDS && fact->names[i]; i++)
    if (!i && fact->text)
      S_put(env, made, fact->names[i], SYMBOL, EnvAddSymbol(env, fact->text));
    else
      S_put(env, made, fact->names[i], INTEGER, EnvAddLong(env, fact->values[i]));
  if (EnvAssert(env, made)) return;
  fprintf(stderr, "CLIPS refused a %s\n", fact->type);
  exit(1);
}

bench_join_result bench_clips_join(const bench_join *join, const bench_facts *facts) {
  bench_join_result result = {0};
  void *env = CreateEnvironment();
  for (const char *const *at = join->clips; *at; at++)
    if (!EnvBuild(env, *at)) {
      fprintf(stderr, "CLIPS refused: %s\n", *at);
      exit(1);
    }
  EnvReset(env);
  EnvSetFactDuplication(env, TRUE);
  double start = S_processor_seconds();
  for (size_t i = 0; i < facts->count; i++) S_assert(env, &facts->items[i]);
  result.firings = (uint64_t)EnvRun(env, -1);
  result.seconds = S_processor_seconds() - start;
  DestroyEnvironment(env);
  return result;
}
