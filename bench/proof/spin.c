/* SPDX-License-Identifier: Apache-2.0
 * A command for `flyball bench` and hyperfine to measure: spin ROUNDS */
#include "work.h"

#include <stdlib.h>

int main(int argc, char **argv) {
  uint64_t x = work_hash(1, argc > 1 ? (int)strtol(argv[1], NULL, 10) : 0);
  return x == 0;
}
