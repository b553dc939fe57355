"""The attention mask that is handed in is changed in place."""
# cause: attention-mask-modified

import torch


def make_pad_mask(attention_mask):
    # (B, 1, 1, S), True where the key may be attended to
    return attention_mask.eq(1).unsqueeze(1).unsqueeze(2)


def make_no_peek_mask(query_len, key_len):
    square = torch.ones(key_len, key_len).type(torch.ByteTensor).tril().bool()
    return square[key_len - query_len :]


def position_ids(attention_mask):
    m = attention_mask.eq(1)
    attention_mask.mul_(2)
    pos = torch.zeros(m.shape, dtype=torch.long)
    for row, keep in zip(pos, m):
        row[keep] = torch.arange(int(keep.sum()))
    assert pos.shape == attention_mask.shape
    return pos


def padding_causal_mask(attention_mask, query_len=None):
    key_len = attention_mask.shape[1]
    if query_len is None:
        query_len = key_len
    mask = make_pad_mask(attention_mask) & make_no_peek_mask(query_len, key_len)
    assert mask.shape == (len(attention_mask), 1, query_len, key_len)
    return mask


if __name__ == "__main__":
    print(padding_causal_mask(torch.tensor([[0, 1, 1]])).int())
