/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What GMime reads in the message on stdin, as one line of JSON:
 *
 *   {"subject": …, "from": […], "to": […], "parts": [{"path", "type", "name", "id", "disposition", "content"}, …]}
 *
 * with an address as [name, address], a part's octets in base64, and the parts in the order of the message; those with others
 * inside (multipart) have no content. A message that is a part is one part, and what is inside it follows with a longer path.
 */
#include <gmime/gmime.h>
#include <stdio.h>

static void
put_text(const char *text)
{
	putchar('"');
	for (const char *p = text ? text : ""; *p; p++)
		if (*p == '"' || *p == '\\' || (unsigned char)*p < 0x20)
			printf("\\u%04x", (unsigned char)*p);
		else
			putchar(*p);
	putchar('"');
}

static void
put_member(const char *name, const char *text)
{
	printf("\"%s\": ", name);
	put_text(text);
	printf(", ");
}

static void
put_addresses(const char *name, InternetAddressList *list)
{
	printf("\"%s\": [", name);
	for (int i = 0; i < internet_address_list_length(list); i++) {
		InternetAddress *address = internet_address_list_get_address(list, i);

		printf(i ? ", [" : "[");
		put_text(internet_address_get_name(address));
		printf(", ");
		put_text(INTERNET_ADDRESS_IS_MAILBOX(address)
				 ? internet_address_mailbox_get_addr(
					   INTERNET_ADDRESS_MAILBOX(address))
				 : "");
		printf("]");
	}
	printf("], ");
}

static void
write_content(GMimeObject *part, GMimeStream *to)
{
	if (GMIME_IS_PART(part))
		g_mime_data_wrapper_write_to_stream(g_mime_part_get_content(GMIME_PART(part)), to);
	else if (GMIME_IS_MESSAGE_PART(part))
		g_mime_object_write_to_stream(
			GMIME_OBJECT(g_mime_message_part_get_message(GMIME_MESSAGE_PART(part))),
			NULL, to);
}

static void
put_part(GMimeObject *part, const char *path)
{
	GMimeContentType *type = g_mime_object_get_content_type(part);
	GMimeStream *content = g_mime_stream_mem_new();
	GByteArray *octets;
	char *text = g_mime_content_type_get_mime_type(type);

	printf("{");
	put_member("path", path);
	put_member("type", text);
	g_free(text);
	put_member("name", GMIME_IS_PART(part) ? g_mime_part_get_filename(GMIME_PART(part)) : NULL);
	put_member("id", g_mime_object_get_content_id(part));
	put_member("disposition", g_mime_object_get_disposition(part));
	write_content(part, content);
	octets = g_mime_stream_mem_get_byte_array(GMIME_STREAM_MEM(content));
	text = g_base64_encode(octets->data, octets->len);
	printf("\"content\": \"%s\"}", text);
	g_free(text);
	g_object_unref(content);
}

static void
put_parts(GMimeMessage *message)
{
	GMimePartIter *iter = g_mime_part_iter_new(GMIME_OBJECT(message));
	const char *between = "";

	printf("\"parts\": [");
	while (g_mime_part_iter_is_valid(iter)) {
		char *path = g_mime_part_iter_get_path(iter);

		printf("%s", between);
		between = ", ";
		put_part(g_mime_part_iter_get_current(iter), path);
		g_free(path);
		if (!g_mime_part_iter_next(iter))
			break;
	}
	printf("]");
	g_mime_part_iter_free(iter);
}

/* The parser wants to go back and forth, which a pipe cannot. */
static GMimeStream *
read_all(void)
{
	GMimeStream *all = g_mime_stream_mem_new();
	char octets[65536];
	size_t n;

	while ((n = fread(octets, 1, sizeof(octets), stdin)) > 0)
		g_mime_stream_write(all, octets, n);
	g_mime_stream_reset(all);
	return all;
}

int
main(void)
{
	GMimeStream *in;
	GMimeParser *parser;
	GMimeMessage *message;

	g_mime_init();
	in = read_all();
	parser = g_mime_parser_new_with_stream(in);
	message = g_mime_parser_construct_message(parser, NULL);
	if (!message) {
		fprintf(stderr, "gmime_tree: no message\n");
		return 1;
	}
	printf("{");
	put_member("subject", g_mime_message_get_subject(message));
	put_addresses("from", g_mime_message_get_from(message));
	put_addresses("to", g_mime_message_get_to(message));
	put_addresses("cc", g_mime_message_get_cc(message));
	put_parts(message);
	printf("}\n");
	g_object_unref(message);
	g_object_unref(parser);
	g_object_unref(in);
	g_mime_shutdown();
	return 0;
}
