#define _GNU_SOURCE
#include "csystem.h"
#include <malloc.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int64_t vc_copy_file_range(int from, int64_t *offset, int to, size_t length) {
  off64_t position = *offset;
  ssize_t copied = copy_file_range(from, &position, to, NULL, length, 0);
  *offset = position;
  return copied;
}

void vc_keep_freed_memory(void) {
  // The largest threshold that glibc takes: half of a heap of its own.
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_ARENA_MAX, 1);
  // The heap's next growth reserves a gigabyte of addresses, which huge pages then fill as they are touched.
  mallopt(M_TOP_PAD, 1 << 30);
  void *volatile block = malloc(31 << 20);
  free(block);
  uintptr_t huge = 2 << 20, end = (uintptr_t)sbrk(0) & ~(huge - 1), start = (end - (1u << 30)) & ~(huge - 1);
  madvise((void *)start, end - start, MADV_HUGEPAGE);
  mallopt(M_TOP_PAD, 64 << 20);
}

void vc_prefer_huge_pages(void *base, size_t length) { madvise(base, length, MADV_HUGEPAGE); }
