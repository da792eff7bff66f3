/* SPDX-License-Identifier: Apache-2.0
 * Symbols: every text once, known by a 32-bit number. */
#include "data/symbol_internal.h"

enum { FIRST_SLOTS = 64, LARGE_SLOTS = 1 << 16, TEXT_CHUNK = 16384 };

static const struct {
  fb_symbol_head head;
  char text[8];
} S_empty = {{0, 0}, ""};

/* Bytes 0–7 and 8–15 of a short text without reading past its end. */
static uint64_t S_load_tail(const char *text, size_t len) {
  uint64_t word = 0;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  memcpy(&word, text, len);
#else
  for (size_t i = 0; i < len; i++) word |= (uint64_t)(unsigned char)text[i] << (8 * i);
#endif
  return word;
}

static fb_symbol_key S_key(const fb_symbols *symbols, fb_slice text) {
  uint32_t len = (uint32_t)text.len;
  if (text.len > FB_SYMBOL_SHORT)
    return (fb_symbol_key){fb_hash_bytes(text.ptr, text.len, symbols->seed), 0, len};
  if (text.len > 8)
    return (fb_symbol_key){S_load_tail(text.ptr, 8), S_load_tail(text.ptr + 8, text.len - 8), len};
  return (fb_symbol_key){S_load_tail(text.ptr, text.len), 0, len};
}

/* The slot that holds the text, or the empty one where it would go. */
static fb_symbol_slot *S_slot(const fb_symbols *symbols, fb_symbol_key key, const char *text) {
  for (size_t i = fb_symbol_hash(symbols, key) & symbols->mask;; i = (i + 1) & symbols->mask) {
    fb_symbol_slot *slot = &symbols->slots[i];
    if (!slot->symbol) return slot;
    if (slot->low == key.low && slot->high == key.high && slot->len == key.len &&
        (key.len <= FB_SYMBOL_SHORT || memcmp(symbols->texts[slot->symbol], text, key.len) == 0))
      return slot;
  }
}

static bool S_rehash(fb_symbols *symbols, size_t size) {
  if (size > SIZE_MAX / 2 / sizeof *symbols->slots) return false;
  fb_symbol_slot *old = symbols->slots,
                 *slots = fb_alloc_zero(symbols->allocator, size * sizeof *slots);
  if (!slots) return false;
  size_t old_size = old ? symbols->mask + 1 : 0;
  symbols->slots = slots;
  symbols->mask = size - 1;
  for (size_t n = 0; n < old_size; n++) {
    if (!old[n].symbol) continue;
    fb_symbol_key key = {old[n].low, old[n].high, old[n].len};
    size_t i = fb_symbol_hash(symbols, key) & symbols->mask;
    while (slots[i].symbol) i = (i + 1) & symbols->mask;
    slots[i] = old[n];
  }
  fb_free(symbols->allocator, old, old_size * sizeof *old);
  return true;
}

fb_status fb_symbols_new(const fb_allocator *allocator, uint64_t seed, fb_symbols **ret_symbols) {
  if (!allocator) allocator = fb_allocator_system();
  fb_symbols *symbols = fb_alloc_zero(allocator, sizeof *symbols);
  if (!symbols) return FB_E_NOMEM;
  symbols->allocator = allocator;
  symbols->seed = fb_hash_u64(seed ^ UINT64_C(0x9e3779b97f4a7c15));
  symbols->seed2 = fb_hash_u64(symbols->seed ^ UINT64_C(0xd1b54a32d192ed03)) | 1;
  fb_arena_init(&symbols->arena, allocator, TEXT_CHUNK);
  void *texts = NULL;
  if (!S_rehash(symbols, FIRST_SLOTS) ||
      !fb_grow(allocator, &texts, &symbols->cap, 0, sizeof *symbols->texts)) {
    fb_symbols_free(symbols);
    return FB_E_NOMEM;
  }
  symbols->texts = texts;
  symbols->texts[symbols->count++] = S_empty.text;
  *ret_symbols = symbols;
  return FB_OK;
}

void fb_symbols_free(fb_symbols *symbols) {
  if (!symbols) return;
  fb_arena_release(&symbols->arena);
  fb_free(symbols->allocator, symbols->texts, symbols->cap * sizeof *symbols->texts);
  if (symbols->slots)
    fb_free(symbols->allocator, symbols->slots, (symbols->mask + 1) * sizeof *symbols->slots);
  fb_free(symbols->allocator, symbols, sizeof *symbols);
}

static const char *S_store_text(fb_symbols *symbols, fb_slice text) {
  size_t size = sizeof(fb_symbol_head) + text.len + 1;
  fb_symbol_head *head = fb_arena_alloc_aligned(&symbols->arena, size, _Alignof(fb_symbol_head));
  if (!head) return NULL;
  *head = (fb_symbol_head){(fb_symbol)symbols->count, (uint32_t)text.len};
  char *copy = (char *)(head + 1);
  memcpy(copy, text.ptr, text.len);
  copy[text.len] = 0;
  return copy;
}

/* Adds a text that is not there. */
static fb_status S_add(fb_symbols *symbols, fb_symbol_key key, const char *text,
                       fb_symbol *ret_symbol) {
  if (symbols->count >= UINT32_MAX) return FB_E_LIMIT;
  size_t size = symbols->mask + 1;
  if (symbols->count * 2 > symbols->mask &&
      !S_rehash(symbols, size < LARGE_SLOTS ? size * 4 : size * 2))
    return FB_E_NOMEM;
  void *texts = symbols->texts;
  if (!fb_grow(symbols->allocator, &texts, &symbols->cap, symbols->count, sizeof *symbols->texts))
    return FB_E_NOMEM;
  symbols->texts = texts;
  const char *copy = S_store_text(symbols, (fb_slice){text, key.len});
  if (!copy) return FB_E_NOMEM;
  size_t i = fb_symbol_hash(symbols, key) & symbols->mask;
  while (symbols->slots[i].symbol) i = (i + 1) & symbols->mask;
  symbols->slots[i] = (fb_symbol_slot){key.low, key.high, key.len, (fb_symbol)symbols->count};
  *ret_symbol = (fb_symbol)symbols->count;
  symbols->texts[symbols->count++] = copy;
  return FB_OK;
}

fb_status fb_symbol_add_short(fb_symbols *symbols, fb_symbol_key key, const char *text,
                              fb_symbol *ret_symbol) {
  return S_add(symbols, key, text, ret_symbol);
}

fb_status fb_symbol_intern(fb_symbols *symbols, fb_slice text, fb_symbol *ret_symbol) {
  if (text.len == 0) {
    *ret_symbol = 0;
    return FB_OK;
  }
  if (text.len >= UINT32_MAX) return FB_E_LIMIT;
  fb_symbol_key key = S_key(symbols, text);
  fb_symbol known = S_slot(symbols, key, text.ptr)->symbol;
  if (!known) return S_add(symbols, key, text.ptr, ret_symbol);
  *ret_symbol = known;
  return FB_OK;
}

bool fb_symbol_find(const fb_symbols *symbols, fb_slice text, fb_symbol *ret_symbol) {
  fb_symbol symbol = 0;
  if (text.len >= UINT32_MAX) return false;
  if (text.len) {
    symbol = S_slot(symbols, S_key(symbols, text), text.ptr)->symbol;
    if (!symbol) return false;
  }
  *ret_symbol = symbol;
  return true;
}

fb_slice fb_symbol_text(const fb_symbols *symbols, fb_symbol symbol) {
  return fb_value_text(fb_symbol_value_of(symbols, symbol));
}

fb_value fb_symbol_value(const fb_symbols *symbols, fb_symbol symbol) {
  return fb_symbol_value_of(symbols, symbol);
}

fb_symbol fb_symbol_of(fb_value value) {
  return fb_symbol_head_of(value.as.text)->id;
}

size_t fb_symbols_count(const fb_symbols *symbols) {
  return symbols->count;
}

size_t fb_symbols_memory(const fb_symbols *symbols) {
  return sizeof *symbols + symbols->arena.held + symbols->cap * sizeof *symbols->texts +
         (symbols->mask + 1) * sizeof *symbols->slots;
}

fb_symbols_mark fb_symbols_save(const fb_symbols *symbols) {
  return (fb_symbols_mark){symbols->count, symbols->arena.held, fb_arena_save(&symbols->arena)};
}

bool fb_symbols_rewind(fb_symbols *symbols, fb_symbols_mark mark, size_t bytes) {
  /* A symbol also takes a pointer and two slots. */
  size_t each = sizeof *symbols->texts + 2 * sizeof *symbols->slots;
  size_t taken = (symbols->count - mark.count) * each;
  if (symbols->arena.held > mark.held) taken += symbols->arena.held - mark.held;
  if (taken <= bytes) return false;
  fb_arena_rewind(&symbols->arena, mark.texts);
  symbols->count = mark.count;
  memset(symbols->slots, 0, (symbols->mask + 1) * sizeof *symbols->slots);
  for (size_t n = 1; n < symbols->count; n++) {
    fb_symbol_key key = S_key(symbols, fb_symbol_text(symbols, (fb_symbol)n));
    size_t i = fb_symbol_hash(symbols, key) & symbols->mask;
    while (symbols->slots[i].symbol) i = (i + 1) & symbols->mask;
    symbols->slots[i] = (fb_symbol_slot){key.low, key.high, key.len, (fb_symbol)n};
  }
  return true;
}
