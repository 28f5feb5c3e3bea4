"""A programme's own record: its hypotheses, and one front of stability and reconstruction over all its arms."""

from __future__ import annotations

from typing import Any

from husai.store.record import Measurement
from husai.studies.programmes.finished import Finished
from husai.studies.programmes.front import arms_of, standings_of
from husai.studies.programmes.programme import Programme
from husai.studies.programmes.words import answer, doubt_of, hypothesis_facts, positive_words


def conclude_programme(
    programme: Programme, finished: list[Finished]
) -> tuple[tuple[Measurement, ...], dict[str, Any]]:
    """Measurements and facts of the programme's record, from those of its studies alone."""
    claims = [claim for study in finished for claim in study.claims]
    doubt = doubt_of(programme.positive, claims)
    hypotheses = [hypothesis_facts(hypothesis, claims, doubt) for hypothesis in programme.hypotheses]
    known: dict[str, str] = {}
    arms = [arm for study in finished if study.record.kind == "survey" for arm in arms_of(study, known)]
    front = standings_of(arms)
    facts = {
        "question": programme.question,
        "answer": answer(hypotheses),
        "hypotheses": hypotheses,
        "positive": positive_words(programme.positive, claims, doubt),
        "scope": _scope(finished),
        "studies": [_study_facts(study) for study in finished],
        "front": [arm.facts | front[arm.key] for arm in arms],
        "remarks": list(programme.remarks),
    }
    return tuple(m for arm in arms for m in arm.measurements), facts


def _scope(finished: list[Finished]) -> str:
    """What varied in its surveys: nothing that a hypothesis says holds for more."""
    varied = [s["what_varied"] for f in finished if f.record.kind == "survey" for s in f.record.facts["settings"]]
    each = "; elsewhere ".join(dict.fromkeys(varied))
    return f"of one checkpoint and one set of rows for each source: {each}" if varied else ""


def _study_facts(study: Finished) -> dict[str, Any]:
    record = study.record
    question = record.facts.get("question", "")
    return {"study": study.name, "kind": record.kind, "run": record.id, "question": question, "answer": study.answer}
