/* SPDX-License-Identifier: Apache-2.0
 * Rows into parts: each part takes its share, with symbols of its own. */
#include "data/facts_internal.h"
#include "rules/partition.h"

/* The part's schema has all types and fields of the front's, in the same order, so that they have the same numbers. */
fb_status fb_part_learn(fb_part *part, uint32_t number) {
  fb_schema *schema = part->session->schema;
  const fb_schema *front = part->group->front->schema;
  const fb_fact_type *type = fb_schema_type(front, number);
  fb_fact_type *own;
  for (size_t t = fb_schema_count(schema); t < fb_schema_count(front); t++) {
    fb_status status = fb_schema_open(schema, fb_schema_type(front, (uint32_t)t)->name, &own);
    if (status != FB_OK) return status;
  }
  own = fb_schema_type(schema, number);
  for (uint32_t f = own->field_count; f < type->field_count; f++) {
    uint32_t field;
    fb_status status = fb_fact_type_learn(schema, own, type->fields[f].name, &field);
    if (status != FB_OK) return status;
  }
  return FB_OK;
}

static fb_status S_symbol(fb_part *part, const fb_symbols *front, fb_symbol symbol,
                          fb_symbol *ret) {
  if (symbol >= part->symbol_cap) {
    size_t cap =
        part->symbol_cap * 2 > (size_t)symbol + 64 ? part->symbol_cap * 2 : (size_t)symbol + 64;
    fb_symbol *more = fb_resize(&part->session->allocator, part->symbols,
                                part->symbol_cap * sizeof *more, cap * sizeof *more);
    if (!more) return FB_E_NOMEM;
    memset(more + part->symbol_cap, 0, (cap - part->symbol_cap) * sizeof *more);
    part->symbols = more;
    part->symbol_cap = cap;
  }
  fb_symbol *own = &part->symbols[symbol];
  if (!*own && symbol) {
    fb_status status = fb_symbol_intern(part->session->symbols, fb_symbol_text(front, symbol), own);
    if (status != FB_OK) return status;
  }
  *ret = *own;
  return FB_OK;
}

static fb_status S_copy_cell(fb_part *part, fb_facts *to, uint32_t row, uint32_t field,
                             const fb_facts *from, const fb_column *column, uint32_t at) {
  if (column->kind == FB_COLUMN_VALUES)
    return fb_facts_set(to, row, field, fb_column_value(column, from->symbols, at), NULL);
  if (column->kind != FB_STRING)
    return fb_facts_put(to, row, field, fb_column_value(column, from->symbols, at));
  fb_symbol symbol;
  fb_status status = S_symbol(part, from->symbols, ((const fb_symbol *)column->cells)[at], &symbol);
  if (status != FB_OK) return status;
  return fb_facts_put(to, row, field, fb_symbol_value_of(to->symbols, symbol));
}

static fb_status S_take(fb_part *part, fb_memory *memory, const fb_facts *facts, uint32_t from) {
  fb_session *session = part->session;
  const fb_chunk *chunk = &facts->chunks[from / FB_CHUNK_ROWS];
  uint32_t row, place, at = from % FB_CHUNK_ROWS, type = facts->type->id;
  fb_status status = fb_memory_new_row(session, memory, &row);
  if (status != FB_OK) return fb_fail(&part->err, status, "no memory for another fact");
  for (uint32_t f = 0; f < chunk->column_count && status == FB_OK; f++)
    if (fb_column_has(&chunk->columns[f], at))
      status = S_copy_cell(part, memory->facts, row, f, facts, &chunk->columns[f], at);
  if (status != FB_OK) return fb_fail(&part->err, status, "no memory for another fact");
  return fb_session_insert_row(session, type, row, &place, &part->err);
}

/* Which part a row belongs to; NONE: to all. */
static uint32_t S_owner(const fb_partition *group, const fb_facts *facts, uint32_t row,
                        uint64_t tick) {
  uint32_t type = facts->type->id;
  fb_part_type role = {.role = FB_PART_FREE};
  if (type < group->plan.type_count) role = group->plan.types[type];
  uint64_t hash;
  switch (role.role) {
    case FB_PART_COPIED: return FB_RULE_NONE;
    case FB_PART_FREE: return (uint32_t)(tick % group->options.parts);
    default:
      hash =
          fb_rule_key_hash(fb_rule_key_of(fb_facts_cell(facts, row, role.field), facts->symbols));
      return (uint32_t)((hash >> 32) * group->options.parts >> 32);
  }
}

void fb_part_feed(fb_part *part, const fb_facts *facts, uint32_t first, uint32_t count) {
  fb_partition *group = part->group;
  fb_session *session = part->session;
  fb_memory *memory;
  part->status = fb_part_learn(part, facts->type->id);
  if (part->status == FB_OK)
    part->status = fb_memory_of(session, fb_schema_type(session->schema, facts->type->id), &memory);
  if (part->status != FB_OK) {
    fb_fail(&part->err, part->status, "no memory for another fact type");
    return;
  }
  for (uint32_t i = 0; i < count && part->status == FB_OK; i++) {
    uint64_t tick = group->tick + i;
    uint32_t owner = S_owner(group, facts, first + i, tick);
    if (owner != part->number && owner != FB_RULE_NONE) continue;
    session->tick = tick; /* the change takes the next one */
    part->rows++;
    part->status = S_take(part, memory, facts, first + i);
  }
}
