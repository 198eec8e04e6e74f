/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "route/road.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * A DNS that answers anything in any order. The first line is the domain, its first octet the
 * settings (bits below); then, for each answer, octets that choose whose turn it is and what is
 * said (take_answer). When the input is used up all that is still asked is NODATA. Whatever it is:
 * the road ends, in hops or in an error, within its limits.
 */
enum { IS_HOST = 1, OURS = 2, ALLOWED = 4 };

static const struct str names[] = { { "mx.example", 10 }, { "b.example", 9 },
	{ "mail.station.example", 20 }, { "192.0.2.1", 9 }, { "", 0 }, { "localhost", 9 } };

static uint8_t
take(struct str *in)
{
	uint8_t octet = in->n ? (uint8_t)in->p[0] : DNS_NODATA;

	*in = str_from(*in, 1);
	return octet;
}

/* One of the names above, or a new one. */
static struct str
take_name(struct str *in, char room[16])
{
	uint8_t which = take(in);

	if (which < sizeof names / sizeof names[0])
		return names[which];
	snprintf(room, 16, "h%u.example", which);
	return str_of(room);
}

static void
take_answer(struct str *in, enum dns_type type, struct dns_answer *a)
{
	static struct dns_record records[DNS_RECORDS_MAX];
	static char hosts[DNS_RECORDS_MAX][16], aliases[DNS_CHAIN_MAX][16];
	uint8_t how;

	*a = (struct dns_answer){ .status = (enum dns_status)(take(in) % DNS_STATUSES),
		.records = records };
	how = take(in);
	a->is_secure = how & 1;
	a->unusable = how & 2;
	a->aliases = how >> 2 & 7;
	a->ttl_s = (uint32_t)take(in) << 24 | take(in);
	for (size_t i = 0; i < a->aliases; i++) {
		a->chain[i] = take_name(in, aliases[i]);
		if (a->chain[i].n == 0)
			a->chain[i] = names[0];
	}
	if (a->status == DNS_OK)
		a->records_n = take(in) % (DNS_RECORDS_MAX + 1);
	for (size_t i = 0; i < a->records_n; i++) {
		records[i] = (struct dns_record){ .preference = take(in) };
		if (type == DNS_MX)
			records[i].name = take_name(in, hosts[i]);
		for (size_t k = 0; type != DNS_MX && k < (type == DNS_A ? 4 : 16); k++)
			records[i].address[k] = take(in);
	}
}

static void
check_trace(struct str trace)
{
	must(trace.n <= ROAD_TRACE_MAX);
	must(trace.n == 0 || trace.p[trace.n - 1] == '\n');
	for (size_t i = 0; i < trace.n; i++)
		must(trace.p[i] == '\n' || (trace.p[i] >= ' ' && trace.p[i] < 0x7f));
}

static void
check_end(const struct road *r)
{
	struct str packed = buf_str(&r->hops);
	size_t hops_n = 0;
	struct hop h;

	for (; packed.n; hops_n++) {
		must(hop_scan(&packed, &h));
		must(h.family == HOP_IPV4 || h.family == HOP_IPV6);
		must(h.port == 25 && h.host.n);
		must(r->settings->is_host || h.family == HOP_IPV6 || h.address[0] != 127);
	}
	must(hops_n <= ROAD_HOPS_MAX);
	must(err_is(&r->why) == (hops_n == 0));
	must(r->ttl_s >= ROAD_TTL_MIN && r->ttl_s <= ROAD_TTL_MAX);
	check_trace(buf_str(&r->trace));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct road_network allowed = { HOP_IPV4, { 10 }, 8 };
	static const struct hop ours = {
		.family = HOP_IPV4, .address = { 192, 0, 2, 1 }, .port = 25
	};
	struct str in = { (const char *)data, size }, domain = { 0 };
	uint8_t set_up = take(&in);
	struct road_settings settings = { .hostname = S("mail.station.example"),
		.port = 25,
		.is_host = set_up & IS_HOST,
		.ours = &ours,
		.ours_n = set_up & OURS ? 1 : 0,
		.allowed = &allowed,
		.allowed_n = set_up & ALLOWED ? 1 : 0 };
	struct road_question waiting[ROAD_QUESTIONS_MAX];
	struct dns_answer answer;
	size_t n = 0, questions = 0;
	struct road r;

	str_cut(in, '\n', &domain, &in);
	road_begin(&r, &settings, domain, size);
	while (!r.is_done) {
		size_t at;

		for (; n < ROAD_QUESTIONS_MAX && road_next(&r, &waiting[n]); n++)
			questions++;
		must(n > 0 && questions <= ROAD_QUESTIONS_MAX);
		at = take(&in) % n;
		take_answer(&in, waiting[at].type, &answer);
		road_answer(&r, waiting[at].number, &answer);
		waiting[at] = waiting[--n];
	}
	must(n == 0);
	check_end(&r);
	road_free(&r);
	return 0;
}
