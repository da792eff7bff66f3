/* SPDX-License-Identifier: Apache-2.0
 * JSON texts to trees and back: fb_json_read and fb_json_write beside jansson, cJSON and yajl, in turns on
 * the same bytes. Each reads the whole text, and frees what it made. The numbers of values found
 * must be the same, or there is no result. Of the peers only jansson is as strict (it refuses a repeated key and
 * bad UTF-8); cJSON checks neither. */
#include <flyball/data.h>

#include <jansson.h>
#if __has_include(<cJSON.h>)
#include <cJSON.h>
#define HAVE_CJSON 1
#endif
#if __has_include(<yajl/yajl_tree.h>)
#include <yajl/yajl_tree.h>
#define HAVE_YAJL 1
#endif

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 9, TEXT_SIZE = 8 << 20 };

/* ── Readers: how many values they found, 0 on failure ───────────────────────────────────────── */

static size_t S_count(fb_value value) {
  size_t count = 1;
  if (value.kind == FB_LIST)
    for (uint32_t i = 0; i < value.as.list->len; i++) count += S_count(value.as.list->items[i]);
  if (value.kind == FB_MAP)
    for (uint32_t i = 0; i < value.as.map->len; i++)
      count += S_count(value.as.map->entries[i].value);
  return count;
}

static size_t S_read_ours(fb_slice text) {
  fb_arena arena;
  fb_value value;
  fb_arena_init(&arena, NULL, 1 << 16);
  size_t count =
      fb_json_read(text, "bench", NULL, &arena, &value, NULL) == FB_OK ? S_count(value) : 0;
  fb_arena_release(&arena);
  return count;
}

static size_t S_count_jansson(const json_t *value) {
  size_t count = 1;
  const char *key;
  json_t *item;
  if (json_is_array(value))
    for (size_t i = 0; i < json_array_size(value); i++)
      count += S_count_jansson(json_array_get(value, i));
  else if (json_is_object(value))
    json_object_foreach((json_t *)(uintptr_t)value, key, item) count += S_count_jansson(item);
  return count;
}

static size_t S_read_jansson(fb_slice text) {
  json_error_t why;
  json_t *value = json_loadb(text.ptr, text.len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &why);
  size_t count = value ? S_count_jansson(value) : 0;
  json_decref(value);
  return count;
}

#ifdef HAVE_CJSON
static size_t S_count_cjson(const cJSON *value) {
  size_t count = 1;
  for (const cJSON *item = value->child; item; item = item->next) count += S_count_cjson(item);
  return count;
}

static size_t S_read_cjson(fb_slice text) {
  cJSON *value = cJSON_ParseWithLength(text.ptr, text.len);
  size_t count = value ? S_count_cjson(value) : 0;
  cJSON_Delete(value);
  return count;
}
#else
#define S_read_cjson NULL
#endif

#ifdef HAVE_YAJL
static size_t S_count_yajl(const struct yajl_val_s *value) {
  size_t count = 1;
  if (value->type == yajl_t_array)
    for (size_t i = 0; i < value->u.array.len; i++) count += S_count_yajl(value->u.array.values[i]);
  if (value->type == yajl_t_object)
    for (size_t i = 0; i < value->u.object.len; i++)
      count += S_count_yajl(value->u.object.values[i]);
  return count;
}

static size_t S_read_yajl(fb_slice text) { /* it wants a NUL at the end: the texts have one */
  char why[256];
  yajl_val value = yajl_tree_parse(text.ptr, why, sizeof why);
  size_t count = value ? S_count_yajl(value) : 0;
  yajl_tree_free(value);
  return count;
}
#else
#define S_read_yajl NULL
#endif

/* ── Writers: how many bytes they wrote, from a tree of the text made before ─────────────────── */

typedef struct fb_trees {
  fb_arena arena;
  fb_value ours;
  json_t *jansson;
#ifdef HAVE_CJSON
  cJSON *cjson;
#endif
} fb_trees;

static fb_trees
    S_trees; /* of the present workload: the contenders' functions take the text alone */

static void S_plant(fb_slice text) {
  json_error_t why;
  fb_arena_init(&S_trees.arena, NULL, 1 << 16);
  if (fb_json_read(text, "bench", NULL, &S_trees.arena, &S_trees.ours, NULL))
    S_trees.ours = fb_null();
  S_trees.jansson = json_loadb(text.ptr, text.len, 0, &why);
#ifdef HAVE_CJSON
  S_trees.cjson = cJSON_ParseWithLength(text.ptr, text.len);
#endif
}

static void S_fell(void) {
  fb_arena_release(&S_trees.arena);
  json_decref(S_trees.jansson);
#ifdef HAVE_CJSON
  cJSON_Delete(S_trees.cjson);
#endif
}

/* The proof is the number of values in the tree that was written: spellings of numbers and escapes differ. */
static size_t S_write_ours(fb_slice text) {
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  fb_json_write(&out, S_trees.ours, FB_JSON_COMPACT);
  size_t count = out.failed ? 0 : S_count(S_trees.ours);
  fb_buf_release(&out);
  return count;
}

static size_t S_write_jansson(fb_slice text) {
  char *out = json_dumps(S_trees.jansson, JSON_COMPACT);
  size_t count = out ? S_count_jansson(S_trees.jansson) : 0;
  free(out);
  return count;
}

#ifdef HAVE_CJSON
static size_t S_write_cjson(fb_slice text) {
  char *out = cJSON_PrintUnformatted(S_trees.cjson);
  size_t count = out ? S_count_cjson(S_trees.cjson) : 0;
  free(out);
  return count;
}
#else
#define S_write_cjson NULL
#endif

/* ── Workloads ───────────────────────────────────────────────────────────────────────────────── */

static void S_add_order(fb_buf *out, fb_random *random) {
  fb_buf_printf(out,
                "{\"type\":\"order\",\"id\":\"o-%llu\",\"customer\":\"c-%llu\",\"amount\":%llu.%"
                "02llu,\"quantity\":%llu,",
                (unsigned long long)fb_random_below(random, 10000000),
                (unsigned long long)fb_random_below(random, 50000),
                (unsigned long long)fb_random_below(random, 20000),
                (unsigned long long)fb_random_below(random, 100),
                (unsigned long long)fb_random_below(random, 100));
  fb_buf_printf(out, "\"paid\":%s,\"country\":\"%s\",\"at\":\"2026-11-20T16:%02llu:%02lluZ\"}",
                fb_random_below(random, 2) ? "true" : "false",
                fb_random_below(random, 2) ? "DE" : "FR",
                (unsigned long long)fb_random_below(random, 60),
                (unsigned long long)fb_random_below(random, 60));
}

static void S_add_message(fb_buf *out, fb_random *random) {
  fb_buf_printf(out,
                "{\"user\": {\"name\": \"Zo\xc3\xab \xe6\x97\xa5\xe6\x9c\xac\", \"followers\": "
                "%llu, \"verified\": false, \"url\": null},\n"
                "  \"text\": \"He said \\\"hello\\\" and left \xe2\x80\x93 then came back, twice, "
                "with a longer story to tell\\n\",\n"
                "  \"entities\": {\"tags\": [\"loop\", \"rule\"], \"urls\": [{\"url\": "
                "\"https:\\/\\/example.org\\/%llu\", \"indices\": [%llu, 23]}]},\n"
                "  \"id\": %llu, \"lang\": \"de\", \"retweeted\": true}",
                (unsigned long long)fb_random_below(random, 100000),
                (unsigned long long)fb_random_below(random, 100000),
                (unsigned long long)fb_random_below(random, 20),
                (unsigned long long)fb_random_u64(random) >> 2);
}

static void S_add_place(fb_buf *out, fb_random *random) {
  fb_buf_printf(out, "[%.15f,%.6f,%.17g]", fb_random_unit(random) * 180 - 90,
                fb_random_unit(random) * 360 - 180, fb_random_unit(random));
}

static void S_make(fb_buf *out, void (*add)(fb_buf *out, fb_random *random)) {
  fb_random random;
  fb_random_seed(&random, 1);
  fb_buf_init(out, NULL, 0);
  fb_buf_char(out, '[');
  while (out->len < TEXT_SIZE) {
    if (out->len > 1) fb_buf_char(out, ',');
    add(out, &random);
  }
  fb_buf_char(out, ']');
}

/* ── Measuring ───────────────────────────────────────────────────────────────────────────────── */

typedef struct fb_contender {
  const char *name;
  size_t (*work)(fb_slice text);
  double rates[ROUNDS]; /* MB/s */
  size_t proof;
} fb_contender;

static int S_compare_rates(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double S_median(fb_contender *contender) {
  qsort(contender->rates, ROUNDS, sizeof *contender->rates, S_compare_rates);
  return contender->rates[ROUNDS / 2];
}

static void S_print(const char *bench, const char *workload, fb_contender *ours, fb_contender *peer,
                    double reach) {
  printf(
      "{\"bench\":\"%s\",\"workload\":\"%s\",\"peer_name\":\"%s\",\"unit\":\"MB/"
      "s\",\"values\":%zu,",
      bench, workload, peer->name, ours->proof);
  if (!peer->work || !ours->proof || peer->proof != ours->proof) {
    printf(
        "\"ours\":%.0f,\"peer\":null,\"ratio\":null,\"reach\":%.1f,\"verdict\":\"not measured\"}\n",
        S_median(ours), reach);
    return;
  }
  double a = S_median(ours), b = S_median(peer);
  printf("\"ours\":%.0f,\"peer\":%.0f,\"ratio\":%.2f,\"reach\":%.1f,\"verdict\":\"%s\"}\n", a, b,
         a / b, reach, a / b >= reach ? "met" : "missed");
}

/* Processor time: all contenders are single-threaded, and what else the machine does must not count. */
static int64_t S_cpu(void) {
  struct timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static void S_measure(const char *bench, const char *workload, fb_slice text, size_t size,
                      fb_contender *contenders, size_t count, double reach) {
  for (int round = 0; round < ROUNDS; round++)
    for (size_t i = 0; i < count; i++) {
      if (!contenders[i].work) continue;
      int64_t start = S_cpu();
      contenders[i].proof = contenders[i].work(text);
      contenders[i].rates[round] = (double)size * 1e3 / (double)(S_cpu() - start);
    }
  for (size_t i = 1; i < count; i++)
    S_print(bench, workload, &contenders[0], &contenders[i], reach);
}

int main(void) {
  static const struct {
    const char *name;
    void (*add)(fb_buf *out, fb_random *random);
  } workloads[] = {{"flat orders", S_add_order},
                   {"nested messages", S_add_message},
                   {"coordinates", S_add_place}};
  for (size_t i = 0; i < sizeof workloads / sizeof *workloads; i++) {
    fb_buf text;
    S_make(&text, workloads[i].add);
    fb_contender readers[] = {{"flyball", S_read_ours, {0}, 0},
                              {"jansson", S_read_jansson, {0}, 0},
                              {"cJSON", S_read_cjson, {0}, 0},
                              {"yajl", S_read_yajl, {0}, 0}};
    S_measure("json_dom_read", workloads[i].name, fb_buf_slice(&text), text.len, readers,
              sizeof readers / sizeof *readers, 2);
    fb_contender writers[] = {{"flyball", S_write_ours, {0}, 0},
                              {"jansson", S_write_jansson, {0}, 0},
                              {"cJSON", S_write_cjson, {0}, 0}};
    S_plant(fb_buf_slice(&text));
    S_measure("json_dom_write", workloads[i].name, fb_buf_slice(&text), text.len, writers,
              sizeof writers / sizeof *writers, 2);
    S_fell();
    fb_buf_release(&text);
  }
  return 0;
}
