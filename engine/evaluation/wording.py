# SPDX-License-Identifier: GPL-3.0-or-later
"""How close texts are to references: BLEU-1, ROUGE-L and CIDEr of `pycocoevalcap` (the caption evaluation of
COCO, whose figures the field prints), BERTScore of `bert_score` where its model is given.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EngineError
from .libraries import development_library


@dataclass(frozen=True)
class WordScore:
    """Texts against their references.

    Attributes:
        bleu_1: Share of words that a reference holds, with the brevity penalty, 0 to 1.
        rouge_l: F of the longest common subsequence, 0 to 1.
        cider: Weighted n-gram agreement, 0 to 10.
        bert_f1: F1 of BERTScore, or None without its model.
    """

    bleu_1: float
    rouge_l: float
    cider: float
    bert_f1: float | None = None

    def text(self) -> str:
        """All of them, in words."""
        told = f"BLEU-1 {self.bleu_1:.3f}, ROUGE-L {self.rouge_l:.3f}, CIDEr {self.cider:.3f}"
        return told if self.bert_f1 is None else f"{told}, BERTScore F1 {self.bert_f1:.3f}"


def score_words(
    told: Sequence[str], references: Sequence[Sequence[str]], bert: Path | None = None
) -> WordScore:
    """Compare texts with their references.

    Args:
        told: At least one.
        references: At least one for each.
        bert: Folder of a Hugging Face encoder for BERTScore.

    Raises:
        EngineError: If a metric library is missing, or there is no model in the folder.
    """
    made = {number: [_plain(text)] for number, text in enumerate(told)}
    true = {number: [_plain(text) for text in texts] for number, texts in enumerate(references)}
    bleu = _scorer("bleu.bleu", "Bleu")(1)
    return WordScore(
        bleu_1=float(bleu.compute_score(true, made, verbose=0)[0][0]),
        rouge_l=float(_scorer("rouge.rouge", "Rouge")().compute_score(true, made)[0]),
        cider=float(_scorer("cider.cider", "Cider")().compute_score(true, made)[0]),
        bert_f1=None if bert is None else _bert_f1(made, true, bert),
    )


def chance_words(
    told: Sequence[str], references: Sequence[Sequence[str]], bert: Path | None = None, times: int = 10
) -> WordScore:
    """The same texts told of other items: means over random orders.

    Args:
        told: As for `score_words`.
        references: As for `score_words`.
        bert: As for `score_words`; read in the first order alone, as each reading loads the model.
        times: Orders.
    """
    random = np.random.default_rng(0)
    orders: list[list[int]] = [random.permutation(len(told)).tolist() for _ in range(times)]
    scores = [
        score_words([told[n] for n in order], references, None if number else bert)
        for number, order in enumerate(orders)
    ]
    return WordScore(
        bleu_1=float(np.mean([score.bleu_1 for score in scores])),
        rouge_l=float(np.mean([score.rouge_l for score in scores])),
        cider=float(np.mean([score.cider for score in scores])),
        bert_f1=scores[0].bert_f1,
    )


def _plain(text: str) -> str:
    """Small-letter words, one blank between them; the libraries split at blanks."""
    return " ".join(re.findall(r"[a-z0-9']+", text.lower())) or "nothing"


def _scorer(module: str, name: str) -> Any:
    """A class of the caption library."""
    return getattr(development_library(f"pycocoevalcap.{module}"), name)


def _bert_f1(made: dict[int, list[str]], true: dict[int, list[str]], folder: Path) -> float:
    """Mean over texts of the best F1 with one of the references, unscaled.

    The layer is the library's choice where the folder is called as the model it knows, else the last one.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        last = int(config["num_hidden_layers"])
    except (OSError, ValueError, KeyError) as problem:
        raise EngineError(
            f"There is no model for BERTScore in {folder}; choose the folder with its config.json."
        ) from problem
    known: dict[str, int] = development_library("bert_score.utils").model2layers
    _, _, found = development_library("bert_score").score(
        [texts[0] for texts in made.values()],
        list(true.values()),
        model_type=str(folder),
        num_layers=known.get(folder.name, last),
    )
    return float(found.mean())
