#include "token/claims_reading.h"

#include <math.h>

/* --- values of each kind ------------------------------------------------ */

static fta_status
read_text(const fta_json_event *event, fta_status invalid)
{
    return event->kind == FTA_JSON_STRING ? FTA_OK : invalid;
}

static fta_status
read_token_id(const fta_reading *found, const fta_json_event *event,
              fta_status invalid)
{
    if (event->kind == FTA_JSON_STRING && found->how->ids != NULL) {
        found->how->ids->token = event->text;
    }
    return read_text(event, invalid);
}

/* What is no text names no session (OpenID Connect Back-Channel Logout 1.0,
 * section 2.4, has it as a text). */
static fta_status
read_session_id(const fta_reading *found, const fta_json_event *event)
{
    if (event->kind == FTA_JSON_STRING && found->how->ids != NULL) {
        found->how->ids->session = event->text;
    }
    return FTA_OK;
}

static fta_status
read_object(const fta_json_event *event, fta_status invalid)
{
    return event->kind == FTA_JSON_OBJECT ? FTA_OK : invalid;
}

static fta_status
read_actor(const fta_json_event *event, fta_status invalid, fta_text *out)
{
    if (event->kind != FTA_JSON_STRING) {
        return invalid;
    }
    *out = event->text;
    return FTA_OK;
}

/* A UUID; in a namespace also any other text and an integer. */
static fta_status
read_id(fta_reading *found, fta_claim claim, const fta_json_event *event,
        fta_status invalid, fta_uuid *out)
{
    if (event->kind == FTA_JSON_STRING &&
        fta_uuid_parse(event->text.data, event->text.length, out)) {
        found->shown = out;
        return FTA_OK;
    }
    if (!found->rules->has_namespace ||
        (event->kind != FTA_JSON_STRING && event->kind != FTA_JSON_INTEGER) ||
        event->text.length == 0) {
        return invalid;
    }
    found->names[claim] = event->text;
    found->named |= FTA_BIT(claim);
    return FTA_OK;
}

static fta_status
read_date(const fta_json_event *event, fta_status invalid, double *out)
{
    if (event->kind != FTA_JSON_INTEGER && event->kind != FTA_JSON_REAL) {
        return invalid;
    }
    fta_status status = fta_json_double(event->text, out);
    if (status != FTA_OK) {
        return status;
    }
    return isfinite(*out) ? FTA_OK : invalid;
}

static fta_status
read_issuer(const fta_json_event *event, fta_status invalid,
            const fta_claim_rules *rules)
{
    if (event->kind != FTA_JSON_STRING) {
        return invalid;
    }
    return rules->issuer.data == NULL ||
                   fta_text_equal(event->text, rules->issuer)
               ? FTA_OK
               : FTA_ISS_MISMATCH;
}

static void
match_audience(fta_reading *found, fta_text audience)
{
    for (size_t i = 0; i < found->rules->audience_count; i++) {
        if (fta_text_equal(audience, found->rules->audiences[i])) {
            found->audience_matches = true;
        }
    }
}

/* A string, or an array, whose elements follow. */
static fta_status
read_audience(fta_reading *found, const fta_json_event *event,
              fta_status invalid)
{
    if (event->kind == FTA_JSON_STRING) {
        match_audience(found, event->text);
        return FTA_OK;
    }
    return event->kind == FTA_JSON_ARRAY ? FTA_OK : invalid;
}

/* Of several words the one of the strongest role counts. */
static void
match_role(fta_reading *found, fta_text word, fta_role *strongest)
{
    fta_role role;
    if (fta_claim_rules_role(found->rules, word, &role) &&
        (!found->has_role || role > *strongest)) {
        *strongest = role;
        found->has_role = true;
    }
}

static fta_status
read_role(fta_reading *found, const fta_json_event *event, fta_status invalid,
          fta_role *out)
{
    found->has_role = false;
    if (event->kind == FTA_JSON_STRING) {
        match_role(found, event->text, out);
        return FTA_OK;
    }
    return event->kind == FTA_JSON_ARRAY ? FTA_OK : invalid;
}

static void
show_permission(const fta_reading *found, fta_text name)
{
    const fta_permission_sink *sink = found->how->permissions;
    if (sink != NULL) {
        sink->accept(sink->context, name);
    }
}

static void
add_permission(fta_reading *found, fta_text name, fta_permission_set *set)
{
    size_t number;
    if (fta_permission_names_find(fta_roles_permissions(found->rules->roles),
                                  name, &number)) {
        fta_permission_set_add(set, number);
    }
    show_permission(found, name);
}

/* Names with spaces between them (RFC 6749, section 3.3). */
static void
add_permissions(fta_reading *found, fta_text scope, fta_permission_set *set)
{
    const char *end = scope.data + scope.length;
    const char *next = scope.data;
    while (next < end) {
        const char *space = memchr(next, ' ', (size_t)(end - next));
        const char *stop = space != NULL ? space : end;
        if (stop != next) {
            add_permission(found, (fta_text){next, (size_t)(stop - next)}, set);
        }
        next = stop + 1;
    }
}

/* A value that is neither a text nor a list grants nothing. */
static fta_status
read_permissions(fta_reading *found, const fta_json_event *event,
                 fta_permission_set *out)
{
    memset(out, 0, sizeof *out);
    show_permission(found, (fta_text){NULL, 0});
    if (event->kind == FTA_JSON_STRING) {
        add_permissions(found, event->text, out);
    }
    return FTA_OK;
}

/* A refresh token or an ID token is no access token, whoever has signed it. */
static fta_status
read_use(const fta_json_event *event)
{
    return event->kind == FTA_JSON_STRING &&
                   (fta_text_is_in_any_case(event->text, "refresh") ||
                    fta_text_is_in_any_case(event->text, "id"))
               ? FTA_TOKEN_USE_REFUSED
               : FTA_OK;
}

#define VALUE_ID(invalid, member)                                              \
    read_id(found, claim, event, invalid, &found->claims->member)
#define VALUE_DATE(invalid, member)                                            \
    read_date(event, invalid, &found->claims->member)
#define VALUE_ROLE(invalid, member)                                            \
    read_role(found, event, invalid, &found->claims->member)
#define VALUE_PERMISSIONS(invalid, member)                                     \
    read_permissions(found, event, &found->claims->member)
#define VALUE_ACTOR(invalid, member)                                           \
    read_actor(event, invalid, &found->claims->member)
#define VALUE_TEXT(invalid, member) read_text(event, invalid)
#define VALUE_TOKEN(invalid, member) read_token_id(found, event, invalid)
#define VALUE_SESSION(invalid, member) read_session_id(found, event)
#define VALUE_OBJECT(invalid, member) read_object(event, invalid)
#define VALUE_ISSUER(invalid, member) read_issuer(event, invalid, found->rules)
#define VALUE_AUDIENCE(invalid, member) read_audience(found, event, invalid)
#define VALUE_USE(invalid, member) read_use(event)

/* The event is the claim's value, or the first event of it. */
static fta_status
read_claim(fta_reading *found, fta_claim claim, const fta_json_event *event)
{
    switch (claim) {
#define X(name, text, kind, need, writer, view, member)                        \
    case FTA_CLAIM_##name:                                                     \
        return VALUE_##kind(FTA_##name##_INVALID, member);
        FTA_CLAIM_LIST(X)
#undef X
    case FTA_CLAIM_COUNT:
        break;
    }
    return FTA_OK;
}

/* --- elements of each kind ---------------------------------------------- */

static fta_status
read_audience_element(fta_reading *found, const fta_json_event *event,
                      fta_status invalid)
{
    if (event->kind != FTA_JSON_STRING) {
        return invalid;
    }
    match_audience(found, event->text);
    return FTA_OK;
}

static fta_status
read_role_element(fta_reading *found, const fta_json_event *event,
                  fta_status invalid, fta_role *out)
{
    if (event->kind != FTA_JSON_STRING) {
        return invalid;
    }
    match_role(found, event->text, out);
    return FTA_OK;
}

static fta_status
read_permission_element(fta_reading *found, const fta_json_event *event,
                        fta_permission_set *out)
{
    if (event->kind == FTA_JSON_STRING) {
        add_permission(found, event->text, out);
    }
    return FTA_OK;
}

#define ELEMENT_AUDIENCE(invalid, member)                                      \
    read_audience_element(found, event, invalid)
#define ELEMENT_ROLE(invalid, member)                                          \
    read_role_element(found, event, invalid, &found->claims->member)
#define ELEMENT_PERMISSIONS(invalid, member)                                   \
    read_permission_element(found, event, &found->claims->member)
/* The array itself is invalid already. */
#define ELEMENT_ID(invalid, member) FTA_OK
#define ELEMENT_DATE(invalid, member) FTA_OK
#define ELEMENT_ACTOR(invalid, member) FTA_OK
#define ELEMENT_TEXT(invalid, member) FTA_OK
#define ELEMENT_TOKEN(invalid, member) FTA_OK
#define ELEMENT_SESSION(invalid, member) FTA_OK
#define ELEMENT_OBJECT(invalid, member) FTA_OK
#define ELEMENT_ISSUER(invalid, member) FTA_OK
#define ELEMENT_USE(invalid, member) FTA_OK

static fta_status
read_element(fta_reading *found, fta_claim claim, const fta_json_event *event)
{
    switch (claim) {
#define X(name, text, kind, need, writer, view, member)                        \
    case FTA_CLAIM_##name:                                                     \
        return ELEMENT_##kind(FTA_##name##_INVALID, member);
        FTA_CLAIM_LIST(X)
#undef X
    case FTA_CLAIM_COUNT:
        break;
    }
    return FTA_OK;
}

/* --- places of the payload ---------------------------------------------- */

static void
match_required(fta_reading *found, uint8_t which, const fta_json_event *event)
{
    for (size_t i = 0; i < found->rules->value_count; i++) {
        const fta_required_value *value = &found->rules->values[i];
        bool has_text =
            value->kind == FTA_JSON_STRING || value->kind == FTA_JSON_INTEGER;
        if (value->which == which && value->kind == event->kind &&
            (!has_text || fta_text_equal(value->text, event->text))) {
            found->met |= (uint32_t)1 << which;
        }
    }
}

static void
keep_fault(fta_reading *found, fta_claim claim, fta_status fault)
{
    if (fault != FTA_OK && (found->wrong & FTA_BIT(claim)) == 0) {
        found->wrong |= FTA_BIT(claim);
        found->fault[claim] = fault;
        found->fault_at[claim] = found->member;
    }
}

/* The sink sees ids as they are known everywhere else. Their text lies in the
 * payload, which is ours to change once every use has read it. */
static void
show_id(fta_reading *found, const fta_json_event *event)
{
    if (found->how->sink != NULL) {
        fta_uuid_format(found->shown, (char *)(uintptr_t)event->text.data);
    }
    found->shown = NULL;
}

/* The value at a place. Of the alternatives of a claim only the first that is
 * present counts, wherever it stands in the payload. */
static void
read_values(fta_reading *found, const fta_claim_node *node,
            const fta_json_event *event)
{
    const fta_claim_use *uses = found->rules->tree.uses;
    for (uint16_t next = node->first_use; next != FTA_CLAIM_NO_USE;
         next = uses[next].next) {
        const fta_claim_use *use = &uses[next];
        if (use->what >= FTA_USE_REQUIRED) {
            match_required(found, (uint8_t)(use->what - FTA_USE_REQUIRED),
                           event);
            continue;
        }
        fta_claim claim = (fta_claim)use->what;
        if (fta_claims_have(found->claims, claim)) {
            if (found->rank[claim] <= use->rank) {
                continue;
            }
            found->wrong &= ~FTA_BIT(claim);
            found->named &= ~FTA_BIT(claim);
        }
        found->claims->present |= FTA_BIT(claim);
        found->rank[claim] = use->rank;
        fta_status fault = read_claim(found, claim, event);
        if (fault != FTA_OK) {
            keep_fault(found, claim, fault);
        }
    }
    if (found->shown != NULL) {
        show_id(found, event);
    }
}

/* An element of the array at a place. */
static void
read_elements(fta_reading *found, const fta_claim_node *node,
              const fta_json_event *event)
{
    const fta_claim_use *uses = found->rules->tree.uses;
    for (uint16_t next = node->first_use; next != FTA_CLAIM_NO_USE;
         next = uses[next].next) {
        const fta_claim_use *use = &uses[next];
        if (use->what >= FTA_USE_REQUIRED) {
            match_required(found, (uint8_t)(use->what - FTA_USE_REQUIRED),
                           event);
            continue;
        }
        fta_claim claim = (fta_claim)use->what;
        if (found->rank[claim] == use->rank) {
            keep_fault(found, claim, read_element(found, claim, event));
        }
    }
}

/* A container that is read: its place, and for an array the element that is
 * next. */
typedef struct container {
    uint16_t node;
    bool is_array;
    size_t index;
} container;

/* The tree is that deep, and the arrays at its leaves are read too. */
#define CONTAINERS (FTA_CLAIM_DEPTH_MAX + 2)

static bool
is_container(const fta_json_event *event)
{
    return event->kind == FTA_JSON_OBJECT || event->kind == FTA_JSON_ARRAY;
}

static fta_status
read_container(fta_json *reader, fta_reading *found)
{
    fta_claim_tree *tree = &found->how->rules->tree;
    const fta_json_sink *sink = found->how->sink;
    uint16_t before = FTA_CLAIM_ROOT;
    container open[CONTAINERS];
    open[0] = (container){FTA_CLAIM_ROOT, false, 0};
    size_t depth = 1;
    while (depth > 0) {
        container *innermost = &open[depth - 1];
        fta_json_event event;
        fta_status status = fta_json_next(reader, &event);
        if (status != FTA_OK) {
            return status;
        }
        uint16_t node = 0;
        if (event.kind == FTA_JSON_NAME) {
            node = fta_claim_tree_find_next(tree, innermost->node, event.text,
                                            before);
            before = node != 0 ? node : before;
            if (sink != NULL && !sink->accept(sink->context, &event)) {
                return FTA_STOPPED;
            }
            status = fta_json_next(reader, &event);
            if (status != FTA_OK) {
                return status;
            }
            found->member++;
        } else if (event.kind == FTA_JSON_OBJECT_END ||
                   event.kind == FTA_JSON_ARRAY_END) {
            depth--;
        } else {
            read_elements(found, &tree->nodes[innermost->node], &event);
            node = fta_claim_tree_find_element(tree, innermost->node,
                                               innermost->index++);
        }
        if (node != 0) {
            read_values(found, &tree->nodes[node], &event);
        }
        if (sink != NULL && !sink->accept(sink->context, &event)) {
            return FTA_STOPPED;
        }
        if (is_container(&event)) {
            bool is_array = event.kind == FTA_JSON_ARRAY;
            if (node != 0 && (is_array || tree->nodes[node].first_child != 0)) {
                open[depth++] = (container){node, is_array, 0};
            } else if ((status = fta_json_leave(reader, sink)) != FTA_OK) {
                return status;
            }
        }
    }
    return FTA_OK;
}

static fta_status
read_payload(fta_json *reader, fta_reading *found)
{
    const fta_json_sink *sink = found->how->sink;
    fta_json_event event;
    fta_status status = fta_json_next(reader, &event);
    if (status == FTA_OK && event.kind != FTA_JSON_OBJECT) {
        return FTA_JSON_NOT_OBJECT;
    }
    if (status == FTA_OK && sink != NULL &&
        !sink->accept(sink->context, &event)) {
        return FTA_STOPPED;
    }
    if (status == FTA_OK) {
        status = read_container(reader, found);
    }
    if (status == FTA_OK) {
        status = fta_json_next(reader, &event); /* FTA_JSON_END, or too much */
    }
    return status;
}

fta_status
fta_claims_read(const fta_claim_reader *how, char *payload, size_t size,
                fta_claims *out)
{
    fta_reading found;
    found.how = how;
    found.rules = how->rules;
    found.claims = out;
    memset(out, 0, sizeof *out);
    if (how->ids != NULL) {
        memset(how->ids, 0, sizeof *how->ids);
    }
    found.wrong = found.named = found.met = found.member = 0;
    found.audience_matches = found.has_role = false;
    found.shown = NULL;
    fta_json reader;
    fta_json_start(&reader, payload, size, how->seed);
    fta_status status = read_payload(&reader, &found);
    fta_json_finish(&reader);
    return status == FTA_OK ? fta_claims_finish(&found) : status;
}
