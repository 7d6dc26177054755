/*
 * What JavaScript sees (its types: addon.ts). One environment for each of Node's threads. Arguments come from our own TypeScript alone, so they are not
 * checked twice; calls on a link that is gone do nothing.
 */
#include <node_api.h>
#include <stdlib.h>
#include <string.h>

#include "environment.h"
#include "link.h"
#include "path.h"
#include "values.h"

enum { MOST_ARGUMENTS = 3 };

struct call {
  napi_value arguments[MOST_ARGUMENTS];
  struct environment *environment;
  /* Of the first argument. NULL where it never was a link, or no longer is. */
  struct link *link;
};

static struct call read_call(napi_env env, napi_callback_info info) {
  struct call call = {0};
  size_t count = MOST_ARGUMENTS;
  napi_get_cb_info(env, info, &count, call.arguments, NULL, NULL);
  napi_get_instance_data(env, (void **)&call.environment);
  return call;
}

static struct call read_link_call(napi_env env, napi_callback_info info) {
  struct call call = read_call(env, info);
  void *link = NULL;
  if (napi_unwrap(env, call.arguments[0], &link) == napi_ok) call.link = link;
  if (call.link != NULL && call.link->closing) call.link = NULL;
  return call;
}

/* Functions of a link. */

static void forget_link(napi_env env, void *link, void *hint) {
  (void)env;
  (void)hint;
  free(link);
}

static napi_value open_link(napi_env env, napi_callback_info info) {
  struct call call = read_call(env, info);
  int32_t fd;
  struct link *link = napi_get_value_int32(env, call.arguments[1], &fd) == napi_ok ? link_open(call.environment, fd) : NULL;
  if (link == NULL) return boolean(env, false);
  napi_wrap(env, call.arguments[0], link, forget_link, NULL, NULL);
  napi_create_reference(env, call.arguments[0], 1, &link->object);
  return boolean(env, true);
}

static napi_value write_bytes(napi_env env, napi_callback_info info) {
  struct call call = read_link_call(env, info);
  void *bytes;
  size_t length;
  if (call.link == NULL || napi_get_buffer_info(env, call.arguments[1], &bytes, &length) != napi_ok) return boolean(env, true);
  return boolean(env, link_write(call.link, bytes, length));
}

static napi_value set_reading(napi_env env, napi_callback_info info) {
  struct call call = read_link_call(env, info);
  bool on = false;
  napi_get_value_bool(env, call.arguments[1], &on);
  if (call.link != NULL) link_read(call.link, on);
  return NULL;
}

static napi_value end_link(napi_env env, napi_callback_info info) {
  struct call call = read_link_call(env, info);
  if (call.link != NULL) link_end(call.link);
  return NULL;
}

static napi_value destroy_link(napi_env env, napi_callback_info info) {
  struct call call = read_link_call(env, info);
  if (call.link != NULL) link_close(call.link);
  return NULL;
}

static napi_value bytes_read(napi_env env, napi_callback_info info) {
  struct call call = read_link_call(env, info);
  return number(env, call.link == NULL ? 0 : (double)call.link->bytes_read);
}

/* Functions of a path, which is named by its client link. */

static napi_value join_links(napi_env env, napi_callback_info info) {
  struct call call = read_link_call(env, info);
  void *backend;
  if (call.link == NULL || napi_unwrap(env, call.arguments[1], &backend) != napi_ok) return boolean(env, false);
  path_join(call.link, backend);
  return boolean(env, true);
}

static napi_value begin_path(napi_env env, napi_callback_info info) {
  struct call call = read_link_call(env, info);
  uint32_t status = 0;
  napi_get_value_uint32(env, call.arguments[1], &status);
  return boolean(env, call.link != NULL && call.link->path != NULL && path_begin(call.link->path, (unsigned char)status));
}

static napi_value leave_path(napi_env env, napi_callback_info info) {
  struct call call = read_link_call(env, info);
  if (call.link == NULL || !path_forwards(call.link->path)) return NULL;
  call.link->path->forwarding = false;
  return left_path(env, call.link->path);
}

static napi_value idle_path(napi_env env, napi_callback_info info) {
  struct call call = read_link_call(env, info);
  return boolean(env, call.link != NULL && path_forwards(call.link->path) && path_idle(call.link->path));
}

/* The thread's end. */

void environment_link_closed(struct environment *environment) {
  if (!environment->ending || environment->links != NULL) return;
  napi_remove_async_cleanup_hook(environment->cleanup);
  free(environment->candidates.words);
  free(environment);
}

/* Node waits until the hook is removed: until libuv has let go of every socket. */
static void end_environment(napi_async_cleanup_hook_handle handle, void *argument) {
  struct environment *environment = argument;
  environment->cleanup = handle;
  environment->ending = true;
  for (struct link *link = environment->links; link != NULL; link = link->next) link_close(link);
  environment_link_closed(environment);
}

/* initialize(buffer, onEvent, candidates): see addon.ts. */
static napi_value initialize(napi_env env, napi_callback_info info) {
  struct call call = read_call(env, info);
  struct environment *environment = call.environment;
  void *memory, *words;
  size_t length;
  napi_get_buffer_info(env, call.arguments[0], &memory, &length);
  environment->buffer = memory;
  environment->buffer_size = length;
  napi_create_reference(env, call.arguments[0], 1, &environment->buffer_object);
  napi_create_reference(env, call.arguments[1], 1, &environment->on_event);
  napi_value tables[2];
  for (uint32_t i = 0; i < 2; i++) napi_get_element(env, call.arguments[2], i, &tables[i]);
  napi_get_buffer_info(env, tables[0], &memory, &length);
  memcpy(environment->candidates.classes, memory, length < 256 ? length : 256);
  napi_get_buffer_info(env, tables[1], &words, &length);
  environment->candidates.words = malloc(length);
  if (environment->candidates.words == NULL) abort();
  memcpy(environment->candidates.words, words, length);
  environment->candidates.word_count = length / sizeof(int32_t);
  return NULL;
}

NAPI_MODULE_INIT() {
  struct environment *environment = calloc(1, sizeof *environment);
  if (environment == NULL) abort();
  environment->env = env;
  napi_get_uv_event_loop(env, &environment->loop);
  napi_set_instance_data(env, environment, NULL, NULL);
  napi_add_async_cleanup_hook(env, end_environment, environment, NULL);
  const struct {
    const char *name;
    napi_callback function;
  } functions[] = {
      {"initialize", initialize}, {"open", open_link},   {"write", write_bytes}, {"setReading", set_reading}, {"end", end_link},
      {"destroy", destroy_link},  {"bytesRead", bytes_read}, {"join", join_links},   {"begin", begin_path},       {"leave", leave_path},
      {"idle", idle_path},
  };
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    napi_value function;
    napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].function, NULL, &function);
    napi_set_named_property(env, exports, functions[i].name, function);
  }
  return exports;
}
