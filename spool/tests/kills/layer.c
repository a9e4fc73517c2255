/* Preloaded: the process is killed just before one of its touches of the disk, counted from 1 since SPOOL_TEST_SINCE: «start»,
 * «report», which is its first write to standard output, or the moment from which the file of that name is there. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static long touches_left;
static char since[4096];
static int has_reported;

__attribute__((constructor)) static void prepare(void) {
    const char *touch = getenv("SPOOL_TEST_TOUCH"), *from = getenv("SPOOL_TEST_SINCE");
    if (touch != NULL && from != NULL && strlen(from) < sizeof since) {
        touches_left = atol(touch);
        strcpy(since, from);
    }
    /* What the process starts is left alone. */
    unsetenv("SPOOL_TEST_TOUCH");
    unsetenv("SPOOL_TEST_SINCE");
    unsetenv("LD_PRELOAD");
}

static int is_counted(void) {
    if (strcmp(since, "start") == 0) return 1;
    if (strcmp(since, "report") == 0) return __atomic_load_n(&has_reported, __ATOMIC_SEQ_CST);
    return access(since, F_OK) == 0;
}

static void touch(int fd) {
    int before = errno;
    struct stat file;
    if (since[0] != 0 && fstat(fd, &file) == 0 && S_ISREG(file.st_mode) && is_counted()
        && __atomic_sub_fetch(&touches_left, 1, __ATOMIC_SEQ_CST) == 0) {
        kill(getpid(), SIGKILL);
    }
    errno = before;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *bytes, size_t count) {
    if (fd == STDOUT_FILENO) __atomic_store_n(&has_reported, 1, __ATOMIC_SEQ_CST);
    touch(fd);
    return REAL(write)(fd, bytes, count);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    touch(fd);
    return REAL(writev)(fd, parts, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    touch(fd);
    return REAL(pwrite)(fd, bytes, count, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    touch(fd);
    return REAL(pwrite64)(fd, bytes, count, at);
}

int ftruncate64(int fd, off64_t length) {
    touch(fd);
    return REAL(ftruncate64)(fd, length);
}

int fsync(int fd) {
    touch(fd);
    return REAL(fsync)(fd);
}

int fdatasync(int fd) {
    touch(fd);
    return REAL(fdatasync)(fd);
}
