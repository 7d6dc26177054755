/** The times of NEWER THAN and OLDER THAN. */
import { folderTime, parseFolder } from '../jobs/backup/collection.ts';

const spanMilliseconds: Readonly<Record<string, number>> = { w: 604_800_000, d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000, ms: 1 };

/**
 * A backup's folder, a span before `now` as CockroachDB writes them (`-36h`, `-1d12h`), or an ISO 8601 time or date; without a zone it is in `timeZone`
 * (the session's). Undefined for anything else.
 */
export function readBackupTime(text: string, now: Date, timeZone: string): Date | undefined {
  const folder = parseFolder(text);
  if (folder !== undefined) return folderTime(folder);
  const trimmed = text.trim();
  return readSpan(trimmed, now) ?? readIso(trimmed, timeZone);
}

function readSpan(text: string, now: Date): Date | undefined {
  if (!/^-(\d+(\.\d+)?(ms|[wdhms]))+$/.test(text)) return undefined;
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|[wdhms])/g)];
  const milliseconds = parts.reduce((sum, [, count, unit]) => sum + Number(count) * spanMilliseconds[unit!]!, 0);
  return valid(new Date(now.getTime() - milliseconds));
}

function readIso(text: string, timeZone: string): Date | undefined {
  const parts = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d(?:\.\d{1,9})?)?)?\s*(Z|z|UTC|[+-]\d\d(?::?\d\d)?)?$/.exec(text);
  if (parts === null) return undefined;
  const [, date, minutes = '00:00', seconds = ':00', zone] = parts;
  const local = valid(new Date(`${date}T${minutes}${seconds}Z`));
  // The 31st of February is the 3rd of March to Date.
  if (local === undefined || !local.toISOString().startsWith(date!)) return undefined;
  if (zone === undefined) return inZone(local, timeZone);
  const [, sign, hours = '0', rest = '0'] = /^([+-])(\d\d):?(\d\d)?$/.exec(zone) ?? [];
  const offset = (Number(hours) * 60 + Number(rest)) * 60_000 * (sign === '-' ? -1 : 1);
  return new Date(local.getTime() - offset);
}

/** The moment at which clocks of the zone show what `local` shows in UTC. */
function inZone(local: Date, timeZone: string): Date | undefined {
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat('sv-SE', { timeZone, dateStyle: 'short', timeStyle: 'medium' });
  } catch {
    return undefined;
  }
  const whole = local.getTime() - local.getUTCMilliseconds();
  const offsetAt = (time: number) => Date.parse(`${format.format(time).replace(' ', 'T')}Z`) - time;
  const guess = whole - offsetAt(whole);
  return valid(new Date(local.getTime() - offsetAt(guess)));
}

const valid = (time: Date): Date | undefined => (Number.isNaN(time.getTime()) ? undefined : time);
