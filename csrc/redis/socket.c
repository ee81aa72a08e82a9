#include "redis/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/wait.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* macOS has SO_NOSIGPIPE instead */
#endif

/* macOS sets these by fcntl alone. */
#if defined(SOCK_CLOEXEC) && defined(SOCK_NONBLOCK)
#define SOCKET_FLAGS (SOCK_CLOEXEC | SOCK_NONBLOCK)
#else
#define SOCKET_FLAGS 0
#endif

/* How often a call looks for bytes after its deadline. What has arrived while
 * this thread waited for a processor is not late, but a peer that never stops
 * sending must not keep the thread: 64 times 4 KiB is more than any answer
 * that is in order. */
enum { LATE_LOOKS_MAX = 64 };

void
fta_redis_problem_set(fta_redis_problem *problem, const char *text)
{
    size_t n = 0;
    for (; text[n] != '\0' && n + 1 < sizeof(problem->text); n++) {
        char c = text[n];
        problem->text[n] = c >= 0x20 && c < 0x7F ? c : '?';
    }
    problem->text[n] = '\0';
}

static fta_status
fail(fta_redis_problem *problem, fta_status status, const char *text)
{
    fta_redis_problem_set(problem, text);
    return status;
}

/* --- Waiting
 * ------------------------------------------------------------------ */

/* Until the descriptor is ready or has failed, either of which the next call
 * on it tells. It is looked at once even after the deadline: what has arrived
 * while this thread waited for a processor is not late. */
static fta_status
wait_ready(int fd, short events, int64_t deadline)
{
    for (;;) {
        int64_t left = deadline - fta_clock_monotonic_us();
        int64_t ms = left <= 0 ? 0 : (left + 999) / 1000;
        struct pollfd ask = {.fd = fd, .events = events};
        int ready = poll(&ask, 1, ms > INT_MAX ? INT_MAX : (int)ms);
        if (ready > 0) {
            return FTA_OK;
        }
        if (ready < 0 && errno != EINTR && errno != EAGAIN) {
            return FTA_SYSTEM;
        }
        if (left <= 0) {
            return FTA_REDIS_TIMEOUT;
        }
    }
}

static void
begin(fta_redis_socket *s, int64_t deadline)
{
    s->deadline = deadline;
    s->late_looks = 0;
}

/* Whether this call may go on. Asked once for each system call, so that no
 * loop outlives the deadline, whatever the peer does. */
static bool
is_in_time(fta_redis_socket *s)
{
    return fta_clock_monotonic_us() <= s->deadline ||
           s->late_looks++ < LATE_LOOKS_MAX;
}

/* --- Names to addresses
 * ------------------------------------------------------- */

struct fta_redis_lookups {
    atomic_int holders; /* the link's process, and each thread */
    atomic_int running;
};

fta_redis_lookups *
fta_redis_lookups_new(void)
{
    fta_redis_lookups *lookups = fta_calloc(1, sizeof(*lookups));
    if (lookups != NULL) {
        atomic_init(&lookups->holders, 1);
    }
    return lookups;
}

void
fta_redis_lookups_leave(fta_redis_lookups *lookups)
{
    if (lookups != NULL && atomic_fetch_sub(&lookups->holders, 1) == 1) {
        fta_free(lookups);
    }
}

static bool
lookups_enter(fta_redis_lookups *lookups)
{
    if (atomic_fetch_add(&lookups->running, 1) >= FTA_REDIS_LOOKUPS_MAX) {
        atomic_fetch_sub(&lookups->running, 1);
        return false;
    }
    atomic_fetch_add(&lookups->holders, 1);
    return true;
}

static void
lookups_end(fta_redis_lookups *lookups)
{
    atomic_fetch_sub(&lookups->running, 1);
    fta_redis_lookups_leave(lookups);
}

/* getaddrinfo cannot be told when to stop, so it runs in a thread of its own
 * that the caller may walk away from: whoever leaves last frees the lookup. */
typedef struct lookup {
    fta_redis_lookups *all; /* Owned while the thread runs */
    pthread_mutex_t lock;
    pthread_cond_t done;
    int holders;
    bool is_done;
    int error;
    struct addrinfo *found; /* Owned */
    char name[FTA_REDIS_HOST_TEXT];
    char port[8];
} lookup;

static const struct addrinfo any_stream = {.ai_family = AF_UNSPEC,
                                           .ai_socktype = SOCK_STREAM};

static lookup *
lookup_new(const fta_redis_host *host)
{
    lookup *l = fta_calloc(1, sizeof(*l));
    if (l == NULL) {
        return NULL;
    }
    if (pthread_mutex_init(&l->lock, NULL) != 0) {
        fta_free(l);
        return NULL;
    }
    if (!fta_cond_init(&l->done)) {
        (void)pthread_mutex_destroy(&l->lock);
        fta_free(l);
        return NULL;
    }
    l->holders = 1;
    memcpy(l->name, host->name, sizeof(l->name));
    (void)snprintf(l->port, sizeof(l->port), "%u", (unsigned)host->port);
    return l;
}

static void
lookup_leave(lookup *l)
{
    (void)pthread_mutex_lock(&l->lock);
    bool last = --l->holders == 0;
    (void)pthread_mutex_unlock(&l->lock);
    if (last) {
        if (l->found != NULL) {
            freeaddrinfo(l->found);
        }
        (void)pthread_cond_destroy(&l->done);
        (void)pthread_mutex_destroy(&l->lock);
        fta_free(l);
    }
}

static void *
lookup_run(void *argument)
{
    lookup *l = argument;
    struct addrinfo *found = NULL;
    int error = getaddrinfo(l->name, l->port, &any_stream, &found);
    lookups_end(l->all);
    (void)pthread_mutex_lock(&l->lock);
    l->error = error;
    l->found = error == 0 ? found : NULL;
    l->is_done = true;
    (void)pthread_cond_signal(&l->done);
    (void)pthread_mutex_unlock(&l->lock);
    lookup_leave(l);
    return NULL;
}

static fta_status
lookup_start(lookup *l, fta_redis_lookups *lookups, fta_redis_problem *problem)
{
    if (!lookups_enter(lookups)) {
        return fail(problem, FTA_REDIS_UNREACHABLE,
                    "too many names that do not resolve");
    }
    l->all = lookups;
    /* The host program's signal handlers belong to its own threads. */
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    l->holders = 2;
    pthread_t thread;
    int error = pthread_create(&thread, NULL, lookup_run, l);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        l->holders = 1;
        lookups_end(lookups);
        return fail(problem, FTA_SYSTEM, strerror(error));
    }
    (void)pthread_detach(thread);
    return FTA_OK;
}

/* On FTA_OK the lookup holds addresses and is the caller's to leave. */
static fta_status
resolve(const fta_redis_host *host, int64_t deadline, fta_redis_lookups *all,
        lookup **out, fta_redis_problem *problem)
{
    *out = NULL;
    lookup *l = lookup_new(host);
    if (l == NULL) {
        return FTA_NO_MEMORY;
    }
    fta_status status = FTA_OK;
    struct addrinfo numeric = any_stream;
    numeric.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    l->error = getaddrinfo(l->name, l->port, &numeric, &l->found);
    if (l->error != 0) {
        l->found = NULL;
        status = lookup_start(l, all, problem);
        (void)pthread_mutex_lock(&l->lock);
        while (status == FTA_OK && !l->is_done) {
            int64_t left = deadline - fta_clock_monotonic_us();
            if (left <= 0) {
                status = fail(problem, FTA_REDIS_TIMEOUT,
                              "the name takes too long to resolve");
            } else {
                fta_cond_wait(&l->done, &l->lock, left);
            }
        }
        if (status == FTA_OK && l->error != 0) {
            status =
                fail(problem, FTA_REDIS_UNREACHABLE, gai_strerror(l->error));
        }
        (void)pthread_mutex_unlock(&l->lock);
    }
    if (status != FTA_OK) {
        lookup_leave(l);
        return status;
    }
    *out = l;
    return FTA_OK;
}

/* --- Connecting
 * --------------------------------------------------------------- */

static void
system_close(fta_redis_socket *s)
{
    int fd = atomic_exchange(&s->fd, -1);
    if (fd >= 0) {
        (void)close(fd);
    }
}

static bool
prepare(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
        return false;
    }
#ifdef SO_NOSIGPIPE
    int one = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &one, sizeof(one));
#endif
    return true;
}

static fta_status
connect_to(fta_redis_socket *s, const struct sockaddr *address,
           socklen_t length, int64_t deadline, fta_redis_problem *problem)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCKET_FLAGS, 0);
    struct stat identity;
    if (fd < 0 || !prepare(fd) || fstat(fd, &identity) < 0) {
        fta_status status = fail(problem, FTA_SYSTEM, strerror(errno));
        if (fd >= 0) {
            (void)close(fd);
        }
        return status;
    }
    s->device = identity.st_dev;
    s->inode = identity.st_ino;
    atomic_store(&s->fd, fd);
    if (address->sa_family != AF_UNIX) {
        int one = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    }
    int error = connect(fd, address, length) == 0 ? 0 : errno;
    if (error == EINPROGRESS || error == EINTR) {
        fta_status status = wait_ready(fd, POLLOUT, deadline);
        if (status != FTA_OK) {
            return fail(problem, status, "while connecting");
        }
        socklen_t size = sizeof(error);
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) {
            error = errno;
        }
    }
    /* EAGAIN: a unix socket whose queue is full, which nothing can wait for. */
    return error == 0 ? FTA_OK
                      : fail(problem, FTA_REDIS_UNREACHABLE, strerror(error));
}

static fta_status
connect_tcp(fta_redis_socket *s, const fta_redis_host *host,
            fta_redis_problem *problem)
{
    lookup *names;
    fta_status status = resolve(host, s->deadline, s->lookups, &names, problem);
    if (status != FTA_OK) {
        return status;
    }
    int left = 0;
    for (const struct addrinfo *a = names->found; a != NULL; a = a->ai_next) {
        left++;
    }
    status = FTA_REDIS_UNREACHABLE;
    for (const struct addrinfo *a = names->found; a != NULL; a = a->ai_next) {
        /* One address that swallows packets must not use up the time of the
         * next. */
        int64_t now = fta_clock_monotonic_us();
        int64_t until = now + (s->deadline - now) / left--;
        status = connect_to(s, a->ai_addr, a->ai_addrlen, until, problem);
        if (status == FTA_OK) {
            break;
        }
        system_close(s);
    }
    lookup_leave(names);
    return status;
}

static fta_status
connect_unix(fta_redis_socket *s, const char *path, fta_redis_problem *problem)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path)) {
        return fail(problem, FTA_REDIS_UNREACHABLE, strerror(ENAMETOOLONG));
    }
    strcpy(address.sun_path, path);
    return connect_to(s, (const struct sockaddr *)&address, sizeof(address),
                      s->deadline, problem);
}

/* --- The system's transport
 * ----------------------------------------------------- */

static fta_status
system_open(fta_redis_socket *s, const fta_redis_host *host, const char *path,
            fta_redis_problem *problem)
{
    return host != NULL ? connect_tcp(s, host, problem)
                        : connect_unix(s, path, problem);
}

static ssize_t
system_send(fta_redis_socket *s, const char *bytes, size_t length)
{
    return send(atomic_load(&s->fd), bytes, length, MSG_NOSIGNAL);
}

static ssize_t
system_receive(fta_redis_socket *s, char *bytes, size_t size)
{
    return recv(atomic_load(&s->fd), bytes, size, 0);
}

static fta_status
system_wait(fta_redis_socket *s, short events)
{
    return wait_ready(atomic_load(&s->fd), events, s->deadline);
}

static bool
system_is_quiet(const fta_redis_socket *s)
{
    char byte;
    return recv(atomic_load(&s->fd), &byte, 1, MSG_PEEK) < 0 &&
           (errno == EAGAIN || errno == EWOULDBLOCK);
}

static void
system_pause(int milliseconds)
{
    (void)poll(NULL, 0, milliseconds);
}

const fta_redis_transport fta_redis_system_transport = {
    .open = system_open,
    .send = system_send,
    .receive = system_receive,
    .wait = system_wait,
    .is_quiet = system_is_quiet,
    .close = system_close,
    .pause = system_pause,
};

/* --- TLS
 * ------------------------------------------------------------------------ */

struct fta_redis_tls {
    SSL_CTX *context;   /* Owned */
    BIO_METHOD *method; /* Owned */
};

/* OpenSSL's own socket BIO uses write(), which raises SIGPIPE when the peer
 * has gone; a library must not depend on what its host does about that.
 *
 * A peer may also keep OpenSSL busy inside one call, with records that hold
 * no data. So the deadline is asked for here too: after it OpenSSL is told
 * that nothing has come, and tls_wait ends the call. */
static int
bio_write(BIO *bio, const char *bytes, int length)
{
    BIO_clear_retry_flags(bio);
    fta_redis_socket *s = BIO_get_data(bio);
    ssize_t n = -1;
    errno = EAGAIN;
    if (is_in_time(s)) {
        n = s->transport->send(s, bytes, (size_t)length);
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        BIO_set_retry_write(bio);
    }
    return (int)n;
}

static int
bio_read(BIO *bio, char *bytes, int length)
{
    BIO_clear_retry_flags(bio);
    fta_redis_socket *s = BIO_get_data(bio);
    ssize_t n = -1;
    errno = EAGAIN;
    if (is_in_time(s)) {
        n = s->transport->receive(s, bytes, (size_t)length);
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        BIO_set_retry_read(bio);
    }
    return (int)n;
}

static long
bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *
new_method(void)
{
    int index = BIO_get_new_index();
    BIO_METHOD *method = index < 0 ? NULL
                                   : BIO_meth_new(index | BIO_TYPE_SOURCE_SINK,
                                                  "flask_tenant_auth");
    if (method != NULL && (BIO_meth_set_write(method, bio_write) != 1 ||
                           BIO_meth_set_read(method, bio_read) != 1 ||
                           BIO_meth_set_ctrl(method, bio_control) != 1)) {
        BIO_meth_free(method);
        return NULL;
    }
    return method;
}

static const char *
load_files(SSL_CTX *context, const fta_redis_url *url)
{
    if (url->ca_file != NULL) {
        if (SSL_CTX_load_verify_locations(context, url->ca_file, NULL) != 1) {
            return "ssl_ca_certs cannot be read as PEM certificates";
        }
    } else if (SSL_CTX_set_default_verify_paths(context) != 1) {
        return "the system's certificates cannot be read";
    }
    if (url->cert_file != NULL &&
        SSL_CTX_use_certificate_chain_file(context, url->cert_file) != 1) {
        return "ssl_certfile cannot be read as PEM certificates";
    }
    if (url->key_file != NULL &&
        SSL_CTX_use_PrivateKey_file(context, url->key_file, SSL_FILETYPE_PEM) !=
            1) {
        return "ssl_keyfile is not the PEM private key of ssl_certfile";
    }
    return NULL;
}

/* An encrypted key would make OpenSSL ask on the terminal. */
static int
no_passphrase(char *buffer, int size, int writing, void *data)
{
    (void)buffer, (void)size, (void)writing, (void)data;
    return -1;
}

fta_status
fta_redis_tls_new(const fta_redis_url *url, fta_redis_tls **out,
                  fta_redis_problem *problem)
{
    fta_status status = FTA_NO_MEMORY;
    *out = NULL;
    fta_redis_tls *tls = fta_calloc(1, sizeof(*tls));
    if (tls == NULL) {
        return status;
    }
    tls->method = new_method();
    tls->context = SSL_CTX_new(TLS_client_method());
    if (tls->method == NULL || tls->context == NULL) {
        goto done;
    }
    SSL_CTX_set_default_passwd_cb(tls->context, no_passphrase);
    /* No cache: it would be shared state with a lock, across forks. */
    (void)SSL_CTX_set_session_cache_mode(tls->context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(tls->context, SSL_VERIFY_PEER, NULL);
    const char *wrong =
        SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION) == 1
            ? load_files(tls->context, url)
            : "TLS 1.2 is not available";
    if (wrong != NULL) {
        status = fail(problem, FTA_REDIS_TLS, wrong);
        goto done;
    }
    status = FTA_OK;
    *out = tls;
done:
    ERR_clear_error();
    if (status != FTA_OK) {
        fta_redis_tls_free(tls);
    }
    return status;
}

void
fta_redis_tls_free(fta_redis_tls *tls)
{
    if (tls != NULL) {
        SSL_CTX_free(tls->context);
        BIO_meth_free(tls->method);
        fta_free(tls);
    }
}

/* What OpenSSL's answer to a call means: FTA_OK, try again; else the end. */
static fta_status
tls_wait(fta_redis_socket *s, int result)
{
    int error = SSL_get_error(s->ssl, result);
    if ((error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) &&
        !is_in_time(s)) {
        return FTA_REDIS_TIMEOUT;
    }
    switch (error) {
    case SSL_ERROR_WANT_READ:
        return s->transport->wait(s, POLLIN);
    case SSL_ERROR_WANT_WRITE:
        return s->transport->wait(s, POLLOUT);
    case SSL_ERROR_SSL:
        return FTA_REDIS_TLS;
    default:
        return FTA_REDIS_CLOSED;
    }
}

/* The name or address that the peer's certificate must be for. */
static bool
expect_name(SSL *ssl, const char *name)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(param,
                                    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    unsigned char address[sizeof(struct in6_addr)];
    if (inet_pton(AF_INET, name, address) == 1 ||
        inet_pton(AF_INET6, name, address) == 1) {
        return X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;
    }
    return X509_VERIFY_PARAM_set1_host(param, name, 0) == 1 &&
           SSL_set_tlsext_host_name(ssl, name) == 1;
}

static fta_status
shake_hands(fta_redis_socket *s, const fta_redis_tls *tls, const char *name,
            fta_redis_problem *problem)
{
    ERR_clear_error();
    SSL *ssl = SSL_new(tls->context);
    BIO *bio = BIO_new(tls->method);
    if (ssl == NULL || bio == NULL) {
        SSL_free(ssl);
        BIO_free(bio);
        return FTA_NO_MEMORY;
    }
    BIO_set_data(bio, s);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    s->ssl = ssl;
    if (!expect_name(ssl, name)) {
        return fail(problem, FTA_REDIS_TLS, "the host name cannot be verified");
    }
    fta_status status = FTA_OK;
    int result;
    while (status == FTA_OK && (result = SSL_connect(ssl)) != 1) {
        status = tls_wait(s, result);
    }
    if (status != FTA_OK) {
        long verified = SSL_get_verify_result(ssl);
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());
        fta_redis_problem_set(problem,
                              verified != X509_V_OK
                                  ? X509_verify_cert_error_string(verified)
                              : reason != NULL ? reason
                                               : "during the TLS handshake");
    }
    ERR_clear_error();
    return status;
}

/* --- The connection
 * ------------------------------------------------------------- */

fta_status
fta_redis_socket_open(fta_redis_socket *s, const fta_redis_connector *connector,
                      const fta_redis_host *host, int64_t deadline,
                      fta_redis_problem *problem)
{
    const fta_redis_url *url = connector->url;
    begin(s, deadline);
    s->transport = connector->transport;
    s->lookups = connector->lookups;
    fta_status status = fta_redis_reader_new(&s->reader);
    if (status == FTA_OK) {
        status = s->transport->open(s, host, url->path, problem);
    }
    if (status == FTA_OK && connector->tls != NULL) {
        /* A unix socket has no host, and no TLS: the URL's reader sees to
         * that. */
        const char *name = url->server_name != NULL ? url->server_name
                           : host != NULL           ? host->name
                                                    : "";
        status = shake_hands(s, connector->tls, name, problem);
    }
    if (status != FTA_OK) {
        fta_redis_socket_close(s);
    }
    return status;
}

bool
fta_redis_socket_is_quiet(fta_redis_socket *s)
{
    char byte;
    if (s->ssl != NULL) {
        /* A session ticket may lie there, which is none of a command's. */
        begin(s, fta_clock_monotonic_us());
        ERR_clear_error();
        int result = SSL_peek(s->ssl, &byte, 1);
        bool quiet =
            result <= 0 && SSL_get_error(s->ssl, result) == SSL_ERROR_WANT_READ;
        ERR_clear_error();
        return quiet;
    }
    return s->transport->is_quiet(s);
}

static fta_status
send_all(fta_redis_socket *s, const char *bytes, size_t length)
{
    fta_status status = FTA_OK;
    while (status == FTA_OK && length > 0) {
        size_t sent = 0;
        if (s->ssl != NULL) {
            int result = SSL_write_ex(s->ssl, bytes, length, &sent);
            if (result != 1) {
                status = tls_wait(s, result);
            }
        } else if (!is_in_time(s)) {
            status = FTA_REDIS_TIMEOUT;
        } else {
            ssize_t n = s->transport->send(s, bytes, length);
            if (n >= 0) {
                sent = (size_t)n;
            } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
                status = s->transport->wait(s, POLLOUT);
            } else if (errno != EINTR) {
                status = FTA_REDIS_CLOSED;
            }
        }
        bytes += sent;
        length -= sent;
    }
    return status;
}

/* At least one byte. */
static fta_status
receive(fta_redis_socket *s, char *bytes, size_t size, size_t *got)
{
    fta_status status = FTA_OK;
    *got = 0;
    while (status == FTA_OK && *got == 0) {
        if (!is_in_time(s)) {
            status = FTA_REDIS_TIMEOUT;
        } else if (s->ssl != NULL) {
            int result = SSL_read_ex(s->ssl, bytes, size, got);
            if (result != 1) {
                status = tls_wait(s, result);
            }
        } else {
            /* An answer is never there at once: ask poll before recv. */
            status = s->transport->wait(s, POLLIN);
            ssize_t n =
                status == FTA_OK ? s->transport->receive(s, bytes, size) : 0;
            if (n > 0) {
                *got = (size_t)n;
            } else if (status == FTA_OK &&
                       (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK &&
                                   errno != EINTR))) {
                status = FTA_REDIS_CLOSED;
            }
        }
    }
    return status;
}

static fta_status
read_replies(fta_redis_socket *s, size_t count, fta_redis_reply **replies)
{
    char bytes[4096];
    for (size_t i = 0; i < count;) {
        fta_status status = fta_redis_reader_next(s->reader, &replies[i]);
        if (status == FTA_OK && replies[i] != NULL) {
            i++;
            continue;
        }
        size_t got;
        if (status == FTA_OK) {
            status = receive(s, bytes, sizeof(bytes), &got);
        }
        if (status == FTA_OK) {
            status = fta_redis_reader_feed(s->reader, bytes, got);
        }
        if (status != FTA_OK) {
            return status;
        }
    }
    /* More than was asked for: whose answer would the next one be? */
    return fta_redis_reader_is_empty(s->reader) ? FTA_OK : FTA_REDIS_MALFORMED;
}

fta_status
fta_redis_socket_exchange(fta_redis_socket *s, const char *bytes, size_t length,
                          size_t count, fta_redis_reply **replies,
                          int64_t deadline, fta_redis_problem *problem)
{
    memset(replies, 0, count * sizeof(*replies));
    begin(s, deadline);
    if (s->ssl != NULL) {
        ERR_clear_error();
    }
    fta_status status = send_all(s, bytes, length);
    if (status == FTA_OK) {
        status = read_replies(s, count, replies);
    }
    if (status != FTA_OK) {
        if (status == FTA_REDIS_TLS) {
            const char *reason = ERR_reason_error_string(ERR_peek_last_error());
            fta_redis_problem_set(problem, reason != NULL ? reason : "");
        }
        for (size_t i = 0; i < count; i++) {
            fta_redis_reply_free(replies[i]);
            replies[i] = NULL;
        }
        fta_redis_socket_close(s);
    }
    if (s->ssl != NULL) {
        ERR_clear_error();
    }
    return status;
}

void
fta_redis_socket_close(fta_redis_socket *s)
{
    if (s->ssl != NULL) {
        /* No farewell: it could block, and nobody listens. */
        SSL_set_quiet_shutdown(s->ssl, 1);
        SSL_free(s->ssl);
        s->ssl = NULL;
        ERR_clear_error();
    }
    if (atomic_load(&s->fd) >= 0) {
        s->transport->close(s);
    }
    fta_redis_reader_free(s->reader);
    s->reader = NULL;
}

void
fta_redis_socket_abandon(fta_redis_socket *s)
{
    int fd = atomic_exchange(&s->fd, -1);
    struct stat now;
    if (fd >= 0 && fstat(fd, &now) == 0 && now.st_dev == s->device &&
        now.st_ino == s->inode) {
        (void)close(fd);
    }
}
