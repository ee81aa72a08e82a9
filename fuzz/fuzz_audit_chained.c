/* Any text as the lines of a chain, and as its head. What is read of a line
 * stands in the line. Two texts verify as one chain only if they are equal in
 * all but values that a signature allows to be gone: so a text that verifies
 * up to its end is made of lines that are read. */
#include <stdlib.h>

#include "audit/chained.h"
#include "audit/head.h"
#include "audit/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
is_inside(fta_text part, fta_text whole)
{
    return part.data == NULL ||
           (part.data >= whole.data &&
            part.data + part.length <= whole.data + whole.length);
}

static void
check_line(fta_text line)
{
    fta_audit_chained found;
    if (!fta_audit_chained_read(line, &found)) {
        return;
    }
    bool control = found.event.data != NULL;
    if (!is_inside(found.covered, line) || !is_inside(found.personal, line) ||
        !is_inside(found.event, line) || !is_inside(found.signed_text, line) ||
        found.covered.data != line.data ||
        (control && (found.personal.data != NULL || found.erased)) ||
        (!control && found.erased == (found.personal.data != NULL))) {
        abort();
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char octets[FTA_AUDIT_KEY] = "a key";
    static fta_audit_key *key;
    if (key == NULL &&
        fta_audit_key_make((fta_text){octets, sizeof octets}, &key) != FTA_OK) {
        abort();
    }
    fta_text text = {(const char *)data, size};
    fta_audit_head head;
    if (fta_audit_head_read(text, &key, 1, &head)) {
        abort(); /* an HMAC was guessed */
    }
    fta_audit_verifier verifier;
    fta_audit_verifier_start(&verifier, &key, 1);
    fta_audit_verifier_file(&verifier);
    const char *line = text.data, *end = text.data + size;
    fta_audit_finding finding = FTA_AUDIT_FOUND_NOTHING;
    while (line < end) {
        const char *feed = memchr(line, '\n', (size_t)(end - line));
        fta_text each = {line, (size_t)((feed == NULL ? end : feed) - line)};
        check_line(each);
        if (finding == FTA_AUDIT_FOUND_NOTHING) {
            finding = fta_audit_verifier_line(&verifier, each);
        }
        line += each.length + 1;
    }
    if (verifier.first != 0) {
        abort(); /* a signature was guessed */
    }
    return 0;
}
