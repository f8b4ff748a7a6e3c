"""Kinesics inference engine: speech and words to full-body motion. Never imports bpy."""
