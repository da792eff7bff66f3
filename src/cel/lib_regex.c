/* SPDX-License-Identifier: Apache-2.0
 * matches, and the regex extension. */
#include "cel/lib.h"
#include "cel/regex.h"

FB_LIB_FUNCTION(fb_lib_matches) {
  fb_value failure;
  size_t ends[2 * FB_REGEX_GROUPS];
  fb_regex *regex = fb_regex_get(context, fb_value_text(args[1]), &failure);
  if (!regex) return failure;
  int found = fb_regex_match(context, regex, fb_value_text(args[0]), 0, ends, &failure);
  return found < 0 ? failure : fb_bool(found);
}

/* Goes from match to match as Go does: no empty match right after another match. */
typedef struct S_walk {
  fb_regex *regex;
  fb_slice subject;
  size_t at, last_end; /* where to look on; end of the match before, SIZE_MAX: none yet */
  size_t ends[2 * FB_REGEX_GROUPS];
} S_walk;

/* 1: walk->ends has the next match; 0: no more; -1: *ret_failure. */
static int S_next_match(fb_cel_context *context, S_walk *walk, fb_value *ret_failure) {
  while (walk->at <= walk->subject.len) {
    int found =
        fb_regex_match(context, walk->regex, walk->subject, walk->at, walk->ends, ret_failure);
    if (found <= 0) return found;
    bool accept = walk->ends[1] > walk->ends[0] || walk->ends[0] != walk->last_end;
    walk->last_end = walk->ends[1];
    if (walk->ends[1] > walk->at) {
      walk->at = walk->ends[1];
    } else {
      uint32_t rune;
      int step = walk->at < walk->subject.len ? fb_utf8_decode(walk->subject.ptr + walk->at,
                                                               walk->subject.len - walk->at, &rune)
                                              : 1;
      walk->at += step > 0 ? (size_t)step : 1;
    }
    if (accept) return 1;
  }
  return 0;
}

static fb_value S_bad_replacement(fb_cel_context *context, fb_slice by, const char *why) {
  return fb_cel_fail(context, FB_E_CEL_VALUE, "invalid replacement string: '%.*s' %s",
                     by.len < 80 ? (int)by.len : 80, by.ptr, why);
}

/* Writes the replacement of one match: \0 to \9 are groups, \\ a backslash. */
static bool S_add_replacement(fb_cel_context *context, const S_walk *walk, fb_slice by, fb_buf *out,
                              fb_value *ret_failure) {
  for (size_t i = 0; i < by.len; i++) {
    if (by.ptr[i] != '\\') {
      fb_buf_char(out, by.ptr[i]);
      continue;
    }
    if (++i >= by.len) {
      *ret_failure = S_bad_replacement(context, by, "\\ not allowed at end");
      return false;
    }
    unsigned group = (unsigned char)by.ptr[i] - (unsigned)'0';
    if (by.ptr[i] == '\\') {
      fb_buf_char(out, '\\');
    } else if (group > 9) {
      *ret_failure = S_bad_replacement(context, by, "\\ must be followed by a digit or \\");
      return false;
    } else if (group > fb_regex_groups(walk->regex)) {
      *ret_failure =
          fb_cel_fail(context, FB_E_CEL_VALUE,
                      "replacement string references group %u but regex has only %u group(s)",
                      group, fb_regex_groups(walk->regex));
      return false;
    } else if (walk->ends[2 * group] != SIZE_MAX) {
      fb_buf_add(out, walk->subject.ptr + walk->ends[2 * group],
                 walk->ends[2 * group + 1] - walk->ends[2 * group]);
    }
  }
  return true;
}

/* 1: done; -1: *ret_failure. */
static int S_replace(fb_cel_context *context, S_walk *walk, fb_slice by, int64_t limit, fb_buf *out,
                     fb_value *ret_failure) {
  size_t done = 0;
  for (int64_t i = 0; limit < 0 || i < limit; i++) {
    int found = S_next_match(context, walk, ret_failure);
    if (found < 0) return -1;
    if (found == 0 || out->failed) break;
    fb_buf_add(out, walk->subject.ptr + done, walk->ends[0] - done);
    if (!fb_lib_spend_bytes(context, by.len + walk->ends[1] - walk->ends[0])) {
      *ret_failure = fb_cel_over_budget(context);
      return -1;
    }
    if (!S_add_replacement(context, walk, by, out, ret_failure)) return -1;
    done = walk->ends[1];
  }
  fb_buf_add(out, walk->subject.ptr + done, walk->subject.len - done);
  return 1;
}

FB_LIB_FUNCTION(fb_lib_regex_replace) {
  int64_t limit = count > 3 ? args[3].as.i : -1;
  S_walk walk = {.subject = fb_value_text(args[0]), .last_end = SIZE_MAX};
  fb_value failure;
  if (limit == 0) return args[0];
  walk.regex = fb_regex_get(context, fb_value_text(args[1]), &failure);
  if (!walk.regex) return failure;
  fb_buf out;
  fb_lib_begin(context, &out);
  if (S_replace(context, &walk, fb_value_text(args[2]), limit, &out, &failure) > 0)
    return fb_lib_finish(context, &out);
  fb_buf_release(&out);
  return failure;
}

/* The pattern of extract and extractAll: one group at most. */
static fb_regex *S_one_group(fb_cel_context *context, fb_value pattern, fb_value *ret_failure) {
  fb_regex *regex = fb_regex_get(context, fb_value_text(pattern), ret_failure);
  if (!regex || fb_regex_groups(regex) <= 1) return regex;
  *ret_failure = fb_cel_fail(context, FB_E_CEL_VALUE,
                             "regular expression has more than one capturing group: '%.*s'",
                             pattern.len < 80 ? (int)pattern.len : 80, pattern.as.text);
  return NULL;
}

/* The group if there is one, else the match. False: the group is empty or took no part. */
static bool S_extracted(const S_walk *walk, fb_value *ret_text) {
  bool group = fb_regex_groups(walk->regex) == 1;
  size_t from = walk->ends[group ? 2 : 0], to = walk->ends[group ? 3 : 1];
  if (group && (from == SIZE_MAX || from == to)) return false;
  *ret_text = fb_string((fb_slice){walk->subject.ptr + from, to - from});
  return true;
}

FB_LIB_FUNCTION(fb_lib_regex_extract) {
  S_walk walk = {.subject = fb_value_text(args[0]), .last_end = SIZE_MAX};
  fb_value failure, text;
  walk.regex = S_one_group(context, args[1], &failure);
  if (!walk.regex) return failure;
  int found = S_next_match(context, &walk, &failure);
  if (found < 0) return failure;
  if (!found || !S_extracted(&walk, &text)) return fb_optional(NULL);
  fb_value *box = fb_arena_copy(context->arena, &text, sizeof text);
  return box ? fb_optional(box) : fb_lib_nomem(context);
}

FB_LIB_FUNCTION(fb_lib_regex_extract_all) {
  S_walk walk = {.subject = fb_value_text(args[0]), .last_end = SIZE_MAX};
  fb_value failure, text;
  walk.regex = S_one_group(context, args[1], &failure);
  if (!walk.regex) return failure;
  fb_list *list = fb_lib_list(context, 0, &failure);
  if (!list) return failure;
  for (;;) {
    int found = S_next_match(context, &walk, &failure);
    if (found < 0) return failure;
    if (found == 0) return fb_list_value(list);
    if (!S_extracted(&walk, &text)) continue;
    if (!fb_cel_may_make(context, list->len + 1ull))
      return fb_cel_fail(context, FB_E_CEL_SIZE, "the result would have more than %llu elements",
                         (unsigned long long)context->max_size);
    if (!fb_list_push(list, context->arena, text)) return fb_lib_nomem(context);
  }
}
