"""The published tables as data, one file each: a new ablation is one more file."""

from selfvos.experiments.tables.base import TABLES, Table, Variant

__all__ = ["TABLES", "Table", "Variant"]
