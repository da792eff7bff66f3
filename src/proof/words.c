/* SPDX-License-Identifier: Apache-2.0
 * Splits a command into words as a shell does, and tells when only a shell would understand it. */
#include "proof/words.h"

typedef struct S_split {
  fb_arena *arena;
  const char *at;
  fb_buf word;
  bool in_word;
  bool needs_shell;
  bool open_quote;
  const char **words;
  size_t count, cap;
} S_split;

static void S_char(S_split *split, char c) {
  fb_buf_char(&split->word, c);
  split->in_word = true;
}

static bool S_end_word(S_split *split) {
  if (!split->in_word) return true;
  if (!fb_grow(split->word.allocator, (void **)&split->words, &split->cap, split->count,
               sizeof *split->words))
    return false;
  const char *word =
      split->word.failed ? NULL : fb_arena_text(split->arena, fb_buf_slice(&split->word));
  if (!word) return false;
  split->words[split->count++] = word;
  fb_buf_clear(&split->word);
  split->in_word = false;
  return true;
}

/* After the opening quote; to behind the closing one. */
static void S_single(S_split *split) {
  split->in_word = true;
  while (*split->at && *split->at != '\'') S_char(split, *split->at++);
  split->open_quote = !*split->at;
  if (*split->at) split->at++;
}

static void S_double(S_split *split) {
  split->in_word = true;
  while (*split->at && *split->at != '"') {
    if (*split->at == '$' || *split->at == '`') split->needs_shell = true;
    if (*split->at == '\\' && split->at[1] && strchr("\"\\$`", split->at[1])) split->at++;
    S_char(split, *split->at++);
  }
  split->open_quote = !*split->at;
  if (*split->at) split->at++;
}

/* Outside quotes. */
static bool S_special(const S_split *split, char c) {
  if (strchr("|&;<>()$`*?[\n", c)) return true;
  if (c == '=') return split->count == 0; /* an assignment before the command */
  return !split->in_word && strchr("#~!", c);
}

static bool S_step(S_split *split) {
  char c = *split->at++;
  if (c == ' ' || c == '\t') return S_end_word(split);
  if (c == '\'') {
    S_single(split);
  } else if (c == '"') {
    S_double(split);
  } else if (c == '\\' && *split->at) {
    S_char(split, *split->at++);
  } else {
    if (S_special(split, c)) split->needs_shell = true;
    S_char(split, c);
  }
  return true;
}

static fb_status S_finish(S_split *split, fb_words *ret, const char *text, fb_error *err) {
  if (split->open_quote) {
    fb_fail(err, FB_E_BENCH_COMMAND, "a quote is not closed in: %s", text);
    return FB_E_BENCH_COMMAND;
  }
  if (split->count == 0 && !split->needs_shell)
    return fb_fail(err, FB_E_BENCH_COMMAND, "a command is empty");
  const char **words = fb_arena_alloc(split->arena, (split->count + 1) * sizeof *words);
  if (!words) return fb_fail(err, FB_E_NOMEM, "out of memory");
  if (split->count) memcpy(words, split->words, split->count * sizeof *words);
  words[split->count] = NULL;
  *ret = (fb_words){words, split->count, split->needs_shell};
  return FB_OK;
}

fb_status fb_words_split(const char *text, fb_arena *arena, fb_words *ret, fb_error *err) {
  S_split split = {.arena = arena, .at = text};
  bool memory = true;
  fb_buf_init(&split.word, arena->allocator, 0);
  while (*split.at && !split.open_quote && memory) memory = S_step(&split);
  if (memory) memory = split.open_quote || S_end_word(&split);
  fb_status status =
      memory ? S_finish(&split, ret, text, err) : fb_fail(err, FB_E_NOMEM, "out of memory");
  fb_free(split.word.allocator, split.words, split.cap * sizeof *split.words);
  fb_buf_release(&split.word);
  return status;
}
