/** What the AWS SDK throws: the fields that are looked at. */
export interface Thrown {
  readonly name?: unknown;
  readonly code?: unknown;
  readonly Code?: unknown;
  readonly cause?: unknown;
  readonly $metadata?: { readonly httpStatusCode?: number };
  readonly $response?: { readonly statusCode?: number };
}

/** The service's word for the error, without the `Exception` that the newer protocols put behind it; undefined if the answer could not be read. */
export function codeOf(thrown: Thrown): string | undefined {
  const found = [thrown.Code, thrown.name].find((text) => typeof text === 'string' && /^[A-Za-z][A-Za-z0-9.]{2,63}$/.test(text));
  return typeof found === 'string' && !/^(Syntax|Type)?Error$/.test(found) ? found.replace(/Exception$/, '') : undefined;
}

export function statusOf(thrown: Thrown): number | undefined {
  return thrown.$metadata?.httpStatusCode ?? thrown.$response?.statusCode;
}
