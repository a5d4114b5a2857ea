"""Fill-in-the-middle: a text with a hole is one prompt, marked by tokens that the tokenizer must have.

PSM writes `<prefix>before<suffix>after<middle>`, SPM `<prefix><suffix>after<middle>before`; the middle follows
(Bavarian et al. 2022, arXiv:2207.14255, sections 3 and D). Models are asked in PSM; training may mix both.
"""

from tasks.dialogues.special import FAMILIES, Marks, SpecialTexts, marks_among
from tasks.errors import AnnealError

EXAMPLE = "infill"
NO_MARKS = (
    f"has no tokens that mark a hole ({'; '.join(', '.join(marks) for marks in FAMILIES[:2])}, or those of another "
    "family), which rows of the shape infill need: use a base of code that has them, or add all three by "
    "objective.new_tokens"
)


def marks_of(special: SpecialTexts) -> Marks:
    """The marks among the special texts of a tokenizer; AnnealError if it has none."""
    if (marks := marks_among(special.texts)) is None:
        raise AnnealError(f"the base's tokenizer {NO_MARKS}.")
    return marks


def prompt(special: SpecialTexts, prefix: str, suffix: str, order: str = "psm") -> str:
    """The text of a prompt, as a tokenizer or a completions route takes it; marks within the two sides are text."""
    marks = marks_of(special)
    before, after = special.neutral(prefix), special.neutral(suffix)
    if order == "spm":
        return f"{marks.prefix}{marks.suffix}{after}{marks.middle}{before}"
    return f"{marks.prefix}{before}{marks.suffix}{after}{marks.middle}"
