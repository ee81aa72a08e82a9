#include "binding/audit_functions.h"

#include "binding/errors.h"
#include "binding/keywords.h"

#include "audit/chained.h"
#include "audit/head.h"
#include "audit/search.h"
#include "audit/verify.h"
#include "base/base64url.h"

static fta_text
text_of_bytes(PyObject *bytes)
{
    return (fta_text){PyBytes_AS_STRING(bytes),
                      (size_t)PyBytes_GET_SIZE(bytes)};
}

static PyObject *
hex_of(const uint8_t *octets, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    char text[2 * FTA_AUDIT_DIGEST];
    for (size_t i = 0; i < size; i++) {
        text[2 * i] = digits[octets[i] >> 4];
        text[2 * i + 1] = digits[octets[i] & 15];
    }
    return PyUnicode_FromStringAndSize(text, (Py_ssize_t)(2 * size));
}

/* --- keys ------------------------------------------------------------------
 */

typedef struct key_list {
    fta_audit_key *keys[FTA_AUDIT_KEYS_MAX]; /* Owned */
    size_t count;
} key_list;

static void
free_keys(key_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        fta_audit_key_free(list->keys[i]);
    }
    list->count = 0;
}

/* A tuple of bytes: keys of FTA_AUDIT_KEY octets, or public ones. */
static bool
read_keys(PyObject *tuple, key_list *out)
{
    out->count = 0;
    if (PyTuple_GET_SIZE(tuple) > FTA_AUDIT_KEYS_MAX) {
        PyErr_Format(PyExc_ValueError, "keys must be at most %d",
                     FTA_AUDIT_KEYS_MAX);
        return false;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple); i++) {
        PyObject *octets = PyTuple_GET_ITEM(tuple, i);
        if (!PyBytes_Check(octets)) {
            PyErr_SetString(PyExc_TypeError, "keys must be a tuple of bytes");
            free_keys(out);
            return false;
        }
        fta_text text = text_of_bytes(octets);
        fta_status status =
            text.length == FTA_AUDIT_PUBLIC
                ? fta_audit_key_public(text, &out->keys[out->count])
                : fta_audit_key_make(text, &out->keys[out->count]);
        if (status != FTA_OK) {
            free_keys(out);
            (void)fta_raise(status);
            return false;
        }
        out->count++;
    }
    return true;
}

PyDoc_STRVAR(audit_public_key_doc,
             "audit_public_key(key, /)\n--\n\n"
             "The Ed25519 public key (RFC 8032), 32 bytes, of the key of a\n"
             "chain. ValueError unless the key has 64 bytes.");

static PyObject *
audit_public_key(PyObject *Py_UNUSED(module), PyObject *value)
{
    if (!PyBytes_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "key must be bytes");
        return NULL;
    }
    fta_audit_key *key;
    fta_status status = fta_audit_key_make(text_of_bytes(value), &key);
    if (status != FTA_OK) {
        return fta_raise(status);
    }
    PyObject *octets = PyBytes_FromStringAndSize(
        (const char *)fta_audit_key_public_octets(key), FTA_AUDIT_PUBLIC);
    fta_audit_key_free(key);
    return octets;
}

PyDoc_STRVAR(sign_audit_erasure_doc,
             "sign_audit_erasure(key, digest)\n--\n\n"
             "The signature, in base64url, that an erased line of this\n"
             "digest has. ValueError unless the key has 64 bytes and the\n"
             "digest 32.");

static PyObject *
sign_audit_erasure(PyObject *Py_UNUSED(module), PyObject *args,
                   PyObject *kwargs)
{
    static char *keywords[] = {"key", "digest", NULL};
    PyObject *octets, *digest;
    fta_audit_key *key = NULL;
    char message[sizeof FTA_AUDIT_SIGNED_ERASURE + FTA_AUDIT_DIGEST];
    const size_t prefix = sizeof FTA_AUDIT_SIGNED_ERASURE - 1;
    uint8_t signature[FTA_AUDIT_SIGNATURE];
    char text[FTA_AUDIT_SIGNATURE_TEXT];
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "SS:sign_audit_erasure",
                                     keywords, &octets, &digest)) {
        return NULL;
    }
    if (PyBytes_GET_SIZE(digest) != FTA_AUDIT_DIGEST) {
        PyErr_SetString(PyExc_ValueError, "digest must have 32 bytes");
        return NULL;
    }
    memcpy(message, FTA_AUDIT_SIGNED_ERASURE, prefix);
    memcpy(message + prefix, PyBytes_AS_STRING(digest), FTA_AUDIT_DIGEST);
    fta_status status = fta_audit_key_make(text_of_bytes(octets), &key);
    if (status == FTA_OK) {
        status = fta_audit_key_sign(
            key, (fta_text){message, prefix + FTA_AUDIT_DIGEST}, signature);
        fta_audit_key_free(key);
    }
    if (status != FTA_OK) {
        return fta_raise(status);
    }
    (void)fta_base64url_encode(signature, sizeof signature, text);
    return PyUnicode_FromStringAndSize(text, sizeof text);
}

FTA_KEYWORDS(PyObject, sign_audit_erasure)

/* --- the head --------------------------------------------------------------
 */

PyDoc_STRVAR(read_audit_head_doc,
             "read_audit_head(head, keys)\n--\n\n"
             "What the head of a chain says: (n, digest, inode, offset,\n"
             "intended). None if none of the keys has made it.");

static PyObject *
read_audit_head(PyObject *Py_UNUSED(module), PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"head", "keys", NULL};
    PyObject *octets, *tuple;
    key_list list;
    fta_audit_head head;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "SO!:read_audit_head",
                                     keywords, &octets, &PyTuple_Type,
                                     &tuple) ||
        !read_keys(tuple, &list)) {
        return NULL;
    }
    bool good = fta_audit_head_read(text_of_bytes(octets), list.keys,
                                    list.count, &head);
    free_keys(&list);
    if (!good) {
        Py_RETURN_NONE;
    }
    return Py_BuildValue(
        "KNKKK", (unsigned long long)head.n,
        hex_of(head.digest, FTA_AUDIT_DIGEST), (unsigned long long)head.inode,
        (unsigned long long)head.offset, (unsigned long long)head.intended);
}

FTA_KEYWORDS(PyObject, read_audit_head)

/* --- lines -----------------------------------------------------------------
 */

/* Verifies all lines of a text; the last one may have no line feed. */
static fta_audit_finding
verify_text(fta_audit_verifier *verifier, fta_text text)
{
    fta_audit_finding finding = FTA_AUDIT_FOUND_NOTHING;
    const char *line = text.data, *end = text.data + text.length;
    while (line < end && finding == FTA_AUDIT_FOUND_NOTHING) {
        const char *feed = memchr(line, '\n', (size_t)(end - line));
        if (feed == NULL) {
            return fta_audit_verifier_cut_line(verifier);
        }
        finding = fta_audit_verifier_line(
            verifier, (fta_text){line, (size_t)(feed - line)});
        line = feed + 1;
    }
    return finding;
}

/* The next part of the lines. false with an exception, or at the end. */
static bool
verify_part(fta_audit_verifier *verifier, PyObject *parts, Py_ssize_t *file,
            fta_audit_finding *finding)
{
    PyObject *part = PyIter_Next(parts);
    if (part == NULL) {
        return false;
    }
    bool good = true;
    if (Py_IsNone(part)) {
        fta_audit_verifier_file(verifier);
        ++*file;
    } else if (PyBytes_Check(part)) {
        fta_text text = text_of_bytes(part);
        Py_BEGIN_ALLOW_THREADS
        *finding = verify_text(verifier, text);
        Py_END_ALLOW_THREADS
    } else {
        PyErr_SetString(PyExc_TypeError, "parts must be bytes or None");
        good = false;
    }
    Py_DECREF(part);
    return good && *finding == FTA_AUDIT_FOUND_NOTHING;
}

PyDoc_STRVAR(verify_audit_lines_doc,
             "verify_audit_lines(parts, keys)\n--\n\n"
             "Verify the lines of a chain. parts yields None before each\n"
             "file, the oldest first, and bytes that are whole lines. The\n"
             "keys have 64 bytes, or 32 if they are public. Returns\n"
             "(finding, file, line, first, n, digest, signed, pruned,\n"
             "before, erased); finding is empty, or says what is wrong with\n"
             "this line of this file, which begin with 0 and 1. Other\n"
             "threads run meanwhile.");

static PyObject *
verify_audit_lines(PyObject *Py_UNUSED(module), PyObject *args,
                   PyObject *kwargs)
{
    static char *keywords[] = {"parts", "keys", NULL};
    PyObject *parts, *tuple, *result = NULL;
    key_list list;
    Py_ssize_t file = -1;
    fta_audit_finding finding = FTA_AUDIT_FOUND_NOTHING;
    fta_audit_verifier verifier;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO!:verify_audit_lines",
                                     keywords, &parts, &PyTuple_Type, &tuple)) {
        return NULL;
    }
    PyObject *iterator = PyObject_GetIter(parts);
    if (iterator == NULL || !read_keys(tuple, &list)) {
        Py_XDECREF(iterator);
        return NULL;
    }
    if (list.count == 0) {
        Py_DECREF(iterator);
        PyErr_SetString(PyExc_ValueError, "keys must hold a key");
        return NULL;
    }
    fta_audit_verifier_start(&verifier, list.keys, list.count);
    while (verify_part(&verifier, iterator, &file, &finding)) {
    }
    if (!PyErr_Occurred()) {
        result = Py_BuildValue("snKKKNKKKK", fta_audit_finding_text(finding),
                               file, (unsigned long long)verifier.line,
                               (unsigned long long)verifier.first,
                               (unsigned long long)verifier.n,
                               hex_of(verifier.digest, FTA_AUDIT_DIGEST),
                               (unsigned long long)verifier.signed_n,
                               (unsigned long long)verifier.pruned,
                               (unsigned long long)verifier.before,
                               (unsigned long long)verifier.erased);
    }
    free_keys(&list);
    Py_DECREF(iterator);
    return result;
}

FTA_KEYWORDS(PyObject, verify_audit_lines)

static bool
read_words(PyObject *tuple, fta_text words[FTA_AUDIT_WORDS_MAX], size_t *count)
{
    if (PyTuple_GET_SIZE(tuple) > FTA_AUDIT_WORDS_MAX) {
        PyErr_Format(PyExc_ValueError, "words must be at most %d",
                     FTA_AUDIT_WORDS_MAX);
        return false;
    }
    for (*count = 0; *count < (size_t)PyTuple_GET_SIZE(tuple); ++*count) {
        PyObject *word = PyTuple_GET_ITEM(tuple, (Py_ssize_t)*count);
        if (!PyBytes_Check(word) || PyBytes_GET_SIZE(word) == 0) {
            PyErr_SetString(PyExc_TypeError,
                            "words must be a tuple of bytes that are not "
                            "empty");
            return false;
        }
        words[*count] = text_of_bytes(word);
    }
    return true;
}

PyDoc_STRVAR(find_audit_lines_doc,
             "find_audit_lines(text, words, since=None, until=None)\n--\n\n"
             "The lines of a text, without their line feeds, that have each\n"
             "of the words in them, and whose time, as bytes of the form\n"
             "2026-11-23T15:28:01.123456Z or the beginning of it, is not\n"
             "before since and is before until. A line that does not begin\n"
             "with a time is at any time. Other threads run meanwhile.");

static PyObject *
find_audit_lines(PyObject *Py_UNUSED(module), PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"text", "words", "since", "until", NULL};
    PyObject *text, *tuple, *since = Py_None, *until = Py_None;
    fta_text words[FTA_AUDIT_WORDS_MAX];
    fta_audit_search search = {.words = words};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "SO!|OO:find_audit_lines",
                                     keywords, &text, &PyTuple_Type, &tuple,
                                     &since, &until) ||
        !read_words(tuple, words, &search.count)) {
        return NULL;
    }
    if ((!Py_IsNone(since) && !PyBytes_Check(since)) ||
        (!Py_IsNone(until) && !PyBytes_Check(until))) {
        PyErr_SetString(PyExc_TypeError,
                        "since and until must be bytes or None");
        return NULL;
    }
    if (!Py_IsNone(since)) {
        search.since = text_of_bytes(since);
    }
    if (!Py_IsNone(until)) {
        search.until = text_of_bytes(until);
    }
    PyObject *found = PyList_New(0);
    size_t from = 0;
    bool more = found != NULL;
    while (more) {
        fta_text line;
        Py_BEGIN_ALLOW_THREADS
        more =
            fta_audit_search_next(&search, text_of_bytes(text), &from, &line);
        Py_END_ALLOW_THREADS
        if (more) {
            PyObject *copy =
                PyBytes_FromStringAndSize(line.data, (Py_ssize_t)line.length);
            if (copy == NULL || PyList_Append(found, copy) < 0) {
                Py_CLEAR(found);
                more = false;
            }
            Py_XDECREF(copy);
        }
    }
    return found;
}

FTA_KEYWORDS(PyObject, find_audit_lines)

#define WITH_KEYWORDS(name) {#name, FTA_KEYWORDS_METHOD(name), name##_doc}

static PyMethodDef functions[] = {
    {"audit_public_key", audit_public_key, METH_O, audit_public_key_doc},
    WITH_KEYWORDS(sign_audit_erasure),
    WITH_KEYWORDS(read_audit_head),
    WITH_KEYWORDS(verify_audit_lines),
    WITH_KEYWORDS(find_audit_lines),
    {NULL, NULL, 0, NULL},
};

int
fta_add_audit_functions(PyObject *module)
{
    return PyModule_AddFunctions(module, functions);
}
