/* SPDX-License-Identifier: Apache-2.0
 * The report of a suite as one page of HTML that needs nothing else. */
#include "proof/results.h"

static const char S_style[] =
    ":root{--ink:#1f2328;--dim:#59636e;--paper:#fff;--soft:#f6f8fa;--line:#d8dee4;--met:#1a7f37;"
    "--missed:#cf222e;--unclear:#9a6700;--none:#59636e;--shown:#0969da}\n"
    "@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--dim:#9198a1;--paper:#0d1117;"
    "--soft:#151b23;--line:#30363d;--met:#56d364;--missed:#ff7b72;--unclear:#e3b341;--none:#9198a1;"
    "--shown:#58a6ff}}\n"
    "*{box-sizing:border-box}body{margin:0 auto;padding:2rem 1.25rem 4rem;max-width:72rem;"
    "font:15px/1.5 system-ui,-apple-system,\"Segoe UI\",sans-serif;color:var(--ink);"
    "background:var(--paper)}\n"
    "h1{margin:0 0 .25rem;font-size:1.9rem;line-height:1.2}h2{margin:2.75rem 0 "
    ".25rem;font-size:1.25rem;"
    "padding-top:1rem;border-top:1px solid var(--line)}p{margin:.4rem 0;max-width:60rem}\n"
    ".dim,.note{color:var(--dim)}.note{display:block;font-size:.85rem}code{font:.85em/1.45 "
    "ui-monospace,"
    "\"DejaVu Sans Mono\",monospace;overflow-wrap:anywhere}pre{margin:.5rem 0;padding:.5rem "
    ".75rem;"
    "background:var(--soft);border:1px solid "
    "var(--line);border-radius:6px;white-space:pre-wrap}\n"
    ".tiles{display:flex;flex-wrap:wrap;gap:.75rem;margin:1.25rem 0}.tile{flex:1 1 "
    "8rem;padding:.6rem .9rem;"
    "background:var(--soft);border:1px solid var(--line);border-left:4px solid "
    "var(--c);border-radius:6px}"
    ".tile b{display:block;font-size:1.7rem;line-height:1.2;font-variant-numeric:tabular-nums}\n"
    ".met{--c:var(--met)}.missed{--c:var(--missed)}.unclear{--c:var(--unclear)}"
    ".not-measured{--c:var(--none)}.measured{--c:var(--shown)}\n"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;margin:.75rem "
    "0;font-variant-numeric:tabular-nums}"
    "th{font-weight:600;font-size:.8rem;color:var(--dim);text-align:left;white-space:nowrap}"
    "th,td{padding:.4rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}"
    "tbody tr:hover{background:var(--soft)}.n{text-align:right;white-space:nowrap}\n"
    ".badge{display:inline-block;padding:0 .55rem;border:1px solid "
    "var(--c);border-radius:1rem;color:var(--c);"
    "font-size:.82rem;font-weight:600;white-space:nowrap}td:first-child{min-width:15rem}td "
    "svg{width:8rem;height:auto;"
    "display:block}svg.fb-claims{width:100%;max-width:60rem;height:auto;display:block;margin:.5rem "
    "0}\n"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1.2rem;margin:.75rem 0}"
    "dt{color:var(--dim)}dd{margin:0;overflow-wrap:anywhere}\n"
    "@media print{:root{--ink:#000;--dim:#444;--paper:#fff;--soft:#fff;--line:#bbb;--met:#1a7f37;"
    "--missed:#cf222e;--unclear:#7d5600;--none:#444;--shown:#0550ae}body{padding:0;max-width:none;"
    "font-size:10pt}h2{break-after:avoid}tr,svg,.tile{break-inside:avoid}thead{display:table-"
    "header-group}"
    ".scroll{overflow:visible}}\n";

static void S_text(fb_buf *out, const char *text) {
  fb_html_text(out, fb_slice_of(text));
}

/* Text of several paragraphs. */
static void S_paragraphs(fb_buf *out, fb_slice text) {
  size_t at = 0;
  while (at < text.len) {
    size_t end = at;
    while (end < text.len &&
           !(text.ptr[end] == '\n' && end + 1 < text.len && text.ptr[end + 1] == '\n'))
      end++;
    fb_buf_text(out, "<p>");
    fb_html_text(out, (fb_slice){text.ptr + at, end - at});
    fb_buf_text(out, "</p>\n");
    at = end;
    while (at < text.len && text.ptr[at] == '\n') at++;
  }
}

static const char *S_class(fb_claim claim) {
  static const char *const names[] = {"met", "missed", "unclear", "not-measured", "measured"};
  return names[claim];
}

static void S_write_tiles(const fb_suite *suite, fb_buf *out) {
  size_t counts[FB_CLAIM_COUNT];
  fb_suite_count(suite, counts);
  fb_buf_text(out, "<div class=\"tiles\">");
  for (int i = 0; i < FB_CLAIM_COUNT; i++)
    if (counts[i] || i < FB_CLAIM_UNCLEAR || i == FB_CLAIM_NOT_MEASURED)
      fb_buf_printf(out, "<div class=\"tile %s\"><b>%zu</b>%s</div>", S_class((fb_claim)i),
                    counts[i], fb_claim_name((fb_claim)i));
  fb_buf_text(out, "</div>\n");
}

/* ── A part ── */

static void S_write_strip(const fb_gate_row *row, fb_buf *out) {
  const fb_budget *budget = row->budget;
  const fb_bench_result *result = row->result;
  fb_slice unit = budget->has_max ? budget->max_unit : budget->min_unit;
  double factor = unit.len ? fb_unit_factor(unit, result->unit) : 1;
  fb_plot_strip strip = {.samples = result->samples,
                         .count = result->count,
                         .median = row->value,
                         .interval = row->interval,
                         .has_interval = row->has_interval,
                         .has_target = (budget->has_max || budget->has_min) && factor > 0,
                         .target = (budget->has_max ? budget->max : budget->min) * factor,
                         .unit = result->unit,
                         .label = "all samples, the median and its interval"};
  fb_plot_strip_draw(&strip, out);
}

static void S_write_figure(const fb_gate_row *row, fb_buf *out) {
  char value[40], low[40], high[40];
  if (!row->result) {
    fb_buf_text(out, "<td class=\"n\">–</td><td class=\"n\">–</td><td class=\"n\">0</td><td></td>");
    return;
  }
  fb_slice unit = row->result->unit;
  fb_quantity_format(row->value, unit, value);
  fb_quantity_format(row->interval.low, unit, low);
  fb_quantity_format(row->interval.high, unit, high);
  fb_buf_text(out, "<td class=\"n\"><b>");
  S_text(out, value);
  fb_buf_text(out, "</b></td><td class=\"n\">");
  S_text(out, row->has_interval ? low : "–");
  if (row->has_interval) {
    fb_buf_text(out, " … ");
    S_text(out, high);
  }
  fb_buf_printf(out, "</td><td class=\"n\">%zu</td><td>", row->result->count);
  S_write_strip(row, out);
  fb_buf_text(out, "</td>");
}

static void S_write_row(const fb_suite_part *part, const fb_gate_row *row, bool published,
                        fb_buf *out) {
  const fb_suite_row *claim = fb_suite_row_of(part, row);
  char target[96], label[160];
  fb_buf name;
  fb_claim verdict = fb_claim_of(row);
  fb_claim_label(part, row, label, sizeof label);
  fb_buf_text(out, "<tr><td>");
  S_text(out, label);
  fb_buf_text(out, "<span class=\"note\">");
  fb_html_text(out, claim->note);
  fb_buf_init(&name, out->allocator, 0);
  if (row->result) {
    fb_result_name(row->result, &name);
    fb_buf_text(out, claim->note.len ? "<br><code>" : "<code>");
    fb_html_text(out, fb_buf_slice(&name));
    fb_buf_text(out, "</code>");
  }
  fb_buf_release(&name);
  fb_buf_text(out, "</span></td>");
  if (published) {
    fb_buf_text(out, "<td class=\"n dim\">");
    fb_html_text(out, claim->published);
    fb_buf_text(out, "</td>");
  }
  fb_claim_target(row, target, sizeof target);
  fb_buf_text(out, "<td class=\"n\">");
  S_text(out, *target ? target : "–");
  fb_buf_text(out, "</td>");
  S_write_figure(row, out);
  fb_buf_printf(out, "<td><span class=\"badge %s\">%s</span>", S_class(verdict),
                fb_claim_name(verdict));
  if (verdict == FB_CLAIM_NOT_MEASURED || verdict == FB_CLAIM_UNCLEAR) {
    fb_buf_text(out, "<span class=\"note\">");
    S_text(out, row->reason);
    fb_buf_text(out, "</span>");
  }
  fb_buf_text(out, "</td></tr>\n");
}

static bool S_has_published(const fb_suite_part *part) {
  for (size_t i = 0; i < part->row_count; i++)
    if (part->rows[i].published.len) return true;
  return false;
}

static void S_write_part(const fb_suite_part *part, fb_buf *out) {
  bool published = S_has_published(part);
  fb_buf_text(out, "<section><h2>");
  fb_html_text(out, part->name);
  fb_buf_text(out, "</h2>\n");
  S_paragraphs(out, part->about);
  if (part->command) {
    fb_buf_text(out, "<pre><code>");
    S_text(out, part->command);
    fb_buf_text(out, "</code></pre>\n");
  }
  if (part->trouble) {
    fb_buf_text(out, "<p><span class=\"badge missed\">failed</span> ");
    S_text(out, part->trouble);
    fb_buf_text(out, "</p>\n");
  }
  fb_plot_claims(part, out);
  fb_buf_printf(out,
                "<div class=\"scroll\"><table><thead><tr><th>Claim</th>%s<th "
                "class=\"n\">Target</th><th class=\"n\">Measured</th><th class=\"n\">95 %% "
                "interval</th><th class=\"n\">Samples</th><th></th><th>Verdict</th></tr></thead>"
                "<tbody>\n",
                published ? "<th class=\"n\">Published</th>" : "");
  for (size_t i = 0; i < part->judged_count; i++)
    S_write_row(part, &part->judged[i], published, out);
  fb_buf_text(out, "</tbody></table></div></section>\n");
}

/* ── The rest ── */

static void S_write_alerts(const fb_suite *suite, fb_buf *out) {
  if (!suite->rules) return;
  fb_buf_text(out, "<section><h2>What the rules say</h2>\n<p class=\"dim\">Decisions of <code>");
  S_text(out, suite->rules);
  fb_buf_text(out, "</code> over the rows above.</p>\n");
  if (!suite->alert_count) fb_buf_text(out, "<p>Nothing: no rule fired.</p>\n");
  if (suite->alert_count)
    fb_buf_text(out,
                "<div class=\"scroll\"><table><thead><tr><th>Decision</th><th>Rule</th>"
                "<th>With</th></tr></thead><tbody>\n");
  for (size_t i = 0; i < suite->alert_count; i++) {
    fb_buf_text(out, "<tr><td><b>");
    fb_html_text(out, suite->alerts[i].type);
    fb_buf_text(out, "</b></td><td>");
    fb_html_text(out, suite->alerts[i].rule);
    fb_buf_text(out, "</td><td><code>");
    fb_html_text(out, suite->alerts[i].fields);
    fb_buf_text(out, "</code></td></tr>\n");
  }
  if (suite->alert_count) fb_buf_text(out, "</tbody></table></div>\n");
  fb_buf_text(out, "</section>\n");
}

static void S_pair(fb_buf *out, const char *name, fb_slice text) {
  if (!text.len) return;
  fb_buf_printf(out, "<dt>%s</dt><dd>", name);
  fb_html_text(out, text);
  fb_buf_text(out, "</dd>\n");
}

static void S_write_environment(const fb_suite_about *about, fb_buf *out) {
  const fb_environment *env = about->environment;
  char text[80], time[FB_TIME_TEXT_MAX];
  fb_buf_text(out, "<section><h2>Where and how</h2><dl>");
  S_pair(out, "Processor", fb_slice_of(env->cpu));
  snprintf(text, sizeof text, "%d", env->processors);
  S_pair(out, "Processors", fb_slice_of(text));
  fb_quantity_format((double)env->memory, FB_SLICE("B"), text);
  S_pair(out, "Memory", fb_slice_of(env->memory > 0 ? text : ""));
  S_pair(out, "System", fb_slice_of(env->system));
  S_pair(out, "Kernel", fb_slice_of(env->kernel));
  S_pair(out, "Compiler", fb_slice_of(env->compiler));
  S_pair(out, "C library", fb_slice_of(env->libc));
  S_pair(out, "Governor", fb_slice_of(env->governor));
  S_pair(out, "Container", fb_slice_of(env->container));
  snprintf(text, sizeof text, "%.2f", env->load);
  S_pair(out, "Load before", fb_slice_of(env->load < 0 ? "" : text));
  S_pair(out, "Fingerprint", fb_slice_of(env->fingerprint));
  S_pair(out, "Commit", about->run->commit);
  S_pair(out, "Branch", about->run->branch);
  fb_time_format(about->run->at / 1000000000, 0, time);
  S_pair(out, "Measured", fb_slice_of(time));
  snprintf(text, sizeof text, "%.1f s", (double)about->elapsed / 1e9);
  S_pair(out, "It took", fb_slice_of(text));
  S_pair(out, "Made by", fb_slice_of(about->command));
  snprintf(text, sizeof text, "flyball %s", fb_version());
  S_pair(out, "With", fb_slice_of(text));
  fb_buf_text(out, "</dl>\n<ul>");
  for (size_t i = 0; i < env->warning_count; i++) {
    fb_buf_text(out, "<li>");
    S_text(out, env->warnings[i]);
  }
  fb_buf_text(out, "</ul></section>\n");
}

void fb_suite_write_html(const fb_suite *suite, const fb_suite_about *about, fb_buf *out) {
  char time[FB_TIME_TEXT_MAX];
  fb_buf_text(out,
              "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta "
              "name=\"viewport\" content=\"width=device-width\"><meta name=\"color-scheme\" "
              "content=\"light dark\"><title>");
  fb_html_text(out, suite->name);
  fb_buf_text(out, "</title><style>\n");
  fb_buf_text(out, S_style);
  fb_plot_style(out);
  fb_buf_text(out, "</style></head><body>\n<h1>");
  fb_html_text(out, suite->name);
  fb_time_format(about->run->at / 1000000000, 0, time);
  fb_buf_printf(out, "</h1>\n<p class=\"dim\">%s · fingerprint <code>%s</code></p>\n", time,
                about->environment->fingerprint);
  S_paragraphs(out, suite->about);
  S_write_tiles(suite, out);
  for (size_t i = 0; i < suite->part_count; i++) S_write_part(&suite->parts[i], out);
  S_write_alerts(suite, out);
  S_write_environment(about, out);
  fb_buf_text(out, "</body></html>\n");
}
