#define _GNU_SOURCE
#include "library.h"
#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>

struct vc_h5_library vc_h5;

// Without a version where the development package is, with one elsewhere; Debian keeps the serial build apart.
static void *open_first(const char *const *names) {
  for (; *names; names++) {
    void *library = dlopen(*names, RTLD_LAZY | RTLD_LOCAL);
    if (library) return library;
  }
  return NULL;
}

static const char *const main_names[] = {"libhdf5_serial.so.103", "libhdf5_serial.so.310", "libhdf5_serial.so", "libhdf5.so.103",
                                         "libhdf5.so.200", "libhdf5.so.310", "libhdf5.so", NULL};
static const char *const high_level_names[] = {"libhdf5_serial_hl.so.100", "libhdf5_serial_hl.so.310", "libhdf5_serial_hl.so", "libhdf5_hl.so.100",
                                               "libhdf5_hl.so.200", "libhdf5_hl.so.310", "libhdf5_hl.so", NULL};

const char *vc_h5_prepare(void) {
  static bool done;
  if (done) return NULL;
  void *library = open_first(main_names), *high_level = open_first(high_level_names);
  if (!library || !high_level) return "the HDF5 library is not installed (Debian: libhdf5-dev)";
  bool complete = true;
// Functions and variables alike: the members lie in the order of the lists, and each is one pointer.
#define X(name) #name,
  static const char *const names[] = {VC_H5_FUNCTIONS(X) VC_H5_VARIABLES(X)};
#undef X
  void **member = (void **)&vc_h5;
  size_t count = sizeof names / sizeof *names;
  for (size_t index = 0; index < count; index++) {
    member[index] = dlsym(library, names[index]);
    complete = complete && member[index];
  }
  member[count] = dlsym(high_level, "H5LTopen_file_image");
  if (!complete || !member[count]) return "the HDF5 library is not one that is known (1.10 or newer)";
  H5open();
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  H5PLset_loading_state(0);
  H5Lunregister(H5L_TYPE_EXTERNAL);
  done = true;
  return NULL;
}
