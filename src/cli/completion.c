/* SPDX-License-Identifier: Apache-2.0
 * Completion scripts for bash, zsh and fish, made from the option tables. They need no helper library. */
#include "cli/cli.h"

/* ── bash ────────────────────────────────────────────────────────────────────────────────────── */

static void S_choices(fb_buf *out, const char *const *choices) {
  for (size_t i = 0; choices[i]; i++) fb_buf_printf(out, "%s%s", i ? " " : "", choices[i]);
}

static void S_command_names(fb_buf *out, const char *separator) {
  size_t count, shown = 0;
  const fb_command *const *commands = fb_commands(&count);
  for (size_t i = 0; i < count; i++)
    if (!commands[i]->hidden)
      fb_buf_printf(out, "%s%s", shown++ ? separator : "", commands[i]->name);
}

static void S_option_names(fb_buf *out, const fb_option *options) {
  for (const fb_option *option = options; option && option->name; option++) {
    fb_buf_printf(out, " --%s%s", option->name, option->kind == FB_OPTION_FLAG ? "" : "=");
    if (option->letter) fb_buf_printf(out, " -%c", option->letter);
  }
}

/* Lines "    --color) words="auto always"; return ;;" for the options that take a value. */
static void S_bash_values(fb_buf *out, const char *command, const fb_option *options) {
  for (const fb_option *option = options; option && option->name; option++) {
    if (option->kind == FB_OPTION_FLAG) continue;
    fb_buf_printf(out, "    %s:--%s", command, option->name);
    if (option->letter) fb_buf_printf(out, "|%s:-%c", command, option->letter);
    fb_buf_text(out, ") ");
    if (option->kind == FB_OPTION_CHOICE) {
      fb_buf_text(out, "COMPREPLY=($(compgen -W '");
      S_choices(out, option->choices);
      fb_buf_text(out, "' -- \"$word\"))");
    } else if (option->kind == FB_OPTION_FILE) {
      fb_buf_text(out, "COMPREPLY=($(compgen -f -- \"$word\"))");
    } else {
      fb_buf_text(out, "COMPREPLY=()");
    }
    fb_buf_text(out, "; return ;;\n");
  }
}

static void S_bash_operands(fb_buf *out, const fb_command *command) {
  fb_buf_printf(out, "    %s) ", command->name);
  switch (command->operands) {
    case FB_OPERANDS_FILES: fb_buf_text(out, "COMPREPLY=($(compgen -f -- \"$word\"))"); break;
    case FB_OPERANDS_COMMANDS:
    case FB_OPERANDS_CHOICE:
      fb_buf_text(out, "COMPREPLY=($(compgen -W '");
      if (command->operands == FB_OPERANDS_COMMANDS)
        S_command_names(out, " ");
      else
        S_choices(out, command->operand_choices);
      fb_buf_text(out, "' -- \"$word\"))");
      break;
    default: fb_buf_text(out, ":");
  }
  fb_buf_text(out, " ;;\n");
}

static void S_bash(fb_buf *out) {
  size_t count;
  const fb_command *const *commands = fb_commands(&count);
  fb_buf_text(out,
              "# bash completion for flyball\n_flyball() {\n"
              "  local word=\"${COMP_WORDS[COMP_CWORD]}\" before=\"${COMP_WORDS[COMP_CWORD-1]}\" "
              "command= i\n"
              "  COMPREPLY=()\n"
              "  if [[ $word == = ]]; then word=; elif [[ $before == = ]]; then "
              "before=\"${COMP_WORDS[COMP_CWORD-2]}\"; fi\n"
              "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
              "    [[ ${COMP_WORDS[i]} != -* ]] && command=\"${COMP_WORDS[i]}\" && break\n  done\n"
              "  if [[ -z $command && $word != -* ]]; then\n    COMPREPLY=($(compgen -W '");
  S_command_names(out, " ");
  fb_buf_text(out, "' -- \"$word\"))\n    return\n  fi\n  case \"$command:$before\" in\n");
  S_bash_values(out, "*", fb_common_options);
  for (size_t i = 0; i < count; i++) S_bash_values(out, commands[i]->name, commands[i]->options);
  fb_buf_text(out, "  esac\n  if [[ $word == -* ]]; then\n    local options='");
  S_option_names(out, fb_common_options);
  fb_buf_text(out, "'\n    case \"$command\" in\n");
  for (size_t i = 0; i < count; i++) {
    if (!commands[i]->options) continue;
    fb_buf_printf(out, "      %s) options+='", commands[i]->name);
    S_option_names(out, commands[i]->options);
    fb_buf_text(out, "' ;;\n");
  }
  fb_buf_text(out,
              "    esac\n    COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
              "    [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace\n    return\n  fi\n  case "
              "\"$command\" in\n");
  for (size_t i = 0; i < count; i++) S_bash_operands(out, commands[i]);
  fb_buf_text(out, "  esac\n}\ncomplete -o filenames -F _flyball flyball\n");
}

/* ── zsh ─────────────────────────────────────────────────────────────────────────────────────── */

/* Text within a single-quoted _arguments specification: quotes, brackets and colons would end it. */
static void S_zsh_text(fb_buf *out, const char *text) {
  for (const char *p = text; *p; p++) {
    if (*p == '\'')
      fb_buf_text(out, "'\\''");
    else if (strchr("[]:\\", *p))
      fb_buf_printf(out, "\\%c", *p);
    else if (*p != '`')
      fb_buf_char(out, *p);
  }
}

static void S_zsh_action(fb_buf *out, const fb_option *option) {
  fb_buf_char(out, ':');
  S_zsh_text(out, option->value);
  fb_buf_char(out, ':');
  if (option->kind == FB_OPTION_FILE) fb_buf_text(out, "_files");
  if (option->kind != FB_OPTION_CHOICE) return;
  fb_buf_char(out, '(');
  S_choices(out, option->choices);
  fb_buf_char(out, ')');
}

static void S_zsh_options(fb_buf *out, const fb_option *options) {
  for (const fb_option *option = options; option && option->name; option++) {
    bool valued = option->kind != FB_OPTION_FLAG;
    for (int letter = option->letter ? 1 : 0; letter >= 0; letter--) {
      fb_buf_printf(out, " \\\n        '%s", option->many ? "*" : "");
      if (letter)
        fb_buf_printf(out, "-%c%s[", option->letter, valued ? "+" : "");
      else
        fb_buf_printf(out, "--%s%s[", option->name, valued ? "=" : "");
      S_zsh_text(out, option->help);
      fb_buf_char(out, ']');
      if (valued) S_zsh_action(out, option);
      fb_buf_char(out, '\'');
    }
  }
}

static void S_zsh_operands(fb_buf *out, const fb_command *command) {
  switch (command->operands) {
    case FB_OPERANDS_FILES: fb_buf_text(out, " \\\n        '*:file:_files'"); break;
    case FB_OPERANDS_COMMANDS:
      fb_buf_text(out, " \\\n        '1:command:(");
      S_command_names(out, " ");
      fb_buf_text(out, ")'");
      break;
    case FB_OPERANDS_CHOICE:
      fb_buf_text(out, " \\\n        '1:operand:(");
      S_choices(out, command->operand_choices);
      fb_buf_text(out, ")'");
      break;
    default: break;
  }
}

static void S_zsh(fb_buf *out) {
  size_t count;
  const fb_command *const *commands = fb_commands(&count);
  fb_buf_text(out, "#compdef flyball\n_flyball() {\n  local -a commands\n  commands=(\n");
  for (size_t i = 0; i < count; i++) {
    if (commands[i]->hidden) continue;
    fb_buf_printf(out, "    '%s:", commands[i]->name);
    S_zsh_text(out, commands[i]->summary);
    fb_buf_text(out, "'\n");
  }
  fb_buf_text(out,
              "  )\n  if ((CURRENT == 2)); then\n    _describe command commands\n    return\n  fi\n"
              "  local command=$words[2]\n  shift words\n  ((CURRENT--))\n  case $command in\n");
  for (size_t i = 0; i < count; i++) {
    fb_buf_printf(out, "    %s)\n      _arguments -s", commands[i]->name);
    S_zsh_options(out, commands[i]->options);
    S_zsh_options(out, fb_common_options);
    S_zsh_operands(out, commands[i]);
    fb_buf_text(out, "\n      ;;\n");
  }
  fb_buf_text(out,
              "  esac\n}\n"
              "# Sourced, or autoloaded by compinit?\n"
              "if [[ $funcstack[1] == _flyball ]]; then _flyball \"$@\"; else compdef _flyball "
              "flyball; fi\n");
}

/* ── fish ────────────────────────────────────────────────────────────────────────────────────── */

static void S_fish_text(fb_buf *out, const char *text) {
  fb_buf_char(out, '\'');
  for (const char *p = text; *p; p++) {
    if (*p == '\'' || *p == '\\') fb_buf_char(out, '\\');
    if (*p != '`') fb_buf_char(out, *p);
  }
  fb_buf_char(out, '\'');
}

static void S_fish_options(fb_buf *out, const char *condition, const fb_option *options) {
  for (const fb_option *option = options; option && option->name; option++) {
    fb_buf_printf(out, "complete -c flyball%s -l %s", condition, option->name);
    if (option->letter) fb_buf_printf(out, " -s %c", option->letter);
    if (option->kind == FB_OPTION_FILE)
      fb_buf_text(out, " -r -F");
    else if (option->kind != FB_OPTION_FLAG)
      fb_buf_text(out, " -x");
    if (option->kind == FB_OPTION_CHOICE) {
      fb_buf_text(out, " -a '");
      S_choices(out, option->choices);
      fb_buf_char(out, '\'');
    }
    fb_buf_text(out, " -d ");
    S_fish_text(out, option->help);
    fb_buf_char(out, '\n');
  }
}

static void S_fish_operands(fb_buf *out, const char *condition, const fb_command *command) {
  if (command->operands == FB_OPERANDS_FILES)
    fb_buf_printf(out, "complete -c flyball%s -F\n", condition);
  if (command->operands != FB_OPERANDS_COMMANDS && command->operands != FB_OPERANDS_CHOICE) return;
  fb_buf_printf(out, "complete -c flyball%s -a '", condition);
  if (command->operands == FB_OPERANDS_COMMANDS)
    S_command_names(out, " ");
  else
    S_choices(out, command->operand_choices);
  fb_buf_text(out, "'\n");
}

static void S_fish(fb_buf *out) {
  size_t count;
  const fb_command *const *commands = fb_commands(&count);
  fb_buf_text(out, "# fish completion for flyball\ncomplete -c flyball -f\n");
  S_fish_options(out, "", fb_common_options);
  for (size_t i = 0; i < count; i++) {
    char condition[128];
    snprintf(condition, sizeof condition, " -n '__fish_seen_subcommand_from %s'",
             commands[i]->name);
    if (!commands[i]->hidden) {
      fb_buf_printf(out, "complete -c flyball -n __fish_use_subcommand -a %s -d ",
                    commands[i]->name);
      S_fish_text(out, commands[i]->summary);
      fb_buf_char(out, '\n');
    }
    S_fish_options(out, condition, commands[i]->options);
    S_fish_operands(out, condition, commands[i]);
  }
}

void fb_completion(const char *shell, fb_buf *out) {
  if (strcmp(shell, "bash") == 0)
    S_bash(out);
  else if (strcmp(shell, "zsh") == 0)
    S_zsh(out);
  else
    S_fish(out);
}
