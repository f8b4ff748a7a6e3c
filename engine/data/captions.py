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
from collections.abc import Callable, Iterable
from itertools import pairwise

from .wordings import PHRASES, SPEED_ADVERBS

HELD_OUT_WORDINGS: dict[str, tuple[str, str, str]] = {
    "walk in a circle": (
        "go round in a circle on foot",
        "a person paces around in circles",
        "stroll along a circular path",
    ),
    "walk backwards": ("step backwards", "a person walks in reverse", "retreat slowly on foot"),
    "jump": ("leap into the air", "a man springs up from the ground", "bounce up high"),
    "run forward": ("sprint forward", "a person jogs", "dash straight ahead"),
    "run backwards": (
        "jog backwards quickly",
        "a person sprints in reverse",
        "run back without turning around",
    ),
    "walk forward": ("stroll ahead slowly", "a woman strides straight on", "head forward on foot"),
    "stand still": ("wait calmly without moving", "a person remains motionless", "stay put in one place"),
    "walk and turn left": (
        "bear left on foot",
        "a person strolls round a bend to the left",
        "head off towards the left",
    ),
    "walk and turn right": (
        "bear right on foot",
        "a person strolls round a bend to the right",
        "head off towards the right",
    ),
    "dance salsa": ("show some salsa", "a couple dances to a salsa song", "move the hips to a salsa beat"),
    "kick a ball": ("boot the ball away", "a man takes a shot with the foot", "give the ball a good kick"),
    "box": ("spar like a prize fighter", "a person throws jabs and hooks", "punch in a boxing stance"),
    "climb a ladder": ("scale a ladder", "a person goes up rung by rung", "climb upwards on a ladder"),
    "sit down": ("settle down on a chair", "a woman lowers herself onto a seat", "get off the feet and sit"),
    "do a cartwheel": (
        "throw a cartwheel",
        "a gymnast wheels over on both hands",
        "turn head over heels sideways",
    ),
    "laugh": ("chuckle heartily", "a person roars with laughter", "shake with laughing"),
}
"""Probe instruction to three wordings that no training caption may equal."""

FRESH_WORDINGS: dict[str, tuple[str, str, str]] = {
    "walk in a circle": (
        "walk a full lap around the table",
        "he wanders round and round the room",
        "trace a big ring on the floor while walking",
    ),
    "walk backwards": (
        "back away from the door",
        "she walks backward, facing the camera",
        "take slow steps to the rear",
    ),
    "jump": ("hop up with both feet", "she jumps for joy", "do a vertical leap"),
    "run forward": ("sprint down the track", "she is running to catch the bus", "bolt straight for the exit"),
    "run backwards": (
        "backpedal as fast as you can",
        "he runs backward, eyes to the front",
        "trot backward down the pitch like a referee",
    ),
    "walk forward": (
        "walk towards the camera",
        "the guy ambles along the pavement",
        "keep walking down the corridor",
    ),
    "stand still": ("just stand there", "he doesn't move a muscle", "hold your position and do nothing"),
    "walk and turn left": (
        "walk on and take a left at the corner",
        "she strolls ahead, then bears left",
        "veer off to the left while walking",
    ),
    "walk and turn right": (
        "walk up and hang a right",
        "he walks, curving gently to the right",
        "amble along and swing right",
    ),
    "dance salsa": ("cuban salsa, solo", "she is dancing salsa at a party", "do the basic salsa step"),
    "kick a ball": (
        "wind up and kick the soccer ball",
        "take a penalty shot",
        "he strikes the ball with his right foot",
    ),
    "box": ("shadow boxing", "a boxer working the heavy bag", "she punches the air with her fists up"),
    "climb a ladder": (
        "climb up to the top of the ladder",
        "he climbs up to the roof on a ladder",
        "mount the ladder hand over hand",
    ),
    "sit down": ("take a seat on the chair", "she sits on the edge of the bed", "have a seat and relax"),
    "do a cartwheel": (
        "cartwheel across the mat",
        "she throws herself sideways into a cartwheel",
        "turn a cartwheel like a gymnast",
    ),
    "laugh": ("crack up at a joke", "laugh your head off", "giggle uncontrollably"),
}
"""Probe instruction to three further wordings, written when starter 0.2.5 was finished and before any of them
was measured. The set above was looked at during development, and wordings near to it went into training; this
one is never changed, trained on or chosen by."""

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
    "keep", "swing", "attack", "slash", "cartwheel",
}  # fmt: skip


def third_person(phrase: str) -> str:
    """Turns the verb of each half of a verb phrase: "walk and turn left" gives "walks and turns left"."""
    if phrase.startswith("do not "):
        return "does not " + phrase.removeprefix("do not ")
    return _each_verb(phrase, _s_form)


def continuous(phrase: str) -> str:
    """The -ing form: "run ahead" gives "running ahead"."""
    return _each_verb(phrase, _ing_form)


_VERBS = frozenset(phrase.split()[0] for phrases in PHRASES.values() for phrase in phrases) | {
    "turn", "stop", "come", "stand", "drink", "shoot", "sit", "grab", "strike", "twirl", "bend", "stretch",
    "swing", "lower", "get", "kick", "land", "punch", "wait", "move", "reach", "jump", "twist",
}  # fmt: skip
_NOUNS_AFTER_AND = {"punches", "arm", "down", "again", "kung", "round", "over", "fro"}


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


def _with_any_subject(text: str) -> set[str]:
    """A wording, normalised, alone and after each of `_SUBJECTS`."""
    plain = normalised(text)
    return {plain, *(f"{subject} {plain}" for subject in _SUBJECTS)}


def _without_subject(text: str) -> str:
    """A wording without the subject it begins with, if any."""
    found = next((subject for subject in _SUBJECTS if text.startswith(f"{subject} ")), "")
    return text.removeprefix(f"{found} ")


_HELD = frozenset().union(
    *(_with_any_subject(text) for texts in HELD_OUT_WORDINGS.values() for text in texts),
    *(_with_any_subject(_without_subject(text)) for texts in FRESH_WORDINGS.values() for text in texts),
)


def is_held_out(text: str) -> bool:
    """Whether a caption equals a held-out or fresh wording, word for word, with or without a subject before
    it; of a fresh wording that has a subject, with any other or none too."""
    return normalised(text) in _HELD


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


def _fits(phrase: str, band: str) -> bool:
    """Whether a phrase agrees with the speed: nobody dashes slowly."""
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
