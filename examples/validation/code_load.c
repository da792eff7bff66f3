/* SPDX-License-Identifier: Apache-2.0
 * CODE's concurrent API load: 50 users, 20 requests each, all at once on four paths; here somebody answers, and every
 * answer is looked at. One that is not 200 means that nothing was measured. */
#include "harness.h"

#include <flyball/net.h>
#include <uv.h>

enum { USERS = 50, REQUESTS = 20 };

typedef struct S_load {
  work *work;
  long good, bad;
} S_load;

static void S_done(void *user, const fb_http_answer *answer) {
  S_load *load = user;
  if (answer->status == FB_OK && answer->code == 200)
    load->good++;
  else
    load->bad++;
  work_latency(load->work, (double)answer->total);
}

static bool S_send_all(fb_http *http, int port, S_load *load) {
  static const char *const paths[] = {"/health", "/api/status", "/api/metrics", "/api/items"};
  for (int i = 0; i < USERS * REQUESTS; i++) {
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d%s", port, paths[i % 4]);
    fb_http_request request = {.url = url, .timeout = INT64_C(10000000000), .proxy = ""};
    if (fb_http_send(http, &request, S_done, load, NULL, NULL) != FB_OK) return false;
  }
  return true;
}

void code_load(void) {
  static work w;
  double errors[REPEATS];
  uv_loop_t loop;
  fb_http *http;
  fb_error err;
  int port = serve_start();
  fb_http_options options = {.per_host = USERS, .total = USERS};
  work_begin(&w, "code", "api load");
  if (port < 0 || uv_loop_init(&loop) || fb_http_new(&loop, &options, NULL, &http, &err)) {
    work_fail(&w, "no server or no client");
    return;
  }
  for (int r = 0; r < REPEATS && !w.failed; r++) {
    S_load load = {.work = &w};
    double start = now_ns();
    if (!S_send_all(http, port, &load)) work_fail(&w, "a request could not be sent");
    uv_run(&loop, UV_RUN_DEFAULT);
    if (load.bad) work_fail(&w, "a request failed");
    errors[r] = 100.0 * (double)load.bad / (double)(load.good + load.bad);
    work_end_repeat(&w, (double)load.good, now_ns() - start);
  }
  work_print(&w);
  if (!w.failed) print_samples("code", "api load", "error", "%", errors, REPEATS);
  fb_http_free(http);
  uv_run(&loop, UV_RUN_DEFAULT);
  uv_loop_close(&loop);
}
