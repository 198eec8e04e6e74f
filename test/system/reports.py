# SPDX-License-Identifier: Apache-2.0
"""Reports as those who get them read them: people the first part, programs the second (RFC 3464, RFC 6533). One reader for ours and
for those of others; it asks for no more than the RFC and forgives what others do."""
import email
import email.policy

STATUS_TYPES = "message/delivery-status", "message/global-delivery-status"
FAILED, DELAYED = "failed", "delayed"


def blocks(part):
    """The groups of fields: the first is about the mail, each further one about a recipient."""
    groups = part.get_payload()
    if part.get_content_type() == STATUS_TYPES[1]:  # the email package takes it for one message
        message, = groups
        rest = message.get_payload(decode=True).decode().replace("\r\n", "\n").strip("\n")
        groups = [message, *(email.message_from_string(text, policy=email.policy.default) for text in rest.split("\n\n"))]
    return [fields for fields in groups if fields.keys()] if isinstance(groups, list) else []


class Report:
    """`.mail`; `.about`, the fields about the mail; `.recipients`, a dictionary of fields each; both without their case. `.original` is
    the part with what came back, None: there is none. Nothing of it is there where the mail is no such report."""

    def __init__(self, octets):
        self.mail = email.message_from_bytes(octets, policy=email.policy.default)
        groups = next((blocks(part) for part in self.mail.walk() if part.get_content_type() in STATUS_TYPES), [])
        plain = [{name.lower(): str(value).strip() for name, value in fields.items()} for fields in groups]
        self.recipients = [fields for fields in plain if "final-recipient" in fields]
        self.about = next((fields for fields in plain if "final-recipient" not in fields), {})
        parts = self.mail.get_payload() if self.mail.is_multipart() else []
        self.original = parts[2] if len(parts) > 2 else None

    @property
    def words(self):
        return self.mail.get_payload()[0].get_content()

    def verdicts(self):
        """[(address, action, status)]: what a program that keeps a list of addresses needs. Only of recipients that have all three."""
        return [(fields["final-recipient"].partition(";")[2].strip(), fields["action"].lower(), fields["status"].split()[0])
                for fields in self.recipients if fields.get("action") and fields.get("status")]

    def is_whole(self):
        """Of the shape that RFC 6522 §3 asks for, with nothing for a reader to mend."""
        types = [part.get_content_type() for part in self.mail.get_payload()] if self.mail.is_multipart() else []
        return (self.mail.get_content_type() == "multipart/report" and self.mail.get_param("report-type") == "delivery-status"
                and len(types) == 3 and types[0] == "text/plain" and types[1] in STATUS_TYPES
                and types[2] in ("text/rfc822-headers", "message/global-headers", "message/rfc822", "message/global")
                and not any(part.defects for part in self.mail.walk()))


def reports(station, user, n):
    """The n reports in a mailbox, which are all that is in it."""
    found = [Report(octets) for octets in station.wait_mails(user, n)]
    assert all(report.is_whole() for report in found), [bytes(report.mail) for report in found]
    return found
