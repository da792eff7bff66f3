/* SPDX-License-Identifier: Apache-2.0
 * What kind of machine this is, in which state, and what of that disturbs measuring. */
#include <flyball/proof.h>

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

enum { FILE_MAX = 16384, PROCESSORS_MAX = 4096 };

/* ── Small files ─────────────────────────────────────────────────────────────────────────────── */

/* The first bytes of a file, NUL-terminated; false (and "") when it cannot be read. */
static bool S_read(const char *root, const char *path, char *out, size_t size) {
  char full[1024];
  out[0] = 0;
  if ((size_t)snprintf(full, sizeof full, "%s%s", root, path) >= sizeof full) return false;
  int fd = open(full, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  size_t len = 0;
  for (ssize_t n; len + 1 < size && (n = read(fd, out + len, size - 1 - len)) > 0;)
    len += (size_t)n;
  out[len] = 0;
  close(fd);
  return len > 0;
}

/* A file that is one number. */
static int S_number(const char *root, const char *path, int otherwise) {
  char text[64], *end;
  if (!S_read(root, path, text, sizeof text)) return otherwise;
  long number = strtol(text, &end, 10);
  return end == text || number < -1000000 || number > 1000000000 ? otherwise : (int)number;
}

/* Without blanks at both ends. */
static void S_copy(char *out, size_t size, const char *text, size_t len) {
  while (len && (unsigned char)*text <= ' ') text++, len--;
  while (len && (unsigned char)text[len - 1] <= ' ') len--;
  if (len >= size) len = size - 1;
  if (len) memcpy(out, text, len);
  out[len] = 0;
}

/* The value of the first line that begins with `key`, after `separator`. */
static bool S_line(const char *text, const char *key, char separator, char *out, size_t size) {
  size_t key_len = strlen(key);
  for (const char *line = text; line && *line;) {
    const char *end = strchrnul(line, '\n');
    const char *at = strncmp(line, key, key_len) == 0
                         ? memchr(line + key_len, separator, (size_t)(end - line) - key_len)
                         : NULL;
    if (at) {
      S_copy(out, size, at + 1, (size_t)(end - at - 1));
      return true;
    }
    line = *end ? end + 1 : end;
  }
  return false;
}

/* ── The machine ─────────────────────────────────────────────────────────────────────────────── */

static void S_processor(const char *root, fb_environment *env) {
  char text[FILE_MAX];
  cpu_set_t set;
  S_read(root, "/proc/cpuinfo", text, sizeof text);
  /* ARM has no model name. */
  if (!S_line(text, "model name", ':', env->cpu, sizeof env->cpu) &&
      !S_line(text, "Model", ':', env->cpu, sizeof env->cpu))
    S_line(text, "CPU part", ':', env->cpu, sizeof env->cpu);
  char flags[8192];
  if (S_line(text, "flags", ':', flags, sizeof flags))
    env->virtual_machine = strstr(flags, "hypervisor") != NULL;
  env->processors =
      sched_getaffinity(0, sizeof set, &set) ? (int)sysconf(_SC_NPROCESSORS_ONLN) : CPU_COUNT(&set);
}

static void S_governor(const char *root, fb_environment *env) {
  for (int i = 0; i < PROCESSORS_MAX; i++) {
    char path[96], text[64], name[sizeof env->governor];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_governor", i);
    if (!S_read(root, path, text, sizeof text)) return;
    S_copy(name, sizeof name, text, strlen(text));
    if (!env->governor[0])
      memcpy(env->governor, name, sizeof name);
    else if (strcmp(env->governor, name) != 0)
      S_copy(env->governor, sizeof env->governor, "mixed", 5);
  }
}

static void S_turbo(const char *root, fb_environment *env) {
  int off = S_number(root, "/sys/devices/system/cpu/intel_pstate/no_turbo", -1);
  int boost = S_number(root, "/sys/devices/system/cpu/cpufreq/boost", -1);
  env->turbo = off >= 0 ? !off : boost >= 0 ? boost != 0 : -1;
}

static void S_system(const char *root, fb_environment *env) {
  char text[FILE_MAX], name[FB_ENVIRONMENT_TEXT];
  struct utsname uts;
  if (uname(&uts) == 0) {
    snprintf(env->kernel, sizeof env->kernel, "%.40s %.60s %.80s", uts.sysname, uts.release,
             uts.version);
    S_copy(env->machine, sizeof env->machine, uts.machine, strlen(uts.machine));
  }
  if (S_read(root, "/etc/os-release", text, sizeof text) &&
      S_line(text, "PRETTY_NAME", '=', name, sizeof name)) {
    size_t len = strlen(name);
    bool quoted = len > 1 && name[0] == '"' && name[len - 1] == '"';
    S_copy(env->system, sizeof env->system, name + quoted, len - 2 * (size_t)quoted);
  }
  if (S_read(root, "/proc/meminfo", text, sizeof text) &&
      S_line(text, "MemTotal", ':', name, sizeof name))
    env->memory = (int64_t)strtoll(name, NULL, 10) * 1024;
  if (S_read(root, "/proc/loadavg", text, sizeof text)) env->load = strtod(text, NULL);
}

static void S_container(const char *root, fb_environment *env) {
  static const struct {
    const char *file, *name;
  } marks[] = {{"/.dockerenv", "docker"}, {"/run/.containerenv", "podman"}};
  char path[1024], text[FILE_MAX];
  for (size_t i = 0; i < sizeof marks / sizeof *marks && !env->container[0]; i++) {
    snprintf(path, sizeof path, "%s%s", root, marks[i].file);
    if (access(path, F_OK) == 0)
      S_copy(env->container, sizeof env->container, marks[i].name, strlen(marks[i].name));
  }
  if (!env->container[0] && S_read(root, "/proc/1/cgroup", text, sizeof text) &&
      strstr(text, "kubepods"))
    S_copy(env->container, sizeof env->container, "kubernetes", 10);
}

static void S_software(fb_environment *env) {
#ifdef __clang__
  snprintf(env->compiler, sizeof env->compiler, "clang %d.%d.%d", __clang_major__, __clang_minor__,
           __clang_patchlevel__);
#else
  snprintf(env->compiler, sizeof env->compiler, "gcc %d.%d.%d", __GNUC__, __GNUC_MINOR__,
           __GNUC_PATCHLEVEL__);
#endif
#ifdef __GLIBC__
  snprintf(env->libc, sizeof env->libc, "glibc %s", gnu_get_libc_version());
#endif
}

static void S_fingerprint(fb_environment *env) {
  char text[512];
  int len =
      snprintf(text, sizeof text, "%s|%d|%lld|%s", env->cpu, env->processors,
               env->memory < 0 ? -1LL : (long long)(env->memory + (1 << 29)) >> 30, env->machine);
  snprintf(env->fingerprint, sizeof env->fingerprint, "%016llx",
           (unsigned long long)fb_hash_bytes(text, (size_t)len, 0));
}

/* ── Warnings ────────────────────────────────────────────────────────────────────────────────── */

static void S_warn(fb_environment *env, const char *format, ...) FB_PRINTF(2, 3);
static void S_warn(fb_environment *env, const char *format, ...) {
  if (env->warning_count == FB_ENVIRONMENT_WARNINGS) return;
  va_list args;
  va_start(args, format);
  vsnprintf(env->warnings[env->warning_count++], FB_ENVIRONMENT_TEXT, format, args);
  va_end(args);
}

static void S_warnings(fb_environment *env) {
  if (env->load > 0.3 * env->processors)
    S_warn(env, "the machine is busy: a load of %.2f on %d processor%s; end what else runs",
           env->load, env->processors, env->processors == 1 ? "" : "s");
  if (env->governor[0] && strcmp(env->governor, "performance") != 0)
    S_warn(env,
           "the frequency governor is `%s`: speed depends on what ran before; set `performance`",
           env->governor);
  if (env->turbo == 1)
    S_warn(env,
           "turbo is on: the first runs may be faster than the last; turn it off for small "
           "differences");
  if (env->virtual_machine)
    S_warn(env, "this is a virtual machine: neighbours that cannot be seen take time too");
  if (env->container[0])
    S_warn(env, "this runs in a container (%s), perhaps with limits on its processors",
           env->container);
  if (env->processors == 1)
    S_warn(env, "there is one processor only: flyball and what it measures share it");
}

void fb_environment_read(const char *root, fb_environment *ret) {
  *ret = (fb_environment){.memory = -1, .load = -1, .turbo = -1};
  S_processor(root, ret);
  S_governor(root, ret);
  S_turbo(root, ret);
  S_system(root, ret);
  S_container(root, ret);
  S_software(ret);
  ret->aslr = S_number(root, "/proc/sys/kernel/randomize_va_space", -1);
  ret->paranoid = S_number(root, "/proc/sys/kernel/perf_event_paranoid", -1);
  S_fingerprint(ret);
  S_warnings(ret);
}

/* ── JSON ────────────────────────────────────────────────────────────────────────────────────── */

static void S_text_member(fb_buf *out, const char *key, const char *text) {
  fb_buf_printf(out, "\"%s\":", key);
  if (*text)
    fb_json_write_text(out, fb_slice_of(text), FB_JSON_HTML_SAFE);
  else
    fb_buf_text(out, "null");
  fb_buf_char(out, ',');
}

static void S_number_member(fb_buf *out, const char *key, double number) {
  char text[32];
  fb_double_format(number, text);
  fb_buf_printf(out, "\"%s\":%s,", key, number < 0 ? "null" : text);
}

void fb_environment_json(const fb_environment *env, fb_buf *out) {
  S_text_member(out, "fingerprint", env->fingerprint);
  S_text_member(out, "cpu", env->cpu);
  fb_buf_printf(out, "\"processors\":%d,", env->processors);
  if (env->memory >= 0) fb_buf_printf(out, "\"memory\":%lld,", (long long)env->memory);
  S_text_member(out, "machine", env->machine);
  S_text_member(out, "kernel", env->kernel);
  S_text_member(out, "system", env->system);
  S_text_member(out, "compiler", env->compiler);
  S_text_member(out, "libc", env->libc);
  S_text_member(out, "governor", env->governor);
  S_text_member(out, "container", env->container);
  fb_buf_printf(out, "\"virtual\":%s,", env->virtual_machine ? "true" : "false");
  S_number_member(out, "load", env->load);
  fb_buf_printf(out, "\"turbo\":%s,", env->turbo < 0 ? "null" : env->turbo ? "true" : "false");
  if (env->aslr >= 0) fb_buf_printf(out, "\"aslr\":%d,", env->aslr);
  fb_buf_text(out, "\"warnings\":[");
  for (size_t i = 0; i < env->warning_count; i++) {
    if (i) fb_buf_char(out, ',');
    fb_json_write_text(out, fb_slice_of(env->warnings[i]), FB_JSON_HTML_SAFE);
  }
  fb_buf_char(out, ']');
}
