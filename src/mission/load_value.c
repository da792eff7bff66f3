/* SPDX-License-Identifier: Apache-2.0
 *
 * Small values of a mission document: durations, sizes, words, the environment.
 */
#include "mission/plan.h"

#include <stdio.h>

void fb_load_fail(fb_mission_loader *loader, const fb_node *node, fb_status code, const char *hint,
                  const char *text) {
  fb_doc_fail(loader->doc, node, loader->errors, code, hint, "%s", text);
}

int64_t fb_load_duration(fb_mission_loader *loader, const fb_node *node) {
  fb_guard_reader reader = {.doc = loader->doc, .errors = loader->errors};
  return fb_guard_read_duration(&reader, node);
}

/* "64KiB", "10MB", "1 GiB" or a number of bytes. */
static bool S_size_parse(fb_slice text, uint64_t *ret_size) {
  static const struct {
    const char *unit;
    uint64_t bytes;
  } units[] = {{"", 1},          {"B", 1},           {"KB", 1000},
               {"MB", 1000000},  {"GB", 1000000000}, {"KiB", 1 << 10},
               {"MiB", 1 << 20}, {"GiB", 1 << 30},   {"K", 1 << 10},
               {"M", 1 << 20},   {"G", 1 << 30}};
  uint64_t number = 0;
  size_t i = 0;
  for (; i < text.len && text.ptr[i] >= '0' && text.ptr[i] <= '9'; i++) {
    number = number * 10 + (uint64_t)(text.ptr[i] - '0');
    if (number > UINT64_C(1) << 40) return false;
  }
  if (i == 0) return false;
  if (i < text.len && text.ptr[i] == ' ') i++;
  fb_slice unit = {text.ptr + i, text.len - i};
  for (size_t k = 0; k < sizeof units / sizeof *units; k++)
    if (fb_slice_equal(unit, fb_slice_of(units[k].unit))) {
      *ret_size = number * units[k].bytes;
      return true;
    }
  return false;
}

uint64_t fb_load_size(fb_mission_loader *loader, const fb_node *node, uint64_t otherwise) {
  uint64_t size = 0;
  if (!node) return otherwise;
  bool good =
      node->kind == FB_INT ? node->as.scalar.as.i >= 0 : S_size_parse(fb_node_text(node), &size);
  if (good && node->kind == FB_INT) size = (uint64_t)node->as.scalar.as.i;
  if (good && size <= UINT64_C(1) << 31) return size;
  fb_doc_fail(loader->doc, node, loader->errors, FB_E_MISSION_VALUE,
              "a size is written like 64KiB, 1MiB or 10MB, or in bytes",
              good ? "a size here is at most 2 GiB" : "not a size");
  return otherwise;
}

uint32_t fb_load_parallel(fb_mission_loader *loader, const fb_node *node) {
  if (!node) return 0;
  int64_t number = node->as.scalar.as.i;
  if (number >= 1 && number <= 4096) return (uint32_t)number;
  fb_load_fail(loader, node, FB_E_MISSION_VALUE, "", "`parallel` is from 1 to 4096");
  return 0;
}

/* ── Environment ─────────────────────────────────────────────────────────────────────────────── */

static bool S_env_name(fb_slice name) {
  return name.len > 0 && !memchr(name.ptr, '=', name.len) && !memchr(name.ptr, 0, name.len);
}

void fb_load_env(fb_mission_loader *loader, const fb_node *node, fb_env_list *list) {
  if (!node || node->count == 0) return;
  list->items = fb_arena_zero(&loader->mission->arena, node->count * sizeof *list->items);
  if (!list->items) {
    loader->out_of_memory = true;
    return;
  }
  for (uint32_t i = 0; i < node->count; i++) {
    const fb_pair *pair = &node->as.pairs[i];
    fb_slice name = fb_node_text(&pair->key);
    if (!S_env_name(name))
      fb_load_fail(loader, &pair->key, FB_E_MISSION_VALUE, "",
                   "not a name that a variable can have");
    else if (pair->value.kind == FB_LIST || pair->value.kind == FB_MAP)
      fb_load_fail(loader, &pair->value, FB_E_MISSION_VALUE, "json.encode(…) makes a text of it",
                   "a variable of the environment is a text");
    fb_text *value = fb_loader_text(loader, &pair->value, NULL);
    if (value) list->items[list->count++] = (fb_env_entry){name, value};
  }
}

/* A word out of a list, or an error with "did you mean". */
int fb_load_word(fb_mission_loader *loader, const fb_node *node, const char *key,
                 const char *const *words, size_t count) {
  char hint[160];
  size_t at = 0;
  for (size_t i = 0; i < count; i++)
    if (fb_slice_equal(fb_node_text(node), fb_slice_of(words[i]))) return (int)i;
  const char *near = fb_nearest(fb_node_text(node), words, count);
  if (near) snprintf(hint, sizeof hint, "did you mean `%s`?", near);
  for (size_t i = 0; !near && i < count && at < sizeof hint; i++)
    at += (size_t)snprintf(hint + at, sizeof hint - at, "%s%s", i ? ", " : "one of ", words[i]);
  fb_doc_fail(loader->doc, node, loader->errors, FB_E_MISSION_VALUE, hint, "`%s` cannot be `%.*s`",
              key, (int)fb_node_text(node).len, fb_node_text(node).ptr);
  return 0;
}
