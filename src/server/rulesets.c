/* SPDX-License-Identifier: Apache-2.0
 *
 * Rulesets under names. A version is immutable; a new one takes the place of the newest at once, and who works with an
 * older one goes on with it. The last FB_RULESET_VERSIONS of a name are kept.
 */
#include "server/server.h"

#include <stdlib.h>

typedef struct S_entry {
  char name[FB_RULESET_NAME];
  fb_ruleset_version *versions[FB_RULESET_VERSIONS]; /* the newest first */
  uint32_t count, last;                              /* last: number of the newest there was */
} S_entry;

struct fb_rulesets {
  pthread_rwlock_t lock;
  S_entry **entries; /* by name */
  size_t count, cap;
  uint32_t max;
};

/* ── Versions ── */

static void S_free(fb_ruleset_version *version) {
  fb_seats_free(version);
  fb_ruleset_free(version->set);
  pthread_mutex_destroy(&version->lock);
  free(version->text);
  free(version);
}

void fb_ruleset_version_hold(fb_ruleset_version *version) {
  atomic_fetch_add_explicit(&version->users, 1, memory_order_relaxed);
}

void fb_ruleset_version_drop(fb_ruleset_version *version) {
  if (version && atomic_fetch_sub_explicit(&version->users, 1, memory_order_acq_rel) == 1)
    S_free(version);
}

fb_status fb_ruleset_version_new(fb_slice text, const char *file, fb_ruleset_version **ret_version,
                                 fb_errors *errors) {
  uint8_t digest[FB_DIGEST_SIZE];
  fb_ruleset_version *version = calloc(1, sizeof *version);
  if (version) version->text = malloc(text.len + 1);
  if (!version || !version->text) {
    free(version);
    fb_error err;
    fb_fail(&err, FB_E_NOMEM, "out of memory");
    fb_errors_add(errors, &err);
    return FB_E_NOMEM;
  }
  memcpy(version->text, text.ptr, text.len);
  version->text[text.len] = 0;
  version->length = text.len;
  atomic_init(&version->users, 1);
  pthread_mutex_init(&version->lock, NULL);
  fb_digest(text, digest);
  fb_hex(digest, sizeof digest, version->hash);
  const fb_clock *clock = fb_clock_system();
  version->made = clock->wall(clock->context);
  fb_status status = fb_ruleset_read(text, file, NULL, &version->set, errors, NULL);
  if (status != FB_OK) {
    S_free(version);
    return status;
  }
  version->stateless = fb_ruleset_stateless(version->set, NULL);
  *ret_version = version;
  return FB_OK;
}

/* ── Names ── */

fb_status fb_rulesets_new(uint32_t max, fb_rulesets **ret_rulesets) {
  fb_rulesets *rulesets = calloc(1, sizeof *rulesets);
  if (!rulesets) return FB_E_NOMEM;
  rulesets->max = max;
  pthread_rwlock_init(&rulesets->lock, NULL);
  *ret_rulesets = rulesets;
  return FB_OK;
}

static void S_free_entry(S_entry *entry) {
  for (uint32_t i = 0; i < entry->count; i++) fb_ruleset_version_drop(entry->versions[i]);
  free(entry);
}

void fb_rulesets_free(fb_rulesets *rulesets) {
  if (!rulesets) return;
  for (size_t i = 0; i < rulesets->count; i++) S_free_entry(rulesets->entries[i]);
  pthread_rwlock_destroy(&rulesets->lock);
  free(rulesets->entries);
  free(rulesets);
}

/* Where the name is, or would be. */
static size_t S_find(const fb_rulesets *rulesets, fb_slice name, bool *ret_found) {
  size_t low = 0, high = rulesets->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    int order = fb_slice_compare(fb_slice_of(rulesets->entries[middle]->name), name);
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
  return name.len && name.len < FB_RULESET_NAME && name.ptr[0] != '.';
}

static fb_status S_refuse(fb_errors *errors, fb_status status, const char *text, const char *hint) {
  fb_error err;
  fb_fail(&err, status, "%s", text);
  if (hint) fb_error_hint(&err, "%s", hint);
  return fb_errors_add(errors, &err);
}

/* NULL: no memory, or too many of them. */
static S_entry *S_add(fb_rulesets *rulesets, fb_slice name, size_t at, fb_errors *errors) {
  if (rulesets->count >= rulesets->max) {
    S_refuse(errors, FB_E_LIMIT, "there are as many rulesets as there may be", NULL);
    return NULL;
  }
  S_entry *entry = calloc(1, sizeof *entry);
  if (!entry || !fb_grow(NULL, (void **)&rulesets->entries, &rulesets->cap, rulesets->count,
                         sizeof *rulesets->entries)) {
    free(entry);
    S_refuse(errors, FB_E_NOMEM, "out of memory", NULL);
    return NULL;
  }
  memcpy(entry->name, name.ptr, name.len);
  memmove(rulesets->entries + at + 1, rulesets->entries + at,
          (rulesets->count - at) * sizeof *rulesets->entries);
  rulesets->entries[at] = entry;
  rulesets->count++;
  return entry;
}

static void S_push(S_entry *entry, fb_ruleset_version *version) {
  if (entry->count == FB_RULESET_VERSIONS) fb_ruleset_version_drop(entry->versions[--entry->count]);
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

/* Puts the loaded version in its place; the same text again is the version that is there. */
static fb_status S_place(fb_rulesets *rulesets, fb_slice name, const char *match,
                         fb_ruleset_version **version, bool *ret_new, fb_errors *errors) {
  bool found;
  size_t at = S_find(rulesets, name, &found);
  S_entry *entry = found ? rulesets->entries[at] : NULL;
  if (!S_matches(entry, match))
    return S_refuse(errors, FB_E_SERVER_MATCH, "the ruleset is another one by now",
                    "read it again, and send its ETag as If-Match");
  if (entry && !strcmp(entry->versions[0]->hash, (*version)->hash)) {
    fb_ruleset_version_drop(*version);
    *version = entry->versions[0];
  } else {
    if (!entry) entry = S_add(rulesets, name, at, errors);
    if (!entry) return errors->count ? errors->items[0].code : FB_E_NOMEM;
    S_push(entry, *version);
  }
  *ret_new = !found;
  fb_ruleset_version_hold(*version);
  return FB_OK;
}

fb_status fb_rulesets_put(fb_rulesets *rulesets, fb_slice name, fb_slice text, const char *file,
                          const char *match, fb_ruleset_version **ret_version, bool *ret_new,
                          fb_errors *errors) {
  fb_ruleset_version *version = NULL;
  if (!S_is_name(name))
    return S_refuse(errors, FB_E_SERVER_REQUEST, "that is no name for a ruleset",
                    "letters, digits, - _ and ., at most 127");
  fb_status status = fb_ruleset_version_new(text, file, &version, errors);
  if (status != FB_OK) return status;
  pthread_rwlock_wrlock(&rulesets->lock);
  status = S_place(rulesets, name, match, &version, ret_new, errors);
  pthread_rwlock_unlock(&rulesets->lock);
  if (status == FB_OK)
    *ret_version = version;
  else
    fb_ruleset_version_drop(version);
  return status;
}

fb_ruleset_version *fb_rulesets_get(fb_rulesets *rulesets, fb_slice name, uint32_t number) {
  bool found;
  fb_ruleset_version *version = NULL;
  pthread_rwlock_rdlock(&rulesets->lock);
  size_t at = S_find(rulesets, name, &found);
  const S_entry *entry = found ? rulesets->entries[at] : NULL;
  for (uint32_t i = 0; entry && !version && i < entry->count; i++)
    if (!number || entry->versions[i]->number == number) version = entry->versions[i];
  if (version) fb_ruleset_version_hold(version);
  pthread_rwlock_unlock(&rulesets->lock);
  return version;
}

fb_status fb_rulesets_delete(fb_rulesets *rulesets, fb_slice name) {
  bool found;
  pthread_rwlock_wrlock(&rulesets->lock);
  size_t at = S_find(rulesets, name, &found);
  S_entry *entry = found ? rulesets->entries[at] : NULL;
  if (found) {
    rulesets->count--;
    memmove(rulesets->entries + at, rulesets->entries + at + 1,
            (rulesets->count - at) * sizeof *rulesets->entries);
  }
  pthread_rwlock_unlock(&rulesets->lock);
  if (!entry) return FB_E_SERVER_UNKNOWN;
  S_free_entry(entry);
  return FB_OK;
}

void fb_rulesets_each(fb_rulesets *rulesets,
                      void (*fn)(void *context, fb_slice name, const fb_ruleset_version *newest,
                                 uint32_t versions),
                      void *context) {
  pthread_rwlock_rdlock(&rulesets->lock);
  for (size_t i = 0; i < rulesets->count; i++)
    fn(context, fb_slice_of(rulesets->entries[i]->name), rulesets->entries[i]->versions[0],
       rulesets->entries[i]->count);
  pthread_rwlock_unlock(&rulesets->lock);
}

uint32_t fb_rulesets_count(fb_rulesets *rulesets) {
  pthread_rwlock_rdlock(&rulesets->lock);
  uint32_t count = (uint32_t)rulesets->count;
  pthread_rwlock_unlock(&rulesets->lock);
  return count;
}
