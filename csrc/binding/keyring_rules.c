#include "binding/keyring_rules.h"

#include "binding/convert.h"
#include "binding/errors.h"
#include "binding/hold.h"
#include "binding/type_roles.h"

static bool
raise_unless_ok(fta_status status)
{
    if (status != FTA_OK) {
        (void)fta_raise(status);
    }
    return status == FTA_OK;
}

PyObject *
fta_tuple_from_sequence(PyObject *value, const char *argument)
{
    if (value == NULL) {
        return PyTuple_New(0);
    }
    PyObject *tuple = PyUnicode_Check(value) || PyBytes_Check(value)
                          ? NULL
                          : fta_held_tuple(value);
    if (tuple == NULL &&
        (!PyErr_Occurred() || PyErr_ExceptionMatches(PyExc_TypeError))) {
        PyErr_Format(PyExc_TypeError, "%s must be a sequence, not %.100s",
                     argument, Py_TYPE(value)->tp_name);
    }
    return tuple;
}

/* The items of a dict as a tuple of tuples, which nobody can change. */
static PyObject *
items_of(PyObject *value, const char *argument)
{
    if (value == NULL || Py_IsNone(value)) {
        return PyTuple_New(0);
    }
    if (!PyDict_CheckExact(value)) {
        return PyErr_Format(PyExc_TypeError, "%s must be a dict, not %.100s",
                            argument, Py_TYPE(value)->tp_name);
    }
    PyObject *list = PyDict_Items(value);
    PyObject *items = list == NULL ? NULL : PyList_AsTuple(list);
    Py_XDECREF(list);
    return items;
}

/* Calls use for each item of a dict. */
typedef bool (*use_item)(fta_claim_rules *rules, PyObject *key,
                         PyObject *value);

static bool
for_each_item(fta_claim_rules *rules, PyObject *value, const char *argument,
              use_item use)
{
    PyObject *items = items_of(value, argument);
    bool done = items != NULL;
    for (Py_ssize_t i = 0; done && i < PyTuple_GET_SIZE(items); i++) {
        PyObject *item = PyTuple_GET_ITEM(items, i);
        done = use(rules, PyTuple_GET_ITEM(item, 0), PyTuple_GET_ITEM(item, 1));
    }
    Py_XDECREF(items);
    return done;
}

static bool
require_tuple(PyObject *value, const char *argument)
{
    if (!PyTuple_CheckExact(value)) {
        PyErr_Format(PyExc_TypeError, "%s must hold tuples, not %.100s",
                     argument, Py_TYPE(value)->tp_name);
        return false;
    }
    return true;
}

/* --- each argument ------------------------------------------------------ */

static bool
add_issuer(fta_claim_rules *rules, PyObject *value)
{
    fta_text issuer;
    if (value == NULL || Py_IsNone(value)) {
        return true;
    }
    return fta_utf8_from_str(value, "issuer", &issuer) &&
           raise_unless_ok(fta_claim_rules_set_issuer(rules, issuer));
}

static bool
add_audiences(fta_claim_rules *rules, PyObject *value)
{
    PyObject *tuple = fta_tuple_from_sequence(value, "audiences");
    bool done = tuple != NULL;
    for (Py_ssize_t i = 0; done && i < PyTuple_GET_SIZE(tuple); i++) {
        fta_text audience;
        done = fta_utf8_from_str(PyTuple_GET_ITEM(tuple, i),
                                 "each of audiences", &audience) &&
               raise_unless_ok(fta_claim_rules_add_audience(rules, audience));
    }
    Py_XDECREF(tuple);
    return done;
}

/* The claims that an application may move. */
static bool
find_movable(fta_text name, fta_claim *out)
{
    static const struct {
        fta_text name;
        fta_claim claim;
    } movable[] = {
#define MOVABLE_ID(name, text) {{text, sizeof(text) - 1}, FTA_CLAIM_##name},
#define MOVABLE_ROLE MOVABLE_ID
#define MOVABLE_PERMISSIONS MOVABLE_ID
#define MOVABLE_DATE(name, text)
#define MOVABLE_TEXT(name, text)
#define MOVABLE_TOKEN(name, text)
#define MOVABLE_SESSION(name, text)
#define MOVABLE_OBJECT(name, text)
#define MOVABLE_ACTOR(name, text)
#define MOVABLE_ISSUER(name, text)
#define MOVABLE_AUDIENCE(name, text)
#define MOVABLE_USE(name, text)
#define X(name, text, kind, need, writer, view, member)                        \
    MOVABLE_##kind(name, text)
        FTA_CLAIM_LIST(X)
#undef X
    };
    for (size_t i = 0; i < sizeof movable / sizeof *movable; i++) {
        if (fta_text_equal(name, movable[i].name)) {
            *out = movable[i].claim;
            return true;
        }
    }
    return false;
}

static bool
add_place(fta_claim_rules *rules, PyObject *key, PyObject *places)
{
    fta_text name;
    fta_claim claim;
    if (!fta_utf8_from_str(key, "each claim of places", &name) ||
        !require_tuple(places, "places")) {
        return false;
    }
    if (!find_movable(name, &claim)) {
        PyErr_Format(PyExc_ValueError, "places has no claim %R", key);
        return false;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(places); i++) {
        fta_text place;
        if (!fta_utf8_from_str(PyTuple_GET_ITEM(places, i), "each of places",
                               &place) ||
            !raise_unless_ok(fta_claim_rules_add_place(rules, claim, place))) {
            return false;
        }
    }
    return true;
}

static bool
find_role(const fta_claim_rules *rules, PyObject *value, const char *argument,
          fta_role *out)
{
    fta_text name;
    if (!fta_utf8_from_str(value, argument, &name)) {
        return false;
    }
    if (!fta_roles_find(rules->roles, name, out)) {
        PyErr_Format(PyExc_ValueError, "%s has no role of roles: %R", argument,
                     value);
        return false;
    }
    return true;
}

static bool
add_word(fta_claim_rules *rules, PyObject *key, PyObject *value)
{
    fta_text word;
    fta_role role;
    return fta_utf8_from_str(key, "each word of role_map", &word) &&
           find_role(rules, value, "role_map", &role) &&
           raise_unless_ok(fta_claim_rules_add_word(rules, word, role));
}

static bool
set_default_role(fta_claim_rules *rules, PyObject *value)
{
    if (value == NULL || Py_IsNone(value)) {
        return true;
    }
    rules->has_default_role =
        !PyUnicode_Check(value) || PyUnicode_GET_LENGTH(value) != 0;
    return !rules->has_default_role ||
           find_role(rules, value, "default_role", &rules->default_role);
}

static bool
set_namespace(fta_claim_rules *rules, PyObject *value)
{
    fta_text text;
    if (value == NULL || Py_IsNone(value)) {
        return true;
    }
    if (!fta_utf8_from_str(value, "id_namespace", &text)) {
        return false;
    }
    rules->has_namespace =
        fta_uuid_parse(text.data, text.length, &rules->id_namespace);
    if (!rules->has_namespace) {
        PyErr_SetString(PyExc_ValueError, "id_namespace must be a UUID");
    }
    return rules->has_namespace;
}

static bool
add_value(fta_claim_rules *rules, uint8_t which, PyObject *value)
{
    fta_text text = {"", 0};
    fta_json_kind kind;
    PyObject *digits = NULL;
    if (PyBool_Check(value)) {
        kind = Py_IsTrue(value) ? FTA_JSON_TRUE : FTA_JSON_FALSE;
    } else if (PyLong_CheckExact(value)) {
        kind = FTA_JSON_INTEGER;
        digits = PyObject_Str(value);
        if (digits == NULL || !fta_utf8_from_str(digits, "required", &text)) {
            Py_XDECREF(digits);
            return false;
        }
    } else {
        kind = FTA_JSON_STRING;
        if (!fta_utf8_from_str(value, "each value of required", &text)) {
            return false;
        }
    }
    fta_status status = fta_claim_rules_add_value(rules, which, kind, text);
    Py_XDECREF(digits);
    return raise_unless_ok(status);
}

static bool
add_required(fta_claim_rules *rules, PyObject *key, PyObject *values)
{
    fta_text place;
    uint8_t which;
    if (!fta_utf8_from_str(key, "each claim of required", &place) ||
        !require_tuple(values, "required") ||
        !raise_unless_ok(fta_claim_rules_require(rules, place, &which))) {
        return false;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(values); i++) {
        if (!add_value(rules, which, PyTuple_GET_ITEM(values, i))) {
            return false;
        }
    }
    return true;
}

fta_claim_rules *
fta_rules_from_arguments(const fta_state *state,
                         const fta_rule_arguments *given)
{
    fta_roles *roles = fta_roles_from_object(state, given->roles);
    if (roles == NULL) {
        return NULL;
    }
    fta_claim_rules *rules = fta_claim_rules_new(roles);
    if (rules == NULL) {
        (void)PyErr_NoMemory();
        return NULL;
    }
    rules->leeway = given->leeway;
    rules->without_identity = given->without_identity;
    if (add_issuer(rules, given->issuer) &&
        add_audiences(rules, given->audiences) &&
        for_each_item(rules, given->places, "places", add_place) &&
        for_each_item(rules, given->role_map, "role_map", add_word) &&
        set_default_role(rules, given->default_role) &&
        set_namespace(rules, given->id_namespace) &&
        for_each_item(rules, given->required, "required", add_required) &&
        raise_unless_ok(fta_claim_rules_finish(rules))) {
        return rules;
    }
    fta_claim_rules_free(rules);
    return NULL;
}
