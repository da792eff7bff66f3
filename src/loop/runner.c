/* SPDX-License-Identifier: Apache-2.0
 *
 * Missions that the loop starts. Each runs on a thread of its own with a world of its own, and has a journal in the folder of
 * runs: after a crash it is gone on with. Its events become facts, if the project has the source `missions`.
 */
#include "loop/engine.h"
#include "loop/groups.h"
#include "loop/runs.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

bool fb_loop_runs_has_room(const fb_loop *loop) {
  return loop->running < loop->project->runs && !loop->stop;
}

/* ── On the run's thread ─────────────────────────────────────────────────────────────────────── */

typedef struct S_job {
  fb_loop_run *run;
  fb_arena arena;
  fb_run_place place;
  fb_lease *lease, *group;
  fb_journal *journal;
  fb_map *inputs, *about;
} S_job;

static void S_event(void *context, const fb_mission_event *event) {
  fb_loop_run *run = context;
  fb_loop_mission_event(run->loop, event, run);
}

static void S_cancel(uv_async_t *async) {
  fb_loop_run *run = async->data;
  if (run->run) fb_mission_run_cancel(run->run, run->loop->stop);
}

static fb_status S_open(S_job *job, fb_error *err) {
  fb_status status = fb_run_lease(&job->place, &job->lease, err);
  return status ? status : fb_run_open(&job->place, false, job->run->resumed, &job->journal, err);
}

static bool S_stops(void *context) {
  fb_loop *loop = context;
  pthread_mutex_lock(&loop->lock);
  bool stops = loop->stop;
  pthread_mutex_unlock(&loop->lock);
  return stops;
}

static bool S_put(S_job *job, fb_map *map, const char *key, const char *text) {
  const char *copy = text ? fb_arena_text(&job->arena, fb_slice_of(text)) : NULL;
  return copy && fb_map_put(map, &job->arena, fb_string(fb_slice_of(key)),
                            fb_string(fb_slice_of(copy)), NULL);
}

static const char *S_path(const fb_loop_run *run) {
  for (uint32_t i = 0; i < run->project->mission_count; i++)
    if (run->project->missions[i].mission == run->mission) return run->project->missions[i].path;
  return "";
}

/* What `flyball resume` and `flyball show` want to know. */
static bool S_about(S_job *job) {
  char here[4096], by[120], path[4096];
  fb_loop_run *run = job->run;
  const char *file = realpath(S_path(run), path) ? path : S_path(run);
  snprintf(by, sizeof by, "the loop of %.*s", (int)run->project->name.len, run->project->name.ptr);
  fb_value plan;
  job->about = fb_map_new(&job->arena, 8);
  if (!job->about || !fb_run_plan(run->mission, &job->arena, &plan) ||
      !fb_map_put(job->about, &job->arena, fb_string(FB_SLICE("plan")), plan, NULL))
    return false;
  return S_put(job, job->about, "file", file) &&
         S_put(job, job->about, "run_dir", job->place.folder) && S_put(job, job->about, "by", by) &&
         S_put(job, job->about, "flyball", fb_version()) &&
         S_put(job, job->about, "dir", getcwd(here, sizeof here) ? here : "/");
}

static fb_status S_inputs(S_job *job, fb_error *err) {
  fb_value value;
  fb_slice text = fb_slice_of(job->run->inputs);
  fb_status status = fb_json_read(text, "inputs", NULL, &job->arena, &value, err);
  if (!status && value.kind != FB_MAP)
    status = fb_fail(err, FB_E_MISSION_INPUT, "inputs are an object");
  if (status) return status;
  job->inputs = fb_map_new(&job->arena, 8);
  if (!job->inputs) return fb_fail(err, FB_E_NOMEM, "out of memory");
  /* A decision may tell more than the mission asks for. */
  for (uint32_t i = 0; i < fb_mission_inputs(job->run->mission); i++) {
    fb_input_info info;
    fb_mission_input(job->run->mission, i, &info);
    const fb_value *given = fb_map_get_text(value.as.map, info.name);
    if (given && !fb_map_put(job->inputs, &job->arena, fb_string(info.name), *given, NULL))
      return fb_fail(err, FB_E_NOMEM, "out of memory");
  }
  return FB_OK;
}

static fb_status S_go(S_job *job, fb_error *err) {
  fb_loop_run *run = job->run;
  fb_errors errors;
  long processors = sysconf(_SC_NPROCESSORS_ONLN);
  fb_status status = S_inputs(job, err);
  if (status) return status;
  fb_mission_run_options options = {
      .id = run->id,
      .dir = job->place.folder,
      .env = run->loop->options.env,
      .inputs = job->inputs,
      .parallel_default = processors > 0 ? (uint32_t)processors : 2,
      .zone = fb_zone_system,
      .zone_context = run->loop->zones,
      .hash_seed = fb_random_seed_system(),
      .journal = job->journal,
      .cache_dir = fb_run_cache_of(run->loop->runs_folder, &job->arena),
      .about = job->about,
      .on_event = S_event,
      .context = run};
  fb_errors_init(&errors, NULL, 0);
  status = fb_mission_run_new(run->mission, run->world, &options, NULL, &run->run, &errors);
  if (status && errors.count) *err = errors.items[0];
  fb_errors_release(&errors);
  if (!status)
    status = fb_berth_enter(run->run, run->loop->runs_folder, run->id, &job->arena, S_stops,
                            run->loop, &job->group, err);
  if (status == FB_E_MISSION_CANCELLED) run->status = FB_MISSION_CANCELLED;
  if (status) return status;
  run->status = fb_mission_run_wait(run->run);
  const fb_error *own = fb_mission_run_error(run->run);
  if (own) snprintf(run->error, sizeof run->error, "%.190s", own->text);
  return FB_OK;
}

static void S_closed(uv_handle_t *handle) {
  free(handle);
}

static fb_status S_world(fb_loop_run *run, const char *folder, fb_error *err) {
  fb_status status = fb_world_uv_new(NULL, &(fb_uv_options){.run_dir = folder}, &run->world, err);
  uv_async_t *async = status ? NULL : calloc(1, sizeof *async);
  if (!async) return status ? status : fb_fail(err, FB_E_NOMEM, "out of memory");
  if (uv_async_init(fb_world_uv_loop(run->world), async, S_cancel)) {
    free(async);
    return fb_fail(err, FB_E_NOMEM, "the run's loop cannot be made");
  }
  async->data = run;
  uv_unref((uv_handle_t *)async);
  pthread_mutex_lock(&run->loop->lock);
  run->cancel = async;
  bool now = run->loop->stop;
  pthread_mutex_unlock(&run->loop->lock);
  if (now) uv_async_send(async);
  return FB_OK;
}

static void *S_thread(void *argument) {
  fb_loop_run *run = argument;
  fb_loop *loop = run->loop;
  S_job job = {.run = run};
  fb_error err = {0};
  fb_arena_init(&job.arena, NULL, 0);
  run->status = FB_MISSION_FAILED;
  bool place = fb_run_place_set(loop->runs_folder, run->id, &job.arena, &job.place);
  fb_status status = place ? S_world(run, job.place.folder, &err) : FB_E_NOMEM;
  if (!place) fb_fail(&err, FB_E_NOMEM, "out of memory");
  if (!status) status = S_open(&job, &err);
  if (!status && !S_about(&job)) status = fb_fail(&err, FB_E_NOMEM, "out of memory");
  if (!status) status = S_go(&job, &err);
  if (status) snprintf(run->error, sizeof run->error, "%.190s", err.text);
  pthread_mutex_lock(&loop->lock);
  uv_async_t *async = run->cancel;
  run->cancel = NULL;
  pthread_mutex_unlock(&loop->lock);
  fb_mission_run_free(run->run);
  run->run = NULL;
  if (async) uv_close((uv_handle_t *)async, S_closed);
  fb_world_uv_free(run->world);
  fb_journal_log_close(job.journal);
  fb_lease_release(job.lease);
  fb_lease_release(job.group);
  fb_arena_release(&job.arena);
  pthread_mutex_lock(&loop->lock);
  run->ended = true;
  pthread_mutex_unlock(&loop->lock);
  fb_loop_wake(loop);
  return NULL;
}

/* ── On the loop's thread ────────────────────────────────────────────────────────────────────── */

static void S_free(fb_loop_run *run) {
  if (run->project) fb_project_free(run->project);
  free(run->inputs);
  free(run);
}

static fb_loop_run *S_new(fb_loop *loop, const char *id, fb_slice name, fb_slice inputs,
                          const fb_mission *mission) {
  fb_loop_run *run = calloc(1, sizeof *run);
  if (!run) return NULL;
  run->loop = loop;
  run->inputs = strndup(inputs.ptr, inputs.len);
  run->mission = mission;
  run->project = loop->project;
  fb_project_hold(loop->project);
  snprintf(run->id, sizeof run->id, "%s", id);
  snprintf(run->name, sizeof run->name, "%.*s",
           (int)(name.len < FB_NAME_MAX ? name.len : FB_NAME_MAX - 1), name.ptr);
  if (run->inputs) return run;
  S_free(run);
  return NULL;
}

static fb_status S_folder(fb_loop *loop, const char *id, bool *ret_there, fb_error *err) {
  char path[4096];
  if ((size_t)snprintf(path, sizeof path, "%s/%s", loop->runs_folder, id) >= sizeof path)
    return fb_fail(err, FB_E_IO, "the folder of runs has too long a path");
  *ret_there = false;
  if (mkdir(path, 0700) == 0) return FB_OK;
  *ret_there = errno == EEXIST;
  return *ret_there ? FB_OK : fb_fail(err, FB_E_IO, "cannot make %s: %s", path, strerror(errno));
}

fb_status fb_loop_runs_start(fb_loop *loop, const char *id, fb_slice name, fb_slice inputs,
                             bool resume, fb_error *err) {
  bool there;
  const fb_mission *mission = fb_project_mission(loop->project, name);
  if (!mission)
    return fb_fail(err, FB_E_PROJECT_UNKNOWN, "the project has no mission `%.*s`",
                   (int)(name.len < 80 ? name.len : 80), name.ptr);
  fb_status status = S_folder(loop, id, &there, err);
  if (status) return status;
  if (there && !resume) return FB_OK; /* it was started before */
  fb_loop_run *run = S_new(loop, id, name, inputs, mission);
  if (!run) return fb_fail(err, FB_E_NOMEM, "out of memory");
  run->resumed = resume;
  pthread_mutex_lock(&loop->lock);
  run->next = loop->runs;
  loop->runs = run;
  pthread_mutex_unlock(&loop->lock);
  fb_keep_log_run(loop, run, false);
  if (pthread_create(&run->thread, NULL, S_thread, run) == 0) {
    loop->running++;
    return FB_OK;
  }
  pthread_mutex_lock(&loop->lock);
  loop->runs = run->next;
  pthread_mutex_unlock(&loop->lock);
  S_free(run);
  return fb_fail(err, FB_E_NOMEM, "a thread for the run cannot be started");
}

static void S_reaped(fb_loop *loop, fb_loop_run *run) {
  pthread_join(run->thread, NULL);
  loop->running--;
  if (run->status != FB_MISSION_CANCELLED || !loop->stop) fb_keep_log_run(loop, run, true);
  fb_loop_say(loop, run->status == FB_MISSION_OK ? FB_LOG_INFO : FB_LOG_WARN, "a run ended", "run",
              run->id, "state", fb_mission_status_name(run->status));
  if (run->error[0])
    fb_loop_say(loop, FB_LOG_WARN, "a run failed", "run", run->id, "error", run->error);
  S_free(run);
}

void fb_loop_runs_reap(fb_loop *loop) {
  for (;;) {
    pthread_mutex_lock(&loop->lock);
    fb_loop_run **at = &loop->runs;
    while (*at && !(*at)->ended) at = &(*at)->next;
    fb_loop_run *run = *at;
    if (run) *at = run->next;
    pthread_mutex_unlock(&loop->lock);
    if (!run) return;
    S_reaped(loop, run);
  }
}

void fb_loop_runs_cancel(fb_loop *loop) {
  pthread_mutex_lock(&loop->lock);
  for (fb_loop_run *run = loop->runs; run; run = run->next)
    if (run->cancel) uv_async_send(run->cancel);
  pthread_mutex_unlock(&loop->lock);
}
