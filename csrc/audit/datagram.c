#include "audit/datagram.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#ifdef MSG_NOSIGNAL
#define FLAGS (MSG_DONTWAIT | MSG_NOSIGNAL)
#else
#define FLAGS MSG_DONTWAIT
#endif

static fta_status
open_socket(int family, int *out)
{
    int opened = socket(family, SOCK_DGRAM, 0);
    if (opened < 0) {
        return FTA_SYSTEM;
    }
    /* Not SOCK_CLOEXEC, which macOS lacks. */
    (void)fcntl(opened, F_SETFD, FD_CLOEXEC);
    *out = opened;
    return FTA_OK;
}

/* connect() on a second socket, which is thrown away. */
static fta_status
check_receiver(const fta_audit_datagrams *datagrams)
{
    int probe;
    fta_status status = open_socket(datagrams->address.ss_family, &probe);
    if (status != FTA_OK) {
        return status;
    }
    int connected = connect(probe, (const struct sockaddr *)&datagrams->address,
                            datagrams->size);
    int error = errno;
    (void)close(probe);
    errno = error;
    return connected == 0 ? FTA_OK : FTA_SYSTEM;
}

fta_status
fta_audit_datagrams_local(fta_text path, fta_audit_datagrams *out)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path.length >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return FTA_SYSTEM;
    }
    memcpy(address.sun_path, path.data, path.length);
    *out = (fta_audit_datagrams){.descriptor = -1};
    memcpy(&out->address, &address, sizeof address);
    out->size =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.length + 1);
    fta_status status = check_receiver(out);
    return status == FTA_OK ? open_socket(AF_UNIX, &out->descriptor) : status;
}

fta_status
fta_audit_datagrams_remote(const fta_audit_destination *destination,
                           fta_audit_datagrams *out)
{
    char host[FTA_AUDIT_HOST_MAX + 1] = "", port[8] = "";
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_DGRAM,
                             .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    memcpy(host, destination->host.data, destination->host.length);
    memcpy(port, destination->port.data, destination->port.length);
    if (getaddrinfo(host, port, &hints, &found) != 0) {
        return FTA_AUDIT_HOST;
    }
    *out = (fta_audit_datagrams){.descriptor = -1,
                                 .size = (socklen_t)found->ai_addrlen};
    memcpy(&out->address, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return open_socket(out->address.ss_family, &out->descriptor);
}

void
fta_audit_datagrams_close(fta_audit_datagrams *datagrams)
{
    (void)close(datagrams->descriptor);
}

static int
send_message(const fta_audit_datagrams *datagrams, struct msghdr *message)
{
    /* sendmsg() does not write to the address. */
    message->msg_name = (void *)(uintptr_t)&datagrams->address;
    message->msg_namelen = datagrams->size;
    ssize_t sent;
    do {
        sent = sendmsg(datagrams->descriptor, message, FLAGS);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? errno : 0;
}

int
fta_audit_datagrams_send(const fta_audit_datagrams *datagrams,
                         struct iovec *parts, size_t count)
{
    struct msghdr message = {.msg_iov = parts};
    message.msg_iovlen = count;
    return send_message(datagrams, &message);
}

int
fta_audit_datagrams_send_descriptor(const fta_audit_datagrams *datagrams,
                                    int descriptor)
{
    union {
        struct cmsghdr aligned;
        char octets[CMSG_SPACE(sizeof(int))];
    } control;
    memset(&control, 0, sizeof control);
    struct msghdr message = {.msg_control = control.octets,
                             .msg_controllen = sizeof control.octets};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
    return send_message(datagrams, &message);
}
