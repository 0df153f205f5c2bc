// Element-wise loops over rows.

INLINE lanes lanes_sqrt(lanes x) {
  float t[LANES];
  store(t, x);
  for (int i = 0; i < LANES; i++) t[i] = __builtin_sqrtf(t[i]);
  return load(t);
}

INLINE lanes unary(VCUnary kind, lanes x, float a, float b) {
  switch (kind) {
  case VCUnaryCopy: return x;
  case VCUnaryAbs: return (lanes)((lanes_int)x & 0x7fffffff);
  case VCUnaryNegate: return -x;
  case VCUnarySqrt: return lanes_sqrt(x);
  case VCUnaryReciprocal: return 1.f / x;
  case VCUnarySquare: return x * x;
  case VCUnaryExp: return lanes_exp(x);
  case VCUnaryLog: return lanes_log(x);
  case VCUnaryErf: return lanes_erf(x);
  case VCUnaryTanh: return lanes_tanh(x);
  case VCUnarySigmoid: return lanes_sigmoid(x);
  case VCUnaryRelu: return choose(x < 0.f, splat(0.f), x);
  case VCUnaryLeakyRelu: return choose(x < 0.f, a * x, x);
  case VCUnaryElu: return choose(x < 0.f, a * (lanes_exp(x) - 1.f), x);
  case VCUnaryClip: return clamp(x, a, b);
  case VCUnaryGelu: return 0.5f * x * (1.f + lanes_erf(x * 0.70710678118654752f));
  case VCUnaryGeluTanh: return 0.5f * x * (1.f + lanes_tanh(0.79788456080286536f * (x + 0.044715f * x * x * x)));
  case VCUnarySwish: return x * lanes_sigmoid(a * x);
  case VCUnaryHardSigmoid: return clamp(a * x + b, 0.f, 1.f);
  case VCUnaryHardSwish: return x * clamp(x * (1.f / 6.f) + 0.5f, 0.f, 1.f);
  case VCUnaryAffine: return a * x + b;
  }
  return x;
}

#define UNARY_LOOP(kind)                                                                     \
  case kind: {                                                                               \
    size_t i = 0;                                                                            \
    for (; i + LANES <= n; i += LANES) store(y + i, unary(kind, load(x + i), a, b));         \
    if (i < n) store_some(y + i, unary(kind, load_some(x + i, n - i, 1.f), a, b), n - i);    \
    return;                                                                                  \
  }

static void UNIT(unary)(VCUnary kind, const float *x, float *y, size_t n, float a, float b) {
  switch (kind) {
    UNARY_LOOP(VCUnaryCopy)
    UNARY_LOOP(VCUnaryAbs)
    UNARY_LOOP(VCUnaryNegate)
    UNARY_LOOP(VCUnarySqrt)
    UNARY_LOOP(VCUnaryReciprocal)
    UNARY_LOOP(VCUnarySquare)
    UNARY_LOOP(VCUnaryExp)
    UNARY_LOOP(VCUnaryLog)
    UNARY_LOOP(VCUnaryErf)
    UNARY_LOOP(VCUnaryTanh)
    UNARY_LOOP(VCUnarySigmoid)
    UNARY_LOOP(VCUnaryRelu)
    UNARY_LOOP(VCUnaryLeakyRelu)
    UNARY_LOOP(VCUnaryElu)
    UNARY_LOOP(VCUnaryClip)
    UNARY_LOOP(VCUnaryGelu)
    UNARY_LOOP(VCUnaryGeluTanh)
    UNARY_LOOP(VCUnarySwish)
    UNARY_LOOP(VCUnaryHardSigmoid)
    UNARY_LOOP(VCUnaryHardSwish)
    UNARY_LOOP(VCUnaryAffine)
  }
}

INLINE lanes binary(VCBinary kind, lanes x, lanes y) {
  switch (kind) {
  case VCBinaryAdd: return x + y;
  case VCBinarySubtract: return x - y;
  case VCBinaryMultiply: return x * y;
  case VCBinaryDivide: return x / y;
  case VCBinaryMaximum: return larger(x, y);
  case VCBinaryMinimum: return smaller(x, y);
  }
  return x;
}

INLINE float binary_one(VCBinary kind, float x, float y) {
  switch (kind) {
  case VCBinaryAdd: return x + y;
  case VCBinarySubtract: return x - y;
  case VCBinaryMultiply: return x * y;
  case VCBinaryDivide: return x / y;
  case VCBinaryMaximum: return (x > y || x != x) ? x : y;
  case VCBinaryMinimum: return (x < y || x != x) ? x : y;
  }
  return x;
}

INLINE void binary_row(VCBinary kind, const float *x, ptrdiff_t x_step, const float *y, ptrdiff_t y_step, float *z, size_t n) {
  size_t i = 0;
  if (x_step == 1 && y_step == 1) {
    for (; i + LANES <= n; i += LANES) store(z + i, binary(kind, load(x + i), load(y + i)));
  } else if (x_step == 1 && y_step == 0) {
    lanes b = splat(*y);
    for (; i + LANES <= n; i += LANES) store(z + i, binary(kind, load(x + i), b));
  } else if (x_step == 0 && y_step == 1) {
    lanes a = splat(*x);
    for (; i + LANES <= n; i += LANES) store(z + i, binary(kind, a, load(y + i)));
  }
  for (; i < n; i++) z[i] = binary_one(kind, x[(ptrdiff_t)i * x_step], y[(ptrdiff_t)i * y_step]);
}

static void UNIT(binary)(VCBinary kind, const float *x, ptrdiff_t x_step, const float *y, ptrdiff_t y_step, float *z, size_t n) {
  switch (kind) {
  case VCBinaryAdd: binary_row(VCBinaryAdd, x, x_step, y, y_step, z, n); return;
  case VCBinarySubtract: binary_row(VCBinarySubtract, x, x_step, y, y_step, z, n); return;
  case VCBinaryMultiply: binary_row(VCBinaryMultiply, x, x_step, y, y_step, z, n); return;
  case VCBinaryDivide: binary_row(VCBinaryDivide, x, x_step, y, y_step, z, n); return;
  case VCBinaryMaximum: binary_row(VCBinaryMaximum, x, x_step, y, y_step, z, n); return;
  case VCBinaryMinimum: binary_row(VCBinaryMinimum, x, x_step, y, y_step, z, n); return;
  }
}

/// y = (f(y) * gain + shift) op operand for one row; `has` and `kind` are constants where this is expanded.
INLINE void finish_row(int has, VCUnary kind, const VCEpilogue *then, float *y, size_t n) {
  const float *gain = then->gain, *shift = then->shift, *operand = then->operand;
  for (size_t i = 0; i < n; i += LANES) {
    size_t some = n - i < LANES ? n - i : LANES;
    lanes v = some == LANES ? load(y + i) : load_some(y + i, some, 1.f);
    if (has) v = unary(kind, v, then->a, then->b);
    if (some == LANES) {
      if (gain) v = v * load(gain + i);
      if (shift) v = v + load(shift + i);
      if (operand) v = then->operation == VCBinaryAdd ? v + load(operand + i) : binary(then->operation, v, load(operand + i));
      store(y + i, v);
    } else {
      if (gain) v = v * load_some(gain + i, some, 0.f);
      if (shift) v = v + load_some(shift + i, some, 0.f);
      if (operand) v = binary(then->operation, v, load_some(operand + i, some, 1.f));
      store_some(y + i, v, some);
    }
  }
}

#define FINISH_ROW(kind) case kind: finish_row(1, kind, then, y, n); return;

static void UNIT(finish)(const VCEpilogue *then, float *y, size_t n) {
  if (!then->has_function) {
    finish_row(0, VCUnaryCopy, then, y, n);
    return;
  }
  switch (then->function) {
    FINISH_ROW(VCUnaryRelu)
    FINISH_ROW(VCUnaryClip)
    FINISH_ROW(VCUnaryGelu)
    FINISH_ROW(VCUnaryGeluTanh)
    FINISH_ROW(VCUnarySwish)
    FINISH_ROW(VCUnaryHardSwish)
    FINISH_ROW(VCUnarySigmoid)
    FINISH_ROW(VCUnaryAffine)
  default:
    UNIT(unary)(then->function, y, y, n, then->a, then->b);
    finish_row(0, VCUnaryCopy, then, y, n);
  }
}
#undef FINISH_ROW

/// Everything in `posts`, which starts at the result's first row and column, for `rows` rows of n columns from
/// (row, column) on.
INLINE void finish_block(const VCEpilogue *posts, size_t count, size_t row, size_t column, float *y, ptrdiff_t y_row, size_t rows, size_t n) {
  for (size_t p = 0; p < count; p++) {
    VCEpilogue then = posts[p];
    if (then.gain) then.gain += column;
    if (then.shift) then.shift += column;
    if (then.operand) then.operand += (ptrdiff_t)row * then.operand_row + (ptrdiff_t)column;
    for (size_t r = 0; r < rows; r++) {
      UNIT(finish)(&then, y + (ptrdiff_t)r * y_row, n);
      if (then.operand) then.operand += then.operand_row;
    }
  }
}

static int UNIT(all_finite)(const char *x, size_t n) {
  // All ones in the exponent, nothing else is looked at.
  lanes_int bad = {0};
  size_t i = 0;
  for (; i + LANES <= n; i += LANES) {
    lanes_int bits;
    memcpy(&bits, x + i * sizeof(float), sizeof bits);
    bad |= (bits & 0x7f800000) == 0x7f800000;
  }
  int32_t any = 0;
  for (int lane = 0; lane < LANES; lane++) any |= bad[lane];
  for (; i < n; i++) {
    int32_t bits;
    memcpy(&bits, x + i * sizeof(float), sizeof bits);
    any |= (bits & 0x7f800000) == 0x7f800000;
  }
  return any == 0;
}

static void UNIT(to_bfloat16)(const float *x, uint16_t *y, size_t n) {
  for (size_t i = 0; i < n; i++) {
    uint32_t bits;
    memcpy(&bits, x + i, sizeof bits);
    uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    y[i] = (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? bits >> 16 | 0x40 : rounded);
  }
}
