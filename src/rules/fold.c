/* SPDX-License-Identifier: Apache-2.0
 *
 * Folds: what an aggregate's functions keep of the values of a group, so that one more or one less costs at most the logarithm of
 * their number, and what is taken away leaves no trace. What they tell depends on the values alone, not on the order in which
 * they came (FIRST, LAST and COLLECT: on the order in which the facts were asserted).
 */
#include "rules/group.h"

#include <math.h>

/* Of SKETCH: a bucket is the sign, the exponent and the first bits of a number, so that its middle is at most 1/128 off. */
enum { SKETCH_BITS = 6 };

/* Wide enough for differences of squares of doubles. */
#if __LDBL_MANT_DIG__ >= 113
typedef long double S_wide;
#else
__extension__ typedef __float128 S_wide;
#endif

#define NANOS INT64_C(1000000000)

/* ── Which values count ── */

static bool S_is_number(fb_value value) {
  return value.kind == FB_INT || value.kind == FB_UINT || value.kind == FB_DOUBLE;
}

static bool S_has_order(fb_value value) {
  switch (value.kind) {
    case FB_INT:
    case FB_UINT:
    case FB_STRING:
    case FB_BOOL:
    case FB_TIMESTAMP:
    case FB_DURATION: return true;
    default: return false;
  }
}

/* NaN has no order and equals nothing: folds that ask for either leave it out, as they do what is missing. */
static bool S_is_nan(fb_value value) {
  return value.kind == FB_DOUBLE && isnan(value.as.d);
}

bool fb_fold_admits(const fb_rule_fold *fold, fb_value value) {
  if (value.kind == FB_ABSENT || value.kind == FB_NULL) return false;
  switch (fold->kind) {
    case FB_FOLD_MIN:
    case FB_FOLD_MAX:
    case FB_FOLD_DISTINCT:
    case FB_FOLD_PERCENTILE:
    case FB_FOLD_SKETCH: return !S_is_nan(value);
    default: return true;
  }
}

/* Can the fold do anything with a value that counts? */
static bool S_fits(const fb_rule_fold *fold, fb_value value) {
  switch (fold->kind) {
    case FB_FOLD_SUM:
    case FB_FOLD_AVG: return S_is_number(value) || value.kind == FB_DURATION;
    case FB_FOLD_STDDEV:
    case FB_FOLD_SKETCH: return S_is_number(value);
    case FB_FOLD_MIN:
    case FB_FOLD_MAX:
    case FB_FOLD_DISTINCT:
    case FB_FOLD_PERCENTILE: return S_has_order(value) || value.kind == FB_DOUBLE;
    default: return true;
  }
}

/* ── Sums ── */

static __int128 S_nanos(fb_value value) {
  return (__int128)value.as.i * NANOS + value.len;
}

static double S_double(fb_value value) {
  if (value.kind == FB_INT) return (double)value.as.i;
  return value.kind == FB_UINT ? (double)value.as.u : value.as.d;
}

/* A square is a double and what its rounding left, also a double. */
static void S_square(double value, double part[2]) {
  part[0] = value * value;
  part[1] = isfinite(part[0]) ? fma(value, value, -part[0]) : 0;
}

static void S_count(fb_sum *sum, fb_value value, int64_t by) {
  uint64_t *count = value.kind == FB_INT      ? &sum->ints
                    : value.kind == FB_UINT   ? &sum->uints
                    : value.kind == FB_DOUBLE ? &sum->doubles
                                              : &sum->durations;
  *count += (uint64_t)by;
  if (value.kind == FB_INT) sum->whole += by * (__int128)value.as.i;
  if (value.kind == FB_UINT) sum->whole += by * (__int128)value.as.u;
  if (value.kind == FB_DURATION) sum->whole += by * S_nanos(value);
}

static bool S_add_squares(fb_session *session, fb_sum *sum, double value) {
  double part[2];
  S_square(value, part);
  if (!fb_exact_add(&sum->squares, &session->allocator, part[0])) return false;
  if (fb_exact_add(&sum->squares, &session->allocator, part[1])) return true;
  fb_exact_remove(&sum->squares, part[0]);
  return false;
}

static bool S_add_sum(fb_session *session, const fb_rule_fold *fold, fb_fold_state *state,
                      fb_value value) {
  if (!state->sum && !(state->sum = fb_alloc_zero(&session->allocator, sizeof *state->sum)))
    return false;
  if (fold->kind == FB_FOLD_STDDEV && !S_add_squares(session, state->sum, S_double(value)))
    return false;
  if (value.kind == FB_DOUBLE &&
      !fb_exact_add(&state->sum->decimal, &session->allocator, value.as.d)) {
    double part[2];
    S_square(value.as.d, part);
    for (int i = 0; i < 2 && fold->kind == FB_FOLD_STDDEV; i++)
      fb_exact_remove(&state->sum->squares, part[i]);
    return false;
  }
  S_count(state->sum, value, 1);
  return true;
}

static void S_remove_sum(const fb_rule_fold *fold, fb_fold_state *state, fb_value value) {
  S_count(state->sum, value, -1);
  if (value.kind == FB_DOUBLE) fb_exact_remove(&state->sum->decimal, value.as.d);
  if (fold->kind != FB_FOLD_STDDEV) return;
  double part[2];
  S_square(S_double(value), part);
  for (int i = 0; i < 2; i++) fb_exact_remove(&state->sum->squares, part[i]);
}

/* ── Sets ── */

static fb_value S_bucket(double value) {
  uint64_t bits;
  double size = fabs(value);
  memcpy(&bits, &size, sizeof bits);
  int64_t bucket = (int64_t)(bits >> (52 - SKETCH_BITS));
  return fb_int(value < 0 ? -bucket : bucket);
}

/* The middle of a bucket; 0 and infinities stand for themselves. */
static double S_middle(int64_t bucket) {
  uint64_t size = (uint64_t)(bucket < 0 ? -bucket : bucket), bits = size << (52 - SKETCH_BITS);
  double low, middle;
  if (bucket && bits >> 52 < 0x7ff) bits |= UINT64_C(1) << (51 - SKETCH_BITS);
  memcpy(&low, &bits, sizeof low);
  middle = low;
  return bucket < 0 ? -middle : middle;
}

fb_value fb_fold_plain(fb_value value) {
  if (value.kind == FB_UINT && value.as.u <= INT64_MAX) return fb_int((int64_t)value.as.u);
  if (value.kind != FB_DOUBLE) return value;
  double d = value.as.d;
  if (d >= -0x1p63 && d < 0x1p63 && d == (double)(int64_t)d) return fb_int((int64_t)d);
  return d >= 0x1p63 && d < 0x1p64 ? fb_uint((uint64_t)d) : value;
}

/* What stands for the value in the fold's set. Texts are interned, so that they stay. False: no memory. */
static bool S_item(fb_session *session, const fb_rule_fold *fold, fb_value value, uint64_t serial,
                   fb_value *ret) {
  switch (fold->kind) {
    case FB_FOLD_FIRST:
    case FB_FOLD_LAST:
    case FB_FOLD_COLLECT: *ret = fb_int((int64_t)serial); return true;
    case FB_FOLD_SKETCH: *ret = S_bucket(S_double(value)); return true;
    case FB_FOLD_DISTINCT: value = fb_fold_plain(value); break;
    default: break;
  }
  fb_symbol symbol;
  if (value.kind == FB_STRING && !value.symbol) {
    if (fb_symbol_intern(session->symbols, fb_value_text(value), &symbol) != FB_OK) return false;
    value = fb_symbol_value(session->symbols, symbol);
  }
  *ret = value;
  return true;
}

static uint64_t *S_class(fb_fold_state *state, fb_value value) {
  switch (value.kind) {
    case FB_STRING: return &state->texts;
    case FB_BOOL: return &state->bools;
    case FB_TIMESTAMP: return &state->timestamps;
    case FB_DURATION: return &state->durations;
    default: return NULL;
  }
}

/* ── Adding and taking away ── */

static bool S_sums(const fb_rule_fold *fold) {
  return fold->kind == FB_FOLD_SUM || fold->kind == FB_FOLD_AVG || fold->kind == FB_FOLD_STDDEV;
}

bool fb_fold_add(fb_session *session, const fb_rule_fold *fold, fb_fold_state *state,
                 fb_value value, uint32_t row, uint64_t serial) {
  fb_value item;
  if (fold->kind != FB_FOLD_COUNT && !S_fits(fold, value)) {
    state->count++;
    state->others++;
    return true;
  }
  if (S_sums(fold)) {
    if (!S_add_sum(session, fold, state, value)) return false;
  } else if (fold->kind != FB_FOLD_COUNT) {
    if (!S_item(session, fold, value, serial, &item)) return false;
    bool first = fold->kind == FB_FOLD_DISTINCT &&
                 !fb_multiset_find(&session->aggregates->sets, state->set, item);
    if (!fb_multiset_add(&session->aggregates->sets, &session->allocator, &state->set, item, row))
      return false;
    state->distinct += first;
    uint64_t *class_ = S_class(state, value);
    if (class_) ++*class_;
  }
  state->count++;
  return true;
}

void fb_fold_remove(fb_session *session, const fb_rule_fold *fold, fb_fold_state *state,
                    fb_value value, uint64_t serial) {
  fb_value item;
  state->count--;
  if (fold->kind == FB_FOLD_COUNT) return;
  if (!S_fits(fold, value)) {
    state->others--;
  } else if (S_sums(fold)) {
    S_remove_sum(fold, state, value);
  } else if (S_item(session, fold, value, serial, &item)) { /* a text is interned by now */
    fb_multiset_remove(&session->aggregates->sets, &state->set, item);
    state->distinct -= fold->kind == FB_FOLD_DISTINCT &&
                       !fb_multiset_find(&session->aggregates->sets, state->set, item);
    uint64_t *class_ = S_class(state, value);
    if (class_) --*class_;
  }
}

void fb_fold_release(fb_session *session, fb_fold_state *state) {
  fb_multiset_clear(&session->aggregates->sets, &state->set);
  if (state->sum) {
    fb_exact_release(&state->sum->decimal, &session->allocator);
    fb_exact_release(&state->sum->squares, &session->allocator);
    fb_free(&session->allocator, state->sum, sizeof *state->sum);
  }
  *state = (fb_fold_state){0};
}

/* ── What they tell ── */

fb_value fb_fold_of_none(const fb_rule_fold *fold) {
  static const fb_list none = {0};
  switch (fold->kind) {
    case FB_FOLD_COUNT:
    case FB_FOLD_DISTINCT: return fb_int(0);
    case FB_FOLD_COLLECT: return fb_list_value(&none);
    case FB_FOLD_SUM: break;
    default: return fb_absent();
  }
  switch (fold->type->kind) {
    case FB_CEL_DOUBLE: return fb_double(0);
    case FB_CEL_UINT: return fb_uint(0);
    case FB_CEL_DURATION: return fb_duration(0, 0);
    default: return fb_int(0);
  }
}

static fb_value S_overflow(const fb_rule_fold *fold, fb_error *err) {
  fb_fail(err, FB_E_CEL_OVERFLOW, "the %s of the group is out of range", fb_fold_name(fold->kind));
  return fb_absent();
}

static fb_value S_duration(const fb_rule_fold *fold, __int128 nanos, fb_error *err) {
  __int128 seconds = nanos / NANOS, rest = nanos % NANOS;
  if (rest < 0) seconds--, rest += NANOS;
  if (seconds < INT64_C(-315576000000) || seconds > INT64_C(315576000000))
    return S_overflow(fold, err);
  return fb_duration((int64_t)seconds, (uint32_t)rest);
}

static fb_value S_sum(const fb_rule_fold *fold, const fb_fold_state *state, fb_error *err) {
  const fb_sum *sum = state->sum;
  if (sum->durations) return S_duration(fold, sum->whole, err);
  if (sum->doubles) return fb_double(fb_exact_sum(&sum->decimal, sum->whole, NULL));
  if (sum->uints && !sum->ints)
    return sum->whole > UINT64_MAX ? S_overflow(fold, err) : fb_uint((uint64_t)sum->whole);
  if (sum->whole < INT64_MIN || sum->whole > INT64_MAX) return S_overflow(fold, err);
  return fb_int((int64_t)sum->whole);
}

static fb_value S_average(const fb_rule_fold *fold, const fb_fold_state *state, fb_error *err) {
  const fb_sum *sum = state->sum;
  if (sum->durations) return S_duration(fold, sum->whole / (__int128)state->count, err);
  return fb_double(fb_exact_sum(&sum->decimal, sum->whole, NULL) / (double)state->count);
}

/* Newton's steps on a first guess, since there is no square root that wide everywhere. */
static double S_root(S_wide square) {
  double guess = sqrt((double)square);
  if (!(guess > 0) || !isfinite(guess)) return guess;
  S_wide better = ((S_wide)guess + square / guess) / 2;
  return (double)better;
}

/* Of a sample: the squares' sum less the sum's square, over one less. */
static fb_value S_deviation(const fb_fold_state *state) {
  double rest, squares_rest;
  if (state->count < 2) return fb_absent();
  double head = fb_exact_sum(&state->sum->decimal, state->sum->whole, &rest);
  double squares_head = fb_exact_sum(&state->sum->squares, 0, &squares_rest);
  if (!isfinite(head) || !isfinite(squares_head)) return fb_double(NAN);
  S_wide sum = (S_wide)head + rest, squares = (S_wide)squares_head + squares_rest,
         count = (S_wide)state->count;
  S_wide variance = (squares - sum * sum / count) / (count - 1);
  return fb_double(variance > 0 ? S_root(variance) : 0);
}

/* Nearest rank: the first value that no fewer than `rank` percent are up to. */
static uint64_t S_rank(const fb_rule_fold *fold, uint64_t count) {
  double rank = ceil(fold->rank / 100 * (double)count);
  return rank < 1 ? 0 : rank > (double)count ? count - 1 : (uint64_t)rank - 1;
}

static fb_value S_ordered(fb_session *session, const fb_rule_fold *fold, const fb_fold_state *state,
                          fb_error *err) {
  const fb_multisets *sets = &session->aggregates->sets;
  uint64_t numbers =
      state->count - state->texts - state->bools - state->timestamps - state->durations;
  int classes = (numbers != 0) + (state->texts != 0) + (state->bools != 0) +
                (state->timestamps != 0) + (state->durations != 0);
  if (classes > 1 && fold->kind != FB_FOLD_SKETCH) {
    fb_fail(err, FB_E_CEL_NO_OVERLOAD,
            "no such overload: values of the group have no order to each other");
    return fb_absent();
  }
  uint64_t at = fold->kind == FB_FOLD_MIN   ? 0
                : fold->kind == FB_FOLD_MAX ? state->count - 1
                                            : S_rank(fold, state->count);
  uint32_t node = fb_multiset_at(sets, state->set, at);
  if (!node) return fb_absent();
  fb_value value = sets->nodes[node].value;
  return fold->kind == FB_FOLD_SKETCH ? fb_double(S_middle(value.as.i)) : value;
}

/* ── Of facts in their order ── */

typedef struct S_collector {
  fb_session *session;
  const fb_rule_aggregate *aggregate;
  const fb_rule_fold *fold;
  fb_list *list;
} S_collector;

static bool S_collect(void *context, const fb_multiset_node *node) {
  S_collector *c = context;
  fb_value value = fb_aggregate_input(c->session, c->aggregate, &c->fold->input, node->row);
  return fb_list_push(c->list, &c->session->scratch, value);
}

static fb_value S_of_facts(fb_session *session, const fb_rule_aggregate *aggregate,
                           const fb_rule_fold *fold, const fb_fold_state *state, fb_error *err) {
  const fb_multisets *sets = &session->aggregates->sets;
  if (fold->kind == FB_FOLD_COLLECT) {
    S_collector collector = {session, aggregate, fold,
                             fb_list_new(&session->scratch, state->count)};
    if (collector.list && fb_multiset_walk(sets, state->set, S_collect, &collector))
      return fb_list_value(collector.list);
    fb_fail(err, FB_E_NOMEM, "no memory to collect a group");
    return fb_absent();
  }
  uint64_t at = fold->kind == FB_FOLD_FIRST ? 0 : fb_multiset_total(sets, state->set) - 1;
  uint32_t node = fb_multiset_at(sets, state->set, at);
  return node ? fb_aggregate_input(session, aggregate, &fold->input, sets->nodes[node].row)
              : fb_absent();
}

fb_value fb_fold_value(fb_session *session, const fb_rule_aggregate *aggregate,
                       const fb_rule_fold *fold, const fb_fold_state *state, fb_error *err) {
  err->code = FB_OK;
  if (fold->kind == FB_FOLD_COUNT) return fb_int((int64_t)state->count);
  bool mixed = state->sum && state->sum->durations &&
               state->sum->ints + state->sum->uints + state->sum->doubles;
  if (state->others || mixed) {
    fb_fail(err, FB_E_CEL_NO_OVERLOAD, "no such overload: %s of what is in the group",
            fb_fold_name(fold->kind));
    return fb_absent();
  }
  if (fold->kind == FB_FOLD_DISTINCT) return fb_int((int64_t)state->distinct);
  if (!state->count || (S_sums(fold) && !state->sum)) return fb_fold_of_none(fold);
  switch (fold->kind) {
    case FB_FOLD_SUM: return S_sum(fold, state, err);
    case FB_FOLD_AVG: return S_average(fold, state, err);
    case FB_FOLD_STDDEV: return S_deviation(state);
    case FB_FOLD_FIRST:
    case FB_FOLD_LAST:
    case FB_FOLD_COLLECT: return S_of_facts(session, aggregate, fold, state, err);
    default: return S_ordered(session, fold, state, err);
  }
}
