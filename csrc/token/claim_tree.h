/* Which places of a payload are read, as a tree: each node is a member of an
 * object or an element of an array. A place is a claim's name or a JSON Pointer
 * (RFC 6901). */
#ifndef FTA_TOKEN_CLAIM_TREE_H
#define FTA_TOKEN_CLAIM_TREE_H

#include <stdatomic.h>
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
    uint8_t rank; /* of alternatives: 0 is the first */
    /* The next use of the same node; FTA_CLAIM_NO_USE: this is the last. */
    uint16_t next;
} fta_claim_use;

#define FTA_CLAIM_NO_USE UINT16_MAX

typedef struct fta_claim_node {
    fta_text name; /* Borrowed from the pool of the tree */
    uint16_t parent;
    uint16_t first_child; /* 0: none */
    uint16_t last_child;
    uint16_t sibling;   /* the next child of the same parent; 0: none */
    uint16_t first_use; /* FTA_CLAIM_NO_USE: none */
    fta_text_ends ends; /* of the name */
} fta_claim_node;

/* A power of two; at most half of them are used. */
#define FTA_CLAIM_SLOTS 256

/* All members 0, and then fta_claim_tree_start. */
typedef struct fta_claim_tree {
    fta_text_pool pool;
    size_t node_count;
    size_t use_count;
    fta_claim_node nodes[FTA_CLAIM_NODES_MAX];
    fta_claim_use uses[FTA_CLAIM_USES_MAX];
    uint16_t slots[FTA_CLAIM_SLOTS]; /* a node; 0: free */
    /* The node that was found after each node the last time, at first 0. The
     * tokens of an issuer have their claims in one order, so a guess spares
     * the look-up. It is a guess, so it needs no order among threads. */
    _Atomic uint16_t after[FTA_CLAIM_NODES_MAX];
} fta_claim_tree;

void fta_claim_tree_start(fta_claim_tree *tree);
void fta_claim_tree_clear(fta_claim_tree *tree);

/* Adds a place and what it is read for. FTA_CLAIM_PATH_MALFORMED,
 * FTA_CLAIM_PATHS_TOO_MANY, FTA_NO_MEMORY. */
fta_status fta_claim_tree_add(fta_claim_tree *tree, fta_text path, uint8_t what,
                              uint8_t rank);

static inline bool
fta_claim_is_node(const fta_claim_tree *tree, uint16_t node, uint16_t parent,
                  fta_text name, fta_text_ends ends)
{
    const fta_claim_node *found = &tree->nodes[node];
    return found->ends.head == ends.head && found->ends.tail == ends.tail &&
           found->name.length == name.length && found->parent == parent &&
           node != FTA_CLAIM_ROOT &&
           (name.length <= FTA_TEXT_ENDS || fta_text_equal(found->name, name));
}

/* The node of that name below a node; 0 if nothing is read there. */
uint16_t fta_claim_tree_find(const fta_claim_tree *tree, uint16_t parent,
                             fta_text name);

/* As fta_claim_tree_find. before is the node that was found before it. Inline,
 * because every member of a payload is looked for. */
static inline uint16_t
fta_claim_tree_find_next(fta_claim_tree *tree, uint16_t parent, fta_text name,
                         uint16_t before)
{
    uint16_t guess =
        atomic_load_explicit(&tree->after[before], memory_order_relaxed);
    if (fta_claim_is_node(tree, guess, parent, name, fta_text_ends_of(name))) {
        return guess;
    }
    uint16_t node = fta_claim_tree_find(tree, parent, name);
    if (node != 0) {
        atomic_store_explicit(&tree->after[before], node, memory_order_relaxed);
    }
    return node;
}

/* The node of an array's element. */
uint16_t fta_claim_tree_find_element(const fta_claim_tree *tree, uint16_t array,
                                     size_t index);

#endif
