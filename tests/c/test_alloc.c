#include "base/alloc.h"

#include <string.h>

#include "check.h"
#include "failing_alloc.h"

static void
test_memory_is_of_the_c_library_by_default(void)
{
    char *memory = fta_malloc(16);
    CHECK(memory != NULL);
    memset(memory, 7, 16);
    char *larger = fta_realloc(memory, 4096);
    CHECK(larger != NULL && larger[15] == 7);
    fta_free(larger);
    unsigned char *zeros = fta_calloc(4, 8);
    CHECK(zeros != NULL && zeros[0] == 0 && zeros[31] == 0);
    fta_free(zeros);
    fta_free(NULL);
    fta_free_secret(NULL, 0);
}

static void
test_each_function_can_be_made_to_fail(void)
{
    failing_alloc_start(1);
    void *first = fta_malloc(1);
    CHECK(first != NULL);
    CHECK(fta_malloc(1) == NULL);
    void *third = fta_malloc(1);
    CHECK(third != NULL);
    CHECK(failing_alloc_stop());
    fta_free(first);
    fta_free(third);

    failing_alloc_start(0);
    CHECK(fta_calloc(1, 1) == NULL);
    CHECK(failing_alloc_stop());

    void *kept = fta_malloc(8);
    failing_alloc_start(0);
    CHECK(fta_realloc(kept, 16) == NULL);
    CHECK(failing_alloc_stop());
    fta_free(kept);

    failing_alloc_start(1);
    CHECK(!failing_alloc_stop());
}

/* The allocator's free sees what fta_free_secret leaves behind. */
static unsigned char seen[32];

static void
look_and_free(void *memory)
{
    memcpy(seen, memory, sizeof seen);
    free(memory);
}

static void
test_secrets_are_wiped_before_they_are_freed(void)
{
    static const fta_allocator looking = {malloc, calloc, realloc,
                                          look_and_free};
    static const unsigned char zeros[sizeof seen];
    fta_set_allocator(&looking);
    unsigned char *secret = fta_malloc(sizeof seen);
    CHECK(secret != NULL);
    memset(secret, 0x5C, sizeof seen);
    memset(seen, 0xFF, sizeof seen);
    fta_free_secret(secret, sizeof seen);
    fta_set_allocator(NULL);
    CHECK(memcmp(seen, zeros, sizeof seen) == 0);
}

int
main(void)
{
    test_memory_is_of_the_c_library_by_default();
    test_each_function_can_be_made_to_fail();
    test_secrets_are_wiped_before_they_are_freed();
    return check_report("test_alloc");
}
