/* Lines without a chain, in a file that any number of processes append to. */
#include "audit/file.h"
#include "audit/line.h"
#include "audit/sink.h"

#include <errno.h>

static int
write_plain(void *sink, const fta_audit_entry *entry,
            fta_audit_outcome *outcome)
{
    fta_audit_file *file = sink;
    fta_audit_file_follow(file, false, outcome);
    fta_audit_line line;
    if (!fta_audit_line_make(&line, entry)) {
        return ENOMEM;
    }
    int error = fta_audit_file_append(file, line.text, line.used);
    fta_audit_line_free(&line);
    return error;
}

static void
reopen_plain(void *sink)
{
    fta_audit_file_reopen(sink);
}

static void
close_plain(void *sink)
{
    fta_audit_file_close(sink);
}

fta_status
fta_audit_open_plain(fta_text path, fta_audit_sink *out)
{
    static const fta_audit_sink_type type = {write_plain, NULL, reopen_plain,
                                             close_plain};
    fta_audit_file *file = NULL;
    fta_status status = fta_audit_file_open(path, &file);
    *out = (fta_audit_sink){&type, file};
    return status;
}
