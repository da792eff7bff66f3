/* SPDX-License-Identifier: Apache-2.0
 * Who may do what: bearer tokens, known by their digests. */
#include "server/server.h"

#include <stdlib.h>
#include <strings.h>

struct fb_token {
  fb_role role;
  char name[64];
  uint8_t digest[FB_DIGEST_SIZE];
};

static fb_slice S_word(fb_slice *line) {
  size_t at = 0, from;
  while (at < line->len && (line->ptr[at] == ' ' || line->ptr[at] == '\t')) at++;
  for (from = at; at < line->len && line->ptr[at] != ' ' && line->ptr[at] != '\t';) at++;
  fb_slice word = {line->ptr + from, at - from};
  *line = (fb_slice){line->ptr + at, line->len - at};
  return word;
}

static fb_role S_role(fb_slice word) {
  if (fb_slice_equal(word, FB_SLICE("viewer"))) return FB_ROLE_VIEWER;
  if (fb_slice_equal(word, FB_SLICE("operator"))) return FB_ROLE_OPERATOR;
  if (fb_slice_equal(word, FB_SLICE("admin"))) return FB_ROLE_ADMIN;
  return FB_ROLE_NONE;
}

static fb_status S_line(fb_slice line, unsigned number, fb_tokens *tokens, size_t *cap,
                        fb_error *err) {
  fb_token token = {0};
  fb_slice role = S_word(&line);
  if (!role.len || role.ptr[0] == '#') return FB_OK;
  fb_slice name = S_word(&line), digest = S_word(&line), rest = S_word(&line);
  token.role = S_role(role);
  if (!token.role || !name.len || name.len >= sizeof token.name ||
      (rest.len && rest.ptr[0] != '#') || digest.len != 2 * FB_DIGEST_SIZE ||
      !fb_unhex(digest, token.digest, FB_DIGEST_SIZE)) {
    fb_fail(err, FB_E_SERVER_OPTION, "line %u of the tokens is not one", number);
    fb_error_hint(err, "viewer, operator or admin; a name; `printf %%s TOKEN | sha256sum`");
    return FB_E_SERVER_OPTION;
  }
  memcpy(token.name, name.ptr, name.len);
  if (!fb_grow(NULL, (void **)&tokens->items, cap, tokens->count, sizeof token))
    return fb_fail(err, FB_E_NOMEM, "out of memory");
  tokens->items[tokens->count++] = token;
  return FB_OK;
}

fb_status fb_tokens_read(fb_slice text, fb_tokens *tokens, fb_error *err) {
  size_t cap = 0;
  *tokens = (fb_tokens){0};
  for (unsigned number = 1; text.len; number++) {
    const char *end = memchr(text.ptr, '\n', text.len);
    size_t length = end ? (size_t)(end - text.ptr) : text.len;
    fb_slice line = {text.ptr, length};
    if (line.len && line.ptr[line.len - 1] == '\r') line.len--;
    fb_status status = S_line(line, number, tokens, &cap, err);
    if (status != FB_OK) {
      fb_tokens_release(tokens);
      return status;
    }
    text = (fb_slice){text.ptr + length + (end != NULL), text.len - length - (end != NULL)};
  }
  return FB_OK;
}

void fb_tokens_release(fb_tokens *tokens) {
  free(tokens->items);
  *tokens = (fb_tokens){0};
}

/* In the same time whatever differs. */
static bool S_same(const uint8_t *a, const uint8_t *b) {
  unsigned different = 0;
  for (size_t i = 0; i < FB_DIGEST_SIZE; i++) different |= a[i] ^ b[i];
  return !different;
}

fb_role fb_tokens_role(const fb_tokens *tokens, const char *header, fb_slice *ret_name) {
  uint8_t digest[FB_DIGEST_SIZE];
  fb_role role = FB_ROLE_NONE;
  if (!tokens->count) return FB_ROLE_ADMIN;
  if (!header || strncasecmp(header, "Bearer ", 7) != 0) return FB_ROLE_NONE;
  fb_digest(fb_slice_of(header + 7), digest);
  for (size_t i = 0; i < tokens->count; i++) {
    if (!S_same(digest, tokens->items[i].digest)) continue;
    role = tokens->items[i].role;
    *ret_name = fb_slice_of(tokens->items[i].name);
  }
  return role;
}
