/* SPDX-License-Identifier: Apache-2.0
 * Runs candidates in turns, and keeps what each run took. */
#include <flyball/proof.h>

#include <stdlib.h>

enum { MIN_RUNS = 10, MAX_RUNS = 2000 };
#define MIN_TIME INT64_C(3000000000)

/* One candidate while it is measured. */
typedef struct S_side {
  double spent;    /* seconds of its runs, with all that belongs to them */
  size_t spent_of; /* how many those were */
  size_t wanted;   /* runs in all; 0: not known yet */
  size_t cap;      /* of readings */
} S_side;

typedef struct S_work {
  const fb_candidate *candidates;
  fb_bench_options options;
  fb_bench *bench;
  S_side *sides;
  uint32_t *turns; /* of one round */
  size_t turn_cap;
  int64_t start;
  bool any; /* something was run */
} S_work;

static int64_t S_now(const S_work *work) {
  return work->options.clock->mono(work->options.clock->context);
}

static bool S_ended(S_work *work) {
  if (!work->bench->ended && work->options.ended)
    work->bench->ended = work->options.ended(work->options.context);
  return work->bench->ended;
}

/* ── Progress ────────────────────────────────────────────────────────────────────────────────── */

static void S_progress(S_work *work, const char *name, bool warmup) {
  if (!work->options.progress) return;
  fb_bench_progress now = {.name = name, .warmup = warmup, .elapsed = S_now(work) - work->start};
  double left = 0;
  bool known = true;
  for (size_t i = 0; i < work->bench->count; i++) {
    const S_side *side = &work->sides[i];
    size_t done = work->bench->sides[i].count;
    now.done += done;
    now.wanted += side->wanted;
    if (!side->wanted || !side->spent_of)
      known = false;
    else if (side->wanted > done)
      left += side->spent / (double)side->spent_of * (double)(side->wanted - done);
  }
  now.expected = known ? now.elapsed + (int64_t)(left * 1e9) : -1;
  if (known && work->options.max_time && now.expected > work->options.max_time)
    now.expected = work->options.max_time;
  work->options.progress(work->options.context, &now);
}

/* ── One run ─────────────────────────────────────────────────────────────────────────────────── */

static fb_status S_failed(const fb_candidate *candidate, fb_status status, fb_error *err) {
  fb_error_prefix(err, "%s", candidate->name);
  return status;
}

static fb_status S_run_once(S_work *work, size_t number, fb_reading *ret, fb_error *err) {
  const fb_candidate *candidate = &work->candidates[number];
  S_side *side = &work->sides[number];
  int64_t before = S_now(work);
  bool first = side->spent_of == 0;
  *ret = (fb_reading){0};
  fb_status status = candidate->run(candidate->context, first, ret, err);
  if (status) return S_failed(candidate, status, err);
  /* The first run is slower than the others as a rule: forget it as an estimate once there is a second. */
  double seconds = 1e-9 * (double)(S_now(work) - before);
  if (side->spent_of == 1 && side->spent > seconds) side->spent = seconds;
  side->spent += seconds;
  side->spent_of++;
  return FB_OK;
}

static fb_status S_measure(S_work *work, size_t number, fb_error *err) {
  fb_bench_side *side = &work->bench->sides[number];
  fb_reading reading;
  S_progress(work, side->name, false);
  fb_status status = S_run_once(work, number, &reading, err);
  if (S_ended(work)) return FB_OK; /* the signal may have reached the program too */
  if (status) return status;
  if (!fb_grow(work->bench->allocator, (void **)&side->readings, &work->sides[number].cap,
               side->count, sizeof *side->readings))
    return fb_fail(err, FB_E_NOMEM, "out of memory");
  side->readings[side->count++] = reading;
  return FB_OK;
}

/* ── How often ───────────────────────────────────────────────────────────────────────────────── */

static size_t S_runs_of(const S_work *work, const S_side *side) {
  const fb_bench_options *o = &work->options;
  if (o->runs) return o->runs;
  double one = side->spent / (double)side->spent_of, time = 1e-9 * (double)o->min_time;
  double runs = one > 0 ? time / one + 1 : o->max_runs;
  if (runs < o->min_runs) return o->min_runs;
  return runs > o->max_runs ? o->max_runs : (size_t)runs;
}

/* All that take about as long get the same number of runs, so that they can be compared in pairs. */
static void S_plan(S_work *work) {
  size_t least = SIZE_MAX, most = 0;
  for (size_t i = 0; i < work->bench->count; i++) {
    size_t wanted = work->sides[i].wanted = S_runs_of(work, &work->sides[i]);
    if (wanted < least) least = wanted;
    if (wanted > most) most = wanted;
  }
  if (most / 4 >= least) return;
  for (size_t i = 0; i < work->bench->count; i++) work->sides[i].wanted = most;
}

/* ── Rounds ──────────────────────────────────────────────────────────────────────────────────── */

/* How many runs a candidate has after round `round` of `rounds` (from 1). */
static size_t S_share(size_t wanted, size_t round, size_t rounds) {
  return (size_t)((double)wanted * (double)round / (double)rounds + 0.5);
}

static fb_status S_draw_round(S_work *work, size_t round, size_t rounds, size_t *ret_count,
                              fb_error *err) {
  size_t count = 0;
  for (size_t i = 0; i < work->bench->count; i++) {
    size_t until = S_share(work->sides[i].wanted, round, rounds);
    for (size_t done = work->bench->sides[i].count; done < until; done++) {
      if (!fb_grow(work->bench->allocator, (void **)&work->turns, &work->turn_cap, count,
                   sizeof *work->turns))
        return fb_fail(err, FB_E_NOMEM, "out of memory");
      work->turns[count++] = (uint32_t)i;
    }
  }
  for (size_t i = count; i > 1; i--) {
    size_t other = (size_t)fb_random_below(work->options.random, i);
    uint32_t turn = work->turns[i - 1];
    work->turns[i - 1] = work->turns[other];
    work->turns[other] = turn;
  }
  *ret_count = count;
  return FB_OK;
}

static bool S_out_of_time(S_work *work) {
  if (!work->options.max_time || S_now(work) - work->start < work->options.max_time) return false;
  work->bench->cut_short = true;
  return true;
}

static fb_status S_rounds(S_work *work, fb_error *err) {
  size_t rounds = SIZE_MAX, most = 0, turns = 0;
  for (size_t i = 0; i < work->bench->count; i++) {
    if (work->sides[i].wanted < rounds) rounds = work->sides[i].wanted;
    if (work->sides[i].wanted > most) most = work->sides[i].wanted;
  }
  work->bench->paired = work->bench->count > 1 && rounds == most;
  for (size_t round = 1; round <= rounds; round++) {
    fb_status status = S_draw_round(work, round, rounds, &turns, err);
    for (size_t i = 0; !status && i < turns; i++) {
      status = S_measure(work, work->turns[i], err);
      if (!status && work->bench->ended) return FB_OK;
    }
    if (status) return status;
    if (round < rounds && S_out_of_time(work)) return FB_OK;
  }
  return FB_OK;
}

/* The first run of each, measured or not, tells how long one takes. */
static fb_status S_warm_up(S_work *work, fb_error *err) {
  fb_reading reading;
  for (uint32_t run = 0; run < work->options.warmup; run++)
    for (size_t i = 0; i < work->bench->count; i++) {
      S_progress(work, work->candidates[i].name, true);
      fb_status status = S_run_once(work, i, &reading, err);
      if (S_ended(work)) return FB_OK;
      if (status) return status;
    }
  for (size_t i = 0; i < work->bench->count && !work->options.warmup; i++) {
    fb_status status = S_measure(work, i, err);
    if (status || work->bench->ended) return status;
  }
  return FB_OK;
}

/* After the times were taken, as counting slows down. */
static fb_status S_count(S_work *work, size_t number, fb_error *err) {
  const fb_candidate *candidate = &work->candidates[number];
  fb_bench_side *side = &work->bench->sides[number];
  if (!candidate->count || !work->options.count_runs) return FB_OK;
  side->counted =
      fb_alloc_zero(work->bench->allocator, work->options.count_runs * sizeof *side->counted);
  if (!side->counted) return fb_fail(err, FB_E_NOMEM, "out of memory");
  side->counted_room = work->options.count_runs;
  for (uint32_t i = 0; i < work->options.count_runs && !work->bench->ended; i++) {
    fb_status status = candidate->count(candidate->context, &side->counted[i], err);
    if (S_ended(work)) return FB_OK;
    if (status) return S_failed(candidate, status, err);
    side->counted_count++;
  }
  return FB_OK;
}

/* ── All of it ───────────────────────────────────────────────────────────────────────────────── */

static fb_status S_set_up(S_work *work, size_t *ret_done, fb_error *err) {
  for (*ret_done = 0; *ret_done < work->bench->count; ++*ret_done) {
    const fb_candidate *candidate = &work->candidates[*ret_done];
    fb_status status = candidate->setup ? candidate->setup(candidate->context, err) : FB_OK;
    if (status) return S_failed(candidate, status, err);
  }
  return FB_OK;
}

/* Of all that were set up, also after a failure; the first error is the one that is told. */
static fb_status S_clean_up(S_work *work, size_t done, fb_status status, fb_error *err) {
  for (size_t i = 0; i < done; i++) {
    const fb_candidate *candidate = &work->candidates[i];
    fb_status now =
        candidate->cleanup ? candidate->cleanup(candidate->context, status ? NULL : err) : FB_OK;
    if (now && !status) status = S_failed(candidate, now, err);
  }
  return status;
}

static fb_status S_all(S_work *work, fb_error *err) {
  size_t set_up = 0;
  fb_status status = S_set_up(work, &set_up, err);
  if (!status) status = S_warm_up(work, err);
  if (!status && !work->bench->ended) {
    S_plan(work);
    status = S_rounds(work, err);
  }
  for (size_t i = 0; !status && i < work->bench->count; i++) status = S_count(work, i, err);
  return S_clean_up(work, set_up, status, err);
}

static fb_status S_prepare(S_work *work, const fb_candidate *candidates, size_t count,
                           const fb_allocator *allocator, fb_error *err) {
  fb_bench *bench = work->bench = fb_alloc_zero(allocator, sizeof *bench);
  if (!bench) return fb_fail(err, FB_E_NOMEM, "out of memory");
  bench->allocator = allocator;
  bench->sides = fb_alloc_zero(allocator, count * sizeof *bench->sides);
  work->sides = fb_alloc_zero(allocator, count * sizeof *work->sides);
  if (!bench->sides || !work->sides) return fb_fail(err, FB_E_NOMEM, "out of memory");
  bench->count = count;
  for (size_t i = 0; i < count; i++) bench->sides[i].name = candidates[i].name;
  return FB_OK;
}

/* Readings are cut to size, so that freeing knows it. */
static void S_trim(S_work *work) {
  for (size_t i = 0; i < work->bench->count; i++) {
    fb_bench_side *side = &work->bench->sides[i];
    size_t size = sizeof *side->readings, cap = work->sides[i].cap;
    if (cap == side->count) continue;
    fb_reading *moved = side->count ? fb_resize(work->bench->allocator, side->readings, cap * size,
                                                side->count * size)
                                    : NULL;
    if (!side->count) fb_free(work->bench->allocator, side->readings, cap * size);
    if (moved || !side->count) side->readings = moved;
  }
}

fb_status fb_bench_run(const fb_candidate *candidates, size_t count,
                       const fb_bench_options *options, const fb_allocator *allocator,
                       fb_bench **ret, fb_error *err) {
  S_work work = {.candidates = candidates, .options = *options};
  fb_bench_options *o = &work.options;
  if (!allocator) allocator = fb_allocator_system();
  if (!o->clock) o->clock = fb_clock_system();
  if (!o->min_runs) o->min_runs = MIN_RUNS;
  if (!o->max_runs) o->max_runs = o->min_runs > MAX_RUNS ? o->min_runs : MAX_RUNS;
  if (!o->min_time) o->min_time = MIN_TIME;
  if (o->min_runs > o->max_runs) o->min_runs = o->max_runs;
  if (count == 0) return fb_fail(err, FB_E_USAGE, "there is nothing to be measured");
  fb_status status = S_prepare(&work, candidates, count, allocator, err);
  if (!status) {
    work.start = S_now(&work);
    status = S_all(&work, err);
    work.bench->elapsed = S_now(&work) - work.start;
    S_progress(&work, NULL, false);
    S_trim(&work);
  }
  fb_free(allocator, work.turns, work.turn_cap * sizeof *work.turns);
  fb_free(allocator, work.sides, count * sizeof *work.sides);
  if (status) {
    fb_bench_free(work.bench);
    return status;
  }
  *ret = work.bench;
  return FB_OK;
}

void fb_bench_free(fb_bench *bench) {
  if (!bench) return;
  const fb_allocator *allocator = bench->allocator;
  for (size_t i = 0; i < bench->count; i++) {
    fb_bench_side *side = &bench->sides[i];
    fb_free(allocator, side->readings, side->count * sizeof *side->readings);
    fb_free(allocator, side->counted, side->counted_room * sizeof *side->counted);
  }
  fb_free(allocator, bench->sides, bench->count * sizeof *bench->sides);
  fb_free(allocator, bench, sizeof *bench);
}
