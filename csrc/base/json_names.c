#include "base/json_internal.h"

#include "base/alloc.h"
#include "base/siphash.h"

uint64_t
fta_json_hash(const fta_json_seed *seed, uint64_t domain, const void *data,
              size_t length)
{
    const fta_siphash_key key = {seed->words[0], seed->words[1]};
    return fta_siphash_1_3(&key, domain, data, length);
}

/* Allocates the table together with a larger array. The rest of the text bounds
 * the number of names that can follow, so this happens once. */
static fta_status
take_memory(fta_json *reader)
{
    size_t rest = (size_t)(reader->end - reader->cursor);
    size_t names = FTA_JSON_FEW + 1 + rest / 5; /* each takes "":0, at least */
    size_t slots = 64;
    while (slots < 2 * names) {
        slots *= 2;
    }
    size_t names_size = names * sizeof(fta_json_name);
    char *memory = fta_malloc(names_size + slots * sizeof(uint32_t));
    if (memory == NULL) {
        return FTA_NO_MEMORY;
    }
    reader->names = (fta_json_name *)(void *)memory;
    reader->slots = (uint32_t *)(void *)(memory + names_size);
    reader->slot_mask = (uint32_t)(slots - 1);
    memcpy(reader->names, reader->few,
           reader->name_count * sizeof(fta_json_name));
    memset(reader->slots, 0, slots * sizeof(uint32_t));
    return FTA_OK;
}

/* Adds a name of the innermost object to the table. False if the object has
 * that name. Names of the other objects have lower indices. */
static bool
insert_name(fta_json *reader, uint32_t index)
{
    fta_json_name *name = &reader->names[index];
    name->hash = (uint32_t)fta_json_hash(reader->seed, reader->depth,
                                         name->text, name->length);
    uint32_t slot = name->hash & reader->slot_mask;
    while (reader->slots[slot] != 0) {
        uint32_t other = reader->slots[slot] - 1;
        if (other >= fta_json_first_name(reader) &&
            reader->names[other].hash == name->hash &&
            fta_json_same_name(&reader->names[other], name)) {
            return false;
        }
        slot = (slot + 1) & reader->slot_mask;
    }
    reader->slots[slot] = index + 1;
    return true;
}

/* The names are the last ones of the array. They leave the table in the
 * opposite order of their insertion, so every chain of slots stays whole. */
void
fta_json_forget_names(fta_json *reader)
{
    uint32_t first = fta_json_first_name(reader);
    /* After the outermost object no name follows, so the table may stay as it
     * is. */
    if (reader->name_count - first > FTA_JSON_SMALL && reader->depth > 1) {
        for (uint32_t i = reader->name_count; i > first; i--) {
            uint32_t slot = reader->names[i - 1].hash & reader->slot_mask;
            while (reader->slots[slot] != i) {
                slot = (slot + 1) & reader->slot_mask;
            }
            reader->slots[slot] = 0;
        }
    }
    reader->name_count = first;
}

fta_status
fta_json_add_name(fta_json *reader, fta_text text)
{
    uint32_t first = fta_json_first_name(reader);
    if (reader->slots == NULL &&
        (reader->name_count == FTA_JSON_FEW ||
         reader->name_count - first == FTA_JSON_SMALL)) {
        fta_status status = take_memory(reader);
        if (status != FTA_OK) {
            return status;
        }
    }
    uint32_t index = reader->name_count++;
    fta_json_name *name = &reader->names[index];
    name->text = text.data;
    name->length = (uint32_t)text.length;
    if (index - first < FTA_JSON_SMALL) {
        for (uint32_t i = first; i < index; i++) {
            if (fta_json_same_name(&reader->names[i], name)) {
                return FTA_JSON_NAME_REPEATED;
            }
        }
        return FTA_OK;
    }
    if (index - first == FTA_JSON_SMALL) {
        for (uint32_t i = first; i < index; i++) {
            (void)insert_name(reader, i); /* they were compared already */
        }
    }
    return insert_name(reader, index) ? FTA_OK : FTA_JSON_NAME_REPEATED;
}
