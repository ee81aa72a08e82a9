#include "password/password.h"

#include <string.h>

#include "check.h"
#include "guarded.h"

static fta_text
text_of(const char *text)
{
    return (fta_text){text, strlen(text)};
}

static void
test_a_password_verifies_against_its_hash_only(void)
{
    char stored[FTA_PASSWORD_STORED_MAX], again[FTA_PASSWORD_STORED_MAX];
    size_t length = 0, again_length = 0;
    bool matches = false;
    uint32_t iterations = 0;
    CHECK(fta_password_hash(text_of("secret"), 1000, stored, &length) ==
          FTA_OK);
    CHECK(fta_password_hash(text_of("secret"), 1000, again, &again_length) ==
          FTA_OK);
    fta_text kept = {stored, length};
    CHECK(length == again_length && memcmp(stored, again, length) != 0);
    CHECK(memcmp(stored, "$pbkdf2-sha512$i=1000$", 22) == 0);
    CHECK(fta_password_verify(text_of("secret"), kept, &matches) == FTA_OK &&
          matches);
    CHECK(fta_password_verify(text_of("Secret"), kept, &matches) == FTA_OK &&
          !matches);
    CHECK(fta_password_verify(text_of(""), kept, &matches) == FTA_OK &&
          !matches);
    CHECK(fta_password_iterations(kept, &iterations) == FTA_OK &&
          iterations == 1000);
}

static void
test_empty_and_binary_passwords_verify(void)
{
    char stored[FTA_PASSWORD_STORED_MAX];
    size_t length = 0;
    bool matches = false;
    CHECK(fta_password_hash((fta_text){NULL, 0}, 1000, stored, &length) ==
          FTA_OK);
    CHECK(fta_password_verify((fta_text){NULL, 0}, (fta_text){stored, length},
                              &matches) == FTA_OK &&
          matches);
    CHECK(fta_password_hash((fta_text){"a\0b", 3}, 1000, stored, &length) ==
          FTA_OK);
    CHECK(fta_password_verify((fta_text){"a\0c", 3}, (fta_text){stored, length},
                              &matches) == FTA_OK &&
          !matches);
}

/* From another implementation: Python's hashlib.pbkdf2_hmac("sha512",
 * b"password", b"saltsaltsaltsalt", 1000). */
static void
test_the_vector_of_pbkdf2_verifies(void)
{
    static const char stored[] = "$pbkdf2-sha512$i=1000$c2FsdHNhbHRzYWx0c2FsdA$"
                                 "715rqIr5dXOVPpBhqqsugl037zT5bWJTWYmZtIcK8hBni"
                                 "sKpwfY7kokvwjDrNHqHhF50Pb7MD6HvkJwiDQw4ww";
    bool matches = false;
    CHECK(fta_password_verify(text_of("password"), text_of(stored), &matches) ==
              FTA_OK &&
          matches);
    CHECK(fta_password_verify(text_of("passwore"), text_of(stored), &matches) ==
              FTA_OK &&
          !matches);
}

#define SALT "c2FsdHNhbHRzYWx0c2FsdA"
#define HASH                                                                   \
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" \
    "AAAAAAAAAAAAAA"

static void
test_a_malformed_stored_string_is_invalid(void)
{
    static const char *const texts[] = {
        "",
        "$",
        "$pbkdf2-sha512$i=",
        "$pbkdf2-sha512$i=1000",
        "$pbkdf2-sha512$i=1000$",
        "$pbkdf2-sha512$i=1000$" SALT,
        "$pbkdf2-sha512$i=1000$" SALT "$",
        "$pbkdf2-sha512$i=1000$$" HASH,
        "$pbkdf2-sha512$i=1000$" SALT "$" HASH "$",
        "$pbkdf2-sha512$i=1000$" SALT "$" HASH "A",
        "$pbkdf2-sha512$i=1000$" SALT "$" HASH "\n",
        "$pbkdf2-sha512$i=1000$c2FsdA$" HASH,
        "$pbkdf2-sha512$i=1000$" HASH SALT "$" HASH,
        "$pbkdf2-sha512$i=1000$c2Fsd-Nhb_RzYWx0c2FsdA$" HASH,
        "$pbkdf2-sha512$i=999$" SALT "$" HASH,
        "$pbkdf2-sha512$i=0$" SALT "$" HASH,
        "$pbkdf2-sha512$i=-1$" SALT "$" HASH,
        "$pbkdf2-sha512$i=01000$" SALT "$" HASH,
        "$pbkdf2-sha512$i=1000 $" SALT "$" HASH,
        "$pbkdf2-sha512$1000$" SALT "$" HASH,
        "$pbkdf2-sha256$i=1000$" SALT "$" HASH,
        "pbkdf2-sha512$i=1000$" SALT "$" HASH,
        "$2b$12$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234",
    };
    bool matches;
    uint32_t iterations;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        guarded copy = guarded_copy(texts[i], strlen(texts[i]));
        fta_text stored = {copy.text, strlen(texts[i])};
        CHECK(fta_password_verify(text_of("x"), stored, &matches) ==
              FTA_STORED_MALFORMED);
        CHECK(fta_password_iterations(stored, &iterations) ==
              FTA_STORED_MALFORMED);
        guarded_free(&copy);
    }
    /* and what is right beside it */
    CHECK(
        fta_password_iterations(text_of("$pbkdf2-sha512$i=1000$" SALT "$" HASH),
                                &iterations) == FTA_OK);
}

/* Whoever can write a stored string could otherwise keep a worker busy for as
 * long as it says. */
static void
test_a_stored_string_costs_at_most_ten_times_the_iterations_of_today(void)
{
    static const char *const costly[] = {
        "$pbkdf2-sha512$i=2100001$" SALT "$" HASH,
        "$pbkdf2-sha512$i=100000000$" SALT "$" HASH,
        "$pbkdf2-sha512$i=4294967295$" SALT "$" HASH,
        "$pbkdf2-sha512$i=4294968296$" SALT "$" HASH,
        "$pbkdf2-sha512$i=99999999999999999999$" SALT "$" HASH,
    };
    bool matches;
    uint32_t iterations;
    for (size_t i = 0; i < sizeof costly / sizeof *costly; i++) {
        CHECK(fta_password_verify(text_of("x"), text_of(costly[i]), &matches) ==
              FTA_STORED_COSTLY);
        CHECK(fta_password_iterations(text_of(costly[i]), &iterations) ==
              FTA_STORED_COSTLY);
    }
    CHECK(FTA_PASSWORD_ITERATIONS_MAX == 10 * FTA_PASSWORD_ITERATIONS);
    CHECK(fta_password_iterations(
              text_of("$pbkdf2-sha512$i=2100000$" SALT "$" HASH),
              &iterations) == FTA_OK &&
          iterations == FTA_PASSWORD_ITERATIONS_MAX);
    CHECK(fta_password_verify(
              text_of("x"), text_of("$pbkdf2-sha512$i=2100000$" SALT "$" HASH),
              &matches) == FTA_OK);
}

static void
test_iterations_and_lengths_are_limited(void)
{
    static char large[FTA_PASSWORD_MAX + 1];
    char stored[FTA_PASSWORD_STORED_MAX];
    size_t length;
    bool matches = true;
    fta_text fits = {large, FTA_PASSWORD_MAX};
    fta_text too_long = {large, FTA_PASSWORD_MAX + 1};
    CHECK(fta_password_hash(text_of("x"), 999, stored, &length) ==
          FTA_ITERATIONS_INVALID);
    CHECK(fta_password_hash(text_of("x"), 0, stored, &length) ==
          FTA_ITERATIONS_INVALID);
    CHECK(fta_password_hash(text_of("x"), FTA_PASSWORD_ITERATIONS_MAX + 1,
                            stored, &length) == FTA_ITERATIONS_INVALID);
    CHECK(fta_password_hash(too_long, 1000, stored, &length) ==
          FTA_PASSWORD_TOO_LONG);
    CHECK(fta_password_hash(fits, 1000, stored, &length) == FTA_OK);
    CHECK(fta_password_verify(too_long, (fta_text){stored, length}, &matches) ==
              FTA_OK &&
          !matches);
}

int
main(void)
{
    test_a_password_verifies_against_its_hash_only();
    test_empty_and_binary_passwords_verify();
    test_the_vector_of_pbkdf2_verifies();
    test_a_malformed_stored_string_is_invalid();
    test_a_stored_string_costs_at_most_ten_times_the_iterations_of_today();
    test_iterations_and_lengths_are_limited();
    return check_report("test_password");
}
