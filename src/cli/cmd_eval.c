/* SPDX-License-Identifier: Apache-2.0
 * flyball eval: facts in, decisions out. */
#include "cli/cli.h"
#include "cli/metrics_out.h"
#include "cli/progress.h"

#include <flyball/loop.h>
#include <flyball/rules.h>

#include <unistd.h>

enum { RULEBOOK_MAX = 64 << 20 };

typedef struct S_eval {
  fb_cli *cli;
  fb_ruleset *rules;
  fb_session *session;
  fb_buf line;
  fb_arena arena;
  bool explain;
  bool failed;  /* a condition, an action or a limit: exit 1 */
  bool refused; /* a bad record: exit 3 */
  bool stateless;
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

static fb_status S_decision(void *context, fb_session *session, const fb_decision *decision) {
  S_eval *eval = context;
  fb_buf *out = &eval->line;
  fb_value why = fb_null();
  if (eval->explain) {
    fb_status status = fb_session_why(session, decision, &eval->arena, &why);
    if (status != FB_OK) return status;
  }
  if (eval->cli->json) {
    fb_buf_text(out, "{");
    S_member(out, FB_SLICE("type"), fb_string(FB_SLICE("flyball.decision.v1")));
    S_member(out, FB_SLICE("decision"), fb_string(decision->type));
    S_member(out, FB_SLICE("fields"), fb_map_value(decision->fields));
    S_member(out, FB_SLICE("rule"), fb_string(decision->rule));
    S_member(out, FB_SLICE("line"), fb_int(decision->line));
    S_member(out, FB_SLICE("firing"), fb_int((int64_t)decision->firing));
  } else {
    S_object(out, decision->type, decision->fields);
  }
  if (eval->explain) S_member(out, FB_SLICE("why"), why);
  return S_end_line(eval);
}

static void S_log(void *context, fb_session *session, const fb_decision *line) {
  S_eval *eval = context;
  fb_buf *out = &eval->line;
  (void)session;
  if (eval->cli->json) {
    S_object(out, FB_SLICE("flyball.log.v1"), line->fields);
    S_end_line(eval);
    return;
  }
  fb_progress_hide(&eval->progress);
  for (uint32_t i = 0; i < line->fields->len; i++) {
    fb_value value = line->fields->entries[i].value;
    fb_slice key = fb_value_text(line->fields->entries[i].key);
    if (i) fb_buf_printf(out, "  %.*s=", (int)key.len, key.ptr);
    if (!i && value.kind == FB_STRING)
      fb_buf_add(out, value.as.text, value.len);
    else
      fb_json_write(out, value, FB_JSON_COMPACT);
  }
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

static void S_stats_json(S_eval *eval, const fb_session_stats *stats, int64_t nanos) {
  fb_buf *out = &eval->line;
  fb_buf_printf(out,
                "{\"type\":\"flyball.eval.v1\",\"mode\":\"%s\",\"records\":%llu,\"facts\":%llu,"
                "\"facts_peak\":%llu,"
                "\"asserted\":%llu,"
                "\"modified\":%llu,\"retracted\":%llu,\"activations\":%llu,\"firings\":%llu,"
                "\"decisions\":%llu,"
                "\"errors\":%llu,\"candidates\":%llu,\"memory\":%llu,\"nanos\":%lld,\"rules\":[",
                S_mode(eval), (unsigned long long)eval->records, (unsigned long long)stats->facts,
                (unsigned long long)stats->facts_peak, (unsigned long long)stats->asserted,
                (unsigned long long)stats->modified, (unsigned long long)stats->retracted,
                (unsigned long long)stats->activations, (unsigned long long)stats->firings,
                (unsigned long long)stats->decisions, (unsigned long long)stats->errors,
                (unsigned long long)stats->candidates, (unsigned long long)stats->memory,
                (long long)nanos);
  for (size_t i = 0; i < fb_ruleset_count(eval->rules); i++) {
    fb_rule_stats rule = fb_session_rule_statistics(eval->session, i);
    fb_buf_text(out, i ? ",{" : "{");
    S_member(out, FB_SLICE("rule"), fb_string(fb_ruleset_rule(eval->rules, i).name));
    fb_buf_printf(out, ",\"activations\":%llu,\"firings\":%llu,\"errors\":%llu,\"nanos\":%lld}",
                  (unsigned long long)rule.activations, (unsigned long long)rule.firings,
                  (unsigned long long)rule.errors, (long long)rule.nanos);
  }
  fb_buf_text(out, "]");
  S_end_line(eval);
}

static void S_stats_text(S_eval *eval, const fb_session_stats *stats, int64_t nanos) {
  char time[FB_TIME_TEXT_MAX], total[FB_TIME_TEXT_MAX];
  fb_duration_format(nanos, total);
  fb_cli_note(eval->cli,
              "%s: %llu records, %llu facts (%llu at most), %llu activations, %llu firings, %llu "
              "decisions, %llu errors, %.1f MB, %s",
              S_mode(eval), (unsigned long long)eval->records, (unsigned long long)stats->facts,
              (unsigned long long)stats->facts_peak, (unsigned long long)stats->activations,
              (unsigned long long)stats->firings, (unsigned long long)stats->decisions,
              (unsigned long long)stats->errors, (double)stats->memory / 1e6, total);
  fb_cli_note(eval->cli, "%12s %12s %8s %10s  rule", "activations", "firings", "errors", "time");
  for (size_t i = 0; i < fb_ruleset_count(eval->rules); i++) {
    fb_rule_stats rule = fb_session_rule_statistics(eval->session, i);
    fb_rule_info info = fb_ruleset_rule(eval->rules, i);
    fb_duration_format(rule.nanos, time);
    fb_cli_note(eval->cli, "%12llu %12llu %8llu %10s  %.*s", (unsigned long long)rule.activations,
                (unsigned long long)rule.firings, (unsigned long long)rule.errors, time,
                (int)info.name.len, info.name.ptr);
  }
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
        fb_session_assert_rows(eval->session, run->facts, run->first, run->count, NULL, NULL, &err);
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

static int S_read_file(S_eval *eval, const char *path) {
  fb_error err;
  int fd;
  fb_status status = fb_cli_open(path, &fd, &err);
  if (status != FB_OK) return fb_cli_error(eval->cli, &err);
  fb_stream_options options = {.format = S_format(eval->cli),
                               .name = fb_cli_file_name(path),
                               .type = fb_slice_of(fb_cli_text(eval->cli, "type", "")),
                               .type_key = fb_slice_of(fb_cli_text(eval->cli, "type-key", ""))};
  fb_stream *stream;
  status = fb_stream_open(fb_source_fd(fd), fb_session_schema(eval->session), &options, NULL,
                          &stream, &err);
  int code = status == FB_OK ? S_read_stream(eval, stream) : fb_cli_error(eval->cli, &err);
  if (status == FB_OK) fb_stream_free(stream);
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

/* Where rules are in effect for a time, the clock stands at `--now`, or at this moment. */
static int S_set_clock(S_eval *eval) {
  const char *text = fb_cli_text(eval->cli, "now", NULL);
  if (!text && !fb_ruleset_timed(eval->rules)) return FB_EXIT_OK;
  const fb_clock *clock = fb_clock_system();
  int64_t wall = text ? 0 : clock->wall(clock->context), seconds = wall / 1000000000;
  uint32_t nanos = (uint32_t)(wall % 1000000000);
  if (text && !fb_time_parse(fb_slice_of(text), &seconds, &nanos))
    return fb_cli_usage(eval->cli, "as in `--now 2026-01-31T00:00:00Z` (RFC 3339)",
                        "`%s` is no time", text);
  fb_error err;
  fb_status status = fb_session_advance(eval->session, fb_timestamp(seconds, nanos), &err);
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

static int S_load(fb_cli *cli, const char *path, fb_ruleset **ret) {
  fb_buf text;
  fb_error err;
  fb_errors errors;
  fb_buf_init(&text, NULL, 0);
  fb_errors_init(&errors, NULL, 0);
  fb_status status = fb_cli_read(path, RULEBOOK_MAX, &text, &err);
  int code = FB_EXIT_OK;
  if (status != FB_OK)
    code = fb_cli_error(cli, &err);
  else if ((status = fb_ruleset_read(fb_buf_slice(&text), fb_cli_file_name(path), NULL, ret,
                                     &errors, NULL)) != FB_OK) {
    code = fb_cli_errors(cli, &errors);
    if (code == FB_EXIT_OK) code = fb_cli_fail(cli, status, "the rulebook does not load");
  }
  fb_errors_release(&errors);
  fb_buf_release(&text);
  return code;
}

static void S_set_deadline(S_eval *eval) {
  const fb_clock *clock = fb_clock_system();
  int64_t limit = fb_cli_duration(eval->cli, "time-limit", 0);
  if (limit) fb_session_set_deadline(eval->session, clock->mono(clock->context) + limit);
}

static int S_fire(S_eval *eval) {
  fb_error err;
  fb_status status = fb_session_fire(eval->session, NULL, &err);
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
    code = S_fire(eval);
  }
  if (fb_cli_has(cli, "facts"))
    fb_session_query(eval->session, FB_SLICE(""), FB_SLICE(""), S_fact, eval, NULL);
  fb_session_stats stats = fb_session_statistics(eval->session);
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

static int S_run(fb_cli *cli) {
  const char *rules = fb_cli_text(cli, "rules", NULL);
  if (!rules)
    return fb_cli_usage(cli, "as in `flyball eval -r rules.yaml facts.ndjson`",
                        "no rulebook was given: `--rules` is missing");
  S_eval eval = {.cli = cli, .explain = fb_cli_has(cli, "explain")};
  int code = S_load(cli, rules, &eval.rules);
  if (code == FB_EXIT_OK) code = S_choose_mode(&eval);
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
      .output = {.decision = S_decision, .log = S_log, .error = S_error, .context = &eval}};
  fb_buf_init(&eval.line, NULL, 0);
  fb_arena_init(&eval.arena, NULL, 0);
  fb_zones *zones = NULL;
  fb_status status = fb_zones_new(NULL, NULL, &zones);
  options.zone_context = zones;
  if (status == FB_OK) status = fb_session_new(eval.rules, &options, NULL, &eval.session);
  code = status == FB_OK ? S_evaluate(&eval) : fb_cli_fail(cli, status, "no memory for a session");
  code = S_count(&eval, rules, code);
  fb_session_free(eval.session);
  fb_zones_free(zones);
  fb_arena_release(&eval.arena);
  fb_buf_release(&eval.line);
  fb_ruleset_free(eval.rules);
  return code;
}

static const char *const S_modes[] = {"auto", "session", "stateless", NULL};
static const char *const S_strategies[] = {"depth",      "breadth",    "lex",    "mea",
                                           "complexity", "simplicity", "random", NULL};
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
     "The time (RFC 3339) that `effective` goes by; not given: this moment", NULL, NULL, false},
    {0, "explain", FB_OPTION_FLAG, NULL,
     "Add to each decision a `why`: rule, line, facts, and how those came to be", NULL, NULL,
     false},
    {0, "facts", FB_OPTION_FLAG, NULL, "After the decisions, print the facts that are left", NULL,
     NULL, false},
    {0, "stats", FB_OPTION_FLAG, NULL, "At the end, tell what was done, rule by rule", NULL, NULL,
     false},
    {0, "max-firings", FB_OPTION_NUMBER, "N", "Stop after so many firings", NULL, NULL, false},
    {0, "max-facts", FB_OPTION_NUMBER, "N", "Hold at most so many facts", NULL, NULL, false},
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
