// Dot products of rows in double precision. No include guard: loops/unit.h compiles this text once per vector unit.

#define WIDE 8
typedef double wide __attribute__((vector_size(64), aligned(8)));

INLINE wide load_wide(const double *p) {
  wide x;
  memcpy(&x, p, sizeof x);
  return x;
}
INLINE double wide_sum(wide x) { return ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7])); }

// Two rows by four: eight sums side by side hide the latency of the additions. Rows past the end repeat the last one.
static void UNIT(row_products)(const double *a, ptrdiff_t a_step, size_t rows, const double *b, ptrdiff_t b_step, size_t columns, size_t depth,
                               double *c, ptrdiff_t c_step) {
  for (size_t i = 0; i < rows; i += 2) {
    const double *p[2], *q[4];
    for (size_t r = 0; r < 2; r++) p[r] = a + (ptrdiff_t)(i + r < rows ? i + r : rows - 1) * a_step;
    for (size_t j = 0; j < columns; j += 4) {
      for (size_t r = 0; r < 4; r++) q[r] = b + (ptrdiff_t)(j + r < columns ? j + r : columns - 1) * b_step;
      wide sums[2][4] = {{{0}}};
      size_t k = 0;
      for (; k + WIDE <= depth; k += WIDE) {
        wide x0 = load_wide(p[0] + k), x1 = load_wide(p[1] + k);
        for (int s = 0; s < 4; s++) {
          wide y = load_wide(q[s] + k);
          sums[0][s] += x0 * y;
          sums[1][s] += x1 * y;
        }
      }
      for (size_t r = 0; r < 2 && i + r < rows; r++)
        for (size_t s = 0; s < 4 && j + s < columns; s++) {
          double total = wide_sum(sums[r][s]);
          for (size_t t = k; t < depth; t++) total += p[r][t] * q[s][t];
          c[(ptrdiff_t)(i + r) * c_step + (ptrdiff_t)(j + s)] = total;
        }
    }
  }
}
