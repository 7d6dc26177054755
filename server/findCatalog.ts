/** The catalog of a configuration, for programs beside the one that serves: they log in to it, and never start or make anything. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { CatalogLogin } from '../external/storage/storage.ts';
import type { Config } from './config.ts';
import type { ConnectionTarget } from './configuration/connectionUri.ts';
import { chooseRunAs } from './embedded/account.ts';
import { placeData } from './embedded/place.ts';
import { runningAt } from './embedded/postmaster.ts';
import { writable } from './hosts/writable.ts';
import { catalogLogin, findServiceLogin, type ServiceLogin } from './serviceLogin.ts';

export interface FoundCatalog {
  readonly target: ConnectionTarget;
  readonly service: ServiceLogin;
  /** Of the catalog's own server, if it has one. */
  readonly elsewhere: ServiceLogin | undefined;
  readonly login: CatalogLogin;
}

/** @throws Error in words for the person at the terminal */
export async function findCatalog(config: Config): Promise<FoundCatalog> {
  const target = config.backend.kind === 'server' ? await writable(config.backend.target) : embeddedTarget(config, config.backend);
  const service = await findServiceLogin(target, 'the backend');
  const elsewhere = config.catalog && (await findServiceLogin(await writable(config.catalog), 'the catalog'));
  return { target, service, elsewhere, login: catalogLogin(service, elsewhere) };
}

/** Where the embedded server's data are: beside the configured directory, where its account cannot reach that one. */
export function embeddedDirectory({ dataDirectory }: Config): string {
  return existsSync(dataDirectory) ? placeData(dataDirectory, chooseRunAs()).directory : dataDirectory;
}

function embeddedTarget(config: Config, { password }: Extract<Config['backend'], { kind: 'embedded' }>): ConnectionTarget {
  const { dataDirectory } = config;
  const server = runningAt(join(embeddedDirectory(config), 'postgres'));
  if (server === undefined)
    throw new Error(
      `no PgPier runs on the data directory ${dataDirectory}: start it, or name the server with PGPIER_BACKEND or the directory with PGPIER_DATA`,
    );
  return { ...server, user: 'postgres', database: 'postgres', sslmode: 'disable', ...(password && { password }) };
}
