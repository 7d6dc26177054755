/** Entry of a relay's thread. It lives as long as its relay; an error that nobody caught ends it, and with it PgPier (threads.ts). */
import { parentPort, workerData } from 'node:worker_threads';
import { readConfig } from '../config.ts';
import { doorsOf } from '../hosts/door.ts';
import { Lifecycle } from '../lifecycle.ts';
import { openLog } from '../log.ts';
import { clientLimits } from '../login/clientLimits.ts';
import { sentence } from '../sentence.ts';
import { backendOf } from './backend.ts';
import type { FromThread, ThreadSettings, ToThread } from './messages.ts';
import { askedLimits } from './places.ts';
import { startRelay } from './relay.ts';

const { number, argv, listen, embedded, doors, counted } = workerData as ThreadSettings;
const port = parentPort!;
const send = (message: FromThread): void => port.postMessage(message);

const reading = readConfig(argv, process.env);
if (reading.kind !== 'config') throw new Error('the configuration that the main thread has read cannot be read again');
const { config } = reading;
const log = openLog(config.logLevel).child({ relay: number });
const lifecycle = new Lifecycle(log);
const asked = askedLimits(send);

const starting = startRelay(
  config,
  {
    backend: backendOf(config, embedded),
    doors: doorsOf(config, doors),
    listen,
    sharedPort: true,
    limits: counted ? asked.limits : clientLimits(config.limits),
    warmWorkers: false,
  },
  lifecycle,
  log,
);

port.on('message', async (message: ToThread) => {
  if (message.kind === 'place') return asked.answer(message);
  if (message.kind === 'stop') {
    // Also after a start that failed: what had been started ends.
    await starting.catch(() => {});
    await lifecycle.stop();
    process.exit();
  }
  const relay = await starting;
  switch (message.kind) {
    case 'reload':
      return relay.reload();
    case 'handOver':
      return relay.handOver().then(() => send({ kind: 'handedOver' }));
    case 'figures':
      return send({ kind: 'figures', id: message.id, figures: { ...relay.counters, sessions: relay.sessionCount } });
  }
});
starting.then(
  () => send({ kind: 'ready' }),
  (error: unknown) => send({ kind: 'cannotStart', reason: sentence(error) }),
);
