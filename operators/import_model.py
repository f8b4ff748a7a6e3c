# SPDX-License-Identifier: GPL-3.0-or-later
"""Import Published Model: downloaded files become a model pack, in the background."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import bpy
from bpy.props import StringProperty

from ..engine.errors import Cancelled, EngineError
from . import engine_host, generate
from .errors import SetupError
from .job import Job, JobState
from .log import LOG
from .wording import worded

if TYPE_CHECKING:
    from ..engine.published.importer import ImportReport
    from .job import IsCancelled, ReportProgress

PACK_NAME = "language_of_motion"
"""Folder of the imported pack, beside those that a user keeps."""

_job: Job[ImportReport] | None = None


def import_state() -> JobState | None:
    """How far a running import is, for the preferences; None when none runs."""
    return None if _job is None else _job.poll()


def stop() -> None:
    """Cancel a running import and wait briefly for its thread; for unregister."""
    global _job
    job, _job = _job, None
    if job is not None:
        job.cancel()
        job.join(2.0)


def import_work(folder: Path, out: Path, progress: ReportProgress, cancelled: IsCancelled) -> ImportReport:
    """Do the import; runs in the worker."""
    with engine_host.importing():
        from ..engine.published.importer import import_published
    return import_published(folder, out, None, progress, cancelled)


class KINESICS_OT_import_model(bpy.types.Operator):
    """Make a model pack of the published Language of Motion model from its downloaded files, and choose it"""

    bl_idname = "kinesics.import_model"
    bl_label = "Import Published Model"

    directory: StringProperty(
        name="Folder",
        description="Folder with the downloaded files",
        subtype="DIR_PATH",
        options={"SKIP_SAVE"},
    )
    target: StringProperty(
        name="Model Pack",
        description="Folder to write; empty takes one among Blender's own user files",
        subtype="DIR_PATH",
        options={"SKIP_SAVE"},
    )

    _timer: bpy.types.Timer | None = None

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether no import runs."""
        if _job is not None:
            cls.poll_message_set("A model is being imported: wait for it or cancel it")
            return False
        return True

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Ask for the folder."""
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Start the import, and watch it; without a window do it at once."""
        global _job
        try:
            engine_host.check_packages()
            if not self.directory.strip():
                raise SetupError("No folder is chosen: choose the one with the downloaded files.")
            folder, out = Path(bpy.path.abspath(self.directory)), self._target()
            if bpy.app.background:
                return self._finish(context, import_work(folder, out, _silent, _never))
        except EngineError as error:
            self.report({"ERROR"}, worded(error))
            return {"CANCELLED"}
        _job = Job(lambda progress, cancelled: import_work(folder, out, progress, cancelled))
        _job.start()
        self._timer = context.window_manager.event_timer_add(generate.TICK_S, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Look at the import."""
        global _job
        if event.type != "TIMER" and _job is not None:
            return {"PASS_THROUGH"}
        if _job is not None and not _job.poll().finished and not _job.cancelled:
            _redraw(context)
            return {"PASS_THROUGH"}
        job, _job = _job, None
        if self._timer is not None:
            context.window_manager.event_timer_remove(self._timer)
            self._timer = None
        _redraw(context)
        if job is None:
            return {"CANCELLED"}
        try:
            return self._finish(context, job.result())
        except Cancelled as wish:
            self.report({"INFO"}, worded(wish))
        except EngineError as error:
            self.report({"ERROR"}, worded(error))
        return {"CANCELLED"}

    def cancel(self, context: bpy.types.Context) -> None:
        """Blender itself ends the operator, as when another file is loaded."""
        if self._timer is not None:
            context.window_manager.event_timer_remove(self._timer)
            self._timer = None
        stop()

    def _target(self) -> Path:
        """Where the pack goes."""
        if self.target.strip():
            return Path(bpy.path.abspath(self.target))
        return Path(bpy.utils.user_resource("DATAFILES", path="kinesics", create=True)) / PACK_NAME

    def _finish(self, context: bpy.types.Context, report: ImportReport) -> set[str]:
        """Choose the new pack and say what was left out."""
        preferences = generate.preferences_of(context)
        if preferences is not None:
            preferences.pack_dir = str(report.pack.root)
        for note in report.notes:
            LOG.warning("%s", note)
        notes = f"; {len(report.notes)} notes are in the console" if report.notes else ""
        self.report({"INFO"}, worded(f"{report.pack.name} is imported and chosen{notes}"))
        return {"FINISHED"}


class KINESICS_OT_import_model_cancel(bpy.types.Operator):
    """Stop the import; nothing has been written so far"""

    bl_idname = "kinesics.import_model_cancel"
    bl_label = "Cancel Import"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether an import runs."""
        if _job is None:
            cls.poll_message_set("No model is being imported")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Ask the import to stop."""
        if _job is not None:
            _job.cancel()
        return {"FINISHED"}


def _silent(fraction: float, text: str) -> None:
    """Progress that nobody sees."""


def _never() -> bool:
    """Nobody can stop what Blender waits for."""
    return False


def _redraw(context: bpy.types.Context) -> None:
    """Have the preferences drawn anew."""
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "PREFERENCES":
                area.tag_redraw()


CLASSES = (KINESICS_OT_import_model, KINESICS_OT_import_model_cancel)
