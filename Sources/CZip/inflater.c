#include "czip.h"
#include <stdbool.h>
#include <stdlib.h>
#include <zlib.h>

struct vc_inflater {
  z_stream stream;
  const uint8_t *next;
  size_t rest;
  bool ended;
};

vc_inflater *vc_inflater_create(const void *packed, size_t length) {
  vc_inflater *inflater = calloc(1, sizeof *inflater);
  if (!inflater) return NULL;
  // Negative: no header and no checksum around the stream.
  if (inflateInit2(&inflater->stream, -MAX_WBITS) != Z_OK) {
    free(inflater);
    return NULL;
  }
  inflater->next = packed;
  inflater->rest = length;
  return inflater;
}

// zlib counts in 32 bits.
static uInt piece(size_t length) { return length < 1u << 30 ? (uInt)length : 1u << 30; }

int64_t vc_inflater_read(vc_inflater *inflater, void *target, size_t length) {
  z_stream *stream = &inflater->stream;
  size_t done = 0;
  while (done < length && !inflater->ended) {
    uInt in = piece(inflater->rest), out = piece(length - done);
    stream->next_in = (Bytef *)inflater->next;
    stream->avail_in = in;
    stream->next_out = (Bytef *)target + done;
    stream->avail_out = out;
    int status = inflate(stream, Z_NO_FLUSH);
    inflater->next += in - stream->avail_in;
    inflater->rest -= in - stream->avail_in;
    done += out - stream->avail_out;
    if (status == Z_STREAM_END) inflater->ended = true;
    // Without progress there is no more to come: the stream is cut.
    else if (status != Z_OK) return -1;
  }
  return (int64_t)done;
}

void vc_inflater_free(vc_inflater *inflater) {
  if (!inflater) return;
  inflateEnd(&inflater->stream);
  free(inflater);
}
