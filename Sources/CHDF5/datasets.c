#define _GNU_SOURCE
#include "scan.h"
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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
    // One of each at most.
    if (*ratio > 1 << 21) return "several packing filters";
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
  // Each look-up walks the index from its start; the limit on memory stands behind the sample.
  for (hsize_t index = 0; !wrong && index < chunks && index < 512; index++) {
    hsize_t offset[H5S_MAX_RANK], stored = 0;
    unsigned mask;
    haddr_t address;
    if (H5Dget_chunk_info(dataset, space, index, offset, &mask, &address, &stored) < 0) wrong = "an index of chunks that cannot be read";
    else if (stored > nominal + nominal / 8 + 4096) wrong = "a chunk that is packed larger than it is";
  }
  H5Sclose(space);
  return wrong;
}

// Reads rows of chunks at a time, so that the library holds few of them; NULL, or why not.
static const char *read_rows(hid_t dataset, hid_t properties, const struct element *element, int rank, const hsize_t *dims, uint64_t byte_count,
    uint8_t *target) {
  hsize_t chunk[H5S_MAX_RANK] = {1};
  if (H5Pget_layout(properties) == H5D_CHUNKED) H5Pget_chunk(properties, H5S_MAX_RANK, chunk);
  uint64_t row = byte_count / dims[0];
  hsize_t rows = (4 << 20) / (row ? row : 1);
  rows = rows / chunk[0] * chunk[0];
  if (rows < chunk[0]) rows = chunk[0];
  const char *wrong = NULL;
  hid_t file_space = H5Dget_space(dataset);
  for (hsize_t first = 0; !wrong && first < dims[0]; first += rows) {
    hsize_t starts[H5S_MAX_RANK] = {first}, counts[H5S_MAX_RANK];
    memcpy(counts, dims, (size_t)rank * sizeof *counts);
    counts[0] = dims[0] - first < rows ? dims[0] - first : rows;
    hid_t memory_space = H5Screate_simple(rank, counts, NULL);
    if (H5Sselect_hyperslab(file_space, H5S_SELECT_SET, starts, NULL, counts, NULL) < 0 ||
        H5Dread(dataset, element->memory, memory_space, file_space, H5P_DEFAULT, target + first * row) < 0)
      wrong = vc_h5_library_reason();
    H5Sclose(memory_space);
  }
  H5Sclose(file_space);
  return wrong;
}

// Unpacks into the file of elements; NULL, or why not.
static const char *unpack(struct scan *scan, hid_t dataset, hid_t properties, const struct element *element, int rank, const hsize_t *dims,
    uint64_t byte_count, uint64_t *offset) {
  uint64_t start = (scan->decoded + 63) / 64 * 64;
  // What is mapped starts on a page.
  uint64_t page = start / 4096 * 4096;
  if (byte_count > scan->limits.decoded_bytes || start > scan->limits.decoded_bytes - byte_count) return "more to unpack than the limit allows";
  if (ftruncate(scan->data, (off_t)(start + byte_count)) != 0) return "no room to unpack it";
  uint8_t *map = mmap(NULL, start - page + byte_count, PROT_READ | PROT_WRITE, MAP_SHARED, scan->data, (off_t)page);
  if (map == MAP_FAILED) return "no memory to unpack it";
  uint8_t *target = map + (start - page);
  const char *wrong = NULL;
  if (rank == 0 || byte_count <= 4 << 20) {
    if (H5Dread(dataset, element->memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, target) < 0) wrong = vc_h5_library_reason();
  } else {
    wrong = read_rows(dataset, properties, element, rank, dims, byte_count, target);
  }
  if (element->type == 9) {
    for (uint64_t index = 0; index < byte_count; index++) target[index] = target[index] != 0;
  }
  munmap(map, start - page + byte_count);
  scan->decoded = start + byte_count;
  *offset = start;
  return wrong;
}

struct found {
  int rank;
  hsize_t dims[H5S_MAX_RANK];
  struct element element;
  /// As in the record.
  uint8_t place;
  uint64_t offset;
  /// Why it is refused, where it is.
  const char *reason;
  char text[96];
};

// Where elements lie that are not in the file as they are used.
static void find_stored(struct scan *scan, hid_t dataset, hid_t properties, H5D_layout_t layout, uint64_t stored, uint64_t byte_count,
    struct found *found) {
  uint64_t ratio = 4;
  found->reason = check_filters(dataset, properties, found->element.size, byte_count, &ratio, found->text);
  if (!found->reason && layout == H5D_CHUNKED && stored > scan->image_length) found->reason = "more stored bytes than the file has";
  // What was never written is all one value; a little of that is usual.
  if (!found->reason && byte_count > (1 << 20) && (byte_count - (1 << 20)) / ratio > stored) {
    snprintf(found->text, sizeof found->text, "%llu bytes, of which %llu are stored", (unsigned long long)byte_count, (unsigned long long)stored);
    found->reason = found->text;
  }
  if (!found->reason) found->reason = unpack(scan, dataset, properties, &found->element, found->rank, found->dims, byte_count, &found->offset);
  found->place = found->reason ? 3 : 1;
}

static void find(struct scan *scan, hid_t dataset, const char *path, hid_t type, hid_t space, struct found *found) {
  uint64_t count = 0, byte_count = 0, file_count = 0;
  found->place = 3;
  if (!vc_h5_extent(space, &found->rank, found->dims, &count)) {
    found->rank = 0;
    found->reason = "dimensions whose product overflows";
  } else {
    found->reason = vc_h5_element(type, &found->element);
  }
  if (!found->reason && (__builtin_mul_overflow(count, found->element.size, &byte_count) || byte_count > INT64_MAX ||
                         __builtin_mul_overflow(count, H5Tget_size(type), &file_count)))
    found->reason = "dimensions whose product overflows";
  // Only contiguous storage in this file has an address; but where there is a user block, its size is added to "none" too.
  haddr_t address = H5Dget_offset(dataset);
  uint64_t stored = H5Dget_storage_size(dataset);
  bool lies = address != HADDR_UNDEF && stored > 0 && !scan->has_user_block;
  hid_t properties = H5I_INVALID_HID;
  H5D_layout_t layout = H5D_CONTIGUOUS;
  if (!lies || !found->element.plain) {
    properties = H5Dget_create_plist(dataset);
    if (properties < 0) vc_h5_end_scan(VC_H5_MALFORMED, vc_h5_library_reason(), NULL);
    layout = H5Pget_layout(properties);
    if (layout == H5D_VIRTUAL || H5Pget_external_count(properties) != 0) vc_h5_end_scan(VC_H5_EXTERNAL, path, NULL);
    lies = address != HADDR_UNDEF && stored > 0 && layout == H5D_CONTIGUOUS;
  }
  if (!found->reason && byte_count == 0) {
    found->place = 2;
  } else if (!found->reason && lies && (stored != file_count || address > scan->image_length || stored > scan->image_length - address)) {
    found->reason = "data beyond the end of the file";
  } else if (!found->reason && lies && found->element.plain) {
    found->place = 0;
    found->offset = address;
  } else if (!found->reason) {
    find_stored(scan, dataset, properties, layout, stored, byte_count, found);
  }
  if (properties >= 0) H5Pclose(properties);
}

void vc_h5_scan_dataset(struct scan *scan, hid_t dataset, const char *path) {
  hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
  if (type < 0 || space < 0) vc_h5_end_scan(VC_H5_MALFORMED, vc_h5_library_reason(), NULL);
  struct found found = {0};
  find(scan, dataset, path, type, space, &found);
  vc_h5_put_byte(scan, 'D');
  vc_h5_put_text(scan, path);
  vc_h5_put_byte(scan, found.element.type);
  vc_h5_put_byte(scan, found.place);
  vc_h5_put_number(scan, found.offset);
  vc_h5_put_byte(scan, (uint8_t)found.rank);
  for (int axis = 0; axis < found.rank; axis++) vc_h5_put_number(scan, found.dims[axis]);
  vc_h5_put_text(scan, found.reason ? found.reason : "");
  if (found.element.owns_memory) H5Tclose(found.element.memory);
  H5Sclose(space);
  H5Tclose(type);
  vc_h5_scan_attributes(scan, dataset);
}
