/* SPDX-License-Identifier: Apache-2.0
 * Slices, UTF-8 and the growing buffer. */
#include <flyball/base.h>

#include <stdio.h>

int fb_slice_compare(fb_slice a, fb_slice b) {
  size_t common = a.len < b.len ? a.len : b.len;
  int order = common ? memcmp(a.ptr, b.ptr, common) : 0;
  if (order) return order;
  return (a.len > b.len) - (a.len < b.len);
}

bool fb_slice_starts(fb_slice text, fb_slice prefix) {
  return text.len >= prefix.len &&
         (prefix.len == 0 || memcmp(text.ptr, prefix.ptr, prefix.len) == 0);
}

int fb_utf8_decode(const char *text, size_t len, uint32_t *ret_rune) {
  const unsigned char *s = (const unsigned char *)text;
  if (len == 0) return 0;
  if (s[0] < 0x80) {
    *ret_rune = s[0];
    return 1;
  }
  int need = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
  if (s[0] < 0xc2 || s[0] > 0xf4 || len < (size_t)need) return 0;
  uint32_t rune = s[0] & (0xffu >> (need + 1));
  for (int i = 1; i < need; i++) {
    if ((s[i] & 0xc0) != 0x80) return 0;
    rune = rune << 6 | (s[i] & 0x3f);
  }
  static const uint32_t smallest[5] = {0, 0, 0x80, 0x800, 0x10000};
  if (rune < smallest[need] || rune > 0x10ffff || (rune >= 0xd800 && rune <= 0xdfff)) return 0;
  *ret_rune = rune;
  return need;
}

int fb_utf8_encode(uint32_t rune, char out[4]) {
  if (rune < 0x80) {
    out[0] = (char)rune;
    return 1;
  }
  if (rune < 0x800) {
    out[0] = (char)(0xc0 | rune >> 6);
    out[1] = (char)(0x80 | (rune & 0x3f));
    return 2;
  }
  if (rune >= 0xd800 && rune <= 0xdfff) return 0;
  if (rune < 0x10000) {
    out[0] = (char)(0xe0 | rune >> 12);
    out[1] = (char)(0x80 | (rune >> 6 & 0x3f));
    out[2] = (char)(0x80 | (rune & 0x3f));
    return 3;
  }
  if (rune > 0x10ffff) return 0;
  out[0] = (char)(0xf0 | rune >> 18);
  out[1] = (char)(0x80 | (rune >> 12 & 0x3f));
  out[2] = (char)(0x80 | (rune >> 6 & 0x3f));
  out[3] = (char)(0x80 | (rune & 0x3f));
  return 4;
}

bool fb_utf8_valid(const char *text, size_t len, size_t *ret_offset) {
  size_t at = 0;
  while (at < len) {
    uint64_t eight; /* most text is ASCII: take it eight bytes at a time */
    while (len - at >= 8 &&
           (memcpy(&eight, text + at, 8), (eight & UINT64_C(0x8080808080808080)) == 0))
      at += 8;
    if (at == len) break;
    uint32_t rune;
    int n = fb_utf8_decode(text + at, len - at, &rune);
    if (n == 0) {
      if (ret_offset) *ret_offset = at;
      return false;
    }
    at += (size_t)n;
  }
  return true;
}

size_t fb_utf8_length(const char *text, size_t len) {
  size_t count = 0;
  for (size_t at = 0; at < len; count++) {
    uint32_t rune;
    uint64_t eight;
    while (len - at >= 8 &&
           (memcpy(&eight, text + at, 8), (eight & UINT64_C(0x8080808080808080)) == 0)) {
      at += 8;
      count += 8;
    }
    if (at == len) break;
    int n = fb_utf8_decode(text + at, len - at, &rune);
    at += n ? (size_t)n : 1;
  }
  return count;
}

void fb_buf_init(fb_buf *buf, const fb_allocator *allocator, size_t max) {
  *buf = (fb_buf){.allocator = allocator ? allocator : fb_allocator_system(),
                  .max = max ? max : SIZE_MAX / 2};
}

void fb_buf_release(fb_buf *buf) {
  if (!buf) return;
  fb_free(buf->allocator, buf->ptr, buf->cap);
  *buf = (fb_buf){0};
}

void fb_buf_clear(fb_buf *buf) {
  buf->len = 0;
  buf->failed = false;
  if (buf->ptr) buf->ptr[0] = 0;
}

bool fb_buf_reserve(fb_buf *buf, size_t more) {
  if (buf->failed) return false;
  if (more > buf->max - buf->len) {
    buf->failed = true;
    return false;
  }
  if (buf->cap - buf->len > more) return true;
  size_t wanted = buf->cap ? buf->cap : 64;
  while (wanted - buf->len <= more)
    wanted = wanted > SIZE_MAX / 4 ? buf->len + more + 1 : wanted * 2;
  char *moved = fb_resize(buf->allocator, buf->ptr, buf->cap, wanted);
  if (!moved) {
    buf->failed = true;
    return false;
  }
  buf->ptr = moved;
  buf->cap = wanted;
  return true;
}

void fb_buf_add(fb_buf *buf, const void *bytes, size_t len) {
  if (!fb_buf_reserve(buf, len)) return;
  if (len) memcpy(buf->ptr + buf->len, bytes, len);
  buf->len += len;
  buf->ptr[buf->len] = 0;
}

void fb_buf_text(fb_buf *buf, const char *text) {
  fb_buf_add(buf, text, strlen(text));
}

void fb_buf_char(fb_buf *buf, char c) {
  fb_buf_add(buf, &c, 1);
}

void fb_buf_repeat(fb_buf *buf, char c, size_t count) {
  if (!fb_buf_reserve(buf, count)) return;
  memset(buf->ptr + buf->len, c, count);
  buf->len += count;
  buf->ptr[buf->len] = 0;
}

void fb_buf_vprintf(fb_buf *buf, const char *format, va_list args) {
  va_list again;
  va_copy(again, args);
  int len = vsnprintf(NULL, 0, format, args);
  if (len >= 0 && fb_buf_reserve(buf, (size_t)len)) {
    vsnprintf(buf->ptr + buf->len, (size_t)len + 1, format, again);
    buf->len += (size_t)len;
  }
  va_end(again);
}

void fb_buf_printf(fb_buf *buf, const char *format, ...) {
  va_list args;
  va_start(args, format);
  fb_buf_vprintf(buf, format, args);
  va_end(args);
}
