/* SPDX-License-Identifier: Apache-2.0
 * Another version of the project takes the place of the one that runs, or nothing changes. */
#include "loop/engine.h"

#include <stdlib.h>
#include <sys/stat.h>

/* ── Have its files changed? ─────────────────────────────────────────────────────────────────── */

static uint64_t S_stamp_file(uint64_t stamp, const char *path) {
  struct stat info;
  if (stat(path, &info)) return fb_hash_mix(stamp, 1);
  stamp = fb_hash_mix(stamp, (uint64_t)info.st_ino);
  stamp = fb_hash_mix(stamp, (uint64_t)info.st_size);
  return fb_hash_mix(
      stamp, (uint64_t)info.st_mtim.tv_sec * UINT64_C(1000000000) + (uint64_t)info.st_mtim.tv_nsec);
}

uint64_t fb_project_stamp(const fb_project *project) {
  uint64_t stamp = S_stamp_file(7, project->file);
  for (uint32_t i = 0; i < project->book_count; i++)
    stamp = S_stamp_file(stamp, project->books[i].path);
  for (uint32_t i = 0; i < project->mission_count; i++)
    stamp = S_stamp_file(stamp, project->missions[i].path);
  return stamp;
}

/* ── The change ──────────────────────────────────────────────────────────────────────────────── */

fb_status fb_loop_swap(fb_loop *loop, fb_project *project, fb_error *err) {
  while (loop->firing) { /* to a quiet point */
    while (!fb_books_fire(loop, 0)) {
    }
    size_t before = loop->expiry_count;
    fb_books_settle(loop);
    loop->firing = loop->expiry_count != before;
  }
  fb_status status = fb_books_swap(loop, project, err);
  if (status) return status;
  fb_project *before = loop->project;
  status = fb_sinks_set(loop, project);
  if (!status) status = fb_sources_set(loop, project);
  if (!status) status = fb_schedules_set(loop, project);
  if (status) { /* what is set already knows the new project: both stay */
    fb_project_hold(before);
    return fb_fail(err, status, "out of memory");
  }
  pthread_mutex_lock(&loop->lock);
  loop->project = project;
  pthread_mutex_unlock(&loop->lock);
  fb_project_free(before);
  loop->stamp = fb_project_stamp(project);
  loop->firing = true;
  loop->must_save = true; /* the log would be done again by other rules */
  loop->reload_error[0] = 0;
  fb_loop_say(loop, FB_LOG_INFO, "the project was read again", NULL, NULL, NULL, NULL);
  fb_loop_event(loop, "reload", "\"ok\":true");
  return FB_OK;
}

/* ── Looking ─────────────────────────────────────────────────────────────────────────────────── */

typedef struct S_load {
  fb_loop *loop;
  fb_project *project;
  fb_status status;
  fb_errors errors;
} S_load;

static void S_read(void *user) {
  S_load *load = user;
  load->status = fb_project_load(load->loop->path, NULL, &load->project, &load->errors, NULL);
}

static void S_tell(fb_loop *loop, fb_errors *errors) {
  fb_errors_sort(errors);
  for (size_t i = 0; i < errors->count; i++) {
    char place[300];
    const fb_error *err = &errors->items[i];
    snprintf(place, sizeof place, "%s:%u:%u", err->file, err->line, err->column);
    fb_loop_say(loop, FB_LOG_ERROR, "the project does not load; the one before stays", "error",
                err->text, "at", place);
    if (i == 0)
      snprintf(loop->reload_error, sizeof loop->reload_error, "%.250s: %.140s", place, err->text);
  }
  fb_loop_event(loop, "reload", "\"ok\":false,\"errors\":%zu", errors->count);
}

static void S_done(void *user) {
  S_load *load = user;
  fb_loop *loop = load->loop;
  fb_error err = {0};
  loop->reloading = false;
  if (!load->status && !loop->ending && !loop->stop) {
    load->status = fb_loop_swap(loop, load->project, &err);
    if (load->status) fb_errors_add(&load->errors, &err);
  } else if (!load->status) {
    load->status = FB_E_LOOP_ENDING;
  }
  if (load->status && load->project) fb_project_free(load->project);
  if (load->status && load->errors.count) S_tell(loop, &load->errors);
  fb_errors_release(&load->errors);
  free(load);
  fb_loop_wake(loop);
}

void fb_reload_poll(fb_loop *loop) {
  int64_t now = loop->clock->mono(loop->clock->context);
  if (!loop->project->reload_every || loop->reloading || now < loop->next_reload) return;
  loop->next_reload = now + loop->project->reload_every;
  uint64_t stamp = fb_project_stamp(loop->project);
  if (stamp == loop->stamp) return;
  loop->stamp = stamp; /* one that does not load is not tried again until it changes */
  S_load *load = calloc(1, sizeof *load);
  if (!load) return;
  load->loop = loop;
  fb_errors_init(&load->errors, NULL, 0);
  loop->reloading = true;
  if (loop->world->work(loop->world->context, S_read, S_done, load) == FB_OK) return;
  loop->reloading = false;
  fb_errors_release(&load->errors);
  free(load);
}
