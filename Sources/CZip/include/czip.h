#pragma once
#include <stddef.h>
#include <stdint.h>

/// CRC-32 as zip archives use it, of `length` bytes that follow those whose checksum is `crc` (0 at the start).
uint32_t vc_crc32(uint32_t crc, const void *bytes, size_t length);

/// A stream of deflated bytes without a header, as zip members hold it; NULL without memory.
typedef struct vc_inflater vc_inflater;
vc_inflater *vc_inflater_create(const void *packed, size_t length);
/// Fills `target` and gives how many bytes were unpacked: fewer than `length` at the end, -1 where the stream is broken.
int64_t vc_inflater_read(vc_inflater *inflater, void *target, size_t length);
void vc_inflater_free(vc_inflater *inflater);
