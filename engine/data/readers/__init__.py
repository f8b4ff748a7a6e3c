# SPDX-License-Identifier: GPL-3.0-or-later
"""Readers of corpora in their published layouts: one module per source, one kind of record."""
