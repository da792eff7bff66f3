/* SPDX-License-Identifier: Apache-2.0
 *
 * cli.h: what a command is, and what every command needs: its options, stdout that notices when nobody can
 * read it, diagnostics, reading of files.
 *
 * A command is one file, cmd_NAME.c, with one `const fb_command fb_command_NAME`, and one line in
 * commands.def. Its option table is the only description of its options: the parser, --help, the man page,
 * the reference and the completions all read it.
 */
#ifndef FB_CLI_H
#define FB_CLI_H

#include <flyball/data.h>
#include <flyball/rules.h>

#include <errno.h>
#include <stdio.h>

/* What the process tells the shell. 128 + n: ended by signal n. */
typedef enum fb_exit {
  FB_EXIT_OK = 0,
  FB_EXIT_NO = 1, /* the answer is no: a mission failed, a check failed, a regression was found */
  FB_EXIT_USAGE = 2,    /* wrong usage */
  FB_EXIT_DOCUMENT = 3, /* a document does not load */
  FB_EXIT_OUTSIDE = 4,  /* the outside failed: I/O, network, memory */
  FB_EXIT_BUG = 5,
  FB_EXIT_WAITS = 6, /* a run waits for a person: neither done nor failed */
  FB_EXIT_TIME = 124 /* the time limit was reached */
} fb_exit;

/* ── Commands and their options ──────────────────────────────────────────────────────────────── */

typedef enum fb_option_kind {
  FB_OPTION_FLAG,     /* takes no value */
  FB_OPTION_TEXT,     /* any text */
  FB_OPTION_FILE,     /* any text; completed as a file name */
  FB_OPTION_NUMBER,   /* uint64, decimal */
  FB_OPTION_DURATION, /* "1h30m", "250ms"; not negative */
  FB_OPTION_CHOICE    /* one of `choices` */
} fb_option_kind;

/* Values are checked by the parser: a command sees only good ones. An option that is given again
 * replaces the one before, unless the command asks for all (fb_cli_next). */
typedef struct fb_option {
  char letter;      /* 'v'; 0: none */
  const char *name; /* "variable", without dashes; never NULL but at the table's end */
  fb_option_kind kind;
  const char *value;          /* how help calls the value: "NAME=JSON"; NULL for a flag */
  const char *help;           /* one sentence, no full stop; `code` in backquotes */
  const char *const *choices; /* of FB_OPTION_CHOICE, ended by NULL */
  const char *env; /* the variable that stands in when the option is not given; or NULL */
  bool many;       /* may be given several times: only a remark for help */
} fb_option;

typedef enum fb_operands {
  FB_OPERANDS_NONE,
  FB_OPERANDS_FILES,
  FB_OPERANDS_TEXT,
  FB_OPERANDS_COMMANDS, /* names of commands */
  FB_OPERANDS_CHOICE    /* the command's operand_choices */
} fb_operands;

typedef struct fb_example {
  const char *command; /* "flyball version --json" */
  const char *what;    /* what it is for: one phrase */
} fb_example;

typedef struct fb_cli fb_cli;

typedef struct fb_command {
  const char *name;
  const char *summary;        /* one phrase, no full stop */
  const char *usage;          /* what follows the name: "[OPTION]… FILE…" */
  const char *description;    /* paragraphs, separated by an empty line; `code` in backquotes */
  const fb_option *options;   /* ended by {0}; NULL: only the common ones */
  const fb_example *examples; /* ended by {0}; NULL: none */
  fb_operands operands;       /* what completion offers */
  const char *const *operand_choices;
  uint32_t min_operands, max_operands; /* max UINT32_MAX: any number */
  bool hidden;                         /* not in the list of commands, but it has help */
  /* Returns an fb_exit. Output still buffered is flushed after it. */
  int (*run)(fb_cli *cli);
} fb_command;

/* In the order of commands.def. */
const fb_command *const *fb_commands(size_t *ret_count);
const fb_command *fb_command_find(fb_slice name); /* NULL: no such command */
/* The options that every command takes, ended by {0}. */
extern const fb_option fb_common_options[];

/* ── One run of one command ──────────────────────────────────────────────────────────────────── */

typedef struct fb_option_use {
  const fb_option *option;
  const char *value; /* NULL for a flag */
} fb_option_use;

enum { FB_OUT_SIZE = 32768 };

struct fb_cli {
  const fb_command *command; /* NULL before it is known */
  const char *const *operands;
  size_t operand_count;
  bool json;         /* --json: data and diagnostics as JSON */
  bool colour_err;   /* diagnostics may be coloured */
  bool colour_out;   /* the same for stdout */
  bool terminal_err; /* stderr is a terminal: progress may be shown */
  /* private */
  fb_option_use *uses;
  size_t use_count;
  int out_errno; /* why stdout failed first; 0: it did not */
  size_t out_len;
  char out[FB_OUT_SIZE];
};

/* Names are those of the option table; asking for one that is not in it is a bug. */
bool fb_cli_has(const fb_cli *cli, const char *name);
/* The value given last (or by the environment); `otherwise` when none was. */
const char *fb_cli_text(const fb_cli *cli, const char *name, const char *otherwise);
uint64_t fb_cli_number(const fb_cli *cli, const char *name, uint64_t otherwise);
int64_t fb_cli_duration(const fb_cli *cli, const char *name, int64_t otherwise); /* nanoseconds */
/* Goes through all values of an option in the order given: start with *at = 0; NULL at the end. */
const char *fb_cli_next(const fb_cli *cli, const char *name, size_t *at);

/* ── stdout: data ────────────────────────────────────────────────────────────────────────────── */

/* All data goes through these. They buffer; when stdout fails (closed, full, broken pipe) they remember it
 * and drop what follows, and the process ends with a message and exit 4. Do not use stdio's stdout. */
void fb_out_write(fb_cli *cli, const void *bytes, size_t len);
void fb_out_text(fb_cli *cli, const char *text);
void fb_out_printf(fb_cli *cli, const char *format, ...) FB_PRINTF(2, 3);
/* Writes a buffer's text; a buffer that `failed` is out of memory: reported by the return, FB_E_NOMEM. */
fb_status fb_out_buf(fb_cli *cli, const fb_buf *buf);
/* To be called where somebody may be waiting for what was written so far. */
void fb_out_flush(fb_cli *cli);
/* Nobody reads any more: a long command stops here. Only told after a flush or a full buffer. */
bool fb_out_failed(const fb_cli *cli);

/* ── stderr: talk ────────────────────────────────────────────────────────────────────────────── */

/* Each prints the error (with source line, caret and hint; as a line of JSON with --json) after flushing
 * stdout, and returns the exit code that fits it. */
int fb_cli_error(fb_cli *cli, const fb_error *err);
/* All of them, in order of place; the exit code is that of the first. FB_EXIT_OK if there are none. */
int fb_cli_errors(fb_cli *cli, fb_errors *errors);
/* The same as warnings; they decide nothing. */
void fb_cli_warnings(fb_cli *cli, fb_errors *warnings);
/* An error without a place. */
int fb_cli_fail(fb_cli *cli, fb_status code, const char *format, ...) FB_PRINTF(3, 4);
/* Wrong usage: points to the command's help. Returns FB_EXIT_USAGE. */
int fb_cli_usage(fb_cli *cli, const char *hint, const char *format, ...) FB_PRINTF(3, 4);
/* A remark to the user; nothing with --json. The newline is added. */
void fb_cli_note(fb_cli *cli, const char *format, ...) FB_PRINTF(2, 3);
/* Which exit code an error deserves. */
int fb_exit_of(fb_status code);
/* One JSON object without a newline: {"type":"flyball.error.v1","code":"FB2001",…}. */
void fb_error_json(const fb_error *err, fb_buf *out);

/* ── Files ───────────────────────────────────────────────────────────────────────────────────── */

/* What messages call an operand: "<stdin>" for "-", else the path itself. */
const char *fb_cli_file_name(const char *path);
/* Opens for reading, close-on-exec; "-" is stdin. The caller closes it unless it is 0. */
fb_status fb_cli_open(const char *path, int *ret_fd, fb_error *err);
/* Appends the whole file, at most `max` bytes (FB_E_LIMIT beyond). `out` should have no maximum of its own:
 * it is filled in steps of 64 KiB. */
fb_status fb_cli_read(const char *path, size_t max, fb_buf *out, fb_error *err);

/* What makes something of a document: `name` is what messages call it. */
typedef fb_status fb_cli_reader(void *into, fb_slice text, const char *name, fb_errors *errors);
/* Reads the file and hands it to the reader; shows what went wrong. Returns the exit code. */
int fb_cli_load(fb_cli *cli, const char *path, size_t max, fb_cli_reader *reader, void *into);
enum { FB_CLI_RULEBOOK_MAX = 64 << 20 };
/* The same for a rulebook of at most that size, whose calls must be known. The caller frees the ruleset. */
int fb_cli_ruleset(fb_cli *cli, const char *path, fb_ruleset **ret);
/* The folder of a path ("." when it names none), in `out`, or a constant. */
const char *fb_cli_folder(const char *path, char *out, size_t size);

/* ── Made from the tables ────────────────────────────────────────────────────────────────────── */

/* Splits argv[1..] into uses and operands. False: a usage error was printed, cli->… is not to be used. */
bool fb_options_parse(fb_cli *cli, int argc, char **argv);
void fb_help_all(fb_buf *out);
void fb_help_command(const fb_command *command, fb_buf *out);
void fb_help_json(const fb_command *command, fb_buf *out); /* one line */
/* Paragraphs wrapped at column 80, each line after `indent` blanks. */
void fb_help_wrap(fb_buf *out, const char *text, size_t indent);
void fb_man_all(fb_buf *out);
void fb_man_command(const fb_command *command, fb_buf *out);
void fb_markdown_all(fb_buf *out);                  /* docs/reference/cli.md */
void fb_completion(const char *shell, fb_buf *out); /* "bash", "zsh" or "fish" */

/* ── Parts of fb_cli_main ────────────────────────────────────────────────────────────────────── */

int fb_cli_main(int argc, char **argv);
/* Sets json and the colours from argv and the environment, before anything can go wrong. */
void fb_cli_streams(fb_cli *cli, int argc, char **argv);
/* Prints help, as --json asks for it. NULL: the list of commands. */
int fb_cli_help(fb_cli *cli, const fb_command *command);
/* Usage error for a name that is none. */
int fb_cli_no_command(fb_cli *cli, const char *name);

#endif
