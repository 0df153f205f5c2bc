#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// libzip behind functions that say where a stored member lies, and write by descriptor. Where a function fails, it puts
/// why into `reason`.
enum { VC_ZIP_REASON = 160 };

/// An archive in memory that is borrowed until it is closed. One thread at a time.
typedef struct vc_zip vc_zip;
/// A member that is read from its start.
typedef struct vc_zip_member vc_zip_member;
/// An archive that is being written.
typedef struct vc_zip_writer vc_zip_writer;

typedef struct {
  /// UTF-8 where the archive keeps to the standard; it lives as long as the archive is open.
  const char *name;
  /// Bytes, as declared.
  uint64_t size, packed;
  /// 0: stored, 8: deflated.
  uint16_t method;
  bool encrypted, link;
} vc_zip_entry;

/// Why libzip cannot be used; NULL where it can.
const char *vc_zip_prepare(void);

vc_zip *vc_zip_open(const void *bytes, size_t length, char *reason);
void vc_zip_close(vc_zip *archive);
uint64_t vc_zip_count(vc_zip *archive);
bool vc_zip_read_entry(vc_zip *archive, uint64_t index, vc_zip_entry *entry, char *reason);
/// Where the bytes of a stored member that is not empty start; -1 where they cannot be read.
int64_t vc_zip_offset(vc_zip *archive, uint64_t index, char *reason);

vc_zip_member *vc_zip_open_member(vc_zip *archive, uint64_t index, char *reason);
/// The next bytes, unpacked: how many, 0 at the end, -1 where the member is damaged. The checksum is compared at the end.
int64_t vc_zip_read(vc_zip_member *member, void *target, size_t length, char *reason);
void vc_zip_close_member(vc_zip_member *member);

/// Writes into an open file from its start; the descriptor stays the caller's.
vc_zip_writer *vc_zip_start(int file, char *reason);
/// Adds a member of `length` bytes at `bytes`, which comes from malloc and is given back here.
bool vc_zip_add_bytes(vc_zip_writer *writer, const char *name, void *bytes, size_t length, char *reason);
/// Adds the content of a file, which stays as it is until the archive is finished.
bool vc_zip_add_file(vc_zip_writer *writer, const char *name, const char *path, char *reason);
/// Writes everything; the writer is gone afterwards.
bool vc_zip_finish(vc_zip_writer *writer, char *reason);
/// Gives up what is not finished.
void vc_zip_discard(vc_zip_writer *writer);
