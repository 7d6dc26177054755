/* How JavaScript is told of things: calls of `onEvent` (addon.ts). */
#include <node_api.h>
#include <string.h>

#include "environment.h"
#include "link.h"
#include "path.h"
#include "values.h"

/* As `event` in addon.ts. */
enum event { EVENT_BYTES, EVENT_ENDED, EVENT_DRAINED, EVENT_CLOSED, EVENT_LEFT, EVENT_PARAMETERS };

/* A copy. Undefined where there is no memory, which JavaScript then tells. */
static napi_value buffer(napi_env env, const void *bytes, size_t length) {
  napi_value result = NULL;
  if (napi_create_buffer_copy(env, length, bytes, NULL, &result) != napi_ok) napi_get_undefined(env, &result);
  return result;
}

static void emit(struct link *link, enum event event, napi_value first, napi_value second) {
  napi_env env = link->environment->env;
  napi_value object = NULL, on_event, arguments[3] = {number(env, event), first, second};
  napi_get_reference_value(env, link->object, &object);
  napi_get_reference_value(env, link->environment->on_event, &on_event);
  if (object == NULL || napi_make_callback(env, NULL, object, on_event, 3, arguments, NULL) == napi_ok) return;
  bool thrown = false;
  napi_value error;
  if (napi_is_exception_pending(env, &thrown) != napi_ok || !thrown) return;
  if (napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_fatal_exception(env, error);
}

/* For events whose values are numbers. */
static void emit_numbers(struct link *link, enum event event, size_t first, size_t second) {
  napi_env env = link->environment->env;
  napi_handle_scope scope;
  napi_open_handle_scope(env, &scope);
  emit(link, event, number(env, (double)first), number(env, (double)second));
  napi_close_handle_scope(env, scope);
}

void emit_bytes(struct link *link, size_t offset, size_t length) { emit_numbers(link, EVENT_BYTES, offset, length); }
void emit_ended(struct link *link) { emit_numbers(link, EVENT_ENDED, 0, 0); }
void emit_drained(struct link *link) { emit_numbers(link, EVENT_DRAINED, 0, 0); }

void emit_closed(struct link *link) {
  emit_numbers(link, EVENT_CLOSED, 0, 0);
  napi_delete_reference(link->environment->env, link->object);
  link->object = NULL;
}

void emit_parameters(struct path *path) {
  struct link *client = path->client.link;
  napi_env env = client->environment->env;
  napi_handle_scope scope;
  napi_open_handle_scope(env, &scope);
  napi_value messages = buffer(env, path->parameters.start, path->parameters.to);
  bytes_clear(&path->parameters);
  emit(client, EVENT_PARAMETERS, messages, number(env, 0));
  napi_close_handle_scope(env, scope);
}

/* What a leg has read and not passed on. */
static napi_value unread(napi_env env, const struct leg *leg) {
  if (leg->head_length > 0) return buffer(env, leg->head, leg->head_length);
  return buffer(env, leg->message.start, leg->message.to);
}

static napi_value pending(napi_env env, const struct ledger *ledger) {
  size_t length = ledger_length(ledger);
  napi_value kinds;
  unsigned char *bytes;
  if (napi_create_buffer(env, length, (void **)&bytes, &kinds) != napi_ok) return buffer(env, NULL, 0);
  for (size_t index = 0; index < length; index++) bytes[index] = ledger_at(ledger, index);
  return kinds;
}

/* A RawLeftPath of addon.ts. */
napi_value left_path(napi_env env, const struct path *path) {
  const struct leg *client = &path->client, *backend = &path->backend;
  const struct ledger *ledger = &path->ledger;
  const struct {
    const char *name;
    napi_value value;
  } fields[] = {
      {"clientBytes", unread(env, client)},
      {"backendBytes", unread(env, backend)},
      {"clientPassing", number(env, (double)client->passing)},
      {"backendPassing", number(env, (double)backend->passing)},
      {"clientBusy", boolean(env, bytes_waiting(&client->link->queue) > 0)},
      {"backendBusy", boolean(env, bytes_waiting(&backend->link->queue) > 0)},
      {"pending", pending(env, ledger)},
      {"skipping", boolean(env, ledger->skipping)},
      {"copyIn", number(env, ledger->copy_in)},
      {"executesSinceSync", number(env, ledger->executes_since_sync)},
      {"status", number(env, path->status)},
      {"wasIdle", boolean(env, path->was_idle)},
  };
  napi_value state;
  napi_create_object(env, &state);
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) napi_set_named_property(env, state, fields[i].name, fields[i].value);
  return state;
}

void emit_left(struct path *path) {
  struct link *client = path->client.link;
  napi_env env = client->environment->env;
  napi_handle_scope scope;
  napi_open_handle_scope(env, &scope);
  emit(client, EVENT_LEFT, left_path(env, path), number(env, 0));
  napi_close_handle_scope(env, scope);
}

