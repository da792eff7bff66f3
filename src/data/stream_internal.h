/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside of fact streams. stream.c owns the buffer, the tables and the batch; stream_json.c and
 * stream_csv.c find records in the buffer; stream_record.c reads one JSON record of any form;
 * stream_shape.c reads runs of records that look like one seen before.
 *
 *  buffer   buf[start, end) is read and not yet taken; PAD zero bytes follow `end`, so that fast readers
 *           may look ahead: none of them goes on behind a zero byte.
 *  glue     the bytes between two values of a record: `, "amount": `.
 *  shape    the glue seen in records of one type, as a graph: what may come after what.
 */
#ifndef FB_DATA_STREAM_INTERNAL_H
#define FB_DATA_STREAM_INTERNAL_H

#include "data/facts_internal.h"

enum {
  FB_STREAM_PAD = 64,
  FB_STREAM_BLOCK = 256 * 1024,
  FB_SHAPES = 32, /* shapes, and first pieces of glue, that a stream keeps */
  FB_SHAPE_NODES = 192,
  FB_SHAPE_FIELDS = 63,
  FB_SHAPE_NEXT = 6,   /* that a piece of glue may have after it */
  FB_SHAPE_GLUE = 64,  /* longest; ≤ FB_STREAM_PAD */
  FB_SHAPE_TEXT = 4096 /* of all glue of a shape */
};

/* One key and value of a JSON record, before its type is known. */
typedef struct fb_member {
  fb_slice key;
  fb_value value;       /* a string's text lies in the buffer or in stream->scratch */
  bool nested;          /* a list or map, still text: [at, end) */
  const char *key_at;   /* its opening quote */
  const char *at, *end; /* the value's bytes, quotes included */
  uint32_t field;       /* once its cell has been written */
} fb_member;

typedef enum fb_shape_op {
  FB_OP_STRING,
  FB_OP_INT,
  FB_OP_UINT,
  FB_OP_DOUBLE,     /* of an undeclared field: needs a fraction or exponent */
  FB_OP_ANY_DOUBLE, /* of a declared one: an integer will do */
  FB_OP_BOOL,
  FB_OP_VALUE,
  FB_OP_END /* no value: the record's `}` */
} fb_shape_op;

#define FB_SHAPE_TYPED (UINT64_C(1) << 63)

/* A piece of glue and the value after it. */
typedef struct fb_shape_node {
  uint8_t op, kind; /* of its column */
  uint8_t type;     /* fb_field_type */
  uint8_t glue_len; /* of a string, up to and with its opening quote */
  uint8_t next_count;
  uint16_t glue;                /* where in text */
  uint16_t next[FB_SHAPE_NEXT]; /* nodes; the one taken last is the first */
  uint32_t field;
  uint64_t
      keys; /* bits of what this adds to the record: its field, FB_SHAPE_TYPED if the glue has the type */
  void *cells; /* of the column in the table's last chunk, once bound */
} fb_shape_node;

typedef struct fb_shape {
  fb_facts *facts;
  uint32_t node_count, text_len;
  uint32_t field_count;
  uint32_t room;  /* rows of the chunk that all columns have room for; 0: not bound */
  uint32_t chunk; /* its number */
  bool varied;    /* records have different fields */
  bool untyped;   /* of the type that records have which do not tell theirs */
  fb_shape_node nodes[FB_SHAPE_NODES];
  uint32_t fields[FB_SHAPE_FIELDS];    /* by bit: field number */
  fb_column *columns[FB_SHAPE_FIELDS]; /* by bit, once bound */
  char text[FB_SHAPE_TEXT + FB_SHAPE_GLUE];
} fb_shape;

typedef struct fb_shape_root {
  fb_shape *shape;
  uint16_t node;
  uint8_t next; /* the root of the record that came after one like this last time */
} fb_shape_root;

typedef struct fb_table_of {
  fb_facts *facts;
  uint64_t *seen; /* by field: number of the last record that had it; finds duplicate keys */
  size_t seen_cap;
  fb_shape *shape; /* NULL: none yet */
} fb_table_of;

typedef enum fb_array_state {
  FB_ARRAY_BEGIN,  /* before `[` or a single `{` */
  FB_ARRAY_FIRST,  /* a record or `]` */
  FB_ARRAY_RECORD, /* a record */
  FB_ARRAY_COMMA,  /* `,` or `]` */
  FB_ARRAY_END     /* only white space */
} fb_array_state;

typedef struct fb_csv {
  bool ready; /* the header has been read */
  uint32_t count, cap;
  fb_slice *names;
  int32_t type_column; /* -1: none */
  fb_fact_type *type;  /* that `fields` is for */
  uint32_t *fields;    /* by column: field number */
} fb_csv;

struct fb_stream {
  const fb_allocator *allocator;
  fb_source source;
  fb_schema *schema;
  fb_symbols *symbols;
  fb_stream_options options; /* defaults filled in, texts in `arena` */
  fb_arena arena;            /* lives as long as the stream */
  fb_arena scratch;          /* of one record */

  char *buf;
  size_t cap, start, end;
  size_t scanned;        /* bytes from `start` on that are known to hold no end of a record */
  bool eof, starved;     /* starved: the source gave less than it was asked for */
  uint32_t line, column; /* of buf[0], both from 0 */
  uint32_t lines;        /* NDJSON: line ends in buf[0, start) */
  uint64_t bytes, records;
  uint64_t attempt; /* numbers the records read, good or bad; see fb_table_of.seen */

  fb_table_of *tables; /* by type id */
  size_t table_cap;
  fb_run *runs;
  size_t run_count, run_cap;
  uint32_t rows;       /* in the batch */
  uint64_t batch_from; /* position in the stream where the batch began */

  uint32_t error_count;
  fb_status ended; /* FB_OK while there is more to come */
  bool skipping;   /* the rest of a line that was too long */
  bool begun;      /* the format is known */

  fb_member *members;
  size_t member_count, member_cap;
  fb_shape_root roots[FB_SHAPES];
  uint32_t root_count, shape_count;
  uint8_t root, next_root; /* last one used; next one to be replaced */

  fb_array_state array;
  struct {
    uint32_t depth;
    bool text, escaped;
  } skip; /* state of the search for a record's end, `scanned` bytes in */
  fb_csv csv;
};

/* ── stream.c ── */

/* Fills position and excerpt of `err` for buf[at]; `length` in bytes. */
void fb_stream_locate(fb_stream *stream, fb_error *err, const char *at, size_t length);
/* Moves an error whose line and column are relative to `text` (a part of the buffer) to the stream. */
void fb_stream_relocate(fb_stream *stream, fb_error *err, fb_slice text);
/* Keeps the error of a skipped record. Not FB_OK when there were too many or memory has run out: the
 * stream ends. */
fb_status fb_stream_report(fb_stream *stream, fb_errors *errors, const fb_error *err);
/* The table of a type, made when there is none. */
fb_status fb_stream_table(fb_stream *stream, fb_fact_type *type, fb_table_of **ret_table);
/* Counts rows that were added to the end of the table. Never fails after fb_stream_run_room. */
void fb_stream_count(fb_stream *stream, fb_facts *facts, uint32_t rows);
fb_status fb_stream_run_room(fb_stream *stream);
/* Finds the field, checks that the record has it once. */
fb_status fb_stream_field(fb_stream *stream, fb_table_of *table, fb_slice name, uint32_t *ret_field,
                          fb_error *err);
bool fb_stream_batch_full(const fb_stream *stream);

/* ── Formats. Take what is complete between start and end. FB_OK: all taken, or the batch is full;
 *    FB_DONE: nothing may follow; else the stream ends with this error, which is in `errors`. ── */

fb_status fb_stream_take_ndjson(fb_stream *stream, fb_errors *errors);
fb_status fb_stream_take_array(fb_stream *stream, fb_errors *errors);
fb_status fb_stream_take_csv(fb_stream *stream, fb_errors *errors);

/* ── stream_record.c ── */

/* Reads one record, which is the whole text. On failure `err` is complete and nothing stays. */
fb_status fb_stream_record(fb_stream *stream, fb_slice text, fb_error *err);
/* For shapes, one value; NULL if anything is wrong with it. `at` is behind the opening quote. */
const char *fb_stream_text(fb_stream *stream, const char *at, const char *end,
                           fb_symbol *ret_symbol);
/* Any value, converted to `type`, as a cell has it: its text a symbol, its lists and maps in the arena. */
const char *fb_stream_value(fb_stream *stream, fb_facts *facts, const char *at, const char *end,
                            fb_field_type type, fb_value *ret_value);

/* ── stream_shape.c ── */

/* Remembers what the record looked like that has just become `row`; members are in order. */
void fb_shape_learn(fb_stream *stream, fb_table_of *table, uint32_t row, fb_slice text);
/* Reads records from `at` on as long as they have shapes that are known, each followed by a line end
 * (NDJSON) or by a comma and another record (else). Returns where it stopped: at the first byte of a
 * record, or at `limit`; *ret_open: just after a record, whose comma was not found. */
const char *fb_shape_run(fb_stream *stream, const char *at, const char *limit, bool *ret_open);

#endif
