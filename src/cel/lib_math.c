/* SPDX-License-Identifier: Apache-2.0
 * math.*: extremes, bits, rounding. */
#include "cel/lib.h"

#include <math.h>

static bool S_is_number(fb_value value) {
  return value.kind == FB_INT || value.kind == FB_UINT || value.kind == FB_DOUBLE;
}

/* The number that is the extreme; the first of equal ones. `sign` 1: greatest, -1: least. */
static fb_value S_extreme(fb_cel_context *context, const fb_value *args, uint32_t count, int sign) {
  const char *name = sign > 0 ? "greatest" : "least";
  if (count == 1 && args[0].kind == FB_LIST) {
    count = args[0].as.list->len;
    args = args[0].as.list->items;
    if (count == 0)
      return fb_cel_fail(context, FB_E_CEL_VALUE, "math.%s(list) argument must not be empty", name);
  }
  if (!fb_cel_spend(context, count)) return fb_cel_over_budget(context);
  fb_value best = args[0];
  for (uint32_t i = 0; i < count; i++) {
    int order = 0;
    if (!S_is_number(args[i]))
      return fb_cel_fail(context, FB_E_CEL_NO_OVERLOAD, "no such overload: math.%s(%s)", name,
                         fb_kind_name(args[i].kind));
    if (fb_value_compare(args[i], best, &order) && order == sign) best = args[i];
  }
  return best;
}

FB_LIB_FUNCTION(fb_lib_greatest) {
  return S_extreme(context, args, count, 1);
}

FB_LIB_FUNCTION(fb_lib_least) {
  return S_extreme(context, args, count, -1);
}

/* The bits of a result, of the kind of the first argument. */
static fb_value S_bits(fb_value like, uint64_t bits) {
  return like.kind == FB_INT ? fb_int((int64_t)bits) : fb_uint(bits);
}

FB_LIB_FUNCTION(fb_lib_bit_and) {
  return S_bits(args[0], args[0].as.u & args[1].as.u);
}

FB_LIB_FUNCTION(fb_lib_bit_or) {
  return S_bits(args[0], args[0].as.u | args[1].as.u);
}

FB_LIB_FUNCTION(fb_lib_bit_xor) {
  return S_bits(args[0], args[0].as.u ^ args[1].as.u);
}

FB_LIB_FUNCTION(fb_lib_bit_not) {
  return S_bits(args[0], ~args[0].as.u);
}

FB_LIB_FUNCTION(fb_lib_shift_left) {
  int64_t by = args[1].as.i;
  if (by < 0)
    return fb_cel_fail(context, FB_E_CEL_VALUE, "math.bitShiftLeft() negative offset: %lld",
                       (long long)by);
  return S_bits(args[0], by > 63 ? 0 : args[0].as.u << by);
}

/* Zeros come in from the left, also into negative numbers. */
FB_LIB_FUNCTION(fb_lib_shift_right) {
  int64_t by = args[1].as.i;
  if (by < 0)
    return fb_cel_fail(context, FB_E_CEL_VALUE, "math.bitShiftRight() negative offset: %lld",
                       (long long)by);
  return S_bits(args[0], by > 63 ? 0 : args[0].as.u >> by);
}

FB_LIB_FUNCTION(fb_lib_ceil) {
  return fb_double(ceil(args[0].as.d));
}

FB_LIB_FUNCTION(fb_lib_floor) {
  return fb_double(floor(args[0].as.d));
}

FB_LIB_FUNCTION(fb_lib_round) {
  return fb_double(round(args[0].as.d));
}

FB_LIB_FUNCTION(fb_lib_trunc) {
  return fb_double(trunc(args[0].as.d));
}

FB_LIB_FUNCTION(fb_lib_abs_int) {
  if (args[0].as.i == INT64_MIN)
    return fb_cel_fail(context, FB_E_CEL_OVERFLOW, "integer overflow: math.abs of the least int");
  return fb_int(args[0].as.i < 0 ? -args[0].as.i : args[0].as.i);
}

FB_LIB_FUNCTION(fb_lib_abs_double) {
  return fb_double(fabs(args[0].as.d));
}

FB_LIB_FUNCTION(fb_lib_sign) {
  double d = args[0].as.d;
  switch (args[0].kind) {
    case FB_INT: return fb_int((args[0].as.i > 0) - (args[0].as.i < 0));
    case FB_UINT: return fb_uint(args[0].as.u > 0);
    default: return fb_double(isnan(d) ? d : (double)((d > 0) - (d < 0)));
  }
}

FB_LIB_FUNCTION(fb_lib_is_nan) {
  return fb_bool(isnan(args[0].as.d));
}

FB_LIB_FUNCTION(fb_lib_is_inf) {
  return fb_bool(isinf(args[0].as.d));
}

FB_LIB_FUNCTION(fb_lib_is_finite) {
  return fb_bool(isfinite(args[0].as.d));
}

FB_LIB_FUNCTION(fb_lib_sqrt) {
  switch (args[0].kind) {
    case FB_INT: return fb_double(sqrt((double)args[0].as.i));
    case FB_UINT: return fb_double(sqrt((double)args[0].as.u));
    default: return fb_double(sqrt(args[0].as.d));
  }
}
