/* SPDX-License-Identifier: Apache-2.0
 * Types: the simple ones, equality, names. */
#include "cel/env.h"

#define S_SIMPLE(kind_) [kind_] = {.kind = kind_}
static const fb_cel_type S_part = {.kind = FB_CEL_DYN};
static const fb_cel_type S_simple[FB_CEL_ERROR + 1] = {
    S_SIMPLE(FB_CEL_DYN),
    S_SIMPLE(FB_CEL_NULL),
    S_SIMPLE(FB_CEL_BOOL),
    S_SIMPLE(FB_CEL_INT),
    S_SIMPLE(FB_CEL_UINT),
    S_SIMPLE(FB_CEL_DOUBLE),
    S_SIMPLE(FB_CEL_STRING),
    S_SIMPLE(FB_CEL_BYTES),
    S_SIMPLE(FB_CEL_TIMESTAMP),
    S_SIMPLE(FB_CEL_DURATION),
    [FB_CEL_LIST] = {.kind = FB_CEL_LIST, .a = &S_part},
    [FB_CEL_MAP] = {.kind = FB_CEL_MAP, .a = &S_part, .b = &S_part},
    [FB_CEL_TYPE] = {.kind = FB_CEL_TYPE, .a = &S_part},
    [FB_CEL_OPTIONAL] = {.kind = FB_CEL_OPTIONAL, .a = &S_part},
    [FB_CEL_FACT] = {.kind = FB_CEL_DYN},
    [FB_CEL_PARAM] = {.kind = FB_CEL_DYN},
    S_SIMPLE(FB_CEL_ERROR),
};

const fb_cel_type *fb_cel_simple(fb_cel_kind kind) {
  return (unsigned)kind <= FB_CEL_ERROR ? &S_simple[kind] : &S_simple[FB_CEL_DYN];
}

bool fb_cel_type_equal(const fb_cel_type *a, const fb_cel_type *b) {
  if (a == b) return true;
  if (!a || !b || a->kind != b->kind) return false;
  switch (a->kind) {
    case FB_CEL_LIST:
    case FB_CEL_OPTIONAL:
    case FB_CEL_TYPE: return fb_cel_type_equal(a->a, b->a);
    case FB_CEL_MAP: return fb_cel_type_equal(a->a, b->a) && fb_cel_type_equal(a->b, b->b);
    case FB_CEL_FACT: return a->fact == b->fact;
    case FB_CEL_PARAM: return a->param == b->param;
    default: return true;
  }
}

void fb_cel_type_write(const fb_cel_type *type, fb_buf *out) {
  static const char *const names[] = {[FB_CEL_DYN] = "dyn",
                                      [FB_CEL_NULL] = "null_type",
                                      [FB_CEL_BOOL] = "bool",
                                      [FB_CEL_INT] = "int",
                                      [FB_CEL_UINT] = "uint",
                                      [FB_CEL_DOUBLE] = "double",
                                      [FB_CEL_STRING] = "string",
                                      [FB_CEL_BYTES] = "bytes",
                                      [FB_CEL_TIMESTAMP] = "timestamp",
                                      [FB_CEL_DURATION] = "duration",
                                      [FB_CEL_LIST] = "list",
                                      [FB_CEL_MAP] = "map",
                                      [FB_CEL_TYPE] = "type",
                                      [FB_CEL_OPTIONAL] = "optional",
                                      [FB_CEL_FACT] = "fact",
                                      [FB_CEL_PARAM] = "dyn",
                                      [FB_CEL_ERROR] = "error"};
  if (!type) {
    fb_buf_text(out, "dyn");
    return;
  }
  if (type->kind == FB_CEL_PARAM && type->param < 26) {
    fb_buf_char(out, (char)('A' + type->param));
    return;
  }
  fb_buf_text(out, names[type->kind]);
  if (type->kind == FB_CEL_FACT) {
    fb_buf_char(out, ' ');
    fb_buf_add(out, type->fact->name.ptr, type->fact->name.len);
  } else if (type->kind == FB_CEL_LIST || type->kind == FB_CEL_OPTIONAL ||
             type->kind == FB_CEL_MAP) {
    fb_buf_char(out, '(');
    fb_cel_type_write(type->a, out);
    if (type->kind == FB_CEL_MAP) {
      fb_buf_text(out, ", ");
      fb_cel_type_write(type->b, out);
    }
    fb_buf_char(out, ')');
  }
}

const fb_cel_type *fb_cel_type_make(fb_arena *arena, fb_cel_kind kind, const fb_cel_type *a,
                                    const fb_cel_type *b) {
  if (!a || (kind == FB_CEL_MAP && !b)) return NULL;
  fb_cel_type *type = fb_arena_zero(arena, sizeof *type);
  if (type) *type = (fb_cel_type){.kind = kind, .a = a, .b = b};
  return type;
}

const fb_cel_type *fb_cel_type_named(fb_slice name) {
  static const struct {
    const char *name;
    fb_cel_kind kind;
  } names[] = {{"bool", FB_CEL_BOOL},
               {"int", FB_CEL_INT},
               {"uint", FB_CEL_UINT},
               {"double", FB_CEL_DOUBLE},
               {"string", FB_CEL_STRING},
               {"bytes", FB_CEL_BYTES},
               {"list", FB_CEL_LIST},
               {"map", FB_CEL_MAP},
               {"null_type", FB_CEL_NULL},
               {"type", FB_CEL_TYPE},
               {"google.protobuf.Timestamp", FB_CEL_TIMESTAMP},
               {"google.protobuf.Duration", FB_CEL_DURATION},
               {"optional_type", FB_CEL_OPTIONAL}};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (fb_slice_equal(name, fb_slice_of(names[i].name))) return fb_cel_simple(names[i].kind);
  return NULL;
}
