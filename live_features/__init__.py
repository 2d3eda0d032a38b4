"""From raw media to utterances and their features: sources, endpoints, words, voice, faces.

Nothing here knows Qt, the app or SDT itself; a block is a plain callable or a small object with
``reset()``, and models and devices are handed in.
"""
