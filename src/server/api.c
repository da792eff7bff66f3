/* SPDX-License-Identifier: Apache-2.0
 * The routes, and the answers that are short: health, metrics, rulesets. */
#include "server/evaluate.h"
#include "server/held.h"
#include "server/pages.h"

#include <stdlib.h>

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
                fb_rulesets_count(request->server->rulesets));
  return fb_reply_json(request, ready ? 200 : 503, &out);
}

static bool S_accepts(const fb_request *request, const char *type) {
  const char *accept = fb_request_header(request, MHD_HTTP_HEADER_ACCEPT);
  return accept && strstr(accept, type);
}

static fb_answered S_metrics(fb_request *request) {
  fb_server *server = request->server;
  fb_metrics_format format = S_accepts(request, "application/openmetrics-text")
                                 ? FB_METRICS_OPENMETRICS
                             : S_accepts(request, "application/json") ? FB_METRICS_JSON
                                                                      : FB_METRICS_PROMETHEUS;
  fb_buf out;
  fb_error err;
  fb_gauge_set(server->busy_gauge, (double)server->busy);
  fb_gauge_set(server->rulesets_gauge, fb_rulesets_count(server->rulesets));
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

extern const char fb_openapi[]; /* made from openapi.json */
extern const size_t fb_openapi_size;

static fb_answered S_openapi(fb_request *request) {
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  fb_buf_add(&out, fb_openapi, fb_openapi_size);
  return fb_reply_json(request, 200, &out);
}

/* ── Rulesets ── */

static void S_describe(fb_buf *out, fb_slice name, const fb_ruleset_version *version) {
  char time[FB_TIME_TEXT_MAX];
  fb_time_format(version->made / 1000000000,
                 (uint32_t)(version->made % 1000000000 / 1000000 * 1000000), time);
  fb_buf_text(out, "\"name\":");
  fb_json_write_text(out, name, FB_JSON_COMPACT);
  fb_buf_printf(out,
                ",\"version\":%u,\"hash\":\"%s\",\"rules\":%zu,\"stateless\":%s,\"created\":\"%s\"",
                version->number, version->hash, fb_ruleset_count(version->set),
                version->stateless ? "true" : "false", time);
}

static void S_list_one(void *context, fb_slice name, const fb_ruleset_version *newest,
                       uint32_t versions) {
  fb_buf *out = context;
  fb_buf_text(out, out->ptr[out->len - 1] == '[' ? "{" : ",{");
  S_describe(out, name, newest);
  fb_buf_printf(out, ",\"versions\":%u}", versions);
}

static fb_answered S_list(fb_request *request) {
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  fb_buf_text(&out, "{\"type\":\"flyball.rulesets.v1\",\"rulesets\":[");
  if (!out.failed) fb_rulesets_each(request->server->rulesets, S_list_one, &out);
  fb_buf_text(&out, "]}\n");
  return fb_reply_json(request, 200, &out);
}

static void S_etag(fb_request *request, const fb_ruleset_version *version) {
  fb_reply_header(request, MHD_HTTP_HEADER_ETAG,
                  fb_arena_printf(&request->arena, "\"%s\"", version->hash));
}

static void S_rule(fb_buf *out, const fb_ruleset *set, size_t number) {
  fb_rule_info info = fb_ruleset_rule(set, number);
  fb_buf_text(out, number ? ",{\"name\":" : "{\"name\":");
  fb_json_write_text(out, info.name, FB_JSON_COMPACT);
  fb_buf_text(out, ",\"description\":");
  fb_json_write_text(out, info.description, FB_JSON_COMPACT);
  fb_buf_printf(out, ",\"line\":%u,\"salience\":%d,\"enabled\":%s}", info.line, (int)info.salience,
                info.enabled ? "true" : "false");
}

/* As JSON; or, if YAML or plain text is asked for, as it was sent. */
static fb_answered S_get(fb_request *request) {
  const char *number = fb_request_query(request, "version");
  fb_slice name = request->parameters[0];
  fb_buf out;
  fb_ruleset_version *version =
      fb_evaluate_ruleset(request, name, number ? strtoull(number, NULL, 10) : 0);
  if (!version) return FB_ANSWERED;
  S_etag(request, version);
  fb_buf_init(&out, NULL, 0);
  bool text = S_accepts(request, "yaml") || S_accepts(request, "text/plain");
  const char *have = fb_request_header(request, MHD_HTTP_HEADER_IF_NONE_MATCH);
  if (have && strstr(have, version->hash)) {
    fb_ruleset_version_drop(version);
    return fb_reply_empty(request, 304);
  }
  if (text) {
    fb_buf_add(&out, version->text, version->length);
  } else {
    fb_buf_text(&out, "{\"type\":\"flyball.ruleset.v1\",");
    S_describe(&out, name, version);
    fb_buf_text(&out, ",\"source\":");
    fb_json_write_text(&out, (fb_slice){version->text, version->length}, FB_JSON_COMPACT);
    fb_buf_text(&out, ",\"members\":[");
    for (size_t i = 0; i < fb_ruleset_count(version->set); i++) S_rule(&out, version->set, i);
    fb_buf_text(&out, "]}\n");
  }
  fb_ruleset_version_drop(version);
  fb_reply_json(request, 200, &out);
  if (text && request->reply.code == 200) request->reply.type = "application/yaml";
  return FB_ANSWERED;
}

/* "\"HASH\"" as the bare hash; "*" and NULL as they are. */
static const char *S_match(fb_request *request) {
  const char *header = fb_request_header(request, MHD_HTTP_HEADER_IF_MATCH);
  if (!header || header[0] != '"') return header;
  size_t length = strcspn(header + 1, "\"");
  return fb_arena_text(&request->arena, (fb_slice){header + 1, length});
}

static fb_answered S_put(fb_request *request) {
  bool json = fb_request_is(request, "application/json"), fresh = false;
  fb_slice name = request->parameters[0];
  fb_ruleset_version *version;
  fb_errors errors;
  fb_buf out;
  fb_errors_init(&errors, NULL, 0);
  const char *file =
      fb_arena_printf(&request->arena, "%.*s.%s", (int)(name.len < 128 ? name.len : 128), name.ptr,
                      json ? "json" : "yaml");
  fb_status status =
      file ? fb_rulesets_put(request->server->rulesets, name, fb_spool_slice(&request->body), file,
                             S_match(request), &version, &fresh, &errors)
           : FB_E_NOMEM;
  if (status != FB_OK) {
    fb_errors_sort(&errors);
    unsigned code = fb_problem_code(status);
    fb_reply_problems(request, code == 400 && status >= 2000 ? 422 : code, &errors);
  } else {
    S_etag(request, version);
    fb_buf_init(&out, NULL, 0);
    fb_buf_text(&out, "{\"type\":\"flyball.ruleset.v1\",");
    S_describe(&out, name, version);
    fb_buf_text(&out, "}\n");
    fb_ruleset_version_drop(version);
    fb_reply_json(request, fresh ? 201 : 200, &out);
  }
  fb_errors_release(&errors);
  return FB_ANSWERED;
}

static fb_answered S_delete(fb_request *request) {
  fb_slice name = request->parameters[0];
  if (fb_rulesets_delete(request->server->rulesets, name) == FB_OK)
    return fb_reply_empty(request, 204);
  return fb_reply_fail(request, 0, FB_E_SERVER_UNKNOWN, "there is no ruleset `%.*s`",
                       (int)(name.len < 100 ? name.len : 100), name.ptr);
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
    {"GET", "/v1/rulesets", FB_ROLE_VIEWER, false, false, S_list, NULL},
    {"GET", "/v1/rulesets/{name}", FB_ROLE_VIEWER, false, false, S_get, NULL},
    {"PUT", "/v1/rulesets/{name}", FB_ROLE_ADMIN, false, true, S_put, NULL},
    {"DELETE", "/v1/rulesets/{name}", FB_ROLE_ADMIN, false, false, S_delete, NULL},
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
};
const size_t fb_route_count = sizeof fb_routes / sizeof *fb_routes;
