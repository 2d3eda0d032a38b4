"""Lines written otherwise than their author wrote them."""

from __future__ import annotations

import pytest

from app.rewording import as_recognised, varied, without_punctuation


def test_words_without_punctuation() -> None:
    assert without_punctuation("No! I didn't, Joey...") == "no i didn't joey"
    assert without_punctuation("?!") == "?!"


@pytest.mark.parametrize(
    ("written", "recognised"),
    [
        ("Come on! Joe!", "Come on, Joe."),
        ("Here?! Now?!", "Here? Now?"),
        ("You should! A lot of people do!", "You should, A lot of people do."),
        ("I never left you! You have been my agent!", "I never left you. You have been my agent."),
        ("I-I\u2019m sorry, we were\u2026we were looking.", "I'm sorry, we were we were looking."),
        ("What\u2014You are not serious", "What You are not serious."),
        ("\u201cWanted.\u201d Nice, ok.", "Wanted. Nice, okay."),
        ("Uhh....", "Uhh."),
        ("The point is I...", "The point is I."),
        ("So?", "So?"),
        ("...", "..."),
    ],
)
def test_what_a_recogniser_would_write(written: str, recognised: str) -> None:
    assert as_recognised(written) == recognised


SAID = ["No, wait! Come back, please.", "Fine.", "I have never seen such a thing in my life."]


def test_variations_are_made_of_what_was_said_and_come_again() -> None:
    lines = varied(SAID * 50, seed=3)
    assert lines == varied(SAID * 50, seed=3)
    assert lines != varied(SAID * 50, seed=4)
    assert len(lines) == 2 * len(SAID * 50)
    words = {word for text in SAID for word in without_punctuation(text).split()}
    for line in lines:
        assert set(without_punctuation(line).split()) <= words
        assert without_punctuation(line) != ""
    assert len(set(lines)) > 60


def test_variations_cut_join_and_lose_words() -> None:
    lines = set(varied(SAID * 200, seed=0))
    assert "Come back," in lines  # a part
    assert "Fine. Come back," in lines  # joined
    assert any(line.startswith("I never seen") for line in lines)  # words lost
    assert "fine" in lines  # without marks
