/* SPDX-License-Identifier: Apache-2.0
 * Something to measure: ROUNDS (5,000,000 unless -DROUNDS=… says another number) steps of a hash over a small table. */
#include <stdint.h>
#include <stdio.h>

#ifndef ROUNDS
#define ROUNDS 5000000
#endif

int main(void) {
  uint64_t table[256], state = 1;
  for (int i = 0; i < 256; i++) table[i] = (uint64_t)i * UINT64_C(0x9e3779b97f4a7c15);
  for (long i = 0; i < ROUNDS; i++)
    state = (state ^ table[state & 255]) * UINT64_C(0xff51afd7ed558ccd) + (state >> 33);
  printf("%llx\n", (unsigned long long)state);
  return 0;
}
