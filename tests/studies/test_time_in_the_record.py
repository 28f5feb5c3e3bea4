"""How long a training waited for its rows stands where times stand: in the provenance and the ledger, in no number."""

from __future__ import annotations

from husai.activations import stream
from husai.store.index import Results
from husai.studies.computing import Computing
from husai.studies.executors.worker import compute
from husai.studies.ledger import Ledger
from husai.studies.node import folder_of, work_of
from husai.studies.presenting import present


def made(root, nodes):
    results = Results(root)
    return [(compute(work_of(node, results), root), folder_of(node, results)) for node in nodes][-1]


def test_rows_from_disk_and_from_memory_give_the_same_files_and_both_say_how_long_they_waited(
    tmp_path, long_stack, monkeypatch
):
    nodes = long_stack(200)
    memory, in_memory = made(tmp_path / "memory", nodes)
    monkeypatch.setattr(stream, "IN_MEMORY_BYTES", 0)
    disk, on_disk = made(tmp_path / "disk", nodes)
    assert memory.artefacts == disk.artefacts
    assert (in_memory / "metrics.json").read_bytes() == (on_disk / "metrics.json").read_bytes()
    assert b"waiting" not in (on_disk / "metrics.json").read_bytes()
    assert memory.facts["row_order"] == "drawn permutation"
    for record in (memory, disk):
        parts = record.provenance.parts
        assert 0 < parts["waiting_for_rows"] < parts["steps"] < record.provenance.seconds
        share = parts["waiting_for_rows"] / parts["steps"]
        assert present.record(record).endswith(f"({share:.1%}) of these waiting for rows")


def test_other_records_say_nothing_of_it(tmp_path, long_stack):
    rows, _ = made(tmp_path, long_stack(20)[:1])
    assert rows.provenance.parts == {}
    assert "waiting" not in present.record(rows)


def test_it_stands_in_the_ledger(tmp_path, long_stack):
    ledger, nodes = Ledger(tmp_path), long_stack(50)
    record, _ = made(tmp_path, nodes)
    Computing(Results(tmp_path), 1, ledger)._finished(nodes[-1])
    (line,) = ledger.events()
    assert line["parts"] == record.provenance.parts
    assert set(line["parts"]) == {"steps", "waiting_for_rows"}
