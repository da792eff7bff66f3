/* SPDX-License-Identifier: Apache-2.0
 *
 * Lazy rules: what comes into a condition waits on the agenda as a place with its tick, and costs no more until its turn
 * comes. Then it must be told whether the fact is still there, and since when: by its serial, or by a stamp if a modify
 * brought it in.
 */
#include "rules/session.h"

/* ── Since when ── */

fb_status fb_lazy_stamp(fb_session *session, uint32_t port, uint32_t row, uint64_t tick) {
  fb_port_memory *memory = &session->ports[port];
  const fb_allocator *allocator = &session->allocator;
  size_t page = row / FB_PORT_PAGE;
  if (page >= memory->page_count) {
    size_t count = memory->page_count * 2 > page + 1 ? memory->page_count * 2 : page + 1;
    uint64_t **pages = fb_resize(allocator, memory->pages, memory->page_count * sizeof *pages,
                                 count * sizeof *pages);
    if (!pages) return FB_E_NOMEM;
    memset(pages + memory->page_count, 0, (count - memory->page_count) * sizeof *pages);
    memory->pages = pages;
    memory->page_count = count;
  }
  uint64_t **at = &memory->pages[page];
  if (!*at && !(*at = fb_alloc_zero(allocator, FB_PORT_PAGE * sizeof **at))) return FB_E_NOMEM;
  (*at)[row % FB_PORT_PAGE] = tick;
  return FB_OK;
}

fb_status fb_lazy_modified(fb_session *session, const fb_fact *fact) {
  fb_memory *memory = &session->memories[fact->type];
  size_t word = fact->row / 64;
  session->agenda.doubtful = true;
  if (word >= memory->modified_words) {
    size_t words = memory->modified_words * 2 > word + 8 ? memory->modified_words * 2 : word + 8;
    uint64_t *bits = fb_resize(&session->allocator, memory->modified,
                               memory->modified_words * sizeof *bits, words * sizeof *bits);
    if (!bits) return FB_E_NOMEM;
    memset(bits + memory->modified_words, 0, (words - memory->modified_words) * sizeof *bits);
    memory->modified = bits;
    memory->modified_words = words;
  }
  memory->modified[word] |= UINT64_C(1) << fact->row % 64;
  return FB_OK;
}

bool fb_lazy_is_modified(const fb_session *session, const fb_fact *fact) {
  const fb_memory *memory = &session->memories[fact->type];
  size_t word = fact->row / 64;
  return word < memory->modified_words && (memory->modified[word] >> fact->row % 64 & 1);
}

/* And has its walk more matches? A fact that is at the place now and was not modified came in with its serial. A later stamp, or a test that holds no
 * more, tells of one that was; where an alpha keeps its facts, it need not be tested. */
bool fb_lazy_stands(fb_session *session, const fb_waiting *item) {
  const fb_fact *fact = &session->facts[item->place];
  if (fact->row == FB_RULE_NONE) return false;
  uint64_t serial = fb_place_serial(session, item->place);
  uint64_t tick = fb_waiting_tick(item);
  if (serial > tick) return false;
  if (fb_waiting_walks(item) && item->walk->finished && !item->walk->head) return false;
  if (!fb_lazy_is_modified(session, fact)) return serial == tick;
  const fb_rule_use *use = &session->set->uses[fb_waiting_use(item)];
  const fb_rule_condition *c = &session->set->rules[use->rule].conditions[use->condition];
  if (fb_port_tick(session, c->port, item->place) != tick) return false;
  return session->set->alphas[c->alpha].stored ? fb_alpha_has(session, c->alpha, fact->row)
                                               : fb_alpha_holds(session, c->alpha, item->place);
}

/* ── Walks of what waits ── */

static const fb_rule *S_rule(const fb_session *session, const fb_waiting *item) {
  return &session->set
              ->rules[item->use == FB_RULE_NONE ? item->activation->rule
                                                : session->set->uses[fb_waiting_use(item)].rule];
}

fb_walk *fb_lazy_new_walk(fb_session *session, const fb_rule *rule, uint64_t tick) {
  fb_walk *walk = fb_pool_get(&session->agenda.walks[rule->positive_count - 1]);
  if (walk)
    *walk = (fb_walk){.tick = tick, .count = (uint16_t)(rule->positive_count - 1), .enters = true};
  return walk;
}

void fb_lazy_release(fb_session *session, const fb_waiting *item) {
  fb_lazy_count(session, S_rule(session, item), -1);
  if (!fb_waiting_walks(item)) return;
  fb_walk *walk = item->walk;
  fb_walk_release(session, walk);
  fb_pool_put(&session->agenda.walks[walk->count], walk);
}

static void S_remove(fb_session *session, fb_agenda_level *level, size_t at) {
  fb_lazy_release(session, &level->items[at]);
  memmove(&level->items[at], &level->items[at + 1], (--level->count - at) * sizeof *level->items);
  session->agenda.live--;
}

/* Finds the item's next match. FB_DONE: there is none, and the item is off the agenda. */
static fb_status S_ready(fb_session *session, fb_agenda_level *level, size_t at) {
  fb_waiting *item = &level->items[at];
  if (!fb_lazy_stands(session, item)) {
    S_remove(session, level, at);
    return FB_DONE;
  }
  if (!fb_waiting_walks(item)) {
    fb_walk *walk = fb_lazy_new_walk(session, S_rule(session, item), item->tick);
    if (!walk) return FB_E_NOMEM;
    item->walk = walk;
    item->use |= FB_WAITING_WALKS;
  }
  fb_status status = fb_walk_head(session, fb_waiting_use(item), item->place, item->walk);
  if (status == FB_DONE) S_remove(session, level, at);
  return status;
}

static void S_places(const fb_session *session, const fb_waiting *item, uint32_t *out) {
  if (item->use != FB_RULE_NONE)
    fb_walk_places(session, fb_waiting_use(item), item->place, item->walk, out);
  else
    for (uint32_t i = 0; i < item->activation->count; i++)
      out[i] = item->activation->links[i].place;
}

static bool S_before(const fb_session *session, const fb_rule *rule, const fb_waiting *a,
                     const fb_waiting *b) {
  uint32_t left[FB_RULE_SLOTS] = {0}, right[FB_RULE_SLOTS] = {0};
  S_places(session, a, left);
  S_places(session, b, right);
  for (uint32_t slot = 0; slot < rule->positive_count; slot++) {
    if (left[slot] == right[slot]) continue;
    int order = fb_slot_order(session, rule, slot, left[slot], right[slot]);
    if (order) return order < 0;
  }
  return false;
}

static bool S_is_beside(const fb_session *session, const fb_waiting *a, const fb_waiting *b) {
  return S_rule(session, a) == S_rule(session, b) && fb_waiting_tick(a) == fb_waiting_tick(b);
}

/* Of what waits beside the last item, with the same tick and of the same rule, the first: places, of which each has its
 * first match ready, and below them activations, in order. */
static fb_status S_first(fb_session *session, fb_agenda_level *level, size_t *ret_at) {
  size_t best = level->count - 1;
  for (size_t at = best; at-- > 0;) {
    fb_waiting *item = &level->items[at];
    if (!S_is_beside(session, item, &level->items[best])) break;
    bool activation = item->use == FB_RULE_NONE;
    if (activation && item->activation->dead) continue;
    fb_status status = activation ? FB_OK : S_ready(session, level, at);
    if (status == FB_DONE) {
      best--;
      continue;
    }
    if (status != FB_OK) return status;
    if (S_before(session, S_rule(session, item), item, &level->items[best])) best = at;
    if (activation) break;
  }
  *ret_at = best;
  return FB_OK;
}

/* A rule with one positive condition: the place is the match. */
static fb_status S_pop_place(fb_session *session, fb_due *due) {
  fb_agenda_pop(session, &due->item);
  due->walk = NULL;
  due->places[0] = due->item.place;
  if (!fb_lazy_stands(session, &due->item)) return FB_DONE;
  fb_slot_bind_all(session, due->rule, due->places);
  return fb_match_guards_hold(session, due->rule) &&
                 !fb_mends_later(session, due->rule, due->item.tick)
             ? FB_OK
             : FB_DONE;
}

fb_status fb_lazy_next(fb_session *session, fb_agenda_level *level, fb_due *due) {
  size_t at = level->count - 1;
  const fb_waiting *item = &level->items[at];
  due->activation = NULL;
  due->rule = S_rule(session, item);
  bool alone = !at || !S_is_beside(session, item, item - 1);
  if (alone && due->rule->positive_count == 1 && !fb_waiting_walks(item))
    return S_pop_place(session, due);
  fb_status status = S_ready(session, level, at);
  if (status == FB_OK && !alone) status = S_first(session, level, &at);
  if (status != FB_OK) return status;
  due->item = level->items[at];
  if (due->item.use == FB_RULE_NONE) { /* to the top, from where it will be popped */
    memmove(&level->items[at], &level->items[at + 1],
            (level->count - at - 1) * sizeof *level->items);
    level->items[level->count - 1] = due->item;
    return FB_DONE;
  }
  due->walk = due->item.walk;
  due->level = level;
  due->at = at;
  S_places(session, &due->item, due->places);
  return FB_OK;
}

void fb_lazy_take(fb_session *session, const fb_due *due) {
  if (!due->rule->single) {
    session->stats.activations++;
    session->rule_stats[due->rule->number].activations++;
  }
  if (!due->walk) return;
  due->walk->head = false;
  if (due->walk->finished) S_remove(session, due->level, due->at);
}
