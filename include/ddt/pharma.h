/* ddt/pharma.h - drug models: language, expressions, event tables, reference solver. SPDX-License-Identifier: Apache-2.0 */
#ifndef DDT_PHARMA_H
#define DDT_PHARMA_H

#include "ddt/pharma/events.h"
#include "ddt/pharma/expr.h"
#include "ddt/pharma/graph.h"
#include "ddt/pharma/model.h"
#include "ddt/pharma/population.h"
#include "ddt/pharma/product.h"
#include "ddt/pharma/reference.h"
#include "ddt/pharma/units.h"

#endif
