/* A server for tests of the client: one thread on a port of the loopback
 * interface. A function makes the reply to each request. Commands of the core
 * are so small that each arrives in one piece. */
#ifndef FTA_TESTS_FAKE_REDIS_H
#define FTA_TESTS_FAKE_REDIS_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FAKE_REDIS_PEERS 64
#define FAKE_REDIS_ANSWER 4096

typedef struct fake_redis fake_redis;

struct fake_redis {
    /* Writes the reply, maybe empty. false: the server closes instead. */
    bool (*answer)(fake_redis *self, const char *request, char *answer);
    void *context;
    unsigned port;
    atomic_long requests;
    atomic_long connections;
    int listener;
    int stop[2];
    pthread_t thread;
};

static inline void
fake_redis_require(bool condition)
{
    if (!condition) {
        perror("fake_redis");
        abort();
    }
}

static inline bool
fake_redis_serve(fake_redis *self, int peer)
{
    char request[16384], answer[FAKE_REDIS_ANSWER] = "";
    ssize_t n = recv(peer, request, sizeof(request) - 1, 0);
    if (n <= 0) {
        return false;
    }
    request[n] = '\0';
    /* Keys hold any byte; the tests search for words with strstr. */
    for (ssize_t i = 0; i < n; i++) {
        request[i] = request[i] == '\0' ? '?' : request[i];
    }
    atomic_fetch_add(&self->requests, 1);
    return self->answer(self, request, answer) &&
           send(peer, answer, strlen(answer), MSG_NOSIGNAL) >= 0;
}

static inline void *
fake_redis_run(void *argument)
{
    fake_redis *self = argument;
    struct pollfd fds[2 + FAKE_REDIS_PEERS] = {
        {.fd = self->stop[0], .events = POLLIN},
        {.fd = self->listener, .events = POLLIN}};
    nfds_t count = 2;
    while (poll(fds, count, -1) >= 0 && fds[0].revents == 0) {
        for (nfds_t i = 2; i < count; i++) {
            if (fds[i].revents != 0 && !fake_redis_serve(self, fds[i].fd)) {
                close(fds[i].fd);
                fds[i--] = fds[--count];
            }
        }
        if (fds[1].revents != 0) {
            int peer = accept(self->listener, NULL, NULL);
            fake_redis_require(peer >= 0 && count < 2 + FAKE_REDIS_PEERS);
            fds[count++] = (struct pollfd){.fd = peer, .events = POLLIN};
            atomic_fetch_add(&self->connections, 1);
        }
    }
    for (nfds_t i = 1; i < count; i++) {
        close(fds[i].fd);
    }
    return NULL;
}

static inline void
fake_redis_start(fake_redis *self,
                 bool (*answer)(fake_redis *, const char *, char *),
                 void *context)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    *self = (fake_redis){.answer = answer, .context = context};
    self->listener = socket(AF_INET, SOCK_STREAM, 0);
    fake_redis_require(
        self->listener >= 0 &&
        bind(self->listener, (struct sockaddr *)&address, length) == 0 &&
        listen(self->listener, 64) == 0 &&
        getsockname(self->listener, (struct sockaddr *)&address, &length) ==
            0 &&
        pipe(self->stop) == 0);
    self->port = ntohs(address.sin_port);
    fake_redis_require(
        pthread_create(&self->thread, NULL, fake_redis_run, self) == 0);
}

static inline void
fake_redis_stop(fake_redis *self)
{
    fake_redis_require(write(self->stop[1], "", 1) == 1);
    fake_redis_require(pthread_join(self->thread, NULL) == 0);
    close(self->stop[0]);
    close(self->stop[1]);
}

#endif
