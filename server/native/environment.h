/* What one of Node's threads shares among its links, and how JavaScript is told. */
#ifndef PGPIER_ENVIRONMENT_H
#define PGPIER_ENVIRONMENT_H

#include <node_api.h>
#include <stdbool.h>

#include "candidate.h"
#include "uvPoll.h"

struct link;
struct path;

/* Free bytes before those that were read: room for a message head that the last chunk ended in. */
enum { HEADROOM = 8 };

struct environment {
  napi_env env;
  uv_loop_t *loop;
  /* Every link reads into this one: a thread handles one chunk at a time, and nothing of it is needed afterwards. */
  unsigned char *buffer;
  size_t buffer_size;
  napi_ref buffer_object, on_event;
  struct candidates candidates;
  /* Those that are open. */
  struct link *links;
  napi_async_cleanup_hook_handle cleanup;
  /* The thread ends: JavaScript cannot be told anything more. */
  bool ending;
};

/* Each calls `onEvent` (server/native/addon.ts), which may do anything to the link, but for making it invalid. */
void emit_bytes(struct link *link, size_t offset, size_t length);
void emit_ended(struct link *link);
void emit_drained(struct link *link);
/* Also lets go of the NativeLink. */
void emit_closed(struct link *link);
/* With all that the fast path knows. */
void emit_left(struct path *path);
void emit_parameters(struct path *path);

/* What emit_left tells; also the answer to leave(). */
napi_value left_path(napi_env env, const struct path *path);

void environment_link_closed(struct environment *environment);

#endif
