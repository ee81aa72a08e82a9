/* A strict JSON reader (RFC 8259) for text that an attacker wrote.
 *
 * It reads forward only and gives one event at a time, so that neither nesting
 * nor size takes stack. It refuses everything that two readers could take in
 * two ways: invalid UTF-8, lone surrogates, a name repeated in one object (at
 * any depth, compared after unescaping), a byte order mark, and what follows
 * the value. It also refuses nesting beyond FTA_JSON_DEPTH and numbers of more
 * than FTA_JSON_NUMBER characters.
 *
 * Its time is linear in the text: repeated names are found by a hash with a
 * secret seed once an object has more than a few. */
#ifndef FTA_BASE_JSON_H
#define FTA_BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"

/* RFC 8259, section 9, allows limits. No honest token comes near them, and
 * Python converts 640 digits under any setting of int_max_str_digits. */
#define FTA_JSON_DEPTH 64
#define FTA_JSON_NUMBER 640

typedef enum fta_json_kind {
    FTA_JSON_OBJECT,
    FTA_JSON_OBJECT_END,
    FTA_JSON_ARRAY,
    FTA_JSON_ARRAY_END,
    FTA_JSON_NAME,    /* text: the name, unescaped */
    FTA_JSON_STRING,  /* text: the string, unescaped; may contain NUL */
    FTA_JSON_INTEGER, /* text: the number as written */
    FTA_JSON_REAL,    /* a number with a fraction or an exponent */
    FTA_JSON_TRUE,
    FTA_JSON_FALSE,
    FTA_JSON_NULL,
    FTA_JSON_END /* the whole text was read and is valid */
} fta_json_kind;

typedef struct fta_json_event {
    fta_json_kind kind;
    fta_text text; /* Borrowed from the text being read */
} fta_json_event;

/* Seeds the hash of names; unpredictable to whoever writes the text. */
typedef struct fta_json_seed {
    uint64_t words[2];
} fta_json_seed;

/* SipHash-1-3: whoever does not know the seed cannot make texts collide. */
uint64_t fta_json_hash(const fta_json_seed *seed, uint64_t domain,
                       const void *data, size_t length);

/* So many names, of all open objects, need no memory. */
#define FTA_JSON_FEW 16

typedef struct fta_json_name {
    const char *text; /* Borrowed from the text being read */
    uint32_t length;
    uint32_t hash; /* set in an object that uses the table */
} fta_json_name;

/* Private to the reader, here so that it can live on the stack. */
typedef struct fta_json {
    char *cursor;
    char *end;
    const fta_json_seed *seed; /* Borrowed */
    uint8_t expected;
    uint8_t depth;
    uint64_t objects; /* bit d: the container at depth d is an object */
    uint32_t name_count;
    uint32_t first_name[FTA_JSON_DEPTH]; /* of the object at that depth */
    uint32_t slot_mask;
    fta_json_name few[FTA_JSON_FEW];
    fta_json_name *names; /* of all open objects; few, or Owned */
    uint32_t *slots;      /* behind names; index + 1, 0 is free; or NULL */
} fta_json;

/* The text is unescaped in place: it is changed by reading, and the events'
 * texts stay valid as long as it does. */
void fta_json_start(fta_json *reader, char *text, size_t length,
                    const fta_json_seed *seed);

/* FTA_OK and an event, or what is wrong; not to be called again after an
 * error or FTA_JSON_END. */
fta_status fta_json_next(fta_json *reader, fta_json_event *event);

/* Sees events; false stops the reading with FTA_STOPPED. */
typedef struct fta_json_sink {
    bool (*accept)(void *context, const fta_json_event *event);
    void *context;
} fta_json_sink;

/* As fta_json_next, and shows the event to the sink, which may be NULL. */
fta_status fta_json_next_to(fta_json *reader, const fta_json_sink *sink,
                            fta_json_event *event);

/* Reads what is left of the innermost container, its end included. */
fta_status fta_json_leave(fta_json *reader, const fta_json_sink *sink);

/* Frees what reading took; the texts of events stay valid. */
void fta_json_finish(fta_json *reader);

/* The value of a number's text, rounded to the nearest double, whatever the
 * locale; infinite when no double is that large. */
fta_status fta_json_double(fta_text number, double *out);

#endif
