#define _GNU_SOURCE
#include "link.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "environment.h"
#include "path.h"

static void on_ready(uv_poll_t *handle, int status, int events);

/* Asks libuv for what is wanted now. Each change costs two system calls, so none is made that changes nothing. */
static void watch(struct link *link) {
  if (link->closing) return;
  int wanted = (link->reading && !link->ended ? UV_READABLE : 0) | (bytes_waiting(&link->queue) > 0 ? UV_WRITABLE : 0);
  if (wanted == link->watched) return;
  link->watched = wanted;
  if (wanted == 0) uv_poll_stop(link->poll);
  else uv_poll_start(link->poll, wanted, on_ready);
}

struct link *link_open(struct environment *environment, int fd) {
  int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (own < 0) return NULL;
  struct link *link = calloc(1, sizeof *link);
  uv_poll_t *poll = malloc(uv_handle_size(UV_POLL));
  if (link == NULL || poll == NULL || uv_poll_init(environment->loop, poll, own) != 0) {
    free(poll);
    free(link);
    close(own);
    return NULL;
  }
  uv_handle_set_data((uv_handle_t *)poll, link);
  link->environment = environment;
  link->poll = poll;
  link->fd = own;
  link->next = environment->links;
  link->previous = &environment->links;
  if (link->next != NULL) link->next->previous = &link->next;
  environment->links = link;
  return link;
}

static void on_closed(uv_handle_t *handle) {
  struct link *link = uv_handle_get_data(handle);
  struct environment *environment = link->environment;
  free(handle);
  link->poll = NULL;
  *link->previous = link->next;
  if (link->next != NULL) link->next->previous = link->previous;
  if (!environment->ending) {
    if (link->path != NULL) path_leave(link->path);
    emit_closed(link);
  }
  path_part(link);
  environment_link_closed(environment);
}

void link_close(struct link *link) {
  if (link->closing) return;
  link->closing = true;
  uv_close((uv_handle_t *)link->poll, on_closed);
  close(link->fd);
  bytes_clear(&link->queue);
}

/* What the kernel takes at once. */
static size_t transmit(struct link *link, const unsigned char *bytes, size_t length) {
  for (;;) {
    ssize_t sent = send(link->fd, bytes, length, MSG_NOSIGNAL);
    if (sent >= 0) return (size_t)sent;
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
    /* A backend that ended says why before it closes: that is read first, and its end closes the link. */
    if (errno == EPIPE || errno == ECONNRESET) link->deaf = true;
    else link_close(link);
    return 0;
  }
}

bool link_write(struct link *link, const unsigned char *bytes, size_t length) {
  if (link->closing || link->finishing || link->deaf) return true;
  size_t sent = bytes_waiting(&link->queue) == 0 ? transmit(link, bytes, length) : 0;
  if (sent == length || link->closing || link->deaf) return true;
  bytes_append(&link->queue, bytes + sent, length - sent);
  watch(link);
  return false;
}

void link_read(struct link *link, bool on) {
  link->reading = on;
  watch(link);
}

static void finish(struct link *link) {
  shutdown(link->fd, SHUT_WR);
  link->finished = true;
  if (link->ended) link_close(link);
}

void link_end(struct link *link) {
  if (link->closing || link->finishing) return;
  link->finishing = true;
  if (bytes_waiting(&link->queue) == 0) finish(link);
}

static void send_queue(struct link *link) {
  link->queue.from += transmit(link, link->queue.start + link->queue.from, bytes_waiting(&link->queue));
  if (link->closing || (bytes_waiting(&link->queue) > 0 && !link->deaf)) return;
  bytes_clear(&link->queue);
  if (link->finishing) finish(link);
  if (path_forwards(link->path)) path_drained(link->path, link);
  else emit_drained(link);
}

static void receive(struct link *link) {
  unsigned char *bytes = link->environment->buffer + HEADROOM;
  ssize_t length = recv(link->fd, bytes, link->environment->buffer_size - HEADROOM, 0);
  if (length > 0) {
    link->bytes_read += (uint64_t)length;
    if (path_forwards(link->path)) path_receive(link->path, link, bytes, (size_t)length);
    else emit_bytes(link, HEADROOM, (size_t)length);
  } else if (length == 0 && link->deaf) {
    /* The error was told to whoever wrote: this is the end of both directions, not a FIN. */
    link_close(link);
  } else if (length == 0) {
    link->ended = true;
    if (link->path != NULL) path_leave(link->path);
    if (link->finished) link_close(link);
    emit_ended(link);
  } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
    link_close(link);
  }
}

/* Whatever JavaScript does while it is told, `link` stays: its object is held until on_closed, which only the event loop calls. */
static void on_ready(uv_poll_t *handle, int status, int events) {
  struct link *link = uv_handle_get_data((const uv_handle_t *)handle);
  if (status < 0) {
    /* The socket failed, and libuv has stopped watching: reading tells what is left, and then the error. */
    link->watched = 0;
    events = UV_READABLE | UV_WRITABLE;
  }
  if ((events & UV_WRITABLE) && bytes_waiting(&link->queue) > 0) send_queue(link);
  if ((events & UV_READABLE) && link->reading && !link->ended && !link->closing) receive(link);
  watch(link);
}
