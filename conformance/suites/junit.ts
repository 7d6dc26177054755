/** JUnit's XML report, as pytest and Maven's Surefire write it. */
import type { Item } from '../check.ts';

const entities: Readonly<Record<string, string>> = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' };

/** A case that is told twice, as Surefire tells a run again, counts as failed if it ever failed. */
export function itemsOfJunit(xml: string): Item[] {
  const items = new Map<string, Item>();
  for (const [, attributes = '', body = ''] of xml.matchAll(/<testcase\s((?:[^">]|"[^"]*")*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)) {
    const name = `${attribute(attributes, 'classname')}::${attribute(attributes, 'name')}`;
    const failed = /<(?:failure|error)\b((?:[^">]|"[^"]*")*?)(?:\/>|>([\s\S]*?)<\/(?:failure|error)>)/.exec(body);
    const item: Item = failed
      ? { name, failure: (attribute(failed[1]!, 'message') || text(failed[2] ?? '')).trim().replace(/\s+/g, ' ').slice(0, 300) }
      : /<skipped\b/.test(body)
        ? { name, skipped: true }
        : { name };
    if (items.get(name)?.failure === undefined) items.set(name, item);
  }
  return [...items.values()];
}

const attribute = (attributes: string, name: string): string => text(new RegExp(`\\b${name}="([^"]*)"`).exec(attributes)?.[1] ?? '');
const text = (xml: string): string =>
  xml
    .replace(/<!\[CDATA\[([\s\S]*?)\]\]>/g, '$1')
    .replace(/&(?:#(\d+)|#x([0-9a-fA-F]+)|(\w+));/g, (all, decimal, hex, entity) =>
      decimal ? String.fromCodePoint(Number(decimal)) : hex ? String.fromCodePoint(Number.parseInt(hex, 16)) : (entities[entity] ?? all),
    );
