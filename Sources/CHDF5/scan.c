#define _GNU_SOURCE
#include "chdf5.h"
#include "library.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

// libhdf5 trusts what it reads in many places, so a broken file can crash it or keep it busy for ever. It therefore reads
// in a child process with limits on memory and processor time, which hands back a list of records and a file of unpacked
// elements. The child is one thread, calls nothing but C, and ends with _exit: identifiers and memory are given back then.
//
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

struct scan {
  vc_h5_limits limits;
  size_t image_length;
  uint8_t *bytes;
  size_t length, capacity;
  uint64_t objects, structure, decoded;
  int data;
  // Objects met, by address: open addressing.
  struct seen { haddr_t address; uint64_t path; } *seen;
  size_t seen_count, seen_capacity;
  // First paths, in order of meeting.
  char **paths;
  size_t path_count, path_capacity;
};

struct result {
  uint32_t status;
  char message[256];
};

static int report_descriptor = -1;

static _Noreturn void finish(uint32_t status, const char *message, const struct scan *scan) {
  struct result result = {.status = status};
  if (message) snprintf(result.message, sizeof result.message, "%s", message);
  const uint8_t *parts[2] = {(const uint8_t *)&result, scan ? scan->bytes : NULL};
  size_t lengths[2] = {sizeof result, scan && status == VC_H5_OK ? scan->length : 0};
  for (int part = 0; part < 2; part++) {
    for (size_t done = 0; done < lengths[part];) {
      ssize_t wrote = write(report_descriptor, parts[part] + done, lengths[part] - done);
      if (wrote < 0 && errno != EINTR) _exit(1);
      if (wrote > 0) done += (size_t)wrote;
    }
  }
  _exit(0);
}

// The processor time that the whole file may take: half a second for its structure, and more by its size, at a rate that
// unpacking never falls below.
static void start_clock(size_t image_length) {
  struct itimerval time = {.it_value = {.tv_sec = (time_t)(image_length >> 23), .tv_usec = 500000}};
  setitimer(ITIMER_PROF, &time, NULL);
}

static void *grown(void *memory, size_t size) {
  void *result = realloc(memory, size);
  if (!result) finish(VC_H5_LIMIT, "the file's structure takes too much memory", NULL);
  return result;
}

static void put(struct scan *scan, const void *bytes, size_t length) {
  if (scan->length + length > scan->capacity) {
    scan->capacity = (scan->length + length) * 2 + 4096;
    scan->bytes = grown(scan->bytes, scan->capacity);
  }
  if (length) memcpy(scan->bytes + scan->length, bytes, length);
  scan->length += length;
}

static void put_byte(struct scan *scan, uint8_t value) { put(scan, &value, 1); }
static void put_count(struct scan *scan, uint32_t value) { put(scan, &value, 4); }
static void put_number(struct scan *scan, uint64_t value) { put(scan, &value, 8); }
static void put_text_of(struct scan *scan, const char *text, size_t length) {
  scan->structure += length + 16;
  if (scan->structure > scan->limits.structure_bytes) finish(VC_H5_LIMIT, "names and attributes are larger than any checkpoint's", NULL);
  put_count(scan, (uint32_t)length);
  put(scan, text, length);
}
static void put_text(struct scan *scan, const char *text) { put_text_of(scan, text, strlen(text)); }

// MARK: Errors

static herr_t innermost(unsigned index, const H5E_error2_t *error, void *data) {
  (void)index;
  if (error->desc && *error->desc) snprintf(data, 200, "%s", error->desc);
  return 0;
}

static const char *library_reason(void) {
  static char text[200];
  text[0] = 0;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, innermost, text);
  if (!text[0]) snprintf(text, sizeof text, "the library gives no reason");
  return text;
}

// The first description, which is the deepest one.
static herr_t deepest(unsigned index, const H5E_error2_t *error, void *data) {
  if (index == 0 && error->desc) snprintf(data, 200, "%s", error->desc);
  return 0;
}

static const char *deepest_reason(void) {
  static char text[200];
  text[0] = 0;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, deepest, text);
  return text[0] ? text : library_reason();
}

// MARK: Objects met before

static size_t slot(const struct scan *scan, haddr_t address) {
  size_t index = (size_t)((address * 0x9E3779B97F4A7C15u) >> 20) & (scan->seen_capacity - 1);
  while (scan->seen[index].path && scan->seen[index].address != address) index = (index + 1) & (scan->seen_capacity - 1);
  return index;
}

// The first path of the object, or NULL, and then `path` is it from now on.
static const char *met(struct scan *scan, haddr_t address, const char *path) {
  if (scan->seen_count * 2 >= scan->seen_capacity) {
    struct seen *old = scan->seen;
    size_t count = scan->seen_capacity;
    scan->seen_capacity = count ? count * 2 : 256;
    scan->seen = calloc(scan->seen_capacity, sizeof *scan->seen);
    if (!scan->seen) finish(VC_H5_LIMIT, "the file's structure takes too much memory", NULL);
    for (size_t index = 0; index < count; index++)
      if (old[index].path) scan->seen[slot(scan, old[index].address)] = old[index];
    free(old);
  }
  size_t index = slot(scan, address);
  if (scan->seen[index].path) return scan->paths[scan->seen[index].path - 1];
  if (scan->path_count == scan->path_capacity) {
    scan->path_capacity = scan->path_capacity * 2 + 64;
    scan->paths = grown(scan->paths, scan->path_capacity * sizeof *scan->paths);
  }
  scan->paths[scan->path_count++] = strdup(path);
  scan->seen[index].address = address;
  scan->seen[index].path = scan->path_count;
  scan->seen_count++;
  return NULL;
}

// MARK: Attributes

static void scan_strings(struct scan *scan, hid_t attribute, hid_t type, const char *name, bool scalar, uint64_t count) {
  size_t size = H5Tget_size(type);
  bool variable = H5Tis_variable_str(type) > 0;
  if (count > scan->limits.structure_bytes / (variable ? sizeof(char *) : size + 1)) finish(VC_H5_LIMIT, "an attribute is larger than any checkpoint's", NULL);
  put_byte(scan, 'T');
  put_text(scan, name);
  put_byte(scan, scalar);
  put_count(scan, (uint32_t)count);
  if (!count) return;
  if (variable) {
    char **texts = calloc(count, sizeof *texts);
    hid_t memory = H5Tcopy(H5T_C_S1);
    H5Tset_size(memory, H5T_VARIABLE);
    H5Tset_cset(memory, H5Tget_cset(type));
    if (!texts || H5Aread(attribute, memory, texts) < 0) finish(VC_H5_MALFORMED, deepest_reason(), NULL);
    for (uint64_t index = 0; index < count; index++) put_text(scan, texts[index] ? texts[index] : "");
    hid_t space = H5Aget_space(attribute);
    H5Dvlen_reclaim(memory, space, H5P_DEFAULT, texts);
    H5Sclose(space);
    H5Tclose(memory);
    free(texts);
  } else {
    char *texts = malloc(count * size + 1);
    if (!texts || H5Aread(attribute, type, texts) < 0) finish(VC_H5_MALFORMED, deepest_reason(), NULL);
    bool padded = H5Tget_strpad(type) == H5T_STR_SPACEPAD;
    for (uint64_t index = 0; index < count; index++) {
      const char *text = texts + index * size;
      size_t length = strnlen(text, size);
      while (padded && length && text[length - 1] == ' ') length--;
      put_text_of(scan, text, length);
    }
    free(texts);
  }
}

static void scan_numbers(struct scan *scan, hid_t attribute, char kind, const char *name, bool scalar, uint64_t count) {
  if (count > scan->limits.structure_bytes / 8) finish(VC_H5_LIMIT, "an attribute is larger than any checkpoint's", NULL);
  put_byte(scan, (uint8_t)kind);
  put_text(scan, name);
  put_byte(scan, scalar);
  put_count(scan, (uint32_t)count);
  if (!count) return;
  scan->structure += count * 8;
  void *values = calloc(count, 8);
  if (!values || H5Aread(attribute, kind == 'I' ? H5T_NATIVE_INT64 : H5T_NATIVE_DOUBLE, values) < 0) finish(VC_H5_MALFORMED, deepest_reason(), NULL);
  put(scan, values, count * 8);
  free(values);
}

// The number of elements of a dataspace; false where it overflows, which H5Sget_simple_extent_npoints does not notice.
static bool extent(hid_t space, int *rank, hsize_t dims[H5S_MAX_RANK], uint64_t *count) {
  *rank = 0;
  *count = 0;
  H5S_class_t kind = H5Sget_simple_extent_type(space);
  if (kind == H5S_NULL) {
    *rank = 1;
    dims[0] = 0;
    return true;
  }
  *count = 1;
  if (kind == H5S_SCALAR) return true;
  *rank = H5Sget_simple_extent_dims(space, dims, NULL);
  if (*rank < 0 || *rank > H5S_MAX_RANK) return false;
  bool empty = false;
  for (int axis = 0; axis < *rank; axis++) empty |= dims[axis] == 0;
  for (int axis = 0; axis < *rank; axis++) {
    if (empty ? dims[axis] > INT64_MAX : __builtin_mul_overflow(*count, dims[axis], count)) return false;
  }
  if (empty) *count = 0;
  return *count <= INT64_MAX;
}

static herr_t scan_attribute(hid_t object, const char *name, const H5A_info_t *info, void *data) {
  (void)info;
  struct scan *scan = data;
  if (++scan->objects > scan->limits.objects) finish(VC_H5_LIMIT, "more attributes than any checkpoint has", NULL);
  hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
  if (attribute < 0) finish(VC_H5_MALFORMED, deepest_reason(), NULL);
  hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
  int rank;
  hsize_t dims[H5S_MAX_RANK];
  uint64_t count;
  if (type < 0 || space < 0 || !extent(space, &rank, dims, &count)) finish(VC_H5_MALFORMED, "an attribute's type or shape cannot be read", NULL);
  switch (H5Tget_class(type)) {
  case H5T_STRING: scan_strings(scan, attribute, type, name, rank == 0, count); break;
  case H5T_INTEGER: scan_numbers(scan, attribute, 'I', name, rank == 0, count); break;
  case H5T_FLOAT: scan_numbers(scan, attribute, 'F', name, rank == 0, count); break;
  default:
    put_byte(scan, 'X');
    put_text(scan, name);
  }
  H5Sclose(space);
  H5Tclose(type);
  H5Aclose(attribute);
  return 0;
}

static void scan_attributes(struct scan *scan, hid_t object) {
  hsize_t position = 0;
  if (H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_INC, &position, scan_attribute, scan) < 0) finish(VC_H5_MALFORMED, deepest_reason(), NULL);
}

// MARK: Element types

enum { TYPE_NONE = 0, FLOAT32 = 1, UINT8 = 2, INT8 = 3, UINT16 = 4, INT16 = 5, INT32 = 6, INT64 = 7, BOOL = 9, FLOAT16 = 10, FLOAT64 = 11, UINT32 = 12,
       UINT64 = 13, BFLOAT16 = 16, OPAQUE2 = 200 };

struct element {
  uint8_t type;
  size_t size;
  // Whether the bytes in the file are the elements as they are used.
  bool plain;
  // What to convert to otherwise; 0 swaps bytes.
  hid_t memory;
};

static bool has_fields(hid_t type, size_t sign, size_t exponent, size_t exponent_size, size_t mantissa_size, size_t bias) {
  size_t spos, epos, esize, mpos, msize;
  return H5Tget_fields(type, &spos, &epos, &esize, &mpos, &msize) >= 0 && spos == sign && epos == exponent && esize == exponent_size && mpos == 0 &&
         msize == mantissa_size && H5Tget_ebias(type) == bias && H5Tget_precision(type) == sign + 1 && H5Tget_offset(type) == 0 &&
         H5Tget_norm(type) == H5T_NORM_IMPLIED;
}

// NULL, or why the type is no array of numbers.
static const char *element_of(hid_t type, struct element *element) {
  size_t size = H5Tget_size(type);
  H5T_order_t order = H5Tget_order(type);
  bool little = order == H5T_ORDER_LE || order == H5T_ORDER_NONE;
  *element = (struct element){.size = size, .plain = little};
  switch (H5Tget_class(type)) {
  case H5T_FLOAT:
    if (size == 4 && has_fields(type, 31, 23, 8, 23, 127)) {
      element->type = FLOAT32;
      element->memory = H5T_NATIVE_FLOAT;
    } else if (size == 8 && has_fields(type, 63, 52, 11, 52, 1023)) {
      element->type = FLOAT64;
      element->memory = H5T_NATIVE_DOUBLE;
    } else if (size == 2 && has_fields(type, 15, 10, 5, 10, 15)) {
      element->type = FLOAT16;
      hid_t half = H5Tcopy(type);
      H5Tset_order(half, H5T_ORDER_LE);
      element->memory = half;
    } else if (size == 2 && has_fields(type, 15, 7, 8, 7, 127) && little) {
      element->type = BFLOAT16;
      element->memory = type;
    } else if (size <= 4) {
      *element = (struct element){.type = FLOAT32, .size = 4, .memory = H5T_NATIVE_FLOAT};
    } else {
      *element = (struct element){.type = FLOAT64, .size = 8, .memory = H5T_NATIVE_DOUBLE};
    }
    return NULL;
  case H5T_INTEGER: {
    bool is_signed = H5Tget_sign(type) == H5T_SGN_2;
    if (H5Tget_precision(type) != size * 8) element->plain = false;
    switch (size) {
    case 1: element->type = is_signed ? INT8 : UINT8; element->memory = is_signed ? H5T_NATIVE_INT8 : H5T_NATIVE_UINT8; return NULL;
    case 2: element->type = is_signed ? INT16 : UINT16; element->memory = is_signed ? H5T_NATIVE_INT16 : H5T_NATIVE_UINT16; return NULL;
    case 4: element->type = is_signed ? INT32 : UINT32; element->memory = is_signed ? H5T_NATIVE_INT32 : H5T_NATIVE_UINT32; return NULL;
    case 8: element->type = is_signed ? INT64 : UINT64; element->memory = is_signed ? H5T_NATIVE_INT64 : H5T_NATIVE_UINT64; return NULL;
    default: return "integers of an unusual width";
    }
  }
  case H5T_ENUM: {
    // h5py's bool.
    hid_t base = H5Tget_super(type);
    bool is_bool = size == 1 && H5Tget_nmembers(type) == 2 && H5Tget_class(base) == H5T_INTEGER;
    for (unsigned index = 0; is_bool && index < 2; index++) {
      char *name = H5Tget_member_name(type, index);
      signed char value = 2;
      H5Tget_member_value(type, index, &value);
      is_bool = name && ((value == 0 && !strcmp(name, "FALSE")) || (value == 1 && !strcmp(name, "TRUE")));
      H5free_memory(name);
    }
    H5Tclose(base);
    if (!is_bool) return "an enumeration that is no bool";
    element->type = BOOL;
    element->memory = type;
    return NULL;
  }
  case H5T_OPAQUE:
    if (size != 2) return "opaque bytes";
    element->type = OPAQUE2;
    element->memory = type;
    element->plain = true;
    return NULL;
  case H5T_STRING: return "strings, not numbers";
  case H5T_COMPOUND: return "compound elements (complex numbers or records)";
  case H5T_ARRAY: return "elements that are arrays";
  case H5T_REFERENCE: return "references, not numbers";
  case H5T_VLEN: return "elements of varying length";
  default: return "elements that are no numbers";
  }
}

// MARK: Datasets

// NULL, or why the chunks are not unpacked. `ratio` becomes how much the filters may at best have saved.
static const char *check_filters(hid_t dataset, hid_t properties, size_t element_size, uint64_t byte_count, uint64_t *ratio, char text[96]) {
  int count = H5Pget_nfilters(properties);
  if (count < 0 || count > 32) return "a list of filters that cannot be read";
  for (int index = 0; index < count; index++) {
    unsigned flags, configuration;
    size_t values = 0;
    H5Z_filter_t filter = H5Pget_filter2(properties, (unsigned)index, &flags, &values, NULL, 0, NULL, &configuration);
    if (filter < 0) return "a filter that cannot be read";
    if (H5Zfilter_avail(filter) <= 0) {
      snprintf(text, 96, "filter %d, which is not available", (int)filter);
      return text;
    }
    if (filter == H5Z_FILTER_DEFLATE) *ratio *= 1040;
    if (filter == H5Z_FILTER_SZIP || filter == H5Z_FILTER_NBIT || filter == H5Z_FILTER_SCALEOFFSET) *ratio *= 256;
    if (*ratio > 1 << 20) return "several packing filters";
  }
  if (H5Pget_layout(properties) != H5D_CHUNKED) return NULL;
  hsize_t dims[H5S_MAX_RANK];
  int rank = H5Pget_chunk(properties, H5S_MAX_RANK, dims);
  uint64_t nominal = element_size;
  for (int axis = 0; axis < rank; axis++)
    if (__builtin_mul_overflow(nominal, dims[axis], &nominal)) return "chunks whose size overflows";
  if (nominal > (1 << 20) && nominal / 64 > byte_count) return "chunks far larger than the dataset";
  if (count == 0) return NULL;
  hid_t space = H5Dget_space(dataset);
  hsize_t chunks = 0;
  const char *wrong = NULL;
  if (H5Dget_num_chunks(dataset, space, &chunks) < 0) wrong = "an index of chunks that cannot be read";
  // Each look-up walks the index; the limit on memory stands behind the sample.
  for (hsize_t index = 0; !wrong && index < chunks && index < 4096; index++) {
    hsize_t offset[H5S_MAX_RANK], stored = 0;
    unsigned mask;
    haddr_t address;
    if (H5Dget_chunk_info(dataset, space, index, offset, &mask, &address, &stored) < 0) wrong = "an index of chunks that cannot be read";
    else if (stored > nominal + nominal / 8 + 4096) wrong = "a chunk that is packed larger than it is";
  }
  H5Sclose(space);
  return wrong;
}


// Unpacks into the file of elements; NULL, or why not.
static const char *unpack(struct scan *scan, hid_t dataset, hid_t properties, const struct element *element, int rank, const hsize_t *dims,
    uint64_t byte_count, uint64_t *offset) {
  uint64_t start = (scan->decoded + 4095) / 4096 * 4096;
  if (byte_count > scan->limits.decoded_bytes || start > scan->limits.decoded_bytes - byte_count) return "more to unpack than the limit allows";
  if (ftruncate(scan->data, (off_t)(start + byte_count)) != 0) return "no room to unpack it";
  uint8_t *target = mmap(NULL, byte_count, PROT_READ | PROT_WRITE, MAP_SHARED, scan->data, (off_t)start);
  if (target == MAP_FAILED) return "no memory to unpack it";
  const char *wrong = NULL;
  if (rank == 0 || byte_count <= 4 << 20) {
    if (H5Dread(dataset, element->memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, target) < 0) wrong = deepest_reason();
  } else {
    // Whole rows of chunks at a time.
    hsize_t chunk[H5S_MAX_RANK] = {1}, rows;
    if (H5Pget_layout(properties) == H5D_CHUNKED) H5Pget_chunk(properties, H5S_MAX_RANK, chunk);
    uint64_t row = byte_count / dims[0];
    rows = (4 << 20) / (row ? row : 1);
    rows = rows / chunk[0] * chunk[0];
    if (rows < chunk[0]) rows = chunk[0];
    hid_t file_space = H5Dget_space(dataset);
    for (hsize_t first = 0; !wrong && first < dims[0]; first += rows) {
      hsize_t starts[H5S_MAX_RANK] = {first}, counts[H5S_MAX_RANK];
      memcpy(counts, dims, (size_t)rank * sizeof *counts);
      counts[0] = dims[0] - first < rows ? dims[0] - first : rows;
      hid_t memory_space = H5Screate_simple(rank, counts, NULL);
      if (H5Sselect_hyperslab(file_space, H5S_SELECT_SET, starts, NULL, counts, NULL) < 0 ||
          H5Dread(dataset, element->memory, memory_space, file_space, H5P_DEFAULT, target + first * row) < 0)
        wrong = deepest_reason();
      H5Sclose(memory_space);
    }
    H5Sclose(file_space);
  }
  munmap(target, byte_count);
  scan->decoded = start + byte_count;
  *offset = start;
  return wrong;
}

static void scan_dataset(struct scan *scan, hid_t dataset, const char *path) {
  hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset), properties = H5Dget_create_plist(dataset);
  int rank = 0;
  hsize_t dims[H5S_MAX_RANK];
  uint64_t count = 0, offset = 0;
  uint8_t place = 3;
  char text[96];
  const char *reason = NULL;
  struct element element = {0};
  if (type < 0 || space < 0 || properties < 0) finish(VC_H5_MALFORMED, deepest_reason(), NULL);
  if (H5Pget_external_count(properties) != 0) finish(VC_H5_EXTERNAL, path, NULL);
  H5D_layout_t layout = H5Pget_layout(properties);
  if (layout == H5D_VIRTUAL) finish(VC_H5_EXTERNAL, path, NULL);
  if (!extent(space, &rank, dims, &count)) {
    reason = "dimensions whose product overflows";
    rank = 0;
  } else {
    reason = element_of(type, &element);
  }
  uint64_t byte_count = 0;
  if (!reason && (__builtin_mul_overflow(count, element.size, &byte_count) || byte_count > INT64_MAX)) reason = "dimensions whose product overflows";
  if (!reason && byte_count == 0) {
    place = 2;
  } else if (!reason) {
    haddr_t address = layout == H5D_CONTIGUOUS ? H5Dget_offset(dataset) : HADDR_UNDEF;
    uint64_t stored = H5Dget_storage_size(dataset), ratio = 4;
    // What was never stored has no address, to which a user block may have been added.
    if (address != HADDR_UNDEF && stored > 0 && element.plain) {
      place = 0;
      offset = address;
      if (stored != byte_count || address > scan->image_length || byte_count > scan->image_length - address) {
        place = 3;
        reason = "data beyond the end of the file";
      }
    } else {
      reason = check_filters(dataset, properties, element.size, byte_count, &ratio, text);
      if (!reason && layout == H5D_CHUNKED && stored > scan->image_length) reason = "more stored bytes than the file has";
      // What was never written is all one value; a little of that is usual.
      if (!reason && byte_count > (1 << 20) && (byte_count - (1 << 20)) / ratio > stored) {
        snprintf(text, sizeof text, "%llu bytes, of which %llu are stored", (unsigned long long)byte_count, (unsigned long long)stored);
        reason = text;
      }
      if (!reason) reason = unpack(scan, dataset, properties, &element, rank, dims, byte_count, &offset);
      place = reason ? 3 : 1;
    }
  }
  put_byte(scan, 'D');
  put_text(scan, path);
  put_byte(scan, element.type);
  put_byte(scan, place);
  put_number(scan, offset);
  put_byte(scan, (uint8_t)rank);
  for (int axis = 0; axis < rank; axis++) put_number(scan, dims[axis]);
  put_text(scan, reason ? reason : "");
  H5Pclose(properties);
  H5Sclose(space);
  H5Tclose(type);
  scan_attributes(scan, dataset);
}

// MARK: Groups

struct visit {
  struct scan *scan;
  const char *path;
  uint64_t depth;
};

static void scan_object(struct scan *scan, hid_t object, const char *path, uint64_t depth);

static herr_t scan_link(hid_t group, const char *name, const H5L_info_t *info, void *data) {
  struct visit *visit = data;
  struct scan *scan = visit->scan;
  if (++scan->objects > scan->limits.objects) finish(VC_H5_LIMIT, "more groups and datasets than any checkpoint has", NULL);
  size_t length = strlen(visit->path) + strlen(name) + 2;
  char *path = malloc(length);
  if (!path) finish(VC_H5_LIMIT, "the file's structure takes too much memory", NULL);
  snprintf(path, length, "%s%s%s", visit->path, *visit->path ? "/" : "", name);
  if (info->type != H5L_TYPE_HARD && info->type != H5L_TYPE_SOFT) finish(VC_H5_EXTERNAL, path, NULL);
  hid_t object = H5Oopen(group, name, H5P_DEFAULT);
  H5O_info_t facts;
  if (object < 0) {
    if (info->type == H5L_TYPE_HARD) finish(VC_H5_MALFORMED, deepest_reason(), NULL);
    // A soft link that leads nowhere, or in a circle.
    put_byte(scan, 'L');
    put_text(scan, path);
    put_text(scan, "");
  } else if (H5Oget_info2(object, &facts, H5O_INFO_BASIC) < 0) {
    finish(VC_H5_MALFORMED, deepest_reason(), NULL);
  } else {
    const char *first = met(scan, facts.addr, path);
    if (first) {
      put_byte(scan, 'L');
      put_text(scan, path);
      put_text(scan, *first ? first : "/");
    } else {
      scan_object(scan, object, path, visit->depth + 1);
    }
  }
  if (object >= 0) H5Oclose(object);
  free(path);
  return 0;
}

static void scan_object(struct scan *scan, hid_t object, const char *path, uint64_t depth) {
  if (depth > scan->limits.depth) finish(VC_H5_LIMIT, "groups are nested deeper than any checkpoint's", NULL);
  switch (H5Iget_type(object)) {
  case H5I_GROUP: {
    put_byte(scan, 'G');
    put_text(scan, path);
    scan_attributes(scan, object);
    struct visit visit = {scan, path, depth};
    hsize_t position = 0;
    if (H5Literate(object, H5_INDEX_NAME, H5_ITER_INC, &position, scan_link, &visit) < 0) finish(VC_H5_MALFORMED, deepest_reason(), NULL);
    break;
  }
  case H5I_DATASET: scan_dataset(scan, object, path); break;
  default: break;
  }
}

// MARK: Processes

static _Noreturn void read_in_child(const void *image, size_t length, const vc_h5_limits *limits, int data) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (int number = 1; number < 32; number++) signal(number, SIG_DFL);
  struct rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  // The address space there is, and room for the library and for what is unpacked.
  unsigned long pages = 0;
  FILE *statistics = fopen("/proc/self/statm", "r");
  if (statistics && fscanf(statistics, "%lu", &pages) == 1) {
    rlim_t size = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + (224u << 20) + limits->decoded_bytes;
    struct rlimit memory = {size, size};
    setrlimit(RLIMIT_AS, &memory);
  }
  if (statistics) fclose(statistics);
  start_clock(length);
  // The library keeps this for each thread.
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  struct scan scan = {.limits = *limits, .image_length = length, .data = data};
  hid_t file = H5LTopen_file_image((void *)image, length, H5LT_FILE_IMAGE_DONT_COPY | H5LT_FILE_IMAGE_DONT_RELEASE);
  if (file < 0) {
    const char *reason = deepest_reason();
    finish(strstr(reason, "truncated file") ? VC_H5_TRUNCATED : VC_H5_MALFORMED, reason, NULL);
  }
  hid_t root = H5Gopen2(file, "/", H5P_DEFAULT);
  H5O_info_t facts;
  if (root < 0 || H5Oget_info2(root, &facts, H5O_INFO_BASIC) < 0) finish(VC_H5_MALFORMED, deepest_reason(), NULL);
  met(&scan, facts.addr, "");
  scan_object(&scan, root, "", 0);
  finish(VC_H5_OK, NULL, &scan);
}

static vc_h5_status collect(int from, pid_t child, uint8_t **bytes, size_t *length, char message[256]) {
  size_t capacity = 1 << 16, used = 0;
  uint8_t *all = malloc(capacity);
  bool late = false;
  while (all) {
    struct pollfd wait = {.fd = from, .events = POLLIN};
    // Processor time is limited in the child; this is for a child that sleeps.
    int ready = poll(&wait, 1, 600000);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) {
      late = true;
      break;
    }
    if (used == capacity) {
      uint8_t *more = realloc(all, capacity * 2);
      if (!more) break;
      all = more;
      capacity *= 2;
    }
    ssize_t got = read(from, all + used, capacity - used);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    used += (size_t)got;
  }
  if (late || !all) kill(child, SIGKILL);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
  struct result result;
  if (late || !all || !WIFEXITED(status) || WEXITSTATUS(status) != 0 || used < sizeof result) {
    free(all);
    if (WIFSIGNALED(status)) {
      int number = WTERMSIG(status);
      snprintf(message, 256, "%s", number == SIGPROF ? "reading its structure does not come to an end" : "the HDF5 library fails on its structure");
    } else {
      snprintf(message, 256, "%s", late ? "reading its structure does not come to an end" : "the HDF5 library ended early");
    }
    return VC_H5_CRASHED;
  }
  memcpy(&result, all, sizeof result);
  if (result.status != VC_H5_OK) {
    result.message[sizeof result.message - 1] = 0;
    memcpy(message, result.message, 256);
    free(all);
    return result.status;
  }
  memmove(all, all + sizeof result, used - sizeof result);
  *bytes = all;
  *length = used - sizeof result;
  return VC_H5_OK;
}

vc_h5_status vc_h5_scan(
    const void *image, size_t length, const vc_h5_limits *limits, uint8_t **catalogue, size_t *catalogue_length, int *data, char message[256]) {
  // Here and not in the child: another thread may hold the loader's lock when the process forks.
  const char *reason = vc_h5_prepare();
  if (reason) {
    snprintf(message, 256, "%s", reason);
    return VC_H5_SYSTEM;
  }
  int ends[2];
  *data = memfd_create("vitconv-hdf5", MFD_CLOEXEC);
  if (*data < 0 || pipe2(ends, 02000000 /* O_CLOEXEC */) != 0) {
    snprintf(message, 256, "%s", strerror(errno));
    if (*data >= 0) close(*data);
    return VC_H5_SYSTEM;
  }
  pid_t child = fork();
  if (child < 0) {
    snprintf(message, 256, "%s", strerror(errno));
    close(ends[0]);
    close(ends[1]);
    close(*data);
    return VC_H5_SYSTEM;
  }
  if (child == 0) {
    close(ends[0]);
    report_descriptor = ends[1];
    read_in_child(image, length, limits, *data);
  }
  close(ends[1]);
  vc_h5_status status = collect(ends[0], child, catalogue, catalogue_length, message);
  close(ends[0]);
  if (status != VC_H5_OK) close(*data);
  return status;
}
