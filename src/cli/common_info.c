/* `info`: what a file is, as anybody without keys can see. SPDX-License-Identifier: Apache-2.0 */
#include "common.h"

#include <sys/stat.h>

/* What info tells, whatever the kind. */
typedef struct file_view {
    const char *path;
    ddt_wire_kind kind;
    uint64_t bytes;
    ddt_digest digest;
    bool has_heading;
    ddt_digest plan;
    uint64_t batches;
    uint32_t items;
    bool has_clock;
    ddt_wire_clock clock;
    bool has_plan;
    ddt_plan_info info;
} file_view;

static ddt_status view_plan(ddt_context *ctx, file_view *view) {
    ddt_reader *reader = NULL;
    ddt_plan *plan = NULL;
    ddt_status status = ddt_reader_open(ctx, view->path, DDT_WIRE_PLAN, &reader);
    if (status != DDT_OK) {
        return status;
    }
    status = ddt_plan_read(ctx, reader, &plan);
    ddt_reader_close(reader);
    if (status == DDT_OK) {
        ddt_plan_get_info(plan, &view->info);
        view->has_plan = true;
    }
    ddt_plan_destroy(plan);
    return status;
}

static ddt_status view_heading(ddt_context *ctx, file_view *view) {
    ddt_reader *reader = NULL;
    uint8_t *note = NULL;
    size_t length = 0;
    ddt_status status = ddt_reader_open(ctx, view->path, view->kind, &reader);
    if (status != DDT_OK) {
        return status;
    }
    status = ddt_reader_heading(reader, &view->plan, &view->batches, &view->items);
    view->has_heading = status == DDT_OK;
    view->has_clock = view->kind == DDT_WIRE_UPDATE || view->kind == DDT_WIRE_LIFE;
    if (status == DDT_OK && view->has_clock) {
        status = ddt_reader_note(ctx, reader, &note, &length);
    }
    if (status == DDT_OK && view->has_clock) {
        status = ddt_reader_clock(ctx, reader, &view->clock);
    }
    ddt_free(note);
    ddt_reader_close(reader);
    return status;
}

static ddt_status view_file(ddt_context *ctx, const char *path, file_view *view) {
    *view = (file_view){.path = path};
    struct stat info;
    ddt_status status = ddt_wire_probe(ctx, path, &view->kind);
    if (status == DDT_OK) {
        status = ddt_wire_file_digest(ctx, path, view->kind, &view->digest);
    }
    if (status != DDT_OK) {
        return status;
    }
    view->bytes = stat(path, &info) == 0 ? (uint64_t)info.st_size : 0;
    switch (view->kind) {
    case DDT_WIRE_PLAN:
        return view_plan(ctx, view);
    case DDT_WIRE_EVAL_KEYS:
    case DDT_WIRE_TWIN:
    case DDT_WIRE_RESULT:
    case DDT_WIRE_UPDATE:
    case DDT_WIRE_LIFE:
        return view_heading(ctx, view);
    default:
        return DDT_OK;
    }
}

static const char *items_name(ddt_wire_kind kind) {
    return kind == DDT_WIRE_EVAL_KEYS ? "keys"
           : kind == DDT_WIRE_TWIN    ? "ciphertexts"
           : kind == DDT_WIRE_UPDATE  ? "inputs"
                                      : "outputs";
}

static void print_json(const file_view *view) {
    char digest[CLI_DIGEST_TEXT];
    cli_digest_text(&view->digest, digest);
    (void)printf("{\"file\": ");
    cli_json_string(stdout, view->path);
    (void)printf(", \"kind\": \"%s\", \"bytes\": %llu, \"digest\": \"%s\"", ddt_wire_kind_name(view->kind),
                 (unsigned long long)view->bytes, digest);
    if (view->has_heading) {
        cli_digest_text(&view->plan, digest);
        (void)printf(", \"plan_digest\": \"%s\", \"batches\": %llu, \"%s\": %u", digest,
                     (unsigned long long)view->batches, items_name(view->kind), view->items);
    }
    if (view->has_clock) {
        (void)printf(", \"from\": %.15g, \"to\": %.15g, \"updates\": %llu, \"steps\": %llu", view->clock.from_h,
                     view->clock.to_h, (unsigned long long)view->clock.updates, (unsigned long long)view->clock.steps);
    }
    if (view->has_plan) {
        const ddt_plan_info *info = &view->info;
        (void)printf(", \"ring_degree\": %lu, \"log2_qp\": %.2f, \"security_bits\": %u, \"depth\": %u, \"bootstraps\": "
                     "%u, \"lanes\": %zu, \"block\": %zu, \"batches\": %zu, \"multiplications\": %zu, \"rotations\": "
                     "%zu, \"rotation_keys\": %zu, \"eval_key_bytes\": %llu, \"twin_bytes\": %llu, \"result_bytes\": "
                     "%llu, \"predicted_seconds_one_thread\": %.3g, \"predicted_error\": %.3g",
                     1UL << info->literal.log_n, info->log2_qp, info->security_bits, info->depth, info->bootstraps,
                     info->lanes, info->block, info->batches, info->multiplications, info->rotations,
                     info->rotation_keys, (unsigned long long)info->eval_key_bytes,
                     (unsigned long long)info->twin_bytes, (unsigned long long)info->result_bytes,
                     info->predicted_seconds, info->predicted_error);
    }
    (void)printf("}\n");
}

static void print_text(const file_view *view) {
    char digest[CLI_DIGEST_TEXT];
    char size[CLI_SIZE_TEXT];
    cli_digest_text(&view->digest, digest);
    (void)printf("%s: %s, %s\ndigest       %s\n", view->path, ddt_wire_kind_name(view->kind),
                 cli_size_text(view->bytes, size), digest);
    if (view->has_heading) {
        cli_digest_text(&view->plan, digest);
        (void)printf("of plan      %s\nholds        %u %s", digest, view->items, items_name(view->kind));
        if (view->batches > 0) {
            (void)printf(" in each of %llu batches", (unsigned long long)view->batches);
        }
        (void)printf("\n");
    }
    if (view->has_clock) {
        (void)printf("clock        from %.15g to %.15g, %llu updates before, %llu steps\n", view->clock.from_h,
                     view->clock.to_h, (unsigned long long)view->clock.updates, (unsigned long long)view->clock.steps);
    }
    if (view->has_plan) {
        const ddt_plan_info *info = &view->info;
        (void)printf("ring         2^%u, log2 QP %.1f of %u: %u-bit security\n", info->literal.log_n, info->log2_qp,
                     ddt_ckks_max_log_qp(info->literal.log_n), info->security_bits);
        (void)printf("circuit      depth %u, %zu multiplications, %zu rotations, %u bootstraps, %zu batch(es)\n",
                     info->depth, info->multiplications, info->rotations, info->bootstraps, info->batches);
        (void)printf("keys         relinearisation and %zu rotations, %s\n", info->rotation_keys,
                     cli_size_text(info->eval_key_bytes, size));
        (void)printf("to send      %s with the secret key, twice that with the public one\n",
                     cli_size_text(info->twin_bytes, size));
    }
}

ddt_status cli_info(ddt_context *ctx, const cli_arguments *arguments) {
    file_view view;
    ddt_status status = view_file(ctx, arguments->positional, &view);
    if (status == DDT_OK && arguments->json) {
        print_json(&view);
    } else if (status == DDT_OK) {
        print_text(&view);
    }
    return status;
}
