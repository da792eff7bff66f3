/* SPDX-License-Identifier: Apache-2.0
 * What clients do to runs: start, cancel, go on, decide, try again. */
#include "server/evaluate.h"
#include "server/runs.h"

#include <flyball/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEEP_RUNS = 10000, MOST_KEY = 200 };

static bool S_has_runs(fb_request *request) {
  if (request->server->runner->folder) return true;
  fb_error err;
  fb_fail(&err, FB_E_SERVER_STATE, "the server keeps no runs");
  fb_error_hint(&err, "start it with --state DIR");
  fb_reply_problem(request, 0, &err);
  return false;
}

/* An empty body is an empty object. False: it is answered. */
static bool S_body(fb_request *request, fb_value *ret_body, const char *const *names,
                   const uint32_t *kinds, size_t count, const fb_value **given) {
  if (request->body.size) {
    if (!fb_evaluate_read(request, ret_body)) return false;
  } else {
    fb_map *none = fb_map_new(&request->arena, 1);
    if (!none) {
      fb_reply_empty(request, 507);
      return false;
    }
    *ret_body = fb_map_value(none);
  }
  return fb_evaluate_keys(request, ret_body, names, kinds, count, given);
}

static void S_accepted(fb_request *request, unsigned code, const char *id) {
  fb_buf out;
  fb_reply_header(request, MHD_HTTP_HEADER_LOCATION,
                  fb_arena_printf(&request->arena, "/v1/runs/%s", id));
  fb_buf_init(&out, NULL, 0);
  fb_buf_text(&out, "{\"type\":\"flyball.run.v1\",");
  fb_json_member(&out, "id", fb_slice_of(id));
  fb_buf_text(&out, "}\n");
  fb_reply_json(request, code, &out);
}

/* ── Start ── */

/* Whether the mission can be started with these inputs. False: it is answered. */
static bool S_check(fb_request *request, const fb_edition *version, const fb_map *inputs) {
  fb_run_parts parts;
  fb_errors errors;
  fb_mission_run *run = NULL;
  fb_errors_init(&errors, NULL, 0);
  fb_status status = fb_run_parts_load((fb_slice){version->text, version->length}, version->file,
                                       version->folder, NULL, &parts, &errors);
  fb_mission_run_options options = {
      .secrets = FB_SECRETS_HIDE, .inputs = inputs, .hash_seed = request->server->seed};
  if (status == FB_OK)
    status = fb_mission_run_new(parts.mission, parts.world, &options, NULL, &run, &errors);
  fb_mission_run_free(run);
  fb_run_parts_free(&parts);
  if (status != FB_OK) fb_reply_problems(request, 422, &errors);
  fb_errors_release(&errors);
  return status == FB_OK;
}

static void S_write_request(fb_request *request, fb_slice name, const fb_edition *version,
                            const fb_map *inputs, fb_slice key, fb_buf *out) {
  const fb_clock *clock = fb_clock_system();
  fb_buf_char(out, '{');
  fb_json_member(out, "mission", name);
  fb_json_member(out, "hash", fb_slice_of(version->hash));
  fb_json_member(out, "file", fb_slice_of(version->file));
  fb_json_member(out, "folder", fb_slice_of(version->folder));
  fb_json_member(out, "by", fb_request_who(request));
  fb_json_member(out, "key", key);
  fb_buf_text(out, ",\"at\":");
  fb_json_time(out, clock->wall(clock->context));
  fb_buf_text(out, ",\"inputs\":");
  fb_json_write(out, fb_map_value(inputs), FB_JSON_CANONICAL);
  fb_buf_text(out, "}\n");
}

static const char *S_key_path(fb_request *request, fb_slice mission, fb_slice key) {
  uint8_t digest[FB_DIGEST_SIZE];
  char hex[2 * FB_DIGEST_SIZE + 1];
  fb_digester digester;
  fb_digest_begin(&digester);
  fb_digest_add(&digester, mission);
  fb_digest_add(&digester, (fb_slice){"", 1}); /* no name has a NUL in it */
  fb_digest_add(&digester, key);
  fb_digest_end(&digester, digest);
  fb_hex(digest, sizeof digest, hex);
  return fb_state_path(request->server, &request->arena, "keys/%s", hex);
}

/* The id that the key stands for: that of an earlier request, else `id`, which it then stands for. False: it is answered. */
static bool S_key(fb_request *request, const char *path, char id[64]) {
  fb_buf known;
  fb_error err;
  fb_buf_init(&known, NULL, 0);
  fb_status status = path ? fb_state_read(path, 63, &known) : FB_E_NOMEM;
  if (status == FB_OK && known.len && known.len < 64) {
    memcpy(id, known.ptr, known.len);
    id[known.len] = 0;
  } else {
    status = path ? fb_state_write(path, fb_slice_of(id), FB_SLICE(""), &err)
                  : fb_fail(&err, FB_E_NOMEM, "out of memory");
    if (status != FB_OK) fb_reply_problem(request, 0, &err);
  }
  fb_buf_release(&known);
  return status == FB_OK;
}

/* The same request again? False: it is answered, because the key was used for something else. */
static bool S_same(fb_request *request, const fb_run_place *place, const fb_edition *version,
                   const fb_map *inputs, bool *ret_there) {
  fb_run_request before;
  fb_error err;
  fb_status status = fb_run_request_read(place, &request->arena, &before, &err);
  *ret_there = status == FB_OK;
  bool same = true;
  if (status == FB_OK) {
    const fb_value *was = fb_map_get_text(before.head.as.map, FB_SLICE("inputs"));
    same = was && fb_value_equal(*was, fb_map_value(inputs)) &&
           !strcmp(fb_run_request_text(&before, "hash"), version->hash);
  }
  fb_run_request_release(&before);
  if (!same)
    fb_reply_fail(request, 0, FB_E_SERVER_KEY,
                  "the key belongs to a run with other inputs, or of another version");
  return same;
}

/* Under the runner's start lock: one at a time, so that a key means one run. */
static fb_answered S_place_run(fb_request *request, fb_slice name, const fb_edition *version,
                               const fb_map *inputs, fb_slice key) {
  fb_runner *runner = request->server->runner;
  fb_run_place place;
  fb_error err;
  fb_buf head;
  char id[64];
  bool there = false;
  fb_run_make_id(id);
  if (key.len && !S_key(request, S_key_path(request, name, key), id)) return FB_ANSWERED;
  if (!fb_run_place_set(runner->folder, id, &request->arena, &place))
    return fb_reply_empty(request, 507);
  if (key.len && !S_same(request, &place, version, inputs, &there)) return FB_ANSWERED;
  if (there) {
    S_accepted(request, 200, id);
    return FB_ANSWERED;
  }
  const char *path = fb_arena_printf(&request->arena, "%s/request", place.folder);
  fb_buf_init(&head, NULL, 0);
  S_write_request(request, name, version, inputs, key, &head);
  fb_status status = path && !head.failed
                         ? fb_state_write(path, fb_buf_slice(&head),
                                          (fb_slice){version->text, version->length}, &err)
                         : fb_fail(&err, FB_E_NOMEM, "out of memory");
  fb_buf_release(&head);
  if (status == FB_OK) status = fb_state_sync(runner->folder);
  if (status == FB_OK) status = fb_runner_add(runner, id, &err);
  if (status != FB_OK) {
    fb_run_remove(&place);
    return fb_reply_problem(request, 0, &err);
  }
  fb_audit_of(
      request, "run.start",
      fb_slice_of(fb_arena_printf(&request->arena, "%.*s %s", (int)name.len, name.ptr, id)));
  S_accepted(request, 202, id);
  return FB_ANSWERED;
}

fb_answered fb_runs_start(fb_request *request) {
  static const char *const names[] = {"inputs", "key", "version"};
  static const uint32_t kinds[] = {FB_KIND_BIT(FB_MAP), FB_KIND_BIT(FB_STRING),
                                   FB_KIND_BIT(FB_INT)};
  fb_runner *runner = request->server->runner;
  const fb_value *given[3];
  fb_value body;
  fb_slice name = request->parameters[0];
  if (!S_has_runs(request) || !S_body(request, &body, names, kinds, 3, given)) return FB_ANSWERED;
  fb_slice key = given[1] ? fb_value_text(*given[1]) : FB_SLICE("");
  fb_map *none = fb_map_new(&request->arena, 1);
  const fb_map *inputs = given[0] ? given[0]->as.map : none;
  if (!inputs) return fb_reply_empty(request, 507);
  if (key.len > MOST_KEY)
    return fb_reply_fail(request, 0, FB_E_SERVER_REQUEST, "a key has at most %d bytes", MOST_KEY);
  fb_edition *version = fb_shelf_get(request->server->missions, name,
                                     given[2] && given[2]->as.i > 0 ? (uint32_t)given[2]->as.i : 0);
  if (!version) return fb_reply_fail(request, 0, FB_E_SERVER_UNKNOWN, "there is no such mission");
  if (S_check(request, version, inputs)) {
    fb_run_prune(runner->folder, KEEP_RUNS, 0, &request->arena);
    pthread_mutex_lock(&runner->starts);
    S_place_run(request, name, version, inputs, key);
    pthread_mutex_unlock(&runner->starts);
  }
  fb_edition_drop(version);
  return FB_ANSWERED;
}

/* ── Changes of a run ── */

typedef struct S_change {
  fb_request *request;
  fb_runner *runner;
  fb_run_place place;
  fb_lease *lease;
  fb_journal *journal;
  fb_past *past;
  const char *who;
} S_change;

/* False: it is answered. */
static bool S_open(S_change *change, fb_request *request) {
  *change = (S_change){.request = request, .runner = request->server->runner};
  if (!S_has_runs(request)) return false;
  const char *id = fb_arena_text(&request->arena, request->parameters[0]);
  change->who = fb_arena_text(&request->arena, fb_request_who(request));
  bool good = id && change->who && strlen(id) < 64 && !strchr(id, '/') && id[0] != '.' &&
              fb_run_place_set(change->runner->folder, id, &request->arena, &change->place);
  struct stat info;
  if (good && stat(change->place.folder, &info) == 0 && S_ISDIR(info.st_mode)) return true;
  fb_reply_fail(request, 0, FB_E_SERVER_UNKNOWN, "there is no such run");
  return false;
}

static void S_release(S_change *change) {
  fb_past_free(change->past);
  fb_journal_log_close(change->journal);
  fb_lease_release(change->lease);
  change->past = NULL;
  change->journal = NULL;
  change->lease = NULL;
}

static fb_answered S_fail(S_change *change, const fb_error *err) {
  S_release(change);
  unsigned code = err->code == FB_E_RUN_STATE || err->code == FB_E_LEASE ? 409 : 0;
  return fb_reply_problem(change->request, code, err);
}

/* The lease, the journal and what it says. */
static fb_status S_take(S_change *change, fb_error *err) {
  fb_status status =
      fb_lease_take(change->place.lease, FB_SLICE("flyball serve"), NULL, &change->lease, err);
  if (!status) status = fb_run_open(&change->place, false, true, &change->journal, err);
  return status ? status : fb_past_read(change->journal, NULL, &change->past, err);
}

/* Only those that the server started: it has their missions, and their folder is its own. */
static fb_status S_is_ours(S_change *change, fb_error *err) {
  const char *path = fb_arena_printf(&change->request->arena, "%s/request", change->place.folder);
  if (path && access(path, F_OK) == 0) return FB_OK;
  fb_fail(err, FB_E_RUN_STATE, "the run was started on the command line");
  fb_error_hint(err, "`flyball resume %s`, in its folder, goes on with it", change->place.id);
  return FB_E_RUN_STATE;
}

static fb_answered S_done(S_change *change, const char *what, bool go_on) {
  fb_request *request = change->request;
  fb_error err;
  S_release(change);
  fb_audit_of(request, what, fb_slice_of(change->place.id));
  if (go_on && fb_runner_add(change->runner, change->place.id, &err) != FB_OK)
    return S_fail(change, &err);
  S_accepted(request, 202, change->place.id);
  return FB_ANSWERED;
}

static void S_wish(fb_runner *runner, const char *id, bool *ret_going, bool *ret_waits) {
  pthread_mutex_lock(&runner->lock);
  fb_working *working = fb_runner_find(runner, id);
  *ret_going = working && working->going;
  *ret_waits = working && !working->going;
  if (working && working->wish == FB_WISH_NONE) working->wish = FB_WISH_CANCEL;
  pthread_mutex_unlock(&runner->lock);
}

/* One that has not begun gets a journal that says so. */
static fb_status S_end_queued(S_change *change, fb_error *err) {
  fb_run_request before;
  fb_event event = {.kind = FB_EVENT_RUN_STARTED, .item = FB_NO_ITEM, .code = -1};
  fb_arena *arena = &change->request->arena;
  fb_status status = fb_run_request_read(&change->place, arena, &before, err);
  if (status == FB_DONE) return fb_fail(err, FB_E_RUN_STATE, "it is no run of this server");
  fb_map *map = fb_map_new(arena, 1);
  if (!status &&
      (!map || !fb_map_put(map, arena, fb_string(FB_SLICE("mission")),
                           fb_string(fb_slice_of(fb_run_request_text(&before, "mission"))), NULL)))
    status = fb_fail(err, FB_E_NOMEM, "out of memory");
  if (!status) status = fb_run_append(change->journal, &event, fb_map_value(map), err);
  fb_run_request_release(&before);
  fb_past_free(change->past);
  change->past = NULL;
  return status ? status : fb_past_read(change->journal, NULL, &change->past, err);
}

fb_answered fb_runs_cancel(fb_request *request) {
  S_change change;
  fb_error err;
  bool going, waits;
  if (!S_open(&change, request)) return FB_ANSWERED;
  S_wish(change.runner, change.place.id, &going, &waits);
  if (going) return S_done(&change, "run.cancel", false);
  fb_status status = S_take(&change, &err);
  if (status == FB_OK && change.past->events == 0) status = S_end_queued(&change, &err);
  if (status == FB_OK)
    status = fb_run_end(change.journal, change.past, change.who, &request->arena, &err);
  return status == FB_OK ? S_done(&change, "run.cancel", false) : S_fail(&change, &err);
}

fb_answered fb_runs_resume(fb_request *request) {
  S_change change;
  fb_error err;
  if (!S_open(&change, request)) return FB_ANSWERED;
  fb_status status = S_is_ours(&change, &err);
  if (status == FB_OK) status = S_take(&change, &err);
  fb_mission_status stands = status == FB_OK ? change.past->status : FB_MISSION_GOING;
  if (stands == FB_MISSION_OK || stands == FB_MISSION_FAILED || stands == FB_MISSION_TIMEOUT)
    status = fb_fail(&err, FB_E_RUN_STATE, "the run has ended: %s", fb_mission_status_name(stands));
  return status == FB_OK ? S_done(&change, "run.resume", true) : S_fail(&change, &err);
}

/* Tells the run's thread. FB_DONE: none works on it. */
static fb_status S_say(S_change *change, const fb_run_word *word, fb_error *err) {
  fb_runner *runner = change->runner;
  fb_saying saying = {.step = word->step, .status = FB_OK};
  fb_status status = fb_run_word_value(word, &change->request->arena, &saying.word, err);
  if (status != FB_OK) return status;
  pthread_mutex_lock(&runner->lock);
  fb_working *working = fb_runner_find(runner, change->place.id);
  if (!working || !working->going || !working->status) {
    pthread_mutex_unlock(&runner->lock);
    return FB_DONE;
  }
  saying.next = working->sayings;
  working->sayings = &saying;
  while (!saying.done) pthread_cond_wait(&runner->changed, &runner->lock);
  pthread_mutex_unlock(&runner->lock);
  *err = saying.err;
  return saying.status;
}

/* "approve" and "reject" as the journal has them; NULL: it is no decision. */
static const char *S_decision(fb_slice text) {
  static const char *const given[] = {"approve", "reject", "done", "again"};
  static const char *const kept[] = {"approved", "rejected", "done", "again"};
  for (size_t i = 0; i < 4; i++)
    if (fb_slice_equal(text, fb_slice_of(given[i]))) return kept[i];
  return NULL;
}

fb_answered fb_runs_approve(fb_request *request) {
  static const char *const names[] = {"step", "decision", "note", "output"};
  static const uint32_t kinds[] = {FB_KIND_BIT(FB_STRING), FB_KIND_BIT(FB_STRING),
                                   FB_KIND_BIT(FB_STRING), UINT32_MAX};
  const fb_value *given[4];
  fb_value body;
  S_change change;
  fb_error err = {0};
  if (!S_open(&change, request) || !S_body(request, &body, names, kinds, 4, given))
    return FB_ANSWERED;
  fb_run_word word = {.step = given[0] ? given[0]->as.text : NULL,
                      .decision = given[1] ? S_decision(fb_value_text(*given[1])) : NULL,
                      .who = change.who,
                      .note = given[2] ? given[2]->as.text : NULL,
                      .output = given[3] ? *given[3] : fb_absent()};
  if (!word.step || !word.decision)
    return fb_reply_fail(request, 0, FB_E_SERVER_REQUEST,
                         "`step`, and `decision`: approve, reject, done or again");
  fb_status status = S_say(&change, &word, &err);
  if (status == FB_OK) return S_done(&change, "run.approve", false);
  if (status != FB_DONE) return S_fail(&change, &err);
  status = S_take(&change, &err);
  if (status == FB_OK)
    status = fb_run_decide(change.journal, change.past, &word, &request->arena, &err);
  if (status != FB_OK) return S_fail(&change, &err);
  return S_done(&change, strcmp(word.decision, "rejected") ? "run.approve" : "run.reject",
                S_is_ours(&change, &err) == FB_OK);
}

fb_answered fb_runs_retry(fb_request *request) {
  static const char *const names[] = {"from"};
  static const uint32_t kinds[] = {FB_KIND_BIT(FB_STRING) | FB_KIND_BIT(FB_NULL)};
  const fb_value *given[1];
  fb_value body;
  S_change change;
  fb_error err;
  if (!S_open(&change, request) || !S_body(request, &body, names, kinds, 1, given))
    return FB_ANSWERED;
  const char *from = given[0] && given[0]->kind == FB_STRING ? given[0]->as.text : NULL;
  fb_status status = S_is_ours(&change, &err);
  if (status == FB_OK) status = S_take(&change, &err);
  if (status == FB_OK && change.past->status == FB_MISSION_OK && !from)
    status = fb_fail(&err, FB_E_RUN_STATE, "nothing failed: say `from` which step");
  if (status == FB_OK)
    status = fb_run_forget(change.journal, change.past, from, change.who, &request->arena, &err);
  return status == FB_OK ? S_done(&change, "run.retry", true) : S_fail(&change, &err);
}
