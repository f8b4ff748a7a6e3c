# SPDX-License-Identifier: GPL-3.0-or-later
"""From the downloaded files of the published model to one pack."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from ..errors import Cancelled, PackError
from ..motion.published_features import Layout, layout_width
from ..motion.smplx_file import load_smplx_mesh
from ..packs import PUBLISHED, Pack, write_pack
from ..specs import AUDIO_HZ, MOTION_FPS, PARTS, CancelCheck, Part, ProgressCallback, no_report
from ..tokenizers.published import Shapes, tokenizer_shapes
from ..tokenizers.vocabulary import Vocabulary
from ..weights.torch_file import MAX_READ_BYTES
from .choice import HOME, Choice, Release, choose
from .files import Findings, MotionNetwork, find_files
from .four_part_files import FOUR_PART_HOME, LEFT_OUT, NEEDS_LISTENER, choose_four_part
from .language import RELEASED_AUDIO_START, language_shapes, language_weights, published_words
from .qwen import HEAD, qwen_shapes
from .speech import speech_weights

MOTION_FILE = "motion.safetensors"
LANGUAGE_FILE = "language_model.safetensors"
SPEECH_FILE = "speech.safetensors"
WORDS_FILE = "tokenizer.json"
BODY_FILE = "body.safetensors"
JUDGE_FILE = "scores.safetensors"
CARD_FILE = "README.md"
"""Files of a published pack; those of speech, body and scores are optional."""

ROOT_NAME = "root"
CENTRES_NAME = "centres"
SPEECH_PREFIX = "hubert."
BODY_ARRAYS = ("vertices", "triangles", "weights", "rest_joints", "expressions")

AUDIO_LAYERS = (12, 9)
"""Layers of the speech model that may be compared with the centres. The published scripts read the twelfth,
though the centres were made for the ninth (spec 5)."""

LICENCE = "For research only, under the terms of each downloaded file; do not pass this pack on."

_OTHER_BYTES = 1 << 26
"""Room for what is not weights: vocabulary, body model, card."""

_NAMES = {Release.SPEECH: "speech to motion", Release.TEXT: "text to motion"}
_CARD = """# The Language of Motion, {name}

Made by Kinesics from files that you downloaded ({home} and others). Their terms hold for this pack too:
{licence}

Paper: Chen, Zhang et al., The Language of Motion, CVPR 2025 (arXiv 2412.10523).

## Made from

{sources}
"""


@dataclass(frozen=True)
class ImportOptions:
    """What the files do not say.

    Attributes:
        release: Which of the published models; None takes each one of the first version whose files are
            there, and the four-part model where only that one is.
        audio_layer: Layer of the speech model that is compared with the centres.
        audio_start: Number of the audio start; the end follows it.
    """

    release: Release | None = None
    audio_layer: int = AUDIO_LAYERS[0]
    audio_start: int = RELEASED_AUDIO_START


@dataclass(frozen=True)
class ImportReport:
    """What was done.

    Attributes:
        pack: The new pack.
        sources: Which file gave what, one sentence part each.
        notes: What is absent but not needed, and files that cannot be used; a sentence each.
    """

    pack: Pack
    sources: tuple[str, ...]
    notes: tuple[str, ...]


def import_published(
    folder: Path,
    out: Path,
    options: ImportOptions | None = None,
    progress: ProgressCallback | None = None,
    cancel: CancelCheck | None = None,
) -> ImportReport:
    """Find, check and convert the published model.

    Args:
        folder: Folder with the downloaded files, in any arrangement.
        out: Pack folder to make; an older pack there is replaced, anything else is left alone.
        options: What the files do not say.
        progress: Told how far it is.
        cancel: Asked between files.

    Returns:
        The pack and what was found.

    Raises:
        MissingFilesError: If something is missing; it says what and where people get it.
        PackError: If files are damaged, unsafe or do not belong together.
        Cancelled: If `cancel` said so; nothing has been written then.
    """
    options = options or ImportOptions()
    report = progress or no_report
    check_target(out)
    report(0.0, "Looking through the folder")
    findings = find_files(folder, cancel)
    wants_four_part = options.release is None and findings.four_part and not findings.language
    if wants_four_part or options.release is Release.FOUR_PART:
        return _import_four_part(findings, out, report, cancel)
    choices = choose(findings, options.release)
    vocabularies = [_check_together(choice, options) for choice in choices]
    sources = tuple(dict.fromkeys(source for choice in choices for source in _sources(choice)))
    name = " and ".join(_NAMES[choice.release] for choice in choices)
    about: dict[str, object] = {
        "name": f"The Language of Motion, {name}",
        "version": "1",
        "licence": LICENCE,
        "release": choices[0].release.value,
        "sources": list(sources),
    }
    models = [*zip(choices, vocabularies, strict=True)]
    pack = write_models(
        models, options.audio_layer, about, _card(name, sources, HOME), out, progress=report, cancel=cancel
    )
    left = (LEFT_OUT,) if findings.four_part else ()
    return ImportReport(pack, sources, (*choices[0].notes, *left, *findings.refused))


def write_models(
    models: Sequence[tuple[Choice, Vocabulary]],
    audio_layer: int,
    about: Mapping[str, object],
    card: str,
    out: Path,
    *,
    progress: ProgressCallback | None = None,
    cancel: CancelCheck | None = None,
) -> Pack:
    """Write models of the published kind as one pack.

    Args:
        models: Files and vocabulary of each; the first one's speech model and words serve all.
        audio_layer: Layer of the speech model that is compared with the centres.
        about: What `pack.toml` says of the whole pack: name, version, licence and release at least.
        card: The pack's card.
        out: Pack folder; an older pack there is replaced.
        progress: Told how far it is.
        cancel: Asked between files.

    Raises:
        PackError: If weights are damaged, or there is no room for them.
        Cancelled: If `cancel` said so; nothing has been written then.
    """
    report = progress or no_report
    choices = [choice for choice, _ in models]
    _check_space(_all_shapes(choices), out)
    first = choices[0]
    steps: dict[str, Callable[[], dict[str, Tensor]]] = {}
    for choice in choices:
        prefix = "" if choice is first else f"{choice.release.value}_"
        steps[prefix + MOTION_FILE] = partial(_motion_tensors, choice.motion, choice.root)
        steps[prefix + LANGUAGE_FILE] = partial(_language_tensors, choice)
    steps[SPEECH_FILE] = lambda: _speech_tensors(first)
    steps[BODY_FILE] = lambda: _body_tensors(first)
    steps[JUDGE_FILE] = lambda: {} if first.judge is None else first.judge.read(list(first.judge.names))
    tensors = _read_all(steps, report, cancel)
    info: dict[str, object] = {"kind": PUBLISHED, **about}
    if first.speech is not None:
        info["speech"] = {"layer": audio_layer, "model": first.speech[1].to_dict()}
    info |= _model_info(*models[0])
    for choice, vocabulary in models[1:]:
        info[choice.release.value] = _model_info(choice, vocabulary)
    pack = write_pack(out, info, tensors, {WORDS_FILE: first.words, CARD_FILE: card})
    report(1.0, "Done")
    return pack


def _import_four_part(
    findings: Findings, out: Path, report: ProgressCallback, cancel: CancelCheck | None
) -> ImportReport:
    """Convert the four-part release; arguments and errors as in `import_published`."""
    files = choose_four_part(findings)
    _check_space([*map(tokenizer_shapes, files.motion_configs), qwen_shapes(files.language.config)], out)
    steps: dict[str, Callable[[], dict[str, Tensor]]] = {
        MOTION_FILE: lambda: _motion_tensors(files.motion, files.root),
        LANGUAGE_FILE: lambda: files.language_tensors(),
    }
    tensors = _read_all(steps, report, cancel)
    sources = files.sources
    info = files.info(tied=HEAD not in tensors[LANGUAGE_FILE]) | {
        "kind": PUBLISHED,
        "name": "The Language of Motion, four parts",
        "version": "1",
        "licence": LICENCE,
        "release": Release.FOUR_PART.value,
        "sources": list(sources),
    }
    pack = write_pack(out, info, tensors, {CARD_FILE: _card("four parts", sources, FOUR_PART_HOME)})
    report(1.0, "Done")
    return ImportReport(pack, sources, (NEEDS_LISTENER, *findings.refused))


def _read_all(
    steps: Mapping[str, Callable[[], dict[str, Tensor]]],
    report: ProgressCallback,
    cancel: CancelCheck | None,
) -> dict[str, Mapping[str, Tensor]]:
    """The tensors of each file of the pack; files without any are left out."""
    tensors: dict[str, Mapping[str, Tensor]] = {}
    for index, (name, read) in enumerate(steps.items()):
        if cancel is not None and cancel():
            raise Cancelled("The import was stopped.")
        report(0.2 + 0.5 * index / len(steps), "Reading the model")
        if held := read():
            tensors[name] = held
    if cancel is not None and cancel():
        raise Cancelled("The import was stopped.")
    report(0.7, "Writing the model pack")
    return tensors


def _card(name: str, sources: tuple[str, ...], home: str) -> str:
    """The pack's card."""
    return _CARD.format(name=name, home=home, licence=LICENCE, sources="\n".join(f"- {s}" for s in sources))


def check_target(out: Path) -> None:
    """Make sure that nothing but an older pack would be replaced.

    Raises:
        PackError: If something else is there.
    """
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise PackError(f"{out.name} is not a folder; choose another place for the pack.")
    if out.is_dir() and any(out.iterdir()) and not (out / "pack.toml").is_file():
        raise PackError(f"The folder {out.name} holds other files; choose an empty one for the pack.")


def _check_together(choice: Choice, options: ImportOptions) -> Vocabulary:
    """Make sure that the chosen files fit each other and the options.

    Returns:
        The vocabulary they share.

    Raises:
        PackError: If they do not.
    """
    weights, config = choice.language
    codebooks = {part: choice.motion[part].config.codebook_size for part in PARTS}
    vocabulary = published_words(config.vocab_size, codebooks, options.audio_start, weights.path.name)
    if choice.speech is not None:
        _, speech, path, centres = choice.speech
        if not 0 <= options.audio_layer <= speech.num_layers:
            raise PackError(
                f"The speech model has {speech.num_layers} layers, so layer {options.audio_layer} cannot be "
                "read; choose a lower one."
            )
        if len(centres) > options.audio_start:
            raise PackError(
                f"The {len(centres)} centres in {path.name} do not fit audio that starts at number "
                f"{options.audio_start}; use the centres published with the model."
            )
    return vocabulary


def _all_shapes(choices: list[Choice]) -> list[Shapes]:
    """Shapes of the weights of all networks."""
    networks = [network for choice in choices for network in (*choice.motion.values(), choice.root)]
    shapes: list[Shapes] = [tokenizer_shapes(network.config) for network in networks]
    shapes += [language_shapes(choice.language[1]) for choice in choices]
    if choices[0].speech is not None:
        shapes.append(choices[0].speech[1].shapes())
    return shapes


def _check_space(shapes: list[Shapes], out: Path) -> None:
    """Make sure that the weights fit into memory's limit and on the disk."""
    wanted = 4 * sum(prod(shape) for table in shapes for shape in table.values()) + _OTHER_BYTES
    if wanted > MAX_READ_BYTES:
        raise PackError("The weights are far larger than the published ones; download the files again.")
    place = next(folder for folder in (out, *out.absolute().parents) if folder.is_dir())
    if shutil.disk_usage(place).free < wanted:
        raise PackError(
            f"There is no room for the pack, which needs {wanted / 1e9:.1f} GB; free some or choose "
            "another disk."
        )


def _motion_tensors(motion: Mapping[Part, MotionNetwork], root: MotionNetwork) -> dict[str, Tensor]:
    """Weights of all motion networks, named `face.*` to `lower.*` and `root.*`."""
    networks = {part.value: motion[part] for part in PARTS} | {ROOT_NAME: root}
    return {
        f"{whose}.{name}": tensor.float()
        for whose, network in networks.items()
        for name, tensor in network.weights.read(list(network.weights.names)).items()
    }


def _language_tensors(choice: Choice) -> dict[str, Tensor]:
    """Weights of the language model."""
    weights, config = choice.language
    return language_weights(config, weights.names, weights.read, weights.path.name)


def _speech_tensors(choice: Choice) -> dict[str, Tensor]:
    """Weights of the speech model and its centres; empty without one."""
    if choice.speech is None:
        return {}
    weights, config, _, centres = choice.speech
    held = speech_weights(config, weights.read)
    return {CENTRES_NAME: centres} | {SPEECH_PREFIX + name: tensor for name, tensor in held.items()}


def _body_tensors(choice: Choice) -> dict[str, Tensor]:
    """Arrays of the body model; empty without one."""
    if choice.body is None:
        return {}
    mesh = load_smplx_mesh(choice.body)
    return {name: torch.from_numpy(getattr(mesh, name)) for name in BODY_ARRAYS}


def _sources(choice: Choice) -> tuple[str, ...]:
    """Which file gave what; names only, no places."""
    motion = sorted({network.weights.path.name for network in choice.motion.values()})
    sources = [
        f"motion networks: {', '.join(motion)}",
        f"path over the floor: {choice.root.weights.path.name}",
        f"language model: {choice.language[0].path.name}",
        f"vocabulary of FLAN-T5: {choice.words.name}",
    ]
    if choice.speech is not None:
        sources.append(f"speech model: {choice.speech[0].path.name}, centres: {choice.speech[2].name}")
    if choice.body is not None:
        sources.append(f"SMPL-X body: {choice.body.name}")
    if choice.judge is not None:
        sources.append(f"network for published scores: {choice.judge.path.name}")
    return tuple(sources)


def _model_info(choice: Choice, vocabulary: Vocabulary) -> dict[str, object]:
    """What `pack.toml` says of one model."""
    stride = choice.motion[PARTS[0]].config.stride
    widths = {layout_width(layout): layout.value for layout in Layout}
    return {
        "rates": {
            "motion_fps": MOTION_FPS,
            "audio_hz": AUDIO_HZ,
            "code_steps_per_s": MOTION_FPS / stride,
            "audio_steps_per_s": 50,
        },
        "layouts": {part.value: widths[choice.motion[part].config.feature_dim] for part in PARTS},
        "vocabulary": vocabulary.to_dict(),
        "tokenizers": {
            **{part.value: choice.motion[part].config.to_dict() for part in PARTS},
            ROOT_NAME: choice.root.config.to_dict(),
        },
        "language_model": choice.language[1].to_dict(),
    }
