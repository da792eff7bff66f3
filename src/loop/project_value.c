/* SPDX-License-Identifier: Apache-2.0
 * Values of a project's keys. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "loop/project.h"

#include <pcre2.h>
#include <stdio.h>

fb_status fb_project_fail(fb_project_reader *reader, const fb_node *node, const char *hint,
                          const char *format, ...) {
  char text[300];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  return fb_doc_fail(reader->doc, node, reader->errors, FB_E_PROJECT_VALUE, hint, "%s", text);
}

int64_t fb_project_duration(fb_project_reader *reader, const fb_node *node, int64_t otherwise) {
  int64_t seconds;
  int32_t nanos;
  if (!node) return otherwise;
  if (node->kind == FB_STRING && fb_duration_parse(fb_node_text(node), &seconds, &nanos) &&
      seconds >= 0 && nanos >= 0 && seconds < INT64_C(9000000000) && (seconds || nanos))
    return seconds * 1000000000 + nanos;
  fb_project_fail(reader, node, "a duration is written like 500ms, 10s, 5m or 1h30m",
                  "not a duration above zero");
  return otherwise;
}

uint64_t fb_project_size(fb_project_reader *reader, const fb_node *node, uint64_t otherwise) {
  static const char *const units[] = {"B", "KiB", "MiB", "GiB"};
  uint64_t number = 0;
  if (!node) return otherwise;
  fb_slice text = fb_node_text(node);
  size_t at = 0;
  for (; at < text.len && at < 9 && text.ptr[at] >= '0' && text.ptr[at] <= '9'; at++)
    number = number * 10 + (uint64_t)(text.ptr[at] - '0');
  for (uint32_t unit = 0; at && number && unit < 4; unit++)
    if (fb_slice_equal((fb_slice){text.ptr + at, text.len - at}, fb_slice_of(units[unit])))
      return number << (10 * unit);
  fb_project_fail(reader, node, "a size is written like 512KiB, 10MiB or 1GiB",
                  "not a size above zero");
  return otherwise;
}

uint64_t fb_project_number(fb_project_reader *reader, const fb_node *node, uint64_t least,
                           uint64_t most, uint64_t otherwise) {
  if (!node) return otherwise;
  int64_t number = node->as.scalar.as.i;
  if (number >= 0 && (uint64_t)number >= least && (uint64_t)number <= most) return (uint64_t)number;
  fb_project_fail(reader, node, NULL, "a whole number from %llu to %llu stands here",
                  (unsigned long long)least, (unsigned long long)most);
  return otherwise;
}

const char *fb_project_text(fb_project_reader *reader, fb_slice text) {
  const char *copy = fb_arena_text(&reader->project->arena, text);
  if (!copy) reader->out_of_memory = true;
  return copy;
}

const char *fb_project_path(fb_project_reader *reader, const fb_node *node) {
  fb_slice text = fb_node_text(node);
  if (!text.len || memchr(text.ptr, 0, text.len)) {
    fb_project_fail(reader, node, NULL, "not a path");
    return NULL;
  }
  if (text.ptr[0] == '/') return fb_project_text(reader, text);
  const char *path = fb_arena_printf(&reader->project->arena, "%s/%.*s", reader->project->folder,
                                     (int)text.len, text.ptr);
  if (!path) reader->out_of_memory = true;
  return path;
}

uint32_t fb_project_choice(fb_project_reader *reader, const fb_node *node,
                           const char *const *choices, uint32_t count, uint32_t otherwise) {
  char list[160], hint[200];
  size_t length = 0;
  if (!node) return otherwise;
  for (uint32_t i = 0; i < count; i++)
    if (fb_slice_equal(fb_node_text(node), fb_slice_of(choices[i]))) return i;
  for (uint32_t i = 0; i < count && length < sizeof list; i++)
    length +=
        (size_t)snprintf(list + length, sizeof list - length, "%s%s", i ? ", " : "", choices[i]);
  const char *near = fb_nearest(fb_node_text(node), choices, count);
  snprintf(hint, sizeof hint, near ? "did you mean `%s`?" : "one of %s", near ? near : list);
  fb_project_fail(reader, node, hint, "`%.*s` is none of what may stand here",
                  (int)(fb_node_text(node).len < 80 ? fb_node_text(node).len : 80),
                  fb_node_text(node).ptr);
  return otherwise;
}

const char *const *fb_project_argv(fb_project_reader *reader, const fb_node *node) {
  if (!node->count) {
    fb_project_fail(reader, node, "[program, argument, …]", "a command has a program");
    return NULL;
  }
  const char **argv = fb_arena_zero(&reader->project->arena, (node->count + 1) * sizeof *argv);
  if (!argv) {
    reader->out_of_memory = true;
    return NULL;
  }
  for (uint32_t i = 0; i < node->count; i++) {
    const fb_node *item = &node->as.items[i];
    if (item->kind != FB_STRING || memchr(item->as.scalar.as.text, 0, item->as.scalar.len)) {
      fb_project_fail(reader, item, "put it in quotes", "a word of a command is a text, not %s",
                      fb_node_describe(item));
      return NULL;
    }
    argv[i] = fb_project_text(reader, fb_node_text(item));
    if (!argv[i]) return NULL;
  }
  if (argv[0][0]) return argv;
  fb_project_fail(reader, &node->as.items[0], NULL, "a command has a program");
  return NULL;
}

bool fb_project_name(fb_project_reader *reader, const fb_node *node, fb_slice *ret_name) {
  fb_slice name = fb_node_text(node);
  bool good = name.len && name.len <= 64 && name.ptr[0] != '.';
  for (size_t i = 0; i < name.len && good; i++) {
    char c = name.ptr[i];
    good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  }
  if (!good)
    fb_project_fail(reader, node, "it names files and metrics, too",
                    "a name is 1 to 64 letters, digits, `-`, `_` and `.`");
  *ret_name = name;
  return good;
}

/* ── parse ───────────────────────────────────────────────────────────────────────────────────── */

static void S_groups(fb_project_reader *reader, const fb_node *node, fb_parse_plan *plan) {
  uint32_t count = 0, size = 0;
  PCRE2_SPTR table = NULL;
  pcre2_pattern_info(plan->code, PCRE2_INFO_NAMECOUNT, &count);
  pcre2_pattern_info(plan->code, PCRE2_INFO_NAMEENTRYSIZE, &size);
  pcre2_pattern_info(plan->code, PCRE2_INFO_NAMETABLE, &table);
  if (count == 0 || count > FB_COLUMNS_MAX) {
    fb_project_fail(reader, node, "(?<user>\\w+) is one",
                    "the expression has %u named groups: a field of the fact each, 1 to %d of them",
                    count, FB_COLUMNS_MAX);
    return;
  }
  for (uint32_t i = 0; i < count; i++) {
    const char *entry = (const char *)table + (size_t)i * size;
    plan->groups[i] = (uint32_t)((unsigned char)entry[0] << 8 | (unsigned char)entry[1]);
    plan->columns[i] = entry + 2;
  }
  plan->count = count;
}

static void S_regex(fb_project_reader *reader, const fb_node *node, fb_parse_plan *plan) {
  int number;
  PCRE2_SIZE offset;
  char message[120];
  fb_slice text = fb_node_text(node);
  plan->kind = FB_PARSE_REGEX;
  plan->pattern = fb_project_text(reader, text);
  plan->code = pcre2_compile((PCRE2_SPTR)text.ptr, text.len, PCRE2_UTF | PCRE2_NO_AUTO_CAPTURE,
                             &number, &offset, NULL);
  if (plan->code) {
    pcre2_jit_compile(plan->code, PCRE2_JIT_COMPLETE);
    S_groups(reader, node, plan);
    return;
  }
  pcre2_get_error_message(number, (PCRE2_UCHAR *)message, sizeof message);
  fb_project_fail(reader, node, NULL, "the expression does not compile: %s (at its character %zu)",
                  message, (size_t)offset + 1);
}

static void S_columns(fb_project_reader *reader, const fb_node *node, fb_parse_plan *plan) {
  if (node->count == 0 || node->count > FB_COLUMNS_MAX) {
    fb_project_fail(reader, node, NULL, "1 to %d columns have names", FB_COLUMNS_MAX);
    return;
  }
  for (uint32_t i = 0; i < node->count; i++) {
    const fb_node *item = &node->as.items[i];
    if (item->kind != FB_STRING || memchr(item->as.scalar.as.text, '"', item->as.scalar.len) ||
        memchr(item->as.scalar.as.text, '\n', item->as.scalar.len)) {
      fb_project_fail(reader, item, NULL, "a column's name is a text");
      return;
    }
    plan->columns[i] = fb_project_text(reader, fb_node_text(item));
  }
  plan->kind = FB_PARSE_CSV;
  plan->count = node->count;
}

/* "ndjson", "json", "csv", "lines", {regex: …}, {csv: [columns]}. */
void fb_project_parse(fb_project_reader *reader, const fb_node *node, fb_parse_plan *plan) {
  static const char *const names[] = {"ndjson", "json", "csv", "lines"};
  static const fb_key_spec specs[] = {{"regex", FB_KIND_BIT(FB_STRING), false},
                                      {"csv", FB_KIND_BIT(FB_LIST), false}};
  const fb_node *nodes[2];
  if (!node) return;
  if (node->kind == FB_STRING) {
    plan->kind = (fb_parse)fb_project_choice(reader, node, names, 4, plan->kind);
    return;
  }
  if (!fb_doc_keys(reader->doc, node, "`parse`", specs, 2, nodes, reader->errors)) return;
  if (!nodes[0] == !nodes[1])
    fb_project_fail(reader, node, "parse: {regex: '^(?<user>\\w+) logged in'}",
                    "`parse` is a format, or has one of `regex` and `csv`");
  else if (nodes[0])
    S_regex(reader, nodes[0], plan);
  else
    S_columns(reader, nodes[1], plan);
}
