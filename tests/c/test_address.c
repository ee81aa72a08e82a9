#include "limit/address.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>

#include "check.h"
#include "guarded.h"

static bool
parse(const char *bytes, size_t length, fta_address *out)
{
    guarded copy = guarded_copy(bytes, length);
    bool parsed = fta_address_parse((fta_text){copy.text, length}, out);
    guarded_free(&copy);
    return parsed;
}

static bool
is(const char *text, const char *expected)
{
    fta_address address;
    char formatted[FTA_ADDRESS_TEXT];
    return parse(text, strlen(text), &address) &&
           fta_address_format(&address, formatted) == strlen(expected) &&
           strcmp(formatted, expected) == 0;
}

static bool
is_none(const char *text)
{
    fta_address address = {.bytes = {1, 2, 3}};
    const fta_address before = address;
    return !parse(text, strlen(text), &address) &&
           memcmp(&address, &before, sizeof address) == 0;
}

static void
test_ports_brackets_and_zones_are_no_part_of_an_address(void)
{
    CHECK(is("192.0.2.1", "192.0.2.1"));
    CHECK(is("192.0.2.1:443", "192.0.2.1"));
    CHECK(is("192.0.2.1:", "192.0.2.1"));
    CHECK(is("192.0.2.1:99999999999", "192.0.2.1"));
    CHECK(is("[192.0.2.1]", "192.0.2.1"));
    CHECK(is("[192.0.2.1]:443", "192.0.2.1"));
    CHECK(is(" 192.0.2.1\t", "192.0.2.1"));
    CHECK(is("255.255.255.255", "255.255.255.255"));
    CHECK(is("0.10.99.100", "0.10.99.100"));

    CHECK(is("2001:DB8::1", "2001:db8::1"));
    CHECK(is("2001:db8:0:0:0:0:0:1", "2001:db8::1"));
    CHECK(is("[2001:db8::1]", "2001:db8::1"));
    CHECK(is("[2001:db8::1]:443", "2001:db8::1"));
    CHECK(is("[2001:db8::1]:", "2001:db8::1"));
    CHECK(is("2001:db8::1%eth0", "2001:db8::1"));
    CHECK(is("2001:db8::1%", "2001:db8::1"));
    CHECK(is("[2001:db8::1%eth0]", "2001:db8::1"));
    CHECK(is("[2001:db8::1%25eth0]:443", "2001:db8::1"));
    CHECK(is("fe80::1%a zone that is longer than any address could be", //
             "fe80::1"));
    CHECK(is("1:2:3:4:5:6:7:8:443", "1:2:3:4:5:6:7:8"));
    CHECK(is("::", "::"));

    CHECK(is("::ffff:192.0.2.1", "192.0.2.1"));
    CHECK(is("::ffff:c000:201", "192.0.2.1"));
    CHECK(is("[::ffff:192.0.2.1]:443", "192.0.2.1"));
    CHECK(is("::ffff:192.0.2.1%eth0", "192.0.2.1"));
    CHECK(is("::192.0.2.1", "::192.0.2.1")); /* Not mapped, compatible. */
}

static void
test_text_that_is_no_address_is_rejected(void)
{
    static const char *const texts[] = {
        "",
        " ",
        "[",
        "]",
        "[]",
        "[]:80",
        "%",
        "%eth0",
        ":",
        ":80",
        "80",
        "unix:",
        "unix:1",
        "localhost",
        "localhost:80",
        "192.0.2",
        "192.0.2.1.",
        "192.0.2.256",
        "192.0.2.1:80:80",
        "192.0.2.1:http",
        "192.0.2.1 :80",
        "192.0.2.1, 192.0.2.2",
        "[192.0.2.1",
        "192.0.2.1]",
        "[192.0.2.1]80",
        "[192.0.2.1]:80:80",
        "[192.0.2.1]:x",
        "[[192.0.2.1]]",
        "2001:db8::1:",
        "2001:db8::1::",
        "[2001:db8::1",
        "2001:db8::1]:80",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9:10",
        "2001:db8::g",
        "2001:db8::1/64",
        "2001:db8::1111:2222:3333:4444:5555:6666:7777:8888",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        CHECK(is_none(texts[i]));
    }
    fta_address address;
    CHECK(!fta_address_parse((fta_text){NULL, 0}, &address));
    CHECK(!parse("192.0.2.1\0", 10, &address));
    CHECK(!parse("2001:db8::1\0:2", 14, &address));
    CHECK(!parse("[::1\0]", 6, &address));
    CHECK(!parse("\xff\xfe", 2, &address));
}

/* One address, at random; families and runs of zeros as often as others. */
static int
random_address(uint8_t bytes[FTA_ADDRESS_BYTES])
{
    int family = rand() % 2 == 0 ? AF_INET : AF_INET6;
    for (size_t i = 0; i < FTA_ADDRESS_BYTES; i++) {
        bytes[i] = (uint8_t)(rand() % 3 == 0 ? 0 : rand());
    }
    return family;
}

/* Every way of writing an address is that address, whichever it is. */
static void
test_every_spelling_of_an_address_is_the_same_address(void)
{
    static const char *const ways[] = {
        "%s",        "[%s]",        "[%s]:1",         "[%s]:",
        "%s%%eth0",  "[%s%%eth0]",  "[%s%%25e]:8080", " %s ",
        "\t[%s]:80", "%s%%zone:80", "[%s]:65535",     "%s%%",
    };
    srand(20240607);
    for (int round = 0; round < 2000; round++) {
        uint8_t bytes[FTA_ADDRESS_BYTES];
        char plain[FTA_ADDRESS_TEXT], written[128];
        fta_address expected, found;
        int family = random_address(bytes);
        CHECK(inet_ntop(family, bytes, plain, sizeof plain) != NULL);
        CHECK(parse(plain, strlen(plain), &expected));
        size_t length = family == AF_INET ? 4 : FTA_ADDRESS_BYTES;
        CHECK(memcmp(expected.bytes, bytes, length) == 0 ||
              expected.family == FTA_ADDRESS_IPV4);
        CHECK(is(plain, plain) || expected.family == FTA_ADDRESS_IPV4);
        for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
            int n = snprintf(written, sizeof written, ways[i], plain);
            CHECK(parse(written, (size_t)n, &found));
            CHECK(memcmp(&found, &expected, sizeof found) == 0);
        }
        if (family == AF_INET) {
            int n = snprintf(written, sizeof written, "%s:%d", plain, rand());
            CHECK(parse(written, (size_t)n, &found));
            CHECK(memcmp(&found, &expected, sizeof found) == 0);
            n = snprintf(written, sizeof written, "::ffff:%s", plain);
            CHECK(parse(written, (size_t)n, &found));
            CHECK(memcmp(&found, &expected, sizeof found) == 0);
        }
        /* And no other: a bit more or less is another address. */
        bytes[(size_t)rand() % length] ^= (uint8_t)(1 << rand() % 8);
        CHECK(inet_ntop(family, bytes, plain, sizeof plain) != NULL);
        CHECK(parse(plain, strlen(plain), &found));
        CHECK(memcmp(&found, &expected, sizeof found) != 0);
    }
}

int
main(void)
{
    test_ports_brackets_and_zones_are_no_part_of_an_address();
    test_text_that_is_no_address_is_rejected();
    test_every_spelling_of_an_address_is_the_same_address();
    return check_report("test_address");
}
