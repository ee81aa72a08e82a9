#include "redis/reply.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "failing_alloc.h"

static fta_redis_reader *
new_reader(void)
{
    fta_redis_reader *reader;
    if (fta_redis_reader_new(&reader) != FTA_OK) {
        abort();
    }
    return reader;
}

/* The first reply in these bytes, fed in pieces of this size. */
static fta_status
read_pieces(const char *bytes, size_t length, size_t piece,
            fta_redis_reply **out)
{
    fta_redis_reader *reader;
    *out = NULL;
    fta_status status = fta_redis_reader_new(&reader);
    if (status != FTA_OK) {
        return status;
    }
    for (size_t at = 0; status == FTA_OK && *out == NULL && at < length;
         at += piece) {
        size_t n = length - at < piece ? length - at : piece;
        status = fta_redis_reader_feed(reader, bytes + at, n);
        if (status == FTA_OK) {
            status = fta_redis_reader_next(reader, out);
        }
    }
    fta_redis_reader_free(reader);
    return status;
}

static fta_redis_reply *
reply_of(const char *bytes)
{
    fta_redis_reply *reply;
    CHECK(read_pieces(bytes, strlen(bytes), strlen(bytes), &reply) == FTA_OK);
    if (reply == NULL) {
        fprintf(stderr, "no reply: %s\n", bytes);
        abort();
    }
    return reply;
}

static const char nested[] = "*5\r\n:-7\r\n$3\r\na\0b\r\n$-1\r\n+OK\r\n"
                             "*2\r\n*0\r\n*-1\r\n";

static void
test_every_type_in_pieces_of_every_size(void)
{
    size_t length = sizeof(nested) - 1;
    for (size_t piece = 1; piece <= length; piece++) {
        fta_redis_reply *r;
        CHECK(read_pieces(nested, length, piece, &r) == FTA_OK);
        CHECK(r != NULL && r->type == FTA_REDIS_ARRAY && r->length == 5);
        CHECK(r->elements[0]->type == FTA_REDIS_INTEGER &&
              r->elements[0]->integer == -7);
        CHECK(r->elements[1]->type == FTA_REDIS_TEXT &&
              r->elements[1]->length == 3 &&
              memcmp(r->elements[1]->text, "a\0b", 4) == 0);
        CHECK(r->elements[2]->type == FTA_REDIS_NIL);
        CHECK(r->elements[3]->type == FTA_REDIS_TEXT &&
              strcmp(r->elements[3]->text, "OK") == 0);
        CHECK(r->elements[4]->type == FTA_REDIS_ARRAY &&
              r->elements[4]->elements[0]->type == FTA_REDIS_ARRAY &&
              r->elements[4]->elements[0]->length == 0 &&
              r->elements[4]->elements[1]->type == FTA_REDIS_NIL);
        CHECK(fta_redis_reply_status(r) == FTA_OK);
        fta_redis_reply_free(r);
    }
}

static void
test_every_allocation_failing(void)
{
    long n = 0;
    for (;; n++) {
        fta_redis_reply *r;
        failing_alloc_start(n);
        fta_status status = read_pieces(nested, sizeof(nested) - 1, 5, &r);
        if (!failing_alloc_stop()) {
            CHECK(status == FTA_OK);
            fta_redis_reply_free(r);
            break;
        }
        CHECK(status == FTA_NO_MEMORY && r == NULL);
    }
    CHECK(n == 9); /* the reader and eight objects */
}

static void
test_several_replies_and_what_is_left(void)
{
    fta_redis_reader *reader = new_reader();
    fta_redis_reply *r;
    CHECK(fta_redis_reader_is_empty(reader));
    CHECK(fta_redis_reader_feed(reader, ":1\r\n:2\r\n:", 9) == FTA_OK);
    for (int i = 1; i <= 2; i++) {
        CHECK(fta_redis_reader_next(reader, &r) == FTA_OK && r != NULL);
        CHECK(r->integer == i);
        CHECK(!fta_redis_reader_is_empty(reader));
        fta_redis_reply_free(r);
    }
    CHECK(fta_redis_reader_next(reader, &r) == FTA_OK && r == NULL);
    CHECK(fta_redis_reader_feed(reader, "3\r\n", 3) == FTA_OK);
    CHECK(fta_redis_reader_next(reader, &r) == FTA_OK && r != NULL);
    CHECK(r->integer == 3 && fta_redis_reader_is_empty(reader));
    fta_redis_reply_free(r);
    fta_redis_reader_free(reader);
}

static void
test_malformed_and_oversized(void)
{
    static const char *const cases[] = {
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "\r\n",
        ":x\r\n",
        "$-2\r\n",
        "*-2\r\n",
        "$99999999999999999999\r\n",
        "*99999999999999999999\r\n",
        /* Announced, never sent: refused at the announcement. */
        "*1000000000\r\n",
        "*200000\r\n:1\r\n",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        fta_redis_reply *r;
        CHECK(read_pieces(cases[i], strlen(cases[i]), 1, &r) ==
              FTA_REDIS_MALFORMED);
        CHECK(r == NULL);
    }
}

/* Arrays in arrays announce memory much faster than they send bytes. */
static void
test_nested_announcements_share_one_bound(void)
{
    fta_redis_reader *reader = new_reader();
    fta_redis_reply *r = NULL;
    fta_status status = FTA_OK;
    int levels = 0;
    while (status == FTA_OK && levels < 100) {
        status = fta_redis_reader_feed(reader, "*50000\r\n", 8);
        if (status == FTA_OK) {
            status = fta_redis_reader_next(reader, &r);
        }
        levels++;
    }
    CHECK(status == FTA_REDIS_MALFORMED && r == NULL && levels == 3);
    fta_redis_reader_free(reader);
}

/* hiredis from 1.0 on has no bound, and a reply is freed by recursion. */
static void
test_depth_is_bounded(void)
{
    char text[5 * 20000];
    for (size_t depth = 1; depth < 20000; depth += depth < 20 ? 1 : 5000) {
        text[0] = '\0';
        for (size_t i = 0; i < depth; i++) {
            memcpy(text + 4 * i, "*1\r\n", 5);
        }
        strcat(text + 4 * depth, ":1\r\n");
        fta_redis_reply *r;
        fta_status status = read_pieces(text, strlen(text), 4096, &r);
        CHECK(status ==
              (depth <= FTA_REDIS_DEPTH_MAX ? FTA_OK : FTA_REDIS_MALFORMED));
        CHECK((r != NULL) == (status == FTA_OK));
        fta_redis_reply_free(r);
    }
}

static void
test_types_of_resp3_are_malformed(void)
{
    static const char *const cases[] = {
        "%1\r\n+a\r\n+b\r\n", "~1\r\n+a\r\n",
        ">1\r\n+a\r\n",       "#t\r\n",
        ",1.5\r\n",           "(123\r\n",
        "=5\r\ntxt:a\r\n",    "*1\r\n%0\r\n",
        "*2\r\n:1\r\n#f\r\n", "|1\r\n+a\r\n+b\r\n:1\r\n"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        fta_redis_reply *r;
        CHECK(read_pieces(cases[i], strlen(cases[i]), 1, &r) ==
              FTA_REDIS_MALFORMED);
        CHECK(r == NULL);
    }
}

static void
test_endless_bulk(void)
{
    fta_redis_reader *reader = new_reader();
    static char block[65536];
    memset(block, 'x', sizeof(block));
    fta_redis_reply *r;
    CHECK(fta_redis_reader_feed(reader, "$1000000000\r\n", 13) == FTA_OK);
    fta_status status = FTA_OK;
    size_t fed = 0;
    while (status == FTA_OK && fed < 100 * sizeof(block)) {
        CHECK(fta_redis_reader_next(reader, &r) == FTA_OK && r == NULL);
        status = fta_redis_reader_feed(reader, block, sizeof(block));
        fed += sizeof(block);
    }
    CHECK(status == FTA_REDIS_MALFORMED);
    CHECK(fed <= FTA_REDIS_REPLY_MAX + sizeof(block));
    fta_redis_reader_free(reader);
}

static void
test_errors_by_their_first_word(void)
{
    static const struct {
        const char *line;
        fta_status status;
    } cases[] = {
        {"-NOSCRIPT No matching script.\r\n", FTA_REDIS_NO_SCRIPT},
        {"-LOADING Redis is loading\r\n", FTA_REDIS_LOADING},
        {"-READONLY You can't write\r\n", FTA_REDIS_READ_ONLY},
        {"-OOM command not allowed\r\n", FTA_REDIS_FULL},
        {"-NOAUTH Authentication required.\r\n", FTA_REDIS_DENIED},
        {"-WRONGPASS invalid\r\n", FTA_REDIS_DENIED},
        {"-NOPERM no\r\n", FTA_REDIS_DENIED},
        {"-MOVED 1 h:1\r\n", FTA_REDIS_MOVED},
        {"-ASK 1 h:1\r\n", FTA_REDIS_ASK},
        {"-CLUSTERDOWN Hash slot not served\r\n", FTA_REDIS_CLUSTER_DOWN},
        {"-TRYAGAIN Multiple keys\r\n", FTA_REDIS_TRY_AGAIN},
        {"-MASTERDOWN Link with MASTER is down\r\n", FTA_REDIS_LOADING},
        {"-BUSY Redis is busy\r\n", FTA_REDIS_BUSY},
        {"-MISCONF Errors writing\r\n", FTA_REDIS_FULL},
        {"-ERR unknown command\r\n", FTA_REDIS_FAILED},
        {"-LOADINGX\r\n", FTA_REDIS_FAILED},
        {"-\r\n", FTA_REDIS_FAILED},
        {"-WRONGTYPE Operation against a key\r\n", FTA_REDIS_REFUSED},
        {"-ERR bad script: abc, on @user_script:1.\r\n", FTA_REDIS_REFUSED},
        /* What Redis 6 and 7 say when the user may not do what the script
         * does: every request meets it. */
        {"-ERR The user executing the script can't run this command or "
         "subcommand script: abc, on @user_script:2.\r\n",
         FTA_REDIS_DENIED},
        {"-ERR ACL failure in script: User app has no permissions to run the "
         "'time' command script: abc, on @user_script:2.\r\n",
         FTA_REDIS_DENIED},
        {"+READONLY is only text here\r\n", FTA_OK},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        fta_redis_reply *r = reply_of(cases[i].line);
        CHECK(fta_redis_reply_status(r) == cases[i].status);
        fta_redis_reply_free(r);
    }
}

static void
test_redirections(void)
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
test_address_of_a_primary(void)
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
test_slots(void)
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
test_malformed_slots(void)
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

/* A topology that is too large is the server's fault, not want of memory. */
static void
test_more_nodes_than_any_cluster_has(void)
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
test_slots_of_keys(void)
{
    /* As redis-cli says: CLUSTER KEYSLOT. */
    CHECK(fta_redis_slot_of("123456789", 9) == 0x31C3 % 16384);
    CHECK(fta_redis_slot_of("foo", 3) == 12182);
    CHECK(fta_redis_slot_of("", 0) == 0);
}

int
main(void)
{
    test_every_type_in_pieces_of_every_size();
    test_every_allocation_failing();
    test_several_replies_and_what_is_left();
    test_malformed_and_oversized();
    test_nested_announcements_share_one_bound();
    test_depth_is_bounded();
    test_types_of_resp3_are_malformed();
    test_endless_bulk();
    test_errors_by_their_first_word();
    test_redirections();
    test_address_of_a_primary();
    test_slots();
    test_malformed_slots();
    test_a_primary_without_a_name_owns_nothing();
    test_more_nodes_than_any_cluster_has();
    test_slots_of_keys();
    return check_report("test_redis_reply");
}
