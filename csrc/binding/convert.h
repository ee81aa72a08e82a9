/* Between C values and Python objects. */
#ifndef FTA_BINDING_CONVERT_H
#define FTA_BINDING_CONVERT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>

#include "base/json.h"
#include "base/text.h"
#include "base/words.h"

/* A str as UTF-8. The text lives as long as the str, which the caller must
 * hold. TypeError that names the argument for another type, ValueError for lone
 * surrogates. */
bool fta_utf8_from_str(PyObject *value, const char *argument, fta_text *out);

/* So many interned names in a tuple, for the state of the module. */
PyObject *fta_interned_names(const char *const *names, Py_ssize_t count);

/* A new tuple of the words as interned str. */
PyObject *fta_words_as_tuple(const fta_words *words);

/* Adds that tuple to the module. */
int fta_add_words(PyObject *module, const char *name, const fta_words *words);

/* The place of a word among those that the argument may be. TypeError for what
 * is no str, ValueError that lists the words for another word. */
bool fta_word_from_str(PyObject *value, const char *argument,
                       const fta_words *words, size_t *place);

/* The octets of a bytes object, or the characters of a str, one octet each, as
 * a client sent them. A character beyond Latin-1 becomes '?', which no token
 * has. *holder is a new reference to the object that the text is in: the text
 * lives as long as it. NULL on failure. TypeError that names the argument for
 * another type. */
bool fta_octets_from_object(PyObject *value, const char *argument,
                            fta_text *out, PyObject **holder);

/* The text of a str whose characters are octets, as those of WSGI are, without
 * a copy: it lives as long as the str. Absent for any other object and NULL. */
static inline fta_text
fta_latin1_view(PyObject *value)
{
    fta_text text = {NULL, 0};
    if (value != NULL && PyUnicode_Check(value) && PyUnicode_IS_READY(value) &&
        PyUnicode_KIND(value) == PyUnicode_1BYTE_KIND) {
        text.data = (const char *)PyUnicode_1BYTE_DATA(value);
        text.length = (size_t)PyUnicode_GET_LENGTH(value);
    }
    return text;
}

/* Makes Python objects of the events of a JSON text. It is the context of a
 * sink. */
typedef struct fta_builder {
    PyObject *root; /* Owned; NULL before the first */
    PyObject *name; /* Owned; of the pending member */
    /* Owned: an allocation may run the garbage collector, and so foreign code,
     * which can find the root and empty it. */
    PyObject *containers[FTA_JSON_DEPTH];
    unsigned depth;
} fta_builder;

/* The accept of an fta_json_sink. False with an exception set. */
bool fta_builder_accept(void *builder, const fta_json_event *event);
void fta_builder_clear(fta_builder *builder);

#endif
