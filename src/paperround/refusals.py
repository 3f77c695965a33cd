"""Refusals: whom a mail server blames, in its answer or in a notice, by status code (RFC 3463), command and words (the bottom)."""

import re

_WHO = r"(user|recipient|mailbox|account|address(ee)?|alias|inbox|person|e-?mail|destination|local part)s?"


def _any(phrases: str) -> re.Pattern[str]:
    """One expression of many, one a line; <who> is whatever stands for the reader's address."""
    return re.compile("|".join(phrases.strip().splitlines()).replace("<who>", _WHO), re.I)


_FULL = _any(r"""
<who> ?(is )?(currently )?(over ?)?(full|exceed(s|ed))
(quota|storage|mailbox|inbox|mail ?drop|mail ?file|disk)\b.{0,40}\b(exceed|full|limit)
over ?quota
(out of|insufficient|not enough) (system )?(disk ?|storage ?)(space|storage)?
exceed(s|ed|ing)? (the |its |his |their |your )?(storage|quota|mailbox|disk|allocat)
no space left
too (much|many) (mail|messages) (data )?(in|for)
sobre ?quota|cuota (excedida|superada)|boîte (aux lettres )?pleine|postfach (ist )?voll|quota dépassé
""")

# What speaks of us or of the mail. Policy replies like to mention users and mailboxes, so these are asked before those that say "gone".
_OURS = _any(r"""
\bspam|\bspf\b|\bdkim\b|\bdmarc\b|\bptr\b|\br?dns record|reverse (dns|name|lookup)|\brdns\b|\barc\b
black ?list|block ?list|\brbl\b|\bdnsbl\b|spamhaus|reputation|\bbad ip\b|invalid ip\b|client ip|mismatch
ip address .{0,40}(listed|block|not|reject)
unsolicited|phish|virus|malware|trojan|suspicious
(policy|policies|administrative prohibition)
unauthenticated|authentication[- ]?(fail|required|check|result|is required|credentials)|not (been )?authenticated|turn on smtp auth
relay(ing)? (access )?(denied|not|is prohibited|disallowed)|(unable|not (permitted|allowed|authorized)) to relay|relay quota|we do not relay
rate ?limit|at a rate|throttl|too (many|fast|frequent).{0,30}(connection|message|mail|error|recipient|concurrent)|too fast|too frequent
exceeded .{0,30}(limit|rate|per (hour|day|minute)|connections)
banned|prohibited|forbidden|complaint|local ?policy
(message|mail|body|attachment|size).{0,30}(too (large|big)|exceed)|size (limit|exceed)|too (large|big)
content (rejected|restriction|filter|not acceptable|violat)
\brfc ?[2-9]\d{3}|not rfc|header (error|missing|not)|missing .{0,20}header|duplicate header|bare (lf|cr|newline)|malformed
sender (address |domain |email )?(reject|denied|verif|not |is )|(bad|invalid|unknown) (sender|domain of sender|return path)
access (denied|not allowed)|not authori[sz]ed|not (allowed|permitted)|permission|unable to verify|does not (resolve|match|accept mail from)
blocked (by|for|due|using|because|from|ip)
(mail|message|email|ip|host|domain|connection|has been|is|been) blocked
refused by|mail (rejete|rejected)|frequency limited
smtp server of your isp
greylist|grey ?listed
""")

_NO_HOST = _any(r"""
(host|domain|mx|server)( name)?\b[^\n]{0,60}\b(not found|unknown|not exist|does ?n.t exist|non-?existent|not reachable)
no (such|mail) (domain|host)|unrouteable|illegal (host|domain)|bad destination|invalid (domain|host)
null ?mx|does not accept (any )?(e-?)?mail|nxdomain|name service error|no mx (record )?found|host unknown|unknown (host|domain)
\b[\w.-]+\.[a-z]{2,} does not exist
""")

_GONE = _any(r"""
<who>\b[^\n]{0,60}?( not|n't) (a |an |be |been )?(exist|known|valid|listed|recogni[sz]ed|registered|here)
recipient name is not recogni[sz]ed|unknown recipient|not listed in
no such (user|recipient|mailbox|account|address|person|alias|local)
<who>\b[^\n]{0,60}?\b(no longer|has (moved|left|been (deleted|removed|closed))|deleted|closed|terminated)
check (if|that) (the |this )?(e-?mail )?address is correct
(has moved|new (e-?mail )?address|no mailbox( here)? by that name|not our customer|not in (our|my|the) (directory|address book))
(address|user|recipient) (could ?n.t|could not|cannot|can't) be found|not a (valid|known) (user|mailbox|recipient|account)
(utilisateur|destinataire|adresse|compte|boîte)\b.{0,60}(n'existe pas|inconnue?\b|invalide)
(empfänger|benutzer|adresse|konto|postfach)\b.{0,60}(existiert nicht|unbekannt|ungültig)
(usuario|destinatario|dirección|cuenta|buzón)\b.{0,60}(no existe|desconocid)
(ディレクトリ|ユーザー?|宛先|アドレス).{0,40}(見つかりません|ありません)
""")

# Filters say these as well, after they have seen the mail: they count where the recipient alone was refused.
_UNKNOWN = _any(r"""
<who>\b.{0,40}?\b(unknown|invalid|not found|unavailable)
(unknown|invalid|bad|undeliverable|non-?existent) (local )?(user|recipient|mailbox|account|address|alias|person|local[- ]part)
does ?n.t have an? .{0,60}account
""")

_LATER = re.compile(r"^x-unix|(?<!and )\btry again", re.I)  # a program at the reader's; a name server that did not answer
_AT_RCPT = re.compile(r"RCPT[ _]TO|does not like recipient|after RCPT|reply to RCPT", re.I)
_AT_MAIL = re.compile(
    r"(after|reply to|>>>) (pipelined )?(MAIL( FROM)?|EHLO|HELO|initial connection|connect)\b|refused to talk to me|initial connection",
    re.I,
)
_AT_DATA = re.compile(r"end of (data|message)|>>> DATA|>>> \.$|(after|reply to) DATA|command\W+DATA|(TEXT|DATA) command", re.I | re.M)

_GONE_CODES = frozenset({"1.1", "1.2", "1.3", "1.6", "1.10", "1.351", "4.4", "4.310"})
_OURS_CODES = frozenset({"2.3", "3.4", "1.7", "1.8"})  # too large for the reader or the system; our own address


def reason(status: str | None, words: str, *, recipient: str, at: str | None = None, around: str = "") -> str:
    """dead (the address is gone), soft (its side, may work later) or sender (of us or of the mail) for one failed recipient.

    `words` is the server's reply or the passage of a notice; `at` the command that was answered (MAIL, RCPT or DATA, the final dot
    included), looked for in words and then in `around`, the whole notice, where it is not known.
    Dead needs a permanent failure that nothing else explains: in doubt it is soft, which counts only when it happens again and again."""
    subject = (status or "").partition(".")[2]
    at = at or _command(words) or _command(around)
    if subject.startswith(("7.", "6.")) or subject in _OURS_CODES:
        return "sender"
    if subject == "2.2" or _FULL.search(words) or (status or "").startswith("4.4."):
        return "soft"
    if _OURS.search(words) or at == "MAIL":
        return "sender"
    if (status or "5").startswith("4") or _LATER.search(words):
        return "soft"
    if subject in _GONE_CODES or _NO_HOST.search(words):
        return "dead"
    if subject == "2.1":  # disabled, unless the recipient alone was refused as unknown
        return "dead" if at == "RCPT" and _says_gone(words) else "soft"
    if subject not in ("", "0.0", "1.0", "5.0") or at == "DATA":
        return "soft"
    if _GONE.search(words) or subject == "1.0" or ((at == "RCPT" or _echoes(words, recipient)) and _says_gone(words)):
        return "dead"
    return "soft"


def _echoes(words: str, recipient: str) -> bool:
    """Whether the refusal repeats the address, as servers do that have just been told it."""
    local = re.escape(recipient.partition("@")[0])
    return bool(re.search(rf"\b5\d\d[ -]+(5\.\d\.\d )?[<'\"]?{re.escape(recipient)}|unknown user: {local}\b", words, re.I))


def _says_gone(words: str) -> bool:
    return bool(_GONE.search(words) or _UNKNOWN.search(words))


def _command(words: str) -> str | None:
    """Which command the refusal answered, where the notice says so."""
    for name, pattern in (("RCPT", _AT_RCPT), ("DATA", _AT_DATA), ("MAIL", _AT_MAIL)):
        if pattern.search(words):
            return name
    return None
