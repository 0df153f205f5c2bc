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

INLINE lanes whole_or_some(const float *p, size_t i, size_t n, float rest) {
  return n - i >= LANES ? load(p + i) : load_some(p + i, n - i, rest);
}

INLINE void put(float *y, lanes v, size_t i, size_t n) {
  if (n - i >= LANES) store(y + i, v);
  else store_some(y + i, v, n - i);
}

/// A comparison that NaN loses: it comes back through the sum.
INLINE lanes top(lanes a, lanes b) { return choose(b > a, b, a); }

INLINE void softmax_row(const float *x, const float *bias, float scale, float *y, size_t n) {
  lanes a = splat(-INFINITY), b = a, c = a, d = a;
  size_t i = 0;
#define ARGUMENT(at) (bias ? load(x + (at)) * scale + load(bias + (at)) : load(x + (at)) * scale)
  for (; i + 4 * LANES <= n; i += 4 * LANES) {
    a = top(a, ARGUMENT(i));
    b = top(b, ARGUMENT(i + LANES));
    c = top(c, ARGUMENT(i + 2 * LANES));
    d = top(d, ARGUMENT(i + 3 * LANES));
  }
  for (; i + LANES <= n; i += LANES) a = top(a, ARGUMENT(i));
  // The end of the row stays in a register, for the target may be the same memory.
  size_t rest = n - i, start = i;
  lanes end = splat(-INFINITY);
  if (rest) {
    end = load_some(x + i, rest, 0.f) * scale;
    if (bias) end = end + load_some(bias + i, rest, 0.f);
    end = choose(first_lanes(rest), end, splat(-INFINITY));
    b = top(b, end);
  }
  float highest = lanes_larger(top(top(a, b), top(c, d)));
  a = b = splat(0.f);
  for (i = 0; i + 2 * LANES <= start; i += 2 * LANES) {
    lanes e = lanes_exp_negative(ARGUMENT(i) - highest), f = lanes_exp_negative(ARGUMENT(i + LANES) - highest);
    a = a + e;
    b = b + f;
    store(y + i, e);
    store(y + i + LANES, f);
  }
  for (; i < start; i += LANES) {
    lanes e = lanes_exp_negative(ARGUMENT(i) - highest);
    a = a + e;
    store(y + i, e);
  }
#undef ARGUMENT
  if (rest) {
    // -inf minus an infinite maximum is NaN; the lanes behind the row must not bring that into the sum.
    end = choose(first_lanes(rest), lanes_exp_negative(end - highest), splat(0.f));
    b = b + end;
  }
  float inverse = 1.f / lanes_sum(a + b);
  for (i = 0; i < start; i += LANES) store(y + i, load(y + i) * inverse);
  if (rest) store_some(y + start, end * inverse, rest);
}

static void UNIT(softmax)(const float *x, const float *bias, float scale, float *y, size_t n) {
  if (bias) softmax_row(x, bias, scale, y, n);
  else softmax_row(x, 0, scale, y, n);
}

static void UNIT(log_softmax)(const float *x, float *y, size_t n) {
  float highest = reduce_row(VCReduceMaximum, x, n);
  lanes sum = splat(0.f);
  for (size_t i = 0; i < n; i += LANES) {
    lanes e = lanes_exp(whole_or_some(x, i, n, 0.f) - highest);
    sum = sum + (n - i >= LANES ? e : choose(first_lanes(n - i), e, splat(0.f)));
  }
  float offset = logf(lanes_sum(sum));
  for (size_t i = 0; i < n; i += LANES) put(y, whole_or_some(x, i, n, 0.f) - highest - offset, i, n);
}

static void UNIT(normalize)(const float *x, const float *gain, const float *bias, float *y, size_t n, float epsilon, int centered, float *mean,
                            float *inverse) {
  float center = centered ? reduce_row(VCReduceSum, x, n) / (float)n : 0.f;
  lanes a = splat(0.f), b = a;
  for (size_t i = 0; i < n; i += 2 * LANES) {
    lanes d = whole_or_some(x, i, n, center) - center;
    a = a + d * d;
    if (i + LANES < n) {
      d = whole_or_some(x, i + LANES, n, center) - center;
      b = b + d * d;
    }
  }
  float scale = 1.f / sqrtf(lanes_sum(a + b) / (float)n + epsilon);
  for (size_t i = 0; i < n; i += LANES) {
    lanes v = (whole_or_some(x, i, n, 0.f) - center) * scale;
    if (gain) v = v * whole_or_some(gain, i, n, 0.f);
    if (bias) v = v + whole_or_some(bias, i, n, 0.f);
    put(y, v, i, n);
  }
  if (mean) *mean = center;
  if (inverse) *inverse = scale;
}

/// Sixteen rows become sixteen columns: halves, quarters, pairs and single elements off the diagonal change places.
INLINE void transpose_lanes(lanes_int r[LANES]) {
  for (int i = 0; i < 8; i++) {
    lanes_int a = r[i], b = r[i + 8];
    r[i] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
    r[i + 8] = __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
  }
  for (int i = 0; i < 16; i = i % 4 == 3 ? i + 5 : i + 1) {
    lanes_int a = r[i], b = r[i + 4];
    r[i] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27);
    r[i + 4] = __builtin_shufflevector(a, b, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
  }
  for (int i = 0; i < 16; i = i % 2 == 1 ? i + 3 : i + 1) {
    lanes_int a = r[i], b = r[i + 2];
    r[i] = __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
    r[i + 2] = __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
  }
  for (int i = 0; i < 16; i += 2) {
    lanes_int a = r[i], b = r[i + 1];
    r[i] = __builtin_shufflevector(a, b, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30);
    r[i + 1] = __builtin_shufflevector(a, b, 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
  }
}

static void UNIT(transpose)(const uint32_t *x, ptrdiff_t x_step, uint32_t *y, ptrdiff_t y_step, size_t rows, size_t columns) {
  for (size_t i0 = 0; i0 < rows; i0 += LANES) {
    size_t height = rows - i0 < LANES ? rows - i0 : LANES;
    for (size_t j0 = 0; j0 < columns; j0 += LANES) {
      size_t width = columns - j0 < LANES ? columns - j0 : LANES;
      const uint32_t *from = x + (ptrdiff_t)i0 * x_step + (ptrdiff_t)j0;
      uint32_t *to = y + (ptrdiff_t)j0 * y_step + (ptrdiff_t)i0;
      if (height == LANES && width == LANES) {
        lanes_int r[LANES];
        for (int i = 0; i < LANES; i++) memcpy(&r[i], from + i * x_step, sizeof r[i]);
        transpose_lanes(r);
        for (int j = 0; j < LANES; j++) memcpy(to + j * y_step, &r[j], sizeof r[j]);
      } else {
        for (size_t j = 0; j < width; j++)
          for (size_t i = 0; i < height; i++) memcpy(to + (ptrdiff_t)j * y_step + (ptrdiff_t)i, from + (ptrdiff_t)i * x_step + (ptrdiff_t)j, sizeof *to);
      }
    }
  }
}
