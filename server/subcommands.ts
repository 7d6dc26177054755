/** Every first word that `pgpier` takes. Without one it is the proxy. */
export interface Subcommand {
  readonly name: string;
  /** Behind `pgpier <name>`. */
  readonly usage: string;
  readonly summary: string;
  /**
   * What carries it out: `service` runs until it is stopped (serve.ts, by the configuration's `command`), `program` does one thing and ends with an exit
   * code.
   */
  readonly kind: 'service' | 'program';
  readonly load?: () => Promise<Program>;
}

/** @param argv what follows the first word */
export type Program = (argv: readonly string[], environment: Readonly<Record<string, string | undefined>>) => Promise<number>;

export const subcommands: readonly Subcommand[] = [
  {
    name: 'worker',
    usage: '[--name value …]',
    summary: 'carries jobs out for proxies with the same backend, catalog and key',
    kind: 'service',
  },
  {
    name: 'userfile',
    usage: 'upload|list|get|delete …',
    summary: 'files of userfile:// in and out; `pgpier userfile --help` tells more',
    kind: 'program',
    load: async () => (await import('./userfile/userfile.ts')).runUserfile,
  },
  {
    name: 'rotate-key',
    usage: '[--name value …]',
    summary: 'puts a new secret key in the place of the catalog’s; `docs/keys.md` tells more',
    kind: 'program',
    load: async () => (await import('./rotateKey.ts')).runRotateKey,
  },
];

/** The program that a first word names, if it names one. */
export function findProgram(word: string | undefined): (() => Promise<Program>) | undefined {
  return subcommands.find(({ name, kind }) => kind === 'program' && name === word)?.load;
}
