/* SPDX-License-Identifier: Apache-2.0
 * Rate limits in one word each: the token bucket as the time at which it will be full, the sliding window as two
 * counts and their number. */
#include <flyball/guard.h>

#define DEPTH_MAX (INT64_C(1) << 60)
#define COUNT_MAX 0xffffu

/* ── Token bucket ── */

fb_status fb_rate_init(fb_rate *rate, uint32_t tokens, int64_t per, uint32_t burst, fb_error *err) {
  if (tokens == 0 || per <= 0) return fb_fail(err, FB_E_USAGE, "rate: no tokens, or in no time");
  int64_t interval = per / tokens + (per % tokens != 0);
  if (interval < 100) return fb_fail(err, FB_E_USAGE, "rate: more than 10000000 tokens a second");
  if (burst == 0) burst = 1;
  if (interval > DEPTH_MAX / burst)
    return fb_fail(err, FB_E_USAGE, "rate: the burst takes longer than 36 years to refill");
  *rate = (fb_rate){.interval = interval, .depth = interval * burst, .burst = burst};
  __atomic_store_n(&rate->next, INT64_MIN, __ATOMIC_RELAXED);
  return FB_OK;
}

/* Whether what costs `spent` may go now or within `patience`; then *full is moved on. */
static bool S_spend(int64_t *full, int64_t depth, int64_t spent, int64_t now, int64_t patience,
                    int64_t *ret_wait) {
  int64_t from = *full > now ? *full : now;
  int64_t ahead = from - now + spent - depth;
  if (ret_wait) *ret_wait = ahead > 0 ? ahead : 0;
  if (ahead > patience) return false;
  *full = from + spent;
  return true;
}

bool fb_rate_reserve(fb_rate *rate, uint32_t cost, int64_t now, int64_t patience,
                     int64_t *ret_wait) {
  if (FB_UNLIKELY(cost > rate->burst)) {
    if (ret_wait) *ret_wait = FB_NEVER;
    return false;
  }
  int64_t spent = rate->interval * cost, seen = __atomic_load_n(&rate->next, __ATOMIC_RELAXED),
          full;
  do {
    full = seen;
    if (!S_spend(&full, rate->depth, spent, now, patience, ret_wait)) return false;
  } while (!__atomic_compare_exchange_n(&rate->next, &seen, full, true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED));
  return true;
}

bool fb_rate_take(fb_rate *rate, uint32_t cost, int64_t now, int64_t *ret_wait) {
  return fb_rate_reserve(rate, cost, now, 0, ret_wait);
}

/* ── Sliding window ── */

fb_status fb_rate_window_init(fb_rate_window *rate, uint32_t limit, int64_t window, fb_error *err) {
  if (limit < 1 || limit > COUNT_MAX)
    return fb_fail(err, FB_E_USAGE, "rate: limit is %u; it is 1 to 65535", limit);
  if (window < 1000 || window > 12 * 3600 * FB_SECOND)
    return fb_fail(err, FB_E_USAGE, "rate: a window is 1 µs to 12 h");
  *rate = (fb_rate_window){
      .window = (uint64_t)window, .per_nano = UINT64_MAX / (uint64_t)window + 1, .limit = limit};
  return FB_OK;
}

/* What the word says of the time `now`: counts of this window and the one before, and how far into it. */
typedef struct S_view {
  uint32_t number;
  uint64_t before, count, into;
} S_view;

static S_view S_look(const fb_rate_window *rate, uint64_t word, int64_t now) {
  uint64_t nanos = now > 0 ? (uint64_t)now : 0;
  uint64_t number = (uint64_t)((unsigned __int128)nanos * rate->per_nano >> 64);
  if (number * rate->window > nanos) number--; /* the multiplication rounds up */
  S_view view = {.number = (uint32_t)number, .into = nanos - number * rate->window};
  uint32_t ahead = view.number - (uint32_t)(word >> 32);
  if (ahead == 0) {
    view.before = word >> 16 & COUNT_MAX;
    view.count = word & COUNT_MAX;
  } else if (ahead == 1) {
    view.before = word & COUNT_MAX;
  } else if ((int32_t)ahead < 0) { /* the clock stepped back: no time has passed */
    view.number = (uint32_t)(word >> 32);
    view.before = word >> 16 & COUNT_MAX;
    view.count = word & COUNT_MAX;
    view.into = 0;
  }
  return view;
}

/* From when on in a window `room` is left beside the share of `before`. */
static uint64_t S_room_at(const fb_rate_window *rate, uint64_t before, uint64_t room) {
  return before <= room ? 0 : rate->window - room * rate->window / before;
}

static int64_t S_window_wait(const fb_rate_window *rate, const S_view *view, uint32_t cost) {
  if (cost > rate->limit) return FB_NEVER;
  if (view->count + cost <= rate->limit)
    return (int64_t)(S_room_at(rate, view->before, rate->limit - cost - view->count) - view->into);
  return (int64_t)(rate->window - view->into + S_room_at(rate, view->count, rate->limit - cost));
}

bool fb_rate_window_take(fb_rate_window *rate, uint32_t cost, int64_t now, int64_t *ret_wait) {
  uint64_t seen = __atomic_load_n(&rate->word, __ATOMIC_RELAXED), next;
  do {
    S_view view = S_look(rate, seen, now);
    uint64_t old = view.before * (rate->window - view.into); /* < 2^62 */
    if (cost > rate->limit ||
        (view.count + cost) * rate->window + old > rate->limit * rate->window) {
      if (ret_wait) *ret_wait = S_window_wait(rate, &view, cost);
      return false;
    }
    next = (uint64_t)view.number << 32 | view.before << 16 | (view.count + cost);
  } while (!__atomic_compare_exchange_n(&rate->word, &seen, next, true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED));
  if (ret_wait) *ret_wait = 0;
  return true;
}
