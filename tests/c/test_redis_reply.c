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
test_every_type_is_read_in_pieces_of_any_size(void)
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
test_a_failing_allocation_is_no_memory(void)
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
test_replies_that_arrive_together_are_read_one_by_one(void)
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
test_malformed_and_too_large_replies_are_malformed(void)
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
test_nested_declared_lengths_share_one_bound(void)
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
test_a_text_without_end_is_malformed(void)
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
test_the_first_word_of_an_error_decides_its_status(void)
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

int
main(void)
{
    test_every_type_is_read_in_pieces_of_any_size();
    test_a_failing_allocation_is_no_memory();
    test_replies_that_arrive_together_are_read_one_by_one();
    test_malformed_and_too_large_replies_are_malformed();
    test_nested_declared_lengths_share_one_bound();
    test_depth_is_bounded();
    test_types_of_resp3_are_malformed();
    test_a_text_without_end_is_malformed();
    test_the_first_word_of_an_error_decides_its_status();
    return check_report("test_redis_reply");
}
