/* SPDX-License-Identifier: Apache-2.0
 * How a decision gets out: HTTP, a file, a program, a mission, a fact. */
#include "loop/deliver.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 64 };

/* ── Signature: HMAC-SHA256 (RFC 2104) ───────────────────────────────────────────────────────── */

static void S_hmac(fb_slice key, const fb_slice *parts, size_t count,
                   uint8_t ret_digest[FB_DIGEST_SIZE]) {
  uint8_t pad[BLOCK] = {0}, inner[FB_DIGEST_SIZE];
  fb_digester digester;
  if (key.len > BLOCK)
    fb_digest(key, pad);
  else
    memcpy(pad, key.ptr, key.len);
  for (int i = 0; i < BLOCK; i++) pad[i] ^= 0x36;
  fb_digest_begin(&digester);
  fb_digest_add(&digester, (fb_slice){(const char *)pad, BLOCK});
  for (size_t i = 0; i < count; i++) fb_digest_add(&digester, parts[i]);
  fb_digest_end(&digester, inner);
  for (int i = 0; i < BLOCK; i++) pad[i] ^= 0x36 ^ 0x5c;
  fb_digest_begin(&digester);
  fb_digest_add(&digester, (fb_slice){(const char *)pad, BLOCK});
  fb_digest_add(&digester, (fb_slice){(const char *)inner, sizeof inner});
  fb_digest_end(&digester, ret_digest);
}

void fb_delivery_sign(fb_slice secret, int64_t seconds, fb_slice body, char out[96]) {
  char time[24], hex[2 * FB_DIGEST_SIZE + 1];
  uint8_t digest[FB_DIGEST_SIZE];
  int length = snprintf(time, sizeof time, "%lld.", (long long)seconds);
  fb_slice parts[] = {{time, (size_t)length}, body};
  S_hmac(secret, parts, 2, digest);
  fb_hex(digest, sizeof digest, hex);
  snprintf(out, 96, "t=%lld,v1=%s", (long long)seconds, hex);
}

/* ── Once more ───────────────────────────────────────────────────────────────────────────────── */

static void S_closed(uv_handle_t *handle) {
  free(handle->data);
}

void fb_delivery_free(fb_delivery *delivery) {
  if (delivery->call) fb_http_cancel(delivery->call);
  if (!delivery->has_timer) {
    free(delivery);
    return;
  }
  uv_close((uv_handle_t *)&delivery->timer, S_closed);
}

static void S_attempt(fb_delivery *delivery);

static int64_t S_now(const fb_delivery *delivery) {
  const fb_clock *clock = delivery->sink->loop->clock;
  return clock->mono(clock->context);
}

static void S_timer(fb_delivery *delivery, int64_t nanos, uv_timer_cb fired) {
  uv_loop_t *uv = delivery->sink->loop->uv;
  if (!delivery->has_timer) uv_timer_init(uv, &delivery->timer);
  delivery->has_timer = true;
  delivery->timer.data = delivery;
  uv_update_time(uv);
  uv_timer_start(&delivery->timer, fired, (uint64_t)(nanos / 1000000 + 1), 0);
}

static void S_again(uv_timer_t *timer) {
  S_attempt(timer->data);
}

/* An attempt went wrong: there is another one, or that was it. */
static void S_failed(fb_delivery *delivery, bool final, int64_t after) {
  int64_t wait = 0;
  fb_loop_sink *sink = delivery->sink;
  fb_attempt attempt = {.ok = false, .after = after};
  sink->errors++;
  snprintf(sink->error, sizeof sink->error, "%s", delivery->error);
  if (sink->gone || final || sink->loop->stop ||
      fb_retry_next(&delivery->retry, attempt, S_now(delivery), &wait) != FB_RETRY_AGAIN) {
    fb_delivery_end(delivery, true);
    return;
  }
  S_timer(delivery, wait, S_again);
}

/* ── HTTP ────────────────────────────────────────────────────────────────────────────────────── */

static bool S_may_mend(int code) {
  return code >= 500 || code == 408 || code == 425 || code == 429;
}

static void S_answered(void *user, const fb_http_answer *answer) {
  fb_delivery *delivery = user;
  delivery->call = NULL;
  if (answer->status == FB_OK && answer->code >= 200 && answer->code < 300) {
    fb_delivery_end(delivery, false);
    return;
  }
  bool final;
  if (answer->status == FB_OK) {
    snprintf(delivery->error, sizeof delivery->error, "it answered %d", answer->code);
    final = !S_may_mend(answer->code);
  } else {
    snprintf(delivery->error, sizeof delivery->error, "%.190s", answer->error->text);
    final = answer->status == FB_E_NET_REFUSED || answer->status == FB_E_NET_URL;
  }
  S_failed(delivery, final, answer->retry_after);
}

static void S_webhook(fb_delivery *delivery) {
  fb_loop_sink *sink = delivery->sink;
  const fb_sink_plan *plan = sink->plan;
  char signature[96];
  fb_error err = {0};
  fb_slice body = {delivery->body, delivery->length}, id = fb_slice_of(delivery->id);
  fb_http_header headers[] = {{FB_SLICE("Content-Type"), FB_SLICE("application/json")},
                              {FB_SLICE("Idempotency-Key"), id},
                              {FB_SLICE("X-Flyball-Delivery"), id},
                              {FB_SLICE("X-Flyball-Decision"), fb_slice_of(delivery->type)},
                              {FB_SLICE("X-Flyball-Signature"), {0}}};
  size_t count = 4;
  for (const char *at = delivery->type; *at && count == 4; at++)
    if (*at < ' ' || *at > '~') headers[3].value = FB_SLICE("");
  if (plan->secret.len) {
    fb_delivery_sign(plan->secret, fb_loop_wall(sink->loop) / 1000000000, body, signature);
    headers[count++].value = fb_slice_of(signature);
  }
  fb_http_request request = {.method = "POST",
                             .url = plan->url,
                             .headers = headers,
                             .header_count = count,
                             .body = body,
                             .timeout = plan->timeout,
                             .max_body = 1 << 20,
                             .proxy = ""};
  fb_http *http = fb_loop_http(sink->loop, plan->reach, &err);
  if (http && fb_http_send(http, &request, S_answered, delivery, &delivery->call, &err) == FB_OK)
    return;
  snprintf(delivery->error, sizeof delivery->error, "%.190s", err.text);
  S_failed(delivery, err.code == FB_E_NET_URL, 0);
}

/* ── Programs ────────────────────────────────────────────────────────────────────────────────── */

static void S_late(uv_timer_t *timer) {
  fb_delivery *delivery = timer->data;
  const fb_world *world = delivery->sink->loop->world;
  snprintf(delivery->error, sizeof delivery->error, "it took too long");
  if (delivery->process) world->signal(world->context, delivery->process, SIGKILL);
}

static void S_last_words(fb_delivery *delivery, const char *path) {
  char text[160];
  FILE *file = path ? fopen(path, "re") : NULL;
  if (!file) return;
  size_t got = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[got] = 0;
  text[strcspn(text, "\n")] = 0;
  size_t length = strlen(delivery->error);
  if (text[0] && fb_utf8_valid(text, strlen(text), NULL))
    snprintf(delivery->error + length, sizeof delivery->error - length, ": %s", text);
}

static void S_exited(void *user, const fb_process_end *how) {
  fb_delivery *delivery = user;
  bool late = delivery->error[0] && how->signal == SIGKILL;
  delivery->process = NULL;
  uv_timer_stop(&delivery->timer);
  if (!late && how->signal)
    snprintf(delivery->error, sizeof delivery->error, "signal %d ended it", how->signal);
  else if (!late)
    snprintf(delivery->error, sizeof delivery->error, "it exited with %d", how->code);
  if (how->code != 0) S_last_words(delivery, how->err.path);
  if (how->out.path) unlink(how->out.path);
  if (how->err.path) unlink(how->err.path);
  if (how->code == 0)
    fb_delivery_end(delivery, false);
  else
    S_failed(delivery, false, 0);
}

static void S_command(fb_delivery *delivery) {
  fb_loop *loop = delivery->sink->loop;
  const fb_sink_plan *plan = delivery->sink->plan;
  char label[FB_NAME_MAX + 40];
  fb_error err = {0};
  snprintf(label, sizeof label, "sink-%s-%llu", plan ? delivery->sink->name : "",
           (unsigned long long)delivery->number);
  fb_process_spec spec = {.argv = plan->argv,
                          .env = loop->options.env,
                          .dir = loop->project->folder,
                          .input = {delivery->body, delivery->length},
                          .label = label};
  delivery->error[0] = 0;
  S_timer(delivery, plan->timeout, S_late);
  if (loop->world->start(loop->world->context, &spec, S_exited, delivery, &delivery->process,
                         &err) == FB_OK)
    return;
  uv_timer_stop(&delivery->timer);
  snprintf(delivery->error, sizeof delivery->error, "%.190s", err.text);
  S_failed(delivery, false, 0);
}

/* ── Files ───────────────────────────────────────────────────────────────────────────────────── */

/* "a.ndjson" becomes "a.ndjson.1", that one "a.ndjson.2" … */
static void S_rotate(fb_loop_sink *sink) {
  const fb_sink_plan *plan = sink->plan;
  char from[4096], to[4096];
  if (sink->file) fclose(sink->file);
  sink->file = NULL;
  for (uint32_t i = plan->rotate_keep; i > 0; i--) {
    snprintf(to, sizeof to, "%s.%u", plan->path, i);
    snprintf(from, sizeof from, i > 1 ? "%s.%u" : "%s", plan->path, i - 1);
    rename(from, to);
  }
}

static bool S_open(fb_loop_sink *sink) {
  struct stat info;
  sink->file = fopen(sink->plan->path, "ae");
  if (!sink->file) return false;
  sink->file_size = fstat(fileno(sink->file), &info) == 0 ? (uint64_t)info.st_size : 0;
  return true;
}

static bool S_append(fb_delivery *delivery) {
  fb_loop_sink *sink = delivery->sink;
  const fb_sink_plan *plan = sink->plan;
  if (!sink->file && !S_open(sink)) return false;
  if (plan->rotate_size && sink->file_size &&
      sink->file_size + delivery->length + 1 > plan->rotate_size) {
    S_rotate(sink);
    if (!S_open(sink)) return false;
  }
  bool good = fwrite(delivery->body, 1, delivery->length, sink->file) == delivery->length &&
              putc('\n', sink->file) != EOF && fflush(sink->file) == 0 &&
              (!plan->sync || fdatasync(fileno(sink->file)) == 0);
  sink->file_size += delivery->length + 1;
  if (good) return true;
  int number = errno;
  fclose(sink->file);
  sink->file = NULL;
  errno = number;
  return false;
}

static void S_file(fb_delivery *delivery) {
  if (S_append(delivery)) {
    fb_delivery_end(delivery, false);
    return;
  }
  delivery->policy.attempts = 0; /* a disk that is full may have room again: it is never given up */
  snprintf(delivery->error, sizeof delivery->error, "%.150s: %s", delivery->sink->plan->path,
           strerror(errno));
  S_failed(delivery, false, 0);
}

/* ── Missions and facts ──────────────────────────────────────────────────────────────────────── */

/* The run's id comes from the delivery's, so that one that was started is known again. */
static void S_run_id(const fb_delivery *delivery, char out[64]) {
  char time[FB_TIME_TEXT_MAX];
  size_t at = 0, length = fb_time_format(delivery->at / 1000000000, 0, time);
  for (size_t i = 0; i < length && at < 40; i++)
    if (time[i] != '-' && time[i] != ':') out[at++] = time[i];
  uint64_t hash = fb_hash_bytes(delivery->id, strlen(delivery->id), 0);
  snprintf(out + at, 64 - at, "-%08x", (unsigned)(hash & 0xffffffffu));
}

static void S_mission(fb_delivery *delivery) {
  char id[64];
  fb_error err = {0};
  S_run_id(delivery, id);
  fb_status status = fb_loop_runs_start(delivery->sink->loop, id, fb_slice_of(delivery->target),
                                        (fb_slice){delivery->body, delivery->length}, false, &err);
  if (status) snprintf(delivery->error, sizeof delivery->error, "%.190s", err.text);
  fb_delivery_end(delivery, status != FB_OK);
}

static void S_fact(fb_delivery *delivery) {
  fb_loop_sink *sink = delivery->sink;
  fb_loop_batch *batch = fb_batch_new((fb_slice){delivery->body, delivery->length}, sink->name,
                                      (fb_slice){0}, sink->plan->lifetime, FB_BATCH_SINK);
  if (!batch) {
    snprintf(delivery->error, sizeof delivery->error, "out of memory");
    S_failed(delivery, true, 0);
    return;
  }
  batch->place.offset = delivery->number;
  fb_loop_put(sink->loop, batch); /* which ends the delivery */
}

/* ── The way ─────────────────────────────────────────────────────────────────────────────────── */

static void S_attempt(fb_delivery *delivery) {
  const fb_sink_plan *plan = delivery->sink->plan;
  if (delivery->sink->gone) {
    snprintf(delivery->error, sizeof delivery->error, "the sink is gone");
    fb_delivery_end(delivery, true);
    return;
  }
  switch (plan ? plan->kind : FB_SINK_MISSION) {
    case FB_SINK_WEBHOOK: S_webhook(delivery); break;
    case FB_SINK_FILE: S_file(delivery); break;
    case FB_SINK_COMMAND: S_command(delivery); break;
    case FB_SINK_MISSION: S_mission(delivery); break;
    case FB_SINK_FACT: S_fact(delivery); break;
  }
}

void fb_delivery_begin(fb_delivery *delivery) {
  static _Thread_local fb_random random;
  static _Thread_local bool seeded;
  fb_loop_sink *sink = delivery->sink;
  if (!seeded) fb_random_seed(&random, fb_random_seed_system());
  seeded = true;
  delivery->policy = sink->plan ? sink->plan->retry : fb_retry_policy_default();
  fb_retry_begin(&delivery->retry, &delivery->policy, &random, S_now(delivery));
  delivery->busy = true;
  sink->busy++;
  S_attempt(delivery);
}
