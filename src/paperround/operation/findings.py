"""Room: what the doctor can find. Each finding has a stable code, how bad it is, and why it matters (pure)."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    FAULT = "fault"  # something does not work, or mail is refused because of it
    WARNING = "warning"  # it works, and will not for ever or not for everybody
    NOTE = "note"  # good to know


FAULT, WARNING, NOTE = Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as it should be."""

    code: str  # a key of FINDINGS
    what: str
    change: str  # the line to change, and where

    @property
    def severity(self) -> Severity:
        return FINDINGS[self.code][0]

    @property
    def why(self) -> str:
        return FINDINGS[self.code][1]

    def as_json(self) -> dict[str, str]:
        return {"severity": self.severity.value, "code": self.code, "what": self.what, "why": self.why, "change": self.change}


def found(code: str, what: str, change: str) -> Finding:
    """What others say (a banner, a record) stands in it: without what a terminal would obey."""
    return Finding(code=code, what=_printable(what), change=_printable(change))


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text)[:500]


FINDINGS: dict[str, tuple[Severity, str]] = {
    # the configuration
    "configuration": (FAULT, "Nothing runs before the configuration can be read."),
    "sender": (FAULT, "Servers refuse mail from a domain that is none."),
    "sender-freemail": (FAULT, "The provider's DMARC record tells everybody to refuse mail in its name that it did not send."),
    "postal-address": (FAULT, "Issues are not sent without it: bulk mail has to name its sender (CAN-SPAM and its like)."),
    "base-url": (FAULT, "Readers' links, the way out among them, lead nowhere."),
    "inbox": (WARNING, "Addresses that are gone are mailed on for ever, and providers count that against you."),
    "list-address": (NOTE, "Mails to it would subscribe, answer and leave; without it only bounces are read."),
    "hostname": (WARNING, "Many servers refuse a greeting that is no full name (RFC 5321, 4.1.4)."),
    # this machine
    "key": (FAULT, "Links cannot be signed without the key, and those in mails already sent do not work."),
    "key-readable": (FAULT, "Whoever reads the key can make every reader's links."),
    "config-readable": (WARNING, "It holds a password."),
    "database": (FAULT, "Nothing runs without the database."),
    "database-absent": (NOTE, "The first command that needs it makes it."),
    "database-locked": (FAULT, "Every step waits for it, then fails."),
    "database-readable": (WARNING, "It holds every reader's address and interests."),
    "database-damaged": (FAULT, "Damage spreads: stop `serve` first, then restore."),
    "disk-full": (FAULT, "A full disk stops recording, and what is not recorded is not sent."),
    "disk-low": (WARNING, "A backup needs as much room as the database, and the journal some more."),
    "zone": (FAULT, "Nobody can say when that reader's issue is due."),
    "zones": (FAULT, "Without the time zone data every schedule is wrong."),
    "clock": (FAULT, "Mails bear a wrong date, which counts as a sign of spam, and fresh links end early or late."),
    "clock-back": (FAULT, "What is due waits until the clock has caught up."),
    "model": (FAULT, "Nothing new is matched without the model."),
    "model-slow": (WARNING, "A day's entries may take longer than the day has."),
    "complaints": (WARNING, "Large providers ask for less than 0.1 %; from 0.3 % on they turn mail away."),
    "complaints-harmful": (FAULT, "From 0.3 % on large providers turn all mail of the domain away."),
    "dead-addresses": (WARNING, "Providers read it as a list that was bought, or never cleaned."),
    # the relay
    "relay-unreachable": (FAULT, "No mail leaves."),
    "relay-refuses": (FAULT, "No mail leaves: the run stops at such an answer."),
    "relay-clear-promised": (FAULT, "Mail and password go to it encrypted or not at all, so nothing goes."),
    "relay-clear": (WARNING, "Mails, with the links in them, cross the net in clear; providers ask for TLS."),
    "relay-filtered": (FAULT, "Such a box takes out STARTTLS and breaks long lines."),
    "relay-no-login": (FAULT, "A name and a password are set, and cannot be used."),
    "relay-login": (FAULT, "No mail leaves."),
    "relay-size": (WARNING, "A long issue does not fit: fifty items are some 130 kB as base64."),
    "relay-no-utf8": (WARNING, "Those readers get no mail."),
    "relay-far": (NOTE, "A mail is four questions and answers, one after the other on each connection."),
    "relay-name": (WARNING, "It greets other servers by that name, and they look it up."),
    "certificate": (FAULT, "Who does not verify it is told nothing; who does goes away."),
    "certificate-loose": (WARNING, "Mail goes all the same, and anybody on the way could be that server."),
    "certificate-ends": (WARNING, "Renewal usually happens thirty days before: it seems to have failed."),
    # the names
    "dns": (WARNING, "What cannot be asked cannot be judged, and other servers may fail at it too."),
    "spf-missing": (FAULT, "Gmail and Yahoo refuse bulk mail from a domain without SPF."),
    "spf-several": (FAULT, "Two records are an error to everybody who reads them (RFC 7208, 4.5)."),
    "spf-broken": (FAULT, "A record that cannot be read is an error to everybody (RFC 7208, 4.6)."),
    "spf-lookups": (FAULT, "After ten questions servers stop, and take the answer for an error (RFC 7208, 4.6.4)."),
    "spf-void": (WARNING, "Servers stop after two questions that nothing answers (RFC 7208, 4.6.4)."),
    "spf-include": (FAULT, "An include without a record is an error for the whole (RFC 7208, 5.2)."),
    "spf-include-empty": (WARNING, "It allows nobody, and costs one of ten questions."),
    "spf-open": (WARNING, "Everybody may send in your name, and servers give such a record no weight."),
    "spf-sender": (FAULT, "Mail from there fails SPF."),
    "dkim-unknown": (WARNING, "Gmail and Yahoo refuse bulk mail that is not signed by the sender's domain."),
    "dkim-missing": (FAULT, "Signatures that name it cannot be verified."),
    "dkim-broken": (FAULT, "Signatures that name it cannot be verified."),
    "dkim-revoked": (FAULT, "An empty key says that it is withdrawn: what it signed fails."),
    "dkim-weak": (WARNING, "Gmail asks for 1024 bits at the least and 2048 if you can (RFC 8301)."),
    "dkim-testing": (WARNING, "t=y asks servers to treat signed mail like unsigned mail."),
    "dmarc-missing": (FAULT, "Gmail and Yahoo refuse bulk mail from a domain without a DMARC record."),
    "dmarc-several": (FAULT, "Of several records none counts (RFC 7489, 6.6.3)."),
    "dmarc-broken": (FAULT, "A record that cannot be read does not count."),
    "dmarc-unaligned": (FAULT, "SPF and DKIM count only for the domain that the reader sees in From."),
    "dmarc-silent": (NOTE, "Nobody tells you when mail in your name fails."),
    "mx-missing": (FAULT, "Answers and bounces cannot come back, and many servers refuse such senders."),
    "mx-null": (FAULT, "The domain says that it takes no mail (RFC 7505): servers refuse such senders."),
    "mx-host": (FAULT, "Answers and bounces cannot come back."),
    "mx-alias": (WARNING, "An MX must name a host, not an alias (RFC 5321, 5.1): some servers refuse it."),
    "ptr-missing": (FAULT, "Gmail and many others refuse mail from an address without a name."),
    "ptr-unconfirmed": (FAULT, "The name has to lead back to the address; otherwise anybody could claim it."),
    "relay-name-unknown": (FAULT, "Servers look the relay's name up and refuse one that is nowhere."),
    # a mail as it arrived
    "mail-no-way-out": (FAULT, "Gmail and Yahoo ask for both headers in bulk mail (RFC 8058)."),
    "mail-unsigned": (FAULT, "Gmail and Yahoo refuse bulk mail without a signature."),
    "mail-unaligned": (FAULT, "A signature counts only for the domain that the reader sees in From."),
    "mail-way-out-unsigned": (FAULT, "One-click counts only where the signature covers both headers (RFC 8058, 4)."),
    "mail-headers-unsigned": (WARNING, "Whoever forwards the mail may rewrite what is not covered."),
    "mail-partly-signed": (WARNING, "Anything may be added below, under your signature (RFC 6376, 8.2)."),
    "mail-failed": (FAULT, "The receiving server has told what it thinks of your mail."),
    # the pages
    "web-unreachable": (FAULT, "Readers' links, the way out among them, lead nowhere."),
    "web-idle": (NOTE, "Links in mails work while `paperround serve` runs."),
    "web-other": (FAULT, "Something else answers at the address that mails name."),
    "one-click-redirect": (FAULT, "Providers follow no redirect (RFC 8058, 3.1): leaving fails, and the reader presses Spam."),
    "one-click-key": (FAULT, "Links in mails made here are unknown there: nobody can leave."),
    "one-click-refused": (FAULT, "Leaving by one click is refused, and the reader presses Spam."),
    # the doctor itself
    "unexamined": (WARNING, "What was not looked at may be well or not."),
}
