"""What a training run shows and writes down of itself: a progress line, its log, and where and how long it ran.

A run that was stopped and resumed has one log and one record a start, in folders `version_0`, `version_1`, … of the
run's folder: `metrics.csv` from Lightning, and `start.json` from here.
"""

from __future__ import annotations

import csv
import datetime
import json
import logging
import platform
import statistics
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from tqdm import tqdm

log = logging.getLogger(__name__)

COLUMNS = ("pairs_per_second", "waiting")
REMARKS = (  # of Lightning and torch, on what is meant to be so
    ".*does not have many workers.*",
    ".*`__len__` defined.*",
    ".*exists and is not empty.*",
    ".*logging interval.*",
    ".*isinstance\\(treespec, LeafSpec\\).*",
    ".*does not have a `state_dict`.*",
    ".*in eval mode at the start of training.*",
)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's tips, and its remarks on what is meant to be so, to itself; real warnings pass."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for remark in REMARKS:
            warnings.filterwarnings("ignore", remark)
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


class Progress(Callback):
    """Shows pairs done, loss, pairs a second and the share of the time in which the step waited for its data.

    In a terminal that is a bar; elsewhere a line a checkpoint.

    Args:
        batch_size: pairs a step.
        steps: of the whole training.
        shown: False shows nothing, and logs all the same.
        every: steps between two rows of the log.
    """

    def __init__(self, batch_size: int, steps: int, shown: bool = True, every: int = 50) -> None:
        self.batch_size, self.steps, self.shown, self.every = batch_size, steps, shown, every
        self.since = self.mark = self.waited = 0.0
        self.count, self.words = 0, "just begun"

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Start the clock and the bar."""
        hidden = None if self.shown and trainer.is_global_zero else True  # None: unless this is no terminal
        done, total = trainer.global_step * self.batch_size, self.steps * self.batch_size
        self.bar = tqdm(desc="train", initial=done, total=total, unit="pair", unit_scale=True, disable=hidden)
        self._restart(module.device)

    def on_train_batch_start(self, *_: Any) -> None:
        """The batch is here: what passed since the last step was waiting."""
        self.waited += time.perf_counter() - self.mark

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        """Log every `every` steps."""
        self.loss += outputs["loss"].detach()
        self.count += 1
        self.bar.update(self.batch_size)
        if trainer.global_step % self.every == 0:
            elapsed = time.perf_counter() - self.since
            loss, speed = float(self.loss) / self.count, self.count * self.batch_size / elapsed
            share = self.waited / elapsed
            module.log_dict({"mean_loss": loss, "pairs_per_second": speed, "waiting": share})
            self.words = f"loss {loss:.3f}, {speed:.1f} pairs/s, waiting {share:.1%}"
            self.bar.set_postfix_str(self.words)
            self._restart(module.device)
        self.mark = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """A line where there is no bar."""
        if self.shown and self.bar.disable and trainer.is_global_zero:
            log.info("step %s of %s: %s", f"{trainer.global_step:,}", f"{self.steps:,}", self.words)

    def teardown(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        """Close the bar, also where the run was interrupted."""
        if hasattr(self, "bar"):
            self.bar.close()

    def _restart(self, device: torch.device) -> None:
        self.loss = torch.zeros((), device=device)
        self.waited, self.count = 0.0, 0
        self.since = self.mark = time.perf_counter()


class Record(Callback):
    """Writes `start.json`: from when to when this start ran, over which steps, and on what machine.

    It is brought up to date with each checkpoint, so what a killed run did after its last one does not count.

    Args:
        folder: of this start.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / "start.json"

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Note where and when."""
        self.since = time.perf_counter()
        self.entries: dict[str, Any] = {
            "began": _now(),
            "first_step": trainer.global_step,
            "processes": trainer.world_size,
            "device": device_name(module.device),
            "threads": torch.get_num_threads(),
            "precision": trainer.precision,
            "torch": torch.__version__,
            "lightning": L.__version__,
        }
        self._write(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Bring it up to date."""
        self._write(trainer)

    def _write(self, trainer: L.Trainer) -> None:
        if trainer.is_global_zero:
            seconds = round(time.perf_counter() - self.since, 1)
            entries = {**self.entries, "ended": _now(), "last_step": trainer.global_step, "seconds": seconds}
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def device_name(device: torch.device) -> str:
    """What the training ran on: the GPU's or the processor's name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def summary(folder: Path) -> dict[str, Any]:
    """What the starts of a run say together, for the model's card.

    Returns:
        "minutes" of all starts, "began", "ended", number of "starts"; device, threads, precision and versions of the
        last one; median "pairs_per_second" and share of time "waiting"; and the learning "curve": mean loss by step,
        at some ten steps. Empty where nothing was recorded.
    """
    starts = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("version_*/start.json")]
    if not starts:
        return {}
    starts.sort(key=lambda start: start["began"])
    last = starts[-1]
    kept = ("processes", "device", "threads", "precision", "torch", "lightning")
    return {
        "began": starts[0]["began"],
        "ended": last["ended"],
        "starts": len(starts),
        "minutes": round(sum(start["seconds"] for start in starts) / 60, 1),
        **{name: last[name] for name in kept},
        **_log_summary(folder),
    }


def _log_summary(folder: Path, points: int = 10) -> dict[str, Any]:
    rows: dict[int, dict[str, str]] = {}  # by step: of what a killed run did twice, the later one counts
    for path in sorted(folder.glob("version_*/metrics.csv"), key=lambda path: int(path.parent.name.split("_")[1])):
        with path.open(newline="", encoding="utf-8") as file:
            rows.update({int(row["step"]): row for row in csv.DictReader(file) if row.get("mean_loss")})
    if not rows:
        return {}
    steps = sorted(rows)
    speed, waiting = (statistics.median(float(row[name]) for row in rows.values()) for name in COLUMNS)
    shown = sorted({steps[(len(steps) - 1) * point // (points - 1)] for point in range(points)})
    curve = {str(step + 1): round(float(rows[step]["mean_loss"]), 3) for step in shown}
    return {"pairs_per_second": round(speed, 1), "waiting": round(waiting, 4), "curve": curve}
