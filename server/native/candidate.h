/* Whether a text may hold a statement of ours: statement/candidate.ts, which makes the tables and explains the rules. */
#ifndef PGPIER_CANDIDATE_H
#define PGPIER_CANDIDATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct candidates {
  /* Bits of each byte: LETTER, BLANK, FIRST_LETTER of candidate.ts. */
  uint8_t classes[256];
  /* For each first word: its hash, how many second words there are (0: the first is enough), their hashes. */
  int32_t *words;
  size_t word_count;
};

bool may_be_own(const struct candidates *candidates, const unsigned char *text, size_t length);

#endif
