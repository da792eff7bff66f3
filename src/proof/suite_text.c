/* SPDX-License-Identifier: Apache-2.0
 * The report of a suite as Markdown and as lines of JSON. */
#include "proof/results.h"

/* ── Markdown ── */

/* In a cell of a table: what would end it or begin markup is escaped, lines become blanks. */
static void S_cell(fb_buf *out, fb_slice text) {
  for (size_t i = 0; i < text.len; i++) {
    char c = text.ptr[i];
    if (strchr("|\\`*_<>[]", c) && c) fb_buf_char(out, '\\');
    fb_buf_char(out, (unsigned char)c < ' ' ? ' ' : c);
  }
}

static void S_figure(fb_buf *out, const fb_gate_row *row) {
  char value[40], low[40], high[40];
  if (!row->result) {
    fb_buf_text(out, "– | – | 0 |");
    return;
  }
  fb_slice unit = row->result->unit;
  fb_quantity_format(row->value, unit, value);
  fb_quantity_format(row->interval.low, unit, low);
  fb_quantity_format(row->interval.high, unit, high);
  S_cell(out, fb_slice_of(value));
  fb_buf_text(out, " | ");
  if (row->has_interval) {
    S_cell(out, fb_slice_of(low));
    fb_buf_text(out, " … ");
    S_cell(out, fb_slice_of(high));
  } else {
    fb_buf_text(out, "–");
  }
  fb_buf_printf(out, " | %zu |", row->result->count);
}

static void S_markdown_row(const fb_suite_part *part, const fb_gate_row *row, fb_buf *out) {
  const fb_suite_row *claim = fb_suite_row_of(part, row);
  char target[96], label[160];
  fb_claim verdict = fb_claim_of(row);
  fb_claim_target(row, target, sizeof target);
  fb_claim_label(part, row, label, sizeof label);
  fb_buf_text(out, "| ");
  S_cell(out, fb_slice_of(label));
  fb_buf_text(out, " | ");
  S_cell(out, claim->published);
  fb_buf_text(out, " | ");
  S_cell(out, fb_slice_of(target));
  fb_buf_text(out, " | ");
  S_figure(out, row);
  fb_buf_printf(out, " **%s**", fb_claim_name(verdict));
  if (verdict == FB_CLAIM_NOT_MEASURED || verdict == FB_CLAIM_UNCLEAR) {
    fb_buf_text(out, ": ");
    S_cell(out, fb_slice_of(row->reason));
  }
  fb_buf_text(out, " |\n");
}

/* As a block of code: each line behind four blanks. */
static void S_block(fb_buf *out, const char *text) {
  fb_buf_text(out, "    ");
  for (; *text; text++) {
    fb_buf_char(out, *text);
    if (*text == '\n' && text[1]) fb_buf_text(out, "    ");
  }
  fb_buf_text(out, "\n\n");
}

static void S_markdown_part(const fb_suite_part *part, fb_buf *out) {
  fb_buf_text(out, "\n## ");
  S_cell(out, part->name);
  fb_buf_text(out, "\n\n");
  if (part->about.len) fb_buf_add(out, part->about.ptr, part->about.len);
  if (part->about.len) fb_buf_text(out, "\n\n");
  if (part->command) S_block(out, part->command);
  if (part->trouble) fb_buf_printf(out, "Failed: %s\n\n", part->trouble);
  fb_buf_text(out,
              "| claim | published | target | measured | 95 % interval | samples | verdict |\n"
              "|---|---:|---:|---:|---:|---:|---|\n");
  for (size_t i = 0; i < part->judged_count; i++) S_markdown_row(part, &part->judged[i], out);
}

static void S_markdown_alerts(const fb_suite *suite, fb_buf *out) {
  if (!suite->rules) return;
  fb_buf_printf(out, "\n## What the rules say\n\nDecisions of `%s` over the rows above%s\n\n",
                suite->rules, suite->alert_count ? ":" : ": none.");
  for (size_t i = 0; i < suite->alert_count; i++) {
    const fb_suite_alert *alert = &suite->alerts[i];
    fb_buf_text(out, "- **");
    S_cell(out, alert->type);
    fb_buf_text(out, "** ");
    S_cell(out, alert->rule);
    fb_buf_text(out, ": `");
    fb_buf_add(out, alert->fields.ptr, alert->fields.len);
    fb_buf_text(out, "`\n");
  }
}

void fb_suite_write_markdown(const fb_suite *suite, const fb_suite_about *about, fb_buf *out) {
  const fb_environment *env = about->environment;
  size_t counts[FB_CLAIM_COUNT];
  char time[FB_TIME_TEXT_MAX];
  const char *between = "";
  fb_suite_count(suite, counts);
  fb_buf_text(out, "# ");
  S_cell(out, suite->name);
  fb_buf_text(out, "\n\n");
  if (suite->about.len) fb_buf_add(out, suite->about.ptr, suite->about.len);
  if (suite->about.len) fb_buf_text(out, "\n\n");
  for (int i = 0; i < FB_CLAIM_COUNT; i++) {
    if (!counts[i]) continue;
    fb_buf_printf(out, "%s**%zu %s**", between, counts[i], fb_claim_name((fb_claim)i));
    between = ", ";
  }
  fb_buf_text(out, "\n");
  for (size_t i = 0; i < suite->part_count; i++) S_markdown_part(&suite->parts[i], out);
  S_markdown_alerts(suite, out);
  fb_time_format(about->run->at / 1000000000, 0, time);
  fb_buf_printf(
      out,
      "\n## Where and how\n\n%s, %d processors; %s; %s; %s. Fingerprint `%s`, load before "
      "%.2f. Measured %s in %.1f s by `%s`, flyball %s.\n",
      env->cpu[0] ? env->cpu : env->machine, env->processors, env->system, env->kernel, env->libc,
      env->fingerprint, env->load, time, (double)about->elapsed / 1e9, about->command,
      fb_version());
  for (size_t i = 0; i < env->warning_count; i++)
    fb_buf_printf(out, "%s- %s\n", i ? "" : "\n", env->warnings[i]);
}

/* ── JSON ── */

static void S_member(fb_buf *out, const char *name, fb_slice text) {
  fb_buf_printf(out, ",\"%s\":", name);
  fb_json_write_text(out, text, FB_JSON_COMPACT);
}

static void S_json_row(const fb_suite_part *part, const fb_gate_row *row, fb_buf *out) {
  const fb_suite_row *claim = fb_suite_row_of(part, row);
  char target[96];
  fb_buf name;
  fb_buf_init(&name, out->allocator, 0);
  fb_claim_target(row, target, sizeof target);
  fb_buf_text(out, "{\"type\":\"flyball.report.row.v1\"");
  S_member(out, "part", part->name);
  S_member(out, "name", claim->name);
  S_member(out, "published", claim->published);
  S_member(out, "target", fb_slice_of(target));
  S_member(out, "verdict", fb_slice_of(fb_claim_name(fb_claim_of(row))));
  S_member(out, "reason", fb_slice_of(row->reason));
  if (part->command) S_member(out, "command", fb_slice_of(part->command));
  if (row->result) {
    fb_result_name(row->result, &name);
    S_member(out, "series", fb_buf_slice(&name));
    S_member(out, "unit", row->result->unit);
    fb_buf_printf(out, ",\"value\":%.17g,\"samples\":%zu", row->value, row->result->count);
  }
  if (row->has_interval)
    fb_buf_printf(out, ",\"low\":%.17g,\"high\":%.17g", row->interval.low, row->interval.high);
  fb_buf_text(out, "}\n");
  fb_buf_release(&name);
}

void fb_suite_write_json(const fb_suite *suite, const fb_suite_about *about, fb_buf *out) {
  size_t counts[FB_CLAIM_COUNT];
  char time[FB_TIME_TEXT_MAX];
  for (size_t i = 0; i < suite->part_count; i++)
    for (size_t k = 0; k < suite->parts[i].judged_count; k++)
      S_json_row(&suite->parts[i], &suite->parts[i].judged[k], out);
  for (size_t i = 0; i < suite->alert_count; i++) {
    fb_buf_text(out, "{\"type\":\"flyball.report.decision.v1\"");
    S_member(out, "decision", suite->alerts[i].type);
    S_member(out, "rule", suite->alerts[i].rule);
    fb_buf_text(out, ",\"fields\":");
    fb_buf_add(out, suite->alerts[i].fields.ptr, suite->alerts[i].fields.len);
    fb_buf_text(out, "}\n");
  }
  fb_suite_count(suite, counts);
  fb_time_format(about->run->at / 1000000000, 0, time);
  fb_buf_text(out, "{\"type\":\"flyball.report.v1\"");
  S_member(out, "name", suite->name);
  S_member(out, "time", fb_slice_of(time));
  S_member(out, "commit", about->run->commit);
  fb_buf_printf(out,
                ",\"met\":%zu,\"missed\":%zu,\"unclear\":%zu,\"not_measured\":%zu,\"shown\":%zu,"
                "\"environment\":{",
                counts[FB_CLAIM_MET], counts[FB_CLAIM_MISSED], counts[FB_CLAIM_UNCLEAR],
                counts[FB_CLAIM_NOT_MEASURED], counts[FB_CLAIM_SHOWN]);
  fb_environment_json(about->environment, out);
  fb_buf_text(out, "}}\n");
}
