/* SPDX-License-Identifier: Apache-2.0
 *
 * Facts of parts, seen and changed from outside. An id has its part in the upper eight bits, above 24 of the generation. A change is made
 * in the part that has the fact, with the next ticks of the whole; one of a copied fact in all parts, with the same tick.
 */
#include "rules/partition.h"

#include <stdlib.h>

enum { PART_SHIFT = 56 };
#define PLAIN_BITS ((UINT64_C(1) << PART_SHIFT) - 1)

/* ── Which fact ── */

static fb_fact_id S_id(uint32_t part, fb_fact_id id) {
  return (id & PLAIN_BITS) | (fb_fact_id)part << PART_SHIFT;
}

/* The part, and the place in it; NULL: there is no such fact. */
static fb_part *S_find(const fb_partition *group, fb_fact_id id, uint32_t *ret_place) {
  uint32_t number = (uint32_t)(id >> PART_SHIFT), place = (uint32_t)id;
  if (number >= group->options.parts) return NULL;
  fb_part *part = &group->parts[number];
  const fb_session *session = part->session;
  if (!place || place >= session->fact_count || session->facts[place].row == FB_RULE_NONE ||
      fb_type_is_hidden(session->set, session->facts[place].type) ||
      S_id(number, fb_place_id(session, place)) != id)
    return NULL;
  *ret_place = place;
  return part;
}

static bool S_is_copied(const fb_partition *group, uint32_t type) {
  return type < group->plan.type_count && group->plan.types[type].role == FB_PART_COPIED;
}

/* The copy of a fact in another part: that of the same tick. 0: there is none. */
static uint32_t S_twin(const fb_session *session, uint32_t type, uint64_t serial) {
  for (uint32_t place = 1; place < session->fact_count; place++)
    if (session->facts[place].row != FB_RULE_NONE && session->facts[place].type == type &&
        fb_place_serial(session, place) == serial)
      return place;
  return 0;
}

fb_value fb_partition_fact(const fb_partition *group, fb_fact_id id) {
  uint32_t place;
  const fb_part *part = S_find(group, id, &place);
  return part ? fb_place_value(part->session, place) : fb_absent();
}

/* ── Changes ── */

typedef struct S_change {
  const fb_map *fields; /* NULL: the fact is retracted */
  fb_error *err;
} S_change;

static fb_status S_change_one(fb_partition *group, fb_part *part, uint32_t place,
                              const S_change *change) {
  fb_session *session = part->session;
  fb_fact_id id = fb_place_id(session, place);
  session->tick = group->tick;
  if (!change->fields) return fb_session_retract(session, id, change->err);
  fb_status status = fb_part_learn(part, session->facts[place].type);
  if (status != FB_OK) return fb_fail(change->err, status, "no memory for another field");
  return fb_session_modify(session, id, change->fields, change->err);
}

/* In the first part, and in those that have copies. After a failure in one of the latter the parts are at odds. */
static fb_status S_change_all(fb_partition *group, fb_part *first, uint32_t place,
                              const S_change *change) {
  const fb_fact *fact = &first->session->facts[place];
  uint32_t type = fact->type;
  uint64_t serial = fb_place_serial(first->session, place);
  fb_session_stats before = first->session->stats;
  fb_status status = S_change_one(group, first, place, change);
  uint64_t tick = first->session->tick;
  group->facts += first->session->stats.facts - before.facts;
  group->lost = status != FB_OK && first->session->lost;
  for (uint32_t i = 0; S_is_copied(group, type) && i < group->options.parts && status == FB_OK;
       i++) {
    fb_part *part = &group->parts[i];
    uint32_t twin = part == first ? 0 : S_twin(part->session, type, serial);
    if (!twin) continue;
    before = part->session->stats;
    status = S_change_one(group, part, twin, change);
    group->lost = status != FB_OK;
    group->modified_again += part->session->stats.modified - before.modified;
    group->retracted_again += part->session->stats.retracted - before.retracted;
  }
  group->tick = tick;
  return status;
}

/* The front has the fields' names before the parts do. */
static fb_status S_learn_fields(fb_partition *group, uint32_t type_number, const fb_map *fields,
                                fb_error *err) {
  fb_fact_type *type = fb_schema_type(group->front->schema, type_number);
  fb_part_type role = {.role = FB_PART_FREE};
  if (type_number < group->plan.type_count) role = group->plan.types[type_number];
  for (uint32_t i = 0; i < fields->len; i++) {
    uint32_t field;
    if (fields->entries[i].key.kind != FB_STRING)
      return fb_fail(err, FB_E_FACT_FIELD, "a field's name is text");
    fb_slice name = fb_value_text(fields->entries[i].key);
    fb_status status = fb_fact_type_learn(group->front->schema, type, name, &field);
    int len = (int)(name.len > 80 ? 80 : name.len);
    if (status != FB_OK)
      return fb_fail(err, status, "fact type `%.*s` has no field `%.*s`", (int)type->name.len,
                     type->name.ptr, len, name.ptr);
    if (role.role == FB_PART_KEYED && field == role.field)
      return fb_fail(err, FB_E_RULE_PARTITION,
                     "by its field `%.*s` the fact is in its part; retract it and assert it anew",
                     len, name.ptr);
  }
  return FB_OK;
}

static fb_status S_make(fb_partition *group, fb_fact_id id, const S_change *change) {
  uint32_t place;
  fb_part *part;
  fb_status status = fb_part_ready(group, change->err);
  if (status != FB_OK) return status;
  if (!(part = S_find(group, id, &place)))
    return fb_fail(change->err, FB_E_RULE_FACT, "there is no fact %llu", (unsigned long long)id);
  uint32_t type = part->session->facts[place].type;
  if (S_is_copied(group, type) && fb_part_has_supports(group))
    return fb_fail(
        change->err, FB_E_RULE_PARTITION,
        "logical facts are held, and every part has the fact: what rests on it cannot be "
        "withdrawn in order");
  if (change->fields) status = S_learn_fields(group, type, change->fields, change->err);
  for (uint32_t i = 0; i < group->options.parts; i++) group->parts[i].early_count = 0;
  if (status == FB_OK) status = S_change_all(group, part, place, change);
  fb_part_tell_early(group);
  return status;
}

fb_status fb_partition_modify(fb_partition *group, fb_fact_id id, const fb_map *fields,
                              fb_error *err) {
  S_change change = {fields, err};
  return S_make(group, id, &change);
}

fb_status fb_partition_retract(fb_partition *group, fb_fact_id id, fb_error *err) {
  S_change change = {NULL, err};
  return S_make(group, id, &change);
}

/* ── Asking ── */

typedef struct S_found {
  uint64_t serial; /* of the whole */
  uint32_t part, place;
} S_found;

typedef struct S_asking {
  const fb_partition *group;
  uint32_t part;
  S_found *items;
  size_t count, cap;
} S_asking;

static fb_status S_note(void *context, fb_session *session, fb_fact_id id, fb_value fact) {
  S_asking *asking = context;
  (void)fact;
  uint32_t place = (uint32_t)id;
  const fb_part *part = &asking->group->parts[asking->part];
  if (asking->part && S_is_copied(asking->group, session->facts[place].type)) return FB_OK;
  if (!fb_grow(asking->group->allocator, (void **)&asking->items, &asking->cap, asking->count,
               sizeof *asking->items))
    return FB_E_NOMEM;
  uint64_t serial = fb_part_whole_tick(part, fb_place_serial(session, place));
  asking->items[asking->count++] = (S_found){serial, asking->part, place};
  return FB_OK;
}

static int S_order(const void *pa, const void *pb) {
  const S_found *a = pa, *b = pb;
  return a->serial < b->serial ? -1 : a->serial > b->serial;
}

fb_status fb_partition_query(fb_partition *group, fb_slice type, fb_slice condition,
                             fb_query_fn *fn, void *context, fb_errors *errors) {
  S_asking asking = {.group = group};
  fb_status status = fb_part_ready(group, NULL);
  for (uint32_t i = 0; i < group->options.parts && status == FB_OK; i++) {
    asking.part = i;
    status = fb_session_query(group->parts[i].session, type, condition, S_note, &asking,
                              i ? NULL : errors);
  }
  if (status == FB_OK && asking.count)
    qsort(asking.items, asking.count, sizeof *asking.items, S_order);
  for (size_t i = 0; i < asking.count && status == FB_OK; i++) {
    fb_session *session = group->parts[asking.items[i].part].session;
    uint32_t place = asking.items[i].place;
    status = fn(context, session, S_id(asking.items[i].part, fb_place_id(session, place)),
                fb_place_value(session, place));
  }
  fb_free(group->allocator, asking.items, asking.cap * sizeof *asking.items);
  return status;
}
