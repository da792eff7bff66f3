/* SPDX-License-Identifier: Apache-2.0
 * The threads that work on runs. */
#include "server/runs.h"

#include "loop/groups.h"

#include <errno.h>
#include <flyball/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MOST_REQUEST = 80 << 20, MOST_KEPT_TEXT = 1 << 20, MOST_QUEUED = 10000, TICK = 50000000 };

/* ── What is to be run ── */

fb_status fb_run_request_read(const fb_run_place *place, fb_arena *arena, fb_run_request *ret,
                              fb_error *err) {
  const char *path = fb_arena_printf(arena, "%s/request", place->folder);
  fb_buf_init(&ret->bytes, NULL, 0);
  if (!path) return fb_fail(err, FB_E_NOMEM, "out of memory");
  fb_status status = fb_state_read(path, MOST_REQUEST, &ret->bytes);
  const char *line =
      status == FB_OK && ret->bytes.len ? memchr(ret->bytes.ptr, '\n', ret->bytes.len) : NULL;
  if (status == FB_DONE) return FB_DONE;
  if (!line) return fb_fail(err, status ? status : FB_E_IO, "the run's request cannot be read");
  size_t length = (size_t)(line - ret->bytes.ptr) + 1;
  ret->source = (fb_slice){ret->bytes.ptr + length, ret->bytes.len - length};
  status =
      fb_json_read((fb_slice){ret->bytes.ptr, length}, "request", NULL, arena, &ret->head, err);
  if (status == FB_OK && ret->head.kind != FB_MAP)
    return fb_fail(err, FB_E_IO, "the run's request cannot be read");
  return status;
}

void fb_run_request_release(fb_run_request *request) {
  fb_buf_release(&request->bytes);
}

const char *fb_run_request_text(const fb_run_request *request, const char *key) {
  const fb_value *value = fb_map_get_text(request->head.as.map, fb_slice_of(key));
  return value && value->kind == FB_STRING ? value->as.text : "";
}

fb_status fb_run_parts_load(fb_slice source, const char *file, const char *folder,
                            const char *run_dir, fb_run_parts *ret, fb_errors *errors) {
  fb_error err;
  fb_uv_options where = {.run_dir = run_dir};
  fb_doc_options reading = {.keep_going = true};
  *ret = (fb_run_parts){0};
  if (fb_world_uv_new(NULL, &where, &ret->world, &err) != FB_OK) return fb_errors_add(errors, &err);
  fb_mission_options options = {.tools = fb_loop_tools(), .folder = folder, .world = ret->world};
  fb_status status = fb_doc_read(source, file, &reading, &ret->doc, errors);
  return status ? status : fb_mission_load(ret->doc, &options, NULL, &ret->mission, errors);
}

void fb_run_parts_free(fb_run_parts *parts) {
  fb_mission_free(parts->mission);
  fb_world_uv_free(parts->world);
  fb_doc_free(parts->doc);
}

/* ── One run ── */

typedef struct S_work {
  fb_working *working;
  fb_runner *runner;
  fb_server *server;
  fb_arena arena;
  fb_run_place place;
  fb_run_request request;
  fb_run_parts parts;
  fb_lease *lease;
  fb_lease *group; /* its place in the mission's group */
  fb_journal *journal, *counted;
  fb_past *past;
  fb_zones *zones;
  fb_mission_metrics *metrics;
  fb_mission_run *run;
} S_work;

static void S_publish(S_work *work, const char *kind, const fb_buf *members) {
  fb_buf out;
  if (members->failed) return;
  fb_buf_init(&out, NULL, 0);
  fb_json_member(&out, "run", fb_slice_of(work->working->id));
  fb_buf_char(&out, ',');
  fb_buf_add(&out, members->ptr, members->len);
  if (!out.failed) fb_server_publish(work->server, kind, fb_buf_slice(&out));
  fb_buf_release(&out);
}

static void S_publish_run(S_work *work, const char *state) {
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  fb_json_member(&out, "mission", fb_slice_of(fb_run_request_text(&work->request, "mission")));
  fb_json_member(&out, "state", fb_slice_of(state));
  S_publish(work, "run", &out);
  fb_buf_release(&out);
}

static void S_publish_step(S_work *work, const fb_mission_event *event, const char *state) {
  fb_buf out;
  fb_step_info info;
  fb_step_state now;
  fb_mission_step(fb_mission_run_mission(event->run), event->step, &info);
  fb_mission_run_step(event->run, event->step, &now);
  fb_buf_init(&out, NULL, 0);
  const char *path = fb_arena_printf(&work->arena, "%s%.*s", event->scope ? event->scope : "",
                                     (int)info.id.len, info.id.ptr);
  fb_json_member(&out, "step", fb_slice_of(path ? path : "?"));
  if (event->kind == FB_MISSION_EVENT_ITEM_FINISHED)
    fb_buf_printf(&out, ",\"item\":%u", event->item);
  fb_json_member(&out, "state", fb_slice_of(state));
  fb_buf_printf(&out, ",\"attempts\":%u,\"line\":%u",
                now.attempts ? now.attempts : state[0] != 'w' && state[0] != 's', info.line);
  if (event->duration) fb_buf_printf(&out, ",\"seconds\":%.6f", (double)event->duration / 1e9);
  if (event->error) {
    fb_json_member(&out, "error", fb_slice_of(event->error->text));
  }
  S_publish(work, "step", &out);
  fb_buf_release(&out);
}

static void S_set(S_work *work, const fb_mission_event *event, fb_step_status status) {
  fb_working *working = work->working;
  if (event->scope && event->scope[0]) return;
  pthread_mutex_lock(&work->runner->lock);
  if (working->status && event->step < working->step_count)
    working->status[event->step] = (uint8_t)status;
  pthread_mutex_unlock(&work->runner->lock);
}

static void S_event(void *context, const fb_mission_event *event) {
  S_work *work = context;
  fb_arena_mark mark = fb_arena_save(&work->arena);
  fb_mission_metrics_event(work->metrics, work->run, event);
  switch (event->kind) {
    case FB_MISSION_EVENT_STEP_STARTED:
      S_set(work, event, FB_STEP_RUNNING);
      S_publish_step(work, event, "running");
      break;
    case FB_MISSION_EVENT_STEP_FINISHED:
      S_set(work, event, event->status);
      S_publish_step(work, event, fb_step_status_name(event->status));
      break;
    case FB_MISSION_EVENT_ITEM_FINISHED:
      S_publish_step(work, event, fb_step_status_name(event->status));
      break;
    case FB_MISSION_EVENT_STEP_WAITING:
      S_set(work, event, FB_STEP_WAITING);
      S_publish_step(work, event, "waiting");
      break;
    case FB_MISSION_EVENT_ATTEMPT_FAILED: S_publish_step(work, event, "again"); break;
    case FB_MISSION_EVENT_FACT:
    case FB_MISSION_EVENT_RUN_STARTED:
    case FB_MISSION_EVENT_RUN_FINISHED: break;
  }
  fb_arena_rewind(&work->arena, mark);
}

/* What others ask of the run, on its own thread. */
static void S_tick(void *context) {
  S_work *work = context;
  fb_working *working = work->working;
  bool again = false;
  if (working->wish != FB_WISH_NONE) fb_mission_run_cancel(work->run, false);
  pthread_mutex_lock(&work->runner->lock);
  for (fb_saying *saying; (saying = working->sayings);) {
    fb_slice scope, step;
    uint32_t item;
    working->sayings = saying->next;
    saying->status =
        fb_run_step_path(saying->step, &scope, &step, &item)
            ? fb_mission_run_decide(work->run, scope, step, item, saying->word, &saying->err)
            : fb_fail(&saying->err, FB_E_RUN_STATE, "that is no step");
    saying->done = again = true;
  }
  if (again) pthread_cond_broadcast(&work->runner->changed);
  pthread_mutex_unlock(&work->runner->lock);
}

static bool S_put(S_work *work, fb_map *map, const char *key, fb_value value) {
  return fb_map_put(map, &work->arena, fb_string(fb_slice_of(key)), value, NULL);
}

/* What the journal keeps of it, so that `flyball resume` goes on with it too. NULL: no memory. */
static fb_map *S_about(S_work *work) {
  char here[4096];
  const fb_run_request *request = &work->request;
  fb_map *map = fb_map_new(&work->arena, 12);
  fb_value plan = fb_null();
  bool good =
      map && S_put(work, map, "file", fb_string(FB_SLICE("-"))) &&
      S_put(work, map, "sha256", fb_string(fb_slice_of(fb_run_request_text(request, "hash")))) &&
      S_put(work, map, "run_dir", fb_string(fb_slice_of(work->place.folder))) &&
      S_put(work, map, "by", fb_string(fb_slice_of(fb_run_request_text(request, "by")))) &&
      S_put(work, map, "flyball", fb_string(fb_slice_of(fb_version()))) &&
      S_put(work, map, "pid", fb_int(getpid()));
  if (good && getcwd(here, sizeof here))
    good = S_put(work, map, "dir",
                 fb_string(fb_slice_of(fb_arena_text(&work->arena, fb_slice_of(here)))));
  if (good && request->source.len <= MOST_KEPT_TEXT) {
    const char *text = fb_arena_text(&work->arena, request->source);
    good = text && S_put(work, map, "text", fb_string((fb_slice){text, request->source.len}));
  }
  good = good && fb_run_plan(work->parts.mission, &work->arena, &plan) &&
         S_put(work, map, "plan", plan);
  return good ? map : NULL;
}

/* Those of the first start, or of the request. */
static bool S_inputs(S_work *work, fb_map **ret_inputs) {
  fb_value about = work->past ? work->past->about : fb_null();
  const fb_value *given =
      about.kind == FB_MAP ? fb_map_get_text(about.as.map, FB_SLICE("inputs")) : NULL;
  if (!given) given = fb_map_get_text(work->request.head.as.map, FB_SLICE("inputs"));
  fb_map *inputs = fb_map_new(&work->arena, 8);
  for (uint32_t i = 0; inputs && given && given->kind == FB_MAP && i < given->as.map->len; i++) {
    const fb_entry *entry = &given->as.map->entries[i];
    if (entry->value.kind != FB_NULL &&
        !fb_map_put(inputs, &work->arena, entry->key, entry->value, NULL))
      return false;
  }
  *ret_inputs = inputs;
  return inputs != NULL;
}

static fb_status S_reopen(S_work *work, fb_error *err) {
  fb_status status =
      fb_lease_take(work->place.lease, FB_SLICE("flyball serve"), NULL, &work->lease, err);
  if (!status) status = fb_run_request_read(&work->place, &work->arena, &work->request, err);
  if (status == FB_DONE) return fb_fail(err, FB_E_RUN_STATE, "it was not started by a server");
  if (!status) status = fb_run_open(&work->place, false, true, &work->journal, err);
  if (!status && fb_journal_log_head(work->journal).seq)
    status = fb_past_read(work->journal, NULL, &work->past, err);
  if (!status)
    status = fb_journal_metrics_new(work->server->metrics, work->journal, NULL, NULL,
                                    &work->counted, err);
  return status;
}

static fb_status S_make(S_work *work, fb_errors *errors) {
  fb_run_request *request = &work->request;
  fb_error err;
  fb_map *inputs = NULL, *about = NULL;
  long processors = sysconf(_SC_NPROCESSORS_ONLN);
  fb_status status = fb_run_parts_load(request->source, fb_run_request_text(request, "file"),
                                       fb_run_request_text(request, "folder"), work->place.folder,
                                       &work->parts, errors);
  if (status) return status;
  status = fb_zones_new(NULL, NULL, &work->zones);
  if (status || !(about = S_about(work)) || !S_inputs(work, &inputs)) {
    fb_fail(&err, FB_E_NOMEM, "out of memory");
    return fb_errors_add(errors, &err);
  }
  if (fb_mission_metrics_new(work->server->metrics, fb_mission_name(work->parts.mission), NULL,
                             &work->metrics, &err) != FB_OK)
    return fb_errors_add(errors, &err);
  fb_mission_run_options options = {
      .id = work->place.id,
      .dir = work->place.folder,
      .env = (const char *const *)environ,
      .inputs = inputs,
      .cache_dir = fb_run_cache_of(work->runner->folder, &work->arena),
      .parallel_default = processors > 0 ? (uint32_t)processors : 2,
      .zone = fb_zone_system,
      .zone_context = work->zones,
      .hash_seed = fb_random_seed_system(),
      .journal = work->counted,
      .about = about,
      .on_event = S_event,
      .context = work};
  return fb_mission_run_new(work->parts.mission, work->parts.world, &options, NULL, &work->run,
                            errors);
}

/* It cannot even begin: that is how it ends. */
static void S_note_failure(S_work *work, const fb_error *why) {
  fb_event event = {
      .kind = FB_EVENT_RUN_ENDED, .status = FB_MISSION_FAILED, .item = FB_NO_ITEM, .code = -1};
  if (why->code == FB_E_MISSION_CANCELLED) event.status = FB_MISSION_CANCELLED;
  fb_event start = {.kind = FB_EVENT_RUN_STARTED, .item = FB_NO_ITEM, .code = -1};
  fb_map *map = fb_map_new(&work->arena, 2), *error = fb_map_new(&work->arena, 2);
  fb_map *about = fb_map_new(&work->arena, 2);
  fb_error err;
  if (!work->journal || !map || !error || !about ||
      !S_put(work, error, "code", fb_int(why->code)) ||
      !S_put(work, error, "text", fb_string(fb_slice_of(why->text))) ||
      !S_put(work, map, "error", fb_map_value(error)) ||
      !S_put(work, about, "mission",
             fb_string(fb_slice_of(fb_run_request_text(&work->request, "mission")))))
    return;
  if (!work->past) fb_run_append(work->journal, &start, fb_map_value(about), &err);
  fb_run_append(work->journal, &event, fb_map_value(map), &err);
}

static void S_show_steps(S_work *work) {
  uint32_t count = fb_mission_steps(work->parts.mission);
  uint8_t *status = calloc(count ? count : 1, 1);
  pthread_mutex_lock(&work->runner->lock);
  work->working->status = status;
  work->working->step_count = status ? count : 0;
  pthread_mutex_unlock(&work->runner->lock);
}

static bool S_is_wanted_no_more(void *context) {
  return ((S_work *)context)->working->wish != FB_WISH_NONE;
}

static void S_go(S_work *work) {
  char *stopped = fb_arena_printf(&work->arena, "%s/stopped", work->place.folder);
  if (stopped) unlink(stopped);
  S_show_steps(work);
  fb_world_uv_every(work->parts.world, TICK, S_tick, work);
  S_publish_run(work, "running");
  fb_mission_status end = fb_mission_run_wait(work->run);
  bool stop = end == FB_MISSION_CANCELLED && work->working->wish == FB_WISH_STOP;
  if (stop && stopped) {
    fb_error err;
    fb_state_write(stopped, FB_SLICE(""), FB_SLICE(""), &err);
  }
  S_publish_run(work, stop ? "interrupted" : fb_run_standing_name(fb_run_standing_of(end, false)));
}

static void S_close(S_work *work) {
  fb_mission_metrics_free(work->metrics);
  fb_mission_run_free(work->run);
  fb_run_parts_free(&work->parts);
  fb_zones_free(work->zones);
  fb_past_free(work->past);
  fb_journal_metrics_free(work->counted);
  fb_journal_log_close(work->journal);
  fb_lease_release(work->lease);
  fb_lease_release(work->group);
  fb_run_request_release(&work->request);
  fb_arena_release(&work->arena);
}

static void S_work_on(fb_working *working) {
  fb_runner *runner = working->runner;
  S_work work = {.working = working, .runner = runner, .server = runner->server};
  fb_error err = {0};
  fb_errors errors;
  fb_arena_init(&work.arena, NULL, 0);
  fb_errors_init(&errors, NULL, 0);
  bool place = fb_run_place_set(runner->folder, working->id, &work.arena, &work.place);
  fb_status status = place ? S_reopen(&work, &err) : FB_E_NOMEM;
  if (status == FB_OK) {
    status = S_make(&work, &errors);
    if (status != FB_OK)
      err = errors.count ? errors.items[0] : (fb_error){.code = status, .text = "out of memory"};
    else
      status = fb_berth_enter(work.run, runner->folder, working->id, &work.arena,
                              S_is_wanted_no_more, &work, &work.group, &err);
    bool stop = status == FB_E_MISSION_CANCELLED && working->wish == FB_WISH_STOP;
    if (status != FB_OK && !stop) { /* a server that ends leaves it to the next one */
      S_note_failure(&work, &err);
      S_publish_run(&work, status == FB_E_MISSION_CANCELLED ? "cancelled" : "failed");
    }
  }
  if (status == FB_OK) S_go(&work);
  if (status != FB_OK && runner->server->options.log)
    fb_log_write(runner->server->options.log, FB_LOG_ERROR, "a run cannot go on", "run",
                 working->id, "error", err.text, NULL);
  fb_errors_release(&errors);
  S_close(&work);
}

/* ── The threads ── */

static void S_remove(fb_runner *runner, fb_working *working) {
  fb_working **at = &runner->first;
  while (*at != working) at = &(*at)->next;
  *at = working->next;
  if (runner->last == &working->next) runner->last = at;
}

/* The next that waits. Under the lock. */
static fb_working *S_next(fb_runner *runner) {
  fb_working *working = runner->first;
  while (working && working->going) working = working->next;
  if (!working || runner->ends) return NULL;
  working->going = true;
  runner->queued--;
  return working;
}

static void *S_thread(void *context) {
  fb_runner *runner = context;
  pthread_mutex_lock(&runner->lock);
  for (fb_working *working; (working = S_next(runner));) {
    pthread_mutex_unlock(&runner->lock);
    if (working->wish == FB_WISH_NONE) S_work_on(working);
    pthread_mutex_lock(&runner->lock);
    for (fb_saying *saying; (saying = working->sayings);) { /* too late */
      working->sayings = saying->next;
      saying->status = fb_fail(&saying->err, FB_E_RUN_STATE, "the run has ended");
      saying->done = true;
    }
    S_remove(runner, working);
    free(working->status);
    free(working);
    pthread_cond_broadcast(&runner->changed);
  }
  runner->going--;
  pthread_cond_broadcast(&runner->changed);
  pthread_mutex_unlock(&runner->lock);
  return NULL;
}

fb_working *fb_runner_find(fb_runner *runner, const char *id) {
  fb_working *working = runner->first;
  while (working && strcmp(working->id, id) != 0) working = working->next;
  return working;
}

static fb_status S_begin_thread(fb_runner *runner, fb_error *err) {
  pthread_t thread;
  if (runner->going >= runner->server->options.max_runs) return FB_OK;
  if (pthread_create(&thread, NULL, S_thread, runner) != 0)
    return runner->going ? FB_OK : fb_fail(err, FB_E_NOMEM, "no thread for the run");
  pthread_detach(thread);
  runner->going++;
  return FB_OK;
}

fb_status fb_runner_add(fb_runner *runner, const char *id, fb_error *err) {
  fb_working *working = calloc(1, sizeof *working);
  if (!working) return fb_fail(err, FB_E_NOMEM, "out of memory");
  working->runner = runner;
  snprintf(working->id, sizeof working->id, "%s", id);
  pthread_mutex_lock(&runner->lock);
  fb_status status = FB_OK;
  if (fb_runner_find(runner, id))
    status = fb_fail(err, FB_E_RUN_STATE, "it is at work");
  else if (runner->ends || runner->queued >= MOST_QUEUED)
    status = fb_fail(err, FB_E_SERVER_BUSY,
                     runner->ends ? "the server is about to end" : "too many runs wait already");
  if (status == FB_OK) {
    *runner->last = working;
    runner->last = &working->next;
    runner->queued++;
    status = S_begin_thread(runner, err);
    if (status != FB_OK) {
      S_remove(runner, working);
      runner->queued--;
    }
  }
  pthread_mutex_unlock(&runner->lock);
  if (status != FB_OK) free(working);
  return status;
}

/* ── The runner ── */

fb_status fb_runner_new(fb_server *server, fb_runner **ret_runner, fb_error *err) {
  fb_runner *runner = calloc(1, sizeof *runner);
  if (!runner) return fb_fail(err, FB_E_NOMEM, "out of memory");
  runner->server = server;
  runner->last = &runner->first;
  pthread_mutex_init(&runner->starts, NULL);
  pthread_mutex_init(&runner->lock, NULL);
  pthread_cond_init(&runner->changed, NULL);
  *ret_runner = runner;
  if (!server->options.state) return FB_OK;
  runner->folder = fb_state_path(server, &server->arena, "runs");
  if (!runner->folder || !fb_run_make_folder(runner->folder))
    return fb_fail(err, FB_E_SERVER_OPTION, "the folder of runs cannot be made");
  return FB_OK;
}

/* Accepted but not begun, cut off, or ended by the end of a server. */
static bool S_goes_on(const char *runs, const char *id, fb_arena *arena) {
  fb_run_row row;
  char path[4096];
  snprintf(path, sizeof path, "%s/%s/request", runs, id);
  if (access(path, F_OK) != 0) return false;
  snprintf(path, sizeof path, "%s/%s/stopped", runs, id);
  if (access(path, F_OK) == 0) return true;
  if (!fb_run_look(runs, id, arena, &row)) return true; /* no journal yet */
  return row.standing == FB_RUN_INTERRUPTED;
}

void fb_runner_start(fb_runner *runner) {
  fb_arena arena;
  const char *const *ids;
  size_t count = 0;
  if (!runner->folder) return;
  fb_arena_init(&arena, NULL, 0);
  if (!fb_run_ids(runner->folder, &arena, &ids, &count)) count = 0;
  for (size_t i = count; i-- > 0;) { /* the oldest first */
    fb_error err;
    if (!S_goes_on(runner->folder, ids[i], &arena)) continue;
    if (runner->server->options.log)
      fb_log_write(runner->server->options.log, FB_LOG_INFO, "a run goes on", "run", ids[i], NULL);
    fb_runner_add(runner, ids[i], &err);
  }
  fb_arena_release(&arena);
}

void fb_runner_stop(fb_runner *runner) {
  if (!runner) return;
  pthread_mutex_lock(&runner->lock);
  runner->ends = true;
  for (fb_working *working = runner->first; working; working = working->next)
    if (working->going && working->wish == FB_WISH_NONE) working->wish = FB_WISH_STOP;
  while (runner->going) pthread_cond_wait(&runner->changed, &runner->lock);
  pthread_mutex_unlock(&runner->lock);
}

void fb_runner_free(fb_runner *runner) {
  if (!runner) return;
  fb_runner_stop(runner);
  for (fb_working *working = runner->first, *next; working; working = next) {
    next = working->next;
    free(working);
  }
  pthread_cond_destroy(&runner->changed);
  pthread_mutex_destroy(&runner->lock);
  pthread_mutex_destroy(&runner->starts);
  free(runner);
}

void fb_runner_counts(fb_runner *runner, uint32_t *ret_running, uint32_t *ret_queued) {
  pthread_mutex_lock(&runner->lock);
  *ret_queued = runner->queued;
  *ret_running = 0;
  for (const fb_working *working = runner->first; working; working = working->next)
    *ret_running += working->going;
  pthread_mutex_unlock(&runner->lock);
}
