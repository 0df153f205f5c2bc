#pragma once
#include <png.h>
#include <stdint.h>
#include <string.h>
#include <turbojpeg.h>

// libpng's simplified interface; macros become functions that Swift can call.

/// Reads the header of a PNG in memory; 0 on failure. `image` must be released by vc_png_free.
static inline int vc_png_begin(png_image *image, const void *bytes, size_t count) {
  memset(image, 0, sizeof *image);
  image->version = PNG_IMAGE_VERSION;
  if (!png_image_begin_read_from_memory(image, bytes, count)) return 0;
  image->format = PNG_FORMAT_RGB;
  return 1;
}

/// Decodes into `pixels` (width * height * 3 bytes, RGB); 0 on failure.
static inline int vc_png_decode(png_image *image, void *pixels) {
  png_color black = {0, 0, 0};
  return png_image_finish_read(image, &black, pixels, 0, NULL);
}

static inline void vc_png_free(png_image *image) { png_image_free(image); }

/// Reads width and height of a JPEG in memory; 0 on failure.
static inline int vc_jpeg_header(tjhandle handle, const uint8_t *bytes, size_t count, int *width, int *height) {
  int subsampling = 0, colorspace = 0;
  return tjDecompressHeader3(handle, bytes, (unsigned long)count, width, height, &subsampling, &colorspace) == 0;
}

/// Decodes into `pixels` (width * height * 3 bytes, RGB); 0 on failure.
static inline int vc_jpeg_decode(tjhandle handle, const uint8_t *bytes, size_t count, uint8_t *pixels, int width, int height) {
  return tjDecompress2(handle, bytes, (unsigned long)count, pixels, width, 0, height, TJPF_RGB, TJFLAG_ACCURATEDCT | TJFLAG_STOPONWARNING) == 0;
}
