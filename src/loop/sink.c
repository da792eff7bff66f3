/* SPDX-License-Identifier: Apache-2.0
 *
 * Where decisions go. A sink has a queue of deliveries, the oldest first; at most `parallel` are under way. What is done is acknowledged
 * in the log, so that after a crash only what may not have arrived is delivered again, under the same id.
 */
#include "loop/deliver.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ── Sinks ───────────────────────────────────────────────────────────────────────────────────── */

fb_loop_sink *fb_sink_find(fb_loop *loop, const char *name) {
  for (uint32_t i = 0; i < loop->sink_count; i++)
    if (strcmp(loop->sinks[i]->name, name) == 0) return loop->sinks[i];
  return NULL;
}

static fb_loop_sink *S_new(fb_loop *loop, const char *name, size_t length) {
  fb_loop_sink *sink = calloc(1, sizeof *sink);
  if (!sink) return NULL;
  sink->loop = loop;
  sink->acked = loop->decisions; /* what was decided before it was there is not for it */
  snprintf(sink->name, sizeof sink->name, "%.*s", (int)length, name);
  return sink;
}

static bool S_same_kind(const fb_sink_plan *a, const fb_sink_plan *b) {
  return a && b && a->kind == b->kind;
}

/* One that is gone stays until what it has under way came to an end. */
static void S_drop(fb_loop_sink *sink) {
  for (fb_delivery *delivery = sink->first, *next; delivery; delivery = next) {
    next = delivery->next;
    if (delivery->busy) continue;
    snprintf(delivery->error, sizeof delivery->error, "the sink is gone");
    fb_delivery_end(delivery, true);
  }
  if (sink->file) fclose(sink->file);
  sink->file = NULL;
  sink->plan = NULL;
  sink->gone = true;
  if (!sink->first) free(sink);
}

static bool S_keep(fb_loop *loop, fb_loop_sink *before, const fb_sink_plan *plan,
                   fb_loop_sink **ret_sink) {
  bool same = before && S_same_kind(before->plan, plan);
  *ret_sink = same ? before : S_new(loop, plan->name.ptr, plan->name.len);
  if (!*ret_sink) return false;
  if (same && before->file && !fb_slice_equal(before->plan->text, plan->text)) {
    fclose(before->file);
    before->file = NULL;
  }
  (*ret_sink)->plan = plan;
  return true;
}

/* Sinks of the same name and kind keep what waits in them. */
fb_status fb_sinks_set(fb_loop *loop, fb_project *project) {
  uint32_t count = project->sink_count + 1;
  fb_loop_sink **sinks = calloc(count, sizeof *sinks);
  bool good = sinks != NULL;
  if (good) sinks[0] = loop->sinks ? loop->sinks[0] : S_new(loop, "(run)", 5);
  good = good && sinks[0];
  for (uint32_t i = 1; i < count && good; i++) {
    const fb_sink_plan *plan = &project->sinks[i - 1];
    char name[FB_NAME_MAX];
    snprintf(name, sizeof name, "%.*s", (int)plan->name.len, plan->name.ptr);
    good = S_keep(loop, fb_sink_find(loop, name), plan, &sinks[i]);
  }
  if (!good) {
    free(sinks);
    return FB_E_NOMEM;
  }
  for (uint32_t i = 1; i < loop->sink_count; i++) {
    bool kept = false;
    for (uint32_t k = 1; k < count; k++) kept |= sinks[k] == loop->sinks[i];
    if (!kept) S_drop(loop->sinks[i]);
  }
  free(loop->sinks);
  loop->sinks = sinks;
  loop->sink_count = count;
  return FB_OK;
}

static void S_free(fb_loop_sink *sink) {
  for (fb_delivery *delivery = sink->first, *next; delivery; delivery = next) {
    next = delivery->next;
    fb_delivery_free(delivery);
  }
  if (sink->file) fclose(sink->file);
  free(sink);
}

void fb_sinks_free(fb_loop *loop) {
  for (uint32_t i = 0; i < loop->sink_count; i++) S_free(loop->sinks[i]);
  free(loop->sinks);
  loop->sinks = NULL;
  loop->sink_count = 0;
}

bool fb_sinks_blocked(const fb_loop *loop) {
  for (uint32_t i = 0; i < loop->sink_count; i++) {
    const fb_loop_sink *sink = loop->sinks[i];
    bool counts = !sink->plan || sink->plan->kind != FB_SINK_FACT;
    if (counts && sink->pending >= loop->project->pending) return true;
  }
  return false;
}

/* ── Decisions ───────────────────────────────────────────────────────────────────────────────── */

fb_status fb_sink_put(fb_loop_sink *sink, uint64_t number, int64_t at, const char *id,
                      fb_slice type, fb_slice target, fb_slice body) {
  fb_delivery *delivery = calloc(1, sizeof *delivery + body.len + 1);
  if (!delivery) return FB_E_NOMEM;
  delivery->sink = sink;
  delivery->number = number;
  delivery->at = at;
  snprintf(delivery->id, sizeof delivery->id, "%s", id);
  snprintf(delivery->type, sizeof delivery->type, "%.*s", (int)(type.len < 127 ? type.len : 127),
           type.ptr ? type.ptr : "");
  snprintf(delivery->target, sizeof delivery->target, "%.*s",
           (int)(target.len < FB_NAME_MAX ? target.len : FB_NAME_MAX - 1),
           target.ptr ? target.ptr : "");
  memcpy(delivery->body, body.ptr, body.len);
  delivery->length = body.len;
  if (sink->last)
    sink->last->next = delivery;
  else
    sink->first = delivery;
  sink->last = delivery;
  sink->pending++;
  return FB_OK;
}

static void S_id(fb_loop *loop, uint64_t number, char out[FB_DECISION_ID]) {
  snprintf(out, FB_DECISION_ID, "%s-%llu", loop->instance, (unsigned long long)number);
}

static void S_write(fb_loop *loop, const fb_book *book, const fb_decision *decision, const char *id,
                    fb_buf *out) {
  char time[FB_TIME_TEXT_MAX];
  fb_time_format(loop->now / 1000000000, (uint32_t)(loop->now % 1000000000 / 1000000 * 1000000),
                 time);
  fb_buf_printf(out, "{\"id\":\"%s\",\"at\":\"%s\",\"decision\":", id, time);
  fb_json_write_text(out, decision->type, FB_JSON_COMPACT);
  fb_buf_text(out, ",\"fields\":");
  fb_json_write(out, fb_map_value(decision->fields), FB_JSON_COMPACT);
  fb_buf_text(out, ",\"rule\":");
  fb_json_write_text(out, decision->rule, FB_JSON_COMPACT);
  fb_buf_text(out, ",\"rulebook\":");
  fb_json_write_text(out, book->plan->name, FB_JSON_COMPACT);
  fb_buf_printf(out, ",\"line\":%u}", decision->line);
}

static void S_write_fact(const fb_sink_plan *plan, const fb_decision *decision, fb_buf *out) {
  fb_buf_text(out, "{\"type\":");
  fb_json_write_text(out, plan->target, FB_JSON_COMPACT);
  for (uint32_t i = 0; i < decision->fields->len; i++) {
    const fb_entry *entry = &decision->fields->entries[i];
    if (fb_slice_equal(fb_value_text(entry->key), FB_SLICE("type"))) continue;
    fb_buf_char(out, ',');
    fb_json_write(out, entry->key, FB_JSON_COMPACT);
    fb_buf_char(out, ':');
    fb_json_write(out, entry->value, FB_JSON_COMPACT);
  }
  fb_buf_text(out, "}\n");
}

static bool S_takes(const fb_loop_sink *sink, fb_slice type) {
  const fb_sink_plan *plan = sink->plan;
  if (!plan) return false;
  for (uint32_t i = 0; i < plan->decision_count; i++)
    if (fb_slice_equal(plan->decisions[i], type)) return true;
  return plan->decision_count == 0;
}

static fb_status S_to(fb_loop_sink *sink, const fb_decision *decision, uint64_t number,
                      const char *id, fb_slice body) {
  fb_loop *loop = sink->loop;
  fb_buf own;
  fb_status status;
  if (loop->replaying && number <= sink->acked) return FB_OK;
  fb_buf_init(&own, NULL, 0);
  if (sink->plan->kind == FB_SINK_FACT)
    S_write_fact(sink->plan, decision, &own);
  else if (sink->plan->kind == FB_SINK_MISSION)
    fb_json_write(&own, fb_map_value(decision->fields), FB_JSON_COMPACT);
  status = own.failed ? FB_E_NOMEM
                      : fb_sink_put(sink, number, loop->now, id, decision->type, sink->plan->target,
                                    own.len ? fb_buf_slice(&own) : body);
  fb_buf_release(&own);
  return status;
}

/* Decisions called `alert` are told as alerts, too: by their rule, with what they say of level and text. */
static void S_tell_alert(fb_loop *loop, const fb_decision *decision) {
  const fb_value *level = fb_map_get_text(decision->fields, FB_SLICE("level"));
  const fb_value *text = fb_map_get_text(decision->fields, FB_SLICE("text"));
  fb_buf out;
  if (!fb_slice_equal(decision->type, FB_SLICE("alert")) || !loop->options.event) return;
  fb_buf_init(&out, NULL, 0);
  fb_json_member(&out, "name", decision->rule);
  if (level && level->kind == FB_STRING) fb_json_member(&out, "level", fb_value_text(*level));
  if (text && text->kind == FB_STRING) fb_json_member(&out, "text", fb_value_text(*text));
  fb_buf_text(&out, ",\"fields\":");
  fb_json_write(&out, fb_map_value(decision->fields), FB_JSON_COMPACT);
  if (!out.failed) fb_loop_event(loop, "alert", "%s", out.ptr);
  fb_buf_release(&out);
}

fb_status fb_sinks_decision(fb_loop *loop, const fb_book *book, const fb_decision *decision) {
  char id[FB_DECISION_ID];
  fb_buf body;
  uint64_t number = ++loop->decisions;
  S_id(loop, number, id);
  fb_buf_init(&body, NULL, 0);
  S_write(loop, book, decision, id, &body);
  fb_status status = body.failed ? FB_E_NOMEM : FB_OK;
  if (!status && !loop->replaying)
    fb_loop_event(loop, "decision", "\"source\":\"loop\",\"n\":1,\"sample\":%s", body.ptr);
  if (!status && !loop->replaying) S_tell_alert(loop, decision);
  for (uint32_t i = 1; i < loop->sink_count && !status; i++)
    if (S_takes(loop->sinks[i], decision->type))
      status = S_to(loop->sinks[i], decision, number, id, fb_buf_slice(&body));
  fb_buf_release(&body);
  return status;
}

fb_status fb_sinks_run(fb_loop *loop, fb_slice mission, fb_slice inputs) {
  char id[FB_DECISION_ID];
  fb_loop_sink *sink = loop->sinks[0];
  uint64_t number = ++loop->decisions;
  if (loop->replaying && number <= sink->acked) return FB_OK;
  S_id(loop, number, id);
  return fb_sink_put(sink, number, loop->now, id, mission, mission, inputs);
}

/* ── The end of a delivery ───────────────────────────────────────────────────────────────────── */

static void S_unlink(fb_loop_sink *sink, fb_delivery *delivery) {
  fb_delivery *before = NULL;
  for (fb_delivery *at = sink->first; at != delivery; at = at->next) before = at;
  if (before)
    before->next = delivery->next;
  else
    sink->first = delivery->next;
  if (sink->last == delivery) sink->last = before;
  sink->pending--;
}

/* What could not be delivered is kept for people: failed/SINK.ndjson. */
static void S_bury(fb_loop_sink *sink, const fb_delivery *delivery) {
  fb_loop *loop = sink->loop;
  char path[4096], folder[4096];
  fb_buf line;
  snprintf(folder, sizeof folder, "%s/failed", loop->state);
  mkdir(folder, 0700);
  if ((size_t)snprintf(path, sizeof path, "%s/failed/%s.ndjson", loop->state, sink->name) >=
      sizeof path)
    return;
  fb_buf_init(&line, NULL, 0);
  fb_buf_printf(&line, "{\"id\":\"%s\",\"error\":", delivery->id);
  fb_json_write_text(&line, fb_slice_of(delivery->error), FB_JSON_COMPACT);
  fb_buf_text(&line, ",\"delivery\":");
  size_t length = delivery->length;
  while (length && delivery->body[length - 1] == '\n') length--;
  fb_buf_add(&line, delivery->body, length);
  fb_buf_text(&line, "}\n");
  int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  ssize_t put = fd >= 0 && !line.failed ? write(fd, line.ptr, line.len) : -1;
  if (put != (ssize_t)line.len)
    fb_loop_say(loop, FB_LOG_ERROR, "a decision that failed cannot be kept", "sink", sink->name,
                "error", strerror(errno));
  if (fd >= 0) close(fd);
  fb_buf_release(&line);
}

static void S_acknowledge(fb_loop_sink *sink) {
  uint64_t acked = sink->loop->decisions;
  for (fb_delivery *at = sink->first; at; at = at->next)
    if (at->number && at->number <= acked) {
      acked = at->number - 1;
      break;
    }
  if (acked <= sink->acked) return;
  sink->acked = acked;
  if (!sink->gone) fb_keep_log_ack(sink->loop, sink->name, acked);
}

void fb_delivery_end(fb_delivery *delivery, bool failed) {
  fb_loop_sink *sink = delivery->sink;
  fb_loop *loop = sink->loop;
  if (delivery->busy) sink->busy--;
  S_unlink(sink, delivery);
  if (failed) {
    sink->failed++;
    snprintf(sink->error, sizeof sink->error, "%s", delivery->error);
    fb_loop_say(loop, FB_LOG_ERROR, "a decision was not delivered", "sink", sink->name, "error",
                delivery->error);
    S_bury(sink, delivery);
  } else {
    sink->delivered++;
    sink->error[0] = 0;
  }
  S_acknowledge(sink);
  fb_delivery_free(delivery);
  if (sink->gone && !sink->first)
    free(sink);
  else
    fb_loop_wake(loop);
}

void fb_sink_fact_done(fb_loop *loop, const char *name, uint64_t number) {
  fb_loop_sink *sink = fb_sink_find(loop, name);
  for (fb_delivery *at = sink ? sink->first : NULL; at; at = at->next) {
    if (at->number != number) continue;
    fb_delivery_end(at, false);
    return;
  }
}

/* ── Work ────────────────────────────────────────────────────────────────────────────────────── */

static uint32_t S_most(const fb_loop_sink *sink) {
  return sink->plan && sink->plan->kind != FB_SINK_FILE ? sink->plan->parallel : 1;
}

/* At most a few at once, so that others have their turn. */
static void S_work(fb_loop_sink *sink) {
  enum { AT_ONCE = 1000 };
  fb_delivery *delivery = sink->first;
  bool fact = sink->plan && sink->plan->kind == FB_SINK_FACT;
  bool mission = !sink->plan || sink->plan->kind == FB_SINK_MISSION;
  for (int i = 0; delivery && i < AT_ONCE; i++) {
    fb_delivery *next = delivery->next;
    if (!delivery->busy) {
      if (!fact && sink->busy >= S_most(sink)) return;
      if (mission && !fb_loop_runs_has_room(sink->loop)) return;
      fb_delivery_begin(delivery);
    }
    delivery = next;
  }
}

void fb_sinks_work(fb_loop *loop) {
  for (uint32_t i = 0; i < loop->sink_count; i++) S_work(loop->sinks[i]);
}
