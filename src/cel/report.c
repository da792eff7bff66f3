/* SPDX-License-Identifier: Apache-2.0
 * Errors of one source text. */
#include "cel/report.h"

#include <stdio.h>

fb_status fb_cel_report_add(fb_cel_report *report, fb_status code, size_t offset, size_t length,
                            const char *hint, const char *format, ...) {
  if (!report->first) report->first = code;
  if (!report->errors) return code;
  fb_error err;
  char text[sizeof err.text];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  fb_fail(&err, code, "%s", text);
  if (hint) fb_error_hint(&err, "%s", hint);
  const fb_cel_options *options = report->options;
  if (options && options->doc && options->node)
    fb_doc_relocate(options->doc, options->node, options->node_offset + offset, length, &err);
  else
    fb_error_locate(&err, options && options->name ? options->name : "", report->source,
                    report->base + offset, length);
  fb_errors_add(report->errors, &err);
  return code;
}
