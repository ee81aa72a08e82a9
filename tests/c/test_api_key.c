#include "session/api_key.h"

#include <string.h>

#include "base/clock.h"
#include "check.h"
#include "guarded.h"
#include "session/key_cache.h"

static bool
is_key(const char *text, size_t length)
{
    guarded copy = guarded_copy(text, length);
    fta_api_key key;
    bool found = false;
    CHECK(fta_api_key_read((fta_text){copy.text, length}, &found, &key) ==
          FTA_OK);
    guarded_free(&copy);
    return found;
}

static void
test_a_key_is_read_as_it_was_made(void)
{
    char text[FTA_API_KEY_LENGTH];
    fta_api_key made, read;
    bool found;
    CHECK(fta_api_key_make(text, &made) == FTA_OK);
    CHECK(fta_api_key_read((fta_text){text, sizeof text}, &found, &read) ==
          FTA_OK);
    CHECK(found && memcmp(&made, &read, sizeof made) == 0);
    CHECK(fta_api_key_is_id((fta_text){made.id, sizeof made.id}));
}

static void
test_no_other_octet_at_any_place_makes_a_key(void)
{
    char text[FTA_API_KEY_LENGTH];
    fta_api_key made;
    CHECK(fta_api_key_make(text, &made) == FTA_OK);
    CHECK(is_key(text, sizeof text));
    for (size_t length = 0; length < sizeof text; length++) {
        CHECK(!is_key(text, length));
    }
    for (size_t place = 0; place < sizeof text; place++) {
        char right = text[place];
        for (int octet = 0; octet < 256; octet++) {
            text[place] = (char)octet;
            CHECK(is_key(text, sizeof text) == (text[place] == right));
        }
        text[place] = right;
    }
}

static fta_key_cache *
new_cache(size_t slots)
{
    const fta_key_cache_options options = {
        .app = {"", 0}, .name = {"test", 4}, .slots = slots};
    fta_key_cache *cache = NULL;
    int error;
    CHECK(fta_key_cache_open(&options, &cache, &error) == FTA_OK);
    return cache;
}

static void
test_the_cache_finds_what_was_put_and_not_dropped(void)
{
    static const char id[FTA_API_KEY_ID + 1] = "aaaaaaaaaaaaaaaa";
    fta_key_cache *cache = new_cache(FTA_KEY_CACHE_SLOTS_MIN);
    fta_key_cache_ticket ticket;
    char value[FTA_KEY_CACHE_VALUE_MAX];
    size_t length;
    fta_key_cache_begin(cache, id, &ticket);
    fta_key_cache_put(cache, id, &ticket, 1000, (fta_text){"one", 3});
    CHECK(fta_key_cache_find(cache, id, value, &length));
    CHECK(length == 3 && memcmp(value, "one", 3) == 0);
    fta_clock_shift(0, 1000000);
    CHECK(!fta_key_cache_find(cache, id, value, &length));
    fta_clock_reset();
    CHECK(fta_key_cache_find(cache, id, value, &length));
    fta_key_cache_drop(cache, id);
    CHECK(!fta_key_cache_find(cache, id, value, &length));
    fta_key_cache_put(cache, id, &ticket, 1000, (fta_text){"two", 3});
    CHECK(!fta_key_cache_find(cache, id, value, &length));
    fta_key_cache_close(cache);
}

static void
test_a_number_of_slots_out_of_range_is_a_bad_argument(void)
{
    const size_t wrong[] = {0, FTA_KEY_CACHE_SLOTS_MIN - 1,
                            FTA_KEY_CACHE_SLOTS_MAX + 1};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const fta_key_cache_options options = {
            .app = {"", 0}, .name = {"test", 4}, .slots = wrong[i]};
        fta_key_cache *cache = NULL;
        int error;
        CHECK(fta_key_cache_open(&options, &cache, &error) == FTA_BAD_ARGUMENT);
        CHECK(cache == NULL);
    }
}

int
main(void)
{
    test_a_key_is_read_as_it_was_made();
    test_no_other_octet_at_any_place_makes_a_key();
    test_the_cache_finds_what_was_put_and_not_dropped();
    test_a_number_of_slots_out_of_range_is_a_bad_argument();
    return check_report("test_api_key");
}
