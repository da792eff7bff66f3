/* SPDX-License-Identifier: Apache-2.0
 *
 * Random registries for check.py: emit SEED. Prints one JSON object that says what was recorded, and then each
 * format, every part in one line: its length, a line end, its bytes.
 */
#include <flyball/metrics.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { FAMILIES = 12, SERIES = 6, LABELS = 3 };

static fb_random S_random;

static uint64_t S_below(uint64_t bound) {
  return fb_random_below(&S_random, bound);
}

static void S_die(const char *what, const fb_error *err) {
  fprintf(stderr, "emit: %s: %s\n", what, err->text);
  exit(1);
}

/* Texts that break writers that do not escape. */
static const char *const S_texts[] = {"",
                                      "plain",
                                      "a\"b",
                                      "back\\slash",
                                      "line\nend",
                                      "\\n",
                                      "{}=,",
                                      "le",
                                      "tab\t",
                                      "\x01",
                                      "\xc3\xa9t\xc3\xa9",
                                      "\xe2\x82\xac",
                                      "\xf0\x9f\x98\x80",
                                      "# EOF",
                                      "\\",
                                      "\"",
                                      "a b",
                                      "\x7f\r",
                                      "__overflow__",
                                      " "};
enum { TEXTS = sizeof S_texts / sizeof *S_texts };

static const double S_numbers[] = {0,
                                   -0.0,
                                   1,
                                   0.1,
                                   1.0 / 3,
                                   1e15,
                                   1e16,
                                   123456.789,
                                   5e-324,
                                   1.7976931348623157e308,
                                   -1e-7,
                                   1e-5,
                                   NAN,
                                   INFINITY,
                                   -INFINITY,
                                   4503599627370497.5,
                                   0.30000000000000004,
                                   2.5e-8};

/* As JSON: the same escapes that the library's writer needs, but written apart from it. */
static void S_json_text(fb_buf *out, const char *text) {
  fb_buf_char(out, '"');
  for (; *text; text++)
    if ((unsigned char)*text < 0x20 || *text == '"' || *text == '\\')
      fb_buf_printf(out, "\\u%04x", (unsigned char)*text);
    else
      fb_buf_char(out, *text);
  fb_buf_char(out, '"');
}

/* Hexadecimal floats are exact and owe nothing to what is tested. */
static void S_record(fb_metric *metric, fb_metric_kind kind, const fb_slice *values, fb_buf *out) {
  fb_error err;
  fb_counter *counter;
  fb_gauge *gauge;
  fb_histogram *histogram;
  uint64_t times = S_below(50), by = S_below(UINT64_C(1) << S_below(53));
  double number = S_numbers[S_below(sizeof S_numbers / sizeof *S_numbers)];
  switch (kind) {
    case FB_METRIC_COUNTER:
      if (fb_metric_counter(metric, values, &counter, &err) != FB_OK) S_die("counter", &err);
      fb_counter_add(counter, by);
      fb_buf_printf(out, ",\"add\":%llu}", (unsigned long long)by);
      break;
    case FB_METRIC_GAUGE:
      if (fb_metric_gauge(metric, values, &gauge, &err) != FB_OK) S_die("gauge", &err);
      fb_gauge_set(gauge, number);
      fb_buf_printf(out, ",\"set\":\"%a\"}", number);
      break;
    case FB_METRIC_HISTOGRAM:
      if (fb_metric_histogram(metric, values, &histogram, &err) != FB_OK) S_die("histogram", &err);
      fb_buf_text(out, ",\"record\":[");
      for (uint64_t i = 0; i < times; i++) {
        number = exp(fb_random_unit(&S_random) * 60 - 25);
        if (S_below(4) == 0) number = ldexp(1, (int)S_below(40) - 20); /* on an edge */
        fb_histogram_record(histogram, number);
        fb_buf_printf(out, "%s\"%a\"", i ? "," : "", number);
      }
      fb_buf_text(out, "]}");
      break;
  }
}

static void S_family(fb_metrics *metrics, int index, fb_buf *out) {
  static const char *const units[] = {NULL, "seconds", "bytes", "ratio", "widgets"},
                           *const labels[] = {"path", "L2", "_x"};
  static const double bounds[] = {0.005, 0.1, 1, 7, 1e6};
  const char *unit = units[S_below(5)];
  char name[60];
  snprintf(name, sizeof name, "%c%c:part_%d%s%s", (int)('a' + S_below(26)),
           (int)('A' + S_below(26)), index, unit ? "_" : "", unit ? unit : "");
  if (S_below(2)) name[2] = '_';
  const char *help = S_below(8) ? S_texts[S_below(TEXTS)] : NULL;
  fb_metric_def def = {.kind = (fb_metric_kind)S_below(3),
                       .name = name,
                       .help = help,
                       .unit = unit,
                       .labels = labels,
                       .label_count = S_below(LABELS + 1)};
  if (def.kind == FB_METRIC_HISTOGRAM && S_below(2)) {
    def.bounds = bounds;
    def.bound_count = 1 + S_below(5);
  }
  fb_metric *metric;
  fb_error err;
  if (fb_metrics_define(metrics, &def, &metric, &err) != FB_OK) S_die(name, &err);
  fb_buf_printf(out, "%s{\"name\":\"%s\",\"kind\":%d,\"unit\":\"%s\",\"help\":", index ? "," : "",
                name, def.kind, unit ? unit : "");
  S_json_text(out, help ? help : "");
  fb_buf_printf(out, ",\"bounds\":%zu,\"series\":[", def.bound_count);
  size_t series = def.label_count ? S_below(SERIES + 1) : 1;
  for (size_t i = 0; i < series; i++) {
    fb_slice values[LABELS];
    fb_buf_text(out, i ? ",{\"labels\":{" : "{\"labels\":{");
    for (size_t j = 0; j < def.label_count; j++) {
      const char *text = S_texts[S_below(TEXTS)];
      values[j] = fb_slice_of(text);
      fb_buf_printf(out, "%s\"%s\":", j ? "," : "", labels[j]);
      S_json_text(out, text);
    }
    fb_buf_char(out, '}');
    S_record(metric, def.kind, values, out);
  }
  fb_buf_text(out, "]}");
}

static void S_part(const fb_buf *out) {
  printf("%zu\n", out->len);
  fwrite(out->ptr, 1, out->len, stdout);
}

int main(int argc, char **argv) {
  fb_metrics *metrics;
  fb_error err;
  fb_buf out;
  fb_random_seed(&S_random, strtoull(argc > 1 ? argv[1] : "0", NULL, 10));
  if (fb_metrics_new(&(fb_metrics_options){.service = "emit \"1\""}, &metrics, &err) != FB_OK)
    S_die("registry", &err);
  fb_buf_init(&out, NULL, 0);
  fb_buf_char(&out, '[');
  for (int i = 0; i < FAMILIES; i++) S_family(metrics, i, &out);
  fb_buf_char(&out, ']');
  S_part(&out);
  for (int format = FB_METRICS_PROMETHEUS; format <= FB_METRICS_OTLP; format++)
    for (unsigned style = 0; style <= (format == FB_METRICS_OPENMETRICS ? FB_METRICS_CREATED : 0);
         style++) {
      fb_buf_clear(&out);
      if (fb_metrics_write(metrics, (fb_metrics_format)format, style, &out, &err) != FB_OK)
        S_die("write", &err);
      S_part(&out);
    }
  fb_buf_release(&out);
  fb_metrics_free(metrics);
  return 0;
}
