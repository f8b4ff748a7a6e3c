# SPDX-License-Identifier: GPL-3.0-or-later
"""Instructions for captured clips: many wordings of each action, in several registers.

A wording is kept as a verb phrase whose first word is a plain verb ("walk straight ahead"); grammar turns it
into the instruction itself, a description in the third person ("a person walks straight ahead"), the
continuous form and a request to a director. Words for speed come from the measured speed, never from a clip's
label. Some wordings are held out: they never occur in training, so that obeying them shows that the model
reads English and does not look captions up.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path

from .contexts import ANYWHERE, DOERS, ENDINGS, LEADS, MORE_PHRASES, NOUNS, PLACED
from .wordings import PHRASES, SPEED_ADJECTIVES, SPEED_ADVERBS

_UNSEEN_FILE = Path(__file__).with_name("unseen_wordings.toml")


def _unseen(name: str) -> dict[str, tuple[str, ...]]:
    """Probe instruction to wordings, of a table of the file."""
    tables = tomllib.loads(_UNSEEN_FILE.read_text(encoding="utf-8"))
    return {prompt: tuple(wordings) for prompt, wordings in tables[name].items()}


HELD_OUT_WORDINGS = _unseen("unseen")
"""Probe instruction to ten or eleven wordings that no training caption may equal."""

FRESH_WORDINGS = _unseen("fresh")
"""Probe instruction to four or five further wordings, which nobody looked at before the starter
that they measure was finished."""

SPEED_BANDS: dict[str, tuple[float, float]] = {
    "walk_forward": (0.98, 1.42),
    "walk_circle": (0.98, 1.42),
    "walk_backwards": (0.98, 1.42),
    "run_forward": (2.6, 3.7),
    "run_backwards": (2.4, 3.6),
}
"""Speeds in m/s below which an item of the action is slow, and above which it is fast."""

_PACES = {band: re.compile(rf"\b({'|'.join(SPEED_ADVERBS[band])})\b") for band in ("slow", "fast")}
_SLOW_ONLY = re.compile(r"\b(amble|saunter|wander|stroll)\b")
_FAST_ONLY = re.compile(r"\b(march|stride|fast|speed|quickly|hurry|sprint|dash|rush|race|charge)\b")
_MANNER = re.compile(r"\b(at a|fast|speed|quickly|hurry|sprint|dash|rush|race|charge|naturally|casually)\b")
_STATIVE = re.compile(r"(keep|remain|do not|be)\b")
_SUBJECTS = (
    "a person", "the person", "someone", "a man", "a woman", "the character", "he", "she",
    "an actor", "the figure",
)  # fmt: skip
_IRREGULAR_S = {"do": "does", "go": "goes", "be": "is", "have": "has"}
_NO_DOUBLE = {
    "wander", "veer", "gesture", "proceed", "wait", "travel", "retreat", "leap", "box", "fight", "reach",
    "kick", "signal", "open", "stretch", "exercise", "practise", "perform", "balance", "saunter", "shoot",
    "keep", "swing", "attack", "slash", "cartwheel", "listen",
}  # fmt: skip


def third_person(phrase: str) -> str:
    """Turns the verb of each half of a verb phrase: "walk and turn left" gives "walks and turns left"."""
    if phrase.startswith("do not "):
        return "does not " + phrase.removeprefix("do not ")
    return _each_verb(phrase, _s_form)


def continuous(phrase: str) -> str:
    """The -ing form: "run ahead" gives "running ahead"."""
    return _each_verb(phrase, _ing_form)


_VERBS = frozenset(
    phrase.split()[0] for table in (PHRASES, MORE_PHRASES) for phrases in table.values() for phrase in phrases
) | {
    "head", "curve", "wheel", "leap", "look", "listen", "hook", "send", "hold", "change", "take", "turn",
    "stop", "come", "stand", "drink", "shoot", "sit", "grab", "strike", "twirl", "bend", "stretch", "swing",
    "lower", "get", "kick", "land", "punch", "wait", "move", "reach", "jump", "twist",
}  # fmt: skip
_NOUNS_AFTER_AND = {"punches", "arm", "down", "again", "kung", "round", "over", "fro", "back"}


def _each_verb(phrase: str, form: Callable[[str], str]) -> str:
    words = phrase.split()
    result = [form(words[0])]
    for before, word in pairwise(words):
        after_and = before in ("and", "then") or before.endswith(",")
        result.append(form(word) if after_and and word in _VERBS and word not in _NOUNS_AFTER_AND else word)
    return " ".join(result)


def _s_form(verb: str) -> str:
    bare = verb.rstrip(",")
    comma = verb[len(bare) :]
    if bare in _IRREGULAR_S:
        return _IRREGULAR_S[bare] + comma
    if bare.endswith(("s", "sh", "ch", "x", "z", "o")):
        return bare + "es" + comma
    if bare.endswith("y") and bare[-2] not in "aeiou":
        return bare[:-1] + "ies" + comma
    return bare + "s" + comma


def _ing_form(verb: str) -> str:
    bare = verb.rstrip(",")
    comma = verb[len(bare) :]
    if bare == "be":
        return "being" + comma
    if bare.endswith("e") and not bare.endswith("ee"):
        return bare[:-1] + "ing" + comma
    closed = len(bare) > 2 and bare[-1] in "bdgmnprt" and bare[-2] in "aeiou" and bare[-3] not in "aeiou"
    if closed and bare not in _NO_DOUBLE:
        return bare + bare[-1] + "ing" + comma
    return bare + "ing" + comma


def normalised(text: str) -> str:
    """Lower case, words only: two wordings that agree here count as the same."""
    return " ".join(re.findall(r"[a-z0-9']+", text.lower()))


def _without_subject(text: str) -> str:
    """A wording, normalised, without whoever it begins with."""
    plain = normalised(text)
    found = (who for who in (*_SUBJECTS, *DOERS) if plain.startswith(f"{who} "))
    return plain.removeprefix(f"{next(found, '')} ")


_HELD = frozenset(
    _without_subject(text)
    for table in (HELD_OUT_WORDINGS, FRESH_WORDINGS)
    for texts in table.values()
    for text in texts
)


def is_held_out(text: str) -> bool:
    """Whether a caption equals a held-out or fresh wording, word for word, whoever is said to do it."""
    return _without_subject(text) in _HELD


def swap_sides(text: str) -> str:
    """Exchanges left and right (and clockwise and counterclockwise) in a caption, for a mirrored clip."""
    pairs = {
        "left": "right",
        "right": "left",
        "clockwise": "counterclockwise",
        "counterclockwise": "clockwise",
    }
    return re.sub(r"\b(left|right|clockwise|counterclockwise)\b", lambda found: pairs[found.group()], text)


def speed_band(action: str, speed: float) -> str:
    """ "slow", "normal" or "fast" for an action's measured speed in m/s; "normal" for actions without
    bands."""
    low, high = SPEED_BANDS.get(action, (0.0, float("inf")))
    return "slow" if speed < low else "fast" if speed > high else "normal"


def told_pace(text: str) -> str:
    """ "slow" or "fast" where a caption's adverb says so, else an empty string."""
    return next((band for band, adverbs in _PACES.items() if adverbs.search(text)), "")


def captions_for(
    action: str, seed: int, *, speed: float = 0.0, side: str = "", extra: Iterable[str] = (), limit: int = 28
) -> list[str]:
    """Writes an item's captions.

    Args:
        action: A key of `PHRASES`.
        seed: Chooses forms and subjects; the same seed gives the same captions.
        speed: Absolute mean speed of the item, m/s.
        side: "left" or "right" where the item turns one way; adds "to the left" and its like.
        extra: More verb phrases or descriptions, kept as they are.
        limit: Most captions returned.

    Returns:
        Distinct captions, the plain instruction first; none is held out.
    """
    draw = random.Random(f"{action} {seed}")
    band = speed_band(action, speed) if action in SPEED_BANDS else ""
    phrases = [phrase for phrase in PHRASES[action] if _fits(phrase, band)]
    result: list[str] = [] if band in ("slow", "fast") else [PHRASES[action][0]]
    result.extend(extra)
    draw.shuffle(phrases)
    for number, phrase in enumerate(phrases * 2):
        text = phrase
        adverbs = SPEED_ADVERBS[band] if band else ()
        chance = 0.2 if band == "normal" else 0.85
        if adverbs and draw.random() < chance and not _MANNER.search(phrase):
            text = f"{phrase} {draw.choice(adverbs)}"
        if side and action in ("walk_circle", "run_circle") and draw.random() < 0.3:
            turn = "counterclockwise" if side == "left" else "clockwise"
            text = f"{phrase} {draw.choice((f'to the {side}', turn, f'turning {side}'))}"
        result.append(_in_some_form(text, draw) if number >= len(phrases) or draw.random() < 0.45 else text)
    if side == "right":
        result = [swap_sides(text) if action == "turn_left" else text for text in result]
    kept = dict.fromkeys(text for text in result if not is_held_out(text))
    return list(kept)[:limit]


def captions_in_context(
    action: str, seed: int, *, speed: float = 0.0, side: str = "", limit: int = 20
) -> list[str]:
    """Writes further instructions that an item obeys: with places, purposes, manners and comparisons.

    What surrounds the action is not seen in the motion, so these are no descriptions of it.

    Args:
        action: A key of `PHRASES`.
        seed: Chooses forms and endings; the same seed gives the same captions.
        speed: Absolute mean speed of the item, m/s.
        side: "left" or "right": where a turn goes to, or which foot kicks.
        limit: Captions drawn; few of them may come twice or be held out, and are left out.

    Returns:
        Distinct captions; none is held out.
    """
    draw = random.Random(f"{action} {seed} in context")
    band = speed_band(action, speed) if action in SPEED_BANDS else ""
    more = [phrase for phrase in MORE_PHRASES.get(action, ()) if _fits(phrase, band)]
    plain = [phrase for phrase in PHRASES[action] if _fits(phrase, band)]
    endings = [
        [ending for ending in group if _fits(ending, band)] for group in (*ENDINGS.get(action, ()), ANYWHERE)
    ]
    placed = PLACED.get(action, ())
    nouns = [noun for noun in NOUNS.get(action, ()) if _fits(noun, band)]
    result: list[str] = []
    for _ in range(limit):
        group = draw.choice(endings)
        kind, ending = draw.random(), draw.choice(group)
        if action == "kick_ball" and side and draw.random() < 0.4:
            ending = draw.choice((f"with the {side} foot", f"with the {side} leg"))
        if nouns and kind < 0.14:
            pace = draw.choice(SPEED_ADJECTIVES[band]) if band and draw.random() < 0.5 else ""
            told = [draw.choice(("a", "one", "just a", "")), pace, draw.choice(nouns)]
            text = " ".join(filter(None, told)) + (f" {ending}" if draw.random() < 0.5 else "")
        else:
            if placed and kind < 0.45:
                phrase, ending = map(draw.choice, draw.choice(placed))
            else:
                phrase = draw.choice(more if more and draw.random() < 0.5 else plain)
                ending = "" if kind > 0.85 else ending
            if band in ("slow", "fast") and draw.random() < 0.6 and not _MANNER.search(phrase):
                ending = f"{ending} {draw.choice(SPEED_ADVERBS[band])}"
            text = _told(phrase, ending.strip(), draw)
        if draw.random() < 0.4:
            text = text.replace("backwards", "backward").replace("forwards", "forward")
        result.append(f"{draw.choice(LEADS)}, {text}" if draw.random() < 0.07 else text)
    if side == "right" and action == "turn_left":
        result = [swap_sides(text) for text in result]
    return [text for text in dict.fromkeys(result) if not is_held_out(text)]


def _told(phrase: str, ending: str, draw: random.Random) -> str:
    """A verb phrase and its ending as an instruction, or said of someone."""
    kind, doer = draw.random(), draw.choice((*DOERS, *_SUBJECTS))
    if _STATIVE.match(phrase) and kind > 0.65:
        kind = 0.0
    if kind < 0.38:
        told = phrase
    elif kind < 0.65:
        told = f"{doer} {third_person(phrase)}"
    elif kind < 0.72:
        told = f"{doer} is {continuous(phrase)}"
    elif kind < 0.84:
        told = f"{draw.choice(DOERS)} {continuous(phrase)}"
    elif kind < 0.92:
        told = continuous(phrase)
    else:
        asked = draw.choice(("make {} {}", "have {} {}", "let {} {}", "i want {} to {}", "{} should {}"))
        who = doer if asked.startswith("{}") else {"he": "him", "she": "her"}.get(doer, doer)
        told = asked.format(who, phrase)
    return f"{told} {ending}".strip()


def _fits(phrase: str, band: str) -> bool:
    """Whether a phrase agrees with the speed: nobody dashes slowly, or is told a pace that is not theirs."""
    if band == "normal" and told_pace(phrase) in ("slow", "fast"):
        return False
    wrong = {"fast": _SLOW_ONLY, "slow": _FAST_ONLY}.get(band)
    return wrong is None or not wrong.search(phrase)


def _in_some_form(phrase: str, draw: random.Random) -> str:
    kind = draw.random()
    subject = draw.choice(_SUBJECTS)
    if kind < 0.5:
        return f"{subject} {third_person(phrase)}"
    if kind < 0.7 and not _STATIVE.match(phrase):
        return f"{subject} is {continuous(phrase)}"
    if kind < 0.82 and not _STATIVE.match(phrase):
        return continuous(phrase)
    if kind < 0.92:
        return f"{draw.choice(('please', 'now', 'now please'))} {phrase}"
    director = ("make the character", "have the character", "let her", "let him", "make them")
    return f"{draw.choice(director)} {phrase}"
