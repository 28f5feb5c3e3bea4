"""The peers by name."""

from __future__ import annotations

from benchmarks.peers.dictionary_learning import DictionaryLearning
from benchmarks.peers.peer import Peer
from benchmarks.peers.saelens import SAELens
from benchmarks.peers.sparsify import Sparsify

PEERS: dict[str, Peer] = {peer.name: peer for peer in (SAELens(), DictionaryLearning(), Sparsify())}
