/* SPDX-License-Identifier: Apache-2.0
 *
 * Values as bytes: a kind, then what that kind needs. Numbers are variable-length (7 bits a byte, lowest first).
 */
#include <flyball/store.h>

/* On disk: never give one a new meaning. */
enum {
  P_NULL,
  P_FALSE,
  P_TRUE,
  P_INT, /* zigzag */
  P_UINT,
  P_DOUBLE, /* 8 bytes */
  P_STRING,
  P_BYTES,
  P_LIST,
  P_MAP,
  P_TIMESTAMP, /* zigzag seconds, nanos */
  P_DURATION,
  P_TYPE,
  P_NONE, /* an optional without a value */
  P_SOME
};

enum { MOST_DEPTH = 1024 };

/* ── Writing ─────────────────────────────────────────────────────────────────────────────────── */

static void S_put_number(fb_buf *out, uint64_t number) {
  char bytes[10];
  size_t len = 0;
  for (; number >= 0x80; number >>= 7) bytes[len++] = (char)(number | 0x80);
  bytes[len++] = (char)number;
  fb_buf_add(out, bytes, len);
}

static void S_put_signed(fb_buf *out, int64_t number) {
  S_put_number(out, ((uint64_t)number << 1) ^ (number < 0 ? UINT64_MAX : 0));
}

static void S_put_text(fb_buf *out, char kind, fb_value value) {
  fb_buf_char(out, kind);
  S_put_number(out, value.len);
  fb_buf_add(out, value.as.text, value.len);
}

static fb_status S_pack(fb_buf *out, fb_value value, uint32_t depth);

static fb_status S_pack_many(fb_buf *out, fb_value value, uint32_t depth) {
  bool list = value.kind == FB_LIST;
  uint32_t count = list ? value.as.list->len : value.as.map->len;
  fb_status status = FB_OK;
  fb_buf_char(out, list ? P_LIST : P_MAP);
  S_put_number(out, count);
  for (uint32_t i = 0; i < count && !status; i++) {
    if (list) {
      status = S_pack(out, value.as.list->items[i], depth + 1);
    } else {
      status = S_pack(out, value.as.map->entries[i].key, depth + 1);
      if (!status) status = S_pack(out, value.as.map->entries[i].value, depth + 1);
    }
  }
  return status;
}

static fb_status S_pack_fact(fb_buf *out, fb_value value, uint32_t depth) {
  fb_arena arena;
  fb_value map;
  fb_arena_init(&arena, out->allocator, 0);
  fb_status status = fb_value_copy(&arena, value, &map);
  if (!status) status = map.kind == FB_MAP ? S_pack_many(out, map, depth) : FB_E_INTERNAL;
  fb_arena_release(&arena);
  return status;
}

static fb_status S_pack(fb_buf *out, fb_value value, uint32_t depth) {
  if (depth > MOST_DEPTH) return FB_E_LIMIT;
  switch (value.kind) {
    case FB_BOOL: fb_buf_char(out, value.as.b ? P_TRUE : P_FALSE); break;
    case FB_INT:
      fb_buf_char(out, P_INT);
      S_put_signed(out, value.as.i);
      break;
    case FB_UINT:
      fb_buf_char(out, P_UINT);
      S_put_number(out, value.as.u);
      break;
    case FB_DOUBLE:
      fb_buf_char(out, P_DOUBLE);
      fb_buf_add(out, &value.as.d, sizeof value.as.d);
      break;
    case FB_STRING: S_put_text(out, P_STRING, value); break;
    case FB_BYTES: S_put_text(out, P_BYTES, value); break;
    case FB_TYPE: S_put_text(out, P_TYPE, value); break;
    case FB_LIST:
    case FB_MAP: return S_pack_many(out, value, depth);
    case FB_TIMESTAMP:
    case FB_DURATION:
      fb_buf_char(out, value.kind == FB_TIMESTAMP ? P_TIMESTAMP : P_DURATION);
      S_put_signed(out, value.as.i);
      S_put_number(out, value.len);
      break;
    case FB_OPTIONAL:
      fb_buf_char(out, value.as.optional ? P_SOME : P_NONE);
      return value.as.optional ? S_pack(out, *value.as.optional, depth + 1) : FB_OK;
    case FB_FACT: return S_pack_fact(out, value, depth);
    default: fb_buf_char(out, P_NULL);
  }
  return FB_OK;
}

fb_status fb_value_pack(fb_buf *out, fb_value value) {
  fb_status status = S_pack(out, value, 0);
  return status ? status : out->failed ? FB_E_NOMEM : FB_OK;
}

/* ── Reading ─────────────────────────────────────────────────────────────────────────────────── */

typedef struct S_reader {
  const char *at, *end;
  fb_arena *arena;
  fb_status status; /* the first failure */
} S_reader;

static uint64_t S_number(S_reader *reader) {
  uint64_t number = 0;
  for (unsigned shift = 0; shift < 64 && reader->at < reader->end; shift += 7) {
    uint8_t byte = (uint8_t)*reader->at++;
    if (shift == 63 && byte > 1) break;
    number |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80) return number;
  }
  reader->status = FB_E_JOURNAL_DAMAGED;
  return 0;
}

static int64_t S_signed(S_reader *reader) {
  uint64_t number = S_number(reader);
  return (int64_t)(number >> 1 ^ (number & 1 ? UINT64_MAX : 0));
}

static fb_value S_text(S_reader *reader, uint8_t kind) {
  uint64_t len = S_number(reader);
  if (len > (uint64_t)(reader->end - reader->at) || len > UINT32_MAX) {
    reader->status = FB_E_JOURNAL_DAMAGED;
    return fb_null();
  }
  fb_slice text = {reader->at, (size_t)len};
  reader->at += len;
  if (kind != P_BYTES && !fb_utf8_valid(text.ptr, text.len, NULL))
    reader->status = FB_E_JOURNAL_DAMAGED;
  const char *copy = reader->status ? NULL : fb_arena_text(reader->arena, text);
  if (!copy && !reader->status) reader->status = FB_E_NOMEM;
  text.ptr = copy;
  return kind == P_BYTES ? fb_bytes(text) : kind == P_TYPE ? fb_type_value(text) : fb_string(text);
}

static fb_value S_time(S_reader *reader, uint8_t kind) {
  int64_t seconds = S_signed(reader);
  uint64_t nanos = S_number(reader);
  if (nanos > 999999999) reader->status = FB_E_JOURNAL_DAMAGED;
  return kind == P_TIMESTAMP ? fb_timestamp(seconds, (uint32_t)nanos)
                             : fb_duration(seconds, (uint32_t)nanos);
}

static fb_value S_unpack(S_reader *reader, uint32_t depth);

/* Every item takes a byte at least: a count that the bytes cannot hold is refused before memory is taken. */
static uint32_t S_count(S_reader *reader, uint32_t each) {
  uint64_t count = S_number(reader);
  if (!reader->status && count <= (uint64_t)(reader->end - reader->at) / each)
    return (uint32_t)count;
  reader->status = FB_E_JOURNAL_DAMAGED;
  return 0;
}

static fb_value S_unpack_list(S_reader *reader, uint32_t depth) {
  uint32_t count = S_count(reader, 1);
  fb_list *list = reader->status ? NULL : fb_list_new(reader->arena, count);
  if (!list && !reader->status) reader->status = FB_E_NOMEM;
  for (uint32_t i = 0; i < count && !reader->status; i++)
    if (!fb_list_push(list, reader->arena, S_unpack(reader, depth + 1)) && !reader->status)
      reader->status = FB_E_NOMEM;
  return reader->status ? fb_null() : fb_list_value(list);
}

static bool S_is_key(fb_value value) {
  return value.kind == FB_STRING || value.kind == FB_INT || value.kind == FB_UINT ||
         value.kind == FB_BOOL || value.kind == FB_DOUBLE;
}

static fb_value S_unpack_map(S_reader *reader, uint32_t depth) {
  uint32_t count = S_count(reader, 2);
  fb_map *map = reader->status ? NULL : fb_map_new(reader->arena, count);
  if (!map && !reader->status) reader->status = FB_E_NOMEM;
  for (uint32_t i = 0; i < count && !reader->status; i++) {
    bool replaced = false;
    fb_value key = S_unpack(reader, depth + 1);
    fb_value value = reader->status ? fb_null() : S_unpack(reader, depth + 1);
    if (reader->status) break;
    if (!S_is_key(key))
      reader->status = FB_E_JOURNAL_DAMAGED;
    else if (!fb_map_put(map, reader->arena, key, value, &replaced))
      reader->status = FB_E_NOMEM;
    if (replaced) reader->status = FB_E_JOURNAL_DAMAGED;
  }
  return reader->status ? fb_null() : fb_map_value(map);
}

static fb_value S_some(S_reader *reader, uint32_t depth) {
  fb_value inside = S_unpack(reader, depth + 1);
  fb_value *copy = reader->status ? NULL : fb_arena_copy(reader->arena, &inside, sizeof inside);
  if (!copy && !reader->status) reader->status = FB_E_NOMEM;
  return fb_optional(copy);
}

static fb_value S_double(S_reader *reader) {
  double d = 0;
  if (reader->end - reader->at < (ptrdiff_t)sizeof d) {
    reader->status = FB_E_JOURNAL_DAMAGED;
    return fb_null();
  }
  memcpy(&d, reader->at, sizeof d);
  reader->at += sizeof d;
  return fb_double(d);
}

static fb_value S_unpack(S_reader *reader, uint32_t depth) {
  if (depth > MOST_DEPTH || reader->at == reader->end) reader->status = FB_E_JOURNAL_DAMAGED;
  if (reader->status) return fb_null();
  uint8_t kind = (uint8_t)*reader->at++;
  switch (kind) {
    case P_NULL: return fb_null();
    case P_FALSE:
    case P_TRUE: return fb_bool(kind == P_TRUE);
    case P_INT: return fb_int(S_signed(reader));
    case P_UINT: return fb_uint(S_number(reader));
    case P_DOUBLE: return S_double(reader);
    case P_STRING:
    case P_BYTES:
    case P_TYPE: return S_text(reader, kind);
    case P_LIST: return S_unpack_list(reader, depth);
    case P_MAP: return S_unpack_map(reader, depth);
    case P_TIMESTAMP:
    case P_DURATION: return S_time(reader, kind);
    case P_NONE: return fb_optional(NULL);
    case P_SOME: return S_some(reader, depth);
    default: reader->status = FB_E_JOURNAL_DAMAGED; return fb_null();
  }
}

fb_status fb_value_unpack(fb_slice bytes, fb_arena *arena, fb_value *ret_value, fb_error *err) {
  S_reader reader = {bytes.ptr, bytes.ptr + bytes.len, arena, FB_OK};
  fb_value value = S_unpack(&reader, 0);
  if (!reader.status && reader.at != reader.end) reader.status = FB_E_JOURNAL_DAMAGED;
  if (reader.status)
    return fb_fail(err, reader.status, "%s",
                   reader.status == FB_E_NOMEM ? "out of memory" : "not a packed value");
  *ret_value = value;
  return FB_OK;
}
