"""The HTML report: whole, safe, and saying what the session said."""

import base64
import hashlib
import json
import re
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from app.assets import DEFAULT_CHECKPOINT
from app.events import (
    Event,
    MarkerPlaced,
    SessionEnded,
    SessionPaused,
    SessionStarted,
    SpeakerColoured,
    UtteranceLabelled,
)
from app.session.logged import read_session
from app.session.redaction import redacted
from app.session.report import report
from app.session.report_style import DARK, LIGHT, ink_on
from live_features.emotions import EMOTIONS
from tests.app.logged_sessions import one_utterance, write_log
from tests.app.synthetic_session import UTTERANCES, events, reading

_VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """Reads a page, failing where tags do not nest; keeps its elements and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.titles: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "title":
            self.titles.append(data)
        elif self._open and self._open[-1] != "style":
            self.text.append(data)

    @property
    def said(self) -> str:
        return " ".join(" ".join(self.text).split())


def page(folder: Path, script: list[Event]) -> Page:
    return Page(report(read_session(write_log(folder, script))))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return page(tmp_path_factory.mktemp("session"), list(events()))


def test_it_shows_where_the_session_was_paused(tmp_path: Path) -> None:
    told = page(tmp_path, [*events(), SessionPaused(media_time=17.0)])
    assert told.titles.count("paused") == 1


def test_it_tells_every_utterance_and_links_each_bar_to_its_row(told: Page) -> None:
    rows = {attrs["id"] for tag, attrs in told.elements if tag == "tr" and "id" in attrs}
    bars = {
        (attrs["href"] or "").removeprefix("#")
        for tag, attrs in told.elements
        if tag == "a" and (attrs["href"] or "").startswith("#u-")
    }
    assert rows == bars == {f"u-{index}" for index in range(len(UTTERANCES))}
    for *_, text, _, _, _ in UTTERANCES:
        assert text in told.said


def test_it_has_every_part(told: Page) -> None:
    for part in (
        "The conversation over time",
        "gate weights",
        "contributions",
        "People",
        "Transcript",
        "How soon",
        "How it was read",
        "Model card",
        "Caveats",
        "An expression is not a feeling",
        "Art. 5(1)(f)",
        "decisions about people",
    ):
        assert part in told.said


def test_a_revised_label_says_what_it_was_and_a_shift_what_came_before(told: Page) -> None:
    assert re.search(r"was joy \d+", told.said)
    great = next(title for title in told.titles if "\nGreat.\n" in title and "was" in title)
    assert re.search(r"was joy \d+.%, now sadness", great)
    assert "shift: surprise in the utterance before" in great


def test_resting_on_a_bar_tells_what_each_student_alone_would_say(told: Page) -> None:
    sorry = next(title for title in told.titles if "I am sorry." in title)
    assert re.search(r"text alone: sadness \d+.%; gate \d+.%, contribution \d+.%", sorry)
    assert "audio alone: missing" in sorry
    assert "visual alone: missing" in sorry


def test_no_label_is_told_by_colour_alone(told: Page) -> None:
    under_bars = [t for t in told.text if t in EMOTIONS or t.lower() in {e[:2] for e in EMOTIONS}]
    assert len(under_bars) >= len(UTTERANCES)


def test_the_delay_is_from_the_end_of_speech_to_the_label(tmp_path: Path) -> None:
    started, found, labelled = one_utterance("Hello.")
    assert isinstance(started, SessionStarted)
    live = replace(started, speed=1.0)
    script = [
        live,
        found,
        *(
            replace(labelled, index=index, emitted_at=labelled.media_time + delay)
            for index, delay in enumerate((0.25, 0.5, 2.0))
        ),
    ]
    said = page(tmp_path / "live", script).said
    assert "Half within (p50) 0.50 s" in said
    assert "95 of 100 within (p95) 1.85 s" in said
    assert "nobody waited" in page(tmp_path / "recording", one_utterance("Hello.")).said


def test_people_have_shares_of_their_own_time(tmp_path: Path) -> None:
    started, found, labelled = one_utterance("One two three.")
    assert isinstance(labelled, UtteranceLabelled)
    angry = replace(
        labelled, index=1, start=3.0, end=7.5, text="Four.", reading=reading("anger", 0.9, 2)
    )
    said = page(tmp_path / "s", [started, found, labelled, angry]).said
    assert "0:06 of speech (100 %) · 2 utterances · 4 words" in said
    assert "anger 75 % joy 25 %" in said


def test_a_hostile_transcript_stays_text(tmp_path: Path) -> None:
    attack = '</title></svg><script>alert(1)</script><img src=x onerror="alert(2)">\x00\x1b &amp;'
    script = one_utterance(attack, name=f"<b>{attack}", source=attack)
    read = page(tmp_path / "s", script)
    tags = {tag for tag, _ in read.elements}
    assert not tags & {"script", "img", "iframe", "object", "link", "form"}
    assert not any(name.startswith("on") for _, attrs in read.elements for name in attrs)
    assert "<script>alert(1)</script>" in read.said
    assert "&amp;" in read.said
    assert not {"\x00", "\x1b"} & set(read.said + "".join(read.titles))


def test_nothing_can_be_loaded_and_no_other_style_applies(tmp_path: Path) -> None:
    text = report(read_session(write_log(tmp_path / "s", list(events()))))
    read = Page(text)
    policy = next(
        attrs["content"] or ""
        for tag, attrs in read.elements
        if tag == "meta" and attrs.get("http-equiv") == "Content-Security-Policy"
    )
    style = re.search(r"<style>(.*?)</style>", text, re.S)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy.startswith("default-src 'none';")
    assert f"style-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert "url(" not in style[1]
    assert "@import" not in style[1]
    assert not any("style" in attrs or "src" in attrs for _, attrs in read.elements)
    links = [attrs["href"] or "" for _, attrs in read.elements if "href" in attrs]
    assert all(link.startswith("#") for link in links)
    targets = {attrs["id"] for _, attrs in read.elements if "id" in attrs}
    assert {link.removeprefix("#") for link in links} <= targets


def test_the_redacted_report_says_so_and_holds_no_words(tmp_path: Path) -> None:
    script = one_utterance("Xylophones quiver", name="Wilhelmina", source="Kowalski.mp4")
    started = script[0]
    assert isinstance(started, SessionStarted)
    own = replace(started, weights={"emotion": "folder /home/kowalski/sdt"})
    session = read_session(write_log(tmp_path / "s", [own, *script[1:]]))
    text = report(redacted(session))
    assert "Redacted." in Page(text).said
    assert not re.search("xylophones|quiver|wilhelmina|kowalski", text, re.I)
    assert "kowalski" in report(session).lower()


def test_a_session_without_speech_is_a_report_that_says_so(tmp_path: Path) -> None:
    read = page(tmp_path / "s", one_utterance("")[:1])
    assert "No speech was found" in read.said
    assert "Caveats" in read.said


def test_an_hour_goes_on_from_system_to_system(tmp_path: Path) -> None:
    started, found, labelled = one_utterance("Hello.")
    assert isinstance(started, SessionStarted)
    script = [replace(started, duration=3600.0), found]
    script += [
        replace(labelled, index=n, start=6.0 * n + 1.0, end=6.0 * n + 4.0) for n in range(599)
    ]
    read = page(tmp_path / "s", script)
    systems = [attrs for tag, attrs in read.elements if attrs.get("class") == "system"]
    assert len(systems) == 30
    assert systems[-1]["aria-label"] == "From 58:00 to 1:00:00"


def test_what_comes_after_the_last_word_is_in_the_report(tmp_path: Path) -> None:
    started, *said = one_utterance("hello")
    assert isinstance(started, SessionStarted)
    live = [
        replace(started, duration=None),
        *said,
        MarkerPlaced(media_time=240.0, marker=0, note="the important moment"),
        SessionEnded(media_time=600.0, reason="stopped", utterances=1),
    ]
    told = page(tmp_path / "live", live)
    assert told.said.count("the important moment") == 1
    assert "Length 10:00" in told.said
    # Where nothing is any more, nothing is drawn.
    assert sum(attrs.get("class") == "system" for _, attrs in told.elements) == 2


def test_the_card_is_that_of_the_checkpoint_that_read_the_session(tmp_path: Path) -> None:
    script = one_utterance("Hello.")
    shipped = page(tmp_path / "shipped", script).said
    assert "sdt-live default checkpoint" in shipped
    card = json.loads((DEFAULT_CHECKPOINT / "card.json").read_text("utf-8"))
    fused = card["figures"]["test, prefix (as live)"]["fused"]
    assert f"{100 * fused['weighted_f1']:.1f} / {100 * fused['accuracy']:.1f}" in shipped
    started = script[0]
    assert isinstance(started, SessionStarted)
    own = tmp_path / "own"
    own.mkdir()
    card = {
        "name": "SDT on <mine>",
        "data": {"dialogues": {"train": 3, "test": 1}},
        "figures": {
            "best on test": {
                "weighted_f1": {"mean": 0.713, "sd": None},
                "accuracy": {"mean": 0.727, "sd": None},
            }
        },
        "not_for": "decisions",
    }
    (own / "card.json").write_text(json.dumps(card), encoding="utf-8")
    from_folder = replace(started, weights={"emotion": f"folder {own}"})
    said = page(tmp_path / "a", [from_folder, *script[1:]]).said
    assert "SDT on <mine>" in said
    assert "train 3, test 1" in said
    assert "71.3 / 72.7" in said
    gone = replace(started, weights={"emotion": f"folder {tmp_path / 'gone'}"})
    assert "not at hand" in page(tmp_path / "b", [gone, *script[1:]]).said


def test_colours_are_those_of_the_window() -> None:
    theme = pytest.importorskip("app.ui.theme", exc_type=ImportError)
    for colours, shown in ((LIGHT, theme.LIGHT), (DARK, theme.DARK)):
        assert {**asdict(colours), "chosen": ()} == asdict(shown)
        for fill in (*colours.emotions, *colours.speakers, *colours.modalities):
            assert ink_on(fill) == theme.ink_on(theme.QColor(fill)).name().upper()


def test_a_speaker_has_the_colour_that_somebody_chose(tmp_path: Path) -> None:
    colour = SpeakerColoured(media_time=80.0, speaker=1, colour="#F2E205")
    write_log(tmp_path, [*events(), colour])
    text = report(read_session(tmp_path))
    assert ".p-1{--c:#F2E205;--i:#10151C}" in text
    assert ".p-0{" not in text
    chips = [a["class"] for _, a in Page(text).elements if "chip" in (a.get("class") or "")]
    assert set(chips) == {"chip s-0 p-0", "chip s-1 p-1"}
