/* SPDX-License-Identifier: Apache-2.0
 * Kernels over columns: every one that this processor runs against comparing cell by cell. */
#include "test.h"

#include "data/kernel.h"

#include <math.h>

enum { ROUNDS = 3000, CELLS = 300, WORDS = CELLS / 64 + 2 };

#define S_EXPECT(op, a, b)             \
  ((op) == FB_KERNEL_EQ   ? (a) == (b) \
   : (op) == FB_KERNEL_NE ? (a) != (b) \
   : (op) == FB_KERNEL_LT ? (a) < (b)  \
   : (op) == FB_KERNEL_LE ? (a) <= (b) \
   : (op) == FB_KERNEL_GT ? (a) > (b)  \
                          : (a) >= (b))

#define S_CHECK(kind, cells, constant)                                                \
  do {                                                                                \
    memset(bits, 0xaa, sizeof bits);                                                  \
    kernels->kind(op, (cells), count, (constant), bits);                              \
    for (uint32_t i = 0; i < count; i++)                                              \
      if ((bits[i / 64] >> i % 64 & 1) != (S_EXPECT(op, (cells)[i], (constant))))     \
        fail_msg("%s: " #kind ", op %d, cell %u of %u", kernels->name, op, i, count); \
    if (count % 64) assert_int_equal(bits[count / 64] >> count % 64, 0);              \
    assert_int_equal(bits[(count + 63) / 64], UINT64_C(0xaaaaaaaaaaaaaaaa));          \
  } while (0)

static double S_double(fb_random *random) {
  static const double some[] = {0.0, -0.0, 1.5, -1.5, 2.0, 1e300, -1e300, NAN, INFINITY, -INFINITY};
  return some[fb_random_below(random, sizeof some / sizeof *some)];
}

static int64_t S_int(fb_random *random) {
  static const int64_t some[] = {0, 1, -1, 2, INT64_MAX, INT64_MIN, INT64_C(1) << 32, -7};
  return some[fb_random_below(random, sizeof some / sizeof *some)];
}

static void S_round(fb_random *random, const fb_kernels *kernels) {
  static int64_t ints[CELLS];
  static double doubles[CELLS];
  static uint32_t words[CELLS];
  static uint8_t bytes[CELLS];
  uint64_t bits[WORDS];
  for (int i = 0; i < CELLS; i++) {
    ints[i] = S_int(random);
    doubles[i] = S_double(random);
    words[i] = (uint32_t)S_int(random);
    bytes[i] = (uint8_t)fb_random_below(random, 3);
  }
  uint32_t from = (uint32_t)fb_random_below(random, 9),
           count = (uint32_t)fb_random_below(random, CELLS - from + 1);
  for (int o = FB_KERNEL_EQ; o <= FB_KERNEL_GE; o++) {
    fb_kernel_op op = (fb_kernel_op)o;
    int64_t number = S_int(random);
    double d = S_double(random);
    S_CHECK(ints, ints + from, number);
    S_CHECK(doubles, doubles + from, d);
    if (op > FB_KERNEL_NE) continue;
    uint32_t word = (uint32_t)S_int(random);
    uint8_t byte = (uint8_t)fb_random_below(random, 3);
    S_CHECK(words, words + from, word);
    S_CHECK(bytes, bytes + from, byte);
  }
}

static void test_all_kernels_give_the_same_bits(void **state) {
  (void)state;
  const fb_kernels *kernels = NULL, *last = NULL;
  for (size_t k = 0; (kernels = fb_kernels_at(k)); k++) {
    fb_random random;
    fb_random_seed(&random, 1 + k);
    for (int i = 0; i < ROUNDS; i++) S_round(&random, kernels);
    last = kernels;
  }
  assert_string_equal(fb_kernels_at(0)->name, "portable");
  assert_ptr_equal(last, fb_kernels_best());
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_kernels_give_the_same_bits)};
  return cmocka_run_group_tests_name("kernel", tests, NULL, NULL);
}
