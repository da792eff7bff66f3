/* SPDX-License-Identifier: Apache-2.0
 *
 * http: a request, and what came back. The world sends it; nothing waits for it in the meantime.
 */
#include "mission/plan.h"

#include <stdio.h>

enum { MOST_BODY = 16 << 20 };

typedef struct S_pair {
  fb_slice name;
  fb_text *value;
} S_pair;

typedef struct S_pairs {
  S_pair *items;
  uint32_t count;
} S_pairs;

typedef struct S_plan {
  const fb_node *node;
  fb_text *url, *method, *body, *json;
  fb_text *user, *password, *bearer;
  fb_text *proxy, *ca, *certificate, *key;
  S_pairs headers, query;
  fb_code_range *expect; /* NULL: 2xx */
  uint32_t expect_count;
  uint32_t redirects;
  int64_t connect_timeout;
  uint64_t max_body;
  bool no_verify, share;
} S_plan;

/* ── Loading ─────────────────────────────────────────────────────────────────────────────────── */

static bool S_is_token(fb_slice text) {
  for (size_t i = 0; i < text.len; i++) {
    char c = text.ptr[i];
    bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                (c && strchr("!#$%&'*+-.^_`|~", c));
    if (!good) return false;
  }
  return text.len > 0;
}

static fb_status S_load_pairs(fb_mission_loader *loader, const fb_node *node, bool headers,
                              S_pairs *ret_pairs) {
  if (!node) return FB_OK;
  ret_pairs->items =
      fb_arena_zero(fb_loader_arena(loader), (node->count + 1) * sizeof *ret_pairs->items);
  if (!ret_pairs->items) return FB_E_NOMEM;
  for (uint32_t i = 0; i < node->count; i++) {
    const fb_pair *pair = &node->as.pairs[i];
    fb_slice name = fb_node_text(&pair->key);
    if (headers && !S_is_token(name))
      fb_load_fail(loader, &pair->key, FB_E_MISSION_VALUE, "", "not a name of a header");
    fb_text *value = fb_loader_text(loader, &pair->value, NULL);
    if (value) ret_pairs->items[ret_pairs->count++] = (S_pair){name, value};
  }
  return FB_OK;
}

static void S_load_auth(fb_mission_loader *loader, const fb_node *node, S_plan *plan) {
  static const fb_key_spec specs[] = {
      {"user", 0, false}, {"password", 0, false}, {"bearer", 0, false}};
  const fb_node *nodes[3] = {0};
  if (!node) return;
  fb_doc_keys(loader->doc, node, "auth", specs, 3, nodes, loader->errors);
  if (node->kind != FB_MAP) return;
  if ((nodes[2] != NULL) == (nodes[0] != NULL) || (nodes[1] && !nodes[0]))
    fb_load_fail(loader, node, FB_E_MISSION_SYNTAX, "",
                 "`auth` takes user and password, or bearer");
  if (nodes[0]) plan->user = fb_loader_text(loader, nodes[0], NULL);
  if (nodes[1]) plan->password = fb_loader_text(loader, nodes[1], NULL);
  if (nodes[2]) plan->bearer = fb_loader_text(loader, nodes[2], NULL);
}

enum {
  H_URL,
  H_METHOD,
  H_HEADERS,
  H_QUERY,
  H_BODY,
  H_JSON,
  H_AUTH,
  H_REDIRECTS,
  H_EXPECT,
  H_PROXY,
  H_CA,
  H_CERTIFICATE,
  H_KEY,
  H_VERIFY,
  H_CONNECT_TIMEOUT,
  H_MAX_BODY,
  H_SHARE,
  H_COUNT
};

static void S_load_texts(fb_mission_loader *loader, const fb_node *const *nodes, S_plan *plan) {
  struct {
    int key;
    fb_text **text;
  } texts[] = {{H_URL, &plan->url},     {H_METHOD, &plan->method},
               {H_BODY, &plan->body},   {H_JSON, &plan->json},
               {H_PROXY, &plan->proxy}, {H_CA, &plan->ca},
               {H_KEY, &plan->key},     {H_CERTIFICATE, &plan->certificate}};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    if (nodes[texts[i].key]) *texts[i].text = fb_loader_text(loader, nodes[texts[i].key], NULL);
}

static void S_load_rest(fb_mission_loader *loader, const fb_node *const *nodes, S_plan *plan) {
  fb_guard_reader reader = {
      .doc = loader->doc, .errors = loader->errors, .arena = fb_loader_arena(loader)};
  const fb_node *redirects = nodes[H_REDIRECTS];
  if (nodes[H_BODY] && nodes[H_JSON])
    fb_load_fail(loader, nodes[H_JSON], FB_E_MISSION_SYNTAX, "", "there are two bodies: one goes");
  if (redirects && redirects->kind == FB_BOOL && !redirects->as.scalar.as.b) plan->redirects = 0;
  if (redirects && redirects->kind == FB_INT) {
    int64_t most = redirects->as.scalar.as.i;
    if (most < 0 || most > 100)
      fb_load_fail(loader, redirects, FB_E_MISSION_VALUE, "", "`redirects` is from 0 to 100");
    else
      plan->redirects = (uint32_t)most;
  }
  plan->no_verify = nodes[H_VERIFY] && !nodes[H_VERIFY]->as.scalar.as.b;
  plan->share = !nodes[H_SHARE] || nodes[H_SHARE]->as.scalar.as.b;
  plan->connect_timeout = fb_load_duration(loader, nodes[H_CONNECT_TIMEOUT]);
  plan->max_body = fb_load_size(loader, nodes[H_MAX_BODY], MOST_BODY);
  if (nodes[H_EXPECT])
    fb_guard_read_codes(&reader, nodes[H_EXPECT], &plan->expect, &plan->expect_count);
  if (reader.out_of_memory) loader->out_of_memory = true;
}

static fb_status S_load(fb_mission_loader *loader, const fb_node *node, void **ret_plan) {
  static const uint32_t text = FB_KIND_BIT(FB_STRING), map = FB_KIND_BIT(FB_MAP),
                        yes = FB_KIND_BIT(FB_BOOL), whole = FB_KIND_BIT(FB_INT);
  static const fb_key_spec specs[H_COUNT] = {[H_URL] = {"url", text, true},
                                             [H_METHOD] = {"method", text, false},
                                             [H_HEADERS] = {"headers", map, false},
                                             [H_QUERY] = {"query", map, false},
                                             [H_BODY] = {"body", 0, false},
                                             [H_JSON] = {"json", 0, false},
                                             [H_AUTH] = {"auth", map, false},
                                             [H_REDIRECTS] = {"redirects", yes | whole, false},
                                             [H_EXPECT] = {"expect", 0, false},
                                             [H_PROXY] = {"proxy", text, false},
                                             [H_CA] = {"ca", text, false},
                                             [H_CERTIFICATE] = {"certificate", text, false},
                                             [H_KEY] = {"key", text, false},
                                             [H_VERIFY] = {"verify", yes, false},
                                             [H_CONNECT_TIMEOUT] = {"connect_timeout", 0, false},
                                             [H_MAX_BODY] = {"max_body", whole | text, false},
                                             [H_SHARE] = {"share", yes, false}};
  const fb_node *nodes[H_COUNT] = {0};
  S_plan *plan = fb_arena_zero(fb_loader_arena(loader), sizeof *plan);
  if (!plan) return FB_E_NOMEM;
  *ret_plan = plan;
  plan->node = node;
  plan->redirects = 10;
  plan->max_body = MOST_BODY;
  plan->share = true;
  if (node->kind == FB_STRING) {
    plan->url = fb_loader_text(loader, node, NULL);
    return FB_OK;
  }
  fb_doc_keys(loader->doc, node, "http", specs, H_COUNT, nodes, loader->errors);
  if (node->kind != FB_MAP) return FB_E_MISSION_SYNTAX;
  S_load_texts(loader, nodes, plan);
  S_load_auth(loader, nodes[H_AUTH], plan);
  S_load_rest(loader, nodes, plan);
  fb_status status = S_load_pairs(loader, nodes[H_HEADERS], true, &plan->headers);
  return status ? status : S_load_pairs(loader, nodes[H_QUERY], false, &plan->query);
}

/* ── Preparing ───────────────────────────────────────────────────────────────────────────────── */

typedef struct S_job {
  fb_http_request request;
  fb_exchange *exchange;
} S_job;

/* NULL stays NULL. */
static fb_status S_text(fb_call *call, const fb_text *text, const char *what, const char **ret_text,
                        fb_error *err) {
  fb_slice value;
  if (!text) return FB_OK;
  fb_status status = fb_scope_text(&call->scope, text, &value, err);
  if (status) return status;
  if (value.len && memchr(value.ptr, 0, value.len))
    return fb_fail(err, FB_E_STEP_VALUE, "%s has a NUL byte in it", what);
  *ret_text = fb_arena_text(call->arena, value);
  return *ret_text ? FB_OK : fb_fail(err, FB_E_NOMEM, "out of memory");
}

static void S_percent(fb_buf *out, fb_slice text) {
  static const char hex[] = "0123456789ABCDEF";
  for (size_t i = 0; i < text.len; i++) {
    unsigned char c = (unsigned char)text.ptr[i];
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                 c == '-' || c == '_' || c == '.' || c == '~';
    if (plain) {
      fb_buf_char(out, (char)c);
    } else {
      fb_buf_char(out, '%');
      fb_buf_char(out, hex[c >> 4]);
      fb_buf_char(out, hex[c & 15]);
    }
  }
}

static fb_status S_add_query(fb_call *call, fb_slice name, fb_value value, fb_buf *out,
                             fb_error *err) {
  fb_slice text;
  fb_status status = fb_scope_render(&call->scope, value, &text, err);
  if (status) return status;
  fb_buf_char(out, out->ptr && strchr(out->ptr, '?') ? '&' : '?');
  S_percent(out, name);
  fb_buf_char(out, '=');
  S_percent(out, text);
  return FB_OK;
}

/* The query goes before a fragment, which is not sent. A list is that many; null is left out. */
static fb_status S_prepare_url(const S_plan *plan, fb_call *call, fb_http_request *request,
                               fb_error *err) {
  fb_status status = S_text(call, plan->url, "the URL", &request->url, err);
  if (status || plan->query.count == 0) return status;
  fb_buf out;
  fb_buf_init(&out, call->arena->allocator, 0);
  fb_buf_add(&out, request->url, strcspn(request->url, "#"));
  for (uint32_t i = 0; i < plan->query.count && !status; i++) {
    const S_pair *pair = &plan->query.items[i];
    fb_value value;
    status = fb_scope_value(&call->scope, pair->value, &value, err);
    if (status || value.kind == FB_NULL) continue;
    if (value.kind != FB_LIST) status = S_add_query(call, pair->name, value, &out, err);
    for (uint32_t k = 0; value.kind == FB_LIST && k < value.as.list->len && !status; k++)
      status = S_add_query(call, pair->name, value.as.list->items[k], &out, err);
  }
  if (!status) {
    request->url = out.failed ? NULL : fb_arena_text(call->arena, fb_buf_slice(&out));
    if (!request->url) status = fb_fail(err, FB_E_NOMEM, "out of memory");
  }
  fb_buf_release(&out);
  return status;
}

static bool S_has_header(const fb_http_header *headers, size_t count, const char *name) {
  return fb_http_header_of(headers, count, name).ptr != NULL;
}

static fb_status S_prepare_headers(const S_plan *plan, fb_call *call, fb_http_request *request,
                                   fb_error *err) {
  fb_http_header *headers = fb_arena_zero(call->arena, (plan->headers.count + 2) * sizeof *headers);
  size_t count = 0;
  if (!headers) return fb_fail(err, FB_E_NOMEM, "out of memory");
  for (uint32_t i = 0; i < plan->headers.count; i++) {
    fb_slice value;
    fb_status status = fb_scope_text(&call->scope, plan->headers.items[i].value, &value, err);
    if (status) return status;
    if (!value.ptr) value.ptr = "";
    headers[count++] = (fb_http_header){plan->headers.items[i].name, value};
  }
  if (plan->json && !S_has_header(headers, count, "content-type"))
    headers[count++] = (fb_http_header){FB_SLICE("Content-Type"), FB_SLICE("application/json")};
  if (plan->bearer) {
    const char *token = NULL;
    fb_status status = S_text(call, plan->bearer, "the token", &token, err);
    if (status) return status;
    token = fb_arena_printf(call->arena, "Bearer %s", token);
    if (!token) return fb_fail(err, FB_E_NOMEM, "out of memory");
    headers[count++] = (fb_http_header){FB_SLICE("Authorization"), fb_slice_of(token)};
  }
  request->headers = headers;
  request->header_count = count;
  return FB_OK;
}

static fb_status S_prepare_body(const S_plan *plan, fb_call *call, fb_http_request *request,
                                fb_error *err) {
  fb_value value;
  if (plan->body) return fb_scope_text(&call->scope, plan->body, &request->body, err);
  if (!plan->json) return FB_OK;
  fb_status status = fb_scope_value(&call->scope, plan->json, &value, err);
  if (status) return status;
  fb_buf buf;
  fb_buf_init(&buf, call->arena->allocator, 0);
  fb_json_write(&buf, value, FB_JSON_COMPACT);
  const char *copy = buf.failed ? NULL : fb_arena_text(call->arena, fb_buf_slice(&buf));
  request->body = (fb_slice){copy, buf.len};
  fb_buf_release(&buf);
  return copy ? FB_OK : fb_fail(err, FB_E_NOMEM, "out of memory");
}

static fb_status S_prepare(const void *tool_plan, fb_call *call, fb_error *err) {
  const S_plan *plan = tool_plan;
  S_job *job = fb_arena_zero(call->arena, sizeof *job);
  if (!job) return fb_fail(err, FB_E_NOMEM, "out of memory");
  fb_http_request *request = &job->request;
  call->state = job;
  request->redirects = plan->redirects;
  request->max_body = plan->max_body;
  request->connect_timeout = plan->connect_timeout;
  request->no_verify = plan->no_verify;
  request->share = plan->share;
  fb_status status = S_prepare_url(plan, call, request, err);
  if (!status) status = S_text(call, plan->method, "the method", &request->method, err);
  if (!status) status = S_text(call, plan->user, "the user", &request->user, err);
  if (!status) status = S_text(call, plan->password, "the password", &request->password, err);
  if (request->user && !request->password) request->password = "";
  if (!status) status = S_text(call, plan->proxy, "the proxy", &request->proxy, err);
  if (!status) status = S_text(call, plan->ca, "`ca`", &request->ca_file, err);
  if (!status)
    status = S_text(call, plan->certificate, "`certificate`", &request->certificate, err);
  if (!status) status = S_text(call, plan->key, "`key`", &request->key, err);
  if (!status) status = S_prepare_headers(plan, call, request, err);
  if (!status) status = S_prepare_body(plan, call, request, err);
  return status;
}

/* ── The answer ──────────────────────────────────────────────────────────────────────────────── */

static bool S_put(fb_map *map, fb_arena *arena, fb_slice key, fb_value value) {
  return map && fb_map_put(map, arena, fb_string(key), value, NULL);
}

static fb_slice S_keep(fb_arena *arena, fb_slice text) {
  const char *copy = fb_arena_text(arena, text);
  return (fb_slice){copy, copy ? text.len : 0};
}

/* Names in lower case; what comes more than once is joined by ", ". */
static fb_map *S_headers(const fb_http_answer *answer, fb_arena *arena) {
  fb_map *map = fb_map_new(arena, (uint32_t)answer->header_count);
  for (size_t i = 0; map && i < answer->header_count; i++) {
    fb_slice name = S_keep(arena, answer->headers[i].name);
    fb_slice value = S_keep(arena, answer->headers[i].value);
    if (!name.ptr || !value.ptr) return NULL;
    for (size_t k = 0; k < name.len; k++)
      if (name.ptr[k] >= 'A' && name.ptr[k] <= 'Z') ((char *)name.ptr)[k] += 'a' - 'A';
    const fb_value *before = fb_map_get_text(map, name);
    if (before) {
      fb_slice first = fb_value_text(*before);
      value = fb_slice_of(fb_arena_printf(arena, "%.*s, %.*s", (int)first.len, first.ptr,
                                          (int)value.len, value.ptr));
    }
    if (!S_put(map, arena, name, fb_text_or_bytes(value))) return NULL;
  }
  return map;
}

/* A body that says it is JSON, as a value; null when it is not. */
static fb_value S_json(const fb_http_answer *answer, fb_arena *arena) {
  fb_slice type = fb_http_header_of(answer->headers, answer->header_count, "content-type");
  fb_value value = fb_null();
  if (!type.ptr || !memmem(type.ptr, type.len, "json", 4)) return value;
  return fb_json_read(answer->body, "<body>", NULL, arena, &value, NULL) ? fb_null() : value;
}

static fb_status S_output(fb_call *call, const fb_http_answer *answer) {
  fb_arena *arena = call->arena;
  fb_map *map = fb_map_new(arena, 5), *headers = S_headers(answer, arena);
  fb_slice body = S_keep(arena, answer->body), url = S_keep(arena, fb_slice_of(answer->url));
  bool good = map && headers && body.ptr && url.ptr &&
              S_put(map, arena, FB_SLICE("status"), fb_int(answer->code)) &&
              S_put(map, arena, FB_SLICE("headers"), fb_map_value(headers)) &&
              S_put(map, arena, FB_SLICE("body"), fb_text_or_bytes(body)) &&
              S_put(map, arena, FB_SLICE("json"), S_json(answer, arena)) &&
              S_put(map, arena, FB_SLICE("url"), fb_text_or_bytes(url));
  if (good) call->output = fb_map_value(map);
  return good ? FB_OK : FB_E_NOMEM;
}

static bool S_expected(const S_plan *plan, int code) {
  if (!plan->expect) return code >= 200 && code <= 299;
  for (uint32_t i = 0; i < plan->expect_count; i++)
    if (code >= plan->expect[i].first && code <= plan->expect[i].last) return true;
  return false;
}

/* The first line of what the server says about it, for the message. */
static void S_status_error(const fb_http_answer *answer, fb_error *err) {
  char words[121] = "";
  size_t length = 0;
  for (; length < answer->body.len && length < sizeof words - 1; length++) {
    unsigned char c = (unsigned char)answer->body.ptr[length];
    if (c == '\n' || c == '\r') break;
    words[length] = c < ' ' || c == 0x7f ? ' ' : (char)c;
  }
  while (length && !fb_utf8_valid(words, length, NULL)) length--;
  fb_fail(err, FB_E_STEP_STATUS, "HTTP status %d%s%.*s", answer->code, length ? ": " : "",
          (int)length, words);
}

static void S_answered(void *user, const fb_http_answer *answer) {
  fb_call *call = user;
  S_job *job = call->state;
  fb_error err = {0};
  job->exchange = NULL;
  call->retry_after = answer->retry_after;
  if (answer->status) {
    fb_call_done(call, answer->error);
    return;
  }
  call->note = fb_arena_printf(call->arena, "%d, %zu bytes", answer->code, answer->body.len);
  if (S_output(call, answer)) {
    fb_fail(&err, FB_E_NOMEM, "out of memory");
  } else if (!S_expected(fb_call_plan(call), answer->code)) {
    call->http_status = answer->code;
    S_status_error(answer, &err);
  }
  fb_call_done(call, err.code ? &err : NULL);
}

static fb_status S_begin(const void *plan, fb_call *call, fb_error *err) {
  S_job *job = call->state;
  const fb_world *world = call->world;
  (void)plan;
  if (!world->http) return fb_fail(err, FB_E_NET, "there is no network here");
  return world->http(world->context, &job->request, S_answered, call, &job->exchange, err);
}

static bool S_cancel(const void *plan, fb_call *call, bool now) {
  S_job *job = call->state;
  (void)plan;
  (void)now;
  if (!job->exchange) return false;
  call->world->http_cancel(call->world->context, job->exchange);
  job->exchange = NULL;
  return true;
}

static void S_describe(const void *tool_plan, fb_step_scope *scope, fb_buf *out) {
  const S_plan *plan = tool_plan;
  if (plan->method)
    fb_scope_show(scope, plan->method, out);
  else
    fb_buf_text(out, plan->body || plan->json ? "POST" : "GET");
  fb_buf_char(out, ' ');
  fb_scope_show(scope, plan->url, out);
  for (uint32_t i = 0; i < plan->query.count; i++) {
    fb_buf_printf(out, "%s%.*s=", i ? "&" : "?", (int)plan->query.items[i].name.len,
                  plan->query.items[i].name.ptr);
    fb_scope_show(scope, plan->query.items[i].value, out);
  }
}

const fb_tool fb_tool_http = {.key = "http",
                              .load = S_load,
                              .prepare = S_prepare,
                              .begin = S_begin,
                              .cancel = S_cancel,
                              .describe = S_describe};
