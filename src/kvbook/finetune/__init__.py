"""Fine-tuning a chat model on question-answer data: the data, LoRA, the merge, BERTScore."""
