/* Any text as AUDIT_LOG. What is read of it stands in it or is a default, and
 * a port is a number. */
#include <stdlib.h>

#include "audit/destination.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fta_audit_destination found;
    fta_text text = {(const char *)data, size};
    if (fta_audit_destination_read(text, &found) != FTA_OK) {
        return 0;
    }
    bool remote = found.kind == FTA_AUDIT_SYSLOG_UDP;
    if (remote != (found.path.data == NULL) ||
        (!remote && found.path.length == 0)) {
        abort();
    }
    if (found.kind == FTA_AUDIT_FILE && !fta_text_equal(found.path, text)) {
        abort();
    }
    if (remote) {
        unsigned long port = 0;
        for (size_t i = 0; i < found.port.length; i++) {
            port = port * 10 + (unsigned long)(found.port.data[i] - '0');
        }
        if (port < 1 || port > 65535 || found.host.length == 0 ||
            found.host.length > FTA_AUDIT_HOST_MAX ||
            memchr(found.host.data, 0, found.host.length) != NULL) {
            abort();
        }
    }
    return 0;
}
