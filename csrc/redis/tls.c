#include "redis/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/alloc.h"
#include "base/clock.h"

struct fta_redis_tls {
    SSL_CTX *context;   /* Owned */
    BIO_METHOD *method; /* Owned */
};

/* --- The socket below OpenSSL --------------------------------------------- */

/* OpenSSL's own socket BIO uses write(), which raises SIGPIPE when the peer
 * has closed. A library must not depend on what its host does about that.
 *
 * A peer can keep OpenSSL inside one call with records that hold no data. So
 * the deadline is checked here too: after it OpenSSL is told that nothing has
 * arrived, and wait_for_peer ends the call. */
static int
bio_write(BIO *bio, const char *bytes, int length)
{
    BIO_clear_retry_flags(bio);
    fta_redis_socket *s = BIO_get_data(bio);
    ssize_t n = -1;
    errno = EAGAIN;
    if (fta_redis_socket_is_in_time(s)) {
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
    if (fta_redis_socket_is_in_time(s)) {
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

/* --- The context ---------------------------------------------------------- */

/* NULL, or what is wrong. */
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

/* Without this, an encrypted key makes OpenSSL ask on the terminal. */
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
        status = fta_redis_fail(problem, FTA_REDIS_TLS, wrong);
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

/* --- A session ------------------------------------------------------------ */

/* After a call of OpenSSL that failed: waits for what it needs. FTA_OK: the
 * call is to be repeated. Else the connection has failed. */
static fta_status
wait_for_peer(SSL *ssl, fta_redis_socket *s, int result)
{
    int error = SSL_get_error(ssl, result);
    if ((error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) &&
        !fta_redis_socket_is_in_time(s)) {
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

/* The peer's certificate must be for this name or address. */
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

static void
set_handshake_problem(const SSL *ssl, fta_redis_problem *problem)
{
    long verified = SSL_get_verify_result(ssl);
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    fta_redis_problem_set(
        problem, verified != X509_V_OK ? X509_verify_cert_error_string(verified)
                 : reason != NULL      ? reason
                                       : "during the TLS handshake");
}

fta_status
fta_redis_tls_connect(const fta_redis_tls *tls, fta_redis_socket *s,
                      const char *name, SSL **out, fta_redis_problem *problem)
{
    *out = NULL;
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
    fta_status status = FTA_OK;
    if (expect_name(ssl, name)) {
        int result;
        while (status == FTA_OK && (result = SSL_connect(ssl)) != 1) {
            status = wait_for_peer(ssl, s, result);
        }
        if (status != FTA_OK) {
            set_handshake_problem(ssl, problem);
        }
    } else {
        status = fta_redis_fail(problem, FTA_REDIS_TLS,
                                "the host name cannot be verified");
    }
    if (status == FTA_OK) {
        *out = ssl;
    } else {
        fta_redis_tls_close(ssl);
    }
    ERR_clear_error();
    return status;
}

fta_status
fta_redis_tls_send(SSL *ssl, fta_redis_socket *s, const char *bytes,
                   size_t length, size_t *sent)
{
    *sent = 0;
    int result = SSL_write_ex(ssl, bytes, length, sent);
    return result == 1 ? FTA_OK : wait_for_peer(ssl, s, result);
}

fta_status
fta_redis_tls_receive(SSL *ssl, fta_redis_socket *s, char *bytes, size_t size,
                      size_t *received)
{
    *received = 0;
    int result = SSL_read_ex(ssl, bytes, size, received);
    return result == 1 ? FTA_OK : wait_for_peer(ssl, s, result);
}

bool
fta_redis_tls_is_quiet(SSL *ssl, fta_redis_socket *s)
{
    char byte;
    /* OpenSSL reads a session ticket here, which is no reply. */
    fta_redis_socket_begin(s, fta_clock_monotonic_us());
    ERR_clear_error();
    int result = SSL_peek(ssl, &byte, 1);
    bool quiet =
        result <= 0 && SSL_get_error(ssl, result) == SSL_ERROR_WANT_READ;
    ERR_clear_error();
    return quiet;
}

void
fta_redis_tls_set_problem(fta_redis_problem *problem)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    fta_redis_problem_set(problem, reason != NULL ? reason : "");
}

void
fta_redis_tls_close(SSL *ssl)
{
    if (ssl != NULL) {
        /* No close_notify: sending it could block, and nobody reads it. */
        SSL_set_quiet_shutdown(ssl, 1);
        SSL_free(ssl);
        ERR_clear_error();
    }
}
