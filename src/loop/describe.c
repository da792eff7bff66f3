/* SPDX-License-Identifier: Apache-2.0
 * How the loop stands, as JSON. */
#include "loop/engine.h"

static void S_time(fb_buf *out, const char *name, int64_t nanos) {
  char time[FB_TIME_TEXT_MAX];
  if (nanos <= 0) return;
  fb_time_format(nanos / 1000000000, (uint32_t)(nanos % 1000000000 / 1000000 * 1000000), time);
  fb_buf_printf(out, ",\"%s\":\"%s\"", name, time);
}

static void S_member(fb_buf *out, const char *name, const char *text) {
  if (!text[0]) return;
  fb_buf_printf(out, ",\"%s\":", name);
  fb_json_write_text(out, fb_slice_of(text), FB_JSON_COMPACT);
}

static void S_books(fb_loop *loop, fb_buf *out) {
  fb_buf_text(out, ",\"rulebooks\":[");
  for (uint32_t i = 0; i < loop->book_count; i++) {
    const fb_book *book = &loop->books[i];
    fb_session_stats stats = fb_session_statistics(book->session);
    fb_buf_text(out, i ? ",{\"name\":" : "{\"name\":");
    fb_json_write_text(out, book->plan->name, FB_JSON_COMPACT);
    fb_buf_printf(out, ",\"rules\":%zu,\"facts\":%llu,\"waiting\":%llu,\"firings\":%llu",
                  fb_ruleset_count(fb_session_ruleset(book->session)),
                  (unsigned long long)stats.facts, (unsigned long long)stats.agenda,
                  (unsigned long long)stats.firings);
    fb_buf_printf(out, ",\"memory\":%llu}", (unsigned long long)stats.memory);
  }
  fb_buf_text(out, "],\"missions\":[");
  for (uint32_t i = 0; i < loop->project->mission_count; i++) {
    if (i) fb_buf_char(out, ',');
    fb_json_write_text(out, loop->project->missions[i].name, FB_JSON_COMPACT);
  }
  fb_buf_char(out, ']');
}

static void S_sources(fb_loop *loop, fb_buf *out) {
  fb_buf_text(out, ",\"sources\":[");
  for (uint32_t i = 0; i < loop->source_count; i++) {
    const fb_loop_source *source = loop->sources[i];
    fb_buf_printf(out, "%s{\"name\":\"%s\",\"kind\":\"%s\",\"state\":\"%s\"", i ? "," : "",
                  source->name, fb_source_kind_name(source->plan->kind), source->state);
    fb_buf_printf(out, ",\"facts\":%llu,\"errors\":%llu", (unsigned long long)source->facts,
                  (unsigned long long)source->errors);
    S_time(out, "last", source->last);
    S_member(out, "error", source->error);
    fb_buf_char(out, '}');
  }
  fb_buf_char(out, ']');
}

static void S_sinks(fb_loop *loop, fb_buf *out) {
  fb_buf_text(out, ",\"sinks\":[");
  for (uint32_t i = 1; i < loop->sink_count; i++) {
    const fb_loop_sink *sink = loop->sinks[i];
    fb_buf_printf(out, "%s{\"name\":\"%s\",\"kind\":\"%s\",\"waiting\":%llu", i > 1 ? "," : "",
                  sink->name, fb_sink_kind_name(sink->plan->kind),
                  (unsigned long long)sink->pending);
    fb_buf_printf(out, ",\"delivered\":%llu,\"failed\":%llu,\"errors\":%llu",
                  (unsigned long long)sink->delivered, (unsigned long long)sink->failed,
                  (unsigned long long)sink->errors);
    S_member(out, "error", sink->error);
    fb_buf_char(out, '}');
  }
  fb_buf_char(out, ']');
}

static void S_schedules(fb_loop *loop, fb_buf *out) {
  fb_buf_text(out, ",\"schedules\":[");
  for (uint32_t i = 0; i < loop->schedule_count; i++) {
    const fb_loop_schedule *schedule = &loop->schedules[i];
    fb_buf_printf(out, "%s{\"name\":\"%s\"", i ? "," : "", schedule->name);
    S_member(out, "cron", schedule->plan->cron_text);
    S_member(out, "zone", schedule->plan->zone);
    if (schedule->next < INT64_MAX / 1000000000) S_time(out, "next", schedule->next * 1000000000);
    S_time(out, "last", schedule->done * 1000000000);
    fb_buf_char(out, '}');
  }
  fb_buf_char(out, ']');
}

void fb_loop_write(fb_loop *loop, fb_buf *out) {
  static const char *const full[] = {"block", "drop-oldest", "refuse"};
  fb_buf_text(out, "{\"type\":\"flyball.loop.v1\",\"project\":");
  fb_json_write_text(out, loop->project->name, FB_JSON_COMPACT);
  S_books(loop, out);
  S_sources(loop, out);
  S_sinks(loop, out);
  S_schedules(loop, out);
  pthread_mutex_lock(&loop->lock);
  fb_buf_printf(out,
                ",\"queue\":{\"depth\":%llu,\"limit\":%llu,\"dropped\":%llu,\"when_full\":\"%s\"}",
                (unsigned long long)loop->depth, (unsigned long long)loop->project->queue,
                (unsigned long long)loop->dropped, full[loop->project->when_full]);
  pthread_mutex_unlock(&loop->lock);
  fb_buf_printf(out, ",\"facts\":%llu,\"refused\":%llu,\"firings\":%llu,\"decisions\":%llu",
                (unsigned long long)loop->facts, (unsigned long long)loop->refused,
                (unsigned long long)loop->firings, (unsigned long long)loop->decisions);
  fb_buf_printf(out, ",\"runs\":{\"running\":%u,\"waiting\":%llu},\"snapshot\":{\"number\":%llu",
                loop->running, (unsigned long long)loop->sinks[0]->pending,
                (unsigned long long)loop->number);
  S_time(out, "at", loop->snapshot_at);
  fb_buf_printf(out, ",\"log\":%llu}", (unsigned long long)loop->log_size);
  S_member(out, "reload_error", loop->reload_error);
  fb_buf_char(out, '}');
}
