/* SPDX-License-Identifier: Apache-2.0
 *
 * Chunks that are not all in memory. A pager keeps the columns of its tables below a bound by writing those of chunks that were not
 * used lately elsewhere, by the functions of an fb_page_store.
 *
 *   linked    as if there were no pager: reading costs nothing
 *   doubted   in memory, but its chunk seems to have no columns, so that the next reader comes here (fb_facts_fault) and
 *             it is linked again. What nobody asks for meanwhile is written out next
 *   away      only what cannot be written is in memory: columns of values
 *
 * Columns are taken away only between changes (fb_pager_trim), never while somebody reads.
 */
#ifndef FB_DATA_PAGER_H
#define FB_DATA_PAGER_H

#include "data/facts_internal.h"

typedef enum fb_page_state { FB_PAGE_LINKED, FB_PAGE_DOUBTED, FB_PAGE_AWAY } fb_page_state;

typedef struct fb_page fb_page;
struct fb_page {
  fb_page *next, *prev; /* of those in the same state, but for AWAY; the one longest there first */
  fb_facts *facts;
  uint32_t number; /* of the chunk */
  uint8_t state;
  uint32_t column_count; /* what the chunk has if it is linked */
  fb_column *columns;
  uint64_t hash; /* of what was written; 0: nothing was */
  size_t size;   /* bytes written */
  uint64_t id;   /* in the store; 0: it has none yet */
};

typedef struct fb_page_list {
  fb_page *first, *last;
  size_t count;
} fb_page_list;

struct fb_pager {
  const fb_allocator *allocator;
  fb_page_store store;
  size_t held; /* bytes of the tables' columns in memory */
  fb_page_list linked, doubted;
  fb_page_stats stats;
  fb_status status; /* of the first failure: what was read since is not to be trusted */
  fb_error err;
  char *buffer; /* a chunk as it is written */
  size_t buffer_cap;
};

fb_status fb_pager_new(const fb_allocator *allocator, const fb_page_store *store,
                       fb_pager **ret_pager);
/* All its tables are freed. */
void fb_pager_free(fb_pager *pager);
/* Between changes: makes columns held fit the bound. */
fb_status fb_pager_trim(fb_pager *pager);

/* What facts.c calls. The table has begun a chunk. */
fb_status fb_pager_add(fb_facts *facts, uint32_t number);
/* The chunk is given up, its columns with it. */
void fb_pager_remove(fb_facts *facts, uint32_t number);
/* Links the chunk. A failure is in the pager; the chunk then has no columns that can be read. */
fb_status fb_pager_link(fb_facts *facts, uint32_t number);

#endif
