/*
 * The fast path of one session: messages pass from one link to the other, and JavaScript hears nothing of it. As soon as there is anything but
 * ordinary forwarding, the path is left, between two messages, and server/session/relay.ts goes on with what was not passed on.
 */
#ifndef PGPIER_PATH_H
#define PGPIER_PATH_H

#include <stdbool.h>
#include <stddef.h>

#include "bytes.h"
#include "ledger.h"

struct link;

enum { HEAD_LENGTH = 5 };

/* One direction's stream, as far as it has been read. */
struct leg {
  struct link *link;
  /* Bytes of a passing message that have yet to come. */
  size_t passing;
  /* The beginning of a message that the edge of a chunk cut off: less than its head, or up to `wanted` bytes of it. */
  unsigned char head[HEAD_LENGTH - 1];
  size_t head_length;
  struct bytes message;
  size_t wanted;
};

struct path {
  struct leg client, backend;
  bool forwarding;
  /* A message came that JavaScript must see; it and what follows lie in its leg's `message`. */
  bool stopped;
  struct ledger ledger;
  /* Of the last ReadyForQuery, and whether any said idle. */
  unsigned char status;
  bool was_idle;
  /* The ParameterStatus messages of this chunk. */
  struct bytes parameters;
};

/* The two become legs of one session. */
void path_join(struct link *client, struct link *backend);
/* Takes a closed link out; the last one takes the path with it. */
void path_part(struct link *link);
/* Nothing may be unanswered, unsent or half read. False: a link is gone. */
bool path_begin(struct path *path, unsigned char status);
/* Hands the session back to JavaScript, if it is here. */
void path_leave(struct path *path);
bool path_forwards(const struct path *path);
/* Everything that passed is answered, and no transaction is open. */
bool path_idle(const struct path *path);

/* `bytes` has HEADROOM before it. */
void path_receive(struct path *path, struct link *from, unsigned char *bytes, size_t length);
/* What `link` could not send has left. */
void path_drained(struct path *path, struct link *link);

#endif
