/* SPDX-License-Identifier: Apache-2.0
 *
 * Flocks: facts that came in together, of consecutive places and ticks, and which alphas want them, in four bytes each. A
 * flock lies in the stack of a level as if its items did, and is unrolled into them when all above it has fired.
 * There is room for that always.
 */
#include "rules/session.h"

#include <stdlib.h>

struct fb_flock {
  uint32_t levels; /* that it lies in */
  uint32_t place;  /* of the first fact */
  uint64_t tick;
  uint32_t count;
  uint32_t hits[]; /* row << ALPHA_BITS | alpha, rows rising */
};

enum {
  ALPHA_BITS = 20,
  ALPHA_MASK = (1 << ALPHA_BITS) - 1,
  MOST = 1 << 30 /* items of a flock; there is no memory for more */
};

bool fb_flock_may(const fb_session *session) {
  return session->set->alpha_count <= ALPHA_MASK && FB_CHUNK_ROWS <= 1 << (32 - ALPHA_BITS);
}

static size_t S_size(uint32_t count) {
  return sizeof(fb_flock) + count * sizeof(uint32_t);
}

void fb_flock_drop(fb_session *session, fb_flock *flock) {
  if (--flock->levels == 0) fb_free(&session->allocator, flock, S_size(flock->count));
}

/* ── Making ── */

/* How many items it has on each level. */
static bool S_count(fb_session *session, const fb_sift_hit *hits, uint32_t count,
                    uint32_t *counts) {
  const fb_ruleset *set = session->set;
  uint64_t all = 0;
  for (uint32_t i = 0; i < count; i++) {
    const fb_rule_alpha *alpha = &set->alphas[hits[i].candidate & FB_RULE_ALPHA];
    if ((all += alpha->use_count) > MOST) return false;
    if (set->salience_count == 1) {
      counts[0] += alpha->use_count;
      continue;
    }
    for (uint32_t u = 0; u < alpha->use_count; u++)
      counts[set->rules[set->uses[alpha->uses[u]].rule].level]++;
  }
  return true;
}

/* Activations of rules; hits of one alpha that follow each other are told together. */
static void S_tell(fb_session *session, const fb_sift_hit *hits, uint32_t count) {
  const fb_ruleset *set = session->set;
  for (uint32_t i = 0; i < count; i++) {
    const fb_rule_alpha *alpha = &set->alphas[hits[i].candidate & FB_RULE_ALPHA];
    for (uint32_t u = 0; u < alpha->use_count; u++)
      session->rule_stats[set->uses[alpha->uses[u]].rule].activations++;
  }
}

static bool S_room(fb_session *session, fb_agenda_level *level, uint32_t items) {
  const fb_allocator *allocator = &session->allocator;
  size_t want = level->count + items, cap = level->cap ? level->cap : 64;
  if (!fb_grow(allocator, (void **)&level->flocks, &level->flock_cap, level->flock_count,
               sizeof *level->flocks))
    return false;
  while (cap < want) cap *= 2;
  if (cap == level->cap) return true;
  fb_waiting *more =
      fb_resize(allocator, level->items, level->cap * sizeof *more, cap * sizeof *more);
  if (!more) return false;
  level->items = more;
  level->cap = cap;
  return true;
}

bool fb_flock_push(fb_session *session, uint32_t place, uint64_t tick, const fb_sift_hit *hits,
                   uint32_t count) {
  fb_agenda *agenda = &session->agenda;
  uint32_t *counts = agenda->flock_counts;
  size_t levels = session->set->salience_count;
  memset(counts, 0, levels * sizeof *counts);
  if (!S_count(session, hits, count, counts)) return false;
  for (size_t i = 0; i < levels; i++)
    if (counts[i] && !S_room(session, &agenda->levels[i], counts[i])) return false;
  fb_flock *flock = fb_alloc(&session->allocator, S_size(count));
  if (!flock) return false;
  *flock = (fb_flock){.place = place, .tick = tick, .count = count};
  for (uint32_t i = 0; i < count; i++)
    flock->hits[i] = hits[i].row << ALPHA_BITS | (hits[i].candidate & FB_RULE_ALPHA);
  for (uint32_t i = 0; i < levels; i++) {
    fb_agenda_level *level = &agenda->levels[i];
    if (!counts[i]) continue;
    level->flocks[level->flock_count++] = (fb_level_flock){flock, level->count, counts[i]};
    flock->levels++;
    agenda->live += counts[i];
    session->stats.activations += counts[i];
    if (i < agenda->top) agenda->top = i;
  }
  S_tell(session, hits, count);
  if (!flock->levels) fb_free(&session->allocator, flock, S_size(count));
  return true;
}

/* ── Unrolling ── */

static int S_falling(const void *pa, const void *pb) {
  const fb_waiting *a = pa, *b = pb;
  return a->use > b->use ? -1 : a->use < b->use;
}

/* Of one fact: the last rule's first. */
static void S_sort(fb_waiting *items, size_t count) {
  bool sorted = true;
  for (size_t i = 1; i < count && sorted; i++) sorted = items[i - 1].use > items[i].use;
  if (!sorted && count > 24) {
    qsort(items, count, sizeof *items, S_falling);
    return;
  }
  for (size_t i = 1; i < count && !sorted; i++) {
    fb_waiting item = items[i];
    size_t at = i;
    for (; at && items[at - 1].use < item.use; at--) items[at] = items[at - 1];
    items[at] = item;
  }
}

/* The items of a flock on a level, the last to fire first; returns how many. */
static size_t S_unroll(fb_session *session, uint32_t number, const fb_level_flock *at,
                       fb_waiting *items) {
  const fb_ruleset *set = session->set;
  const fb_flock *flock = at->flock;
  bool all = set->salience_count == 1;
  size_t count = 0, row_start = 0;
  uint32_t row = UINT32_MAX;
  for (uint32_t i = 0; i < flock->count; i++) {
    const fb_rule_alpha *alpha = &set->alphas[flock->hits[i] & ALPHA_MASK];
    if (flock->hits[i] >> ALPHA_BITS != row) {
      S_sort(items + row_start, count - row_start);
      row_start = count;
      row = flock->hits[i] >> ALPHA_BITS;
    }
    for (uint32_t u = alpha->use_count; u--;) {
      fb_waiting item = {{flock->tick + row}, alpha->uses[u], flock->place + row};
      if (!all && set->rules[set->uses[item.use].rule].level != number) continue;
      items[count++] = item;
    }
  }
  S_sort(items + row_start, count - row_start);
  return count;
}

void fb_flock_unroll(fb_session *session, uint32_t number) {
  fb_agenda_level *level = &session->agenda.levels[number];
  const fb_level_flock *at = &level->flocks[--level->flock_count];
  level->count += S_unroll(session, number, at, level->items + level->count);
  fb_flock_drop(session, at->flock);
}

bool fb_flock_unroll_level(fb_session *session, uint32_t number) {
  fb_agenda_level *level = &session->agenda.levels[number];
  size_t want = level->count, from = 0, done = 0;
  if (!level->flock_count) return true;
  for (size_t r = 0; r < level->flock_count; r++) want += level->flocks[r].count;
  fb_waiting *items = fb_alloc(&session->allocator, want * sizeof *items);
  if (!items) return false;
  for (size_t r = 0; r < level->flock_count; r++) {
    const fb_level_flock *at = &level->flocks[r];
    if (at->at > from) memcpy(items + done, level->items + from, (at->at - from) * sizeof *items);
    done += at->at - from;
    from = at->at;
    done += S_unroll(session, number, at, items + done);
    fb_flock_drop(session, at->flock);
  }
  if (level->count > from)
    memcpy(items + done, level->items + from, (level->count - from) * sizeof *items);
  fb_free(&session->allocator, level->items, level->cap * sizeof *items);
  level->items = items;
  level->cap = level->count = want;
  level->flock_count = 0;
  return true;
}

void fb_flock_release(fb_session *session, fb_agenda_level *level) {
  while (level->flock_count) fb_flock_drop(session, level->flocks[--level->flock_count].flock);
  fb_free(&session->allocator, level->flocks, level->flock_cap * sizeof *level->flocks);
  level->flocks = NULL;
  level->flock_cap = 0;
}
