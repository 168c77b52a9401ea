/*
 * The engine brings a living twin up to date: the plan runs once for each step of the update, its carried outputs
 * become its inputs. Nothing is decrypted, and the twin never leaves the engine.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ddtwin-engine.h"

#include <math.h>
#include <string.h>

enum { STEPS_MAX = 4096, INPUTS_MAX = 64 };

/* A twin and an update of it, opened. */
typedef struct update {
    engine e;
    ddt_reader *life, *news; /* life NULL: a new twin */
    ddt_writer *writer;
    ddt_wire_clock life_clock, news_clock;
    ddt_ciphertext *inputs, *outputs;
    size_t input_count, output_count;
    size_t *source; /* of each input: the output that becomes it, SIZE_MAX: the update's own */
    size_t *order;  /* of the inputs of a step */
    size_t *sent;   /* the inputs of all vectors that were sent, in their order */
    size_t sent_count, taken;
    ddt_ciphertext piece[DDT_CKKS_PACK_MAX]; /* what one upload held; those from taken % pack on are still to come */
} update;

static ddt_status find_carried(update *u) {
    size_t carried = 0;
    u->input_count = ddt_plan_input_count(u->e.plan);
    u->output_count = ddt_plan_output_count(u->e.plan);
    u->source = ddt_alloc(u->input_count, sizeof *u->source);
    u->inputs = ddt_calloc(u->input_count, sizeof *u->inputs);
    u->outputs = ddt_calloc(u->output_count, sizeof *u->outputs);
    if (u->source == NULL || u->inputs == NULL || u->outputs == NULL) {
        return ddt_fail(u->e.ctx, DDT_ERR_MEMORY, "Memory is short for an update.");
    }
    for (size_t i = 0; i < u->input_count; i++) {
        u->source[i] = SIZE_MAX;
    }
    for (size_t o = 0; o < u->output_count; o++) {
        const ddt_plan_output output = ddt_plan_get_output(u->e.plan, o);
        if (output.carried != SIZE_MAX) {
            u->source[output.carried] = o;
            carried++;
        }
    }
    if (carried != u->output_count || u->e.info.batches != 1 || u->input_count > INPUTS_MAX) {
        return ddt_fail(u->e.ctx, DDT_ERR_MISMATCH, "%s is not a plan of a living twin.", u->e.arguments->plan);
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ opening */

static ddt_status open_news(update *u) {
    ddt_context *ctx = u->e.ctx;
    const char *path = u->e.arguments->news;
    uint8_t *note = NULL;
    size_t length = 0;
    ddt_digest digest;
    uint64_t steps = 0;
    uint32_t items = 0;
    ddt_status status = ddt_reader_open(ctx, path, DDT_WIRE_UPDATE, &u->news);
    if (status == DDT_OK) {
        status = ddt_reader_heading(u->news, &digest, &steps, &items);
    }
    if (status != DDT_OK) {
        return status;
    }
    if (!ddt_digest_equal(&digest, &u->e.digest)) {
        return ddt_fail(ctx, DDT_ERR_MISMATCH, "%s was made for another plan than %s.", path, u->e.arguments->plan);
    }
    if (items != u->input_count - u->output_count || steps == 0 || steps > STEPS_MAX) {
        return ddt_fail(ctx, DDT_ERR_FORMAT, "%s does not hold the steps that its plan names.", path);
    }
    u->e.runs = steps;
    if (u->e.arguments->twin != NULL) {
        status = ddt_reader_note(ctx, u->news, &note, &length); /* the twin's own is kept */
        ddt_free(note);
    } else {
        status = engine_carry_note(&u->e, u->news, u->writer);
    }
    return status == DDT_OK ? ddt_reader_clock(ctx, u->news, &u->news_clock) : status;
}

static ddt_status open_life(update *u) {
    ddt_status status = ddt_reader_open(u->e.ctx, u->e.arguments->twin, DDT_WIRE_LIFE, &u->life);
    if (status == DDT_OK) {
        status = engine_check_heading(&u->e, u->life, 1, u->output_count, "values of a twin");
    }
    if (status == DDT_OK) {
        status = engine_carry_note(&u->e, u->life, u->writer);
    }
    return status == DDT_OK ? ddt_reader_clock(u->e.ctx, u->life, &u->life_clock) : status;
}

/* Updates come in their order, each once. */
static ddt_status check_order(const update *u) {
    const ddt_wire_clock *life = &u->life_clock;
    const ddt_wire_clock *news = &u->news_clock;
    const char *twin = u->e.arguments->twin;
    for (size_t i = 0; i < u->input_count; i++) {
        if ((news->absent >> i & 1) != 0 && u->source[i] != SIZE_MAX) {
            return ddt_fail(u->e.ctx, DDT_ERR_FORMAT, "%s leaves out what its plan carries.", u->e.arguments->news);
        }
    }
    if (news->begins != (twin == NULL)) {
        return ddt_fail(u->e.ctx, DDT_ERR_MISMATCH,
                        news->begins ? "%s begins a twin; it cannot go on from another one."
                                     : "%s goes on from a twin, which --twin must name.",
                        u->e.arguments->news);
    }
    if (twin != NULL && (news->updates != life->updates || news->from_h != life->to_h)) {
        return ddt_fail(
            u->e.ctx, DDT_ERR_MISMATCH,
            "%s goes on from a twin after %llu updates, at time %.15g; %s has had %llu and stands at %.15g.",
            u->e.arguments->news, (unsigned long long)news->updates, news->from_h, twin,
            (unsigned long long)life->updates, life->to_h);
    }
    return DDT_OK;
}

static ddt_status open_files(update *u) {
    ddt_digest digest;
    const cli_arguments *a = u->e.arguments;
    /* Damage is told before hours of work. */
    ddt_status status = ddt_wire_file_digest(u->e.ctx, a->news, DDT_WIRE_UPDATE, &digest);
    if (status == DDT_OK && a->twin != NULL) {
        status = ddt_wire_file_digest(u->e.ctx, a->twin, DDT_WIRE_LIFE, &digest);
    }
    if (status == DDT_OK) {
        status = ddt_writer_open(u->e.ctx, a->out, DDT_WIRE_LIFE, false, &u->writer);
    }
    if (status == DDT_OK) {
        status = ddt_writer_heading(u->writer, &u->e.digest, 1, (uint32_t)u->output_count);
    }
    if (status == DDT_OK && a->twin != NULL) {
        status = open_life(u);
    }
    if (status == DDT_OK) {
        status = open_news(u);
    }
    return status == DDT_OK ? check_order(u) : status;
}

/* ------------------------------------------------------------------ steps */

/* An encryption of 0 that everybody knows: of what a new twin holds, and of what was left out. */
static ddt_status zero_input(const update *u, size_t index, ddt_ciphertext *out) {
    const ddt_plan_input input = ddt_plan_get_input(u->e.plan, index);
    const size_t n = ddt_ckks_n(u->e.params);
    ddt_status status = ddt_ciphertext_create(u->e.ctx, u->e.params, input.level, 2, out);
    for (unsigned limb = 0; status == DDT_OK && limb < 2 * (input.level + 1); limb++) {
        memset(ddt_ciphertext_limb(out, n, limb % 2, limb / 2), 0, n * sizeof(uint64_t));
    }
    out->scale = status == DDT_OK ? ddt_ckks_canonical_scale(u->e.params, input.level) : 0.0;
    return status;
}

/* The twin as it was; a new one holds zeros. */
static ddt_status read_twin(update *u) {
    ddt_status status = DDT_OK;
    for (size_t i = 0; status == DDT_OK && i < u->input_count; i++) {
        if (u->source[i] != SIZE_MAX) {
            status =
                u->life != NULL ? engine_read_input(&u->e, u->life, i, &u->inputs[i]) : zero_input(u, i, &u->inputs[i]);
        }
    }
    return status == DDT_OK && u->life != NULL ? ddt_reader_finish(u->life) : status;
}

static bool is_absent(const update *u, size_t step, size_t input) {
    return step + 1 == u->e.runs && (u->news_clock.absent >> input & 1) != 0;
}

/* Vectors of all steps follow one another: an upload may hold those of several. */
static ddt_status list_sent(update *u) {
    u->order = ddt_alloc(u->input_count, sizeof *u->order);
    u->sent = ddt_alloc(u->e.runs * u->input_count, sizeof *u->sent);
    if (u->order == NULL || u->sent == NULL) {
        return ddt_fail(u->e.ctx, DDT_ERR_MEMORY, "Memory is short for an update.");
    }
    for (size_t k = 0; k < u->e.runs * u->input_count; k++) {
        const size_t step = k / u->input_count;
        if (k % u->input_count == 0) {
            ddt_plan_upload_order(u->e.plan, step, u->order);
        }
        const size_t input = u->order[k % u->input_count];
        if (u->source[input] == SIZE_MAX && !is_absent(u, step, input)) {
            u->sent[u->sent_count++] = input;
        }
    }
    return DDT_OK;
}

/* The next vector that was sent. */
static ddt_status take_sent(update *u, ddt_ciphertext *out) {
    const size_t pack = ddt_plan_pack_count(u->e.plan);
    const size_t left = u->sent_count - u->taken;
    ddt_status status = DDT_OK;
    if (u->taken % pack == 0) {
        status = engine_read_upload(&u->e, u->news, u->sent + u->taken, left < pack ? left : pack, u->piece);
    }
    if (status == DDT_OK) {
        ddt_ciphertext *next = &u->piece[u->taken++ % pack];
        *out = *next;
        *next = (ddt_ciphertext){0};
    }
    return status;
}

static ddt_status run_step(update *u, size_t step) {
    ddt_status status = DDT_OK;
    ddt_plan_upload_order(u->e.plan, step, u->order);
    for (size_t k = 0; status == DDT_OK && k < u->input_count; k++) {
        const size_t i = u->order[k];
        if (u->source[i] == SIZE_MAX) {
            status = is_absent(u, step, i) ? zero_input(u, i, &u->inputs[i]) : take_sent(u, &u->inputs[i]);
        }
    }
    if (status == DDT_OK) {
        status = engine_compute(&u->e, step, 0, u->inputs, u->outputs);
    }
    if (status != DDT_OK) {
        return status;
    }
    engine_free_ciphertexts(u->inputs, u->input_count);
    for (size_t i = 0; i < u->input_count; i++) {
        if (u->source[i] != SIZE_MAX) {
            u->inputs[i] = u->outputs[u->source[i]];
            u->outputs[u->source[i]] = (ddt_ciphertext){0};
        }
    }
    return DDT_OK;
}

static ddt_status write_twin(update *u) {
    const ddt_wire_clock clock = {.from_h = u->news_clock.to_h,
                                  .to_h = u->news_clock.to_h,
                                  .updates = u->life_clock.updates + 1,
                                  .steps = u->life_clock.steps + u->e.runs};
    ddt_status status = ddt_writer_clock(u->writer, &clock);
    for (size_t i = 0; status == DDT_OK && i < u->input_count; i++) {
        if (u->source[i] != SIZE_MAX) {
            status = ddt_ciphertext_write(u->writer, u->e.params, &u->inputs[i]);
        }
    }
    return status;
}

static ddt_status run_steps(update *u) {
    ddt_status status = list_sent(u);
    if (status == DDT_OK) {
        status = read_twin(u);
    }
    for (size_t step = 0; status == DDT_OK && step < u->e.runs; step++) {
        status = run_step(u, step);
    }
    if (status == DDT_OK) {
        status = ddt_reader_finish(u->news);
    }
    return status == DDT_OK ? write_twin(u) : status;
}

static void close_update(update *u) {
    engine_free_ciphertexts(u->inputs, u->input_count);
    engine_free_ciphertexts(u->outputs, u->output_count);
    engine_free_ciphertexts(u->piece, DDT_CKKS_PACK_MAX);
    ddt_free(u->order);
    ddt_free(u->sent);
    ddt_free(u->inputs);
    ddt_free(u->outputs);
    ddt_free(u->source);
    ddt_reader_close(u->life);
    ddt_reader_close(u->news);
    ddt_writer_abort(u->writer);
    engine_close(&u->e);
}

ddt_status engine_update(ddt_context *ctx, const cli_arguments *arguments) {
    update u = {.e = {.ctx = ctx, .arguments = arguments}};
    const double started_s = ddt_clock_s();
    ddt_status status = engine_load_plan(&u.e);
    if (status == DDT_OK) {
        status = find_carried(&u);
    }
    if (status == DDT_OK) {
        status = open_files(&u);
    }
    if (status == DDT_OK) {
        status = engine_load_keys(&u.e);
    }
    if (status == DDT_OK) {
        status = run_steps(&u);
    }
    if (status == DDT_OK) {
        status = ddt_writer_commit(u.writer, &u.e.result_bytes);
        u.writer = NULL;
    }
    if (status == DDT_OK) {
        cli_progress_clear();
        engine_tell(&u.e, ddt_clock_s() - started_s, "steps");
    }
    close_update(&u);
    return status;
}
