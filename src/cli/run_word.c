/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run_word.h"

#include <time.h>
#include <unistd.h>

/* FOLDER/word holds {step, decision}, packed, one at a time; FOLDER/word.no the reason why it was not taken. */
enum { MOST_WORD = 1 << 20, PATIENCE = 500 /* times 20 ms */ };

/* ── Giving ──────────────────────────────────────────────────────────────────────────────────── */

static fb_status S_pack(fb_run_job *job, const fb_run_word *word, fb_buf *out, fb_error *err) {
  fb_value decision;
  fb_map *map = fb_map_new(&job->arena, 2);
  fb_status status = fb_run_word_value(word, &job->arena, &decision, err);
  bool good = !status && map &&
              fb_map_put(map, &job->arena, fb_string(FB_SLICE("step")),
                         fb_string(fb_slice_of(word->step)), NULL) &&
              fb_map_put(map, &job->arena, fb_string(FB_SLICE("decision")), decision, NULL) &&
              fb_value_pack(out, fb_map_value(map)) == FB_OK;
  return good ? FB_OK : status ? status : fb_fail(err, FB_E_NOMEM, "out of memory");
}

static void S_pause(void) {
  const struct timespec pause = {0, 20000000};
  nanosleep(&pause, NULL);
}

/* Another's word may still be there: waits until it was taken. */
static fb_status S_put(const char *hidden, const char *path, fb_error *err) {
  for (int i = 0; i < PATIENCE && link(hidden, path) != 0; i++) {
    if (errno != EEXIST) return fb_fail(err, FB_E_IO, "cannot write %s: %s", path, strerror(errno));
    S_pause();
  }
  return FB_OK;
}

static fb_status S_write(fb_run_job *job, const char *path, fb_slice bytes, fb_error *err) {
  fb_world *world = NULL;
  const char *hidden = fb_arena_printf(&job->arena, "%s/.word-%016llx", job->place.folder,
                                       (unsigned long long)fb_random_seed_system());
  if (!hidden) return fb_fail(err, FB_E_NOMEM, "out of memory");
  fb_status status = fb_world_uv_new(NULL, NULL, &world, err);
  if (!status) status = world->write(world->context, hidden, bytes, 0600, err);
  fb_world_uv_free(world);
  if (!status) status = S_put(hidden, path, err);
  unlink(hidden);
  return status;
}

/* Why it was not taken; false: there is no answer of that kind. */
static bool S_refused(fb_run_job *job, const char *path) {
  const char *answer = fb_arena_printf(&job->arena, "%s.no", path);
  fb_buf text;
  fb_error err = {0};
  fb_buf_init(&text, NULL, 0);
  bool refused = answer && fb_cli_read(answer, MOST_WORD, &text, &err) == FB_OK;
  if (refused) {
    fb_fail(&err, FB_E_RUN_STATE, "%.*s", (int)text.len, text.ptr);
    fb_cli_error(job->cli, &err);
    unlink(answer);
  }
  fb_buf_release(&text);
  return refused;
}

static int S_await(fb_run_job *job, const char *path, bool *ret_taken) {
  for (int i = 0; i < PATIENCE; i++) {
    if (access(path, F_OK) != 0) {
      *ret_taken = true;
      return S_refused(job, path) ? FB_EXIT_NO : FB_EXIT_OK;
    }
    if (!fb_lease_held(job->place.lease, NULL)) {
      if (unlink(path) != 0) continue; /* just taken */
      return FB_EXIT_OK;
    }
    S_pause();
  }
  fb_error err;
  unlink(path);
  fb_fail(&err, FB_E_RUN_STATE, "the process that works on %s does not take the decision",
          job->place.id);
  fb_error_hint(&err, "of a run of `flyball serve` decide over HTTP");
  return fb_cli_error(job->cli, &err);
}

int fb_run_word_give(fb_run_job *job, const fb_run_word *word, bool *ret_taken) {
  const char *path = fb_arena_printf(&job->arena, "%s/word", job->place.folder);
  fb_error err = {0};
  fb_buf bytes;
  *ret_taken = false;
  fb_buf_init(&bytes, NULL, 0);
  fb_status status =
      path ? S_pack(job, word, &bytes, &err) : fb_fail(&err, FB_E_NOMEM, "out of memory");
  if (!status) status = S_write(job, path, fb_buf_slice(&bytes), &err);
  fb_buf_release(&bytes);
  return status ? fb_cli_error(job->cli, &err) : S_await(job, path, ret_taken);
}

/* ── Taking ──────────────────────────────────────────────────────────────────────────────────── */

static fb_status S_decide(fb_run_job *job, fb_slice bytes, fb_error *err) {
  fb_value value;
  fb_slice scope, step;
  uint32_t item;
  fb_arena_mark mark = fb_arena_save(&job->arena);
  fb_status status = fb_value_unpack(bytes, &job->arena, &value, err);
  bool map = !status && value.kind == FB_MAP;
  const fb_value *path = map ? fb_map_get_text(value.as.map, FB_SLICE("step")) : NULL;
  const fb_value *decision = map ? fb_map_get_text(value.as.map, FB_SLICE("decision")) : NULL;
  if (!status && (!path || path->kind != FB_STRING || !decision ||
                  !fb_run_step_path(path->as.text, &scope, &step, &item)))
    status = fb_fail(err, FB_E_RUN_STATE, "that is no decision");
  if (!status) status = fb_mission_run_decide(job->run, scope, step, item, *decision, err);
  fb_arena_rewind(&job->arena, mark);
  return status;
}

/* The answer is there before the word is gone. */
static void S_refuse(fb_run_job *job, const char *path, const fb_error *err) {
  char answer[4200];
  snprintf(answer, sizeof answer, "%s.no", path);
  job->world->write(job->world->context, answer, fb_slice_of(err->text), 0600, NULL);
}

static void S_take(fb_run_job *job, const char *path) {
  fb_buf bytes;
  fb_error err = {0};
  fb_buf_init(&bytes, NULL, 0);
  fb_status status = fb_cli_read(path, MOST_WORD, &bytes, &err);
  if (!status) status = S_decide(job, fb_buf_slice(&bytes), &err);
  if (status) S_refuse(job, path, &err);
  unlink(path);
  fb_buf_release(&bytes);
}

void fb_run_word_take(void *context) {
  fb_run_job *job = context;
  char path[4096];
  if (!job->journal || fb_mission_run_state(job->run) != FB_MISSION_GOING) return;
  int length = snprintf(path, sizeof path, "%s/word", job->place.folder);
  if (length > 0 && (size_t)length < sizeof path && access(path, F_OK) == 0) S_take(job, path);
}
