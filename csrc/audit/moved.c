#include "audit/moved.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int
open_in(int directory, DIR *entries, fta_text name, uint64_t inode)
{
    struct dirent *entry;
    struct stat found;
    while ((entry = readdir(entries)) != NULL) {
        if (strncmp(entry->d_name, name.data, name.length) != 0 ||
            fstatat(directory, entry->d_name, &found, AT_SYMLINK_NOFOLLOW) !=
                0 ||
            !S_ISREG(found.st_mode) || found.st_ino != inode) {
            continue;
        }
        int opened = openat(directory, entry->d_name,
                            O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
        if (opened >= 0 && fstat(opened, &found) == 0 &&
            S_ISREG(found.st_mode) && found.st_ino == inode) {
            return opened;
        }
        if (opened >= 0) {
            (void)close(opened);
        }
    }
    return -1;
}

int
fta_audit_open_moved(fta_text path, uint64_t inode)
{
    fta_text name = path, folder = {"./", 2};
    for (size_t i = 0; i < path.length; i++) {
        if (path.data[i] == '/') {
            folder = (fta_text){path.data, i + 1};
            name = (fta_text){path.data + i + 1, path.length - i - 1};
        }
    }
    char copy[4096];
    if (folder.length >= sizeof copy) {
        return -1;
    }
    memcpy(copy, folder.data, folder.length);
    copy[folder.length] = '\0';
    int directory = open(copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = directory < 0 ? NULL : fdopendir(directory);
    if (entries == NULL) {
        if (directory >= 0) {
            (void)close(directory);
        }
        return -1;
    }
    int opened = open_in(directory, entries, name, inode);
    (void)closedir(entries);
    return opened;
}
