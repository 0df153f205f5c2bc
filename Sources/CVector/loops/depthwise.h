// Depth-wise convolution of channels-last images, one vector of channels after the other: neighbors in a row are
// `channels` apart, so a few rows of one vector are gathered, padding included, and then read often from the fastest
// cache. No include guard: loops/unit.h compiles this text once per vector unit.

/// Outputs side by side whose sums stay in registers.
#define DEPTHWISE_TILE (TILE_LANES == 4 ? 16 : TILE_ROWS)

/// Any kernel and geometry: `outputs` is a constant where this is expanded.
INLINE void depthwise_tile(const VCDepthwise *shape, const float *const *rows, const float *taps, lanes start, float *y, const int outputs) {
  lanes sum[16];
  ptrdiff_t step = shape->column_stride * LANES, next = shape->column_dilation * LANES;
#pragma clang loop unroll(full)
  for (int o = 0; o < outputs; o++) sum[o] = start;
  for (size_t i = 0; i < shape->kernel_rows; i++) {
    const float *x = rows[i];
    for (size_t j = 0; j < shape->kernel_columns; j++) {
      lanes tap = load(taps);
#pragma clang loop unroll(full)
      for (int o = 0; o < outputs; o++) sum[o] += tap * load(x + o * step);
      x += next;
      taps += LANES;
    }
  }
#pragma clang loop unroll(full)
  for (int o = 0; o < outputs; o++) store(y + o * LANES, sum[o]);
}

#if TILE_LANES == 4
/// Neighbors without strides and dilations under `columns` taps a row, a constant as well: each input is loaded once and
/// goes to all sums that need it, while the row's taps stay in registers.
INLINE void depthwise_sliding(size_t kernel_rows, const float *const *rows, const float *taps, lanes start, float *y, const int columns,
                              const int outputs) {
  lanes sum[16];
#pragma clang loop unroll(full)
  for (int o = 0; o < outputs; o++) sum[o] = start;
  for (size_t i = 0; i < kernel_rows; i++) {
    const float *x = rows[i];
    lanes tap[7];
#pragma clang loop unroll(full)
    for (int j = 0; j < columns; j++) tap[j] = load(taps + j * LANES);
#pragma clang loop unroll(full)
    for (int p = 0; p < outputs + columns - 1; p++) {
      lanes v = load(x + p * LANES);
#pragma clang loop unroll(full)
      for (int j = 0; j < columns; j++)
        if (p - j >= 0 && p - j < outputs) sum[p - j] += tap[j] * v;
    }
    taps += columns * LANES;
  }
#pragma clang loop unroll(full)
  for (int o = 0; o < outputs; o++) store(y + o * LANES, sum[o]);
}

/// The widths of the usual feature maps; zero where there is no such loop.
INLINE int depthwise_usual(const VCDepthwise *shape, const float *const *rows, const float *taps, lanes start, float *y, size_t outputs) {
  if (shape->column_stride != 1 || shape->column_dilation != 1) return 0;
  switch (shape->kernel_columns * 32 + outputs) {
#define SLIDING(columns, outputs) case columns * 32 + outputs: depthwise_sliding(shape->kernel_rows, rows, taps, start, y, columns, outputs); return 1;
    SLIDING(3, 7) SLIDING(3, 8) SLIDING(3, 14) SLIDING(3, 16)
    SLIDING(5, 7) SLIDING(5, 8) SLIDING(5, 14) SLIDING(5, 16)
    SLIDING(7, 7) SLIDING(7, 8) SLIDING(7, 14) SLIDING(7, 16)
#undef SLIDING
  }
  return 0;
}
#endif

INLINE void depthwise_row(const VCDepthwise *shape, const float *const *rows, const float *taps, lanes start, float *y) {
  for (size_t o = 0; o < shape->y_columns;) {
    // Even parts rather than full ones and a rest that cannot hide the latency of its sums.
    size_t left = shape->y_columns - o, parts = (left + DEPTHWISE_TILE - 1) / DEPTHWISE_TILE, count = (left + parts - 1) / parts;
    const float *from[VC_DEPTHWISE_ROWS];
    float *to = y + o * LANES;
    for (size_t i = 0; i < shape->kernel_rows; i++) from[i] = rows[i] + (ptrdiff_t)o * shape->column_stride * LANES;
    o += count;
#if TILE_LANES == 4
    if (depthwise_usual(shape, from, taps, start, to, count)) continue;
#endif
    switch (count) {
#define COUNT(n) case n: depthwise_tile(shape, from, taps, start, to, n); break;
      COUNT(1) COUNT(2)
#if TILE_ROWS == 6
      COUNT(3) COUNT(4) COUNT(5) COUNT(6)
#if TILE_LANES == 4
      COUNT(7) COUNT(8) COUNT(9) COUNT(10) COUNT(11) COUNT(12) COUNT(13) COUNT(14) COUNT(15) COUNT(16)
#endif
#endif
#undef COUNT
    }
  }
}

static void UNIT(depthwise)(const VCDepthwise *shape, const float *x, const float *w, const float *bias, const VCEpilogue *then, float *y,
                            size_t channel, size_t first, size_t last, float *scratch) {
  size_t channels = shape->channels, some = channels - channel < LANES ? channels - channel : LANES;
  ptrdiff_t reach = (ptrdiff_t)(shape->kernel_rows - 1) * shape->row_dilation, ring = reach + 1;
  size_t width = (size_t)((ptrdiff_t)(shape->y_columns - 1) * shape->column_stride + (ptrdiff_t)(shape->kernel_columns - 1) * shape->column_dilation + 1);
  float *results = scratch + (size_t)ring * width * LANES;
  // The columns of the input that have a place in a gathered row.
  size_t begin = (size_t)shape->column_pad < width ? (size_t)shape->column_pad : width;
  size_t inside = width - begin < shape->x_columns ? width - begin : shape->x_columns;
  lanes start = bias ? whole_or_some(bias, channel, channels, 0.f) : splat(0.f);
  lanes gain = then->gain ? whole_or_some(then->gain, channel, channels, 0.f) : splat(1.f);
  lanes shift = then->shift ? whole_or_some(then->shift, channel, channels, 0.f) : splat(0.f);
  ptrdiff_t loaded = (ptrdiff_t)first * shape->row_stride - shape->row_pad;
  for (size_t o = first; o < last; o++) {
    ptrdiff_t top = (ptrdiff_t)o * shape->row_stride - shape->row_pad;
    if (loaded < top) loaded = top;
    for (; loaded <= top + reach; loaded++) {
      float *row = scratch + (size_t)(((loaded % ring) + ring) % ring) * width * LANES;
      if (loaded < 0 || loaded >= (ptrdiff_t)shape->x_rows) {
        memset(row, 0, width * LANES * sizeof(float));
        continue;
      }
      const float *from = x + (size_t)loaded * shape->x_columns * channels + channel;
      memset(row, 0, begin * LANES * sizeof(float));
      float *to = row + begin * LANES;
      if (some == LANES)
        for (size_t c = 0; c < inside; c++) store(to + c * LANES, load(from + c * channels));
      else
        for (size_t c = 0; c < inside; c++) store(to + c * LANES, load_some(from + c * channels, some, 0.f));
      memset(to + inside * LANES, 0, (width - begin - inside) * LANES * sizeof(float));
    }
    const float *rows[VC_DEPTHWISE_ROWS];
    for (size_t i = 0; i < shape->kernel_rows; i++) {
      ptrdiff_t at = top + (ptrdiff_t)i * shape->row_dilation;
      rows[i] = scratch + (size_t)((at % ring + ring) % ring) * width * LANES;
    }
    float *to = y + o * shape->y_columns * channels + channel;
    const float *other = then->operand ? then->operand + (to - y) : 0;
    depthwise_row(shape, rows, w, start, results);
    if (then->has_function) UNIT(unary)(then->function, results, results, shape->y_columns * LANES, then->a, then->b);
    for (size_t c = 0; c < shape->y_columns; c++) {
      lanes v = load(results + c * LANES);
      if (then->gain || then->shift) v = v * gain + shift;
      if (some == LANES) {
        if (other) v = v + load(other + c * channels);
        store(to + c * channels, v);
      } else {
        if (other) v = v + load_some(other + c * channels, some, 0.f);
        store_some(to + c * channels, v, some);
      }
    }
  }
}
