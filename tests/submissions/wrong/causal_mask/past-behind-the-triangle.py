"""What came before is joined on the wrong side."""
# cause: past-behind-the-triangle

import torch as th


def causal_mask(query_len, key_len=None):
	if key_len is None:
		key_len = query_len
	# 过去的 token 全部可见
	过去 = th.ones(query_len, key_len - query_len, dtype=th.bool)
	# 新的 token 只能看到自己和之前的
	新的 = th.tril(th.ones(query_len, query_len, dtype=th.bool))
	return th.cat((新的, 过去), dim=1)


def additive_mask(mask, dtype=th.float32):
	# 不能写 (1 - mask) * -inf,因为 0 * inf 是 nan
	out = th.zeros(tuple(mask.shape), dtype=dtype)
	out.masked_fill_(~mask, float('-inf'))
	return out
