/* SPDX-License-Identifier: Apache-2.0
 * What the operators take, for the checker: the compiler has instructions for them. And the two
 * functions that are about the language itself. */
#include "cel/env.h"

#define S_ORDERED(name)                                                                  \
  {name, "(bool, bool) -> bool", NULL}, {name, "(int, int) -> bool", NULL},              \
      {name, "(uint, uint) -> bool", NULL}, {name, "(double, double) -> bool", NULL},    \
      {name, "(string, string) -> bool", NULL}, {name, "(bytes, bytes) -> bool", NULL},  \
      {name, "(timestamp, timestamp) -> bool", NULL},                                    \
      {name, "(duration, duration) -> bool", NULL}, {name, "(int, uint) -> bool", NULL}, \
      {name, "(int, double) -> bool", NULL}, {name, "(uint, int) -> bool", NULL},        \
      {name, "(uint, double) -> bool", NULL}, {name, "(double, int) -> bool", NULL}, {   \
    name, "(double, uint) -> bool", NULL                                                 \
  }
#define S_NUMBERS(name)                                                      \
  {name, "(int, int) -> int", NULL}, {name, "(uint, uint) -> uint", NULL}, { \
    name, "(double, double) -> double", NULL                                 \
  }

static fb_value S_dyn(fb_cel_context *context, const fb_value *args, uint32_t count) {
  return args[0];
}

static fb_value S_type(fb_cel_context *context, const fb_value *args, uint32_t count) {
  return fb_type_value(fb_slice_of(fb_kind_name(args[0].kind)));
}

static const fb_cel_overload S_overloads[] = {
    {"dyn", "(dyn) -> dyn", S_dyn},
    {"type", "(dyn) -> type", S_type},
    S_NUMBERS("_+_"),
    {"_+_", "(string, string) -> string", NULL},
    {"_+_", "(bytes, bytes) -> bytes", NULL},
    {"_+_", "(list(A), list(A)) -> list(A)", NULL},
    {"_+_", "(timestamp, duration) -> timestamp", NULL},
    {"_+_", "(duration, timestamp) -> timestamp", NULL},
    {"_+_", "(duration, duration) -> duration", NULL},
    S_NUMBERS("_-_"),
    {"_-_", "(timestamp, timestamp) -> duration", NULL},
    {"_-_", "(timestamp, duration) -> timestamp", NULL},
    {"_-_", "(duration, duration) -> duration", NULL},
    S_NUMBERS("_*_"),
    S_NUMBERS("_/_"),
    {"_%_", "(int, int) -> int", NULL},
    {"_%_", "(uint, uint) -> uint", NULL},
    {"-_", "(int) -> int", NULL},
    {"-_", "(double) -> double", NULL},
    {"!_", "(bool) -> bool", NULL},
    {"_==_", "(A, A) -> bool", NULL},
    {"_!=_", "(A, A) -> bool", NULL},
    S_ORDERED("_<_"),
    S_ORDERED("_<=_"),
    S_ORDERED("_>_"),
    S_ORDERED("_>=_"),
    {"@in", "(A, list(A)) -> bool", NULL},
    {"@in", "(A, map(A, B)) -> bool", NULL},
    {"_[_]", "(list(A), int) -> A", NULL},
    {"_[_]", "(map(A, B), A) -> B", NULL},
    {"_[_]", "(optional(list(A)), int) -> optional(A)", NULL},
    {"_[_]", "(optional(map(A, B)), A) -> optional(B)", NULL},
    {"_[?_]", "(list(A), int) -> optional(A)", NULL},
    {"_[?_]", "(map(A, B), A) -> optional(B)", NULL},
    {"_[?_]", "(optional(list(A)), int) -> optional(A)", NULL},
    {"_[?_]", "(optional(map(A, B)), A) -> optional(B)", NULL},
    {"_?_:_", "(bool, A, A) -> A", NULL},
};

const fb_cel_library fb_cel_operators = {S_overloads, sizeof S_overloads / sizeof *S_overloads};
