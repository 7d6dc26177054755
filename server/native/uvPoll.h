/*
 * The part of libuv that is used here. Node exports libuv to addons, but its headers come only with Node's own sources, which no registry
 * that PgPier relies on carries; so these few lines of <uv.h> stand here. libuv keeps them as they are through all of version 1.
 */
#ifndef PGPIER_UV_POLL_H
#define PGPIER_UV_POLL_H

#include <stddef.h>

typedef struct uv_loop_s uv_loop_t;
/* Sizes are libuv's to know: uv_handle_size(UV_POLL). */
typedef struct uv_handle_s uv_handle_t;
typedef struct uv_poll_s uv_poll_t;
typedef void (*uv_poll_cb)(uv_poll_t *handle, int status, int events);
typedef void (*uv_close_cb)(uv_handle_t *handle);

enum { UV_POLL = 8 };
enum { UV_READABLE = 1, UV_WRITABLE = 2 };

size_t uv_handle_size(int type);
void *uv_handle_get_data(const uv_handle_t *handle);
void uv_handle_set_data(uv_handle_t *handle, void *data);
void uv_close(uv_handle_t *handle, uv_close_cb closed);
int uv_poll_init(uv_loop_t *loop, uv_poll_t *handle, int fd);
int uv_poll_start(uv_poll_t *handle, int events, uv_poll_cb ready);
int uv_poll_stop(uv_poll_t *handle);

#endif
