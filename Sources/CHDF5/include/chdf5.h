#pragma once
#include <stddef.h>
#include <stdint.h>

/// What a scan accepts; see ReadLimits.
typedef struct {
  /// Groups, datasets and links of one file.
  uint64_t objects;
  /// Nesting of groups.
  uint64_t depth;
  /// Bytes of names and attributes.
  uint64_t structure_bytes;
  /// Bytes of all datasets that must be unpacked.
  uint64_t decoded_bytes;
} vc_h5_limits;

/// How a scan ended.
typedef enum {
  VC_H5_OK = 0,
  VC_H5_MALFORMED = 1,
  VC_H5_TRUNCATED = 2,
  VC_H5_LIMIT = 3,
  VC_H5_EXTERNAL = 4,
  /// No process, no memory, no pipe.
  VC_H5_SYSTEM = 5,
  /// The process that read the file crashed or took too long.
  VC_H5_CRASHED = 6,
} vc_h5_status;

/// Reads the structure of the HDF5 file whose bytes are `image` in a process of its own, and unpacks those datasets that
/// do not lie in the file as they are used.
///
/// On success `*catalogue` is a list of records to be freed by the caller (the format stands above `scan` in scan.c) and
/// `*data` a descriptor of the unpacked elements, to be closed by the caller. Otherwise `message` says what is wrong.
vc_h5_status vc_h5_scan(
    const void *image, size_t length, const vc_h5_limits *limits, uint8_t **catalogue, size_t *catalogue_length, int *data, char message[256]);

/// A file under construction; NULL when it cannot be created.
typedef struct vc_h5_writer vc_h5_writer;
vc_h5_writer *vc_h5_create(const char *path);
/// Makes the group and those above it. 0 is success, here and below.
int vc_h5_group(vc_h5_writer *writer, const char *path);
/// A scalar variable-length UTF-8 string attribute.
int vc_h5_text(vc_h5_writer *writer, const char *path, const char *name, const char *text);
/// A one-dimensional attribute of strings: variable-length, and split into `name0`, `name1`, ... where fixed-length ones
/// would not fit the object's header. No strings give an empty array of numbers, as Keras writes it.
int vc_h5_texts(vc_h5_writer *writer, const char *path, const char *name, const char *const *texts, size_t count);
int vc_h5_integer(vc_h5_writer *writer, const char *path, const char *name, int64_t value);
/// A contiguous dataset; `type` is the number of ONNX's element type, `group` options as in Keras files.
int vc_h5_dataset(vc_h5_writer *writer, const char *path, int type, int rank, const uint64_t *dims, const void *elements);
/// Closes and frees; the file is complete only when this gives 0.
int vc_h5_close(vc_h5_writer *writer);
/// Why the last call of this thread failed.
const char *vc_h5_reason(void);

/// CRC-32 as zip archives use it.
uint32_t vc_crc32(uint32_t crc, const void *bytes, size_t length);
