import type { ConnectionTarget } from '../configuration/connectionUri.ts';
import { HostChoice } from './hostChoice.ts';
import { probesOf } from './probe.ts';

/** The target with the one of its hosts that takes writes now, for a program that does one thing and ends. Rejects with PgPierError `backendUnreachable`. */
export async function writable(target: ConnectionTarget): Promise<ConnectionTarget> {
  const { choice, ...alone } = target;
  if (choice === undefined) return target;
  const probes = probesOf(target);
  const silent = { info: () => {}, warn: () => {} };
  try {
    return { ...alone, ...(await new HostChoice({ ...choice, sessionAttrs: 'read-write' }, probes.probe, silent).choose()) };
  } finally {
    await probes.close();
  }
}
