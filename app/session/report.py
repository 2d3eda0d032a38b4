"""The report: one HTML file that needs nothing else, to read, print and hand on."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from app.assets import DEFAULT_CHECKPOINT
from app.corrections import SENSES
from app.session.logged import LoggedSession
from app.session.report_style import face_symbols, inline_face, speaker_classes, style_sheet
from app.session.report_timeline import clock, escaped, opinion, percent, timeline
from app.session.summary import (
    SpeakerSummary,
    latency,
    shifts,
    speaker_name,
    speaker_summaries,
)
from app.state import LabelledUtterance, Snapshot
from live_features.emotions import EMOTIONS, MODALITIES

_CAVEATS = (
    "<b>An expression is not a feeling.</b> The labels are those that people give to acted talk, "
    "repeated by a program with errors. Nobody looked into anybody.",
    "<b>Not for decisions about people.</b> Do not hire, grade, diagnose, insure or judge "
    "anybody by what stands here.",
    "<b>Not at work or school in the EU.</b> To infer the emotions of employees or pupils is "
    "prohibited there: Regulation (EU) 2024/1689 (AI Act), Art. 5(1)(f).",
    "<b>Percentages are the model’s own.</b> They say how sure it is, not how often it is "
    "right; the model card tells that.",
    "<b>Gates explain little.</b> A mean gate stays near a third whatever the modality does for "
    "the answer; the contribution follows it to some degree.",
    "<b>Words and speakers are guesses, too.</b> A wrong word or voice makes a wrong label.",
)


def report(session: LoggedSession) -> str:
    """A whole page: no script, nothing fetched, every word of the session escaped."""
    snapshot = session.snapshot
    style = style_sheet(snapshot.colours)
    # Only this very style may apply and nothing may load, whatever a transcript holds.
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    title = "Redacted session" if session.redacted else snapshot.source or "Session"
    body = (
        _heading(session, title),
        _tiles(session),
        _over_time(session),
        _people(snapshot),
        _transcript(session),
        _latency(session),
        _circumstances(session),
        _model_card(session),
        _caveats(),
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{escaped(title)} · emotion report</title>\n"
        f"<style>{style}</style>\n</head>\n<body>\n"
        f"{face_symbols()}\n<main>\n{''.join(body)}"
        "<footer>Made by sdt-live, on the machine the session ran on. "
        "This file loads nothing and sends nothing.</footer>\n</main>\n</body>\n</html>\n"
    )


def _heading(session: LoggedSession, title: str) -> str:
    redacted = (
        "<p><b>Redacted.</b> Words, names, file names and devices were left out; people are "
        "numbered. Labels, weights and times are as they were.</p>"
        if session.redacted
        else ""
    )
    torn = "<p>The last line of the log was cut off and is left out.</p>" if session.torn else ""
    return (
        f'<header><p class="eyebrow">Emotion report</p><h1>{escaped(title)}</h1>'
        '<p class="lead">What was said, how each utterance read, and what that reading '
        "rests on.</p>"
        '<div class="callout"><p><b>An expression is not a feeling.</b> These are a '
        "program’s guesses at how acted talk would be labelled. Do not decide anything about "
        f'a person by them: see <a href="#caveats">the caveats</a>.</p>{redacted}{torn}</div>'
        "</header>\n"
    )


def _tiles(session: LoggedSession) -> str:
    snapshot = session.snapshot
    spoken = sum(u.end - u.start for u in snapshot.utterances)
    tiles = [
        ("Length", clock(session.duration)),
        ("Speech", clock(spoken)),
        ("People", str(len({u.speaker for u in snapshot.utterances}))),
        ("Utterances", str(len(snapshot.utterances))),
        ("Shifts", str(len(shifts(snapshot.utterances)))),
        ("Revised", str(sum(u.was is not None for u in snapshot.utterances))),
    ]
    inside = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in tiles)
    return f'<dl class="tiles">{inside}</dl>\n'


def _over_time(session: LoggedSession) -> str:
    if not session.snapshot.utterances:
        return _section("The conversation over time", "<p>No speech was found.</p>")
    emotions = "".join(f"<li>{inline_face(e)}{e}</li>" for e in EMOTIONS)
    modalities = "".join(
        f'<li><svg class="key m-{m}" viewBox="0 0 14 14" aria-hidden="true">'
        f'<rect class="fill" width="14" height="14" rx="3"/></svg>{m}</li>'
        for m in MODALITIES
    )
    mark = (
        '<li><svg class="key" viewBox="0 0 14 14" aria-hidden="true">'
        '<path d="M3 3h8l-8 9z" fill="currentColor"/></svg>reads unlike the speaker’s '
        "utterance before</li>"
    )
    return _section(
        "The conversation over time",
        '<p class="note">A lane for each speaker. A bar is an utterance: its seven '
        "probabilities, the winner at the bottom and named underneath. A small face above is what "
        "it read as first, where later talk changed that. Rest the pointer on a bar for the "
        "numbers and what words, voice and face would each say alone; click for its row below.</p>"
        f'<ul class="legend">{emotions}</ul><ul class="legend">{modalities}{mark}</ul>'
        f'<div class="scroll">{timeline(session)}</div>'
        '<p class="note after">Gate weights and contributions are shares of text, audio and '
        "visual, in percent; the dotted lines are thirds.</p>",
    )


def _people(snapshot: Snapshot) -> str:
    people = speaker_summaries(snapshot)
    if not people:
        return ""
    spoken = sum(person.seconds for person in people)
    cards = "".join(_person(person, spoken) for person in people)
    return _section(
        "People",
        '<p class="note">Shares of each person’s speaking time, by the label that won.</p>'
        f'<div class="people">{cards}</div>',
    )


def _person(person: SpeakerSummary, spoken: float) -> str:
    x = 0.0
    bars, rows = [], []
    for emotion, share in zip(EMOTIONS, person.shares, strict=True):
        bars.append(
            f'<rect class="fill e-{emotion}" x="{x:.2f}" width="{100 * share:.2f}" height="10"/>'
        )
        x += 100 * share
    for share, emotion in sorted(zip(person.shares, EMOTIONS, strict=True), reverse=True):
        if share > 0.0:
            rows.append(f"<li>{inline_face(emotion)}{emotion}<b>{percent(share)}</b></li>")
    words = f" · {_count(person.words, 'word')}" if person.words else ""
    part = f" ({percent(person.seconds / spoken)})" if spoken else ""
    return (
        f'<div class="person"><h3>{_chip(person.name, person.speaker)}</h3>'
        f'<p class="muted">{clock(person.seconds)} of speech{part} · '
        f"{_count(person.utterances, 'utterance')}{words}</p>"
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'{"".join(bars)}</svg><ul class="shares">{"".join(rows)}</ul></div>'
    )


def _transcript(session: LoggedSession) -> str:
    snapshot = session.snapshot
    if not snapshot.utterances:
        return ""
    words = "" if session.redacted else "<th>Words</th>"
    rows = "".join(
        _transcript_row(u, snapshot, words=not session.redacted) for u in snapshot.utterances
    )
    return _section(
        "Utterances" if session.redacted else "Transcript",
        f'<table class="transcript"><thead><tr><th>Time</th><th>Speaker</th>{words}'
        f"<th>Reads as</th><th>Each alone</th></tr></thead><tbody>{rows}</tbody></table>",
    )


def _transcript_row(u: LabelledUtterance, snapshot: Snapshot, *, words: bool) -> str:
    reading = u.reading
    was = (
        f'<span class="was">was {inline_face(u.was, 15)} {u.was} '
        f"{percent(max(u.first.fused))}</span>"
        if u.was is not None
        else ""
    )
    alone = "".join(
        f"<span>{modality}: {opinion(student)}</span>"
        for modality, student in zip(
            MODALITIES, (reading.text, reading.audio, reading.visual), strict=True
        )
    )
    said = f'<td class="words"><bdi>{escaped(u.text)}</bdi></td>' if words else ""
    return (
        f'<tr id="u-{u.index}"><td class="time">{clock(u.start)}</td>'
        f"<td>{_chip(speaker_name(snapshot, u.speaker), u.speaker)}</td>{said}"
        f'<td><span class="badge">{inline_face(u.emotion)} {_verdict(u)}'
        f'</span>{was}</td><td class="opinions">{alone}</td></tr>'
    )


def _verdict(u: LabelledUtterance) -> str:
    said = f"{u.emotion} {percent(u.confidence)}"
    return f"unsure ({said})" if u.unsure else said


def _latency(session: LoggedSession) -> str:
    timed = latency(session.delays)
    if timed is None:
        speed = session.started.speed
        pace = "as fast as possible" if speed is None else f"at {speed:g}×"
        return _section(
            "How soon",
            f"<p>The recording was read {pace}, so nobody waited for a label. Delays are "
            "measured when a session runs live or at 1×.</p>",
        )
    stages = "".join(
        f'<tr><td>{escaped(stage)}</td><td class="number">{p50:.2f} s</td>'
        f'<td class="number">{p95:.2f} s</td></tr>'
        for stage, (p50, p95) in session.snapshot.latency
    )
    return _section(
        "How soon",
        '<p class="note">From the end of speech to the label, over '
        f"{_count(timed.utterances, 'utterance')}.</p>"
        f'<dl class="tiles"><div><dt>Half within (p50)</dt><dd>{timed.p50:.2f} s</dd></div>'
        f"<div><dt>95 of 100 within (p95)</dt><dd>{timed.p95:.2f} s</dd></div>"
        f"<div><dt>Longest</dt><dd>{timed.longest:.2f} s</dd></div></dl>"
        '<table class="after"><thead><tr><th>Done by stage, of the last 200 utterances</th>'
        '<th class="number">p50</th><th class="number">p95</th></tr></thead>'
        f"<tbody>{stages}</tbody></table>",
    )


def _circumstances(session: LoggedSession) -> str:
    """What the session ran on, and what did not go as it should."""
    snapshot, started = session.snapshot, session.started
    heard = [
        what for what, had in (("sound", started.has_audio), ("pictures", started.has_video)) if had
    ]
    log = "stops before the session ended" if session.ended is None else "complete"
    facts = [
        ("Read from", " and ".join(heard) or "nothing"),
        ("Computed on", started.device),
        ("Log", log),
        *((f"Model: {model}", origin) for model, origin in started.weights.items()),
    ]
    if off := [SENSES[m] for m in MODALITIES if m not in snapshot.on]:
        facts.append(("Switched off", " and ".join(off)))
    if snapshot.dropped:
        dropped = ", ".join(f"{reason.replace('_', ' ')} {n}" for reason, n in snapshot.dropped)
        facts.append(("Sounds that became no utterance", dropped))
    problems = "".join(f"<li>{escaped(problem)}</li>" for problem in snapshot.problems)
    said = f'<h3 class="after">What was said meanwhile</h3><ul class="plain">{problems}</ul>'
    return _section("How it was read", _facts(facts) + (said if problems else ""))


def _model_card(session: LoggedSession) -> str:
    card = _card(session.started.weights.get("emotion", ""))
    if card is None:
        return _section(
            "Model card",
            "<p>The session was read with a checkpoint whose card is not at hand here. Ask "
            "whoever trained it what it was trained on and how often it is right.</p>",
        )
    data = card.get("data")
    trained = list(data.items()) if isinstance(data, dict) else [("all", data)]
    facts = [("Name", card.get("name")), *((f"Data: {k}", v) for k, v in trained)]
    facts.append(("Not for", card.get("not_for")))
    inside = _facts((name, _plain(value)) for name, value in facts if value)
    if figures := card.get("figures"):
        inside += _figures({where: _by_classifier(scores) for where, scores in figures.items()})
    return _section("Model card", inside)


def _card(origin: str) -> Mapping[str, Any] | None:
    """The card of the checkpoint that read the session, None where it cannot be had."""
    if origin == "shipped":
        folder = DEFAULT_CHECKPOINT
    elif origin.startswith("folder "):
        folder = Path(origin.removeprefix("folder "))
    else:
        return None
    try:
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return card if isinstance(card, dict) else None


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(inner)}" for name, inner in value.items())
    return str(value)


def _by_classifier(scores: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """The scores of every classifier; a card of several seeds has the fused one's mean alone."""
    if "weighted_f1" not in scores:
        return scores
    return {"fused": {name: score["mean"] for name, score in scores.items()}}


def _figures(figures: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Two tables: how good each classifier is, and the fused one emotion by emotion."""
    classifiers = list(dict.fromkeys(who for scores in figures.values() for who in scores))
    whole = _figure_table(
        classifiers,
        {
            where: [_pair(scores.get(who, {})) for who in classifiers]
            for where, scores in figures.items()
        },
    )
    by_class = {
        where: [_score(scores["fused"]["f1"].get(emotion)) for emotion in EMOTIONS]
        for where, scores in figures.items()
        if "f1" in scores.get("fused", {})
    }
    told = '<h3 class="after">How often it is right: weighted F1 / accuracy, in percent</h3>'
    told += whole
    if by_class:
        told += '<h3 class="after">F1 by emotion, fused, in percent</h3>'
        told += _figure_table(EMOTIONS, by_class)
    return told


def _figure_table(columns: Iterable[str], rows: Mapping[str, Iterable[str]]) -> str:
    heads = "".join(f'<th class="number">{escaped(column)}</th>' for column in columns)
    body = "".join(
        f"<tr><td>{escaped(where)}</td>"
        + "".join(f'<td class="number">{value}</td>' for value in values)
        + "</tr>"
        for where, values in rows.items()
    )
    return (
        f'<div class="scroll"><table class="figures"><thead><tr><th>On</th>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _pair(score: Mapping[str, Any]) -> str:
    if not score:
        return "–"
    return f"{_score(score.get('weighted_f1'))} / {_score(score.get('accuracy'))}"


def _score(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _caveats() -> str:
    items = "".join(f"<li>{caveat}</li>" for caveat in _CAVEATS)
    return _section("Caveats", f'<ul class="plain">{items}</ul>', name="caveats")


def _section(heading: str, inside: str, *, name: str = "") -> str:
    place = f' id="{name}"' if name else ""
    return f"<section{place}><h2>{heading}</h2>{inside}</section>\n"


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"<dt>{escaped(name)}</dt><dd>{escaped(value)}</dd>" for name, value in facts)
    return f'<dl class="facts">{rows}</dl>'


def _chip(name: str, speaker: int) -> str:
    return f'<span class="chip {speaker_classes(speaker)}"><bdi>{escaped(name)}</bdi></span>'


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
