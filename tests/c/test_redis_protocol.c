/* Every state of a connection, with every kind of reply. */
#include "redis/protocol.h"

#include "base/clock.h"
#include "check.h"
#include "fake_redis.h"
#include "redis/client.h"

#define SECOND ((int64_t)1000000)

/* A working server, except for one request, which gets this reply. */
typedef struct scripted {
    const char *request; /* the first word of that request */
    const char *reply;
    unsigned port;
    atomic_int times; /* how often it was sent */
} scripted;

static void
add_right_reply(const scripted *s, const char *word, char *answer)
{
    if (strcmp(word, "ROLE") == 0) {
        strcat(answer, "*1\r\n$6\r\nmaster\r\n");
    } else if (strcmp(word, "SENTINEL") == 0) {
        char port[8];
        int length = snprintf(port, sizeof(port), "%u", s->port);
        sprintf(answer + strlen(answer),
                "*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%s\r\n", length, port);
    } else if (strcmp(word, "CLUSTER") == 0) {
        sprintf(answer + strlen(answer),
                "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$0\r\n\r\n:%u\r\n", s->port);
    } else if (strcmp(word, "GET") == 0) {
        strcat(answer, ":7\r\n");
    } else {
        strcat(answer, "+OK\r\n");
    }
}

static bool
replies_as_scripted(fake_redis *self, const char *request, char *answer)
{
    static const char *const words[] = {"AUTH",    "SELECT", "ROLE", "SENTINEL",
                                        "CLUSTER", "ASKING", "GET"};
    scripted *s = self->context;
    /* The words of a request are in the order of this list. */
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        char line[20];
        snprintf(line, sizeof(line), "\r\n%s\r\n", words[i]);
        /* SENTINEL GET-MASTER-ADDR-BY-NAME holds no line that is GET. */
        if (strstr(request, line) == NULL) {
            continue;
        }
        bool here = strcmp(words[i], s->request) == 0;
        if (strcmp(s->request, "ASKING") == 0 && strcmp(words[i], "GET") == 0 &&
            strstr(request, "ASKING") == NULL) {
            sprintf(answer + strlen(answer), "-ASK 1 :%u\r\n", s->port);
        } else if (here) {
            atomic_fetch_add(&s->times, 1);
            strcat(answer, s->reply);
        } else {
            add_right_reply(s, words[i], answer);
        }
    }
    return true;
}

/* The status of one call against such a server, and whether a second call
 * needed another connection. */
static fta_status
status_of(const char *url_format, const char *request, const char *reply,
          bool *is_closed)
{
    static const char *const argv[] = {"GET", "key"};
    static const size_t lengths[] = {3, 3};
    static const fta_redis_command command = {2, argv, lengths};
    scripted s = {.request = request, .reply = reply};
    fake_redis server;
    fake_redis_start(&server, replies_as_scripted, &s);
    s.port = server.port;
    char text[300];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    int length = snprintf(text, sizeof(text), url_format, server.port);
#pragma GCC diagnostic pop
    fta_redis_url *url;
    fta_redis_client *client = NULL;
    fta_redis_problem problem;
    const char *wrong;
    fake_redis_require(
        fta_redis_url_parse(text, (size_t)length, &url, &wrong) == FTA_OK &&
        fta_redis_client_new(url, &client, &problem) == FTA_OK);
    fta_status statuses[2];
    long connections[2];
    for (int i = 0; i < 2; i++) {
        fta_redis_reply *got;
        const fta_redis_sending sending = {
            .slot = 1, .deadline = fta_clock_monotonic_us() + SECOND};
        statuses[i] =
            fta_redis_client_call(client, &command, &sending, &got, &problem);
        CHECK((statuses[i] == FTA_OK) == (got != NULL));
        connections[i] = atomic_load(&server.connections);
        fta_redis_reply_free(got);
    }
    CHECK(statuses[0] == statuses[1]);
    CHECK(atomic_load(&s.times) > 0);
    *is_closed = connections[1] > connections[0];
    fta_redis_client_free(client);
    fake_redis_stop(&server);
    return statuses[0];
}

typedef struct state_case {
    const char *name;
    const char *url;
    const char *request;
    const char *right;
} state_case;

static const state_case states[] = {
    {"AUTH", "redis://u:p@127.0.0.1:%u", "AUTH", "+OK\r\n"},
    {"AUTH of a sentinel",
     "redis+sentinel://127.0.0.1:%u/s?sentinel_password=p", "AUTH", "+OK\r\n"},
    {"SELECT", "redis://127.0.0.1:%u/3", "SELECT", "+OK\r\n"},
    {"ROLE", "redis+sentinel://127.0.0.1:%u/s", "ROLE",
     "*2\r\n$6\r\nmaster\r\n*0\r\n"},
    {"SENTINEL", "redis+sentinel://127.0.0.1:%u/s", "SENTINEL", NULL},
    {"CLUSTER SLOTS", "redis://127.0.0.1:%u?cluster=true", "CLUSTER", NULL},
    {"AUTH in a cluster", "redis://:p@127.0.0.1:%u?cluster=true", "AUTH",
     "+OK\r\n"},
    {"ASKING", "redis://127.0.0.1:%u?cluster=true", "ASKING", "+OK\r\n"},
};

/* What no state before the command accepts: redirects, errors about keys and
 * scripts, other types, RESP3. */
static const char *const unexpected[] = {
    "-MOVED 1 h:1\r\n",
    "-MOVED 1 127.0.0.1:1\r\n",
    "-MOVED\r\n",
    "-ASK 1 h:1\r\n",
    "-ASK\r\n",
    "-TRYAGAIN x\r\n",
    "-NOSCRIPT x\r\n",
    "-READONLY x\r\n",
    "-OOM x\r\n",
    "-WRONGTYPE x\r\n",
    "-CROSSSLOT x\r\n",
    "-ERR x on @user_script:1\r\n",
    ":1\r\n",
    "+QUEUED\r\n",
    "$2\r\nno\r\n",
    "*1\r\n:1\r\n",
    "*1\r\n*-1\r\n",
    "%1\r\n+a\r\n+b\r\n",
    ">2\r\n+message\r\n+x\r\n",
    "~1\r\n+OK\r\n",
    "#t\r\n",
    "$-2\r\n",
};

static void
test_a_reply_that_a_state_does_not_expect_ends_the_connection(void)
{
    for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++) {
        for (size_t j = 0; j < sizeof(unexpected) / sizeof(*unexpected); j++) {
            bool is_closed;
            const char *reply = unexpected[j];
            fta_status status =
                status_of(states[i].url, states[i].request, reply, &is_closed);
            bool expected = status == FTA_REDIS_MALFORMED;
            if (!expected || !is_closed) {
                fprintf(stderr, "%s, %s: %s\n", states[i].name, reply,
                        fta_status_name(status));
            }
            CHECK(expected && is_closed);
        }
    }
}

static void
test_errors_that_every_request_may_meet_keep_their_meaning(void)
{
    static const struct {
        const char *reply;
        fta_status status;
    } cases[] = {
        {"-WRONGPASS x\r\n", FTA_REDIS_DENIED},
        {"-NOAUTH x\r\n", FTA_REDIS_DENIED},
        {"-NOPERM x\r\n", FTA_REDIS_DENIED},
        {"-LOADING x\r\n", FTA_REDIS_LOADING},
        {"-BUSY x\r\n", FTA_REDIS_BUSY},
        {"-CLUSTERDOWN x\r\n", FTA_REDIS_CLUSTER_DOWN},
        {"-ERR x\r\n", FTA_REDIS_FAILED},
    };
    for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++) {
        for (size_t j = 0; j < sizeof(cases) / sizeof(*cases); j++) {
            bool is_closed;
            CHECK(status_of(states[i].url, states[i].request, cases[j].reply,
                            &is_closed) == cases[j].status);
            CHECK(is_closed);
        }
    }
}

static void
test_the_right_reply_is_accepted_in_each_state(void)
{
    for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++) {
        bool is_closed;
        if (states[i].right != NULL) {
            CHECK(status_of(states[i].url, states[i].request, states[i].right,
                            &is_closed) == FTA_OK);
            CHECK(!is_closed || strstr(states[i].url, "sentinel") != NULL);
        }
    }
    /* Those whose right reply names the server's port. */
    bool is_closed;
    CHECK(status_of("redis://127.0.0.1:%u?cluster=true", "GET", ":7\r\n",
                    &is_closed) == FTA_OK &&
          !is_closed);
    CHECK(status_of("redis+sentinel://127.0.0.1:%u/s", "GET", ":7\r\n",
                    &is_closed) == FTA_OK &&
          !is_closed);
    CHECK(status_of("redis+sentinel://127.0.0.1:%u/s", "SENTINEL", "*-1\r\n",
                    &is_closed) == FTA_REDIS_NO_PRIMARY);
    CHECK(status_of("redis+sentinel://127.0.0.1:%u/s", "ROLE",
                    "*1\r\n$5\r\nslave\r\n",
                    &is_closed) == FTA_REDIS_READ_ONLY);
}

/* Outside of a cluster it is an error like others. In a cluster it must be
 * well-formed. */
static void
test_a_redirect_is_followed_in_a_cluster_and_for_the_command_alone(void)
{
    static const char plain[] = "redis://127.0.0.1:%u";
    static const char cluster[] = "redis://127.0.0.1:%u?cluster=true";
    bool is_closed;
    CHECK(status_of(plain, "GET", "-MOVED 1 h:1\r\n", &is_closed) ==
          FTA_REDIS_MOVED);
    CHECK(status_of(plain, "GET", "-ASK 1 h:1\r\n", &is_closed) ==
          FTA_REDIS_ASK);
    CHECK(!is_closed);
    static const char *const broken[] = {
        "-MOVED\r\n",           "-MOVED 1\r\n",          "-MOVED 1 h\r\n",
        "-MOVED 99999 h:1\r\n", "-MOVED 1 h:0\r\n",      "-MOVED 1 a b:1\r\n",
        "-ASK 1 h:65536\r\n",   "-ASK 1 http://h:1\r\n", "-ASK 1 h\t:1\r\n"};
    for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++) {
        CHECK(status_of(cluster, "GET", broken[i], &is_closed) ==
              FTA_REDIS_MALFORMED);
        CHECK(is_closed);
    }
    /* A well-formed one is followed, here to a port where nothing listens. */
    CHECK(status_of(cluster, "GET", "-MOVED 1 127.0.0.1:1\r\n", &is_closed) ==
          FTA_REDIS_UNREACHABLE);
}

static void
test_more_replies_than_requests_end_the_connection(void)
{
    bool is_closed;
    CHECK(status_of("redis://:p@127.0.0.1:%u", "AUTH", "+OK\r\n+OK\r\n",
                    &is_closed) == FTA_REDIS_MALFORMED);
    CHECK(is_closed);
    CHECK(status_of("redis://127.0.0.1:%u", "GET", ":7\r\n:7\r\n",
                    &is_closed) == FTA_REDIS_MALFORMED);
    CHECK(is_closed);
}

/* --- A peer that never stops sending -------------------------------------- */

static long bytes_received;

static fta_status
open_endless(fta_redis_socket *s, const fta_redis_host *host, const char *path,
             fta_redis_problem *problem)
{
    (void)host, (void)path, (void)problem;
    atomic_store(&s->fd, 0);
    return FTA_OK;
}

static ssize_t
send_endless(fta_redis_socket *s, const char *bytes, size_t length)
{
    (void)s, (void)bytes;
    return (ssize_t)length;
}

/* One byte with each call. */
static ssize_t
receive_endless(fta_redis_socket *s, char *bytes, size_t size)
{
    static const char start[] = "$1000000\r\n";
    (void)s, (void)size;
    long n = bytes_received++;
    *bytes = n < (long)sizeof(start) - 1 ? start[n] : 'x';
    fta_clock_shift(0, SECOND / 10); /* far longer than the test takes */
    return 1;
}

static fta_status
wait_endless(fta_redis_socket *s, short events)
{
    (void)s, (void)events;
    return FTA_OK;
}

static bool
endless_is_quiet(const fta_redis_socket *s)
{
    (void)s;
    return true;
}

static void
close_endless(fta_redis_socket *s)
{
    atomic_store(&s->fd, -1);
}

static void
pause_not(int milliseconds)
{
    (void)milliseconds;
}

static void
test_bytes_without_end_do_not_keep_a_call_beyond_its_deadline(void)
{
    static const fta_redis_transport endless = {
        open_endless,     send_endless,  receive_endless, wait_endless,
        endless_is_quiet, close_endless, pause_not};
    static const char *const argv[] = {"GET"};
    static const size_t lengths[] = {3};
    static const fta_redis_command command = {1, argv, lengths};
    static const char text[] = "redis://h";
    fta_redis_url *url;
    fta_redis_client *client = NULL;
    fta_redis_problem problem;
    fta_redis_reply *reply;
    const char *wrong;
    fake_redis_require(
        fta_redis_url_parse(text, sizeof(text) - 1, &url, &wrong) == FTA_OK &&
        fta_redis_client_new(url, &client, &problem) == FTA_OK);
    fta_redis_client_set_transport(client, &endless);
    int64_t started = fta_clock_monotonic_us();
    const fta_redis_sending sending = {.slot = 1,
                                       .deadline = started + 50 * SECOND};
    CHECK(fta_redis_client_call(client, &command, &sending, &reply, &problem) ==
          FTA_REDIS_TIMEOUT);
    /* 500 bytes until the deadline, and the 64 that may be late. */
    CHECK(bytes_received > 300 && bytes_received < 700);
    CHECK(fta_clock_monotonic_us() - started < 80 * SECOND);
    fta_redis_client_free(client);
    fta_clock_reset();
}

int
main(void)
{
    test_a_reply_that_a_state_does_not_expect_ends_the_connection();
    test_errors_that_every_request_may_meet_keep_their_meaning();
    test_the_right_reply_is_accepted_in_each_state();
    test_a_redirect_is_followed_in_a_cluster_and_for_the_command_alone();
    test_more_replies_than_requests_end_the_connection();
    test_bytes_without_end_do_not_keep_a_call_beyond_its_deadline();
    return check_report("test_redis_protocol");
}
