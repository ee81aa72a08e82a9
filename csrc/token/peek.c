#include "token/peek.h"

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

static fta_status
find_member(fta_json *reader, fta_text name, fta_text *out)
{
    fta_json_event event;
    fta_status status = fta_json_next(reader, &event);
    if (status == FTA_OK && event.kind != FTA_JSON_OBJECT) {
        return FTA_JSON_NOT_OBJECT;
    }
    while (status == FTA_OK) {
        status = fta_json_next(reader, &event);
        if (status != FTA_OK || event.kind == FTA_JSON_OBJECT_END) {
            break;
        }
        bool found = fta_text_equal(event.text, name);
        status = fta_json_next(reader, &event);
        if (status != FTA_OK) {
            break;
        }
        if (found && event.kind == FTA_JSON_STRING) {
            *out = event.text;
        }
        if (event.kind == FTA_JSON_OBJECT || event.kind == FTA_JSON_ARRAY) {
            status = fta_json_leave(reader, NULL);
        }
    }
    return status == FTA_OK ? fta_json_next(reader, &event) : status;
}

fta_status
fta_token_peek(fta_text segment, fta_text name, const fta_json_seed *seed,
               char *room, fta_text *out)
{
    *out = (fta_text){NULL, 0};
    if (!fta_base64url_decode(segment.data, segment.length, (uint8_t *)room)) {
        return FTA_BASE64URL_INVALID;
    }
    fta_json reader;
    fta_json_start(&reader, room, FTA_BASE64_SIZE(segment.length), seed);
    fta_status status = find_member(&reader, name, out);
    fta_json_finish(&reader);
    return status;
}
