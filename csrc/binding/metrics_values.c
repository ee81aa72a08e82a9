#include "binding/metrics_values.h"

#include <stdbool.h>
#include <string.h>

static const char *const kinds[] = {
    [FTA_METRIC_COUNTER] = "counter", [FTA_METRIC_HISTOGRAM] = "histogram",
    [FTA_METRIC_TIME] = "age",        [FTA_METRIC_PROCESSES] = "processes",
    [FTA_METRIC_GAUGE] = "gauge",     [FTA_METRIC_TOTAL] = "total",
};

/* -- The catalogue --------------------------------------------------------- */

PyObject *
fta_metric_word(fta_text word)
{
    char text[64];
    size_t length = word.length < sizeof text ? word.length : sizeof text;
    for (size_t i = 0; i < length; i++) {
        char c = word.data[i];
        text[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
    }
    return PyUnicode_FromStringAndSize(text, (Py_ssize_t)length);
}

static bool
has_label(const fta_metric_about *about)
{
    return about->label[0] != '\0';
}

/* Appends an item, and gives the reference up. */
static bool
append(PyObject *list, PyObject *item)
{
    bool appended = item != NULL && PyList_Append(list, item) == 0;
    Py_XDECREF(item);
    return appended;
}

/* The list as a tuple; it is given up. NULL stays NULL. */
static PyObject *
frozen(PyObject *list, bool is_good)
{
    PyObject *tuple = list != NULL && is_good ? PyList_AsTuple(list) : NULL;
    Py_XDECREF(list);
    return tuple;
}

static PyObject *
labels_of(const fta_metric_about *about)
{
    PyObject *list = PyList_New(0);
    bool good = list != NULL;
    if (about->group != FTA_GROUP_ALONE) {
        fta_group_about group = fta_metric_group_about(about->group);
        for (size_t i = 0;
             good && i < FTA_GROUP_LABELS && group.labels[i] != NULL; i++) {
            good = append(list, PyUnicode_FromString(group.labels[i]));
        }
    }
    if (good && has_label(about)) {
        good = append(list, PyUnicode_FromString(about->label));
    }
    return frozen(list, good);
}

static PyObject *
words_of(const fta_metric_about *about)
{
    PyObject *list = PyList_New(0);
    bool good = list != NULL;
    for (size_t i = 0; good && has_label(about) && i < about->word_count; i++) {
        good = append(list, fta_metric_word(about->words[i]));
    }
    return frozen(list, good);
}

PyObject *
fta_metrics_catalogue(void)
{
    PyObject *list = PyList_New(0);
    bool good = list != NULL;
    for (fta_metric metric = 0; good && metric < FTA_METRIC_COUNT; metric++) {
        fta_metric_about about = fta_metric_read_about(metric);
        PyObject *labels = labels_of(&about);
        PyObject *words = labels == NULL ? NULL : words_of(&about);
        good =
            words != NULL &&
            append(list, Py_BuildValue("(sssOO)", about.name, kinds[about.kind],
                                       about.help, labels, words));
        Py_XDECREF(labels);
        Py_XDECREF(words);
    }
    return frozen(list, good);
}

PyObject *
fta_metrics_bounds(void)
{
    PyObject *list = PyList_New(0);
    bool good = list != NULL;
    for (size_t i = 0; good && i < FTA_BUCKETS - 1; i++) {
        good = append(list,
                      PyFloat_FromDouble((double)fta_metric_bounds[i] / 1e9));
    }
    return frozen(list, good);
}

/* -- Values ---------------------------------------------------------------- */

static PyObject *
durations_as_tuple(const fta_metrics *metrics, fta_metric metric)
{
    fta_metrics_durations read;
    fta_metrics_read_durations(metrics, metric, &read);
    PyObject *buckets = PyList_New(0);
    bool good = buckets != NULL;
    unsigned long long all = 0;
    for (size_t i = 0; good && i < FTA_BUCKETS; i++) {
        all += read.buckets[i];
        good = append(buckets, PyLong_FromUnsignedLongLong(all));
    }
    buckets = frozen(buckets, good);
    return buckets == NULL
               ? NULL
               : Py_BuildValue("(Nd)", buckets, (double)read.nanoseconds / 1e9);
}

/* What one place of a metric has at a word. *is_absent: nothing to tell. */
static PyObject *
value_at(const fta_metrics *metrics, fta_metric metric, size_t place,
         size_t word, bool *is_absent)
{
    int64_t us;
    long processes;
    switch (fta_metric_read_about(metric).kind) {
    case FTA_METRIC_COUNTER:
        return PyLong_FromUnsignedLongLong(
            fta_metrics_read(metrics, metric, place, word));
    case FTA_METRIC_HISTOGRAM:
        return durations_as_tuple(metrics, metric);
    case FTA_METRIC_TIME:
        us = fta_metrics_read_time(metrics, metric, place);
        *is_absent = us < 0;
        return *is_absent ? NULL : PyFloat_FromDouble((double)us / 1e6);
    case FTA_METRIC_PROCESSES:
        processes = fta_metrics_read_processes(metrics, metric);
        *is_absent = processes < 0;
        return *is_absent ? NULL : PyLong_FromLong(processes);
    case FTA_METRIC_GAUGE:
    case FTA_METRIC_TOTAL:
        break;
    }
    *is_absent = true;
    return NULL;
}

/* The values of the labels of one place, and the word after them. */
static PyObject *
values_of_labels(const fta_metric_about *about,
                 const fta_metrics_name_text *name, size_t word)
{
    PyObject *list = PyList_New(0);
    bool good = list != NULL;
    if (about->group != FTA_GROUP_ALONE) {
        fta_group_about group = fta_metric_group_about(about->group);
        for (size_t i = 0;
             good && i < FTA_GROUP_LABELS && group.labels[i] != NULL; i++) {
            good =
                append(list, PyUnicode_DecodeUTF8(
                                 name->texts[i].data,
                                 (Py_ssize_t)name->texts[i].length, "replace"));
        }
    }
    if (good && has_label(about)) {
        good = append(list, fta_metric_word(about->words[word]));
    }
    return frozen(list, good);
}

static bool
add_value(const fta_metrics *metrics, fta_metric metric,
          const fta_metrics_name_text *name, size_t place, size_t word,
          PyObject *list)
{
    fta_metric_about about = fta_metric_read_about(metric);
    bool is_absent = false;
    PyObject *value = value_at(metrics, metric, place, word, &is_absent);
    if (value == NULL) {
        return is_absent;
    }
    PyObject *labels = values_of_labels(&about, name, word);
    if (labels == NULL) {
        Py_DECREF(value);
        return false;
    }
    return append(list, Py_BuildValue("(NN)", labels, value));
}

/* Whether a place has values to tell: what is counted as "other" has some once
 * something was counted there. */
static bool
is_used(const fta_metrics *metrics, fta_metric metric, size_t place,
        size_t words)
{
    bool used = place + 1 < fta_metrics_places(metric);
    for (size_t word = 0; word < words && !used; word++) {
        used = fta_metrics_read(metrics, metric, place, word) != 0;
    }
    return used;
}

static PyObject *
values_of(const fta_metrics *metrics, fta_metric metric)
{
    fta_metric_about about = fta_metric_read_about(metric);
    fta_metrics_name_text name;
    PyObject *list = PyList_New(0);
    bool good = list != NULL;
    bool alone = about.group == FTA_GROUP_ALONE;
    for (size_t place = 0; good && place < fta_metrics_places(metric);
         place++) {
        if (!alone &&
            (!fta_metrics_read_name(metrics, about.group, place, &name) ||
             !is_used(metrics, metric, place, about.word_count))) {
            continue;
        }
        for (size_t word = 0; good && word < about.word_count; word++) {
            good = add_value(metrics, metric, &name, place, word, list);
        }
    }
    if (!good) {
        Py_CLEAR(list);
    }
    return list;
}

PyObject *
fta_metrics_values(const fta_metrics *metrics)
{
    PyObject *values = PyDict_New();
    for (fta_metric metric = 0; values != NULL && metric < FTA_METRIC_COUNT;
         metric++) {
        PyObject *list = values_of(metrics, metric);
        if (list == NULL ||
            PyDict_SetItemString(values, fta_metric_read_about(metric).name,
                                 list) < 0) {
            Py_CLEAR(values);
        }
        Py_XDECREF(list);
    }
    return values;
}
