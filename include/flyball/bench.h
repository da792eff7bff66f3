/* SPDX-License-Identifier: Apache-2.0
 *
 * flyball/bench.h: benchmarks of C functions, in a program of your own.
 *
 *   #include <flyball/bench.h>
 *
 *   FB_BENCH(sum) {
 *     double numbers[1000] = {0};           // set up: not measured
 *     FB_BENCH_LOOP(bench) {
 *       FB_BENCH_KEEP(add_up(numbers, 1000));
 *     }                                     // what follows is not measured either
 *   }
 *   FB_BENCH_MAIN()
 *
 * The loop runs so often that a sample takes about 5 ms; the samples of all functions are taken in turns, in random
 * order. Each function with each of its arguments gives a line of JSON (flyball.result.v1), with nanoseconds for one turn of
 * the loop in every sample (metric `wall`), one with processor time of the thread (`cpu`, which a busy machine hardly
 * lengthens), and one with instructions where the kernel counts them. The clock's own cost is taken off; the loop's, a
 * decrement and a jump, is not.
 *
 * Arguments of the program: --filter TEXT, --samples N, --time 5ms, --seed N, --list.
 */
#ifndef FLYBALL_BENCH_H
#define FLYBALL_BENCH_H

#include <flyball/base.h>

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a function under measurement sees: `arg`, and the macros. */
typedef struct fb_bench_state {
  int64_t arg; /* of FB_BENCH_WITH; 0 else */
  /* private */
  uint64_t iterations;
  const fb_clock *clock;
  void *self; /* counters; NULL: none */
  int64_t start, elapsed, cpu;
  bool cpu_clock;
  double instructions; /* below 0: not counted */
  uint32_t loops;
} fb_bench_state;

typedef struct fb_bench_function {
  const char *name;
  void (*run)(fb_bench_state *bench);
  const int64_t *args;
  size_t arg_count; /* 0: once, without */
  uint32_t line;    /* linkers keep no order */
} fb_bench_function;

/* Of the loop below; inline they would cost more of what they measure. */
FB_API uint64_t fb_bench_begin(fb_bench_state *bench);
FB_API bool fb_bench_end(fb_bench_state *bench); /* always false */

/* Exactly one in each function. */
#define FB_BENCH_LOOP(bench)                           \
  for (uint64_t fb_bench_left = fb_bench_begin(bench); \
       FB_LIKELY(fb_bench_left) ? (fb_bench_left--, true) : fb_bench_end(bench);)

/* The compiler must have the value, and may not know what becomes of it. Of any type that fits a register or has an address. */
#define FB_BENCH_KEEP(value)                                  \
  do {                                                        \
    __typeof__(value) fb_bench_kept = (value);                \
    __asm__ volatile("" : : "r,m"(fb_bench_kept) : "memory"); \
  } while (0)

/* The compiler must assume that all memory was read and written. */
#define FB_BENCH_CLOBBER() __asm__ volatile("" : : : "memory")

#define FB_BENCH_REGISTER(function, list, count)                                                \
  static void fb_bench_run_##function(fb_bench_state *bench);                                   \
  static const fb_bench_function fb_bench_def_##function = {#function, fb_bench_run_##function, \
                                                            list, count, __LINE__};             \
  __attribute__((                                                                               \
      used,                                                                                     \
      section("fb_benches"))) static const fb_bench_function *const fb_bench_entry_##function = \
      &fb_bench_def_##function;                                                                 \
  static void fb_bench_run_##function(fb_bench_state *bench)

/* Defines and registers a benchmark; its body follows, and has `fb_bench_state *bench`. */
#define FB_BENCH(function) FB_BENCH_REGISTER(function, NULL, 0)
/* The same once for each argument, which the body finds in bench->arg. */
#define FB_BENCH_WITH(function, ...)                               \
  static const int64_t fb_bench_args_##function[] = {__VA_ARGS__}; \
  FB_BENCH_REGISTER(function, fb_bench_args_##function,            \
                    sizeof fb_bench_args_##function / sizeof(int64_t))

typedef struct fb_bench_functions_options {
  const char *filter;    /* only names ("sum/100") that contain this; NULL: all */
  uint32_t samples;      /* of each; 0: 30 */
  int64_t sample_time;   /* ns; 0: 5 ms */
  uint64_t seed;         /* of the order; 0: 1 */
  bool list;             /* only say the names */
  const fb_clock *clock; /* NULL: the system's */
} fb_bench_functions_options;

/* From argv[1] on. FB_E_USAGE. */
FB_API fb_status fb_bench_functions_parse(int argc, char **argv, fb_bench_functions_options *ret,
                                          fb_error *err);
/* Measures, and hands each line (with its newline) to `line`. FB_E_BENCH_FAILED: a function that has no loop, or two. */
FB_API fb_status fb_bench_functions_run(const fb_bench_function *const *functions, size_t count,
                                        const fb_bench_functions_options *options,
                                        const fb_allocator *allocator,
                                        void (*line)(void *context, fb_slice line), void *context,
                                        fb_error *err);

extern const fb_bench_function *const __start_fb_benches[];
extern const fb_bench_function *const __stop_fb_benches[];

/* In your program, not in the library, which does not print. */
static inline void fb_bench_print(void *context, fb_slice line) {
  fwrite(line.ptr, 1, line.len, (FILE *)context);
  fflush((FILE *)context);
}

static inline int fb_bench_main(int argc, char **argv, const fb_bench_function *const *functions,
                                size_t count) {
  fb_bench_functions_options options;
  fb_error err;
  fb_status status = fb_bench_functions_parse(argc, argv, &options, &err);
  if (!status)
    status = fb_bench_functions_run(functions, count, &options, NULL, fb_bench_print, stdout, &err);
  if (!status) return 0;
  fprintf(stderr, "error[FB%04d]: %s\n", (int)err.code, err.text);
  if (err.hint[0]) fprintf(stderr, "  = hint: %s\n", err.hint);
  return status == FB_E_USAGE ? 2 : 1;
}

#define FB_BENCH_MAIN()                                                     \
  int main(int argc, char **argv) {                                         \
    return fb_bench_main(argc, argv, __start_fb_benches,                    \
                         (size_t)(__stop_fb_benches - __start_fb_benches)); \
  }

#ifdef __cplusplus
}
#endif
#endif
