/* A table is left while threads write to it. The memory with the lock in it
 * stays until the last of them is out; then the file is gone. */
#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "session/revocations.h"

#define WRITERS 4
#define ROUNDS 60

typedef struct shared {
    fta_revocations *table;
    atomic_uint written; /* by all writers together */
} shared;

static void *
write_until_left(void *context)
{
    shared *all = context;
    const fta_text position = {"1-0", 3};
    /* It ended long ago, so that nothing in the table is to be kept. */
    const fta_revocation ended = {
        .kind = FTA_REVOKED_TOKEN, .at = 1, .ends_at = 2, .id = {"id", 2}};
    fta_status status;
    do {
        status = fta_revocations_add(all->table, &ended);
        if (status == FTA_OK) {
            status = fta_revocations_mark_filled(all->table, position);
        }
        atomic_fetch_add(&all->written, status == FTA_OK);
    } while (status == FTA_OK || status == FTA_TABLE_LOCKED);
    CHECK(status == FTA_CLOSED);
    return NULL;
}

static int
files_in(const char *directory)
{
    int count = 0;
    DIR *listed = opendir(directory);
    CHECK(listed != NULL);
    for (const struct dirent *each; (each = readdir(listed)) != NULL;) {
        count += each->d_name[0] != '.';
    }
    closedir(listed);
    return count;
}

static void
leave_while_others_write(const char *directory)
{
    int unshared;
    shared all = {.table = NULL};
    const fta_revocations_options options = {.name = {"left", 4},
                                             .slots = 64,
                                             .shared = true,
                                             .directory = directory,
                                             .token_max_ms = 1000,
                                             .silent_max_ms = 1000};
    CHECK(fta_revocations_open(&options, &all.table, &unshared) == FTA_OK);
    CHECK(unshared == 0 && files_in(directory) == 1);
    pthread_t threads[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        CHECK(pthread_create(&threads[i], NULL, write_until_left, &all) == 0);
    }
    while (atomic_load(&all.written) < 20) {
        (void)usleep(50);
    }
    fta_revocations_leave(all.table);
    for (int i = 0; i < WRITERS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    /* Not closed yet: whoever came last has given the memory up. */
    CHECK(files_in(directory) == 0);
    fta_revocations_leave(all.table);
    fta_revocations_close(all.table);
}

int
main(void)
{
    char directory[] = "/tmp/fta-left-XXXXXX";
    CHECK(mkdtemp(directory) != NULL);
    for (int i = 0; i < ROUNDS; i++) {
        leave_while_others_write(directory);
    }
    CHECK(rmdir(directory) == 0);
    return check_report("test_revocations_left");
}
