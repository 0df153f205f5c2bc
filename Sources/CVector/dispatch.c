#include "dispatch.h"

static const struct vector_unit *widest = &vc_baseline_unit;
static _Thread_local const struct vector_unit *chosen;

static inline const struct vector_unit *unit(void) { return chosen ? chosen : widest; }

// Null where the CPU lacks it.
static const struct vector_unit *find_unit(VCUnit wanted) {
  switch (wanted) {
#if defined(__x86_64__)
  case VCUnitAVX512:
    if (!(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
          __builtin_cpu_supports("avx512vl")))
      return 0;
    return &vc_avx512_unit;
  case VCUnitAVX2: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &vc_avx2_unit : 0;
#endif
  case VCUnitBaseline: return &vc_baseline_unit;
  default: return 0;
  }
}

int vc_select_unit(VCUnit wanted) {
  const struct vector_unit *found = find_unit(wanted);
  if (found) chosen = found;
  return found != 0;
}

void vc_select_widest_unit(void) { chosen = 0; }

__attribute__((constructor)) static void find_widest(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
#endif
  const struct vector_unit *found = find_unit(VCUnitAVX512);
  if (!found) found = find_unit(VCUnitAVX2);
  if (found) widest = found;
}

void vc_unary(VCUnary kind, const float *x, float *y, size_t n, float a, float b) { unit()->unary(kind, x, y, n, a, b); }

void vc_binary(VCBinary kind, const float *x, ptrdiff_t x_step, const float *y, ptrdiff_t y_step, float *z, size_t n) {
  unit()->binary(kind, x, x_step, y, y_step, z, n);
}

void vc_softmax(const float *x, const float *bias, float scale, float *y, size_t n) { unit()->softmax(x, bias, scale, y, n); }

void vc_log_softmax(const float *x, float *y, size_t n) { unit()->log_softmax(x, y, n); }

void vc_normalize(const float *x, const float *gain, const float *bias, float *y, size_t n, float epsilon, int centered, float *mean,
                  float *inverse) {
  unit()->normalize(x, gain, bias, y, n, epsilon, centered, mean, inverse);
}

float vc_reduce(VCReduce kind, const float *x, size_t n) { return unit()->reduce(kind, x, n); }

void vc_reduce_into(VCReduce kind, const float *x, float *accumulator, size_t n) { unit()->reduce_into(kind, x, accumulator, n); }

void vc_transpose(const uint32_t *x, ptrdiff_t x_step, uint32_t *y, ptrdiff_t y_step, size_t rows, size_t columns) {
  unit()->transpose(x, x_step, y, y_step, rows, columns);
}

void vc_row_products(const double *a, ptrdiff_t a_step, size_t rows, const double *b, ptrdiff_t b_step, size_t columns, size_t depth, double *c,
                     ptrdiff_t c_step) {
  unit()->row_products(a, a_step, rows, b, b_step, columns, depth, c, c_step);
}

void vc_product(const float *a, ptrdiff_t a_row, ptrdiff_t a_column, const float *b, ptrdiff_t b_row, ptrdiff_t b_column, float *c, ptrdiff_t c_row,
                size_t rows, size_t columns, size_t depth, float scale, float *scratch) {
  unit()->product(a, a_row, a_column, b, b_row, b_column, c, c_row, rows, columns, depth, scale, scratch);
}

size_t vc_product_scratch(void) { return 256 * 256 + 96 * 256; }

void vc_packed_product(const VCPackedProduct *shape, const float *a, const float *packed, float *c, size_t row, size_t row_end, size_t panel,
                       size_t panel_end, float *scratch) {
  unit()->packed_product(shape, a, packed, c, row, row_end, panel, panel_end, scratch);
}

size_t vc_packed_product_scratch(void) { return 192 * VC_PANEL; }

size_t vc_panels(size_t columns) { return (columns + VC_PANEL - 1) / VC_PANEL; }

void vc_pack_weights(const float *b, ptrdiff_t b_row, ptrdiff_t b_column, size_t depth, size_t columns, size_t panel, size_t panel_end, float *packed) {
  unit()->pack_weights(b, b_row, b_column, depth, columns, panel, panel_end, packed);
}

void vc_pack_filters(const float *w, size_t channels, size_t taps, size_t columns, size_t panel, size_t panel_end, float *packed) {
  unit()->pack_filters(w, channels, taps, columns, panel, panel_end, packed);
}

void vc_packed_convolution(const VCConvolution *shape, const float *x, const float *packed, float *y, size_t pixel, size_t pixel_end, size_t panel,
                           size_t panel_end, float *scratch) {
  unit()->packed_convolution(shape, x, packed, y, pixel, pixel_end, panel, panel_end, scratch);
}

size_t vc_packed_convolution_scratch(const VCConvolution *shape) {
  // Results, a row of zeros, and for each result where the taps of its window lie.
  return 192 * VC_PANEL + (shape->channels + 15) / 16 * 16 + 192 * shape->kernel_rows * shape->kernel_columns * (sizeof(float *) / sizeof(float));
}

VCUnit vc_unit(void) {
#if defined(__x86_64__)
  if (unit() == &vc_avx512_unit) return VCUnitAVX512;
  if (unit() == &vc_avx2_unit) return VCUnitAVX2;
#endif
  return VCUnitBaseline;
}

void vc_attention(const VCAttention *shape, const float *q, const float *k, const float *v, const float *bias, float scale, float *y, float *scratch) {
  unit()->attention(shape, q, k, v, bias, scale, y, scratch);
}

size_t vc_attention_scratch(const VCAttention *shape) {
  size_t keys = (shape->keys + 255) / 256 * 256, values = (shape->values + 15) / 16 * 16;
  return keys * shape->channels + keys * values + 48 * (256 + values + 2);
}

void vc_depthwise(const VCDepthwise *shape, const float *x, const float *w, const float *bias, const VCEpilogue *then, float *y, size_t channel,
                  size_t first, size_t last, float *scratch) {
  unit()->depthwise(shape, x, w, bias, then, y, channel, first, last, scratch);
}

size_t vc_depthwise_scratch(const VCDepthwise *shape) {
  size_t rows = (shape->kernel_rows - 1) * (size_t)shape->row_dilation + 1;
  size_t width = (shape->y_columns - 1) * (size_t)shape->column_stride + (shape->kernel_columns - 1) * (size_t)shape->column_dilation + 1;
  return (rows * width + shape->y_columns) * VC_DEPTHWISE_CHANNELS;
}

void vc_finish(const VCEpilogue *then, float *y, size_t n) { unit()->finish(then, y, n); }

void vc_to_bfloat16(const float *x, uint16_t *y, size_t n) { unit()->to_bfloat16(x, y, n); }

int vc_all_finite(const void *x, size_t n) { return unit()->all_finite(x, n); }

int vc_has_bfloat16(void) {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16") && find_unit(VCUnitAVX512) != 0;
#else
  return 0;
#endif
}
