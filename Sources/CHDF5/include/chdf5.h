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

/// A process that reads a file.
typedef struct {
  int process;
  /// Where it says what it found, and what it unpacked.
  int pipe, data;
} vc_h5_guard;

/// Starts to read the structure of the HDF5 file whose bytes are `image`, and to unpack those datasets that do not lie in
/// the file as they are used, in a process of its own. Only one call at a time, and none while a file is written.
///
/// `VC_H5_OK` hands over a guard to finish or to abandon; `VC_H5_SYSTEM` does not, and `message` says why.
vc_h5_status vc_h5_start(const void *image, size_t length, const vc_h5_limits *limits, vc_h5_guard *guard, char message[256]);

/// Waits for the end. On success `*catalogue` is a list of records to be freed by the caller (catalogue.c tells the format)
/// and `guard->data` a descriptor of the unpacked elements, to be closed by the caller. Otherwise `message` says what is wrong.
vc_h5_status vc_h5_finish(vc_h5_guard *guard, uint8_t **catalogue, size_t *catalogue_length, char message[256]);

/// Stops the process instead.
void vc_h5_abandon(vc_h5_guard *guard);

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

/// Files, groups, datasets, attributes and types that are open in this process, by which tests see that none is left behind.
int64_t vc_h5_open_identifiers(void);
