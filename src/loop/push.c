/* SPDX-License-Identifier: Apache-2.0
 * Sends a registry to an OpenTelemetry collector: OTLP over HTTP, as JSON. */
#include <flyball/loop.h>

#include <uv.h>

enum { TIMEOUT_SECONDS = 10 };

typedef struct S_push {
  fb_http *http;
  fb_status status;
  fb_error *err;
  bool done;
} S_push;

static void S_done(void *user, const fb_http_answer *answer) {
  S_push *push = user;
  push->done = true;
  push->status = answer->status;
  if (answer->status != FB_OK) {
    if (push->err && answer->error) *push->err = *answer->error;
  } else if (answer->code / 100 != 2) {
    size_t len = answer->body.len < 120 ? answer->body.len : 120;
    push->status = fb_fail(push->err, FB_E_NET, "the collector answered %d", answer->code);
    if (len && fb_utf8_valid(answer->body.ptr, len, NULL))
      fb_error_hint(push->err, "it said: %.*s", (int)len, answer->body.ptr);
  }
}

/* A URL without a path gets the path of the specification. */
static void S_url(const char *url, fb_buf *out) {
  const char *host = strstr(url, "://");
  const char *path = host ? strchr(host + 3, '/') : NULL;
  fb_buf_text(out, url);
  if (!path)
    fb_buf_text(out, "/v1/metrics");
  else if (!path[1])
    fb_buf_text(out, "v1/metrics");
}

static fb_status S_send(S_push *push, const fb_metrics_push *options, const fb_buf *url,
                        const fb_buf *body) {
  fb_http_header headers[1 + FB_PUSH_HEADERS_MAX] = {
      {FB_SLICE("Content-Type"), FB_SLICE("application/json")}};
  size_t count = 1;
  for (size_t i = 0; i < options->header_count && i < FB_PUSH_HEADERS_MAX; i++)
    headers[count++] = options->headers[i];
  fb_http_request request = {.url = url->ptr,
                             .body = fb_buf_slice(body),
                             .headers = headers,
                             .header_count = count,
                             .timeout = options->timeout
                                            ? options->timeout
                                            : (int64_t)TIMEOUT_SECONDS * INT64_C(1000000000)};
  return fb_http_send(push->http, &request, S_done, push, NULL, push->err);
}

static void S_wait(S_push *push, uv_loop_t *loop, const fb_metrics_push *options, const fb_buf *url,
                   const fb_buf *body) {
  push->status = S_send(push, options, url, body);
  push->done = push->status != FB_OK;
  while (!push->done && uv_run(loop, UV_RUN_ONCE)) continue;
  fb_http_free(push->http);
  uv_run(loop, UV_RUN_DEFAULT);
}

fb_status fb_metrics_send(fb_metrics *metrics, const fb_metrics_push *options,
                          const fb_allocator *allocator, fb_error *err) {
  S_push push = {.err = err};
  uv_loop_t loop;
  fb_buf url, body;
  fb_buf_init(&url, allocator, 0);
  fb_buf_init(&body, allocator, 0);
  S_url(options->url, &url);
  push.status = url.failed ? fb_fail(err, FB_E_NOMEM, "no memory for a URL")
                           : fb_metrics_write(metrics, FB_METRICS_OTLP, 0, &body, err);
  if (push.status == FB_OK && uv_loop_init(&loop))
    push.status = fb_fail(err, FB_E_NOMEM, "no memory for a loop");
  else if (push.status == FB_OK) {
    push.status = fb_http_new(&loop, NULL, allocator, &push.http, err);
    if (push.status == FB_OK) S_wait(&push, &loop, options, &url, &body);
    uv_loop_close(&loop);
  }
  fb_buf_release(&url);
  fb_buf_release(&body);
  return push.status;
}
