#include "token/claim_tree.h"

#include <assert.h>
#include <stdio.h>

static_assert(FTA_CLAIM_SLOTS >= 2 * FTA_CLAIM_NODES_MAX,
              "a free slot ends every look-up");

/* The longest name that is looked for. */
#define NAME_MAX_BYTES 1024

void
fta_claim_tree_start(fta_claim_tree *tree)
{
    tree->node_count = 1; /* the root */
    tree->nodes[FTA_CLAIM_ROOT].first_use = FTA_CLAIM_NO_USE;
}

void
fta_claim_tree_clear(fta_claim_tree *tree)
{
    fta_text_pool_clear(&tree->pool);
}

/* The first slot where a name below a node may be. */
static uint32_t
first_slot(uint16_t parent, size_t length, fta_text_ends ends)
{
    uint64_t hash = ends.head ^ ends.tail << 7 ^ (uint64_t)length << 56 ^
                    (uint64_t)parent << 48;
    return (uint32_t)(hash * 0x9E3779B97F4A7C15u >> 56) % FTA_CLAIM_SLOTS;
}

uint16_t
fta_claim_tree_find(const fta_claim_tree *tree, uint16_t parent, fta_text name)
{
    fta_text_ends ends = fta_text_ends_of(name);
    uint32_t place = first_slot(parent, name.length, ends);
    while (tree->slots[place] != 0 &&
           !fta_claim_is_node(tree, tree->slots[place], parent, name, ends)) {
        place = (place + 1) % FTA_CLAIM_SLOTS;
    }
    return tree->slots[place];
}

static fta_status
add_child(fta_claim_tree *tree, uint16_t parent, fta_text name, uint16_t *out)
{
    *out = fta_claim_tree_find(tree, parent, name);
    if (*out != 0) {
        return FTA_OK;
    }
    if (tree->node_count == FTA_CLAIM_NODES_MAX) {
        return FTA_CLAIM_PATHS_TOO_MANY;
    }
    fta_text copy;
    fta_status status = fta_text_pool_add(&tree->pool, name, &copy);
    if (status != FTA_OK) {
        return status;
    }
    uint16_t made = (uint16_t)tree->node_count++;
    fta_text_ends ends = fta_text_ends_of(copy);
    tree->nodes[made] = (fta_claim_node){.name = copy,
                                         .parent = parent,
                                         .first_use = FTA_CLAIM_NO_USE,
                                         .ends = ends};
    fta_claim_node *above = &tree->nodes[parent];
    if (above->last_child != 0) {
        tree->nodes[above->last_child].sibling = made;
    } else {
        above->first_child = made;
    }
    above->last_child = made;
    uint32_t place = first_slot(parent, copy.length, ends);
    while (tree->slots[place] != 0) {
        place = (place + 1) % FTA_CLAIM_SLOTS;
    }
    tree->slots[place] = made;
    *out = made;
    return FTA_OK;
}

/* Takes the part of a pointer behind its slash, with ~0 and ~1 undone, and
 * leaves the rest (RFC 6901, section 4). */
static bool
take_part(fta_text *rest, char *part, size_t *length)
{
    size_t in = 1;
    *length = 0;
    for (; in < rest->length && rest->data[in] != '/'; in++) {
        char c = rest->data[in];
        if (c == '~') {
            char escaped = in + 1 < rest->length ? rest->data[in + 1] : '\0';
            if (escaped != '0' && escaped != '1') {
                return false;
            }
            c = escaped == '0' ? '~' : '/';
            in++;
        }
        part[(*length)++] = c;
    }
    *rest = (fta_text){rest->data + in, rest->length - in};
    return true;
}

static fta_status
add_pointer(fta_claim_tree *tree, fta_text pointer, uint16_t *out)
{
    char part[NAME_MAX_BYTES];
    *out = FTA_CLAIM_ROOT;
    for (size_t depth = 0; pointer.length != 0; depth++) {
        size_t length;
        if (depth == FTA_CLAIM_DEPTH_MAX ||
            !take_part(&pointer, part, &length)) {
            return FTA_CLAIM_PATH_MALFORMED;
        }
        fta_status status =
            add_child(tree, *out, (fta_text){part, length}, out);
        if (status != FTA_OK) {
            return status;
        }
    }
    return FTA_OK;
}

static fta_status
add_use(fta_claim_tree *tree, uint16_t node, uint8_t what, uint8_t rank)
{
    if (tree->use_count == FTA_CLAIM_USES_MAX) {
        return FTA_CLAIM_PATHS_TOO_MANY;
    }
    uint16_t *end = &tree->nodes[node].first_use;
    while (*end != FTA_CLAIM_NO_USE) {
        end = &tree->uses[*end].next;
    }
    *end = (uint16_t)tree->use_count++;
    tree->uses[*end] =
        (fta_claim_use){.what = what, .rank = rank, .next = FTA_CLAIM_NO_USE};
    return FTA_OK;
}

fta_status
fta_claim_tree_add(fta_claim_tree *tree, fta_text path, uint8_t what,
                   uint8_t rank)
{
    if (path.length == 0 || path.length > NAME_MAX_BYTES) {
        return FTA_CLAIM_PATH_MALFORMED;
    }
    uint16_t node;
    fta_status status = path.data[0] == '/'
                            ? add_pointer(tree, path, &node)
                            : add_child(tree, FTA_CLAIM_ROOT, path, &node);
    return status == FTA_OK ? add_use(tree, node, what, rank) : status;
}

uint16_t
fta_claim_tree_find_element(const fta_claim_tree *tree, uint16_t array,
                            size_t index)
{
    if (tree->nodes[array].first_child == 0) {
        return 0;
    }
    char text[24];
    int length = snprintf(text, sizeof text, "%zu", index);
    return fta_claim_tree_find(tree, array, (fta_text){text, (size_t)length});
}
