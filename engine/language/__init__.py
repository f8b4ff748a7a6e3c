# SPDX-License-Identifier: GPL-3.0-or-later
"""Words and codes to codes: instruction checks, the text encoder, the encoder-decoder and its sampling."""
