/* The engine's commands. SPDX-License-Identifier: Apache-2.0 */
#ifndef DDTWIN_ENGINE_H
#define DDTWIN_ENGINE_H

#include "common.h"

/* run: plan, evaluation keys and twin -> result. */
DDT_MUST_CHECK ddt_status engine_run(ddt_context *ctx, const cli_arguments *arguments);

#endif
