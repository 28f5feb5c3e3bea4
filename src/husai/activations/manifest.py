"""What a folder of activations says about itself: where the rows came from, how many are different, what they weigh."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from husai.config import Config, content_hash
from husai.errors import UserError
from husai.store.files import read_json, write_json

SCHEMA = "husai.activations/1"
MANIFEST = "manifest.json"
STATISTICS = "statistics.safetensors"
SHA256 = r"^[0-9a-f]{64}$"

Kind = Literal["captured", "planted", "surrogate", "external"]
Follows = Literal["token", "token_and_position", "context", "unknown"]


class HookColumns(Config):
    """Columns of a row that were read at one hook."""

    hook_name: str
    width: int = Field(gt=0)


class Origin(Config):
    """Where rows came from; it travels with every number made from them.

    `synthetic` rows never passed through a model. `hashes` maps a role (`weights`, `task`, `file` ...) to a content
    hash; `details` holds what else the maker wants to remember, JSON-ready. Rows of several hooks hold those of
    `hooks` side by side, in order; `hook_name` is the first.
    """

    kind: Kind
    synthetic: bool
    description: str = Field(min_length=1)
    hook_name: str = ""
    hooks: tuple[HookColumns, ...] = ()
    positions: str = ""
    hashes: dict[str, str] = Field(default_factory=dict)
    details: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _honest(self) -> Self:
        if self.kind in ("planted", "surrogate") and not self.synthetic:
            raise ValueError(f"{self.kind} rows are synthetic and must say so")
        if self.kind == "captured" and self.synthetic:
            raise ValueError("captured rows come from a model; synthetic ones need another kind")
        return self

    def marks(self) -> dict[str, str]:
        """Text written into the header of every shard."""
        return {
            "schema": SCHEMA,
            "kind": self.kind,
            "synthetic": str(self.synthetic).lower(),
            "description": self.description,
            "origin": content_hash(self.plain()),
        }


class Shard(Config):
    """One file of rows."""

    file: str = Field(pattern=r"^shard-\d{5,}\.safetensors$")
    rows: int = Field(gt=0)
    bytes: int = Field(gt=0)
    sha256: str = Field(pattern=SHA256)


class LabelFile(Config):
    """One label of the rows: of its `classes`, `labelled` rows have one; `test` of them are for measuring only."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    file: str = Field(pattern=r"^labels-[a-z][a-z0-9_]*\.safetensors$")
    classes: int = Field(ge=1)
    labelled: int = Field(ge=0)
    test: int = Field(ge=0)
    sha256: str = Field(pattern=SHA256)


class RowStatistics(Config):
    """How many rows are different. `near` counts rows as equal when no coordinate differs by more than about
    1/1024 of the row's largest, so that repeats which differ in rounding only are seen as repeats."""

    unique: int = Field(gt=0)
    near_unique: int = Field(gt=0)
    duplicate_share: float = Field(ge=0, le=1)
    commonest_share: float = Field(gt=0, le=1)


class TokenStatistics(Config):
    """Which tokens the rows stand on, and what a row is a function of (`follows`)."""

    unique: int = Field(gt=0)
    commonest: int
    commonest_share: float = Field(gt=0, le=1)
    follows: Follows


class NormStatistics(Config):
    """Who carries the variance. The centred norm of a row is its distance to the mean row; a norm outlier lies more
    than `outlier_threshold` (a multiple of the median centred norm) away. Variance shares are of the summed squared
    centred norm, the denominator of explained variance; that of the first position is what this sum loses when its
    rows are left out, of the mean too, and is None where positions are not known."""

    quantiles: dict[str, float]
    median_centred: float = Field(ge=0)
    outlier_threshold: float = Field(ge=0)
    outliers: int = Field(ge=0)
    outlier_variance_share: float = Field(ge=0, le=1)
    top_rows: int = Field(gt=0)
    top_rows_variance_share: float = Field(ge=0, le=1)
    rows_for_half_variance: int = Field(gt=0)
    first_position_share: float | None = Field(default=None, ge=0, le=1)
    first_position_variance_share: float | None = Field(default=None, ge=0, le=1)


class Manifest(Config):
    """Everything a reader needs to know before it opens a shard; `content_sha256` guards the manifest itself.

    `mean_square_norm` is the mean of ||x||^2, `variance` that of ||x - mean||^2 (both sums over D). `rows_sha256` is
    the hash of all rows in order, whatever the shard size. `hook_variances` are those of each hook's columns, where
    there are several hooks. `excess_kurtosis` is the mean over dimensions.
    """

    schema_version: Literal["husai.activations/1"] = SCHEMA
    origin: Origin
    n_rows: int = Field(gt=1)
    d_in: int = Field(gt=0)
    dtype: Literal["float32"] = "float32"
    columns: tuple[str, ...] = ()
    shards: tuple[Shard, ...] = Field(min_length=1)
    rows_sha256: str = Field(pattern=SHA256)
    statistics_sha256: str = Field(pattern=SHA256)
    mean_square_norm: float = Field(gt=0)
    variance: float = Field(gt=0)
    hook_variances: tuple[float, ...] = ()
    excess_kurtosis: float
    effective_rank: float | None = None
    participation_ratio: float | None = None
    rows: RowStatistics
    norms: NormStatistics
    tokens: TokenStatistics | None = None
    labels: tuple[LabelFile, ...] = ()
    content_sha256: str = ""

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.origin.hooks and sum(hook.width for hook in self.origin.hooks) != self.d_in:
            raise ValueError("the widths of the hooks do not add up to d_in")
        if len(self.hook_variances) != len(self.origin.hooks):
            raise ValueError("there must be one variance for each hook")
        if sum(shard.rows for shard in self.shards) != self.n_rows:
            raise ValueError("the rows of the shards do not add up to n_rows")
        if self.content_sha256 and self.content_sha256 != self._content():
            raise ValueError("it was changed after it was written (content_sha256 disagrees)")
        return self

    @property
    def widths(self) -> tuple[int, ...]:
        """Columns of each hook, in order."""
        return tuple(hook.width for hook in self.origin.hooks) or (self.d_in,)

    def _content(self) -> str:
        """Without labels as it was before there were any: folders of then stay readable."""
        left_out = {"content_sha256"} if self.labels else {"content_sha256", "labels"}
        return content_hash({k: v for k, v in self.plain().items() if k not in left_out})

    def write(self, folder: Path) -> Manifest:
        """Write `manifest.json`, the file that makes the folder readable; returns the sealed manifest."""
        sealed = self.model_copy(update={"content_sha256": self._content()})
        write_json(folder / MANIFEST, sealed.plain())
        return sealed


def read_manifest(folder: Path) -> Manifest:
    """Read and check the manifest of a folder of activations.

    Raises:
        UserError: no manifest (never finished), not readable, another schema, or changed since it was written.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise UserError(f"{folder} holds no {MANIFEST}: the activations were never finished, make them again")
    manifest = Manifest.parse(read_json(path), str(path))
    if not manifest.content_sha256:
        raise UserError(f"{path}: content_sha256 is missing, it was changed after it was written; make it again")
    return manifest
