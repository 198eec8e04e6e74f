/* SPDX-License-Identifier: Apache-2.0 */
#include "role/web/page.h"

/* Where Node, or what npm fetches, was missing when the house was built. */
static const char sorry[] =
	"<!doctype html>\n"
	"<html lang=\"en\">\n"
	"<meta charset=\"utf-8\">\n"
	"<meta name=\"viewport\" content=\"width=device-width\">\n"
	"<title>Posthouse</title>\n"
	"<h1>The pages are not in this build</h1>\n"
	"<p>Posthouse was built without Node.js, or without the modules that npm fetches "
	"(<code>./do build</code> fetches them), and these make the pages of the webmail. Install "
	"Node.js 18 or later with npm and build again, or take a release, which has them.\n"
	"<p>Mail programs that speak JMAP work: they find everything at "
	"<code>/.well-known/jmap</code>.\n"
	"<p lang=\"zh-Hans\">构建此版本时没有 Node.js，或缺少 npm 下载的模块（<code>./do "
	"build</code> 会下载它们），因此不含网页邮箱的页面。请安装 Node.js 18 "
	"或更新版本及 npm 后重新构建，或使用自带页面的发行版。\n";

const struct page_file page_files[] = {
	{ "/", "text/html; charset=utf-8", "\"no-page\"", (const unsigned char *)sorry,
		sizeof sorry - 1, false },
};
const size_t page_files_n = sizeof page_files / sizeof page_files[0];
