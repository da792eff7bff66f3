/* SPDX-License-Identifier: Apache-2.0
 * See pager.h. A chunk is written as its columns' cells, one after the other; the columns' heads and presence stay. */
#include "data/pager.h"

enum { DOUBTED_PART = 4 /* of the chunks in memory one in so many is doubted */ };

/* ── Lists ── */

static void S_take_out(fb_page_list *list, fb_page *page) {
  *(page->prev ? &page->prev->next : &list->first) = page->next;
  *(page->next ? &page->next->prev : &list->last) = page->prev;
  page->next = page->prev = NULL;
  list->count--;
}

static void S_append(fb_page_list *list, fb_page *page) {
  page->prev = list->last;
  page->next = NULL;
  *(list->last ? &list->last->next : &list->first) = page;
  list->last = page;
  list->count++;
}

static fb_page_list *S_list_of(fb_pager *pager, uint8_t state) {
  return state == FB_PAGE_LINKED ? &pager->linked : &pager->doubted;
}

static void S_move(fb_pager *pager, fb_page *page, uint8_t state) {
  if (page->state != FB_PAGE_AWAY) S_take_out(S_list_of(pager, page->state), page);
  page->state = state;
  if (state != FB_PAGE_AWAY) S_append(S_list_of(pager, state), page);
}

/* ── Bytes ── */

static bool S_is_written(const fb_column *column) {
  return column->rows && column->kind != FB_COLUMN_VALUES;
}

static size_t S_cells_size(const fb_column *column) {
  return (size_t)column->rows * fb_cell_size(column->kind);
}

static size_t S_page_size(const fb_page *page) {
  size_t size = 0;
  for (uint32_t i = 0; i < page->column_count; i++)
    if (S_is_written(&page->columns[i])) size += S_cells_size(&page->columns[i]);
  return size;
}

static bool S_room(fb_pager *pager, size_t size) {
  if (size <= pager->buffer_cap) return true;
  char *buffer = fb_resize(pager->allocator, pager->buffer, pager->buffer_cap, size);
  if (!buffer) return false;
  pager->buffer = buffer;
  pager->buffer_cap = size;
  return true;
}

static fb_status S_fail(fb_pager *pager, fb_status status, const fb_error *err) {
  if (pager->status != FB_OK) return status;
  pager->status = status;
  if (err)
    pager->err = *err;
  else
    fb_fail(&pager->err, status, "no memory to bring facts back");
  return status;
}

/* ── Writing out ── */

static fb_status S_write(fb_pager *pager, fb_page *page) {
  size_t size = S_page_size(page), at = 0;
  if (!size) {
    page->size = 0;
    return FB_OK;
  }
  if (!S_room(pager, size)) return FB_E_NOMEM;
  for (uint32_t i = 0; i < page->column_count; i++) {
    const fb_column *column = &page->columns[i];
    if (!S_is_written(column)) continue;
    memcpy(pager->buffer + at, column->cells, S_cells_size(column));
    at += S_cells_size(column);
  }
  uint64_t hash = fb_hash_bytes(pager->buffer, size, 0) | 1;
  if (page->hash == hash && page->size == size) return FB_OK;
  fb_error err;
  fb_status status =
      pager->store.write(pager->store.context, &page->id, (fb_slice){pager->buffer, size}, &err);
  if (status != FB_OK) return S_fail(pager, status, &err);
  page->hash = hash;
  page->size = size;
  pager->stats.writes++;
  return FB_OK;
}

static void S_free_cells(fb_facts *facts, fb_column *column) {
  if (!S_is_written(column)) return;
  fb_facts_resize(facts, column->cells, S_cells_size(column), 0);
  column->cells = NULL;
}

static fb_status S_evict(fb_pager *pager, fb_page *page) {
  fb_status status = S_write(pager, page);
  if (status != FB_OK) return status;
  for (uint32_t i = 0; i < page->column_count; i++) S_free_cells(page->facts, &page->columns[i]);
  S_move(pager, page, FB_PAGE_AWAY);
  return FB_OK;
}

static void S_doubt(fb_pager *pager, fb_page *page) {
  fb_chunk *chunk = &page->facts->chunks[page->number];
  page->columns = chunk->columns;
  page->column_count = chunk->column_count;
  chunk->columns = NULL;
  chunk->column_count = 0;
  S_move(pager, page, FB_PAGE_DOUBTED);
}

fb_status fb_pager_trim(fb_pager *pager) {
  fb_status status = pager->status;
  while (pager->held > pager->store.memory && status == FB_OK) {
    while (pager->linked.first &&
           pager->doubted.count * DOUBTED_PART <= pager->linked.count + pager->doubted.count)
      S_doubt(pager, pager->linked.first);
    if (!pager->doubted.first) break;
    status = S_evict(pager, pager->doubted.first);
  }
  return status;
}

/* ── Bringing back ── */

static fb_status S_read(fb_pager *pager, fb_page *page) {
  size_t at = 0;
  fb_error err;
  if (!S_room(pager, page->size)) return S_fail(pager, FB_E_NOMEM, NULL);
  if (page->size) {
    fb_status status =
        pager->store.read(pager->store.context, page->id, pager->buffer, page->size, &err);
    if (status != FB_OK) return S_fail(pager, status, &err);
    if ((fb_hash_bytes(pager->buffer, page->size, 0) | 1) != page->hash) {
      fb_fail(&err, FB_E_IO, "facts that were kept outside of memory have come back damaged");
      return S_fail(pager, FB_E_IO, &err);
    }
  }
  for (uint32_t i = 0; i < page->column_count; i++) {
    fb_column *column = &page->columns[i];
    if (!S_is_written(column)) continue;
    size_t size = S_cells_size(column);
    column->cells = fb_facts_resize(page->facts, NULL, 0, size);
    if (!column->cells) {
      while (i--) S_free_cells(page->facts, &page->columns[i]);
      return S_fail(pager, FB_E_NOMEM, NULL);
    }
    memcpy(column->cells, pager->buffer + at, size);
    at += size;
  }
  pager->stats.misses++;
  return FB_OK;
}

fb_status fb_pager_link(fb_facts *facts, uint32_t number) {
  fb_pager *pager = facts->pager;
  fb_page *page = facts->pages[number];
  if (page->state == FB_PAGE_LINKED) return FB_OK;
  if (pager->status != FB_OK) return pager->status;
  if (page->state == FB_PAGE_AWAY) {
    fb_status status = S_read(pager, page);
    if (status != FB_OK) return status;
  } else {
    pager->stats.hits++;
  }
  fb_chunk *chunk = &facts->chunks[number];
  chunk->columns = page->columns;
  chunk->column_count = page->column_count;
  page->columns = NULL;
  page->column_count = 0;
  S_move(pager, page, FB_PAGE_LINKED);
  return FB_OK;
}

const fb_column *fb_facts_fault(const fb_facts *facts, uint32_t row, uint32_t field) {
  uint32_t number = row / FB_CHUNK_ROWS;
  if (fb_pager_link((fb_facts *)facts, number) != FB_OK) return NULL;
  const fb_chunk *chunk = &facts->chunks[number];
  return field < chunk->column_count ? &chunk->columns[field] : NULL;
}

/* ── Chunks that come and go ── */

fb_status fb_pager_add(fb_facts *facts, uint32_t number) {
  void *pages = facts->pages;
  if (!fb_grow(facts->allocator, &pages, &facts->page_cap, number, sizeof *facts->pages))
    return FB_E_NOMEM;
  facts->pages = pages;
  fb_page *page = fb_alloc_zero(facts->allocator, sizeof *page);
  if (!page) return FB_E_NOMEM;
  page->facts = facts;
  page->number = number;
  facts->pages[number] = page;
  S_append(&facts->pager->linked, page);
  return FB_OK;
}

void fb_pager_remove(fb_facts *facts, uint32_t number) {
  fb_pager *pager = facts->pager;
  fb_page *page = facts->pages[number];
  if (page->state != FB_PAGE_LINKED) {
    fb_chunk *chunk = &facts->chunks[number];
    for (uint32_t i = 0; page->state == FB_PAGE_AWAY && i < page->column_count; i++)
      if (S_is_written(&page->columns[i])) page->columns[i].rows = 0;
    chunk->columns = page->columns;
    chunk->column_count = page->column_count;
  }
  if (page->id) pager->store.drop(pager->store.context, page->id);
  if (page->state != FB_PAGE_AWAY) S_take_out(S_list_of(pager, page->state), page);
  fb_free(facts->allocator, page, sizeof *page);
  facts->pages[number] = NULL;
}

fb_status fb_pager_new(const fb_allocator *allocator, const fb_page_store *store,
                       fb_pager **ret_pager) {
  fb_pager *pager = fb_alloc_zero(allocator, sizeof *pager);
  if (!pager) return FB_E_NOMEM;
  pager->allocator = allocator;
  pager->store = *store;
  *ret_pager = pager;
  return FB_OK;
}

void fb_pager_free(fb_pager *pager) {
  if (!pager) return;
  fb_free(pager->allocator, pager->buffer, pager->buffer_cap);
  fb_free(pager->allocator, pager, sizeof *pager);
}
