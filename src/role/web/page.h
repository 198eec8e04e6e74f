/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEB_PAGE_H
#define WEB_PAGE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The page as files in this executable. The list is made from the bundle of web/ when the house is built; where there is nothing to build it
 * with, no_page.c has one file, which says so. Octets that are gzipped go out so: there is no browser that does not take them.
 */
struct page_file {
	const char *path; /* "/", "/assets/app-4F3K.js": names of assets change with their octets */
	const char *type; /* content type, with its charset */
	const char *etag; /* in its quotes, RFC 9110 §8.8.3 */
	const unsigned char *octets;
	size_t n;
	bool is_gzip;
};

extern const struct page_file page_files[];
extern const size_t page_files_n;

#endif
