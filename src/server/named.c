/* SPDX-License-Identifier: Apache-2.0 */
#include "server/named.h"

#include "loop/runs.h"

#include <stdlib.h>

/* What is told of a ruleset or a mission, and how. */
typedef struct S_kind {
  fb_shelf_kind kind;
  const char *word, *list_type, *type, *list; /* "ruleset", "flyball.rulesets.v1", … */
} S_kind;

static const S_kind S_rulesets = {FB_SHELF_RULESETS, "ruleset", "flyball.rulesets.v1",
                                  "flyball.ruleset.v1", "rulesets"};
static const S_kind S_missions = {FB_SHELF_MISSIONS, "mission", "flyball.missions.v1",
                                  "flyball.mission.v1", "missions"};

static fb_shelf *S_shelf(const fb_request *request, const S_kind *kind) {
  return kind->kind == FB_SHELF_RULESETS ? request->server->rulesets : request->server->missions;
}

/* ── Writing ── */

static void S_describe(fb_buf *out, fb_slice name, const fb_edition *version) {
  fb_json_member(out, "name", name);
  fb_buf_printf(out, ",\"version\":%u,\"hash\":\"%s\",\"created\":", version->number,
                version->hash);
  fb_json_time(out, version->made);
  if (version->set)
    fb_buf_printf(out, ",\"rules\":%zu,\"stateless\":%s", fb_ruleset_count(version->set),
                  version->stateless ? "true" : "false");
}

static void S_rule(fb_buf *out, const fb_edition *version, size_t number) {
  fb_rule_info info = fb_ruleset_rule(version->set, number);
  fb_buf_text(out, number ? ",{" : "{");
  fb_json_member(out, "name", info.name);
  fb_json_member(out, "description", info.description);
  fb_buf_printf(out, ",\"line\":%u,\"salience\":%d,\"enabled\":%s", info.line, (int)info.salience,
                info.enabled ? "true" : "false");
  if (version->fired)
    fb_buf_printf(out, ",\"firings\":%llu", (unsigned long long)version->fired[number]);
  fb_buf_char(out, '}');
}

static void S_input(fb_buf *out, const fb_mission *mission, uint32_t number) {
  fb_input_info info;
  fb_mission_input(mission, number, &info);
  fb_buf_text(out, number ? ",{" : "{");
  fb_json_member(out, "name", info.name);
  fb_json_member(out, "type", fb_slice_of(info.type));
  fb_buf_printf(out, ",\"required\":%s", info.required ? "true" : "false");
  if (info.description.len) {
    fb_json_member(out, "description", info.description);
  }
  if (info.initial.kind != FB_ABSENT) {
    fb_buf_text(out, ",\"default\":");
    fb_json_write(out, info.initial, FB_JSON_COMPACT);
  }
  fb_buf_char(out, '}');
}

static void S_inputs(fb_buf *out, const fb_mission *mission) {
  fb_buf_text(out, ",\"inputs\":[");
  for (uint32_t i = 0; i < fb_mission_inputs(mission); i++) S_input(out, mission, i);
  fb_buf_char(out, ']');
}

static void S_description(fb_buf *out, const fb_edition *version) {
  const fb_node *node = fb_node_get(fb_doc_root(version->doc), "description");
  if (!node || node->kind != FB_STRING) return;
  fb_json_member(out, "description", fb_node_text(node));
}

/* ── List ── */

static void S_list_one(void *context, fb_slice name, const fb_edition *newest, uint32_t versions) {
  fb_buf *out = context;
  fb_buf_text(out, out->ptr[out->len - 1] == '[' ? "{" : ",{");
  S_describe(out, name, newest);
  if (newest->mission) {
    fb_buf_printf(out, ",\"steps\":%u", fb_mission_steps(newest->mission));
    S_description(out, newest);
    S_inputs(out, newest->mission);
  }
  fb_buf_printf(out, ",\"versions\":%u}", versions);
}

static fb_answered S_list(fb_request *request, const S_kind *kind) {
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  fb_buf_printf(&out, "{\"type\":\"%s\",\"%s\":[", kind->list_type, kind->list);
  if (!out.failed) fb_shelf_each(S_shelf(request, kind), S_list_one, &out);
  fb_buf_text(&out, "]}\n");
  return fb_reply_json(request, 200, &out);
}

/* ── Read ── */

static void S_etag(fb_request *request, const fb_edition *version) {
  fb_reply_header(request, MHD_HTTP_HEADER_ETAG,
                  fb_arena_printf(&request->arena, "\"%s\"", version->hash));
}

static fb_answered S_unknown(fb_request *request, const S_kind *kind) {
  fb_slice name = request->parameters[0];
  return fb_reply_fail(request, 0, FB_E_SERVER_UNKNOWN, "there is no %s `%.*s`", kind->word,
                       (int)(name.len < 100 ? name.len : 100), name.ptr);
}

static void S_members(fb_request *request, const fb_edition *version, fb_buf *out) {
  if (version->set) {
    fb_buf_text(out, ",\"members\":[");
    for (size_t i = 0; i < fb_ruleset_count(version->set); i++) S_rule(out, version, i);
    fb_buf_char(out, ']');
    return;
  }
  fb_value plan;
  S_description(out, version);
  S_inputs(out, version->mission);
  fb_buf_text(out, ",\"steps\":");
  if (fb_run_plan(version->mission, &request->arena, &plan))
    fb_json_write(out, plan, FB_JSON_COMPACT);
  else
    out->failed = true;
}

/* As JSON; or, if YAML or plain text is asked for, as it was sent. */
static fb_answered S_show(fb_request *request, const S_kind *kind) {
  uint64_t number = fb_request_number(request, "version", 0);
  fb_edition *version =
      number <= UINT32_MAX
          ? fb_shelf_get(S_shelf(request, kind), request->parameters[0], (uint32_t)number)
          : NULL;
  fb_buf out;
  if (!version) return S_unknown(request, kind);
  S_etag(request, version);
  fb_buf_init(&out, NULL, 0);
  bool text = fb_request_accepts(request, "yaml") || fb_request_accepts(request, "text/plain");
  const char *have = fb_request_header(request, MHD_HTTP_HEADER_IF_NONE_MATCH);
  if (have && strstr(have, version->hash)) {
    fb_edition_drop(version);
    return fb_reply_empty(request, 304);
  }
  if (text) {
    fb_buf_add(&out, version->text, version->length);
  } else {
    fb_buf_printf(&out, "{\"type\":\"%s\",", kind->type);
    S_describe(&out, request->parameters[0], version);
    fb_json_member(&out, "source", (fb_slice){version->text, version->length});
    S_members(request, version, &out);
    fb_buf_text(&out, "}\n");
  }
  fb_edition_drop(version);
  fb_reply_json(request, 200, &out);
  if (text && request->reply.code == 200) request->reply.type = "application/yaml";
  return FB_ANSWERED;
}

/* ── Change ── */

/* "\"HASH\"" as the bare hash; "*" and NULL as they are. */
static const char *S_match(fb_request *request) {
  const char *header = fb_request_header(request, MHD_HTTP_HEADER_IF_MATCH);
  if (!header || header[0] != '"') return header;
  size_t length = strcspn(header + 1, "\"");
  return fb_arena_text(&request->arena, (fb_slice){header + 1, length});
}

static void S_tell(fb_request *request, const S_kind *kind, const fb_edition *version) {
  const char *target =
      fb_arena_printf(&request->arena, "%.*s version %u", (int)request->parameters[0].len,
                      request->parameters[0].ptr, version->number);
  fb_audit_of(request, kind->kind == FB_SHELF_RULESETS ? "ruleset.put" : "mission.put",
              fb_slice_of(target ? target : ""));
  fb_shelf_publish(request->server, kind->word, request->parameters[0], version->number,
                   fb_request_who(request));
}

static fb_answered S_put(fb_request *request, const S_kind *kind) {
  bool json = fb_request_is(request, "application/json"), fresh = false;
  fb_slice name = request->parameters[0];
  fb_edition *version;
  fb_errors errors;
  fb_buf out;
  fb_errors_init(&errors, NULL, 0);
  const char *file =
      fb_arena_printf(&request->arena, "%.*s.%s", (int)(name.len < 128 ? name.len : 128), name.ptr,
                      json ? "json" : "yaml");
  fb_status status =
      file ? fb_shelf_put(S_shelf(request, kind), name, fb_spool_slice(&request->body), file, NULL,
                          S_match(request), &version, &fresh, &errors)
           : FB_E_NOMEM;
  if (status != FB_OK) {
    fb_errors_sort(&errors);
    unsigned code = fb_problem_code(status);
    fb_reply_problems(request, code == 400 && status >= 2000 && status < 7000 ? 422 : code,
                      &errors);
  } else {
    S_etag(request, version);
    S_tell(request, kind, version);
    fb_buf_init(&out, NULL, 0);
    fb_buf_printf(&out, "{\"type\":\"%s\",", kind->type);
    S_describe(&out, name, version);
    fb_buf_text(&out, "}\n");
    fb_edition_drop(version);
    fb_reply_json(request, fresh ? 201 : 200, &out);
  }
  fb_errors_release(&errors);
  return FB_ANSWERED;
}

static fb_answered S_delete(fb_request *request, const S_kind *kind) {
  fb_slice name = request->parameters[0];
  if (fb_shelf_delete(S_shelf(request, kind), name) != FB_OK) return S_unknown(request, kind);
  fb_audit_of(request, kind->kind == FB_SHELF_RULESETS ? "ruleset.delete" : "mission.delete", name);
  fb_shelf_publish(request->server, kind->word, name, 0, fb_request_who(request));
  return fb_reply_empty(request, 204);
}

/* ── Routes ── */

/* Missions run programs, and runs are to outlive the server: without a folder for both there are none. */
static bool S_has_state(fb_request *request) {
  fb_error err;
  if (request->server->options.state) return true;
  fb_fail(&err, FB_E_SERVER_STATE, "the server keeps no missions");
  fb_error_hint(&err, "start it with --state DIR");
  fb_reply_problem(request, 0, &err);
  return false;
}

fb_answered fb_rulesets_list(fb_request *request) {
  return S_list(request, &S_rulesets);
}

fb_answered fb_rulesets_show(fb_request *request) {
  return S_show(request, &S_rulesets);
}

fb_answered fb_rulesets_put(fb_request *request) {
  return S_put(request, &S_rulesets);
}

fb_answered fb_rulesets_delete(fb_request *request) {
  return S_delete(request, &S_rulesets);
}

fb_answered fb_missions_list(fb_request *request) {
  return S_list(request, &S_missions);
}

fb_answered fb_missions_show(fb_request *request) {
  return S_show(request, &S_missions);
}

fb_answered fb_missions_put(fb_request *request) {
  return S_has_state(request) ? S_put(request, &S_missions) : FB_ANSWERED;
}

fb_answered fb_missions_delete(fb_request *request) {
  return S_delete(request, &S_missions);
}
