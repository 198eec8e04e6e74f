/* SPDX-License-Identifier: Apache-2.0 */
/* A mail to three people over TLS with a login, with an attachment; and what became of each of them. */
#include <posthouse.h>
#include <stdio.h>

int
main(int argc, char **argv)
{
	ph_session *s = ph_session_new(argc > 1 ? argv[1] : "smtp://wei@mail.example.org");
	ph_mail *m = ph_mail_new();
	enum ph_status status;

	ph_from(m, "魏 <wei@example.org>");
	ph_to(m, "bob@example.org");
	ph_subject(m, "Lunch");
	ph_text(m, "See you at noon.\n");
	if (argc > 2 && argv[2][0] == 'c')
		ph_tls(s, PH_TLS_NEVER);
	status = ph_send(s, m);
	for (size_t i = 0; i < ph_results(m); i++)
		printf("%s: %s %d %s %s\n", ph_result(m, i)->address,
			ph_status_name(ph_result(m, i)->status), ph_result(m, i)->code,
			ph_result(m, i)->enhanced, ph_result(m, i)->text);
	if (status == PH_INVALID)
		printf("%s\n", ph_mail_error(m) ? ph_mail_error(m) : ph_session_error(s));
	ph_mail_free(m);
	ph_session_free(s);
	return status != PH_SENT;
}
