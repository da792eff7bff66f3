/* SPDX-License-Identifier: Apache-2.0
 *
 * A session's state: facts in columns, what the plan's alphas and indexes hold of them, the agenda.
 *
 *   place       a fact's number; its generation counts how often the place was used
 *   row         where its fields are, in the table of its type; used again as well
 *   tick        the number of a change (assert, modify, retract); activations made by a later one fire first.
 *               A fact's serial is the tick of its assertion
 *   stamp       the tick at which a fact came into a condition, where that is not its serial
 *   stale       a waiting activation whose `not` or `exists` no longer holds. It is found out when its turn comes,
 *               so that a fact that blocks costs nothing until then
 */
#ifndef FB_RULES_SESSION_H
#define FB_RULES_SESSION_H

#include "data/pager.h"
#include "rules/plan.h"

typedef struct fb_aggregates fb_aggregates;
typedef struct fb_activation fb_activation;
typedef struct fb_link fb_link;
typedef struct fb_reason fb_reason;

/* In the list of its fact; the newest first. Those of one activation in one fact's list stand together. The link of a
 * derived slot has a number instead of a place, and is in the list that fb_slot_links tells, or in none. */
struct fb_link {
  fb_link *next, *prev; /* prev NULL: the head, fact->links */
  uint32_t place;
  uint32_t position; /* index in the activation's links = slot in the rule */
};

struct fb_activation {
  union {
    uint64_t tick;      /* it waits */
    fb_reason *reasons; /* it fired: of the facts that it supports */
  };
  fb_activation *hash_next; /* of hashed rules */
  uint32_t rule;
  uint16_t count;
  bool dead;  /* on the agenda, to be dropped */
  bool fired; /* kept, since facts are there because of it */
  fb_link links[];
};

static inline fb_activation *fb_link_owner(fb_link *link) {
  return (fb_activation *)((char *)(link - link->position) - offsetof(fb_activation, links));
}

/* Why a logical fact is held: one activation that fired. */
struct fb_reason {
  fb_reason *next, *prev; /* of the same fact; prev NULL: the head */
  fb_reason *owner_next;
  fb_activation *owner;
  uint64_t firing;
  uint32_t logical; /* number of the fact's record */
};

typedef struct fb_logical {
  fb_reason *reasons, *last; /* the oldest first */
  uint64_t hash, serial;     /* serial: of the fact */
  uint32_t place;            /* 0: the fact is gone */
  uint32_t next;             /* of its bucket, or of the free ones */
  bool waits;                /* to be withdrawn */
} fb_logical;

/* Logical facts and their reasons; see logical.c. */
typedef struct fb_truth {
  fb_logical *items; /* 0 is not used */
  size_t cap;
  uint32_t count, free; /* free: the first, 0: none */
  uint32_t *buckets;    /* items by what their facts say */
  size_t bucket_count, live;
  uint32_t *waiting; /* heap; room for all items */
  size_t waiting_count, waiting_cap;
  fb_pool reasons;
  uint64_t supports; /* activations kept */
  fb_activation
      *firing; /* of a rule with logical asserts; NULL: it lost its match by what it did */
} fb_truth;

/* What every fact needs; the rest is beside it, in fb_aside. */
typedef struct fb_fact {
  uint32_t row; /* NONE: the place is free */
  uint32_t generation;
  uint32_t type; /* of a free place: the next free one */
} fb_fact;

/* Where a fact comes from. */
typedef struct fb_origin {
  uint64_t made_by;    /* firing; 0: from outside */
  uint64_t changed_by; /* last firing that modified it; 0: none */
  uint32_t logical;    /* number of its record; 0: held whatever becomes of its reason */
} fb_origin;

#define FB_ASIDE_PLACES 4096

/* What few facts need, for FB_ASIDE_PLACES places that follow each other; each array is made when the first of
 * them needs it. A fact's serial (the tick of its assertion) is its place and `ahead`, as long as no place
 * among these was used twice or out of turn. */
typedef struct fb_aside {
  fb_link **links;
  fb_origin *origins;
  uint64_t *serials;
  uint64_t ahead;
  bool begun; /* `ahead` is set, by the first of them */
} fb_aside;

/* The facts of one type. */
typedef struct fb_memory {
  fb_facts *facts;  /* NULL: none yet */
  uint32_t *places; /* by row; of a free row the next free one + 1 */
  size_t place_cap;
  uint32_t free_row; /* + 1; 0: none */
  uint64_t live;
  uint64_t *modified; /* bits by row: facts that were modified since they were asserted */
  size_t modified_words;
} fb_memory;

/* Stamps by row, in pages; 0, or no page: the serial of the fact is the tick. */
typedef struct fb_port_memory {
  uint64_t **pages;
  size_t page_count;
} fb_port_memory;

/* Which rows of its type are in an alpha. */
typedef struct fb_alpha_memory {
  uint64_t *bits;
  size_t words;
  uint32_t count;
} fb_alpha_memory;

typedef struct fb_index_slot {
  uint32_t first; /* row + 1; 0: empty */
  uint32_t hash;
} fb_index_slot;

/* Groups of rows with the same values, see index.c. Links are row + 1; 0: none. */
typedef struct fb_index_memory {
  fb_index_slot *slots; /* open addressing: the first of each group */
  uint32_t slot_count;  /* a power of two, or 0 */
  uint32_t groups;
  uint32_t *next, *prev; /* by row */
  size_t rows;
  uint32_t *misplaced; /* rows that may not stand in order */
  size_t misplaced_count, misplaced_cap;
  bool disordered; /* there are too many to be noted */
  uint32_t count;
  bool made; /* else nothing is in it yet */
} fb_index_memory;

/* See sorted.c. */
typedef struct fb_sorted_node fb_sorted_node;

typedef struct fb_sorted_memory {
  fb_sorted_node *nodes; /* 0 is not used */
  size_t cap;
  uint32_t count, free, root;
  bool made; /* else nothing is in it */
} fb_sorted_memory;

/* Where a walk stands at a level: at a fact, and what comes after it in the list that it is in. */
typedef struct fb_walk_level {
  uint64_t serial; /* of the fact that was at the place */
  uint32_t place;
  uint32_t next; /* row + 1; 0: none; UNKNOWN: to be looked for */
} fb_walk_level;

/* Facts that a level may bind, the latest first, where a sorted index finds few among many. Some may have gone since. */
typedef struct fb_walk_entry {
  uint64_t serial;
  uint32_t place;
} fb_walk_entry;

typedef struct fb_walk_list {
  fb_walk_entry *items;
  size_t count, cap, at;
  bool used;
} fb_walk_list;

#define FB_WALK_UNKNOWN UINT32_MAX
#define FB_INDEX_OUT UINT32_MAX /* in `next` of an index: the row is in no group */

/* The matches of a place that waits, one after the other; see walk.c. */
typedef struct fb_walk {
  uint64_t tick;
  uint32_t *found; /* all of them, in order, if they were collected: `count` places each */
  size_t found_count, found_cap, at;
  fb_walk_list *lists; /* by level; NULL: none yet */
  uint16_t
      count; /* of levels: slots of the rule but the one that the walk starts from, as written */
  uint16_t depth; /* levels that are bound: all of them at a match */
  bool enters;   /* the level after those is to be begun; else it is to go on at the last of them */
  bool head;     /* the levels are a match that has not fired yet */
  bool finished; /* nothing comes after it */
  bool collected;
  fb_walk_level levels[];
} fb_walk;

/* What waits on the agenda: an activation; or, of a lazy rule, a place that came into a condition, or the walk from it
 * once that has begun. A place whose fact has gone, or has come in again since, is dropped when its turn comes. */
typedef struct fb_waiting {
  union {
    uint64_t tick; /* at which the place came in */
    fb_activation *activation;
    fb_walk *walk;
  };
  uint32_t use; /* NONE: an activation; or with WALKS */
  uint32_t place;
} fb_waiting;

#define FB_WAITING_WALKS (UINT32_C(1) << 31)

static inline bool fb_waiting_walks(const fb_waiting *item) {
  return (item->use & FB_WAITING_WALKS) && item->use != FB_RULE_NONE;
}
/* Not of an activation. */
static inline uint32_t fb_waiting_use(const fb_waiting *item) {
  return item->use & ~FB_WAITING_WALKS;
}
static inline uint64_t fb_waiting_tick(const fb_waiting *item) {
  return fb_waiting_walks(item)      ? item->walk->tick
         : item->use != FB_RULE_NONE ? item->tick
                                     : item->activation->tick;
}

/* Of a lazy rule with guards: the matches that a change of its guards has made, and when. They were put on the agenda
 * then, so that walks that began earlier must not find them. See mend.c. */
typedef struct fb_mends {
  uint64_t waiting; /* places of the rule on the agenda: what none waits for is forgotten */
  uint64_t last;    /* tick of the latest */
  uint32_t *items;  /* two halves of the tick, and the places */
  size_t count, cap;
  uint32_t *slots; /* open addressing: item + 1 */
  size_t slot_count;
} fb_mends;

/* See flock.c. */
typedef struct fb_flock fb_flock;

typedef struct fb_level_flock {
  fb_flock *flock;
  size_t at;      /* items below it */
  uint32_t count; /* items that it stands for */
} fb_level_flock;

/* What waits with one salience; the last fires first. */
typedef struct fb_agenda_level {
  fb_waiting *items;
  size_t count, cap;
  fb_level_flock *flocks; /* among them, from the bottom up */
  size_t flock_count, flock_cap;
  size_t dead;  /* activations */
  size_t swept; /* items that were left by the last sweep */
} fb_agenda_level;

/* Behind an activation's links, in a queued session; see queue.c. */
typedef struct fb_rank {
  int32_t salience;
  uint32_t at, queue; /* where it is */
  uint64_t key;       /* by which the strategy orders first; the greater fires first */
  uint64_t tags[];    /* LEX, MEA: of its facts, falling; one a link */
} fb_rank;

typedef struct fb_queued {
  int32_t salience;
  uint64_t key;
  fb_activation *activation;
} fb_queued;

typedef struct fb_queue {
  fb_queued *items;
  size_t count, cap;
} fb_queue;

/* The rank that an activation had. */
typedef struct fb_ranked {
  int32_t salience;
  uint64_t key;
  uint64_t tags[FB_RULE_SLOTS];
} fb_ranked;

typedef struct fb_agenda {
  fb_queue *queues; /* by group; the last: out of effect. NULL: not queued */
  uint64_t timed;   /* activations of rules with `effective` */
  uint32_t *focus;  /* groups, the last on top */
  size_t focus_count, focus_cap;
  const fb_ranked *restored; /* of the activation to be added; NULL: it is told anew */
  fb_agenda_level *levels;   /* by rule->level */
  uint32_t *flock_counts;    /* one a level: room for fb_flock_push */
  uint32_t top;              /* no level before it has items */
  uint64_t live;             /* but for places to be dropped */
  bool doubtful;             /* there may be some */
  fb_waiting *fresh;         /* of this tick, not yet in order */
  size_t fresh_count, fresh_cap;
  fb_activation **buckets; /* hashed rules' activations by rule and places */
  size_t bucket_count, hashed;
  fb_pool pools[FB_RULE_SLOTS]; /* by number of facts */
  fb_pool walks[FB_RULE_SLOTS]; /* by number of levels */
  fb_mends *mends;              /* by rule */
} fb_agenda;

enum { FB_EMIT_RECORDS = 256, FB_EMIT_VALUES = 1024 };

/* Decisions that wait to be handed out; see emit.c. */
typedef struct fb_emitter {
  fb_decision_record *records;
  fb_value *values;
  uint32_t count, value_count;
  fb_status told; /* what the caller returned, until it is taken */
  bool fast;      /* nobody wants to know of single firings */
} fb_emitter;

/* Of an alpha: facts tested, and those that passed. Of a use: facts looked at in joins, those that fit, and the time of the walks
 * that began there. */
typedef struct fb_counts {
  uint64_t looked_at, passed;
  int64_t nanos;
} fb_counts;

struct fb_session {
  const fb_allocator *base;
  fb_allocator allocator; /* counts `held` and passes on to base */
  size_t held;
  const fb_ruleset *set;
  fb_session_options options;
  fb_symbols *symbols;
  fb_schema *schema;
  fb_memory *memories; /* by type id */
  size_t memory_cap;
  fb_fact *facts; /* by place; 0 is not used */
  size_t fact_cap;
  fb_aside *asides; /* by place / FB_ASIDE_PLACES */
  size_t aside_cap;
  uint32_t fact_count; /* places in use or free, and 0 */
  uint32_t free_place; /* 0: none */
  fb_alpha_memory *alphas;
  fb_index_memory *indexes;
  fb_sorted_memory *sorteds;
  fb_port_memory *ports;
  uint64_t *changed; /* fields of this modify, a bit each; none set: an assert or a retract */
  size_t changed_words;
  bool partial; /* this change is a modify: it concerns conditions that read a changed field */
  uint32_t *candidates; /* alphas; room for all */
  uint32_t *matched;
  const struct fb_kernels *kernels; /* for sift.c */
  struct fb_sifting *sifting;       /* room for sift.c; NULL: not needed yet */
  uint32_t *due;         /* rules of one fact, of a stateless session; room for all uses */
  fb_symbols_mark texts; /* those of the ruleset and the schema end here */
  fb_agenda agenda;
  fb_truth truth;
  fb_emitter emitter;
  fb_aggregates *aggregates; /* NULL: the ruleset has none */
  uint32_t *stash;           /* tuples a `not` may set free: rule, then its places */
  size_t stash_count, stash_cap;
  fb_value slots[FB_RULE_MAX_SLOTS]; /* what expressions see */
  uint32_t places[FB_RULE_MAX_SLOTS];
  fb_arena scratch;       /* of expressions in conditions */
  fb_arena firing_arena;  /* of a firing's values */
  fb_cel_context context; /* over scratch */
  fb_value *values;       /* of a firing's templates */
  uint32_t *rows;         /* made for a firing's asserts */
  uint64_t tick, serial, firing;
  uint64_t *log; /* of firings, see why.c */
  size_t log_count, log_cap;
  uint64_t log_first; /* firings before it in the log that were let go: options.max_explained */
  size_t *log_starts; /* by firing - 1 - log_first */
  size_t log_start_cap;
  fb_rule_stats *rule_stats;
  fb_session_stats stats;
  uint32_t firing_rule; /* NONE: none */
  const uint32_t *firing_places;
  uint64_t candidates_end;           /* of this change: stats.candidates may not pass it */
  fb_counts *profile;                /* by alpha, then by use; NULL: nobody asks */
  const fb_calculator **calculators; /* by number in the ruleset */
  fb_strategy strategy;
  uint64_t seed;
  bool queued;         /* queues in place of stacks; no rule is lazy */
  uint64_t *recencies; /* LEX, MEA: by place: the tick of the last modify */
  size_t recency_cap;
  fb_value now;         /* FB_ABSENT: before all times */
  fb_pager *pager;      /* NULL: all facts are in memory */
  struct fb_part *part; /* NULL: it is a session of its own */
  uint64_t firing_tick; /* of the activation that fires */
  bool halted;
  bool lost;    /* a change was cut off by lack of memory */
  bool bounded; /* what grows past max_memory is refused: only where the change can be taken back */
  bool over;    /* it was */
  bool refused; /* the last change failed before anything was changed */
  bool capped;  /* max_activations is in force: only where the change can be taken back */
  bool deriving; /* results of aggregates follow: nobody could take that back */
};

static inline fb_fact_id fb_place_id(const fb_session *session, uint32_t place) {
  return (fb_fact_id)session->facts[place].generation << 32 | place;
}
static inline fb_value fb_place_value(const fb_session *session, uint32_t place) {
  const fb_fact *fact = &session->facts[place];
  return fb_fact_value(session->memories[fact->type].facts, fact->row);
}
static inline uint64_t fb_place_serial(const fb_session *session, uint32_t place) {
  const fb_aside *aside = &session->asides[place / FB_ASIDE_PLACES];
  return aside->serials ? aside->serials[place % FB_ASIDE_PLACES] : place + aside->ahead;
}
static inline fb_link *fb_place_links(const fb_session *session, uint32_t place) {
  const fb_aside *aside = &session->asides[place / FB_ASIDE_PLACES];
  return aside->links ? aside->links[place % FB_ASIDE_PLACES] : NULL;
}
static inline fb_origin fb_place_origin(const fb_session *session, uint32_t place) {
  const fb_aside *aside = &session->asides[place / FB_ASIDE_PLACES];
  return aside->origins ? aside->origins[place % FB_ASIDE_PLACES] : (fb_origin){0};
}

/* memory.c: facts in columns. */
fb_status fb_memory_of(fb_session *session, const fb_fact_type *type, fb_memory **ret_memory);
/* A row without fields, not yet a fact. */
fb_status fb_memory_new_row(fb_session *session, fb_memory *memory, uint32_t *ret_row);
void fb_memory_free_row(fb_session *session, fb_memory *memory, uint32_t row);
/* Makes room for facts at places below `count`. */
bool fb_memory_room(fb_session *session, uint64_t count);
/* Notes the serial of a fact whose place there is room for. */
bool fb_memory_set_serial(fb_session *session, uint32_t place, uint64_t serial);
/* To write to; NULL when there is no memory for them. */
fb_link **fb_memory_links(fb_session *session, uint32_t place);
fb_origin *fb_memory_origin(fb_session *session, uint32_t place);
void fb_memory_release(fb_session *session);
/* Gives the row a place. */
fb_status fb_memory_place(fb_session *session, uint32_t type, uint32_t row, uint32_t *ret_place);
void fb_memory_unplace(fb_session *session, uint32_t place);
/* Says that so many facts come, for arrays that grow once then; fails silently. */
void fb_memory_reserve(fb_session *session, fb_memory *memory, const fb_facts *from, uint32_t first,
                       uint32_t count);
/* Facts of rows of another table, at new rows and new places, with the ticks after the last one as their serials; no row and
 * no place is free. On failure none is made. */
fb_status fb_memory_add_rows(fb_session *session, fb_memory *memory, const fb_facts *from,
                             uint32_t first, uint32_t count, uint32_t *ret_place);
/* Undoes that for the last ones. */
void fb_memory_drop_rows(fb_session *session, fb_memory *memory, uint32_t count);
/* 0 when there is no such fact. */
uint32_t fb_memory_find(const fb_session *session, fb_fact_id id);

/* slot.c: what slots hold, facts or not. `slot` is the first one of its condition. */
/* Sets the condition's slots in session->slots and session->places; the slots before it are bound. */
void fb_slot_bind(fb_session *session, const fb_rule *rule, uint32_t slot, uint32_t number);
/* Binds all slots of the rule to what the links have. */
void fb_slot_bind_all(fb_session *session, const fb_rule *rule, const uint32_t *places);
/* The number of what the derived slot may hold after *number (0: the first), for what those before it hold; 0: no more. */
fb_status fb_slot_next(fb_session *session, const fb_rule *rule, uint32_t slot, uint32_t *number);
/* May the slot hold it, for what those before it hold now? */
bool fb_slot_stands(fb_session *session, const fb_rule *rule, uint32_t slot, uint32_t number);
/* Is the slot one that activations are linked to, so that whoever changes what it holds finds them? */
bool fb_slot_is_linked(const fb_rule *rule, uint32_t slot);
/* The head of the list of what a linked slot holds; NULL when there is no memory for one. */
fb_link **fb_slot_links(fb_session *session, const fb_rule *rule, uint32_t slot, uint32_t number);
/* Of two activations that differ in this slot first, which fires first: negative: that with `a`. */
int fb_slot_order(const fb_session *session, const fb_rule *rule, uint32_t slot, uint32_t a,
                  uint32_t b);

/* Leads one row through a sieve. */
typedef struct fb_sifter {
  const fb_session *session;
  const fb_facts *facts;
  uint32_t row, count;
  uint32_t *found; /* room for all alphas of the type */
} fb_sifter;

/* alpha.c: which facts satisfy a condition's tests, and by which values they are found. */
/* Fills session->candidates with the alphas that the sieve leads the row to; FB_RULE_WHOLE may be set in them. */
uint32_t fb_alpha_candidates(fb_session *session, uint32_t type, uint32_t row);
/* The same in parts. */
void fb_sifter_sift(fb_sifter *sifter, const fb_rule_sieve *sieve);
void fb_sifter_ranges(fb_sifter *sifter, const fb_rule_ranges *ranges);
/* 0: none. */
uint32_t fb_sifter_child(const fb_sifter *sifter, const fb_rule_dispatch *dispatch);
/* The number of constants below the value, twice; one more if it is one of them. */
uint32_t fb_sifter_segment(const fb_rule_ranges *ranges, fb_value value);
/* A test that is no program. */
bool fb_alpha_direct(fb_session *session, const fb_rule_test *test, fb_value value,
                     bool *ret_failed);
/* The tests of a candidate that the sieve has not settled. */
bool fb_alpha_test(fb_session *session, uint32_t candidate, uint32_t place);
/* All tests, of a fact that was tested since it last changed: what failed has been told then. */
bool fb_alpha_holds(fb_session *session, uint32_t alpha, uint32_t place);
bool fb_alpha_insert(fb_session *session, uint32_t alpha, uint32_t row);
void fb_alpha_remove(fb_session *session, uint32_t number, uint32_t row);
static inline bool fb_alpha_has(const fb_session *session, uint32_t alpha, uint32_t row) {
  const fb_alpha_memory *memory = &session->alphas[alpha];
  return row / 64 < memory->words && (memory->bits[row / 64] >> row % 64 & 1);
}

/* sift.c: the same for many rows. */
typedef struct fb_sift_hit {
  uint32_t row; /* of those sifted, from 0 */
  uint32_t candidate;
} fb_sift_hit;

typedef struct fb_sift {
  fb_sift_hit *hits; /* in the order of rows; of each as fb_alpha_candidates has them */
  uint32_t *starts;  /* by row, and one more: its first hit */
} fb_sift;

/* Finds the candidates of rows first … of a table of the type; *count may become less. What is found is good until the
 * next call. */
fb_status fb_sift_rows(fb_session *session, uint32_t type, const fb_facts *facts, uint32_t first,
                       uint32_t *count, fb_sift *ret);
void fb_sift_release(fb_session *session);

/* index.c */
/* Both do nothing as long as the index is not made. */
bool fb_index_insert(fb_session *session, uint32_t number, uint32_t row);
void fb_index_remove(fb_session *session, uint32_t number, uint32_t row);
void fb_index_release(fb_session *session, uint32_t number);
/* Makes it if need be; false when there is no memory. */
bool fb_index_ready(fb_session *session, uint32_t number);
/* Puts the lists of an ordered index in order; false when there is no memory. */
bool fb_index_mended(fb_session *session, uint32_t number);
/* The first row + 1 of the group with these values, one a field; 0: there is none. The index is made. */
uint32_t fb_index_first(fb_session *session, uint32_t number, const fb_value *values);

/* sorted.c: all but finding does nothing as long as the index is not made. */
void fb_sorted_insert(fb_session *session, uint32_t number, uint32_t row);
void fb_sorted_remove(fb_session *session, uint32_t number, uint32_t row);
void fb_sorted_release(fb_session *session, uint32_t number);

/* alpha.c */
bool fb_test_values(uint8_t op, fb_value a, fb_value b, bool *ret_failed);
/* Counts and hands out an error of an expression, unless a fact only lacked a field. */
void fb_session_report(fb_session *session, uint32_t rule, const fb_rule_place *place,
                       fb_error *err);
/* Would such an error be handed out? Else its code is enough. */
bool fb_session_listens(const fb_session *session, fb_status status);
/* False, too, if it failed, which is reported. */
bool fb_session_holds(fb_session *session, const fb_cel_program *program, uint32_t rule,
                      const fb_rule_place *place);

/* What is to fire next. */
typedef struct fb_due {
  const fb_rule *rule;
  fb_waiting item;
  fb_activation *activation; /* popped; NULL: of a lazy rule */
  fb_walk *walk; /* of a walk, whose item is still on the agenda; NULL: `item` was popped */
  fb_agenda_level *level; /* the item is there … */
  size_t at;              /* … with this number */
  uint32_t places[FB_RULE_SLOTS];
} fb_due;

/* match.c: from changes to activations. */
fb_status fb_match_insert(fb_session *session, uint32_t place);
fb_status fb_match_remove(fb_session *session, uint32_t place);
/* Sets fields (numbers that rise or not) of a fact; values that are the same already are no change. */
fb_status fb_match_modify(fb_session *session, uint32_t place, const uint32_t *fields,
                          const fb_value *values, uint32_t count, fb_error *err);
/* Do the `not`s and `exists`s of the rule hold for session->places? */
bool fb_match_guards_hold(fb_session *session, const fb_rule *rule);
/* If not, *ret_cause has the slots that this follows from, whatever others hold. */
bool fb_match_guards_tell(fb_session *session, const fb_rule *rule, uint64_t *ret_cause);
/* Appends the matches of a lazy rule that have the place in that condition to walk->found, in any order. */
fb_status fb_match_collect(fb_session *session, uint32_t use, uint32_t place, fb_walk *walk);
/* A change that is none of a fact begins. */
void fb_match_begin(fb_session *session);
/* All matches of the rule. */
fb_status fb_match_rule(fb_session *session, const fb_rule *rule);
/* Activations of rules without a positive condition. */
fb_status fb_match_start(fb_session *session);

/* lazy.c: places that wait. */
enum { FB_PORT_PAGE = 512 };
fb_status fb_lazy_stamp(fb_session *session, uint32_t port, uint32_t row, uint64_t tick);
/* Notes that the fact is modified. */
fb_status fb_lazy_modified(fb_session *session, const fb_fact *fact);
bool fb_lazy_is_modified(const fb_session *session, const fb_fact *fact);
/* Is the fact in the condition since that tick? */
bool fb_lazy_stands(fb_session *session, const fb_waiting *item);
static inline uint64_t fb_port_stamp(const fb_session *session, uint32_t port, uint32_t row) {
  const fb_port_memory *memory = &session->ports[port];
  uint32_t page = row / FB_PORT_PAGE;
  return page < memory->page_count && memory->pages[page] ? memory->pages[page][row % FB_PORT_PAGE]
                                                          : 0;
}
/* The tick at which a fact that is in the port came in. A stamp before its serial is that of a fact that had the row. */
static inline uint64_t fb_port_tick(const fb_session *session, uint32_t port, uint32_t place) {
  uint64_t stamp = fb_port_stamp(session, port, session->facts[place].row),
           serial = fb_place_serial(session, place);
  return stamp > serial ? stamp : serial;
}

/* Is a fact that is in the port there since the tick? */
static inline bool fb_port_sees(const fb_session *session, uint32_t port, uint32_t place,
                                uint64_t tick) {
  return !fb_lazy_is_modified(session, &session->facts[place]) ||
         fb_port_tick(session, port, place) <= tick;
}
/* The first of what waits at the level, of which the last is a place of a lazy rule. It stays where it is until
 * fb_lazy_take, unless due->walk is NULL. FB_DONE: none yet, to be called again. */
fb_status fb_lazy_next(fb_session *session, fb_agenda_level *level, fb_due *ret_due);
/* Is the item one that fb_lazy_next is for? */
static inline bool fb_lazy_is_due(const fb_session *session, const fb_waiting *item) {
  return item->use != FB_RULE_NONE &&
         !session->set->rules[session->set->uses[fb_waiting_use(item)].rule].single;
}
/* The match of a lazy rule fires. */
void fb_lazy_take(fb_session *session, const fb_due *due);
/* Of an item that is being taken off the agenda: its walk, and that it waits. */
void fb_lazy_release(fb_session *session, const fb_waiting *item);
/* A walk of the rule from the place, which has not begun; NULL when there is no memory. */
fb_walk *fb_lazy_new_walk(fb_session *session, const fb_rule *rule, uint64_t tick);
/* Notes that one more place of the rule waits, or one less. */
static inline void fb_lazy_count(fb_session *session, const fb_rule *rule, int more) {
  if (rule->guarded) session->agenda.mends[rule->number].waiting += (uint64_t)more;
}

/* walk.c: the matches of a place, one after the other. The next, or the one that was found and has not fired yet:
 * FB_OK, and walk->head is set; FB_DONE: there is none. Anything else: it may be called again. */
fb_status fb_walk_head(fb_session *session, uint32_t use, uint32_t place, fb_walk *walk);
/* Frees what the walk has, but not the walk. */
void fb_walk_release(fb_session *session, fb_walk *walk);
/* The places of a match that it stands at. */
void fb_walk_places(const fb_session *session, uint32_t use, uint32_t place, const fb_walk *walk,
                    uint32_t *out);

/* mend.c */
/* Notes that a change of guards made the match with that tick. */
fb_status fb_mends_note(fb_session *session, const fb_rule *rule, const uint32_t *places,
                        uint64_t tick);
/* Was session->places made a match so at the tick or later? */
bool fb_mends_later(const fb_session *session, const fb_rule *rule, uint64_t tick);
/* Forgets what is no match any more; or all. */
void fb_mends_sweep(fb_session *session, const fb_rule *rule);
void fb_mends_clear(fb_session *session, const fb_rule *rule);
void fb_mends_release(fb_session *session);

/* agenda.c */
fb_status fb_agenda_init(fb_session *session);
void fb_agenda_release(fb_session *session);
/* Makes an activation of session->places, to be put in order by fb_agenda_settle. */
fb_status fb_agenda_add(fb_session *session, const fb_rule *rule);
fb_status fb_agenda_settle(fb_session *session);
/* Of a queued session: makes an activation of session->places that waits in the queue with that tick and rank. NULL: the rank is told anew, of
 * facts that are bound. */
fb_status fb_agenda_restore(fb_session *session, const fb_rule *rule, uint64_t tick, uint32_t queue,
                            const fb_ranked *rank);
/* Makes an activation of session->places that does not wait; NULL: *ret_status tells why, FB_OK if there is one already. */
fb_activation *fb_agenda_make(fb_session *session, const fb_rule *rule, fb_status *ret_status);
/* Drops what fb_agenda_add made since the last settling. */
void fb_agenda_unsettle(fb_session *session);
void fb_agenda_kill(fb_session *session, fb_activation *activation);
/* A hashed rule's for session->places, waiting or kept; NULL: none. */
fb_activation *fb_agenda_find(fb_session *session, const fb_rule *rule);
/* Keeps what was popped among those that are found. */
void fb_agenda_keep(fb_session *session, fb_activation *activation);
/* Lets a place wait that came into a condition of a lazy rule with this tick; as fb_agenda_add. */
fb_status fb_agenda_wait(fb_session *session, const fb_rule *rule, uint32_t use, uint32_t place);
/* The same with another tick, and in order already: for snapshots, and for many at a time, each tick's from the last rule to
 * the first. */
fb_status fb_agenda_push_place(fb_session *session, const fb_rule *rule, uint32_t use,
                               uint32_t place, uint64_t tick);
/* Takes off again what was pushed with this tick, the last one. */
void fb_agenda_drop_tick(fb_session *session, uint64_t tick);
/* An activation of session->places that is on no agenda. NULL when there is no memory. */
fb_activation *fb_agenda_new(fb_session *session, const fb_rule *rule);
/* Where the first waits: the last of a level; NULL: nothing waits. */
fb_agenda_level *fb_agenda_top(fb_session *session);
/* The first, taken off; false when there is none. */
bool fb_agenda_pop(fb_session *session, fb_waiting *ret_item);
/* Puts back what was just popped. There is room. */
void fb_agenda_unpop(fb_session *session, fb_waiting item);
/* How many wait, those to be dropped left out. */
uint64_t fb_agenda_count(fb_session *session);
/* Takes it out of its facts' lists; it may be popped or not. */
void fb_agenda_unlink(fb_session *session, fb_activation *activation);
void fb_agenda_free(fb_session *session, fb_activation *activation);
/* Gives the memory of an empty agenda back if it is much. */
void fb_agenda_trim(fb_session *session);

/* queue.c: the agenda of queued sessions. */
fb_status fb_queue_init(fb_session *session);
void fb_queue_release(fb_session *session);
/* Gives memory back; the queues are empty. */
void fb_queue_trim(fb_session *session);
/* Bytes of an activation of so many slots behind its links. */
size_t fb_queue_extra(const fb_session *session, uint32_t count);
/* Tells the rank of an activation whose facts are bound. */
void fb_queue_rank(fb_session *session, fb_activation *activation);
bool fb_queue_push(fb_session *session, fb_activation *activation);
/* Into that queue, of its group or of what is out of effect. */
bool fb_queue_push_to(fb_session *session, fb_activation *activation, uint32_t queue);
bool fb_queue_has_tags(const fb_session *session);
/* Falling; NULL: the strategy asks for none. */
const uint64_t *fb_queue_tags(const fb_session *session, const fb_activation *activation);
void fb_queue_remove(fb_session *session, fb_activation *activation);
/* NULL: nothing may fire. */
fb_activation *fb_queue_pop(fb_session *session);
void fb_queue_get_rank(const fb_session *session, const fb_activation *activation,
                       fb_ranked *ret_rank);
/* There is room. */
void fb_queue_unpop(fb_session *session, fb_activation *activation);
fb_status fb_queue_focus(fb_session *session, uint32_t group);
/* What has come into effect may fire. */
fb_status fb_queue_wake(fb_session *session);
bool fb_rule_in_effect(const fb_session *session, const fb_rule *rule);
/* The fact is modified with this tick. */
fb_status fb_queue_touch(fb_session *session, uint32_t place);
uint64_t fb_queue_recency(const fb_session *session, uint32_t place);

/* session.c: a session without the activations that it begins with. */
fb_status fb_session_new_bare(const fb_ruleset *ruleset, const fb_session_options *options,
                              const fb_allocator *allocator, fb_session **ret_session);
/* Makes what a session has, whose base, allocator, set and options are told; and frees it. */
fb_status fb_session_begin(fb_session *session);
void fb_session_end(fb_session *session);
/* What fire.c and values.c share with the public calls. */
/* FB_E_RULE_SESSION: a change was cut off. */
fb_status fb_session_ready(const fb_session *session, fb_error *err);
/* Makes a fact of a row and matches it; on failure the row is free again. */
fb_status fb_session_insert_row(fb_session *session, uint32_t type, uint32_t row,
                                uint32_t *ret_place, fb_error *err);
fb_status fb_session_change(fb_session *session, uint32_t place, const uint32_t *fields,
                            const fb_value *values, uint32_t count, fb_error *err);
fb_status fb_session_remove(fb_session *session, uint32_t place, fb_error *err);
/* The value as the field will hold it, so that what is no change is known to be none. */
fb_status fb_session_fit(fb_session *session, fb_memory *memory, uint32_t field, fb_value *value,
                         fb_error *err);

/* fire.c */
/* Is the time over that fb_session_fire may take? */
bool fb_fire_is_late(const fb_session *session);
/* What stateless.c shares. Fires the rule for the facts at `places`, one a slot. */
fb_status fb_fire_rule(fb_session *session, const fb_rule *rule, const uint32_t *places,
                       fb_error *err);
/* FB_E_RULE_LIMIT when the rule may not fire any more after `fired` firings. */
fb_status fb_fire_limits(const fb_session *session, const fb_rule *rule, uint64_t fired,
                         uint64_t max, fb_error *err);

/* flock.c: many places that wait. */
/* Are there few enough alphas? */
bool fb_flock_may(const fb_session *session);
/* Lets the facts from `place` on, with the ticks from `tick` on, wait as the hits have them; the agenda has nothing later. False: no
 * memory, and nothing waits. */
bool fb_flock_push(fb_session *session, uint32_t place, uint64_t tick, const fb_sift_hit *hits,
                   uint32_t count);
/* The top of the level is a flock: puts its items there. */
void fb_flock_unroll(fb_session *session, uint32_t number);
/* All of the level; false when there is no memory. */
bool fb_flock_unroll_level(fb_session *session, uint32_t number);
void fb_flock_drop(fb_session *session, fb_flock *flock);
void fb_flock_release(fb_session *session, fb_agenda_level *level);

/* flat.c: a fact of a type that is flat, from outside; the agenda is not to refuse activations. */
bool fb_flat_may(const fb_session *session, uint32_t type);
fb_status fb_flat_insert(fb_session *session, uint32_t place);
/* Facts of a type that is flat, many at a time. *ret_done (nullable) is raised by those that are held; there may be
 * fewer than `count`, and none: those after them are to be asserted one by one. */
fb_status fb_flat_assert(fb_session *session, fb_memory *memory, const fb_facts *facts,
                         uint32_t first, uint32_t count, fb_fact_id *ids, uint32_t *ret_done,
                         fb_error *err);

/* emit.c */
fb_status fb_emit_init(fb_session *session);
void fb_emit_release(fb_session *session);
/* Hands out what waits. */
void fb_emit_flush(fb_session *session);
/* The same, and tells whether the caller failed since it was last asked. */
fb_status fb_emit_take(fb_session *session, fb_error *err);
/* A decision of the firing that is under way. */
fb_status fb_emit_hand_out(fb_session *session, const fb_rule_action *action, fb_fact_id fact,
                           const fb_value *values);
/* Fires a plain rule, if emitter.fast. Decisions may wait afterwards. */
fb_status fb_emit_fire(fb_session *session, const fb_rule *rule, uint32_t place, fb_error *err);

/* profile.c */
fb_status fb_profile_init(fb_session *session);
void fb_profile_release(fb_session *session);
int64_t fb_profile_now(const fb_session *session);
static inline bool fb_profile_alpha(fb_session *session, uint32_t alpha, bool passed) {
  if (FB_UNLIKELY(session->profile != NULL)) {
    session->profile[alpha].looked_at++;
    session->profile[alpha].passed += passed;
  }
  return passed;
}
static inline void fb_profile_uses(fb_session *session, uint32_t use, uint64_t looked_at,
                                   bool passed) {
  if (FB_UNLIKELY(session->profile != NULL)) {
    session->profile[session->set->alpha_count + use].looked_at += looked_at;
    session->profile[session->set->alpha_count + use].passed += passed;
  }
}
static inline bool fb_profile_use(fb_session *session, uint32_t use, bool passed) {
  fb_profile_uses(session, use, 1, passed);
  return passed;
}
static inline int64_t fb_profile_start(const fb_session *session) {
  return FB_UNLIKELY(session->profile != NULL) ? fb_profile_now(session) : 0;
}
static inline void fb_profile_stop(fb_session *session, uint32_t use, int64_t start) {
  if (FB_UNLIKELY(session->profile != NULL))
    session->profile[session->set->alpha_count + use].nanos += fb_profile_now(session) - start;
}

/* call.c: calculators. */
fb_status fb_call_init(fb_session *session);
void fb_call_release(fb_session *session);
/* Calls the calculator of a CALL with its values; its result goes into the slot. */
fb_status fb_call_run(fb_session *session, const fb_rule_action *action, const fb_value *values,
                      fb_rule_place *place, fb_error *err);

/* stateless.c: decides upon rows of a table over the session's schema. */
fb_status fb_stateless_rows(fb_session *session, fb_memory *memory, const fb_facts *facts,
                            uint32_t first, uint32_t count, uint32_t *ret_done, fb_error *err);

/* partition.c: a firing begins, in a session that is a part. */
void fb_part_begin(fb_session *session, const fb_rule *rule, const uint32_t *places);
/* The result of a group of the aggregate has followed, by the change of this tick. */
void fb_part_followed(fb_session *session, uint32_t aggregate, uint32_t group);

/* logical.c: truth maintenance. */
void fb_logical_init(fb_session *session);
void fb_logical_release(fb_session *session);
/* The popped activation fires and is kept, until fb_logical_end at least. */
void fb_logical_keep(fb_session *session, fb_activation *activation);
void fb_logical_end(fb_session *session, fb_activation *activation);
/* A kept activation, unlinked already, is no match any more. */
void fb_logical_lose(fb_session *session, fb_activation *activation);
/* Makes a fact of the row, with the firing as its reason, or gives the reason to one that says the same. */
fb_status fb_logical_assert(fb_session *session, uint32_t type, uint32_t row, fb_error *err);
/* The fields of the fact are others. */
void fb_logical_changed(fb_session *session, uint32_t place);
fb_status fb_logical_remove(fb_session *session, uint32_t place);
/* For snapshots: the rule fired with session->places in that firing, and the facts at `supported` rest on it. The
 * agenda is empty. FB_E_RULE_SNAPSHOT: it is there already. */
fb_status fb_logical_restore(fb_session *session, const fb_rule *rule, uint64_t firing,
                             const uint32_t *supported, uint32_t count);
/* After every change: takes away the facts that have lost their last reason, and so on. */
fb_status fb_logical_withdraw(fb_session *session);

/* tidy.c: between changes, when no value of a fact is in use: lists, maps and bytes in facts of the type may move, and columns of
 * facts may go out of memory. Whoever keeps a value for longer copies it. Returns `status`, or the failure of the store. */
fb_status fb_session_tidy(fb_session *session, uint32_t type, fb_status status, fb_error *err);
fb_status fb_session_tidy_rule(fb_session *session, const fb_rule *rule, fb_status status,
                               fb_error *err);
/* Columns only, where many facts are read between changes. What fails is told by the next tidying. */
void fb_session_trim(fb_session *session);
/* FB_OK, or the failure of the store: facts may have been read as if they had no fields. */
fb_status fb_session_paged(const fb_session *session, fb_error *err);

/* aggregate.c */
fb_status fb_aggregates_init(fb_session *session);
void fb_aggregates_release(fb_session *session);
/* A row comes into an alpha that has aggregates, or leaves it. False: no memory, and nothing has changed. */
bool fb_aggregates_enter(fb_session *session, const fb_rule_alpha *alpha, uint32_t row);
void fb_aggregates_leave(fb_session *session, const fb_rule_alpha *alpha, uint32_t row);
/* Brings the results up to date, each by a change of its own. FB_DONE: some of them, the others follow next time. After any other
 * failure the session is lost. */
fb_status fb_aggregates_flush(fb_session *session);
static inline fb_status fb_aggregates_follow(fb_session *session) {
  return FB_UNLIKELY(session->aggregates) ? fb_aggregates_flush(session) : FB_OK;
}
/* window.c */
/* A value as a time, in nanoseconds since 1970; false: it is none, or far outside of 1970 ± 145 years. */
bool fb_time_of_value(fb_value value, int64_t *ret);
fb_value fb_time_value(int64_t nanos);
/* The clock has moved. After a failure the session is lost. */
fb_status fb_windows_advance(fb_session *session);
/* The rules have fired until none was left. */
void fb_windows_told(fb_session *session);
/* A fact has come, or is to go: when it expires. */
fb_status fb_expiry_enter(fb_session *session, uint32_t place);
void fb_expiry_leave(fb_session *session, uint32_t place);
bool fb_windows_are_told(const fb_session *session);
/* For snapshots: is it an aggregate whose windows end; the next place after `place` of a fact that it holds, 0: there is none;
 * takes such a fact in again. */
bool fb_window_ends_at_all(const fb_ruleset *set, uint32_t number);
uint32_t fb_window_next(const fb_session *session, uint32_t number, uint32_t place);
fb_status fb_window_restore(fb_session *session, uint32_t number, uint32_t place);
/* For snapshots: errors in expressions were reported when the facts came; when all facts are there, results find their groups. */
void fb_aggregates_quiet(fb_session *session, bool quiet);
/* For swaps: the same for some of the aggregates; NULL: for none. */
void fb_aggregates_know(fb_session *session, const bool *known);
fb_status fb_aggregates_restored(fb_session *session);

/* why.c */
fb_status fb_why_begin(fb_session *session, const fb_rule *rule, const uint32_t *places);
fb_status fb_why_made(fb_session *session, uint32_t place);
fb_status fb_why_changed(fb_session *session, uint32_t place);

#endif
