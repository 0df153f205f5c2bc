// The loops for one vector unit. The including file defines UNIT(name) to name its copies and has set the target.
#include "../include/cvector.h"
#include "../dispatch.h"
#include <math.h>
#include <string.h>

#pragma clang diagnostic ignored "-Wpsabi"

#include "lanes.h"
#include "pointwise.h"
#include "products.h"
#include "rows.h"
#include "product.h"
#include "packed.h"
#include "attention.h"
#include "depthwise.h"

const struct vector_unit UNIT(unit) = {
    UNIT(unary), UNIT(binary), UNIT(softmax), UNIT(log_softmax), UNIT(normalize), UNIT(reduce), UNIT(reduce_into), UNIT(transpose),
    UNIT(row_products), UNIT(product), UNIT(packed_product), UNIT(packed_convolution), UNIT(pack_weights), UNIT(pack_filters),
    UNIT(attention), UNIT(depthwise), UNIT(finish), UNIT(to_bfloat16), UNIT(all_finite),
};
