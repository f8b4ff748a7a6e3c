# SPDX-License-Identifier: GPL-3.0-or-later
"""The wordings of every task, as patterns (see `grammar`).

`{audio}` and `{motion}` are read as noun phrases ("the speech", "the motion"), `{given}`, `{wanted}`,
`{worded}` and `{spoken}` as lists of parts ("the face and the hands"), `{mood}` as an adjective, `{emotion}`
as a label; `{caption}` stands in quotes or behind a colon.
"""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """What a task maps to what."""

    AUDIO_TO_MOTION = "audio_to_motion"
    TEXT_TO_MOTION = "text_to_motion"
    AUDIO_TEXT_TO_MOTION = "audio_text_to_motion"
    EMOTION_TO_MOTION = "emotion_to_motion"
    AUDIO_EMOTION_TO_MOTION = "audio_emotion_to_motion"
    MOTION_TO_EMOTION = "motion_to_emotion"
    MOTION_TO_TEXT = "motion_to_text"
    AUDIO_TO_TEXT = "audio_to_text"
    PART_TO_PART = "part_to_part"
    IN_BETWEEN = "in_between"
    CONTINUE = "continue"


PATTERNS: dict[Kind, tuple[str, ...]] = {
    Kind.AUDIO_TO_MOTION: (
        "[Generate|Create|Produce] [body motion|a performance|gestures and expressions]<length> for {audio}.",
        "[Animate|Move] {wanted} [to match|in time with] {audio}<time>.",
        "[Let|Have] the character say {audio} and [gesture|move] along<time>.",
        "[What|Which] motion of {wanted}<lasting> [fits|accompanies] {audio}?",
        "Given {audio}, [show|write down] how {wanted} would move<time>.",
        "Turn {audio} into [body language|a lively performance]<length>.",
        "Listen to {audio} and [act it out|accompany it]<time>.",
        "[Perform|Embody] {audio} with {wanted}<time>.",
        "Someone is speaking: {audio}. [Supply|Add] the [motion|movement]<length> that belongs to it.",
    ),
    Kind.TEXT_TO_MOTION: (
        "[Generate|Create|Produce] [motion|a movement|an animation]<length> for this description: {caption}",
        '[Animate|Move] {wanted} as "{caption}" says<time>.',
        '[Make|Have] the character follow the instruction "{caption}"<time>.',
        '[What|Which] motion<length> would "{caption}" [describe|stand for]?',
        '[Show|Act out] what is meant by "{caption}"<time>.',
        'Turn the words "{caption}" into [motion|movement]<length>.',
        "[Obey|Follow|Carry out] this instruction<time>: {caption}",
        "Act out this [scene|stage direction]<time>: {caption}",
        'Given the text "{caption}", [move|animate] {wanted}<time>.',
    ),
    Kind.AUDIO_TEXT_TO_MOTION: (
        '[Let|Have] {spoken} follow {audio} and {worded} obey "{caption}"<time>.',
        "[Generate|Create] a performance of {audio}<lasting> and make {worded} do this: {caption}",
        'Speak {audio} with {spoken}; for {worded}, follow "{caption}"<time>.',
        '[Animate|Move] {worded} by the words "{caption}" and {spoken} by {audio}<time>.',
        "[Combine|Join] {audio} in {spoken} with [an action|an instruction] in {worded}<time>: {caption}",
        'Say {audio} and, [at the same time|meanwhile], let {worded} do what "{caption}" says<time>.',
        "[Use|Take] {audio} for {spoken}, and [use|take] this instruction for {worded}: {caption}",
        'While {audio} drives {spoken}<time>, "{caption}" [directs|guides] {worded}.',
        '[What|Which] motion<length> [joins|unites] {audio} in {spoken} and "{caption}" in {worded}?',
        "[Perform|Act out] {audio}<time>, but with this direction for {worded}: {caption}",
    ),
    Kind.EMOTION_TO_MOTION: (
        "[Generate|Create|Produce] [motion|body language]<length> that shows someone who [is|feels] {mood}.",
        "[Move|Act|Behave] like a person who [is|feels] {mood}<time>.",
        '[Express|Show] the emotion "{emotion}" with {wanted}<time>.',
        "[Make|Let] the character [look|seem|appear] {mood}<time>.",
        '[Which|What] motion of {wanted}<lasting> [conveys|shows] the feeling "{emotion}"?',
        "How would {wanted} move<time> if the person [were|felt] {mood}?",
        '[Perform|Act] without words<time>, and [let "{emotion}" be the mood|be {mood} throughout].',
        '[Turn|Translate] the label "{emotion}" into [gestures and expressions|a silent scene]<length>.',
    ),
    Kind.AUDIO_EMOTION_TO_MOTION: (
        "[Generate|Create|Produce] a performance of {audio}<lasting> by someone who [is|feels] {mood}.",
        "[Say|Speak] {audio} as a person who [is|feels] {mood} would<time>.",
        "[Animate|Move] {wanted} to {audio}<time> so that the person [looks|seems] {mood}.",
        'Accompany {audio} with motion<length> that [conveys|expresses] the emotion "{emotion}".',
        "Let the character [speak|perform] {audio} and [be|feel|seem] {mood}<time>.",
        '[Which|What] motion<length> fits {audio} if the [mood|emotion] is "{emotion}"?',
        'Given {audio} and the label "{emotion}", [move|animate] {wanted}<time>.',
        "The speaker of {audio} is {mood}: [show|express] it with [the whole body|every gesture]<time>.",
    ),
    Kind.MOTION_TO_EMOTION: (
        "[Which|What] emotion does {motion}<length> [show|express|convey]?",
        "[Name|Identify|Recognise] the [emotion|feeling] in {motion}<length>.",
        "How does the person [in|behind] {motion}<length> feel?",
        "[Look at|Watch|Read] {motion}<length> and [name|tell] the mood.",
        "Judging by {motion}<length>, what does this [person|character] feel?",
        "[Classify|Label] {motion}<length> by its emotion.",
        "Tell the feeling in {given} from {motion}<length>.",
        "Which of the eight emotions can be [seen|found] in {motion}<length>?",
    ),
    Kind.MOTION_TO_TEXT: (
        "[Describe|Summarise|Caption] {motion}<length> in [words|a sentence].",
        "What is [the person|the character|someone] doing in {motion}<length>?",
        "[Which|What] instruction would lead to {motion}<length>?",
        "[Write|Give|Supply] a [description|caption] of {motion}<length>.",
        "[Look at|Watch] {motion}<length> and say what happens.",
        "[Put|Translate] {motion}<length> into [English|words].",
        "[Explain|Tell] what {motion}<length> shows.",
        "Which action can be seen in {given} during {motion}<length>?",
    ),
    Kind.AUDIO_TO_TEXT: (
        "[Transcribe|Write down|Spell out] {audio}<length>.",
        "[What does the speaker say|Which words are spoken|What can be heard] in {audio}<length>?",
        "[Write|Give|Supply] the [transcript|words|text] of {audio}<length>.",
        "[Turn|Convert|Translate] {audio}<length> into [text|writing].",
        "[Listen to|Hear] {audio}<length> and [write down|note] every word.",
        "[Put|Take] {audio}<length> down [in writing|as text].",
        "Read {audio}<length> back as [a sentence|text].",
    ),
    Kind.PART_TO_PART: (
        "[Generate|Create|Predict] the motion of {wanted}<lasting> from {motion} of {given}.",
        "[Complete|Complement] {motion} of {given} with the [motion|movement] of {wanted}<lasting>.",
        "Given {motion} of {given}, [animate|move] {wanted}<time>.",
        "[What|Which] motion of {wanted}<lasting> [goes with|fits] {motion} of {given}?",
        "How would {wanted} move<time> [together with|along with] {motion} of {given}?",
        "[Add|Supply] {wanted} to {motion} of {given}<time>.",
        "[Infer|Guess|Tell] from {motion} of {given} how {wanted} would move<time>.",
        "All that is known is {motion} of {given}: [fill in|find] the motion of {wanted}<lasting>.",
        "[Let|Have] {wanted} join {motion} of {given}<time>.",
    ),
    Kind.IN_BETWEEN: (
        "[Fill|Close] the gap in {motion}<length>.",
        "[Complete|Restore|Repair] {motion}<length>, of which [a stretch|one piece] is missing.",
        "[Find|Supply|Generate] the frames that are hidden in {motion}<length>.",
        "[What|Which] movement joins the two ends of {motion}<length>?",
        "Some steps of {motion}<length> are [masked|hidden]: [write|give] it whole.",
        "[Bridge|Smooth over] the hole in {motion}<length>.",
        "[Make|Write] {motion}<length> whole again.",
        "[Connect|Join] what comes before and after the gap in {motion}<length>.",
        "[Rebuild|Recover] {motion} of {wanted}<lasting> from its [remains|visible steps].",
    ),
    Kind.CONTINUE: (
        "[Continue|Carry on|Extend] {motion}<time>.",
        "[What|Which] movement<length> comes [after|next after] {motion}?",
        "[Predict|Foresee|Generate] the motion<length> that follows {motion}.",
        "{motion} is the beginning: [go on|continue|carry on] from there<time>.",
        "[Animate|Move] {wanted} on from the end of {motion}<time>.",
        "[Finish|Complete] what {motion} [begins|starts]<time>.",
        "How could {motion} go on<time>?",
        "Given the first moments in {motion}, [write|supply|show] the [rest|remainder]<length>.",
    ),
}
"""Patterns of every task."""
