/* SPDX-License-Identifier: Apache-2.0
 * Pages of facts in a temporary SQLite database: on disk once SQLite's own cache is full, gone when it is closed. */
#include "store/db.h"

#include <flyball/store.h>

struct fb_pages {
  const fb_allocator *allocator;
  fb_db *db;
  fb_db_query *insert, *update, *select, *delete_;
};

static const char *const S_migrations[] = {
    "CREATE TABLE page (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL)"};

static fb_status S_write(void *context, uint64_t *page, fb_slice bytes, fb_error *err) {
  fb_pages *pages = context;
  fb_db_query *query = *page ? pages->update : pages->insert;
  fb_db_bind_bytes(query, 1, bytes);
  if (*page) fb_db_bind_int(query, 2, (int64_t)*page);
  fb_status status = fb_db_run(query, err);
  if (status == FB_OK && !*page) *page = (uint64_t)fb_db_last_id(pages->db);
  return status;
}

static fb_status S_read(void *context, uint64_t page, void *bytes, size_t len, fb_error *err) {
  fb_pages *pages = context;
  fb_db_bind_int(pages->select, 1, (int64_t)page);
  fb_status status = fb_db_step(pages->select, err);
  fb_slice kept = status == FB_OK ? fb_db_bytes(pages->select, 0) : (fb_slice){"", 0};
  if (status == FB_OK && kept.len == len && len) memcpy(bytes, kept.ptr, len);
  if (status == FB_DONE || (status == FB_OK && kept.len != len))
    status = fb_fail(err, FB_E_DB_DAMAGED, "a page of facts is not what was written");
  fb_db_reset(pages->select);
  return status;
}

static void S_drop(void *context, uint64_t page) {
  fb_pages *pages = context;
  fb_db_bind_int(pages->delete_, 1, (int64_t)page);
  fb_db_run(pages->delete_, NULL);
}

fb_status fb_pages_open(const char *path, const fb_allocator *allocator, fb_pages **ret_pages,
                        fb_error *err) {
  if (!allocator) allocator = fb_allocator_system();
  fb_pages *pages = fb_alloc_zero(allocator, sizeof *pages);
  if (!pages) return fb_fail(err, FB_E_NOMEM, "no memory for pages of facts");
  pages->allocator = allocator;
  fb_db_options options = {
      .migrations = S_migrations, .migration_count = 1, .sync = FB_DB_SYNC_OFF};
  fb_status status = fb_db_open(path ? path : "", &options, allocator, &pages->db, err);
  if (status == FB_OK)
    status = fb_db_exec(pages->db, "PRAGMA cache_size = -4096; DELETE FROM page", err);
  if (status == FB_OK)
    status = fb_db_prepare(pages->db, "INSERT INTO page (bytes) VALUES (?1)", &pages->insert, err);
  if (status == FB_OK)
    status =
        fb_db_prepare(pages->db, "UPDATE page SET bytes = ?1 WHERE id = ?2", &pages->update, err);
  if (status == FB_OK)
    status = fb_db_prepare(pages->db, "SELECT bytes FROM page WHERE id = ?1", &pages->select, err);
  if (status == FB_OK)
    status = fb_db_prepare(pages->db, "DELETE FROM page WHERE id = ?1", &pages->delete_, err);
  if (status == FB_OK)
    *ret_pages = pages;
  else
    fb_pages_close(pages);
  return status;
}

void fb_pages_close(fb_pages *pages) {
  if (!pages) return;
  fb_db_query_free(pages->insert);
  fb_db_query_free(pages->update);
  fb_db_query_free(pages->select);
  fb_db_query_free(pages->delete_);
  fb_db_close(pages->db);
  fb_free(pages->allocator, pages, sizeof *pages);
}

fb_page_store fb_pages_store(fb_pages *pages, size_t memory) {
  return (fb_page_store){
      .memory = memory, .write = S_write, .read = S_read, .drop = S_drop, .context = pages};
}
