# SPDX-License-Identifier: GPL-3.0-or-later
"""How each group of rows is measured, printed under its table in `docs/evaluation.md`."""

from __future__ import annotations

NOTES: dict[str, str] = {
    "tokenizers": """
Held-out captured clips as captured, without editing or mirroring, cut into windows of 64 frames
(2.1 s, the published window; a shorter clip is one window), encoded and decoded; means over
windows. MPJPE: 22 joints, pelvises aligned; the goal is read in the heading frame, that is with
each frame's own heading given, and a row below lets the decoded turn rate add up over the window.
Joint angle error: geodesic angle between local rotations of the 22 joints; the three worst joints
are named.""",
    "text": """
Legs and upper body from one instruction, no sound, feet planted; clips of 5 s, circles 8 s; seeds
0, 1, 2 and so on. Brackets hold the 5th and 95th percentile. "Wrong instruction" rows give how
often clips of the other six instructions pass a probe. Captured rows run the same probes over
prepared captured clips with that label. The unseen wordings of each (10 seeds) never occur in training but
were looked at during development; "Fresh wordings" has others.""",
    "feet": """
Clips of "walk forward". Slide: per clip the median horizontal speed of whichever toe joint is
lower, then the median over clips. Knee: 99th percentile of the knees' angular acceleration over all
clips, over that of captured walks that pass the same probe.""",
    "lips": """
The first 10 s of each held-out recording. Correlation: mean over clips of the Pearson correlation
of jawOpen with the amplitude envelope at each lag; the best lag is given, positive is late. Groups:
round = funnel + pucker, spread = stretch + smile, press = press + roll + close; correlations (also
with the loudness) and deviations are taken while speaking. Another's voice: the next recording's, for
correlation and silence; the other rows are of the face. Captured BEAT2 motion measures 0.32 at a
lag of 1 frame. Lips that meet: espeak-ng says sentences in variants of its voices, neither of which
anything learned from; a sound counts where the middle of the default character's lips is at most 1 mm
apart at some frame from 0.04 s before the sound to its end. The sentences are full of these sounds, so
lips meet often by chance.""",
    "gesture": """
Corrected beat consistency (sigma 0.3 s, half a second left out at either end, joints relative to
the pelvis): each clip of 10 s against its own sound and the mean over all others; both are
averaged over three takes of a recording, then a one-sided Wilcoxon signed-rank test over
recordings. A beat is a minimum of a joint's speed above 0.1 of its mean speed, the threshold of
the public evaluation package; of the two public thresholds it tells the performer's own motion
from chance more surely, and was chosen on that before any model was measured. The other, 0.3, is
given too.""",
    "published": """
The published figures on BEAT2 cannot be compared with these: other data, another skeleton, onsets of our
own detector, and its trained encoder and mean velocities are not used. "As published" reproduces the public
code's slips (checked against its own values in the tests), "corrected" does not. Beats of both groups are
found by one mean speed per joint, the performer's; another's sound: the next recording's. Frechet distance:
means and deviations of the upper body's rotations in windows of 32 frames, 24 principal components scaled
to unit total variance. It compares two sets of clips and L1 diversity is the spread of one: no sound enters
either, so they have no row for the wrong one. Face errors are over ARKit channels against the performer,
which is one right answer of many.""",
    "both": """
Speech above and "walk forward" below in one request, 10 s of each held-out recording; then, on 8 s
of each, the same speech and seed with the legs given each of the paper's five editing examples and
face, hands and upper body kept. Kept means that rotations and face channels hold the same bits.
Beat consistency is read in the pelvis' own frame here: relative to a pelvis that does not turn,
the swing that walking gives the trunk hides the beats even of the performer on captured walks, as
the rows below show. Another's voice: the next recording's.""",
    "seams": """
Held-out recordings joined to takes of 60 s. Mean acceleration of the 22 body joints within two
frames of each place where a window begins, over that everywhere else: 1 cannot be seen, more is a jolt,
less a lull, or a body that trembles everywhere else.""",
    "control": """
The same request twice, and parts that were asked to be kept, compared bit by bit. Distance: joints relative
to the pelvis at the same moment, mean over pairs of takes, of 8 s; the performer's pairs are of different
speakers.""",
    "actions": """
Nine further actions of the data; seeds, sides and unseen wordings as for the probes above. A clip does the
action where every bound of its probe holds; salsa and laughing must also be told as such by our evaluator,
which picks the nearest of all 16 instructions. Both shares are printed for each. Captured rows run the same
on prepared captured clips: a probe that they fail would be wrong. "Through the tokenizers": the same clips
as codes and back; what is lost there no language model over these codes can do. "Wrong instruction": clips
of the other eight.""",
    "fresh wordings": """
Four or five wordings for each of the 16 probes above, by someone who had read nothing of this project; those
who wrote the training captions of starter 0.2.7 and chose its weights had neither measured nor read them
then. At most 10 seeds each, judged as above. They may share words with
training captions, but none equals one, whoever is said to do it. The unseen wordings of the tables above
never occur in training either, but were looked at during development: packs were chosen by some of them, and
wordings near to them were added to training. No pack may be chosen by the fresh ones, or they are fresh no
more.""",
    "retrieval": """
Our evaluator of text and motion, trained on the training clips alone (a motion near its own caption, far
from others), on clips made from the first caption of 96 held-out clips, chosen evenly among all, each with a
seed of its own. R-precision is the mean over all groups of 32 that a text and the others make,
diversity over all pairs of clips. Multimodality: the eight captions that the most recordings share; pairs of
seeds, and of captured clips of different recordings. Captured clips are edits of few recordings (mirrored,
at other speeds, along other paths), so an interval draws recordings anew, with all clips made of them and of
their captions; that of multimodality draws captions, and seeds or recordings within each. After the sign
stands half of the 95 % interval, 1.96 standard deviations over 500 draws: it covers clips, captions and
seeds, not another training of the evaluator; of FID, with so few recordings, it is rather too wide. Figures
compare packs measured with the same evaluator, not with published ones; earlier tables took the first 96
clips, which are of ten recordings.""",
    "emotion": """
Held-out performances, whose emotion is known, and clips generated with an emotion asked for, told by the pack
itself, one of eight. Words: BLEU-1, ROUGE-L and CIDEr of `pycocoevalcap`, BERTScore of `bert_score` where
`--bert` names its model; chance gives each clip the words told of another.""",
    "reading": """
What the pack says of motions it has not seen, asked as the extension asks. Emotion: the performer on 10 s of
each held-out recording, once with every emotion. Action: held-out captured clips; the pack ranks the plainest
wording of every action it was trained on by the mean log likelihood of its words.""",
    "pace": """
Clips of 5 s by text alone, the same seeds with and without the adverb; mean speed along the heading.""",
    "fit": """
A clip's own 99th percentile of the mean acceleration of 22 joints, or of those of the hands, is its limit.
The goal is what the clip itself has above it in the same frames, or 1 % where that is less: of 240 frames, 3
lie above a 99th percentile. Gaps: 2 s in the middle of 8 s, filled and joined as the extension does by
default; frames within two of either end. Parts made for others: every frame.""",
    "co-speech": """
The first 10 s of each held-out recording. There is no captured motion of these recordings: the performer
that taught the pack stands for it, and a second performance of the same sound for how far two right answers
lie apart. Own sound: the clip's own recording, or its performance; another's: the next recording's. FGD in
latents of our own motion autoencoder (performances of the training set; one latent is 16 frames), and in
the published network where `--gesture-encoder` names its file; FGD compares two sets of clips and L1div is
the spread of one: no sound enters either, so they have no row for the wrong one. BC: beats of every group
are found by one mean speed per joint, so that all are normalised alike: the performer's, or the published
one where `--mean-velocity` names its file. Livelier motion than the performer's then has more beats that
count and a higher BC with any sound, as captured motion shows: what follows the sound is the difference of
the two. Onsets are of our own detector, not of the public code's. Captured motion: captured clips in
stretches of 10 s, made without these sounds. Standing still is the second performance's first frame held.
Foot sliding: speed of the lower toe; floor: ankles and toes below 2 cm.""",
    "physics": """
Clips of "walk forward" against held-out captured walks, as they are and with frames in random order.""",
    "speed": """
On the machine named above; time is the median of three runs, the torch import is not counted as
loading. Memory is the growth of resident memory from before loading, torch imported, to after these
runs.""",
}
"""Topic of rows to how they are measured."""
