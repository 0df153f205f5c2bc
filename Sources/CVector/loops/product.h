// Products of two matrices of activations, neither of which is worth packing by oneDNN: a register tile of rows times
// lanes, A taken element by element at any strides, B by rows of lanes. The including file sets the tile's size, which
// has to fit the unit's registers. No include guard: loops/unit.h compiles this text once per vector unit.

/// Columns of the tile.
#define TILE_COLUMNS (TILE_LANES * LANES)

/// c (+)= a b for `rows` rows and `vectors` lanes of columns, both constants where this is expanded.
INLINE void tile(const float *a, ptrdiff_t a_row, ptrdiff_t a_column, const float *b, ptrdiff_t b_row, float *c, ptrdiff_t c_row, size_t depth,
                 int adds, const int rows, const int vectors) {
  lanes sum[TILE_ROWS][TILE_LANES];
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) sum[i][v] = splat(0.f);
  for (size_t k = 0; k < depth; k++) {
    lanes row[TILE_LANES];
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) row[v] = load(b + v * LANES);
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; i++) {
      lanes x = splat(a[i * a_row]);
#pragma clang loop unroll(full)
      for (int v = 0; v < vectors; v++) sum[i][v] += x * row[v];
    }
    a += a_column;
    b += b_row;
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) {
      float *p = c + i * c_row + v * LANES;
      store(p, adds ? load(p) + sum[i][v] : sum[i][v]);
    }
}

#define TILE_CASE(rows, vectors) \
  case (rows) * 8 + (vectors): tile(a, a_row, a_column, b, b_row, c, c_row, depth, adds, rows, vectors); return;

static void UNIT(tile)(const float *a, ptrdiff_t a_row, ptrdiff_t a_column, const float *b, ptrdiff_t b_row, float *c, ptrdiff_t c_row, size_t depth,
                       int adds, size_t rows, size_t vectors) {
  switch (rows * 8 + vectors) {
#if TILE_LANES == 4
#define TILE_CASES(rows) TILE_CASE(rows, 1) TILE_CASE(rows, 2) TILE_CASE(rows, 3) TILE_CASE(rows, 4)
#else
#define TILE_CASES(rows) TILE_CASE(rows, 1)
#endif
    TILE_CASES(1)
    TILE_CASES(2)
#if TILE_ROWS == 6
    TILE_CASES(3)
    TILE_CASES(4)
    TILE_CASES(5)
    TILE_CASES(6)
#endif
  }
}
#undef TILE_CASE
#undef TILE_CASES

/// c (+)= a b with whole lanes: `columns` is a multiple of LANES, and so far may rows of b and c be read and written.
INLINE void lane_product(const float *a, ptrdiff_t a_row, ptrdiff_t a_column, const float *b, ptrdiff_t b_row, float *c, ptrdiff_t c_row, size_t rows,
                         size_t columns, size_t depth, int adds) {
  for (size_t j = 0; j < columns; j += TILE_COLUMNS) {
    size_t vectors = columns - j < TILE_COLUMNS ? (columns - j) / LANES : TILE_LANES;
    for (size_t i = 0; i < rows; i += TILE_ROWS)
      UNIT(tile)(a + (ptrdiff_t)i * a_row, a_row, a_column, b + j, b_row, c + (ptrdiff_t)i * c_row + (ptrdiff_t)j, c_row, depth, adds,
                 rows - i < TILE_ROWS ? rows - i : TILE_ROWS, vectors);
  }
}

/// Packs b as rows of `width` elements, a multiple of LANES, zero behind the last column. Weights in a file may lie at any
/// address, so they are read as bytes.
INLINE void pack_rows(const float *b, ptrdiff_t b_row, ptrdiff_t b_column, size_t rows, size_t columns, float *packed, size_t width) {
  if (b_column == 1) {
    for (size_t k = 0; k < rows; k++) {
      memcpy(packed + k * width, b + (ptrdiff_t)k * b_row, columns * sizeof(float));
      for (size_t j = columns; j < width; j++) packed[k * width + j] = 0.f;
    }
  } else if (b_row == 1) {
    UNIT(transpose)((const uint32_t *)b, b_column, (uint32_t *)packed, (ptrdiff_t)width, columns, rows);
    for (size_t k = 0; k < rows; k++)
      for (size_t j = columns; j < width; j++) packed[k * width + j] = 0.f;
  } else {
    for (size_t k = 0; k < rows; k++)
      for (size_t j = 0; j < width; j++) {
        packed[k * width + j] = 0.f;
        if (j < columns) memcpy(packed + k * width + j, b + (ptrdiff_t)k * b_row + (ptrdiff_t)j * b_column, sizeof(float));
      }
  }
}

enum { DEPTH_BLOCK = 256, COLUMN_BLOCK = 256, ROW_BLOCK = 96 };

INLINE size_t whole_lanes(size_t n) { return (n + LANES - 1) / LANES * LANES; }

static void UNIT(product)(const float *a, ptrdiff_t a_row, ptrdiff_t a_column, const float *b, ptrdiff_t b_row, ptrdiff_t b_column, float *c,
                          ptrdiff_t c_row, size_t rows, size_t columns, size_t depth, float scale, float *scratch) {
  float *packed = scratch, *results = scratch + DEPTH_BLOCK * COLUMN_BLOCK;
  for (size_t j = 0; j < columns; j += COLUMN_BLOCK) {
    size_t width = columns - j < COLUMN_BLOCK ? columns - j : COLUMN_BLOCK, wide = whole_lanes(width);
    // Whole lanes that lie side by side are read where they are and written where they belong.
    int direct = b_column == 1 && wide == width, whole = wide == width;
    for (size_t i = 0; i < rows; i += ROW_BLOCK) {
      size_t height = rows - i < ROW_BLOCK ? rows - i : ROW_BLOCK;
      float *target = whole ? c + (ptrdiff_t)i * c_row + (ptrdiff_t)j : results;
      ptrdiff_t step = whole ? c_row : (ptrdiff_t)wide;
      for (size_t k = 0; k < depth; k += DEPTH_BLOCK) {
        size_t deep = depth - k < DEPTH_BLOCK ? depth - k : DEPTH_BLOCK;
        const float *right = b + (ptrdiff_t)k * b_row + (ptrdiff_t)j * b_column;
        // What was packed for the rows before is still there when it is all that there is.
        if (!direct && (i == 0 || depth > DEPTH_BLOCK)) pack_rows(right, b_row, b_column, deep, width, packed, wide);
        lane_product(a + (ptrdiff_t)i * a_row + (ptrdiff_t)k * a_column, a_row, a_column, direct ? right : packed, direct ? b_row : (ptrdiff_t)wide,
                     target, step, height, wide, deep, k > 0);
      }
      if (depth == 0)
        for (size_t r = 0; r < height; r++)
          for (size_t x = 0; x < width; x++) target[(ptrdiff_t)r * step + (ptrdiff_t)x] = 0.f;
      if (whole && scale == 1.f) continue;
      for (size_t r = 0; r < height; r++) {
        float *from = target + (ptrdiff_t)r * step, *to = c + (ptrdiff_t)(i + r) * c_row + (ptrdiff_t)j;
        for (size_t x = 0; x < width; x += LANES) {
          if (width - x >= LANES) store(to + x, load(from + x) * scale);
          else store_some(to + x, load(from + x) * scale, width - x);
        }
      }
    }
  }
}

enum { PACKED_ROWS = 192, PACKED_DEPTH = 768 };

INLINE void post_row(const VCPost *posts, size_t count, size_t row, size_t column, float *y, size_t n) {
  for (size_t p = 0; p < count; p++) {
    const VCPost *post = posts + p;
    if (post->is_binary) UNIT(binary)(post->operation, y, 1, post->operand + (ptrdiff_t)row * post->operand_row + (ptrdiff_t)column, 1, y, n);
    else UNIT(unary)(post->function, y, y, n, post->a, post->b);
  }
}

static void UNIT(packed_product)(const VCPackedProduct *shape, const float *a, const float *packed, float *c, size_t row, size_t row_end, size_t panel,
                                 size_t panel_end, float *scratch) {
  size_t depth = shape->depth;
  // A block of rows of a stays in the second cache while the panels pass by.
  for (size_t i = row; i < row_end; i += PACKED_ROWS) {
    size_t height = row_end - i < PACKED_ROWS ? row_end - i : PACKED_ROWS;
    for (size_t j = panel; j < panel_end; j++) {
      size_t column = j * VC_PANEL, width = shape->columns - column < VC_PANEL ? shape->columns - column : VC_PANEL, wide = whole_lanes(width);
      const float *right = packed + column * depth;
      float *target = c + (ptrdiff_t)i * shape->c_row + (ptrdiff_t)column, *results = wide == width ? target : scratch;
      ptrdiff_t step = wide == width ? shape->c_row : VC_PANEL;
      for (size_t k = 0; k < depth; k += PACKED_DEPTH)
        lane_product(a + (ptrdiff_t)i * shape->a_row + (ptrdiff_t)k * shape->a_column, shape->a_row, shape->a_column, right + k * wide, (ptrdiff_t)wide,
                     results, step, height, wide, depth - k < PACKED_DEPTH ? depth - k : PACKED_DEPTH, k > 0);
      for (size_t r = 0; r < height; r++) {
        float *y = results + (ptrdiff_t)r * step;
        post_row(shape->posts, shape->post_count, i + r, column, y, width);
        if (results != target) memcpy(target + (ptrdiff_t)r * shape->c_row, y, width * sizeof(float));
      }
    }
  }
}

static void UNIT(pack_weights)(const float *b, ptrdiff_t b_row, ptrdiff_t b_column, size_t depth, size_t columns, float *packed) {
  for (size_t column = 0; column < columns; column += VC_PANEL) {
    size_t width = columns - column < VC_PANEL ? columns - column : VC_PANEL;
    pack_rows(b + (ptrdiff_t)column * b_column, b_row, b_column, depth, width, packed + column * depth, whole_lanes(width));
  }
}
