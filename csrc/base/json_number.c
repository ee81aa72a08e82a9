#include "base/json_internal.h"

#include <locale.h>
#include <stdlib.h>
#ifdef __APPLE__
#include <xlocale.h>
#endif

fta_status
fta_json_read_number(fta_json *reader, fta_json_event *event)
{
    char *start = reader->cursor;
    char *in = start;
    const char *end = reader->end;
    event->kind = FTA_JSON_INTEGER;
    if (*in == '-') {
        in++;
    }
    if (in == end || !fta_json_is_digit(*in)) {
        return FTA_JSON_INVALID;
    }
    if (*in++ != '0') {
        while (in < end && fta_json_is_digit(*in)) {
            in++;
        }
    }
    if (in < end && *in == '.') {
        event->kind = FTA_JSON_REAL;
        in++;
        if (in == end || !fta_json_is_digit(*in)) {
            return FTA_JSON_INVALID;
        }
        while (in < end && fta_json_is_digit(*in)) {
            in++;
        }
    }
    if (in < end && (*in | 0x20) == 'e') {
        event->kind = FTA_JSON_REAL;
        in++;
        if (in < end && (*in == '+' || *in == '-')) {
            in++;
        }
        if (in == end || !fta_json_is_digit(*in)) {
            return FTA_JSON_INVALID;
        }
        while (in < end && fta_json_is_digit(*in)) {
            in++;
        }
    }
    /* What follows, such as the 1 of "01", is found invalid where a comma or
     * the end is expected. */
    event->text.data = start;
    event->text.length = (size_t)(in - start);
    reader->cursor = in;
    return event->text.length <= FTA_JSON_NUMBER ? FTA_OK
                                                 : FTA_JSON_NUMBER_TOO_LONG;
}

fta_status
fta_json_double(fta_text number, double *out)
{
    /* An integer of fifteen digits is exact in a double. */
    if (number.length <= 15) {
        const char *in = number.data, *end = in + number.length;
        bool negative = *in == '-';
        int64_t value = 0;
        in += negative;
        while (in < end && fta_json_is_digit(*in)) {
            value = value * 10 + (*in++ - '0');
        }
        if (in == end) {
            *out = negative ? -(double)value : (double)value;
            return FTA_OK;
        }
    }
    char text[FTA_JSON_NUMBER + 1];
    if (number.length > FTA_JSON_NUMBER) {
        return FTA_JSON_NUMBER_TOO_LONG;
    }
    memcpy(text, number.data, number.length);
    text[number.length] = '\0';
    /* strtod would read the decimal point of the process's locale. */
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (c_locale == (locale_t)0) {
        return FTA_NO_MEMORY;
    }
    *out = strtod_l(text, NULL, c_locale);
    freelocale(c_locale);
    return FTA_OK;
}
