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
