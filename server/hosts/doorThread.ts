/** Entry of a door's thread: each connection is led to the host that takes writes now. */
import * as net from 'node:net';
import { join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { PgPierError } from '../../errors.ts';
import { errorResponse } from '../../protocol/backend/errorResponse.ts';
import { readConfig } from '../config.ts';
import { joinLinks } from '../link/joinLinks.ts';
import { SocketLink } from '../link/socketLink.ts';
import { openLog } from '../log.ts';
import { connectChosen } from '../login/backend.ts';
import { backendTargetOf } from '../relays/backend.ts';
import { type DoorSettings, doorPort, targetOf } from './door.ts';
import { HostChoice } from './hostChoice.ts';
import { probesOf } from './probe.ts';

const { which, argv, directory } = workerData as DoorSettings;
const reading = readConfig(argv, process.env);
if (reading.kind !== 'config') throw new Error('the configuration that the main thread has read cannot be read again');
const { config } = reading;
const target = targetOf(config, which)!;
const backend = backendTargetOf(target, config);
const log = openLog(config.logLevel).child({ door: which });
// What PgPier itself does needs to write, whatever clients are after.
const hosts = new HostChoice({ ...target.choice!, sessionAttrs: 'read-write' }, probesOf(target).probe, log);

const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true }, async (socket) => {
  const client = new SocketLink(socket);
  const gone = new AbortController();
  client.onClose = () => gone.abort(new Error('the client has left'));
  try {
    const { link } = await connectChosen(backend, hosts, gone.signal);
    void joinLinks(client, link);
    client.resume();
    link.resume();
  } catch (error) {
    const told = error instanceof PgPierError ? error : new PgPierError('backendUnreachable', { reason: 'connection failed' });
    client.write(errorResponse({ ...told.data, severity: 'FATAL' }));
    client.end();
    socket.resume();
  }
});
server.listen(join(directory, `.s.PGSQL.${doorPort}`), () => parentPort!.postMessage('open'));
