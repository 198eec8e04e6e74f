/* SPDX-License-Identifier: Apache-2.0 */
#include "role/web/page.h"

#include "role/web/web.h"

#include "base/must.h"

static const char page_policy[] =
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
	"connect-src 'self'; frame-src 'self'; "
	"font-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

static const struct page_file *
page_find(struct str path)
{
	for (size_t i = 0; i < page_files_n; i++)
		if (str_eq(path, str_of(page_files[i].path)))
			return &page_files[i];
	return NULL;
}

bool
page_has(struct str path)
{
	return page_find(path) != NULL;
}

/* RFC 9110 §13.1.2. */
static bool
is_known(const struct request *r, const struct page_file *f)
{
	struct str tags = str_of(claim_header(r, MHD_HTTP_HEADER_IF_NONE_MATCH));

	return str_eq(str_trim(tags), S("*")) || str_find_str(tags, str_of(f->etag)) < tags.n;
}

enum turn
page_show(struct request *r)
{
	const struct page_file *f = page_find(r->path);
	bool knows;
	struct MHD_Response *response;

	must(f);
	knows = is_known(r, f);
	response = MHD_create_response_from_buffer(
		knows ? 0 : f->n, (void *)(uintptr_t)f->octets, MHD_RESPMEM_PERSISTENT);
	must(response);
	answer_header(response, "Content-Security-Policy", str_of(page_policy));
	answer_header(response, MHD_HTTP_HEADER_ETAG, str_of(f->etag));
	answer_header(response, MHD_HTTP_HEADER_CACHE_CONTROL,
		str_starts(r->path, S("/assets/")) ? S("public, max-age=31536000, immutable")
						   : S("no-cache"));
	if (knows)
		return answer_send_take(r, MHD_HTTP_NOT_MODIFIED, response);
	answer_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, str_of(f->type));
	if (f->is_gzip)
		answer_header(response, MHD_HTTP_HEADER_CONTENT_ENCODING, S("gzip"));
	return answer_send_take(r, MHD_HTTP_OK, response);
}
