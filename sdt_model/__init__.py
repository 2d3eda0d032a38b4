"""SDT, the transformer with self-distillation that reads emotions in a conversation.

Ma, Wang, Lin, Zhang, Zhang, Xu: *A Transformer-Based Model With Self-Distillation for Multimodal
Emotion Recognition in Conversations*, IEEE TMM 2023 (arXiv 2310.20494). Start with ``model.py``.
Features go in, probabilities come out; nothing here knows about media, devices or windows.
"""
