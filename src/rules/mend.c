/* SPDX-License-Identifier: Apache-2.0
 *
 * Matches that a change of guards made, of lazy rules. A walk that began earlier would find them once more, with its own tick;
 * here it is noted which those are. What no place waits for, and what is no match any more, is forgotten.
 */
#include "rules/session.h"

static size_t S_width(const fb_rule *rule) {
  return rule->positive_count + 2;
}

static uint64_t S_tick(const uint32_t *item) {
  return item[0] | (uint64_t)item[1] << 32;
}

static void S_set_tick(uint32_t *item, uint64_t tick) {
  item[0] = (uint32_t)tick;
  item[1] = (uint32_t)(tick >> 32);
}

/* The slot of the match, or the free one where it would be. */
static uint32_t *S_slot(const fb_mends *mends, const fb_rule *rule, const uint32_t *places) {
  uint64_t hash = 0;
  size_t width = S_width(rule), size = rule->positive_count * sizeof *places;
  for (uint32_t i = 0; i < rule->positive_count; i++) hash = fb_hash_mix(hash, places[i]);
  size_t at = fb_hash_u64(hash) & (mends->slot_count - 1);
  while (mends->slots[at] &&
         memcmp(mends->items + (mends->slots[at] - 1) * width + 2, places, size) != 0)
    at = (at + 1) & (mends->slot_count - 1);
  return &mends->slots[at];
}

/* Was no fact of it changed since? */
static bool S_stands(const fb_session *session, const fb_rule *rule, const uint32_t *item) {
  for (uint32_t slot = 0; slot < rule->positive_count; slot++) {
    uint32_t place = item[2 + slot];
    if (session->facts[place].row == FB_RULE_NONE ||
        session->facts[place].type != rule->conditions[rule->positives[slot]].type ||
        fb_port_tick(session, rule->conditions[rule->positives[slot]].port, place) > S_tick(item))
      return false;
  }
  return true;
}

void fb_mends_clear(fb_session *session, const fb_rule *rule) {
  fb_mends *mends = &session->agenda.mends[rule->number];
  mends->count = 0;
  if (mends->slot_count) memset(mends->slots, 0, mends->slot_count * sizeof *mends->slots);
}

void fb_mends_sweep(fb_session *session, const fb_rule *rule) {
  fb_mends *mends = &session->agenda.mends[rule->number];
  size_t width = S_width(rule), kept = 0;
  for (size_t i = 0; i < mends->count; i++) {
    const uint32_t *item = mends->items + i * width;
    if (!S_stands(session, rule, item)) continue;
    memmove(mends->items + kept++ * width, item, width * sizeof *item);
  }
  mends->count = kept;
  if (mends->slot_count) memset(mends->slots, 0, mends->slot_count * sizeof *mends->slots);
  for (size_t i = 0; i < kept; i++)
    *S_slot(mends, rule, mends->items + i * width + 2) = (uint32_t)i + 1;
}

static bool S_grow(fb_session *session, const fb_rule *rule, fb_mends *mends) {
  const fb_allocator *allocator = &session->allocator;
  size_t width = S_width(rule);
  if (mends->count >= UINT32_MAX / 2) return false;
  if (mends->count == mends->cap && !fb_grow(allocator, (void **)&mends->items, &mends->cap,
                                             mends->count, width * sizeof *mends->items))
    return false;
  if (mends->count < mends->slot_count / 2) return true;
  fb_mends_sweep(session, rule);
  if (mends->count < mends->slot_count / 4) return true;
  size_t count = mends->slot_count ? mends->slot_count * 2 : 16;
  uint32_t *slots = fb_alloc_zero(allocator, count * sizeof *slots);
  if (!slots) return false;
  fb_free(allocator, mends->slots, mends->slot_count * sizeof *slots);
  mends->slots = slots;
  mends->slot_count = count;
  for (size_t i = 0; i < mends->count; i++)
    *S_slot(mends, rule, mends->items + i * width + 2) = (uint32_t)i + 1;
  return true;
}

fb_status fb_mends_note(fb_session *session, const fb_rule *rule, const uint32_t *places,
                        uint64_t tick) {
  fb_mends *mends = &session->agenda.mends[rule->number];
  size_t width = S_width(rule);
  if (mends->count && !mends->waiting && mends->last < tick) fb_mends_clear(session, rule);
  if (!S_grow(session, rule, mends)) return FB_E_NOMEM;
  uint32_t *slot = S_slot(mends, rule, places);
  if (!*slot) {
    memcpy(mends->items + mends->count * width + 2, places, rule->positive_count * sizeof *places);
    *slot = (uint32_t)++mends->count;
  }
  S_set_tick(mends->items + (*slot - 1) * width, tick);
  mends->last = tick;
  return FB_OK;
}

bool fb_mends_later(const fb_session *session, const fb_rule *rule, uint64_t tick) {
  const fb_mends *mends = &session->agenda.mends[rule->number];
  if (FB_LIKELY(!mends->count)) return false;
  uint32_t slot = *S_slot(mends, rule, session->places);
  return slot && S_tick(mends->items + (slot - 1) * S_width(rule)) >= tick;
}

void fb_mends_release(fb_session *session) {
  fb_mends *mends = session->agenda.mends;
  const fb_ruleset *set = session->set;
  for (uint32_t r = 0; mends && r < set->rule_count; r++) {
    size_t size = S_width(&set->rules[r]) * sizeof *mends->items;
    fb_free(&session->allocator, mends[r].items, mends[r].cap * size);
    fb_free(&session->allocator, mends[r].slots, mends[r].slot_count * sizeof *mends->slots);
  }
  fb_free(&session->allocator, mends, (set->rule_count + 1) * sizeof *mends);
  session->agenda.mends = NULL;
}
