/* The engine at work, batch by batch. SPDX-License-Identifier: Apache-2.0 */
#include "ddtwin-engine.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#define SCALE_TOLERANCE 0x1p-40 /* as for sums of ciphertexts: ddt/ckks.h */

/* ------------------------------------------------------------------ reading */

ddt_status engine_load_plan(engine *e) {
    const char *path = e->arguments->plan;
    ddt_reader *reader = NULL;
    /* The whole file is verified for its digest; of its sections the engine needs the program alone. */
    ddt_status status = ddt_wire_file_digest(e->ctx, path, DDT_WIRE_PLAN, &e->digest);
    if (status == DDT_OK) {
        status = ddt_reader_open(e->ctx, path, DDT_WIRE_PLAN, &reader);
    }
    if (status != DDT_OK) {
        return status;
    }
    status = ddt_plan_read(e->ctx, reader, &e->plan);
    ddt_reader_close(reader);
    if (status != DDT_OK) {
        return status;
    }
    ddt_plan_get_info(e->plan, &e->info);
    if (e->info.security_bits == 0) {
        return ddt_fail(e->ctx, DDT_ERR_SECURITY, "%s has parameters made for testing, which do not protect data.",
                        path);
    }
    return ddt_plan_params(e->ctx, e->plan, &e->params);
}

ddt_status engine_check_heading(engine *e, ddt_reader *reader, uint64_t batches, size_t items, const char *what) {
    ddt_digest digest;
    uint64_t got_batches = 0;
    uint32_t got_items = 0;
    ddt_status status = ddt_reader_heading(reader, &digest, &got_batches, &got_items);
    if (status != DDT_OK) {
        return status;
    }
    if (!ddt_digest_equal(&digest, &e->digest)) {
        return ddt_fail(e->ctx, DDT_ERR_MISMATCH, "%s was made for another plan than %s.", ddt_reader_path(reader),
                        e->arguments->plan);
    }
    if (got_batches != batches || got_items != items) {
        return ddt_fail(e->ctx, DDT_ERR_FORMAT, "%s does not hold the %s that its plan names.", ddt_reader_path(reader),
                        what);
    }
    return DDT_OK;
}

static ddt_status read_encapsulation(engine *e, ddt_reader *reader) {
    ddt_encapsulation encapsulation = {0};
    if (ddt_ckks_params_literal(e->params)->boot_levels == 0) {
        return DDT_OK;
    }
    ddt_status status = ddt_encapsulation_read(e->ctx, reader, e->params, &encapsulation);
    if (status == DDT_OK) {
        status = ddt_eval_keys_set_encapsulation(e->ctx, e->keys, &encapsulation);
        ddt_encapsulation_destroy(&encapsulation); /* emptied where it was taken */
    }
    return status;
}

static ddt_status read_keys(engine *e, ddt_reader *reader) {
    const size_t count = ddt_plan_key_count(e->plan);
    ddt_status status = engine_check_heading(e, reader, 0, count, "keys");
    for (size_t i = 0; status == DDT_OK && i < count; i++) {
        ddt_switch_key key = {0};
        status = ddt_switch_key_read(e->ctx, reader, e->params, &key);
        if (status == DDT_OK) {
            status = ddt_eval_keys_add(e->ctx, e->keys, &key);
        }
        if (status != DDT_OK) {
            ddt_switch_key_destroy(&key);
        }
    }
    if (status == DDT_OK) {
        status = read_encapsulation(e, reader);
    }
    return status == DDT_OK ? ddt_reader_finish(reader) : status;
}

/* The keys must be those that the plan lists, usable at the levels where it uses them. */
static ddt_status check_keys(const engine *e) {
    for (size_t i = 0; i < ddt_plan_key_count(e->plan); i++) {
        const ddt_plan_key wanted = ddt_plan_get_key(e->plan, i);
        const ddt_switch_key *key = ddt_eval_keys_find(e->keys, wanted.galois);
        if (key == NULL || key->top_level < wanted.top_level) {
            return ddt_fail(e->ctx, DDT_ERR_KEY_MISSING, "%s lacks the key of Galois element %llu at level %u.",
                            e->arguments->eval_keys, (unsigned long long)wanted.galois, wanted.top_level);
        }
    }
    return DDT_OK;
}

ddt_status engine_load_keys(engine *e) {
    ddt_reader *reader = NULL;
    ddt_status status = ddt_eval_keys_create(e->ctx, e->params, &e->keys);
    if (status == DDT_OK) {
        status = ddt_reader_open(e->ctx, e->arguments->eval_keys, DDT_WIRE_EVAL_KEYS, &reader);
    }
    if (status != DDT_OK) {
        return status;
    }
    status = read_keys(e, reader);
    ddt_reader_close(reader);
    return status == DDT_OK ? check_keys(e) : status;
}

/* ------------------------------------------------------------------ batches */

static ddt_status read_ciphertext(engine *e, ddt_reader *reader, size_t input, unsigned level, ddt_ciphertext *out) {
    ddt_status status = ddt_ciphertext_read(e->ctx, reader, e->params, out);
    if (status != DDT_OK) {
        return status;
    }
    const double scale = ddt_ckks_canonical_scale(e->params, level);
    if (out->parts != 2 || out->level != level || !(fabs(out->scale / scale - 1) <= SCALE_TOLERANCE)) {
        return ddt_fail(e->ctx, DDT_ERR_FORMAT, "%s holds a ciphertext of %s that is not as the plan wants it.",
                        ddt_reader_path(reader), ddt_plan_get_input(e->plan, input).name);
    }
    return DDT_OK;
}

ddt_status engine_read_input(engine *e, ddt_reader *reader, size_t index, ddt_ciphertext *out) {
    return read_ciphertext(e, reader, index, ddt_plan_get_input(e->plan, index).level, out);
}

ddt_status engine_read_upload(engine *e, ddt_reader *reader, const size_t *inputs, size_t count, ddt_ciphertext *out) {
    if (ddt_plan_pack_count(e->plan) == 1) {
        return engine_read_input(e, reader, inputs[0], out);
    }
    ddt_ciphertext upload = {0};
    ddt_status status = read_ciphertext(e, reader, inputs[0], ddt_plan_upload_level(e->plan, inputs, count), &upload);
    const double started_s = ddt_clock_s();
    if (status == DDT_OK) {
        status = ddt_plan_open_upload(e->ctx, e->plan, e->keys, &upload, inputs, count, out);
    }
    ddt_ciphertext_destroy(&upload);
    e->compute_s += ddt_clock_s() - started_s;
    return status;
}

/* Progress over all runs of the plan, from that of one. */
typedef struct run_progress {
    const engine *e;
    size_t run;
} run_progress;

static bool on_progress(void *user, const char *stage, uint64_t done, uint64_t total) {
    const run_progress *p = user;
    const uint64_t all_done = p->run * total + done;
    const uint64_t all = p->e->runs * total;
    if (p->e->arguments->progress_fd > 0) {
        char line[64];
        int length = snprintf(line, sizeof line, "%llu %llu\n", (unsigned long long)all_done, (unsigned long long)all);
        /* Progress is a courtesy: a reader that went away does not stop the work. */
        if (write((int)p->e->arguments->progress_fd, line, (size_t)length) < 0) {
        }
    }
    return cli_progress(NULL, stage, all_done, all);
}

ddt_status engine_compute(engine *e, size_t run, size_t batch, const ddt_ciphertext *inputs, ddt_ciphertext *outputs) {
    run_progress progress = {.e = e, .run = run};
    const double started_s = ddt_clock_s();
    ddt_context_set_progress(e->ctx, on_progress, &progress);
    ddt_status status = ddt_plan_run(e->ctx, e->plan, e->keys, batch, inputs, outputs);
    ddt_context_set_progress(e->ctx, cli_progress, NULL);
    e->compute_s += ddt_clock_s() - started_s;
    return status;
}

/* inputs[i], i of the plan; what is sent comes in the plan's order of uploads. */
static ddt_status read_inputs(engine *e, ddt_reader *reader, const size_t *order, ddt_ciphertext *inputs) {
    const size_t count = ddt_plan_input_count(e->plan);
    const size_t pack = ddt_plan_pack_count(e->plan);
    ddt_ciphertext piece[DDT_CKKS_PACK_MAX] = {0};
    ddt_status status = DDT_OK;
    for (size_t first = 0; first < count && status == DDT_OK; first += pack) {
        const size_t size = count - first < pack ? count - first : pack;
        status = engine_read_upload(e, reader, order + first, size, piece);
        for (size_t k = 0; k < size && status == DDT_OK; k++) {
            inputs[order[first + k]] = piece[k];
        }
    }
    return status;
}

static ddt_status run_batch(engine *e, size_t batch, ddt_reader *reader, ddt_writer *writer, const size_t *order,
                            ddt_ciphertext *inputs, ddt_ciphertext *outputs) {
    ddt_status status = read_inputs(e, reader, order, inputs);
    if (status == DDT_OK) {
        status = engine_compute(e, batch, batch, inputs, outputs);
    }
    for (size_t o = 0; status == DDT_OK && o < ddt_plan_output_count(e->plan); o++) {
        status = ddt_ciphertext_write(writer, e->params, &outputs[o]);
    }
    return status;
}

void engine_free_ciphertexts(ddt_ciphertext *ciphertexts, size_t count) {
    for (size_t i = 0; ciphertexts != NULL && i < count; i++) {
        ddt_ciphertext_destroy(&ciphertexts[i]);
        ciphertexts[i] = (ddt_ciphertext){0};
    }
}

static ddt_status run_batches(engine *e, ddt_reader *reader, ddt_writer *writer) {
    const size_t input_count = ddt_plan_input_count(e->plan);
    const size_t output_count = ddt_plan_output_count(e->plan);
    ddt_ciphertext *inputs = ddt_calloc(input_count, sizeof *inputs);
    ddt_ciphertext *outputs = ddt_calloc(output_count, sizeof *outputs);
    size_t *order = ddt_alloc(input_count, sizeof *order);
    ddt_status status = DDT_OK;
    if (inputs == NULL || outputs == NULL || order == NULL) {
        status = ddt_fail(e->ctx, DDT_ERR_MEMORY, "Memory is short for the batches.");
    } else {
        ddt_plan_upload_order(e->plan, 0, order);
    }
    for (size_t batch = 0; status == DDT_OK && batch < e->info.batches; batch++) {
        status = run_batch(e, batch, reader, writer, order, inputs, outputs);
        engine_free_ciphertexts(inputs, input_count);
        engine_free_ciphertexts(outputs, output_count);
    }
    ddt_free(inputs);
    ddt_free(outputs);
    ddt_free(order);
    return status;
}

ddt_status engine_carry_note(engine *e, ddt_reader *reader, ddt_writer *writer) {
    uint8_t *note = NULL;
    size_t length = 0;
    ddt_status status = ddt_reader_note(e->ctx, reader, &note, &length);
    if (status == DDT_OK) {
        status = ddt_writer_note(writer, note, length);
    }
    ddt_free(note);
    return status;
}

static ddt_status run_twin(engine *e) {
    const char *path = e->arguments->twin;
    ddt_reader *reader = NULL;
    ddt_writer *writer = NULL;
    ddt_status status = ddt_reader_open(e->ctx, path, DDT_WIRE_TWIN, &reader);
    if (status != DDT_OK) {
        return status;
    }
    const size_t uploads = ddt_plan_upload_count(e->plan, ddt_plan_input_count(e->plan));
    status = engine_check_heading(e, reader, e->info.batches, uploads, "ciphertexts");
    if (status == DDT_OK) {
        status = ddt_writer_open(e->ctx, e->arguments->out, DDT_WIRE_RESULT, false, &writer);
    }
    if (status == DDT_OK) {
        status = ddt_writer_heading(writer, &e->digest, e->info.batches, (uint32_t)ddt_plan_output_count(e->plan));
    }
    if (status == DDT_OK) {
        status = engine_carry_note(e, reader, writer);
    }
    if (status == DDT_OK) {
        status = run_batches(e, reader, writer);
    }
    if (status == DDT_OK) {
        status = ddt_reader_finish(reader);
    }
    ddt_reader_close(reader);
    if (status != DDT_OK) {
        ddt_writer_abort(writer);
        return status;
    }
    return ddt_writer_commit(writer, &e->result_bytes);
}

/* ------------------------------------------------------------------ telling */

/*
 * The peak of this program's own memory. getrusage would count the parent's too: a child starts with what its parent
 * had before exec.
 */
static uint64_t peak_rss_bytes(void) {
    FILE *status = fopen("/proc/self/status", "r");
    char line[128];
    unsigned long long kib = 0;
    while (status != NULL && fgets(line, sizeof line, status) != NULL) {
        if (sscanf(line, "VmHWM: %llu kB", &kib) == 1) {
            break;
        }
    }
    if (status != NULL) {
        (void)fclose(status);
    }
    const uint64_t bytes_per_kib = 1024;
    return kib * bytes_per_kib;
}

void engine_tell(const engine *e, double seconds, const char *unit) {
    char rss[CLI_SIZE_TEXT];
    char size[CLI_SIZE_TEXT];
    const int threads = ddt_context_threads(e->ctx);
    const uint64_t peak = peak_rss_bytes();
    if (e->arguments->json) {
        (void)printf(
            "{\"seconds\": %.6f, \"compute_seconds\": %.6f, \"peak_rss_bytes\": %llu, \"%s\": %zu, "
            "\"multiplications\": %zu, \"rotations\": %zu, \"keys\": %zu, \"result_bytes\": %llu, \"threads\": "
            "%d, \"kernels\": \"%s\"}\n",
            seconds, e->compute_s, (unsigned long long)peak, unit, e->runs, e->info.multiplications, e->info.rotations,
            ddt_plan_key_count(e->plan), (unsigned long long)e->result_bytes, threads, ddt_ring_kernels());
        return;
    }
    (void)printf("%s: %s, %zu %s in %.2f s (computing %.2f s), %d thread(s), %s kernels, %s of memory\n",
                 e->arguments->out, cli_size_text(e->result_bytes, size), e->runs, unit, seconds, e->compute_s, threads,
                 ddt_ring_kernels(), cli_size_text(peak, rss));
}

void engine_close(engine *e) {
    ddt_eval_keys_destroy(e->keys);
    ddt_plan_destroy(e->plan);
}

ddt_status engine_run(ddt_context *ctx, const cli_arguments *arguments) {
    engine e = {.ctx = ctx, .arguments = arguments};
    const double started_s = ddt_clock_s();
    ddt_digest digest;
    ddt_status status = engine_load_plan(&e);
    e.runs = e.info.batches;
    if (status == DDT_OK) {
        /* Batches are read as they are computed; a damaged file is told before the first and not after hours. */
        status = ddt_wire_file_digest(ctx, arguments->twin, DDT_WIRE_TWIN, &digest);
    }
    if (status == DDT_OK) {
        status = engine_load_keys(&e);
    }
    if (status == DDT_OK) {
        status = run_twin(&e);
    }
    if (status == DDT_OK) {
        cli_progress_clear();
        engine_tell(&e, ddt_clock_s() - started_s, "batches");
    }
    engine_close(&e);
    return status;
}
