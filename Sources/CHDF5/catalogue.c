#include "scan.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Records, numbers little-endian, `text` being a 32-bit length and bytes:
//   'G' text path                      a group
//   'L' text path, text target         another name of the object whose first path is target; "" where there is none
//   'D' text path, u8 type, u8 place, u64 offset, u8 rank, u64 dims[rank], text reason     a dataset
//       type: ONNX's number; 0 none; 200 two opaque bytes
//       place: 0 in the file at offset, 1 in the unpacked elements at offset, 2 no elements, 3 refused for reason
//   'T' text name, u8 scalar, u32 count, text values[count]       a string attribute of the object before it
//   'I' text name, u8 scalar, u32 count, i64 values[count]        an integer attribute
//   'F' text name, u8 scalar, u32 count, f64 values[count]        a floating-point attribute
//   'X' text name                                                 an attribute of another type

void *vc_h5_grown(void *memory, size_t size) {
  void *result = realloc(memory, size);
  if (!result) vc_h5_end_scan(VC_H5_LIMIT, "the file's structure takes too much memory", NULL);
  return result;
}

void vc_h5_count(struct scan *scan, const char *of_what) {
  if (++scan->objects <= scan->limits.objects) return;
  char message[100];
  snprintf(message, sizeof message, "more %s than any checkpoint has", of_what);
  vc_h5_end_scan(VC_H5_LIMIT, message, NULL);
}

void vc_h5_charge(struct scan *scan, uint64_t bytes) {
  if (bytes > scan->limits.structure_bytes - scan->structure) vc_h5_end_scan(VC_H5_LIMIT, "names and attributes are larger than any checkpoint's", NULL);
  scan->structure += bytes;
}

void vc_h5_put(struct scan *scan, const void *bytes, size_t length) {
  if (scan->length + length > scan->capacity) {
    scan->capacity = (scan->length + length) * 2 + 4096;
    scan->bytes = vc_h5_grown(scan->bytes, scan->capacity);
  }
  if (length) memcpy(scan->bytes + scan->length, bytes, length);
  scan->length += length;
}

void vc_h5_put_byte(struct scan *scan, uint8_t value) { vc_h5_put(scan, &value, 1); }
void vc_h5_put_count(struct scan *scan, uint32_t value) { vc_h5_put(scan, &value, 4); }
void vc_h5_put_number(struct scan *scan, uint64_t value) { vc_h5_put(scan, &value, 8); }

void vc_h5_put_text_of(struct scan *scan, const char *text, size_t length) {
  vc_h5_charge(scan, length + 16);
  vc_h5_put_count(scan, (uint32_t)length);
  vc_h5_put(scan, text, length);
}

void vc_h5_put_text(struct scan *scan, const char *text) { vc_h5_put_text_of(scan, text, strlen(text)); }

// The first description is the deepest one.
static herr_t deepest(unsigned index, const H5E_error2_t *error, void *data) {
  char *text = data;
  if (!*text && error->desc) snprintf(text, 200, "%s", error->desc);
  (void)index;
  return 0;
}

const char *vc_h5_library_reason(void) {
  static char text[200];
  text[0] = 0;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, deepest, text);
  return text[0] ? text : "the library gives no reason";
}
