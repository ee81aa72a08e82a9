#include "binding/metrics_console.h"

#include <stdbool.h>

#include "binding/errors.h"
#include "binding/metrics_values.h"
#include "metrics/last_hour.h"
#include "metrics/most_limited.h"

static bool
set_count(PyObject *counts, fta_text word, uint64_t count)
{
    PyObject *name = fta_metric_word(word);
    PyObject *value = name == NULL ? NULL : PyLong_FromUnsignedLongLong(count);
    bool set = value != NULL && PyDict_SetItem(counts, name, value) == 0;
    Py_XDECREF(value);
    Py_XDECREF(name);
    return set;
}

/* A dict of the words of a metric's label to their counts. */
static PyObject *
counts_by_word(fta_metric metric, const uint64_t *counts, bool with_zeros)
{
    fta_metric_about about = fta_metric_read_about(metric);
    PyObject *values = PyDict_New();
    for (size_t i = 0; values != NULL && i < about.word_count; i++) {
        if ((with_zeros || counts[i] > 0) &&
            !set_count(values, about.words[i], counts[i])) {
            Py_CLEAR(values);
        }
    }
    return values;
}

/* -- The last hour --------------------------------------------------------- */

static PyObject *
minute_as_dict(const fta_last_hour *hour, size_t ago)
{
    PyObject *requests =
        counts_by_word(FTA_METRIC_OF_REQUESTS, hour->requests[ago], true);
    return requests == NULL ? NULL
                            : Py_BuildValue("{s:n,s:N}", "ago", (Py_ssize_t)ago,
                                            "requests", requests);
}

static PyObject *
minutes_as_list(const fta_last_hour *hour)
{
    PyObject *minutes = PyList_New(FTA_HOUR_MINUTES);
    for (size_t i = 0; minutes != NULL && i < FTA_HOUR_MINUTES; i++) {
        PyObject *minute = minute_as_dict(hour, FTA_HOUR_MINUTES - 1 - i);
        if (minute == NULL) {
            Py_CLEAR(minutes);
        } else {
            PyList_SET_ITEM(minutes, (Py_ssize_t)i, minute);
        }
    }
    return minutes;
}

PyObject *
fta_last_hour_values(const fta_metrics *metrics)
{
    fta_last_hour hour;
    fta_metrics_read_last_hour(metrics, &hour);
    PyObject *minutes = minutes_as_list(&hour);
    PyObject *reasons = minutes == NULL ? NULL
                                        : counts_by_word(FTA_METRIC_OF_DENIALS,
                                                         hour.reasons, false);
    if (reasons == NULL) {
        Py_XDECREF(minutes);
        return NULL;
    }
    return Py_BuildValue("{s:N,s:N}", "minutes", minutes, "reasons", reasons);
}

/* -- Limited subjects ------------------------------------------------------ */

static PyObject *
user_as_tuple(const fta_limited_subject *subject)
{
    char tenant[FTA_UUID_TEXT], user[FTA_UUID_TEXT];
    fta_uuid_format(&subject->tenant, tenant);
    fta_uuid_format(&subject->user, user);
    return Py_BuildValue("(s#s#K)", tenant, (Py_ssize_t)sizeof tenant, user,
                         (Py_ssize_t)sizeof user,
                         (unsigned long long)subject->count);
}

static PyObject *
tenant_as_tuple(const fta_limited_subject *subject)
{
    char tenant[FTA_UUID_TEXT];
    fta_uuid_format(&subject->tenant, tenant);
    return Py_BuildValue("(s#K)", tenant, (Py_ssize_t)sizeof tenant,
                         (unsigned long long)subject->count);
}

static PyObject *
subjects_as_list(const fta_limited_subject *subjects, size_t count,
                 PyObject *(*as_tuple)(const fta_limited_subject *))
{
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list != NULL && i < count; i++) {
        PyObject *item = as_tuple(&subjects[i]);
        if (item == NULL) {
            Py_CLEAR(list);
        } else {
            PyList_SET_ITEM(list, (Py_ssize_t)i, item);
        }
    }
    return list;
}

PyObject *
fta_most_limited_values(const fta_metrics *metrics)
{
    fta_most_limited most;
    fta_status status = fta_metrics_read_most_limited(metrics, &most);
    if (status != FTA_OK) {
        return fta_raise(status);
    }
    PyObject *users =
        subjects_as_list(most.users, most.user_count, user_as_tuple);
    PyObject *tenants = users == NULL
                            ? NULL
                            : subjects_as_list(most.tenants, most.tenant_count,
                                               tenant_as_tuple);
    if (tenants == NULL) {
        Py_XDECREF(users);
        return NULL;
    }
    return Py_BuildValue("{s:N,s:N}", "users", users, "tenants", tenants);
}
