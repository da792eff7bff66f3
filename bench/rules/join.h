/* SPDX-License-Identifier: Apache-2.0
 * What both engines are given. */
#ifndef FB_BENCH_JOIN_H
#define FB_BENCH_JOIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BENCH_FIELDS = 5 };

typedef struct bench_fact {
  const char *type;
  const char *names[BENCH_FIELDS]; /* NULL behind the last */
  long long values[BENCH_FIELDS];
  const char *text; /* NULL, or the value of the first field */
} bench_fact;

typedef struct bench_facts {
  bench_fact *items;
  size_t count, cap;
} bench_facts;

/* The same rules in both languages, the facts of a size, and how often rules fire, told without an engine. */
typedef struct bench_join {
  const char *name;
  int size;
  double reach;
  const char *rules;
  const char *const *clips; /* constructs, NULL behind the last */
  uint64_t (*make)(bench_facts *facts, int size);
} bench_join;

/* join_rules.c */
extern const bench_join bench_joins[];
extern const size_t bench_join_count;

typedef struct bench_join_result {
  double seconds; /* processor time of assert and fire */
  uint64_t firings;
} bench_join_result;

#ifdef HAVE_CLIPS
bench_join_result bench_clips_join(const bench_join *join, const bench_facts *facts);
#endif

#endif
