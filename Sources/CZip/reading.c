#include "czip.h"
#include "library.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct vc_zip {
  zip_t *archive;
  const uint8_t *bytes;
  uint64_t length, position;
  /// Where the last bytes were taken from, which tells where a member lies: libzip does not.
  uint64_t taken;
  zip_error_t error;
};

static zip_int64_t read_image(void *state, void *data, zip_uint64_t length, zip_source_cmd_t command) {
  struct vc_zip *image = state;
  switch (command) {
  case ZIP_SOURCE_OPEN:
    image->position = 0;
    return 0;
  case ZIP_SOURCE_READ: {
    uint64_t rest = image->length - image->position, count = length < rest ? length : rest;
    memcpy(data, image->bytes + image->position, count);
    image->taken = image->position;
    image->position += count;
    return (zip_int64_t)count;
  }
  case ZIP_SOURCE_SEEK: {
    zip_int64_t target = vc_libzip.zip_source_seek_compute_offset(image->position, image->length, data, length, &image->error);
    if (target < 0) return -1;
    image->position = (uint64_t)target;
    return 0;
  }
  case ZIP_SOURCE_TELL: return (zip_int64_t)image->position;
  case ZIP_SOURCE_STAT: {
    zip_stat_t *status = data;
    vc_libzip.zip_stat_init(status);
    status->valid = ZIP_STAT_SIZE;
    status->size = image->length;
    return sizeof *status;
  }
  case ZIP_SOURCE_ERROR: return vc_libzip.zip_error_to_data(&image->error, data, length);
  case ZIP_SOURCE_CLOSE:
  case ZIP_SOURCE_FREE: return 0;
  case ZIP_SOURCE_SUPPORTS: return ZIP_SOURCE_SUPPORTS_SEEKABLE;
  default: vc_libzip.zip_error_set(&image->error, ZIP_ER_OPNOTSUPP, 0); return -1;
  }
}

vc_zip *vc_zip_open(const void *bytes, size_t length, char *reason) {
  const char *missing = vc_zip_prepare();
  struct vc_zip *image = missing ? NULL : calloc(1, sizeof *image);
  if (!image) {
    snprintf(reason, VC_ZIP_REASON, "%s", missing ? missing : "no memory");
    return NULL;
  }
  image->bytes = bytes;
  image->length = length;
  vc_libzip.zip_error_init(&image->error);
  zip_error_t error;
  vc_libzip.zip_error_init(&error);
  zip_source_t *source = vc_libzip.zip_source_function_create(read_image, image, &error);
  if (source) image->archive = vc_libzip.zip_open_from_source(source, ZIP_RDONLY, &error);
  if (!image->archive) {
    vc_zip_put_reason(reason, &error);
    if (source) vc_libzip.zip_source_free(source);
    free(image);
    image = NULL;
  }
  vc_libzip.zip_error_fini(&error);
  return image;
}

void vc_zip_close(vc_zip *image) {
  vc_libzip.zip_discard(image->archive);
  vc_libzip.zip_error_fini(&image->error);
  free(image);
}

uint64_t vc_zip_count(vc_zip *image) {
  zip_int64_t count = vc_libzip.zip_get_num_entries(image->archive, 0);
  return count < 0 ? 0 : (uint64_t)count;
}

bool vc_zip_read_entry(vc_zip *image, uint64_t index, vc_zip_entry *entry, char *reason) {
  zip_stat_t status;
  vc_libzip.zip_stat_init(&status);
  const zip_uint64_t needed = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
  // Names as they stand in the archive: those of old code pages are refused, not guessed at.
  if (vc_libzip.zip_stat_index(image->archive, index, ZIP_FL_ENC_RAW, &status) != 0 || (status.valid & needed) != needed) {
    vc_zip_put_reason(reason, vc_libzip.zip_get_error(image->archive));
    return false;
  }
  zip_uint8_t system = 0;
  zip_uint32_t attributes = 0;
  vc_libzip.zip_file_get_external_attributes(image->archive, index, 0, &system, &attributes);
  *entry = (vc_zip_entry){
      .name = status.name, .size = status.size, .packed = status.comp_size, .method = status.comp_method,
      .encrypted = status.encryption_method != ZIP_EM_NONE,
      // Unix: the kind of file stands in the upper half.
      .link = system == ZIP_OPSYS_UNIX && S_ISLNK(attributes >> 16)};
  return true;
}

vc_zip_member *vc_zip_open_member(vc_zip *image, uint64_t index, char *reason) {
  zip_file_t *file = vc_libzip.zip_fopen_index(image->archive, index, 0);
  if (!file) vc_zip_put_reason(reason, vc_libzip.zip_get_error(image->archive));
  return (vc_zip_member *)file;
}

int64_t vc_zip_read(vc_zip_member *member, void *target, size_t length, char *reason) {
  zip_file_t *file = (zip_file_t *)member;
  size_t done = 0;
  do {
    // libzip takes at most what fits a signed count.
    zip_uint64_t wanted = length - done < 1u << 30 ? length - done : 1u << 30;
    zip_int64_t got = vc_libzip.zip_fread(file, (uint8_t *)target + done, wanted);
    if (got < 0) {
      vc_zip_put_reason(reason, vc_libzip.zip_file_get_error(file));
      return -1;
    }
    if (got == 0) break;
    done += (size_t)got;
  } while (done < length);
  return (int64_t)done;
}

void vc_zip_close_member(vc_zip_member *member) { vc_libzip.zip_fclose((zip_file_t *)member); }

int64_t vc_zip_offset(vc_zip *image, uint64_t index, char *reason) {
  vc_zip_member *member = vc_zip_open_member(image, index, reason);
  if (!member) return -1;
  uint8_t first;
  int64_t got = vc_zip_read(member, &first, 1, reason);
  int64_t result = got == 1 ? (int64_t)image->taken : -1;
  if (got == 0) snprintf(reason, VC_ZIP_REASON, "it is empty");
  vc_zip_close_member(member);
  return result;
}
