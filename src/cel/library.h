/* SPDX-License-Identifier: Apache-2.0
 *
 * The seam between the language and its function library: tables of overloads. The checker reads the
 * signatures, the compiler picks the candidates by name and number of arguments, the VM the first
 * whose argument kinds fit.
 */
#ifndef FB_CEL_LIBRARY_H
#define FB_CEL_LIBRARY_H

#include <flyball/cel.h>

/* Returns the result, or a FB_ERROR value from fb_cel_fail. Arguments are never FB_ERROR or FB_ABSENT, and
 * their kinds are those of the signature (dyn and type parameters: any). Memory comes from context->arena. */
typedef fb_value fb_cel_function(fb_cel_context *context, const fb_value *args, uint32_t count);

/* Signature: "(string) -> int" is a function, "string.(int, int) -> string" a member with args[0] = the
 * receiver. Types: dyn null bool int uint double string bytes timestamp duration type
 * list(T) map(K, V) optional(T); capital letters are type parameters; "T..." last: one or more. */
typedef struct fb_cel_overload {
  const char *name; /* "size", "math.abs", "startsWith" */
  const char *signature;
  fb_cel_function *function;
} fb_cel_overload;

typedef struct fb_cel_library {
  const fb_cel_overload *overloads;
  size_t count;
} fb_cel_library;

/* All libraries: standard functions (not operators), conversions, time, strings, math, lists, sets,
 * encoders, optionals, json/html. One file each: src/cel/lib_NAME.c. */
const fb_cel_library *fb_cel_libraries(size_t *ret_count);

/* An error value in the arena (a static one when there is no memory). */
fb_value fb_cel_fail(fb_cel_context *context, fb_status code, const char *format, ...)
    FB_PRINTF(3, 4);
/* Takes `work` from the step budget. False when it is gone: return fb_cel_over_budget(context). Every function
 * whose work is not constant spends about one step for 16 bytes or one element. */
static inline bool fb_cel_spend(fb_cel_context *context, uint64_t work) {
  if (context->steps < work) {
    context->steps = 0;
    return false;
  }
  context->steps -= work;
  return true;
}
fb_value fb_cel_over_budget(fb_cel_context *context);
/* True if a text or list of that size may be made (context->max_size). */
static inline bool fb_cel_may_make(const fb_cel_context *context, uint64_t size) {
  return size <= context->max_size;
}

/* string(v), the same text that string conversion, join and templates give; FB_ERROR if it has none. */
fb_value fb_cel_to_string(fb_cel_context *context, fb_value value);

#endif
