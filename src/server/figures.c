/* SPDX-License-Identifier: Apache-2.0
 * How it goes: totals, rates and latencies of the last second, told once a second. */
#include "server/server.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct S_sums {
  uint64_t requests, errors, facts, firings;
} S_sums;

struct fb_figures {
  fb_server *server;
  pthread_mutex_t lock;
  fb_distribution before; /* of latencies, up to the last tick */
  fb_distribution last;   /* of the last second */
  S_sums sums;            /* at the last tick */
  uint64_t rate;          /* requests in the last second */
};

void fb_json_time(fb_buf *out, int64_t wall) {
  char text[FB_TIME_TEXT_MAX];
  int64_t seconds = wall / 1000000000;
  fb_time_format(seconds, (uint32_t)(wall % 1000000000 / 1000000 * 1000000), text);
  fb_buf_printf(out, "\"%s\"", text);
}

fb_status fb_figures_new(fb_server *server, fb_figures **ret_figures) {
  fb_figures *figures = calloc(1, sizeof *figures);
  if (!figures) return FB_E_NOMEM;
  figures->server = server;
  pthread_mutex_init(&figures->lock, NULL);
  fb_distribution_init(&figures->before, NULL);
  fb_distribution_init(&figures->last, NULL);
  *ret_figures = figures;
  return FB_OK;
}

void fb_figures_free(fb_figures *figures) {
  if (!figures) return;
  pthread_mutex_destroy(&figures->lock);
  fb_distribution_release(&figures->before);
  fb_distribution_release(&figures->last);
  free(figures);
}

static S_sums S_sum(const fb_server *server) {
  S_sums sums = {.facts = fb_counter_read(server->facts),
                 .firings = fb_counter_read(server->firings)};
  for (size_t i = 0; i <= fb_route_count; i++) {
    for (int class_ = 2; class_ < FB_CLASSES; class_++)
      sums.requests += fb_counter_read(server->counts[i].requests[class_]);
    sums.errors += fb_counter_read(server->counts[i].requests[5]);
  }
  return sums;
}

/* What is in `now` and was not in `before`. Counts only: least and greatest are not known of a difference. */
static bool S_difference(const fb_distribution *now, const fb_distribution *before,
                         fb_distribution *out) {
  fb_distribution_clear(out);
  if (fb_distribution_merge(out, now) != FB_OK) return false;
  for (int i = 0; i < FB_DISTRIBUTION_OCTAVES; i++)
    for (int k = 0; before->octaves[i] && out->octaves[i] && k < FB_DISTRIBUTION_STEPS; k++)
      out->octaves[i][k] -= before->octaves[i][k];
  out->count -= before->count;
  out->low -= before->low;
  out->high -= before->high;
  return true;
}

static void S_latencies(fb_figures *figures) {
  fb_server *server = figures->server;
  fb_distribution now;
  fb_distribution_init(&now, NULL);
  bool good = true;
  for (size_t i = 0; i <= fb_route_count && good; i++)
    good = fb_histogram_read(server->counts[i].seconds, &now) == FB_OK;
  if (good && S_difference(&now, &figures->before, &figures->last)) {
    fb_distribution_clear(&figures->before);
    if (fb_distribution_merge(&figures->before, &now) != FB_OK)
      fb_distribution_clear(&figures->last);
  }
  fb_distribution_release(&now);
}

static void S_quantile(const fb_distribution *last, const char *name, double q, fb_buf *out) {
  fb_quantile quantile;
  char text[32];
  if (fb_distribution_quantile(last, q, &quantile)) {
    fb_double_format(quantile.value, text);
    fb_buf_printf(out, ",\"%s\":%s", name, text);
  } else {
    fb_buf_printf(out, ",\"%s\":null", name);
  }
}

static void S_publish(fb_figures *figures) {
  fb_server *server = figures->server;
  uint32_t running, queued;
  fb_buf out;
  fb_runner_counts(server->runner, &running, &queued);
  fb_buf_init(&out, NULL, 0);
  fb_buf_printf(&out, "\"requests\":%llu,\"rate\":%llu,\"errors\":%llu",
                (unsigned long long)figures->sums.requests, (unsigned long long)figures->rate,
                (unsigned long long)figures->sums.errors);
  S_quantile(&figures->last, "p50", 0.5, &out);
  S_quantile(&figures->last, "p99", 0.99, &out);
  fb_buf_printf(&out, ",\"facts\":%llu,\"firings\":%llu,\"runs\":{\"running\":%u,\"queued\":%u}",
                (unsigned long long)figures->sums.facts, (unsigned long long)figures->sums.firings,
                running, queued);
  if (!out.failed) fb_server_publish(server, "stats", fb_buf_slice(&out));
  fb_buf_release(&out);
}

static void S_save_job(fb_job *job) {
  fb_server *server = (fb_server *)((char *)job - offsetof(fb_server, saver));
  fb_held_save(server->held);
  server->saves = false;
}

/* On a worker: watchers are not to wait for it. */
static void S_save(fb_server *server) {
  int64_t now = fb_server_now(server);
  if (!server->options.state || now - server->saved < server->options.snapshot ||
      atomic_exchange(&server->saves, true))
    return;
  server->saved = now;
  server->saver.run = S_save_job;
  fb_jobs_add(server->jobs, &server->saver);
}

void fb_server_tick(fb_server *server) {
  fb_figures *figures = server->figures;
  pthread_mutex_lock(&figures->lock);
  S_sums sums = S_sum(server);
  figures->rate = sums.requests - figures->sums.requests;
  figures->sums = sums;
  S_latencies(figures);
  if (fb_server_watched(server)) S_publish(figures);
  pthread_mutex_unlock(&figures->lock);
  fb_audit_sync(server->audit);
  S_save(server);
}

fb_answered fb_figures_stats(fb_request *request) {
  fb_server *server = request->server;
  fb_figures *figures = server->figures;
  fb_buf out;
  uint32_t running, queued;
  fb_runner_counts(server->runner, &running, &queued);
  fb_buf_init(&out, NULL, 0);
  pthread_mutex_lock(&figures->lock);
  S_sums sums = S_sum(server);
  fb_buf_printf(&out,
                "{\"type\":\"flyball.stats.v1\",\"version\":\"%s\",\"uptime\":%.3f,"
                "\"requests\":{\"total\":%llu,\"rate\":%llu,\"errors\":%llu",
                fb_version(), (double)(request->start - server->started) / 1e9,
                (unsigned long long)sums.requests, (unsigned long long)figures->rate,
                (unsigned long long)sums.errors);
  S_quantile(&figures->last, "p50", 0.5, &out);
  S_quantile(&figures->last, "p90", 0.9, &out);
  S_quantile(&figures->last, "p99", 0.99, &out);
  pthread_mutex_unlock(&figures->lock);
  fb_buf_printf(
      &out, "},\"facts\":%llu,\"decisions\":%llu,\"firings\":%llu", (unsigned long long)sums.facts,
      (unsigned long long)fb_counter_read(server->decisions), (unsigned long long)sums.firings);
  fb_buf_printf(&out, ",\"rulesets\":%u,\"missions\":%u,\"sessions\":%u,\"watchers\":%u",
                fb_shelf_count(server->rulesets), fb_shelf_count(server->missions),
                fb_held_count(server->held), fb_flows_count(server->flows));
  fb_buf_printf(&out, ",\"runs\":{\"running\":%u,\"queued\":%u", running, queued);
  fb_runs_states(server, &out);
  fb_buf_text(&out, "}}\n");
  return fb_reply_json(request, 200, &out);
}
