#define _GNU_SOURCE
#include "csystem.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int vc_start_worker(const char *const *arguments, struct vc_worker *worker) {
  int both[2], errors[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both) != 0) return errno;
  if (pipe2(errors, O_CLOEXEC) != 0) {
    int problem = errno;
    close(both[0]);
    close(both[1]);
    return problem;
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, both[1], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, both[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, errors[1], STDERR_FILENO);
  pid_t pid = 0;
  int problem = posix_spawn(&pid, "/proc/self/exe", &actions, NULL, (char *const *)arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  close(both[1]);
  close(errors[1]);
  if (problem != 0) {
    close(both[0]);
    close(errors[0]);
    return problem;
  }
  worker->pid = pid;
  worker->stream = both[0];
  worker->errors = errors[0];
  return 0;
}

int vc_wait_for_worker(const struct vc_worker *worker, int milliseconds) {
  struct pollfd files[2] = {{.fd = worker->stream, .events = POLLIN}, {.fd = worker->errors, .events = POLLIN}};
  int count = poll(files, 2, milliseconds);
  if (count < 0) return errno == EINTR ? vc_worker_interrupted : vc_worker_late;
  if (count == 0) return vc_worker_late;
  // What it says last is read before its end is seen.
  if (files[1].revents & POLLIN) return vc_worker_speaks;
  if (files[0].revents) return vc_worker_answers;
  return vc_worker_interrupted;
}

int64_t vc_send_to_worker(const struct vc_worker *worker, const void *bytes, size_t count) {
  return send(worker->stream, bytes, count, MSG_NOSIGNAL);
}

int vc_end_worker(const struct vc_worker *worker, int kills) {
  close(worker->stream);
  close(worker->errors);
  if (kills) kill(worker->pid, SIGKILL);
  int status = 0;
  while (waitpid(worker->pid, &status, 0) < 0 && errno == EINTR) continue;
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

void vc_limit_data(uint64_t bytes) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_DATA, &limit) != 0 || (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur <= bytes)) return;
  limit.rlim_cur = bytes;
  setrlimit(RLIMIT_DATA, &limit);
}
