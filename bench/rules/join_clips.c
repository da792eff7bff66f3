/* SPDX-License-Identifier: Apache-2.0
 * The same rules on CLIPS 6.30 as packaged. Equal facts are two facts here too. */
#include "join.h"

#include <clips/clips.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char *const S_manners[] = {
    "(deftemplate phase (slot is))",
    "(deftemplate table (slot seats))",
    "(deftemplate guest (slot name) (slot sex) (slot hobby))",
    "(deftemplate next-id (slot value))",
    "(deftemplate seating (slot id) (slot from) (slot left) (slot right) (slot seat) (slot done))",
    "(deftemplate path (slot seating) (slot guest) (slot seat))",
    "(deftemplate tried (slot seating) (slot guest) (slot hobby))",
    "(defrule first-seat ?p <- (phase (is start)) (guest (name ?g)) => "
    "(assert (seating (id 1) (from 0) (left ?g) (right ?g) (seat 1) (done yes))) "
    "(assert (path (seating 1) (guest ?g) (seat 1))) (assert (next-id (value 2))) (modify ?p (is "
    "seat)))",
    "(defrule seat-neighbour ?p <- (phase (is seat)) (seating (id ?s) (right ?r) (seat ?n) (done "
    "yes)) "
    "(guest (name ?r) (sex ?sex) (hobby ?h)) (guest (name ?g) (sex ~?sex) (hobby ?h)) ?c <- "
    "(next-id (value ?id)) "
    "(not (path (seating ?s) (guest ?g))) (not (tried (seating ?s) (guest ?g) (hobby ?h))) => "
    "(assert (seating (id ?id) (from ?s) (left ?r) (right ?g) (seat (+ ?n 1)) (done no))) "
    "(assert (path (seating ?id) (guest ?g) (seat (+ ?n 1)))) (assert (tried (seating ?s) (guest "
    "?g) (hobby ?h))) "
    "(modify ?c (value (+ ?id 1))) (modify ?p (is copy)))",
    "(defrule copy-path (declare (salience 10)) (phase (is copy)) (seating (id ?s) (from ?f) (done "
    "no)) "
    "(path (seating ?f) (guest ?g) (seat ?n)) (not (path (seating ?s) (guest ?g))) => "
    "(assert (path (seating ?s) (guest ?g) (seat ?n))))",
    "(defrule path-complete ?p <- (phase (is copy)) ?s <- (seating (done no)) => "
    "(modify ?s (done yes)) (modify ?p (is check)))",
    "(defrule all-seated (declare (salience 10)) ?p <- (phase (is check)) (table (seats ?n)) "
    "(seating (seat ?n)) "
    "?c <- (next-id) => (modify ?c (value 1)) (modify ?p (is print)))",
    "(defrule keep-seating ?p <- (phase (is check)) => (modify ?p (is seat)))",
    "(defrule print-seat (phase (is print)) (table (seats ?n)) (seating (id ?s) (seat ?n)) ?c <- "
    "(next-id (value ?i)) "
    "(path (seating ?s) (guest ?g) (seat ?i)) => (modify ?c (value (+ ?i 1))))",
    "(defrule finished (declare (salience -10)) ?p <- (phase (is print)) (table (seats ?n)) "
    "(next-id (value ?i&:(> ?i ?n))) => (retract ?p))",
    NULL};

static const char *const S_closure[] = {
    "(deftemplate edge (slot a) (slot b))", "(deftemplate reach (slot a) (slot b))",
    "(defrule base (edge (a ?a) (b ?b)) => (assert (reach (a ?a) (b ?b))))",
    "(defrule step (reach (a ?a) (b ?b)) (edge (a ?b) (b ?c)) => (assert (reach (a ?a) (b ?c))))",
    NULL};

static void S_assert(void *env, const char *text) {
  if (EnvAssertString(env, text)) return;
  fprintf(stderr, "CLIPS refused: %s\n", text);
  exit(1);
}

static double S_processor_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

bench_join_result bench_clips_join(const bench_guests *guests, int nodes) {
  char text[200];
  bench_join_result result = {0};
  void *env = CreateEnvironment();
  for (const char *const *at = guests ? S_manners : S_closure; *at; at++)
    if (!EnvBuild(env, *at)) {
      fprintf(stderr, "CLIPS refused: %s\n", *at);
      exit(1);
    }
  EnvReset(env);
  EnvSetFactDuplication(env, TRUE);
  double start = S_processor_seconds();
  for (size_t i = 0; guests && i < guests->count; i++) {
    const bench_guest *g = &guests->items[i];
    snprintf(text, sizeof text, "(guest (name %d) (sex %c) (hobby %d))", g->name,
             g->sex ? 'f' : 'm', g->hobby);
    S_assert(env, text);
  }
  for (int v = 0; !guests && v < nodes - 1; v++) {
    if (v % 50 == 49) continue;
    snprintf(text, sizeof text, "(edge (a %d) (b %d))", v, v + 1);
    S_assert(env, text);
  }
  if (guests) {
    snprintf(text, sizeof text, "(table (seats %d))", guests->seats);
    S_assert(env, text);
    S_assert(env, "(phase (is start))");
  }
  result.firings = (uint64_t)EnvRun(env, -1);
  result.seconds = S_processor_seconds() - start;
  DestroyEnvironment(env);
  return result;
}
