/* Parts of ddtwin, the custodian's program. SPDX-License-Identifier: Apache-2.0 */
#ifndef DDTWIN_H
#define DDTWIN_H

#include "common.h"
#include "ddt/twin.h"

/* ------------------------------------------------------------------ commands */

DDT_MUST_CHECK ddt_status ddtwin_check(ddt_context *ctx, const cli_arguments *arguments);
DDT_MUST_CHECK ddt_status ddtwin_simulate(ddt_context *ctx, const cli_arguments *arguments);
DDT_MUST_CHECK ddt_status ddtwin_compile(ddt_context *ctx, const cli_arguments *arguments);
DDT_MUST_CHECK ddt_status ddtwin_keygen(ddt_context *ctx, const cli_arguments *arguments);
DDT_MUST_CHECK ddt_status ddtwin_keygen_physician(ddt_context *ctx, const cli_arguments *arguments);
DDT_MUST_CHECK ddt_status ddtwin_encrypt(ddt_context *ctx, const cli_arguments *arguments);
DDT_MUST_CHECK ddt_status ddtwin_decrypt(ddt_context *ctx, const cli_arguments *arguments);
DDT_MUST_CHECK ddt_status ddtwin_info(ddt_context *ctx, const cli_arguments *arguments);
DDT_MUST_CHECK ddt_status ddtwin_models(ddt_context *ctx, const cli_arguments *arguments);
DDT_MUST_CHECK ddt_status ddtwin_fit(ddt_context *ctx, const cli_arguments *arguments);
DDT_MUST_CHECK ddt_status ddtwin_recommend(ddt_context *ctx, const cli_arguments *arguments);
DDT_MUST_CHECK ddt_status ddtwin_grant(ddt_context *ctx, const cli_arguments *arguments);
DDT_MUST_CHECK ddt_status ddtwin_open(ddt_context *ctx, const cli_arguments *arguments);

/* The report draws this many intervals over each subject's span. */
enum { DDTWIN_REPORT_POINTS = 97 };

/* --data, --grid, --output and --param as the library takes them. *settings belongs to the caller (ddt_free). */
DDT_MUST_CHECK ddt_status ddtwin_options(ddt_context *ctx, const cli_arguments *arguments, size_t report_points,
                                         ddt_setting **settings, ddt_twin_options *out);

/* Texts that options point to. */
typedef struct ddtwin_question {
    char *target, *product;
} ddtwin_question;

/* Turns options into those of a recommendation: --target and --product, else what the model's file says. */
DDT_MUST_CHECK ddt_status ddtwin_ask(ddt_context *ctx, const cli_arguments *arguments, ddtwin_question *question,
                                     ddt_twin_options *options);
void ddtwin_question_free(ddtwin_question *question);

/* ------------------------------------------------------------------ output folders */

/*
 * An output folder that appears whole or not at all: everything is made in a private folder beside it, which takes its
 * place on commit. A folder that stands there already is replaced when it is empty or holds nothing but our own files;
 * otherwise it is refused.
 */
typedef struct ddtwin_folder {
    char *path;    /* as asked for */
    char *staging; /* private: mode 0700, removed at the end with all it holds */
    char *files;   /* staging/out: what becomes `path` */
} ddtwin_folder;

DDT_MUST_CHECK ddt_status ddtwin_folder_open(ddt_context *ctx, const char *path, ddtwin_folder *out);
/* Puts the files into place. The folder still has to be closed. */
DDT_MUST_CHECK ddt_status ddtwin_folder_commit(ddt_context *ctx, const ddtwin_folder *folder);
/* Removes the staging folder; key files in it are overwritten first. */
void ddtwin_folder_close(ddtwin_folder *folder);
/* bands.csv, summary.json and report.html of a population or of bands by moments (and profile.csv of the former). */
DDT_MUST_CHECK ddt_status ddtwin_write_bands(ddt_context *ctx, const ddtwin_folder *folder,
                                             const ddt_twin_outcome *outcome);
/* Writes profile.csv, summary.json and report.html into the folder and commits it. */
DDT_MUST_CHECK ddt_status ddtwin_write_results(ddt_context *ctx, const ddtwin_folder *folder,
                                               const ddt_twin_outcome *outcome);
/* etas.csv, uncertainty.csv and summary.json of a fit; nothing is committed yet. */
DDT_MUST_CHECK ddt_status ddtwin_write_etas(ddt_context *ctx, const ddtwin_folder *folder,
                                            const ddt_twin_outcome *outcome);
/* Names those whom a fit leaves out on stderr, and says why. */
void ddtwin_tell_left_out(const ddt_left_out *left_out);
/* recommendation.json, candidates.csv and report.html, committed and told. */
DDT_MUST_CHECK ddt_status ddtwin_write_recommendation(ddt_context *ctx, const cli_arguments *arguments,
                                                      const ddtwin_folder *folder, const ddt_twin_outcome *outcome,
                                                      const ddt_recommendation *r);
/* A path inside a folder; NULL when memory is short (the error is recorded). */
DDT_MUST_CHECK char *ddtwin_join(ddt_context *ctx, const char *folder, const char *name);

/* ------------------------------------------------------------------ the engine as a process */

typedef struct ddtwin_engine_report {
    double seconds, compute_seconds;
    uint64_t peak_rss_bytes, result_bytes;
    int threads;
    char kernels[32];
} ddtwin_engine_report;

/*
 * Runs ddtwin-engine in `folder`, which must hold plan.ddt, eval.ddt and twin.ddt and gets result.ddt. The program is
 * the one beside this one, else the one in PATH. Its progress becomes ours, its sentence our error.
 */
DDT_MUST_CHECK ddt_status ddtwin_run_engine(ddt_context *ctx, const char *folder, ddtwin_engine_report *out);

/* ------------------------------------------------------------------ the chain on one machine */

/* Files of the chain, all in a private staging folder. The engine's folder never holds a secret key. */
typedef struct ddtwin_chain {
    ddt_context *ctx;
    ddtwin_folder folder;
    char *engine, *keys;                             /* folders */
    char *plan, *twin, *result, *eval, *engine_eval; /* files */
    ddt_twin_problem *problem;
    ddtwin_engine_report engine_report;
    ddt_twin_run run;
    double started_s;
} ddtwin_chain;

/* Opens the output folder `folder`, makes the problem and writes its plan. On failure nothing has to be closed. */
DDT_MUST_CHECK ddt_status ddtwin_chain_open(ddt_context *ctx, const ddt_twin_options *options, const char *folder,
                                            ddtwin_chain *out);
/* Keys, encryption of the data, the engine as a process of its own, decryption. *out belongs to the caller. */
DDT_MUST_CHECK ddt_status ddtwin_chain_run(ddtwin_chain *chain, const char *data, ddt_profile *out);
/* The program in the clear instead of all that (--clear). */
DDT_MUST_CHECK ddt_status ddtwin_chain_run_clear(ddtwin_chain *chain, ddt_profile *out);
/* Removes all files that were not committed; the keys are overwritten first. */
void ddtwin_chain_close(ddtwin_chain *chain);

/* ------------------------------------------------------------------ passphrases */

enum { DDTWIN_PASSPHRASE_MAX = 1024 };

typedef struct ddtwin_passphrase {
    char text[DDTWIN_PASSPHRASE_MAX];
    bool given;
} ddtwin_passphrase;

/* From --passphrase-file; confirm: asked twice when it comes from the terminal. Not given without that option. */
DDT_MUST_CHECK ddt_status ddtwin_passphrase_take(ddt_context *ctx, const cli_arguments *arguments, bool confirm,
                                                 ddtwin_passphrase *out);
/* Asks on the terminal; false where there is none. */
bool ddtwin_passphrase_ask(const char *prompt, ddtwin_passphrase *out);
void ddtwin_passphrase_wipe(ddtwin_passphrase *passphrase);

/* A step that opens a secret key. */
typedef ddt_status (*ddtwin_secret_step)(ddt_context *ctx, const cli_arguments *arguments, const char *passphrase,
                                         void *result);
/* Runs it with --passphrase-file; when a passphrase turns out to be needed and a terminal is there, again with the one
 * asked for. */
DDT_MUST_CHECK ddt_status ddtwin_with_passphrase(ddt_context *ctx, const cli_arguments *arguments,
                                                 ddtwin_secret_step step, void *result);

/* ------------------------------------------------------------------ printing */

void ddtwin_print_check(const ddt_twin_outcome *outcome, const ddt_solution *solution);
void ddtwin_print_simulation(const ddt_twin_outcome *outcome, const char *folder);
/* The summary as JSON. */
DDT_MUST_CHECK ddt_status ddtwin_print_summary(ddt_context *ctx, const ddt_twin_outcome *outcome);
/* The first subject's curve of the first output as text. */
void ddtwin_print_plot(const ddt_twin_outcome *outcome);

#endif
