// Sixteen lanes and the functions on them. No include guard: loops/unit.h compiles this text once per vector unit.

#define LANES 16
typedef float lanes __attribute__((vector_size(64), aligned(4)));
typedef int32_t lanes_int __attribute__((vector_size(64), aligned(4)));

#define INLINE static inline __attribute__((always_inline))

INLINE lanes splat(float x) { return (lanes){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }
INLINE lanes load(const float *p) {
  lanes x;
  memcpy(&x, p, sizeof x);
  return x;
}
INLINE void store(float *p, lanes x) { memcpy(p, &x, sizeof x); }
// The end of a row, in pieces of fixed size: a loop over single elements costs more than the whole rest of a short row.
INLINE lanes load_some(const float *p, size_t n, float rest) {
  float t[LANES];
  size_t i = 0;
  store(t, splat(rest));
  if (n & 8) memcpy(t, p, 32), i = 8;
  if (n & 4) memcpy(t + i, p + i, 16), i += 4;
  if (n & 2) memcpy(t + i, p + i, 8), i += 2;
  if (n & 1) t[i] = p[i];
  return load(t);
}
INLINE void store_some(float *p, lanes x, size_t n) {
  float t[LANES];
  size_t i = 0;
  store(t, x);
  if (n & 8) memcpy(p, t, 32), i = 8;
  if (n & 4) memcpy(p + i, t + i, 16), i += 4;
  if (n & 2) memcpy(p + i, t + i, 8), i += 2;
  if (n & 1) p[i] = t[i];
}
/// Bitwise choice: `mask` is all ones or all zeros per lane.
INLINE lanes choose(lanes_int mask, lanes a, lanes b) { return (lanes)(((lanes_int)a & mask) | ((lanes_int)b & ~mask)); }
/// All ones in the first `n` lanes.
INLINE lanes_int first_lanes(size_t n) {
  const lanes_int index = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return index < (int32_t)n;
}
/// Clamps and keeps NaN, since a comparison with NaN is false.
INLINE lanes clamp(lanes x, float low, float high) {
  x = choose(x < splat(low), splat(low), x);
  return choose(x > splat(high), splat(high), x);
}
/// The larger; NaN if either is.
INLINE lanes larger(lanes a, lanes b) { return choose((a > b) | (a != a), a, b); }
INLINE lanes smaller(lanes a, lanes b) { return choose((a < b) | (a != a), a, b); }

INLINE float lanes_sum(lanes x) {
  float t[LANES];
  store(t, x);
  for (int width = LANES / 2; width > 0; width /= 2)
    for (int i = 0; i < width; i++) t[i] += t[i + width];
  return t[0];
}
INLINE float lanes_larger(lanes x) {
  float t[LANES];
  store(t, x);
  for (int width = LANES / 2; width > 0; width /= 2)
    for (int i = 0; i < width; i++) t[i] = (t[i] > t[i + width] || t[i] != t[i]) ? t[i] : t[i + width];
  return t[0];
}
INLINE float lanes_smaller(lanes x) { return -lanes_larger(-x); }

/// 1/x for x between 1 and 1e30, relative error below 2e-7. A division is as long as a dozen multiplications.
INLINE lanes lanes_reciprocal(lanes x) {
#ifdef RECIPROCAL
  lanes r = RECIPROCAL(x);
  return r + r * (1.f - x * r);
#else
  return 1.f / x;
#endif
}

// The coefficients below are least-maximum fits made for these intervals.

/// 2^n for integers n in [-126, 127], given as floats.
INLINE lanes power_of_two(lanes n) { return (lanes)((__builtin_convertvector(n, lanes_int) + 127) << 23); }

/// e^x, relative error below 3e-7.
INLINE lanes lanes_exp(lanes x) {
  const float shift = 12582912.f;  // 1.5 * 2^23: adding it rounds to an integer
  lanes c = clamp(x, -104.f, 89.f);
  lanes n = (c * 1.44269504f + shift) - shift;
  n = choose(n == n, n, splat(0));
  lanes r = c - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  lanes p = splat(0.001390152973f);
  p = p * r + 0.00836373984f;
  p = p * r + 0.04166686098f;
  p = p * r + 0.166665736944f;
  p = p * r + 0.5f;
  p = p * r * r + r + 1.f;
  // In two factors, so that both ends of the range come out right: infinity above, denormals below.
  lanes half = (n * 0.5f + shift) - shift;
  return p * power_of_two(half) * power_of_two(n - half);
}

/// e^x for x that is not positive; zero where the result would be a denormal.
INLINE lanes lanes_exp_negative(lanes x) {
  const float shift = 12582912.f;
  lanes c = choose(x < -87.f, splat(-87.f), x);
  lanes t = c * 1.44269504f + shift;
  lanes n = t - shift;
  lanes r = c - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  lanes p = splat(0.001390152973f);
  p = p * r + 0.00836373984f;
  p = p * r + 0.04166686098f;
  p = p * r + 0.166665736944f;
  p = p * r + 0.5f;
  p = p * r * r + r + 1.f;
  // The low bits of the shifted number are n itself.
  p = p * (lanes)(((lanes_int)t + (127 - 0x4b400000)) << 23);
  return choose(x < -87.f, splat(0.f), p);
}

/// erf(x), relative error below 5e-7.
INLINE lanes lanes_erf(lanes x) {
  lanes c = clamp(x, -3.95f, 3.95f);
  lanes z = c * c;
  lanes p = splat(2.0258206313017446e-06f);
  p = p * z + 0.00028467483778479505f;
  p = p * z + 0.003807979790526106f;
  p = p * z + 0.052874880494381105f;
  p = p * z + 0.19154730330627964f;
  p = p * z + 1.1283791438435156f;
  lanes q = splat(3.78302102505626e-05f);
  q = q * z + 0.001170664697744326f;
  q = q * z + 0.015054741714567797f;
  q = q * z + 0.11455822576109563f;
  q = q * z + 0.5030870555619665f;
  q = q * z + 1.f;
  return clamp(c * p * lanes_reciprocal(q), -1.f, 1.f);
}

/// tanh(x): a polynomial near zero, the exponential elsewhere; relative error below 4e-7.
INLINE lanes lanes_tanh(lanes x) {
  lanes z = x * x;
  lanes p = splat(-0.005923967579832897f);
  p = p * z + 0.02087366457281843f;
  p = p * z - 0.05382381263649835f;
  p = p * z + 0.13332584154648736f;
  p = p * z - 0.3333332702596224f;
  lanes near = x + x * z * p;
  lanes size = clamp(choose(x < 0.f, -x, x), 0.f, 20.f);
  lanes far = 1.f - 2.f / (lanes_exp(2.f * size) + 1.f);
  far = choose(x < 0.f, -far, far);
  return choose(z < 0.36f, near, far);
}

INLINE lanes lanes_sigmoid(lanes x) {
  lanes e = lanes_exp_negative((lanes)((lanes_int)x | (int32_t)0x80000000));
  return choose(x < 0.f, e, splat(1.f)) * lanes_reciprocal(1.f + e);
}

/// The natural logarithm, relative error below 5e-7 (absolute near one).
INLINE lanes lanes_log(lanes x) {
  // Denormals are scaled into the normal range first.
  lanes_int tiny = x < 1.17549435e-38f;
  lanes v = choose(tiny, x * 8388608.f, x);
  lanes_int bits = (lanes_int)v;
  lanes_int exponent = ((bits >> 23) & 255) - 127;
  lanes m = (lanes)((bits & 0x007fffff) | 0x3f800000);
  lanes_int high = m > 1.41421356f;
  m = choose(high, m * 0.5f, m);
  exponent = exponent - high;
  lanes e = __builtin_convertvector(exponent, lanes) - choose(tiny, splat(23.f), splat(0.f));
  lanes u = m - 1.f;
  lanes p = splat(0.07035725863155615f);
  p = p * u - 0.11514034807965966f;
  p = p * u + 0.11677393958387783f;
  p = p * u - 0.12420234670805698f;
  p = p * u + 0.14249296614753493f;
  p = p * u - 0.1666805343915309f;
  p = p * u + 0.20000715348865727f;
  p = p * u - 0.2499999403794457f;
  p = p * u + 0.33333331171432445f;
  lanes r = u * u * u * p + e * -2.12194440e-4f - 0.5f * u * u + u + e * 0.693359375f;
  lanes infinite = splat(INFINITY);
  r = choose(x == infinite, infinite, r);
  r = choose(x == 0.f, -infinite, r);
  return choose((x < 0.f) | (x != x), splat(NAN), r);
}
