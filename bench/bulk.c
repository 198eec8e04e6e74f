/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hands the same mail of 4 KiB to a server in clear, again and again over one connection, and prints how many went in a second.
 *
 *   bench-bulk posthouse|curl PORT MAILS
 *
 * Each in its fastest form: libposthouse by a pool of one connection, with the next mails given before one is done; libcurl by
 * one easy handle that keeps its connection, with the size known and no callback but that which gives the message. What is timed
 * begins behind the first mail, and so without connecting.
 */
#include <curl/curl.h>
#include <posthouse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MESSAGE_OCTETS = 4096, WAITING_MAX = 32 };

static char message[MESSAGE_OCTETS + 1];

static void
write_message(void)
{
	size_t n = (size_t)snprintf(message, sizeof(message),
		"From: a@example.org\r\nTo: b@example.org\r\nSubject: bulk\r\n\r\n");

	while (n < MESSAGE_OCTETS) {
		size_t column = n % 70;

		message[n] = column == 68 ? '\r' : column == 69 ? '\n' : 'x';
		n++;
	}
	memcpy(message + MESSAGE_OCTETS - 2, "\r\n", 2);
}

static void
stop(const char *what, const char *why)
{
	fprintf(stderr, "bench-bulk: %s: %s\n", what, why);
	exit(1);
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ── libposthouse ── */

static void
settle(void *context, ph_mail *m, enum ph_status status)
{
	(void)context;
	if (status != PH_SENT)
		stop("libposthouse", ph_results(m) ? ph_result(m, 0)->text : ph_mail_error(m));
	ph_mail_free(m);
}

static void
add(ph_pool *pool)
{
	ph_mail *m = ph_mail_new();

	ph_return_path(m, "a@example.org");
	ph_recipient(m, "b@example.org");
	ph_message_data(m, message, MESSAGE_OCTETS);
	ph_pool_add(pool, m);
}

static double
send_by_posthouse(const char *port, unsigned mails)
{
	char url[64];
	ph_session *model;
	ph_pool *pool;
	double begin;

	snprintf(url, sizeof(url), "smtp://127.0.0.1:%s", port);
	model = ph_session_new(url);
	ph_tls(model, PH_TLS_NEVER);
	pool = ph_pool_new(model, 1);
	ph_pool_done(pool, settle, NULL);
	add(pool);
	ph_pool_run(pool, 0);
	begin = now();
	for (unsigned i = 0; i < mails; i++) {
		add(pool);
		ph_pool_run(pool, WAITING_MAX);
	}
	ph_pool_run(pool, 0);
	begin = now() - begin;
	ph_pool_free(pool);
	ph_session_free(model);
	return begin;
}

/* ── libcurl ── */

static size_t
give(char *to, size_t size, size_t n, void *context)
{
	size_t *given = context, left = MESSAGE_OCTETS - *given;

	n *= size;
	n = n < left ? n : left;
	memcpy(to, message + *given, n);
	*given += n;
	return n;
}

static void
send_one_by_curl(CURL *curl, size_t *given)
{
	CURLcode code;

	*given = 0;
	code = curl_easy_perform(curl);
	if (code != CURLE_OK)
		stop("libcurl", curl_easy_strerror(code));
}

static double
send_by_curl(const char *port, unsigned mails)
{
	struct curl_slist *to = curl_slist_append(NULL, "<b@example.org>");
	CURL *curl = curl_easy_init();
	size_t given = 0;
	char url[64];
	double begin;

	snprintf(url, sizeof(url), "smtp://127.0.0.1:%s", port);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_MAIL_FROM, "<a@example.org>");
	curl_easy_setopt(curl, CURLOPT_MAIL_RCPT, to);
	curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(curl, CURLOPT_INFILESIZE, (long)MESSAGE_OCTETS);
	curl_easy_setopt(curl, CURLOPT_READFUNCTION, give);
	curl_easy_setopt(curl, CURLOPT_READDATA, &given);
	send_one_by_curl(curl, &given);
	begin = now();
	for (unsigned i = 0; i < mails; i++)
		send_one_by_curl(curl, &given);
	begin = now() - begin;
	curl_easy_cleanup(curl);
	curl_slist_free_all(to);
	return begin;
}

int
main(int argc, char **argv)
{
	unsigned mails;
	double seconds;

	if (argc != 4) {
		fprintf(stderr, "usage: bench-bulk posthouse|curl PORT MAILS\n");
		return 64;
	}
	write_message();
	mails = (unsigned)strtoul(argv[3], NULL, 10);
	seconds = strcmp(argv[1], "curl") == 0 ? send_by_curl(argv[2], mails)
					       : send_by_posthouse(argv[2], mails);
	printf("%.0f\n", mails / seconds);
	return 0;
}
