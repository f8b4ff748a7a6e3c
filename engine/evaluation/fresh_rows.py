# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of the fresh wordings: some of every probe that nobody looked at while the pack was developed.

The unseen wordings of the other tables decided which mixtures shipped and which wordings were added to
training. These did not; they have no target.
"""

from __future__ import annotations

from ..data.captions import FRESH_WORDINGS
from .action_rows import Judge, does
from .probes import ACTION_PROBES, PROBES
from .report import Row
from .studio import Studio, text_request
from .text_rows import WORDING_SEEDS

TOPIC = "fresh wordings"


def fresh_rows(studio: Studio, judge: Judge) -> list[Row]:
    """How often clips made from fresh wordings do what their probe asks for.

    Args:
        studio: Engine and amount.
        judge: Tells what a clip is.

    Returns:
        Per probe a row over its wordings and one for each, then a row over all.
    """
    seeds = range(min(WORDING_SEEDS, studio.num_seeds))
    asked = [
        (probe, wording, seed)
        for probe in (*PROBES, *ACTION_PROBES)
        for wording in FRESH_WORDINGS[probe.prompt]
        for seed in seeds
    ]
    requests = [text_request(wording, probe.seconds, seed) for probe, wording, seed in asked]
    clips = judge.judge(studio.clips(requests, "fresh wordings"))
    done: dict[str, list[bool]] = {}
    for (probe, wording, _), clip in zip(asked, clips, strict=True):
        done.setdefault(wording, []).append(does(probe, clip))
    rows: list[Row] = []
    for prompt in dict.fromkeys(probe.prompt for probe, _, _ in asked):
        wordings = FRESH_WORDINGS[prompt]
        rows.append(_row(f'"{prompt}", fresh wordings', [d for text in wordings for d in done[text]]))
        rows += [_row(f'- "{text}"', done[text]) for text in wordings]
    return [*rows, _row(f"all {len(done)} fresh wordings", [d for values in done.values() for d in values])]


def _row(what: str, done: list[bool]) -> Row:
    """A share of clips."""
    return Row(TOPIC, what, f"{sum(done)} of {len(done)}", value=sum(done) / len(done))
