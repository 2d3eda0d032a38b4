"""What the README quotes is what the program says."""

from pathlib import Path

import pytest

from app import cli, export_cli, extract_cli
from live_features.sources import portaudio, webcam

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("device", "sentences"), [("microphone", portaudio.SENTENCES), ("camera", webcam.SENTENCES)]
)
def test_every_sentence_about_a_device_is_quoted(device: str, sentences: dict[str, str]) -> None:
    for code, sentence in sentences.items():
        assert f"| {device} | `{code}` | {sentence} |" in README


def test_every_option_of_the_command_line_is_named() -> None:
    actions = (*cli._parser()._actions, *export_cli.parser()._actions)
    options = {
        option
        for action in actions
        for option in action.option_strings
        if option.startswith("--") and option != "--help"
    }
    assert sorted(option for option in options if option not in README) == []


def test_every_corpus_and_option_of_the_extraction_is_named() -> None:
    (corpora,) = extract_cli._parser()._subparsers._group_actions
    for name, parser in corpora.choices.items():
        assert f"| `{name}` |" in README
        options = [option for action in parser._actions for option in action.option_strings]
        named = ("-h", "--help")
        assert [option for option in options if option not in named and option not in README] == []
