#include "limit/facts.h"

#include <string.h>

static void
add(fta_facts *facts, fta_fact fact)
{
    if (facts->count < FTA_FACTS_MAX) {
        facts->facts[facts->count++] = fact;
    }
}

void
fta_facts_add_text(fta_facts *facts, const char *name, const char *text)
{
    char *copy = NULL;
    size_t room = sizeof facts->text - facts->text_used;
    if (text != NULL && room > 0) {
        size_t length = strlen(text);
        if (length > room - 1) {
            length = room - 1;
        }
        copy = facts->text + facts->text_used;
        memcpy(copy, text, length);
        copy[length] = '\0';
        facts->text_used += length + 1;
    }
    add(facts, (fta_fact){.name = name, .kind = FTA_FACT_TEXT, .text = copy});
}

void
fta_facts_add_number(fta_facts *facts, const char *name, uint64_t number)
{
    add(facts,
        (fta_fact){.name = name, .kind = FTA_FACT_NUMBER, .number = number});
}

void
fta_facts_add_boolean(fta_facts *facts, const char *name, bool value)
{
    add(facts,
        (fta_fact){.name = name, .kind = FTA_FACT_BOOLEAN, .number = value});
}
