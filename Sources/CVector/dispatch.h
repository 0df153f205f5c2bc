#pragma once
#include "include/cvector.h"

/// The loops of one vector unit, in the order of cvector.h.
struct vector_unit {
  void (*unary)(VCUnary, const float *, float *, size_t, float, float);
  void (*binary)(VCBinary, const float *, ptrdiff_t, const float *, ptrdiff_t, float *, size_t);
  void (*softmax)(const float *, const float *, float, float *, size_t);
  void (*log_softmax)(const float *, float *, size_t);
  void (*normalize)(const float *, const float *, const float *, float *, size_t, float, int, float *, float *);
  float (*reduce)(VCReduce, const float *, size_t);
  void (*reduce_into)(VCReduce, const float *, float *, size_t);
  void (*transpose)(const uint32_t *, ptrdiff_t, uint32_t *, ptrdiff_t, size_t, size_t);
  void (*row_products)(const double *, ptrdiff_t, size_t, const double *, ptrdiff_t, size_t, size_t, double *, ptrdiff_t);
  void (*product)(const float *, ptrdiff_t, ptrdiff_t, const float *, ptrdiff_t, ptrdiff_t, float *, ptrdiff_t, size_t, size_t, size_t, float, float *);
  void (*packed_product)(const VCPackedProduct *, const float *, const float *, float *, size_t, size_t, size_t, size_t, float *);
  void (*packed_convolution)(const VCConvolution *, const float *, const float *, float *, size_t, size_t, size_t, size_t, float *);
  void (*pack_weights)(const float *, ptrdiff_t, ptrdiff_t, size_t, size_t, size_t, size_t, float *);
  void (*pack_filters)(const float *, size_t, size_t, size_t, size_t, size_t, float *);
  void (*attention)(const VCAttention *, const float *, const float *, const float *, const float *, float, float *, float *);
  void (*depthwise)(const VCDepthwise *, const float *, const float *, const float *, const VCEpilogue *, float *, size_t, size_t, size_t, float *);
  void (*finish)(const VCEpilogue *, float *, size_t);
  void (*to_bfloat16)(const float *, uint16_t *, size_t);
  int (*all_finite)(const char *, size_t);
};

extern const struct vector_unit vc_baseline_unit;
#if defined(__x86_64__)
extern const struct vector_unit vc_avx2_unit, vc_avx512_unit;
#endif
