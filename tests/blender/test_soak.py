# SPDX-License-Identifier: GPL-3.0-or-later
"""A short random session, and that the session notices what it is there for; `make soak` runs long ones."""

from __future__ import annotations

from typing import Any

import pytest

from tests.blender import soak


def test_a_random_session_loses_nothing_and_leaves_nothing(engine: Any) -> None:
    session = soak.run(num_steps=24, seed=3)
    assert not session.faults
    assert session.done.total() + session.refused.total() == 24


def test_an_action_that_is_left_over_is_noticed(
    engine: Any, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module("operators.bridge.takes"), "remove_unused", lambda _actions: None)
    monkeypatch.setattr(soak, "WEIGHTS", {"takes": 1, "delete a take": 1})
    assert any("left over: action" in fault for fault in soak.run(num_steps=20, seed=0).faults)


def test_keys_lost_around_a_stretch_are_noticed(
    engine: Any, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    action = module("operators.bridge.action")
    replace = action.replace_keys
    monkeypatch.setattr(
        action, "replace_keys", lambda curve, keys, first, last: replace(curve, keys, first - 3, last)
    )
    monkeypatch.setattr(soak, "WEIGHTS", {"regenerate": 1})
    assert any("outside" in fault for fault in soak.run(num_steps=1, seed=0).faults)
