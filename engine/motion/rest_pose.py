# SPDX-License-Identifier: GPL-3.0-or-later
"""Rest positions of the default character's 55 joints: T-pose, metres, Y up, pelvis at the origin.

Facing +Z with the left side on +X. The row order is `skeleton.JOINT_NAMES`. Segment lengths are
those of an adult 1.72 m tall (Winter, Biomechanics and Motor Control of Human Movement, 4th ed.,
table 4.1); finger lengths follow Buryanov and Kotiuk (2010).
"""

from __future__ import annotations

REST_JOINTS: tuple[tuple[float, float, float], ...] = (
    (0.0000, 0.0000, 0.0000),  # pelvis
    (0.0700, -0.0900, 0.0000),  # left_hip
    (-0.0700, -0.0900, 0.0000),  # right_hip
    (0.0000, 0.1100, -0.0200),  # spine1
    (0.0800, -0.5050, 0.0050),  # left_knee
    (-0.0800, -0.5050, 0.0050),  # right_knee
    (0.0000, 0.2450, -0.0150),  # spine2
    (0.0850, -0.9290, -0.0250),  # left_ankle
    (-0.0850, -0.9290, -0.0250),  # right_ankle
    (0.0000, 0.3000, 0.0050),  # spine3
    (0.1050, -0.9850, 0.1050),  # left_foot
    (-0.1050, -0.9850, 0.1050),  # right_foot
    (0.0000, 0.5100, -0.0350),  # neck
    (0.0500, 0.4250, -0.0250),  # left_collar
    (-0.0500, 0.4250, -0.0250),  # right_collar
    (0.0000, 0.5850, 0.0000),  # head
    (0.1750, 0.4450, -0.0400),  # left_shoulder
    (-0.1750, 0.4450, -0.0400),  # right_shoulder
    (0.4400, 0.4350, -0.0550),  # left_elbow
    (-0.4400, 0.4350, -0.0550),  # right_elbow
    (0.6950, 0.4400, -0.0550),  # left_wrist
    (-0.6950, 0.4400, -0.0550),  # right_wrist
    (0.0000, 0.5800, 0.0150),  # jaw
    (0.0320, 0.6450, 0.0750),  # left_eye_smplhf
    (-0.0320, 0.6450, 0.0750),  # right_eye_smplhf
    (0.7950, 0.4450, -0.0300),  # left_index1
    (0.8270, 0.4430, -0.0270),  # left_index2
    (0.8500, 0.4400, -0.0260),  # left_index3
    (0.8000, 0.4470, -0.0540),  # left_middle1
    (0.8340, 0.4450, -0.0540),  # left_middle2
    (0.8600, 0.4420, -0.0550),  # left_middle3
    (0.7800, 0.4400, -0.0950),  # left_pinky1
    (0.8000, 0.4380, -0.1000),  # left_pinky2
    (0.8150, 0.4360, -0.1040),  # left_pinky3
    (0.7920, 0.4440, -0.0760),  # left_ring1
    (0.8230, 0.4420, -0.0790),  # left_ring2
    (0.8470, 0.4400, -0.0810),  # left_ring3
    (0.7300, 0.4250, -0.0250),  # left_thumb1
    (0.7530, 0.4220, -0.0040),  # left_thumb2
    (0.7750, 0.4200, 0.0130),  # left_thumb3
    (-0.7950, 0.4450, -0.0300),  # right_index1
    (-0.8270, 0.4430, -0.0270),  # right_index2
    (-0.8500, 0.4400, -0.0260),  # right_index3
    (-0.8000, 0.4470, -0.0540),  # right_middle1
    (-0.8340, 0.4450, -0.0540),  # right_middle2
    (-0.8600, 0.4420, -0.0550),  # right_middle3
    (-0.7800, 0.4400, -0.0950),  # right_pinky1
    (-0.8000, 0.4380, -0.1000),  # right_pinky2
    (-0.8150, 0.4360, -0.1040),  # right_pinky3
    (-0.7920, 0.4440, -0.0760),  # right_ring1
    (-0.8230, 0.4420, -0.0790),  # right_ring2
    (-0.8470, 0.4400, -0.0810),  # right_ring3
    (-0.7300, 0.4250, -0.0250),  # right_thumb1
    (-0.7530, 0.4220, -0.0040),  # right_thumb2
    (-0.7750, 0.4200, 0.0130),  # right_thumb3
)
