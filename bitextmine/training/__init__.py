"""Contrastive training of encoders on natural language inference, with LoRA or in full."""
