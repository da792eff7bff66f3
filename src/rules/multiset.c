/* SPDX-License-Identifier: Apache-2.0
 * Ordered multisets. Recursion is bounded by the height, which is logarithmic but for odds that priorities drawn apart
 * from the input do not give. */
#include "rules/multiset.h"

void fb_multisets_release(fb_multisets *sets, const fb_allocator *allocator) {
  fb_free(allocator, sets->nodes, sets->cap * sizeof *sets->nodes);
  *sets = (fb_multisets){0};
}

static uint32_t S_priority(fb_multisets *sets) {
  sets->seed = sets->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)(sets->seed >> 32);
}

static uint32_t S_new(fb_multisets *sets, const fb_allocator *allocator) {
  uint32_t number = sets->free;
  if (number) {
    sets->free = sets->nodes[number].left;
    return number;
  }
  if (!sets->count) sets->count = 1;
  if (sets->count == UINT32_MAX ||
      !fb_grow(allocator, (void **)&sets->nodes, &sets->cap, sets->count, sizeof *sets->nodes))
    return 0;
  return sets->count++;
}

static void S_free(fb_multisets *sets, uint32_t number) {
  sets->nodes[number].left = sets->free;
  sets->free = number;
}

static void S_sum(fb_multiset_node *nodes, uint32_t at) {
  nodes[at].total = nodes[at].count + (nodes[at].left ? nodes[nodes[at].left].total : 0) +
                    (nodes[at].right ? nodes[nodes[at].right].total : 0);
}

static uint32_t S_turn_right(fb_multiset_node *nodes, uint32_t at) {
  uint32_t up = nodes[at].left;
  nodes[at].left = nodes[up].right;
  nodes[up].right = at;
  S_sum(nodes, at);
  S_sum(nodes, up);
  return up;
}

static uint32_t S_turn_left(fb_multiset_node *nodes, uint32_t at) {
  uint32_t up = nodes[at].right;
  nodes[at].right = nodes[up].left;
  nodes[up].left = at;
  S_sum(nodes, at);
  S_sum(nodes, up);
  return up;
}

static uint32_t S_insert(fb_multiset_node *nodes, uint32_t at, uint32_t fresh) {
  if (!at) return fresh;
  fb_multiset_node *node = &nodes[at];
  if (fb_value_order(nodes[fresh].value, node->value) < 0) {
    node->left = S_insert(nodes, node->left, fresh);
    if (nodes[node->left].priority > node->priority) return S_turn_right(nodes, at);
  } else {
    node->right = S_insert(nodes, node->right, fresh);
    if (nodes[node->right].priority > node->priority) return S_turn_left(nodes, at);
  }
  S_sum(nodes, at);
  return at;
}

uint32_t fb_multiset_find(const fb_multisets *sets, uint32_t root, fb_value value) {
  for (uint32_t at = root; at;) {
    int order = fb_value_order(value, sets->nodes[at].value);
    if (!order) return at;
    at = order < 0 ? sets->nodes[at].left : sets->nodes[at].right;
  }
  return 0;
}

/* Changes the totals on the way to a value that is in. */
static void S_adjust(fb_multisets *sets, uint32_t root, fb_value value, int64_t by) {
  for (uint32_t at = root; at;) {
    fb_multiset_node *node = &sets->nodes[at];
    int order = fb_value_order(value, node->value);
    node->total += (uint64_t)by;
    if (!order) {
      node->count += (uint64_t)by;
      return;
    }
    at = order < 0 ? node->left : node->right;
  }
}

bool fb_multiset_add(fb_multisets *sets, const fb_allocator *allocator, uint32_t *root,
                     fb_value value, uint32_t row) {
  if (fb_multiset_find(sets, *root, value)) {
    S_adjust(sets, *root, value, 1);
    return true;
  }
  uint32_t fresh = S_new(sets, allocator);
  if (!fresh) return false;
  sets->nodes[fresh] = (fb_multiset_node){
      .value = value, .priority = S_priority(sets), .row = row, .count = 1, .total = 1};
  *root = S_insert(sets->nodes, *root, fresh);
  return true;
}

/* Both below one node, all of a before all of b. */
static uint32_t S_join(fb_multiset_node *nodes, uint32_t a, uint32_t b) {
  if (!a || !b) return a ? a : b;
  if (nodes[a].priority > nodes[b].priority) {
    nodes[a].right = S_join(nodes, nodes[a].right, b);
    S_sum(nodes, a);
    return a;
  }
  nodes[b].left = S_join(nodes, a, nodes[b].left);
  S_sum(nodes, b);
  return b;
}

bool fb_multiset_remove(fb_multisets *sets, uint32_t *root, fb_value value) {
  uint32_t number = fb_multiset_find(sets, *root, value);
  if (!number) return false;
  S_adjust(sets, *root, value, -1);
  if (sets->nodes[number].count) return true;
  uint32_t *at = root;
  while (*at != number)
    at = fb_value_order(value, sets->nodes[*at].value) < 0 ? &sets->nodes[*at].left
                                                           : &sets->nodes[*at].right;
  *at = S_join(sets->nodes, sets->nodes[number].left, sets->nodes[number].right);
  S_free(sets, number);
  return true;
}

uint32_t fb_multiset_at(const fb_multisets *sets, uint32_t root, uint64_t rank) {
  for (uint32_t at = root; at;) {
    const fb_multiset_node *node = &sets->nodes[at];
    uint64_t before = fb_multiset_total(sets, node->left);
    if (rank < before) {
      at = node->left;
    } else if (rank < before + node->count) {
      return at;
    } else {
      rank -= before + node->count;
      at = node->right;
    }
  }
  return 0;
}

uint64_t fb_multiset_rank(const fb_multisets *sets, uint32_t root, fb_value value) {
  uint64_t rank = 0;
  for (uint32_t at = root; at;) {
    const fb_multiset_node *node = &sets->nodes[at];
    int order = fb_value_order(value, node->value);
    if (order > 0) rank += fb_multiset_total(sets, node->left) + node->count;
    if (order == 0) return rank + fb_multiset_total(sets, node->left);
    at = order < 0 ? node->left : node->right;
  }
  return rank;
}

void fb_multiset_clear(fb_multisets *sets, uint32_t *root) {
  uint32_t at = *root;
  while (at) { /* turns what is left of a node to its right, until there is only a list */
    uint32_t left = sets->nodes[at].left, right = sets->nodes[at].right;
    if (left) {
      sets->nodes[at].left = sets->nodes[left].right;
      sets->nodes[left].right = at;
      at = left;
    } else {
      S_free(sets, at);
      at = right;
    }
  }
  *root = 0;
}

bool fb_multiset_walk(const fb_multisets *sets, uint32_t root,
                      bool (*fn)(void *context, const fb_multiset_node *node), void *context) {
  if (!root) return true;
  const fb_multiset_node *node = &sets->nodes[root];
  return fb_multiset_walk(sets, node->left, fn, context) && fn(context, node) &&
         fb_multiset_walk(sets, node->right, fn, context);
}
