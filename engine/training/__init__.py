# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of the starter pack: tokenizers first, then the language model. Never shipped."""
