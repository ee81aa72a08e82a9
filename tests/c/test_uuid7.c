#include "session/uuid7.h"

#include <string.h>

#include "check.h"

static int64_t
ms_of(const fta_uuid *uuid)
{
    int64_t ms = 0;
    for (int i = 0; i < 6; i++) {
        ms = ms << 8 | uuid->bytes[i];
    }
    return ms;
}

static void
test_it_says_its_time_its_version_and_its_variant(void)
{
    static const int64_t times[] = {0, 1, 1645557742000, FTA_UUID7_MS_MAX};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        fta_uuid uuid;
        CHECK(fta_uuid7_make(times[i], &uuid) == FTA_OK);
        CHECK(ms_of(&uuid) == times[i]);
        CHECK(uuid.bytes[6] >> 4 == 7);
        CHECK(uuid.bytes[8] >> 6 == 2);
    }
}

static void
test_a_time_that_it_cannot_say_is_refused(void)
{
    fta_uuid uuid;
    CHECK(fta_uuid7_make(-1, &uuid) == FTA_BAD_ARGUMENT);
    CHECK(fta_uuid7_make(FTA_UUID7_MS_MAX + 1, &uuid) == FTA_BAD_ARGUMENT);
    CHECK(fta_uuid7_make(INT64_MIN, &uuid) == FTA_BAD_ARGUMENT);
}

static void
test_each_of_its_74_random_bits_is_set_at_times(void)
{
    uint8_t set[FTA_UUID_BYTES] = {0}, clear[FTA_UUID_BYTES] = {0};
    for (int i = 0; i < 200; i++) {
        fta_uuid uuid;
        CHECK(fta_uuid7_make(0, &uuid) == FTA_OK);
        for (int at = 0; at < FTA_UUID_BYTES; at++) {
            set[at] = (uint8_t)(set[at] | uuid.bytes[at]);
            clear[at] = (uint8_t)(clear[at] | (uint8_t)~uuid.bytes[at]);
        }
    }
    int both = 0;
    for (int at = 0; at < FTA_UUID_BYTES; at++) {
        both += __builtin_popcount(set[at] & clear[at]);
    }
    CHECK(both == 74);
}

int
main(void)
{
    test_it_says_its_time_its_version_and_its_variant();
    test_a_time_that_it_cannot_say_is_refused();
    test_each_of_its_74_random_bits_is_set_at_times();
    return check_report("test_uuid7");
}
