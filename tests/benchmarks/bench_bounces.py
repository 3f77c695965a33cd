"""Bounces: how well labelled mails are understood, beside flufl.bounce on the same mails."""

import email
import json
import sys
from collections.abc import Callable, Mapping
from email import policy
from pathlib import Path
from typing import Any

from flufl.bounce import all_failures

from paperround.incoming.bounces import classify

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpora" / "bounces"
DEAD = {"userunknown", "hostunknown", "hasmoved"}
NO_BOUNCE = {"complaint", "auto-reply"}

Reader = Callable[[bytes], Mapping[str, str]]  # a mail → what it says of each address


def run() -> list[dict[str, Any]]:
    if not CORPUS.is_dir():
        print(f"{CORPUS} is absent: bounces are not measured", file=sys.stderr)
        return []
    ours, flufl = figures(CORPUS, by_us), figures(CORPUS, by_flufl)
    return [
        {
            "name": "bounces",
            "value": ours["exact"],
            "unit": "exact recipients",
            "beside": {"flufl": flufl["exact"]},
            "ratio": ours["exact"] / flufl["exact"],
            **{f"{who}_{name}": value for who, found in (("ours", ours), ("flufl", flufl)) for name, value in found.items()},
            "note": f"{ours['mails']:.0f} mails; dead addresses: precision {ours['precision']:.3f} (flufl {flufl['precision']:.3f}), "
            f"recall {ours['recall']:.3f} ({flufl['recall']:.3f}); complaints and auto-replies taken for bounces: "
            f"{ours['mistaken']:.0f} ({flufl['mistaken']:.0f})",
        }
    ]


def by_us(raw: bytes) -> Mapping[str, str]:
    return {event.recipient.lower(): event.kind for event in classify(raw) if event.recipient}


def by_flufl(raw: bytes) -> Mapping[str, str]:
    """It knows failures for now and for good, and nothing else."""
    temporary, permanent = all_failures(email.message_from_bytes(raw, policy=policy.compat32))
    told = {each.decode("ascii", "replace").lower(): "soft" for each in temporary}
    return told | {each.decode("ascii", "replace").lower(): "dead" for each in permanent}


def figures(folder: Path, read: Reader) -> dict[str, float]:
    """Shares of mails whose addresses are exactly those of the label; precision and recall of dead ones; mails mistaken for bounces."""
    labels = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    exact = hit = false = missed = mistaken = 0
    for name, wanted in labels.items():
        kinds = {label["addr"].lower(): kind_of(label) for label in wanted}
        got = read((folder / "mails" / name).read_bytes())
        exact += set(kinds) == set(got)
        mistaken += set(kinds.values()) <= NO_BOUNCE and bool({"dead", "soft", "sender"} & set(got.values()))
        for address in set(kinds) | set(got):
            is_dead, said_dead = kinds.get(address) == "dead", got.get(address) == "dead"
            hit += is_dead and said_dead
            false += said_dead and not is_dead
            missed += is_dead and not said_dead
    return {
        "mails": len(labels),
        "exact": exact / len(labels),
        "precision": hit / (hit + false),
        "recall": hit / (hit + missed),
        "mistaken": mistaken,
    }


def kind_of(label: Mapping[str, Any]) -> str:
    if label["reason"] in DEAD or (label["reason"] == "notaccept" and label["hard"]):
        return "dead"
    return {"feedback": "complaint", "vacation": "auto-reply"}.get(label["reason"], "other")


if __name__ == "__main__":
    print(json.dumps(run(), indent=1))
