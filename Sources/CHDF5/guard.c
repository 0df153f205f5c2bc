#define _GNU_SOURCE
#include "scan.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/single_threaded.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

// libhdf5 trusts what it reads in many places, so a broken file can crash it or keep it busy for ever. It therefore reads
// in a child process with limits on memory and processor time, which hands back a list of records (catalogue.c) and a file
// of unpacked elements. The child is one thread, calls nothing but C, and ends with _exit: identifiers and memory are given
// back then.

/// What the child says first; the catalogue follows.
struct result {
  uint32_t status;
  char message[256];
  uint64_t length;
};

static int report_descriptor = -1;

static void report(const void *bytes, size_t length) {
  for (size_t done = 0; done < length;) {
    ssize_t wrote = write(report_descriptor, (const uint8_t *)bytes + done, length - done);
    if (wrote < 0 && errno != EINTR) _exit(1);
    if (wrote > 0) done += (size_t)wrote;
  }
}

_Noreturn void vc_h5_end_scan(vc_h5_status status, const char *message, const struct scan *scan) {
  struct result result = {.status = status, .length = scan && status == VC_H5_OK ? scan->length : 0};
  if (message) snprintf(result.message, sizeof result.message, "%s", message);
  report(&result, sizeof result);
  if (result.length) report(scan->bytes, scan->length);
  _exit(0);
}

// The processor time that the whole file may take: half a second for its structure, and more by its size, at a rate that
// unpacking never falls below.
static void start_clock(size_t image_length) {
  struct itimerval time = {.it_value = {.tv_sec = (time_t)(image_length >> 23), .tv_usec = 500000}};
  setitimer(ITIMER_PROF, &time, NULL);
}

void vc_h5_extend_clock(void) {
  struct itimerval time;
  if (getitimer(ITIMER_PROF, &time) != 0) return;
  time.it_value.tv_usec += 100000;
  time.it_value.tv_sec += time.it_value.tv_usec / 1000000;
  time.it_value.tv_usec %= 1000000;
  setitimer(ITIMER_PROF, &time, NULL);
}

// The address space there is, and room for the library's work and for what is unpacked.
static void limit_memory(uint64_t unpacked) {
  unsigned long pages = 0;
  FILE *statistics = fopen("/proc/self/statm", "r");
  if (statistics && fscanf(statistics, "%lu", &pages) == 1) {
    rlim_t size = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + (224u << 20) + unpacked;
    struct rlimit memory = {size, size};
    setrlimit(RLIMIT_AS, &memory);
  }
  if (statistics) fclose(statistics);
}

static _Noreturn void read_in_child(const void *image, size_t length, const vc_h5_limits *limits, int data) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (int number = 1; number < 32; number++) signal(number, SIG_DFL);
  struct rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  const char *missing = vc_h5_prepare();
  if (missing) vc_h5_end_scan(VC_H5_SYSTEM, missing, NULL);
  limit_memory(limits->decoded_bytes);
  start_clock(length);
  // The library keeps this for each thread.
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  struct scan scan = {.limits = *limits, .image_length = length, .data = data};
  vc_h5_scan_image(&scan, image);
  vc_h5_end_scan(VC_H5_OK, NULL, &scan);
}

// MARK: The parent

// Taking a process apart takes a while that nobody needs to wait for: one that has said all is fetched when the next starts.
static _Atomic pid_t said_all;

static int fetch(pid_t child, int options) {
  int status = 0;
  pid_t ended;
  while ((ended = waitpid(child, &status, options)) < 0 && errno == EINTR) {}
  return ended == child ? status : -1;
}

static void fetch_later(pid_t child) {
  pid_t before = atomic_exchange(&said_all, child);
  if (before > 0) fetch(before, 0);
}

static vc_h5_status no_process(char message[256], const char *reason) {
  snprintf(message, 256, "%s", reason);
  return VC_H5_SYSTEM;
}

vc_h5_status vc_h5_start(const void *image, size_t length, const vc_h5_limits *limits, vc_h5_guard *guard, char message[256]) {
  // The child of a process of one thread may load the library itself, while its parent goes on. Where there are others, one
  // of them may hold the loader's lock when the process forks; and a second file shall not load it once more.
  static bool again;
  if (again || !__libc_single_threaded) {
    const char *reason = vc_h5_prepare();
    if (reason) return no_process(message, reason);
  }
  again = true;
  fetch_later(0);
  int ends[2];
  *guard = (vc_h5_guard){.data = memfd_create("vitconv-hdf5", MFD_CLOEXEC), .pipe = -1};
  if (guard->data < 0) return no_process(message, strerror(errno));
  if (pipe2(ends, O_CLOEXEC) != 0) {
    close(guard->data);
    return no_process(message, strerror(errno));
  }
  guard->process = fork();
  if (guard->process < 0) {
    close(ends[0]);
    close(ends[1]);
    close(guard->data);
    return no_process(message, strerror(errno));
  }
  if (guard->process == 0) {
    close(ends[0]);
    report_descriptor = ends[1];
    read_in_child(image, length, limits, guard->data);
  }
  close(ends[1]);
  guard->pipe = ends[0];
  return VC_H5_OK;
}

enum take { ALL, ENDED, LATE };

// Reads `length` bytes, or as many as there are.
static enum take take(int from, void *target, size_t length) {
  for (size_t done = 0; done < length;) {
    struct pollfd wait = {.fd = from, .events = POLLIN};
    // Processor time is limited in the child; this is for a child that sleeps.
    int ready = poll(&wait, 1, 600000);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return LATE;
    ssize_t got = read(from, (uint8_t *)target + done, length - done);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return ENDED;
    done += (size_t)got;
  }
  return ALL;
}

static vc_h5_status collect(const vc_h5_guard *guard, uint8_t **catalogue, size_t *catalogue_length, char message[256]) {
  struct result result;
  enum take taken = take(guard->pipe, &result, sizeof result);
  uint8_t *bytes = NULL;
  if (taken == ALL && result.length > 0) {
    // The child's memory is limited, and its catalogue with it; an honest one has no more than this.
    bytes = result.length <= (uint64_t)1 << 32 ? malloc(result.length) : NULL;
    taken = bytes ? take(guard->pipe, bytes, result.length) : ENDED;
  }
  if (taken != ALL) {
    free(bytes);
    // Of what ended by itself this changes nothing.
    kill(guard->process, SIGKILL);
    int status = fetch(guard->process, 0);
    int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    snprintf(message, 256, "%s",
        taken == LATE || number == SIGPROF   ? "reading its structure does not come to an end"
        : number != 0 && number != SIGKILL ? "the HDF5 library fails on its structure"
                                             : "the HDF5 library ended early");
    return VC_H5_CRASHED;
  }
  fetch_later(guard->process);
  if (result.status != VC_H5_OK) {
    result.message[sizeof result.message - 1] = 0;
    memcpy(message, result.message, 256);
    free(bytes);
    return result.status;
  }
  *catalogue = bytes;
  *catalogue_length = result.length;
  return VC_H5_OK;
}

vc_h5_status vc_h5_finish(vc_h5_guard *guard, uint8_t **catalogue, size_t *catalogue_length, char message[256]) {
  *catalogue = NULL;
  *catalogue_length = 0;
  vc_h5_status status = collect(guard, catalogue, catalogue_length, message);
  close(guard->pipe);
  guard->pipe = -1;
  if (status != VC_H5_OK) {
    close(guard->data);
    guard->data = -1;
  }
  return status;
}

void vc_h5_abandon(vc_h5_guard *guard) {
  kill(guard->process, SIGKILL);
  close(guard->pipe);
  close(guard->data);
  fetch(guard->process, 0);
}
