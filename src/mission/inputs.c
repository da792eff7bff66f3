/* SPDX-License-Identifier: Apache-2.0
 *
 * Inputs: declared with a type, given on a command line as text or by a caller as values.
 */
#include "mission/schema.h"

#include <stdio.h>

static const char *const S_types[] = {"any",  "string",    "int",      "uint", "double",
                                      "bool", "timestamp", "duration", "list", "map"};
enum { TYPE_COUNT = sizeof S_types / sizeof *S_types };

const fb_cel_type *fb_input_cel_type(const fb_input *input) {
  static const uint8_t kinds[TYPE_COUNT] = {
      [FB_INPUT_STRING] = FB_CEL_STRING,     [FB_INPUT_INT] = FB_CEL_INT,
      [FB_INPUT_UINT] = FB_CEL_UINT,         [FB_INPUT_DOUBLE] = FB_CEL_DOUBLE,
      [FB_INPUT_BOOL] = FB_CEL_BOOL,         [FB_INPUT_TIMESTAMP] = FB_CEL_TIMESTAMP,
      [FB_INPUT_DURATION] = FB_CEL_DURATION, [FB_INPUT_ANY] = FB_CEL_DYN,
      [FB_INPUT_LIST] = FB_CEL_DYN,          [FB_INPUT_MAP] = FB_CEL_DYN};
  /* Without a value it is null, whatever its type. */
  if (!input->required && input->initial.kind == FB_ABSENT) return fb_cel_simple(FB_CEL_DYN);
  return fb_cel_simple(kinds[input->type]);
}

const char *fb_input_type_name(const fb_input *input) {
  return S_types[input->type];
}

bool fb_input_find(const fb_mission *mission, fb_slice name, uint32_t *ret_number) {
  for (uint32_t i = 0; i < mission->input_count; i++)
    if (fb_slice_equal(mission->inputs[i].name, name)) {
      *ret_number = i;
      return true;
    }
  return false;
}

fb_status fb_input_unknown(const fb_mission *mission, fb_slice name, fb_error *err) {
  const char *names[64];
  uint32_t count = 0;
  char text[64][64];
  for (; count < mission->input_count && count < 64; count++) {
    snprintf(text[count], sizeof text[count], "%.*s", (int)mission->inputs[count].name.len,
             mission->inputs[count].name.ptr);
    names[count] = text[count];
  }
  fb_status status =
      fb_fail(err, FB_E_MISSION_INPUT, "unknown input `%.*s`", (int)name.len, name.ptr);
  const char *near = fb_nearest(name, names, count);
  if (near)
    fb_error_hint(err, "did you mean `%s`?", near);
  else if (mission->input_count == 0)
    fb_error_hint(err, "the mission declares no inputs");
  return status;
}

/* ── Conversion ──────────────────────────────────────────────────────────────────────────────── */

static bool S_convert_number(fb_input_type type, fb_value *value) {
  fb_value in = *value;
  switch (type) {
    case FB_INPUT_INT:
      if (in.kind == FB_UINT && in.as.u <= INT64_MAX) *value = fb_int((int64_t)in.as.u);
      return value->kind == FB_INT;
    case FB_INPUT_UINT:
      if (in.kind == FB_INT && in.as.i >= 0) *value = fb_uint((uint64_t)in.as.i);
      return value->kind == FB_UINT;
    default:
      if (in.kind == FB_INT && in.as.i >= -(INT64_C(1) << 53) && in.as.i <= INT64_C(1) << 53)
        *value = fb_double((double)in.as.i);
      return value->kind == FB_DOUBLE;
  }
}

static bool S_convert_time(fb_input_type type, fb_value *value) {
  int64_t seconds;
  uint32_t nanos;
  int32_t signed_nanos;
  uint8_t kind = type == FB_INPUT_TIMESTAMP ? FB_TIMESTAMP : FB_DURATION;
  if (value->kind == kind) return true;
  if (value->kind != FB_STRING) return false;
  if (type == FB_INPUT_TIMESTAMP) {
    if (!fb_time_parse(fb_value_text(*value), &seconds, &nanos)) return false;
    *value = fb_timestamp(seconds, nanos);
    return true;
  }
  if (!fb_duration_parse(fb_value_text(*value), &seconds, &signed_nanos)) return false;
  if (signed_nanos < 0) {
    seconds--;
    signed_nanos += 1000000000;
  }
  *value = fb_duration(seconds, (uint32_t)signed_nanos);
  return true;
}

fb_status fb_input_convert(const fb_input *input, fb_value value, fb_value *ret_value,
                           fb_error *err) {
  bool fits = true;
  switch (input->type) {
    case FB_INPUT_ANY: break;
    case FB_INPUT_STRING: fits = value.kind == FB_STRING; break;
    case FB_INPUT_BOOL: fits = value.kind == FB_BOOL; break;
    case FB_INPUT_LIST: fits = value.kind == FB_LIST; break;
    case FB_INPUT_MAP: fits = value.kind == FB_MAP; break;
    case FB_INPUT_INT:
    case FB_INPUT_UINT:
    case FB_INPUT_DOUBLE: fits = S_convert_number(input->type, &value); break;
    case FB_INPUT_TIMESTAMP:
    case FB_INPUT_DURATION: fits = S_convert_time(input->type, &value); break;
  }
  fb_status status = FB_OK;
  if (fits && input->schema) {
    status = fb_schema_check(input->schema, input->name, value, err);
    if (status) fb_error_prefix(err, "input");
    if (status) return status;
  }
  if (fits) {
    *ret_value = value;
    return FB_OK;
  }
  status =
      fb_fail(err, FB_E_MISSION_INPUT, "input `%.*s` is to be %s, not %s", (int)input->name.len,
              input->name.ptr, S_types[input->type], fb_kind_name((fb_kind)value.kind));
  if (input->type == FB_INPUT_DURATION)
    fb_error_hint(err, "a duration is written like 90s or 1h30m");
  if (input->type == FB_INPUT_TIMESTAMP)
    fb_error_hint(err, "a timestamp is written like 2026-11-20T16:00:00Z");
  return status;
}

/* Lists, maps, numbers and bools are JSON; texts and times stand as they are; `any` is JSON if it is
 * that, else text. */
fb_status fb_mission_parse_input(const fb_mission *mission, fb_slice name, fb_slice text,
                                 fb_arena *arena, fb_value *ret_value, fb_error *err) {
  uint32_t number;
  if (!fb_input_find(mission, name, &number)) return fb_input_unknown(mission, name, err);
  const fb_input *input = &mission->inputs[number];
  fb_value value;
  size_t bad;
  if (!fb_utf8_valid(text.ptr, text.len, &bad))
    return fb_fail(err, FB_E_MISSION_INPUT, "input `%.*s` is not UTF-8 (byte %zu)", (int)name.len,
                   name.ptr, bad);
  bool plain = input->type == FB_INPUT_STRING || input->type == FB_INPUT_TIMESTAMP ||
               input->type == FB_INPUT_DURATION;
  if (plain) {
    const char *copy = fb_arena_text(arena, text);
    if (!copy) return fb_fail(err, FB_E_NOMEM, "out of memory");
    value = fb_string((fb_slice){copy, text.len});
    return fb_input_convert(input, value, ret_value, err);
  }
  fb_error json = {0};
  fb_status status = fb_json_read(text, "the value", NULL, arena, &value, &json);
  if (status == FB_E_NOMEM) return fb_fail(err, FB_E_NOMEM, "out of memory");
  if (!status) return fb_input_convert(input, value, ret_value, err);
  if (input->type == FB_INPUT_ANY) {
    const char *copy = fb_arena_text(arena, text);
    if (!copy) return fb_fail(err, FB_E_NOMEM, "out of memory");
    *ret_value = fb_string((fb_slice){copy, text.len});
    return FB_OK;
  }
  status = fb_fail(err, FB_E_MISSION_INPUT, "input `%.*s` is to be %s: %.*s is none", (int)name.len,
                   name.ptr, S_types[input->type], text.len > 60 ? 60 : (int)text.len, text.ptr);
  if (input->type == FB_INPUT_LIST || input->type == FB_INPUT_MAP)
    fb_error_hint(err, "it is written as JSON (%s)", json.text);
  return status;
}

/* ── Loading ─────────────────────────────────────────────────────────────────────────────────── */

static void S_load_type(fb_mission_loader *loader, const fb_node *node, fb_input *input) {
  for (int i = 0; i < TYPE_COUNT; i++)
    if (fb_slice_equal(fb_node_text(node), fb_slice_of(S_types[i]))) {
      input->type = (fb_input_type)i;
      return;
    }
  const char *near = fb_nearest(fb_node_text(node), S_types, TYPE_COUNT);
  char hint[120];
  if (near)
    snprintf(hint, sizeof hint, "did you mean `%s`?", near);
  else
    snprintf(hint, sizeof hint,
             "a type is string, int, uint, double, bool, timestamp, duration, "
             "list, map or any");
  fb_doc_fail(loader->doc, node, loader->errors, FB_E_MISSION_INPUT, hint, "unknown type `%.*s`",
              (int)fb_node_text(node).len, fb_node_text(node).ptr);
}

static void S_load_default(fb_mission_loader *loader, const fb_node *node, fb_input *input) {
  fb_error err = {0};
  fb_value value;
  if (fb_node_value(node, &loader->mission->arena, &value)) {
    loader->out_of_memory = true;
    return;
  }
  if (value.kind == FB_NULL) return;
  if (fb_input_convert(input, value, &input->initial, &err))
    fb_doc_fail(loader->doc, node, loader->errors, err.code, err.hint, "%s", err.text);
}

static void S_load_one(fb_mission_loader *loader, const fb_pair *pair, fb_input *input) {
  enum { OWN = 4 };
  /* `required` says here that it must be given; a list stands for the properties of a map. */
  fb_key_spec specs[OWN + FB_SCHEMA_KEYS] = {
      {"type", FB_KIND_BIT(FB_STRING), false},
      {"default", 0, false},
      {"description", FB_KIND_BIT(FB_STRING), false},
      {"required", FB_KIND_BIT(FB_BOOL) | FB_KIND_BIT(FB_LIST), false}};
  const fb_node *nodes[OWN + FB_SCHEMA_KEYS] = {0};
  memcpy(specs + OWN, fb_schema_specs, sizeof fb_schema_specs);
  specs[OWN + FB_SCHEMA_REQUIRED] = (fb_key_spec){"?", 0, false};
  input->name = fb_node_text(&pair->key);
  input->initial = fb_absent();
  input->type = FB_INPUT_STRING;
  if (!fb_is_identifier(input->name))
    fb_doc_fail(loader->doc, &pair->key, loader->errors, FB_E_MISSION_VALUE,
                "letters, digits and `_`, not starting with a digit",
                "an input's name must be one that expressions can use");
  if (!fb_doc_keys(loader->doc, &pair->value, "an input", specs, OWN + FB_SCHEMA_KEYS, nodes,
                   loader->errors))
    return;
  if (nodes[0]) S_load_type(loader, nodes[0], input);
  if (nodes[3] && nodes[3]->kind == FB_LIST) {
    nodes[OWN + FB_SCHEMA_REQUIRED] = nodes[3];
    nodes[3] = NULL;
  }
  input->schema = fb_schema_load(loader, nodes + OWN);
  if (nodes[1]) S_load_default(loader, nodes[1], input);
  if (nodes[2]) input->description = fb_node_text(nodes[2]);
  input->required = nodes[3] ? nodes[3]->as.scalar.as.b : nodes[1] == NULL;
  if (input->required && nodes[1])
    fb_doc_fail(loader->doc, nodes[3], loader->errors, FB_E_MISSION_VALUE,
                "leave out one of the two", "an input with a default cannot be required");
}

bool fb_inputs_load(fb_mission_loader *loader, const fb_node *node) {
  fb_mission *mission = loader->mission;
  if (!node || node->count == 0) return true;
  mission->inputs = fb_arena_zero(&mission->arena, node->count * sizeof *mission->inputs);
  if (!mission->inputs) {
    loader->out_of_memory = true;
    return false;
  }
  mission->input_count = node->count;
  for (uint32_t i = 0; i < node->count; i++)
    S_load_one(loader, &node->as.pairs[i], &mission->inputs[i]);
  return true;
}

uint32_t fb_mission_inputs(const fb_mission *mission) {
  return mission->input_count;
}

void fb_mission_input(const fb_mission *mission, uint32_t number, fb_input_info *ret_info) {
  const fb_input *input = &mission->inputs[number];
  *ret_info = (fb_input_info){.name = input->name,
                              .type = S_types[input->type],
                              .description = input->description,
                              .required = input->required,
                              .initial = input->initial};
}
