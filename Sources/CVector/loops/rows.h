// Loops that look at a whole row: reductions, softmax, normalization.

INLINE lanes reduced(VCReduce kind, lanes accumulator, lanes x) {
  switch (kind) {
  case VCReduceSum: return accumulator + x;
  case VCReduceMaximum: return larger(accumulator, x);
  case VCReduceMinimum: return smaller(accumulator, x);
  case VCReduceSumSquare: return accumulator + x * x;
  case VCReduceSumAbs: return accumulator + (lanes)((lanes_int)x & 0x7fffffff);
  }
  return accumulator;
}

INLINE float neutral(VCReduce kind) { return kind == VCReduceMaximum ? -INFINITY : kind == VCReduceMinimum ? INFINITY : 0.f; }

INLINE float reduce_row(VCReduce kind, const float *x, size_t n) {
  float rest = neutral(kind);
  lanes a = splat(rest), b = a;
  size_t i = 0;
  for (; i + 2 * LANES <= n; i += 2 * LANES) {
    a = reduced(kind, a, load(x + i));
    b = reduced(kind, b, load(x + i + LANES));
  }
  for (; i < n; i += LANES) a = reduced(kind, a, n - i >= LANES ? load(x + i) : load_some(x + i, n - i, rest));
  switch (kind) {
  case VCReduceMaximum: return lanes_larger(larger(a, b));
  case VCReduceMinimum: return lanes_smaller(smaller(a, b));
  default: return lanes_sum(a + b);
  }
}

static float UNIT(reduce)(VCReduce kind, const float *x, size_t n) {
  switch (kind) {
  case VCReduceSum: return reduce_row(VCReduceSum, x, n);
  case VCReduceMaximum: return reduce_row(VCReduceMaximum, x, n);
  case VCReduceMinimum: return reduce_row(VCReduceMinimum, x, n);
  case VCReduceSumSquare: return reduce_row(VCReduceSumSquare, x, n);
  case VCReduceSumAbs: return reduce_row(VCReduceSumAbs, x, n);
  }
  return 0;
}

#define REDUCE_INTO(kind)                                                                                      \
  case kind: {                                                                                                 \
    size_t i = 0;                                                                                              \
    for (; i + LANES <= n; i += LANES) store(accumulator + i, reduced(kind, load(accumulator + i), load(x + i))); \
    if (i < n) store_some(accumulator + i, reduced(kind, load_some(accumulator + i, n - i, 0), load_some(x + i, n - i, 0)), n - i); \
    return;                                                                                                    \
  }

static void UNIT(reduce_into)(VCReduce kind, const float *x, float *accumulator, size_t n) {
  switch (kind) {
    REDUCE_INTO(VCReduceSum)
    REDUCE_INTO(VCReduceMaximum)
    REDUCE_INTO(VCReduceMinimum)
    REDUCE_INTO(VCReduceSumSquare)
    REDUCE_INTO(VCReduceSumAbs)
  }
}

INLINE lanes scaled(const float *x, const float *bias, float scale, size_t i, size_t n) {
  lanes v = n - i >= LANES ? load(x + i) : load_some(x + i, n - i, 0.f);
  v = v * scale;
  if (bias) v = v + (n - i >= LANES ? load(bias + i) : load_some(bias + i, n - i, 0.f));
  if (n - i < LANES) {
    float t[LANES];
    store(t, v);
    for (size_t k = n - i; k < LANES; k++) t[k] = -INFINITY;
    v = load(t);
  }
  return v;
}

INLINE void put(float *y, lanes v, size_t i, size_t n) {
  if (n - i >= LANES) store(y + i, v);
  else store_some(y + i, v, n - i);
}

static void UNIT(softmax)(const float *x, const float *bias, float scale, float *y, size_t n) {
  lanes top = splat(-INFINITY);
  for (size_t i = 0; i < n; i += LANES) top = larger(top, scaled(x, bias, scale, i, n));
  float highest = lanes_larger(top);
  lanes sum = splat(0.f);
  for (size_t i = 0; i < n; i += LANES) {
    lanes e = lanes_exp(scaled(x, bias, scale, i, n) - highest);
    if (n - i < LANES) {
      // -inf minus an infinite maximum is NaN; the padding must not bring that into the sum.
      float t[LANES];
      store(t, e);
      for (size_t k = n - i; k < LANES; k++) t[k] = 0.f;
      e = load(t);
    }
    sum = sum + e;
    put(y, e, i, n);
  }
  float inverse = 1.f / lanes_sum(sum);
  size_t i = 0;
  for (; i + LANES <= n; i += LANES) store(y + i, load(y + i) * inverse);
  for (; i < n; i++) y[i] *= inverse;
}

static void UNIT(log_softmax)(const float *x, float *y, size_t n) {
  float highest = reduce_row(VCReduceMaximum, x, n);
  lanes sum = splat(0.f);
  for (size_t i = 0; i < n; i += LANES) {
    if (n - i >= LANES) sum = sum + lanes_exp(load(x + i) - highest);
    else {
      float t[LANES];
      store(t, lanes_exp(load_some(x + i, n - i, 0.f) - highest));
      for (size_t k = n - i; k < LANES; k++) t[k] = 0.f;
      sum = sum + load(t);
    }
  }
  float offset = logf(lanes_sum(sum));
  for (size_t i = 0; i < n; i += LANES)
    put(y, (n - i >= LANES ? load(x + i) : load_some(x + i, n - i, 0.f)) - highest - offset, i, n);
}

static void UNIT(normalize)(const float *x, const float *gain, const float *bias, float *y, size_t n, float epsilon, int centered, float *mean,
                                float *inverse) {
  float center = centered ? reduce_row(VCReduceSum, x, n) / (float)n : 0.f;
  lanes squares = splat(0.f);
  for (size_t i = 0; i < n; i += LANES) {
    lanes d = (n - i >= LANES ? load(x + i) : load_some(x + i, n - i, center)) - center;
    squares = squares + d * d;
  }
  float scale = 1.f / sqrtf(lanes_sum(squares) / (float)n + epsilon);
  for (size_t i = 0; i < n; i += LANES) {
    int whole = n - i >= LANES;
    lanes v = ((whole ? load(x + i) : load_some(x + i, n - i, 0.f)) - center) * scale;
    if (gain) v = v * (whole ? load(gain + i) : load_some(gain + i, n - i, 0.f));
    if (bias) v = v + (whole ? load(bias + i) : load_some(bias + i, n - i, 0.f));
    put(y, v, i, n);
  }
  if (mean) *mean = center;
  if (inverse) *inverse = scale;
}

static void UNIT(transpose)(const uint32_t *x, ptrdiff_t x_step, uint32_t *y, ptrdiff_t y_step, size_t rows, size_t columns) {
  enum { tile = 16 };
  for (size_t i0 = 0; i0 < rows; i0 += tile) {
    size_t i1 = i0 + tile < rows ? i0 + tile : rows;
    for (size_t j0 = 0; j0 < columns; j0 += tile) {
      size_t j1 = j0 + tile < columns ? j0 + tile : columns;
      for (size_t j = j0; j < j1; j++)
        for (size_t i = i0; i < i1; i++) y[(ptrdiff_t)j * y_step + (ptrdiff_t)i] = x[(ptrdiff_t)i * x_step + (ptrdiff_t)j];
    }
  }
}
