"""How SerenGPT is made from a recorded log: split, samples, tokenizer, supervised fine-tuning, conversion, model card.

Knows nothing about topics, stores or files of events: whoever calls brings the events and items. Only `sft` and `convert` need
torch and transformers; everything else runs in the light install.
"""
