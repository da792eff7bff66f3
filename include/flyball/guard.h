/* SPDX-License-Identifier: Apache-2.0
 *
 * flyball/guard.h: what keeps one failing part from taking the others with it.
 * Each is a small machine on its own: it decides, and the caller acts. Nothing here sleeps, reads a
 * clock or draws a random number that it was not handed; the helpers that block say so.
 *
 * Times are int64_t nanoseconds: `now` is of a monotonic clock (fb_clock.mono), a duration is a
 * difference of two such. A `now` that is earlier than one seen before is taken as no time passed.
 * Zero-filled policies mean "off" or the default that the field's comment names.
 */
#ifndef FLYBALL_GUARD_H
#define FLYBALL_GUARD_H

#include <flyball/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FB_MILLISECOND INT64_C(1000000)
#define FB_SECOND INT64_C(1000000000)

/* ── Deadline: one point in time, handed down ────────────────────────────────────────────────── */

/* A deadline is a point of the monotonic clock. What a caller hands down is never later than what it
 * was handed itself, so nobody works on for a caller who has gone. Between machines, whose clocks
 * have nothing in common, send fb_deadline_left and make a new one from it. */
typedef struct fb_deadline {
  int64_t at; /* FB_NEVER: none */
} fb_deadline;

#define FB_NEVER INT64_MAX

/* timeout ≤ 0: none. */
static inline fb_deadline fb_deadline_in(int64_t now, int64_t timeout) {
  if (timeout <= 0 || timeout >= FB_NEVER - (now > 0 ? now : 0)) return (fb_deadline){FB_NEVER};
  return (fb_deadline){now + timeout};
}

/* For a part of the work: its own timeout, but never longer than the whole. timeout ≤ 0: the whole. */
static inline fb_deadline fb_deadline_within(fb_deadline whole, int64_t now, int64_t timeout) {
  fb_deadline own = fb_deadline_in(now, timeout);
  return own.at < whole.at ? own : whole;
}

/* Keeps back `reserve` for what must still be done afterwards: answering, undoing. */
static inline fb_deadline fb_deadline_before(fb_deadline whole, int64_t reserve) {
  if (whole.at == FB_NEVER || reserve <= 0) return whole;
  return (fb_deadline){whole.at < INT64_MIN + reserve ? INT64_MIN : whole.at - reserve};
}

static inline bool fb_deadline_passed(fb_deadline deadline, int64_t now) {
  return now >= deadline.at;
}

/* FB_NEVER when there is none; 0 when it has passed. */
static inline int64_t fb_deadline_left(fb_deadline deadline, int64_t now) {
  if (deadline.at == FB_NEVER) return FB_NEVER;
  return now >= deadline.at ? 0 : deadline.at - now;
}

/* ── Retry ───────────────────────────────────────────────────────────────────────────────────── */

typedef enum fb_backoff {
  FB_BACKOFF_FIXED,       /* base, base, base */
  FB_BACKOFF_LINEAR,      /* base, 2 base, 3 base */
  FB_BACKOFF_EXPONENTIAL, /* base, factor base, factor² base */
  FB_BACKOFF_DECORRELATED /* anything from base to 3 times the wait before; has its own jitter */
} fb_backoff;

typedef enum fb_jitter {
  FB_JITTER_NONE,
  FB_JITTER_EQUAL, /* anything from half the wait to all of it */
  FB_JITTER_FULL /* anything from nothing to all of it: callers that failed together come back apart */
} fb_jitter;

/* Tokens that all callers of one service share, so that retries stay a fraction of the calls when
 * it is down: a success puts `ratio` of a token in, a retry takes a whole one out. Thread-safe.
 * A full budget is only read, so healthy callers do not disturb each other. */
typedef struct fb_retry_budget {
  int64_t level;   /* thousandths of a token; only by atomic operations */
  int64_t max;     /* thousandths */
  int64_t deposit; /* thousandths a success */
} fb_retry_budget;

/* Starts full. tokens 1 … 1e9; 0 < ratio ≤ 1, in steps of 0.001 (0.1: one retry in ten successes). */
FB_API fb_status fb_retry_budget_init(fb_retry_budget *budget, uint32_t tokens, double ratio,
                                      fb_error *err);
FB_API void fb_retry_budget_deposit(fb_retry_budget *budget);
/* Takes a token; false when there is none. */
FB_API bool fb_retry_budget_withdraw(fb_retry_budget *budget);

/* May be shared by any number of threads while nobody changes it. */
typedef struct fb_retry_policy {
  fb_backoff backoff;
  fb_jitter jitter;
  uint32_t attempts; /* in all, the first one included; 0: no bound */
  int64_t base;      /* first wait */
  int64_t max;       /* no wait of the back-off is longer; 0: an hour */
  double factor;     /* of FB_BACKOFF_EXPONENTIAL, ≥ 1; 0: 2 */
  int64_t
      total; /* from the first attempt's start; a wait that would pass it is not begun; 0: no bound */
  int64_t after_max; /* a Retry-After longer than this ends it; 0: any is honoured */
  /* Whether an attempt that failed with this code may be tried again; NULL: any. */
  bool (*retryable)(void *context, int64_t code);
  void *context;
  fb_retry_budget *budget; /* nullable */
} fb_retry_policy;

/* Exponential from 100 ms to 20 s with full jitter, 4 attempts. */
FB_API fb_retry_policy fb_retry_policy_default(void);
/* FB_E_USAGE with the field's name when something in it makes no sense. */
FB_API fb_status fb_retry_policy_check(const fb_retry_policy *policy, fb_error *err);

/* How an attempt went. */
typedef struct fb_attempt {
  bool ok;
  int64_t code;  /* the caller's: an errno, an HTTP status, an exit code */
  int64_t after; /* what the other side asked to wait (Retry-After); 0: it did not */
} fb_attempt;

typedef enum fb_retry_verdict {
  FB_RETRY_AGAIN, /* wait, then try again; all others end it */
  FB_RETRY_SUCCEEDED,
  FB_RETRY_STOP_CODE,     /* not an error that another attempt could mend */
  FB_RETRY_STOP_ATTEMPTS, /* that was the last */
  FB_RETRY_STOP_DEADLINE, /* the wait would pass the deadline */
  FB_RETRY_STOP_BUDGET,   /* the callers together have retried enough */
  FB_RETRY_STOP_AFTER     /* the other side asks for a longer wait than after_max */
} fb_retry_verdict;

/* One call with its retries. Belongs to one thread at a time; needs no release. */
typedef struct fb_retry {
  const fb_retry_policy *policy;
  fb_random *random; /* borrowed */
  int64_t deadline;  /* FB_NEVER: none */
  double wait;       /* the back-off's last wait before jitter; 0 before the first */
  uint32_t attempts; /* finished so far */
} fb_retry;

/* `random` may be NULL when neither jitter nor FB_BACKOFF_DECORRELATED is used. */
static inline void fb_retry_begin(fb_retry *retry, const fb_retry_policy *policy, fb_random *random,
                                  int64_t now) {
  retry->policy = policy;
  retry->random = random;
  retry->deadline = fb_deadline_in(now, policy->total).at;
  retry->wait = 0;
  retry->attempts = 0;
}

/* Also ends it at the caller's own deadline. */
static inline void fb_retry_until(fb_retry *retry, fb_deadline deadline) {
  if (deadline.at < retry->deadline) retry->deadline = deadline.at;
}

FB_API fb_retry_verdict fb_retry_failed(fb_retry *retry, fb_attempt attempt, int64_t now,
                                        int64_t *ret_wait);

/* Call it after each attempt. FB_RETRY_AGAIN sets *ret_wait. */
static inline fb_retry_verdict fb_retry_next(fb_retry *retry, fb_attempt attempt, int64_t now,
                                             int64_t *ret_wait) {
  if (!FB_LIKELY(attempt.ok)) return fb_retry_failed(retry, attempt, now, ret_wait);
  retry->attempts++;
  fb_retry_budget *budget = retry->policy->budget;
  if (budget && FB_UNLIKELY(__atomic_load_n(&budget->level, __ATOMIC_RELAXED) < budget->max))
    fb_retry_budget_deposit(budget);
  return FB_RETRY_SUCCEEDED;
}

/* "again", "succeeded", "code", … */
FB_API const char *fb_retry_verdict_name(fb_retry_verdict verdict);

/* ── Circuit breaker ─────────────────────────────────────────────────────────────────────────── */

/* Thread-safe throughout. While closed, letting a call through reads one word, and recording a
 * success adds one to a counter that other threads hardly touch: both are wait-free. */
typedef struct fb_breaker fb_breaker;

typedef enum fb_breaker_state {
  FB_BREAKER_CLOSED = 1,    /* lets all through and counts how they went */
  FB_BREAKER_OPEN,          /* refuses all until its wait is over */
  FB_BREAKER_HALF_OPEN,     /* lets a few probes through to see */
  FB_BREAKER_FORCED_OPEN,   /* by hand: refuses all */
  FB_BREAKER_FORCED_CLOSED, /* by hand: lets all through, counts, never opens */
  FB_BREAKER_DISABLED       /* by hand: lets all through, counts nothing */
} fb_breaker_state;

typedef enum fb_breaker_reason {
  FB_BREAKER_BY_CONSECUTIVE,  /* that many failures in a row */
  FB_BREAKER_BY_FAILURE_RATE, /* of the window */
  FB_BREAKER_BY_SLOW_RATE,    /* of the window */
  FB_BREAKER_BY_WAIT,         /* the wait is over: probes may go */
  FB_BREAKER_BY_PROBES,       /* enough probes went well */
  FB_BREAKER_BY_PROBE,        /* a probe failed or was slow */
  FB_BREAKER_BY_LOST_PROBES,  /* probes were let through and never recorded */
  FB_BREAKER_BY_HAND
} fb_breaker_reason;

/* States that follow each other have generations that do, so events that reach different threads in
 * another order can be put right. */
typedef struct fb_breaker_event {
  fb_breaker_state from, to;
  fb_breaker_reason reason;
  uint32_t generation; /* of the state `to` */
  int64_t at;
  int64_t wait; /* how long it stays open; 0 when not FB_BREAKER_OPEN */
} fb_breaker_event;

typedef struct fb_breaker_config {
  uint32_t consecutive; /* opens after so many failures in a row; 0: off */
  /* At most one window: the last so many calls (≤ 1,000,000), or the calls of the last so long. */
  uint32_t window_calls;
  int64_t window_time;
  uint32_t buckets;    /* of window_time: it moves on by one of them; 2 … 63; 0: 10 */
  double failure_rate; /* opens at this share of failures in the window; 0: off */
  double slow_rate;    /* opens at this share of slow calls in the window; 0: off */
  int64_t slow_after;  /* a call is slow when it takes as long or longer; 0: none is */
  uint32_t minimum;    /* with fewer calls in the window neither rate opens; 0: 1 */
  int64_t wait;        /* stays open so long; 0: 30 s */
  double wait_factor; /* each time that it opens without having closed: longer by this; ≥ 1; 0: 1 */
  int64_t wait_max;   /* … but never longer than this; 0: an hour */
  double wait_jitter;   /* the wait is off by up to this share either way: 0 … 1 */
  uint32_t probes;      /* at most so many in flight while half open; ≤ 65,535; 0: 1 */
  uint32_t close_after; /* so many probes that went well close it; ≤ 65,535; 0: `probes` */
  int64_t probe_time;   /* open again if half open for so long with every probe out; 0: never */
  uint64_t seed;        /* of the jitter */
  uint32_t stripes;     /* counters side by side, a power of two ≤ 64; 0: as many as processors */
  /* Called after each change of state, on the thread that caused it, with no lock held: it may call
   * the breaker. Nullable. */
  void (*event)(void *context, const fb_breaker_event *event);
  void *context;
} fb_breaker_config;

/* 5 failures in a row, or half of the last 100 calls once there were 10; open for 30 s, growing to
 * 5 min, ±20 %; 3 probes. */
FB_API fb_breaker_config fb_breaker_config_default(void);
/* FB_E_USAGE when something in it makes no sense, FB_E_NOMEM. Nothing is allocated later. */
FB_API fb_status fb_breaker_new(const fb_breaker_config *config, const fb_allocator *allocator,
                                fb_breaker **ret_breaker, fb_error *err);
/* When no other thread uses it any more. */
FB_API void fb_breaker_free(fb_breaker *breaker);

/* 0: the call may not be made. Else hand it to fb_breaker_record when the call is over, once. */
typedef uint32_t fb_permit;

typedef enum fb_result {
  FB_RESULT_OK,
  FB_RESULT_FAILED,
  FB_RESULT_IGNORED /* cancelled, or an error that says nothing about the other side: gives the
                     * permit back and counts as nothing */
} fb_result;

FB_API fb_permit fb_breaker_admit(fb_breaker *breaker, int64_t now);
/* `duration` of the call. What was admitted before the state last changed counts as nothing. */
FB_API void fb_breaker_record(fb_breaker *breaker, fb_permit permit, fb_result result,
                              int64_t duration, int64_t now);

/* By hand: to any of the forced states, or to CLOSED or OPEN, which then go on by themselves. A
 * breaker that is closed so starts with an empty window. FB_E_USAGE for FB_BREAKER_HALF_OPEN. */
FB_API fb_status fb_breaker_force(fb_breaker *breaker, fb_breaker_state state, int64_t now);

typedef struct fb_breaker_stats {
  fb_breaker_state state;
  uint32_t generation;
  uint64_t calls, failures, slow; /* in the window now; 0 without a window */
  uint32_t consecutive;           /* failures in a row until now; counted only if configured */
  uint32_t probes;                /* in flight; only while half open */
  uint32_t opened;                /* in a row, without having closed */
  int64_t left;                   /* until probes may go; only while open */
} fb_breaker_stats;

/* While other threads record, the counts are of slightly different moments. */
FB_API fb_breaker_stats fb_breaker_statistics(fb_breaker *breaker, int64_t now);
/* When the next call may be let through: 0 now, FB_NEVER when forced open. What a refusal tells
 * its caller (Retry-After). */
FB_API int64_t fb_breaker_left(fb_breaker *breaker, int64_t now);

FB_API const char *fb_breaker_state_name(fb_breaker_state state);
FB_API const char *fb_breaker_reason_name(fb_breaker_reason reason);

/* ── Rate limit ──────────────────────────────────────────────────────────────────────────────── */

/* A token bucket as one number (the generic cell rate algorithm): `tokens` in each `per`, at most
 * `burst` at once. Thread-safe, lock-free; needs no release. */
typedef struct fb_rate {
  int64_t next;     /* when the bucket will be full again; only by atomic operations */
  int64_t interval; /* between tokens, rounded up to a nanosecond */
  int64_t depth;    /* burst × interval */
  uint32_t burst;
} fb_rate;

/* Starts full. At most 10,000,000 tokens a second; burst 0: 1. FB_E_USAGE. */
FB_API fb_status fb_rate_init(fb_rate *rate, uint32_t tokens, int64_t per, uint32_t burst,
                              fb_error *err);
/* Takes `cost` tokens (≥ 1) if they are there. Else takes nothing, and *ret_wait (nullable) is when they
 * will be; FB_NEVER when they are more than the burst. */
FB_API bool fb_rate_take(fb_rate *rate, uint32_t cost, int64_t now, int64_t *ret_wait);
/* Takes them even if they come only later, but within `patience`: *ret_wait is how long the caller must
 * wait before it goes on (0: not at all). False: as fb_rate_take. */
FB_API bool fb_rate_reserve(fb_rate *rate, uint32_t cost, int64_t now, int64_t patience,
                            int64_t *ret_wait);

/* At most `limit` in any stretch of time `window`, estimated from this window's count and the share of the one
 * before that still lies in the stretch. Unlike a bucket it lets nothing through beyond `limit` after a pause.
 * Thread-safe, lock-free; needs no release. */
typedef struct fb_rate_window {
  uint64_t word; /* window number << 32 | count of the one before << 16 | count of this one */
  uint64_t window, per_nano;
  uint32_t limit;
} fb_rate_window;

/* limit 1 … 65,535; window 1 µs … 12 h. FB_E_USAGE. */
FB_API fb_status fb_rate_window_init(fb_rate_window *rate, uint32_t limit, int64_t window,
                                     fb_error *err);
/* As fb_rate_take. */
FB_API bool fb_rate_window_take(fb_rate_window *rate, uint32_t cost, int64_t now,
                                int64_t *ret_wait);

/* A token bucket a key (caller, address, tenant), in memory of fixed size. A key whose bucket is full again is
 * the same as one never seen, so its place is free: keys expire by themselves. Keys are told apart by
 * a seeded 64-bit hash. Thread-safe. */
typedef struct fb_rate_keys fb_rate_keys;

typedef struct fb_rate_keys_config {
  uint32_t tokens; /* these three as of fb_rate_init */
  int64_t per;
  uint32_t burst;
  uint32_t keys; /* how many limited at once there is room for, about; ≤ 16,777,216; 0: 1,024 */
  bool
      strict; /* when there is no room: refuse the newcomer, instead of forgetting the key that is nearest
                  * to being full again */
  uint64_t seed; /* fb_random_seed_system() when keys come from outside */
} fb_rate_keys_config;

FB_API fb_status fb_rate_keys_new(const fb_rate_keys_config *config, const fb_allocator *allocator,
                                  fb_rate_keys **ret_rates, fb_error *err);
FB_API void fb_rate_keys_free(fb_rate_keys *rates);
FB_API bool fb_rate_keys_take(fb_rate_keys *rates, fb_slice key, uint32_t cost, int64_t now,
                              int64_t *ret_wait);
/* Keys whose bucket is not full now. */
FB_API size_t fb_rate_keys_count(fb_rate_keys *rates, int64_t now);
/* Bytes, whatever happens. */
FB_API size_t fb_rate_keys_memory(const fb_rate_keys *rates);

/* ── Bulkhead ────────────────────────────────────────────────────────────────────────────────── */

/* At most so many at once; the rest wait their turn, first come first served, or are refused. Thread-safe.
 * Entering and leaving without a queue is one atomic operation each. */
typedef struct fb_bulkhead fb_bulkhead;

typedef enum fb_adapt {
  FB_ADAPT_NONE,
  FB_ADAPT_AIMD, /* one more while calls take less than `target`, a tenth fewer when they take longer */
  FB_ADAPT_GRADIENT /* follows how much longer calls take now than they used to */
} fb_adapt;

typedef struct fb_bulkhead_config {
  uint32_t limit;     /* in flight at once, 1 … 1,000,000; where an adaptive one begins */
  uint32_t queue;     /* waiting at once; 0: none */
  int64_t queue_time; /* nobody waits longer; 0: no bound */
  fb_adapt adapt;
  uint32_t least, most; /* bounds of an adaptive limit; 0: 1, and `limit` */
  int64_t target;       /* of FB_ADAPT_AIMD */
  uint32_t sample;      /* calls between changes of an adaptive limit, ≤ 2,000; 0: 100 */
} fb_bulkhead_config;

/* FB_E_USAGE, FB_E_NOMEM. Nothing is allocated later. */
FB_API fb_status fb_bulkhead_new(const fb_bulkhead_config *config, const fb_allocator *allocator,
                                 fb_bulkhead **ret_bulkhead, fb_error *err);
/* When nobody is in it or waits for it any more. */
FB_API void fb_bulkhead_free(fb_bulkhead *bulkhead);

/* In if there is room and nobody waits. Never queues, never blocks. */
FB_API bool fb_bulkhead_try(fb_bulkhead *bulkhead);
/* For each time that one got in. `latency`, `result`: how the call went, for an adaptive limit; a failed one (dropped,
 * timed out) lowers it, an ignored one says nothing. Lets in who waits. */
FB_API void fb_bulkhead_leave(fb_bulkhead *bulkhead, int64_t latency, fb_result result,
                              int64_t now);

typedef enum fb_ticket_state {
  FB_TICKET_IN,      /* leave it when done */
  FB_TICKET_WAITING, /* not yet */
  FB_TICKET_REFUSED, /* the queue is full */
  FB_TICKET_EXPIRED  /* waited too long */
} fb_ticket_state;

/* A place in the queue. The caller's memory; it must stay where it is while it waits. */
typedef struct fb_ticket {
  struct fb_ticket *next, *before; /* the queue's */
  int64_t deadline;
  fb_ticket_state state; /* read it by fb_bulkhead_poll */
  /* Set both before entering. Called once when the ticket gets in after having waited, on the thread that made
   * room, with no lock held. It is handed no ticket, which may be gone by then. Nullable: poll instead. */
  void (*in)(void *context);
  void *context;
} fb_ticket;

/* IN, WAITING or REFUSED, at once. The ticket waits until `deadline` and queue_time, whichever is first. */
FB_API fb_ticket_state fb_bulkhead_enter(fb_bulkhead *bulkhead, fb_ticket *ticket,
                                         fb_deadline deadline, int64_t now);
/* How it is now; a ticket whose time is over leaves the queue. */
FB_API fb_ticket_state fb_bulkhead_poll(fb_bulkhead *bulkhead, fb_ticket *ticket, int64_t now);
/* Out of the queue. False: it got in already, and must be left. */
FB_API bool fb_bulkhead_cancel(fb_bulkhead *bulkhead, fb_ticket *ticket);
/* Blocks this thread until it is in, refused or the deadline of `clock` (NULL: the system's) has passed. */
FB_API fb_ticket_state fb_bulkhead_wait(fb_bulkhead *bulkhead, fb_deadline deadline,
                                        const fb_clock *clock);

typedef struct fb_bulkhead_stats {
  uint32_t in, waiting, limit;
} fb_bulkhead_stats;
FB_API fb_bulkhead_stats fb_bulkhead_statistics(const fb_bulkhead *bulkhead);

/* ── Hedging ─────────────────────────────────────────────────────────────────────────────────── */

/* A call that may be made twice without harm is sent again when it takes longer than most, and the first good answer
 * counts. One fb_hedge for each service that is called; thread-safe, lock-free. */
typedef struct fb_hedge fb_hedge;

typedef struct fb_hedge_config {
  int64_t
      delay; /* a copy is sent after so long without an answer; with a percentile: until it is known; 0: none is */
  double percentile; /* of the latencies seen lately, between 0 and 1, instead of `delay`; 0: off */
  int64_t least, most;     /* bounds of the percentile's delay; most 0: none */
  uint32_t copies;         /* besides the first, ≤ 16, each a delay after the one before; 0: 1 */
  uint32_t minimum;        /* latencies that make a percentile; 0: 100 */
  fb_retry_budget *budget; /* a copy takes a token, a good answer puts some back; nullable */
} fb_hedge_config;

/* After the 95th percentile, 100 ms until it is known; one copy. */
FB_API fb_hedge_config fb_hedge_config_default(void);
/* FB_E_USAGE, FB_E_NOMEM. Nothing is allocated later. */
FB_API fb_status fb_hedge_new(const fb_hedge_config *config, const fb_allocator *allocator,
                              fb_hedge **ret_hedge, fb_error *err);
/* When no call of it is under way. */
FB_API void fb_hedge_free(fb_hedge *hedge);

/* One call with its copies. Belongs to one thread at a time; needs no release. */
typedef struct fb_hedge_call {
  fb_hedge *hedge;
  int64_t last;    /* when the last copy was sent */
  uint32_t copies; /* sent besides the first */
  bool over;       /* no more are to be sent */
} fb_hedge_call;

/* The first copy, number 0, is sent now. */
FB_API void fb_hedge_begin(fb_hedge_call *call, fb_hedge *hedge, int64_t now);
/* How long to wait for an answer before fb_hedge_send is asked; FB_NEVER: there will be no further copy. */
FB_API int64_t fb_hedge_left(const fb_hedge_call *call, int64_t now);
/* True: send another copy now, number call->copies. False: it is not time, or the budget is spent. */
FB_API bool fb_hedge_send(fb_hedge_call *call, int64_t now);
/* An answer that counts has come, or all copies have failed: the others are to be cancelled. `latency` of copy
 * number `copy` since it was sent. */
FB_API void fb_hedge_end(fb_hedge_call *call, uint32_t copy, fb_result result, int64_t latency);

typedef struct fb_hedge_stats {
  uint64_t calls, copies; /* begun; sent besides the first */
  uint64_t denied;        /* copies that the budget did not allow */
  uint64_t won;           /* calls that a copy answered first */
  int64_t delay;          /* now; FB_NEVER: not known yet */
} fb_hedge_stats;
FB_API fb_hedge_stats fb_hedge_statistics(const fb_hedge *hedge);

#ifdef __cplusplus
}
#endif
#endif
