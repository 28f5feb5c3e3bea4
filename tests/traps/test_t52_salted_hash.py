"""T52: ids made with Python's `hash()`, which is salted anew in every process.

husai's ids are SHA-256 of content. The same objects are hashed in processes with different salts: the ids agree, while
`hash()` of the same text does not.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

CODE = """
import json
from husai.config import content_hash
from husai.models.config import PretrainConfig, TransformerConfig
from husai.seeds import Role, derive
from husai.store.identity import node_id
from husai.tasks.modular import ModularConfig
from husai.tasks.planted import PlantedConfig

modular, planted = ModularConfig(p=11, max_rows=60), PlantedConfig(d_in=4, n_features=8, n_rows=20)
print(json.dumps({
    "salted": hash("husai"),
    "ids": [
        modular.build().content_hash, planted.build().content_hash, derive(0, Role.SAE_INIT, 3, "x"),
        content_hash([c.plain() for c in (modular, planted, TransformerConfig(), PretrainConfig())]),
        node_id("stack", {"a": 1, "b": [modular.plain()]}),
    ],
}))
"""


def in_process(salt):
    result = subprocess.run(
        [sys.executable, "-c", CODE],
        env=os.environ | {"PYTHONHASHSEED": salt},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(result.stdout)


def test_ids_are_equal_in_every_process():
    runs = [in_process(salt) for salt in ("0", "1", "12345")]
    assert len({run["salted"] for run in runs}) == 3  # the salt does act
    assert runs[0]["ids"] == runs[1]["ids"] == runs[2]["ids"]
    assert len(set(map(str, runs[0]["ids"]))) == len(runs[0]["ids"])
