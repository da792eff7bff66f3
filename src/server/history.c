/* SPDX-License-Identifier: Apache-2.0
 * What was measured over time, out of the proof wing's history (`flyball history`). */
#include "server/server.h"

#include <flyball/proof.h>
#include <stdio.h>

enum { MOST_CHANGES = 64 };

/* NULL: it is answered. */
static fb_history *S_open(fb_request *request) {
  const char *path = request->server->options.history;
  fb_history *history;
  fb_error err;
  if (!path) {
    fb_reply_fail(request, 404, FB_E_SERVER_UNKNOWN, "the server was started without --history");
    return NULL;
  }
  if (fb_history_open(path, true, NULL, &history, &err) == FB_OK) return history;
  fb_reply_fail(request, 404, FB_E_SERVER_UNKNOWN, "there is no history yet");
  return NULL;
}

static fb_status S_read(fb_request *request, fb_history *history, const fb_history_filter *filter,
                        fb_history_series **ret_series, size_t *ret_count) {
  fb_error err;
  fb_status status =
      fb_history_series_of(history, filter, &request->arena, ret_series, ret_count, &err);
  fb_history_close(history);
  if (status != FB_OK) fb_reply_problem(request, 0, &err);
  return status;
}

static void S_names(const fb_bench_result *head, fb_buf *out) {
  fb_json_member(out, "bench", head->bench);
  fb_json_member(out, "workload", head->workload);
  fb_json_member(out, "metric", head->metric);
  fb_json_member(out, "unit", head->unit);
}

fb_answered fb_history_list(fb_request *request) {
  fb_history_series *series;
  size_t count;
  fb_history_filter filter = {0};
  fb_history *history = S_open(request);
  if (!history || S_read(request, history, &filter, &series, &count) != FB_OK) return FB_ANSWERED;
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  fb_buf_text(&out, "{\"type\":\"flyball.history.v1\",\"series\":[");
  for (size_t i = 0; i < count; i++) {
    fb_buf_text(&out, i ? ",{" : "{");
    S_names(&series[i].head, &out);
    fb_buf_printf(&out, ",\"runs\":%zu}", series[i].count);
  }
  fb_buf_text(&out, "]}\n");
  return fb_reply_json(request, 200, &out);
}

static void S_number(fb_buf *out, const char *name, double value) {
  char text[32];
  fb_double_format(value, text);
  fb_buf_printf(out, ",\"%s\":%s", name, text);
}

static void S_point(fb_buf *out, const fb_history_point *point) {
  double low = point->median, high = point->median;
  for (size_t i = 0; i < point->kept; i++) {
    if (point->samples[i] < low) low = point->samples[i];
    if (point->samples[i] > high) high = point->samples[i];
  }
  fb_buf_printf(out, "{\"run\":%lld,", (long long)point->run.id);
  fb_json_member(out, "commit", point->run.commit);
  fb_buf_text(out, ",\"at\":");
  fb_json_time(out, point->run.at);
  S_number(out, "median", point->median);
  S_number(out, "low", low);
  S_number(out, "high", high);
  fb_buf_char(out, '}');
}

static void S_changes(fb_request *request, const fb_history_series *series, fb_buf *out) {
  fb_change changes[MOST_CHANGES];
  size_t count = 0, used = series->count < FB_SERIES_MAX ? series->count : FB_SERIES_MAX;
  const fb_history_point *points = series->points + (series->count - used);
  double *medians = fb_arena_alloc(&request->arena, (used ? used : 1) * sizeof *medians);
  fb_random random;
  fb_error err;
  fb_random_seed(&random, 1); /* the same answer every time */
  for (size_t i = 0; medians && i < used; i++) medians[i] = points[i].median;
  if (!medians || fb_changes_find(medians, used, NULL, &random, NULL, changes, MOST_CHANGES, &count,
                                  &err) != FB_OK)
    count = 0;
  for (size_t i = 0; i < count; i++) {
    const fb_history_point *point = &points[changes[i].at];
    fb_buf_text(out, i ? ",{\"at\":" : "{\"at\":");
    fb_json_time(out, point->run.at);
    S_number(out, "from", changes[i].before);
    S_number(out, "to", changes[i].after);
    fb_json_member(out, "commit", point->run.commit);
    fb_buf_char(out, '}');
  }
}

static const char *S_pattern(fb_request *request, const char *bench, const char *workload,
                             const char *metric) {
  return fb_arena_printf(&request->arena, "%s%s%s/%s", bench, *bench ? "/" : "", workload, metric);
}

static bool S_is(fb_slice have, const char *want) {
  return fb_slice_equal(have, fb_slice_of(want));
}

fb_answered fb_history_show(fb_request *request) {
  const char *bench = fb_request_query(request, "bench"),
             *workload = fb_request_query(request, "workload"),
             *metric = fb_request_query(request, "metric");
  fb_history_series *series;
  size_t count, at = 0;
  if (!workload || !metric)
    return fb_reply_fail(request, 0, FB_E_SERVER_REQUEST, "`workload` and `metric` are needed");
  if (!bench) bench = "";
  const char *pattern = S_pattern(request, bench, workload, metric);
  if (!pattern) return fb_reply_empty(request, 507);
  fb_history_filter filter = {.series = fb_slice_of(pattern)};
  fb_history *history = S_open(request);
  if (!history || S_read(request, history, &filter, &series, &count) != FB_OK) return FB_ANSWERED;
  while (at < count &&
         !(S_is(series[at].head.bench, bench) && S_is(series[at].head.workload, workload) &&
           S_is(series[at].head.metric, metric)))
    at++;
  if (at == count) return fb_reply_fail(request, 0, FB_E_SERVER_UNKNOWN, "there is no such series");
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  fb_buf_text(&out, "{\"type\":\"flyball.series.v1\",");
  S_names(&series[at].head, &out);
  fb_buf_text(&out, ",\"points\":[");
  for (size_t i = 0; i < series[at].count; i++) {
    if (i) fb_buf_char(&out, ',');
    S_point(&out, &series[at].points[i]);
  }
  fb_buf_text(&out, "],\"changes\":[");
  S_changes(request, &series[at], &out);
  fb_buf_text(&out, "]}\n");
  return fb_reply_json(request, 200, &out);
}
