/* SPDX-License-Identifier: Apache-2.0
 *
 * A path is first made absolute by its text, which tells the root that it lies in; from there on the kernel walks it
 * (openat2, RESOLVE_BENEATH), so that no symbolic link and no `..` leads out of the root, whoever changes what
 * meanwhile. Where there is no openat2 it is walked name by name, and links are refused.
 */
#include "mission/world_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MOST_DEPTH = 64, COPY_BLOCK = 256 << 10 };

/* A place to act on: a name within an open folder. */
typedef struct S_place {
  int folder;
  char name[256]; /* "." for the root itself */
} S_place;

static fb_status S_errno(fb_error *err, const char *what, const char *path) {
  int number = errno;
  fb_status status = number == ENOMEM ? FB_E_NOMEM : FB_E_IO;
  if (number == EXDEV || number == ELOOP) {
    fb_fail(err, status, "cannot %s %s: it leads out of the folders that the mission may touch",
            what, path);
    fb_error_hint(err, "`files: {roots: […]}` names them");
    return status;
  }
  return fb_fail(err, status, "cannot %s %s: %s", what, path, strerror(number));
}

static int S_high(int fd) {
  if (fd < 0 || fd > 2) return fd;
  int high = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  close(fd);
  return high;
}

/* ── Paths ───────────────────────────────────────────────────────────────────────────────────── */

/* Absolute, without `.`, `..` and double slashes; by the text alone. False: too long. */
static bool S_absolute(const char *path, char *out, size_t size) {
  size_t length = 0;
  if (*path != '/') {
    if (!getcwd(out, size)) return false;
    length = strlen(out);
    if (length == 1) length = 0;
  }
  for (const char *at = path; *at;) {
    size_t part = strcspn(at, "/");
    if (part == 2 && at[0] == '.' && at[1] == '.') {
      while (length && out[length - 1] != '/') length--;
      if (length) length--;
    } else if (part && !(part == 1 && at[0] == '.')) {
      if (length + part + 2 > size) return false;
      out[length++] = '/';
      memcpy(out + length, at, part);
      length += part;
    }
    at += part;
    while (*at == '/') at++;
  }
  if (length == 0) out[length++] = '/';
  out[length] = 0;
  return true;
}

/* What is left of `path` below `root`; NULL: it is not below. "" is the root. */
static const char *S_below(const char *root, const char *path) {
  size_t length = strlen(root);
  if (length == 1) return path + 1;
  if (strncmp(path, root, length) != 0) return NULL;
  if (path[length] == 0) return path + length;
  return path[length] == '/' ? path + length + 1 : NULL;
}

static int S_walk(int folder, const char *path, int flags, mode_t mode) {
  char part[256];
  int at = dup(folder);
  while (at >= 0) {
    size_t length = strcspn(path, "/");
    if (length >= sizeof part) {
      close(at);
      errno = ENAMETOOLONG;
      return -1;
    }
    memcpy(part, path, length);
    part[length] = 0;
    path += length;
    while (*path == '/') path++;
    int next = *path ? openat(at, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                     : openat(at, part, flags | O_NOFOLLOW | O_CLOEXEC, mode);
    int number = errno;
    close(at);
    errno = number;
    if (!*path) return next;
    at = next;
  }
  return -1;
}

static int S_beneath(int folder, const char *path, int flags, mode_t mode) {
  struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC),
                         .mode = flags & O_CREAT ? mode : 0,
                         .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
  if (!*path) path = ".";
  int fd = (int)syscall(SYS_openat2, folder, path, &how, sizeof how);
  if (fd < 0 && (errno == ENOSYS || errno == EPERM)) fd = S_walk(folder, path, flags, mode);
  return S_high(fd);
}

/* The root that the path lies in, opened, and the path from there. -1 with errno. */
static int S_root(const fb_file_job *job, const char *path, char *absolute, size_t size,
                  const char **ret_rest) {
  char root[4096];
  if (!S_absolute(path, absolute, size)) {
    errno = ENAMETOOLONG;
    return -1;
  }
  for (size_t i = 0; i < job->root_count; i++) {
    const char *rest =
        S_absolute(job->roots[i], root, sizeof root) ? S_below(root, absolute) : NULL;
    if (!rest) continue;
    *ret_rest = rest;
    return S_high(open(root, O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  errno = EXDEV;
  return -1;
}

static int S_open(const fb_file_job *job, const char *path, int flags, mode_t mode) {
  char absolute[4096];
  const char *rest;
  int root = S_root(job, path, absolute, sizeof absolute, &rest);
  if (root < 0) return -1;
  int fd = S_beneath(root, rest, flags, mode), number = errno;
  close(root);
  errno = number;
  return fd;
}

/* Makes the folders that lack, one below the other. */
static int S_make_folders(int root, const char *path, mode_t mode) {
  char part[4096];
  for (size_t end = strcspn(path, "/");; end += 1 + strcspn(path + end + 1, "/")) {
    if (end >= sizeof part) {
      errno = ENAMETOOLONG;
      return -1;
    }
    memcpy(part, path, end);
    part[end] = 0;
    char *slash = strrchr(part, '/');
    if (slash) *slash = 0;
    int above = S_beneath(root, slash ? part : "", O_RDONLY | O_DIRECTORY, 0);
    if (above < 0) return -1;
    int made = mkdirat(above, slash ? slash + 1 : part, mode), number = errno;
    close(above);
    errno = number;
    if (made != 0 && number != EEXIST) return -1;
    if (!path[end]) return 0;
  }
}

static void S_close_place(S_place *place) {
  if (place->folder >= 0) close(place->folder);
  place->folder = -1;
}

/* The folder that the last name stands in. `make`: with all folders above. */
static int S_find(const fb_file_job *job, const char *path, bool make, S_place *place) {
  char absolute[4096];
  const char *rest;
  int root = S_root(job, path, absolute, sizeof absolute, &rest);
  place->folder = -1;
  if (root < 0) return -1;
  char *slash = strrchr(absolute, '/');
  const char *name = *rest ? slash + 1 : ".";
  int result = -1;
  if (strlen(name) >= sizeof place->name) {
    errno = ENAMETOOLONG;
  } else {
    snprintf(place->name, sizeof place->name, "%s", name);
    bool nested = *rest && slash > rest;
    if (nested) *slash = 0;
    result = make && nested ? S_make_folders(root, rest, 0777) : 0;
    if (result == 0) place->folder = S_beneath(root, nested ? rest : "", O_RDONLY | O_DIRECTORY, 0);
    result = place->folder >= 0 ? 0 : -1;
  }
  int number = errno;
  close(root);
  errno = number;
  return result;
}

/* ── Acts ────────────────────────────────────────────────────────────────────────────────────── */

static fb_status S_read(fb_file_job *job, fb_error *err) {
  int fd = S_open(job, job->path, O_RDONLY, 0);
  ssize_t got = 1;
  if (fd < 0) return S_errno(err, "read", job->path);
  fb_status status = FB_OK;
  while (!status && got > 0) {
    if (!fb_buf_reserve(job->out, COPY_BLOCK)) {
      status = fb_fail(err, FB_E_NOMEM, "out of memory while reading %s", job->path);
      break;
    }
    got = read(fd, job->out->ptr + job->out->len, COPY_BLOCK);
    if (got < 0 && errno == EINTR)
      got = 1;
    else if (got < 0)
      status = S_errno(err, "read", job->path);
    else
      job->out->len += (size_t)got;
    if (job->out->len > job->max)
      status = fb_fail(err, FB_E_LIMIT, "%s is larger than %llu bytes", job->path,
                       (unsigned long long)job->max);
  }
  if (!status) job->out->ptr[job->out->len] = 0;
  close(fd);
  return status;
}

static int S_write_all(int fd, const char *bytes, size_t length) {
  while (length) {
    ssize_t put = write(fd, bytes, length);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return -1;
    bytes += put;
    length -= (size_t)put;
  }
  return 0;
}

static fb_status S_append(fb_file_job *job, fb_error *err) {
  S_place place;
  if (S_find(job, job->path, true, &place) != 0) return S_errno(err, "append to", job->path);
  int fd = S_beneath(place.folder, place.name, O_WRONLY | O_APPEND | O_CREAT, job->mode);
  bool good = fd >= 0 && S_write_all(fd, job->bytes.ptr, job->bytes.len) == 0 && fsync(fd) == 0;
  fb_status status = good ? FB_OK : S_errno(err, "append to", job->path);
  if (fd >= 0) close(fd);
  S_close_place(&place);
  return status;
}

/* Beside the target, then renamed over it: it is there as a whole or not at all. */
static int S_begin_file(const S_place *place, mode_t mode, char *name, size_t size) {
  for (unsigned i = 0; i < 1000; i++) {
    snprintf(name, size, ".%.200s.flyball-%d-%u", place->name, (int)getpid(), i);
    int fd = S_beneath(place->folder, name, O_WRONLY | O_CREAT | O_EXCL, mode);
    if (fd >= 0 || errno != EEXIST) return fd;
  }
  return -1;
}

static int S_end_file(const S_place *place, int fd, const char *name, bool good) {
  good = good && fsync(fd) == 0;
  int number = errno;
  if (close(fd) != 0 && good) {
    good = false;
    number = errno;
  }
  if (good && renameat(place->folder, name, place->folder, place->name) == 0)
    return fsync(place->folder) == 0 || errno == EINVAL ? 0 : -1;
  if (good) number = errno;
  unlinkat(place->folder, name, 0);
  errno = number;
  return -1;
}

static fb_status S_write(fb_file_job *job, fb_error *err) {
  S_place place;
  char name[300];
  if (S_find(job, job->path, true, &place) != 0) return S_errno(err, "write", job->path);
  int fd = S_begin_file(&place, job->mode, name, sizeof name);
  fb_status status = FB_OK;
  if (fd < 0 ||
      S_end_file(&place, fd, name, S_write_all(fd, job->bytes.ptr, job->bytes.len) == 0) != 0)
    status = S_errno(err, "write", job->path);
  S_close_place(&place);
  return status;
}

static bool S_copy_bytes(int from, int to, uint64_t *size) {
  static const size_t block = COPY_BLOCK;
  char *buffer = fb_alloc(fb_allocator_system(), block);
  bool good = buffer != NULL;
  if (!good) errno = ENOMEM;
  while (good) {
    ssize_t got = read(from, buffer, block);
    if (got < 0 && errno == EINTR) continue;
    if (got == 0) break;
    good = got > 0 && S_write_all(to, buffer, (size_t)got) == 0;
    if (good) *size += (uint64_t)got;
  }
  fb_free(fb_allocator_system(), buffer, block);
  return good;
}

static fb_status S_copy(fb_file_job *job, fb_error *err) {
  struct stat info;
  S_place place;
  char name[300];
  int from = S_open(job, job->path, O_RDONLY, 0);
  if (from < 0) return S_errno(err, "read", job->path);
  fb_status status = FB_OK;
  if (fstat(from, &info) == 0 && S_ISDIR(info.st_mode)) {
    close(from);
    return fb_fail(err, FB_E_IO, "cannot copy %s: it is a folder", job->path);
  }
  if (S_find(job, job->to, true, &place) != 0) {
    status = S_errno(err, "write", job->to);
  } else {
    int fd = S_begin_file(&place, info.st_mode & 07777, name, sizeof name);
    if (fd < 0 || S_end_file(&place, fd, name, S_copy_bytes(from, fd, &job->size)) != 0)
      status = S_errno(err, "write", job->to);
    S_close_place(&place);
  }
  close(from);
  return status;
}

static fb_status S_move(fb_file_job *job, fb_error *err) {
  S_place from, to;
  if (S_find(job, job->path, false, &from) != 0) return S_errno(err, "move", job->path);
  fb_status status = FB_OK;
  if (S_find(job, job->to, true, &to) != 0) {
    status = S_errno(err, "move to", job->to);
  } else if (renameat(from.folder, from.name, to.folder, to.name) != 0) {
    /* To another file system: a copy, and then the original goes. */
    bool other = errno == EXDEV;
    status = other ? S_copy(job, err) : S_errno(err, "move", job->path);
    if (other && !status && unlinkat(from.folder, from.name, 0) != 0)
      status = S_errno(err, "remove", job->path);
  } else if (fsync(to.folder) != 0 || fsync(from.folder) != 0) {
    status = errno == EINVAL ? FB_OK : S_errno(err, "move", job->path);
  }
  S_close_place(&to);
  S_close_place(&from);
  return status;
}

/* Never through links. Depth is bounded. */
static int S_delete_tree(int folder, const char *name, int depth, uint64_t *count) {
  if (unlinkat(folder, name, 0) == 0) {
    ++*count;
    return 0;
  }
  if (errno != EISDIR && errno != EPERM) return -1;
  int fd = S_high(openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (fd < 0) return -1;
  if (depth > MOST_DEPTH) {
    close(fd);
    errno = ELOOP;
    return -1;
  }
  DIR *list = fdopendir(fd);
  if (!list) {
    close(fd);
    return -1;
  }
  int result = 0;
  for (struct dirent *entry; result == 0 && (entry = readdir(list));)
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
      result = S_delete_tree(fd, entry->d_name, depth + 1, count);
  int number = errno;
  closedir(list);
  errno = number;
  if (result != 0 || unlinkat(folder, name, AT_REMOVEDIR) != 0) return -1;
  ++*count;
  return 0;
}

static fb_status S_delete(fb_file_job *job, fb_error *err) {
  S_place place;
  if (S_find(job, job->path, false, &place) != 0)
    return errno == ENOENT ? FB_OK : S_errno(err, "delete", job->path);
  int result;
  if (strcmp(place.name, ".") == 0) {
    result = -1;
    errno = EBUSY; /* a root itself stays */
  } else if (job->recursive) {
    result = S_delete_tree(place.folder, place.name, 0, &job->size);
  } else {
    result = unlinkat(place.folder, place.name, 0);
    if (result != 0 && (errno == EISDIR || errno == EPERM))
      result = unlinkat(place.folder, place.name, AT_REMOVEDIR);
    if (result == 0) job->size = 1;
  }
  fb_status status = result == 0 || errno == ENOENT ? FB_OK : S_errno(err, "delete", job->path);
  S_close_place(&place);
  return status;
}

static fb_status S_mkdir(fb_file_job *job, fb_error *err) {
  S_place place;
  if (S_find(job, job->path, true, &place) != 0) return S_errno(err, "make", job->path);
  struct stat info;
  fb_status status = FB_OK;
  bool made = mkdirat(place.folder, place.name, job->mode) == 0;
  if (!made && (errno != EEXIST || fstatat(place.folder, place.name, &info, 0) != 0 ||
                !S_ISDIR(info.st_mode)))
    status = S_errno(err, "make", job->path);
  S_close_place(&place);
  return status;
}

static const char *S_kind(mode_t mode) {
  return S_ISREG(mode) ? "file" : S_ISDIR(mode) ? "folder" : S_ISLNK(mode) ? "link" : "other";
}

static fb_status S_tell(fb_file_job *job, const char *path, const struct stat *info,
                        fb_error *err) {
  fb_file_entry entry = {
      .path = path,
      .kind = S_kind(info->st_mode),
      .size = (uint64_t)info->st_size,
      .mode = info->st_mode & 07777,
      .modified = (int64_t)info->st_mtim.tv_sec * 1000000000 + info->st_mtim.tv_nsec};
  fb_status status = job->each(job->user, &entry);
  return status
             ? fb_fail(err, status, "%s", status == FB_E_LIMIT ? "too many files" : "out of memory")
             : FB_OK;
}

static int S_by_name(const struct dirent **a, const struct dirent **b) {
  return strcmp((*a)->d_name, (*b)->d_name);
}

static fb_status S_list_folder(fb_file_job *job, int fd, const char *path, int depth,
                               fb_error *err) {
  struct dirent **entries;
  char child[4096];
  int count = scandirat(fd, ".", &entries, NULL, S_by_name);
  if (count < 0) return S_errno(err, "list", path);
  fb_status status = FB_OK;
  for (int i = 0; i < count; i++) {
    const char *name = entries[i]->d_name;
    struct stat info;
    bool own = strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
    int length = snprintf(child, sizeof child, "%s/%s", path, name);
    if (own && !status && length > 0 && (size_t)length < sizeof child &&
        fstatat(fd, name, &info, AT_SYMLINK_NOFOLLOW) == 0) {
      status = S_tell(job, child, &info, err);
      if (!status && job->recursive && S_ISDIR(info.st_mode) && depth < MOST_DEPTH) {
        int below = S_high(openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        if (below >= 0) status = S_list_folder(job, below, child, depth + 1, err);
        if (below >= 0) close(below);
      }
    }
    free(entries[i]);
  }
  free(entries);
  return status;
}

static fb_status S_list(fb_file_job *job, fb_error *err) {
  int fd = S_open(job, job->path, O_RDONLY | O_DIRECTORY, 0);
  if (fd < 0) return S_errno(err, "list", job->path);
  fb_status status = S_list_folder(job, fd, job->path, 0, err);
  close(fd);
  return status;
}

/* One entry, or none where there is nothing. */
static fb_status S_stat(fb_file_job *job, fb_error *err) {
  struct stat info;
  int fd = S_open(job, job->path, O_PATH, 0);
  if (fd < 0)
    return errno == ENOENT || errno == ENOTDIR ? FB_OK : S_errno(err, "look at", job->path);
  fb_status status = fstat(fd, &info) == 0 ? S_tell(job, job->path, &info, err)
                                           : S_errno(err, "look at", job->path);
  close(fd);
  return status;
}

fb_status fb_files_do(fb_file_job *job, fb_error *err) {
  switch (job->act) {
    case FB_FILE_READ: return S_read(job, err);
    case FB_FILE_WRITE: return S_write(job, err);
    case FB_FILE_APPEND: return S_append(job, err);
    case FB_FILE_COPY: return S_copy(job, err);
    case FB_FILE_MOVE: return S_move(job, err);
    case FB_FILE_DELETE: return S_delete(job, err);
    case FB_FILE_MKDIR: return S_mkdir(job, err);
    case FB_FILE_LIST: return S_list(job, err);
    case FB_FILE_STAT: return S_stat(job, err);
  }
  return fb_fail(err, FB_E_INTERNAL, "no such act");
}
