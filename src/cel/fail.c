/* SPDX-License-Identifier: Apache-2.0
 * Errors of evaluation as values. */
#include "cel/library.h"

#include <stdio.h>

static const fb_error S_no_memory = {.code = FB_E_NOMEM, .text = "out of memory"};
static const fb_error S_no_steps = {
    .code = FB_E_CEL_BUDGET,
    .text = "the expression used up its step budget",
    .hint = "raise the budget, or make the lists it goes through smaller"};

fb_value fb_cel_fail(fb_cel_context *context, fb_status code, const char *format, ...) {
  fb_error *err = fb_arena_alloc(context->arena, sizeof *err);
  if (!err) return fb_error_value(&S_no_memory);
  va_list args;
  va_start(args, format);
  char text[sizeof err->text];
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  fb_fail(err, code, "%s", text);
  return fb_error_value(err);
}

fb_value fb_cel_over_budget(fb_cel_context *context) {
  context->steps = 0;
  return fb_error_value(&S_no_steps);
}
