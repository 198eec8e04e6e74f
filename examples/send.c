/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mail to three people over TLS, with a login and an attachment; and what became of each of them.
 *
 *   PASSWORD=… send [URL [FILE]]
 */
#include <posthouse.h>
#include <stdio.h>
#include <stdlib.h>

int
main(int argc, char **argv)
{
	ph_session *s = ph_session_new(argc > 1 ? argv[1] : "smtp://wei@mail.example.org");
	ph_mail *m = ph_mail_new();
	enum ph_status status;

	ph_login(s, NULL, getenv("PASSWORD"));
	ph_from(m, "魏 <wei@example.org>");
	ph_to(m, "Bob <bob@example.net>, ann@example.net, carol@example.com");
	ph_subject(m, "午餐 · Lunch");
	ph_text(m, "See you at noon.\n");
	ph_attach(m, argc > 2 ? argv[2] : "menu.pdf");
	status = ph_send(s, m);
	for (size_t i = 0; i < ph_results(m); i++)
		printf("%s: %d %s\n", ph_result(m, i)->address, ph_result(m, i)->code,
			ph_result(m, i)->text);
	if (status == PH_INVALID)
		fprintf(stderr, "%s\n", ph_mail_error(m) ? ph_mail_error(m) : ph_session_error(s));
	ph_mail_free(m);
	ph_session_free(s);
	return status != PH_SENT;
}
