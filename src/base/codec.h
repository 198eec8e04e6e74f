/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_CODEC_H
#define BASE_CODEC_H

#include "base/buf.h"
#include "base/err.h"

/* Little-endian numbers at any address. */
void codec_put_u16(void *to, uint16_t v);
void codec_put_u32(void *to, uint32_t v);
void codec_put_u64(void *to, uint64_t v);
uint16_t codec_get_u16(const void *from);
uint32_t codec_get_u32(const void *from);
uint64_t codec_get_u64(const void *from);

/*
 * Packed values, for our own records and messages: numbers little-endian, text as a u32 length and
 * its octets. The scanners advance `in` and return false, leaving it alone, when it is too short.
 */
void codec_add_u8(struct buf *to, uint8_t v);
void codec_add_u16(struct buf *to, uint16_t v);
void codec_add_u32(struct buf *to, uint32_t v);
void codec_add_u64(struct buf *to, uint64_t v);
void codec_add_str(struct buf *to, struct str s);
bool codec_scan_u8(struct str *in, uint8_t *v);
bool codec_scan_u16(struct str *in, uint16_t *v);
bool codec_scan_u32(struct str *in, uint32_t *v);
bool codec_scan_u64(struct str *in, uint64_t *v);
bool codec_scan_bytes(struct str *in, void *to, size_t n);
bool codec_scan_str(struct str *in, struct str *s); /* points into in */

void codec_add_err(struct buf *to, const struct err *e); /* all of it */
bool codec_scan_err(struct str *in, struct err *e);	 /* false also for values that no err has */

void codec_hex(char *to, const void *octets, size_t n);	 /* 2n digits in lower case, and NUL */
bool codec_from_hex(struct str hex, void *to, size_t n); /* exactly n octets; either case */

/* Base64 (RFC 4648 §4), padded. Decoding is strict: no blanks, right padding, zero pad bits; false
 * and *to as it was. */
void codec_add_base64(struct buf *to, struct str s);
bool codec_add_from_base64(struct buf *to, struct str base64);
/* Encoded to a place with room for codec_base64_size(s.n) characters; how many came. */
size_t codec_base64(char *to, struct str s);

static inline size_t
codec_base64_size(size_t n)
{
	return (n + 2) / 3 * 4;
}

/* xtext (RFC 3461 §4): printable ASCII in which "+2B" stands for an octet. Decoding is strict: upper
 * case digits, no bare '=' or blank; false and *to as it was. */
void codec_add_xtext(struct buf *to, struct str s);
bool codec_add_from_xtext(struct buf *to, struct str xtext);

/* The 128-bit name of a mail. As text it is 32 hexadecimal digits. */
struct mail_id {
	unsigned char octet[16];
};

#define MAIL_ID_TEXT 33

struct mail_id mail_id_random(void);
bool mail_id_eq(struct mail_id a, struct mail_id b);
const char *mail_id_text(
	struct mail_id id, char text[MAIL_ID_TEXT]); /* NUL-terminated; returns text */
bool mail_id_parse(struct str text, struct mail_id *id);

/* JSON text (RFC 8259) of a string, in quotes; octets that are not UTF-8 become U+FFFD. */
void codec_add_json(struct buf *to, struct str s);

#endif
