// Products of two matrices of activations, neither of which is worth packing by oneDNN: a register tile of rows times
// lanes, A taken element by element at any strides, B by rows of lanes. The including file sets the tile's size, which
// has to fit the unit's registers. No include guard: loops/unit.h compiles this text once per vector unit.

/// Columns of the tile.
#define TILE_COLUMNS (TILE_LANES * LANES)

/// What is done to a tile before it is stored: the first `fused` of these while it is in registers, the others behind.
/// They start at the result's first row and column, the tile at (row, column).
struct tile_end {
  const VCEpilogue *posts;
  size_t count, fused, row, column;
};

/// Weights that come next: a line of them is brought into the second cache at each step whose number has none of the bits of
/// `mask`. A network's weights fit into no cache, so that the first tile to read some would wait for all of them; and many
/// such requests at once would hold up those of the tile itself.
struct fetch {
  const float *next;
  size_t mask;
};

/// Whether it is worth doing in registers: others need so many that the tile's sums would have to leave them.
INLINE int is_plain(const VCEpilogue *then) {
  int simple = !then->has_function || then->function == VCUnaryRelu || then->function == VCUnaryClip || then->function == VCUnaryAffine;
  return simple && (!then->operand || then->operation == VCBinaryAdd);
}

INLINE size_t plain_posts(const VCEpilogue *posts, size_t count) {
  size_t n = 0;
  while (n < count && is_plain(posts + n)) n++;
  return n;
}

#define EACH_ROW _Pragma("clang loop unroll(full)") for (int i = 0; i < rows; i++)
#define EACH_VECTOR _Pragma("clang loop unroll(full)") for (int v = 0; v < vectors; v++)

/// `rows` and `vectors` are constants where this and the next are expanded.
INLINE void finish_tile(const struct tile_end *end, lanes sum[TILE_ROWS][TILE_LANES], const int rows, const int vectors) {
  for (size_t p = 0; p < end->fused; p++) {
    const VCEpilogue *then = end->posts + p;
    if (then->has_function) {
      if (then->function == VCUnaryRelu) {
        EACH_ROW EACH_VECTOR sum[i][v] = unary(VCUnaryRelu, sum[i][v], 0.f, 0.f);
      } else if (then->function == VCUnaryClip) {
        EACH_ROW EACH_VECTOR sum[i][v] = unary(VCUnaryClip, sum[i][v], then->a, then->b);
      } else {
        EACH_ROW EACH_VECTOR sum[i][v] = unary(VCUnaryAffine, sum[i][v], then->a, then->b);
      }
    }
    if (then->gain) {
      EACH_VECTOR {
        lanes gain = load(then->gain + end->column + v * LANES);
        EACH_ROW sum[i][v] *= gain;
      }
    }
    if (then->shift) {
      EACH_VECTOR {
        lanes shift = load(then->shift + end->column + v * LANES);
        EACH_ROW sum[i][v] += shift;
      }
    }
    if (then->operand) {
      const float *operand = then->operand + (ptrdiff_t)end->row * then->operand_row + (ptrdiff_t)end->column;
      EACH_ROW EACH_VECTOR sum[i][v] += load(operand + i * then->operand_row + v * LANES);
    }
  }
}

INLINE void store_tile(lanes sum[TILE_ROWS][TILE_LANES], float *c, ptrdiff_t c_row, int adds, const struct tile_end *end, const int rows,
                       const int vectors) {
  if (adds) {
    EACH_ROW EACH_VECTOR sum[i][v] += load(c + i * c_row + v * LANES);
  }
  if (end) finish_tile(end, sum, rows, vectors);
  EACH_ROW EACH_VECTOR store(c + i * c_row + v * LANES, sum[i][v]);
}

/// c (+)= a b for `rows` rows and `vectors` lanes of columns.
INLINE void tile(const float *a, ptrdiff_t a_row, ptrdiff_t a_column, const float *b, ptrdiff_t b_row, float *c, ptrdiff_t c_row, size_t depth,
                 struct fetch ahead, int adds, const struct tile_end *end, const int rows, const int vectors) {
  lanes sum[TILE_ROWS][TILE_LANES];
  EACH_ROW EACH_VECTOR sum[i][v] = splat(0.f);
  for (size_t k = 0; k < depth; k++) {
    lanes row[TILE_LANES];
    if ((k & ahead.mask) == 0) {
      __builtin_prefetch(ahead.next, 0, 2);
      ahead.next += LANES;
    }
    EACH_VECTOR row[v] = load(b + v * LANES);
    EACH_ROW {
      lanes x = splat(a[i * a_row]);
      EACH_VECTOR sum[i][v] += x * row[v];
    }
    a += a_column;
    b += b_row;
  }
  store_tile(sum, c, c_row, adds, end, rows, vectors);
}

/// The same where each row of a is `taps` runs of `depth` neighbors, the one of tap t and row i at `points[t * step + i]`.
INLINE void window_tile(const float *const *points, size_t step, size_t taps, const float *b, ptrdiff_t b_row, float *c, ptrdiff_t c_row, size_t depth,
                        struct fetch ahead, int adds, const struct tile_end *end, const int rows, const int vectors) {
  lanes sum[TILE_ROWS][TILE_LANES];
  EACH_ROW EACH_VECTOR sum[i][v] = splat(0.f);
  for (size_t t = 0; t < taps; t++) {
    const float *a[TILE_ROWS];
    EACH_ROW a[i] = points[t * step + (size_t)i];
    for (size_t k = 0; k < depth; k++) {
      lanes row[TILE_LANES];
      if ((k & ahead.mask) == 0) {
        __builtin_prefetch(ahead.next, 0, 2);
        ahead.next += LANES;
      }
      EACH_VECTOR row[v] = load(b + v * LANES);
      EACH_ROW {
        lanes x = splat(a[i][k]);
        EACH_VECTOR sum[i][v] += x * row[v];
      }
      b += b_row;
    }
  }
  store_tile(sum, c, c_row, adds, end, rows, vectors);
}

#if TILE_LANES == 4
#define TILE_CASES(rows) TILE_CASE(rows, 1) TILE_CASE(rows, 2) TILE_CASE(rows, 3) TILE_CASE(rows, 4)
#else
#define TILE_CASES(rows) TILE_CASE(rows, 1)
#endif
#if TILE_ROWS == 6
#define ALL_TILES TILE_CASES(1) TILE_CASES(2) TILE_CASES(3) TILE_CASES(4) TILE_CASES(5) TILE_CASES(6)
#else
#define ALL_TILES TILE_CASES(1) TILE_CASES(2)
#endif

static void UNIT(tile)(const float *a, ptrdiff_t a_row, ptrdiff_t a_column, const float *b, ptrdiff_t b_row, float *c, ptrdiff_t c_row, size_t depth,
                       struct fetch ahead, int adds, const struct tile_end *end, size_t rows, size_t vectors) {
#define TILE_CASE(rows, vectors) \
  case (rows) * 8 + (vectors): tile(a, a_row, a_column, b, b_row, c, c_row, depth, ahead, adds, end, rows, vectors); return;
  switch (rows * 8 + vectors) { ALL_TILES }
#undef TILE_CASE
}

static void UNIT(window_tile)(const float *const *points, size_t step, size_t taps, const float *b, ptrdiff_t b_row, float *c, ptrdiff_t c_row,
                              size_t depth, struct fetch ahead, int adds, const struct tile_end *end, size_t rows, size_t vectors) {
#define TILE_CASE(rows, vectors) \
  case (rows) * 8 + (vectors): window_tile(points, step, taps, b, b_row, c, c_row, depth, ahead, adds, end, rows, vectors); return;
  switch (rows * 8 + vectors) { ALL_TILES }
#undef TILE_CASE
}
#undef ALL_TILES
#undef TILE_CASES

/// c (+)= a b with whole lanes: `columns` is a multiple of LANES, and so far may rows of b and c be read and written.
INLINE void lane_product(const float *a, ptrdiff_t a_row, ptrdiff_t a_column, const float *b, ptrdiff_t b_row, float *c, ptrdiff_t c_row, size_t rows,
                         size_t columns, size_t depth, int adds) {
  for (size_t j = 0; j < columns; j += TILE_COLUMNS) {
    size_t vectors = columns - j < TILE_COLUMNS ? (columns - j) / LANES : TILE_LANES;
    for (size_t i = 0; i < rows; i += TILE_ROWS)
      UNIT(tile)(a + (ptrdiff_t)i * a_row, a_row, a_column, b + j, b_row, c + (ptrdiff_t)i * c_row + (ptrdiff_t)j, c_row, depth, (struct fetch){b, ~(size_t)0}, adds, 0,
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

