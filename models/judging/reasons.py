"""The evidence behind a judgement in one line that a person reads. Knows nothing about scores."""

from __future__ import annotations

from typing import NamedTuple

from models.judging.portrait import Opinion, Trait

_TITLE_CHARS = 60  # of a title that is named


class Evidence(NamedTuple):
    """What a reason may name: the trait that says most for the item and against it, and how usual its labels are.

    `about` is a liked thing whose words mean much the same, `same` one that is the item itself. `labels`: each with the number
    of things in the history that have it; `sorted_out`: things that have any.
    """

    had: int
    for_it: Trait | None
    against_it: Trait | None
    labels: tuple[tuple[str, int], ...]
    sorted_out: int
    opinion: Opinion | None
    about: Trait | None = None
    same: Trait | None = None


def reason(evidence: Evidence) -> str:
    """The line.

    Example:
        >>> reason(Evidence(had=3, for_it=None, against_it=None, labels=(("jazz", 0),), sorted_out=3, opinion=None))
        "nothing in the history is like it; 'jazz' is new to it"
    """
    had = [] if evidence.same is None else [f"they have had {_named(evidence.same)}"]
    phrases = [*had, *([] if had else _likeness(evidence)), *_usualness(evidence)]
    if evidence.opinion is not None and evidence.opinion.at_home > 0.0:
        word = "would" if evidence.opinion.aligned >= 0.5 else "would not"
        phrases.append(f"SerenGPT says they {word} want it ({evidence.opinion.aligned:.2f})")
    return "; ".join(phrases)


def _likeness(evidence: Evidence) -> list[str]:
    if evidence.for_it is None and evidence.about is not None:
        against = [] if evidence.against_it is None else [f"but like {_named(evidence.against_it)}"]
        return [f"goes with {_named(evidence.about)}", *against]
    if evidence.for_it is None and evidence.against_it is None:
        return ["nothing in the history is like it" if evidence.had else "no history: relevance is near the prior"]
    phrases = []
    if evidence.for_it is not None:
        phrases.append(f"like {_named(evidence.for_it)}")
    if evidence.against_it is not None:
        phrases.append(f"but like {_named(evidence.against_it)}" if phrases else f"like {_named(evidence.against_it)}")
    return phrases


def _named(trait: Trait) -> str:
    title = trait.title if len(trait.title) <= _TITLE_CHARS else f"{trait.title[: _TITLE_CHARS - 3]}..."
    said = {"had": "", "searched": ", which was searched for", "said": ", which is said of them"}[trait.kind]
    rated = "" if trait.rating is None else f" (rated {trait.rating:g})"
    return f"'{title}'{rated}{said}"


def _usualness(evidence: Evidence) -> list[str]:
    """The newest of the item's labels, or else its rarest."""
    if not evidence.labels or not evidence.sorted_out:
        return []
    label, count = min(evidence.labels, key=lambda one: one[1])
    if count == 0:
        return [f"'{label[:_TITLE_CHARS]}' is new to it"]
    return [f"'{label[:_TITLE_CHARS]}' is in {count} of {evidence.sorted_out} things"]
