/* SPDX-License-Identifier: Apache-2.0 */
#include "io/tls_core.h"

#include <fcntl.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <unistd.h>

#include "io/file.h"

/* A client's terms: whom to trust. They have a library context of their own, since libposthouse has nothing that is one for all. */

enum { TRUST_MAX = 16 << 20 }; /* octets */

/* How many came; -1: the text is none that can be read. */
static int
add_trust(SSL_CTX *context, struct str trust)
{
	X509_STORE *store = SSL_CTX_get_cert_store(context);
	BIO *pem =
		BIO_new_mem_buf(trust.n ? trust.p : "", trust.n < INT_MAX ? (int)trust.n : INT_MAX);
	X509 *x;
	int n = 0;

	while (pem && (x = PEM_read_bio_X509(pem, NULL, NULL, NULL))) {
		n += X509_STORE_add_cert(store, x);
		X509_free(x);
	}
	BIO_free(pem);
	return pem ? n : -1;
}

struct tls *
tls_client_open(struct str trust, struct err *e)
{
	struct tls *t = calloc(1, sizeof *t);
	int n = -1;

	if (!t) {
		err_set(e, ERR_TEMPORARY, ERR_LOCAL, "no memory for TLS");
		return NULL;
	}
	t->library = OSSL_LIB_CTX_new();
	if (tls_begin(t) && t->library) /* which has the default provider by itself, and frees it */
		t->context = tls_context_new(t->library, TLS_client_method());
	if (t->context)
		n = add_trust(t->context, trust);
	if (n < 0 || (trust.n && n == 0)) {
		tls_fail(e, ERR_LOCAL,
			n < 0 ? "TLS" : "no authority's certificate in the file of trust");
		tls_close(&t);
	}
	ERR_clear_error(); /* the end of the text is one of OpenSSL's errors */
	return t;
}

struct tls *
tls_client_open_file(const char *path, struct err *e)
{
	struct buf trust = { .max = TRUST_MAX };
	struct tls *terms = NULL;
	int fd;

	if (!path)
		path = "/etc/ssl/certs/ca-certificates.crt";
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || !file_read_all(fd, &trust))
		err_set_errno(e, "%s", path);
	else
		terms = tls_client_open(buf_str(&trust), e);
	if (fd >= 0)
		close(fd);
	buf_free(&trust);
	return terms;
}
