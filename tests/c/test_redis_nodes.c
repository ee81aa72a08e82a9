#include "redis/nodes.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "failing_alloc.h"

static fta_redis_reply *
reply_of(const char *bytes)
{
    fta_redis_reader *reader;
    fta_redis_reply *reply = NULL;
    if (fta_redis_reader_new(&reader) != FTA_OK ||
        fta_redis_reader_feed(reader, bytes, strlen(bytes)) != FTA_OK ||
        fta_redis_reader_next(reader, &reply) != FTA_OK || reply == NULL) {
        fprintf(stderr, "no reply: %s\n", bytes);
        abort();
    }
    fta_redis_reader_free(reader);
    return reply;
}

static void
test_a_redirect_is_read_or_is_malformed(void)
{
    static const struct {
        const char *line;
        bool good;
        unsigned slot;
        const char *host;
        unsigned port;
    } cases[] = {
        {"-MOVED 3999 127.0.0.1:6381\r\n", true, 3999, "127.0.0.1", 6381},
        {"-ASK 16383 redis-2:1\r\n", true, 16383, "redis-2", 1},
        {"-MOVED 0 ::1:65535\r\n", true, 0, "::1", 65535},
        {"-MOVED 1 :7000\r\n", true, 1, "asked", 7000},
        {"-MOVED 16384 h:1\r\n", false, 0, "", 0},
        {"-MOVED x h:1\r\n", false, 0, "", 0},
        {"-MOVED 1 h\r\n", false, 0, "", 0},
        {"-MOVED 1 h:\r\n", false, 0, "", 0},
        {"-MOVED 1 h:0\r\n", false, 0, "", 0},
        {"-MOVED 1 h:65536\r\n", false, 0, "", 0},
        {"-MOVED 1 h:1x\r\n", false, 0, "", 0},
        {"-MOVED 1 fe80::1%eth0:7\r\n", true, 1, "fe80::1%eth0", 7},
        {"-MOVED 1 a b:1\r\n", false, 0, "", 0},
        {"-MOVED 1 a\tb:1\r\n", false, 0, "", 0},
        {"-MOVED 1 a/b:1\r\n", false, 0, "", 0},
        {"-MOVED 1 ?:1\r\n", false, 0, "", 0},
        {"-MOVED 1 h\xC3\xA9:1\r\n", false, 0, "", 0},
        {"-MOVED 1\r\n", false, 0, "", 0},
        {"-MOVED\r\n", false, 0, "", 0},
        {"+MOVED 1 h:1\r\n", false, 0, "", 0},
    };
    const fta_redis_host asked = {"asked", 1};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        fta_redis_reply *r = reply_of(cases[i].line);
        unsigned slot;
        fta_redis_host to;
        bool good = fta_redis_redirect_parse(r, &asked, &slot, &to);
        CHECK(good == cases[i].good);
        if (good) {
            CHECK(slot == cases[i].slot && to.port == cases[i].port);
            CHECK(strcmp(to.name, cases[i].host) == 0);
        }
        fta_redis_reply_free(r);
    }
}

static void
test_the_address_of_a_primary_is_two_texts(void)
{
    fta_redis_host to;
    fta_redis_reply *r = reply_of("*2\r\n$2\r\nh1\r\n$4\r\n6380\r\n");
    CHECK(fta_redis_address_parse(r, &to));
    CHECK(strcmp(to.name, "h1") == 0 && to.port == 6380);
    fta_redis_reply_free(r);
    static const char *const bad[] = {"*-1\r\n",
                                      "*0\r\n",
                                      "*2\r\n$0\r\n\r\n$1\r\n1\r\n",
                                      "*2\r\n$1\r\nh\r\n$1\r\nx\r\n",
                                      "*2\r\n:1\r\n:2\r\n",
                                      "+h 1\r\n"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        r = reply_of(bad[i]);
        CHECK(!fta_redis_address_parse(r, &to));
        fta_redis_reply_free(r);
    }
}

static const char slots_reply[] =
    "*2\r\n"
    "*4\r\n:0\r\n:8000\r\n"
    "*3\r\n$1\r\na\r\n:1\r\n$2\r\nid\r\n*3\r\n$1\r\nb\r\n:2\r\n$2\r\nid\r\n"
    "*3\r\n:8002\r\n:16383\r\n*3\r\n$0\r\n\r\n:3\r\n$2\r\nid\r\n";

static void
test_each_slot_gets_its_owner_and_can_be_moved(void)
{
    const fta_redis_host asked = {"asked", 9};
    fta_redis_reply *r = reply_of(slots_reply);
    fta_redis_slots *slots;
    CHECK(fta_redis_slots_parse(r, &asked, &slots) == FTA_OK);
    CHECK(slots->count == 3);
    CHECK(strcmp(slots->nodes[slots->owner[0]].name, "a") == 0);
    CHECK(slots->nodes[slots->owner[8000]].port == 1);
    CHECK(slots->owner[8001] == FTA_REDIS_NO_OWNER);
    CHECK(strcmp(slots->nodes[slots->owner[16383]].name, "asked") == 0);
    CHECK(slots->nodes[slots->owner[8002]].port == 3);
    const fta_redis_host elsewhere = {"c", 4};
    CHECK(fta_redis_slots_move(slots, 8001, &elsewhere) == FTA_OK);
    CHECK(slots->count == 4 && slots->nodes[slots->owner[8001]].port == 4);
    CHECK(fta_redis_slots_move(slots, 0, &elsewhere) == FTA_OK);
    CHECK(slots->count == 4 && slots->owner[0] == slots->owner[8001]);
    fta_redis_slots_free(slots);
    for (long n = 0;; n++) {
        failing_alloc_start(n);
        fta_status status = fta_redis_slots_parse(r, &asked, &slots);
        if (!failing_alloc_stop()) {
            CHECK(status == FTA_OK && n == 4);
            fta_redis_slots_free(slots);
            break;
        }
        CHECK(status == FTA_NO_MEMORY && slots == NULL);
    }
    fta_redis_reply_free(r);
}

static void
test_slots_out_of_range_or_shape_are_malformed(void)
{
    static const char *const cases[] = {
        ":1\r\n",
        "*1\r\n:1\r\n",
        "*1\r\n*2\r\n:0\r\n:1\r\n",
        "*1\r\n*3\r\n:-1\r\n:1\r\n*2\r\n$1\r\nh\r\n:1\r\n",
        "*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n$1\r\nh\r\n:1\r\n",
        "*1\r\n*3\r\n:2\r\n:1\r\n*2\r\n$1\r\nh\r\n:1\r\n",
        "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\nh\r\n:0\r\n",
        "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\nh\r\n:-1\r\n",
        "*1\r\n*3\r\n:0\r\n:1\r\n*1\r\n$1\r\nh\r\n",
        "*1\r\n*3\r\n:0\r\n:1\r\n:5\r\n",
    };
    const fta_redis_host asked = {"asked", 9};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        fta_redis_reply *r = reply_of(cases[i]);
        fta_redis_slots *slots;
        CHECK(fta_redis_slots_parse(r, &asked, &slots) == FTA_REDIS_MALFORMED);
        CHECK(slots == NULL);
        fta_redis_reply_free(r);
    }
}

static void
test_a_primary_without_a_name_owns_nothing(void)
{
    const fta_redis_host asked = {"asked", 9};
    fta_redis_reply *r =
        reply_of("*2\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\n?\r\n:1\r\n"
                 "*3\r\n:2\r\n:3\r\n*2\r\n$1\r\nh\r\n:1\r\n");
    fta_redis_slots *slots;
    CHECK(fta_redis_slots_parse(r, &asked, &slots) == FTA_OK);
    CHECK(slots->count == 1 && slots->owner[2] == 0);
    CHECK(slots->owner[0] == FTA_REDIS_NO_OWNER);
    fta_redis_slots_free(slots);
    fta_redis_reply_free(r);
}

/* It is not reported as a lack of memory. */
static void
test_more_than_1024_nodes_are_malformed(void)
{
    static char text[200000];
    const fta_redis_host asked = {"asked", 9};
    for (int nodes = 1000; nodes <= 1100; nodes += 100) {
        int at = sprintf(text, "*1\r\n*%d\r\n:0\r\n:16383\r\n", 2 + nodes);
        for (int i = 0; i < nodes; i++) {
            at += sprintf(text + at, "*2\r\n$1\r\nh\r\n:%d\r\n", 1 + i);
        }
        fta_redis_reply *r = reply_of(text);
        fta_redis_slots *slots;
        fta_status status = fta_redis_slots_parse(r, &asked, &slots);
        CHECK(status == (nodes == 1000 ? FTA_OK : FTA_REDIS_MALFORMED));
        fta_redis_slots_free(slots);
        fta_redis_reply_free(r);
    }
}

static void
test_the_slot_of_a_key_is_the_one_of_cluster_keyslot(void)
{
    /* What CLUSTER KEYSLOT replies. */
    CHECK(fta_redis_slot_of("123456789", 9) == 0x31C3 % 16384);
    CHECK(fta_redis_slot_of("foo", 3) == 12182);
    CHECK(fta_redis_slot_of("", 0) == 0);
}

int
main(void)
{
    test_a_redirect_is_read_or_is_malformed();
    test_the_address_of_a_primary_is_two_texts();
    test_each_slot_gets_its_owner_and_can_be_moved();
    test_slots_out_of_range_or_shape_are_malformed();
    test_a_primary_without_a_name_owns_nothing();
    test_more_than_1024_nodes_are_malformed();
    test_the_slot_of_a_key_is_the_one_of_cluster_keyslot();
    return check_report("test_redis_nodes");
}
