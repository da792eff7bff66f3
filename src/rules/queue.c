/* SPDX-License-Identifier: Apache-2.0
 *
 * What waits where stacks by salience will not do: with another strategy than depth, with saliences that are computed, with
 * groups, with rules that are not always in effect. A heap for each group, the first to fire at its root, and a list of what
 * waits for its time. An activation knows where it is, and is taken out when it dies.
 *
 *   rank     what an activation has behind its links: where it is, and the ticks of its facts where the strategy asks for them
 *   recency  of a fact: the tick of its assertion, or of its last modify
 */
#include "rules/session.h"

#include <stdlib.h>

enum { FOCUS_MAX = 1 << 16 };

static fb_rank *S_rank(const fb_activation *activation) {
  return (fb_rank *)&activation->links[activation->count];
}

static bool S_has_tags(const fb_session *session) {
  return session->strategy == FB_STRATEGY_LEX || session->strategy == FB_STRATEGY_MEA;
}

bool fb_queue_has_tags(const fb_session *session) {
  return S_has_tags(session);
}

const uint64_t *fb_queue_tags(const fb_session *session, const fb_activation *activation) {
  return S_has_tags(session) ? S_rank(activation)->tags : NULL;
}

size_t fb_queue_extra(const fb_session *session, uint32_t count) {
  if (!session->queued) return 0;
  return sizeof(fb_rank) + (S_has_tags(session) ? count * sizeof(uint64_t) : 0);
}

fb_status fb_queue_init(fb_session *session) {
  /* One more, for what waits for its time. */
  size_t count = session->set->group_count + 1;
  session->agenda.queues =
      fb_alloc_zero(&session->allocator, count * sizeof *session->agenda.queues);
  return session->agenda.queues ? FB_OK : FB_E_NOMEM;
}

void fb_queue_release(fb_session *session) {
  fb_agenda *agenda = &session->agenda;
  const fb_allocator *allocator = &session->allocator;
  size_t count = session->set->group_count + 1;
  for (size_t i = 0; agenda->queues && i < count; i++)
    fb_free(allocator, agenda->queues[i].items,
            agenda->queues[i].cap * sizeof *agenda->queues[i].items);
  if (agenda->queues) fb_free(allocator, agenda->queues, count * sizeof *agenda->queues);
  fb_free(allocator, agenda->focus, agenda->focus_cap * sizeof *agenda->focus);
  fb_free(allocator, session->recencies, session->recency_cap * sizeof *session->recencies);
}

void fb_queue_trim(fb_session *session) {
  for (size_t i = 0; i <= session->set->group_count; i++) {
    fb_queue *queue = &session->agenda.queues[i];
    fb_free(&session->allocator, queue->items, queue->cap * sizeof *queue->items);
    *queue = (fb_queue){0};
  }
}

/* ── Recency ── */

fb_status fb_queue_touch(fb_session *session, uint32_t place) {
  if (!S_has_tags(session)) return FB_OK;
  if (place >= session->recency_cap) {
    size_t cap = session->recency_cap * 2 > place + 64u ? session->recency_cap * 2 : place + 64u;
    uint64_t *more = fb_resize(&session->allocator, session->recencies,
                               session->recency_cap * sizeof *more, cap * sizeof *more);
    if (!more) return FB_E_NOMEM;
    memset(more + session->recency_cap, 0, (cap - session->recency_cap) * sizeof *more);
    session->recencies = more;
    session->recency_cap = cap;
  }
  session->recencies[place] = session->tick;
  return FB_OK;
}

uint64_t fb_queue_recency(const fb_session *session, uint32_t place) {
  uint64_t serial = fb_place_serial(session, place);
  uint64_t touched = place < session->recency_cap ? session->recencies[place] : 0;
  return touched > serial ? touched
                          : serial; /* of a fact that had the place before: not after its serial */
}

/* ── Rank ── */

static int32_t S_salience(fb_session *session, const fb_rule *rule) {
  fb_value value;
  fb_error err = {0};
  if (!rule->salience) return rule->info.salience;
  fb_arena_mark mark = fb_arena_save(&session->scratch);
  session->context.steps = session->options.max_steps ? session->options.max_steps : 10000000;
  fb_status status =
      fb_template_eval(rule->salience, session->slots, &session->context, &value, &err);
  int64_t salience = 0;
  if (status == FB_OK && value.kind == FB_INT)
    salience = value.as.i;
  else if (status == FB_OK && value.kind == FB_UINT)
    salience = value.as.u > FB_RULE_MAX_SALIENCE ? INT64_MAX : value.as.i;
  else if (status == FB_OK)
    status =
        fb_fail(&err, FB_E_RULE_VALUE, "salience is an integer, not %s", fb_kind_name(value.kind));
  if (salience < -FB_RULE_MAX_SALIENCE || salience > FB_RULE_MAX_SALIENCE)
    status = fb_fail(&err, FB_E_RULE_VALUE, "salience is between -%d and %d", FB_RULE_MAX_SALIENCE,
                     FB_RULE_MAX_SALIENCE);
  fb_arena_rewind(&session->scratch, mark);
  if (status == FB_OK) return (int32_t)salience;
  fb_rule_place place = {.node = rule->salience_node};
  if (err.code == FB_E_CEL_NO_KEY) err.code = FB_E_RULE_VALUE; /* here it is worth a report */
  fb_error_hint(&err, "the activation waits with salience 0");
  fb_session_report(session, rule->number, &place, &err);
  return 0;
}

static int S_falling(const void *pa, const void *pb) {
  uint64_t a = *(const uint64_t *)pa, b = *(const uint64_t *)pb;
  return a > b ? -1 : a < b;
}

/* MEA: the first fact's, then all, the latest first. */
static void S_tag(fb_session *session, const fb_rule *rule, const fb_activation *activation,
                  uint64_t *tags) {
  for (uint32_t i = 0; i < activation->count; i++)
    tags[i] = fb_slot_is_fact(rule, i) ? fb_queue_recency(session, activation->links[i].place) : 0;
  if (activation->count > 1) qsort(tags, activation->count, sizeof *tags, S_falling);
}

static uint64_t S_chance(const fb_session *session, const fb_rule *rule,
                         const fb_activation *activation) {
  uint64_t hash = fb_hash_mix(fb_hash_u64(session->seed + 1), activation->tick);
  hash = fb_hash_mix(hash, rule->number);
  for (uint32_t i = 0; i < activation->count; i++)
    hash = fb_hash_mix(hash, activation->links[i].place);
  return hash;
}

/* The greater fires first. */
static uint64_t S_key(const fb_session *session, const fb_rule *rule,
                      const fb_activation *activation) {
  switch (session->strategy) {
    case FB_STRATEGY_BREADTH: return ~activation->tick;
    case FB_STRATEGY_COMPLEXITY: return rule->complexity;
    case FB_STRATEGY_SIMPLICITY: return ~(uint64_t)rule->complexity;
    case FB_STRATEGY_RANDOM: return S_chance(session, rule, activation);
    case FB_STRATEGY_LEX: return activation->count ? S_rank(activation)->tags[0] : 0;
    case FB_STRATEGY_MEA:
      return activation->count && fb_slot_is_fact(rule, 0)
                 ? fb_queue_recency(session, activation->links[0].place)
                 : 0;
    default: return activation->tick;
  }
}

void fb_queue_rank(fb_session *session, fb_activation *activation) {
  const fb_rule *rule = &session->set->rules[activation->rule];
  fb_rank *rank = S_rank(activation);
  const fb_ranked *saved = session->agenda.restored;
  if (saved) {
    rank->salience = saved->salience;
    rank->key = saved->key;
    if (S_has_tags(session))
      memcpy(rank->tags, saved->tags, activation->count * sizeof *rank->tags);
    return;
  }
  rank->salience = S_salience(session, rule);
  if (S_has_tags(session)) S_tag(session, rule, activation, rank->tags);
  rank->key = S_key(session, rule, activation);
}

/* ── Order ── */

/* Of two with the same newest fact (MEA: the same first fact). A guard counts as a fact before all others. */
static int S_by_tags(const fb_session *session, const fb_activation *a, const fb_activation *b) {
  const fb_rule *ra = &session->set->rules[a->rule], *rb = &session->set->rules[b->rule];
  const uint64_t *x = S_rank(a)->tags, *y = S_rank(b)->tags;
  uint32_t na = a->count + ra->guard_count, nb = b->count + rb->guard_count;
  for (uint32_t i = 0; i < na && i < nb; i++) {
    uint64_t left = i < a->count ? x[i] : 0, right = i < b->count ? y[i] : 0;
    if (left != right) return left > right ? -1 : 1;
  }
  if (na != nb) return na > nb ? -1 : 1;
  if (ra->complexity != rb->complexity) return ra->complexity > rb->complexity ? -1 : 1;
  return 0;
}

/* Does `a` fire before `b`? */
static bool S_before(const fb_session *session, const fb_queued *a, const fb_queued *b) {
  if (a->salience != b->salience) return a->salience > b->salience;
  if (a->key != b->key) return a->key > b->key;
  const fb_activation *x = a->activation, *y = b->activation;
  int order = S_has_tags(session) ? S_by_tags(session, x, y) : 0;
  if (order) return order < 0;
  if (x->tick != y->tick) return x->tick < y->tick;
  if (x->rule != y->rule) return x->rule < y->rule;
  const fb_rule *rule = &session->set->rules[x->rule];
  bool depth = session->strategy == FB_STRATEGY_DEPTH;
  for (uint32_t i = 0; i < x->count; i++) {
    if (x->links[i].place == y->links[i].place) continue;
    order = fb_slot_order(session, rule, i, x->links[i].place, y->links[i].place);
    if (order) return depth == (order < 0);
  }
  return false;
}

static void S_put(fb_queue *queue, size_t at, fb_queued item) {
  queue->items[at] = item;
  S_rank(item.activation)->at = (uint32_t)at;
}

static void S_rise(const fb_session *session, fb_queue *queue, size_t at, fb_queued item) {
  while (at && S_before(session, &item, &queue->items[(at - 1) / 2])) {
    S_put(queue, at, queue->items[(at - 1) / 2]);
    at = (at - 1) / 2;
  }
  S_put(queue, at, item);
}

static void S_sink(const fb_session *session, fb_queue *queue, size_t at, fb_queued item) {
  for (size_t child; (child = at * 2 + 1) < queue->count; at = child) {
    if (child + 1 < queue->count &&
        S_before(session, &queue->items[child + 1], &queue->items[child]))
      child++;
    if (!S_before(session, &queue->items[child], &item)) break;
    S_put(queue, at, queue->items[child]);
  }
  S_put(queue, at, item);
}

static bool S_is_resting(const fb_session *session, uint32_t queue) {
  return queue == session->set->group_count;
}

static bool S_room(fb_session *session, uint32_t number) {
  fb_queue *queue = &session->agenda.queues[number];
  return queue->count < UINT32_MAX && fb_grow(&session->allocator, (void **)&queue->items,
                                              &queue->cap, queue->count, sizeof *queue->items);
}

/* There is room. */
static void S_insert(fb_session *session, uint32_t number, fb_queued item) {
  fb_queue *queue = &session->agenda.queues[number];
  size_t at = queue->count++;
  S_rank(item.activation)->queue = number;
  if (S_is_resting(session, number))
    S_put(queue, at, item);
  else
    S_rise(session, queue, at, item);
}

static fb_queued S_take(fb_session *session, uint32_t number, size_t at) {
  fb_queue *queue = &session->agenda.queues[number];
  fb_queued taken = queue->items[at], last = queue->items[--queue->count];
  if (at == queue->count) return taken;
  if (S_is_resting(session, number))
    S_put(queue, at, last);
  else if (at && S_before(session, &last, &queue->items[(at - 1) / 2]))
    S_rise(session, queue, at, last);
  else
    S_sink(session, queue, at, last);
  return taken;
}

/* ── Effect ── */

bool fb_rule_in_effect(const fb_session *session, const fb_rule *rule) {
  if (!rule->timed) return true;
  bool told = session->now.kind == FB_TIMESTAMP;
  if (rule->from.kind == FB_TIMESTAMP && (!told || fb_value_order(session->now, rule->from) < 0))
    return false;
  return rule->until.kind != FB_TIMESTAMP || !told || fb_value_order(session->now, rule->until) < 0;
}

fb_status fb_queue_wake(fb_session *session) {
  uint32_t resting = session->set->group_count;
  fb_queue *queue = &session->agenda.queues[resting];
  for (size_t at = 0; at < queue->count;) {
    const fb_rule *rule = &session->set->rules[queue->items[at].activation->rule];
    if (!fb_rule_in_effect(session, rule)) {
      at++;
      continue;
    }
    if (!S_room(session, rule->group)) return FB_E_NOMEM;
    S_insert(session, rule->group, S_take(session, resting, at));
  }
  return FB_OK;
}

/* ── What the agenda asks for ── */

/* One that may come to rest has room there. */
static bool S_all_room(fb_session *session, const fb_rule *rule) {
  fb_agenda *agenda = &session->agenda;
  fb_queue *resting = &agenda->queues[session->set->group_count];
  if (!S_room(session, rule->group)) return false;
  while (rule->timed && resting->cap <= agenda->timed)
    if (!fb_grow(&session->allocator, (void **)&resting->items, &resting->cap, resting->cap,
                 sizeof *resting->items))
      return false;
  return true;
}

bool fb_queue_push_to(fb_session *session, fb_activation *activation, uint32_t queue) {
  const fb_rule *rule = &session->set->rules[activation->rule];
  const fb_rank *rank = S_rank(activation);
  if (!S_all_room(session, rule)) return false;
  session->agenda.timed += rule->timed;
  S_insert(session, queue, (fb_queued){rank->salience, rank->key, activation});
  return true;
}

bool fb_queue_push(fb_session *session, fb_activation *activation) {
  return fb_queue_push_to(session, activation, session->set->rules[activation->rule].group);
}

void fb_queue_remove(fb_session *session, fb_activation *activation) {
  const fb_rank *rank = S_rank(activation);
  session->agenda.timed -= session->set->rules[activation->rule].timed;
  S_take(session, rank->queue, rank->at);
}

/* The first of the group that is in effect; what is not goes to rest. */
static fb_activation *S_first(fb_session *session, uint32_t group) {
  const fb_queue *queue = &session->agenda.queues[group];
  while (queue->count) {
    fb_activation *activation = S_take(session, group, 0).activation;
    const fb_rule *rule = &session->set->rules[activation->rule];
    const fb_rank *rank = S_rank(activation);
    if (fb_rule_in_effect(session, rule)) {
      session->agenda.timed -= rule->timed;
      return activation;
    }
    S_insert(session, session->set->group_count,
             (fb_queued){rank->salience, rank->key, activation});
  }
  return NULL;
}

void fb_queue_get_rank(const fb_session *session, const fb_activation *activation,
                       fb_ranked *ret_rank) {
  const fb_rank *rank = S_rank(activation);
  ret_rank->salience = rank->salience;
  ret_rank->key = rank->key;
  if (S_has_tags(session))
    memcpy(ret_rank->tags, rank->tags, activation->count * sizeof *rank->tags);
}

fb_activation *fb_queue_pop(fb_session *session) {
  fb_agenda *agenda = &session->agenda;
  for (;;) {
    uint32_t group = agenda->focus_count ? agenda->focus[agenda->focus_count - 1] : 0;
    fb_activation *first = S_first(session, group);
    if (first) return first;
    if (!agenda->focus_count) return NULL;
    agenda->focus_count--;
  }
}

void fb_queue_unpop(fb_session *session, fb_activation *activation) {
  const fb_rule *rule = &session->set->rules[activation->rule];
  const fb_rank *rank = S_rank(activation);
  session->agenda.timed += rule->timed;
  S_insert(session, rule->group, (fb_queued){rank->salience, rank->key, activation});
}

/* ── Focus ── */

fb_status fb_queue_focus(fb_session *session, uint32_t group) {
  fb_agenda *agenda = &session->agenda;
  uint32_t top = agenda->focus_count ? agenda->focus[agenda->focus_count - 1] : 0;
  if (top == group) return FB_OK;
  if (agenda->focus_count == FOCUS_MAX) return FB_E_LIMIT;
  if (!fb_grow(&session->allocator, (void **)&agenda->focus, &agenda->focus_cap,
               agenda->focus_count, sizeof *agenda->focus))
    return FB_E_NOMEM;
  agenda->focus[agenda->focus_count++] = group;
  return FB_OK;
}

fb_status fb_session_focus(fb_session *session, fb_slice group, fb_error *err) {
  uint32_t number = fb_rule_group_named(session->set, group);
  int len = (int)(group.len > 80 ? 80 : group.len);
  if (number == FB_RULE_NONE || !session->queued)
    return number == 0
               ? FB_OK
               : fb_fail(err, FB_E_RULE_GROUP, "no rule is in a group `%.*s`", len, group.ptr);
  fb_status status = fb_queue_focus(session, number);
  if (status == FB_E_LIMIT)
    return fb_fail(err, status, "%d groups wait for the focus, the limit", FOCUS_MAX);
  return status == FB_OK ? FB_OK : fb_fail(err, status, "out of memory");
}

/* ── Clock ── */

fb_value fb_session_now(const fb_session *session) {
  return session->now;
}

bool fb_ruleset_timed(const fb_ruleset *ruleset) {
  return ruleset->timed;
}

fb_status fb_session_advance(fb_session *session, fb_value now, fb_error *err) {
  fb_status ready = fb_session_ready(session, err);
  if (ready != FB_OK) return ready;
  if (now.kind != FB_TIMESTAMP)
    return fb_fail(err, FB_E_RULE_TIME, "the time is a timestamp, not %s", fb_kind_name(now.kind));
  fb_value before = session->now;
  if (before.kind == FB_TIMESTAMP && fb_value_order(now, before) < 0)
    return fb_fail(err, FB_E_RULE_TIME, "the session's clock does not go back");
  session->now = now;
  fb_status status = session->queued && session->set->timed ? fb_queue_wake(session) : FB_OK;
  if (status != FB_OK) {
    session->now = before; /* what woke goes to rest again */
    return fb_fail(err, status, "out of memory");
  }
  status = fb_windows_advance(session);
  if (status == FB_OK) return FB_OK;
  session->lost = true;
  return fb_fail(err, status, "%s while the clock was moved; reset the session",
                 status == FB_E_NOMEM ? "out of memory" : "a limit was reached");
}
