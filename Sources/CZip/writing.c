#include "czip.h"
#include "library.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

struct vc_zip_writer {
  zip_t *archive;
  int file;
  uint64_t position, length;
  zip_error_t error;
};

static zip_int64_t write_file(void *state, void *data, zip_uint64_t length, zip_source_cmd_t command) {
  struct vc_zip_writer *target = state;
  switch (command) {
  case ZIP_SOURCE_BEGIN_WRITE: target->position = 0; return 0;
  case ZIP_SOURCE_WRITE: {
    ssize_t count;
    do count = pwrite(target->file, data, length, (off_t)target->position);
    while (count < 0 && errno == EINTR);
    if (count < 0) {
      vc_libzip.zip_error_set(&target->error, ZIP_ER_WRITE, errno);
      return -1;
    }
    target->position += (uint64_t)count;
    if (target->position > target->length) target->length = target->position;
    return count;
  }
  case ZIP_SOURCE_SEEK_WRITE: {
    zip_int64_t place = vc_libzip.zip_source_seek_compute_offset(target->position, target->length, data, length, &target->error);
    if (place < 0) return -1;
    target->position = (uint64_t)place;
    return 0;
  }
  case ZIP_SOURCE_TELL_WRITE: return (zip_int64_t)target->position;
  case ZIP_SOURCE_STAT: {
    zip_stat_t *status = data;
    vc_libzip.zip_stat_init(status);
    status->valid = ZIP_STAT_SIZE;
    status->size = 0;
    return sizeof *status;
  }
  case ZIP_SOURCE_ERROR: return vc_libzip.zip_error_to_data(&target->error, data, length);
  case ZIP_SOURCE_OPEN:
  case ZIP_SOURCE_READ:
  case ZIP_SOURCE_SEEK:
  case ZIP_SOURCE_TELL:
  case ZIP_SOURCE_CLOSE:
  case ZIP_SOURCE_FREE:
  case ZIP_SOURCE_COMMIT_WRITE:
  case ZIP_SOURCE_REMOVE: return 0;
  case ZIP_SOURCE_ROLLBACK_WRITE: return 0;
  case ZIP_SOURCE_SUPPORTS: return ZIP_SOURCE_SUPPORTS_WRITABLE;
  default: vc_libzip.zip_error_set(&target->error, ZIP_ER_OPNOTSUPP, 0); return -1;
  }
}

vc_zip_writer *vc_zip_start(int file, char *reason) {
  const char *missing = vc_zip_prepare();
  struct vc_zip_writer *writer = missing ? NULL : calloc(1, sizeof *writer);
  if (!writer) {
    snprintf(reason, VC_ZIP_REASON, "%s", missing ? missing : "no memory");
    return NULL;
  }
  writer->file = file;
  vc_libzip.zip_error_init(&writer->error);
  zip_error_t error;
  vc_libzip.zip_error_init(&error);
  zip_source_t *target = vc_libzip.zip_source_function_create(write_file, writer, &error);
  if (target) writer->archive = vc_libzip.zip_open_from_source(target, ZIP_CREATE | ZIP_TRUNCATE, &error);
  if (!writer->archive) {
    vc_zip_put_reason(reason, &error);
    if (target) vc_libzip.zip_source_free(target);
    free(writer);
    writer = NULL;
  }
  vc_libzip.zip_error_fini(&error);
  return writer;
}

static bool add(vc_zip_writer *writer, const char *name, zip_source_t *content, char *reason) {
  zip_int64_t index = content ? vc_libzip.zip_file_add(writer->archive, name, content, ZIP_FL_ENC_UTF_8) : -1;
  if (index < 0 && content) vc_libzip.zip_source_free(content);
  // Stored, so that readers can map it; and the same content gives the same bytes: no member bears the time of day.
  if (index >= 0 && vc_libzip.zip_set_file_compression(writer->archive, (zip_uint64_t)index, ZIP_CM_STORE, 0) == 0 &&
      vc_libzip.zip_file_set_dostime(writer->archive, (zip_uint64_t)index, 0, 0x21, 0) == 0)
    return true;
  vc_zip_put_reason(reason, vc_libzip.zip_get_error(writer->archive));
  return false;
}

bool vc_zip_add_bytes(vc_zip_writer *writer, const char *name, void *bytes, size_t length, char *reason) {
  zip_source_t *content = vc_libzip.zip_source_buffer(writer->archive, bytes, length, 1);
  if (!content) free(bytes);
  return add(writer, name, content, reason);
}

bool vc_zip_add_file(vc_zip_writer *writer, const char *name, const char *path, char *reason) {
  return add(writer, name, vc_libzip.zip_source_file(writer->archive, path, 0, -1), reason);
}

static void give_back(vc_zip_writer *writer) {
  vc_libzip.zip_error_fini(&writer->error);
  free(writer);
}

bool vc_zip_finish(vc_zip_writer *writer, char *reason) {
  // libzip would rather have no file than one without members; such an archive is its end record alone.
  static const uint8_t end[22] = {0x50, 0x4B, 5, 6};
  bool isEmpty = vc_libzip.zip_get_num_entries(writer->archive, 0) == 0;
  bool isDone = vc_libzip.zip_close(writer->archive) == 0;
  if (!isDone) {
    vc_zip_put_reason(reason, vc_libzip.zip_get_error(writer->archive));
    vc_libzip.zip_discard(writer->archive);
  } else if (isEmpty && pwrite(writer->file, end, sizeof end, 0) != sizeof end) {
    snprintf(reason, VC_ZIP_REASON, "the end cannot be written");
    isDone = false;
  }
  give_back(writer);
  return isDone;
}

void vc_zip_discard(vc_zip_writer *writer) {
  vc_libzip.zip_discard(writer->archive);
  give_back(writer);
}
