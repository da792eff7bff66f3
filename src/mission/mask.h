/* SPDX-License-Identifier: Apache-2.0
 *
 * What must not be seen: secrets, as they are and as programs write them (base64, percent-encoded, hexadecimal, JSON,
 * quoted for a shell), are replaced by *** wherever they stand in a text or in a stream.
 *
 *   mask     the automaton of all secrets; after fb_mask_seal immutable, for any thread
 *   masker   one stream: what may become a secret with the next bytes is held back until it is decided
 */
#ifndef FB_MISSION_MASK_H
#define FB_MISSION_MASK_H

#include <flyball/mission.h>

/* A shorter text is found everywhere by accident. Bytes. */
enum { FB_MASK_LEAST = 4, FB_MASK_MOST = 16 << 10 };

fb_status fb_mask_new(const fb_allocator *allocator, fb_mask **ret_mask);
void fb_mask_free(fb_mask *mask);
/* With its lines and the encodings of it. Shorter ones are left out. False: no memory. */
bool fb_mask_add(fb_mask *mask, fb_slice secret);
/* All texts and numbers in a value. */
bool fb_mask_add_value(fb_mask *mask, fb_value value);
/* Nothing is added any more. False: no memory. */
bool fb_mask_seal(fb_mask *mask);

typedef struct fb_masker {
  const fb_mask *mask;
  uint32_t node;      /* where the automaton stands */
  bool inside;        /* the last byte given out belonged to a secret */
  size_t head;        /* of the bytes held that are not given out */
  fb_buf held, marks; /* bytes, and for each whether it belongs to a secret */
} fb_masker;

void fb_masker_init(fb_masker *masker, const fb_mask *mask, const fb_allocator *allocator);
void fb_masker_release(fb_masker *masker);
/* Appends what is decided to `out`; a failure shows in out->failed. */
void fb_masker_feed(fb_masker *masker, fb_slice bytes, fb_buf *out);
/* The rest. */
void fb_masker_end(fb_masker *masker, fb_buf *out);

/* All take NULL for a mask that hides nothing. */
bool fb_mask_finds(const fb_mask *mask, fb_slice text);
/* The same text if there is nothing to hide, else one in the arena; ptr NULL: no memory. */
fb_slice fb_mask_text(const fb_mask *mask, fb_slice text, fb_arena *arena);
/* The same value if there is nothing to hide, else a copy. FB_E_NOMEM. */
fb_status fb_mask_value(const fb_mask *mask, fb_value value, fb_arena *arena, fb_value *ret_value);
/* In place. Texts that were cut to their room may end with the beginning of a secret: that is hidden, too. */
void fb_mask_error(const fb_mask *mask, fb_error *err);
/* What stands in the buffer from `from` on. */
void fb_mask_buf(const fb_mask *mask, fb_buf *buf, size_t from);

#endif
