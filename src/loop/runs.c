/* SPDX-License-Identifier: Apache-2.0
 * The folder of runs, and what people do to a run that no process works on. */
#include "loop/runs.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

const char *fb_run_standing_name(fb_run_standing standing) {
  static const char *const names[] = {"running", "interrupted", "waiting",  "ok",
                                      "failed",  "timeout",     "cancelled"};
  return names[standing];
}

fb_run_standing fb_run_standing_of(fb_mission_status status, bool held) {
  if (held) return FB_RUN_RUNNING;
  switch (status) {
    case FB_MISSION_OK: return FB_RUN_OK;
    case FB_MISSION_FAILED: return FB_RUN_FAILED;
    case FB_MISSION_TIMEOUT: return FB_RUN_TIMEOUT;
    case FB_MISSION_CANCELLED: return FB_RUN_CANCELLED;
    case FB_MISSION_WAITING: return FB_RUN_WAITING;
    default: return FB_RUN_INTERRUPTED;
  }
}

/* ── The folder ──────────────────────────────────────────────────────────────────────────────── */

bool fb_run_make_folder(const char *path) {
  char own[4096];
  size_t size = strlen(path) + 1;
  if (size > sizeof own) return false;
  memcpy(own, path, size);
  for (char *at = own + 1; *at; at++) {
    if (*at != '/') continue;
    *at = 0;
    mkdir(own, 0777);
    *at = '/';
  }
  return (mkdir(own, 0700) == 0 || errno == EEXIST) && access(own, W_OK | X_OK) == 0;
}

const char *fb_run_cache_of(const char *runs, fb_arena *arena) {
  const char *slash = strrchr(runs, '/');
  const char *path = fb_arena_printf(arena, "%.*scache", slash ? (int)(slash + 1 - runs) : 0, runs);
  return path && (mkdir(path, 0700) == 0 || errno == EEXIST) ? path : NULL;
}

bool fb_run_place_set(const char *runs, const char *id, fb_arena *arena, fb_run_place *ret_place) {
  snprintf(ret_place->id, sizeof ret_place->id, "%s", id);
  ret_place->folder = fb_arena_printf(arena, "%s/%s", runs, id);
  ret_place->journal = fb_arena_printf(arena, "%s/%s/journal", runs, id);
  ret_place->lease = fb_arena_printf(arena, "%s/%s/lease", runs, id);
  return ret_place->folder && ret_place->journal && ret_place->lease;
}

void fb_run_make_id(char out[64]) {
  const fb_clock *clock = fb_clock_system();
  char time[FB_TIME_TEXT_MAX];
  int64_t now = clock->wall(clock->context);
  size_t at = 0, length = fb_time_format(now / 1000000000, 0, time);
  for (size_t i = 0; i < length && at < 40; i++)
    if (time[i] != '-' && time[i] != ':') out[at++] = time[i];
  snprintf(out + at, 64 - at, "-%03x%05x", (unsigned)(now % 1000000000 / 1000000),
           (unsigned)(fb_random_seed_system() & 0xfffff));
}

/* 20261130T105522Z-… */
int64_t fb_run_id_time(const char *id) {
  char text[24];
  int64_t seconds;
  uint32_t nanos;
  if (strlen(id) < 16 || id[8] != 'T' || id[15] != 'Z') return 0;
  snprintf(text, sizeof text, "%.4s-%.2s-%.2sT%.2s:%.2s:%.2sZ", id, id + 4, id + 6, id + 9, id + 11,
           id + 13);
  return fb_time_parse(fb_slice_of(text), &seconds, &nanos) ? seconds : 0;
}

static int S_newest_first(const void *a, const void *b) {
  return strcmp(*(const char *const *)b, *(const char *const *)a);
}

static bool S_push(fb_arena *arena, const char ***ids, size_t *count, size_t *cap,
                   const char *name) {
  if (*count == *cap) {
    size_t more = *cap ? *cap * 2 : 64;
    const char **larger = fb_arena_alloc(arena, more * sizeof *larger);
    if (!larger) return false;
    if (*count) memcpy(larger, *ids, *count * sizeof *larger);
    *ids = larger;
    *cap = more;
  }
  (*ids)[*count] = fb_arena_text(arena, fb_slice_of(name));
  return (*ids)[(*count)++] != NULL;
}

bool fb_run_ids(const char *runs, fb_arena *arena, const char *const **ret_ids, size_t *ret_count) {
  const char **ids = NULL;
  size_t count = 0, cap = 0;
  bool good = true;
  DIR *folder = opendir(runs);
  for (struct dirent *entry; folder && good && (entry = readdir(folder));)
    if (entry->d_name[0] != '.' && strlen(entry->d_name) < 64)
      good = S_push(arena, &ids, &count, &cap, entry->d_name);
  if (folder) closedir(folder);
  if (count) qsort(ids, count, sizeof *ids, S_newest_first);
  *ret_ids = ids;
  *ret_count = count;
  return good;
}

bool fb_run_step_path(const char *text, fb_slice *ret_scope, fb_slice *ret_step,
                      uint32_t *ret_item) {
  const char *slash = strrchr(text, '/'), *step = slash ? slash + 1 : text;
  size_t length = strcspn(step, ".[");
  *ret_scope = (fb_slice){text, (size_t)(step - text)};
  *ret_step = (fb_slice){step, length};
  *ret_item = FB_NO_ITEM;
  if (length == 0 || !step[length]) return length > 0;
  char *end;
  errno = 0;
  const char *digits = step + length + 1;
  unsigned long item = strtoul(digits, &end, 10);
  if (end == digits || errno || item >= FB_NO_ITEM) return false;
  *ret_item = (uint32_t)item;
  return step[length] == '[' ? end[0] == ']' && !end[1] : !*end;
}

/* ── Lease and journal ───────────────────────────────────────────────────────────────────────── */

fb_status fb_run_lease(const fb_run_place *place, fb_lease **ret_lease, fb_error *err) {
  char holder[400], host[256] = "?";
  if (gethostname(host, sizeof host - 1) != 0) snprintf(host, sizeof host, "?");
  int length = snprintf(holder, sizeof holder, "pid %ld on %s", (long)getpid(), host);
  return fb_lease_take(place->lease, (fb_slice){holder, (size_t)length}, NULL, ret_lease, err);
}

fb_status fb_run_open(const fb_run_place *place, bool read_only, bool damaged_ok,
                      fb_journal **ret_journal, fb_error *err) {
  const fb_clock *clock = fb_clock_system();
  fb_journal_log_options options = {.salt = fb_random_seed_system(),
                                    .created = clock->wall(clock->context),
                                    .read_only = read_only,
                                    .damaged_ok = damaged_ok};
  return fb_journal_log_open(place->journal, &options, NULL, ret_journal, err);
}

fb_status fb_run_append(fb_journal *journal, fb_event *event, fb_value payload, fb_error *err) {
  const fb_clock *clock = fb_clock_system();
  fb_buf buf;
  fb_buf_init(&buf, NULL, 0);
  fb_status status = fb_value_pack(&buf, payload);
  if (status) fb_fail(err, status, "out of memory");
  event->wall = clock->wall(clock->context);
  event->payload = fb_buf_slice(&buf);
  if (!status) status = journal->append(journal->context, event, err);
  if (!status && journal->seal(journal->context)) status = journal->commit(journal->context, err);
  fb_buf_release(&buf);
  return status;
}

/* ── How it stands ───────────────────────────────────────────────────────────────────────────── */

typedef struct S_peek {
  fb_run_row *row;
  fb_mission_status status;
  fb_arena *arena;
} S_peek;

static void S_see(void *user, const fb_event *event) {
  S_peek *peek = user;
  fb_value payload = fb_null();
  if (!peek->row->any) {
    peek->row->any = true;
    peek->row->started = event->wall;
    fb_arena_mark mark = fb_arena_save(peek->arena);
    if (event->payload.len &&
        fb_value_unpack(event->payload, peek->arena, &payload, NULL) == FB_OK &&
        payload.kind == FB_MAP) {
      const fb_value *name = fb_map_get_text(payload.as.map, FB_SLICE("mission"));
      if (name && name->kind == FB_STRING)
        snprintf(peek->row->mission, sizeof peek->row->mission, "%s", name->as.text);
    }
    fb_arena_rewind(peek->arena, mark);
  }
  bool ended = event->kind == FB_EVENT_RUN_ENDED;
  peek->status = ended ? (fb_mission_status)event->status : FB_MISSION_GOING;
  peek->row->ended = ended ? event->wall : 0;
}

bool fb_run_look(const char *runs, const char *id, fb_arena *arena, fb_run_row *row) {
  fb_run_place place;
  *row = (fb_run_row){.id = id};
  S_peek peek = {row, FB_MISSION_GOING, arena};
  if (!fb_run_place_set(runs, id, arena, &place)) return false;
  bool held = fb_lease_held(place.lease, NULL);
  if (fb_journal_log_peek(place.journal, NULL, S_see, &peek, NULL) != FB_OK) {
    if (!held) return false;
  }
  if (!row->any) row->started = fb_run_id_time(id) * 1000000000; /* it has only just begun */
  row->standing = fb_run_standing_of(peek.status, held);
  return true;
}

/* ── What it is to do ────────────────────────────────────────────────────────────────────────── */

static bool S_put(fb_map *map, fb_arena *arena, const char *key, fb_value value) {
  return fb_map_put(map, arena, fb_string(fb_slice_of(key)), value, NULL);
}

static fb_map *S_plan_step(const fb_mission *mission, uint32_t number, fb_arena *arena) {
  fb_step_info info, other;
  fb_map *map = fb_map_new(arena, 5);
  fb_mission_step(mission, number, &info);
  fb_list *needs = fb_list_new(arena, info.need_count);
  bool good = map && needs;
  for (uint32_t i = 0; good && i < info.need_count; i++) {
    fb_mission_step(mission, info.needs[i], &other);
    good = fb_list_push(needs, arena, fb_string(other.id));
  }
  good = good && S_put(map, arena, "id", fb_string(info.id)) &&
         S_put(map, arena, "tool", fb_string(fb_slice_of(info.tool->key))) &&
         S_put(map, arena, "needs", fb_list_value(needs));
  if (good && info.phase == FB_PHASE_FINALLY)
    good = S_put(map, arena, "phase", fb_string(FB_SLICE("finally")));
  return good ? map : NULL;
}

bool fb_run_plan(const fb_mission *mission, fb_arena *arena, fb_value *ret_plan) {
  uint32_t count = fb_mission_steps(mission);
  fb_list *list = fb_list_new(arena, count);
  bool good = list != NULL;
  for (uint32_t i = 0; good && i < count; i++) {
    fb_step_info info;
    fb_mission_step(mission, i, &info);
    if (info.undoes) continue; /* it has the id of what it undoes */
    fb_map *step = S_plan_step(mission, i, arena);
    good = step && fb_list_push(list, arena, fb_map_value(step));
  }
  *ret_plan = good ? fb_list_value(list) : fb_null();
  return good;
}

/* ── What people do ──────────────────────────────────────────────────────────────────────────── */

static const fb_past_step *S_find(const fb_past *past, const fb_event *event) {
  for (uint32_t i = 0; i < past->step_count; i++) {
    const fb_past_step *step = &past->steps[i];
    if (step->phase == FB_PHASE_MAIN && fb_slice_equal(step->scope, event->scope) &&
        fb_slice_equal(step->id, event->step) && step->item == event->item)
      return step;
  }
  return NULL;
}

static fb_status S_no_step(const char *name, fb_error *err) {
  fb_fail(err, FB_E_RUN_STATE, "`%s` is no step", name);
  fb_error_hint(err, "as in build, each.3 or fix.3/build");
  return FB_E_RUN_STATE;
}

/* Whether the word fits how the step stands. */
static fb_status S_fits(const fb_past *past, const fb_event *event, const fb_run_word *word,
                        fb_error *err) {
  const fb_past_step *step = S_find(past, event);
  bool doubt = step && step->status == FB_STEP_RUNNING;
  bool waits = step && step->status == FB_STEP_WAITING && !step->inside;
  bool approved = strcmp(word->decision, "approved") == 0;
  bool about_effect = strcmp(word->decision, "done") == 0 || strcmp(word->decision, "again") == 0;
  if (!doubt && !waits) {
    fb_fail(err, FB_E_RUN_STATE, "the step `%s` does not wait for a decision", word->step);
    fb_error_hint(err, "`flyball show RUN` tells which do");
    return FB_E_RUN_STATE;
  }
  if (doubt && approved) {
    fb_fail(err, FB_E_RUN_STATE, "the effect of the step `%s` is not known", word->step);
    fb_error_hint(err, "say `done` if it had it, `again` to run it once more, or reject it");
    return FB_E_RUN_STATE;
  }
  if (waits && about_effect)
    return fb_fail(err, FB_E_RUN_STATE, "the step `%s` waits for approval: it was not begun",
                   word->step);
  return FB_OK;
}

fb_status fb_run_word_fits(const fb_past *past, const fb_run_word *word, fb_error *err) {
  fb_event event = {.item = FB_NO_ITEM};
  if (!fb_run_step_path(word->step, &event.scope, &event.step, &event.item))
    return S_no_step(word->step, err);
  return S_fits(past, &event, word, err);
}

fb_status fb_run_word_value(const fb_run_word *word, fb_arena *arena, fb_value *ret_value,
                            fb_error *err) {
  const fb_clock *clock = fb_clock_system();
  int64_t now = clock->wall(clock->context);
  fb_map *map = fb_map_new(arena, 5);
  bool good = map && word->who &&
              S_put(map, arena, "decision", fb_string(fb_slice_of(word->decision))) &&
              S_put(map, arena, "by", fb_string(fb_slice_of(word->who))) &&
              S_put(map, arena, "at", fb_timestamp(now / 1000000000, (uint32_t)(now % 1000000000)));
  if (good && word->note) good = S_put(map, arena, "note", fb_string(fb_slice_of(word->note)));
  if (good && word->output.kind != FB_ABSENT) good = S_put(map, arena, "output", word->output);
  if (!good) return fb_fail(err, FB_E_NOMEM, "out of memory");
  *ret_value = fb_map_value(map);
  return FB_OK;
}

fb_status fb_run_decide(fb_journal *journal, const fb_past *past, const fb_run_word *word,
                        fb_arena *arena, fb_error *err) {
  fb_event event = {.kind = FB_EVENT_DECIDED, .item = FB_NO_ITEM, .code = -1};
  fb_value value;
  if (!fb_run_step_path(word->step, &event.scope, &event.step, &event.item))
    return S_no_step(word->step, err);
  fb_status status = S_fits(past, &event, word, err);
  if (!status) status = fb_run_word_value(word, arena, &value, err);
  return status ? status : fb_run_append(journal, &event, value, err);
}

static fb_status S_append_by(fb_journal *journal, fb_event *event, const char *who, fb_arena *arena,
                             fb_error *err) {
  fb_map *map = fb_map_new(arena, 2);
  if (!map || !who || !S_put(map, arena, "by", fb_string(fb_slice_of(who))))
    return fb_fail(err, FB_E_NOMEM, "out of memory");
  return fb_run_append(journal, event, fb_map_value(map), err);
}

static bool S_began(const fb_past *past, const fb_event *event) {
  for (uint32_t i = 0; i < past->step_count; i++) {
    const fb_past_step *known = &past->steps[i];
    if (fb_slice_equal(known->scope, event->scope) && fb_slice_equal(known->id, event->step) &&
        (event->item == FB_NO_ITEM || known->item == event->item))
      return true;
  }
  return false;
}

fb_status fb_run_forget(fb_journal *journal, const fb_past *past, const char *from, const char *who,
                        fb_arena *arena, fb_error *err) {
  fb_event event = {.kind = FB_EVENT_RETRY, .item = FB_NO_ITEM, .code = -1};
  if (from &&
      (!fb_run_step_path(from, &event.scope, &event.step, &event.item) || !S_began(past, &event)))
    return fb_fail(err, FB_E_RUN_STATE, "the run has no step `%s` that began", from);
  return S_append_by(journal, &event, who, arena, err);
}

fb_status fb_run_end(fb_journal *journal, const fb_past *past, const char *who, fb_arena *arena,
                     fb_error *err) {
  fb_event event = {
      .kind = FB_EVENT_RUN_ENDED, .status = FB_MISSION_CANCELLED, .item = FB_NO_ITEM, .code = -1};
  if (past->status != FB_MISSION_GOING && past->status != FB_MISSION_WAITING)
    return fb_fail(err, FB_E_RUN_STATE, "it has ended: %s", fb_mission_status_name(past->status));
  return S_append_by(journal, &event, who, arena, err);
}

/* ── Removing ────────────────────────────────────────────────────────────────────────────────── */

static bool S_empty(int folder) {
  int copy = dup(folder);
  DIR *list = copy >= 0 ? fdopendir(copy) : NULL;
  if (!list) {
    if (copy >= 0) close(copy);
    return false;
  }
  for (struct dirent *entry; (entry = readdir(list));)
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
        strcmp(entry->d_name, "lease") != 0)
      unlinkat(folder, entry->d_name, 0);
  closedir(list);
  return true;
}

/* The journal goes first but for the lease: what is left of a removal that was cut off is no run any more. */
bool fb_run_remove(const fb_run_place *place) {
  fb_lease *lease = NULL;
  if (fb_lease_take(place->lease, FB_SLICE("removal"), NULL, &lease, NULL)) return false;
  unlink(place->journal);
  DIR *folder = opendir(place->folder);
  bool good = folder && S_empty(dirfd(folder));
  if (folder) closedir(folder);
  unlink(place->lease);
  fb_lease_release(lease);
  return good && rmdir(place->folder) == 0;
}

/* It has ended, for good. */
static bool S_may_go(const char *runs, const char *id, fb_arena *arena) {
  fb_run_row row;
  return fb_run_look(runs, id, arena, &row) && row.any && row.standing >= FB_RUN_OK;
}

size_t fb_run_prune(const char *runs, size_t keep, int64_t age, fb_arena *arena) {
  const fb_clock *clock = fb_clock_system();
  const char *const *ids;
  size_t count, removed = 0;
  int64_t before = age ? (clock->wall(clock->context) - age) / 1000000000 : 0;
  if (!fb_run_ids(runs, arena, &ids, &count)) return 0;
  for (size_t i = count; i-- > 0;) {
    fb_run_place place;
    bool many = keep && i >= keep, old = fb_run_id_time(ids[i]) < before;
    if (!many && !old) break; /* all that follow are newer */
    if (fb_run_place_set(runs, ids[i], arena, &place) && S_may_go(runs, ids[i], arena) &&
        fb_run_remove(&place))
      removed++;
  }
  return removed;
}
