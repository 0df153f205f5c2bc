// Attention by tiles of queries and blocks of keys with a running softmax: what is held of the map is one tile of it.
// No include guard: loops/unit.h compiles this text once per vector unit.

enum { KEY_BLOCK = 256, QUERY_TILE = 48 };

/// One row of scores becomes its weights in place: exponentials under the highest score so far, zero behind the last key.
/// Returns the sum; `factor` is what earlier sums and results have to be multiplied by.
INLINE float weigh_row(float *s, const float *bias, float scale, size_t keys, float *highest, float *factor) {
  lanes a = splat(-INFINITY), b = a;
  size_t wide = whole_lanes(keys), i = 0;
  for (; i < wide; i += LANES) {
    lanes x = load(s + i) * scale;
    if (keys - i >= LANES) {
      if (bias) x = x + load(bias + i);
    } else {
      if (bias) x = x + load_some(bias + i, keys - i, 0.f);
      x = choose(first_lanes(keys - i), x, splat(-INFINITY));
    }
    store(s + i, x);
    if (i & LANES) b = top(b, x);
    else a = top(a, x);
  }
  float most = lanes_larger(top(a, b));
  float before = *highest;
  if (!(most > before)) most = before;
  // Nothing but -infinity so far: any finite shift gives zeros, where -infinity itself would give NaN.
  float shift = most == -INFINITY ? 0.f : most;
  float drop = before == -INFINITY ? 0.f : before == most ? 1.f : expf(before - shift);
  a = b = splat(0.f);
  for (i = 0; i < wide; i += LANES) {
    lanes e = lanes_exp_negative(load(s + i) - shift);
    store(s + i, e);
    if (i & LANES) b = b + e;
    else a = a + e;
  }
  *highest = most;
  *factor = drop;
  return lanes_sum(a + b);
}

static void UNIT(attention)(const VCAttention *shape, const float *q, const float *k, const float *v, const float *bias, float scale, float *y,
                            float *scratch) {
  size_t queries = shape->queries, keys = shape->keys, channels = shape->channels, values = shape->values, wide = whole_lanes(values);
  size_t block = keys < KEY_BLOCK ? whole_lanes(keys) : KEY_BLOCK;
  // Keys by blocks, transposed, once for all queries; values only where their rows are not whole lanes.
  size_t padded = (keys + KEY_BLOCK - 1) / KEY_BLOCK * block;
  float *transposed = scratch, *rows = transposed + padded * channels;
  int direct = shape->v_column == 1 && wide == values;
  float *scores = rows + (direct ? 0 : keys * wide), *results = scores + QUERY_TILE * block, *highest = results + QUERY_TILE * wide;
  float *sums = highest + QUERY_TILE;
  for (size_t j = 0; j < keys; j += KEY_BLOCK) {
    size_t count = keys - j < KEY_BLOCK ? keys - j : KEY_BLOCK;
    pack_rows(k + (ptrdiff_t)j * shape->k_row, shape->k_column, shape->k_row, channels, count, transposed + j * channels, whole_lanes(count));
  }
  if (!direct) pack_rows(v, shape->v_row, shape->v_column, keys, values, rows, wide);
  for (size_t i = 0; i < queries; i += QUERY_TILE) {
    size_t count = queries - i < QUERY_TILE ? queries - i : QUERY_TILE;
    for (size_t r = 0; r < count; r++) highest[r] = -INFINITY, sums[r] = 0.f;
    for (size_t j = 0; j < keys; j += KEY_BLOCK) {
      size_t width = keys - j < KEY_BLOCK ? keys - j : KEY_BLOCK, lanes_width = whole_lanes(width);
      lane_product(q + (ptrdiff_t)i * shape->q_row, shape->q_row, shape->q_column, transposed + j * channels, (ptrdiff_t)lanes_width, scores,
                   (ptrdiff_t)block, count, lanes_width, channels, 0);
      for (size_t r = 0; r < count; r++) {
        float factor;
        float sum = weigh_row(scores + r * block, bias ? bias + (ptrdiff_t)(i + r) * shape->bias_row + (ptrdiff_t)j : 0, scale, width, &highest[r], &factor);
        sums[r] = sums[r] * factor + sum;
        if (j > 0 && factor != 1.f)
          for (size_t x = 0; x < wide; x += LANES) store(results + r * wide + x, load(results + r * wide + x) * factor);
      }
      lane_product(scores, (ptrdiff_t)block, 1, direct ? v + (ptrdiff_t)j * shape->v_row : rows + j * wide, direct ? shape->v_row : (ptrdiff_t)wide,
                   results, (ptrdiff_t)wide, count, wide, width, j > 0);
    }
    for (size_t r = 0; r < count; r++) {
      float inverse = 1.f / sums[r];
      float *to = y + (ptrdiff_t)(i + r) * shape->y_row;
      for (size_t x = 0; x < values; x += LANES) put(to, load(results + r * wide + x) * inverse, x, values);
    }
  }
}
