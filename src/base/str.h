/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Text is a pointer and a length, passed by value; nobody owns through it. NUL-terminated text
 * exists only at system calls and library borders. The zero value is the empty text.
 */
struct str {
	const char *p;
	size_t n;
};

#define S(literal) ((struct str){ "" literal, sizeof(literal) - 1 })

/* For printf: "%.*s", STR_ARG(s). */
#define STR_ARG(s) ((int)(s).n), ((s).p ? (s).p : "")

struct str str_of(const char *c_string); /* NULL is empty */
bool str_eq(struct str a, struct str b);
bool str_eq_nocase(struct str a, struct str b); /* ASCII letters only, whatever the locale */
bool str_starts(struct str s, struct str prefix);
bool str_starts_nocase(struct str s, struct str prefix);
bool str_ends_nocase(struct str s, struct str suffix);

/* The first place of c or of needle in s, or s.n when there is none. */
size_t str_find(struct str s, char c);
size_t str_find_str(struct str s, struct str needle);
bool str_has_nocase(struct str s, struct str part); /* an empty part too */

struct str str_from(struct str s, size_t at);		    /* s without its first `at` octets */
struct str str_part(struct str s, size_t at, size_t count); /* clipped to s */
struct str str_trim(struct str s); /* without blanks and tabs at both ends */

/* Split s at the first c: before and after it. False, *before = s, *after empty, when c is not in
 * s. */
bool str_cut(struct str s, char c, struct str *before, struct str *after);

/* Least number of letters to put in, take out, change, or swap with the next, from a to b, in either
 * case: what "did you mean" compares. SIZE_MAX when either has more than 32. */
size_t str_distance(struct str a, struct str b);

bool str_is_ascii(struct str s);
bool str_is_utf8(struct str s); /* well-formed UTF-8, RFC 3629 */

static inline bool
char_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool
char_is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline char
char_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/*
 * Cursors: scan_x(&in, …) advances `in` past what it took and returns true, or leaves `in` alone
 * and returns false, so that parsers read as scan_a(&in) && scan_b(&in).
 */
bool scan_char(struct str *in, char c);
bool scan_word_nocase(struct str *in, struct str word); /* the word as a prefix */
bool scan_u64(
	struct str *in, uint64_t *value); /* decimal digits, at least one; false on overflow */
bool scan_blanks(struct str *in);	  /* one or more blanks or tabs */
bool scan_until(struct str *in, char c, struct str *out); /* up to, and past, c */

/*
 * Calls that copy without a length, or that start a shell, do not compile here. memcpy with checked
 * lengths, struct buf and snprintf take their place.
 */
/* clang-format off */
#undef strcpy
#undef strcat
#undef stpcpy
#undef strncpy
#undef strncat
#undef sprintf
#undef vsprintf
#undef strtok
#undef strtok_r
#undef atoi
#undef atol
#undef atoll
#undef gets
#undef alloca
#undef popen
#pragma GCC poison strcpy
#pragma GCC poison strcat
#pragma GCC poison stpcpy
#pragma GCC poison strncpy
#pragma GCC poison strncat
#pragma GCC poison sprintf
#pragma GCC poison vsprintf
#pragma GCC poison strtok
#pragma GCC poison strtok_r
#pragma GCC poison atoi
#pragma GCC poison atol
#pragma GCC poison atoll
#pragma GCC poison gets
#pragma GCC poison alloca
#pragma GCC poison popen
/* clang-format on */

#endif
