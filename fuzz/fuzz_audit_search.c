/* Any text, searched for words and times, against a search that looks at one
 * octet after the other. The first octet says how many words there are, and the
 * next ones how long they are; then come times, the words and the text. */
#include <stdlib.h>

#include "audit/search.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BEGINNING "{\"time\":\""

static bool
has(fta_text line, fta_text word)
{
    for (size_t i = 0; i + word.length <= line.length; i++) {
        size_t same = 0;
        while (same < word.length && line.data[i + same] == word.data[same]) {
            same++;
        }
        if (same == word.length) {
            return true;
        }
    }
    return false;
}

static int
compare(fta_text line, fta_text time)
{
    size_t skipped = sizeof BEGINNING - 1;
    return memcmp(line.data + skipped, time.data, time.length);
}

static bool
fits(const fta_audit_search *search, fta_text line)
{
    size_t skipped = sizeof BEGINNING - 1;
    bool timed =
        line.length >= skipped && memcmp(line.data, BEGINNING, skipped) == 0;
    if (timed && search->since.data != NULL &&
        line.length - skipped >= search->since.length &&
        compare(line, search->since) < 0) {
        return false;
    }
    if (timed && search->until.data != NULL &&
        line.length - skipped >= search->until.length &&
        compare(line, search->until) >= 0) {
        return false;
    }
    for (size_t i = 0; i < search->count; i++) {
        if (!has(line, search->words[i])) {
            return false;
        }
    }
    return true;
}

static fta_text
take(fta_text *rest, size_t length)
{
    fta_text taken = {rest->data,
                      length < rest->length ? length : rest->length};
    rest->data += taken.length;
    rest->length -= taken.length;
    return taken;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fta_text words[3], rest = {(const char *)data, size}, line;
    fta_audit_search search = {.words = words};
    if (size < 4) {
        return 0;
    }
    size_t count = data[0] % 4, length = 1 + data[1] % 4;
    rest = (fta_text){rest.data + 4, rest.length - 4};
    if (data[2] % 2 == 1) {
        search.since = take(&rest, data[2] / 2 % 8);
    }
    if (data[3] % 2 == 1) {
        search.until = take(&rest, data[3] / 2 % 8);
    }
    for (; search.count < count; search.count++) {
        words[search.count] = take(&rest, length);
        if (words[search.count].length == 0) {
            return 0;
        }
    }
    size_t from = 0, expected = 0;
    while (fta_audit_search_next(&search, rest, &from, &line)) {
        for (;;) { /* to the next line that fits */
            if (expected >= rest.length) {
                abort();
            }
            fta_text each = {rest.data + expected, rest.length - expected};
            const char *feed = memchr(each.data, '\n', each.length);
            each.length =
                feed == NULL ? each.length : (size_t)(feed - each.data);
            expected += each.length + 1;
            if (fits(&search, each)) {
                if (each.data != line.data || each.length != line.length) {
                    abort();
                }
                break;
            }
        }
    }
    while (expected < rest.length) { /* and none is left */
        fta_text each = {rest.data + expected, rest.length - expected};
        const char *feed = memchr(each.data, '\n', each.length);
        each.length = feed == NULL ? each.length : (size_t)(feed - each.data);
        expected += each.length + 1;
        if (fits(&search, each)) {
            abort();
        }
    }
    return 0;
}
