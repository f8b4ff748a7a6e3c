# SPDX-License-Identifier: GPL-3.0-or-later
"""Between signals and codes: motion and audio tokenizers, quantizers and the unified vocabulary."""
