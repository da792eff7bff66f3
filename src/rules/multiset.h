/* SPDX-License-Identifier: Apache-2.0
 *
 * Ordered multisets of values: treaps whose nodes are numbers in a pool that many sets share. A set is the number of its
 * root, 0 when it is empty. Every operation takes time in the logarithm of the number of different values.
 */
#ifndef FB_RULES_MULTISET_H
#define FB_RULES_MULTISET_H

#include <flyball/data.h>

typedef struct fb_multiset_node {
  fb_value value;
  uint32_t left, right;
  uint32_t priority;
  uint32_t row;   /* that the value was first put in with */
  uint64_t count; /* how often the value is in */
  uint64_t total; /* of all nodes from here down */
} fb_multiset_node;

typedef struct fb_multisets {
  fb_multiset_node *nodes; /* 0 is not used */
  size_t cap;
  uint32_t count, free;
  uint64_t seed;
} fb_multisets;

void fb_multisets_release(fb_multisets *sets, const fb_allocator *allocator);
/* False: no memory, or 2^32 nodes. The value must stay good as long as it is in. */
bool fb_multiset_add(fb_multisets *sets, const fb_allocator *allocator, uint32_t *root,
                     fb_value value, uint32_t row);
/* Takes one away; cannot fail. False: it is not in. */
bool fb_multiset_remove(fb_multisets *sets, uint32_t *root, fb_value value);
/* The node of the value; 0: it is not in. */
uint32_t fb_multiset_find(const fb_multisets *sets, uint32_t root, fb_value value);
/* The node of the value that has `rank` before it, in order; 0: there are not so many. */
uint32_t fb_multiset_at(const fb_multisets *sets, uint32_t root, uint64_t rank);
/* How many are less than the value. */
uint64_t fb_multiset_rank(const fb_multisets *sets, uint32_t root, fb_value value);
/* Gives all nodes of a set back. */
void fb_multiset_clear(fb_multisets *sets, uint32_t *root);
static inline uint64_t fb_multiset_total(const fb_multisets *sets, uint32_t root) {
  return root ? sets->nodes[root].total : 0;
}
/* Calls fn for each node in order, as long as it returns true. */
bool fb_multiset_walk(const fb_multisets *sets, uint32_t root,
                      bool (*fn)(void *context, const fb_multiset_node *node), void *context);

#endif
