/* A strict JSON reader (RFC 8259) for text that an attacker may have written.
 *
 * It reads forward only and gives one event at a time, so neither nesting nor
 * size takes stack. A text is invalid if two readers could understand it in two
 * ways: invalid UTF-8, lone surrogates, a name twice in one object (at any
 * depth, compared after unescaping), a byte order mark, anything behind the
 * value. Nesting beyond FTA_JSON_DEPTH and numbers of more than FTA_JSON_NUMBER
 * characters are invalid too.
 *
 * Its time is linear in the length of the text. Once an object has more than a
 * few names, a hash with a secret seed finds repeated ones. */
#ifndef FTA_BASE_JSON_H
#define FTA_BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"

/* RFC 8259, section 9, allows limits. Usual tokens are far below them. Python
 * converts 640 digits under any setting of int_max_str_digits. */
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

/* The seed for hashes of names. Whoever writes the text must not know it. */
typedef struct fta_json_seed {
    uint64_t words[2];
} fta_json_seed;

/* SipHash-1-3. Nobody can find two inputs with one hash without the seed. */
uint64_t fta_json_hash(const fta_json_seed *seed, uint64_t domain,
                       const void *data, size_t length);

/* How many names, of all open objects together, need no memory. */
#define FTA_JSON_FEW 16

typedef struct fta_json_name {
    const char *text; /* Borrowed from the text being read */
    uint32_t length;
    uint32_t hash; /* set in an object that uses the table */
} fta_json_name;

/* Private to the reader. It is declared here so that it can be on the stack. */
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

/* Reading changes the text, because strings are unescaped in place. The texts
 * of events are valid as long as it is. */
void fta_json_start(fta_json *reader, char *text, size_t length,
                    const fta_json_seed *seed);

/* FTA_OK and an event, or what is wrong. Must not be called again after an
 * error or FTA_JSON_END. */
fta_status fta_json_next(fta_json *reader, fta_json_event *event);

/* Receives events. Reading stops with FTA_STOPPED when accept returns false. */
typedef struct fta_json_sink {
    bool (*accept)(void *context, const fta_json_event *event);
    void *context;
} fta_json_sink;

/* As fta_json_next, and gives the event to the sink, which may be NULL. */
fta_status fta_json_next_to(fta_json *reader, const fta_json_sink *sink,
                            fta_json_event *event);

/* Reads what is left of the innermost container, its end included. */
fta_status fta_json_leave(fta_json *reader, const fta_json_sink *sink);

/* Frees the memory of the reader. The texts of events stay valid. */
void fta_json_finish(fta_json *reader);

/* The nearest double to a number's text, under any locale. Infinity if no
 * double is that large. */
fta_status fta_json_double(fta_text number, double *out);

#endif
