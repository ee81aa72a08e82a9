#include "binding/response_fields.h"

#include <stdbool.h>

#include "binding/convert.h"
#include "binding/environ.h"
#include "binding/fields.h"
#include "binding/hold.h"
#include "binding/type_cors_rules.h"
#include "binding/type_decision.h"
#include "binding/type_limit.h"

#include "base/clock.h"
#include "http/limit_fields.h"

/* What CORS reads of environ, in the order of fta_cors_request. */
enum { REQUESTED = 3, READ = 5 };

static const fta_environ_key read_keys[READ] = {
    FTA_ENVIRON_METHOD, FTA_ENVIRON_PATH, FTA_ENVIRON_ORIGIN,
    FTA_ENVIRON_REQUESTED_METHOD, FTA_ENVIRON_REQUESTED_HEADERS};

/* What is added to one response. */
typedef struct addition {
    PyObject *read[READ]; /* Owned, or NULL: the values that request is in */
    fta_cors_request request;
    fta_cors_kind kind;
    fta_fields cors; /* none if the fixed fields of the kind are added */
    fta_fields limits;
} addition;

static void
init(addition *added)
{
    fta_fields_init(&added->cors);
    fta_fields_init(&added->limits);
    for (int i = 0; i < READ; i++) {
        added->read[i] = NULL;
    }
}

static void
clear(addition *added)
{
    fta_fields_clear(&added->cors);
    fta_fields_clear(&added->limits);
    for (int i = 0; i < READ; i++) {
        Py_CLEAR(added->read[i]);
    }
}

/* The values are held from here on: looking one up may take away the others. */
static bool
read_request(const fta_state *state, PyObject *wsgi_environ, addition *added)
{
    for (int i = 0; i < READ; i++) {
        if (i == REQUESTED &&
            !fta_cors_reads_requested(fta_latin1_view(added->read[0]))) {
            break;
        }
        added->read[i] = fta_environ_item(state, wsgi_environ, read_keys[i]);
        if (added->read[i] == NULL && PyErr_Occurred()) {
            return false;
        }
    }
    added->request = (fta_cors_request){
        .method = fta_latin1_view(added->read[0]),
        .path = fta_latin1_view(added->read[1]),
        .origin = fta_latin1_view(added->read[2]),
        .requested_method = fta_latin1_view(added->read[3]),
        .requested_headers = fta_latin1_view(added->read[4]),
    };
    return true;
}

static bool
succeeded(fta_status status)
{
    if (status != FTA_OK) {
        PyErr_NoMemory(); /* the only thing that can fail */
    }
    return status == FTA_OK;
}

static bool
add_ietf_fields(const fta_state *state, const fta_limit_report *report,
                PyObject *limits, fta_fields *fields)
{
    size_t count = limits != NULL && PyTuple_Check(limits)
                       ? (size_t)PyTuple_GET_SIZE(limits)
                       : 0; /* of a record that the collector is clearing */
    fta_limit_policy *items = PyMem_Calloc(count + 1, sizeof *items);
    if (items == NULL) {
        PyErr_NoMemory();
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        PyObject *limit = PyTuple_GET_ITEM(limits, (Py_ssize_t)i);
        if (!Py_IS_TYPE(limit, state->limit_type)) {
            PyErr_SetString(PyExc_TypeError, "limits must be a tuple of Limit");
            PyMem_Free(items);
            return false;
        }
        const fta_rate *rate = &((fta_limit_object *)limit)->limit.rate;
        items[i] = (fta_limit_policy){rate->limit, rate->period};
    }
    bool added = succeeded(fta_limit_fields_add_ietf(
        report, (fta_limit_policies){items, count}, fields));
    PyMem_Free(items);
    return added;
}

static bool
add_limit_fields(const fta_state *state, const fta_response_subject *subject,
                 fta_fields *fields)
{
    fta_limit_report report;
    if (!fta_decision_report(state, subject->decision, &report)) {
        return true;
    }
    if (subject->limit_fields) {
        fta_limit_fields_add(&report, fields);
    }
    if (subject->ietf_fields) {
        report.now_us = fta_clock_realtime_us();
        if (!add_ietf_fields(state, &report, subject->limits, fields)) {
            return false;
        }
    }
    fta_limit_fields_add_retry_after(&report, fields);
    return true;
}

/* The names of the application's fields, a tuple, as fta_fields.names, without
 * those that are never added. False with an exception set. */
static bool
read_names(PyObject *headers, uint32_t *names)
{
    *names = 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(headers); i++) {
        fta_text name, value;
        if (!fta_field_read(PyTuple_GET_ITEM(headers, i), &name, &value)) {
            return false;
        }
        fta_field_name known = fta_field_name_of(name);
        if (known != FTA_FIELD_COUNT) {
            *names |= UINT32_C(1) << known;
        }
    }
    return true;
}

/* The values of the application's fields of one name, which live as long as
 * headers. The array is from PyMem_Calloc; NULL with an exception set. */
static fta_text *
values_of(PyObject *headers, fta_text name, size_t *count)
{
    Py_ssize_t most = PyTuple_GET_SIZE(headers);
    fta_text *values = PyMem_Calloc((size_t)most + 1, sizeof *values);
    *count = 0;
    if (values == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    for (Py_ssize_t i = 0; i < most; i++) {
        fta_text each, value;
        if (!fta_field_read(PyTuple_GET_ITEM(headers, i), &each, &value)) {
            PyMem_Free(values);
            return NULL;
        }
        if (!fta_field_names_equal(each, name)) {
            continue;
        }
        if (value.data == NULL) {
            PyErr_SetString(PyExc_TypeError,
                            "the values of Vary and Allow must "
                            "be str of Latin-1 characters");
            PyMem_Free(values);
            return NULL;
        }
        values[(*count)++] = value;
    }
    return values;
}

/* The fields of CORS that are not used as the rules have them. */
static bool
make_cors_fields(const fta_cors_rules *rules, PyObject *headers,
                 addition *added)
{
    if (added->kind != FTA_CORS_OF_REQUEST) {
        fta_cors_add_fixed(rules, added->kind, &added->cors);
        return true;
    }
    size_t count;
    fta_text *allow = values_of(headers, (fta_text){"Allow", 5}, &count);
    if (allow == NULL) {
        return false;
    }
    bool made = succeeded(fta_cors_add_of_request(
        rules, &added->request, (fta_text_list){allow, count}, &added->cors));
    PyMem_Free(allow);
    return made;
}

static bool
join_vary(PyObject *headers, fta_fields *fields)
{
    size_t count;
    fta_text *values =
        values_of(headers, fta_field_name_text(FTA_FIELD_VARY), &count);
    if (values == NULL) {
        return false;
    }
    bool joined =
        succeeded(fta_fields_join_vary(fields, (fta_text_list){values, count}));
    PyMem_Free(values);
    return joined;
}

/* A new list of the fields whose names are not added. NULL with an exception
 * set. */
static PyObject *
list_without(PyObject *headers, uint32_t names)
{
    PyObject *list = PyList_New(0);
    for (Py_ssize_t i = 0; list != NULL && i < PyTuple_GET_SIZE(headers); i++) {
        PyObject *field = PyTuple_GET_ITEM(headers, i);
        fta_text name, value;
        bool is_read = fta_field_read(field, &name, &value);
        fta_field_name known =
            is_read ? fta_field_name_of(name) : FTA_FIELD_COUNT;
        bool is_added =
            known != FTA_FIELD_COUNT && (names & (UINT32_C(1) << known)) != 0;
        if (!is_read || (!is_added && PyList_Append(list, field) < 0)) {
            Py_CLEAR(list);
        }
    }
    return list;
}

/* A new list of the items of two tuples; NULL with an exception set. */
static PyObject *
list_of_both(PyObject *first, PyObject *second)
{
    PyObject *list = PySequence_List(first);
    if (list != NULL && PyTuple_GET_SIZE(second) != 0 &&
        PyList_SetSlice(list, PY_SSIZE_T_MAX, PY_SSIZE_T_MAX, second) < 0) {
        Py_CLEAR(list);
    }
    return list;
}

/* A list, whose reference is taken over, with the fields that CORS and limits
 * add. NULL for NULL, and with an exception set. */
static PyObject *
list_with(const fta_state *state, const addition *added, PyObject *list)
{
    if (list != NULL && (fta_fields_append(state, &added->cors, list) < 0 ||
                         fta_fields_append(state, &added->limits, list) < 0)) {
        Py_CLEAR(list);
    }
    return list;
}

/* headers is a tuple. */
static PyObject *
complete(const fta_state *state, const fta_response_subject *subject,
         addition *added, PyObject *headers)
{
    const fta_cors_rules_object *cors =
        (const fta_cors_rules_object *)(void *)subject->cors;
    uint32_t own, names;
    if (!read_request(state, subject->wsgi_environ, added) ||
        !add_limit_fields(state, subject, &added->limits) ||
        !read_names(headers, &own)) {
        return NULL;
    }
    added->kind = fta_cors_kind_of(cors->rules, &added->request);
    if (added->kind != FTA_CORS_OF_REQUEST) {
        names = cors->fixed_names[added->kind] | added->limits.names;
        if ((own & names) == 0) {
            PyObject *fixed =
                PyTuple_GET_ITEM(cors->fixed, (Py_ssize_t)added->kind);
            return list_with(state, added, list_of_both(headers, fixed));
        }
    }
    if (!make_cors_fields(cors->rules, headers, added)) {
        return NULL;
    }
    names = added->cors.names | added->limits.names;
    if ((own & names) == 0) {
        return list_with(state, added, PySequence_List(headers));
    }
    return join_vary(headers, &added->cors)
               ? list_with(state, added, list_without(headers, names))
               : NULL;
}

PyObject *
fta_complete_headers(const fta_state *state,
                     const fta_response_subject *subject, PyObject *headers)
{
    if (!PyList_Check(headers)) {
        PyErr_Format(PyExc_TypeError,
                     "headers must be a list of (str, str) tuples, not %.100s",
                     Py_TYPE(headers)->tp_name);
        return NULL;
    }
    addition added;
    init(&added);
    PyObject *given = fta_held_tuple(headers);
    PyObject *list =
        given == NULL ? NULL : complete(state, subject, &added, given);
    clear(&added);
    Py_XDECREF(given);
    return list;
}
