/* SPDX-License-Identifier: Apache-2.0
 *
 * flyball/cel.h: the Common Expression Language (https://cel.dev, google/cel-spec), without protobuf
 * messages. Source → checked expression → register bytecode → value.
 *
 * An environment says which names exist and of what type; a program is compiled against one, is
 * immutable, and may be evaluated by any number of threads at once, each with its own context.
 */
#ifndef FLYBALL_CEL_H
#define FLYBALL_CEL_H

#include <flyball/data.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ── Types ───────────────────────────────────────────────────────────────────────────────────── */

/* Owned by the environment; equal types are not always the same pointer: use fb_cel_type_equal. */
typedef enum fb_cel_kind {
  FB_CEL_DYN,
  FB_CEL_NULL,
  FB_CEL_BOOL,
  FB_CEL_INT,
  FB_CEL_UINT,
  FB_CEL_DOUBLE,
  FB_CEL_STRING,
  FB_CEL_BYTES,
  FB_CEL_TIMESTAMP,
  FB_CEL_DURATION,
  FB_CEL_LIST,     /* a: element */
  FB_CEL_MAP,      /* a: key, b: value */
  FB_CEL_TYPE,     /* a: what it is the type of */
  FB_CEL_OPTIONAL, /* a: inside */
  FB_CEL_FACT,     /* fact: fields are looked up at check time if it is declared, else dyn */
  FB_CEL_PARAM,    /* a type parameter, within signatures only */
  FB_CEL_ERROR
} fb_cel_kind;

typedef struct fb_cel_type {
  fb_cel_kind kind;
  const struct fb_cel_type *a, *b;
  const fb_fact_type *fact;
  uint32_t param; /* of FB_CEL_PARAM */
} fb_cel_type;

/* The types without parameters; static. */
FB_API const fb_cel_type *fb_cel_simple(fb_cel_kind kind);
FB_API bool fb_cel_type_equal(const fb_cel_type *a, const fb_cel_type *b);
/* "list(int)", "map(string, dyn)", "fact order". */
FB_API void fb_cel_type_write(const fb_cel_type *type, fb_buf *out);

/* ── Environment ─────────────────────────────────────────────────────────────────────────────── */

typedef struct fb_cel_env fb_cel_env;

/* Everything in the language and its extensions (strings, math, lists, sets, encoders, bindings, optionals,
 * two-variable comprehensions) is there; Flyball's own: json.encode(v), json.decode(s), html.escape(s). */
FB_API fb_status fb_cel_env_new(const fb_allocator *allocator, fb_cel_env **ret_env);
FB_API void fb_cel_env_free(fb_cel_env *env);
/* Composite types for declarations; NULL when there is no memory. */
FB_API const fb_cel_type *fb_cel_env_list(fb_cel_env *env, const fb_cel_type *element);
FB_API const fb_cel_type *fb_cel_env_map(fb_cel_env *env, const fb_cel_type *key,
                                         const fb_cel_type *value);
FB_API const fb_cel_type *fb_cel_env_fact(fb_cel_env *env, const fb_fact_type *fact);
/* Declares a variable; its value is slots[*ret_slot] at evaluation. Slots count up from 0. The name may
 * be qualified ("a.b.c"). Declaring a name again replaces it from then on (a new slot). */
FB_API fb_status fb_cel_env_add(fb_cel_env *env, fb_slice name, const fb_cel_type *type,
                                uint32_t *ret_slot);
/* Forgets the variables added after the first `count` slots. */
FB_API void fb_cel_env_truncate(fb_cel_env *env, uint32_t count);
FB_API uint32_t fb_cel_env_slots(const fb_cel_env *env);
/* How many names stand for fields and constants; and forgets those after the first so many, when the variables that were added since
 * are forgotten. */
FB_API uint32_t fb_cel_env_names(const fb_cel_env *env);
FB_API void fb_cel_env_forget(fb_cel_env *env, uint32_t names);
/* Names are looked up in this namespace first, then in the ones around it. "" by default. */
FB_API fb_status fb_cel_env_container(fb_cel_env *env, fb_slice name);

/* ── Compile ─────────────────────────────────────────────────────────────────────────────────── */

typedef struct fb_cel_program fb_cel_program;

typedef struct fb_cel_options {
  const char *name;        /* file for messages */
  bool no_check;           /* undeclared names and wrong types become errors of evaluation */
  const fb_cel_type *want; /* the result must be assignable to it; NULL: anything */
  uint32_t max_depth;      /* of the expression; 0: 250 */
  uint32_t max_length;     /* bytes of source; 0: 64 KiB */
  const fb_doc *doc;       /* where the source is text of a document: errors are moved there … */
  const fb_node *node;     /* … it is this node's value … */
  size_t node_offset;      /* … from this byte on */
} fb_cel_options;

/* All errors of the source go into `errors`. The program does not depend on the source text, but on
 * the environment's fact types (not on the environment itself). options may be NULL. */
FB_API fb_status fb_cel_compile(fb_cel_env *env, fb_slice source, const fb_cel_options *options,
                                fb_cel_program **ret_program, fb_errors *errors);
FB_API void fb_cel_program_free(fb_cel_program *program);
FB_API const fb_cel_type *fb_cel_program_type(
    const fb_cel_program *program); /* owned by the program */
/* Which slots the program reads: bit i of word i/64. Slots ≥ the words given are not told. */
FB_API void fb_cel_program_reads(const fb_cel_program *program, uint64_t *words, size_t count);
/* For people: one instruction a line. */
FB_API void fb_cel_program_dump(const fb_cel_program *program, fb_buf *out);

/* ── Evaluate ────────────────────────────────────────────────────────────────────────────────── */

/* Finds the UTC offset in force in a time zone ("Europe/Berlin") at an instant. False: no such zone. */
typedef bool fb_cel_zone(void *context, fb_slice name, int64_t unix_seconds,
                         int32_t *ret_offset_seconds);
/* Reads the system's zone files. `context` is a fb_zones, which keeps each file once read, or NULL: then the
 * file is read at every call. Thread-safe. */
FB_API bool fb_zone_system(void *context, fb_slice name, int64_t unix_seconds,
                           int32_t *ret_offset_seconds);
typedef struct fb_zones fb_zones;
/* directory NULL: /usr/share/zoneinfo; it is borrowed. Keeps at most 256 zones. */
FB_API fb_status fb_zones_new(const fb_allocator *allocator, const char *directory,
                              fb_zones **ret_zones);
FB_API void fb_zones_free(fb_zones *zones);

/* One a thread. Results live in `arena`, which the caller resets. The step budget counts executed
 * instructions and the work of library calls; it is counted down and refilled by the caller. */
typedef struct fb_cel_context {
  fb_arena *arena;
  uint64_t steps;    /* left; when gone: FB_E_CEL_BUDGET. fb_cel_context_init sets 10 million */
  uint64_t max_size; /* elements of a list, bytes of a text that an expression may make; 64 Mi */
  fb_cel_zone *zone; /* NULL: only UTC and fixed offsets */
  void *zone_context;
  /* <, ==, … of an integer and a double compare the numbers, not the integer rounded to a double. Off, as CEL has
   * it; rules have it on. */
  bool exact;
  void *scratch; /* the VM's registers, kept between evaluations; freed by _release */
  size_t scratch_size;
  struct fb_regex_cache *regexes; /* compiled patterns, at most 64; freed by _release */
} fb_cel_context;

FB_API void fb_cel_context_init(fb_cel_context *context, fb_arena *arena);
FB_API void fb_cel_context_release(fb_cel_context *context);

/* slots: as many values as the environment had when the program was compiled; FB_ABSENT for a variable
 * that has no value (using it is an error of evaluation). On failure *err has line and column of the
 * part of the expression that failed. */
FB_API fb_status fb_cel_eval(const fb_cel_program *program, const fb_value *slots,
                             fb_cel_context *context, fb_value *ret_value, fb_error *err);

/* ── Templates: text with ${{ expression }} in it ────────────────────────────────────────────── */

typedef struct fb_template fb_template;

/* A text that is only "${{ e }}" keeps the value's type; any other becomes a string (null as "", lists and
 * maps as JSON, other values as string() has them). `$${{` stands for a literal `${{`. */
FB_API fb_status fb_template_compile(fb_cel_env *env, fb_slice text, const fb_cel_options *options,
                                     fb_template **ret_template, fb_errors *errors);
/* A whole document value: every text in it is a template; maps and lists keep their shape. */
FB_API fb_status fb_template_compile_node(fb_cel_env *env, const fb_doc *doc, const fb_node *node,
                                          fb_template **ret_template, fb_errors *errors);
FB_API void fb_template_free(fb_template *template_);
FB_API bool fb_template_is_constant(const fb_template *template_);
FB_API const fb_cel_type *fb_template_type(const fb_template *template_);
FB_API void fb_template_reads(const fb_template *template_, uint64_t *words, size_t count);
FB_API fb_status fb_template_eval(const fb_template *template_, const fb_value *slots,
                                  fb_cel_context *context, fb_value *ret_value, fb_error *err);

#ifdef __cplusplus
}
#endif
#endif
