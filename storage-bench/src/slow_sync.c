/* Makes the disk slower: preloaded into a process, it waits STORAGE_SLOW_SYNC_MICROS before each sync of a file. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static long micros;

__attribute__((constructor)) static void begin(void) {
    const char *told = getenv("STORAGE_SLOW_SYNC_MICROS");
    micros = told ? atol(told) : 0;
}

static void wait_first(void) {
    struct timespec left = {micros / 1000000, micros % 1000000 * 1000};
    while (nanosleep(&left, &left) && errno == EINTR) {
    }
}

int fsync(int fd) {
    wait_first();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}

int fdatasync(int fd) {
    wait_first();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}

int sync_file_range(int fd, off64_t offset, off64_t bytes, unsigned int flags) {
    wait_first();
    return ((int (*)(int, off64_t, off64_t, unsigned int))dlsym(RTLD_NEXT, "sync_file_range"))(fd, offset, bytes, flags);
}
