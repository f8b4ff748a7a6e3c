# SPDX-License-Identifier: GPL-3.0-or-later
"""Wordings of every captured action: verb phrases whose first word is a plain verb, and adverbs of speed."""

from __future__ import annotations

# fmt: off
PHRASES: dict[str, tuple[str, ...]] = {
    "walk_forward": (
        "walk forward", "walk forwards", "walk ahead", "walk straight ahead", "walk", "take a walk",
        "go forward at a walk", "go for a walk", "walk in a straight line", "stroll", "stroll forward",
        "amble along", "march forward", "move ahead on foot", "step forward", "pace forward", "walk on",
        "keep walking", "walk along", "wander forward", "proceed on foot", "walk casually",
        "walk naturally", "advance at a walking pace", "travel forward by walking", "saunter along",
        "take several steps forward",
    ),
    "walk_circle": (
        "walk in a circle", "walk in circles", "walk around in a circle", "walk round and round",
        "circle around on foot", "walk along a circle", "follow a circular path", "walk in a loop",
        "walk around in circles", "pace in a circle", "stroll in a circle", "go around in a circle",
        "keep turning while walking", "walk a full circle", "march in a circle",
        "walk around the same spot", "make a circle while walking", "move around in a circle",
        "wander in circles", "walk round in a ring", "circle the room",
    ),
    "walk_backwards": (
        "walk backwards", "walk backward", "walk back", "go backwards", "move backwards", "back up",
        "back away", "take a few steps back", "step back", "take steps backwards", "retreat",
        "walk in the backward direction", "move back on foot", "stroll backwards", "pace backwards",
        "walk backwards in a straight line", "keep walking backwards", "reverse away on foot",
        "travel backwards at a walk", "withdraw while facing forward", "walk away backwards",
        "walk back without turning round", "step back without turning the body",
    ),
    "run_forward": (
        "run forward", "run forwards", "run", "run ahead", "run straight ahead", "jog", "jog forward",
        "sprint", "sprint ahead", "dash forward", "go for a run", "go for a jog", "run fast",
        "race ahead", "run along", "run in a straight line", "keep running", "move forward at a run",
        "jog along", "hurry forward at a run", "charge forward", "rush ahead", "run at full speed",
        "take off running",
    ),
    "run_backwards": (
        "run backwards", "run backward", "jog backwards", "sprint backwards", "run in reverse",
        "move backwards at a run", "run back quickly", "run backwards in a straight line", "backpedal",
        "backpedal fast", "dash backwards", "rush backwards", "hurry backwards", "race backwards",
        "retreat at a run", "keep running backwards", "go backwards at a run", "run away backwards",
        "jog in the backward direction", "speed backwards",
        "run backwards while facing forward", "run back while still looking ahead",
        "jog back with the face to the front", "run back, facing forward all the time",
        "move back at a run, looking ahead", "run in reverse and keep facing the same way",
        "back off at a run, eyes to the front", "run backwards, never turning the body",
        "go back fast, always facing forward", "run backwards without a turn",
        "jog back without turning round", "run in reverse without turning the body",
    ),
    "run_circle": (
        "run in a circle", "run in circles", "jog in a circle", "run around in circles",
        "run round and round", "sprint in a circle", "run along a circle", "jog around in a circle",
        "race around in circles", "run a loop",
    ),
    "jump": (
        "jump", "jump up", "jump into the air", "jump up high", "take a jump", "leap", "leap up",
        "make a jump", "hop up", "spring up", "jump off the ground", "jump with both feet",
        "leap upwards", "leave the ground with both feet", "jump as high as possible", "bounce up",
        "do a jump", "spring into the air", "perform a jump", "jump high",
    ),
    "jump_forward": (
        "jump forward", "jump forwards", "leap forward", "jump", "take a long jump",
        "hop forward with both feet", "jump ahead", "do a standing long jump", "make a jump forward",
        "spring forward", "leap ahead", "bound forward", "jump a distance", "take a leap forward",
        "jump into the air and land further ahead",
    ),
    "jump_repeat": (
        "jump up and down", "jump repeatedly", "keep jumping", "jump again and again", "jump",
        "hop up and down", "bounce up and down", "jump over and over", "jump several times",
        "leap up and down", "jump on the spot", "jump in place", "leap again and again",
        "do several jumps", "jump up",
    ),
    "hop": (
        "hop on one foot", "hop on one leg", "hop along on one foot", "hop", "bounce on one leg",
        "jump on one foot",
    ),
    "stand_still": (
        "stand still", "stand", "stay still", "keep still", "do not move", "hold still", "stand in place",
        "stand quietly", "remain standing", "wait", "wait patiently", "stand calmly", "stand motionless",
        "stand there", "idle", "stay in the same place", "stand on the spot", "stand at rest",
        "stop and wait", "rest while standing", "stand upright", "stand around", "pause", "stay in place",
        "keep standing", "hold the position",
    ),
    "walk_stop": (
        "walk forward and stop", "walk and then stop", "take a few steps and stop",
        "walk ahead and come to a halt", "walk up and stand still", "stop walking",
        "walk a little and then wait", "step forward and stop",
    ),
    "stand_walk": (
        "start walking", "stand and then walk forward", "set off walking", "begin to walk",
        "start to walk forward", "stand still and then walk off", "step off and walk ahead",
    ),
    "walk_around": (
        "walk around", "wander around", "walk about", "pace around", "walk, stop and turn",
        "walk around and turn", "stroll around the room", "walk to and fro", "roam about",
    ),
    "turn_left": (
        "walk and turn left", "walk forward and turn left", "turn left while walking", "walk to the left",
        "walk in a left curve", "curve to the left", "make a left turn on foot",
        "walk around a corner to the left", "veer left while walking",
        "turn left", "turn to the left", "take a left turn", "go left", "walk on, then turn left",
        "walk and go left at the corner", "walk ahead and turn to the left",
        "change direction to the left while walking", "walk along a path that curves left", "walk left",
        "move to the left on foot", "swing round to the left while walking",
        "follow a left-hand curve on foot", "turn off to the left while walking",
        "walk a quarter circle to the left", "keep left while walking", "take the next left on foot",
        "stroll along and turn left", "walk to the left side",
        "walk round a corner to the left", "come round the corner to the left",
        "go round the next corner on the left", "stroll round the corner to the left",
        "walk round to the left",
    ),
    "zigzag": (
        "walk in a zigzag", "zigzag forward", "weave from side to side while walking",
        "walk in a wavy line", "walk in an s shape", "walk along a winding path", "snake forward on foot",
        "walk a winding path",
    ),
    "turn_around": (
        "turn around", "walk forward, turn around and walk back", "turn around and walk back",
        "stop, turn around and go back", "walk up, turn round and come back", "make a u-turn on foot",
        "walk and turn back",
    ),
    "walk_sideways": (
        "walk sideways", "step sideways", "sidestep", "move sideways", "shuffle sideways",
        "take steps to the side", "walk to the side",
    ),
    "uneven": (
        "walk on uneven terrain", "walk over rough ground", "walk on uneven ground",
        "step carefully over rough ground", "hike over rocks", "pick a way over uneven ground",
        "walk over obstacles",
    ),
    "salsa": (
        "dance salsa", "dance the salsa", "do a salsa dance", "perform salsa steps",
        "dance to latin music", "dance with a partner", "do some salsa moves",
        "dance a salsa with a partner", "dance",
    ),
    "indian_dance": (
        "perform an indian dance", "dance an indian dance", "do a traditional indian dance",
        "dance in classical indian style", "dance with indian hand and arm movements",
        "perform a bharatanatyam dance", "dance",
    ),
    "dance": (
        "dance", "dance ballet", "dance gracefully", "perform a modern dance", "do an expressive dance",
        "dance with flowing arms", "perform ballet moves", "dance contemporary", "do a ballet dance",
    ),
    "pirouette": (
        "do a pirouette", "spin around while dancing", "pirouette", "dance and twirl around",
        "spin on one foot", "twirl around",
    ),
    "martial_arts": (
        "do martial arts", "perform martial arts moves", "practise kung fu",
        "fight with kicks and punches", "do a karate routine", "perform a martial arts form",
        "practise karate", "fight", "do tai chi and kung fu moves",
    ),
    "boxing": (
        "box", "throw punches like a boxer", "shadow box", "punch the air", "fight like a boxer",
        "practise boxing", "jab and punch", "do some boxing",
        "throw a quick combination of punches", "throw fast punches", "fight with the fists",
        "hit a punching bag", "throw one punch after the other",
        "spar with a partner", "spar", "fight in the ring", "train for a fight in the ring",
        "fight like a champion in the ring", "trade blows with an opponent", "throw jabs at an opponent",
        "land a quick punch", "keep the fists up and strike", "stand on guard and punch",
    ),
    "punch": (
        "punch", "throw a punch", "strike with the fist", "punch and strike", "hit out with both fists",
        "attack with punches",
    ),
    "sword": (
        "fight with a sword", "swing a sword", "practise sword fighting", "fence with a sword",
        "do sword play", "attack with a sword", "slash with a blade",
    ),
    "kick_ball": (
        "kick a ball", "kick a football", "kick a soccer ball", "run up and kick a ball",
        "shoot a football", "play soccer", "take a kick", "kick", "strike the ball with the foot",
        "kick the ball hard", "kick a ball far away", "take a penalty kick", "take a free kick",
        "shoot at the goal with the foot", "kick a ball at the goal", "swing a leg and kick the ball",
        "send the ball off with a kick", "strike a football", "score a goal with a kick",
        "kick out with one foot", "hit a ball with the foot", "fire the ball off with one leg",
    ),
    "climb_ladder": (
        "climb a ladder", "climb up a ladder", "go up a ladder", "climb", "go up and down a ladder",
        "ascend a ladder", "climb the rungs",
        "climb up the rungs of a ladder", "step up a ladder", "mount a ladder", "go up the rungs",
        "climb higher on a ladder", "clamber up a ladder", "climb straight up", "use a ladder to go up",
    ),
    "climb_steps": (
        "climb three steps", "walk up the stairs", "climb the stairs", "go up some steps",
        "go up and down stairs", "step up a staircase", "ascend the steps",
        "walk up and down a few steps",
    ),
    "sit": (
        "sit down and stand up", "sit down", "take a seat", "sit on a stool", "sit on a chair and get up",
        "sit and stand up again", "have a seat", "be seated for a while",
    ),
    "laugh": (
        "laugh", "laugh out loud", "laugh hard", "burst out laughing", "crack up laughing",
        "double over with laughter", "giggle and laugh", "find something very funny",
        "have a good laugh", "laugh at a joke", "laugh until it hurts", "laugh with the whole body",
        "chuckle", "giggle", "be overcome with laughter", "laugh and laugh",
    ),
    "cartwheel": (
        "do a cartwheel", "turn a cartwheel", "perform a cartwheel", "cartwheel",
        "do a cartwheel sideways", "make a cartwheel",
        "flip over sideways", "do a sideways somersault", "somersault to the side",
        "tumble sideways over the hands", "turn upside down and over to the side",
        "tip over sideways onto the hands and come up again", "flip sideways through a handstand",
        "go upside down and land on the feet", "roll over through the air to the side",
    ),
    "dribble": (
        "dribble a basketball", "play basketball", "dribble a ball", "bounce a basketball while moving",
        "run with a basketball", "handle a basketball",
    ),
    "shoot_ball": (
        "shoot a basketball", "dribble and shoot a basketball", "throw a ball at the hoop",
        "take a basketball shot",
    ),
    "drink": (
        "drink", "drink from a bottle", "drink soda", "have a drink", "open a bottle and drink",
        "take a sip", "unscrew a bottle cap and drink",
    ),
    "wash_windows": (
        "wash windows", "clean a window", "wipe a window", "scrub the windows",
        "clean the glass with circular motions", "wipe with one hand",
    ),
    "wave": (
        "direct traffic", "wave", "wave with the arms", "signal with both arms", "wave to someone",
        "give hand signals", "direct cars with arm signals", "gesture with wide arms",
    ),
    "jumping_jacks": (
        "do jumping jacks", "exercise", "do star jumps", "warm up with jumping jacks",
        "do gymnastics exercises", "work out",
    ),
    "squat": (
        "do squats and bend over", "exercise", "stretch and twist to the side", "do side twists",
        "work out", "bend and stretch", "warm up",
    ),
    "reach": (
        "reach up high", "jump up to grab something", "reach for something on a high shelf",
        "stand on tiptoe and reach", "stretch up to grab something", "reach overhead",
    ),
    "balance": (
        "balance on one leg", "stand on one leg with arms out", "balance on one foot",
        "stand on one foot", "keep the balance on one leg",
    ),
    "acrobatics": (
        "do acrobatics", "spin and twirl", "hang on ropes and swing", "perform acrobatics",
        "spin around in the air",
    ),
    "playground": (
        "climb and sit down", "climb on a playground", "climb up, sit and swing the legs",
        "play on a climbing frame", "climb and lower yourself to the ground",
    ),
    "run_leap": (
        "run and leap", "run and jump", "take a running jump", "leap while running",
        "sprint and leap forward", "jump while running",
    ),
    "static_pose": (
        "hold a dance pose", "stand folded in with the head lowered", "freeze in a dance pose",
        "hold a curled pose on a bent leg",
    ),
}
"""Verb phrases per action; the first is the plainest. Left and right are swapped for mirrored clips."""

SPEED_ADVERBS: dict[str, tuple[str, ...]] = {
    "slow": (
        "slowly", "at a slow pace", "in a leisurely way", "unhurriedly", "very slowly", "at an easy pace",
    ),
    "normal": (
        "at a normal pace", "at an ordinary pace", "steadily", "at a steady pace",
    ),
    "fast": (
        "quickly", "fast", "briskly", "at a fast pace", "in a hurry", "rapidly",
    ),
}
"""Adverbs by speed band."""

SPEED_ADJECTIVES: dict[str, tuple[str, ...]] = {
    "slow": ("slow", "leisurely", "very slow", "lazy"),
    "normal": ("normal", "plain", "steady", "calm"),
    "fast": ("fast", "quick", "brisk", "rapid"),
}
"""Adjectives by speed band."""
# fmt: on
