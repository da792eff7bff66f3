/* SPDX-License-Identifier: Apache-2.0
 * Reads results out of JSON: our own records and what other benchmark programs export. */
#include "proof/results.h"

#include <math.h>

enum { LENGTH_MAX = 256 << 20 };

typedef struct S_reader {
  fb_results *results;
  const char *name;
  fb_errors *errors;
  fb_arena arena; /* of one value */
  uint32_t line;  /* where the value begins, from 0 */
  fb_status first;
} S_reader;

static void S_report(S_reader *reader, fb_error *err, const char *hint) {
  snprintf(err->file, sizeof err->file, "%s", reader->name);
  err->line += err->line ? reader->line : reader->line + 1;
  if (hint) fb_error_hint(err, "%s", hint);
  fb_errors_add(reader->errors, err);
  if (reader->first == FB_OK) reader->first = err->code;
}

static void S_bad(S_reader *reader, const char *hint, const char *format, ...) FB_PRINTF(3, 4);
static void S_bad(S_reader *reader, const char *hint, const char *format, ...) {
  char text[300];
  fb_error err;
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  fb_fail(&err, FB_E_PROOF_RESULT, "%s", text);
  S_report(reader, &err, hint);
}

/* ── Members ── */

static const fb_value *S_get(const fb_map *map, const char *key) {
  return fb_map_get_text(map, fb_slice_of(key));
}

static fb_slice S_text(const fb_map *map, const char *key) {
  const fb_value *value = S_get(map, key);
  return value && value->kind == FB_STRING ? fb_value_text(*value) : (fb_slice){"", 0};
}

static bool S_number(const fb_value *value, double *ret) {
  if (!value) return false;
  if (value->kind == FB_INT) *ret = (double)value->as.i;
  if (value->kind == FB_UINT) *ret = (double)value->as.u;
  if (value->kind == FB_DOUBLE) *ret = value->as.d;
  return value->kind == FB_INT || value->kind == FB_UINT || value->kind == FB_DOUBLE;
}

/* A list of numbers, or one number, to samples. NULL: it is neither (reported), or there is no memory. */
static double *S_samples(S_reader *reader, const fb_value *value, size_t *ret_count) {
  double one;
  bool single = S_number(value, &one);
  if (!single && (!value || value->kind != FB_LIST || value->as.list->len == 0)) {
    S_bad(reader, "as in \"samples\": [1.5, 1.6]", "a list of numbers is needed, not %s",
          value ? fb_kind_name(value->kind) : "nothing");
    return NULL;
  }
  size_t count = single ? 1 : value->as.list->len;
  double *samples = fb_arena_alloc(&reader->arena, count * sizeof *samples);
  if (!samples) {
    fb_error err;
    fb_fail(&err, FB_E_NOMEM, "no memory for %zu samples", count);
    S_report(reader, &err, NULL);
    return NULL;
  }
  if (single) samples[0] = one;
  for (size_t i = 0; !single && i < count; i++)
    if (!S_number(&value->as.list->items[i], &samples[i])) {
      S_bad(reader, NULL, "sample %zu is not a number", i + 1);
      return NULL;
    }
  *ret_count = count;
  return samples;
}

static void S_add(S_reader *reader, fb_bench_result *result) {
  fb_error err;
  if (!result->workload.len || !result->metric.len) {
    S_bad(reader, NULL, "a result without a %s", result->workload.len ? "metric" : "workload");
    return;
  }
  if (fb_results_add(reader->results, result, &err) != FB_OK) S_report(reader, &err, NULL);
}

static void S_add_value(S_reader *reader, fb_bench_result *result, const fb_value *value) {
  double *samples = S_samples(reader, value, &result->count);
  if (!samples) return;
  result->samples = samples;
  S_add(reader, result);
}

static void S_judge_by_name(fb_bench_result *result) {
  result->direction = fb_direction_of(result->metric, result->unit);
  result->kind = fb_metric_kind_of(result->metric, result->unit);
}

/* ── Records ── */

static void S_read_run(S_reader *reader, const fb_map *map) {
  fb_result_run *run = &reader->results->run;
  fb_slice commit = S_text(map, "commit"), branch = S_text(map, "branch");
  fb_slice fingerprint = S_text(map, "fingerprint");
  const fb_value *environment = S_get(map, "environment");
  if (!fingerprint.len && environment && environment->kind == FB_MAP)
    fingerprint = S_text(environment->as.map, "fingerprint");
  fb_arena *arena = &reader->results->arena;
  if (commit.len && !run->commit.len && fb_slice_keep(arena, &commit)) run->commit = commit;
  if (branch.len && !run->branch.len && fb_slice_keep(arena, &branch)) run->branch = branch;
  if (fingerprint.len && !run->fingerprint.len && fb_slice_keep(arena, &fingerprint))
    run->fingerprint = fingerprint;
}

static void S_read_result(S_reader *reader, const fb_map *map) {
  fb_bench_result result = {.bench = S_text(map, "bench"),
                            .workload = S_text(map, "workload"),
                            .metric = S_text(map, "metric"),
                            .unit = S_text(map, "unit")};
  if (!result.workload.len || !result.metric.len) {
    S_bad(reader, "a result has `workload`, `metric` and `samples`", "a result without a %s",
          result.workload.len ? "metric" : "workload");
    return;
  }
  S_judge_by_name(&result);
  fb_slice better = S_text(map, "better");
  if (fb_slice_equal(better, FB_SLICE("more")))
    result.direction = FB_MORE_IS_BETTER;
  else if (fb_slice_equal(better, FB_SLICE("less")))
    result.direction = FB_LESS_IS_BETTER;
  else if (better.len || S_get(map, "better"))
    S_bad(reader, NULL, "`better` is \"less\" or \"more\"");
  S_read_run(reader, map);
  const fb_value *samples = S_get(map, "samples");
  S_add_value(reader, &result, samples ? samples : S_get(map, "value"));
}

/* A line of a program in bench/. `ours` is missing or null where nothing was measured. */
static void S_read_line(S_reader *reader, const fb_map *map) {
  fb_bench_result result = {.bench = S_text(map, "bench"),
                            .workload = S_text(map, "workload"),
                            .metric = FB_SLICE("ours"),
                            .unit = S_text(map, "unit")};
  const fb_value *samples = S_get(map, "samples"), *ours = S_get(map, "ours");
  double value;
  if (!result.workload.len) {
    S_bad(reader, "its programs print \"bench\", \"workload\", \"ours\", \"unit\"",
          "a line of a benchmark without a workload");
    return;
  }
  if (!samples && !S_number(ours, &value)) {
    reader->results->not_measured++;
    return;
  }
  S_judge_by_name(&result);
  if (result.kind == FB_METRIC_OTHER && result.direction == FB_LESS_IS_BETTER)
    result.direction = fb_direction_of(result.workload, result.unit);
  S_read_run(reader, map);
  S_add_value(reader, &result, samples ? samples : ours);
}

static void S_read_hyperfine(S_reader *reader, const fb_list *list) {
  for (uint32_t i = 0; i < list->len; i++) {
    const fb_map *map = list->items[i].kind == FB_MAP ? list->items[i].as.map : NULL;
    if (!map || !S_text(map, "command").len) {
      S_bad(reader, NULL, "result %u has no command", i + 1);
      continue;
    }
    fb_bench_result result = {.bench = FB_SLICE("command"),
                              .workload = S_text(map, "command"),
                              .metric = FB_SLICE("wall"),
                              .unit = FB_SLICE("s")};
    S_judge_by_name(&result);
    S_add_value(reader, &result, S_get(map, "times"));
  }
}

/* Repetitions come as entries of their own with the same name; aggregates are left out. */
static void S_read_google(S_reader *reader, const fb_list *list) {
  static const struct {
    const char *key, *metric;
  } times[] = {{"real_time", "wall"}, {"cpu_time", "cpu"}};
  for (uint32_t i = 0; i < list->len; i++) {
    const fb_map *map = list->items[i].kind == FB_MAP ? list->items[i].as.map : NULL;
    if (!map) continue;
    if (fb_slice_equal(S_text(map, "run_type"), FB_SLICE("aggregate"))) continue;
    const fb_value *failed = S_get(map, "error_occurred");
    if (failed && failed->kind == FB_BOOL && failed->as.b) {
      reader->results->not_measured++;
      continue;
    }
    fb_slice name = S_text(map, "run_name");
    for (size_t k = 0; k < 2; k++) {
      fb_bench_result result = {.bench = FB_SLICE("google"),
                                .workload = name.len ? name : S_text(map, "name"),
                                .metric = fb_slice_of(times[k].metric),
                                .unit = S_text(map, "time_unit")};
      S_judge_by_name(&result);
      S_add_value(reader, &result, S_get(map, times[k].key));
    }
  }
}

/* What `flyball bench --json` prints: a series for each measure of each candidate. */
static bool S_read_candidate(S_reader *reader, const fb_map *map, fb_slice bench) {
  const fb_value *measures = S_get(map, "measures");
  fb_slice workload = S_text(map, "name"), kind = S_text(map, "kind");
  if (!workload.len || !measures || measures->kind != FB_MAP) {
    S_bad(reader, NULL, "a candidate without a name or without measures");
    return false;
  }
  for (uint32_t i = 0; i < measures->as.map->len; i++) {
    const fb_entry *entry = &measures->as.map->entries[i];
    if (entry->value.kind != FB_MAP) continue; /* null: it was not available */
    fb_bench_result result = {.bench = bench.len ? bench : kind,
                              .workload = workload,
                              .metric = fb_value_text(entry->key),
                              .unit = S_text(entry->value.as.map, "unit")};
    S_judge_by_name(&result);
    S_add_value(reader, &result, S_get(entry->value.as.map, "samples"));
  }
  return true;
}

/* The samples of wall time (`cpu` false), or of user and system time together. NULL: not there, or reported. */
static double *S_times(S_reader *reader, const fb_value *candidate, bool cpu, size_t *ret_count) {
  static const char *const names[] = {"wall", "user", "system"};
  double *sum = NULL;
  const fb_value *measures =
      candidate->kind == FB_MAP ? S_get(candidate->as.map, "measures") : NULL;
  if (!measures || measures->kind != FB_MAP) return NULL;
  for (int i = cpu ? 1 : 0; i < (cpu ? 3 : 1); i++) {
    size_t count;
    const fb_value *measure = S_get(measures->as.map, names[i]);
    const fb_value *list =
        measure && measure->kind == FB_MAP ? S_get(measure->as.map, "samples") : NULL;
    double *samples = list && list->kind == FB_LIST ? S_samples(reader, list, &count) : NULL;
    if (!samples || (sum && count != *ret_count)) return NULL;
    for (size_t k = 0; sum && k < count; k++) samples[k] += sum[k];
    sum = samples;
    *ret_count = count;
  }
  return sum;
}

/* Runs measured side by side: their ratios are samples of their own, in which what disturbed both cancels. */
static void S_read_ratio(S_reader *reader, const fb_value *candidate, const fb_value *reference,
                         fb_slice bench, bool cpu) {
  size_t count = 0, reference_count = 0;
  double *samples = S_times(reader, candidate, cpu, &count);
  double *under = samples ? S_times(reader, reference, cpu, &reference_count) : NULL;
  if (!under || count != reference_count) return;
  for (size_t i = 0; i < count; i++) {
    if (!(under[i] > 0)) return;
    samples[i] /= under[i];
  }
  fb_slice kind = S_text(candidate->as.map, "kind");
  fb_bench_result result = {.bench = bench.len ? bench : kind,
                            .workload = S_text(candidate->as.map, "name"),
                            .metric = cpu ? FB_SLICE("cpu_ratio") : FB_SLICE("wall_ratio"),
                            .unit = FB_SLICE(""),
                            .direction = FB_LESS_IS_BETTER,
                            .kind = cpu ? FB_METRIC_CPU : FB_METRIC_LATENCY,
                            .samples = samples,
                            .count = count};
  S_add(reader, &result);
}

static void S_read_ratios(S_reader *reader, const fb_map *map, const fb_list *list) {
  const fb_value *paired = S_get(map, "paired");
  double reference;
  if (!paired || paired->kind != FB_BOOL || !paired->as.b ||
      !S_number(S_get(map, "reference"), &reference) || reference < 0 || reference >= list->len)
    return;
  for (uint32_t i = 0; i < list->len; i++)
    for (int cpu = 0; cpu < 2 && i != (uint32_t)reference; cpu++)
      S_read_ratio(reader, &list->items[i], &list->items[(uint32_t)reference], S_text(map, "name"),
                   cpu);
}

static void S_read_bench(S_reader *reader, const fb_map *map) {
  const fb_value *value = S_get(map, "candidates");
  bool good = true;
  S_read_run(reader, map);
  if (!value || value->kind != FB_LIST) {
    S_bad(reader, NULL, "a flyball.bench.v1 without candidates");
    return;
  }
  const fb_list *list = value->as.list;
  for (uint32_t i = 0; i < list->len; i++)
    good &= list->items[i].kind == FB_MAP &&
            S_read_candidate(reader, list->items[i].as.map, S_text(map, "name"));
  if (good) S_read_ratios(reader, map, list);
}

static void S_read_value(S_reader *reader, fb_value value);

static void S_read_map(S_reader *reader, const fb_map *map) {
  const fb_value *results = S_get(map, "results"), *google = S_get(map, "benchmarks");
  fb_slice type = S_text(map, "type");
  if (fb_slice_equal(type, FB_SLICE("flyball.result.v1")))
    S_read_result(reader, map);
  else if (fb_slice_equal(type, FB_SLICE("flyball.bench.v1")))
    S_read_bench(reader, map);
  else if (S_get(map, "bench") && !type.len)
    S_read_line(reader, map);
  else if (results && results->kind == FB_LIST && !type.len)
    S_read_hyperfine(reader, results->as.list);
  else if (google && google->kind == FB_LIST)
    S_read_google(reader, google->as.list);
  else if (type.len)
    S_bad(reader, "known are flyball.result.v1 and flyball.bench.v1",
          "a record of type `%.*s` is no result", (int)type.len, type.ptr);
  else
    S_bad(reader,
          "a result looks like "
          "{\"type\":\"flyball.result.v1\",\"workload\":\"parse\",\"metric\":\"wall\",\"unit\":"
          "\"ms\",\"samples\":[1.5,1.6]}",
          "a record that is no result of a known benchmark");
}

static void S_read_value(S_reader *reader, fb_value value) {
  if (value.kind == FB_MAP) {
    S_read_map(reader, value.as.map);
  } else if (value.kind == FB_LIST) {
    for (uint32_t i = 0; i < value.as.list->len; i++) {
      if (value.as.list->items[i].kind == FB_MAP)
        S_read_map(reader, value.as.list->items[i].as.map);
      else
        S_bad(reader, NULL, "item %u of the list is not an object", i + 1);
    }
  } else {
    S_bad(reader, NULL, "results are objects, not %s", fb_kind_name((fb_kind)value.kind));
  }
}

/* ── Lines or one value ── */

static bool S_blank(fb_slice line) {
  for (size_t i = 0; i < line.len; i++)
    if (!strchr(" \t\r\n", line.ptr[i])) return false;
  return true;
}

static fb_slice S_line(fb_slice *rest) {
  const char *end = memchr(rest->ptr, '\n', rest->len);
  size_t len = end ? (size_t)(end - rest->ptr) : rest->len;
  fb_slice line = {rest->ptr, len};
  rest->ptr += end ? len + 1 : len;
  rest->len -= end ? len + 1 : len;
  return line;
}

static bool S_parse(S_reader *reader, fb_slice text, fb_value *ret, fb_error *err) {
  fb_arena_reset(&reader->arena);
  return fb_json_read(text, reader->name, NULL, &reader->arena, ret, err) == FB_OK;
}

/* The first line that is not blank is a whole JSON value: so are all. */
static bool S_is_lines(S_reader *reader, fb_slice text) {
  fb_value value;
  while (text.len) {
    fb_slice line = S_line(&text);
    if (!S_blank(line)) return S_parse(reader, line, &value, NULL);
  }
  return true;
}

static void S_read_lines(S_reader *reader, fb_slice text) {
  for (reader->line = 0; text.len; reader->line++) {
    fb_slice line = S_line(&text);
    fb_value value;
    fb_error err;
    if (S_blank(line)) continue;
    if (S_parse(reader, line, &value, &err))
      S_read_value(reader, value);
    else
      S_report(reader, &err, NULL);
  }
}

fb_status fb_results_read(fb_results *results, fb_slice text, const char *name, fb_errors *errors) {
  S_reader reader = {.results = results, .name = name, .errors = errors};
  fb_error err;
  if (text.len > LENGTH_MAX) {
    fb_fail(&err, FB_E_LIMIT, "%s: results of more than %d bytes", name, LENGTH_MAX);
    return fb_errors_add(errors, &err);
  }
  fb_arena_init(&reader.arena, results->allocator, 0);
  fb_value value;
  if (S_is_lines(&reader, text))
    S_read_lines(&reader, text);
  else if (S_parse(&reader, text, &value, &err))
    S_read_value(&reader, value);
  else
    S_report(&reader, &err, NULL);
  fb_arena_release(&reader.arena);
  return reader.first;
}

void fb_result_json(const fb_bench_result *result, fb_buf *out) {
  const struct {
    const char *key;
    fb_slice text;
  } texts[] = {{"bench", result->bench},
               {"workload", result->workload},
               {"metric", result->metric},
               {"unit", result->unit}};
  fb_buf_text(out, "{\"type\":\"flyball.result.v1\"");
  for (size_t i = 0; i < 4; i++) {
    fb_buf_printf(out, ",\"%s\":", texts[i].key);
    fb_json_write_text(out, texts[i].text, FB_JSON_COMPACT);
  }
  fb_buf_printf(out, ",\"better\":\"%s\",\"samples\":[",
                result->direction == FB_MORE_IS_BETTER ? "more" : "less");
  for (size_t i = 0; i < result->count; i++) {
    if (i) fb_buf_char(out, ',');
    fb_json_write(out, fb_double(result->samples[i]), FB_JSON_COMPACT);
  }
  fb_buf_text(out, "]}");
}
