/* SPDX-License-Identifier: Apache-2.0
 * Parameters of benchmarks: lists, ranges, and all their combinations. */
#include <flyball/proof.h>

#include <math.h>
#include <stdlib.h>

static fb_status S_bad(fb_error *err, const char *text, const char *why) {
  fb_fail(err, FB_E_BENCH_PARAMETER, "parameter `%s`: %s", text, why);
  fb_error_hint(err, "`name=a,b,c`, `name=1..10` or `name=0..1:0.25`");
  return FB_E_BENCH_PARAMETER;
}

static bool S_name_end(char c) {
  return !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-');
}

static size_t S_name_length(const char *text) {
  size_t len = 0;
  while (text[len] && !S_name_end(text[len])) len++;
  return len;
}

/* ── Ranges ──────────────────────────────────────────────────────────────────────────────────── */

/* Decimals after the point, so that 0.1 + 0.2 is shown as 0.3. -1: no number. */
static int S_number(const char *text, const char *end, double *ret) {
  char own[40], *stop;
  size_t len = (size_t)(end - text);
  if (len == 0 || len >= sizeof own) return -1;
  memcpy(own, text, len); /* "1..3" begins with "1." */
  own[len] = 0;
  double number = strtod(own, &stop);
  if (*stop || !isfinite(number) || fabs(number) > 1e15) return -1;
  const char *point = memchr(text, '.', (size_t)(end - text));
  if (memchr(text, 'e', (size_t)(end - text)) || memchr(text, 'x', (size_t)(end - text))) return -1;
  *ret = number;
  return point ? (int)(end - point - 1) : 0;
}

typedef struct S_range {
  double from, to, step;
  int decimals;
} S_range;

/* False: this is no range. */
static bool S_read_range(const char *text, S_range *ret) {
  const char *dots = strstr(text, ".."), *colon = strchr(text, ':'), *end = strchr(text, 0);
  if (!dots || (colon && colon < dots)) return false;
  int a = S_number(text, dots, &ret->from), c = 0;
  int b = S_number(dots + 2, colon ? colon : end, &ret->to);
  ret->step = 1;
  if (colon) c = S_number(colon + 1, end, &ret->step);
  if (a < 0 || b < 0 || c < 0) return false;
  ret->decimals = a > b ? a : b;
  if (c > ret->decimals) ret->decimals = c;
  return true;
}

static fb_status S_fill_range(const char *text, const S_range *range, fb_arena *arena,
                              fb_bench_parameter *ret, fb_error *err) {
  if (!(range->step > 0)) return S_bad(err, text, "a step is above 0");
  if (range->to < range->from) return S_bad(err, text, "the range ends before it begins");
  double steps = floor((range->to - range->from) / range->step + 1e-9);
  if (steps >= FB_SWEEP_MAX) return S_bad(err, text, "more than 1,000 values");
  ret->count = (size_t)steps + 1;
  const char **values = fb_arena_alloc(arena, ret->count * sizeof *values);
  if (!values) return fb_fail(err, FB_E_NOMEM, "out of memory");
  ret->values = values;
  for (size_t i = 0; i < ret->count; i++) {
    values[i] =
        fb_arena_printf(arena, "%.*f", range->decimals, range->from + (double)i * range->step);
    if (!values[i]) return fb_fail(err, FB_E_NOMEM, "out of memory");
  }
  return FB_OK;
}

/* ── Lists ───────────────────────────────────────────────────────────────────────────────────── */

static fb_status S_fill_list(const char *text, const char *list, fb_arena *arena,
                             fb_bench_parameter *ret, fb_error *err) {
  ret->count = 1;
  for (const char *at = list; *at; at++) ret->count += *at == ',';
  if (ret->count > FB_SWEEP_MAX) return S_bad(err, text, "more than 1,000 values");
  const char **values = fb_arena_alloc(arena, ret->count * sizeof *values);
  if (!values) return fb_fail(err, FB_E_NOMEM, "out of memory");
  ret->values = values;
  for (size_t i = 0; i < ret->count; i++) {
    const char *end = strchrnul(list, ',');
    values[i] = fb_arena_text(arena, (fb_slice){list, (size_t)(end - list)});
    if (!values[i]) return fb_fail(err, FB_E_NOMEM, "out of memory");
    list = end + (*end == ',');
  }
  return FB_OK;
}

fb_status fb_bench_parameter_parse(const char *text, fb_arena *arena, fb_bench_parameter *ret,
                                   fb_error *err) {
  size_t len = S_name_length(text);
  S_range range;
  if (len == 0 || text[len] != '=') return S_bad(err, text, "a name, `=` and values are expected");
  if (!text[len + 1]) return S_bad(err, text, "it has no values");
  const char *name = fb_arena_text(arena, (fb_slice){text, len});
  if (!name) return fb_fail(err, FB_E_NOMEM, "out of memory");
  ret->name = name;
  return S_read_range(text + len + 1, &range) ? S_fill_range(text, &range, arena, ret, err)
                                              : S_fill_list(text, text + len + 1, arena, ret, err);
}

/* ── Combinations ────────────────────────────────────────────────────────────────────────────── */

fb_status fb_bench_combinations(const fb_bench_parameter *parameters, size_t count, size_t *ret,
                                fb_error *err) {
  size_t all = 1;
  if (count > FB_PARAMETERS_MAX)
    return fb_fail(err, FB_E_BENCH_PARAMETER, "more than %d parameters", FB_PARAMETERS_MAX);
  for (size_t i = 0; i < count; i++) {
    for (size_t j = 0; j < i; j++)
      if (strcmp(parameters[i].name, parameters[j].name) == 0)
        return fb_fail(err, FB_E_BENCH_PARAMETER, "parameter `%s` is given twice",
                       parameters[i].name);
    all *= parameters[i].count;
    if (all > FB_SWEEP_MAX) {
      fb_fail(err, FB_E_BENCH_PARAMETER, "the parameters have more than %d combinations",
              FB_SWEEP_MAX);
      return FB_E_BENCH_PARAMETER;
    }
  }
  *ret = all;
  return FB_OK;
}

const char *fb_bench_value(const fb_bench_parameter *parameters, size_t count, size_t number,
                           size_t combination) {
  for (size_t i = count; --i > number;) combination /= parameters[i].count;
  return parameters[number].values[combination % parameters[number].count];
}

/* count: there is none. */
static size_t S_find(fb_slice name, const fb_bench_parameter *parameters, size_t count) {
  size_t i = 0;
  while (i < count && !fb_slice_equal(name, fb_slice_of(parameters[i].name))) i++;
  return i;
}

/* Braces mean much to shells, awk and others: only what looks like a slip of the keyboard is an error. */
static fb_status S_unknown(fb_slice name, const fb_bench_parameter *parameters, size_t count,
                           fb_error *err) {
  const char *names[FB_PARAMETERS_MAX];
  size_t known = count < FB_PARAMETERS_MAX ? count : FB_PARAMETERS_MAX;
  for (size_t i = 0; i < known; i++) names[i] = parameters[i].name;
  const char *nearest = fb_nearest(name, names, known);
  if (!nearest) return FB_OK;
  fb_fail(err, FB_E_BENCH_PARAMETER, "there is no parameter `%.*s`", (int)name.len, name.ptr);
  fb_error_hint(err, "did you mean `{%s}`?", nearest);
  return FB_E_BENCH_PARAMETER;
}

fb_status fb_bench_substitute(const char *text, const fb_bench_parameter *parameters, size_t count,
                              size_t combination, fb_arena *arena, uint32_t *used, const char **ret,
                              fb_error *err) {
  fb_buf out;
  fb_status status = FB_OK;
  if (!text || count == 0) {
    *ret = text;
    return FB_OK;
  }
  fb_buf_init(&out, arena->allocator, 0);
  for (const char *at = text; *at && !status;) {
    size_t len = *at == '{' ? S_name_length(at + 1) : 0;
    fb_slice name = {at + 1, len};
    size_t found = len && at[1 + len] == '}' ? S_find(name, parameters, count) : count;
    if (found < count) {
      fb_buf_text(&out, fb_bench_value(parameters, count, found, combination));
      if (used) *used |= 1u << found;
      at += len + 2;
      continue;
    }
    if (len && at[1 + len] == '}') status = S_unknown(name, parameters, count, err);
    fb_buf_char(&out, *at++);
  }
  const char *copy = status || out.failed ? NULL : fb_arena_text(arena, fb_buf_slice(&out));
  fb_buf_release(&out);
  if (status) return status;
  if (!copy) return fb_fail(err, FB_E_NOMEM, "out of memory");
  *ret = copy;
  return FB_OK;
}
