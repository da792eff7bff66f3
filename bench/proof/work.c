/* SPDX-License-Identifier: Apache-2.0 */
#include "work.h"

uint64_t work_hash(uint64_t start, int rounds) {
  for (int i = 0; i < rounds; i++) start = (start ^ (start >> 29)) * UINT64_C(0x9fb21c651e98df25);
  return start;
}

double work_sum(const double *numbers, int count) {
  double sum = 0;
  for (int i = 0; i < count; i++) sum += numbers[i];
  return sum;
}

uint32_t work_length(const char *text) {
  uint32_t length = 0;
  while (text[length]) length++;
  return length;
}
