#pragma once
#include <stddef.h>
#include <stdint.h>

/// Copies up to `length` bytes from offset `*offset` of one file to the current position of another inside the kernel;
/// gives the number copied and advances `*offset`, or -1 where the kernel or file system cannot.
int64_t vc_copy_file_range(int from, int64_t *offset, int to, size_t length);
