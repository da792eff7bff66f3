/* SPDX-License-Identifier: Apache-2.0
 * The routes, and the answers that are short: health, metrics. */
#include "server/bingo.h"
#include "server/evaluate.h"
#include "server/facts.h"
#include "server/held.h"
#include "server/named.h"
#include "server/pages.h"

/* ── Is it alive ── */

static fb_answered S_health(fb_request *request) {
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  fb_buf_printf(&out, "{\"status\":\"ok\",\"version\":\"%s\"}\n", fb_version());
  return fb_reply_json(request, 200, &out);
}

static fb_answered S_ready(fb_request *request) {
  fb_buf out;
  bool ready = !request->server->draining;
  fb_buf_init(&out, NULL, 0);
  fb_buf_printf(&out, "{\"status\":\"%s\",\"rulesets\":%u}\n", ready ? "ready" : "draining",
                fb_shelf_count(request->server->rulesets));
  return fb_reply_json(request, ready ? 200 : 503, &out);
}

static fb_answered S_write_metrics(fb_request *request, fb_metrics_format format) {
  fb_server *server = request->server;
  fb_buf out;
  fb_error err;
  fb_gauge_set(server->busy_gauge, (double)server->busy);
  fb_gauge_set(server->rulesets_gauge, fb_shelf_count(server->rulesets));
  fb_gauge_set(server->sessions_gauge, fb_held_count(server->held));
  fb_buf_init(&out, NULL, 0);
  if (fb_metrics_write(server->metrics, format, 0, &out, &err) != FB_OK) {
    fb_buf_release(&out);
    return fb_reply_problem(request, 0, &err);
  }
  fb_reply_json(request, 200, &out);
  request->reply.type = fb_metrics_content_type(format);
  return FB_ANSWERED;
}

static fb_answered S_metrics(fb_request *request) {
  return S_write_metrics(
      request, fb_request_accepts(request, "application/openmetrics-text") ? FB_METRICS_OPENMETRICS
               : fb_request_accepts(request, "application/json")           ? FB_METRICS_JSON
                                                                           : FB_METRICS_PROMETHEUS);
}

static fb_answered S_metrics_json(fb_request *request) {
  return S_write_metrics(request, FB_METRICS_JSON);
}

extern const char fb_openapi[]; /* made from openapi.json */
extern const size_t fb_openapi_size;

static fb_answered S_openapi(fb_request *request) {
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  fb_buf_add(&out, fb_openapi, fb_openapi_size);
  return fb_reply_json(request, 200, &out);
}

/* ── All routes ── */

const fb_route fb_routes[] = {
    {"GET", "/", FB_ROLE_NONE, false, false, fb_web_index, NULL},
    {"GET", "/assets/{version}/{name}", FB_ROLE_NONE, false, false, fb_web_asset, NULL},
    {"GET", "/healthz", FB_ROLE_NONE, false, false, S_health, NULL},
    {"GET", "/readyz", FB_ROLE_NONE, false, false, S_ready, NULL},
    {"GET", "/metrics", FB_ROLE_VIEWER, false, false, S_metrics, NULL},
    {"GET", "/v1/me", FB_ROLE_NONE, false, false, fb_web_me, NULL},
    {"GET", "/v1/openapi.json", FB_ROLE_NONE, false, false, S_openapi, NULL},
    {"POST", "/v1/evaluate", FB_ROLE_OPERATOR, true, false, fb_evaluate, fb_evaluate_later},
    {"GET", "/v1/rulesets", FB_ROLE_VIEWER, false, false, fb_rulesets_list, NULL},
    {"GET", "/v1/rulesets/{name}", FB_ROLE_VIEWER, false, false, fb_rulesets_show, NULL},
    {"PUT", "/v1/rulesets/{name}", FB_ROLE_ADMIN, false, true, fb_rulesets_put, NULL},
    {"DELETE", "/v1/rulesets/{name}", FB_ROLE_ADMIN, false, true, fb_rulesets_delete, NULL},
    {"GET", "/v1/missions", FB_ROLE_VIEWER, false, false, fb_missions_list, NULL},
    {"GET", "/v1/missions/{name}", FB_ROLE_VIEWER, false, false, fb_missions_show, NULL},
    {"PUT", "/v1/missions/{name}", FB_ROLE_ADMIN, false, true, fb_missions_put, NULL},
    {"DELETE", "/v1/missions/{name}", FB_ROLE_ADMIN, false, true, fb_missions_delete, NULL},
    {"POST", "/v1/missions/{name}/runs", FB_ROLE_OPERATOR, false, true, fb_runs_start, NULL},
    {"GET", "/v1/runs", FB_ROLE_VIEWER, false, true, fb_runs_list, NULL},
    {"GET", "/v1/runs/{id}", FB_ROLE_VIEWER, false, true, fb_runs_show, NULL},
    {"GET", "/v1/runs/{id}/logs", FB_ROLE_VIEWER, false, true, fb_runs_logs, NULL},
    {"POST", "/v1/runs/{id}/cancel", FB_ROLE_OPERATOR, false, true, fb_runs_cancel, NULL},
    {"POST", "/v1/runs/{id}/resume", FB_ROLE_OPERATOR, false, true, fb_runs_resume, NULL},
    {"POST", "/v1/runs/{id}/approve", FB_ROLE_OPERATOR, false, true, fb_runs_approve, NULL},
    {"POST", "/v1/runs/{id}/retry", FB_ROLE_OPERATOR, false, true, fb_runs_retry, NULL},
    {"GET", "/v1/events", FB_ROLE_VIEWER, false, false, fb_events_watch, NULL},
    {"GET", "/v1/stats", FB_ROLE_VIEWER, false, true, fb_figures_stats, NULL},
    {"GET", "/v1/metrics", FB_ROLE_VIEWER, false, false, S_metrics_json, NULL},
    {"GET", "/v1/audit", FB_ROLE_VIEWER, false, false, fb_audit_list, NULL},
    {"GET", "/v1/history", FB_ROLE_VIEWER, false, true, fb_history_list, NULL},
    {"GET", "/v1/history/series", FB_ROLE_VIEWER, false, true, fb_history_show, NULL},
    {"POST", "/evaluate", FB_ROLE_OPERATOR, false, true, fb_bingo_evaluate, NULL},
    {"POST", "/rulesets", FB_ROLE_ADMIN, false, true, fb_bingo_register, NULL},
    {"GET", "/health", FB_ROLE_NONE, false, false, fb_bingo_health, NULL},
    {"GET", "/engine/stats", FB_ROLE_VIEWER, false, false, fb_bingo_engine, NULL},
    {"GET", "/cache/stats", FB_ROLE_VIEWER, false, false, fb_bingo_cache, NULL},
    {"GET", "/v1/sessions", FB_ROLE_VIEWER, false, false, fb_held_list, NULL},
    {"POST", "/v1/sessions", FB_ROLE_OPERATOR, false, false, fb_held_make, NULL},
    {"GET", "/v1/sessions/{id}", FB_ROLE_VIEWER, false, true, fb_held_show, NULL},
    {"DELETE", "/v1/sessions/{id}", FB_ROLE_OPERATOR, false, true, fb_held_delete, NULL},
    {"GET", "/v1/sessions/{id}/facts", FB_ROLE_VIEWER, false, true, fb_held_query, NULL},
    {"POST", "/v1/sessions/{id}/facts", FB_ROLE_OPERATOR, false, true, fb_held_assert, NULL},
    {"PATCH", "/v1/sessions/{id}/facts/{fact}", FB_ROLE_OPERATOR, false, true, fb_held_modify,
     NULL},
    {"DELETE", "/v1/sessions/{id}/facts/{fact}", FB_ROLE_OPERATOR, false, true, fb_held_retract,
     NULL},
    {"POST", "/v1/facts", FB_ROLE_OPERATOR, true, true, fb_facts_take, NULL, true},
    {"GET", "/v1/loop", FB_ROLE_VIEWER, false, true, fb_facts_loop, NULL},
};
const size_t fb_route_count = sizeof fb_routes / sizeof *fb_routes;
