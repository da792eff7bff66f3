/* SPDX-License-Identifier: Apache-2.0
 * Working memory: rows by type, places by number. */
#include "rules/session.h"

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
  if (!memory->facts) {
    fb_status status = fb_facts_new(&session->allocator, session->schema,
                                    fb_schema_type(session->schema, type->id), &memory->facts);
    if (status != FB_OK) return status;
  }
  *ret_memory = memory;
  return FB_OK;
}

static bool S_grow_places(fb_session *session, fb_memory *memory, uint32_t row) {
  size_t cap = memory->place_cap;
  if (!fb_grow(&session->allocator, (void **)&memory->places, &cap, row, sizeof *memory->places))
    return false;
  memset(memory->places + memory->place_cap, 0, (cap - memory->place_cap) * sizeof *memory->places);
  memory->place_cap = cap;
  return true;
}

fb_status fb_memory_new_row(fb_session *session, fb_memory *memory, uint32_t *ret_row) {
  if (memory->free_row) {
    *ret_row = memory->free_row - 1;
    memory->free_row = memory->places[*ret_row];
    memory->places[*ret_row] = 0;
    return FB_OK;
  }
  if (!S_grow_places(session, memory, fb_facts_count(memory->facts))) return FB_E_NOMEM;
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

fb_status fb_memory_place(fb_session *session, uint32_t type, uint32_t row, uint32_t *ret_place) {
  uint32_t place = session->free_place;
  if (place) {
    session->free_place = (uint32_t)session->facts[place].serial;
  } else {
    if (session->fact_count == UINT32_MAX) return FB_E_LIMIT;
    if (!fb_grow(&session->allocator, (void **)&session->facts, &session->fact_cap,
                 session->fact_count, sizeof *session->facts))
      return FB_E_NOMEM;
    place = session->fact_count++;
    session->facts[place].generation = 0;
  }
  fb_fact *fact = &session->facts[place];
  *fact = (fb_fact){.type = type,
                    .row = row,
                    .generation = fact->generation,
                    .serial = ++session->serial,
                    .made_by = session->firing_rule == FB_RULE_NONE ? 0 : session->firing};
  session->memories[type].places[row] = place;
  session->memories[type].live++;
  if (++session->stats.facts > session->stats.facts_peak)
    session->stats.facts_peak = session->stats.facts;
  *ret_place = place;
  return FB_OK;
}

void fb_memory_unplace(fb_session *session, uint32_t place) {
  fb_fact *fact = &session->facts[place];
  fb_memory *memory = &session->memories[fact->type];
  fb_memory_free_row(session, memory, fact->row);
  memory->live--;
  session->stats.facts--;
  fact->row = FB_RULE_NONE;
  fact->generation++;
  fact->serial = session->free_place;
  session->free_place = place;
}

uint32_t fb_memory_find(const fb_session *session, fb_fact_id id) {
  uint32_t place = (uint32_t)id;
  if (place == 0 || place >= session->fact_count) return 0;
  const fb_fact *fact = &session->facts[place];
  return fact->row != FB_RULE_NONE && fact->generation == id >> 32 ? place : 0;
}
