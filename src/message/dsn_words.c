/* SPDX-License-Identifier: Apache-2.0 */
#include "message/message.h"

/*
 * What enhanced codes mean, for people. The second and third numbers have a row each; the first, which
 * says whether there is hope, has its own words. Meanings speak of the host that gave the code; advice
 * is for the sender of the mail, and never to try again later: whoever reads it in a bounce reads it
 * when all tries are over. The operator of the sending station has other means, and words of his own.
 *
 * Sources: RFC 3463 §3, and by way of the registry of RFC 5248: RFC 3886 (1.9), RFC 4468 (6.6), RFC 4954
 * (5.6, 7.8-7.14), RFC 6531 (6.7-6.10), RFC 6710 (3.6, 7.15, 7.16), RFC 7293
 * (7.17-7.19), RFC 7372 (7.20-7.26), RFC 7505 (1.10, 7.27), RFC 8617 (7.29), RFC 8689 (7.30).
 */

enum advice {
	DO_NOTHING,
	CHECK_ADDRESS,
	CHECK_DOMAIN,
	ASK_NEW_ADDRESS,
	CHECK_SENDER,
	OTHER_WAY,
	TELL_THEIR_POSTMASTER,
	TELL_YOUR_POSTMASTER,
	ASK_TO_BE_LET_IN,
	SEND_SMALLER,
	SEND_OTHER_FORM,
	SEND_TO_FEWER,
	SEND_SLOWER,
	USE_ASCII,
	CHECK_LOGIN,
	CHANGE_PASSWORD,
	USE_TLS,
};

static const struct str advices[][DSN_LANGUAGES] = {
	[DO_NOTHING] = { S("Nothing needs to be done."), S("您无需做任何事。") },
	[CHECK_ADDRESS] = { S("Check the address for a slip, and ask the person for the right "
			      "one."),
		S("请检查地址有没有写错，或者向对方问清正确的地址。") },
	[CHECK_DOMAIN] = { S("Check the part of the address behind the @."),
		S("请检查地址中 @ 后面的部分。") },
	[ASK_NEW_ADDRESS] = { S("Ask the person for the new address."), S("请向对方询问新地址。") },
	[CHECK_SENDER] = { S("Check your own address in the settings of your mail program."),
		S("请检查邮件程序里填写的您自己的地址。") },
	[OTHER_WAY] = { S("Reach the person some other way, and tell them of it."),
		S("请用别的方式联系对方，并告诉对方这件事。") },
	[TELL_THEIR_POSTMASTER] = { S("Ask the person, some other way, to show this message to "
				      "their "
				      "postmaster."),
		S("请用别的方式联系对方，让对方把这封信交给他们的邮件管理员。") },
	[TELL_YOUR_POSTMASTER] = { S("Show this message to your own postmaster."),
		S("请把这封信交给您自己的邮件管理员。") },
	[ASK_TO_BE_LET_IN] = { S("Ask the person, or the owner of the list, to let your mail in."),
		S("请让对方或邮件列表的主人放行您的邮件。") },
	[SEND_SMALLER] = { S("Send a smaller message, or a link in place of an attachment."),
		S("请发送小一些的邮件，或者用链接代替附件。") },
	[SEND_OTHER_FORM] = { S("Send it in another form: as plain text, or without the "
				"attachment."),
		S("请换一种形式发送：用纯文本，或者去掉附件。") },
	[SEND_TO_FEWER] = { S("Send it to fewer people at a time."), S("请一次少发给几个人。") },
	[SEND_SLOWER] = { S("Send less mail at a time, and ask your postmaster whether others send "
			    "much "
			    "from the same address."),
		S("请放慢发信的速度，并请您的邮件管理员查看同一地址是否有人大量发信。") },
	[USE_ASCII] = { S("Use an address for this person that has only ASCII letters."),
		S("请使用对方只含英文字母的地址。") },
	[CHECK_LOGIN] = { S("Check name and password in the settings of your mail program."),
		S("请检查邮件程序里的用户名和密码。") },
	[CHANGE_PASSWORD] = { S("Set a new password, then log in with it."),
		S("请先设置新密码，再用新密码登录。") },
	[USE_TLS] = { S("Switch on TLS in the settings of your mail program."),
		S("请在邮件程序的设置里打开 TLS 加密。") },
};

/* Detail 0 is also for the details that no row has, and 0.0 for the subjects. */
static const struct row {
	unsigned char subject, detail, advice;
	struct str meaning[DSN_LANGUAGES];
} rows[] = {
	{ 0, 0, TELL_YOUR_POSTMASTER,
		{ S("The reason has no number of its own; only the words say it."),
			S("这个原因没有专门的代码，只能看文字说明。") } },

	{ 1, 0, CHECK_ADDRESS, { S("Something is wrong with the address."), S("地址有问题。") } },
	{ 1, 1, CHECK_ADDRESS,
		{ S("There is no mailbox of this name."), S("没有这个名字的邮箱。") } },
	{ 1, 2, CHECK_DOMAIN,
		{ S("The domain of the address takes no mail, or does not exist."),
			S("地址所在的域名不收邮件，或者不存在。") } },
	{ 1, 3, CHECK_ADDRESS,
		{ S("The address is not written as an address must be."),
			S("地址的写法不正确。") } },
	{ 1, 4, CHECK_ADDRESS,
		{ S("The address could mean more than one mailbox."),
			S("这个地址可能指不止一个邮箱。") } },
	{ 1, 5, DO_NOTHING, { S("The address is right."), S("地址正确。") } },
	{ 1, 6, ASK_NEW_ADDRESS,
		{ S("The person has moved, and mail is not sent on."),
			S("对方已换地址，邮件不会转寄。") } },
	{ 1, 7, CHECK_SENDER,
		{ S("The sender's address is not written as an address must be."),
			S("发件人地址的写法不正确。") } },
	{ 1, 8, CHECK_SENDER,
		{ S("The domain of the sender's address does not exist, or takes no mail."),
			S("发件人地址的域名不存在，或者不收邮件。") } },
	{ 1, 9, DO_NOTHING,
		{ S("It was passed on to a host that sends no reports of its own."),
			S("邮件已交给一台不会发送回执的主机。") } },
	{ 1, 10, CHECK_DOMAIN,
		{ S("The domain of the address says that it takes no mail at all."),
			S("地址所在的域名声明完全不收邮件。") } },

	{ 2, 0, OTHER_WAY, { S("Something is wrong with the mailbox."), S("对方的邮箱有问题。") } },
	{ 2, 1, OTHER_WAY,
		{ S("The mailbox is there, but takes no mail."),
			S("邮箱存在，但现在不收邮件。") } },
	{ 2, 2, OTHER_WAY, { S("The mailbox is full."), S("邮箱已满。") } },
	{ 2, 3, SEND_SMALLER,
		{ S("The message is larger than this mailbox takes."),
			S("邮件超过了这个邮箱允许的大小。") } },
	{ 2, 4, TELL_THEIR_POSTMASTER,
		{ S("The list could not be resolved into its members."),
			S("无法找出邮件列表的成员。") } },

	{ 3, 0, TELL_THEIR_POSTMASTER,
		{ S("Something is wrong with the mail system."), S("邮件系统有问题。") } },
	{ 3, 1, TELL_THEIR_POSTMASTER,
		{ S("The mail system has no space left."), S("邮件系统的存储空间已满。") } },
	{ 3, 2, TELL_THEIR_POSTMASTER,
		{ S("The mail system takes no mail: it is closing down, or too busy."),
			S("邮件系统不收邮件：正在关闭，或者太忙。") } },
	{ 3, 3, SEND_OTHER_FORM,
		{ S("The mail system cannot do what this message needs."),
			S("邮件系统不支持这封邮件所需的功能。") } },
	{ 3, 4, SEND_SMALLER,
		{ S("The message is larger than the mail system takes."),
			S("邮件超过了邮件系统允许的大小。") } },
	{ 3, 5, TELL_THEIR_POSTMASTER,
		{ S("The mail system is not set up rightly."), S("邮件系统的配置不正确。") } },
	{ 3, 6, DO_NOTHING,
		{ S("The message was taken with another priority than it asked for."),
			S("邮件已收下，但优先级与要求的不同。") } },

	{ 4, 0, OTHER_WAY,
		{ S("Something is wrong on the way to the other host."),
			S("通往对方主机的路上出了问题。") } },
	{ 4, 1, OTHER_WAY, { S("The other host does not answer."), S("对方主机没有应答。") } },
	{ 4, 2, OTHER_WAY,
		{ S("The connection to the other host broke, or stood still."),
			S("与对方主机的连接中断或停滞。") } },
	{ 4, 3, CHECK_DOMAIN,
		{ S("The DNS, or another directory, gave no usable answer for the domain."),
			S("DNS 或其他目录没有给出这个域名的可用答案。") } },
	{ 4, 4, CHECK_DOMAIN,
		{ S("No way leads to the domain of the address."),
			S("找不到通往地址所在域名的路。") } },
	{ 4, 5, OTHER_WAY,
		{ S("The mail system has more mail than it can carry."),
			S("邮件系统的邮件多得来不及处理。") } },
	{ 4, 6, TELL_THEIR_POSTMASTER,
		{ S("The mail goes round in a loop between hosts."),
			S("邮件在几台主机之间来回打转。") } },
	{ 4, 7, OTHER_WAY,
		{ S("It could not be delivered for as long as it was tried, and has been given "
		    "up."),
			S("在整个尝试期间一直无法送达，现已放弃。") } },

	{ 5, 0, TELL_YOUR_POSTMASTER,
		{ S("The two hosts did not understand each other."),
			S("两台主机没能听懂对方的话。") } },
	{ 5, 1, TELL_YOUR_POSTMASTER,
		{ S("A command is not known there, or came at a wrong time."),
			S("对方不认识这个命令，或者命令来得不是时候。") } },
	{ 5, 2, TELL_YOUR_POSTMASTER,
		{ S("A command, or the message, is not written as it must be."),
			S("命令或邮件的语法不正确。") } },
	{ 5, 3, SEND_TO_FEWER,
		{ S("The mail has more recipients than are taken at once."),
			S("收件人多于一次允许的数目。") } },
	{ 5, 4, TELL_YOUR_POSTMASTER,
		{ S("A parameter of a command is wrong, or not taken there."),
			S("命令的参数不正确，或者对方不接受。") } },
	{ 5, 5, TELL_YOUR_POSTMASTER,
		{ S("The two hosts speak different versions of a protocol."),
			S("两台主机使用的协议版本不同。") } },
	{ 5, 6, CHECK_LOGIN,
		{ S("A line of the login is longer than is taken."), S("登录时的一行过长。") } },

	{ 6, 0, SEND_OTHER_FORM,
		{ S("Something is wrong with what is in the message."), S("邮件的内容有问题。") } },
	{ 6, 1, SEND_OTHER_FORM,
		{ S("The kind of content is not taken there."), S("对方不接受这种内容。") } },
	{ 6, 2, SEND_OTHER_FORM,
		{ S("The message would have to be converted, which is not allowed."),
			S("邮件需要转换，但不允许转换。") } },
	{ 6, 3, SEND_OTHER_FORM,
		{ S("The message would have to be converted, which is not possible."),
			S("邮件需要转换，但无法转换。") } },
	{ 6, 4, DO_NOTHING,
		{ S("The message was converted, and lost something by it."),
			S("邮件已转换，其中有些内容丢失。") } },
	{ 6, 5, SEND_OTHER_FORM, { S("Converting the message failed."), S("转换邮件失败。") } },
	{ 6, 6, SEND_OTHER_FORM,
		{ S("A part of the message could not be fetched from where it lies."),
			S("无法取得邮件的一部分内容。") } },
	{ 6, 7, USE_ASCII,
		{ S("Addresses that are not ASCII are not taken there."),
			S("对方不接受含非英文字母的地址。") } },
	{ 6, 8, USE_ASCII,
		{ S("The answer would have to be in UTF-8, which was not allowed."),
			S("答复需要用 UTF-8，但没有得到允许。") } },
	{ 6, 9, USE_ASCII,
		{ S("The header of the message is not ASCII, and cannot be passed on so."),
			S("邮件头含有非 ASCII 文字，无法这样传送。") } },
	{ 6, 10, USE_ASCII,
		{ S("The answer would have to be in UTF-8, which was not allowed."),
			S("答复需要用 UTF-8，但没有得到允许。") } },

	{ 7, 0, ASK_TO_BE_LET_IN,
		{ S("The mail is refused by a rule about security or policy."),
			S("邮件因安全或策略方面的规则被拒绝。") } },
	{ 7, 1, ASK_TO_BE_LET_IN,
		{ S("You are not allowed to send this mail to there."),
			S("您无权向那里发送这封邮件。") } },
	{ 7, 2, ASK_TO_BE_LET_IN,
		{ S("You are not allowed to write to this list."),
			S("您无权向这个邮件列表发信。") } },
	{ 7, 3, TELL_YOUR_POSTMASTER,
		{ S("The message would have to change its protection, which is not possible."),
			S("邮件需要改变保护方式，但无法做到。") } },
	{ 7, 4, TELL_YOUR_POSTMASTER,
		{ S("The protection that was asked for is not known there."),
			S("对方不支持所要求的安全功能。") } },
	{ 7, 5, TELL_YOUR_POSTMASTER,
		{ S("The message could not be encrypted, decrypted or checked."),
			S("邮件无法加密、解密或校验。") } },
	{ 7, 6, TELL_YOUR_POSTMASTER,
		{ S("The way of encryption is not known there."), S("对方不支持这种加密方式。") } },
	{ 7, 7, TELL_YOUR_POSTMASTER,
		{ S("The message was changed on its way."), S("邮件在途中被改动。") } },
	{ 7, 8, CHECK_LOGIN, { S("Login or password is wrong."), S("用户名或密码错误。") } },
	{ 7, 9, TELL_YOUR_POSTMASTER,
		{ S("This way of logging in is too weak for this account."),
			S("这种登录方式对该帐户来说不够安全。") } },
	{ 7, 10, USE_TLS, { S("Encryption is needed."), S("必须加密。") } },
	{ 7, 11, USE_TLS,
		{ S("This way of logging in needs encryption."), S("这种登录方式必须加密。") } },
	{ 7, 12, CHANGE_PASSWORD,
		{ S("The password must be set anew before this way of logging in works."),
			S("使用这种登录方式之前必须重设密码。") } },
	{ 7, 13, TELL_YOUR_POSTMASTER, { S("The account is switched off."), S("帐户已停用。") } },
	{ 7, 14, TELL_YOUR_POSTMASTER,
		{ S("The host must be trusted there first."), S("对方必须先信任这台主机。") } },
	{ 7, 15, TELL_YOUR_POSTMASTER,
		{ S("The priority of the message is too low to be taken."),
			S("邮件的优先级太低，不被接受。") } },
	{ 7, 16, SEND_SMALLER,
		{ S("The message is too large for its priority."),
			S("邮件对它的优先级来说太大。") } },
	{ 7, 17, ASK_NEW_ADDRESS,
		{ S("The mailbox has another owner than before."), S("邮箱已换了主人。") } },
	{ 7, 18, ASK_NEW_ADDRESS,
		{ S("The domain has another owner than before."), S("域名已换了主人。") } },
	{ 7, 19, OTHER_WAY,
		{ S("Whether the mailbox still has the same owner cannot be told."),
			S("无法确认邮箱是否仍属于同一个人。") } },
	{ 7, 20, TELL_YOUR_POSTMASTER,
		{ S("No DKIM signature of the message holds."), S("邮件没有有效的 DKIM 签名。") } },
	{ 7, 21, TELL_YOUR_POSTMASTER,
		{ S("The message has no DKIM signature that is accepted there."),
			S("邮件没有对方认可的 DKIM 签名。") } },
	{ 7, 22, TELL_YOUR_POSTMASTER,
		{ S("No DKIM signature is of the author's domain."),
			S("没有来自作者域名的 DKIM 签名。") } },
	{ 7, 23, TELL_YOUR_POSTMASTER,
		{ S("The sender's domain does not name this host as one that sends for it (SPF)."),
			S("发件人域名没有授权这台主机代为发信（SPF）。") } },
	{ 7, 24, TELL_YOUR_POSTMASTER,
		{ S("Which hosts may send for the sender's domain cannot be read (SPF)."),
			S("无法读取发件人域名的授权主机（SPF）。") } },
	{ 7, 25, TELL_YOUR_POSTMASTER,
		{ S("The sending host's address has no name in the DNS that leads back to it."),
			S("发信主机的地址在 DNS 中没有相符的反向域名。") } },
	{ 7, 26, TELL_YOUR_POSTMASTER,
		{ S("The message fails more than one check of where it comes from."),
			S("邮件没有通过多项来源检查。") } },
	{ 7, 27, CHECK_SENDER,
		{ S("The sender's domain says that it takes no mail, so nobody could answer."),
			S("发件人域名声明不收邮件，因此无法回信。") } },
	{ 7, 28, SEND_SLOWER,
		{ S("More mail comes from the sender, or the sending host, than is taken."),
			S("来自该发件人或发信主机的邮件过多。") } },
	{ 7, 29, TELL_YOUR_POSTMASTER,
		{ S("The seals of the hosts on the way do not hold (ARC)."),
			S("途经主机的封印校验失败（ARC）。") } },
	{ 7, 30, TELL_YOUR_POSTMASTER,
		{ S("The message asks to be passed on with TLS only, which is not known there."),
			S("邮件要求全程使用 TLS，但对方不支持。") } },
};

enum { ROWS_N = sizeof rows / sizeof rows[0] };

/* Greylisting (RFC 6647): refused at the first try, for some minutes. 4.7.1 is its usual code, but others are
 * in use, 4.2.0 above all, with which only the words tell. */
static const struct row greylisting = { 7, 1, ASK_TO_BE_LET_IN,
	{ S("The other host does not take mail from here yet; many do so at the first try."),
		S("对方主机暂时还不接收这里的邮件；许多主机第一次都会这样。") } };

/* What the operator of the sending station can do, by the subject. */
static const struct str operators[] = {
	S("Read the words of the other host (posthouse why): the code alone says too little."),
	S("Nothing, unless many addresses of one domain fail: then look at its route (posthouse "
	  "explain route)."),
	S("Nothing: it is the other side's mailbox. Should many of one host fail, its postmaster "
	  "wants to know."),
	S("Read the words: the host that said so is full, too small or lacks a feature. Its "
	  "postmaster can help."),
	S("Look at the road: posthouse explain route ADDRESS, posthouse top; is the network up, "
	  "does "
	  "the DNS answer?"),
	S("The two hosts do not understand each other: posthouse why shows at which command. A "
	  "repeat is worth a report."),
	S("The content is the sender's: smaller, simpler, or another form."),
	S("Policy. Look whether this station's address is on a block list, has a matching reverse "
	  "name (PTR), and signs and authorises its mail (SPF, DKIM, DMARC); send slower (route { "
	  "rate, connections }); then write to their postmaster."),
};

enum { OPERATORS_N = sizeof operators / sizeof operators[0] };

/* In subject 7 some details are about something else than policy (RFC 3463 §3.8). */
static const struct str operator_of_login =
	S("A login is wanted or not taken: the one that the route names (login = \"file:…\") may "
	  "be wrong "
	  "or missing. Correct it, reload (kill -HUP), then posthouse queue dest:HOST retry.");
static const struct str operator_of_tls = S(
	"Encryption: look at `tls` of the route (posthouse explain route ADDRESS) and at what the "
	"other host offers. tls = \"require\" encrypts without proof of the name.");

static const struct {
	unsigned detail;
	const struct str *text;
} operators_of_7[] = {
	{ 3, &operator_of_tls },
	{ 4, &operator_of_tls },
	{ 5, &operator_of_tls },
	{ 6, &operator_of_tls },
	{ 8, &operator_of_login },
	{ 9, &operator_of_login },
	{ 10, &operator_of_tls },
	{ 11, &operator_of_tls },
	{ 12, &operator_of_login },
	{ 13, &operator_of_login },
	{ 30, &operator_of_tls },
};

/* What this station found out by itself is told apart better by its kind than by the code that others hear. */
static const struct str operators_of_kinds[ERR_KINDS] = {
	[ERR_LOGIN_REFUSED] = S(
		"The login in the file that the route names is not taken there: correct it, reload "
		"(kill -HUP), then posthouse queue dest:HOST retry."),
	[ERR_LOGIN_NEEDED] =
		S("The route to this host needs a login (login = \"file:…\") or, should it say so, "
		  "encryption (no tls = \"never\"): write it, reload (kill -HUP), then posthouse "
		  "queue "
		  "dest:HOST retry."),
	[ERR_LOGIN_LATER] = S("The file of the route's login cannot be read: look at the log "
			      "(no-login-file)."),
	[ERR_TLS] = S("TLS with this host fails, and the route demands it. Look at what it offers "
		      "(posthouse send --via smtp://HOST -v) and at `tls` of the route."),
	[ERR_LOCAL] = S("A fault of this station: it cannot write or read there. Look at the log "
			"(mailbox-failed), and at posthouse status."),
	[ERR_SYNC] = S("The disk under the mailboxes reports faults: look at it before anything "
		       "else."),
	[ERR_NO_SPACE] = S("The disk under the mailboxes is full, or over a quota: make room. The "
			   "mail waits."),
};

/* Of ERR_TLS, where the host has shown a certificate. */
static const struct str operator_of_certificate =
	S("The host shows a certificate that does not prove its name. Its own name may differ from "
	  "that in via; a private authority goes into tls { trust }; tls = \"require\" encrypts "
	  "without proof.");

static const struct row *
find_row(unsigned subject, unsigned detail)
{
	for (size_t i = 0; i < ROWS_N; i++)
		if (rows[i].subject == subject && rows[i].detail == detail)
			return &rows[i];
	return NULL;
}

static bool
is_greylisting(struct enhanced code, struct str words)
{
	return code.class == 4 &&
	       ((code.subject == greylisting.subject && code.detail == greylisting.detail) ||
		       str_has_nocase(words, S("greylist")) ||
		       str_has_nocase(words, S("graylist")));
}

static struct str
operator_of_code(struct enhanced code)
{
	for (size_t i = 0;
		code.subject == 7 && i < sizeof operators_of_7 / sizeof operators_of_7[0]; i++)
		if (operators_of_7[i].detail == code.detail)
			return *operators_of_7[i].text;
	return operators[code.subject < OPERATORS_N ? code.subject : 0];
}

struct str
dsn_explain_own(const struct err *e)
{
	if (e->kind == ERR_TLS && str_has_nocase(str_of(e->text), S("certificate")))
		return operator_of_certificate;
	return e->kind < ERR_KINDS ? operators_of_kinds[e->kind] : (struct str){ 0 };
}

struct dsn_meaning
dsn_explain(struct enhanced code, struct str words, enum dsn_language language)
{
	static const struct str good[] = { S("All went well."), S("一切顺利。") };
	const struct row *row =
		is_greylisting(code, words) ? &greylisting : find_row(code.subject, code.detail);
	struct dsn_meaning m = { .for_operator = operator_of_code(code) };

	if (!row)
		row = find_row(code.subject, 0);
	if (!row)
		row = &rows[0];
	m.meaning = row->meaning[language];
	m.for_sender = advices[row->advice][language];
	if (row == &greylisting)
		m.for_operator = S("Nothing: the next try usually passes. If it lasts for hours, "
				   "look at its words.");
	if (code.class == 2) {
		if (row->advice != DO_NOTHING)
			m.meaning = good[language];
		m.for_sender = advices[DO_NOTHING][language];
		m.for_operator = advices[DO_NOTHING][DSN_ENGLISH];
	}
	return m;
}

struct str
dsn_explain_class(struct enhanced code, enum dsn_language language)
{
	switch (code.class) {
	case 2:
		return language == DSN_CHINESE ? S("成功。") : S("It is done.");
	case 4:
		return language == DSN_CHINESE ? S("暂时不行，会自动重试。")
					       : S("Not now: it is tried again by itself.");
	case 5:
		return language == DSN_CHINESE ? S("永久失败，不会重试。")
					       : S("Never: it is not tried again.");
	}
	return (struct str){ 0 };
}
