/** How a request over HTTP begins, whatever the store: by the agents that judge addresses, with limits on connecting and on silence. */
import * as http from 'node:http';
import * as https from 'node:https';
import type { Egress } from './egress.ts';

const connectMilliseconds = 10_000;
/** A server that says and takes nothing for so long is given up; large answers and uploads that move never meet it. */
export const silentMilliseconds = 60_000;

/**
 * The caller listens for `error` and `response`, writes the body and ends it. Who is given up is destroyed with an error of code ETIMEDOUT; a redirect is an
 * answer like any other, and nothing of the environment is used as a proxy. Whoever hands the answer on as a stream says `setTimeout(0)`: a slow reader is no
 * silent server, and `watched` in `storage/body.ts` tells them apart.
 */
export function openRequest(egress: Pick<Egress, 'httpAgent' | 'httpsAgent'>, options: https.RequestOptions): http.ClientRequest {
  const secure = options.protocol === 'https:';
  const outgoing = (secure ? https : http).request({ ...options, agent: secure ? egress.httpsAgent : egress.httpAgent });
  const giveUp = () => outgoing.destroy(timedOut());
  outgoing.setTimeout(silentMilliseconds, giveUp);
  outgoing.once('socket', (socket) => {
    if (!socket.connecting) return;
    const late = setTimeout(giveUp, connectMilliseconds);
    const settled = () => clearTimeout(late);
    socket.once(secure ? 'secureConnect' : 'connect', settled);
    outgoing.once('close', settled);
  });
  return outgoing;
}

export function timedOut(): Error {
  return Object.assign(new Error('no answer in time'), { code: 'ETIMEDOUT' });
}
