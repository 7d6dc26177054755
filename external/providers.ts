/** Every kind of thing outside that a connection may lead to, and which of them a scheme means in CREATE EXTERNAL CONNECTION. */
import { findKeyService, type KeyServiceProvider } from './kms/keyServices.ts';
import { findSink, type SinkProvider } from './sinks/sinks.ts';
import { findStorage, type StorageProvider } from './storage/storages.ts';

export type ConnectionProvider =
  | { readonly kind: 'storage'; readonly provider: StorageProvider }
  | { readonly kind: 'keyService'; readonly provider: KeyServiceProvider }
  | { readonly kind: 'sink'; readonly provider: SinkProvider };

/**
 * `http` and `https` are sinks here (schema registries), as in CockroachDB: what cannot be listed is no storage for a connection to prove.
 * `undefined` for a scheme that no connection may have.
 */
export function findProvider(scheme: string): ConnectionProvider | undefined {
  const keyService = findKeyService(scheme);
  if (keyService) return { kind: 'keyService', provider: keyService };
  const sink = findSink(scheme);
  if (sink) return { kind: 'sink', provider: sink };
  const storage = findStorage(scheme);
  return storage && { kind: 'storage', provider: storage };
}

/** The type that the catalog keeps (spec §1.1): all sinks of changefeeds are typed STORAGE. */
export function typeOf({ kind }: ConnectionProvider): 'STORAGE' | 'KMS' {
  return kind === 'keyService' ? 'KMS' : 'STORAGE';
}
