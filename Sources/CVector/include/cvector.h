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

/// Double precision: c[i * c_step + j] = sum over k < depth of a[i * a_step + k] * b[j * b_step + k], i < rows, j < columns.
void vc_row_products(const double *a, ptrdiff_t a_step, size_t rows, const double *b, ptrdiff_t b_step, size_t columns, size_t depth, double *c,
                     ptrdiff_t c_step);
