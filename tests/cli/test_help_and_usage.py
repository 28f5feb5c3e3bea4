"""Every command explains itself on one screen with an example, and a slip of the keyboard is one line."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from husai.recipes import RECIPES

COMMANDS = (
    *("run", "studies", "capture", "train", "stability", "compare", "convert"),
    *("show", "features", "report", "audit", "doctor"),
)


def helped(*words: str) -> list[str]:
    env = os.environ | {"COLUMNS": "80", "TERM": "dumb", "PYTHONIOENCODING": "utf-8"}
    run = subprocess.run(
        [sys.executable, "-m", "husai", *words, "--help"],
        capture_output=True,
        encoding="utf-8",
        env=env,
        check=True,
        timeout=60,
    )
    assert run.stderr == ""
    return [line.rstrip() for line in run.stdout.strip().splitlines()]


@pytest.mark.parametrize("words", [(), *((name,) for name in COMMANDS)])
def test_help_fits_one_screen_and_has_an_example(words):
    lines = helped(*words)
    assert 5 <= len(lines) <= 40
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert "Usage: " in text
    assert "husai run quickstart" in text if not words else f"Example: husai {words[0]}" in text


def test_the_overview_names_every_command():
    text = "\n".join(helped())
    assert all(f" {name} " in text for name in COMMANDS)


def test_without_a_command_there_is_help(husai):
    said = husai()
    assert "Usage" in said.out + said.err
    assert "run" in said.out + said.err


def test_the_studies_are_listed(husai):
    said = husai("studies")
    assert (said.code, said.err) == (0, "")
    assert [line.split()[0] for line in said.out.splitlines()] == list(RECIPES)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("rnu",), "No such command 'rnu'. Did you mean 'run'; see husai --help"),
        (("run",), "Missing argument 'study'; see husai run --help"),
        (("run", "smoke", "--workrs", "2"), "No such option: --workrs"),
        (("run", "smoke", "--workers", "0"), "--workers"),
        (("run", "smoke", "--workers", "two"), "--workers"),
        (("run", "smoke", "more"), "extra argument"),
        (("run", "smoke", "--set"), "--set"),
        (("show",), "Missing argument 'run'"),
        (("features", "x", "--seed", "-1"), "--seed"),
        (("capture", "--key", "x"), "--from"),
        (("capture", "--d-in", "8"), "--from"),
    ],
)
def test_wrong_words_are_one_line_and_exit_code_2(husai, words, complaint):
    said = husai(*words)
    assert complaint.lower() in said.complaint.lower()
    assert said.out == ""


def test_the_help_needs_no_torch():
    code = "import sys; sys.argv = ['husai', '--help']\ntry:\n    import husai.cli; husai.cli.main()\n"
    code += "except SystemExit:\n    pass\nprint([m for m in ('torch', 'scipy', 'matplotlib') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.splitlines()[-1] == "[]"
