/* SPDX-License-Identifier: Apache-2.0
 * The help texts, made from the option tables. */
#include "cli/cli.h"

enum { WIDTH = 80, OPTION_COLUMN = 26 };

static size_t S_columns(fb_slice text) {
  return fb_utf8_length(text.ptr, text.len);
}

/* Adds words of `text` at *column, breaking to a new line of `indent` blanks before WIDTH. */
static void S_words(fb_buf *out, fb_slice text, size_t indent, size_t *column) {
  for (size_t at = 0; at < text.len;) {
    while (at < text.len && (text.ptr[at] == ' ' || text.ptr[at] == '\n')) at++;
    size_t start = at;
    while (at < text.len && text.ptr[at] != ' ' && text.ptr[at] != '\n') at++;
    fb_slice word = {text.ptr + start, at - start};
    if (word.len == 0) break;
    size_t wide = S_columns(word);
    if (*column > indent && *column + 1 + wide > WIDTH) {
      fb_buf_char(out, '\n');
      fb_buf_repeat(out, ' ', indent);
      *column = indent;
    } else if (*column > indent) {
      fb_buf_char(out, ' ');
      ++*column;
    }
    fb_buf_add(out, word.ptr, word.len);
    *column += wide;
  }
}

void fb_help_wrap(fb_buf *out, const char *text, size_t indent) {
  while (*text) {
    const char *end = strstr(text, "\n\n");
    size_t len = end ? (size_t)(end - text) : strlen(text), column = indent;
    fb_buf_repeat(out, ' ', indent);
    S_words(out, (fb_slice){text, len}, indent, &column);
    fb_buf_char(out, '\n');
    text += len;
    if (*text) fb_buf_char(out, '\n');
    while (*text == '\n') text++;
  }
}

static void S_option(fb_buf *out, const fb_option *option) {
  fb_buf left;
  fb_buf_init(&left, NULL, 0);
  if (option->letter)
    fb_buf_printf(&left, "  -%c, --%s", option->letter, option->name);
  else
    fb_buf_printf(&left, "      --%s", option->name);
  if (option->value) fb_buf_printf(&left, "=%s", option->value);
  fb_buf_printf(out, "%s", left.ptr ? left.ptr : "");
  size_t column = S_columns((fb_slice){left.ptr, left.len});
  fb_buf_release(&left);
  if (column + 2 > OPTION_COLUMN) {
    fb_buf_char(out, '\n');
    column = 0;
  }
  fb_buf_repeat(out, ' ', OPTION_COLUMN - column);
  column = OPTION_COLUMN;
  S_words(out, fb_slice_of(option->help), OPTION_COLUMN, &column);
  if (option->many) S_words(out, FB_SLICE("(may be repeated)"), OPTION_COLUMN, &column);
  fb_buf_char(out, '\n');
}

static void S_options(fb_buf *out, const fb_option *options) {
  for (const fb_option *option = options; option && option->name; option++) S_option(out, option);
}

void fb_help_command(const fb_command *command, fb_buf *out) {
  fb_buf_printf(out, "flyball %s: %s\n\n", command->name, command->summary);
  fb_buf_printf(out, "Usage: flyball %s%s%s\n\n", command->name, *command->usage ? " " : "",
                command->usage);
  fb_help_wrap(out, command->description, 0);
  fb_buf_text(out, "\nOptions:\n");
  S_options(out, command->options);
  S_options(out, fb_common_options);
  if (!command->examples) return;
  fb_buf_text(out, "\nExamples:\n");
  for (const fb_example *example = command->examples; example->command; example++)
    fb_buf_printf(out, "  %s\n      %s\n", example->command, example->what);
}

void fb_help_all(fb_buf *out) {
  fb_buf_text(out,
              "flyball: facts come in, rules decide, missions act, everything is measured\n\n"
              "Usage: flyball COMMAND [OPTION]… [OPERAND]…\n\nCommands:\n");
  size_t count;
  const fb_command *const *commands = fb_commands(&count);
  for (size_t i = 0; i < count; i++)
    if (!commands[i]->hidden)
      fb_buf_printf(out, "  %-14s %s\n", commands[i]->name, commands[i]->summary);
  fb_buf_text(out, "\nOptions of every command:\n");
  S_options(out, fb_common_options);
  fb_buf_text(out, "\n`flyball help COMMAND` explains one command.\n");
}

/* ── The same for programs ───────────────────────────────────────────────────────────────────── */

static void S_json_member(fb_buf *out, const char *name, const char *text) {
  fb_buf_printf(out, "\"%s\":", name);
  fb_json_write_text(out, fb_slice_of(text), FB_JSON_COMPACT);
}

static void S_json_options(fb_buf *out, const fb_option *options) {
  static const char *const kinds[] = {"flag", "text", "file", "number", "duration", "choice"};
  fb_buf_text(out, "\"options\":[");
  for (const fb_option *option = options; option && option->name; option++) {
    fb_buf_printf(out, "%s{\"name\":\"%s\",\"kind\":\"%s\",", option == options ? "" : ",",
                  option->name, kinds[option->kind]);
    if (option->letter) fb_buf_printf(out, "\"letter\":\"%c\",", option->letter);
    if (option->value) S_json_member(out, "value", option->value);
    if (option->value) fb_buf_char(out, ',');
    if (option->choices) fb_buf_text(out, "\"choices\":[");
    for (size_t i = 0; option->choices && option->choices[i]; i++)
      fb_buf_printf(out, "%s\"%s\"", i ? "," : "", option->choices[i]);
    if (option->choices) fb_buf_text(out, "],");
    if (option->many) fb_buf_text(out, "\"many\":true,");
    S_json_member(out, "help", option->help);
    fb_buf_char(out, '}');
  }
  fb_buf_char(out, ']');
}

void fb_help_json(const fb_command *command, fb_buf *out) {
  fb_buf_text(out, "{\"type\":\"flyball.command.v1\",");
  S_json_member(out, "name", command->name);
  fb_buf_char(out, ',');
  S_json_member(out, "summary", command->summary);
  fb_buf_char(out, ',');
  S_json_member(out, "usage", command->usage);
  fb_buf_char(out, ',');
  S_json_member(out, "description", command->description);
  fb_buf_char(out, ',');
  S_json_options(out, command->options);
  fb_buf_text(out, "}\n");
}
