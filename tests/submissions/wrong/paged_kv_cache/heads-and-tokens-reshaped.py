"""reshape where heads and tokens have to change places."""
# cause: heads-and-tokens-reshaped

import torch


def slot_mapping(block_table, positions, block_size):
    """(B, T) positions -> (B, T) flat slots."""
    block_numbers = torch.gather(block_table, 1, positions // block_size)
    return block_numbers * block_size + positions % block_size


def write(key_pages, value_pages, block_table, lengths, keys, values):
    num_blocks, block_size = key_pages.shape[:2]
    B, K, L, E = keys.shape
    if int(lengths.max()) + L > block_table.size(1) * block_size:
        raise ValueError("not enough blocks for the new tokens")
    positions = lengths.unsqueeze(1) + torch.arange(L)
    slots = slot_mapping(block_table, positions, block_size)
    blocks, offsets = slots.flatten() // block_size, slots.flatten() % block_size
    key_pages.index_put_((blocks, offsets), keys.reshape(B * L, K, E))
    value_pages.index_put_((blocks, offsets), values.reshape(B * L, K, E))


def paged_attention(query, key_pages, value_pages, block_table, lengths):
    B, H, L, E = query.shape
    num_blocks, block_size, K, _ = key_pages.shape
    scale = E**-0.5
    acc = torch.promote_types(query.dtype, torch.float32)
    flat_k = key_pages.reshape(num_blocks * block_size, K, E)
    flat_v = value_pages.reshape(num_blocks * block_size, K, E)
    outputs = []
    for b, seq_len in enumerate(lengths.tolist()):
        positions = torch.arange(seq_len).unsqueeze(0)
        slots = slot_mapping(block_table[b : b + 1], positions, block_size)[0]
        k = flat_k.index_select(0, slots).to(acc)
        v = flat_v.index_select(0, slots).to(acc)
        k = torch.repeat_interleave(k, H // K, dim=1)
        v = torch.repeat_interleave(v, H // K, dim=1)
        q = query[b].transpose(0, 1).to(acc) * scale
        attn = torch.einsum("qhd,khd->hqk", q, k)
        mask = torch.triu(torch.ones(L, seq_len, dtype=torch.bool), diagonal=seq_len - L + 1)
        attn.masked_fill_(mask, float("-inf"))
        attn = torch.softmax(attn, dim=-1)
        outputs.append(torch.einsum("hqk,khd->hqd", attn, v))
    return torch.stack(outputs).to(query.dtype)
