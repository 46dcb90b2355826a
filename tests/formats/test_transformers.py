"""Folders of Hugging Face transformers, against the models that saved them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bridge
from bridge.errors import InvalidOption, UnreadableFile, UnsupportedModel

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.filterwarnings("ignore")

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
TEXT = {**SMALL, "vocab_size": 99}
ENDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
SEQ2SEQ = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "vocab_size": 99, **ENDS,
}  # fmt: skip
AUDIO = {
    **SMALL, "conv_dim": (16, 16), "conv_kernel": (10, 3), "conv_stride": (5, 2), "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4, "vocab_size": 32,
}  # fmt: skip
T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "vocab_size": 99}
RNG = np.random.default_rng(0)


def ids(*shape: int) -> np.ndarray:
    return RNG.integers(5, 99, shape)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def masked(batch: int, length: int) -> np.ndarray:
    mask = np.ones((batch, length), np.int64)
    mask[0, length // 2 :] = 0
    return mask


def saved(name: str, config: dict[str, Any], folder: Path) -> Any:
    torch.manual_seed(0)
    kind = getattr(transformers, name)
    model = kind(kind.config_class(**config)).eval()
    model.save_pretrained(folder)
    return model


PLAIN = {
    "BertForSequenceClassification": (
        TEXT,
        [{"input_ids": ids(b, n), "attention_mask": masked(b, n), "token_type_ids": ids(b, n) % 2} for b, n in ((2, 5), (3, 9))],
        ["logits"],
    ),
    "ViTForImageClassification": (
        {**SMALL, "image_size": 32, "patch_size": 8},
        [{"pixel_values": floats(b, 3, 32, 32)} for b in (2, 3)],
        ["logits"],
    ),
    "Wav2Vec2ForCTC": (AUDIO, [{"input_values": floats(b, n)} for b, n in ((2, 800), (1, 1300))], ["logits"]),
    "T5ForConditionalGeneration": (
        T5,
        [{"input_ids": ids(b, n), "attention_mask": masked(b, n), "decoder_input_ids": ids(b, 4)} for b, n in ((2, 5), (3, 9))],
        ["logits", "encoder_last_hidden_state"],
    ),
    "CLIPModel": (
        {"text_config": {**TEXT, **ENDS}, "vision_config": {**SMALL, "image_size": 32, "patch_size": 8}, "projection_dim": 16},
        [{"input_ids": ids(b, n), "attention_mask": masked(b, n), "pixel_values": floats(b, 3, 32, 32)} for b, n in ((2, 5), (3, 9))],
        ["logits_per_image", "text_embeds"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
def test_a_folder_answers_as_the_model_that_saved_it(name, tmp_path):
    config, settings, outputs = PLAIN[name]
    model = saved(name, config, tmp_path)
    read = bridge.load(tmp_path)
    assert [v.name for v in read.graph.inputs] == list(settings[0])
    for arrays in settings:
        with torch.no_grad():
            wanted = model(**{k: torch.from_numpy(v) for k, v in arrays.items()})
        found = bridge.run(read, arrays)
        for output in outputs:
            np.testing.assert_allclose(found[output], wanted[output].numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["GPT2LMHeadModel", "LlamaForCausalLM"])
def test_a_language_model_goes_on_from_its_cache(name, tmp_path):
    """Tokens one after another answer as all at once do; what may vary has a name."""
    grouped = {**TEXT, "num_key_value_heads": 2, "head_dim": 8}
    config = grouped if "Llama" in name else {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 99}
    model = saved(name, config, tmp_path)
    read = bridge.load(tmp_path)
    mask, logits = read.graph.inputs[1], read.graph.outputs[0]
    assert [str(d) for d in mask.shape] == ["batch", "past + sequence"]
    assert [str(d) for d in logits.shape] == ["batch", "sequence", "99"]
    tokens = ids(2, 7)
    with torch.no_grad():
        wanted = model(input_ids=torch.from_numpy(tokens)).logits.numpy()
    heads = read.graph.inputs[2].shape[1]
    names = [v.name for v in read.graph.inputs if v.name.startswith("past_key_values.")]
    cache = {n: np.zeros((2, heads, 0, 8), np.float32) for n in names}
    for start, end in ((0, 4), (4, 5), (5, 7)):
        given = {"input_ids": tokens[:, start:end], "attention_mask": np.ones((2, end), np.int64)}
        found = bridge.run(read, {**given, **cache})
        np.testing.assert_allclose(found["logits"], wanted[:, start:end], rtol=1e-4, atol=1e-5)
        cache = {n: found[n.replace("past_key_values", "present")] for n in names}


@pytest.mark.parametrize(
    ("name", "config"), [("T5ForConditionalGeneration", T5), ("BartForConditionalGeneration", SEQ2SEQ)]
)
def test_the_parts_of_an_encoder_and_a_decoder_answer_as_the_whole(name, config, tmp_path):
    model = saved(name, config, tmp_path)
    source, target = ids(2, 6), ids(2, 5)
    mask = masked(2, 6)
    with torch.no_grad():
        wanted = model(
            input_ids=torch.from_numpy(source),
            attention_mask=torch.from_numpy(mask),
            decoder_input_ids=torch.from_numpy(target),
        ).logits.numpy()
    encoder, decoder = (bridge.load(tmp_path, part=part) for part in ("encoder", "decoder"))
    states = bridge.run(encoder, {"input_ids": source, "attention_mask": mask})["last_hidden_state"]
    names = [v.name for v in decoder.graph.inputs if v.name.startswith("past_key_values.")]
    cache = {n: np.zeros((2, 4, 0, 8), np.float32) for n in names}
    for start, end in ((0, 2), (2, 5)):
        given = {
            "decoder_input_ids": target[:, start:end],
            "encoder_hidden_states": states,
            "encoder_attention_mask": mask,
        }
        found = bridge.run(decoder, {**given, **cache})
        np.testing.assert_allclose(found["logits"], wanted[:, start:end], rtol=1e-4, atol=1e-5)
        cache = {n: found[n.replace("past_key_values", "present")] for n in names}


def test_a_folder_is_converted_and_verified_by_its_own_framework(tmp_path):
    saved("BertModel", TEXT, tmp_path / "bert")
    conversion = bridge.convert(tmp_path / "bert", tmp_path / "bert.tflite", verify=True)
    assert "transformers" in str(conversion.verification)


def test_a_head_without_weights_is_refused(tmp_path):
    """transformers gives it random ones."""
    saved("BertModel", TEXT, tmp_path)
    with pytest.raises(UnreadableFile, match=r"no weights for classifier\.bias"):
        bridge.load(tmp_path, task="text-classification")


def test_pickled_weights_are_refused_with_the_line_that_helps(tmp_path):
    saved("BertModel", TEXT, tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(UnreadableFile, match="save_pretrained"):
        bridge.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"model_type": "nobody_knows"}, UnreadableFile),
        ({"auto_map": {"AutoConfig": "code.Config"}, "model_type": "nobody_knows"}, UnreadableFile),
        ({"architectures": ["NobodyKnows"]}, UnsupportedModel),
        ({"hidden_size": 48}, UnreadableFile),
    ],
)
def test_a_config_that_does_not_fit_is_refused(change, error, tmp_path):
    saved("BertModel", TEXT, tmp_path)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    with pytest.raises(error):
        bridge.load(tmp_path)


def test_a_part_of_a_model_that_has_none_is_refused(tmp_path):
    saved("BertModel", TEXT, tmp_path)
    with pytest.raises(InvalidOption, match="no encoder and decoder"):
        bridge.load(tmp_path, part="decoder")


def test_weights_alone_are_refused(tmp_path):
    saved("BertModel", TEXT, tmp_path)
    with pytest.raises(UnreadableFile, match="holds weights"):
        bridge.load(tmp_path / "model.safetensors")
