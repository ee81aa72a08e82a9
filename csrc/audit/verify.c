#include "audit/verify.h"

#include <string.h>

#include "audit/chained.h"

const char *
fta_audit_finding_text(fta_audit_finding finding)
{
    static const char *const texts[] = {
#define X(name, text) text,
        FTA_AUDIT_FINDING_LIST(X)
#undef X
    };
    return texts[finding];
}

void
fta_audit_verifier_start(fta_audit_verifier *verifier,
                         fta_audit_key *const *keys, size_t key_count)
{
    *verifier = (fta_audit_verifier){.keys = keys, .key_count = key_count};
}

void
fta_audit_verifier_file(fta_audit_verifier *verifier)
{
    verifier->line = 0;
    verifier->octets = 0;
}

/* Whether one of the keys has signed prefix and text. */
static bool
is_signed(const fta_audit_verifier *verifier, fta_text message,
          const uint8_t signature[FTA_AUDIT_SIGNATURE])
{
    for (size_t i = 0; i < verifier->key_count; i++) {
        if (fta_audit_key_verifies(verifier->keys[i], message, signature)) {
            return true;
        }
    }
    return false;
}

/* A control line is short: its form says how long it may be. */
#define CONTROL_MAX 1024

static fta_audit_finding
check_signature(const fta_audit_verifier *verifier,
                const fta_audit_chained *line)
{
    char message[sizeof FTA_AUDIT_SIGNED_LINE + CONTROL_MAX];
    size_t prefix = sizeof FTA_AUDIT_SIGNED_LINE - 1;
    if (line->signed_text.length > CONTROL_MAX) {
        return FTA_AUDIT_FOUND_SIGNATURE;
    }
    memcpy(message, FTA_AUDIT_SIGNED_LINE, prefix);
    memcpy(message + prefix, line->signed_text.data, line->signed_text.length);
    return is_signed(verifier,
                     (fta_text){message, prefix + line->signed_text.length},
                     line->signature)
               ? FTA_AUDIT_FOUND_NOTHING
               : FTA_AUDIT_FOUND_SIGNATURE;
}

static fta_audit_finding
check_erasure(const fta_audit_verifier *verifier, const fta_audit_chained *line)
{
    char message[sizeof FTA_AUDIT_SIGNED_ERASURE + FTA_AUDIT_DIGEST];
    size_t prefix = sizeof FTA_AUDIT_SIGNED_ERASURE - 1;
    memcpy(message, FTA_AUDIT_SIGNED_ERASURE, prefix);
    memcpy(message + prefix, line->digest, FTA_AUDIT_DIGEST);
    return is_signed(verifier, (fta_text){message, prefix + FTA_AUDIT_DIGEST},
                     line->signature)
               ? FTA_AUDIT_FOUND_NOTHING
               : FTA_AUDIT_FOUND_ERASURE;
}

/* Whether a line follows the last one, and which digest its own one covers. */
static fta_audit_finding
check_place(const fta_audit_verifier *verifier, const fta_audit_chained *line,
            uint8_t previous[FTA_AUDIT_DIGEST])
{
    bool control = line->event.data != NULL;
    memcpy(previous, verifier->digest, FTA_AUDIT_DIGEST);
    /* So that no line is moved from the end of a file into the next one. */
    if (fta_text_is(line->event, "begins") && verifier->octets != line->count) {
        return FTA_AUDIT_FOUND_BEGINNING;
    }
    if (verifier->first == 0) {
        /* The first line that is left: it has the digest of the one before. */
        if (!control || line->n == 0) {
            return FTA_AUDIT_FOUND_MISSING;
        }
        memcpy(previous, line->previous, FTA_AUDIT_DIGEST);
        return line->n > 1 && verifier->before != 0 ? FTA_AUDIT_FOUND_BEGINNING
                                                    : FTA_AUDIT_FOUND_NOTHING;
    }
    if (line->n == 1) {
        return FTA_AUDIT_FOUND_ANEW;
    }
    if (line->n != verifier->n + 1) {
        return line->n > verifier->n ? FTA_AUDIT_FOUND_MISSING
                                     : FTA_AUDIT_FOUND_REPEATED;
    }
    return control && memcmp(line->previous, previous, FTA_AUDIT_DIGEST) != 0
               ? FTA_AUDIT_FOUND_CHANGED
               : FTA_AUDIT_FOUND_NOTHING;
}

static fta_audit_finding
check_digests(const fta_audit_verifier *verifier, const fta_audit_chained *line,
              const uint8_t previous[FTA_AUDIT_DIGEST])
{
    const fta_text covered[] = {{(const char *)previous, FTA_AUDIT_DIGEST},
                                line->covered};
    uint8_t digest[FTA_AUDIT_DIGEST];
    if (!fta_audit_digest(verifier->keys[0], covered, 2, digest)) {
        return FTA_AUDIT_FOUND_FAILED;
    }
    if (memcmp(digest, line->digest, sizeof digest) != 0) {
        return FTA_AUDIT_FOUND_CHANGED;
    }
    if (line->personal.data == NULL) {
        return FTA_AUDIT_FOUND_NOTHING;
    }
    if (!fta_audit_digest(verifier->keys[0], &line->personal, 1, digest)) {
        return FTA_AUDIT_FOUND_FAILED;
    }
    return memcmp(digest, line->commitment, sizeof digest) != 0
               ? FTA_AUDIT_FOUND_PERSONAL
               : FTA_AUDIT_FOUND_NOTHING;
}

static void
count(fta_audit_verifier *verifier, const fta_audit_chained *line)
{
    if (verifier->first == 0) {
        verifier->first = line->n;
    }
    verifier->n = line->n;
    memcpy(verifier->digest, line->digest, FTA_AUDIT_DIGEST);
    if (line->event.data != NULL) {
        verifier->signed_n = line->n;
    }
    if (fta_text_is(line->event, "pruned") && line->count > verifier->pruned) {
        verifier->pruned = line->count;
    }
    if (line->erased) {
        verifier->erased++;
    }
}

static fta_audit_finding
check_line(fta_audit_verifier *verifier, fta_text text)
{
    fta_audit_chained line;
    uint8_t previous[FTA_AUDIT_DIGEST];
    if (!fta_audit_chained_read(text, &line)) {
        if (verifier->first == 0) {
            verifier->before++;
            return FTA_AUDIT_FOUND_NOTHING;
        }
        return FTA_AUDIT_FOUND_FOREIGN;
    }
    fta_audit_finding finding = check_place(verifier, &line, previous);
    if (finding == FTA_AUDIT_FOUND_NOTHING) {
        finding = check_digests(verifier, &line, previous);
    }
    if (finding == FTA_AUDIT_FOUND_NOTHING && line.event.data != NULL) {
        finding = check_signature(verifier, &line);
    }
    if (finding == FTA_AUDIT_FOUND_NOTHING && line.erased) {
        finding = check_erasure(verifier, &line);
    }
    if (finding == FTA_AUDIT_FOUND_NOTHING) {
        count(verifier, &line);
    }
    return finding;
}

fta_audit_finding
fta_audit_verifier_line(fta_audit_verifier *verifier, fta_text line)
{
    verifier->line++;
    fta_audit_finding finding = check_line(verifier, line);
    verifier->octets += line.length + 1;
    return finding;
}

fta_audit_finding
fta_audit_verifier_cut_line(fta_audit_verifier *verifier)
{
    verifier->line++;
    if (verifier->first == 0) {
        verifier->before++;
        return FTA_AUDIT_FOUND_NOTHING;
    }
    return FTA_AUDIT_FOUND_FOREIGN;
}
