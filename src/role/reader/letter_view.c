/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/letter_core.h"

#include "base/must.h"

/*
 * What is read and what hangs on: the algorithm that RFC 8621 §4.1.4 suggests, with a stack of its own in place of recursion. A frame is a multipart that
 * is being walked; whether its text parts still go to the text or the HTML body is its own affair, as in the RFC, whose variables
 * are the frame's.
 */

struct frame {
	const struct letter_part *multipart; /* NULL: the frame of the root */
	size_t at, n;
	bool is_alternative, is_related, is_in_alternative;
	bool to_text, to_html;
	size_t text_n, html_n; /* at its beginning */
};

struct walk {
	struct letter_view *view;
	struct frame frames[LETTER_DEPTH_MAX + 1];
	size_t depth;
};

static bool
is_media(struct str type)
{
	return str_starts(type, S("image/")) || str_starts(type, S("audio/")) ||
	       str_starts(type, S("video/"));
}

static bool
is_inline(const struct letter_part *p, const struct frame *f)
{
	bool is_text = str_eq(p->type, S("text/plain")) || str_eq(p->type, S("text/html"));

	if (str_eq(p->disposition, S("attachment")) || (!is_text && !is_media(p->type)))
		return false;
	return f->at == 0 || (!f->is_related && (is_media(p->type) || p->name.n == 0));
}

/* A picture that the HTML shows by its Content-ID is in the list, but nobody would say that something hangs on. */
static void
attach(struct letter_view *v, const struct letter_part *p)
{
	bool is_of_the_text =
		p->cid.n && is_media(p->type) && !str_eq(p->disposition, S("attachment"));

	v->attachments[v->attachments_n++] = p;
	v->has_attachment = v->has_attachment || !is_of_the_text;
}

static void
put_leaf(struct letter_view *v, struct frame *f, const struct letter_part *p)
{
	bool is_plain = str_eq(p->type, S("text/plain")), is_html = str_eq(p->type, S("text/html"));

	if (!is_inline(p, f)) {
		attach(v, p);
		return;
	}
	if (f->is_alternative) {
		if (is_plain)
			v->text[v->text_n++] = p;
		else if (is_html)
			v->html[v->html_n++] = p;
		else
			attach(v, p);
		return;
	}
	if (f->is_in_alternative) {
		f->to_html = f->to_html && !is_plain;
		f->to_text = f->to_text && !is_html;
	}
	if (f->to_text)
		v->text[v->text_n++] = p;
	if (f->to_html)
		v->html[v->html_n++] = p;
	if ((!f->to_text || !f->to_html) && is_media(p->type))
		attach(v, p);
}

static void
enter(struct walk *w, const struct letter_part *multipart)
{
	const struct frame *around = &w->frames[w->depth - 1];
	struct frame *f = &w->frames[w->depth++];
	bool is_alternative = str_eq(multipart->type, S("multipart/alternative"));

	must(w->depth <= LETTER_DEPTH_MAX + 1);
	*f = (struct frame){ .multipart = multipart,
		.n = multipart->sub_n,
		.is_alternative = is_alternative,
		.is_related = str_eq(multipart->type, S("multipart/related")),
		.is_in_alternative = is_alternative || around->is_in_alternative,
		.to_text = around->to_text,
		.to_html = around->to_html,
		.text_n = w->view->text_n,
		.html_n = w->view->html_n };
}

/* An alternative that had only one of the two stands for both. */
static void
leave(struct letter_view *v, const struct frame *f)
{
	size_t text_n = v->text_n, html_n = v->html_n;

	if (!f->is_alternative || !f->to_text || !f->to_html)
		return;
	if (text_n == f->text_n && html_n != f->html_n)
		for (size_t i = f->html_n; i < html_n; i++)
			v->text[v->text_n++] = v->html[i];
	if (html_n == f->html_n && text_n != f->text_n)
		for (size_t i = f->text_n; i < text_n; i++)
			v->html[v->html_n++] = v->text[i];
}

static void
walk(struct walk *w, const struct letter_part *root)
{
	w->frames[0] = (struct frame){ .n = 1, .to_text = true, .to_html = true };
	w->depth = 1;
	while (w->depth > 0) {
		struct frame *f = &w->frames[w->depth - 1];
		const struct letter_part *p;

		if (f->at == f->n) {
			leave(w->view, f);
			w->depth--;
			continue;
		}
		p = f->multipart ? f->multipart->sub[f->at] : root;
		if (p->id.n == 0)
			enter(w, p);
		else
			put_leaf(w->view, f, p);
		f->at++;
	}
}

const struct letter_view *
letter_view(struct letter *l)
{
	struct walk w = { .view = &l->view };
	const struct letter_part ***lists[] = { &l->view.text, &l->view.html,
		&l->view.attachments };

	if (l->is_viewed)
		return &l->view;
	for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
		*lists[i] = arena_take(&l->arena, l->parts_n * sizeof **lists[i]);
		must(*lists[i]);
	}
	walk(&w, l->parts[0]);
	l->is_viewed = true;
	return &l->view;
}
