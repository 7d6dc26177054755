/**
 * Which errors mean that a store knows the credentials no more: it refuses who is asking, whatever is asked. That one operation is not allowed, or that a
 * clock is wrong, means something else: other credentials would not help, or would do what these must not.
 */
import { type ErrorName, PgPierError } from '../../errors.ts';

/** Thrown by providers for this and nothing else; a provider with an error of its own for it adds a line. */
const refusals: ReadonlySet<ErrorName> = new Set<ErrorName>([
  'storageCredentialsRejected',
  'storageSecretWrong',
  'storageTokenExpired',
  // AUTH=implicit on a machine that has none.
  'storageCredentialsMissing',
]);

export function refusesCredentials(error: unknown): error is PgPierError {
  return error instanceof PgPierError && error.entry !== undefined && refusals.has(error.entry);
}
