/* SPDX-License-Identifier: Apache-2.0
 * jansson and cJSON build the tree they are made for, once a line. yajl reads all lines in one go through
 * callbacks that do as little as the proof needs. */
#include "data_peers.h"

#ifdef HAVE_JANSSON
#include <jansson.h>

static bool S_jansson(fb_slice text, data_proof *ret_proof) {
  data_proof proof = {0};
  for (const char *at = text.ptr, *end = at + text.len; at < end;) {
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    json_t *tree = json_loadb(at, (size_t)(stop - at), 0, NULL);
    if (!tree) return false;
    proof.rows++;
    proof.sum += json_number_value(json_object_get(tree, "amount"));
    json_decref(tree);
    at = stop + 1;
  }
  *ret_proof = proof;
  return true;
}
#else
#define S_jansson NULL
#endif

#ifdef HAVE_LIBCJSON
#include <cjson/cJSON.h>

static bool S_cjson(fb_slice text, data_proof *ret_proof) {
  data_proof proof = {0};
  for (const char *at = text.ptr, *end = at + text.len; at < end;) {
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    cJSON *tree = cJSON_ParseWithLength(at, (size_t)(stop - at));
    if (!tree) return false;
    proof.rows++;
    const cJSON *amount = cJSON_GetObjectItemCaseSensitive(tree, "amount");
    if (amount) proof.sum += amount->valuedouble;
    cJSON_Delete(tree);
    at = stop + 1;
  }
  *ret_proof = proof;
  return true;
}
#else
#define S_cjson NULL
#endif

#ifdef HAVE_YAJL
#include <yajl/yajl_parse.h>

typedef struct yajl_state {
  data_proof proof;
  int depth;
  bool amount;
} yajl_state;

static int S_key(void *context, const unsigned char *text, size_t len) {
  yajl_state *state = context;
  state->amount = len == 6 && memcmp(text, "amount", 6) == 0;
  return 1;
}
static int S_double(void *context, double d) {
  yajl_state *state = context;
  if (state->amount) state->proof.sum += d;
  return 1;
}
static int S_integer(void *context, long long i) {
  return S_double(context, (double)i);
}
static int S_string(void *context, const unsigned char *text, size_t len) {
  return 1;
}
static int S_boolean(void *context, int b) {
  return 1;
}
static int S_null(void *context) {
  return 1;
}
static int S_open(void *context) {
  yajl_state *state = context;
  state->proof.rows += state->depth++ == 0;
  state->amount = false;
  return 1;
}
static int S_close(void *context) {
  ((yajl_state *)context)->depth--;
  return 1;
}

static bool S_yajl(fb_slice text, data_proof *ret_proof) {
  static const yajl_callbacks callbacks = {S_null, S_boolean, S_integer, S_double, NULL,   S_string,
                                           S_open, S_key,     S_close,   S_open,   S_close};
  yajl_state state = {0};
  yajl_handle handle = yajl_alloc(&callbacks, NULL, &state);
  yajl_config(handle, yajl_allow_multiple_values, 1);
  bool good = yajl_parse(handle, (const unsigned char *)text.ptr, text.len) == yajl_status_ok &&
              yajl_complete_parse(handle) == yajl_status_ok;
  yajl_free(handle);
  *ret_proof = state.proof;
  return good;
}
#else
#define S_yajl NULL
#endif

const data_peer data_peers[DATA_PEERS] = {
    {"jansson", S_jansson}, {"cjson", S_cjson}, {"yajl", S_yajl}};
