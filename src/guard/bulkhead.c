/* SPDX-License-Identifier: Apache-2.0
 * Concurrency limit with a queue. One word: bits 0–31 how many are in, 32–63 how many wait.
 *
 * Invariant, whenever nobody holds the lock or is about to take it to let others in: who waits, waits because the
 * limit is reached. It holds because a waiter counts itself in the same word, under the lock, and only while there is
 * no room; whoever leaves later sees it there. The upper half and the list change only under the lock. */
#include <flyball/guard.h>

#include "guard/stripe.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

#define ONE_WAITING (UINT64_C(1) << 32)
#define SAMPLE_BITS \
  12 /* of `sampled`: calls; above them the sum of their latencies in nanoseconds */
#define LATENCY_MAX (INT64_C(1) << 38)

struct fb_bulkhead {
  _Alignas(FB_LINE) _Atomic uint64_t word;
  _Atomic uint32_t limit;
  _Alignas(FB_LINE) _Atomic uint64_t sampled;
  _Atomic uint32_t dropped; /* in this sample a call failed … */
  _Atomic uint32_t used;    /* … and at least half the limit was in use at some time */
  fb_bulkhead_config config;
  fb_allocator allocator;
  void *block;
  size_t block_size;
  /* Under the lock: */
  pthread_mutex_t lock;
  fb_ticket *first, *last;
  double wish;  /* the adaptive limit before rounding */
  double usual; /* long-term mean latency; 0: none yet */
};

/* ── Creation ── */

static fb_status S_check(const fb_bulkhead_config *config, fb_error *err) {
  if (config->limit < 1 || config->limit > 1000000)
    return fb_fail(err, FB_E_USAGE, "bulkhead: limit is %u; it is 1 to 1000000", config->limit);
  if (config->queue_time < 0) return fb_fail(err, FB_E_USAGE, "bulkhead: queue_time is negative");
  if ((unsigned)config->adapt > FB_ADAPT_GRADIENT)
    return fb_fail(err, FB_E_USAGE, "bulkhead: there is no adapt %d", (int)config->adapt);
  if (config->adapt == FB_ADAPT_AIMD && config->target <= 0)
    return fb_fail(err, FB_E_USAGE, "bulkhead: adapting to latency needs a target");
  if (config->sample > 2000)
    return fb_fail(err, FB_E_USAGE, "bulkhead: sample is %u; at most 2000", config->sample);
  if (config->least > config->limit || config->most > 1000000 ||
      (config->most && config->most < config->limit))
    return fb_fail(err, FB_E_USAGE, "bulkhead: limit is not between least and most");
  return FB_OK;
}

fb_status fb_bulkhead_new(const fb_bulkhead_config *config, const fb_allocator *allocator,
                          fb_bulkhead **ret_bulkhead, fb_error *err) {
  fb_status status = S_check(config, err);
  if (status != FB_OK) return status;
  size_t size = sizeof(fb_bulkhead) + FB_LINE;
  void *block = fb_alloc_zero(allocator, size);
  if (!block) return fb_fail(err, FB_E_NOMEM, "no memory for a bulkhead");
  fb_bulkhead *bulkhead =
      (fb_bulkhead *)(((uintptr_t)block + FB_LINE - 1) & ~(uintptr_t)(FB_LINE - 1));
  if (pthread_mutex_init(&bulkhead->lock, NULL) != 0) {
    fb_free(allocator, block, size);
    return fb_fail(err, FB_E_NOMEM, "no memory for a bulkhead's lock");
  }
  bulkhead->block = block;
  bulkhead->block_size = size;
  bulkhead->allocator = allocator ? *allocator : *fb_allocator_system();
  bulkhead->config = *config;
  if (!config->least) bulkhead->config.least = 1;
  if (!config->most) bulkhead->config.most = config->limit;
  if (!config->sample) bulkhead->config.sample = 100;
  bulkhead->wish = config->limit;
  atomic_init(&bulkhead->limit, config->limit);
  *ret_bulkhead = bulkhead;
  return FB_OK;
}

void fb_bulkhead_free(fb_bulkhead *bulkhead) {
  if (!bulkhead) return;
  fb_allocator allocator = bulkhead->allocator;
  pthread_mutex_destroy(&bulkhead->lock);
  fb_free(&allocator, bulkhead->block, bulkhead->block_size);
}

/* ── The queue, under the lock ── */

static void S_unlink(fb_bulkhead *bulkhead, fb_ticket *ticket) {
  if (ticket->before)
    ticket->before->next = ticket->next;
  else
    bulkhead->first = ticket->next;
  if (ticket->next)
    ticket->next->before = ticket->before;
  else
    bulkhead->last = ticket->before;
  ticket->next = ticket->before = NULL;
}

static void S_append(fb_bulkhead *bulkhead, fb_ticket *ticket) {
  ticket->next = NULL;
  ticket->before = bulkhead->last;
  if (bulkhead->last)
    bulkhead->last->next = ticket;
  else
    bulkhead->first = ticket;
  bulkhead->last = ticket;
}

static void S_drop(fb_bulkhead *bulkhead, fb_ticket *ticket, fb_ticket_state state) {
  S_unlink(bulkhead, ticket);
  ticket->state = state;
  atomic_fetch_sub_explicit(&bulkhead->word, ONE_WAITING, memory_order_relaxed);
}

static void S_drop_expired(fb_bulkhead *bulkhead, int64_t now) {
  for (fb_ticket *ticket = bulkhead->first, *next; ticket; ticket = next) {
    next = ticket->next;
    if (now >= ticket->deadline) S_drop(bulkhead, ticket, FB_TICKET_EXPIRED);
  }
}

/* One more in, and `waiting` fewer in the queue, if there is room. */
static bool S_take_room(fb_bulkhead *bulkhead, uint64_t waiting) {
  uint64_t word = atomic_load_explicit(&bulkhead->word, memory_order_relaxed);
  do
    if ((uint32_t)word >= atomic_load_explicit(&bulkhead->limit, memory_order_relaxed))
      return false;
  while (!atomic_compare_exchange_weak_explicit(&bulkhead->word, &word, word + 1 - waiting,
                                                memory_order_acquire, memory_order_relaxed));
  return true;
}

/* Lets in who waits while there is room. */
static void S_let_in(fb_bulkhead *bulkhead, int64_t now) {
  for (bool more = true; more;) {
    void (*in)(void *context) = NULL;
    void *context = NULL;
    pthread_mutex_lock(&bulkhead->lock);
    while (bulkhead->first && now >= bulkhead->first->deadline)
      S_drop(bulkhead, bulkhead->first, FB_TICKET_EXPIRED);
    fb_ticket *ticket = bulkhead->first;
    more = ticket && S_take_room(bulkhead, ONE_WAITING);
    if (more) {
      S_unlink(bulkhead, ticket);
      in = ticket->in;
      context = ticket->context;
      ticket->state = FB_TICKET_IN; /* from the unlock on the ticket may be gone */
    }
    pthread_mutex_unlock(&bulkhead->lock);
    if (in) in(context);
  }
}

/* ── In and out ── */

bool fb_bulkhead_try(fb_bulkhead *bulkhead) {
  uint64_t word = atomic_load_explicit(&bulkhead->word, memory_order_relaxed);
  do /* with anybody waiting, the word is more than any limit */
    if (word >= atomic_load_explicit(&bulkhead->limit, memory_order_relaxed)) return false;
  while (!atomic_compare_exchange_weak_explicit(&bulkhead->word, &word, word + 1,
                                                memory_order_acquire, memory_order_relaxed));
  return true;
}

fb_ticket_state fb_bulkhead_enter(fb_bulkhead *bulkhead, fb_ticket *ticket, fb_deadline deadline,
                                  int64_t now) {
  if (fb_bulkhead_try(bulkhead)) return ticket->state = FB_TICKET_IN;
  if (bulkhead->config.queue == 0) return ticket->state = FB_TICKET_REFUSED;
  fb_ticket_state state = FB_TICKET_WAITING;
  ticket->deadline = fb_deadline_within(deadline, now, bulkhead->config.queue_time).at;
  pthread_mutex_lock(&bulkhead->lock);
  uint64_t word = atomic_load_explicit(&bulkhead->word, memory_order_relaxed);
  if (word >> 32 >= bulkhead->config.queue) {
    S_drop_expired(bulkhead, now);
    word = atomic_load_explicit(&bulkhead->word, memory_order_relaxed);
  }
  do {
    bool room = word < atomic_load_explicit(&bulkhead->limit, memory_order_relaxed);
    state = room                                   ? FB_TICKET_IN
            : word >> 32 >= bulkhead->config.queue ? FB_TICKET_REFUSED
                                                   : FB_TICKET_WAITING;
  } while (state != FB_TICKET_REFUSED &&
           !atomic_compare_exchange_weak_explicit(&bulkhead->word, &word,
                                                  word + (state == FB_TICKET_IN ? 1 : ONE_WAITING),
                                                  memory_order_acquire, memory_order_relaxed));
  if (state == FB_TICKET_WAITING) S_append(bulkhead, ticket);
  ticket->state = state;
  pthread_mutex_unlock(&bulkhead->lock);
  return state;
}

fb_ticket_state fb_bulkhead_poll(fb_bulkhead *bulkhead, fb_ticket *ticket, int64_t now) {
  pthread_mutex_lock(&bulkhead->lock);
  if (ticket->state == FB_TICKET_WAITING && now >= ticket->deadline)
    S_drop(bulkhead, ticket, FB_TICKET_EXPIRED);
  fb_ticket_state state = ticket->state;
  pthread_mutex_unlock(&bulkhead->lock);
  return state;
}

bool fb_bulkhead_cancel(fb_bulkhead *bulkhead, fb_ticket *ticket) {
  pthread_mutex_lock(&bulkhead->lock);
  if (ticket->state == FB_TICKET_WAITING) S_drop(bulkhead, ticket, FB_TICKET_EXPIRED);
  bool out = ticket->state != FB_TICKET_IN;
  pthread_mutex_unlock(&bulkhead->lock);
  return out;
}

/* ── Adapting ── */

/* Under the lock: the new limit, from the mean latency of a sample. */
static double S_adapted(fb_bulkhead *bulkhead, double mean, bool dropped, bool used) {
  const fb_bulkhead_config *config = &bulkhead->config;
  double wish = bulkhead->wish;
  if (config->adapt == FB_ADAPT_AIMD) {
    if (dropped || mean > (double)config->target) return wish * 0.9;
    return used ? wish + 1 : wish; /* unused, a higher limit would prove nothing */
  }
  bulkhead->usual = bulkhead->usual > 0 ? bulkhead->usual * 0.95 + mean * 0.05 : mean;
  if (bulkhead->usual > 2 * mean)
    bulkhead->usual *= 0.95; /* recovered: forget the bad times sooner */
  if (dropped) return wish * 0.9;
  /* Up to half as long again is noise, not a queue on the other side. */
  double gradient = fmin(1, fmax(0.5, 1.5 * bulkhead->usual / fmax(mean, 1)));
  if (gradient >= 1 && !used) return wish;
  return wish * 0.8 + 0.2 * (wish * gradient + sqrt(wish));
}

static void S_adapt(fb_bulkhead *bulkhead, int64_t now) {
  uint64_t sampled = atomic_exchange_explicit(&bulkhead->sampled, 0, memory_order_relaxed);
  uint64_t calls = sampled & ((1u << SAMPLE_BITS) - 1);
  if (calls == 0) return; /* another thread was faster */
  bool dropped = atomic_exchange_explicit(&bulkhead->dropped, 0, memory_order_relaxed) != 0;
  bool used = atomic_exchange_explicit(&bulkhead->used, 0, memory_order_relaxed) != 0;
  pthread_mutex_lock(&bulkhead->lock);
  double wish =
      S_adapted(bulkhead, (double)(sampled >> SAMPLE_BITS) / (double)calls, dropped, used);
  bulkhead->wish = fmin(bulkhead->config.most, fmax(bulkhead->config.least, wish));
  atomic_store_explicit(&bulkhead->limit, (uint32_t)bulkhead->wish, memory_order_relaxed);
  pthread_mutex_unlock(&bulkhead->lock);
  S_let_in(bulkhead, now);
}

static bool S_sample(fb_bulkhead *bulkhead, uint32_t in, int64_t latency, fb_result result) {
  if (result == FB_RESULT_IGNORED) return false;
  if (result == FB_RESULT_FAILED)
    atomic_store_explicit(&bulkhead->dropped, 1, memory_order_relaxed);
  bool used = in >= (atomic_load_explicit(&bulkhead->limit, memory_order_relaxed) + 1) / 2;
  if (used && !atomic_load_explicit(&bulkhead->used, memory_order_relaxed))
    atomic_store_explicit(&bulkhead->used, 1, memory_order_relaxed);
  uint64_t nanos = latency < 0 ? 0 : (uint64_t)(latency < LATENCY_MAX ? latency : LATENCY_MAX);
  /* Two threads at once may lose one of their samples, or take one twice: that is cheaper than an addition of all threads. */
  uint64_t before = atomic_load_explicit(&bulkhead->sampled, memory_order_relaxed);
  atomic_store_explicit(&bulkhead->sampled, before + (nanos << SAMPLE_BITS | 1),
                        memory_order_relaxed);
  return (before & ((1u << SAMPLE_BITS) - 1)) + 1 >= bulkhead->config.sample;
}

void fb_bulkhead_leave(fb_bulkhead *bulkhead, int64_t latency, fb_result result, int64_t now) {
  uint64_t before = atomic_fetch_sub_explicit(&bulkhead->word, 1, memory_order_release);
  if (FB_UNLIKELY(before >> 32)) S_let_in(bulkhead, now);
  if (bulkhead->config.adapt != FB_ADAPT_NONE &&
      S_sample(bulkhead, (uint32_t)before, latency, result))
    S_adapt(bulkhead, now);
}

fb_bulkhead_stats fb_bulkhead_statistics(const fb_bulkhead *bulkhead) {
  uint64_t word = atomic_load_explicit(&bulkhead->word, memory_order_relaxed);
  return (fb_bulkhead_stats){.in = (uint32_t)word,
                             .waiting = (uint32_t)(word >> 32),
                             .limit = atomic_load_explicit(&bulkhead->limit, memory_order_relaxed)};
}

/* ── Blocking ── */

typedef struct S_sleeper {
  pthread_mutex_t lock;
  pthread_cond_t woken;
  bool in;
} S_sleeper;

static void S_wake(void *context) {
  S_sleeper *sleeper = context;
  pthread_mutex_lock(&sleeper->lock);
  sleeper->in = true;
  pthread_cond_signal(&sleeper->woken);
  pthread_mutex_unlock(&sleeper->lock);
}

/* Sleeps at most `left`; true once it is in. */
static bool S_sleep(S_sleeper *sleeper, int64_t left) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  int64_t second = left / FB_SECOND < 1000000000 ? left / FB_SECOND : 1000000000;
  int64_t nanos = until.tv_nsec + left % FB_SECOND;
  until.tv_sec += (time_t)(second + nanos / FB_SECOND);
  until.tv_nsec = (long)(nanos % FB_SECOND);
  pthread_mutex_lock(&sleeper->lock);
  int status = 0;
  while (!sleeper->in && status == 0)
    status = pthread_cond_timedwait(&sleeper->woken, &sleeper->lock, &until);
  bool in = sleeper->in;
  pthread_mutex_unlock(&sleeper->lock);
  return in;
}

static bool S_sleeper_init(S_sleeper *sleeper) {
  pthread_condattr_t attributes;
  sleeper->in = false;
  if (pthread_condattr_init(&attributes) != 0) return false;
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  bool made = pthread_cond_init(&sleeper->woken, &attributes) == 0;
  pthread_condattr_destroy(&attributes);
  if (!made) return false;
  if (pthread_mutex_init(&sleeper->lock, NULL) == 0) return true;
  pthread_cond_destroy(&sleeper->woken);
  return false;
}

fb_ticket_state fb_bulkhead_wait(fb_bulkhead *bulkhead, fb_deadline deadline,
                                 const fb_clock *clock) {
  S_sleeper sleeper;
  if (fb_bulkhead_try(bulkhead)) return FB_TICKET_IN;
  if (!clock) clock = fb_clock_system();
  if (!S_sleeper_init(&sleeper)) return FB_TICKET_REFUSED;
  fb_ticket ticket = {.in = S_wake, .context = &sleeper};
  int64_t now = clock->mono(clock->context);
  fb_ticket_state state = fb_bulkhead_enter(bulkhead, &ticket, deadline, now);
  if (state == FB_TICKET_WAITING) {
    state = FB_TICKET_IN;
    if (!S_sleep(&sleeper, fb_deadline_left((fb_deadline){ticket.deadline}, now))) {
      /* Either it is out of the queue now, or whoever let it in is about to say so, and needs the sleeper. */
      if (fb_bulkhead_cancel(bulkhead, &ticket))
        state = FB_TICKET_EXPIRED;
      else
        while (!S_sleep(&sleeper, FB_NEVER)) {
        }
      if (sleeper.in) state = FB_TICKET_IN;
    }
  }
  pthread_mutex_destroy(&sleeper.lock);
  pthread_cond_destroy(&sleeper.woken);
  return state;
}
