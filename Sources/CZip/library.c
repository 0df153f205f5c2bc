#include "library.h"
#include "czip.h"
#include <dlfcn.h>
#include <stdio.h>

struct vc_zip_library vc_libzip;

const char *vc_zip_prepare(void) {
  static bool done;
  if (done) return NULL;
  // Without a version where the development package is, with one elsewhere.
  static const char *const files[] = {"libzip.so.4", "libzip.so.5", "libzip.so"};
  void *library = NULL;
  for (size_t index = 0; !library && index < sizeof files / sizeof *files; index++) library = dlopen(files[index], RTLD_LAZY | RTLD_LOCAL);
  if (!library) return "libzip is not installed (Debian: libzip-dev)";
// The members lie in the order of the list, and each is one pointer.
#define X(name) #name,
  static const char *const names[] = {VC_ZIP_FUNCTIONS(X)};
#undef X
  void **member = (void **)&vc_libzip;
  for (size_t index = 0; index < sizeof names / sizeof *names; index++) {
    member[index] = dlsym(library, names[index]);
    if (!member[index]) return "libzip is not one that is known (1.7 or newer)";
  }
  done = true;
  return NULL;
}

void vc_zip_put_reason(char *reason, zip_error_t *error) { snprintf(reason, VC_ZIP_REASON, "%s", vc_libzip.zip_error_strerror(error)); }
