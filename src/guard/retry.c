/* SPDX-License-Identifier: Apache-2.0
 * When to try again. The names of back-offs and jitters are those of Marc Brooker, "Exponential
 * Backoff And Jitter" (AWS Architecture Blog, 2015). */
#include <flyball/guard.h>

#include <math.h>

#define TOKEN 1000
#define DEFAULT_MAX (3600 * FB_SECOND)

/* ── Budget ── */

fb_status fb_retry_budget_init(fb_retry_budget *budget, uint32_t tokens, double ratio,
                               fb_error *err) {
  if (tokens < 1 || tokens > 1000000000)
    return fb_fail(err, FB_E_USAGE, "a retry budget of %u tokens", tokens);
  if (!(ratio >= 0.001 && ratio <= 1))
    return fb_fail(err, FB_E_USAGE, "a retry budget's ratio of %g; it is 0.001 to 1", ratio);
  budget->max = (int64_t)tokens * TOKEN;
  budget->deposit = (int64_t)(ratio * TOKEN + 0.5);
  __atomic_store_n(&budget->level, budget->max, __ATOMIC_RELAXED);
  return FB_OK;
}

void fb_retry_budget_deposit(fb_retry_budget *budget) {
  int64_t level = __atomic_load_n(&budget->level, __ATOMIC_RELAXED), more;
  do {
    if (level >= budget->max) return;
    more = level + budget->deposit < budget->max ? level + budget->deposit : budget->max;
  } while (!__atomic_compare_exchange_n(&budget->level, &level, more, true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED));
}

bool fb_retry_budget_withdraw(fb_retry_budget *budget) {
  int64_t level = __atomic_load_n(&budget->level, __ATOMIC_RELAXED);
  do
    if (level < TOKEN) return false;
  while (!__atomic_compare_exchange_n(&budget->level, &level, level - TOKEN, true, __ATOMIC_RELAXED,
                                      __ATOMIC_RELAXED));
  return true;
}

/* ── Policy ── */

fb_retry_policy fb_retry_policy_default(void) {
  return (fb_retry_policy){.backoff = FB_BACKOFF_EXPONENTIAL,
                           .jitter = FB_JITTER_FULL,
                           .attempts = 4,
                           .base = 100 * FB_MILLISECOND,
                           .max = 20 * FB_SECOND};
}

fb_status fb_retry_policy_check(const fb_retry_policy *policy, fb_error *err) {
  if ((unsigned)policy->backoff > FB_BACKOFF_DECORRELATED)
    return fb_fail(err, FB_E_USAGE, "retry: there is no backoff %d", (int)policy->backoff);
  if ((unsigned)policy->jitter > FB_JITTER_FULL)
    return fb_fail(err, FB_E_USAGE, "retry: there is no jitter %d", (int)policy->jitter);
  if (policy->base < 0 || policy->max < 0 || policy->total < 0 || policy->after_max < 0)
    return fb_fail(err, FB_E_USAGE, "retry: base, max, total and after_max are not negative");
  if (policy->max && policy->max < policy->base)
    return fb_fail(err, FB_E_USAGE, "retry: max is shorter than base");
  if (policy->factor != 0 && !(policy->factor >= 1 && policy->factor <= 1e6))
    return fb_fail(err, FB_E_USAGE, "retry: factor is %g; it is 1 to 1000000", policy->factor);
  if (policy->backoff == FB_BACKOFF_DECORRELATED && policy->base == 0)
    return fb_fail(err, FB_E_USAGE, "retry: decorrelated waits need a base");
  return FB_OK;
}

/* ── One call ── */

static double S_unit(fb_retry *retry) {
  return retry->random ? fb_random_unit(retry->random) : 1;
}

/* The next wait before jitter, kept in the state: there is no power to overflow. */
static double S_backoff(fb_retry *retry) {
  const fb_retry_policy *policy = retry->policy;
  double base = (double)policy->base, max = (double)(policy->max ? policy->max : DEFAULT_MAX);
  double wait = base, before = retry->wait;
  switch (policy->backoff) {
    case FB_BACKOFF_FIXED: break;
    case FB_BACKOFF_LINEAR: wait = before + base; break;
    case FB_BACKOFF_EXPONENTIAL:
      if (before > 0) wait = before * (policy->factor != 0 ? policy->factor : 2);
      break;
    case FB_BACKOFF_DECORRELATED: {
      double top = 3 * (before > base ? before : base);
      wait = base + S_unit(retry) * (top - base);
      break;
    }
  }
  return retry->wait = wait < max ? wait : max;
}

static int64_t S_wait(fb_retry *retry, int64_t after) {
  double wait = S_backoff(retry);
  fb_jitter jitter =
      retry->policy->backoff == FB_BACKOFF_DECORRELATED ? FB_JITTER_NONE : retry->policy->jitter;
  if (jitter == FB_JITTER_FULL) wait *= S_unit(retry);
  if (jitter == FB_JITTER_EQUAL) wait = wait / 2 + wait / 2 * S_unit(retry);
  if (after <= 0) return (int64_t)wait;
  /* On top, not instead: all who were told the same time would come back at the same time. */
  double spread = jitter == FB_JITTER_NONE ? 0 : (double)retry->policy->base * S_unit(retry);
  double told = (double)after + spread;
  return (int64_t)fmin(fmax(told, wait), 0x1p62);
}

fb_retry_verdict fb_retry_failed(fb_retry *retry, fb_attempt attempt, int64_t now,
                                 int64_t *ret_wait) {
  const fb_retry_policy *policy = retry->policy;
  if (retry->attempts < UINT32_MAX) retry->attempts++;
  if (policy->retryable && !policy->retryable(policy->context, attempt.code))
    return FB_RETRY_STOP_CODE;
  if (policy->attempts && retry->attempts >= policy->attempts) return FB_RETRY_STOP_ATTEMPTS;
  if (policy->after_max && attempt.after > policy->after_max) return FB_RETRY_STOP_AFTER;
  int64_t wait = S_wait(retry, attempt.after);
  if (wait >= fb_deadline_left((fb_deadline){retry->deadline}, now)) return FB_RETRY_STOP_DEADLINE;
  /* Last, so that a token is only spent on an attempt that is made. */
  if (policy->budget && !fb_retry_budget_withdraw(policy->budget)) return FB_RETRY_STOP_BUDGET;
  *ret_wait = wait;
  return FB_RETRY_AGAIN;
}

const char *fb_retry_verdict_name(fb_retry_verdict verdict) {
  static const char *const names[] = {"again",    "succeeded", "code", "attempts",
                                      "deadline", "budget",    "after"};
  return (size_t)verdict < sizeof names / sizeof *names ? names[verdict] : "?";
}
