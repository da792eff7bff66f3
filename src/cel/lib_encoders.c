/* SPDX-License-Identifier: Apache-2.0
 * base64 (RFC 4648). */
#include "cel/lib.h"

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

FB_LIB_FUNCTION(fb_lib_base64_encode) {
  fb_slice from = fb_value_text(args[0]);
  fb_value failure;
  size_t len = (from.len + 2) / 3 * 4;
  char *out = fb_lib_text(context, len, &failure), *at = out;
  if (!out) return failure;
  for (size_t i = 0; i < from.len; i += 3) {
    size_t have = from.len - i < 3 ? from.len - i : 3;
    uint32_t bits = (uint32_t)(unsigned char)from.ptr[i] << 16;
    if (have > 1) bits |= (uint32_t)(unsigned char)from.ptr[i + 1] << 8;
    if (have > 2) bits |= (uint32_t)(unsigned char)from.ptr[i + 2];
    for (size_t k = 0; k < 4; k++) *at++ = k <= have ? ALPHABET[bits >> (18 - 6 * k) & 63] : '=';
  }
  return fb_string((fb_slice){out, len});
}

/* What a letter stands for; 64: none. */
static uint32_t S_six_bits(char c) {
  if (c >= 'A' && c <= 'Z') return (uint32_t)(c - 'A');
  if (c >= 'a' && c <= 'z') return (uint32_t)(c - 'a' + 26);
  if (c >= '0' && c <= '9') return (uint32_t)(c - '0' + 52);
  return c == '+' ? 62 : c == '/' ? 63 : 64;
}

/* With padding or without; nothing else may be there. */
FB_LIB_FUNCTION(fb_lib_base64_decode) {
  fb_slice from = fb_value_text(args[0]);
  fb_value failure;
  if (from.len && from.len % 4 == 0 && from.ptr[from.len - 1] == '=')
    from.len -= 1 + (from.ptr[from.len - 2] == '=');
  size_t len = from.len / 4 * 3 + (from.len % 4 ? from.len % 4 - 1 : 0), at = 0;
  char *out = fb_lib_text(context, len, &failure);
  if (!out) return failure;
  uint32_t bits = 0;
  for (size_t i = 0; i < from.len; i++) {
    uint32_t six = S_six_bits(from.ptr[i]);
    if (six == 64)
      return fb_cel_fail(context, FB_E_CEL_VALUE, "illegal base64 data at input byte %zu", i);
    bits = bits << 6 | six;
    if (i % 4 && at < len) out[at++] = (char)(bits >> (6 - 2 * (i % 4)));
  }
  if (from.len % 4 == 1)
    return fb_cel_fail(context, FB_E_CEL_VALUE, "illegal base64 data at input byte %zu", from.len);
  return fb_bytes((fb_slice){out, len});
}
