#pragma once
#include <zip.h>

// libzip brings the cryptography of archives along, which would slow down the start of every command. It is therefore
// loaded when the first archive is met.

#define VC_ZIP_FUNCTIONS(X) \
  X(zip_close) X(zip_discard) X(zip_error_fini) X(zip_error_init) X(zip_error_set) X(zip_error_strerror) X(zip_error_to_data) X(zip_fclose) \
  X(zip_file_add) X(zip_file_get_error) X(zip_file_get_external_attributes) X(zip_file_set_dostime) X(zip_fopen_index) X(zip_fread) \
  X(zip_get_error) X(zip_get_num_entries) X(zip_open_from_source) X(zip_set_file_compression) X(zip_source_buffer) X(zip_source_file) \
  X(zip_source_free) X(zip_source_function_create) X(zip_source_seek_compute_offset) X(zip_stat_index) X(zip_stat_init)

#define X(name) __typeof__(&name) name;
/// What is used of the library.
struct vc_zip_library {
  VC_ZIP_FUNCTIONS(X)
};
#undef X
extern struct vc_zip_library vc_libzip;

/// Puts the library's words for an error into `reason`, which holds VC_ZIP_REASON bytes.
void vc_zip_put_reason(char *reason, zip_error_t *error);
