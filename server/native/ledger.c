#include "ledger.h"

#include <stdlib.h>

static uint8_t *slot(const struct ledger *ledger, uint64_t index) { return ledger->kinds + (index & (ledger->capacity - 1)); }

/* Empty, as after a ReadyForQuery with nothing sent behind it. Also gives back what a long pipeline took. */
void ledger_reset(struct ledger *ledger) {
  if (ledger->kinds != ledger->small) free(ledger->kinds);
  *ledger = (struct ledger){0};
  ledger->kinds = ledger->small;
  ledger->capacity = LEDGER_SMALL;
}

size_t ledger_length(const struct ledger *ledger) { return (size_t)(ledger->next - ledger->first); }

uint8_t ledger_at(const struct ledger *ledger, size_t index) { return *slot(ledger, ledger->first + index); }

static void grow(struct ledger *ledger) {
  size_t capacity = ledger->capacity * 2;
  uint8_t *kinds = malloc(capacity);
  if (kinds == NULL) abort();
  for (uint64_t index = ledger->first; index < ledger->next; index++) kinds[index & (capacity - 1)] = *slot(ledger, index);
  if (ledger->kinds != ledger->small) free(ledger->kinds);
  ledger->kinds = kinds;
  ledger->capacity = capacity;
}

void ledger_push(struct ledger *ledger, enum sent kind) {
  if (kind == SENT_SYNC) {
    ledger->executes_since_sync = 0;
    if (ledger->copy_in == COPY_IN_DATA) return;
    ledger->skipping = false;
  } else if (kind == SENT_COPY_END) {
    if (ledger->copy_in == COPY_IN_DATA) ledger->copy_in = COPY_IN_ENDED;
    if (ledger->copy_in != COPY_IN_NONE || ledger_length(ledger) == 0) return;
  } else if (ledger->skipping) {
    return;
  } else if (kind == SENT_EXECUTE) {
    ledger->executes_since_sync++;
  } else if (kind == SENT_QUERY) {
    ledger->executes_since_sync = 0;
  }
  if (ledger_length(ledger) == ledger->capacity) grow(ledger);
  *slot(ledger, ledger->next++) = kind;
}

/* Completes the head; markers that earn no reply go with it. */
static void pop(struct ledger *ledger) {
  ledger->first++;
  while (ledger_length(ledger) > 0 && *slot(ledger, ledger->first) == SENT_COPY_END) ledger->first++;
}

static void skip_to_sync(struct ledger *ledger) {
  while (ledger_length(ledger) > 0) {
    if (*slot(ledger, ledger->first) == SENT_SYNC) return;
    ledger->first++;
  }
  ledger->skipping = true;
}

/* The backend reads copy data now: Syncs that lie before the end of the data are swallowed by it. */
static void enter_copy_in(struct ledger *ledger) {
  ledger->copy_in = COPY_IN_DATA;
  uint64_t kept = ledger->first;
  for (uint64_t index = ledger->first; index < ledger->next; index++) {
    uint8_t kind = *slot(ledger, index);
    bool swallowed = index > ledger->first && ledger->copy_in == COPY_IN_DATA && (kind == SENT_SYNC || kind == SENT_COPY_END);
    if (swallowed && kind == SENT_COPY_END) ledger->copy_in = COPY_IN_ENDED;
    if (!swallowed) *slot(ledger, kept++) = kind;
  }
  ledger->next = kept;
}

void ledger_receive(struct ledger *ledger, unsigned char type) {
  if (ledger_length(ledger) == 0) return;
  uint8_t kind = *slot(ledger, ledger->first);
  switch (type) {
    case '1': /* ParseComplete */
    case '2': /* BindComplete */
    case '3': /* CloseComplete */
    case 'n': /* NoData */
    case 's': /* PortalSuspended */
      if (kind < SENT_SYNC) pop(ledger);
      return;
    case 'T': /* RowDescription */
      if (kind == SENT_DESCRIBE) pop(ledger);
      return;
    case 'C': /* CommandComplete */
    case 'I': /* EmptyQueryResponse */
      ledger->copy_in = COPY_IN_NONE;
      if (kind == SENT_EXECUTE) pop(ledger);
      return;
    case 'Z': /* ReadyForQuery */
      ledger->copy_in = COPY_IN_NONE;
      if (kind >= SENT_SYNC) pop(ledger);
      return;
    case 'E': /* ErrorResponse */
      ledger->copy_in = COPY_IN_NONE;
      if (kind < SENT_SYNC) skip_to_sync(ledger);
      return;
    case 'G': /* CopyInResponse */
      enter_copy_in(ledger);
      return;
  }
}
