/* TLS without an interpreter, for the sanitizers. The server is OpenSSL with a
 * certificate that is made here. */
#include "redis/client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/clock.h"
#include "check.h"
#include "child.h"
#include "failing_alloc.h"

#define SECOND ((int64_t)1000000)

static void
require(bool condition)
{
    if (!condition) {
        perror("test_redis_tls");
        abort();
    }
}

static EVP_PKEY *key;
static X509 *certificate;
static char ca_file[] = "/tmp/test_redis_tls_XXXXXX";

/* For localhost and 127.0.0.1, signed by itself. */
static void
make_certificate(void)
{
    key = EVP_EC_gen("P-256");
    certificate = X509_new();
    require(key != NULL && certificate != NULL);
    X509_NAME *name = X509_get_subject_name(certificate);
    X509_EXTENSION *names = X509V3_EXT_conf_nid(
        NULL, NULL, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
    require(X509_set_version(certificate, X509_VERSION_3) == 1 &&
            X509_gmtime_adj(X509_getm_notBefore(certificate), -60) != NULL &&
            X509_gmtime_adj(X509_getm_notAfter(certificate), 3600) != NULL &&
            X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                       (const unsigned char *)"test", -1, -1,
                                       0) == 1 &&
            X509_set_issuer_name(certificate, name) == 1 &&
            X509_set_pubkey(certificate, key) == 1 &&
            X509_add_ext(certificate, names, -1) == 1 &&
            X509_sign(certificate, key, EVP_sha256()) > 0);
    X509_EXTENSION_free(names);
    int fd = mkstemp(ca_file);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    require(file != NULL && PEM_write_X509(file, certificate) == 1 &&
            fclose(file) == 0);
}

/* Serves so many connections, one after another, each until the client closes
 * it. */
typedef struct server {
    int listener;
    unsigned port;
    int connections;
    bool silent;
    atomic_bool floods;
    pthread_t thread;
} server;

static void
serve(SSL_CTX *context, int peer)
{
    SSL *ssl = SSL_new(context);
    char request[4096];
    require(ssl != NULL && SSL_set_fd(ssl, peer) == 1);
    if (SSL_accept(ssl) == 1) {
        while (SSL_read(ssl, request, sizeof(request)) > 0 &&
               SSL_write(ssl, ":7\r\n", 4) > 0) {
        }
    }
    SSL_free(ssl);
}

/* Sends records without data for as long as the client reads them. */
static void
flood(SSL_CTX *context, int peer)
{
    char request[256];
    SSL *ssl = SSL_new(context);
    require(ssl != NULL && SSL_set_fd(ssl, peer) == 1 && SSL_accept(ssl) == 1 &&
            SSL_read(ssl, request, sizeof(request)) > 0);
    int64_t end = fta_clock_monotonic_us() + 60 * SECOND;
    while (fta_clock_monotonic_us() < end &&
           SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 &&
           SSL_do_handshake(ssl) == 1) {
    }
    SSL_free(ssl);
}

static void *
run(void *argument)
{
    server *s = argument;
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    require(context != NULL &&
            SSL_CTX_use_certificate(context, certificate) == 1 &&
            SSL_CTX_use_PrivateKey(context, key) == 1);
    for (int i = 0; i < s->connections; i++) {
        int peer = accept(s->listener, NULL, NULL);
        require(peer >= 0);
        char byte;
        if (s->silent) {
            while (recv(peer, &byte, 1, 0) > 0) {
            }
        } else if (s->floods) {
            flood(context, peer);
        } else {
            serve(context, peer);
        }
        close(peer);
    }
    SSL_CTX_free(context);
    return NULL;
}

static void
start(server *s, int connections, bool silent)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    *s = (server){.connections = connections, .silent = silent};
    s->listener = socket(AF_INET, SOCK_STREAM, 0);
    require(s->listener >= 0 &&
            bind(s->listener, (struct sockaddr *)&address, length) == 0 &&
            listen(s->listener, 16) == 0 &&
            getsockname(s->listener, (struct sockaddr *)&address, &length) ==
                0);
    s->port = ntohs(address.sin_port);
    require(pthread_create(&s->thread, NULL, run, s) == 0);
}

static void
finish(server *s)
{
    pthread_join(s->thread, NULL);
    close(s->listener);
}

static fta_status
open_client(const char *host, unsigned port, const char *parameters,
            fta_redis_client **out, fta_redis_problem *problem)
{
    char text[200];
    int length = snprintf(text, sizeof(text), "rediss://%s:%u?%s", host, port,
                          parameters);
    fta_redis_url *url;
    const char *wrong;
    *out = NULL;
    fta_status status = fta_redis_url_parse(text, (size_t)length, &url, &wrong);
    if (status == FTA_OK) {
        status = fta_redis_client_new(url, out, problem);
        if (status != FTA_OK) {
            fta_redis_url_free(url);
        }
    }
    return status;
}

static fta_redis_client *
new_client(const char *host, unsigned port, const char *more)
{
    char parameters[150];
    fta_redis_client *client;
    fta_redis_problem problem;
    (void)snprintf(parameters, sizeof(parameters), "ssl_ca_certs=%s%s", ca_file,
                   more);
    require(open_client(host, port, parameters, &client, &problem) == FTA_OK);
    return client;
}

static fta_status
ask(fta_redis_client *client, int64_t timeout_us, fta_redis_problem *problem)
{
    static const char *const argv[] = {"GET", "key"};
    static const size_t lengths[] = {3, 3};
    static const fta_redis_command command = {2, argv, lengths};
    fta_redis_reply *reply;
    const fta_redis_sending sending = {.deadline = fta_clock_monotonic_us() +
                                                   timeout_us};
    fta_status status =
        fta_redis_client_call(client, &command, &sending, &reply, problem);
    CHECK((status == FTA_OK) == (reply != NULL));
    if (reply != NULL) {
        CHECK(reply->type == FTA_REDIS_INTEGER && reply->integer == 7);
    }
    fta_redis_reply_free(reply);
    return status;
}

static void
test_the_certificate_must_be_for_the_name(void)
{
    static const struct {
        const char *host, *more;
        fta_status status;
        const char *problem;
    } cases[] = {
        {"localhost", "", FTA_OK, ""},
        {"127.0.0.1", "", FTA_OK, ""},
        {"127.0.0.1", "&ssl_server_name=localhost", FTA_OK, ""},
        {"127.0.0.1", "&ssl_server_name=elsewhere", FTA_REDIS_TLS,
         "hostname mismatch"},
        {"localhost", "&ssl_server_name=127.0.0.2", FTA_REDIS_TLS,
         "IP address mismatch"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        server s;
        fta_redis_problem problem;
        start(&s, 1, false);
        fta_redis_client *client =
            new_client(cases[i].host, s.port, cases[i].more);
        for (int n = cases[i].status == FTA_OK ? 5 : 1; n > 0; n--) {
            CHECK(ask(client, 60 * SECOND, &problem) == cases[i].status);
            CHECK(strcmp(problem.text, cases[i].problem) == 0);
        }
        fta_redis_client_free(client);
        finish(&s);
    }
}

static void
test_an_unknown_authority_is_a_tls_error(void)
{
    server s;
    fta_redis_client *client;
    fta_redis_problem problem;
    start(&s, 1, false);
    CHECK(open_client("localhost", s.port, "db=0", &client, &problem) ==
          FTA_OK);
    CHECK(ask(client, 60 * SECOND, &problem) == FTA_REDIS_TLS);
    CHECK(strstr(problem.text, "self-signed") != NULL);
    fta_redis_client_free(client);
    finish(&s);
}

static void
test_a_peer_that_sends_nothing_is_a_timeout(void)
{
    server s;
    fta_redis_problem problem;
    start(&s, 1, true);
    fta_redis_client *client = new_client("127.0.0.1", s.port, "");
    int64_t started = fta_clock_monotonic_us();
    CHECK(ask(client, 50000, &problem) == FTA_REDIS_TIMEOUT);
    CHECK(fta_clock_monotonic_us() - started < 30 * SECOND);
    fta_redis_client_free(client);
    finish(&s);
}

/* Waits, so that there is always something to read. */
static ssize_t
receive_when_it_comes(fta_redis_socket *s, char *bytes, size_t size)
{
    struct pollfd ask_once = {.fd = atomic_load(&s->fd), .events = POLLIN};
    (void)poll(&ask_once, 1, 1000);
    return recv(ask_once.fd, bytes, size, 0);
}

/* While records without data arrive, OpenSSL does not return from its call. */
static void
test_records_without_end_do_not_keep_a_call_beyond_its_deadline(void)
{
    server s;
    fta_redis_problem problem;
    fta_redis_transport transport = fta_redis_system_transport;
    transport.receive = receive_when_it_comes;
    start(&s, 1, false);
    s.floods = true;
    fta_redis_client *client = new_client("127.0.0.1", s.port, "");
    fta_redis_client_set_transport(client, &transport);
    int64_t started = fta_clock_monotonic_us();
    CHECK(ask(client, 200000, &problem) == FTA_REDIS_TIMEOUT);
    CHECK(fta_clock_monotonic_us() - started < 30 * SECOND);
    fta_redis_client_free(client);
    finish(&s);
}

/* The child closes its copy and sends nothing, so the parent can go on. */
static void
test_a_child_leaves_the_tls_of_its_parent_alone(void)
{
    server s;
    fta_redis_problem problem;
    start(&s, 1, false);
    fta_redis_client *client = new_client("127.0.0.1", s.port, "");
    CHECK(ask(client, 60 * SECOND, &problem) == FTA_OK);
    pid_t child = fork();
    if (child == 0) {
        fta_redis_client_free(client);
        child_leave(true);
    }
    CHECK(child_was_good(child));
    CHECK(ask(client, 60 * SECOND, &problem) == FTA_OK);
    fta_redis_client_free(client);
    finish(&s);
}

static void
test_a_failing_allocation_is_no_memory(void)
{
    char parameters[100];
    (void)snprintf(parameters, sizeof(parameters), "ssl_ca_certs=%s", ca_file);
    long n = 0;
    for (bool failed = true; failed; n++) {
        fta_redis_client *client;
        fta_redis_problem problem;
        failing_alloc_start(n);
        fta_status status =
            open_client("localhost", 1, parameters, &client, &problem);
        failed = failing_alloc_stop();
        CHECK(status == (failed ? FTA_NO_MEMORY : FTA_OK));
        CHECK((client == NULL) == failed);
        fta_redis_client_free(client);
    }
    CHECK(n == 4);
}

static void
test_a_file_that_cannot_be_read_is_named(void)
{
    static const char *const cases[][2] = {
        {"ssl_ca_certs=/no/such", "ssl_ca_certs"},
        {"ssl_certfile=/no/such&ssl_keyfile=/no/such", "ssl_certfile"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        fta_redis_client *client;
        fta_redis_problem problem;
        CHECK(open_client("h", 1, cases[i][0], &client, &problem) ==
              FTA_REDIS_TLS);
        CHECK(strstr(problem.text, cases[i][1]) != NULL);
    }
    char parameters[100];
    fta_redis_client *client;
    fta_redis_problem problem;
    (void)snprintf(parameters, sizeof(parameters),
                   "ssl_certfile=%s&ssl_keyfile=%s", ca_file, ca_file);
    CHECK(open_client("h", 1, parameters, &client, &problem) == FTA_REDIS_TLS);
    CHECK(strstr(problem.text, "ssl_keyfile") != NULL);
}

int
main(void)
{
    /* The server's writes may raise it; the client's must not. */
    signal(SIGPIPE, SIG_IGN);
    make_certificate();
    /* First, while no lookup of a later test can free memory. */
    test_a_failing_allocation_is_no_memory();
    test_the_certificate_must_be_for_the_name();
    test_an_unknown_authority_is_a_tls_error();
    test_a_peer_that_sends_nothing_is_a_timeout();
    test_records_without_end_do_not_keep_a_call_beyond_its_deadline();
    test_a_child_leaves_the_tls_of_its_parent_alone();
    test_a_file_that_cannot_be_read_is_named();
    unlink(ca_file);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return check_report("test_redis_tls");
}
