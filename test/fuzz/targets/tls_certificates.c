/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/mman.h>
#include <unistd.h>

#include "base/must.h"
#include "io/file.h"
#include "io/tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Any octets are certificates as vault hands them out, or none; and any text is PEM, or not. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str octets = { (const char *)data, size };
	struct buf packed = { .max = 1024 * 1024 };
	int fd = file_sealed("certificates", octets);
	struct tls *terms;
	struct err e = { 0 };

	must(fd >= 0);
	terms = tls_server_open(fd, &(struct tls_settings){ .is_smtp = true }, &e);
	must(terms || err_is(&e));
	tls_close(&terms);
	close(fd);
	if (tls_add_certificates(&packed, 1, octets, &e)) {
		fd = file_sealed("certificates", (struct str){ packed.p, packed.n });
		terms = tls_server_open(fd, &(struct tls_settings){ .is_smtp = true }, &e);
		tls_close(&terms); /* not every key is one of ours */
		close(fd);
	}
	terms = tls_client_open(octets, &e);
	tls_close(&terms);
	buf_free(&packed);
	return 0;
}
