"""A user's own study, given as a Python file: it works, or one line says where it went wrong."""

from __future__ import annotations

import pytest

from husai.errors import UserError
from husai.studies.load import study_from_file


def test_a_file_with_helpers_and_constants_works(own_study):
    found = study_from_file(own_study)
    assert (found.name, found.budgets, found.arms[1].sae.k) == ("own", [20], 3)
    assert study_from_file(own_study) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\n", r"defines no function study\(\)"),
        ("study = 5\n", r"defines no function study\(\)"),
        ("def study():\n    return {'name': 'x'}\n", r"study\(\) returned a dict, not a Study"),
        ("def study():\n    pass\n", r"study\(\) returned a NoneType"),
        ("def study(:\n", r"failed at line 1: SyntaxError: "),
        ("x = 1\n\ndef study():\n    return 1 / 0\n", r"failed at line 4: ZeroDivisionError: division by zero"),
        ("import no_such_module\n", r"failed at line 1: ModuleNotFoundError: No module named 'no_such_module'"),
        ("def study(name):\n    pass\n", r"failed.*: TypeError: .*missing 1 required positional argument: 'name'"),
        ("import sys\nsys.exit(0)\n", r"ends the program \(sys\.exit\)"),
        ("def study():\n    raise SystemExit\n", r"ends the program"),
        ("def study():\n    raise ValueError('first\\nsecond')\n", r"line 2: ValueError: first$"),
        ("def study():\n    raise ValueError\n", r"line 2: ValueError: no message$"),
        ("\0", r"failed"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_its_place(tmp_path, text, words):
    path = tmp_path / "own.py"
    path.write_text(text)
    with pytest.raises(UserError, match=words) as caught:
        study_from_file(path)
    said = str(caught.value)
    assert len(said.splitlines()) == 1
    assert said.startswith(str(path))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"none\.py does not exist"):
        study_from_file(tmp_path / "none.py")
    with pytest.raises(UserError, match="does not exist"):
        study_from_file(tmp_path)


def test_an_error_of_husai_in_the_users_code_is_its_own_line(tmp_path):
    path = tmp_path / "own.py"
    path.write_text("from husai.recipes import recipe\ndef study():\n    return recipe('smok')()\n")
    with pytest.raises(UserError, match=r"^unknown study 'smok': did you mean 'smoke'"):
        study_from_file(path)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("factor=", "factr=", r"failed at line 18: unknown key 'factr': did you mean 'factor'\?"),
        ("arm(3)", "arm(1)", r"failed at line 18: both arms are called k1"),
        ("d_in=8", "d_inn=8", r"failed at line 10: unknown key 'd_inn': did you mean 'd_in'\?"),
        ("n_active=2", "n_active=20", r"failed at line 10: n_active \(20\) cannot exceed"),
        ("steps=STEPS", "steps='many'", r"failed at line 26: .*steps.*valid integer"),
    ],
)
def test_a_wrong_declaration_is_named_with_its_line(tmp_path, own_study, old, new, words):
    path = tmp_path / "own.py"
    path.write_text(own_study.read_text().replace(old, new))
    with pytest.raises(UserError, match=words) as caught:
        study_from_file(path)
    assert "pydantic" not in str(caught.value)
