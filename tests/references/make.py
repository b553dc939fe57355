"""Write transformers.json: what Hugging Face transformers makes of the inputs in given.py.

    python -m tests.references.make

It needs the extra `references`. Of transformers there are called

- rope: LlamaRotaryEmbedding and apply_rotary_pos_emb; those of GPT-J for interleaved pairs.
- sampling: TemperatureLogitsWarper, TopKLogitsWarper and TopPLogitsWarper, in the order of generate(). The kata has
  other conventions in three places, and the inputs stay away from them. Of equal logits TopK keeps all that tie for the
  last place, and TopP drops the lower ids first; the kata keeps the lower ids in both. TopP adds up from the least
  probable token on and compares with 1 - top_p, so that rounding may decide otherwise at the boundary. With top_p = 1
  it drops tokens whose probability underflows. Drawing is done by torch.multinomial, which takes no uniform numbers, so
  that the kata's `sample` has no counterpart.
- static_kv_cache: LlamaAttention, eager, over a StaticCache, with the mask that LlamaModel makes.
- gqa: eager_attention_forward of Llama, which repeats keys and values, between projections.
- padding: what reaches the attention of a small Llama at each step of generate().
- sliding_window: create_sliding_window_causal_mask, which knows no sinks.
- mla: DeepseekV2Attention, eager, which expands keys and values, over a DynamicCache. It normalises latents, and the
  kata does not: the norm is taken out. Its pairs are neighbours: rows of weights change places, and the cached rope
  keys are put back into the kata's order. Its complex numbers want even widths of heads and latents.
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F

from tests.references import given

TABLE = Path(__file__).with_name("transformers.json")
DIGITS = 9  # as many as a float32 has


def rope():
    from transformers import GPTJConfig, LlamaConfig
    from transformers.models.gptj import modeling_gptj as gptj
    from transformers.models.llama import modeling_llama as llama

    x, answers = given.ROPE_INPUT, {}
    B, H, _, E = x.shape
    for name, case in given.ROPE.items():
        positions = torch.tensor(case["positions"]).expand(B, -1)
        if case.get("interleaved"):
            sin, cos = gptj.GPTJRotaryEmbedding(GPTJConfig(rotary_dim=E))(x, positions)
            turned = gptj.apply_rotary_pos_emb(x.transpose(1, 2), sin, cos).transpose(1, 2)  # its heads come second
        else:
            parameters = {"rope_type": "default", "rope_theta": case.get("base", 10000.0)}
            config = LlamaConfig(hidden_size=H * E, num_attention_heads=H, rope_parameters=parameters)
            turned, _ = llama.apply_rotary_pos_emb(x, x, *llama.LlamaRotaryEmbedding(config)(x, positions))
        answers[f"rope: {name}"] = turned
    return answers


def sampling():
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    warpers = {"temperature": TemperatureLogitsWarper, "top_k": TopKLogitsWarper, "top_p": TopPLogitsWarper}
    answers = {}
    for name, case in given.SAMPLING.items():
        scores = torch.tensor(given.LOGITS)
        for argument, warper in warpers.items():
            if argument in case:
                scores = warper(case[argument])(None, scores)
        answers[f"sampling: {name}"] = scores.softmax(dim=-1)
    return answers


def llama_config(**options):
    from transformers import LlamaConfig

    return LlamaConfig(
        hidden_size=given.D_MODEL,
        num_attention_heads=given.HEADS,
        num_key_value_heads=given.KV_HEADS,
        num_hidden_layers=1,
        rope_parameters={"rope_type": "default", "rope_theta": given.ROPE_BASE},
        attn_implementation="eager",
        **options,
    )


def static_kv_cache():
    from transformers import StaticCache
    from transformers.masking_utils import create_causal_mask
    from transformers.models.llama.modeling_llama import LlamaAttention, LlamaRotaryEmbedding

    config = llama_config()
    layer, rotary = LlamaAttention(config, layer_idx=0).eval(), LlamaRotaryEmbedding(config)
    layer.load_state_dict(given.weights(bias=False))
    cache = StaticCache(config=config, max_cache_len=given.SLOTS)
    outputs, start = [], 0
    for x in given.TOKENS.split(given.CHUNKS, dim=1):
        positions = torch.arange(start, start + x.size(1))[None]
        mask = create_causal_mask(config, x, None, cache, positions)
        outputs.append(layer(x, rotary(x, positions), mask, cache)[0])
        start += x.size(1)
    return {
        "static_kv_cache: outputs": torch.cat(outputs, dim=1),
        "static_kv_cache: keys": cache.layers[0].keys,
        "static_kv_cache: values": cache.layers[0].values,
    }


def gqa():
    from transformers.models.llama.modeling_llama import LlamaAttention, eager_attention_forward

    layer = LlamaAttention(llama_config(attention_bias=True), layer_idx=0).eval()
    layer.load_state_dict(given.weights(bias=True))
    names = {"q_proj": given.QUERY, "k_proj": given.KEY, "v_proj": given.VALUE}
    heads = [getattr(layer, name)(x).unflatten(-1, (-1, layer.head_dim)).transpose(1, 2) for name, x in names.items()]
    answers = {}
    for name, mask in given.GQA.items():
        if mask is not None:
            mask = mask.unsqueeze(1) if mask.dim() == 3 else mask
            mask = torch.where(mask, 0.0, torch.finfo(torch.float32).min)
        output, _ = eager_attention_forward(layer, *heads, mask, scaling=layer.scaling)
        answers[f"gqa: {name}"] = F.linear(output.flatten(2), layer.o_proj.weight, layer.o_proj.bias)
    return answers


def padding():
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM(llama_config(vocab_size=8, intermediate_size=4, eos_token_id=None)).eval()
    calls = []
    model.model.layers[0].self_attn.register_forward_pre_hook(
        lambda layer, _, named: calls.append((named["position_ids"], named["attention_mask"] == 0)), with_kwargs=True
    )
    mask = torch.tensor(given.ATTENTION_MASK)
    model.generate(
        torch.ones_like(mask), attention_mask=mask, max_new_tokens=given.NEW_TOKENS, do_sample=False, pad_token_id=0
    )
    answers = {}
    for number, (positions, seen) in enumerate(calls, 1):
        answers |= {f"padding: positions at step {number}": positions, f"padding: mask at step {number}": seen.int()}
    return answers


def sliding_window():
    from transformers import DynamicCache, MistralConfig
    from transformers.masking_utils import create_sliding_window_causal_mask

    answers = {}
    for name, (query_len, key_len, window) in given.WINDOWS.items():
        config = MistralConfig(sliding_window=window, attn_implementation="eager")
        cache, past = DynamicCache(), torch.zeros(1, 1, key_len - query_len, 1)
        cache.update(past, past, 0)
        mask = create_sliding_window_causal_mask(config, torch.zeros(1, query_len, 1), None, cache)
        answers[f"sliding_window: {name}"] = (mask[0, 0] == 0).int()
    return answers


def mla():
    from transformers import DeepseekV2Config, DynamicCache
    from transformers.masking_utils import create_causal_mask
    from transformers.models.deepseek_v2 import modeling_deepseek_v2 as deepseek

    config = DeepseekV2Config(
        hidden_size=given.D_MODEL,
        num_attention_heads=given.HEADS,
        num_hidden_layers=1,
        q_lora_rank=None,
        kv_lora_rank=given.LATENT_DIM,
        qk_nope_head_dim=given.HEAD_DIM,
        qk_rope_head_dim=given.ROPE_DIM,
        v_head_dim=given.HEAD_DIM,
        attn_implementation="eager",
    )
    layer, rotary = deepseek.DeepseekV2Attention(config, layer_idx=0).eval(), deepseek.DeepseekV2RotaryEmbedding(config)
    layer.kv_a_layernorm = torch.nn.Identity()
    layer.load_state_dict(neighbours(given.latent_weights()))
    cache, outputs, start = DynamicCache(), [], 0
    for x in given.TOKENS.split(given.CHUNKS, dim=1):
        positions = torch.arange(start, start + x.size(1))[None]
        mask = create_causal_mask(config, x, None, cache, positions)
        outputs.append(layer(x, mask, cache, rotary(x, positions))[0])
        start += x.size(1)
    latent, rope_key = cache.layers[0].keys.squeeze(1), cache.layers[0].values.squeeze(1)
    rope_key = rope_key.unflatten(-1, (-1, 2)).transpose(-2, -1).flatten(-2)
    return {"mla: outputs": torch.cat(outputs, dim=1), "mla: latents": latent, "mla: rope keys": rope_key}


def neighbours(weights):
    """The weights of a layer whose pairs are halves, for one whose pairs are neighbours."""
    weights = {name.replace("kv_a_proj", "kv_a_proj_with_mqa"): weight for name, weight in weights.items()}
    sizes = {"q_proj.weight": given.HEAD_DIM, "kv_a_proj_with_mqa.weight": given.LATENT_DIM}
    for name, plain in sizes.items():
        heads = weights[name].unflatten(0, (-1, plain + given.ROPE_DIM)).split([plain, given.ROPE_DIM], dim=1)
        turned = heads[1].unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)
        weights[name] = torch.cat([heads[0], turned], dim=1).flatten(0, 1)
    return weights


KATAS = (rope, sampling, static_kv_cache, gqa, padding, sliding_window, mla)


@torch.no_grad()
def answers():
    """Of each case its tensor."""
    return {name: made for kata in KATAS for name, made in kata().items()}


def rounded(values):
    return [rounded(each) for each in values] if isinstance(values, list) else float(f"{values:.{DIGITS}g}")


def main():
    import transformers

    table = {"transformers": transformers.__version__}
    for name, tensor in answers().items():
        table[name] = rounded(tensor.tolist()) if tensor.is_floating_point() else tensor.tolist()
    lines = [f" {json.dumps(name)}: {json.dumps(values)}" for name, values in table.items()]  # a line each
    TABLE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
