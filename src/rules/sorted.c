/* SPDX-License-Identifier: Apache-2.0
 *
 * Sorted indexes: an alpha's facts by the order of one field, within those that are equal in other fields (`r.low <= o.amount`); or by
 * the elements of a list, or keys of a map, in it (`o.tag in r.tags`: a fact is there once for each). A treap, whose nodes stand
 * close together; each has the hash of the equal fields and an image of the value, which settles nearly every comparison. Where a
 * second field is bounded from below (`o.amount < r.high`), each also has the most that it is from there down, so that subtrees
 * without a match are passed by.
 *
 * What is found is to be tested: hashes may be those of other values. An index is made when something is looked for in it for
 * the first time. It is there for speed alone: if memory for it runs out, it is given up, and facts are gone through.
 */
#include "data/facts_internal.h"
#include "rules/join.h"

struct fb_sorted_node {
  uint64_t image; /* rising with the value; of an element its hash */
  uint64_t other; /* image of the other field */
  uint64_t most;  /* greatest `other` from here down */
  uint32_t hash;  /* of the equal fields */
  uint32_t left, right, size;
  uint32_t row;
  uint8_t class_; /* of the value, as fb_rule_class has it */
};

typedef struct fb_sorted_node S_node;

/* A place in the order. */
typedef struct S_spot {
  uint64_t image, other;
  uint32_t hash, row;
  uint8_t class_;
  fb_value value; /* of order */
} S_spot;

typedef struct S_tree {
  const fb_rule_sorted *plan;
  fb_sorted_memory *memory;
  const fb_facts *facts;
  S_node *nodes;
} S_tree;

static S_tree S_tree_of(const fb_session *session, uint32_t number) {
  const fb_rule_sorted *plan = &session->set->sorteds[number];
  fb_sorted_memory *memory = &session->sorteds[number];
  return (S_tree){plan, memory, session->memories[session->set->alphas[plan->alpha].type].facts,
                  memory->nodes};
}

/* ── The order ── */

#define S_BIAS (UINT64_C(1) << 63)

static uint64_t S_image_of_double(double d) {
  if (d < -0x1p63) return 0;
  if (d >= 0x1p63) return UINT64_MAX;
  int64_t whole = (int64_t)d;
  return ((uint64_t)whole - (uint64_t)(d < (double)whole)) + S_BIAS;
}

/* A lesser value has no greater image. */
static uint64_t S_image(fb_value value) {
  uint64_t image = 0;
  switch (value.kind) {
    case FB_UINT: return value.as.u > INT64_MAX ? UINT64_MAX : value.as.u + S_BIAS;
    case FB_DOUBLE: return S_image_of_double(value.as.d);
    case FB_STRING:
      for (uint32_t i = 0; i < 8; i++)
        image = image << 8 | (i < value.len ? (uint8_t)value.as.text[i] : 0);
      return image;
    default: return value.as.u + S_BIAS; /* INT, and the seconds of times */
  }
}

/* Of the other field. What is no number is never passed by. */
static uint64_t S_other_image(fb_value value) {
  return fb_rule_class(value) == FB_INT ? S_image(value) : UINT64_MAX;
}

/* Of the fields that are equal. False: one of them equals nothing. */
static bool S_hash_fields(const S_tree *tree, uint32_t row, uint32_t *ret_hash) {
  uint64_t hash = 0;
  for (uint32_t i = 0; i < tree->plan->equal_count; i++) {
    fb_value value = fb_facts_cell(tree->facts, row, tree->plan->equals[i]);
    if (value.kind == FB_ABSENT) return false;
    hash = fb_value_hash(value, hash);
  }
  *ret_hash = (uint32_t)(hash ^ hash >> 32);
  return true;
}

/* The node against the spot, rows left out. */
static int S_against(const S_tree *tree, const S_node *node, const S_spot *spot) {
  if (node->hash != spot->hash) return node->hash < spot->hash ? -1 : 1;
  if (node->class_ != spot->class_) return node->class_ < spot->class_ ? -1 : 1;
  if (node->image != spot->image) return node->image < spot->image ? -1 : 1;
  int order = 0;
  if (!tree->plan->elements)
    fb_value_compare(fb_facts_cell(tree->facts, node->row, tree->plan->field), spot->value, &order);
  return order;
}

static int S_order(const S_tree *tree, const S_node *node, const S_spot *spot) {
  int order = S_against(tree, node, spot);
  return order ? order : node->row < spot->row ? -1 : node->row > spot->row;
}

/* ── The treap ── */

static uint64_t S_priority(uint32_t number) {
  return fb_hash_u64(number);
}

static void S_measure(S_node *nodes, uint32_t at) {
  const S_node *left = &nodes[nodes[at].left], *right = &nodes[nodes[at].right];
  uint64_t most = left->most > right->most ? left->most : right->most;
  nodes[at].size = left->size + right->size + 1;
  nodes[at].most = most > nodes[at].other ? most : nodes[at].other;
}

/* What is before the spot goes left. Recursion is bounded by the depth, which goes by the logarithm: priorities are those of
 * numbers that nobody chooses. */
static void S_split(const S_tree *tree, uint32_t at, const S_spot *spot, uint32_t *left,
                    uint32_t *right) {
  S_node *nodes = tree->nodes;
  if (!at) {
    *left = *right = 0;
    return;
  }
  if (S_order(tree, &nodes[at], spot) < 0) {
    S_split(tree, nodes[at].right, spot, &nodes[at].right, right);
    *left = at;
  } else {
    S_split(tree, nodes[at].left, spot, left, &nodes[at].left);
    *right = at;
  }
  S_measure(nodes, at);
}

static uint32_t S_join(S_node *nodes, uint32_t left, uint32_t right) {
  if (!left || !right) return left | right;
  bool first = S_priority(left) > S_priority(right);
  uint32_t at = first ? left : right;
  if (first)
    nodes[at].right = S_join(nodes, nodes[at].right, right);
  else
    nodes[at].left = S_join(nodes, left, nodes[at].left);
  S_measure(nodes, at);
  return at;
}

static uint32_t *S_child(S_node *node, int order) {
  return order < 0 ? &node->right : &node->left;
}

/* Where the node of the spot is; 0: there is none. */
static bool S_has(const S_tree *tree, const S_spot *spot) {
  uint32_t at = tree->memory->root;
  for (int order; at && (order = S_order(tree, &tree->nodes[at], spot)) != 0;)
    at = *S_child(&tree->nodes[at], order);
  return at != 0;
}

static void S_put(const S_tree *tree, uint32_t number, const S_spot *spot) {
  S_node *nodes = tree->nodes;
  uint32_t *link = &tree->memory->root;
  while (*link && S_priority(*link) >= S_priority(number)) {
    nodes[*link].size++;
    if (nodes[*link].most < spot->other) nodes[*link].most = spot->other;
    link = S_child(&nodes[*link], S_order(tree, &nodes[*link], spot));
  }
  nodes[number] = (S_node){.image = spot->image,
                           .other = spot->other,
                           .hash = spot->hash,
                           .row = spot->row,
                           .class_ = spot->class_};
  S_split(tree, *link, spot, &nodes[number].left, &nodes[number].right);
  S_measure(nodes, number);
  *link = number;
}

/* The spot is in. Recursion: as in S_split. */
static void S_take(const S_tree *tree, uint32_t *link, const S_spot *spot) {
  S_node *nodes = tree->nodes;
  uint32_t at = *link;
  int order = S_order(tree, &nodes[at], spot);
  if (order) {
    S_take(tree, S_child(&nodes[at], order), spot);
    S_measure(nodes, at);
    return;
  }
  *link = S_join(nodes, nodes[at].left, nodes[at].right);
  nodes[at].left = tree->memory->free;
  tree->memory->free = at;
}

static uint32_t S_new_node(fb_session *session, fb_sorted_memory *memory) {
  if (memory->free) {
    uint32_t number = memory->free;
    memory->free = memory->nodes[number].left;
    return number;
  }
  uint32_t first = memory->count ? memory->count : 1;
  if (first == UINT32_MAX || !fb_grow(&session->allocator, (void **)&memory->nodes, &memory->cap,
                                      first, sizeof *memory->nodes))
    return 0;
  if (!memory->count) memory->nodes[0] = (S_node){0};
  memory->count = first + 1;
  return first;
}

/* ── Facts ── */

static bool S_insert_spot(fb_session *session, uint32_t number, const S_spot *spot) {
  S_tree tree = S_tree_of(session, number);
  if (tree.plan->elements && S_has(&tree, spot)) return true;
  uint32_t node = S_new_node(session, tree.memory);
  if (!node) return false;
  tree.nodes = tree.memory->nodes;
  S_put(&tree, node, spot);
  return true;
}

static bool S_change_spot(fb_session *session, uint32_t number, const S_spot *spot, bool insert) {
  S_tree tree = S_tree_of(session, number);
  if (insert) return S_insert_spot(session, number, spot);
  if (S_has(&tree, spot)) S_take(&tree, &tree.memory->root, spot); /* a list may have it twice */
  return true;
}

static bool S_change_element(fb_session *session, uint32_t number, S_spot *spot, fb_value element,
                             bool insert) {
  spot->image = fb_value_hash(element, 0);
  return S_change_spot(session, number, spot, insert);
}

/* Puts a row in, or takes it out. */
static bool S_change(fb_session *session, uint32_t number, uint32_t row, bool insert) {
  S_tree tree = S_tree_of(session, number);
  S_spot spot = {.row = row};
  if (!S_hash_fields(&tree, row, &spot.hash)) return true;
  fb_value value = fb_facts_cell(tree.facts, row, tree.plan->field);
  bool good = true;
  if (!tree.plan->elements) {
    spot.class_ = fb_rule_class(value);
    spot.image = S_image(value);
    spot.value = value;
    if (tree.plan->other != FB_RULE_NONE)
      spot.other = S_other_image(fb_facts_cell(tree.facts, row, tree.plan->other));
    return spot.class_ == FB_ABSENT || S_change_spot(session, number, &spot, insert);
  }
  for (uint32_t i = 0; value.kind == FB_LIST && good && i < value.as.list->len; i++)
    good = S_change_element(session, number, &spot, value.as.list->items[i], insert);
  for (uint32_t i = 0; value.kind == FB_MAP && good && i < value.as.map->len; i++)
    good = S_change_element(session, number, &spot, value.as.map->entries[i].key, insert);
  return good;
}

void fb_sorted_insert(fb_session *session, uint32_t number, uint32_t row) {
  if (session->sorteds[number].made && !S_change(session, number, row, true))
    fb_sorted_release(session, number);
}

void fb_sorted_remove(fb_session *session, uint32_t number, uint32_t row) {
  if (session->sorteds[number].made) S_change(session, number, row, false);
}

void fb_sorted_release(fb_session *session, uint32_t number) {
  fb_sorted_memory *memory = &session->sorteds[number];
  fb_free(&session->allocator, memory->nodes, memory->cap * sizeof *memory->nodes);
  *memory = (fb_sorted_memory){0};
}

static bool S_ready(fb_session *session, uint32_t number) {
  fb_sorted_memory *memory = &session->sorteds[number];
  if (FB_LIKELY(memory->made)) return true;
  const fb_alpha_memory *alpha = &session->alphas[session->set->sorteds[number].alpha];
  bool good = true;
  for (size_t word = 0; good && word < alpha->words; word++)
    for (uint64_t bits = alpha->bits[word]; bits && good; bits &= bits - 1)
      good =
          S_change(session, number, (uint32_t)(word * 64) + (uint32_t)__builtin_ctzll(bits), true);
  memory->made = good;
  if (!good) fb_sorted_release(session, number);
  return good;
}

/* ── Looking up ── */

/* How many nodes are before the spot; `after`: or at it. */
static uint32_t S_rank(const S_tree *tree, const S_spot *spot, bool after) {
  uint32_t at = tree->memory->root, rank = 0;
  while (at) {
    const S_node *node = &tree->nodes[at];
    int order = S_against(tree, node, spot);
    if (order < 0 || (after && !order)) {
      rank += tree->nodes[node->left].size + 1;
      at = node->right;
    } else {
      at = node->left;
    }
  }
  return rank;
}

/* How many nodes come before those with the hash and the class, or with a later one. */
static uint32_t S_rank_of_class(const S_tree *tree, uint32_t hash, uint32_t class_) {
  uint32_t at = tree->memory->root, rank = 0;
  while (at) {
    const S_node *node = &tree->nodes[at];
    if (node->hash < hash || (node->hash == hash && node->class_ < class_)) {
      rank += tree->nodes[node->left].size + 1;
      at = node->right;
    } else {
      at = node->left;
    }
  }
  return rank;
}

/* Narrows what was found by one bound. False: the value has no order. */
static bool S_narrow(const S_tree *tree, uint8_t op, fb_value value, uint32_t hash, bool first,
                     fb_sorted_found *found) {
  S_spot spot = {.hash = hash, .class_ = fb_rule_class(value), .value = value};
  if (value.kind == FB_ABSENT || (value.kind == FB_DOUBLE && value.as.d != value.as.d)) {
    found->to = found->from; /* nothing fits */
    return true;
  }
  if (tree->plan->elements) {
    spot.class_ = 0;
    spot.image = fb_value_hash(value, 0);
    found->from = S_rank(tree, &spot, false);
    found->to = S_rank(tree, &spot, true);
    return true;
  }
  if (spot.class_ == FB_ABSENT) return false;
  spot.image = S_image(value);
  uint32_t from = S_rank_of_class(tree, hash, spot.class_),
           to = S_rank_of_class(tree, hash, spot.class_ + 1u);
  if (op == FB_RULE_LT || op == FB_RULE_LE)
    to = S_rank(tree, &spot, op == FB_RULE_LE);
  else
    from = S_rank(tree, &spot, op == FB_RULE_GT);
  found->from = first || from > found->from ? from : found->from;
  found->to = first || to < found->to ? to : found->to;
  return true;
}

/* The other field is at least that. */
static void S_narrow_other(fb_value value, fb_sorted_found *found) {
  if (value.kind == FB_ABSENT || (value.kind == FB_DOUBLE && value.as.d != value.as.d))
    found->to = found->from;
  else if (fb_rule_class(value) == FB_INT)
    found->least = S_image(value);
}

bool fb_sorted_find(fb_session *session, const fb_rule_level *level, fb_sorted_found *ret) {
  if (!S_ready(session, level->sorted)) return false;
  fb_arena_mark mark = fb_arena_save(&session->scratch);
  S_tree tree = S_tree_of(session, level->sorted);
  uint64_t mixed = 0;
  bool good = true;
  *ret = (fb_sorted_found){0};
  for (uint32_t i = 0; i < level->probe_count; i++) {
    fb_value value = fb_probe_key(session, &level->probes[i]);
    if (value.kind == FB_ABSENT) {
      fb_arena_rewind(&session->scratch, mark);
      return true;
    }
    mixed = fb_value_hash(value, mixed);
  }
  uint32_t hash = (uint32_t)(mixed ^ mixed >> 32);
  for (uint32_t i = 0; i < level->bound_count && good; i++) {
    fb_value key = fb_bound_key(session, &level->bounds[i]);
    if (i && tree.plan->other != FB_RULE_NONE)
      S_narrow_other(key, ret);
    else
      good = S_narrow(&tree, level->bounds[i].op, key, hash, !i, ret);
  }
  fb_arena_rewind(&session->scratch, mark);
  ret->all = S_rank_of_class(&tree, hash, UINT8_MAX) - S_rank_of_class(&tree, hash, 0);
  if (ret->to < ret->from) ret->to = ret->from;
  return good;
}

/* ── Going through what was found ── */

/* Forgets the oldest where there is no room: the way to it is found again. */
static void S_push(fb_sorted_cursor *cursor, uint32_t at) {
  if (cursor->depth == FB_SORTED_PATH) {
    memmove(cursor->path, cursor->path + 1, --cursor->depth * sizeof *cursor->path);
  }
  cursor->path[cursor->depth++] = at;
}

/* Goes down to the first node of the subtree that is to be looked at. */
static void S_go_down(fb_sorted_cursor *cursor, uint32_t at) {
  const S_node *nodes = cursor->memory->nodes;
  for (; at && nodes[at].most >= cursor->least; at = nodes[at].left) S_push(cursor, at);
  cursor->rank += nodes[at].size; /* of what is passed by */
}

/* The way to the node with the cursor's rank, or to one after it if those between are passed by. */
static void S_descend(fb_sorted_cursor *cursor) {
  const S_node *nodes = cursor->memory->nodes;
  uint32_t skip = cursor->rank, at = cursor->memory->root;
  while (at) {
    uint32_t before = nodes[nodes[at].left].size;
    if (skip > before) {
      skip -= before + 1;
      at = nodes[at].right;
      continue;
    }
    S_push(cursor, at);
    if (skip == before) return;
    at = nodes[at].left;
  }
}

void fb_sorted_start(const fb_session *session, uint32_t number, const fb_sorted_found *found,
                     fb_sorted_cursor *cursor) {
  cursor->memory = &session->sorteds[number];
  cursor->depth = 0;
  cursor->rank = found->from;
  cursor->to = found->to;
  cursor->least = found->least;
}

uint32_t fb_sorted_next(fb_sorted_cursor *cursor) {
  const S_node *nodes = cursor->memory->nodes;
  while (cursor->rank < cursor->to) {
    if (!cursor->depth) S_descend(cursor);
    const S_node *node = &nodes[cursor->path[--cursor->depth]];
    cursor->rank++;
    S_go_down(cursor, node->right);
    if (node->other >= cursor->least) return node->row + 1;
  }
  return 0;
}
