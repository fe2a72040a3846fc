"""Make the embedded encoder's baseline again, from the training data's answers."""

from kvbook.finetune.score.baseline import baseline_texts, make_baseline
from kvbook.finetune.score.scorer import BASELINE, LAYERS, Encoder
from kvbook.lm.encoder import NAME, fetch_encoder
from kvbook.places import place

if __name__ == "__main__":
    encoder = Encoder(NAME, fetch_encoder(), LAYERS[NAME])
    make_baseline(baseline_texts(), encoder).write(place("data") / BASELINE)
