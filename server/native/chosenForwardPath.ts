/** Which forward path sessions without TLS take: the setting, and what this machine has. */
import type { NativeSetting } from '../config.ts';
import { type NativeLinks, openNativeLinks } from './nativeLinks.ts';

/** Says in the log which it is. @throws Error where the setting is `on` and there is no addon */
export function chosenForwardPath(
  setting: NativeSetting,
  log: { info(fields: object, message: string): void },
  open: () => NativeLinks = openNativeLinks,
): NativeLinks | undefined {
  if (setting === 'off') {
    log.info({}, 'forward path: JavaScript, as PGPIER_NATIVE says');
    return undefined;
  }
  try {
    const links = open();
    log.info({}, 'forward path: native, for sessions without TLS');
    return links;
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    if (setting === 'on') throw new Error(`PGPIER_NATIVE is on, and the native forward path cannot be used: ${reason}`);
    log.info({ reason }, 'forward path: JavaScript; the native one is not there (server/native/README.md)');
    return undefined;
  }
}
