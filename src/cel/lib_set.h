/* SPDX-License-Identifier: Apache-2.0
 * The elements of a list as a hash set by CEL's equality: 1, 1u and 1.0 are one element. */
#ifndef FB_CEL_LIB_SET_H
#define FB_CEL_LIB_SET_H

#include "cel/lib.h"

typedef struct fb_lib_set {
  const fb_list *list;
  uint64_t *
      slots; /* number of the element + 1 in the lower half, 0: empty; part of the hash in the upper */
  uint32_t mask;
} fb_lib_set;

/* An empty set with room for the whole list. Lives in the arena. */
bool fb_lib_set_init(fb_cel_context *context, fb_lib_set *set, const fb_list *list,
                     fb_value *ret_failure);
/* Adds element `number` of the list unless an equal one is in. False: over budget. */
bool fb_lib_set_add(fb_cel_context *context, fb_lib_set *set, uint32_t number, bool *ret_added);
/* False: over budget. */
bool fb_lib_set_has(fb_cel_context *context, const fb_lib_set *set, fb_value value, bool *ret_has);

#endif
