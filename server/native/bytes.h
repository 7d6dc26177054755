/* Bytes that wait in memory of their own; nothing is held while there are none. */
#ifndef PGPIER_BYTES_H
#define PGPIER_BYTES_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct bytes {
  unsigned char *start;
  /* What waits lies between these offsets. */
  size_t from, to;
  size_t capacity;
};

static inline size_t bytes_waiting(const struct bytes *bytes) { return bytes->to - bytes->from; }

static inline void bytes_clear(struct bytes *bytes) {
  free(bytes->start);
  *bytes = (struct bytes){0};
}

/* Makes room for so many more. Memory that cannot be had ends the process, as it does everywhere in Node. */
static inline void bytes_reserve(struct bytes *bytes, size_t more) {
  if (bytes->capacity - bytes->to >= more) return;
  size_t waiting = bytes_waiting(bytes);
  if (bytes->from > 0) memmove(bytes->start, bytes->start + bytes->from, waiting);
  bytes->from = 0;
  bytes->to = waiting;
  if (bytes->capacity - waiting >= more) return;
  size_t capacity = waiting + more > 2 * bytes->capacity ? waiting + more : 2 * bytes->capacity;
  unsigned char *grown = realloc(bytes->start, capacity);
  if (grown == NULL) abort();
  bytes->start = grown;
  bytes->capacity = capacity;
}

static inline void bytes_append(struct bytes *bytes, const unsigned char *more, size_t length) {
  if (length == 0) return;
  bytes_reserve(bytes, length);
  memcpy(bytes->start + bytes->to, more, length);
  bytes->to += length;
}

#endif
