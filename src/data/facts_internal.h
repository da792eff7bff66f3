/* SPDX-License-Identifier: Apache-2.0
 * Inside of fact tables: for the expression VM and the matcher, which read cells in their innermost
 * loops, and for streams, which write them. */
#ifndef FB_DATA_FACTS_INTERNAL_H
#define FB_DATA_FACTS_INTERNAL_H

#include "data/symbol_internal.h"

typedef struct fb_pager fb_pager;
typedef struct fb_slab fb_slab;

struct fb_facts {
  fb_chunk *chunks; /* all but the last are full; the first stays when the table is cleared */
  size_t chunk_count, chunk_cap;
  uint32_t count;
  fb_symbols *symbols;
  fb_fact_type *type;
  fb_schema *schema;
  fb_arena arena;    /* lists, maps, bytes */
  size_t held;       /* bytes of columns */
  size_t compact_at; /* bytes that the arena holds before it is worth a look; see facts_compact.c */
  const fb_allocator *allocator;
  fb_pager *pager;        /* NULL: all chunks are in memory; see pager.h */
  struct fb_page **pages; /* by chunk */
  size_t page_cap;
  fb_slab *slabs; /* cells of later chunks, see facts_cells.c; a paged table has none */
  char *slab_next, *slab_end;
  void *free_cells[4];
};

/* What fb_facts_column does where the chunk may not be in memory. */
const fb_column *fb_facts_fault(const fb_facts *facts, uint32_t row, uint32_t field);
/* facts_cells.c: cells for FB_CHUNK_ROWS rows; their `held` is that of the slabs. */
bool fb_facts_slab_fits(const fb_facts *facts);
void *fb_facts_slab_get(fb_facts *facts, size_t cell);
void fb_facts_slab_put(fb_facts *facts, void *cells, size_t cell);
/* No column has cells of a slab any more. */
void fb_facts_slab_release(fb_facts *facts);
/* Says that so many rows of another table will be added. */
void fb_facts_reserve(fb_facts *facts, const fb_facts *from, uint32_t first, uint32_t count);

static inline const fb_column *fb_facts_column(const fb_facts *facts, uint32_t row,
                                               uint32_t field) {
  const fb_chunk *chunk = &facts->chunks[row / FB_CHUNK_ROWS];
  if (FB_LIKELY(field < chunk->column_count)) return &chunk->columns[field];
  return FB_UNLIKELY(facts->pager != NULL) ? fb_facts_fault(facts, row, field) : NULL;
}

/* What a present cell holds. */
static inline fb_value fb_column_value(const fb_column *column, const fb_symbols *symbols,
                                       uint32_t at) {
  switch (column->kind) {
    case FB_BOOL: return fb_bool(((const uint8_t *)column->cells)[at]);
    case FB_INT: return fb_int(((const int64_t *)column->cells)[at]);
    case FB_UINT: return fb_uint(((const uint64_t *)column->cells)[at]);
    case FB_DOUBLE: return fb_double(((const double *)column->cells)[at]);
    case FB_STRING: return fb_symbol_value_of(symbols, ((const fb_symbol *)column->cells)[at]);
    default: return ((const fb_value *)column->cells)[at];
  }
}

/* fb_facts_get without a call; `row` is below the count. */
static inline fb_value fb_facts_cell(const fb_facts *facts, uint32_t row, uint32_t field) {
  const fb_column *column = fb_facts_column(facts, row, field);
  uint32_t at = row % FB_CHUNK_ROWS;
  if (FB_UNLIKELY(!column || !fb_column_has(column, at))) return fb_absent();
  return fb_column_value(column, facts->symbols, at);
}

/* What the cells of a value's column are: its kind, or FB_COLUMN_VALUES. */
static inline uint8_t fb_cell_kind(uint8_t kind) {
  return kind >= FB_BOOL && kind <= FB_STRING ? kind : FB_COLUMN_VALUES;
}

static inline size_t fb_cell_size(uint8_t kind) {
  switch (kind) {
    case FB_BOOL: return 1;
    case FB_INT:
    case FB_UINT:
    case FB_DOUBLE: return 8;
    case FB_STRING: return sizeof(fb_symbol);
    default: return sizeof(fb_value);
  }
}

/* Of columns: counts them. */
void *fb_facts_resize(fb_facts *facts, void *ptr, size_t old_size, size_t size);
/* The table, which has no rows yet, has its chunks paged. */
void fb_facts_page(fb_facts *facts, fb_pager *pager);
/* The chunk that the next row goes into, begun if need be. */
fb_status fb_facts_last_chunk(fb_facts *facts, fb_chunk **ret_chunk);
/* Makes `field` of the chunk a column that takes cells of `kind` (a column of another kind becomes one
 * of values) and is ready to be written from row `at` on: has room for it, and for its presence. Moves
 * the chunk's other columns when it adds one. */
fb_status fb_facts_column_for(fb_facts *facts, fb_chunk *chunk, uint32_t field, uint8_t kind,
                              uint32_t at, fb_column **ret_column);
/* Gives the column room for row `at`. */
fb_status fb_facts_grow_column(fb_facts *facts, fb_chunk *chunk, fb_column *column, uint32_t at);
/* Gives the column the bits of `present`. */
fb_status fb_facts_need_bits(fb_facts *facts, fb_column *column);
/* Marks the cells of rows [from, from + rows) present; fb_facts_column_for was called for `from`. */
void fb_facts_mark(fb_column *column, uint32_t from, uint32_t rows);
/* fb_facts_set without checks and conversion: strings must be symbols of the table's, compounds must lie
 * in facts->arena; FB_ABSENT removes. */
fb_status fb_facts_put(fb_facts *facts, uint32_t row, uint32_t field, fb_value value);
/* The value as the table keeps it: text as a symbol, compounds copied. */
fb_status fb_facts_own(fb_facts *facts, fb_value *value);
/* Adds rows first … first + count - 1 of a table of the same type and symbols: whole columns where they can be. On
 * failure none is added. */
fb_status fb_facts_add_rows(fb_facts *facts, const fb_facts *from, uint32_t first, uint32_t count);
/* fb_facts_set of the first `count` fields of a row that has none yet, or has all of them. */
fb_status fb_facts_set_row(fb_facts *facts, uint32_t row, const fb_value *values, uint32_t count,
                           fb_error *err);
/* Undoes adding, back to `count` rows. */
void fb_facts_drop_to(fb_facts *facts, uint32_t count);
/* Counts `rows` more rows, whose cells are in the last chunk already. */
void fb_facts_commit(fb_facts *facts, uint32_t rows);
/* Gives back, now and then, lists, maps and bytes that no cell has any more. Pointers to others move. FB_E_NOMEM: it did not,
 * and nothing is lost. */
fb_status fb_facts_compact(fb_facts *facts);
/* A value as `type` has it: unchanged if it fits, converted if nothing is lost, absent for null of a
 * declared field. False when it cannot be. */
bool fb_field_convert(fb_field_type type, fb_value *value);
/* FB_E_FACT_VALUE, for what fb_field_convert refused. */
fb_status fb_field_refuse(const fb_fact_type *type, uint32_t field, fb_value value, fb_error *err);
/* The error of fb_fact_type_learn, in words. */
fb_status fb_field_unknown(const fb_fact_type *type, fb_slice name, fb_status status,
                           fb_error *err);

#endif
