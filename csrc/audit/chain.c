#include "audit/chain.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit/chained.h"
#include "audit/moved.h"
#include "base/base64url.h"
#include "base/clock.h"

#define PARTS_MAX 5
#define MIDDLE_MAX 128 /* ,"n":N,"personal":"C" */
#define TRAILER_MAX 80 /* ,"digest":"D"} */

/* --- The head ------------------------------------------------------------- */

static int
save(fta_audit_chain *chain)
{
    char octets[FTA_AUDIT_HEAD_OCTETS];
    if (!fta_audit_head_write(&chain->head, chain->keys[0], octets)) {
        return EIO;
    }
    ssize_t written = pwrite(chain->descriptor, octets, sizeof octets, 0);
    if (written == (ssize_t)sizeof octets) {
        memcpy(chain->saved, octets, sizeof octets);
        return 0;
    }
    int error = written < 0 ? errno : ENOSPC;
    if (written > 0) {
        /* A part was replaced: it is put back. */
        ssize_t restored =
            pwrite(chain->descriptor, chain->saved, (size_t)written, 0);
        (void)restored;
    }
    return error;
}

/* The intended line was written. */
static void
advance(fta_audit_head *head)
{
    head->n++;
    head->offset += head->intended;
    head->intended = 0;
    memcpy(head->digest, head->intended_digest, FTA_AUDIT_DIGEST);
}

/* Whether the intended line is in the file. A part of it is cut off. */
static bool
was_written(const fta_audit_head *head, int descriptor)
{
    struct stat found;
    if (fstat(descriptor, &found) != 0) {
        return true;
    }
    uint64_t size = (uint64_t)found.st_size;
    if (size >= head->offset + head->intended) {
        return true;
    }
    if (size > head->offset) {
        /* If this fails, the next line begins after a line feed. */
        int cut = ftruncate(descriptor, (off_t)head->offset);
        (void)cut;
    }
    return false;
}

/* The writer of the intended line was killed, or could not save that it was
 * done. Of a line in a file that is gone nobody knows: it is taken as written,
 * so that it is never taken twice. */
static void
settle(fta_audit_chain *chain)
{
    struct stat found;
    bool written = true;
    int moved = -1;
    if (fta_audit_file_stat(chain->file, &found) &&
        found.st_ino == chain->head.inode) {
        written =
            was_written(&chain->head, fta_audit_file_descriptor(chain->file));
    } else {
        moved = fta_audit_open_moved(chain->path, chain->head.inode);
    }
    if (moved >= 0) {
        written = was_written(&chain->head, moved);
        (void)close(moved);
    }
    if (written) {
        advance(&chain->head);
    }
    chain->head.intended = 0;
}

int
fta_audit_chain_load(fta_audit_chain *chain, bool *anew)
{
    char *octets = chain->saved;
    ssize_t length = pread(chain->descriptor, octets, sizeof chain->saved, 0);
    *anew = false;
    if (length < 0) {
        return errno;
    }
    if (!fta_audit_head_read((fta_text){octets, (size_t)length}, chain->keys,
                             chain->key_count, &chain->head)) {
        chain->head = (fta_audit_head){.n = 0};
        *anew = length != 0;
    }
    if (chain->head.intended != 0) {
        settle(chain);
    }
    return 0;
}

/* --- Lines ---------------------------------------------------------------- */

/* Appends a line of so many parts, of which the last but one is covered and the
 * last is the place of its digest. The head says first what is intended. */
static int
append(fta_audit_chain *chain, struct iovec *parts, int count,
       const fta_text *covered, size_t covered_count)
{
    char trailer[TRAILER_MAX];
    fta_audit_head *head = &chain->head;
    fta_text hashed[PARTS_MAX] = {
        {(const char *)head->digest, FTA_AUDIT_DIGEST}};
    memcpy(hashed + 1, covered, covered_count * sizeof *covered);
    if (!fta_audit_digest(chain->keys[0], hashed, covered_count + 1,
                          head->intended_digest)) {
        return ENOMEM;
    }
    fta_audit_line digest = {.text = trailer};
    FTA_AUDIT_PUT(&digest, ",\"digest\":\"");
    fta_audit_put_hex(&digest, head->intended_digest, FTA_AUDIT_DIGEST);
    FTA_AUDIT_PUT(&digest, "\"}\n");
    parts[count++] = (struct iovec){trailer, digest.used};
    head->intended = 0;
    for (int i = 0; i < count; i++) {
        head->intended += parts[i].iov_len;
    }
    int error = save(chain);
    if (error != 0) {
        return error;
    }
    error = fta_audit_file_append_whole(chain->file, parts, count,
                                        (off_t)head->offset);
    if (error == 0) {
        advance(head);
    }
    head->intended = 0;
    /* If this fails, the next writer finds out by the size of the log. */
    (void)save(chain);
    return error;
}

int
fta_audit_chain_append(fta_audit_chain *chain, const fta_audit_line *line,
                       const uint8_t commitment[FTA_AUDIT_DIGEST])
{
    char text[MIDDLE_MAX];
    fta_audit_line middle = {.text = text};
    middle.used = (size_t)sprintf(text, ",\"n\":%llu,\"personal\":\"",
                                  (unsigned long long)chain->head.n + 1);
    fta_audit_put_hex(&middle, commitment, FTA_AUDIT_DIGEST);
    FTA_AUDIT_PUT(&middle, "\"");
    const fta_text covered[] = {{line->text, line->personal},
                                {text, middle.used}};
    struct iovec parts[PARTS_MAX] = {
        {line->text, line->personal},
        {text, middle.used},
        {line->text + line->personal, line->used - line->personal},
    };
    return append(chain, parts, 3, covered, 2);
}

static int
append_control(fta_audit_chain *chain, const char *event, uint64_t count,
               bool on_new_line)
{
    static const char prefix[] = FTA_AUDIT_SIGNED_LINE;
    char text[FTA_AUDIT_LINE_FRAME];
    fta_audit_line line = {.text = text};
    FTA_AUDIT_PUT(&line, FTA_AUDIT_SIGNED_LINE);
    FTA_AUDIT_PUT(&line, "{\"time\":\"");
    fta_audit_put_time(&line);
    line.used +=
        (size_t)sprintf(text + line.used, "\",\"event\":\"%s\",\"n\":%llu,",
                        event, (unsigned long long)chain->head.n + 1);
    FTA_AUDIT_PUT(&line, "\"previous\":\"");
    fta_audit_put_hex(&line, chain->head.digest, FTA_AUDIT_DIGEST);
    line.used +=
        (size_t)sprintf(text + line.used, "\",\"count\":%llu,\"key\":\"",
                        (unsigned long long)count);
    fta_audit_put_hex(&line, fta_audit_key_public_octets(chain->keys[0]), 8);
    FTA_AUDIT_PUT(&line, "\"");

    uint8_t signature[FTA_AUDIT_SIGNATURE];
    if (fta_audit_key_sign(chain->keys[0], (fta_text){text, line.used},
                           signature) != FTA_OK) {
        return ENOMEM;
    }
    FTA_AUDIT_PUT(&line, ",\"signature\":\"");
    line.used +=
        fta_base64url_encode(signature, sizeof signature, text + line.used);
    FTA_AUDIT_PUT(&line, "\"");
    size_t skipped = sizeof prefix - 1;
    const fta_text covered = {text + skipped, line.used - skipped};
    struct iovec parts[PARTS_MAX] = {
        {(void *)(uintptr_t)"\n", on_new_line ? 1 : 0},
        {text + skipped, line.used - skipped},
    };
    int error = append(chain, parts, 2, &covered, 1);
    if (error == 0) {
        chain->head.signed_at = (uint64_t)(fta_clock_realtime_us() / 1000000);
        (void)save(chain);
    }
    return error;
}

int
fta_audit_chain_append_control(fta_audit_chain *chain, const char *event,
                               uint64_t count)
{
    return append_control(chain, event, count, false);
}

int
fta_audit_chain_sign_if_due(fta_audit_chain *chain)
{
    fta_audit_head *head = &chain->head;
    struct stat found;
    if (!fta_audit_file_stat(chain->file, &found)) {
        return errno;
    }
    uint64_t size = (uint64_t)found.st_size;
    if (head->n == 0 || head->inode != found.st_ino || head->offset != size) {
        head->inode = found.st_ino;
        head->offset = size;
        /* After a line feed, because another line may be incomplete. */
        return append_control(chain, "begins", size == 0 ? 0 : size + 1,
                              size != 0);
    }
    uint64_t now = (uint64_t)(fta_clock_realtime_us() / 1000000);
    return now - head->signed_at < FTA_AUDIT_SIGN_EVERY
               ? 0
               : append_control(chain, "signed", 0, false);
}
