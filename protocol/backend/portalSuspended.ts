/** PortalSuspended: `s`, the Execute's row limit was reached. */
import { backendType } from '../frame.ts';

export const portalSuspended: Buffer = Buffer.from([backendType.portalSuspended, 0, 0, 0, 4]);
