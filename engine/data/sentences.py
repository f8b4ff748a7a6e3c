# SPDX-License-Identifier: GPL-3.0-or-later
"""Sentences written for this project, for synthetic voices; many close, round or spread the lips."""

from __future__ import annotations

SENTENCES: tuple[str, ...] = tuple(
    line.strip()
    for line in """
    Maybe my mother made more marmalade than we could ever eat.
    Please bring both blue boxes up to the back room before breakfast.
    I met him by the bridge, and we both began to laugh.
    You would never believe how many people came to the meeting.
    We were wondering whether you would want one too.
    Who put the new shoes on the wooden stool?
    She sees three green trees beneath the street.
    Five fat foxes found a very fine field of clover.
    Stop! Put that down before somebody gets hurt.
    Well, I suppose we could try it one more time.
    No, no, no, that is not what I meant at all.
    First we measure, then we mark, and only then do we cut.
    I promise you, by Monday morning it will all be working.
    Oh, what a wonderful surprise to see you here!
    It was so quiet that I could hear the snow falling.
    Have you ever looked up at the moon and felt a little small?
    The problem is simple, but the answer is not.
    On one side we have speed, and on the other side we have care.
    Open the window, would you? It is far too warm in here.
    He walked in, looked around, and walked straight out again.
    Honestly, I do not know what to say about that.
    My point is this: nobody asked the people who live there.
    A big brown bear was sleeping behind the old barn.
    Push the button, pull the lever, and hope for the best.
    We used to swim in that river every single summer.
    That is a beautiful thing to say, thank you so much.
    How many times have I told you to knock first?
    The whole village smelled of bread and wood smoke.
    Perhaps we should begin again from the very beginning.
    If it rains tomorrow, we will move everything inside.
    Look over there, just above the roof, do you see it?
    There were apples, plums, pears and a bowl of cherries.
    I am not angry, I am only a bit disappointed.
    Imagine a room with no doors and only one small lamp.
    Do not worry, we have plenty of time left.
    They moved here from the coast about eleven years ago.
    Every morning he feeds the pigeons and reads the paper.
    Would you mind moving your bag over to the other chair?
    Slowly, very slowly, the boat turned towards the harbour.
    What I love most about this place is the light.
    Two plus two is four, at least it was yesterday.
    Can somebody tell me where the meeting has been moved to?
    Bob bought a bag of peppers, a pump and a piece of rope.
    Mum, my homework got wet, and my maps are ruined.
    The wolf howled, the owl hooted, and the fire went out.
    Few of you knew the truth, and fewer said it aloud.
    Cheese, beans, peas and leeks; that is all we need.
    She sells fresh fish, and he shines shoes by the station.
    Vivian lives over the van hire office, above the florist.
    Thirty-three thin threads went through the thick cloth.
    The judge gently changed the subject to something cheerful.
    Yes, you may use the yellow umbrella until the evening.
    I will be brief, because I know that you are busy.
    Let me tell you about the strangest day of my life.
    At first nothing happened, and then everything happened at once.
    The music got louder and louder until the windows shook.
    Come in, sit down, and make yourself at home.
    It is over. We did what we could, and now it is over.
    You were right and I was wrong, so let us move on.
    The smaller one costs more, which makes no sense to me.
    Wait a minute, did you hear that noise upstairs?
    Nobody told me that the shop would be closed today.
    I have three questions, and the last one matters most.
    The road goes up the hill, past the church, and down to the sea.
    We tried, we failed, and we tried again.
    When the lights came on, everyone began to clap.
    That was the best soup I have ever eaten in my life.
    Please do not touch the paint, it is still wet.
    My brother builds tiny boats out of matches and glue.
    Our team lost by a point, but we played a great game.
    In my opinion, the blue one is better than the purple one.
    So here is the plan: we leave at five and we travel light.
    What on earth were you thinking?
    The baby pointed at the balloon and laughed and laughed.
    Good evening, and welcome to the show.
    Unfortunately, the bus that we wanted does not run on Sundays.
    Remember the summer when the lake was full of frogs?
    I could not believe my eyes; the whole wall was painted gold.
    Take a deep breath, hold it, and now let it go.
    A good cook needs patience, a sharp knife and a warm pan.
    He mumbled something about a map, a tomb and a broken lamp.
    The teacher wrote a long word on the board and smiled.
    How could you possibly have known that before me?
    There is a small cafe on the corner where we used to meet.
    Both of my grandparents came from villages that no longer exist.
    Keep going, keep going, you are nearly at the top!
    The machine hums, clicks twice, and begins to move.
    I would rather walk for an hour than wait for a minute.
    Some people whisper when they are afraid, and others shout.
    It was neither warm nor cold, just perfectly pleasant.
    We need more paper, more pens, and far more patience.
    Everything you see here was made by hand in this room.
    Not once, not twice, but seven times she climbed that tower.
    The wind was up, the waves were huge, and we were all wet through.
    You pay now, or you pay later, but you always pay.
    Could you show me how this works, step by step?
    Somewhere between the two answers, there has to be a third.
    I bought a book about bees, and now I want a hive.
    The old man paused, shook his head, and poured another cup.
    Please speak up; the people at the back cannot hear you.
    Twelve months, fifty-two weeks, and still no reply.
    Why would anybody build a bridge that leads nowhere?
    The cat jumped up, grabbed the ham, and bolted out of the room.
    Allow me to introduce my friend from across the water.
    This one is heavy, so bend your knees when you lift it.
    Nothing is impossible, but some things are very improbable.
    We were young, we were foolish, and we were happy.
    The price went up in March, in April, and once more in May.
    Be careful with that, it belonged to my grandmother.
    After a long silence, she picked up the phone and called.
    I think, and correct me if I am wrong, that we have met before.
    Over the years I have learned to pack only what I can carry.
    The door was open, but nobody was home.
    Fold the paper in half, and then in half again.
    We could go by train, by boat, or even by bicycle.
    What a shame, the garden was so lovely last week.
    A thousand people waved as the ship pulled away.
    You have to see it from above to understand its shape.
    Half of them agreed, half of them did not, and I stayed out of it.
    The soup is too hot, the bread is too hard, and I am too hungry to care.
    Tell me the truth: did you like it or not?
    The bumblebee bumped the window and buzzed away.
    Water, wind and wood; with these they powered the mill.
    I was about to leave when the telephone rang.
    Whoever wrote this letter knew exactly what to say.
    There, there, do not cry, it will be better tomorrow.
    All right, everybody, let us get to work.
    You choose a card, you look at it, and you put it back.
    It might be true, but I would want to see some proof.
    The higher we climbed, the thinner the air became.
    No matter how often I explain it, he shakes his head.
    They have promised to improve it by the middle of November.
    Her voice was soft, but every word of it was clear.
    We opened the map, and there it was, a path by the lake.
    Use a little oil, a lot of pepper, and fresh parsley on top.
    That is it, I have had enough, I am going home.
    Who knows? Maybe tomorrow we will laugh about it.
    The gate squeaks, the steps creak, and the bell does not work.
    One day, when you are older, you will understand why.
    I saw a fox, a hawk, and two deer on my way to work.
    Thank you all for coming such a long way this evening.
    Before we begin, please put away your phones.
    The simplest tool is often the one that works the best.
    If you move that one, the whole pile will fall over.
    To the left you see the old town, and to the right the new one.
    What happened next, nobody could have predicted.
    He is tall, he is loud, and he is always late.
    I owe you an apology, and I hope that you will accept it.
    Every problem we solved led us to a bigger one.
    """.splitlines()
    if line.strip()
)
"""About 150 sentences of 1 to 6 seconds."""
