/* SPDX-License-Identifier: Apache-2.0 */
#include "mission/schema.h"

#include "cel/regex.h"

#include <stdio.h>

enum { PATTERN_STEPS = 10000000 };

typedef struct S_property {
  fb_slice name;
  fb_schema *schema;
} S_property;

struct fb_schema {
  const char *type; /* NULL: any */
  uint32_t kinds;   /* bits of fb_kind; 0: any */
  fb_value choices; /* a list; FB_ABSENT: any */
  fb_value minimum, maximum;
  uint32_t least_length, most_length, least_items, most_items;
  fb_slice pattern; /* ptr NULL: none */
  fb_schema *items;
  S_property *properties;
  fb_slice *required;
  uint32_t property_count, required_count;
  bool closed; /* no other properties */
};

const fb_key_spec fb_schema_specs[FB_SCHEMA_KEYS] = {
    [FB_SCHEMA_ENUM] = {"enum", FB_KIND_BIT(FB_LIST), false},
    [FB_SCHEMA_MINIMUM] = {"minimum", 0, false},
    [FB_SCHEMA_MAXIMUM] = {"maximum", 0, false},
    [FB_SCHEMA_MIN_LENGTH] = {"minLength", FB_KIND_BIT(FB_INT), false},
    [FB_SCHEMA_MAX_LENGTH] = {"maxLength", FB_KIND_BIT(FB_INT), false},
    [FB_SCHEMA_PATTERN] = {"pattern", FB_KIND_BIT(FB_STRING), false},
    [FB_SCHEMA_ITEMS] = {"items", FB_KIND_BIT(FB_MAP), false},
    [FB_SCHEMA_MIN_ITEMS] = {"minItems", FB_KIND_BIT(FB_INT), false},
    [FB_SCHEMA_MAX_ITEMS] = {"maxItems", FB_KIND_BIT(FB_INT), false},
    [FB_SCHEMA_PROPERTIES] = {"properties", FB_KIND_BIT(FB_MAP), false},
    [FB_SCHEMA_REQUIRED] = {"required", FB_KIND_BIT(FB_LIST), false},
    [FB_SCHEMA_ADDITIONAL] = {"additionalProperties", FB_KIND_BIT(FB_BOOL), false}};

/* ── Loading ─────────────────────────────────────────────────────────────────────────────────── */

/* JSON Schema's names and ours. */
static const struct {
  const char *name;
  uint32_t kinds;
} S_types[] = {{"any", 0},
               {"string", FB_KIND_BIT(FB_STRING)},
               {"int", FB_KIND_BIT(FB_INT) | FB_KIND_BIT(FB_UINT)},
               {"integer", FB_KIND_BIT(FB_INT) | FB_KIND_BIT(FB_UINT)},
               {"uint", FB_KIND_BIT(FB_INT) | FB_KIND_BIT(FB_UINT)},
               {"double", FB_KIND_BIT(FB_INT) | FB_KIND_BIT(FB_UINT) | FB_KIND_BIT(FB_DOUBLE)},
               {"number", FB_KIND_BIT(FB_INT) | FB_KIND_BIT(FB_UINT) | FB_KIND_BIT(FB_DOUBLE)},
               {"bool", FB_KIND_BIT(FB_BOOL)},
               {"boolean", FB_KIND_BIT(FB_BOOL)},
               {"list", FB_KIND_BIT(FB_LIST)},
               {"array", FB_KIND_BIT(FB_LIST)},
               {"map", FB_KIND_BIT(FB_MAP)},
               {"object", FB_KIND_BIT(FB_MAP)},
               {"null", FB_KIND_BIT(FB_NULL)},
               {"timestamp", FB_KIND_BIT(FB_TIMESTAMP)},
               {"duration", FB_KIND_BIT(FB_DURATION)}};
enum { TYPES = sizeof S_types / sizeof *S_types };

static void S_load_type(fb_mission_loader *loader, const fb_node *node, fb_schema *schema) {
  const char *names[TYPES];
  for (int i = 0; i < TYPES; i++) {
    names[i] = S_types[i].name;
    if (!fb_slice_equal(fb_node_text(node), fb_slice_of(names[i]))) continue;
    schema->type = names[i];
    schema->kinds = S_types[i].kinds;
    return;
  }
  fb_load_word(loader, node, "type", names, TYPES);
}

static uint32_t S_load_count(fb_mission_loader *loader, const fb_node *node, uint32_t otherwise) {
  if (!node) return otherwise;
  if (node->as.scalar.as.i >= 0 && node->as.scalar.as.i < UINT32_MAX)
    return (uint32_t)node->as.scalar.as.i;
  fb_load_fail(loader, node, FB_E_MISSION_VALUE, "", "a number of 0 or more stands here");
  return otherwise;
}

static fb_value S_load_bound(fb_mission_loader *loader, const fb_node *node) {
  if (!node) return fb_absent();
  if (node->kind == FB_INT || node->kind == FB_UINT || node->kind == FB_DOUBLE)
    return node->as.scalar;
  fb_load_fail(loader, node, FB_E_MISSION_VALUE, "", "a number stands here");
  return fb_absent();
}

static void S_load_pattern(fb_mission_loader *loader, const fb_node *node, fb_schema *schema) {
  fb_buf buf;
  fb_regex_syntax syntax;
  fb_buf_init(&buf, loader->allocator, 0);
  if (fb_regex_translate(fb_node_text(node), &buf, &syntax))
    schema->pattern = fb_node_text(node);
  else
    fb_load_fail(loader, node, FB_E_MISSION_VALUE, "", syntax.error ? syntax.error : "no pattern");
  if (buf.failed) loader->out_of_memory = true;
  fb_buf_release(&buf);
}

static bool S_load_properties(fb_mission_loader *loader, const fb_node *node, fb_schema *schema) {
  schema->properties =
      fb_arena_zero(&loader->mission->arena, (node->count + 1) * sizeof *schema->properties);
  if (!schema->properties) return false;
  for (uint32_t i = 0; i < node->count; i++) {
    fb_schema *one = fb_schema_load_node(loader, &node->as.pairs[i].value);
    if (one)
      schema->properties[schema->property_count++] =
          (S_property){fb_node_text(&node->as.pairs[i].key), one};
  }
  return true;
}

static bool S_load_required(fb_mission_loader *loader, const fb_node *node, fb_schema *schema) {
  schema->required =
      fb_arena_zero(&loader->mission->arena, (node->count + 1) * sizeof *schema->required);
  if (!schema->required) return false;
  for (uint32_t i = 0; i < node->count; i++) {
    if (node->as.items[i].kind == FB_STRING)
      schema->required[schema->required_count++] = fb_node_text(&node->as.items[i]);
    else
      fb_load_fail(loader, &node->as.items[i], FB_E_MISSION_VALUE, "",
                   "`required` lists names of properties");
  }
  return true;
}

fb_schema *fb_schema_load(fb_mission_loader *loader, const fb_node *const nodes[FB_SCHEMA_KEYS]) {
  bool any = false, good = true;
  for (int i = 0; i < FB_SCHEMA_KEYS; i++) any = any || nodes[i];
  if (!any) return NULL;
  fb_schema *schema = fb_arena_zero(&loader->mission->arena, sizeof *schema);
  if (!schema) {
    loader->out_of_memory = true;
    return NULL;
  }
  schema->choices = fb_absent();
  if (nodes[FB_SCHEMA_ENUM] &&
      fb_node_value(nodes[FB_SCHEMA_ENUM], &loader->mission->arena, &schema->choices))
    good = false;
  schema->minimum = S_load_bound(loader, nodes[FB_SCHEMA_MINIMUM]);
  schema->maximum = S_load_bound(loader, nodes[FB_SCHEMA_MAXIMUM]);
  schema->least_length = S_load_count(loader, nodes[FB_SCHEMA_MIN_LENGTH], 0);
  schema->most_length = S_load_count(loader, nodes[FB_SCHEMA_MAX_LENGTH], UINT32_MAX);
  schema->least_items = S_load_count(loader, nodes[FB_SCHEMA_MIN_ITEMS], 0);
  schema->most_items = S_load_count(loader, nodes[FB_SCHEMA_MAX_ITEMS], UINT32_MAX);
  const fb_node *additional = nodes[FB_SCHEMA_ADDITIONAL];
  schema->closed = additional && !additional->as.scalar.as.b;
  if (nodes[FB_SCHEMA_PATTERN]) S_load_pattern(loader, nodes[FB_SCHEMA_PATTERN], schema);
  if (nodes[FB_SCHEMA_ITEMS]) schema->items = fb_schema_load_node(loader, nodes[FB_SCHEMA_ITEMS]);
  if (nodes[FB_SCHEMA_PROPERTIES])
    good = good && S_load_properties(loader, nodes[FB_SCHEMA_PROPERTIES], schema);
  if (nodes[FB_SCHEMA_REQUIRED])
    good = good && S_load_required(loader, nodes[FB_SCHEMA_REQUIRED], schema);
  if (!good) loader->out_of_memory = true;
  return good ? schema : NULL;
}

/* The depth is bounded by that of documents. */
fb_schema *fb_schema_load_node(fb_mission_loader *loader, const fb_node *node) {
  fb_key_spec specs[FB_SCHEMA_KEYS + 2];
  const fb_node *nodes[FB_SCHEMA_KEYS + 2] = {0};
  memcpy(specs, fb_schema_specs, sizeof fb_schema_specs);
  specs[FB_SCHEMA_KEYS] = (fb_key_spec){"type", FB_KIND_BIT(FB_STRING), false};
  specs[FB_SCHEMA_KEYS + 1] = (fb_key_spec){"description", FB_KIND_BIT(FB_STRING), false};
  fb_doc_keys(loader->doc, node, "a schema", specs, FB_SCHEMA_KEYS + 2, nodes, loader->errors);
  if (node->kind != FB_MAP) return NULL;
  fb_schema *schema = fb_schema_load(loader, nodes);
  if (!schema) schema = fb_arena_zero(&loader->mission->arena, sizeof *schema);
  if (!schema) {
    loader->out_of_memory = true;
    return NULL;
  }
  if (!nodes[FB_SCHEMA_ENUM]) schema->choices = fb_absent();
  if (!nodes[FB_SCHEMA_MINIMUM]) schema->minimum = fb_absent();
  if (!nodes[FB_SCHEMA_MAXIMUM]) schema->maximum = fb_absent();
  if (schema->most_length == 0 && !nodes[FB_SCHEMA_MAX_LENGTH]) schema->most_length = UINT32_MAX;
  if (schema->most_items == 0 && !nodes[FB_SCHEMA_MAX_ITEMS]) schema->most_items = UINT32_MAX;
  if (nodes[FB_SCHEMA_KEYS]) S_load_type(loader, nodes[FB_SCHEMA_KEYS], schema);
  return schema;
}

/* ── Checking ────────────────────────────────────────────────────────────────────────────────── */

typedef struct S_path {
  char text[160];
  size_t length;
} S_path;

static fb_status S_unfit(const S_path *path, fb_error *err, const char *format, const char *what) {
  char text[200];
  snprintf(text, sizeof text, format, what);
  return fb_fail(err, FB_E_MISSION_INPUT, "%s %s", path->text, text);
}

static void S_describe(fb_value value, char *out, size_t size) {
  fb_buf buf;
  fb_buf_init(&buf, NULL, 0);
  fb_json_write(&buf, value, FB_JSON_COMPACT);
  snprintf(out, size, "%.*s", (int)(buf.len < size ? buf.len : size - 1), buf.ptr ? buf.ptr : "?");
  fb_buf_release(&buf);
}

static fb_status S_check_choices(const fb_schema *schema, const S_path *path, fb_value value,
                                 fb_error *err) {
  char choices[120];
  for (uint32_t i = 0; i < schema->choices.as.list->len; i++)
    if (fb_value_equal(value, schema->choices.as.list->items[i])) return FB_OK;
  S_describe(schema->choices, choices, sizeof choices);
  return S_unfit(path, err, "is none of %s", choices);
}

static bool S_out_of(fb_value bound, fb_value value, int side) {
  int order = 0;
  return bound.kind != FB_ABSENT && fb_value_compare(value, bound, &order) && order == side;
}

static fb_status S_check_pattern(const fb_schema *schema, const S_path *path, fb_value value,
                                 fb_error *err) {
  fb_arena arena;
  fb_cel_context context;
  fb_value failure;
  size_t ends[2 * FB_REGEX_GROUPS];
  char pattern[100];
  fb_arena_init(&arena, NULL, 0);
  fb_cel_context_init(&context, &arena);
  context.steps = PATTERN_STEPS;
  fb_regex *regex = fb_regex_get(&context, schema->pattern, &failure);
  int found = regex ? fb_regex_match(&context, regex, fb_value_text(value), 0, ends, &failure) : -1;
  fb_cel_context_release(&context);
  fb_arena_release(&arena);
  if (found == 1) return FB_OK;
  snprintf(pattern, sizeof pattern, "%.*s", (int)schema->pattern.len, schema->pattern.ptr);
  return S_unfit(path, err, found == 0 ? "does not match %s" : "cannot be matched with %s",
                 pattern);
}

static fb_status S_check_text(const fb_schema *schema, const S_path *path, fb_value value,
                              fb_error *err) {
  size_t length = fb_utf8_length(fb_value_text(value).ptr, fb_value_text(value).len);
  if (length < schema->least_length) return S_unfit(path, err, "is too short%s", "");
  if (length > schema->most_length) return S_unfit(path, err, "is too long%s", "");
  return schema->pattern.ptr ? S_check_pattern(schema, path, value, err) : FB_OK;
}

static fb_status S_check(const fb_schema *schema, const S_path *path, fb_value value,
                         fb_error *err);

static fb_status S_check_items(const fb_schema *schema, const S_path *path, const fb_list *list,
                               fb_error *err) {
  if (list->len < schema->least_items) return S_unfit(path, err, "has too few items%s", "");
  if (list->len > schema->most_items) return S_unfit(path, err, "has too many items%s", "");
  for (uint32_t i = 0; schema->items && i < list->len; i++) {
    S_path item = *path;
    snprintf(item.text + item.length, sizeof item.text - item.length, "[%u]", i);
    item.length = strlen(item.text);
    fb_status status = S_check(schema->items, &item, list->items[i], err);
    if (status) return status;
  }
  return FB_OK;
}

static const fb_schema *S_property_of(const fb_schema *schema, fb_slice name) {
  for (uint32_t i = 0; i < schema->property_count; i++)
    if (fb_slice_equal(schema->properties[i].name, name)) return schema->properties[i].schema;
  return NULL;
}

static fb_status S_check_map(const fb_schema *schema, const S_path *path, const fb_map *map,
                             fb_error *err) {
  char name[80];
  for (uint32_t i = 0; i < schema->required_count; i++) {
    if (fb_map_get_text(map, schema->required[i])) continue;
    snprintf(name, sizeof name, "%.*s", (int)schema->required[i].len, schema->required[i].ptr);
    return S_unfit(path, err, "lacks `%s`", name);
  }
  for (uint32_t i = 0; i < map->len; i++) {
    fb_slice key = fb_value_text(map->entries[i].key);
    const fb_schema *property = S_property_of(schema, key);
    snprintf(name, sizeof name, "%.*s", (int)key.len, key.ptr);
    if (!property && schema->closed) return S_unfit(path, err, "may not have `%s`", name);
    if (!property) continue;
    S_path below = *path;
    snprintf(below.text + below.length, sizeof below.text - below.length, ".%s", name);
    below.length = strlen(below.text);
    fb_status status = S_check(property, &below, map->entries[i].value, err);
    if (status) return status;
  }
  return FB_OK;
}

static fb_status S_check(const fb_schema *schema, const S_path *path, fb_value value,
                         fb_error *err) {
  char bound[40];
  if (schema->kinds && !(schema->kinds >> value.kind & 1))
    return S_unfit(path, err, "is not of the type %s", schema->type);
  if (schema->choices.kind == FB_LIST) {
    fb_status status = S_check_choices(schema, path, value, err);
    if (status) return status;
  }
  if (S_out_of(schema->minimum, value, -1)) {
    S_describe(schema->minimum, bound, sizeof bound);
    return S_unfit(path, err, "is less than %s", bound);
  }
  if (S_out_of(schema->maximum, value, 1)) {
    S_describe(schema->maximum, bound, sizeof bound);
    return S_unfit(path, err, "is more than %s", bound);
  }
  if (value.kind == FB_STRING) return S_check_text(schema, path, value, err);
  if (value.kind == FB_LIST) return S_check_items(schema, path, value.as.list, err);
  return value.kind == FB_MAP ? S_check_map(schema, path, value.as.map, err) : FB_OK;
}

fb_status fb_schema_check(const fb_schema *schema, fb_slice name, fb_value value, fb_error *err) {
  S_path path = {.length = 0};
  snprintf(path.text, sizeof path.text, "%.*s", (int)name.len, name.ptr);
  path.length = strlen(path.text);
  return S_check(schema, &path, value, err);
}
