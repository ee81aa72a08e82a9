/* Which places of a payload are read, as a tree: each node is a member of an
 * object or an element of an array. A place is a claim's name or a JSON Pointer
 * (RFC 6901). */
#ifndef FTA_TOKEN_CLAIM_TREE_H
#define FTA_TOKEN_CLAIM_TREE_H

#include <stdint.h>

#include "base/status.h"
#include "base/text_pool.h"

#define FTA_CLAIM_NODES_MAX 128
#define FTA_CLAIM_USES_MAX 96
/* How many parts a pointer may have. */
#define FTA_CLAIM_DEPTH_MAX 8

/* The root: the payload itself. No node of a place has this number. */
#define FTA_CLAIM_ROOT 0

/* What a place is read for. The numbers mean something to the caller alone. */
typedef struct fta_claim_use {
    uint8_t what;
    uint8_t rank;  /* of alternatives: 0 is the first */
    uint16_t next; /* the next use of the same node, plus 1; 0: none */
} fta_claim_use;

typedef struct fta_claim_node {
    fta_text name; /* Borrowed from the pool of the tree */
    uint16_t parent;
    uint16_t first_child; /* 0: none */
    uint16_t last_child;
    uint16_t sibling;   /* the next child of the same parent; 0: none */
    uint16_t first_use; /* plus 1; 0: none */
} fta_claim_node;

/* All members 0, and then fta_claim_tree_start. */
typedef struct fta_claim_tree {
    fta_text_pool pool;
    size_t node_count;
    size_t use_count;
    fta_claim_node nodes[FTA_CLAIM_NODES_MAX];
    fta_claim_use uses[FTA_CLAIM_USES_MAX];
    uint16_t slots[FTA_CLAIM_NODES_MAX * 2]; /* a node; 0: free */
} fta_claim_tree;

void fta_claim_tree_start(fta_claim_tree *tree);
void fta_claim_tree_clear(fta_claim_tree *tree);

/* Adds a place and what it is read for. FTA_CLAIM_PATH_MALFORMED,
 * FTA_CLAIM_PATHS_TOO_MANY, FTA_NO_MEMORY. */
fta_status fta_claim_tree_add(fta_claim_tree *tree, fta_text path, uint8_t what,
                              uint8_t rank);

static inline uint32_t
fta_claim_slot(uint16_t parent, fta_text name)
{
    uint32_t first = name.length != 0 ? (uint8_t)name.data[0] : 0;
    uint32_t last = name.length != 0 ? (uint8_t)name.data[name.length - 1] : 0;
    uint32_t hash = (uint32_t)name.length ^ first << 5 ^ last << 12 ^
                    (uint32_t)parent << 20;
    return hash * 0x9E3779B1u >> 24; /* 8 bits: the slots of a tree */
}

/* The node of that name below a node; 0 if nothing is read there. Inline,
 * because every member of a payload is looked for. */
static inline uint16_t
fta_claim_tree_find(const fta_claim_tree *tree, uint16_t parent, fta_text name)
{
    uint32_t slot = fta_claim_slot(parent, name);
    for (;;) {
        uint16_t node = tree->slots[slot];
        if (node == 0) {
            return 0;
        }
        const fta_claim_node *found = &tree->nodes[node];
        if (found->parent == parent && fta_text_equal(found->name, name)) {
            return node;
        }
        slot = (slot + 1) % (FTA_CLAIM_NODES_MAX * 2);
    }
}

/* The node of an array's element. */
uint16_t fta_claim_tree_find_element(const fta_claim_tree *tree, uint16_t array,
                                     size_t index);

#endif
