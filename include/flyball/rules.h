/* SPDX-License-Identifier: Apache-2.0
 *
 * flyball/rules.h: facts in, rules decide. A rulebook (YAML or JSON) is loaded into an immutable ruleset;
 * any number of sessions, each with its own facts, run it.
 *
 *   fb_ruleset_read  →  fb_session_new  →  fb_session_assert…  →  fb_session_fire  →  decisions
 *
 * A cycle: of all activations (a rule with the facts that satisfy its conditions) the first of the agenda
 * fires, its actions change the facts, and so on until none is left. Order of the agenda: higher salience,
 * then, if the rulebook names no other strategy, the activation made by the later change (depth), then the rule that stands first in the
 * rulebook, then the facts asserted later, compared condition by condition. Nothing else has a say, so
 * the same calls give the same firings. An activation fires once (refraction); it comes anew only when a fact in it is
 * modified in a field that the rule's conditions read, or when a `not` of it was broken and holds again.
 *
 * Threads: a ruleset may be used by any number of threads; a session by one at a time.
 */
#ifndef FLYBALL_RULES_H
#define FLYBALL_RULES_H

#include <flyball/cel.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ── Ruleset: a rulebook, checked and compiled ───────────────────────────────────────────────── */

typedef struct fb_ruleset fb_ruleset;

/* Reads, checks and compiles a rulebook. `name` is the file for messages; its ending tells JSON from YAML.
 * Every error found goes into `errors`, every doubt (a variable that nothing uses, a type that nothing
 * makes or declares) into `warnings` (nullable); the return is the first error's code. */
FB_API fb_status fb_ruleset_read(fb_slice text, const char *name, const fb_allocator *allocator,
                                 fb_ruleset **ret_ruleset, fb_errors *errors, fb_errors *warnings);
/* The same from a part of a document: `node` is the map with `rules:`; NULL is the root. The document is
 * borrowed and must outlive the ruleset. */
FB_API fb_status fb_ruleset_load(const fb_doc *doc, const fb_node *node,
                                 const fb_allocator *allocator, fb_ruleset **ret_ruleset,
                                 fb_errors *errors, fb_errors *warnings);
/* No session of it may be left. */
FB_API void fb_ruleset_free(fb_ruleset *ruleset);
/* The file it was read from. */
FB_API const char *fb_ruleset_name(const fb_ruleset *ruleset);
/* Rules, those with `enabled: false` included. */
FB_API size_t fb_ruleset_count(const fb_ruleset *ruleset);

/* What a rule says of itself. Texts belong to the ruleset. */
typedef struct fb_rule_info {
  fb_slice name;
  fb_slice description; /* "" when it has none */
  uint32_t line;        /* where the rule starts */
  int32_t salience;     /* 0 if it is computed for each activation */
  bool salience_computed;
  bool enabled;
  fb_slice group; /* its agenda group; "main" if the rulebook does not say */
} fb_rule_info;

/* `number` counts from 0 in the order of the rulebook and is less than fb_ruleset_count. */
FB_API fb_rule_info fb_ruleset_rule(const fb_ruleset *ruleset, size_t number);
/* For people: the plan of every rule, one condition a line with what finds its facts. */
FB_API void fb_ruleset_dump(const fb_ruleset *ruleset, fb_buf *out);

/* True if its enabled rules read one fact each (no join, no `not`) and only emit and log: then a session of it
 * may be stateless. Else *ret_reason (nullable) tells the first rule that is not so: FB_E_RULE_STATEFUL. */
FB_API bool fb_ruleset_stateless(const fb_ruleset *ruleset, fb_error *ret_reason);
/* True if, besides, what it says of a fact depends on that fact alone, so that several stateless sessions may each decide upon a part
 * of a stream. It is not so where a fact of an open type is read as a whole: its fields stand in the order in which a
 * session saw them first. */
FB_API bool fb_ruleset_splits(const fb_ruleset *ruleset);

/* Which of the activations of one salience (and group) fires first. In all but depth, of one change (where the strategy says no more) the
 * rule that stands first in the rulebook does, then the facts asserted earlier. */
typedef enum fb_strategy {
  FB_STRATEGY_BOOK,  /* what the rulebook says: depth, if it says nothing */
  FB_STRATEGY_DEPTH, /* the one made last; then the rule that stands first, then the later facts */
  FB_STRATEGY_BREADTH, /* the one made first */
  FB_STRATEGY_LEX, /* the one with the most recent facts: the most recent of each, then the next … ; with more
                           * conditions; with the greater complexity; the one made first */
  FB_STRATEGY_MEA,        /* the one whose first condition has the more recent fact; then as LEX */
  FB_STRATEGY_COMPLEXITY, /* of the rule with the most comparisons; the one made first */
  FB_STRATEGY_SIMPLICITY, /* of the rule with the fewest; the one made first */
  FB_STRATEGY_RANDOM      /* as the seed has it; the same for the same calls */
} fb_strategy;
/* "" of BOOK. */
FB_API const char *fb_strategy_name(fb_strategy strategy);
FB_API bool fb_strategy_parse(fb_slice name, fb_strategy *ret_strategy);

/* What an `emit:` of the rulebook says of itself. Texts belong to the ruleset. */
typedef struct fb_emit_info {
  fb_slice type; /* what stands after `emit:` */
  fb_slice rule;
  uint32_t rule_number;
  uint32_t line; /* of the emit in the rulebook */
  uint32_t field_count;
  const fb_slice *fields; /* names of `with`, in the order written */
} fb_emit_info;

/* All `emit:` of the rules, numbered from 0: what records of decisions are read with. A rule with `any` has each of
 * its own once for every choice of branches. */
FB_API size_t fb_ruleset_emit_count(const fb_ruleset *ruleset);
FB_API fb_emit_info fb_ruleset_emit(const fb_ruleset *ruleset, size_t number);

/* ── Session ─────────────────────────────────────────────────────────────────────────────────── */

typedef struct fb_session fb_session;

/* A fact's name within its session; never 0. The low 32 bits number its place, from 1; a place is used
 * again after its fact is gone, and the high 32 bits count how often. */
typedef uint64_t fb_fact_id;

/* What `emit` hands out. Good during the callback only. */
typedef struct fb_decision {
  fb_slice type;        /* what stands after `emit:` */
  const fb_map *fields; /* `with`; keys are text, in the order written */
  fb_slice rule;
  uint32_t rule_number;
  uint32_t line;   /* of the emit in the rulebook */
  uint64_t firing; /* from 1 within the session */
} fb_decision;

/* The same without names and maps, for those who want many of them: its `emit` leads to fb_ruleset_emit, which tells
 * the rest. 32 bytes. */
typedef struct fb_decision_record {
  fb_fact_id
      fact; /* of the rule's first condition; 0: it has none. Stateless: 1 + the row of the table that came in */
  uint64_t firing;        /* from 1 within the session */
  const fb_value *values; /* of `with`, in the order of fb_emit_info.fields */
  uint32_t emit;          /* number */
  uint32_t rule_number;
} fb_decision_record;

/* An argument of a calculator. It comes converted, as a declared field would take it. */
typedef struct fb_parameter {
  const char *name;
  fb_field_type type;
  bool
      optional; /* absent and null arguments are left out of the map; one that is not optional must be there */
} fb_parameter;

/* Calculates `*ret_result` from the arguments of a `call`. Nothing else: it must not touch a session. What the result points to lives in
 * the arena, in the arguments, or longer than the session. A failure (with a text in *err, if it has one to tell) isolates the
 * firing, as that of an expression does; FB_E_NOMEM ends fb_session_fire. */
typedef fb_status fb_calculator_fn(void *context, const fb_map *args, fb_arena *arena,
                                   fb_value *ret_result, fb_error *err);

typedef struct fb_calculator {
  const char *name;
  const fb_parameter *parameters; /* NULL: it takes any */
  size_t parameter_count;
  fb_calculator_fn *call;
  void *context;
} fb_calculator;

/* Are all calculators that actions call among these, with arguments that they take? FB_E_RULE_CALL, FB_E_RULE_VALUE; `errors` (nullable)
 * gets every mistake with its place. fb_session_new asks the same. */
FB_API fb_status fb_ruleset_check_calls(const fb_ruleset *ruleset, const fb_calculator *calculators,
                                        size_t count, fb_errors *errors);

/* Where a session's output goes. A callback may read the session (facts, why) but not change it. Each
 * may be NULL. */
typedef struct fb_session_output {
  /* Returning anything but FB_OK ends fb_session_fire with that code, after this firing. */
  fb_status (*decision)(void *context, fb_session *session, const fb_decision *decision);
  void (*log)(void *context, fb_session *session,
              const fb_decision *line); /* fields: "message" and `with` */
  /* A condition or an action that failed. It counts as a condition that does not hold, or as a firing
   * without effect; the session goes on. Not called for a field that the fact lacks. */
  void (*error)(void *context, fb_session *session, const fb_error *err);
  /* After each firing. */
  void (*fired)(void *context, fb_session *session, uint32_t rule_number, uint64_t firing);
  void *context;
  /* If it is set it gets all decisions instead, in the same order, up to 256 at a time: at the latest before facts
   * change, before another function of these is called, and before the call returns that made them fire. An array of
   * records and what their values point to is good during the call only. fb_session_why needs `decision`. A code
   * other than FB_OK ends fb_session_fire after the firings of these records. */
  fb_status (*decisions)(void *context, fb_session *session, const fb_decision_record *records,
                         size_t count);
  /* A mission to be run: `type` is its name, `fields` its inputs. As for `decision`. */
  fb_status (*run)(void *context, fb_session *session, const fb_decision *mission);
} fb_session_output;

typedef struct fb_session_options {
  uint64_t
      max_firings; /* of one fb_session_fire; 0: 10 million, not counting those of matches that were there at its
                    * start. Stateless: of all facts since the session was made or reset; 0: no limit */
  uint64_t max_facts; /* held at once; 0: no limit but memory (and 2^32 - 2) */
  uint64_t
      max_activations; /* waiting at once, facts that wait for their matches to be looked for among them; 0:
                             * no limit but memory */
  uint64_t
      max_candidates; /* facts looked at in joins by one change, and for one match when its turn comes; 0: no limit.
                       * In firing nothing is lost, and the search goes on with the next fire. An assert that passes it
                       * is taken back, a modify or retract refused; but if it is passed when the fact has changed
                       * already, or by what that withdraws, the session has to be reset */
  uint64_t
      max_memory; /* bytes of the session: an assert, from outside or by a rule, for which it would have to take more is
                       * refused; an eighth more while it holds fewer facts than it did. What modify, retract and
                       * the agenda need is not refused. 0: no limit */
  uint64_t max_errors;   /* handed to `error`; further ones are only counted; 0: 100 */
  uint64_t max_steps;    /* of one expression; 0: 10 million */
  const fb_clock *clock; /* for `deadline` and the times of the statistics; NULL: neither */
  int64_t deadline;      /* of fb_session_fire, in `clock`'s mono nanoseconds; 0: none */
  uint64_t hash_seed;    /* of the symbol table; draw it where input is not trusted */
  fb_strategy
      strategy; /* not BOOK: in place of the rulebook's; ignored by fb_session_restore, which takes the saved
                          * session's, unless it restores facts only */
  uint64_t seed;     /* of the strategy RANDOM, if it is given here */
  fb_cel_zone *zone; /* for expressions; NULL: only UTC and fixed offsets */
  void *zone_context;
  /* Facts are decided upon while they are asserted, one after the other, as if the session were fired after each, and
   * are not held: their ids are 0. fb_session_fire fires the rules that have no condition on facts. Needs a ruleset that is
   * fb_ruleset_stateless. */
  bool stateless;
  bool profile; /* count for fb_session_condition_statistics; takes times if there is a clock */
  const fb_calculator *calculators; /* that `call` may name; borrowed */
  size_t calculator_count;
  bool
      explain; /* keep the log of firings (24 bytes each, and 24 a fact) that fb_session_why needs for chains */
  uint64_t
      max_explained; /* of the last so many firings, at most twice as many; an explanation that would go on to
                           * older ones says so: `forgotten`, up to which firing. 0: of all */
  /* Where facts go that were not used lately, so that more may be held than fit in memory; what rules do is the same. NULL: all
   * stay in memory. The store must outlive the session. Columns of lists, maps, bytes, times and mixed kinds stay, as do
   * texts, indexes and the agenda. A store that fails leaves a session to be reset. */
  const fb_page_store *store;
  fb_session_output output;
} fb_session_options;

/* options NULL: defaults, and decisions go nowhere. The ruleset must outlive the session. FB_E_RULE_STATEFUL: it is
 * to be stateless and cannot. FB_E_RULE_CALL: a calculator is missing, or is called wrongly; fb_ruleset_check_calls tells where. */
FB_API fb_status fb_session_new(const fb_ruleset *ruleset, const fb_session_options *options,
                                const fb_allocator *allocator, fb_session **ret_session);
FB_API void fb_session_free(fb_session *session);
/* Forgets all facts, activations, statistics; fact numbers and firings start again. Symbols and learned
 * fields stay. */
FB_API fb_status fb_session_reset(fb_session *session);
FB_API const fb_ruleset *fb_session_ruleset(const fb_session *session);
/* The session's own schema (types as in the rulebook, and open ones that came since) and symbols. Open fact
 * streams on it; do not declare types in it that the rulebook names. */
FB_API fb_schema *fb_session_schema(fb_session *session);
/* As fb_session_options.deadline, for the next fire. */
FB_API void fb_session_set_deadline(fb_session *session, int64_t deadline);
/* As fb_session_options.max_firings, for the next fire: for who fires on after a deadline. */
FB_API void fb_session_set_max_firings(fb_session *session, uint64_t max);

/* ── Facts in ────────────────────────────────────────────────────────────────────────────────── */

/* Identical facts are different facts: asserting one twice holds two.
 * On failure nothing was asserted: FB_E_FACT_FIELD, FB_E_FACT_VALUE, FB_E_RULE_LIMIT, FB_E_NOMEM. */

/* From a map with text keys. Learns fields of open types, checks declared ones. An unknown type is open.
 * `ret_id` is nullable here and below. */
FB_API fb_status fb_session_assert(fb_session *session, fb_slice type, const fb_map *fields,
                                   fb_fact_id *ret_id, fb_error *err);
/* The same from values by the numbers of their fields: values[i] is field i of the type as fb_fact_type_field numbers
 * them, FB_ABSENT where the fact has none, as are those from `count` on. The type is of the session's schema. No map is made and no
 * name is looked up; texts that are symbols of the schema (fb_symbol_value) are not looked up either. */
FB_API fb_status fb_session_assert_values(fb_session *session, const fb_fact_type *type,
                                          const fb_value *values, uint32_t count,
                                          fb_fact_id *ret_id, fb_error *err);
/* Rows first … first+count-1 of a table over the session's schema (a batch of a stream); copied. On failure the
 * rows before the one that failed are held; *ret_done (nullable, always set) tells how many. `ids` is nullable or has
 * room for `count`. */
FB_API fb_status fb_session_assert_rows(fb_session *session, const fb_facts *facts, uint32_t first,
                                        uint32_t count, fb_fact_id *ids, uint32_t *ret_done,
                                        fb_error *err);
/* Of a stateless session: gives back the texts of facts gone by once they take more than 16 MiB, so that its memory is
 * bounded. To be called between the batches of a stream, whose rows are not to be read afterwards. */
FB_API void fb_session_forget_texts(fb_session *session);
/* Sets the fields that the map has, in place: the id stays. A field set to what it was is no change; rules are
 * matched anew only where their conditions read a changed field. FB_E_RULE_FACT: no such fact. */
FB_API fb_status fb_session_modify(fb_session *session, fb_fact_id id, const fb_map *fields,
                                   fb_error *err);
/* The same by the numbers of the fields. */
FB_API fb_status fb_session_modify_values(fb_session *session, fb_fact_id id,
                                          const uint32_t *fields, const fb_value *values,
                                          uint32_t count, fb_error *err);
FB_API fb_status fb_session_retract(fb_session *session, fb_fact_id id, fb_error *err);

/* ── Snapshots ───────────────────────────────────────────────────────────────────────────────── */

/* Appends the session's state (facts with their ids, what waits to fire, statistics, the log of firings) to `out`: versioned, with a
 * checksum, the same bytes on every machine. Not while a rule fires: FB_E_RULE_SESSION. FB_E_LIMIT: a value with more than 256
 * levels. The session is not changed. */
FB_API fb_status fb_session_save(fb_session *session, fb_buf *out, fb_error *err);
/* A new session that goes on exactly where the saved one stood, given the same rulebook (FB_E_RULE_BOOK). facts_only: any rulebook
 * will do; the facts are asserted in their order, with new ids, into a fresh session, but for logical ones, which the rules conclude anew. Limits, output and clock come from
 * `options`, as in fb_session_new. FB_E_RULE_SNAPSHOT: damaged, or of another version; nothing in it can do harm. */
FB_API fb_status fb_session_restore(const fb_ruleset *ruleset, const fb_session_options *options,
                                    const fb_allocator *allocator, fb_slice snapshot,
                                    bool facts_only, fb_session **ret_session, fb_error *err);
/* An equal session, independent from then on; by a snapshot in memory. options NULL: those of the session. */
FB_API fb_status fb_session_clone(fb_session *session, const fb_session_options *options,
                                  fb_session **ret_clone, fb_error *err);

/* ── Another rulebook ────────────────────────────────────────────────────────────────────────── */

/* Gives back what a long life has left: texts that no fact has any more (stats.texts counts the bytes of all), room of facts that are gone.
 * What the session does is the same. It costs what a swap costs, and the schema is another one afterwards, as with a swap. */
FB_API fb_status fb_session_compact(fb_session *session, fb_error *err);
/* Goes on with another rulebook: facts and ids stay. A rule with the same conditions as one before (first of the same name, else in
 * their order; fields declared with the same types) goes on: what waits of it keeps waiting, and what has fired does not fire again; its
 * actions, salience, group are the new ones. Other rules are matched with all facts, as one change. What waits of rules that are gone
 * is dropped, and so are the reasons that they gave: logical facts without another one are withdrawn. The strategy is the new rulebook's, unless
 * the options name one. The session's schema is another one afterwards: free the streams that are open on it before.
 *
 * On failure nothing has changed, and *err is located in the new rulebook: FB_E_FACT_FIELD, FB_E_FACT_VALUE (a fact that is held does
 * not fit a declared type), FB_E_RULE_CALL, FB_E_RULE_STATEFUL, FB_E_NOMEM; FB_E_RULE_SESSION: not while a rule fires. The old
 * ruleset is not needed any more.
 *
 * Aggregates go on with their rules, and with rules that write them word for word, with their results and what open windows hold;
 * others are made of the facts. Results of windows that have ended stand until the rules have fired. */
FB_API fb_status fb_session_swap(fb_session *session, const fb_ruleset *ruleset, fb_error *err);

/* ── Control ─────────────────────────────────────────────────────────────────────────────────── */

/* Puts the agenda group on top of the focus stack: its rules fire next, until none of them can. Below all is "main".
 * FB_E_RULE_GROUP: the rulebook has no such group. FB_E_LIMIT: 65,536 are on the stack. */
FB_API fb_status fb_session_focus(fb_session *session, fb_slice group, fb_error *err);
/* Moves the session's clock (FB_TIMESTAMP) for rules with `effective`, windows and `expires`. It begins before all times, and never
 * goes back: an earlier time is FB_E_RULE_TIME. Facts that expire are retracted, windows let go of facts, and windows that
 * end have their results; what that sets off fires with the next fb_session_fire. */
FB_API fb_status fb_session_advance(fb_session *session, fb_value now, fb_error *err);
/* FB_ABSENT: it was never moved. */
FB_API fb_value fb_session_now(const fb_session *session);
/* The next time at which moving the clock there changes something; it may be past already. FB_ABSENT: nothing waits. A caller that goes
 * from one to the next and fires in between misses nothing that is only true for a while. */
FB_API fb_value fb_session_due(const fb_session *session);
/* The time of a row of a table over the session's schema, as windows and `expires` take it (FB_TIMESTAMP); FB_ABSENT: it has
 * none, or nothing in the rulebook goes by the times of its type. */
FB_API fb_value fb_session_time_of(const fb_session *session, const fb_facts *facts, uint32_t row);
/* Moves the clock on to `until` (FB_TIMESTAMP; no earlier than it stands), from due to due, and fires after each. Fails as both do. */
FB_API fb_status fb_session_replay_until(fb_session *session, fb_value until, fb_error *err);
/* Asserts rows as fb_session_assert_rows does, but as they would have come: before each the clock is replayed until its time less
 * `lateness` (nanoseconds that facts may be behind one that came before them), if it is not there yet; after each the session is
 * fired. On failure *ret_done (nullable) tells how many are done. */
FB_API fb_status fb_session_replay_rows(fb_session *session, const fb_facts *facts, uint32_t first,
                                        uint32_t count, int64_t lateness, uint32_t *ret_done,
                                        fb_error *err);
/* True if it has windows in time, or facts that expire. */
FB_API bool fb_ruleset_windowed(const fb_ruleset *ruleset);
/* True if a rule of it has `effective`. */
FB_API bool fb_ruleset_timed(const fb_ruleset *ruleset);

/* ── Fire ────────────────────────────────────────────────────────────────────────────────────── */

/* Fires until the agenda is empty or `halt`: FB_OK. A limit: FB_E_RULE_LIMIT, *err names it and is located at the rule
 * that was to fire next; nothing is lost, and firing may be continued. `ret_firings` is nullable and always set. */
FB_API fb_status fb_session_fire(fb_session *session, uint64_t *ret_firings, fb_error *err);
/* True if the last fire was ended by `halt`. */
FB_API bool fb_session_halted(const fb_session *session);

/* ── Facts out ───────────────────────────────────────────────────────────────────────────────── */

/* Facts held now; of one type if it is not empty. */
FB_API uint64_t fb_session_count(const fb_session *session, fb_slice type);
/* An FB_FACT value, or FB_ABSENT if there is no such fact (any more). Good until the session changes. */
FB_API fb_value fb_session_fact(const fb_session *session, fb_fact_id id);
/* Returning anything but FB_OK ends the query with that code. The session must not be changed. */
typedef fb_status fb_query_fn(void *context, fb_session *session, fb_fact_id id, fb_value fact);
/* Calls fn for the facts of the type (empty: of all) in the order of their places; if `condition` is not empty, for those
 * for which it holds: CEL over the variable `fact`. Facts for which it fails do not count. */
FB_API fb_status fb_session_query(fb_session *session, fb_slice type, fb_slice condition,
                                  fb_query_fn *fn, void *context, fb_errors *errors);

/* ── Why ─────────────────────────────────────────────────────────────────────────────────────── */

/* Why a decision was made, as a map in the arena; call it from the decision callback:
 *   {"rule", "file", "line", "firing",
 *    "bindings": {variable: {"fact": number, "type", "made_by"?, "changed_by"?, "fields": {…}}},
 *    "chain": [{"firing", "rule", "line", "facts": [numbers], "made": [numbers], "changed": [numbers]}]}
 * The chain has the firings that made or changed the facts, and those before them, oldest first; it is left out if the
 * session does not keep them (options.explain), and cut at 1,000. */
FB_API fb_status fb_session_why(fb_session *session, const fb_decision *decision, fb_arena *arena,
                                fb_value *ret_why);

/* ── Statistics ──────────────────────────────────────────────────────────────────────────────── */

typedef struct fb_rule_stats {
  uint64_t
      activations; /* made: for a rule of several conditions, matches that came to fire or that a `not` or
                         * `exists` let come true; what never had its turn was not looked for */
  uint64_t firings;
  uint64_t errors; /* in its conditions and actions */
  int64_t nanos;   /* spent in its actions and what they changed; 0 without a clock */
} fb_rule_stats;

typedef struct fb_session_stats {
  uint64_t facts, facts_peak; /* held now, and at most */
  uint64_t asserted, modified, retracted;
  uint64_t activations, firings, decisions, errors;
  uint64_t agenda; /* waiting: activations, and facts whose matches are still to be looked for */
  uint64_t candidates; /* facts looked at in joins */
  uint64_t memory;     /* bytes held by facts, indexes, what waits */
  fb_page_stats pages; /* of options.store */
  uint64_t
      texts; /* bytes of `memory` that texts take, of facts gone by too: see fb_session_compact */
  uint64_t
      late; /* facts that came after their window had ended, once for each aggregate that left them out */
} fb_session_stats;

/* What a condition has cost. */
typedef struct fb_condition_stats {
  fb_slice text; /* as it is written, without its expression: `not order as o` */
  uint32_t line;
  bool shared; /* other conditions have the same tests: they were made, and are counted, once */
  uint64_t tested, passed; /* facts that were led to its tests, and those that passed */
  uint64_t candidates,
      joined;    /* facts that were looked at in joins with others, and those that fit */
  int64_t nanos; /* spent in joins that began at a fact in it */
} fb_condition_stats;

/* `index` counts the conditions of the rule from 0, `test:` left out; those of a rule with `any` once for each choice of branches. False:
 * there are no more. All is 0 without options.profile. */
FB_API bool fb_session_condition_statistics(const fb_session *session, size_t rule_number,
                                            size_t index, fb_condition_stats *ret_stats);

FB_API fb_session_stats fb_session_statistics(const fb_session *session);
FB_API fb_rule_stats fb_session_rule_statistics(const fb_session *session, size_t rule_number);

/* ── Partitions: one rulebook worked by several threads ──────────────────────────────────────── */

/* Several sessions, the parts, that together do what one session does: the same firings in the same order, with the same output,
 * whatever their number. Facts are shared out by the value of one field of each type, such that facts which may meet in a
 * rule come to the same part; a type that rules only read may be copied to all. The fields are found, or named by
 * `partition:` in the rulebook. Not every rulebook can be worked so: it must have the strategy depth, and no rule may halt,
 * or ask about facts of all parts. */
typedef struct fb_partition fb_partition;

typedef struct fb_partition_options {
  /* Of the whole. `explain` and `stateless` are not to be had; max_activations and max_candidates are of each part. Callbacks
   * come from the thread that fires, in order; the session they get is the part's, which may be ahead: only its ruleset
   * may be asked for. Errors of conditions come before the next firing of their part. */
  fb_session_options session;
  uint32_t parts; /* 1 to 256 */
  /* How the parts' work is done: fb_team_run with a team, say. NULL: one part after the other. The allocator and the zone
   * function are used by all threads at once. */
  fb_run_tasks *run;
  void *run_context;
  /* Nullable: makes what is to become of a decision while its rule fires, in the part's thread (several at once), and appends it
   * to `out`. Then session.output.decision gets no fields (NULL), and fb_partition_rendered returns the text. */
  fb_status (*render)(void *context, fb_session *session, const fb_decision *decision, fb_buf *out);
  void *render_context;
} fb_partition_options;

/* FB_E_RULE_PARTITION: the rulebook cannot be shared out; *err names the rule and its line. The ruleset must outlive it. */
FB_API fb_status fb_partition_new(const fb_ruleset *ruleset, const fb_partition_options *options,
                                  const fb_allocator *allocator, fb_partition **ret_partition,
                                  fb_error *err);
FB_API void fb_partition_free(fb_partition *partition);
/* Open fact streams on it, as on that of a session. */
FB_API fb_schema *fb_partition_schema(fb_partition *partition);
/* For people: how the facts of each type are shared out, one a line. */
FB_API void fb_partition_dump(const fb_partition *partition, fb_buf *out);
/* As fb_session_assert_rows. But for FB_E_RULE_LIMIT (of max_facts) a failure leaves a partition that can only be freed. With rules that
 * assert logically, all facts come before the first fire: FB_E_RULE_PARTITION. */
FB_API fb_status fb_partition_assert_rows(fb_partition *partition, const fb_facts *facts,
                                          uint32_t first, uint32_t count, uint32_t *ret_done,
                                          fb_error *err);
/* As fb_session_modify and fb_session_retract, for ids that fb_partition_query gives. FB_E_RULE_PARTITION: the field is the one by which the
 * facts are shared out; or every part has the fact, and logical facts are held. */
FB_API fb_status fb_partition_modify(fb_partition *partition, fb_fact_id id, const fb_map *fields,
                                     fb_error *err);
FB_API fb_status fb_partition_retract(fb_partition *partition, fb_fact_id id, fb_error *err);
/* As fb_session_query and fb_session_fact, of all parts; facts come in the order in which they were asserted. The session that
 * fn gets is that of the fact's part; ids are those of the partition. */
FB_API fb_status fb_partition_query(fb_partition *partition, fb_slice type, fb_slice condition,
                                    fb_query_fn *fn, void *context, fb_errors *errors);
FB_API fb_value fb_partition_fact(const fb_partition *partition, fb_fact_id id);
/* As fb_session_fire, but that a limit leaves a partition that can only be freed: its parts are ahead of what was handed out. */
FB_API fb_status fb_partition_fire(fb_partition *partition, uint64_t *ret_firings, fb_error *err);
/* As fb_session_set_deadline. */
FB_API void fb_partition_set_deadline(fb_partition *partition, int64_t deadline);
/* What `render` made of the decision that is handed out. Good during the callback only. */
FB_API fb_slice fb_partition_rendered(const fb_partition *partition);
/* Of the whole. `agenda` and `memory` are those of all parts; `candidates` may be more than one session looks at. */
FB_API fb_session_stats fb_partition_statistics(const fb_partition *partition);
FB_API fb_rule_stats fb_partition_rule_statistics(const fb_partition *partition,
                                                  size_t rule_number);

#ifdef __cplusplus
}
#endif
#endif
