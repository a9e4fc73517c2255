/* Keeps what a loss of power would leave: preloaded into a process, it puts beside a directory what was synced below it.
 *
 * STORAGE_POWER_ROOT   the directory that is watched
 * STORAGE_POWER_STORE  where its synced content is kept:
 *     <file>    the bytes of a file when it was last synced
 *     d<file>   the names in a directory when it was last synced: "f <file> <name>\0" or "d <file> <name>\0"
 *     l<file>   is there if the length of the file was set since it was synced
 *     loaded    this code is at work
 * <file> is the number of the file and the time of its birth, because numbers are used again.
 *
 * A file is what its last fsync or fdatasync made of it, a name is there once its directory was synced, and nothing else is
 * promised: sync_file_range, writing and closing keep nothing. The disk itself is not waited for. Files that are opened with
 * O_SYNC or O_DSYNC are not followed: to them more seems to be lost than would be, never less.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 4096
#define NAME 64

static char root[PATH_MAX];
static int store = -1;
static pthread_mutex_t keeping = PTHREAD_MUTEX_INITIALIZER;

static void mark(const char *name) {
    int fd = openat(store, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0) close(fd);
}

__attribute__((constructor)) static void begin(void) {
    const char *watched = getenv("STORAGE_POWER_ROOT"), *kept = getenv("STORAGE_POWER_STORE");
    if (!watched || !kept || !realpath(watched, root)) return;
    store = open(kept, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store >= 0) mark("loaded");
}

static int is_watched(int fd) {
    char link[40], path[PATH_MAX];
    size_t len = strlen(root);
    if (store < 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t found = readlink(link, path, sizeof path - 1);
    if (found < 0) return 0;
    path[found] = 0;
    return !strncmp(path, root, len) && (path[len] == '/' || path[len] == 0);
}

/* The name that a file has in the store; 0 where the volume does not know when it was born. */
static int name_of(int fd, const char *path, char *name) {
    struct statx found;
    if (statx(fd, path, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_INO | STATX_BTIME, &found)) return 0;
    if (!(found.stx_mask & STATX_BTIME)) return 0;
    snprintf(name, NAME, "%llu-%lld.%09u", (unsigned long long)found.stx_ino, (long long)found.stx_btime.tv_sec,
             found.stx_btime.tv_nsec);
    return 1;
}

static int keep_file(int fd, off_t len) {
    char link[40], name[NAME], length[NAME + 2], now[BLOCK], before[BLOCK];
    int from, to, is_kept = 0;
    if (!name_of(fd, "", name)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    from = open(link, O_RDONLY | O_CLOEXEC);
    to = openat(store, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (from < 0 || to < 0) goto out;
    for (off_t at = 0; at < len; at += BLOCK) {
        ssize_t found = pread(from, now, BLOCK, at);
        if (found < 0) goto out;
        ssize_t known = pread(to, before, BLOCK, at);
        if (known == found && !memcmp(now, before, (size_t)found)) continue;
        if (pwrite(to, now, (size_t)found, at) != found) goto out;
    }
    is_kept = !ftruncate(to, len);
    snprintf(length, sizeof length, "l%s", name);
    unlinkat(store, length, 0);
out:
    if (from >= 0) close(from);
    if (to >= 0) close(to);
    return is_kept;
}

static int keep_directory(int fd) {
    char name[NAME], draft[NAME + 2], final[NAME + 2], child[NAME];
    struct dirent *entry;
    int is_kept = 0;
    if (!name_of(fd, "", name)) return 0;
    snprintf(draft, sizeof draft, "n%s", name);
    snprintf(final, sizeof final, "d%s", name);
    int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int to = openat(store, draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    DIR *names = own < 0 ? NULL : fdopendir(own);
    FILE *list = to < 0 ? NULL : fdopen(to, "w");
    if (!names || !list) goto out;
    while ((entry = readdir(names))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        /* It may be gone since it was listed. */
        if (!name_of(fd, entry->d_name, child)) continue;
        struct stat found;
        if (fstatat(fd, entry->d_name, &found, AT_SYMLINK_NOFOLLOW)) continue;
        fprintf(list, "%c %s %s%c", S_ISDIR(found.st_mode) ? 'd' : 'f', child, entry->d_name, 0);
    }
    is_kept = !fflush(list) && !renameat(store, draft, store, final);
out:
    if (names) closedir(names);
    else if (own >= 0) close(own);
    if (list) fclose(list);
    else if (to >= 0) close(to);
    return is_kept;
}

static int keep(int fd, const char *function) {
    struct stat found;
    if (!is_watched(fd)) {
        int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, function);
        return real(fd);
    }
    pthread_mutex_lock(&keeping);
    if (fstat(fd, &found)) {
        pthread_mutex_unlock(&keeping);
        return -1;
    }
    int is_kept = S_ISDIR(found.st_mode) ? keep_directory(fd) : keep_file(fd, found.st_size);
    if (!is_kept) mark("failed");
    pthread_mutex_unlock(&keeping);
    return 0;
}

/* A length that was set is a single number, which reaches the disk wholly or not at all. It is marked before it is set, as a kill
   may come in between, and not while a sync looks at the file. */
static int set_length(int fd, off_t len, const char *function) {
    int (*real)(int, off_t) = (int (*)(int, off_t))dlsym(RTLD_NEXT, function);
    char name[NAME], length[NAME + 2];
    if (!is_watched(fd) || !name_of(fd, "", name)) return real(fd, len);
    snprintf(length, sizeof length, "l%s", name);
    pthread_mutex_lock(&keeping);
    mark(length);
    int done = real(fd, len);
    pthread_mutex_unlock(&keeping);
    return done;
}

int ftruncate(int fd, off_t len) { return set_length(fd, len, "ftruncate"); }

int ftruncate64(int fd, off64_t len) { return set_length(fd, len, "ftruncate64"); }

int fsync(int fd) { return keep(fd, "fsync"); }

int fdatasync(int fd) { return keep(fd, "fdatasync"); }

int sync_file_range(int fd, off64_t offset, off64_t bytes, unsigned int flags) {
    (void)fd, (void)offset, (void)bytes, (void)flags;
    return 0;
}
