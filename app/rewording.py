"""Lines as nobody, or a speech recogniser, would have written them.

Of the lines that a teacher has learned from it says little more than their labels do. Of others it
says what it makes of them, and it can be asked for as many as one likes: so lines are taken apart
and put together anew (Jiao et al. 2020, *TinyBERT*, did so with words).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

_CRY = 2
"""Words up to which what ends in an exclamation mark is heard as the beginning of what follows."""

_COPIES = 2
_CUT, _JOINED = 0.35, 0.7
"""Up to which of all draws a line is cut, and from there up to which it is joined to another."""
_LOST = 0.2
_PLAIN, _RECOGNISED, _MARKED = 0.1, 0.2, 0.3
"""Up to which of all draws a line loses its marks, is written as a recogniser would, or ends
otherwise than its author let it end."""


def without_punctuation(text: str) -> str:
    """``text`` in lower case and without punctuation, unless nothing would be left of it."""
    return re.sub(r"[^\w\s']", "", text.lower()).strip() or text


def as_recognised(text: str) -> str:
    """``text`` without what an author writes and a speech recogniser does not.

    No exclamation marks, quotes, dashes, trailing dots and stutters, and a full stop at the end;
    what would be nothing stays.
    """
    written = text
    text = re.sub("[\u2019\u2018\x92]", "'", text)
    text = re.sub('["\u201c\u201d]', "", text)
    text = re.sub(r"\s*(?:\.{2,}|\u2026|--+|[\u2013\u2014])\s*", " ", text)
    text = re.sub(r"\b(\w+)(?:-\1\b)+", r"\1", text, flags=re.IGNORECASE)
    text = re.sub(r"\bok\b", "okay", text, flags=re.IGNORECASE)
    text = re.sub(r"\by'know\b", "you know", text, flags=re.IGNORECASE)
    text = re.sub(r"!*\?[!?]*", "?", text)
    sentences = re.split(r"!+", text)
    text = sentences[0]
    for before, after in pairwise(sentences):
        words = re.split(r"[.?,]", before)[-1].split()
        text += ("," if len(words) <= _CRY and after.strip() else ".") + after
    text = re.sub(r"\s+([.?,])", r"\1", " ".join(text.split()))
    text = re.sub(r"[.,]*([.?])[.,]+", r"\1", text).strip(" ,")
    if not re.search(r"\w", text):
        return written
    return text if text.endswith((".", "?")) else f"{text}."


def varied(texts: Sequence[str], seed: int) -> list[str]:
    """Two variations of each of ``texts``: a part of it, a part of it beside a part of another, or
    what is left when words are lost; some with other marks than their author's."""
    rng = np.random.default_rng(seed)
    return [_vary(text, texts, rng) for _ in range(_COPIES) for text in texts]


def _vary(text: str, others: Sequence[str], rng: np.random.Generator) -> str:
    how = rng.random()
    parts = _parts(text)
    if _CUT <= how < _JOINED:
        line = f"{rng.choice(parts)} {_part_of(others, rng)}"
    elif how >= _JOINED:
        words = text.split()
        line = " ".join([word for word in words if rng.random() > _LOST] or words)
    elif len(parts) > 1:
        count = rng.integers(1, len(parts))
        first = rng.integers(0, len(parts) - count + 1)
        line = " ".join(parts[first : first + count])
    else:
        line = f"{text} {_part_of(others, rng)}"
    line = line[:1].upper() + line[1:]
    how = rng.random()
    if how < _PLAIN:
        return without_punctuation(line)
    if how < _RECOGNISED:
        return as_recognised(line)
    if how < _MARKED:
        return re.sub(r"[.!?,]*$", str(rng.choice([".", "!", "?"])), line)
    return line


def _parts(text: str) -> list[str]:
    parts = re.split(r"(?<=[.?!,;])\s+|\s*--\s*", text)
    return [part for part in parts if re.search(r"\w", part)] or [text]


def _part_of(texts: Sequence[str], rng: np.random.Generator) -> str:
    return str(rng.choice(_parts(texts[int(rng.integers(len(texts)))])))
