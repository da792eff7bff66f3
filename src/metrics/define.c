/* SPDX-License-Identifier: Apache-2.0
 * What a definition may be. */
#include "metrics/internal.h"

#include <math.h>

static bool S_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool S_name(const char *name, bool colons) {
  if (!name || !*name || (*name >= '0' && *name <= '9')) return false;
  for (; *name; name++)
    if (!S_letter(*name) && !(*name >= '0' && *name <= '9') && !(colons && *name == ':'))
      return false;
  return true;
}

static bool S_ends(fb_slice text, fb_slice suffix) {
  return text.len >= suffix.len &&
         memcmp(text.ptr + text.len - suffix.len, suffix.ptr, suffix.len) == 0;
}

/* The suffixes of OpenMetrics: a family with one could have the samples of another. */
static const char *S_reserved(fb_slice name) {
  static const char *const suffixes[] = {"_total", "_created", "_bucket", "_count",
                                         "_sum",   "_info",    "_gcount", "_gsum"};
  for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
    if (S_ends(name, fb_slice_of(suffixes[i]))) return suffixes[i];
  return NULL;
}

static fb_status S_check_name(const fb_metric_def *def, fb_error *err) {
  if (!S_name(def->name, true))
    return fb_fail(err, FB_E_METRIC_NAME, "'%.80s' is no name for a metric",
                   def->name ? def->name : "");
  fb_slice name = fb_slice_of(def->name), unit = fb_slice_of(def->unit);
  const char *suffix = S_reserved(name);
  if (suffix) {
    fb_fail(err, FB_E_METRIC_NAME, "the metric's name %.80s ends in %s", def->name, suffix);
    fb_error_hint(err, "leave the suffix out: where it belongs, it is added");
    return FB_E_METRIC_NAME;
  }
  if (!unit.len) return FB_OK;
  if (!S_name(def->unit, false))
    return fb_fail(err, FB_E_METRIC_NAME, "'%.80s' is no name for a unit", def->unit);
  if (name.len <= unit.len + 1 || !S_ends(name, unit) || name.ptr[name.len - unit.len - 1] != '_') {
    fb_fail(err, FB_E_METRIC_NAME, "the metric %.80s has the unit %.40s, but not in its name",
            def->name, def->unit);
    fb_error_hint(err, "call it %.80s_%.40s", def->name, def->unit);
    return FB_E_METRIC_NAME;
  }
  return FB_OK;
}

static fb_status S_check_labels(const fb_metric_def *def, fb_error *err) {
  if (def->label_count > FB_METRIC_LABELS_MAX)
    return fb_fail(err, FB_E_METRIC_DEF, "%.80s has %zu labels; at most %d are possible", def->name,
                   def->label_count, FB_METRIC_LABELS_MAX);
  for (size_t i = 0; i < def->label_count; i++) {
    const char *label = def->labels[i];
    if (!S_name(label, false) || (label[0] == '_' && label[1] == '_'))
      return fb_fail(err, FB_E_METRIC_NAME, "'%.80s' is no name for a label of %.80s",
                     label ? label : "", def->name);
    if (def->kind == FB_METRIC_HISTOGRAM && strcmp(label, "le") == 0)
      return fb_fail(err, FB_E_METRIC_NAME,
                     "le is the label of %.80s's buckets, and cannot be another", def->name);
    for (size_t j = 0; j < i; j++)
      if (strcmp(label, def->labels[j]) == 0)
        return fb_fail(err, FB_E_METRIC_DEF, "%.80s has the label %.80s twice", def->name, label);
  }
  return FB_OK;
}

static fb_status S_check_bounds(const fb_metric_def *def, fb_error *err) {
  if (!def->bounds) return FB_OK;
  if (def->kind != FB_METRIC_HISTOGRAM)
    return fb_fail(err, FB_E_METRIC_DEF, "%.80s has bounds, but is no histogram", def->name);
  if (def->bound_count < 1 || def->bound_count > FB_METRIC_BOUNDS_MAX)
    return fb_fail(err, FB_E_METRIC_DEF, "%.80s has %zu bounds; from 1 to %d are possible",
                   def->name, def->bound_count, FB_METRIC_BOUNDS_MAX);
  for (size_t i = 0; i < def->bound_count; i++) {
    double bound = def->bounds[i];
    if (!(bound >= FB_LOWEST && bound <= FB_HIGHEST))
      return fb_fail(err, FB_E_METRIC_DEF,
                     "bound %zu of %.80s is %g; from 2^-30 to 2^50 is possible", i + 1, def->name,
                     bound);
    if (i && fb_distribution_edge(bound) <= fb_distribution_edge(def->bounds[i - 1])) {
      fb_fail(err, FB_E_METRIC_DEF, "bound %zu of %.80s, %g, is not above the one before it", i + 1,
              def->name, bound);
      fb_error_hint(err, "bounds ascend, by more than 1.6 %%");
      return FB_E_METRIC_DEF;
    }
  }
  return FB_OK;
}

fb_status fb_metric_check(const fb_metric_def *def, fb_error *err) {
  fb_status status = S_check_name(def, err);
  if (status == FB_OK) status = S_check_labels(def, err);
  if (status == FB_OK) status = S_check_bounds(def, err);
  if (status == FB_OK && def->help && !fb_utf8_valid(def->help, strlen(def->help), NULL))
    return fb_fail(err, FB_E_METRIC_DEF, "the help of %.80s is not UTF-8", def->name);
  return status;
}
