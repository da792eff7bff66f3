/* SPDX-License-Identifier: Apache-2.0
 *
 * The loop's life and its turns. All happens on one thread: what others want done they queue, and wake it. A turn does a little of
 * everything, so that rules that fire for long hold up neither sources nor deliveries.
 */
#include "loop/engine.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define S_SLICE INT64_C(10000000)    /* ns of firing in one turn */
#define S_SECOND INT64_C(1000000000) /* ns */
enum { BYTES_MAX = 256 << 20, SUBMIT_MAX = 1 << 20, LOG_MAX = 1 << 30 };

/* ── Small things ────────────────────────────────────────────────────────────────────────────── */

int64_t fb_loop_wall(const fb_loop *loop) {
  return loop->clock->wall(loop->clock->context);
}

static int64_t S_mono(const fb_loop *loop) {
  return loop->clock->mono(loop->clock->context);
}

void fb_loop_say(fb_loop *loop, fb_log_level level, const char *message, const char *key,
                 const char *value, const char *key2, const char *value2) {
  if (!key)
    fb_log_write(loop->options.log, level, message, NULL);
  else
    fb_log_write(loop->options.log, level, message, key, value ? value : "", key2,
                 value2 ? value2 : "", NULL);
}

void fb_loop_event(fb_loop *loop, const char *kind, const char *format, ...) {
  fb_buf data;
  va_list args;
  if (!loop->options.event) return;
  fb_buf_init(&data, NULL, 0);
  va_start(args, format);
  fb_buf_vprintf(&data, format, args);
  va_end(args);
  if (!data.failed) loop->options.event(loop->options.context, kind, fb_buf_slice(&data));
  fb_buf_release(&data);
}

void fb_loop_wake(fb_loop *loop) {
  uv_async_send(&loop->wake);
}

static bool S_allow_public(void *context, const char *address) {
  return fb_reach_allows((fb_reach)(uintptr_t)context, address);
}

fb_http *fb_loop_http(fb_loop *loop, fb_reach reach, fb_error *err) {
  fb_http_options options = {.allow = S_allow_public, .context = (void *)(uintptr_t)reach};
  if (!loop->http[reach] && fb_http_new(loop->uv, &options, NULL, &loop->http[reach], err))
    return NULL;
  return loop->http[reach];
}

/* ── Batches ─────────────────────────────────────────────────────────────────────────────────── */

fb_loop_batch *fb_batch_new(fb_slice text, const char *source, fb_slice type, int64_t lifetime,
                            uint32_t flags) {
  fb_loop_batch *batch = calloc(1, sizeof *batch + text.len + 1);
  if (!batch) return NULL;
  snprintf(batch->source, sizeof batch->source, "%s", source);
  snprintf(batch->type, sizeof batch->type, "%.*s", (int)(type.len < 127 ? type.len : 127),
           type.ptr ? type.ptr : "");
  batch->lifetime = lifetime;
  batch->flags = flags;
  batch->facts = fb_records_count(text);
  batch->length = text.len;
  if (text.len) memcpy(batch->text, text.ptr, text.len);
  return batch;
}

/* Its source may give more now. */
static void S_ask_again(fb_loop *loop, const fb_loop_batch *batch) {
  fb_loop_source *source = fb_source_find(loop, batch->source);
  if (!source) return;
  source->waiting = false;
  bool idle = !uv_is_active((uv_handle_t *)&source->timer) && !source->process && !source->call;
  if (!idle) return;
  fb_source_again(source, source->plan->kind == FB_SOURCE_TAIL ? 0 : source->plan->every);
}

void fb_batch_end(fb_loop *loop, fb_loop_batch *batch) {
  if (batch->flags & FB_BATCH_OURS) S_ask_again(loop, batch);
  if (batch->done) batch->done(batch->user, &batch->result);
  free(batch);
}

void fb_loop_put(fb_loop *loop, fb_loop_batch *batch) {
  pthread_mutex_lock(&loop->lock);
  batch->next = NULL;
  if (loop->last)
    loop->last->next = batch;
  else
    loop->first = batch;
  loop->last = batch;
  loop->depth += batch->facts;
  loop->bytes += batch->length;
  pthread_mutex_unlock(&loop->lock);
  fb_loop_wake(loop);
}

/* Under the lock. */
static bool S_is_full(const fb_loop *loop) {
  return loop->depth > loop->project->queue || loop->bytes > BYTES_MAX;
}

/* The first batch, or the first that may be dropped. */
static fb_loop_batch *S_take(fb_loop *loop, bool to_drop) {
  pthread_mutex_lock(&loop->lock);
  fb_loop_batch *before = NULL, *batch = to_drop && !S_is_full(loop) ? NULL : loop->first;
  while (batch && to_drop && batch->flags & (FB_BATCH_SINK | FB_BATCH_SCHEDULE)) {
    before = batch;
    batch = batch->next;
  }
  if (batch && to_drop && batch == loop->last) batch = NULL; /* what came last is kept */
  if (batch) {
    if (before)
      before->next = batch->next;
    else
      loop->first = batch->next;
    if (loop->last == batch) loop->last = before;
    loop->depth -= batch->facts;
    loop->bytes -= batch->length;
    if (to_drop) loop->dropped += batch->facts;
  }
  pthread_mutex_unlock(&loop->lock);
  return batch;
}

static void S_drop_oldest(fb_loop *loop) {
  for (fb_loop_batch *batch; (batch = S_take(loop, true));) {
    batch->result.dropped = batch->facts;
    batch->result.status = FB_E_LOOP_FULL;
    fb_fail(&batch->result.error, FB_E_LOOP_FULL, "the queue was full; newer facts took its place");
    fb_batch_end(loop, batch);
  }
}

fb_status fb_loop_submit(fb_loop *loop, const fb_loop_facts *facts, fb_loop_done *done, void *user,
                         fb_error *err) {
  if (loop->ending) return fb_fail(err, FB_E_LOOP_ENDING, "the loop is about to end");
  if (facts->text.len > SUBMIT_MAX)
    return fb_fail(err, FB_E_LIMIT, "more than 1 MiB of facts at once");
  fb_slice type = facts->type;
  int64_t lifetime = facts->lifetime;
  char name[FB_NAME_MAX] = "http";
  pthread_mutex_lock(&loop->lock);
  bool full = loop->project->when_full == FB_FULL_REFUSE && S_is_full(loop);
  for (uint32_t i = 0; i < loop->project->source_count; i++) {
    const fb_source_plan *plan = &loop->project->sources[i];
    if (plan->kind != FB_SOURCE_HTTP) continue;
    if (!type.len) type = plan->parse.type;
    if (!lifetime) lifetime = plan->lifetime;
    snprintf(name, sizeof name, "%.*s", (int)plan->name.len, plan->name.ptr);
  }
  fb_loop_batch *batch =
      full ? NULL
           : fb_batch_new(facts->text, name, type, lifetime, facts->durable ? FB_BATCH_DURABLE : 0);
  pthread_mutex_unlock(&loop->lock);
  if (full) return fb_fail(err, FB_E_LOOP_FULL, "the queue is full");
  if (!batch) return fb_fail(err, FB_E_NOMEM, "out of memory");
  batch->done = done;
  batch->user = user;
  fb_loop_put(loop, batch);
  return FB_OK;
}

/* ── A turn ──────────────────────────────────────────────────────────────────────────────────── */

static void S_begin(fb_loop *loop, fb_loop_batch *batch) {
  int64_t now = fb_loop_wall(loop);
  bool durable = batch->flags & FB_BATCH_DURABLE;
  if (now < loop->now) now = loop->now; /* the wall clock was set back */
  if (!fb_keep_log_batch(loop, batch, now) && durable) {
    batch->result.status = FB_E_IO;
    fb_fail(&batch->result.error, FB_E_IO, "the log of facts cannot be written");
    fb_batch_end(loop, batch);
    return;
  }
  fb_books_apply(loop, batch, now);
  loop->firing = true;
  if (batch->flags & FB_BATCH_SINK) fb_sink_fact_done(loop, batch->source, batch->place.offset);
  if (batch->result.refused)
    fb_loop_say(loop, FB_LOG_WARN, "facts were refused", "source", batch->source, "first",
                batch->result.error.text);
  if (batch->result.accepted)
    fb_loop_event(loop, "fact", "\"source\":\"%s\",\"n\":%llu", batch->source,
                  (unsigned long long)batch->result.accepted);
  if (durable)
    fb_keep_when_durable(loop, batch);
  else
    fb_batch_end(loop, batch);
}

/* Time that does something by itself. Noted down, so that it does it at the same point again. */
static void S_tick(fb_loop *loop) {
  int64_t now = fb_loop_wall(loop);
  if (now <= loop->now || fb_books_due(loop) > now) return;
  fb_keep_log_tick(loop, now);
  loop->firing = fb_books_advance(loop, now);
}

static void S_fire(fb_loop *loop) {
  if (!fb_books_fire(loop, S_SLICE)) return;
  size_t before = loop->expiry_count;
  fb_books_settle(loop);
  loop->firing = loop->expiry_count != before;
}

static void S_save_if_due(fb_loop *loop) {
  int64_t now = S_mono(loop);
  fb_error err = {0};
  bool due = loop->must_save || loop->log_size > LOG_MAX ||
             (loop->next_snapshot && now >= loop->next_snapshot);
  if (!due || loop->saving || loop->syncing || loop->firing) return;
  if (fb_keep_save(loop, false, &err))
    fb_loop_say(loop, FB_LOG_ERROR, "no snapshot was written", "error", err.text, NULL, NULL);
  loop->must_save = false;
  loop->next_snapshot = now + loop->project->snapshot_every;
}

static void S_calls(fb_loop *loop) {
  for (;;) {
    pthread_mutex_lock(&loop->lock);
    fb_loop_call *call = loop->calls;
    if (call) loop->calls = call->next;
    pthread_mutex_unlock(&loop->lock);
    if (!call) return;
    call->run(loop, call->argument);
    pthread_mutex_lock(&loop->lock);
    call->done = true;
    pthread_cond_broadcast(&loop->called);
    pthread_mutex_unlock(&loop->lock);
  }
}

static bool S_has_batch(fb_loop *loop) {
  pthread_mutex_lock(&loop->lock);
  bool has = loop->first != NULL;
  pthread_mutex_unlock(&loop->lock);
  return has;
}

static bool S_is_done(fb_loop *loop) {
  uint64_t pending = 0;
  for (uint32_t i = 0; i < loop->sink_count; i++) pending += loop->sinks[i]->pending;
  return !S_has_batch(loop) && !pending && !loop->running && !loop->firing && !loop->durable &&
         !loop->syncing && !loop->saving;
}

static void S_turn(fb_loop *loop);

static void S_idle(uv_idle_t *idle) {
  S_turn(idle->data);
}

static void S_woken(uv_async_t *async) {
  S_turn(async->data);
}

static void S_ticked(uv_timer_t *timer) {
  S_turn(timer->data);
}

static void S_least(int64_t *least, int64_t candidate) {
  if (candidate < *least) *least = candidate;
}

/* When to look again if nothing happens; at most a second from now, as the wall clock may be set. */
static void S_wait(fb_loop *loop) {
  int64_t wall = fb_loop_wall(loop), mono = S_mono(loop), wait = S_SECOND;
  int64_t due = fb_books_due(loop), schedule = fb_schedules_due(loop);
  if (due != INT64_MAX) S_least(&wait, due - wall);
  if (schedule != INT64_MAX) S_least(&wait, schedule - wall);
  if (loop->next_snapshot) S_least(&wait, loop->next_snapshot - mono);
  if (loop->next_reload) S_least(&wait, loop->next_reload - mono);
  if (loop->grace) S_least(&wait, S_SECOND / 50);
  if (wait < 1000000) wait = 1000000;
  uv_timer_start(&loop->tick, S_ticked, (uint64_t)(wait / 1000000), 0);
}

static void S_turn(fb_loop *loop) {
  fb_loop_batch *batch = NULL;
  S_calls(loop);
  fb_loop_runs_reap(loop);
  if (!loop->ending) fb_schedules_work(loop);
  if (loop->project->when_full == FB_FULL_DROP) S_drop_oldest(loop);
  S_save_if_due(loop);
  if (!loop->firing && !loop->must_save) S_tick(loop);
  if (loop->firing)
    S_fire(loop);
  else if (!loop->must_save && !fb_sinks_blocked(loop) && (batch = S_take(loop, false)))
    S_begin(loop, batch);
  fb_sinks_work(loop);
  if (!loop->ending) fb_reload_poll(loop);
  if (loop->grace && (S_is_done(loop) || S_mono(loop) >= loop->grace)) {
    loop->stop = true;
    uv_stop(loop->uv);
  }
  bool more = loop->firing || (S_has_batch(loop) && !loop->must_save && !fb_sinks_blocked(loop));
  if (more && !loop->idle_on) uv_idle_start(&loop->idle, S_idle);
  if (!more && loop->idle_on) uv_idle_stop(&loop->idle);
  loop->idle_on = more;
  S_wait(loop);
}

static void *S_thread(void *argument) {
  fb_loop *loop = argument;
  S_turn(loop);
  while (!loop->stop) uv_run(loop->uv, UV_RUN_DEFAULT);
  return NULL;
}

/* ── Calls of other threads ──────────────────────────────────────────────────────────────────── */

static void S_call(fb_loop *loop, void (*run)(fb_loop *loop, void *argument), void *argument) {
  fb_loop_call call = {.run = run, .argument = argument};
  pthread_mutex_lock(&loop->lock);
  if (!loop->started) { /* its thread has ended */
    pthread_mutex_unlock(&loop->lock);
    run(loop, argument);
    return;
  }
  fb_loop_call **at = &loop->calls;
  while (*at) at = &(*at)->next;
  *at = &call;
  fb_loop_wake(loop);
  while (!call.done) pthread_cond_wait(&loop->called, &loop->lock);
  pthread_mutex_unlock(&loop->lock);
}

static void S_describe(fb_loop *loop, void *argument) {
  fb_loop_write(loop, argument);
}

void fb_loop_describe(fb_loop *loop, fb_buf *out) {
  S_call(loop, S_describe, out);
}

typedef struct S_swap {
  fb_project *project;
  fb_status status;
  fb_error err;
} S_swap;

static void S_swap_call(fb_loop *loop, void *argument) {
  S_swap *swap = argument;
  swap->status = fb_loop_swap(loop, swap->project, &swap->err);
}

fb_status fb_loop_reload(fb_loop *loop, fb_errors *errors) {
  S_swap swap = {0};
  fb_status status = fb_project_load(loop->path, NULL, &swap.project, errors, NULL);
  if (status) return status;
  S_call(loop, S_swap_call, &swap);
  if (swap.status) {
    fb_project_free(swap.project);
    fb_errors_add(errors, &swap.err);
  }
  return swap.status;
}

static void S_save_call(fb_loop *loop, void *argument) {
  S_swap *swap = argument;
  while (loop->firing) S_fire(loop);
  swap->status = fb_keep_save(loop, true, &swap->err);
}

fb_status fb_loop_save(fb_loop *loop, fb_error *err) {
  S_swap swap = {0};
  S_call(loop, S_save_call, &swap);
  if (swap.status && err) *err = swap.err;
  return swap.status;
}

static void S_project_call(fb_loop *loop, void *argument) {
  fb_project_hold(loop->project);
  *(fb_project **)argument = loop->project;
}

fb_project *fb_loop_project(fb_loop *loop) {
  fb_project *project = NULL;
  S_call(loop, S_project_call, &project);
  return project;
}

/* ── Life ────────────────────────────────────────────────────────────────────────────────────── */

static void S_free(fb_loop *loop) {
  if (loop->uv) {
    fb_sources_free(loop);
    fb_sinks_free(loop);
    uv_close((uv_handle_t *)&loop->wake, NULL);
    uv_close((uv_handle_t *)&loop->idle, NULL);
    uv_close((uv_handle_t *)&loop->tick, NULL);
    for (int i = 0; i < 3; i++)
      if (loop->http[i]) fb_http_free(loop->http[i]);
  }
  fb_world_uv_free(loop->world);
  fb_books_free(loop);
  fb_keep_close(loop);
  free(loop->schedules);
  fb_project_free(loop->project);
  fb_zones_free(loop->zones);
  pthread_mutex_destroy(&loop->lock);
  pthread_cond_destroy(&loop->called);
  free(loop->path);
  free(loop->state);
  free(loop->runs_folder);
  free(loop);
}

/* ── New ─────────────────────────────────────────────────────────────────────────────────────── */

static fb_status S_handles(fb_loop *loop, fb_error *err) {
  char folder[4096];
  snprintf(folder, sizeof folder, "%s/output", loop->state);
  fb_status status = fb_world_uv_new(NULL, &(fb_uv_options){.run_dir = folder}, &loop->world, err);
  if (status) return status;
  uv_loop_t *uv = fb_world_uv_loop(loop->world);
  if (uv_async_init(uv, &loop->wake, S_woken)) return fb_fail(err, FB_E_NOMEM, "out of memory");
  loop->uv = uv;
  uv_idle_init(uv, &loop->idle);
  uv_timer_init(uv, &loop->tick);
  loop->wake.data = loop->idle.data = loop->tick.data = loop;
  return FB_OK;
}

static fb_status S_parts(fb_loop *loop, fb_error *err) {
  fb_status status = fb_zones_new(NULL, NULL, &loop->zones);
  if (status) return fb_fail(err, status, "out of memory");
  status = fb_keep_open(loop, err);
  if (!status) status = S_handles(loop, err);
  if (!status) status = fb_books_new(loop, loop->project, err);
  if (status) return status;
  status = fb_sinks_set(loop, loop->project);
  if (!status) status = fb_sources_set(loop, loop->project);
  if (!status) status = fb_schedules_set(loop, loop->project);
  if (status) return fb_fail(err, status, "out of memory");
  status = fb_keep_restore(loop, err);
  loop->next_snapshot = S_mono(loop) + loop->project->snapshot_every;
  loop->stamp = fb_project_stamp(loop->project);
  loop->firing = true; /* rules without conditions, and what was left */
  return status;
}

static fb_loop *S_new(const fb_loop_options *options) {
  fb_loop *loop = calloc(1, sizeof *loop);
  if (!loop) return NULL;
  loop->options = *options;
  loop->clock = fb_clock_system();
  loop->log_fd = -1;
  loop->path = strdup(options->path);
  loop->state = strdup(options->state);
  loop->runs_folder = strdup(options->runs);
  pthread_mutex_init(&loop->lock, NULL);
  pthread_cond_init(&loop->called, NULL);
  snprintf(loop->instance, sizeof loop->instance, "%016llx",
           (unsigned long long)fb_random_seed_system());
  return loop;
}

/* The program's signals are others' matter. */
static bool S_start(fb_loop *loop) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  loop->started = pthread_create(&loop->thread, NULL, S_thread, loop) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return loop->started;
}

fb_status fb_loop_new(const fb_loop_options *options, const fb_allocator *allocator,
                      fb_loop **ret_loop, fb_errors *errors, fb_errors *warnings) {
  fb_error err = {0};
  fb_loop *loop = S_new(options);
  if (!loop || !loop->path || !loop->state || !loop->runs_folder) {
    if (loop) S_free(loop);
    fb_fail(&err, FB_E_NOMEM, "out of memory");
    return fb_errors_add(errors, &err);
  }
  loop->allocator = allocator;
  fb_status status = fb_project_load(options->path, NULL, &loop->project, errors, warnings);
  if (status) {
    S_free(loop);
    return status;
  }
  status = S_parts(loop, &err);
  if (!status && !S_start(loop)) status = fb_fail(&err, FB_E_NOMEM, "a thread cannot be started");
  if (status) {
    fb_errors_add(errors, &err);
    loop->stop = true;
    fb_loop_runs_cancel(loop);
    while (loop->runs) fb_loop_runs_reap(loop);
    S_free(loop);
    return status;
  }
  *ret_loop = loop;
  return FB_OK;
}

static void S_end_call(fb_loop *loop, void *argument) {
  fb_sources_stop(loop);
  loop->grace = S_mono(loop) + *(int64_t *)argument;
}

static void S_finish(fb_loop *loop) {
  fb_error err = {0};
  struct timespec pause = {0, 10000000};
  while (loop->firing) S_fire(loop);
  while (loop->saving || loop->syncing) uv_run(loop->uv, UV_RUN_ONCE);
  if (fb_keep_save(loop, true, &err))
    fb_loop_say(loop, FB_LOG_ERROR, "no snapshot was written", "error", err.text, NULL, NULL);
  while (loop->runs) { /* those that are cut off are in the snapshot, and go on next time */
    fb_loop_runs_cancel(loop);
    fb_loop_runs_reap(loop);
    nanosleep(&pause, NULL);
  }
  for (fb_loop_batch *batch; (batch = S_take(loop, false));) {
    batch->result.status = FB_E_LOOP_ENDING;
    fb_fail(&batch->result.error, FB_E_LOOP_ENDING, "the loop is about to end");
    batch->flags &= ~(uint32_t)FB_BATCH_OURS;
    fb_batch_end(loop, batch);
  }
}

void fb_loop_stop(fb_loop *loop, int64_t grace) {
  if (!loop || !loop->started) return;
  loop->ending = true;
  S_call(loop, S_end_call, &grace);
  pthread_join(loop->thread, NULL);
  pthread_mutex_lock(&loop->lock);
  loop->started = false;
  pthread_mutex_unlock(&loop->lock);
  S_calls(loop);
  S_finish(loop);
}

void fb_loop_free(fb_loop *loop) {
  if (!loop) return;
  fb_loop_stop(loop, 0);
  S_free(loop);
}
