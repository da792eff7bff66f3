/* SPDX-License-Identifier: Apache-2.0
 * Inside of the symbol table: for fact columns, streams and the expression VM, which read symbols in
 * their innermost loops. */
#ifndef FB_DATA_SYMBOL_INTERNAL_H
#define FB_DATA_SYMBOL_INTERNAL_H

#include <flyball/data.h>

/* Stands right before the text of a symbol, so that a string value leads back to its symbol. */
typedef struct fb_symbol_head {
  fb_symbol id;
  uint32_t len;
} fb_symbol_head;

/* A text as two words. Up to 16 bytes: the bytes themselves, little-endian, zero-filled; so equal
 * words and equal lengths are equal texts. Longer: a 64-bit hash and 0, the text is to be compared. */
typedef struct fb_symbol_key {
  uint64_t low, high;
  uint32_t len;
} fb_symbol_key;

typedef struct fb_symbol_slot {
  uint64_t low, high;
  uint32_t len;
  fb_symbol symbol; /* 0: empty; the empty text is never looked up here */
} fb_symbol_slot;

enum { FB_SYMBOL_SHORT = 16 };

struct fb_symbols {
  const char **texts; /* by symbol; each behind its head, with a NUL after it */
  size_t count, cap;
  fb_symbol_slot *slots; /* open addressing, linear probing, at most half full */
  size_t mask;           /* slots - 1 */
  uint64_t seed, seed2;
  fb_arena arena;
  const fb_allocator *allocator;
};

static inline const fb_symbol_head *fb_symbol_head_of(const char *text) {
  return (const fb_symbol_head *)(const void *)text - 1;
}

static inline fb_value fb_symbol_value_of(const fb_symbols *symbols, fb_symbol symbol) {
  const char *text = symbols->texts[symbol];
  return (fb_value){
      .kind = FB_STRING, .symbol = 1, .len = fb_symbol_head_of(text)->len, .as = {.text = text}};
}

static inline uint64_t fb_symbol_hash(const fb_symbols *symbols, fb_symbol_key key) {
  uint64_t a = key.low ^ symbols->seed, b = key.high ^ symbols->seed2 ^ ((uint64_t)key.len << 40);
#ifdef __SIZEOF_INT128__
  unsigned __int128 product = (unsigned __int128)a * b;
  return (uint64_t)product ^ (uint64_t)(product >> 64);
#else
  return fb_hash_mix(a, b);
#endif
}

/* The symbol of a text of 1 to 16 bytes given as its words and their fb_symbol_hash, 0 if it is not
 * interned. */
static inline fb_symbol fb_symbol_find_hashed(const fb_symbols *symbols, fb_symbol_key key,
                                              uint64_t hash) {
  for (size_t i = hash & symbols->mask;; i = (i + 1) & symbols->mask) {
    const fb_symbol_slot *slot = &symbols->slots[i];
    if (FB_LIKELY(slot->low == key.low && slot->high == key.high && slot->len == key.len))
      return slot->symbol;
    if (!slot->symbol) return 0;
  }
}

/* Interns the text, of which fb_symbol_find_hashed found nothing. */
fb_status fb_symbol_add_short(fb_symbols *symbols, fb_symbol_key key, const char *text,
                              fb_symbol *ret_symbol);

#endif
