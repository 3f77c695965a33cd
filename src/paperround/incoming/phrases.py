"""Room: the phrases a reply may consist of. `[a|b]` may be left out, `(a|b)` is one of; a phrase has to be the whole clause, so that a
sentence that merely holds the word "stop" asks for nothing. A new language is new rows."""

import re

_NUMBER = r"(?:(?:the |le |la |les |der |die |das )?(?:number|no\.?|nr\.?|nummer|numéro|n°|items?|papers?|artikel|articles?) ?)?#?\d{1,2}"
_SLOTS = {
    "{numbers}": rf"(?P<numbers>{_NUMBER}(?:(?:,? (?:and|und|et|or|oder|ou) |, ?| ?& ?| ?\+ ?| ){_NUMBER})*)",
    "{until}": r"(?P<until>.*)",
    "{when}": r"(?P<schedule>.*)",
}

_ROWS = """
more: [give me|show me|send me] [some] more [like|of|about] [this|these] {numbers}
more: [i] (like|liked|love|loved) [this|that] {numbers}
more: {numbers} [was|is|are|were] (great|good|interesting|helpful|gut|super|toll|bien|intéressant)
more: {numbers} (gefällt|gefiel) mir
more: [gib mir|zeig mir] [bitte] mehr [wie|von|zu|davon] {numbers}
more: [donnez-moi|donne-moi] (plus|davantage) [comme|de|du] {numbers}
more: j'aime [bien] {numbers}
more: (+|+1) {numbers}
more: {numbers} (+|+1)
less: [give me|show me|send me] (less|fewer) [like|of|about] [this|these] {numbers}
less: [i] (dislike|disliked|hate|don't like|did not like|didn't like) [this|that] {numbers}
less: {numbers} [was|is|are|were] (bad|boring|useless|not interesting|schlecht|langweilig|uninteressant|nul|inintéressant)
less: {numbers} (gefällt|gefiel) mir nicht
less: [gib mir|zeig mir] [bitte] weniger [wie|von|zu|davon] {numbers}
less: moins [comme|de|du] {numbers}
less: je n'aime pas {numbers}
less: (-|-1) {numbers}
undo: (undo|take back) [the|my] [vote] [on|for] {numbers}
undo: zurück [mit|zu] {numbers}
undo: (annuler|annule|annulez) [le vote sur|mon vote sur] {numbers}
why: (why|explain) [did i get|do i get|was|is|this is|am i getting] {numbers}
why: (warum|wieso|weshalb|erkläre|erklär) [mir|bekomme ich|habe ich|ist] {numbers}
why: (pourquoi|explique|expliquez) [ai-je reçu|est-ce que j'ai reçu|est] {numbers}
pause: (pause|hold|suspend|snooze) [me|it|mails|emails|everything|my mails|my paper|my subscription|my digest|the mails|delivery] \
[{until}]
pause: (i'm|i am) (away|on holiday|on vacation|on leave) [{until}]
pause: (away|on holiday|on vacation) (until|till|for|from) {until}
pause: (no|keine|pas de) (mail|mails|email|emails|e-mails|paper|papers|courriel|courriels) \
(until|till|til|for|bis|für|jusqu'au|jusqu'à|pendant) {until}
pause: (pausieren|pausiere|pausiert|aussetzen) [mich|die mails|alles|meine mails] [{until}]
pause: [mach|mache|eine|mails] pause [{until}]
pause: (ich bin|bin) (weg|im urlaub|verreist|nicht da) [{until}]
pause: (mettre|mets|mettez|faire) [en|une] pause [{until}]
pause: (suspendre|suspends|suspendez) [l'envoi|les mails|mon abonnement] [{until}]
pause: je suis (absent|absente|en vacances|en congé|en congés) [{until}]
resume: (resume|unpause|restart|start again|continue|i'm back|i am back) [my mails|my paper|my subscription|sending|the mails|delivery]
resume: (fortsetzen|weiter|weitermachen|weiterschicken|ich bin zurück|ich bin wieder da|bin wieder da|pause beenden|pause aufheben)
resume: (reprendre|reprends|reprenez|je suis de retour|je suis revenu|je suis revenue|fin de la pause) [l'envoi|les mails|mon abonnement]
schedule: [send|mail|deliver|make|switch|change|set] [me] [it|this|them|my mails|my paper|my digest] [to|only|just] \
(daily|weekly|weekdays|workdays|monthly) [{when}]
schedule: [send|mail|deliver] [me] [it|this|them|only|my mails] (every|each|once a|once per|once every|on weekdays|on workdays|only on) \
{when}
schedule: (täglich|wöchentlich|werktags|werktäglich|monatlich) [{when}]
schedule: [nur|bitte nur|schick mir|schickt mir] [das|die mails|es] (jeden|jede|einmal am|einmal pro|einmal die|einmal im|an werktagen) \
[{when}]
schedule: [seulement] (quotidien|quotidiennement|hebdomadaire|hebdomadairement|mensuel|mensuellement) [{when}]
schedule: [seulement|envoyez-moi|envoie-moi] (chaque|tous les|toutes les|une fois par|les jours ouvrés|les jours ouvrables|en semaine) \
[{when}]
feed: [only|just|send me|give me|show me|what is|where is] [a|the|my] [personal] (feed|rss|atom|rss feed|rss-feed|feed address|feed \
url|feed link) [only|address|url|link]
feed: [nur|nur den|nur einen|schick mir] [den|einen|mein|meinen] (feed|rss|rss-feed|feed-adresse)
feed: [seulement] [le|un|mon] (flux|flux rss|fil rss)
know: what [data] do you (know|have|store|keep) [about|on] [me]
know: [show me|send me] (my data|my profile|everything you know about me)
know: was (weißt du|wisst ihr|wissen sie) [über|von] [mich|mir]
know: was (habt ihr|hast du|haben sie) über mich gespeichert
know: (meine daten|mein profil|mes données|mon profil)
know: que (savez-vous|sais-tu|savez vous) [sur|de] [moi]
know: (qu'est-ce que|que) (vous savez|tu sais) [sur|de] [moi]
stop: (stop|unsubscribe|cancel|quit|leave|opt out|stopp) [me|it|this|all|everything|now] [from] [this|the|your|my] \
[list|newsletter|mail|mails|emails|subscription]
stop: (unsubscribe|remove|delete|take) me [off|from] [this|the|your] [list|newsletter|mailing list]
stop: (stop|cancel|end) [sending] [me] [these|this|the|your|all|my|any] [more] (mail|mails|email|emails|messages|newsletter|subscription)
stop: stop sending [me] [these|this|them|it|any more|anything]
stop: no more (mail|mails|email|emails)
stop: (abmelden|abbestellen|kündigen|austragen|aufhören|abmeldung)
stop: (newsletter|mails|abo|alles) (abmelden|abbestellen|kündigen|beenden|stoppen)
stop: [ich|bitte] (mich|melde mich|meldet mich|trag mich|tragt mich|nehmt mich) (abmelden|austragen|ab|aus) [von der liste]
stop: keine (mails|e-mails|emails) mehr
stop: (désabonner|désinscrire|désinscription|désabonnement|se désabonner|me désabonner|me \
désinscrire|désabonnez-moi|désabonne-moi|désinscrivez-moi)
stop: (arrêter|arrêtez|arrête|stopper|stoppez) [tout|les mails|les envois|de m'écrire|de m'envoyer des mails]
stop: (plus de|plus aucun) (mail|mails|email|courriel|courriels)
confirm: (yes|yep|yeah|ok|okay|sure|agreed|confirm|confirmed) [i confirm|i agree|confirm|confirmed|subscribe me|sign me up|it|this|my \
subscription|that's me]
confirm: i (confirm|agree|do) [it|this|my subscription]
confirm: (ja|jawohl|einverstanden|bestätigt|bestätigen|ich bestätige|ja ich bestätige|ja gern|ja gerne) [das|mein abo]
confirm: (oui|d'accord|confirmer|confirmé|je confirme|oui je confirme) [mon abonnement|mon inscription]
help: (help|commands|command list|what can i write|what can i say|how does this work|how do i use this|?)
help: (hilfe|befehle|was kann ich schreiben|wie geht das|wie funktioniert das)
help: (aide|aidez-moi|commandes|que puis-je écrire|comment ça marche)
"""


def _compiled(row: str) -> tuple[str, re.Pattern[str]]:
    kind, _, phrase = row.partition(": ")
    pattern, begun = "", False
    for part in re.findall(r"\[[^\]]*\]|\([^)]*\)|[^ ]+", phrase):
        words = re.sub(r"[.?+*^$]", r"\\\g<0>", part.strip("[]()"))  # all marks but ours mean themselves
        for slot, expression in _SLOTS.items():
            words = words.replace(slot, expression)
        if part.startswith("["):
            pattern += f"(?: (?:{words}))?" if begun else f"(?:(?:{words}) )?"
        else:
            pattern += f" (?:{words})" if begun else f"(?:{words})"
            begun = True
    return kind, re.compile(pattern, re.I)


PHRASES = tuple(_compiled(row) for row in _ROWS.strip().splitlines())
"""(kind, pattern to match fully), the surer ones first; the groups are numbers, until and schedule where the phrase has them."""
