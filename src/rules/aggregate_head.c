/* SPDX-License-Identifier: Apache-2.0
 *
 * Heads of aggregates: FUNCTION(ARGUMENTS) as NAME, … [by EXPRESSION as NAME, …] of TYPE [as NAME] [WINDOW], where a window
 * is `within TIME`, `tumbling TIME`, `session TIME` (all three: [on FIELD]) or `last NUMBER`.
 * An expression ends at a word or a comma that stands in no bracket and no text.
 */
#include "rules/aggregate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
  const char *name;
  bool empty;   /* has a value for no facts */
  uint8_t args; /* expressions: 0 for none or one, 1, 2: one and a number */
} S_folds[FB_FOLD_KINDS] = {
    [FB_FOLD_COUNT] = {"count", true, 0},
    [FB_FOLD_SUM] = {"sum", true, 1},
    [FB_FOLD_AVG] = {"avg", false, 1},
    [FB_FOLD_MIN] = {"min", false, 1},
    [FB_FOLD_MAX] = {"max", false, 1},
    [FB_FOLD_DISTINCT] = {"distinct", true, 1},
    [FB_FOLD_FIRST] = {"first", false, 1},
    [FB_FOLD_LAST] = {"last", false, 1},
    [FB_FOLD_STDDEV] = {"stddev", false, 1},
    [FB_FOLD_PERCENTILE] = {"percentile", false, 2},
    [FB_FOLD_SKETCH] = {"approx_percentile", false, 2},
    [FB_FOLD_COLLECT] = {"collect", true, 1},
};

const char *fb_fold_name(uint8_t fold) {
  return S_folds[fold].name;
}

/* ── Words ── */

typedef struct S_scanner {
  fb_slice text;
  uint32_t at;
  char *why; /* "" as long as all is well */
} S_scanner;

static bool S_fail(S_scanner *s, const char *why) {
  if (!s->why[0]) snprintf(s->why, 200, "%s", why);
  return false;
}

static bool S_is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* Of names of types, too. */
static bool S_is_inner(char c) {
  return S_is_letter(c) || (c >= '0' && c <= '9') || c == '.' || c == '-';
}

static void S_skip(S_scanner *s) {
  while (s->at < s->text.len && (s->text.ptr[s->at] == ' ' || s->text.ptr[s->at] == '\t')) s->at++;
}

static fb_slice S_word(S_scanner *s) {
  S_skip(s);
  uint32_t start = s->at;
  if (s->at < s->text.len && S_is_letter(s->text.ptr[s->at]))
    while (s->at < s->text.len && S_is_inner(s->text.ptr[s->at])) s->at++;
  return (fb_slice){s->text.ptr + start, s->at - start};
}

static bool S_takes(S_scanner *s, const char *word) {
  uint32_t start = s->at;
  if (fb_slice_equal(S_word(s), fb_slice_of(word))) return true;
  s->at = start;
  return false;
}

static bool S_takes_char(S_scanner *s, char c) {
  S_skip(s);
  if (s->at == s->text.len || s->text.ptr[s->at] != c) return false;
  s->at++;
  return true;
}

/* Behind the text that starts at `at`. */
static uint32_t S_skip_text(fb_slice text, uint32_t at) {
  char quote = text.ptr[at++];
  while (at < text.len && text.ptr[at] != quote) at += text.ptr[at] == '\\' ? 2 : 1;
  return at < text.len ? at + 1 : (uint32_t)text.len;
}

/* An expression, up to one of `ends` or, if it is not "", the word `until`. */
static bool S_expression(S_scanner *s, const char *ends, const char *until,
                         fb_aggregate_part *part) {
  uint32_t depth = 0, at;
  size_t len = strlen(until);
  S_skip(s);
  part->from = part->to = at = s->at;
  while (at < s->text.len) {
    char c = s->text.ptr[at];
    if (!depth && (strchr(ends, c) ||
                   (len && c == until[0] && s->text.len - at > len && at &&
                    !S_is_inner(s->text.ptr[at - 1]) && !memcmp(s->text.ptr + at, until, len) &&
                    !S_is_inner(s->text.ptr[at + len]))))
      break;
    if (c == '"' || c == '\'') {
      at = part->to = S_skip_text(s->text, at);
      continue;
    }
    if (strchr("([{", c)) depth++;
    if (strchr(")]}", c) && depth-- == 0) return S_fail(s, "a bracket closes that none has opened");
    at++;
    if (c != ' ' && c != '\t') part->to = at;
  }
  s->at = at;
  return true;
}

/* ── Parts ── */

static bool S_name(S_scanner *s, fb_aggregate_part *part, const char *what) {
  char why[120];
  snprintf(why, sizeof why, "%s needs a name: `as name`", what);
  if (!S_takes(s, "as")) return S_fail(s, why);
  part->variable = S_word(s);
  for (size_t i = 0; i < part->variable.len; i++)
    if (part->variable.ptr[i] == '.' || part->variable.ptr[i] == '-') part->variable.len = 0;
  return (part->variable.len && part->variable.len <= 64) || S_fail(s, why);
}

static bool S_rank(S_scanner *s, fb_aggregate_part *part) {
  fb_aggregate_part number = {0};
  char digits[32], *end = digits;
  if (!S_takes_char(s, ',') || !S_expression(s, ",)", "", &number)) number.to = number.from;
  uint32_t len = number.to - number.from;
  if (len && len < sizeof digits) {
    memcpy(digits, s->text.ptr + number.from, len);
    digits[len] = 0;
    part->rank = strtod(digits, &end);
  }
  if (end != digits && !*end && part->rank >= 0 && part->rank <= 100) return true;
  return S_fail(s, "a percentile takes an expression and a number from 0 to 100");
}

static bool S_fold(S_scanner *s, fb_aggregate_part *part) {
  const char *names[FB_FOLD_KINDS];
  for (int i = 0; i < FB_FOLD_KINDS; i++) names[i] = S_folds[i].name;
  fb_slice word = S_word(s);
  uint8_t kind = 0;
  while (kind < FB_FOLD_KINDS && !fb_slice_equal(word, fb_slice_of(S_folds[kind].name))) kind++;
  if (kind == FB_FOLD_KINDS) {
    const char *near = fb_nearest(word, names, FB_FOLD_KINDS);
    char why[200];
    snprintf(
        why, sizeof why,
        near ? "there is no function `%.*s`: did you mean `%s`?" : "there is no function `%.*s`",
        (int)(word.len > 60 ? 60 : word.len), word.ptr, near);
    return S_fail(s, why);
  }
  part->fold = kind;
  if (!S_takes_char(s, '(') || !S_expression(s, ",)", "", part))
    return S_fail(s, "a function is followed by what it is taken of, in brackets");
  if (S_folds[kind].args && part->to == part->from)
    return S_fail(s, "the function needs an expression, as in `sum(o.amount)`");
  if (S_folds[kind].args == 2 && !S_rank(s, part)) return false;
  if (!S_takes_char(s, ')')) return S_fail(s, "the function takes one expression");
  return S_name(s, part, "the result");
}

/* A word that may begin with a digit. */
static fb_slice S_amount(S_scanner *s) {
  S_skip(s);
  uint32_t start = s->at;
  while (s->at < s->text.len && S_is_inner(s->text.ptr[s->at])) s->at++;
  return (fb_slice){s->text.ptr + start, s->at - start};
}

static bool S_span(S_scanner *s, fb_rule_window *window) {
  int64_t seconds;
  int32_t nanos;
  if (fb_duration_parse(S_amount(s), &seconds, &nanos) && seconds >= 0 && seconds < 3153600000 &&
      nanos >= 0 && (seconds || nanos)) {
    window->span = seconds * 1000000000 + nanos;
    return true;
  }
  return S_fail(s, "a window takes a time of at most 100 years, as in `within 1m30s`");
}

static bool S_keep(S_scanner *s, fb_rule_window *window) {
  fb_slice digits = S_amount(s);
  for (size_t i = 0; i < digits.len; i++) {
    if (digits.ptr[i] < '0' || digits.ptr[i] > '9' || window->keep > 100000000) digits.len = 0;
    window->keep = window->keep * 10 + (uint64_t)(digits.len ? digits.ptr[i] - '0' : 0);
  }
  return (digits.len && window->keep) ||
         S_fail(s, "`last` takes a number of facts, as in `last 100`");
}

static bool S_window(S_scanner *s, fb_rule_window *window) {
  if (S_takes(s, "last")) {
    window->kind = FB_WINDOW_LAST;
    return S_keep(s, window);
  }
  if (S_takes(s, "within"))
    window->kind = FB_WINDOW_SLIDING;
  else if (S_takes(s, "tumbling"))
    window->kind = FB_WINDOW_TUMBLING;
  else if (S_takes(s, "session"))
    window->kind = FB_WINDOW_SESSION;
  else
    return true;
  if (window->kind == FB_WINDOW_SESSION) S_takes(s, "gap");
  if (!S_span(s, window)) return false;
  if (S_takes(s, "on") && !(window->name = S_word(s)).len)
    return S_fail(s, "`on` is followed by the field that has the time");
  if (fb_window_ends(window) && S_takes(s, "as") && !(window->variable = S_word(s)).len)
    return S_fail(s, "`as` is followed by a name, here of the start of the window");
  return true;
}

static bool S_source(S_scanner *s, fb_aggregate_head *head) {
  if (!S_takes(s, "of")) return S_fail(s, "`of type as x` is missing: what is aggregated");
  head->type = S_word(s);
  if (!head->type.len) return S_fail(s, "`of` is followed by a fact type");
  if (S_takes(s, "as")) {
    head->variable = S_word(s);
    if (!head->variable.len) return S_fail(s, "`as` is followed by a name");
  }
  if (!S_window(s, &head->window)) return false;
  S_skip(s);
  if (s->at < s->text.len && s->text.ptr[s->at] == ':')
    return S_fail(s, "quote the expression behind the colon only, not the whole condition");
  return s->at == s->text.len ||
         S_fail(s,
                "behind the type and its name there may be a window (`within`, `tumbling`, "
                "`session`, `last`), and nothing more");
}

static bool S_head(S_scanner *s, fb_aggregate_head *head) {
  do {
    if (head->fold_count == FB_AGGREGATE_PARTS)
      return S_fail(s, "an aggregate has at most 16 functions");
    if (!S_fold(s, &head->folds[head->fold_count++])) return false;
  } while (S_takes_char(s, ','));
  if (S_takes(s, "by")) do {
      if (head->by_count == FB_AGGREGATE_PARTS)
        return S_fail(s, "an aggregate has at most 16 expressions to group by");
      fb_aggregate_part *part = &head->by[head->by_count++];
      if (!S_expression(s, ",", "as", part)) return false;
      if (part->to == part->from) return S_fail(s, "`by` is followed by an expression");
      if (!S_name(s, part, "what is grouped by")) return false;
    } while (S_takes_char(s, ','));
  return S_source(s, head);
}

fb_status fb_aggregate_parse(fb_slice text, fb_aggregate_head *head, char why[200]) {
  S_scanner s = {.text = text, .why = why};
  *head = (fb_aggregate_head){0};
  why[0] = 0;
  if (text.len > 10000 || !S_word(&s).len || !S_takes_char(&s, '(')) return FB_DONE;
  s.at = 0;
  return S_head(&s, head) ? FB_OK : FB_E_RULE_AGGREGATE;
}

bool fb_aggregate_may_be_empty(fb_slice text) {
  fb_aggregate_head head;
  char why[200];
  if (fb_aggregate_parse(text, &head, why) != FB_OK || head.by_count ||
      fb_window_ends(&head.window))
    return false;
  for (uint32_t i = 0; i < head.fold_count; i++)
    if (!S_folds[head.folds[i].fold].empty) return false;
  return true;
}

static bool S_has(const fb_aggregate_part *parts, uint32_t count, fb_slice name) {
  for (uint32_t i = 0; i < count; i++)
    if (fb_slice_equal(parts[i].variable, name)) return true;
  return false;
}

bool fb_aggregate_binds(fb_slice text, fb_slice name) {
  fb_aggregate_head head;
  char why[200];
  return fb_aggregate_parse(text, &head, why) == FB_OK &&
         (S_has(head.folds, head.fold_count, name) || S_has(head.by, head.by_count, name) ||
          fb_slice_equal(head.window.variable, name));
}

bool fb_aggregate_repeats(const fb_aggregate_head *head) {
  fb_slice names[2 * FB_AGGREGATE_PARTS + 2];
  uint32_t count = 0;
  for (uint32_t i = 0; i < head->fold_count; i++) names[count++] = head->folds[i].variable;
  for (uint32_t i = 0; i < head->by_count; i++) names[count++] = head->by[i].variable;
  names[count++] = head->variable;
  names[count++] = head->window.variable;
  for (uint32_t i = 0; i < count; i++)
    for (uint32_t j = 0; j < i; j++)
      if (names[i].len && fb_slice_equal(names[i], names[j])) return true;
  return false;
}
