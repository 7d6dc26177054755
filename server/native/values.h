/* Numbers and truth for JavaScript. */
#ifndef PGPIER_VALUES_H
#define PGPIER_VALUES_H

#include <node_api.h>
#include <stdbool.h>

static inline napi_value boolean(napi_env env, bool value) {
  napi_value result;
  napi_get_boolean(env, value, &result);
  return result;
}

static inline napi_value number(napi_env env, double value) {
  napi_value result;
  napi_create_double(env, value, &result);
  return result;
}

#endif
