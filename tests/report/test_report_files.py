"""What the report writes: one page without a network, the same bytes every time, figures and tables that agree."""

from __future__ import annotations

import csv
import json
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from husai.errors import UserError
from husai.report.site import write_report
from husai.store.layout import read_record
from husai.store.page import numbers_in, read_page
from husai.store.tensors import load_arrays

SECTIONS = [
    "verdict", "arms", "steps", "reconstruction", "matches", "features", "density", "metrics", "model", "splice",
    "fourier", "planted", "convergence", "warnings", "not-run", "provenance",
]  # fmt: skip


@pytest.fixture(scope="module")
def page(built_study: Any) -> str:
    return (built_study.folder / "report.html").read_text()


def test_the_folder_of_a_study(built_study: Any) -> None:
    names = {artefact.path for artefact in built_study.record.artefacts}
    plots = {f"plots/{name}.png" for name in ("excess", "steps", "reconstruction", "matches", "density")}
    assert {"report.html", "summary.md", "features.csv", *plots} <= names


def test_the_same_bytes_from_records_in_memory_and_from_records_read_back(built_study: Any, tmp_path: Path) -> None:
    roles = dict(sorted(built_study.upstream.items(), reverse=True))
    upstream = {role: (read_record(folder), folder) for role, (_, folder) in roles.items()}
    write_report(read_record(built_study.folder), upstream, tmp_path)
    written = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert len(written) == 10
    for name in written:
        assert (tmp_path / name).read_bytes() == (built_study.folder / name).read_bytes(), name


def test_nothing_is_loaded_from_elsewhere(page: str) -> None:
    loaded = re.findall(r"(?:src|href|url|@import|action)\s*[=(]\s*[\"']?([^\"')\s>]*)", page)
    assert set(loaded) - {name for name in loaded if name.startswith(("#", "data:"))} == {"features.csv"}
    assert "default-src 'none'" in page
    for word in ("http://", "https://", "@font-face", "fetch(", "XMLHttpRequest"):
        assert word not in page


def test_sections_stand_in_their_order(page: str) -> None:
    assert re.findall(r'<section id="([^"]*)"', page) == SECTIONS
    assert re.findall(r'<a href="#([^"]*)">', page)[: len(SECTIONS)] == SECTIONS


def test_every_table_has_heads_and_every_figure_words(built_study: Any) -> None:
    elements = read_page(built_study.folder / "report.html").elements
    ids = [e.attributes["id"] for e in elements if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    for table in (e for e in elements if e.tag == "table" and e.attributes["id"] != "table-features"):
        inside = [e for e in elements if _within(e, table)]
        assert [e.tag for e in inside].count("caption") == 1
        assert all(e.attributes.get("scope") for e in inside if e.tag == "th")
    assert all(e.attributes["aria-label"] for e in elements if e.tag == "svg")


def _within(element: Any, other: Any) -> bool:
    at = element.parent
    while at is not None and at is not other:
        at = at.parent
    return at is other


def test_pictures_hold_no_dates(built_study: Any) -> None:
    for path in (built_study.folder / "plots").glob("*.png"):
        assert set(_chunks(path.read_bytes())) <= {b"IHDR", b"pHYs", b"IDAT", b"IEND"}, path.name


def _chunks(data: bytes) -> list[bytes]:
    found, at = [], 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        found.append(data[at + 4 : at + 8])
        at += 12 + length
    return found


def test_table_of_features(built_study: Any, studies: Any, page: str) -> None:
    with (built_study.folder / "features.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 2 * studies.S * studies.F
    assert list(rows[0])[:5] == ["source", "arm", "seed", "feature", "alive"]
    assert list(rows[0])[-3:] == ["partner_4", "cosine_4", "margin_4"]
    assert {(r["arm"], r["seed"]) for r in rows} == {(a, str(s)) for a in ("k2", "k4") for s in range(studies.S)}
    _, measured = built_study.upstream[f"measure target k4 {studies.STEPS}"]
    with (measured / "features-seed3.csv").open(newline="") as handle:
        own = list(csv.DictReader(handle))
    there = [r for r in rows if (r["arm"], r["seed"]) == ("k4", "3")]
    assert [{k: r[k] for k in own[0]} for r in there] == own
    assert all(r["partner_3"] == "" for r in there)  # a seed has no partner in itself
    embedded = json.loads(re.search(r'data-artefact="features.csv"[^>]*>(.*?)</script>', page, re.DOTALL)[1])  # type: ignore[index]
    assert embedded["names"] == list(rows[0])
    assert [float(x) for x in embedded["columns"][3]] == [float(r["feature"]) for r in rows]


def test_heat_map_keeps_the_matches_on_the_diagonal(built_study: Any, studies: Any) -> None:
    from husai.report.heatmap import _pixels

    _, measured = built_study.upstream[f"measure target k2 {studies.STEPS}"]
    cosine = load_arrays(measured / "heatmap.safetensors")["cosine_FF"].clip(-1, 1)
    assert (_pixels(cosine)[..., 3] == (255 * abs(cosine)).round()).all()
    import numpy as np

    wide = _pixels(np.eye(1000))
    assert wide.shape == (256, 256, 4)
    assert (wide[..., 3] == 255 * np.eye(256)).all()


def test_summary_holds_verdict_and_reasons(built_study: Any) -> None:
    text = (built_study.folder / "summary.md").read_text()
    facts = built_study.record.facts
    assert text.startswith(f"# built: {facts['verdict']['state']}\n")
    assert facts["verdict"]["words"] in text
    assert facts["what_varied"] in text
    for entry in facts["convergence"]:
        assert entry["words"] in text
    assert not [line for line in text.splitlines() if line.startswith("|") and "||" in line]


def test_templates_hold_no_numbers_of_their_own() -> None:
    from husai.report.rendering import TEMPLATES

    for path in TEMPLATES.glob("*.html"):
        text = re.sub(r"\{[{%#].*?[}%#]\}", " ", path.read_text(), flags=re.DOTALL)
        text = re.sub(r"<meta[^>]*>|<!doctype html>", " ", text)
        prose = re.sub(r"<[^>]*>", " ", text)
        assert numbers_in(prose) == [], path.name


def test_a_record_that_is_no_study(built_study: Any, tmp_path: Path) -> None:
    record, _ = built_study.upstream["model"]
    with pytest.raises(UserError, match="only a study has a report"):
        write_report(record, {}, tmp_path)


def test_a_table_of_features_that_is_gone(built_study: Any, studies: Any, tmp_path: Path) -> None:
    own = studies.copy(built_study, tmp_path / "results")
    _, measured = own.upstream[f"measure target k2 {studies.STEPS}"]
    (measured / "features-seed0.csv").unlink()
    with pytest.raises(UserError, match=r"features-seed0\.csv is missing"):
        write_report(own.record, own.upstream, tmp_path)


def test_report_and_audit_need_no_torch() -> None:
    rooms = "husai.report.site, husai.report.survey_site, husai.report.training, husai.store.audit"
    code = f"import sys, {rooms}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-W", "error", "-c", code], timeout=120, check=False).returncode == 0
