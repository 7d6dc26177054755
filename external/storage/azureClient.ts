/** The judged door (`azure/httpClient.ts`) in the shape that @azure/storage-blob still asks for, which is that of core-http, its older base. */
import { type RequestPolicy, toHttpHeadersLike } from '@azure/core-http-compat';
import { createHttpHeaders, createPipelineRequest, type HttpClient } from '@azure/core-rest-pipeline';

export function storageHttpClient(door: HttpClient): RequestPolicy {
  return {
    async sendRequest(resource) {
      const { url, method, body, abortSignal, streamResponseStatusCodes } = resource;
      const request = createPipelineRequest({
        url,
        method,
        headers: createHttpHeaders(resource.headers.toJson({ preserveCase: true })),
        ...(body === undefined ? {} : { body }),
        ...(abortSignal === undefined ? {} : { abortSignal }),
        ...(streamResponseStatusCodes === undefined ? {} : { streamResponseStatusCodes }),
      });
      const response = await door.sendRequest(request);
      // The very request that was given: the SDK finds by it what the answer is to be read as.
      return { ...response, request: resource, headers: toHttpHeadersLike(response.headers) };
    },
  };
}
