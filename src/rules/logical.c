/* SPDX-License-Identifier: Apache-2.0
 *
 * Truth maintenance. An activation that asserted logically is kept after it fired, linked to its facts
 * like a waiting one, and so is found by the changes that break it; then what it supports loses a reason.
 * A fact without a reason is not withdrawn in the middle of the change but after it, earliest first.
 */
#include "rules/session.h"

void fb_logical_init(fb_session *session) {
  fb_pool_init(&session->truth.reasons, &session->allocator, sizeof(fb_reason));
}

void fb_logical_release(fb_session *session) {
  fb_truth *truth = &session->truth;
  const fb_allocator *allocator = &session->allocator;
  fb_free(allocator, truth->items, truth->cap * sizeof *truth->items);
  fb_free(allocator, truth->buckets, truth->bucket_count * sizeof *truth->buckets);
  fb_free(allocator, truth->waiting, truth->waiting_cap * sizeof *truth->waiting);
  fb_pool_release(&truth->reasons);
  *truth = (fb_truth){0};
}

/* ── Logical facts by what they say ── */

static uint64_t S_hash(const fb_session *session, uint32_t type, uint32_t row) {
  const fb_facts *facts = session->memories[type].facts;
  uint64_t hash = fb_hash_u64(type + 1);
  for (uint32_t f = 0; f < fb_facts_type(facts)->field_count; f++) {
    fb_value value = fb_facts_get(facts, row, f);
    if (value.kind != FB_ABSENT)
      hash = fb_hash_mix(hash, fb_hash_mix(f + 1, fb_value_hash(value, 0)));
  }
  return hash;
}

static bool S_same(const fb_session *session, uint32_t type, uint32_t a, uint32_t b) {
  const fb_facts *facts = session->memories[type].facts;
  for (uint32_t f = 0; f < fb_facts_type(facts)->field_count; f++) {
    fb_value x = fb_facts_get(facts, a, f), y = fb_facts_get(facts, b, f);
    if (x.kind != y.kind || (x.kind != FB_ABSENT && fb_value_order(x, y) != 0)) return false;
  }
  return true;
}

static void S_hash_in(fb_truth *truth, uint32_t number) {
  uint32_t *head = &truth->buckets[truth->items[number].hash & (truth->bucket_count - 1)];
  truth->items[number].next = *head;
  *head = number;
}

static void S_hash_out(fb_truth *truth, uint32_t number) {
  uint32_t *at = &truth->buckets[truth->items[number].hash & (truth->bucket_count - 1)];
  while (*at != number) at = &truth->items[*at].next;
  *at = truth->items[number].next;
}

static bool S_grow_buckets(fb_session *session) {
  fb_truth *truth = &session->truth;
  if (truth->live < truth->bucket_count) return true;
  size_t count = truth->bucket_count ? truth->bucket_count * 2 : 64;
  uint32_t *buckets = fb_alloc_zero(&session->allocator, count * sizeof *buckets);
  if (!buckets) return false;
  fb_free(&session->allocator, truth->buckets, truth->bucket_count * sizeof *buckets);
  truth->buckets = buckets;
  truth->bucket_count = count;
  for (uint32_t i = 1; i < truth->count; i++)
    if (truth->items[i].place) S_hash_in(truth, i);
  return true;
}

/* Of several the earliest, so that the answer does not depend on the table. */
static uint32_t S_find(const fb_session *session, uint32_t type, uint32_t row) {
  const fb_truth *truth = &session->truth;
  uint64_t hash = S_hash(session, type, row);
  uint32_t best = 0;
  if (!truth->bucket_count) return 0;
  for (uint32_t i = truth->buckets[hash & (truth->bucket_count - 1)]; i; i = truth->items[i].next) {
    const fb_logical *item = &truth->items[i];
    const fb_fact *fact = &session->facts[item->place];
    if (item->hash != hash || fact->type != type || !S_same(session, type, row, fact->row))
      continue;
    if (!best || item->serial < truth->items[best].serial) best = i;
  }
  return best;
}

/* ── Facts that wait to be withdrawn: a heap by the order of assertion ── */

static uint64_t S_serial(const fb_session *session, size_t at) {
  return session->truth.items[session->truth.waiting[at]].serial;
}

static void S_swap(fb_truth *truth, size_t a, size_t b) {
  uint32_t kept = truth->waiting[a];
  truth->waiting[a] = truth->waiting[b];
  truth->waiting[b] = kept;
}

static void S_sink(fb_session *session, size_t at) {
  fb_truth *truth = &session->truth;
  for (size_t child; (child = at * 2 + 1) < truth->waiting_count; at = child) {
    if (child + 1 < truth->waiting_count && S_serial(session, child + 1) < S_serial(session, child))
      child++;
    if (S_serial(session, at) <= S_serial(session, child)) return;
    S_swap(truth, at, child);
  }
}

static void S_wait(fb_session *session, uint32_t number) {
  fb_truth *truth = &session->truth;
  if (truth->items[number].waits) return;
  truth->items[number].waits = true;
  size_t at = truth->waiting_count++;
  truth->waiting[at] = number;
  while (at && S_serial(session, at) < S_serial(session, (at - 1) / 2)) {
    S_swap(truth, at, (at - 1) / 2);
    at = (at - 1) / 2;
  }
}

static uint32_t S_first(fb_session *session) {
  fb_truth *truth = &session->truth;
  uint32_t number = truth->waiting[0];
  truth->waiting[0] = truth->waiting[--truth->waiting_count];
  S_sink(session, 0);
  truth->items[number].waits = false;
  return number;
}

/* ── Reasons ── */

static void S_free_item(fb_truth *truth, uint32_t number) {
  truth->items[number].next = truth->free;
  truth->free = number;
}

static void S_drop_reason(fb_session *session, fb_reason *reason) {
  fb_truth *truth = &session->truth;
  fb_logical *item = &truth->items[reason->logical];
  if (reason->prev)
    reason->prev->next = reason->next;
  else
    item->reasons = reason->next;
  if (reason->next)
    reason->next->prev = reason->prev;
  else
    item->last = reason->prev;
  if (item->reasons)
    fb_memory_origin(session, item->place)->made_by = item->reasons->firing; /* `why` tells it */
  else
    S_wait(session, reason->logical);
  fb_pool_put(&truth->reasons, reason);
}

void fb_logical_keep(fb_session *session, fb_activation *activation) {
  fb_agenda_keep(session, activation);
  activation->fired = true;
  activation->reasons = NULL;
  session->truth.firing = activation;
  session->truth.supports++;
}

void fb_logical_lose(fb_session *session, fb_activation *activation) {
  fb_truth *truth = &session->truth;
  for (fb_reason *at = activation->reasons, *next; at; at = next) {
    next = at->owner_next;
    S_drop_reason(session, at);
  }
  activation->reasons = NULL;
  truth->supports--;
  if (truth->firing == activation)
    truth->firing = NULL; /* freed at the end of its firing */
  else
    fb_agenda_free(session, activation);
}

/* A fact goes: its reasons go with it. */
static void S_forget(fb_session *session, uint32_t place) {
  fb_truth *truth = &session->truth;
  uint32_t number = fb_place_origin(session, place).logical;
  if (!number) return;
  fb_logical *item = &truth->items[number];
  for (fb_reason *at = item->reasons, *next; at; at = next) {
    next = at->next;
    fb_reason **own = &at->owner->reasons;
    while (*own != at) own = &(*own)->owner_next;
    *own = at->owner_next;
    fb_pool_put(&truth->reasons, at);
  }
  S_hash_out(truth, number);
  item->reasons = item->last = NULL;
  item->place = 0;
  truth->live--;
  if (!item->waits) S_free_item(truth, number);
}

/* Makes room, so that what follows the change cannot fail. */
static fb_status S_reserve(fb_session *session, fb_reason **ret_reason) {
  fb_truth *truth = &session->truth;
  const fb_allocator *allocator = &session->allocator;
  if (!truth->count) truth->count = 1;
  if (!truth->free) {
    if (truth->count == UINT32_MAX) return FB_E_LIMIT;
    if (!fb_grow(allocator, (void **)&truth->items, &truth->cap, truth->count,
                 sizeof *truth->items) ||
        !fb_grow(allocator, (void **)&truth->waiting, &truth->waiting_cap, truth->count,
                 sizeof *truth->waiting))
      return FB_E_NOMEM;
    truth->items[truth->count] = (fb_logical){0};
    S_free_item(truth, truth->count++);
  }
  if (!S_grow_buckets(session) || !(*ret_reason = fb_pool_get(&truth->reasons))) return FB_E_NOMEM;
  return FB_OK;
}

/* The fact has an origin, so that it can be written to. */
static uint32_t S_new_item(fb_session *session, uint32_t place) {
  fb_truth *truth = &session->truth;
  const fb_fact *fact = &session->facts[place];
  uint32_t number = truth->free;
  truth->free = truth->items[number].next;
  truth->items[number] = (fb_logical){.place = place,
                                      .serial = fb_place_serial(session, place),
                                      .hash = S_hash(session, fact->type, fact->row)};
  S_hash_in(truth, number);
  truth->live++;
  fb_memory_origin(session, place)->logical = number;
  return number;
}

static void S_add_reason(fb_session *session, uint32_t number, fb_reason *reason) {
  fb_truth *truth = &session->truth;
  fb_logical *item = &truth->items[number];
  for (fb_reason *at = truth->firing->reasons; at; at = at->owner_next)
    if (at->logical == number) {
      fb_pool_put(&truth->reasons, reason);
      return;
    }
  *reason = (fb_reason){.prev = item->last,
                        .owner = truth->firing,
                        .owner_next = truth->firing->reasons,
                        .firing = session->firing,
                        .logical = number};
  if (item->last)
    item->last->next = reason;
  else
    item->reasons = reason;
  item->last = reason;
  truth->firing->reasons = reason;
}

fb_status fb_logical_assert(fb_session *session, uint32_t type, uint32_t row, fb_error *err) {
  fb_truth *truth = &session->truth;
  fb_memory *memory = &session->memories[type];
  fb_reason *reason = NULL;
  uint32_t place;
  fb_status status = truth->firing ? S_reserve(session, &reason) : FB_OK;
  uint32_t number = reason ? S_find(session, type, row) : 0;
  if (!reason || number) fb_memory_free_row(session, memory, row);
  if (status != FB_OK && !reason) return fb_fail(err, status, "no memory for a fact's reason");
  if (!reason) return FB_OK; /* an action above has taken the reason away */
  if (number) {
    S_add_reason(session, number, reason);
    place = truth->items[number].place;
  } else {
    status = fb_session_insert_row(session, type, row, &place, err);
    if (status != FB_OK) {
      fb_pool_put(&truth->reasons, reason);
      return status;
    }
    number = S_new_item(session, place);
    if (truth->firing)
      S_add_reason(session, number, reason);
    else
      fb_pool_put(&truth->reasons, reason); /* the fact itself broke its reason */
  }
  if (session->options.explain && fb_why_made(session, place) != FB_OK)
    status = fb_fail(err, FB_E_NOMEM, "no memory for the log of firings");
  if (!truth->items[number].reasons) S_wait(session, number);
  if (status == FB_OK) status = fb_logical_withdraw(session);
  if (status != FB_OK) session->lost = true;
  return status;
}

void fb_logical_changed(fb_session *session, uint32_t place) {
  fb_truth *truth = &session->truth;
  const fb_fact *fact = &session->facts[place];
  uint32_t number = fb_place_origin(session, place).logical;
  if (!number) return;
  S_hash_out(truth, number);
  truth->items[number].hash = S_hash(session, fact->type, fact->row);
  S_hash_in(truth, number);
}

/* ── Withdrawing ── */

fb_status fb_logical_remove(fb_session *session, uint32_t place) {
  fb_expiry_leave(session, place);
  fb_status status = fb_match_remove(session, place);
  if (session->refused) return status;
  S_forget(session, place);
  fb_memory_unplace(session, place);
  session->stats.retracted++;
  return status;
}

fb_status fb_logical_withdraw(fb_session *session) {
  fb_truth *truth = &session->truth;
  fb_status status = FB_OK;
  while (truth->waiting_count && status == FB_OK) {
    uint32_t number = S_first(session);
    fb_logical *item = &truth->items[number];
    if (!item->place)
      S_free_item(truth, number);
    else if (!item->reasons) /* may have found another since */
      status = fb_logical_remove(session, item->place);
  }
  return status;
}

void fb_logical_end(fb_session *session, fb_activation *activation) {
  fb_truth *truth = &session->truth;
  bool kept = truth->firing == activation;
  truth->firing = NULL;
  if (!kept)
    fb_agenda_free(session, activation);
  else if (!activation->reasons)
    fb_agenda_kill(session, activation);
}

fb_status fb_logical_restore(fb_session *session, const fb_rule *rule, uint64_t firing,
                             const uint32_t *supported, uint32_t count) {
  fb_status status;
  fb_activation *activation = fb_agenda_make(session, rule, &status);
  if (!activation) return status == FB_OK ? FB_E_RULE_SNAPSHOT : status;
  session->firing = firing;
  fb_logical_keep(session, activation);
  for (uint32_t i = 0; i < count && status == FB_OK; i++) {
    fb_reason *reason;
    const fb_origin *origin = fb_memory_origin(session, supported[i]);
    status = origin ? S_reserve(session, &reason) : FB_E_NOMEM;
    if (status == FB_OK)
      S_add_reason(session, origin->logical ? origin->logical : S_new_item(session, supported[i]),
                   reason);
  }
  fb_logical_end(session, activation);
  return status;
}
