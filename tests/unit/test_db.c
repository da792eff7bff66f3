/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "store/db.h"

#include <sys/stat.h>
#include <unistd.h>

enum { KIND = 0x46427465 };

static const char *const S_schema[] = {
    "CREATE TABLE thing(id INTEGER PRIMARY KEY, name TEXT NOT NULL, weight REAL, raw BLOB)",
    "ALTER TABLE thing ADD COLUMN colour TEXT; CREATE UNIQUE INDEX thing_name ON thing(name)",
    "INSERT INTO thing(name) VALUES('from version 3')",
};

typedef struct S_place {
  char folder[64], path[96];
} S_place;

static int S_setup(void **state) {
  S_place *place = calloc(1, sizeof *place);
  snprintf(place->folder, sizeof place->folder, "/tmp/fb-test-db-XXXXXX");
  if (!mkdtemp(place->folder)) return -1;
  snprintf(place->path, sizeof place->path, "%s/state.db", place->folder);
  *state = place;
  return 0;
}

static int S_teardown(void **state) {
  S_place *place = *state;
  static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
    char path[120];
    snprintf(path, sizeof path, "%s%s", place->path, ends[i]);
    unlink(path);
  }
  rmdir(place->folder);
  free(place);
  return 0;
}

static fb_db *S_open(const char *path, uint32_t version) {
  fb_db *db = NULL;
  fb_error err = {0};
  fb_db_options options = {.migrations = S_schema, .migration_count = version, .kind = KIND};
  if (fb_db_open(path, &options, NULL, &db, &err)) fail_msg("%s", err.text);
  return db;
}

static fb_status S_refused(const char *path, const fb_db_options *options, fb_error *err) {
  fb_db *db = NULL;
  fb_status status = fb_db_open(path, options, NULL, &db, err);
  assert_null(db);
  return status;
}

static void S_write(const char *path, const char *text, size_t len) {
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(text, 1, len, file), len);
  assert_int_equal(fclose(file), 0);
}

/* ── Values ──────────────────────────────────────────────────────────────────────────────────── */

static void test_values_come_back(void **state) {
  (void)state;
  fb_db *db = S_open(":memory:", 2);
  fb_db_query *put, *get;
  fb_error err = {0};
  assert_int_equal(fb_db_prepare(db, "INSERT INTO thing VALUES(?1, ?2, ?3, ?4, NULL)", &put, &err),
                   0);
  fb_db_bind_int(put, 1, INT64_MIN);
  fb_db_bind_text(put, 2, FB_SLICE("a\0b é"));
  fb_db_bind_double(put, 3, 0.1);
  fb_db_bind_bytes(put, 4, FB_SLICE("\xff\x00\x01"));
  assert_int_equal(fb_db_run(put, &err), FB_OK);
  assert_true(fb_db_last_id(db) == INT64_MIN);
  assert_int_equal(fb_db_last_change(db), 1);
  fb_db_bind_int(put, 1, 2);
  fb_db_bind_text(put, 2, FB_SLICE("second"));
  fb_db_bind_null(put, 3);
  assert_int_equal(fb_db_run(put, &err), FB_OK);
  assert_int_equal(fb_db_prepare(db, "SELECT * FROM thing ORDER BY id", &get, &err), 0);
  assert_int_equal(fb_db_step(get, &err), FB_OK);
  assert_true(fb_db_int(get, 0) == INT64_MIN);
  assert_true(fb_slice_equal(fb_db_text(get, 1), FB_SLICE("a\0b é")));
  assert_true(fb_db_double(get, 2) == 0.1);
  assert_true(fb_slice_equal(fb_db_bytes(get, 3), FB_SLICE("\xff\x00\x01")));
  assert_null(fb_db_text(get, 4).ptr);
  assert_int_equal(fb_db_step(get, &err), FB_OK);
  assert_true(fb_db_is_null(get, 2));
  assert_int_equal(fb_db_step(get, &err), FB_DONE);
  fb_db_query_free(put);
  fb_db_query_free(get);
  fb_db_close(db);
}

static void test_a_bad_bind_is_told_by_the_step(void **state) {
  (void)state;
  fb_db *db = S_open(":memory:", 2);
  fb_db_query *query = NULL;
  fb_error err = {0};
  assert_int_equal(fb_db_prepare(db, "SELECT ?1", &query, &err), FB_OK);
  fb_db_bind_int(query, 2, 1);
  assert_int_equal(fb_db_step(query, &err), FB_E_DB);
  assert_int_equal(fb_db_step(query, &err), FB_OK); /* told once */
  fb_db_query_free(query);
  query = NULL;
  assert_int_equal(fb_db_prepare(db, "SELECT x FROM nowhere", &query, &err), FB_E_DB);
  assert_non_null(strstr(err.text, "nowhere"));
  assert_int_equal(fb_db_prepare(db, "  ", &query, &err), FB_E_DB);
  assert_null(query);
  assert_int_equal(fb_db_exec(db, "INSERT INTO thing(id) VALUES(1)", &err), FB_E_DB);
  assert_non_null(strstr(err.text, "thing.name"));
  fb_db_query_free(NULL);
  fb_db_close(NULL);
  fb_db_close(db);
}

/* ── Transactions ────────────────────────────────────────────────────────────────────────────── */

static int64_t S_count(fb_db *db) {
  fb_db_query *query = NULL;
  fb_error err = {0};
  assert_int_equal(fb_db_prepare(db, "SELECT count(*) FROM thing", &query, &err), FB_OK);
  assert_int_equal(fb_db_step(query, &err), FB_OK);
  int64_t count = fb_db_int(query, 0);
  fb_db_query_free(query);
  return count;
}

static void test_transactions(void **state) {
  const S_place *place = *state;
  fb_error err = {0};
  fb_db *db = S_open(place->path, 2);
  assert_int_equal(fb_db_begin(db, &err), FB_OK);
  assert_int_equal(fb_db_exec(db, "INSERT INTO thing(name) VALUES('a')", &err), FB_OK);
  fb_db_rollback(db);
  fb_db_rollback(db);
  assert_int_equal(S_count(db), 0);
  assert_int_equal(fb_db_begin(db, &err), FB_OK);
  assert_int_equal(fb_db_exec(db, "INSERT INTO thing(name) VALUES('b')", &err), FB_OK);
  assert_int_equal(fb_db_commit(db, &err), FB_OK);
  assert_int_equal(fb_db_begin(db, &err), FB_OK);
  assert_int_equal(fb_db_exec(db, "INSERT INTO thing(name) VALUES('c')", &err), FB_OK);
  fb_db_close(db); /* rolls back */
  db = S_open(place->path, 2);
  assert_int_equal(S_count(db), 1);
  assert_int_equal(fb_db_checkpoint(db, &err), FB_OK);
  fb_db_close(db);
}

static void test_two_writers(void **state) {
  const S_place *place = *state;
  fb_error err = {0};
  fb_db *one = S_open(place->path, 2), *two = NULL;
  fb_db_options options = {
      .migrations = S_schema, .migration_count = 2, .kind = KIND, .busy = 20 * INT64_C(1000000)};
  assert_int_equal(fb_db_open(place->path, &options, NULL, &two, &err), FB_OK);
  assert_int_equal(fb_db_begin(one, &err), FB_OK);
  assert_int_equal(fb_db_exec(one, "INSERT INTO thing(name) VALUES('a')", &err), FB_OK);
  assert_int_equal(S_count(two), 0); /* reading does not wait */
  assert_int_equal(fb_db_begin(two, &err), FB_E_DB_BUSY);
  assert_true(err.hint[0]);
  assert_int_equal(fb_db_commit(one, &err), FB_OK);
  assert_int_equal(fb_db_begin(two, &err), FB_OK);
  assert_int_equal(fb_db_exec(two, "INSERT INTO thing(name) VALUES('a')", &err), FB_E_DB);
  fb_db_rollback(two);
  assert_int_equal(S_count(two), 1);
  fb_db_close(one);
  fb_db_close(two);
}

/* ── Versions ────────────────────────────────────────────────────────────────────────────────── */

static void test_migrations(void **state) {
  const S_place *place = *state;
  fb_error err = {0};
  fb_db *db = S_open(place->path, 1);
  assert_int_equal(fb_db_exec(db, "INSERT INTO thing(name) VALUES('old')", &err), FB_OK);
  fb_db_close(db);
  fb_db_options reader = {
      .migrations = S_schema, .migration_count = 3, .kind = KIND, .read_only = true};
  assert_int_equal(S_refused(place->path, &reader, &err), FB_E_DB_VERSION);
  db = S_open(place->path, 3);
  assert_int_equal(S_count(db), 2);
  fb_db_close(db);
  db = S_open(place->path, 3); /* none runs twice */
  assert_int_equal(S_count(db), 2);
  fb_db_close(db);
  fb_db_options old = {.migrations = S_schema, .migration_count = 2, .kind = KIND};
  assert_int_equal(S_refused(place->path, &old, &err), FB_E_DB_VERSION);
  assert_non_null(strstr(err.text, "version 3"));
  assert_int_equal(fb_db_open(place->path, &reader, NULL, &db, &err), FB_OK);
  assert_int_equal(fb_db_exec(db, "DELETE FROM thing", &err), FB_E_DB);
  assert_int_equal(S_count(db), 2);
  fb_db_close(db);
}

static void test_a_migration_that_fails(void **state) {
  const S_place *place = *state;
  static const char *const broken[] = {
      "CREATE TABLE thing(id INTEGER PRIMARY KEY, name TEXT, weight REAL, raw BLOB)",
      "CREATE TABLE other(id); CREATE TABLE thing(id)"};
  fb_error err = {0};
  fb_db_options options = {.migrations = broken, .migration_count = 2, .kind = KIND};
  assert_int_equal(S_refused(place->path, &options, &err), FB_E_DB);
  assert_non_null(strstr(err.text, "to version 2"));
  fb_db *db = S_open(place->path, 1); /* the first was kept, of the second nothing */
  assert_int_equal(fb_db_exec(db, "SELECT * FROM other", &err), FB_E_DB);
  fb_db_close(db);
}

/* ── Files that are none ─────────────────────────────────────────────────────────────────────── */

static void test_foreign_files(void **state) {
  const S_place *place = *state;
  static const char text[] = "name: a mission, and no database\nsteps: []\n";
  fb_error err = {0};
  fb_db_options options = {.migrations = S_schema, .migration_count = 2, .kind = KIND};
  S_write(place->path, text, sizeof text - 1);
  assert_int_equal(S_refused(place->path, &options, &err), FB_E_DB_FOREIGN);
  struct stat info;
  assert_int_equal(stat(place->path, &info), 0);
  assert_int_equal(info.st_size, sizeof text - 1);
  unlink(place->path);
  fb_db *db = NULL;
  assert_int_equal(fb_db_open(place->path, NULL, NULL, &db, &err), FB_OK);
  assert_int_equal(fb_db_exec(db, "CREATE TABLE theirs(id)", &err), FB_OK);
  fb_db_close(db);
  assert_int_equal(S_refused(place->path, &options, &err), FB_E_DB_FOREIGN);
  assert_int_equal(S_refused("/nowhere/at/all.db", &options, &err), FB_E_DB);
  options.read_only = true;
  assert_int_equal(S_refused("/tmp/fb-no-such-file.db", &options, &err), FB_E_DB);
}

static void test_damage_is_found(void **state) {
  const S_place *place = *state;
  fb_error err = {0};
  fb_db *db = S_open(place->path, 2);
  assert_int_equal(
      fb_db_exec(db,
                 "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i "
                 "< 5000) INSERT INTO thing(name) SELECT 'thing ' || i FROM n",
                 &err),
      FB_OK);
  assert_int_equal(fb_db_check(db, &err), FB_OK);
  assert_int_equal(fb_db_checkpoint(db, &err), FB_OK);
  fb_db_close(db);
  FILE *file = fopen(place->path, "r+b");
  assert_int_equal(fseek(file, 6 * 4096 + 100, SEEK_SET), 0);
  for (int i = 0; i < 3000; i++) fputc(0xa5, file);
  assert_int_equal(fclose(file), 0);
  db = S_open(place->path, 2);
  assert_int_equal(fb_db_check(db, &err), FB_E_DB_DAMAGED);
  assert_true(err.text[0]);
  fb_db_close(db);
}

/* ── Memory ──────────────────────────────────────────────────────────────────────────────────── */

static bool S_use(const fb_allocator *allocator) {
  fb_db *db = NULL;
  fb_db_query *query = NULL;
  fb_error err = {0};
  fb_db_options options = {.migrations = S_schema, .migration_count = 2};
  fb_status status = fb_db_open(":memory:", &options, allocator, &db, &err);
  if (!status) status = fb_db_prepare(db, "SELECT 1", &query, &err);
  if (!status) status = fb_db_run(query, &err);
  assert_true(status == FB_OK || status == FB_E_NOMEM);
  fb_db_query_free(query);
  fb_db_close(db);
  return status == FB_OK;
}

static void test_memory(void **state) {
  (void)state;
  fb_test_each_failure(S_use);
}

int main(void) {
#define WITH_FILE(test) cmocka_unit_test_setup_teardown(test, S_setup, S_teardown)
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_values_come_back),
      cmocka_unit_test(test_a_bad_bind_is_told_by_the_step),
      WITH_FILE(test_transactions),
      WITH_FILE(test_two_writers),
      WITH_FILE(test_migrations),
      WITH_FILE(test_a_migration_that_fails),
      WITH_FILE(test_foreign_files),
      WITH_FILE(test_damage_is_found),
      cmocka_unit_test(test_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
