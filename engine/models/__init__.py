"""The engine's tables."""

from engine.models.batch import MOVING, OVER, Batch, BatchStatus, Member
from engine.models.columns import now
from engine.models.process import MetricTotal, WebProcess, Worker
from engine.models.run import ENDED, Ask, Run, RunDiff, RunEvent, RunStatus
from engine.models.sandbox import Container, Lease, NextRun
from engine.models.storage import Finding, KeptWork, StorageReport

__all__ = [
    "ENDED",
    "MOVING",
    "OVER",
    "Ask",
    "Batch",
    "BatchStatus",
    "Container",
    "Finding",
    "KeptWork",
    "Lease",
    "Member",
    "MetricTotal",
    "NextRun",
    "Run",
    "RunDiff",
    "RunEvent",
    "RunStatus",
    "StorageReport",
    "WebProcess",
    "Worker",
    "now",
]
