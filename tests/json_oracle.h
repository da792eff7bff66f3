/* SPDX-License-Identifier: Apache-2.0
 * jansson as the oracle of the JSON reader: the same texts accepted, the same values read. */
#ifndef FB_JSON_ORACLE_H
#define FB_JSON_ORACLE_H

#include <flyball/data.h>

#include <jansson.h>

/* What the two are known to do differently, and why neither is wrong:
 *  - jansson's integers end at INT64_MAX, ours go on to UINT64_MAX as uint;
 *  - jansson takes no U+0000 in a key, whatever its flags, since its keys are C strings;
 *  - jansson's depth limit is 2048, ours is an option of at most 1024;
 *  - jansson 2.14 takes a NUL byte after the value for the end of the text and ignores what follows
 *    (its token for the end is 0), which RFC 8259 does not admit. */
static inline json_t *fb_oracle_read(fb_slice text, json_error_t *ret_error) {
  return json_loadb(text.ptr, text.len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL,
                    ret_error);
}

/* True if a text that this reader refused with `code` may yet be one that jansson admits. */
static inline bool fb_oracle_may_admit(fb_slice text, fb_status code) {
  return code == FB_E_JSON_DEPTH || (text.len && memchr(text.ptr, 0, text.len));
}

static inline bool fb_oracle_equal(const json_t *theirs, fb_value ours);

/* To tell 0.0 from -0.0. */
static inline uint64_t fb_oracle_bits(double d) {
  uint64_t bits;
  memcpy(&bits, &d, sizeof bits);
  return bits;
}

static inline bool fb_oracle_maps_equal(const json_t *theirs, const fb_map *ours) {
  const char *key;
  json_t *item;
  uint32_t at = 0;
  if (json_object_size(theirs) != ours->len) return false;
  json_object_foreach((json_t *)(uintptr_t)theirs, key, item) { /* both keep the order */
    const fb_entry *entry = &ours->entries[at++];
    fb_slice name = {key, strlen(key)};
    if (!fb_slice_equal(name, fb_value_text(entry->key)) || !fb_oracle_equal(item, entry->value))
      return false;
    const fb_value *found = fb_map_get_text(ours, name);
    if (found != &entry->value) return false;
  }
  return true;
}

static inline bool fb_oracle_equal(const json_t *theirs, fb_value ours) {
  switch (json_typeof(theirs)) {
    case JSON_NULL: return ours.kind == FB_NULL;
    case JSON_TRUE: return ours.kind == FB_BOOL && ours.as.b;
    case JSON_FALSE: return ours.kind == FB_BOOL && !ours.as.b;
    case JSON_INTEGER: return ours.kind == FB_INT && ours.as.i == json_integer_value(theirs);
    case JSON_REAL:
      return ours.kind == FB_DOUBLE &&
             fb_oracle_bits(json_real_value(theirs)) == fb_oracle_bits(ours.as.d);
    case JSON_STRING:
      return ours.kind == FB_STRING &&
             fb_slice_equal(fb_value_text(ours),
                            (fb_slice){json_string_value(theirs), json_string_length(theirs)});
    case JSON_ARRAY:
      if (ours.kind != FB_LIST || ours.as.list->len != json_array_size(theirs)) return false;
      for (uint32_t i = 0; i < ours.as.list->len; i++)
        if (!fb_oracle_equal(json_array_get(theirs, i), ours.as.list->items[i])) return false;
      return true;
    default: return ours.kind == FB_MAP && fb_oracle_maps_equal(theirs, ours.as.map);
  }
}

#endif
