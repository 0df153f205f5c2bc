#include "scan.h"
#include <string.h>

enum { FLOAT32 = 1, UINT8 = 2, INT8 = 3, UINT16 = 4, INT16 = 5, INT32 = 6, INT64 = 7, BOOL = 9, FLOAT16 = 10, FLOAT64 = 11, UINT32 = 12, UINT64 = 13,
       BFLOAT16 = 16, OPAQUE2 = 200 };

struct fields { size_t sign, exponent, exponent_size, mantissa, mantissa_size; };

static bool is_ieee(hid_t type, const struct fields *fields, size_t exponent_size, size_t mantissa_size) {
  size_t bits = 1 + exponent_size + mantissa_size;
  return fields->mantissa == 0 && fields->mantissa_size == mantissa_size && fields->exponent == mantissa_size && fields->exponent_size == exponent_size &&
         fields->sign == bits - 1 && H5Tget_size(type) * 8 == bits && H5Tget_precision(type) == bits && H5Tget_offset(type) == 0 &&
         H5Tget_ebias(type) == ((size_t)1 << (exponent_size - 1)) - 1 && H5Tget_norm(type) == H5T_NORM_IMPLIED;
}

static const char *float_element(hid_t type, bool little, struct element *element) {
  struct fields fields;
  if (H5Tget_fields(type, &fields.sign, &fields.exponent, &fields.exponent_size, &fields.mantissa, &fields.mantissa_size) < 0)
    return "floating-point numbers whose fields cannot be read";
  if (is_ieee(type, &fields, 8, 23)) {
    *element = (struct element){.type = FLOAT32, .size = 4, .plain = little, .memory = H5T_NATIVE_FLOAT};
  } else if (is_ieee(type, &fields, 11, 52)) {
    *element = (struct element){.type = FLOAT64, .size = 8, .plain = little, .memory = H5T_NATIVE_DOUBLE};
  } else if (is_ieee(type, &fields, 5, 10) || is_ieee(type, &fields, 8, 7)) {
    // The library has no native type of these; the file's own in the machine's order is one.
    *element = (struct element){.type = fields.exponent_size == 5 ? FLOAT16 : BFLOAT16, .size = 2, .plain = little, .memory = H5Tcopy(type), .owns_memory = true};
    H5Tset_order(element->memory, H5T_ORDER_LE);
  } else if (fields.exponent_size <= 8 && fields.mantissa_size <= 23) {
    *element = (struct element){.type = FLOAT32, .size = 4, .memory = H5T_NATIVE_FLOAT};
  } else {
    *element = (struct element){.type = FLOAT64, .size = 8, .memory = H5T_NATIVE_DOUBLE};
  }
  return NULL;
}

static const char *integer_element(hid_t type, bool little, struct element *element) {
  bool is_signed = H5Tget_sign(type) == H5T_SGN_2;
  size_t size = H5Tget_size(type), width = size <= 2 ? size : size <= 4 ? 4 : 8;
  *element = (struct element){.size = width, .plain = little && size == width && H5Tget_precision(type) == size * 8};
  if (size > 8) return "integers of more than 64 bits";
  switch (width) {
  case 1: element->type = is_signed ? INT8 : UINT8; element->memory = is_signed ? H5T_NATIVE_INT8 : H5T_NATIVE_UINT8; break;
  case 2: element->type = is_signed ? INT16 : UINT16; element->memory = is_signed ? H5T_NATIVE_INT16 : H5T_NATIVE_UINT16; break;
  case 4: element->type = is_signed ? INT32 : UINT32; element->memory = is_signed ? H5T_NATIVE_INT32 : H5T_NATIVE_UINT32; break;
  default: element->type = is_signed ? INT64 : UINT64; element->memory = is_signed ? H5T_NATIVE_INT64 : H5T_NATIVE_UINT64;
  }
  return NULL;
}

// h5py's bool. It is always unpacked: a file may hold bytes that are neither 0 nor 1.
static const char *enumeration_element(hid_t type, struct element *element) {
  hid_t base = H5Tget_super(type);
  bool is_bool = H5Tget_size(type) == 1 && H5Tget_nmembers(type) == 2 && H5Tget_class(base) == H5T_INTEGER;
  for (unsigned index = 0; is_bool && index < 2; index++) {
    char *name = H5Tget_member_name(type, index);
    signed char value = 2;
    H5Tget_member_value(type, index, &value);
    is_bool = name && ((value == 0 && !strcmp(name, "FALSE")) || (value == 1 && !strcmp(name, "TRUE")));
    H5free_memory(name);
  }
  H5Tclose(base);
  *element = (struct element){.type = is_bool ? BOOL : 0, .size = 1, .memory = type};
  return is_bool ? NULL : "an enumeration that is no bool";
}

const char *vc_h5_element(hid_t type, struct element *element) {
  H5T_order_t order = H5Tget_order(type);
  bool little = order == H5T_ORDER_LE || order == H5T_ORDER_NONE;
  *element = (struct element){0};
  switch (H5Tget_class(type)) {
  case H5T_FLOAT: return float_element(type, little, element);
  case H5T_INTEGER: return integer_element(type, little, element);
  case H5T_ENUM: return enumeration_element(type, element);
  case H5T_OPAQUE:
    if (H5Tget_size(type) != 2) return "opaque bytes";
    *element = (struct element){.type = OPAQUE2, .size = 2, .plain = true, .memory = type};
    return NULL;
  case H5T_STRING: return "strings, not numbers";
  case H5T_COMPOUND: return "compound elements (complex numbers or records)";
  case H5T_ARRAY: return "elements that are arrays";
  case H5T_REFERENCE: return "references, not numbers";
  case H5T_VLEN: return "elements of varying length";
  case H5T_BITFIELD: return "fields of bits, not numbers";
  default: return "elements that are no numbers";
  }
}

bool vc_h5_extent(hid_t space, int *rank, hsize_t dims[H5S_MAX_RANK], uint64_t *count) {
  *rank = 0;
  *count = 0;
  H5S_class_t kind = H5Sget_simple_extent_type(space);
  if (kind == H5S_NULL) {
    *rank = 1;
    dims[0] = 0;
    return true;
  }
  *count = 1;
  if (kind == H5S_SCALAR) return true;
  *rank = H5Sget_simple_extent_dims(space, dims, NULL);
  if (*rank < 0 || *rank > H5S_MAX_RANK) return false;
  bool empty = false;
  for (int axis = 0; axis < *rank; axis++) empty |= dims[axis] == 0;
  for (int axis = 0; axis < *rank; axis++) {
    if (empty ? dims[axis] > INT64_MAX : __builtin_mul_overflow(*count, dims[axis], count)) return false;
  }
  if (empty) *count = 0;
  return *count <= INT64_MAX;
}
