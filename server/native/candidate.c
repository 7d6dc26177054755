#include "candidate.h"

#include <string.h>

enum { LETTER = 1, BLANK = 2, FIRST_LETTER = 4 };
enum { LONGEST_COMMENT = 256 };

/* What skipping blanks ended with. TOO_LONG: behind a comment that is the lexer's to read. */
static const size_t TOO_LONG = SIZE_MAX;

static uint32_t mix(uint32_t hash, unsigned char byte) { return (hash * 31u + (byte | 32u)) & 0x3fffffffu; }

static size_t skip_comments(const struct candidates *candidates, const unsigned char *text, size_t from, size_t end) {
  size_t limit = end - from > LONGEST_COMMENT ? from + LONGEST_COMMENT : end;
  size_t depth = 0;
  bool in_line = false;
  for (size_t at = from; at < limit; at++) {
    unsigned char byte = text[at], next = at + 1 < end ? text[at + 1] : 0;
    if (in_line) {
      in_line = byte != '\n' && byte != '\r';
    } else if (byte == '/' && next == '*') {
      depth++;
      at++;
    } else if (depth > 0) {
      if (byte == '*' && next == '/') {
        depth--;
        at++;
      }
    } else if (byte == '-' && next == '-') {
      in_line = true;
    } else if ((candidates->classes[byte] & BLANK) == 0) {
      return at;
    }
  }
  return limit < end ? TOO_LONG : end;
}

/* The offset behind blanks and comments. */
static size_t skip_blanks(const struct candidates *candidates, const unsigned char *text, size_t at, size_t end) {
  for (; at < end; at++) {
    unsigned char byte = text[at];
    if (candidates->classes[byte] & BLANK) continue;
    unsigned char next = at + 1 < end ? text[at + 1] : 0;
    bool comment = (byte == '/' && next == '*') || (byte == '-' && next == '-');
    return comment ? skip_comments(candidates, text, at, end) : at;
  }
  return end;
}

/* The hash of the word at `*at`, at most `most` bytes of it; `*at` moves behind them. */
static uint32_t word(const struct candidates *candidates, const unsigned char *text, size_t *at, size_t end, size_t most) {
  uint32_t hash = 0;
  for (; *at < end && most > 0 && (candidates->classes[text[*at]] & LETTER); ++*at, --most) hash = mix(hash, text[*at]);
  return hash;
}

/* Whether a statement of ours may begin here, blanks and comments first. */
static bool begins_own(const struct candidates *candidates, const unsigned char *text, size_t at, size_t end) {
  at = skip_blanks(candidates, text, at, end);
  if (at == TOO_LONG) return true;
  if (at >= end || (candidates->classes[text[at]] & FIRST_LETTER) == 0) return false;
  int32_t first = (int32_t)word(candidates, text, &at, end, SIZE_MAX);
  const int32_t *words = candidates->words, *last = words + candidates->word_count;
  while (words < last && words[0] != first) words += 2 + words[1];
  if (words >= last) return false;
  if (words[1] == 0) return true;
  at = skip_blanks(candidates, text, at, end);
  if (at == TOO_LONG) return true;
  int32_t second = (int32_t)word(candidates, text, &at, end, SIZE_MAX);
  for (int32_t i = 0; i < words[1]; i++)
    if (words[2 + i] == second) return true;
  return false;
}

/* Whether SHOW may stand here, blanks and comments first: behind a `[` in the place of a table. */
static bool begins_show(const struct candidates *candidates, const unsigned char *text, size_t at, size_t end) {
  at = skip_blanks(candidates, text, at, end);
  if (at == TOO_LONG) return true;
  uint32_t show = mix(mix(mix(mix(0, 's'), 'h'), 'o'), 'w');
  return word(candidates, text, &at, end, 5) == show;
}

bool may_be_own(const struct candidates *candidates, const unsigned char *text, size_t length) {
  if (begins_own(candidates, text, 0, length)) return true;
  const unsigned char *end = text + length, *at;
  for (at = text; (at = memchr(at, ';', (size_t)(end - at))) != NULL; at++)
    if (begins_own(candidates, text, (size_t)(at - text) + 1, length)) return true;
  for (at = text; (at = memchr(at, '[', (size_t)(end - at))) != NULL; at++)
    if (begins_show(candidates, text, (size_t)(at - text) + 1, length)) return true;
  return false;
}
