/* One end of a session: a socket on Node's own event loop. What Link (server/link/link.ts) promises is kept here. */
#ifndef PGPIER_LINK_H
#define PGPIER_LINK_H

#include <node_api.h>
#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"
#include "uvPoll.h"

struct environment;
struct path;

struct link {
  struct environment *environment;
  struct link *next, **previous;
  /* NULL once closed. */
  uv_poll_t *poll;
  int fd;
  /* The events that libuv was asked for. */
  int watched;
  /* Wanted by whoever consumes; reading also needs that the peer has not ended. */
  bool reading;
  /* The peer's FIN was read. */
  bool ended;
  /* FIN is to be sent after the queue; `finished`: it was. */
  bool finishing, finished;
  /* The peer takes nothing more; what it said before must still be read. */
  bool deaf;
  bool closing;
  /* Written, and not taken by the kernel yet. */
  struct bytes queue;
  uint64_t bytes_read;
  /* The session it is part of; NULL before path_join. */
  struct path *path;
  /* The NativeLink; strong as long as the socket is open. */
  napi_ref object;
};

/* Takes over a duplicate of `fd`. NULL: it cannot be watched. Starts paused. */
struct link *link_open(struct environment *environment, int fd);
/* False: not all has left, and the consumer is told when it has. The bytes are copied. */
bool link_write(struct link *link, const unsigned char *bytes, size_t length);
void link_read(struct link *link, bool on);
void link_end(struct link *link);
/* Without FIN after what waits; what waits is lost. */
void link_close(struct link *link);

#endif
