/* SPDX-License-Identifier: Apache-2.0
 * Working memory: rows by type, places by number. */
#include "data/facts_internal.h"
#include "rules/session.h"

enum {
  FIRST = 16,
  SLOW_FROM = 1 << 16 /* items of an array that doubles no more */
};

fb_status fb_memory_of(fb_session *session, const fb_fact_type *type, fb_memory **ret_memory) {
  if (type->id >= session->memory_cap) {
    size_t cap = session->memory_cap * 2 > type->id + 8 ? session->memory_cap * 2 : type->id + 8;
    fb_memory *more = fb_resize(&session->allocator, session->memories,
                                session->memory_cap * sizeof *more, cap * sizeof *more);
    if (!more) return FB_E_NOMEM;
    memset(more + session->memory_cap, 0, (cap - session->memory_cap) * sizeof *more);
    session->memories = more;
    session->memory_cap = cap;
  }
  fb_memory *memory = &session->memories[type->id];
  const fb_page_store *store = session->options.store;
  if (store && !session->pager && !session->options.stateless) {
    fb_status status = fb_pager_new(&session->allocator, store, &session->pager);
    if (status != FB_OK) return status;
  }
  if (!memory->facts) {
    fb_status status = fb_facts_new(&session->allocator, session->schema,
                                    fb_schema_type(session->schema, type->id), &memory->facts);
    if (status != FB_OK) return status;
    fb_facts_page(memory->facts, session->pager);
  }
  *ret_memory = memory;
  return FB_OK;
}

/* Room for `count` items, zeroed. Long arrays grow by an eighth: there are as many of them as there are facts. */
static bool S_grow(fb_session *session, void **items, size_t *cap, uint64_t count, size_t size) {
  size_t step = *cap < SLOW_FROM ? *cap : *cap / 8, want = *cap + step;
  if (count <= *cap) return true;
  if (want < count) want = (size_t)count;
  if (want < FIRST) want = FIRST;
  char *more = fb_resize(&session->allocator, *items, *cap * size, want * size);
  if (!more) return false;
  memset(more + *cap * size, 0, (want - *cap) * size);
  *items = more;
  *cap = want;
  return true;
}

bool fb_memory_room(fb_session *session, uint64_t count) {
  return S_grow(session, (void **)&session->facts, &session->fact_cap, count,
                sizeof *session->facts) &&
         S_grow(session, (void **)&session->asides, &session->aside_cap,
                count / FB_ASIDE_PLACES + 1, sizeof *session->asides);
}

/* ── Beside the facts ── */

bool fb_memory_set_serial(fb_session *session, uint32_t place, uint64_t serial) {
  fb_aside *aside = &session->asides[place / FB_ASIDE_PLACES];
  uint32_t at = place % FB_ASIDE_PLACES, first = place - at;
  if (!aside->serials) {
    if (!aside->begun) aside->ahead = serial - place; /* may wrap around, and comes back */
    aside->begun = true;
    if (place + aside->ahead == serial) return true;
    aside->serials = fb_alloc(&session->allocator, FB_ASIDE_PLACES * sizeof *aside->serials);
    if (!aside->serials) return false;
    for (uint32_t i = 0; i < FB_ASIDE_PLACES; i++) aside->serials[i] = first + i + aside->ahead;
  }
  aside->serials[at] = serial;
  return true;
}

fb_link **fb_memory_links(fb_session *session, uint32_t place) {
  fb_aside *aside = &session->asides[place / FB_ASIDE_PLACES];
  if (!aside->links)
    aside->links = fb_alloc_zero(&session->allocator, FB_ASIDE_PLACES * sizeof *aside->links);
  return aside->links ? &aside->links[place % FB_ASIDE_PLACES] : NULL;
}

fb_origin *fb_memory_origin(fb_session *session, uint32_t place) {
  fb_aside *aside = &session->asides[place / FB_ASIDE_PLACES];
  if (!aside->origins)
    aside->origins = fb_alloc_zero(&session->allocator, FB_ASIDE_PLACES * sizeof *aside->origins);
  return aside->origins ? &aside->origins[place % FB_ASIDE_PLACES] : NULL;
}

void fb_memory_release(fb_session *session) {
  const fb_allocator *allocator = &session->allocator;
  for (size_t i = 0; i < session->aside_cap; i++) {
    fb_aside *aside = &session->asides[i];
    fb_free(allocator, aside->links, FB_ASIDE_PLACES * sizeof *aside->links);
    fb_free(allocator, aside->origins, FB_ASIDE_PLACES * sizeof *aside->origins);
    fb_free(allocator, aside->serials, FB_ASIDE_PLACES * sizeof *aside->serials);
  }
  fb_free(allocator, session->asides, session->aside_cap * sizeof *session->asides);
  fb_free(allocator, session->facts, session->fact_cap * sizeof *session->facts);
}

/* ── Rows and places ── */

fb_status fb_memory_new_row(fb_session *session, fb_memory *memory, uint32_t *ret_row) {
  if (memory->free_row) {
    *ret_row = memory->free_row - 1;
    memory->free_row = memory->places[*ret_row];
    memory->places[*ret_row] = 0;
    return FB_OK;
  }
  if (!S_grow(session, (void **)&memory->places, &memory->place_cap,
              (uint64_t)fb_facts_count(memory->facts) + 1, sizeof *memory->places))
    return FB_E_NOMEM;
  return fb_facts_add(memory->facts, ret_row);
}

void fb_memory_free_row(fb_session *session, fb_memory *memory, uint32_t row) {
  uint32_t fields = fb_facts_type(memory->facts)->field_count;
  for (uint32_t field = 0; field < fields; field++)
    if (fb_facts_get(memory->facts, row, field).kind != FB_ABSENT)
      fb_facts_set(memory->facts, row, field, fb_absent(), NULL);
  memory->places[row] = memory->free_row;
  memory->free_row = row + 1;
}

/* The serial, which is the tick of the change that is about to begin, and the firing that makes the fact. */
static bool S_describe(fb_session *session, uint32_t place) {
  fb_aside *aside = &session->asides[place / FB_ASIDE_PLACES];
  if (!fb_memory_set_serial(session, place, session->tick + 1)) return false;
  bool fires = session->firing_rule != FB_RULE_NONE;
  if (!fires && !aside->origins) return true;
  fb_origin *origin = fb_memory_origin(session, place);
  if (!origin) return false;
  *origin = (fb_origin){.made_by = fires ? session->firing : 0};
  return true;
}

fb_status fb_memory_place(fb_session *session, uint32_t type, uint32_t row, uint32_t *ret_place) {
  uint32_t place = session->free_place;
  if (!place) {
    if (session->fact_count == UINT32_MAX) return FB_E_LIMIT;
    place = session->fact_count;
    if (!fb_memory_room(session, (uint64_t)place + 1)) return FB_E_NOMEM;
  }
  if (!S_describe(session, place)) return FB_E_NOMEM;
  fb_fact *fact = &session->facts[place];
  if (session->free_place) {
    session->free_place = fact->type;
  } else {
    session->fact_count++;
    fact->generation = 0;
  }
  session->serial = session->tick + 1;
  fact->type = type;
  fact->row = row;
  fb_memory *memory = &session->memories[type];
  memory->places[row] = place;
  memory->live++;
  if (row / 64 < memory->modified_words) memory->modified[row / 64] &= ~(UINT64_C(1) << row % 64);
  if (!fb_type_is_hidden(session->set, type) && ++session->stats.facts > session->stats.facts_peak)
    session->stats.facts_peak = session->stats.facts;
  *ret_place = place;
  return FB_OK;
}

void fb_memory_unplace(fb_session *session, uint32_t place) {
  fb_fact *fact = &session->facts[place];
  fb_memory *memory = &session->memories[fact->type];
  fb_memory_free_row(session, memory, fact->row);
  memory->live--;
  session->stats.facts -= !fb_type_is_hidden(session->set, fact->type);
  fact->row = FB_RULE_NONE;
  fact->generation++;
  fact->type = session->free_place;
  session->free_place = place;
}

/* ── Many at a time ── */

/* Serials that rise by one, as places do. */
static bool S_set_serials(fb_session *session, uint32_t place, uint32_t count, uint64_t serial) {
  while (count) {
    uint32_t part = FB_ASIDE_PLACES - place % FB_ASIDE_PLACES;
    if (part > count) part = count;
    const fb_aside *aside = &session->asides[place / FB_ASIDE_PLACES];
    bool one_by_one = aside->serials || (aside->begun && place + aside->ahead != serial);
    for (uint32_t i = 0; i < (one_by_one ? part : 1); i++)
      if (!fb_memory_set_serial(session, place + i, serial + i)) return false;
    place += part;
    serial += part;
    count -= part;
  }
  return true;
}

void fb_memory_reserve(fb_session *session, fb_memory *memory, const fb_facts *from, uint32_t first,
                       uint32_t count) {
  (void)S_grow(session, (void **)&memory->places, &memory->place_cap,
               (uint64_t)fb_facts_count(memory->facts) + count, sizeof *memory->places);
  (void)fb_memory_room(session, (uint64_t)session->fact_count + count);
  fb_facts_reserve(memory->facts, from, first, count);
}

fb_status fb_memory_add_rows(fb_session *session, fb_memory *memory, const fb_facts *from,
                             uint32_t first, uint32_t count, uint32_t *ret_place) {
  uint32_t row = fb_facts_count(memory->facts), place = session->fact_count;
  if (count > UINT32_MAX - place) return FB_E_LIMIT;
  if (!S_grow(session, (void **)&memory->places, &memory->place_cap, (uint64_t)row + count,
              sizeof *memory->places) ||
      !fb_memory_room(session, (uint64_t)place + count) ||
      !S_set_serials(session, place, count, session->tick + 1))
    return FB_E_NOMEM;
  fb_status status = fb_facts_add_rows(memory->facts, from, first, count);
  if (status != FB_OK) return status;
  uint32_t type = fb_facts_type(from)->id;
  for (uint32_t i = 0; i < count; i++) {
    session->facts[place + i] = (fb_fact){.row = row + i, .type = type};
    memory->places[row + i] = place + i;
  }
  session->fact_count += count;
  memory->live += count;
  session->stats.facts += count;
  if (session->stats.facts > session->stats.facts_peak)
    session->stats.facts_peak = session->stats.facts;
  *ret_place = place;
  return FB_OK;
}

void fb_memory_drop_rows(fb_session *session, fb_memory *memory, uint32_t count) {
  fb_facts_drop_to(memory->facts, fb_facts_count(memory->facts) - count);
  session->fact_count -= count;
  memory->live -= count;
  session->stats.facts -= count;
}

uint32_t fb_memory_find(const fb_session *session, fb_fact_id id) {
  uint32_t place = (uint32_t)id;
  if (place == 0 || place >= session->fact_count) return 0;
  const fb_fact *fact = &session->facts[place];
  return fact->row != FB_RULE_NONE && fact->generation == id >> 32 &&
                 !fb_type_is_hidden(session->set, fact->type)
             ? place
             : 0;
}
