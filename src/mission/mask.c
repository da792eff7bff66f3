/* SPDX-License-Identifier: Apache-2.0
 *
 * Aho-Corasick. A node is a beginning of a secret; its depth is how many of the last bytes may still become one, so
 * that is what a masker holds back.
 */
#include "mission/mask.h"

#include <stdio.h>

static const char S_hidden[] = "***";

typedef struct S_node {
  uint32_t child, sibling; /* 0: none */
  uint32_t fail;           /* the longest other node that the bytes so far end with */
  uint32_t depth;
  uint32_t found; /* bytes of the longest secret that ends here; 0: none */
  uint8_t byte;
} S_node;

struct fb_mask {
  const fb_allocator *allocator;
  S_node *nodes; /* 0: the root */
  size_t count, cap;
  uint32_t first[256]; /* children of the root */
};

/* ── Making ──────────────────────────────────────────────────────────────────────────────────── */

static uint32_t S_child(const fb_mask *mask, uint32_t node, uint8_t byte) {
  if (node == 0) return mask->first[byte];
  uint32_t child = mask->nodes[node].child;
  while (child && mask->nodes[child].byte != byte) child = mask->nodes[child].sibling;
  return child;
}

static uint32_t S_grow(fb_mask *mask, uint32_t node, uint8_t byte) {
  void *nodes = mask->nodes;
  if (!fb_grow(mask->allocator, &nodes, &mask->cap, mask->count, sizeof *mask->nodes)) return 0;
  mask->nodes = nodes;
  uint32_t child = (uint32_t)mask->count++;
  mask->nodes[child] = (S_node){
      .byte = byte, .depth = mask->nodes[node].depth + 1, .sibling = mask->nodes[node].child};
  mask->nodes[node].child = child;
  if (node == 0) mask->first[byte] = child;
  return child;
}

fb_status fb_mask_new(const fb_allocator *allocator, fb_mask **ret_mask) {
  if (!allocator) allocator = fb_allocator_system();
  fb_mask *mask = fb_alloc_zero(allocator, sizeof *mask);
  if (!mask) return FB_E_NOMEM;
  mask->allocator = allocator;
  void *nodes = NULL;
  if (!fb_grow(allocator, &nodes, &mask->cap, 0, sizeof *mask->nodes)) {
    fb_free(allocator, mask, sizeof *mask);
    return FB_E_NOMEM;
  }
  mask->nodes = nodes;
  mask->nodes[0] = (S_node){0};
  mask->count = 1;
  *ret_mask = mask;
  return FB_OK;
}

void fb_mask_free(fb_mask *mask) {
  if (!mask) return;
  explicit_bzero(mask->nodes, mask->count * sizeof *mask->nodes);
  fb_free(mask->allocator, mask->nodes, mask->cap * sizeof *mask->nodes);
  fb_free(mask->allocator, mask, sizeof *mask);
}

static bool S_add(fb_mask *mask, fb_slice text) {
  uint32_t node = 0;
  if (text.len < FB_MASK_LEAST) return true;
  for (size_t i = 0; i < text.len; i++) {
    uint8_t byte = (uint8_t)text.ptr[i];
    uint32_t child = S_child(mask, node, byte);
    if (!child) child = S_grow(mask, node, byte);
    if (!child) return false;
    node = child;
  }
  mask->nodes[node].found = mask->nodes[node].depth;
  return true;
}

static bool S_add_buf(fb_mask *mask, fb_buf *buf) {
  bool good = !buf->failed && S_add(mask, fb_buf_slice(buf));
  if (buf->ptr) explicit_bzero(buf->ptr, buf->len);
  fb_buf_clear(buf);
  return good;
}

/* ── Encodings ───────────────────────────────────────────────────────────────────────────────── */

/* As it stands in the base64 of a text in which `before` bytes (of every three) come before it: the characters that
 * are made of its own bits alone. */
static bool S_add_base64(fb_mask *mask, fb_slice secret, size_t before, const char *last,
                         fb_buf *buf) {
  static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  size_t bits = 8 * secret.len, skip = (6 - 8 * before % 6) % 6;
  for (size_t bit = skip; bit + 6 <= bits; bit += 6) {
    size_t at = bit / 8;
    unsigned pair = (unsigned)(uint8_t)secret.ptr[at] << 8;
    if (at + 1 < secret.len) pair |= (uint8_t)secret.ptr[at + 1];
    unsigned six = pair >> (10 - bit % 8) & 63;
    fb_buf_char(buf, six < 62 ? alphabet[six] : last[six - 62]);
  }
  return S_add_buf(mask, buf);
}

static bool S_add_hex(fb_mask *mask, fb_slice secret, const char *digits, fb_buf *buf) {
  for (size_t i = 0; i < secret.len; i++) {
    fb_buf_char(buf, digits[(uint8_t)secret.ptr[i] >> 4]);
    fb_buf_char(buf, digits[(uint8_t)secret.ptr[i] & 15]);
  }
  return S_add_buf(mask, buf);
}

static bool S_is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.' || c == '~';
}

static bool S_add_percent(fb_mask *mask, fb_slice secret, const char *digits, bool plus,
                          fb_buf *buf) {
  for (size_t i = 0; i < secret.len; i++) {
    char c = secret.ptr[i];
    if (S_is_plain(c) || (plus && c == ' ')) {
      fb_buf_char(buf, c == ' ' ? '+' : c);
      continue;
    }
    fb_buf_char(buf, '%');
    fb_buf_char(buf, digits[(uint8_t)c >> 4]);
    fb_buf_char(buf, digits[(uint8_t)c & 15]);
  }
  return S_add_buf(mask, buf);
}

/* As a JSON text without its quotes, and once more with \/ for /. */
static bool S_add_json(fb_mask *mask, fb_slice secret, fb_buf *buf) {
  if (!fb_utf8_valid(secret.ptr, secret.len, NULL)) return true;
  fb_json_write_text(buf, secret, FB_JSON_COMPACT);
  bool good = !buf->failed && S_add(mask, (fb_slice){buf->ptr + 1, buf->len - 2});
  fb_buf slashes;
  fb_buf_init(&slashes, mask->allocator, 0);
  for (size_t i = 1; good && i + 1 < buf->len; i++) {
    if (buf->ptr[i] == '/') fb_buf_char(&slashes, '\\');
    fb_buf_char(&slashes, buf->ptr[i]);
  }
  good = good && S_add_buf(mask, &slashes);
  fb_buf_release(&slashes);
  fb_buf_clear(buf);
  return good;
}

/* it's → it'\''s */
static bool S_add_quoted(fb_mask *mask, fb_slice secret, fb_buf *buf) {
  if (!memchr(secret.ptr, '\'', secret.len)) return true;
  for (size_t i = 0; i < secret.len; i++) {
    if (secret.ptr[i] == '\'')
      fb_buf_text(buf, "'\\''");
    else
      fb_buf_char(buf, secret.ptr[i]);
  }
  return S_add_buf(mask, buf);
}

static bool S_add_encoded(fb_mask *mask, fb_slice secret) {
  static const char lower[] = "0123456789abcdef", upper[] = "0123456789ABCDEF";
  fb_buf buf;
  fb_buf_init(&buf, mask->allocator, 0);
  bool good = S_add(mask, secret) && S_add_json(mask, secret, &buf) &&
              S_add_quoted(mask, secret, &buf) && S_add_hex(mask, secret, lower, &buf) &&
              S_add_hex(mask, secret, upper, &buf);
  for (int i = 0; i < 4 && good; i++)
    good = S_add_percent(mask, secret, i & 1 ? lower : upper, i & 2, &buf);
  for (size_t before = 0; before < 3 && good; before++)
    good = S_add_base64(mask, secret, before, "+/", &buf) &&
           S_add_base64(mask, secret, before, "-_", &buf);
  fb_buf_release(&buf);
  return good;
}

/* Programs write long secrets (keys) a line at a time, or a line of them. */
static bool S_add_lines(fb_mask *mask, fb_slice secret) {
  enum { LEAST_LINE = 8 };
  if (!memchr(secret.ptr, '\n', secret.len)) return true;
  while (secret.len) {
    const char *end = memchr(secret.ptr, '\n', secret.len);
    size_t length = end ? (size_t)(end - secret.ptr) : secret.len, used = length + (end != NULL);
    if (length && secret.ptr[length - 1] == '\r') length--;
    if (length >= LEAST_LINE && !S_add(mask, (fb_slice){secret.ptr, length})) return false;
    secret = (fb_slice){secret.ptr + used, secret.len - used};
  }
  return true;
}

bool fb_mask_add(fb_mask *mask, fb_slice secret) {
  if (secret.len < FB_MASK_LEAST || secret.len > FB_MASK_MOST) return true;
  return S_add_encoded(mask, secret) && S_add_lines(mask, secret);
}

bool fb_mask_add_value(fb_mask *mask, fb_value value) {
  char text[32];
  switch (value.kind) {
    case FB_STRING:
    case FB_BYTES: return fb_mask_add(mask, fb_value_text(value));
    case FB_INT:
      snprintf(text, sizeof text, "%lld", (long long)value.as.i);
      return fb_mask_add(mask, fb_slice_of(text));
    case FB_LIST:
      for (uint32_t i = 0; i < value.as.list->len; i++)
        if (!fb_mask_add_value(mask, value.as.list->items[i])) return false;
      return true;
    case FB_MAP:
      for (uint32_t i = 0; i < value.as.map->len; i++)
        if (!fb_mask_add_value(mask, value.as.map->entries[i].value)) return false;
      return true;
    default: return true;
  }
}

static uint32_t S_next(const fb_mask *mask, uint32_t node, uint8_t byte) {
  uint32_t child;
  while (!(child = S_child(mask, node, byte)) && node) node = mask->nodes[node].fail;
  return child;
}

/* Breadth first: what a node falls back to is less deep, and done before it. */
bool fb_mask_seal(fb_mask *mask) {
  size_t bytes = mask->count * sizeof(uint32_t);
  uint32_t *queue = fb_alloc(mask->allocator, bytes);
  size_t first = 0, last = 0;
  if (!queue) return false;
  queue[last++] = 0;
  while (first < last) {
    uint32_t node = queue[first++];
    for (uint32_t child = mask->nodes[node].child; child; child = mask->nodes[child].sibling) {
      S_node *at = &mask->nodes[child];
      at->fail = node ? S_next(mask, mask->nodes[node].fail, at->byte) : 0;
      if (!at->found) at->found = mask->nodes[at->fail].found;
      queue[last++] = child;
    }
  }
  fb_free(mask->allocator, queue, bytes);
  return true;
}

/* ── Streams ─────────────────────────────────────────────────────────────────────────────────── */

void fb_masker_init(fb_masker *masker, const fb_mask *mask, const fb_allocator *allocator) {
  *masker = (fb_masker){.mask = mask};
  fb_buf_init(&masker->held, allocator, 0);
  fb_buf_init(&masker->marks, allocator, 0);
}

void fb_masker_release(fb_masker *masker) {
  if (masker->held.ptr) explicit_bzero(masker->held.ptr, masker->held.cap);
  fb_buf_release(&masker->held);
  fb_buf_release(&masker->marks);
}

static size_t S_held(const fb_masker *masker) {
  return masker->held.len - masker->head;
}

/* Gives out all but the last `keep` of the bytes held. */
static void S_give(fb_masker *masker, size_t keep, fb_buf *out) {
  while (S_held(masker) > keep) {
    bool hidden = masker->marks.ptr[masker->head] != 0;
    if (!hidden)
      fb_buf_char(out, masker->held.ptr[masker->head]);
    else if (!masker->inside)
      fb_buf_text(out, S_hidden);
    masker->inside = hidden;
    masker->head++;
  }
  if (S_held(masker) > 0 && masker->head < 4096) return;
  size_t rest = S_held(masker);
  if (rest) memmove(masker->held.ptr, masker->held.ptr + masker->head, rest);
  if (rest) memmove(masker->marks.ptr, masker->marks.ptr + masker->head, rest);
  masker->held.len = masker->marks.len = rest;
  masker->head = 0;
}

/* Nothing is held and no secret begins: that many bytes can be passed on as they are. */
static size_t S_plain(const fb_mask *mask, fb_slice bytes) {
  size_t i = 0;
  while (i < bytes.len && !mask->first[(uint8_t)bytes.ptr[i]]) i++;
  return i;
}

void fb_masker_feed(fb_masker *masker, fb_slice bytes, fb_buf *out) {
  const fb_mask *mask = masker->mask;
  for (size_t i = 0; i < bytes.len && !masker->held.failed && !masker->marks.failed; i++) {
    if (masker->node == 0 && S_held(masker) == 0) {
      size_t plain = S_plain(mask, (fb_slice){bytes.ptr + i, bytes.len - i});
      if (plain) masker->inside = false;
      fb_buf_add(out, bytes.ptr + i, plain);
      i += plain;
      if (i == bytes.len) return;
    }
    fb_buf_char(&masker->held, bytes.ptr[i]);
    fb_buf_char(&masker->marks, 0);
    if (masker->held.failed || masker->marks.failed) {
      out->failed = true;
      return;
    }
    masker->node = S_next(mask, masker->node, (uint8_t)bytes.ptr[i]);
    const S_node *node = &mask->nodes[masker->node];
    /* What was given out before cannot be part of it: it was not held back. */
    if (node->found) memset(masker->marks.ptr + masker->marks.len - node->found, 1, node->found);
    S_give(masker, node->depth, out);
  }
}

void fb_masker_end(fb_masker *masker, fb_buf *out) {
  if (masker->held.failed || masker->marks.failed)
    out->failed = true; /* better nothing than something that is not masked */
  else
    S_give(masker, 0, out);
  masker->node = 0;
}

/* ── Texts and values ────────────────────────────────────────────────────────────────────────── */

bool fb_mask_finds(const fb_mask *mask, fb_slice text) {
  uint32_t node = 0;
  if (!mask) return false;
  for (size_t i = 0; i < text.len; i++) {
    node = S_next(mask, node, (uint8_t)text.ptr[i]);
    if (mask->nodes[node].found) return true;
  }
  return false;
}

static void S_write(const fb_mask *mask, fb_slice text, fb_buf *out) {
  fb_masker masker;
  fb_masker_init(&masker, mask, mask->allocator);
  fb_masker_feed(&masker, text, out);
  fb_masker_end(&masker, out);
  fb_masker_release(&masker);
}

fb_slice fb_mask_text(const fb_mask *mask, fb_slice text, fb_arena *arena) {
  if (!fb_mask_finds(mask, text)) return text;
  fb_buf buf;
  fb_buf_init(&buf, mask->allocator, 0);
  S_write(mask, text, &buf);
  const char *copy = buf.failed ? NULL : fb_arena_text(arena, fb_buf_slice(&buf));
  fb_slice masked = {copy, copy ? buf.len : 0};
  fb_buf_release(&buf);
  return masked;
}

/* Whether anything in it must be hidden. Values are as deep as documents may be. */
static bool S_touches(const fb_mask *mask, fb_value value) {
  char text[32];
  switch (value.kind) {
    case FB_STRING:
    case FB_BYTES: return fb_mask_finds(mask, fb_value_text(value));
    case FB_INT:
      snprintf(text, sizeof text, "%lld", (long long)value.as.i);
      return fb_mask_finds(mask, fb_slice_of(text));
    case FB_LIST:
      for (uint32_t i = 0; i < value.as.list->len; i++)
        if (S_touches(mask, value.as.list->items[i])) return true;
      return false;
    case FB_MAP:
      for (uint32_t i = 0; i < value.as.map->len; i++)
        if (S_touches(mask, value.as.map->entries[i].key) ||
            S_touches(mask, value.as.map->entries[i].value))
          return true;
      return false;
    default: return false;
  }
}

static fb_status S_list(const fb_mask *mask, const fb_list *list, fb_arena *arena,
                        fb_value *ret_value) {
  fb_list *copy = fb_list_new(arena, list->len);
  for (uint32_t i = 0; copy && i < list->len; i++) {
    fb_value item;
    if (fb_mask_value(mask, list->items[i], arena, &item) || !fb_list_push(copy, arena, item))
      return FB_E_NOMEM;
  }
  if (!copy) return FB_E_NOMEM;
  *ret_value = fb_list_value(copy);
  return FB_OK;
}

/* Of two keys that are the same once masked the first one stays. */
static fb_status S_map(const fb_mask *mask, const fb_map *map, fb_arena *arena,
                       fb_value *ret_value) {
  fb_map *copy = fb_map_new(arena, map->len);
  for (uint32_t i = 0; copy && i < map->len; i++) {
    fb_value key, value;
    if (fb_mask_value(mask, map->entries[i].key, arena, &key) ||
        fb_mask_value(mask, map->entries[i].value, arena, &value))
      return FB_E_NOMEM;
    if (key.kind == FB_STRING && fb_map_get_text(copy, fb_value_text(key))) continue;
    if (!fb_map_put(copy, arena, key, value, NULL)) return FB_E_NOMEM;
  }
  if (!copy) return FB_E_NOMEM;
  *ret_value = fb_map_value(copy);
  return FB_OK;
}

fb_status fb_mask_value(const fb_mask *mask, fb_value value, fb_arena *arena, fb_value *ret_value) {
  if (!mask || !S_touches(mask, value)) {
    *ret_value = value;
    return FB_OK;
  }
  if (value.kind == FB_LIST) return S_list(mask, value.as.list, arena, ret_value);
  if (value.kind == FB_MAP) return S_map(mask, value.as.map, arena, ret_value);
  if (value.kind == FB_INT) {
    *ret_value = fb_string(fb_slice_of(S_hidden));
    return FB_OK;
  }
  fb_slice text = fb_mask_text(mask, fb_value_text(value), arena);
  if (!text.ptr) return FB_E_NOMEM;
  *ret_value = value.kind == FB_STRING ? fb_string(text) : fb_bytes(text);
  return FB_OK;
}

static void S_room(const fb_mask *mask, char *text, size_t size) {
  fb_slice all = fb_slice_of(text);
  uint32_t node = 0;
  bool found = false, full = all.len + 4 >= size; /* cut at a character's end */
  for (size_t i = 0; i < all.len; i++) {
    node = S_next(mask, node, (uint8_t)text[i]);
    found = found || mask->nodes[node].found;
  }
  /* Half a secret is no secret, but not to be shown either. */
  if (full && mask->nodes[node].depth >= 2) {
    all.len -= mask->nodes[node].depth;
    snprintf(text + all.len, size - all.len, "%s", S_hidden);
    all = fb_slice_of(text);
    found = true;
  }
  if (!found) return;
  fb_buf buf;
  fb_buf_init(&buf, mask->allocator, 0);
  S_write(mask, all, &buf);
  snprintf(text, size, "%s", buf.failed || !buf.ptr ? S_hidden : buf.ptr);
  fb_buf_release(&buf);
}

void fb_mask_error(const fb_mask *mask, fb_error *err) {
  if (!mask || !err->code) return;
  S_room(mask, err->text, sizeof err->text);
  S_room(mask, err->hint, sizeof err->hint);
  if (fb_mask_finds(mask, fb_slice_of(err->excerpt))) err->excerpt[0] = 0;
}

void fb_mask_buf(const fb_mask *mask, fb_buf *buf, size_t from) {
  if (!mask || !buf->ptr || from > buf->len) return;
  fb_slice text = {buf->ptr + from, buf->len - from};
  if (!fb_mask_finds(mask, text)) return;
  fb_buf masked;
  fb_buf_init(&masked, mask->allocator, 0);
  S_write(mask, text, &masked);
  buf->len = from;
  buf->ptr[from] = 0;
  fb_buf_add(buf, fb_buf_slice(&masked).ptr, masked.len);
  if (masked.failed) buf->failed = true;
  fb_buf_release(&masked);
}
