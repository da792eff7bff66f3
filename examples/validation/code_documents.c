/* SPDX-License-Identifier: Apache-2.0
 * CODE's infrastructure scan and configuration parsing as they ran (building, writing and reading JSON), the real
 * thing for configurations (YAML with positions, checked), and its vector operations. */
#include "harness.h"

#include <math.h>

typedef struct S_json {
  fb_arena arena;
  fb_buf text;
} S_json;

static fb_value S_text(S_json *json, const char *format, long i) {
  return fb_string(fb_slice_of(fb_arena_printf(&json->arena, format, i)));
}

static bool S_there_and_back(S_json *json, fb_map *map) {
  fb_value back;
  fb_buf_clear(&json->text);
  fb_json_write(&json->text, fb_map_value(map), FB_JSON_COMPACT);
  return !json->text.failed &&
         fb_json_read(fb_buf_slice(&json->text), "json", NULL, &json->arena, &back, NULL) ==
             FB_OK &&
         back.kind == FB_MAP && back.as.map->len == map->len;
}

/* {"resource_0": "value_0", … 100}: 2,680 bytes in the original. */
static bool S_scan(void *context, long i) {
  S_json *json = context;
  (void)i;
  fb_arena_reset(&json->arena);
  fb_map *map = fb_map_new(&json->arena, 100);
  for (long k = 0; k < 100 && map; k++)
    if (!fb_map_put(map, &json->arena, S_text(json, "resource_%ld", k),
                    S_text(json, "value_%ld", k), NULL))
      return false;
  return map && S_there_and_back(json, map);
}

static bool S_put(S_json *json, fb_map *map, const char *key, fb_value value) {
  return fb_map_put(map, &json->arena, fb_string(fb_slice_of(key)), value, NULL);
}

static fb_map *S_fifty(S_json *json) {
  fb_map *services = fb_map_new(&json->arena, 50);
  for (long k = 0; k < 50 && services; k++)
    if (!fb_map_put(services, &json->arena, S_text(json, "service_%ld", k),
                    S_text(json, "config_%ld", k), NULL))
      return NULL;
  return services;
}

static fb_map *S_resources(S_json *json) {
  fb_map *resources = fb_map_new(&json->arena, 20);
  for (long k = 0; k < 20 && resources; k++) {
    fb_map *one = fb_map_new(&json->arena, 2);
    if (!one || !S_put(json, one, "cpu", fb_int(100 * k)) ||
        !S_put(json, one, "memory", fb_int(128 * k)) ||
        !fb_map_put(resources, &json->arena, S_text(json, "resource_%ld", k), fb_map_value(one),
                    NULL))
      return NULL;
  }
  return resources;
}

/* 50 services, 20 {cpu, memory}, 20 ports. */
static bool S_config(void *context, long i) {
  S_json *json = context;
  (void)i;
  fb_arena_reset(&json->arena);
  fb_map *map = fb_map_new(&json->arena, 3), *ports = fb_map_new(&json->arena, 20);
  fb_map *services = S_fifty(json), *resources = S_resources(json);
  for (long k = 0; k < 20 && ports; k++)
    if (!fb_map_put(ports, &json->arena, S_text(json, "port_%ld", k), fb_int(8000 + k), NULL))
      return false;
  return map && ports && services && resources &&
         S_put(json, map, "services", fb_map_value(services)) &&
         S_put(json, map, "resources", fb_map_value(resources)) &&
         S_put(json, map, "ports", fb_map_value(ports)) && S_there_and_back(json, map);
}

/* ── The real thing: YAML of 50 services, every node with its place, and CODE's checks ── */

static bool S_check_service(const fb_doc *doc, const fb_node *service, fb_errors *errors) {
  enum { CPU, MEMORY, REPLICAS, PORTS, KEYS };
  static const fb_key_spec specs[KEYS] = {{"cpu", FB_KIND_BIT(FB_INT), true},
                                          {"memory", FB_KIND_BIT(FB_INT), true},
                                          {"replicas", FB_KIND_BIT(FB_INT), true},
                                          {"ports", FB_KIND_BIT(FB_LIST), true}};
  const fb_node *nodes[KEYS];
  if (!fb_doc_keys(doc, service, "a service", specs, KEYS, nodes, errors)) return false;
  const fb_node *ports = nodes[PORTS];
  for (uint32_t i = 0; i < ports->count; i++)
    for (uint32_t k = i + 1; k < ports->count; k++)
      if (ports->as.items[i].as.scalar.as.i == ports->as.items[k].as.scalar.as.i) return false;
  return nodes[CPU]->as.scalar.as.i >= 100 && nodes[MEMORY]->as.scalar.as.i >= 128 &&
         nodes[REPLICAS]->as.scalar.as.i >= 1;
}

static bool S_yaml(void *context, long i) {
  const fb_buf *text = context;
  fb_errors errors;
  fb_doc *doc;
  bool good = false;
  (void)i;
  fb_errors_init(&errors, NULL, 0);
  if (fb_doc_read(fb_buf_slice(text), "services.yaml", NULL, &doc, &errors) == FB_OK) {
    const fb_node *root = fb_doc_root(doc);
    good = fb_node_is(root, FB_MAP) && root->count == 50;
    for (uint32_t k = 0; k < root->count && good; k++)
      good = S_check_service(doc, &root->as.pairs[k].value, &errors);
    fb_doc_free(doc);
  }
  fb_errors_release(&errors);
  return good;
}

static bool S_vector(void *context, long i) {
  fb_random *random = context;
  double numbers[1000], sum = 0;
  (void)i;
  for (int k = 0; k < 1000; k++) numbers[k] = fb_random_unit(random);
  for (int k = 0; k < 1000; k++) sum += numbers[k] * numbers[k];
  return isfinite(sum) && sum > 0;
}

void code_documents(void) {
  static work w;
  S_json json;
  fb_buf yaml;
  fb_random random;
  fb_arena_init(&json.arena, NULL, 0);
  fb_buf_init(&json.text, NULL, 0);
  fb_buf_init(&yaml, NULL, 0);
  fb_random_seed(&random, 1);
  for (int i = 0; i < 50; i++)
    fb_buf_printf(&yaml,
                  "service_%d:\n  cpu: %d\n  memory: %d\n  replicas: %d\n  ports: [%d, %d]\n", i,
                  100 + i, 128 + i, 1 + i % 3, 8000 + i, 9000 + i);
  work_run(&w, "code", "scan as published", 1000, S_scan, NULL, NULL, &json);
  work_run(&w, "code", "config as published", 500, S_config, NULL, NULL, &json);
  work_run(&w, "code", "config checked", 500, S_yaml, NULL, NULL, &yaml);
  work_run(&w, "code", "vector", 200, S_vector, NULL, NULL, &random);
  fb_arena_release(&json.arena);
  fb_buf_release(&json.text);
  fb_buf_release(&yaml);
}
