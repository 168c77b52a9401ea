/*
 * What bootstrapping will want, worked out from the literals alone: planners ask before there are parameters.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "bootstrap_internal.h"
#include "transform_internal.h"

typedef struct shape {
    unsigned log_n;
    unsigned log_slots;
    unsigned levels; /* of the user */
    unsigned top;
    unsigned slots_levels;
    unsigned coefficients_levels;
    unsigned baby;
} shape;

static bool make_shape(const ddt_ckks_literal *p, const ddt_bootstrap_literal *literal, shape *s) {
    *s = (shape){.log_n = p->log_n, .levels = p->levels, .top = p->levels + p->boot_levels, .baby = literal->baby};
    s->log_slots = literal->log_slots == 0 ? p->log_n - 1 : literal->log_slots;
    s->slots_levels = literal->slots_levels == 0 ? BOOT_SLOTS_LEVELS : literal->slots_levels;
    s->coefficients_levels = p->boot_levels < DDT_BOOTSTRAP_MOD_LEVELS ? 0 : p->boot_levels - DDT_BOOTSTRAP_MOD_LEVELS;
    const unsigned most = s->slots_levels > s->coefficients_levels ? s->slots_levels : s->coefficients_levels;
    const unsigned fewest = s->slots_levels < s->coefficients_levels ? s->slots_levels : s->coefficients_levels;
    return p->first_bits == DDT_RING_MODULUS_BITS_MAX && s->coefficients_levels >= 2 &&
           s->coefficients_levels <= BOOT_STAGES_MAX && s->slots_levels < BOOT_STAGES_MAX &&
           p->levels >= s->slots_levels && s->log_slots < p->log_n && s->log_slots >= most &&
           s->log_slots <= fewest * BOOT_LAYERS_MAX && s->baby <= DDT_RING_DOT_MAX && (s->baby & (s->baby - 1)) == 0;
}

bool ddt_bootstrap_is_possible(const ddt_ckks_literal *params, const ddt_bootstrap_literal *literal) {
    shape s;
    return make_shape(params, literal, &s);
}

/* ------------------------------------------------------------------ keys */

typedef struct wanted_list {
    const shape *s;
    ddt_key_request *requests;
    size_t capacity;
    size_t count;
} wanted_list;

static void want(wanted_list *list, uint64_t galois, unsigned level) {
    for (size_t i = 0; i < list->count && i < list->capacity; i++) {
        ddt_key_request *known = &list->requests[i];
        if (known->galois == galois) {
            known->top_level = level > known->top_level ? level : known->top_level;
            return;
        }
    }
    if (list->count < list->capacity) {
        list->requests[list->count] = (ddt_key_request){galois, level};
    }
    list->count++;
}

/* The key of 5^steps mod 2 N; a rotation by 0 needs none. */
static void want_rotation(wanted_list *list, int64_t steps, unsigned level) {
    const uint64_t slots = (uint64_t)1 << (list->s->log_n - 1);
    const uint64_t mask = 4 * slots - 1;
    uint64_t result = 1;
    uint64_t base = 5;
    const uint64_t exponent = (uint64_t)steps & (slots - 1);
    for (uint64_t e = exponent; e > 0; e >>= 1) {
        result = (e & 1) != 0 ? result * base & mask : result;
        base = base * base & mask;
    }
    if (exponent != 0) {
        want(list, result, level);
    }
}

/* One stage: butterfly layers low..low + size - 1, as diagonals first, first + 2^low, ... */
typedef struct stage_shape {
    unsigned low;
    unsigned size;
    unsigned level;
} stage_shape;

static int64_t stage_reach(const stage_shape *stage) { return ((int64_t)1 << stage->size) - 1; }

/* The stage that spans all slots wraps around: it has no negative diagonals. */
static bool stage_wraps(const shape *s, const stage_shape *stage) { return stage->low + stage->size == s->log_slots; }

/* As ddt_transform_create splits the diagonals first, first + 2^low, ... into steps. */
static void want_stage(wanted_list *list, const stage_shape *stage, int64_t first) {
    const shape *s = list->s;
    const int64_t stride = (int64_t)1 << stage->low;
    const int64_t count = stage_reach(stage) * (stage_wraps(s, stage) ? 1 : 2) + 1;
    const int64_t few = count > BOOT_FEW_DIAGONALS ? BOOT_BABY : BOOT_BABY / 2;
    const int64_t baby = s->baby == 0 ? few : (int64_t)s->baby;
    const bool from_zero = first >= 0 && first % stride == 0 && first / stride < TRANSFORM_BABIES_MAX / 2;
    const int64_t offset = from_zero ? 0 : first;
    const int64_t least = (first - offset) / stride;
    for (int64_t m = least; m < least + count; m++) {
        want_rotation(list, offset + m % baby * stride, stage->level);
    }
    int64_t before = 0;
    for (int64_t giant = least / baby; giant <= (least + count - 1) / baby; giant++) {
        want_rotation(list, (giant - before) * baby * stride, stage->level);
        before = giant;
    }
}

/* The stages in the order in which they are applied; returns how many. */
static unsigned fill_stages(const shape *s, stage_shape *stages) {
    unsigned sizes[BOOT_STAGES_MAX];
    unsigned low = 0;
    boot_split_layers(s->log_slots, s->slots_levels, false, sizes);
    for (unsigned i = 0; i < s->slots_levels; i++) {
        stages[i] = (stage_shape){.low = low, .size = sizes[i], .level = s->slots_levels - i};
        low += sizes[i];
    }
    unsigned high = s->log_slots;
    boot_split_layers(s->log_slots, s->coefficients_levels, true, sizes);
    for (unsigned i = 0; i < s->coefficients_levels; i++) {
        const unsigned size = sizes[s->coefficients_levels - 1 - i];
        stages[s->slots_levels + i] = (stage_shape){.low = high - size, .size = size, .level = s->top - i};
        high -= size;
    }
    return s->slots_levels + s->coefficients_levels;
}

static void want_transforms(wanted_list *list) {
    const shape *s = list->s;
    stage_shape stages[2 * BOOT_STAGES_MAX];
    const int64_t slots = (int64_t)1 << s->log_slots;
    int64_t turn = 0;
    for (unsigned i = fill_stages(s, stages); i-- > 1;) {
        const int64_t own = stage_wraps(s, &stages[i]) ? 0 : stage_reach(&stages[i]) << stages[i].low;
        want_stage(list, &stages[i], 0);
        turn = (turn + own) % slots;
    }
    /* The first stage takes the turns of all others. */
    const int64_t least = stage_wraps(s, &stages[0]) ? 0 : -(stage_reach(&stages[0]) << stages[0].low);
    want_stage(list, &stages[0], least + (turn > slots / 2 ? slots - turn : -turn));
}

size_t ddt_bootstrap_wanted_keys(const ddt_ckks_literal *params, const ddt_bootstrap_literal *literal,
                                 ddt_key_request *requests, size_t capacity) {
    shape s;
    wanted_list list = {.s = &s, .requests = requests, .capacity = capacity};
    if (!make_shape(params, literal, &s)) {
        return 0;
    }
    const unsigned mod_level = s.top - s.coefficients_levels;
    want(&list, 0, mod_level);
    want(&list, ((uint64_t)2 << s.log_n) - 1, mod_level + 1); /* conjugation */
    want_transforms(&list);
    for (unsigned i = s.log_slots; i + 1 < s.log_n; i++) {
        want_rotation(&list, (int64_t)1 << i, mod_level + 1);
    }
    return list.count;
}
