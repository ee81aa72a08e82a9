/* A directory for one test, which is the current one meanwhile. */
#ifndef FTA_TEST_DIRECTORY_H
#define FTA_TEST_DIRECTORY_H

#include <stdlib.h>
#include <unistd.h>

#include "check.h"

static void
enter_directory(void)
{
    char name[] = "/tmp/fta-test-XXXXXX";
    CHECK(mkdtemp(name) != NULL);
    CHECK(chdir(name) == 0);
}

static void
leave_directory(void)
{
    char name[4096];
    CHECK(getcwd(name, sizeof name) != NULL);
    CHECK(system("rm -rf -- *") == 0);
    CHECK(chdir("/") == 0);
    CHECK(rmdir(name) == 0);
}

#endif
