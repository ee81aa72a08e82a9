#include "redis/client.h"

#include <stdarg.h>

#include "base/clock.h"
#include "check.h"
#include "child.h"
#include "failing_alloc.h"
#include "fake_redis.h"

#define SECOND ((int64_t)1000000)

static fta_redis_client *new_client(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

static fta_redis_client *
new_client(const char *format, ...)
{
    char text[300];
    va_list values;
    va_start(values, format);
    int length = vsnprintf(text, sizeof(text), format, values);
    va_end(values);
    fta_redis_url *url;
    fta_redis_client *client = NULL;
    fta_redis_problem problem;
    const char *wrong;
    fake_redis_require(
        fta_redis_url_parse(text, (size_t)length, &url, &wrong) == FTA_OK &&
        fta_redis_client_new(url, &client, &problem) == FTA_OK);
    return client;
}

static fta_status
call(fta_redis_client *client, int64_t timeout_us, fta_redis_reply **reply,
     fta_redis_problem *problem)
{
    static const char *const argv[] = {"GET", "key"};
    static const size_t lengths[] = {3, 3};
    static const fta_redis_command command = {2, argv, lengths};
    const fta_redis_sending sending = {
        .slot = 100,
        .deadline = fta_clock_monotonic_us() + timeout_us,
        .resend = FTA_REDIS_RESEND_CLOSED,
    };
    return fta_redis_client_call(client, &command, &sending, reply, problem);
}

/* The integer that comes back, or minus the status. */
static int64_t
ask(fta_redis_client *client, int64_t timeout_us)
{
    fta_redis_reply *reply;
    fta_redis_problem problem;
    fta_status status = call(client, timeout_us, &reply, &problem);
    int64_t number = -(int64_t)status;
    CHECK((status == FTA_OK) == (reply != NULL));
    if (reply != NULL) {
        number = reply->type == FTA_REDIS_INTEGER ? reply->integer : -1000;
        fta_redis_reply_free(reply);
    }
    return number;
}

static bool
replies_seven(fake_redis *self, const char *request, char *answer)
{
    (void)self;
    CHECK(strcmp(request, "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n") == 0);
    strcpy(answer, ":7\r\n");
    return true;
}

static void
test_calls_one_after_another_share_one_connection(void)
{
    fake_redis server;
    fake_redis_start(&server, replies_seven, NULL);
    fta_redis_client *client = new_client("redis://127.0.0.1:%u", server.port);
    for (int i = 0; i < 10; i++) {
        CHECK(ask(client, SECOND) == 7);
    }
    CHECK(atomic_load(&server.connections) == 1);
    fta_redis_client_disconnect(client);
    CHECK(ask(client, SECOND) == 7);
    CHECK(atomic_load(&server.connections) == 2);
    fta_redis_client_free(client);
    fake_redis_stop(&server);
}

static void *
ask_often(void *argument)
{
    for (int i = 0; i < 100; i++) {
        CHECK(ask(argument, 5 * SECOND) == 7);
    }
    return NULL;
}

static void
test_threads_share_few_connections(void)
{
    fake_redis server;
    fake_redis_start(&server, replies_seven, NULL);
    fta_redis_client *client =
        new_client("redis://localhost:%u?max_connections=3", server.port);
    pthread_t threads[8];
    for (size_t i = 0; i < 8; i++) {
        fake_redis_require(
            pthread_create(&threads[i], NULL, ask_often, client) == 0);
    }
    for (size_t i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK(atomic_load(&server.requests) == 800);
    CHECK(atomic_load(&server.connections) <= 3);
    fta_redis_client_free(client);
    fake_redis_stop(&server);
}

static bool
closes_every_second_time(fake_redis *self, const char *request, char *answer)
{
    return atomic_load(&self->requests) % 2 == 0 &&
           replies_seven(self, request, answer);
}

/* A server that closed an idle connection is asked again. A server that closes
 * a new connection is not. */
static void
test_only_an_old_connection_is_retried(void)
{
    fake_redis server;
    fake_redis_start(&server, closes_every_second_time, NULL);
    fta_redis_client *client = new_client("redis://127.0.0.1:%u", server.port);
    CHECK(ask(client, SECOND) == -FTA_REDIS_CLOSED); /* request 1 */
    CHECK(ask(client, SECOND) == 7);                 /* 2 */
    CHECK(ask(client, SECOND) == 7);                 /* 3: closed; 4 */
    CHECK(atomic_load(&server.requests) == 4);
    fta_redis_client_free(client);
    fake_redis_stop(&server);
}

static fta_status
send_by(fta_redis_client *client, fta_redis_resend resend)
{
    static const char *const argv[] = {"GET", "key"};
    static const size_t lengths[] = {3, 3};
    static const fta_redis_command command = {2, argv, lengths};
    const fta_redis_sending sending = {
        .slot = 100,
        .deadline = fta_clock_monotonic_us() + SECOND,
        .resend = resend,
    };
    fta_redis_reply *reply;
    fta_redis_problem problem;
    fta_status status =
        fta_redis_client_call(client, &command, &sending, &reply, &problem);
    fta_redis_reply_free(reply);
    return status;
}

/* What a server closes a connection on, it may have carried out. */
static void
test_a_command_is_sent_again_only_where_it_may_be(void)
{
    fake_redis server;
    fake_redis_start(&server, closes_every_second_time, NULL);
    fta_redis_client *client = new_client("redis://127.0.0.1:%u", server.port);
    CHECK(send_by(client, FTA_REDIS_RESEND_NEVER) == FTA_REDIS_POOL_EMPTY);
    CHECK(atomic_load(&server.requests) == 0);
    CHECK(send_by(client, FTA_REDIS_RESEND_REFUSED) ==
          FTA_REDIS_CLOSED);                                    /* 1 */
    CHECK(send_by(client, FTA_REDIS_RESEND_REFUSED) == FTA_OK); /* 2 */
    CHECK(send_by(client, FTA_REDIS_RESEND_REFUSED) ==
          FTA_REDIS_CLOSED); /* 3 */
    CHECK(atomic_load(&server.requests) == 3);
    CHECK(send_by(client, FTA_REDIS_RESEND_REFUSED) == FTA_OK);         /* 4 */
    CHECK(send_by(client, FTA_REDIS_RESEND_NEVER) == FTA_REDIS_CLOSED); /* 5 */
    CHECK(atomic_load(&server.requests) == 5);
    CHECK(send_by(client, FTA_REDIS_RESEND_REFUSED) == FTA_OK); /* 6 */
    CHECK(send_by(client, FTA_REDIS_RESEND_CLOSED) == FTA_OK);  /* 7 and 8 */
    CHECK(atomic_load(&server.requests) == 8);
    fta_redis_client_free(client);
    fake_redis_stop(&server);
}

static bool
replies_nothing(fake_redis *self, const char *request, char *answer)
{
    (void)self, (void)request, (void)answer;
    return true;
}

static void
test_a_call_without_a_reply_ends_at_its_deadline(void)
{
    fake_redis server;
    fake_redis_start(&server, replies_nothing, NULL);
    fta_redis_client *client =
        new_client("redis://127.0.0.1:%u?max_connections=1", server.port);
    for (int i = 0; i < 3; i++) {
        int64_t started = fta_clock_monotonic_us();
        CHECK(ask(client, 30000) == -FTA_REDIS_TIMEOUT);
        int64_t took = fta_clock_monotonic_us() - started;
        CHECK(took >= 30000 && took < 30000000);
    }
    CHECK(atomic_load(&server.connections) == 3);
    fta_redis_client_free(client);
    fake_redis_stop(&server);
}

static bool
starts(fake_redis *self, const char *request, char *answer)
{
    (void)self;
    if (strstr(request, "AUTH") != NULL) {
        CHECK(strstr(request, "$3\r\nann\r\n$3\r\np@w\r\n") != NULL);
        CHECK(strstr(request, "SELECT\r\n$1\r\n5\r\n") != NULL);
        strcpy(answer, "+OK\r\n+OK\r\n");
    } else {
        strcpy(answer, ":7\r\n");
    }
    return true;
}

static void
test_a_new_connection_starts_in_one_round_trip(void)
{
    fake_redis server;
    fake_redis_start(&server, starts, NULL);
    fta_redis_client *client =
        new_client("redis://ann:p%%40w@127.0.0.1:%u/5", server.port);
    CHECK(ask(client, SECOND) == 7);
    CHECK(ask(client, SECOND) == 7);
    CHECK(atomic_load(&server.requests) == 3);
    fta_redis_client_free(client);
    fake_redis_stop(&server);
}

/* --- Topology ------------------------------------------------------------- */

typedef struct pair {
    fake_redis first, second;
    atomic_int phase;
} pair;

static bool
answers_as_first_node(fake_redis *self, const char *request, char *answer)
{
    pair *nodes = self->context;
    if (strstr(request, "SLOTS") != NULL) {
        snprintf(answer, FAKE_REDIS_ANSWER,
                 "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n"
                 ":%u\r\n",
                 nodes->first.port);
        return true;
    }
    switch (atomic_load(&nodes->phase)) {
    case 0:
        snprintf(answer, FAKE_REDIS_ANSWER, "-ASK 100 127.0.0.1:%u\r\n",
                 nodes->second.port);
        return true;
    case 1:
        snprintf(answer, FAKE_REDIS_ANSWER, "-MOVED 100 :%u\r\n",
                 nodes->second.port);
        return true;
    default:
        return strcpy(answer, ":1\r\n") != NULL;
    }
}

static bool
answers_as_second_node(fake_redis *self, const char *request, char *answer)
{
    pair *nodes = self->context;
    bool asking = strstr(request, "ASKING") != NULL;
    CHECK(asking == (atomic_load(&nodes->phase) == 0));
    strcpy(answer, asking ? "+OK\r\n:2\r\n" : ":2\r\n");
    return atomic_load(&nodes->phase) != 2;
}

static void
test_ask_is_followed_and_moved_is_also_remembered(void)
{
    pair nodes = {.phase = 0};
    fake_redis_start(&nodes.first, answers_as_first_node, &nodes);
    fake_redis_start(&nodes.second, answers_as_second_node, &nodes);
    nodes.first.context = nodes.second.context = &nodes;
    fta_redis_client *client =
        new_client("redis://127.0.0.1:%u?cluster=true", nodes.first.port);
    /* ASK is followed and not remembered. */
    CHECK(ask(client, SECOND) == 2);
    CHECK(ask(client, SECOND) == 2);
    CHECK(atomic_load(&nodes.first.requests) == 3);
    /* MOVED is remembered. */
    atomic_store(&nodes.phase, 1);
    CHECK(ask(client, SECOND) == 2);
    CHECK(ask(client, SECOND) == 2);
    CHECK(atomic_load(&nodes.first.requests) == 4);
    /* The second node is gone: the slots are learnt anew. */
    atomic_store(&nodes.phase, 2);
    CHECK(ask(client, SECOND) == 1);
    fta_redis_client_free(client);
    fake_redis_stop(&nodes.first);
    fake_redis_stop(&nodes.second);
}

static bool
redirects_to_itself(fake_redis *self, const char *request, char *answer)
{
    if (strstr(request, "SLOTS") != NULL) {
        snprintf(answer, FAKE_REDIS_ANSWER,
                 "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$-1\r\n:%u\r\n",
                 self->port);
    } else {
        snprintf(answer, FAKE_REDIS_ANSWER, "-MOVED 100 127.0.0.1:%u\r\n",
                 self->port);
    }
    return true;
}

static void
test_redirects_in_a_circle_end(void)
{
    fake_redis server;
    fake_redis_start(&server, redirects_to_itself, NULL);
    fta_redis_client *client =
        new_client("redis://127.0.0.1:%u?cluster=true", server.port);
    CHECK(ask(client, SECOND) == -FTA_REDIS_MOVED);
    CHECK(atomic_load(&server.requests) == 1 + 16);
    fta_redis_client_free(client);
    fake_redis_stop(&server);
}

static bool
answers_as_sentinel(fake_redis *self, const char *request, char *answer)
{
    pair *nodes = self->context;
    CHECK(strstr(request, "GET-MASTER-ADDR-BY-NAME\r\n$4\r\nmine") != NULL);
    char port[8];
    int length = snprintf(port, sizeof(port), "%u", nodes->second.port);
    snprintf(answer, FAKE_REDIS_ANSWER,
             "*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%s\r\n", length, port);
    return true;
}

static bool
answers_as_node(fake_redis *self, const char *request, char *answer)
{
    pair *nodes = self->context;
    if (strstr(request, "ROLE") != NULL) {
        bool primary = atomic_load(&nodes->phase) != 0;
        strcpy(answer,
               primary ? "*1\r\n$6\r\nmaster\r\n" : "*1\r\n$5\r\nslave\r\n");
        return true;
    }
    if (atomic_load(&nodes->phase) == 2) {
        return strcpy(answer, "-READONLY You can't\r\n") != NULL;
    }
    return strcpy(answer, ":3\r\n") != NULL;
}

static void
test_the_primary_is_asked_for_again_when_it_has_changed(void)
{
    pair nodes = {.phase = 0};
    fake_redis_start(&nodes.first, answers_as_sentinel, &nodes);
    fake_redis_start(&nodes.second, answers_as_node, &nodes);
    fta_redis_client *client = new_client(
        "redis+sentinel://127.0.0.1:1,127.0.0.1:%u/mine", nodes.first.port);
    /* The node that the sentinel names is a replica still. */
    CHECK(ask(client, SECOND) == -FTA_REDIS_READ_ONLY);
    atomic_store(&nodes.phase, 1);
    CHECK(ask(client, SECOND) == 3);
    CHECK(ask(client, SECOND) == 3);
    CHECK(atomic_load(&nodes.first.requests) == 2);
    /* The primary became a replica: retried once, on a new connection. */
    atomic_store(&nodes.phase, 2);
    CHECK(ask(client, SECOND) == -FTA_REDIS_READ_ONLY);
    CHECK(atomic_load(&nodes.first.requests) == 3);
    fta_redis_client_free(client);
    fake_redis_stop(&nodes.first);
    fake_redis_stop(&nodes.second);
}

typedef struct said {
    const char *text;
    int turns; /* after which the answer is a number */
} said;

static bool
replies_for_a_while(fake_redis *self, const char *request, char *answer)
{
    said *s = self->context;
    (void)request;
    strcpy(answer, s->turns-- > 0 ? s->text : ":4\r\n");
    return true;
}

static void
test_tryagain_is_repeated_a_bounded_number_of_times(void)
{
    said s = {"-TRYAGAIN Multiple keys\r\n", 3};
    fake_redis server;
    fake_redis_start(&server, replies_for_a_while, &s);
    fta_redis_client *client = new_client("redis://127.0.0.1:%u", server.port);
    CHECK(ask(client, SECOND) == 4);
    CHECK(atomic_load(&server.requests) == 4);
    fta_redis_client_free(client);
    fake_redis_stop(&server);
    /* The attempts are bounded, and the connection is kept. */
    s.turns = 1000000;
    fake_redis_start(&server, replies_for_a_while, &s);
    client = new_client("redis://127.0.0.1:%u", server.port);
    CHECK(ask(client, SECOND) == -FTA_REDIS_TRY_AGAIN);
    CHECK(ask(client, SECOND) == -FTA_REDIS_TRY_AGAIN);
    CHECK(atomic_load(&server.requests) == 32);
    CHECK(atomic_load(&server.connections) == 1);
    fta_redis_client_free(client);
    fake_redis_stop(&server);
}

static void
test_a_start_that_fails_has_the_status_of_its_error(void)
{
    static const struct {
        const char *url, *answer;
        fta_status status;
    } cases[] = {
        {"redis://:p@127.0.0.1:%u", "-WRONGPASS x\r\n", FTA_REDIS_DENIED},
        {"redis://127.0.0.1:%u/99", "-ERR DB index is out of range\r\n",
         FTA_REDIS_FAILED},
        {"redis+sentinel://127.0.0.1:%u/s?sentinel_username=u"
         "&sentinel_password=p",
         "-WRONGPASS x\r\n-NOAUTH x\r\n", FTA_REDIS_DENIED},
        {"redis+sentinel://127.0.0.1:%u/s?sentinel_password=p",
         "+OK\r\n*-1\r\n", FTA_REDIS_NO_PRIMARY},
        {"redis://127.0.0.1:%u?cluster=true", "*0\r\n", FTA_REDIS_CLUSTER_DOWN},
        {"redis://127.0.0.1:%u?cluster=true", "+OK\r\n", FTA_REDIS_MALFORMED},
        {"redis://127.0.0.1:%u?cluster=true",
         "-ERR This instance has cluster support disabled\r\n",
         FTA_REDIS_FAILED},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        said s = {cases[i].answer, 1000000};
        fake_redis server;
        fake_redis_start(&server, replies_for_a_while, &s);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        fta_redis_client *client = new_client(cases[i].url, server.port);
#pragma GCC diagnostic pop
        CHECK(ask(client, SECOND) == -(int64_t)cases[i].status);
        fta_redis_client_free(client);
        fake_redis_stop(&server);
    }
}

static void *
ask_once(void *argument)
{
    CHECK(ask(argument, 2000000) == -FTA_REDIS_TIMEOUT);
    return NULL;
}

static void
test_a_call_waits_for_a_connection_until_its_deadline(void)
{
    fake_redis server;
    fake_redis_start(&server, replies_nothing, NULL);
    fta_redis_client *client =
        new_client("redis://127.0.0.1:%u?max_connections=1", server.port);
    pthread_t thread;
    fake_redis_require(pthread_create(&thread, NULL, ask_once, client) == 0);
    while (atomic_load(&server.requests) == 0) {
        usleep(1000);
    }
    CHECK(ask(client, 20000) == -FTA_REDIS_POOL_EMPTY);
    pthread_join(thread, NULL);
    fta_redis_client_free(client);
    fake_redis_stop(&server);
}

static void
test_a_host_that_does_not_listen_is_unreachable(void)
{
    static const char *const urls[] = {
        "unix:///no/such/socket", "redis://127.0.0.1:1",
        "redis+sentinel://127.0.0.1:1/s",
        "redis://127.0.0.1:1,127.0.0.1:2?cluster=true"};
    for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++) {
        fta_redis_client *client = new_client("%s", urls[i]);
        CHECK(ask(client, SECOND) == -FTA_REDIS_UNREACHABLE);
        fta_redis_client_free(client);
    }
    char path[200];
    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    fta_redis_client *client = new_client("unix:///%s", path);
    CHECK(ask(client, SECOND) == -FTA_REDIS_UNREACHABLE);
    fta_redis_client_free(client);
}

/* --- Memory and forks ----------------------------------------------------- */

/* Everything from the text of the URL to the reply, with each allocation of
 * the core failing in turn. */
static void
test_a_failing_allocation_leaves_a_client_that_works(void)
{
    pair nodes = {.phase = 1};
    fake_redis_start(&nodes.first, answers_as_first_node, &nodes);
    fake_redis_start(&nodes.second, answers_as_second_node, &nodes);
    char text[100];
    int length =
        snprintf(text, sizeof(text), "redis://127.0.0.1:%u?cluster=true",
                 nodes.first.port);
    long n = 0;
    for (bool failed = true; failed; n++) {
        fta_redis_url *url = NULL;
        fta_redis_client *client = NULL;
        fta_redis_reply *reply = NULL;
        fta_redis_problem problem;
        const char *wrong;
        failing_alloc_start(n);
        fta_status status =
            fta_redis_url_parse(text, (size_t)length, &url, &wrong);
        if (status == FTA_OK) {
            status = fta_redis_client_new(url, &client, &problem);
            if (status != FTA_OK) {
                fta_redis_url_free(url);
            }
        }
        if (status == FTA_OK) {
            status = call(client, SECOND, &reply, &problem);
        }
        failed = failing_alloc_stop();
        /* Without memory a moved slot is not remembered, which fails no call.
         */
        CHECK(failed ? status == FTA_NO_MEMORY || status == FTA_OK
                     : status == FTA_OK);
        CHECK((status == FTA_OK) == (reply != NULL));
        fta_redis_reply_free(reply);
        if (client != NULL) {
            /* The next call works. */
            CHECK(ask(client, SECOND) == 2);
        }
        fta_redis_client_free(client);
    }
    CHECK(n > 20);
    fake_redis_stop(&nodes.first);
    fake_redis_stop(&nodes.second);
}

static void
test_a_child_opens_connections_of_its_own(void)
{
    fake_redis server;
    fake_redis_start(&server, replies_seven, NULL);
    fta_redis_client *client = new_client("redis://127.0.0.1:%u", server.port);
    CHECK(ask(client, SECOND) == 7);
    pid_t child = fork();
    if (child == 0) {
        bool good = ask(client, SECOND) == 7 && ask(client, SECOND) == 7;
        fta_redis_client_free(client);
        child_leave(good);
    }
    CHECK(child_was_good(child));
    CHECK(ask(client, SECOND) == 7);
    CHECK(atomic_load(&server.connections) == 2);
    /* A child that never calls closes its copies and sends nothing. */
    child = fork();
    if (child == 0) {
        fta_redis_client_free(client);
        child_leave(true);
    }
    CHECK(child_was_good(child));
    CHECK(ask(client, SECOND) == 7);
    CHECK(atomic_load(&server.connections) == 2);
    fta_redis_client_free(client);
    fake_redis_stop(&server);
}

int
main(void)
{
    /* First, while no lookup of a later test can free memory. */
    test_a_failing_allocation_leaves_a_client_that_works();
    test_calls_one_after_another_share_one_connection();
    test_threads_share_few_connections();
    test_only_an_old_connection_is_retried();
    test_a_command_is_sent_again_only_where_it_may_be();
    test_a_call_without_a_reply_ends_at_its_deadline();
    test_a_new_connection_starts_in_one_round_trip();
    test_ask_is_followed_and_moved_is_also_remembered();
    test_redirects_in_a_circle_end();
    test_the_primary_is_asked_for_again_when_it_has_changed();
    test_tryagain_is_repeated_a_bounded_number_of_times();
    test_a_start_that_fails_has_the_status_of_its_error();
    test_a_call_waits_for_a_connection_until_its_deadline();
    test_a_host_that_does_not_listen_is_unreachable();
    test_a_child_opens_connections_of_its_own();
    return check_report("test_redis_client");
}
