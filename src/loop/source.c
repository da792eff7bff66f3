/* SPDX-License-Identifier: Apache-2.0
 * Sources: each has a timer, and at most one batch in the queue, so that one that is faster than the rules waits by itself. */
#include "loop/engine.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { OUTPUT_MAX = 64 << 20, SCRAPE_MAX = 16 << 20 };

fb_loop_source *fb_source_find(fb_loop *loop, const char *name) {
  for (uint32_t i = 0; i < loop->source_count; i++)
    if (strcmp(loop->sources[i]->name, name) == 0) return loop->sources[i];
  return NULL;
}

/* ── State ───────────────────────────────────────────────────────────────────────────────────── */

static void S_state(fb_loop_source *source, const char *state) {
  bool other = source->state != state;
  source->state = state;
  if (!other) return;
  fb_buf error;
  fb_buf_init(&error, NULL, 0);
  fb_json_write_text(&error, fb_slice_of(source->error), FB_JSON_COMPACT);
  if (!error.failed)
    fb_loop_event(source->loop, "source", "\"name\":\"%s\",\"state\":\"%s\",\"error\":%s",
                  source->name, state, error.ptr);
  fb_buf_release(&error);
}

void fb_source_fail(fb_loop_source *source, const char *text) {
  bool news = strcmp(source->error, text) != 0 || source->state[0] != 'f';
  source->errors++;
  snprintf(source->error, sizeof source->error, "%s", text);
  if (news)
    fb_loop_say(source->loop, FB_LOG_WARN, "a source fails", "source", source->name, "error",
                source->error);
  S_state(source, "failing");
}

void fb_source_good(fb_loop_source *source) {
  source->error[0] = 0;
  S_state(source, "ok");
}

static void S_fired(uv_timer_t *timer);

void fb_source_again(fb_loop_source *source, int64_t nanos) {
  if (source->gone || source->loop->stop) return;
  uv_update_time(source->loop->uv);
  uv_timer_start(&source->timer, S_fired, (uint64_t)((nanos + 999999) / 1000000), 0);
}

void fb_source_give(fb_loop_source *source, fb_slice text, uint32_t flags) {
  const fb_source_plan *plan = source->plan;
  if (!text.len && !(flags & FB_BATCH_REPLACE && source->held_count)) return;
  fb_loop_batch *batch =
      fb_batch_new(text, source->name, plan->parse.type, plan->lifetime, flags | FB_BATCH_OURS);
  if (!batch) {
    fb_source_fail(source, "no memory for what it gave");
    return;
  }
  if (plan->kind == FB_SOURCE_TAIL)
    batch->place = (fb_batch_place){source->read.inode, source->read.offset - source->rest.len};
  source->waiting = true;
  fb_loop_put(source->loop, batch);
}

/* ── Commands ────────────────────────────────────────────────────────────────────────────────── */

static void S_take_output(fb_loop_source *source, fb_slice text) {
  const fb_parse_plan *parse = &source->plan->parse;
  uint32_t flags = 0;
  fb_error err = {0};
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  if (parse->kind == FB_PARSE_JSON) {
    if (fb_records_json(text, source->name, &out, &err)) {
      fb_source_fail(source, err.text);
      fb_buf_release(&out);
      return;
    }
  } else {
    fb_records_lines(parse, text, fb_loop_wall(source->loop), &out, &flags);
  }
  fb_source_good(source);
  if (source->plan->replace) flags |= FB_BATCH_REPLACE;
  if (out.failed)
    fb_source_fail(source, "no memory for what it gave");
  else
    fb_source_give(source, fb_buf_slice(&out), flags);
  fb_buf_release(&out);
}

static void S_forget_output(const fb_process_end *how) {
  if (how->out.path) unlink(how->out.path);
  if (how->err.path) unlink(how->err.path);
}

static void S_release(fb_loop_source *source);

static void S_exited(void *user, const fb_process_end *how) {
  fb_loop_source *source = user;
  const fb_world *world = source->loop->world;
  char text[120];
  fb_error err = {0};
  fb_buf out;
  bool more = false;
  source->process = NULL;
  if (source->gone) {
    S_forget_output(how);
    S_release(source);
    return;
  }
  fb_buf_init(&out, NULL, 0);
  if (source->late || how->code != 0) {
    snprintf(text, sizeof text, source->late ? "it took too long" : "it ended with %s %d",
             how->signal ? "signal" : "exit code", how->signal ? how->signal : how->code);
    fb_source_fail(source, text);
  } else if (how->out.path &&
             world->read(world->context, how->out.path, 0, OUTPUT_MAX, &out, &more, &err)) {
    fb_source_fail(source, err.text);
  } else if (more) {
    fb_source_fail(source, "it wrote more than 64 MiB");
  } else {
    S_take_output(source, fb_buf_slice(&out));
  }
  fb_buf_release(&out);
  S_forget_output(how);
  fb_source_again(source, source->plan->every);
}

static void S_command(fb_loop_source *source) {
  fb_loop *loop = source->loop;
  char label[FB_NAME_MAX + 8];
  fb_error err = {0};
  if (source->process) { /* the timer was its time limit */
    source->late = true;
    loop->world->signal(loop->world->context, source->process, SIGKILL);
    return;
  }
  snprintf(label, sizeof label, "source-%s", source->name);
  fb_process_spec spec = {.argv = source->plan->argv,
                          .env = loop->options.env,
                          .dir = loop->project->folder,
                          .label = label};
  source->late = false;
  if (loop->world->start(loop->world->context, &spec, S_exited, source, &source->process, &err)) {
    fb_source_fail(source, err.text);
    fb_source_again(source, source->plan->every);
    return;
  }
  fb_source_again(source, source->plan->timeout);
}

/* ── Metrics ─────────────────────────────────────────────────────────────────────────────────── */

static void S_take_metrics(fb_loop_source *source, fb_slice text) {
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  fb_records_prometheus(text, source->plan->parse.type, &out);
  if (out.failed) {
    fb_source_fail(source, "no memory for what it gave");
  } else {
    fb_source_good(source);
    fb_source_give(source, fb_buf_slice(&out), source->plan->replace ? FB_BATCH_REPLACE : 0);
  }
  fb_buf_release(&out);
}

static void S_answered(void *user, const fb_http_answer *answer) {
  fb_loop_source *source = user;
  char text[40];
  source->call = NULL;
  if (answer->status) {
    fb_source_fail(source, answer->error->text);
  } else if (answer->code != 200) {
    snprintf(text, sizeof text, "it answered %d", answer->code);
    fb_source_fail(source, text);
  } else {
    S_take_metrics(source, answer->body);
  }
  fb_source_again(source, source->plan->every);
}

static void S_own(fb_loop_source *source) {
  fb_buf text;
  fb_error err = {0};
  fb_buf_init(&text, NULL, 0);
  if (!source->loop->options.metrics)
    fb_source_fail(source, "nothing is measured here");
  else if (fb_metrics_write(source->loop->options.metrics, FB_METRICS_PROMETHEUS, 0, &text, &err))
    fb_source_fail(source, err.text);
  else
    S_take_metrics(source, fb_buf_slice(&text));
  fb_buf_release(&text);
  fb_source_again(source, source->plan->every);
}

static void S_metrics(fb_loop_source *source) {
  const fb_source_plan *plan = source->plan;
  fb_error err = {0};
  if (!plan->url) {
    S_own(source);
    return;
  }
  fb_http *http = fb_loop_http(source->loop, plan->reach, &err);
  fb_http_request request = {
      .url = plan->url, .timeout = plan->timeout, .max_body = SCRAPE_MAX, .proxy = ""};
  if (http && fb_http_send(http, &request, S_answered, source, &source->call, &err) == FB_OK)
    return;
  fb_source_fail(source, err.text);
  fb_source_again(source, plan->every);
}

/* ── Missions ────────────────────────────────────────────────────────────────────────────────── */

static void S_member(fb_buf *out, const char *name, fb_slice text) {
  fb_buf_printf(out, ",\"%s\":", name);
  fb_json_write_text(out, text, FB_JSON_COMPACT);
}

static bool S_describe(fb_buf *out, const fb_mission_event *event, const fb_loop_run *run) {
  fb_step_info info;
  bool of_run =
      event->kind == FB_MISSION_EVENT_RUN_STARTED || event->kind == FB_MISSION_EVENT_RUN_FINISHED;
  bool of_step = event->kind == FB_MISSION_EVENT_STEP_STARTED ||
                 event->kind == FB_MISSION_EVENT_STEP_FINISHED ||
                 event->kind == FB_MISSION_EVENT_STEP_WAITING;
  if (!of_run && !of_step) return false;
  if (of_run && event->scope[0]) return false;
  fb_buf_printf(out, "\"run\":\"%s\"", run->id);
  S_member(out, "mission", fb_slice_of(run->name));
  if (of_run) {
    S_member(out, "state",
             fb_slice_of(event->kind == FB_MISSION_EVENT_RUN_STARTED
                             ? "running"
                             : fb_mission_status_name(fb_mission_run_state(event->run))));
  } else {
    fb_mission_step(fb_mission_run_mission(event->run), event->step, &info);
    fb_buf_printf(out, ",\"step\":\"%s%.*s\"", event->scope, (int)info.id.len, info.id.ptr);
    S_member(out, "state",
             fb_slice_of(event->kind == FB_MISSION_EVENT_STEP_STARTED ? "running"
                         : event->kind == FB_MISSION_EVENT_STEP_WAITING
                             ? "waiting"
                             : fb_step_status_name(event->status)));
    fb_buf_printf(out, ",\"attempt\":%u", event->attempt ? event->attempt : 1);
  }
  if (event->error) S_member(out, "error", fb_slice_of(event->error->text));
  return !out->failed;
}

/* On the run's thread. */
void fb_loop_mission_event(fb_loop *loop, const fb_mission_event *event, fb_loop_run *run) {
  fb_buf data, fact;
  const fb_project *project = run->project;
  fb_buf_init(&data, NULL, 0);
  fb_buf_init(&fact, NULL, 0);
  if (event->kind == FB_MISSION_EVENT_FACT && event->fact) {
    fb_json_write(&fact, *event->fact, FB_JSON_COMPACT);
    fb_buf_char(&fact, '\n');
  } else if (S_describe(&data, event, run)) {
    const char *kind = strstr(data.ptr, "\"step\":") ? "step" : "run";
    fb_loop_event(loop, kind, "%s", data.ptr);
    fb_buf_printf(&fact, "{\"type\":\"%s\",%s}\n", kind, data.ptr);
  }
  for (uint32_t i = 0; fact.len && !fact.failed && i < project->source_count; i++) {
    const fb_source_plan *plan = &project->sources[i];
    char name[FB_NAME_MAX];
    if (plan->kind != FB_SOURCE_MISSIONS) continue;
    snprintf(name, sizeof name, "%.*s", (int)plan->name.len, plan->name.ptr);
    fb_loop_batch *batch =
        fb_batch_new(fb_buf_slice(&fact), name, (fb_slice){0}, plan->lifetime, 0);
    if (batch) fb_loop_put(loop, batch);
  }
  fb_buf_release(&data);
  fb_buf_release(&fact);
}

/* ── All of them ─────────────────────────────────────────────────────────────────────────────── */

static void S_fired(uv_timer_t *timer) {
  fb_loop_source *source = timer->data;
  if (source->waiting && !source->process) return; /* the end of its batch asks again */
  switch (source->plan->kind) {
    case FB_SOURCE_COMMAND: S_command(source); break;
    case FB_SOURCE_TAIL: fb_tail_poll(source); break;
    case FB_SOURCE_WATCH: fb_watch_poll(source); break;
    case FB_SOURCE_METRICS: S_metrics(source); break;
    default: break;
  }
}

static fb_loop_source *S_new(fb_loop *loop, const fb_source_plan *plan) {
  fb_loop_source *source = calloc(1, sizeof *source);
  if (!source) return NULL;
  source->loop = loop;
  source->plan = plan;
  source->fd = -1;
  source->state = "ok";
  snprintf(source->name, sizeof source->name, "%.*s", (int)plan->name.len, plan->name.ptr);
  fb_buf_init(&source->rest, NULL, 0);
  uv_timer_init(loop->uv, &source->timer);
  source->timer.data = source;
  return source;
}

static void S_free(fb_loop_source *source) {
  fb_tail_close(source);
  fb_watch_free(source);
  fb_buf_release(&source->rest);
  free(source->held);
  free(source);
}

static void S_closed(uv_handle_t *handle) {
  S_free(handle->data);
}

static void S_release(fb_loop_source *source) {
  uv_close((uv_handle_t *)&source->timer, S_closed);
}

/* What it gave stays, but for what its next round would have taken the place of. */
static void S_drop(fb_loop_source *source) {
  fb_loop *loop = source->loop;
  source->gone = true;
  for (size_t i = 0; i < source->held_count; i++)
    fb_expiry_add(loop, (fb_expiry){loop->now, source->held[i].fact, source->held[i].book});
  uv_timer_stop(&source->timer);
  if (source->call) fb_http_cancel(source->call);
  source->call = NULL;
  if (source->process)
    loop->world->signal(loop->world->context, source->process, SIGKILL);
  else
    S_release(source);
}

static fb_loop_source *S_kept(fb_loop *loop, const fb_source_plan *plan) {
  for (uint32_t i = 0; i < loop->source_count; i++) {
    fb_loop_source *source = loop->sources[i];
    if (source->plan->kind != plan->kind || !fb_slice_equal(source->plan->text, plan->text))
      continue;
    if (fb_slice_equal(fb_slice_of(source->name), plan->name)) return source;
  }
  return NULL;
}

/* Those that read as before go on; the place in a file is kept by name. */
fb_status fb_sources_set(fb_loop *loop, fb_project *project) {
  uint32_t count = project->source_count;
  fb_loop_source **sources = calloc(count ? count : 1, sizeof *sources);
  if (!sources) return FB_E_NOMEM;
  for (uint32_t i = 0; i < count; i++) {
    const fb_source_plan *plan = &project->sources[i];
    fb_loop_source *kept = S_kept(loop, plan);
    sources[i] = kept ? kept : S_new(loop, plan);
    if (!sources[i]) { /* those that were kept stay in the old list, too */
      free(sources);
      return FB_E_NOMEM;
    }
    fb_loop_source *before = kept ? NULL : fb_source_find(loop, sources[i]->name);
    if (before && before->fd >= 0) sources[i]->place = sources[i]->read = before->place;
    if (!kept && plan->kind != FB_SOURCE_HTTP && plan->kind != FB_SOURCE_MISSIONS)
      fb_source_again(sources[i], 0);
  }
  for (uint32_t i = 0; i < loop->source_count; i++) {
    bool kept = false;
    for (uint32_t k = 0; k < count; k++) kept |= sources[k] == loop->sources[i];
    if (!kept) S_drop(loop->sources[i]);
  }
  for (uint32_t i = 0; i < count; i++) sources[i]->plan = &project->sources[i];
  free(loop->sources);
  loop->sources = sources;
  loop->source_count = count;
  return FB_OK;
}

/* Nothing new is begun. */
void fb_sources_stop(fb_loop *loop) {
  for (uint32_t i = 0; i < loop->source_count; i++) {
    fb_loop_source *source = loop->sources[i];
    uv_timer_stop(&source->timer);
    if (source->call) fb_http_cancel(source->call);
    source->call = NULL;
    if (source->process) loop->world->signal(loop->world->context, source->process, SIGKILL);
  }
}

/* Before the world is freed, which closes their timers. */
void fb_sources_free(fb_loop *loop) {
  for (uint32_t i = 0; i < loop->source_count; i++) S_release(loop->sources[i]);
  free(loop->sources);
  loop->sources = NULL;
  loop->source_count = 0;
}
