/* SPDX-License-Identifier: Apache-2.0
 * Arithmetic and comparison of any two values. */
#include "cel/program.h"

#include <stdio.h>

enum { NANOS = 1000000000 };
#define S_TIME_MIN (-62135596800LL) /* 0001-01-01T00:00:00Z */
#define S_TIME_MAX 253402300799LL   /* 9999-12-31T23:59:59Z */

typedef __int128 S_wide;

fb_value fb_operate_misfit(fb_cel_context *context, const char *what, const fb_value *args,
                           uint32_t count) {
  char kinds[200] = "";
  size_t len = 0;
  for (uint32_t i = 0; i < count && len < sizeof kinds; i++)
    len += (size_t)snprintf(kinds + len, sizeof kinds - len, "%s%s", i ? ", " : "",
                            fb_kind_name(args[i].kind));
  return fb_cel_fail(context, FB_E_CEL_NO_OVERLOAD, "no such overload: %s(%s)", what, kinds);
}

static fb_value S_misfit(fb_cel_context *context, fb_cel_op op, fb_value a, fb_value b) {
  static const char *const signs[FB_OP_COUNT_OF] = {
      [FB_OP_ADD] = "+", [FB_OP_SUB] = "-", [FB_OP_MUL] = "*", [FB_OP_DIV] = "/", [FB_OP_MOD] = "%",
      [FB_OP_LT] = "<",  [FB_OP_LE] = "<=", [FB_OP_GT] = ">",  [FB_OP_GE] = ">="};
  return fb_cel_fail(context, FB_E_CEL_NO_OVERLOAD, "no such overload: %s %s %s",
                     fb_kind_name(a.kind), signs[op] ? signs[op] : "?", fb_kind_name(b.kind));
}

/* ── Numbers ─────────────────────────────────────────────────────────────────────────────────── */

static fb_value S_int(fb_cel_op op, int64_t a, int64_t b) {
  int64_t r = 0;
  bool bad = false;
  switch (op) {
    case FB_OP_ADD: bad = __builtin_add_overflow(a, b, &r); break;
    case FB_OP_SUB: bad = __builtin_sub_overflow(a, b, &r); break;
    case FB_OP_MUL: bad = __builtin_mul_overflow(a, b, &r); break;
    default:
      if (b == 0) return fb_cel_lazy(FB_LAZY_DIVIDE);
      if (a == INT64_MIN && b == -1) return fb_cel_lazy(FB_LAZY_OVERFLOW);
      r = op == FB_OP_DIV ? a / b : a % b;
      break;
  }
  return bad ? fb_cel_lazy(FB_LAZY_OVERFLOW) : fb_int(r);
}

static fb_value S_uint(fb_cel_op op, uint64_t a, uint64_t b) {
  uint64_t r = 0;
  bool bad = false;
  switch (op) {
    case FB_OP_ADD: bad = __builtin_add_overflow(a, b, &r); break;
    case FB_OP_SUB: bad = __builtin_sub_overflow(a, b, &r); break;
    case FB_OP_MUL: bad = __builtin_mul_overflow(a, b, &r); break;
    default:
      if (b == 0) return fb_cel_lazy(FB_LAZY_DIVIDE);
      r = op == FB_OP_DIV ? a / b : a % b;
      break;
  }
  return bad ? fb_cel_lazy(FB_LAZY_OVERFLOW) : fb_uint(r);
}

static fb_value S_double(fb_cel_context *context, fb_cel_op op, fb_value a, fb_value b) {
  switch (op) {
    case FB_OP_ADD: return fb_double(a.as.d + b.as.d);
    case FB_OP_SUB: return fb_double(a.as.d - b.as.d);
    case FB_OP_MUL: return fb_double(a.as.d * b.as.d);
    case FB_OP_DIV: return fb_double(a.as.d / b.as.d);
    default: return S_misfit(context, op, a, b);
  }
}

/* ── Times ───────────────────────────────────────────────────────────────────────────────────── */

static S_wide S_nanos(fb_value time) {
  return (S_wide)time.as.i * NANOS + time.len;
}

static fb_value S_range(fb_cel_context *context, const char *what) {
  return fb_cel_fail(context, FB_E_CEL_RANGE, "%s out of range", what);
}

/* Durations are 64 bits of nanoseconds, about 292 years. */
static fb_value S_duration(fb_cel_context *context, S_wide nanos) {
  if (nanos > INT64_MAX || nanos < INT64_MIN) return S_range(context, "duration");
  int64_t seconds = (int64_t)(nanos / NANOS), rest = (int64_t)(nanos % NANOS);
  if (rest < 0) seconds--, rest += NANOS;
  return fb_duration(seconds, (uint32_t)rest);
}

static fb_value S_timestamp(fb_cel_context *context, S_wide nanos) {
  S_wide seconds = nanos / NANOS, rest = nanos % NANOS;
  if (rest < 0) seconds--, rest += NANOS;
  if (seconds < S_TIME_MIN || seconds > S_TIME_MAX) return S_range(context, "timestamp");
  return fb_timestamp((int64_t)seconds, (uint32_t)rest);
}

static fb_value S_time(fb_cel_context *context, fb_cel_op op, fb_value a, fb_value b) {
  bool add = op == FB_OP_ADD;
  if (!add && op != FB_OP_SUB) return S_misfit(context, op, a, b);
  S_wide sum = add ? S_nanos(a) + S_nanos(b) : S_nanos(a) - S_nanos(b);
  if (a.kind == FB_DURATION && b.kind == FB_DURATION) return S_duration(context, sum);
  if (a.kind == FB_TIMESTAMP && b.kind == FB_TIMESTAMP)
    return add ? S_misfit(context, op, a, b) : S_duration(context, sum);
  if (a.kind == FB_TIMESTAMP && b.kind == FB_DURATION) return S_timestamp(context, sum);
  if (add && a.kind == FB_DURATION && b.kind == FB_TIMESTAMP) return S_timestamp(context, sum);
  return S_misfit(context, op, a, b);
}

/* ── Text and lists ──────────────────────────────────────────────────────────────────────────── */

static bool S_may_make(fb_cel_context *context, uint64_t size, uint64_t work,
                       fb_value *ret_failure) {
  if (size > UINT32_MAX / 2 || !fb_cel_may_make(context, size))
    *ret_failure = fb_cel_fail(context, FB_E_CEL_SIZE,
                               "a result of %llu elements or bytes is more than is admitted",
                               (unsigned long long)size);
  else if (!fb_cel_spend(context, work))
    *ret_failure = fb_cel_over_budget(context);
  else
    return true;
  return false;
}

static fb_value S_no_memory(fb_cel_context *context) {
  return fb_cel_fail(context, FB_E_NOMEM, "no memory for the result");
}

static fb_value S_concat(fb_cel_context *context, fb_value a, fb_value b) {
  uint64_t size = (uint64_t)a.len + b.len;
  fb_value failure;
  if (!a.len) return b;
  if (!b.len) return a;
  if (!S_may_make(context, size, size / 16, &failure)) return failure;
  char *text = fb_arena_alloc_aligned(context->arena, size, 1);
  if (!text) return S_no_memory(context);
  memcpy(text, a.as.text, a.len);
  memcpy(text + a.len, b.as.text, b.len);
  fb_slice slice = {text, size};
  return a.kind == FB_STRING ? fb_string(slice) : fb_bytes(slice);
}

static fb_value S_concat_lists(fb_cel_context *context, const fb_list *a, const fb_list *b) {
  uint64_t size = (uint64_t)a->len + b->len;
  fb_value failure;
  if (!a->len) return fb_list_value(b);
  if (!b->len) return fb_list_value(a);
  if (!S_may_make(context, size, size, &failure)) return failure;
  fb_list *list = fb_list_new(context->arena, size);
  if (!list) return S_no_memory(context);
  memcpy(list->items, a->items, a->len * sizeof *a->items);
  memcpy(list->items + a->len, b->items, b->len * sizeof *b->items);
  list->len = (uint32_t)size;
  return fb_list_value(list);
}

/* ── Dispatch ────────────────────────────────────────────────────────────────────────────────── */

static fb_value S_arithmetic(fb_cel_context *context, fb_cel_op op, fb_value a, fb_value b) {
  if (a.kind == FB_TIMESTAMP || a.kind == FB_DURATION) return S_time(context, op, a, b);
  if (a.kind != b.kind) return S_misfit(context, op, a, b);
  switch (a.kind) {
    case FB_INT: return S_int(op, a.as.i, b.as.i);
    case FB_UINT: return S_uint(op, a.as.u, b.as.u);
    case FB_DOUBLE: return S_double(context, op, a, b);
    default: break;
  }
  if (op != FB_OP_ADD) return S_misfit(context, op, a, b);
  if (a.kind == FB_STRING || a.kind == FB_BYTES) return S_concat(context, a, b);
  if (a.kind == FB_LIST) return S_concat_lists(context, a.as.list, b.as.list);
  return S_misfit(context, op, a, b);
}

static bool S_is_number(fb_value v) {
  return v.kind == FB_INT || v.kind == FB_UINT || v.kind == FB_DOUBLE;
}

static double S_as_double(fb_value v) {
  return v.kind == FB_INT ? (double)v.as.i : v.kind == FB_UINT ? (double)v.as.u : v.as.d;
}

/* Integers and doubles meet as doubles, as in the other implementations of the language, unless the context wants it
 * exactly as in fb_value_compare: 9223372036854775807 == 9223372036854775808.0. A double out of the integers' range is
 * then still beyond them all. */
static bool S_compare(const fb_cel_context *context, fb_value a, fb_value b, int *ret_order) {
  if (context->exact || a.kind == b.kind || (a.kind != FB_DOUBLE && b.kind != FB_DOUBLE) ||
      !S_is_number(a) || !S_is_number(b))
    return fb_value_compare(a, b, ret_order);
  double x = S_as_double(a), y = S_as_double(b);
  *ret_order = (x > y) - (x < y);
  return x == x && y == y;
}

static bool S_equal(const fb_cel_context *context, fb_value a, fb_value b) {
  int order;
  return a.kind != b.kind && S_is_number(a) && S_is_number(b)
             ? S_compare(context, a, b, &order) && order == 0
             : fb_value_equal(a, b);
}

static fb_value S_order(fb_cel_context *context, fb_cel_op op, fb_value a, fb_value b) {
  int order;
  if (!S_compare(context, a, b, &order)) /* NaN has no order, but it may be asked for */
    return S_is_number(a) && S_is_number(b) ? fb_bool(false) : S_misfit(context, op, a, b);
  switch (op) {
    case FB_OP_LT: return fb_bool(order < 0);
    case FB_OP_LE: return fb_bool(order <= 0);
    case FB_OP_GT: return fb_bool(order > 0);
    default: return fb_bool(order >= 0);
  }
}

static bool S_compound(fb_value v) {
  return v.kind == FB_LIST || v.kind == FB_MAP || v.kind == FB_OPTIONAL;
}

/* Parts that are shared are paid for as often as they are reached: so it ends. Depth is that of what
 * readers admit or expressions can nest. */
bool fb_operate_pay(fb_cel_context *context, fb_value v) {
  bool list = v.kind == FB_LIST, map = v.kind == FB_MAP;
  uint32_t count = list ? v.as.list->len : map ? v.as.map->len : 0;
  if (!fb_cel_spend(context, v.kind == FB_STRING || v.kind == FB_BYTES ? v.len / 16 : count))
    return false;
  if (v.kind == FB_OPTIONAL) return !v.as.optional || fb_operate_pay(context, *v.as.optional);
  for (uint32_t i = 0; i < count; i++) {
    fb_value item = list ? v.as.list->items[i] : v.as.map->entries[i].value;
    if (S_compound(item) && !fb_operate_pay(context, item)) return false;
  }
  return true;
}

fb_value fb_operate_binary(fb_cel_context *context, fb_cel_op op, fb_value a, fb_value b) {
  if (a.kind >= FB_ERROR) return a.kind == FB_ERROR ? a : fb_cel_lazy(FB_LAZY_UNBOUND);
  if (b.kind >= FB_ERROR) return b.kind == FB_ERROR ? b : fb_cel_lazy(FB_LAZY_UNBOUND);
  if (op == FB_OP_EQ || op == FB_OP_NE) {
    if (a.kind == b.kind && !fb_operate_pay(context, a)) return fb_cel_over_budget(context);
    return fb_bool(S_equal(context, a, b) == (op == FB_OP_EQ));
  }
  return op >= FB_OP_LT && op <= FB_OP_GE ? S_order(context, op, a, b)
                                          : S_arithmetic(context, op, a, b);
}

fb_value fb_operate_negate(fb_cel_context *context, fb_value a) {
  if (a.kind == FB_INT)
    return a.as.i == INT64_MIN ? fb_cel_lazy(FB_LAZY_OVERFLOW) : fb_int(-a.as.i);
  if (a.kind == FB_DOUBLE) return fb_double(-a.as.d);
  if (a.kind >= FB_ERROR) return a.kind == FB_ERROR ? a : fb_cel_lazy(FB_LAZY_UNBOUND);
  return fb_operate_misfit(context, "-", &a, 1);
}

fb_value fb_operate_not(fb_cel_context *context, fb_value a) {
  if (a.kind == FB_BOOL) return fb_bool(!a.as.b);
  if (a.kind >= FB_ERROR) return a.kind == FB_ERROR ? a : fb_cel_lazy(FB_LAZY_UNBOUND);
  return fb_operate_misfit(context, "!", &a, 1);
}
