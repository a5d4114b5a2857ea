"""What the registry keeps of the gate's verdict on a version: written by the pipeline, read before every promotion."""

from tasks.steps.gate import GateVerdict
from tasks.versions.registry import Model, Version

COMPARED, NOTHING = "gate_champion", "none"  # the champion that a version was compared with, or that there was none


def tags_of(verdict: GateVerdict, known: Version | None) -> dict[str, str]:
    """The tags of `verdict`; `known` is the registered version of this artifact, if any.

    A champion is not compared with itself: what it was compared with before stays.
    """
    tags = {"gate": "passed" if verdict.passed else "refused", "gate_reasons": "; ".join(verdict.reasons)}
    if known is None or known.version != verdict.champion:
        tags[COMPARED] = verdict.champion or NOTHING
    return tags


def objection(model: Model, version: Version) -> str | None:
    """The gate's objection to making `version` the champion, as a clause; None if it has none.

    A verdict holds against the champion it was given against, and without a champion, since the gate then asks less.
    """
    champion, compared = model.aliases.get("champion"), version.tags.get(COMPARED)
    about = f"{model.name} version {version.version}"
    if version.tags.get("gate") != "passed":
        return f"{about} was refused by the gate ({version.tags.get('gate_reasons', 'no reasons kept')})"
    if champion in (None, version.version, compared):
        return None
    against = {None: "a champion that was not noted", NOTHING: "no champion"}.get(compared, f"version {compared}")
    return (
        f"{about} was compared by the gate with {against}, but the champion is version {champion} now "
        f"(`make pipeline MODEL={model.name}` compares again)"
    )
