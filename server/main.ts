#!/usr/bin/env node
/** `pgpier`: one of the programs of `subcommands.ts`, or what serves clients and jobs (`serve.ts`), whose code programs do not load. */
import { findProgram } from './subcommands.ts';

const program = findProgram(process.argv[2]);
if (program === undefined) await import('./serve.ts');
else process.exit(await (await program())(process.argv.slice(3), process.env));
