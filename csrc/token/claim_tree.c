#include "token/claim_tree.h"

#include <assert.h>
#include <stdio.h>

#define SLOTS ((uint32_t)FTA_CLAIM_NODES_MAX * 2)
static_assert(SLOTS == (uint32_t)1 << 8, "fta_claim_slot takes eight bits");

/* The longest name that is looked for. */
#define NAME_MAX_BYTES 1024

void
fta_claim_tree_start(fta_claim_tree *tree)
{
    tree->node_count = 1; /* the root */
}

void
fta_claim_tree_clear(fta_claim_tree *tree)
{
    fta_text_pool_clear(&tree->pool);
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
    tree->nodes[made] = (fta_claim_node){.name = copy, .parent = parent};
    fta_claim_node *above = &tree->nodes[parent];
    if (above->last_child != 0) {
        tree->nodes[above->last_child].sibling = made;
    } else {
        above->first_child = made;
    }
    above->last_child = made;
    uint32_t slot = fta_claim_slot(parent, copy);
    while (tree->slots[slot] != 0) {
        slot = (slot + 1) % SLOTS;
    }
    tree->slots[slot] = made;
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
    tree->uses[tree->use_count] =
        (fta_claim_use){.what = what, .rank = rank, .next = 0};
    uint16_t *end = &tree->nodes[node].first_use;
    while (*end != 0) {
        end = &tree->uses[*end - 1].next;
    }
    *end = (uint16_t)++tree->use_count;
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
