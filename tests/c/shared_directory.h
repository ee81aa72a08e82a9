/* A directory in memory, in which the processes of a test program meet. */
#ifndef FTA_TESTS_SHARED_DIRECTORY_H
#define FTA_TESTS_SHARED_DIRECTORY_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"

static char shared_directory[64];

static inline void
make_shared_directory(void)
{
    const char *memory = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(shared_directory, sizeof shared_directory,
                   "%s/fta-test-XXXXXX", memory);
    CHECK(mkdtemp(shared_directory) != NULL);
}

/* It is empty: the last process that used a file in it has removed the file. */
static inline void
remove_shared_directory(void)
{
    CHECK(rmdir(shared_directory) == 0);
}

#endif
