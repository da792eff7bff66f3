/* SPDX-License-Identifier: Apache-2.0
 * Rows from one table into another of the same type: as parts of columns where both are alike, else cell by cell. */
#include "data/facts_internal.h"

/* Of all of them present, of one kind, into a column of that kind; *ret_done is false when it cannot be so. */
static fb_status S_copy_cells(fb_facts *facts, uint32_t to, uint32_t field, const fb_column *from,
                              uint32_t at, uint32_t count, bool *ret_done) {
  *ret_done = false;
  if (from->kind == FB_COLUMN_VALUES || from->dense < at + count) return FB_OK;
  fb_chunk *chunk = &facts->chunks[to / FB_CHUNK_ROWS];
  uint32_t first = to % FB_CHUNK_ROWS;
  fb_column *column;
  fb_status status = fb_facts_column_for(facts, chunk, field, from->kind, first, &column);
  if (status == FB_OK && first + count > column->rows)
    status = fb_facts_grow_column(facts, chunk, column, first + count - 1);
  if (status != FB_OK || column->kind != from->kind) return status;
  size_t size = fb_cell_size(column->kind);
  memcpy((char *)column->cells + first * size, (const char *)from->cells + at * size, count * size);
  fb_facts_mark(column, first, count);
  *ret_done = true;
  return FB_OK;
}

static fb_status S_copy_values(fb_facts *facts, uint32_t to, uint32_t field, const fb_facts *from,
                               uint32_t row, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    fb_value value = fb_facts_cell(from, row + i, field);
    if (value.kind == FB_ABSENT) continue;
    fb_status status = fb_facts_own(facts, &value);
    if (status == FB_OK) status = fb_facts_put(facts, to + i, field, value);
    if (status != FB_OK) return status;
  }
  return FB_OK;
}

/* Of one chunk each. */
static fb_status S_copy_part(fb_facts *facts, const fb_facts *from, uint32_t row, uint32_t count) {
  const fb_chunk *chunk = &from->chunks[row / FB_CHUNK_ROWS];
  uint32_t to = facts->count, at = row % FB_CHUNK_ROWS;
  fb_status status = FB_OK;
  fb_facts_commit(facts, count);
  for (uint32_t field = 0; field < chunk->column_count && status == FB_OK; field++) {
    const fb_column *column = &chunk->columns[field];
    bool done;
    if (!column->cells) continue;
    status = S_copy_cells(facts, to, field, column, at, count, &done);
    if (status == FB_OK && !done) status = S_copy_values(facts, to, field, from, row, count);
  }
  return status;
}

fb_status fb_facts_add_rows(fb_facts *facts, const fb_facts *from, uint32_t first, uint32_t count) {
  if (facts->type != from->type || facts->symbols != from->symbols || first > from->count ||
      count > from->count - first)
    return FB_E_INTERNAL;
  if (count > UINT32_MAX - facts->count) return FB_E_LIMIT;
  uint32_t start = facts->count;
  fb_arena_mark mark = fb_arena_save(&facts->arena);
  fb_status status = FB_OK;
  while (count && status == FB_OK) {
    fb_chunk *chunk;
    uint32_t part = FB_CHUNK_ROWS - facts->count % FB_CHUNK_ROWS,
             left = FB_CHUNK_ROWS - first % FB_CHUNK_ROWS;
    if (part > left) part = left;
    if (part > count) part = count;
    status = fb_facts_last_chunk(facts, &chunk);
    if (status == FB_OK) status = S_copy_part(facts, from, first, part);
    first += part;
    count -= part;
  }
  if (status == FB_OK) return FB_OK;
  fb_facts_drop_to(facts, start);
  fb_arena_rewind(&facts->arena, mark);
  return status;
}

fb_status fb_facts_add_row(fb_facts *facts, const fb_facts *from, uint32_t row, uint32_t *ret_row) {
  uint32_t to = facts->count;
  fb_status status = fb_facts_add_rows(facts, from, row, 1);
  if (status == FB_OK) *ret_row = to;
  return status;
}

/* A cell of a value that is such as others of its column are, so that its field takes it. */
static bool S_put_alike(const fb_facts *facts, fb_column *column, uint32_t at, fb_value value) {
  if (column->kind != value.kind || at >= column->rows || at > column->dense) return false;
  switch (value.kind) {
    case FB_INT:
    case FB_UINT:
    case FB_DOUBLE: ((uint64_t *)column->cells)[at] = value.as.u; break;
    case FB_BOOL: ((uint8_t *)column->cells)[at] = value.as.b; break;
    case FB_STRING: {
      if (!value.symbol) return false;
      fb_symbol symbol = fb_symbol_of(value);
      if (symbol >= facts->symbols->count || facts->symbols->texts[symbol] != value.as.text)
        return false;
      ((fb_symbol *)column->cells)[at] = symbol;
      break;
    }
    default: return false;
  }
  if (at == column->dense) column->dense++;
  return true;
}

fb_status fb_facts_set_row(fb_facts *facts, uint32_t row, const fb_value *values, uint32_t count,
                           fb_error *err) {
  uint32_t at = row % FB_CHUNK_ROWS;
  for (uint32_t f = 0; f < count; f++) {
    const fb_chunk *chunk = &facts->chunks[row / FB_CHUNK_ROWS];
    if (!facts->pager && f < chunk->column_count &&
        S_put_alike(facts, &chunk->columns[f], at, values[f]))
      continue;
    fb_status status = fb_facts_set(facts, row, f, values[f], err);
    if (status != FB_OK) return status;
  }
  return FB_OK;
}

void fb_facts_drop_to(fb_facts *facts, uint32_t count) {
  while (facts->count > count) fb_facts_drop_last(facts);
}
