# SPDX-License-Identifier: GPL-3.0-or-later
"""What people write around an action: places, purposes, manners, comparisons; and more words for the action.

Most of these endings go with many actions, so that none of them tells which one is meant: that is left to
the verb. They are for instructions only: no description takes them, as nobody sees a corridor in a motion.
"""

from __future__ import annotations

# fmt: off
MORE_PHRASES: dict[str, tuple[str, ...]] = {
    "walk_forward": (
        "stride ahead", "trudge on", "plod along", "walk up", "come forward", "come closer on foot",
        "cross the room", "patrol", "walk straight", "continue straight on", "hike along", "tread forward",
        "head straight on", "set one foot before the other", "go straight ahead on foot", "walk calmly",
        "keep on walking", "make a few steps ahead", "keep going straight", "stride on", "walk normally",
        "go on foot", "walk at ease",
    ),
    "walk_circle": (
        "walk a lap", "do laps on foot", "walk all the way round", "trace a circle on the floor on foot",
        "complete a circle on foot", "make a full round on foot", "walk round", "walk a closed loop",
        "walk along the edge of a round carpet", "go all the way around on foot",
        "draw a circle with the steps", "keep walking round until back at the beginning",
        "walk round until the start is reached again", "walk in rounds", "do a lap at a walk",
        "follow a ring on the floor", "pace in rounds", "orbit on foot", "walk along the rim of a circle",
        "keep curving round on foot", "walk one complete round", "walk along a round track",
    ),
    "walk_backwards": (
        "back off", "edge backwards", "inch backwards", "shuffle backwards", "tread backwards",
        "walk to the rear", "take slow steps backwards", "move to the rear on foot", "retreat step by step",
        "back up step by step", "take steps to the back", "step to the rear", "go in reverse on foot",
        "walk with the back first", "withdraw step by step", "give way step by step", "step away backwards",
        "move back step after step",
    ),
    "run_forward": (
        "bolt", "bolt away", "flee", "escape at a run", "make a run for it", "tear along", "hurtle forward",
        "trot along", "break into a run", "run off", "run away", "chase after someone", "sprint off",
        "storm ahead", "run as fast as possible", "dash off", "race off", "run on", "jog on",
        "speed ahead on foot", "sprint for a while", "charge ahead", "zoom ahead at a run",
        "run with long strides", "trot",
    ),
    "run_backwards": (
        "trot backwards", "jog backwards lightly", "trot in reverse", "backpedal at speed", "bolt backwards",
        "run backwards with the eyes ahead", "move in reverse at a jog", "run with the back first",
        "make a quick backwards run", "run to the rear while facing ahead",
        "sprint to the rear, facing ahead", "jog to the rear without turning round",
        "run the wrong way round", "flee backwards at a run", "backpedal quickly",
        "move backwards with fast running steps", "do a backwards sprint", "run in the reverse direction",
    ),
    "run_circle": (
        "run a lap", "run laps", "jog all the way round", "run along a ring", "run rounds",
        "jog a full circle",
    ),
    "jump": (
        "bounce", "do a vertical jump", "crouch and jump", "bend the knees and jump", "push off and jump",
        "leap as high as possible", "hop", "hop up high", "jump straight up", "give a jump",
        "take off with both feet", "make a high leap", "jump once", "crouch, then leap", "jump off both feet",
        "spring off the floor", "explode upwards", "do a high jump on the spot",
    ),
    "jump_forward": (
        "leap ahead with both feet", "hop forward", "crouch and leap forward", "spring ahead",
        "make a leap ahead",
    ),
    "jump_repeat": (
        "hop on the spot", "bounce on both feet", "do little hops", "hop again and again",
        "bounce on the spot", "skip up and down", "do one jump after the other",
        "hop with both feet again and again",
    ),
    "stand_still": (
        "freeze", "stay frozen", "keep the feet planted", "stay right there", "wait at a spot",
        "keep quiet and still", "stand like a statue", "stand at attention", "stay upright",
        "keep calm and stand", "stand and do nothing", "make no move", "stand and listen",
        "stand and look ahead", "hold a standing pose", "just stand", "stay on the feet without moving",
        "stand by", "stand firm", "do not take a single step", "stand in silence", "wait on the spot",
        "stay steady",
    ),
    "turn_left": (
        "walk and take a left", "walk on and then take a left turn", "take a left while walking",
        "walk and bend off to the left", "walk a few steps and turn left",
        "step forward and turn to the left", "make a left while walking", "walk forward and make a left",
        "turn left at a walk", "walk and change direction to the left", "curve off to the left while walking",
        "walk with a left turn", "walk straight, then left", "march ahead and wheel to the left",
        "turn the corner to the left on foot", "leave the path to the left on foot",
        "walk and swing round to the left", "walk ahead and then go left",
        "walk on and turn ninety degrees to the left", "turn a quarter to the left while walking",
        "drift to the left while walking", "take the left path on foot",
        "walk ahead and cut left", "walk on and sweep round left", "stroll on and peel off to the left",
        "saunter along and bend left", "walk up and hook left",
        "wander ahead and go off left", "walk in an arc to the left",
        "round the bend to the left on foot", "walk and circle off left", "walk and break away to the left",
    ),
    "salsa": (
        "practise salsa", "do the salsa", "move to a salsa rhythm", "sway to salsa music", "show salsa moves",
        "dance a salsa routine", "do salsa steps", "dance salsa with swaying hips",
        "do the salsa with quick feet", "teach salsa", "dance a lively salsa", "learn salsa",
        "enjoy a salsa dance", "step to the salsa beat", "dance salsa, forward and back",
    ),
    "kick_ball": (
        "boot a ball", "smash a ball with the foot", "pass the ball with the foot", "punt a ball",
        "pass a football", "take a shot at the goal", "kick a ball with full force",
        "swing the leg and send a ball away", "shoot a penalty", "cross the ball with the foot",
        "volley a ball", "clear the ball with a kick", "take a shot with a football",
        "play a long ball with the foot", "kick a goal",
    ),
    "boxing": (
        "jab", "throw a jab and a hook", "throw a one-two", "throw hooks and uppercuts", "land a combination",
        "hit the heavy bag", "raise the guard and jab", "throw rapid punches", "punch left and right",
        "punch with both fists", "train as a boxer", "box hard", "throw uppercuts", "fight with gloves on",
        "deliver a row of punches", "swing the fists at an opponent", "do a round of boxing",
        "raise the fists and throw punches", "shadowbox", "hook and jab",
    ),
    "climb_ladder": (
        "climb up, one rung after the other", "climb hand over hand", "work up a ladder", "get up a ladder",
        "climb to the top of a ladder", "climb a tall ladder", "grab the rungs and climb",
        "take the ladder up", "climb higher, rung after rung", "move up a ladder", "climb a steep ladder",
        "climb a wooden ladder", "make a climb up a ladder", "climb a rope ladder",
    ),
    "sit": (
        "lower the body onto a chair", "sink into a chair", "take a place on a bench", "rest on a chair",
        "sit back", "sit down slowly", "find a chair and sit down", "drop onto a chair",
        "take a seat and rest", "sit quietly", "go from standing to sitting", "sit down for a moment",
        "plop down on a seat",
    ),
    "laugh": (
        "cackle", "howl with laughter", "break into laughter", "laugh heartily",
        "laugh so hard that it hurts", "laugh and hold the belly", "laugh uncontrollably",
        "laugh with delight", "bend over laughing", "laugh like crazy", "find it hilarious",
        "have a fit of laughter", "snigger", "laugh happily", "be unable to stop laughing",
        "burst into laughter",
    ),
    "cartwheel": (
        "do one cartwheel after the other", "go into a cartwheel", "show a cartwheel", "try a cartwheel",
        "spin sideways over the hands", "do a perfect cartwheel", "do a quick cartwheel",
        "roll into a cartwheel", "swing the legs over the head sideways", "land a cartwheel",
    ),
}
"""Further verb phrases per action, as in `wordings.PHRASES`."""

PLACED: dict[str, tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]] = {
    "walk_circle": (
        (
            (
                "walk", "stroll", "pace", "go on foot", "walk all the way", "walk once",
                "walk round and round", "amble", "march", "walk a lap", "walk laps", "do laps on foot",
                "walk a full round", "wander", "walk a loop",
            ),
            (
                "around the table", "around a tree", "around the fountain", "round the campfire",
                "around the statue", "around a chair", "around the car", "around the pool",
                "round the roundabout", "around the house", "around the courtyard", "around the arena",
                "round a pillar", "around the carpet", "around the piano", "around the flower bed",
                "around the bonfire", "around a rock", "around the group", "round the pond",
                "around the circus ring", "around a big box", "around the sculpture", "around the well",
                "around the bed", "round the lamp post", "around the block",
            ),
        ),
        (("circle",), ("the table", "the tree", "the room on foot", "the fire at a walk", "the car on foot",
                       "the opponent at a walk", "the statue on foot", "the stage at a walk")),
    ),
    "run_circle": (
        (
            ("run", "jog", "sprint", "run laps", "run a lap", "jog all the way"),
            (
                "around the table", "around a tree", "around the fountain", "around the house",
                "around the court", "around the arena", "around the pool", "round the campfire",
                "around the pitch",
            ),
        ),
    ),
    "turn_left": (
        (
            (
                "walk", "stroll", "go", "walk on, then turn", "walk ahead and turn", "march up and turn",
                "walk and go", "walk up and head", "amble along and turn", "walk and take a turn",
            ),
            (
                "left at the crossing", "left at the lights", "left at the end of the street",
                "left into the next room", "left past the shop", "left behind the house",
                "to the left of the tree", "left around the table", "left at the next corner",
                "left through the door", "left into the kitchen", "left down the side street",
                "left towards the exit", "left before the wall", "to the left after a few steps",
                "left to the bar", "left halfway", "to the left at once",
            ),
        ),
    ),
    "jump": (
        (
            ("jump", "leap", "spring up", "jump up", "leap up", "hop", "jump high"),
            (
                "with joy", "with excitement", "to reach the ceiling", "to catch a ball", "to block a shot",
                "to touch the lamp", "to see over the wall", "in surprise", "with fright", "like a kangaroo",
                "like a frog", "like a basketball player", "over a rope", "on a trampoline", "on the spot",
                "in triumph", "at the sight of a spider", "when the music starts", "to look over the fence",
                "to pick an apple", "as if on springs", "after the victory", "to head the ball",
                "like a happy child",
            ),
        ),
    ),
    "jump_repeat": (
        (
            ("jump", "hop", "bounce", "jump up and down", "keep jumping", "hop up and down"),
            (
                "with joy", "with excitement", "on a trampoline", "like a kangaroo", "like a rabbit",
                "over a rope", "in place", "on the bed", "at a concert", "like a happy child", "to keep warm",
                "to the music", "as if on springs", "in triumph",
            ),
        ),
    ),
    "kick_ball": (
        (
            (
                "kick the ball", "shoot the ball", "boot the ball", "strike the ball", "smash the ball",
                "send the ball", "kick the football", "kick a soccer ball", "pass the ball", "play the ball",
            ),
            (
                "into the goal", "over the fence", "to a team mate", "against the wall", "across the field",
                "past the keeper", "down the pitch", "to the other side", "as far as possible",
                "out of the way", "to a friend", "into the net", "through the window", "with full force",
                "high into the air", "with the foot", "with the inside of the foot", "with a hard kick",
                "with the tip of the shoe",
            ),
        ),
    ),
    "climb_ladder": (
        (
            ("climb", "go up", "get up", "mount", "ascend", "climb up"),
            (
                "the ladder to the roof", "a ladder to the attic", "the rungs to the platform",
                "a ladder onto the ship", "the ladder of the fire escape", "the ladder of the water tower",
                "a ladder to the tree house", "a ladder to change a lamp", "the ladder to the diving board",
                "a ladder to pick apples", "a ladder against the wall", "the ladder to the top",
                "a ladder to the window", "the ladder in the barn",
            ),
        ),
    ),
    "sit": (
        (
            (
                "sit", "sit down", "take a seat", "have a seat", "settle", "take a place", "drop down",
                "sink down",
            ),
            (
                "on a bench", "on the sofa", "on the bed", "at the desk", "on the stool", "at the table",
                "on a chair", "in an armchair", "on the couch", "on a park bench", "in the waiting room",
                "by the window", "on a wooden box", "at the bar", "on a low wall", "in the front row",
                "on the bus", "on a throne", "to read a book", "to tie a shoe", "for dinner", "for a meeting",
                "to rest", "with a sigh", "next to a friend", "after a long day",
            ),
        ),
    ),
    "laugh": (
        (
            ("laugh", "laugh out loud", "laugh hard", "chuckle", "giggle", "burst out laughing", "crack up"),
            (
                "at a joke", "at a funny film", "about a story", "until the tears come",
                "with the whole body", "at the clown", "with delight", "helplessly", "at the news",
                "about a silly mistake", "holding the belly", "with friends", "at a funny picture",
                "like a villain", "like a small child", "at the dinner table",
            ),
        ),
    ),
    "boxing": (
        (
            (
                "box", "throw punches", "punch", "spar", "jab", "shadow box", "practise boxing", "throw jabs",
                "fight",
            ),
            (
                "in the ring", "against a heavy bag", "in front of a mirror", "with gloves on",
                "against an opponent", "with a coach", "like a champion", "like a boxer", "with both fists",
                "during boxing training", "in a boxing match", "left and right", "with the guard up",
                "with quick fists", "at a punching bag", "like a heavyweight", "for the title",
            ),
        ),
    ),
}
"""Verb phrases that say the action together with an ending, and these endings."""

NOUNS: dict[str, tuple[str, ...]] = {
    "walk_forward": (
        "walk", "walk straight ahead", "forward walk", "walk cycle", "stroll", "few steps forward",
        "plain walk", "walk loop", "normal walk", "standard walk cycle", "straight walk",
    ),
    "walk_circle": ("walk in a circle", "lap on foot", "circular walk", "round walk", "full circle on foot"),
    "walk_backwards": (
        "backward walk", "walk backwards", "walk in reverse", "few steps back", "retreat on foot",
    ),
    "run_forward": ("run", "sprint", "jog", "forward run", "run cycle", "dash", "run straight ahead"),
    "run_backwards": ("backward run", "backward jog", "run in reverse", "run backwards", "backward sprint"),
    "run_circle": ("run in a circle", "lap at a run", "jog in a circle"),
    "jump": (
        "jump", "leap", "vertical jump", "jump into the air", "high jump on the spot", "jump with both feet",
    ),
    "jump_repeat": ("row of jumps", "series of hops", "few jumps on the spot"),
    "stand_still": ("standing pose", "idle pose", "standing idle", "moment of standing still", "calm stand"),
    "turn_left": (
        "walk with a left turn", "left turn on foot", "left turn at a walk", "walk round a left corner",
        "turn to the left while walking", "walk with a turn to the left", "left-hand bend on foot",
        "walk cycle with a left turn",
    ),
    "salsa": ("salsa", "salsa dance", "salsa routine", "salsa step", "bit of salsa", "lively salsa"),
    "kick_ball": (
        "penalty kick", "free kick", "hard kick", "shot at the goal with the foot", "football kick",
        "soccer kick", "kick of a ball",
    ),
    "boxing": (
        "boxing combination", "series of punches", "boxing drill", "boxing match", "flurry of jabs",
        "one-two",
    ),
    "climb_ladder": ("climb up a ladder", "ladder climb", "ascent of a ladder", "climb, rung by rung"),
    "sit": ("sit down on a chair", "seated rest", "rest on a bench", "move from standing to sitting"),
    "laugh": (
        "laugh", "hearty laugh", "fit of laughter", "burst of laughter", "loud laugh", "giggle",
        "wicked laugh", "loud cackle", "mad laugh", "deep laugh",
    ),
    "cartwheel": ("cartwheel", "sideways flip", "quick cartwheel", "perfect cartwheel"),
}
"""Names of the action without an article."""

ALONG = (
    "down the hall", "down the hallway", "down the corridor", "along the street", "along the road",
    "along the beach", "along the river", "through the park", "through the forest", "through the crowd",
    "across the yard", "across the field", "across the stage", "across the room", "over the bridge",
    "down the street", "up the road", "down a long aisle", "along the platform", "along the wall",
    "along a narrow path", "through the snow", "in the rain", "across the parking lot",
    "across the playground", "through a tunnel", "along the sidewalk", "through the station",
    "on a treadmill", "along the line", "on the sand", "in the hallway", "in the gym", "down the lane",
    "along the fence", "along the shore", "past the houses", "past the camera", "through the house",
    "across the square", "along the track", "on the court", "across the pitch", "along the footpath",
    "on the grass", "in a straight line", "for a few metres", "for ten seconds",
    "on the left side of the road", "on the right side of the road",
)
"""Where one walks and runs, whichever way one faces."""

TOWARDS = (
    "towards the door", "towards the camera", "toward the viewer", "to the window", "to the other side",
    "to the shop", "to school", "to work", "to the car", "to a friend", "up to the counter", "to the exit",
    "towards the light", "to the station", "home", "to the front of the class", "towards the audience",
    "to the gate", "up to the altar", "to the bus stop", "toward the house", "to the bar",
    "to the end of the street", "to the finish line", "to meet a friend", "to open the door",
    "to get the mail", "to fetch a glass", "to say hello", "with the dog", "with a bag in the hand",
    "like a soldier", "like a tourist", "like a man with a plan", "like a model",
)
"""Where and what for one goes ahead."""

HASTE = (
    "to catch the train", "to catch a bus", "for dear life", "to escape", "away from the danger",
    "after a thief", "in panic", "to win the race", "like a sprinter", "like an athlete",
    "as fast as possible", "to get help", "at top speed", "in a race", "before the bus leaves",
    "away from a dog", "away from the fire", "in a marathon", "to be first", "for shelter",
    "to the finish line", "like the wind", "after the ball", "because it is late", "to keep fit",
    "for the exit", "out of the house", "away from the police",
)
"""What makes people run."""

REARWARDS = (
    "away from the fire", "away from the edge", "away from a snake", "away from the camera",
    "away from the table", "away from the crowd", "from the window", "to the wall",
    "while watching the others", "while looking ahead", "with the eyes on the ball", "facing the audience",
    "facing forward", "with the face to the front", "with the eyes on the enemy", "without looking back",
    "without turning round", "away from the dog", "facing the viewer", "with the eyes on the others",
    "away from the danger", "out of the room", "out of fear", "looking straight ahead",
    "in front of the group",
)
"""Of steps and runs backwards."""

RETREATING = (
    "like a defender", "like a football player", "in training", "as a warm-up", "in panic", "in a drill",
    "as fast as possible", "during the match", "at top speed", "to follow the game", "like a goalkeeper",
)
"""What makes people run backwards."""

STANDING = (
    "at the bus stop", "in a queue", "like a statue", "by the door", "at the gate", "in front of the mirror",
    "with nothing to do", "for a photo", "with arms at the sides", "on guard", "in line", "next to the car",
    "in the corner", "like a soldier", "without a word", "without any movement", "as if frozen", "at rest",
    "doing nothing", "on the platform", "behind the counter", "under a tree", "for the whole time",
    "on parade", "with the eyes closed", "as a guard", "in the lift",
)
"""Of standing."""

DANCING = (
    "at a party", "in a club", "to latin music", "with swaying hips", "on the dance floor", "alone",
    "in the kitchen", "at a wedding", "with quick feet", "at a festival", "on the stage", "in a dance class",
    "with a smile", "like a professional", "to a fast song", "in the street", "with loose shoulders",
    "with passion",
)
"""Of dancing."""

TUMBLING = (
    "on the lawn", "on the mat", "across the grass", "on the beach", "in gym class", "like an acrobat",
    "like a circus artist", "for the crowd", "to show off", "with straight legs", "in the yard",
    "in the meadow", "at the competition", "across the gym", "like a cheerleader", "with joy", "in the park",
)
"""Of cartwheels and the like."""

ANYWHERE = (
    "in the park", "at home", "outside", "on the stage", "in the living room", "in the garden", "at the gym",
    "in front of the camera", "on the beach", "at a party", "in the yard", "at work", "in the office",
    "in an empty room", "in the street", "in front of a crowd", "on the lawn", "in the studio", "at night",
    "in the morning", "in the sun", "after lunch", "on a sunny day", "in the school yard", "on the roof",
    "while others watch", "alone", "once again", "for fun", "with a smile", "with ease", "with great joy",
    "all alone", "for a moment", "at once", "for the camera", "in a film scene", "with confidence",
    "like a child", "like a professional", "on the left of the stage", "on the right of the stage",
    "in the background", "just like that", "in silence", "during the break", "at the festival", "in the film",
    "as in a dream",
)
"""Endings that go with anything."""

ENDINGS: dict[str, tuple[tuple[str, ...], ...]] = {
    "walk_forward": (ALONG, ALONG, TOWARDS, TOWARDS),
    "run_forward": (ALONG, TOWARDS, HASTE, HASTE),
    "walk_backwards": (ALONG, REARWARDS, REARWARDS),
    "run_backwards": (ALONG, REARWARDS, REARWARDS, RETREATING),
    "stand_still": (STANDING,),
    "salsa": (DANCING,),
    "indian_dance": (DANCING,),
    "dance": (DANCING,),
    "cartwheel": (TUMBLING,),
    "zigzag": (ALONG,),
    "walk_stop": (ALONG,),
    "walk_around": (ALONG,),
    "dribble": (ALONG,),
}
"""Endings per action, beside `ANYWHERE`; what stands twice is drawn twice as often."""

LEADS = (
    "suddenly", "at night", "after a moment", "in this scene", "at the signal", "outside", "in the park",
    "at the beginning", "here", "on stage", "first", "in the film", "all at once",
)
"""What may stand before an instruction, with a comma."""

DOERS = (
    "a boy", "a girl", "the guard", "the hero", "a soldier", "an old man", "a child", "the guy", "a tall man",
    "a teacher", "the detective", "an athlete", "a teenager", "the player", "a worker", "an old woman",
    "my character", "the robot", "a tourist", "the waiter", "a young woman", "the actor", "a student",
    "the neighbour", "a dancer", "the king", "a nurse", "the farmer", "anna", "the captain", "a father",
    "a businessman", "the queen", "a sailor", "a fireman",
)
"""Who does it, beside "a person" and its like."""
# fmt: on
