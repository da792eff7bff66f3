/* SPDX-License-Identifier: Apache-2.0
 *
 * Rulesets and missions under names. An edition is immutable; a new one takes the place of the newest at once, and who works with
 * an older one goes on with it. The last FB_SHELF_EDITIONS of a name are kept, on disk too if the server has a state's folder:
 * STATE/rulesets/NAME/NUMBER is a line of JSON about the edition, and its text.
 */
#include "server/server.h"

#include <flyball/loop.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_FILE = 80 << 20 };

typedef struct S_entry {
  char name[FB_SHELF_NAME];
  fb_edition *versions[FB_SHELF_EDITIONS]; /* the newest first */
  uint32_t count, last;                    /* last: number of the newest there was */
} S_entry;

struct fb_shelf {
  fb_shelf_kind kind;
  const char *folder;      /* NULL: nothing is kept on disk */
  pthread_mutex_t changes; /* one at a time; the lock below is not held while the disk works */
  pthread_rwlock_t lock;
  S_entry **entries; /* by name */
  size_t count, cap;
  uint32_t max;
};

/* ── Versions ── */

static void S_free(fb_edition *version) {
  fb_seats_free(version);
  fb_ruleset_free(version->set);
  fb_mission_free(version->mission);
  free(version->fired);
  fb_doc_free(version->doc);
  pthread_mutex_destroy(&version->lock);
  free(version->text);
  free(version->file);
  free(version->folder);
  free(version);
}

void fb_edition_hold(fb_edition *version) {
  atomic_fetch_add_explicit(&version->users, 1, memory_order_relaxed);
}

void fb_edition_drop(fb_edition *version) {
  if (version && atomic_fetch_sub_explicit(&version->users, 1, memory_order_acq_rel) == 1)
    S_free(version);
}

static fb_status S_load_mission(fb_edition *version, fb_errors *errors) {
  fb_world *world;
  fb_error err;
  fb_doc_options reading = {.keep_going = true};
  if (fb_world_uv_new(NULL, NULL, &world, &err) != FB_OK) return fb_errors_add(errors, &err);
  fb_mission_options options = {
      .tools = fb_loop_tools(), .folder = version->folder, .world = world};
  fb_status status = fb_doc_read((fb_slice){version->text, version->length}, version->file,
                                 &reading, &version->doc, errors);
  if (!status) status = fb_mission_load(version->doc, &options, NULL, &version->mission, errors);
  fb_world_uv_free(world);
  return status;
}

static fb_status S_load(fb_edition *version, fb_shelf_kind kind, fb_errors *errors) {
  fb_slice text = {version->text, version->length};
  if (kind == FB_SHELF_MISSIONS) return S_load_mission(version, errors);
  fb_status status = fb_ruleset_read(text, version->file, NULL, &version->set, errors, NULL);
  if (status == FB_OK) version->stateless = fb_ruleset_stateless(version->set, NULL);
  return status;
}

static fb_edition *S_new(fb_slice text, const char *file, const char *folder) {
  fb_edition *version = calloc(1, sizeof *version);
  if (!version) return NULL;
  pthread_mutex_init(&version->lock, NULL);
  version->text = malloc(text.len + 1);
  version->file = strdup(file);
  version->folder = strdup(folder ? folder : ".");
  if (!version->text || !version->file || !version->folder) {
    S_free(version);
    return NULL;
  }
  memcpy(version->text, text.ptr, text.len);
  version->text[text.len] = 0;
  version->length = text.len;
  atomic_init(&version->users, 1);
  return version;
}

fb_status fb_edition_new(fb_slice text, const char *file, const char *folder, fb_shelf_kind kind,
                         fb_edition **ret_version, fb_errors *errors) {
  uint8_t digest[FB_DIGEST_SIZE];
  const fb_clock *clock = fb_clock_system();
  fb_edition *version = S_new(text, file, folder);
  if (!version) {
    fb_error err;
    fb_fail(&err, FB_E_NOMEM, "out of memory");
    fb_errors_add(errors, &err);
    return FB_E_NOMEM;
  }
  fb_digest(text, digest);
  fb_hex(digest, sizeof digest, version->hash);
  version->made = clock->wall(clock->context);
  fb_status status = S_load(version, kind, errors);
  size_t rules = version->set ? fb_ruleset_count(version->set) : 0;
  if (rules && rules <= FB_FIRED_RULES) version->fired = calloc(rules, sizeof *version->fired);
  if (status == FB_OK)
    *ret_version = version;
  else
    S_free(version);
  return status;
}

/* ── Names ── */

fb_status fb_shelf_new(fb_shelf_kind kind, const char *folder, uint32_t max, fb_shelf **ret_shelf) {
  fb_shelf *shelf = calloc(1, sizeof *shelf);
  if (!shelf) return FB_E_NOMEM;
  shelf->kind = kind;
  shelf->folder = folder;
  shelf->max = max;
  pthread_mutex_init(&shelf->changes, NULL);
  pthread_rwlock_init(&shelf->lock, NULL);
  *ret_shelf = shelf;
  return FB_OK;
}

static void S_free_entry(S_entry *entry) {
  for (uint32_t i = 0; i < entry->count; i++) fb_edition_drop(entry->versions[i]);
  free(entry);
}

void fb_shelf_free(fb_shelf *shelf) {
  if (!shelf) return;
  for (size_t i = 0; i < shelf->count; i++) S_free_entry(shelf->entries[i]);
  pthread_rwlock_destroy(&shelf->lock);
  pthread_mutex_destroy(&shelf->changes);
  free(shelf->entries);
  free(shelf);
}

/* Where the name is, or would be. */
static size_t S_find(const fb_shelf *shelf, fb_slice name, bool *ret_found) {
  size_t low = 0, high = shelf->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    int order = fb_slice_compare(fb_slice_of(shelf->entries[middle]->name), name);
    if (order == 0) {
      *ret_found = true;
      return middle;
    }
    if (order < 0)
      low = middle + 1;
    else
      high = middle;
  }
  *ret_found = false;
  return low;
}

static bool S_is_name(fb_slice name) {
  for (size_t i = 0; i < name.len; i++) {
    char c = name.ptr[i];
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
          c == '_' || c == '.'))
      return false;
  }
  return name.len && name.len < FB_SHELF_NAME && name.ptr[0] != '.';
}

static fb_status S_refuse(fb_errors *errors, fb_status status, const char *text, const char *hint) {
  fb_error err;
  fb_fail(&err, status, "%s", text);
  if (hint) fb_error_hint(&err, "%s", hint);
  fb_errors_add(errors, &err);
  return status;
}

/* NULL: no memory, or too many of them. */
static S_entry *S_add(fb_shelf *shelf, fb_slice name, size_t at, fb_errors *errors) {
  if (shelf->count >= shelf->max) {
    S_refuse(errors, FB_E_LIMIT, "there are as many of them as there may be", NULL);
    return NULL;
  }
  S_entry *entry = calloc(1, sizeof *entry);
  if (!entry ||
      !fb_grow(NULL, (void **)&shelf->entries, &shelf->cap, shelf->count, sizeof *shelf->entries)) {
    free(entry);
    S_refuse(errors, FB_E_NOMEM, "out of memory", NULL);
    return NULL;
  }
  snprintf(entry->name, sizeof entry->name, "%.*s", (int)name.len, name.ptr);
  memmove(shelf->entries + at + 1, shelf->entries + at,
          (shelf->count - at) * sizeof *shelf->entries);
  shelf->entries[at] = entry;
  shelf->count++;
  return entry;
}

static void S_push(S_entry *entry, fb_edition *version) {
  if (entry->count == FB_SHELF_EDITIONS) fb_edition_drop(entry->versions[--entry->count]);
  memmove(entry->versions + 1, entry->versions, entry->count * sizeof *entry->versions);
  entry->versions[0] = version;
  entry->count++;
  version->number = ++entry->last;
}

static bool S_matches(const S_entry *entry, const char *match) {
  if (!match) return true;
  if (!entry) return false;
  return !strcmp(match, "*") || !strcmp(match, entry->versions[0]->hash);
}

/* ── On disk ── */

/* Keeps the edition under its number, and lets go of the one that is too many. */
static fb_status S_save(const fb_shelf *shelf, fb_slice name, const fb_edition *version,
                        fb_errors *errors) {
  fb_buf head;
  fb_error err;
  char path[4096];
  if (!shelf->folder) return FB_OK;
  snprintf(path, sizeof path, "%s/%.*s/%u", shelf->folder, (int)name.len, name.ptr,
           version->number);
  fb_buf_init(&head, NULL, 0);
  fb_buf_printf(&head, "{\"made\":%lld,", (long long)version->made);
  fb_json_member(&head, "file", fb_slice_of(version->file));
  fb_json_member(&head, "folder", fb_slice_of(version->folder));
  fb_buf_text(&head, "}\n");
  fb_status status = head.failed ? fb_fail(&err, FB_E_NOMEM, "out of memory")
                                 : fb_state_write(path, fb_buf_slice(&head),
                                                  (fb_slice){version->text, version->length}, &err);
  fb_buf_release(&head);
  if (status != FB_OK) return fb_errors_add(errors, &err);
  if (version->number <= FB_SHELF_EDITIONS) return FB_OK;
  snprintf(path, sizeof path, "%s/%.*s/%u", shelf->folder, (int)name.len, name.ptr,
           version->number - FB_SHELF_EDITIONS);
  remove(path);
  return FB_OK;
}

/* NULL: it cannot be read, or does not load (any more). */
static fb_edition *S_read_one(const fb_shelf *shelf, const char *path, fb_errors *errors) {
  fb_arena arena;
  fb_buf bytes;
  fb_value head;
  fb_edition *version = NULL;
  fb_arena_init(&arena, NULL, 0);
  fb_buf_init(&bytes, NULL, 0);
  fb_status status = fb_state_read(path, MOST_FILE, &bytes);
  const char *line = status == FB_OK && bytes.len ? memchr(bytes.ptr, '\n', bytes.len) : NULL;
  size_t length = line ? (size_t)(line - bytes.ptr) + 1 : 0;
  if (line &&
      fb_json_read((fb_slice){bytes.ptr, length}, path, NULL, &arena, &head, NULL) == FB_OK &&
      head.kind == FB_MAP) {
    const fb_value *file = fb_map_get_text(head.as.map, FB_SLICE("file")),
                   *folder = fb_map_get_text(head.as.map, FB_SLICE("folder")),
                   *made = fb_map_get_text(head.as.map, FB_SLICE("made"));
    fb_slice text = {bytes.ptr + length, bytes.len - length};
    if (file && file->kind == FB_STRING && folder && folder->kind == FB_STRING &&
        fb_edition_new(text, file->as.text, folder->as.text, shelf->kind, &version, errors) ==
            FB_OK &&
        made && made->kind == FB_INT)
      version->made = made->as.i;
  }
  fb_buf_release(&bytes);
  fb_arena_release(&arena);
  return version;
}

static int S_by_number(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

static void S_read_name(fb_shelf *shelf, const char *name, const fb_log *log) {
  fb_arena arena;
  size_t count, used = 0;
  uint32_t numbers[4 * FB_SHELF_EDITIONS];
  fb_arena_init(&arena, NULL, 0);
  const char *folder = fb_arena_printf(&arena, "%s/%s", shelf->folder, name);
  const char *const *files = folder ? fb_state_list(folder, &arena, &count) : NULL;
  for (size_t i = 0; files && i < count && used < sizeof numbers / sizeof *numbers; i++)
    if ((numbers[used] = (uint32_t)strtoul(files[i], NULL, 10))) used++;
  qsort(numbers, used, sizeof *numbers, S_by_number);
  for (size_t i = 0; i < used; i++) {
    fb_errors errors;
    bool found;
    fb_errors_init(&errors, NULL, 0);
    const char *path = fb_arena_printf(&arena, "%s/%u", folder, numbers[i]);
    fb_edition *version = path ? S_read_one(shelf, path, &errors) : NULL;
    size_t at = S_find(shelf, fb_slice_of(name), &found);
    S_entry *entry = found     ? shelf->entries[at]
                     : version ? S_add(shelf, fb_slice_of(name), at, &errors)
                               : NULL;
    if (version && entry) {
      entry->last = numbers[i] - 1;
      S_push(entry, version);
    } else if (log) {
      fb_log_write(log, FB_LOG_ERROR, "what was kept does not load", "file", path ? path : name,
                   "error", errors.count ? errors.items[0].text : "it is not as it was written",
                   NULL);
      fb_edition_drop(version);
    }
    fb_errors_release(&errors);
  }
  fb_arena_release(&arena);
}

void fb_shelf_restore(fb_shelf *shelf, const fb_log *log) {
  fb_arena arena;
  size_t count = 0;
  if (!shelf->folder) return;
  fb_arena_init(&arena, NULL, 0);
  const char *const *names = fb_state_list(shelf->folder, &arena, &count);
  for (size_t i = 0; i < count; i++)
    if (S_is_name(fb_slice_of(names[i]))) S_read_name(shelf, names[i], log);
  fb_arena_release(&arena);
}

/* ── Changes: one at a time ── */

/* Puts the loaded version in its place; the same text again is the version that is there. */
static fb_status S_place(fb_shelf *shelf, fb_slice name, const char *match, fb_edition **version,
                         bool *ret_new, fb_errors *errors) {
  bool found;
  size_t at = S_find(shelf, name, &found);
  S_entry *entry = found ? shelf->entries[at] : NULL;
  *ret_new = !found;
  if (!S_matches(entry, match))
    return S_refuse(errors, FB_E_SERVER_MATCH, "it is another one by now",
                    "read it again, and send its ETag as If-Match");
  if (entry && !strcmp(entry->versions[0]->hash, (*version)->hash)) {
    fb_edition_drop(*version);
    *version = entry->versions[0];
    fb_edition_hold(*version);
    return FB_OK;
  }
  (*version)->number = entry ? entry->last + 1 : 1;
  if (!entry && shelf->count >= shelf->max) /* before it is written */
    return S_refuse(errors, FB_E_LIMIT, "there are as many of them as there may be", NULL);
  fb_status status = S_save(shelf, name, *version, errors);
  if (status != FB_OK) return status;
  pthread_rwlock_wrlock(&shelf->lock);
  if (!entry) entry = S_add(shelf, name, at, errors);
  if (entry) {
    S_push(entry, *version);
    fb_edition_hold(*version);
  }
  pthread_rwlock_unlock(&shelf->lock);
  if (entry) return FB_OK;
  return errors->count ? errors->items[0].code : FB_E_NOMEM;
}

fb_status fb_shelf_put(fb_shelf *shelf, fb_slice name, fb_slice text, const char *file,
                       const char *folder, const char *match, fb_edition **ret_version,
                       bool *ret_new, fb_errors *errors) {
  fb_edition *version = NULL;
  if (!S_is_name(name))
    return S_refuse(errors, FB_E_SERVER_REQUEST, "that is no name",
                    "letters, digits, - _ and ., at most 127");
  fb_status status = fb_edition_new(text, file, folder, shelf->kind, &version, errors);
  if (status != FB_OK) return status;
  pthread_mutex_lock(&shelf->changes);
  status = S_place(shelf, name, match, &version, ret_new, errors);
  pthread_mutex_unlock(&shelf->changes);
  if (status == FB_OK)
    *ret_version = version;
  else
    fb_edition_drop(version);
  return status;
}

fb_edition *fb_shelf_get(fb_shelf *shelf, fb_slice name, uint32_t number) {
  bool found;
  fb_edition *version = NULL;
  pthread_rwlock_rdlock(&shelf->lock);
  size_t at = S_find(shelf, name, &found);
  const S_entry *entry = found ? shelf->entries[at] : NULL;
  for (uint32_t i = 0; entry && !version && i < entry->count; i++)
    if (!number || entry->versions[i]->number == number) version = entry->versions[i];
  if (version) fb_edition_hold(version);
  pthread_rwlock_unlock(&shelf->lock);
  return version;
}

fb_status fb_shelf_delete(fb_shelf *shelf, fb_slice name) {
  bool found;
  char folder[4096];
  pthread_mutex_lock(&shelf->changes);
  pthread_rwlock_wrlock(&shelf->lock);
  size_t at = S_find(shelf, name, &found);
  S_entry *entry = found ? shelf->entries[at] : NULL;
  if (found) {
    shelf->count--;
    memmove(shelf->entries + at, shelf->entries + at + 1,
            (shelf->count - at) * sizeof *shelf->entries);
  }
  pthread_rwlock_unlock(&shelf->lock);
  if (found && shelf->folder) {
    snprintf(folder, sizeof folder, "%s/%s", shelf->folder, entry->name);
    fb_state_remove(folder);
    fb_state_sync(shelf->folder);
  }
  pthread_mutex_unlock(&shelf->changes);
  if (!entry) return FB_E_SERVER_UNKNOWN;
  S_free_entry(entry);
  return FB_OK;
}

void fb_shelf_each(fb_shelf *shelf,
                   void (*fn)(void *context, fb_slice name, const fb_edition *newest,
                              uint32_t versions),
                   void *context) {
  pthread_rwlock_rdlock(&shelf->lock);
  for (size_t i = 0; i < shelf->count; i++)
    fn(context, fb_slice_of(shelf->entries[i]->name), shelf->entries[i]->versions[0],
       shelf->entries[i]->count);
  pthread_rwlock_unlock(&shelf->lock);
}

uint32_t fb_shelf_count(fb_shelf *shelf) {
  pthread_rwlock_rdlock(&shelf->lock);
  uint32_t count = (uint32_t)shelf->count;
  pthread_rwlock_unlock(&shelf->lock);
  return count;
}

void fb_shelf_publish(fb_server *server, const char *word, fb_slice name, uint32_t number,
                      fb_slice by) {
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  fb_json_member(&out, "name", name);
  fb_buf_printf(&out, ",\"version\":%u,", number);
  fb_json_member(&out, "by", by);
  if (!out.failed) fb_server_publish(server, word, fb_buf_slice(&out));
  fb_buf_release(&out);
}
