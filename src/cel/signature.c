/* SPDX-License-Identifier: Apache-2.0
 * Signatures of functions, read from the tables' text. */
#include "cel/env.h"

enum { MAX_PARAMS = 8 };

typedef struct S_reader {
  fb_arena *arena;
  const char *at;
  fb_status status;
} S_reader;

static bool S_take(S_reader *r, const char *text) {
  while (*r->at == ' ') r->at++;
  size_t len = strlen(text);
  if (strncmp(r->at, text, len) != 0) return false;
  r->at += len;
  return true;
}

static void S_expect(S_reader *r, const char *text) {
  if (!S_take(r, text) && !r->status) r->status = FB_E_INTERNAL;
}

static const fb_cel_type *S_type(S_reader *r);

static const fb_cel_type *S_composite(S_reader *r, fb_cel_kind kind) {
  if (!S_take(r, "(")) return fb_cel_simple(kind);
  const fb_cel_type *a = S_type(r), *b = NULL;
  if (kind == FB_CEL_MAP) {
    S_expect(r, ",");
    b = S_type(r);
  }
  S_expect(r, ")");
  if (r->status) return NULL;
  const fb_cel_type *type = fb_cel_type_make(r->arena, kind, a, b);
  if (!type) r->status = FB_E_NOMEM;
  return type;
}

static const fb_cel_type *S_param(S_reader *r, char letter) {
  fb_cel_type *type = fb_arena_zero(r->arena, sizeof *type);
  if (!type) {
    r->status = FB_E_NOMEM;
    return NULL;
  }
  *type = (fb_cel_type){.kind = FB_CEL_PARAM, .param = (uint32_t)(letter - 'A')};
  return type;
}

static const fb_cel_type *S_type(S_reader *r) {
  static const struct {
    const char *name;
    fb_cel_kind kind;
  } names[] = {
      {"dyn", FB_CEL_DYN},           {"null", FB_CEL_NULL},        {"bool", FB_CEL_BOOL},
      {"int", FB_CEL_INT},           {"uint", FB_CEL_UINT},        {"double", FB_CEL_DOUBLE},
      {"string", FB_CEL_STRING},     {"bytes", FB_CEL_BYTES},      {"timestamp", FB_CEL_TIMESTAMP},
      {"duration", FB_CEL_DURATION}, {"type", FB_CEL_TYPE},        {"list", FB_CEL_LIST},
      {"map", FB_CEL_MAP},           {"optional", FB_CEL_OPTIONAL}};
  if (r->status) return NULL;
  while (*r->at == ' ') r->at++;
  if (*r->at >= 'A' && *r->at <= 'Z') return S_param(r, *r->at++);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (!S_take(r, names[i].name)) continue;
    if (names[i].kind == FB_CEL_LIST || names[i].kind == FB_CEL_MAP ||
        names[i].kind == FB_CEL_OPTIONAL || names[i].kind == FB_CEL_TYPE)
      return S_composite(r, names[i].kind);
    return fb_cel_simple(names[i].kind);
  }
  r->status = FB_E_INTERNAL;
  return NULL;
}

/* Which kinds of value a parameter of that type takes. */
static uint32_t S_mask(const fb_cel_type *type) {
  static const uint8_t kinds[FB_CEL_ERROR + 1] = {
      [FB_CEL_NULL] = FB_NULL,         [FB_CEL_BOOL] = FB_BOOL,
      [FB_CEL_INT] = FB_INT,           [FB_CEL_UINT] = FB_UINT,
      [FB_CEL_DOUBLE] = FB_DOUBLE,     [FB_CEL_STRING] = FB_STRING,
      [FB_CEL_BYTES] = FB_BYTES,       [FB_CEL_TIMESTAMP] = FB_TIMESTAMP,
      [FB_CEL_DURATION] = FB_DURATION, [FB_CEL_LIST] = FB_LIST,
      [FB_CEL_MAP] = FB_MAP,           [FB_CEL_TYPE] = FB_TYPE,
      [FB_CEL_OPTIONAL] = FB_OPTIONAL};
  if (!type || type->kind == FB_CEL_DYN || type->kind == FB_CEL_PARAM)
    return FB_KIND_BIT(FB_ERROR) - 1; /* every kind before it */
  return FB_KIND_BIT(kinds[type->kind]);
}

static void S_params(S_reader *r, fb_cel_signature *sig, const fb_cel_type **params) {
  S_expect(r, "(");
  while (!r->status && !S_take(r, ")")) {
    if (sig->count == MAX_PARAMS) r->status = FB_E_INTERNAL;
    if (r->status) return;
    params[sig->count++] = S_type(r);
    sig->variadic = S_take(r, "...");
    S_take(r, ",");
  }
}

fb_status fb_cel_signature_parse(fb_arena *arena, const fb_cel_overload *overload,
                                 fb_cel_signature **ret_signature) {
  S_reader r = {.arena = arena, .at = overload->signature};
  const fb_cel_type *params[MAX_PARAMS] = {NULL};
  fb_cel_signature *sig = fb_arena_zero(arena, sizeof *sig);
  if (!sig) return FB_E_NOMEM;
  sig->overload = overload;
  if (*r.at != '(') {
    params[sig->count++] = S_type(&r);
    sig->member = true;
    S_expect(&r, ".");
  }
  if (!r.status) S_params(&r, sig, params);
  S_expect(&r, "->");
  sig->result = S_type(&r);
  if (r.status || !sig->result) return r.status ? r.status : FB_E_INTERNAL;
  sig->params = fb_arena_copy(arena, params, (sig->count + !sig->count) * sizeof *params);
  sig->masks = fb_arena_alloc(arena, (sig->count + 1) * sizeof *sig->masks);
  if (!sig->params || !sig->masks) return FB_E_NOMEM;
  for (uint32_t i = 0; i < sig->count; i++) sig->masks[i] = S_mask(params[i]);
  *ret_signature = sig;
  return FB_OK;
}
