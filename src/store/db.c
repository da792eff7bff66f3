/* SPDX-License-Identifier: Apache-2.0 */
#include "store/db.h"

#include <sqlite3.h>
#include <stdio.h>

struct fb_db {
  const fb_allocator *allocator;
  sqlite3 *handle;
  bool in_transaction;
  char path[256]; /* for messages; may be cut */
};

struct fb_db_query {
  fb_db *db;
  sqlite3_stmt *statement;
  int failed; /* the first failure of a bind; SQLITE_OK: none */
};

enum { DEFAULT_BUSY_MS = 5000 };

/* ── Errors ──────────────────────────────────────────────────────────────────────────────────── */

static fb_status S_code(int code) {
  switch (code & 0xff) {
    case SQLITE_NOMEM: return FB_E_NOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return FB_E_DB_BUSY;
    case SQLITE_CORRUPT: return FB_E_DB_DAMAGED;
    case SQLITE_NOTADB: return FB_E_DB_FOREIGN;
    case SQLITE_FULL: return FB_E_DISK_FULL;
    default: return FB_E_DB;
  }
}

static void S_hint(fb_status status, fb_error *err) {
  if (status == FB_E_DB_BUSY)
    fb_error_hint(err, "another process writes to it; try again when that is done");
  else if (status == FB_E_DISK_FULL)
    fb_error_hint(err, "make room on the disk; nothing that was committed is lost");
}

static fb_status S_fail(const fb_db *db, int code, fb_error *err) {
  const char *text = db->handle ? sqlite3_errmsg(db->handle) : sqlite3_errstr(code);
  fb_status status = fb_fail(err, S_code(code), "%s: %s", db->path, text);
  S_hint(status, err);
  return status;
}

/* ── Statements ──────────────────────────────────────────────────────────────────────────────── */

fb_status fb_db_exec(fb_db *db, const char *sql, fb_error *err) {
  int code = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
  return code == SQLITE_OK ? FB_OK : S_fail(db, code, err);
}

fb_status fb_db_prepare(fb_db *db, const char *sql, fb_db_query **ret_query, fb_error *err) {
  fb_db_query *query = fb_alloc_zero(db->allocator, sizeof *query);
  if (!query) return fb_fail(err, FB_E_NOMEM, "out of memory");
  query->db = db;
  int code =
      sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &query->statement, NULL);
  if (code == SQLITE_OK && query->statement) {
    *ret_query = query;
    return FB_OK;
  }
  fb_free(db->allocator, query, sizeof *query);
  if (code == SQLITE_OK) return fb_fail(err, FB_E_DB, "an empty statement");
  return S_fail(db, code, err);
}

void fb_db_query_free(fb_db_query *query) {
  if (!query) return;
  sqlite3_finalize(query->statement);
  fb_free(query->db->allocator, query, sizeof *query);
}

static void S_bound(fb_db_query *query, int code) {
  if (code != SQLITE_OK && query->failed == SQLITE_OK) query->failed = code;
}

void fb_db_bind_int(fb_db_query *query, int number, int64_t value) {
  S_bound(query, sqlite3_bind_int64(query->statement, number, value));
}
void fb_db_bind_double(fb_db_query *query, int number, double value) {
  S_bound(query, sqlite3_bind_double(query->statement, number, value));
}
void fb_db_bind_text(fb_db_query *query, int number, fb_slice text) {
  S_bound(query, sqlite3_bind_text64(query->statement, number, text.ptr, text.len, SQLITE_STATIC,
                                     SQLITE_UTF8));
}
void fb_db_bind_bytes(fb_db_query *query, int number, fb_slice bytes) {
  S_bound(query,
          sqlite3_bind_blob64(query->statement, number, bytes.ptr, bytes.len, SQLITE_STATIC));
}
void fb_db_bind_null(fb_db_query *query, int number) {
  S_bound(query, sqlite3_bind_null(query->statement, number));
}

fb_status fb_db_step(fb_db_query *query, fb_error *err) {
  /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): too deep down for it to see that S_fail is no success */
  int code = query->failed;
  query->failed = SQLITE_OK;
  if (code == SQLITE_OK) code = sqlite3_step(query->statement);
  if (code == SQLITE_ROW) return FB_OK;
  fb_status status = code == SQLITE_DONE ? FB_DONE : S_fail(query->db, code, err);
  sqlite3_reset(query->statement);
  return status;
}

fb_status fb_db_run(fb_db_query *query, fb_error *err) {
  fb_status status;
  while ((status = fb_db_step(query, err)) == FB_OK) {
  }
  return status == FB_DONE ? FB_OK : status;
}

void fb_db_reset(fb_db_query *query) {
  sqlite3_reset(query->statement);
}

int64_t fb_db_int(fb_db_query *query, int column) {
  return sqlite3_column_int64(query->statement, column);
}
double fb_db_double(fb_db_query *query, int column) {
  return sqlite3_column_double(query->statement, column);
}
bool fb_db_is_null(fb_db_query *query, int column) {
  return sqlite3_column_type(query->statement, column) == SQLITE_NULL;
}

fb_slice fb_db_text(fb_db_query *query, int column) {
  const char *text = (const char *)sqlite3_column_text(query->statement, column);
  return (fb_slice){text, text ? (size_t)sqlite3_column_bytes(query->statement, column) : 0};
}

fb_slice fb_db_bytes(fb_db_query *query, int column) {
  const char *bytes = sqlite3_column_blob(query->statement, column);
  return (fb_slice){bytes, bytes ? (size_t)sqlite3_column_bytes(query->statement, column) : 0};
}

int64_t fb_db_last_id(const fb_db *db) {
  return sqlite3_last_insert_rowid(db->handle);
}
int64_t fb_db_last_change(const fb_db *db) {
  return sqlite3_changes64(db->handle);
}

/* ── Transactions ────────────────────────────────────────────────────────────────────────────── */

fb_status fb_db_begin(fb_db *db, fb_error *err) {
  fb_status status = fb_db_exec(db, "BEGIN IMMEDIATE", err);
  if (!status) db->in_transaction = true;
  return status;
}

fb_status fb_db_commit(fb_db *db, fb_error *err) {
  fb_status status = fb_db_exec(db, "COMMIT", err);
  if (status)
    fb_db_rollback(db);
  else
    db->in_transaction = false;
  return status;
}

/* Some failures have rolled back already. */
void fb_db_rollback(fb_db *db) {
  if (db->in_transaction && !sqlite3_get_autocommit(db->handle))
    sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
  db->in_transaction = false;
}

/* ── The file ────────────────────────────────────────────────────────────────────────────────── */

static fb_status S_number(fb_db *db, const char *sql, int64_t *ret_number, fb_error *err) {
  fb_db_query *query = NULL;
  fb_status status = fb_db_prepare(db, sql, &query, err);
  if (!status) status = fb_db_step(query, err);
  if (!status) *ret_number = fb_db_int(query, 0);
  fb_db_query_free(query);
  return status == FB_DONE ? fb_fail(err, FB_E_DB, "%s: no answer to %s", db->path, sql) : status;
}

static fb_status S_too_new(const fb_db *db, int64_t version, uint32_t known, fb_error *err) {
  fb_fail(err, FB_E_DB_VERSION,
          "%s has schema version %lld, and this program knows versions up to %u", db->path,
          (long long)version, known);
  fb_error_hint(err, "a later version of flyball wrote it: use that one");
  return FB_E_DB_VERSION;
}

static fb_status S_migrate_one(fb_db *db, const fb_db_options *options, uint32_t version,
                               fb_error *err) {
  char sql[80];
  snprintf(sql, sizeof sql, "PRAGMA user_version = %u", version + 1);
  fb_status status = fb_db_exec(db, options->migrations[version], err);
  if (!status) status = fb_db_exec(db, sql, err);
  snprintf(sql, sizeof sql, "PRAGMA application_id = %d", (int)options->kind);
  if (!status && options->kind) status = fb_db_exec(db, sql, err);
  return status;
}

/* Version and kind are read within the transaction: another process may just be doing the same. */
static fb_status S_next_version(fb_db *db, const fb_db_options *options, int64_t *ret_version,
                                fb_error *err) {
  int64_t version = 0;
  fb_status status = fb_db_begin(db, err);
  if (status) return status;
  status = S_number(db, "PRAGMA user_version", &version, err);
  if (!status && version > options->migration_count)
    status = S_too_new(db, version, options->migration_count, err);
  if (!status && version < options->migration_count) {
    status = S_migrate_one(db, options, (uint32_t)version, err);
    if (status) fb_error_prefix(err, "to version %lld", (long long)version + 1);
    version++;
  }
  if (status)
    fb_db_rollback(db);
  else
    status = fb_db_commit(db, err);
  if (!status) *ret_version = version;
  return status;
}

static fb_status S_check_kind(fb_db *db, const fb_db_options *options, int64_t version,
                              fb_error *err) {
  int64_t kind = 0, tables = 0;
  fb_status status = S_number(db, "PRAGMA application_id", &kind, err);
  if (!status) status = S_number(db, "SELECT count(*) FROM sqlite_schema", &tables, err);
  if (status || !options->kind) return status;
  if ((uint32_t)kind == options->kind || (kind == 0 && version == 0 && tables == 0)) return FB_OK;
  fb_fail(err, FB_E_DB_FOREIGN, "%s is a database, but of another kind", db->path);
  fb_error_hint(err, "give another path; this file is left as it is");
  return FB_E_DB_FOREIGN;
}

static fb_status S_schema(fb_db *db, const fb_db_options *options, fb_error *err) {
  int64_t version = 0;
  fb_status status = S_number(db, "PRAGMA user_version", &version, err);
  if (!status) status = S_check_kind(db, options, version, err);
  if (status) return status;
  if (version > options->migration_count)
    return S_too_new(db, version, options->migration_count, err);
  if (options->read_only && version < options->migration_count) {
    fb_fail(err, FB_E_DB_VERSION, "%s has schema version %lld, older than this program's %u",
            db->path, (long long)version, options->migration_count);
    fb_error_hint(err, "a command that writes brings it up to date");
    return FB_E_DB_VERSION;
  }
  while (!status && version < options->migration_count)
    status = S_next_version(db, options, &version, err);
  return status;
}

static fb_status S_setup(fb_db *db, const fb_db_options *options, fb_error *err) {
  static const char *const sync[] = {"PRAGMA synchronous = FULL", "PRAGMA synchronous = NORMAL",
                                     "PRAGMA synchronous = OFF"};
  int64_t busy = options->busy ? options->busy / 1000000 : DEFAULT_BUSY_MS;
  sqlite3_busy_timeout(db->handle, busy > INT32_MAX ? INT32_MAX : (int)busy);
  sqlite3_extended_result_codes(db->handle, 1);
  /* The header is read before anything is changed, so that a foreign file stays as it is. */
  int64_t version;
  fb_status status = S_number(db, "PRAGMA user_version", &version, err);
  if (!status) status = S_check_kind(db, options, version, err);
  if (!status && !options->read_only) status = fb_db_exec(db, "PRAGMA journal_mode = WAL", err);
  if (!status) status = fb_db_exec(db, sync[options->sync], err);
  if (!status)
    status = fb_db_exec(db, "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF", err);
  if (!status) status = S_schema(db, options, err);
  return status;
}

fb_status fb_db_open(const char *path, const fb_db_options *options, const fb_allocator *allocator,
                     fb_db **ret_db, fb_error *err) {
  static const fb_db_options none;
  if (!allocator) allocator = fb_allocator_system();
  if (!options) options = &none;
  fb_db *db = fb_alloc_zero(allocator, sizeof *db);
  if (!db) return fb_fail(err, FB_E_NOMEM, "out of memory");
  db->allocator = allocator;
  snprintf(db->path, sizeof db->path, "%s", path);
  int flags =
      options->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  int code = sqlite3_open_v2(path, &db->handle, flags | SQLITE_OPEN_NOMUTEX, NULL);
  fb_status status = code == SQLITE_OK ? S_setup(db, options, err) : S_fail(db, code, err);
  if (status)
    fb_db_close(db);
  else
    *ret_db = db;
  return status;
}

void fb_db_close(fb_db *db) {
  if (!db) return;
  fb_db_rollback(db);
  sqlite3_close(db->handle);
  fb_free(db->allocator, db, sizeof *db);
}

fb_status fb_db_check(fb_db *db, fb_error *err) {
  fb_db_query *query = NULL;
  fb_status status = fb_db_prepare(db, "PRAGMA integrity_check(1)", &query, err);
  if (!status) status = fb_db_step(query, err);
  if (!status) {
    fb_slice text = fb_db_text(query, 0);
    if (!fb_slice_equal(text, FB_SLICE("ok")))
      status = fb_fail(err, FB_E_DB_DAMAGED, "%s: %.*s", db->path, (int)text.len, text.ptr);
  }
  fb_db_query_free(query);
  return status == FB_DONE ? FB_OK : status;
}

fb_status fb_db_checkpoint(fb_db *db, fb_error *err) {
  int code = sqlite3_wal_checkpoint_v2(db->handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
  return code == SQLITE_OK ? FB_OK : S_fail(db, code, err);
}
