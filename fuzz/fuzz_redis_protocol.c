/* Plays any Redis that a client may meet. The connections of the client end in
 * this file and not in sockets. The input decides which peers accept a
 * connection, what they reply to each request, in pieces of what size, and when
 * a peer closes or sends nothing more.
 *
 * Whatever the peers do, a call ends at its deadline, holds a bounded amount of
 * memory and of connections, sends no request while bytes of an earlier reply
 * are unread, connects only to valid host names, and closes each connection
 * once.
 *
 * The first bytes of an input are the URL, the size of the pieces and the cost
 * of a system call. The rest is consumed by what happens, in order. */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sanitizer/allocator_interface.h>

#include "base/clock.h"
#include "limit/redis/counter.h"
#include "limit/strategy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    PEERS_MAX = 8, /* open at a time: more than any URL below allows */
    REQUEST_MAX = 16384,
    REPLY_MAX = 65536,
    WORDS_MAX = 32,
    CALLS_MAX = 4,
    TIMEOUT_US = 50000,
    SYSTEM_CALLS_MAX = 200000, /* of one input */
    MEMORY_MAX = 8 << 20,
};

static void
require_at(int condition, int line)
{
    if (!condition) {
        fprintf(stderr, "fuzz_redis_protocol.c:%d: a promise does not hold\n",
                line);
        abort();
    }
}
#define require(condition) require_at(condition, __LINE__)

/* --- The input ------------------------------------------------------------ */

static const uint8_t *input, *input_end;
static size_t piece_size;
static int64_t cost_us;
static long system_calls;
static int64_t waited_us; /* by the shifted clock */

static unsigned
next(void)
{
    return input < input_end ? *input++ : 0;
}

static unsigned
pick(size_t choices)
{
    return (unsigned)(next() % choices);
}

static void
advance_clock(int64_t us)
{
    waited_us += us;
    fta_clock_shift(0, us);
}

static void
count_system_call(void)
{
    require(++system_calls < SYSTEM_CALLS_MAX);
    advance_clock(cost_us);
}

/* --- Memory --------------------------------------------------------------- */

static long memory_held, memory_most;

static void
count_malloc(const volatile void *memory, size_t size)
{
    (void)memory;
    memory_held += (long)size;
    memory_most = memory_held > memory_most ? memory_held : memory_most;
}

static void
count_free(const volatile void *memory)
{
    if (memory != NULL) {
        memory_held -=
            (long)__sanitizer_get_allocated_size((const void *)memory);
    }
}

/* --- The peers ------------------------------------------------------------ */

typedef struct peer {
    bool open;
    bool asked;  /* it was sent bytes, and nothing was read from it since */
    bool closes; /* when all is read */
    const char *endless; /* comes again and again when all is read, or NULL */
    size_t request_length;
    size_t reply_length;
    size_t reply_read;
    char request[REQUEST_MAX];
    char reply[REPLY_MAX];
} peer;

static peer peers[PEERS_MAX];

static peer *
peer_of(const fta_redis_socket *s)
{
    int fd = atomic_load(&s->fd);
    require(fd >= 0 && fd < PEERS_MAX && peers[fd].open);
    return &peers[fd];
}

static void
add_bytes(peer *p, const char *bytes, size_t length)
{
    size_t room = REPLY_MAX - p->reply_length;
    length = length < room ? length : room;
    if (length > 0) {
        memcpy(p->reply + p->reply_length, bytes, length);
        p->reply_length += length;
    }
}

static void add_reply(peer *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void
add_reply(peer *p, const char *format, ...)
{
    char text[1024];
    va_list values;
    va_start(values, format);
    int length = vsnprintf(text, sizeof(text), format, values);
    va_end(values);
    add_bytes(p, text, (size_t)length);
}

static const char *
pick_host(void)
{
    static char longest[300];
    static const char *const hosts[] = {"h",    "g",    "127.0.0.1",    "::1",
                                        "",     "?",    "fe80::1%eth0", "a b",
                                        "a\nb", longest};
    memset(longest, 'x', sizeof(longest) - 1);
    return hosts[pick(sizeof(hosts) / sizeof(*hosts))];
}

static long long
pick_number(void)
{
    static const long long numbers[] = {
        0,         1,     2,          100,        5461,
        16383,     16384, 65535,      65536,      -1,
        INT32_MAX, -2,    1000000000, 0xFFFFFFFF, 9223372036854775807LL};
    return numbers[pick(sizeof(numbers) / sizeof(*numbers))];
}

static void
add_text(peer *p, const char *text)
{
    add_reply(p, "$%zu\r\n%s\r\n", strlen(text), text);
}

/* Any value, of either version of the protocol. */
static void
add_value(peer *p, int depth)
{
    static const char *const simple[] = {
        "$-1\r\n", "*-1\r\n", "+OK\r\n",   "$0\r\n\r\n",       "*0\r\n",
        "_\r\n",   "#t\r\n",  ",1.5\r\n",  "(12345678901\r\n", "$-2\r\n",
        "*-2\r\n", "%1\r\n",  ">2\r\n",    "~1\r\n",           "|1\r\n",
        "=5\r\n",  "!3\r\n",  "$99999\r\n"};
    switch (pick(5)) {
    case 0:
        add_reply(p, "%s", simple[pick(sizeof(simple) / sizeof(*simple))]);
        break;
    case 1:
        add_reply(p, ":%lld\r\n", pick_number());
        break;
    case 2:
        add_text(p, pick_host());
        break;
    case 3:
        add_reply(p, "-ERR at depth %d\r\n", depth);
        break;
    default:
        if (depth > 0) {
            unsigned length = pick(5);
            add_reply(p, "%c%u\r\n", "*****%~>"[pick(8)], length);
            for (unsigned i = 0; i < length; i++) {
                add_value(p, depth - 1);
            }
        }
        break;
    }
}

static void
add_error(peer *p)
{
    static const char *const words[] = {
        "MOVED",     "ASK",     "TRYAGAIN",  "CLUSTERDOWN",
        "NOSCRIPT",  "LOADING", "BUSY",      "READONLY",
        "OOM",       "NOAUTH",  "WRONGPASS", "NOPERM",
        "CROSSSLOT", "ERR",     "WRONGTYPE", ""};
    const char *word = words[pick(sizeof(words) / sizeof(*words))];
    switch (pick(4)) {
    case 0:
        add_reply(p, "-%s\r\n", word);
        break;
    case 1:
        add_reply(p, "-%s at @user_script:1\r\n", word);
        break;
    default:
        add_reply(p, "-%s %lld %s:%lld\r\n", word, pick_number(), pick_host(),
                  pick_number());
        break;
    }
}

static void
add_slots(peer *p)
{
    unsigned ranges = pick(4);
    if (ranges == 0) {
        add_reply(p, "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n");
        add_text(p, pick(2) == 0 ? "h" : "");
        add_reply(p, ":1\r\n");
        return;
    }
    add_reply(p, "*%u\r\n", ranges);
    for (unsigned i = 0; i < ranges; i++) {
        unsigned nodes = pick(3);
        add_reply(p, "*%u\r\n:%lld\r\n:%lld\r\n", nodes + 2, pick_number(),
                  pick_number());
        for (unsigned node = 0; node < nodes; node++) {
            add_reply(p, "*2\r\n");
            add_text(p, pick_host());
            add_reply(p, ":%lld\r\n", pick_number());
        }
    }
}

static bool
is_word(const char *word, size_t length, const char *wanted)
{
    return strlen(wanted) == length && memcmp(word, wanted, length) == 0;
}

/* The reply of a working Redis. */
static void
add_right_reply(peer *p, const char *word, size_t length)
{
    if (is_word(word, length, "ROLE")) {
        add_reply(p, "*3\r\n$6\r\nmaster\r\n:1\r\n*0\r\n");
    } else if (is_word(word, length, "SENTINEL")) {
        add_reply(p, "*2\r\n$1\r\ng\r\n$4\r\n6379\r\n");
    } else if (is_word(word, length, "CLUSTER")) {
        add_slots(p);
    } else if (is_word(word, length, "EVALSHA") ||
               is_word(word, length, "EVAL")) {
        add_reply(p, "*4\r\n:%u\r\n:%u\r\n:%u\r\n:%u\r\n", pick(2), pick(11),
                  pick(256), pick(256));
    } else {
        require(is_word(word, length, "AUTH") ||
                is_word(word, length, "SELECT") ||
                is_word(word, length, "ASKING"));
        add_reply(p, "+OK\r\n");
    }
}

static void
add_raw(peer *p)
{
    size_t length = next();
    size_t left = (size_t)(input_end - input);
    length = length < left ? length : left;
    if (length > 0) {
        add_bytes(p, (const char *)input, length);
        input += length;
    }
}

static void
reply_to_request(peer *p, const char *word, size_t length)
{
    switch (pick(24)) {
    default:
        add_right_reply(p, word, length);
        break;
    case 10:
    case 11:
    case 12:
    case 13:
        add_error(p);
        break;
    case 14:
        add_value(p, 4);
        break;
    case 15:
        add_raw(p);
        break;
    case 16: /* silence */
        break;
    case 17:
        p->closes = true;
        break;
    case 18:
        add_right_reply(p, word, length);
        p->closes = true;
        break;
    case 19: /* two replies to one request */
        add_right_reply(p, word, length);
        add_right_reply(p, word, length);
        break;
    case 20:
        add_reply(p, "$1000000000\r\n");
        p->endless = "x";
        break;
    case 21:
        add_reply(p, "*%lld\r\n", pick_number());
        p->endless = pick(2) == 0 ? ":1\r\n" : "*1\r\n";
        break;
    case 22:
        for (unsigned depth = next(); depth > 0; depth--) {
            add_reply(p, "*1\r\n");
        }
        add_reply(p, ":1\r\n");
        break;
    case 23: /* a reply to no request comes first */
        add_value(p, 2);
        add_right_reply(p, word, length);
        break;
    }
}

/* Reads a line that is a mark and a decimal number, as the client sends it. */
static bool
read_number(const char **at, const char *end, char mark, size_t *out)
{
    const char *end_of_line = memchr(*at, '\n', (size_t)(end - *at));
    if (end_of_line == NULL) {
        return false;
    }
    require(**at == mark && end_of_line[-1] == '\r');
    *out = strtoul(*at + 1, NULL, 10);
    *at = end_of_line + 1;
    return true;
}

/* Takes one whole request from the bytes that were sent; false: there is none.
 */
static bool
take_request(peer *p)
{
    const char *at = p->request, *end = p->request + p->request_length;
    const char *first = NULL;
    size_t words, length, first_length = 0;
    if (at == end || !read_number(&at, end, '*', &words)) {
        return false;
    }
    require(words >= 1 && words <= WORDS_MAX);
    for (size_t i = 0; i < words; i++) {
        if (at == end || !read_number(&at, end, '$', &length) ||
            (size_t)(end - at) < length + 2) {
            return false;
        }
        if (i == 0) {
            first = at;
            first_length = length;
        }
        at += length;
        require(memcmp(at, "\r\n", 2) == 0);
        at += 2;
    }
    reply_to_request(p, first, first_length);
    p->request_length = (size_t)(end - at);
    memmove(p->request, at, p->request_length);
    return true;
}

/* --- The transport -------------------------------------------------------- */

static bool
is_host(const char *name)
{
    size_t length = strlen(name);
    return length > 0 && length < FTA_REDIS_HOST_TEXT &&
           strpbrk(name, " \n\r?/\"") == NULL;
}

static void
wait_until_deadline(const fta_redis_socket *s)
{
    int64_t left = s->deadline - fta_clock_monotonic_us();
    advance_clock(left > 0 ? left + 1 : 0);
}

static fta_status
open_peer(fta_redis_socket *s, const fta_redis_host *host, const char *path,
          fta_redis_problem *problem)
{
    count_system_call();
    require(host != NULL ? is_host(host->name) && host->port > 0
                         : strcmp(path, "/s") == 0);
    int fd = 0;
    while (fd < PEERS_MAX && peers[fd].open) {
        fd++;
    }
    require(fd < PEERS_MAX);
    unsigned choice = pick(8);
    if (choice == 7) {
        fta_redis_problem_set(problem, "refused");
        advance_clock(100);
        return FTA_REDIS_UNREACHABLE;
    }
    peer *p = &peers[fd];
    p->open = true;
    p->asked = p->closes = false;
    p->endless = NULL;
    p->request_length = p->reply_length = p->reply_read = 0;
    atomic_store(&s->fd, fd);
    if (choice == 6) {
        wait_until_deadline(s);
        return FTA_REDIS_TIMEOUT;
    }
    return FTA_OK;
}

static bool
has_bytes(const peer *p)
{
    return p->reply_read < p->reply_length || p->endless != NULL;
}

static ssize_t
send_to_peer(fta_redis_socket *s, const char *bytes, size_t length)
{
    count_system_call();
    peer *p = peer_of(s);
    require(length > 0);
    /* A new request: nothing of an earlier reply may be left. */
    require(p->asked || !has_bytes(p));
    if (p->closes) {
        errno = EPIPE;
        return -1;
    }
    if (piece_size % 3 == 1 && pick(4) == 3) {
        errno = pick(2) == 0 ? EAGAIN : EINTR;
        return -1;
    }
    p->asked = true;
    length = length < piece_size * 16 ? length : piece_size * 16;
    require(p->request_length + length <= REQUEST_MAX);
    memcpy(p->request + p->request_length, bytes, length);
    p->request_length += length;
    while (take_request(p)) {
    }
    return (ssize_t)length;
}

static ssize_t
receive_from_peer(fta_redis_socket *s, char *bytes, size_t size)
{
    count_system_call();
    peer *p = peer_of(s);
    p->asked = false;
    size_t left = p->reply_length - p->reply_read;
    size = size < piece_size ? size : piece_size;
    if (left > 0) {
        size = size < left ? size : left;
        memcpy(bytes, p->reply + p->reply_read, size);
        p->reply_read += size;
        return (ssize_t)size;
    }
    if (p->closes) {
        return 0;
    }
    if (p->endless != NULL) {
        size_t length = strlen(p->endless);
        size = size < length ? length : size - size % length;
        for (size_t i = 0; i < size; i++) {
            bytes[i] = p->endless[i % length];
        }
        return (ssize_t)size;
    }
    errno = EAGAIN;
    return -1;
}

static fta_status
wait_for_peer(fta_redis_socket *s, short events)
{
    count_system_call();
    const peer *p = peer_of(s);
    if (events == POLLOUT || has_bytes(p) || p->closes) {
        return FTA_OK;
    }
    wait_until_deadline(s);
    return FTA_REDIS_TIMEOUT;
}

static bool
peer_is_quiet(const fta_redis_socket *s)
{
    count_system_call();
    peer *p = peer_of(s);
    p->asked = false;
    return !has_bytes(p) && !p->closes;
}

static void
close_peer(fta_redis_socket *s)
{
    peer_of(s)->open = false;
    atomic_store(&s->fd, -1);
}

static void
pause_call(int milliseconds)
{
    count_system_call();
    advance_clock((int64_t)milliseconds * 1000);
}

static const fta_redis_transport transport = {
    .open = open_peer,
    .send = send_to_peer,
    .receive = receive_from_peer,
    .wait = wait_for_peer,
    .is_quiet = peer_is_quiet,
    .close = close_peer,
    .pause = pause_call,
};

/* --- Calls ---------------------------------------------------------------- */

static void
call(fta_redis_counter *counter)
{
    static const uint8_t key[] = "key";
    const fta_hit hit = {.key = key,
                         .key_length = 3,
                         .limit = 10,
                         .cost = 1,
                         .period_us = 60000000};
    fta_redis_problem problem;
    fta_verdict verdict = {.limit = 0};
    waited_us = 0;
    fta_status status = fta_redis_counter_hit(
        counter,
        &(fta_hits){&fta_strategy_fixed_window, FTA_COUNT, &hit, 1, NULL},
        fta_clock_monotonic_us() + TIMEOUT_US, &verdict, &problem);
    /* The last replies of a call may be read a little after its deadline: to
     * CLUSTER SLOTS, AUTH and the command, and all of them again for EVAL. */
    require(waited_us <= TIMEOUT_US + 8 * 2 * 70 * cost_us);
    require(memchr(problem.text, '\0', sizeof(problem.text)) != NULL);
    /* No peer can exhaust the memory. */
    require(status != FTA_NO_MEMORY && status != FTA_BAD_ARGUMENT);
    if (status == FTA_OK) {
        require(verdict.limit == 10 && verdict.remaining <= 10 &&
                verdict.reset_after_us >= 0 && verdict.retry_after_us >= 0);
    }
}

/* What happens to idle connections between two calls. */
static void
change_idle_connections(fta_redis_counter *counter)
{
    switch (pick(8)) {
    case 5:
        fta_redis_counter_disconnect(counter);
        break;
    case 6:
        for (size_t i = 0; i < PEERS_MAX; i++) {
            peers[i].closes = peers[i].open;
        }
        break;
    case 7: /* the late end of a reply */
        for (size_t i = 0; i < PEERS_MAX; i++) {
            if (peers[i].open) {
                add_reply(&peers[i], ":7\r\n");
            }
        }
        break;
    default:
        break;
    }
}

static fta_redis_counter *
new_counter(const char *text)
{
    fta_redis_url *url = NULL;
    fta_redis_client *client = NULL;
    fta_redis_counter *counter = NULL;
    fta_redis_problem problem;
    const char *wrong;
    require(fta_redis_url_parse(text, strlen(text), &url, &wrong) == FTA_OK);
    require(fta_redis_client_new(url, &client, &problem) == FTA_OK);
    fta_redis_client_set_transport(client, &transport);
    require(fta_redis_counter_new(client, "fuzz", 4, &counter) == FTA_OK);
    return counter;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const urls[] = {
        "redis://h:1",
        "redis://u:p@h:1/3",
        "redis://h:1,g:2?cluster=true&max_connections=4",
        "redis://:p@h:1?cluster=true&max_connections=2",
        "redis+sentinel://h:1,g:2/s?max_connections=2",
        "redis+sentinel://u:p@h:1,g:2/s/2?sentinel_password=b",
        "unix://:p@/s?db=1",
        "redis://h:1?max_connections=1",
    };
    static bool hooked;
    if (!hooked) {
        hooked = true;
        require(__sanitizer_install_malloc_and_free_hooks(count_malloc,
                                                          count_free) > 0);
    }
    input = data;
    input_end = data + size;
    system_calls = 0;
    memory_held = memory_most = 0;
    fta_redis_counter *counter =
        new_counter(urls[pick(sizeof(urls) / sizeof(*urls))]);
    unsigned pieces = next();
    piece_size = pieces == 0 ? REPLY_MAX : pieces;
    cost_us = 1 + 4 * (int64_t)pick(64);
    for (int i = 0; i < CALLS_MAX && (i == 0 || input < input_end); i++) {
        call(counter);
        change_idle_connections(counter);
    }
    fta_redis_counter_free(counter);
    for (size_t i = 0; i < PEERS_MAX; i++) {
        require(!peers[i].open);
    }
    require(memory_most < MEMORY_MAX);
    fta_clock_reset();
    return 0;
}
