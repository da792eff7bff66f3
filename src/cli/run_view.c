/* SPDX-License-Identifier: Apache-2.0
 * Progress, events and the final table of `flyball run`. */
#include "cli/run_view.h"

#include <flyball/data.h>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { MOST_ROWS = 30, MOST_SUMMARY = 40, MOST_WIDTH = 400 };

static const char *S_status_text(fb_step_status status) {
  return status == FB_STEP_PENDING ? "" : fb_step_status_name(status);
}

static const char *S_colour(fb_step_status status) {
  switch (status) {
    case FB_STEP_OK: return "32";
    case FB_STEP_FAILED:
    case FB_STEP_TIMEOUT: return "31";
    case FB_STEP_RUNNING: return "36";
    case FB_STEP_WAITING:
    case FB_STEP_CANCELLED: return "33";
    default: return "2";
  }
}

static void S_send(fb_buf *text) {
  size_t at = 0;
  while (at < text->len) {
    ssize_t put = write(STDERR_FILENO, text->ptr + at, text->len - at);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) break;
    at += (size_t)put;
  }
  fb_buf_release(text);
}

/* "build", "undo build" */
static fb_slice S_name(const fb_step_info *info, char *out, size_t size) {
  snprintf(out, size, "%s%.*s", info->undoes ? "undo " : "", (int)info->id.len, info->id.ptr);
  return fb_slice_of(out);
}

/* What undoes is only of interest once it is done. */
static bool S_shown(const fb_step_info *info, const fb_step_state *state) {
  return !info->undoes || state->started;
}

/* ── Events ──────────────────────────────────────────────────────────────────────────────────── */

static void S_wall(fb_buf *out, int64_t wall) {
  char text[FB_TIME_TEXT_MAX];
  size_t length =
      fb_time_format(wall / 1000000000, (uint32_t)(wall % 1000000000) / 1000000 * 1000000, text);
  fb_buf_printf(out, ",\"time\":\"%.*s\"", (int)length, text);
}

static void S_json_end(fb_buf *out, const fb_mission_event *event, fb_step_status status) {
  fb_buf_printf(out, ",\"status\":\"%s\",\"seconds\":%.6f", fb_step_status_name(status),
                (double)event->duration / 1e9);
  if (event->exit_code >= 0) fb_buf_printf(out, ",\"exit\":%d", event->exit_code);
  if (event->signal) fb_buf_printf(out, ",\"signal\":%d", event->signal);
  if (event->note) {
    fb_buf_text(out, ",\"note\":");
    fb_json_write_text(out, fb_slice_of(event->note), FB_JSON_COMPACT);
  }
  if (event->error) {
    fb_buf_text(out, ",\"error\":");
    fb_error_json(event->error, out);
  }
}

static void S_json_event(fb_run_view *view, const fb_mission_event *event) {
  static const char *const types[] = {"run.started",   "step.started", "item.finished",
                                      "step.finished", "run.finished", "attempt.failed",
                                      "fact",          "step.waiting"};
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  fb_buf_printf(&out, "{\"type\":\"flyball.%s.v1\"", types[event->kind]);
  S_wall(&out, event->wall);
  fb_buf_text(&out, ",\"run\":");
  fb_json_write_text(&out, fb_slice_of(view->id), FB_JSON_COMPACT);
  if (event->scope[0]) {
    fb_buf_text(&out, ",\"scope\":");
    fb_json_write_text(&out, fb_slice_of(event->scope), FB_JSON_COMPACT);
  }
  if (event->kind == FB_MISSION_EVENT_RUN_STARTED) {
    fb_buf_text(&out, ",\"mission\":");
    const fb_mission *mission = fb_mission_run_mission(event->run);
    fb_json_write_text(&out, fb_mission_name(mission), FB_JSON_COMPACT);
    fb_buf_printf(&out, ",\"steps\":%u", fb_mission_steps(mission));
  } else if (event->kind == FB_MISSION_EVENT_RUN_FINISHED) {
    fb_buf_printf(&out, ",\"status\":\"%s\",\"seconds\":%.6f,\"outputs\":",
                  fb_mission_status_name(fb_mission_run_state(event->run)),
                  (double)event->duration / 1e9);
    fb_json_write(&out, fb_mission_run_outputs(event->run), FB_JSON_COMPACT);
    if (event->error) {
      fb_buf_text(&out, ",\"error\":");
      fb_error_json(event->error, &out);
    }
  } else {
    fb_step_info info;
    fb_mission_step(fb_mission_run_mission(event->run), event->step, &info);
    fb_buf_text(&out, ",\"step\":");
    fb_json_write_text(&out, info.id, FB_JSON_COMPACT);
    if (info.phase != FB_PHASE_MAIN)
      fb_buf_printf(&out, ",\"phase\":\"%s\"", info.undoes ? "undo" : "finally");
    bool attempt = event->kind == FB_MISSION_EVENT_ATTEMPT_FAILED;
    if (event->kind == FB_MISSION_EVENT_ITEM_FINISHED || (attempt && event->item != FB_NO_ITEM))
      fb_buf_printf(&out, ",\"item\":%u", event->item);
    if (attempt)
      fb_buf_printf(&out, ",\"attempt\":%u,\"wait\":%.6f", event->attempt,
                    (double)event->wait / 1e9);
    if (event->kind == FB_MISSION_EVENT_FACT) {
      fb_buf_text(&out, ",\"fact\":");
      fb_json_write(&out, *event->fact, FB_JSON_COMPACT);
    } else if (event->kind == FB_MISSION_EVENT_STEP_WAITING) {
      fb_buf_text(&out, ",\"waits_for\":");
      fb_json_write_text(&out, fb_slice_of(event->error ? event->error->text : ""),
                         FB_JSON_COMPACT);
    } else if (event->kind != FB_MISSION_EVENT_STEP_STARTED) {
      S_json_end(&out, event, event->status);
    }
  }
  fb_buf_text(&out, "}\n");
  fb_out_buf(view->cli, &out);
  fb_out_flush(view->cli);
  fb_buf_release(&out);
}

/* "fix.3/build" */
static void S_event_name(const fb_mission_event *event, const fb_step_info *info, char *out,
                         size_t size) {
  int at = snprintf(out, size, "%.190s", event->scope);
  S_name(info, out + at, size - (size_t)at);
}

static void S_attempt_line(fb_run_view *view, const fb_mission_event *event) {
  fb_step_info info;
  char wait[FB_TIME_TEXT_MAX + 1], name[340];
  fb_mission_step(fb_mission_run_mission(event->run), event->step, &info);
  S_event_name(event, &info, name, sizeof name);
  size_t length = fb_duration_format(event->wait / 1000000 * 1000000, wait);
  const char *why = event->error ? event->error->text : "not yet";
  if (event->attempt)
    fb_cli_note(view->cli, "%s: attempt %u: %s; again in %.*s", name, event->attempt, why,
                (int)length, wait);
  else
    fb_cli_note(view->cli, "%s: %s; again in %.*s", name, why, (int)length, wait);
}

static void S_line_event(fb_run_view *view, const fb_mission_event *event) {
  fb_step_info info;
  char took[FB_TIME_TEXT_MAX + 1], name[340];
  if (event->kind == FB_MISSION_EVENT_ATTEMPT_FAILED) S_attempt_line(view, event);
  if (event->kind != FB_MISSION_EVENT_STEP_STARTED &&
      event->kind != FB_MISSION_EVENT_STEP_FINISHED && event->kind != FB_MISSION_EVENT_STEP_WAITING)
    return;
  fb_mission_step(fb_mission_run_mission(event->run), event->step, &info);
  S_event_name(event, &info, name, sizeof name);
  if (event->kind == FB_MISSION_EVENT_STEP_STARTED) {
    fb_cli_note(view->cli, "%s: started", name);
    return;
  }
  size_t length = fb_duration_format(event->duration, took);
  bool ran = event->status != FB_STEP_SKIPPED && event->duration > 0;
  const char *more = event->error ? event->error->text : event->note;
  fb_cli_note(view->cli, "%s: %s%s%.*s%s%s", name, fb_step_status_name(event->status),
              ran ? " in " : "", ran ? (int)length : 0, took, more ? ", " : "", more ? more : "");
}

void fb_run_view_event(void *context, const fb_mission_event *event) {
  fb_run_view *view = context;
  bool own = event->scope[0] == 0;
  if (own && event->kind == FB_MISSION_EVENT_STEP_STARTED) view->running++;
  if (own && event->kind == FB_MISSION_EVENT_STEP_WAITING && view->running) view->running--;
  if (own && event->kind == FB_MISSION_EVENT_STEP_FINISHED) {
    fb_step_state state;
    fb_mission_run_step(view->run, event->step, &state);
    if (state.started && view->running) view->running--;
    view->final++;
    if (event->status == FB_STEP_FAILED || event->status == FB_STEP_TIMEOUT) view->failed++;
  }
  if (view->cli->json)
    S_json_event(view, event);
  else if (!view->quiet && !view->cli->terminal_err)
    S_line_event(view, event);
}

/* ── Rows ────────────────────────────────────────────────────────────────────────────────────── */

static void S_terminal_size(uint32_t *ret_columns, uint32_t *ret_rows) {
  struct winsize size;
  *ret_columns = 80;
  *ret_rows = 24;
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0) return;
  if (size.ws_col) *ret_columns = size.ws_col;
  if (size.ws_row) *ret_rows = size.ws_row;
}

/* At most `width` columns of the text, control characters as blanks. A code point counts as one column. */
static void S_cut(fb_buf *out, fb_slice text, uint32_t width) {
  size_t length = fb_utf8_length(text.ptr, text.len), room = length > width ? width - 1 : length;
  if (width == 0) return;
  for (size_t at = 0; at < text.len && room > 0; room--) {
    uint32_t rune;
    int size = fb_utf8_decode(text.ptr + at, text.len - at, &rune);
    if (size <= 0 || rune < ' ' || rune == 0x7f)
      fb_buf_char(out, ' ');
    else
      fb_buf_add(out, text.ptr + at, (size_t)size);
    at += size > 0 ? (size_t)size : 1;
  }
  if (length > width) fb_buf_text(out, "…");
}

static void S_detail(const fb_step_state *state, fb_buf *out) {
  if (state->attempts > 1 && !state->items)
    fb_buf_printf(out, "attempt %u%s", state->attempts, state->error || state->note ? ", " : "");
  if (state->items)
    fb_buf_printf(out, "%u of %u%s", state->items_done, state->items,
                  state->error || state->note ? ", " : "");
  if (state->items && state->items_failed && !state->error)
    fb_buf_printf(out, "%u failed", state->items_failed);
  if (state->error)
    fb_buf_text(out, state->error->text);
  else if (state->note)
    fb_buf_text(out, state->note);
}

typedef struct S_table {
  fb_run_view *view;
  const fb_mission_run *run; /* the one at hand, which may be within another */
  uint32_t depth;
  const char *prefix;         /* of the names of its files: "fix.3." */
  const char *item;           /* "3/": of which item it is */
  uint32_t id_width, columns; /* columns 0: no limit */
  int64_t now;
  bool colour;
} S_table;

static uint32_t S_id_width(const fb_run_view *view) {
  uint32_t width = 4;
  for (uint32_t i = 0; i < fb_mission_steps(view->mission) && i < 1000; i++) {
    fb_step_info info;
    fb_mission_step(view->mission, i, &info);
    fb_step_state state;
    fb_mission_run_step(view->run, i, &state);
    uint32_t length = (uint32_t)info.id.len + (info.undoes ? 5 : 0);
    if (S_shown(&info, &state) && length > width && length <= 30) width = length;
  }
  return width;
}

/* What a program wrote last, while it runs: its end on disk, without reading the whole. */
static void S_last_line(const S_table *table, const fb_step_info *info, const fb_step_state *state,
                        fb_buf *out) {
  char path[4096], attempt[16] = "", tail[400];
  if (!info->tool->process || info->for_each) return;
  if (state->attempts > 1) snprintf(attempt, sizeof attempt, "@%u", state->attempts);
  int length = snprintf(path, sizeof path, "%s/%s%.*s%s%s.out", table->view->run_dir, table->prefix,
                        (int)info->id.len, info->id.ptr, info->undoes ? ".undo" : "", attempt);
  if (length <= 0 || (size_t)length >= sizeof path) return;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  off_t size = lseek(fd, 0, SEEK_END);
  off_t from = size > (off_t)sizeof tail ? size - (off_t)sizeof tail : 0;
  ssize_t got = pread(fd, tail, sizeof tail, from);
  close(fd);
  size_t end = got > 0 ? (size_t)got : 0;
  while (end && (unsigned char)tail[end - 1] <= ' ') end--;
  size_t start = end;
  while (start && tail[start - 1] != '\n' && tail[start - 1] != '\r') start--;
  while (start < end && (tail[start] & 0xc0) == 0x80) start++; /* within a character */
  fb_buf_add(out, tail + start, end - start);
}

static void S_row(const S_table *table, uint32_t number, fb_buf *out) {
  char name[140];
  fb_step_info info;
  fb_step_state state;
  char took[FB_TIME_TEXT_MAX + 1] = "";
  size_t length = 0;
  fb_mission_step(fb_mission_run_mission(table->run), number, &info);
  fb_mission_run_step(table->run, number, &state);
  int64_t duration = state.status == FB_STEP_RUNNING ? table->now - state.started : state.duration;
  /* While it runs, tenths are enough: more would only flicker. */
  if (state.status == FB_STEP_RUNNING) duration -= duration % 100000000;
  if (state.started) length = fb_duration_format(duration, took);
  fb_buf detail;
  fb_buf_init(&detail, NULL, 0);
  S_detail(&state, &detail);
  if (state.status == FB_STEP_RUNNING && !detail.len) S_last_line(table, &info, &state, &detail);
  fb_buf_repeat(out, ' ', 2 + 2 * table->depth);
  uint32_t room_for_id =
      table->id_width > 2 * table->depth ? table->id_width - 2 * table->depth : 1;
  int at = snprintf(name, sizeof name, "%s", table->item);
  S_name(&info, name + at, sizeof name - (size_t)at);
  S_cut(out, fb_slice_of(name), room_for_id);
  size_t used = fb_utf8_length(name, strlen(name)) + 2 * (size_t)table->depth;
  fb_buf_repeat(out, ' ', used < table->id_width ? table->id_width - used : 0);
  if (table->colour) fb_buf_printf(out, "\x1b[%sm", S_colour(state.status));
  fb_buf_printf(out, "  %-9s", S_status_text(state.status));
  if (table->colour) fb_buf_text(out, "\x1b[0m");
  size_t wide = fb_utf8_length(took, length);
  fb_buf_repeat(out, ' ', wide < 7 ? 2 + 7 - wide : 2);
  fb_buf_add(out, took, length);
  uint32_t before = table->id_width + 2 + 2 + 9 + 2 + 7 + 2;
  if (detail.len) {
    fb_buf_text(out, "  ");
    uint32_t room = table->columns == 0           ? MOST_WIDTH
                    : table->columns > before + 1 ? table->columns - before - 1
                                                  : 0;
    S_cut(out, fb_buf_slice(&detail), room);
  }
  fb_buf_release(&detail);
  while (out->len && out->ptr[out->len - 1] == ' ') out->ptr[--out->len] = 0;
  fb_buf_char(out, '\n');
}

static S_table S_make_table(fb_run_view *view) {
  const fb_clock *clock = fb_clock_system();
  return (S_table){.view = view,
                   .run = view->run,
                   .prefix = "",
                   .item = "",
                   .id_width = S_id_width(view),
                   .now = clock->mono(clock->context),
                   .colour = view->cli->colour_err};
}

static void S_clear(fb_run_view *view, fb_buf *out) {
  if (view->rows) fb_buf_printf(out, "\x1b[%uA\r\x1b[J", view->rows);
  view->rows = 0;
}

/* The steps that are sure to come, and those that undo and have begun. */
static uint32_t S_total(const fb_run_view *view) {
  uint32_t total = 0;
  for (uint32_t i = 0; i < fb_mission_steps(view->mission); i++) {
    fb_step_info info;
    fb_step_state state;
    fb_mission_step(view->mission, i, &info);
    fb_mission_run_step(view->run, i, &state);
    total += S_shown(&info, &state);
  }
  return total;
}

typedef struct S_subs {
  S_table table;
  const char *id;
  bool items;
  fb_buf *out;
  uint32_t *rows, most;
} S_subs;

static void S_sub_rows(void *user, uint32_t item, const fb_mission_run *run);

/* The missions that a step runs now, below its row. */
/* NOLINTNEXTLINE(readability-non-const-parameter): it is written to through `subs` */
static void S_subs_of(const S_table *table, uint32_t number, fb_buf *out, uint32_t *rows,
                      uint32_t most) {
  enum { MOST_DEPTH = 6 };
  fb_step_info info;
  fb_step_state state;
  char id[140];
  fb_mission_step(fb_mission_run_mission(table->run), number, &info);
  fb_mission_run_step(table->run, number, &state);
  if (state.status != FB_STEP_RUNNING || !info.tool->with || table->depth >= MOST_DEPTH) return;
  snprintf(id, sizeof id, "%.*s%s", (int)info.id.len, info.id.ptr, info.undoes ? ".undo" : "");
  S_subs subs = {*table, id, state.items > 0, out, rows, most};
  subs.table.depth++;
  fb_mission_run_subs(table->run, number, S_sub_rows, &subs);
}

static void S_sub_rows(void *user, uint32_t item, const fb_mission_run *run) {
  S_subs *subs = user;
  char prefix[600], number[16] = "";
  S_table table = subs->table;
  if (subs->items) snprintf(number, sizeof number, "%u/", item);
  if (subs->items)
    snprintf(prefix, sizeof prefix, "%.300s%s.%u.", subs->table.prefix, subs->id, item);
  else
    snprintf(prefix, sizeof prefix, "%.300s%s.", subs->table.prefix, subs->id);
  table.run = run;
  table.prefix = prefix;
  table.item = number;
  for (uint32_t i = 0; i < fb_mission_steps(fb_mission_run_mission(run)); i++) {
    fb_step_state state;
    fb_mission_run_step(run, i, &state);
    if (state.status != FB_STEP_RUNNING || *subs->rows >= subs->most) continue;
    S_row(&table, i, subs->out);
    ++*subs->rows;
    S_subs_of(&table, i, subs->out, subs->rows, subs->most);
  }
}

/* All steps if they fit, else those that run; and a line that counts. */
void fb_run_view_tick(void *context) {
  fb_run_view *view = context;
  uint32_t columns, rows, steps = fb_mission_steps(view->mission), total = S_total(view);
  if (view->quiet || view->cli->json || !view->cli->terminal_err) return;
  S_terminal_size(&columns, &rows);
  if (rows < 4 || columns < 24) return;
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  S_clear(view, &out);
  S_table table = S_make_table(view);
  table.columns = columns;
  if (table.id_width > columns / 3) table.id_width = columns / 3;
  uint32_t most = rows - 2 < MOST_ROWS ? rows - 2 : MOST_ROWS;
  bool all = steps <= most;
  for (uint32_t i = 0; i < steps && view->rows < most && steps <= 100000; i++) {
    fb_step_state state;
    fb_mission_run_step(view->run, i, &state);
    fb_step_info info;
    fb_mission_step(view->mission, i, &info);
    if (!all && state.status != FB_STEP_RUNNING) continue;
    if (!S_shown(&info, &state)) continue;
    S_row(&table, i, &out);
    view->rows++;
    S_subs_of(&table, i, &out, &view->rows, most);
  }
  char took[FB_TIME_TEXT_MAX + 1];
  size_t length = fb_duration_format((table.now - view->started) / 100000000 * 100000000, took);
  fb_buf_printf(&out, "%u/%u steps, %.*s\n", view->final, total, (int)length, took);
  view->rows++;
  S_send(&out);
}

/* ── The end ─────────────────────────────────────────────────────────────────────────────────── */

static void S_totals(fb_run_view *view, fb_buf *out) {
  uint32_t counts[FB_STEP_WAITING + 1] = {0};
  char took[FB_TIME_TEXT_MAX + 1];
  const char *between = ": ";
  for (uint32_t i = 0; i < fb_mission_steps(view->mission); i++) {
    fb_step_state state;
    fb_step_info info;
    fb_mission_step(view->mission, i, &info);
    fb_mission_run_step(view->run, i, &state);
    if (S_shown(&info, &state)) counts[state.status]++;
  }
  size_t length = fb_duration_format(fb_mission_run_duration(view->run), took);
  fb_slice name = fb_mission_name(view->mission);
  fb_buf_printf(out, "%.*s%s%s in %.*s", (int)name.len, name.ptr, name.len ? " " : "mission ",
                fb_mission_status_name(fb_mission_run_state(view->run)), (int)length, took);
  for (int status = FB_STEP_OK; status <= FB_STEP_WAITING; status++) {
    if (!counts[status]) continue;
    fb_buf_printf(out, "%s%u %s", between, counts[status],
                  fb_step_status_name((fb_step_status)status));
    between = ", ";
  }
  fb_buf_char(out, '\n');
}

/* The critical path: the steps that decided how long it took, from the one that ended last back, each time to
 * the need that ended last. */

enum { MOST_CRITICAL = 64 };

static int64_t S_end_of(const fb_run_view *view, uint32_t number) {
  fb_step_state state;
  fb_mission_run_step(view->run, number, &state);
  return state.started ? state.started + state.duration : 0;
}

/* Last step first. */
static uint32_t S_critical(const fb_run_view *view, uint32_t path[MOST_CRITICAL]) {
  uint32_t count = 0, at = UINT32_MAX;
  int64_t latest = 0;
  for (uint32_t i = 0; i < fb_mission_steps(view->mission); i++) {
    fb_step_info info;
    fb_mission_step(view->mission, i, &info);
    if (info.phase != FB_PHASE_MAIN || S_end_of(view, i) <= latest) continue;
    latest = S_end_of(view, i);
    at = i;
  }
  while (at != UINT32_MAX && count < MOST_CRITICAL) {
    fb_step_info info;
    fb_mission_step(view->mission, at, &info);
    path[count++] = at;
    at = UINT32_MAX;
    latest = 0;
    for (uint32_t i = 0; i < info.need_count; i++) {
      if (S_end_of(view, info.needs[i]) <= latest) continue;
      latest = S_end_of(view, info.needs[i]);
      at = info.needs[i];
    }
  }
  return count;
}

static void S_write_critical(const fb_run_view *view, fb_buf *out) {
  uint32_t path[MOST_CRITICAL], count = S_critical(view, path);
  if (count < 2) return;
  fb_buf_text(out, "critical path: ");
  for (uint32_t i = count; i-- > 0;) {
    fb_step_info info;
    fb_step_state state;
    char took[FB_TIME_TEXT_MAX + 1];
    fb_mission_step(view->mission, path[i], &info);
    fb_mission_run_step(view->run, path[i], &state);
    size_t length = fb_duration_format(state.duration, took);
    fb_buf_printf(out, "%.*s %.*s%s", (int)info.id.len, info.id.ptr, (int)length, took,
                  i ? " → " : "\n");
  }
}

/* A failure that is only the echo of another one needs no words of its own. */
static bool S_worth_telling(const fb_step_state *state) {
  return state->error && state->status != FB_STEP_SKIPPED && state->status != FB_STEP_CANCELLED &&
         state->status != FB_STEP_WAITING && state->error->code != FB_E_STEP_WAITS &&
         state->error->code != FB_E_STEP_DOUBT;
}

static void S_failures(fb_run_view *view) {
  uint32_t told = 0;
  for (uint32_t i = 0; i < fb_mission_steps(view->mission) && told < 20; i++) {
    fb_step_info info;
    fb_step_state state;
    fb_mission_run_step(view->run, i, &state);
    if (!S_worth_telling(&state)) continue;
    fb_mission_step(view->mission, i, &info);
    fb_error err = *state.error;
    char name[140];
    S_name(&info, name, sizeof name);
    fb_error_prefix(&err, "step `%s`", name);
    const char *path = state.err_path ? state.err_path : state.out_path;
    if (path && !err.hint[0]) fb_error_hint(&err, "what it wrote is in %s", path);
    fb_cli_error(view->cli, &err);
    told++;
  }
  const fb_error *own = fb_mission_run_error(view->run);
  if (own) fb_cli_error(view->cli, own);
}

void fb_run_view_summary(fb_run_view *view) {
  uint32_t steps = fb_mission_steps(view->mission);
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  S_clear(view, &out);
  if (!view->quiet && !view->cli->json) {
    S_table table = S_make_table(view);
    uint32_t rows;
    if (view->cli->terminal_err) S_terminal_size(&table.columns, &rows);
    fb_buf_printf(&out, "\n  %-*s  %-9s  %7s  %s\n", (int)table.id_width, "step", "status", "time",
                  "detail");
    for (uint32_t i = 0; i < steps; i++) {
      fb_step_state state;
      fb_mission_run_step(view->run, i, &state);
      bool quiet = state.status == FB_STEP_OK || state.status == FB_STEP_SKIPPED ||
                   state.status == FB_STEP_CANCELLED;
      fb_step_info info;
      fb_mission_step(view->mission, i, &info);
      if (S_shown(&info, &state) && (steps <= MOST_SUMMARY || !quiet)) S_row(&table, i, &out);
    }
    S_write_critical(view, &out);
    S_totals(view, &out);
  }
  S_send(&out);
  S_failures(view);
}

void fb_run_view_waiting(fb_run_view *view) {
  fb_slice only = {0};
  uint32_t waiting = 0;
  bool doubt = false;
  for (uint32_t i = 0; i < fb_mission_steps(view->mission); i++) {
    fb_step_info info;
    fb_step_state state;
    fb_mission_run_step(view->run, i, &state);
    bool items = state.status == FB_STEP_RUNNING && state.error;
    if (state.status != FB_STEP_WAITING && !items) continue;
    fb_mission_step(view->mission, i, &info);
    fb_cli_note(view->cli, "%.*s waits: %s", (int)info.id.len, info.id.ptr,
                state.error ? state.error->text : "");
    only = info.id;
    doubt = state.error && state.error->code == FB_E_STEP_DOUBT;
    waiting += items ? 2 : 1;
  }
  if (waiting == 1)
    fb_cli_note(view->cli, "decide with: flyball approve %s %.*s%s", view->id, (int)only.len,
                only.ptr, doubt ? " --done (or --again, --reject)" : "");
  else
    fb_cli_note(view->cli, "see flyball show %s, decide with: flyball approve %s STEP", view->id,
                view->id);
}
