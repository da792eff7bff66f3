/* SPDX-License-Identifier: Apache-2.0
 * Kernels over columns: portable, AVX2, AVX-512, NEON. */
#include "data/kernel.h"

/* Cells after the last whole word of 64, and all of them where there are no vectors. */
#define S_PLAIN(test)                                                 \
  for (uint32_t from = done; from < count; from += 64) {              \
    uint64_t word = 0;                                                \
    uint32_t end = count - from < 64 ? count - from : 64;             \
    for (uint32_t i = 0; i < end; i++) word |= (uint64_t)(test) << i; \
    bits[from / 64] = word;                                           \
  }                                                                   \
  break

static void S_ints_from(fb_kernel_op op, const int64_t *cells, uint32_t done, uint32_t count,
                        int64_t constant, uint64_t *bits) {
  switch (op) {
    case FB_KERNEL_EQ: S_PLAIN(cells[from + i] == constant);
    case FB_KERNEL_NE: S_PLAIN(cells[from + i] != constant);
    case FB_KERNEL_LT: S_PLAIN(cells[from + i] < constant);
    case FB_KERNEL_LE: S_PLAIN(cells[from + i] <= constant);
    case FB_KERNEL_GT: S_PLAIN(cells[from + i] > constant);
    case FB_KERNEL_GE: S_PLAIN(cells[from + i] >= constant);
  }
}

static void S_doubles_from(fb_kernel_op op, const double *cells, uint32_t done, uint32_t count,
                           double constant, uint64_t *bits) {
  switch (op) {
    case FB_KERNEL_EQ: S_PLAIN(cells[from + i] == constant);
    case FB_KERNEL_NE: S_PLAIN(cells[from + i] != constant);
    case FB_KERNEL_LT: S_PLAIN(cells[from + i] < constant);
    case FB_KERNEL_LE: S_PLAIN(cells[from + i] <= constant);
    case FB_KERNEL_GT: S_PLAIN(cells[from + i] > constant);
    case FB_KERNEL_GE: S_PLAIN(cells[from + i] >= constant);
  }
}

static void S_words_from(fb_kernel_op op, const uint32_t *cells, uint32_t done, uint32_t count,
                         uint32_t constant, uint64_t *bits) {
  switch (op) {
    case FB_KERNEL_EQ: S_PLAIN(cells[from + i] == constant);
    case FB_KERNEL_NE: S_PLAIN(cells[from + i] != constant);
    default: break;
  }
}

static void S_bytes_from(fb_kernel_op op, const uint8_t *cells, uint32_t done, uint32_t count,
                         uint8_t constant, uint64_t *bits) {
  switch (op) {
    case FB_KERNEL_EQ: S_PLAIN(cells[from + i] == constant);
    case FB_KERNEL_NE: S_PLAIN(cells[from + i] != constant);
    default: break;
  }
}

static void S_ints(fb_kernel_op op, const int64_t *cells, uint32_t count, int64_t constant,
                   uint64_t *bits) {
  S_ints_from(op, cells, 0, count, constant, bits);
}
static void S_doubles(fb_kernel_op op, const double *cells, uint32_t count, double constant,
                      uint64_t *bits) {
  S_doubles_from(op, cells, 0, count, constant, bits);
}
static void S_words(fb_kernel_op op, const uint32_t *cells, uint32_t count, uint32_t constant,
                    uint64_t *bits) {
  S_words_from(op, cells, 0, count, constant, bits);
}
static void S_bytes(fb_kernel_op op, const uint8_t *cells, uint32_t count, uint8_t constant,
                    uint64_t *bits) {
  S_bytes_from(op, cells, 0, count, constant, bits);
}

static const fb_kernels S_portable = {"portable", S_ints, S_doubles, S_words, S_bytes};

/* A word of bits is made of 64 / `lanes` comparisons of `lanes` cells each. */
#define S_VECTOR(lanes, compare)                                                     \
  for (; done + 64 <= count; done += 64) {                                           \
    uint64_t word = 0;                                                               \
    for (uint32_t at = 0; at < 64; at += (lanes)) word |= (uint64_t)(compare) << at; \
    bits[done / 64] = word;                                                          \
  }                                                                                  \
  break

#if defined(__x86_64__)
#include <immintrin.h>

#define S_AVX2 __attribute__((target("avx2")))
#define S_AVX512 __attribute__((target("avx512f,avx512bw")))

/* ── AVX2 ── */

#define S_LOAD() _mm256_loadu_si256((const __m256i *)(const void *)(cells + done + at))
#define S_MASK64(vector) (unsigned)_mm256_movemask_pd(_mm256_castsi256_pd(vector))
#define S_MASK32(vector) (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(vector))
#define S_MASK8(vector) (uint32_t) _mm256_movemask_epi8(vector)

S_AVX2 static void S_ints_256(fb_kernel_op op, const int64_t *cells, uint32_t count,
                              int64_t constant, uint64_t *bits) {
  uint32_t done = 0;
  __m256i c = _mm256_set1_epi64x(constant);
  switch (op) {
    case FB_KERNEL_EQ: S_VECTOR(4, S_MASK64(_mm256_cmpeq_epi64(S_LOAD(), c)));
    case FB_KERNEL_NE: S_VECTOR(4, S_MASK64(_mm256_cmpeq_epi64(S_LOAD(), c)) ^ 15);
    case FB_KERNEL_LT: S_VECTOR(4, S_MASK64(_mm256_cmpgt_epi64(c, S_LOAD())));
    case FB_KERNEL_LE: S_VECTOR(4, S_MASK64(_mm256_cmpgt_epi64(S_LOAD(), c)) ^ 15);
    case FB_KERNEL_GT: S_VECTOR(4, S_MASK64(_mm256_cmpgt_epi64(S_LOAD(), c)));
    case FB_KERNEL_GE: S_VECTOR(4, S_MASK64(_mm256_cmpgt_epi64(c, S_LOAD())) ^ 15);
  }
  S_ints_from(op, cells, done, count, constant, bits);
}

#define S_COMPARE(how) \
  S_VECTOR(            \
      4, (unsigned)_mm256_movemask_pd(_mm256_cmp_pd(_mm256_loadu_pd(cells + done + at), c, how)))

S_AVX2 static void S_doubles_256(fb_kernel_op op, const double *cells, uint32_t count,
                                 double constant, uint64_t *bits) {
  uint32_t done = 0;
  __m256d c = _mm256_set1_pd(constant);
  switch (op) {
    case FB_KERNEL_EQ: S_COMPARE(_CMP_EQ_OQ);
    case FB_KERNEL_NE: S_COMPARE(_CMP_NEQ_UQ);
    case FB_KERNEL_LT: S_COMPARE(_CMP_LT_OQ);
    case FB_KERNEL_LE: S_COMPARE(_CMP_LE_OQ);
    case FB_KERNEL_GT: S_COMPARE(_CMP_GT_OQ);
    case FB_KERNEL_GE: S_COMPARE(_CMP_GE_OQ);
  }
  S_doubles_from(op, cells, done, count, constant, bits);
}
#undef S_COMPARE

S_AVX2 static void S_words_256(fb_kernel_op op, const uint32_t *cells, uint32_t count,
                               uint32_t constant, uint64_t *bits) {
  uint32_t done = 0, flip = op == FB_KERNEL_NE ? 255 : 0;
  __m256i c = _mm256_set1_epi32((int)constant);
  do {
    S_VECTOR(8, S_MASK32(_mm256_cmpeq_epi32(S_LOAD(), c)) ^ flip);
  } while (0);
  S_words_from(op, cells, done, count, constant, bits);
}

S_AVX2 static void S_bytes_256(fb_kernel_op op, const uint8_t *cells, uint32_t count,
                               uint8_t constant, uint64_t *bits) {
  uint32_t done = 0, flip = op == FB_KERNEL_NE ? UINT32_MAX : 0;
  __m256i c = _mm256_set1_epi8((char)constant);
  do {
    S_VECTOR(32, S_MASK8(_mm256_cmpeq_epi8(S_LOAD(), c)) ^ flip);
  } while (0);
  S_bytes_from(op, cells, done, count, constant, bits);
}
#undef S_LOAD

static const fb_kernels S_avx2 = {"avx2", S_ints_256, S_doubles_256, S_words_256, S_bytes_256};

/* ── AVX-512 ── */

#define S_LOAD() _mm512_loadu_si512((const void *)(cells + done + at))
#define S_COMPARE(how) S_VECTOR(8, _mm512_cmp_epi64_mask(S_LOAD(), c, how))

S_AVX512 static void S_ints_512(fb_kernel_op op, const int64_t *cells, uint32_t count,
                                int64_t constant, uint64_t *bits) {
  uint32_t done = 0;
  __m512i c = _mm512_set1_epi64(constant);
  switch (op) {
    case FB_KERNEL_EQ: S_COMPARE(_MM_CMPINT_EQ);
    case FB_KERNEL_NE: S_COMPARE(_MM_CMPINT_NE);
    case FB_KERNEL_LT: S_COMPARE(_MM_CMPINT_LT);
    case FB_KERNEL_LE: S_COMPARE(_MM_CMPINT_LE);
    case FB_KERNEL_GT: S_COMPARE(_MM_CMPINT_NLE);
    case FB_KERNEL_GE: S_COMPARE(_MM_CMPINT_NLT);
  }
  S_ints_from(op, cells, done, count, constant, bits);
}
#undef S_COMPARE
#define S_COMPARE(how) S_VECTOR(8, _mm512_cmp_pd_mask(_mm512_loadu_pd(cells + done + at), c, how))

S_AVX512 static void S_doubles_512(fb_kernel_op op, const double *cells, uint32_t count,
                                   double constant, uint64_t *bits) {
  uint32_t done = 0;
  __m512d c = _mm512_set1_pd(constant);
  switch (op) {
    case FB_KERNEL_EQ: S_COMPARE(_CMP_EQ_OQ);
    case FB_KERNEL_NE: S_COMPARE(_CMP_NEQ_UQ);
    case FB_KERNEL_LT: S_COMPARE(_CMP_LT_OQ);
    case FB_KERNEL_LE: S_COMPARE(_CMP_LE_OQ);
    case FB_KERNEL_GT: S_COMPARE(_CMP_GT_OQ);
    case FB_KERNEL_GE: S_COMPARE(_CMP_GE_OQ);
  }
  S_doubles_from(op, cells, done, count, constant, bits);
}
#undef S_COMPARE

S_AVX512 static void S_words_512(fb_kernel_op op, const uint32_t *cells, uint32_t count,
                                 uint32_t constant, uint64_t *bits) {
  uint32_t done = 0, flip = op == FB_KERNEL_NE ? 0xffff : 0;
  __m512i c = _mm512_set1_epi32((int)constant);
  do {
    S_VECTOR(16, _mm512_cmpeq_epi32_mask(S_LOAD(), c) ^ flip);
  } while (0);
  S_words_from(op, cells, done, count, constant, bits);
}

S_AVX512 static void S_bytes_512(fb_kernel_op op, const uint8_t *cells, uint32_t count,
                                 uint8_t constant, uint64_t *bits) {
  uint32_t done = 0;
  uint64_t flip = op == FB_KERNEL_NE ? UINT64_MAX : 0;
  __m512i c = _mm512_set1_epi8((char)constant);
  do {
    S_VECTOR(64, _mm512_cmpeq_epi8_mask(S_LOAD(), c) ^ flip);
  } while (0);
  S_bytes_from(op, cells, done, count, constant, bits);
}
#undef S_LOAD

static const fb_kernels S_avx512 = {"avx512", S_ints_512, S_doubles_512, S_words_512, S_bytes_512};

static size_t S_all(const fb_kernels *all[3]) {
  size_t count = 0;
  all[count++] = &S_portable;
  if (__builtin_cpu_supports("avx2")) all[count++] = &S_avx2;
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"))
    all[count++] = &S_avx512;
  return count;
}

#elif defined(__aarch64__)
#include <arm_neon.h>

/* ── NEON: part of every 64-bit ARM ── */

static inline uint64_t S_mask64(uint64x2_t vector) {
  return (vgetq_lane_u64(vector, 0) & 1) | (vgetq_lane_u64(vector, 1) & 2);
}

#define S_COMPARE(how) S_VECTOR(2, S_mask64(how(vld1q_s64(cells + done + at), c)))

static void S_ints_neon(fb_kernel_op op, const int64_t *cells, uint32_t count, int64_t constant,
                        uint64_t *bits) {
  uint32_t done = 0;
  int64x2_t c = vdupq_n_s64(constant);
  switch (op) {
    case FB_KERNEL_EQ: S_COMPARE(vceqq_s64);
    case FB_KERNEL_NE: S_VECTOR(2, S_mask64(vceqq_s64(vld1q_s64(cells + done + at), c)) ^ 3);
    case FB_KERNEL_LT: S_COMPARE(vcltq_s64);
    case FB_KERNEL_LE: S_COMPARE(vcleq_s64);
    case FB_KERNEL_GT: S_COMPARE(vcgtq_s64);
    case FB_KERNEL_GE: S_COMPARE(vcgeq_s64);
  }
  S_ints_from(op, cells, done, count, constant, bits);
}
#undef S_COMPARE
#define S_COMPARE(how) S_VECTOR(2, S_mask64(how(vld1q_f64(cells + done + at), c)))

static void S_doubles_neon(fb_kernel_op op, const double *cells, uint32_t count, double constant,
                           uint64_t *bits) {
  uint32_t done = 0;
  float64x2_t c = vdupq_n_f64(constant);
  switch (op) {
    case FB_KERNEL_EQ: S_COMPARE(vceqq_f64);
    case FB_KERNEL_NE: S_VECTOR(2, S_mask64(vceqq_f64(vld1q_f64(cells + done + at), c)) ^ 3);
    case FB_KERNEL_LT: S_COMPARE(vcltq_f64);
    case FB_KERNEL_LE: S_COMPARE(vcleq_f64);
    case FB_KERNEL_GT: S_COMPARE(vcgtq_f64);
    case FB_KERNEL_GE: S_COMPARE(vcgeq_f64);
  }
  S_doubles_from(op, cells, done, count, constant, bits);
}
#undef S_COMPARE

static void S_words_neon(fb_kernel_op op, const uint32_t *cells, uint32_t count, uint32_t constant,
                         uint64_t *bits) {
  static const uint32_t weights[4] = {1, 2, 4, 8};
  uint32_t done = 0, flip = op == FB_KERNEL_NE ? 15 : 0;
  uint32x4_t c = vdupq_n_u32(constant), w = vld1q_u32(weights);
  do {
    S_VECTOR(4, vaddvq_u32(vandq_u32(vceqq_u32(vld1q_u32(cells + done + at), c), w)) ^ flip);
  } while (0);
  S_words_from(op, cells, done, count, constant, bits);
}

static inline uint32_t S_mask8(uint8x16_t vector) {
  static const uint8_t weights[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  uint8x16_t bits = vandq_u8(vector, vld1q_u8(weights));
  return vaddv_u8(vget_low_u8(bits)) | (uint32_t)vaddv_u8(vget_high_u8(bits)) << 8;
}

static void S_bytes_neon(fb_kernel_op op, const uint8_t *cells, uint32_t count, uint8_t constant,
                         uint64_t *bits) {
  uint32_t done = 0, flip = op == FB_KERNEL_NE ? 0xffff : 0;
  uint8x16_t c = vdupq_n_u8(constant);
  do {
    S_VECTOR(16, S_mask8(vceqq_u8(vld1q_u8(cells + done + at), c)) ^ flip);
  } while (0);
  S_bytes_from(op, cells, done, count, constant, bits);
}

static const fb_kernels S_neon = {"neon", S_ints_neon, S_doubles_neon, S_words_neon, S_bytes_neon};

static size_t S_all(const fb_kernels *all[3]) {
  all[0] = &S_portable;
  all[1] = &S_neon;
  return 2;
}

#else

static size_t S_all(const fb_kernels *all[3]) {
  all[0] = &S_portable;
  return 1;
}

#endif

const fb_kernels *fb_kernels_best(void) {
  const fb_kernels *all[3];
  return all[S_all(all) - 1];
}

const fb_kernels *fb_kernels_at(size_t number) {
  const fb_kernels *all[3];
  return number < S_all(all) ? all[number] : NULL;
}
