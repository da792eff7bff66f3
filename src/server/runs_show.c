/* SPDX-License-Identifier: Apache-2.0
 * How runs stand: out of their journals, and of the threads that work on them. */
#include "server/runs.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MOST_OUTPUT = 4096, MOST_RUNS = 1000, STATES = FB_RUN_CANCELLED + 1 };

/* A step as it is shown: of a for_each, all of its items together. */
typedef struct S_step {
  fb_slice id;
  fb_value plan;                  /* {id, tool, needs, phase?}; null: the plan does not know it */
  const fb_past_step *own, *last; /* itself; the one that says most of it */
  uint32_t items, items_done, items_failed, items_running, attempts;
  fb_step_status status;
  bool doubt;
} S_step;

typedef struct S_view {
  fb_request *request;
  fb_run_place place;
  fb_run_row row;
  fb_past *past; /* NULL: there is no journal yet */
  bool held, queued;
  fb_value plan;
  S_step *steps;
  uint32_t count;
  uint32_t done, failed, running, waiting;
} S_view;

/* ── Gathering ── */

static fb_value S_member(fb_value map, const char *key) {
  const fb_value *value = map.kind == FB_MAP ? fb_map_get_text(map.as.map, fb_slice_of(key)) : NULL;
  return value ? *value : fb_null();
}

static fb_slice S_text(fb_value map, const char *key) {
  fb_value value = S_member(map, key);
  return value.kind == FB_STRING ? fb_value_text(value) : FB_SLICE("");
}

/* Steps of the plan, and room for those that only the journal knows. */
static bool S_plan(S_view *view) {
  fb_arena *arena = &view->request->arena;
  view->plan = view->past ? S_member(view->past->about, "plan") : fb_null();
  uint32_t planned = view->plan.kind == FB_LIST ? view->plan.as.list->len : 0;
  uint32_t most = planned + (view->past ? view->past->step_count : 0);
  view->steps = fb_arena_zero(arena, (most ? most : 1) * sizeof *view->steps);
  for (uint32_t i = 0; view->steps && i < planned; i++) {
    fb_value step = view->plan.as.list->items[i];
    view->steps[view->count++] = (S_step){.id = S_text(step, "id"), .plan = step};
  }
  return view->steps != NULL;
}

static void S_take(S_view *view, S_step *step, const fb_past_step *past) {
  bool running = past->status == FB_STEP_RUNNING;
  if (past->attempts > step->attempts) step->attempts = past->attempts;
  if (!step->last || past->started >= step->last->started) step->last = past;
  if (past->item == FB_NO_ITEM) {
    step->own = past;
    return;
  }
  step->items++;
  step->items_done += past->status == FB_STEP_OK || past->status == FB_STEP_SKIPPED;
  step->items_failed += past->status == FB_STEP_FAILED || past->status == FB_STEP_TIMEOUT;
  step->items_running += running;
}

static void S_settle(S_view *view, S_step *step) {
  if (step->own)
    step->status = step->own->status;
  else if (step->items_running)
    step->status = FB_STEP_RUNNING;
  else if (step->last && step->last->status == FB_STEP_WAITING)
    step->status = FB_STEP_WAITING;
  else if (step->items)
    step->status = view->held ? FB_STEP_RUNNING : FB_STEP_PENDING;
  if (step->status == FB_STEP_RUNNING && !view->held) step->doubt = true;
}

/* What its thread knows and the journal does not: steps without effects are not recorded when they begin. */
static void S_overlay(S_view *view) {
  fb_runner *runner = view->request->server->runner;
  pthread_mutex_lock(&runner->lock);
  const fb_working *working = fb_runner_find(runner, view->place.id);
  view->queued = working && !working->going;
  for (uint32_t i = 0; working && working->status && i < view->count && i < working->step_count;
       i++)
    if (working->status[i] == FB_STEP_RUNNING && view->steps[i].status == FB_STEP_PENDING &&
        view->plan.kind == FB_LIST && view->plan.as.list->len == working->step_count)
      view->steps[i].status = FB_STEP_RUNNING;
  pthread_mutex_unlock(&runner->lock);
}

static void S_count(S_view *view) {
  for (uint32_t i = 0; i < view->count; i++) {
    switch (view->steps[i].status) {
      case FB_STEP_OK: view->done++; break;
      case FB_STEP_SKIPPED: /* by its condition; not because of another's failure */
        view->done += !view->steps[i].own || !view->steps[i].own->error;
        break;
      case FB_STEP_FAILED:
      case FB_STEP_TIMEOUT:
      case FB_STEP_CANCELLED: view->failed++; break;
      case FB_STEP_RUNNING: *(view->steps[i].doubt ? &view->waiting : &view->running) += 1; break;
      case FB_STEP_WAITING: view->waiting++; break;
      case FB_STEP_PENDING: break;
    }
  }
}

static bool S_gather(S_view *view) {
  if (!S_plan(view)) return false;
  uint32_t planned = view->count;
  fb_table known;
  fb_table_init(&known, NULL, view->request->server->seed);
  for (uint32_t i = 0; i < planned; i++) {
    bool added;
    fb_table_slot *slot = fb_table_put(&known, view->steps[i].id, &added);
    if (slot && added) slot->value.number = i;
  }
  for (uint32_t i = 0; view->past && i < view->past->step_count; i++) {
    const fb_past_step *past = &view->past->steps[i];
    bool added = false;
    if (past->scope.len || past->phase == FB_PHASE_CHECK || past->phase == FB_PHASE_UNDO) continue;
    fb_table_slot *slot = fb_table_put(&known, past->id, &added);
    if (!slot) break;
    if (added) {
      slot->value.number = view->count;
      view->steps[view->count++] = (S_step){.id = past->id, .plan = fb_null()};
    }
    S_take(view, &view->steps[slot->value.number], past);
  }
  fb_table_release(&known);
  for (uint32_t i = 0; i < view->count; i++) S_settle(view, &view->steps[i]);
  S_overlay(view);
  S_count(view);
  return true;
}

/* A run that was accepted and has no journal yet. */
static bool S_accepted(S_view *view, const char *id) {
  fb_run_request request;
  fb_error err;
  if (fb_run_request_read(&view->place, &view->request->arena, &request, &err) == FB_OK)
    snprintf(view->row.mission, sizeof view->row.mission, "%s",
             fb_run_request_text(&request, "mission"));
  else
    view->row.mission[0] = 0;
  fb_run_request_release(&request);
  view->row.id = view->place.id;
  view->row.started = fb_run_id_time(id) * 1000000000;
  view->queued = true;
  return view->row.mission[0] != 0;
}

/* False: there is no such run, or no memory. */
static bool S_open(S_view *view, fb_request *request, const char *id) {
  fb_runner *runner = request->server->runner;
  fb_journal *journal;
  fb_error err;
  *view = (S_view){.request = request, .plan = fb_null()};
  if (strlen(id) >= sizeof view->place.id || strchr(id, '/') || id[0] == '.' ||
      !fb_run_place_set(runner->folder, id, &request->arena, &view->place))
    return false;
  view->held = fb_lease_held(view->place.lease, NULL);
  if (!fb_run_look(runner->folder, view->place.id, &request->arena, &view->row) || !view->row.any)
    return S_accepted(view, id) && S_gather(view);
  if (fb_run_open(&view->place, true, true, &journal, &err) != FB_OK) return false;
  bool read = fb_past_read(journal, NULL, &view->past, &err) == FB_OK;
  fb_journal_log_close(journal);
  return read && S_gather(view);
}

static void S_close(S_view *view) {
  fb_past_free(view->past);
}

/* ── Writing ── */

static const char *S_state(const S_view *view) {
  return view->queued ? "queued" : fb_run_standing_name(view->row.standing);
}

static void S_write_head(const S_view *view, fb_buf *out) {
  const fb_clock *clock = fb_clock_system();
  const fb_run_row *row = &view->row;
  bool ended = row->ended && row->standing >= FB_RUN_OK;
  int64_t end = row->ended ? row->ended : clock->wall(clock->context);
  fb_json_member(out, "id", fb_slice_of(view->place.id));
  fb_json_member(out, "mission", fb_slice_of(row->mission));
  fb_json_member(out, "state", fb_slice_of(S_state(view)));
  fb_buf_text(out, ",\"started\":");
  fb_json_time(out, row->started);
  if (ended) {
    fb_buf_text(out, ",\"ended\":");
    fb_json_time(out, row->ended);
  }
  fb_buf_printf(out, ",\"seconds\":%.3f",
                end > row->started ? (double)(end - row->started) / 1e9 : 0.0);
  fb_buf_text(out, ",\"steps\":");
}

static void S_write_counts(const S_view *view, fb_buf *out) {
  fb_buf_printf(out, "{\"total\":%u,\"done\":%u,\"failed\":%u,\"running\":%u,\"waiting\":%u}",
                view->count, view->done, view->failed, view->running, view->waiting);
}

/* The last bytes of a file, from a whole character on. */
static size_t S_tail(const char *path, char *bytes, size_t most) {
  int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0) return 0;
  off_t size = lseek(fd, 0, SEEK_END);
  off_t from = size > (off_t)most ? size - (off_t)most : 0;
  ssize_t got = pread(fd, bytes, most, from);
  close(fd);
  size_t length = got > 0 ? (size_t)got : 0, skip = 0;
  while (from && skip < length && (bytes[skip] & 0xc0) == 0x80) skip++;
  memmove(bytes, bytes + skip, length - skip);
  return length - skip;
}

static void S_write_output(S_view *view, const fb_past_step *past, fb_buf *out) {
  char bytes[MOST_OUTPUT];
  if (past->output.kind != FB_ABSENT) {
    fb_buf value;
    fb_buf_init(&value, NULL, 0);
    fb_json_write(&value, past->output, FB_JSON_COMPACT);
    if (!value.failed && value.len <= MOST_OUTPUT) {
      fb_buf_text(out, ",\"output\":");
      fb_buf_add(out, value.ptr, value.len);
    }
    fb_buf_release(&value);
    return;
  }
  if (!past->out_path) return;
  size_t length = S_tail(past->out_path, bytes, sizeof bytes);
  if (!length) return;
  fb_json_member(out, "output", (fb_slice){bytes, length});
}

/* What a program wrote last, while it runs. */
static void S_write_line(S_view *view, const fb_past_step *past, fb_buf *out) {
  char bytes[400];
  fb_arena *arena = &view->request->arena;
  const char *dir = fb_run_dir_of(view->past, &view->place, arena);
  const char *label = fb_run_label_of(past, arena);
  const char *path = dir && label ? fb_arena_printf(arena, "%s/%s.out", dir, label) : NULL;
  if (path && past->attempts > 1 && access(path, F_OK) != 0)
    path = fb_arena_printf(arena, "%s/%s@%u.out", dir, label, past->attempts);
  size_t end = S_tail(path, bytes, sizeof bytes);
  while (end && (unsigned char)bytes[end - 1] <= ' ') end--;
  size_t start = end;
  while (start && bytes[start - 1] != '\n' && bytes[start - 1] != '\r') start--;
  if (start == end) return;
  fb_json_member(out, "line", (fb_slice){bytes + start, end - start});
}

static void S_write_times(const fb_past_step *past, fb_buf *out) {
  if (past->started) {
    fb_buf_text(out, ",\"started\":");
    fb_json_time(out, past->started);
  }
  if (past->ended) {
    fb_buf_text(out, ",\"ended\":");
    fb_json_time(out, past->ended);
    int64_t took = past->duration                                 ? past->duration
                   : past->started && past->ended > past->started ? past->ended - past->started
                                                                  : 0;
    fb_buf_printf(out, ",\"seconds\":%.6f", (double)took / 1e9);
  }
}

static void S_write_step(S_view *view, const S_step *step, fb_buf *out) {
  fb_value needs = S_member(step->plan, "needs");
  fb_slice tool = S_text(step->plan, "tool"), phase = S_text(step->plan, "phase");
  const fb_past_step *past = step->own ? step->own : step->last;
  fb_buf_char(out, '{');
  fb_json_member(out, "id", step->id);
  fb_json_member(out, "tool", tool);
  fb_buf_text(out, ",\"needs\":");
  if (needs.kind == FB_LIST)
    fb_json_write(out, needs, FB_JSON_COMPACT);
  else
    fb_buf_text(out, "[]");
  if (phase.len) {
    fb_json_member(out, "phase", phase);
  }
  fb_buf_printf(out, ",\"state\":\"%s\",\"attempts\":%u",
                step->doubt ? "doubt" : fb_step_status_name(step->status), step->attempts);
  if (step->items)
    fb_buf_printf(out, ",\"items\":{\"begun\":%u,\"done\":%u,\"failed\":%u,\"running\":%u}",
                  step->items, step->items_done, step->items_failed, step->items_running);
  if (past) {
    S_write_times(past, out);
    if (past->error) {
      fb_json_member(out, "error", fb_slice_of(past->error));
    }
    if (step->status == FB_STEP_RUNNING)
      S_write_line(view, past, out);
    else
      S_write_output(view, past, out);
  }
  fb_buf_char(out, '}');
}

/* What a person must decide: steps that wait, and those whose effect is not known. */
static void S_write_waits(const S_view *view, fb_buf *out) {
  const char *comma = "";
  fb_buf_text(out, ",\"waits\":[");
  for (uint32_t i = 0; view->past && i < view->past->step_count; i++) {
    const fb_past_step *past = &view->past->steps[i];
    bool doubt = past->status == FB_STEP_RUNNING && !view->held && past->phase == FB_PHASE_MAIN;
    if (!doubt && !(past->status == FB_STEP_WAITING && !past->inside)) continue;
    fb_buf path;
    fb_buf_init(&path, NULL, 0);
    fb_past_step_path(past, &path);
    fb_buf_printf(out, "%s{", comma);
    fb_json_member(out, "step", fb_buf_slice(&path));
    fb_buf_text(out, doubt ? ",\"doubt\":true," : ",\"doubt\":false,");
    fb_json_member(out, "for",
                   fb_slice_of(past->waits_for ? past->waits_for
                               : doubt         ? "its effect is not known"
                                               : "a decision"));
    fb_buf_char(out, '}');
    fb_buf_release(&path);
    comma = ",";
  }
  fb_buf_char(out, ']');
}

static void S_write_about(const S_view *view, fb_buf *out) {
  fb_value inputs = S_member(view->past->about, "inputs");
  if (inputs.kind == FB_MAP) {
    fb_buf_text(out, ",\"inputs\":");
    fb_json_write(out, inputs, FB_JSON_COMPACT);
  }
  if (view->past->outputs.kind == FB_MAP) {
    fb_buf_text(out, ",\"outputs\":");
    fb_json_write(out, view->past->outputs, FB_JSON_COMPACT);
  }
  if (view->past->error) {
    fb_json_member(out, "error", fb_slice_of(view->past->error));
  }
  fb_slice by = S_text(view->past->about, "by");
  if (by.len) {
    fb_json_member(out, "by", by);
  }
}

/* ── Routes ── */

static bool S_has_runs(fb_request *request) {
  if (request->server->runner->folder) return true;
  fb_error err;
  fb_fail(&err, FB_E_SERVER_STATE, "the server keeps no runs");
  fb_error_hint(&err, "start it with --state DIR");
  fb_reply_problem(request, 0, &err);
  return false;
}

fb_answered fb_runs_show(fb_request *request) {
  S_view view;
  if (!S_has_runs(request)) return FB_ANSWERED;
  const char *id = fb_arena_text(&request->arena, request->parameters[0]);
  if (!id || !S_open(&view, request, id))
    return fb_reply_fail(request, 0, FB_E_SERVER_UNKNOWN, "there is no such run");
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  fb_buf_text(&out, "{\"type\":\"flyball.run.v1\",");
  S_write_head(&view, &out);
  fb_buf_char(&out, '[');
  for (uint32_t i = 0; i < view.count; i++) {
    if (i) fb_buf_char(&out, ',');
    S_write_step(&view, &view.steps[i], &out);
  }
  fb_buf_text(&out, "],\"counts\":");
  S_write_counts(&view, &out);
  S_write_waits(&view, &out);
  if (view.past) S_write_about(&view, &out);
  fb_buf_text(&out, "}\n");
  S_close(&view);
  return fb_reply_json(request, 200, &out);
}

typedef struct S_list {
  fb_request *request;
  const char *mission, *state, *after;
  uint64_t left;
  bool first;
  fb_buf out;
} S_list;

static bool S_wanted(const S_list *list, const S_view *view) {
  return (!list->mission || !strcmp(list->mission, view->row.mission)) &&
         (!list->state || !strcmp(list->state, S_state(view)));
}

static void S_list_one(S_list *list, const char *id) {
  S_view view;
  fb_arena_mark mark = fb_arena_save(&list->request->arena);
  if (S_open(&view, list->request, id) && S_wanted(list, &view)) {
    fb_buf_text(&list->out, list->first ? "{" : ",{");
    S_write_head(&view, &list->out);
    S_write_counts(&view, &list->out);
    fb_buf_char(&list->out, '}');
    list->first = false;
    list->left--;
  }
  S_close(&view);
  fb_arena_rewind(&list->request->arena, mark);
}

fb_answered fb_runs_list(fb_request *request) {
  S_list list = {.request = request,
                 .mission = fb_request_query(request, "mission"),
                 .state = fb_request_query(request, "state"),
                 .after = fb_request_query(request, "after"),
                 .left = fb_request_number(request, "limit", 50),
                 .first = true};
  const char *const *ids;
  size_t count, at = 0;
  if (!S_has_runs(request)) return FB_ANSWERED;
  if (list.left > MOST_RUNS) list.left = MOST_RUNS;
  if (!fb_run_ids(request->server->runner->folder, &request->arena, &ids, &count))
    return fb_reply_empty(request, 507);
  fb_buf_init(&list.out, NULL, 0);
  fb_buf_text(&list.out, "{\"type\":\"flyball.runs.v1\",\"runs\":[");
  for (; at < count && list.left; at++)
    if (!list.after || strcmp(ids[at], list.after) < 0) S_list_one(&list, ids[at]);
  fb_buf_char(&list.out, ']');
  if (at < count && at) {
    fb_buf_char(&list.out, ',');
    fb_json_member(&list.out, "next", fb_slice_of(ids[at - 1]));
  }
  fb_buf_text(&list.out, "}\n");
  return fb_reply_json(request, 200, &list.out);
}

/* Those that have ended or stand still, by state; members that go on after "queued". */
void fb_runs_states(fb_server *server, fb_buf *out) {
  fb_arena arena;
  const char *const *ids;
  uint32_t counts[STATES] = {0};
  size_t count;
  if (!server->runner->folder) return;
  fb_arena_init(&arena, NULL, 0);
  if (!fb_run_ids(server->runner->folder, &arena, &ids, &count)) count = 0;
  for (size_t i = 0; i < count && i < MOST_RUNS; i++) {
    fb_run_row row;
    if (fb_run_look(server->runner->folder, ids[i], &arena, &row) && row.any)
      counts[row.standing]++;
  }
  for (int i = FB_RUN_INTERRUPTED; i < STATES; i++)
    fb_buf_printf(out, ",\"%s\":%u", fb_run_standing_name((fb_run_standing)i), counts[i]);
  fb_arena_release(&arena);
}

/* ── Logs ── */

enum { AT_ONCE = 64 << 10 };

typedef struct S_logs {
  fb_flow flow;
  fb_run_logs *logs;
  char *lease;
  bool raw, follow, over;
  fb_buf out;
  size_t taken;
} S_logs;

static void S_piece(void *user, const char *step, const char *stream, fb_slice piece) {
  S_logs *logs = user;
  (void)stream;
  if (!logs->raw) {
    fb_buf_text(&logs->out, step);
    fb_buf_text(&logs->out, " | ");
  }
  fb_buf_add(&logs->out, piece.ptr, piece.len);
  if (!logs->raw) fb_buf_char(&logs->out, '\n');
}

static void S_fill_logs(S_logs *logs) {
  fb_error err;
  bool more = true, live = logs->follow && fb_lease_held(logs->lease, NULL);
  fb_buf_clear(&logs->out);
  logs->taken = 0;
  if (fb_run_logs_read(logs->logs, AT_ONCE, S_piece, logs, &more, &err) != FB_OK) more = false;
  if (more || live) return;
  fb_run_logs_rest(logs->logs, S_piece, logs);
  logs->over = true;
}

static size_t S_read_logs(fb_flow *flow, char *bytes, size_t max, bool *ret_end) {
  S_logs *logs = (S_logs *)flow;
  if (logs->taken == logs->out.len && !logs->over) S_fill_logs(logs);
  size_t size = logs->out.failed ? 0 : logs->out.len - logs->taken;
  if (size > max) size = max;
  if (!size) *ret_end = logs->over || logs->out.failed;
  if (size) memcpy(bytes, logs->out.ptr + logs->taken, size);
  logs->taken += size;
  return size;
}

static void S_free_logs(fb_flow *flow) {
  S_logs *logs = (S_logs *)flow;
  fb_run_logs_free(logs->logs);
  fb_buf_release(&logs->out);
  free(logs->lease);
  free(logs);
}

fb_answered fb_runs_logs(fb_request *request) {
  const char *step = fb_request_query(request, "step"),
             *follow = fb_request_query(request, "follow");
  S_view view;
  fb_error err;
  if (!S_has_runs(request)) return FB_ANSWERED;
  const char *id = fb_arena_text(&request->arena, request->parameters[0]);
  bool known = id && S_open(&view, request, id);
  if (!known) return fb_reply_fail(request, 0, FB_E_SERVER_UNKNOWN, "there is no such run");
  S_close(&view);
  S_logs *logs = calloc(1, sizeof *logs);
  if (!logs) return fb_reply_empty(request, 507);
  fb_buf_init(&logs->out, NULL, 0);
  logs->flow = (fb_flow){.read = S_read_logs, .free = S_free_logs, .patient = true};
  logs->raw = step != NULL;
  logs->follow = follow && strcmp(follow, "false") != 0 && strcmp(follow, "0") != 0;
  logs->lease = strdup(view.place.lease);
  fb_status status = logs->lease ? fb_run_logs_new(&view.place, step, false, &logs->logs, &err)
                                 : fb_fail(&err, FB_E_NOMEM, "out of memory");
  if (status == FB_OK) return fb_reply_flow(request, "text/plain; charset=utf-8", &logs->flow);
  S_free_logs(&logs->flow);
  return fb_reply_problem(request, status == FB_E_RUN_STATE ? 404 : 0, &err);
}
