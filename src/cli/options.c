/* SPDX-License-Identifier: Apache-2.0
 * The option parser: long and short options in any place, `--` ends them. */
#include "cli/cli.h"

#include <stdlib.h>

static const char *const S_when[] = {"auto", "always", "never", NULL};

const fb_option fb_common_options[] = {
    {0, "json", FB_OPTION_FLAG, .help = "Write data and diagnostics as JSON"},
    {0, "color", FB_OPTION_CHOICE, "WHEN",
     "Colour: `auto` (on a terminal, unless `NO_COLOR` is set), `always` or `never`",
     .choices = S_when, .env = "FLYBALL_COLOR"},
    {'h', "help", FB_OPTION_FLAG, .help = "Show this help"},
    {0},
};

enum { MOST_OPTIONS = 64 }; /* of one command, the common ones included */

/* The command's own options, then the common ones. Returns how many. */
static size_t S_all_options(const fb_command *command, const fb_option *all[MOST_OPTIONS]) {
  size_t count = 0;
  for (const fb_option *o = command ? command->options : NULL; o && o->name && count < MOST_OPTIONS;
       o++)
    all[count++] = o;
  for (const fb_option *o = fb_common_options; o->name && count < MOST_OPTIONS; o++)
    all[count++] = o;
  return count;
}

static const fb_option *S_find(const fb_command *command, fb_slice name) {
  const fb_option *all[MOST_OPTIONS];
  size_t count = S_all_options(command, all);
  for (size_t i = 0; i < count; i++)
    if (fb_slice_equal(name, fb_slice_of(all[i]->name))) return all[i];
  return NULL;
}

static const fb_option *S_find_letter(const fb_command *command, char letter) {
  const fb_option *all[MOST_OPTIONS];
  size_t count = S_all_options(command, all);
  for (size_t i = 0; i < count; i++)
    if (all[i]->letter == letter) return all[i];
  return NULL;
}

static bool S_unknown(fb_cli *cli, fb_slice name) {
  const fb_option *all[MOST_OPTIONS];
  const char *names[MOST_OPTIONS];
  size_t count = S_all_options(cli->command, all);
  for (size_t i = 0; i < count; i++) names[i] = all[i]->name;
  const char *near = fb_nearest(name, names, count);
  char hint[96] = "";
  if (near) snprintf(hint, sizeof hint, "did you mean `--%s`?", near);
  fb_cli_usage(cli, hint, "unknown option `--%.*s`", (int)(name.len < 200 ? name.len : 200),
               name.ptr);
  return false;
}

static bool S_number(const char *text, uint64_t *ret_number) {
  uint64_t number = 0;
  if (!*text) return false;
  for (const char *p = text; *p; p++) {
    if (*p < '0' || *p > '9') return false;
    if (__builtin_mul_overflow(number, 10, &number) ||
        __builtin_add_overflow(number, (uint64_t)(*p - '0'), &number))
      return false;
  }
  *ret_number = number;
  return true;
}

static bool S_duration(const char *text, int64_t *ret_nanos) {
  int64_t seconds;
  int32_t nanos;
  if (!fb_duration_parse(fb_slice_of(text), &seconds, &nanos) || seconds < 0 || nanos < 0)
    return false;
  if (seconds > INT64_MAX / 1000000000 - 1) return false;
  *ret_nanos = seconds * 1000000000 + nanos;
  return true;
}

static bool S_is_choice(const fb_option *option, const char *value, size_t *ret_count) {
  bool found = false;
  size_t count = 0;
  for (; option->choices[count]; count++) found |= strcmp(option->choices[count], value) == 0;
  *ret_count = count;
  return found;
}

static bool S_bad_value(fb_cli *cli, const fb_option *option, const char *value, const char *takes,
                        const char *hint) {
  fb_cli_usage(cli, hint, "`--%s` takes %s, not `%s`", option->name, takes, value);
  return false;
}

static bool S_bad_choice(fb_cli *cli, const fb_option *option, const char *value, size_t count) {
  const char *near = fb_nearest(fb_slice_of(value), option->choices, count);
  char hint[96] = "", takes[200];
  if (near) snprintf(hint, sizeof hint, "did you mean `%s`?", near);
  size_t len = 0;
  for (size_t i = 0; i < count && len < sizeof takes; i++)
    len += (size_t)snprintf(takes + len, sizeof takes - len, "%s%s",
                            i == 0           ? ""
                            : i + 1 == count ? " or "
                                             : ", ",
                            option->choices[i]);
  return S_bad_value(cli, option, value, takes, hint);
}

static bool S_check_value(fb_cli *cli, const fb_option *option, const char *value) {
  uint64_t number;
  int64_t nanos;
  size_t count;
  switch (option->kind) {
    case FB_OPTION_NUMBER:
      return S_number(value, &number) || S_bad_value(cli, option, value, "a whole number", NULL);
    case FB_OPTION_DURATION:
      return S_duration(value, &nanos) || S_bad_value(cli, option, value, "a duration",
                                                      "write it like `250ms`, `10s` or `1h30m`");
    case FB_OPTION_CHOICE:
      return S_is_choice(option, value, &count) || S_bad_choice(cli, option, value, count);
    case FB_OPTION_FILE:
      if (!*value) return S_bad_value(cli, option, value, "a file", NULL);
      return true;
    default: return true;
  }
}

static bool S_use(fb_cli *cli, const fb_option *option, const char *value) {
  if (value && !S_check_value(cli, option, value)) return false;
  cli->uses[cli->use_count++] = (fb_option_use){option, value};
  return true;
}

static bool S_no_value(fb_cli *cli, const fb_option *option) {
  fb_cli_usage(cli, NULL, "`--%s` needs a value: --%s=%s", option->name, option->name,
               option->value);
  return false;
}

/* argv[*i] is "--name" or "--name=value". */
static bool S_long(fb_cli *cli, int argc, char **argv, int *i) {
  const char *text = argv[*i] + 2, *equals = strchr(text, '=');
  fb_slice name = {text, equals ? (size_t)(equals - text) : strlen(text)};
  const fb_option *option = S_find(cli->command, name);
  if (!option) return S_unknown(cli, name);
  if (option->kind == FB_OPTION_FLAG) {
    if (!equals) return S_use(cli, option, NULL);
    fb_cli_usage(cli, NULL, "`--%s` takes no value", option->name);
    return false;
  }
  if (equals) return S_use(cli, option, equals + 1);
  if (*i + 1 >= argc) return S_no_value(cli, option);
  return S_use(cli, option, argv[++*i]);
}

/* argv[*i] is "-abc": flags, the last of which may take the rest or the next word as its value. Room in
 * `uses` is enough: a word of n letters was counted n times. */
static bool S_short(fb_cli *cli, int argc, char **argv, int *i) {
  for (const char *letter = argv[*i] + 1; *letter; letter++) {
    const fb_option *option = S_find_letter(cli->command, *letter);
    if (!option) {
      fb_cli_usage(cli, NULL, "unknown option `-%c`", *letter);
      return false;
    }
    if (option->kind == FB_OPTION_FLAG) {
      if (!S_use(cli, option, NULL)) return false;
      continue;
    }
    if (letter[1]) return S_use(cli, option, letter + 1);
    if (*i + 1 >= argc) return S_no_value(cli, option);
    return S_use(cli, option, argv[++*i]);
  }
  return true;
}

static bool S_given(const fb_cli *cli, const fb_option *option) {
  for (size_t i = 0; i < cli->use_count; i++)
    if (cli->uses[i].option == option) return true;
  return false;
}

/* Lets the environment stand in for options that were not given. */
static bool S_environment(fb_cli *cli) {
  const fb_option *all[MOST_OPTIONS];
  size_t count = S_all_options(cli->command, all);
  for (size_t i = 0; i < count; i++) {
    const char *value = all[i]->env ? getenv(all[i]->env) : NULL;
    if (!value || !*value || S_given(cli, all[i])) continue;
    if (!S_use(cli, all[i], all[i]->kind == FB_OPTION_FLAG ? NULL : value)) {
      fb_cli_note(cli, "  (from the environment variable %s)", all[i]->env);
      return false;
    }
  }
  return true;
}

/* A negative number is an operand, unless the command has an option of that digit. */
static bool S_is_option(const fb_cli *cli, const char *word) {
  if (word[0] != '-' || !word[1]) return false;
  bool digit = (word[1] >= '0' && word[1] <= '9') || word[1] == '.';
  return !digit || S_find_letter(cli->command, word[1]);
}

static bool S_words(fb_cli *cli, const char **operands, int argc, char **argv) {
  bool only_operands = false;
  for (int i = 1; i < argc; i++) {
    if (!only_operands && strcmp(argv[i], "--") == 0)
      only_operands = true;
    else if (only_operands || !S_is_option(cli, argv[i]))
      operands[cli->operand_count++] = argv[i];
    else if (!(argv[i][1] == '-' ? S_long : S_short)(cli, argc, argv, &i))
      return false;
  }
  return S_environment(cli);
}

bool fb_options_parse(fb_cli *cli, int argc, char **argv) {
  size_t most = MOST_OPTIONS;
  for (int i = 1; i < argc; i++)
    most += argv[i][0] == '-' && argv[i][1] != '-' ? strlen(argv[i]) : 1;
  cli->uses = calloc(most, sizeof *cli->uses);
  const char **operands = calloc((size_t)argc + 1, sizeof *operands);
  cli->operands = operands;
  if (!cli->uses || !operands) {
    fb_cli_fail(cli, FB_E_NOMEM, "out of memory");
    return false;
  }
  return S_words(cli, operands, argc, argv);
}

/* ── What the commands ask ───────────────────────────────────────────────────────────────────── */

const char *fb_cli_next(const fb_cli *cli, const char *name, size_t *at) {
  while (*at < cli->use_count) {
    const fb_option_use *use = &cli->uses[(*at)++];
    if (strcmp(use->option->name, name) == 0) return use->value ? use->value : "";
  }
  return NULL;
}

bool fb_cli_has(const fb_cli *cli, const char *name) {
  size_t at = 0;
  return fb_cli_next(cli, name, &at) != NULL;
}

const char *fb_cli_text(const fb_cli *cli, const char *name, const char *otherwise) {
  const char *last = otherwise;
  size_t at = 0;
  for (const char *value; (value = fb_cli_next(cli, name, &at));) last = value;
  return last;
}

uint64_t fb_cli_number(const fb_cli *cli, const char *name, uint64_t otherwise) {
  const char *text = fb_cli_text(cli, name, NULL);
  uint64_t number;
  return text && S_number(text, &number) ? number : otherwise;
}

int64_t fb_cli_duration(const fb_cli *cli, const char *name, int64_t otherwise) {
  const char *text = fb_cli_text(cli, name, NULL);
  int64_t nanos;
  return text && S_duration(text, &nanos) ? nanos : otherwise;
}
