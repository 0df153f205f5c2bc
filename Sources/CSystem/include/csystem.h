#pragma once
#include <stddef.h>
#include <stdint.h>

/// Copies up to `length` bytes from offset `*offset` of one file to the current position of another inside the kernel;
/// gives the number copied and advances `*offset`, or -1 where the kernel or file system cannot.
int64_t vc_copy_file_range(int from, int64_t *offset, int to, size_t length);

/// Names the one file to be removed when the process ends abnormally; NULL for none.
void vc_set_temporary_file(const char *path);

/// Handlers for signals that end the process: see AbnormalEnd.
void vc_install_signal_handlers(void);

/// Keeps freed memory for the next allocation instead of giving it back to the system, from now on.
void vc_keep_freed_memory(void);

/// Asks for huge pages behind the memory at a multiple of 2 MiB.
void vc_prefer_huge_pages(void *base, size_t length);
