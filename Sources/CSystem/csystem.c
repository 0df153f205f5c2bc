#define _GNU_SOURCE
#include "csystem.h"
#include <unistd.h>

int64_t vc_copy_file_range(int from, int64_t *offset, int to, size_t length) {
  off64_t position = *offset;
  ssize_t copied = copy_file_range(from, &position, to, NULL, length, 0);
  *offset = position;
  return copied;
}
