#include "scan.h"
#include <stdlib.h>
#include <string.h>

static void scan_texts(struct scan *scan, hid_t attribute, hid_t type, const char *name, bool scalar, uint64_t count) {
  size_t size = H5Tget_size(type);
  bool variable = H5Tis_variable_str(type) > 0;
  if (count > scan->limits.structure_bytes / (variable ? sizeof(char *) : size + 1))
    vc_h5_end_scan(VC_H5_LIMIT, "an attribute is larger than any checkpoint's", NULL);
  vc_h5_put_byte(scan, 'T');
  vc_h5_put_text(scan, name);
  vc_h5_put_byte(scan, scalar);
  vc_h5_put_count(scan, (uint32_t)count);
  if (!count) return;
  if (variable) {
    char **texts = calloc(count, sizeof *texts);
    hid_t memory = H5Tcopy(H5T_C_S1);
    H5Tset_size(memory, H5T_VARIABLE);
    H5Tset_cset(memory, H5Tget_cset(type));
    if (!texts || H5Aread(attribute, memory, texts) < 0) vc_h5_end_scan(VC_H5_MALFORMED, vc_h5_library_reason(), NULL);
    for (uint64_t index = 0; index < count; index++) vc_h5_put_text(scan, texts[index] ? texts[index] : "");
    hid_t space = H5Aget_space(attribute);
    H5Dvlen_reclaim(memory, space, H5P_DEFAULT, texts);
    H5Sclose(space);
    H5Tclose(memory);
    free(texts);
  } else {
    char *texts = malloc(count * size + 1);
    if (!texts || H5Aread(attribute, type, texts) < 0) vc_h5_end_scan(VC_H5_MALFORMED, vc_h5_library_reason(), NULL);
    bool padded = H5Tget_strpad(type) == H5T_STR_SPACEPAD;
    for (uint64_t index = 0; index < count; index++) {
      const char *text = texts + index * size;
      size_t length = strnlen(text, size);
      while (padded && length && text[length - 1] == ' ') length--;
      vc_h5_put_text_of(scan, text, length);
    }
    free(texts);
  }
}

static void scan_numbers(struct scan *scan, hid_t attribute, char kind, const char *name, bool scalar, uint64_t count) {
  if (count > scan->limits.structure_bytes / 8) vc_h5_end_scan(VC_H5_LIMIT, "an attribute is larger than any checkpoint's", NULL);
  vc_h5_put_byte(scan, (uint8_t)kind);
  vc_h5_put_text(scan, name);
  vc_h5_put_byte(scan, scalar);
  vc_h5_put_count(scan, (uint32_t)count);
  if (!count) return;
  vc_h5_charge(scan, count * 8);
  void *values = calloc(count, 8);
  if (!values || H5Aread(attribute, kind == 'I' ? H5T_NATIVE_INT64 : H5T_NATIVE_DOUBLE, values) < 0)
    vc_h5_end_scan(VC_H5_MALFORMED, vc_h5_library_reason(), NULL);
  vc_h5_put(scan, values, count * 8);
  free(values);
}

static herr_t scan_attribute(hid_t object, const char *name, const H5A_info_t *info, void *data) {
  (void)info;
  struct scan *scan = data;
  vc_h5_count(scan, "attributes");
  hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
  if (attribute < 0) vc_h5_end_scan(VC_H5_MALFORMED, vc_h5_library_reason(), NULL);
  hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
  int rank;
  hsize_t dims[H5S_MAX_RANK];
  uint64_t count;
  if (type < 0 || space < 0 || !vc_h5_extent(space, &rank, dims, &count))
    vc_h5_end_scan(VC_H5_MALFORMED, "an attribute's type or shape cannot be read", NULL);
  switch (H5Tget_class(type)) {
  case H5T_STRING: scan_texts(scan, attribute, type, name, rank == 0, count); break;
  case H5T_INTEGER: scan_numbers(scan, attribute, 'I', name, rank == 0, count); break;
  case H5T_FLOAT: scan_numbers(scan, attribute, 'F', name, rank == 0, count); break;
  default:
    vc_h5_put_byte(scan, 'X');
    vc_h5_put_text(scan, name);
  }
  H5Sclose(space);
  H5Tclose(type);
  H5Aclose(attribute);
  return 0;
}

void vc_h5_scan_attributes(struct scan *scan, hid_t object) {
  hsize_t position = 0;
  if (H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_INC, &position, scan_attribute, scan) < 0)
    vc_h5_end_scan(VC_H5_MALFORMED, vc_h5_library_reason(), NULL);
}
