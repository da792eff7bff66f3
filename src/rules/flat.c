/* SPDX-License-Identifier: Apache-2.0
 *
 * Facts that nothing is joined with, many at a time: their columns are copied whole, all of a chunk go through the sieve
 * together, and places wait on the agenda in the order in which they would have come one by one.
 */
#include "rules/session.h"

#include <stdlib.h>

enum { FEW = 8 /* so few facts are asserted one by one */ };

static int S_falling(const void *pa, const void *pb) {
  uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;
  return a > b ? -1 : a < b;
}

/* Uses are numbered as their rules are. */
static void S_sort(uint32_t *uses, uint32_t count) {
  if (count > 24) {
    qsort(uses, count, sizeof *uses, S_falling);
    return;
  }
  for (uint32_t i = 1; i < count; i++) {
    uint32_t use = uses[i], at = i;
    for (; at && uses[at - 1] < use; at--) uses[at] = uses[at - 1];
    uses[at] = use;
  }
}

/* The uses of a fact, the last rule's first, in session->due. */
typedef struct S_due {
  uint32_t count;
  bool unsorted;
} S_due;

static inline void S_take(fb_session *session, uint32_t place, uint32_t candidate, S_due *due) {
  const fb_rule_alpha *alpha = &session->set->alphas[candidate & FB_RULE_ALPHA];
  if (!fb_alpha_test(session, candidate, place)) return;
  for (uint32_t u = alpha->use_count; u--;) {
    session->due[due->count] = alpha->uses[u];
    due->unsorted |= due->count && session->due[due->count - 1] < alpha->uses[u];
    due->count++;
  }
}

/* Lets the fact wait with the tick of this change. */
static bool S_push(fb_session *session, uint32_t place, const S_due *due) {
  const fb_ruleset *set = session->set;
  if (due->unsorted) S_sort(session->due, due->count);
  for (uint32_t d = 0; d < due->count; d++) {
    uint32_t use = session->due[d];
    const fb_rule *rule = &set->rules[set->uses[use].rule];
    if (fb_agenda_push_place(session, rule, use, place, session->tick) == FB_OK) continue;
    fb_agenda_drop_tick(session, session->tick);
    return false;
  }
  return true;
}

/* Lets the facts wait, from the one at `place` on; returns for how many there was memory. Tests that are left are made here, in
 * the order of the facts. */
static uint32_t S_wait_run(fb_session *session, uint32_t place, uint32_t count,
                           const fb_sift *sift) {
  uint32_t kept = 0;
  uint64_t tick = session->tick + 1;
  for (uint32_t i = 0; i < count; i++)
    for (uint32_t h = sift->starts[i]; h < sift->starts[i + 1]; h++) {
      sift->hits[kept] = sift->hits[h];
      kept += fb_alpha_test(session, sift->hits[h].candidate, place + i);
    }
  if (kept && !fb_flock_push(session, place, tick, sift->hits, kept)) return 0;
  session->tick += count;
  return count;
}

static uint32_t S_wait(fb_session *session, uint32_t place, uint32_t count, const fb_sift *sift) {
  if (fb_flock_may(session)) return S_wait_run(session, place, count, sift);
  for (uint32_t i = 0; i < count; i++) {
    S_due due = {0};
    session->tick++;
    for (uint32_t h = sift->starts[i]; h < sift->starts[i + 1]; h++)
      S_take(session, place + i, sift->hits[h].candidate, &due);
    if (due.count && !S_push(session, place + i, &due)) {
      session->tick--;
      return i;
    }
  }
  return count;
}

bool fb_flat_may(const fb_session *session, uint32_t type) {
  return !session->queued && !session->options.max_activations && !session->options.max_memory &&
         !session->options.store && session->firing_rule == FB_RULE_NONE &&
         (type >= session->set->type_count || session->set->types[type].flat);
}

fb_status fb_flat_insert(fb_session *session, uint32_t place) {
  const fb_fact *fact = &session->facts[place];
  S_due due = {0};
  session->tick++;
  uint32_t count = fb_alpha_candidates(session, fact->type, fact->row);
  for (uint32_t i = 0; i < count; i++) S_take(session, place, session->candidates[i], &due);
  return !due.count || S_push(session, place, &due) ? FB_OK : FB_E_NOMEM;
}

static bool S_may(const fb_session *session, const fb_memory *memory, uint32_t type,
                  uint32_t count) {
  return count >= FEW && !memory->free_row && !session->free_place && fb_flat_may(session, type);
}

fb_status fb_flat_assert(fb_session *session, fb_memory *memory, const fb_facts *facts,
                         uint32_t first, uint32_t count, fb_fact_id *ids, uint32_t *ret_done,
                         fb_error *err) {
  uint64_t max = session->options.max_facts, held = session->stats.facts;
  uint32_t type = fb_facts_type(facts)->id, place, done = 0;
  if (max && held + count > max) count = held < max ? (uint32_t)(max - held) : 0;
  if (!S_may(session, memory, type, count)) return FB_OK;
  fb_memory_reserve(session, memory, facts, first, count);
  while (done < count) {
    uint32_t part = count - done;
    fb_sift sift;
    fb_status status = fb_sift_rows(session, type, facts, first + done, &part, &sift);
    if (status == FB_OK)
      status = fb_memory_add_rows(session, memory, facts, first + done, part, &place);
    if (status != FB_OK) return fb_fail(err, status, "no memory for another fact");
    uint32_t held_now = S_wait(session, place, part, &sift);
    session->serial = session->tick;
    session->stats.asserted += held_now;
    if (held_now < part) fb_memory_drop_rows(session, memory, part - held_now);
    for (uint32_t i = 0; ids && i < held_now; i++) ids[done + i] = place + i;
    done += held_now;
    if (ret_done) *ret_done += held_now;
    if (held_now < part) return fb_fail(err, FB_E_NOMEM, "out of memory while a fact was matched");
  }
  fb_arena_reset(&session->scratch);
  return FB_OK;
}
