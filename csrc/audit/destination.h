/* What AUDIT_LOG says, read in this one place:
 *
 *   syslog:              the syslog of this host, /dev/log
 *   syslog:/run/log      the same, at another socket
 *   syslog://host:port   datagrams to a syslog server (RFC 5426); port 514
 *   journal:             the journal of systemd
 *   journal:/run/socket  the same, at another socket
 *   anything else        the path of a file
 *
 * A path that begins like one of these is written with ./ before it. */
#ifndef FTA_AUDIT_DESTINATION_H
#define FTA_AUDIT_DESTINATION_H

#include "base/status.h"
#include "base/text.h"

typedef enum fta_audit_kind {
    FTA_AUDIT_FILE,
    FTA_AUDIT_SYSLOG,
    FTA_AUDIT_SYSLOG_UDP,
    FTA_AUDIT_JOURNAL
} fta_audit_kind;

#define FTA_AUDIT_HOST_MAX                                                     \
    253 /* RFC 1123, section 2.1, and RFC 1035, 2.3.4                          \
         */

typedef struct fta_audit_destination {
    fta_audit_kind kind;
    fta_text path; /* of the file or socket; else absent. Borrowed */
    fta_text host; /* of FTA_AUDIT_SYSLOG_UDP, without brackets. Borrowed */
    fta_text port; /* 1 to 65535, digits only. Borrowed */
} fta_audit_destination;

/* FTA_BAD_ARGUMENT: empty, or a NUL inside. FTA_AUDIT_DESTINATION: it begins
 * like a URL and names no destination. FTA_AUDIT_STREAM: it names syslog over
 * TCP or TLS. */
fta_status fta_audit_destination_read(fta_text text,
                                      fta_audit_destination *out);

#endif
