/* The command models, of one model file. SPDX-License-Identifier: Apache-2.0 */
#ifndef DDTWIN_MODELS_H
#define DDTWIN_MODELS_H

#include "ddtwin.h"

/* Shows the model file arguments->positional, and writes its virtual trial to arguments->out if that is given. */
DDT_MUST_CHECK ddt_status ddtwin_model_show(ddt_context *ctx, const cli_arguments *arguments);

#endif
