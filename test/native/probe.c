/*
 * The addon's pure parts as a program, so that a test can compare them with their twins in TypeScript (and a sanitizer can watch them).
 * stdin: frames of a kind byte, a 32-bit length, and as many bytes; stdout: an answer to each.
 *   't' the table of byte classes; 'w' the words as int32; both answer nothing
 *   'c' a text: one byte, whether it may be ours
 *   'l' ledger steps, two bytes each: 's' a kind that was sent, 'r' a type that was received. Per step: length (uint32), skipping, copy-in,
 *       executes since Sync (one byte each), the kinds
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "candidate.h"
#include "ledger.h"

static void put_length(size_t length) {
  uint32_t four = (uint32_t)length;
  fwrite(&four, 4, 1, stdout);
}

static void walk(const unsigned char *steps, size_t length) {
  struct ledger ledger = {0};
  ledger_reset(&ledger);
  for (size_t at = 0; at + 1 < length; at += 2) {
    if (steps[at] == 's') ledger_push(&ledger, steps[at + 1]);
    else ledger_receive(&ledger, steps[at + 1]);
    put_length(ledger_length(&ledger));
    putchar(ledger.skipping);
    putchar((int)ledger.copy_in);
    putchar((int)ledger.executes_since_sync);
    for (size_t i = 0; i < ledger_length(&ledger); i++) putchar(ledger_at(&ledger, i));
  }
  ledger_reset(&ledger);
}

int main(void) {
  struct candidates candidates = {0};
  int kind;
  uint32_t length;
  while ((kind = getchar()) != EOF && fread(&length, 4, 1, stdin) == 1) {
    /* As long as the frame, so that the sanitizer sees a step beyond. */
    unsigned char *bytes = malloc(length > 0 ? length : 1);
    if (bytes == NULL || fread(bytes, 1, length, stdin) != length) return 1;
    if (kind == 't') memcpy(candidates.classes, bytes, 256);
    else if (kind == 'w') {
      candidates.words = malloc(length);
      if (candidates.words == NULL) return 1;
      memcpy(candidates.words, bytes, length);
      candidates.word_count = length / 4;
    } else if (kind == 'c') putchar(may_be_own(&candidates, bytes, length));
    else walk(bytes, length);
    free(bytes);
  }
  free(candidates.words);
  return 0;
}
