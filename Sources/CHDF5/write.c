#include "chdf5.h"
#include "library.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct vc_h5_writer {
  hid_t file;
  hid_t links;
};

static _Thread_local char reason[200];

static herr_t first_description(unsigned index, const H5E_error2_t *error, void *data) {
  (void)data;
  if (index == 0 && error->desc) snprintf(reason, sizeof reason, "%s", error->desc);
  return 0;
}

static int failed(void) {
  reason[0] = 0;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, first_description, NULL);
  return -1;
}

const char *vc_h5_reason(void) { return reason; }

vc_h5_writer *vc_h5_create(const char *path) {
  const char *missing = vc_h5_prepare();
  if (missing) {
    snprintf(reason, sizeof reason, "%s", missing);
    return NULL;
  }
  // The library keeps this for each thread.
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  vc_h5_writer *writer = calloc(1, sizeof *writer);
  if (!writer) return NULL;
  // Weights start on 64 bytes, as vector units and mapped readers like them.
  hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_alignment(access, 4096, 64);
  writer->file = H5Fcreate(path, H5F_ACC_EXCL, H5P_DEFAULT, access);
  if (writer->file < 0) {
    failed();
    H5Pclose(access);
    free(writer);
    return NULL;
  }
  H5Pclose(access);
  writer->links = H5Pcreate(H5P_LINK_CREATE);
  H5Pset_create_intermediate_group(writer->links, 1);
  H5Pset_char_encoding(writer->links, H5T_CSET_UTF8);
  return writer;
}

int vc_h5_group(vc_h5_writer *writer, const char *path) {
  hid_t group = H5Gcreate2(writer->file, path, writer->links, H5P_DEFAULT, H5P_DEFAULT);
  if (group < 0) return failed();
  H5Gclose(group);
  return 0;
}

static int attribute(vc_h5_writer *writer, const char *path, const char *name, hid_t type, hid_t space, const void *value) {
  hid_t object = H5Oopen(writer->file, path, H5P_DEFAULT);
  if (object < 0) return failed();
  hid_t made = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  int status = made < 0 || (value && H5Awrite(made, type, value) < 0) ? failed() : 0;
  if (made >= 0) H5Aclose(made);
  H5Oclose(object);
  return status;
}

static hid_t text_type(void) {
  hid_t type = H5Tcopy(H5T_C_S1);
  H5Tset_size(type, H5T_VARIABLE);
  H5Tset_cset(type, H5T_CSET_UTF8);
  return type;
}

int vc_h5_text(vc_h5_writer *writer, const char *path, const char *name, const char *text) {
  hid_t type = text_type(), space = H5Screate(H5S_SCALAR);
  int status = attribute(writer, path, name, type, space, &text);
  H5Sclose(space);
  H5Tclose(type);
  return status;
}

// What an object header holds of one attribute; Keras splits above it.
enum { HEADER_LIMIT = 64512 };

int vc_h5_texts(vc_h5_writer *writer, const char *path, const char *name, const char *const *texts, size_t count) {
  hsize_t dims[1] = {count};
  if (count == 0) {
    hid_t space = H5Screate_simple(1, dims, NULL);
    int status = attribute(writer, path, name, H5T_IEEE_F64LE, space, NULL);
    H5Sclose(space);
    return status;
  }
  hid_t type = text_type();
  // A variable-length string takes 16 bytes of the header.
  size_t most = HEADER_LIMIT / 16;
  int status = 0;
  for (size_t first = 0, part = 0; first < count && status == 0; first += most, part++) {
    dims[0] = count - first < most ? count - first : most;
    char own[300];
    snprintf(own, sizeof own, count > most ? "%s%zu" : "%s", name, part);
    hid_t space = H5Screate_simple(1, dims, NULL);
    status = attribute(writer, path, own, type, space, texts + first);
    H5Sclose(space);
  }
  H5Tclose(type);
  return status;
}

int vc_h5_integer(vc_h5_writer *writer, const char *path, const char *name, int64_t value) {
  hid_t space = H5Screate(H5S_SCALAR);
  int status = attribute(writer, path, name, H5T_STD_I64LE, space, &value);
  H5Sclose(space);
  return status;
}

static hid_t half_type(void) {
  hid_t type = H5Tcopy(H5T_IEEE_F32LE);
  H5Tset_fields(type, 15, 10, 5, 0, 10);
  H5Tset_size(type, 2);
  H5Tset_ebias(type, 15);
  return type;
}

static hid_t bool_type(void) {
  hid_t type = H5Tenum_create(H5T_STD_I8LE);
  signed char value = 0;
  H5Tenum_insert(type, "FALSE", &value);
  value = 1;
  H5Tenum_insert(type, "TRUE", &value);
  return type;
}

static hid_t element_type(int type) {
  switch (type) {
  case 1: return H5Tcopy(H5T_IEEE_F32LE);
  case 2: return H5Tcopy(H5T_STD_U8LE);
  case 3: return H5Tcopy(H5T_STD_I8LE);
  case 4: return H5Tcopy(H5T_STD_U16LE);
  case 5: return H5Tcopy(H5T_STD_I16LE);
  case 6: return H5Tcopy(H5T_STD_I32LE);
  case 7: return H5Tcopy(H5T_STD_I64LE);
  case 9: return bool_type();
  case 10: return half_type();
  case 11: return H5Tcopy(H5T_IEEE_F64LE);
  case 12: return H5Tcopy(H5T_STD_U32LE);
  case 13: return H5Tcopy(H5T_STD_U64LE);
  // As Keras stores it: two opaque bytes and a word.
  case 16: return H5Tcreate(H5T_OPAQUE, 2);
  default: return -1;
  }
}

int vc_h5_dataset(vc_h5_writer *writer, const char *path, int type, int rank, const uint64_t *dims, const void *elements) {
  hsize_t extent[H5S_MAX_RANK];
  if (rank > H5S_MAX_RANK) {
    snprintf(reason, sizeof reason, "more than %d axes", H5S_MAX_RANK);
    return -1;
  }
  uint64_t count = 1;
  for (int axis = 0; axis < rank; axis++) {
    extent[axis] = dims[axis];
    count *= dims[axis];
  }
  hid_t elements_type = element_type(type);
  if (elements_type < 0) {
    snprintf(reason, sizeof reason, "HDF5 has no such element type");
    return -1;
  }
  hid_t space = rank == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(rank, extent, NULL);
  // The same model gives the same bytes: no dataset bears the time of day.
  hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_obj_track_times(creation, 0);
  hid_t dataset = H5Dcreate2(writer->file, path, elements_type, space, writer->links, creation, H5P_DEFAULT);
  int status = dataset < 0 || (count && H5Dwrite(dataset, elements_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, elements) < 0) ? failed() : 0;
  H5Pclose(creation);
  if (dataset >= 0) H5Dclose(dataset);
  H5Sclose(space);
  H5Tclose(elements_type);
  if (status == 0 && type == 16) status = vc_h5_text(writer, path, "dtype", "bfloat16");
  return status;
}

int vc_h5_close(vc_h5_writer *writer) {
  H5Pclose(writer->links);
  int status = H5Fclose(writer->file) < 0 ? failed() : 0;
  free(writer);
  return status;
}

int64_t vc_h5_open_identifiers(void) {
  return vc_h5_prepare() ? 0 : H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL);
}
