/* SPDX-License-Identifier: Apache-2.0
 * Cells of whole columns, cut from slabs: large blocks, which cost few calls, and few page faults when they are used again. */
#include "data/facts_internal.h"

enum {
  SLABS_FROM = 8,        /* chunks of a table before it takes slabs */
  SLAB_MIN = 256 << 10,  /* bytes */
  SLAB_MAX = 4 << 20,    /* bytes, if nobody knows how many rows come */
  RESERVE_MAX = 16 << 20 /* bytes, if somebody does */
};

/* Stands before what is cut from it. */
struct fb_slab {
  fb_slab *next;
  size_t size;
};

#define HEAD ((sizeof(fb_slab) + 63) & ~(size_t)63)

static bool S_new_slab(fb_facts *facts, size_t size) {
  fb_slab *slab = fb_alloc(facts->allocator, HEAD + size);
  if (!slab) return false;
  *slab = (fb_slab){facts->slabs, HEAD + size};
  facts->slabs = slab;
  facts->held += slab->size;
  facts->slab_next = (char *)slab + HEAD;
  facts->slab_end = facts->slab_next + size;
  return true;
}

/* The list of free cells of 1, 8, 16 or 4 bytes. */
static void **S_free(fb_facts *facts, size_t cell) {
  return &facts->free_cells[cell == 4 ? 3 : cell / 8];
}

bool fb_facts_slab_fits(const fb_facts *facts) {
  return !facts->pager && facts->chunk_count > SLABS_FROM;
}

void *fb_facts_slab_get(fb_facts *facts, size_t cell) {
  void **free = S_free(facts, cell);
  size_t size = cell * FB_CHUNK_ROWS;
  if (*free) {
    void *cells = *free;
    memcpy(free, cells, sizeof *free);
    return cells;
  }
  if ((size_t)(facts->slab_end - facts->slab_next) < size) {
    size_t want = facts->held / 8;
    if (want < SLAB_MIN) want = SLAB_MIN;
    if (want > SLAB_MAX) want = SLAB_MAX;
    if (!S_new_slab(facts, want)) return NULL;
  }
  void *cells = facts->slab_next;
  facts->slab_next += size;
  return cells;
}

void fb_facts_slab_put(fb_facts *facts, void *cells, size_t cell) {
  void **free = S_free(facts, cell);
  memcpy(cells, free, sizeof *free);
  *free = cells;
}

void fb_facts_slab_release(fb_facts *facts) {
  for (fb_slab *slab = facts->slabs, *next; slab; slab = next) {
    next = slab->next;
    facts->held -= slab->size;
    fb_free(facts->allocator, slab, slab->size);
  }
  facts->slabs = NULL;
  facts->slab_next = facts->slab_end = NULL;
  memset(facts->free_cells, 0, sizeof facts->free_cells);
}

void fb_facts_reserve(fb_facts *facts, const fb_facts *from, uint32_t first, uint32_t count) {
  if (facts->pager || count / FB_CHUNK_ROWS < SLABS_FROM || first >= from->count) return;
  const fb_chunk *chunk = &from->chunks[first / FB_CHUNK_ROWS];
  size_t row = 0;
  for (uint32_t i = 0; i < chunk->column_count; i++)
    if (chunk->columns[i].cells) row += fb_cell_size(chunk->columns[i].kind);
  size_t bytes = row * ((size_t)count / FB_CHUNK_ROWS * FB_CHUNK_ROWS);
  if (bytes > RESERVE_MAX) bytes = RESERVE_MAX;
  if ((size_t)(facts->slab_end - facts->slab_next) < bytes) (void)S_new_slab(facts, bytes);
}
