#pragma once
#include <stddef.h>
#include <stdint.h>

// Inner loops on rows of single-precision numbers. They are C because the compiler can then emit each of them for
// several vector units and let the loader pick the widest the CPU has; Swift has no such dispatch.
// NaN goes in, NaN comes out; infinities and denormals give what the exact function gives.

typedef enum __attribute__((enum_extensibility(closed))) { VCUnitBaseline, VCUnitAVX2, VCUnitAVX512 } VCUnit;
/// Calls from this thread use the loops for `unit` until `vc_select_widest_unit`; zero when the CPU does not have it.
/// The widest is what everybody uses; tests go through the others.
int vc_select_unit(VCUnit unit);
void vc_select_widest_unit(void);

/// One operand; `a` and `b` are the operator's parameters.
typedef enum __attribute__((enum_extensibility(closed))) {
  VCUnaryCopy, VCUnaryAbs, VCUnaryNegate, VCUnarySqrt, VCUnaryReciprocal, VCUnarySquare,
  VCUnaryExp, VCUnaryLog, VCUnaryErf, VCUnaryTanh, VCUnarySigmoid,
  VCUnaryRelu, VCUnaryLeakyRelu, VCUnaryElu, VCUnaryClip,
  VCUnaryGelu, VCUnaryGeluTanh, VCUnarySwish, VCUnaryHardSigmoid, VCUnaryHardSwish,
  /// a * x + b
  VCUnaryAffine,
} VCUnary;

typedef enum __attribute__((enum_extensibility(closed))) {
  VCBinaryAdd, VCBinarySubtract, VCBinaryMultiply, VCBinaryDivide, VCBinaryMaximum, VCBinaryMinimum,
} VCBinary;

typedef enum __attribute__((enum_extensibility(closed))) {
  VCReduceSum, VCReduceMaximum, VCReduceMinimum, VCReduceSumSquare, VCReduceSumAbs,
} VCReduce;

/// y[i] = f(x[i]); x and y may be the same row.
void vc_unary(VCUnary kind, const float *x, float *y, size_t n, float a, float b);

/// z[i] = x[i * x_step] op y[i * y_step]; steps are any number of elements, 0 repeats one.
void vc_binary(VCBinary kind, const float *x, ptrdiff_t x_step, const float *y, ptrdiff_t y_step, float *z, size_t n);

/// y = softmax(scale * x + bias); bias may be null. Rows may be the same.
void vc_softmax(const float *x, const float *bias, float scale, float *y, size_t n);
/// y = x - log(sum(exp(x))).
void vc_log_softmax(const float *x, float *y, size_t n);

/// y = (x - mean) / sqrt(variance + epsilon) * gain + bias; gain and bias may be null. With `centered` zero the mean is
/// taken as zero (RMS normalization). `mean` and `inverse` receive the statistics where not null.
void vc_normalize(const float *x, const float *gain, const float *bias, float *y, size_t n, float epsilon, int centered, float *mean,
                  float *inverse);

/// Reduces one contiguous row.
float vc_reduce(VCReduce kind, const float *x, size_t n);
/// accumulator[i] = accumulator[i] op x[i].
void vc_reduce_into(VCReduce kind, const float *x, float *accumulator, size_t n);

/// Transposes 4-byte elements: y[j * y_step + i] = x[i * x_step + j] for i < rows, j < columns.
void vc_transpose(const uint32_t *x, ptrdiff_t x_step, uint32_t *y, ptrdiff_t y_step, size_t rows, size_t columns);

/// c[i * c_row + j] = scale * sum over k of a[i * a_row + k * a_column] * b[k * b_row + j * b_column], i < rows,
/// j < columns, k < depth; `scratch` holds `vc_product_scratch` elements.
void vc_product(const float *a, ptrdiff_t a_row, ptrdiff_t a_column, const float *b, ptrdiff_t b_row, ptrdiff_t b_column, float *c, ptrdiff_t c_row,
                size_t rows, size_t columns, size_t depth, float scale, float *scratch);
size_t vc_product_scratch(void);

/// What is done to results before they leave the cache: y = (f(y) * gain + shift) op operand, each part where it is not
/// null. Gain and shift have one element for each column (channel); the operand's rows are contiguous and lie `operand_row`
/// elements apart (0: one row for all rows of the result).
typedef struct {
  int has_function;
  VCUnary function;
  float a, b;
  const float *gain, *shift, *operand;
  ptrdiff_t operand_row;
  VCBinary operation;
} VCEpilogue;
/// Does that to one row of n results in place; everything in `then` starts at the row's first column.
void vc_finish(const VCEpilogue *then, float *y, size_t n);

/// Packed weights lie in panels of up to `VC_PANEL` columns of nearly equal width, each (depth, columns of the panel rounded
/// up to 16), zero behind the last column.
enum { VC_PANEL = 64 };
size_t vc_panels(size_t columns);
/// Packs panels `panel..<panel_end` of b (depth, columns) at any strides; `packed` holds `depth` times the columns rounded
/// up to 16.
void vc_pack_weights(const float *b, ptrdiff_t b_row, ptrdiff_t b_column, size_t depth, size_t columns, size_t panel, size_t panel_end, float *packed);
/// The same for filters w (columns, channels, taps), dense; the depth runs over (tap, channel).
void vc_pack_filters(const float *w, size_t channels, size_t taps, size_t columns, size_t panel, size_t panel_end, float *packed);

/// A product with packed weights: a (rows, depth) at any strides, c (rows, columns) with contiguous rows.
typedef struct {
  size_t columns, depth;
  ptrdiff_t a_row, a_column, c_row;
  const VCEpilogue *posts;
  size_t post_count;
} VCPackedProduct;
/// Rows `row..<row_end` and panels `panel..<panel_end` of c = posts(a b). `scratch` holds `vc_packed_product_scratch` elements.
void vc_packed_product(const VCPackedProduct *shape, const float *a, const float *packed, float *c, size_t row, size_t row_end, size_t panel,
                       size_t panel_end, float *scratch);
size_t vc_packed_product_scratch(void);

/// A convolution of an image (rows, columns, channels), channels innermost, with packed filters. Where a window leaves the
/// image, zeros are multiplied with the filters, which must therefore be finite.
typedef struct {
  size_t channels, filters, x_rows, x_columns, y_rows, y_columns, kernel_rows, kernel_columns;
  ptrdiff_t row_stride, column_stride, row_pad, column_pad, row_dilation, column_dilation;
  const VCEpilogue *posts;
  size_t post_count;
} VCConvolution;
/// Results `pixel..<pixel_end`, counted row by row, of panels `panel..<panel_end`. `scratch` holds
/// `vc_packed_convolution_scratch` elements.
void vc_packed_convolution(const VCConvolution *shape, const float *x, const float *packed, float *y, size_t pixel, size_t pixel_end, size_t panel,
                           size_t panel_end, float *scratch);
size_t vc_packed_convolution_scratch(const VCConvolution *shape);
/// The unit whose loops are used.
VCUnit vc_unit(void);

/// The sizes and strides of one head: q (queries, channels), k (keys, channels), v (keys, values), y (queries, values),
/// bias (queries, keys). Rows of the bias and of y are contiguous.
typedef struct {
  size_t queries, keys, channels, values;
  ptrdiff_t q_row, q_column, k_row, k_column, v_row, v_column, y_row, bias_row;
} VCAttention;
/// y = softmax(scale * q k^T + bias) v; bias may be null. `scratch` holds `vc_attention_scratch` elements: about as many
/// as k and v, none for the map.
void vc_attention(const VCAttention *shape, const float *q, const float *k, const float *v, const float *bias, float scale, float *y, float *scratch);
size_t vc_attention_scratch(const VCAttention *shape);

/// A depth-wise convolution of an image (rows, columns, channels), channels innermost.
typedef struct {
  size_t channels, x_rows, x_columns, y_rows, y_columns, kernel_rows, kernel_columns;
  ptrdiff_t row_stride, column_stride, row_pad, column_pad, row_dilation, column_dilation;
} VCDepthwise;
enum { VC_DEPTHWISE_ROWS = 32, VC_DEPTHWISE_CHANNELS = 16 };
/// Rows `first..<last` of the outputs of `VC_DEPTHWISE_CHANNELS` channels from `channel` on. `w` holds these channels' taps
/// as (row, column, channel), zero behind the last channel. The kernel has at most `VC_DEPTHWISE_ROWS` rows.
void vc_depthwise(const VCDepthwise *shape, const float *x, const float *w, const float *bias, const VCEpilogue *then, float *y, size_t channel,
                  size_t first, size_t last, float *scratch);
size_t vc_depthwise_scratch(const VCDepthwise *shape);

/// Whether none of n elements at any address is an infinity or NaN.
int vc_all_finite(const void *x, size_t n);

/// Whether the CPU multiplies bfloat16 numbers.
int vc_has_bfloat16(void);
/// Rounds to bfloat16, to nearest and ties to even; NaN stays NaN.
void vc_to_bfloat16(const float *x, uint16_t *y, size_t n);

/// Double precision: c[i * c_step + j] = sum over k < depth of a[i * a_step + k] * b[j * b_step + k], i < rows, j < columns.
void vc_row_products(const double *a, ptrdiff_t a_step, size_t rows, const double *b, ptrdiff_t b_step, size_t columns, size_t depth, double *c,
                     ptrdiff_t c_step);
