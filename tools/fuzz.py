# SPDX-License-Identifier: GPL-3.0-or-later
"""Feed everything that reads strangers' files with damaged and forged input, and write down what happens.

    python tools/fuzz.py --inputs 1000000 --seed 1            all readers
    python tools/fuzz.py --only bvh sound --inputs 20000
    python tools/fuzz.py --again build/fuzz/findings/FILE     one kept input

Most inputs come from atheris, which follows the coverage of the engine's own Python, the others from
hypothesis, which edits samples. Every reader runs in processes of its own, watched from outside. A
finding is an error that is not ours, more than 2 s of processor time for one input, a growth of the
process's address space by more than 4 times the file and `SLACK_BYTES` together, or the death of the
process. Inputs that led to one are kept in build/fuzz/findings.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import resource
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "fuzz"
FINDINGS = FOLDER / "findings"
sys.path[:0] = [str(ROOT), str(FOLDER / "packages")]

LONGEST_S = 2.0
"""Processor time that one input may take."""
ENDLESS_S = 10.0
"""Processor time after which the watcher ends a process that stays with one input."""
LOOK_S = 0.5
"""Between two looks of the watcher."""
STILL_LOOKS = 600
"""So many looks at the same input end a process that waits; time does not count, as a machine may sleep."""
WEEK_S = 7 * 24 * 3600
TIMES_FILE = 4
SLACK_BYTES = 16 << 20
"""Growth that the process itself may need: the heap grows in steps, libraries load parts when first used."""
MOST_BYTES = 12 << 30
"""Address space of a worker, so that a finding does not fill the machine; the libraries alone take 3 GB."""
MAX_INPUT = 1 << 16
SOURCES = {"atheris": 0.95, "hypothesis": 0.05}
"""Share of the inputs that come from each; hypothesis takes several times as long over one."""
BATCH = 2000
"""Inputs that one run of hypothesis makes; it remembers all of a run."""
SLOW = {
    "pack-engine": 40.0,
    "pack-tokenizer": 4.0,
    "preset-rig": 4.0,
    "preset-face": 4.0,
    "preset-direction": 4.0,
}
"""Readers that take so many times as long as the others get as many fewer inputs."""


@dataclass
class Count:
    """What one reader met.

    Attributes:
        reader: Its name.
        source: Where the inputs came from.
        inputs: How many there were.
        accepted: Were read without an error.
        refused: Ended with an error of ours.
        slowest_s: Most processor time of one.
        most_bytes: Largest growth of the address space, beyond what was in use before.
        findings: Kind and place of each, with the kept input.
    """

    reader: str
    source: str
    inputs: int = 0
    accepted: int = 0
    refused: int = 0
    slowest_s: float = 0.0
    most_bytes: int = 0
    findings: dict[str, str] = field(default_factory=dict[str, str])


def memory() -> tuple[int, int]:
    """Address space of this process, now and at most, in bytes (proc(5))."""
    text = Path("/proc/self/status").read_text()
    found = [re.search(rf"{name}:\s+(\d+)", text) for name in ("VmSize", "VmPeak")]
    now, most = (int(match[1]) * 1024 if match else 0 for match in found)
    return now, most


class Harness:
    """Runs one reader on inputs and counts."""

    def __init__(self, name: str, source: str, place: Path) -> None:
        """Load the reader.

        Args:
            name: Of the reader.
            source: Where the inputs come from.
            place: Folder in memory for its file; `now` in it holds the input that is being read.
        """
        from tests.fuzz_readers import READERS, readers_in_blender

        self.reader = READERS[name] if name in READERS else readers_in_blender()[name]
        self.count = Count(self.reader.name, source)
        self.place = place
        self.folder = place / "files"
        (self.folder / self.reader.file).parent.mkdir(parents=True, exist_ok=True)
        self.samples = self.reader.samples()
        for _ in range(3):  # what is loaded when first used is no growth
            for sample in self.samples:
                self.once(sample)
        self.count = Count(self.reader.name, source)
        self.most = memory()[1]

    def once(self, data: bytes) -> None:
        """Read one input."""
        from engine.errors import EngineError

        count = self.count
        (self.place / "now").write_bytes(data)
        before, _ = memory()
        began = time.process_time()
        try:
            self.reader.run(data, self.folder)
            count.accepted += 1
        except EngineError as error:
            if str(error).strip():
                count.refused += 1
            else:
                self.find("an error without a sentence", data)
        except Exception as error:  # a finding, whatever it is
            frames = traceback.extract_tb(error.__traceback__)
            own = [frame for frame in frames if str(ROOT) in frame.filename and "fuzz" not in frame.filename]
            last = (own or frames)[-1]
            where = f"{Path(last.filename).name}:{last.lineno}"
            self.find(
                f"{type(error).__name__} at {where}: {str(error)[:80]}",
                data,
                f"{type(error).__name__}{where}",
            )
        took = time.process_time() - began
        _, most = memory()
        count.inputs += 1
        count.slowest_s = max(count.slowest_s, took)
        if took > LONGEST_S:
            self.find(f"{took:.1f} s for {len(data)} bytes", data, "slow")
        if most > getattr(self, "most", most):
            grown = most - before
            self.most = most
            count.most_bytes = max(count.most_bytes, grown)
            if grown > TIMES_FILE * len(data) + SLACK_BYTES:
                self.find(f"{grown >> 20} MB for {len(data)} bytes", data, "memory")

    def find(self, what: str, data: bytes, key: str = "") -> None:
        """Keep a finding; one of each kind."""
        key = re.sub(r"\W+", "-", key or what)
        if key not in self.count.findings:
            path = keep(f"{self.reader.name}-{key}", data)
            self.count.findings[key] = f"{what} ({path.name})"

    def save(self) -> None:
        """Tell the watcher."""
        path = self.place / "count.json"
        path.with_suffix(".new").write_text(json.dumps(asdict(self.count)))
        os.replace(path.with_suffix(".new"), path)


def keep(name: str, data: bytes) -> Path:
    """Keep an input."""
    FINDINGS.mkdir(parents=True, exist_ok=True)
    path = FINDINGS / f"{name}-{hashlib.sha256(data).hexdigest()[:8]}"
    path.write_bytes(data)
    return path


def with_atheris(harness: Harness, inputs: int, seed: int) -> None:
    """Inputs that follow coverage; does not return."""
    import atheris

    corpus = harness.place / "corpus"
    corpus.mkdir(exist_ok=True)
    for number, sample in enumerate(harness.samples):
        (corpus / str(number)).write_bytes(sample)
    words = harness.place / "words"
    lines = ['"' + "".join(f"\\x{byte:02x}" for byte in word) + '"' for word in harness.reader.words]
    words.write_text("\n".join(lines) + "\n")

    def one(data: bytes) -> None:
        harness.once(data)
        if harness.count.inputs % 200 == 0 or harness.count.inputs >= inputs:
            harness.save()
        if harness.count.inputs >= inputs:
            os._exit(0)

    options = [
        f"-seed={seed or 1}",
        f"-max_len={MAX_INPUT}",
        f"-timeout={WEEK_S}",  # the watcher counts; atheris ends a process at its first look where this is 0
        "-rss_limit_mb=0",
        "-verbosity=0",
        f"-dict={words}",
        "-len_control=20",
        "-print_final_stats=0",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one)
    atheris.Fuzz()


def with_hypothesis(harness: Harness, inputs: int, seed: int) -> None:
    """Inputs that are edited samples."""
    import hypothesis

    from tests.fuzz_readers import edited

    strategy = edited(harness.reader, harness.samples)
    while harness.count.inputs < inputs:
        left = min(BATCH, inputs - harness.count.inputs)

        @hypothesis.seed(seed + harness.count.inputs)
        @hypothesis.settings(
            max_examples=left,
            database=None,
            deadline=None,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(strategy)
        def run(data: bytes) -> None:
            if harness.count.inputs < inputs:
                harness.once(data)
                if harness.count.inputs % 200 == 0:
                    harness.save()

        run()
    harness.save()


def work(arguments: argparse.Namespace) -> None:
    """A worker: one reader, one source."""
    import torch

    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    place = Path(arguments.place)
    if arguments.source == "atheris":
        import atheris

        import tests.engine.published_files  # noqa: F401  (loads what is not to be followed)

        with atheris.instrument_imports(include=["engine"]):
            import engine.__main__
            import engine.batch.table
            import engine.line_cache
            import engine.motion.arkit_csv
            import engine.motion.bvh_clip
            import engine.pipeline
            import engine.published.files  # noqa: F401
    harness = Harness(arguments.work, arguments.source, place)
    harness.save()
    run: Callable[[Harness, int, int], None] = (
        with_atheris if arguments.source == "atheris" else with_hypothesis
    )
    run(harness, arguments.inputs, arguments.seed)


def processor_s(pid: int) -> float:
    """Processor time of a process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def watch(name: str, source: str, inputs: int, seed: int) -> Count:
    """Run a worker to its end, again where it dies, and count."""
    total = Count(name, source)
    while total.inputs < inputs:
        place = Path("/dev/shm") / f"kinesics-fuzz-{os.getpid()}-{random.randrange(1 << 30)}"
        place.mkdir(parents=True)
        try:
            died = _one_worker(total, place, inputs - total.inputs, seed + total.inputs)
        finally:
            subprocess.run(["rm", "-rf", str(place)], check=True)
        if died == "did not begin":
            raise SystemExit(
                f"{name}, {source}: the worker does not begin; see {FOLDER}/worker-{os.getpid()}.log"
            )
    return total


def _one_worker(total: Count, place: Path, inputs: int, seed: int) -> str:
    """Run one process; returns how it died, empty where it did not."""
    command = [
        sys.executable,
        __file__,
        "--work",
        total.reader,
        "--source",
        total.source,
        "--inputs",
        str(inputs),
        "--seed",
        str(seed),
        "--place",
        str(place),
    ]
    with Path(FOLDER, f"worker-{os.getpid()}.log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        died, now = "", place / "now"
        seen, looks = (0, 0.0), 0
        while process.poll() is None:
            time.sleep(LOOK_S)
            looks += 1
            changed = now.stat().st_mtime_ns if (place / "count.json").exists() and now.exists() else 0
            if not changed or changed != seen[0]:
                seen, looks = (changed, processor_s(process.pid)), 0
            elif processor_s(process.pid) - seen[1] > ENDLESS_S or looks > STILL_LOOKS:
                died = "no end"
                process.kill()
                process.wait()
    if not died and process.returncode != 0:
        died = f"the process died ({process.returncode})"
    if died:
        last = Path(log.name).read_text(errors="replace").strip().splitlines()[-40:]
        words = [line for line in last if re.match(r"\w+Error|Uncaught|Fatal| === Timeout", line)]
        died += f": {' / '.join(words)[:300]}"
    if not (place / "count.json").exists():
        return "did not begin"
    count = Count(**json.loads((place / "count.json").read_text()))
    total.inputs += count.inputs + bool(died)
    total.accepted += count.accepted
    total.refused += count.refused
    total.slowest_s = max(total.slowest_s, count.slowest_s)
    total.most_bytes = max(total.most_bytes, count.most_bytes)
    total.findings |= count.findings
    if died:
        data = now.read_bytes() if now.exists() else b""
        total.findings[f"died-{len(total.findings)}"] = f"{died} ({keep(f'{total.reader}-died', data).name})"
    return died


def shares(names: list[str], inputs: int) -> dict[str, int]:
    """How many inputs each reader gets."""
    weights = {name: 1.0 / SLOW.get(name, 1.0) for name in names}
    return {name: round(inputs * weight / sum(weights.values())) for name, weight in weights.items()}


def table(counts: list[Count]) -> str:
    """The result as a table."""
    lines = [
        "| reader | inputs | read | refused | slowest, s | largest growth, MB | findings |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    merged: dict[str, list[Count]] = {}
    for count in counts:
        merged.setdefault(count.reader, []).append(count)
    rows = [(name, *_sums(several)) for name, several in merged.items()]
    rows.append(("all", *_sums(counts)))
    for name, inputs, read, refused, slowest, most, findings in rows:
        lines.append(
            f"| {name} | {inputs:,} | {read:,} | {refused:,} | {slowest:.2f} | {most / 1e6:.1f} "
            f"| {findings} |"
        )
    return "\n".join(lines)


def _sums(counts: list[Count]) -> tuple[int, int, int, float, int, int]:
    return (
        sum(count.inputs for count in counts),
        sum(count.accepted for count in counts),
        sum(count.refused for count in counts),
        max(count.slowest_s for count in counts),
        max(count.most_bytes for count in counts),
        sum(len(count.findings) for count in counts),
    )


def again(path: Path) -> None:
    """Read a kept input once more and show what happens."""
    from tests.fuzz_readers import READERS

    name = max((name for name in READERS if path.name.startswith(name)), key=len)
    place = Path("/dev/shm") / f"kinesics-fuzz-{os.getpid()}"
    (place / READERS[name].file).parent.mkdir(parents=True)
    try:
        READERS[name].run(path.read_bytes(), place)
    finally:
        subprocess.run(["rm", "-rf", str(place)], check=True)


def main() -> int:
    """Run the readers; 1 where there was a finding."""
    from tests.fuzz_readers import IN_BLENDER, READERS

    parser = argparse.ArgumentParser(description="Damaged and forged input for every reader.")
    parser.add_argument(
        "--inputs",
        type=int,
        default=1_000_000,
        help="over all readers and both sources, also of those left out",
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", metavar="READER", choices=[*READERS, *IN_BLENDER])
    parser.add_argument(
        "--again", type=Path, metavar="FILE", help="read one kept input and show what happens"
    )
    parser.add_argument("--result", type=Path, default=FOLDER / "result.json", help="file for the counts")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--source", choices=list(SOURCES), help="only this one")
    parser.add_argument("--place", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments)
        return 0
    if arguments.again:
        again(arguments.again)
        return 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    counts: list[Count] = []
    every = shares([*READERS, *IN_BLENDER], arguments.inputs)
    for name, inputs in every.items():
        if name not in (arguments.only or every):
            continue
        parts = {arguments.source: 1.0} if arguments.source else SOURCES
        for source, part in (parts if name in READERS else {"hypothesis": 1.0}).items():
            began = time.monotonic()
            counts.append(watch(name, source, round(part * inputs), arguments.seed))
            count = counts[-1]
            rate = count.inputs / (time.monotonic() - began)
            print(
                f"{name}, {source}: {count.inputs} inputs, {count.accepted} read, {rate:.0f} a second",
                flush=True,
            )
            for finding in count.findings.values():
                print(f"  FINDING {finding}", flush=True)
        arguments.result.write_text(json.dumps([asdict(count) for count in counts], indent=1))
    print(table(counts))
    return int(any(count.findings for count in counts))


if __name__ == "__main__":
    sys.exit(main())
