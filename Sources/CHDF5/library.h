#pragma once
// The 1.10 names of what later versions renamed.
#define H5_USE_110_API 1
#if __has_include(<hdf5/serial/hdf5.h>)
#include <hdf5/serial/hdf5.h>
#include <hdf5/serial/hdf5_hl.h>
#else
#include <hdf5.h>
#include <hdf5_hl.h>
#endif

// libhdf5 brings three dozen libraries along (it can read from the network), which would slow down the start of every
// command and stand in the address space of those that read no HDF5. It is therefore loaded when the first HDF5 file is met.

#define VC_H5_FUNCTIONS(X) \
  X(H5Aclose) X(H5Acreate2) X(H5Aget_space) X(H5Aget_type) X(H5Aiterate2) X(H5Aopen) X(H5Aread) X(H5Awrite) X(H5Dclose) X(H5Dcreate2) \
  X(H5Dget_chunk_info) X(H5Dget_create_plist) X(H5Dget_num_chunks) X(H5Dget_offset) X(H5Dget_space) X(H5Dget_storage_size) X(H5Dget_type) \
  X(H5Dread) X(H5Dvlen_reclaim) X(H5Dwrite) X(H5Eset_auto2) X(H5Ewalk2) X(H5Fclose) X(H5Fcreate) X(H5Fget_create_plist) X(H5Fget_obj_count) X(H5Gclose) X(H5Gcreate2) X(H5Gopen2) \
  X(H5Iget_type) X(H5Literate) X(H5Lunregister) X(H5Oclose) X(H5Oget_info2) X(H5Oopen) X(H5Oopen_by_addr) X(H5PLset_loading_state) X(H5Pclose) X(H5Pcreate) \
  X(H5Pget_chunk) X(H5Pget_external_count) X(H5Pget_filter2) X(H5Pget_layout) X(H5Pget_nfilters) X(H5Pget_userblock) X(H5Pset_alignment) \
  X(H5Pset_char_encoding) X(H5Pset_create_intermediate_group) X(H5Pset_obj_track_times) X(H5Sclose) X(H5Screate) X(H5Screate_simple) X(H5Sget_simple_extent_dims) \
  X(H5Sget_simple_extent_type) X(H5Sselect_hyperslab) X(H5Tclose) X(H5Tcopy) X(H5Tcreate) X(H5Tenum_create) X(H5Tenum_insert) \
  X(H5Tget_class) X(H5Tget_cset) X(H5Tget_ebias) X(H5Tget_fields) X(H5Tget_member_name) X(H5Tget_member_value) X(H5Tget_nmembers) \
  X(H5Tget_norm) X(H5Tget_offset) X(H5Tget_order) X(H5Tget_precision) X(H5Tget_sign) X(H5Tget_size) X(H5Tget_strpad) X(H5Tget_super) \
  X(H5Tis_variable_str) X(H5Tset_cset) X(H5Tset_ebias) X(H5Tset_fields) X(H5Tset_order) X(H5Tset_size) X(H5Zfilter_avail) \
  X(H5check_version) X(H5free_memory) X(H5open)

#define VC_H5_VARIABLES(X) \
  X(H5P_CLS_DATASET_CREATE_ID_g) X(H5P_CLS_FILE_ACCESS_ID_g) X(H5P_CLS_LINK_CREATE_ID_g) X(H5T_C_S1_g) X(H5T_IEEE_F32LE_g) X(H5T_IEEE_F64LE_g) X(H5T_NATIVE_DOUBLE_g) \
  X(H5T_NATIVE_FLOAT_g) X(H5T_NATIVE_INT16_g) X(H5T_NATIVE_INT32_g) X(H5T_NATIVE_INT64_g) X(H5T_NATIVE_INT8_g) X(H5T_NATIVE_UINT16_g) \
  X(H5T_NATIVE_UINT32_g) X(H5T_NATIVE_UINT64_g) X(H5T_NATIVE_UINT8_g) X(H5T_STD_I16LE_g) X(H5T_STD_I32LE_g) X(H5T_STD_I64LE_g) \
  X(H5T_STD_I8LE_g) X(H5T_STD_U16LE_g) X(H5T_STD_U32LE_g) X(H5T_STD_U64LE_g) X(H5T_STD_U8LE_g)

#define X(name) __typeof__(&name) name;
/// What is used of the library.
struct vc_h5_library {
  VC_H5_FUNCTIONS(X)
  VC_H5_VARIABLES(X)
  __typeof__(&H5LTopen_file_image) H5LTopen_file_image;
};
#undef X
extern struct vc_h5_library vc_h5;

#define H5Aclose vc_h5.H5Aclose
#define H5Acreate2 vc_h5.H5Acreate2
#define H5Aget_space vc_h5.H5Aget_space
#define H5Aget_type vc_h5.H5Aget_type
#define H5Aiterate2 vc_h5.H5Aiterate2
#define H5Aopen vc_h5.H5Aopen
#define H5Aread vc_h5.H5Aread
#define H5Awrite vc_h5.H5Awrite
#define H5Dclose vc_h5.H5Dclose
#define H5Dcreate2 vc_h5.H5Dcreate2
#define H5Dget_chunk_info vc_h5.H5Dget_chunk_info
#define H5Dget_create_plist vc_h5.H5Dget_create_plist
#define H5Dget_num_chunks vc_h5.H5Dget_num_chunks
#define H5Dget_offset vc_h5.H5Dget_offset
#define H5Dget_space vc_h5.H5Dget_space
#define H5Dget_storage_size vc_h5.H5Dget_storage_size
#define H5Dget_type vc_h5.H5Dget_type
#define H5Dread vc_h5.H5Dread
#define H5Dvlen_reclaim vc_h5.H5Dvlen_reclaim
#define H5Dwrite vc_h5.H5Dwrite
#define H5Eset_auto2 vc_h5.H5Eset_auto2
#define H5Ewalk2 vc_h5.H5Ewalk2
#define H5Fclose vc_h5.H5Fclose
#define H5Fcreate vc_h5.H5Fcreate
#define H5Fget_create_plist vc_h5.H5Fget_create_plist
#define H5Fget_obj_count vc_h5.H5Fget_obj_count
#define H5Gclose vc_h5.H5Gclose
#define H5Gcreate2 vc_h5.H5Gcreate2
#define H5Gopen2 vc_h5.H5Gopen2
#define H5Iget_type vc_h5.H5Iget_type
#define H5Literate vc_h5.H5Literate
#define H5Lunregister vc_h5.H5Lunregister
#define H5Oclose vc_h5.H5Oclose
#define H5Oget_info2 vc_h5.H5Oget_info2
#define H5Oopen vc_h5.H5Oopen
#define H5Oopen_by_addr vc_h5.H5Oopen_by_addr
#define H5PLset_loading_state vc_h5.H5PLset_loading_state
#define H5Pclose vc_h5.H5Pclose
#define H5Pcreate vc_h5.H5Pcreate
#define H5Pget_chunk vc_h5.H5Pget_chunk
#define H5Pget_external_count vc_h5.H5Pget_external_count
#define H5Pget_filter2 vc_h5.H5Pget_filter2
#define H5Pget_layout vc_h5.H5Pget_layout
#define H5Pget_nfilters vc_h5.H5Pget_nfilters
#define H5Pget_userblock vc_h5.H5Pget_userblock
#define H5Pset_alignment vc_h5.H5Pset_alignment
#define H5Pset_char_encoding vc_h5.H5Pset_char_encoding
#define H5Pset_create_intermediate_group vc_h5.H5Pset_create_intermediate_group
#define H5Pset_obj_track_times vc_h5.H5Pset_obj_track_times
#define H5Sclose vc_h5.H5Sclose
#define H5Screate vc_h5.H5Screate
#define H5Screate_simple vc_h5.H5Screate_simple
#define H5Sget_simple_extent_dims vc_h5.H5Sget_simple_extent_dims
#define H5Sget_simple_extent_type vc_h5.H5Sget_simple_extent_type
#define H5Sselect_hyperslab vc_h5.H5Sselect_hyperslab
#define H5Tclose vc_h5.H5Tclose
#define H5Tcopy vc_h5.H5Tcopy
#define H5Tcreate vc_h5.H5Tcreate
#define H5Tenum_create vc_h5.H5Tenum_create
#define H5Tenum_insert vc_h5.H5Tenum_insert
#define H5Tget_class vc_h5.H5Tget_class
#define H5Tget_cset vc_h5.H5Tget_cset
#define H5Tget_ebias vc_h5.H5Tget_ebias
#define H5Tget_fields vc_h5.H5Tget_fields
#define H5Tget_member_name vc_h5.H5Tget_member_name
#define H5Tget_member_value vc_h5.H5Tget_member_value
#define H5Tget_nmembers vc_h5.H5Tget_nmembers
#define H5Tget_norm vc_h5.H5Tget_norm
#define H5Tget_offset vc_h5.H5Tget_offset
#define H5Tget_order vc_h5.H5Tget_order
#define H5Tget_precision vc_h5.H5Tget_precision
#define H5Tget_sign vc_h5.H5Tget_sign
#define H5Tget_size vc_h5.H5Tget_size
#define H5Tget_strpad vc_h5.H5Tget_strpad
#define H5Tget_super vc_h5.H5Tget_super
#define H5Tis_variable_str vc_h5.H5Tis_variable_str
#define H5Tset_cset vc_h5.H5Tset_cset
#define H5Tset_ebias vc_h5.H5Tset_ebias
#define H5Tset_fields vc_h5.H5Tset_fields
#define H5Tset_order vc_h5.H5Tset_order
#define H5Tset_size vc_h5.H5Tset_size
#define H5Zfilter_avail vc_h5.H5Zfilter_avail
#define H5check_version vc_h5.H5check_version
#define H5free_memory vc_h5.H5free_memory
#define H5open vc_h5.H5open
#define H5LTopen_file_image vc_h5.H5LTopen_file_image
#define H5P_CLS_DATASET_CREATE_ID_g (*vc_h5.H5P_CLS_DATASET_CREATE_ID_g)
#define H5P_CLS_FILE_ACCESS_ID_g (*vc_h5.H5P_CLS_FILE_ACCESS_ID_g)
#define H5P_CLS_LINK_CREATE_ID_g (*vc_h5.H5P_CLS_LINK_CREATE_ID_g)
#define H5T_C_S1_g (*vc_h5.H5T_C_S1_g)
#define H5T_IEEE_F32LE_g (*vc_h5.H5T_IEEE_F32LE_g)
#define H5T_IEEE_F64LE_g (*vc_h5.H5T_IEEE_F64LE_g)
#define H5T_NATIVE_DOUBLE_g (*vc_h5.H5T_NATIVE_DOUBLE_g)
#define H5T_NATIVE_FLOAT_g (*vc_h5.H5T_NATIVE_FLOAT_g)
#define H5T_NATIVE_INT16_g (*vc_h5.H5T_NATIVE_INT16_g)
#define H5T_NATIVE_INT32_g (*vc_h5.H5T_NATIVE_INT32_g)
#define H5T_NATIVE_INT64_g (*vc_h5.H5T_NATIVE_INT64_g)
#define H5T_NATIVE_INT8_g (*vc_h5.H5T_NATIVE_INT8_g)
#define H5T_NATIVE_UINT16_g (*vc_h5.H5T_NATIVE_UINT16_g)
#define H5T_NATIVE_UINT32_g (*vc_h5.H5T_NATIVE_UINT32_g)
#define H5T_NATIVE_UINT64_g (*vc_h5.H5T_NATIVE_UINT64_g)
#define H5T_NATIVE_UINT8_g (*vc_h5.H5T_NATIVE_UINT8_g)
#define H5T_STD_I16LE_g (*vc_h5.H5T_STD_I16LE_g)
#define H5T_STD_I32LE_g (*vc_h5.H5T_STD_I32LE_g)
#define H5T_STD_I64LE_g (*vc_h5.H5T_STD_I64LE_g)
#define H5T_STD_I8LE_g (*vc_h5.H5T_STD_I8LE_g)
#define H5T_STD_U16LE_g (*vc_h5.H5T_STD_U16LE_g)
#define H5T_STD_U32LE_g (*vc_h5.H5T_STD_U32LE_g)
#define H5T_STD_U64LE_g (*vc_h5.H5T_STD_U64LE_g)
#define H5T_STD_U8LE_g (*vc_h5.H5T_STD_U8LE_g)

/// Loads the library once per process: errors are told by codes alone, no plug-in is loaded, and no link leads out of a
/// file. NULL, or why it cannot be loaded.
const char *vc_h5_prepare(void);
