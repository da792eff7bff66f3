/* SPDX-License-Identifier: Apache-2.0
 * Fact types: which fields a fact has, and the schema that knows all types. */
#include "data/facts_internal.h"

#include <stdio.h>

/* Bounds on what input can make an open world learn; declarations obey them too. */
enum { MAX_TYPES = 65536, MAX_FIELDS = 4096 };

struct fb_schema {
  const fb_allocator *allocator;
  fb_symbols *symbols; /* borrowed */
  fb_arena arena;      /* the types and all names */
  fb_fact_type **types;
  size_t count, cap;
  fb_table by_name;
};

static const char *const S_names[] = {"any",   "bool",      "int",      "uint", "double", "string",
                                      "bytes", "timestamp", "duration", "list", "map"};
enum { NAME_COUNT = sizeof S_names / sizeof *S_names };

bool fb_field_type_parse(fb_slice name, fb_field_type *ret_type) {
  for (int i = 0; i < NAME_COUNT; i++) {
    if (!fb_slice_equal(name, fb_slice_of(S_names[i]))) continue;
    *ret_type = (fb_field_type)i;
    return true;
  }
  return false;
}

const char *fb_field_type_name(fb_field_type type) {
  return (unsigned)type < NAME_COUNT ? S_names[type] : "unknown";
}

fb_status fb_schema_new(const fb_allocator *allocator, fb_symbols *symbols,
                        fb_schema **ret_schema) {
  if (!allocator) allocator = fb_allocator_system();
  fb_schema *schema = fb_alloc_zero(allocator, sizeof *schema);
  if (!schema) return FB_E_NOMEM;
  schema->allocator = allocator;
  schema->symbols = symbols;
  fb_arena_init(&schema->arena, allocator, 0);
  /* The table's own address keys the hash of names: it cannot be known from outside. */
  fb_table_init(&schema->by_name, allocator, fb_hash_u64((uintptr_t)schema));
  *ret_schema = schema;
  return FB_OK;
}

static void S_release_fields(const fb_schema *schema, fb_fact_type *type) {
  fb_free(schema->allocator, type->fields, type->field_cap * sizeof *type->fields);
  fb_table_release(&type->by_name);
}

void fb_schema_free(fb_schema *schema) {
  if (!schema) return;
  for (size_t i = 0; i < schema->count; i++) S_release_fields(schema, schema->types[i]);
  fb_free(schema->allocator, schema->types, schema->cap * sizeof(fb_fact_type *));
  fb_table_release(&schema->by_name);
  fb_arena_release(&schema->arena);
  fb_free(schema->allocator, schema, sizeof *schema);
}

fb_symbols *fb_schema_symbols(const fb_schema *schema) {
  return schema->symbols;
}

size_t fb_schema_count(const fb_schema *schema) {
  return schema->count;
}

fb_fact_type *fb_schema_type(const fb_schema *schema, uint32_t id) {
  return id < schema->count ? schema->types[id] : NULL;
}

fb_fact_type *fb_schema_find(const fb_schema *schema, fb_slice name) {
  fb_table_slot *slot = fb_table_get(&schema->by_name, name);
  return slot ? slot->value.ptr : NULL;
}

/* Adds a type that is not there yet. On failure nothing of it stays but arena memory. */
static fb_status S_add_type(fb_schema *schema, fb_slice name, bool open, fb_fact_type **ret_type) {
  if (schema->count >= MAX_TYPES) return FB_E_LIMIT;
  void *types = schema->types;
  if (!fb_grow(schema->allocator, &types, &schema->cap, schema->count, sizeof(fb_fact_type *)))
    return FB_E_NOMEM;
  schema->types = types;
  fb_fact_type *type = fb_arena_zero(&schema->arena, sizeof *type);
  char *copy = type ? fb_arena_text(&schema->arena, name) : NULL;
  if (!copy) return FB_E_NOMEM;
  type->name = (fb_slice){copy, name.len};
  fb_table_slot *slot = fb_table_put(&schema->by_name, type->name, NULL);
  if (!slot) return FB_E_NOMEM;
  slot->value.ptr = type;
  type->id = (uint32_t)schema->count;
  type->open = open;
  fb_table_init(&type->by_name, schema->allocator, fb_hash_u64((uintptr_t)type));
  schema->types[schema->count++] = type;
  *ret_type = type;
  return FB_OK;
}

static void S_remove_newest_type(fb_schema *schema) {
  fb_fact_type *type = schema->types[--schema->count];
  fb_table_remove(&schema->by_name, type->name);
  S_release_fields(schema, type);
}

fb_status fb_schema_open(fb_schema *schema, fb_slice name, fb_fact_type **ret_type) {
  fb_fact_type *type = fb_schema_find(schema, name);
  if (!type) return S_add_type(schema, name, true, ret_type);
  *ret_type = type;
  return FB_OK;
}

static fb_status S_add_field(fb_schema *schema, fb_fact_type *type, fb_slice name,
                             fb_field_type field_type, uint32_t *ret_field) {
  if (type->field_count >= MAX_FIELDS) return FB_E_LIMIT;
  void *fields = type->fields;
  size_t cap = type->field_cap;
  if (!fb_grow(schema->allocator, &fields, &cap, type->field_count, sizeof *type->fields))
    return FB_E_NOMEM;
  type->fields = fields;
  type->field_cap = (uint32_t)cap;
  char *copy = fb_arena_text(&schema->arena, name);
  if (!copy) return FB_E_NOMEM;
  fb_table_slot *slot = fb_table_put(&type->by_name, (fb_slice){copy, name.len}, NULL);
  if (!slot) return FB_E_NOMEM;
  slot->value.number = type->field_count;
  type->fields[type->field_count] = (fb_field){slot->key, field_type};
  *ret_field = type->field_count++;
  return FB_OK;
}

static fb_status S_declare_fields(fb_schema *schema, fb_fact_type *type, const fb_field *fields,
                                  size_t count, fb_error *err) {
  for (size_t i = 0; i < count; i++) {
    uint32_t number;
    if (fb_fact_type_field(type, fields[i].name) >= 0)
      return fb_fail(err, FB_E_FACT_TYPE, "fact type `%.*s` declares field `%.*s` twice",
                     (int)type->name.len, type->name.ptr, (int)fields[i].name.len,
                     fields[i].name.ptr);
    fb_status status = S_add_field(schema, type, fields[i].name, fields[i].type, &number);
    if (status == FB_E_LIMIT)
      return fb_fail(err, status, "fact type `%.*s` has more than %d fields", (int)type->name.len,
                     type->name.ptr, MAX_FIELDS);
    if (status) return fb_fail(err, status, "out of memory");
  }
  return FB_OK;
}

fb_status fb_schema_declare(fb_schema *schema, fb_slice name, const fb_field *fields, size_t count,
                            fb_fact_type **ret_type, fb_error *err) {
  if (fb_schema_find(schema, name))
    return fb_fail(err, FB_E_FACT_TYPE, "fact type `%.*s` is declared already", (int)name.len,
                   name.ptr);
  fb_fact_type *type;
  fb_status status = S_add_type(schema, name, false, &type);
  if (status == FB_E_LIMIT) return fb_fail(err, status, "more than %d fact types", MAX_TYPES);
  if (status) return fb_fail(err, status, "out of memory");
  status = S_declare_fields(schema, type, fields, count, err);
  if (status)
    S_remove_newest_type(schema);
  else
    *ret_type = type;
  return status;
}

int32_t fb_fact_type_field(const fb_fact_type *type, fb_slice name) {
  fb_table_slot *slot = fb_table_get(&type->by_name, name);
  return slot ? (int32_t)slot->value.number : -1;
}

fb_status fb_fact_type_learn(fb_schema *schema, fb_fact_type *type, fb_slice name,
                             uint32_t *ret_field) {
  int32_t field = fb_fact_type_field(type, name);
  if (field < 0)
    return type->open ? S_add_field(schema, type, name, FB_FIELD_ANY, ret_field) : FB_E_FACT_FIELD;
  *ret_field = (uint32_t)field;
  return FB_OK;
}

fb_status fb_field_unknown(const fb_fact_type *type, fb_slice name, fb_status status,
                           fb_error *err) {
  if (status == FB_E_NOMEM) return fb_fail(err, status, "out of memory");
  int len = name.len < 80 ? (int)name.len : 80, type_len = (int)type->name.len;
  if (status == FB_E_LIMIT)
    return fb_fail(err, status, "fact type `%.*s` has more than %d fields", type_len,
                   type->name.ptr, MAX_FIELDS);
  fb_fail(err, status, "fact type `%.*s` has no field `%.*s`", type_len, type->name.ptr, len,
          name.ptr);
  enum { NEAR = 64 };
  const char *names[NEAR]; /* field names end in NUL */
  uint32_t count = type->field_count < NEAR ? type->field_count : NEAR;
  for (uint32_t i = 0; i < count; i++) names[i] = type->fields[i].name.ptr;
  const char *near = fb_nearest(name, names, count);
  if (near) fb_error_hint(err, "did you mean `%s`?", near);
  return status;
}

static bool S_to_double(fb_value *value) {
  double d = value->kind == FB_INT ? (double)value->as.i : (double)value->as.u;
  if (!fb_value_equal(*value, fb_double(d))) return false;
  *value = fb_double(d);
  return true;
}

static bool S_to_timestamp(fb_value *value) {
  int64_t seconds;
  uint32_t nanos;
  if (!fb_time_parse(fb_value_text(*value), &seconds, &nanos)) return false;
  *value = fb_timestamp(seconds, nanos);
  return true;
}

static bool S_to_duration(fb_value *value) {
  int64_t seconds;
  int32_t nanos;
  if (!fb_duration_parse(fb_value_text(*value), &seconds, &nanos)) return false;
  if (nanos < 0) {
    if (seconds == INT64_MIN) return false;
    seconds--;
    nanos += 1000000000;
  }
  *value = fb_duration(seconds, (uint32_t)nanos);
  return true;
}

bool fb_field_convert(fb_field_type type, fb_value *value) {
  static const uint8_t kinds[] = {
      [FB_FIELD_BOOL] = FB_BOOL,           [FB_FIELD_INT] = FB_INT,
      [FB_FIELD_UINT] = FB_UINT,           [FB_FIELD_DOUBLE] = FB_DOUBLE,
      [FB_FIELD_STRING] = FB_STRING,       [FB_FIELD_BYTES] = FB_BYTES,
      [FB_FIELD_TIMESTAMP] = FB_TIMESTAMP, [FB_FIELD_DURATION] = FB_DURATION,
      [FB_FIELD_LIST] = FB_LIST,           [FB_FIELD_MAP] = FB_MAP};
  uint8_t kind = value->kind;
  if (kind == FB_ERROR) return false;
  if (type == FB_FIELD_ANY || kind == kinds[type] || kind == FB_ABSENT) return true;
  if (kind == FB_NULL) {
    *value = fb_absent();
    return true;
  }
  switch (type) {
    case FB_FIELD_INT:
      if (kind != FB_UINT || value->as.u > INT64_MAX) return false;
      value->kind = FB_INT;
      return true;
    case FB_FIELD_UINT:
      if (kind != FB_INT || value->as.i < 0) return false;
      value->kind = FB_UINT;
      return true;
    case FB_FIELD_DOUBLE: return (kind == FB_INT || kind == FB_UINT) && S_to_double(value);
    case FB_FIELD_TIMESTAMP: return kind == FB_STRING && S_to_timestamp(value);
    case FB_FIELD_DURATION: return kind == FB_STRING && S_to_duration(value);
    default: return false;
  }
}

static const char *S_describe_number(fb_value value, char out[40]) {
  if (value.kind == FB_DOUBLE)
    snprintf(out, 40, "%g", value.as.d);
  else if (value.kind == FB_INT)
    snprintf(out, 40, "%lld", (long long)value.as.i);
  else
    snprintf(out, 40, "%llu", (unsigned long long)value.as.u);
  return out;
}

fb_status fb_field_refuse(const fb_fact_type *type, uint32_t field, fb_value value, fb_error *err) {
  fb_slice name = type->fields[field].name;
  const char *wanted = fb_field_type_name(type->fields[field].type);
  char number[40];
  switch (value.kind) {
    case FB_STRING: {
      fb_slice text = fb_value_text(value);
      return fb_fail(err, FB_E_FACT_VALUE,
                     "field `%.*s` of `%.*s` takes %s, not the text \"%.*s\"%s", (int)name.len,
                     name.ptr, (int)type->name.len, type->name.ptr, wanted,
                     text.len < 60 ? (int)text.len : 60, text.ptr, text.len < 60 ? "" : "…");
    }
    case FB_INT:
    case FB_UINT:
    case FB_DOUBLE:
      return fb_fail(err, FB_E_FACT_VALUE, "field `%.*s` of `%.*s` takes %s, not the number %s",
                     (int)name.len, name.ptr, (int)type->name.len, type->name.ptr, wanted,
                     S_describe_number(value, number));
    default:
      return fb_fail(err, FB_E_FACT_VALUE, "field `%.*s` of `%.*s` takes %s, not %s", (int)name.len,
                     name.ptr, (int)type->name.len, type->name.ptr, wanted,
                     fb_kind_name(value.kind));
  }
}
