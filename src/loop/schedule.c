/* SPDX-License-Identifier: Apache-2.0
 * Schedules: what is due becomes a fact, or starts a mission. */
#include "loop/engine.h"

#include <stdlib.h>

enum { MOST_AT_ONCE = 1000 };

static fb_cron_zone S_zone(const fb_loop_schedule *schedule) {
  bool utc = strcmp(schedule->plan->zone, "UTC") == 0;
  return (fb_cron_zone){.name = fb_slice_of(schedule->plan->zone),
                        .zone = utc ? NULL : fb_zone_system,
                        .context = schedule->loop->zones};
}

static void S_set_next(fb_loop_schedule *schedule, int64_t after) {
  fb_cron_zone zone = S_zone(schedule);
  schedule->next = fb_cron_next(&schedule->plan->cron, &zone, after);
}

/* Those of the same name go on where they were. */
fb_status fb_schedules_set(fb_loop *loop, fb_project *project) {
  fb_loop_schedule *before = loop->schedules;
  uint32_t count = project->schedule_count;
  loop->schedules = calloc(count ? count : 1, sizeof *loop->schedules);
  if (!loop->schedules) {
    loop->schedules = before;
    return FB_E_NOMEM;
  }
  for (uint32_t i = 0; i < count; i++) {
    fb_loop_schedule *schedule = &loop->schedules[i];
    const fb_schedule_plan *plan = &project->schedules[i];
    *schedule = (fb_loop_schedule){.loop = loop, .plan = plan};
    snprintf(schedule->name, sizeof schedule->name, "%.*s", (int)plan->name.len, plan->name.ptr);
    for (uint32_t k = 0; k < loop->schedule_count; k++)
      if (strcmp(before[k].name, schedule->name) == 0) schedule->last = before[k].last;
    if (!schedule->last) schedule->last = fb_loop_wall(loop) / 1000000000;
    schedule->done = schedule->last;
    S_set_next(schedule, schedule->last);
  }
  loop->schedule_count = count;
  free(before);
  return FB_OK;
}

static void S_time_member(fb_buf *out, const char *name, int64_t seconds) {
  char time[FB_TIME_TEXT_MAX];
  fb_time_format(seconds, 0, time);
  fb_buf_printf(out, ",\"%s\":\"%s\"", name, time);
}

static void S_fact(fb_loop_schedule *schedule, int64_t at, uint64_t passed) {
  const fb_schedule_plan *plan = schedule->plan;
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  fb_buf_text(&out, "{\"type\":");
  fb_json_write_text(&out, plan->type, FB_JSON_COMPACT);
  fb_buf_printf(&out, ",\"name\":\"%s\"", schedule->name);
  S_time_member(&out, "at", at);
  fb_buf_printf(&out, ",\"missed\":%llu", (unsigned long long)passed);
  for (uint32_t i = 0; plan->with.kind == FB_MAP && i < plan->with.as.map->len; i++) {
    const fb_entry *entry = &plan->with.as.map->entries[i];
    fb_buf_char(&out, ',');
    fb_json_write(&out, entry->key, FB_JSON_COMPACT);
    fb_buf_char(&out, ':');
    fb_json_write(&out, entry->value, FB_JSON_COMPACT);
  }
  fb_buf_text(&out, "}\n");
  fb_loop_batch *batch = out.failed
                             ? NULL
                             : fb_batch_new(fb_buf_slice(&out), schedule->name, (fb_slice){0},
                                            FB_LIFETIME_ONCE, FB_BATCH_SCHEDULE);
  if (batch) {
    batch->place.offset = (uint64_t)schedule->last;
    fb_loop_put(schedule->loop, batch);
  }
  fb_buf_release(&out);
}

void fb_schedule_run(fb_loop_schedule *schedule, int64_t at) {
  const fb_schedule_plan *plan = schedule->plan;
  char id[FB_DECISION_ID];
  fb_buf inputs;
  fb_buf_init(&inputs, NULL, 0);
  if (plan->with.kind == FB_MAP)
    fb_json_write(&inputs, plan->with, FB_JSON_COMPACT);
  else
    fb_buf_text(&inputs, "{}");
  snprintf(id, sizeof id, "%.24s-%lld", schedule->name, (long long)at);
  if (!inputs.failed)
    fb_sink_put(schedule->loop->sinks[0], 0, at * 1000000000, id, plan->mission, plan->mission,
                fb_buf_slice(&inputs));
  fb_buf_release(&inputs);
}

fb_loop_schedule *fb_schedule_find(fb_loop *loop, const char *name) {
  for (uint32_t i = 0; i < loop->schedule_count; i++)
    if (strcmp(loop->schedules[i].name, name) == 0) return &loop->schedules[i];
  return NULL;
}

static void S_work(fb_loop_schedule *schedule, int64_t now) {
  int64_t times[MOST_AT_ONCE];
  uint64_t passed = 0;
  fb_cron_zone zone = S_zone(schedule);
  size_t count = fb_cron_due(&schedule->plan->cron, &zone, schedule->plan->missed, schedule->last,
                             now, times, MOST_AT_ONCE, &passed);
  schedule->last = now;
  for (size_t i = 0; i < count; i++) {
    if (!schedule->plan->mission.len) {
      S_fact(schedule, times[i], i + 1 == count ? passed : 0);
      continue;
    }
    fb_keep_log_schedule(schedule->loop, schedule->name, times[i], now);
    fb_schedule_run(schedule, times[i]);
    schedule->done = now;
  }
  S_set_next(schedule, now);
}

void fb_schedules_work(fb_loop *loop) {
  int64_t now = fb_loop_wall(loop) / 1000000000;
  for (uint32_t i = 0; i < loop->schedule_count; i++)
    if (loop->schedules[i].next <= now) S_work(&loop->schedules[i], now);
}

int64_t fb_schedules_due(fb_loop *loop) {
  int64_t due = INT64_MAX;
  for (uint32_t i = 0; i < loop->schedule_count; i++)
    if (loop->schedules[i].next < due) due = loop->schedules[i].next;
  return due > INT64_MAX / 1000000000 - 1 ? INT64_MAX : due * 1000000000;
}
