#include "token/peek.h"

#include "base/alloc.h"
#include "base/base64url.h"

fta_status
fta_token_split(fta_text text, fta_token_segments *out)
{
    const char *end = text.data + text.length;
    const char *first = memchr(text.data, '.', text.length);
    if (first == NULL) {
        return FTA_NOT_THREE_SEGMENTS;
    }
    const char *body = first + 1;
    const char *second = memchr(body, '.', (size_t)(end - body));
    if (second == NULL) {
        return FTA_NOT_THREE_SEGMENTS;
    }
    out->header = (fta_text){text.data, (size_t)(first - text.data)};
    out->payload = (fta_text){body, (size_t)(second - body)};
    out->signature = (fta_text){second + 1, (size_t)(end - second - 1)};
    return out->header.length == 0 || out->payload.length == 0 ||
                   out->signature.length == 0 ||
                   memchr(out->signature.data, '.', out->signature.length) !=
                       NULL
               ? FTA_NOT_THREE_SEGMENTS
               : FTA_OK;
}

/* Reads a whole JSON object, and the string that is its member of that name. */
static fta_status
read_member(char *json, size_t length, const fta_json_seed *seed, fta_text name,
            fta_text *out)
{
    fta_json reader;
    fta_json_event event;
    fta_json_start(&reader, json, length, seed);
    fta_status status = fta_json_next(&reader, &event);
    if (status == FTA_OK && event.kind != FTA_JSON_OBJECT) {
        status = FTA_JSON_NOT_OBJECT;
    }
    while (status == FTA_OK) {
        status = fta_json_next(&reader, &event);
        if (status != FTA_OK || event.kind == FTA_JSON_OBJECT_END) {
            break;
        }
        bool wanted = fta_text_equal(event.text, name);
        status = fta_json_next(&reader, &event);
        if (status != FTA_OK) {
            break;
        }
        if (wanted && event.kind == FTA_JSON_STRING) {
            *out = event.text;
        }
        if (event.kind == FTA_JSON_OBJECT || event.kind == FTA_JSON_ARRAY) {
            status = fta_json_leave(&reader, NULL);
        }
    }
    if (status == FTA_OK) {
        status = fta_json_next(&reader, &event); /* FTA_JSON_END, or too much */
    }
    fta_json_finish(&reader);
    return status;
}

static fta_status
read_segment(fta_text segment, char *room, const fta_json_seed *seed,
             fta_text name, fta_text *out)
{
    if (!fta_base64url_decode(segment.data, segment.length, (uint8_t *)room)) {
        return FTA_BASE64URL_INVALID;
    }
    return read_member(room, FTA_BASE64_SIZE(segment.length), seed, name, out);
}

fta_status
fta_peek_open(fta_text token, fta_text claim, const fta_json_seed *seed,
              fta_peek *out)
{
    static const fta_text kid = {"kid", 3};
    *out = (fta_peek){{NULL, 0}, {NULL, 0}, NULL};
    fta_token_segments segments;
    fta_status status = fta_token_split(token, &segments);
    if (status != FTA_OK) {
        return status;
    }
    const size_t header_size = FTA_BASE64_SIZE(segments.header.length);
    out->octets =
        fta_malloc(header_size + FTA_BASE64_SIZE(segments.payload.length) + 1);
    if (out->octets == NULL) {
        return FTA_NO_MEMORY;
    }
    status = read_segment(segments.header, out->octets, seed, kid, &out->kid);
    if (status == FTA_OK) {
        status = read_segment(segments.payload, out->octets + header_size, seed,
                              claim, &out->claim);
    }
    return status;
}

void
fta_peek_close(fta_peek *peek)
{
    fta_free(peek->octets);
    peek->octets = NULL;
}
