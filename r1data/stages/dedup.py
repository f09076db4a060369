"""problems or traces -> clusters: exact duplicates after folding case, width and white space.

Problems are compared by prompt, over the whole table; traces by text, within their problem. The
representative of a cluster is its smallest id, so the outcome depends on no order of rows.
"""

from typing import Literal

import polars as pl

from r1data.core.errors import WorkspaceError
from r1data.core.frames import folded
from r1data.core.records import Cluster, polars_schema
from r1data.core.stage import Config, Stage, Tables


class DedupConfig(Config):
    """Settings of `r1data dedup`."""

    item: Literal["problem", "trace"] = "trace"
    """What to compare: problems by prompt, or traces by text within a problem."""


def cluster(config: DedupConfig, tables: Tables) -> pl.LazyFrame:
    """Return one row per item: its cluster and whether it is kept."""
    if config.item == "problem":
        frame, key, within = tables["problems"], "prompt", []
    elif "traces" not in tables:
        raise WorkspaceError("dedup needs a traces table; `r1data sample --model MODEL` makes it")
    else:
        frame, key, within = tables["traces"], "text", ["problem_id"]
    item_id = f"{config.item}_id"
    columns = dict.fromkeys([item_id, "problem_id"])
    group = [*within, "_folded"]
    return (
        frame.select(*columns, folded(key).alias("_folded"))
        .with_columns(pl.col(item_id).min().over(group).alias("cluster_id"))
        .select(
            pl.col(item_id).alias("item_id"),
            pl.lit(config.item).alias("item"),
            "problem_id",
            "cluster_id",
            (pl.col(item_id) == pl.col("cluster_id")).alias("kept"),
        )
        .select(list(polars_schema(Cluster)))
        .sort("item_id")
    )


DEDUP = Stage(
    name="dedup",
    version=1,
    reads=("problems",),
    optional=("traces",),
    writes="clusters/{item}",
    enters="{item}s",
    config=DedupConfig,
    fn=cluster,
    kind="frame",
    reason="kept",
)
