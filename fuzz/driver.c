/* SPDX-License-Identifier: Apache-2.0
 * Runs a fuzz target over the files of a corpus as an ordinary test: one TAP line a file. A target that
 * finds something wrong aborts, which ends the program and fails the test. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_SIZE = 16 << 20 };

/* The input lies at the end of a block of exactly its size, so that sanitizers see a read beyond it. */
static int S_run_file(const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file) return -1;
  static uint8_t whole[MAX_SIZE];
  size_t size = fread(whole, 1, sizeof whole, file);
  fclose(file);
  uint8_t *data = malloc(size ? size : 1);
  if (!data) return -1;
  memcpy(data, whole, size);
  LLVMFuzzerTestOneInput(data, size);
  free(data);
  return 0;
}

static int S_is_visible(const struct dirent *entry) {
  return entry->d_name[0] != '.';
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: %s CORPUS_DIRECTORY\n", argv[0]);
    return 2;
  }
  struct dirent **entries;
  int count = scandir(argv[1], &entries, S_is_visible, alphasort), failed = 0;
  if (count <= 0) {
    fprintf(stderr, "%s: no corpus there\n", argv[1]);
    return 2;
  }
  printf("1..%d\n", count);
  for (int i = 0; i < count; i++) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", argv[1], entries[i]->d_name);
    int bad = S_run_file(path) != 0;
    failed += bad;
    printf("%sok %d - %s\n", bad ? "not " : "", i + 1, entries[i]->d_name);
    fflush(stdout);
    free(entries[i]);
  }
  free(entries);
  return failed > 0;
}
