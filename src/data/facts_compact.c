/* SPDX-License-Identifier: Apache-2.0
 *
 * Lists, maps and bytes of a table lie in its arena, where one that is overwritten stays. So now and then those that
 * are left move to a new arena: when the old one is twice as large as after the last time, so that each byte written
 * costs no more than a few bytes moved. */
#include "data/pager.h"

enum { SMALL = 64 << 10 /* bytes of an arena that is not worth it */ };

static bool S_is_in_arena(uint8_t kind) {
  return kind == FB_BYTES || kind == FB_LIST || kind == FB_MAP || kind == FB_TYPE ||
         kind == FB_OPTIONAL || kind == FB_FACT;
}

static fb_status S_move_column(const fb_column *column, uint32_t rows, fb_arena *to) {
  fb_value *cells = column->cells;
  if (column->kind != FB_COLUMN_VALUES) return FB_OK;
  for (uint32_t at = 0; at < rows; at++) {
    if (!fb_column_has(column, at) || !S_is_in_arena(cells[at].kind)) continue;
    fb_status status = fb_value_copy(to, cells[at], &cells[at]);
    if (status != FB_OK) return status;
  }
  return FB_OK;
}

fb_status fb_facts_compact(fb_facts *facts) {
  if (facts->arena.held <= facts->compact_at || facts->arena.held <= SMALL) return FB_OK;
  fb_arena fresh;
  fb_status status = FB_OK;
  fb_arena_init(&fresh, facts->allocator, 0);
  for (size_t c = 0; c < facts->chunk_count && status == FB_OK; c++) {
    const fb_chunk *chunk = &facts->chunks[c];
    const fb_page *page = facts->pager ? facts->pages[c] : NULL;
    bool linked = !page || page->state == FB_PAGE_LINKED;
    const fb_column *columns = linked ? chunk->columns : page->columns;
    uint32_t count = linked ? chunk->column_count : page->column_count;
    for (uint32_t i = 0; i < count && status == FB_OK; i++)
      status = S_move_column(&columns[i], chunk->count, &fresh);
  }
  if (status == FB_OK)
    fb_arena_release(&facts->arena);
  else
    fb_arena_join(&fresh, &facts->arena); /* what was not moved */
  facts->arena = fresh;
  facts->compact_at = fresh.held * 2;
  return status;
}
