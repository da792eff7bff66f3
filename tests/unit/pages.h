/* SPDX-License-Identifier: Apache-2.0
 * A page store in memory, for tests of sessions that hold next to nothing there themselves. */
#ifndef FB_TEST_PAGES_H
#define FB_TEST_PAGES_H

#include "test.h"

#include <flyball/data.h>

typedef struct fb_test_pages {
  fb_buf *pages; /* by number - 1 */
  size_t count;
  uint64_t written;   /* writes and reads */
  uint64_t fail_from; /* the one that fails, and all after it; 0: none does */
  bool once;          /* only that one */
} fb_test_pages;

static inline fb_status fb_test_pages_fail(fb_test_pages *pages, fb_error *err) {
  pages->written++;
  if (!pages->fail_from || pages->written < pages->fail_from) return FB_OK;
  if (pages->once && pages->written > pages->fail_from) return FB_OK;
  return fb_fail(err, FB_E_IO, "the disk is gone");
}

static inline fb_status fb_test_pages_write(void *context, uint64_t *page, fb_slice bytes,
                                            fb_error *err) {
  fb_test_pages *pages = context;
  if (fb_test_pages_fail(pages, err) != FB_OK) return FB_E_IO;
  if (!*page) {
    pages->pages = realloc(pages->pages, (pages->count + 1) * sizeof *pages->pages);
    fb_buf_init(&pages->pages[pages->count], NULL, 0);
    *page = ++pages->count;
  }
  fb_buf_clear(&pages->pages[*page - 1]);
  fb_buf_add(&pages->pages[*page - 1], bytes.ptr, bytes.len);
  return FB_OK;
}

static inline fb_status fb_test_pages_read(void *context, uint64_t page, void *bytes, size_t len,
                                           fb_error *err) {
  fb_test_pages *pages = context;
  if (fb_test_pages_fail(pages, err) != FB_OK) return FB_E_IO;
  assert_true(page && page <= pages->count);
  assert_int_equal(pages->pages[page - 1].len, len);
  memcpy(bytes, pages->pages[page - 1].ptr, len);
  return FB_OK;
}

static inline void fb_test_pages_drop(void *context, uint64_t page) {
  fb_test_pages *pages = context;
  assert_true(page && page <= pages->count);
  fb_buf_release(&pages->pages[page - 1]);
}

static inline fb_page_store fb_test_pages_store(fb_test_pages *pages) {
  return (fb_page_store){.memory = 1,
                         .write = fb_test_pages_write,
                         .read = fb_test_pages_read,
                         .drop = fb_test_pages_drop,
                         .context = pages};
}

static inline void fb_test_pages_release(fb_test_pages *pages) {
  for (size_t i = 0; i < pages->count; i++) fb_buf_release(&pages->pages[i]);
  free(pages->pages);
  *pages = (fb_test_pages){0};
}

#endif
