# SPDX-License-Identifier: GPL-3.0-or-later
"""The claim on our data: ablations of pretraining, and how little paired data suffices."""
