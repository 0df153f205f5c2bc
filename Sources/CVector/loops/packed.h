// Products and convolutions with packed weights: panels of columns pass by a block of rows that stays in the second cache,
// and what follows is done to each register tile. No include guard: loops/unit.h compiles this text once per vector unit.

enum { PACKED_ROWS = 192, PACKED_DEPTH = 768 };

/// The columns of a panel. Nearly equal widths: a panel of one vector could not hide the latency of its sums.
INLINE size_t panel_start(size_t columns, size_t panel) {
  size_t vectors = (columns + LANES - 1) / LANES, panels = (columns + VC_PANEL - 1) / VC_PANEL;
  return vectors * panel / panels * LANES;
}
struct panel {
  size_t column, width, wide;
};
INLINE struct panel panel_at(size_t columns, size_t panel) {
  size_t column = panel_start(columns, panel), end = panel_start(columns, panel + 1);
  return (struct panel){column, (end < columns ? end : columns) - column, end - column};
}

/// Where a strip of a panel's results is made: in place where its lanes are whole, else in scratch.
struct strip {
  float *results, *target;
  ptrdiff_t step, c_row;
};
INLINE struct strip strip_at(float *c, ptrdiff_t c_row, size_t row, const struct panel *at, float *scratch) {
  float *target = c + (ptrdiff_t)row * c_row + (ptrdiff_t)at->column;
  int whole = at->wide == at->width;
  return (struct strip){whole ? target : scratch, target, whole ? c_row : VC_PANEL, c_row};
}

/// What is left to do to some rows of a strip, from its row `i` on, when their sums are complete.
INLINE void finish_strip(const struct strip *strip, const struct panel *at, const struct tile_end *end, size_t i, size_t rows) {
  float *y = strip->results + (ptrdiff_t)i * strip->step;
  size_t done = strip->results == strip->target ? end->fused : 0;
  if (done < end->count) finish_block(end->posts + done, end->count - done, end->row + i, at->column, y, strip->step, rows, at->width);
  if (strip->results != strip->target)
    for (size_t r = 0; r < rows; r++)
      memcpy(strip->target + (ptrdiff_t)(i + r) * strip->c_row, y + (ptrdiff_t)r * strip->step, at->width * sizeof(float));
}

/// What tile `index` of `tiles`, each `depth` steps, fetches of the panel's weights from `next` on.
INLINE struct fetch fetch_share(const float *next, size_t depth, size_t index, size_t tiles) {
  size_t shift = tiles >= 8 * TILE_LANES ? 3 : tiles >= 4 * TILE_LANES ? 2 : tiles >= 2 * TILE_LANES ? 1 : 0;
  return (struct fetch){next + (index * depth >> shift) * LANES, ((size_t)1 << shift) - 1};
}

static void UNIT(packed_product)(const VCPackedProduct *shape, const float *a, const float *packed, float *c, size_t row, size_t row_end, size_t panel,
                                 size_t panel_end, float *scratch) {
  size_t depth = shape->depth, fused = plain_posts(shape->posts, shape->post_count);
  for (size_t i = row; i < row_end; i += PACKED_ROWS) {
    size_t height = row_end - i < PACKED_ROWS ? row_end - i : PACKED_ROWS;
    for (size_t j = panel; j < panel_end; j++) {
      struct panel at = panel_at(shape->columns, j);
      struct strip strip = strip_at(c, shape->c_row, i, &at, scratch);
      struct tile_end end = {shape->posts, shape->post_count, fused, i, at.column};
      size_t k = 0;
      do {
        size_t deep = depth - k < PACKED_DEPTH ? depth - k : PACKED_DEPTH;
        const float *left = a + (ptrdiff_t)i * shape->a_row + (ptrdiff_t)k * shape->a_column, *right = packed + at.column * depth + k * at.wide;
        int last = k + deep == depth;
        for (size_t r = 0; r < height; r += TILE_ROWS) {
          size_t rows = height - r < TILE_ROWS ? height - r : TILE_ROWS;
          struct tile_end own = end;
          own.row += r;
          struct fetch ahead = fetch_share(right + deep * at.wide, deep, r / TILE_ROWS, (height + TILE_ROWS - 1) / TILE_ROWS);
          for (size_t v = 0; v < at.wide; v += TILE_COLUMNS) {
            own.column = at.column + v;
            UNIT(tile)(left + (ptrdiff_t)r * shape->a_row, shape->a_row, shape->a_column, right + v, (ptrdiff_t)at.wide,
                       strip.results + (ptrdiff_t)r * strip.step + v, strip.step, deep, ahead, k > 0,
                       last && strip.results == strip.target ? &own : 0, rows, at.wide - v < TILE_COLUMNS ? (at.wide - v) / LANES : TILE_LANES);
          }
          if (last) finish_strip(&strip, &at, &end, r, rows);
        }
        k += deep;
      } while (k < depth);
    }
  }
}

static void UNIT(packed_convolution)(const VCConvolution *shape, const float *x, const float *packed, float *y, size_t pixel, size_t pixel_end,
                                     size_t panel, size_t panel_end, float *scratch) {
  size_t channels = shape->channels, taps = shape->kernel_rows * shape->kernel_columns, depth = taps * channels;
  size_t fused = plain_posts(shape->posts, shape->post_count);
  // Several taps at a time, as deep as a product's blocks.
  size_t block = PACKED_DEPTH / channels < 1 ? 1 : PACKED_DEPTH / channels;
  float *zeros = scratch + PACKED_ROWS * VC_PANEL;
  const float **points = (const float **)(zeros + whole_lanes(channels));
  memset(zeros, 0, channels * sizeof(float));
  for (size_t i = pixel; i < pixel_end; i += PACKED_ROWS) {
    size_t height = pixel_end - i < PACKED_ROWS ? pixel_end - i : PACKED_ROWS;
    for (size_t r = 0; r < height; r++) {
      ptrdiff_t top = (ptrdiff_t)((i + r) / shape->y_columns) * shape->row_stride - shape->row_pad;
      ptrdiff_t left = (ptrdiff_t)((i + r) % shape->y_columns) * shape->column_stride - shape->column_pad;
      const float **point = points + r;
      for (size_t p = 0; p < shape->kernel_rows; p++) {
        ptrdiff_t row = top + (ptrdiff_t)p * shape->row_dilation;
        int inside = row >= 0 && row < (ptrdiff_t)shape->x_rows;
        for (size_t q = 0; q < shape->kernel_columns; q++) {
          ptrdiff_t column = left + (ptrdiff_t)q * shape->column_dilation;
          *point = inside && column >= 0 && column < (ptrdiff_t)shape->x_columns
                       ? x + ((size_t)row * shape->x_columns + (size_t)column) * channels : zeros;
          point += height;
        }
      }
    }
    for (size_t j = panel; j < panel_end; j++) {
      struct panel at = panel_at(shape->filters, j);
      struct strip strip = strip_at(y, (ptrdiff_t)shape->filters, i, &at, scratch);
      struct tile_end end = {shape->posts, shape->post_count, fused, i, at.column};
      for (size_t t = 0; t < taps; t += block) {
        size_t count = taps - t < block ? taps - t : block;
        const float *right = packed + at.column * depth + t * channels * at.wide;
        int last = t + count == taps;
        for (size_t r = 0; r < height; r += TILE_ROWS) {
          size_t rows = height - r < TILE_ROWS ? height - r : TILE_ROWS;
          struct tile_end own = end;
          own.row += r;
          struct fetch ahead = fetch_share(right + count * channels * at.wide, count * channels, r / TILE_ROWS, (height + TILE_ROWS - 1) / TILE_ROWS);
          for (size_t v = 0; v < at.wide; v += TILE_COLUMNS) {
            own.column = at.column + v;
            UNIT(window_tile)(points + t * height + r, height, count, right + v, (ptrdiff_t)at.wide, strip.results + (ptrdiff_t)r * strip.step + v,
                              strip.step, channels, ahead, t > 0, last && strip.results == strip.target ? &own : 0, rows,
                              at.wide - v < TILE_COLUMNS ? (at.wide - v) / LANES : TILE_LANES);
          }
          if (last) finish_strip(&strip, &at, &end, r, rows);
        }
      }
    }
  }
}

static void UNIT(pack_weights)(const float *b, ptrdiff_t b_row, ptrdiff_t b_column, size_t depth, size_t columns, size_t panel, size_t panel_end,
                               float *packed) {
  for (size_t j = panel; j < panel_end; j++) {
    struct panel at = panel_at(columns, j);
    pack_rows(b + (ptrdiff_t)at.column * b_column, b_row, b_column, depth, at.width, packed + at.column * depth, at.wide);
  }
}

static void UNIT(pack_filters)(const float *w, size_t channels, size_t taps, size_t columns, size_t panel, size_t panel_end, float *packed) {
  enum { BLOCK = 64 };
  uint32_t rows[BLOCK * VC_PANEL];
  size_t depth = channels * taps;
  for (size_t j = panel; j < panel_end; j++) {
    struct panel at = panel_at(columns, j);
    float *target = packed + at.column * depth;
    // Filters come one after the other; a block of each, transposed, is whole rows of the panel in another order.
    for (size_t k = 0; k < depth; k += BLOCK) {
      size_t count = depth - k < BLOCK ? depth - k : BLOCK;
      UNIT(transpose)((const uint32_t *)w + at.column * depth + k, (ptrdiff_t)depth, rows, VC_PANEL, at.width, count);
      for (size_t r = 0; r < count; r++) {
        size_t channel = (k + r) / taps, tap = (k + r) % taps;
        float *row = target + (tap * channels + channel) * at.wide;
        memcpy(row, rows + r * VC_PANEL, at.width * sizeof(float));
        for (size_t m = at.width; m < at.wide; m++) row[m] = 0.f;
      }
    }
  }
}
