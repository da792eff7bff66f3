/* SPDX-License-Identifier: Apache-2.0
 * workloads GROUP: prints flyball.result.v1 lines of one group of workloads; see README.md. */
#include "harness.h"

#include <sys/resource.h>

int main(int argc, char **argv) {
  static const struct {
    const char *name;
    void (*run)(void);
  } groups[] = {{"documents", code_documents},
                {"tables", code_tables},
                {"guard", code_guard},
                {"load", code_load},
                {"machine", code_machine},
                {"regression", code_regression},
                {"mesh", mesh_all}};
  for (size_t i = 0; argc == 2 && i < sizeof groups / sizeof *groups; i++)
    if (!strcmp(argv[1], groups[i].name)) {
      struct rusage usage;
      groups[i].run();
      getrusage(RUSAGE_SELF, &usage);
      double peak = 1024.0 * (double)usage.ru_maxrss;
      print_samples("code", groups[i].name, "peak_memory", "B", &peak, 1);
      return 0;
    }
  fprintf(stderr, "usage: workloads documents|tables|guard|load|machine|regression|mesh\n");
  return 2;
}
