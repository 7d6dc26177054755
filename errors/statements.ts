/** What is wrong with a statement, before it does anything. */
import type { ErrorEntry } from './entry.ts';

export const statementsErrors = {
  syntaxError: { sqlstate: '42601', text: 'syntax error at or near "{near}"' },
  syntaxErrorAtEnd: { sqlstate: '42601', text: 'syntax error at end of input' },
  unterminatedLiteral: { sqlstate: '42601', text: 'unterminated {what}' },
  invalidUnicodeEscape: { sqlstate: '22025', text: 'invalid Unicode escape' },
  invalidByteSequence: { sqlstate: '22021', text: 'invalid byte sequence in a string literal' },
  multipleCommands: { sqlstate: '42601', text: 'cannot insert multiple commands into a prepared statement' },
  mixedStatements: {
    sqlstate: '0A000',
    text: "PgPier's statements and PostgreSQL's cannot be sent in one query string",
    hint: 'Nothing was run. Send each statement on its own.',
  },
  notSupported: { sqlstate: '0A000', text: '{what} is not supported yet' },
  readOnlyTransaction: { sqlstate: '25006', text: 'cannot execute {statement} in a read-only transaction' },
  insideTransaction: {
    sqlstate: '25001',
    text: '{statement} cannot run inside a transaction block',
    hint: 'Run it on its own, outside BEGIN … COMMIT and not in one query string with other statements.',
  },
  insideTransactionNotDetached: {
    sqlstate: '25001',
    text: '{statement} cannot be used inside a multi-statement transaction without DETACHED option',
    hint: 'Run it on its own, or WITH detached: then the job begins when the transaction commits.',
  },
  portalCannotRun: { sqlstate: '55000', text: 'portal "{portal}" cannot be run' },
  // Options of a statement (WITH …).
  unknownOption: { sqlstate: '42601', text: 'invalid option "{option}"' },
  repeatedOption: { sqlstate: '42601', text: 'option "{option}" is given more than once' },
  optionRequiresValue: { sqlstate: '42601', text: 'option "{option}" requires a value' },
  invalidOptionValue: { sqlstate: '22023', text: 'invalid value for option "{option}": {reason}' },
} as const satisfies Record<string, ErrorEntry>;
