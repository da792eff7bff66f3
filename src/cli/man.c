/* SPDX-License-Identifier: Apache-2.0
 * Manual pages (man(7) macros) and the reference in Markdown, made from the option tables. */
#include "cli/cli.h"

/* The exit codes as users see them; cli.h has the enum. */
static const struct {
  const char *code, *meaning;
} S_exits[] = {
    {"0", "Done."},
    {"1", "The answer is no: a mission failed, a check failed, a regression was found."},
    {"2", "Wrong usage."},
    {"3", "A document does not load; the errors are on stderr, each with its place."},
    {"4", "The outside failed: input, output, network, memory."},
    {"5", "A bug in Flyball."},
    {"124", "The time limit was reached."},
    {"128+n", "Ended by signal n."},
};
enum { EXIT_COUNT = sizeof S_exits / sizeof *S_exits };

static const struct {
  const char *name, *meaning;
} S_variables[] = {
    {"NO_COLOR", "If set and not empty, `--color=auto` means `never`."},
    {"FLYBALL_COLOR", "What `--color` is when it is not given."},
};
enum { VARIABLE_COUNT = sizeof S_variables / sizeof *S_variables };

/* Running text: `code` becomes bold, an empty line a new paragraph; what roff would take for itself is escaped. */
static void S_roff(fb_buf *out, const char *text) {
  bool bold = false, line_start = true;
  for (const char *p = text; *p; p++) {
    if (p[0] == '\n' && p[1] == '\n') {
      fb_buf_text(out, "\n.PP\n");
      while (p[1] == '\n') p++;
      line_start = true;
      continue;
    }
    if (line_start && (*p == '.' || *p == '\'')) fb_buf_text(out, "\\&");
    line_start = *p == '\n';
    if (*p == '`')
      fb_buf_text(out, (bold = !bold) ? "\\fB" : "\\fR");
    else if (*p == '-')
      fb_buf_text(out, "\\-");
    else if (*p == '\\')
      fb_buf_text(out, "\\e");
    else
      fb_buf_char(out, *p);
  }
}

static void S_roff_line(fb_buf *out, const char *text) {
  S_roff(out, text);
  fb_buf_char(out, '\n');
}

static void S_man_head(fb_buf *out, const char *page, const char *summary) {
  fb_buf_text(out, ".TH ");
  for (const char *p = page; *p; p++)
    fb_buf_char(out, *p >= 'a' && *p <= 'z' ? (char)(*p - 32) : *p);
  fb_buf_printf(out, " 1 \"\" \"Flyball %s\" \"Flyball\"\n.SH NAME\n", fb_version());
  S_roff(out, page);
  fb_buf_text(out, " \\- ");
  S_roff_line(out, summary);
}

static void S_man_options(fb_buf *out, const fb_option *options) {
  for (const fb_option *option = options; option && option->name; option++) {
    fb_buf_text(out, ".TP\n");
    if (option->letter) fb_buf_printf(out, "\\fB\\-%c\\fR, ", option->letter);
    fb_buf_text(out, "\\fB\\-\\-");
    S_roff(out, option->name);
    fb_buf_text(out, "\\fR");
    if (option->value) fb_buf_printf(out, "=\\fI%s\\fR", option->value);
    fb_buf_char(out, '\n');
    S_roff(out, option->help);
    fb_buf_text(out, option->many ? " (may be repeated).\n" : ".\n");
  }
}

static void S_man_tail(fb_buf *out, bool with_environment) {
  fb_buf_text(out, ".SH EXIT STATUS\n");
  for (size_t i = 0; i < EXIT_COUNT; i++) {
    fb_buf_printf(out, ".TP\n\\fB%s\\fR\n", S_exits[i].code);
    S_roff_line(out, S_exits[i].meaning);
  }
  if (!with_environment) return;
  fb_buf_text(out, ".SH ENVIRONMENT\n");
  for (size_t i = 0; i < VARIABLE_COUNT; i++) {
    fb_buf_printf(out, ".TP\n\\fB%s\\fR\n", S_variables[i].name);
    S_roff_line(out, S_variables[i].meaning);
  }
}

void fb_man_command(const fb_command *command, fb_buf *out) {
  char page[64];
  snprintf(page, sizeof page, "flyball-%s", command->name);
  S_man_head(out, page, command->summary);
  fb_buf_printf(out, ".SH SYNOPSIS\n\\fBflyball ");
  S_roff(out, command->name);
  fb_buf_text(out, *command->usage ? "\\fR " : "\\fR");
  S_roff_line(out, command->usage);
  fb_buf_text(out, ".SH DESCRIPTION\n");
  S_roff_line(out, command->description);
  fb_buf_text(out, ".SH OPTIONS\n");
  S_man_options(out, command->options);
  S_man_options(out, fb_common_options);
  if (command->examples) fb_buf_text(out, ".SH EXAMPLES\n");
  for (const fb_example *example = command->examples; example && example->command; example++) {
    fb_buf_text(out, ".TP\n\\fB");
    S_roff(out, example->command);
    fb_buf_text(out, "\\fR\n");
    S_roff_line(out, example->what);
  }
  S_man_tail(out, false);
  fb_buf_text(out, ".SH SEE ALSO\n\\fBflyball\\fR(1)\n");
}

void fb_man_all(fb_buf *out) {
  S_man_head(out, "flyball", "facts in, rules decide, missions act, everything measured");
  fb_buf_text(out,
              ".SH SYNOPSIS\n\\fBflyball\\fR \\fICOMMAND\\fR [\\fIOPTION\\fR]… "
              "[\\fIOPERAND\\fR]…\n.SH COMMANDS\n");
  size_t count;
  const fb_command *const *commands = fb_commands(&count);
  for (size_t i = 0; i < count; i++) {
    if (commands[i]->hidden) continue;
    fb_buf_text(out, ".TP\n\\fBflyball\\-");
    S_roff(out, commands[i]->name);
    fb_buf_text(out, "\\fR(1)\n");
    S_roff_line(out, commands[i]->summary);
  }
  fb_buf_text(out, ".SH OPTIONS\n");
  S_man_options(out, fb_common_options);
  S_man_tail(out, true);
}

/* ── Markdown ────────────────────────────────────────────────────────────────────────────────── */

static void S_md_options(fb_buf *out, const fb_option *options) {
  for (const fb_option *option = options; option && option->name; option++) {
    fb_buf_text(out, "| ");
    if (option->letter) fb_buf_printf(out, "`-%c`, ", option->letter);
    fb_buf_printf(out, "`--%s%s%s` | %s%s |\n", option->name, option->value ? "=" : "",
                  option->value ? option->value : "", option->help,
                  option->many ? " (may be repeated)" : "");
  }
}

static void S_md_command(fb_buf *out, const fb_command *command) {
  fb_buf_printf(out, "\n## flyball %s\n\n%s.\n\n", command->name, command->summary);
  fb_buf_printf(out, "Usage: `flyball %s%s%s`\n\n%s\n", command->name, *command->usage ? " " : "",
                command->usage, command->description);
  if (command->options) {
    fb_buf_text(out, "\n| option | |\n|---|---|\n");
    S_md_options(out, command->options);
  }
  if (command->examples) fb_buf_char(out, '\n');
  for (const fb_example *example = command->examples; example && example->command; example++)
    fb_buf_printf(out, "- `%s`: %s\n", example->command, example->what);
}

void fb_markdown_all(fb_buf *out) {
  fb_buf_text(
      out,
      "<!-- Made by `flyball man --markdown`; `make docs` renews it. -->\n# The command line\n\n"
      "stdout is data, stderr is talk.\n\n| option of every command | |\n|---|---|\n");
  S_md_options(out, fb_common_options);
  fb_buf_text(out, "\n| exit code | meaning |\n|---|---|\n");
  for (size_t i = 0; i < EXIT_COUNT; i++)
    fb_buf_printf(out, "| %s | %s |\n", S_exits[i].code, S_exits[i].meaning);
  fb_buf_text(out, "\n| variable | meaning |\n|---|---|\n");
  for (size_t i = 0; i < VARIABLE_COUNT; i++)
    fb_buf_printf(out, "| `%s` | %s |\n", S_variables[i].name, S_variables[i].meaning);
  size_t count;
  const fb_command *const *commands = fb_commands(&count);
  for (size_t i = 0; i < count; i++)
    if (!commands[i]->hidden) S_md_command(out, commands[i]);
}
