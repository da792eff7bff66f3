/* SPDX-License-Identifier: Apache-2.0
 *
 * Indexes: an alpha's facts by the values of some fields, or, with no fields, all of them. A table leads to the first
 * row of a group; the rows of a group have the same values and stand in a list, in an ordered index the later fact
 * first. An index is made when something is looked for in it for the first time, and kept from then on.
 *
 * A fact that comes into a long group at its old place (modified, not new) is put near the head and noted as misplaced;
 * the lists are mended when their order is asked for next, so that many such changes cost one pass.
 */
#include "data/facts_internal.h"
#include "rules/session.h"

#include <stdlib.h>

enum {
  FIRST_SLOTS = 16,
  FIRST_ROWS = 64,
  STEPS = 8 /* to find a row's place in its group */
};

/* ── Keys ── */

static inline uint32_t S_mix(uint32_t hash, fb_rule_key key) {
  return (uint32_t)(hash * UINT32_C(0x9e3779b1) + (uint32_t)fb_rule_key_hash(key));
}

/* The common kinds at once. */
static inline fb_rule_key S_key_of(fb_value value, const fb_symbols *symbols) {
  if (value.kind == FB_INT) return (fb_rule_key){FB_KEY_INT, value.as.u};
  if (value.kind == FB_STRING && value.symbol)
    return (fb_rule_key){FB_KEY_SYMBOL, fb_symbol_of(value)};
  return fb_rule_key_of(value, symbols);
}

/* False: some field equals nothing, so that no join finds the row. */
static bool S_hash_row(const fb_session *session, const fb_rule_index *plan, const fb_facts *facts,
                       uint32_t row, uint32_t *ret_hash) {
  uint32_t hash = 0;
  for (uint32_t i = 0; i < plan->field_count; i++) {
    fb_rule_key key = S_key_of(fb_facts_cell(facts, row, plan->fields[i]), session->symbols);
    if (key.tag == FB_KEY_NONE) return false;
    hash = S_mix(hash, key);
  }
  *ret_hash = hash;
  return true;
}

static bool S_equals(const fb_session *session, fb_value a, fb_value b) {
  fb_rule_key key = S_key_of(a, session->symbols);
  if (key.tag == FB_KEY_HASHED) return fb_value_equal(a, b);
  return fb_rule_key_equal(key, S_key_of(b, session->symbols));
}

static bool S_same_rows(const fb_session *session, const fb_rule_index *plan, const fb_facts *facts,
                        uint32_t a, uint32_t b) {
  for (uint32_t i = 0; i < plan->field_count; i++)
    if (!S_equals(session, fb_facts_cell(facts, a, plan->fields[i]),
                  fb_facts_cell(facts, b, plan->fields[i])))
      return false;
  return true;
}

/* ── Groups ── */

/* Of a row that is the first of its group. */
static fb_index_slot *S_slot_of_row(fb_session *session, const fb_rule_index *plan,
                                    const fb_index_memory *index, const fb_facts *facts,
                                    uint32_t row) {
  uint32_t hash = 0, mask = index->slot_count - 1;
  S_hash_row(session, plan, facts, row, &hash);
  uint32_t at = hash & mask;
  while (index->slots[at].first != row + 1) at = (at + 1) & mask;
  return &index->slots[at];
}

/* Moves up what the gap would hide. */
static void S_remove_slot(fb_index_memory *index, const fb_index_slot *slot) {
  uint32_t mask = index->slot_count - 1, gap = (uint32_t)(slot - index->slots), at = gap;
  index->groups--;
  for (;;) {
    at = (at + 1) & mask;
    if (!index->slots[at].first) break;
    uint32_t home = index->slots[at].hash & mask;
    if (((at - home) & mask) < ((at - gap) & mask)) continue;
    index->slots[gap] = index->slots[at];
    gap = at;
  }
  index->slots[gap].first = 0;
}

static bool S_grow_slots(fb_session *session, fb_index_memory *index) {
  if (index->groups < index->slot_count - index->slot_count / 4) return true;
  uint32_t count = index->slot_count ? index->slot_count * 2 : FIRST_SLOTS;
  fb_index_slot *slots = fb_alloc_zero(&session->allocator, (size_t)count * sizeof *slots);
  if (!slots) return false;
  for (uint32_t i = 0; i < index->slot_count; i++) {
    if (!index->slots[i].first) continue;
    uint32_t at = index->slots[i].hash & (count - 1);
    while (slots[at].first) at = (at + 1) & (count - 1);
    slots[at] = index->slots[i];
  }
  fb_free(&session->allocator, index->slots, (size_t)index->slot_count * sizeof *slots);
  index->slots = slots;
  index->slot_count = count;
  return true;
}

static bool S_grow_rows(fb_session *session, fb_index_memory *index, uint32_t row) {
  if (row < index->rows) return true;
  size_t rows = index->rows + index->rows / 2 > (size_t)row + FIRST_ROWS
                    ? index->rows + index->rows / 2
                    : (size_t)row + FIRST_ROWS;
  uint32_t **arrays[] = {&index->next, &index->prev};
  uint32_t *grown[2];
  for (int i = 0; i < 2; i++) {
    grown[i] = fb_alloc(&session->allocator, rows * sizeof(uint32_t));
    if (grown[i]) continue;
    while (i--) fb_free(&session->allocator, grown[i], rows * sizeof(uint32_t));
    return false;
  }
  for (int i = 0; i < 2; i++) {
    if (index->rows) memcpy(grown[i], *arrays[i], index->rows * sizeof(uint32_t));
    fb_free(&session->allocator, *arrays[i], index->rows * sizeof(uint32_t));
    *arrays[i] = grown[i];
  }
  for (size_t i = index->rows; i < rows; i++) index->next[i] = FB_INDEX_OUT;
  index->rows = rows;
  return true;
}

static uint64_t S_serial(const fb_session *session, const uint32_t *places, uint32_t row) {
  return fb_place_serial(session, places[row]);
}

static void S_link(fb_index_memory *index, fb_index_slot *slot, uint32_t prev, uint32_t next,
                   uint32_t row) {
  index->next[row] = next;
  index->prev[row] = prev;
  if (next) index->prev[next - 1] = row + 1;
  if (prev)
    index->next[prev - 1] = row + 1;
  else
    slot->first = row + 1;
}

static bool S_note(fb_session *session, fb_index_memory *index, uint32_t row) {
  if (index->misplaced_count / 2 > index->count) index->disordered = true;
  if (index->disordered) return true;
  if (!fb_grow(&session->allocator, (void **)&index->misplaced, &index->misplaced_cap,
               index->misplaced_count, sizeof *index->misplaced))
    return false;
  index->misplaced[index->misplaced_count++] = row;
  return true;
}

/* Into the group that `slot` leads to. */
static bool S_enter_group(fb_session *session, fb_index_memory *index, const uint32_t *places,
                          bool ordered, fb_index_slot *slot, uint32_t row) {
  uint32_t next = slot->first, prev = 0;
  if (ordered && next) {
    uint64_t serial = S_serial(session, places, row);
    /* Among misplaced rows only the newest fact is certain of its place. */
    bool astray = index->misplaced_count && serial < session->serial;
    for (int steps = 0; next && S_serial(session, places, next - 1) > serial; steps++) {
      if (steps == STEPS) {
        astray = true;
        break;
      }
      prev = next;
      next = index->next[next - 1];
    }
    if (astray && !S_note(session, index, row)) return false;
  }
  S_link(index, slot, prev, next, row);
  return true;
}

/* Where the row's group is, or is to be. */
static fb_index_slot *S_find_slot(const fb_session *session, const fb_rule_index *plan,
                                  const fb_index_memory *index, const fb_facts *facts, uint32_t row,
                                  uint32_t hash) {
  uint32_t mask = index->slot_count - 1, at = hash & mask;
  while (index->slots[at].first &&
         (index->slots[at].hash != hash ||
          !S_same_rows(session, plan, facts, index->slots[at].first - 1, row)))
    at = (at + 1) & mask;
  return &index->slots[at];
}

static bool S_insert(fb_session *session, uint32_t number, uint32_t row) {
  const fb_rule_index *plan = &session->set->indexes[number];
  fb_index_memory *index = &session->indexes[number];
  const fb_memory *memory = &session->memories[session->set->alphas[plan->alpha].type];
  uint32_t hash;
  if (!S_hash_row(session, plan, memory->facts, row, &hash)) return true;
  if (!S_grow_rows(session, index, row) || !S_grow_slots(session, index)) return false;
  fb_index_slot *slot = S_find_slot(session, plan, index, memory->facts, row, hash);
  bool first = !slot->first;
  if (!S_enter_group(session, index, memory->places, plan->ordered, slot, row)) return false;
  index->groups += first;
  slot->hash = hash;
  index->count++;
  return true;
}

bool fb_index_insert(fb_session *session, uint32_t number, uint32_t row) {
  return !session->indexes[number].made || S_insert(session, number, row);
}

void fb_index_remove(fb_session *session, uint32_t number, uint32_t row) {
  fb_index_memory *index = &session->indexes[number];
  if (row >= index->rows || index->next[row] == FB_INDEX_OUT) return;
  uint32_t next = index->next[row], prev = index->prev[row];
  if (prev) {
    index->next[prev - 1] = next;
  } else {
    const fb_rule_index *plan = &session->set->indexes[number];
    const fb_facts *facts = session->memories[session->set->alphas[plan->alpha].type].facts;
    fb_index_slot *slot = S_slot_of_row(session, plan, index, facts, row);
    if (next)
      slot->first = next;
    else
      S_remove_slot(index, slot);
  }
  if (next) index->prev[next - 1] = prev;
  index->next[row] = FB_INDEX_OUT;
  index->count--;
}

/* ── Mending the order ── */

typedef struct S_stray {
  uint64_t serial;
  uint32_t group; /* number of its slot */
  uint32_t row;
} S_stray;

static int S_stray_order(const void *pa, const void *pb) {
  const S_stray *a = pa, *b = pb;
  if (a->group != b->group) return a->group < b->group ? -1 : 1;
  return a->serial > b->serial ? -1 : a->serial < b->serial;
}

/* Takes the misplaced rows out of their lists; the last row of a group stays. */
static size_t S_take_strays(fb_session *session, const fb_rule_index *plan, fb_index_memory *index,
                            const fb_memory *memory, S_stray *out) {
  size_t count = 0;
  for (size_t i = 0; i < index->misplaced_count; i++) {
    uint32_t row = index->misplaced[i], next = index->next[row], prev = index->prev[row];
    if (next == FB_INDEX_OUT || (!next && !prev)) continue;
    uint32_t hash = 0;
    S_hash_row(session, plan, memory->facts, row, &hash);
    fb_index_slot *slot = S_find_slot(session, plan, index, memory->facts, row, hash);
    if (next) index->prev[next - 1] = prev;
    if (prev)
      index->next[prev - 1] = next;
    else
      slot->first = next;
    index->next[row] = FB_INDEX_OUT;
    out[count++] =
        (S_stray){S_serial(session, memory->places, row), (uint32_t)(slot - index->slots), row};
  }
  return count;
}

/* Those of a group go in on one way down its list. */
static void S_merge_strays(fb_session *session, fb_index_memory *index, const uint32_t *places,
                           const S_stray *strays, size_t count) {
  uint32_t prev = 0, next = 0;
  for (size_t i = 0; i < count; i++) {
    fb_index_slot *slot = &index->slots[strays[i].group];
    if (!i || strays[i - 1].group != strays[i].group) {
      prev = 0;
      next = slot->first;
    }
    while (next && S_serial(session, places, next - 1) > strays[i].serial) {
      prev = next;
      next = index->next[next - 1];
    }
    S_link(index, slot, prev, next, strays[i].row);
    prev = strays[i].row + 1;
  }
}

static bool S_mend(fb_session *session, uint32_t number) {
  const fb_rule_index *plan = &session->set->indexes[number];
  fb_index_memory *index = &session->indexes[number];
  const fb_memory *memory = &session->memories[session->set->alphas[plan->alpha].type];
  size_t size = index->misplaced_count * sizeof(S_stray);
  S_stray *strays = fb_alloc(&session->allocator, size);
  if (!strays) return false;
  size_t count = S_take_strays(session, plan, index, memory, strays);
  qsort(strays, count, sizeof *strays, S_stray_order);
  S_merge_strays(session, index, memory->places, strays, count);
  index->misplaced_count = 0;
  fb_free(&session->allocator, strays, size);
  return true;
}

/* ── Making ── */

void fb_index_release(fb_session *session, uint32_t number) {
  fb_index_memory *index = &session->indexes[number];
  const fb_allocator *allocator = &session->allocator;
  fb_free(allocator, index->slots, (size_t)index->slot_count * sizeof *index->slots);
  fb_free(allocator, index->next, index->rows * sizeof *index->next);
  fb_free(allocator, index->prev, index->rows * sizeof *index->prev);
  fb_free(allocator, index->misplaced, index->misplaced_cap * sizeof *index->misplaced);
  *index = (fb_index_memory){0};
}

typedef struct S_row {
  uint64_t serial;
  uint32_t row;
} S_row;

static int S_earlier(const void *pa, const void *pb) {
  const S_row *a = pa, *b = pb;
  return a->serial < b->serial ? -1 : a->serial > b->serial;
}

static bool S_make(fb_session *session, uint32_t number) {
  const fb_rule_index *plan = &session->set->indexes[number];
  const fb_alpha_memory *alpha = &session->alphas[plan->alpha];
  const fb_memory *memory = &session->memories[session->set->alphas[plan->alpha].type];
  size_t count = 0, size = ((size_t)alpha->count + 1) * sizeof(S_row);
  bool good = true, sorted = true;
  S_row *rows = fb_alloc(&session->allocator, size);
  if (!rows) return false;
  for (size_t word = 0; word < alpha->words; word++)
    for (uint64_t bits = alpha->bits[word]; bits; bits &= bits - 1) {
      uint32_t row = (uint32_t)(word * 64) + (uint32_t)__builtin_ctzll(bits);
      rows[count] = (S_row){S_serial(session, memory->places, row), row};
      sorted = sorted && (!count || rows[count - 1].serial < rows[count].serial);
      count++;
    }
  if (plan->ordered && !sorted) qsort(rows, count, sizeof *rows, S_earlier);
  for (size_t i = 0; i < count && good; i++) good = S_insert(session, number, rows[i].row);
  fb_free(&session->allocator, rows, size);
  return good;
}

bool fb_index_ready(fb_session *session, uint32_t number) {
  fb_index_memory *index = &session->indexes[number];
  if (FB_LIKELY(index->made)) return true;
  index->made = S_make(session, number);
  if (!index->made) fb_index_release(session, number);
  return index->made;
}

bool fb_index_mended(fb_session *session, uint32_t number) {
  const fb_index_memory *index = &session->indexes[number];
  if (FB_LIKELY(!index->misplaced_count)) return true;
  if (!index->disordered) return S_mend(session, number);
  fb_index_release(session, number);
  return fb_index_ready(session, number);
}

/* ── Looking up ── */

uint32_t fb_index_first(fb_session *session, uint32_t number, const fb_value *values) {
  const fb_rule_index *plan = &session->set->indexes[number];
  const fb_index_memory *index = &session->indexes[number];
  const fb_facts *facts = session->memories[session->set->alphas[plan->alpha].type].facts;
  fb_rule_key keys[FB_RULE_INDEX_FIELDS];
  uint32_t hash = 0;
  if (!index->groups) return 0;
  for (uint32_t i = 0; i < plan->field_count; i++) {
    keys[i] = S_key_of(values[i], session->symbols);
    if (keys[i].tag == FB_KEY_NONE || keys[i].tag == FB_KEY_UNKNOWN_TEXT) return 0;
    hash = S_mix(hash, keys[i]);
  }
  uint32_t mask = index->slot_count - 1;
  for (uint32_t at = hash & mask, first; (first = index->slots[at].first); at = (at + 1) & mask) {
    if (index->slots[at].hash != hash) continue;
    uint32_t i = 0;
    for (; i < plan->field_count; i++) {
      fb_value value = fb_facts_cell(facts, first - 1, plan->fields[i]);
      if (value.kind == FB_INT && keys[i].tag == FB_KEY_INT) {
        if ((uint64_t)value.as.i != keys[i].bits) break;
        continue;
      }
      if (keys[i].tag == FB_KEY_HASHED
              ? !fb_value_equal(value, values[i])
              : !fb_rule_key_equal(S_key_of(value, session->symbols), keys[i]))
        break;
    }
    if (i == plan->field_count) return first;
  }
  return 0;
}
