/* SPDX-License-Identifier: Apache-2.0
 *
 * flyball/data.h: values, JSON, documents with positions, facts in columns, fact streams.
 */
#ifndef FLYBALL_DATA_H
#define FLYBALL_DATA_H

#include <flyball/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ── Value ───────────────────────────────────────────────────────────────────────────────────── */

/* The kinds of CEL. The order is that of `fb_kind_name`. */
typedef enum fb_kind {
  FB_NULL,
  FB_BOOL,
  FB_INT,
  FB_UINT,
  FB_DOUBLE,
  FB_STRING, /* UTF-8 */
  FB_BYTES,
  FB_LIST,
  FB_MAP,
  FB_TIMESTAMP, /* seconds since 1970 in as.i, nanoseconds 0–999999999 in len */
  FB_DURATION, /* the same; value = seconds + nanos, nanos never negative (-0.5s is -1s + 500000000) */
  FB_TYPE,     /* a type as a value; its name as text */
  FB_OPTIONAL, /* as.optional: the value inside, NULL for none */
  FB_FACT,     /* a row of a fact table, read through as.facts; row in len */
  FB_ERROR,    /* an expression's failure on its way up; never inside a list or map, never stored */
  FB_ABSENT, /* no value at all: a field that the fact does not have. Never inside a list or map */
  FB_KIND_COUNT
} fb_kind;

typedef struct fb_list fb_list;
typedef struct fb_map fb_map;
typedef struct fb_facts fb_facts;

/* 16 bytes, passed by value. What it points to is immutable and belongs to whoever made it
 * (an arena, a symbol table, a document): a value never owns. */
typedef struct fb_value {
  uint8_t kind;   /* fb_kind */
  uint8_t symbol; /* FB_STRING: 1 if the text is interned, see fb_symbol_of */
  uint16_t reserved;
  uint32_t len; /* bytes of text; nanoseconds of a time; row of a fact */
  union {
    bool b;
    int64_t i;
    uint64_t u;
    double d;
    const char *text;
    const fb_list *list;
    const fb_map *map;
    const struct fb_value *optional;
    const fb_facts *facts;
    const fb_error *error;
  } as;
} fb_value;

struct fb_list {
  uint32_t len, cap;
  fb_value *items;
};

typedef struct fb_entry {
  fb_value key, value;
} fb_entry;

/* Keeps the order of insertion; lookup goes through a hash index once there are more than 8. */
struct fb_map {
  uint32_t len, cap;
  fb_entry *entries;
  uint32_t *index; /* NULL or index_size slots: entry number + 1, 0 = empty */
  uint32_t index_size;
};

static inline fb_value fb_null(void) {
  return (fb_value){.kind = FB_NULL};
}
static inline fb_value fb_absent(void) {
  return (fb_value){.kind = FB_ABSENT};
}
static inline fb_value fb_bool(bool b) {
  return (fb_value){.kind = FB_BOOL, .as = {.b = b}};
}
static inline fb_value fb_int(int64_t i) {
  return (fb_value){.kind = FB_INT, .as = {.i = i}};
}
static inline fb_value fb_uint(uint64_t u) {
  return (fb_value){.kind = FB_UINT, .as = {.u = u}};
}
static inline fb_value fb_double(double d) {
  return (fb_value){.kind = FB_DOUBLE, .as = {.d = d}};
}
/* Borrowed. len < 4 GiB. */
static inline fb_value fb_string(fb_slice text) {
  return (fb_value){.kind = FB_STRING, .len = (uint32_t)text.len, .as = {.text = text.ptr}};
}
static inline fb_value fb_bytes(fb_slice bytes) {
  return (fb_value){.kind = FB_BYTES, .len = (uint32_t)bytes.len, .as = {.text = bytes.ptr}};
}
static inline fb_value fb_type_value(fb_slice name) {
  return (fb_value){.kind = FB_TYPE, .len = (uint32_t)name.len, .as = {.text = name.ptr}};
}
static inline fb_value fb_list_value(const fb_list *list) {
  return (fb_value){.kind = FB_LIST, .as = {.list = list}};
}
static inline fb_value fb_map_value(const fb_map *map) {
  return (fb_value){.kind = FB_MAP, .as = {.map = map}};
}
static inline fb_value fb_timestamp(int64_t seconds, uint32_t nanos) {
  return (fb_value){.kind = FB_TIMESTAMP, .len = nanos, .as = {.i = seconds}};
}
static inline fb_value fb_duration(int64_t seconds, uint32_t nanos) {
  return (fb_value){.kind = FB_DURATION, .len = nanos, .as = {.i = seconds}};
}
static inline fb_value fb_optional(const fb_value *inside) {
  return (fb_value){.kind = FB_OPTIONAL, .as = {.optional = inside}};
}
static inline fb_value fb_error_value(const fb_error *err) {
  return (fb_value){.kind = FB_ERROR, .as = {.error = err}};
}
static inline fb_value fb_fact_value(const fb_facts *facts, uint32_t row) {
  return (fb_value){.kind = FB_FACT, .len = row, .as = {.facts = facts}};
}

/* The text of a string, bytes or type value. */
static inline fb_slice fb_value_text(fb_value value) {
  return (fb_slice){value.as.text, value.len};
}

/* "null_type", "bool", "int", …, "google.protobuf.Timestamp", "optional_type": CEL's names. */
FB_API const char *fb_kind_name(fb_kind kind);

/* CEL's equality: int, uint and double compare by value across kinds, NaN equals nothing, maps
 * without regard to order, other kinds differ. Depth is bounded by what the readers admit. */
FB_API bool fb_value_equal(fb_value a, fb_value b);
/* CEL's order: numbers across kinds (exactly, also beyond 2^53), strings and bytes by byte, bools,
 * times. False when the two have no order (other kinds, NaN); else *ret_order is -1, 0 or 1. */
FB_API bool fb_value_compare(fb_value a, fb_value b, int *ret_order);
/* A total order over all values, for sorting and canonical output: by kind, then by value. */
FB_API int fb_value_order(fb_value a, fb_value b);
/* Equal values have equal hashes: 1, 1u and 1.0 too. Lists and maps are hashed whole. */
FB_API uint64_t fb_value_hash(fb_value value, uint64_t seed);

/* Room for `cap` items; grows in fb_list_push. NULL when there is no memory. */
FB_API fb_list *fb_list_new(fb_arena *arena, size_t cap);
FB_API bool fb_list_push(fb_list *list, fb_arena *arena, fb_value item);
FB_API fb_map *fb_map_new(fb_arena *arena, size_t cap);
/* Adds, or replaces the value of an equal key (*ret_replaced, nullable). False: no memory. */
FB_API bool fb_map_put(fb_map *map, fb_arena *arena, fb_value key, fb_value value,
                       bool *ret_replaced);
/* NULL when absent. Keys are found across number kinds, as in CEL. */
FB_API const fb_value *fb_map_get(const fb_map *map, fb_value key);
FB_API const fb_value *fb_map_get_text(const fb_map *map, fb_slice key);

/* Copies all that the value points to into the arena; facts become maps. FB_E_NOMEM or FB_OK. */
FB_API fb_status fb_value_copy(fb_arena *arena, fb_value value, fb_value *ret_copy);

/* ── JSON (RFC 8259) ─────────────────────────────────────────────────────────────────────────── */

typedef struct fb_json_options {
  uint32_t max_depth;  /* 0: 256; at most 1024 */
  uint64_t max_length; /* bytes of one text; 0: 1 GiB; at most 4 GiB */
  bool
      keep_duplicates; /* false: a repeated key in an object is an error; true: the last one counts */
} fb_json_options;

/* Reads one JSON text; nothing but white space may follow. Integers become int, or uint if only that
 * holds them, else an error (FB_E_JSON_NUMBER: nothing is rounded silently); numbers with fraction
 * or exponent become double, correctly rounded; one that overflows is an error. Strings must be
 * valid UTF-8 without lone surrogates; U+0000 is admitted as \u0000.
 * Strings are copied into the arena, with a NUL after each. The arena's limit holds for all that reading
 * takes; on failure the arena is as before. options NULL: defaults. `name` is the file for messages. */
FB_API fb_status fb_json_read(fb_slice text, const char *name, const fb_json_options *options,
                              fb_arena *arena, fb_value *ret_value, fb_error *err);

typedef enum fb_json_style {
  FB_JSON_COMPACT = 0,
  FB_JSON_PRETTY = 1,    /* two blanks a level */
  FB_JSON_CANONICAL = 2, /* keys sorted by bytes, shortest numbers that read back the same */
  FB_JSON_HTML_SAFE = 4, /* < > & and U+2028/9 escaped, so that it may stand inside <script> */
} fb_json_style;         /* bits */

/* Kinds without JSON: bytes → base64 text, times → RFC 3339 / "1.5s" text, type → its name, optional →
 * what is inside or null, NaN and infinities → the texts "NaN", "Infinity", "-Infinity", keys that
 * are not strings → their text, a fact → an object. Bytes of a text that are not UTF-8 → U+FFFD.
 * Failure (memory, the buffer's maximum, more than 1024 levels) is in out->failed. */
FB_API void fb_json_write(fb_buf *out, fb_value value, unsigned style);
/* Quotes and escapes one string. */
FB_API void fb_json_write_text(fb_buf *out, fb_slice text, unsigned style);
/* "NAME":"TEXT", a member of an object, with a comma before it unless the object begins here; the name is written as it is. */
FB_API void fb_json_member(fb_buf *out, const char *name, fb_slice text);

/* ── Documents: YAML 1.2 (core schema) and JSON as one tree with positions ───────────────────── */

typedef struct fb_doc fb_doc;
typedef struct fb_node fb_node;

typedef struct fb_pair fb_pair;

/* An alias is the node it stands for, with that node's position; its children are shared. */
struct fb_node {
  uint8_t
      kind; /* fb_kind: FB_NULL, FB_BOOL, FB_INT, FB_UINT, FB_DOUBLE, FB_STRING, FB_LIST, FB_MAP;
                      * FB_ERROR: stands where a mistake was reported (with keep_going only) */
  uint8_t style;  /* fb_node_style */
  uint32_t count; /* items of a list, pairs of a map */
  uint32_t
      offset; /* of its first byte in the document's text: of the opening quote, if quoted; of the
                      * first character that is not blank, if literal or folded */
  uint32_t length;       /* bytes it takes there */
  uint32_t line, column; /* from 1; column in code points */
  union {
    fb_value scalar;
    fb_node *items;
    fb_pair *pairs;
  } as;
};

struct fb_pair {
  fb_node key; /* always FB_STRING: other keys are an error */
  fb_node value;
};

typedef enum fb_node_style {
  FB_NODE_JSON, /* JSON, or a flow/block collection */
  FB_NODE_PLAIN,
  FB_NODE_SINGLE_QUOTED,
  FB_NODE_DOUBLE_QUOTED,
  FB_NODE_LITERAL, /* | */
  FB_NODE_FOLDED   /* > */
} fb_node_style;

typedef struct fb_doc_options {
  uint32_t max_depth;  /* 0: 128; at most 1024 */
  uint64_t max_length; /* bytes; 0: 64 MiB; at most 4 GiB - 17 */
  uint32_t max_nodes;  /* 0: 4 Mi; an alias counts what it expands to */
  /* True: give the document also when there are errors of meaning, and return FB_OK: whoever checks the
   * tree can add its errors to `errors`, so that a person sees all of a file at once. Such a document
   * must not be used further: see fb_doc_status. */
  bool keep_going;
  const fb_allocator *allocator; /* of the tree and the text; NULL: the system's */
} fb_doc_options;

/* Reads a whole document. Every error found goes into `errors` (with position, excerpt and hint); the
 * return is the first one's code. The text is copied, without a byte order mark. A syntax error ends
 * the reading, errors of meaning (duplicate key, integer too big, key not text, unknown tag) do not.
 * A YAML text without a document (empty, only comments) is null. options NULL: defaults. */
FB_API fb_status fb_doc_read_yaml(fb_slice text, const char *name, const fb_doc_options *options,
                                  fb_doc **ret_doc, fb_errors *errors);
FB_API fb_status fb_doc_read_json(fb_slice text, const char *name, const fb_doc_options *options,
                                  fb_doc **ret_doc, fb_errors *errors);
/* By the name's ending: .json is JSON, all else YAML. */
FB_API fb_status fb_doc_read(fb_slice text, const char *name, const fb_doc_options *options,
                             fb_doc **ret_doc, fb_errors *errors);
FB_API void fb_doc_free(fb_doc *doc);
FB_API const fb_node *fb_doc_root(const fb_doc *doc);
FB_API const char *fb_doc_name(const fb_doc *doc);
/* The code of the first error of meaning in a document that was read with keep_going; else FB_OK. A loader
 * that accepts such documents fails with it after it has reported what it found itself. */
FB_API fb_status fb_doc_status(const fb_doc *doc);
FB_API fb_slice fb_doc_text(const fb_doc *doc);

static inline fb_slice fb_node_text(const fb_node *node) {
  return fb_value_text(node->as.scalar);
}
static inline bool fb_node_is(const fb_node *node, fb_kind kind) {
  return node && node->kind == kind;
}
/* The value of a map's key; NULL if absent or if node is no map. */
FB_API const fb_node *fb_node_get(const fb_node *node, const char *key);
FB_API const fb_pair *fb_node_get_pair(const fb_node *node, const char *key);
/* "null", "a list", "a map", "text", "an integer", …: for messages. */
FB_API const char *fb_node_describe(const fb_node *node);
/* The tree as a value; strings are borrowed from the document. */
FB_API fb_status fb_node_value(const fb_node *node, fb_arena *arena, fb_value *ret_value);

/* An error at a node: text as printf, position, excerpt. The whole node's first line is underlined.
 * hint may be NULL. A node of kind FB_ERROR has been reported: then nothing is added. Returns code. */
FB_API fb_status fb_doc_fail(const fb_doc *doc, const fb_node *node, fb_errors *errors,
                             fb_status code, const char *hint, const char *format, ...)
    FB_PRINTF(6, 7);
/* Where byte `offset` of a text node's *value* lies in the document's text, as well as the scalar's
 * style allows it (exact for plain, literal and quoted scalars without escapes before it). */
FB_API size_t fb_node_source_offset(const fb_doc *doc, const fb_node *node, size_t offset);
/* Moves an error whose position is relative to a text node's value (an expression in it) to the
 * document: `offset` and `length` are bytes within the node's value. Keeps code, text and hint. */
FB_API void fb_doc_relocate(const fb_doc *doc, const fb_node *node, size_t offset, size_t length,
                            fb_error *err);

/* What a map may contain. Every key not listed is an error with "did you mean", every required one
 * that lacks is an error at the map, every one of a wrong kind is an error at its value. */
typedef struct fb_key_spec {
  const char *name;
  uint32_t kinds; /* bits, 1u << fb_kind; 0: anything */
  bool required;
} fb_key_spec;
#define FB_KIND_BIT(kind) (1u << (kind))

/* `what` names the map in messages: "a rule". nodes[i] gets the value of specs[i] or NULL, also NULL
 * if it is of a wrong kind. Specs may be at most 64. Returns false if anything was reported. */
FB_API bool fb_doc_keys(const fb_doc *doc, const fb_node *map, const char *what,
                        const fb_key_spec *specs, size_t count, const fb_node **nodes,
                        fb_errors *errors);

/* ── Symbols: text interned to 32 bits ───────────────────────────────────────────────────────── */

typedef struct fb_symbols fb_symbols;
typedef uint32_t fb_symbol; /* 0 is the empty text; dense */

/* seed: of the hash; draw it from fb_random_seed_system where input is not trusted. */
FB_API fb_status fb_symbols_new(const fb_allocator *allocator, uint64_t seed,
                                fb_symbols **ret_symbols);
FB_API void fb_symbols_free(fb_symbols *symbols);
/* Interns (copies) the text; FB_E_NOMEM, or FB_E_LIMIT at 2^32 - 1 symbols. */
FB_API fb_status fb_symbol_intern(fb_symbols *symbols, fb_slice text, fb_symbol *ret_symbol);
/* False if the text is not interned. */
FB_API bool fb_symbol_find(const fb_symbols *symbols, fb_slice text, fb_symbol *ret_symbol);
FB_API fb_slice fb_symbol_text(const fb_symbols *symbols, fb_symbol symbol);
/* A string value with `symbol` set: two such values of one table are equal iff their pointers are.
 * The text lives as long as the table. */
FB_API fb_value fb_symbol_value(const fb_symbols *symbols, fb_symbol symbol);
/* The symbol of such a value; value.symbol must be 1. */
FB_API fb_symbol fb_symbol_of(fb_value value);
FB_API size_t fb_symbols_count(const fb_symbols *symbols);
FB_API size_t fb_symbols_memory(const fb_symbols *symbols); /* bytes held */
/* A point to go back to. */
typedef struct fb_symbols_mark {
  size_t count, held;
  fb_arena_mark texts;
} fb_symbols_mark;
FB_API fb_symbols_mark fb_symbols_save(const fb_symbols *symbols);
/* Forgets the texts interned since `mark` was taken if they take more than `bytes`; nothing may refer to them
 * any more. What later marks stand for is gone as well. Returns whether it did. */
FB_API bool fb_symbols_rewind(fb_symbols *symbols, fb_symbols_mark mark, size_t bytes);

/* ── Fact types ──────────────────────────────────────────────────────────────────────────────── */

/* A field's declared type. ANY: whatever comes (all fields of open types). A type has at most 4,096
 * fields, a schema at most 65,536 types (FB_E_LIMIT): input cannot make it grow without end. */
typedef enum fb_field_type {
  FB_FIELD_ANY,
  FB_FIELD_BOOL,
  FB_FIELD_INT,
  FB_FIELD_UINT,
  FB_FIELD_DOUBLE,
  FB_FIELD_STRING,
  FB_FIELD_BYTES,
  FB_FIELD_TIMESTAMP,
  FB_FIELD_DURATION,
  FB_FIELD_LIST,
  FB_FIELD_MAP
} fb_field_type;

typedef struct fb_field {
  fb_slice name;
  fb_field_type type;
} fb_field;

/* `fields` is in order of declaration, then of first sight. A declared type never gains one. */
typedef struct fb_fact_type {
  fb_slice name;
  uint32_t id; /* dense, from 0, within its schema */
  bool open;   /* learns fields as facts come */
  uint32_t field_count, field_cap;
  fb_field *fields;
  fb_table by_name; /* field name → number */
} fb_fact_type;

typedef struct fb_schema fb_schema;

/* The schema holds its types and the symbols of their facts (borrowed: must outlive it). */
FB_API fb_status fb_schema_new(const fb_allocator *allocator, fb_symbols *symbols,
                               fb_schema **ret_schema);
FB_API void fb_schema_free(fb_schema *schema);
FB_API fb_symbols *fb_schema_symbols(const fb_schema *schema);
FB_API size_t fb_schema_count(const fb_schema *schema);
FB_API fb_fact_type *fb_schema_type(const fb_schema *schema, uint32_t id);
FB_API fb_fact_type *fb_schema_find(const fb_schema *schema, fb_slice name); /* NULL when absent */
/* Finds, or adds an open type without fields. */
FB_API fb_status fb_schema_open(fb_schema *schema, fb_slice name, fb_fact_type **ret_type);
/* FB_E_FACT_TYPE if the type exists. */
FB_API fb_status fb_schema_declare(fb_schema *schema, fb_slice name, const fb_field *fields,
                                   size_t count, fb_fact_type **ret_type, fb_error *err);
/* "string", "int", …, "list", "map", "any" → fb_field_type. */
FB_API bool fb_field_type_parse(fb_slice name, fb_field_type *ret_type);
FB_API const char *fb_field_type_name(fb_field_type type);
/* Field number, or -1. */
FB_API int32_t fb_fact_type_field(const fb_fact_type *type, fb_slice name);
/* Finds, or (open types only) adds; FB_E_FACT_FIELD when a declared type has no such field. */
FB_API fb_status fb_fact_type_learn(fb_schema *schema, fb_fact_type *type, fb_slice name,
                                    uint32_t *ret_field);

/* ── Facts in columns ────────────────────────────────────────────────────────────────────────── */

/* Rows are numbered from 0 in the order they were added and lie in chunks of FB_CHUNK_ROWS. Within
 * a chunk each field is one column. A column holds one kind as long as it can:
 *   cells: FB_BOOL uint8_t; FB_INT/FB_UINT/FB_DOUBLE 8 bytes; FB_STRING fb_symbol (4 bytes);
 *          anything else, and a mix of kinds: fb_value (16 bytes), `kind` = FB_COLUMN_VALUES.
 *   rows [0, dense) are present; a later row is present if its bit in `present` is set (NULL: none is).
 *          So dense == chunk->count means that no row lacks the field. Bits below dense mean nothing.
 *          An explicit null is a value of fields of type ANY, not an absence.
 * A column that does not exist in a chunk (cells NULL) is absent in all its rows.
 * Pointers to chunks, columns and cells are good until the table next changes. */
#define FB_CHUNK_ROWS 4096
#define FB_COLUMN_VALUES 0xff

typedef struct fb_column {
  uint8_t kind; /* fb_kind or FB_COLUMN_VALUES */
  bool slab;    /* the table's own matter */
  uint32_t dense;
  uint32_t rows; /* that `cells` has room for */
  void *cells;
  uint64_t *present;
} fb_column;

/* Whether row `at` of the chunk has the field. */
static inline bool fb_column_has(const fb_column *column, uint32_t at) {
  return FB_LIKELY(at < column->dense) ||
         (column->present && (column->present[at / 64] >> (at % 64) & 1));
}

/* The same for rows 64 * word … 64 * word + 63, one bit a row. */
static inline uint64_t fb_column_bits(const fb_column *column, uint32_t word) {
  uint32_t from = word * 64;
  uint64_t dense = column->dense >= from + 64 ? ~UINT64_C(0)
                   : column->dense <= from    ? 0
                                              : (UINT64_C(1) << (column->dense - from)) - 1;
  return dense | (column->present ? column->present[word] : 0);
}

typedef struct fb_chunk {
  uint32_t count;        /* rows in use */
  uint32_t column_count; /* may be fewer than the type has fields */
  fb_column *columns;
} fb_chunk;

/* Text given to `add` and `set` is interned, lists, maps and bytes are copied. Memory of a removed or
 * overwritten compound cell is given back by fb_facts_clear; a session does so between changes. */
FB_API fb_status fb_facts_new(const fb_allocator *allocator, fb_schema *schema, fb_fact_type *type,
                              fb_facts **ret_facts);
FB_API void fb_facts_free(fb_facts *facts);
FB_API fb_fact_type *fb_facts_type(const fb_facts *facts);
FB_API fb_schema *fb_facts_schema(const fb_facts *facts);
FB_API uint32_t fb_facts_count(const fb_facts *facts); /* rows, removed ones included */
FB_API size_t fb_facts_chunks(const fb_facts *facts);
FB_API const fb_chunk *fb_facts_chunk(const fb_facts *facts, size_t number);
/* Adds a row without fields. */
FB_API fb_status fb_facts_add(fb_facts *facts, uint32_t *ret_row);
/* Sets one cell; `field` is a number of the type; FB_ABSENT removes it. A declared field takes its type
 * only, with these conversions that lose nothing: int ↔ uint in range, int/uint → double if exact,
 * RFC 3339 text → timestamp, duration text → duration; null leaves it absent, as in JSON of
 * protobuf. Else FB_E_FACT_VALUE. */
FB_API fb_status fb_facts_set(fb_facts *facts, uint32_t row, uint32_t field, fb_value value,
                              fb_error *err);
/* FB_ABSENT when the row does not have it. Strings come back as symbols. */
FB_API fb_value fb_facts_get(const fb_facts *facts, uint32_t row, uint32_t field);
/* Adds one fact from a map with text keys: learns fields of open types, checks declared ones. */
FB_API fb_status fb_facts_add_map(fb_facts *facts, const fb_map *map, uint32_t *ret_row,
                                  fb_error *err);
/* Copies a row of another table of the same schema and type. */
FB_API fb_status fb_facts_add_row(fb_facts *facts, const fb_facts *from, uint32_t row,
                                  uint32_t *ret_row);
/* Removes all rows; keeps the memory of one chunk for the next batch. */
FB_API void fb_facts_clear(fb_facts *facts);
/* The last row only: undoes fb_facts_add. */
FB_API void fb_facts_drop_last(fb_facts *facts);
FB_API size_t fb_facts_memory(const fb_facts *facts);
/* The fields that the row has, as a map in the arena (field order). Names and values are borrowed from
 * the schema and the table; fb_value_copy of the fact makes a copy that stands alone. */
FB_API fb_status fb_fact_map(const fb_facts *facts, uint32_t row, fb_arena *arena,
                             fb_map **ret_map);
/* By name, for FB_FACT values whose type is not known before: FB_ABSENT when it has no such field. */
FB_API fb_value fb_fact_get(fb_value fact, fb_slice field);

/* ── Facts that do not fit in memory ─────────────────────────────────────────────────────────── */

/* Where the cells of facts go that were not used lately, a chunk's at a time. fb_pages_open in flyball/store.h makes one over SQLite.
 * Several sessions may share it, one after the other. */
typedef struct fb_page_store {
  size_t
      memory; /* bytes of columns that are kept in memory, more or less: those that a change needs are in any case */
  /* *page: 0 of a new one, which gets a number; else it is written over. */
  fb_status (*write)(void *context, uint64_t *page, fb_slice bytes, fb_error *err);
  /* The bytes that were written last, `len` of them. */
  fb_status (*read)(void *context, uint64_t page, void *bytes, size_t len, fb_error *err);
  void (*drop)(void *context, uint64_t page);
  void *context;
} fb_page_store;

typedef struct fb_page_stats {
  uint64_t hits;   /* chunks that were asked for again shortly before they would have gone */
  uint64_t misses; /* read back */
  uint64_t writes;
} fb_page_stats;

/* ── Fact streams ────────────────────────────────────────────────────────────────────────────── */

typedef enum fb_stream_format {
  FB_STREAM_AUTO,   /* by the first bytes: `[` is a JSON array, `{` NDJSON, else CSV */
  FB_STREAM_NDJSON, /* one object a line; blank lines are skipped */
  FB_STREAM_JSON,   /* an array of objects, or one object */
  FB_STREAM_CSV /* RFC 4180 with a header line; cells are typed as the declared field, else by their look */
} fb_stream_format;

/* Where bytes come from. Returns how many were read, 0 at the end, -1 on failure (errno is set). */
typedef struct fb_source {
  int64_t (*read)(void *context, void *bytes, size_t len);
  void *context;
} fb_source;

typedef struct fb_stream_options {
  fb_stream_format format;
  const char *name; /* for messages: the file, or "<stdin>" */
  fb_slice type;    /* fact type of records that do not tell theirs; empty: an error */
  fb_slice
      type_key; /* which key tells the type; empty: "type". The key is not a field of the fact */
  size_t max_record;   /* bytes of one record; 0: 16 MiB */
  uint32_t max_depth;  /* 0: 64 */
  uint32_t batch_rows; /* 0: FB_CHUNK_ROWS */
  uint32_t
      max_errors; /* a bad record is reported and skipped; after so many the stream ends; 0: 100 */
} fb_stream_options;

/* Rows of one type that came one after the other. */
typedef struct fb_run {
  fb_facts *facts;
  uint32_t first, count;
} fb_run;

/* Belongs to the stream; good until the next fb_stream_next. Runs are in order of arrival. */
typedef struct fb_batch {
  const fb_run *runs;
  size_t run_count;
  uint32_t rows;
} fb_batch;

typedef struct fb_stream fb_stream;

FB_API fb_status fb_stream_open(fb_source source, fb_schema *schema,
                                const fb_stream_options *options, const fb_allocator *allocator,
                                fb_stream **ret_stream, fb_error *err);
/* FB_OK with a batch of at least one row, FB_DONE at the end. Bad records go into `errors` with line,
 * column, excerpt, and are left out; after max_errors of them, or when the input cannot be read on
 * (I/O, record too long, array cut off), the code of the last error is returned. */
FB_API fb_status fb_stream_next(fb_stream *stream, fb_batch *ret_batch, fb_errors *errors);
FB_API void fb_stream_free(fb_stream *stream);
FB_API uint64_t fb_stream_bytes(const fb_stream *stream);   /* read so far */
FB_API uint64_t fb_stream_records(const fb_stream *stream); /* good ones so far */

/* A source over a file descriptor (not closed by it) or over memory. */
FB_API fb_source fb_source_fd(int fd);
typedef struct fb_memory_source {
  fb_slice rest;
} fb_memory_source;
FB_API fb_source fb_source_memory(fb_memory_source *memory);

#ifdef __cplusplus
}
#endif
#endif
