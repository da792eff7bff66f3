/* SPDX-License-Identifier: Apache-2.0
 * Bingo's requests: its rules are translated into a rulebook, and its answers are made of what that decides. */
#ifndef FB_SERVER_BINGO_H
#define FB_SERVER_BINGO_H

#include "server/server.h"

fb_status fb_bingo_new(fb_bingo **ret_bingo);
void fb_bingo_free(fb_bingo *bingo);
fb_answered fb_bingo_evaluate(fb_request *request);
fb_answered fb_bingo_register(fb_request *request);
fb_answered fb_bingo_health(fb_request *request);
fb_answered fb_bingo_engine(fb_request *request);
fb_answered fb_bingo_cache(fb_request *request);

/* bingo_book.c */

/* Its rules, as they came and translated. */
typedef struct fb_bingo_book {
  _Atomic uint32_t users;
  fb_arena arena;
  const fb_value **rules; /* the maps, by priority */
  uint32_t rule_count, condition_count;
  fb_table fields; /* of conditions, by name: their number */
  fb_edition *edition;
  int64_t compiled; /* ns that it took */
  char hash[2 * FB_DIGEST_SIZE + 1];
} fb_bingo_book;

/* `rules`: a value that lives elsewhere; it is copied. FB_E_SERVER_REQUEST: err tells what is wrong. */
fb_status fb_bingo_book_new(fb_value rules, const fb_clock *clock, fb_bingo_book **ret_book,
                            fb_error *err);
void fb_bingo_book_drop(fb_bingo_book *book);
/* The actions of a rule that fired for the fact with this data, as items of a list. FB_E_SERVER_REQUEST: a calculator fails. */
fb_status fb_bingo_act(const fb_bingo_book *book, uint32_t rule, const fb_map *data, fb_buf *out,
                       fb_error *err);

static inline const fb_value *fb_bingo_get(const fb_value *map, const char *key, fb_kind kind) {
  const fb_value *value =
      map->kind == FB_MAP ? fb_map_get_text(map->as.map, fb_slice_of(key)) : NULL;
  return value && value->kind == kind ? value : NULL;
}

#endif
