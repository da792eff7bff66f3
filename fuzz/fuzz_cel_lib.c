/* SPDX-License-Identifier: Apache-2.0
 * The functions of expressions: two bytes choose an overload, the others are its arguments. Results must be
 * sound values (clean texts, no error or absence inside), and pairs of functions must agree: what is split
 * joins to the same, what is encoded decodes to the same, what is found is there. */
#include "cel/lib.h"
#include "cel/regex.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void S_check(bool holds) {
  if (!holds) abort();
}

typedef struct S_input {
  const uint8_t *at, *end;
  fb_arena *arena;
} S_input;

static uint64_t S_number(S_input *in) {
  uint64_t number = 0;
  size_t have = (size_t)(in->end - in->at), take = have < 8 ? have : 8;
  /* Small numbers often: most positions and counts are. */
  if (take && in->at[0] < 0xC0) return *in->at++;
  for (size_t i = 0; i < take; i++) number = number << 8 | *in->at++;
  return number;
}

/* Up to the next zero byte; bad bytes become question marks where it must be a text. */
static fb_slice S_text(S_input *in, bool clean) {
  size_t have = (size_t)(in->end - in->at), len = 0, bad;
  while (len < have && in->at[len]) len++;
  char *copy = fb_arena_alloc(in->arena, len + 1);
  if (!copy) return (fb_slice){"", 0};
  memcpy(copy, in->at, len);
  while (clean && !fb_utf8_valid(copy, len, &bad)) copy[bad] = '?';
  in->at += len + (len < have);
  return (fb_slice){copy, len};
}

static fb_value S_argument(S_input *in, const char *type, int depth);

static fb_value S_items(S_input *in, const char *type, int depth) {
  fb_list *list = fb_list_new(in->arena, 4);
  size_t count = in->at < in->end ? *in->at++ % 12 : 0;
  for (size_t i = 0; list && i < count; i++)
    if (!fb_list_push(list, in->arena, S_argument(in, type, depth + 1))) return fb_null();
  return list ? fb_list_value(list) : fb_null();
}

static fb_value S_map(S_input *in, int depth) {
  fb_map *map = fb_map_new(in->arena, 4);
  size_t count = in->at < in->end ? *in->at++ % 12 : 0;
  for (size_t i = 0; map && i < count; i++) {
    fb_value key = i % 3 ? fb_string(S_text(in, true)) : fb_int((int64_t)S_number(in));
    if (!fb_map_put(map, in->arena, key, S_argument(in, "dyn", depth + 1), NULL)) return fb_null();
  }
  return map ? fb_map_value(map) : fb_null();
}

static fb_value S_box(S_input *in, int depth) {
  fb_value inside = S_argument(in, "dyn", depth + 1),
           *box = fb_arena_copy(in->arena, &inside, sizeof inside);
  return fb_optional(in->at < in->end && *in->at % 3 == 0 ? NULL : box);
}

static bool S_is(const char *type, const char *name) {
  return strncmp(type, name, strlen(name)) == 0;
}

static fb_value S_double(S_input *in) {
  double d;
  uint64_t bits = S_number(in);
  if (bits < 256) return fb_double(((double)bits - 100) / 8);
  memcpy(&d, &bits, sizeof d);
  return fb_double(d);
}

static fb_value S_argument(S_input *in, const char *type, int depth) {
  static const char *const any[] = {"int",      "string",   "double",    "list(dyn)",
                                    "uint",     "bytes",    "bool",      "null",
                                    "optional", "duration", "timestamp", "map(dyn)"};
  if (S_is(type, "dyn") || (type[0] >= 'A' && type[0] <= 'Z')) {
    size_t pick = in->at < in->end ? *in->at++ % (sizeof any / sizeof *any) : 0;
    return S_argument(in, any[depth > 4 ? pick % 3 : pick], depth);
  }
  if (S_is(type, "string")) return fb_string(S_text(in, true));
  if (S_is(type, "bytes")) return fb_bytes(S_text(in, false));
  if (S_is(type, "int")) return fb_int((int64_t)S_number(in));
  if (S_is(type, "uint")) return fb_uint(S_number(in));
  if (S_is(type, "double")) return S_double(in);
  if (S_is(type, "bool")) return fb_bool(S_number(in) & 1);
  if (S_is(type, "timestamp"))
    return fb_timestamp((int64_t)(S_number(in) % UINT64_C(315537897600)) - INT64_C(62135596800),
                        (uint32_t)(S_number(in) % 1000000000));
  if (S_is(type, "duration"))
    return fb_duration((int64_t)(S_number(in) % 18000000000) - 9000000000,
                       (uint32_t)(S_number(in) % 1000000000));
  if (S_is(type, "list(")) return S_items(in, type + 5, depth);
  if (S_is(type, "map(")) return S_map(in, depth);
  if (S_is(type, "optional")) return S_box(in, depth);
  return fb_null();
}

enum { MAX_ARGS = 6 };

/* Makes the arguments that the signature names. */
static uint32_t S_arguments(S_input *in, const char *signature, fb_value *args) {
  uint32_t count = 0;
  if (*signature != '(') {
    args[count++] = S_argument(in, signature, 0);
    signature = strstr(signature, ".(") + 1;
  }
  int depth = 0;
  bool fresh = true;
  for (const char *at = signature + 1; !(*at == ')' && depth == 0) && count < MAX_ARGS; at++) {
    if (fresh && *at != ' ') {
      args[count++] = S_argument(in, at, 0);
      fresh = false;
    }
    depth += (*at == '(') - (*at == ')');
    fresh |= *at == ',' && depth == 0;
  }
  return count;
}

static void S_check_value(fb_value value, uint32_t depth) {
  S_check(depth < 64 && value.kind < FB_ERROR && value.kind != FB_FACT);
  if (value.kind == FB_STRING) S_check(fb_utf8_valid(value.as.text, value.len, NULL));
  if (value.kind == FB_TIMESTAMP || value.kind == FB_DURATION) S_check(value.len < 1000000000);
  if (value.kind == FB_OPTIONAL && value.as.optional) S_check_value(*value.as.optional, depth + 1);
  if (value.kind == FB_LIST)
    for (uint32_t i = 0; i < value.as.list->len; i++)
      S_check_value(value.as.list->items[i], depth + 1);
}

static void S_check_same(fb_value got, fb_value want) {
  S_check(got.kind == FB_ERROR || fb_value_equal(got, want));
}

/* What one function made, another must take apart again. */
static void S_check_pairs(fb_cel_context *context, const char *name, const fb_value *args,
                          uint32_t count, fb_value result) {
  fb_value pair[3] = {result, count > 1 ? args[1] : fb_null()};
  if (!strcmp(name, "split") && count == 2) S_check_same(fb_lib_join(context, pair, 2), args[0]);
  if (!strcmp(name, "base64.encode")) S_check_same(fb_lib_base64_decode(context, pair, 1), args[0]);
  if (!strcmp(name, "reverse") && args[0].kind == FB_STRING)
    S_check_same(fb_lib_reverse_string(context, pair, 1), args[0]);
  if (!strcmp(name, "duration") && args[0].kind == FB_STRING) {
    fb_value text = fb_cel_to_string(context, result);
    if (text.kind == FB_STRING) S_check_same(fb_lib_duration_string(context, &text, 1), result);
  }
  bool finds = !strcmp(name, "indexOf") || !strcmp(name, "lastIndexOf");
  if (finds && result.as.i >= 0 && args[1].len) {
    fb_value rest[2] = {args[0], result}, from[2];
    from[0] = fb_lib_substring(context, rest, 2);
    from[1] = args[1];
    S_check(from[0].kind == FB_ERROR || fb_lib_starts_with(context, from, 2).as.b);
  }
  if (finds && result.as.i < 0 && count == 2)
    S_check_same(fb_lib_contains(context, args, 2), fb_bool(false));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2) return 0;
  size_t libraries;
  const fb_cel_library *library = fb_cel_libraries(&libraries);
  const fb_cel_overload *overload =
      &library->overloads[(data[0] | (size_t)data[1] << 8) % library->count];
  fb_arena arena;
  fb_arena_init(&arena, NULL, 0);
  fb_cel_context context = {
      .arena = &arena, .steps = 200000, .max_size = 1 << 20, .zone = fb_zone_system};
  S_input in = {data + 2, data + size, &arena};
  fb_value args[MAX_ARGS];
  uint32_t count = S_arguments(&in, overload->signature, args);
  fb_value result = overload->function(&context, args, count);
  if (result.kind != FB_ERROR) {
    S_check_value(result, 0);
    S_check_pairs(&context, overload->name, args, count, result);
  } else {
    S_check(result.as.error->code > FB_DONE && result.as.error->text[0]);
  }
  fb_regex_cache_free(context.regexes);
  fb_arena_release(&arena);
  return 0;
}
