"""The seven classes, in MELD's order, that every student and the fused classifier use."""

EMOTIONS = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")
MODALITIES = ("text", "audio", "visual")
