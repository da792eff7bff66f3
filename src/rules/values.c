/* SPDX-License-Identifier: Apache-2.0
 * Facts by the numbers of their fields: no map, no names. */
#include "data/facts_internal.h"
#include "rules/session.h"

static fb_status S_type(const fb_session *session, const fb_fact_type *type, uint32_t count,
                        fb_error *err) {
  if (fb_type_is_hidden(session->set, type->id))
    return fb_fail(err, FB_E_FACT_TYPE, "facts of type `%.*s` are the session's own",
                   (int)type->name.len, type->name.ptr);
  if (type->id >= fb_schema_count(session->schema) ||
      fb_schema_type(session->schema, type->id) != type)
    return fb_fail(err, FB_E_FACT_TYPE, "the fact type is not of this session's schema");
  if (count > type->field_count)
    return fb_fail(err, FB_E_FACT_FIELD, "%u values, but fact type `%.*s` has %u fields", count,
                   (int)type->name.len, type->name.ptr, type->field_count);
  return FB_OK;
}

/* The table's only row, which is written over by the next one. */
static fb_status S_decide(fb_session *session, fb_memory *memory, const fb_value *values,
                          uint32_t count, fb_error *err) {
  fb_facts *facts = memory->facts;
  uint32_t row = 0;
  fb_status status = FB_OK;
  if (!facts->count) status = fb_facts_add(facts, &row);
  if (status != FB_OK) return fb_fail(err, status, "no memory for a fact");
  for (uint32_t f = count; f < facts->type->field_count && status == FB_OK; f++)
    status = fb_facts_set(facts, row, f, fb_absent(), err);
  if (status == FB_OK) status = fb_facts_set_row(facts, row, values, count, err);
  if (status == FB_OK) status = fb_stateless_rows(session, memory, facts, row, 1, NULL, err);
  if (facts->arena.next) fb_facts_clear(facts); /* lists and maps */
  return status;
}

fb_status fb_session_assert_values(fb_session *session, const fb_fact_type *type,
                                   const fb_value *values, uint32_t count, fb_fact_id *ret_id,
                                   fb_error *err) {
  fb_memory *memory;
  uint32_t row = 0, place;
  fb_status status = fb_session_ready(session, err);
  if (status == FB_OK) status = S_type(session, type, count, err);
  if (status != FB_OK) return status;
  status = fb_memory_of(session, type, &memory);
  if (status != FB_OK) return fb_fail(err, status, "no memory for another fact type");
  if (session->options.stateless) {
    if (ret_id) *ret_id = 0;
    return S_decide(session, memory, values, count, err);
  }
  status = fb_memory_new_row(session, memory, &row);
  if (status != FB_OK) return fb_fail(err, status, "no memory for another fact");
  status = fb_facts_set_row(memory->facts, row, values, count, err);
  if (status != FB_OK) {
    fb_memory_free_row(session, memory, row);
    return status;
  }
  status = fb_session_insert_row(session, type->id, row, &place, err);
  if (status == FB_OK && ret_id) *ret_id = fb_place_id(session, place);
  return fb_session_tidy(session, type->id, status, err);
}

fb_status fb_session_modify_values(fb_session *session, fb_fact_id id, const uint32_t *fields,
                                   const fb_value *values, uint32_t count, fb_error *err) {
  enum { SOME = 16 };
  fb_value some[SOME], *fitting = some;
  fb_status status = fb_session_ready(session, err);
  if (status != FB_OK) return status;
  uint32_t place = fb_memory_find(session, id);
  if (!place) return fb_fail(err, FB_E_RULE_FACT, "there is no fact %llu", (unsigned long long)id);
  uint32_t type = session->facts[place].type;
  const fb_fact_type *of = fb_schema_type(session->schema, type);
  fb_arena_mark mark = fb_arena_save(&session->firing_arena);
  if (count > SOME) fitting = fb_arena_alloc(&session->firing_arena, count * sizeof *fitting);
  if (!fitting) return fb_fail(err, FB_E_NOMEM, "out of memory");
  for (uint32_t i = 0; i < count && status == FB_OK; i++) {
    fitting[i] = values[i];
    if (fields[i] < of->field_count)
      status = fb_session_fit(session, &session->memories[type], fields[i], &fitting[i], err);
    else
      status = fb_fail(err, FB_E_FACT_FIELD, "fact type `%.*s` has no field number %u",
                       (int)of->name.len, of->name.ptr, fields[i]);
  }
  if (status == FB_OK) status = fb_session_change(session, place, fields, fitting, count, err);
  if (count > SOME) fb_arena_rewind(&session->firing_arena, mark);
  return fb_session_tidy(session, type, status, err);
}
