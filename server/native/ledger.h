/*
 * Which reply belongs to which message: server/session/ledger.ts without notes, which the fast path never has. That file says why each
 * rule is as it is; test/server/nativeLedger.test.ts walks both at random and compares them.
 */
#ifndef PGPIER_LEDGER_H
#define PGPIER_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As `sent` in ledger.ts. */
enum sent { SENT_PARSE = 1, SENT_BIND, SENT_DESCRIBE, SENT_CLOSE, SENT_EXECUTE, SENT_SYNC, SENT_QUERY, SENT_FUNCTION_CALL, SENT_COPY_END };

enum copy_in { COPY_IN_NONE, COPY_IN_DATA, COPY_IN_ENDED };

enum { LEDGER_SMALL = 16 };

struct ledger {
  /* A ring; its capacity is a power of two. Up to LEDGER_SMALL entries lie in `small`. */
  uint8_t *kinds;
  size_t capacity;
  uint64_t first, next;
  bool skipping;
  enum copy_in copy_in;
  uint32_t executes_since_sync;
  uint8_t small[LEDGER_SMALL];
};

void ledger_reset(struct ledger *ledger);
size_t ledger_length(const struct ledger *ledger);
uint8_t ledger_at(const struct ledger *ledger, size_t index);
void ledger_push(struct ledger *ledger, enum sent kind);
void ledger_receive(struct ledger *ledger, unsigned char type);

#endif
