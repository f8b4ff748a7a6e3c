# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors an animator may see. Every message is one sentence that says what to do about it."""


class EngineError(Exception):
    """Base of every expected failure; its text is shown to the animator as it is."""


class AudioError(EngineError):
    """The sound cannot be used: missing, corrupt, silent, too short or too long."""


class InstructionError(EngineError):
    """A written instruction cannot be used: empty, too long or not in English."""


class RequestError(EngineError):
    """The parts of a request do not fit together."""


class ClipError(EngineError):
    """A motion file or clip has the wrong layout, rate or values."""


class DataError(EngineError):
    """A file of a training corpus is missing, damaged or partial."""


class PackError(EngineError):
    """A model pack is missing, damaged, of another version, or not safe to load."""


class CodeRangeError(EngineError):
    """A code lies outside its codebook."""


class DeviceError(EngineError):
    """The wanted device is absent or out of memory."""


class StorageError(EngineError):
    """A file or folder cannot be written: no room, no right to, or no such folder."""


class InstallError(EngineError):
    """The packages the engine needs cannot be installed here, or are not whole."""


class Cancelled(EngineError):
    """The user asked to stop."""
