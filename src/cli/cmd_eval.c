/* SPDX-License-Identifier: Apache-2.0
 * flyball eval: facts in, decisions out. */
#include "cli/cli.h"
#include "cli/eval_split.h"
#include "cli/metrics_out.h"
#include "cli/progress.h"

#include <flyball/loop.h>
#include <flyball/rules.h>
#include <flyball/store.h>

#include <stdlib.h>
#include <unistd.h>

typedef struct S_eval {
  fb_cli *cli;
  fb_ruleset *rules;
  fb_session *session;
  fb_partition *group; /* with several threads, in place of the session */
  fb_team *team;
  uint32_t threads;
  uint64_t elsewhere; /* firings of other sessions before */
  fb_pages *pages;
  fb_page_store store;
  bool splits; /* the threads decide upon pieces of files */
  fb_split split;
  fb_buf line;
  fb_arena arena;
  bool explain;
  bool failed;  /* a condition, an action or a limit: exit 1 */
  bool refused; /* a bad record: exit 3 */
  bool stateless;
  bool replays;            /* the clock follows the facts … */
  int64_t lateness;        /* … so many nanoseconds behind the latest */
  uint64_t records, bytes; /* of the inputs that are done */
  fb_progress progress;
} S_eval;

/* ── Output ── */

static void S_member(fb_buf *out, fb_slice key, fb_value value) {
  if (out->len && out->ptr[out->len - 1] != '{') fb_buf_char(out, ',');
  fb_json_write_text(out, key, FB_JSON_COMPACT);
  fb_buf_char(out, ':');
  fb_json_write(out, value, FB_JSON_COMPACT);
}

static void S_object(fb_buf *out, fb_slice type, const fb_map *fields) {
  fb_buf_char(out, '{');
  S_member(out, FB_SLICE("type"), fb_string(type));
  for (uint32_t i = 0; fields && i < fields->len; i++)
    S_member(out, fb_value_text(fields->entries[i].key), fields->entries[i].value);
}

static fb_status S_end_line(S_eval *eval) {
  fb_buf_text(&eval->line, "}\n");
  fb_status status = fb_out_buf(eval->cli, &eval->line);
  if (status == FB_OK && fb_out_failed(eval->cli)) status = FB_E_IO;
  fb_buf_clear(&eval->line);
  fb_arena_reset(&eval->arena);
  return status;
}

/* But for its end: what follows is told when its turn comes. */
static void S_begin_decision(fb_buf *out, bool json, const fb_decision *decision) {
  if (!json) {
    S_object(out, decision->type, decision->fields);
    return;
  }
  fb_buf_text(out, "{");
  S_member(out, FB_SLICE("type"), fb_string(FB_SLICE("flyball.decision.v1")));
  S_member(out, FB_SLICE("decision"), fb_string(decision->type));
  S_member(out, FB_SLICE("fields"), fb_map_value(decision->fields));
  S_member(out, FB_SLICE("rule"), fb_string(decision->rule));
  S_member(out, FB_SLICE("line"), fb_int(decision->line));
}

/* In the threads. The `{` that it begins with is what S_member looks for. */
static fb_status S_render(void *context, fb_session *session, const fb_decision *decision,
                          fb_buf *out) {
  const S_eval *eval = context;
  (void)session;
  S_begin_decision(out, eval->cli->json, decision);
  return FB_OK;
}

static fb_status S_decision(void *context, fb_session *session, const fb_decision *decision) {
  S_eval *eval = context;
  fb_buf *out = &eval->line;
  fb_value why = fb_null();
  if (eval->explain) {
    fb_status status = fb_session_why(session, decision, &eval->arena, &why);
    if (status != FB_OK) return status;
  }
  if (eval->group) {
    fb_slice text = fb_partition_rendered(eval->group);
    fb_buf_add(out, text.ptr, text.len);
  } else {
    S_begin_decision(out, eval->cli->json, decision);
  }
  int64_t firing = (int64_t)(decision->firing + eval->elsewhere);
  if (eval->cli->json) S_member(out, FB_SLICE("firing"), fb_int(firing));
  if (eval->explain) S_member(out, FB_SLICE("why"), why);
  return S_end_line(eval);
}

/* A mission that a rule wants to be run: whoever reads the lines may do so. */
static fb_status S_mission(void *context, fb_session *session, const fb_decision *mission) {
  S_eval *eval = context;
  fb_buf *out = &eval->line;
  (void)session;
  fb_buf_text(out, "{");
  S_member(out, FB_SLICE("type"), fb_string(FB_SLICE("flyball.run.v1")));
  S_member(out, FB_SLICE("mission"), fb_string(mission->type));
  S_member(out, FB_SLICE("inputs"), fb_map_value(mission->fields));
  if (eval->cli->json) {
    S_member(out, FB_SLICE("rule"), fb_string(mission->rule));
    S_member(out, FB_SLICE("line"), fb_int(mission->line));
    S_member(out, FB_SLICE("firing"), fb_int((int64_t)mission->firing));
  }
  return S_end_line(eval);
}

/* But for its end. */
static void S_begin_log(fb_buf *out, bool json, const fb_decision *line) {
  if (json) {
    S_object(out, FB_SLICE("flyball.log.v1"), line->fields);
    return;
  }
  for (uint32_t i = 0; i < line->fields->len; i++) {
    fb_value value = line->fields->entries[i].value;
    fb_slice key = fb_value_text(line->fields->entries[i].key);
    if (i) fb_buf_printf(out, "  %.*s=", (int)key.len, key.ptr);
    if (!i && value.kind == FB_STRING)
      fb_buf_add(out, value.as.text, value.len);
    else
      fb_json_write(out, value, FB_JSON_COMPACT);
  }
}

static void S_log(void *context, fb_session *session, const fb_decision *line) {
  S_eval *eval = context;
  fb_buf *out = &eval->line;
  (void)session;
  S_begin_log(out, eval->cli->json, line);
  if (eval->cli->json) {
    S_end_line(eval);
    return;
  }
  fb_progress_hide(&eval->progress);
  fb_cli_note(eval->cli, "%.*s", (int)out->len, out->ptr ? out->ptr : "");
  fb_buf_clear(out);
}

static void S_error(void *context, fb_session *session, const fb_error *err) {
  S_eval *eval = context;
  (void)session;
  eval->failed = true;
  fb_progress_hide(&eval->progress);
  fb_cli_error(eval->cli, err);
}

static fb_status S_fact(void *context, fb_session *session, fb_fact_id id, fb_value fact) {
  S_eval *eval = context;
  fb_map *fields;
  fb_slice type = fb_facts_type(fact.as.facts)->name;
  (void)session;
  fb_status status = fb_fact_map(fact.as.facts, fact.len, &eval->arena, &fields);
  if (status != FB_OK) return status;
  if (eval->cli->json) {
    fb_buf_char(&eval->line, '{');
    S_member(&eval->line, FB_SLICE("type"), fb_string(FB_SLICE("flyball.fact.v1")));
    S_member(&eval->line, FB_SLICE("fact"), fb_int((int64_t)id));
    S_member(&eval->line, FB_SLICE("of"), fb_string(type));
    S_member(&eval->line, FB_SLICE("fields"), fb_map_value(fields));
  } else {
    S_object(&eval->line, type, fields);
  }
  return S_end_line(eval);
}

/* ── Statistics ── */

static const char *S_mode(const S_eval *eval) {
  return eval->stateless ? "stateless" : "session";
}

static fb_rule_stats S_rule_stats(const S_eval *eval, size_t rule) {
  if (eval->group) return fb_partition_rule_statistics(eval->group, rule);
  fb_rule_stats stats = fb_session_rule_statistics(eval->session, rule);
  if (eval->splits) fb_split_add_rule_statistics(&eval->split, rule, &stats);
  return stats;
}

static fb_session_stats S_session_stats(const S_eval *eval) {
  if (eval->group) return fb_partition_statistics(eval->group);
  fb_session_stats stats = fb_session_statistics(eval->session);
  if (eval->splits) fb_split_add_statistics(&eval->split, &stats);
  return stats;
}

/* The next condition of a rule; only of a session by itself. */
static bool S_condition(const S_eval *eval, size_t rule, size_t index, fb_condition_stats *ret) {
  return eval->threads <= 1 && fb_session_condition_statistics(eval->session, rule, index, ret);
}

static void S_conditions_json(S_eval *eval, size_t rule) {
  fb_buf *out = &eval->line;
  fb_condition_stats c;
  fb_buf_text(out, ",\"conditions\":[");
  for (size_t i = 0; S_condition(eval, rule, i, &c); i++) {
    fb_buf_text(out, i ? ",{" : "{");
    S_member(out, FB_SLICE("condition"), fb_string(c.text));
    fb_buf_printf(out,
                  ",\"line\":%u,\"shared\":%s,\"tested\":%llu,\"passed\":%llu,\"candidates\":%llu,"
                  "\"joined\":%llu,\"nanos\":%lld}",
                  c.line, c.shared ? "true" : "false", (unsigned long long)c.tested,
                  (unsigned long long)c.passed, (unsigned long long)c.candidates,
                  (unsigned long long)c.joined, (long long)c.nanos);
  }
  fb_buf_char(out, ']');
}

static void S_stats_json(S_eval *eval, const fb_session_stats *stats, int64_t nanos) {
  fb_buf *out = &eval->line;
  fb_buf_printf(out,
                "{\"type\":\"flyball.eval.v1\",\"mode\":\"%s\",\"records\":%llu,\"facts\":%llu,"
                "\"facts_peak\":%llu,"
                "\"asserted\":%llu,"
                "\"modified\":%llu,\"retracted\":%llu,\"activations\":%llu,\"firings\":%llu,"
                "\"decisions\":%llu,"
                "\"errors\":%llu,\"candidates\":%llu,\"memory\":%llu,\"nanos\":%lld,",
                S_mode(eval), (unsigned long long)eval->records, (unsigned long long)stats->facts,
                (unsigned long long)stats->facts_peak, (unsigned long long)stats->asserted,
                (unsigned long long)stats->modified, (unsigned long long)stats->retracted,
                (unsigned long long)stats->activations, (unsigned long long)stats->firings,
                (unsigned long long)stats->decisions, (unsigned long long)stats->errors,
                (unsigned long long)stats->candidates, (unsigned long long)stats->memory,
                (long long)nanos);
  if (stats->late) fb_buf_printf(out, "\"late\":%llu,", (unsigned long long)stats->late);
  if (eval->pages)
    fb_buf_printf(out, "\"store\":{\"hits\":%llu,\"misses\":%llu,\"writes\":%llu},",
                  (unsigned long long)stats->pages.hits, (unsigned long long)stats->pages.misses,
                  (unsigned long long)stats->pages.writes);
  fb_buf_text(out, "\"rules\":[");
  for (size_t i = 0; i < fb_ruleset_count(eval->rules); i++) {
    fb_rule_stats rule = S_rule_stats(eval, i);
    fb_buf_text(out, i ? ",{" : "{");
    S_member(out, FB_SLICE("rule"), fb_string(fb_ruleset_rule(eval->rules, i).name));
    fb_buf_printf(out, ",\"activations\":%llu,\"firings\":%llu,\"errors\":%llu,\"nanos\":%lld",
                  (unsigned long long)rule.activations, (unsigned long long)rule.firings,
                  (unsigned long long)rule.errors, (long long)rule.nanos);
    S_conditions_json(eval, i);
    fb_buf_char(out, '}');
  }
  fb_buf_text(out, "]");
  S_end_line(eval);
}

/* `total`: of the run; what share of it the rule took, and what its conditions cost. */
static void S_rule_text(S_eval *eval, size_t number, int64_t total) {
  char time[FB_TIME_TEXT_MAX];
  fb_rule_stats rule = S_rule_stats(eval, number);
  fb_slice name = fb_ruleset_rule(eval->rules, number).name;
  fb_condition_stats c;
  int64_t nanos = rule.nanos;
  fb_duration_format(rule.nanos, time);
  fb_cli_note(eval->cli, "%12llu %12llu %8llu %10s %4.0f%%  %.*s",
              (unsigned long long)rule.activations, (unsigned long long)rule.firings,
              (unsigned long long)rule.errors, time,
              total > 0 ? 100.0 * (double)nanos / (double)total : 0.0, (int)name.len, name.ptr);
  for (size_t i = 0; S_condition(eval, number, i, &c); i++) {
    fb_duration_format(c.nanos, time);
    fb_buf_clear(&eval->line);
    fb_buf_printf(&eval->line, "%llu tested%s, %llu passed", (unsigned long long)c.tested,
                  c.shared ? " (shared)" : "", (unsigned long long)c.passed);
    if (c.candidates)
      fb_buf_printf(&eval->line, "; joins: %llu looked at, %llu fit",
                    (unsigned long long)c.candidates, (unsigned long long)c.joined);
    if (c.nanos) fb_buf_printf(&eval->line, "; %s", time);
    fb_cli_note(eval->cli, "%54s%.*s: %.*s", "", (int)c.text.len, c.text.ptr, (int)eval->line.len,
                eval->line.ptr);
  }
  fb_buf_clear(&eval->line);
}

static void S_stats_text(S_eval *eval, const fb_session_stats *stats, int64_t nanos) {
  char total[FB_TIME_TEXT_MAX];
  fb_duration_format(nanos, total);
  fb_cli_note(eval->cli,
              "%s: %llu records, %llu facts (%llu at most), %llu activations, %llu firings, %llu "
              "decisions, %llu errors, %.1f MB, %s",
              S_mode(eval), (unsigned long long)eval->records, (unsigned long long)stats->facts,
              (unsigned long long)stats->facts_peak, (unsigned long long)stats->activations,
              (unsigned long long)stats->firings, (unsigned long long)stats->decisions,
              (unsigned long long)stats->errors, (double)stats->memory / 1e6, total);
  if (stats->late)
    fb_cli_note(eval->cli, "late: %llu facts came after their window had ended",
                (unsigned long long)stats->late);
  if (eval->pages)
    fb_cli_note(eval->cli, "store: %llu chunks written, %llu read back, %llu asked for in time",
                (unsigned long long)stats->pages.writes, (unsigned long long)stats->pages.misses,
                (unsigned long long)stats->pages.hits);
  fb_cli_note(eval->cli, "%12s %12s %8s %10s %5s  rule", "activations", "firings", "errors", "time",
              "share");
  for (size_t i = 0; i < fb_ruleset_count(eval->rules); i++) S_rule_text(eval, i, nanos);
}

/* ── Facts in ── */

/* An error that ended the asserting or the firing. */
static int S_stopped(S_eval *eval, const fb_error *err) {
  if (fb_out_failed(eval->cli)) return FB_EXIT_OUTSIDE;
  int code = fb_cli_error(eval->cli, err);
  if (err->code != FB_E_RULE_LIMIT) return code;
  return fb_cli_has(eval->cli, "time-limit") && !strncmp(err->text, "the time", 8) ? FB_EXIT_TIME
                                                                                   : FB_EXIT_NO;
}

static int S_assert_batch(S_eval *eval, const fb_batch *batch) {
  for (size_t i = 0; i < batch->run_count; i++) {
    const fb_run *run = &batch->runs[i];
    fb_error err;
    fb_status status =
        eval->group
            ? fb_partition_assert_rows(eval->group, run->facts, run->first, run->count, NULL, &err)
        : eval->replays ? fb_session_replay_rows(eval->session, run->facts, run->first, run->count,
                                                 eval->lateness, NULL, &err)
                        : fb_session_assert_rows(eval->session, run->facts, run->first, run->count,
                                                 NULL, NULL, &err);
    if (status != FB_OK) {
      fb_progress_hide(&eval->progress);
      return S_stopped(eval, &err);
    }
  }
  if (eval->stateless) {
    fb_out_flush(eval->cli); /* whoever feeds the stream may wait for the answer */
    if (fb_out_failed(eval->cli)) return FB_EXIT_OUTSIDE;
    fb_session_forget_texts(eval->session);
  }
  return FB_EXIT_OK;
}

static int S_read_stream(S_eval *eval, fb_stream *stream) {
  fb_errors errors;
  fb_batch batch;
  int code = FB_EXIT_OK;
  for (bool more = true; more && code == FB_EXIT_OK;) {
    fb_errors_init(&errors, NULL, 0);
    fb_status status = fb_stream_next(stream, &batch, &errors);
    if (fb_errors_total(&errors)) {
      fb_progress_hide(&eval->progress);
      int worst = fb_cli_errors(eval->cli, &errors);
      eval->refused = true;
      if (worst == FB_EXIT_OUTSIDE) code = worst;
    } else if (status != FB_OK && status != FB_DONE) {
      code = fb_cli_fail(eval->cli, status, "the facts cannot be read on");
    }
    fb_errors_release(&errors);
    if (status == FB_OK && code == FB_EXIT_OK) code = S_assert_batch(eval, &batch);
    more = status == FB_OK;
    fb_progress_show(&eval->progress, eval->bytes + fb_stream_bytes(stream),
                     eval->records + fb_stream_records(stream));
  }
  eval->records += fb_stream_records(stream);
  eval->bytes += fb_stream_bytes(stream);
  return code;
}

static fb_stream_format S_format(const fb_cli *cli) {
  const char *name = fb_cli_text(cli, "from", "auto");
  if (!strcmp(name, "ndjson")) return FB_STREAM_NDJSON;
  if (!strcmp(name, "json")) return FB_STREAM_JSON;
  return strcmp(name, "csv") ? FB_STREAM_AUTO : FB_STREAM_CSV;
}

static fb_stream_options S_stream_options(const S_eval *eval, const char *path) {
  return (fb_stream_options){.format = S_format(eval->cli),
                             .name = fb_cli_file_name(path),
                             .type = fb_slice_of(fb_cli_text(eval->cli, "type", "")),
                             .type_key = fb_slice_of(fb_cli_text(eval->cli, "type-key", ""))};
}

/* In pieces, by all threads. */
static int S_split_file(S_eval *eval, int fd, const char *path) {
  fb_split *split = &eval->split;
  uint64_t own = fb_session_statistics(eval->session).firings;
  split->stream = S_stream_options(eval, path);
  split->records = eval->records;
  split->bytes = eval->bytes;
  split->firings = own + eval->elsewhere;
  int code = fb_split_file(split, fd, split->stream.name);
  eval->records = split->records;
  eval->bytes = split->bytes;
  eval->elsewhere = split->firings - own;
  eval->failed |= split->failed;
  eval->refused |= split->refused;
  return code;
}

static int S_read_file(S_eval *eval, const char *path) {
  fb_error err;
  int fd;
  fb_status status = fb_cli_open(path, &fd, &err);
  if (status != FB_OK) return fb_cli_error(eval->cli, &err);
  fb_stream_options options = S_stream_options(eval, path);
  fb_stream *stream;
  fb_schema *schema =
      eval->group ? fb_partition_schema(eval->group) : fb_session_schema(eval->session);
  int code;
  if (eval->splits && fb_split_takes(fd, options.format)) {
    code = S_split_file(eval, fd, path);
  } else {
    status = fb_stream_open(fb_source_fd(fd), schema, &options, NULL, &stream, &err);
    code = status == FB_OK ? S_read_stream(eval, stream) : fb_cli_error(eval->cli, &err);
    if (status == FB_OK) fb_stream_free(stream);
  }
  if (fd != 0) close(fd);
  return code;
}

/* ── Control ── */

/* The strategy in place of the rulebook's; BOOK: none is asked for. */
static fb_strategy S_strategy(const fb_cli *cli) {
  fb_strategy strategy = FB_STRATEGY_BOOK;
  fb_strategy_parse(fb_slice_of(fb_cli_text(cli, "strategy", "")), &strategy);
  return strategy;
}

static int S_bad_time(S_eval *eval, const char *text) {
  return fb_cli_usage(eval->cli, "as in `2026-01-31T00:00:00Z` (RFC 3339)", "`%s` is no time",
                      text);
}

/* Where there are windows, the clock follows the facts; where rules are in effect for a time, it stands at this moment; at
 * `--now`, if that is given. */
static int S_set_clock(S_eval *eval) {
  const char *text = fb_cli_text(eval->cli, "now", NULL);
  eval->lateness = fb_cli_duration(eval->cli, "lateness", 0);
  eval->replays = !text && !eval->stateless && fb_ruleset_windowed(eval->rules);
  if (eval->replays || (!text && !fb_ruleset_timed(eval->rules))) return FB_EXIT_OK;
  const fb_clock *clock = fb_clock_system();
  int64_t wall = text ? 0 : clock->wall(clock->context), seconds = wall / 1000000000;
  uint32_t nanos = (uint32_t)(wall % 1000000000);
  if (text && !fb_time_parse(fb_slice_of(text), &seconds, &nanos)) return S_bad_time(eval, text);
  if (eval->group) return FB_EXIT_OK; /* it has no such rules */
  fb_error err;
  fb_status status = fb_session_advance(eval->session, fb_timestamp(seconds, nanos), &err);
  return status == FB_OK ? FB_EXIT_OK : fb_cli_error(eval->cli, &err);
}

/* After the facts the clock may go on, so that windows end. */
static int S_go_on(S_eval *eval) {
  const char *text = fb_cli_text(eval->cli, "until", NULL);
  int64_t seconds;
  uint32_t nanos;
  fb_error err;
  if (!text) return FB_EXIT_OK;
  if (!fb_time_parse(fb_slice_of(text), &seconds, &nanos)) return S_bad_time(eval, text);
  fb_status status = fb_session_replay_until(eval->session, fb_timestamp(seconds, nanos), &err);
  return status == FB_OK ? FB_EXIT_OK : fb_cli_error(eval->cli, &err);
}

static int S_set_focus(S_eval *eval) {
  const char *group = fb_cli_text(eval->cli, "focus", NULL);
  fb_error err;
  if (!group || fb_session_focus(eval->session, fb_slice_of(group), &err) == FB_OK)
    return FB_EXIT_OK;
  return fb_cli_error(eval->cli, &err);
}

/* ── The run ── */

static void S_set_deadline(S_eval *eval) {
  const fb_clock *clock = fb_clock_system();
  int64_t limit = fb_cli_duration(eval->cli, "time-limit", 0);
  int64_t deadline = limit ? clock->mono(clock->context) + limit : 0;
  if (limit && eval->group) fb_partition_set_deadline(eval->group, deadline);
  if (limit && eval->session) fb_session_set_deadline(eval->session, deadline);
}

static int S_fire(S_eval *eval) {
  fb_error err;
  fb_status status = eval->group ? fb_partition_fire(eval->group, NULL, &err)
                                 : fb_session_fire(eval->session, NULL, &err);
  return status == FB_OK ? FB_EXIT_OK : S_stopped(eval, &err);
}

static int S_read_all(S_eval *eval) {
  fb_cli *cli = eval->cli;
  int code = FB_EXIT_OK;
  fb_progress_begin(&eval->progress, cli, fb_progress_total(cli));
  for (size_t i = 0; i < cli->operand_count && code == FB_EXIT_OK; i++)
    code = S_read_file(eval, cli->operands[i]);
  if (cli->operand_count == 0) code = S_read_file(eval, "-");
  fb_progress_hide(&eval->progress);
  return code;
}

static int S_evaluate(S_eval *eval) {
  fb_cli *cli = eval->cli;
  const fb_clock *clock = fb_clock_system();
  int64_t start = clock->mono(clock->context);
  int code = FB_EXIT_OK;
  S_set_deadline(eval);
  code = S_set_clock(eval);
  if (code == FB_EXIT_OK) code = S_set_focus(eval);
  if (code == FB_EXIT_OK && eval->stateless) code = S_fire(eval); /* what needs no fact */
  if (code == FB_EXIT_OK) code = S_read_all(eval);
  if (code == FB_EXIT_OK && !eval->stateless) {
    S_set_deadline(eval);
    code = S_go_on(eval);
    if (code == FB_EXIT_OK) code = S_fire(eval);
  }
  if (fb_cli_has(cli, "facts"))
    fb_session_query(eval->session, FB_SLICE(""), FB_SLICE(""), S_fact, eval, NULL);
  fb_session_stats stats = S_session_stats(eval);
  int64_t nanos = clock->mono(clock->context) - start;
  if (fb_cli_has(cli, "stats")) {
    if (cli->json)
      S_stats_json(eval, &stats, nanos);
    else
      S_stats_text(eval, &stats, nanos);
  }
  if (code == FB_EXIT_OK && eval->refused) code = FB_EXIT_DOCUMENT;
  if (code == FB_EXIT_OK && eval->failed) code = FB_EXIT_NO;
  return code;
}

/* Stateless if it may be, unless what is asked for needs held facts. */
static int S_choose_mode(S_eval *eval) {
  fb_cli *cli = eval->cli;
  const char *mode = fb_cli_text(cli, "mode", "auto");
  fb_error reason;
  if (!strcmp(mode, "session")) return FB_EXIT_OK;
  bool wanted = !strcmp(mode, "stateless");
  if (!wanted &&
      (fb_cli_has(cli, "facts") || fb_cli_has(cli, "max-facts") || fb_cli_has(cli, "strategy")))
    return FB_EXIT_OK;
  eval->stateless = fb_ruleset_stateless(eval->rules, &reason);
  return wanted && !eval->stateless ? fb_cli_error(cli, &reason) : FB_EXIT_OK;
}

/* What the session did, to where `--metrics` says. */
static int S_count(const S_eval *eval, const char *rules, int code) {
  fb_metrics *metrics;
  fb_rules_metrics *view = NULL;
  fb_rules_seen seen = {0};
  fb_error err;
  int told = fb_cli_metrics_begin(eval->cli, &metrics);
  if (!metrics || !eval->session) return fb_cli_metrics_end(eval->cli, metrics, code ? code : told);
  if (fb_rules_metrics_new(metrics, fb_slice_of(rules), NULL, &view, &err) == FB_OK)
    fb_rules_metrics_note(view, eval->session, &seen);
  else
    told = fb_cli_error(eval->cli, &err);
  code = fb_cli_metrics_end(eval->cli, metrics, code ? code : told);
  fb_rules_metrics_free(view);
  return code;
}

/* How many threads, and may there be several? */
static int S_choose_threads(S_eval *eval) {
  fb_cli *cli = eval->cli;
  uint64_t threads = fb_cli_number(cli, "threads", 1);
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  if (threads == 0) threads = cores > 0 ? (uint64_t)cores : 1;
  if (threads > FB_TEAM_MAX) return fb_cli_usage(cli, "", "`--threads` is at most %d", FB_TEAM_MAX);
  static const char *const alone[] = {"explain", "facts", "focus", "max-memory", "metrics"};
  for (size_t i = 0; threads > 1 && i < sizeof alone / sizeof *alone; i++)
    if (fb_cli_has(cli, alone[i]))
      return fb_cli_usage(cli, "", "`--%s` needs one thread", alone[i]);
  eval->threads = (uint32_t)threads;
  /* Limits count what is done in order. */
  eval->splits = eval->stateless && threads > 1 && fb_ruleset_splits(eval->rules) &&
                 !fb_ruleset_timed(eval->rules) && !fb_cli_has(cli, "max-firings") &&
                 !fb_cli_has(cli, "time-limit");
  return FB_EXIT_OK;
}

/* "256MiB", "1GB", "4096". */
static bool S_parse_size(const char *text, uint64_t *ret) {
  static const struct {
    const char *name;
    uint64_t bytes;
  } units[] = {{"", 1},          {"kB", 1000},     {"MB", 1000000}, {"GB", 1000000000},
               {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}};
  char *end;
  errno = 0;
  uint64_t number = strtoull(text, &end, 10);
  if (end == text || *text == '-' || errno) return false;
  for (size_t i = 0; i < sizeof units / sizeof *units; i++)
    if (!strcmp(end, units[i].name) && number <= UINT64_MAX / units[i].bytes) {
      *ret = number * units[i].bytes;
      return true;
    }
  return false;
}

static int S_set_memory(fb_cli *cli, fb_session_options *options) {
  const char *size = fb_cli_text(cli, "max-memory", NULL);
  if (size && (!S_parse_size(size, &options->max_memory) || !options->max_memory))
    return fb_cli_usage(cli, "as in `--max-memory 256MiB`", "`%s` is no size", size);
  return FB_EXIT_OK;
}

static int S_open_store(S_eval *eval, fb_session_options *options) {
  fb_cli *cli = eval->cli;
  const char *size = fb_cli_text(cli, "store-memory", "256MiB");
  uint64_t memory;
  fb_error err;
  if (!S_parse_size(size, &memory) || memory > SIZE_MAX)
    return fb_cli_usage(cli, "as in `--store-memory 256MiB`", "`%s` is no size", size);
  if (strcmp(fb_cli_text(cli, "store", "columnar"), "cached") != 0 || eval->stateless)
    return FB_EXIT_OK;
  if (eval->threads > 1) return fb_cli_usage(cli, "", "`--store cached` needs one thread");
  fb_status status = fb_pages_open(NULL, NULL, &eval->pages, &err);
  if (status != FB_OK) return fb_cli_error(cli, &err);
  eval->store = fb_pages_store(eval->pages, (size_t)memory);
  options->store = &eval->store;
  return FB_EXIT_OK;
}

static int S_make_split(S_eval *eval, const fb_session_options *options) {
  fb_split *split = &eval->split;
  *split = (fb_split){.cli = eval->cli,
                      .team = eval->team,
                      .progress = &eval->progress,
                      .decision = S_begin_decision,
                      .log = S_begin_log};
  fb_status status = fb_split_init(split, eval->rules, eval->threads, options);
  return status == FB_OK ? FB_EXIT_OK
                         : fb_cli_fail(eval->cli, status, "no memory for the sessions");
}

static int S_make_session(S_eval *eval, const fb_session_options *options) {
  fb_error err;
  fb_status status;
  if (eval->threads == 1 || eval->stateless) {
    status = fb_session_new(eval->rules, options, NULL, &eval->session);
    if (status != FB_OK) return fb_cli_fail(eval->cli, status, "no memory for a session");
    if (!eval->splits) return FB_EXIT_OK;
  }
  status = fb_team_new(eval->threads, NULL, &eval->team);
  if (status != FB_OK) return fb_cli_fail(eval->cli, status, "no memory for the threads");
  if (eval->splits) return S_make_split(eval, options);
  fb_partition_options group = {.session = *options,
                                .parts = eval->threads,
                                .run = fb_team_run,
                                .run_context = eval->team,
                                .render = S_render,
                                .render_context = eval};
  status = fb_partition_new(eval->rules, &group, NULL, &eval->group, &err);
  return status == FB_OK ? FB_EXIT_OK : fb_cli_error(eval->cli, &err);
}

static int S_run(fb_cli *cli) {
  const char *rules = fb_cli_text(cli, "rules", NULL);
  if (!rules)
    return fb_cli_usage(cli, "as in `flyball eval -r rules.yaml facts.ndjson`",
                        "no rulebook was given: `--rules` is missing");
  S_eval eval = {.cli = cli, .explain = fb_cli_has(cli, "explain")};
  int code = fb_cli_ruleset(cli, rules, &eval.rules);
  if (code == FB_EXIT_OK) code = S_choose_mode(&eval);
  if (code == FB_EXIT_OK) code = S_choose_threads(&eval);
  if (code != FB_EXIT_OK) {
    fb_ruleset_free(eval.rules);
    return code;
  }
  fb_session_options options = {
      .stateless = eval.stateless,
      .max_firings = fb_cli_number(cli, "max-firings", 0),
      .max_facts = fb_cli_number(cli, "max-facts", 0),
      .clock = fb_cli_has(cli, "stats") || fb_cli_has(cli, "time-limit") ? fb_clock_system() : NULL,
      .hash_seed = fb_random_seed_system(),
      .strategy = S_strategy(cli),
      .seed = fb_cli_number(cli, "seed", 0),
      .zone = fb_zone_system,
      .explain = eval.explain,
      .profile = eval.threads <= 1 && fb_cli_has(cli, "stats"),
      .output = {.decision = S_decision,
                 .log = S_log,
                 .error = S_error,
                 .run = S_mission,
                 .context = &eval}};
  fb_buf_init(&eval.line, NULL, 0);
  fb_arena_init(&eval.arena, NULL, 0);
  fb_zones *zones = NULL;
  fb_status status = fb_zones_new(NULL, NULL, &zones);
  options.zone_context = zones;
  code = status == FB_OK ? S_open_store(&eval, &options)
                         : fb_cli_fail(cli, status, "no memory for a session");
  if (code == FB_EXIT_OK) code = S_set_memory(cli, &options);
  if (code == FB_EXIT_OK) code = S_make_session(&eval, &options);
  if (code == FB_EXIT_OK) code = S_evaluate(&eval);
  code = S_count(&eval, rules, code);
  fb_partition_free(eval.group);
  fb_split_release(&eval.split);
  fb_team_free(eval.team);
  fb_session_free(eval.session);
  fb_pages_close(eval.pages);
  fb_zones_free(zones);
  fb_arena_release(&eval.arena);
  fb_buf_release(&eval.line);
  fb_ruleset_free(eval.rules);
  return code;
}

static const char *const S_modes[] = {"auto", "session", "stateless", NULL};
static const char *const S_strategies[] = {"depth",      "breadth",    "lex",    "mea",
                                           "complexity", "simplicity", "random", NULL};
static const char *const S_stores[] = {"columnar", "cached", NULL};
static const char *const S_formats[] = {"auto", "ndjson", "json", "csv", NULL};

static const fb_option S_options[] = {
    {'r', "rules", FB_OPTION_FILE, "FILE", "The rulebook", NULL, "FLYBALL_RULES", false},
    {0, "from", FB_OPTION_CHOICE, "FORMAT", "Format of the facts; `auto` looks at the first bytes",
     S_formats, NULL, false},
    {'t', "type", FB_OPTION_TEXT, "NAME", "Fact type of records that do not tell theirs", NULL,
     NULL, false},
    {0, "type-key", FB_OPTION_TEXT, "KEY",
     "Which key of a record tells its type; `type` if not given", NULL, NULL, false},
    {0, "mode", FB_OPTION_CHOICE, "MODE",
     "`stateless` decides upon each fact as it comes and holds none, `session` reads all facts "
     "first; `auto` is "
     "stateless where the rules allow it",
     S_modes, NULL, false},
    {0, "strategy", FB_OPTION_CHOICE, "NAME",
     "Which of the firings of one salience comes first, in place of the rulebook's `strategy`",
     S_strategies, NULL, false},
    {0, "seed", FB_OPTION_NUMBER, "N", "Of `--strategy random`; 0 if not given", NULL, NULL, false},
    {0, "focus", FB_OPTION_TEXT, "GROUP", "The agenda group whose rules fire first", NULL, NULL,
     false},
    {0, "now", FB_OPTION_TEXT, "TIME",
     "The time (RFC 3339) that windows and `effective` go by; not given: with windows or `expires` "
     "in the rulebook the clock follows the facts' own times, else it stands at this moment",
     NULL, NULL, false},
    {0, "lateness", FB_OPTION_DURATION, "TIME",
     "How far the clock stays behind the latest fact, so that windows wait for facts that come out "
     "of order",
     NULL, NULL, false},
    {0, "until", FB_OPTION_TEXT, "TIME",
     "After the last fact, move the clock on to this time (RFC 3339), so that windows end", NULL,
     NULL, false},
    {0, "explain", FB_OPTION_FLAG, NULL,
     "Add to each decision a `why`: rule, line, facts, and how those came to be", NULL, NULL,
     false},
    {0, "facts", FB_OPTION_FLAG, NULL, "After the decisions, print the facts that are left", NULL,
     NULL, false},
    {0, "stats", FB_OPTION_FLAG, NULL,
     "At the end, tell what was done and what it cost, rule by rule and condition by condition",
     NULL, NULL, false},
    {0, "max-firings", FB_OPTION_NUMBER, "N", "Stop after so many firings", NULL, NULL, false},
    {0, "max-facts", FB_OPTION_NUMBER, "N", "Hold at most so many facts", NULL, NULL, false},
    {0, "threads", FB_OPTION_NUMBER, "N",
     "Work in so many threads, 0: one a processor; the output is that of one. Rules must join "
     "facts along keys, if they do",
     NULL, NULL, false},
    {0, "store", FB_OPTION_CHOICE, "STORE",
     "Where facts are held: `columnar`, in memory, or `cached`, where those not used lately go "
     "to a temporary database, so that more may be held than fit in memory",
     S_stores, NULL, false},
    {0, "store-memory", FB_OPTION_TEXT, "SIZE",
     "How much of the facts `--store cached` keeps in memory: 256MiB if not given", NULL, NULL,
     false},
    {0, "max-memory", FB_OPTION_TEXT, "SIZE",
     "Refuse facts for which the session would have to take more memory, as in 256MiB", NULL, NULL,
     false},
    {0, "time-limit", FB_OPTION_DURATION, "TIME",
     "Stop firing after so long; stateless: stop deciding", NULL, NULL, false},
    FB_OPTION_METRICS,
    {0}};

const fb_command fb_command_eval = {
    .name = "eval",
    .summary = "Decide: rules over facts",
    .usage = "-r RULES [OPTION]… [FACTS]…",
    .description =
        "Reads facts from files (`-` or none: stdin), fires the rules until nothing is left to do, "
        "and prints each "
        "decision (`emit`) as a line of JSON: its `type` and its fields. Lines of `log` go to "
        "stderr.\n\n"
        "Where every rule reads one fact and changes none, facts are not held: each is decided "
        "upon as it comes, in "
        "memory that does not grow with the input. The decisions are the same; they come fact by "
        "fact in order of "
        "arrival (within a fact by salience, then as the rulebook has it), not after all facts by "
        "salience.\n\n"
        "Where the rulebook has windows or `expires`, facts are taken as they would have come: the "
        "clock moves on to the time "
        "of each, and the rules fire after each.\n\n"
        "A record that is no good fact is reported and left out; the others are decided upon, and "
        "the exit code is 3. "
        "A condition or an action that fails is reported, counts as not holding, and makes the "
        "exit code 1, as a "
        "limit does (124 for the time limit).\n\n"
        "With `--json` every line has a versioned type: `flyball.decision.v1`, `flyball.log.v1`, "
        "`flyball.fact.v1`, "
        "`flyball.eval.v1`.",
    .options = S_options,
    .examples =
        (const fb_example[]){{"flyball eval -r rules.yaml orders.ndjson", "decisions"},
                             {"flyball eval -r rules.yaml -t order --from csv --explain orders.csv",
                              "with reasons, from a table"},
                             {0}},
    .operands = FB_OPERANDS_FILES,
    .max_operands = UINT32_MAX,
    .run = S_run,
};
