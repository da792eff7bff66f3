/* SPDX-License-Identifier: Apache-2.0
 *
 * The agenda: one stack a salience. Within a tick activations are sorted before they are stacked; across
 * ticks the later is on top, which is the depth strategy.
 */
#include "rules/session.h"

#include <stdlib.h>

enum { TRIM_FROM = 1 << 16 /* activations that had room on an agenda, empty now */ };

static void S_init_pools(fb_session *session) {
  fb_agenda *agenda = &session->agenda;
  for (uint32_t i = 0; i < FB_RULE_SLOTS; i++) {
    fb_pool_init(&agenda->pools[i], &session->allocator,
                 sizeof(fb_activation) + i * sizeof(fb_link) + fb_queue_extra(session, i));
    fb_pool_init(&agenda->walks[i], &session->allocator,
                 sizeof(fb_walk) + i * sizeof(fb_walk_level));
  }
}

static void S_release_pools(fb_session *session) {
  for (uint32_t i = 0; i < FB_RULE_SLOTS; i++) {
    fb_pool_release(&session->agenda.pools[i]);
    fb_pool_release(&session->agenda.walks[i]);
  }
}

fb_status fb_agenda_init(fb_session *session) {
  fb_agenda *agenda = &session->agenda;
  size_t count = session->set->salience_count;
  agenda->levels = fb_alloc_zero(&session->allocator, (count + 1) * sizeof *agenda->levels);
  agenda->mends =
      fb_alloc_zero(&session->allocator, (session->set->rule_count + 1) * sizeof *agenda->mends);
  agenda->flock_counts =
      fb_alloc_zero(&session->allocator, (count + 1) * sizeof *agenda->flock_counts);
  if (!agenda->levels || !agenda->mends || !agenda->flock_counts) return FB_E_NOMEM;
  S_init_pools(session);
  return session->queued ? fb_queue_init(session) : FB_OK;
}

void fb_agenda_release(fb_session *session) {
  fb_agenda *agenda = &session->agenda;
  size_t count = session->set->salience_count;
  fb_mends_release(session);
  fb_free(&session->allocator, agenda->flock_counts, (count + 1) * sizeof *agenda->flock_counts);
  agenda->flock_counts = NULL;
  if (!agenda->levels) return;
  for (size_t i = 0; i < count; i++) {
    fb_flock_release(session, &agenda->levels[i]);
    for (size_t k = 0; k < agenda->levels[i].count; k++) {
      const fb_waiting *item = &agenda->levels[i].items[k];
      if (fb_waiting_walks(item)) fb_walk_release(session, item->walk);
    }
    fb_free(&session->allocator, agenda->levels[i].items,
            agenda->levels[i].cap * sizeof(fb_waiting));
  }
  fb_free(&session->allocator, agenda->levels,
          (session->set->salience_count + 1) * sizeof *agenda->levels);
  fb_free(&session->allocator, agenda->fresh, agenda->fresh_cap * sizeof *agenda->fresh);
  fb_free(&session->allocator, agenda->buckets, agenda->bucket_count * sizeof *agenda->buckets);
  S_release_pools(session);
  fb_queue_release(session);
  *agenda = (fb_agenda){0};
}

/* ── Activations by rule and places ── */

static uint64_t S_hash(uint32_t rule, const uint32_t *places, uint32_t count) {
  uint64_t hash = fb_hash_u64(rule + 1);
  for (uint32_t i = 0; i < count; i++) hash = fb_hash_mix(hash, places[i]);
  return hash;
}

static uint64_t S_hash_of(const fb_activation *activation) {
  uint32_t places[FB_RULE_SLOTS];
  for (uint32_t i = 0; i < activation->count; i++) places[i] = activation->links[i].place;
  return S_hash(activation->rule, places, activation->count);
}

static bool S_hash_room(fb_session *session) {
  fb_agenda *agenda = &session->agenda;
  if (agenda->hashed < agenda->bucket_count) return true;
  size_t count = agenda->bucket_count ? agenda->bucket_count * 2 : 64;
  fb_activation **buckets = fb_alloc_zero(&session->allocator, count * sizeof *buckets);
  if (!buckets) return false;
  for (size_t i = 0; i < agenda->bucket_count; i++)
    for (fb_activation *at = agenda->buckets[i], *next; at; at = next) {
      next = at->hash_next;
      fb_activation **head = &buckets[S_hash_of(at) & (count - 1)];
      at->hash_next = *head;
      *head = at;
    }
  fb_free(&session->allocator, agenda->buckets, agenda->bucket_count * sizeof *buckets);
  agenda->buckets = buckets;
  agenda->bucket_count = count;
  return true;
}

/* There is room. */
static void S_hash_in(fb_session *session, fb_activation *activation) {
  fb_agenda *agenda = &session->agenda;
  fb_activation **head = &agenda->buckets[S_hash_of(activation) & (agenda->bucket_count - 1)];
  activation->hash_next = *head;
  *head = activation;
  agenda->hashed++;
}

static void S_unhash(fb_session *session, fb_activation *activation) {
  fb_agenda *agenda = &session->agenda;
  fb_activation **at = &agenda->buckets[S_hash_of(activation) & (agenda->bucket_count - 1)];
  while (*at != activation) at = &(*at)->hash_next;
  *at = activation->hash_next;
  agenda->hashed--;
}

fb_activation *fb_agenda_find(fb_session *session, const fb_rule *rule) {
  fb_agenda *agenda = &session->agenda;
  if (!agenda->bucket_count) return NULL;
  uint64_t hash = S_hash(rule->number, session->places, rule->positive_count);
  fb_activation *at = agenda->buckets[hash & (agenda->bucket_count - 1)];
  for (; at; at = at->hash_next) {
    if (at->rule != rule->number) continue;
    uint32_t i = 0;
    while (i < at->count && at->links[i].place == session->places[i]) i++;
    if (i == at->count) return at;
  }
  return NULL;
}

/* ── Adding ── */

/* NULL: the slot has no list. There is room for those that have. */
static fb_link **S_head(fb_session *session, const fb_rule *rule, uint32_t slot, uint32_t number) {
  if (!rule->derived) return fb_memory_links(session, number);
  return fb_slot_is_linked(rule, slot) ? fb_slot_links(session, rule, slot, number) : NULL;
}

static void S_link(fb_session *session, fb_activation *activation, uint32_t position,
                   uint32_t place) {
  fb_link *link = &activation->links[position];
  *link = (fb_link){.place = place, .position = position};
  fb_link **head = S_head(session, &session->set->rules[activation->rule], position, place);
  if (!head) return;
  link->next = *head;
  if (*head) (*head)->prev = link;
  *head = link;
}

static bool S_link_room(fb_session *session, const fb_rule *rule) {
  for (uint32_t i = 0; i < rule->positive_count; i++)
    if ((!rule->derived || fb_slot_is_linked(rule, i)) &&
        !S_head(session, rule, i, session->places[i]))
      return false;
  return true;
}

void fb_agenda_unlink(fb_session *session, fb_activation *activation) {
  const fb_rule *rule = &session->set->rules[activation->rule];
  for (uint32_t i = 0; i < activation->count; i++) {
    fb_link *link = &activation->links[i];
    fb_link **head = link->prev ? NULL : S_head(session, rule, i, link->place);
    if (link->prev)
      link->prev->next = link->next;
    else if (head)
      *head = link->next;
    if (link->next) link->next->prev = link->prev;
  }
}

/* Does the rule that fires refuse what it sets off itself? */
static bool S_is_loop(const fb_session *session, const fb_rule *rule) {
  return rule->no_loop && session->firing_rule != FB_RULE_NONE &&
         session->set->rules[session->firing_rule].book == rule->book;
}

static void S_sweep_all(fb_session *session);

static fb_status S_fresh_room(fb_session *session) {
  fb_agenda *agenda = &session->agenda;
  uint64_t max = session->options.max_activations;
  if (max && session->capped && agenda->live >= max) {
    if (agenda->doubtful) S_sweep_all(session);
    if (agenda->live >= max) return FB_E_RULE_LIMIT;
  }
  return fb_grow(&session->allocator, (void **)&agenda->fresh, &agenda->fresh_cap,
                 agenda->fresh_count, sizeof *agenda->fresh)
             ? FB_OK
             : FB_E_NOMEM;
}

static void S_count(fb_session *session, const fb_rule *rule) {
  session->stats.activations++;
  session->rule_stats[rule->number].activations++;
}

fb_activation *fb_agenda_new(fb_session *session, const fb_rule *rule) {
  uint32_t count = rule->positive_count;
  if ((rule->hashed && !S_hash_room(session)) || !S_link_room(session, rule)) return NULL;
  fb_activation *activation = fb_pool_get(&session->agenda.pools[count]);
  if (!activation) return NULL;
  *activation =
      (fb_activation){.tick = session->tick, .rule = rule->number, .count = (uint16_t)count};
  for (uint32_t i = 0; i < count; i++) S_link(session, activation, i, session->places[i]);
  return activation;
}

fb_status fb_agenda_add(fb_session *session, const fb_rule *rule) {
  fb_agenda *agenda = &session->agenda;
  if (rule->hashed) {
    fb_activation *stale = fb_agenda_find(session, rule);
    if (stale && (stale->fired || stale->tick == session->tick)) return FB_OK;
    if (stale) fb_agenda_kill(session, stale);
  }
  fb_status status = FB_OK;
  if (rule->lazy && !session->queued)
    status = fb_mends_note(session, rule, session->places, session->tick);
  if (status != FB_OK || S_is_loop(session, rule)) return status;
  status = S_fresh_room(session);
  if (status != FB_OK) return status;
  fb_activation *activation = fb_agenda_new(session, rule);
  if (!activation) return FB_E_NOMEM;
  if (rule->hashed) S_hash_in(session, activation);
  if (session->queued) fb_queue_rank(session, activation);
  agenda->fresh[agenda->fresh_count++] =
      (fb_waiting){.activation = activation, .use = FB_RULE_NONE};
  agenda->live++;
  S_count(session, rule);
  return FB_OK;
}

fb_activation *fb_agenda_make(fb_session *session, const fb_rule *rule, fb_status *ret_status) {
  fb_agenda *agenda = &session->agenda;
  static const fb_ranked none;
  agenda->restored = &none; /* its facts may not be bound */
  *ret_status = fb_agenda_add(session, rule);
  agenda->restored = NULL;
  if (*ret_status != FB_OK || !agenda->fresh_count) return NULL;
  fb_activation *activation = agenda->fresh[--agenda->fresh_count].activation;
  agenda->live--;
  if (rule->hashed) S_unhash(session, activation);
  return activation;
}

fb_status fb_agenda_restore(fb_session *session, const fb_rule *rule, uint64_t tick, uint32_t queue,
                            const fb_ranked *rank) {
  fb_agenda *agenda = &session->agenda;
  uint64_t now = session->tick;
  session->tick = tick;
  agenda->restored = rank;
  fb_status status = fb_agenda_add(session, rule);
  agenda->restored = NULL;
  session->tick = now;
  if (status != FB_OK || !agenda->fresh_count) return status == FB_OK ? FB_E_RULE_SNAPSHOT : status;
  if (!fb_queue_push_to(session, agenda->fresh[0].activation, queue)) status = FB_E_NOMEM;
  if (status == FB_OK) agenda->fresh_count = 0;
  return status;
}

fb_status fb_agenda_wait(fb_session *session, const fb_rule *rule, uint32_t use, uint32_t place) {
  fb_agenda *agenda = &session->agenda;
  if (S_is_loop(session, rule)) return FB_OK;
  fb_status status = S_fresh_room(session);
  if (status != FB_OK) return status;
  agenda->fresh[agenda->fresh_count++] = (fb_waiting){{session->tick}, use, place};
  agenda->live++;
  fb_lazy_count(session, rule, 1);
  if (rule->single) S_count(session, rule);
  return FB_OK;
}

/* ── Order ── */

static uint32_t S_rule_of(const fb_session *session, const fb_waiting *item) {
  return item->use == FB_RULE_NONE ? item->activation->rule
                                   : session->set->uses[fb_waiting_use(item)].rule;
}

/* Which of two of one tick fires first: negative: a. */
static int S_order(const void *pa, const void *pb, void *context) {
  const fb_session *session = context;
  const fb_waiting *wa = pa, *wb = pb;
  uint32_t ra = S_rule_of(session, wa), rb = S_rule_of(session, wb);
  if (ra != rb) return ra < rb ? -1 : 1;
  if (wa->use != FB_RULE_NONE || wb->use != FB_RULE_NONE) return wa->use < wb->use ? -1 : 1;
  const fb_activation *a = wa->activation, *b = wb->activation;
  const fb_rule *rule = &session->set->rules[ra];
  for (uint32_t i = 0; i < a->count; i++) {
    if (a->links[i].place == b->links[i].place) continue;
    int order = fb_slot_order(session, rule, i, a->links[i].place, b->links[i].place);
    if (order) return order;
  }
  return 0;
}

static void S_sort(fb_session *session, fb_waiting *items, size_t count) {
  if (count > 16) {
    qsort_r(items, count, sizeof *items, S_order, session);
    return;
  }
  for (size_t i = 1; i < count; i++) {
    fb_waiting item = items[i];
    size_t at = i;
    for (; at && S_order(&item, &items[at - 1], session) < 0; at--) items[at] = items[at - 1];
    items[at] = item;
  }
}

/* Drops what is dead of a level; what is in flocks is told of their items, or counts as live if there is no memory for them. */
static void S_sweep(fb_session *session, uint32_t number) {
  fb_agenda_level *level = &session->agenda.levels[number];
  size_t kept = 0, next = 0;
  if (session->agenda.doubtful) (void)fb_flock_unroll_level(session, number);
  for (size_t i = 0; i <= level->count; i++) {
    for (; next < level->flock_count && level->flocks[next].at == i; next++)
      level->flocks[next].at = kept;
    if (i == level->count) break;
    fb_waiting *item = &level->items[i];
    if (item->use != FB_RULE_NONE) {
      if (fb_lazy_stands(session, item)) {
        level->items[kept++] = *item;
      } else {
        fb_lazy_release(session, item);
        session->agenda.live--;
      }
    } else if (item->activation->dead) {
      fb_agenda_free(session, item->activation);
    } else {
      level->items[kept++] = *item;
    }
  }
  level->count = level->swept = kept;
  level->dead = 0;
}

static void S_sweep_all(fb_session *session) {
  for (uint32_t i = 0; i < session->set->salience_count; i++) S_sweep(session, i);
  session->agenda.doubtful = session->agenda.fresh_count != 0;
}

uint64_t fb_agenda_count(fb_session *session) {
  if (session->agenda.doubtful) S_sweep_all(session);
  return session->agenda.live;
}

static bool S_push(fb_session *session, uint32_t number, fb_waiting item) {
  fb_agenda_level *level = &session->agenda.levels[number];
  if (FB_UNLIKELY(level->count == level->cap)) {
    if (level->dead * 2 > level->count ||
        (session->agenda.doubtful && level->count > 2 * level->swept + 64))
      S_sweep(session, number);
    if (!fb_grow(&session->allocator, (void **)&level->items, &level->cap, level->count,
                 sizeof *level->items))
      return false;
  }
  level->items[level->count++] = item;
  if (number < session->agenda.top) session->agenda.top = number;
  return true;
}

fb_status fb_agenda_push_place(fb_session *session, const fb_rule *rule, uint32_t use,
                               uint32_t place, uint64_t tick) {
  if (!S_push(session, rule->level, (fb_waiting){{tick}, use, place})) return FB_E_NOMEM;
  session->agenda.live++;
  fb_lazy_count(session, rule, 1);
  if (rule->single) S_count(session, rule);
  return FB_OK;
}

/* Of several that move the focus, the first rule of the book comes out on top. */
static fb_status S_settle_queued(fb_session *session) {
  fb_agenda *agenda = &session->agenda;
  if (session->set->auto_focus && agenda->fresh_count > 1)
    S_sort(session, agenda->fresh, agenda->fresh_count);
  while (agenda->fresh_count) {
    fb_activation *activation = agenda->fresh[agenda->fresh_count - 1].activation;
    const fb_rule *rule = &session->set->rules[activation->rule];
    bool focus = rule->auto_focus && fb_rule_in_effect(session, rule);
    fb_status status = focus ? fb_queue_focus(session, rule->group) : FB_OK;
    if (status != FB_OK) return status;
    if (!fb_queue_push(session, activation)) return FB_E_NOMEM;
    agenda->fresh_count--;
  }
  return FB_OK;
}

void fb_agenda_drop_tick(fb_session *session, uint64_t tick) {
  for (size_t i = 0; i < session->set->salience_count; i++) {
    fb_agenda_level *level = &session->agenda.levels[i];
    while (level->count && level->items[level->count - 1].use != FB_RULE_NONE &&
           fb_waiting_tick(&level->items[level->count - 1]) == tick) {
      fb_lazy_release(session, &level->items[--level->count]);
      session->agenda.live--;
    }
  }
}

fb_status fb_agenda_settle(fb_session *session) {
  fb_agenda *agenda = &session->agenda;
  if (session->queued) return S_settle_queued(session);
  if (agenda->fresh_count > 1) S_sort(session, agenda->fresh, agenda->fresh_count);
  while (agenda->fresh_count) {
    const fb_waiting *item = &agenda->fresh[agenda->fresh_count - 1];
    if (!S_push(session, session->set->rules[S_rule_of(session, item)].level, *item))
      return FB_E_NOMEM;
    agenda->fresh_count--;
  }
  return FB_OK;
}

void fb_agenda_unsettle(fb_session *session) {
  fb_agenda *agenda = &session->agenda;
  while (agenda->fresh_count) {
    const fb_waiting *item = &agenda->fresh[--agenda->fresh_count];
    fb_activation *activation = item->activation;
    agenda->live--;
    if (item->use != FB_RULE_NONE) {
      fb_lazy_release(session, item);
      continue;
    }
    fb_agenda_unlink(session, activation);
    if (session->set->rules[activation->rule].hashed) S_unhash(session, activation);
    fb_agenda_free(session, activation);
  }
}

/* Only of what is settled: a change does not kill what it made itself. */
void fb_agenda_kill(fb_session *session, fb_activation *activation) {
  const fb_rule *rule = &session->set->rules[activation->rule];
  fb_agenda_unlink(session, activation);
  if (rule->hashed) S_unhash(session, activation);
  if (activation->fired) {
    fb_logical_lose(session, activation);
    return;
  }
  if (session->queued) {
    fb_queue_remove(session, activation);
    fb_agenda_free(session, activation);
    session->agenda.live--;
    return;
  }
  activation->dead = true;
  session->agenda.levels[rule->level].dead++;
  session->agenda.live--;
}

static bool S_pop_queued(fb_session *session, fb_waiting *ret_item) {
  fb_activation *first = fb_queue_pop(session);
  if (!first) return false;
  session->agenda.live--;
  if (session->set->rules[first->rule].hashed) S_unhash(session, first);
  *ret_item = (fb_waiting){.activation = first, .use = FB_RULE_NONE};
  return true;
}

fb_agenda_level *fb_agenda_top(fb_session *session) {
  fb_agenda *agenda = &session->agenda;
  for (; agenda->top < session->set->salience_count; agenda->top++) {
    fb_agenda_level *level = &agenda->levels[agenda->top];
    while (level->count || level->flock_count) {
      if (FB_UNLIKELY(level->flock_count &&
                      level->flocks[level->flock_count - 1].at == level->count)) {
        fb_flock_unroll(session, agenda->top);
        continue;
      }
      const fb_waiting *item = &level->items[level->count - 1];
      if (item->use != FB_RULE_NONE || !item->activation->dead) return level;
      level->count--;
      level->dead--;
      fb_agenda_free(session, item->activation);
    }
  }
  agenda->doubtful = false;
  return NULL;
}

bool fb_agenda_pop(fb_session *session, fb_waiting *ret_item) {
  if (session->queued) return S_pop_queued(session, ret_item);
  fb_agenda_level *level = fb_agenda_top(session);
  if (!level) return false;
  fb_waiting item = level->items[--level->count];
  session->agenda.live--;
  if (item.use != FB_RULE_NONE)
    fb_lazy_count(session, &session->set->rules[S_rule_of(session, &item)], -1);
  else if (session->set->rules[item.activation->rule].hashed)
    S_unhash(session, item.activation);
  *ret_item = item;
  return true;
}

void fb_agenda_unpop(fb_session *session, fb_waiting item) {
  fb_agenda *agenda = &session->agenda;
  const fb_rule *rule = &session->set->rules[S_rule_of(session, &item)];
  fb_agenda_level *level = &agenda->levels[rule->level];
  agenda->live++;
  if (session->queued)
    fb_queue_unpop(session, item.activation);
  else
    level->items[level->count++] = item;
  if (rule->level < agenda->top) agenda->top = rule->level;
  if (item.use == FB_RULE_NONE)
    fb_agenda_keep(session, item.activation);
  else
    fb_lazy_count(session, rule, 1);
}

void fb_agenda_keep(fb_session *session, fb_activation *activation) {
  if (session->set->rules[activation->rule].hashed) S_hash_in(session, activation);
}

void fb_agenda_free(fb_session *session, fb_activation *activation) {
  fb_pool_put(&session->agenda.pools[activation->count], activation);
}

void fb_agenda_trim(fb_session *session) {
  fb_agenda *agenda = &session->agenda;
  size_t room = 0;
  if (agenda->live || agenda->fresh_count || session->truth.supports ||
      session->firing_rule != FB_RULE_NONE)
    return;
  for (size_t i = 0; i < session->set->salience_count; i++) {
    if (agenda->levels[i].count || agenda->levels[i].flock_count) return;
    room += agenda->levels[i].cap;
  }
  for (size_t i = 0; session->queued && i <= session->set->group_count; i++)
    room += agenda->queues[i].cap;
  if (room < TRIM_FROM) return;
  if (session->queued) fb_queue_trim(session);
  for (size_t i = 0; i < session->set->salience_count; i++) {
    fb_agenda_level *level = &agenda->levels[i];
    fb_free(&session->allocator, level->items, level->cap * sizeof *level->items);
    fb_flock_release(session, level);
    *level = (fb_agenda_level){0};
  }
  S_release_pools(session);
  S_init_pools(session);
}
