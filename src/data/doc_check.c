/* SPDX-License-Identifier: Apache-2.0
 * What a document's reader finds wrong in the tree: errors at nodes, keys of maps. */
#include "data/doc.h"

#include <stdio.h>

enum { MAX_SPECS = 64 };

/* A collection's first line only, else the caret line would underline what is elsewhere. */
static size_t S_shown_length(const fb_doc *doc, const fb_node *node) {
  if (node->kind != FB_LIST && node->kind != FB_MAP) return node->length;
  bool flow = node->length && strchr("[{", doc->text[node->offset]);
  if (flow || node->kind == FB_LIST || !node->count) return flow ? node->length : 1;
  return node->as.pairs[0].key.length;
}

static fb_status S_fail(const fb_doc *doc, const fb_node *node, fb_errors *errors, fb_status code,
                        const char *hint, const char *format, va_list args) FB_PRINTF(6, 0);
static fb_status S_fail(const fb_doc *doc, const fb_node *node, fb_errors *errors, fb_status code,
                        const char *hint, const char *format, va_list args) {
  if (node->kind == FB_ERROR) return code;
  fb_error err;
  char text[sizeof err.text];
  vsnprintf(text, sizeof text, format, args);
  fb_fail(&err, code, "%s", text);
  if (errors && errors->count < errors->max)
    fb_error_locate(&err, doc->name, fb_doc_text(doc), node->offset, S_shown_length(doc, node));
  if (hint && *hint) fb_error_hint(&err, "%s", hint);
  return fb_errors_add(errors, &err);
}

fb_status fb_doc_fail(const fb_doc *doc, const fb_node *node, fb_errors *errors, fb_status code,
                      const char *hint, const char *format, ...) {
  va_list args;
  va_start(args, format);
  S_fail(doc, node, errors, code, hint, format, args);
  va_end(args);
  return code;
}

/* ── Keys ────────────────────────────────────────────────────────────────────────────────────── */

typedef struct S_check {
  const fb_doc *doc;
  const fb_node *map;
  const char *what;
  const fb_key_spec *specs;
  size_t count;
  fb_errors *errors;
  bool seen[MAX_SPECS];    /* there, of whatever kind */
  bool excused[MAX_SPECS]; /* a misspelled key is probably this one: not also "missing" */
  bool ok;
} S_check;

static size_t S_find_spec(const S_check *check, fb_slice key) {
  for (size_t i = 0; i < check->count; i++)
    if (fb_slice_equal(key, fb_slice_of(check->specs[i].name))) return i;
  return SIZE_MAX;
}

/* "a list, a map or text" */
static void S_say_kinds(uint32_t kinds, char *out, size_t size) {
  const char *phrases[FB_KIND_COUNT];
  size_t count = 0;
  bool number = (kinds & FB_KIND_BIT(FB_INT)) && (kinds & FB_KIND_BIT(FB_DOUBLE));
  for (unsigned kind = 0; kind <= FB_MAP; kind++) {
    bool integer = kind == FB_UINT && (kinds & FB_KIND_BIT(FB_INT));
    if (!(kinds & FB_KIND_BIT(kind)) || integer || (number && kind == FB_INT)) continue;
    phrases[count++] = number && kind == FB_DOUBLE ? "a number" : fb_doc_kind_phrase(kind);
  }
  out[0] = 0;
  size_t at = 0;
  for (size_t i = 0; i < count && at < size; i++) {
    int n = snprintf(out + at, size - at, "%s%s",
                     i == 0           ? ""
                     : i + 1 == count ? " or "
                                      : ", ",
                     phrases[i]);
    at += n > 0 ? (size_t)n : 0;
  }
}

static void S_wrong_kind(S_check *check, const fb_key_spec *spec, const fb_node *value) {
  char wanted[160];
  S_say_kinds(spec->kinds, wanted, sizeof wanted);
  fb_doc_fail(check->doc, value, check->errors, FB_E_DOC_WRONG_KIND, NULL,
              "`%s`: expected %s, found %s", spec->name, wanted, fb_node_describe(value));
  check->ok = false;
}

static void S_unknown_key(S_check *check, const fb_node *key) {
  const char *names[MAX_SPECS];
  size_t count = 0;
  char hint[200];
  for (size_t i = 0; i < check->count; i++)
    if (!fb_node_get_pair(check->map, check->specs[i].name)) names[count++] = check->specs[i].name;
  fb_slice word = fb_node_text(key);
  const char *near = fb_nearest(word, names, count);
  if (near) {
    check->excused[S_find_spec(check, fb_slice_of(near))] = true;
    snprintf(hint, sizeof hint, "did you mean `%s`?", near);
  } else {
    int at = snprintf(hint, sizeof hint, "known keys:");
    for (size_t i = 0; i < check->count && at < (int)sizeof hint; i++)
      at += snprintf(hint + at, sizeof hint - (size_t)at, "%s %s", i ? "," : "",
                     check->specs[i].name);
  }
  fb_doc_fail(check->doc, key, check->errors, FB_E_DOC_UNKNOWN_KEY, hint,
              "unknown key `%.*s` in %s", word.len > 80 ? 80 : (int)word.len, word.ptr,
              check->what);
  check->ok = false;
}

static void S_check_pair(S_check *check, const fb_pair *pair, const fb_node **nodes) {
  size_t number = S_find_spec(check, fb_node_text(&pair->key));
  if (number == SIZE_MAX) {
    S_unknown_key(check, &pair->key);
    return;
  }
  const fb_key_spec *spec = &check->specs[number];
  check->seen[number] = true;
  if (pair->value.kind == FB_ERROR)
    check->ok = false;
  else if (spec->kinds && !(spec->kinds & FB_KIND_BIT(pair->value.kind)))
    S_wrong_kind(check, spec, &pair->value);
  else
    nodes[number] = &pair->value;
}

bool fb_doc_keys(const fb_doc *doc, const fb_node *map, const char *what, const fb_key_spec *specs,
                 size_t count, const fb_node **nodes, fb_errors *errors) {
  for (size_t i = 0; i < count; i++) nodes[i] = NULL;
  if (map->kind != FB_MAP) {
    fb_doc_fail(doc, map, errors, FB_E_DOC_WRONG_KIND, NULL, "%s: expected a map, found %s", what,
                fb_node_describe(map));
    return false;
  }
  S_check check = {
      .doc = doc, .map = map, .what = what, .specs = specs, .errors = errors, .ok = true};
  check.count = count < MAX_SPECS ? count : MAX_SPECS;
  for (uint32_t i = 0; i < map->count; i++) S_check_pair(&check, &map->as.pairs[i], nodes);
  for (size_t i = 0; i < check.count; i++) {
    if (!specs[i].required || check.seen[i] || check.excused[i]) continue;
    fb_doc_fail(doc, map, errors, FB_E_DOC_MISSING_KEY, NULL, "%s lacks `%s`", what, specs[i].name);
    check.ok = false;
  }
  return check.ok;
}
