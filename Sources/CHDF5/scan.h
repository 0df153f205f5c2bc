#pragma once
#include "chdf5.h"
#include "library.h"
#include <stdbool.h>

// What the files of the scan share. A scan runs in the child process alone (guard.c), which ends where something is wrong:
// identifiers and memory are given back then.

struct scan {
  vc_h5_limits limits;
  size_t image_length;
  bool has_user_block;
  /// The catalogue so far.
  uint8_t *bytes;
  size_t length, capacity;
  uint64_t objects, structure;
  /// The file of unpacked elements, and what it holds.
  int data;
  uint64_t decoded;
  /// Objects met, by address: open addressing.
  struct seen { haddr_t address; uint64_t path; } *seen;
  size_t seen_count, seen_capacity;
  /// First paths, in order of meeting.
  char **paths;
  size_t path_count, path_capacity;
};

/// Tells the parent how the scan ended, and ends the process.
_Noreturn void vc_h5_end_scan(vc_h5_status status, const char *message, const struct scan *scan);

/// Gives the scan a tenth of a second more: every 1024 objects of a file take that.
void vc_h5_extend_clock(void);

/// Counts an object, attribute or link.
void vc_h5_count(struct scan *scan, const char *of_what);
/// `realloc` that ends the scan where there is no memory.
void *vc_h5_grown(void *memory, size_t size);

// MARK: Records (catalogue.c)

void vc_h5_put(struct scan *scan, const void *bytes, size_t length);
void vc_h5_put_byte(struct scan *scan, uint8_t value);
void vc_h5_put_count(struct scan *scan, uint32_t value);
void vc_h5_put_number(struct scan *scan, uint64_t value);
void vc_h5_put_text_of(struct scan *scan, const char *text, size_t length);
void vc_h5_put_text(struct scan *scan, const char *text);
/// Bytes of structure that are no text.
void vc_h5_charge(struct scan *scan, uint64_t bytes);

/// What the library says of its last error, where it noticed it.
const char *vc_h5_library_reason(void);

// MARK: Element types (elements.c)

struct element {
  /// ONNX's number; 0 none; 200 two opaque bytes.
  uint8_t type;
  size_t size;
  /// Whether the bytes in the file are the elements as they are used.
  bool plain;
  /// What to convert to otherwise.
  hid_t memory;
  /// Whether `memory` was made here, and is to be closed.
  bool owns_memory;
};

/// NULL, or why the type is no array of numbers.
const char *vc_h5_element(hid_t type, struct element *element);

// MARK: Parts of the scan

/// The axes and the number of elements of a dataspace; false where it overflows, which the library does not notice.
bool vc_h5_extent(hid_t space, int *rank, hsize_t dims[H5S_MAX_RANK], uint64_t *count);
void vc_h5_scan_attributes(struct scan *scan, hid_t object);
void vc_h5_scan_dataset(struct scan *scan, hid_t dataset, const char *path);
/// The whole file, whose bytes are `image`.
void vc_h5_scan_image(struct scan *scan, const void *image);
