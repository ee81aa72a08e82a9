/* May be included by csrc/audit alone. A socket for datagrams to one address.
 *
 * Nothing waits: a receiver whose queue is full is EAGAIN. The socket is not
 * connected and has no state, so threads and forked processes may share it. */
#ifndef FTA_AUDIT_DATAGRAM_H
#define FTA_AUDIT_DATAGRAM_H

#include <sys/socket.h>
#include <sys/uio.h>

#include "audit/destination.h"

typedef struct fta_audit_datagrams {
    int descriptor;
    struct sockaddr_storage address;
    socklen_t size;
} fta_audit_datagrams;

/* The socket at a path, which somebody must listen at: FTA_SYSTEM, with the
 * errno of connect(). ENAMETOOLONG for a path that fits into no address. */
fta_status fta_audit_datagrams_local(fta_text path, fta_audit_datagrams *out);

/* The first address of the host, which is looked up here and never again.
 * FTA_AUDIT_HOST: it has none. */
fta_status fta_audit_datagrams_remote(const fta_audit_destination *destination,
                                      fta_audit_datagrams *out);

void fta_audit_datagrams_close(fta_audit_datagrams *datagrams);

/* Sends the parts as one datagram: 0, or the errno of what went wrong. */
int fta_audit_datagrams_send(const fta_audit_datagrams *datagrams,
                             struct iovec *parts, size_t count);

/* Sends an empty datagram with a descriptor in it. */
int fta_audit_datagrams_send_descriptor(const fta_audit_datagrams *datagrams,
                                        int descriptor);

#endif
