"""Contrastive training of encoders on natural language inference, with LoRA or in full.

`choices` are the user's; `run` is the whole of a training. Data: `nli_files` and `aligned`
read, `triplets` pairs up, `text_store` keeps texts on disk, `sampling` makes batches. Model:
`trainee`, `loss`, and `trainer` (transformers' loop, with our batches and loss; `arguments` are
its settings). On the way: `dev` measures, `watch` warns, `folder` keeps snapshots and resumes.
At the end: `output`, `course`.
"""
