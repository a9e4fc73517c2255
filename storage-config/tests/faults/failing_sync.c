/* Preloaded: fsync and fdatasync fail as on a broken disk, as long as the file named by STORAGE_FAILING_SYNC is there. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int is_broken(void) {
    const char *file = getenv("STORAGE_FAILING_SYNC");
    int before = errno;
    int found = file != NULL && access(file, F_OK) == 0;
    errno = before;
    return found;
}

static int sync_or_fail(const char *name, int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    if (is_broken()) {
        errno = EIO;
        return -1;
    }
    return real(fd);
}

int fsync(int fd) { return sync_or_fail("fsync", fd); }

int fdatasync(int fd) { return sync_or_fail("fdatasync", fd); }
