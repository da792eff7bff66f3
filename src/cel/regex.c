/* SPDX-License-Identifier: Apache-2.0
 * Compiled patterns and metered matches. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "cel/regex.h"

#include <pcre2.h>

enum {
  SETS = 16,
  WAYS = 4,             /* patterns kept compiled: 64, the least recently used of a set goes */
  MAX_PATTERN = 8192,   /* bytes */
  SHORT = 128,          /* bytes of subject matched without counting each item */
  JIT_FROM = 4,         /* code used so often is worth machine code */
  WORK_A_STEP = 64,     /* calls of PCRE2's matcher that one step pays */
  COMPILE_A_BYTE = 4,   /* steps to compile a byte of pattern … */
  JIT_A_BYTE = 16,      /* … and to make machine code of it */
  FOLD_A_RANGE = 70000, /* steps to fold the case of a range, up to 1.1 million characters */
  HEAP_KIB = 32 * 1024, /* backtracking memory of one match */
  JIT_STACK = 512 * 1024
};

struct fb_regex {
  pcre2_code *code;    /* for short subjects */
  pcre2_code *counted; /* with callouts before each item, for long ones; made when needed */
  uint64_t hash, used;
  uint32_t groups, hits, counted_hits;
  size_t len; /* of the pattern, which follows */
  char pattern[];
};

struct fb_regex_cache {
  const fb_allocator *allocator;
  pcre2_general_context *general;
  pcre2_compile_context *compile;
  pcre2_match_context *match;
  pcre2_match_data *data;
  pcre2_jit_stack *stack; /* made with the first machine code */
  fb_buf translated;
  uint64_t clock;
  fb_regex *entries[SETS * WAYS];
};

/* PCRE2 frees without telling the size: it stands before the block. */
enum { HEAD = 16 };

static void *S_malloc(size_t size, void *allocator) {
  char *block = fb_alloc(allocator, size + HEAD);
  if (!block) return NULL;
  memcpy(block, &size, sizeof size);
  return block + HEAD;
}

static void S_free(void *ptr, void *allocator) {
  if (!ptr) return;
  char *block = (char *)ptr - HEAD;
  size_t size;
  memcpy(&size, block, sizeof size);
  fb_free(allocator, block, size + HEAD);
}

static void S_free_entry(struct fb_regex_cache *cache, fb_regex *regex) {
  if (!regex) return;
  pcre2_code_free(regex->code);
  pcre2_code_free(regex->counted);
  fb_free(cache->allocator, regex, sizeof *regex + regex->len);
}

void fb_regex_cache_free(struct fb_regex_cache *cache) {
  if (!cache) return;
  for (size_t i = 0; i < SETS * WAYS; i++) S_free_entry(cache, cache->entries[i]);
  fb_buf_release(&cache->translated);
  pcre2_match_data_free(cache->data);
  pcre2_jit_stack_free(cache->stack);
  pcre2_match_context_free(cache->match);
  pcre2_compile_context_free(cache->compile);
  pcre2_general_context_free(cache->general);
  fb_free(cache->allocator, cache, sizeof *cache);
}

static struct fb_regex_cache *S_new_cache(const fb_allocator *allocator) {
  if (!allocator) allocator = fb_allocator_system();
  struct fb_regex_cache *cache = fb_alloc_zero(allocator, sizeof *cache);
  if (!cache) return NULL;
  cache->allocator = allocator;
  fb_buf_init(&cache->translated, allocator, MAX_PATTERN * 16);
  cache->general = pcre2_general_context_create(S_malloc, S_free, (void *)(uintptr_t)allocator);
  if (cache->general) {
    cache->compile = pcre2_compile_context_create(cache->general);
    cache->match = pcre2_match_context_create(cache->general);
    cache->data = pcre2_match_data_create(FB_REGEX_GROUPS, cache->general);
  }
  if (!cache->compile || !cache->match || !cache->data) {
    fb_regex_cache_free(cache);
    return NULL;
  }
  pcre2_set_newline(cache->compile, PCRE2_NEWLINE_LF);
  pcre2_set_heap_limit(cache->match, HEAP_KIB);
  return cache;
}

/* ── Compile ─────────────────────────────────────────────────────────────────────────────────── */

static fb_value S_bad_pattern(fb_cel_context *context, fb_slice pattern, const char *why,
                              size_t at) {
  return fb_cel_fail(
      context, FB_E_CEL_VALUE, "invalid regular expression '%.*s'%s: %s at offset %zu",
      pattern.len < 80 ? (int)pattern.len : 80, pattern.ptr, pattern.len < 80 ? "" : "…", why, at);
}

/* Translates into cache->translated and pays for compiling that. */
static bool S_translate(fb_cel_context *context, fb_slice pattern, fb_value *ret_failure) {
  fb_buf *out = &context->regexes->translated;
  fb_regex_syntax syntax;
  fb_buf_clear(out);
  if (pattern.len > MAX_PATTERN) {
    *ret_failure = S_bad_pattern(context, pattern, "longer than 8192 bytes", MAX_PATTERN);
  } else if (!fb_regex_translate(pattern, out, &syntax)) {
    *ret_failure = S_bad_pattern(context, pattern, syntax.error, syntax.at);
  } else if (out->failed) {
    *ret_failure = fb_cel_fail(context, FB_E_NOMEM, "out of memory");
  } else if (!fb_cel_spend(context, 64 + pattern.len * COMPILE_A_BYTE +
                                        (syntax.folds ? syntax.ranges * FOLD_A_RANGE : 0))) {
    *ret_failure = fb_cel_over_budget(context);
  } else {
    return true;
  }
  return false;
}

static pcre2_code *S_compile(fb_cel_context *context, fb_slice pattern, uint32_t options,
                             fb_value *ret_failure) {
  struct fb_regex_cache *cache = context->regexes;
  size_t at;
  if (!S_translate(context, pattern, ret_failure)) return NULL;
  int error;
  fb_slice translated = fb_buf_slice(&cache->translated);
  pcre2_code *code =
      pcre2_compile((PCRE2_SPTR)translated.ptr, translated.len,
                    options | PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_ALT_CIRCUMFLEX |
                        PCRE2_NEVER_BACKSLASH_C | PCRE2_NEVER_UCP,
                    &error, &at, cache->compile);
  if (code) return code;
  char text[128] = "?";
  pcre2_get_error_message(error, (PCRE2_UCHAR *)text, sizeof text);
  *ret_failure = error == PCRE2_ERROR_NOMEMORY || error == 121 /* no memory while compiling */
                     ? fb_cel_fail(context, FB_E_NOMEM, "out of memory")
                     : S_bad_pattern(context, pattern, text, at);
  return NULL;
}

static fb_regex *S_new_entry(fb_cel_context *context, fb_slice pattern, uint64_t hash,
                             fb_value *ret_failure) {
  struct fb_regex_cache *cache = context->regexes;
  pcre2_code *code = S_compile(context, pattern, 0, ret_failure);
  if (!code) return NULL;
  fb_regex *regex = fb_alloc(cache->allocator, sizeof *regex + pattern.len);
  if (!regex) {
    pcre2_code_free(code);
    *ret_failure = fb_cel_fail(context, FB_E_NOMEM, "out of memory");
    return NULL;
  }
  *regex = (fb_regex){.code = code, .hash = hash, .len = pattern.len};
  if (pattern.len) memcpy(regex->pattern, pattern.ptr, pattern.len);
  pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &regex->groups);
  return regex;
}

fb_regex *fb_regex_get(fb_cel_context *context, fb_slice pattern, fb_value *ret_failure) {
  if (!context->regexes && !(context->regexes = S_new_cache(context->arena->allocator))) {
    *ret_failure = fb_cel_fail(context, FB_E_NOMEM, "out of memory");
    return NULL;
  }
  struct fb_regex_cache *cache = context->regexes;
  uint64_t hash = fb_hash_bytes(pattern.ptr, pattern.len, (uintptr_t)cache);
  fb_regex **set = &cache->entries[hash % SETS * WAYS], **oldest = set;
  for (fb_regex **way = set; way < set + WAYS; way++) {
    if (*way && (*way)->hash == hash &&
        fb_slice_equal((fb_slice){(*way)->pattern, (*way)->len}, pattern)) {
      (*way)->used = ++cache->clock;
      return *way;
    }
    if (*oldest && (!*way || (*way)->used < (*oldest)->used)) oldest = way;
  }
  fb_regex *regex = S_new_entry(context, pattern, hash, ret_failure);
  if (!regex) return NULL;
  S_free_entry(cache, *oldest);
  *oldest = regex;
  regex->used = ++cache->clock;
  return regex;
}

uint32_t fb_regex_groups(const fb_regex *regex) {
  return regex->groups;
}

/* ── Match ───────────────────────────────────────────────────────────────────────────────────── */

static fb_value S_too_costly(fb_cel_context *context) {
  return fb_cel_fail(context, FB_E_CEL_BUDGET,
                     "regex too costly: the match would take more steps than are left");
}

/* Machine code, where there is room and budget for it: without, it is interpreted. */
static void S_translate_to_machine(fb_cel_context *context, const fb_regex *regex,
                                   pcre2_code *code) {
  struct fb_regex_cache *cache = context->regexes;
  uint64_t price = regex->len * JIT_A_BYTE;
  if (!cache->stack) {
    cache->stack = pcre2_jit_stack_create(32 * 1024, JIT_STACK, cache->general);
    if (!cache->stack) return;
    pcre2_jit_stack_assign(cache->match, NULL, cache->stack);
  }
  if (context->steps / 2 < price) return;
  context->steps -= price;
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
}

/* What scanning `len` bytes costs; the square is for scanning to the end from each position. */
static uint64_t S_price(uint64_t len) {
  return 4 + len / 16 + len * len / 256;
}

/* A short subject: PCRE2's own limit counts. It is raised eightfold as long as that is paid for, so the
 * work is never much more than the price. What was not gone over is paid back. */
static int S_match_short(fb_cel_context *context, fb_regex *regex, fb_slice subject, size_t start,
                         uint32_t options, fb_value *ret_failure) {
  struct fb_regex_cache *cache = context->regexes;
  uint64_t rest = subject.len - start, limit = 1024 + 4 * rest, price = S_price(rest);
  if (++regex->hits == JIT_FROM) S_translate_to_machine(context, regex, regex->code);
  for (;; price = limit / WORK_A_STEP) {
    if (!fb_cel_spend(context, price)) {
      *ret_failure = S_too_costly(context);
      return PCRE2_ERROR_MATCHLIMIT;
    }
    pcre2_set_match_limit(cache->match, (uint32_t)limit);
    int rc = pcre2_match(regex->code, (PCRE2_SPTR)subject.ptr, subject.len, start, options,
                         cache->data, cache->match);
    if (rc >= 0)
      context->steps += S_price(rest) - S_price(pcre2_get_ovector_pointer(cache->data)[1] - start);
    if (rc != PCRE2_ERROR_MATCHLIMIT || limit > UINT32_MAX / 8) return rc;
    limit *= 8;
  }
}

/* What a counted match has done: items tried, and bytes gone over between them. */
typedef struct S_meter {
  uint64_t work, limit;
  size_t last;
} S_meter;

static int S_count_item(pcre2_callout_block *block, void *context) {
  S_meter *meter = context;
  size_t at = block->current_position;
  meter->work += 4 + (at > meter->last ? at - meter->last : meter->last - at) / 4;
  meter->last = at;
  return meter->work > meter->limit ? PCRE2_ERROR_CALLOUT : 0;
}

static int S_match_long(fb_cel_context *context, fb_regex *regex, fb_slice subject, size_t start,
                        uint32_t options, fb_value *ret_failure) {
  struct fb_regex_cache *cache = context->regexes;
  if (!regex->counted) {
    regex->counted =
        S_compile(context, (fb_slice){regex->pattern, regex->len}, PCRE2_AUTO_CALLOUT, ret_failure);
    if (!regex->counted) return PCRE2_ERROR_MATCHLIMIT;
  }
  if (++regex->counted_hits == JIT_FROM) S_translate_to_machine(context, regex, regex->counted);
  S_meter meter = {.limit = context->steps < UINT64_MAX / WORK_A_STEP ? context->steps * WORK_A_STEP
                                                                      : UINT64_MAX,
                   .last = start};
  pcre2_set_match_limit(cache->match, UINT32_MAX);
  pcre2_set_callout(cache->match, S_count_item, &meter);
  int rc = pcre2_match(regex->counted, (PCRE2_SPTR)subject.ptr, subject.len, start, options,
                       cache->data, cache->match);
  pcre2_set_callout(cache->match, NULL, NULL);
  size_t end = rc >= 0 ? pcre2_get_ovector_pointer(cache->data)[1] : subject.len;
  /* If that was more than there is, the next to spend finds nothing left. */
  (void)fb_cel_spend(context, 4 + (end - start) / WORK_A_STEP + meter.work / WORK_A_STEP);
  return rc;
}

static int S_result(fb_cel_context *context, int rc, size_t *ends, fb_value *ret_failure) {
  switch (rc) {
    case PCRE2_ERROR_NOMATCH: return 0;
    case PCRE2_ERROR_CALLOUT:
    case PCRE2_ERROR_MATCHLIMIT:
    case PCRE2_ERROR_DEPTHLIMIT:
    case PCRE2_ERROR_HEAPLIMIT:
    case PCRE2_ERROR_JIT_STACKLIMIT:
      if (ret_failure->kind != FB_ERROR) *ret_failure = S_too_costly(context);
      return -1;
    case PCRE2_ERROR_NOMEMORY:
      *ret_failure = fb_cel_fail(context, FB_E_NOMEM, "out of memory");
      return -1;
    default: break;
  }
  if (rc < 0) {
    *ret_failure = fb_cel_fail(context, FB_E_CEL_VALUE, "the text to match is not valid UTF-8");
    return -1;
  }
  size_t pairs = rc == 0 ? FB_REGEX_GROUPS : (size_t)rc;
  const PCRE2_SIZE *found = pcre2_get_ovector_pointer(context->regexes->data);
  for (size_t i = 0; i < 2 * FB_REGEX_GROUPS; i++) ends[i] = i < 2 * pairs ? found[i] : SIZE_MAX;
  return 1;
}

int fb_regex_match(fb_cel_context *context, fb_regex *regex, fb_slice subject, size_t start,
                   size_t ends[2 * FB_REGEX_GROUPS], fb_value *ret_failure) {
  uint32_t options = start ? PCRE2_NO_UTF_CHECK : 0;
  ret_failure->kind = FB_NULL;
  if (!subject.ptr) subject.ptr = "";
  int rc = subject.len <= SHORT
               ? S_match_short(context, regex, subject, start, options, ret_failure)
               : S_match_long(context, regex, subject, start, options, ret_failure);
  return S_result(context, rc, ends, ret_failure);
}
