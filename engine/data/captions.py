# SPDX-License-Identifier: GPL-3.0-or-later
"""Instructions for captured clips: many wordings of each action, in several registers.

A wording is kept as a verb phrase whose first word is a plain verb ("walk straight ahead"); grammar turns it into the
instruction itself, a description in the third person ("a person walks straight ahead"), the continuous form and a
request to a director. Words for speed come from the measured speed, never from a clip's label. Some wordings are held
out: they never occur in training, so that obeying them shows that the model reads English and does not look captions up.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable

HELD_OUT_WORDINGS: dict[str, tuple[str, str, str]] = {
    "walk in a circle": (
        "go round in a circle on foot",
        "a person paces around in circles",
        "stroll along a circular path",
    ),
    "walk backwards": ("step backwards", "a person walks in reverse", "retreat slowly on foot"),
    "jump": ("leap into the air", "a man springs up from the ground", "bounce up high"),
    "run forward": ("sprint forward", "a person jogs", "dash straight ahead"),
    "run backwards": ("jog backwards quickly", "a person sprints in reverse", "run back without turning around"),
    "walk forward": ("stroll ahead slowly", "a woman strides straight on", "head forward on foot"),
    "stand still": ("wait calmly without moving", "a person remains motionless", "stay put in one place"),
}
"""Probe instruction to three wordings that no training caption may equal."""

PHRASES: dict[str, tuple[str, ...]] = {
    "walk_forward": (
        "walk forward", "walk forwards", "walk ahead", "walk straight ahead", "walk", "take a walk", "go forward at a walk",
        "go for a walk", "walk in a straight line", "stroll", "stroll forward", "amble along", "march forward", "move ahead on foot",
        "step forward", "pace forward", "walk on", "keep walking", "walk along", "wander forward", "proceed on foot", "walk casually",
        "walk naturally", "advance at a walking pace", "travel forward by walking", "saunter along", "take several steps forward",
    ),
    "walk_circle": (
        "walk in a circle", "walk in circles", "walk around in a circle", "walk round and round", "circle around on foot",
        "walk along a circle", "follow a circular path", "walk in a loop", "walk around in circles", "pace in a circle",
        "stroll in a circle", "go around in a circle", "keep turning while walking", "walk a full circle", "march in a circle",
        "walk around the same spot", "make a circle while walking", "move around in a circle", "wander in circles",
        "walk round in a ring", "circle the room",
    ),
    "walk_backwards": (
        "walk backwards", "walk backward", "walk back", "go backwards", "move backwards", "back up", "back away",
        "take a few steps back", "step back", "take steps backwards", "retreat", "walk in the backward direction",
        "move back on foot", "stroll backwards", "pace backwards", "walk backwards in a straight line", "keep walking backwards",
        "reverse away on foot", "travel backwards at a walk", "withdraw while facing forward", "walk away backwards",
    ),
    "run_forward": (
        "run forward", "run forwards", "run", "run ahead", "run straight ahead", "jog", "jog forward", "sprint", "sprint ahead",
        "dash forward", "go for a run", "go for a jog", "run fast", "race ahead", "run along", "run in a straight line",
        "keep running", "move forward at a run", "jog along", "hurry forward at a run", "charge forward", "rush ahead",
        "run at full speed", "take off running",
    ),
    "run_backwards": (
        "run backwards", "run backward", "jog backwards", "sprint backwards", "run in reverse", "move backwards at a run",
        "run back quickly", "run backwards in a straight line", "backpedal", "backpedal fast", "dash backwards", "rush backwards",
        "hurry backwards", "race backwards", "retreat at a run", "keep running backwards", "go backwards at a run",
        "run away backwards", "jog in the backward direction", "speed backwards",
    ),
    "run_circle": (
        "run in a circle", "run in circles", "jog in a circle", "run around in circles", "run round and round",
        "sprint in a circle", "run along a circle", "jog around in a circle", "race around in circles", "run a loop",
    ),
    "jump": (
        "jump", "jump up", "jump into the air", "jump up high", "take a jump", "leap", "leap up", "make a jump", "hop up",
        "spring up", "jump off the ground", "jump with both feet", "leap upwards", "leave the ground with both feet",
        "jump as high as possible", "bounce up", "do a jump", "spring into the air", "perform a jump", "jump high",
    ),
    "jump_forward": (
        "jump forward", "jump forwards", "leap forward", "jump", "take a long jump", "hop forward with both feet",
        "jump ahead", "do a standing long jump", "make a jump forward", "spring forward", "leap ahead", "bound forward",
        "jump a distance", "take a leap forward", "jump into the air and land further ahead",
    ),
    "jump_repeat": (
        "jump up and down", "jump repeatedly", "keep jumping", "jump again and again", "jump", "hop up and down",
        "bounce up and down", "jump over and over", "jump several times", "leap up and down", "jump on the spot",
        "jump in place", "leap again and again", "do several jumps", "jump up",
    ),
    "hop": ("hop on one foot", "hop on one leg", "hop along on one foot", "hop", "bounce on one leg", "jump on one foot"),
    "stand_still": (
        "stand still", "stand", "stay still", "keep still", "do not move", "hold still", "stand in place", "stand quietly",
        "remain standing", "wait", "wait patiently", "stand calmly", "stand motionless", "stand there", "idle",
        "stay where you are", "stand on the spot", "stand at rest", "stop and wait", "rest while standing", "stand upright",
        "stand around", "pause", "stay in place", "keep standing", "hold the position",
    ),
    "walk_stop": (
        "walk forward and stop", "walk and then stop", "take a few steps and stop", "walk ahead and come to a halt",
        "walk up and stand still", "stop walking", "walk a little and then wait", "step forward and stop",
    ),
    "stand_walk": (
        "start walking", "stand and then walk forward", "set off walking", "begin to walk", "start to walk forward",
        "stand still and then walk off", "step off and walk ahead",
    ),
    "walk_around": (
        "walk around", "wander around", "walk about", "pace around", "walk, stop and turn", "walk around and turn",
        "stroll around the room", "walk to and fro", "roam about",
    ),
    "turn_left": (
        "walk and turn left", "walk forward and turn left", "turn left while walking", "walk to the left",
        "walk in a left curve", "curve to the left", "make a left turn on foot", "walk around a corner to the left",
        "veer left while walking",
    ),
    "zigzag": (
        "walk in a zigzag", "zigzag forward", "weave from side to side while walking", "walk in a wavy line",
        "walk in an s shape", "walk along a winding path", "snake forward on foot", "walk a winding path",
    ),
    "turn_around": (
        "turn around", "walk forward, turn around and walk back", "turn around and walk back", "stop, turn around and go back",
        "walk up, turn round and come back", "make a u-turn on foot", "walk and turn back",
    ),
    "walk_sideways": (
        "walk sideways", "step sideways", "sidestep", "move sideways", "shuffle sideways", "take steps to the side",
        "walk to the side",
    ),
    "uneven": (
        "walk on uneven terrain", "walk over rough ground", "walk on uneven ground", "step carefully over rough ground",
        "hike over rocks", "pick a way over uneven ground", "walk over obstacles",
    ),
    "salsa": (
        "dance salsa", "dance the salsa", "do a salsa dance", "perform salsa steps", "dance to latin music", "dance with a partner",
        "do some salsa moves", "dance a salsa with a partner", "dance",
    ),
    "indian_dance": (
        "perform an indian dance", "dance an indian dance", "do a traditional indian dance", "dance in classical indian style",
        "dance with indian hand and arm movements", "perform a bharatanatyam dance", "dance",
    ),
    "dance": (
        "dance", "dance ballet", "dance gracefully", "perform a modern dance", "do an expressive dance", "dance with flowing arms",
        "perform ballet moves", "dance contemporary", "do a ballet dance",
    ),
    "pirouette": ("do a pirouette", "spin around while dancing", "pirouette", "dance and twirl around", "spin on one foot",
                  "twirl around"),
    "martial_arts": (
        "do martial arts", "perform martial arts moves", "practise kung fu", "fight with kicks and punches", "do a karate routine",
        "perform a martial arts form", "practise karate", "fight", "do tai chi and kung fu moves",
    ),
    "boxing": ("box", "throw punches like a boxer", "shadow box", "punch the air", "fight like a boxer", "practise boxing",
               "jab and punch", "do some boxing"),
    "punch": ("punch", "throw a punch", "strike with the fist", "punch and strike", "hit out with both fists",
              "attack with punches"),
    "sword": ("fight with a sword", "swing a sword", "practise sword fighting", "fence with a sword", "do sword play",
              "attack with a sword", "slash with a blade"),
    "kick_ball": ("kick a ball", "kick a football", "kick a soccer ball", "run up and kick a ball", "shoot a football",
                  "play soccer", "take a kick", "kick", "strike the ball with the foot"),
    "climb_ladder": ("climb a ladder", "climb up a ladder", "go up a ladder", "climb", "go up and down a ladder",
                     "ascend a ladder", "climb the rungs"),
    "climb_steps": ("climb three steps", "walk up the stairs", "climb the stairs", "go up some steps", "go up and down stairs",
                    "step up a staircase", "ascend the steps", "walk up and down a few steps"),
    "sit": ("sit down and stand up", "sit down", "take a seat", "sit on a stool", "sit on a chair and get up", "sit and stand up again",
            "have a seat", "be seated for a while"),
    "laugh": ("laugh", "laugh out loud", "laugh hard", "burst out laughing", "crack up laughing", "double over with laughter",
              "giggle and laugh", "find something very funny"),
    "cartwheel": ("do a cartwheel", "turn a cartwheel", "perform a cartwheel", "cartwheel", "do a cartwheel sideways",
                  "make a cartwheel"),
    "dribble": ("dribble a basketball", "play basketball", "dribble a ball", "bounce a basketball while moving",
                "run with a basketball", "handle a basketball"),
    "shoot_ball": ("shoot a basketball", "dribble and shoot a basketball", "throw a ball at the hoop", "take a basketball shot"),
    "drink": ("drink", "drink from a bottle", "drink soda", "have a drink", "open a bottle and drink", "take a sip",
              "unscrew a bottle cap and drink"),
    "wash_windows": ("wash windows", "clean a window", "wipe a window", "scrub the windows", "clean the glass with circular motions",
                     "wipe with one hand"),
    "wave": ("direct traffic", "wave", "wave with the arms", "signal with both arms", "wave to someone", "give hand signals",
             "direct cars with arm signals", "gesture with wide arms"),
    "jumping_jacks": ("do jumping jacks", "exercise", "do star jumps", "warm up with jumping jacks", "do gymnastics exercises",
                      "work out"),
    "squat": ("do squats and bend over", "exercise", "stretch and twist to the side", "do side twists", "work out",
              "bend and stretch", "warm up"),
    "reach": ("reach up high", "jump up to grab something", "reach for something on a high shelf", "stand on tiptoe and reach",
              "stretch up to grab something", "reach overhead"),
    "balance": ("balance on one leg", "stand on one leg with arms out", "balance on one foot", "stand on one foot",
                "keep the balance on one leg"),
    "acrobatics": ("do acrobatics", "spin and twirl", "hang on ropes and swing", "perform acrobatics", "spin around in the air"),
    "playground": ("climb and sit down", "climb on a playground", "climb up, sit and swing the legs", "play on a climbing frame",
                   "climb and lower yourself to the ground"),
    "run_leap": ("run and leap", "run and jump", "take a running jump", "leap while running", "sprint and leap forward",
                 "jump while running"),
    "static_pose": ("hold a dance pose", "stand folded in with the head lowered", "freeze in a dance pose",
                    "hold a curled pose on a bent leg"),
}  # fmt: skip
"""Verb phrases per action; the first is the plainest. Left and right are swapped for mirrored clips."""

SPEED_ADVERBS: dict[str, tuple[str, ...]] = {
    "slow": ("slowly", "at a slow pace", "in a leisurely way", "unhurriedly", "very slowly", "at an easy pace"),
    "normal": ("at a normal pace", "at an ordinary pace", "steadily", "at a steady pace"),
    "fast": ("quickly", "fast", "briskly", "at a fast pace", "in a hurry", "rapidly"),
}
"""Adverbs by speed band."""

SPEED_BANDS: dict[str, tuple[float, float]] = {
    "walk_forward": (0.98, 1.42),
    "walk_circle": (0.98, 1.42),
    "walk_backwards": (0.98, 1.42),
    "run_forward": (2.6, 3.7),
    "run_backwards": (2.4, 3.6),
}
"""Speeds in m/s below which an item of the action is slow, and above which it is fast."""

_SLOW_ONLY = re.compile(r"\b(amble|saunter|wander|stroll)\b")
_FAST_ONLY = re.compile(r"\b(march|stride|fast|speed|quickly|hurry|sprint|dash|rush|race|charge)\b")
_MANNER = re.compile(r"\b(at a|fast|speed|quickly|hurry|sprint|dash|rush|race|charge|naturally|casually)\b")
_STATIVE = re.compile(r"(keep|remain|do not|be)\b")
_SUBJECTS = ("a person", "the person", "someone", "a man", "a woman", "the character", "he", "she", "an actor", "the figure")
_IRREGULAR_S = {"do": "does", "go": "goes", "be": "is", "have": "has"}
_NO_DOUBLE = {"wander", "veer", "gesture", "proceed", "wait", "travel", "retreat", "leap", "box", "fight", "reach", "kick",
              "signal", "open", "stretch", "exercise", "practise", "perform", "balance", "saunter", "shoot", "keep", "swing",
              "attack", "slash", "cartwheel"}  # fmt: skip


def third_person(phrase: str) -> str:
    """Turns the verb of each half of a verb phrase: "walk and turn left" gives "walks and turns left"."""
    if phrase.startswith("do not "):
        return "does not " + phrase.removeprefix("do not ")
    return _each_verb(phrase, _s_form)


def continuous(phrase: str) -> str:
    """The -ing form: "run ahead" gives "running ahead"."""
    return _each_verb(phrase, _ing_form)


_VERBS = frozenset(phrase.split()[0] for phrases in PHRASES.values() for phrase in phrases) | {
    "turn", "stop", "come", "stand", "drink", "shoot", "sit", "grab", "strike", "twirl", "bend", "stretch", "swing",
    "lower", "get", "kick", "land", "punch", "wait", "move", "reach", "jump", "twist",
}  # fmt: skip
_NOUNS_AFTER_AND = {"punches", "arm", "down", "again", "kung", "round", "over", "fro"}


def _each_verb(phrase: str, form: Callable[[str], str]) -> str:
    words = phrase.split()
    result = [form(words[0])]
    for before, word in zip(words, words[1:], strict=False):
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


_HELD = frozenset(normalised(text) for texts in HELD_OUT_WORDINGS.values() for text in texts)


def is_held_out(text: str) -> bool:
    """Whether a caption equals a held-out wording, word for word, with or without its subject."""
    words = normalised(text)
    return words in _HELD or any(words == f"{subject} {held}" for subject in _SUBJECTS for held in _HELD)


def swap_sides(text: str) -> str:
    """Exchanges left and right (and clockwise and counterclockwise) in a caption, for a mirrored clip."""
    pairs = {"left": "right", "right": "left", "clockwise": "counterclockwise", "counterclockwise": "clockwise"}
    return re.sub(r"\b(left|right|clockwise|counterclockwise)\b", lambda found: pairs[found.group()], text)


def speed_band(action: str, speed: float) -> str:
    """"slow", "normal" or "fast" for an action's measured speed in m/s; "normal" for actions without bands."""
    low, high = SPEED_BANDS.get(action, (0.0, float("inf")))
    return "slow" if speed < low else "fast" if speed > high else "normal"


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
    return f"{draw.choice(('make the character', 'have the character', 'let her', 'let him', 'make them'))} {phrase}"
