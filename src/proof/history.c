/* SPDX-License-Identifier: Apache-2.0
 * Results of many runs in an SQLite file. Samples are kept as they were measured, as the bytes of doubles in the
 * order of the machine (little-endian on all that Flyball runs on; the file says which). */
#include "proof/results.h"
#include "store/db.h"

struct fb_history {
  fb_db *db;
  const fb_allocator *allocator;
};

enum { KIND = 0x46426869 }; /* "FBhi" */

static const char *const S_migrations[] = {
    "CREATE TABLE run("
    " id INTEGER PRIMARY KEY, at INTEGER NOT NULL, commit_id TEXT NOT NULL, branch TEXT NOT NULL,"
    " fingerprint TEXT NOT NULL, UNIQUE(commit_id, fingerprint, at));"
    "CREATE TABLE series("
    " id INTEGER PRIMARY KEY, bench TEXT NOT NULL, workload TEXT NOT NULL, metric TEXT NOT NULL,"
    " unit TEXT NOT NULL, direction INTEGER NOT NULL, kind INTEGER NOT NULL,"
    " UNIQUE(bench, workload, metric, unit));"
    "CREATE TABLE result("
    " run INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,"
    " series INTEGER NOT NULL REFERENCES series(id),"
    " count INTEGER NOT NULL, median REAL NOT NULL, mean REAL NOT NULL, sd REAL NOT NULL,"
    " low REAL NOT NULL, high REAL NOT NULL, samples BLOB NOT NULL,"
    " PRIMARY KEY(series, run)) WITHOUT ROWID;"
    "CREATE INDEX result_run ON result(run);"
    "CREATE INDEX run_branch ON run(branch, fingerprint, id);"};

fb_status fb_history_open(const char *path, bool read_only, const fb_allocator *allocator,
                          fb_history **ret, fb_error *err) {
  fb_db_options options = {.migrations = S_migrations,
                           .migration_count = sizeof S_migrations / sizeof *S_migrations,
                           .kind = KIND,
                           .sync = FB_DB_SYNC_NORMAL,
                           .read_only = read_only};
  fb_history *history = fb_alloc_zero(allocator, sizeof *history);
  if (!history) return fb_fail(err, FB_E_NOMEM, "no memory to open the history");
  history->allocator = allocator;
  fb_status status = fb_db_open(path, &options, allocator, &history->db, err);
  if (status == FB_OK && !read_only)
    status = fb_db_exec(history->db, "PRAGMA foreign_keys = ON", err);
  if (status != FB_OK) {
    fb_history_close(history);
    return status;
  }
  *ret = history;
  return FB_OK;
}

void fb_history_close(fb_history *history) {
  if (!history) return;
  fb_db_close(history->db);
  fb_free(history->allocator, history, sizeof *history);
}

/* ── Writing ── */

static void S_bind_slice(fb_db_query *query, int number, fb_slice text) {
  fb_db_bind_text(query, number, text.ptr ? text : (fb_slice){"", 0});
}

static fb_status S_add_run(fb_history *history, const fb_result_run *run, int64_t *ret_id,
                           fb_error *err) {
  fb_db_query *query;
  fb_status status = fb_db_prepare(history->db,
                                   "INSERT OR IGNORE INTO run(at, commit_id, branch, fingerprint)"
                                   " VALUES(?1, ?2, ?3, ?4)",
                                   &query, err);
  if (status != FB_OK) return status;
  fb_db_bind_int(query, 1, run->at);
  S_bind_slice(query, 2, run->commit);
  S_bind_slice(query, 3, run->branch);
  S_bind_slice(query, 4, run->fingerprint);
  status = fb_db_run(query, err);
  fb_db_query_free(query);
  if (status == FB_OK && fb_db_last_change(history->db) == 0)
    status = fb_fail(err, FB_E_PROOF_HISTORY,
                     "a run of this commit, machine and time is in the history already");
  if (status == FB_OK) *ret_id = fb_db_last_id(history->db);
  return status;
}

typedef struct S_writer {
  fb_db_query *put_series, *find_series, *put_result;
  const fb_allocator *allocator;
} S_writer;

static void S_writer_release(S_writer *writer) {
  fb_db_query_free(writer->put_series);
  fb_db_query_free(writer->find_series);
  fb_db_query_free(writer->put_result);
}

static fb_status S_writer_init(S_writer *writer, fb_db *db, const fb_allocator *allocator,
                               fb_error *err) {
  *writer = (S_writer){.allocator = allocator};
  fb_status status =
      fb_db_prepare(db,
                    "INSERT INTO series(bench, workload, metric, unit, direction, kind)"
                    " VALUES(?1, ?2, ?3, ?4, ?5, ?6)"
                    " ON CONFLICT DO UPDATE SET direction = ?5, kind = ?6",
                    &writer->put_series, err);
  if (status == FB_OK)
    status =
        fb_db_prepare(db,
                      "SELECT id FROM series WHERE bench = ?1 AND workload = ?2 AND metric = ?3"
                      " AND unit = ?4",
                      &writer->find_series, err);
  if (status == FB_OK)
    status = fb_db_prepare(db,
                           "INSERT INTO result(run, series, count, median, mean, sd, low, high,"
                           " samples) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                           &writer->put_result, err);
  if (status != FB_OK) S_writer_release(writer);
  return status;
}

static void S_bind_names(fb_db_query *query, const fb_bench_result *result) {
  S_bind_slice(query, 1, result->bench);
  S_bind_slice(query, 2, result->workload);
  S_bind_slice(query, 3, result->metric);
  S_bind_slice(query, 4, result->unit);
}

static fb_status S_series_id(S_writer *writer, const fb_bench_result *result, int64_t *ret_id,
                             fb_error *err) {
  S_bind_names(writer->put_series, result);
  fb_db_bind_int(writer->put_series, 5, result->direction);
  fb_db_bind_int(writer->put_series, 6, result->kind);
  fb_status status = fb_db_run(writer->put_series, err);
  if (status != FB_OK) return status;
  S_bind_names(writer->find_series, result);
  status = fb_db_step(writer->find_series, err);
  if (status != FB_OK)
    return status == FB_DONE ? fb_fail(err, FB_E_INTERNAL, "a series vanished") : status;
  *ret_id = fb_db_int(writer->find_series, 0);
  fb_db_reset(writer->find_series);
  return FB_OK;
}

/* More samples than are kept: the ordered ones at even distances, so that all quantiles stay. */
static void S_choose(double *samples, size_t count) {
  fb_samples_sort(samples, count);
  for (size_t i = 0; i < FB_HISTORY_SAMPLES; i++)
    samples[i] = samples[i * (count - 1) / (FB_HISTORY_SAMPLES - 1)];
}

static fb_status S_put_samples(S_writer *writer, const fb_bench_result *result, double *copy,
                               fb_error *err) {
  size_t kept = result->count;
  if (kept > FB_HISTORY_SAMPLES) {
    S_choose(copy, kept);
    kept = FB_HISTORY_SAMPLES;
  }
  fb_db_bind_bytes(writer->put_result, 9, (fb_slice){(const char *)copy, kept * sizeof *copy});
  return fb_db_run(writer->put_result, err);
}

static fb_status S_add_result(S_writer *writer, int64_t run, const fb_bench_result *result,
                              fb_error *err) {
  int64_t series = 0;
  fb_summary summary;
  fb_status status = fb_summarize(result->samples, result->count, writer->allocator, &summary, err);
  if (status == FB_OK) status = S_series_id(writer, result, &series, err);
  if (status != FB_OK) return status;
  fb_db_query *query = writer->put_result;
  fb_db_bind_int(query, 1, run);
  fb_db_bind_int(query, 2, series);
  fb_db_bind_int(query, 3, (int64_t)result->count);
  fb_db_bind_double(query, 4, summary.median);
  fb_db_bind_double(query, 5, summary.mean);
  fb_db_bind_double(query, 6, summary.sd);
  fb_db_bind_double(query, 7, summary.min);
  fb_db_bind_double(query, 8, summary.max);
  size_t bytes = result->count * sizeof(double);
  double *copy = fb_alloc(writer->allocator, bytes);
  if (!copy) return fb_fail(err, FB_E_NOMEM, "no memory for %zu samples", result->count);
  memcpy(copy, result->samples, bytes);
  status = S_put_samples(writer, result, copy, err);
  fb_free(writer->allocator, copy, bytes);
  return status;
}

fb_status fb_history_add(fb_history *history, const fb_results *results, int64_t *ret_run,
                         fb_error *err) {
  S_writer writer;
  int64_t run = 0;
  fb_status status = fb_db_begin(history->db, err);
  if (status != FB_OK) return status;
  status = S_add_run(history, &results->run, &run, err);
  if (status == FB_OK) {
    status = S_writer_init(&writer, history->db, history->allocator, err);
    if (status == FB_OK) {
      for (size_t i = 0; i < results->count && status == FB_OK; i++)
        status = S_add_result(&writer, run, &results->items[i], err);
      S_writer_release(&writer);
    }
  }
  if (status == FB_OK)
    status = fb_db_commit(history->db, err);
  else
    fb_db_rollback(history->db);
  if (status == FB_OK) *ret_run = run;
  return status;
}

fb_status fb_history_prune(fb_history *history, int64_t before, size_t keep, uint64_t *ret_removed,
                           fb_error *err) {
  fb_db_query *query;
  fb_status status = fb_db_prepare(
      history->db,
      "DELETE FROM run WHERE at < ?1 OR (?2 > 0 AND id IN (SELECT id FROM (SELECT id, row_number()"
      " OVER (PARTITION BY branch, fingerprint ORDER BY at DESC, id DESC) AS place FROM run)"
      " WHERE place > ?2))",
      &query, err);
  if (status != FB_OK) return status;
  fb_db_bind_int(query, 1, before);
  fb_db_bind_int(query, 2, (int64_t)keep);
  status = fb_db_run(query, err);
  fb_db_query_free(query);
  if (status != FB_OK) return status;
  *ret_removed = (uint64_t)fb_db_last_change(history->db);
  return fb_db_exec(history->db, "DELETE FROM series WHERE id NOT IN (SELECT series FROM result)",
                    err);
}

/* ── Reading ── */

static fb_status S_no_memory(fb_error *err) {
  return fb_fail(err, FB_E_NOMEM, "no memory for the history");
}

/* Columns first … first + 4: id, at, commit, branch, fingerprint. False: no memory. */
static bool S_read_run(fb_db_query *query, int first, fb_arena *arena, fb_result_run *run) {
  *run = (fb_result_run){.id = fb_db_int(query, first),
                         .at = fb_db_int(query, first + 1),
                         .commit = fb_db_text(query, first + 2),
                         .branch = fb_db_text(query, first + 3),
                         .fingerprint = fb_db_text(query, first + 4)};
  return fb_slice_keep(arena, &run->commit) && fb_slice_keep(arena, &run->branch) &&
         fb_slice_keep(arena, &run->fingerprint);
}

#define RUN_COLUMNS "run.id, run.at, run.commit_id, run.branch, run.fingerprint"
/* Parameters 1 … 4 of what chooses runs; the newest, by time and then by number. */
#define RUN_CHOICE                                                                      \
  "SELECT * FROM run WHERE (?1 = '' OR branch = ?1) AND (?2 = '' OR fingerprint = ?2) " \
  "AND (?3 = 0 OR id < ?3) ORDER BY at DESC, id DESC LIMIT ?4"

static void S_bind_filter(fb_db_query *query, const fb_history_filter *filter) {
  static const fb_history_filter all = {0};
  if (!filter) filter = &all;
  S_bind_slice(query, 1, filter->branch);
  S_bind_slice(query, 2, filter->fingerprint);
  fb_db_bind_int(query, 3, filter->before);
  fb_db_bind_int(query, 4, filter->last ? (int64_t)filter->last : -1);
}

/* A growing array in an arena. */
static bool S_grow(fb_arena *arena, void **items, size_t *cap, size_t count, size_t size) {
  if (count < *cap) return true;
  size_t more = *cap ? 2 * *cap : 16;
  void *moved = fb_arena_alloc(arena, more * size);
  if (!moved) return false;
  if (count) memcpy(moved, *items, count * size);
  *items = moved;
  *cap = more;
  return true;
}

fb_status fb_history_runs(fb_history *history, const fb_history_filter *filter, fb_arena *arena,
                          fb_history_run **ret, size_t *ret_count, fb_error *err) {
  fb_db_query *query;
  fb_history_run *runs = NULL;
  size_t count = 0, cap = 0;
  fb_status status = fb_db_prepare(history->db,
                                   "SELECT " RUN_COLUMNS
                                   ", (SELECT count(*) FROM result WHERE run = run.id)"
                                   " FROM (" RUN_CHOICE ") AS run ORDER BY run.at, run.id",
                                   &query, err);
  if (status != FB_OK) return status;
  S_bind_filter(query, filter);
  while ((status = fb_db_step(query, err)) == FB_OK) {
    if (!S_grow(arena, (void **)&runs, &cap, count, sizeof *runs) ||
        !S_read_run(query, 0, arena, &runs[count].run)) {
      status = S_no_memory(err);
      break;
    }
    runs[count++].results = (uint64_t)fb_db_int(query, 5);
  }
  fb_db_query_free(query);
  if (status != FB_DONE) return status;
  *ret = runs;
  *ret_count = count;
  return FB_OK;
}

static bool S_read_head(fb_db_query *query, int first, fb_arena *arena, fb_bench_result *head) {
  int64_t direction = fb_db_int(query, first + 4), kind = fb_db_int(query, first + 5);
  *head = (fb_bench_result){
      .bench = fb_db_text(query, first),
      .workload = fb_db_text(query, first + 1),
      .metric = fb_db_text(query, first + 2),
      .unit = fb_db_text(query, first + 3),
      .direction = direction ? FB_MORE_IS_BETTER : FB_LESS_IS_BETTER,
      .kind = kind >= 0 && kind < FB_METRIC_KIND_COUNT ? (fb_figure_kind)kind : FB_METRIC_OTHER};
  return fb_slice_keep(arena, &head->bench) && fb_slice_keep(arena, &head->workload) &&
         fb_slice_keep(arena, &head->metric) && fb_slice_keep(arena, &head->unit);
}

/* NULL: no memory. */
static const double *S_read_samples(fb_db_query *query, int column, fb_arena *arena,
                                    size_t *ret_count) {
  fb_slice bytes = fb_db_bytes(query, column);
  *ret_count = bytes.len / sizeof(double);
  double *samples = fb_arena_alloc(arena, bytes.len + sizeof(double));
  if (samples && bytes.len) memcpy(samples, bytes.ptr, *ret_count * sizeof(double));
  return samples;
}

/* Columns of a point: series id, six of the head, five of the run, median, count, samples. */
enum { AT_HEAD = 1, AT_RUN = 7, AT_MEDIAN = 12, AT_COUNT, AT_SAMPLES };
#define HEAD_COLUMNS "bench, workload, metric, unit, direction, kind"

typedef struct S_list {
  fb_history_series *items;
  size_t count, cap, point_cap;
  int64_t last_id;
} S_list;

static bool S_add_point(S_list *list, fb_db_query *query, fb_arena *arena) {
  fb_history_series *series = &list->items[list->count - 1];
  if (!S_grow(arena, (void **)&series->points, &list->point_cap, series->count,
              sizeof *series->points))
    return false;
  fb_history_point *point = &series->points[series->count++];
  *point = (fb_history_point){.median = fb_db_double(query, AT_MEDIAN),
                              .count = (size_t)fb_db_int(query, AT_COUNT)};
  point->samples = S_read_samples(query, AT_SAMPLES, arena, &point->kept);
  return point->samples && S_read_run(query, AT_RUN, arena, &point->run);
}

/* Sets *ret_wanted: whether the series passes the filter. */
static bool S_begin_series(S_list *list, fb_db_query *query, fb_slice pattern, fb_arena *arena,
                           bool *ret_wanted) {
  fb_buf name;
  if (!S_grow(arena, (void **)&list->items, &list->cap, list->count, sizeof *list->items))
    return false;
  fb_history_series *series = &list->items[list->count];
  *series = (fb_history_series){0};
  if (!S_read_head(query, AT_HEAD, arena, &series->head)) return false;
  fb_buf_init(&name, arena->allocator, 0);
  fb_result_name(&series->head, &name);
  *ret_wanted = !pattern.len || fb_glob_match(pattern, fb_buf_slice(&name));
  bool good = !name.failed;
  fb_buf_release(&name);
  list->count += *ret_wanted;
  list->point_cap = 0;
  return good;
}

fb_status fb_history_series_of(fb_history *history, const fb_history_filter *filter,
                               fb_arena *arena, fb_history_series **ret, size_t *ret_count,
                               fb_error *err) {
  fb_db_query *query;
  S_list list = {.last_id = -1};
  bool wanted = false;
  fb_slice pattern = filter ? filter->series : (fb_slice){0};
  fb_status status = fb_db_prepare(history->db,
                                   "SELECT series.id, " HEAD_COLUMNS ", " RUN_COLUMNS
                                   ", result.median, result.count,"
                                   " result.samples FROM (" RUN_CHOICE
                                   ") AS run JOIN result ON result.run = run.id"
                                   " JOIN series ON series.id = result.series"
                                   " ORDER BY bench, workload, metric, unit, run.at, run.id",
                                   &query, err);
  if (status != FB_OK) return status;
  S_bind_filter(query, filter);
  while ((status = fb_db_step(query, err)) == FB_OK) {
    int64_t id = fb_db_int(query, 0);
    bool good = id == list.last_id || S_begin_series(&list, query, pattern, arena, &wanted);
    list.last_id = id;
    if (!good || (wanted && !S_add_point(&list, query, arena))) {
      status = S_no_memory(err);
      break;
    }
  }
  fb_db_query_free(query);
  if (status != FB_DONE) return status;
  *ret = list.items;
  *ret_count = list.count;
  return FB_OK;
}

/* ── One run by name ── */

static fb_status S_find_run(fb_history *history, const char *sql, fb_slice word, fb_arena *arena,
                            fb_result_run *ret, fb_error *err) {
  fb_db_query *query;
  fb_status status = fb_db_prepare(history->db, sql, &query, err);
  if (status != FB_OK) return status;
  fb_db_bind_text(query, 1, word);
  status = fb_db_step(query, err);
  if (status == FB_OK && !S_read_run(query, 0, arena, ret)) status = S_no_memory(err);
  fb_slice first = status == FB_OK ? ret->commit : (fb_slice){0};
  while (status == FB_OK) { /* rows of one commit only */
    status = fb_db_step(query, err);
    if (status == FB_OK && !fb_slice_equal(fb_db_text(query, 2), first))
      status = fb_fail(err, FB_E_PROOF_HISTORY, "more than one commit begins with %.*s",
                       (int)word.len, word.ptr);
    if (status == FB_DONE) {
      fb_db_query_free(query);
      return FB_OK;
    }
  }
  fb_db_query_free(query);
  return status;
}

#define NEWEST " ORDER BY at DESC, id DESC"

static fb_status S_name_run(fb_history *history, fb_slice which, fb_arena *arena,
                            fb_result_run *ret, fb_error *err) {
  fb_status status = FB_DONE;
  if (which.len > 1 && which.ptr[0] == '#')
    return S_find_run(history, "SELECT " RUN_COLUMNS " FROM run WHERE id = CAST(?1 AS INTEGER)",
                      (fb_slice){which.ptr + 1, which.len - 1}, arena, ret, err);
  if (which.len)
    status = S_find_run(history,
                        "SELECT " RUN_COLUMNS
                        " FROM run WHERE id = (SELECT id FROM run WHERE"
                        " branch = ?1" NEWEST " LIMIT 1)",
                        which, arena, ret, err);
  if (status == FB_DONE && which.len >= 4)
    status = S_find_run(history,
                        "SELECT " RUN_COLUMNS
                        " FROM run WHERE substr(commit_id, 1, length(?1)) ="
                        " ?1" NEWEST,
                        which, arena, ret, err);
  return status;
}

fb_status fb_history_results(fb_history *history, fb_slice which, fb_results *ret, fb_error *err) {
  fb_db_query *query;
  fb_result_run run;
  fb_status status = S_name_run(history, which, &ret->arena, &run, err);
  if (status == FB_DONE)
    return fb_fail(err, FB_E_PROOF_HISTORY, "no run, branch or commit `%.*s`", (int)which.len,
                   which.ptr);
  if (status != FB_OK) return status;
  ret->run = run;
  status = fb_db_prepare(history->db,
                         "SELECT " HEAD_COLUMNS
                         ", samples FROM result JOIN series ON"
                         " series.id = result.series WHERE result.run = ?1"
                         " ORDER BY bench, workload, metric",
                         &query, err);
  if (status != FB_OK) return status;
  fb_db_bind_int(query, 1, run.id);
  while ((status = fb_db_step(query, err)) == FB_OK) {
    fb_bench_result result;
    if (!S_read_head(query, 0, &ret->arena, &result) ||
        !(result.samples = S_read_samples(query, 6, &ret->arena, &result.count)))
      status = S_no_memory(err);
    if (status == FB_OK) status = fb_results_add(ret, &result, err);
    if (status != FB_OK) break;
  }
  fb_db_query_free(query);
  return status == FB_DONE ? FB_OK : status;
}
