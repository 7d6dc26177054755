#include "path.h"

#include "environment.h"
#include "link.h"

/* As `largestHeld` in relay.ts: longer messages are not kept to be looked at. */
enum { LARGEST_HELD = 1 << 20 };

/* What each type that the client sends adds to the ledger; as `entryOf` in relay.ts. */
static const uint8_t entry_of[256] = {
    ['P'] = SENT_PARSE, ['B'] = SENT_BIND,  ['D'] = SENT_DESCRIBE,      ['C'] = SENT_CLOSE,    ['E'] = SENT_EXECUTE,
    ['S'] = SENT_SYNC,  ['Q'] = SENT_QUERY, ['F'] = SENT_FUNCTION_CALL, ['c'] = SENT_COPY_END, ['f'] = SENT_COPY_END,
};

void path_join(struct link *client, struct link *backend) {
  struct path *path = calloc(1, sizeof *path);
  if (path == NULL) abort();
  path->client.link = client;
  path->backend.link = backend;
  client->path = backend->path = path;
}

static void forget(struct leg *leg) {
  leg->passing = leg->head_length = leg->wanted = 0;
  bytes_clear(&leg->message);
}

void path_part(struct link *link) {
  struct path *path = link->path;
  if (path == NULL) return;
  link->path = NULL;
  if (path->client.link == link) path->client.link = NULL;
  else path->backend.link = NULL;
  if (path->client.link != NULL || path->backend.link != NULL) return;
  forget(&path->client);
  forget(&path->backend);
  bytes_clear(&path->parameters);
  ledger_reset(&path->ledger);
  free(path);
}

bool path_begin(struct path *path, unsigned char status) {
  struct link *client = path->client.link, *backend = path->backend.link;
  if (client == NULL || backend == NULL || client->closing || backend->closing) return false;
  ledger_reset(&path->ledger);
  forget(&path->client);
  forget(&path->backend);
  path->status = status;
  path->was_idle = path->stopped = false;
  path->forwarding = true;
  link_read(client, true);
  link_read(backend, true);
  return true;
}

void path_leave(struct path *path) {
  if (!path->forwarding) return;
  path->forwarding = false;
  emit_left(path);
}

bool path_forwards(const struct path *path) { return path != NULL && path->forwarding; }

bool path_idle(const struct path *path) { return ledger_length(&path->ledger) == 0 && path->status == 'I'; }

void path_drained(struct path *path, struct link *link) {
  link_read(link == path->client.link ? path->backend.link : path->client.link, true);
}

static int32_t length_at(const unsigned char *bytes) {
  return (int32_t)((uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3]);
}

/* Passes over what is left of a message, and begins with the next. */
static size_t after_passing(struct leg *leg, size_t length) {
  size_t position = leg->passing < length ? leg->passing : length;
  leg->passing -= position;
  return position;
}

/* The message that begins at `position` passes, whether all of it is here or not. The position behind what is here. */
static size_t pass(struct leg *leg, size_t end, size_t length) {
  if (end <= length) return end;
  leg->passing = end - length;
  return length;
}

static void keep_head(struct leg *leg, const unsigned char *bytes, size_t length) {
  memcpy(leg->head, bytes, length);
  leg->head_length = length;
}

static void keep_until(struct leg *leg, size_t wanted, const unsigned char *bytes, size_t length) {
  leg->wanted = wanted;
  bytes_reserve(&leg->message, wanted);
  bytes_append(&leg->message, bytes, length);
}

/* Whether a whole Query or Parse may concern us. A Parse's text stands behind the statement's name. */
static bool suspicious(const struct path *path, const unsigned char *message, size_t length) {
  const unsigned char *text = message + HEAD_LENGTH, *end = message + length;
  if (message[0] == 'P') {
    text = memchr(text, 0, (size_t)(end - text));
    if (text == NULL) return false;
    text++;
  }
  /* Without the closing NUL. */
  if (end - text < 2) return false;
  return may_be_own(&path->client.link->environment->candidates, text, (size_t)(end - text) - 1);
}

/*
 * Reads the heads in client bytes. Returns up to where they pass; the rest is kept in the leg, or, with `stopped`, is for JavaScript to see. The
 * order of the cases is that of #scanClient in relay.ts.
 */
static size_t scan_client(struct path *path, const unsigned char *bytes, size_t length) {
  struct leg *leg = &path->client;
  size_t position = after_passing(leg, length);
  while (position < length) {
    size_t available = length - position;
    const unsigned char *message = bytes + position;
    if (available < HEAD_LENGTH) {
      keep_head(leg, message, available);
      break;
    }
    int32_t declared = length_at(message + 1);
    path->stopped = declared < 4;
    if (path->stopped) break;
    size_t whole = 1 + (size_t)declared;
    if ((message[0] == 'Q' || message[0] == 'P') && declared <= LARGEST_HELD) {
      if (whole > available) {
        keep_until(leg, whole, message, available);
        break;
      }
      path->stopped = suspicious(path, message, whole);
      if (path->stopped) break;
    }
    if (entry_of[message[0]] != 0) ledger_push(&path->ledger, entry_of[message[0]]);
    position = pass(leg, position + whole, length);
  }
  return position;
}

/* The same for the backend's; see #scanBackend in relay.ts. */
static size_t scan_backend(struct path *path, const unsigned char *bytes, size_t length) {
  struct leg *leg = &path->backend;
  size_t position = after_passing(leg, length);
  while (position < length) {
    size_t available = length - position;
    const unsigned char *message = bytes + position;
    if (available < HEAD_LENGTH) {
      keep_head(leg, message, available);
      break;
    }
    int32_t declared = length_at(message + 1);
    path->stopped = declared < 4;
    if (path->stopped) break;
    size_t whole = 1 + (size_t)declared;
    unsigned char type = message[0];
    if (type != 'D' && type != 'd') {
      if (whole > available && declared <= LARGEST_HELD) {
        keep_until(leg, whole, message, available);
        break;
      }
      /* An error that answers nothing is the backend's farewell; a ReadyForQuery of another length is no such thing. */
      path->stopped = (type == 'E' && ledger_length(&path->ledger) == 0) || (type == 'Z' && declared != 5);
      if (path->stopped) break;
      if (type == 'Z') {
        path->status = message[HEAD_LENGTH];
        path->was_idle |= path->status == 'I';
      } else if (type == 'S' && whole <= available) {
        bytes_append(&path->parameters, message, whole);
      }
      ledger_receive(&path->ledger, type);
    }
    position = pass(leg, position + whole, length);
  }
  return position;
}

/* Reads a piece that begins with a message, or with what is left of one, and writes what passes. What JavaScript must see is kept. */
static void forward(struct path *path, struct leg *leg, const unsigned char *bytes, size_t length) {
  bool client = leg == &path->client;
  size_t passed = client ? scan_client(path, bytes, length) : scan_backend(path, bytes, length);
  if (passed > 0) link_write(client ? path->backend.link : path->client.link, bytes, passed);
  if (path->stopped) bytes_append(&leg->message, bytes + passed, length - passed);
}

void path_receive(struct path *path, struct link *from, unsigned char *bytes, size_t length) {
  struct leg *leg = from == path->client.link ? &path->client : &path->backend;
  struct link *to = leg == &path->client ? path->backend.link : path->client.link;
  if (leg->head_length > 0) {
    bytes -= leg->head_length;
    length += leg->head_length;
    memcpy(bytes, leg->head, leg->head_length);
    leg->head_length = 0;
  } else if (leg->wanted > 0) {
    size_t missing = leg->wanted - bytes_waiting(&leg->message), taken = missing < length ? missing : length;
    bytes_append(&leg->message, bytes, taken);
    if (taken < missing) return;
    bytes += taken;
    length -= taken;
    struct bytes whole = leg->message;
    leg->message = (struct bytes){0};
    leg->wanted = 0;
    forward(path, leg, whole.start, whole.to);
    bytes_clear(&whole);
    if (path->stopped) bytes_append(&leg->message, bytes, length);
  }
  if (length > 0 && !path->stopped) forward(path, leg, bytes, length);
  if (bytes_waiting(&to->queue) > 0) from->reading = false;
  /* Last: JavaScript may do anything. */
  if (bytes_waiting(&path->parameters) > 0) emit_parameters(path);
  if (path->stopped) path_leave(path);
}
