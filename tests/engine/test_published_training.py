# SPDX-License-Identifier: GPL-3.0-or-later
"""From an empty disk to a pack in the published layout, on miniature corpora and with tiny networks.

The commands of `docs/training.md` for that way are run here, in their order.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import save_file

from engine.data.__main__ import main as data_main
from engine.data.window import Window
from engine.errors import EngineError, PackError, RequestError
from engine.language.model import LanguageModel, LanguageModelConfig
from engine.packs import load_pack, rewrite_pack
from engine.pipeline import load_engine
from engine.published.choice import Release
from engine.published.engine import PublishedEngine
from engine.published.prompts import WORDINGS, Wordings
from engine.published.runs import Run, plan_runs
from engine.specs import PARTS, GenerateRequest, Part, PartDirection, SamplingOptions, Source, Task
from engine.training.__main__ import main as training_main
from engine.training.published_export import learnt_wordings
from engine.training.stage_recipe import STAGES
from engine.training.task_rows import PublishedRows
from engine.training.tasks.registry import TASKS, Shares

from . import published_files as made
from .test_data_readers import speech, write_amass, write_beat2, write_chapter, write_take

for package in ("transformers", "joblib", "sklearn", "accelerate"):
    pytest.importorskip(package, reason=f"needs {package} (requirements of training)")

WINDOW = 24
"""Codes of each part in a window of stage 3 here."""

LAYOUTS = {
    "face106": ("beat2",),
    "hands180": ("beat2", "amass"),
    "upper78": ("beat2", "amass"),
    "lower54": ("beat2", "amass"),
    "lower61": ("beat2", "amass"),
}
"""What each part's tokenizer and the root's network read, and of which corpora; AMASS has no faces."""

WALK = PartDirection(Source.TEXT, "a man walks")


class Shell:
    """Runs commands of the documentation in this process.

    Args:
        folder: Where everything is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def data(self, *words: object) -> None:
        """`python -m engine.data ...`."""
        assert data_main([str(word) for word in words]) == 0

    def training(self, *words: object) -> int:
        """`python -m engine.training ...`; returns its exit status."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["engine.training", *(str(word) for word in words)])
            return training_main()

    def recipe(self, name: str, **changes: object) -> Path:
        """A published recipe with some of its figures changed."""
        text = (STAGES / "published" / f"{name}.toml").read_text(encoding="utf-8")
        for key, value in changes.items():
            text, count = re.subn(rf"(?m)^{key} = [^#\n]*", f"{key} = {value} ", text)
            assert count == 1, (name, key)
        path = self.folder / f"{name}.toml"
        path.write_text(text, encoding="utf-8")
        return path


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """The corpora, HuBERT and FLAN-T5, all in the layouts in which they are published."""
    folder = tmp_path_factory.mktemp("lab")
    torch.manual_seed(0)
    takes = [("2_scott_0_1_1", "train"), ("2_scott_0_2_2", "val")]
    write_beat2(folder / "BEAT2", takes, frames=300)
    for speaker, split in enumerate(("train-clean-100", "dev-clean"), 19):
        name = f"{speaker}-198-0000"
        chapter = write_chapter(folder / "LS", split, [f"{name} A MAN WALKS"], [name])
        soundfile.write(chapter / f"{name}.flac", speech(4.0), 16000)
    write_take(folder / "AMASS" / "KIT" / "3" / "walk01_stageii.npz", 1200, 120.0, fingers=0.5)
    write_amass(folder / "AMASS", ["./pose_data/KIT/3/walk01_poses.npy,0,120,000001.npy"], ["000001"])
    made.save_fairseq(folder / "hubert.pt")
    made.save_centres(folder / "km.bin")
    made.save_words(folder / "flan" / "tokenizer.json")
    sizes = LanguageModelConfig(
        vocab_size=32128, d_model=16, d_ff=32, d_kv=8, num_heads=2, num_layers=1, num_decoder_layers=1
    )
    save_file(LanguageModel(sizes).state_dict(), folder / "flan" / "model.safetensors")
    return Shell(folder)


@pytest.fixture(scope="module")
def best(shell: Shell) -> Path:
    """Stage 3's best weights, from the features on."""
    folder = shell.folder
    roots = {"beat2": "BEAT2", "amass": "AMASS", "librispeech": "LS"}
    for layout, sources in LAYOUTS.items():
        for source in sources:
            shell.data(
                *("features", "--source", source, "--root", folder / roots[source]),
                *("--layout", layout, "--out", folder / "features" / layout),
            )
    for part, (layout, sources) in zip((*PARTS, "root"), LAYOUTS.items(), strict=True):
        sizes = {} if part == "root" else {"codebook_size": 16}
        recipe = shell.recipe(part, width=8, max_steps=2, batch=4, evaluate_steps=2, **sizes)
        corpora = [folder / "features" / layout / source for source in sources]
        status = shell.training(
            *("stage", "--recipe", recipe, "--features", *corpora, "--out", folder / "one" / part)
        )
        assert status == 0
    assert shell.training("join-tokenizers", "--weights", folder / "one", "--out", joined(shell)) == 0
    for source, root in roots.items():
        shell.data(
            *("prepare", "--source", source, "--root", folder / root, *tokenizers(shell)),
            *("--out", folder / "shards", "--processes", "1"),
        )
    small = {"d_model": 16, "d_ff": 32, "d_kv": 8, "num_heads": 2, "num_layers": 1, "num_decoder_layers": 1}
    small |= {"max_steps": 2, "batch": 4, "evaluate_steps": 2, "precision": '"no"'}
    shards = ("--shards", *(folder / "shards" / source for source in roots))
    start = shell.recipe("pretraining", **small, start=f'"{folder / "flan"}"')
    assert (
        shell.training("stage", "--recipe", start, *tokenizers(shell), *shards, "--out", folder / "two") == 0
    )
    tuning = shell.recipe(
        "all-tasks",
        **small,
        start=f'"{folder / "two" / "best.pt"}"',
        words=f'"{folder / "flan" / "tokenizer.json"}"',
        window_steps=WINDOW,
    )
    assert (
        shell.training("stage", "--recipe", tuning, *tokenizers(shell), *shards, "--out", folder / "three")
        == 0
    )
    return folder / "three" / "best.pt"


def joined(shell: Shell) -> Path:
    """The file of all motion tokenizers."""
    return shell.folder / "one" / "tokenizers.pt"


def tokenizers(shell: Shell) -> tuple[object, ...]:
    """Options that say what makes the codes: HuBERT and its centres as they are published."""
    return (
        *("--tokenizers", joined(shell), "--hubert", shell.folder / "hubert.pt"),
        *("--centres", shell.folder / "km.bin"),
    )


def export(shell: Shell, weights: Path, out: Path, *words: object) -> int:
    """Run `export-stage`."""
    return shell.training("export-stage", "--weights", weights, *(words or tokenizers(shell)), "--out", out,
                          "--words", shell.folder / "flan" / "tokenizer.json")  # fmt: skip


@pytest.fixture(scope="module")
def engine(shell: Shell, best: Path) -> PublishedEngine:
    """The exported pack, loaded as the extension loads it."""
    assert export(shell, best, shell.folder / "pack") == 0
    loaded = load_engine(shell.folder / "pack", "cpu")
    assert isinstance(loaded, PublishedEngine)
    return loaded


def test_the_pack_speaks_and_obeys(engine: PublishedEngine) -> None:
    wave = speech(5.0)  # 38 codes of each part: two windows
    options = SamplingOptions(seed=3)
    spoken = engine.generate(GenerateRequest(waveform=wave, sampling=options))
    assert spoken.clip.num_frames == 150
    assert {part: len(codes) for part, codes in spoken.codes.items()} == dict.fromkeys(PARTS, 38)
    told = engine.generate(GenerateRequest(dict.fromkeys(PARTS, WALK), duration_s=2.0, sampling=options))
    assert told.clip.num_frames == 60 and {len(codes) for codes in told.codes.values()} == {15}
    both = engine.generate(GenerateRequest({Part.LOWER: WALK}, wave, duration_s=2.0, sampling=options))
    assert both.clip.num_frames == 60 and set(both.codes) == set(PARTS)
    for clip in (spoken.clip, told.clip, both.clip):
        assert np.isfinite(clip.poses).all() and np.isfinite(clip.trans).all()


def test_one_language_model_serves_speech_and_words(engine: PublishedEngine) -> None:
    assert engine.models[Release.SPEECH] is engine.models[Release.TEXT]
    names = [name for name in engine.pack.table("files") if "language" in name]
    assert names == ["language_model.safetensors"]


def test_the_pack_holds_the_trained_weights(engine: PublishedEngine, best: Path) -> None:
    held = torch.load(best, weights_only=True)["model"]
    found = engine.pack.tensors("language_model.safetensors")
    assert {f"model.{name}" for name in found} == {name for name in held if "reading" not in name}
    assert all(torch.equal(tensor, held[f"model.{name}"]) for name, tensor in found.items())


def test_the_model_is_asked_as_it_was_taught(shell: Shell, engine: PublishedEngine) -> None:
    """The engine's words for a window are those of the training's row for that window and template."""
    model = engine.models[Release.SPEECH].model
    rows = PublishedRows.read(model.vocabulary, shell.folder / "flan" / "tokenizer.json", 512)
    assert model.wordings is not None and set(model.wordings.templates) == {
        Task.AUDIO_TO_MOTION, Task.TEXT_TO_MOTION, Task.AUDIO_TEXT_TO_MOTION,
    }  # fmt: skip
    random = np.random.default_rng(0)
    codes = {part: random.integers(0, 16, (15, 1)) for part in PARTS}
    heard = random.integers(0, made.NUM_CENTRES, 160)
    body = (Part.UPPER, Part.LOWER)
    cases = {
        Task.AUDIO_TO_MOTION: (PARTS, heard, (), Run(Release.SPEECH, PARTS, "")),
        Task.TEXT_TO_MOTION: (body, None, body, Run(Release.TEXT, body, "a man walks")),
        Task.AUDIO_TEXT_TO_MOTION: (PARTS, heard, body, Run(Release.SPEECH, PARTS, "a man walks", body)),
    }
    for task, (parts, sound, described, run) in cases.items():
        window = Window(
            "test", 0.0, 2.0, {part: codes[part] for part in parts},
            None if sound is None else sound[:100, None], captions=("a man walks.",), described=described,
        )  # fmt: skip
        template = model.wordings.templates[task]
        taught = next(one for one in TASKS if template in one.templates)
        example = taught.fill(window, random, template, Shares(quoted=0.0))
        assert run.prompt(heard.tolist(), 0, 15, 7.5, model) == rows.row(example).source


def test_parts_go_in_one_pass_only_where_that_was_learnt() -> None:
    sources = dict.fromkeys(PARTS, Source.SPEECH) | {Part.LOWER: Source.TEXT}
    learnt = {"mixture": {"audio_to_motion": 1.0, "audio_text_to_motion": 1.0, "continue": 1.0}}
    learnt |= {"combined": 0.5, "window_steps": 24, "max_length": 512}
    joint = learnt_wordings({"learnt": learnt})
    apart = learnt_wordings({"learnt": learnt | {"combined": 0.0}})
    assert set(joint.templates) - set(apart.templates) == {Task.AUDIO_TEXT_TO_MOTION}
    texts = {Part.LOWER: "walk"}
    assert plan_runs(sources, texts, joint) == [Run(Release.SPEECH, PARTS, "walk", (Part.LOWER,))]
    two = [Run(Release.SPEECH, PARTS[:3], ""), Run(Release.TEXT, (Part.LOWER,), "walk")]
    assert plan_runs(sources, texts, apart) == plan_runs(sources, texts, None) == two
    upper = dict.fromkeys(PARTS, Source.SPEECH) | {Part.UPPER: Source.TEXT}
    assert len(plan_runs(upper, {Part.UPPER: "wave"}, joint)) == 2, "never taught beside a speech"
    for template in joint.templates.values():
        assert template.find("{caption}") < template.index("{audio}"), "what is too long loses its end"


def test_what_was_not_learnt_is_refused(
    shell: Shell, best: Path, engine: PublishedEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RequestError, match="no published demo"):
        engine.generate_as_published(GenerateRequest(waveform=speech(1.0)))
    assert export(shell, shell.folder / "two" / "best.pt", tmp_path / "a") == 1
    assert "train stage 3" in capsys.readouterr().err
    other = made.save_fairseq(tmp_path / "other.pt")
    options = ("--tokenizers", joined(shell), "--hubert", other, "--centres", shell.folder / "km.bin")
    assert export(shell, best, tmp_path / "a", *options, "--layer", "9") == 1
    assert "not the ones" in capsys.readouterr().err
    assert shell.training("export-stage", "--weights", best, *tokenizers(shell), "--out", tmp_path / "a") == 1
    assert "--words" in capsys.readouterr().err and not (tmp_path / "a").exists()
    pack = rewrite_pack(engine.pack, tmp_path / "speech", {"follows": ["speech"]}, {})
    mute = load_engine(pack.root, "cpu")
    with pytest.raises(EngineError, match="not trained to follow written"):
        mute.generate(GenerateRequest(dict.fromkeys(PARTS, WALK), duration_s=1.0))


@pytest.mark.parametrize(
    "damage",
    [
        {"window_steps": 0}, {"max_words": 10**9}, {"audio_to_motion": "{audio} {__class__}"},
        {"audio_to_motion": "x" * 500}, {"text_to_motion": 3},
    ],
)  # fmt: skip
def test_damaged_templates_are_refused(
    engine: PublishedEngine, tmp_path: Path, damage: dict[str, object]
) -> None:
    table = dict(engine.pack.table(WORDINGS)) | damage
    pack = rewrite_pack(engine.pack, tmp_path / "pack", {WORDINGS: table}, {})
    with pytest.raises(PackError):
        Wordings.from_pack(load_pack(pack.root))
