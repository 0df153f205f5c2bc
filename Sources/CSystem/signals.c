#define _GNU_SOURCE
#include "csystem.h"
#include <execinfo.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char temporary_file[PATH_MAX];
static _Atomic int has_temporary_file;

void vc_set_temporary_file(const char *path) {
  atomic_store(&has_temporary_file, 0);
  if (path && strlen(path) < sizeof temporary_file) {
    strcpy(temporary_file, path);
    atomic_store(&has_temporary_file, 1);
  }
}

static void say(const char *text) {
  if (write(STDERR_FILENO, text, strlen(text)) < 0) return;
}

// Only calls that are safe inside a signal handler from here on.
static void end_by_signal(int number) {
  if (atomic_load(&has_temporary_file)) unlink(temporary_file);
  switch (number) {
  case SIGINT:
  case SIGTERM:
  case SIGHUP:
    // The default action, so that the parent sees what ended the process.
    signal(number, SIG_DFL);
    raise(number);
    return;
  case SIGBUS:
    say("\nvitconv: error: an input file was shortened while it was read (VC1002)\n");
    _exit(3);
  default:
    say("\nvitconv: error: internal error (VC9001), signal ");
    say(strsignal(number));
    say("\nThis is a bug in vitconv; please report it with the file that shows it and these places:\n");
    // Should the walk hang on a lock that the bug left behind, the alarm ends it.
    alarm(5);
    void *frames[32];
    backtrace_symbols_fd(frames, backtrace(frames, 32), STDERR_FILENO);
    _exit(4);
  }
}

void vc_install_signal_handlers(void) {
  // A stack of its own, so that an overflow of the main one is told too.
  size_t size = 64 * 1024;
  void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory != MAP_FAILED) {
    stack_t stack = {.ss_sp = memory, .ss_size = size};
    sigaltstack(&stack, NULL);
  }
  // A write beyond the limit on file sizes shall fail like one on a full disk.
  signal(SIGXFSZ, SIG_IGN);
  struct sigaction action = {.sa_handler = end_by_signal, .sa_flags = SA_ONSTACK | SA_RESETHAND};
  sigemptyset(&action.sa_mask);
  const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGBUS, SIGSEGV, SIGILL, SIGTRAP, SIGFPE, SIGABRT};
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
    struct sigaction current;
    // What the parent asked to ignore, as nohup does, stays ignored.
    if (sigaction(signals[i], NULL, &current) == 0 && current.sa_handler == SIG_IGN) continue;
    sigaction(signals[i], &action, NULL);
  }
}
