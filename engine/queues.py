"""Names that the client and the worker agree on."""

from dbos import DBOSPortableJSONSerializer, Serializer

SERIALIZER: Serializer = DBOSPortableJSONSerializer()
"""DBOS pickles by default; ids and small values need no more than JSON, which any version reads."""

APPLICATION = "openlinear"
RUNS = "runs"
BATCHES = "batches"
"""Merging: it waits for no run."""
CHECKS = "checks"
"""Short look-ups that a person waits for: never behind a run."""

APPLICATION_VERSION = "3"
"""Pinned: DBOS would hash the code, and strand the runs that were under way at an upgrade. Grows whenever
a workflow's steps change: what an older version left then starts over, on what the run's row says is done."""
