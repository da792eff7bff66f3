/* SPDX-License-Identifier: Apache-2.0
 *
 * The plan: what a mission document becomes. Immutable once loaded; runs read it from any thread.
 *
 * Variables of expressions are slots of one array: inputs, steps, secrets (only caught here to be refused as
 * a whole), env, the texts of `mission` and `run`, then one slot an input, one a secret, one a step, and last the item
 * and the index of the for_each around a step, `result` in its `until`, and the `with` variables of template files.
 */
#ifndef FB_MISSION_PLAN_H
#define FB_MISSION_PLAN_H

#include "mission/guard_doc.h"

#include <flyball/mission.h>

enum {
  FB_SLOT_INPUTS,
  FB_SLOT_STEPS,
  FB_SLOT_SECRETS,
  FB_SLOT_ENV,
  FB_SLOT_MISSION_NAME,
  FB_SLOT_MISSION_DIR,
  FB_SLOT_RUN_ID,
  FB_SLOT_RUN_DIR,
  FB_SLOT_RUN_STATUS,
  FB_SLOT_FIRST_INPUT
};

/* A text with expressions in it, or a constant. */
struct fb_text {
  const fb_node *node;
  fb_template *template_; /* NULL: constant */
  fb_value constant;
  fb_text *next; /* all of a mission, newest first */
};

typedef struct fb_env_entry {
  fb_slice name;
  fb_text *value;
} fb_env_entry;

typedef struct fb_env_list {
  fb_env_entry *items;
  uint32_t count;
} fb_env_list;

typedef enum fb_parse {
  FB_PARSE_NONE, /* output is the text, without the newlines at its end, within limits.output */
  FB_PARSE_TEXT,
  FB_PARSE_LINES,
  FB_PARSE_JSON,
  FB_PARSE_NDJSON,
  FB_PARSE_CSV
} fb_parse;

typedef enum fb_input_type {
  FB_INPUT_ANY,
  FB_INPUT_STRING,
  FB_INPUT_INT,
  FB_INPUT_UINT,
  FB_INPUT_DOUBLE,
  FB_INPUT_BOOL,
  FB_INPUT_TIMESTAMP,
  FB_INPUT_DURATION,
  FB_INPUT_LIST,
  FB_INPUT_MAP
} fb_input_type;

typedef struct fb_schema fb_schema; /* schema.h */

typedef struct fb_input {
  fb_slice name, description;
  fb_input_type type;
  bool required;
  fb_value initial;        /* FB_ABSENT: none */
  const fb_schema *schema; /* nullable */
} fb_input;

/* `until`: the action is repeated until the condition over its result holds. */
typedef struct fb_until {
  const fb_node *node;
  fb_cel_program *condition; /* reads `result` */
  int64_t interval, timeout; /* ns; timeout 0: none */
} fb_until;

/* What stands around a step's calls (attempt.c). */
typedef struct fb_step_guard {
  fb_retry_doc *retry; /* NULL: one attempt */
  fb_until *until;     /* nullable */
  uint32_t breaker;    /* number + 1; 0: none */
  uint32_t limit;      /* number + 1; 0: none */
  uint32_t budget;     /* of its retries: number + 1; 0: none */
} fb_step_guard;

/* `cache`: its result is kept beyond the run. */
typedef struct fb_step_cache {
  fb_text *key; /* NULL: what the step is given */
  fb_text **files;
  uint32_t file_count;
  int64_t ttl; /* ns; 0: for ever */
} fb_step_cache;

/* `concurrency`: how many runs at once. */
typedef struct fb_mission_concurrency {
  fb_text *group; /* NULL: any number */
  uint32_t limit;
  uint8_t policy; /* fb_group_policy */
} fb_mission_concurrency;

/* Retries that steps share. */
typedef struct fb_named_budget {
  fb_slice name;
  uint32_t tokens;
  double ratio;
} fb_named_budget;

typedef struct fb_named_breaker {
  fb_slice name;
  fb_breaker_config config;
} fb_named_breaker;

typedef struct fb_named_limit {
  fb_slice name;
  fb_limit_doc limit;
} fb_named_limit;

typedef struct fb_step {
  fb_slice id, description;
  const fb_node *node, *id_node;
  const fb_tool *tool;
  void *tool_plan;
  const fb_node *action;
  const fb_node *condition_node;
  fb_cel_program *condition;
  uint32_t *condition_needs; /* steps that the condition looks at */
  uint32_t condition_need_count;
  bool condition_by_item; /* it reads the for_each's item or index */
  bool referenced;        /* some expression reads its result */
  uint8_t parse;          /* fb_parse */
  uint8_t on_error;       /* fb_on_error */
  uint8_t priority;       /* of the ready queues; 0 goes first */
  bool matrix;            /* for_each is a map of lists: all combinations of them */
  uint8_t phase;          /* FB_PHASE_MAIN, FB_PHASE_UNDO, FB_PHASE_FINALLY */
  uint32_t undo;          /* number + 1 of the step that undoes this one; 0: none */
  uint32_t undoes;        /* … and the other way */
  uint32_t fallback;      /* number + 1 of the step that is run when this one fails; 0: none */
  uint32_t fallback_of;   /* … and the other way */
  bool never;             /* it cannot ever run */
  fb_step_cache *cache;   /* nullable */
  fb_step_guard *guard;   /* NULL: its calls are made as they come */
  uint8_t semantics;      /* fb_semantics */
  const fb_tool *check;   /* tells whether it had its effect; NULL: nothing does */
  void *check_plan;
  fb_text *for_each; /* NULL: it runs once */
  fb_slice as;
  uint32_t item_parallel; /* 0: as many as the run allows */
  uint32_t level;
  fb_env_list env;
  fb_text *dir, *input;
  int64_t timeout; /* ns; 0: none */
  uint32_t *needs, *dependents;
  uint32_t need_count, dependent_count;
} fb_step;

/* Where a secret comes from: one of file, env and command. */
typedef struct fb_secret {
  fb_slice name;
  fb_input_type type; /* STRING, INT, LIST, MAP, ANY */
  bool required;
  const fb_node *node;
  const char *file, *env;
  const char **command; /* NULL at the end */
} fb_secret;

typedef struct fb_output {
  fb_slice name;
  fb_text *value;
  const fb_schema *schema; /* nullable */
} fb_output;

typedef struct fb_limits {
  uint32_t parallel; /* 0: not said */
  bool fail_fast;
  int64_t timeout; /* ns; 0: none */
  uint64_t output; /* bytes of a stream kept in memory */
} fb_limits;

struct fb_mission {
  const fb_allocator *allocator;
  fb_arena arena; /* everything below */
  const fb_doc *doc;
  fb_slice name, description;
  const char *folder;
  fb_limits limits;
  fb_named_breaker *breakers;
  fb_named_limit *named_limits;
  uint32_t breaker_count, named_limit_count;
  fb_named_budget *budgets;
  uint32_t budget_count;
  fb_mission_concurrency concurrency;
  fb_env_list env;
  fb_text **roots; /* NULL: not said */
  uint32_t root_count;
  fb_input *inputs;
  uint32_t input_count;
  fb_secret *secrets;
  uint32_t secret_count;
  fb_step *steps; /* the main ones, then those that undo, then those of `finally` */
  uint32_t step_count;
  uint32_t main_count, finally_first;
  uint32_t level_count;
  uint32_t with_count; /* most variables that a template file gets by `with` */
  fb_output *outputs;
  uint32_t output_count;
  fb_text *texts; /* for freeing */
};

static inline uint32_t fb_slot_of_secret(const fb_mission *mission, uint32_t secret) {
  return FB_SLOT_FIRST_INPUT + mission->input_count + secret;
}
static inline uint32_t fb_slot_of_step(const fb_mission *mission, uint32_t step) {
  return fb_slot_of_secret(mission, mission->secret_count) + step;
}
static inline uint32_t fb_slot_item(const fb_mission *mission) {
  return fb_slot_of_step(mission, mission->step_count);
}
static inline uint32_t fb_slot_index(const fb_mission *mission) {
  return fb_slot_item(mission) + 1;
}
static inline uint32_t fb_slot_result(const fb_mission *mission) {
  return fb_slot_item(mission) + 2;
}
static inline uint32_t fb_slot_with(const fb_mission *mission) {
  return fb_slot_item(mission) + 3;
}
static inline uint32_t fb_slot_count(const fb_mission *mission) {
  return fb_slot_with(mission) + mission->with_count;
}

#define FB_NO_STEP UINT32_MAX

enum { FB_PRIORITIES = 10, FB_PRIORITY = 5 };

/* ── Loading (load.c and what it calls) ──────────────────────────────────────────────────────── */

struct fb_mission_loader {
  fb_mission *mission;
  const fb_doc *doc;
  fb_errors *errors;
  fb_errors *warnings; /* nullable */
  const fb_load_chain *chain;
  const fb_node *with; /* of the step at hand; nullable */
  const fb_allocator *allocator;
  const fb_world *world;
  fb_tools tools;
  fb_cel_env *env;
  fb_table ids;    /* id → step number */
  uint64_t *words; /* slots read by the text at hand */
  size_t word_count;
  uint32_t step;      /* being loaded; FB_NO_STEP: none, or one that only looks at what is over */
  uint32_t undo_next; /* number of the next step that undoes */
  bool in_item;       /* within its for_each: item and index are declared */
  bool steps_barred;  /* the text at hand is worked out before any step */
  size_t mark_bytes;
  uint32_t *marks; /* per step: number + 1 of the last step that was seen to need it */
  uint32_t *needs; /* of the step at hand */
  size_t need_count, need_cap;
  const char **id_names; /* for "did you mean"; made when first needed */
  bool out_of_memory;
};

/* load_value.c: small values. Problems are reported; a value that is wrong becomes what stands for "not said". */
void fb_load_fail(fb_mission_loader *loader, const fb_node *node, fb_status code, const char *hint,
                  const char *text);
/* ns above zero. */
int64_t fb_load_duration(fb_mission_loader *loader, const fb_node *node);
uint64_t fb_load_size(fb_mission_loader *loader, const fb_node *node, uint64_t otherwise);
uint32_t fb_load_parallel(fb_mission_loader *loader, const fb_node *node);
void fb_load_env(fb_mission_loader *loader, const fb_node *node, fb_env_list *list);
/* All combinations of the lists in a map but those that match a map in its `exclude`, and those in `include`. */
fb_status fb_matrix_expand(fb_value over, fb_arena *arena, fb_value *ret_list, fb_error *err);
/* A word out of a list, or an error with "did you mean". */
int fb_load_word(fb_mission_loader *loader, const fb_node *node, const char *key,
                 const char *const *words, size_t count);

/* load_step.c */
enum { FB_MOST_TOOLS = 30 };
void fb_load_step(fb_mission_loader *loader, const fb_node *node, uint32_t number);

/* load_guard.c: what stands around calls. */
void fb_load_breakers(fb_mission_loader *loader, const fb_node *node);
void fb_load_budgets(fb_mission_loader *loader, const fb_node *node);
/* The maps in `limits`. */
bool fb_load_is_named_limit(const fb_pair *pair);
void fb_load_named_limits(fb_mission_loader *loader, const fb_node *node);
enum { FB_GUARD_RETRY, FB_GUARD_BREAKER, FB_GUARD_LIMIT, FB_GUARD_UNTIL, FB_GUARD_KEYS };
/* nodes: of those keys, each may be NULL. */
void fb_load_guard(fb_mission_loader *loader, const fb_node *const nodes[FB_GUARD_KEYS],
                   fb_step *step);

/* load_phase.c: `undo`, `finally`, and steps that stand in for failed ones. */
/* The step that undoes step `number`: made out of the value of `undo`. */
void fb_load_undo(fb_mission_loader *loader, const fb_node *node, uint32_t number);
/* `on_error`: stop, continue, or {step: ID}. */
void fb_load_on_error(fb_mission_loader *loader, const fb_node *node, fb_step *step);
/* After all steps: what needs a step that has a fallback needs that too. */
void fb_load_fallbacks(fb_mission_loader *loader);

/* rustchain.c: missions of RustChain. */
bool fb_rustchain_is(const fb_node *root);
/* The same as a mission of ours, in the mission's arena; NULL: no memory. */
const fb_node *fb_rustchain_translate(fb_mission_loader *loader, const fb_node *root);

/* cache.c */
void fb_load_cache(fb_mission_loader *loader, const fb_node *node, fb_step *step);

/* group.c */
void fb_load_concurrency(fb_mission_loader *loader, const fb_node *node);

/* never.c: what cannot be. */
struct fb_ast;
typedef struct fb_finding {
  fb_error error;
  bool warning;
  uint32_t offset, length; /* in the expression */
} fb_finding;
/* Whether the expression itself (not its parts) is one that cannot be meant. */
bool fb_never_find(const fb_mission *mission, const struct fb_ast *ast, fb_finding *finding);
/* Warns of steps that never run; after all are loaded. */
void fb_never_check(fb_mission_loader *loader);

/* secrets.c */
void fb_load_secrets(fb_mission_loader *loader, const fb_node *node);
const fb_cel_type *fb_secret_cel_type(const fb_secret *secret);
/* "did you mean …"; FB_E_MISSION_SECRET. */
fb_status fb_secret_unknown(const fb_mission *mission, fb_slice name, fb_error *err);

/* tool_mission.c: the mission within a step; NULL: it is another kind of step. */
const fb_mission *fb_step_inside(const fb_step *step);

/* needs.c */
void fb_load_needs(fb_mission_loader *loader, const fb_node *node);
/* The needs collected for the step at hand, ascending, in the mission's arena. */
uint32_t *fb_load_take_needs(fb_mission_loader *loader, uint32_t *ret_count);
/* Records a need of the step at hand, once. */
bool fb_loader_need(fb_mission_loader *loader, uint32_t step);
/* Where an expression or a text with expressions stands. */
typedef struct fb_source_text {
  const char *name;    /* file */
  const fb_node *node; /* of the mission's document; NULL: `text` is that file's whole text */
  fb_slice text;
  bool bare; /* an expression; else text with expressions in it */
} fb_source_text;

/* Notes what a compiled text reads (loader->words): needs, references; checks names (refs.c). */
void fb_loader_note_reads(fb_mission_loader *loader, const fb_source_text *source);
/* Fills the environment up to `slot` with names that nobody can write. */
fb_status fb_loader_pad(fb_mission_loader *loader, uint32_t slot);
/* Compiles the text of a file as a template that also knows the variables named by the keys of `with`
 * (nullable). `node` is where it is named. */
fb_text *fb_loader_template(fb_mission_loader *loader, const fb_node *node, const fb_node *with,
                            const char *name, fb_slice source);
/* True for a name that expressions can use as a variable. */
bool fb_is_identifier(fb_slice name);
/* True for the names that every mission has, and `index`. */
bool fb_is_taken_name(fb_slice name);
/* The id nearest to a word, for hints; NULL when there is none. */
const char *fb_loader_nearest_step(fb_mission_loader *loader, fb_slice word);
/* Compiles a condition and notes what it reads; NULL after a report. */
fb_cel_program *fb_loader_condition(fb_mission_loader *loader, const fb_node *node);
/* True if the text at hand reads the variable. */
static inline bool fb_loader_reads(const fb_mission_loader *loader, uint32_t slot) {
  return loader->words[slot / 64] >> (slot % 64) & 1;
}

/* Checks every `steps.x.field` and `inputs.x` in a text (refs.c). */
void fb_refs_check(fb_mission_loader *loader, const fb_source_text *source);

/* Sets needs' counterpart, levels; reports cycles. False when there is one, or no memory (graph.c). */
bool fb_graph_build(fb_mission *mission, fb_errors *errors);

/* inputs.c */
bool fb_inputs_load(fb_mission_loader *loader, const fb_node *node);
const fb_cel_type *fb_input_cel_type(const fb_input *input);
/* "string", "int", … */
const char *fb_input_type_name(const fb_input *input);
bool fb_input_find(const fb_mission *mission, fb_slice name, uint32_t *ret_number);
/* The value as the declared type has it, where nothing is lost; FB_E_MISSION_INPUT. */
fb_status fb_input_convert(const fb_input *input, fb_value value, fb_value *ret_value,
                           fb_error *err);
/* FB_E_MISSION_INPUT with a hint when the mission does not declare it. */
fb_status fb_input_unknown(const fb_mission *mission, fb_slice name, fb_error *err);

/* ── Running ─────────────────────────────────────────────────────────────────────────────────── */

/* An error at a node of the mission's document. */
fb_status fb_mission_fail(const fb_mission *mission, const fb_node *node, fb_error *err,
                          fb_status code, const char *format, ...) FB_PRINTF(5, 6);

/* What the run parses of a program's output (output.c). `name` is for messages. */
fb_status fb_parse_output(fb_parse parse, fb_slice text, const char *name, uint64_t seed,
                          fb_arena *arena, fb_value *ret_value, fb_error *err);
/* A text value if the bytes are UTF-8, else bytes. */
fb_value fb_text_or_bytes(fb_slice text);

#endif
