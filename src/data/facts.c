/* SPDX-License-Identifier: Apache-2.0
 * Facts in columns. */
#include "data/pager.h"

enum { FIRST_ROWS = 16, GROWTH = 4, PRESENT_BYTES = FB_CHUNK_ROWS / 8 };

/* The array of a chunk's columns grows in steps, so that its size follows from their number. */
static size_t S_columns_size(uint32_t count) {
  return (((size_t)count + 7) & ~(size_t)7) * sizeof(fb_column);
}

void *fb_facts_resize(fb_facts *facts, void *ptr, size_t old_size, size_t size) {
  void *moved = fb_resize(facts->allocator, ptr, old_size, size);
  if (!moved && size) return NULL;
  facts->held += size - old_size;
  if (facts->pager) facts->pager->held += size - old_size;
  return moved;
}

/* ── Chunks and columns ── */

fb_status fb_facts_new(const fb_allocator *allocator, fb_schema *schema, fb_fact_type *type,
                       fb_facts **ret_facts) {
  if (!allocator) allocator = fb_allocator_system();
  fb_facts *facts = fb_alloc_zero(allocator, sizeof *facts);
  if (!facts) return FB_E_NOMEM;
  facts->allocator = allocator;
  facts->schema = schema;
  facts->symbols = fb_schema_symbols(schema);
  facts->type = type;
  fb_arena_init(&facts->arena, allocator, 0);
  *ret_facts = facts;
  return FB_OK;
}

static void S_free_cells(fb_facts *facts, fb_column *column) {
  size_t cell = fb_cell_size(column->kind);
  if (column->slab)
    fb_facts_slab_put(facts, column->cells, cell);
  else if (column->cells)
    fb_facts_resize(facts, column->cells, column->rows * cell, 0);
  column->cells = NULL;
  column->slab = false;
}

static void *S_new_cells(fb_facts *facts, uint8_t kind, uint32_t rows, bool *ret_slab) {
  size_t cell = fb_cell_size(kind);
  *ret_slab = rows == FB_CHUNK_ROWS && fb_facts_slab_fits(facts);
  return *ret_slab ? fb_facts_slab_get(facts, cell) : fb_facts_resize(facts, NULL, 0, rows * cell);
}

static void S_release_column(fb_facts *facts, fb_column *column) {
  S_free_cells(facts, column);
  if (column->present) fb_facts_resize(facts, column->present, PRESENT_BYTES, 0);
  *column = (fb_column){0};
}

static void S_release_chunk(fb_facts *facts, fb_chunk *chunk) {
  if (facts->pager) fb_pager_remove(facts, (uint32_t)(chunk - facts->chunks));
  for (uint32_t i = 0; i < chunk->column_count; i++) S_release_column(facts, &chunk->columns[i]);
  if (chunk->columns)
    fb_facts_resize(facts, chunk->columns, S_columns_size(chunk->column_count), 0);
  *chunk = (fb_chunk){0};
}

void fb_facts_free(fb_facts *facts) {
  if (!facts) return;
  for (size_t i = 0; i < facts->chunk_count; i++) S_release_chunk(facts, &facts->chunks[i]);
  fb_facts_slab_release(facts);
  fb_free(facts->allocator, facts->chunks, facts->chunk_cap * sizeof *facts->chunks);
  fb_free(facts->allocator, facts->pages, facts->page_cap * sizeof *facts->pages);
  fb_arena_release(&facts->arena);
  fb_free(facts->allocator, facts, sizeof *facts);
}

void fb_facts_clear(fb_facts *facts) {
  size_t kept = facts->pager ? 0 : 1;
  while (facts->chunk_count > kept) S_release_chunk(facts, &facts->chunks[--facts->chunk_count]);
  fb_facts_slab_release(facts); /* the first chunk has none */
  facts->count = 0;
  fb_arena_reset(&facts->arena);
  if (!facts->chunk_count) return;
  fb_chunk *chunk = &facts->chunks[0];
  chunk->count = 0;
  for (uint32_t i = 0; i < chunk->column_count; i++) {
    chunk->columns[i].dense = 0;
    if (chunk->columns[i].present) memset(chunk->columns[i].present, 0, PRESENT_BYTES);
  }
}

fb_status fb_facts_last_chunk(fb_facts *facts, fb_chunk **ret_chunk) {
  if (facts->count / FB_CHUNK_ROWS == facts->chunk_count) {
    void *chunks = facts->chunks;
    if (!fb_grow(facts->allocator, &chunks, &facts->chunk_cap, facts->chunk_count,
                 sizeof *facts->chunks))
      return FB_E_NOMEM;
    facts->chunks = chunks;
    facts->chunks[facts->chunk_count] = (fb_chunk){0};
    if (facts->pager && fb_pager_add(facts, (uint32_t)facts->chunk_count)) return FB_E_NOMEM;
    facts->chunk_count++;
  } else if (facts->pager) {
    fb_status status = fb_pager_link(facts, facts->count / FB_CHUNK_ROWS);
    if (status) return status;
  }
  *ret_chunk = &facts->chunks[facts->count / FB_CHUNK_ROWS];
  return FB_OK;
}

static fb_status S_widen(fb_facts *facts, fb_chunk *chunk, uint32_t count) {
  size_t old_size = chunk->columns ? S_columns_size(chunk->column_count) : 0,
         size = S_columns_size(count);
  if (!chunk->columns || size != old_size) {
    fb_column *columns = fb_facts_resize(facts, chunk->columns, old_size, size);
    if (!columns) return FB_E_NOMEM;
    chunk->columns = columns;
  }
  memset(chunk->columns + chunk->column_count, 0,
         (count - chunk->column_count) * sizeof(fb_column));
  chunk->column_count = count;
  return FB_OK;
}

/* Columns of a small table start small; those of later chunks are made whole at once. */
fb_status fb_facts_grow_column(fb_facts *facts, fb_chunk *chunk, fb_column *column, uint32_t at) {
  uint32_t rows = chunk == facts->chunks ? FIRST_ROWS : FB_CHUNK_ROWS;
  while (rows <= at) rows *= GROWTH;
  if (rows > FB_CHUNK_ROWS) rows = FB_CHUNK_ROWS;
  size_t cell = fb_cell_size(column->kind);
  bool slab = false;
  void *cells = column->rows
                    ? fb_facts_resize(facts, column->cells, column->rows * cell, rows * cell)
                    : S_new_cells(facts, column->kind, rows, &slab);
  if (!cells) return FB_E_NOMEM;
  column->cells = cells;
  column->slab = slab;
  column->rows = rows;
  return FB_OK;
}

static bool S_is_empty(const fb_column *column) {
  if (column->dense) return false;
  for (uint32_t i = 0; column->present && i < FB_CHUNK_ROWS / 64; i++)
    if (column->present[i]) return false;
  return true;
}

/* Turns a column of one kind into one of values. */
static fb_status S_promote(fb_facts *facts, fb_column *column) {
  bool slab;
  fb_value *cells = S_new_cells(facts, FB_COLUMN_VALUES, column->rows, &slab);
  if (!cells) return FB_E_NOMEM;
  for (uint32_t at = 0; at < column->rows; at++)
    if (fb_column_has(column, at)) cells[at] = fb_column_value(column, facts->symbols, at);
  S_free_cells(facts, column);
  column->cells = cells;
  column->slab = slab;
  column->kind = FB_COLUMN_VALUES;
  return FB_OK;
}

/* Gives a column without values another kind; its cells go. */
static void S_retype(fb_facts *facts, fb_column *column, uint8_t kind) {
  S_free_cells(facts, column);
  column->rows = 0;
  column->kind = kind;
}

fb_status fb_facts_need_bits(fb_facts *facts, fb_column *column) {
  if (column->present) return FB_OK;
  uint64_t *bits = fb_facts_resize(facts, NULL, 0, PRESENT_BYTES);
  if (!bits) return FB_E_NOMEM;
  memset(bits, 0, PRESENT_BYTES);
  column->present = bits;
  return FB_OK;
}

fb_status fb_facts_column_for(fb_facts *facts, fb_chunk *chunk, uint32_t field, uint8_t kind,
                              uint32_t at, fb_column **ret_column) {
  fb_status status = FB_OK;
  if (field >= chunk->column_count) status = S_widen(facts, chunk, field + 1);
  if (status) return status;
  fb_column *column = &chunk->columns[field];
  if (column->kind != kind && column->kind != FB_COLUMN_VALUES) {
    if (S_is_empty(column))
      S_retype(facts, column, kind);
    else
      status = S_promote(facts, column);
  }
  if (!status && at >= column->rows) status = fb_facts_grow_column(facts, chunk, column, at);
  if (!status && at > column->dense) status = fb_facts_need_bits(facts, column);
  if (!status) *ret_column = column;
  return status;
}

void fb_facts_page(fb_facts *facts, fb_pager *pager) {
  facts->pager = pager;
}

/* ── Presence ── */

void fb_facts_mark(fb_column *column, uint32_t from, uint32_t rows) {
  if (from <= column->dense) {
    if (from + rows > column->dense) column->dense = from + rows;
    return;
  }
  for (uint32_t at = from; at < from + rows; at++)
    column->present[at / 64] |= UINT64_C(1) << (at % 64);
}

/* Removes a cell that is not the last of the dense ones: those after it get bits. */
static fb_status S_unmark(fb_facts *facts, fb_column *column, uint32_t at) {
  if (at < column->dense) {
    fb_status status = fb_facts_need_bits(facts, column);
    if (status) return status;
    for (uint32_t i = at + 1; i < column->dense; i++)
      column->present[i / 64] |= UINT64_C(1) << (i % 64);
    column->dense = at;
  }
  if (column->present) column->present[at / 64] &= ~(UINT64_C(1) << (at % 64));
  return FB_OK;
}

/* ── Rows ── */

fb_status fb_facts_add(fb_facts *facts, uint32_t *ret_row) {
  if (facts->count == UINT32_MAX) return FB_E_LIMIT;
  fb_chunk *chunk;
  fb_status status = fb_facts_last_chunk(facts, &chunk);
  if (status) return status;
  *ret_row = facts->count;
  fb_facts_commit(facts, 1);
  return FB_OK;
}

void fb_facts_commit(fb_facts *facts, uint32_t rows) {
  facts->chunks[facts->count / FB_CHUNK_ROWS].count += rows;
  facts->count += rows;
}

void fb_facts_drop_last(fb_facts *facts) {
  if (!facts->count) return;
  fb_chunk *chunk = &facts->chunks[--facts->count / FB_CHUNK_ROWS];
  if (facts->pager) fb_pager_link(facts, facts->count / FB_CHUNK_ROWS);
  uint32_t at = --chunk->count;
  for (uint32_t i = 0; i < chunk->column_count; i++) {
    fb_column *column = &chunk->columns[i];
    if (column->dense > at) column->dense = at;
    if (column->present) column->present[at / 64] &= ~(UINT64_C(1) << (at % 64));
  }
}

static void S_write_cell(fb_column *column, uint32_t at, fb_value value) {
  switch (column->kind) {
    case FB_BOOL: ((uint8_t *)column->cells)[at] = value.as.b; break;
    case FB_INT:
    case FB_UINT:
    case FB_DOUBLE: ((uint64_t *)column->cells)[at] = value.as.u; break;
    case FB_STRING: ((fb_symbol *)column->cells)[at] = fb_symbol_of(value); break;
    default: ((fb_value *)column->cells)[at] = value; break;
  }
}

fb_status fb_facts_put(fb_facts *facts, uint32_t row, uint32_t field, fb_value value) {
  fb_chunk *chunk = &facts->chunks[row / FB_CHUNK_ROWS];
  uint32_t at = row % FB_CHUNK_ROWS;
  fb_status status =
      FB_UNLIKELY(facts->pager != NULL) ? fb_pager_link(facts, row / FB_CHUNK_ROWS) : FB_OK;
  if (status) return status;
  if (value.kind == FB_ABSENT)
    return field < chunk->column_count ? S_unmark(facts, &chunk->columns[field], at) : FB_OK;
  fb_column *column;
  status = fb_facts_column_for(facts, chunk, field, fb_cell_kind(value.kind), at, &column);
  if (status) return status;
  S_write_cell(column, at, value);
  fb_facts_mark(column, at, 1);
  return FB_OK;
}

fb_status fb_facts_own(fb_facts *facts, fb_value *value) {
  switch (value->kind) {
    case FB_STRING: {
      fb_symbols *symbols = facts->symbols;
      if (value->symbol) {
        fb_symbol known = fb_symbol_of(*value);
        if (known < symbols->count && symbols->texts[known] == value->as.text) return FB_OK;
      }
      fb_symbol symbol;
      fb_status status = fb_symbol_intern(symbols, fb_value_text(*value), &symbol);
      if (!status) *value = fb_symbol_value_of(symbols, symbol);
      return status;
    }
    case FB_BYTES:
    case FB_LIST:
    case FB_MAP:
    case FB_TYPE:
    case FB_OPTIONAL:
    case FB_FACT: return fb_value_copy(&facts->arena, *value, value);
    default: return FB_OK;
  }
}

static fb_status S_fail_memory(fb_status status, fb_error *err) {
  return status == FB_E_NOMEM   ? fb_fail(err, status, "out of memory")
         : status == FB_E_LIMIT ? fb_fail(err, status, "too many different texts, or one of 4 GiB")
                                : status;
}

fb_status fb_facts_set(fb_facts *facts, uint32_t row, uint32_t field, fb_value value,
                       fb_error *err) {
  if (row >= facts->count) return fb_fail(err, FB_E_INTERNAL, "there is no row %u", row);
  if (field >= facts->type->field_count)
    return fb_fail(err, FB_E_FACT_FIELD, "fact type `%.*s` has no field number %u",
                   (int)facts->type->name.len, facts->type->name.ptr, field);
  if (!fb_field_convert(facts->type->fields[field].type, &value))
    return fb_field_refuse(facts->type, field, value, err);
  fb_status status = fb_facts_own(facts, &value);
  if (!status) status = fb_facts_put(facts, row, field, value);
  return S_fail_memory(status, err);
}

static fb_status S_set_entry(fb_facts *facts, uint32_t row, const fb_entry *entry, fb_error *err) {
  const fb_fact_type *type = facts->type;
  if (entry->key.kind != FB_STRING)
    return fb_fail(err, FB_E_FACT_VALUE, "a fact's keys are text, not %s",
                   fb_kind_name(entry->key.kind));
  uint32_t field;
  fb_status status =
      fb_fact_type_learn(facts->schema, facts->type, fb_value_text(entry->key), &field);
  if (!status) return fb_facts_set(facts, row, field, entry->value, err);
  return fb_field_unknown(type, fb_value_text(entry->key), status, err);
}

fb_status fb_facts_add_map(fb_facts *facts, const fb_map *map, uint32_t *ret_row, fb_error *err) {
  uint32_t row;
  fb_arena_mark mark = fb_arena_save(&facts->arena);
  fb_status status = fb_facts_add(facts, &row);
  if (status)
    return fb_fail(err, status, "%s", status == FB_E_NOMEM ? "out of memory" : "too many facts");
  for (uint32_t i = 0; i < map->len && !status; i++)
    status = S_set_entry(facts, row, &map->entries[i], err);
  if (status) {
    fb_facts_drop_last(facts);
    fb_arena_rewind(&facts->arena, mark);
  } else {
    *ret_row = row;
  }
  return status;
}

/* ── Reading ── */

fb_value fb_facts_get(const fb_facts *facts, uint32_t row, uint32_t field) {
  return row < facts->count ? fb_facts_cell(facts, row, field) : fb_absent();
}

fb_fact_type *fb_facts_type(const fb_facts *facts) {
  return facts->type;
}

fb_schema *fb_facts_schema(const fb_facts *facts) {
  return facts->schema;
}

uint32_t fb_facts_count(const fb_facts *facts) {
  return facts->count;
}

size_t fb_facts_chunks(const fb_facts *facts) {
  return ((size_t)facts->count + FB_CHUNK_ROWS - 1) / FB_CHUNK_ROWS;
}

const fb_chunk *fb_facts_chunk(const fb_facts *facts, size_t number) {
  if (number >= fb_facts_chunks(facts)) return NULL;
  if (facts->pager && fb_pager_link((fb_facts *)facts, (uint32_t)number)) return NULL;
  return &facts->chunks[number];
}

size_t fb_facts_memory(const fb_facts *facts) {
  return sizeof *facts + facts->held + facts->arena.held + facts->chunk_cap * sizeof *facts->chunks;
}

fb_status fb_fact_map(const fb_facts *facts, uint32_t row, fb_arena *arena, fb_map **ret_map) {
  uint32_t count = facts->type->field_count;
  fb_map *map = fb_map_new(arena, count < 8 ? count : 8);
  if (!map) return FB_E_NOMEM;
  for (uint32_t field = 0; field < count; field++) {
    fb_value value = fb_facts_get(facts, row, field);
    if (value.kind == FB_ABSENT) continue;
    if (!fb_map_put(map, arena, fb_string(facts->type->fields[field].name), value, NULL))
      return FB_E_NOMEM;
  }
  *ret_map = map;
  return FB_OK;
}

fb_value fb_fact_get(fb_value fact, fb_slice field) {
  int32_t number = fb_fact_type_field(fact.as.facts->type, field);
  return number < 0 ? fb_absent() : fb_facts_get(fact.as.facts, fact.len, (uint32_t)number);
}
