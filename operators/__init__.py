# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user can do: one module per verb."""

from __future__ import annotations

import inspect

CONTEXT = "Kinesics"
"""Blender's context for our words: in its own, "Face" is one of a mesh and "Feet" are a measure."""


def _classes() -> tuple[type, ...]:
    """Operator classes in the order of registration."""
    from . import (
        character,
        clip_io,
        dialogue,
        directions,
        export,
        faces,
        generate,
        ghost,
        import_model,
        install_engine,
        instructions,
        marks,
        packs,
        playblast,
        reading,
        regenerate,
        rigs,
        self_test,
        shaping,
        speech,
        takes,
    )

    return (
        *character.CLASSES,
        *speech.CLASSES,
        *generate.CLASSES,
        *instructions.CLASSES,
        *directions.CLASSES,
        *marks.CLASSES,
        *dialogue.CLASSES,
        *regenerate.CLASSES,
        *takes.CLASSES,
        *ghost.CLASSES,
        *reading.CLASSES,
        *shaping.CLASSES,
        *clip_io.CLASSES,
        *export.CLASSES,
        *playblast.CLASSES,
        *packs.CLASSES,
        *self_test.CLASSES,
        *install_engine.CLASSES,
        *import_model.CLASSES,
        *rigs.CLASSES,
        *faces.CLASSES,
    )


def describe(cls: type) -> None:
    """Make a class' docstring its tooltip, in one line; Blender would keep line breaks and indentation."""
    if "bl_description" not in vars(cls) and cls.__doc__:
        setattr(cls, "bl_description", " ".join(cls.__doc__.split()).removesuffix("."))  # noqa: B010


def register_class(cls: type) -> None:
    """Register a class, its name and those of its settings and their choices as words of this extension."""
    import bpy

    setattr(cls, "bl_translation_context", CONTEXT)  # noqa: B010
    written, settings = inspect.get_annotations(cls), inspect.get_annotations(cls, eval_str=True)
    for setting in settings.values():
        if hasattr(setting, "keywords"):
            setting.keywords["translation_context"] = CONTEXT
    cls.__annotations__ = settings
    try:
        bpy.utils.register_class(cls)
    finally:
        cls.__annotations__ = written  # what was made of them would keep the class alive; 4.2 crashes then


def register() -> None:
    """Register all operators."""
    from . import batch, install_engine

    install_engine.attach()
    batch.attach()
    for cls in _classes():
        describe(cls)
        register_class(cls)


def unregister() -> None:
    """Stop what runs, forget the engine and unregister all operators, last first."""
    import bpy

    from . import batch, engine_host, generate, ghost, import_model, install_engine

    generate.stop_all()
    import_model.stop()
    engine_host.release()
    ghost.detach()
    for cls in reversed(_classes()):
        bpy.utils.unregister_class(cls)
    batch.detach()
    install_engine.detach()
