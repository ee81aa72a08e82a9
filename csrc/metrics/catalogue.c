#include "metrics/catalogue.h"

const unsigned long fta_metric_bounds[FTA_BUCKETS - 1] = FTA_METRIC_BOUNDS;

#define WORD(word, ...) {#word, sizeof #word - 1},
#define X(set, name)                                                           \
    static const fta_text words_##set[] = {FTA_METRIC_##set##_LIST(WORD)};
FTA_METRIC_LABEL_LIST(X)
#undef X

enum label {
#define X(set, name) LABEL_##set,
    FTA_METRIC_LABEL_LIST(X)
#undef X
};

static const struct {
    const char *name;
    const fta_text *words;
    size_t count;
} labels[] = {
#define X(set, name) {name, words_##set, FTA_##set##_COUNT},
    FTA_METRIC_LABEL_LIST(X)
#undef X
};

static const struct {
    const char *name;
    const char *help;
    fta_metric_kind kind;
    fta_metric_group group;
    enum label label;
} metrics[] = {
#define X(metric, kind, name, label, group, help)                              \
    {name, help, FTA_METRIC_##kind, FTA_GROUP_##group, LABEL_##label},
    FTA_METRIC_LIST(X)
#undef X
};

static const fta_group_about groups[] = {
#define X(group, names, ...) {names, {__VA_ARGS__}},
    FTA_METRIC_GROUP_LIST(X)
#undef X
};

fta_metric_about
fta_metric_read_about(fta_metric metric)
{
    enum label label = metrics[metric].label;
    return (fta_metric_about){
        .name = metrics[metric].name,
        .help = metrics[metric].help,
        .kind = metrics[metric].kind,
        .group = metrics[metric].group,
        .label = labels[label].name,
        .words = labels[label].words,
        .word_count = labels[label].count,
    };
}

fta_group_about
fta_metric_group_about(fta_metric_group group)
{
    return groups[group];
}

static bool
is_in_capitals(fta_text capitals, const char *word)
{
    for (size_t i = 0; i < capitals.length; i++) {
        char c = capitals.data[i];
        if (word[i] != (c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c)) {
            return false;
        }
    }
    return true;
}

bool
fta_metric_find_word(fta_metric metric, fta_text word, size_t *place)
{
    fta_metric_about about = fta_metric_read_about(metric);
    for (size_t i = 0; i < about.word_count; i++) {
        if (about.words[i].length == word.length &&
            is_in_capitals(about.words[i], word.data)) {
            *place = i;
            return true;
        }
    }
    return false;
}
