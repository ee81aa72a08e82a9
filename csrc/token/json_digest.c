#include "token/json_digest.h"

/* What is known of a container that is still open. */
typedef struct level {
    bool is_object;
    uint64_t members; /* so far: a sum in an object, a chain in an array */
    uint64_t name;    /* digest of the pending member's name */
} level;

static fta_status
digest_scalar(const fta_json_event *event, const fta_json_seed *seed,
              uint64_t *out)
{
    fta_text text = event->text;
    double number;
    fta_status status;
    switch (event->kind) {
    case FTA_JSON_INTEGER:
        if (fta_text_is(text, "-0")) {
            text = (fta_text){"0", 1};
        }
        break;
    case FTA_JSON_REAL:
        status = fta_json_double(text, &number);
        if (status != FTA_OK) {
            return status;
        }
        text = (fta_text){(const char *)&number, sizeof number};
        break;
    case FTA_JSON_STRING:
    case FTA_JSON_NAME:
        break;
    default:
        text = (fta_text){"", 0};
        break;
    }
    *out = fta_json_hash(seed, event->kind, text.data, text.length);
    return FTA_OK;
}

static void
add_member(level *to, const fta_json_seed *seed, uint64_t value)
{
    if (to->is_object) {
        uint64_t pair[2] = {to->name, value};
        to->members += fta_json_hash(seed, FTA_JSON_OBJECT, pair, sizeof pair);
    } else {
        uint64_t chain[2] = {to->members, value};
        to->members = fta_json_hash(seed, FTA_JSON_ARRAY, chain, sizeof chain);
    }
}

static fta_status
digest_events(fta_json *reader, const fta_json_seed *seed, uint64_t *out)
{
    /* The first level is the text itself, as an array of one value. */
    level levels[FTA_JSON_DEPTH + 1];
    level *top = levels;
    top->is_object = false;
    top->members = 0;
    bool first = true;
    for (;;) {
        fta_json_event event;
        uint64_t value;
        fta_status status = fta_json_next(reader, &event);
        if (status != FTA_OK) {
            return status;
        }
        if (first && event.kind != FTA_JSON_OBJECT) {
            return FTA_JSON_NOT_OBJECT;
        }
        first = false;
        switch (event.kind) {
        case FTA_JSON_END:
            *out = top->members;
            return FTA_OK;
        case FTA_JSON_OBJECT:
        case FTA_JSON_ARRAY:
            top++;
            top->is_object = event.kind == FTA_JSON_OBJECT;
            top->members = 0;
            break;
        case FTA_JSON_OBJECT_END:
        case FTA_JSON_ARRAY_END:
            value = fta_json_hash(seed, event.kind, &top->members,
                                  sizeof top->members);
            top--;
            add_member(top, seed, value);
            break;
        default:
            status = digest_scalar(&event, seed, &value);
            if (status != FTA_OK) {
                return status;
            }
            if (event.kind == FTA_JSON_NAME) {
                top->name = value;
            } else {
                add_member(top, seed, value);
            }
        }
    }
}

fta_status
fta_json_digest(char *text, size_t length, const fta_json_seed *seed,
                uint64_t *out)
{
    fta_json reader;
    fta_json_start(&reader, text, length, seed);
    fta_status status = digest_events(&reader, seed, out);
    fta_json_finish(&reader);
    return status;
}
