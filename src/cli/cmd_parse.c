/* SPDX-License-Identifier: Apache-2.0
 * flyball parse: what Flyball reads in a file, as canonical JSON, or what is wrong with it. */
#include "cli/cli.h"

#include <flyball/data.h>

#include <unistd.h>

static const char *const S_formats[] = {"json", "yaml", "ndjson", "csv", NULL};
typedef enum S_format { FORMAT_JSON, FORMAT_YAML, FORMAT_NDJSON, FORMAT_CSV } S_format;

static const fb_option S_options[] = {
    {'f', "from", FB_OPTION_CHOICE, "FORMAT", .help = "The format, whatever the file is called",
     .choices = S_formats},
    {'p', "pretty", FB_OPTION_FLAG, .help = "Indent the JSON (not that of `ndjson` and `csv`)"},
    {0, "max-size", FB_OPTION_NUMBER, "BYTES",
     .help = "Refuse JSON and YAML of more bytes (64 MiB)"},
    {0},
};

static bool S_ends(const char *path, const char *ending) {
  size_t length = strlen(path), wanted = strlen(ending);
  return length > wanted && strcmp(path + length - wanted, ending) == 0;
}

static S_format S_format_of(const fb_cli *cli, const char *path) {
  const char *from = fb_cli_text(cli, "from", NULL);
  for (int i = 0; from && S_formats[i]; i++)
    if (strcmp(from, S_formats[i]) == 0) return (S_format)i;
  if (S_ends(path, ".json")) return FORMAT_JSON;
  if (S_ends(path, ".ndjson") || S_ends(path, ".jsonl")) return FORMAT_NDJSON;
  return S_ends(path, ".csv") ? FORMAT_CSV : FORMAT_YAML;
}

/* ── Documents ───────────────────────────────────────────────────────────────────────────────── */

static fb_status S_print_tree(fb_cli *cli, const fb_doc *doc) {
  fb_arena arena;
  fb_buf text;
  fb_value value;
  fb_arena_init(&arena, NULL, 0);
  fb_buf_init(&text, NULL, 0);
  fb_status status = fb_node_value(fb_doc_root(doc), &arena, &value);
  if (!status) {
    fb_json_write(&text, value,
                  FB_JSON_CANONICAL | (fb_cli_has(cli, "pretty") ? FB_JSON_PRETTY : 0));
    fb_buf_char(&text, '\n');
    status = fb_out_buf(cli, &text);
  }
  fb_buf_release(&text);
  fb_arena_release(&arena);
  return status;
}

static fb_status S_parse_document(fb_cli *cli, const char *path, S_format format,
                                  fb_errors *errors) {
  const uint64_t max = fb_cli_number(cli, "max-size", UINT64_C(64) << 20);
  fb_doc_options options = {.max_length = max ? max : 1};
  fb_error err;
  fb_buf text;
  fb_doc *doc = NULL;
  fb_buf_init(&text, NULL, 0);
  fb_status status = fb_cli_read(path, (size_t)max, &text, &err);
  if (status) fb_errors_add(errors, &err);
  if (!status)
    status = (format == FORMAT_JSON ? fb_doc_read_json : fb_doc_read_yaml)(
        fb_buf_slice(&text), fb_cli_file_name(path), &options, &doc, errors);
  fb_buf_release(&text);
  if (doc) status = S_print_tree(cli, doc);
  fb_doc_free(doc);
  return status;
}

/* ── Streams of records ──────────────────────────────────────────────────────────────────────── */

static fb_status S_print_batch(fb_cli *cli, const fb_batch *batch) {
  fb_buf text;
  fb_buf_init(&text, NULL, 0);
  for (size_t i = 0; i < batch->run_count; i++)
    for (uint32_t row = 0; row < batch->runs[i].count; row++) {
      fb_json_write(&text, fb_fact_value(batch->runs[i].facts, batch->runs[i].first + row),
                    FB_JSON_CANONICAL);
      fb_buf_char(&text, '\n');
    }
  fb_status status = fb_out_buf(cli, &text);
  fb_buf_release(&text);
  return status;
}

static fb_status S_pump(fb_cli *cli, fb_stream *stream, fb_errors *errors) {
  fb_batch batch;
  fb_status status;
  while (!(status = fb_stream_next(stream, &batch, errors))) {
    status = S_print_batch(cli, &batch);
    if (status || fb_out_failed(cli)) return status;
  }
  return status == FB_DONE ? FB_OK : status;
}

static fb_status S_parse_records(fb_cli *cli, const char *path, S_format format,
                                 fb_errors *errors) {
  fb_error err;
  int fd = -1;
  fb_symbols *symbols = NULL;
  fb_schema *schema = NULL;
  fb_stream *stream = NULL;
  /* No key tells a type here: each record is shown with all it has. */
  fb_stream_options options = {.format = format == FORMAT_CSV ? FB_STREAM_CSV : FB_STREAM_NDJSON,
                               .name = fb_cli_file_name(path),
                               .type = FB_SLICE("record"),
                               .type_key = FB_SLICE("\0")};
  fb_status status = fb_cli_open(path, &fd, &err);
  if (status) {
    fb_errors_add(errors, &err);
    return status;
  }
  status = fb_symbols_new(NULL, fb_random_seed_system(), &symbols);
  if (!status) status = fb_schema_new(NULL, symbols, &schema);
  if (!status) {
    status = fb_stream_open(fb_source_fd(fd), schema, &options, NULL, &stream, &err);
    if (status) fb_errors_add(errors, &err);
  }
  if (!status) status = S_pump(cli, stream, errors);
  fb_stream_free(stream);
  fb_schema_free(schema);
  fb_symbols_free(symbols);
  if (fd != STDIN_FILENO) close(fd);
  return status;
}

/* ── The command ─────────────────────────────────────────────────────────────────────────────── */

static int S_parse_file(fb_cli *cli, const char *path) {
  S_format format = S_format_of(cli, path);
  fb_errors errors;
  fb_errors_init(&errors, NULL, 0);
  bool records = format == FORMAT_NDJSON || format == FORMAT_CSV;
  fb_status status = (records ? S_parse_records : S_parse_document)(cli, path, format, &errors);
  int code = fb_cli_errors(cli, &errors);
  if (status && !fb_errors_total(&errors)) code = fb_cli_fail(cli, status, "out of memory");
  fb_errors_release(&errors);
  return code;
}

static int S_run(fb_cli *cli) {
  int code = FB_EXIT_OK;
  for (size_t i = 0; i < cli->operand_count; i++) {
    int one = S_parse_file(cli, cli->operands[i]);
    if (!code) code = one;
  }
  return code;
}

const fb_command fb_command_parse = {
    .name = "parse",
    .summary = "Print a document as canonical JSON, or all its errors",
    .usage = "[OPTION]… FILE…",
    .description =
        "Reads each file as Flyball reads it and prints what it holds as one line of canonical "
        "JSON: keys sorted, "
        "numbers in their shortest form. NDJSON and CSV are read as streams and printed as one "
        "line a record.\n\n"
        "Errors go to standard error, each with its line and a caret, and the exit code is 3. "
        "The format follows the file's ending: `.json`, `.ndjson`, `.jsonl`, `.csv`; all else, and "
        "`-` for "
        "standard input, is YAML.",
    .options = S_options,
    .examples = (const fb_example[]){{"flyball parse rules.yaml", "what the YAML means"},
                                     {"flyball parse --pretty --from json -",
                                      "JSON from standard input, indented"},
                                     {"flyball parse orders.csv", "a CSV file as NDJSON"},
                                     {0}},
    .operands = FB_OPERANDS_FILES,
    .min_operands = 1,
    .max_operands = UINT32_MAX,
    .run = S_run,
};
