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

/// Another process of this program: its standard input and output are one stream, its standard error another.
struct vc_worker {
  int pid, stream, errors;
};

enum { vc_worker_late, vc_worker_answers, vc_worker_speaks, vc_worker_interrupted };

/// Starts this program with these arguments (a list that ends with NULL); gives 0, or the number of the error.
int vc_start_worker(const char *const *arguments, struct vc_worker *worker);

/// Waits until something can be read: an answer or the end of all answers, or what stands on standard error.
int vc_wait_for_worker(const struct vc_worker *worker, int milliseconds);

/// Like write(2), without a signal where nobody reads.
int64_t vc_send_to_worker(const struct vc_worker *worker, const void *bytes, size_t count);

/// Closes the streams and waits for the end; gives the signal that ended it, 0 where none did.
int vc_end_worker(const struct vc_worker *worker, int kills);

/// From now on this process may hold no more memory of its own.
void vc_limit_data(uint64_t bytes);
