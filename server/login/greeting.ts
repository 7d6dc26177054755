/** From AuthenticationOk to the first ReadyForQuery: all of it is relayed; the cancel key alone is replaced by one of ours. */
import { PgPierError } from '../../errors.ts';
import { type BackendKeyData, backendKeyData, readBackendKeyData } from '../../protocol/backend/backendKeyData.ts';
import { readParameterStatus } from '../../protocol/backend/parameterStatus.ts';
import { backendType } from '../../protocol/frame.ts';
import type { Link } from '../link/link.ts';
import { mintSecret } from './cancel.ts';
import { BackendRefusal, maxLoginMessageLength } from './exchange.ts';
import type { LinkReader } from './linkReader.ts';
import type { Peers } from './peers.ts';

export interface Greeting {
  readonly parameters: Map<string, string>;
  /** The backend's own key and the secret that the client was given in its place; undefined where the backend sent none. */
  readonly key: { readonly backend: BackendKeyData; readonly secret: Buffer } | undefined;
}

export interface GreetingOptions {
  readonly peers?: Peers | undefined;
  /** Throws what the client is told instead of its first ReadyForQuery. */
  readonly check?: (parameters: ReadonlyMap<string, string>) => void;
}

/** Throws PgPierError (to be sent as FATAL), BackendRefusal (its error has been relayed), PeerGone, BadLength. */
export async function relayGreeting(client: Link, backend: LinkReader, { peers, check }: GreetingOptions = {}): Promise<Greeting> {
  const parameters = new Map<string, string>();
  let key: Greeting['key'];
  let out: Buffer[] = [];
  const flush = (): void => {
    if (out.length > 0) client.write(Buffer.concat(out));
    out = [];
  };
  for (;;) {
    if (!backend.hasMessage) flush();
    const message = await backend.message(maxLoginMessageLength);
    switch (message[0]) {
      case backendType.parameterStatus: {
        const [name, value] = parameter(message);
        parameters.set(name, value);
        out.push(message);
        break;
      }
      case backendType.backendKeyData: {
        const own = readBackendKeyData(message);
        // An empty key cannot be cancelled with, and drivers fail on it: as if there were none.
        if (!own) break;
        key = { backend: own, secret: mintSecret(own.secret.length, peers) };
        out.push(backendKeyData({ pid: own.pid, secret: key.secret }));
        break;
      }
      case backendType.noticeResponse:
      case backendType.notificationResponse:
        out.push(message);
        break;
      case backendType.errorResponse:
        out.push(message);
        flush();
        throw new BackendRefusal(message);
      case backendType.readyForQuery:
        check?.(parameters);
        out.push(message);
        flush();
        return { parameters, key };
      default:
        flush();
        throw new PgPierError('backendLoginProtocol', { detail: `message type ${message[0]} in the greeting` }, { severity: 'FATAL' });
    }
  }
}

function parameter(message: Buffer): readonly [string, string] {
  try {
    return readParameterStatus(message);
  } catch (error) {
    if (error instanceof RangeError)
      throw new PgPierError('backendLoginProtocol', { detail: 'a malformed parameter' }, { severity: 'FATAL' });
    throw error;
  }
}
