/* SPDX-License-Identifier: Apache-2.0
 *
 * The plan: what a rulebook becomes. Made once by the loader, read-only afterwards, shared by sessions.
 *
 *   condition   one item of `when`; binds a fact to a slot (positives 0, 1, 2 …; all `not` and `exists`
 *               share the slot after the last positive, since they are looked at one at a time;
 *               members of groups have the slots from there on)
 *   group       a `not` or `exists` of several conditions: of members, joins and groups again
 *   derived     a slot that holds no fact but a value that follows from those of other slots; what it holds has a
 *               number of its own where an activation of facts has their places (slot.c)
 *   aggregate   a condition over a group of facts; it stands for a pattern over facts that the session keeps (aggregate.h)
 *   test        a conjunct that reads one fact; belongs to an alpha
 *   join        a conjunct that reads several facts
 *   alpha       a fact type with tests; conditions with the same ones share it
 *   index       the facts of an alpha by the values of some fields
 *   probe       an equality by which an index finds the facts that fit
 *   sorted      an index by the order of a field, or by the elements of a list
 *   bound       a comparison, or an `in`, by which that finds the facts that fit
 *   use         (rule, condition): what a fact that comes into an alpha may set off
 *   walk        for a fact that came in at one condition, in which order the others are joined to it
 *   port        conditions of one type that read the same fields: a modify concerns all of them or none
 */
#ifndef FB_RULES_PLAN_H
#define FB_RULES_PLAN_H

#include <flyball/rules.h>

#include "cel/ast.h"

#define FB_RULE_MAX_POSITIVE 31
#define FB_RULE_SLOTS (FB_RULE_MAX_POSITIVE + 1)
#define FB_RULE_MAX_GROUPED 28 /* facts of a group and those around it */
#define FB_RULE_MAX_SLOTS (FB_RULE_SLOTS + FB_RULE_MAX_GROUPED)
#define FB_RULE_NONE UINT32_MAX
#define FB_RULE_MAX_VARIANTS 64
#define FB_RULE_MAX_SALIENCE 1000000

typedef enum fb_rule_op {
  FB_RULE_EQ,
  FB_RULE_NE,
  FB_RULE_LT,
  FB_RULE_LE,
  FB_RULE_GT,
  FB_RULE_GE,
  FB_RULE_HAS,
  FB_RULE_LACKS,
  FB_RULE_TRUE,
  FB_RULE_FALSE,
  FB_RULE_PROGRAM,
  FB_RULE_IN
} fb_rule_op;

/* A value such that equal values have equal keys. HASHED: equal keys need not be equal values. */
typedef enum fb_rule_tag {
  FB_KEY_NONE, /* equals nothing: absent, NaN */
  FB_KEY_NULL,
  FB_KEY_BOOL,
  FB_KEY_INT,
  FB_KEY_UINT,   /* above INT64_MAX */
  FB_KEY_DOUBLE, /* not integral */
  FB_KEY_SYMBOL,
  FB_KEY_UNKNOWN_TEXT, /* not interned in the session, so that no fact has it */
  FB_KEY_HASHED
} fb_rule_tag;

typedef struct fb_rule_key {
  uint32_t tag;
  uint64_t bits;
} fb_rule_key;

/* `symbols` finds texts that are not marked as interned. */
fb_rule_key fb_rule_key_of(fb_value value, const fb_symbols *symbols);

static inline bool fb_rule_key_equal(fb_rule_key a, fb_rule_key b) {
  return a.tag == b.tag && a.bits == b.bits;
}
static inline uint64_t fb_rule_key_hash(fb_rule_key key) {
  return fb_hash_u64(key.bits + key.tag * UINT64_C(0x9e3779b97f4a7c15));
}

/* Where an expression stands, for errors while it is evaluated. */
typedef struct fb_rule_place {
  const fb_node *node;
  uint32_t offset, length; /* bytes in the node's value */
} fb_rule_place;

typedef struct fb_rule_test {
  uint8_t op;
  uint32_t field;
  fb_value constant;
  fb_rule_key key; /* of the constant, for EQ and NE */
  fb_cel_program *program;
  uint32_t slot; /* where the program reads the fact */
  uint32_t rule; /* that it was first written in */
  fb_rule_place place;
} fb_rule_test;

/* fields `a` op `b`; or EQ between field a and `key`; or any expression, `program`. */
typedef struct fb_rule_join {
  uint8_t op;
  bool key_only; /* EQ of field a with the expression `key`; b is not used */
  uint32_t slot_a, field_a;
  uint32_t slot_b, field_b;
  uint64_t slots;     /* bits: all that it reads */
  uint64_t key_slots; /* bits: those `key` reads */
  uint8_t seek; /* of PROGRAM: LT … GE: field a stands so to `key`; IN: it has `key`; else 0 */
  fb_cel_program *key;
  fb_cel_program *program; /* PROGRAM, and EQ with a key */
  uint32_t rule;
  fb_rule_place place;
} fb_rule_join;

#define FB_RULE_INDEX_FIELDS 8

typedef struct fb_rule_probe {
  const fb_rule_join *join; /* EQ */
  bool side_b;              /* the index is on side b, so that side a is the key */
} fb_rule_probe;

typedef struct fb_rule_bound {
  const fb_rule_join *join;
  uint8_t op;  /* of the field and the key: LT … GE, IN */
  bool side_b; /* the field is that of side b */
} fb_rule_bound;

#define FB_RULE_BOUNDS 2

/* One step of a walk: binds a condition's slot to each fact that fits what is bound already. */
typedef struct fb_rule_level {
  uint32_t condition;
  uint32_t use;          /* of the condition */
  uint32_t index;        /* NONE: every fact of the alpha is looked at */
  fb_rule_probe *probes; /* one a field of the index */
  uint32_t probe_count;
  uint32_t sorted; /* that finds fewer of the facts that the index finds; NONE */
  fb_rule_bound
      bounds[FB_RULE_BOUNDS]; /* on its field, or field and other; their joins are among `joins` */
  uint32_t bound_count;
  bool
      other; /* the fact that set the walk off may not be bound here too: that match is found elsewhere */
  const fb_rule_join **joins; /* that can be told once this is bound */
  uint32_t join_count;
  uint64_t reads; /* bits: slots, bound before, that probes and joins read */
} fb_rule_level;

/* MEMBER: a pattern in a group. */
typedef enum fb_condition_kind {
  FB_WHEN_FACT,
  FB_WHEN_NOT,
  FB_WHEN_EXISTS,
  FB_WHEN_MEMBER,
  FB_WHEN_ELEMENT /* of a list that earlier slots hold */
} fb_condition_kind;

/* Does the condition bind slots that activations have? */
static inline bool fb_when_binds(uint8_t kind) {
  return kind != FB_WHEN_NOT && kind != FB_WHEN_EXISTS && kind != FB_WHEN_MEMBER;
}
/* Is it a guard of its own? */
static inline bool fb_when_guards(uint8_t kind) {
  return kind == FB_WHEN_NOT || kind == FB_WHEN_EXISTS;
}
/* Does it bind slots that hold no facts? */
static inline bool fb_when_derives(uint8_t kind) {
  return fb_when_binds(kind) && kind != FB_WHEN_FACT;
}

/* Holds if there are facts for all members so that all joins and groups within hold (EXISTS), or none (NOT). */
typedef struct fb_rule_group fb_rule_group;
struct fb_rule_group {
  uint8_t kind; /* FB_WHEN_NOT or FB_WHEN_EXISTS */
  bool never;   /* nothing is found, since a constant in it is false */
  const fb_node *node;
  uint32_t *members; /* condition numbers */
  uint32_t member_count;
  uint32_t inner; /* first slot, after those of the positives, of the groups within */
  fb_rule_join **joins;
  uint32_t join_count, join_cap;
  fb_rule_group *groups, *next; /* the first within; the next beside it */
  fb_rule_group *parent;
  const fb_rule_join **before; /* joins that read none of its members */
  uint32_t before_count;
  fb_rule_level *levels; /* one a member, in the order in which they are joined */
  uint64_t reads;        /* bits: slots outside of it that it, and groups within, read */
};

typedef struct fb_rule_aggregate fb_rule_aggregate;

typedef struct fb_rule_condition {
  uint8_t kind;
  uint32_t type;
  uint32_t slot;       /* the first of them */
  uint32_t slot_count; /* 1 of a fact */
  uint32_t alpha;
  uint32_t use;
  fb_slice variable;   /* "" when it binds none */
  const fb_node *node; /* its head */
  fb_rule_test *tests;
  uint32_t test_count, test_cap;
  fb_rule_join *
      *joins; /* of NOT and EXISTS: theirs; of FACT: those that read it last; of MEMBER: none */
  uint32_t join_count, join_cap;
  uint64_t *watched; /* bits of the fields that conditions read of this fact */
  uint32_t watched_words;
  bool watch_all;                     /* the fact is read as a whole */
  bool used;                          /* by other conditions */
  const fb_rule_aggregate *aggregate; /* over its results; else NULL */
  fb_rule_group *group;               /* of MEMBER */
  uint32_t range_slot,
      range_field; /* ELEMENT: where the list is; field NONE: the program tells it */
  fb_cel_program *range;
  uint64_t needs;      /* of derived slots: bits of those that they follow from, all before them */
  uint32_t port;       /* NONE: of a rule that is not lazy, or of a guard */
  fb_rule_level *walk; /* from a fact in this condition */
  uint32_t walk_count;
  const fb_rule_join **start_joins; /* that can be told before the walk: of derived slots */
  uint32_t start_join_count;
  fb_rule_level *written; /* of a lazy rule: a walk in the order in which conditions are written */
  bool in_order;          /* the other walk goes in that order too */
  fb_rule_level check;    /* NOT, EXISTS: all positives are bound */
} fb_rule_condition;

typedef enum fb_action_kind {
  FB_THEN_ASSERT,
  FB_THEN_MODIFY,
  FB_THEN_RETRACT,
  FB_THEN_EMIT,
  FB_THEN_LOG,
  FB_THEN_FOCUS,
  FB_THEN_CALL,
  FB_THEN_RUN,
  FB_THEN_HALT
} fb_action_kind;

typedef struct fb_rule_field {
  fb_slice name;
  uint32_t field; /* of ASSERT and MODIFY */
  const fb_node *node;
  fb_template *template_;
  bool copies; /* it is that field of the fact in that slot */
  uint32_t from_slot, from_field;
} fb_rule_field;

typedef struct fb_rule_action {
  uint8_t kind;
  bool logical;         /* ASSERT: truth is maintained */
  uint32_t type;        /* ASSERT, MODIFY, RETRACT */
  uint32_t slot;        /* MODIFY, RETRACT; CALL: of the result, NONE: nobody reads it */
  fb_slice name;        /* EMIT, CALL */
  uint32_t group;       /* FOCUS */
  uint32_t call;        /* CALL: number of its calculator */
  fb_slice result;      /* CALL: the variable of `as` */
  fb_template *message; /* LOG; RUN: the mission */
  const fb_node *node;
  fb_rule_field *fields;
  uint32_t field_count;
  uint32_t emit; /* EMIT: its number in the ruleset */
} fb_rule_action;

/* How a firing comes by a value that it emits. */
typedef enum fb_emit_kind { FB_EMIT_CONST, FB_EMIT_FIELD, FB_EMIT_TEMPLATE } fb_emit_kind;

typedef struct fb_emit_value {
  uint8_t kind;
  uint32_t field; /* FIELD: of the fact; of plain rules only */
  fb_value value; /* CONST */
  const fb_template *template_;
} fb_emit_value;

typedef struct fb_rule_emit {
  fb_emit_info info;
  const fb_emit_value *values; /* by field */
} fb_rule_emit;

/* While no fact is in the alpha (`empty`: while one is) the rule has no match. */
typedef struct fb_rule_gate {
  uint32_t alpha;
  bool empty;
} fb_rule_gate;

typedef struct fb_rule {
  fb_rule_info info;
  const fb_node *node; /* of the name */
  uint32_t number;
  uint32_t book;                 /* number in the rulebook: the variants of `any` have the same */
  const fb_node *when;           /* its conditions */
  uint32_t variant;              /* which choice of branches of `any` */
  uint32_t level;                /* of its salience, 0 the highest */
  fb_rule_condition *conditions; /* as written; `test:` is not among them */
  uint32_t condition_count;
  uint32_t *positives; /* condition numbers by slot; a condition may have several slots */
  uint32_t positive_count;
  bool guarded;          /* has `not` or `exists`, of a pattern or a group */
  fb_rule_group *groups; /* the first of those that are in no other */
  bool derived;          /* has slots that hold no facts */
  bool hashed;           /* its activations are found by what their slots hold */
  bool lazy;             /* places wait on the agenda, and are joined when their turn comes */
  bool single;           /* lazy, and has one condition and nothing else: a place is a match */
  fb_rule_gate *gates;   /* of lazy rules with several conditions */
  uint32_t gate_count;
  bool logical;          /* asserts what is withdrawn with its reason */
  bool no_loop;          /* what its own firing changes does not activate it */
  bool auto_focus;       /* an activation of it puts its group on top */
  bool timed;            /* has `effective` */
  uint32_t group;        /* number of its agenda group; 0: main */
  uint32_t complexity;   /* comparisons and calls in its conditions */
  uint32_t guard_count;  /* `not`s, `exists`s and groups */
  fb_value from, until;  /* timestamps; FB_ABSENT: no bound */
  fb_template *salience; /* NULL: it is info.salience */
  const fb_node *salience_node;
  fb_rule_action *actions;
  uint32_t action_count;
  uint32_t value_count; /* templates that a firing evaluates */
  bool plain;           /* one condition, and it only emits: fires by emit.c */
  uint32_t first_emit;  /* of those of its actions that emit */
} fb_rule;

static inline bool fb_slot_is_fact(const fb_rule *rule, uint32_t slot) {
  return !rule->derived || rule->conditions[rule->positives[slot]].kind == FB_WHEN_FACT;
}
/* Bits of the slots that the condition binds. */
static inline uint64_t fb_when_slots(const fb_rule_condition *condition) {
  return ((UINT64_C(1) << condition->slot_count) - 1) << condition->slot;
}

typedef struct fb_rule_alpha {
  uint32_t type;
  const fb_rule_test *tests;
  uint32_t test_count;
  uint64_t settled;    /* bits of the first 64 tests: told by the sieve */
  uint32_t open_count; /* tests that are not */
  bool stored;         /* some join looks for its facts */
  uint32_t *uses;
  uint32_t use_count, use_cap;
  uint32_t *indexes;
  uint32_t index_count, index_cap;
  uint32_t *sorteds;
  uint32_t sorted_count, sorted_cap;
  uint32_t *aggregates; /* of whose sources it is the alpha */
  uint32_t aggregate_count, aggregate_cap;
} fb_rule_alpha;

typedef struct fb_rule_port {
  uint32_t type;
} fb_rule_port;

typedef struct fb_rule_index {
  uint32_t alpha;
  bool ordered;           /* the later fact first */
  const uint32_t *fields; /* rising */
  uint32_t field_count;   /* 0: all facts are in one group */
} fb_rule_index;

typedef struct fb_rule_sorted {
  uint32_t alpha;
  const uint32_t *equals; /* fields of which facts that are found have the same values */
  uint32_t equal_count;
  uint32_t field;
  uint32_t
      other; /* a field of numbers that is bounded from below, where `field` is from above; NONE */
  bool elements; /* of the lists, or keys of the maps, in the field */
} fb_rule_sorted;

typedef struct fb_rule_use {
  uint32_t rule, condition;
} fb_rule_use;

/* Finds the alphas that may want a fact, by what their tests demand: a tree that goes down by the constants that
 * fields are compared with. An alpha stands at one place of it. */
typedef struct fb_rule_sieve fb_rule_sieve;

/* Open addressing. */
typedef struct fb_rule_bucket {
  fb_rule_key key; /* tag NONE: empty */
  uint32_t child;
} fb_rule_bucket;

/* By equality of a field with constants. The tables serve whole columns. */
typedef struct fb_rule_dispatch {
  uint32_t field;
  uint32_t mask; /* buckets - 1 */
  fb_rule_bucket *buckets;
  fb_rule_sieve **children; /* from 1 */
  uint32_t child_count;
  const uint32_t
      *symbols; /* child by symbol - first_symbol, 0: none; NULL: they are too far apart */
  int64_t first_symbol;
  uint32_t symbol_count;
  const uint32_t *ints; /* the same of ints */
  int64_t first_int;
  uint32_t int_count;
} fb_rule_dispatch;

/* By order of a field to constants of one class (numbers, texts, timestamps, durations). The constants c0 < c1 < …
 * cut the class into segments: 0 before c0, 1 is c0, 2 between c0 and c1, 3 is c1, … An alpha wants an interval of
 * segments. Where that makes short lists, each segment has its own (`flat`); else they hang in a segment tree,
 * where node s has the children 2s and 2s + 1 and the leaf of segment i is segments + i. */
typedef struct fb_rule_ranges {
  uint32_t field;
  uint8_t class_; /* kind; FB_INT for all numbers */
  bool flat;
  uint32_t constant_count, segments;
  const fb_value *constants;
  const int64_t *ints;   /* the same if all are int, else NULL */
  const double *doubles; /* the same if all are double, else NULL */
  const uint32_t
      *near; /* segment by int - ints[0], for those up to the last; NULL: ints are too far apart */
  const uint32_t *starts; /* by segment or node: its part of `items` */
  const uint32_t *items;
  const uint32_t
      *all; /* every alpha here: for values of another class, whose failure their tests report */
  uint32_t all_count;
} fb_rule_ranges;

struct fb_rule_sieve {
  uint32_t *alphas; /* that nothing more can be told of */
  uint32_t alpha_count;
  fb_rule_dispatch *dispatches;
  uint32_t dispatch_count;
  fb_rule_ranges *ranges;
  uint32_t range_count;
};

/* Set in candidates. WHOLE: nothing is settled, all tests are to be made. SURE: no test is left. */
#define FB_RULE_WHOLE (UINT32_C(1) << 31)
#define FB_RULE_SURE (UINT32_C(1) << 30)
#define FB_RULE_ALPHA (FB_RULE_SURE - 1) /* the bits of its number */
#define FB_SIEVE_DEPTH 8

typedef struct fb_rule_type {
  fb_rule_sieve *sieve; /* NULL: no alpha wants the type */
  bool stored;          /* one of its alphas is */
  bool flat; /* only lazy rules with one condition want its facts: many may come in at once */
  const fb_rule_aggregate
      *result_of; /* the session alone makes facts of it; NULL: an ordinary type */
  uint32_t field_count;
  bool timed; /* windows, or when its facts expire, go by … */
  uint32_t time_field;
  int64_t expires; /* nanoseconds after that time; 0: never */
} fb_rule_type;

/* A key that the rulebook names, see partition_plan.c. */
typedef struct fb_rule_part_key {
  uint32_t type, field;
} fb_rule_part_key;

/* Of `expires`. */
typedef struct fb_rule_expiry {
  uint32_t type, field;
  int64_t after; /* nanoseconds */
} fb_rule_expiry;

struct fb_ruleset {
  const fb_allocator *allocator;
  fb_arena arena; /* all of the plan but programs, templates, symbols, schema */
  fb_doc *owned;
  const fb_doc *doc;
  const fb_node *root; /* of the rulebook in it */
  fb_symbols *
      symbols; /* texts of constants; a session interns them first, so that they have the same numbers */
  fb_schema *schema;
  fb_rule *rules;
  uint32_t rule_count;
  uint32_t *books; /* by number in the rulebook: the first rule, followed by its variants */
  uint32_t book_count;
  fb_strategy strategy;
  uint64_t seed;   /* of RANDOM */
  fb_slice *calls; /* names of the calculators that actions call */
  uint32_t call_count, call_cap;
  fb_slice *groups; /* names of the agenda groups; 0: main */
  uint32_t group_count, group_cap;
  bool timed;         /* a rule has `effective` */
  bool auto_focus;    /* a rule has */
  bool queued;        /* stacks by salience will not do: see queue.c */
  int32_t *saliences; /* distinct, falling */
  uint32_t salience_count;
  fb_rule_alpha *alphas;
  uint32_t alpha_count, alpha_cap;
  fb_rule_index *indexes;
  uint32_t index_count, index_cap;
  fb_rule_sorted *sorteds;
  uint32_t sorted_count, sorted_cap;
  fb_rule_use *uses;
  uint32_t use_count;
  fb_rule_port *ports;
  uint32_t port_count, port_cap;
  fb_rule_emit *emits; /* as the rules have them */
  uint32_t emit_count;
  fb_rule_aggregate **aggregates;
  uint32_t aggregate_count, aggregate_cap;
  fb_rule_expiry *expiries;
  uint32_t expiry_count, expiry_cap;
  bool windowed;       /* something goes by the facts' own times */
  fb_rule_type *types; /* by type id */
  uint32_t type_count;
  fb_rule_part_key *part_keys; /* of `partition:` */
  uint32_t part_key_count, part_key_cap;
  fb_cel_program **programs; /* owned */
  size_t program_count, program_cap;
  fb_template **templates; /* owned */
  size_t template_count, template_cap;
};

/* Is it of the session's own facts, which nobody else sees? */
static inline bool fb_type_is_hidden(const fb_ruleset *set, uint32_t type) {
  return type < set->type_count && set->types[type].result_of;
}

/* While a rulebook is loaded. */
typedef struct fb_rule_loader {
  fb_ruleset *set;
  const fb_doc *doc;
  fb_errors *errors, *warnings;
  fb_cel_env *env;
  bool declares; /* has `facts:` */
  bool nomem;
  fb_rule *rule;       /* being loaded */
  uint64_t slots_used; /* by actions: bits of this rule's slots */
  uint32_t item_count; /* conditions and tests of the rule */
  bool constants;      /* the variant has names that stand for constants … */
  bool dead;           /* … and never holds */
  uint32_t empties;    /* aggregates of no facts, in the variant or its groups */
  fb_rule_condition *scope[FB_RULE_MAX_SLOTS]; /* what is bound to each slot of the environment */
  const fb_node **asserted;                    /* type names that actions assert */
  size_t asserted_count, asserted_cap;
} fb_rule_loader;

/* Room for one more in an array that lives in the ruleset's arena. */
bool fb_rule_push(fb_ruleset *set, void **items, uint32_t *cap, uint32_t count, size_t item_size);

/* rulebook.c: where a type is named. Reports; NULL if it cannot be used. */
fb_fact_type *fb_rule_type_named(fb_rule_loader *loader, const fb_node *node, fb_slice name,
                                 bool asserted);
/* condition.c */
void fb_rule_load_conditions(fb_rule_loader *loader, const fb_node *when, uint32_t variant);
/* How many rules the conditions make: every way to choose a branch of each `any`. */
uint32_t fb_rule_variants(const fb_node *when);
/* Does some condition, whatever its branch, bind the variable? */
bool fb_rule_binds(const fb_node *when, fb_slice variable);
/* action.c */
void fb_rule_load_actions(fb_rule_loader *loader, const fb_node *then);
/* Of a node with `${{ … }}` over the rule's variables; the set owns it. NULL: there was an error, which is reported. */
fb_template *fb_rule_template(fb_rule_loader *loader, const fb_node *node);
/* call.c: does an action of its rules call a calculator or hand out a mission? */
bool fb_ruleset_acts_outside(const fb_ruleset *set);
/* Can an expression of the kind give a value that the field takes? */
bool fb_rule_kind_fits(fb_cel_kind kind, fb_field_type type);
/* Keeps a text in the set. */
fb_slice fb_rule_keep(fb_rule_loader *loader, fb_slice text);

/* control.c: which firing comes first. */
/* `strategy:` of the rulebook; nullable. */
void fb_rule_load_strategy(fb_rule_loader *loader, const fb_node *node);
/* `salience:` of the rule, whose conditions are loaded; nullable. */
void fb_rule_load_salience(fb_rule_loader *loader, const fb_node *node);
/* `group:` of the rule; nullable. */
void fb_rule_load_group(fb_rule_loader *loader, const fb_node *node);
/* `effective:` of the rule; nullable. */
void fb_rule_load_effective(fb_rule_loader *loader, const fb_node *node);
/* The group that a `focus` names; NONE: there is no such group, which is reported. All rules' groups are known. */
uint32_t fb_rule_focus(fb_rule_loader *loader, const fb_node *node);
/* NONE: the set has no such group. */
uint32_t fb_rule_group_named(const fb_ruleset *set, fb_slice name);
/* Reads all groups of the rules, before the rules themselves. */
void fb_rule_find_groups(fb_rule_loader *loader, const fb_node *rules);
/* partition_plan.c: `partition:` of the rulebook; nullable. */
void fb_rule_load_partition(fb_rule_loader *loader, const fb_node *node);
/* check.c: reports tests of one fact that exclude each other. */
void fb_rule_check_condition(fb_rule_loader *loader, const fb_rule_condition *condition);
/* sieve.c: the sieves of all types. */
bool fb_rule_plan_sieves(fb_ruleset *set);
/* FB_INT for all numbers but NaN, FB_ABSENT if values of the kind are not sieved by order. */
static inline uint8_t fb_rule_class(fb_value value) {
  switch (value.kind) {
    case FB_INT:
    case FB_UINT: return FB_INT;
    case FB_DOUBLE: return value.as.d == value.as.d ? FB_INT : FB_ABSENT;
    case FB_STRING:
    case FB_TIMESTAMP:
    case FB_DURATION: return value.kind;
    default: return FB_ABSENT;
  }
}
/* emit.c: what is emitted, and how. */
bool fb_rule_plan_emits(fb_ruleset *set);
/* plan.c: alphas, indexes, walks, sieves. FB_E_NOMEM or FB_OK. */
fb_status fb_rule_plan(fb_ruleset *set);
#endif
