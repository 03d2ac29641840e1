"""The timeline as a table for other programs: CSV or Parquet."""

from __future__ import annotations

import argparse
import gzip
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from mpitrain.analyse.output import check_library, check_output, new_file, size_bytes
from mpitrain.analyse.tool import Answer, Tool
from mpitrain.analysis.readable import open_readable
from mpitrain.analysis.table_rows import SHARDS, Columns, column_types, table_slices
from mpitrain.core.console import counted, size_text
from mpitrain.core.errors import UserError, unknown

if TYPE_CHECKING:
    import pyarrow as pa

ENDINGS = (".csv", ".csv.gz", ".parquet")
STANDARD_OUTPUT = Path("-")
GROUP_ROWS = 131_072  # of a row group in Parquet
GZIP_LEVEL = 3

Write = Callable[["pa.Table"], None]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "example:\n  export runs/night --out night.parquet --columns clock,wait_s,staleness_mean\n"
        "  export runs/night --out - | head"
    )
    parser.add_argument("rundir", type=Path, metavar="RUNDIR")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help=f"ends in {', '.join(ENDINGS)}; - for CSV to standard output",
    )
    parser.add_argument("--columns", metavar="NAME,...", help="only these, beside life and rank")
    parser.add_argument(
        "--shards",
        choices=SHARDS,
        default="list",
        help="versions of the shards: as a list in each row (in CSV 1;2;3), as a table of its own "
        "with a row per step and shard, or not at all (default: %(default)s)",
    )
    parser.add_argument("--log-root", type=Path, help="folder of the logs, if not RUNDIR/log")


def _run(options: argparse.Namespace) -> Answer:
    _check(options)
    run = open_readable(options.rundir, options.log_root)
    per_shard = any(segment.log.per_shard for segment in run.segments())
    types = column_types(options.shards, per_shard=per_shard)
    if options.shards == "long" and not per_shard:
        message = f"{options.rundir} has no versions of shards: log.per_shard was off"
        raise UserError(message)
    chosen = _chosen(options.columns, list(types), options.shards)
    schema = _schema({name: types[name] for name in chosen}, options.shards)
    num_rows = 0
    with _writer(options.out, schema) as write:
        for columns in table_slices(run, chosen, options.shards):
            table = _table(columns, schema)
            write(table)
            num_rows += table.num_rows
    is_quiet = options.out == STANDARD_OUTPUT
    size = None if is_quiet else size_bytes(options.out)
    facts = {
        "file": str(options.out), "rows": num_rows, "columns": chosen, "size_bytes": size,
        "lives": len(run.chain), "notes": run.notes,
    }  # fmt: skip

    def show() -> None:
        told = sys.stderr if is_quiet else sys.stdout
        told.write("".join(f"note: {note}\n" for note in run.notes))
        if not is_quiet:
            counts = f"{counted(num_rows, 'row')}, {counted(len(chosen), 'column')}"
            room = "" if size is None else f", {size_text(size)}"
            told.write(f"{options.out}: {counts}{room}\n")

    return Answer(facts, show, missing=run.missing)


def _check(options: argparse.Namespace) -> None:
    """Refuse what is no place for a table, before a log is read."""
    if options.out == STANDARD_OUTPUT:
        if options.json:
            message = "--json and --out - both want standard output"
            raise UserError(message)
    else:
        check_output("--out", options.out, ENDINGS)
    check_library("pyarrow", "export")


def _chosen(words: str | None, names: Sequence[str], shards: str) -> list[str]:
    """Return the columns that were asked for, in the table's order."""
    if words is None:
        return list(names)
    asked = {word for word in words.split(",") if word}
    for name in sorted(asked):
        if name not in names:
            raise unknown("column", name, names)  # noqa: EM101  # not a message
    keys = {"life", "rank"} | ({"clock", "shard"} if shards == "long" else set())
    return [name for name in names if name in asked | keys]


def _schema(types: dict[str, Any], shards: str) -> pa.Schema:
    import pyarrow as pa

    def arrow_type(name: str) -> pa.DataType:
        plain = pa.from_numpy_dtype(types[name])
        is_list = shards == "list" and name.startswith("version_")
        return pa.list_(plain) if is_list else plain

    return pa.schema([(name, arrow_type(name)) for name in types])


def _table(columns: Columns, schema: pa.Schema) -> pa.Table:
    """Return a slice as Arrow has it; what a log lacks is null."""
    import numpy as np
    import pyarrow as pa

    num_rows = len(columns["rank"])

    def array(field: pa.Field) -> pa.Array:
        values = columns.get(field.name)
        if values is None:
            return pa.nulls(num_rows, field.type)
        if values.ndim == 1:
            return pa.array(values, field.type)
        starts = np.arange(num_rows + 1, dtype=np.int32) * np.int32(values.shape[1])
        return pa.ListArray.from_arrays(starts, pa.array(values.reshape(-1)))

    return pa.Table.from_arrays([array(field) for field in schema], schema=schema)


@contextmanager
def _writer(path: Path, schema: pa.Schema) -> Iterator[Write]:
    """Give what takes tables, for the file's format."""
    if path == STANDARD_OUTPUT:
        with _csv(sys.stdout.buffer, schema) as write:
            yield write
        return
    with new_file(path) as file:
        if path.name.endswith(".parquet"):
            with _parquet(file, schema) as write:
                yield write
        elif path.name.endswith(".gz"):
            packed = gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=0)
            with packed, _csv(cast("BinaryIO", packed), schema) as write:
                yield write
        else:
            with _csv(file, schema) as write:
                yield write


@contextmanager
def _parquet(file: BinaryIO, schema: pa.Schema) -> Iterator[Write]:
    """Gather tables into row groups: small ones make large files."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    waiting: list[pa.Table] = []
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:

        def flush() -> None:
            if waiting:
                writer.write_table(pa.concat_tables(waiting))
                waiting.clear()

        def write(table: pa.Table) -> None:
            waiting.append(table)
            if sum(one.num_rows for one in waiting) >= GROUP_ROWS:
                flush()

        yield write
        flush()


@contextmanager
def _csv(file: BinaryIO, schema: pa.Schema) -> Iterator[Write]:
    import pyarrow as pa
    from pyarrow import csv

    flat = pa.schema(
        [(f.name, pa.string() if pa.types.is_list(f.type) else f.type) for f in schema]
    )
    options = csv.WriteOptions(include_header=False, quoting_style="none")
    file.write((",".join(flat.names) + "\n").encode())
    with csv.CSVWriter(file, flat, write_options=options) as writer:
        yield lambda table: writer.write_table(_flat(table, flat))
    file.flush()


def _flat(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Write lists as text: CSV has none."""
    import pyarrow as pa
    from pyarrow import compute

    arrays = [
        compute.binary_join(compute.cast(column, pa.list_(pa.string())), ";")
        if pa.types.is_list(column.type)
        else column
        for column in table.columns
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


TOOL = Tool(
    "export",
    "Write the timeline of a run as a table, one row per step: rank, life and every column of the "
    "log, of finished, running and killed runs.",
    _add_arguments,
    _run,
)
