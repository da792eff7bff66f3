/* SPDX-License-Identifier: Apache-2.0 */
#include <flyball/base.h>

#include <stdio.h>
#include <stdlib.h>

static const fb_error_info S_catalogue[] = {
#define FB_ERROR_DEF(number, name, title, explanation) \
  {FB_E_##name, "FB_E_" #name, title, explanation},
#include <flyball/errors.def>
#undef FB_ERROR_DEF
};
enum { CATALOGUE_COUNT = sizeof S_catalogue / sizeof *S_catalogue };

const fb_error_info *fb_error_catalogue(size_t *ret_count) {
  *ret_count = CATALOGUE_COUNT;
  return S_catalogue;
}

const fb_error_info *fb_error_info_of(fb_status code) {
  for (size_t i = 0; i < CATALOGUE_COUNT; i++)
    if (S_catalogue[i].code == code) return &S_catalogue[i];
  return NULL;
}

/* Cuts a text that vsnprintf shortened back to whole UTF-8 characters. */
static void S_mend_tail(char *text, size_t size, int wanted) {
  if (wanted < 0) text[0] = 0;
  if (wanted < (int)size) return;
  size_t bad;
  if (!fb_utf8_valid(text, size - 1, &bad) && bad + 4 > size - 1) text[bad] = 0;
}

static void S_format(char *out, size_t size, const char *format, va_list args) FB_PRINTF(3, 0);
static void S_format(char *out, size_t size, const char *format, va_list args) {
  S_mend_tail(out, size, vsnprintf(out, size, format, args));
}

fb_status fb_fail(fb_error *err, fb_status code, const char *format, ...) {
  if (!err) return code;
  err->code = code;
  err->line = err->column = err->length = err->excerpt_column = 0;
  err->file[0] = err->hint[0] = err->excerpt[0] = 0;
  va_list args;
  va_start(args, format);
  S_format(err->text, sizeof err->text, format, args);
  va_end(args);
  return code;
}

void fb_error_hint(fb_error *err, const char *format, ...) {
  if (!err) return;
  va_list args;
  va_start(args, format);
  S_format(err->hint, sizeof err->hint, format, args);
  va_end(args);
}

void fb_error_prefix(fb_error *err, const char *format, ...) {
  if (!err) return;
  char was[sizeof err->text], prefix[sizeof err->text];
  memcpy(was, err->text, sizeof was);
  va_list args;
  va_start(args, format);
  S_format(prefix, sizeof prefix, format, args);
  va_end(args);
  S_mend_tail(err->text, sizeof err->text,
              snprintf(err->text, sizeof err->text, "%s: %s", prefix, was));
}

/* Copies one source line with control characters made visible as blanks, so that a terminal is safe
 * and the caret stands right. Long lines become a window around the column. */
static void S_take_excerpt(fb_error *err, fb_slice line, size_t at) {
  enum { WINDOW_BEFORE = 60 };
  size_t from = 0;
  if (line.len >= sizeof err->excerpt && at > WINDOW_BEFORE) {
    from = at - WINDOW_BEFORE;
    while (from < at && ((unsigned char)line.ptr[from] & 0xc0) == 0x80) from++;
  }
  size_t out = 0;
  uint32_t column = 1;
  for (size_t i = from; i < line.len;) {
    if (i <= at) err->excerpt_column = column;
    uint32_t rune;
    int n = fb_utf8_decode(line.ptr + i, line.len - i, &rune);
    bool plain = n > 0 && rune >= 0x20 && rune != 0x7f && !(rune >= 0x80 && rune < 0xa0);
    if (out + (plain ? (size_t)n : 1) >= sizeof err->excerpt) break;
    if (plain) {
      memcpy(err->excerpt + out, line.ptr + i, (size_t)n);
      out += (size_t)n;
    } else {
      err->excerpt[out++] = n ? ' ' : '?';
    }
    i += n ? (size_t)n : 1;
    column++;
  }
  if (at >= line.len) err->excerpt_column = column;
  err->excerpt[out] = 0;
}

void fb_error_locate(fb_error *err, const char *file, fb_slice text, size_t offset, size_t length) {
  if (!err) return;
  if (offset > text.len) offset = text.len;
  uint32_t line = 1;
  size_t start = 0;
  for (const char *nl;
       (nl = start < offset ? memchr(text.ptr + start, '\n', offset - start) : NULL);) {
    start = (size_t)(nl - text.ptr) + 1;
    line++;
  }
  const char *end = start < text.len ? memchr(text.ptr + start, '\n', text.len - start) : NULL;
  size_t stop = end ? (size_t)(end - text.ptr) : text.len;
  if (stop > start && text.ptr[stop - 1] == '\r') stop--;
  if (length > stop - (offset < stop ? offset : stop))
    length = stop - (offset < stop ? offset : stop);
  err->line = line;
  err->column = (uint32_t)fb_utf8_length(text.ptr + start, offset - start) + 1;
  err->length = length ? (uint32_t)fb_utf8_length(text.ptr + offset, length) : 0;
  if (file)
    S_mend_tail(err->file, sizeof err->file, snprintf(err->file, sizeof err->file, "%s", file));
  S_take_excerpt(err, (fb_slice){text.ptr + start, stop - start}, offset - start);
}

/* Edit distance with transpositions (optimal string alignment), bounded. */
static size_t S_distance(fb_slice a, fb_slice b, size_t bound) {
  enum { LONGEST = 48 };
  if (a.len > LONGEST || b.len > LONGEST) return bound + 1;
  size_t rows[3][LONGEST + 1];
  for (size_t j = 0; j <= b.len; j++) rows[0][j] = j;
  for (size_t i = 1; i <= a.len; i++) {
    size_t *row = rows[i % 3], *up = rows[(i + 2) % 3], *up2 = rows[(i + 1) % 3];
    row[0] = i;
    for (size_t j = 1; j <= b.len; j++) {
      size_t best = up[j - 1] + (a.ptr[i - 1] != b.ptr[j - 1]);
      if (up[j] + 1 < best) best = up[j] + 1;
      if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
      if (i > 1 && j > 1 && a.ptr[i - 1] == b.ptr[j - 2] && a.ptr[i - 2] == b.ptr[j - 1] &&
          up2[j - 2] + 1 < best)
        best = up2[j - 2] + 1;
      row[j] = best;
    }
  }
  return rows[a.len % 3][b.len];
}

const char *fb_nearest(fb_slice word, const char *const *names, size_t count) {
  size_t best = word.len <= 3 ? 1 : word.len <= 7 ? 2 : 3;
  const char *found = NULL;
  for (size_t i = 0; i < count; i++) {
    size_t d = S_distance(word, fb_slice_of(names[i]), best);
    if (d <= best && d < word.len && (!found || d < best)) {
      best = d;
      found = names[i];
    }
  }
  return found;
}

void fb_errors_init(fb_errors *errors, const fb_allocator *allocator, size_t max) {
  *errors = (fb_errors){.allocator = allocator, .max = max ? max : 100};
}

void fb_errors_release(fb_errors *errors) {
  if (!errors) return;
  fb_free(errors->allocator, errors->items, errors->cap * sizeof *errors->items);
  *errors = (fb_errors){0};
}

fb_status fb_errors_add(fb_errors *errors, const fb_error *err) {
  if (!errors) return err->code;
  void *items = errors->items;
  if (errors->count >= errors->max ||
      !fb_grow(errors->allocator, &items, &errors->cap, errors->count, sizeof *errors->items)) {
    errors->dropped++;
    return err->code;
  }
  errors->items = items;
  errors->items[errors->count++] = *err;
  return err->code;
}

static int S_compare_errors(const void *left, const void *right) {
  const fb_error *a = left, *b = right;
  int order = strcmp(a->file, b->file);
  if (order) return order;
  if (a->line != b->line) return a->line < b->line ? -1 : 1;
  if (a->column != b->column) return a->column < b->column ? -1 : 1;
  return strcmp(a->text, b->text);
}

void fb_errors_sort(fb_errors *errors) {
  if (errors && errors->count)
    qsort(errors->items, errors->count, sizeof *errors->items, S_compare_errors);
}

static const char *S_paint(bool colour, const char *sequence) {
  return colour ? sequence : "";
}

static void S_render_excerpt(const fb_error *err, bool colour, fb_buf *out) {
  const char *blue = S_paint(colour, "\033[1;34m"), *red = S_paint(colour, "\033[1;31m");
  const char *plain = S_paint(colour, "\033[0m");
  char number[16];
  int width = snprintf(number, sizeof number, "%u", err->line);
  fb_buf_printf(out, "%s%*s |%s\n", blue, width, "", plain);
  fb_buf_printf(out, "%s%s |%s %s\n", blue, number, plain, err->excerpt);
  fb_buf_printf(out, "%s%*s |%s %s", blue, width, "", plain, red);
  fb_buf_repeat(out, ' ', err->excerpt_column ? err->excerpt_column - 1 : 0);
  uint32_t room = (uint32_t)fb_utf8_length(err->excerpt, strlen(err->excerpt)) + 1;
  uint32_t length = err->length ? err->length : 1;
  if (err->excerpt_column + length > room)
    length = room > err->excerpt_column ? room - err->excerpt_column : 1;
  fb_buf_repeat(out, '^', length);
  fb_buf_printf(out, "%s\n", plain);
}

void fb_error_render(const fb_error *err, bool colour, fb_buf *out) {
  const char *bold = S_paint(colour, "\033[1m"), *red = S_paint(colour, "\033[1;31m");
  const char *blue = S_paint(colour, "\033[1;34m"), *plain = S_paint(colour, "\033[0m");
  fb_buf_printf(out, "%serror[FB%04d]%s%s: %s%s\n", red, (int)err->code, plain, bold, err->text,
                plain);
  if (err->file[0] && err->line)
    fb_buf_printf(out, "%s  -->%s %s:%u:%u\n", blue, plain, err->file, err->line, err->column);
  else if (err->file[0])
    fb_buf_printf(out, "%s  -->%s %s\n", blue, plain, err->file);
  if (err->line && err->excerpt[0]) S_render_excerpt(err, colour, out);
  if (err->hint[0]) fb_buf_printf(out, "%s  = hint:%s %s\n", blue, plain, err->hint);
}

void fb_errors_render(const fb_errors *errors, bool colour, fb_buf *out) {
  for (size_t i = 0; i < errors->count; i++) fb_error_render(&errors->items[i], colour, out);
  if (errors->dropped) fb_buf_printf(out, "… and %zu more errors\n", errors->dropped);
}
