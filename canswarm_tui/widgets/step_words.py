"""What a step does, how that is proved and how it is taken back, in words for who has never run it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rich.text import Text

from canswarm_tui.engine.journal import StepRecord, has_run
from canswarm_tui.theme import style_of


@dataclass(frozen=True, slots=True)
class Words:
    """Whole sentences."""

    does: str
    proof: str
    back: str


WORDS: Mapping[str, Words] = {
    "preflight": Words(
        "Opens, counts and checks every part of the site and hashes every blob; looks at this machine and at each "
        "target. Nothing is written.",
        "What it finds is listed with what to do about it. A blocker holds up the steps that it names.",
        "Nothing to take back.",
    ),
    "documentation": Words(
        "Exports thread ids and tasks (CSV and JSON) and the critical audit log into the run's folder, and checks "
        "every signature. The site is only read.",
        "Every exported file is read back.",
        "u removes the exported files.",
    ),
    "v1-tests": Words(
        "Runs the site's own test command (site.test_command) in the v1 checkout and keeps its output. Where none is "
        "set it says so and goes on.",
        "The command's exit code is recorded.",
        "u removes the recorded output; what the command itself does is its own matter.",
    ),
    "backup": Words(
        "Copies .state/, .cas/, logs/, keys and every Redis key into the backup folder. The site is only read.",
        "Everything is read back, then restored into a scratch folder and compared.",
        "u removes the newest backup, once its date of keeping has passed.",
    ),
    "blobs-minio": Words(
        "Copies every file of .cas/ into the bucket, under its hash. What is there already is never overwritten.",
        "Every object is read back from MinIO and hashed.",
        "u deletes the objects that this run created, and no others.",
    ),
    "blobs-ipfs": Words(
        "Reads every blob from MinIO, adds it to the IPFS node and pins it, under a CID computed before. The CIDs of "
        "large blobs go into etcd, too.",
        "Every blob is read back from the node and hashed; pins and CIDs are compared.",
        "u takes this run's pins and CIDs away; the node frees the space when you collect garbage there.",
    ),
    "decisions": Words(
        "Copies every decision of Redis into etcd, under /swarm/decide/. What is there already is never overwritten.",
        "Redis and etcd are read again and compared, value by value.",
        "u deletes the keys that this run created, and no others.",
    ),
    "plan-store": Words(
        "Writes the ops, tasks and edges of plan.db into an Automerge document beside it. plan.db is only read.",
        "The saved document is loaded again and compared: every op and its order, every task and edge.",
        "u removes the files that this run wrote.",
    ),
    "policy-opa": Words(
        "Checks and tests the Rego, publishes it with its data to OPA and reads it back.",
        "v1's rules and OPA judge every envelope of the audit log and every case at a boundary: each answer and "
        "reason is compared.",
        "u removes what this run published, and no more.",
    ),
    "policy-wasm": Words(
        "Builds WASM from the same Rego into the run's folder.",
        "v1's rules and WASM judge every envelope of the audit log and every case at a boundary: each answer and "
        "reason is compared.",
        "u removes the files that this run wrote.",
    ),
    "verification": Words(
        "Reads every target in full and compares it with the site, record by record, then writes the report. No "
        "target is written to.",
        "Every comparison has its counts, and every difference its name.",
        "Nothing to take back.",
    ),
}


def before_text(record: StepRecord, theme: str) -> Text:
    """All of it while nothing has been done yet."""
    if record.outcome is not None or record.verdict is not None:
        return Text()
    return words_text(record.step, theme, "\n")


def words_text(step: str, theme: str, between: str) -> Text:
    """The three parts, each with its title and `between` before its sentences."""
    words, text = WORDS[step], Text()
    for title, told in (("What it does", words.does), ("How it is proved", words.proof), ("The way back", words.back)):
        text.append("\n" if text else "").append(title, style_of("title", theme)).append(f"{between}{told}")
    return text


def back_text(record: StepRecord, theme: str) -> Text:
    """The way back, while there is something to take back."""
    if not has_run(record):
        return Text()
    return Text().append("The way back", style_of("title", theme)).append(f"\n{WORDS[record.step].back}")
