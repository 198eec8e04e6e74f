/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"

#include <sys/random.h>

#include "base/must.h"

/* Four bits at a time: the table of 16 is a constant, so that no thread finds it half made. */
static uint32_t
crc32c_octets(uint32_t crc, struct str s)
{
	static const uint32_t table[16] = { 0x00000000u, 0x105ec76fu, 0x20bd8edeu, 0x30e349b1u,
		0x417b1dbcu, 0x5125dad3u, 0x61c69362u, 0x7198540du, 0x82f63b78u, 0x92a8fc17u,
		0xa24bb5a6u, 0xb21572c9u, 0xc38d26c4u, 0xd3d3e1abu, 0xe330a81au, 0xf36e6f75u };

	for (size_t i = 0; i < s.n; i++) {
		crc ^= (unsigned char)s.p[i];
		crc = table[crc & 15] ^ (crc >> 4);
		crc = table[crc & 15] ^ (crc >> 4);
	}
	return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t
crc32c_words(uint32_t crc, struct str s)
{
	uint64_t c = crc;

	for (; s.n >= 8; s = str_from(s, 8)) {
		uint64_t word;

		memcpy(&word, s.p, sizeof word);
		c = __builtin_ia32_crc32di(c, word);
	}
	for (size_t i = 0; i < s.n; i++)
		c = __builtin_ia32_crc32qi((uint32_t)c, (unsigned char)s.p[i]);
	return (uint32_t)c;
}
#endif

uint32_t
hash_crc32c(uint32_t crc, struct str s)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2"))
		return ~crc32c_words(~crc, s);
#endif
	return ~crc32c_octets(~crc, s);
}

static uint64_t
rotate_left(uint64_t x, int by)
{
	return (x << by) | (x >> (64 - by));
}

static void
sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotate_left(v[1], 13) ^ v[0];
	v[0] = rotate_left(v[0], 32);
	v[2] += v[3];
	v[3] = rotate_left(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate_left(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate_left(v[1], 17) ^ v[2];
	v[2] = rotate_left(v[2], 32);
}

static void
sip_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_round(v);
	sip_round(v);
	v[0] ^= word;
}

uint64_t
hash_sip(const uint64_t secret[2], struct str s)
{
	uint64_t v[4] = { secret[0] ^ 0x736f6d6570736575u, secret[1] ^ 0x646f72616e646f6du,
		secret[0] ^ 0x6c7967656e657261u, secret[1] ^ 0x7465646279746573u };
	uint64_t word, last = (uint64_t)s.n << 56;

	for (; s.n >= 8; s = str_from(s, 8)) {
		memcpy(&word, s.p, sizeof word);
		sip_word(v, word);
	}
	for (size_t i = 0; i < s.n; i++)
		last |= (uint64_t)(unsigned char)s.p[i] << (8 * i);
	sip_word(v, last);
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void
hash_random(void *to, size_t n)
{
	char *p = to;

	while (n) {
		ssize_t got = getrandom(p, n, 0);

		if (got < 0)
			continue; /* only a signal can interrupt it once the kernel is seeded */
		p += got;
		n -= (size_t)got;
	}
}
