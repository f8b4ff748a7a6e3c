# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory of the published model inside Blender's process, with random weights of its real size.

    python benchmarks/published_memory.py [--fast] [--seconds 10] [--folder build/published-size]

Blender (the bpy wheel) is imported first, and memory is counted from there, torch and the speech model
included. The pack is made once, by the import of files of the published layouts, and kept in the folder.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.memory import Peak, resident_mb  # noqa: E402

FAST_LIMIT_MB, LIMIT_MB = 1200.0, 2000.0
"""Beyond Blender, the decoder in eight bits and as it is used otherwise."""

CODEBOOK = 256


def make_pack(folder: Path) -> Path:
    """A published pack of random weights in the released sizes (lom-spec 2.5, 3.1, 5)."""
    if (folder / "pack" / "pack.toml").is_file():
        return folder / "pack"
    import torch
    from transformers import HubertConfig, HubertModel

    from benchmarks.decode import flan_case
    from engine.published.importer import import_published
    from engine.specs import PARTS, Part
    from engine.tokenizers.motion_vqvae import Family, MotionVQVAE, MotionVQVAEConfig
    from tests.engine import published_files as made

    torch.manual_seed(0)
    state = dict[str, torch.Tensor]()
    for part in PARTS:
        layers = 4 if part is Part.LOWER else 2
        config = MotionVQVAEConfig(Family.CONV, made.WIDTHS[part], 256, CODEBOOK, layers, code_dim=256)
        network = MotionVQVAE(config).state_dict()
        state |= {f"vae_{made.WORDS[part]}.{name}": tensor for name, tensor in network.items()}
    root = MotionVQVAE(MotionVQVAEConfig(Family.CONV_PLAIN, 61, 256, 1, 4, code_dim=256)).state_dict()
    state |= {f"vae_global.{name}": tensor for name, tensor in root.items()}
    files = folder / "files"
    made.lightning(state, files / "vq_emage_speaker_2.ckpt")
    made.lightning(made.language_state(flan_case().model), files / "Instruct_Mixed_A2M_LM.ckpt")
    made.save_words(files / "tokenizer.json")
    torch.save({"model": made.hubert_state(HubertModel(HubertConfig()))}, files / "hubert.pt")
    centres = np.random.default_rng(0).standard_normal((500, 768)).astype(np.float32)
    np.savez(files / "centres.npz", centres=centres)
    import_published(files, folder / "pack")
    return folder / "pack"


def main() -> int:
    """Print the table; 1 when the limit is broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--torch", action="store_true", help="as without ONNX Runtime")
    parser.add_argument("--fast", action="store_true", help="the decoder in eight bits")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "published-size")
    arguments = parser.parse_args()
    if not (arguments.folder / "pack" / "pack.toml").is_file():
        import subprocess  # a process of its own, so that the import's memory does not count

        code = "import pathlib, sys; from benchmarks.published_memory import make_pack as make"
        code += "; make(pathlib.Path(sys.argv[1]))"
        subprocess.run([sys.executable, "-c", code, str(arguments.folder)], cwd=ROOT, check=True)
    import bpy  # noqa: F401

    base = resident_mb()
    from engine.language import decoder
    from engine.pipeline import load_engine
    from engine.specs import GenerateRequest, SamplingOptions

    if arguments.torch:
        decoder.onnx_is_there = lambda: False
    with Peak() as peak:
        engine = load_engine(arguments.folder / "pack", "cpu", fast=arguments.fast)
    print(f"loading: {peak.mb - base:6.0f} MB at most beyond Blender, then {resident_mb() - base:6.0f} MB")
    wave = np.random.default_rng(0).standard_normal(round(arguments.seconds * 16000)) * 0.1
    request = GenerateRequest(waveform=wave.astype(np.float32), sampling=SamplingOptions(seed=1))
    limit = FAST_LIMIT_MB if arguments.fast and not arguments.torch else LIMIT_MB
    worst = peak.mb - base
    for _ in range(2):
        begin, heard_mb = time.perf_counter(), 0.0
        with Peak() as peak:

            def report(fraction: float, text: str) -> None:
                nonlocal heard_mb
                if text == "Moving the body" and not heard_mb:
                    heard_mb, peak.mb = peak.mb, resident_mb()

            engine.generate(request, report)
        worst = max(worst, heard_mb - base, peak.mb - base)
        print(
            f"{arguments.seconds:g} s of speech: {heard_mb - base:6.0f} MB at most while listening, "
            f"{peak.mb - base:6.0f} MB while writing, then {resident_mb() - base:6.0f} MB; "
            f"{time.perf_counter() - begin:.1f} s",
            flush=True,
        )
    if worst > limit:
        print(f"over the limit: {limit:.0f} MB")
    return int(worst > limit)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # bpy 4.5 can hang while leaving
