/* Preloaded: counts what a process does to files between a line that it says and its next one, and kills it in between.
 *
 * STORAGE_MOMENT_LINE   how the line begins, on standard output
 * STORAGE_MOMENT_KILL   before which change of files it dies, from 1; 0 is never
 * STORAGE_MOMENT_COUNT  the file that is told how many there were, when the next line is said
 *
 * A change is a write, a sync, a set length, a new file or directory, another name, or the end of one. Pipes and the like are
 * not counted.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int is_counting;
static long changes;

static void change(void) {
    const char *kill_at = getenv("STORAGE_MOMENT_KILL");
    if (!__atomic_load_n(&is_counting, __ATOMIC_SEQ_CST)) return;
    if (__atomic_add_fetch(&changes, 1, __ATOMIC_SEQ_CST) != (kill_at ? atol(kill_at) : 0)) return;
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

static void change_of(int fd) {
    struct stat found;
    if (!fstat(fd, &found) && (S_ISREG(found.st_mode) || S_ISDIR(found.st_mode))) change();
}

static void tell(void) {
    const char *file = getenv("STORAGE_MOMENT_COUNT");
    char text[32];
    int len = snprintf(text, sizeof text, "%ld", __atomic_load_n(&changes, __ATOMIC_SEQ_CST));
    int fd = file ? (int)syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
    if (fd < 0) return;
    syscall(SYS_write, fd, text, (size_t)len);
    close(fd);
}

static ssize_t say(const void *bytes, size_t len) {
    const char *line = getenv("STORAGE_MOMENT_LINE");
    if (__atomic_exchange_n(&is_counting, 0, __ATOMIC_SEQ_CST)) tell();
    ssize_t said = REAL(write)(1, bytes, len);
    if (line && len >= strlen(line) && !memcmp(bytes, line, strlen(line)))
        __atomic_store_n(&is_counting, 1, __ATOMIC_SEQ_CST);
    return said;
}

ssize_t write(int fd, const void *bytes, size_t len) {
    if (fd == 1) return say(bytes, len);
    change_of(fd);
    return REAL(write)(fd, bytes, len);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    change_of(fd);
    return REAL(writev)(fd, parts, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at) {
    change_of(fd);
    return REAL(pwrite)(fd, bytes, len, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at) {
    change_of(fd);
    return REAL(pwrite64)(fd, bytes, len, at);
}

int fsync(int fd) {
    change_of(fd);
    return REAL(fsync)(fd);
}

int fdatasync(int fd) {
    change_of(fd);
    return REAL(fdatasync)(fd);
}

int ftruncate(int fd, off_t len) {
    change_of(fd);
    return REAL(ftruncate)(fd, len);
}

int ftruncate64(int fd, off64_t len) {
    change_of(fd);
    return REAL(ftruncate64)(fd, len);
}

int rename(const char *from, const char *to) {
    change();
    return REAL(rename)(from, to);
}

int link(const char *from, const char *to) {
    change();
    return REAL(link)(from, to);
}

int unlink(const char *path) {
    change();
    return REAL(unlink)(path);
}

int unlinkat(int fd, const char *path, int flags) {
    change();
    return REAL(unlinkat)(fd, path, flags);
}

int rmdir(const char *path) {
    change();
    return REAL(rmdir)(path);
}

int mkdir(const char *path, mode_t mode) {
    change();
    return REAL(mkdir)(path, mode);
}

/* Only one that may make or empty the file is a change. */
static mode_t mode_of(int flags, va_list rest) {
    if (flags & (O_CREAT | O_TRUNC)) change();
    return flags & (O_CREAT | O_TMPFILE) ? (mode_t)va_arg(rest, int) : 0;
}

#define OPEN(name)                            \
    int name(const char *path, int flags, ...) { \
        va_list rest;                         \
        va_start(rest, flags);                \
        mode_t mode = mode_of(flags, rest);   \
        va_end(rest);                         \
        return REAL(name)(path, flags, mode); \
    }

#define OPENAT(name)                                    \
    int name(int fd, const char *path, int flags, ...) { \
        va_list rest;                                   \
        va_start(rest, flags);                          \
        mode_t mode = mode_of(flags, rest);             \
        va_end(rest);                                   \
        return REAL(name)(fd, path, flags, mode);       \
    }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
