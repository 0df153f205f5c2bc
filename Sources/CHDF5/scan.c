#include "scan.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// MARK: Objects met before

static size_t slot(const struct scan *scan, haddr_t address) {
  size_t index = (size_t)((address * 0x9E3779B97F4A7C15u) >> 20) & (scan->seen_capacity - 1);
  while (scan->seen[index].path && scan->seen[index].address != address) index = (index + 1) & (scan->seen_capacity - 1);
  return index;
}

// The first path of the object, or NULL, and then `path` is it from now on.
static const char *met(struct scan *scan, haddr_t address, const char *path) {
  if (scan->seen_count * 2 >= scan->seen_capacity) {
    struct seen *old = scan->seen;
    size_t count = scan->seen_capacity;
    scan->seen_capacity = count ? count * 2 : 256;
    scan->seen = calloc(scan->seen_capacity, sizeof *scan->seen);
    if (!scan->seen) vc_h5_end_scan(VC_H5_LIMIT, "the file's structure takes too much memory", NULL);
    for (size_t index = 0; index < count; index++)
      if (old[index].path) scan->seen[slot(scan, old[index].address)] = old[index];
    free(old);
  }
  size_t index = slot(scan, address);
  if (scan->seen[index].path) return scan->paths[scan->seen[index].path - 1];
  if (scan->path_count == scan->path_capacity) {
    scan->path_capacity = scan->path_capacity * 2 + 64;
    scan->paths = vc_h5_grown(scan->paths, scan->path_capacity * sizeof *scan->paths);
  }
  size_t length = strlen(path) + 1;
  char *copy = vc_h5_grown(NULL, length);
  memcpy(copy, path, length);
  scan->paths[scan->path_count++] = copy;
  scan->seen[index].address = address;
  scan->seen[index].path = scan->path_count;
  scan->seen_count++;
  if (scan->seen_count % 1024 == 0) vc_h5_extend_clock();
  return NULL;
}

// MARK: Groups

struct visit {
  struct scan *scan;
  const char *path;
  uint64_t depth;
};

static void scan_object(struct scan *scan, hid_t object, const char *path, uint64_t depth);

static void put_link(struct scan *scan, const char *path, const char *target) {
  vc_h5_put_byte(scan, 'L');
  vc_h5_put_text(scan, path);
  vc_h5_put_text(scan, target);
}

static void scan_target(struct visit *visit, hid_t group, const char *name, const char *path, const H5L_info_t *info) {
  struct scan *scan = visit->scan;
  bool is_hard = info->type == H5L_TYPE_HARD;
  haddr_t address = is_hard ? info->u.address : HADDR_UNDEF;
  hid_t object = H5I_INVALID_HID;
  if (!is_hard) {
    // A soft link may lead nowhere, or in a circle.
    object = H5Oopen(group, name, H5P_DEFAULT);
    H5O_info_t facts;
    if (object < 0) return put_link(scan, path, "");
    if (H5Oget_info2(object, &facts, H5O_INFO_BASIC) < 0) vc_h5_end_scan(VC_H5_MALFORMED, vc_h5_library_reason(), NULL);
    address = facts.addr;
  }
  const char *first = met(scan, address, path);
  if (first) {
    put_link(scan, path, *first ? first : "/");
  } else {
    if (is_hard) object = H5Oopen_by_addr(group, address);
    if (object < 0) vc_h5_end_scan(VC_H5_MALFORMED, vc_h5_library_reason(), NULL);
    scan_object(scan, object, path, visit->depth + 1);
  }
  if (object >= 0) H5Oclose(object);
}

static herr_t scan_link(hid_t group, const char *name, const H5L_info_t *info, void *data) {
  struct visit *visit = data;
  vc_h5_count(visit->scan, "groups and datasets");
  size_t length = strlen(visit->path) + strlen(name) + 2;
  char *path = vc_h5_grown(NULL, length);
  snprintf(path, length, "%s%s%s", visit->path, *visit->path ? "/" : "", name);
  if (info->type != H5L_TYPE_HARD && info->type != H5L_TYPE_SOFT) vc_h5_end_scan(VC_H5_EXTERNAL, path, NULL);
  scan_target(visit, group, name, path, info);
  free(path);
  return 0;
}

static void scan_object(struct scan *scan, hid_t object, const char *path, uint64_t depth) {
  if (depth > scan->limits.depth) vc_h5_end_scan(VC_H5_LIMIT, "groups are nested deeper than any checkpoint's", NULL);
  switch (H5Iget_type(object)) {
  case H5I_GROUP: {
    vc_h5_put_byte(scan, 'G');
    vc_h5_put_text(scan, path);
    vc_h5_scan_attributes(scan, object);
    struct visit visit = {scan, path, depth};
    hsize_t position = 0;
    if (H5Literate(object, H5_INDEX_NAME, H5_ITER_INC, &position, scan_link, &visit) < 0)
      vc_h5_end_scan(VC_H5_MALFORMED, vc_h5_library_reason(), NULL);
    break;
  }
  case H5I_DATASET: vc_h5_scan_dataset(scan, object, path); break;
  default: break;
  }
}

void vc_h5_scan_image(struct scan *scan, const void *image) {
  hid_t file = H5LTopen_file_image((void *)image, scan->image_length, H5LT_FILE_IMAGE_DONT_COPY | H5LT_FILE_IMAGE_DONT_RELEASE);
  if (file < 0) {
    const char *reason = vc_h5_library_reason();
    vc_h5_end_scan(strstr(reason, "truncated file") ? VC_H5_TRUNCATED : VC_H5_MALFORMED, reason, NULL);
  }
  hsize_t user_block = 0;
  hid_t creation = H5Fget_create_plist(file);
  if (creation < 0 || H5Pget_userblock(creation, &user_block) < 0) vc_h5_end_scan(VC_H5_MALFORMED, vc_h5_library_reason(), NULL);
  H5Pclose(creation);
  scan->has_user_block = user_block > 0;
  hid_t root = H5Gopen2(file, "/", H5P_DEFAULT);
  H5O_info_t facts;
  if (root < 0 || H5Oget_info2(root, &facts, H5O_INFO_BASIC) < 0) vc_h5_end_scan(VC_H5_MALFORMED, vc_h5_library_reason(), NULL);
  met(scan, facts.addr, "");
  scan_object(scan, root, "", 0);
  H5Gclose(root);
}
