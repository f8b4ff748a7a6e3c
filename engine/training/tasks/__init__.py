# SPDX-License-Identifier: GPL-3.0-or-later
"""Stage 3: what the model can be asked for, in many wordings each."""
