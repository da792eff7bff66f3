/* SPDX-License-Identifier: Apache-2.0
 *
 * A thin layer over SQLite: files with a schema that grows by migrations, statements, transactions. Paths, texts
 * and errors are as everywhere in the library.
 *
 * Invariants: a database belongs to one thread at a time. A file is in WAL mode: readers and one writer do not wait
 * for each other; two writers do, up to `busy`. All queries are freed before their database.
 */
#ifndef FB_STORE_DB_H
#define FB_STORE_DB_H

#include <flyball/base.h>

typedef struct fb_db fb_db;
typedef struct fb_db_query fb_db_query;

/* What a commit survives. */
typedef enum fb_db_sync {
  FB_DB_SYNC_FULL,   /* power loss: each commit waits for the disk */
  FB_DB_SYNC_NORMAL, /* kill -9; power loss may take the last commits, never the file */
  FB_DB_SYNC_OFF     /* kill -9 only: for what can be made again */
} fb_db_sync;

typedef struct fb_db_options {
  /* migrations[i] brings a file from version i to i + 1: SQL, several statements, no transaction of its own. Each
   * runs in one transaction. A new file gets all of them; one of a later version than the count is refused
   * (FB_E_DB_VERSION). Never edit one that was released. */
  const char *const *migrations;
  uint32_t migration_count;
  /* Marks the file as one of this kind ("FBjn" as a number): another kind's is refused (FB_E_DB_FOREIGN). 0: no mark. */
  uint32_t kind;
  fb_db_sync sync;
  int64_t busy;   /* ns that a statement waits for another writer; 0: 5 s */
  bool read_only; /* the file must be there, and is not migrated: an older version is refused too */
} fb_db_options;

/* Opens or makes the file ("" or ":memory:": nothing on disk). The folder must be there.
 * FB_E_DB, FB_E_DB_BUSY, FB_E_DB_VERSION, FB_E_DB_FOREIGN, FB_E_DB_DAMAGED, FB_E_DISK_FULL, FB_E_NOMEM: so all below. */
fb_status fb_db_open(const char *path, const fb_db_options *options, const fb_allocator *allocator,
                     fb_db **ret_db, fb_error *err);
/* An open transaction is rolled back. */
void fb_db_close(fb_db *db);
/* Any number of statements without parameters or rows. */
fb_status fb_db_exec(fb_db *db, const char *sql, fb_error *err);

/* Takes the right to write at once, so that it cannot be lost in the middle. */
fb_status fb_db_begin(fb_db *db, fb_error *err);
/* After a failure the transaction is rolled back. */
fb_status fb_db_commit(fb_db *db, fb_error *err);
void fb_db_rollback(fb_db *db); /* nothing without a transaction */

/* Reads the whole file. FB_E_DB_DAMAGED names the first thing that is wrong. */
fb_status fb_db_check(fb_db *db, fb_error *err);
/* Moves what is in the log to the file and shortens the log. FB_E_DB_BUSY while others read. */
fb_status fb_db_checkpoint(fb_db *db, fb_error *err);
int64_t fb_db_last_id(const fb_db *db);     /* rowid of the last insert */
int64_t fb_db_last_change(const fb_db *db); /* rows that the last statement changed */

/* ── Statements ──────────────────────────────────────────────────────────────────────────────── */

/* One statement, to be run any number of times. */
fb_status fb_db_prepare(fb_db *db, const char *sql, fb_db_query **ret_query, fb_error *err);
void fb_db_query_free(fb_db_query *query);

/* Parameters are numbered from 1 (`?1`). A failure is kept and given by the next step. What is bound stays until it
 * is bound anew; texts and bytes are borrowed until the query has been run and reset. */
void fb_db_bind_int(fb_db_query *query, int number, int64_t value);
void fb_db_bind_double(fb_db_query *query, int number, double value);
void fb_db_bind_text(fb_db_query *query, int number, fb_slice text); /* ptr NULL: null */
void fb_db_bind_bytes(fb_db_query *query, int number, fb_slice bytes);
void fb_db_bind_null(fb_db_query *query, int number);

/* FB_OK: there is a row. FB_DONE: no more; the query is reset. After a failure it is reset too. */
fb_status fb_db_step(fb_db_query *query, fb_error *err);
/* Steps to the end and ignores rows. FB_OK. */
fb_status fb_db_run(fb_db_query *query, fb_error *err);
/* Ends a query that has rows left: until then it holds the database. */
void fb_db_reset(fb_db_query *query);

/* Columns are numbered from 0. Slices are good until the next step or reset. */
int64_t fb_db_int(fb_db_query *query, int column);
double fb_db_double(fb_db_query *query, int column);
fb_slice fb_db_text(fb_db_query *query, int column); /* null: ptr NULL */
fb_slice fb_db_bytes(fb_db_query *query, int column);
bool fb_db_is_null(fb_db_query *query, int column);

#endif
