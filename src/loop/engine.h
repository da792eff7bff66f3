/* SPDX-License-Identifier: Apache-2.0
 *
 * What the loop's files share. All of it is the loop's own thread's but what is said to be under `lock`.
 *
 *   batch      facts that came together, as text; it waits in the queue, is logged, asserted, and the rules fire
 *   book       a rulebook of the project with its session
 *   source     where batches come from
 *   sink       where decisions go: a queue of deliveries, the oldest first
 *   run        a mission that was started, on a thread of its own
 */
#ifndef FB_LOOP_ENGINE_H
#define FB_LOOP_ENGINE_H

#include "loop/project.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <uv.h>

enum { FB_NAME_MAX = 65, FB_CHUNK_BYTES = 256 << 10, FB_DECISION_ID = 48 };

/* ── Batches ── */

typedef struct fb_batch_place {
  uint64_t inode,
      offset; /* of a file that grows: behind this batch. Of a sink's facts: the decision's number */
} fb_batch_place;

enum {
  FB_BATCH_CSV = 1,
  FB_BATCH_REPLACE = 2, /* takes the place of what its source gave before */
  FB_BATCH_DURABLE = 4,
  FB_BATCH_SINK = 8,      /* from a sink `fact` */
  FB_BATCH_SCHEDULE = 16, /* place.offset: up to when the schedule was looked at, s */
  FB_BATCH_OURS = 32      /* its source waits for its end */
};

typedef struct fb_loop_batch fb_loop_batch;
struct fb_loop_batch {
  fb_loop_batch *next;
  uint32_t flags;
  char source[FB_NAME_MAX], type[128];
  int64_t lifetime, at;
  fb_batch_place place;
  uint64_t facts; /* as far as its lines tell */
  fb_loop_done *done;
  void *user;
  fb_loop_result result;
  size_t length;
  char text[];
};

/* ── Books ── */

typedef struct fb_book {
  fb_project *owner; /* of the ruleset */
  const fb_book_plan *plan;
  fb_session *session;
  fb_loop *loop;
  bool more;      /* to fire */
  uint64_t fired; /* since the batch began */
} fb_book;

/* A fact that goes at some time. */
typedef struct fb_expiry {
  int64_t at; /* wall ns */
  uint64_t fact;
  uint64_t book;
} fb_expiry;

typedef struct fb_held_fact {
  uint64_t fact, book;
} fb_held_fact;

/* ── Sources ── */

typedef struct fb_loop_source fb_loop_source;
struct fb_loop_source {
  fb_loop *loop;
  const fb_source_plan *plan;
  char name[FB_NAME_MAX];
  bool gone, waiting; /* waiting: a batch of it is in the queue */
  const char *state;  /* "ok", "waiting", "failing" */
  char error[200];
  uint64_t facts, errors;
  int64_t last; /* wall ns of the newest facts */
  uv_timer_t timer;
  int handles;        /* that are not closed yet */
  fb_held_fact *held; /* of the last round, if they are to be replaced */
  size_t held_count, held_cap;
  /* TAIL */
  int fd;
  fb_batch_place place, read; /* up to where facts are held; up to where it was read */
  fb_buf rest;                /* a line that is not complete */
  bool skipping;
  /* COMMAND, METRICS */
  fb_process *process;
  fb_http_call *call;
  bool late;
  /* WATCH */
  struct fb_seen_file *files;
  size_t file_count;
  bool scanned;
};

/* ── Sinks ── */

typedef struct fb_delivery fb_delivery;
struct fb_delivery {
  fb_delivery *next;
  struct fb_loop_sink *sink;
  uint64_t number;
  int64_t at;
  bool busy, done;
  char id[FB_DECISION_ID];
  char type[128], target[FB_NAME_MAX];
  fb_retry retry;
  fb_retry_policy policy;
  uv_timer_t timer;
  bool has_timer;
  fb_process *process;
  fb_http_call *call;
  char error[200];
  int64_t started;
  size_t length;
  char body[];
};

typedef struct fb_loop_sink {
  fb_loop *loop;
  const fb_sink_plan *plan; /* NULL: missions that rules and schedules run */
  char name[FB_NAME_MAX];
  bool gone;
  fb_delivery *first, *last;
  uint64_t pending, delivered, failed, errors;
  uint64_t acked; /* all decisions up to this one need nothing more */
  uint32_t busy;
  char error[200];
  FILE *file;
  uint64_t file_size;
} fb_loop_sink;

/* ── Schedules ── */

typedef struct fb_loop_schedule {
  fb_loop *loop;
  const fb_schedule_plan *plan;
  char name[FB_NAME_MAX];
  int64_t last, next; /* s since 1970: looked at up to `last` */
  int64_t done;       /* the same, as far as what came of it is held */
} fb_loop_schedule;

/* ── Runs ── */

typedef struct fb_loop_run fb_loop_run;
struct fb_loop_run {
  fb_loop_run *next;
  fb_loop *loop;
  fb_project *project;
  const fb_mission *mission;
  char name[FB_NAME_MAX], id[64];
  char *inputs; /* JSON */
  pthread_t thread;
  fb_world *world;
  fb_mission_run *run;
  fb_mission_status status;
  uv_async_t *cancel; /* on the run's own loop */
  char error[200];
  bool resumed, ended;
};

/* ── Calls of other threads ── */

typedef struct fb_loop_call fb_loop_call;
struct fb_loop_call {
  fb_loop_call *next;
  void (*run)(fb_loop *loop, void *argument);
  void *argument;
  bool done;
};

struct fb_loop {
  const fb_allocator *allocator;
  fb_loop_options options;
  char *path, *state, *runs_folder;
  const fb_clock *clock;
  fb_zones *zones;
  fb_project *project;
  fb_world *world;
  uv_loop_t *uv;
  fb_http *http[3]; /* by fb_reach */
  uv_async_t wake;
  uv_idle_t idle;
  uv_timer_t tick;
  bool idle_on, ticking;
  pthread_t thread;
  bool started;
  _Atomic bool ending;
  bool stop; /* the thread is to end */

  pthread_mutex_t lock;
  pthread_cond_t called;
  fb_loop_batch *first, *last; /* under lock, as are the next ones */
  uint64_t depth, bytes, dropped;
  fb_loop_call *calls;

  fb_book *books;
  uint32_t book_count;
  fb_expiry *expiries; /* a heap: the earliest first */
  size_t expiry_count, expiry_cap;
  int64_t now; /* wall ns that decisions are of */
  bool replaying, firing;
  bool must_save; /* nothing goes on before a snapshot is begun */
  int64_t grace;  /* when ending: mono ns until which what is under way may end */
  uint64_t decisions, facts, firings, refused;
  char instance[20];

  fb_loop_source **sources;
  uint32_t source_count;
  fb_loop_sink **sinks; /* the first is that of `run` */
  uint32_t sink_count;
  fb_loop_schedule *schedules;
  uint32_t schedule_count;
  fb_loop_run *runs; /* under lock */
  uint32_t running;

  int log_fd;                          /* -1: none */
  uint64_t number, log_size, sequence; /* of the newest snapshot; bytes; records */
  bool log_failed, syncing, saving;
  fb_loop_batch *durable, *durable_last, *in_sync; /* that wait for the disk */
  int64_t snapshot_at, next_snapshot, next_reload;
  uint64_t stamp; /* of the project's files, as they were read */
  bool reloading;
  char reload_error[400];
  fb_lease *lease;
};

/* ── engine.c ── */

int64_t fb_loop_wall(const fb_loop *loop);
void fb_loop_say(fb_loop *loop, fb_log_level level, const char *message, const char *key,
                 const char *value, const char *key2, const char *value2);
/* Tells who watches; `json` is an object's members. */
void fb_loop_event(fb_loop *loop, const char *kind, const char *format, ...) FB_PRINTF(3, 4);
/* Something may be done now. */
void fb_loop_wake(fb_loop *loop);
fb_http *fb_loop_http(fb_loop *loop, fb_reach reach, fb_error *err);
/* From any thread; takes the batch over. */
void fb_loop_put(fb_loop *loop, fb_loop_batch *batch);
fb_loop_batch *fb_batch_new(fb_slice text, const char *source, fb_slice type, int64_t lifetime,
                            uint32_t flags);
void fb_batch_end(fb_loop *loop, fb_loop_batch *batch);

/* ── working.c ── */

fb_status fb_books_new(fb_loop *loop, fb_project *project, fb_error *err);
void fb_books_free(fb_loop *loop);
fb_status fb_book_open(fb_loop *loop, fb_book *book, fb_project *owner, const fb_book_plan *plan,
                       fb_error *err);
/* The session from a snapshot. */
fb_status fb_book_restore(fb_loop *loop, fb_book *book, const fb_ruleset *set, fb_slice bytes,
                          bool facts_only, fb_error *err);
/* Asserts the batch at the time `now`. */
void fb_books_apply(fb_loop *loop, fb_loop_batch *batch, int64_t now);
/* The time goes on. True if anything may fire. */
bool fb_books_advance(fb_loop *loop, int64_t now);
/* When time does something next, wall ns; INT64_MAX: never. */
int64_t fb_books_due(fb_loop *loop);
/* Fires for at most `slice` ns (0: until nothing is left). True: all is done. */
bool fb_books_fire(fb_loop *loop, int64_t slice);
/* Retracts what was to be there once. */
void fb_books_settle(fb_loop *loop);
fb_status fb_books_swap(fb_loop *loop, fb_project *project, fb_error *err);
bool fb_expiry_add(fb_loop *loop, fb_expiry expiry);

/* ── records.c ── */

/* Whole lines as facts: NDJSON or CSV in `out`. */
void fb_records_lines(const fb_parse_plan *plan, fb_slice text, int64_t now, fb_buf *out,
                      uint32_t *ret_flags);
/* Prometheus' text format as NDJSON. */
void fb_records_prometheus(fb_slice text, fb_slice type, fb_buf *out);
/* A JSON value (an object, or a list of them) as NDJSON. */
fb_status fb_records_json(fb_slice text, const char *name, fb_buf *out, fb_error *err);
uint64_t fb_records_count(fb_slice text);

/* ── source*.c ── */

fb_status fb_sources_set(fb_loop *loop, fb_project *project);
void fb_sources_stop(fb_loop *loop);
void fb_sources_free(fb_loop *loop);
fb_loop_source *fb_source_find(fb_loop *loop, const char *name);
void fb_source_fail(fb_loop_source *source, const char *text);
void fb_source_good(fb_loop_source *source);
void fb_source_give(fb_loop_source *source, fb_slice text, uint32_t flags);
void fb_source_again(fb_loop_source *source, int64_t nanos);
void fb_tail_poll(fb_loop_source *source);
void fb_tail_close(fb_loop_source *source);
void fb_watch_poll(fb_loop_source *source);
void fb_watch_free(fb_loop_source *source);
void fb_loop_mission_event(fb_loop *loop, const fb_mission_event *event, fb_loop_run *run);

/* ── sink.c ── */

fb_status fb_sinks_set(fb_loop *loop, fb_project *project);
void fb_sinks_free(fb_loop *loop);
/* A decision of the rulebook's. */
fb_status fb_sinks_decision(fb_loop *loop, const fb_book *book, const fb_decision *decision);
/* A mission that is to run: what a rule says. */
fb_status fb_sinks_run(fb_loop *loop, fb_slice mission, fb_slice inputs);
/* `id`: names it for ever; doing it twice does it once. */
fb_status fb_sink_put(fb_loop_sink *sink, uint64_t number, int64_t at, const char *id,
                      fb_slice type, fb_slice target, fb_slice body);
void fb_sinks_work(fb_loop *loop);
bool fb_sinks_blocked(const fb_loop *loop);
fb_loop_sink *fb_sink_find(fb_loop *loop, const char *name);
/* A decision came to where it was to go, or `failed` for good. */
void fb_delivery_end(fb_delivery *delivery, bool failed);
/* A batch of a sink `fact` is in the log. */
void fb_sink_fact_done(fb_loop *loop, const char *name, uint64_t number);

/* ── schedule.c ── */

fb_status fb_schedules_set(fb_loop *loop, fb_project *project);
void fb_schedules_work(fb_loop *loop);
int64_t fb_schedules_due(fb_loop *loop);
fb_loop_schedule *fb_schedule_find(fb_loop *loop, const char *name);
/* A mission of it, that was due at `at` (s). */
void fb_schedule_run(fb_loop_schedule *schedule, int64_t at);

/* ── runner.c ── */

bool fb_loop_runs_has_room(const fb_loop *loop);
/* Once it returned FB_OK the run will end, whatever happens to this process. */
fb_status fb_loop_runs_start(fb_loop *loop, const char *id, fb_slice name, fb_slice inputs,
                             bool resume, fb_error *err);
void fb_loop_runs_reap(fb_loop *loop);
void fb_loop_runs_cancel(fb_loop *loop);

/* ── keep.c ── */

fb_status fb_keep_open(fb_loop *loop, fb_error *err);
void fb_keep_close(fb_loop *loop);
fb_status fb_keep_restore(fb_loop *loop, fb_error *err);
/* Writes a snapshot; `wait`: it is on disk when this returns. */
fb_status fb_keep_save(fb_loop *loop, bool wait, fb_error *err);
/* False: the log failed. */
bool fb_keep_log_batch(fb_loop *loop, const fb_loop_batch *batch, int64_t now);
void fb_keep_log_tick(fb_loop *loop, int64_t now);
void fb_keep_log_ack(fb_loop *loop, const char *sink, uint64_t number);
/* Its mission of the time `at`; it was looked at up to `until`. */
void fb_keep_log_schedule(fb_loop *loop, const char *schedule, int64_t at, int64_t until);
void fb_keep_log_run(fb_loop *loop, const fb_loop_run *run, bool ended);
/* The batch is answered once it is on disk. */
void fb_keep_when_durable(fb_loop *loop, fb_loop_batch *batch);

/* ── describe.c ── */

void fb_loop_write(fb_loop *loop, fb_buf *out);

/* ── reload.c ── */

fb_status fb_loop_swap(fb_loop *loop, fb_project *project, fb_error *err);
void fb_reload_poll(fb_loop *loop);
uint64_t fb_project_stamp(const fb_project *project);

#endif
